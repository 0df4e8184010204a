"""The parts of a step: columns, which are one value of each step, and families, which are one node
of each."""
from __future__ import annotations

from typing import Sequence, Tuple

from .value_numbering import Values

__all__ = ['Column', 'Declined', 'Lanes', 'NodeGroup', 'StepRecurrence', 'Taken', 'alike']

Lanes = Tuple[int, ...]  #: One value a step.


class Declined(Exception):
    """Steps cannot be rolled up; the message says why."""


class Taken(Declined):
    """A node belongs to another recurrence already."""


class NodeGroup:
    """One node of each step, all with the same operator and parameters."""

    __slots__ = ('inputs', 'nodes')

    def __init__(self, nodes: tuple[int, ...]) -> None:
        self.nodes = nodes
        self.inputs: list[Column] = []


class Column:
    """One value of each step.

    Attributes
    ----------
    lanes : tuple of int
        The values; fewer than there are steps where the graph has not the last ones, which nothing
        needs.
    family : Family or None
        What gives them, for a part of the step; the column is its output number `output`.
    after : Column or None
        Of a state: what it is in the next step. Its first value is the begin state.
    """

    __slots__ = ('after', 'family', 'lanes', 'output')

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.family: NodeGroup | None = None
        self.output = 0
        self.after: Column | None = None

    @property
    def is_outside(self) -> bool:
        return self.family is None and self.after is None


class StepRecurrence:
    """Steps that are the same.

    Attributes
    ----------
    steps : int
    families : list of Family
        The nodes of a step, in an order in which each comes after what it reads of its step.
    columns : list of Column
        The parts of the step.
    states : list of Column
    outside : list of Column
    """

    def __init__(self, values: Values, seeds: Sequence[int], families: list[NodeGroup],
                 columns: list[Column], states: list[Column], outside: list[Column]) -> None:
        self.steps = len(seeds)
        self.seeds = tuple(seeds)
        self.columns, self.states, self.outside = columns, states, outside
        self.families = sorted(families, key=lambda family: family.nodes[0])
        claimed = {node for family in self.families for node in family.nodes}
        self.nodes = claimed
        heads = set(values.heads)
        self._add_outputs(values)
        #: Columns of which something else than the steps reads a value, and which steps' values.
        self.read: list[tuple[Column, list[int]]] = []
        for column in columns:
            read = [t for t, value in enumerate(column.lanes) if value in heads
                    or not claimed.issuperset(values.readers[value])]
            if read:
                self.read.append((column, read))

    def _add_outputs(self, values: Values) -> None:
        """Make columns of the outputs of nodes of the steps that the steps do not read."""
        known = {(id(column.family), column.output) for column in self.columns}
        for family in self.families:
            for output in range(values.counts[family.nodes[0]]):
                if (id(family), output) not in known:
                    column = Column(tuple([values.first[node] + output for node in family.nodes]))
                    column.family, column.output = family, output
                    self.columns.append(column)


def alike(values: Values, lanes: Sequence[int]) -> tuple[int, ...] | None:
    """The nodes that give `lanes`, if all have one operator and parameters, and it is the same
    output of each; else None."""
    values.spend(len(lanes))
    owner, labels = values.owner, values.labels
    nodes = tuple([owner[value] for value in lanes])
    first = nodes[0]
    label, output = labels[first], lanes[0] - values.first[first]
    for node, value in zip(nodes, lanes):
        if labels[node] != label or value - values.first[node] != output:
            return None
    return nodes
