"""Layers: products, convolutions, pooling, norms, dropout, softmax."""
from __future__ import annotations

from typing import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from ..registry import Unsupported, operator
from . import DTYPES, Run

__all__: list[str] = []

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operator('FullyConnected')
def _fully_connected(node: Node) -> Run:
    flatten = node.flatten

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if flatten and x.dim() != 2:
            x = x.reshape(x.shape[0], -1)
        return F.linear(x, weight, bias)
    return run


def _window(node: Node, *keys: str) -> list[tuple[int, ...]]:
    """Sizes for each axis of a node's kernel, 0 or 1 where the node does not state them."""
    count = len(node.kernel)
    return [getattr(node, key) or (int(key in ('stride', 'dilate')),) * count for key in keys]


def _channels_last(node: Node) -> bool:
    """Whether the node's `layout` has them so; operators that have none have them first."""
    return 'layout' in node.attrs and bool(node.layout) and node.layout.index('C') > 1


def _first(x: Tensor) -> Tensor:
    """Move the channels from the last axis to axis 1."""
    return x.movedim(-1, 1)


@operator('Convolution', 'Convolution_v1')
def _convolution(node: Node) -> Run:
    stride, dilate, pad = _window(node, 'stride', 'dilate', 'pad')
    groups, convolve, last = (node.num_group, CONVOLUTIONS[len(node.kernel)],
                              _channels_last(node))

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if last:
            x, weight = _first(x), _first(weight)
        result = convolve(x, weight, bias, stride, pad, dilate, groups)
        return result.movedim(1, -1) if last else result
    return run


@operator('Deconvolution')
def _deconvolution(node: Node) -> Run:
    stride, dilate, pad, more = _window(node, 'stride', 'dilate', 'pad', 'adj')
    groups, convolve = node.num_group, TRANSPOSED[len(node.kernel)]
    if node.target_shape or _channels_last(node):
        raise Unsupported('target_shape and channels last are not supported')
    return lambda x, weight, bias=None: convolve(x, weight, bias, stride, pad, more, groups, dilate)


LARGEST = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
EVERYWHERE: dict[str, Callable[..., Tensor]] = {
    'max': torch.amax, 'avg': torch.mean, 'sum': torch.sum}


