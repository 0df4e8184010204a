"""What becomes of the axes of a graph's inputs, and which nodes make one number from several."""
from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from ..graph import Entry, Graph, Node
from ..operator_table import has
from ..shapes.axis_factors import Axes, factors_of, mixed_axes, open_axes
from ..shapes.infer import Table, infer
from ..shapes.sizes import Axis, resolve

__all__ = ['TrackedValue', 'Use', 'follow', 'is_zero', 'merged_uses', 'met_twice']


class Use(NamedTuple):
    """A node that makes one number from several along an axis."""

    node: Node
    #: Whether it takes the last one and ignores the others.
    last: bool


class TrackedValue(NamedTuple):
    """The axes of a value (None if unknown), and the axes that were used up for it."""

    axes: Axes | None
    used: dict[Axis, Use]

    def sees(self) -> set[int]:
        """The axes on which it depends."""
        return {id(axis) for axis in [*open_axes(self.axes), *map(resolve, self.used)]}


def merged_uses(groups: Sequence[Mapping[Axis, Use]]) -> dict[Axis, Use]:
    """All uses; for an axis used twice, the use that needs more than the last step."""
    result: dict[Axis, Use] = {}
    for used in groups:
        for axis, use in used.items():
            if axis not in result or result[axis].last:
                result[axis] = use
    return result


def met_twice(axes: Axes | None) -> list[Axis]:
    """The axes that a value has twice or more, so that each step meets each other one."""
    found = open_axes(axes)
    return [axis for axis in found if found.count(axis) > 1]


def follow(graph: Graph, shapes: Mapping[str, Sequence[int | str]]) -> dict[Entry, TrackedValue]:
    """The axes of all values that a graph's outputs need, from the shapes of its variables. Names
    in these are axes that may become numbers."""
    return _follow(graph, infer(graph, shapes, free=True), {})


def _follow(graph: Graph, table: Table, used: Mapping[int, dict[Axis, Use]]
            ) -> dict[Entry, TrackedValue]:
    """`used` are the axes that were used up for variables of a body."""
    values: dict[Entry, TrackedValue] = {}
    for place in sorted(graph.needed()):
        node, outputs = graph.nodes[place], [Entry(place, 0)]
        if node.is_variable:
            values[outputs[0]] = TrackedValue(_axes(table, outputs[0]), used.get(place, {}))
            continue
        given = [values[entry] for entry in node.needed_inputs]
        outputs = [Entry(place, at) for at in range(node.num_outputs)]
        if place in table.bodies:
            found = _loop(node, given, table, outputs)
        else:
            found = _node(node, given, table, outputs)
        zero = is_zero(graph, outputs[0])  # whatever it is made from
        values.update((entry, value._replace(used={}) if zero else value)
                      for entry, value in zip(outputs, found))
    return values


def _axes(table: Table, entry: Entry) -> Axes | None:
    axes = table.axes.get(entry)
    return None if axes is None else list(map(factors_of, axes))


def _node(node: Node, given: Sequence[TrackedValue], table: Table, outputs: Sequence[Entry]
          ) -> list[TrackedValue]:
    last = has(node.op, 'kernel') or node.op == 'SequenceLast' and not node.use_sequence_length or (
        node.op == 'slice_axis' and (node.begin, node.end) == (-1, None))
    use = Use(node, last)
    before = {id(axis): axis for value in given for axis in open_axes(value.axes)}
    # an axis that has become a number has, for instance, the size of a weight
    fixed = dict.fromkeys(table.closed.get(outputs[0].node, ()), use)
    used = merged_uses([fixed, *(value.used for value in given)])
    twice = [axis for value in given for axis in met_twice(value.axes)]
    results = []
    for entry in outputs:
        axes = _axes(table, entry)
        kept = {id(axis) for axis in open_axes(axes)}
        gone = {axis: use._replace(last=last and axes is not None)
                for key, axis in before.items() if key not in kept}
        mixed = dict.fromkeys([*mixed_axes(table.axes.get(entry, [])), *twice, *met_twice(axes)],
                              use._replace(last=False))
        results.append(TrackedValue(axes, merged_uses([gone, mixed, used])))
    return results


def _loop(node: Node, given: Sequence[TrackedValue], table: Table, outputs: Sequence[Entry]
          ) -> list[TrackedValue]:
    body, places, count, _ = node.body
    values = _follow(body, table.bodies[outputs[0].node],
                     {place: value.used for place, value in zip(places, given)})
    time = next(value.axes[:1] for value in given[:count] if value.axes)
    last = dict.fromkeys(open_axes(time), Use(node, True))
    used = merged_uses([values[head].used for head in body.heads])  # states pass on what others use
    return [TrackedValue(_axes(table, entry),
                         used if at < node.num_out_data else merged_uses([last, used]))
            for at, entry in enumerate(outputs)]


def is_zero(graph: Graph, entry: Entry) -> bool:
    """Whether an array is made as zeros, and then moved at most."""
    node = graph.nodes[entry.node]
    if node.op in ('_zeros', 'zeros_like') or node.op == '_mul_scalar' and node.scalar == 0:
        return True
    if has(node.op, 'gathers'):
        return all(is_zero(graph, each) for each in node.inputs)
    return has(node.op, 'moves') and is_zero(graph, node.inputs[0])
