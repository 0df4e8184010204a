"""Layers: products with weights, convolutions, pooling, normalisation, softmax."""
from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from ..._graph.sizes import SizeError, divide, product, resolve, unify
from .builder import Builder, Value
from .elementwise import binary
from .index import reduce
from .recurrent import inside
from .shape import reshaped
from .sizes import Unsupported
from .table import Attributes, converts, positive

__all__ = ['flat_softmax']


@converts('FullyConnected')
def _dense(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, weight, *bias = inputs
    units = attributes.integer('num_hidden')
    bias = [] if attributes.flag('no_bias') else bias[:1]
    unify(weight.shape[0], units)
    if weight.rank != 2:
        weight = builder.reshape(weight, (units, product(weight.shape[1:])))
    flatten = attributes.flag('flatten', True)
    if flatten and data.rank != 2:
        data = builder.reshape(data, (data.shape[0], product(data.shape[1:])))
    unify(data.shape[-1], weight.shape[1])
    for value in bias:
        unify(value.shape[0], units)
    if data.rank == 2:
        return builder.node('Gemm', [data, weight, *bias], (data.shape[0], units), transB=1)
    result = builder.node('MatMul', [data, builder.transpose(weight, (1, 0))],
                          tuple(data.shape[:-1]) + (units,))
    return binary(builder, 'Add', result, bias[0]) if bias else result


def _spatial(attributes: Attributes, name: str, rank: int, default: int) -> list[int]:
    """An attribute that has a number for each axis of the kernel."""
    values = attributes.integers(name, ()) or (default,) * rank
    if len(values) != rank:
        raise Unsupported('%s %s for a kernel of %d axes' % (name, values, rank))
    return list(values)


def _channels_last(attributes: Attributes, rank: int) -> bool:
    layout = attributes.text('layout', 'NC')
    if layout in ('NWC', 'NHWC', 'NDHWC'):
        return True
    if layout not in ('NC', 'NCW', 'NCHW', 'NCDHW'):
        raise Unsupported('the layout %r' % layout)
    return False


def _first(builder: Builder, value: Value) -> Value:
    """`value` with its last axis, channels, moved behind the first."""
    return builder.transpose(value, [0, value.rank - 1, *range(1, value.rank - 1)])


def _last(builder: Builder, value: Value) -> Value:
    """The opposite of `_first`."""
    return builder.transpose(value, [0, *range(2, value.rank), 1])


@converts('Convolution', 'Convolution_v1')
def _convolution(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, weight, *bias = inputs
    kernel = attributes.integers('kernel')
    rank, last = len(kernel), _channels_last(attributes, len(kernel))
    strides, dilations = (_spatial(attributes, name, rank, 1) for name in ('stride', 'dilate'))
    pads = _spatial(attributes, 'pad', rank, 0)
    bias = [] if attributes.flag('no_bias') else bias[:1]
    filters, group = attributes.integer('num_filter'), attributes.integer('num_group', 1)
    if data.rank != rank + 2:
        raise SizeError('%d axes and %d axes' % (data.rank, rank + 2))
    if last:
        data, weight = _first(builder, data), _first(builder, weight)
    unify(data.shape[1], product([weight.shape[1]], group))
    shape: list[Any] = [data.shape[0], filters]
    for size, k, s, d, p in zip(data.shape[2:], kernel, strides, dilations, pads):
        size = resolve(size)
        reach = d * (k - 1) + 1
        if isinstance(size, int):
            shape.append((size + 2 * p - reach) // s + 1)
        else:
            shape.append(size if s == 1 and 2 * p == reach - 1 else None)
    result = builder.node('Conv', [data, weight, *bias], shape, kernel_shape=list(kernel),
                          strides=strides, dilations=dilations, pads=pads * 2, group=group)
    return _last(builder, result) if last else result


@converts('Deconvolution')
def _deconvolution(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, weight, *bias = inputs
    kernel = attributes.integers('kernel')
    rank = len(kernel)
    if _channels_last(attributes, rank) or attributes.integers('target_shape', ()):
        raise Unsupported('a Deconvolution with a target_shape or channels last')
    strides, dilations = (_spatial(attributes, name, rank, 1) for name in ('stride', 'dilate'))
    pads, more = (_spatial(attributes, name, rank, 0) for name in ('pad', 'adj'))
    bias = [] if attributes.flag('no_bias', True) else bias[:1]
    shape: list[Any] = [data.shape[0], attributes.integer('num_filter')]
    for size, k, s, d, p, a in zip(data.shape[2:], kernel, strides, dilations, pads, more):
        size = resolve(size)
        shape.append(s * (size - 1) + d * (k - 1) + 1 - 2 * p + a if isinstance(size, int)
                     else None)
    return builder.node('ConvTranspose', [data, weight, *bias], shape, kernel_shape=list(kernel),
                        strides=strides, dilations=dilations, pads=pads * 2, output_padding=more,
                        group=attributes.integer('num_group', 1))


@converts('Pooling', 'Pooling_v1')
def _pooling(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, kind = inputs[0], attributes.text('pool_type', 'max')
    if kind not in ('max', 'avg', 'sum'):
        raise Unsupported('pool_type %r' % kind)
    last = _channels_last(attributes, data.rank - 2)
    data = _first(builder, data) if last else data
    if attributes.flag('global_pool'):
        op = {'max': 'ReduceMax', 'avg': 'ReduceMean', 'sum': 'ReduceSum'}[kind]
        result = reduce(builder, op, data, list(range(2, data.rank)), True)
        return _last(builder, result) if last else result
    kernel = list(attributes.integers('kernel'))
    rank = len(kernel)
    if data.rank != rank + 2:
        raise SizeError('%d axes and %d axes' % (data.rank, rank + 2))
    strides, pads = _spatial(attributes, 'stride', rank, 1), _spatial(attributes, 'pad', rank, 0)
    shape: list[Any] = list(data.shape[:2])
    even = True
    for size, k, s, p in zip(data.shape[2:], kernel, strides, pads):
        size = resolve(size)
        known = isinstance(size, int)
        even = even and (s == 1 or isinstance(size, int) and (size + 2 * p - k) % s == 0)
        shape.append((size + 2 * p - k) // s + 1 if known else  # type: ignore[operator]
                     size if s == 1 and 2 * p == k - 1 else None)
    convention = attributes.text('pooling_convention', 'valid')
    if convention != 'valid' and not (convention == 'full' and even):
        raise Unsupported('the pooling convention %r where windows do not fit' % convention)
    options: dict[str, Any] = {}
    if kind != 'max':
        options = {'count_include_pad': int(kind == 'sum' or
                                            attributes.flag('count_include_pad', True))}
    result = builder.node('MaxPool' if kind == 'max' else 'AveragePool', [data], shape,
                          kernel_shape=kernel, strides=strides, pads=pads * 2, **options)
    if kind == 'sum':
        result = builder.node('Mul', [result, builder.scalar(math.prod(kernel), result)],
                              result.shape)
    return _last(builder, result) if last else result


def _along(builder: Builder, value: Value, axis: int, rank: int) -> Value:
    """A vector with as many axes as what it is applied to along `axis`."""
    shape: list[Any] = [1] * rank
    shape[axis] = value.shape[0]
    return builder.reshape(value, shape)


@converts('BatchNorm', 'BatchNorm_v1', 'CuDNNBatchNorm', '_contrib_SyncBatchNorm')
def _batch_norm(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, gamma, beta, mean, variance = inputs
    axis = positive(attributes.integer('axis', 1), data.rank)
    if attributes.flag('output_mean_var'):
        raise Unsupported('a BatchNorm that gives mean and variance')
    if attributes.flag('fix_gamma', True):
        gamma = builder.fill(1, gamma.shape, gamma.dtype)
    for value in (gamma, beta, mean, variance):
        unify(data.shape[axis], value.shape[0])
    epsilon = builder.scalar(attributes.number('eps', 1e-3), variance)
    scale = builder.node('Sqrt', [builder.node('Add', [variance, epsilon], variance.shape)],
                         variance.shape)
    scale = builder.node('Div', [gamma, scale], gamma.shape)
    moved = builder.node('Sub', [beta, builder.node('Mul', [mean, scale], mean.shape)],
                         beta.shape)
    result = builder.node('Mul', [data, _along(builder, scale, axis, data.rank)], data.shape)
    return builder.node('Add', [result, _along(builder, moved, axis, data.rank)], data.shape)


@converts('LayerNorm')
def _layer_norm(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, gamma, beta = inputs
    if attributes.flag('output_mean_var'):
        raise Unsupported('a LayerNorm that gives mean and variance')
    axis = positive(attributes.integer('axis', -1), data.rank)
    unify(unify(data.shape[axis], gamma.shape[0]), beta.shape[0])
    order = list(range(data.rank))
    order[axis], order[-1] = order[-1], order[axis]
    data = builder.transpose(data, order)
    result = builder.node('LayerNormalization', [data, gamma, beta], data.shape, axis=-1,
                          epsilon=attributes.number('eps', 1e-5))
    return builder.transpose(result, order)


@converts('InstanceNorm')
def _instance_norm(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('InstanceNormalization', inputs, inputs[0].shape,
                        epsilon=attributes.number('eps', 1e-3))


@converts('GroupNorm')
def _group_norm(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, gamma, beta = inputs
    if attributes.flag('output_mean_var'):
        raise Unsupported('a GroupNorm that gives mean and variance')
    groups = attributes.integer('num_groups', 1)
    flat = reshaped(builder, data, (data.shape[0], groups,
                                    divide(product(data.shape[1:]), groups)))
    mean = reduce(builder, 'ReduceMean', flat, [2], True)
    apart = builder.node('Sub', [flat, mean], flat.shape)
    variance = reduce(builder, 'ReduceMean', builder.node('Mul', [apart, apart], flat.shape),
                      [2], True)
    eps = builder.scalar(attributes.number('eps', 1e-5), variance)
    size = builder.node('Sqrt', [builder.node('Add', [variance, eps], variance.shape)],
                        variance.shape)
    result = builder.node('Div', [apart, size], flat.shape)
    by_group = resolve(gamma.shape[0]) == groups  # else by channel
    result = result if by_group else builder.reshape(result, data.shape)
    for op, value in (('Mul', gamma), ('Add', beta)):
        result = builder.node(op, [result, _along(builder, value, 1, result.rank)], result.shape)
    return builder.reshape(result, data.shape)


@converts('UpSampling')
def _up_sampling(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, scale = inputs[0], attributes.integer('scale')
    if attributes.text('sample_type') != 'nearest' or len(inputs) != 1:
        raise Unsupported('an UpSampling other than nearest of one input')
    shape = tuple(data.shape[:2]) + tuple(product([size], scale) for size in data.shape[2:])
    scales = builder.constant([1, 1] + [scale] * (data.rank - 2), 'float32')
    return builder.node('Resize', [data, None, scales], shape, mode='nearest',
                        coordinate_transformation_mode='asymmetric', nearest_mode='floor')


@converts('L2Normalization')
def _l2_normalisation(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, mode = inputs[0], attributes.text('mode', 'instance')
    axes = {'instance': list(range(1, data.rank)), 'channel': [1],
            'spatial': list(range(2, data.rank))}.get(mode)
    if not axes:
        raise Unsupported('mode %r for %d axes' % (mode, data.rank))
    squares = builder.node('Mul', [data, data], data.shape)
    total = reduce(builder, 'ReduceSum', squares, axes, True)
    total = builder.node('Add', [total, builder.scalar(attributes.number('eps', 1e-10), total)],
                         total.shape)
    return builder.node('Div', [data, builder.node('Sqrt', [total], total.shape)], data.shape)


@converts('LRN')
def _local_response(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('LRN', inputs, inputs[0].shape, size=attributes.integer('nsize'),
                        alpha=attributes.number('alpha', 1e-4),
                        beta=attributes.number('beta', 0.75), bias=attributes.number('knorm', 2.0))


@converts('_contrib_div_sqrt_dim')
def _scaled(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, width = inputs[0], resolve(inputs[0].shape[-1])
    if not isinstance(width, int):
        raise Unsupported('a width that is not known')
    return builder.node('Div', [data, builder.scalar(math.sqrt(width), data)], data.shape)


@converts('depth_to_space')
def _depth_to_space(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, size = inputs[0], attributes.integer('block_size')
    batch, depth, *sides = data.shape
    return builder.node('DepthToSpace', [data], (batch, divide(depth, size * size), *[
        product([side], size) for side in sides]), blocksize=size)


@converts('space_to_depth')
def _space_to_depth(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, size = inputs[0], attributes.integer('block_size')
    batch, depth, *sides = data.shape
    return builder.node('SpaceToDepth', [data], (batch, product([depth], size * size), *[
        divide(side, size) for side in sides]), blocksize=size)


def _softmax(op: str, sign: int = 1) -> Any:
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        data = inputs[0]
        axis = positive(attributes.integer('axis', -1), data.rank)
        factor = sign / attributes.number('temperature', 1.0)
        if 'dtype' in attributes:
            data = builder.cast(data, attributes.text('dtype'))
        within = None
        if attributes.flag('use_length') and len(inputs) > 1:
            if (data.rank, axis) != (2, 1):
                raise Unsupported('a softmax with lengths of %d axes' % data.rank)
            within = inside(builder, data, inputs[1], 1)
        if factor != 1:
            data = builder.node('Mul', [data, builder.scalar(factor, data)], data.shape)
        if within is None:
            return builder.node(op, [data], data.shape, axis=axis)
        lowest = builder.scalar(np.finfo(data.dtype).min, data)
        data = builder.where(within, data, lowest, data.shape)
        result = builder.node(op, [data], data.shape, axis=axis)
        return builder.where(within, result, builder.scalar(0, result), data.shape)
    return convert


converts('softmax')(_softmax('Softmax'))


converts('softmin')(_softmax('Softmax', -1))


converts('log_softmax')(_softmax('LogSoftmax'))


def flat_softmax(builder: Builder, data: Value) -> Value:
    """Softmax over all but the first axis."""
    if data.rank == 2:
        return builder.node('Softmax', [data], data.shape, axis=1)
    flat = builder.reshape(data, (data.shape[0], product(data.shape[1:])))
    return builder.reshape(builder.node('Softmax', [flat], flat.shape, axis=1), data.shape)


@converts('SoftmaxActivation')
def _softmax_activation(builder: Builder, attributes: Attributes,
                        inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if attributes.text('mode', 'instance') == 'channel':
        return builder.node('Softmax', [data], data.shape, axis=1)
    if data.rank != 2:
        raise Unsupported('a SoftmaxActivation of %d axes, on which builds of MXNet differ'
                          % data.rank)
    return flat_softmax(builder, data)