@operator('Pooling', 'Pooling_v1')
def _pooling(node: Node) -> Run:
    kind, everywhere, kernel = node.pool_type, node.global_pool, node.kernel
    count, (stride, pad) = len(kernel), _window(node, 'stride', 'pad')
    up = node.pooling_convention == 'full'
    padded = node.op == 'Pooling_v1' or node.count_include_pad is not False
    if kind == 'lp' or node.pooling_convention == 'same' or (kind == 'sum' and up):
        raise Unsupported('pool_type %s with the convention %s is not supported'
                          % (kind, node.pooling_convention))
    if not everywhere and kind != 'sum' and any(2 * p > k for p, k in zip(pad, kernel)):
        raise Unsupported('a padding of more than half the kernel is not supported')

    def pool(x: Tensor) -> Tensor:
        if everywhere:
            return EVERYWHERE[kind](x, tuple(range(2, x.dim())), True)
        if up:  # MXNet gives such windows, torch does not
            for size, k, s, p in zip(x.shape[2:], kernel, stride, pad):
                if -(-(size + 2 * p - k) // s) * s >= size + p:
                    raise ValueError('%s, Pooling, has a window that is nothing but padding, which '
                                     'is not supported' % node.name)
        if kind == 'max':
            return LARGEST[count](x, kernel, stride, pad, ceil_mode=up)
        if kind == 'avg':
            return AVERAGE[count](x, kernel, stride, pad, up, padded)
        ones = torch.ones((x.shape[1], 1, *kernel), dtype=x.dtype, device=x.device)
        return CONVOLUTIONS[count](x, ones, None, stride, pad, 1, x.shape[1])
    return (lambda x: pool(_first(x)).movedim(1, -1)) if _channels_last(node) else pool


@operator('UpSampling')
def _up_sampling(node: Node) -> Run:
    scale = node.scale
    if node.sample_type != 'nearest' or len(node.inputs) != 1:
        raise Unsupported('only sample_type nearest of one input is supported')
    return lambda x: F.interpolate(x, scale_factor=scale)


@operator('Dropout', training=True)
def _dropout(node: Node) -> Run:
    p, always, axes = node.p, node.mode == 'always', node.axes

    def run(training: bool, x: Tensor) -> Tensor:
        if not (training or always) or p == 0:
            return x
        if not axes:
            return F.dropout(x, p, True)
        sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        return x * F.dropout(x.new_ones(sizes), p, True)
    return run


# ---- norms

@operator('BatchNorm', 'BatchNorm_v1', '_contrib_SyncBatchNorm', training=True)
def _batch_norm(node: Node) -> Run:
    eps, momentum, both = node.eps, node.momentum, node.output_mean_var
    fixed, stored = node.fix_gamma, node.use_global_stats
    axis = node.axis if node.op == 'BatchNorm' else 1

    def further(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        # BatchNorm's output 'var' is 1 / standard deviation, that of its variants the variance.
        return mean.clone(), torch.rsqrt(var + eps) if node.op == 'BatchNorm' else var.clone()

    def run(training: bool, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor,
            var: Tensor) -> Tensor | tuple[Tensor, ...]:
        if fixed:
            gamma = torch.ones_like(gamma)
        x = x.movedim(axis, 1) if axis != 1 else x
        if training and not stored:
            # The moving variance is that of the batch as it is, where torch would take n / (n - 1).
            with torch.no_grad():
                axes = [a for a in range(x.dim()) if a != 1]
                new_var, new_mean = torch.var_mean(x, axes, unbiased=False)
                mean.mul_(momentum).add_(new_mean, alpha=1 - momentum)
                var.mul_(momentum).add_(new_var, alpha=1 - momentum)
            result = F.batch_norm(x, None, None, gamma, beta, True, 0, eps)
        else:
            new_mean, new_var = mean, var
            result = F.batch_norm(x, mean, var, gamma, beta, False, 0, eps)
        result = result.movedim(1, axis) if axis != 1 else result
        return (result, *further(new_mean, new_var)) if both else result
    return run


Norm = Callable[[Tensor, Tensor, Tensor], Tensor]


def _with_moments(node: Node, norm: Norm, rows: Callable[[Tensor], Tensor], axis: int,
                  keep: bool) -> Run:
    """`norm`, and, if the node gives them, mean and standard deviation of `rows` along `axis`.

    They are for programs to read: MXNet gives them no gradients.
    """
    eps = node.eps

    def run(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
        variance, mean = torch.var_mean(rows(x.detach()), axis, unbiased=False, keepdim=keep)
        return norm(x, gamma, beta), mean, torch.sqrt(variance + eps)
    return run if node.output_mean_var else norm


@operator('LayerNorm')
def _layer_norm(node: Node) -> Run:
    axis, eps = node.axis, node.eps

    def norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if axis % x.dim() == x.dim() - 1:
            return F.layer_norm(x, gamma.shape, gamma, beta, eps)
        return F.layer_norm(x.movedim(axis, -1), gamma.shape, gamma, beta, eps).movedim(-1, axis)
    return _with_moments(node, norm, lambda x: x, axis, True)


@operator('InstanceNorm')
def _instance_norm(node: Node) -> Run:
    eps = node.eps
    return lambda x, gamma, beta: F.instance_norm(x, None, None, gamma, beta, True, 0., eps)


@operator('GroupNorm')
def _group_norm(node: Node) -> Run:
    groups, eps = node.num_groups, node.eps

    def rows(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], groups, -1)

    def norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if gamma.numel() == x.shape[1]:
            return F.group_norm(x, groups, gamma, beta, eps)
        parts = rows(F.group_norm(x, groups, None, None, eps))
        return (parts * gamma.unsqueeze(1) + beta.unsqueeze(1)).reshape(x.shape)
    return _with_moments(node, norm, rows, 2, False)


@operator('L2Normalization')
def _l2_normalization(node: Node) -> Run:
    eps, mode = node.eps, node.mode

    def run(x: Tensor) -> Tensor:
        axes: Sequence[int] = {'instance': range(1, x.dim()), 'channel': (1,),
                               'spatial': range(2, x.dim())}[mode]
        squares = x * x
        size = torch.sum(squares, tuple(axes), True) if axes else squares
        return x / torch.sqrt(size + eps)
    return run


@operator('LRN')
def _local_response(node: Node) -> Run:
    size, alpha, beta, k = node.nsize, node.alpha, node.beta, node.knorm
    return lambda x: F.local_response_norm(x, size, alpha, beta, k)


@operator('_contrib_div_sqrt_dim')
def _div_sqrt_dim(node: Node) -> Run:
    def run(x: Tensor) -> Tensor:
        root = x.shape[-1] ** .5
        return x / root if x.is_floating_point() else (x / int(root)).to(x.dtype)
    return run


# ---- softmax

def _softmax(node: Node, function: Callable[..., Tensor] = F.softmax, sign: int = 1) -> Run:
    axis, heat, dtype = node.axis, node.temperature, DTYPES.get(node.dtype)
    lengths = node.use_length

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
operator('log_softmax')(lambda node: _softmax(node, F.log_softmax))
operator('softmin')(lambda node: _softmax(node, sign=-1))


@operator('SoftmaxActivation')
def _softmax_activation(node: Node) -> Run:
    axis = 1 if node.mode == 'channel' else -1
    return lambda x: F.softmax(x, axis)
