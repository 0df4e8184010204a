"""The cell that `fuse` puts in the place of ordinary cells, as layers of sym.RNN."""
from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .._cells.base_cells import BaseRNNCell
from .._cells.containers import BidirectionalCell
from .._cells.known_shapes import Kind, known_shape, known_type
from .._cells.sequences import Inputs, merged
from .._cells.states import StateInfo, States, check_states
from .._cells.unroll import GivenLengths, Options, Unrolled
from .._runtime.mxnet import mx
from .flat_weight_symbols import apart, cell_arrays, operator_vector, zero_row
from .padded_layer import padded_layer
from .rnn_defects import cpu_build, onednn

__all__ = ['Layer', 'OperatorCell']

#: The number of steps from which layers share an operator. On CPUs that takes less memory per step,
#: but the operator takes longer to get its weights.
SHARED_FROM = 500 if cpu_build() else 1


class Layer(NamedTuple):
    """One layer of sym.RNN: its mode, its width, its cell for each direction, and the cell that it
    replaces, which is the same one or a BidirectionalCell of two."""

    mode: str
    num_hidden: int
    cells: list[BaseRNNCell]
    whole: BaseRNNCell

    def alike(self, other: Layer) -> bool:
        return (self.mode, self.num_hidden, len(self.cells)) == (
            other.mode, other.num_hidden, len(other.cells))

    @property
    def merge(self) -> BidirectionalCell | None:
        """The cell that adds or averages both directions, which sym.RNN cannot; or None."""
        whole = self.whole
        return whole if isinstance(whole, BidirectionalCell) and whole._merge_ != 'concat' else None

    @property
    def width(self) -> int:
        """Channels of its output."""
        return self.num_hidden * (len(self.cells) if self.merge is None else 1)


class OperatorCell(BaseRNNCell):
    """Layers of one kind and width through sym.RNN, time-major. States are required."""

    can_step = False
    _masks_padding_ = True

    def __init__(self, layers: list[Layer], width: int) -> None:
        super().__init__()
        self.layers = layers
        self._width = width  #: of the input, 0 if unknown
        self._cells = [cell for layer in layers for cell in layer.cells]  # reset with this one

    def __repr__(self) -> str:
        first = self.layers[0]
        return 'sym.RNN(%r, %d: %s)' % (first.mode, first.num_hidden,
                                        ', '.join(map(repr, self._cells)))

    def joined(self, other: OperatorCell) -> OperatorCell | None:
        """This operator with the layers of `other` on top, if one operator can do both."""
        first, second = self.layers[0], other.layers[0]
        if first.mode in ('lstm', 'gru') and first.alike(second) and self.layers[-1].merge is None:
            return OperatorCell(self.layers + other.layers, self._width)
        return None

    @property
    def state_info(self) -> list[StateInfo]:
        return sum((cell.state_info for cell in self._cells), [])

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """One operator takes all steps of a layer, or of several."""
        length, lengths = options.length, options.lengths
        first = self.layers[0]
        name = first.cells[0]._prefix + 'fused_'
        states = check_states(begin_state or [], len(self.state_info), self)
        if not isinstance(inputs, mx.sym.Symbol):
            inputs = lengths.typed(mx.sym.stack(*inputs, axis=0, name=name + 'inputs'), states)
        if len(known_shape(inputs)) > 3:  # FullyConnected reads more axes as channels, too
            inputs = mx.sym.Reshape(inputs, shape=(0, 0, -1), name=name + 'channels')
        rest, dtype = iter(states), known_type(states[0])
        if first.mode == 'rnn_relu' and dtype == np.float64 and cpu_build() and length is not None:
            return _unrolled(first.whole, inputs, states, options)
        width = self._width or (known_shape(inputs) or (0,))[-1]
        shared = length is not None and length >= SHARED_FROM and (
            onednn(dtype) or dtype == np.float16)
        operator: Callable[..., Any] = _operator
        if isinstance(lengths, GivenLengths):
            shared, operator = False, functools.partial(_padded, lengths)
        by_cell: list[Any] = []
        for layers in [self.layers] if shared else [[layer] for layer in self.layers]:
            own = [[next(rest) for _ in cell.state_info]
                   for layer in layers for cell in layer.cells]
            inputs, finals = operator(layers, inputs, own, width, dtype)
            width = layers[-1].width
            if layers[-1].merge is not None:
                left, right = mx.sym.SliceChannel(inputs, num_outputs=2, axis=2,
                                                  name=name + 'directions')
                inputs = layers[-1].merge._join_(left, right, 2, 'fused_out')
            by_cell += finals
        for cell in self._cells:  # the next step's name counts these steps
            cell._counter += length or 0
        if len(first.cells) == 1:
            by_cell = sum(by_cell, [])
        return options.arranged(inputs), by_cell


def _unrolled(cell: BaseRNNCell, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol],
              options: Options) -> Unrolled:
    """`cell` step by step, because MXNet's own operator rounds 'rnn_relu' to float32."""
    mask = options.lengths.mask
    outputs, finals = cell._unroll_(mask(inputs, options.layout), states,
                                    options._replace(merge_outputs=True))
    return options.arranged(mask(merged(outputs, options.layout), options.layout)), finals


def _operator(layers: list[Layer], inputs: mx.sym.Symbol, states: list[list[mx.sym.Symbol]],
              width: int, dtype: Kind) -> tuple[mx.sym.Symbol, list[list[mx.sym.Symbol]]]:
    """Layers as one operator: outputs, and final states by cell."""
    first, name = layers[0], layers[0].cells[0]._prefix + 'fused_'
    inputs = apart(inputs, dtype, name + 'data_')
    begin = [_stacked(each, '%sstate_%d' % (name, k)) for k, each in enumerate(zip(*states))]
    vector = operator_vector(first.mode, [layer.cells for layer in layers], inputs, begin, name,
                             width, dtype)
    outputs, *lasts = mx.sym.RNN(
        inputs, vector, *begin, state_size=first.num_hidden, num_layers=len(layers),
        bidirectional=len(first.cells) == 2, mode=first.mode, state_outputs=True,
        name=name + 'rnn')
    finals = zip(*[mx.sym.SliceChannel(final, num_outputs=len(states), axis=0, squeeze_axis=True,
                                       name='%slast_%d' % (name, k))
                   for k, final in enumerate(lasts)])
    return outputs, list(map(list, finals))


def _padded(lengths: GivenLengths, layers: list[Layer], inputs: mx.sym.Symbol,
            states: list[list[mx.sym.Symbol]], width: int, dtype: Kind
            ) -> tuple[mx.sym.Symbol, list[list[mx.sym.Symbol]]]:
    """One layer over sequences of different lengths: outputs, and final states by cell."""
    layer, = layers
    names = [cell._prefix + 'fused_' for cell in layer.cells]
    arrays = [cell_arrays(cell, zero_row(inputs, name), width, dtype, name)[0]
              for cell, name in zip(layer.cells, names)]
    return padded_layer(layer.mode, layer.num_hidden, arrays, inputs, states, lengths, True,
                        [name + 'rnn' for name in names], dtype)


def _stacked(states: Sequence[mx.sym.Symbol], name: str) -> mx.sym.Symbol:
    """States of shape (batch, num_hidden) as one of shape (count, batch, num_hidden)."""
    states = [mx.sym.expand_dims(state, axis=0, name='%s_%d' % (name, i))
              for i, state in enumerate(states)]
    return states[0] if len(states) == 1 else mx.sym.Concat(*states, dim=0, name=name)
