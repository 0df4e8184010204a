"""The number of axes of values, as far as the graph tells."""
from __future__ import annotations

from typing import Optional, Sequence

from ..graph import Node
from ..operator_table import row
from ..shapes.infer import axes_of
from ..shapes.rule_api import UnknownAxes
from ..shapes.sizes import Axis
from ..shapes.unification import SizeError
from .values_numbered_without_detours import Values, stated_shape

__all__ = ['Rank', 'find_ranks']

Rank = Optional[int]  #: None: unknown


def find_ranks(values: Values) -> list[Rank]:
    """By value, its rank or None."""
    ranks: list[Rank] = []
    known: dict[tuple[int, tuple[Rank, ...]], list[Rank]] = {}
    for i, node in enumerate(values.nodes):
        given = tuple([ranks[arg] for arg in values.args[i]])
        key = values.labels[i], given
        if key not in known:
            known[key] = _outputs(node, given)
        ranks.extend([*known[key], *[None] * values.counts[i]][:values.counts[i]])
    return ranks


def _outputs(node: Node, given: Sequence[Rank]) -> list[Rank]:
    """The ranks of a node's outputs, from those of its inputs."""
    if node.is_variable:
        return [len(stated_shape(node)) or None]
    own = row(node.op)
    labels = own.positions('label') if own is not None else ()
    try:
        return [len(axes) or None for axes in axes_of(node, [
            [(Axis(),) for _ in range(rank or 0)] for at, rank in enumerate(given)
            if at not in labels])]
    except (UnknownAxes, SizeError, IndexError):
        return []
