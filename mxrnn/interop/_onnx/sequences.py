"""Operators that use the lengths of sequences: masks, last steps, reversed sequences."""
from __future__ import annotations

import numpy as np

from ..._graph.graph import Node
from ..._graph.shapes.sizes import Size, resolve
from ..registry import Unsupported, converts, positive
from .arrays import indices
from .builder import Builder, Value

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
    return data.size(1 - axis)


@converts('SequenceMask')
def _sequence_mask(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
    if not node.use_sequence_length:
        return data
    within = inside(builder, data, lengths[0], node.axis)
    return builder.where(within, data, builder.scalar(node.value, data))


def inside(builder: Builder, data: Value, lengths: Value, axis: int) -> Value:
    """True until a sequence has ended; of shape (time, batch, 1, …) or (batch, time, 1, …)."""
    batch = _sequences(data, lengths, axis)
    time = builder.cast(_count_up(builder, data.shape[axis]), lengths.dtype)
    ones = (1,) * (data.rank - 2)
    one: tuple[Size, ...] = (1,)
    shapes = [(data.shape[axis], *one), (*one, batch)]
    steps, ends = (builder.reshape(each, (shape if axis == 0 else shape[::-1]) + ones)
                   for each, shape in zip((time, lengths), shapes))
    return builder.apply('Less', steps, ends, dtype=bool)


@converts('SequenceLast')
def _sequence_last(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
    axis = positive(node.axis, data.rank)
    if not node.use_sequence_length:
        return builder.squeeze(builder.slice(data, axis, -1, None, 1), axis)
    _sequences(data, lengths[0], axis)
    if axis == 0:
        data = builder.transpose(data, [1, 0, *range(2, data.rank)])
    last = builder.apply('Sub', builder.cast(lengths[0], 'int64'), 1)
    places = builder.unsqueeze(indices(builder, last, data.shape[1]), 1)
    return builder.node('GatherND', [data, places], builder.out, batch_dims=1)


@converts('SequenceReverse')
def _sequence_reverse(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
    if not node.use_sequence_length:
        return builder.slice(data, 0, -1, None, data.size(0), -1)
    _sequences(data, lengths[0], 0)
    return builder.node('ReverseSequence', [data, builder.cast(lengths[0], 'int64')], data.shape,
                        batch_axis=1, time_axis=0)
