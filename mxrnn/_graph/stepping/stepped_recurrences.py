"""Finds the recurrences that run in steps; refuses graphs that use several steps at once."""
from __future__ import annotations

import re
from typing import Literal, Mapping, NamedTuple, Sequence

from ..._check import some
from ..graph import Entry, Graph, Node
from ..operator_table import has
from ..rnn_vector_layout import begin_states
from ..shapes.axis_factors import factors_of, number_of, open_axes
from ..shapes.sizes import Axis, axes_in, product, resolve
from .axis_propagation import TrackedValue, Use, merged_uses, met_twice

__all__ = ['StateError', 'SteppedRecurrence', 'find_stepped', 'prefix_of']


class StateError(ValueError):
    """A graph cannot be run in steps; the message names the node to blame.

    Attributes
    ----------
    kind : {'fixed', 'explained', 'none', 'sum', ''}
        Whether a number of steps is fixed, and if so, whether the message says why; whether no
        recurrence runs along an axis of any size; or whether a sum over all steps is to blame.
    advice : str
        What to do instead.
    """

    def __init__(self, text: str, kind: Literal['fixed', 'explained', 'none', 'sum', ''] = '',
                 advice: str = 'Export it for whole sequences, without --states (states=True)'
                 ) -> None:
        super().__init__(text)
        self.kind, self.advice = kind, advice


class SteppedRecurrence(NamedTuple):
    """A node with states, and the axis along which it steps."""

    place: int
    node: Node
    time: Axis | None
    batch: Axis | None
    #: Its begin states.
    begin: tuple[Entry, ...]


def _recurrences(graph: Graph, values: Mapping[Entry, TrackedValue]) -> list[SteppedRecurrence]:
    found = []
    for place, node in enumerate(graph.nodes):
        if Entry(place, 0) not in values or not has(node.op, 'recurs'):
            continue
        begin = begin_states(node)
        axes = values[node.inputs[0]].axes or [] if begin else []
        time, batch = [size[0] if len(size) == 1 and isinstance(size[0], Axis) else None
                       for size in ([*map(factors_of, axes), (), ()])[:2]]
        if begin or node.op != '_foreach':
            found.append(SteppedRecurrence(place, node, time, batch, begin))
    return found


def _stepped(recurrences: Sequence[SteppedRecurrence], values: Mapping[Entry, TrackedValue]
             ) -> list[SteppedRecurrence]:
    """The recurrences on which no recurrence along another axis depends."""
    whole: set[int] = set()
    times = {id(each.time) for each in recurrences if each.time is not None}
    for each in recurrences:
        for entry in each.node.inputs:
            if entry in values:
                whole |= (values[entry].sees() & times) - {id(each.time)}
    stepped = [each for each in recurrences if each.time is None or id(each.time) not in whole]
    moving = {id(each.time) for each in stepped if each.time is not None}
    # an encoder with a fixed number of steps is computed once, like any other
    return [each for each in stepped if each.time is not None or not moving or any(
        values[entry].axes is None or values[entry].sees() & moving
        for entry in each.node.inputs if entry in values)]


def find_stepped(graph: Graph, values: Mapping[Entry, TrackedValue]) -> list[SteppedRecurrence]:
    """The recurrences that run in steps.

    Raises
    ------
    StateError
        There is none, or the outputs depend on later steps.
    """
    recurrences = _recurrences(graph, values)
    stepped = _stepped(recurrences, values)
    try:
        _refuse(graph, recurrences, stepped, values)
    except StateError:
        for each in stepped or recurrences:
            if _reads_backwards(graph, each.node):
                raise StateError(
                    '%s cannot be stepped: it reads sequences %sbackwards, so its first output '
                    'needs the last step' % (prefix_of(each.node), 'forwards and ' * getattr(
                        each.node, 'bidirectional', False)),
                    advice='Export it for whole sequences, without --states (states=True), or '
                    'choose outputs that do not depend on it, with --output (outputs)') from None
        raise
    return stepped


def prefix_of(node: Node) -> str:
    """The prefix of the cell from which a recurrence was made."""
    return re.sub(r'(_fused)?(_rnn|_rolled)(_\d+)?$', '', node.name).rstrip('_') + '_'


def _reads_backwards(graph: Graph, node: Node) -> bool:
    """Whether a recurrence is an operator of both directions, or its sequence is reversed."""
    if getattr(node, 'bidirectional', False):
        return True
    for entry in node.inputs[:node.body.data if node.op == '_foreach' else 1]:
        before = graph.nodes[entry.node]
        while before.inputs and before.op not in ('SequenceReverse', 'reverse') and not has(
                before.op, 'recurs'):
            before = graph.nodes[before.inputs[0].node]
        if before.op in ('SequenceReverse', 'reverse'):
            return True
    return False


