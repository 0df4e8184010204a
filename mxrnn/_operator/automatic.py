"""Cells of a program that runs with --fuse: the outermost `unroll` goes through `fuse`.

Graphs list the arguments in the order of the cells, by which MXNet numbers the states of optimisers
and draws initial values. What `fuse` can't unroll is unrolled as ever.
"""
from __future__ import annotations

import atexit
import re
import sys
from typing import Any

from .._cells import unroll
from .._cells.sequence import Inputs, States
from .._runtime import finder
from .._runtime.mxnet import mx
from .fuse import FusedUnroll, Plan, plan
from .fused_layers import OperatorCell

__all__ = ['unroll_fused']

#: How often each cell was unrolled, by what became of it.
_unrolled: dict[str, int] = {}

#: Prefixes of the cells whose steps are within an operator.
_fused: set[str] = set()


class _InOrder(FusedUnroll):
    """`fuse` of a cell, with the arguments in the order of the cell."""

    def _plan_(self) -> Plan:
        planned = plan(self._cell)
        for each in planned.cell._all_cells_():
            if isinstance(each, OperatorCell):
                each.in_order = True
        return planned


def unroll_fused(cell: Any, inputs: Inputs, begin_state: States | None, options: unroll.Options
                 ) -> unroll.Unrolled:
    """Unroll `cell` through `fuse` if the program runs with --fuse and that is possible."""
    if not finder.fuses or isinstance(cell, FusedUnroll):
        return unroll.as_it_is(cell, inputs, begin_state, options)
    planned = plan(cell)
    text = planned.text
    if planned.fused:
        try:
            found = unroll.unroll_checked(cell, _InOrder(cell), inputs, begin_state, options)
        except Exception as error:  # whatever it is: the cell itself may do, or say it better
            text = '%r [not fused: %s]' % (cell, error)
        else:
            _note(text)
            if not _fused:
                _explain_missing_steps()
            _fused.update(each._prefix for operator in _InOrder(cell)._plan_().cell._all_cells_()
                          if isinstance(operator, OperatorCell) for each in operator._cells)
            return found
    found = unroll.as_it_is(cell, inputs, begin_state, options)
    _note(text)
    return found


def _note(text: str) -> None:
    if finder.reports and not _unrolled:
        atexit.register(_report)
    _unrolled[text] = _unrolled.get(text, 0) + 1


def _report() -> None:
    lines = ['%s, unrolled %d time%s' % (text, count, 's' * (count > 1))
             for text, count in _unrolled.items()]
    print('\n'.join(['mxrnn, run with --fuse:', *lines]), file=sys.stderr)


def _explain_missing_steps() -> None:
    """Say, where a graph is asked for a step that is within an operator, why it has none."""
    kind: Any = mx.sym.Symbol
    original = kind.__getitem__

    def get(self: Any, index: Any) -> Any:
        try:
            return original(self, index)
        except ValueError as error:
            step = re.match(r'(.*?)t\d+_', index) if isinstance(index, str) else None
            if step is None or step.group(1) not in _fused:
                raise
            raise ValueError('%s: with --fuse (or MXRNN_FUSE=1) the steps of %r are one operator; '
                             'run the program without it' % (error, step.group(1))) from None

    kind.__getitem__ = get


unroll.outermost = unroll_fused
