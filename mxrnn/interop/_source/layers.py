"""Layers: matrix products, Embedding, convolutions, pooling, norms, dropout, softmax."""
from __future__ import annotations

import math
import re
from typing import Sequence

import numpy as np

from ..._graph.attributes import channels_last, normalised_axes
from ..._graph.graph import Node
from ..._graph.operator_table import has
from .emitter_api import Emitted, Expr, Unsupported, emits, number, writes
from .method_writer import MethodWriter
from .program_names import prefix_of

__all__: list[str] = []


def _layer_name(scope: MethodWriter, node: Node, weight: Expr, *others: Expr | None) -> str:
    """The weight's name without '_weight'. If that is missing or another layer has that name: the
    name of another parameter without its end, or the node's name."""
    prefixes = [prefix_of(each.parameter) for each in (weight, *others)
                if each is not None and each.parameter is not None]
    names = [each for each in prefixes if each]
    if names and scope.file.has(names[0]):  # its weight is also another layer's
        names = names[1:]
    return names[0] if names else re.sub(r'_t\d+(?=_)', '', node.name)


def _are_parameters(*values: Expr | None) -> bool:
    return all(value is None or value.parameter is not None and not value.swapped
               for value in values)


@emits('FullyConnected', any_order=lambda node, rank: rank > 2 and not node.flatten)
def _fully_connected(scope: MethodWriter, node: Node, x: Expr, weight: Expr,
                     bias: Expr | None = None) -> Emitted:
    text = format(x)
    if node.flatten and x.rank != 2:
        text = '%s.flatten(1)' % x.of if x.rank > 2 else '%s.unsqueeze(1)' % x.of
    if not _are_parameters(weight, bias):
        return 'F.linear(%s, %s%s)' % (text, weight, '' if bias is None else f', {bias}')
    layer = scope.module(_layer_name(scope, node, weight, bias), 'nn.Linear(%s, %s%s)' % (
        weight.shape[1], weight.shape[0], ', bias=False' * (bias is None)),
        weight=weight, bias=bias)
    return '%s(%s)' % (layer, text)


