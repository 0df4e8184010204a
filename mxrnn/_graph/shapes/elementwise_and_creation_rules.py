"""The effect on axes of element-by-element operators and of those that make arrays."""
from __future__ import annotations

import math

from ..graph import Node
from ..operator_table import ROWS, has
from .axis_factors import (
    Axes,
    UnknownAxes,
    alike,
    as_long,
    broadcast_axes,
    mixed,
    mixed_along,
    number_of,
    place_of,
    rule,
)
from .sizes import Axis, product, resolve

__all__: list[str] = []


# ---- element by element

def _repeated(node: Node, one: Axes, other: Axes) -> Axes:
    """Axes of 1 are repeated as needed."""
    ends = [[resolve(product(axis)) for axis in axes] for axes in (one, other)]
    if len(one) == len(other) > 1 and 1 not in ends[0] + ends[1]:
        # if nothing else is repeated, parts of an input are assumed to be columns of one number
        for size, number in ((ends[0][-1], ends[1][-1]), (ends[1][-1], ends[0][-1])):
            if isinstance(size, Axis) and size.unknown and isinstance(number, int):
                size.bound = 1
    return broadcast_axes([one, other])


for _name in '''mod power maximum minimum hypot equal not_equal greater greater_equal lesser
        lesser_equal logical_and logical_or logical_xor'''.split():
    rule('_' + _name, needs=0)(lambda node, *inputs: alike(*inputs))
    rule('broadcast_' + _name, needs=2)(_repeated)
rule('elemwise_add elemwise_sub elemwise_mul elemwise_div add_n _identity_with_attr_like_rhs',
     needs=0)(lambda node, *inputs: alike(*inputs))
rule('broadcast_add broadcast_sub broadcast_mul broadcast_div', needs=2)(_repeated)
rule('amp_multicast', needs=0)(lambda node, *inputs: inputs)
rule(' '.join(op for op in ROWS if has(op, 'elementwise')))(lambda node, data: data)
rule('''degrees radians gamma gammaln _CrossDeviceCopy MakeLoss make_loss LinearRegressionOutput
    LogisticRegressionOutput MAERegressionOutput SVMOutput WarpCTC IdentityAttachKLSparseReg
    _random_uniform_like _random_normal_like _random_exponential_like _random_gamma_like
    _random_poisson_like _random_negative_binomial_like
    _random_generalized_negative_binomial_like''')(lambda node, data, *_: data)
rule('_shuffle')(lambda node, data: mixed_along(data, [0]))


@rule('LeakyReLU')
def _leaky(node: Node, data: Axes, slope: Axes) -> tuple[Axes, Axes]:
    if node.act_type == 'prelu' and len(slope) == 1 and number_of(slope[0]) != 1:
        data = as_long(data, min(1, len(data) - 1), slope)
    return data, data


@rule('where', needs=0)
def _where(node: Node, condition: Axes, *choices: Axes) -> Axes:
    data = alike(*choices)
    if len(condition) == 1 < len(data):
        return as_long(data, 0, condition)
    return alike(data, condition)


# ---- operators that make arrays

def _made(node: Node) -> Axes:
    if not node.shape:
        raise UnknownAxes
    return [(size,) if size > 0 else (Axis(),) for size in node.shape]


_DISTRIBUTIONS = '''uniform normal exponential gamma poisson negative_binomial
    generalized_negative_binomial'''.split()
rule('_zeros _ones _full _zeros_without_dtype _random_randint')(_made)
for _name in _DISTRIBUTIONS:
    rule('_random_' + _name)(_made)
    rule('_sample_' + _name, needs=0)(lambda node, *inputs: (
        alike(*inputs) + [(size,) for size in node.shape]))
rule('_eye')(lambda node: [(node.N,), (node.M or node.N,)])
rule('_linspace')(lambda node: [(node.num,)])


@rule('_arange')
def _arange(node: Node) -> Axes:
    if node.infer_range:
        return [(Axis(),)]
    start, stop = (0.0, node.start) if node.stop is None else (node.start, node.stop)
    return [(math.ceil((stop - start) / node.step) * node.repeat,)]


@rule('_contrib_arange_like')
def _arange_like(node: Node, data: Axes) -> Axes:
    # a number depends on how many steps come before it
    return list(map(mixed, data if node.axis is None else [data[place_of(node.axis, data)]]))


@rule('_sample_multinomial')
def _drawn(node: Node, data: Axes) -> tuple[Axes, Axes]:
    made: Axes = data[:-1] + [(size,) for size in node.shape] or [()]
    return made, made
