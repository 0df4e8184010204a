"""Packs weights that are saved by gate into the arrays of a graph, and unpacks them.

A checkpoint of `save_rnn_checkpoint` has 'lstm_i2h_i_weight', 'lstm_i2h_f_weight' and so on if its
graph has 'lstm_i2h_weight', and 'lstm_l0_i2h_i_weight', … if it has the vector 'lstm_parameters'.
Cells know how to pack them. Here the graph and the names in the file tell. If they are ambiguous,
nothing is guessed.
"""
from __future__ import annotations

import json
import re
from typing import Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.operator_table import has
from .._graph.rnn_vector_layout import GATES, GROUPS, KINDS, LAYOUT, FusedLayout, gate_array

__all__ = ['Packing', 'packings', 'vector_layouts']

#: Weights by name.
Weights = Mapping[str, np.ndarray]

#: Gates by prefix of the weights, of cells that are a program's own.
Gates = Mapping[str, Sequence[str]]

_PACKED = re.compile('(?P<prefix>.*)(?P<group>%s)_(?P<kind>%s)' % tuple(map('|'.join,
                                                                          (GROUPS, KINDS))))


class Packing(NamedTuple):
    """An argument of a graph, and the arrays by gate that make it up, in order."""

    name: str
    parts: tuple[str, ...]
    #: The layout if it is sym.RNN's vector; otherwise the parts are rows.
    layout: FusedLayout | None = None

    def pack(self, arrays: Weights) -> np.ndarray:
        """Join the parts."""
        pieces = [arrays[part] for part in self.parts]
        if self.layout is None:
            shapes = {piece.shape for piece in pieces}
            if len(shapes) > 1:
                raise ValueError('the gates of %s must have one shape, got %s' % (
                    self.name, ', '.join(map(str, sorted(shapes)))))
            return np.concatenate(pieces)
        width = pieces[0].shape[1] if pieces[0].ndim == 2 else 0
        for part, piece, array in zip(self.parts, pieces, self.layout.arrays(width)):
            if piece.shape != array.shape:
                raise ValueError('%s must have the shape %s for %s, got %s'
                                 % (part, array.shape, self.name, piece.shape))
        return np.concatenate([piece.reshape(-1) for piece in pieces])

    def unpack(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """Split it into the parts: the inverse of `pack`."""
        if self.layout is None:
            if len(value) % len(self.parts):
                raise ValueError('%s must have rows for the %d gates %s, got %d'
                                 % (self.name, len(self.parts), ', '.join(self.parts), len(value)))
            return dict(zip(self.parts, np.split(value, len(self.parts))))
        arrays = self.layout.arrays(self.layout.num_input(value.size, self.name))
        return {part: value[array.begin:array.end].reshape(array.shape)
                for part, array in zip(self.parts, arrays)}


def vector_layouts(graph: Graph) -> dict[str, dict[str, FusedLayout]]:
    """For each argument that is a vector of sym.RNN: prefixes of cells, and the layouts.

    The prefix is the name of the sym.RNN node without 'rnn', as FusedRNNCell names it. A cell that
    is unrolled by steps stores both in a node that reads the vector.
    """
    found: dict[str, dict[str, FusedLayout]] = {}
    for node in graph.nodes:
        if LAYOUT in node.attrs:
            prefix, *layout = json.loads(node.attrs[LAYOUT])
            found.setdefault(graph.nodes[node.inputs[0].node].name, {})[prefix] = FusedLayout(
                *layout)
        if has(node.op, 'kernel') and len(node.inputs) > 1:
            source = graph.nodes[node.inputs[1].node]
            while has(source.op, 'elementwise'):
                source = graph.nodes[source.inputs[0].node]
            if source.is_variable and node.name.endswith('rnn'):
                found.setdefault(source.name, {})[node.name[:-len('rnn')]] = FusedLayout.of(node)
    return found


def packings(graph: Graph, arrays: Weights, gates: Gates) -> Iterator[Packing]:
    """How each argument that is not in `arrays` is packed from arrays in it.

    Raises
    ------
    ValueError
        The arrays fit in more ways than one, some are missing, or their gates are unknown.
    """
    layouts = vector_layouts(graph)
    wanted = [name for name in graph.arguments if name not in arrays]
    for name in wanted:
        packing = (_vector(name, layouts[name], arrays) if name in layouts
                   else _rows(name, arrays, gates))
        if packing is not None:
            yield packing
    for name in graph.arguments:
        if name in arrays and name not in layouts:
            twice = _gates_of(name, arrays) - {''}
            if twice:
                raise ValueError('there are both %s and its gates %s'
                                 % (name, ', '.join(sorted(twice))))


def _vector(name: str, layouts: Mapping[str, FusedLayout], arrays: Weights) -> Packing | None:
    found, some = [], []
    for prefix, layout in layouts.items():
        parts = tuple(prefix + array.name for array in layout.arrays(1))
        missing = [part for part in parts if part not in arrays]
        if not missing:
            found.append(Packing(name, parts, layout))
        elif len(missing) < len(parts):
            some.append('%s for the prefix %r' % (', '.join(missing), prefix))
    if len(found) > 1:
        raise ValueError('%s could be packed from the arrays of each of several cells: %s'
                         % (name, ', '.join('%s and so on' % each.parts[0] for each in found)))
    if not found and some:
        raise ValueError('%s cannot be packed: missing %s' % (name, '; '.join(some)))
    return found[0] if found else None


def _gates_of(name: str, arrays: Weights) -> set[str]:
    """The gates for which `arrays` has parts of the argument `name`."""
    match = _PACKED.fullmatch(name)
    if not match:
        return set()
    prefix, group, kind = match.group('prefix', 'group', 'kind')
    begin, end = prefix + group, '_' + kind
    return {other[len(begin):-len(end)] for other in arrays
            if other.startswith(begin + '_') and other.endswith(end) and len(other) > len(
                begin + end)}


def _rows(name: str, arrays: Weights, gates: Gates) -> Packing | None:
    match = _PACKED.fullmatch(name)
    has = _gates_of(name, arrays)
    if match is None or not has:
        return None
    prefix, group, kind = match.group('prefix', 'group', 'kind')
    known = [order for order in (GATES['lstm'], GATES['gru']) if set(order) == has]
    order = tuple(gates[prefix]) if prefix in gates else known[0] if known else None
    more = [order for order in (GATES['lstm'], GATES['gru']) if has < set(order)]
    if order is None and len(more) == 1:
        raise ValueError('%s cannot be packed: missing %s' % (name, ', '.join(
            prefix + gate_array(group, kind, gate) for gate in more[0] if gate not in has)))
    if order is None:
        raise ValueError('the gates of %s, %s, belong to no cell of mxrnn: give their order, '
                         'gates={%r: [...]}' % (name, ', '.join(sorted(has)), prefix))
    if set(order) != has:
        raise ValueError('%s is to have the gates %s, but there are %s'
                         % (name, ', '.join(order), ', '.join(sorted(has))))
    return Packing(name, tuple(prefix + gate_array(group, kind, gate) for gate in order))
