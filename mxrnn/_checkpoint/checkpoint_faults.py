"""What does not fit: arguments that are no cells, and names, shapes, types and ids that the graph,
the cells or the module do not take."""
from __future__ import annotations

import contextlib
import os
import warnings
import weakref
from typing import Any, Callable, Dict, Iterable, Mapping, Protocol, Sequence

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell
from .._files import CheckpointError
from .._graph.graph import Graph, warn_of_ids
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .optimizer_states import trained

__all__ = ['Cell', 'cell_list', 'check_ids', 'check_module', 'check_shapes', 'faults', 'Params']

Params = Dict[str, mx.nd.NDArray]

#: For modules: the largest ids for which `check_ids` has checked the graph.
_checked: weakref.WeakKeyDictionary[mx.mod.BaseModule, list[dict[str, float]]] = (
    weakref.WeakKeyDictionary())


class Cell(Protocol):
    """A cell of mxrnn, mxnet.rnn or a program: it packs and unpacks its weights."""

    def pack_weights(self, args: Params) -> Params: ...
    def unpack_weights(self, args: Params) -> Params: ...


def cell_list(cells: Cell | Iterable[Cell]) -> list[Cell]:
    """The cells in `cells`, one cell or any container of cells, as a list."""
    found: list[Any] = [cells]
    if isinstance(cells, (str, os.PathLike)):
        raise TypeError('cells, the first argument, must be a cell or a list of cells, got %s: '
                        'prefix is the second argument' % _check.shown(cells))
    if not hasattr(cells, 'pack_weights'):
        found = list(_check.iterable('cells', cells, 'cells'))
    for cell in found:
        if _check.foreign(cell):
            warnings.warn('cells has %s' % _check.foreign(cell), stacklevel=3)
        if isinstance(cell, type) and hasattr(cell, 'pack_weights'):
            raise TypeError('each of cells must be a cell, got the class %s: call it'
                            % cell.__name__)
        if not (hasattr(cell, 'pack_weights') and hasattr(cell, 'unpack_weights')):
            _check.instance('each of cells', cell, (), 'a cell')
    return found


def check_module(module: object) -> None:
    if module is not None:
        _check.instance('module', module, mx.mod.BaseModule, 'a module or None')


def faults(cells: Sequence[Cell], symbol: mx.sym.Symbol, read: Params, arg_params: Params,
           aux_params: Params) -> list[str]:
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


def _wrong_names(cells: Sequence[Cell], graph: Graph, read: Params, arg_params: Params,
                 aux_params: Params) -> list[str]:
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


def _wrong_types(symbol: mx.sym.Symbol, read: Params, arg_params: Params, aux_params: Params
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

    def integers(params: Params) -> set[str]:
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


def check_ids(data: object, module: object) -> None:
    """Warn if an Embedding of a bound `module` has too few rows for the ids in `data`, if `data` is
    an iterator that knows its ids."""
    largest: Callable[[], dict[str, float]] | None = getattr(data, '_largest_', None)
    if largest is None or not isinstance(module, mx.mod.BaseModule) or not module.binded:
        return
    found = largest()
    checked = _checked.setdefault(module, [])
    if found not in checked and isinstance(module.symbol, mx.sym.Symbol):
        checked.append(found)
        warn_of_ids(graph_of(module.symbol).vocabularies(), found)


def check_shapes(module: mx.mod.BaseModule, arg_params: dict[str, mx.nd.NDArray],
                 aux_params: dict[str, mx.nd.NDArray], path: str) -> None:
    """Refuse parameters whose shapes differ from a bound module's."""
    holder = trained(module)
    differ = ['%s has the shape %s, in the module %s' % (name, params[name].shape, array.shape)
              for params, bound in ((arg_params, holder._arg_params),
                                    (aux_params, holder._aux_params))
              for name, array in sorted((bound or {}).items())
              if name in params and params[name].shape != array.shape]
    if differ:
        raise CheckpointError('%s does not fit the module: %s' % (path, '; '.join(differ)))
