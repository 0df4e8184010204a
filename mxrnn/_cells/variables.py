"""RNNParams: makes variables by name, for cells that share them. Warns of different weights with
one name, as in two cells without prefixes."""
from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Union

from .. import _check
from .._runtime.mxnet import mx

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions

__all__ = ['Init', 'RNNParams', 'check_weights_given', 'warn_of_equal_names']

Init = Union[str, mx.init.Initializer, None]


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

    def get(self, name: str, **kwargs: Unpack[VariableOptions]) -> mx.sym.Symbol:
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


def check_weights_given(containers: Iterable[RNNParams], given: list[mx.sym.Symbol]) -> None:
    """Warn if the graphs of `given`, the inputs of a cell, have other weights with the names of its
    own weights in `containers`, as two cells without prefixes do."""
    symbol = mx.sym.Group(given)
    names = set(symbol.list_arguments())
    for container in {id(each): each for each in containers}.values():
        for name in names.intersection(container._params):
            together = mx.sym.Group([symbol, container._params[name]])
            if together.list_arguments().count(name) > 1:
                warn_of_equal_names('graph', name, container)
                return


def warn_of_equal_names(where: str, name: str, params: RNNParams) -> None:
    _check.warn(
        'two cells in a %s have different weights of the same name %r (prefix %r), so binding the '
        'graph will fail: give each cell its own prefix, such as prefix=%r, or the same params to '
        'share the weights'
        % (where, name, params._prefix, 'l1_' + params._prefix))
