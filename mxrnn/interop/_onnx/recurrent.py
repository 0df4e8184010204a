"""sym.RNN as one node of ONNX a layer, sequences, and loops as Scan."""
from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from ..._graph.graph import Graph
from ..._graph.sizes import Size, resolve, unify
from .builder import Builder, Record, Scope, Value
from .index import indices
from .shape import concat
from .sizes import Unsupported
from .table import Attributes, converts, positive

__all__ = ['foreach', 'inside']


class Mode(NamedTuple):
    """What a mode of sym.RNN is in ONNX."""

    op: str
    #: Where ONNX's gates are among MXNet's: LSTM i o f c of i f c o, GRU z r h of r z o.
    gates: tuple[int, ...]
    attributes: dict[str, Any]


MODES = {'lstm': Mode('LSTM', (0, 3, 1, 2), {}),
         'gru': Mode('GRU', (1, 0, 2), {'linear_before_reset': 1}),
         'rnn_tanh': Mode('RNN', (0,), {}),
         'rnn_relu': Mode('RNN', (0,), {'activations': ['Relu']})}


class _Vector:
    """Cuts the vector of parameters of sym.RNN from its begin."""

    def __init__(self, builder: Builder, vector: Value, gates: Sequence[int], units: int) -> None:
        self._builder, self._vector, self._gates = builder, vector, gates
        self._units, self._start = units, 0

    def take(self, *width: int) -> Value:
        """The next array of gates * units rows, or elements if no width is given; ONNX's order."""
        builder, gates = self._builder, self._gates
        shape = (len(gates), self._units, *width)
        length = len(gates) * self._units * (width[0] if width else 1)
        part = builder.slice(self._vector, 0, self._start, self._start + length, length)
        self._start += length
        part = builder.reshape(part, shape)
        if len(gates) > 1:
            order = builder.constant(gates, 'int64')
            part = builder.node('Gather', [part, order], shape, axis=0)
        return builder.reshape(part, (len(gates) * self._units, *width))


def _input_width(size: Any, gates: int, units: int, layers: int, directions: int) -> int:
    """Channels of the first layer's input, told by the length of the vector of parameters."""
    size = resolve(size)
    if not isinstance(size, int):
        raise Unsupported('a vector of parameters whose length is not known')
    rows = gates * units
    deeper = (layers - 1) * directions * rows * (directions * units + units + 2)
    width, rest = divmod(size - deeper - directions * rows * (units + 2), directions * rows)
    if rest or width < 1:
        raise Unsupported('a vector of %d parameters, which is no length for %d layers of %d units'
                          % (size, layers, units))
    return width


