"""The outputs of a file: those chosen, without CTC losses or with what these read."""
from __future__ import annotations

from typing import Any, Collection, Container, Sequence

from ... import _check
from ..._graph.graph import Entry, Graph
from ..registry import Converters, ExportError

__all__ = ['chosen', 'predictions', 'refuse_unknown', 'unknown_operators']


def ctc_losses(graph: Graph) -> dict[int, dict[Entry, None]]:
    """The places of CTC losses and of what is made of them, with what these losses read."""
    lost: dict[int, dict[Entry, None]] = {}
    for place, node in enumerate(graph.nodes):
        read = node.inputs[:1] if node.op == 'CTCLoss' else [
            each for entry in node.needed_inputs for each in lost.get(entry.node, ())]
        if read:
            lost[place] = dict.fromkeys(read)
    return lost


def predictions(graph: Graph) -> list[Entry]:
    """What CTC losses read, if a graph has no other outputs than these losses, and nothing else is
    computed for them: everything else reads no variables but through these losses."""
    lost = ctc_losses(graph)
    if not all(head.node in lost for head in graph.heads):
        return []
    losses = graph.ending_in([Entry(place, 0) for place in sorted(graph.needed())
                              if graph.nodes[place].op == 'CTCLoss'])

    def read(whole: Graph) -> set[str]:
        """The names of variables, and of nodes that read variables or weights."""
        return {node.name for node in map(whole.nodes.__getitem__, whole.needed())
                if node.is_variable or node.inputs_of('weight') or any(
                    whole.nodes[entry.node].is_variable for entry in node.inputs)}
    return list(dict.fromkeys(each for head in graph.heads for each in lost[head.node])) if (
        read(graph) <= {*read(losses), *losses.arguments}) else []


def chosen(graph: Graph, outputs: Sequence[str] | None = None, training: bool = False,
           operators: Container[str] = ()) -> tuple[Graph, list[str], list[str]]:
    """The graph of the outputs of a file, the names of outputs that are left out because they are
    CTC losses, and those of outputs that come first because losses read them. Only a file for
    `training`, or one with such `operators`, has these losses; without other outputs, another file
    has what they read."""
    if outputs is not None:
        return graph.select(outputs), [], []
    if training:
        read = predictions(graph)
        return graph._replace(heads=(*read, *graph.heads)), [], (
            graph.ending_in(read).outputs if read else [])
    lost = ctc_losses(graph)
    left_out = [name for name, head in zip(graph.outputs, graph.heads) if head.node in lost]
    if 'CTCLoss' in operators or not left_out:  # a program registered it
        return graph, [], []
    kept = [head for head in graph.heads if head.node not in lost] or predictions(graph)
    return (graph.ending_in(kept), left_out, []) if kept else (graph, [], [])


def unknown_operators(graph: Graph, operators: Collection[str]) -> dict[str, list[str]]:
    """The names of nodes that are not among `operators`, by operator."""
    unknown: dict[str, list[str]] = {}
    needed = graph.needed()
    for i, node in enumerate(graph.nodes):
        if i in needed and not node.is_variable:
            if node.op not in operators:
                unknown.setdefault(node.op, []).append(node.name)
            for each in node.subgraphs:
                for op, names in unknown_operators(each, operators).items():
                    unknown.setdefault(op, []).extend(names)
    return unknown


def refuse_unknown(graph: Graph, operators: Converters[Any]) -> None:
    """Refuse all operators that a format lacks at once."""
    unknown = unknown_operators(graph, operators)
    if not unknown:
        return
    text = '%s does not have %s' % (operators.back_end, '; '.join(
        '%s (%d times: %s)' % (op, len(nodes), _check.some(nodes))
        for op, nodes in unknown.items()))
    others = [name for name, head in zip(graph.outputs, graph.heads) if not unknown_operators(
        graph.ending_in([head]), operators)] if len(graph.heads) < 20 else []
    if others:
        text += '\nThese outputs do not depend on them: %s (outputs, --output)' % ', '.join(others)
    elif 'CTCLoss' in unknown:
        read = dict.fromkeys(each for entries in ctc_losses(graph).values() for each in entries)
        text += ('\nName the outputs that the file is to have (outputs, --output), such as '
                 + ', '.join(graph.ending_in(list(read)).outputs))
    raise ExportError(text)
