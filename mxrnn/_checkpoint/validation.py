"""Checks that a checkpoint is the right one: its parameters fit the graph and the cells, and
several workers agree on it through their store.
"""
from __future__ import annotations

import contextlib
import itertools
import logging
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

import numpy as np

from .._files import CheckpointError
from .._files import checkpoint_names as files
from .._files.checkpoint_names import Place
from .._graph.graph import Graph
from .._runtime import heartbeat_watch
from .._runtime.mxnet import graph_of, mx
from . import position
from .saving import Cell, Params

__all__ = ['Chosen', 'agree', 'faults']


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
    faults = ['left over %s' % ', '.join(sorted(extra))] if extra else []
    faults += ['missing %s' % ', '.join(sorted(missing))] if missing else []
    if extra:
        faults.append('arguments of the graph without a value are %s' % (', '.join(
            name for name in arguments if name not in arg_params and name not in read) or 'none'))
    return faults


def _weights(cell: Any) -> set[str]:
    """Names of the variables of a cell and of the cells in it."""
    if hasattr(cell, '_weight_names_'):
        return cell._weight_names_()
    return set(cell.params._params)  # a cell of mxnet.rnn


def _wrong_types(symbol: mx.sym.Symbol, read: Params, arg_params: Params, aux_params: Params
                 ) -> list[str]:
    """Integer parameters where the graph needs real numbers; one damaged bit can cause that."""
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


_log = logging.getLogger('mxrnn.rnn')

#: A checkpoint's epoch and batch, and its parameters.
Chosen = Tuple[int, int, Dict[str, mx.nd.NDArray]]

_rounds = itertools.count()


def agree(prefix: str, data: object, chosen: Callable[[], Chosen | None]
          ) -> Iterator[Place]:
    """Yield the largest epoch and batch to look for, until all workers find the same checkpoint.

    Parameters
    ----------
    prefix : str
        The prefix of the files.
    data : DataIter or None
        The part of this worker. Nothing is yielded without a store for as many workers.
    chosen : callable
        Returns the newest checkpoint that this worker can read and that is not newer than the last
        yielded value, or None.

    Raises
    ------
    CheckpointError
        Only some workers can read a checkpoint, or their weights differ.
    """
    store = _store(data)
    if store is None:
        return
    while True:
        mine = chosen()
        rows = _gathered(store, mine)
        lacking = [rank for rank, row in enumerate(rows) if row is None]
        if lacking and len(lacking) < len(rows):
            raise CheckpointError(
                'no checkpoint of %s can be read by all workers: the worker of rank %s finds none. '
                'Use a shared folder' % (prefix, ', '.join(map(str, lacking))))
        places = [row[:2] for row in rows if row is not None]
        if not places:
            _log.info('Worker %d of %d: no checkpoint of %s', store.rank, len(rows), prefix)
            return
        lowest = min(places)
        if places == [lowest] * len(places):
            break
        if mine is not None and mine[:2] != lowest:
            _log.warning('Skipped a checkpoint: the worker of rank %d cannot read %s',
                         places.index(lowest), files.path_of(prefix, 'params', *mine[:2]))
            yield lowest
    path = files.path_of(prefix, 'params', *lowest)
    if len(set(rows)) > 1:
        raise CheckpointError('%s has other weights in some workers: use a shared folder, or '
                              'copies of the same files' % path)
    _log.info('Worker %d of %d resumes from %s', store.rank, len(rows), path)


def _store(data: object) -> Any:
    """Return the store for as many workers as `data` has parts, if it already exists."""
    parts = getattr(data, 'num_parts', 1)
    return next((store for store in heartbeat_watch.stores()
                 if parts > 1 and store.num_workers == parts and '_async' not in store.type), None)


def _gathered(store: Any, mine: Chosen | None) -> list[tuple[int, int, int, int] | None]:
    """Return epoch, batch, and a checksum in two halves, of each worker's choice."""
    row = [0, 0, 0, 0, 0]
    if mine is not None:
        checksum = position.checksum_of(mine[2])
        row = [1, mine[0], mine[1], checksum >> 16, checksum & 0xffff]
    rows = mx.nd.zeros((store.num_workers, len(row)))  # each number below 2 ** 24, so exact
    key = 'mxrnn_checkpoint_%d' % next(_rounds)
    store.init(key, rows)
    rows[store.rank] = mx.nd.array(row)
    store.push(key, rows)  # the store adds up what all workers push
    store.pull(key, rows)
    return [(int(row[1]), int(row[2]), int(row[3]), int(row[4])) if row[0] else None
            for row in rows.asnumpy()]
