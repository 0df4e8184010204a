"""Recurrences that no operator computes, as loops over their steps."""
from __future__ import annotations

from typing import Sequence

from ..graph import Entry, Node
from ..graph_editing import Work, Writer
from .batching_rules import Write
from .states_that_grow_or_spread import LoopStates
from .step_columns_and_recurrences import Column, Declined, StepRecurrence
from .values_numbered_without_detours import Values, keeps_states

__all__ = ['Loop', 'step_by_step']


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


class Loop(LoopStates):
    """A recurrence as a loop: its body is one step."""

    def __init__(self, values: Values, recurrence: StepRecurrence) -> None:
        super().__init__(values, recurrence)
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
        self.refuse_single_rows(self._read)
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
                    entry = self.end(writer, entry, column)
                made[id(column)] = body.add('', node.name, {}, [])
                groups[-1].append((made[id(column)], entry))

        def entries(columns: Sequence[Column]) -> list[Entry]:
            return [made[id(column)] if column.family is None else
                    Entry(made[id(column.family)].node, column.output) for column in columns]
        for family in self._recurrence.families:
            made[id(family)] = body.copy(self._values.nodes[family.nodes[0]],
                                         entries(family.inputs))
        afters = [self.end(body, entry, state) if id(state) in self.windows else entry
                  for state, entry in zip(self.states, entries(self.afters))]
        loop = _write_loop(writer, name + '_rolled', body, groups, entries(self._read), afters)
        return ({id(column): Entry(loop.node, at) for at, column in enumerate(self._read)},
                {id(after): Entry(loop.node, len(self._read) + at)
                 for at, after in enumerate(self.afters)})
