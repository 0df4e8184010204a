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
from . import DTYPES, Run, runs

__all__ = ['NAMES', 'cube_root', 'gamma_function', 'remainder_or_0', 'round_halves_away',
           'round_halves_down']


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


#: How torch calls the functions of one array that it has.
NAMES = {**{name: name for name in (
    'abs sign ceil floor trunc sqrt rsqrt exp expm1 log log10 log2 log1p sin cos tan sinh cosh '
    'tanh erf erfinv relu sigmoid zeros_like ones_like').split()},
    **{'arc' + name: 'a' + name for name in 'sin cos tan sinh cosh tanh'.split()},
    'degrees': 'rad2deg', 'radians': 'deg2rad', 'fix': 'trunc', 'gammaln': 'lgamma'}
_UNARY: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, own) for name, own in NAMES.items()},
    'round': round_halves_away, 'rint': round_halves_down, 'square': torch.square,
    'cbrt': cube_root, 'rcbrt': lambda x: 1 / cube_root(x), 'negative': torch.neg,
    'reciprocal': torch.reciprocal,
    'gamma': gamma_function, 'softsign': F.softsign,
    'logical_not': lambda x: (x == 0).to(x.dtype), '_copy': lambda x: x,
    'BlockGrad': torch.detach, '_identity_with_attr_like_rhs': lambda x, like: x}


def _divide(x: float | Tensor, y: float | Tensor) -> Tensor:
    """The quotient; of integers towards 0, with what a number has behind the point cut off."""
    like: Tensor = x if isinstance(x, Tensor) else y
    if like.is_floating_point() or like.dtype == torch.bool:
        return x / y
    x, y = (side if isinstance(side, Tensor) else torch.full_like(like, int(side))
            for side in (x, y))
    return torch.div(x, y, rounding_mode=None if y.is_floating_point() else 'trunc')


def remainder_or_0(x: Tensor, y: Tensor) -> Tensor:
    """The remainder with the divisor's sign; 0 where the divisor is 0."""
    zero = y == 0
    return torch.where(zero, torch.zeros_like(x), torch.remainder(x, torch.where(zero, 1, y)))


def _power(x: float | Tensor, y: float | Tensor) -> Tensor:
    """The power; of integers that of the reals, with what it has behind the point cut off."""
    like: Tensor = x if isinstance(x, Tensor) else y
    if like.is_floating_point():
        return torch.pow(x, y)
    x, y = (side.double() if isinstance(side, Tensor) else side for side in (x, y))
    return torch.pow(x, y).to(like.dtype)


# At a tie MXNet gives the whole gradient to one side, torch half of it to each. NaN stays NaN.
def _maximum(x: Tensor, y: float | Tensor) -> Tensor:
    return torch.where((x >= y) | (x != x), x, y)


def _minimum(x: Tensor, y: float | Tensor) -> Tensor:
    return torch.where((x <= y) | (x != x), x, y)


