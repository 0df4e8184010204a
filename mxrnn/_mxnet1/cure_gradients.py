"""Rewrites graphs for which MXNet 2 computes wrong gradients."""
from __future__ import annotations

from typing import Iterable

from .._graph.graph import Entry, Graph, Node

__all__ = ['cured']


def cured(graph: Graph) -> Graph:
    """The graph without constructs for which MXNet 2.0.0b1 computes wrong gradients.

    Variables that are added, or are outputs, are read through an identity. The last of all steps is
    sliced: SequenceLast without lengths writes its gradient outside its memory.
    """
    nodes: list[Node] = []
    places: list[int] = []

    def moved(entries: Iterable[Entry], reads: bool) -> tuple[Entry, ...]:
        found = [Entry(places[entry.node], entry.output) for entry in entries]
        for at, entry in enumerate(found):
            if reads and nodes[entry.node].is_variable:
                nodes.append(Node('_copy', 'copy_%d' % len(nodes), {}, (entry,)))
                found[at] = Entry(len(nodes) - 1, 0)
        return tuple(found)

    for node in graph.nodes:
        inputs = moved(node.inputs, node.op in ('elemwise_add', '_grad_add', 'add_n'))
        if node.op == 'SequenceLast' and not node.use_sequence_length:
            axis = str(node.axis)
            nodes.append(Node('slice_axis', node.name + '_step',
                              {'axis': axis, 'begin': '-1', 'end': 'None'}, inputs[:1]))
            node, inputs = Node('squeeze', node.name, {'axis': axis}, ()), (
                Entry(len(nodes) - 1, 0),)
        places.append(len(nodes))
        nodes.append(node._replace(inputs=inputs))
    return graph._replace(heads=moved(graph.heads, True), nodes=tuple(nodes))
