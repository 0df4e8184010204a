"""Cells with convolutions (Shi et al. 2015, https://arxiv.org/abs/1506.04214)."""
from __future__ import annotations

import types
from typing import Callable, Literal, Sequence, TypeVar

from .. import _check
from .._runtime.mxnet import mx
from .base_cells import Activation, Partial, Step
from .gate_equations import ACTIVATIONS, GRU, LSTM, RNN, GatedCell, Recurrence
from .states import StateInfo
from .variables import Init, RNNParams

__all__ = ['BaseConvRNNCell', 'ConvRNNCell', 'ConvLSTMCell', 'ConvGRUCell']

Cell = TypeVar('Cell', bound='BaseConvRNNCell')
ConvLayout = Literal['NCW', 'NCHW', 'NHWC', 'NCDHW', 'NDHWC']

#: For each number of axes, the meaning of each layout. sym.Convolution has no 'NWC'.
_LAYOUTS = {1: {'NCW': 'NCW', 'NCHW': 'NCW'},
            2: {'NCHW': 'NCHW', 'NHWC': 'NHWC'},
            3: {'NCDHW': 'NCDHW', 'NDHWC': 'NDHWC', 'NCHW': 'NCDHW', 'NHWC': 'NDHWC'}}


class _Default(tuple):  # type: ignore[type-arg]
    """A default of mxnet.rnn for two axes; for one or three axes its number is repeated."""


_ONE, _THREE = _Default((1, 1)), _Default((3, 3))
_LEAKY = Partial(mx.sym.LeakyReLU, act_type='leaky', slope=0.2)


def _checked_shape(shape: object) -> tuple[int, ...]:
    count = len(shape) if isinstance(shape, (tuple, list)) else 4
    if count - 2 not in _LAYOUTS:
        raise ValueError('input_shape must be a tuple of 3, 4 or 5 integers, for batch, channels '
                         'and 1, 2 or 3 axes, got %s' % _check.shown(shape))
    return _check.integers('input_shape', shape, count, 0)


