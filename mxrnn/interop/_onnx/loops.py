"""The loops of `contrib.foreach` as ONNX's Scan."""
from __future__ import annotations

from typing import Any, Sequence

from ..._graph.graph import Graph
from .builder import Builder, Record, Scope, Value
from .errors import Unsupported
from .sizes import Size, resolve, unify
from .table import Attributes

__all__ = ['foreach']


def foreach(builder: Builder, attributes: Attributes, inputs: Sequence[Value], body: Graph,
            convert: Any) -> list[Value]:
    """A Scan for a loop over the first axis of its data.

    Parameters
    ----------
    inputs : list of Value
        Data, states, and what the body reads besides.
    body : Graph
        One turn of the loop.
    convert : callable
        Converts a graph, given the values of its variables by their places, to its outputs.
    """
    places = [attributes.integers(name, ()) for name in
              ('in_data_locs', 'in_state_locs', 'remain_locs')]
    data_count, state_count = len(places[0]), len(places[1])
    variables = [i for i, node in enumerate(body.nodes) if node.is_variable]
    order = [place for group in places for place in group]
    if sorted(order) != list(range(len(variables))) or len(order) != len(inputs):
        raise Unsupported('a loop whose inputs do not match its body')
    data, states = inputs[:data_count], inputs[data_count:data_count + state_count]
    if not data:
        raise Unsupported('a loop over no data')
    length: Size = data[0].shape[0]
    for value in data[1:]:
        length = unify(length, value.shape[0])
    current, outer = builder.current, builder.scope
    builder.scope = scope = Scope(outer)
    turn = [Value(builder.name(current + '_state'), value.shape, value.dtype) for value in states]
    turn += [Value(builder.name(current + '_step'), value.shape[1:], value.dtype)
             for value in data]
    given = turn[state_count:] + turn[:state_count] + list(inputs[data_count + state_count:])
    results = convert(body, {variables[place]: value for place, value in zip(order, given)})
    count = attributes.integer('num_out_data')
    if len(results) != count + state_count:
        raise Unsupported('a loop whose body has %d outputs' % len(results))
    steps, after = results[:count], results[count:]
    for old, new in zip(states, after):
        if old.rank != new.rank:
            raise Unsupported('a loop whose states change their shape')
        for pair in zip(old.shape, new.shape):
            unify(*pair)
    for value in [*after, *steps]:  # each output of a body is an output of a node in it, once
        builder.current = current + '_result'
        name = builder.name(current + '_result')
        scope.records.append(Record('Identity', name, [value.name], [name], {}))
        scope.outputs.append(value._replace(name=name))
    scope.inputs = turn
    builder.scope, builder.current = outer, current
    shapes = [value.shape for value in states] + [(resolve(length),) + value.shape
                                                  for value in steps]
    dtypes = [value.dtype for value in [*after, *steps]]
    outputs = builder.nodes('Scan', [*states, *data], shapes, dtypes, scope,
                            num_scan_inputs=data_count)
    return outputs[state_count:] + outputs[:state_count]
