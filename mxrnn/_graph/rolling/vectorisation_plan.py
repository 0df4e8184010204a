"""Tells what one value of each step is together: a sequence, or one operator over sequences."""
from __future__ import annotations

from typing import Any, Callable, Generator, Hashable, Literal, Mapping, NamedTuple, Sequence, Union

from .batching_rules import Write, lift
from .graph_builder import Work
from .loops import step_by_step
from .step_values import Column, Lanes, alike
from .value_numbering import Values, has_one_shape, keeps_states, stated_shape

__all__ = ['Apply', 'Circular', 'Claim', 'Leaf', 'Part', 'Plan', 'Planner', 'Same', 'Shift', 'Span',
           'StepSequence', 'settle']

#: Operators whose output has the axes of the first input, and perhaps further ones behind them.
_SAME_SIZES = ('Embedding', 'Dropout', 'Cast', 'SequenceReverse', '_copy', 'BlockGrad')


class Claim(NamedTuple):
    """The recurrence of this number gives a value: the column's in one of `total` steps."""

    recurrence: int
    column: Column
    step: int
    total: int


class Same(NamedTuple):
    """One value in all steps."""

    value: int


class Span(NamedTuple):
    """Some of `total` steps, in either order; `total` is None if it is not known."""

    first: int
    stride: int
    length: int
    total: int | None

    @property
    def begin(self) -> int:
        return min(self.first, self.first + self.stride * (self.length - 1))

    @property
    def why(self) -> str:
        """Why a sequence of which these steps are read must be as long as it was."""
        return ('only %d of them are read, from number %d on, and only the graph of another length '
                '(--certify) can tell from which end these are counted' % (self.length, self.begin))


class Part(NamedTuple):
    """Steps of an array along `axis`."""

    source: int
    axis: int
    #: Of the axis in a step: it is gone, it is kept with length 1, or with any length.
    kept: Literal['no', 'one', 'any']
    span: Span


class StepSequence(NamedTuple):
    """Steps of what a recurrence gives."""

    recurrence: int
    column: Column
    span: Span


class Apply(NamedTuple):
    """An operator over all steps at once, or in a loop over them."""

    nodes: tuple[int, ...]
    output: int
    write: Write
    inputs: list[Lanes]
    moving: list[bool]

    @property
    def sequences(self) -> list[Lanes]:
        """Those of `inputs` that differ from step to step."""
        return [lanes for lanes, moves in zip(self.inputs, self.moving) if moves]


class Shift(NamedTuple):
    """A value, and then what another sequence has in the steps before."""

    begin: int
    rest: Lanes


class Leaf(NamedTuple):
    """Unlike values, or variables, to be put together one by one. `alike`: they surely have one
    shape."""

    alike: bool


Plan = Union[Same, Part, StepSequence, Apply, Shift, Leaf]


class Circular(Exception):
    """Something waits for itself."""

    def __init__(self, waiting: list[Any]) -> None:
        super().__init__('%d things wait for each other' % len(waiting))
        self.waiting = waiting


