"""Operators that make arrays: zeros, ranges, random numbers."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ..._graph.sizes import Axis, Size, product, resolve
from .builder import Builder, Value
from .sizes import Unsupported
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


@converts('_linspace')
def _linspace(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    numbers = np.linspace(attributes.number('start', 0.0), attributes.number('stop'),
                          attributes.integer('num', 50),
                          endpoint=attributes.flag('endpoint', True))
    return builder.constant(numbers, _dtype(attributes))


@converts('_eye')
def _eye(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    rows = attributes.integer('N')
    return builder.constant(np.eye(rows, attributes.integer('M', 0) or rows,
                                   attributes.integer('k', 0)), _dtype(attributes))


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


@converts('_random_randint')
def _random_integers(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    low, high = attributes.integer('low'), attributes.integer('high')
    if max(abs(low), abs(high)) > 2 ** 52:
        raise Unsupported('integers from %d to %d' % (low, high))
    drawn = _uniform(builder, _shape(attributes), np.dtype('float64'), float(low), float(high))
    whole = builder.node('Floor', [drawn], drawn.shape)
    name = attributes.text('dtype', 'int32')
    return builder.cast(whole, {'-1': 'int32', 'None': 'int32'}.get(name, name))


def _exponential(builder: Builder, shape: Sequence[Size], dtype: np.dtype, rate: Value) -> Value:
    random = _uniform(builder, shape, dtype, 0.0, 1.0)
    left = builder.node('Sub', [builder.scalar(1, random), random], shape)  # never 0
    minus = builder.node('Neg', [builder.node('Log', [left], shape)], shape)
    return builder.node('Div', [minus, rate], shape)


@converts('_random_exponential')
def _random_exponential(builder: Builder, attributes: Attributes,
                        inputs: Sequence[Value]) -> Value:
    dtype = _dtype(attributes)
    return _exponential(builder, _shape(attributes), dtype,
                        builder.constant(attributes.number('lam', 1.0), dtype))


@converts('_random_exponential_like')
def _random_exponential_like(builder: Builder, attributes: Attributes,
                             inputs: Sequence[Value]) -> Value:
    like = inputs[0]
    return _exponential(builder, like.shape, like.dtype,
                        builder.scalar(attributes.number('lam', 1.0), like))


def _for_each(builder: Builder, attributes: Attributes, inputs: Sequence[Value]
              ) -> tuple[tuple[Size, ...], list[Value]]:
    """The shape of a sampler that draws for each element of its parameters, and they, so wide."""
    own = attributes.integers('shape', ())
    name, dtype = attributes.text('dtype', 'None'), inputs[0].dtype
    if name not in ('None', '-1', dtype.name):
        raise Unsupported('numbers of the type %s of parameters of the type %s' % (name, dtype))
    shape = tuple(inputs[0].shape)
    return shape + own, [builder.reshape(value, shape + (1,) * len(own)) for value in inputs]


@converts('_sample_uniform')
def _sample_uniform(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    shape, (low, high) = _for_each(builder, attributes, inputs)
    random = _uniform(builder, shape, low.dtype, 0.0, 1.0)
    width = builder.node('Sub', [high, low], low.shape)
    return builder.node('Add', [low, builder.node('Mul', [width, random], shape)], shape)


@converts('_sample_normal')
def _sample_normal(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    shape, (mean, deviation) = _for_each(builder, attributes, inputs)
    like = builder.fill(0, shape, mean.dtype)
    random = builder.node('RandomNormalLike', [like], shape)
    return builder.node('Add', [mean, builder.node('Mul', [deviation, random], shape)], shape)


@converts('_sample_exponential')
def _sample_exponential(builder: Builder, attributes: Attributes,
                        inputs: Sequence[Value]) -> Value:
    shape, (rate,) = _for_each(builder, attributes, inputs)
    return _exponential(builder, shape, rate.dtype, rate)


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
