"""Element-by-element operators for which torch has no call."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import runs

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


#: torch's names for functions of one array.
NAMES = {**{name: name for name in (
    'abs sign ceil floor trunc sqrt rsqrt exp expm1 log log10 log2 log1p sin cos tan sinh cosh '
    'tanh erf erfinv relu sigmoid zeros_like ones_like').split()},
    **{'arc' + name: 'a' + name for name in 'sin cos tan sinh cosh tanh'.split()},
    'degrees': 'rad2deg', 'radians': 'deg2rad', 'fix': 'trunc', 'gammaln': 'lgamma'}


def remainder_or_0(x: Tensor, y: Tensor) -> Tensor:
    """The remainder with the divisor's sign; 0 where the divisor is 0."""
    zero = y == 0
    return torch.where(zero, torch.zeros_like(x), torch.remainder(x, torch.where(zero, 1, y)))


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
