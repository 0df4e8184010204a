"""Loss heads. They make their own gradients and ignore the gradient from above."""
from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import runs

__all__: list[str] = []


class _Head(torch.autograd.Function):
    """Returns `output`; the gradient of `x` is ``gradient(output)``."""

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


def _with_gradient(x: Tensor, output: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
    """A loss head's output. Its gradient is a function of the output."""
    return _Head.apply(x, output, gradient)


def _label_of(name: str, label: Tensor | None) -> Tensor:
    """The label. It may be left out if no gradients are computed."""
    if label is None:
        raise ValueError(f'give the label of {name}: gradients need it')
    return label


@runs('SoftmaxOutput', training=True)
def _softmax_output(training: bool, x: Tensor, label: Tensor | None = None, *, grad_scale: float,
                    normalization: str, out_grad: bool, ignore_label: float, use_ignore: bool,
                    multi_output: bool, preserve_shape: bool, smooth_alpha: float, name: str
                    ) -> Tensor:
    """The softmax; its gradient is that of MXNet's loss for the label."""
    # Channels are not smoothed.
    axis, alpha = (1, 0.) if multi_output else (-1, smooth_alpha)

    def gradient(p: Tensor, label: Tensor) -> Tensor:
        if label.shape == p.shape:  # probabilities
            grad = (p - label) * grad_scale
            return grad * p if out_grad else grad
        p = p.movedim(axis, -1)
        # If rows are flattened, MXNet reads only the first of each position's labels.
        places = label.reshape(-1)[:p.numel() // p.shape[-1]].reshape(p.shape[:-1]).long()
        # An ignored label need not be a class.
        hot = places.unsqueeze(-1) == torch.arange(p.shape[-1], device=p.device)
        ignored = places == int(ignore_label)
        grad = p - hot.to(p.dtype) * (1 - alpha)
        if alpha:
            grad = grad - (~hot).to(p.dtype) * (alpha / (p.shape[-1] - 1))
        if use_ignore:
            grad = grad.masked_fill(ignored.unsqueeze(-1), 0)
        factor: float | Tensor = grad_scale
        if multi_output and normalization != 'valid':
            factor = factor / (places.numel() // places.shape[0])
        if normalization == 'batch':
            factor = factor / (places.shape[0] if multi_output else places.numel())
        elif normalization == 'valid':
            factor = factor / (~ignored).sum().clamp(min=1)
        # With out_grad, MXNet 1.9 uses the output as the gradient from above.
        return (grad * factor * p if out_grad else grad * factor).movedim(-1, axis)

    # MXNet uses oneDNN in inference, which takes the last axis for arrays of 1 or 4 axes.
    last = not training and x.dtype == torch.float32 and x.dim() in (1, 4)
    rows = x.detach() if multi_output or preserve_shape or last else x.detach().reshape(
        x.shape[0], -1)
    p = F.softmax(rows, axis)

    def own_gradient(output: Tensor) -> Tensor:
        given = _label_of(name, label)
        return gradient(p, given.reshape(p.shape) if given.shape == x.shape else given).reshape(
            x.shape)
    return _with_gradient(x, p.reshape(x.shape), own_gradient)


def _regression(op: str, output: Callable[[Tensor], Tensor],
                slope: Callable[[Tensor, Tensor], Tensor]) -> None:
    @runs(op)
    def run(x: Tensor, label: Tensor | None = None, *, grad_scale: float, name: str) -> Tensor:
        def gradient(out: Tensor) -> Tensor:
            given = _label_of(name, label)
            each = given.numel() // given.shape[0]
            return slope(out, given.reshape(out.shape).to(out.dtype)) * (grad_scale / each)
        return _with_gradient(x, output(x.detach()), gradient)


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
    return _with_gradient(x, x.detach(), gradient)


runs('make_loss')(lambda x: _with_gradient(x, x.detach(), torch.ones_like))


@runs('WarpCTC')
def _warp_ctc(x: Tensor, label: Tensor | None = None, *, label_length: int, input_length: int,
              name: str) -> Tensor:
    """Each row's softmax; its gradient is that of the CTC loss for the label, with 0 as blank."""
    def gradient(p: Tensor) -> Tensor:
        labels = _label_of(name, label).reshape(-1, label_length)
        with torch.enable_grad():
            scores = x.detach().requires_grad_()
            steps = scores.reshape(-1, labels.shape[0], scores.shape[-1]).log_softmax(2)
            loss = F.ctc_loss(steps, labels[labels != 0].long(), torch.full(
                (labels.shape[0],), steps.shape[0]), (labels != 0).sum(1), reduction='sum')
        return torch.autograd.grad(loss, scores)[0]
    return _with_gradient(x, x.detach().flatten(1).softmax(1).reshape(x.shape), gradient)


@runs('SVMOutput')
def _svm_output(x: Tensor, label: Tensor | None = None, *, margin: float, use_linear: bool,
                regularization_coefficient: float, name: str) -> Tensor:
    """The scores; their gradient is that of MXNet's hinge loss for the label."""
    def gradient(x: Tensor) -> Tensor:
        places = _label_of(name, label).long().unsqueeze(-1)
        hot = places == torch.arange(x.shape[1], device=x.device)
        sign = torch.where(hot, 1., -1.).to(x.dtype)
        short = margin - sign * x
        size = (short > 0).to(x.dtype) if use_linear else 2 * short.clamp(min=0)
        return -sign * size * regularization_coefficient
    return _with_gradient(x, x.detach(), gradient)
