"""Checkpoints and the deprecated `rnn_unroll`, under the name that their module has in MXNet."""
from __future__ import annotations

import warnings

from . import _check
from ._cells.base_cells import BaseRNNCell
from ._cells.sequences import Inputs, Layout
from ._cells.states import States
from ._cells.unroll import Unrolled
from ._checkpoint.checkpoint_callback import do_rnn_checkpoint
from ._checkpoint.loading import Checkpoint, load_rnn_checkpoint
from ._checkpoint.saving import save_rnn_checkpoint
from ._files import CheckpointError
from ._runtime.mxnet import mx

__all__ = ['Checkpoint', 'CheckpointError', 'do_rnn_checkpoint', 'load_rnn_checkpoint',
           'rnn_unroll', 'save_rnn_checkpoint']


def rnn_unroll(cell: BaseRNNCell, length: int, inputs: Inputs | None = None,
               begin_state: States | None = None, input_prefix: str = '', layout: Layout = 'NTC'
               ) -> Unrolled:
    """Unroll a cell. Deprecated: call `cell.unroll`.

    Parameters
    ----------
    cell : BaseRNNCell
        The cell to unroll.
    length : int
        Number of steps.
    inputs : Symbol or list of Symbol, optional
        As for `BaseRNNCell.unroll`. By default, a variable is made for each step, called
        ``<input_prefix>t<step>_data``, of shape (batch, input width).
    begin_state : nested list of Symbol, optional
        As for `BaseRNNCell.unroll`.
    input_prefix : str, default ''
        Begins the names of the variables made for missing `inputs`.
    layout : {'NTC', 'TNC'}, default 'NTC'
        The layout of `inputs`, if that is one Symbol.

    Returns
    -------
    outputs : Symbol or list of Symbol
    states : nested list of Symbol
        As from `BaseRNNCell.unroll`.

    Examples
    --------
    >>> import warnings, mxrnn as rnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter('ignore')         # call the method unroll of the cell instead
    ...     outputs, states = rnn.rnn_unroll(rnn.LSTMCell(4, prefix='lstm_'), 3)
    >>> len(outputs), len(states)
    (3, 2)
    """
    warnings.warn('rnn_unroll is deprecated: call the unroll method of the cell',
                  DeprecationWarning, stacklevel=2)
    if not hasattr(cell, 'unroll') or isinstance(cell, type) or _check.foreign(cell):
        _check.own('cell', cell, BaseRNNCell, 'a cell of mxrnn')
    if inputs is None:
        _check.instance('input_prefix', input_prefix, str, 'a string')
        inputs = [mx.sym.Variable('%st%d_data' % (input_prefix, step))
                  for step in range(_check.integer('length', length, 1, _check.LARGEST))]
    return cell.unroll(length, inputs=inputs, begin_state=begin_state, layout=layout)
