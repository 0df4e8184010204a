"""RNNParams: makes variables by name, for cells that share them."""
from __future__ import annotations

from typing import Any

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['RNNParams']


class RNNParams:
    """Variables by name, which cells can share.

    Parameters
    ----------
    prefix : str
        Begins the name of each variable.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> params = rnn.RNNParams('tied_')
    >>> first, second = rnn.GRUCell(4, 'first_', params), rnn.GRUCell(4, 'second_', params)
    >>> params.get('i2h_weight').name
    'tied_i2h_weight'
    """

    def __init__(self, prefix: str = '') -> None:
        self._prefix = _check.instance('prefix', prefix, str, 'a str')
        self._params: dict[str, mx.sym.Symbol] = {}

    def get(self, name: str, **kwargs: Any) -> mx.sym.Symbol:
        """Return the variable `name`, and make it when it is first asked for.

        Parameters
        ----------
        name : str
            Name without the container's prefix.
        **kwargs
            For `mx.sym.Variable` (`shape`, `dtype`, `init`, `lr_mult`, ...). Only used when the
            variable is made.
        """
        name = self._prefix + _check.instance('name', name, str, 'a str')
        if name not in self._params:
            self._params[name] = mx.sym.Variable(name, **kwargs)
        return self._params[name]