class BaseConvRNNCell(GatedCell):
    """The abstract base of the convolutional cells.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one step's input in `conv_layout`; the batch may be 0. Its length decides the
        number of convolved axes: 3 for one axis, 4 for two (images), 5 for three (volumes).
    num_hidden : int
        Number of channels of the output.
    h2h_kernel, h2h_dilate : tuple of int
        Size (odd) and dilation of the convolution of the previous output, along each axis. It is
        padded so that its size stays. The defaults are 3 and 1 along each axis.
    i2h_kernel, i2h_stride, i2h_pad, i2h_dilate : tuple of int
        For the convolution of the input. The defaults are 3, 1, 1 and 1 along each axis.
    i2h_weight_initializer, h2h_weight_initializer : str or Initializer, optional
        For the weights; None uses the model's own.
    i2h_bias_initializer, h2h_bias_initializer : str or Initializer
        For the biases.
    activation : str or callable
        'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh', or a function of (Symbol, name=str).
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    conv_layout : {'NCHW', 'NHWC', 'NCW', 'NCDHW', 'NDHWC'}
        Layout of inputs, states and outputs. If `input_shape` has 3 or 5 axes, 'NCHW' means 'NCW'
        or 'NCDHW', and 'NHWC' means 'NDHWC'. MXNet has no convolution in 'NWC'.
    bias : bool
        False: no i2h_bias and h2h_bias; their initialisers are then unused.

    Examples
    --------
    Use `ConvRNNCell`, `ConvLSTMCell` or `ConvGRUCell`, which derive from this class:

    >>> import mxrnn as rnn
    >>> issubclass(rnn.ConvLSTMCell, rnn.BaseConvRNNCell)
    True
    """

    _has_activation_ = True
    _recurrence_: Recurrence | None = None  # type: ignore[assignment]

    def __init__(self, input_shape: Sequence[int], num_hidden: int,
                 h2h_kernel: Sequence[int] = _THREE, h2h_dilate: Sequence[int] = _ONE,
                 i2h_kernel: Sequence[int] = _THREE, i2h_stride: Sequence[int] = _ONE,
                 i2h_pad: Sequence[int] = _ONE, i2h_dilate: Sequence[int] = _ONE,
                 i2h_weight_initializer: Init = None, h2h_weight_initializer: Init = None,
                 i2h_bias_initializer: Init = 'zeros', h2h_bias_initializer: Init = 'zeros',
                 activation: Activation = _LEAKY, prefix: str = '', params: RNNParams | None = None,
                 conv_layout: ConvLayout = 'NCHW', *, bias: bool = True) -> None:
        super().__init__(prefix, params, bias)
        self._num_hidden = _check.units(num_hidden)
        self._input_shape = _checked_shape(input_shape)
        self._h2h_kernel = self._by_axis_('h2h_kernel', h2h_kernel, 1)
        if any(side % 2 == 0 for side in self._h2h_kernel):
            raise ValueError('h2h_kernel must be odd along each axis, so that the state keeps its '
                             'size, got %s' % (h2h_kernel,))
        self._h2h_dilate = self._by_axis_('h2h_dilate', h2h_dilate, 1)
        self._h2h_pad = tuple(dilate * (side - 1) // 2
                              for dilate, side in zip(self._h2h_dilate, self._h2h_kernel))
        self._i2h_kernel = self._by_axis_('i2h_kernel', i2h_kernel, 1)
        self._i2h_stride = self._by_axis_('i2h_stride', i2h_stride, 1)
        self._i2h_pad = self._by_axis_('i2h_pad', i2h_pad, 0)
        self._i2h_dilate = self._by_axis_('i2h_dilate', i2h_dilate, 1)
        self._activation = _check.activation('activation', activation, ACTIVATIONS)
        layouts = _LAYOUTS[self._num_axes_]
        self._conv_layout = layouts[_check.choice('conv_layout', conv_layout, layouts)]
        self._state_shape = self._output_shape_()
        self._make_weights_('iW hW iB hB', **{
            name: _check.initializer(name + '_initializer', init) for name, init in (
                ('i2h_weight', i2h_weight_initializer), ('h2h_weight', h2h_weight_initializer),
                ('i2h_bias', i2h_bias_initializer), ('h2h_bias', h2h_bias_initializer))})

    @property
    def _num_axes_(self) -> int:
        return len(self._input_shape) - 2

    def _by_axis_(self, name: str, value: Sequence[int], least: int) -> tuple[int, ...]:
        if isinstance(value, _Default):
            value = value[:1] * self._num_axes_
        if isinstance(value, (tuple, list)) and len(value) != self._num_axes_:
            raise ValueError(
                '%s must be a tuple of %d integers, one for each axis of input_shape %s after the '
                'batch and the channels, got %s' % (
                    name, self._num_axes_, self._input_shape, _check.shown(value)))
        return _check.integers(name, value, self._num_axes_, least)

    def _input_convolution_(self, data: mx.sym.Symbol, filters: int, **kwargs: object
                            ) -> mx.sym.Symbol:
        return mx.sym.Convolution(data=data, num_filter=filters, kernel=self._i2h_kernel,
                                  stride=self._i2h_stride, pad=self._i2h_pad,
                                  dilate=self._i2h_dilate, layout=self._conv_layout, **kwargs)

    def _output_shape_(self) -> tuple[int, ...]:
        # Without a name, it uses up 'convolution0' as mxnet.rnn does. So the user's later layers
        # keep the automatic names that their checkpoints have.
        output = self._input_convolution_(mx.sym.Variable('data'), self._num_hidden)
        try:
            batch, *image = self._input_shape
            shape = output.infer_shape(data=(batch or 1, *image))[1][0]
        except mx.base.MXNetError:
            raise ValueError('input_shape %s is too small for i2h_kernel %s with i2h_dilate %s and '
                             'i2h_pad %s, or not in conv_layout %r' % (
                                 self._input_shape, self._i2h_kernel, self._i2h_dilate,
                                 self._i2h_pad, self._conv_layout)) from None
        return (0,) + shape[1:]

    @property
    def _gate_names(self) -> Sequence[str]:
        return self._recurrence_.gates[:] if self._recurrence_ else ()

    @property
    def state_info(self) -> list[StateInfo]:
        count = self._recurrence_.num_states if self._recurrence_ else 2
        return [{'shape': self._state_shape, '__layout__': self._conv_layout} for _ in range(count)]

    @property
    def _num_gates(self) -> int:
        return len(self._gate_names)

    def _conv_forward(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol], name: str
                      ) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
        filters = self._num_hidden * self._num_gates
        i2h = self._input_convolution_(inputs, filters, weight=self._iW, bias=self._iB,
                                       no_bias=self._no_bias_, name=name + 'i2h')
        h2h = mx.sym.Convolution(data=states[0], num_filter=filters, kernel=self._h2h_kernel,
                                 stride=(1,) * self._num_axes_, pad=self._h2h_pad,
                                 dilate=self._h2h_dilate, layout=self._conv_layout,
                                 weight=self._hW, bias=self._hB, no_bias=self._no_bias_,
                                 name=name + 'h2h')
        return i2h, h2h

    def _project_(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol], name: str
                  ) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
        return self._conv_forward(inputs, states, name)  # a program may redefine it

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        if self._recurrence_ is None:
            raise NotImplementedError('%s is abstract: use ConvRNNCell, ConvLSTMCell or '
                                      'ConvGRUCell' % type(self).__name__)
        return super().__call__(inputs, states)


