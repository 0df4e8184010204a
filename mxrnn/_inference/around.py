"""What a program puts around a cell, and the inputs of that network."""
from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .. import _check
from .._cells.base import BaseRNNCell
from .._cells.sequence import flatten
from .._cells.unroll import unchanged_on_error
from .._runtime.mxnet import mx

__all__ = ['Network', 'applied', 'as_array']

#: Takes what applies the cell to a Symbol, returns the outputs.
Network = Callable[[Callable[[mx.sym.Symbol], mx.sym.Symbol]], Any]


def applied(cell: BaseRNNCell, network: Network,
            apply: Callable[[mx.sym.Symbol], tuple[mx.sym.Symbol, Any]]
            ) -> tuple[Any, list[mx.sym.Symbol]]:
    """The network's outputs and the cell's states, where `apply` is what the cell does."""
    found: list[Any] = []

    def run(inputs: mx.sym.Symbol) -> mx.sym.Symbol:
        if found:
            raise ValueError('network must call run once, but it called it again')
        output, states = apply(_check.instance('inputs', inputs, mx.sym.Symbol, 'a Symbol'))
        found.append(flatten(states))
        return output

    with unchanged_on_error(cell), mx.name.NameManager():
        cell.reset()
        outputs = network(run)
        cell.reset()
    if not found:
        raise ValueError('network must call its argument run, which applies the cell, but did '
                         'not')
    return outputs, found[0]


def as_array(name: str, value: Any, context: mx.Context, dtype: Any) -> mx.nd.NDArray:
    """`value`, the input `name`, as an array; itself if it is one."""
    if isinstance(value, mx.nd.NDArray):
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in 'biuf':
        raise TypeError('%s must be an array of numbers, got %.80r' % (name, value))
    return mx.nd.array(array, ctx=context, dtype=dtype)
