"""Unrolling: the options and their checks, and masks.

`Lengths` masks sequences of different lengths. The operators take valid_length in any numeric type.
To select, they write constants or copy, and never multiply. So not even NaN leaks out of padding.
"""
from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple, TypedDict

import numpy as np

from .. import _check
from .._runtime.mxnet import RELEASE, mx
from .known_shapes import known_shape, known_type, typed
from .sequences import Inputs, check_inputs, check_symbol, merged, steps_of, time_axis
from .states import States, flatten

__all__ = ['GivenLengths', 'Keywords', 'Lengths', 'Nested', 'Options', 'Step', 'Unrolled',
           'checked', 'hold']

#: Outputs, and final states nested as the cell has them.
Nested = List[Any]
Unrolled = Tuple[Inputs, Nested]
Step = Tuple[mx.sym.Symbol, List[mx.sym.Symbol]]  #: An output and the new states.


def check_valid_length(valid_length: object) -> mx.sym.Symbol:
    """Refuse anything but a Symbol with a length for each sequence."""
    what = 'a Symbol of shape (batch,), the number of valid steps of each sequence'
    symbol = check_symbol('valid_length', valid_length, what)
    shape = known_shape(symbol)
    if len(shape) > 1:
        raise ValueError('valid_length must be %s, got shape %s' % (what, shape))
    return symbol


def clip(valid_length: mx.sym.Symbol, length: int | None, inputs: Inputs, layout: str
         ) -> mx.sym.Symbol:
    """`valid_length` as whole numbers from 0 to `length` (None: the length of bound `inputs`).

    For other numbers, operators that mask, reverse or pick would read or write outside the array.
    NaN counts as a number far below 0.
    """
    if length is not None and float(np.float16(min(length, 60000))) != length:
        # float16 would round the bound, and `clip` would allow more than `length`.
        valid_length = mx.sym.Cast(valid_length, dtype='float32')
    clipped = (mx.sym.maximum(valid_length, 0) if length is None else
               _between_zero_and(length, valid_length))
    clipped = mx.sym.where(valid_length >= 0, clipped, mx.sym.zeros_like(clipped))
    # MXNet infers no shapes through `where`, so the lengths must get theirs from their inputs.
    whole = mx.sym.floor(mx.sym._internal._identity_with_attr_like_rhs(clipped, valid_length))
    if length is not None:
        return whole
    one = mx.sym.slice_axis(inputs, axis=1 - time_axis(layout), begin=0, end=1)
    steps = mx.sym.slice_axis(mx.sym.Reshape(one, shape=(-3, -1)), axis=1, begin=0, end=1)
    count = mx.sym.sum(mx.sym.ones_like(steps))
    # Cast, because lengths and data may differ in type, and a minimum needs one type.
    return mx.sym.broadcast_minimum(mx.sym.Cast(whole, dtype='float32'),
                                    mx.sym.Cast(count, dtype='float32'))


