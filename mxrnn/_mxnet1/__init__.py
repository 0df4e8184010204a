"""MXNet 1 on MXNet 2: its executors, modules, metrics and optimisers, with `mx` typed."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._runtime.mxnet import mx as mx
else:  # imported here and not by _runtime, which may be waiting for this package
    import mxnet as mx

__all__ = ['mx']
