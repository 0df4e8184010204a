"""Operators on sequences: masks, last steps and reversed sequences, which use their lengths;
sym.RNN as a node for each layer, loops of `contrib.foreach` as Scan."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Sequence

import numpy as np

from ..._graph.graph import Node
from ..._graph.rnn_vector_layout import FusedLayout
from ..._graph.shapes.sizes import Size, resolve
from ..._graph.shapes.unification import unify
from ..registry import ExportError, Unsupported, converts
from .arrays import concat, indices
from .builder import Builder, Scope, Value

__all__ = ['inside']


def _count_up(builder: Builder, size: Size) -> Value:
    """0, 1, … as int64; `size` numbers."""
    size = resolve(size)
    if isinstance(size, int):
        return builder.constant(np.arange(size), 'int64')
    ends = [builder.constant(0, 'int64'), builder.reshape(builder.vector([size]), ()),
            builder.constant(1, 'int64')]
    return builder.node('Range', ends, (size,))


def _sequences(data: Value, lengths: Value, axis: int) -> Size:
    """The batch size of sequences whose steps are along `axis`, 0 or 1."""
    if axis not in (0, 1) or lengths.rank != 1:
        raise Unsupported('sequences along axis %d' % axis)
    return data.shape[1 - axis]


@converts('SequenceMask')
def _sequence_mask(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
    if not node.use_sequence_length:
        return data
    within = inside(builder, data, lengths[0], node.axis)
    return builder.where(within, data, node.value)


def inside(builder: Builder, data: Value, lengths: Value, axis: int) -> Value:
    """True until a sequence has ended; of shape (time, batch, 1, …) or (batch, time, 1, …)."""
    batch = _sequences(data, lengths, axis)
    time = builder.cast(_count_up(builder, data.shape[axis]), lengths.dtype)
    ones = (1,) * (data.rank - 2)
    one: tuple[Size, ...] = (1,)
    shapes = [(data.shape[axis], *one), (*one, batch)]
    steps, ends = (builder.reshape(each, (shape if axis == 0 else shape[::-1]) + ones)
                   for each, shape in zip((time, lengths), shapes))
    return steps < ends


@converts('SequenceLast')
def _sequence_last(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
    axis = node.axis % data.rank
    if not node.use_sequence_length:
        return builder.squeeze(builder.slice(data, axis, -1, None, 1), axis)
    _sequences(data, lengths[0], axis)
    if axis == 0:
        data = builder.transpose(data, [1, 0, *range(2, data.rank)])
    last = builder.cast(lengths[0], 'int64') - 1
    places = builder.unsqueeze(indices(builder, last, data.shape[1]), 1)
    return builder.node('GatherND', [data, places], builder.out, batch_dims=1)


@converts('SequenceReverse')
def _sequence_reverse(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
    if not node.use_sequence_length:
        return builder.slice(data, 0, -1, None, data.shape[0], -1)
    _sequences(data, lengths[0], 0)
    return builder.node('ReverseSequence', [data, builder.cast(lengths[0], 'int64')], data.shape,
                        batch_axis=1, time_axis=0)


# ---- recurrences

class _Mode(NamedTuple):
    """ONNX's operator for a mode of sym.RNN."""

    op: str
    #: Positions of ONNX's gates in MXNet's order: LSTM i o f c in i f c o, GRU z r h in r z o.
    gates: tuple[int, ...]
    attributes: dict[str, Any]
    activations: tuple[str, ...] = ()


_MODES = {'lstm': _Mode('LSTM', (0, 3, 1, 2), {}),
          'gru': _Mode('GRU', (1, 0, 2), {'linear_before_reset': 1}),
          'rnn_tanh': _Mode('RNN', (0,), {}),
          'rnn_relu': _Mode('RNN', (0,), {}, ('Relu',))}


@converts('RNN')
def _rnn(builder: Builder, node: Node, data: Value, vector: Value, *states: Value) -> list[Value]:
    for name in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if getattr(node, name) is not None:
            raise Unsupported('%s, which ONNX does not have' % name)
    mode, units, layers = _MODES[node.mode], node.state_size, node.num_layers
    layout = FusedLayout.of(node)
    directions, size = len(layout.directions), resolve(vector.shape[0])
    if not isinstance(size, int):
        raise Unsupported('a parameter vector of unknown length')
    try:
        width = layout.num_input(size, 'parameters')
    except ValueError as error:
        raise ExportError(str(error)) from None
    count = 2 if node.mode == 'lstm' else 1
    begin, lengths = states[:count], None
    if node.use_sequence_length:
        lengths = builder.cast(states[count], 'int32')
    finals: list[list[Value]] = [[] for _ in begin]
    for i, weights in enumerate(_weights(builder, layout, width, vector)):
        own = begin if layers == 1 else [
            builder.slice(value, 0, i * directions, (i + 1) * directions, directions)
            for value in begin]
        data, last = _layer(builder, mode, units, directions, data, weights, own, lengths)
        for values, value in zip(finals, last):
            values.append(value)
    return [data, *(concat(builder, values, 0) for values in finals if node.state_outputs)]


