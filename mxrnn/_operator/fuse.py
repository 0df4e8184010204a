"""fuse: ordinary cells through sym.RNN, with the weights that they have."""
from __future__ import annotations

import copy
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from .._cells.base import BaseRNNCell, check_cell
from .._cells.containers import BidirectionalCell, SequentialRNNCell
from .._cells.conv import ConvGRUCell, ConvLSTMCell, ConvRNNCell
from .._cells.dense import GRUCell, LSTMCell, RNNCell
from .._cells.gates import MODES
from .._cells.modifiers import DropoutCell, ResidualCell, ZoneoutCell
from .._cells.names import GROUPS, gate_array
from .._cells.params import RNNParams
from .._cells.sequence import (
    Inputs,
    arrange,
    check_states,
    known_shape,
    known_type,
    time_major,
)
from .._cells.unroll import Options
from .._cells.weights import Weights
from .._runtime.mxnet import mx
from .environment import cpu_build, onednn
from .fused import FusedRNNCell
from .layout import FusedLayout
from .padded import padded_layer

__all__ = ['fuse', 'operator_vector']


def fuse(cell: BaseRNNCell) -> BaseRNNCell:
    """A cell that computes the same as `cell` from the same weights, unrolled through sym.RNN.

    Parameters
    ----------
    cell : BaseRNNCell
        Any cell or stack. It is not changed, and may still be used itself.

    Returns
    -------
    BaseRNNCell
        Its `unroll` builds graphs with the arguments of `cell`, name for name, so that
        checkpoints, initialisers and optimisers see no difference; steps, states, weights and
        names are those of `cell`. Its `repr` says what is fused, and why the rest is not.

    Notes
    -----
    Fused are LSTMCell, GRUCell, RNNCell with 'tanh' or 'relu', and a BidirectionalCell of two
    alike; layers of LSTMCells or GRUCells of one width with nothing between them share an operator.
    (They have one each if `valid_length` is given, if the type of the begin states is not known to
    be float32 or float16, and, with a CPU build of MXNet, if there are fewer than 500 steps.) The
    others, subclasses among them, are unrolled as ever, in the same place. In between, sequences
    stay time-major.

    Raises
    ------
    TypeError
        `cell` is no cell.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> stack = rnn.SequentialRNNCell()
    >>> stack.add(rnn.LSTMCell(16, prefix='l0_'))
    >>> stack.add(rnn.ZoneoutCell(rnn.LSTMCell(16, prefix='l1_'), 0.1))
    >>> fast = rnn.fuse(stack)
    >>> fast  # doctest: +ELLIPSIS
    fuse(SequentialRNNCell(sym.RNN('lstm', 16: LSTMCell(...)), ZoneoutCell(...) [not fused: ...]))
    >>> outputs, states = fast.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 16)]
    """
    return _FusedUnroll(check_cell('cell', cell))


def operator_vector(mode: str, layers: Sequence[Sequence[BaseRNNCell]], inputs: mx.sym.Symbol,
                    name: str, width: int = 0, dtype: Any = None) -> mx.sym.Symbol:
    """The vector of sym.RNN, assembled in the graph from the weights of ordinary cells.

    Parameters
    ----------
    mode : str
        Of sym.RNN.
    layers : list of list of RNNCell, LSTMCell or GRUCell
        The cells of each layer, one for each direction; all of one kind and width.
    inputs : Symbol
        Of shape (length, batch, channels).
    name : str
        What the names of the nodes begin with.
    width : int
        Channels of `inputs`, 0 if that is not known.
    dtype : type, optional
        Of the weights, if it is known.
    """
    units = layers[0][0]._num_hidden
    arrays = {}
    row = _row(inputs, name)
    for i, layer in enumerate(layers):
        rows = []
        for direction, cell in zip('lr', layer):
            own = '%s%d_' % (direction, i)
            (i2h, h2h, *biases), last = _arrays(cell, row, width, dtype, name + own)
            fits = width == units
            if dtype is not None:  # in rows of num_hidden most of the matrices need no copy
                i2h, h2h = cell._iW if fits else i2h, cell._hW
            arrays[own + 'i2h_weight'] = i2h if fits else _rows(i2h, units)
            arrays[own + 'h2h_weight'] = h2h
            for group, bias in zip(GROUPS, biases):
                arrays[own + gate_array(group, 'bias')] = _rows(bias, units)
            rows.append(last)
        row, width = rows[0], units * len(layer)
        if len(rows) > 1:
            row = mx.sym.Concat(*rows, dim=1, name='%s%d_row' % (name, i))
    layout = FusedLayout(mode, units, len(layers), len(layers[0]) == 2)
    joined = mx.sym.Concat(*[arrays[array.name] for array in layout.arrays(0, by_gate=False)],
                           dim=0, name=name + 'rows')
    return mx.sym.Reshape(joined, shape=(-1,), name=name + 'parameters')


