"""Layers: products, convolutions, pooling, norms, dropout, softmax."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from .table import Run, Unsupported, axis_of, dtype_of, operator

__all__: list[str] = []

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operator('FullyConnected')
def _fully_connected(node: Node) -> Run:
    flatten = node.get('flatten', True)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if flatten and x.dim() != 2:
            x = x.reshape(x.shape[0], -1)
        return F.linear(x, weight, bias)
    return run


def _tuple(node: Node, key: str, count: int, default: int) -> tuple[int, ...]:
    return axis_of(node.get(key)) or (default,) * count


def _channels_last(node: Node) -> bool:
    return str(node.get('layout', None) or 'NC').index('C') > 1


def _first(x: Tensor) -> Tensor:
    """Move the channels from the last axis to axis 1."""
    return x.movedim(-1, 1)


@operator('Convolution', 'Convolution_v1')
def _convolution(node: Node) -> Run:
    count = len(axis_of(node.get('kernel')) or ())
    stride, dilate = _tuple(node, 'stride', count, 1), _tuple(node, 'dilate', count, 1)
    pad, groups = _tuple(node, 'pad', count, 0), node.get('num_group', 1)
    convolve, last = CONVOLUTIONS[count], _channels_last(node)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if last:
            x, weight = _first(x), _first(weight)
        result = convolve(x, weight, bias, stride, pad, dilate, groups)
        return result.movedim(1, -1) if last else result
    return run


@operator('Deconvolution')
def _deconvolution(node: Node) -> Run:
    count = len(axis_of(node.get('kernel')) or ())
    stride, dilate = _tuple(node, 'stride', count, 1), _tuple(node, 'dilate', count, 1)
    pad, more = _tuple(node, 'pad', count, 0), _tuple(node, 'adj', count, 0)
    groups, convolve = node.get('num_group', 1), TRANSPOSED[count]
    if node.get('target_shape', ()) or _channels_last(node):
        raise Unsupported('target_shape and channels last are not supported')
    return lambda x, weight, bias=None: convolve(x, weight, bias, stride, pad, more, groups, dilate)


@operator('Pooling', 'Pooling_v1')
def _pooling(node: Node) -> Run:
    kind, everywhere = node.get('pool_type', 'max'), node.get('global_pool', False)
    kernel = axis_of(node.get('kernel')) or ()
    count = len(kernel)
    stride, pad = _tuple(node, 'stride', count, 1), _tuple(node, 'pad', count, 0)
    convention, last = node.get('pooling_convention', 'valid'), _channels_last(node)
    padded = node.get('count_include_pad', True)
    padded = padded is None or bool(padded)
    if kind not in ('max', 'avg', 'sum') or convention not in ('valid', 'full'):
        raise Unsupported('pool_type %s with the convention %s is not supported'
                         % (kind, convention))
    up = convention == 'full'
    largest = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
    average = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}

    def pool(x: Tensor) -> Tensor:
        if up and not everywhere:  # MXNet gives such windows, torch does not
            for size, k, s, p in zip(x.shape[2:], kernel, stride, pad):
                if -(-(size + 2 * p - k) // s) * s >= size + p:
                    raise ValueError('%s, Pooling, has a window that is nothing but padding, which '
                                     'is not supported' % node.name)
        if everywhere:
            axes = tuple(range(2, x.dim()))
            return {'max': torch.amax, 'avg': torch.mean, 'sum': torch.sum}[kind](x, axes, True)
        if kind == 'max':
            return largest[count](x, kernel, stride, pad, ceil_mode=up)
        if kind == 'avg':
            return average[count](x, kernel, stride, pad, up, padded)
        ones = torch.ones((x.shape[1], 1, *kernel), dtype=x.dtype, device=x.device)
        return CONVOLUTIONS[count](x, ones, None, stride, pad, 1, x.shape[1])

    if kind == 'sum' and up:
        raise Unsupported('pool_type sum with the convention full is not supported')
    return (lambda x: pool(_first(x)).movedim(1, -1)) if last else pool


@operator('UpSampling')
def _up_sampling(node: Node) -> Run:
    scale = node.get('scale')
    if node.get('sample_type') != 'nearest' or node.get('num_args', 1) != 1:
        raise Unsupported('only sample_type nearest of one input is supported')
    return lambda x: F.interpolate(x, scale_factor=scale, mode='nearest')


@operator('Dropout', training=True)
def _dropout(node: Node) -> Run:
    p, always = float(node.get('p', .5)), node.get('mode', 'training') == 'always'
    axes = axis_of(node.get('axes'))

    def run(training: bool, x: Tensor) -> Tensor:
        if not (training or always) or p == 0:
            return x
        if axes is None:
            return F.dropout(x, p, True)
        sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        return x * F.dropout(x.new_ones(sizes), p, True)
    return run


# ---- norms

@operator('BatchNorm', 'BatchNorm_v1', '_contrib_SyncBatchNorm', training=True)
def _batch_norm(node: Node) -> Run:
    eps, momentum = node.get('eps', 1e-3), node.get('momentum', .9)
    fixed, stored = node.get('fix_gamma', True), node.get('use_global_stats', False)
    axis, both = node.get('axis', 1), node.get('output_mean_var', False)

    def further(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        # BatchNorm's output 'var' is 1 / standard deviation, that of its variants the variance.
        return mean.clone(), torch.rsqrt(var + eps) if node.op == 'BatchNorm' else var.clone()

    def run(training: bool, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor,
            var: Tensor) -> Any:
        if fixed:
            gamma = torch.ones_like(gamma)
        x = x.movedim(axis, 1) if axis != 1 else x
        own = training and not stored
        if own:
            # The moving variance is that of the batch as it is, where torch would take n / (n - 1).
            with torch.no_grad():
                axes = [a for a in range(x.dim()) if a != 1]
                new_var, new_mean = torch.var_mean(x, axes, unbiased=False)
                mean.mul_(momentum).add_(new_mean, alpha=1 - momentum)
                var.mul_(momentum).add_(new_var, alpha=1 - momentum)
            result = F.batch_norm(x, None, None, gamma, beta, True, 0, eps)
        else:
            result, new_mean, new_var = F.batch_norm(
                x, mean, var, gamma, beta, False, 0, eps), mean, var
        result = result.movedim(1, axis) if axis != 1 else result
        return (result, *further(new_mean, new_var)) if both else result
    return run


def _moments(x: Tensor, axis: int, keep: bool, eps: float) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation, for programs to read: MXNet gives no gradients."""
    variance, mean = torch.var_mean(x.detach(), axis, unbiased=False, keepdim=keep)
    return mean, torch.sqrt(variance + eps)



