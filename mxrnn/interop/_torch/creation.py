"""Operators that make arrays: constants, ranges, random numbers."""
from __future__ import annotations

import functools
import math
from typing import Any, Callable

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import Converters
from .table import OPERATORS, Operator, Run, Unsupported, axis_of, dtype_of, operator

__all__ = ['CREATES']

#: Operators without inputs. What runs them takes the shape, in which sizes that the graph leaves
#: open are filled in, and the device.
CREATES: Converters[Callable[[Node], Run]] = Converters('torch')


def _creates(*names: str) -> Callable[[Callable[[Node], Run]], Callable[[Node], Run]]:
    def enter(make: Callable[[Node], Run]) -> Callable[[Node], Run]:
        CREATES.enter(make, *names)
        return make
    return enter


def _filled(value: float | None, node: Node) -> Run:
    number, dtype = node.get('value', 0) if value is None else value, dtype_of(node, 'float32')
    return lambda shape, device: torch.full(shape, number, dtype=dtype, device=device)


CREATES.enter(functools.partial(_filled, 0), '_zeros')
CREATES.enter(functools.partial(_filled, 1), '_ones')
CREATES.enter(functools.partial(_filled, None), '_full')


@_creates('_arange')
def _arange(node: Node) -> Run:
    start, stop, step = node.get('start', 0), node.get('stop'), node.get('step', 1)
    times, dtype = node.get('repeat', 1), dtype_of(node, 'float32')
    if stop is None and node.get('infer_range', False):
        raise Unsupported('a range without an end is not supported')
    if stop is None:
        start, stop = 0, start

    def run(shape: Any, device: Any) -> Tensor:
        values = torch.arange(start, stop, step, dtype=dtype, device=device)
        return values.repeat_interleave(times) if times > 1 else values
    return run


@_creates('_linspace')
def _linspace(node: Node) -> Run:
    dtype, number = dtype_of(node, 'float32'), node.get('num', 50)
    start, stop, end = node.get('start', 0), node.get('stop'), node.get('endpoint', True)

    def run(shape: Any, device: Any) -> Tensor:
        values = torch.linspace(start, stop, number + (not end), dtype=dtype, device=device)
        return values[:number]
    return run


@_creates('_eye')
def _eye(node: Node) -> Run:
    rows, above, dtype = node.get('N'), node.get('k', 0), dtype_of(node, 'float32')
    columns = node.get('M', 0) or rows

    def run(shape: Any, device: Any) -> Tensor:
        down, right = (torch.arange(size, device=device) for size in (rows, columns))
        return (right - down.unsqueeze(1) == above).to(dtype)
    return run


@operator('_contrib_arange_like')
def _arange_like(node: Node) -> Run:
    start, step, axis = node.get('start', 0), node.get('step', 1), node.get('axis')
    times = node.get('repeat', 1)

    def run(x: Tensor) -> Tensor:
        count = x.numel() if axis is None else x.shape[axis]
        values = torch.arange(count, device=x.device)
        values = torch.div(values, times, rounding_mode='floor') if times > 1 else values
        first, each = (start, step) if x.is_floating_point() else (int(start), int(step))
        values = (first + each * values).to(x.dtype)
        return values.reshape(x.shape) if axis is None else values
    return run


# ---- random numbers

def _uniform(shape: Any, low: Any, high: Any, like: Any) -> Tensor:
    return low + (high - low) * torch.rand(shape, **like)


def _normal(shape: Any, loc: Any, scale: Any, like: Any) -> Tensor:
    return loc + scale * torch.randn(shape, **like)


def _exponential(shape: Any, lam: Any, like: Any) -> Tensor:
    return torch.empty(shape, **like).exponential_() / lam


def _gamma(shape: Any, alpha: Any, beta: Any, like: Any) -> Tensor:
    return torch._standard_gamma(torch.ones(shape, **like) * alpha) * beta


def _poisson(shape: Any, lam: Any, like: Any) -> Tensor:
    return torch.poisson(torch.ones(shape, **like) * lam)


def _negative_binomial(shape: Any, k: Any, p: Any, like: Any) -> Tensor:
    return torch.poisson(_gamma(shape, k, (1 - p) / p, like))


def _generalized(shape: Any, mu: Any, alpha: Any, like: Any) -> Tensor:
    return torch.poisson(_gamma(shape, 1 / alpha, mu * alpha, like))


#: Samplers by name: the parameters with their defaults, and what draws.
SAMPLERS: dict[str, tuple[dict[str, float], Callable[..., Tensor]]] = {
    'uniform': ({'low': 0, 'high': 1}, _uniform),
    'normal': ({'loc': 0, 'scale': 1}, _normal),
    'exponential': ({'lam': 1}, _exponential),
    'gamma': ({'alpha': 1, 'beta': 1}, _gamma),
    'poisson': ({'lam': 1}, _poisson),
    'negative_binomial': ({'k': 1, 'p': 1}, _negative_binomial),
    'generalized_negative_binomial': ({'mu': 1, 'alpha': 1}, _generalized),
}


def _random(name: str, node: Node) -> Run:
    defaults, draw = SAMPLERS[name]
    numbers, dtype = [node.get(*each) for each in defaults.items()], dtype_of(node, 'float32')
    return lambda shape, device: draw(shape, *numbers, {'dtype': dtype, 'device': device})


def _random_like(name: str, node: Node) -> Run:
    defaults, draw = SAMPLERS[name]
    numbers = [node.get(*each) for each in defaults.items()]
    return lambda x: draw(x.shape, *numbers, {'dtype': x.dtype, 'device': x.device})


def _sample(name: str, node: Node) -> Run:
    """Some numbers for each element of arrays of parameters."""
    draw, shape, dtype = SAMPLERS[name][1], axis_of(node.get('shape')) or (), dtype_of(node)

    def run(*numbers: Tensor) -> Tensor:
        first = numbers[0]
        wide = [each.reshape(*first.shape, *[1] * len(shape)) for each in numbers]
        return draw((*first.shape, *shape), *wide, {'dtype': dtype or first.dtype,
                                                    'device': first.device})
    return run


for _name in SAMPLERS:
    CREATES.enter(functools.partial(_random, _name), '_random_' + _name)
    OPERATORS.enter(Operator(functools.partial(_random_like, _name)), '_random_%s_like' % _name)
    OPERATORS.enter(Operator(functools.partial(_sample, _name)), '_sample_' + _name)


@_creates('_random_randint')
def _randint(node: Node) -> Run:
    low, high, dtype = node.get('low'), node.get('high'), dtype_of(node, 'int32')
    return lambda shape, device: torch.randint(low, high, shape, dtype=dtype, device=device)


@operator('_sample_multinomial')
def _sample_multinomial(node: Node) -> Run:
    shape, both = axis_of(node.get('shape')) or (), node.get('get_prob', False)
    dtype = dtype_of(node, 'int32')

    def run(p: Tensor) -> Any:
        rows = p.reshape(-1, p.shape[-1])
        drawn = torch.multinomial(rows.detach(), math.prod(shape), replacement=True)
        result = drawn.reshape(*p.shape[:-1], *shape).to(dtype)
        if not result.dim():
            result = result.reshape(1)
        if not both:
            return result
        return result, torch.log(rows.gather(1, drawn)).reshape(result.shape)
    return run


@operator('_shuffle')
def _shuffle(node: Node) -> Run:
    return lambda x: x[torch.randperm(x.shape[0], device=x.device)]
