"""The one place that imports MXNet."""
from __future__ import annotations

import mxnet as mx

__all__ = ['mx']
