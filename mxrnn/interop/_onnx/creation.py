"""Operators that make arrays: constants, ranges, random numbers."""
from __future__ import annotations

from typing import Callable, Sequence

import numpy as np

from ..._graph.graph import Node
from ..._graph.operators import numbers_of
from ..._graph.shapes.sizes import Axis, Size, product
from ..registry import Converter, Unsupported, converts, dtype_of
from .builder import Builder, Value

__all__ = ['uniform']


def _shape(node: Node) -> tuple[Size, ...]:
    """The attribute 'shape', in which 0 and -1 are for the rest of the graph to say."""
    if not node.shape or min(node.shape) < -1:
        raise Unsupported('an array of the shape %s' % (node.shape,))
    return tuple(size if size > 0 else Axis() for size in node.shape)


@converts('_zeros', '_ones', '_full')
def _filled(builder: Builder, node: Node) -> Value:
    number = node.value if node.op == '_full' else int(node.op == '_ones')
    return builder.fill(number, _shape(node), dtype_of(node))


@converts('_zeros_without_dtype')
def _zeros_of_floats(builder: Builder, node: Node) -> Value:
    if node.dtype not in (-1, 0):
        raise Unsupported('the type %d' % node.dtype)
    return builder.fill(0, _shape(node), np.dtype('float32'))


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


# ---- random numbers

def uniform(builder: Builder, like: Value, low: float = 0.0, high: float = 1.0) -> Value:
    """Random numbers of the shape and the type of `like`."""
    return builder.node('RandomUniformLike', [like], like.shape, low=low, high=high)


def _normal(builder: Builder, like: Value, mean: float = 0.0, scale: float = 1.0) -> Value:
    return builder.node('RandomNormalLike', [like], like.shape, mean=mean, scale=scale)


def _exponential(builder: Builder, like: Value, rate: float = 1.0) -> Value:
    left = builder.node('Sub', [builder.scalar(1, like), uniform(builder, like)],
                        like.shape)  # never 0
    return builder.apply('Div', builder.apply('Neg', builder.apply('Log', left)), rate)


#: By distribution: draws numbers, given those that its operators have.
_SAMPLERS: dict[str, Callable[..., Value]] = {
    'uniform': uniform, 'normal': _normal, 'exponential': _exponential}


def _drawn(name: str, like: bool) -> Converter:
    """A converter of a sampler that has the numbers of its distribution in attributes."""
    def convert(builder: Builder, node: Node, *given: Value) -> Value:
        shaped = given[0] if like else builder.fill(
            0, _shape(node), np.dtype(node.dtype or 'float32'))
        return _SAMPLERS[name](builder, shaped, *numbers_of(node))
    return convert


def _drawn_for_each(name: str) -> Converter:
    """A converter of a sampler that draws for each element of its parameters."""
    def convert(builder: Builder, node: Node, *given: Value) -> Value:
        first = given[0]
        if node.dtype not in (None, first.dtype.name):
            raise Unsupported('numbers of the type %s of parameters of the type %s'
                              % (node.dtype, first.dtype))
        shape = first.shape + node.shape
        one, *others = (builder.reshape(value, first.shape + (1,) * len(node.shape))
                        for value in given)
        random = _SAMPLERS[name](builder, builder.fill(0, shape, first.dtype))
        if name == 'exponential':
            return builder.apply('Div', random, one)
        wide = others[0] if name == 'normal' else builder.apply('Sub', others[0], one)
        return builder.apply('Add', one, builder.apply('Mul', wide, random))
    return convert


for _name in _SAMPLERS:
    converts('_random_' + _name)(_drawn(_name, like=False))
    converts('_random_%s_like' % _name)(_drawn(_name, like=True))
    converts('_sample_' + _name)(_drawn_for_each(_name))


@converts('_random_randint')
def _random_integers(builder: Builder, node: Node) -> Value:
    if max(abs(node.low), abs(node.high)) > 2 ** 52:
        raise Unsupported('integers from %d to %d' % (node.low, node.high))
    like = builder.fill(0, _shape(node), np.dtype('float64'))
    drawn = uniform(builder, like, float(node.low), float(node.high))
    return builder.cast(builder.node('Floor', [drawn], drawn.shape), node.dtype or 'int32')


@converts('Dropout')
def _dropout(builder: Builder, node: Node, data: Value) -> Value:
    if node.mode != 'always' or node.p == 0:
        return data
    shape: Sequence[Size] = [1 if i in node.axes else size for i, size in enumerate(data.shape)]
    random = uniform(builder, builder.fill(0, shape, data.dtype))
    kept = builder.apply('GreaterOrEqual', random, node.p, dtype=bool)
    mask = builder.apply('Div', builder.cast(kept, data.dtype), 1 - node.p)
    return builder.apply('Mul', data, mask)
