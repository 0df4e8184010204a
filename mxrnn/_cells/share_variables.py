"""Cells that share variables: those of a cell are replaced by those of a container."""
from __future__ import annotations

from collections import Counter

from .._runtime.mxnet import mx
from .base_cells import BaseRNNCell
from .variables import RNNParams

__all__ = ['check_shared', 'share']


def share(cell: BaseRNNCell, shared: RNNParams) -> None:
    """Let `cell` and everything in it use the variables of `shared`, by name.

    Missing variables are added to `shared`. The cells' Symbols get other variables in place, so
    cells may keep them anywhere; what a cell made from them still has the old ones.
    """
    cell.reset()  # forgets what it made in earlier steps
    for each in _cells_of(cell):
        container = each._params
        for name, variable in container._params.items():
            wanted = shared._params.setdefault(name, variable)
            if wanted is not variable:
                again = wanted[0]  # another Symbol of the same variable
                variable.handle, again.handle = again.handle, variable.handle
        container._params = shared._params  # one dict: each sees what any of them adds later


def check_shared(cell: object, shared: RNNParams, symbols: list[mx.sym.Symbol]) -> None:
    """Refuse `symbols`, made by `cell`, if a variable in them differs from `shared`'s of the same
    name, because an inner cell keeps something that it made from its variable before `share`."""
    together = mx.sym.Group([*symbols, *shared._params.values()])
    for name, count in Counter(together.list_inputs()).items():
        if count > 1 and name in shared._params:
            raise ValueError(
                'params of a container must be able to replace the weights of %r, but it keeps '
                'something that it made from its own variable %r: make it in each step'
                % (cell, name))


def _cells_of(cell: BaseRNNCell) -> list[BaseRNNCell]:
    """`cell`, the cells in it, and the cells that they keep as attributes."""
    cells = [cell]
    for each in cells:  # the list grows during the loop
        kept = [value for value in vars(each).values() if hasattr(value, '_inner_cells_')]
        cells += [inner for inner in each._inner_cells_() + kept
                  if not any(inner is other for other in cells)]
    return cells
