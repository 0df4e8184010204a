"""Checkpoints that every kind of cell can read, and the deprecated `rnn_unroll`."""
from __future__ import annotations

from ._checkpoint.files import CheckpointError
from ._checkpoint.functions import (
    Checkpoint,
    do_rnn_checkpoint,
    load_rnn_checkpoint,
    rnn_unroll,
    save_rnn_checkpoint,
)

__all__ = ['Checkpoint', 'CheckpointError', 'do_rnn_checkpoint', 'load_rnn_checkpoint',
           'rnn_unroll', 'save_rnn_checkpoint']
