"""The memory of MXNet's arrays on the CPU, to read and to write."""
from __future__ import annotations

import ctypes
import math

import numpy as np

from .mxnet import mx

__all__ = ['address', 'room']

_view = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ('PyMemoryView_FromMemory', ctypes.pythonapi))

_WRITE = 0x200  #: PyBUF_WRITE


def address(array: mx.nd.NDArray) -> int:
    """The address of the numbers of an array whose memory already exists."""
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return pointer.value or 0


def room(shape: tuple[int, ...], dtype: np.dtype) -> tuple[mx.nd.NDArray, np.ndarray]:
    """A new array on the CPU, and its memory as a NumPy array, which must be filled before anything
    else is done with the array.
    """
    array = mx.nd.empty(shape, mx.cpu(), dtype)
    memory = _view(address(array), math.prod(shape) * dtype.itemsize, _WRITE)
    return array, np.frombuffer(memory, dtype).reshape(shape)
