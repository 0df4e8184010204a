"""MXNet itself, as `mx`: the one place in this package that imports it."""
from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import sys
from typing import Any

from . import finder, version_and_pip_commands
from .import_patches import cures, version

__all__ = ['cures', 'mx', 'RELEASE']


def _import() -> Any:
    """Import MXNet, or say how to install it."""
    if 'mxnet' not in sys.modules:
        finder.enable()
        spec = importlib.util.find_spec('mxnet')
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(
                '\n'.join(['MXNet is not installed.'] + version_and_pip_commands.how_to_install()),
                name='mxnet')
    return importlib.import_module('mxnet')


mx = _import()

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


# Both import from here.
if RELEASE >= (2,):
    importlib.import_module('.._mxnet1.add_mxnet1_names_and_behaviour', __package__).add()
elif hasattr(mx, 'executor'):
    importlib.import_module('.loop_gradients', __package__).cure_loops()
