"""Rolls up a graph that a second graph, of another length, proves to have any length."""
from __future__ import annotations

import itertools
import math
import re
from typing import Mapping, Sequence

from ..graph import Entry, Graph, Node
from ..graph_editing import Edit
from ..operator_table import has
from ..shapes.axis_factors import Axes, open_axes
from ..shapes.sizes import Axis, reduced_axes
from .ambiguity import Counted
from .lengths_clipped_or_fixed_by_fuse import bounds
from .roll_up import Finding, RolledGraph, roll
from .sequence_axes import input_axes, note_axes

__all__ = ['certify', 'counting']


def certify(graph: Graph, other: Graph, *, training: bool = False) -> RolledGraph:
    """Roll up a graph whose numbers of steps are proven by another graph.

    Parameters
    ----------
    graph, other : Graph
        From the same program, unrolled for two lengths, for instance for two buckets.
    training : bool
        As for `roll`.

    Returns
    -------
    RolledGraph
        For `graph`, with any length.

    Raises
    ------
    ValueError
        They differ in more than their numbers of steps, or not in these; the message says where.
    """
    found = [[finding for finding in roll(each, training=training).findings
              if finding.kind != 'unrolled'] for each in (graph, other)]
    first, second = (max([finding.steps for finding in each], default=0) for each in found)
    without = [name for name, steps in (('graph', first), ('other', second)) if not steps]
    if without:
        raise ValueError('graph and other must read several steps of a recurrence that can be '
                         'rolled up, got none in %s%s' % (' and '.join(without), any(
                             has(node.op, 'recurs') for node in graph.nodes) and (
                                 '. Operators of whole sequences, such as RNN, take any number of '
                                 'steps: leave out --certify (certify_by)%s' % ''.join(
                                     ', and so that lengths are not clipped to %d, give the axis '
                                     "of steps as 'time:%d' (inputs, --input)" % (most, most)
                                     for most in sorted(bounds(graph))[:1])) or ''))
    # An encoder has other numbers than its decoder, and one of them may be freed.
    pairs = _pairs(*found) or [(first, second)] * (first != second)
    if not pairs:
        raise ValueError('other must be the graph of another number of steps, got %d and %d'
                         % (first, second))
    differing = []
    for (one, two), counted in itertools.product(sorted(pairs, key=max, reverse=True), (
            None, Counted('first', 'first'), Counted('first', 'last'), Counted('last', 'last'),
            Counted('first', 'last', True), Counted('last', 'last', True))):
        rolled, further = (
            roll(each, training=training, length=steps, counted=counted)
            for each, steps in ((graph, one), (other, two)))
        unlike = _difference(rolled.graph, further.graph)
        if unlike is None:
            return rolled
        differing.append(unlike)
        counted_anew = counting(rolled, one, proven=True)
        if _difference(counted_anew, counting(further, two, proven=True)) is None:
            return rolled._replace(graph=counted_anew)
    told = next((each for each in differing if '_fixed' not in each), differing[0])
    advice, (one, two), whole = '', pairs[0], 'other must be the graph of the same program for ' \
        'another number of steps, but'
    changed = [pair for pair in zip(*[map(int, re.findall(r'\b\d+\b', each))
                                      for each in told.split(' where other ')])
               if pair[1] - pair[0] == two - one]  # also those of an input that windows shorten
    beside_it = [{finding.steps for finding in each} - {steps}
                 for each, steps in zip(found, (one, two))]
    if len(pairs) > 1:
        advice = ('. They differ in several numbers of steps: %s. Only one can become any: give a '
                  'graph in which the others are the same, if the program can make one' % (
                      ', '.join('%d and %d' % pair for pair in pairs)))
    elif one in beside_it[1] or two in beside_it[0]:
        advice = ('. Recurrences have the same %d steps in one graph and different numbers in the '
                  'other: give two graphs in which they differ'
                  % (two if two in beside_it[0] else one))
    elif 'begin=' in told or changed:
        whole = 'the graphs have %d and %d steps, but they differ also when' % (one, two)
        advice = ('. Nothing there tells how it follows from the number of steps: pad sequences to '
                  '%d steps and leave out --certify (certify_by), or change the program' % (
                      changed[0][0] if changed and (one, two) not in changed else one))
    raise ValueError('%s rolled up, %s%s' % (whole, told, advice))


def _pairs(first: Sequence[Finding], second: Sequence[Finding]) -> list[tuple[int, int]]:
    """The numbers of steps in which recurrences differ. Recurrences of one name are the same; those
    whose names only one graph has are the same by their order, if there are as many."""
    names = [{finding.name for finding in each} for each in (first, second)]
    pairs: dict[tuple[int, int], None] = {}
    for name in [*dict.fromkeys(finding.name for finding in first), None]:
        one, two = ([finding.steps for finding in each if finding.name == name or (
            name is None and finding.name not in others)]
            for each, others in ((first, names[1]), (second, names[0])))
        if len(one) == len(two):
            pairs.update(dict.fromkeys(pair for pair in zip(one, two) if pair[0] != pair[1]))
    return list(pairs)


