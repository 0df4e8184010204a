"""Operators that make arrays: constants, ranges, random numbers.

What runs those without inputs takes the shape, in which sizes that the graph leaves open are filled
in, and the device.
"""
from __future__ import annotations

import math
from typing import Callable, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..._graph.operators import numbers_of
from ..registry import Unsupported, operator
from . import DTYPES, Device, Number, Run, some

__all__: list[str] = []



def _filled(node: Node, value: float) -> Run:
    dtype = DTYPES[node.dtype]
    return lambda shape, device: torch.full(shape, value, dtype=dtype, device=device)


operator('_zeros', creates=True)(lambda node: _filled(node, 0))
operator('_ones', creates=True)(lambda node: _filled(node, 1))
operator('_full', creates=True)(lambda node: _filled(node, node.value))


@operator('_arange', creates=True)
def _arange(node: Node) -> Run:
    start, stop, step = node.start, node.stop, node.step
    times, dtype = node.repeat, DTYPES[node.dtype]
    if stop is None and node.infer_range:
        raise Unsupported('a range without an end is not supported')
    if stop is None:
        start, stop = 0, start

    def run(shape: Sequence[int], device: Device) -> Tensor:
        values = torch.arange(start, stop, step, dtype=dtype, device=device)
        return values.repeat_interleave(times) if times > 1 else values
    return run


@operator('_linspace', creates=True)
def _linspace(node: Node) -> Run:
    start, stop, number, end = node.start, node.stop, node.num, node.endpoint
    dtype = DTYPES[node.dtype]

    def run(shape: Sequence[int], device: Device) -> Tensor:
        values = torch.linspace(start, stop, number + (not end), dtype=torch.float64)
        return values[:number].to(device, dtype)
    return run


@operator('_eye', creates=True)
def _eye(node: Node) -> Run:
    sizes, above, dtype = (node.N, node.M or node.N), node.k, DTYPES[node.dtype]

    def run(shape: Sequence[int], device: Device) -> Tensor:
        down, right = (torch.arange(size, device=device) for size in sizes)
        return (right - down.unsqueeze(1) == above).to(dtype)
    return run


@operator('_contrib_arange_like')
def _arange_like(node: Node) -> Run:
    start, step, times, axis = node.start, node.step, node.repeat, node.axis

    def run(x: Tensor) -> Tensor:
        count = x.numel() if axis is None else x.shape[axis]
        values = torch.arange(count, device=x.device)
        values = torch.div(values, times, rounding_mode='floor') if times > 1 else values
        first, each = (start, step) if x.is_floating_point() else (int(start), int(step))
        values = (first + each * values).to(x.dtype)
        return values.reshape(x.shape) if axis is None else values
    return run


# ---- random numbers

def _gamma(shape: Sequence[int], alpha: Number, beta: Number, **like: object) -> Tensor:
    return torch._standard_gamma(torch.ones(shape, **like) * alpha) * beta


#: By distribution: draws arrays of a shape, given the numbers that its operators have.
_DRAWS: dict[str, Callable[..., Tensor]] = {
    'uniform': lambda shape, low, high, **like: low + (high - low) * torch.rand(shape, **like),
    'normal': lambda shape, loc, scale, **like: loc + scale * torch.randn(shape, **like),
    'exponential': lambda shape, lam, **like: torch.empty(shape, **like).exponential_() / lam,
    'gamma': _gamma,
    'poisson': lambda shape, lam, **like: torch.poisson(torch.ones(shape, **like) * lam),
    'negative_binomial': lambda shape, k, p, **like: torch.poisson(
        _gamma(shape, k, (1 - p) / p, **like)),
    'generalized_negative_binomial': lambda shape, mu, alpha, **like: torch.poisson(
        _gamma(shape, 1 / alpha, mu * alpha, **like))}


def _sampler(name: str, draw: Callable[..., Tensor]) -> None:
    """Enter the three operators of a distribution: of a shape, of the shape of an array, and of
    arrays of parameters, for each element of which some numbers are drawn."""
    def of_shape(node: Node) -> Run:
        numbers = numbers_of(node)
        dtype = DTYPES[node.dtype or 'float32']
        return lambda shape, device: draw(shape, *numbers, dtype=dtype, device=device)

    def like(node: Node) -> Run:
        numbers = numbers_of(node)
        return lambda x: draw(x.shape, *numbers, dtype=x.dtype, device=x.device)

    def of_arrays(node: Node) -> Run:
        shape, dtype = node.shape, DTYPES.get(node.dtype)

        def run(*numbers: Tensor) -> Tensor:
            first = numbers[0]
            wide = [each.reshape(*first.shape, *[1] * len(shape)) for each in numbers]
            return draw((*first.shape, *shape), *wide, dtype=dtype or first.dtype,
                        device=first.device)
        return run

    operator('_random_' + name, creates=True)(of_shape)
    operator('_random_%s_like' % name)(like)
    operator('_sample_' + name)(of_arrays)


for _name, _draw in _DRAWS.items():
    _sampler(_name, _draw)


@operator('_random_randint', creates=True)
def _randint(node: Node) -> Run:
    low, high, dtype = node.low, node.high, DTYPES[node.dtype or 'int32']
    return lambda shape, device: torch.randint(low, high, shape, dtype=dtype, device=device)


@operator('_sample_multinomial')
def _sample_multinomial(node: Node) -> Run:
    shape, both, dtype = node.shape, node.get_prob, DTYPES[node.dtype]

    def run(p: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        rows = p.reshape(-1, p.shape[-1])
        drawn = torch.multinomial(rows.detach(), math.prod(shape), replacement=True)
        result = some(drawn.reshape(*p.shape[:-1], *shape).to(dtype))
        if not both:
            return result
        return result, torch.log(rows.gather(1, drawn)).reshape(result.shape)
    return run


@operator('_shuffle')
def _shuffle(node: Node) -> Run:
    return lambda x: x[torch.randperm(x.shape[0], device=x.device)]
