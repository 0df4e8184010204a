"""The effect on axes of operators that compute elements, reduce, sort, look up or make arrays."""
from __future__ import annotations

import math

from ..graph import Node
from ..operator_table import ROWS, has
from .axis_factors import Axes, factors_of, mixed, number_of
from .rule_api import Array, UnknownAxes, alike, broadcast_axes, rule
from .sizes import Axis, product, reduced_axes, resolve
from .unification import unify

__all__: list[str] = []


# ---- element by element

def _repeated(node: Node, one: Array, other: Array) -> Axes:
    """Axes of 1 are repeated as needed."""
    ends = [[resolve(product(axis)) for axis in axes] for axes in (one, other)]
    if len(one) == len(other) > 1 and 1 not in ends[0] + ends[1]:
        # if nothing else is repeated, parts of an input are assumed to be columns of one number
        for size, number in ((ends[0][-1], ends[1][-1]), (ends[1][-1], ends[0][-1])):
            if isinstance(size, Axis) and size.unknown and isinstance(number, int):
                size.bound = 1
    return broadcast_axes([one, other])


_PAIRS = [op for op in ROWS if has(op, 'pair')]
rule('add_n', *_PAIRS, needs=0)(lambda node, *inputs: alike(*inputs))
rule(*(op for op in _PAIRS if op.startswith('broadcast_')), needs=2)(_repeated)
rule('amp_multicast', needs=0)(lambda node, *inputs: inputs)
rule(*(op for op in ROWS if has(op, 'elementwise')))(lambda node, data: data)
rule('''MakeLoss make_loss LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput
    SVMOutput WarpCTC IdentityAttachKLSparseReg''')(lambda node, data, *_: data)
rule('_shuffle')(lambda node, data: data.mixed([0]))


@rule('LeakyReLU')
def _leaky(node: Node, data: Array, slope: Array) -> tuple[Axes, Axes]:
    if node.act_type == 'prelu' and len(slope) == 1 and number_of(slope[0]) != 1:
        data = data.as_long(min(1, len(data) - 1), slope)
    return data, data


@rule('where', needs=0)
def _where(node: Node, condition: Array, *choices: Array) -> Axes:
    data = alike(*choices)
    if len(condition) == 1 < len(data):
        return data.as_long(0, condition)
    kept = len(condition)
    data = data.of_rank(kept) if condition else data
    while kept > 1 and not factors_of(condition[kept - 1]):
        kept -= 1  # (batch, 1) beside (batch, 8) selects rows
    return alike(data, condition and condition[:kept] + data[kept:])


# ---- operators that make arrays

def _named(begin: str) -> list[str]:
    return [op for op in ROWS if op.startswith(begin)]


def _made(node: Node) -> Axes:
    if not node.shape:
        raise UnknownAxes
    return [(size,) if size > 0 else (Axis(),) for size in node.shape]


rule('_zeros _ones _full _zeros_without_dtype', *_named('_random_'))(_made)
rule(*(op for op in _named('_random_') if op.endswith('_like')))(lambda node, data: data)
rule(*_named('_sample_'), needs=0)(lambda node, *inputs: (
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
def _arange_like(node: Node, data: Array) -> Axes:
    # a number depends on how many steps come before it
    return list(map(mixed, data if node.axis is None else [data[data.place(node.axis)]]))


@rule('_sample_multinomial')
def _drawn(node: Node, data: Array) -> tuple[Axes, Axes]:
    made: Axes = data[:-1] + [(size,) for size in node.shape] or [()]
    return made, made


# ---- reductions, order

@rule('sum mean max min prod nansum nanprod norm moments argmax argmin argmax_channel')
def _reduced(node: Node, data: Array) -> tuple[Axes, ...]:
    axis = 1 if node.op == 'argmax_channel' else node.axes if node.op == 'moments' else node.axis
    keeps = node.op != 'argmax_channel' and node.keepdims
    over = [data.place(each) for each in (axis if isinstance(axis, tuple) else
                                              () if axis is None else (axis,))]
    gone = reduced_axes(len(data), over, getattr(node, 'exclude', False))
    left: Axes = [() if at in gone else axis for at, axis in enumerate(data)
                  if at not in gone or keeps]
    return (left or [()],) * (2 if node.op == 'moments' else 1)


def _flat_or_not(node: Node, data: Array) -> tuple[Array, int]:
    """The data, flat if there is no axis, and the axis."""
    return (Array([sum(data, ())]), 0) if node.axis is None else (data, data.place(node.axis))


@rule('_np_cumsum sort argsort')
def _ordered(node: Node, data: Array) -> tuple[Axes, ...]:
    data, axis = _flat_or_not(node, data)
    return (data.mixed([axis]),) * (2 if node.op == 'sort' else 1)


@rule('topk')
def _topk(node: Node, data: Array) -> tuple[Axes, ...]:
    flat, axis = _flat_or_not(node, data)
    if node.ret_typ == 'mask':
        return data.mixed(range(len(data)) if node.axis is None else [axis]),
    return (flat.replaced(axis, [(node.k,)]) if node.k > 0 else flat.mixed([axis]),) * 2


# ---- look-ups

@rule('take', needs=2)
def _take(node: Node, table: Array, places: Array) -> Axes:
    open_ = number_of(table[table.place(node.axis)]) is None  # the indices may have the same axis
    return table.replaced(node.axis, list(map(mixed, places)) if open_ else places)


@rule('pick')
def _pick(node: Node, data: Array, index: Array) -> Axes:
    if node.axis is None:
        raise UnknownAxes
    at = data.place(node.axis)
    rest = data.replaced(at, [])
    kept = len(index) == len(data) and number_of(index[at]) == 1  # the axis stays, with one place
    chosen = index.replaced(at, []) if kept else index
    if rest and chosen:
        rest = alike(rest, chosen)
    return rest.replaced(at, [()] if node.keepdims else [], 1) or [()]


@rule('gather_nd', needs=2)
def _gather_nd(node: Node, data: Array, index: Array) -> Axes:
    count = number_of(index[0])
    if count is None:
        raise UnknownAxes
    return [*map(mixed, index[1:] + data[count:])] or [()]


@rule('scatter_nd', needs=0)
def _scatter_nd(node: Node, data: Array, index: Array) -> Axes:
    made: Axes = [(size,) for size in node.shape]
    if data and index:
        count = len(index) - 1 + len(made) - len(data)
        unify(product(index[0]), count)
        alike(data, index[1:] + made[count:])
    return made


rule('one_hot')(lambda node, data: [*data, (node.depth,)])
rule('batch_take')(lambda node, data, index: Array(data[:1]).as_long(0, index))
