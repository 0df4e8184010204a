"""Builds graphs node by node, with unique names and without duplicates, and replaces nodes."""
from __future__ import annotations

from typing import Any, Generator, Hashable, Iterable, Mapping, Sequence

from .graph import MADE_OF, Entry, Graph, Node, output_name
from .operator_table import has
from .rnn_vector_layout import ADDS_NOTHING

__all__ = ['Edit', 'Work', 'Writer', 'join_parts', 'origin', 'with_variables_as_in']

#: Yields the keys that it needs and receives their results; returns its own result.
Work = Generator[Any, Any, Any]


def origin(nodes: Sequence[Node], entry: Entry) -> Entry:
    """The end of the chain of first inputs that leads to an output: a variable, if there is one."""
    while nodes[entry.node].inputs:
        entry = nodes[entry.node].inputs[0]
    return entry


def with_variables_as_in(graph: Graph, other: Graph) -> Graph:
    """`graph` with its variables in the order that they have in `other`."""
    ranks = {node.name: rank for rank, node in enumerate(other.nodes) if node.is_variable}
    variables = [place for place, node in enumerate(graph.nodes) if node.is_variable]
    ordered = sorted(variables, key=lambda place: ranks.get(graph.nodes[place].name, len(ranks)))
    if ordered == variables:
        return graph
    return graph.in_order(ordered + [
        place for place, node in enumerate(graph.nodes) if not node.is_variable])


