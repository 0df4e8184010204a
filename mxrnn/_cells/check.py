"""Whether what a program gives is a cell."""
from __future__ import annotations

from typing import Any

from .. import _check
from .base import BaseRNNCell

__all__ = ['check_cell']


def check_cell(name: str, value: Any) -> BaseRNNCell:
    """Return `value` if it is a cell; the refusal says what it is instead, and what to do."""
    if isinstance(value, BaseRNNCell):
        return value
    kind = value if isinstance(value, type) else type(value)
    if isinstance(value, type) and issubclass(value, BaseRNNCell):
        raise TypeError('%s must be a cell of mxrnn, got the class %s itself: call it to make a '
                        'cell, %s(...)' % (name, kind.__name__, kind.__name__))
    for module, whose in (('mxnet.gluon', "Gluon, whose cells don't share weights or graphs with "
                                          'these'), ('mxnet.rnn', 'mxnet.rnn itself')):
        if kind.__module__.startswith(module):
            raise TypeError('%s must be a cell of mxrnn, got %s of %s: use one of mxrnn, such as '
                            'mxrnn.LSTMCell or mxrnn.FusedRNNCell' % (name, kind.__name__, whose))
    return _check.instance(name, value, BaseRNNCell, 'a cell of mxrnn')