@operator('LayerNorm')
def _layer_norm(node: Node) -> Run:
    axis, eps = node.get('axis', -1), node.get('eps', 1e-5)

    def normalised(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if axis % x.dim() == x.dim() - 1:
            return F.layer_norm(x, gamma.shape, gamma, beta, eps)
        return F.layer_norm(x.movedim(axis, -1), gamma.shape, gamma, beta, eps).movedim(-1, axis)

    if node.get('output_mean_var', False):
        return lambda x, gamma, beta: (normalised(x, gamma, beta), *_moments(x, axis, True, eps))
    return normalised


@operator('InstanceNorm')
def _instance_norm(node: Node) -> Run:
    eps = node.get('eps', 1e-3)
    return lambda x, gamma, beta: F.instance_norm(x, None, None, gamma, beta, True, 0., eps)


@operator('GroupNorm')
def _group_norm(node: Node) -> Run:
    groups, eps = node.get('num_groups', 1), node.get('eps', 1e-5)

    def normalised(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if gamma.numel() == x.shape[1]:
            return F.group_norm(x, groups, gamma, beta, eps)
        parts = F.group_norm(x, groups, None, None, eps).reshape(x.shape[0], groups, -1)
        return (parts * gamma.unsqueeze(1) + beta.unsqueeze(1)).reshape(x.shape)

    if node.get('output_mean_var', False):
        return lambda x, gamma, beta: (normalised(x, gamma, beta), *_moments(
            x.reshape(x.shape[0], groups, -1), 2, False, eps))
    return normalised


@operator('L2Normalization')
def _l2_normalization(node: Node) -> Run:
    eps, mode = node.get('eps', 1e-10), node.get('mode', 'instance')

    def run(x: Tensor) -> Tensor:
        axes = {'instance': range(1, x.dim()), 'channel': (1,),
                'spatial': range(2, x.dim())}[mode]
        squares = x * x
        size = torch.sum(squares, tuple(axes), True) if axes else squares
        return x / torch.sqrt(size + eps)
    return run


@operator('LRN')
def _local_response(node: Node) -> Run:
    size, alpha = node.get('nsize'), node.get('alpha', 1e-4)
    beta, k = node.get('beta', .75), node.get('knorm', 2)
    return lambda x: F.local_response_norm(x, size, alpha, beta, float(k))


@operator('_contrib_div_sqrt_dim')
def _div_sqrt_dim(node: Node) -> Run:
    return lambda x: x / x.shape[-1] ** .5


# ---- softmax

def _softmax(node: Node, log: bool = False, sign: int = 1) -> Run:
    axis, heat = node.get('axis', -1), node.get('temperature')
    lengths, dtype = node.get('use_length', False), dtype_of(node)
    function = F.log_softmax if log else F.softmax

    def run(x: Tensor, length: Tensor | None = None) -> Tensor:
        x = sign * x if sign != 1 else x
        x = x / heat if heat else x
        if not lengths or length is None:
            return function(x, axis).to(dtype or x.dtype)
        place = axis % x.dim()
        sizes = [1] * x.dim()
        sizes[place] = -1
        behind = (torch.arange(x.shape[place], device=x.device).reshape(sizes)
                  >= length.unsqueeze(place))
        return function(x.masked_fill(behind, -1e30), axis).masked_fill(behind, 0).to(
            dtype or x.dtype)
    return run


operator('softmax')(_softmax)
operator('log_softmax')(lambda node: _softmax(node, log=True))
operator('softmin')(lambda node: _softmax(node, sign=-1))


@operator('SoftmaxActivation')
def _softmax_activation(node: Node) -> Run:
    axis = 1 if node.get('mode', 'instance') == 'channel' else -1
    return lambda x: F.softmax(x, axis)