def _between_zero_and(most: int, numbers: mx.sym.Symbol) -> mx.sym.Symbol:
    """`numbers` of any type, with 0 for those below and `most` for those above."""
    if RELEASE > (1, 5):
        return mx.sym.clip(numbers, 0, most)
    # MXNet 1.5's clip turns the bound 300 into 44 for int8. So the bound is taken in parts that
    # every type can hold, also for float16 beyond 2048. (A Cast would keep MXNet 1.5 from inferring
    # the type.)
    parts = []
    for part in [64] * (most // 64) + [most % 64]:
        parts.append(mx.sym.clip(numbers, 0, part))
        numbers = numbers - parts[-1]
    return mx.sym.add_n(*parts)


class Lengths:
    """How many steps of each sequence are valid; later steps are padding. Here all are valid."""

    def mask(self, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        """`inputs`, zero past each sequence's end."""
        return inputs

    def hold(self, step: int, new: States, old: States) -> States:
        """The `new` states of sequences that go on at `step`, otherwise the `old` states."""
        return new

    def typed(self, inputs: mx.sym.Symbol, states: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
        """`inputs` in the type of `states`, if operators must know the type to mask them."""
        return inputs


class GivenLengths(Lengths):
    """Lengths as whole numbers, at most the length of the inputs, which is `length` if known."""

    symbol: mx.sym.Symbol  #: the lengths, of shape (batch,)

    def __init__(self, valid_length: mx.sym.Symbol, length: int | None, inputs: Inputs, layout: str
                 ) -> None:
        self.symbol = clip(valid_length, length, inputs, layout)
        self._length, self._inputs, self._layout = length, inputs, layout
        self._mask: mx.sym.Symbol | None = None
        self._steps: Sequence[mx.sym.Symbol] = ()

    def mask(self, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        return mx.sym.SequenceMask(inputs, self.symbol, use_sequence_length=True,
                                   axis=time_axis(layout))

    def mask_given(self, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        """As `mask`, for a sequence from the program. SequenceMask would need to know its type,
        which may only be inferred later."""
        if self._length is None:
            return self.mask(inputs, layout)
        self._inputs = inputs
        return mx.sym.where(self._running(), inputs, mx.sym.zeros_like(inputs))

    def hold(self, step: int, new: States, old: States) -> States:
        if not old:
            return new
        if not self._steps:
            running = mx.sym.Reshape(self._running(), shape=(0, 0, -1))
            running = mx.sym.slice_axis(running, axis=2, begin=0, end=1)
            self._steps = list(mx.sym.split(
                mx.sym.Reshape(running, shape=(0, -1)), axis=time_axis(self._layout),
                num_outputs=self._length or 1, squeeze_axis=1))
        return hold(self._steps[step], new, old)

    def typed(self, inputs: mx.sym.Symbol, states: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
        return typed(inputs, known_type(states[0]))

    def reverse(self, inputs: mx.sym.Symbol) -> mx.sym.Symbol:
        """Time-major `inputs` with each sequence reversed within its own length."""
        return mx.sym.SequenceReverse(inputs, self.symbol, use_sequence_length=True)

    def _running(self) -> mx.sym.Symbol:
        """For each element of the inputs 1 while its sequence runs, and 0 behind its end. Made when
        it is first needed, once for all steps.

        It is a float32 mask over ones in the shape of the inputs. So MXNet infers the lengths'
        shape from the inputs and needs neither type. It has no more steps than the lengths are
        clipped to.
        """
        if self._mask is None:
            inputs = mx.sym.Cast(merged(self._inputs, self._layout), dtype='float32')
            ones = mx.sym.slice_axis(
                mx.sym.ones_like(inputs), axis=time_axis(self._layout),
                # Rolling up frees an end together with one clip; MXNet 1.5 has several.
                **({'begin': 0, 'end': self._length} if RELEASE > (1, 5) else
                   {'begin': -(self._length or 0), 'end': None}))
            self._mask = self.mask(ones, self._layout)
        return self._mask


def hold(running: mx.sym.Symbol, new: States, old: States) -> list[mx.sym.Symbol]:
    """The `new` states of sequences that are `running`, otherwise the `old` states."""
    new, old = flatten(new), flatten(old)
    if len(new) != len(old):
        raise ValueError('a step must return as many states as it gets, got %d and %d'
                         % (len(old), len(new)))
    return [mx.sym.where(running, *pair) for pair in zip(new, old)]


class Keywords(TypedDict, total=False):
    """The options of `unroll` that mxnet.rnn lacks."""

    dtype: _check.DType | None
    valid_length: mx.sym.Symbol | None


class Options(NamedTuple):
    """The options of `unroll`. To add one, add a field here and in `Keywords`, its check in
    `checked`, and the keyword of `BaseRNNCell.unroll`."""

    length: int | None
    layout: str
    merge_outputs: bool | None
    dtype: _check.DType | None = None
    valid_length: mx.sym.Symbol | None = None
    #: From `valid_length`, clipped.
    lengths: Lengths = Lengths()
    #: Whether outputs may share their gradients: `fuse` transposes nothing in between.
    shared: bool = False

    def keywords(self) -> dict[str, _check.DType | mx.sym.Symbol]:
        """The given options that mxnet.rnn lacks."""
        given = {name: getattr(self, name) for name in Keywords.__annotations__}
        return {name: value for name, value in given.items() if value is not None}

    def arranged(self, outputs: Inputs) -> Inputs:
        """`outputs` in the form that `merge_outputs` asks for: one Symbol, steps, or unchanged."""
        if self.merge_outputs is None:
            return outputs
        if self.merge_outputs:
            return merged(outputs, self.layout)
        return steps_of(self.length, outputs, self.layout)


def checked(inputs: Inputs, options: Options) -> Options:
    length, merge, lengths = options.length, options.merge_outputs, options.valid_length
    check_inputs(length, inputs, options.layout)
    if merge is not None and type(merge) is not bool:
        options = options._replace(merge_outputs=bool(_check.flag('merge_outputs', merge)))
    if options.dtype is not None:
        _check.dtype('dtype', options.dtype)
    if lengths is None:
        return options
    check_valid_length(lengths)
    if length is None and not isinstance(inputs, mx.sym.Symbol):
        length = len(inputs)
    given = GivenLengths(lengths, length, inputs, options.layout)
    # Masks already return one Symbol.
    return options._replace(length=length, valid_length=given.symbol, lengths=given,
                            merge_outputs=options.merge_outputs is not False)