def _with_prefix(prefix: str) -> Callable[[type[Cell]], type[Cell]]:
    """Give a cell the constructor of `BaseConvRNNCell`, with this default of `prefix`, and the
    same description of arguments."""
    def decorate(cell: type[Cell]) -> type[Cell]:
        init = BaseConvRNNCell.__init__
        *before, _, params, layout = init.__defaults__ or ()
        made = types.FunctionType(init.__code__, init.__globals__, '__init__',
                                  (*before, prefix, params, layout), init.__closure__)
        made.__kwdefaults__, made.__annotations__ = init.__kwdefaults__, init.__annotations__
        made.__qualname__ = cell.__qualname__ + '.__init__'
        setattr(cell, '__init__', made)  # noqa: B010
        arguments, _, _ = (BaseConvRNNCell.__doc__ or '').partition('    Examples\n')
        _, heading, arguments = arguments.partition('    Parameters\n')
        cell.__doc__ = (cell.__doc__ or '').replace('    Notes\n', heading + arguments
                                                    + '    Notes\n', 1)
        return cell
    return decorate


@_with_prefix('ConvRNN_')
class ConvRNNCell(BaseConvRNNCell):
    r"""The simple recurrent cell with convolutions.

    .. math:: h_t = \mathrm{act}(W_{i2h} * x_t + b_{i2h} + W_{h2h} * h_{t-1} + b_{h2h})

    Notes
    -----
    One state: the output, of shape (batch, num_hidden, height, width) in 'NCHW'. `fuse` leaves the
    cell unrolled.

    Examples
    --------
    Two sequences of 5 images of 3 channels, 16 by 16:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.ConvRNNCell(input_shape=(2, 3, 16, 16), num_hidden=8)
    >>> outputs, states = cell.unroll(5, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(2, 5, 3, 16, 16))[1]
    [(2, 5, 8, 16, 16)]
    """

    _recurrence_ = RNN
    _in_fuse_ = 'sym.RNN does not convolve'


@_with_prefix('ConvLSTM_')
class ConvLSTMCell(BaseConvRNNCell):
    r"""Long short-term memory with convolutions (Shi et al. 2015, without peepholes).

    .. math::
        i, f, g, o &= W_{i2h} * x_t + b_{i2h} + W_{h2h} * h_{t-1} + b_{h2h} \\
        c_t &= \sigma(f) \circ c_{t-1} + \sigma(i) \circ \mathrm{act}(g) \\
        h_t &= \sigma(o) \circ \mathrm{act}(c_t)

    Notes
    -----
    Order of the gates in the weights: i, f, c (the candidate g), o. Two states: the output h and
    the memory c, each of shape (batch, num_hidden, height, width) in 'NCHW'. `fuse` leaves the cell
    unrolled.

    Examples
    --------
    Two sequences of 5 images of 3 channels, 16 by 16:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.ConvLSTMCell(input_shape=(2, 3, 16, 16), num_hidden=8)
    >>> outputs, states = cell.unroll(5, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(2, 5, 3, 16, 16))[1]
    [(2, 5, 8, 16, 16)]

    Two sequences of 5 steps of a signal of 3 channels and 40 samples, in the layout 'NCW':

    >>> cell = rnn.ConvLSTMCell(input_shape=(2, 3, 40), num_hidden=8, h2h_kernel=(5,))
    >>> outputs, states = cell.unroll(5, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(2, 5, 3, 40))[1]
    [(2, 5, 8, 40)]
    """

    _recurrence_ = LSTM
    _in_fuse_ = 'sym.RNN does not convolve'

    @property
    def _gate_axis_(self) -> int | None:  # type: ignore[override]
        return self._conv_layout.index('C')


@_with_prefix('ConvGRU_')
class ConvGRUCell(BaseConvRNNCell):
    r"""Gated recurrent unit with convolutions, in cuDNN's form (see `GRUCell`).

    .. math::
        r &= \sigma(W^r_{i2h} * x_t + b^r_{i2h} + W^r_{h2h} * h_{t-1} + b^r_{h2h}) \\
        z &= \sigma(W^z_{i2h} * x_t + b^z_{i2h} + W^z_{h2h} * h_{t-1} + b^z_{h2h}) \\
        n &= \mathrm{act}(W^o_{i2h} * x_t + b^o_{i2h}
             + r \circ (W^o_{h2h} * h_{t-1} + b^o_{h2h})) \\
        h_t &= (1 - z) \circ n + z \circ h_{t-1}

    Notes
    -----
    Order of the gates in the weights: r, z, o (the candidate n). One state: the output, of shape
    (batch, num_hidden, height, width) in 'NCHW'. `fuse` leaves the cell unrolled.

    Examples
    --------
    Two sequences of 5 images of 3 channels, 16 by 16:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.ConvGRUCell(input_shape=(2, 3, 16, 16), num_hidden=8)
    >>> outputs, states = cell.unroll(5, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(2, 5, 3, 16, 16))[1]
    [(2, 5, 8, 16, 16)]
    """

    _recurrence_ = GRU
    _in_fuse_ = 'sym.RNN does not convolve'

    @property
    def _gate_axis_(self) -> int | None:  # type: ignore[override]
        # mxnet.rnn states no axis. 1 is the default and stays unstated, so that graphs are equal.
        axis = self._conv_layout.index('C')
        return None if axis == 1 else axis
