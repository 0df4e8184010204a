"""rnn_unroll, the function that `BaseRNNCell.unroll` has replaced."""
from __future__ import annotations

import warnings
from typing import Any

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['rnn_unroll']


def rnn_unroll(cell: Any, length: int, inputs: Any = None, begin_state: Any = None,
               input_prefix: str = '', layout: str = 'NTC') -> tuple[Any, Any]:
    """Unroll a cell. Deprecated: call `cell.unroll`.

    Parameters
    ----------
    cell : BaseRNNCell
        The cell to unroll.
    length : int
        Number of steps.
    inputs : Symbol or list of Symbol, optional
        As for `BaseRNNCell.unroll`. Without it, one variable for each step is made, called
        ``<input_prefix>t<step>_data``, of shape (batch, input width).
    begin_state : nested list of Symbol, optional
        As for `BaseRNNCell.unroll`.
    input_prefix : str, default ''
        Begins the names of the variables that are made for missing `inputs`.
    layout : {'NTC', 'TNC'}, default 'NTC'
        Of `inputs`, if that is one Symbol.

    Returns
    -------
    outputs : Symbol or list of Symbol
    states : nested list of Symbol
        Both as from `BaseRNNCell.unroll`.

    Examples
    --------
    >>> import warnings, mxrnn as rnn
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter('ignore')         # call the method unroll of the cell instead
    ...     outputs, states = rnn.rnn_unroll(rnn.LSTMCell(4, prefix='lstm_'), 3)
    >>> len(outputs), len(states)
    (3, 2)
    """
    warnings.warn('rnn_unroll is deprecated, call the unroll method of the cell',
                  DeprecationWarning, stacklevel=2)
    if not hasattr(cell, 'unroll'):
        _check.instance('cell', cell, (), 'a cell of mxrnn')
    if inputs is None:
        _check.instance('input_prefix', input_prefix, str, 'a string')
        inputs = [mx.sym.Variable('%st%d_data' % (input_prefix, step))
                  for step in range(_check.integer('length', length, 1, _check.LARGEST))]
    return cell.unroll(length, inputs=inputs, begin_state=begin_state, layout=layout)
