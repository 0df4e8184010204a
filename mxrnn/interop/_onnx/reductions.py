"""Operators that reduce or order elements."""
from __future__ import annotations

from typing import Sequence

import numpy as np

from ..._graph.graph import Node
from ..._graph.shapes.sizes import product, reduced_axes
from ..registry import Converter, Unsupported, converts
from .builder import Builder, Value

__all__ = ['reduce']


def reduce(builder: Builder, op: str, data: Value, axes: Sequence[int], keep: bool) -> Value:
    """An ONNX reduction over `axes`; they stay with size 1 if `keep`."""
    shape = [1 if i in axes else size for i, size in enumerate(data.shape) if keep or i not in axes]
    if op == 'ReduceSum':  # the only one that takes axes as an input in this opset
        return builder.node(op, [data, builder.constant(axes, 'int64')], shape, keepdims=int(keep))
    return builder.node(op, [data], shape, axes=list(axes), keepdims=int(keep))


def _reduction(op: str, neutral: int | None = None) -> Converter:
    """A converter for a reduction; if `neutral` is a number, it replaces NaN."""
    def convert(builder: Builder, node: Node, data: Value) -> Value:
        if neutral is not None and data.dtype.kind == 'f':
            data = builder.where(data.of('IsNaN', dtype=bool), neutral, data)
        return _reduced(builder, op, data, reduced_axes(data.rank, node.axis, node.exclude),
                        node.keepdims)
    return convert


for _name in ('sum', 'mean', 'prod', 'max', 'min'):
    converts(_name)(_reduction('Reduce' + _name.capitalize()))
converts('nansum')(_reduction('ReduceSum', 0))
converts('nanprod')(_reduction('ReduceProd', 1))


def _reduced(builder: Builder, op: str, data: Value, axes: Sequence[int], keep: bool) -> Value:
    """A reduction; over all axes the result has shape (1,)."""
    if not axes:  # all axes are excluded
        return data
    return _with_axes(builder, reduce(builder, op, data, axes, keep))


def _with_axes(builder: Builder, value: Value) -> Value:
    """`value` with at least one axis, as all MXNet arrays have."""
    return value if value.rank else builder.reshape(value, (1,))


@converts('norm')
def _norm(builder: Builder, node: Node, data: Value) -> Value:
    if node.ord not in (1, 2):
        raise Unsupported('a norm of order %d' % node.ord)
    if data.dtype.kind != 'f':
        raise Unsupported('a norm of the type %s' % data.dtype)
    result = _reduced(builder, 'ReduceL%d' % node.ord, data, reduced_axes(data.rank, node.axis),
                      node.keepdims)
    return builder.cast(result, node.out_dtype or result.dtype)


@converts('moments')
def _moments(builder: Builder, node: Node, data: Value) -> list[Value]:
    axes = reduced_axes(data.rank, node.axes)
    apart = data - reduce(builder, 'ReduceMean', data, axes, True)
    return [_reduced(builder, 'ReduceMean', each, axes, node.keepdims)
            for each in (data, apart * apart)]


def _axis_or_flat(builder: Builder, node: Node, data: Value) -> tuple[Value, int]:
    """The data, flat if the attribute 'axis' is None, and the axis."""
    if node.axis is None:
        return builder.reshape(data, (product(data.shape),)), 0
    return data, node.axis % data.rank


@converts('_np_cumsum')
def _sum_so_far(builder: Builder, node: Node, data: Value) -> Value:
    data, axis = _axis_or_flat(builder, node, builder.cast(data, node.dtype or data.dtype))
    return builder.node('CumSum', [data, builder.constant(axis, 'int64')], data.shape)


def _extreme(op: str) -> Converter:
    """A converter to the position of the largest or smallest element."""
    def convert(builder: Builder, node: Node, data: Value) -> Value:
        channel = node.op == 'argmax_channel'
        flat, axis = (data, 1) if channel else _axis_or_flat(builder, node, data)
        keep = not channel and node.keepdims
        shape = flat.shape[:axis] + ((1,) if keep else ()) + flat.shape[axis + 1:]
        place = builder.node(op, [flat], shape, np.int64, axis=axis, keepdims=int(keep))
        if keep and node.axis is None:
            place = builder.reshape(place, (1,) * data.rank)
        return builder.cast(_with_axes(builder, place), data.dtype)
    return convert


converts('argmax', 'argmax_channel')(_extreme('ArgMax'))
converts('argmin')(_extreme('ArgMin'))


def _ordered(builder: Builder, data: Value, axis: int, count: int, ascending: bool
             ) -> tuple[Value, Value]:
    """The first `count` elements (0: all) in order along `axis`, and their old positions."""
    size = count if count > 0 else data.shape[axis]
    shape = data.shape[:axis] + (size,) + data.shape[axis + 1:]
    values, places = builder.nodes('TopK', [data, builder.vector([size])], [shape, shape],
                                   [data.dtype, np.int64], axis=axis, largest=int(not ascending))
    return values, places


@converts('topk')
def _topk(builder: Builder, node: Node, data: Value) -> list[Value]:
    whole, axis = _axis_or_flat(builder, node, data)
    values, places = _ordered(builder, whole, axis, node.k, node.is_ascend)
    if node.ret_typ == 'mask':
        ones = builder.fill(1, places.shape, data.dtype)
        zeros = builder.fill(0, whole.shape, data.dtype)
        mask = builder.node('ScatterElements', [zeros, places, ones], whole.shape, axis=axis)
        return [builder.reshape(mask, data.shape)]
    chosen = {'value': [values], 'both': [values, places], 'indices': [places]}[node.ret_typ]
    return [builder.cast(each, node.dtype) if each is places else each for each in chosen]


@converts('sort', 'argsort')
def _sort(builder: Builder, node: Node, data: Value) -> Value:
    data, axis = _axis_or_flat(builder, node, data)
    values, places = _ordered(builder, data, axis, 0, node.is_ascend)
    return values if node.op == 'sort' else builder.cast(places, node.dtype)
