"""The functions with which the evaluator runs operators that have other gradients in a source, or
other numbers for places out of range. It runs the others by their text, and a few by the functions
that sources contain (`_source/pasted.py`).
"""
from __future__ import annotations

from typing import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.shapes.sizes import reduced_axes
from .._source.pasted import label_of, some, with_gradient
from .._source.torch_operators import runs

__all__: list[str] = []


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
