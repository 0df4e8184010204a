"""MXNet itself, as `mx`: the one place in this package that imports it.

Loops (`sym.contrib.foreach`, `while_loop`) are patched here, so that their gradients are right
after inference. An executor's loop keeps the values of each forward pass until a backward pass
reads the oldest of them. After inference, as in `Module.fit` with `eval_data`, MXNet would compute
the next gradients from the evaluation data, and each pass costs memory until then. So before each
pass, a loop forgets a pass that no backward pass has followed.
"""
from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import importlib.util
import math
import sys
from typing import Any

import numpy as np

from .._graph.graph import Graph
from .._graph.symbol_json import graph_from_json
from . import finder, version_and_pip_commands
from .import_patches import cures, version

__all__ = ['address', 'cures', 'graph_of', 'json_of', 'mx', 'part', 'RELEASE', 'room']

#: The operators that keep values of their passes.
_LOOPS = '_foreach', '_while_loop'


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


def _cure_loops() -> None:
    """Make executors forget passes that they must not read."""
    kind = mx.executor.Executor
    run, return_gradients = kind.forward, kind.backward
    if hasattr(run, '_forgets_passes'):
        return

    def forget(executor: Any) -> None:
        """Run a backward pass that changes only the loops' memory."""
        arrays = [each for each in executor.grad_arrays + executor.aux_arrays if each is not None]
        before = [each.copy() for each in arrays]
        return_gradients(executor, [mx.nd.zeros_like(output) for output in executor.outputs])
        for array, value in zip(arrays, before):
            value.copyto(array)

    @functools.wraps(run)
    def forward(self: Any, is_train: bool = False, **kwargs: Any) -> Any:
        if getattr(self, '_keeps_a_pass', False):
            if not hasattr(self, '_has_loops'):
                self._has_loops = any(node.op in _LOOPS for node in graph_of(self._symbol).walk())
            if self._has_loops:
                forget(self)
        outputs = run(self, is_train, **kwargs)
        self._keeps_a_pass = any(each is not None for each in self.grad_arrays or ())
        return outputs

    @functools.wraps(return_gradients)
    def backward(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._keeps_a_pass = False
        return return_gradients(self, *args, **kwargs)

    forward._forgets_passes = True  # type: ignore[attr-defined]
    kind.forward, kind.backward = forward, backward


if RELEASE < (2,) and hasattr(mx, 'executor'):
    _cure_loops()


def _let_symbols_outlive_mxnet() -> None:
    """Remove the destructor of Symbols, because at exit Python first deletes what it calls."""
    for kind in mx.sym.Symbol.__mro__:
        if '__del__' in vars(kind):
            with contextlib.suppress(TypeError):  # a class in C needs nothing from the module
                kind.__del__ = lambda symbol: None


atexit.register(_let_symbols_outlive_mxnet)


def json_of(symbol: Any) -> str:
    """The JSON of a Symbol, with everything in it.

    By default, MXNet 1.7 and newer make a copy without casts for mixed precision and never free it.
    """
    return symbol.tojson(**({'remove_amp_cast': False} if RELEASE >= (1, 7) else {}))


def graph_of(symbol: Any) -> Graph:
    """The graph of a Symbol, with everything in it."""
    return graph_from_json(json_of(symbol))


# ---- the memory of arrays on the CPU, to write into

_view = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ('PyMemoryView_FromMemory', ctypes.pythonapi))
_WRITE = 0x200  #: PyBUF_WRITE


def address(array: mx.nd.NDArray) -> int:
    """The address of the numbers of an array whose memory already exists."""
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0


def room(shape: tuple[int, ...], dtype: np.dtype
         ) -> tuple[mx.nd.NDArray, np.ndarray]:
    """A new array on the CPU, and its memory as a NumPy array, which must be filled before anything
    else is done with the array.
    """
    array = mx.nd.empty(shape, mx.cpu(), dtype)
    memory = _view(address(array), math.prod(shape) * dtype.itemsize, _WRITE)
    return array, np.frombuffer(memory, dtype).reshape(shape)


def part(array: mx.nd.NDArray, i: int) -> mx.nd.NDArray:
    """The view ``array[i]``, in a third of the time."""
    handle = mx.base.NDArrayHandle()
    mx.base.check_call(mx.base._LIB.MXNDArrayAt(array.handle, ctypes.c_uint(i),
                                                ctypes.byref(handle)))
    return mx.nd.NDArray(handle)


if RELEASE >= (2,):  # after everything that it imports from here
    importlib.import_module('.._mxnet1.add_mxnet1_names_and_behaviour', __package__).add()
