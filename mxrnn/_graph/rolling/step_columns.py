"""The parts of steps: columns, which have one value of each step, and families, which have one node
of each step."""
from __future__ import annotations

from typing import Sequence, Tuple

from .numbered_values import Values

__all__ = ['ByStep', 'Column', 'Declined', 'NodeGroup', 'StepRecurrence', 'Taken', 'alike']

ByStep = Tuple[int, ...]  #: one value for each step


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
    by_step : tuple of int
        The values. If nothing needs the last ones, the graph lacks them, and there are fewer values
        than steps.
    family : Family or None
        For a part of the step: the nodes whose output number `output` is the column.
    after : Column or None
        For a state: its value in the next step. Its first value is the begin state.
    """

    __slots__ = ('after', 'family', 'by_step', 'output')

    def __init__(self, by_step: ByStep) -> None:
        self.by_step = by_step
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
        The nodes of a step, each behind the nodes that it reads in its step.
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
        self.nodes = {node for family in self.families for node in family.nodes}
        heads = set(values.heads)
        self._add_outputs(values)
        #: Columns of which other nodes than the steps read a value, and which steps' values.
        self.read: list[tuple[Column, list[int]]] = []
        for column in columns:
            read = [t for t, value in enumerate(column.by_step) if value in heads
                    or not self.nodes.issuperset(values.readers[value])]
            if read:
                self.read.append((column, read))

    def _add_outputs(self, values: Values) -> None:
        """Make columns for nodes' outputs that the steps do not read."""
        known = {(id(column.family), column.output) for column in self.columns}
        for family in self.families:
            for output, by_step in enumerate(values.columns(family.nodes)):
                if (id(family), output) not in known:
                    column = Column(by_step)
                    column.family, column.output = family, output
                    self.columns.append(column)


def alike(values: Values, by_step: Sequence[int]) -> tuple[int, ...] | None:
    """The nodes with the outputs `by_step`, if all have the same operator, parameters and output
    number; otherwise None."""
    values.spend(len(by_step))
    owner, labels = values.owner, values.labels
    nodes = tuple([owner[value] for value in by_step])
    first = nodes[0]
    label, output = labels[first], by_step[0] - values.first[first]
    for node, value in zip(nodes, by_step):
        if labels[node] != label or value - values.first[node] != output:
            return None
    return nodes
