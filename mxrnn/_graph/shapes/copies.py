"""Values that a program computes more than once, and rounds that it repeats."""
from __future__ import annotations

from typing import Hashable, Sequence

from ..graph import Entry, Graph
from ..operator_table import has
from .constants import TELLING

__all__ = ['CONSTANTS', 'inputs_as_computed', 'rounds_of']

#: Operators whose values are the same whatever their inputs are.
CONSTANTS = 'zeros_like', 'ones_like', '_contrib_arange_like'


def inputs_as_computed(graph: Graph) -> list[list[Entry]]:
    """By place, the inputs of a node; of values that are computed alike, as ``tanh(x)`` written
    twice, the first."""
    first: dict[Hashable, int] = {}
    found: list[list[Entry]] = []
    owner: list[int] = []
    for place, node in enumerate(graph.nodes):
        found.append([Entry(owner[entry.node], entry.output) for entry in node.inputs])
        owner.append(place if node.is_variable or node.subgraphs or has(node.op, 'draws') else (
            first.setdefault((node.op, *sorted(node.attrs.items()), *found[-1]), place)))
    return found


def rounds_of(graph: Graph, read: Sequence[Sequence[Entry]]) -> dict[int, int]:
    """By place of a node in the last of several like rounds, how many the rounds are, or how many
    values they join.

    A round reads the one before and otherwise the same: ``x + x + x``, ``y = tanh(y * .9 + x)``.

    Parameters
    ----------
    graph : Graph
    read : list
        By place, the inputs of a node as `inputs_as_computed` tells them.
    """
    by_operator: list[Hashable] = [(node.op, *sorted(node.attrs.items())) for node in graph.nodes]
    # A round that has an operator twice tells its two nodes apart by what they read.
    by_inputs: list[Hashable] = [(kind, *[by_operator[each.node] for each in entries])
                                 for kind, entries in zip(by_operator, read)]
    return {**_rounds(graph, read, by_inputs), **_rounds(graph, read, by_operator)}


def _rounds(graph: Graph, read: Sequence[Sequence[Entry]], kinds: Sequence[Hashable]
            ) -> dict[int, int]:
    """The same if each node is compared with the node of its kind before."""
    last: dict[Hashable, int] = {}
    before: dict[int, int] = {}
    #: By place of a node, what else it reads than the one before does, back to where the rounds
    #: begin: pairs of a value and of what stands in its place.
    changed: dict[int, set[tuple[Entry, Entry]]] = {}
    #: By where rounds begin, their last node and their number.
    counts: dict[tuple[Hashable, Entry, Entry], tuple[int, int]] = {}
    for place, (node, kind) in enumerate(zip(graph.nodes, kinds)):
        earlier = last.get(kind, place)
        unlike = [pair for pair in zip(read[earlier], read[place]) if len({*pair}) == 2]
        if earlier == place or unlike:
            last[kind] = place
        if not unlike or node.is_variable:
            continue
        before[place], changed[place] = earlier, set()
        for old, new in () if node.op in CONSTANTS else unlike:
            after = before.get(new.node) == old.node
            changed[place] |= changed[new.node] if after else {(old, new)}
        if len(changed[place]) == 1 and not has(node.op, 'moves'):
            ((begin, first),) = changed[place]
            if first.node != begin.node and not graph.nodes[first.node].is_variable:
                _, rounds = counts.get((kind, begin, first), (place, 1))
                counts[kind, begin, first] = place, rounds + 1
    found = {}
    for (_, begin, _), (place, rounds) in counts.items():
        if graph.nodes[begin.node].op == '_plus_scalar':  # 0 + x, as Python's sum begins
            begin = read[begin.node][0]
        found[place] = rounds + (begin in read[place])
    return {place: number for place, number in found.items() if number >= TELLING}
