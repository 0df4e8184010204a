"""Warns of different weights with the same name, as in two cells without prefixes."""
from __future__ import annotations

from typing import Any

from .. import _check
from .._runtime.mxnet import mx
from .variables import RNNParams

__all__ = ['check_weights_given', 'warn_of_equal_names']


def check_weights_given(cell: Any, given: list[mx.sym.Symbol]) -> None:
    """Warn if the graphs of `given`, the inputs of `cell`, have other weights with the names of its
    own weights, as two cells without prefixes do."""
    containers = {id(each._params): each._params for each in cell._all_cells_()}.values()
    symbol = mx.sym.Group(given)
    names = set(symbol.list_arguments())
    for container in containers:
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
