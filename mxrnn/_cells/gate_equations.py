"""Each family's gates, in the order of their rows in the weights, and the recurrences.

A recurrence is one function of the two projections, shared by dense and convolutional cells:
``step(i2h, h2h, states, activate, name, axis)`` returns the output and the new states. `i2h`
and `h2h` are the projections of the input and of the previous output, for all gates. `activate`
applies the cell's activation. `name` begins the names of the step's nodes. `axis`, if given, is the
axis of the channels, along which the gates are stacked.
"""
from __future__ import annotations

import functools
from typing import Callable, NamedTuple, Sequence, TypedDict

from .. import _check
from .._graph.rnn_vector_layout import GATES
from .._runtime.mxnet import mx
from .base_cells import Activate, Activation, BaseRNNCell, Step, activate
from .sequences import check_symbol
from .states import check_states
from .variables import Init, RNNParams

__all__ = ['ACTIVATIONS', 'Further', 'GatedCell', 'MODES', 'Recurrence', 'RNN', 'LSTM', 'GRU']

#: sym.Activation's functions, by name.
ACTIVATIONS = ('relu', 'sigmoid', 'softrelu', 'softsign', 'tanh')

#: The weights that cells may have: attribute (behind '_') to name (behind the prefix).
WEIGHTS = {'iW': 'i2h_weight', 'hW': 'h2h_weight', 'iB': 'i2h_bias', 'hB': 'h2h_bias',
           'iG': 'i2h_gamma', 'hG': 'h2h_gamma', 'rW': 'h2r_weight', 'cG': 'c_gamma',
           'cB': 'c_beta'}

States = Sequence[mx.sym.Symbol]


class Further(TypedDict, total=False):
    """More arguments of some recurrences' steps."""

    normalise: Activate
    clip: tuple[float, float]


class Recurrence(NamedTuple):
    """A family of cells: its gates' suffixes, its number of states, and its step."""

    gates: Sequence[str]
    num_states: int
    step: Callable[..., Step]


def _split(projection: mx.sym.Symbol, gates: int, name: str, axis: int | None) -> mx.sym.Symbol:
    where = {} if axis is None else {'axis': axis}
    return mx.sym.SliceChannel(projection, num_outputs=gates, name=name, **where)


def _rnn_step(i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: States, activate: Activate,
              name: str, axis: int | None = None) -> Step:
    """h' = activate(i2h + h2h)"""
    output = activate(i2h + h2h, name=name + 'out')
    return output, [output]


def _lstm_step(i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: States, activate: Activate,
               name: str, axis: int | None = None, normalise: Activate | None = None,
               clip: tuple[float, float] | None = None) -> Step:
    """c' = clip(f * c + i * g);  h' = o * activate(c'), or o * activate(normalise(c'))"""
    gates = _split(i2h + h2h, 4, name + 'slice', axis)  # indexing is faster than iteration
    i = mx.sym.Activation(gates[0], act_type='sigmoid', name=name + 'i')
    f = mx.sym.Activation(gates[1], act_type='sigmoid', name=name + 'f')
    g = activate(gates[2], name=name + 'c')
    o = mx.sym.Activation(gates[3], act_type='sigmoid', name=name + 'o')
    memory = mx.sym._internal._plus(f * states[1], i * g, name=name + 'state')
    if clip is not None:
        memory = mx.sym.clip(memory, *clip, name=name + 'clip')
    shown = memory if normalise is None else normalise(memory)
    output = mx.sym._internal._mul(o, activate(shown), name=name + 'out')
    return output, [output, memory]


