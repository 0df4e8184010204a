"""Layers: matrix products, Embedding, convolutions, pooling, normalisation, softmax, losses."""
from __future__ import annotations

import math

import numpy as np

from ..._graph.attributes import channels_last, normalised_axes
from ..._graph.graph import Node
from ..._graph.shapes.sizes import Size, divide, product, resolve
from ..registry import Converter, Unsupported, converts
from .arrays import indices
from .builder import Builder, Value
from .reductions import reduce
from .sequences import inside

__all__: list[str] = []


def _flat(builder: Builder, value: Value) -> Value:
    """`value` with two axes: the first, and all others joined."""
    return builder.reshape(value, (value.shape[0], product(value.shape[1:])))


@converts('FullyConnected')
def _dense(builder: Builder, node: Node, data: Value, weight: Value, *bias: Value) -> Value:
    biases = [] if node.no_bias else bias[:1]
    if node.flatten:
        data = _flat(builder, data)
    if data.rank == 2:
        return builder.node('Gemm', [data, weight, *biases], builder.out, transB=1)
    result = builder.node('MatMul', [data, builder.transpose(weight, (1, 0))], builder.out)
    return result + biases[0] if biases else result


@converts('Embedding', '_contrib_SparseEmbedding')
def _embedding(builder: Builder, node: Node, data: Value, table: Value) -> Value:
    places = indices(builder, data, table.shape[0])
    return builder.node('Gather', [table, places], builder.out, axis=0)


def _matrix(builder: Builder, value: Value, axis: int) -> Value:
    """`value` as a matrix of its `axis` (the first or last) and all others."""
    shape = (value.shape[0], product(value.shape[1:])) if axis == 0 else (
        product(value.shape[:-1]), value.shape[-1])
    return builder.reshape(value, shape)


@converts('dot')
def _dot(builder: Builder, node: Node, left: Value, right: Value) -> Value:
    if left.rank == 1 and right.rank == 1:
        return reduce(builder, 'ReduceSum', left * right, [0], True)
    first, second = node.transpose_a and left.rank > 1, node.transpose_b and right.rank > 1
    left = _matrix(builder, left, 0 if first else -1)
    right = _matrix(builder, right, right.rank - 1 if second else 0)
    left = builder.transpose(left, (1, 0)) if first else left
    right = builder.transpose(right, (1, 0)) if second else right
    result = builder.node('MatMul', [left, right], (left.shape[0], right.shape[1]))
    return builder.reshape(result, builder.out)


@converts('batch_dot')
def _batch_dot(builder: Builder, node: Node, left: Value, right: Value) -> Value:
    order = [*range(left.rank - 2), left.rank - 1, left.rank - 2]
    left = builder.transpose(left, order) if node.transpose_a else left
    right = builder.transpose(right, order) if node.transpose_b else right
    return builder.node('MatMul', [left, right], builder.out)


@converts('_linalg_gemm2')
def _gemm2(builder: Builder, node: Node, left: Value, right: Value) -> Value:
    rank = left.rank
    rows = node.axis % rank
    if rows == rank - 1:
        raise Unsupported('rows along the last axis')
    batch = [axis for axis in range(rank - 1) if axis != rows]
    left, right = (
        builder.transpose(side, [*batch, rank - 1, rows] if turned else [*batch, rows, rank - 1])
        for side, turned in ((left, node.transpose_a), (right, node.transpose_b)))
    result = builder.node('MatMul', [left, right], left.shape[:-1] + right.shape[-1:])
    if node.alpha != 1:
        result = result * node.alpha
    order = [*batch, rows, rank - 1]
    return builder.transpose(result, [order.index(axis) for axis in range(rank)])


@converts('_linalg_trmm')
def _trmm(builder: Builder, node: Node, triangle: Value, other: Value) -> Value:
    triangle = builder.node('Trilu', [triangle], triangle.shape, upper=int(not node.lower))
    if node.transpose:
        rank = triangle.rank
        triangle = builder.transpose(triangle, [*range(rank - 2), rank - 1, rank - 2])
    sides = (other, triangle) if node.rightside else (triangle, other)
    result = builder.node('MatMul', [*sides], builder.out)
    return result if node.alpha == 1 else result * node.alpha


# ---- windows over images and sequences

def _window(node: Node, *keys: str) -> list[list[int]]:
    """Attributes of a window, with a number for each axis of the kernel."""
    rank, found = len(node.kernel), []
    for key in keys:
        values = getattr(node, key) or (int(key in ('stride', 'dilate')),) * rank
        if len(values) != rank:
            raise Unsupported('%s %s for a kernel of %d axes' % (key, tuple(values), rank))
        found.append(list(values))
    return found


def _first(builder: Builder, node: Node, value: Value) -> Value:
    """`value` with channels behind the first axis, if the node's layout has them last."""
    return builder.transpose(value, [0, value.rank - 1, *range(1, value.rank - 1)]
                             ) if channels_last(node.layout) else value


def _out(builder: Builder, node: Node) -> list[Size | None]:
    """The inferred shape, with channels behind the first axis."""
    shape = list(builder.out)
    last = channels_last(getattr(node, 'layout', None))
    return [shape[0], shape[-1], *shape[1:-1]] if last else shape


