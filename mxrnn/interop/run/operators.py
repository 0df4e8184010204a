"""The functions with which the evaluator runs operators, where the text of a source would compare
itself with itself, needs known axes, or has other gradients than MXNet. It runs other operators by
their text, and a few by the functions that sources contain (`_source/pasted.py`).
"""
from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.attributes import channels_last
from ..._graph.graph import Node
from ..._graph.operator_table import numbers_of
from ..._graph.shapes.sizes import reduced_axes, reshaping
from .._source.pasted import DRAWS, label_of, run_rnn, some, with_gradient
from .._source.torch_operators import Device, Run, keywords, runs
from ..registry import Unsupported, operator

__all__: list[str] = []


# ---- creation

runs('_zeros', creates=True)(lambda shape, device, *, dtype: torch.full(
    shape, 0, dtype=dtype, device=device))
runs('_ones', creates=True)(lambda shape, device, *, dtype: torch.full(
    shape, 1, dtype=dtype, device=device))
runs('_full', creates=True)(lambda shape, device, *, value, dtype: torch.full(
    shape, value, dtype=dtype, device=device))


@operator('_arange', creates=True)
def _arange(node: Node) -> Run:
    start, stop, step = node.start, node.stop, node.step
    times, dtype = node.repeat, getattr(torch, node.dtype)
    if stop is None and node.infer_range:
        raise Unsupported('a range needs an end')
    if stop is None:
        start, stop = 0, start

    def run(shape: Sequence[int], device: Device) -> Tensor:
        values = torch.arange(start, stop, step, dtype=dtype, device=device)
        return values.repeat_interleave(times) if times > 1 else values
    return run


def _sampler(name: str, draw: Callable[..., Tensor]) -> None:
    """Enter the operator of a distribution that makes an array of a shape."""
    @operator('_random_' + name, creates=True)
    def of_shape(node: Node) -> Run:
        numbers = numbers_of(node)
        dtype = getattr(torch, node.dtype or 'float32')
        return lambda shape, device: draw(shape, *numbers, dtype=dtype, device=device)


for _name, _draw in DRAWS.items():
    _sampler(_name, _draw)


runs('_random_randint', creates=True)(lambda shape, device, *, low, high, dtype: torch.randint(
    low, high, shape, dtype=dtype or torch.int32, device=device))


# ---- layers

@runs('LeakyReLU', training=True)
def _leaky_relu(training: bool, x: Tensor, *gamma: Tensor, act_type: str, slope: float,
                lower_bound: float, upper_bound: float) -> Tensor | tuple[Tensor, Tensor]:
    if act_type == 'rrelu':
        mask = (torch.empty_like(x).uniform_(lower_bound, upper_bound) if training
                else torch.full_like(x, (lower_bound + upper_bound) / 2))
        return torch.where(x > 0, x, x * mask), mask
    if act_type == 'prelu':
        each = gamma[0]
        if each.dim() == 1 and each.numel() > 1 and x.dim() > 1:  # one for each channel
            each = each.reshape(-1, *[1] * (x.dim() - 2))
        return torch.where(x > 0, x, each * x)
    if act_type in ('leaky', 'elu'):
        return F.leaky_relu(x, slope) if act_type == 'leaky' else F.elu(x, slope)
    return F.selu(x) if act_type == 'selu' else F.gelu(x)


@runs('FullyConnected')
def _fully_connected(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, flatten: bool
                     ) -> Tensor:
    if flatten and x.dim() != 2:
        x = x.reshape(x.shape[0], -1)
    return F.linear(x, weight, bias)


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
        if kind == 'sum':
            ones = torch.ones((x.shape[1], 1, *kernel), dtype=x.dtype, device=x.device)
            return getattr(F, 'conv%dd' % count)(x, ones, None, stride, pad, 1, x.shape[1])
        return getattr(F, '%s_pool%dd' % (kind, count))(
            x, kernel, stride, pad, ceil_mode=up, **{'count_include_pad': padded} if (
                kind == 'avg') else {})
    last = node.op == 'Pooling' and channels_last(node.layout)
    return (lambda x: pool(x.movedim(-1, 1)).movedim(1, -1)) if last else pool


