"""Finds weights and inputs with shapes or types that a graph does not take."""
from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterable, Iterator, Mapping, Sequence, Tuple, Union

import numpy as np

from .._check import DType
from .._files import reason_of
from .._graph.graph import Graph
from .._graph.operator_table import has, row
from .._graph.symbol_json import graph_to_json
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .compiled_graph import Compiled

__all__ = ['check_fit', 'check_half', 'explain', 'known_types', 'refusal']

Shapes = Mapping[str, Tuple[int, ...]]
Types = Mapping[str, Any]
Arrays = Mapping[str, Union[mx.nd.NDArray, np.ndarray]]
_Found = Dict[str, Any]

#: How many wrong weights to list.
_LISTED = 8


def check_fit(symbol: mx.sym.Symbol, weights: Arrays) -> None:
    """Refuse weights that cannot fit the graph for any shapes of its inputs.

    Faults that depend on the inputs' shapes show when the first ones come: see `explain`. A
    variable called self is refused too, because MXNet takes shapes and types by name.
    """
    if 'self' in symbol.list_arguments() + symbol.list_auxiliary_states():
        raise ValueError('no variable may be called self, because Python uses that name: rename it '
                         'and its array')
    shapes = _shapes_of(weights)
    graph = graph_of(symbol)
    wrong = graph.wrong_sizes(shapes)
    _refuse([_wrong_shape(name, needed + (0,) * (len(shapes[name]) - len(needed)), shapes[name])
             for name, (_, needed) in wrong.items()], ValueError)
    types = _types_of(weights)
    _refuse(_wrong_types(symbol, types, {}), TypeError)
    taken = {graph.nodes[entry.node].name for node in graph.nodes if has(node.op, 'reals')
             for entry in node.inputs}
    _refuse(['%s must have a type for real numbers, got %s' % (name, np.dtype(kind).name)
             for name, kind in types.items() if name in taken and np.dtype(kind).kind in 'biu'],
            TypeError)


def check_half(symbol: mx.sym.Symbol, weights: Arrays, context: mx.Context) -> None:
    """Refuse float16 weights on a CPU if they reach operators that cannot compute in float16."""
    types = _types_of(weights)
    if context.device_type == 'gpu' or np.float16 not in types.values():
        return
    operators: dict[str, str] = {}
    harmless = set()
    for node in graph_of(symbol).nodes:
        found = [each.op for each in Graph((node,), ()).walk() if has(each.op, 'no half')]
        if found:
            operators[node.name] = found[0]
        elif not node.is_variable:
            harmless.add(node.name)
    internals = symbol.get_internals()
    inferred = internals.infer_type_partial(**known_types(symbol, weights))[1] or ()
    for output, kind in zip(internals.list_outputs(), inferred):
        name, _, number = output.rpartition('_output')
        if (kind is np.float16 and name in operators and name not in harmless
                and (not number or number.isdigit())):
            floats = {each: np.float32 if kind is np.float16 else kind
                      for each, kind in types.items()}
            as_well = ('' if _types(symbol, floats) is not None else
                       ', with types of float32 in the graph too')
            raise TypeError("arg_params must be of type float32 or float64 on %s, where MXNet has "
                            "no %s of float16 (%s): use array.astype('float32')%s"
                            % (context, operators[name], name, as_well))


def explain(symbol: mx.sym.Symbol, weights: Arrays, inputs: Arrays | None = None,
            states: Arrays | None = None) -> None:
    """If MXNet refused a graph, raise an error that names what to blame, if that can be found.

    The three arguments contain everything with a shape and a type. The states count as right; the
    first size of the first state is the batch size.
    """
    inputs, states = inputs or {}, states or {}
    types = _types_of({**inputs, **states, **weights})
    odd = _other_types(symbol, types, inputs)
    if odd:
        raise TypeError('the inputs must fit the graph: ' + ', or '.join(odd))
    _refuse(_wrong_types(symbol, _types_of(weights), _types_of({**inputs, **states})), TypeError)
    shapes = _shapes_of({**inputs, **states, **weights})
    if all(map(_complete, shapes.values())) and _shapes(symbol, shapes) is not None:
        return
    flat = _flattening(symbol, shapes)
    if flat:
        raise ValueError(
            'the inputs must fit the graph, but the layer %s (FullyConnected) takes all axes after '
            'the first for features, time too: make it with flatten=False, or reshape what it '
            'reads to (-1, features)' % ' and the layer '.join(flat))
    batch = next((array.shape[:1] for array in (states or inputs).values()), ())
    of_inputs = _other_inputs(symbol, shapes, inputs, weights, batch)
    of_weights = _other_weights(symbol, shapes, weights)
    if of_inputs or of_weights:
        what = ['the inputs'] * bool(of_inputs) + ['arg_params'] * bool(of_weights)
        raise ValueError('%s must fit the graph%s: %s' % (
            ' and '.join(what), ' and the states' if states and not of_weights else '',
            ', or '.join(of_inputs + of_weights)))
    known = _shapes(symbol, _shapes_of({**inputs, **states})) or {}
    _refuse([_wrong_shape(name, known[name], shapes[name]) for name in weights
             if not _agree(known.get(name), shapes[name])], ValueError)


