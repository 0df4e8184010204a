"""Operators that reduce, order or look up: sums, extremes, sorting, indices, products."""
from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from .table import OPERATORS, Operator, Run, axis_of, dtype_of, operator

__all__: list[str] = []


# ---- reductions

def _axes(x: Tensor, axes: tuple[int, ...] | None, exclude: bool) -> tuple[int, ...]:
    every = range(x.dim())
    if axes is None:
        return tuple(every)
    chosen = {axis % x.dim() for axis in axes}
    return tuple(axis for axis in every if (axis in chosen) != exclude)


def _reduction(reduce: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Operator:
    def make(node: Node) -> Run:
        axes, keep = axis_of(node.get('axis')), bool(node.get('keepdims', False))
        exclude = node.get('exclude', False) and axes is not None

        def run(x: Tensor) -> Tensor:
            over = _axes(x, axes, exclude)
            # Over no axes torch would reduce all.
            result = (reduce(x, over, keep) if over else reduce(x.unsqueeze(0), (0,), False)).to(
                x.dtype)
            # What is reduced to one number keeps one axis.
            return result if result.dim() else result.reshape(1)
        return run
    return Operator(make)


class _Extreme(torch.autograd.Function):
    """The largest or smallest; every element that equals it gets the whole gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: tuple[int, ...], sign: int) -> Tensor:
        result = (torch.amax if sign > 0 else torch.amin)(x, axes, True)
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, result = ctx.saved_tensors
        return grad * (x == result), None, None


def _extreme(sign: int) -> Operator:
    def reduce(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
        result = _Extreme.apply(x, axes, sign)
        return result if keep else result.squeeze(axes)
    return _reduction(reduce)


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.mean(x if x.is_floating_point() else x.double(), axes, keep)


OPERATORS.enter(_reduction(torch.sum), 'sum')
OPERATORS.enter(_reduction(_mean), 'mean')
OPERATORS.enter(_reduction(_product), 'prod')
OPERATORS.enter(_reduction(torch.nansum), 'nansum')
OPERATORS.enter(_reduction(lambda x, axes, keep: _product(
    torch.where(torch.isnan(x), torch.ones_like(x), x), axes, keep)), 'nanprod')
OPERATORS.enter(_extreme(1), 'max')
OPERATORS.enter(_extreme(-1), 'min')


@operator('norm')
def _norm(node: Node) -> Run:
    order, axes = node.get('ord', 2), axis_of(node.get('axis'))
    keep = bool(node.get('keepdims', False))

    def run(x: Tensor) -> Tensor:
        over = _axes(x, axes, False)
        size = (torch.sum(torch.abs(x), over, keep) if order == 1
                else torch.sqrt(torch.sum(x * x, over, keep)))
        return (size if size.dim() else size.reshape(1)).to(x.dtype)
    return run


@operator('moments')
def _moments(node: Node) -> Run:
    axes, keep = axis_of(node.get('axes')), bool(node.get('keepdims', False))

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        over = _axes(x, axes, False)
        mean, variance = (torch.mean(x, over, keep),
                          torch.var(x, over, unbiased=False, keepdim=keep))
        return (mean, variance) if mean.dim() else (mean.reshape(1), variance.reshape(1))
    return run


@operator('_np_cumsum')
def _cumsum(node: Node) -> Run:
    axis, dtype = node.get('axis'), dtype_of(node)
    return lambda x: torch.cumsum(x.reshape(-1) if axis is None else x, axis or 0,
                                  dtype=dtype or x.dtype)


def _argument(find: Callable[..., Tensor]) -> Operator:
    def make(node: Node) -> Run:
        axis, keep = node.get('axis'), bool(node.get('keepdims', False))

        def run(x: Tensor) -> Tensor:
            if axis is None:
                found = find(x.reshape(-1), 0).reshape([1] * x.dim() if keep else [1])
            else:
                found = find(x, axis, keep)
            return (found if found.dim() else found.reshape(1)).to(x.dtype)
        return run
    return Operator(make)


OPERATORS.enter(_argument(torch.argmax), 'argmax')
OPERATORS.enter(_argument(torch.argmin), 'argmin')


@operator('argmax_channel')
def _argmax_channel(node: Node) -> Run:
    return lambda x: torch.argmax(x, 1).to(x.dtype)


# ---- order

def _ordered(x: Tensor, axis: Any, ascending: bool) -> tuple[Tensor, Tensor, int]:
    if axis is None:
        x, axis = x.reshape(-1), 0
    values, places = torch.sort(x, dim=axis, descending=not ascending, stable=True)
    return values, places, axis


@operator('sort')
def _sort(node: Node) -> Run:
    axis, ascending = node.get('axis', -1), node.get('is_ascend', True)
    return lambda x: _ordered(x, axis, ascending)[:2]


@operator('argsort')
def _argsort(node: Node) -> Run:
    axis, ascending = node.get('axis', -1), node.get('is_ascend', True)
    dtype = dtype_of(node, 'float32')
    return lambda x: _ordered(x, axis, ascending)[1].to(dtype)


@operator('topk')
def _topk(node: Node) -> Run:
    axis, count = node.get('axis', -1), node.get('k', 1)
    ascending, dtype = node.get('is_ascend', False), dtype_of(node, 'float32')
    kind = node.get('ret_typ', 'indices')

    def run(x: Tensor) -> Any:
        values, places, along = _ordered(x, axis, ascending)
        first = count if count > 0 else values.shape[along]
        values, places = values.narrow(along, 0, first), places.narrow(along, 0, first)
        if kind == 'mask':
            flat = torch.zeros_like(x.reshape(-1) if axis is None else x)
            return flat.scatter(along, places, 1).reshape(x.shape)
        return places.to(dtype) if kind == 'indices' else (values, places.to(dtype))
    return run


# ---- look-ups

def _places(index: Tensor, size: int, mode: str) -> Tensor:
    index = index.long()
    return index % size if mode == 'wrap' else index.clamp(0, size - 1)


@operator('Embedding', '_contrib_SparseEmbedding')
def _embedding(node: Node) -> Run:
    return lambda index, weight: F.embedding(
        _places(index, weight.shape[0], 'clip'), weight)


@operator('take')
def _take(node: Node) -> Run:
    axis, mode = node.get('axis', 0), node.get('mode', 'clip')

    def run(x: Tensor, index: Tensor) -> Tensor:
        along = axis % x.dim()
        if mode == 'raise' and not ((index >= 0) & (index < x.shape[along])).all():
            raise IndexError('%s, take, has an index outside of the axis of length %d'
                             % (node.name, x.shape[along]))
        rows = x.index_select(along, _places(index, x.shape[along], mode).reshape(-1))
        return rows.reshape(x.shape[:along] + index.shape + x.shape[along + 1:])
    return run


@operator('batch_take')
def _batch_take(node: Node) -> Run:
    return lambda x, index: x.gather(
        1, _places(index, x.shape[1], 'clip').reshape(-1, 1)).reshape(-1)


@operator('pick')
def _pick(node: Node) -> Run:
    axis, keep = node.get('axis', -1), node.get('keepdims', False)
    mode = node.get('mode', 'clip')

    def run(x: Tensor, index: Tensor) -> Tensor:
        if axis is None:
            return x.reshape(-1)[_places(index, x.numel(), mode)]
        sizes = list(x.shape)
        sizes[axis] = 1
        picked = x.gather(axis, _places(index, x.shape[axis], mode).reshape(sizes))
        return picked if keep or x.dim() == 1 else picked.squeeze(axis)
    return run


@operator('gather_nd')
def _gather_nd(node: Node) -> Run:
    return lambda x, index: x[tuple(index.long())]


@operator('scatter_nd')
def _scatter_nd(node: Node) -> Run:
    sizes = axis_of(node.get('shape')) or ()

    def run(x: Tensor, index: Tensor) -> Tensor:
        return x.new_zeros(sizes).index_put(tuple(index.long()), x)
    return run


@operator('one_hot')
def _one_hot(node: Node) -> Run:
    depth, dtype = node.get('depth'), dtype_of(node, 'float32')
    on, off = node.get('on_value', 1), node.get('off_value', 0)

    def run(index: Tensor) -> Tensor:
        hot = index.long().unsqueeze(-1) == torch.arange(depth, device=index.device)
        return torch.where(hot, on, off).to(dtype)
    return run


# ---- products

@operator('dot')
def _dot(node: Node) -> Run:
    left, right = node.get('transpose_a', False), node.get('transpose_b', False)

    def run(x: Tensor, y: Tensor) -> Tensor:
        result = torch.tensordot(x, y, ([0 if left else -1], [-1 if right else 0]))
        return result if result.dim() else result.reshape(1)
    return run


@operator('batch_dot', '_linalg_gemm2')
def _product_of(node: Node) -> Run:
    left, right = node.get('transpose_a', False), node.get('transpose_b', False)
    alpha, rows = node.get('alpha', 1), node.get('axis', -2)

    def run(x: Tensor, y: Tensor) -> Tensor:
        x, y = x.movedim(rows, -2), y.movedim(rows, -2)
        result = torch.matmul(x.transpose(-1, -2) if left else x, y.transpose(-1, -2) if right
                              else y)
        return (result if alpha == 1 else alpha * result).movedim(-2, rows)
    return run
