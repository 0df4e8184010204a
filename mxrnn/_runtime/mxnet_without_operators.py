"""Imports the part of MXNet that runs a loaded graph, in a third of the time.

Most of the time MXNet's import makes a Python function of each operator, for each of its modules.
A graph that is loaded from JSON calls none of them.
"""
from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
import types

from .import_failure import found
from .import_patches import execute

__all__ = ['import_part']


def import_part() -> None:
    """Import that part as `mxnet`.

    Its `nd` and `sym` have no operators. Other submodules are imported when they are first used.
    """
    spec = found()
    if 'mxnet' in sys.modules:
        return
    module = sys.modules['mxnet'] = importlib.util.module_from_spec(spec)
    try:
        execute(_Part(), module)
    except ImportError:  # import all of it, or say why that is not possible
        for name in [name for name in sys.modules if name.partition('.')[0] == 'mxnet']:
            del sys.modules[name]


class _Part:
    """Runs, in the place of the package's code, that of the modules that run graphs."""

    def exec_module(self, module: types.ModuleType) -> None:
        release = importlib.import_module('mxnet.libinfo').__version__
        base = importlib.import_module('mxnet.base')
        for name in ('_init_op_module', '_init_np_op_module'):
            setattr(base, name, lambda *args, **kwargs: None)
        # This also lets the library read the attributes of its older operators.
        base._LIB.MXListAllOpNames(ctypes.byref(ctypes.c_uint()),
                                   ctypes.byref(ctypes.POINTER(ctypes.c_char_p)()))
        vars(module).update(__version__=release, __getattr__=_submodule)
        context = importlib.import_module('mxnet.context')
        vars(module).update(cpu=context.cpu, Context=context.Context)
        vars(module).update(sym=module.symbol, nd=module.ndarray)


def _submodule(name: str) -> types.ModuleType:
    try:
        return importlib.import_module('mxnet.' + name)
    except ModuleNotFoundError:
        raise AttributeError(name) from None
