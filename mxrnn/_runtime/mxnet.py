"""MXNet itself, as `mx`: the one place in this package that imports it."""
from __future__ import annotations

import atexit
import contextlib
import importlib
from typing import Any

from . import finder
from .import_failure import found
from .import_patches import cures, version
from .loop_gradients import cure_loops

__all__ = ['cures', 'mx', 'RELEASE']

finder.enable()
found()
mx: Any = importlib.import_module('mxnet')

#: The release of MXNet that runs, as (1, 9).
RELEASE: tuple[int, ...] = version(mx.__version__)[:2]

if not hasattr(mx, 'runtime'):  # 1.5 has it but does not import it
    with contextlib.suppress(ImportError):
        importlib.import_module('mxnet.runtime')


def _let_symbols_outlive_mxnet() -> None:
    """Remove the destructor of Symbols, because at exit Python first deletes what it calls."""
    for kind in mx.sym.Symbol.__mro__:
        if '__del__' in vars(kind):
            with contextlib.suppress(TypeError):  # a class in C needs nothing from the module
                kind.__del__ = lambda symbol: None


atexit.register(_let_symbols_outlive_mxnet)

if hasattr(mx, 'executor'):
    cure_loops(mx)
