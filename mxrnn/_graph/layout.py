"""Names of gates and of a cell's arrays, the arrays' places in the vector of sym.RNN, and weights
by gate, as the rnn functions save them.

A checkpoint of `save_rnn_checkpoint` has 'lstm_i2h_i_weight', 'lstm_i2h_f_weight' and so on if its
graph has 'lstm_i2h_weight', and 'lstm_l0_i2h_i_weight', … if it has the vector 'lstm_parameters'.
Cells know how to pack them. Here the graph and the names in the file tell. If they are ambiguous,
nothing is guessed.
"""
from __future__ import annotations

import json
import math
import re
from typing import Iterator, Literal, Mapping, NamedTuple, Sequence

import numpy as np

from .graph import Entry, Graph, Node
from .operators import has

__all__ = ['ADDS_NOTHING', 'FusedArray', 'FusedLayout', 'gate_array', 'GATES', 'GROUPS', 'KINDS',
           'LAYOUT', 'Mode', 'Packing', 'packings', 'vector_layouts']

#: A cell's projections, and the arrays of each.
GROUPS = ('i2h', 'h2h')
KINDS = ('weight', 'bias')

_RNN = ('',)
_LSTM = ('_i', '_f', '_c', '_o')
_GRU = ('_r', '_z', '_o')

#: Suffixes of the gates in each mode of sym.RNN, in the order of their rows.
GATES = {'rnn_relu': _RNN, 'rnn_tanh': _RNN, 'lstm': _LSTM, 'gru': _GRU}

#: Marks a node that returns its first input, and is there only for gradients.
ADDS_NOTHING = '__adds_nothing__'

#: Attribute of a node that passes a vector to something other than sym.RNN: the cell's prefix and
#: the fields of the layout.
LAYOUT = '__fused_layout__'

Mode = Literal['rnn_relu', 'rnn_tanh', 'lstm', 'gru']


def gate_array(group: str, kind: str, gate: str = '') -> str:
    """Name of one gate's array, such as 'i2h_f_weight', or of all gates', such as 'i2h_weight'."""
    return '%s%s_%s' % (group, gate, kind)


class FusedArray(NamedTuple):
    """One array in the vector: its name, its shape, and its place from `begin` to `end`."""

    layer: int
    direction: str
    group: str
    gate: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def name(self) -> str:
        """Such as 'l0_i2h_f_weight', the name in ordinary cells with the prefix 'l0_'."""
        return '%s%d_%s' % (self.direction, self.layer,
                            gate_array(self.group, self.kind, self.gate))


class FusedLayout(NamedTuple):
    """The arrays in the vector: all weights, then all biases, each by layer, direction ('l', 'r'),
    group (i2h, h2h, and for a projection h2r, a weight without gates) and gate. MXNet has this
    order from cuDNN."""

    mode: str
    num_hidden: int
    num_layers: int = 1
    bidirectional: bool = False
    projection_size: int | None = None

    @classmethod
    def of(cls, node: Node) -> FusedLayout:
        """The layout of the vector for a node of sym.RNN."""
        return cls(node.mode, node.state_size, node.num_layers, node.bidirectional,
                   node.projection_size)

    @property
    def directions(self) -> str:
        return 'lr' if self.bidirectional else 'l'

    @property
    def num_output(self) -> int:
        """Channels of the output of each direction."""
        return self.projection_size or self.num_hidden

    def arrays(self, num_input: int, by_gate: bool = True) -> Iterator[FusedArray]:
        """Yield the arrays in order, for an input of `num_input` channels: one for each gate, or
        one for all gates of a projection, as in cells' graphs."""
        gates, units = (GATES[self.mode], self.num_hidden) if by_gate else (
            ('',), self.num_hidden * len(GATES[self.mode]))
        end = 0
        for kind in KINDS:
            for layer in range(self.num_layers):
                for direction in self.directions:
                    for group in GROUPS:
                        width = (self.num_output if group == 'h2h' else num_input if layer == 0
                                 else self.num_output * len(self.directions))
                        shape = (units, width) if kind == 'weight' else (units,)
                        for gate in gates:
                            begin, end = end, end + math.prod(shape)
                            yield FusedArray(layer, direction, group, gate, kind, shape, begin, end)
                    if self.projection_size and kind == 'weight':
                        shape = (self.projection_size, self.num_hidden)
                        begin, end = end, end + math.prod(shape)
                        yield FusedArray(layer, direction, 'h2r', '', kind, shape, begin, end)

    def size(self, num_input: int) -> int:
        """Number of elements of the vector, for an input of `num_input` channels."""
        return max(array.end for array in self.arrays(num_input, by_gate=False))

    def num_input(self, size: int, name: str) -> int:
        """Number of input channels for which the vector, called `name`, has `size` elements."""
        fixed = self.size(0)
        each = self.size(1) - fixed
        width, rest = divmod(size - fixed, each)
        if width < 1 or rest:
            raise ValueError('%s must have %d + %d * (number of input channels) elements for %r, '
                             'got %d' % (name, fixed, each, self, size))
        return width


#: Weights by name.
Weights = Mapping[str, np.ndarray]

def begin_states(node: Node) -> tuple[Entry, ...]:
    """The begin states that a recurrence reads."""
    if has(node.op, 'kernel'):
        return node.inputs[2:4 if node.mode == 'lstm' else 3]
    if node.op != '_foreach' or len(node.subgraphs) != 1:
        return ()
    return node.inputs[node.body.data:node.body.data + node.body.states]


#: Gates by prefix of the weights, of cells that are a program's own.
Gates = Mapping[str, Sequence[str]]

#: Operators that pass a vector of weights to sym.RNN unchanged, or as zeros of its size.
_SAME_SIZE = ('_copy', 'zeros_like', 'Cast', 'amp_cast', 'BlockGrad')

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
            while source.op in _SAME_SIZE:
                source = graph.nodes[source.inputs[0].node]
            if source.is_variable and node.name.endswith('rnn'):
                found.setdefault(source.name, {})[node.name[:-len('rnn')]] = FusedLayout.of(
                    node)
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
