"""Operators that work element by element: functions, arithmetic, comparisons, activations."""
from __future__ import annotations

import functools
import math
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from ..registry import Unsupported, operator
from . import DTYPES, Number, Run

__all__: list[str] = []


def _round(x: Tensor) -> Tensor:
    """To the nearest integer, halves away from zero."""
    return torch.sign(x) * torch.floor(torch.abs(x) + .5)


def _cube_root(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def _round_to_floor(x: Tensor) -> Tensor:
    """To the nearest integer, halves towards minus infinity."""
    below, above = torch.floor(x), torch.ceil(x)
    return torch.where(x - below <= above - x, below, above)


def _divide(x: Number, y: Number) -> Tensor:
    """The quotient; of integers towards 0, with what a number has behind the point cut off."""
    like: Tensor = x if isinstance(x, Tensor) else y
    if like.is_floating_point() or like.dtype == torch.bool:
        return x / y
    x, y = (side if isinstance(side, Tensor) else torch.full_like(like, int(side))
            for side in (x, y))
    return torch.div(x, y, rounding_mode=None if y.is_floating_point() else 'trunc')


UNARY: dict[str, Callable[..., Tensor]] = {
    'abs': torch.abs, 'sign': torch.sign, 'ceil': torch.ceil, 'floor': torch.floor,
    'trunc': torch.trunc, 'fix': torch.trunc, 'round': _round,
    'rint': _round_to_floor, 'square': torch.square, 'sqrt': torch.sqrt,
    'rsqrt': torch.rsqrt, 'cbrt': _cube_root, 'rcbrt': lambda x: 1 / _cube_root(x),
    'exp': torch.exp, 'expm1': torch.expm1, 'log': torch.log, 'log10': torch.log10,
    'log2': torch.log2, 'log1p': torch.log1p, 'sin': torch.sin, 'cos': torch.cos,
    'tan': torch.tan, 'arcsin': torch.asin, 'arccos': torch.acos, 'arctan': torch.atan,
    'sinh': torch.sinh, 'cosh': torch.cosh, 'tanh': torch.tanh, 'arcsinh': torch.asinh,
    'arccosh': torch.acosh, 'arctanh': torch.atanh, 'degrees': torch.rad2deg,
    'radians': torch.deg2rad, 'gamma': lambda x: torch.exp(torch.lgamma(x)) * _gamma_sign(x),
    'gammaln': torch.lgamma, 'erf': torch.erf, 'erfinv': torch.erfinv, 'negative': torch.neg,
    'reciprocal': torch.reciprocal, 'relu': torch.relu, 'sigmoid': torch.sigmoid,
    'softsign': F.softsign, 'logical_not': lambda x: (x == 0).to(x.dtype),
    '_copy': lambda x: x, 'BlockGrad': torch.detach, 'zeros_like': torch.zeros_like,
    'ones_like': torch.ones_like,
    '_identity_with_attr_like_rhs': lambda x, like: x,
}


def _gamma_sign(x: Tensor) -> Tensor:
    """The sign of the gamma function, which alternates below 0, and NaN at its poles there."""
    at = x.detach()
    below = torch.floor(at)
    sign = torch.where((below < 0) & (torch.remainder(below, 2) == 1), -1., 1.)
    return torch.where((below == at) & (at < 0), torch.nan, sign).to(x.dtype)


def _mod(x: Tensor, y: Tensor) -> Tensor:
    """The remainder with the divisor's sign; 0 where the divisor is 0."""
    zero = y == 0
    return torch.where(zero, torch.zeros_like(x), torch.remainder(x, torch.where(zero, 1, y)))


def _power(x: Number, y: Number) -> Tensor:
    """The power; of integers that of the reals, with what it has behind the point cut off."""
    like: Tensor = x if isinstance(x, Tensor) else y
    if like.is_floating_point():
        return torch.pow(x, y)
    x, y = (side.double() if isinstance(side, Tensor) else side for side in (x, y))
    return torch.pow(x, y).to(like.dtype)


# At a tie MXNet gives the whole gradient to one side, torch half of it to each. NaN stays NaN.
def _maximum(x: Tensor, y: Number) -> Tensor:
    return torch.where((x >= y) | (x != x), x, y)


def _minimum(x: Tensor, y: Number) -> Tensor:
    return torch.where((x <= y) | (x != x), x, y)


def _hypotenuse(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point():
        return torch.hypot(x, y)
    return torch.hypot(x.double(), y.double()).to(x.dtype)


def _compared(compare: Callable[[Tensor, Number], Tensor]) -> Callable[[Tensor, Number], Tensor]:
    """Comparisons give 0 and 1 in the type of what they compare."""
    def run(x: Tensor, y: Number) -> Tensor:
        return compare(x, y).to(x.dtype)
    return run


def _truth(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Number], Tensor]:
    return _compared(lambda x, y: combine(x != 0, torch.as_tensor(y != 0, device=x.device)))


#: Functions of two arrays, by the name that they have behind 'broadcast_' and '_'.
BINARY: dict[str, Callable[..., Tensor]] = {
    'mod': _mod, 'power': _power, 'maximum': _maximum, 'minimum': _minimum,
    'hypot': _hypotenuse,
    'equal': _compared(torch.eq), 'not_equal': _compared(torch.ne),
    'greater': _compared(torch.gt), 'greater_equal': _compared(torch.ge),
    'lesser': _compared(torch.lt), 'lesser_equal': _compared(torch.le),
    'logical_and': _truth(torch.logical_and), 'logical_or': _truth(torch.logical_or),
    'logical_xor': _truth(torch.logical_xor),
}
ARITHMETIC: dict[str, Callable[..., Tensor]] = {
    'add': torch.add, 'sub': torch.sub, 'mul': torch.mul, 'div': _divide}

#: Functions of an array and a number, by what stands between '_' and '_scalar'.
SCALAR: dict[str, Callable[..., Tensor]] = {
    'plus': torch.add, 'minus': torch.sub, 'rminus': torch.rsub, 'mul': torch.mul,
    'div': _divide, 'rdiv': lambda x, number: _divide(number, x), 'power': _power,
    'rpower': lambda x, number: _power(number, x),
    'maximum': _maximum, 'minimum': _minimum,
    'mod': lambda x, number: _mod(x, torch.full_like(x, number)),
    'rmod': lambda x, number: _mod(torch.full_like(x, number), x),
    'hypot': lambda x, number: _hypotenuse(x, torch.full_like(x, number)),
    **{name: BINARY[name] for name in BINARY if 'equal' in name or name in (
        'greater', 'lesser', 'logical_and', 'logical_or', 'logical_xor')},
}


def _typed(function: Callable[..., Tensor]) -> Run:
    """Of integers MXNet makes integers, by cutting off what is behind the point."""
    def run(x: Tensor, *others: Tensor) -> Tensor:
        return function(x, *others).to(x.dtype)
    return run


def _plain(run: Run, *names: str) -> None:
    """Enter operators without attributes."""
    operator(*names)(lambda node: run)


for _name, _function in UNARY.items():
    _plain(_typed(_function), _name)
for _name, _function in ARITHMETIC.items():
    _plain(_function, 'elemwise_' + _name)
    _plain(_function, 'broadcast_' + _name)
for _name, _function in BINARY.items():
    _plain(_function, '_' + _name)
    _plain(_function, 'broadcast_' + _name)


def _with_number(function: Callable[..., Tensor], node: Node) -> Run:
    number, whole = node.scalar, node.is_int

    def run(x: Tensor) -> Tensor:
        if not whole and not x.is_floating_point():
            x = x.double()
        if x.is_floating_point():
            return function(x, number)
        if not math.isfinite(number):
            raise ValueError('%s, %s, is of integers, and its number %s cannot become one'
                             % (node.name, node.op, number))
        return function(x, int(number))  # MXNet gives it the type of the array, too
    return run


for _name, _function in SCALAR.items():
    operator('_%s_scalar' % _name)(functools.partial(_with_number, _function))


@operator('add_n')
def _add_n(node: Node) -> Run:
    return lambda first, *others: functools.reduce(torch.add, others, first)


@operator('where')
def _where(node: Node) -> Run:
    def run(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
        chosen = condition != 0
        if chosen.dim() == 1:  # it chooses rows
            chosen = chosen.reshape(-1, *[1] * (x.dim() - 1))
        return torch.where(chosen, x, y)
    return run


@operator('clip')
def _clip(node: Node) -> Run:
    least, most = node.a_min, node.a_max
    return lambda x: torch.clamp(x, least, most).to(x.dtype)


@operator('Cast')
def _cast(node: Node) -> Run:
    dtype = DTYPES[node.dtype]
    return lambda x: x.to(dtype)


@operator('amp_cast')
def _cast_reals(node: Node) -> Run:
    dtype = DTYPES[node.dtype]
    if not dtype.is_floating_point:
        raise Unsupported('builds of MXNet round or cut where it makes integers')
    return lambda x: x.to(dtype) if x.is_floating_point() else x


@operator('smooth_l1')
def _smooth_l1(node: Node) -> Run:
    square = node.scalar ** 2

    def run(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            raise ValueError('%s, smooth_l1, of integers is not supported' % node.name)
        size = torch.abs(x)
        if not square:
            return .5 * square * x * x
        return torch.where(size < 1 / square, .5 * square * x * x, size - .5 / square)
    return run


@operator('hard_sigmoid')
def _hard_sigmoid(node: Node) -> Run:
    alpha, beta = node.alpha, node.beta
    return lambda x: F.hardtanh(alpha * x + beta, 0., 1.)  # no gradient at its ends, either


ACTIVATIONS = {'softrelu': F.softplus,
               **{name: UNARY[name] for name in ('relu', 'sigmoid', 'softsign', 'tanh')}}


@operator('Activation')
def _activation(node: Node) -> Run:
    return ACTIVATIONS[node.act_type]


def _prelu(x: Tensor, gamma: Tensor) -> Tensor:
    if gamma.dim() == 1 and gamma.numel() > 1 and x.dim() > 1:  # one for each channel
        gamma = gamma.reshape(-1, *[1] * (x.dim() - 2))
    return torch.where(x > 0, x, gamma * x)


@operator('LeakyReLU', training=True)
def _leaky_relu(node: Node) -> Run:
    slope, low, high = node.slope, node.lower_bound, node.upper_bound

    def rrelu(training: bool, x: Tensor) -> tuple[Tensor, Tensor]:
        mask = (torch.empty_like(x).uniform_(low, high) if training
                else torch.full_like(x, (low + high) / 2))
        return torch.where(x > 0, x, x * mask), mask

    functions: dict[str, Run] = {
        'rrelu': rrelu, 'prelu': lambda training, x, gamma: _prelu(x, gamma),
        'leaky': lambda training, x: F.leaky_relu(x, slope),
        'elu': lambda training, x: F.elu(x, slope), 'selu': lambda training, x: F.selu(x),
        'gelu': lambda training, x: F.gelu(x)}
    return functions[node.act_type]
