"""Cells of a program that runs with --fuse: each outermost `unroll` goes through `fuse`.

Graphs list the arguments in the order of the cells, because MXNet numbers the states of optimisers
and draws initial values in that order. Cells that cannot be fused are unrolled as without --fuse.
A report at the end says what was fused.
"""
from __future__ import annotations

import atexit
import contextlib
import functools
import re
import sys
from typing import Any, Callable

from .._cells import unroll
from .._cells.sequences import Inputs
from .._cells.states import States
from .._runtime import finder
from .._runtime.mxnet import mx
from .fuse import FusedUnroll, Plan
from .operator_cell import OperatorCell
from .save_unfused_graph import apart, is_ours, remember

__all__ = ['note', 'unroll_fused']

#: What became of cells and graphs, and how often.
_noted: dict[str, int] = {}

#: Prefixes of cells whose steps are inside an operator.
_fused: set[str] = set()


class _InOrder(FusedUnroll):
    """`fuse` of a cell, with the arguments in the cell's order."""

    def _plan_(self) -> Plan:
        planned = super()._plan_()
        for each in _operators(planned):
            each.in_order = True
        return planned

    def _unfused_(self) -> Callable[..., unroll.Unrolled]:
        return self._cell._unroll_  # a program's own `unroll` has called this one


def _operators(planned: Plan) -> list[OperatorCell]:
    return [each for each in planned.cell._all_cells_() if isinstance(each, OperatorCell)]


def unroll_fused(cell: Any, inputs: Inputs, begin_state: States | None, options: unroll.Options
                 ) -> unroll.Unrolled:
    """Unroll `cell` through `fuse`, as far as possible, if the program runs with --fuse."""
    if not finder.fuses or isinstance(cell, FusedUnroll):
        return unroll.as_it_is(cell, inputs, begin_state, options)
    fused = _InOrder(cell)
    twice = is_ours(cell)
    with apart(cell) if twice else contextlib.nullcontext():
        found = unroll.unroll_checked(cell, functools.partial(unroll.unroll_masked, fused), inputs,
                                      begin_state, options)
    planned = fused._plan_of_unroll_()
    if twice:
        plain = unroll.as_it_is(cell, inputs, begin_state, options)
        if planned.fused:
            remember(found, plain)
        else:
            found = plain
    note('%s, unrolled' % planned.text)
    prefixes = {each._prefix for operator in _operators(planned) for each in operator._cells}
    _explain_missing_steps(prefixes)
    return found


def note(text: str) -> None:
    """Report at the end, if requested, what became of a cell or a graph."""
    if finder.reports and not _noted:
        atexit.register(_report)
    _noted[text] = _noted.get(text, 0) + 1


def _report() -> None:
    lines = ['%s %d time%s' % (text, count, 's' * (count > 1)) for text, count in _noted.items()]
    print('\n'.join(['mxrnn, run with --fuse:', *lines]), file=sys.stderr)


def _explain_missing_steps(prefixes: set[str]) -> None:
    """Explain from now on why a graph has no step, if cells with these prefixes are inside an
    operator.
    """
    patched = bool(_fused)
    _fused.update(prefixes)
    if patched or not prefixes:
        return
    kind: Any = mx.sym.Symbol
    original = kind.__getitem__

    def get(self: mx.sym.Symbol, index: int | str | slice) -> mx.sym.Symbol:
        try:
            return original(self, index)
        except ValueError as error:
            step = re.match(r'(.*?)t\d+_', index) if isinstance(index, str) else None
            if step is None or step.group(1) not in _fused:
                raise
            raise ValueError('%s: with --fuse (or MXRNN_FUSE=1) the steps of %r are one operator; '
                             'run the program without it' % (error, step.group(1))) from None

    kind.__getitem__ = get


unroll.unroll_hook = unroll_fused