class Writer:
    """A graph under construction.

    Nodes of the old graph, and their replacements, keep their names. New nodes get names that no
    other node of the finished graph has.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._kept: set[int] = set()
        self._made: dict[Hashable, Entry] = {}

    def copy(self, node: Node, inputs: Sequence[Entry]) -> Entry:
        """A node of the old graph, with its name."""
        self._kept.add(len(self.nodes))
        self.nodes.append(node._replace(inputs=tuple(inputs)))
        return Entry(len(self.nodes) - 1, 0)

    def stand_in(self, op: str, name: str, attrs: Mapping[str, object], entry: Entry) -> Entry:
        """A new node with one input that replaces an old node and takes its name."""
        return self.named(self.add(op, '', attrs, [entry]), name)

    def named(self, entry: Entry, name: str) -> Entry:
        """`entry`, whose node gets the name of an old one."""
        self._kept.add(entry.node)
        self.nodes[entry.node] = self.nodes[entry.node]._replace(name=name)
        return entry

    def add(self, op: str, name: str, attrs: Mapping[str, object], inputs: Sequence[Entry],
            outputs: int = 1, subgraphs: tuple[Graph, ...] = ()) -> Entry:
        """A new node, called `name` or similar; returns its first output."""
        own = {key: str(value) for key, value in attrs.items()}
        self.nodes.append(Node(op, name, own, tuple(inputs), subgraphs, outputs))
        return Entry(len(self.nodes) - 1, 0)

    def once(self, op: str, name: str, attrs: Mapping[str, object], *inputs: Entry,
             outputs: int = 1) -> Entry:
        """`add`, or the existing node that does the same."""
        key = (op, tuple([each for each in attrs.items() if each[0] != MADE_OF]), inputs)
        if key not in self._made:
            self._made[key] = self.add(op, name, attrs, inputs, outputs)
        return self._made[key]

    def join(self, entries: Sequence[Entry], name: str, axis: int) -> Entry:
        """Arrays side by side along an axis."""
        return self.once('Concat', name, {'dim': axis, 'num_args': len(entries)}, *entries)

    def kernel(self, inputs: Sequence[Entry], name: str, mode: str, units: int, **attrs: object
               ) -> Entry:
        """sym.RNN of data, weights and begin states, which also outputs the last states."""
        return self.add('RNN', name, {'mode': mode, 'state_size': units, 'state_outputs': True,
                                      **attrs}, inputs, len(inputs) - 1)

    def output(self, entry: Entry, name: str) -> Entry:
        """`entry` as an output called `name`."""
        if entry.node in self._kept and output_name(self.nodes[entry.node], entry.output) == name:
            return entry
        return self.stand_in('_copy', name[:-len('_output')], {}, entry)

    def swap(self, entry: Entry, name: str) -> Entry:
        """`entry` with its first two axes swapped; undoes an earlier swap."""
        node = self.nodes[entry.node]
        if node.op == 'SwapAxis' and {node.dim1, node.dim2} == {0, 1}:
            return node.inputs[0]
        return self.once('SwapAxis', name + '_swapped', {'dim1': 0, 'dim2': 1}, entry)

    def pinned(self, entry: Entry, name: str, steps: int) -> Entry:
        """`entry`, checked to have so many steps; MXNet checks the sizes of a split."""
        split = self.once('Reshape', name + '_fixed', {'shape': (-4, steps, 1, -2)}, entry)
        return self.once('Reshape', name + '_joined', {'shape': (-3, -2)}, split)

    def graph(self, heads: Sequence[Entry], version: int = 0) -> Graph:
        """The nodes that `heads` need, in the order of a walk from the first head on."""
        return self.placed(heads, version)[0]

    def placed(self, heads: Sequence[Entry], version: int = 0) -> tuple[Graph, dict[int, int]]:
        """`graph`, and a map from places in `nodes` to places in it."""
        places: dict[int, int] = {}
        nodes: list[Node] = []
        for head in heads:
            pending = [(head.node, False)]
            while pending:
                place, ready = pending.pop()
                if place in places:
                    continue
                node = self.nodes[place]
                if ready:
                    places[place] = len(nodes)
                    nodes.append(node._replace(inputs=tuple([
                        Entry(places[entry.node], entry.output) for entry in node.inputs])))
                else:
                    pending.append((place, True))
                    pending.extend((entry.node, False) for entry in reversed(node.inputs))
        self._name_new(nodes, {places[place] for place in self._kept if place in places})
        return Graph(tuple(nodes), tuple([Entry(places[head.node], head.output)
                                          for head in heads]), version), places

    @staticmethod
    def _name_new(nodes: list[Node], kept: set[int]) -> None:
        """Give each of `nodes` that is not `kept` its own name."""
        names = {nodes[place].name for place in kept}
        for place, node in enumerate(nodes):
            if place not in kept:
                count, name = 0, node.name
                while name in names:
                    count += 1
                    name = '%s_%d' % (node.name, count)
                names.add(name)
                nodes[place] = node._replace(name=name)


class Edit:
    """A graph in which nodes are being replaced."""

    def __init__(self, graph: Graph) -> None:
        self._old = graph
        self.writer = Writer()
        for node in graph.nodes:
            self.writer.copy(node, node.inputs)
        self.replaced: dict[Entry, Entry] = {}

    def _now(self, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        """Return the replacement of each entry, after one or several steps."""
        now = []
        for entry in entries:
            while entry in self.replaced:
                entry = self.replaced[entry]
            now.append(entry)
        return tuple(now)

    def slice(self, entry: Entry, axis: int, begin: int, end: int | None) -> Entry:
        """Add a node that takes a part of an array along an axis."""
        return self.writer.add('slice_axis', 'part', {'axis': axis, 'begin': begin, 'end': end},
                               [entry])

    def graph(self) -> Graph:
        if not self.replaced:
            return self._old
        self.writer.nodes = [node._replace(inputs=self._now(node.inputs))
                             for node in self.writer.nodes]
        return self.writer.graph(self._now(self._old.heads), self._old.version)


def _rows_stacked(nodes: Sequence[Node], parts: Sequence[Entry], axis: int) -> list[Entry]:
    """The arrays that are stacked along an axis by joining `parts`; none if they are wider."""
    rows: list[Entry] = []
    for part in parts:
        node = nodes[part.node]
        if node.op not in ('expand_dims', 'stack') or node.axis != axis:
            return []
        rows.extend(node.inputs)
    return rows


def join_parts(writer: Writer, name: str, parts: Sequence[Entry], axis: int) -> Entry:
    """`parts` joined along an axis."""
    rows = _rows_stacked(writer.nodes, parts, axis)
    if rows:
        return writer.add('stack', name, {'axis': axis, 'num_args': len(rows)}, rows)
    return writer.join(parts, name, axis)


#: Operators that move no element; at most they change the shape.
_RESHAPES = {'Reshape', '_copy', 'Flatten', 'reshape_like', 'expand_dims', 'squeeze'}
#: Other operators that change nothing if shape and type stay.
_EFFECTLESS = {'Cast', 'amp_cast', 'broadcast_to', 'broadcast_like', '_identity_with_attr_like_rhs'}


def without_effectless(graph: Graph, arrays: Mapping[Entry, object], program: Graph) -> Graph:
    """The graph without operators that return their input, alone or together; equal `arrays` have
    equal shapes. Parts of one row each are stacked. What `program`, the graph before it was rolled
    up, flattens of its data stays flattened, because data may have more axes than it tells; copies
    that name outputs stay."""
    edit = Edit(graph)
    nodes = graph.nodes
    kept = {node.name for node in program.nodes if node.op == 'Flatten'
            and program.nodes[node.inputs[0].node].is_variable}
    named = {head.node for head in graph.heads if nodes[head.node].op == '_copy'}
    reshapes = {place for place, node in enumerate(nodes)
                if node.op in _RESHAPES and node.name not in kept} - named
    for place, node in enumerate(nodes):
        entry = Entry(place, 0)
        if ADDS_NOTHING in node.attrs:
            edit.replaced[entry] = node.inputs[0]
        if (place in reshapes or node.op in _EFFECTLESS) and entry in arrays:
            first = node.inputs[0]
            while arrays.get(first) != arrays[entry] and first.node in reshapes and (
                    place in reshapes):
                first = nodes[first.node].inputs[0]
            if arrays.get(first) == arrays[entry]:
                edit.replaced[entry] = first
        if has(node.op, 'joins') and len(node.inputs) > 1 and _rows_stacked(
                nodes, node.inputs, node.dim):
            edit.replaced[entry] = join_parts(edit.writer, node.name, node.inputs, node.dim)
    return edit.graph()
