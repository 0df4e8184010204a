"""sym.RNN over sequences of different lengths.

MXNet's CPU operator ignores `use_sequence_length`, so lengths are kept outside of it: each layer
and direction is an operator of its own, whose input is padded behind, also where it is read
backwards. What comes after a sequence's end then cannot reach what comes before, and the last
output is its final state.
"""
from __future__ import annotations

from typing import Any, Sequence

from ._mxnet import mx
from ._sequence import mask, reverse

__all__ = ['rnn_of_layers']

#: Added to a gate before its sigmoid, opens or closes it exactly.
_OPEN = 1e4


def _join(*arrays):
    """Concatenate channels of time-major arrays, in 4 dimensions, where oneDNN does it."""
    joined = mx.sym.Concat(*[mx.sym.expand_dims(array, axis=0) for array in arrays], dim=3)
    return mx.sym.reshape(joined, shape=(-3, 0, 0))


def _hold_memory(inputs, arrays, valid_length):
    """Make an LSTM keep its memory through padding, where the operator's final one then is right.

    A further input channel, 1 in padding, closes the input gate and opens the forget gate.
    """
    weight, *others = arrays
    channel = mx.sym.slice_axis(mx.sym.zeros_like(inputs), axis=2, begin=0, end=1)
    padding = mx.sym.SequenceMask(channel, valid_length, use_sequence_length=True, value=1)
    zero = mx.sym.SliceChannel(mx.sym.reshape(mx.sym.zeros_like(others[-1]), shape=(4, -1, 1)),
                               num_outputs=4, axis=0, squeeze_axis=True)[0]
    column = mx.sym.Concat(zero - _OPEN, zero + _OPEN, zero, zero, dim=0)
    return _join(inputs, padding), [mx.sym.Concat(weight, column, dim=1), *others]


def _last(outputs, valid_length, begin):
    """The last valid output of each sequence; where there is none, the begin state."""
    last = mx.sym.SequenceLast(outputs, mx.sym.maximum(valid_length, 1), use_sequence_length=True)
    return mx.sym.where(valid_length > 0, last, mx.sym.reshape(begin, shape=(-3, -2)))


def _one_layer(mode, units, inputs, arrays, states, valid_length, next_states, name):
    """One layer in one direction: its outputs, unmasked, and its final states."""
    hold = next_states and mode == 'lstm'
    if hold:
        inputs, arrays = _hold_memory(inputs, arrays, valid_length)
    rows = [mx.sym.reshape(array, shape=(-1, units)) for array in arrays]
    rnn = mx.sym.RNN(data=inputs, parameters=mx.sym.reshape(mx.sym.Concat(*rows, dim=0), shape=-1),
                     state_size=units, num_layers=1, mode=mode, state_outputs=hold, name=name,
                     **dict(zip(('state', 'state_cell'), states)))
    if not next_states:
        return rnn, []
    outputs, finals = (rnn[0], [rnn[2]]) if hold else (rnn, [])
    last = mx.sym.expand_dims(_last(outputs, valid_length, states[0]), axis=0)
    return outputs, [last] + finals


def rnn_of_layers(mode: str, units: int, weights: Sequence[Sequence[Sequence[mx.sym.Symbol]]],
                  inputs: mx.sym.Symbol, states: Sequence[mx.sym.Symbol],
                  valid_length: mx.sym.Symbol, next_states: bool, dropout: float, prefix: str
                  ) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
    """Unroll layers of one kind over padded sequences.

    Parameters
    ----------
    mode : str
        Of sym.RNN.
    units : int
        Of each layer and direction.
    weights : sequence
        By layer, then direction: i2h weight, h2h weight, i2h bias, h2h bias.
    inputs : Symbol
        Of shape (length, batch, channels).
    states : list of Symbol
        As sym.RNN takes them, of shape (layers * directions, batch, units).
    valid_length : Symbol
        Of shape (batch,).
    next_states : bool
        Whether final states are asked for.
    dropout : float
        Probability of dropout between layers.
    prefix : str
        Prefix of the names of the operators.

    Returns
    -------
    outputs : Symbol
        Of shape (length, batch, directions * units), 0 in padding.
    states : list of Symbol
        After each sequence's last step, as `states`; [] if not asked for.
    """
    directions = len(weights[0])
    begins = [iter(mx.sym.SliceChannel(state, num_outputs=len(weights) * directions, axis=0))
              for state in states]
    finals: list[Any] = []
    outputs = mask(None, inputs, 'TNC', valid_length)
    for layer, by_direction in enumerate(weights):
        if dropout > 0 and layer > 0:
            outputs = mx.sym.Dropout(outputs, p=dropout)
        inputs, parts = outputs, []
        for direction, arrays in zip('lr', by_direction):
            backward = direction == 'r'
            part, own = _one_layer(
                mode, units, reverse(inputs, valid_length) if backward else inputs, arrays,
                [next(begin) for begin in begins], valid_length, next_states,
                '%s%s%d_rnn' % (prefix, direction, layer))
            parts.append(reverse(part, valid_length) if backward else part)
            finals.append(own)
        outputs = mask(None, parts[0] if directions == 1 else _join(*parts), 'TNC', valid_length)
    return outputs, [mx.sym.Concat(*each, dim=0) for each in zip(*finals)]
