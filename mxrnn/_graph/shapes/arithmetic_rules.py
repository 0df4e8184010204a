"""The effect of arithmetic operators on axes: the outputs' axes from the inputs' axes."""
from __future__ import annotations

import math

from ..graph import Node
from .axis_factors import (
    Axes,
    Factors,
    UnknownAxes,
    agree,
    alike,
    as_long,
    broadcast_axes,
    enter,
    first,
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

def _repeated(node: Node, inputs: list[Axes]) -> list[Axes]:
    """Axes of 1 are repeated as needed."""
    one, other = inputs
    first([one]), first([other])
    ends = [[resolve(product(axis)) for axis in axes] for axes in inputs]
    if len(one) == len(other) > 1 and 1 not in ends[0] + ends[1]:
        # if nothing else is repeated, parts of an input are assumed to be columns of one number
        for size, number in ((ends[0][-1], ends[1][-1]), (ends[1][-1], ends[0][-1])):
            if isinstance(size, Axis) and size.unknown and isinstance(number, int):
                size.bound = 1
    return [broadcast_axes(inputs)]


for _name in '''mod power maximum minimum hypot equal not_equal greater greater_equal lesser
        lesser_equal logical_and logical_or logical_xor'''.split():
    enter('_' + _name, lambda node, inputs: [alike(inputs)])
    enter('broadcast_' + _name, _repeated)
enter('elemwise_add elemwise_sub elemwise_mul elemwise_div add_n _identity_with_attr_like_rhs',
      lambda node, inputs: [alike(inputs)])
enter('broadcast_add broadcast_sub broadcast_mul broadcast_div', _repeated)
enter('amp_multicast', lambda node, inputs: inputs)
enter('''degrees radians gamma gammaln _CrossDeviceCopy MakeLoss make_loss LinearRegressionOutput
    LogisticRegressionOutput MAERegressionOutput SVMOutput WarpCTC IdentityAttachKLSparseReg
    _random_uniform_like _random_normal_like _random_exponential_like _random_gamma_like
    _random_poisson_like _random_negative_binomial_like
    _random_generalized_negative_binomial_like''', lambda node, inputs: [first(inputs)])
enter('_shuffle', lambda node, inputs: [mixed_along(first(inputs), [0])])


@rule('LeakyReLU')
def _leaky(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = first(inputs)
    if node.act_type == 'prelu' and len(inputs[1]) == 1 and number_of(inputs[1][0]) != 1:
        data = as_long(data, min(1, len(data) - 1), inputs[1])
    return [data, data]


@rule('where')
def _where(node: Node, inputs: list[Axes]) -> list[Axes]:
    condition, data = inputs[0], alike(inputs[1:])
    if len(condition) == 1 < len(data):
        return [as_long(data, 0, condition)]
    return [alike([data, condition])]


@rule('Dropout')
def _dropout(node: Node, inputs: list[Axes]) -> list[Axes]:
    # if a mask is drawn, it is the same for everything along `axes`
    drawn = node.axes if node.mode == 'always' and node.p else ()
    data = mixed_along(first(inputs), drawn)
    return [data, [() if at in drawn else axis for at, axis in enumerate(data)]]


# ---- operators that make arrays

def _made(node: Node, inputs: list[Axes]) -> list[Axes]:
    if not node.shape:
        raise UnknownAxes
    return [[(size,) if size > 0 else (Axis(),) for size in node.shape]]


_DISTRIBUTIONS = '''uniform normal exponential gamma poisson negative_binomial
    generalized_negative_binomial'''.split()
enter('_zeros _ones _full _zeros_without_dtype _random_randint', _made)
for _name in _DISTRIBUTIONS:
    enter('_random_' + _name, _made)
    enter('_sample_' + _name, lambda node, inputs: [
        alike(inputs) + [(size,) for size in node.shape]])
enter('_eye', lambda node, inputs: [[(node.N,), (node.M or node.N,)]])
enter('_linspace', lambda node, inputs: [[(node.num,)]])


@rule('_arange')
def _arange(node: Node, inputs: list[Axes]) -> list[Axes]:
    if node.infer_range:
        return [[(Axis(),)]]
    start, stop = (0.0, node.start) if node.stop is None else (node.start, node.stop)
    return [[(math.ceil((stop - start) / node.step) * node.repeat,)]]


@rule('_contrib_arange_like')
def _arange_like(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = first(inputs)  # a number depends on how many steps come before it
    return [list(map(mixed, data if node.axis is None else [data[place_of(node.axis, data)]]))]


@rule('_sample_multinomial')
def _drawn(node: Node, inputs: list[Axes]) -> list[Axes]:
    made: Axes = first(inputs)[:-1] + [(size,) for size in node.shape]
    return [made or [()]] * 2


# ---- reductions, order

@rule('sum mean max min prod nansum nanprod norm moments argmax argmin argmax_channel')
def _reduced(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = first(inputs)
    axis = 1 if node.op == 'argmax_channel' else node.axes if node.op == 'moments' else node.axis
    keeps = node.op != 'argmax_channel' and node.keepdims
    over = [place_of(each, data) for each in (axis if isinstance(axis, tuple) else
                                              () if axis is None else (axis,))]
    gone = reduced_axes(len(data), over, getattr(node, 'exclude', False))
    left: Axes = [() if at in gone else axis for at, axis in enumerate(data)
                  if at not in gone or keeps]
    return [left or [()]] * (2 if node.op == 'moments' else 1)


def _flat_or_not(node: Node, inputs: list[Axes]) -> tuple[Axes, int]:
    """The data, flat if there is no axis, and the axis."""
    data = first(inputs)
    return ([sum(data, ())], 0) if node.axis is None else (data, place_of(node.axis, data))


@rule('_np_cumsum sort argsort')
def _ordered(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, axis = _flat_or_not(node, inputs)
    return [mixed_along(data, [axis])] * (2 if node.op == 'sort' else 1)


@rule('topk')
def _topk(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, axis = _flat_or_not(node, inputs)
    if node.ret_typ == 'mask':
        return [mixed_along(inputs[0], range(len(inputs[0])) if node.axis is None else [axis])]
    return [replaced(data, axis, [(node.k,)]) if node.k > 0 else mixed_along(data, [axis])] * 2


@rule('softmax log_softmax softmin')
def _softmax(node: Node, inputs: list[Axes]) -> list[Axes]:
    data = mixed_along(first(inputs), [node.axis])
    if node.use_length and inputs[1:] and inputs[1]:
        at = place_of(node.axis, data)
        rest = alike([data[:at] + data[at + 1:] or [()], inputs[1]])
        data = [*rest[:at], data[at], *rest[at:]]
    return [data]


@rule('SoftmaxOutput SoftmaxActivation L2Normalization')
def _along_several(node: Node, inputs: list[Axes]) -> list[Axes]:
    rank = len(first(inputs))
    if node.op != 'SoftmaxOutput':
        together = {'channel': [1], 'spatial': range(2, rank)}.get(node.mode, range(1, rank))
    else:
        together = [1] if node.multi_output else range(
            rank - 1 if node.preserve_shape or rank == 1 else 1, rank)
    data = mixed_along(inputs[0], together)
    return [data, [() if at in together else axis for at, axis in enumerate(data)]]


# ---- look-ups

@rule('Embedding _contrib_SparseEmbedding')
def _embedding(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, table = inputs
    for size, wanted in zip(of_rank(2, table), (node.input_dim, node.output_dim)):
        unify(product(size), wanted)
    return [first([data]) + [(node.output_dim,)]]


enter('one_hot', lambda node, inputs: [first(inputs) + [(node.depth,)]])


@rule('take')
def _take(node: Node, inputs: list[Axes]) -> list[Axes]:
    table, places = first(inputs[:1]), first(inputs[1:])
    at = place_of(node.axis, table)
    if number_of(table[at]) is None:  # the indices may have the same axis
        places = list(map(mixed, places))
    return [table[:at] + places + table[at + 1:]]


@rule('pick')
def _pick(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, index = first(inputs[:1]), inputs[1]
    if node.axis is None:
        raise UnknownAxes
    at = place_of(node.axis, data)
    rest = replaced(data, at, [])
    chosen = index if len(index) < len(data) else replaced(index, at, [])
    if rest and chosen:
        rest = alike([rest, chosen])
    return [replaced(rest, at, [()] if node.keepdims else [], 1) or [()]]


enter('batch_take', lambda node, inputs: [as_long(first(inputs)[:1], 0, inputs[1])])


@rule('gather_nd')
def _gather_nd(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, index = first(inputs[:1]), first(inputs[1:])
    count = number_of(index[0])
    if count is None:
        raise UnknownAxes
    return [[*map(mixed, index[1:] + data[count:])] or [()]]


@rule('scatter_nd')
def _scatter_nd(node: Node, inputs: list[Axes]) -> list[Axes]:
    data, index = inputs
    made: Axes = [(size,) for size in node.shape]
    if data and index:
        count = len(index) - 1 + len(made) - len(data)
        unify(product(index[0]), count)
        alike([data, index[1:] + made[count:]])
    return [made]


# ---- products

def _ends(node: Node, one: Axes, other: Axes) -> tuple[Factors, Factors]:
    """The last two axes of a product of matrices."""
    left, inner = (one[-2], one[-1])[::-1 if node.transpose_a else 1]
    outer, right = (other[-2], other[-1])[::-1 if node.transpose_b else 1]
    unify(product(inner), product(outer))
    return left, right


@rule('batch_dot')
def _batch_dot(node: Node, inputs: list[Axes]) -> list[Axes]:
    rank = len(first([inputs[0] or inputs[1]]))
    if rank < 3:
        raise SizeError('%d axes and 3 axes' % rank)
    one, other = (of_rank(rank, axes) for axes in inputs)
    return [[*alike([one[:-2], other[:-2]]), *_ends(node, one, other)]]


@rule('dot')
def _dot(node: Node, inputs: list[Axes]) -> list[Axes]:
    one, other = first(inputs[:1]), first(inputs[1:])
    if len(one) == len(other) == 1:
        unify(product(one[0]), product(other[0]))
        return [[()]]
    left, right = node.transpose_a and len(one) > 1, node.transpose_b and len(other) > 1
    unify(product(one[0 if left else -1]), product(other[-1 if right else 0]))
    return [(one[1:] if left else one[:-1]) + (other[:-1] if right else other[1:])]


@rule('_linalg_gemm2 _linalg_gemm')
def _gemm(node: Node, inputs: list[Axes]) -> list[Axes]:
    one, other = first(inputs[:1]), first(inputs[1:2])
    rows = place_of(node.axis, one)
    if rows == len(one) - 1 or len(one) != len(other):
        raise UnknownAxes
    left, right = ([*axes[:rows], *axes[rows + 1:-1], axes[rows], axes[-1]]
                   for axes in (one, other))
    made = [agree(*pair) for pair in zip(left[:-2], right[:-2])]
    height, width = _ends(node, left, right)
    return [[*made[:rows], height, *made[rows:], width]]
