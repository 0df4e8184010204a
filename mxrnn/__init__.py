"""A drop-in replacement for ``mxnet.rnn``, MXNet's symbolic RNN cell API."""
from __future__ import annotations

__all__ = ['__version__']

__version__ = '0.1.0'
