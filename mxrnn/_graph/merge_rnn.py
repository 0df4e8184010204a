"""Joins the directions and layers of an RNN to one node.

A program's cells are rolled up one by one. Here, an RNN that reads a sequence forwards and one that
reads it backwards become one RNN with both directions. An RNN that alone reads the outputs of
another becomes a further layer of it.
"""
from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from typing import Callable, NamedTuple, Sequence

from .graph import Entry, Graph, Node
from .graph_editing import Edit, join_parts
from .operator_table import has
from .rnn_vector_layout import FusedLayout
from .shapes.axis_factors import Axes, number_of
from .shapes.infer import axes_of
from .shapes.rule_api import NOT_INFERRED
from .shapes.sizes import Axis

__all__ = ['merged', 'readers']


def merged(graph: Graph, for_mxnet: bool = False) -> Graph:
    """The graph with the directions and layers of an RNN in one node. `for_mxnet`: only directions,
    and their begin states in a Concat, because MXNet infers no array from a stack of it."""
    finds: list[Callable[[Graph], Edit | None]] = [
        functools.partial(_directions, for_mxnet=for_mxnet), _whole]
    if not for_mxnet:
        finds.append(_layers)
    at = 0
    while at < len(finds):
        edit = finds[at](graph)
        graph, at = (graph, at + 1) if edit is None else (edit.graph(), 0)
    return graph


class _Walk(NamedTuple):
    """The source of an array: before swaps, reversal and perhaps dropout."""

    root: Entry
    #: The number of its time axis.
    axis: int
    reversed: bool
    dropouts: list[Node]
    #: The nodes on the way, from the consumer to the root, which is included.
    entries: list[Entry]


def _walk(graph: Graph, entry: Entry, axis: int, dropouts: bool = True) -> _Walk:
    """Go from an array with time axis `axis` back to its source, also through `dropouts`."""
    backwards, found, entries = False, [], [entry]
    while True:
        node = graph.nodes[entry.node]
        if node.op == 'SwapAxis' and {node.dim1, node.dim2} == {0, 1}:
            axis = 1 - axis
        elif node.op == 'reverse' and node.axis == (axis,) or (
                node.op == 'SequenceReverse' and axis == 0 and not node.use_sequence_length):
            backwards = not backwards
        elif dropouts and node.op == 'Dropout' and not node.axes and node.mode == 'training':
            found.append(node)
        else:
            return _Walk(entry, axis, backwards, found, entries)
        entry = node.inputs[0]
        entries.append(entry)


def _is_plain(graph: Graph, entry: Entry) -> bool:
    """Whether an array is the output of an RNN that can be joined with another one."""
    node = graph.nodes[entry.node]
    return has(node.op, 'kernel') and not entry.output and not node.use_sequence_length and (
        node.projection_size is None)


def _alike(graph: Graph, one: Node, other: Node) -> bool:
    return (one.mode, one.state_size, one.bidirectional) == (
        other.mode, other.state_size, other.bidirectional) and all(
            _one_row(graph, first) == _one_row(graph, second)
            for first, second in zip(one.inputs[2:], other.inputs[2:]))


def _needs(graph: Graph, entries: Sequence[Entry], others: Sequence[Entry]) -> bool:
    """Whether an array depends on the node of another one; then they cannot become one node."""
    reached = graph._replace(heads=tuple(entries)).reached(lambda node: node.inputs)
    return any(other.node in reached for other in others)


def _one_row(graph: Graph, entry: Entry) -> bool:
    """Whether the graph makes a begin state of one row for the whole batch, which only RNN itself
    repeats."""
    node, moves = graph.nodes[entry.node], []
    while node.op in ('expand_dims', 'Reshape') or has(node.op, 'gathers'):
        moves.append(node)
        node = graph.nodes[node.inputs[0].node]
    if node.is_variable or node.inputs:
        return False
    axes: Axes = [(size,) if size else (Axis(),) for size in getattr(node, 'shape', None) or ()]
    try:
        for move in reversed(moves):  # arrays are joined only if they have as many rows
            axes, = axes_of(move, [axes] * len(move.inputs))
        return number_of(axes[-2]) == 1
    except NOT_INFERRED:
        return False


def _join(edit: Edit, graph: Graph, entries: Sequence[Entry], name: str, p: float,
          for_mxnet: bool = False, **attrs: object) -> Entry:
    """One RNN that replaces several and their states; returns its output."""
    nodes, write = [graph.nodes[entry.node] for entry in entries], edit.writer
    weights, biases = zip(*[_arrays(edit, graph, node) for node in nodes])
    parts = [part for each in (*weights, *biases) for part in each]
    vector = write.add('_rnn_param_concat', name + '_parameters',
                       {'dim': 0, 'num_args': len(parts)}, parts)
    begins = [write.join(each, name + '_begin', 0) if for_mxnet else
              join_parts(write, name + '_begin', each, 0)
              for each in zip(*[node.inputs[2:] for node in nodes])]
    joined = write.kernel([nodes[0].inputs[0], vector, *begins], name, nodes[0].mode,
                          nodes[0].state_size, p=p, **attrs)
    end = 0
    for entry, node in zip(entries, nodes):
        begin, end = end, end + node.num_layers * (1 + node.bidirectional)
        for at in range(1, 1 + len(begins)):
            edit.replaced[Entry(entry.node, at)] = edit.slice(Entry(joined.node, at), 0, begin, end)
    return joined


