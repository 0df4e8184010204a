"""Each family's gates, in the order of their rows in the weights, and the recurrences.

A recurrence is one function of the two projections, shared by dense and convolutional cells:
``step(i2h, h2h, states, activate, name, axis)`` returns the output and the new states. `i2h`
and `h2h` are the projections of the input and of the previous output, for all gates. `activate`
applies the cell's activation. `name` begins the names of the step's nodes. `axis`, if given, is the
axis of the channels, along which the gates are stacked.
"""
from __future__ import annotations

from typing import Callable, List, NamedTuple, Sequence, Tuple, TypedDict, Union

from .._graph.rnn_vector_layout import GATES
from .._runtime.mxnet import mx

__all__ = ['ACTIVATIONS', 'Activate', 'Activation', 'Further', 'MODES', 'Recurrence', 'RNN',
           'LSTM', 'GRU', 'Step', 'WEIGHTS', 'activate']

#: sym.Activation's functions, by name.
ACTIVATIONS = ('relu', 'sigmoid', 'softrelu', 'softsign', 'tanh')

#: The weights that cells may have: attribute (behind '_') to name (behind the prefix).
WEIGHTS = {'iW': 'i2h_weight', 'hW': 'h2h_weight', 'iB': 'i2h_bias', 'hB': 'h2h_bias',
           'iG': 'i2h_gamma', 'hG': 'h2h_gamma', 'rW': 'h2r_weight', 'cG': 'c_gamma',
           'cB': 'c_beta'}

States = Sequence[mx.sym.Symbol]
Step = Tuple[mx.sym.Symbol, List[mx.sym.Symbol]]  #: An output and the new states.
Activate = Callable[..., mx.sym.Symbol]
Activation = Union[str, Activate]  #: A name of `ACTIVATIONS`, or a function.


class Further(TypedDict, total=False):
    """More arguments of some recurrences' steps."""

    normalise: Activate
    clip: tuple[float, float]


class Recurrence(NamedTuple):
    """A family of cells: its gates' suffixes, its number of states, and its step."""

    gates: Sequence[str]
    num_states: int
    step: Callable[..., Step]


def activate(inputs: mx.sym.Symbol, activation: Activation, **kwargs: str) -> mx.sym.Symbol:
    """Apply an activation, given by name or as a function."""
    if isinstance(activation, str):
        return mx.sym.Activation(inputs, act_type=activation, **kwargs)
    return activation(inputs, **kwargs)


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