def _row(inputs: mx.sym.Symbol, name: str) -> mx.sym.Symbol:
    """One row as wide as time-major `inputs`, of zeros, through which no gradient comes."""
    step = mx.sym.slice_axis(inputs, axis=0, begin=0, end=1, name=name + 'step')
    part = mx.sym.slice_axis(step, axis=1, begin=0, end=1, name=name + 'part')
    return mx.sym.zeros_like(mx.sym.Flatten(part, name=name + 'flat'), name=name + 'row')


def _arrays(cell: BaseRNNCell, row: mx.sym.Symbol, width: int, dtype: Any, name: str
            ) -> tuple[list[mx.sym.Symbol], mx.sym.Symbol]:
    """The weights and then the biases of `cell`, with shapes that are inferred though a Concat
    takes them; and one row as wide as its output.

    The cell's input is as wide as `row`; `width` and `dtype` say so if they are known.
    """
    units = cell._num_hidden
    weights, biases = [], []
    for group, weight, bias in zip(GROUPS, (cell._iW, cell._hW), (cell._iB, cell._hB)):
        array = '%s%s_' % (name, group)
        weight, vector = _inferred(weight, len(cell._gate_names) * units, width, row, dtype, array)
        weights.append(weight)
        biases.append(mx.sym._internal._identity_with_attr_like_rhs(bias, vector,
                                                                    name=array + 'bias'))
        row, width = _first(vector, units), units
    return weights + biases, row


def _rows(array: mx.sym.Symbol, length: int) -> mx.sym.Symbol:
    return mx.sym.Reshape(array, shape=(-1, length), name=array.name + '_rows')


def _first(vector: mx.sym.Symbol, length: int) -> mx.sym.Symbol:
    """The begin of `vector` as one row."""
    part = mx.sym.slice_axis(vector, axis=0, begin=0, end=length, name=vector.name + '_part')
    return mx.sym.Reshape(part, shape=(1, length), name=vector.name + '_row')


