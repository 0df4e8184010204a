"""FusedRNNCell: layers, directions and steps as one sym.RNN, whose weights are one vector."""
from __future__ import annotations

from typing import Callable, Sequence

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell, Step
from .._cells.containers import BidirectionalCell, SequentialRNNCell
from .._cells.dense import GRUCell, LSTMCell, LSTMPCell, RNNCell
from .._cells.gate_equations import MODES
from .._cells.known_shapes import Kind, known_shape, known_type
from .._cells.modifiers import DropoutCell, drop
from .._cells.sequences import Inputs, check_length, merged, time_axis, time_major
from .._cells.states import StateInfo, States, check_states, flatten
from .._cells.unroll import GivenLengths, Options, Unrolled
from .._cells.variables import RNNParams
from .._cells.weights_by_gate import ARRAYS, Weights, copy_weights, join_weights, take_weights
from .._graph.rnn_vector_layout import FusedLayout, Mode
from .._runtime.mxnet import mx
from .flat_weight_symbols import apart, arrays_of, sized
from .fused_initializer import FusedRNN, check_projection
from .padded_layer import padded_layer
from .rnn_defects import cpu_build, warn_of_defects

__all__ = ['FusedRNNCell']

#: Each mode's ordinary cell: (num_hidden, projection_size, prefix, options of LSTMs) -> cell.
_ORDINARY: dict[str, Callable[..., BaseRNNCell]] = {
    'rnn_relu': lambda units, _, prefix, **__: RNNCell(units, activation='relu', prefix=prefix),
    'rnn_tanh': lambda units, _, prefix, **__: RNNCell(units, activation='tanh', prefix=prefix),
    'lstm': lambda units, size, prefix, **options: (
        LSTMPCell(units, size, prefix, **options) if size else LSTMCell(units, prefix, **options)),
    'gru': lambda units, _, prefix, **__: GRUCell(units, prefix=prefix),
}

