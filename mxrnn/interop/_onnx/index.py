"""Operators that reduce, order, look up and multiply."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ..._graph.sizes import resolve, unify
from .builder import Builder, Value
from .sizes import Unsupported
from .table import Attributes, Converter, converts, positive

__all__ = ['indices', 'reduce']


def reduce(builder: Builder, op: str, data: Value, axes: Sequence[int], keep: bool) -> Value:
    """A reduction of ONNX over `axes`, which stay with size 1 if `keep`."""
    shape = [1 if i in axes else size for i, size in enumerate(data.shape)
             if keep or i not in axes]
    if op == 'ReduceSum':  # the one that takes them as an input in this opset
        return builder.node(op, [data, builder.constant(axes, 'int64')], shape,
                            keepdims=int(keep))
    return builder.node(op, [data], shape, axes=list(axes), keepdims=int(keep))


def _axes(attributes: Attributes, rank: int) -> list[int]:
    axes = attributes.integers('axis', ())
    chosen = sorted({positive(axis, rank) for axis in axes})
    if attributes.flag('exclude'):
        return [axis for axis in range(rank) if axis not in chosen]
    return chosen or list(range(rank))


def _reduction(op: str, neutral: int | None = None) -> Converter:
    """A converter of a reduction, in which NaN counts as `neutral` if that is a number."""
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        data = inputs[0]
        if neutral is not None:
            lost = builder.node('IsNaN', [data], data.shape, bool)
            data = builder.where(lost, builder.scalar(neutral, data), data, data.shape)
        return _reduced(builder, attributes, op, data)
    return convert


for _name in ('sum', 'mean', 'prod', 'max', 'min'):
    converts(_name)(_reduction('Reduce' + _name.capitalize()))
converts('nansum')(_reduction('ReduceSum', 0))
converts('nanprod')(_reduction('ReduceProd', 1))


def _reduced(builder: Builder, attributes: Attributes, op: str, data: Value) -> Value:
    """A reduction over the attribute 'axis'; what is left of all axes has the shape (1,)."""
    axes, keep = _axes(attributes, data.rank), attributes.flag('keepdims')
    if not axes:  # all of them are excluded
        return data
    result = reduce(builder, op, data, axes, keep)
    return result if result.rank else builder.reshape(result, (1,))


@converts('norm')
def _norm(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    kind = attributes.integer('ord', 2)
    if kind not in (1, 2):
        raise Unsupported('a norm of order %d' % kind)
    if inputs[0].dtype.kind != 'f':
        raise Unsupported('a norm of the type %s' % inputs[0].dtype)
    return _reduced(builder, attributes, 'ReduceL%d' % kind, inputs[0])


@converts('moments')
def _moments(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> list[Value]:
    data, keep = inputs[0], attributes.flag('keepdims')
    axes = sorted({positive(axis, data.rank) for axis in attributes.integers('axes', ())})
    axes = axes or list(range(data.rank))
    mean = reduce(builder, 'ReduceMean', data, axes, True)
    apart = builder.node('Sub', [data, mean], data.shape)
    squares = builder.node('Mul', [apart, apart], data.shape)
    results = [reduce(builder, 'ReduceMean', each, axes, keep) for each in (data, squares)]
    return [each if each.rank else builder.reshape(each, (1,)) for each in results]


@converts('_np_cumsum')
def _sum_so_far(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if 'dtype' in attributes:
        data = builder.cast(data, attributes.text('dtype'))
    if 'axis' in attributes:
        axis = positive(attributes.integer('axis'), data.rank)
    else:
        data, axis = builder.reshape(data, (builder.size_of(data),)), 0
    return builder.node('CumSum', [data, builder.constant(axis, 'int64')], data.shape)


def _extreme(op: str) -> Converter:
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        data, keep = inputs[0], attributes.flag('keepdims')
        if 'axis' not in attributes:
            flat = builder.reshape(data, (builder.size_of(data),))
            index = builder.node(op, [flat], (1,), np.int64, axis=0, keepdims=1)
            index = builder.reshape(index, (1,) * (data.rank if keep else 1))
        else:
            axis = positive(attributes.integer('axis'), data.rank)
            shape = data.shape[:axis] + ((1,) if keep else ()) + data.shape[axis + 1:]
            index = builder.node(op, [data], shape, np.int64, axis=axis, keepdims=int(keep))
        return builder.cast(index if index.rank else builder.reshape(index, (1,)), data.dtype)
    return convert


converts('argmax')(_extreme('ArgMax'))
converts('argmin')(_extreme('ArgMin'))


@converts('argmax_channel')
def _argmax_channel(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    index = builder.node('ArgMax', [data], data.shape[:1] + data.shape[2:], np.int64, axis=1,
                         keepdims=0)
    return builder.cast(index, data.dtype)


def _ordered(builder: Builder, data: Value, axis: int, count: int, ascending: bool
             ) -> tuple[Value, Value]:
    """The first `count` (0: all) elements along `axis`, and where they were."""
    size = count if count > 0 else data.shape[axis]
    shape = data.shape[:axis] + (size,) + data.shape[axis + 1:]
    values, places = builder.nodes('TopK', [data, builder.vector([size])], [shape, shape],
                                   [data.dtype, np.int64], axis=axis, largest=int(not ascending))
    return values, places


def _axis_or_flat(builder: Builder, attributes: Attributes, data: Value) -> tuple[Value, int]:
    """The data, flat if the attribute 'axis' is None, and the axis."""
    if attributes.is_none('axis'):
        return builder.reshape(data, (builder.size_of(data),)), 0
    return data, positive(attributes.integer('axis', -1), data.rank)


@converts('topk')
def _topk(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Any:
    data, axis = _axis_or_flat(builder, attributes, inputs[0])
    values, places = _ordered(builder, data, axis, attributes.integer('k', 1),
                              attributes.flag('is_ascend'))
    kind = attributes.text('ret_typ', 'indices')
    dtype = np.dtype(attributes.text('dtype', 'float32'))
    if kind == 'value':
        return values
    if kind == 'indices':
        return builder.cast(places, dtype)
    if kind == 'both':
        return [values, builder.cast(places, dtype)]
    if kind != 'mask':
        raise Unsupported('ret_typ %r' % kind)
    ones = builder.fill(1, places.shape, data.dtype)
    zeros = builder.fill(0, data.shape, data.dtype)
    mask = builder.node('ScatterElements', [zeros, places, ones], data.shape, axis=axis)
    return builder.reshape(mask, inputs[0].shape) if attributes.is_none('axis') else mask


@converts('sort')
def _sort(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, axis = _axis_or_flat(builder, attributes, inputs[0])
    return _ordered(builder, data, axis, 0, attributes.flag('is_ascend', True))[0]


@converts('argsort')
def _argsort(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, axis = _axis_or_flat(builder, attributes, inputs[0])
    places = _ordered(builder, data, axis, 0, attributes.flag('is_ascend', True))[1]
    return builder.cast(places, attributes.text('dtype', 'float32'))


def indices(builder: Builder, value: Value, size: Any, mode: str = 'clip') -> Value:
    """Numbers as indices into an axis of `size`, as MXNet treats those outside of it."""
    places = builder.cast(value, 'int64')
    size = resolve(size)
    if mode == 'raise':  # what is below 0, which Gather counts from the end, is moved out of range
        below = builder.node('Less', [places, builder.constant(0, 'int64')], places.shape, bool)
        return builder.where(below, builder.constant(2 ** 62, 'int64'), places, places.shape)
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


def _matrix(builder: Builder, value: Value, axis: int) -> Value:
    """`value` as a matrix, of its `axis` (the first or the last) and all others."""
    if value.rank == 2:
        return value
    size = builder.size_of(value._replace(shape=value.shape[1:] if axis == 0 else
                                          value.shape[:-1]))
    shape = (value.shape[0], size) if axis == 0 else (size, value.shape[-1])
    return builder.reshape(value, shape)


@converts('dot')
def _dot(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    left, right = inputs
    first, second = attributes.flag('transpose_a'), attributes.flag('transpose_b')
    outer = left.shape[1:] if first else left.shape[:-1]
    inner = right.shape[:-1] if second else right.shape[1:]
    if left.rank == 1 and right.rank == 1:
        unify(left.shape[0], right.shape[0])
        product = builder.node('Mul', [left, right], left.shape)
        return reduce(builder, 'ReduceSum', product, [0], True)
    unify(left.shape[0 if first else -1], right.shape[-1 if second else 0])
    if left.rank == 1:
        left, first = builder.unsqueeze(left, 0), False
    else:
        left = _matrix(builder, left, 0 if first else left.rank - 1)
    if right.rank == 1:
        right, second = builder.unsqueeze(right, 1), False
    else:
        right = _matrix(builder, right, right.rank - 1 if second else 0)
    left = builder.transpose(left, (1, 0)) if first else left
    right = builder.transpose(right, (1, 0)) if second else right
    result = builder.node('MatMul', [left, right], (left.shape[0], right.shape[1]))
    return builder.reshape(result, tuple(outer) + tuple(inner))


@converts('batch_dot')
def _batch_dot(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    sides = []
    for value, name in zip(inputs, ('transpose_a', 'transpose_b')):
        sides.append(builder.transpose(value, (0, 2, 1)) if attributes.flag(name) else value)
    left, right = sides
    unify(left.shape[2], right.shape[1])
    batch = unify(left.shape[0], right.shape[0])
    return builder.node('MatMul', sides, (batch, left.shape[1], right.shape[2]))


@converts('_linalg_gemm2')
def _gemm2(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    rank = inputs[0].rank
    rows = positive(attributes.integer('axis', -2), rank)
    if rows == rank - 1:
        raise Unsupported('rows along the last axis')
    order = [*(i for i in range(rank - 1) if i != rows), rows, rank - 1]
    sides = []
    for value, name in zip(inputs, ('transpose_a', 'transpose_b')):
        last = [rank - 1, rows] if attributes.flag(name) else [rows, rank - 1]
        sides.append(builder.transpose(value, order[:-2] + last))
    left, right = sides
    unify(left.shape[-1], right.shape[-2])
    result = builder.node('MatMul', sides, left.shape[:-1] + right.shape[-1:])
    alpha = attributes.number('alpha', 1.0)
    if alpha != 1:
        result = builder.node('Mul', [result, builder.scalar(alpha, result)], result.shape)
    return builder.transpose(result, [order.index(i) for i in range(rank)])
