"""Simplifies a graph: RNN with all its layers, no operators without effect.

A program's cells are rolled up one by one. Here an RNN that reads the sequence forwards and one
that reads it backwards become one of both directions, and an RNN that reads the outputs of another,
which nothing else reads, becomes a further layer of it.
"""
from __future__ import annotations

import re
from typing import Iterable, Mapping, NamedTuple, Sequence

from .graph import Entry, Graph, Node
from .layout import FusedLayout
from .rolling.writing import Writer

__all__ = ['Edit', 'merged', 'readers', 'without_effectless']

#: Operators that move no element: they give an array another shape at most.
_RESHAPES = {'Reshape', '_copy', 'Flatten', 'reshape_like', 'expand_dims', 'squeeze'}
#: Operators that change nothing where the shape and the type stay.
_EFFECTLESS = _RESHAPES | {'Cast', 'amp_cast', 'broadcast_to', 'broadcast_like',
                           '_identity_with_attr_like_rhs'}


def without_effectless(graph: Graph, arrays: Mapping[Entry, object]) -> Graph:
    """The graph without operators that give their input, or together give an array the shape that
    it had; equal `arrays` are of equal shapes. Parts of one row each are stacked."""
    edit = Edit(graph)
    nodes = graph.nodes
    for place, node in enumerate(nodes):
        entry = Entry(place, 0)
        if node.op in _EFFECTLESS and entry in arrays:
            first = node.inputs[0]
            while arrays.get(first) != arrays[entry] and nodes[first.node].op in _RESHAPES and (
                    node.op in _RESHAPES):
                first = nodes[first.node].inputs[0]
            if arrays.get(first) == arrays[entry]:
                edit.replaced[entry] = first
        if node.op == 'Concat' and len(node.inputs) > 1 and _rows(nodes, node.inputs, node.dim):
            edit.replaced[entry] = _joined(edit.writer, node.name, node.inputs, node.dim)
    return edit.graph()


def _rows(nodes: Sequence[Node], parts: Sequence[Entry], axis: int) -> list[Entry]:
    """The arrays that are stacked along an axis if `parts` are joined; none if they are wider."""
    rows: list[Entry] = []
    for part in parts:
        node = nodes[part.node]
        if node.op not in ('expand_dims', 'stack') or node.axis != axis:
            return []
        rows.extend(node.inputs)
    return rows


def _joined(writer: Writer, name: str, parts: Sequence[Entry], axis: int) -> Entry:
    """`parts` along an axis."""
    rows = _rows(writer.nodes, parts, axis)
    if rows:
        return writer.add('stack', name, {'axis': axis, 'num_args': len(rows)}, rows)
    return writer.add('Concat', name, {'dim': axis, 'num_args': len(parts)}, parts)


def merged(graph: Graph) -> Graph:
    """The graph with the directions and layers of RNN in one node."""
    finds = [_directions, _whole, _layers]
    at = 0
    while at < len(finds):
        edits = (finds[at](graph, place) for place in range(len(graph.nodes)))
        edit = next((each for each in edits if each is not None), None)
        graph, at = (graph, at + 1) if edit is None else (edit.graph(), 0)
    return graph


