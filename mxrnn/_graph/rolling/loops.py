"""Recurrences that no operator computes, as loops over their steps; their states may grow, or
spread from one row to several."""
from __future__ import annotations

from typing import Callable, Sequence, TypeVar

from ..graph import Entry, Node
from ..graph_editing import Work, Writer
from ..operator_table import has
from .batching_rules import Write
from .numbered_values import Values, has_one_shape, keeps_states
from .step_columns import Column, Declined, StepRecurrence

__all__ = ['Loop', 'step_by_step']

_T = TypeVar('_T')


def _rows_of(node: Node, given: Sequence[int]) -> int:
    """The rows of a node (see `Loop._rows`), by those of what it reads."""
    joins = has(node.op, 'joins') and node.dim > 0
    if joins or node.op.startswith('broadcast_') or has_one_shape(node):
        return max(given)
    return 1 if 1 in given else given[0]  # they may be any input's


def _write_loop(writer: Writer, name: str, body: Writer,
                groups: Sequence[Sequence[tuple[Entry, Entry]]], outputs: Sequence[Entry],
                after: Sequence[Entry]) -> Entry:
    """A node that runs `body` for each step.

    Parameters
    ----------
    groups : list of list of pair
        Variables of the body and their values: sequences, begin states, values for all steps.
    outputs, after : list of Entry
        The body's outputs for each step, and the next states.
    """
    heads = [*outputs, *after]
    # All variables are reached, also those that only the last step would have needed.
    graph, places = body.placed(heads)
    variables = [place for place, node in enumerate(graph.nodes) if node.is_variable]
    inputs = [entry for group in groups for _, entry in group]
    return writer.add('_foreach', name, {
        'num_args': len(inputs) + 1, 'num_outputs': len(heads), 'num_out_data': len(outputs),
        **{key: '[%s]' % ', '.join([str(variables.index(places[variable.node]))
                                    for variable, _ in group])
           for key, group in zip(('in_data_locs', 'in_state_locs', 'remain_locs'), groups)}},
        inputs, len(heads), (graph,))


def step_by_step(node: Node, moving: Sequence[bool], outputs: int) -> Write:
    """An operator in a loop without states, with only its first outputs: no back end has further
    ones of LayerNorm."""
    def write(writer: Writer, name: str, inputs: Sequence[Entry]) -> Entry:
        body = Writer()
        given = [body.add('', '%s_input%d' % (name, at), {}, []) for at in range(len(inputs))]
        place = body.copy(node, given).node
        data, others = [[pair for pair, moves in zip(zip(given, inputs), moving) if moves is each]
                        for each in (True, False)]
        return _write_loop(writer, name, body, [data, [], others],
                           [Entry(place, at) for at in range(outputs)], [])
    return write


class Loop:
    """A recurrence as a loop: its body is one step."""

    def __init__(self, values: Values, recurrence: StepRecurrence) -> None:
        self._values, self._recurrence = values, recurrence
        self.states = recurrence.states
        #: The next states.
        self.afters: list[Column] = [state.after for state in self.states]  # type: ignore[misc]
        #: By state that grows: the axis, and how many of its last elements the steps read.
        self.windows = {id(state): self._window(state) for state in self._growing()}
        self.data: list[Column] = []
        self.others: list[Column] = []
        for column in recurrence.outside:
            (self.others if values.are_one(column.by_step) else self.data).append(column)
        if not self.data:  # something must tell how many steps there are
            if not self.others:
                raise Declined('its steps read nothing')
            column = min(self.others, key=lambda column: (
                values.node(column.by_step[0]).is_variable, column.by_step[0]))
            self.others.remove(column)
            column.by_step = column.by_step[:1] * recurrence.steps
            self.data.append(column)
        #: The loop's outputs in all steps: states that are only read after the last step are not
        #: among these.
        self._read = [column for column, steps in recurrence.read
                      if steps != [recurrence.steps - 1] or column not in self.afters]
        self._refuse_single_rows(self._read)
        for family in recurrence.families:
            node = values.nodes[family.nodes[0]]
            if keeps_states(node):
                raise Declined('%s keeps something from step to step: %s' % (node.op, node.name))

    def write(self, writer: Writer, name: str) -> Work:
        """Write the loop; return its outputs by column, for all steps and after the last."""
        body = Writer()
        made: dict[int, Entry] = {}  # by column from outside or state, and by family
        groups: list[list[tuple[Entry, Entry]]] = []
        for columns, kind in (
                (self.data, 'by_step'), (self.states, 'value'), (self.others, 'value')):
            groups.append([])
            for column in columns:
                entry = yield kind, column.by_step if kind == 'by_step' else column.by_step[0]
                node = self._values.node(column.by_step[0])
                if id(column) in self.windows:
                    entry = self._end(writer, entry, column)
                made[id(column)] = body.add('', node.name, {}, [])
                groups[-1].append((made[id(column)], entry))

        def entries(columns: Sequence[Column]) -> list[Entry]:
            return [made[id(column)] if column.family is None else
                    Entry(made[id(column.family)].node, column.output) for column in columns]
        for family in self._recurrence.families:
            made[id(family)] = body.copy(self._values.nodes[family.nodes[0]],
                                         entries(family.inputs))
        afters = [self._end(body, entry, state) if id(state) in self.windows else entry
                  for state, entry in zip(self.states, entries(self.afters))]
        loop = _write_loop(writer, name + '_rolled', body, groups, entries(self._read), afters)
        return ({id(column): Entry(loop.node, at) for at, column in enumerate(self._read)},
                {id(after): Entry(loop.node, len(self._read) + at)
                 for at, after in enumerate(self.afters)})

    # ---- states that grow or spread

    def _refuse_single_rows(self, read: Sequence[Column]) -> None:
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

    def _end(self, writer: Writer, entry: Entry, state: Column) -> Entry:
        """The elements of a growing state that the steps read."""
        axis, count = self.windows[id(state)]
        return writer.once('slice_axis', self._values.node(state.by_step[0]).name + '_window', {
            'axis': axis, 'begin': -count, 'end': None}, entry)
