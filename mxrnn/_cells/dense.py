"""Cells with fully connected layers."""
from __future__ import annotations

from typing import Sequence

from .. import _check
from .._runtime.mxnet import mx
from .base_cells import Activate, Activation, Step
from .gate_equations import ACTIVATIONS, GRU, LSTM, RNN, GatedCell
from .states import StateInfo
from .variables import RNNParams

__all__ = ['DenseCell', 'RNNCell', 'LSTMCell', 'LSTMPCell', 'GRUCell', 'lstm_bias']


def lstm_bias(forget_bias: float) -> mx.init.Initializer:
    """The initialiser of an LSTM's i2h_bias, for the argument forget_bias."""
    return mx.init.LSTMBias(_check.number('forget_bias', forget_bias))


class DenseCell(GatedCell):
    """Projects inputs of shape (batch, channels) with sym.FullyConnected."""

    _projection_ = 'i2h', 'h2h'  #: names of its nodes, behind the step's
    _modes_: dict[str, str] = {}  #: sym.RNN's mode by activation, for cells that sym.RNN has

    def __init__(self, num_hidden: int, prefix: str, params: RNNParams | None, bias: bool = True
                 ) -> None:
        super().__init__(prefix, params, bias)
        self._num_hidden = _check.units(num_hidden)

    @property
    def state_info(self) -> list[StateInfo]:
        return [{'shape': (0, self._num_hidden), '__layout__': 'NC'}
                for _ in range(self._recurrence_.num_states)]

    def _project_(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol], name: str
                  ) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
        i2h = self._project_inputs_(inputs, name)
        return i2h, self._project_states_(states, i2h, name)

    def _project_inputs_(self, inputs: mx.sym.Symbol, name: str) -> mx.sym.Symbol:
        """The projection of inputs: of one step, or of several in rows."""
        return self._product_(0, inputs, self._iW, self._iB, name)

    def _project_states_(self, states: list[mx.sym.Symbol], i2h: mx.sym.Symbol, name: str
                         ) -> mx.sym.Symbol:
        """The projection of a step's states, in the shape of `i2h`."""
        return self._product_(1, states[0], self._hW, self._hB, name)

    def _product_(self, which: int, data: mx.sym.Symbol, weight: mx.sym.Symbol,
                  bias: mx.sym.Symbol | None, name: str) -> mx.sym.Symbol:
        return mx.sym.FullyConnected(
            data=data, weight=weight, bias=bias, no_bias=self._no_bias_,
            num_hidden=self._num_hidden * len(self._recurrence_.gates),
            name=name + self._projection_[which])


class RNNCell(DenseCell):
    r"""The simple recurrent cell (Elman 1990).

    .. math:: h_t = \mathrm{act}(W_{i2h} x_t + b_{i2h} + W_{h2h} h_{t-1} + b_{h2h})

    Parameters
    ----------
    num_hidden : int
        Number of units.
    activation : str or callable
        'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh', or a function of (Symbol, name=str).
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    bias : bool
        False: no i2h_bias and h2h_bias, as in torch's cells with ``bias=False``.

    Notes
    -----
    Weights: i2h_weight (num_hidden, channels), h2h_weight (num_hidden, num_hidden), i2h_bias and
    h2h_bias (num_hidden,). One state: the output, (batch, num_hidden).

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.RNNCell(16, activation='relu', prefix='rnn_')
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(8, 20, 5))[1]
    [(8, 20, 16)]
    """

    _recurrence_ = RNN
    _has_activation_ = True
    _in_fuse_ = 'layer'
    _modes_ = {'tanh': 'rnn_tanh', 'relu': 'rnn_relu'}

    def __init__(self, num_hidden: int, activation: Activation = 'tanh', prefix: str = 'rnn_',
                 params: RNNParams | None = None, *, bias: bool = True) -> None:
        super().__init__(num_hidden, prefix, params, bias)
        self._activation = _check.activation('activation', activation, ACTIVATIONS)
        self._make_weights_('iW iB hW hB')


class LSTMCell(DenseCell):
    r"""Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    .. math::
        i, f, g, o &= W_{i2h} x_t + b_{i2h} + W_{h2h} h_{t-1} + b_{h2h} \\
        c_t &= \sigma(f) \circ c_{t-1} + \sigma(i) \circ \tanh(g) \\
        h_t &= \sigma(o) \circ \tanh(c_t)

    Parameters
    ----------
    num_hidden : int
        Number of units.
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    forget_bias : float
        Value that `mx.init.LSTMBias` assigns to the forget gate's i2h_bias at initialisation
        (Jozefowicz et al. 2015 recommend 1). The graph does not add it.
    bias : bool
        False: no i2h_bias and h2h_bias, as in torch's cells with ``bias=False``.
    state_clip : pair of float, optional
        Lowest and highest value, both finite. The memory c is clipped to them in each step, before
        the output is computed. None: no clipping.

    Notes
    -----
    Order of the gates in the weights: i, f, c (the candidate g), o. Weights: i2h_weight
    (4 * num_hidden, channels), h2h_weight (4 * num_hidden, num_hidden), i2h_bias and h2h_bias
    (4 * num_hidden,). Two states: the output h and the memory c, (batch, num_hidden) each.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.LSTMCell(16, prefix='lstm_')
    >>> outputs, (output, memory) = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(8, 20, 5))[1], memory.infer_shape(x=(8, 20, 5))[1]
    ([(8, 20, 16)], [(8, 16)])
    >>> outputs.list_arguments()
    ['x', 'lstm_i2h_weight', 'lstm_i2h_bias', 'lstm_h2h_weight', 'lstm_h2h_bias']
    """

    _recurrence_ = LSTM
    _in_fuse_ = 'layer'
    _modes_ = {'tanh': 'lstm'}

    def __init__(self, num_hidden: int, prefix: str = 'lstm_', params: RNNParams | None = None,
                 forget_bias: float = 1.0, *, bias: bool = True,
                 state_clip: Sequence[float] | None = None) -> None:
        super().__init__(num_hidden, prefix, params, bias)
        self._clip_ = _check.bounds('state_clip', state_clip)
        self._make_weights_('iW hW iB hB', i2h_bias=lstm_bias(forget_bias))


