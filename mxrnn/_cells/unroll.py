"""Unrolling: the options, their checks, and the loop over the steps.

`Unrollable.unroll` checks everything once, clips the lengths and masks the sequence. Behind it,
cells pass `Options` on to the cells in them (`_unroll_`), which do not check, clip or mask again.

`Lengths` masks sequences of different lengths. The operators take valid_length in any numeric type.
To select, they write constants or copy, and never multiply. So not even NaN leaks out of padding.
"""
from __future__ import annotations

import contextlib
import functools
import inspect
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterator,
    List,
    Literal,
    NamedTuple,
    Sequence,
    Tuple,
    TypedDict,
    overload,
)

import numpy as np

from .. import _check
from .._runtime.mxnet import RELEASE, mx
from .gate_equations import Step
from .known_shapes import known_shape, known_type, typed
from .sequences import (
    Inputs,
    Layout,
    Outputs,
    check_inputs,
    check_symbol,
    merged,
    steps_of,
    time_axis,
)
from .states import States, flatten
from .variables import RNNParams, check_weights_given

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ['as_it_is', 'check_valid_length', 'GivenLengths', 'hold', 'Lengths', 'Options',
           'unchanged_on_error', 'unroll_checked', 'unroll_masked', 'unroll_within', 'Unrollable',
           'Unrolled']

