"""Parameters that do not fit: names, shapes and types that graph, cells or module do not take."""
from __future__ import annotations

import contextlib
from typing import Mapping, Sequence

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell
from .._cells.weights_by_gate import Cell, Weights
from .._files import CheckpointError
from .._graph.graph import Graph
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .optimizer_states import trained

__all__ = ['check_shapes', 'faults']


def faults(cells: Sequence[Cell], symbol: mx.sym.Symbol, read: Weights, arg_params: Weights,
           aux_params: Weights) -> list[str]:
    """List in words everything that does not fit.

    Parameters
    ----------
    cells : sequence of BaseRNNCell
        The cells that packed the weights.
    symbol : Symbol
    read, arg_params, aux_params : dict of str to NDArray
        The parameters from the file, the same with packed weights, and auxiliary states.
    """
    graph = graph_of(symbol)
    return (_wrong_names(cells, graph, read, arg_params, aux_params)
            + graph.describe_wrong_sizes({name: array.shape for name, array in arg_params.items()})
            + _wrong_types(symbol, read, arg_params, aux_params))


def _wrong_names(cells: Sequence[Cell], graph: Graph, read: Weights, arg_params: Weights,
                 aux_params: Weights) -> list[str]:
    """Names that neither graph nor cells use, and parameters that the file lacks."""
    arguments = graph.arguments
    # A cell knows the weights that it packed, whether or not they are its own variables.
    known = set(arguments).union(*map(_weights, cells))
    extra = (set(read) & set(arg_params)) - known | set(aux_params) - set(graph.auxiliary)
    given = {*read, *arg_params} - set(graph.auxiliary) | set(aux_params)
    missing = set(graph.own_weights()) - given
    faults = ['left over %s (or not all cells of the graph were given)' % ', '.join(
        sorted(extra))] if extra else []
    faults += ['missing %s' % ', '.join(sorted(missing))] if missing else []
    if extra:
        faults.append('arguments of the graph without a value are %s' % (', '.join(
            name for name in arguments if name not in arg_params and name not in read) or 'none'))
    return faults


def _weights(cell: Cell) -> set[str]:
    """Names of the variables of a cell and of the cells in it."""
    if isinstance(cell, BaseRNNCell):
        return cell._weight_names_()
    return set(cell.params._params)  # type: ignore[attr-defined]  # a cell of mxnet.rnn


def _wrong_types(symbol: mx.sym.Symbol, read: Weights, arg_params: Weights, aux_params: Weights
                 ) -> list[str]:
    """Integer parameters where the graph needs real numbers; one damaged bit can cause that."""
    def inferred(types: Mapping[str, _check.DType]) -> dict[str, type[np.generic]] | None:
        """Types of the auxiliary states, or None if those of the arguments are impossible."""
        # The graph does not tell the types of the data.
        for kind in [*dict.fromkeys(types.values()), np.float32, np.float64, np.float16, np.int32]:
            with contextlib.suppress(mx.base.MXNetError):
                result = symbol.infer_type_partial(**dict(dict.fromkeys(arguments, kind), **types))
                return dict(zip(symbol.list_auxiliary_states(), result[2]))
        return None

    def integers(params: Weights) -> set[str]:
        return {name for name, array in params.items() if np.dtype(array.dtype).kind in 'iu'}

    if not integers(read) and not integers(aux_params):
        return []
    arguments = symbol.list_arguments()
    types = {name: arg_params[name].dtype for name in arguments if name in arg_params}
    suspects = integers(arg_params) & set(types)
    # A packed weight has the type of its first gate; the graph then decides about the whole.
    packed = {np.dtype(arg_params[name].dtype) for name in suspects - set(read)}
    odd = {name for name in integers(read) - set(arguments)
           if np.dtype(read[name].dtype) not in packed}
    auxiliary = inferred(types)
    if auxiliary is None:  # arguments are wrong if the graph accepts other types for them
        auxiliary = inferred({name: np.float32 if name in suspects else kind
                              for name, kind in types.items()})
        odd |= suspects if auxiliary is not None else set()
    odd |= {name for name in integers(aux_params)
            if (auxiliary or {}).get(name) not in (None, aux_params[name].dtype)}
    return ['integers are in %s' % ', '.join(sorted(odd))] if odd else []


def check_shapes(module: mx.mod.BaseModule, arg_params: Weights, aux_params: Weights,
                 path: str) -> None:
    """Refuse parameters whose shapes differ from a bound module's."""
    holder = trained(module)
    differ = ['%s has the shape %s, in the module %s' % (name, params[name].shape, array.shape)
              for params, bound in ((arg_params, holder._arg_params),
                                    (aux_params, holder._aux_params))
              for name, array in sorted((bound or {}).items())
              if name in params and params[name].shape != array.shape]
    if differ:
        raise CheckpointError('%s does not fit the module: %s' % (path, '; '.join(differ)))