def _arrays(edit: Edit, graph: Graph, node: Node) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """The weights of an RNN, and its biases: as they were joined, or as parts of the vector."""
    layout = FusedLayout(node.mode, node.state_size, node.num_layers, node.bidirectional)
    biases = [each.end - each.begin for each in layout.arrays(1, by_gate=False)
              if each.kind == 'bias']
    join, vector = graph.nodes[node.inputs[1].node], node.inputs[1]
    if join.op == '_rnn_param_concat' and len(join.inputs) == 2 * len(biases):
        return join.inputs[:len(biases)], join.inputs[len(biases):]
    return ([edit.slice(vector, 0, 0, -sum(biases))], [edit.slice(vector, 0, -sum(biases), None)])


def readers(graph: Graph, entry: Entry) -> set[int]:
    """Places of the nodes that read an array, reversed or not; -1 stands for the outputs."""
    turned, found = {entry}, set()
    for place, node in enumerate(graph.nodes):
        if not turned.isdisjoint(node.inputs):
            if node.op in ('SwapAxis', 'reverse', 'SequenceReverse'):
                turned.add(Entry(place, 0))
            else:
                found.add(place)
    return found if turned.isdisjoint(graph.heads) else found | {-1}


def _directions(graph: Graph, for_mxnet: bool) -> Edit | None:
    """Join two RNNs, one that reads its data forwards and one that reads it backwards.

    The same operators must read the outputs of both, or nothing may read them.
    """
    forwards, backwards = [], defaultdict(list)
    for place, node in enumerate(graph.nodes):
        entry = Entry(place, 0)
        if _is_plain(graph, entry) and not node.bidirectional and node.num_layers == 1:
            walk = _walk(graph, node.inputs[0], 0, dropouts=False)
            if walk.reversed:
                backwards[walk[:2]].append(entry)
            else:
                forwards.append((entry, walk[:2]))
    reading = functools.lru_cache(None)(functools.partial(readers, graph))
    for ahead, data in forwards:
        one = graph.nodes[ahead.node]
        for back in backwards[data]:
            other = graph.nodes[back.node]
            if (not _alike(graph, one, other) or reading(ahead) != reading(back)
                    or _needs(graph, one.inputs, [back]) or _needs(graph, other.inputs, [ahead])):
                continue
            joins = [graph.nodes[each].name for each in sorted(reading(ahead)) if each >= 0]
            name = re.sub(r'(_t\d+)?_out$', '', joins[0]) if joins else one.name
            edit, units = Edit(graph), one.state_size
            joined = _join(edit, graph, [ahead, back], name, 0, for_mxnet, num_layers=1,
                           bidirectional=True)
            edit.replaced[ahead] = edit.slice(joined, 2, 0, units)
            edit.replaced[back] = edit.writer.add(
                'reverse', 'back', {'axis': (0,)}, [edit.slice(joined, 2, units, 2 * units)])
            return edit
    return None


def _whole(graph: Graph) -> Edit | None:
    """The outputs of each RNN in the place of its parts, where these are joined side by side."""
    edit = Edit(graph)
    for place, node in enumerate(graph.nodes):
        for axis in (0, 1) if has(node.op, 'joins') and node.dim in (2, -1) else ():
            walks = [_walk(graph, entry, axis) for entry in node.inputs]
            parts = [graph.nodes[each.root.node] for each in walks]
            if any(each.op != 'slice_axis' or each.axis != 2 for each in parts):
                continue
            whole = parts[0].inputs[0]
            rnn = graph.nodes[whole.node]
            if not _is_plain(graph, whole) or any(
                    (each.axis, each.reversed, each.dropouts) != (0, walks[0].reversed, [])
                    or part.inputs[0] != whole for each, part in zip(walks, parts)):
                continue
            ends = [part.end for part in parts]
            if [part.begin for part in parts] != [0, *ends[:-1]] or (
                    ends[-1] != rnn.state_size * (1 + rnn.bidirectional)):
                continue
            if walks[0].reversed:
                whole = edit.writer.add('reverse', 'back', {'axis': (0,)}, [whole])
            edit.replaced[Entry(place, 0)] = edit.writer.swap(whole, node.name) if axis else whole
            break
    return edit if edit.replaced else None


def _layers(graph: Graph) -> Edit | None:
    """Join RNNs to layers of one, if each alone reads the outputs of the one before it."""
    uses = Counter(entry for node in graph.nodes for entry in node.inputs)
    uses.update(graph.heads)
    above: dict[Entry, tuple[Entry, float]] = {}  # with the probability of dropout between them
    for place, node in enumerate(graph.nodes):
        if _is_plain(graph, Entry(place, 0)):
            walk = _walk(graph, node.inputs[0], 0)
            if (_is_plain(graph, walk.root) and not walk.axis and not walk.reversed
                    and len(walk.dropouts) < 2 and all(uses[each] == 1 for each in walk.entries)):
                p = walk.dropouts[0].p if walk.dropouts else 0.
                above[walk.root] = Entry(place, 0), p
    for first, (_, p) in above.items():
        chain, one = [first], graph.nodes[first.node]
        while chain[-1] in above:
            following, dropout = above[chain[-1]]
            other = graph.nodes[following.node]
            if dropout != p or not _alike(graph, one, other) or any(
                    each.num_layers > 1 and each.p != p for each in (one, other)) or (
                        _needs(graph, other.inputs[1:], chain)):
                break
            chain.append(following)
        if len(chain) > 1:
            edit = Edit(graph)
            edit.replaced[chain[-1]] = _join(
                edit, graph, chain, one.name, p, bidirectional=one.bidirectional,
                num_layers=sum(graph.nodes[each.node].num_layers for each in chain))
            return edit
    return None
