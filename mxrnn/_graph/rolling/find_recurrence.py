"""Recurrences: the same nodes in every step; each reads the same values of its own step and of the
step before.

A column is one value of each step, from the first step on. It is part of the step; or a state,
which is a value of the step before, or in the first step a begin state; or it comes from outside.
Each claim about a column is checked node by node, so only steps that are all the same are rolled
up.
"""
from __future__ import annotations

from typing import Container, Sequence

from ..operator_table import has
from .numbered_values import Values
from .step_columns import ByStep, Column, Declined, NodeGroup, StepRecurrence, Taken, alike

__all__ = ['find_recurrence']


def find_recurrence(values: Values, seeds: Sequence[int], taken: Container[int]) -> StepRecurrence:
    """The recurrence that contains the nodes `seeds`, one of each step.

    Parameters
    ----------
    taken : container of int
        Nodes of other recurrences, which cannot belong to this one.

    Raises
    ------
    Declined
    """
    return _Search(values, seeds, taken).result()


class _Search:
    """Goes back from one node of each step through everything that depends on the steps."""

    def __init__(self, values: Values, seeds: Sequence[int], taken: Container[int]) -> None:
        self.values, self.seeds, self._taken = values, list(seeds), taken
        self._start = seeds[0]
        self._seed = {node: t for t, node in enumerate(seeds)}
        #: By node from the first seed on, as far as they were needed.
        self._levels: list[int] = []
        #: Columns of each kind, by their first value.
        self._parts: dict[int, list[Column]] = {}
        self._others: dict[int, list[Column]] = {}
        self._states: dict[int, list[Column]] = {}
        self._families: dict[int, list[NodeGroup]] = {}
        self._pending: list[Column] = []
        self._grow()
        while self._complete():
            pass

    def _level(self, value: int) -> int:
        """The last step on which a value depends, or -1."""
        place = self.values.owner[value] - self._start
        while place >= len(self._levels):
            self._add_levels(range(self._start + len(self._levels), self._start + place + 1))
        return self._levels[place] if place >= 0 else -1

    def _add_levels(self, nodes: range) -> None:
        """Find the levels of more nodes."""
        owner, args, levels = self.values.owner, self.values.args, self._levels
        self.values.spend(len(nodes))
        for node in nodes:
            level = self._seed.get(node, -1)
            for arg in args[node]:
                place = owner[arg] - self._start
                if place >= 0 and levels[place] > level:
                    level = levels[place]
            levels.append(level)

    # ---- values that depend on the steps

    def _grow(self) -> None:
        first = self.values.first
        self._part(tuple([first[node] for node in self.seeds]))
        while self._pending:
            self._read(self._pending.pop())

    def _read(self, column: Column) -> None:
        """Find out what the nodes of a part of the step read."""
        values, family = self.values, column.family
        assert family is not None
        read = values.read_by(family.nodes)
        # States of several steps before come first, since they make states of the step before.
        columns = {by_step: self._column(by_step) for by_step in sorted(
            dict.fromkeys(read), key=lambda each: self._delay(each) < 2)}
        family.inputs = [columns[by_step] for by_step in read]

    def _delay(self, by_step: ByStep) -> int:
        """How many steps before a column depends on, if each step depends on as many; or 0."""
        levels = [self._level(value) for value in by_step]
        delay = levels.count(-1)
        return delay if 0 < delay < len(levels) and levels[delay:] == [
            *range(len(levels) - delay)] and levels[:delay] == [-1] * delay else 0

    def _column(self, by_step: ByStep) -> Column:
        levels = [self._level(value) for value in by_step]
        if max(levels) < 0:
            return self._longest(self._others, by_step)
        if all(level == t for t, level in enumerate(levels)):
            return self._part(by_step)
        delay = self._delay(by_step)
        if delay and (self._is_early if delay == 1 else self._reads_states)(by_step):
            return self._part(by_step)
        if delay:
            return self._state(by_step, delay)
        raise Declined('its steps do not read the same things: %s and %s'
                       % tuple(self.values.node(value).name for value in by_step[:2]))

    @staticmethod
    def _known(columns: dict[int, list[Column]], by_step: ByStep) -> Column | None:
        """The column that begins with `by_step`, or with which `by_step` begins."""
        for column in columns.get(by_step[0], ()):
            count = min(len(by_step), len(column.by_step))
            if column.by_step[:count] == by_step[:count]:
                return column
        return None

    def _longest(self, columns: dict[int, list[Column]], by_step: ByStep) -> Column:
        """The column that begins like `by_step`, else a new one."""
        column = self._known(columns, by_step)
        if column is None:
            column = Column(by_step)
            columns.setdefault(by_step[0], []).append(column)
        column.by_step = max(by_step, column.by_step, key=len)
        return column

    def _part(self, by_step: ByStep) -> Column:
        column = self._known(self._parts, by_step)
        if column is not None and len(column.by_step) >= len(by_step):
            return column
        nodes = alike(self.values, by_step)
        if nodes is None:
            raise Declined('its steps are not alike: %s is no %s of another step' % (
                self._odd(by_step), self.values.node(by_step[0]).op))
        column = self._longest(self._parts, by_step)
        column.output, column.family = self.values.output(by_step[0]), self._family(nodes)
        self._pending.append(column)
        return column

    def _odd(self, by_step: ByStep) -> str:
        """The first value that differs from the first step's."""
        for value in by_step[1:]:
            if alike(self.values, (by_step[0], value)) is None:
                return self.values.node(value).name
        return self.values.node(by_step[-1]).name

    def _family(self, nodes: tuple[int, ...]) -> NodeGroup:
        taken = [node for node in nodes if node in self._taken]
        if taken:
            raise Taken('%s belongs to another recurrence' % self.values.nodes[taken[0]].name)
        kept = self.values.kept.intersection(nodes)
        if kept:
            raise Declined('an output has the name of %s' % self.values.nodes[min(kept)].name)
        for family in self._families.setdefault(nodes[0], []):
            count = min(len(nodes), len(family.nodes))
            if family.nodes[:count] == nodes[:count]:
                family.nodes = max(nodes, family.nodes, key=len)
                return family
        family = NodeGroup(nodes)
        self._families[nodes[0]].append(family)
        return family

    def _state(self, by_step: ByStep, delay: int = 1) -> Column:
        """A state. One of several steps before becomes the state of fewer steps before."""
        state = self._longest(self._states, by_step)
        state.after = self._state(by_step[1:], delay - 1) if delay > 1 else self._part(by_step[1:])
        return state

    # ---- values that a step computes from its states before its seed

    def _is_early(self, by_step: ByStep) -> bool:
        """Whether a column that only depends on the step before is computed from states in every
        step, including the first.

        So is a state whose begin state is computed like the later ones: it reads nothing else, and
        nothing else reads a value of it.
        """
        if self._is_state(by_step):
            return False
        seen: set[ByStep] = set()
        pending, states, own = [by_step], [], False
        while pending:
            each = pending.pop()
            if each in seen:
                continue
            seen.add(each)
            self.values.spend(len(each))
            if self.values.are_one(each):
                own = True
                continue
            levels = [self._level(value) for value in each]
            nodes = alike(self.values, each)
            if max(levels) < 0:
                own = True
                if nodes is None and not self._are_inputs(each):
                    return False
                if nodes is not None and any(node in self._taken for node in nodes):
                    continue  # outputs of another recurrence
            elif not self._delay(each):
                return False
            elif self._delay(each) > 1 or self._is_state(each):
                states.append(each)
                continue
            if nodes is not None:
                pending.extend(self.values.read_by(nodes))
        return own or all(len(set(self.values.readers[each[1]])) > 1 for each in states)

    def _reads_states(self, by_step: ByStep) -> bool:
        """Whether a column that depends on several steps before is computed from such states and
        what all steps share, in every step, and each value is read once."""
        if self._is_state(by_step) or any(len(self.values.readers[value]) > 1
                                          or value in self.values.heads for value in by_step):
            return False
        nodes = alike(self.values, by_step)
        delays = [self._delay(each) for each in self.values.read_by(nodes or ())
                  if not self.values.are_one(each)]
        return min(delays, default=0) > 1

    def _is_state(self, by_step: ByStep) -> bool:
        """Whether a column that only depends on the step before is certainly a state."""
        return alike(self.values, by_step) is None or self._known(self._states, by_step) is not None

    def _are_inputs(self, by_step: ByStep) -> bool:
        """Whether each step reads its own value: a variable, or a part of a sequence."""
        owners = [self.values.owner[value] for value in by_step]
        if len(set(by_step)) < len(by_step):
            return False
        read = {tuple(self.values.args[i]) for i in owners}
        return len(set(owners)) == 1 or len(read) == 1 and () not in read or not any(
            self.values.nodes[i].op for i in owners)

    # ---- the last step

    def _complete(self) -> bool:
        """Find values of last steps in the graph that nothing in the steps reads; returns whether
        there are any."""
        found = False
        for families in sorted(self._families.items()):
            for family in families[1]:
                while len(family.nodes) < len(self.seeds):
                    node = self._next(family)
                    if node is None:
                        break
                    family.nodes += (node,)
                    found = True
        for columns in self._parts.values():
            for column in columns:
                nodes = column.family.nodes  # type: ignore[union-attr]
                column.by_step += tuple([self.values.first[node] + column.output
                                       for node in nodes[len(column.by_step):]])
        return found

    def _next(self, family: NodeGroup) -> int | None:
        """The node that follows a family's last node in the next step."""
        values, t = self.values, len(family.nodes)
        wanted = [self._at(column, t) for column in family.inputs]
        # Inputs from outside may be anything there, and so may begin states in the first step.
        outside = [at for at, column in enumerate(family.inputs) if column.is_outside]
        for at in outside:
            if wanted[at] is None or t == 1:
                wanted[at] = -1
        inside = min(set(range(len(wanted))).difference(outside))
        reads = [value for value in wanted if value is not None]
        if len(reads) < len(wanted):
            return None
        last = family.nodes[-1]
        twins = self._twins(values.labels[last], [
            -1 if value == -1 else own for own, value in zip(values.args[last], reads)], inside)
        nodes = self._twins(values.labels[last], reads, inside)
        rank = twins.index(last)
        node = nodes[rank] if len(nodes) == len(twins) else None
        if node is None or node in self._taken or node in values.kept:
            return None
        if t == 1 and has(values.nodes[node].op, 'joins') and not all(
                self._goes_on(family.inputs[at].by_step[0], values.args[node][at])
                for at in outside):
            return None
        for at in outside:
            column, arg = family.inputs[at], values.args[node][at]
            if t == 1 or self._level(arg) >= 0:  # a state of several steps before
                family.inputs[at] = self._column((*column.by_step[:t], arg))
            elif len(column.by_step) == t:
                column.by_step += (arg,)
        while self._pending:
            self._read(self._pending.pop())
        return node

    def _goes_on(self, begin: int, value: int) -> bool:
        """Whether `value` may play in the second step the role of `begin` in the first, even if
        arrays' sizes may differ: true if the steps compute it, as a state that keeps its shape."""
        return self._level(value) < 0 or self.values.one_shape(begin, value)

    def _twins(self, label: int, reads: Sequence[int], at: int) -> list[int]:
        """The nodes that compute the same value, several if they draw random numbers. -1 in `reads`
        stands for any value. The input `at` is used for the look-up."""
        values = self.values
        same = values.same
        return [node for node in dict.fromkeys(values.readers[reads[at]])
                if values.labels[node] == label and all(
                    value == -1 or same[value] == same[arg]
                    for value, arg in zip(reads, values.args[node]))]

    def _at(self, column: Column, t: int) -> int | None:
        """The value of a column in step `t`, if the graph has it."""
        if column.after is not None:
            return column.by_step[t] if t < len(column.by_step) else self._at(column.after, t - 1)
        family, by_step = column.family, column.by_step
        if family is not None:
            return self.values.first[family.nodes[t]] + column.output if (
                t < len(family.nodes)) else None
        if t < len(by_step):
            return by_step[t]
        return by_step[0] if self.values.are_one(by_step) else None

    def result(self) -> StepRecurrence:
        """The recurrence made of the columns that its steps read."""
        parts = [column for columns in self._parts.values() for column in columns]
        families = [family for own in self._families.values() for family in own]
        read = {id(column) for family in families for column in family.inputs}
        outside = [column for columns in self._others.values() for column in columns
                   if id(column) in read]
        for column in outside:
            by_step = column.by_step
            # A single step does not tell whether later ones would read what it computes.
            if len(by_step) < len(self.seeds) and (
                    self.values.node(by_step[0]).inputs if len(by_step) == 1 else
                    not self.values.are_one(by_step)):
                column.by_step = self._completed(by_step)
        return StepRecurrence(self.values, self.seeds, families, parts, [
            column for columns in self._states.values() for column in columns], outside)

    def _completed(self, by_step: ByStep) -> ByStep:
        """`by_step`, extended by values that the last steps would read. The graph lacks their
        readers because nothing needs them; the values are unread outputs of the same node.
        """
        values, source = self.values, self.values.owner[by_step[0]]
        stride = by_step[1] - by_step[0] if len(by_step) > 1 else 0
        wanted = tuple([by_step[0] + t * stride for t in range(len(self.seeds))])
        place = wanted[-1] - values.first[source]
        if not stride or wanted[:len(by_step)] != by_step or (
                place not in range(values.counts[source])):
            raise Declined('its last step lacks an input: %s' % values.node(by_step[-1]).name)
        return wanted
