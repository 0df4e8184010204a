"""Checkpoints and the deprecated `rnn_unroll`, under the name that their module has in MXNet."""
from ._cells.rnn_unroll import rnn_unroll
from ._checkpoint.checkpoint_callback import do_rnn_checkpoint
from ._checkpoint.loading import Checkpoint, load_rnn_checkpoint
from ._checkpoint.saving import save_rnn_checkpoint
from ._files import CheckpointError

__all__ = ['Checkpoint', 'CheckpointError', 'do_rnn_checkpoint', 'load_rnn_checkpoint',
           'rnn_unroll', 'save_rnn_checkpoint']
