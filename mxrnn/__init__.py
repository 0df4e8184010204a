"""A drop-in replacement for ``mxnet.rnn``, MXNet's symbolic RNN cell API.

    import mxrnn as rnn

Cells (`rnn_cell`) build `mx.sym` graphs of one step or, with `unroll`, of a whole sequence;
`FusedRNNCell` is one operator for layers, directions and steps, and `fuse` unrolls ordinary cells
through it, `dynamic_unroll` as a loop over any length. The checkpoint functions (`rnn`) store
weights so that every kind of cell can read them. `io` makes batches of sentences.
"""
from __future__ import annotations

import sys

from . import init as init
from . import io, rnn, rnn_cell
from ._cells.carry import carry_states
from ._cells.loop import dynamic_unroll
from ._operator.fuse import fuse
from ._runtime.mxnet import mx
from ._runtime.report import device_report
from .io import *  # noqa: F403
from .rnn import *  # noqa: F403
from .rnn_cell import *  # noqa: F403

__all__ = ['__version__', 'carry_states', 'device_report', 'dynamic_unroll', 'fuse',
           'install', *rnn_cell.__all__, *rnn.__all__, *io.__all__]

__version__ = '0.1.0'


def install() -> None:
    """Put this package in the place of ``mxnet.rnn``, for programs that can't be edited.

    From then on ``mx.rnn``, ``import mxnet.rnn`` and ``from mxnet.rnn import ...`` give mxrnn;
    what a program has imported from the original before stays the original's.
    """
    for name in ('', '.rnn_cell', '.rnn', '.io'):
        sys.modules['mxnet.rnn' + name] = sys.modules[__name__ + name]
    mx.rnn = sys.modules[__name__]