def _last(builder: Builder, node: Node, value: Value) -> Value:
    """The inverse of `_first`."""
    return builder.transpose(value, [0, *range(2, value.rank), 1]
                             ) if channels_last(node.layout) else value


@converts('Convolution', 'Convolution_v1')
def _convolution(builder: Builder, node: Node, data: Value, weight: Value, *bias: Value) -> Value:
    strides, dilations, pads = _window(node, 'stride', 'dilate', 'pad')
    data, weight = _first(builder, node, data), _first(builder, node, weight)
    result = builder.node('Conv', [data, weight, *([] if node.no_bias else bias[:1])],
                          _out(builder, node), kernel_shape=list(node.kernel), strides=strides,
                          dilations=dilations, pads=pads * 2, group=node.num_group)
    return _last(builder, node, result)


@converts('Deconvolution')
def _deconvolution(builder: Builder, node: Node, data: Value, weight: Value, *bias: Value) -> Value:
    strides, dilations, pads, more = _window(node, 'stride', 'dilate', 'pad', 'adj')
    if channels_last(node.layout) or node.target_shape:
        raise Unsupported('a Deconvolution with a target_shape or channels last')
    return builder.node('ConvTranspose', [data, weight, *([] if node.no_bias else bias[:1])],
                        builder.out, kernel_shape=list(node.kernel), strides=strides,
                        dilations=dilations, pads=pads * 2, output_padding=more,
                        group=node.num_group)


converts('Pooling')(lambda builder, node, data: _last(builder, node, _pooled(
    builder, node, _first(builder, node, data), node.count_include_pad)))
converts('Pooling_v1')(lambda builder, node, data: _pooled(builder, node, data, True))


def _pooled(builder: Builder, node: Node, data: Value, padded: bool | None) -> Value:
    kind = node.pool_type
    if kind == 'lp':
        raise Unsupported("pool_type 'lp'")
    if node.global_pool:
        op = {'max': 'ReduceMax', 'avg': 'ReduceMean', 'sum': 'ReduceSum'}[kind]
        return reduce(builder, op, data, list(range(2, data.rank)), True)
    kernel, (strides, pads) = list(node.kernel), _window(node, 'stride', 'pad')
    if any(p >= k for p, k in zip(pads, kernel)):
        raise Unsupported('a pooling with windows that cover only padding')
    sides = list(map(resolve, data.shape[2:]))
    if node.pooling_convention != 'valid' and not (node.pooling_convention == 'full' and all(
            s == 1 or isinstance(size, int) and (size + 2 * p - k) % s == 0
            for size, k, s, p in zip(sides, kernel, strides, pads))):
        raise Unsupported('the pooling convention %r where windows do not fit'
                          % node.pooling_convention)
    shape = _out(builder, node)
    if kind == 'max':
        return builder.node('MaxPool', [data], shape, kernel_shape=kernel, strides=strides,
                            pads=pads * 2)
    counted = int(kind == 'sum' or padded is not False)
    result = builder.node('AveragePool', [data], shape, kernel_shape=kernel, strides=strides,
                          pads=pads * 2, count_include_pad=counted)
    return result * math.prod(kernel) if kind == 'sum' else result


@converts('UpSampling')
def _up_sampling(builder: Builder, node: Node, data: Value, *others: Value) -> Value:
    if node.sample_type != 'nearest' or others:
        raise Unsupported('an UpSampling that is not nearest with one input')
    scales = builder.constant([1, 1] + [node.scale] * (data.rank - 2), 'float32')
    return builder.node('Resize', [data, None, scales], builder.out, mode='nearest',
                        coordinate_transformation_mode='asymmetric', nearest_mode='floor')


# ---- normalisation

def _along(builder: Builder, value: Value, axis: int, rank: int) -> Value:
    """A vector with as many axes as the array that it is applied to along `axis`."""
    return builder.reshape(value, (1,) * axis + (value.shape[0],) + (1,) * (rank - axis - 1))


def _refuse_statistics(node: Node) -> None:
    if node.output_mean_var:
        raise Unsupported('a %s that returns mean and variance' % node.op)


@converts('BatchNorm', 'BatchNorm_v1', 'CuDNNBatchNorm', '_contrib_SyncBatchNorm')
def _batch_norm(builder: Builder, node: Node, data: Value, gamma: Value, beta: Value, mean: Value,
                variance: Value) -> Value:
    _refuse_statistics(node)
    axis = getattr(node, 'axis', 1) % data.rank
    if node.fix_gamma:
        gamma = builder.fill(1, gamma.shape, gamma.dtype)
    scale = gamma / (variance + node.eps).of('Sqrt')
    moved = beta - mean * scale
    return data * _along(builder, scale, axis, data.rank) + _along(builder, moved, axis, data.rank)


