"""Removes operators without effect from a graph."""
from __future__ import annotations

from typing import Mapping

from .graph import Entry, Graph
from .graph_editing import Edit, join_parts, rows_stacked
from .operator_table import has
from .rnn_vector_layout import ADDS_NOTHING

__all__ = ['without_effectless']

#: Operators that move no element; at most they change the shape.
_RESHAPES = {'Reshape', '_copy', 'Flatten', 'reshape_like', 'expand_dims', 'squeeze'}
#: Other operators that change nothing if shape and type stay.
_EFFECTLESS = {'Cast', 'amp_cast', 'broadcast_to', 'broadcast_like', '_identity_with_attr_like_rhs'}


def without_effectless(graph: Graph, arrays: Mapping[Entry, object], program: Graph) -> Graph:
    """The graph without operators that return their input, alone or together; equal `arrays` have
    equal shapes. Parts of one row each are stacked. What `program`, the graph before it was rolled
    up, flattens of its data stays flattened, because data may have more axes than it tells; copies
    that name outputs stay."""
    edit = Edit(graph)
    nodes = graph.nodes
    kept = {node.name for node in program.nodes if node.op == 'Flatten'
            and program.nodes[node.inputs[0].node].is_variable}
    named = {head.node for head in graph.heads if nodes[head.node].op == '_copy'}
    reshapes = {place for place, node in enumerate(nodes)
                if node.op in _RESHAPES and node.name not in kept} - named
    for place, node in enumerate(nodes):
        entry = Entry(place, 0)
        if ADDS_NOTHING in node.attrs:
            edit.replaced[entry] = node.inputs[0]
        if (place in reshapes or node.op in _EFFECTLESS) and entry in arrays:
            first = node.inputs[0]
            while arrays.get(first) != arrays[entry] and first.node in reshapes and (
                    place in reshapes):
                first = nodes[first.node].inputs[0]
            if arrays.get(first) == arrays[entry]:
                edit.replaced[entry] = first
        if has(node.op, 'joins') and len(node.inputs) > 1 and rows_stacked(
                nodes, node.inputs, node.dim):
            edit.replaced[entry] = join_parts(edit.writer, node.name, node.inputs, node.dim)
    return edit.graph()
