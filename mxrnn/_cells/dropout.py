"""Dropout, in graphs and in the bodies of loops, and the cell that applies it."""
from __future__ import annotations

import contextvars
from typing import Any

from .. import _check
from .._runtime.mxnet import mx
from .base import BaseRNNCell
from .gates import Step
from .sequence import Inputs, StateInfo, States, check_symbol
from .unroll import Options, Unrolled
from .variables import RNNParams

__all__ = ['DropoutCell', 'TRAINING', 'drop']

#: In the body of a loop: a Symbol that is 1 in training and 0 else. MXNet never tells operators in
#: a loop that they are being trained.
TRAINING: contextvars.ContextVar[mx.sym.Symbol | None] = contextvars.ContextVar(
    'TRAINING', default=None)


def drop(data: mx.sym.Symbol, probability: float, **kwargs: Any) -> mx.sym.Symbol:
    """Dropout in training; `kwargs` are of sym.Dropout."""
    training = TRAINING.get()
    if probability == 1:  # for which sym.Dropout divides by 0
        ones = mx.sym.ones_like(data)
        kept = (mx.sym.Dropout(ones, p=0.5) == ones if training is None else
                mx.sym.broadcast_sub(ones, training))
        return kept * data
    if training is None:
        return mx.sym.Dropout(data=data, p=probability, **kwargs)
    mask = mx.sym.Dropout(mx.sym.ones_like(data), p=probability, mode='always')
    return (mx.sym.broadcast_mul(mask - 1, training) + 1) * data


class DropoutCell(BaseRNNCell):
    """Dropout on the input, for use between the cells of a stack (Srivastava et al. 2014).

    Parameters
    ----------
    dropout : float
        Probability that an element becomes 0 in training, from 0 to 1.
    prefix : str
        Not used for names: the operator's nodes are named automatically.
    params : RNNParams, optional
        The cell has no weights.

    Notes
    -----
    No states. A sequence given as one Symbol that need not be split gets one mask for all of it.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> output, _ = rnn.DropoutCell(0.5).unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> bool(output.eval(x=mx.nd.ones((4, 20, 5)))[0].min() == 1)  # dropped in training only
    True
    """

    _in_fuse_ = 'dropout'

    def __init__(self, dropout: float, prefix: str = 'dropout_',
                 params: RNNParams | None = None) -> None:
        super().__init__(prefix, params)
        self.dropout = _check.number('dropout', dropout, 0, 1)

    @property
    def state_info(self) -> list[StateInfo]:
        return []

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        check_symbol('inputs', inputs)
        if self.dropout > 0:
            inputs = drop(inputs, self.dropout)
        return inputs, states

    def _gives_steps_(self, steps: bool) -> bool:
        return steps

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        inputs = options.arranged(inputs)
        if isinstance(inputs, mx.sym.Symbol):
            return self(inputs, [])
        return super()._unroll_(inputs, begin_state, options)