Symbol = mx.sym.Symbol


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
        Probability, from 0 to 1, of dropout between layers in training. On CPUs, MXNet's operators
        do not apply it, or also apply it in inference; `unroll` warns. With `valid_length` it is
        right everywhere.
    get_next_state : bool
        Whether `unroll` returns the states after the last step; otherwise it returns [].
    forget_bias : float
        Initial value of the forget gates' biases (mode 'lstm'), of i2h and of h2h each: their sum
        is twice that of ordinary cells, as in mxnet.rnn.
    prefix : str, optional
        Prefix of the names of nodes, and of weights if `params` is None; the mode and '_' if
        None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    projection_size : int, optional
        Number of units to which outputs are projected (mode 'lstm'), as in `LSTMPCell`.
    state_clip : pair of float, optional
        Lowest and highest value of the memory (mode 'lstm'), both finite, as in `LSTMCell`.

    Notes
    -----
    One vector, ``<prefix>parameters``, has all weights and then all biases, each in the order
    layer, direction ('l', 'r'), i2h, h2h and, with a projection, h2r, gate
    (`_graph/rnn_vector_layout.py`). States have the shape (num_layers * directions, batch,
    num_hidden): the output, and for 'lstm' the memory. With a projection the output has
    projection_size channels. On CPUs, sym.RNN crashes or does not train with a projection, and does
    not clip. There, and with `valid_length`, a cell with a projection or clipping is unrolled step
    by step, with weights from the vector. The cell cannot be stepped; `unfuse` returns the same
    function as a stack of cells that can. With `valid_length`, each layer and direction is its own
    operator, unless there is one direction, no dropout between layers, no state to return, and a
    mode other than 'rnn_relu'.

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
    _in_fuse_ = 'it is sym.RNN'

    def __init__(self, num_hidden: int, num_layers: int = 1, mode: Mode = 'lstm',
                 bidirectional: bool = False, dropout: float = 0., get_next_state: bool = False,
                 forget_bias: float = 1.0, prefix: str | None = None,
                 params: RNNParams | None = None, *, projection_size: int | None = None,
                 state_clip: Sequence[float] | None = None) -> None:
        _check.choice('mode', mode, MODES)
        super().__init__(prefix='%s_' % mode if prefix is None else prefix, params=params)
        self._num_hidden = _check.units(num_hidden)
        self._num_layers = _check.integer('num_layers', num_layers, 1, _check.LARGEST)
        self._mode = mode
        self._bidirectional = _check.flag('bidirectional', bidirectional)
        self._dropout = _check.number('dropout', dropout, 0, 1)
        self._get_next_state = _check.flag('get_next_state', get_next_state)
        self._forget_bias_ = _check.number('forget_bias', forget_bias)
        self._directions = ['l', 'r'] if bidirectional else ['l']
        self._projection_size_ = check_projection(projection_size, mode)
        self._clip_ = _check.bounds('state_clip', state_clip)
        if self._clip_ is not None and mode != 'lstm':
            raise ValueError("state_clip must be None for mode %r, got %s: only 'lstm' has a memory"
                             % (mode, _check.shown(state_clip)))
        self._parameter = self._params.get('parameters', init=FusedRNN(
            None, self._num_hidden, self._num_layers, mode, self._bidirectional,
            self._forget_bias_, projection_size=self._projection_size_))

    def _sizes_(self) -> list[str]:
        return [*super()._sizes_(), 'num_layers=%d' % self._num_layers, repr(self._mode),
                *(['bidirectional'] if self._bidirectional else []),
                *('%s=%s' % each for each in (('projection_size', self._projection_size_),
                                              ('state_clip', self._clip_)) if each[1])]

    @property
    def state_info(self) -> list[StateInfo]:
        layers = self._num_layers * len(self._directions)
        widths = [self._layout_.num_output, self._num_hidden][:MODES[self._mode].num_states]
        return [{'shape': (layers, 0, width), '__layout__': 'LNC'} for width in widths]

    # Weights

    @property
    def _gate_names(self) -> list[str]:
        return list(MODES[self._mode].gates)

    @property
    def _num_gates(self) -> int:
        return len(self._gate_names)

    @property
    def _layout_(self) -> FusedLayout:
        return FusedLayout(self._mode, self._num_hidden, self._num_layers, self._bidirectional,
                           self._projection_size_)

    def _shapes_(self, num_input: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the vector's arrays, by names that begin with the cell's prefix."""
        return {self._prefix + array.name: array.shape for array in self._layout_.arrays(num_input)}

    def _slice_weights(self, arr: mx.nd.NDArray, li: int, lh: int) -> Weights:
        """Parts of the vector `arr` by name, as views, for `li` input channels and `lh` units."""
        layout = self._layout_._replace(num_hidden=lh)
        if arr.size != layout.size(li):
            raise ValueError('arr must have %d elements for %r and %d input channels, got %d'
                             % (layout.size(li), layout, li, arr.size))
        return {self._prefix + array.name: arr[array.begin:array.end].reshape(array.shape)
                for array in layout.arrays(li)}

    def unpack_weights(self, args: Weights) -> Weights:
        """Split the vector into the arrays that ordinary cells would have, by gate.

        ``lstm_parameters`` becomes ``lstm_l0_i2h_i_weight`` of shape (num_hidden, num_input) and so
        on, for each layer, direction, group, gate and kind. The width of the input follows from the
        vector's size. Other entries of `args` and errors are as in `BaseRNNCell.unpack_weights`.
        """
        args = copy_weights(args)
        vector_name = self._parameter.name
        if vector_name not in args and all(name in args for name in self._shapes_(0)):
            return args
        vector, = take_weights(args, {vector_name: (0,)}, self)
        width = self._layout_.num_input(vector.size, vector_name)
        views = self._slice_weights(vector, width, self._num_hidden)
        args.update((name, view.copy()) for name, view in views.items())
        return args

    def pack_weights(self, args: Weights) -> Weights:
        """Join the arrays of all gates into the vector: the inverse of `unpack_weights`."""
        args = copy_weights(args)
        vector_name, shapes = self._parameter.name, self._shapes_(0)
        if vector_name in args and not any(name in args for name in shapes):
            vector, = take_weights(args.copy(), {vector_name: (0,)}, self)
            self._layout_.num_input(vector.size, vector_name)  # refuses other sizes
            return args
        first = args.get(next(iter(shapes)))
        if isinstance(first, ARRAYS) and len(first.shape) == 2:
            shapes = self._shapes_(first.shape[1])
        pieces = take_weights(args, shapes, self)
        # As rows, because MXNet's operator is many times faster along the first of two axes.
        rows = [piece.reshape((-1, self._num_hidden)) for piece in pieces]
        args[vector_name] = join_weights(vector_name, rows).reshape((-1,))
        return args

    # Graphs

    @property
    def _by_cells_(self) -> bool:
        """Whether sym.RNN lacks something on CPUs, or with lengths; ordinary cells then run."""
        return bool(self._projection_size_ or self._clip_)

    @property
    def _masks_padding_(self) -> bool:  # type: ignore[override]
        return not self._by_cells_

    def _gives_states_(self) -> bool:
        return self._get_next_state

    def _gives_steps_(self, steps: bool) -> bool:
        return False

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        raise NotImplementedError('%r cannot be stepped, because it is one operator for all steps: '
                                  'use unroll, or unfuse() and step the result' % self)

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """One operator takes all steps."""
        layout, lengths = options.layout, options.lengths
        inputs = merged(inputs, layout)
        shape = known_shape(inputs)
        if len(shape) not in (0, 3):
            raise ValueError('inputs of %r must have 3 axes (%s), got shape %s'
                             % (self, layout, shape))
        check_length(options.length, inputs, layout)
        if time_axis(layout) == 1:
            _check.warn_once("FusedRNNCell works on time-major data: layout 'TNC' saves the two "
                      "transpositions that 'NTC' needs")
        states = check_states(self._first_states_(begin_state, options.dtype),
                              len(self.state_info), self)
        padded = isinstance(lengths, GivenLengths)
        if self._by_cells_ and (cpu_build() or padded):
            return self._by_steps_(inputs, states, options)
        inputs = time_major(lengths.typed(inputs, states), layout)
        between = self._dropout if self._num_layers > 1 else 0
        # If nothing is picked, reversed or dropped, and padding cannot grow, masks are enough.
        parted = padded and (self._bidirectional or self._get_next_state or between > 0
                             or self._mode == 'rnn_relu')
        dtype = known_type(states[0])
        warn_of_defects(dtype or known_type(inputs) or np.float32, self._layout_,
                        self._dropout, parted)
        if parted and isinstance(lengths, GivenLengths):
            outputs, states = self._operators_(inputs, states, lengths, between, dtype)
        else:
            outputs, states = self._operator_(lengths.mask(inputs, 'TNC'), self._parameter, states,
                                             self._get_next_state, self._dropout)
            outputs = lengths.mask(outputs, 'TNC')
            if options.shared and self._num_layers > 1 and time_axis(layout) == 0:
                outputs = apart(outputs, dtype, self._prefix)
        for state in states:
            state._set_attr(__layout__='LNC')
        return options.arranged(time_major(outputs, layout)), states

    def _operator_(self, inputs: Symbol, parameters: Symbol, states: Sequence[Symbol],
                   next_states: bool, dropout: float = 0.) -> tuple[Symbol, list[Symbol]]:
        """All layers as one operator over time-major inputs."""
        more: dict[str, object] = dict(zip(('state', 'state_cell'), states))
        if self._projection_size_:
            more['projection_size'] = self._projection_size_
        if self._clip_:
            more.update(zip(('lstm_state_clip_min', 'lstm_state_clip_max'), self._clip_))
        rnn = mx.sym.RNN(data=inputs, parameters=parameters,
                         state_size=self._num_hidden, num_layers=self._num_layers,
                         bidirectional=self._bidirectional, p=dropout,
                         state_outputs=next_states, mode=self._mode,
                         name=self._prefix + 'rnn', **more)
        return (rnn[0], list(rnn)[1:]) if next_states else (rnn, [])

    def _operators_(self, inputs: Symbol, states: list[Symbol], lengths: GivenLengths,
                    between: float, dtype: Kind) -> tuple[Symbol, list[Symbol]]:
        """Sequences of different lengths: one operator for each layer and direction, with dropout
        of the probability `between` between layers."""
        arrays = arrays_of(self._parameter, self._layout_, self._probe_(inputs, states))
        begin: list[tuple[Symbol, ...]] = list(zip(*[
            mx.sym.SliceChannel(state, num_outputs=len(arrays), axis=0, squeeze_axis=True)
            for state in states]))
        finals: list[list[Symbol]] = []
        size = len(self._directions)
        for layer in range(self._num_layers):
            if layer and between:
                inputs = drop(inputs, between)
            own = slice(layer * size, (layer + 1) * size)
            inputs, last = padded_layer(
                self._mode, self._num_hidden, arrays[own], inputs, begin[own], lengths,
                self._get_next_state, ['%s%s%d_rnn' % (self._prefix, direction, layer)
                                       for direction in self._directions], dtype)
            finals += last
        return inputs, [mx.sym.stack(*each, axis=0) for each in zip(*finals)]

    def _by_steps_(self, inputs: Symbol, states: list[Symbol], options: Options) -> Unrolled:
        """The cells of `unfuse`, unrolled with their weights from the vector."""
        stack = self.unfuse()
        cells = [cell for cell in stack._all_cells_() if isinstance(cell, (LSTMCell, LSTMPCell))]
        vector = sized(self._parameter, self._layout_, self._prefix, inputs)
        for cell, arrays in zip(cells, arrays_of(vector, self._layout_)):
            cell._iW, cell._hW, *biases = arrays[:4]
            cell._iB, cell._hB = (mx.sym.reshape(bias, shape=(-1,)) for bias in biases)
            if isinstance(cell, LSTMPCell):
                cell._rW = arrays[4]
        by_cell = zip(*[mx.sym.SliceChannel(state, num_outputs=len(cells), axis=0,
                                            squeeze_axis=True) for state in states])
        outputs, finals = stack._unroll_(inputs, flatten(list(by_cell)),
                                         options._replace(merge_outputs=True))
        outputs = options.arranged(outputs)
        if not self._get_next_state:
            return outputs, []
        finals = [mx.sym.stack(*flatten(finals)[k::len(states)], axis=0)
                  for k in range(len(states))]
        for state in finals:
            state._set_attr(__layout__='LNC')
        return outputs, finals

    def _probe_(self, inputs: Symbol, states: list[Symbol]) -> Symbol:
        """One step of the whole operator, over zeros, without gradients. With it MXNet infers the
        vector's size."""
        steps, zeros, *begin = map(mx.sym.zeros_like, [inputs, self._parameter, *states])
        step, _ = self._operator_(mx.sym.slice_axis(steps, axis=0, begin=0, end=1), zeros, begin,
                                  False)
        return step

    def unfuse(self) -> SequentialRNNCell:
        """The same function as a stack of ordinary cells, which can be stepped.

        Returns
        -------
        SequentialRNNCell
            With an RNNCell, LSTMCell, LSTMPCell or GRUCell for each layer (prefix ``<prefix>l0_``,
            ...), or a BidirectionalCell of two (``<prefix>l0_``, ``<prefix>r0_``), and
            DropoutCells between layers. To convert weights, call `unpack_weights` of this cell,
            then `pack_weights` of the stack; the checkpoint functions do both.
        """
        def cell(direction: str, layer: int) -> BaseRNNCell:
            return _ORDINARY[self._mode](
                self._num_hidden, self._projection_size_,
                '%s%s%d_' % (self._prefix, direction, layer), forget_bias=self._forget_bias_,
                state_clip=self._clip_)

        stack = SequentialRNNCell()
        for layer in range(self._num_layers):
            cells = [cell(direction, layer) for direction in self._directions]
            stack.add(cells[0] if len(cells) == 1 else BidirectionalCell(
                cells[0], cells[1], output_prefix='%sbi_l%d_' % (self._prefix, layer)))
            if self._dropout > 0 and layer < self._num_layers - 1:
                stack.add(DropoutCell(self._dropout,
                                      prefix='%s_dropout%d_' % (self._prefix, layer)))
        return stack
