"""Names of gates and of a cell's arrays, and the arrays' places in the vector of sym.RNN."""
from __future__ import annotations

import math
from typing import Iterator, Literal, NamedTuple

from .graph import Entry, Graph, Node
from .operator_table import has

__all__ = ['ADDS_NOTHING', 'FusedArray', 'FusedLayout', 'gate_array', 'GATES', 'GROUPS', 'KINDS',
           'LAYOUT', 'Mode', 'arrays_of_rnn', 'begin_states']

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


def begin_states(node: Node) -> tuple[Entry, ...]:
    """The begin states that a recurrence reads."""
    if has(node.op, 'kernel'):
        return node.inputs[2:4 if node.mode == 'lstm' else 3]
    if node.op != '_foreach':
        return ()
    return node.inputs[node.body.data:node.body.data + node.body.states]


def arrays_of_rnn(graph: Graph, node: Node) -> Node:
    """`node` without the join of its weights, if it is an RNN that would only split them again.

    Its inputs are then the data, the weights in the vector's order, and the states.
    """
    if not has(node.op, 'kernel') or len(node.inputs) < 2:
        return node
    join = graph.nodes[_before_reshape(graph, node.inputs[1]).node]
    if not has(join.op, 'joins') or join.dim != 0 or len(join.inputs) != len(
            list(FusedLayout.of(node).arrays(1, by_gate=False))):
        return node
    arrays = tuple(_before_reshape(graph, entry) for entry in join.inputs)
    return node._replace(inputs=(node.inputs[0], *arrays, *node.inputs[2:]))


def _before_reshape(graph: Graph, entry: Entry) -> Entry:
    """The entry from which `entry` was reshaped: the same elements in the same order."""
    while graph.nodes[entry.node].op in ('Reshape', 'reshape_like'):
        entry = graph.nodes[entry.node].inputs[0]
    return entry
