"""The effect of operators that reduce, order or look up on axes."""
from __future__ import annotations

from ..graph import Node
from .axis_factors import Axes, mixed, number_of
from .rule_api import Array, UnknownAxes, alike, rule
from .sizes import product, reduced_axes
from .unification import unify

__all__: list[str] = []


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
