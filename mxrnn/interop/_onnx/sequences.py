"""Sequences of different lengths."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .builder import Builder, Value
from .errors import Unsupported
from .indexing import indices
from .sizes import resolve, unify
from .table import Attributes, converts, positive

__all__ = ['inside']


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
