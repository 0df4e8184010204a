"""MXNet itself, as `mx`: the one place in this package that imports it."""
from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from typing import Any

from . import commands, finder, loops
from .cures import cures, version

__all__ = ['RELEASE', 'cures', 'mx']


def _import() -> Any:
    """Import MXNet, or say how to install it."""
    if 'mxnet' not in sys.modules:
        finder.enable()
        spec = importlib.util.find_spec('mxnet')
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(
                '\n'.join(['MXNet is not installed.'] + commands.how_to_install()), name='mxnet')
    return importlib.import_module('mxnet')


mx = _import()

#: The release of MXNet that runs, as (1, 9).
RELEASE: tuple[int, ...] = version(mx.__version__)[:2]

if not hasattr(mx, 'runtime'):  # which 1.5 has, but does not import itself
    with contextlib.suppress(ImportError):
        importlib.import_module('mxnet.runtime')

if RELEASE < (2,) and hasattr(mx, 'executor'):
    loops.cure(mx)

if RELEASE >= (2,) and mx.util.is_np_shape():
    # In a shape, mxnet.rnn's states among them, 0 means 'unknown' to legacy operators only.
    mx.npx.reset_np()
    cures.append('mx.npx.reset_np()')
