"""Whether the parameters of a file fit the graph and the cells that they are for."""
from __future__ import annotations

import contextlib
from typing import Any, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.weights import own_weights, wrong_sizes
from .._runtime.mxnet import graph_of, mx
from .saving import Cell, Params

__all__ = ['faults']


def faults(cells: Sequence[Cell], symbol: mx.sym.Symbol, read: Params, arg_params: Params,
           aux_params: Params) -> list[str]:
    """List in words all that does not fit.

    Parameters
    ----------
    cells : sequence of BaseRNNCell
        The cells that packed the weights.
    symbol : Symbol
    read, arg_params, aux_params : dict of str to NDArray
        The parameters as they were read, the same with packed weights, and auxiliary states.
    """
    graph = graph_of(symbol)
    return (_wrong_names(cells, graph, read, arg_params, aux_params)
            + _wrong_shapes(graph, arg_params) + _wrong_types(symbol, read, arg_params, aux_params))


def _wrong_names(cells: Sequence[Cell], graph: Graph, read: Params, arg_params: Params,
                 aux_params: Params) -> list[str]:
    """Names that neither graph nor cells use, and parameters that the file lacks."""
    arguments = graph.arguments
    # A cell knows the weights that it packed, whether or not they are variables of its own.
    known = set(arguments).union(*map(_weights, cells))
    extra = (set(read) & set(arg_params)) - known | set(aux_params) - set(graph.auxiliary)
    given = {*read, *arg_params} - set(graph.auxiliary) | set(aux_params)
    missing = set(own_weights(graph)) - given
    faults = ['left over %s' % ', '.join(sorted(extra))] if extra else []
    faults += ['missing %s' % ', '.join(sorted(missing))] if missing else []
    if extra:
        faults.append('arguments of the graph without a value are %s' % (', '.join(
            name for name in arguments if name not in arg_params and name not in read) or 'none'))
    return faults


def _weights(cell: Any) -> set[str]:
    """Names of the variables of a cell and of those that it is made of."""
    if not hasattr(cell, '_all_cells_'):  # a cell of mxnet.rnn
        return set(cell.params._params)
    return {name for each in cell._all_cells_() for name in each._params._params}


def _wrong_shapes(graph: Graph, arg_params: Params) -> list[str]:
    """The parameters whose first sizes are wrong, in words."""
    wrong = wrong_sizes(graph, {name: array.shape for name, array in arg_params.items()})
    return ['%s has the shape %s, which %s needs to begin with %s' % (
        name, arg_params[name].shape, *wrong[name]) for name in sorted(wrong)]


def _wrong_types(symbol: mx.sym.Symbol, read: Params, arg_params: Params, aux_params: Params
                 ) -> list[str]:
    """The parameters of integers that the graph needs to be reals: one damaged bit does that."""
    def inferred(types: dict[str, Any]) -> dict[str, Any] | None:
        """Types of the auxiliary states, or None if those of the arguments are impossible."""
        # The graph does not tell the types of the data.
        for kind in [*dict.fromkeys(types.values()), np.float32, np.float64, np.float16, np.int32]:
            with contextlib.suppress(mx.base.MXNetError):
                result = symbol.infer_type_partial(**dict(dict.fromkeys(arguments, kind), **types))
                return dict(zip(symbol.list_auxiliary_states(), result[2]))
        return None

    def integers(params: Params) -> set[str]:
        return {name for name, array in params.items() if np.dtype(array.dtype).kind in 'iu'}

    if not integers(read) and not integers(aux_params):
        return []
    arguments = symbol.list_arguments()
    types = {name: arg_params[name].dtype for name in arguments if name in arg_params}
    suspects = integers(arg_params) & set(types)
    # A packed weight has the type of its first gate; the graph then judges the whole.
    packed = {np.dtype(arg_params[name].dtype) for name in suspects - set(read)}
    odd = {name for name in integers(read) - set(arguments)
           if np.dtype(read[name].dtype) not in packed}
    auxiliary = inferred(types)
    if auxiliary is None:  # those are wrong, if it can be done without them
        auxiliary = inferred({name: np.float32 if name in suspects else kind
                              for name, kind in types.items()})
        odd |= suspects if auxiliary is not None else set()
    odd |= {name for name in integers(aux_params)
            if (auxiliary or {}).get(name) not in (None, aux_params[name].dtype)}
    return ['integers are in %s' % ', '.join(sorted(odd))] if odd else []
