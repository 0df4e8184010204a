"""Simplifies a graph: RNN with all its layers, no operators without effect.

A program's cells are rolled up one by one. Here an RNN that reads the sequence forwards and one
that reads it backwards become one of both directions, and an RNN that reads the outputs of another,
which nothing else reads, becomes a further layer of it.
"""
from __future__ import annotations

from typing import Iterable, Mapping, NamedTuple, Sequence

from .graph import Entry, Graph, Node
from .rolling.writing import Writer

__all__ = ['merged', 'without_effectless']

_EFFECTLESS = {'Reshape', '_copy', 'Cast', 'amp_cast', 'broadcast_to', 'broadcast_like', 'Flatten',
               'reshape_like', '_identity_with_attr_like_rhs'}


def without_effectless(graph: Graph, arrays: Mapping[Entry, object]) -> Graph:
    """The graph without operators that give their input; equal `arrays` are of equal shapes."""
    edit = _Edit(graph)
    for place, node in enumerate(graph.nodes):
        if node.op in _EFFECTLESS and arrays.get(Entry(place, 0)) == arrays.get(
                node.inputs[0], ()):
            edit.replaced[Entry(place, 0)] = node.inputs[0]
    return edit.graph()


def merged(graph: Graph) -> Graph:
    """The graph with the directions and layers of RNN in one node."""
    for find in (_directions, _layers):
        place = 0
        while place < len(graph.nodes):
            edit = find(graph, place)
            graph, place = (graph, place + 1) if edit is None else (edit.graph(), 0)
    return graph


class _Edit:
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

    def slice(self, entry: Entry, axis: int, begin: int, end: int) -> Entry:
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


def _arrays(graph: Graph, entry: Entry) -> tuple[Entry, ...]:
    """The weights of an RNN, output `entry.output` = 0, if they are no vector already; or none."""
    node = graph.nodes[entry.node]
    if node.op != 'RNN' or entry.output or node.use_sequence_length or node.projection_size:
        return ()
    join = graph.nodes[node.inputs[1].node]
    count = 4 * node.num_layers * (1 + node.bidirectional)
    return join.inputs if join.op == '_rnn_param_concat' and len(join.inputs) == count else ()


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


def _join(edit: _Edit, graph: Graph, first: Entry, second: Entry, name: str, p: float,
          **attrs: object) -> Entry:
    """One RNN in the place of two, whose states it replaces; its output."""
    one, other = graph.nodes[first.node], graph.nodes[second.node]
    write, weights, further = edit.writer, _arrays(graph, first), _arrays(graph, second)
    half, rest = len(weights) // 2, len(further) // 2
    vector = write.add('_rnn_param_concat', name + '_parameters', {
        'dim': 0, 'num_args': len(weights) + len(further)}, [
            *weights[:half], *further[:rest], *weights[half:], *further[rest:]])
    begins = [write.add('Concat', name + '_begin', {'dim': 0, 'num_args': 2}, pair)
              for pair in zip(one.inputs[2:], other.inputs[2:])]
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


def _directions(graph: Graph, place: int) -> _Edit | None:
    """Both directions in one RNN, if the node at `place` joins their outputs."""
    node = graph.nodes[place]
    if node.op != 'Concat' or len(node.inputs) != 2 or node.dim not in (2, -1):
        return None
    for axis in (0, 1):
        ahead, back = (_walk(graph, entry, axis) for entry in node.inputs)
        if (ahead.axis or back.axis or ahead.reversed or not back.reversed or ahead.dropouts
                or back.dropouts or not _arrays(graph, ahead.root)
                or not _arrays(graph, back.root)):
            continue
        one, other = graph.nodes[ahead.root.node], graph.nodes[back.root.node]
        data, reverse = _walk(graph, one.inputs[0], 0), _walk(graph, other.inputs[0], 0)
        if (data[:2] != reverse[:2] or data.reversed or not reverse.reversed or data.dropouts
                or reverse.dropouts or not _alike(graph, one, other) or one.num_layers > 1
                or other.num_layers > 1 or one.bidirectional
                or _needs(graph, one.inputs, back.root) or _needs(graph, other.inputs, ahead.root)):
            continue
        edit = _Edit(graph)
        name = node.name[:-len('_out')] if node.name.endswith('_out') else node.name
        joined = _join(edit, graph, ahead.root, back.root, name, 0, num_layers=1,
                       bidirectional=True)
        units = one.state_size
        edit.replaced[Entry(place, 0)] = joined if axis == 0 else edit.writer.swap(joined, name)
        edit.replaced[ahead.root] = edit.slice(joined, 2, 0, units)
        edit.replaced[back.root] = edit.writer.add(
            'reverse', 'back', {'axis': (0,)}, [edit.slice(joined, 2, units, 2 * units)])
        return edit
    return None


def _layers(graph: Graph, place: int) -> _Edit | None:
    """The RNN at `place` as further layers of the one whose outputs it alone reads."""
    second = Entry(place, 0)
    if not _arrays(graph, second):
        return None
    other = graph.nodes[place]
    walk = _walk(graph, other.inputs[0], 0)
    first, one = walk.root, graph.nodes[walk.root.node]
    if (not _arrays(graph, first) or walk.axis or walk.reversed or len(walk.dropouts) > 1
            or not _alike(graph, one, other) or set(walk.entries) & set(graph.heads)
            or _needs(graph, other.inputs[1:], first)):
        return None
    readers = [node for entry in walk.entries for node in graph.nodes if entry in node.inputs]
    if len(readers) != len(walk.entries):
        return None
    p = walk.dropouts[0].p if walk.dropouts else 0.
    if any(each.num_layers > 1 and each.p != p for each in (one, other)):
        return None
    edit = _Edit(graph)
    edit.replaced[second] = _join(
        edit, graph, first, second, one.name, p, num_layers=one.num_layers + other.num_layers,
        bidirectional=one.bidirectional)
    return edit