def _weights(builder: Builder, layout: FusedLayout, width: int, vector: Value) -> list[list[Value]]:
    """W, R and B of each layer, cut out of the parameter vector; each has all directions."""
    gates, units = _MODES[layout.mode].gates, layout.num_hidden
    parts: dict[tuple[int, str, str, str], Value] = {}
    for array in layout.arrays(width, by_gate=False):
        part = builder.slice(vector, 0, array.begin, array.end, array.end - array.begin)
        shape = (len(gates), units, *array.shape[1:])
        part = builder.reshape(part, shape)
        if len(gates) > 1:
            part = builder.node('Gather', [part, builder.constant(gates, 'int64')], shape, axis=0)
        parts[array.layer, array.direction, array.group, array.kind] = builder.reshape(
            part, array.shape)
    result = []
    for layer in range(layout.num_layers):
        kinds: list[list[Value]] = [[], [], []]
        for side in layout.directions:
            kinds[0].append(parts[layer, side, 'i2h', 'weight'])
            kinds[1].append(parts[layer, side, 'h2h', 'weight'])
            kinds[2].append(concat(builder, [parts[layer, side, group, 'bias']
                                             for group in ('i2h', 'h2h')], 0))
        result.append([concat(builder, [builder.unsqueeze(value, 0) for value in kind], 0)
                       for kind in kinds])
    return result


def _layer(builder: Builder, mode: _Mode, units: int, directions: int, data: Value,
           weights: Sequence[Value], begin: Sequence[Value], lengths: Value | None
           ) -> tuple[Value, list[Value]]:
    """The output and final states of one layer."""
    time, batch = data.shape[:2]
    attributes = dict(mode.attributes, hidden_size=units,
                      direction='bidirectional' if directions == 2 else 'forward')
    if mode.activations:
        attributes['activations'] = list(mode.activations * directions)
    least = None if lengths is None else lengths.of('Max', 1)
    final = (directions, batch, units)
    given = [None if value.name in builder.zeros else value for value in begin]
    output, *last = builder.nodes(
        mode.op, [data, *weights, least, *given],
        [(time, directions, batch, units)] + [final] * len(begin), data.dtype, **attributes)
    if lengths is not None:  # runtimes differ for a length of 0
        column = builder.reshape(lengths > 0, (batch, 1))
        output = builder.where(column, output, 0)
        last = [builder.where(column, value, old) for value, old in zip(last, begin)]
    if directions == 1:
        return builder.squeeze(output, 1), last
    output = builder.transpose(output, (0, 2, 1, 3))
    return builder.reshape(output, (time, batch, directions * units)), last


# ---- loops

@converts('_foreach')
def _foreach(builder: Builder, node: Node, *inputs: Value) -> list[Value]:
    """A Scan over the first axis of the loop's data."""
    body, places, *counts = node.body
    if not node.body.fits(node):
        raise Unsupported('a loop whose body has other inputs or outputs')
    data, states = inputs[:counts[0]], inputs[counts[0]:sum(counts)]
    length = data[0].shape[0]
    for value in data[1:]:
        length = unify(length, value.shape[0])
    current, outer = builder.current, builder.scope
    builder.scope = scope = Scope(outer)
    turn = [replace(value, name=builder.name(current + '_state')) for value in states]
    turn += [replace(value, name=builder.name(current + '_step'), shape=value.shape[1:])
             for value in data]
    given = [*turn[counts[1]:], *turn[:counts[1]], *inputs[sum(counts):]]
    results = builder.convert(body, dict(zip(places, given)))
    found = [value for value in results if value is not None]
    if len(found) < len(results):  # what is missing is already among the faults
        return []
    steps, after = found[:node.num_out_data], found[node.num_out_data:]
    for old, new in zip(states, after):
        for pair in zip(old.shape, new.shape):
            unify(*pair)
    for value in [*after, *steps]:
        builder.give(scope, value, builder.name(current + '_result'))
    scope.inputs = turn
    builder.scope, builder.current = outer, current
    shapes = [value.shape for value in states] + [(resolve(length),) + value.shape
                                                  for value in steps]
    outputs = builder.nodes('Scan', [*states, *data], shapes,
                            [value.dtype for value in [*after, *steps]], scope,
                            num_scan_inputs=counts[0])
    return outputs[counts[1]:] + outputs[:counts[1]]
