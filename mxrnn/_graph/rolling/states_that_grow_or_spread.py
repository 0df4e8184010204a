"""States of loops that change their shape: they grow, or spread from one row to several."""
from __future__ import annotations

from typing import Callable, Sequence, TypeVar

from ..graph import Entry, Node
from ..graph_editing import Writer
from ..operator_table import has
from .step_columns_and_recurrences import Column, Declined, StepRecurrence
from .values_numbered_without_detours import Values, has_one_shape

__all__ = ['LoopStates']

_T = TypeVar('_T')


def _rows_of(node: Node, given: Sequence[int]) -> int:
    """The rows of a node (see `LoopStates._rows`), by those of what it reads."""
    joins = has(node.op, 'joins') and node.dim > 0
    if joins or node.op.startswith('broadcast_') or has_one_shape(node):
        return max(given)
    return 1 if 1 in given else given[0]  # they may be any input's


class LoopStates:
    """The states of a recurrence whose steps become a loop."""

    def __init__(self, values: Values, recurrence: StepRecurrence) -> None:
        self._values, self._recurrence = values, recurrence
        self.states = recurrence.states
        #: The next states.
        self.afters: list[Column] = [state.after for state in self.states]  # type: ignore[misc]
        #: By state that grows: the axis, and how many of its last elements the steps read.
        self.windows = {id(state): self._window(state) for state in self._growing()}

    def refuse_single_rows(self, read: Sequence[Column]) -> None:
        """Decline a loop whose outputs `read` may have fewer rows in the first step."""
        rows = self._through(self._rows, _rows_of)
        broadcasts = any(self._values.nodes[family.nodes[0]].op.startswith('broadcast_')
                         for family in self._recurrence.families)
        if broadcasts and any(rows(column) == 1 for column in read):
            raise Declined('its first step may have one row for the whole batch')

    def _begins_with(self, state: Column) -> tuple[int, ...]:
        """The shape of a begin state, as the variable from which it is computed states it."""
        place = self._values.owner[state.by_step[0]]
        while has_one_shape(self._values.nodes[place]):
            place = self._values.owner[self._values.args[place][0]]
        return self._values.nodes[place].stated_shape

    def _through(self, outside: Callable[[Column], _T], inside: Callable[[Node, list[_T]], _T]
                 ) -> Callable[[Column], _T]:
        """For each column, something that follows in parts of the step from their nodes' inputs."""
        made: dict[int, _T] = {}

        def of(column: Column) -> _T:
            return outside(column) if column.family is None else made[id(column.family)]
        for family in self._recurrence.families:
            made[id(family)] = inside(self._values.nodes[family.nodes[0]],
                                      [of(column) for column in family.inputs])
        return of

    def _rows(self, column: Column) -> int:
        """The rows of a column: 2 for the batch's rows, which data are assumed to have; 1 if it may
        begin with one row; 0 if it has none that other values would take over."""
        if column.after is None:
            return 0 if self._values.are_one(column.by_step) else 2
        return 1 if self._begins_with(column)[:1] in ((), (1,)) and not self._values.one_shape(
            *column.by_step[:2]) else 2

    def _growing(self) -> list[Column]:
        """The states to which each step joins something, so that the next has both as its state."""
        def inside(node: Node, given: list[set[tuple[int, bool]]]) -> set[tuple[int, bool]]:
            joins = has(node.op, 'joins')
            return {(state, joined or joins) for each in given for state, joined in each
                    if joins or has_one_shape(node)}
        parts = self._through(lambda column: {(id(column), False)}, inside)
        return [state for state, after in zip(self.states, self.afters)
                if (id(state), True) in parts(after)]

    def _window(self, state: Column) -> tuple[int, int]:
        """The axis along which `state` grows, and how many of its last elements the steps read.

        Its end is all that steps read, as of a series of which each step reads some lags. So it
        needs no other elements, and has a fixed size.
        """
        after, families = state.after, self._recurrence.families
        assert after is not None and after.family is not None
        nodes = self._values.nodes
        join = nodes[after.family.nodes[0]]
        reads = [nodes[family.nodes[0]] for family in families
                 if state in family.inputs and family is not after.family]
        kept = after in [column for column, _ in self._recurrence.read] or any(
            after in family.inputs for family in families)
        if kept or state not in after.family.inputs or not has(join.op, 'joins') or not (
                reads and all(node.op == 'slice_axis' and node.axis == join.dim and node.begin < 0
                              and (node.end is None or node.end < 0) for node in reads)):
            raise Declined('a state grows from step to step')
        return join.dim, max(-node.begin for node in reads)

    def end(self, writer: Writer, entry: Entry, state: Column) -> Entry:
        """The elements of a growing state that the steps read."""
        axis, count = self.windows[id(state)]
        return writer.once('slice_axis', self._values.node(state.by_step[0]).name + '_window', {
            'axis': axis, 'begin': -count, 'end': None}, entry)
