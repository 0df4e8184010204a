"""Cells whose projections are normalised (Ba et al. 2016, https://arxiv.org/abs/1607.06450)."""
from __future__ import annotations

import functools
from typing import Sequence

from .. import _check
from .._runtime.mxnet import mx
from .dense import DenseCell, lstm_bias
from .gate_equations import GRU, LSTM, Further
from .variables import RNNParams

__all__ = ['LayerNormLSTMCell', 'LayerNormGRUCell']


def _layer_norm(data: mx.sym.Symbol, gamma: mx.sym.Symbol, beta: mx.sym.Symbol | None, name: str
                ) -> mx.sym.Symbol:
    if beta is None:
        beta = mx.sym.zeros_like(gamma, name=name + '_zero')
    return mx.sym.LayerNorm(data, gamma, beta, name=name)


class _NormalisedCell(DenseCell):
    """Normalises each projection over all gates, then shifts it by the bias."""

    _in_fuse_ = 'sym.RNN does not normalise'
    _no_bias_ = True

    def __init__(self, num_hidden: int, prefix: str, params: RNNParams | None, bias: bool,
                 i2h_bias: mx.init.Initializer | None = None) -> None:
        super().__init__(num_hidden, prefix, params, bias)
        self._make_weights_('iW hW iB hB iG hG', i2h_bias=i2h_bias)

    def _product_(self, which: int, data: mx.sym.Symbol, weight: mx.sym.Symbol,
                  bias: mx.sym.Symbol | None, name: str) -> mx.sym.Symbol:
        return super()._product_(which, data, weight, None, name)

    def _project_inputs_(self, inputs: mx.sym.Symbol, name: str) -> mx.sym.Symbol:
        return _layer_norm(super()._project_inputs_(inputs, name), self._iG, self._iB,
                           name + 'i2h_norm')

    def _project_states_(self, states: list[mx.sym.Symbol], i2h: mx.sym.Symbol, name: str
                         ) -> mx.sym.Symbol:
        # LayerNorm does not infer its input's shape, from which the begin states' shape follows.
        h2h = mx.sym._internal._identity_with_attr_like_rhs(
            super()._project_states_(states, i2h, name), i2h, name=name + 'h2h_like')
        return _layer_norm(h2h, self._hG, self._hB, name + 'h2h_norm')


class LayerNormLSTMCell(_NormalisedCell):
    r"""Long short-term memory with layer normalisation (Ba et al. 2016).

    .. math::
        i, f, g, o &= \mathrm{LN}(W_{i2h} x_t; \gamma_{i2h}, b_{i2h})
                      + \mathrm{LN}(W_{h2h} h_{t-1}; \gamma_{h2h}, b_{h2h}) \\
        c_t &= \sigma(f) \circ c_{t-1} + \sigma(i) \circ \tanh(g) \\
        h_t &= \sigma(o) \circ \tanh(\mathrm{LN}(c_t; \gamma_c, \beta_c)) \\
        \mathrm{LN}(a; \gamma, b) &= \gamma \circ (a - \mathrm{mean}(a))
                                    / \sqrt{\mathrm{var}(a) + 10^{-5}} + b

    Mean and variance are taken over all elements of a row, over all gates together.

    Parameters
    ----------
    num_hidden : int
        Number of units.
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    forget_bias : float
        Value that `mx.init.LSTMBias` assigns to the forget gate's i2h_bias at initialisation.
    bias : bool
        False: no i2h_bias, h2h_bias and c_beta, so normalised values are not shifted.
    state_clip : pair of float, optional
        Lowest and highest value, both finite. The memory c is clipped to them in each step, before
        it is normalised. None: no clipping.

    Notes
    -----
    Order of the gates in the weights: i, f, c (the candidate g), o. Weights and biases are named
    and packed as in `LSTMCell`. There are also i2h_gamma and h2h_gamma (4 * num_hidden,), c_gamma
    and c_beta (num_hidden,). `unpack_weights` keeps these; MXNet initialises gammas to 1 and betas
    to 0. Two states: the output h and the memory c, (batch, num_hidden) each. `fuse` leaves the
    cell unrolled.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.LayerNormLSTMCell(16, prefix='l0_')
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> [name for name in outputs.list_arguments() if 'gamma' in name or 'beta' in name]
    ['l0_i2h_gamma', 'l0_h2h_gamma', 'l0_c_gamma', 'l0_c_beta']
    """

    _recurrence_ = LSTM
    _in_fuse_ = _NormalisedCell._in_fuse_

    def __init__(self, num_hidden: int, prefix: str = 'lnlstm_', params: RNNParams | None = None,
                 forget_bias: float = 1.0, *, bias: bool = True,
                 state_clip: Sequence[float] | None = None) -> None:
        super().__init__(num_hidden, prefix, params, bias, lstm_bias(forget_bias))
        self._clip_ = _check.bounds('state_clip', state_clip)
        self._make_weights_('cG cB')

    def _further_(self, name: str) -> Further:
        return {**super()._further_(name), 'normalise': functools.partial(
            _layer_norm, gamma=self._cG, beta=self._cB, name=name + 'state_norm')}


class LayerNormGRUCell(_NormalisedCell):
    r"""Gated recurrent unit with layer normalisation (Ba et al. 2016), in the form of `GRUCell`.

    .. math::
        a &= \mathrm{LN}(W_{i2h} x_t; \gamma_{i2h}, b_{i2h}) \\
        u &= \mathrm{LN}(W_{h2h} h_{t-1}; \gamma_{h2h}, b_{h2h}) \\
        r &= \sigma(a^r + u^r), \quad z = \sigma(a^z + u^z) \\
        n &= \tanh(a^o + r \circ u^o) \\
        h_t &= (1 - z) \circ n + z \circ h_{t-1}

    with LN as in `LayerNormLSTMCell`.

    Parameters
    ----------
    num_hidden : int
        Number of units.
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.
    bias : bool
        False: no i2h_bias and h2h_bias, so normalised values are not shifted.

    Notes
    -----
    Order of the gates in the weights: r, z, o (the candidate n). Weights and biases are named and
    packed as in `GRUCell`. `unpack_weights` keeps i2h_gamma and h2h_gamma (3 * num_hidden,). One
    state: the output, (batch, num_hidden). `fuse` leaves the cell unrolled.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> outputs, _ = rnn.LayerNormGRUCell(16).unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(8, 20, 5))[1]
    [(8, 20, 16)]
    """

    _recurrence_ = GRU
    _in_fuse_ = _NormalisedCell._in_fuse_

    def __init__(self, num_hidden: int, prefix: str = 'lngru_',
                 params: RNNParams | None = None, *, bias: bool = True) -> None:
        super().__init__(num_hidden, prefix, params, bias)
