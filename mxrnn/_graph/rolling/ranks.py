"""The number of axes of values, and which values are rows, as far as the graph tells."""
from __future__ import annotations

from typing import Mapping, Optional, Sequence, Tuple

from ..graph import Node
from ..operator_table import row
from ..shapes.axis_factors import number_of
from ..shapes.infer import axes_of
from ..shapes.rule_api import NOT_INFERRED
from ..shapes.sizes import Axis
from .numbered_values import Values

__all__ = ['Rank', 'find_ranks']

Rank = Optional[int]  #: None: unknown


#: By axis, 1 or any size; None: an unknown number of axes.
_Ones = Optional[Tuple[Optional[int], ...]]


def find_ranks(values: Values) -> tuple[list[Rank], set[int]]:
    """By value, its rank or None; and the values whose axis 1 has one element."""
    shapes = _shapes(values, {})
    ranks = {values.rank_class(value): len(shape) for value, shape in enumerate(shapes)
             if shape is not None}
    told = {i: ranks.get(values.rank_class(values.first[i]), 0)
            for i, node in enumerate(values.nodes) if node.is_variable and not node.stated_shape}
    if any(told.values()):
        shapes = _shapes(values, told)
    return [None if shape is None else len(shape) for shape in shapes], {
        value for value, shape in enumerate(shapes) if shape and shape[1:2] == (1,)}


def _shapes(values: Values, ranks: Mapping[int, int]) -> list[_Ones]:
    """By value, its ones. `ranks` are those of variables that state no shape."""
    shapes: list[_Ones] = []
    known: dict[tuple[int, tuple[_Ones, ...]], list[_Ones]] = {}
    for i, node in enumerate(values.nodes):
        given = tuple([shapes[arg] for arg in values.args[i]])
        key = values.labels[i], given
        if i in ranks:
            shapes.append((None,) * ranks[i] or None)
            continue
        if key not in known:
            known[key] = _outputs(node, given)
        shapes.extend([*known[key], *[None] * values.counts[i]][:values.counts[i]])
    return shapes


def _outputs(node: Node, given: Sequence[_Ones]) -> list[_Ones]:
    """Its outputs' ones, from those of its inputs."""
    if node.is_variable:
        return [(None,) * len(node.stated_shape) or None]
    own = row(node.op)
    labels = own.positions('label') if own is not None else ()
    try:
        return [tuple([1 if number_of(axis) == 1 else None for axis in axes]) or None
                for axes in axes_of(node, [
                    [(size or Axis(),) for size in shape or ()] for at, shape in enumerate(given)
                    if at not in labels])]
    except NOT_INFERRED:
        return []