def _inferred(weight: mx.sym.Symbol, length: int, width: int, row: mx.sym.Symbol, dtype: Any,
              name: str) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
    """`weight` with a shape that is inferred, and a vector as long as it has rows.

    The vector's values are not for use. Looking up a few rows costs nothing, neither forwards nor
    (as no gradient comes to it) backwards; where the width of `weight` is not known (0) or its type
    is not (None), both come from copies of `row`.
    """
    if width and dtype is not None:
        indices = mx.sym.zeros((-(-length // width),), name=name + 'indices')
        some = mx.sym.Embedding(indices, weight, input_dim=length, output_dim=width, dtype=dtype,
                                name=name + 'lookup')
    else:
        some = mx.sym.broadcast_axis(row, axis=0, size=length, name=name + 'copies')
        weight = mx.sym._internal._identity_with_attr_like_rhs(weight, some, name=name + 'like')
    vector = mx.sym.slice_axis(mx.sym.Reshape(some, shape=(-1,), name=name + 'flat'), axis=0,
                               begin=0, end=length, name=name + 'vector')
    return mx.sym.reshape_like(weight, vector, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=1,
                               name=name + 'weight'), vector


class _Layer(NamedTuple):
    """What one layer of sym.RNN can do: its mode, its width, its cell for each direction."""

    mode: str
    num_hidden: int
    cells: list[BaseRNNCell]

    def alike(self, other: _Layer) -> bool:
        return (self.mode, self.num_hidden, len(self.cells)) == (
            other.mode, other.num_hidden, len(other.cells))

    @property
    def stacks(self) -> bool:
        """Whether several such layers can become one operator."""
        return self.mode in ('lstm', 'gru')


#: From how many steps on layers share an operator. On CPUs that takes less memory for each step,
#: but the operator takes longer to get its weights.
SHARED_FROM = 500 if cpu_build() else 1


def _layer(cell: BaseRNNCell) -> _Layer | str:
    """`cell` as a layer of sym.RNN, or why it is none."""
    kind = type(cell)
    if kind is BidirectionalCell:
        sides = [_layer(side) for side in cell._cells]
        if all(isinstance(side, _Layer) and len(side.cells) == 1 and side.alike(sides[0])
               for side in sides):
            return sides[0]._replace(cells=[side.cells[0] for side in sides])
    if kind not in (RNNCell, LSTMCell, GRUCell):
        return _REASONS.get(kind, '%s may compute something else' % kind.__name__)
    replaced = [name for name in vars(cell) if callable(getattr(kind, name, None))]
    if replaced:
        return 'its %s is replaced' % replaced[0]
    mode = {LSTMCell: 'lstm', GRUCell: 'gru'}.get(kind, 'rnn_%s' % (cell._activation,))
    if mode not in MODES or (kind is not RNNCell and cell._activation != kind._activation):
        return 'sym.RNN has no activation %r' % (cell._activation,)
    return _Layer(mode, cell._num_hidden, [cell])


_REASONS = {
    FusedRNNCell: 'it is sym.RNN',
    DropoutCell: 'it is no layer',
    ZoneoutCell: 'it changes what one step hands to the next',
    **dict.fromkeys((ConvRNNCell, ConvLSTMCell, ConvGRUCell), 'sym.RNN does not convolve'),
}

#: What is taken apart, to fuse the cells in it.
_TRANSPARENT = (SequentialRNNCell, BidirectionalCell, ResidualCell)


class _Operator(BaseRNNCell):
    """Layers of one kind and width through sym.RNN, time-major."""

    can_step = False
    _masks_padding = True

    def __init__(self, layer: _Layer) -> None:
        self._layers = [layer]
        super().__init__()
        self._width = 0  #: of the input, 0 if it is not known

    def __repr__(self) -> str:
        first = self._layers[0]
        return 'sym.RNN(%r, %d: %s)' % (first.mode, first.num_hidden,
                                        ', '.join(map(repr, self._cells_in_order())))

    def reset(self) -> None:
        super().reset()
        for cell in self._cells_in_order():
            cell.reset()

    def _cells_in_order(self) -> list[BaseRNNCell]:
        return sum((layer.cells for layer in self._layers), [])

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return sum((cell.state_info for cell in self._cells_in_order()), [])

    def begin_state(self, *args: Any, **kwargs: Any) -> list[mx.sym.Symbol]:
        states = []
        for cell in self._cells_in_order():
            was, cell._modified = cell._modified, False  # the modifier around it asks
            try:
                states += cell.begin_state(*args, **kwargs)
            finally:
                cell._modified = was
        return states

    def _unroll(self, inputs: Inputs, begin_state: Any, options: Options
                ) -> tuple[Inputs, list[Any]]:
        length, layout, merge_outputs, _, valid_length, _ = options
        first, cells = self._layers[0], self._cells_in_order()
        name = first.cells[0]._prefix + 'fused_'
        if not isinstance(inputs, mx.sym.Symbol):
            inputs = mx.sym.stack(*inputs, axis=0, name=name + 'inputs')
        if len(known_shape(inputs)) > 3:  # which FullyConnected takes as channels, too
            inputs = mx.sym.Reshape(inputs, shape=(0, 0, -1), name=name + 'channels')
        count = len(first.cells[0].state_info)
        states = check_states(self._first_states(begin_state, options.dtype), len(cells) * count,
                              self)
        if len(cells) > 1:  # as the cells within a BidirectionalCell are
            self.reset()
        rest, dtype = iter(states), known_type(states[0])
        width = self._width or (known_shape(inputs) or (0,))[-1]
        shared = (valid_length is None and length is not None and length >= SHARED_FROM
                  and (onednn(dtype) or dtype == np.float16))
        by_cell: list[Any] = []
        for layers in [self._layers] if shared else [[layer] for layer in self._layers]:
            own = [[next(rest) for _ in cell.state_info]
                   for layer in layers for cell in layer.cells]
            inputs, finals = (_operator(layers, inputs, own, width, dtype)
                              if valid_length is None else
                              _padded(layers[0], inputs, own, width, dtype, valid_length))
            width = first.num_hidden * len(first.cells)
            by_cell += finals
        if len(first.cells) == 1:
            by_cell = sum(by_cell, [])
        return arrange(length, inputs, layout, merge_outputs), by_cell


def _operator(layers, inputs, states, width, dtype):
    """Layers as one operator: outputs, and by cell the final states."""
    first, name = layers[0], layers[0].cells[0]._prefix + 'fused_'
    vector = operator_vector(first.mode, [layer.cells for layer in layers], inputs, name,
                             width, dtype)
    outputs, *finals = mx.sym.RNN(
        inputs, vector, *[_stacked(each, '%sstate_%d' % (name, k))
                          for k, each in enumerate(zip(*states))],
        state_size=first.num_hidden, num_layers=len(layers), bidirectional=len(first.cells) == 2,
        mode=first.mode, state_outputs=True, name=name + 'rnn')
    finals = zip(*[mx.sym.SliceChannel(final, num_outputs=len(states), axis=0, squeeze_axis=True,
                                       name='%slast_%d' % (name, k))
                   for k, final in enumerate(finals)])
    return outputs, list(map(list, finals))


def _padded(layer, inputs, states, width, dtype, valid_length):
    """A layer over sequences of different lengths: outputs, and by cell the final states."""
    names = [cell._prefix + 'fused_' for cell in layer.cells]
    arrays = [_arrays(cell, _row(inputs, name), width, dtype, name)[0]
              for cell, name in zip(layer.cells, names)]
    return padded_layer(layer.mode, layer.num_hidden, arrays, inputs, states, valid_length, True,
                        [name + 'rnn' for name in names])


def _stacked(states: Sequence[mx.sym.Symbol], name: str) -> mx.sym.Symbol:
    """States of shape (batch, num_hidden) as one of shape (count, batch, num_hidden)."""
    states = [mx.sym.expand_dims(state, axis=0, name='%s_%d' % (name, i))
              for i, state in enumerate(states)]
    return states[0] if len(states) == 1 else mx.sym.Concat(*states, dim=0, name=name)


def _flattened(stack: SequentialRNNCell) -> Iterator[BaseRNNCell]:
    for cell in stack._cells:
        if type(cell) is SequentialRNNCell:
            yield from _flattened(cell)
        else:
            yield cell


def _plan(cell: BaseRNNCell) -> BaseRNNCell:
    """`cell` with an _Operator in the place of what can be fused; itself if nothing can."""
    layer = _layer(cell)
    if isinstance(layer, _Layer):
        return _Operator(layer)
    if type(cell) is _FusedUnroll:
        return _plan(cell._cell)
    if type(cell) not in _TRANSPARENT:
        return cell
    children: list[BaseRNNCell] = []
    width = 0
    for child in _flattened(cell) if type(cell) is SequentialRNNCell else cell._inner_cells():
        planned = _plan(child)
        if (type(cell) is SequentialRNNCell and children
                and isinstance(planned, _Operator) and isinstance(children[-1], _Operator)
                and planned._layers[0].stacks
                and planned._layers[0].alike(children[-1]._layers[0])):
            children[-1]._layers += planned._layers
        else:
            children.append(planned)
            if type(cell) is SequentialRNNCell:
                width = _set_width(planned, width)
    if not any(map(_has_operator, children)):
        return cell
    planned = copy.copy(cell)
    if type(cell) is ResidualCell:
        planned.base_cell, = children
    else:
        planned._cells = children
    return planned


def _set_width(planned: BaseRNNCell, width: int) -> int:
    """Tell `planned` how wide its input is, and return how wide its output is; 0 is unknown."""
    if isinstance(planned, _Operator):
        planned._width, layer = width, planned._layers[0]
        return layer.num_hidden * len(layer.cells)
    if type(planned) is ResidualCell:
        return _set_width(planned.base_cell, width)
    return width if type(planned) is DropoutCell else 0


def _has_operator(cell: BaseRNNCell) -> bool:
    return isinstance(cell, _Operator) or any(map(_has_operator, cell._inner_cells()))


def _gives_steps(planned: BaseRNNCell) -> bool:
    """Whether what `planned` stands for gives a list of steps when merge_outputs is None and its
    operators give one Symbol."""
    if isinstance(planned, _Operator):
        return True
    children = planned._inner_cells()
    if type(planned) is SequentialRNNCell:  # dropout leaves the form as it is
        children = [child for child in children if type(child) is not DropoutCell][-1:]
    elif type(planned) not in (BidirectionalCell, ResidualCell):
        return False
    return any(map(_gives_steps, children))


class _FusedUnroll(BaseRNNCell):
    """What `fuse` returns."""

    def __init__(self, cell: BaseRNNCell) -> None:
        super().__init__(prefix=cell._prefix, params=cell._params)
        self._own_params = cell._own_params
        self._cell = cell

    def __repr__(self) -> str:
        return 'fuse(%s)' % _described(_plan(self._cell))

    def _inner_cells(self) -> list[BaseRNNCell]:
        return [self._cell] if hasattr(self, '_cell') else []

    def _shared_params(self) -> RNNParams:
        return self._cell.params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return self._cell.state_info

    @property
    def _masks_padding(self) -> bool:  # type: ignore[override]
        return _plan(self._cell)._masks_padding

    def begin_state(self, *args: Any, **kwargs: Any) -> list[mx.sym.Symbol]:
        self._check_unmodified()
        return self._cell.begin_state(*args, **kwargs)

    def unpack_weights(self, args: Weights) -> Weights:
        return self._cell.unpack_weights(args)

    def pack_weights(self, args: Weights) -> Weights:
        return self._cell.pack_weights(args)

    def __call__(self, inputs: mx.sym.Symbol, states: Any
                 ) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
        return self._cell(inputs, states)

    def _unroll(self, inputs: Inputs, begin_state: Any, options: Options
                ) -> tuple[Inputs, list[Any]]:
        plan = _plan(self._cell)
        if not _has_operator(plan):
            return self._cell._unroll_within(inputs, begin_state, options)
        length, layout, merge_outputs = options[:3]
        if isinstance(inputs, mx.sym.Symbol):
            inputs = time_major(inputs, layout)
        else:
            length = len(inputs)
        # Not reset as cells in a cell are: begin states then have the names that `cell` gives them.
        outputs, states = plan._unroll(inputs, begin_state,
                                       options._replace(length=length, layout='TNC'))
        if merge_outputs is None and options.valid_length is None and _gives_steps(plan):
            outputs = arrange(length, outputs, 'TNC', False)
        if isinstance(outputs, mx.sym.Symbol):
            outputs = time_major(outputs, layout)
        return outputs, states


def _described(planned: BaseRNNCell) -> str:
    if isinstance(planned, _Operator):
        return repr(planned)
    if type(planned) in _TRANSPARENT:
        return '%s(%s)' % (type(planned).__name__,
                           ', '.join(map(_described, planned._inner_cells())))
    return '%r [not fused: %s]' % (planned, _layer(planned))
