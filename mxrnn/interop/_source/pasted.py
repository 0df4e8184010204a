"""The functions that sources may contain: they are pasted as they stand here, with those that they
call. Each has a docstring and reads nothing but its arguments, torch and math.

`runs` makes some of them run an operator whose text in a source would be long.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .torch_operators import runs

__all__ = ['DRAWS', 'check_equal', 'check_labels', 'check_least', 'check_range', 'check_shape',
           'cube_root', 'gamma_function', 'label_of', 'mask_steps', 'remainder_or_0',
           'reverse_sequences', 'round_halves_away', 'round_halves_down', 'run_rnn', 'some',
           'with_gradient']


# ---- checks

def check_shape(name: str, x: Tensor, *sizes: object) -> None:
    """Refuse a shape that differs from the graph's; a name stands for any size."""
    if x.dim() != len(sizes) or any(size not in (str(size), n) for size, n in zip(sizes, x.shape)):
        wanted = ', '.join(map(str, sizes))
        raise ValueError(f'{name} must have the shape ({wanted}), got {tuple(x.shape)}')


def check_equal(names: str, *sizes: int) -> None:
    """Refuse unequal sizes of arrays that are equal in the graph."""
    if any(size != sizes[0] for size in sizes):
        raise ValueError(f'{names} must be equal: {", ".join(map(str, sizes))}')


def check_least(size: int, needed: int) -> None:
    """Refuse an axis that has fewer elements than are cut out of it."""
    if size < needed:
        raise ValueError(f'the axis must have at least {needed} elements to cut out, got {size}')


def check_range(name: str, x: Tensor, axis: int, least: int, most: int) -> None:
    """Refuse a size for which windows leave another number than the graph splits by."""
    if not least <= x.shape[axis] <= most:
        raise ValueError(f'{name}.shape[{axis}] must be from {least} to {most}, '
                         f'got {x.shape[axis]}')


def check_labels(labels: Tensor, lengths: Tensor, scores: Tensor, blank: int = -1) -> None:
    """Refuse labels for CTC that are too long, the blank, or not among the classes."""
    steps, _, classes = scores.shape
    read = labels[torch.arange(labels.shape[1], device=labels.device) < lengths.unsqueeze(1)]
    if (lengths > steps).any() or (read < 0).any() or (read >= classes).any() or (
            read == blank).any():
        raise ValueError(f'a label must be at most {steps} long, of classes from 0 to '
                         f'{classes - 1}' + f' without the blank, {blank}' * (blank >= 0))


# ---- creation

def some(x: Tensor) -> Tensor:
    """`x` with at least one axis, as all arrays of MXNet have."""
    return x if x.dim() else x.reshape(1)


@runs('_linspace', creates=True)
def even_steps(shape: Sequence[int], device: str | torch.device, *, start: float, stop: float,
                num: int, endpoint: bool, dtype: torch.dtype) -> Tensor:
    """Numbers from `start` to `stop`: `stop` is the last one, or the first that is left out."""
    values = torch.linspace(start, stop, num + (not endpoint), dtype=torch.float64)
    return values[:num].to(device, dtype)


@runs('_eye', creates=True)
def diagonal(shape: Sequence[int], device: str | torch.device, *, N: int, M: int, k: int,
              dtype: torch.dtype) -> Tensor:
    """Ones on the diagonal `k` places to the right, and zeros."""
    down, right = (torch.arange(size, device=device) for size in (N, M or N))
    return (right - down.unsqueeze(1) == k).to(dtype)


@runs('_contrib_arange_like')
def numbers_like(x: Tensor, *, start: float, step: float, repeat: int, axis: int | None) -> Tensor:
    """Numbers for the elements along one axis, or for all elements."""
    count = x.numel() if axis is None else x.shape[axis]
    values = torch.arange(count, device=x.device)
    values = torch.div(values, repeat, rounding_mode='floor') if repeat > 1 else values
    first, each = (start, step) if x.is_floating_point() else (int(start), int(step))
    values = (first + each * values).to(x.dtype)
    return values.reshape(x.shape) if axis is None else values


@runs('_sample_multinomial')
def draw_places(p: Tensor, *, shape: Sequence[int], get_prob: bool, dtype: torch.dtype
                 ) -> Tensor | tuple[Tensor, Tensor]:
    """Places along the last axis, drawn by their chances, with the logarithms of the chances."""
    rows = p.reshape(-1, p.shape[-1])
    drawn = torch.multinomial(rows.detach(), math.prod(shape), replacement=True)
    result = some(drawn.reshape(*p.shape[:-1], *shape).to(dtype))
    if not get_prob:
        return result
    return result, torch.log(rows.gather(1, drawn)).reshape(result.shape)


