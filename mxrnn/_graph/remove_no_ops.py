"""Removes operators without effect from a graph, and stacks parts of one row that are joined."""
from __future__ import annotations

from typing import Mapping, Sequence

from .graph import Entry, Graph, Node
from .graph_editing import Edit, Writer
from .operator_table import has
from .rnn_vector_layout import ADDS_NOTHING

__all__ = ['join_parts', 'without_effectless']

#: Operators that move no element; at most they change the shape.
_RESHAPES = {'Reshape', '_copy', 'Flatten', 'reshape_like', 'expand_dims', 'squeeze'}
#: Operators that change nothing if shape and type stay.
_EFFECTLESS = _RESHAPES | {'Cast', 'amp_cast', 'broadcast_to', 'broadcast_like',
                           '_identity_with_attr_like_rhs'}


def without_effectless(graph: Graph, arrays: Mapping[Entry, object]) -> Graph:
    """The graph without operators that return their input, alone or together; equal `arrays` have
    equal shapes. Parts of one row each are stacked."""
    edit = Edit(graph)
    nodes = graph.nodes
    for place, node in enumerate(nodes):
        entry = Entry(place, 0)
        if ADDS_NOTHING in node.attrs:
            edit.replaced[entry] = node.inputs[0]
        if node.op in _EFFECTLESS and entry in arrays:
            first = node.inputs[0]
            while arrays.get(first) != arrays[entry] and nodes[first.node].op in _RESHAPES and (
                    node.op in _RESHAPES):
                first = nodes[first.node].inputs[0]
            if arrays.get(first) == arrays[entry]:
                edit.replaced[entry] = first
        if has(node.op, 'joins') and len(node.inputs) > 1 and _rows(nodes, node.inputs, node.dim):
            edit.replaced[entry] = join_parts(edit.writer, node.name, node.inputs, node.dim)
    return edit.graph()


def _rows(nodes: Sequence[Node], parts: Sequence[Entry], axis: int) -> list[Entry]:
    """The arrays that are stacked along an axis by joining `parts`; none if they are wider."""
    rows: list[Entry] = []
    for part in parts:
        node = nodes[part.node]
        if node.op not in ('expand_dims', 'stack') or node.axis != axis:
            return []
        rows.extend(node.inputs)
    return rows


def join_parts(writer: Writer, name: str, parts: Sequence[Entry], axis: int) -> Entry:
    """`parts` joined along an axis."""
    rows = _rows(writer.nodes, parts, axis)
    if rows:
        return writer.add('stack', name, {'axis': axis, 'num_args': len(rows)}, rows)
    return writer.join(parts, name, axis)