def counting(rolled: RolledGraph, steps: int, proven: bool = False,
             inputs: Mapping[str, int] = {}, shapes: Mapping[str, Sequence[int | str]] = {}
             ) -> Graph:
    """The graph in which means over the steps of a recurrence divide by the count of its steps,
    instead of the number `steps`, which all recurrences have. Without a second graph, by which it
    is `proven`, what is divided must be a sum over the steps, or made of one element by element.
    `inputs` have these steps, too, along an axis: the one in their `shapes`."""
    graph, edit = rolled.graph, Edit(rolled.graph)
    if any(finding.steps != steps for finding in rolled.findings):
        return graph
    axes: dict[Entry, Axes] = {
        Entry(place, 0): input_axes(shapes[node.name], inputs[node.name])
        for place, node in enumerate(graph.nodes)
        if node.is_variable and node.name in inputs and node.name in shapes}
    times = {*open_axes([own[inputs[graph.nodes[entry.node].name]] for entry, own in axes.items()])}
    note_axes(graph.nodes, 0, axes)
    for place, node in enumerate(graph.nodes):
        number = {'_div_scalar': steps, '_mul_scalar': 1 / steps}.get(node.op)
        if number is None or not math.isclose(node.scalar, number, rel_tol=1e-6):
            continue
        sequence = _divided(graph, node, axes, times, proven)
        if sequence is not None:
            writer, name = edit.writer, node.name
            numbers = writer.once('_contrib_arange_like', name + '_numbers', {
                'axis': sequence[1]}, sequence[0])
            ones = writer.once('ones_like', name + '_ones', {}, numbers)
            count = writer.once('sum', name + '_count', {'axis': 0, 'keepdims': True}, ones)
            edit.replaced[Entry(place, 0)] = writer.named(writer.add(
                'broadcast_div', '', {}, [node.inputs[0], count]), name)
    return edit.graph()


def _divided(graph: Graph, node: Node, axes: Mapping[Entry, Axes], given: set[Axis], proven: bool
             ) -> tuple[Entry, int] | None:
    """The sequence over whose steps the input of a division was summed, and its axis of steps,
    which is that of a recurrence, or `given`; None if this is not certain, because sequences of
    several lengths are read."""
    behind = graph._replace(heads=node.inputs).reached(lambda each: each.inputs)
    times: dict[Axis, tuple[Entry, int]] = {}
    recurrences = [Entry(at, 0) for at in sorted(behind) if has(graph.nodes[at].op, 'recurs')]
    for sequence in recurrences:
        for axis in open_axes(axes.get(sequence, [])[:1]):
            times.setdefault(axis, (sequence, 0))
    is_one = len(times) == 1 and all(open_axes(axes.get(each, [])[:1]) for each in recurrences)
    if not proven and times.keys() & open_axes(axes.get(node.inputs[0])):
        return None  # it still has its steps
    summed: set[Axis] = set()
    pending, seen = [*node.inputs], {*node.inputs}
    while pending:
        entry = pending.pop()
        made, removed = graph.nodes[entry.node], set()
        if made.is_variable or has(made.op, 'recurs'):
            if made.is_variable or not is_one or not proven:
                return None  # it may be a sequence of another length
            removed = {*times}
        elif made.op == 'sum':
            data = axes.get(made.inputs[0], [])
            if not data:
                return None
            over = [*reduced_axes(len(data), made.axis, made.exclude)]
            for at in over:
                for axis in given.intersection(data[at]):
                    times.setdefault(axis, (made.inputs[0], at))
            removed = times.keys() & open_axes([data[axis] for axis in over])
        elif not proven and not has(made.op, 'elementwise') and not has(made.op, 'pair'):
            return None
        summed |= removed
        weights = {each for role in ('weight', 'aux') for each in made.inputs_of(role)}
        new = {*made.needed_inputs} - weights - seen if not removed else set()
        seen |= new
        pending.extend(new)
    return times[summed.pop()] if len(summed) == 1 else None


def _difference(first: Graph, second: Graph, names: bool = True) -> str | None:
    """The first nodes in which two graphs differ, in words; None if they are the same apart from
    names of operators and, without `names`, of variables. Variables of bodies go by place."""
    for one, other in zip(first.nodes, second.nodes):
        if _meaning(one, names) != _meaning(other, names):
            return 'graph has %s where other has %s' % (_told(first, one, other),
                                                        _told(second, other, one))
        for inner, outer in zip(one.subgraphs, other.subgraphs):
            found = _difference(inner, outer, False)
            if found is not None:
                return found
    if first.heads != second.heads:
        return 'graph returns %s where other returns %s' % tuple(', '.join(
            '%s (%s)' % (name, graph.nodes[head.node].op)
            for name, head in zip(graph.outputs, graph.heads)) for graph in (first, second))
    return None


def _meaning(node: Node, names: bool) -> tuple[object, ...]:
    return (node.op, _parameters(node), node.inputs, len(node.subgraphs), node.num_outputs,
            node.name if names and not node.op else '')


def _parameters(node: Node) -> dict[str, str]:
    return {key: value for key, value in node.attrs.items() if not key.startswith('__')}


def _told(graph: Graph, node: Node, other: Node) -> str:
    """A node, its operator, and how it differs from another node."""
    if node.is_variable:
        return 'the variable %s' % node.name
    unlike = _parameters(other)
    words = [node.op] + ['%s=%s' % (key, value) for key, value in _parameters(node).items()
                         if unlike.get(key) != value]
    if node.inputs != other.inputs:
        words.append('of ' + ' and '.join('%s[%d]' % (graph.nodes[entry.node].name, entry.output)
                                          for entry in node.inputs))
    return '%s (%s)' % (node.name, ', '.join(words))
