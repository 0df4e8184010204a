"""How many axes values have, as far as the graph tells."""
from __future__ import annotations

from typing import Callable, Optional, Sequence

from ..graph import Node
from ..operators import row
from .values import Values, has_one_shape, stated_shape

__all__ = ['Rank', 'find_ranks']

Rank = Optional[int]  #: None: not known.

#: Operators whose row says what nearly all programs mean.
_GUESSED = ('dot', 'tile')

#: Operators whose inputs all have as many axes as their output.
_OF_ONE_RANK = ('Concat', 'batch_dot')


#: By the ranks of what a node reads, the rank of its first output.
_Rule = Callable[[Sequence[Rank]], Rank]


def find_ranks(values: Values) -> list[Rank]:
    """By value, its rank or None."""
    ranks: list[Rank] = []
    rules: dict[int, _Rule] = {}
    for i, node in enumerate(values.nodes):
        label = values.labels[i]
        if label not in rules:
            rules[label] = _rule(node)
        rank = rules[label]([ranks[arg] for arg in values.args[i]])
        ranks.append(rank)
        alike = node.op in ('SliceChannel', '_split_v2', 'RNN')
        ranks.extend([rank if alike else None] * (values.counts[i] - 1))
    return ranks


def _rule(node: Node) -> _Rule:
    """How the rank of `node` and of all that differ from it in what they read follows."""
    if not node.inputs:
        stated = len(stated_shape(node)) or None
        return lambda given: stated
    if has_one_shape(node) or node.op in _OF_ONE_RANK:
        return lambda given: next((rank for rank in given if rank is not None), None)
    if node.op.startswith('broadcast_') and node.op != 'broadcast_like':
        return _widest
    if node.op == 'where':
        return lambda given: given[2] if given[1] is None else given[1]
    own = row(node.op)
    if own is None or node.subgraphs or node.op in _GUESSED:
        return lambda given: None
    numbers = own.axes(node) if callable(own.axes) else own.axes
    if numbers and numbers[0] is not None:
        return lambda given: numbers[0]
    more = own.more_axes(node) if callable(own.more_axes) else own.more_axes
    return lambda given: None if more is None or given[0] is None else max(1, given[0] + more)


def _widest(given: Sequence[Rank]) -> Rank:
    known = [rank for rank in given if rank is not None]
    return max(known) if len(known) == len(given) else None
