"""The cells whose weights a caller has: of mxrnn, mxnet.rnn or a program."""
from __future__ import annotations

import os
import warnings
from typing import Any, Iterable, Protocol

from .. import _check
from .weights_by_gate import Weights

__all__ = ['Cell', 'cell_list']


class Cell(Protocol):
    """A cell of mxrnn, mxnet.rnn or a program: it packs and unpacks its weights."""

    def pack_weights(self, args: Weights) -> Weights: ...
    def unpack_weights(self, args: Weights) -> Weights: ...


def cell_list(cells: Cell | Iterable[Cell]) -> list[Cell]:
    """The cells in `cells`, one cell or any container of cells, as a list."""
    found: list[Any] = [cells]
    if isinstance(cells, (str, os.PathLike)):
        raise TypeError('cells, the first argument, must be a cell or a list of cells, got %s: '
                        'prefix is the second argument' % _check.shown(cells))
    if not hasattr(cells, 'pack_weights'):
        found = list(_check.iterable('cells', cells, 'cells'))
    for cell in found:
        if _check.foreign(cell):
            warnings.warn('cells has %s' % _check.foreign(cell), stacklevel=3)
        if isinstance(cell, type) and hasattr(cell, 'pack_weights'):
            raise TypeError('each of cells must be a cell, got the class %s: call it'
                            % cell.__name__)
        if not (hasattr(cell, 'pack_weights') and hasattr(cell, 'unpack_weights')):
            _check.instance('each of cells', cell, (), 'a cell')
    return found
