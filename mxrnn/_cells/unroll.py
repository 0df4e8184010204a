"""Unrolling: the options, their checks, and the loop over the steps.

`Unrollable.unroll` checks everything once, clips the lengths and masks the sequence. Behind it,
cells pass `Options` on to the cells in them (`_unroll_`), which do not check, clip or mask again.
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

from .. import _check
from .._runtime.mxnet import mx
from .gate_equations import Step
from .sequences import Inputs, Layout, Outputs, check_inputs, merged, steps_of
from .states import States, flatten
from .valid_length import GivenLengths, Lengths, check_valid_length
from .variables import RNNParams, check_weights_given

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ['Options', 'Unrollable', 'Unrolled', 'as_it_is', 'unchanged_on_error',
           'unroll_checked', 'unroll_masked', 'unroll_within']

#: Outputs, and final states nested as the cell has them.
Nested = List[Any]
Unrolled = Tuple[Inputs, Nested]


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

    def keywords(self) -> dict[str, Any]:
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
    _later_step_: Callable[[], Callable[..., Step]]

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
        given = locals()  # the options by name, and also `self` and the inputs
        return unroll_hook(self, inputs, begin_state, Options(**{
            name: value for name, value in given.items() if name in Options._fields}))

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """Build the result of `unroll` from checked arguments: call the cell step by step, and keep
        its states where a sequence has ended.

        Five classes redefine it, because they do not go step by step; each says why. In padding,
        inputs are finite, and outputs may be any finite numbers.
        """
        take_step: Any = self
        if self._takes_sequences_:
            inputs = options.arranged(inputs)
            if isinstance(inputs, mx.sym.Symbol):
                return take_step(inputs, [])
        steps = steps_of(options.length, inputs, options.layout)
        states: Any = self._first_states_(begin_state, options.dtype)
        outputs = []
        for t, step in enumerate(steps):
            output, new = take_step(step, states)
            if t == 0:
                take_step = self._later_step_()
            states = options.lengths.hold(t, new, states)
            outputs.append(output)
        return options.arranged(outputs), states


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
