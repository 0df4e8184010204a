"""MXNet 1 on MXNet 2: its executors, modules, metrics and optimisers, with `mx` typed."""
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from .._runtime.mxnet import mx as mx
else:  # imported here and not by _runtime, which may be waiting for this package
    import mxnet as mx

__all__ = ['legacy', 'mx']


@contextlib.contextmanager
def legacy() -> Iterator[None]:
    """Inside the block, 0 in a shape means 'unknown', and arrays are those of MXNet 1."""
    with mx.util.np_array(False), mx.util.np_shape(False):
        yield