def known_types(symbol: mx.sym.Symbol, weights: Arrays, states: Iterable[str] = ()) -> _Found:
    """Types of the arguments of `symbol`, as far as the weights' types tell."""
    types = _types_of(weights)
    for choice in _choices(symbol, types, dict.fromkeys(states)):
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
    return '%s must be of shape %s, got %s' % (name.strip(), sizes, came)


# ---- shapes

def _shapes_of(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _complete(shape: tuple[int, ...]) -> bool:
    """Whether the shape is fully known; for MXNet, () and 0 stand for anything."""
    return bool(shape) and all(shape)


def _shapes(symbol: mx.sym.Symbol, shapes: Shapes) -> _Found | None:
    """The shapes that follow from `shapes`, by name; None if these contradict each other."""
    arguments = symbol.list_arguments()
    try:
        found = symbol.infer_shape_partial(**{
            name: shape for name, shape in shapes.items() if name in arguments})
    except mx.base.MXNetError:
        return None
    return {**dict(zip(arguments, found[0] or ())),
            **dict(zip(symbol.list_auxiliary_states(), found[2] or ()))}


def _agree(wanted: tuple[int, ...] | None, came: tuple[int, ...]) -> bool:
    """Whether an array has the shape `wanted`, as far as that is known."""
    return not wanted or len(wanted) == len(came) and all(
        want in (0, size) for want, size in zip(wanted, came))


def _flattening(symbol: mx.sym.Symbol, shapes: Shapes) -> list[str]:
    """The FullyConnected layers that would make all shapes fit with flatten=False."""
    graph = graph_of(symbol)
    layers = [place for place, node in enumerate(graph.nodes)
              if node.op == 'FullyConnected' and node.flatten]

    def fits(flat: int | None = None) -> bool:
        nodes = [node._replace(attrs={**node.attrs, 'flatten': 'False'})
                 if place in layers and place != flat else node
                 for place, node in enumerate(graph.nodes)]
        changed = mx.sym.load_json(graph_to_json(graph._replace(nodes=tuple(nodes))))
        return _shapes(changed, shapes) is not None
    return [graph.nodes[place].name for place in layers if not fits(place)] if fits() else []


def _other_inputs(symbol: mx.sym.Symbol, shapes: Shapes, inputs: Arrays, weights: Arrays,
                  batch: tuple[int, ...]) -> list[str]:
    """The inputs that would each, with another shape, make all shapes fit."""
    found = []
    sizes = sorted({size for name in weights for size in shapes[name]})
    for name in inputs:
        for shape in _similar(shapes[name], batch, sizes):
            if _complete(shape) and _shapes(symbol, {**shapes, name: shape}) is not None:
                found.append(_wrong_shape(name, shape, shapes[name]))
                break
    return found


def _similar(shape: tuple[int, ...], batch: tuple[int, ...], sizes: list[int]
             ) -> Iterator[tuple[int, ...]]:
    """Shapes that may be intended: another batch size, one axis less or more, another width."""
    for axes in range(max(1, len(shape)), 0, -1):
        yield batch + shape[1:axes]
    yield from (shape[:-1] + (size,) for size in sizes if len(shape) > 1)
    yield from ((shape or batch) + (size,) for size in sizes)


def _other_weights(symbol: mx.sym.Symbol, shapes: Shapes, weights: Arrays) -> list[str]:
    """The weights that would each, with another shape, make all shapes fit."""
    found = []
    for name in weights:
        rest = {each: shape for each, shape in shapes.items() if each != name}
        inferred = _shapes(symbol, rest) or {}
        if not _agree(inferred.get(name), shapes[name]):
            found.append(_wrong_shape(name, inferred[name], shapes[name]))
    return found


# ---- types

def _types_of(arrays: Arrays) -> _Found:
    return {name: np.dtype(array.dtype).type for name, array in arrays.items()}


def _types(symbol: mx.sym.Symbol, types: Types) -> _Found | None:
    """The types that follow from `types`, by name; None if these contradict each other."""
    arguments = symbol.list_arguments()
    try:
        found = symbol.infer_type_partial(**{
            name: kind for name, kind in types.items() if name in arguments and kind is not None})
    except mx.base.MXNetError:
        return None
    return {name: kind for name, kind in zip(arguments, found[0] or ()) if kind is not None}


def _choices(symbol: mx.sym.Symbol, weights: Types, inputs: Types, others: Iterable[str] = ()
             ) -> Iterator[_Found]:
    """Types that the inputs may have, the likeliest first: only those in `inputs`; then, for each
    input in neither `inputs` nor `others`, the type of the first weight that it meets; then the
    types of the weights for all."""
    yield dict(inputs)
    free = [name for name in symbol.list_arguments()
            if name not in weights and name not in inputs and name not in others]
    if free:
        graph = graph_of(symbol)
        yield {**inputs, **{name: _type_met(graph, name, weights) for name in free}}
        for kind in [*dict.fromkeys([*_usual_first(weights), np.float32])]:
            yield {**inputs, **dict.fromkeys(free, kind)}


def _type_met(graph: Graph, name: str, types: Types) -> DType | None:
    """The type of the first weight that an operator takes together with numbers of an input."""
    reached = {place for place, node in enumerate(graph.nodes) if node.name == name}
    for place, node in enumerate(graph.nodes):
        known = row(node.op)
        apart = known.positions('index', 'length') if known else ()
        if 'dtype' in node.attrs or not any(
                entry.node in reached for at, entry in enumerate(node.inputs) if at not in apart):
            continue
        reached.add(place)
        met = [graph.nodes[entry.node].name for entry in node.inputs]
        if any(each in types for each in met):
            return next(types[each] for each in met if each in types)
    return np.float32


def _usual_first(types: Types) -> list[DType]:
    """Each type once, starting with the type of most weights."""
    return [kind for kind, _ in Counter(types.values()).most_common()]


def _wrong_types(symbol: mx.sym.Symbol, weights: Types, inputs: Types) -> list[str]:
    """The weights whose type is not the one that the others, or else the graph, need."""
    if any(_types(symbol, {**choice, **weights}) is not None
           for choice in _choices(symbol, weights, inputs)):
        return []
    for kind in [*_usual_first(weights), None]:
        right = {name: each for name, each in weights.items() if each is kind}
        for choice in _choices(symbol, right, inputs, weights):
            found = _types(symbol, {**choice, **right}) or {}
            faults = [_wrong_type(name, found[name], each) for name, each in weights.items()
                      if found.get(name, each) is not each]
            if faults:
                return faults
    return []


def _other_types(symbol: mx.sym.Symbol, types: Types, inputs: Arrays) -> list[str]:
    """The inputs that would each, with another type, make all types fit."""
    if _types(symbol, types) is not None:
        return []
    return [_wrong_type(name, kind, types[name]) for name in inputs for kind in _usual_first(types)
            if _types(symbol, {**types, name: kind}) is not None]


def _wrong_type(name: str, wanted: DType, came: DType) -> str:
    return '%s must be of type %s, got %s' % (name, np.dtype(wanted).name, np.dtype(came).name)


def refusal(compiled: Compiled, states: dict[str, mx.nd.NDArray], types: Sequence[DType],
            inputs: dict[str, mx.nd.NDArray], context: mx.Context, error: Exception) -> Exception:
    """The error that names the states or inputs to blame. The graph takes states of `types`. It did
    not accept its arguments on `context` but raised `error`."""
    named = {**inputs, **states}
    for name, array in named.items():
        if array.context != context:
            return ValueError('%s must be on %s, where the Stepper runs, got %s'
                              % (name, context, array.context))
    for (name, state), dtype in zip(states.items(), types):
        if state.dtype != dtype:
            return TypeError('states must be of type %s, but that of %s is %s' % (
                np.dtype(dtype).name, name, np.dtype(state.dtype).name))
    try:
        explain(compiled.symbol, compiled.weights, inputs, states)
    except (TypeError, ValueError) as reason:
        return reason
    return ValueError('the inputs must fit the network and the batch size of the states: got %s; '
                      'MXNet says: %s' % (', '.join('%s of shape %s and type %s' % (
                          name, array.shape, np.dtype(array.dtype).name)
                          for name, array in named.items()), reason_of(error)))
