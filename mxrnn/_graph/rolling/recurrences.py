"""Recurrences: the same nodes in every step, each reading the same things of its step and of the
one before.

A column is one value of each step, from the first on. It is a part of the step, a state (a part of
the step before, and a begin state in the first), or comes from outside. Each claim about a column
is checked node by node, so nothing is rolled up that is not the same in all steps.
"""
from __future__ import annotations

from typing import Container, Sequence

from ..operators import has
from .step_values import Column, Declined, Lanes, NodeGroup, StepRecurrence, Taken, alike
from .value_numbering import Values

__all__ = ['find_recurrence']


def find_recurrence(values: Values, seeds: Sequence[int], taken: Container[int]) -> StepRecurrence:
    """The recurrence that the nodes `seeds`, one of each step, are a part of.

    Parameters
    ----------
    taken : container of int
        Nodes of other recurrences, which can be no part of this one.

    Raises
    ------
    Declined
    """
    return _Search(values, seeds, taken).result()


class _Search:
    """Goes backwards from one node of each step through everything that depends on the steps."""

    def __init__(self, values: Values, seeds: Sequence[int], taken: Container[int]) -> None:
        self.values, self.seeds, self._taken = values, list(seeds), taken
        self._start = seeds[0]
        self._seed = {node: t for t, node in enumerate(seeds)}
        #: By node from the first seed on, as far as anybody asked.
        self._levels: list[int] = []
        #: Columns of each sort by their first value.
        self._parts: dict[int, list[Column]] = {}
        self._others: dict[int, list[Column]] = {}
        self._states: dict[int, list[Column]] = {}
        self._families: dict[int, list[NodeGroup]] = {}
        self._pending: list[Column] = []
        self._grow()
        while self._complete():
            pass

    def _level(self, value: int) -> int:
        """The last step that a value depends on, -1 if none."""
        place = self.values.owner[value] - self._start
        while place >= len(self._levels):
            self._add_levels(range(self._start + len(self._levels), self._start + place + 1))
        return self._levels[place] if place >= 0 else -1

    def _add_levels(self, nodes: range) -> None:
        """Find the levels of further nodes."""
        owner, args, levels = self.values.owner, self.values.args, self._levels
        self.values.spend(len(nodes))
        for node in nodes:
            level = self._seed.get(node, -1)
            for arg in args[node]:
                place = owner[arg] - self._start
                if place >= 0 and levels[place] > level:
                    level = levels[place]
            levels.append(level)

    # ---- what depends on the steps

    def _grow(self) -> None:
        first = self.values.first
        self._part(tuple([first[node] for node in self.seeds]))
        while self._pending:
            self._read(self._pending.pop())

    def _read(self, column: Column) -> None:
        """Find out what the nodes of a part of the step read."""
        values, family = self.values, column.family
        assert family is not None
        family.inputs = [self._column(lanes) for lanes in values.read_by(family.nodes)]

    def _column(self, lanes: Lanes) -> Column:
        levels = [self._level(value) for value in lanes]
        if max(levels) < 0:
            return self._longest(self._others, lanes)
        if all(level == t for t, level in enumerate(levels)):
            return self._part(lanes)
        if all(level == t - 1 for t, level in enumerate(levels)):
            return self._part(lanes) if self._is_early(lanes) else self._state(lanes)
        raise Declined('its steps do not read the same things: %s and %s'
                       % tuple(self.values.node(value).name for value in lanes[:2]))

    @staticmethod
    def _known(columns: dict[int, list[Column]], lanes: Lanes) -> Column | None:
        """The column of which `lanes` is the begin, or that is a begin of it."""
        for column in columns.get(lanes[0], ()):
            count = min(len(lanes), len(column.lanes))
            if column.lanes[:count] == lanes[:count]:
                return column
        return None

    def _longest(self, columns: dict[int, list[Column]], lanes: Lanes) -> Column:
        """The column that begins as `lanes` do, a new one if there is none."""
        column = self._known(columns, lanes)
        if column is None:
            column = Column(lanes)
            columns.setdefault(lanes[0], []).append(column)
        column.lanes = max(lanes, column.lanes, key=len)
        return column

    def _part(self, lanes: Lanes) -> Column:
        column = self._known(self._parts, lanes)
        if column is not None and len(column.lanes) >= len(lanes):
            return column
        nodes = alike(self.values, lanes)
        if nodes is None:
            raise Declined('its steps are not alike: %s is no %s of another step' % (
                self._odd(lanes), self.values.node(lanes[0]).op))
        column = self._longest(self._parts, lanes)
        column.output, column.family = self.values.output(lanes[0]), self._family(nodes)
        self._pending.append(column)
        return column

    def _odd(self, lanes: Lanes) -> str:
        """The first value that is not as the first one is."""
        for value in lanes[1:]:
            if alike(self.values, (lanes[0], value)) is None:
                return self.values.node(value).name
        return self.values.node(lanes[-1]).name

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

    def _state(self, lanes: Lanes) -> Column:
        state = self._longest(self._states, lanes)
        state.after = self._part(lanes[1:])
        return state

    # ---- what a step computes of its states before its seed

    def _is_early(self, lanes: Lanes) -> bool:
        """Whether a column that depends on the step before alone is computed from states in every
        step, the first included.

        A state is, too, whose begin state is computed as the later ones are: it reads nothing else,
        and something that nothing else reads.
        """
        if self._is_state(lanes):
            return False
        seen: set[Lanes] = set()
        pending, states, own = [lanes], [], False
        while pending:
            each = pending.pop()
            if each in seen:
                continue
            seen.add(each)
            if len(seen) > 100:
                return False
            if self.values.are_one(each):
                own = True
                continue
            levels = [self._level(value) for value in each]
            nodes = alike(self.values, each)
            if max(levels) < 0:
                own = True
                if nodes is None and not self._are_inputs(each):
                    return False
            elif not all(level == t - 1 for t, level in enumerate(levels)):
                return False
            elif self._is_state(each):
                states.append(each)
                continue
            if nodes is not None:
                pending.extend(self.values.read_by(nodes))
        return own or all(len(set(self.values.readers[each[1]])) > 1 for each in states)

    def _is_state(self, lanes: Lanes) -> bool:
        """Whether a column that depends on the step before alone is a state in any case."""
        return alike(self.values, lanes) is None or self._known(self._states, lanes) is not None

    def _are_inputs(self, lanes: Lanes) -> bool:
        """Whether each step reads one of its own: another variable, or part of a sequence."""
        owners = [self.values.owner[value] for value in lanes]
        if len(set(lanes)) < len(lanes):
            return False
        read = {tuple(self.values.args[i]) for i in owners}
        return len(set(owners)) == 1 or len(read) == 1 and () not in read or not any(
            self.values.nodes[i].op for i in owners)

    # ---- the last step

    def _complete(self) -> bool:
        """Find in the graph values of last steps that nothing in the steps reads; whether any was
        found."""
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
                column.lanes += tuple([self.values.first[node] + column.output
                                       for node in nodes[len(column.lanes):]])
        return found

    def _next(self, family: NodeGroup) -> int | None:
        """The node that is to the next step what the family's are to theirs."""
        values, t = self.values, len(family.nodes)
        wanted = [self._at(column, t) for column in family.inputs]
        # Inputs from outside may be anything there; begin states too, in the first step.
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
                self._goes_on(family.inputs[at].lanes[0], values.args[node][at])
                for at in outside):
            return None
        for at in outside:
            column, arg = family.inputs[at], values.args[node][at]
            if t == 1:
                family.inputs[at] = self._column((column.lanes[0], arg))
            elif len(column.lanes) == t:
                column.lanes += (arg,)
        while self._pending:
            self._read(self._pending.pop())
        return node

    def _goes_on(self, begin: int, value: int) -> bool:
        """Whether `value` may be in the second step what `begin` is in the first, where arrays of
        unlike sizes are right: if the steps compute it, a state that surely keeps its shape."""
        return self._level(value) < 0 or self.values.one_shape(begin, value)

    def _twins(self, label: int, reads: Sequence[int], at: int) -> list[int]:
        """The nodes that compute one and the same, which are several where they draw; -1 among
        `reads` stands for any value. The input `at` is looked up."""
        values = self.values
        same = values.same
        return [node for node in dict.fromkeys(values.readers[reads[at]])
                if values.labels[node] == label and all(
                    value == -1 or same[value] == same[arg]
                    for value, arg in zip(reads, values.args[node]))]

    def _at(self, column: Column, t: int) -> int | None:
        """The value of a column in step `t`, if the graph has it."""
        if column.after is not None:
            return self._at(column.after, t - 1)
        family, lanes = column.family, column.lanes
        if family is not None:
            return self.values.first[family.nodes[t]] + column.output if (
                t < len(family.nodes)) else None
        return lanes[t] if t < len(lanes) else lanes[0] if self.values.are_one(lanes) else None

    def result(self) -> StepRecurrence:
        """The recurrence, of the columns that its steps read."""
        parts = [column for columns in self._parts.values() for column in columns]
        families = [family for own in self._families.values() for family in own]
        read = {id(column) for family in families for column in family.inputs}
        outside = [column for columns in self._others.values() for column in columns
                   if id(column) in read]
        for column in outside:
            lanes = column.lanes
            # One step alone does not tell whether the next ones would read what it computes.
            if len(lanes) < len(self.seeds) and (
                    self.values.node(lanes[0]).inputs if len(lanes) == 1 else
                    not self.values.are_one(lanes)):
                column.lanes = self._completed(lanes)
        return StepRecurrence(self.values, self.seeds, families, parts, [
            column for columns in self._states.values() for column in columns], outside)

    def _completed(self, lanes: Lanes) -> Lanes:
        """`lanes` and what the last steps would read, where the graph lacks it since nobody needs
        what they would compute of it: further outputs of the node that the others are outputs of.
        """
        values, source = self.values, self.values.owner[lanes[0]]
        stride = lanes[1] - lanes[0] if len(lanes) > 1 else 0
        wanted = tuple([lanes[0] + t * stride for t in range(len(self.seeds))])
        place = wanted[-1] - values.first[source]
        if not stride or wanted[:len(lanes)] != lanes or place not in range(values.counts[source]):
            raise Declined('its last step lacks an input: %s' % values.node(lanes[-1]).name)
        return wanted
