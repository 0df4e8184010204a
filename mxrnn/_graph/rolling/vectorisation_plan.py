"""Plans what the values of all steps become: a sequence, or one operator over sequences."""
from __future__ import annotations

from typing import (
    Any,
    Callable,
    Container,
    Generator,
    Hashable,
    Iterator,
    Literal,
    NamedTuple,
    Sequence,
    Union,
)

from ..graph import Node
from ..graph_editing import Work
from ..operator_table import has
from .batching_rules import Write, lift
from .loops import step_by_step
from .numbered_values import Values, before_swap, has_one_shape, keeps_states
from .step_columns import ByStep, Column, alike

__all__ = ['Apply', 'Circular', 'Claim', 'Leaf', 'Part', 'Plan', 'Planner', 'Same', 'Shift', 'Span',
           'StepSequence', 'settle']


class Claim(NamedTuple):
    """A value is the output of this recurrence: the column's, in one of `total` steps."""

    recurrence: int
    column: Column
    step: int
    total: int


class Same(NamedTuple):
    """One value in all steps."""

    value: int


class Span(NamedTuple):
    """Some of `total` steps, in either order; `total` is None if unknown."""

    first: int
    stride: int
    length: int
    total: int | None

    @property
    def begin(self) -> int:
        return min(self.first, self.first + self.stride * (self.length - 1))


class Part(NamedTuple):
    """Steps of an array along `axis`."""

    source: int
    axis: int
    #: The axis in a step: removed, kept with length 1, or with any length.
    kept: Literal['no', 'one', 'any']
    span: Span


class StepSequence(NamedTuple):
    """Steps of a recurrence's output."""

    recurrence: int
    column: Column
    span: Span


class Apply(NamedTuple):
    """An operator over all steps at once, or in a loop over them."""

    nodes: tuple[int, ...]
    output: int
    write: Write
    inputs: list[ByStep]
    moving: list[bool]

    @property
    def sequences(self) -> list[ByStep]:
        """The `inputs` that differ between steps."""
        return [by_step for by_step, moves in zip(self.inputs, self.moving) if moves]


class Shift(NamedTuple):
    """Values, followed by another sequence's values of the steps before."""

    begin: ByStep
    rest: ByStep


class Leaf(NamedTuple):
    """Different values, or variables, to be joined one by one. `alike`: they certainly have one
    shape."""

    alike: bool


Plan = Union[Same, Part, StepSequence, Apply, Shift, Leaf]


class Circular(Exception):
    """Something depends on itself."""

    def __init__(self, waiting: list[Any]) -> None:
        super().__init__('%d things wait for each other' % len(waiting))
        self.waiting = waiting


def settle(key: Hashable, make: Callable[[Any], Work], known: dict[Any, Any]) -> Any:
    """The result of the generator ``make(key)``, which yields keys and receives their results.

    Each is made once, and without recursion.
    """
    active: dict[Any, Work] = {}  # each waits for the next one
    wanted: Any = key
    while key not in known:
        if wanted in active:
            keys = list(active)
            raise Circular(keys[keys.index(wanted):])
        if wanted not in known:
            active[wanted] = make(wanted)
        last = next(reversed(active))
        try:
            wanted = active[last].send(known.get(wanted))
        except StopIteration as done:
            wanted, known[last] = last, done.value
            del active[last]
    return known[key]


