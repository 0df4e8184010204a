"""Operators that make arrays: constants, ranges, random numbers.

Functions of operators without inputs take the device and the shape, after open sizes in it have
been filled in.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..._graph.operator_table import numbers_of
from ..registry import Unsupported, operator
from . import DTYPES, Device, Run, runs, some

__all__ = ['DRAWS']

runs('_zeros', creates=True)(lambda shape, device, *, dtype: torch.full(
    shape, 0, dtype=dtype, device=device))
runs('_ones', creates=True)(lambda shape, device, *, dtype: torch.full(
    shape, 1, dtype=dtype, device=device))
runs('_full', creates=True)(lambda shape, device, *, value, dtype: torch.full(
    shape, value, dtype=dtype, device=device))


@operator('_arange', creates=True)
def _arange(node: Node) -> Run:
    start, stop, step = node.start, node.stop, node.step
    times, dtype = node.repeat, DTYPES[node.dtype]
    if stop is None and node.infer_range:
        raise Unsupported('a range needs an end')
    if stop is None:
        start, stop = 0, start

    def run(shape: Sequence[int], device: Device) -> Tensor:
        values = torch.arange(start, stop, step, dtype=dtype, device=device)
        return values.repeat_interleave(times) if times > 1 else values
    return run


@runs('_linspace', creates=True)
def _even_steps(shape: Sequence[int], device: str | torch.device, *, start: float, stop: float,
                num: int, endpoint: bool, dtype: torch.dtype) -> Tensor:
    """Numbers from `start` to `stop`: `stop` is the last one, or the first that is left out."""
    values = torch.linspace(start, stop, num + (not endpoint), dtype=torch.float64)
    return values[:num].to(device, dtype)


@runs('_eye', creates=True)
def _diagonal(shape: Sequence[int], device: str | torch.device, *, N: int, M: int, k: int,
              dtype: torch.dtype) -> Tensor:
    """Ones on the diagonal `k` places to the right, and zeros."""
    down, right = (torch.arange(size, device=device) for size in (N, M or N))
    return (right - down.unsqueeze(1) == k).to(dtype)


@runs('_contrib_arange_like')
def _numbers_like(x: Tensor, *, start: float, step: float, repeat: int, axis: int | None) -> Tensor:
    """Numbers for the elements along one axis, or for all elements."""
    count = x.numel() if axis is None else x.shape[axis]
    values = torch.arange(count, device=x.device)
    values = torch.div(values, repeat, rounding_mode='floor') if repeat > 1 else values
    first, each = (start, step) if x.is_floating_point() else (int(start), int(step))
    values = (first + each * values).to(x.dtype)
    return values.reshape(x.shape) if axis is None else values


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


def _sampler(name: str, draw: Callable[..., Tensor]) -> None:
    """Enter the operator of a distribution that makes an array of a shape."""
    @operator('_random_' + name, creates=True)
    def of_shape(node: Node) -> Run:
        numbers = numbers_of(node)
        dtype = DTYPES[node.dtype or 'float32']
        return lambda shape, device: draw(shape, *numbers, dtype=dtype, device=device)


for _name, _draw in DRAWS.items():
    _sampler(_name, _draw)
runs('_random_randint', creates=True)(lambda shape, device, *, low, high, dtype: torch.randint(
    low, high, shape, dtype=dtype or torch.int32, device=device))


@runs('_sample_multinomial')
def _draw_places(p: Tensor, *, shape: Sequence[int], get_prob: bool, dtype: torch.dtype
                 ) -> Tensor | tuple[Tensor, Tensor]:
    """Places along the last axis, drawn by their chances, with the logarithms of the chances."""
    rows = p.reshape(-1, p.shape[-1])
    drawn = torch.multinomial(rows.detach(), math.prod(shape), replacement=True)
    result = some(drawn.reshape(*p.shape[:-1], *shape).to(dtype))
    if not get_prob:
        return result
    return result, torch.log(rows.gather(1, drawn)).reshape(result.shape)