@runs('Dropout', training=True)
def _dropout(training: bool, x: Tensor, *, p: float, mode: str, axes: tuple[int, ...]) -> Tensor:
    if not (training or mode == 'always') or p == 0:
        return x
    if not axes:
        return F.dropout(x, p, True)
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return x * F.dropout(x.new_ones(sizes), p, True)


@operator('RNN', training=True)
def _rnn(node: Node) -> Run:
    """One call for all layers and directions."""
    for key in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if getattr(node, key) is not None:
            raise Unsupported('%s is not supported' % key)
    if node.use_sequence_length:
        raise Unsupported('use_sequence_length is not supported')
    begin, options = 2 if node.mode == 'lstm' else 1, keywords(run_rnn, node)

    def run(training: bool, data: Tensor, *inputs: Tensor) -> Any:
        outputs = run_rnn(training, data, inputs[:-begin], inputs[-begin:], **options)
        return outputs if node.state_outputs else outputs[0]
    return run


# ---- losses

def _regression(op: str, output: Callable[[Tensor], Tensor],
                slope: Callable[[Tensor, Tensor], Tensor]) -> None:
    @runs(op)
    def run(x: Tensor, label: Tensor | None = None, *, grad_scale: float, name: str) -> Tensor:
        def gradient(out: Tensor) -> Tensor:
            given = label_of(name, label)
            each = given.numel() // given.shape[0]
            return slope(out, given.reshape(out.shape).to(out.dtype)) * (grad_scale / each)
        return with_gradient(x, output(x.detach()), gradient)


_regression('LinearRegressionOutput', lambda x: x, torch.sub)
_regression('LogisticRegressionOutput', torch.sigmoid, torch.sub)
_regression('MAERegressionOutput', lambda x: x,
            lambda out, label: (out > label).to(out.dtype) * 2 - 1)


@runs('MakeLoss')
def _make_loss(x: Tensor, *, grad_scale: float, normalization: str, valid_thresh: float) -> Tensor:
    def gradient(x: Tensor) -> Tensor:
        if normalization == 'valid':
            return torch.full_like(x, grad_scale) / (x > valid_thresh).sum().clamp(min=1)
        rows = x.numel() // x.shape[-1] if normalization == 'batch' else 1
        return torch.full_like(x, grad_scale / rows)
    return with_gradient(x, x.detach(), gradient)


runs('make_loss')(lambda x: with_gradient(x, x.detach(), torch.ones_like))


# ---- reductions and look-ups

Axes = Sequence[int]


def _reduction(name: str, reduce: Callable[[Tensor, Axes, bool], Tensor]) -> None:
    """Register a reduction. `reduce` takes the array, the axes, and whether to keep the axes."""
    @runs(name)
    def run(x: Tensor, *, axis: Sequence[int] | None, keepdims: bool, exclude: bool) -> Tensor:
        over = reduced_axes(x.dim(), axis, exclude)
        # Given no axes, torch would reduce all of them.
        result = reduce(x, over, keepdims) if over else reduce(x.unsqueeze(0), (0,), False)
        return some(result.to(x.dtype))


