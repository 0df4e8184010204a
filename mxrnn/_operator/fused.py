"""FusedRNNCell: layers, directions and steps as one sym.RNN, whose weights are one vector."""
from __future__ import annotations

import math
import warnings
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from .. import _check
from .._cells.base import BaseRNNCell
from .._cells.containers import BidirectionalCell, SequentialRNNCell
from .._cells.dense import GRUCell, LSTMCell, RNNCell
from .._cells.gates import GROUPS, KINDS, MODES, gate_array
from .._cells.modifiers import DropoutCell, drop
from .._cells.params import RNNParams
from .._cells.sequence import (
    Inputs,
    arrange,
    check_states,
    known_shape,
    known_type,
    mask,
    time_axis,
    time_major,
)
from .._cells.unroll import Options
from .._cells.weights import (
    ARRAYS,
    Weights,
    copy_rows,
    copy_weights,
    join_weights,
    take_weights,
)
from .._runtime.mxnet import mx
from .padded import padded_layer

__all__ = ['FusedRNN', 'FusedRNNCell', 'fused_layout']

#: The ordinary cell of each mode: (num_hidden, prefix, forget_bias) -> cell.
_ORDINARY: dict[str, Callable[..., BaseRNNCell]] = {
    'rnn_relu': lambda units, prefix, _: RNNCell(units, activation='relu', prefix=prefix),
    'rnn_tanh': lambda units, prefix, _: RNNCell(units, activation='tanh', prefix=prefix),
    'lstm': lambda units, prefix, bias: LSTMCell(units, prefix=prefix, forget_bias=bias),
    'gru': lambda units, prefix, _: GRUCell(units, prefix=prefix),
}


def fused_layout(gates: Sequence[str], num_input: int, num_hidden: int, num_layers: int,
                 directions: Sequence[str]) -> Iterator[tuple[str, tuple]]:
    """Yield name ('l0_i2h_f_weight') and shape of each array in the order of sym.RNN's vector."""
    for kind in KINDS:
        for layer in range(num_layers):
            for direction in directions:
                for group in GROUPS:
                    width = (num_hidden if group == 'h2h' else
                             num_input if layer == 0 else num_hidden * len(directions))
                    for gate in gates:
                        yield ('%s%d_%s' % (direction, layer, gate_array(group, kind, gate)),
                               (num_hidden, width) if kind == 'weight' else (num_hidden,))


