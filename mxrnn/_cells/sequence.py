"""Layouts, and a sequence as one Symbol, as a list of steps, and back."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Literal, Sequence, Union

import numpy as np

from .. import _check
from .._runtime.mxnet import RELEASE, mx

__all__ = ['GivenLengths', 'Inputs', 'Layout', 'Lengths', 'Outputs', 'StateInfo', 'States',
           'check_inputs', 'check_length', 'check_states', 'check_symbol', 'check_valid_length',
           'flatten', 'hold', 'joins_are_known', 'known_shape', 'known_type', 'make_state',
           'merged', 'steps_of', 'time_axis', 'time_major', 'typed', 'unknown']

Symbol = mx.sym.Symbol  #: looked up once, for what every step asks

#: A whole sequence as one Symbol, or one Symbol a step.
Inputs = Union[mx.sym.Symbol, Sequence[mx.sym.Symbol]]
Outputs = Union[mx.sym.Symbol, List[mx.sym.Symbol]]
#: Symbols, nested as they may be, as `unroll` takes and returns them.
States = Union[mx.sym.Symbol, Sequence[Any]]
#: The shape and the layout of a state, by the keywords of `begin_state`.
StateInfo = Dict[str, Any]
Layout = Literal['NTC', 'TNC', 'NT', 'TN', 'NTCHW', 'TNCHW', 'NTHWC', 'TNHWC', 'NTCW', 'TNCW',
                 'NTCDHW', 'TNCDHW', 'NTDHWC', 'TNDHWC']


#: The axis of time in the layouts that are usual, for a quick answer.
_TIME_AXIS = {'NTC': 1, 'TNC': 0}


def time_axis(layout: str) -> int:
    """Axis of time in `layout`: 1 for 'NTC', 0 for 'TNC'.

    What follows the first two letters is free, so that images may be named ('NTCHW').
    """
    if type(layout) is str and layout in _TIME_AXIS:
        return _TIME_AXIS[layout]
    if not isinstance(layout, str):
        raise TypeError("layout must be 'NTC' or 'TNC', got %s" % _check.shown(layout))
    if layout[:2] not in ('NT', 'TN') or len(set(layout)) != len(layout):
        raise ValueError("layout must be 'NTC' (batch, time, channels) or 'TNC' (time, batch, "
                         'channels), got %r' % layout)
    return layout.index('T')


def check_symbol(name: str, value: Any, what: str = 'a Symbol') -> mx.sym.Symbol:
    """Return `value` if it is a Symbol of one output; `what` describes it in the refusal."""
    if type(value) is not Symbol:  # quick, as steps ask it
        _check.instance(name, value, Symbol, what)
    if len(value) != 1:
        raise ValueError('%s must be %s, got a group of %d outputs (%s)'
                         % (name, what, len(value), ', '.join(value.list_outputs()[:3])))
    return value


def check_inputs(length: int | None, inputs: Inputs, layout: str) -> None:
    """Refuse what is no sequence of `length` steps; None leaves the length open."""
    time_axis(layout)
    if length is not None:
        _check.integer('length', length, 1, _check.LARGEST)
    if isinstance(inputs, mx.sym.Symbol):
        check_symbol('inputs', inputs, 'one Symbol, or a list of Symbols such as list(group)')
        shape = known_shape(inputs)
        if len(shape) == 1:
            raise ValueError('inputs must have axes for batch and time, got the shape %s'
                             % (shape,))
        if shape:
            check_length(length, inputs, layout)
        return
    if not isinstance(inputs, (list, tuple)):
        raise TypeError('inputs must be a Symbol or a list of Symbols, one a step, got %s'
                        % type(inputs).__name__)
    if not _all_single(inputs):
        for i, step in enumerate(inputs):
            check_symbol('inputs[%d]' % i, step)
    if not inputs or length not in (None, len(inputs)):
        raise ValueError('inputs must have one Symbol for each of length=%s steps, got %d Symbols'
                         % (length, len(inputs)))


def check_valid_length(valid_length: Any) -> mx.sym.Symbol:
    """Refuse what is no Symbol of one length for each sequence."""
    what = 'a Symbol of shape (batch,), the number of valid steps of each sequence'
    check_symbol('valid_length', valid_length, what)
    shape = known_shape(valid_length)
    if len(shape) > 1:
        raise ValueError('valid_length must be %s, got shape %s' % (what, shape))
    return valid_length


def _all_single(symbols: Sequence[Any]) -> bool:
    """Whether all of `symbols` are Symbols of one output each."""
    for symbol in symbols:
        if type(symbol) is not Symbol or len(symbol) != 1:
            return False
    return True


def check_states(states: Any, count: int, whose: Any) -> list[mx.sym.Symbol]:
    """Return `states`, nested as they may be, as a flat list of `count` Symbols."""
    if type(states) is list and len(states) == count and _all_single(states):
        return states  # the usual case, once a step
    flat = flatten(states)
    if len(flat) != count:
        silent = [cell for cell in whose._all_cells_() if not cell._gives_states_()]
        raise ValueError('states of %r must be %d Symbols, as its begin_state() gives, got %d%s'
                         % (whose, count, len(flat), ''.join(
                             '; unroll of %r returns its states with get_next_state=True only'
                             % cell for cell in silent[:1])))
    return flat


def make_state(func: Callable[..., Symbol], name: str, keywords: dict[str, Any]) -> Symbol:
    """Make a state by `func`, the argument of begin_state; say in one line what it cannot take."""
    try:
        return func(name=name, **keywords)
    except mx.base.MXNetError as error:
        lines = str(error).strip().splitlines() or ['nothing']
        reason = lines[-1] if 'Traceback' in lines[0] else lines[0]
        raise TypeError('func of begin_state must make a Symbol of the arguments name, %s; '
                        '%s says: %s' % (', '.join(keywords), getattr(func, '__name__', func),
                                         reason)) from error


def flatten(states: Any) -> list[mx.sym.Symbol]:
    """The Symbols in `states`, nested as they may be."""
    if not isinstance(states, (list, tuple, mx.sym.Symbol)):
        raise TypeError('states must be a list of Symbols, as begin_state() gives, got %s'
                        % type(states).__name__)
    flat: list[mx.sym.Symbol] = []
    for state in states:
        if isinstance(state, mx.sym.Symbol) and len(state) == 1:
            flat.append(state)
        else:
            flat.extend(flatten(state))
    return flat


def known_shape(symbol: mx.sym.Symbol) -> tuple[int, ...]:
    """Shape of `symbol` as far as its own graph tells: () if not even the rank is known,
    0 for each axis that isn't."""
    if not symbol.list_attr() and symbol.get_children() is None:
        return ()  # a variable that says nothing: the usual input, answered quickly
    try:
        shape = symbol.infer_shape_partial()[1][0] or ()
        return tuple(max(n, 0) for n in shape)  # -1 under NumPy's semantics
    except mx.base.MXNetError:  # an inconsistent graph: binding will say where
        return ()