class _Extreme(torch.autograd.Function):
    """The largest or smallest element; every element equal to it gets the whole gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, axes: Sequence[int],
                sign: int) -> Tensor:
        result = (torch.amax if sign > 0 else torch.amin)(x, axes, True)
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: torch.autograd.function.BackwardCFunction, grad: Tensor,
                 ) -> tuple[Tensor, None, None]:
        x, result = ctx.saved_tensors
        return grad * (x == result), None, None


def _extreme(x: Tensor, axes: Sequence[int], keep: bool, sign: int) -> Tensor:
    result: Tensor = _Extreme.apply(x, axes, sign)
    return result if keep else result.squeeze(axes)


_reduction('max', lambda x, axes, keep: _extreme(x, axes, keep, 1))
_reduction('min', lambda x, axes, keep: _extreme(x, axes, keep, -1))


def _places(index: Tensor, size: int, mode: str = 'clip') -> Tensor:
    index = index.long()
    return index % size if mode == 'wrap' else index.clamp(0, size - 1)


runs('Embedding', '_contrib_SparseEmbedding')(lambda index, weight: F.embedding(
    _places(index, weight.shape[0]), weight))


@runs('take')
def _take(x: Tensor, index: Tensor, *, axis: int, mode: str, name: str) -> Tensor:
    along = axis % x.dim()
    if mode == 'raise' and not ((index >= 0) & (index < x.shape[along])).all():
        raise IndexError('%s, take, has an index outside its axis of length %d'
                         % (name, x.shape[along]))
    rows = x.index_select(along, _places(index, x.shape[along], mode).reshape(-1))
    return rows.reshape(x.shape[:along] + index.shape + x.shape[along + 1:])


# ---- shapes

def _sizes(sizes: Sequence[int], codes: Sequence[int], reverse: bool = False) -> list[int]:
    """The shape that MXNet's Reshape makes with these `codes` from an array of `sizes`."""
    if reverse:
        return _sizes(sizes[::-1], codes[::-1])[::-1]
    result: list[int] = []
    for taken, made in reshaping(codes, len(sizes)):
        if len(made) == 2:
            result += [sizes[taken[0]] // other if size == -1 else size
                       for size, other in zip(made, made[::-1])]
        else:
            result.append(made[0] or math.prod(sizes[at] for at in taken))
    return result


runs('Reshape')(lambda x, *, shape, reverse: x.reshape(_sizes(list(x.shape), shape, reverse)))


@runs('reshape_like')
def _reshape_like(x: Tensor, like: Tensor, *, lhs_begin: int | None, lhs_end: int | None,
                  rhs_begin: int | None, rhs_end: int | None) -> Tensor:
    behind = x.shape[x.dim() if lhs_end is None else lhs_end:]
    return x.reshape(x.shape[:lhs_begin or 0] + like.shape[rhs_begin:rhs_end] + behind)


runs('Flatten')(lambda x: x.reshape(x.shape[0], -1))
runs('squeeze')(lambda x, *, axis: some(x.squeeze() if axis is None else x.squeeze(axis)))


@runs('SliceChannel')
def _split(x: Tensor, *, num_outputs: int, axis: int, squeeze_axis: bool, name: str, op: str
           ) -> Sequence[Tensor]:
    size = x.shape[axis]
    if size != num_outputs if squeeze_axis else size % num_outputs:
        raise ValueError('%s, %s, must split its input into %d %s, got an axis of length %d' % (
            name, op, num_outputs, 'steps' if squeeze_axis else 'equal parts', size))
    return x.unbind(axis) if squeeze_axis else x.split(size // num_outputs, axis)


@runs('_split_v2')
def _split_v2(x: Tensor, *, sections: int, indices: Sequence[int], axis: int, squeeze_axis: bool,
              name: str, op: str) -> Sequence[Tensor]:
    if sections:
        return _split(x, num_outputs=sections, axis=axis, squeeze_axis=squeeze_axis, name=name,
                      op=op)
    ends = [*indices[1:], x.shape[axis]]
    parts = [x.narrow(axis, begin, end - begin) for begin, end in zip(indices, ends)]
    return [part.squeeze(axis) for part in parts] if squeeze_axis else parts


@runs('broadcast_to')
def _broadcast_to(x: Tensor, *, shape: Sequence[int]) -> Tensor:
    return x.expand([old if new == 0 else new for old, new in zip(x.shape, shape)])


def _expanded(x: Tensor, axes: Sequence[int], sizes: Sequence[int]) -> Tensor:
    result = list(x.shape)
    for axis, size in zip(axes, sizes):
        result[axis] = size
    return x.expand(result)


runs('broadcast_axis')(lambda x, *, axis, size: _expanded(x, axis, size))


@runs('broadcast_like')
def _broadcast_like(x: Tensor, like: Tensor, *, lhs_axes: Sequence[int] | None,
                    rhs_axes: Sequence[int] | None) -> Tensor:
    if lhs_axes is None or rhs_axes is None:
        return x.expand(like.shape)
    return _expanded(x, lhs_axes, [like.shape[axis] for axis in rhs_axes])
