"""Checks of the arguments that the checkpoint functions share."""
from __future__ import annotations

import os
from typing import Any

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['cell_list', 'check_module', 'path_prefix']


def cell_list(cells: Any) -> list[Any]:
    found = list(cells) if isinstance(cells, (list, tuple)) else [cells]
    for cell in found:
        if not (hasattr(cell, 'pack_weights') and hasattr(cell, 'unpack_weights')):
            _check.instance('cells', cells, (), 'a cell or a list of cells')
    return found


def check_module(module: Any) -> None:
    if module is not None:
        kind = mx.mod.BaseModule if hasattr(mx, 'mod') else ()  # gone from MXNet 2
        _check.instance('module', module, kind, 'a module or None')


def path_prefix(prefix: Any) -> str:
    return os.fspath(_check.instance('prefix', prefix, (str, os.PathLike), 'a path'))
