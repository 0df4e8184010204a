"""Operators that reduce, order or look up: sums, extremes, sorting, indices, products."""
from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from ..registry import operator
from . import DTYPES, Run, some

__all__: list[str] = []


# ---- reductions

def _axes(x: Tensor, axes: tuple[int, ...] | None, exclude: bool = False) -> tuple[int, ...]:
    every = range(x.dim())
    if not axes:
        return tuple(every)
    chosen = {axis % x.dim() for axis in axes}
    return tuple(axis for axis in every if (axis in chosen) != exclude)


def _reduction(name: str, reduce: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> None:
    """Enter a reduction, of which `reduce` takes the array, the axes and whether they are kept."""
    def make(node: Node) -> Run:
        axes, keep, exclude = node.axis, node.keepdims, node.exclude

        def run(x: Tensor) -> Tensor:
            over = _axes(x, axes, exclude)
            # Over no axes torch would reduce all.
            result = reduce(x, over, keep) if over else reduce(x.unsqueeze(0), (0,), False)
            return some(result.to(x.dtype))
        return run
    operator(name)(make)


class _Extreme(torch.autograd.Function):
    """The largest or smallest; every element that equals it gets the whole gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, axes: tuple[int, ...],
                sign: int) -> Tensor:
        result = (torch.amax if sign > 0 else torch.amin)(x, axes, True)
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: torch.autograd.function.BackwardCFunction, grad: Tensor,
                 ) -> tuple[Tensor, None, None]:
        x, result = ctx.saved_tensors
        return grad * (x == result), None, None


def _extreme(x: Tensor, axes: tuple[int, ...], keep: bool, sign: int) -> Tensor:
    result: Tensor = _Extreme.apply(x, axes, sign)
    return result if keep else result.squeeze(axes)


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.mean(x if x.is_floating_point() else x.double(), axes, keep)


_reduction('sum', torch.sum)
_reduction('mean', _mean)
_reduction('prod', _product)
_reduction('nansum', torch.nansum)
_reduction('nanprod', lambda x, axes, keep: _product(
    torch.where(torch.isnan(x), torch.ones_like(x), x), axes, keep))
_reduction('max', lambda x, axes, keep: _extreme(x, axes, keep, 1))
_reduction('min', lambda x, axes, keep: _extreme(x, axes, keep, -1))


@operator('norm')
def _norm(node: Node) -> Run:
    order, axes, keep, dtype = node.ord, node.axis, node.keepdims, DTYPES.get(node.out_dtype)

    def run(x: Tensor) -> Tensor:
        over = _axes(x, axes)
        size = (torch.sum(torch.abs(x), over, keep) if order == 1
                else torch.sqrt(torch.sum(x * x, over, keep)))
        return some(size.to(dtype or x.dtype))
    return run


@operator('moments')
def _moments(node: Node) -> Run:
    axes, keep = node.axes, node.keepdims

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        if not x.is_floating_point():
            raise ValueError('%s, moments, of integers is not supported' % node.name)
        over = _axes(x, axes)
        return (some(torch.mean(x, over, keep)),
                some(torch.var(x, over, unbiased=False, keepdim=keep)))
    return run


@operator('_np_cumsum')
def _cumsum(node: Node) -> Run:
    axis, dtype = node.axis, DTYPES.get(node.dtype)

    def run(x: Tensor) -> Tensor:
        x = (x.reshape(-1) if axis is None else x).to(dtype or x.dtype)
        return torch.cumsum(x, axis or 0, dtype=x.dtype)
    return run


def _argument(node: Node, find: Callable[..., Tensor]) -> Run:
    axis, keep = node.axis, node.keepdims

    def run(x: Tensor) -> Tensor:
        if axis is None:
            found = find(x.reshape(-1), 0).reshape([1] * x.dim() if keep else [1])
        else:
            found = find(x, axis, keep)
        return some(found.to(x.dtype))
    return run


operator('argmax')(lambda node: _argument(node, torch.argmax))
operator('argmin')(lambda node: _argument(node, torch.argmin))


@operator('argmax_channel')
def _argmax_channel(node: Node) -> Run:
    return lambda x: torch.argmax(x, 1).to(x.dtype)


# ---- order

def _ordered(x: Tensor, axis: int | None, ascending: bool) -> tuple[Tensor, Tensor, int]:
    if axis is None:
        x, axis = x.reshape(-1), 0
    values, places = torch.sort(x, dim=axis, descending=not ascending, stable=True)
    return values, places, axis


@operator('sort')
def _sort(node: Node) -> Run:
    axis, ascending = node.axis, node.is_ascend
    return lambda x: _ordered(x, axis, ascending)[:2]


@operator('argsort')
def _argsort(node: Node) -> Run:
    axis, ascending, dtype = node.axis, node.is_ascend, DTYPES[node.dtype]
    return lambda x: _ordered(x, axis, ascending)[1].to(dtype)


@operator('topk')
def _topk(node: Node) -> Run:
    axis, count, ascending = node.axis, node.k, node.is_ascend
    kind, dtype = node.ret_typ, DTYPES[node.dtype]

    def run(x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        values, places, along = _ordered(x, axis, ascending)
        first = count if count > 0 else values.shape[along]
        values, places = values.narrow(along, 0, first), places.narrow(along, 0, first)
        if kind == 'mask':
            flat = torch.zeros_like(x.reshape(-1) if axis is None else x)
            return flat.scatter(along, places, 1).reshape(x.shape)
        return places.to(dtype) if kind == 'indices' else (values, places.to(dtype))
    return run


# ---- look-ups

def _places(index: Tensor, size: int, mode: str = 'clip') -> Tensor:
    index = index.long()
    return index % size if mode == 'wrap' else index.clamp(0, size - 1)


@operator('Embedding', '_contrib_SparseEmbedding')
def _embedding(node: Node) -> Run:
    return lambda index, weight: F.embedding(_places(index, weight.shape[0]), weight)


@operator('take')
def _take(node: Node) -> Run:
    axis, mode = node.axis, node.mode

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
        1, _places(index, x.shape[1]).reshape(-1, 1)).reshape(-1)


@operator('pick')
def _pick(node: Node) -> Run:
    axis, keep, mode = node.axis, node.keepdims, node.mode

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
    sizes = node.shape
    return lambda x, index: x.new_zeros(sizes).index_put(tuple(index.long()), x)


@operator('one_hot')
def _one_hot(node: Node) -> Run:
    depth, on, off, dtype = node.depth, node.on_value, node.off_value, DTYPES[node.dtype]

    def run(index: Tensor) -> Tensor:
        hot = index.long().unsqueeze(-1) == torch.arange(depth, device=index.device)
        return torch.where(hot, on, off).to(dtype)
    return run


# ---- products

@operator('dot')
def _dot(node: Node) -> Run:
    axes = [0 if node.transpose_a else -1], [-1 if node.transpose_b else 0]
    return lambda x, y: some(torch.tensordot(x, y, axes))


def _product_of(left: bool, right: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The product of the last two axes, of which those of either side may be exchanged."""
    return lambda x, y: torch.matmul(x.transpose(-1, -2) if left else x,
                                     y.transpose(-1, -2) if right else y)


@operator('batch_dot')
def _batch_dot(node: Node) -> Run:
    return _product_of(node.transpose_a, node.transpose_b)


@operator('_linalg_gemm2')
def _gemm2(node: Node) -> Run:
    alpha, rows, multiply = node.alpha, node.axis, _product_of(node.transpose_a, node.transpose_b)
    return lambda x, y: (multiply(x.movedim(rows, -2), y.movedim(rows, -2)) * alpha).movedim(
        -2, rows)
