"""An axis 'time:35' of an input: the 35 in the graph is its number of steps, and becomes any."""
from __future__ import annotations

import contextlib
import functools
from typing import Iterator

from .. import _check
from .._graph.graph import Graph, Node
from .._graph.rolling import RolledGraph, bounds, fixed_by, roll, stated_steps
from .input_shapes import CountedSteps
from .registry import ExportError

__all__ = ['naming_what_keeps', 'roll_once', 'rolled_up']

#: Attributes that may have a number of steps in them.
_SIZES = 'shape', 'num_outputs', 'stop', 'reps', 'begin', 'end'


def roll_once(graph: Graph, training: bool = False, length: int | None = None) -> RolledGraph:
    """`roll`, which keeps its last results: writing a file and checking it roll one graph up
    several times."""
    found = _rolled(graph, training, length)
    return found._replace(graph=graph) if found.graph == graph else found


@functools.lru_cache(maxsize=4)
def _rolled(graph: Graph, training: bool, length: int | None) -> RolledGraph:
    return roll(graph, training=training, length=length)


def rolled_up(graph: Graph, steps: CountedSteps | None, training: bool = False) -> RolledGraph:
    """The graph rolled up, in which the number of `steps` is that of steps, if it is given."""
    if steps is None:
        return roll_once(graph, training)
    known = sorted({finding.steps for finding in roll_once(graph).findings} | bounds(graph))
    if steps.number not in known and (known or not fixed_by(graph, steps.number)):
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
        number = next(iter(stated_steps(graph).values()), 0)
        if steps is None and number:
            raise ExportError('%s\nA Reshape groups rows by %d. If that is the number of steps, '
                              'give it for the axis of steps (--input): %d, or time:%d for any '
                              'length' % (error, number, number, number)) from None
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
