"""A layer of sym.RNN over sequences of different lengths: padding leaves its states unchanged."""
from __future__ import annotations

from typing import Sequence

from .._cells.known_shapes import Kind
from .._cells.unroll import GivenLengths
from .._runtime.mxnet import mx
from .flat_weight_symbols import wanted

__all__ = ['padded_layer']

#: Added to a gate before its sigmoid, it opens or closes the gate exactly.
_OPEN = 1e4

#: Subtracted from a sum before relu, it leaves 0: nearly the largest number of the type.
_LARGE, _LARGE_HALF = 1e30, 6e4


def _join(*arrays: mx.sym.Symbol) -> mx.sym.Symbol:
    """Concatenate channels of time-major arrays, as 4 dimensions, which oneDNN supports."""
    joined = mx.sym.Concat(*[mx.sym.expand_dims(array, axis=0) for array in arrays], dim=3)
    return mx.sym.reshape(joined, shape=(-3, 0, 0))


def _with_padding(inputs: mx.sym.Symbol, weight: mx.sym.Symbol, column: mx.sym.Symbol,
                  lengths: GivenLengths) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
    """One more input channel, which is 1 in padding, with `column` as its weights."""
    channel = mx.sym.slice_axis(mx.sym.zeros_like(inputs), axis=2, begin=0, end=1)
    padding = mx.sym.SequenceMask(channel, lengths.symbol, use_sequence_length=True, value=1)
    return _join(inputs, padding), mx.sym.Concat(weight, column, dim=1)


def _memory_column(bias: mx.sym.Symbol) -> mx.sym.Symbol:
    """Weights that make an LSTM keep its memory by closing the input gate and opening the forget
    gate, so that the operator's final memory is right."""
    zero = mx.sym.SliceChannel(mx.sym.reshape(mx.sym.zeros_like(bias), shape=(4, -1, 1)),
                               num_outputs=4, axis=0, squeeze_axis=True)[0]
    return mx.sym.Concat(zero - _OPEN, zero + _OPEN, zero, zero, dim=0)


def _relu_column(bias: mx.sym.Symbol) -> mx.sym.Symbol:
    """Weights that make the state of 'rnn_relu' 0. Otherwise it could grow without end, and
    infinity would make gradients NaN."""
    zero = mx.sym.reshape(mx.sym.zeros_like(bias), shape=(-1, 1))
    large = zero + _LARGE  # infinite in float16
    return -mx.sym.where(large > large / 2, large, zero + _LARGE_HALF)


#: Weights that keep padding out of the states, by mode. In other modes states in padding stay
#: finite and are never read.
_COLUMNS = {'lstm': _memory_column, 'rnn_relu': _relu_column}


def _last(outputs: mx.sym.Symbol, valid_length: mx.sym.Symbol, begin: mx.sym.Symbol
          ) -> mx.sym.Symbol:
    """The last valid output of each sequence; without valid steps, the begin state."""
    # For a length of 0, SequenceLast reads before the array.
    last = mx.sym.SequenceLast(outputs, mx.sym.maximum(valid_length, 1), use_sequence_length=True)
    return mx.sym.where(valid_length > 0, last, begin)


def _direction(mode: str, units: int, arrays: Sequence[mx.sym.Symbol], inputs: mx.sym.Symbol,
               states: Sequence[mx.sym.Symbol], lengths: GivenLengths, next_states: bool,
               name: str, dtype: Kind) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
    """A layer in one direction, forwards: outputs, which may be anything in padding, and states."""
    weight, *others = arrays
    memory = next_states and mode == 'lstm'
    if memory or mode == 'rnn_relu':
        inputs, weight = _with_padding(inputs, weight, _COLUMNS[mode](others[-1]), lengths)
    begin = [mx.sym.expand_dims(state, axis=0) for state in states]
    others[-1] = wanted(others[-1], [inputs, *begin], dtype)
    rows = [mx.sym.reshape(array, shape=(-1, units)) for array in (weight, *others)]
    rnn = mx.sym.RNN(data=inputs, parameters=mx.sym.reshape(mx.sym.Concat(*rows, dim=0), shape=-1),
                     state_size=units, num_layers=1, mode=mode, state_outputs=memory, name=name,
                     **dict(zip(('state', 'state_cell'), begin)))
    if not next_states:
        return rnn, []
    last = _last(rnn[0], lengths.symbol, states[0])
    return rnn[0], [last, mx.sym.reshape(rnn[2], shape=(-3, 0))] if memory else [last]


def padded_layer(mode: str, units: int, arrays: Sequence[Sequence[mx.sym.Symbol]],
                 inputs: mx.sym.Symbol, states: Sequence[Sequence[mx.sym.Symbol]],
                 lengths: GivenLengths, next_states: bool, names: Sequence[str],
                 dtype: Kind) -> tuple[mx.sym.Symbol, list[list[mx.sym.Symbol]]]:
    """One layer of sym.RNN over padded sequences.

    Parameters
    ----------
    mode : str
        sym.RNN's mode.
    units : int
        Units of each direction.
    arrays : sequence
        By direction: i2h weight (gates * units, channels), h2h weight, i2h bias, h2h bias.
    inputs : Symbol
        Of shape (length, batch, channels).
    states : sequence
        By direction: the state, for 'lstm' also the memory; of shape (batch, units).
    lengths : GivenLengths
        The sequences' lengths.
    next_states : bool
        Whether to return final states.
    names : list of str
        Names of the operators, by direction.
    dtype : type or None
        The type of all of them, if it is known.

    Returns
    -------
    outputs : Symbol
        Of shape (length, batch, directions * units), 0 in padding.
    states : list
        After each sequence's last step, as `states`; empty if not requested.
    """
    inputs = lengths.mask(inputs, 'TNC')
    outputs: list[mx.sym.Symbol] = []
    finals = []
    for i, name in enumerate(names):
        output, own = _direction(mode, units, arrays[i],
                                 lengths.reverse(inputs) if i else inputs, states[i],
                                 lengths, next_states, name, dtype)
        outputs.append(lengths.reverse(output) if i else output)
        finals.append(own)
    joined = outputs[0] if len(outputs) == 1 else _join(*outputs)
    return lengths.mask(joined, 'TNC'), finals
