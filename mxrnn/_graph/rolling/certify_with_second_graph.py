"""Rolls up a graph that a second graph, of another length, proves to have any length."""
from __future__ import annotations

from ..graph import Graph, Node
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
    first, second = (max([finding.steps for finding in roll(each, training=training).findings
                          if finding.kind != 'unrolled'], default=0) for each in (graph, other))
    without = [name for name, steps in (('graph', first), ('other', second)) if not steps]
    if without:
        raise ValueError('graph and other must read several steps of a recurrence that can be '
                         'rolled up, got none in %s' % ' and '.join(without))
    if first == second:
        raise ValueError('other must be the graph of another number of steps, got %d and %d'
                         % (first, second))
    differing = []
    for counted in (None, Counted('first', 'first'), Counted('first', 'last'),
                    Counted('last', 'last')):
        rolled, further = (
            roll(each, training=training, length=steps, counted=counted)
            for each, steps in ((graph, first), (other, second)))
        found = _difference(rolled.graph, further.graph)
        if found is None:
            return rolled
        differing.append(found)
    raise ValueError('other must be the graph of the same program for another number of steps, '
                     'but rolled up, %s' % differing[0])


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