def unknown(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape`, with 0 for what is to be inferred, as MXNet writes it under NumPy's semantics."""
    return tuple(n or -1 for n in shape) if mx.util.is_np_shape() else shape


def known_type(symbol: mx.sym.Symbol) -> Any:
    """NumPy type of `symbol` as far as its own graph tells, or None."""
    try:
        return symbol.infer_type_partial()[1][0]
    except mx.base.MXNetError:  # operators that ask for the type of their input
        return None


def typed(inputs: mx.sym.Symbol, dtype: Any, rank: int = 3) -> mx.sym.Symbol:
    """`inputs`, of `rank` axes, as a node of the type `dtype`, if that is known.

    A program that binds lengths of integers may leave it open, and the operators that move and
    mask sequences would have to know it.
    """
    if dtype is None:
        return inputs
    shape = unknown((0,) * (len(known_shape(inputs)) or rank))
    return mx.sym._internal._identity_with_attr_like_rhs(inputs, mx.sym.zeros(shape, dtype=dtype))


def check_length(length: int | None, inputs: Symbol, layout: str) -> None:
    """Refuse a sequence whose shape, as far as it is known, has another number of steps."""
    shape, axis = known_shape(inputs), time_axis(layout)
    if length is not None and shape[axis:axis + 1] not in ((), (0,), (length,)) \
            and joins_are_known(inputs):
        raise ValueError('length must be the number of steps of inputs, whose shape %s has %d in '
                         'layout %r, got %d' % (shape, shape[axis], layout, length))


def joins_are_known(symbol: Symbol) -> bool:
    """Whether all arrays have shapes that the graph of `symbol` joins. MXNet leaves the others out
    of the sum of their sizes, so that a known shape may be too small."""
    for node in symbol.get_internals():
        parts = node.get_children() if {'num_args', 'dim'} <= node.list_attr().keys() else None
        if parts is not None and not all(parts.infer_shape_partial()[1]):
            return False
    return True


def steps_of(length: int | None, inputs: Inputs, layout: str) -> list[mx.sym.Symbol]:
    """`inputs` as a list of steps."""
    if not isinstance(inputs, mx.sym.Symbol):
        return list(inputs)
    if length is None:
        raise ValueError('length must be given to split a Symbol into steps, got None; fuse and '
                         'dynamic_unroll make a graph for any length')
    return list(mx.sym.split(inputs, axis=time_axis(layout), num_outputs=length, squeeze_axis=1))


def merged(inputs: Inputs, layout: str) -> mx.sym.Symbol:
    """`inputs` as one Symbol."""
    if isinstance(inputs, mx.sym.Symbol):
        return inputs
    axis = time_axis(layout)
    return mx.sym.Concat(*[mx.sym.expand_dims(step, axis=axis) for step in inputs], dim=axis)


def time_major(inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
    """Swap batch and time if `layout` is batch-major; applying it twice undoes it."""
    return mx.sym.swapaxes(inputs, dim1=0, dim2=1) if time_axis(layout) == 1 else inputs


# Sequences of different lengths. The operators take valid_length in any numeric type. Those that
# select write constants or copy, never multiply: not even NaN gets out of padding.

def clip(valid_length: mx.sym.Symbol, length: int | None, inputs: Inputs, layout: str
         ) -> mx.sym.Symbol:
    """`valid_length` as whole numbers from 0 to `length` (None: what `inputs` have once bound).

    Operators that mask, reverse or pick would write or read outside of the array for other numbers,
    and for NaN, which they take for one far below 0.
    """
    if length is not None and float(np.float16(min(length, 60000))) != length:
        # In float16 the bound would be rounded, and `clip` let through more than `length`.
        valid_length = mx.sym.Cast(valid_length, dtype='float32')
    clipped = (mx.sym.maximum(valid_length, 0) if length is None else
               _between_zero_and(length, valid_length))
    clipped = mx.sym.where(valid_length >= 0, clipped, mx.sym.zeros_like(clipped))
    # MXNet infers no shapes through `where`: the lengths must get theirs from what they are for.
    whole = mx.sym.floor(mx.sym._internal._identity_with_attr_like_rhs(clipped, valid_length))
    if length is not None:
        return whole
    one = mx.sym.slice_axis(inputs, axis=1 - time_axis(layout), begin=0, end=1)
    steps = mx.sym.slice_axis(mx.sym.Reshape(one, shape=(-3, -1)), axis=1, begin=0, end=1)
    count = mx.sym.sum(mx.sym.ones_like(steps))
    # Cast, since lengths and data may be of two types, and a minimum takes one.
    return mx.sym.broadcast_minimum(mx.sym.Cast(whole, dtype='float32'),
                                    mx.sym.Cast(count, dtype='float32'))


def _between_zero_and(most: int, numbers: mx.sym.Symbol) -> mx.sym.Symbol:
    """`numbers` of any type, but 0 for those below, and `most` for those above."""
    if RELEASE > (1, 5):
        return mx.sym.clip(numbers, 0, most)
    # That of MXNet 1.5 makes 44 of the bound 300 for an int8. So parts are clipped and taken away
    # that every type holds, those of a float16 beyond 2048, too. (A Cast would keep MXNet 1.5 from
    # inferring the type.)
    parts = []
    for part in [64] * (most // 64) + [most % 64]:
        parts.append(mx.sym.clip(numbers, 0, part))
        numbers = numbers - parts[-1]
    return mx.sym.add_n(*parts)


class Lengths:
    """How many steps of each sequence are valid; what lies behind is padding. Here: all of them."""

    #: The lengths, of shape (batch,), or None if all steps are valid.
    symbol: mx.sym.Symbol | None = None

    def mask(self, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        """`inputs`, zero past each sequence's end."""
        return inputs

    def hold(self, step: int, new: States, old: States) -> States:
        """The `new` states of the sequences that go on at `step`, the `old` ones of the others."""
        return new

    def typed(self, inputs: mx.sym.Symbol, states: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
        """`inputs` of the type of `states`, where operators will have to know it to mask them."""
        return inputs


class GivenLengths(Lengths):
    """Lengths as whole numbers from 0 to that of `inputs`, `length` if it is known."""

    symbol: mx.sym.Symbol

    def __init__(self, valid_length: mx.sym.Symbol, length: int | None, inputs: Inputs, layout: str
                 ) -> None:
        self.symbol = clip(valid_length, length, inputs, layout)
        self._length, self._inputs, self._axis = length, inputs, time_axis(layout)
        self._running: mx.sym.Symbol | None = None
        self._steps: Sequence[mx.sym.Symbol] = ()

    def mask(self, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        return mx.sym.SequenceMask(inputs, self.symbol, use_sequence_length=True,
                                   axis=time_axis(layout))

    def mask_given(self, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        """As `mask`, of the sequence that a program gives. SequenceMask would have to know its
        type, which may be inferred later only."""
        if self._length is None:
            return self.mask(inputs, layout)
        rows, shape = self._all(self._length), (-4, self._length, -1, -2)
        if self._axis == 1:
            rows, shape = mx.sym.transpose(rows), (-4, -1, self._length, -2)
        rows = mx.sym.Reshape(rows, shape=(-1,))
        inputs = mx.sym.Reshape(inputs, shape=(-3, -2))
        inputs = mx.sym.where(rows, inputs, mx.sym.zeros_like(inputs))
        return mx.sym.Reshape(inputs, shape=shape)

    def hold(self, step: int, new: States, old: States) -> States:
        if not old:
            return new
        if not self._steps:
            length = self._length or 1
            self._steps = list(mx.sym.split(self._all(length), axis=0, num_outputs=length,
                                            squeeze_axis=1))
        return hold(self._steps[step], new, old)

    def typed(self, inputs: mx.sym.Symbol, states: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
        return typed(inputs, known_type(states[0]))

    def reverse(self, inputs: mx.sym.Symbol) -> mx.sym.Symbol:
        """Time-major `inputs` with each sequence reversed within its own length."""
        return mx.sym.SequenceReverse(inputs, self.symbol, use_sequence_length=True)

    def _all(self, length: int) -> mx.sym.Symbol:
        """By step, which sequences have not ended: 1, or 0 behind the end, of shape (length,
        batch). Made where it is first asked for, and once for all steps.

        It comes from a mask of float32 over ones that have the batch of the inputs. So MXNet infers
        the shape of the lengths from the inputs, and needs to know the type of neither.
        """
        if self._running is None:
            first = (mx.sym.slice_axis(self._inputs, axis=self._axis, begin=0, end=1)
                     if isinstance(self._inputs, mx.sym.Symbol) else
                     mx.sym.expand_dims(self._inputs[0], axis=self._axis))
            column = mx.sym.slice_axis(mx.sym.Reshape(first, shape=(-3, -1)), axis=1, begin=0,
                                       end=1)
            row = mx.sym.Cast(mx.sym.Reshape(column, shape=(1, -1)), dtype='float32')
            ones = mx.sym.broadcast_axis(mx.sym.ones_like(row), axis=0, size=length)
            self._running = self.mask(ones, 'TN')
        return self._running


def hold(running: mx.sym.Symbol, new: States, old: States) -> list[mx.sym.Symbol]:
    """The `new` states of the sequences that are `running`, the `old` ones of the others."""
    new, old = flatten(new), flatten(old)
    if len(new) != len(old):
        raise ValueError('states must be as many before a step as after it, got %d and %d'
                         % (len(old), len(new)))
    return [mx.sym.where(running, *pair) for pair in zip(new, old)]