# ---- random numbers

def draw_uniform(shape: Sequence[int], low: Any, high: Any, **like: Any) -> Tensor:
    """Numbers between `low` and `high`."""
    return low + (high - low) * torch.rand(shape, **like)


def draw_normal(shape: Sequence[int], loc: Any, scale: Any, **like: Any) -> Tensor:
    """Normal numbers around `loc`."""
    return loc + scale * torch.randn(shape, **like)


def draw_exponential(shape: Sequence[int], lam: Any, **like: Any) -> Tensor:
    """Exponential numbers of the rate `lam`."""
    return torch.empty(shape, **like).exponential_() / lam


def draw_gamma(shape: Sequence[int], alpha: Any, beta: Any, **like: Any) -> Tensor:
    """Numbers of a gamma distribution of the shape `alpha` and the scale `beta`."""
    return torch._standard_gamma(torch.ones(shape, **like) * alpha) * beta


def draw_poisson(shape: Sequence[int], lam: Any, **like: Any) -> Tensor:
    """Counts with the mean `lam`."""
    return torch.poisson(torch.ones(shape, **like) * lam)


def draw_failures(shape: Sequence[int], k: Any, p: Any, **like: Any) -> Tensor:
    """Numbers of failures before `k` successes, each of which has the chance `p`."""
    return torch.poisson(draw_gamma(shape, k, (1 - p) / p, **like))


def draw_dispersed(shape: Sequence[int], mu: Any, alpha: Any, **like: Any) -> Tensor:
    """Counts with the mean `mu` and the dispersion `alpha`."""
    return torch.poisson(draw_gamma(shape, 1 / alpha, mu * alpha, **like))


#: By distribution: draws an array of a given shape from the operator's parameters.
DRAWS: dict[str, Callable[..., Tensor]] = {
    'uniform': draw_uniform, 'normal': draw_normal, 'exponential': draw_exponential,
    'gamma': draw_gamma, 'poisson': draw_poisson, 'negative_binomial': draw_failures,
    'generalized_negative_binomial': draw_dispersed}


# ---- element by element

def round_halves_away(x: Tensor) -> Tensor:
    """To the nearest integer, halves away from zero."""
    return torch.sign(x) * torch.floor(torch.abs(x) + .5)


def cube_root(x: Tensor) -> Tensor:
    """The cube root, of negative numbers as well."""
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def round_halves_down(x: Tensor) -> Tensor:
    """To the nearest integer, halves towards minus infinity."""
    below, above = torch.floor(x), torch.ceil(x)
    return torch.where(x - below <= above - x, below, above)


def gamma_function(x: Tensor) -> Tensor:
    """The gamma function: its sign alternates below 0, and it is NaN at its poles there."""
    at = x.detach()
    below = torch.floor(at)
    sign = torch.where((below < 0) & (torch.remainder(below, 2) == 1), -1., 1.)
    return torch.exp(torch.lgamma(x)) * torch.where((below == at) & (at < 0), torch.nan, sign).to(
        x.dtype)


def remainder_or_0(x: Tensor, y: Tensor) -> Tensor:
    """The remainder with the divisor's sign; 0 where the divisor is 0."""
    zero = y == 0
    return torch.where(zero, torch.zeros_like(x), torch.remainder(x, torch.where(zero, 1, y)))


# ---- layers

@runs('_linalg_gemm2')
def scaled_product(x: Tensor, y: Tensor, *, transpose_a: bool, transpose_b: bool, alpha: float,
                    axis: int) -> Tensor:
    """`alpha` times the product over the last axis and `axis`."""
    x, y = x.movedim(axis, -2), y.movedim(axis, -2)
    product = (x.mT if transpose_a else x) @ (y.mT if transpose_b else y)
    return (product * alpha).movedim(-2, axis)


@runs('_linalg_trmm')
def triangle_product(x: Tensor, y: Tensor, *, transpose: bool, rightside: bool, lower: bool,
                     alpha: float) -> Tensor:
    """`alpha` times the product of a triangle of `x` and `y`."""
    x = torch.tril(x) if lower else torch.triu(x)
    x = x.transpose(-1, -2) if transpose else x
    return torch.matmul(*((y, x) if rightside else (x, y))) * alpha


