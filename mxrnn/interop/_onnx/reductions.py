"""Operators that reduce an axis or put it in order."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .builder import Builder, Value
from .errors import Unsupported
from .table import Attributes, Converter, converts, positive

__all__ = ['reduce']


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


def _enter_reductions() -> None:
    ops = {'sum': 'ReduceSum', 'mean': 'ReduceMean', 'prod': 'ReduceProd', 'max': 'ReduceMax',
           'min': 'ReduceMin', 'nansum': 'ReduceSum', 'nanprod': 'ReduceProd'}
    for name, op in ops.items():
        neutral = {'nansum': 0, 'nanprod': 1}.get(name)

        def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value],
                    op: str = op, neutral: int | None = neutral) -> Value:
            data = inputs[0]
            if neutral is not None:
                lost = builder.node('IsNaN', [data], data.shape, bool)
                data = builder.where(lost, builder.scalar(neutral, data), data, data.shape)
            return _reduced(builder, attributes, op, data)
        converts(name)(convert)


def _reduced(builder: Builder, attributes: Attributes, op: str, data: Value) -> Value:
    """A reduction over the attribute 'axis'; what is left of all axes has the shape (1,)."""
    axes, keep = _axes(attributes, data.rank), attributes.flag('keepdims')
    if not axes:  # all of them are excluded
        return data
    result = reduce(builder, op, data, axes, keep)
    return result if result.rank else builder.reshape(result, (1,))


_enter_reductions()


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