def _transposed(x: Expr, exchanged: bool) -> Expr:
    """The array, with its last two axes swapped if `exchanged`; a vector as it is."""
    if not exchanged or x.rank == 1:
        return x
    text = x.of + '.T' if x.rank == 2 else '%s.transpose(%d, %d)' % (x.of, x.rank - 2, x.rank - 1)
    return Expr(text, (*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


@emits('dot', 'batch_dot')
def _dot(scope: MethodWriter, node: Node, x: Expr, y: Expr) -> Emitted:
    if x.rank == y.rank == 1:
        return '%s.dot(%s).reshape(1)' % (x.of, y)
    if node.op == 'dot' and (y.rank > 2 or (x.rank > 2 and node.transpose_a)):
        return 'torch.tensordot(%s, %s, ([%d], [%d]))' % (
            x, y, 0 if node.transpose_a else -1, -1 if node.transpose_b else 0)
    return f'{_transposed(x, node.transpose_a):*} @ {_transposed(y, node.transpose_b):/}'


@emits('Embedding', '_contrib_SparseEmbedding')
def _embedding(scope: MethodWriter, node: Node, x: Expr, weight: Expr) -> Emitted:
    text = format(x.unswapped) if x.dtype == 'int64' else '%s.long()' % x.unswapped.of
    index = scope.graph.ending_in([node.inputs[0]])
    if not all(each.is_variable or has(each.op, 'moves') or has(each.op, 'joins') or each.op in (
            'stack', 'zeros_like', '_zeros') for each in index.nodes):
        # The graph numbers its rows itself, and longer sequences may have more rows.
        text = '%s.clamp(0, %s)' % (text, scope.size(weight.shape[0]) + ' - 1' if not isinstance(
            weight.shape[0], int) else weight.shape[0] - 1)
    if not _are_parameters(weight):
        text = 'F.embedding(%s, %s)' % (text, weight)
    else:
        layer = scope.module(_layer_name(scope, node, weight),
                             'nn.Embedding(%s, %s)' % weight.shape, weight=weight)
        text = '%s(%s)' % (layer, text)
    return Expr(text, scope.out[0], scope.dtypes[0], swapped=x.swapped)


def _sizes(sizes: Sequence[int]) -> str:
    """A size for each axis, as a single number if all are the same."""
    return str(sizes[0]) if len(set(sizes)) == 1 else str(tuple(sizes))


def _window(node: Node, **words: str) -> str:
    """The arguments of a window that differ from torch's defaults."""
    text = ''
    for key, word in words.items():
        sizes = getattr(node, key)
        if sizes and set(sizes) != {int(key in ('stride', 'dilate'))}:
            text += ', %s=%s' % (word, _sizes(sizes))
    return text


@emits('Convolution', 'Convolution_v1', 'Deconvolution')
def _convolution(scope: MethodWriter, node: Node, x: Expr, weight: Expr, bias: Expr | None = None,
                 ) -> Emitted:
    back, last, count = node.op == 'Deconvolution', channels_last(node.layout), len(node.kernel)
    if back and (node.target_shape or last):
        raise Unsupported('target_shape and channels last are not supported')
    text = _window(node, stride='stride', pad='padding', dilate='dilation',
                   **({'adj': 'output_padding'} if back else {}))
    text += ', groups=%d' % node.num_group * (node.num_group > 1)
    if not _are_parameters(weight, bias):
        arrays = ['%s.movedim(-1, 1)' % each.of if last else format(each) for each in (x, weight)]
        arrays += [format(bias)] * (bias is not None)
        found = 'F.conv%s%dd(%s%s)' % ('_transpose' * back, count, ', '.join(arrays), text)
        return found + '.movedim(1, -1)' * last
    places = {'weight': scope.file.places[str(weight.parameter)]}
    if bias is not None:
        places['bias'] = scope.file.places[str(bias.parameter)]
    if last:
        places['weight'] = np.moveaxis(places['weight'], -1, 1)
    filters, channels = places['weight'].shape[:2]
    channels, filters = (filters, channels * node.num_group) if back else (
        channels * node.num_group, filters)
    text += ', bias=False' * (bias is None)
    layer = scope.file.module(_layer_name(scope, node, weight), 'nn.Conv%s%dd(%d, %d, %s%s)' % (
        'Transpose' * back, count, channels, filters, _sizes(node.kernel), text), places)
    return '%s(%s.movedim(-1, 1)).movedim(1, -1)' % (layer, x.of) if last else '%s(%s)' % (layer, x)


@emits('Pooling', 'Pooling_v1')
def _pooling(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    kind = node.pool_type
    if kind == 'lp' or node.pooling_convention == 'same' or (
            kind == 'sum' and node.pooling_convention == 'full'):
        raise Unsupported('pool_type %s with the convention %s' % (kind, node.pooling_convention))
    if not node.global_pool and kind != 'sum' and any(
            2 * pad > size for pad, size in zip(node.pad, node.kernel)):
        raise Unsupported('padding of more than half the kernel')
    if node.op == 'Pooling' and channels_last(node.layout):
        first = Expr(x.of + '.movedim(-1, 1)', (x.shape[0], x.shape[-1], *x.shape[1:-1]), x.dtype)
        return '%s.movedim(1, -1)' % _pooled(scope, node, first)
    return _pooled(scope, node, x)


def _pooled(scope: MethodWriter, node: Node, x: Expr) -> str:
    kind, count = node.pool_type, len(node.kernel)
    if node.global_pool:
        axes = ', '.join(map(str, range(2, x.rank)))
        return '%s.%s((%s,), keepdim=True)' % (
            x.of, {'max': 'amax', 'avg': 'mean', 'sum': 'sum'}[kind], axes)
    up = node.pooling_convention == 'full'
    stride, pads = node.stride or (1,) * count, node.pad or (0,) * count
    if up and any(isinstance(size, int) and -(-(size + 2 * pad - k) // step) * step >= size + pad
                  for size, k, step, pad in zip(x.shape[2:], node.kernel, stride, pads)):
        raise Unsupported('a window that covers only padding')  # MXNet computes it, torch does not
    text = ', stride=%s' % _sizes(stride) * (tuple(stride) != tuple(node.kernel))
    text += _window(node, pad='padding') + ', ceil_mode=True' * up
    if kind == 'avg' and node.op == 'Pooling' and node.count_include_pad is False:
        text += ', count_include_pad=False'
    if kind == 'sum':
        return '(%d * F.avg_pool%dd(%s, %s%s))' % (math.prod(node.kernel), count, x, _sizes(
            node.kernel), text)
    return 'F.%s_pool%dd(%s, %s%s)' % (kind, count, x, _sizes(node.kernel), text)


@emits('UpSampling')
def _up_sampling(scope: MethodWriter, node: Node, x: Expr, *others: Expr) -> Emitted:
    if node.sample_type != 'nearest' or others:
        raise Unsupported('it is not a nearest UpSampling with one input')
    return 'F.interpolate(%s, scale_factor=%d)' % (x, node.scale)


@emits('Dropout', any_order=lambda node, rank: not node.axes)
def _dropout(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if not node.p:
        return x
    if node.axes:
        x = scope.named(x)
        sizes = scope.sizes(tuple(1 if axis in node.axes else size
                                  for axis, size in enumerate(x.shape)), x)
        return '%s * F.dropout(%s.new_ones(%s), %s, %s)' % (
            format(x, '*'), x, sizes, number(node.p),
            'True' if node.mode == 'always' else 'self.training')
    if node.mode == 'always':
        return 'F.dropout(%s, %s, True)' % (x, number(node.p))
    return '%s(%s)' % (scope.module('dropout', 'nn.Dropout(%s)' % number(node.p)), x)


# ---- norms

@emits('BatchNorm', 'BatchNorm_v1', '_contrib_SyncBatchNorm')
def _batch_norm(scope: MethodWriter, node: Node, x: Expr, gamma: Expr, beta: Expr, mean: Expr,
                var: Expr) -> Emitted:
    axis = node.axis % x.rank if node.op == 'BatchNorm' else 1
    if node.use_global_stats or scope.used(1) or scope.used(2) or not 2 <= x.rank <= 5 or (
            not _are_parameters(gamma, beta, mean, var)):
        raise Unsupported('it uses use_global_stats, mean and variance, or computed weights')
    places = {key: scope.file.places[str(value.parameter)] for key, value in (
        ('weight', gamma), ('bias', beta), ('running_mean', mean), ('running_var', var))}
    constants = {'num_batches_tracked': np.array(0)}
    fixed = []
    if node.fix_gamma:
        del places['weight']
        constants['weight'] = np.ones(beta.shape, 'float32')  # type: ignore[arg-type]
        fixed.append('{}.weight.requires_grad_(False)')
    momentum = number(1 - float(number(node.momentum)))
    made_by = 'nn.BatchNorm%dd(%s, eps=%s, momentum=%s)' % (
        max(x.rank - 2, 1), beta.shape[0], number(node.eps), momentum)
    layer = scope.file.module(_layer_name(scope, node, gamma), made_by, places, constants, *fixed)
    return '%s(%s)' % (layer, x) if axis == 1 else '%s(%s.movedim(%d, 1)).movedim(1, %d)' % (
        layer, x.of, axis, axis)


@emits('LayerNorm', any_order=lambda node, rank: node.axis == -1)
def _layer_norm(scope: MethodWriter, node: Node, x: Expr, gamma: Expr, beta: Expr) -> Emitted:
    if scope.used(1) or scope.used(2):
        raise Unsupported('its mean or deviation is read')
    axis, width, last = node.axis % x.rank, x.shape[node.axis], node.axis % x.rank == x.rank - 1
    text = format(x) if last else '%s.movedim(%d, -1)' % (x.of, axis)
    if _are_parameters(gamma, beta):
        layer = scope.module(_layer_name(scope, node, gamma), 'nn.LayerNorm(%s, eps=%s)' % (
            width, number(node.eps)), weight=gamma, bias=beta)
        text = '%s(%s)' % (layer, text)
    else:
        text = 'F.layer_norm(%s, (%s,), %s, %s, %s)' % (
            text, scope.size(width), gamma, beta, number(node.eps))
    return text if last else '%s.movedim(-1, %d)' % (text, axis)


writes('F.instance_norm({0}, weight={1}, bias={2}, eps={eps})', 'InstanceNorm')


@emits('GroupNorm')
def _group_norm(scope: MethodWriter, node: Node, x: Expr, gamma: Expr, beta: Expr) -> Emitted:
    if scope.used(1) or scope.used(2) or gamma.shape != x.shape[1:2]:
        raise Unsupported('its mean is read, or it scales groups')
    return 'F.group_norm(%s, %d, %s, %s, %s)' % (x, node.num_groups, gamma, beta, number(node.eps))


@emits('L2Normalization')
def _l2_normalization(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    axes = normalised_axes(node.mode, x.rank)
    x = scope.named(x)
    if not axes:
        return '%s / (%s.square() + %s).sqrt()' % (x, x, number(node.eps))
    return '%s / (%s.square().sum(%r, keepdim=True) + %s).sqrt()' % (x, x, axes, number(node.eps))


writes('F.local_response_norm({0}, {nsize}, {alpha}, {beta}, {knorm})', 'LRN')


# ---- softmax

@emits('softmax', 'log_softmax', 'softmin', any_order=lambda node, rank: (
    rank > 2 and node.axis == -1 and not node.use_length))
def _softmax(scope: MethodWriter, node: Node, x: Expr, length: Expr | None = None) -> Emitted:
    text = '-%s' % format(x, '**') if node.op == 'softmin' else format(x)
    if node.temperature:
        text = '%s / %s' % (format(x._replace(text=text), '*'), number(node.temperature))
    dtype = ', dtype=torch.' + node.dtype if node.dtype and node.dtype != x.dtype else ''
    name = 'log_softmax' if node.op == 'log_softmax' else 'softmax'
    if not node.use_length or length is None:
        return 'torch.%s(%s, %d%s)' % (name, text, node.axis, dtype)
    axis = node.axis % x.rank
    x = scope.named(x._replace(text=text))
    steps = 'torch.arange(%s, device=%s.device)' % (scope.size(x.shape[axis], x), x)
    if axis < x.rank - 1:
        steps += '.reshape(%s)' % ', '.join(['-1'] + ['1'] * (x.rank - 1 - axis))
    behind = scope.own('%s >= %s.unsqueeze(%d)' % (steps, length.of, axis), 'behind')
    return 'torch.%s(%s.masked_fill(%s, -1e30), %d%s).masked_fill(%s, 0)' % (
        name, x, behind, node.axis, dtype, behind)


emits('SoftmaxActivation')(lambda scope, node, x: 'torch.softmax(%s, %d)' % (
    x, 1 if node.mode == 'channel' else -1))


@emits('_contrib_div_sqrt_dim', any_order=lambda node, rank: rank > 2, reals=True)
def _div_sqrt_dim(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if not isinstance(x.shape[-1], int):
        raise Unsupported('a last axis of any size')
    return f'{x:*} / {x.shape[-1]} ** 0.5'