class LSTMPCell(DenseCell):
    r"""Long short-term memory with a recurrent projection (Sak et al. 2014,
    https://arxiv.org/abs/1402.1128). The projection makes the output narrower than the memory,
    which also makes the products smaller.

    .. math::
        i, f, g, o &= W_{i2h} x_t + b_{i2h} + W_{h2h} r_{t-1} + b_{h2h} \\
        c_t &= \sigma(f) \circ c_{t-1} + \sigma(i) \circ \tanh(g) \\
        r_t &= W_{h2r} (\sigma(o) \circ \tanh(c_t))

    Parameters
    ----------
    num_hidden : int
        Number of units of the memory.
    projection_size : int
        Number of units of the output.
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    forget_bias : float
        As in `LSTMCell`.
    bias : bool
        False: no i2h_bias and h2h_bias, as in torch's cells with ``bias=False``.
    state_clip : pair of float, optional
        Lowest and highest value, both finite. The memory c is clipped to them in each step, before
        the output is computed. None: no clipping.

    Notes
    -----
    Equations, names and order of the gates are as in Gluon's ``contrib.rnn.LSTMPCell`` and in
    ``torch.nn.LSTM(proj_size=)``. Order of the gates: i, f, c (the candidate g), o. Weights:
    i2h_weight (4 * num_hidden, channels), h2h_weight (4 * num_hidden, projection_size), i2h_bias
    and h2h_bias (4 * num_hidden,), h2r_weight (projection_size, num_hidden). h2r_weight has no
    gates, so `unpack_weights` keeps it. Two states: the output r, (batch, projection_size), and the
    memory c, (batch, num_hidden). `fuse` leaves the cell unrolled.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.LSTMPCell(512, 128, prefix='l0_')
    >>> outputs, (output, memory) = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(8, 20, 5))[1], memory.infer_shape(x=(8, 20, 5))[1]
    ([(8, 20, 128)], [(8, 512)])
    """

    _recurrence_ = LSTM
    _in_fuse_ = 'sym.RNN with a projection does not train on CPUs'

    def __init__(self, num_hidden: int, projection_size: int, prefix: str = 'lstmp_',
                 params: RNNParams | None = None, forget_bias: float = 1.0, *,
                 bias: bool = True, state_clip: Sequence[float] | None = None) -> None:
        super().__init__(num_hidden, prefix, params, bias)
        self._clip_ = _check.bounds('state_clip', state_clip)
        self._projection_size = _check.integer('projection_size', projection_size, 1,
                                               _check.LARGEST)
        self._make_weights_('iW hW iB hB rW', i2h_bias=lstm_bias(forget_bias))

    @property
    def state_info(self) -> list[StateInfo]:
        return [{'shape': (0, units), '__layout__': 'NC'}
                for units in (self._projection_size, self._num_hidden)]

    def _recur_(self, i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: list[mx.sym.Symbol],
                activate: Activate, name: str) -> Step:
        hidden, (_, memory) = super()._recur_(i2h, h2h, states, activate, name)
        output = mx.sym.FullyConnected(hidden, self._rW, num_hidden=self._projection_size,
                                       no_bias=True, name=name + 'projection')
        return output, [output, memory]


class GRUCell(DenseCell):
    r"""Gated recurrent unit in cuDNN's form, which applies the reset gate after the product
    (Cho et al. 2014 apply it before).

    .. math::
        r &= \sigma(W^r_{i2h} x_t + b^r_{i2h} + W^r_{h2h} h_{t-1} + b^r_{h2h}) \\
        z &= \sigma(W^z_{i2h} x_t + b^z_{i2h} + W^z_{h2h} h_{t-1} + b^z_{h2h}) \\
        n &= \tanh(W^o_{i2h} x_t + b^o_{i2h} + r \circ (W^o_{h2h} h_{t-1} + b^o_{h2h})) \\
        h_t &= (1 - z) \circ n + z \circ h_{t-1}

    Parameters
    ----------
    num_hidden : int
        Number of units.
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    bias : bool
        False: no i2h_bias and h2h_bias, as in torch's cells with ``bias=False``.

    Notes
    -----
    Order of the gates in the weights: r, z, o (the candidate n). Weights: i2h_weight
    (3 * num_hidden, channels), h2h_weight (3 * num_hidden, num_hidden), i2h_bias and h2h_bias
    (3 * num_hidden,). One state: the output, (batch, num_hidden).

    Examples
    --------
    A single step:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.GRUCell(16, prefix='gru_')
    >>> output, states = cell(mx.sym.Variable('x'), cell.begin_state())
    >>> output.name, output.infer_shape(x=(8, 5))[1]
    ('gru_t0_out', [(8, 16)])
    """

    _recurrence_ = GRU
    _in_fuse_ = 'layer'
    _modes_ = {'tanh': 'gru'}
    _projection_ = '_i2h', '_h2h'

    def __init__(self, num_hidden: int, prefix: str = 'gru_',
                 params: RNNParams | None = None, *, bias: bool = True) -> None:
        super().__init__(num_hidden, prefix, params, bias)
        self._make_weights_('iW iB hW hB')
