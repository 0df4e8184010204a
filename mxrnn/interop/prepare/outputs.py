"""The outputs of a file: those chosen, without CTC losses or with what these read."""
from __future__ import annotations

from typing import Container, Sequence

from ..._graph.graph import Entry, Graph

__all__ = ['chosen', 'ctc_losses', 'predictions', 'without_losses']


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


def without_losses(graph: Graph) -> tuple[Graph, list[str]]:
    """The graph without CTC losses, and their names; if it has no other outputs, with what these
    losses read."""
    lost = ctc_losses(graph)
    left_out = [name for name, head in zip(graph.outputs, graph.heads) if head.node in lost]
    if not left_out:
        return graph, []
    kept = [head for head in graph.heads if head.node not in lost] or predictions(graph)
    return (graph.ending_in(kept), left_out) if kept else (graph, [])


def chosen(graph: Graph, outputs: Sequence[str] | None, training: bool, operators: Container[str]
           ) -> tuple[Graph, list[str], list[str]]:
    """The graph of the outputs of a file, the names of outputs that are left out because they are
    losses, and those of outputs that come first because losses read them. Only a file for
    `training`, or one with such `operators`, has losses."""
    if outputs is not None:
        return graph.select(outputs), [], []
    if training:
        read = predictions(graph)
        return graph._replace(heads=(*read, *graph.heads)), [], (
            graph.ending_in(read).outputs if read else [])
    if 'CTCLoss' in operators:  # a program registered it
        return graph, [], []
    return (*without_losses(graph), [])
