"""Refuses weights with shapes or types that a graph does not take; the types of inputs."""
from __future__ import annotations

from collections import Counter
from typing import Iterable, Iterator, Mapping, Optional, Tuple, Union

import numpy as np

from .._graph.graph import Graph
from .._graph.operator_table import has
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of

__all__ = ['check_fit', 'check_half', 'known_types', 'wrong_for']

Shapes = Mapping[str, Tuple[int, ...]]
Types = Mapping[str, Optional[type]]
Arrays = Mapping[str, Union[mx.nd.NDArray, np.ndarray]]

#: How many wrong weights to list.
_LISTED = 8


def check_fit(symbol: mx.sym.Symbol, weights: Arrays) -> None:
    """Refuse weights that cannot fit the graph for any shapes of its inputs.

    MXNet reports faults that depend on the inputs' shapes when the first ones come. A variable
    called self is refused too, because MXNet takes shapes and types by name.
    """
    if 'self' in symbol.list_arguments() + symbol.list_auxiliary_states():
        raise ValueError('no variable may be called self, because Python uses that name: rename it '
                         'and its array')
    shapes = {name: array.shape for name, array in weights.items()}
    graph = graph_of(symbol)
    wrong = graph.wrong_sizes(shapes)
    _refuse([_wrong_shape(name, needed + (0,) * (len(shapes[name]) - len(needed)), shapes[name])
             for name, (_, needed) in wrong.items()], ValueError)
    types = _types_of(weights)
    _refuse(_wrong_types(symbol, types), TypeError)
    taken = {graph.nodes[entry.node].name for node in graph.nodes if has(node.op, 'reals')
             for entry in node.inputs}
    _refuse(['%s must have a type for real numbers, got %s' % (name, np.dtype(kind).name)
             for name, kind in types.items() if name in taken and np.dtype(kind).kind in 'biu'],
            TypeError)


def wrong_for(symbol: mx.sym.Symbol, inputs: Shapes, weights: Arrays) -> str:
    """The weights that have other shapes than inputs of these shapes need, in words, or ''."""
    names = symbol.list_arguments()
    try:
        found = symbol.infer_shape_partial(**{name: shape for name, shape in inputs.items()
                                              if name in names})[0]
    except mx.base.MXNetError:
        return ''
    wanted = {name: shape for name, shape in zip(names, found or ()) if shape}
    return '; '.join(_wrong_shape(name, wanted[name], array.shape)
                     for name, array in weights.items() if name in wanted and not (
                         len(wanted[name]) == len(array.shape) and all(
                             want in (0, size) for want, size in zip(wanted[name], array.shape))))


def check_half(symbol: mx.sym.Symbol, weights: Arrays, context: mx.Context) -> None:
    """Refuse float16 weights on a CPU if they reach operators that cannot compute in float16."""
    types = _types_of(weights)
    if context.device_type == 'gpu' or np.float16 not in types.values():
        return
    operators = {node.name: each.op for node in graph_of(symbol).nodes
                 for each in Graph((node,), ()).walk() if has(each.op, 'no half')}
    internals = symbol.get_internals()
    inferred = internals.infer_type_partial(**known_types(symbol, weights))[1] or ()
    for output, kind in zip(internals.list_outputs(), inferred):
        name = output.rpartition('_output')[0]
        if kind is np.float16 and name in operators:
            raise TypeError("arg_params must be of type float32 or float64 on %s, where MXNet has "
                            "no %s of float16 (%s): use array.astype('float32')"
                            % (context, operators[name], name))


def known_types(symbol: mx.sym.Symbol, weights: Arrays, states: Iterable[str] = ()
                ) -> dict[str, type]:
    """Types of the arguments of `symbol`, as far as the weights' types tell."""
    types = _types_of(weights)
    for choice in _choices(symbol, types, states):
        found = _types(symbol, {**choice, **types})
        if found is not None:
            return found
    return {}


def _refuse(faults: list[str], kind: type[Exception]) -> None:
    if faults:
        more = ['and %d more' % (len(faults) - _LISTED)] if len(faults) > _LISTED else []
        raise kind('arg_params must fit the graph: ' + '; '.join(faults[:_LISTED] + more))


def _wrong_shape(name: str, wanted: tuple[int, ...], came: tuple[int, ...]) -> str:
    sizes = str(tuple(size or '?' for size in wanted)).replace("'", '')
    return '%s must be of shape %s, got %s' % (name, sizes, came)


def _types_of(arrays: Arrays) -> dict[str, type]:
    return {name: np.dtype(array.dtype).type for name, array in arrays.items()}


def _types(symbol: mx.sym.Symbol, types: Types) -> dict[str, type] | None:
    """The types that follow from `types`, by name; None if these contradict each other."""
    arguments = symbol.list_arguments()
    try:
        found = symbol.infer_type_partial(**{
            name: kind for name, kind in types.items() if name in arguments and kind is not None})
    except mx.base.MXNetError:
        return None
    return {name: kind for name, kind in zip(arguments, found[0] or ()) if kind is not None}


def _choices(symbol: mx.sym.Symbol, weights: Mapping[str, type], others: Iterable[str] = ()
             ) -> Iterator[Types]:
    """Types that the inputs may have, besides `others`, the likeliest first: not stated; then the
    types of the weights."""
    free = {*symbol.list_arguments()} - {*weights, *others}
    for kind in dict.fromkeys([None, *_usual_first(weights), np.float32]):
        yield dict.fromkeys(free, kind)


def _usual_first(types: Mapping[str, type]) -> list[type]:
    """Each type once, starting with the type of most weights."""
    return [kind for kind, _ in Counter(types.values()).most_common()]


def _wrong_types(symbol: mx.sym.Symbol, weights: Mapping[str, type]) -> list[str]:
    """The weights whose type is not the one that the others, or else the graph, need."""
    if any(_types(symbol, {**choice, **weights}) is not None
           for choice in _choices(symbol, weights)):
        return []
    for kind in [*_usual_first(weights), None]:
        right = {name: each for name, each in weights.items() if each is kind}
        for choice in _choices(symbol, right, weights):
            found = _types(symbol, {**choice, **right}) or {}
            faults = ['%s must be of type %s, got %s' % (
                name, np.dtype(found[name]).name, np.dtype(each).name)
                for name, each in weights.items() if found.get(name, each) is not each]
            if faults:
                return faults
    return []
