"""Inputs of a graph as arrays; those that are places in a table must be whole numbers."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .._graph.index_inputs import is_looked_up
from .._runtime.mxnet import mx
from .._runtime.symbol_to_json_and_graph import graph_of

__all__ = ['as_array', 'looked_up']


def looked_up(symbol: mx.sym.Symbol, names: Sequence[str]) -> list[str]:
    """The inputs among `names` whose numbers are places in a table, such as ids of words."""
    graph = graph_of(symbol)
    return [name for name in names if is_looked_up(graph, name)]


def as_array(name: str, value: object, context: mx.Context, dtype: Any, ids: bool = False
             ) -> mx.nd.NDArray:
    """`value`, the input `name`, as an array; unchanged if it is one. `ids` are whole numbers."""
    if isinstance(value, mx.nd.NDArray):
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in 'biuf':
        raise TypeError('%s must be an array of numbers, got %.80r' % (name, value))
    if ids and array.dtype.kind == 'f' and (array != np.floor(array)).any():
        raise ValueError('%s must be whole numbers, because they are looked up in a table, got '
                         '%.80r' % (name, value))
    return mx.nd.array(array, ctx=context, dtype=dtype)
