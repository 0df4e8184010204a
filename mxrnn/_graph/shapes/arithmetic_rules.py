"""The effect of arithmetic operators on axes: the outputs' axes from the inputs' axes."""
from __future__ import annotations

import math

from ..graph import Node
from ..operators import ROWS, has
from .axis_factors import (
    Axes,
    Factors,
    UnknownAxes,
    agree,
    alike,
    as_long,
    broadcast_axes,
    known,
    mixed,
    mixed_along,
    number_of,
    of_rank,
    place_of,
    replaced,
    rule,
)
from .sizes import Axis, product, reduced_axes, resolve
from .unification import SizeError, unify

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


@rule('Dropout')
def _dropout(node: Node, data: Axes) -> tuple[Axes, Axes]:
    # if a mask is drawn, it is the same for everything along `axes`
    drawn = node.axes if node.mode == 'always' and node.p else ()
    return mixed_along(data, drawn), [() if at in drawn else axis for at, axis in enumerate(data)]


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


# ---- reductions, order

@rule('sum mean max min prod nansum nanprod norm moments argmax argmin argmax_channel')
def _reduced(node: Node, data: Axes) -> tuple[Axes, ...]:
    axis = 1 if node.op == 'argmax_channel' else node.axes if node.op == 'moments' else node.axis
    keeps = node.op != 'argmax_channel' and node.keepdims
    over = [place_of(each, data) for each in (axis if isinstance(axis, tuple) else
                                              () if axis is None else (axis,))]
    gone = reduced_axes(len(data), over, getattr(node, 'exclude', False))
    left: Axes = [() if at in gone else axis for at, axis in enumerate(data)
                  if at not in gone or keeps]
    return (left or [()],) * (2 if node.op == 'moments' else 1)


def _flat_or_not(node: Node, data: Axes) -> tuple[Axes, int]:
    """The data, flat if there is no axis, and the axis."""
    return ([sum(data, ())], 0) if node.axis is None else (data, place_of(node.axis, data))


@rule('_np_cumsum sort argsort')
def _ordered(node: Node, data: Axes) -> tuple[Axes, ...]:
    data, axis = _flat_or_not(node, data)
    return (mixed_along(data, [axis]),) * (2 if node.op == 'sort' else 1)


@rule('topk')
def _topk(node: Node, data: Axes) -> tuple[Axes, ...]:
    flat, axis = _flat_or_not(node, data)
    if node.ret_typ == 'mask':
        return mixed_along(data, range(len(data)) if node.axis is None else [axis]),
    return (replaced(flat, axis, [(node.k,)]) if node.k > 0 else mixed_along(flat, [axis]),) * 2


@rule('softmax log_softmax softmin')
def _softmax(node: Node, data: Axes, *lengths: Axes) -> Axes:
    data = mixed_along(data, [node.axis])
    if node.use_length and all(lengths):
        at = place_of(node.axis, data)
        rest = alike(replaced(data, at, []) or [()], *lengths)
        data = [*rest[:at], data[at], *rest[at:]]
    return data


@rule('SoftmaxOutput SoftmaxActivation L2Normalization')
def _along_several(node: Node, data: Axes) -> tuple[Axes, Axes]:
    rank = len(data)
    if node.op != 'SoftmaxOutput':
        together = {'channel': [1], 'spatial': range(2, rank)}.get(node.mode, range(1, rank))
    else:
        together = [1] if node.multi_output else range(
            rank - 1 if node.preserve_shape or rank == 1 else 1, rank)
    return (mixed_along(data, together),
            [() if at in together else axis for at, axis in enumerate(data)])


# ---- look-ups

@rule('Embedding _contrib_SparseEmbedding', needs=0)
def _embedding(node: Node, data: Axes, table: Axes) -> Axes:
    for size, wanted in zip(of_rank(2, table), (node.input_dim, node.output_dim)):
        unify(product(size), wanted)
    return [*known(data), (node.output_dim,)]


rule('one_hot')(lambda node, data: [*data, (node.depth,)])


@rule('take', needs=2)
def _take(node: Node, table: Axes, places: Axes) -> Axes:
    at = place_of(node.axis, table)
    if number_of(table[at]) is None:  # the indices may have the same axis
        places = list(map(mixed, places))
    return table[:at] + places + table[at + 1:]


@rule('pick')
def _pick(node: Node, data: Axes, index: Axes) -> Axes:
    if node.axis is None:
        raise UnknownAxes
    at = place_of(node.axis, data)
    rest = replaced(data, at, [])
    chosen = index if len(index) < len(data) else replaced(index, at, [])
    if rest and chosen:
        rest = alike(rest, chosen)
    return replaced(rest, at, [()] if node.keepdims else [], 1) or [()]


rule('batch_take')(lambda node, data, index: as_long(data[:1], 0, index))


@rule('gather_nd', needs=2)
def _gather_nd(node: Node, data: Axes, index: Axes) -> Axes:
    count = number_of(index[0])
    if count is None:
        raise UnknownAxes
    return [*map(mixed, index[1:] + data[count:])] or [()]


@rule('scatter_nd', needs=0)
def _scatter_nd(node: Node, data: Axes, index: Axes) -> Axes:
    made: Axes = [(size,) for size in node.shape]
    if data and index:
        count = len(index) - 1 + len(made) - len(data)
        unify(product(index[0]), count)
        alike(data, index[1:] + made[count:])
    return made


# ---- products

def _ends(node: Node, one: Axes, other: Axes) -> tuple[Factors, Factors]:
    """The last two axes of a product of matrices."""
    left, inner = (one[-2], one[-1])[::-1 if node.transpose_a else 1]
    outer, right = (other[-2], other[-1])[::-1 if node.transpose_b else 1]
    unify(product(inner), product(outer))
    return left, right


@rule('batch_dot', needs=0)
def _batch_dot(node: Node, one: Axes, other: Axes) -> Axes:
    rank = len(known(one or other))
    if rank < 3:
        raise SizeError('%d axes and 3 axes' % rank)
    one, other = of_rank(rank, one), of_rank(rank, other)
    return [*alike(one[:-2], other[:-2]), *_ends(node, one, other)]


@rule('dot', needs=2)
def _dot(node: Node, one: Axes, other: Axes) -> Axes:
    if len(one) == len(other) == 1:
        unify(product(one[0]), product(other[0]))
        return [()]
    left, right = node.transpose_a and len(one) > 1, node.transpose_b and len(other) > 1
    unify(product(one[0 if left else -1]), product(other[-1 if right else 0]))
    return (one[1:] if left else one[:-1]) + (other[:-1] if right else other[1:])


@rule('_linalg_gemm2 _linalg_gemm', needs=2)
def _gemm(node: Node, one: Axes, other: Axes, *_: Axes) -> Axes:
    rows = place_of(node.axis, one)
    if rows == len(one) - 1 or len(one) != len(other):
        raise UnknownAxes
    left, right = ([*axes[:rows], *axes[rows + 1:-1], axes[rows], axes[-1]]
                   for axes in (one, other))
    made = [agree(*pair) for pair in zip(left[:-2], right[:-2])]
    height, width = _ends(node, left, right)
    return [*made[:rows], height, *made[rows:], width]
