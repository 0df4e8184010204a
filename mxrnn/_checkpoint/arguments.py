"""Checks of the arguments that the checkpoint functions share."""
from __future__ import annotations

import os
from typing import Any

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['cell_list', 'check_module', 'path_prefix']


def cell_list(cells: Any) -> list[Any]:
    """A list of the cells in `cells`, which is one cell or anything that holds cells."""
    if hasattr(cells, 'pack_weights'):
        found = [cells]
    else:
        found = list(_check.iterable('cells', cells, 'cells'))
    for cell in found:
        if isinstance(cell, type) and hasattr(cell, 'pack_weights'):
            raise TypeError('each of cells must be a cell, got the class %s: call it'
                            % cell.__name__)
        if not (hasattr(cell, 'pack_weights') and hasattr(cell, 'unpack_weights')):
            _check.instance('each of cells', cell, (), 'a cell')
    return found


def check_module(module: Any) -> None:
    if module is not None:
        kind = mx.mod.BaseModule if hasattr(mx, 'mod') else ()  # gone from MXNet 2
        _check.instance('module', module, kind, 'a module or None')


def path_prefix(prefix: Any) -> str:
    return os.fspath(_check.instance('prefix', prefix, (str, os.PathLike), 'a path'))