def _refuse(graph: Graph, recurrences: Sequence[SteppedRecurrence],
            stepped: Sequence[SteppedRecurrence], values: Mapping[Entry, TrackedValue]) -> None:
    """Refuse graphs that need steps after the current one."""
    for each in stepped or recurrences:
        if getattr(each.node, 'bidirectional', False):
            raise StateError('%s reads backwards' % each.node.title)
        if getattr(each.node, 'use_sequence_length', False):
            raise StateError('%s cannot be stepped: it reads the lengths of sequences'
                             % each.node.title)
    free = [each for each in stepped if each.time is not None and each.time.label]
    times = {id(each.time) for each in free}
    for each in stepped:
        for entry in each.node.inputs:
            if entry in values and entry not in each.begin:
                _refuse_uses(values[entry], times, ', and %s reads it' % each.node.title)
    for head in graph.heads:
        twice = dict.fromkeys(met_twice(values[head].axes),
                              Use(graph.nodes[head.node], False))
        _refuse_uses(values[head]._replace(used=merged_uses([values[head].used, twice])), times)
    fixed = [each for each in stepped if id(each.time) not in times]
    if fixed:  # rather one of which a reason is known
        raise _fixed(graph, max(
            fixed, key=lambda each: bool(_why_fixed(graph, each.node))), values)
    if not stepped:
        along = [prefix_of(each.node) for each in recurrences if each.time is not None]
        if len({*along}) > 1:
            raise StateError('%s cannot be stepped: each step of one reads all steps of another'
                             % some(along))
        raise StateError('the graph has no recurrence along an axis of any size', 'none')
    if len(times) > 1:
        raise StateError('%s cannot be stepped: the recurrences run along several axes, %s, which '
                         'have no steps in common' % (
                             some([*dict.fromkeys(each.node.title for each in free)]),
                             some(sorted({each.time.label for each in free if each.time}))))


def _refuse_uses(value: TrackedValue, times: set[int], reader: str = '') -> None:
    """Refuse a value for which an operator used several of the steps along `times`. An output may
    be made of the last step; what a recurrence reads (`reader` in words) may not."""
    steps = times & {id(axis) for axis in open_axes(value.axes)}
    for axis, use in value.used.items():
        if id(resolve(axis)) in times and (reader or steps or not use.last):
            raise StateError('%s cannot be stepped: it %s%s' % (
                use.node.title, 'numbers the steps from the first one' if (
                    use.node.op == '_contrib_arange_like') else 'uses several steps at once',
                reader), 'sum' if use.node.op == 'sum' else '')


def _fixed(graph: Graph, recurrence: SteppedRecurrence, values: Mapping[Entry, TrackedValue]
           ) -> StateError:
    """The refusal of a recurrence whose number of steps is no free axis of an input."""
    node, data = recurrence.node, values[recurrence.node.inputs[0]]
    why, axes = _why_fixed(graph, node), data.axes or [()]
    uses = [(axis, use) for value in [data, *(values[head] for head in graph.heads)]
            for axis, use in value.used.items() if use.node.title != node.title]
    steps = axes_in(product(axes[0]))
    reason = next((use.node.title for axis, use in uses
                   if axis in steps or isinstance(resolve(axis), int)), next(
                       (use.node.title for use in data.used.values()), ''))
    if recurrence.time is None and data.axes and number_of(axes[0]) is None and reason and not why:
        return StateError('%s cannot be stepped: %s before it changes the number of steps' % (
            prefix_of(node), reason))
    return StateError('%s cannot be stepped: its number of steps is fixed%s' % (
        prefix_of(node), why or (', see %s' % reason if reason else '')),
        'explained' if why else 'fixed')


def _why_fixed(graph: Graph, recurrence: Node) -> str:
    """What a recurrence reads whose steps are no axis of an input; '' if it is something else."""
    made = _moved(graph, recurrence)
    source = _moved(graph, made) if made.op == 'broadcast_axis' else None
    return '' if source is None else ', because %s' % (
        'no input has these steps' if source.is_variable else
        'each step reads the same value, for which %s reads the whole sequence' % source.title)


def _moved(graph: Graph, node: Node) -> Node:
    """The node whose numbers the first input of `node` has, in another order at most."""
    while True:
        node = graph.nodes[node.inputs[0].node]
        if not has(node.op, 'moves') or node.op == 'broadcast_axis' or not node.inputs:
            return node