@converts('LayerNorm')
def _layer_norm(builder: Builder, node: Node, data: Value, gamma: Value, beta: Value) -> Value:
    _refuse_statistics(node)
    axis = node.axis % data.rank
    order = list(range(data.rank))
    order[axis], order[-1] = order[-1], order[axis]
    data = builder.transpose(data, order)
    result = builder.node('LayerNormalization', [data, gamma, beta], data.shape, axis=-1,
                          epsilon=node.eps)
    return builder.transpose(result, order)


converts('InstanceNorm')(lambda builder, node, data, gamma, beta: builder.node(
    'InstanceNormalization', [data, gamma, beta], data.shape, epsilon=node.eps))


@converts('GroupNorm')
def _group_norm(builder: Builder, node: Node, data: Value, gamma: Value, beta: Value) -> Value:
    _refuse_statistics(node)
    groups = node.num_groups
    flat = builder.reshape(data, (data.shape[0], groups, divide(product(data.shape[1:]), groups)))
    apart = flat - reduce(builder, 'ReduceMean', flat, [2], True)
    variance = reduce(builder, 'ReduceMean', apart * apart, [2], True)
    result = apart / (variance + node.eps).of('Sqrt')
    if resolve(gamma.shape[0]) != groups:  # by channel
        result = builder.reshape(result, data.shape)
    result = result * _along(builder, gamma, 1, result.rank)
    return builder.reshape(result + _along(builder, beta, 1, result.rank), data.shape)


@converts('L2Normalization')
def _l2_normalisation(builder: Builder, node: Node, data: Value) -> Value:
    axes = normalised_axes(node.mode, data.rank)
    if not axes or data.rank < 2:
        raise Unsupported('mode %r for %d axes' % (node.mode, data.rank))
    total = reduce(builder, 'ReduceSum', data * data, axes, True)
    return data / (total + node.eps).of('Sqrt')


@converts('LRN')
def _local_response(builder: Builder, node: Node, data: Value) -> Value:
    if node.alpha <= 0:
        raise Unsupported('an LRN with alpha %s' % node.alpha)
    return data.of('LRN', size=node.nsize, alpha=node.alpha, beta=node.beta, bias=node.knorm)


@converts('_contrib_div_sqrt_dim')
def _scaled(builder: Builder, node: Node, data: Value) -> Value:
    width = resolve(data.shape[-1])
    if not isinstance(width, int):
        raise Unsupported('an unknown width')
    return data / math.sqrt(width)


# ---- softmax

def _softmax(op: str, sign: int = 1) -> Converter:
    """A converter for a softmax."""
    def convert(builder: Builder, node: Node, data: Value, *lengths: Value) -> Value:
        axis = node.axis % data.rank
        factor = sign / (node.temperature or 1)
        data = builder.cast(data, node.dtype or data.dtype)
        if factor != 1:
            data = data * factor
        if not (node.use_length and lengths):
            return data.of(op, axis=axis)
        if (data.rank, axis) != (2, 1):
            raise Unsupported('a softmax with lengths of %d axes' % data.rank)
        within = inside(builder, data, lengths[0], 1)
        result = builder.where(within, data, np.finfo(data.dtype).min).of(op, axis=axis)
        return builder.where(within, result, 0)
    return convert


converts('softmax')(_softmax('Softmax'))
converts('softmin')(_softmax('Softmax', -1))
converts('log_softmax')(_softmax('LogSoftmax'))


def _flat_softmax(builder: Builder, data: Value) -> Value:
    """Softmax over all but the first axis."""
    return builder.reshape(_flat(builder, data).of('Softmax', axis=1), data.shape)


@converts('SoftmaxActivation')
def _softmax_activation(builder: Builder, node: Node, data: Value) -> Value:
    if node.mode == 'channel':
        return data.of('Softmax', axis=1)
    if data.rank != 2:
        raise Unsupported('a SoftmaxActivation of %d axes, for which builds of MXNet differ'
                          % data.rank)
    return _flat_softmax(builder, data)


# ---- losses, which become their predictions; labels are not inputs of the file

@converts('SoftmaxOutput')
def _softmax_output(builder: Builder, node: Node, data: Value) -> Value:
    if node.multi_output:
        return data.of('Softmax', axis=1)
    # For float32 arrays of one or four axes, MXNet's inference differs from its training, which
    # treats them as flat.
    if node.preserve_shape or data.rank in (1, 4) and data.dtype == np.float32:
        return data.of('Softmax', axis=data.rank - 1)
    return _flat_softmax(builder, data)


converts('WarpCTC')(lambda builder, node, data: _flat_softmax(builder, data))
converts('LogisticRegressionOutput')(lambda builder, node, data: data.of('Sigmoid'))
converts('LinearRegressionOutput', 'MAERegressionOutput', 'SVMOutput', 'MakeLoss', 'make_loss')(
    lambda builder, node, data: data)


@converts('softmax_cross_entropy')
def _cross_entropy(builder: Builder, node: Node, data: Value, label: Value) -> Value:
    places = builder.unsqueeze(builder.cast(label, 'int64'), 1)
    picked = builder.node('GatherElements', [data.of('LogSoftmax', axis=1), places], places.shape,
                          axis=1)
    return builder.reshape(-reduce(builder, 'ReduceSum', picked, [0, 1], False), (1,))