class Planner:
    """Finds out what columns are.

    Parameters
    ----------
    rows : set of int
        The values whose axis 1 has one element, as a step has in a sequence with batch first.
    claims : dict of int to Claim
        By value that is a recurrence's output.
    apart : set
        Nodes of steps that must not become one node, because one of them is needed by itself.
    sums : bool
        Whether a chain of additions becomes a sum.
    loops : bool
        Whether operators that cannot take all steps at once become loops.
    """

    def __init__(self, values: Values, ranks: Sequence[int | None], rows: Container[int],
                 claims: dict[int, Claim], apart: set[tuple[int, ...]], sums: bool, loops: bool
                 ) -> None:
        self.values, self.ranks, self.claims, self.loops = values, ranks, claims, loops
        self._rows, self._apart, self._sums = rows, apart, sums
        self._known: dict[ByStep, Plan] = {}
        self._firm: dict[ByStep, bool] = {}

    def plan(self, by_step: ByStep) -> Plan:
        """The plan for the column `by_step`."""
        plan: Plan = settle(by_step, self._make, self._known)
        return plan

    def rolls(self, by_step: ByStep) -> bool:
        """Whether a column is made only from sequences that certainly have one shape in each step.
        """
        firm: bool = settle(by_step, self._is_firm, self._firm)
        return firm

    def below(self, columns: Sequence[ByStep], shared: bool = True
              ) -> Iterator[tuple[ByStep, Plan]]:
        """Columns, and those from which they are computed step by step; without `shared`, only
        those that differ between steps."""
        pending, seen = list(columns), set(columns)
        while pending:
            by_step = pending.pop()
            plan = self.plan(by_step)
            yield by_step, plan
            if isinstance(plan, Apply):
                new = set(plan.inputs if shared else plan.sequences) - seen
                seen |= new
                pending.extend(new)

    def backwards(self, by_step: ByStep) -> bool:
        """Whether a column reads all its sequences from the last step to the first. If it reads
        them in both directions, or none, the order of its values tells."""
        ways = {each.span.stride < 0 for _, each in self.below([by_step], shared=False)
                if isinstance(each, (Part, StepSequence))}
        return ways.pop() if len(ways) == 1 else by_step[0] > by_step[-1]

    def axis_of(self, node: Node, source: int) -> int:
        """The axis that `node` splits or cuts, counted from the first one if the rank is known."""
        axis: int = node.axis
        return axis + (self.ranks[source] or 0) if axis < 0 else axis

    def joined(self, i: int) -> tuple[int | None, ByStep]:
        """The values that a node joins or sums as steps, and a new axis for them; () if none."""
        node = self.values.nodes[i]
        axis, by_step = self.values.joins.get(i, (None, self.values.args[i]))
        joins = axis in (0, 1) or node.op == 'add_n' or has(node.op, 'joins') and (
            node.dim == 0 or node.dim == 1 and all(value in self._rows for value in by_step))
        return axis, tuple(by_step) if joins else ()

    def added(self, i: int) -> tuple[int | None, ByStep]:
        """Three steps or more that a chain of additions adds up if it ends in the node `i`, and the
        value to which it adds them, or None; () if there are no such steps."""
        values, node = self.values, self.values.nodes[i]
        for at in (0, 1) if self._sums and node.op in ('elemwise_add', 'broadcast_add') else ():
            value = values.first[i]
            if any(self._goes_on(value, reader, at) for reader in values.readers[value]):
                continue
            chain = [i]
            while self._ends_in_one(values.args[chain[-1]][at]) and self._goes_on(
                    values.args[chain[-1]][at], chain[-1], at):
                chain.append(values.owner[values.args[chain[-1]][at]])
            begin = values.args[chain[-1]][at]
            steps = tuple([values.args[each][1 - at] for each in reversed(chain)])
            for other, by_step in ((None, (begin, *steps)), (begin, steps)):
                if len(by_step) > 2 and self.rolls(by_step) and not isinstance(
                        self.plan(by_step), Shift):
                    return other, by_step
        return None, ()

    def _goes_on(self, value: int, reader: int, at: int) -> bool:
        """Whether `reader` adds to the sum `value`, its input `at`, what the sum's last node adds.
        """
        values, last = self.values, self.values.owner[value]
        return values.labels[last] == values.labels[reader] and (
            values.args[reader][at] == value) and values.node(
                values.args[last][1 - at]).op == values.node(values.args[reader][1 - at]).op

    def _ends_in_one(self, value: int) -> bool:
        """Whether a single node reads a value, which is no output of a recurrence."""
        return len(self.values.readers[value]) == 1 and (
            value not in self.claims and value not in self.values.heads)

    def _is_firm(self, by_step: ByStep) -> Generator[ByStep, bool, bool]:
        plan = self.plan(by_step)
        if not isinstance(plan, Apply):
            return not isinstance(plan, (Leaf, Same))
        firm = []
        for each in plan.sequences:
            firm.append((yield each))
        return any(firm) if has_one_shape(self.values.nodes[plan.nodes[0]]) else all(firm)

    def _make(self, by_step: ByStep) -> Generator[ByStep, Plan, Plan]:
        values = self.values
        if values.are_one(by_step):
            return Same(by_step[0])
        direct = self._steps(by_step) or self._part(by_step)
        if direct is not None:
            return direct
        nodes = alike(values, by_step)
        if nodes is None or any(value in self.claims for value in by_step):
            return self._unlike(by_step)
        inputs = values.read_by(nodes)
        plans = []
        for each in inputs:
            plans.append((yield each))
        moving = [not isinstance(plan, Same) for plan in plans]
        node = values.nodes[nodes[0]]
        if any(isinstance(plan, Leaf) and not plan.alike for plan in plans):
            return Leaf(False)
        if not any(moving) or keeps_states(node) or nodes in self._apart:
            return Leaf(True)
        write = lift(node, moving, [self.ranks[each[0]] for each in inputs])
        if write is None and (not self.loops or has(node.op, 'loss')):
            return Leaf(True)  # a loss would need its labels in a loop, and have no gradient
        write = write or step_by_step(node, moving, self._outputs(nodes))
        return Apply(nodes, values.output(by_step[0]), write, inputs, moving)

    def _outputs(self, nodes: Sequence[int]) -> int:
        """The number of outputs of `nodes`, up to the last one that is read."""
        values = self.values
        return max([1 + output for node in nodes for output in range(values.counts[node])
                    if values.readers[values.first[node] + output]
                    or values.first[node] + output in values.heads])

    def _unlike(self, by_step: ByStep) -> Plan:
        first = next((t for t, value in enumerate(by_step) if value in self.claims), 0)
        begin, rest = by_step[:first], by_step[first:]
        if begin and all(self.values.one_shape(value, rest[0]) for value in begin) and (
                len(begin) > 1 and len(rest) == 1 and self.claims[rest[0]].step == 0
                or self._steps(rest) is not None):
            return Shift(begin, rest)
        nodes = [self.values.node(value) for value in by_step]
        if any(node.op for node in nodes) or len(set(by_step)) < len(by_step):
            return Leaf(False)
        return Leaf(len({node.attrs.get('__shape__') for node in nodes}) == 1)

    def _steps(self, by_step: ByStep) -> StepSequence | None:
        """The column as steps of a recurrence."""
        claim = self.claims.get(by_step[0])
        if claim is None:
            return None
        found = [each for each in map(self.claims.get, by_step)
                 if each is not None and each.column is claim.column]
        span = _span([each.step for each in found], claim.total)
        return StepSequence(claim.recurrence, claim.column, span) if (
            span is not None and len(found) == len(by_step)) else None

    def _part(self, by_step: ByStep) -> Part | None:
        """The column as parts of one array."""
        values = self.values
        node = values.node(by_step[0])
        if node.op not in ('SliceChannel', 'slice_axis'):
            return None
        axis, (source, *_) = node.axis, values.args[values.owner[by_step[0]]]
        rank = self.ranks[source]
        if axis not in (0, 1) and (axis < 0 if rank is None else not -rank <= axis < rank):
            return None
        axis = self.axis_of(node, source)
        total, kept = None, 'one'
        if node.op == 'slice_axis':
            places = [self._cut(value, source, axis) for value in by_step]
        else:
            owner, total = values.owner[by_step[0]], node.num_outputs
            places = [values.output(value) if values.owner[value] == owner else None
                      for value in by_step]
            kept = 'no' if node.squeeze_axis else (
                'one' if self._size(source, axis) == total else 'any')
        span = _span(places, total)
        return None if span is None else Part(source, axis, kept, span)  # type: ignore[arg-type]

    def _size(self, value: int, axis: int) -> int | None:
        """The size of an axis of `value`, if the input from which it comes states it."""
        node = self.values.node(value)
        while node.op in ('SwapAxis', 'Embedding') or has(node.op, 'elementwise') or has(
                node.op, 'one shape'):  # the first input's axes, and perhaps more behind them
            if node.op == 'SwapAxis':
                axis = before_swap(node, axis, self.ranks[value])
            value = self.values.args[self.values.owner[value]][0]
            node = self.values.node(value)
        return dict(enumerate(node.stated_shape)).get(axis)

    def _cut(self, value: int, source: int, axis: int) -> int | None:
        """The begin of a slice of length 1 of `source`."""
        node = self.values.node(value)
        if node.op != 'slice_axis' or self.axis_of(node, source) != axis or (
                self.values.args[self.values.owner[value]][0] != source):
            return None
        begin, end = node.begin, node.end
        return begin if begin >= 0 and end is not None and end - begin == 1 else None


def _span(places: Sequence[int | None], total: int | None) -> Span | None:
    """Consecutive places, in either order."""
    first, second = places[:2] if len(places) > 1 else (None, None)
    if first is None or second not in (first - 1, first + 1):
        return None
    stride = second - first
    span = Span(first, stride, len(places), total)
    return span if list(places) == [first + t * stride for t in range(len(places))] else None
