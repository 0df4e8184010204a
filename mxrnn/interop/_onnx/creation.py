"""Operators that make arrays: constants and ranges."""
from __future__ import annotations

import numpy as np

from ..._graph.graph import Node
from ..._graph.shapes.sizes import Axis, Size, product
from ..registry import Unsupported, converts
from .builder import Builder, Value

__all__ = ['dtype_of', 'shape_of']


def shape_of(node: Node) -> tuple[Size, ...]:
    """The attribute 'shape', in which 0 and -1 leave the size to the rest of the graph."""
    if not node.shape or min(node.shape) < -1:
        raise Unsupported('an array of the shape %s' % (node.shape,))
    return tuple(size if size > 0 else Axis() for size in node.shape)


def dtype_of(node: Node) -> np.dtype:
    """The type that the attribute 'dtype' names."""
    if node.dtype == 'bfloat16':
        raise Unsupported('the type bfloat16')
    return np.dtype(node.dtype)


@converts('_zeros', '_ones', '_full')
def _filled(builder: Builder, node: Node) -> Value:
    number = node.value if node.op == '_full' else int(node.op == '_ones')
    return builder.fill(number, shape_of(node), dtype_of(node))


@converts('_zeros_without_dtype')
def _zeros_of_floats(builder: Builder, node: Node) -> Value:
    if node.dtype not in (-1, 0):
        raise Unsupported('the type %d' % node.dtype)
    return builder.fill(0, shape_of(node), np.dtype('float32'))


converts('zeros_like', 'ones_like')(lambda builder, node, data: builder.fill(
    int(node.op == 'ones_like'), data.shape, data.dtype))
converts('_eye')(lambda builder, node: builder.constant(
    np.eye(node.N, node.M or node.N, node.k), dtype_of(node)))
converts('_linspace')(lambda builder, node: builder.constant(np.linspace(
    node.start, node.stop, node.num, endpoint=node.endpoint), dtype_of(node)))


@converts('_arange')
def _arange(builder: Builder, node: Node) -> Value:
    if node.infer_range:
        raise Unsupported('a range whose length is inferred')
    start, stop = (0.0, node.start) if node.stop is None else (node.start, node.stop)
    numbers = np.arange(start, stop, node.step)
    return builder.constant(np.repeat(numbers, node.repeat), dtype_of(node))


@converts('_contrib_arange_like')
def _arange_like(builder: Builder, node: Node, data: Value) -> Value:
    if node.repeat != 1:
        raise Unsupported('an arange_like that repeats')
    shape = data.shape if node.axis is None else (data.size(node.axis),)
    size = builder.reshape(builder.vector([product(shape)]), ())
    steps = [builder.constant(number, 'int64') for number in (0, 1)]
    count = builder.node('Range', [steps[0], size, steps[1]], (product(shape),))
    numbers = builder.cast(count, data.dtype)
    for op, number, neutral in (('Mul', node.step, 1), ('Add', node.start, 0)):
        if number != neutral:
            numbers = builder.apply(op, numbers, number)
    return builder.reshape(numbers, shape)
