"""An axis 'time:35' of an input: the 35 in the graph is its number of steps, and becomes any."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, NamedTuple

from .. import _check
from .._graph.graph import Graph, Node
from .._graph.rolling import RolledGraph, bounds, roll
from .registry import ExportError

__all__ = ['CountedSteps', 'naming_what_keeps', 'rolled_up', 'without_number']

#: Attributes that may have a number of steps in them.
_SIZES = 'shape', 'num_outputs', 'stop', 'reps', 'begin', 'end'


class CountedSteps(NamedTuple):
    """A number of steps, and by input which axis has it."""

    number: int
    axes: dict[str, int]


def without_number(inputs: Any) -> tuple[dict[str, Any], CountedSteps | None]:
    """Shapes in which 'time:35' is 'time', and what was taken out of them."""
    numbers: set[int] = set()
    axes: dict[str, int] = {}

    def plain(key: str, axis: int, size: Any) -> Any:
        if not isinstance(size, str) or ':' not in size:
            return size
        name, _, number = size.partition(':')
        if not name or not number.isdigit():
            raise ValueError('an axis with the number of steps of the unrolled graph must be like '
                             "'time:35', got %r" % size)
        numbers.add(int(number))
        axes[key] = axis
        return name
    _check.instance('inputs', inputs, Mapping, 'a dict by names of inputs')
    shapes = {key: [plain(key, axis, size) for axis, size in enumerate(shape)]
              if isinstance(shape, (tuple, list)) else shape for key, shape in inputs.items()}
    if len(numbers) > 1:
        raise ValueError('inputs must give one number of steps, got %s' % sorted(numbers))
    return shapes, CountedSteps(numbers.pop(), axes) if numbers else None


def rolled_up(graph: Graph, steps: CountedSteps | None, training: bool = False) -> RolledGraph:
    """The graph rolled up, in which the number of `steps` is that of steps, if it is given."""
    if steps is None:
        return roll(graph, training=training)
    known = sorted({finding.steps for finding in roll(graph).findings} | bounds(graph))
    if steps.number not in known:
        raise ValueError('the number of steps of an axis must be one that the graph was unrolled '
                         'for: %s, got %d%s' % (
                             ', '.join(map(str, known)) or 'it has none', steps.number,
                             '' if known else '. Give the axis without that number'))
    return roll(graph, training=training, length=steps.number, axes=steps.axes)


@contextlib.contextmanager
def naming_what_keeps(steps: CountedSteps | None, graph: Graph) -> Iterator[None]:
    """Name the nodes that keep a number of steps that was to become any, if that is refused."""
    try:
        yield
    except ExportError as error:
        known = {} if steps is None else {
            node.name: None for node in rolled_up(graph, steps).graph.walk()
            if node.inputs and not node.subgraphs and any(
                _has(node, key, steps.number) for key in _SIZES)}
        if steps is None or not known:
            raise
        raise ExportError('%s\nThe number %d is still in %s. If it is the number of steps there, '
                          'the graph takes no other: leave out time:%d (--input), and pad '
                          'sequences to %d steps' % (
                              error, steps.number, _check.some(list(known)), steps.number,
                              steps.number)) from None


def _has(node: Node, key: str, number: int) -> bool:
    """Whether a node is given a number, or sizes with it, as an attribute."""
    value = node.get(key)
    return value == number or isinstance(value, tuple) and number in value
