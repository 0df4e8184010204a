"""Operators that move elements: reshaping and reordering."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .builder import Builder, Value
from .errors import Unsupported
from .sizes import Size, divide, product, resolve, unify
from .table import Attributes, converts, positive

__all__ = ['reshaped']


@converts('Reshape')
def _reshape(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    codes = attributes.integers('shape', ())
    if not codes:
        raise Unsupported("a Reshape without 'shape'")
    if attributes.flag('reverse'):
        shape = _target(inputs[0].shape[::-1], codes[::-1])[::-1]
    else:
        shape = _target(inputs[0].shape, codes)
    return reshaped(builder, inputs[0], shape)


def reshaped(builder: Builder, value: Value, shape: Sequence[Any]) -> Value:
    """Reshape to `shape`, in which None is a size that only the file, when it runs, can know."""
    if None not in shape:
        return builder.reshape(value, shape)
    vector = builder.vector([-1 if size is None else size for size in shape])
    return builder.node('Reshape', [value, vector], shape)


def _target(shape: Sequence[Size], codes: Sequence[int]) -> list[Any]:
    """The shape that MXNet's Reshape gives; None for what cannot be written down.

    Codes: 0 copies an axis, -1 takes what is left, -2 copies all further axes, -3 joins two,
    -4 splits one into the two sizes that follow.
    """
    rest, result, free = list(shape), [], None
    pending = list(codes)
    while pending:
        code = pending.pop(0)
        if code == 0:
            result.append(_take(rest))
        elif code == -1:
            free = len(result)
            result.append(1)
            rest[:1] = []
        elif code == -2:
            result.extend(rest)
            rest = []
        elif code == -3:
            result.append(product((_take(rest), _take(rest))))
        elif code == -4:
            whole, parts = _take(rest), [_take(pending), _take(pending)]
            if -1 in parts:
                part = parts.index(-1)
                parts[part] = divide(whole, parts[1 - part])
            result.extend(parts)
        elif code > 0:
            result.append(code)
            rest[:1] = []
        else:
            raise Unsupported('the code %d in the shape of a Reshape' % code)
    if free is not None:
        others = [size for size in result if size is not None]
        result[free] = divide(product(shape), product(others)) if len(others) == len(
            result) else None
    elif None not in result:
        unify(product(shape), product(result))
    if result.count(None) > 1:
        raise Unsupported('a Reshape with two sizes that depend on the data')
    return result


def _take(items: list[Any]) -> Any:
    if not items:
        raise Unsupported('a Reshape with more codes than axes')
    return items.pop(0)


@converts('reshape_like')
def _reshape_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, like = inputs

    def bounds(side: str, rank: int) -> tuple[int, int]:
        begin = attributes.integer(side + '_begin', 0)
        end = attributes.integer(side + '_end', rank)
        return begin + rank * (begin < 0), end + rank * (end < 0)
    first, last = bounds('lhs', data.rank)
    begin, end = bounds('rhs', like.rank)
    unify(product(data.shape[first:last]), product(like.shape[begin:end]))
    return builder.reshape(data, data.shape[:first] + like.shape[begin:end] + data.shape[last:])


@converts('Flatten')
def _flatten(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    return builder.reshape(data, (data.shape[0], product(data.shape[1:])))


@converts('transpose')
def _transpose(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    rank = inputs[0].rank
    axes = attributes.integers('axes', ()) or tuple(range(rank))[::-1]
    order = [positive(axis, rank) for axis in axes]
    if sorted(order) != list(range(rank)):
        raise Unsupported('axes %s of an array of %d axes' % (axes, rank))
    return builder.transpose(inputs[0], order)


@converts('SwapAxis')
def _swap(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    rank = inputs[0].rank
    first, second = (positive(attributes.integer(name, 0), rank) for name in ('dim1', 'dim2'))
    order = list(range(rank))
    order[first], order[second] = second, first
    return builder.transpose(inputs[0], order)


@converts('expand_dims')
def _expand(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.unsqueeze(inputs[0], positive(attributes.integer('axis'), inputs[0].rank + 1))


@converts('squeeze')
def _squeeze(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    axes = attributes.integers('axis', None)
    if axes is None:
        if not all(isinstance(resolve(size), int) for size in data.shape):
            raise Unsupported('a squeeze without axis, of an array whose shape is not known')
        axes = [i for i, size in enumerate(data.shape) if resolve(size) == 1]
    for axis in sorted((positive(axis, data.rank) for axis in axes), reverse=True):
        unify(data.shape[axis], 1)
        data = builder.squeeze(data, axis)
    return data


@converts('shape_array')
def _shape_array(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('Shape', inputs, (inputs[0].rank,), np.int64)


@converts('size_array')
def _size_array(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.reshape(builder.node('Size', inputs, (), np.int64), (1,))