class Edit:
    """A graph in which nodes are put in the place of others."""

    def __init__(self, graph: Graph) -> None:
        self._old = graph
        self.writer = Writer()
        for node in graph.nodes:
            self.writer.copy(node, node.inputs)
        self.replaced: dict[Entry, Entry] = {}

    def _now(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        now = []
        for entry in entries:
            while entry in self.replaced:
                entry = self.replaced[entry]
            now.append(entry)
        return tuple(now)

    def slice(self, entry: Entry, axis: int, begin: int, end: int | None) -> Entry:
        return self.writer.add('slice_axis', 'part', {'axis': axis, 'begin': begin, 'end': end},
                               [entry])

    def graph(self) -> Graph:
        if not self.replaced:
            return self._old
        self.writer.nodes = [node._replace(inputs=self._now(node.inputs))
                             for node in self.writer.nodes]
        return self.writer.graph(self._now(self._old.heads), self._old.version)


class _Walk(NamedTuple):
    """Where an array comes from: unswapped, unreversed, before dropout."""

    root: Entry
    #: Which of its axes is time.
    axis: int
    reversed: bool
    dropouts: list[Node]
    #: What it was walked through, from the consumer on, with the root.
    entries: list[Entry]


def _walk(graph: Graph, entry: Entry, axis: int) -> _Walk:
    """Go from an array, whose axis `axis` is time, to where it comes from."""
    backwards, dropouts, entries = False, [], [entry]
    while True:
        node = graph.nodes[entry.node]
        if node.op == 'SwapAxis' and {node.dim1, node.dim2} == {0, 1}:
            axis = 1 - axis
        elif node.op == 'reverse' and node.axis == (axis,) or (
                node.op == 'SequenceReverse' and axis == 0 and not node.use_sequence_length):
            backwards = not backwards
        elif node.op == 'Dropout' and not node.axes and node.mode == 'training':
            dropouts.append(node)
        else:
            return _Walk(entry, axis, backwards, dropouts, entries)
        entry = node.inputs[0]
        entries.append(entry)


def _is_plain(graph: Graph, entry: Entry) -> bool:
    """Whether an array is the outputs of an RNN that can be joined with another one."""
    node = graph.nodes[entry.node]
    return node.op == 'RNN' and not entry.output and not node.use_sequence_length and (
        node.projection_size is None)


def _alike(graph: Graph, one: Node, other: Node) -> bool:
    return (one.mode, one.state_size, one.bidirectional) == (
        other.mode, other.state_size, other.bidirectional) and all(
            _one_row(graph, first) == _one_row(graph, second)
            for first, second in zip(one.inputs[2:], other.inputs[2:]))


def _needs(graph: Graph, entries: Sequence[Entry], other: Entry) -> bool:
    """Whether arrays depend on the node of another one: then the two cannot become one node."""
    part = graph._replace(heads=tuple(entries))
    return other.node in part.reached(lambda node: node.inputs)


def _one_row(graph: Graph, entry: Entry) -> bool:
    """Whether a begin state may be one row for all of the batch, which only RNN itself repeats."""
    node = graph.nodes[entry.node]
    while node.op in ('expand_dims', 'Reshape'):
        node = graph.nodes[node.inputs[0].node]
    return not node.is_variable and not node.inputs and 1 in node.shape


def _join(edit: Edit, graph: Graph, first: Entry, second: Entry, name: str, p: float,
          **attrs: object) -> Entry:
    """One RNN in the place of two, whose states it replaces; its output."""
    one, other = graph.nodes[first.node], graph.nodes[second.node]
    write = edit.writer
    (weights, biases), (further, rest) = _arrays(edit, graph, one), _arrays(edit, graph, other)
    parts = [*weights, *further, *biases, *rest]
    vector = write.add('_rnn_param_concat', name + '_parameters',
                       {'dim': 0, 'num_args': len(parts)}, parts)
    begins = [_joined(write, name + '_begin', each, 0)
              for each in zip(one.inputs[2:], other.inputs[2:])]
    joined = write.add('RNN', name, {
        'mode': one.mode, 'state_size': one.state_size, 'state_outputs': True, 'p': p,
        **attrs}, [one.inputs[0], vector, *begins], 1 + len(begins))
    count = one.num_layers * (1 + one.bidirectional)
    ends = count + other.num_layers * (1 + other.bidirectional)
    for at in range(1, 1 + len(begins)):
        state = Entry(joined.node, at)
        edit.replaced[Entry(first.node, at)] = edit.slice(state, 0, 0, count)
        edit.replaced[Entry(second.node, at)] = edit.slice(state, 0, count, ends)
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
    """Places of the nodes that read an array, turned round or not; -1 stands for the outputs."""
    turned, found = {entry}, set()
    for place, node in enumerate(graph.nodes):
        if not turned.isdisjoint(node.inputs):
            if node.op in ('SwapAxis', 'reverse', 'SequenceReverse'):
                turned.add(Entry(place, 0))
            else:
                found.add(place)
    return found if turned.isdisjoint(graph.heads) else found | {-1}


def _directions(graph: Graph, place: int) -> Edit | None:
    """Both directions in one RNN: the RNN at `place`, and one that reads its data backwards.

    The same operators read the outputs of both, or nothing does.
    """
    ahead = Entry(place, 0)
    if not _is_plain(graph, ahead):
        return None
    one, reading = graph.nodes[place], readers(graph, ahead)
    data = _walk(graph, one.inputs[0], 0)
    for further, other in enumerate(graph.nodes):
        back = Entry(further, 0)
        if further == place or not _is_plain(graph, back) or not _alike(graph, one, other) or (
                one.bidirectional or one.num_layers > 1 or other.num_layers > 1):
            continue
        reverse = _walk(graph, other.inputs[0], 0)
        if (data[:2] != reverse[:2] or data.reversed or not reverse.reversed or data.dropouts
                or reverse.dropouts or reading != readers(graph, back)
                or _needs(graph, one.inputs, back) or _needs(graph, other.inputs, ahead)):
            continue
        joins = [graph.nodes[each].name for each in sorted(reading) if each >= 0]
        name = re.sub(r'(_t\d+)?_out$', '', joins[0]) if joins else one.name
        edit, units = Edit(graph), one.state_size
        joined = _join(edit, graph, ahead, back, name, 0, num_layers=1, bidirectional=True)
        edit.replaced[ahead] = edit.slice(joined, 2, 0, units)
        edit.replaced[back] = edit.writer.add(
            'reverse', 'back', {'axis': (0,)}, [edit.slice(joined, 2, units, 2 * units)])
        return edit
    return None


def _whole(graph: Graph, place: int) -> Edit | None:
    """The outputs of an RNN in the place of its parts side by side, which the node at `place`
    joins."""
    node = graph.nodes[place]
    if node.op != 'Concat' or node.dim not in (2, -1):
        return None
    for axis in (0, 1):
        walks = [_walk(graph, entry, axis) for entry in node.inputs]
        parts = [graph.nodes[each.root.node] for each in walks]
        if any(each.op != 'slice_axis' or each.axis != 2 for each in parts):
            continue
        root = parts[0].inputs[0]
        rnn = graph.nodes[root.node]
        if not _is_plain(graph, root) or any(
                (each.axis, each.reversed, each.dropouts) != (0, walks[0].reversed, [])
                or part.inputs[0] != root for each, part in zip(walks, parts)):
            continue
        ends = [part.end for part in parts]
        if [part.begin for part in parts] != [0, *ends[:-1]] or (
                ends[-1] != rnn.state_size * (1 + rnn.bidirectional)):
            continue
        edit, whole = Edit(graph), root
        if walks[0].reversed:
            whole = edit.writer.add('reverse', 'back', {'axis': (0,)}, [whole])
        edit.replaced[Entry(place, 0)] = edit.writer.swap(whole, node.name) if axis else whole
        return edit
    return None


def _layers(graph: Graph, place: int) -> Edit | None:
    """The RNN at `place` as further layers of the one whose outputs it alone reads."""
    second = Entry(place, 0)
    if not _is_plain(graph, second):
        return None
    other = graph.nodes[place]
    walk = _walk(graph, other.inputs[0], 0)
    first, one = walk.root, graph.nodes[walk.root.node]
    if (not _is_plain(graph, first) or walk.axis or walk.reversed or len(walk.dropouts) > 1
            or not _alike(graph, one, other) or set(walk.entries) & set(graph.heads)
            or _needs(graph, other.inputs[1:], first)):
        return None
    reading = [node for entry in walk.entries for node in graph.nodes if entry in node.inputs]
    if len(reading) != len(walk.entries):
        return None
    p = walk.dropouts[0].p if walk.dropouts else 0.
    if any(each.num_layers > 1 and each.p != p for each in (one, other)):
        return None
    edit = Edit(graph)
    edit.replaced[second] = _join(
        edit, graph, first, second, one.name, p, num_layers=one.num_layers + other.num_layers,
        bidirectional=one.bidirectional)
    return edit
