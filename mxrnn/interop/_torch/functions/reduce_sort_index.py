"""Operators that reduce, order or look up: sums, extremes, sorting, indices."""
from __future__ import annotations

from typing import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...._graph.shapes.sizes import reduced_axes
from .. import runs, some

__all__: list[str] = []

Axes = Sequence[int]


# ---- reductions

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


# ---- order

def _ordered(x: Tensor, axis: int | None, ascending: bool) -> tuple[Tensor, Tensor, int]:
    """The elements sorted along an axis, their old places, and the axis."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    values, places = torch.sort(x, dim=axis, descending=not ascending, stable=True)
    return values, places, axis


@runs('topk')
def _largest(x: Tensor, *, axis: int | None, k: int, is_ascend: bool, ret_typ: str,
             dtype: torch.dtype) -> Tensor | tuple[Tensor, Tensor]:
    """The `k` largest or smallest elements: their values, their places, both, or a mask."""
    values, places, along = _ordered(x, axis, is_ascend)
    first = k if k > 0 else values.shape[along]
    values, places = values.narrow(along, 0, first), places.narrow(along, 0, first)
    if ret_typ == 'mask':
        flat = torch.zeros_like(x.reshape(-1) if axis is None else x)
        return flat.scatter(along, places, 1).reshape(x.shape)
    return places.to(dtype) if ret_typ == 'indices' else (values, places.to(dtype))


# ---- look-ups

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