def _register(initializer: Any) -> Any:
    """Let MXNet find `initializer` by its name, in the place of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*overriding existing', UserWarning)
        return mx.init.register(initializer)


def _cpu_build() -> bool:
    """Whether this MXNet has operators for CPUs alone."""
    return not mx.runtime.Features().is_enabled('CUDA')


class _Once:
    """Warnings that are given once in a process."""

    given: set = set()

    @classmethod
    def warn(cls, message: str, stacklevel: int) -> None:
        """Warn of the line that is `stacklevel` calls above this one."""
        if message not in cls.given:
            cls.given.add(message)
            warnings.warn(message, stacklevel=stacklevel + 1)


@_register
class FusedRNN(mx.init.Initializer):
    """Initialises the vector of a FusedRNNCell array by array, like those of ordinary cells.

    FusedRNNCell gives it to its vector, so that the initialiser of a model need not know of it.
    To be used where that is not enough: with initialisers that get no attributes of variables, or
    for `mx.init.Mixed` to tell arrays from each other, ``Mixed(['.*_parameters', '.*'],
    [FusedRNN(Mixed(...), ...), Xavier()])``.

    Parameters
    ----------
    init : Initializer or callable, str, optional
        Called with each array and its name, such as 'lstm_l0_i2h_i_weight'; as a str, what its
        `dumps` gives. The model's own initialiser if None.
    num_hidden, num_layers, mode, bidirectional, forget_bias
        Of the FusedRNNCell. In mode 'lstm', the forget gates' biases of both i2h and h2h are set
        to `forget_bias`.

    Notes
    -----
    It gives the values, and the attribute of the variable, that ``mx.init.FusedRNN`` gives.
    """

    def __init__(self, init: Any, num_hidden: int, num_layers: int, mode: str,
                 bidirectional: bool = False, forget_bias: float = 1.0) -> None:
        if isinstance(init, str):
            try:
                init = mx.init.create(init)
            except (AssertionError, ValueError) as error:
                raise ValueError('init must be the name of an initialiser, got %r: %s'
                                 % (init, error)) from None
        if init is not None:
            _check.function('init', init)
        self._cell = {'num_hidden': _check.units(num_hidden),
                      'num_layers': _check.integer('num_layers', num_layers, 1, _check.LARGEST),
                      'mode': _check.choice('mode', mode, MODES),
                      'bidirectional': _check.flag('bidirectional', bidirectional),
                      'forget_bias': _check.number('forget_bias', forget_bias)}
        super().__init__(init=init.dumps() if hasattr(init, 'dumps') else init, **self._cell)
        self._init = init

    def _init_weight(self, desc, arr):
        init = getattr(desc, 'global_init', None) if self._init is None else self._init
        while hasattr(init, '_init') and type(init).__name__ == 'FusedRNN':  # the model's
            init = init._init
        if init is None:
            raise ValueError('init of a FusedRNN that initialises %s by itself must be an '
                             'initialiser, got None' % desc)
        if len(arr.shape) != 1:  # another parameter of the model
            init(desc, arr)
            return
        prefix = desc[:-len('parameters')] if desc.endswith('parameters') else desc + '_'
        cell = FusedRNNCell(prefix=prefix, **self._cell)
        arrays = cell.unpack_weights({prefix + 'parameters': arr})
        for name, array in arrays.items():
            if name.endswith('_f_bias'):
                array[:] = self._cell['forget_bias']
            else:
                init(mx.init.InitDesc(name, global_init=init), array)
        arr[:] = cell.pack_weights(arrays)[prefix + 'parameters']

    _init_default = _init_weight  # a name that ends in 'parameters' says nothing to MXNet


class FusedRNNCell(BaseRNNCell):
    """Layers of one kind as a single sym.RNN: cuDNN on a GPU, oneDNN on a CPU.

    The equations are those of `RNNCell`, `LSTMCell` and `GRUCell`.

    Parameters
    ----------
    num_hidden : int
        Number of units of each layer and direction.
    num_layers : int
        Number of layers.
    mode : {'rnn_relu', 'rnn_tanh', 'lstm', 'gru'}
        Kind of the layers.
    bidirectional : bool
        Read the sequence in both directions; the output then has 2 * num_hidden channels.
    dropout : float
        Probability, from 0 to 1, of dropout between layers, in training. MXNet's CPU operator
        does not apply it; with `valid_length` it is applied everywhere.
    get_next_state : bool
        Whether `unroll` returns the states after the last step; else it returns [].
    forget_bias : float
        What the forget gates' biases, i2h and h2h, are initialised to (mode 'lstm'), each: their
        sum is twice that of ordinary cells, as in mxnet.rnn.
    prefix : str, optional
        Prefix of the names of nodes, and of weights if `params` is None; the mode and '_' if
        None.
    params : RNNParams, optional
        Container of the weights; a new one if None.

    Notes
    -----
    One vector, ``<prefix>parameters``, holds all weights and then all biases, each in the order
    layer, direction ('l', 'r'), i2h then h2h, gate (`fused_layout`). States have the shape
    (num_layers * directions, batch, num_hidden): the output, and for 'lstm' the memory.
    It cannot be stepped; `unfuse` gives the same function as a stack of cells that can.
    With `valid_length` each layer and direction is an operator of its own, unless there is one
    direction, no dropout between layers and no state to return.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.FusedRNNCell(16, num_layers=2, mode='lstm', prefix='lstm_')
    >>> outputs, _ = cell.unroll(20, mx.sym.Variable('x'), layout='TNC', merge_outputs=True)
    >>> outputs.infer_shape(x=(20, 4, 5))[1]
    [(20, 4, 16)]
    >>> outputs.list_arguments()
    ['x', 'lstm_parameters']
    """

    can_step = False
    _masks_padding = True

    def __init__(self, num_hidden: int, num_layers: int = 1, mode: str = 'lstm',
                 bidirectional: bool = False, dropout: float = 0., get_next_state: bool = False,
                 forget_bias: float = 1.0, prefix: str | None = None,
                 params: RNNParams | None = None) -> None:
        _check.choice('mode', mode, MODES)
        super().__init__(prefix='%s_' % mode if prefix is None else prefix, params=params)
        self._num_hidden = _check.units(num_hidden)
        self._num_layers = _check.integer('num_layers', num_layers, 1, _check.LARGEST)
        self._mode = mode
        self._bidirectional = _check.flag('bidirectional', bidirectional)
        self._dropout = _check.number('dropout', dropout, 0, 1)
        self._get_next_state = _check.flag('get_next_state', get_next_state)
        self._forget_bias = _check.number('forget_bias', forget_bias)
        self._directions = ['l', 'r'] if bidirectional else ['l']
        self._parameter = self._params.get('parameters', init=FusedRNN(
            None, self._num_hidden, self._num_layers, mode, self._bidirectional,
            self._forget_bias))
        if dropout > 0 and num_layers > 1 and _cpu_build():
            _Once.warn("FusedRNNCell's dropout is not applied in training by MXNet's CPU operator; "
                       'unfuse() gives cells with DropoutCells between them, which apply it', 2)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        layers = self._num_layers * len(self._directions)
        return [{'shape': (layers, 0, self._num_hidden), '__layout__': 'LNC'}
                for _ in range(MODES[self._mode].num_states)]

    @property
    def _gate_names(self) -> list[str]:
        return list(MODES[self._mode].gates)

    @property
    def _num_gates(self) -> int:
        return len(self._gate_names)

    # Weights

    def _layout(self, num_input: int) -> list[tuple[str, tuple]]:
        return [(self._prefix + name, shape) for name, shape in fused_layout(
            self._gate_names, num_input, self._num_hidden, self._num_layers, self._directions)]

    def _size(self, num_input: int) -> int:
        return sum(math.prod(shape) for _, shape in self._layout(num_input))

    def _input_width(self, size: int) -> int:
        """Number of input channels for which the vector has `size` elements."""
        fixed, each = self._size(0), self._size(1) - self._size(0)
        width, rest = divmod(size - fixed, each)
        if width < 1 or rest:
            raise ValueError('%s must have %d + %d * (number of input channels) elements for %r, '
                             'got %d' % (self._parameter.name, fixed, each, self, size))
        return width

    def unpack_weights(self, args: Weights) -> Weights:
        """Split the vector into the arrays that ordinary cells would have, by gate.

        In place of ``lstm_parameters``, ``lstm_l0_i2h_i_weight`` of shape (num_hidden, num_input)
        and so on for each layer, direction, group, gate and kind; the width of the input follows
        from the vector's size. What else is in `args`, and what is raised, is as in
        `BaseRNNCell.unpack_weights`.
        """
        args = copy_weights(args)
        if self._parameter.name not in args and all(name in args for name, _ in self._layout(0)):
            return args
        vector, = take_weights(args, {self._parameter.name: (0,)}, self)
        begin = 0
        for name, shape in self._layout(self._input_width(vector.size)):
            end = begin + math.prod(shape)
            args[name] = copy_rows(vector, begin, end).reshape(shape)
            begin = end
        return args

    def pack_weights(self, args: Weights) -> Weights:
        """Join the arrays of all gates into the vector: the inverse of `unpack_weights`."""
        args = copy_weights(args)
        layout = self._layout(0)
        if self._parameter.name in args and not any(name in args for name, _ in layout):
            vector, = take_weights(args.copy(), {self._parameter.name: (0,)}, self)
            self._input_width(vector.size)  # refuses other sizes
            return args
        first = args.get(layout[0][0])
        if isinstance(first, ARRAYS) and len(first.shape) == 2:
            layout = self._layout(first.shape[1])
        pieces = take_weights(args, dict(layout), self)
        # In rows: MXNet's operator is many times as fast along the first of two axes as of one.
        rows = [piece.reshape((-1, self._num_hidden)) for piece in pieces]
        args[self._parameter.name] = join_weights(self._parameter.name, rows).reshape((-1,))
        return args

    # Graphs

    def __call__(self, inputs: mx.sym.Symbol, states: Any
                 ) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
        raise NotImplementedError('%r cannot be stepped, since it is one operator for all steps: '
                                  'use unroll, or unfuse() and step the result' % self)

    def _unroll(self, inputs: Inputs, begin_state: Any, options: Options
                ) -> tuple[Inputs, list[Any]]:
        length, layout, merge_outputs, dtype, valid_length, _ = options
        inputs = arrange(length, inputs, layout, True)
        shape = known_shape(inputs)
        if len(shape) not in (0, 3):
            raise ValueError('inputs of %r must have 3 axes (%s), got shape %s'
                             % (self, layout, shape))
        if time_axis(layout) == 1:
            _Once.warn("FusedRNNCell works on time-major data: layout 'TNC' saves the two "
                       "transpositions that 'NTC' needs", 5)
        inputs = time_major(inputs, layout)
        states = check_states(self._first_states(begin_state, dtype), len(self.state_info),
                              self)
        between = self._dropout if self._num_layers > 1 else 0
        if valid_length is not None and (self._bidirectional or self._get_next_state or between):
            outputs, states = self._operators(inputs, states, valid_length, between)
        else:
            if self._num_layers > 1 and known_type(states[0]) == np.float64 and _cpu_build():
                _Once.warn("in float64 MXNet's CPU operator has wrong gradients of all layers but "
                           'the last if the inputs of a FusedRNNCell need no gradient, as in a '
                           'Module without inputs_need_grad=True; unfuse() gives cells with right '
                           'ones', 5)
            if valid_length is not None:
                inputs = mask(None, inputs, 'TNC', valid_length)
            outputs, states = self._operator(inputs, self._parameter, states, self._get_next_state)
            if valid_length is not None:
                outputs = mask(None, outputs, 'TNC', valid_length)
        for state in states:
            state._set_attr(__layout__='LNC')
        return arrange(length, time_major(outputs, layout), layout, merge_outputs), states

    def _operator(self, inputs, parameters, states, next_states):
        """All layers as one operator over time-major inputs."""
        rnn = mx.sym.RNN(data=inputs, parameters=parameters,
                         state_size=self._num_hidden, num_layers=self._num_layers,
                         bidirectional=self._bidirectional, p=self._dropout,
                         state_outputs=next_states, mode=self._mode,
                         name=self._prefix + 'rnn', **dict(zip(('state', 'state_cell'), states)))
        return (rnn[0], list(rnn)[1:]) if next_states else (rnn, [])

    def _operators(self, inputs, states, valid_length, between):
        """Sequences of different lengths: one operator for each layer and direction, with dropout
        of the probability `between` in between."""
        arrays = self._arrays(inputs, states)
        begin = list(zip(*[mx.sym.SliceChannel(state, num_outputs=len(arrays), axis=0,
                                               squeeze_axis=True) for state in states]))
        finals: list[Any] = []
        size = len(self._directions)
        for layer in range(self._num_layers):
            if layer and between:
                inputs = drop(inputs, between)
            own = slice(layer * size, (layer + 1) * size)
            inputs, states = padded_layer(
                self._mode, self._num_hidden, arrays[own], inputs, begin[own], valid_length,
                self._get_next_state, ['%s%s%d_rnn' % (self._prefix, direction, layer)
                                       for direction in self._directions])
            finals += states
        return inputs, [mx.sym.stack(*each, axis=0) for each in zip(*finals)]

    def _arrays(self, inputs, states):
        """The vector's arrays, by layer and direction, in one list.

        The width of the inputs is not known here, so places are counted from the vector's end.
        Slices don't let the vector's size be inferred; one step of the whole operator does, over
        zeros, from which no gradient comes.
        """
        steps, zeros, *begin = map(mx.sym.zeros_like, [inputs, self._parameter, *states])
        step, _ = self._operator(mx.sym.slice_axis(steps, axis=0, begin=0, end=1), zeros, begin,
                                 False)

        def slices(begin, end):
            return mx.sym.slice_axis(self._parameter, axis=0, begin=begin, end=end)

        def equal_parts(array, number):
            return list(mx.sym.SliceChannel(mx.sym.reshape(array, shape=(number, -1)),
                                            num_outputs=number, axis=0))

        directions, units = len(self._directions), self._num_hidden
        rows, upper = units * self._num_gates, directions * (self._num_layers - 1)
        biases = -2 * rows * (directions + upper)
        others = biases - upper * rows * units * (directions + 1)
        by_layer = equal_parts(slices(0, others), directions)
        if upper:
            by_layer += equal_parts(slices(others, biases), upper)
        biases = equal_parts(mx.sym.broadcast_add(
            slices(biases, None), mx.sym.sum(mx.sym.zeros_like(step))), 2 * len(by_layer))
        arrays = [[mx.sym.slice_axis(weights, axis=1, begin=0, end=-rows * units),
                   mx.sym.slice_axis(weights, axis=1, begin=-rows * units, end=None),
                   *biases[2 * i:2 * i + 2]] for i, weights in enumerate(by_layer)]
        return [[mx.sym.reshape(array, shape=(rows, -1)) for array in own] for own in arrays]

    def unfuse(self) -> SequentialRNNCell:
        """The same function as a stack of ordinary cells, which can be stepped.

        Returns
        -------
        SequentialRNNCell
            With an RNNCell, LSTMCell or GRUCell for each layer (prefix ``<prefix>l0_``, ...), or a
            BidirectionalCell of two (``<prefix>l0_``, ``<prefix>r0_``), and DropoutCells between
            layers. `unpack_weights` of this cell, then `pack_weights` of the stack carry weights
            over; the checkpoint functions do both.
        """
        def cell(direction, layer):
            return _ORDINARY[self._mode](self._num_hidden, '%s%s%d_' % (
                self._prefix, direction, layer), self._forget_bias)

        stack = SequentialRNNCell()
        for layer in range(self._num_layers):
            cells = [cell(direction, layer) for direction in self._directions]
            stack.add(cells[0] if len(cells) == 1 else BidirectionalCell(
                *cells, output_prefix='%sbi_l%d_' % (self._prefix, layer)))
            if self._dropout > 0 and layer < self._num_layers - 1:
                stack.add(DropoutCell(self._dropout,
                                      prefix='%s_dropout%d_' % (self._prefix, layer)))
        return stack
