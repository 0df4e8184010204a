"""Rows of as many steps, gathered from tokens, and batches as views of blocks of rows."""
from __future__ import annotations

import ctypes

import numpy as np

from .._runtime.mxnet import mx

__all__ = ['gather', 'part']


def gather(packed: np.ndarray, starts: np.ndarray, sizes: np.ndarray, steps: int,
           padding: np.generic) -> np.ndarray:
    """Return a row of `steps` numbers for each start and size in `packed`.

    Behind the size is `padding`, a NumPy number of the result's type.
    """
    starts, sizes = starts.astype(np.intp, copy=False), sizes.astype(np.intp, copy=False)
    last = packed.size - steps  # where the last full row begins
    if last < 0:  # all sequences together are shorter than a row
        packed, last = np.append(packed, np.zeros(-last, packed.dtype)), 0
    # All possible rows of `steps` numbers, as a view. Taking some of them copies runs of memory,
    # which is several times as fast as picking single numbers.
    runs: np.ndarray = np.ndarray((last + 1, steps), packed.dtype, packed, 0, packed.strides * 2)
    begins = np.minimum(starts, last)
    # The rows are spread over the memory. Reading one number at each end lets the processor fetch
    # many rows at the same time; the copies below would wait for one after the other.
    packed.take(begins)
    packed.take(begins + (steps - 1))
    rows = runs[begins].astype(padding.dtype, copy=False)
    behind = starts > last
    for i in np.flatnonzero(behind) if behind.any() else ():
        end = packed[starts[i]:]
        rows[i, :end.size] = end
    missing = steps - np.minimum(sizes, steps)
    ends = missing.cumsum()
    if missing.any():  # number by number, because each row has few
        before = np.arange(steps, rows.size + 1, steps) - ends
        rows.reshape(-1)[before.repeat(missing) + np.arange(ends[-1])] = padding
    return rows


def part(array: mx.nd.NDArray, i: int) -> mx.nd.NDArray:
    """The view ``array[i]``, in a third of the time."""
    handle = mx.base.NDArrayHandle()
    mx.base.check_call(mx.base._LIB.MXNDArrayAt(array.handle, ctypes.c_uint(i),
                                                ctypes.byref(handle)))
    return mx.nd.NDArray(handle)
