"""Rolls up a graph that a second graph, of another length, proves to have any length."""
from __future__ import annotations

import itertools
import math
import re

from ..graph import Entry, Graph, Node
from ..graph_editing import Edit
from ..operator_table import has
from .ambiguity import Counted
from .roll_up import RolledGraph, roll

__all__ = ['certify']


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
    counts = [[finding.steps for finding in roll(each, training=training).findings
               if finding.kind != 'unrolled'] for each in (graph, other)]
    first, second = (max(each, default=0) for each in counts)
    without = [name for name, steps in (('graph', first), ('other', second)) if not steps]
    if without:
        raise ValueError('graph and other must read several steps of a recurrence that can be '
                         'rolled up, got none in %s' % ' and '.join(without))
    if first == second:
        raise ValueError('other must be the graph of another number of steps, got %d and %d'
                         % (first, second))
    differing = []
    # An encoder has other numbers than its decoder, and one of them may be freed.
    pairs = dict.fromkeys(pair for pair in zip(*counts) if pair[0] != pair[1])
    for (one, two), counted in itertools.product({(first, second): None, **pairs}, (
            None, Counted('first', 'first'), Counted('first', 'last'), Counted('last', 'last'))):
        rolled, further = (
            roll(each, training=training, length=steps, counted=counted)
            for each, steps in ((graph, one), (other, two)))
        found = _difference(rolled.graph, further.graph)
        if found is None:
            return rolled
        differing.append(found)
        counting, beside = _counting(rolled, one), _counting(further, two)
        if _difference(counting, beside) is None:
            return rolled._replace(graph=counting)
    stated = all(re.search(r'\b%d\b' % steps, differing[0]) for steps in (first, second))
    advice = ''
    if stated:
        advice = ('. Nothing there tells how many steps an array has: pad sequences to %d steps '
                  'and leave out --certify (certify_by), or change the program' % first)
    elif len(pairs) > 1:
        advice = ('. They differ in several numbers of steps: %s. Only one can become any: give a '
                  'graph in which the others are the same, if the program can make one' % (
                      ', '.join('%d and %d' % pair for pair in pairs)))
    raise ValueError('other must be the graph of the same program for another number of steps, '
                     'but rolled up, %s%s' % (differing[0], advice))


def _counting(rolled: RolledGraph, steps: int) -> Graph:
    """The graph in which means over the steps of a recurrence divide by the count of its steps,
    instead of the number `steps`, which all recurrences have."""
    graph, edit = rolled.graph, Edit(rolled.graph)
    if any(finding.steps != steps for finding in rolled.findings):
        return graph
    for place, node in enumerate(graph.nodes):
        number = {'_div_scalar': steps, '_mul_scalar': 1 / steps}.get(node.op)
        if number is None or not math.isclose(node.scalar, number, rel_tol=1e-6):
            continue
        behind = graph._replace(heads=node.inputs).reached(lambda each: each.inputs)
        sequence = next((Entry(at, 0) for at in sorted(behind) if has(graph.nodes[at].op, 'recurs')
                         and not graph.nodes[at].get('num_out_data') == 0), None)
        if sequence is not None:
            writer, name = edit.writer, node.name
            numbers = writer.once('_contrib_arange_like', name + '_numbers', {'axis': 0}, sequence)
            ones = writer.once('ones_like', name + '_ones', {}, numbers)
            count = writer.once('sum', name + '_count', {'axis': 0, 'keepdims': True}, ones)
            edit.replaced[Entry(place, 0)] = writer.named(writer.add(
                'broadcast_div', '', {}, [node.inputs[0], count]), name)
    return edit.graph()


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
