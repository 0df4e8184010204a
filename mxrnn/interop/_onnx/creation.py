"""Operators that make arrays: zeros, ranges, random numbers."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .builder import Builder, Value
from .errors import Unsupported
from .sizes import Axis, Size, product, resolve
from .table import Attributes, converts

__all__ = ['dropout_mask']


def _shape(attributes: Attributes) -> tuple[Size, ...]:
    """The attribute 'shape', in which 0 and -1 are for the rest of the graph to say."""
    sizes = attributes.integers('shape', ())
    if not sizes or min(sizes) < -1:
        raise Unsupported('an array of the shape %s' % (sizes,))
    return tuple(size if size > 0 else Axis() for size in sizes)


def _dtype(attributes: Attributes) -> np.dtype:
    name = attributes.text('dtype', 'float32')
    if name == 'bfloat16':
        raise Unsupported('the type bfloat16')
    return np.dtype({'-1': 'float32'}.get(name, name))


@converts('_zeros', '_zeros_without_dtype')
def _zeros(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.fill(0, _shape(attributes), _dtype(attributes))


@converts('_ones')
def _ones(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.fill(1, _shape(attributes), _dtype(attributes))


@converts('_full')
def _full(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.fill(attributes.number('value'), _shape(attributes), _dtype(attributes))


@converts('zeros_like')
def _zeros_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.fill(0, inputs[0].shape, inputs[0].dtype)


@converts('ones_like')
def _ones_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.fill(1, inputs[0].shape, inputs[0].dtype)


@converts('_arange')
def _arange(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    start, stop = attributes.number('start', 0.0), attributes.number('stop', None)
    if attributes.flag('infer_range'):
        raise Unsupported('a range whose length is inferred')
    if stop is None:
        start, stop = 0.0, start
    numbers = np.arange(start, stop, attributes.number('step', 1.0))
    return builder.constant(np.repeat(numbers, attributes.integer('repeat', 1)),
                            _dtype(attributes))


@converts('_contrib_arange_like')
def _arange_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    axis = attributes.integer('axis', None)
    repeats = attributes.integer('repeat', 1)
    if repeats != 1:
        raise Unsupported('an arange_like that repeats')
    shape = data.shape if axis is None else (data.shape[axis],)
    size = builder.reshape(builder.vector([product(shape)]), ())
    steps = [builder.constant(number, 'int64') for number in (0, 1)]
    count = builder.node('Range', [steps[0], size, steps[1]], (product(shape),))
    numbers = builder.cast(count, data.dtype)
    for op, name, neutral in (('Mul', 'step', 1.0), ('Add', 'start', 0.0)):
        number = attributes.number(name, neutral)
        if number != neutral:
            numbers = builder.node(op, [numbers, builder.scalar(number, numbers)], numbers.shape)
    return builder.reshape(numbers, shape)


def _uniform(builder: Builder, shape: Sequence[Size], dtype: np.dtype, low: float,
             high: float) -> Value:
    like = builder.fill(0, shape, dtype)
    return builder.node('RandomUniformLike', [like], like.shape, low=low, high=high)


@converts('_random_uniform')
def _random_uniform(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return _uniform(builder, _shape(attributes), _dtype(attributes),
                    attributes.number('low', 0.0), attributes.number('high', 1.0))


@converts('_random_normal')
def _random_normal(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    like = builder.fill(0, _shape(attributes), _dtype(attributes))
    return builder.node('RandomNormalLike', [like], like.shape, mean=attributes.number('loc', 0.0),
                        scale=attributes.number('scale', 1.0))


@converts('_random_uniform_like')
def _random_uniform_like(builder: Builder, attributes: Attributes,
                         inputs: Sequence[Value]) -> Value:
    return builder.node('RandomUniformLike', inputs, inputs[0].shape,
                        low=attributes.number('low', 0.0), high=attributes.number('high', 1.0))


@converts('_random_normal_like')
def _random_normal_like(builder: Builder, attributes: Attributes,
                        inputs: Sequence[Value]) -> Value:
    return builder.node('RandomNormalLike', inputs, inputs[0].shape,
                        mean=attributes.number('loc', 0.0), scale=attributes.number('scale', 1.0))


def dropout_mask(builder: Builder, shape: Sequence[Size], dtype: Any, p: float) -> Value:
    """What Dropout multiplies with: 0 with probability `p`, else 1 / (1 - p)."""
    random = _uniform(builder, shape, dtype, 0.0, 1.0)
    kept = builder.node('GreaterOrEqual', [random, builder.scalar(p, random)], random.shape, bool)
    mask = builder.cast(kept, dtype)
    return builder.node('Div', [mask, builder.scalar(1 - p, mask)], mask.shape)


@converts('Dropout')
def _dropout(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, p = inputs[0], attributes.number('p', 0.5)
    if attributes.text('mode', 'training') != 'always' or p == 0:
        return data
    axes = attributes.integers('axes', ())
    shape = [1 if i in axes else resolve(size) for i, size in enumerate(data.shape)]
    mask = dropout_mask(builder, shape, data.dtype, p)
    return builder.node('Mul', [data, mask], data.shape)
