"""Unrolling: what is asked for, the door at which it is checked, and the loop over the steps.

`BaseRNNCell.unroll` is the door: it checks everything once, clips the lengths and masks the
sequence. Behind it, cells hand `Options` on to the cells in them (`BaseRNNCell._unroll_`), and
nothing is checked, clipped or masked again.
"""
from __future__ import annotations

import contextlib
import inspect
from typing import Any, Iterator, NamedTuple

from .. import _check
from .._runtime.mxnet import mx
from .sequence import (
    Inputs,
    Running,
    arrange,
    check_inputs,
    check_valid_length,
    clip,
    hold,
    mask,
    steps_of,
)

__all__ = ['Options', 'call_unroll', 'unchanged_on_error', 'unroll', 'unroll_masked',
           'unroll_steps']


class Options(NamedTuple):
    """What `unroll` was asked for. Another option is another field, under its keyword's name,
    and its check in `_checked`."""

    length: int | None
    layout: str
    merge_outputs: bool | None
    dtype: _check.DType | None = None
    valid_length: mx.sym.Symbol | None = None
    #: Follows from `valid_length`: which sequences go on in each step.
    running: Running | None = None

    def keywords(self) -> dict[str, Any]:
        """Those options of `unroll` that mxnet.rnn does not know, as far as they were given."""
        return {name: value for name, value in list(self._asdict().items())[3:]
                if name != 'running' and value is not None}


def _checked(inputs: Inputs, options: Options) -> Options:
    length, layout, merge_outputs, dtype, valid_length = options[:5]
    check_inputs(length, inputs, layout)
    if merge_outputs is not None and type(merge_outputs) is not bool:
        options = options._replace(merge_outputs=bool(_check.flag('merge_outputs', merge_outputs)))
    if dtype is not None:
        _check.dtype('dtype', dtype)
    if valid_length is None:
        return options
    check_valid_length(valid_length)
    if length is None and not isinstance(inputs, mx.sym.Symbol):
        length = len(inputs)
    clipped = clip(valid_length, length, inputs, layout)
    running = None if length is None else Running(clipped, length, inputs, layout)
    return options._replace(length=length, valid_length=clipped, running=running)


def unroll(cell: Any, inputs: Inputs, begin_state: Any, options: Options
           ) -> tuple[Inputs, list[Any]]:
    """Unroll `cell` for a program: see `BaseRNNCell.unroll`."""
    options = _checked(inputs, options)
    with unchanged_on_error(cell) as cells:
        cell.reset()
        outputs, states = unroll_masked(cell, inputs, begin_state, options)
        for each in cells:
            each._check_graph_([outputs, states])
    return outputs, states


@contextlib.contextmanager
def unchanged_on_error(cell: Any) -> Iterator[list[Any]]:
    """Put back the attributes of `cell` and of those under it, which the block is given, if the
    block fails."""
    cells = cell._all_cells_()
    before = [dict(vars(each)) for each in cells]
    try:
        yield cells
    except BaseException:
        for each, attributes in zip(cells, before):
            vars(each).clear()
            vars(each).update(attributes)
        raise


def call_unroll(cell: Any, inputs: Inputs, begin_state: Any, options: Options
                ) -> tuple[Inputs, list[Any]]:
    """Call the `unroll` of a cell of a program, which may know the original arguments only."""
    keywords = options.keywords()
    takes = inspect.signature(cell.unroll).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        for name in keywords.keys() - {parameter.name for parameter in takes}:
            raise NotImplementedError(
                '%s must be an argument of unroll of %r, which has been redefined without it: add '
                'it and pass it on to the base class' % (name, cell))
    return cell.unroll(options.length, inputs=inputs, begin_state=begin_state,
                       layout=options.layout, merge_outputs=options.merge_outputs, **keywords)


def unroll_masked(cell: Any, inputs: Inputs, begin_state: Any, options: Options
                  ) -> tuple[Inputs, list[Any]]:
    """Unroll `cell` so that it reads zeros in padding and gives zeros there."""
    if options.valid_length is None or cell._masks_padding_:
        return cell._unroll_(inputs, begin_state, options)
    if options.running is None:
        inputs = mask(None, inputs, options.layout, options.valid_length)
    else:
        inputs = options.running.mask(inputs, options.layout)
    outputs, states = cell._unroll_(inputs, begin_state, options)
    outputs = mask(options.length, outputs, options.layout, options.valid_length)
    return arrange(options.length, outputs, options.layout, options.merge_outputs), states


def unroll_steps(cell: Any, inputs: Inputs, begin_state: Any, options: Options
                 ) -> tuple[Inputs, list[Any]]:
    """Call `cell` for one step after the other; where a sequence has ended, hold its states."""
    steps = steps_of(options.length, inputs, options.layout)
    states = cell._first_states_(begin_state, options.dtype)
    take_step = cell
    running = options.running
    outputs: Any = []
    for t, step in enumerate(steps):
        before = states
        output, states = take_step(step, before)
        if t == 0:
            take_step = cell._later_step_()
        if running is not None and before:
            states = hold(running[t], states, before)
        outputs.append(output)
    return arrange(options.length, outputs, options.layout, options.merge_outputs), states
