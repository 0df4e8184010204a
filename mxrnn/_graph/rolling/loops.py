"""Recurrences that no operator computes, as loops over their steps."""
from __future__ import annotations

from typing import Sequence

from ..graph import Entry, Node
from .columns import Column, Declined, Recurrence
from .lifting import Write
from .values import Values, has_one_shape, keeps_states, stated_shape
from .writing import Work, Writer

__all__ = ['Loop', 'step_by_step']


def _write_loop(writer: Writer, name: str, body: Writer,
                groups: Sequence[Sequence[tuple[Entry, Entry]]], outputs: Sequence[Entry],
                after: Sequence[Entry]) -> Entry:
    """A node that runs `body` for each step.

    Parameters
    ----------
    groups : list of list of pair
        A variable of the body, and what it is: sequences, begin states, the same in all steps.
    outputs, after : list of Entry
        What the body gives for each step, and the next states.
    """
    heads: list[Entry] = []
    for entry in [*outputs, *after]:  # each output of a loop is one of another node
        heads.append(body.add('_copy', name + '_out', {}, [entry]) if entry in heads else entry)
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


def step_by_step(node: Node, moving: Sequence[bool]) -> Write:
    """An operator in a loop without states."""
    def write(writer: Writer, name: str, inputs: Sequence[Entry]) -> Entry:
        body = Writer()
        given = [body.add('', '%s_input%d' % (name, at), {}, []) for at in range(len(inputs))]
        place = body.copy(node, given).node
        data, others = [[pair for pair, moves in zip(zip(given, inputs), moving) if moves is each]
                        for each in (True, False)]
        return _write_loop(writer, name, body, [data, [], others],
                           [Entry(place, at) for at in range(node.num_outputs)], [])
    return write


class Loop:
    """A recurrence as a loop: its body is one step."""

    def __init__(self, values: Values, recurrence: Recurrence) -> None:
        self._values, self._recurrence = values, recurrence
        #: The operators of a step.
        self.operators = {values.nodes[family.nodes[0]].op for family in recurrence.families}
        self.states = recurrence.states
        self.data: list[Column] = []
        self.others: list[Column] = []
        for column in recurrence.outside:
            (self.others if values.are_one(column.lanes) else self.data).append(column)
        if not self.data:  # something must say how many steps there are
            if not self.others:
                raise Declined('its steps read nothing')
            column = min(self.others, key=lambda column: (
                values.node(column.lanes[0]).is_variable, column.lanes[0]))
            self.others.remove(column)
            column.lanes = column.lanes[:1] * recurrence.steps
            self.data.append(column)
        if any(map(self._grows, self.states)):
            raise Declined('a state grows from step to step')
        if self._broadcasts and any(map(self._spreads, recurrence.read)):
            raise Declined('its first step may have one row for the whole batch')
        for family in recurrence.families:
            node = values.nodes[family.nodes[0]]
            if keeps_states(node):
                raise Declined('%s keeps something from step to step: %s' % (node.op, node.name))

    @property
    def spreads_a_row(self) -> bool:
        """Whether a state may begin with one row for the batch, and have more from then on."""
        return self._broadcasts and any(self._begins_with(state)[:1] == (1,)
                                        for state in self.states)

    @property
    def _broadcasts(self) -> bool:
        return any(op.startswith('broadcast_') for op in self.operators)

    def _begins_with(self, state: Column) -> tuple[int, ...]:
        return stated_shape(self._values.node(state.lanes[0]))

    def _spreads(self, read: tuple[Column, list[int]]) -> bool:
        """Whether a column of which several steps are read is computed of a state before that may
        begin with one row."""
        column, steps = read
        pending = [column] if len(steps) > 1 and column not in [
            state.after for state in self.states] else []
        seen: set[int] = set()
        while pending:
            each = pending.pop()
            if each.after is not None:
                if self._begins_with(each)[:1] in ((), (1,)) and not self._values.one_shape(
                        *each.lanes[:2]):
                    return True
            elif each.family is not None and id(each) not in seen:
                seen.add(id(each))
                pending.extend(each.family.inputs)
        return False

    def _grows(self, state: Column) -> bool:
        """Whether each step joins something to a state, and the next has both as its state."""
        pending, seen = [(state.after, False)], set()
        while pending:
            each = column, joined = pending.pop()
            if column is None or column.family is None or each in seen:
                if joined and column is state:
                    return True
                continue
            seen.add(each)
            node = self._values.nodes[column.family.nodes[0]]
            joins = node.op == 'Concat'
            if joins or has_one_shape(node):
                pending.extend((each, joined or joins) for each in column.family.inputs)
        return False

    def write(self, writer: Writer, name: str) -> Work:
        """Write the loop; return by column what it gives in all steps, and after the last one."""
        body = Writer()
        made: dict[int, Entry] = {}  # by column from outside or state, and by family
        groups: list[list[tuple[Entry, Entry]]] = []
        for columns, what in ((self.data, 'input'), (self.states, 'state'), (self.others, 'other')):
            groups.append([])
            for at, column in enumerate(columns):
                entry = yield ('lanes', column.lanes) if what == 'input' else (
                    'value', column.lanes[0])
                node = self._values.node(column.lanes[0])
                own = node.name if what == 'other' and node.is_variable else (
                    '%s_%s%d' % (name, what, at))
                made[id(column)] = body.add('', own, {}, [])
                groups[-1].append((made[id(column)], entry))

        def entries(columns: Sequence[Column]) -> list[Entry]:
            return [made[id(column)] if column.family is None else
                    Entry(made[id(column.family)].node, column.output) for column in columns]
        for family in self._recurrence.families:
            made[id(family)] = body.copy(self._values.nodes[family.nodes[0]],
                                         entries(family.inputs))
        last = self._recurrence.steps - 1
        afters = [state.after for state in self.states if state.after is not None]
        # Of a state that is read after the last step alone the others are no outputs; but MXNet has
        # no gradients of loops without any.
        read = [column for column, steps in self._recurrence.read
                if steps != [last] or column not in afters] or [
                    column for column, _ in self._recurrence.read]
        loop = _write_loop(writer, name + '_rolled', body, groups, entries(read), entries(afters))
        return ({id(column): Entry(loop.node, at) for at, column in enumerate(read)},
                {id(after): Entry(loop.node, len(read) + at) for at, after in enumerate(afters)})
