"""Which sizes of the inputs the written source checks when it runs."""
from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from ..._graph.graph import Graph
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import begin_states
from ..._graph.shapes.sizes import Size
from .emitter_api import Expr

__all__ = ['ranges', 'shared', 'stated']


def stated(graph: Graph, inputs: Mapping[str, Expr]) -> Iterator[tuple[Expr, list[int]]]:
    """The inputs that have numbers for sizes, with these; -1 stands for any. torch would take two
    axes for three without a batch; it checks features that a layer reads, and begin states."""
    rows = {graph.nodes[entry.node].name for node in graph.nodes if node.op == 'FullyConnected'
            for entry in node.inputs[:1]} | _begin_states(graph)
    for name, each in inputs.items():
        if any(isinstance(size, int) and size > 1 for size in (
                each.shape[:-1] if len(each.shape) < 3 and name in rows else each.shape)):
            yield each, [size if isinstance(size, int) else -1 for size in each.shape]


def ranges(inputs: Mapping[str, Expr], limits: Mapping[tuple[str, int], range]
           ) -> Iterator[tuple[str, int, int]]:
    """Texts of sizes that must be in a range, with its ends."""
    for (name, axis), each in limits.items():
        if name in inputs and len(each) > 1:
            yield '%s.shape[%d]' % (inputs[name].text, axis), each[0], each[-1]


def shared(graph: Graph, inputs: Mapping[str, Expr], equal: Mapping[str, Sequence[int]]
           ) -> list[list[str]]:
    """Texts of the sizes that several inputs share; if the graph repeats rows, so that sizes of 1
    may be allowed, only of those that are to be `equal`."""
    repeats = any(node.op.startswith('broadcast_') and len(node.inputs) > 1
                  for node in graph.walk())
    checked = _begin_states(graph)
    found: dict[Size, dict[str, int]] = {}
    for name, each in inputs.items():
        for at, size in enumerate(each.shape):
            if not isinstance(size, int) and name not in checked and (
                    not repeats or size not in found or at in equal.get(name, ())):
                found.setdefault(size, {}).setdefault(each.text, at)
    return [['%s.shape[%d]' % place for place in places.items()]
            for places in found.values() if len(places) > 1]


def _begin_states(graph: Graph) -> set[str]:
    """Variables that only torch.nn's recurrent layers read, as begin states: it checks the batch.
    """
    found = {*range(len(graph.nodes))} - {head.node for head in graph.heads}
    for place in reversed(range(len(graph.nodes))):
        node = graph.nodes[place]
        begins = begin_states(node) if has(node.op, 'kernel') else node.inputs if (
            place in found and node.op in ('Concat', 'Reshape', 'expand_dims', 'stack')) else ()
        found -= {entry.node for entry in node.inputs if entry not in begins}
    return {graph.nodes[place].name for place in found if graph.nodes[place].is_variable}
