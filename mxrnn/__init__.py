"""A drop-in replacement for ``mxnet.rnn``, MXNet's symbolic RNN cell API.

    import mxrnn as rnn

Cells (`rnn_cell`) build `mx.sym` graphs of one step or, with `unroll`, of a whole sequence.
`FusedRNNCell` is a single operator for many layers and all steps. Checkpoints (`rnn`) carry weights
from one kind of cell to the other."""
from __future__ import annotations

from . import io, rnn, rnn_cell
from .io import *  # noqa: F403
from .rnn import *  # noqa: F403
from .rnn_cell import *  # noqa: F403

__all__ = ['__version__', *rnn_cell.__all__, *rnn.__all__, *io.__all__]

__version__ = '0.1.0'