#: Outputs, and final states nested as the cell has them.
Nested = List[Any]
Unrolled = Tuple[Inputs, Nested]


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
    `_checked`, and the keyword of `Unrollable.unroll`."""

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


def _checked(inputs: Inputs, options: Options) -> Options:
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


@contextlib.contextmanager
def unchanged_on_error(cell: Unrollable, always: bool = False) -> Iterator[Sequence[Unrollable]]:
    """Restore the attributes of `cell` and of the cells in it if the block fails, or with `always`
    in any case. The block gets these cells."""
    cells = cell._all_cells_()
    before = [dict(vars(each)) for each in cells]
    restores = True
    try:
        yield cells
        restores = always
    finally:
        if restores:
            for each, attributes in zip(cells, before):
                vars(each).clear()
                vars(each).update(attributes)


def unroll_checked(cell: Unrollable, unroll: Callable[..., Unrolled], inputs: Inputs,
                   begin_state: States | None, options: Options) -> Unrolled:
    """Check everything, call `unroll` for `cell`, and check the result."""
    options = _checked(inputs, options)
    with unchanged_on_error(cell) as cells:
        cell.reset()
        outputs, states = unroll(inputs, begin_state, options)
        for each in cells:
            each._check_graph_([outputs, states])
    last = inputs if isinstance(inputs, mx.sym.Symbol) else inputs[-1]
    check_weights_given([each._params for each in cells],
                        [last, *flatten([] if begin_state is None else begin_state)])
    return outputs, states


def unroll_masked(cell: Unrollable, inputs: Inputs, begin_state: States | None,
                  options: Options) -> Unrolled:
    """Unroll `cell`. With lengths, it reads zeros in padding and returns zeros there."""
    layout, lengths = options.layout, options.lengths
    if not isinstance(lengths, GivenLengths) or cell._masks_padding_:
        return cell._unroll_(inputs, begin_state, options)
    inputs = lengths.mask_given(merged(inputs, layout), layout)
    outputs, states = cell._unroll_(inputs, begin_state, options)
    return options.arranged(lengths.mask(merged(outputs, layout), layout)), states


def as_it_is(cell: Unrollable, inputs: Inputs, begin_state: States | None, options: Options
             ) -> Unrolled:
    """Unroll `cell` itself."""
    return unroll_checked(cell, functools.partial(unroll_masked, cell), inputs, begin_state,
                          options)


#: Called by `unroll` of an outermost cell. With --fuse, another function replaces it
#: (`_operator/automatic_fuse.py`).
unroll_hook = as_it_is


class Unrollable:
    """Unrolls cells over whole sequences, step by step unless they redefine `_unroll_`."""

    #: Whether `_unroll_` itself ignores padding and returns zeros there.
    _masks_padding_ = False
    #: Whether a call takes a whole sequence as it takes one step; only for cells without states.
    _takes_sequences_ = False

    reset: Callable[[], None]
    _params: RNNParams
    _all_cells_: Callable[[], Sequence[Unrollable]]
    _check_graph_: Callable[[States], None]
    _first_states_: Callable[[States | None, _check.DType | None], States]

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: None = ...,
               **options: Unpack[Keywords]) -> tuple[Outputs, Nested]: ...

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: Literal[True] = ...,
               **options: Unpack[Keywords]) -> tuple[mx.sym.Symbol, Nested]: ...

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: Literal[False] = ...,
               **options: Unpack[Keywords]) -> tuple[list[mx.sym.Symbol], Nested]: ...

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: bool | None = ...,
               **options: Unpack[Keywords]) -> tuple[Outputs, Nested]: ...

    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = None,
               layout: str = 'NTC', merge_outputs: bool | None = None, *,
               dtype: _check.DType | None = None, valid_length: mx.sym.Symbol | None = None
               ) -> Unrolled:
        """Build the graph of a whole sequence.

        Parameters
        ----------
        length : int
            Number of steps.
        inputs : Symbol or list of Symbol
            One Symbol of shape (batch, length, channels) with layout 'NTC' or (length, batch,
            channels) with 'TNC', or a Symbol of shape (batch, channels) for each step.
        begin_state : list of Symbol, optional
            From `begin_state` or an earlier unroll; zeros if None.
        layout : {'NTC', 'TNC'}
            The layout of a Symbol with the whole sequence.
        merge_outputs : bool, optional
            True: one Symbol in `layout`. False: a list of steps. None: whichever needs less work.
        dtype : str or type, optional
            Type of the zeros with which the graph begins if `begin_state` is None, or if a
            ZoneoutCell keeps its output; float32 by default.
        valid_length : Symbol, optional
            Number of steps of each sequence, in the shape (batch,) and any numeric type: whole
            numbers from 0 to `length`. More counts as `length`, NaN as 0. Later steps are padding
            and are not read. If None, all steps are valid. If float16 cannot hold `length`, such as
            2051, a bind with types needs the type of this one as well.

        Returns
        -------
        outputs : Symbol or list of Symbol
            The output of each step; 0 in padding.
        states : list of Symbol
            After the last step; with `valid_length`, after each sequence's last valid step.

        Raises
        ------
        TypeError, ValueError
            Inputs, states or a layout do not fit. The cell then is as before.
        """
        return unroll_hook(self, inputs, begin_state, Options(
            length, layout, merge_outputs, dtype, valid_length))

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """Build the result of `unroll` from checked arguments: call the cell step by step, and keep
        its states where a sequence has ended.

        Five classes redefine it, because they do not go step by step; each says why. In padding,
        inputs are finite, and outputs may be any finite numbers.
        """
        take_step: Callable[..., Step] = self  # type: ignore[assignment]
        if self._takes_sequences_:
            inputs = options.arranged(inputs)
            if isinstance(inputs, mx.sym.Symbol):
                return take_step(inputs, [])
        steps = steps_of(options.length, inputs, options.layout)
        states = self._first_states_(begin_state, options.dtype)
        outputs = []
        for t, step in enumerate(steps):
            output, new = take_step(step, states)
            states = options.lengths.hold(t, new, states)
            outputs.append(output)
        return options.arranged(outputs), states  # type: ignore[return-value]


def unroll_within(cell: Unrollable, inputs: Inputs, begin_state: States | None, options: Options
                  ) -> Unrolled:
    """Unroll `cell` as part of another: by `_unroll_`, or by a program's own `unroll`, which may
    know only the original arguments."""
    if getattr(cell.unroll, '__func__', None) is Unrollable.unroll:
        cell.reset()
        return cell._unroll_(inputs, begin_state, options)
    keywords = options.keywords()
    takes = inspect.signature(cell.unroll).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        for name in keywords.keys() - {parameter.name for parameter in takes}:
            raise NotImplementedError(
                '%s must be an argument of unroll of %r, which was redefined without it: add '
                'it and pass it on to the base class' % (name, cell))
    unroll: Callable[..., Unrolled] = cell.unroll
    return unroll(options.length, inputs=inputs, begin_state=begin_state,
                  layout=options.layout, merge_outputs=options.merge_outputs, **keywords)
