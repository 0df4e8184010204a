"""The effect of operators that reduce, order or look up on axes."""
from __future__ import annotations

from ..graph import Node
from .axis_factors import (
    Axes,
    UnknownAxes,
    alike,
    as_long,
    mixed,
    mixed_along,
    number_of,
    place_of,
    replaced,
    rule,
)
from .sizes import product, reduced_axes
from .unification import unify

__all__: list[str] = []


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


# ---- look-ups

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


rule('one_hot')(lambda node, data: [*data, (node.depth,)])
rule('batch_take')(lambda node, data, index: as_long(data[:1], 0, index))