def _hypotenuse(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point():
        return torch.hypot(x, y)
    return torch.hypot(x.double(), y.double()).to(x.dtype)


def _compared(compare: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Comparisons give 0 and 1 in the type of what they compare."""
    return lambda x, y: compare(x, y).to(x.dtype)


def _truth(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return _compared(lambda x, y: combine(x != 0, torch.as_tensor(y != 0, device=x.device)))


#: Functions of an array and an array or a number, by their names behind '_' or 'broadcast_'.
_COMMON: dict[str, Callable[..., Tensor]] = {
    'power': _power, 'maximum': _maximum, 'minimum': _minimum,
    **{name: _compared(compare) for name, compare in {
        'equal': torch.eq, 'not_equal': torch.ne, 'greater': torch.gt, 'greater_equal': torch.ge,
        'lesser': torch.lt, 'lesser_equal': torch.le}.items()},
    **{'logical_' + name: _truth(getattr(torch, 'logical_' + name))
       for name in ('and', 'or', 'xor')}}
#: Functions of an array and a number, by what stands between '_' and '_scalar'.
_SCALAR: dict[str, Callable[..., Tensor]] = {
    **_COMMON, 'plus': torch.add, 'minus': torch.sub, 'rminus': torch.rsub, 'mul': torch.mul,
    'div': _divide, 'rdiv': lambda x, number: _divide(number, x),
    'rpower': lambda x, number: _power(number, x),
    'mod': lambda x, number: remainder_or_0(x, torch.full_like(x, number)),
    'rmod': lambda x, number: remainder_or_0(torch.full_like(x, number), x),
    'hypot': lambda x, number: _hypotenuse(x, torch.full_like(x, number))}


def _typed(function: Callable[..., Tensor]) -> Run:
    """Of integers MXNet makes integers, by cutting off what is behind the point."""
    return lambda x, *others: function(x, *others).to(x.dtype)


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


for _name, _function in _UNARY.items():
    runs(_name)(_typed(_function))
for _name, _function in {'add': torch.add, 'sub': torch.sub, 'mul': torch.mul,
                         'div': _divide}.items():
    runs('elemwise_' + _name, 'broadcast_' + _name)(_function)
for _name, _function in {**_COMMON, 'mod': remainder_or_0, 'hypot': _hypotenuse}.items():
    runs('_' + _name, 'broadcast_' + _name)(_function)
for _name, _function in _SCALAR.items():
    operator('_%s_scalar' % _name)(functools.partial(_with_number, _function))
runs('add_n')(lambda first, *others: functools.reduce(torch.add, others, first))


@runs('where')
def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    chosen = condition != 0
    if chosen.dim() == 1:  # it chooses rows
        chosen = chosen.reshape(-1, *[1] * (x.dim() - 1))
    return torch.where(chosen, x, y)


runs('clip')(lambda x, *, a_min, a_max: torch.clamp(x, a_min, a_max).to(x.dtype))
runs('Cast')(lambda x, *, dtype: x.to(dtype))


@operator('amp_cast')
def _cast_reals(node: Node) -> Run:
    dtype = DTYPES[node.dtype]
    if not dtype.is_floating_point:
        raise Unsupported('builds of MXNet round or cut where it makes integers')
    return lambda x: x.to(dtype) if x.is_floating_point() else x


@runs('smooth_l1')
def _smooth_l1(x: Tensor, *, scalar: float, name: str) -> Tensor:
    if not x.is_floating_point():
        raise ValueError('%s, smooth_l1, of integers is not supported' % name)
    size, square = torch.abs(x), scalar ** 2
    if not square:
        return .5 * square * x * x
    return torch.where(size < 1 / square, .5 * square * x * x, size - .5 / square)


@runs('hard_sigmoid')
def _hard_sigmoid(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    return F.hardtanh(alpha * x + beta, 0., 1.)  # no gradient at its ends, either


@operator('Activation')
def _activation(node: Node) -> Run:
    return F.softplus if node.act_type == 'softrelu' else _UNARY[node.act_type]


@runs('LeakyReLU', training=True)
def _leaky_relu(training: bool, x: Tensor, *gamma: Tensor, act_type: str, slope: float,
                lower_bound: float, upper_bound: float) -> Tensor | tuple[Tensor, Tensor]:
    if act_type == 'rrelu':
        mask = (torch.empty_like(x).uniform_(lower_bound, upper_bound) if training
                else torch.full_like(x, (lower_bound + upper_bound) / 2))
        return torch.where(x > 0, x, x * mask), mask
    if act_type == 'prelu':
        each = gamma[0]
        if each.dim() == 1 and each.numel() > 1 and x.dim() > 1:  # one for each channel
            each = each.reshape(-1, *[1] * (x.dim() - 2))
        return torch.where(x > 0, x, each * x)
    if act_type in ('leaky', 'elu'):
        return F.leaky_relu(x, slope) if act_type == 'leaky' else F.elu(x, slope)
    return F.selu(x) if act_type == 'selu' else F.gelu(x)
