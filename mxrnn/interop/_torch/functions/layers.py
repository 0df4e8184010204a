"""Layers that torch has no single call for: products, pooling, norms, dropout."""
from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...._graph.attributes import channels_last
from ...._graph.graph import Node
from ...registry import Unsupported, operator
from .. import Run, runs

__all__: list[str] = []

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@runs('FullyConnected')
def _fully_connected(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, flatten: bool
                     ) -> Tensor:
    if flatten and x.dim() != 2:
        x = x.reshape(x.shape[0], -1)
    return F.linear(x, weight, bias)


def _batch_dot(x: Tensor, y: Tensor, *, transpose_a: bool, transpose_b: bool) -> Tensor:
    """The product of the last two axes; either side can be transposed."""
    return torch.matmul(x.transpose(-1, -2) if transpose_a else x,
                        y.transpose(-1, -2) if transpose_b else y)


@runs('_linalg_gemm2')
def _scaled_product(x: Tensor, y: Tensor, *, transpose_a: bool, transpose_b: bool, alpha: float,
                    axis: int) -> Tensor:
    """`alpha` times the product over the last axis and `axis`."""
    product = _batch_dot(x.movedim(axis, -2), y.movedim(axis, -2), transpose_a=transpose_a,
                         transpose_b=transpose_b)
    return (product * alpha).movedim(-2, axis)


def _first(x: Tensor) -> Tensor:
    """Move the channels from the last axis to axis 1."""
    return x.movedim(-1, 1)


LARGEST = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
EVERYWHERE: dict[str, Callable[..., Tensor]] = {
    'max': torch.amax, 'avg': torch.mean, 'sum': torch.sum}


@operator('Pooling', 'Pooling_v1')
def _pooling(node: Node) -> Run:
    kind, everywhere, kernel = node.pool_type, node.global_pool, node.kernel
    count = len(kernel)
    stride, pad = node.stride or (1,) * count, node.pad or (0,) * count
    up = node.pooling_convention == 'full'
    padded = node.op == 'Pooling_v1' or node.count_include_pad is not False
    if kind == 'lp' or node.pooling_convention == 'same' or (kind == 'sum' and up):
        raise Unsupported('pool_type %s with the convention %s is not supported'
                          % (kind, node.pooling_convention))
    if not everywhere and kind != 'sum' and any(2 * p > k for p, k in zip(pad, kernel)):
        raise Unsupported('padding of more than half the kernel is not supported')

    def pool(x: Tensor) -> Tensor:
        if everywhere:
            return EVERYWHERE[kind](x, tuple(range(2, x.dim())), True)
        if up:  # MXNet computes such windows, torch does not
            for size, k, s, p in zip(x.shape[2:], kernel, stride, pad):
                if -(-(size + 2 * p - k) // s) * s >= size + p:
                    raise ValueError('%s, Pooling, has a window that covers only padding: that is '
                                     'not supported' % node.name)
        if kind == 'max':
            return LARGEST[count](x, kernel, stride, pad, ceil_mode=up)
        if kind == 'avg':
            return AVERAGE[count](x, kernel, stride, pad, up, padded)
        ones = torch.ones((x.shape[1], 1, *kernel), dtype=x.dtype, device=x.device)
        return CONVOLUTIONS[count](x, ones, None, stride, pad, 1, x.shape[1])
    last = node.op == 'Pooling' and channels_last(node.layout)
    return (lambda x: pool(_first(x)).movedim(1, -1)) if last else pool


@runs('Dropout', training=True)
def _dropout(training: bool, x: Tensor, *, p: float, mode: str, axes: tuple[int, ...]) -> Tensor:
    if not (training or mode == 'always') or p == 0:
        return x
    if not axes:
        return F.dropout(x, p, True)
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return x * F.dropout(x.new_ones(sizes), p, True)


# ---- norms

@runs('BatchNorm', 'BatchNorm_v1', '_contrib_SyncBatchNorm', training=True)
def _batch_norm(training: bool, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor,
                *, eps: float, momentum: float, fix_gamma: bool, use_global_stats: bool,
                output_mean_var: bool, op: str, axis: int = 1) -> Tensor | tuple[Tensor, ...]:
    """BatchNorm with the variance of n elements; returns mean and variance as MXNet does."""
    gamma = torch.ones_like(gamma) if fix_gamma else gamma
    x = x.movedim(axis, 1) if axis != 1 else x
    if training and not use_global_stats:
        # MXNet's moving variance takes the batch's as it is; torch would multiply by n / (n - 1).
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
    if not output_mean_var:
        return result
    # BatchNorm's output 'var' is 1 / standard deviation; its variants return the variance.
    return result, new_mean.clone(), (
        torch.rsqrt(new_var + eps) if op == 'BatchNorm' else new_var.clone())


def _moments(x: Tensor, axis: int, keep: bool, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, for programs to read. MXNet passes no gradients through them."""
    variance, mean = torch.var_mean(x.detach(), axis, unbiased=False, keepdim=keep)
    return mean, torch.sqrt(variance + eps)


@runs('LayerNorm')
def _layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, axis: int, eps: float,
                output_mean_var: bool) -> Tensor | tuple[Tensor, ...]:
    """LayerNorm, and its mean and deviation."""
    last = axis % x.dim() == x.dim() - 1
    result = F.layer_norm(x if last else x.movedim(axis, -1), gamma.shape, gamma, beta, eps)
    result = result if last else result.movedim(-1, axis)
    return (result, *_moments(x, axis, True, eps)) if output_mean_var else result


@runs('GroupNorm')
def _group_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, num_groups: int, eps: float,
                output_mean_var: bool) -> Tensor | tuple[Tensor, ...]:
    """GroupNorm with a factor for each channel or each group; also its mean and deviation."""
    rows = x.shape[0], num_groups, -1
    if gamma.numel() == x.shape[1]:
        result = F.group_norm(x, num_groups, gamma, beta, eps)
    else:
        parts = F.group_norm(x, num_groups, None, None, eps).reshape(rows)
        result = (parts * gamma.unsqueeze(1) + beta.unsqueeze(1)).reshape(x.shape)
    return (result, *_moments(x.reshape(rows), 2, False, eps)) if output_mean_var else result


@runs('_contrib_div_sqrt_dim')
def _div_sqrt_dim(x: Tensor) -> Tensor:
    """An array divided by the root of its last axis' size; the root is truncated for integers."""
    root = x.shape[-1] ** .5
    return x / root if x.is_floating_point() else (x / int(root)).to(x.dtype)
