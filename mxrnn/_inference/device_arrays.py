"""Shared by Stepper and Predictor: arrays on devices, one call at a time, quiet binds."""
from __future__ import annotations

import contextlib
import os
import threading
from typing import Iterable, Iterator, Mapping, Sequence, Union

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell
from .._cells.weights_by_gate import Array, MissingWeightsError
from .._graph.index_inputs import is_looked_up
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of

__all__ = ['as_array', 'check_weights', 'common_context', 'context_of', 'Given', 'looked_up', 'on',
           'OneCall', 'params_of', 'quiet', 'Weights']

Weights = Mapping[str, mx.nd.NDArray]
#: An array, or what NumPy makes into one.
Given = Union[mx.nd.NDArray, np.ndarray, float, Sequence['Given']]

#: Types of numbers for arrays in both MXNet and NumPy.
_TYPES = ('float16', 'float32', 'float64', 'int8', 'int32', 'int64', 'uint8', 'bool')

_VERBOSE = 'MXNET_SUBGRAPH_VERBOSE'
_quiet_lock = threading.Lock()
_quiet_depth = 0


def context_of(ctx: mx.Context | None) -> mx.Context:
    """The context `ctx`, or the current one."""
    return mx.current_context() if ctx is None else _check.instance(
        'ctx', ctx, mx.Context, 'a Context, such as mx.cpu()')


def check_weights(name: str, weights: object) -> Weights:
    """Return `weights`, the argument `name`, if it is a dict of arrays."""
    if weights is None and name == 'aux_params':
        return {}
    given: Weights = _check.instance(name, weights, Mapping, 'a dict of weights by name')
    for key, value in given.items():
        called = '%s[%r]' % (name, key)
        _check.instance(called, value, (mx.nd.NDArray, np.ndarray), 'an NDArray')
        if isinstance(value, np.ndarray) and value.dtype.name not in _TYPES:
            raise TypeError('%s must be of a type that MXNet has, which are %s, got %s'
                            % (called, ', '.join(_TYPES), value.dtype))
        if str(key).startswith(('arg:', 'aux:')):
            raise ValueError('%s must have names of the graph, got %r, a name for files: load the '
                             'weights with load_rnn_checkpoint' % (name, key))
    return given


def on(context: mx.Context, array: Array) -> mx.nd.NDArray:
    """`array` on a device and not sparse; itself if it already is."""
    if isinstance(array, mx.nd.NDArray):
        dense = array if array.stype == 'default' else array.tostype('default')
        return dense.as_in_context(context)
    return mx.nd.array(array, ctx=context, dtype=array.dtype)


def params_of(symbol: mx.sym.Symbol, arg_params: Weights, aux_params: Weights,
              needed: Iterable[str] = ()) -> dict[str, mx.nd.NDArray]:
    """The weights among the inputs of `symbol`, by name.

    `needed` are names that can only be weights. Raises MissingWeightsError if one of them, or an
    operator's parameter, has no value.
    """
    given = {**arg_params, **aux_params}
    weights = {*graph_of(symbol).own_weights(), *needed}
    missing = [name for name in symbol.list_inputs() if name in weights and name not in given]
    if missing:
        raise MissingWeightsError('arg_params must have the weights %s, as load_rnn_checkpoint '
                                  'returns them for the cells of this graph; it has: %s' % (
            ', '.join(missing), ', '.join(sorted(map(str, given))) or 'none'))
    return {name: given[name] for name in symbol.list_inputs() if name in given}


def type_of_weights(cell: BaseRNNCell, params: Weights) -> dict[str, str]:
    """The argument dtype of begin_state, if all weights of the cell are real numbers of one type
    other than float32, because cells then make arrays of that type."""
    types = {np.dtype(params[name].dtype).name for name in cell._weight_names_() & params.keys()}
    return {'dtype': types.pop()} if types in ({'float64'}, {'float16'}) else {}


def common_context(arrays: Weights) -> mx.Context:
    """The device of most of `arrays`; the current context if there are none."""
    contexts = [array.context for array in arrays.values() if isinstance(array, mx.nd.NDArray)]
    return max(contexts, key=contexts.count, default=mx.current_context())


def looked_up(symbol: mx.sym.Symbol, names: Sequence[str]) -> list[str]:
    """The inputs among `names` whose numbers are places in a table, such as ids of words."""
    graph = graph_of(symbol)
    return [name for name in names if is_looked_up(graph, name)]


def as_array(name: str, value: object, context: mx.Context, dtype: _check.DType, ids: bool = False
             ) -> mx.nd.NDArray:
    """`value`, the input `name`, as an array; unchanged if it is one. `ids` are whole numbers."""
    if isinstance(value, mx.nd.NDArray):
        return value
    array = _check.array(name, value, 'an array of numbers')
    if ids and array.dtype.kind == 'f' and (array != np.floor(array)).any():
        raise ValueError('%s must be whole numbers, because they are looked up in a table, got '
                         '%.80r' % (name, value))
    return mx.nd.array(array, ctx=context, dtype=dtype)


class OneCall:
    """Refuses a call that begins while another one runs."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                'a %s serves one call at a time, and another one is running: give each thread its '
                'own %s (they share the weights), or hold a lock around the calls'
                % (self._what, self._what))

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep MXNet from logging a line about its subgraph backend at each bind in the block.

    An environment variable does that. A value that the program has set stays; if there was none,
    there is none afterwards.
    """
    global _quiet_depth
    with _quiet_lock:  # for blocks in several threads: the first sets it, the last removes it
        ours = _quiet_depth > 0 or _VERBOSE not in os.environ
        if ours:
            _quiet_depth += 1
            os.environ[_VERBOSE] = '0'
    try:
        yield
    finally:
        if ours:
            with _quiet_lock:
                _quiet_depth -= 1
                if not _quiet_depth:
                    os.environ.pop(_VERBOSE, None)
