"""Loss heads, whose gradients are their own: what comes from above is not used."""
from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from .table import Run, operator

__all__: list[str] = []


class _Head(torch.autograd.Function):
    """Gives `output`; the gradient of `x` is ``gradient(output)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: Tensor,
                gradient: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(output)
        ctx.gradient = gradient
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
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
    scale = float(node.get('grad_scale', 1))
    ignored = node.get('ignore_label', -1) if node.get('use_ignore', False) else None
    missing, many = node.get('ignore_label', -1), node.get('multi_output', False)
    keep, how = node.get('preserve_shape', False), node.get('normalization', 'null')
    # MXNet does not smooth along channels.
    own, alpha = node.get('out_grad', False), 0. if many else float(node.get('smooth_alpha', 0))
    axis = 1 if many else -1

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
        if ignored is not None:
            grad = grad.masked_fill((places == int(ignored)).unsqueeze(-1), 0)
        factor: Any = scale
        if many and how != 'valid':
            factor = factor / (places.numel() // places.shape[0])
        if how == 'batch':
            factor = factor / (places.shape[0] if many else places.numel())
        elif how == 'valid':
            factor = factor / (places != int(missing)).sum().clamp(min=1)
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


def _regression(output: Callable[[Tensor], Tensor],
                slope: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Node], Run]:
    def make(node: Node) -> Run:
        scale = float(node.get('grad_scale', 1))

        def gradient(out: Tensor, label: Tensor) -> Tensor:
            each = label.numel() // label.shape[0]
            return slope(out, label.reshape(out.shape).to(out.dtype)) * (scale / each)

        def run(x: Tensor, label: Tensor | None = None) -> Tensor:
            return _head(x, output(x.detach()), lambda out: gradient(out, _given(node, label)))
        return run
    return make


def _same(x: Tensor) -> Tensor:
    return x


operator('LinearRegressionOutput')(_regression(_same, torch.sub))
operator('LogisticRegressionOutput')(_regression(torch.sigmoid, torch.sub))
operator('MAERegressionOutput')(
    _regression(_same, lambda out, label: (out > label).to(out.dtype) * 2 - 1))


@operator('MakeLoss')
def _make_loss(node: Node) -> Run:
    scale, how = float(node.get('grad_scale', 1)), node.get('normalization', 'null')
    threshold = node.get('valid_thresh', 0)

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
    margin, linear = float(node.get('margin', 1)), node.get('use_linear', False)
    factor = float(node.get('regularization_coefficient', 1))

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
    own, other = node.get('use_data_lengths', False), node.get('use_label_lengths', False)
    first = node.get('blank_label', 'first') == 'first'

    def run(x: Tensor, label: Tensor, *lengths: Tensor) -> Tensor:
        rest = list(lengths)
        steps = (rest.pop(0).long() if own
                 else torch.full((x.shape[1],), x.shape[0], device=x.device))
        places = label.long()
        padding = 0 if first else -1
        # Without lengths a label ends at the first padding.
        sizes = rest.pop(0).long() if other else (places != padding).long().cumprod(1).sum(1)
        return F.ctc_loss(F.log_softmax(x, 2), places.clamp(min=0), steps, sizes,
                          blank=0 if first else x.shape[2] - 1, reduction='none')
    return run