def _gru_step(i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: States, activate: Activate,
              name: str, axis: int | None = None) -> Step:
    """h' = (1 - z) * activate(i2h_o + r * h2h_o) + z * h"""
    i2h = _split(i2h, 3, name + '_i2h_slice', axis)
    h2h = _split(h2h, 3, name + '_h2h_slice', axis)
    r = mx.sym.Activation(i2h[0] + h2h[0], act_type='sigmoid', name=name + '_r_act')
    z = mx.sym.Activation(i2h[1] + h2h[1], act_type='sigmoid', name=name + '_z_act')
    candidate = activate(i2h[2] + r * h2h[2], name=name + '_h_act')
    output = mx.sym._internal._plus((1. - z) * candidate, z * states[0], name=name + 'out')
    return output, [output]


RNN = Recurrence(GATES['rnn_tanh'], 1, _rnn_step)
LSTM = Recurrence(list(GATES['lstm']), 2, _lstm_step)
GRU = Recurrence(list(GATES['gru']), 1, _gru_step)

#: sym.RNN's modes and their recurrences.
MODES = {'rnn_relu': RNN, 'rnn_tanh': RNN, 'lstm': LSTM, 'gru': GRU}

_tanh = functools.partial(activate, activation='tanh')


class GatedCell(BaseRNNCell):
    """A cell of one recurrence; subclasses define how input and output are projected."""

    _recurrence_: Recurrence
    #: Whether _get_activation applies the cell's _activation. Otherwise it applies tanh, even if a
    #: program defines these names.
    _has_activation_ = False
    _activation: Activation
    # Weights that only some cells have; without biases, some are None.
    _iG: mx.sym.Symbol
    _hG: mx.sym.Symbol
    _rW: mx.sym.Symbol
    _cG: mx.sym.Symbol
    _cB: mx.sym.Symbol | None
    _clip_: tuple[float, float] | None = None  #: lowest and highest value of the memory
    _gate_axis_: int | None = None  #: axis of the gates in a projection, if it must be stated
    _no_bias_: object = mx.base._Null  #: for the projections: True, or not stated in graphs

    def __init__(self, prefix: str, params: RNNParams | None, bias: bool = True) -> None:
        super().__init__(prefix=prefix, params=params)
        if not _check.flag('bias', bias):
            self._kinds_, self._no_bias_ = ('weight',), True

    def _make_weights_(self, attributes: str, **inits: Init) -> None:
        """Get weights from the container, in the order of `attributes`, which are keys of
        `WEIGHTS`; `inits` go by the names there. Without biases, those attributes are None."""
        for attribute in attributes.split():
            name = WEIGHTS[attribute]
            given = 'bias' in self._kinds_ or not name.endswith(('bias', 'beta'))
            setattr(self, '_' + attribute, self._params.get(name, init=inits.get(name))
                    if given else None)

    def _sizes_(self) -> list[str]:
        sizes = super()._sizes_() + ([] if 'bias' in self._kinds_ else ['bias=False'])
        return [*sizes, 'state_clip=%s' % (self._clip_,)] if self._clip_ else sizes

    @property
    def _gate_names(self) -> Sequence[str]:
        return self._recurrence_.gates[:]

    def _project_(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol], name: str
                  ) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
        raise NotImplementedError('%s does not define _project_' % type(self).__name__)

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        check_symbol('inputs', inputs)
        states = check_states(states, self._recurrence_.num_states, self)
        self._counter += 1
        name = '%st%d_' % (self._prefix, self._counter)
        i2h, h2h = self._project_(inputs, states, name)
        return self._recur_(i2h, h2h, states,
                            self._activate_ if self._has_activation_ else _tanh, name)

    def _activate_(self, inputs: mx.sym.Symbol, **kwargs: str) -> mx.sym.Symbol:
        return self._get_activation(inputs, self._activation, **kwargs)

    def _recur_(self, i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: list[mx.sym.Symbol],
                activate: Activate, name: str) -> Step:
        """Output and new states from the projections; `name` begins the names of the step."""
        return self._recurrence_.step(i2h, h2h, states, activate, name, self._gate_axis_,
                                      **self._further_(name))

    def _further_(self, name: str) -> Further:
        """More arguments for the recurrence's step."""
        return {'clip': self._clip_} if self._clip_ else {}
