"""Operators that look up."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .builder import Builder, Value
from .errors import Unsupported
from .sizes import resolve, unify
from .table import Attributes, converts, positive

__all__ = ['indices', 'lookup']


def indices(builder: Builder, value: Value, size: Any, mode: str = 'clip') -> Value:
    """Numbers as indices into an axis of `size`, as MXNet treats those outside of it."""
    places = builder.cast(value, 'int64')
    if mode == 'raise':
        return places
    size = resolve(size)
    if mode == 'wrap':
        count = builder.reshape(builder.vector([size]), ())
        return builder.node('Mod', [places, count], places.shape)
    if isinstance(size, int):
        last = builder.constant(size - 1, 'int64')
    else:
        last = builder.node('Sub', [builder.reshape(builder.vector([size]), ()),
                                    builder.constant(1, 'int64')], ())
    return builder.node('Clip', [places, builder.constant(0, 'int64'), last], places.shape)


def lookup(builder: Builder, table: Value, places: Value, axis: int = 0) -> Value:
    """The entries of `table` along `axis` at `places`."""
    return builder.node('Gather', [table, places], table.shape[:axis] + places.shape +
                        table.shape[axis + 1:], axis=axis)


@converts('Embedding', '_contrib_SparseEmbedding')
def _embedding(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, table = inputs
    unify(table.shape[0], attributes.integer('input_dim'))
    unify(table.shape[1], attributes.integer('output_dim'))
    return lookup(builder, table, indices(builder, data, table.shape[0]))


@converts('take')
def _take(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    table, places = inputs
    axis = positive(attributes.integer('axis', 0), table.rank)
    mode = attributes.text('mode', 'clip')
    return lookup(builder, table, indices(builder, places, table.shape[axis], mode), axis)


@converts('pick')
def _pick(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, index = inputs
    axis = positive(attributes.integer('axis', -1), data.rank)
    places = indices(builder, index, data.shape[axis], attributes.text('mode', 'clip'))
    if places.rank < data.rank:
        places = builder.unsqueeze(places, axis)
    picked = builder.node('GatherElements', [data, places],
                          data.shape[:axis] + (1,) + data.shape[axis + 1:], axis=axis)
    keep = attributes.flag('keepdims') or data.rank == 1
    return picked if keep else builder.squeeze(picked, axis)


@converts('batch_take')
def _batch_take(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, index = inputs
    places = builder.unsqueeze(indices(builder, index, data.shape[1]), 1)
    return builder.squeeze(builder.node('GatherElements', [data, places], (data.shape[0], 1),
                                        axis=1), 1)


@converts('gather_nd')
def _gather_nd(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, index = inputs
    count = resolve(index.shape[0])
    if not isinstance(count, int):
        raise Unsupported('a gather_nd over a number of axes that is not known')
    order = list(range(1, index.rank)) + [0]
    places = builder.transpose(builder.cast(index, 'int64'), order)
    return builder.node('GatherND', [data, places], index.shape[1:] + data.shape[count:])


@converts('scatter_nd')
def _scatter_nd(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, index = inputs
    shape = attributes.integers('shape')
    places = builder.transpose(builder.cast(index, 'int64'), list(range(1, index.rank)) + [0])
    empty = builder.fill(0, shape, data.dtype)
    return builder.node('ScatterND', [empty, places, data], shape)


@converts('one_hot')
def _one_hot(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    depth = attributes.integer('depth')
    dtype = np.dtype(attributes.text('dtype', 'float32'))
    index = builder.unsqueeze(builder.cast(inputs[0], 'int64'), inputs[0].rank)
    shape = inputs[0].shape + (depth,)
    hit = builder.node('Equal', [index, builder.constant(np.arange(depth), 'int64')], shape, bool)
    yes, no = (builder.constant(attributes.number(name, default), dtype)
               for name, default in (('on_value', 1.0), ('off_value', 0.0)))
    return builder.where(hit, yes, no, shape)
