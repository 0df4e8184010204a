"""How many axes values have, as far as the graph tells."""
from __future__ import annotations

from typing import Optional

from ..graph import Node
from ..operators import row
from .values import Values, has_one_shape

__all__ = ['find_ranks']

Rank = Optional[int]  #: None: not known.

#: Operators whose row says what nearly all programs mean.
_GUESSED = ('dot', 'tile')


def find_ranks(values: Values) -> list[Rank]:
    """By value, its rank or None."""
    ranks: list[Rank] = []
    for i, node in enumerate(values.nodes):
        rank = _rank(node, [ranks[arg] for arg in values.args[i]])
        alike = node.op in ('SliceChannel', '_split_v2', 'RNN')
        ranks.append(rank)
        ranks.extend([rank if alike else None] * (values.count(i) - 1))
    return ranks


def _rank(node: Node, given: list[Rank]) -> Rank:
    """The rank of the first output of `node`."""
    if not given:
        shape = node.get('__shape__' if node.is_variable else 'shape', ())
        return len(shape) if isinstance(shape, tuple) and shape else None
    known = [rank for rank in given if rank is not None]
    if has_one_shape(node) or node.op == 'Concat':
        return known[0] if known else None
    if node.op.startswith('broadcast_') and len(given) == 2:
        return max(known) if len(known) == 2 else None
    if node.op == 'where':
        return given[1] if given[1] is not None else given[2]
    own = row(node.op)
    if own is None or node.subgraphs or node.op in _GUESSED:
        return None
    numbers = own.axes(node) if callable(own.axes) else own.axes
    if numbers and numbers[0] is not None:
        return numbers[0]
    more = own.more_axes(node) if callable(own.more_axes) else own.more_axes
    return None if more is None or given[0] is None else max(1, given[0] + more)