@converts('RNN')
def _rnn(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> list[Value]:
    mode = attributes.text('mode')
    if mode not in MODES:
        raise Unsupported('mode %r' % mode)
    for name in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if name in attributes:
            raise Unsupported('%s, which ONNX does not have' % name)
    data, vector, state, *others = inputs
    memory = others.pop(0) if mode == 'lstm' else None
    units, layers = attributes.integer('state_size'), attributes.integer('num_layers')
    directions = 2 if attributes.flag('bidirectional') else 1
    width = _input_width(vector.shape[0], len(MODES[mode].gates), units, layers, directions)
    if data.rank != 3:
        raise Unsupported('data of %d axes' % data.rank)
    unify(data.shape[2], width)
    for value in [state] if memory is None else [state, memory]:
        for size, wanted in zip(value.shape, (layers * directions, data.shape[1], units)):
            unify(size, wanted)
    lengths = None
    if attributes.flag('use_sequence_length'):
        lengths = builder.cast(others.pop(0), 'int32')
        unify(lengths.shape[0], data.shape[1])
    weights = _weights(_Vector(builder, vector, MODES[mode].gates, units), builder, width, units,
                       layers, directions)
    finals: list[list[Value]] = [[], []]
    for i, layer in enumerate(weights):
        begin = [None if value is None else
                 value if layers == 1 else
                 builder.slice(value, 0, i * directions, (i + 1) * directions, directions)
                 for value in (state, memory)]
        data, last = _layer(builder, MODES[mode], units, directions, data, layer, begin, lengths)
        for states, value in zip(finals, last):
            states.append(value)
    outputs = [data]
    if attributes.flag('state_outputs'):
        outputs += [concat(builder, states, 0) for states in finals if states]
    return outputs


def _weights(cut: _Vector, builder: Builder, width: int, units: int, layers: int,
             directions: int) -> list[list[Value]]:
    """W, R and B of each layer, the directions in them."""
    matrices = [[[cut.take(width if i == 0 else units * directions), cut.take(units)]
                 for _ in range(directions)] for i in range(layers)]
    biases = [[concat(builder, [cut.take(), cut.take()], 0) for _ in range(directions)]
              for _ in range(layers)]
    result = []
    for pairs, vectors in zip(matrices, biases):
        kinds = [*zip(*pairs), vectors]
        result.append([concat(builder, [builder.unsqueeze(value, 0) for value in kind], 0)
                       for kind in kinds])
    return result


def _layer(builder: Builder, mode: Mode, units: int, directions: int, data: Value,
           weights: Sequence[Value], begin: Sequence[Value | None], lengths: Value | None
           ) -> tuple[Value, list[Value]]:
    """Output and final states of one layer."""
    time, batch = data.shape[:2]
    attributes = dict(mode.attributes)
    if 'activations' in attributes:
        attributes['activations'] = attributes['activations'] * directions
    least = None if lengths is None else builder.node(
        'Max', [lengths, builder.constant(1, 'int32')], lengths.shape)
    states = [value for value in begin if value is not None]
    final = (directions, batch, units)
    given = [None if value.name in builder.zeros else value for value in states]
    output, *last = builder.nodes(
        mode.op, [data, *weights, least, *given],
        [(time, directions, batch, units)] + [final] * len(states), data.dtype,
        hidden_size=units, direction='bidirectional' if directions == 2 else 'forward',
        **attributes)
    if lengths is not None:  # runtimes differ in what a length of 0 gives
        some = builder.node('Greater', [lengths, builder.constant(0, 'int32')], (batch,), bool)
        column = builder.reshape(some, (batch, 1))
        output = builder.where(column, output, builder.scalar(0, output), output.shape)
        last = [builder.where(column, value, old, final)
                for value, old in zip(last, states)]
    if directions == 1:
        return builder.squeeze(output, 1), last
    output = builder.transpose(output, (0, 2, 1, 3))
    return builder.reshape(output, (time, batch, directions * units)), last


def count_up(builder: Builder, size: Any) -> Value:
    """0, 1, … as int64, `size` of them."""
    size = resolve(size)
    if isinstance(size, int):
        return builder.constant(np.arange(size), 'int64')
    ends = [builder.constant(0, 'int64'), builder.reshape(builder.vector([size]), ()),
            builder.constant(1, 'int64')]
    return builder.node('Range', ends, (size,))


@converts('SequenceMask')
def _sequence_mask(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if not attributes.flag('use_sequence_length'):
        return data
    within = inside(builder, data, inputs[1], attributes.integer('axis', 0))
    value = builder.scalar(attributes.number('value', 0.0), data)
    return builder.where(within, data, value, data.shape)


def inside(builder: Builder, data: Value, lengths: Value, axis: int) -> Value:
    """Where a sequence has not ended, of the shape (time, batch, 1, …) or (batch, time, 1, …)."""
    if axis not in (0, 1) or lengths.rank != 1:
        raise Unsupported('sequences along axis %d' % axis)
    unify(data.shape[1 - axis], lengths.shape[0])
    time = builder.cast(count_up(builder, data.shape[axis]), lengths.dtype)
    ones = (1,) * (data.rank - 2)
    shapes = [(size, 1) if axis == place else (1, size)
              for place, size in ((0, data.shape[axis]), (1, lengths.shape[0]))]
    steps, ends = (builder.reshape(each, tuple(shape) + ones)
                   for each, shape in zip((time, lengths), shapes))
    whole = tuple(data.shape[:2]) + ones
    return builder.node('Less', [steps, ends], whole, bool)


@converts('SequenceLast')
def _sequence_last(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, axis = inputs[0], positive(attributes.integer('axis', 0), inputs[0].rank)
    if not attributes.flag('use_sequence_length'):
        return builder.squeeze(builder.slice(data, axis, -1, None, 1), axis)
    if axis not in (0, 1):
        raise Unsupported('sequences along axis %d' % axis)
    lengths = inputs[1]
    batch = unify(data.shape[1 - axis], lengths.shape[0])
    if axis == 0:
        data = builder.transpose(data, [1, 0, *range(2, data.rank)])
    last = builder.node('Sub', [builder.cast(lengths, 'int64'), builder.constant(1, 'int64')],
                        lengths.shape)
    places = builder.unsqueeze(indices(builder, last, data.shape[1]), 1)
    return builder.node('GatherND', [data, places], (batch,) + data.shape[2:], batch_dims=1)


@converts('SequenceReverse')
def _sequence_reverse(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if not attributes.flag('use_sequence_length'):
        return builder.slice(data, 0, -1, None, data.shape[0], -1)
    lengths = builder.cast(inputs[1], 'int64')
    unify(data.shape[1], lengths.shape[0])
    return builder.node('ReverseSequence', [data, lengths], data.shape, batch_axis=1, time_axis=0)


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
    if None in results:  # what the body lacks is among the faults already
        builder.scope = outer
        return []
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
