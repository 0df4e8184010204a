"""Loss heads, whose gradients are their own: what comes from above is not used."""
from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from ..registry import operator
from . import Number, Run

__all__: list[str] = []


class _Head(torch.autograd.Function):
    """Gives `output`; the gradient of `x` is ``gradient(output)``."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, output: Tensor,
                gradient: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(output)
        ctx.gradient = gradient
        return output.view_as(output)

    @staticmethod
    def backward(ctx: torch.autograd.function.BackwardCFunction, above: Tensor
                 ) -> tuple[Tensor, None, None]:
        output, = ctx.saved_tensors
        return ctx.gradient(output), None, None


def _head(x: Tensor, output: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
    return _Head.apply(x, output, gradient)


def _given(node: Node, label: Tensor | None) -> Tensor:
    if label is None:
        raise ValueError('the label of %s must be given to compute gradients' % node.name)
    return label


@operator('SoftmaxOutput', training=True)
def _softmax_output(node: Node) -> Run:
    scale, how, own = node.grad_scale, node.normalization, node.out_grad
    ignored, ignores = int(node.ignore_label), node.use_ignore
    many, keep = node.multi_output, node.preserve_shape
    axis, alpha = (1, 0.) if many else (-1, node.smooth_alpha)  # channels are not smoothed

    def gradient(p: Tensor, label: Tensor) -> Tensor:
        if label.shape == p.shape:  # probabilities
            grad = (p - label) * scale
            return grad * p if own else grad
        p = p.movedim(axis, -1)
        # Of labels for each position MXNet reads the first ones where rows are flattened.
        places = label.reshape(-1)[:p.numel() // p.shape[-1]].reshape(p.shape[:-1]).long()
        # A label that is ignored may be no class.
        hot = places.unsqueeze(-1) == torch.arange(p.shape[-1], device=p.device)
        grad = p - hot.to(p.dtype) * (1 - alpha)
        if alpha:
            grad = grad - (~hot).to(p.dtype) * (alpha / (p.shape[-1] - 1))
        if ignores:
            grad = grad.masked_fill((places == ignored).unsqueeze(-1), 0)
        factor: Number = scale
        if many and how != 'valid':
            factor = factor / (places.numel() // places.shape[0])
        if how == 'batch':
            factor = factor / (places.shape[0] if many else places.numel())
        elif how == 'valid':
            factor = factor / (places != ignored).sum().clamp(min=1)
        # With out_grad MXNet 1.9 takes the output for the gradient from above.
        return (grad * factor * p if own else grad * factor).movedim(-1, axis)

    def run(training: bool, x: Tensor, label: Tensor | None = None) -> Tensor:
        # oneDNN, which MXNet uses in inference, takes the last axis of arrays of 1 or 4 axes.
        last = not training and x.dtype == torch.float32 and x.dim() in (1, 4)
        rows = x.detach() if many or keep or last else x.detach().reshape(x.shape[0], -1)
        p = F.softmax(rows, axis)

        def own_gradient(output: Tensor) -> Tensor:
            given = _given(node, label)
            return gradient(p, given.reshape(p.shape) if given.shape == x.shape else given).reshape(
                x.shape)
        return _head(x, p.reshape(x.shape), own_gradient)
    return run


def _regression(name: str, output: Callable[[Tensor], Tensor],
                slope: Callable[[Tensor, Tensor], Tensor]) -> None:
    def make(node: Node) -> Run:
        scale = node.grad_scale

        def gradient(out: Tensor, label: Tensor) -> Tensor:
            each = label.numel() // label.shape[0]
            return slope(out, label.reshape(out.shape).to(out.dtype)) * (scale / each)

        def run(x: Tensor, label: Tensor | None = None) -> Tensor:
            return _head(x, output(x.detach()), lambda out: gradient(out, _given(node, label)))
        return run
    operator(name)(make)


def _same(x: Tensor) -> Tensor:
    return x


_regression('LinearRegressionOutput', _same, torch.sub)
_regression('LogisticRegressionOutput', torch.sigmoid, torch.sub)
_regression('MAERegressionOutput', _same,
            lambda out, label: (out > label).to(out.dtype) * 2 - 1)


@operator('MakeLoss')
def _make_loss(node: Node) -> Run:
    scale, how, threshold = node.grad_scale, node.normalization, node.valid_thresh

    def gradient(x: Tensor) -> Tensor:
        if how == 'valid':
            return torch.full_like(x, scale) / (x > threshold).sum().clamp(min=1)
        rows = x.numel() // x.shape[-1] if how == 'batch' else 1
        return torch.full_like(x, scale / rows)

    return lambda x: _head(x, x.detach(), gradient)


@operator('make_loss')
def _make_plain_loss(node: Node) -> Run:
    return lambda x: _head(x, x.detach(), torch.ones_like)


@operator('SVMOutput')
def _svm_output(node: Node) -> Run:
    margin, linear, factor = node.margin, node.use_linear, node.regularization_coefficient

    def gradient(x: Tensor, label: Tensor) -> Tensor:
        hot = label.long().unsqueeze(-1) == torch.arange(x.shape[1], device=x.device)
        sign = torch.where(hot, 1., -1.).to(x.dtype)
        short = margin - sign * x
        size = (short > 0).to(x.dtype) if linear else 2 * short.clamp(min=0)
        return -sign * size * factor

    return lambda x, label=None: _head(x, x.detach(),
                                       lambda out: gradient(out, _given(node, label)))


@operator('softmax_cross_entropy')
def _softmax_cross_entropy(node: Node) -> Run:
    return lambda x, label: F.cross_entropy(x, label.long(), reduction='sum').reshape(1)


@operator('CTCLoss')
def _ctc_loss(node: Node) -> Run:
    own, other = node.use_data_lengths, node.use_label_lengths
    first = node.blank_label == 'first'

    def run(x: Tensor, label: Tensor, *lengths: Tensor) -> Tensor:
        rest = list(lengths)
        steps = (rest.pop(0).long() if own
                 else torch.full((x.shape[1],), x.shape[0], device=x.device))
        places = label.long()
        padding = 0 if first else -1
        # Without lengths a label ends at the first padding.
        sizes = rest.pop(0).long() if other else (places != padding).long().cumprod(1).sum(1)
        return F.ctc_loss(F.log_softmax(x, 2), places.clamp(min=0), steps, sizes,
                          blank=0 if first else x.shape[2] - 1, reduction='none',
                          zero_infinity=True)
    return run