def settle(key: Hashable, make: Callable[[Any], Work], known: dict[Any, Any]) -> Any:
    """The result of the generator ``make(key)``, which yields keys and is sent their results.

    Each is made once, and none by recursion.
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
    claims : dict of int to Claim
        By value that a recurrence gives.
    stated : dict
        Axes of inputs that are known to have a size: by name, the axis and the size.
    apart : set
        Nodes of steps that must not be one node, since one of them is needed by itself.
    """

    def __init__(self, values: Values, ranks: Sequence[int | None], claims: dict[int, Claim],
                 stated: Mapping[str, tuple[int, int | None]], apart: set[tuple[int, ...]]) -> None:
        self.values, self.ranks, self.claims = values, ranks, claims
        self._stated, self._apart = stated, apart
        self._known: dict[Lanes, Plan] = {}
        self._firm: dict[Lanes, bool] = {}

    def plan(self, lanes: Lanes) -> Plan:
        """Tell what the column `lanes` is."""
        plan: Plan = settle(lanes, self._make, self._known)
        return plan

    def rolls(self, lanes: Lanes) -> bool:
        """Whether a column is made of sequences alone, which surely have one shape in each
        step."""
        firm: bool = settle(lanes, self._is_firm, self._firm)
        return firm

    def _is_firm(self, lanes: Lanes) -> Generator[Lanes, bool, bool]:
        plan = self.plan(lanes)
        if not isinstance(plan, Apply):
            return not isinstance(plan, (Leaf, Same))
        firm = []
        for each in plan.sequences:
            firm.append((yield each))
        return any(firm) if has_one_shape(self.values.nodes[plan.nodes[0]]) else all(firm)

    def _make(self, lanes: Lanes) -> Generator[Lanes, Plan, Plan]:
        values = self.values
        if values.are_one(lanes):
            return Same(lanes[0])
        direct = self._steps(lanes) or self._part(lanes)
        if direct is not None:
            return direct
        nodes = alike(values, lanes)
        if nodes is None or any(value in self.claims for value in lanes):
            return self._unlike(lanes)
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
        write = lift(node, moving, [self.ranks[each[0]] for each in inputs]) or step_by_step(
            node, moving, self._outputs(nodes))
        return Apply(nodes, values.output(lanes[0]), write, inputs, moving)

    def _outputs(self, nodes: Sequence[int]) -> int:
        """How many outputs of `nodes` there are, up to the last one that is read."""
        values = self.values
        return max([1 + output for node in nodes for output in range(values.counts[node])
                    if values.readers[values.first[node] + output]
                    or values.first[node] + output in values.heads])

    def _unlike(self, lanes: Lanes) -> Plan:
        rest = lanes[1:]
        if self.values.one_shape(lanes[0], rest[0]) and self._steps(rest) is not None:
            return Shift(lanes[0], rest)
        nodes = [self.values.node(value) for value in lanes]
        if any(node.op for node in nodes) or len(set(lanes)) < len(lanes):
            return Leaf(False)
        return Leaf(len({node.attrs.get('__shape__') for node in nodes}) == 1)

    def _steps(self, lanes: Lanes) -> StepSequence | None:
        """The column as steps of a recurrence."""
        claim = self.claims.get(lanes[0])
        if claim is None:
            return None
        found = [each for each in map(self.claims.get, lanes)
                 if each is not None and each.column is claim.column]
        span = _span([each.step for each in found], claim.total)
        return StepSequence(claim.recurrence, claim.column, span) if (
            span is not None and len(found) == len(lanes)) else None

    def _part(self, lanes: Lanes) -> Part | None:
        """The column as parts of one array."""
        values = self.values
        node = values.node(lanes[0])
        if node.op not in ('SliceChannel', 'slice_axis'):
            return None
        axis, (source, *_) = node.axis, values.args[values.owner[lanes[0]]]
        rank = self.ranks[source]
        if axis not in (0, 1) and (rank is None or not -rank <= axis < rank):
            return None
        axis = axis if rank is None else axis % rank
        total, kept = None, 'one'
        if node.op == 'slice_axis':
            places = [self._cut(value, source, axis) for value in lanes]
        else:
            owner, total = values.owner[lanes[0]], node.num_outputs
            places = [values.output(value) if values.owner[value] == owner else None
                      for value in lanes]
            kept = 'no' if node.squeeze_axis else (
                'one' if self._size(source, axis) == total else 'any')
        span = _span(places, total)
        return None if span is None else Part(source, axis, kept, span)  # type: ignore[arg-type]

    def _size(self, value: int, axis: int) -> int | None:
        """The size of an axis of `value`, if the input that it comes from states it."""
        node = self.values.node(value)
        while node.op in _SAME_SIZES or node.op == 'SwapAxis':
            if node.op == 'SwapAxis':
                axis = {node.dim1: node.dim2, node.dim2: node.dim1}.get(axis, axis)
            value = self.values.args[self.values.owner[value]][0]
            node = self.values.node(value)
        place, size = self._stated.get(node.name, (axis, None))
        if size is None:
            return dict(enumerate(stated_shape(node))).get(axis)
        return size if place == axis else None

    def _cut(self, value: int, source: int, axis: int) -> int | None:
        """Where a slice of length 1 of `source` begins."""
        node = self.values.node(value)
        if node.op != 'slice_axis' or node.axis % (self.ranks[source] or axis + 1) != axis or (
                self.values.args[self.values.owner[value]][0] != source):
            return None
        begin, end = node.begin, node.end
        return begin if begin >= 0 and end is not None and end - begin == 1 else None


def _span(places: Sequence[int | None], total: int | None) -> Span | None:
    """Places one behind the other, in either order."""
    first, second = places[:2] if len(places) > 1 else (None, None)
    if first is None or second not in (first - 1, first + 1):
        return None
    stride = second - first
    span = Span(first, stride, len(places), total)
    return span if list(places) == [first + t * stride for t in range(len(places))] else None