@runs('BatchNorm', 'BatchNorm_v1', '_contrib_SyncBatchNorm', training=True)
def batch_norm(training: bool, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor,
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


def moments(x: Tensor, axis: int, keep: bool, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, for programs to read. MXNet passes no gradients through them."""
    variance, mean = torch.var_mean(x.detach(), axis, unbiased=False, keepdim=keep)
    return mean, torch.sqrt(variance + eps)


@runs('LayerNorm')
def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, axis: int, eps: float,
                output_mean_var: bool) -> Tensor | tuple[Tensor, ...]:
    """LayerNorm, and its mean and deviation."""
    last = axis % x.dim() == x.dim() - 1
    result = F.layer_norm(x if last else x.movedim(axis, -1), gamma.shape, gamma, beta, eps)
    result = result if last else result.movedim(-1, axis)
    return (result, *moments(x, axis, True, eps)) if output_mean_var else result


@runs('GroupNorm')
def group_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, num_groups: int, eps: float,
                output_mean_var: bool) -> Tensor | tuple[Tensor, ...]:
    """GroupNorm with a factor for each channel or each group; also its mean and deviation."""
    rows = x.shape[0], num_groups, -1
    if gamma.numel() == x.shape[1]:
        result = F.group_norm(x, num_groups, gamma, beta, eps)
    else:
        parts = F.group_norm(x, num_groups, None, None, eps).reshape(rows)
        result = (parts * gamma.unsqueeze(1) + beta.unsqueeze(1)).reshape(x.shape)
    return (result, *moments(x.reshape(rows), 2, False, eps)) if output_mean_var else result


@runs('_contrib_div_sqrt_dim')
def div_sqrt_dim(x: Tensor) -> Tensor:
    """An array divided by the root of its last axis' size; the root is truncated for integers."""
    root = x.shape[-1] ** .5
    return x / root if x.is_floating_point() else (x / int(root)).to(x.dtype)


def run_rnn(training: bool, data: Tensor, arrays: Sequence[Tensor], states: Sequence[Tensor], *,
            mode: str, state_size: int, num_layers: int, bidirectional: bool, p: float
            ) -> tuple[Tensor, ...]:
    """The outputs and final states of an RNN, by cuDNN on a GPU and by oneDNN on a CPU.

    The arrays are those of all cells (first weights, then biases), or one vector of them all. A
    state's batch may be 1 and is then repeated. Missing states are zeros.
    """
    cells = num_layers * (2 if bidirectional else 1)
    rows = state_size * {'lstm': 4, 'gru': 3}.get(mode, 1)
    shapes = [(rows, data.shape[2] if cell < cells // num_layers else (
        state_size * cells // num_layers)) for cell in range(cells)]
    wanted = [*(each for shape in shapes for each in (shape, (rows, state_size))),
              *[(rows,)] * (2 * cells)]
    # cuDNN needs the arrays side by side, as in the vector.
    if data.is_cuda or [tuple(array.shape) for array in arrays] != wanted:
        vector = torch.cat([each.reshape(-1) for each in arrays]) if len(arrays) > 1 else arrays[0]
        parts = torch.split(vector, [math.prod(shape) for shape in wanted])
        arrays = [part.view(shape) for part, shape in zip(parts, wanted)]
    # torch wants each cell's arrays together.
    weights = [arrays[at] for cell in range(cells) for at in (
        2 * cell, 2 * cell + 1, 2 * (cells + cell), 2 * (cells + cell) + 1)]
    size = cells, data.shape[1], state_size
    states = states or [data.new_zeros(size)] * (2 if mode == 'lstm' else 1)
    begin = [state.expand(size).contiguous() for state in states]
    kernel = getattr(torch._VF, mode)
    found: tuple[Tensor, ...] = kernel(
        data, begin if mode == 'lstm' else begin[0], weights, True, num_layers,
        p if training and num_layers > 1 else 0., training, bidirectional, False)
    return found


# ---- losses, which make their own gradients and ignore the gradient from above

class Head(torch.autograd.Function):
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


def with_gradient(x: Tensor, output: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
    """A loss head's output. Its gradient is a function of the output."""
    return Head.apply(x, output, gradient)


def label_of(name: str, label: Tensor | None) -> Tensor:
    """The label. It may be left out if no gradients are computed."""
    if label is None:
        raise ValueError(f'give the label of {name}: gradients need it')
    return label


@runs('SoftmaxOutput', training=True)
def softmax_output(training: bool, x: Tensor, label: Tensor | None = None, *, grad_scale: float,
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
        given = label_of(name, label)
        return gradient(p, given.reshape(p.shape) if given.shape == x.shape else given).reshape(
            x.shape)
    return with_gradient(x, p.reshape(x.shape), own_gradient)


@runs('WarpCTC')
def warp_ctc(x: Tensor, label: Tensor | None = None, *, label_length: int, name: str) -> Tensor:
    """Each row's softmax; its gradient is that of the CTC loss for the label, with 0 as blank."""
    def gradient(p: Tensor) -> Tensor:
        labels = label_of(name, label).reshape(-1, label_length)
        with torch.enable_grad():
            scores = x.detach().requires_grad_()
            steps = scores.reshape(-1, labels.shape[0], scores.shape[-1]).log_softmax(2)
            loss = F.ctc_loss(steps, labels[labels != 0].long(), torch.full(
                (labels.shape[0],), steps.shape[0]), (labels != 0).sum(1), reduction='sum')
        return torch.autograd.grad(loss, scores)[0]
    return with_gradient(x, x.detach().flatten(1).softmax(1).reshape(x.shape), gradient)


@runs('SVMOutput')
def svm_output(x: Tensor, label: Tensor | None = None, *, margin: float, use_linear: bool,
                regularization_coefficient: float, name: str) -> Tensor:
    """The scores; their gradient is that of MXNet's hinge loss for the label."""
    def gradient(x: Tensor) -> Tensor:
        places = label_of(name, label).long().reshape(len(x), 1)
        hot = places == torch.arange(x.shape[1], device=x.device)
        sign = torch.where(hot, 1., -1.).to(x.dtype)
        short = margin - sign * x
        size = (short > 0).to(x.dtype) if use_linear else 2 * short.clamp(min=0)
        return -sign * size * regularization_coefficient
    return with_gradient(x, x.detach(), gradient)


# ---- order and parts

@runs('topk')
def largest(x: Tensor, *, axis: int | None, k: int, is_ascend: bool, ret_typ: str,
             dtype: torch.dtype) -> Tensor | tuple[Tensor, Tensor]:
    """The `k` largest or smallest elements: their values, their places, both, or a mask."""
    row, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    first = k if k > 0 else row.shape[along]
    values, places = (each.narrow(along, 0, first) for each in torch.sort(
        row, dim=along, descending=not is_ascend, stable=True))
    if ret_typ == 'mask':
        return torch.zeros_like(row).scatter(along, places, 1).reshape(x.shape)
    return places.to(dtype) if ret_typ == 'indices' else (values, places.to(dtype))


@runs('slice')
def sliced(x: Tensor, *, begin: Sequence[int | None], end: Sequence[int | None],
            step: Sequence[int | None]) -> Tensor:
    """A part of each axis, read backwards if its step is below 0."""
    for axis, (first, last) in enumerate(zip(begin, end)):
        by = (step[axis] if axis < len(step) else None) or 1
        if by > 0:
            x = x[(slice(None),) * axis + (slice(first, last, by),)]
        else:
            places = list(range(*slice(first, last, by).indices(x.shape[axis])))
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
    return x


@runs('depth_to_space')
def depth_to_space(x: Tensor, *, block_size: int) -> Tensor:
    """Moves channels into blocks of an image."""
    (n, c, h, w), size = x.shape, block_size
    x = x.reshape(n, size, size, c // size ** 2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // size ** 2, h * size, w * size)


@runs('space_to_depth')
def space_to_depth(x: Tensor, *, block_size: int) -> Tensor:
    """Moves blocks of an image into channels."""
    (n, c, h, w), size = x.shape, block_size
    x = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * size ** 2, h // size, w // size)


# ---- sequences

def mask_steps(x: Tensor, lengths: Tensor, time: int, value: float = 0) -> Tensor:
    """The sequences, with `value` written behind their lengths along the axis `time`."""
    steps = torch.arange(x.shape[time], device=x.device)
    behind = steps.unsqueeze(1 - time) >= lengths.unsqueeze(time)
    return x.masked_fill(behind.reshape(*behind.shape, *[1] * (x.dim() - 2)), value)


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence's steps reversed; what lies behind its length stays in place."""
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    places = torch.where(steps < lengths, lengths.long() - 1 - steps, steps)
    return x[places, torch.arange(x.shape[1], device=x.device)]
