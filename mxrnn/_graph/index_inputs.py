"""Inputs that are looked up in tables: numbers of words, and other places."""
from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

from .graph import Graph, Node
from .operator_table import Input, has, row

__all__ = ['Reader', 'is_looked_up', 'only_looked_up', 'readers_of']

#: Inputs of which operators read the shape alone.
_SHAPES = frozenset((('broadcast_like', 1), ('reshape_like', 1), ('shape_array', 0),
                     ('size_array', 0), ('slice_like', 1)))


class Reader(NamedTuple):
    """A node that reads an input, at which of its own inputs, and the graph that has it."""

    graph: Graph
    node: Node
    at: int

    @property
    def input(self) -> Input:
        """The entry of that input in the operator's row."""
        known = row(self.node.op)
        return known.inputs[self.at] if known and self.at < len(known.inputs) else Input('')


def readers_of(graph: Graph, name: str) -> Iterator[Reader]:
    """The readers of an input, also in loops and behind operators that only move elements."""
    same = {place for place, node in enumerate(graph.nodes)
            if node.is_variable and node.name == name}
    for place, node in enumerate(graph.nodes):
        for at, entry in enumerate(node.inputs):
            if entry.node not in same:
                continue
            if node.op == '_foreach':
                body = node.body
                yield from readers_of(body.graph, body.graph.nodes[body.places[at]].name)
            elif has(node.op, 'gathers') or (has(node.op, 'moves') and at == 0):
                same.add(place)
            yield Reader(graph, node, at)


def is_looked_up(graph: Graph, name: str) -> bool:
    """Whether something looks up what an input has, whatever else reads it."""
    return any(reader.input.role == 'index' for reader in readers_of(graph, name))


def only_looked_up(graph: Graph, names: Sequence[str]) -> list[str]:
    """The inputs among `names` of which nothing but look-ups read the numbers; what joins them
    with arrays that are not looked up alone also reads them."""
    found = [name for name in names if is_looked_up(graph, name)]
    before: list[str] = []
    while found != before:  # an input that is left out takes those with it that it is joined with
        before, own = found, {place for place, node in enumerate(graph.nodes)
                              if node.is_variable and node.name in found}
        read = {graph.nodes[place].name for place in _read(graph, own)}
        found = [name for name in before if name not in read]
    return found


def _read(graph: Graph, own: set[int]) -> set[int]:
    """The variables in `own` of which more is read than look-ups do."""
    heads = {head.node for head in graph.heads}
    come: dict[int, set[int]] = {place: {place} for place in own}  # which have come to a node
    read: set[int] = set()
    for place, node in enumerate(graph.nodes):
        for at, entry in enumerate(node.inputs):
            if entry.node in come and not _as_place(node, at):
                if node.op == '_foreach':
                    body = node.body
                    inner = {body.places[at]}
                    # A state has the type of what each step makes of it.
                    is_state = body.data <= at < body.data + body.states
                    if not (is_state or _read(body.graph, inner)):
                        continue
                elif has(node.op, 'moves') and at == 0 or has(node.op, 'gathers') and all(
                        each.node in come for each in node.inputs):
                    come.setdefault(place, set()).update(come[entry.node])
                    continue
                read |= come[entry.node]
    return read.union(*(come[place] for place in heads if place in come))


def _as_place(node: Node, at: int) -> bool:
    """Whether a node reads of its input `at` places in a table, or the shape alone."""
    known = row(node.op)
    return known is not None and (at in known.unread or (known.name, at) in _SHAPES or (
        at < len(known.inputs) and known.inputs[at].role == 'index'))
