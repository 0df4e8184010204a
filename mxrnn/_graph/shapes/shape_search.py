"""Numbers of axes of inputs, and axes that become whatever the graph requires."""
from __future__ import annotations

import operator
from typing import Iterator, Mapping, NamedTuple, Sequence

from ..graph import Entry, Graph, Node
from ..operator_table import has
from .infer import Table, infer, variables_of
from .sizes import Axis, Size, Sum, axes_in, resolve

__all__ = ['ShapeSearch', 'ShapesError', 'UnclearShape', 'chain', 'is_parted']

#: Numbers of axes, in the order in which they are tried.
_RANKS = (2, 3, 1, 4, 5, 6)


class ShapesError(ValueError):
    """The shapes of inputs do not follow from a graph."""


class UnclearShape(ShapesError):
    """An input may have several numbers of axes, with different outputs."""

    def __init__(self, name: str, ranks: Sequence[int]) -> None:
        last = ranks[-1] == _RANKS[-1]
        super().__init__(
            'the graph takes %s with %s axes, with different results. Give its shape: a name for '
            "each axis of any size, numbers for the others, as in inputs={%r: ('batch', …)} "
            '(--input %s=batch,…)' % (
                name, '%d or more' % ranks[0] if last else ' or '.join(map(str, ranks)), name,
                name))


class _Way(NamedTuple):
    """Numbers of axes of inputs, and what the graph makes of such inputs."""

    ranks: dict[str, int]
    shapes: dict[str, list[Axis]]
    table: Table


class ShapeSearch:
    """Infers a graph whose inputs' axes become whatever the graph requires."""

    def __init__(self, graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]]) -> None:
        self.graph, self.params, self.given = graph, params, given
        #: Numbers of axes that are known although the graph leaves them open.
        self.ranks: Mapping[str, int] = {}
        self._places = {node.name: place for place, node in enumerate(graph.nodes)
                        if node.is_variable}

    def readers(self, name: str) -> list[tuple[Node, int]]:
        """The nodes that read an input, and which of their inputs it is."""
        return self.graph.consumers(self._places[name])

    def stated(self, name: str) -> tuple[int, ...]:
        """The shape that the graph states for an input; () if it states none."""
        shape = self.graph.nodes[self._places[name]].get('__shape__')
        return shape if isinstance(shape, tuple) else ()

    def table(self, shapes: Mapping[str, Sequence[int | Axis]], *, whole: bool = True) -> Table:
        """The graph with these shapes of inputs; other inputs are unknown. Unless `whole`, it ends
        at the first fault."""
        return infer(self.graph, variables_of(
            self.graph, {**self.params, **self.given, **shapes}), whole=whole)

    def _way(self, ranks: dict[str, int]) -> _Way:
        shapes = {name: [Axis(free=True) for _ in range(rank)] for name, rank in ranks.items()}
        return _Way(ranks, shapes, self.table(shapes, whole=False))

    def _ways(self, name: str, ranks: Mapping[str, int]) -> Iterator[_Way]:
        """The numbers of axes that an input may have beside others, also those with faults."""
        stated = self.ranks.get(name) or len(self.stated(name))
        return (self._way({**ranks, name: rank}) for rank in ([stated] if stated else _RANKS))

    def _likeliest(self, names: Sequence[str], chosen: _Way | None = None) -> _Way:
        """The likeliest numbers of axes that the graph takes."""
        if not names:
            return chosen or self._way({})
        fault: object = None
        found, most = [], -1
        for way in self._ways(names[0], chosen.ranks if chosen else {}):
            if way.table.faults and len(way.table.axes) > most:  # the likeliest of wrong ones
                fault, most = way.table.faults[0], len(way.table.axes)
            if not way.table.faults:
                found.append((_unusual(self.graph, way.table), way,
                              _cut(self.graph, way.table, way.shapes[names[0]])))
        found.sort(key=operator.itemgetter(0))
        likeliest = [each for each in found if each[0] == found[0][0]]
        if len({cut for _, _, cut in likeliest}) > 1:
            raise UnclearShape(names[0], sorted(way.ranks[names[0]] for _, way, _ in likeliest))
        for _, way, _ in found:
            try:
                return self._likeliest(names[1:], way)
            except UnclearShape:
                raise
            except ShapesError as error:
                fault = fault or error
        raise ShapesError(str(fault))

    def _usual(self, found: _Way) -> _Way:
        """Other numbers of axes, if these ones give the graph nodes that nobody would write."""
        least = _odd(self.graph, found)
        for name in found.ranks if least else ():
            for way in self._ways(name, found.ranks):
                if not way.table.faults and _odd(self.graph, way) < least:
                    found, least = way, _odd(self.graph, way)
        return found

    def begun(self, names: Sequence[str]) -> tuple[dict[str, list[Axis]], Table]:
        """Axes for the inputs `names`, and the result of the inference.

        If operators leave the numbers of axes open, word numbers are (batch, time), or (batch,) if
        a FullyConnected reads their vectors, and its input is (batch, channels). If a size would be
        negative, because a broadcast made an axis as long as another one, that axis is 1 instead.
        """
        _, shapes, table = self._usual(self._likeliest(names))
        for name, axes in shapes.items() if _is_negative(shapes) else ():
            for at in range(len(axes)):
                other = {name: [Axis(free=True) for _ in each] for name, each in shapes.items()}
                other[name][at].bound = 1
                tried = self.table(other)
                if not tried.faults and not _is_negative(other):
                    return other, tried
        return shapes, table


def _is_negative(shapes: Mapping[str, Sequence[Axis]]) -> bool:
    """Whether one of the sizes is below 0."""
    sizes = [resolve(axis) for axes in shapes.values() for axis in axes]
    return any(isinstance(size, int) and size < 0 for size in sizes)


def _unusual(graph: Graph, table: Table) -> tuple[int, int]:
    """How many word inputs have axes other than (batch, time), or layers join axes of data; and how
    many layers have data other than programs nearly always give them."""
    words = others = 0
    layers = {node.inputs[0].node for node in graph.nodes if has(node.op, 'reals') and node.inputs}
    for place, node in enumerate(graph.nodes):
        axes = table.axes.get(node.inputs[0]) if node.inputs else None
        if axes and node.op in ('Embedding', '_contrib_SparseEmbedding'):
            words += abs(len(axes) - 2)
        elif axes and node.op in ('FullyConnected', 'dot'):
            # with two axes, nobody needs flatten=False
            joins = node.op == 'FullyConnected' and node.flatten
            others += abs(len(axes) - (2 if node.op == 'dot' or joins else 3))
            words += max(len(axes) - 2, 0) * joins
        elif axes and place in layers and node.op == 'Reshape' and node.shape == (0, 0, -1) and (
                node.name.endswith('channels')):  # fuse's, and those of rolling up: for any axes
            others += abs(len(axes) - 3)
        if place in table.bodies:
            more = _unusual(node.subgraphs[0], table.bodies[place])
            words, others = words + more[0], others + more[1]
    return words, others


def _odd(graph: Graph, way: _Way) -> int:
    """How many nodes broadcast an input beside an array with another number of axes, how many
    arrays get three axes before they are joined but already have three, and how many axes beside
    one have inputs that become columns."""
    axes = way.table.axes
    joined = [graph.nodes[entry.node] for node in graph.nodes if has(node.op, 'joins')
              for entry in node.inputs]
    found = sum(node.op == 'Reshape' and node.shape == (0, 0, -1) and len(
        axes.get(node.inputs[0], ())) == 3 for node in joined)
    for node in graph.nodes:
        if node.op == 'Reshape' and node.shape[0] == -1 and {*node.shape[1:]} == {1} and (
                graph.nodes[node.inputs[0].node].name in way.ranks):
            found += len(axes.get(node.inputs[0], ())) - 1  # an input becomes a column
        if node.op.startswith('broadcast_') and any(
                graph.nodes[entry.node].name in way.ranks for entry in node.inputs):
            counts = [len(axes.get(entry, ())) for entry in node.inputs]
            found += 1 < min(counts) < max(counts)
    return found


def _cut(graph: Graph, table: Table, data: Sequence[Axis]) -> tuple[tuple[int, ...], ...]:
    """The Reshapes that split an input's axes, and these axes."""
    found = []
    for place, node in enumerate(graph.nodes):
        if node.op == 'Reshape':
            sizes = [size for axis in table.axes.get(Entry(place, 0), []) for size in axis
                     if is_parted(size)]
            axes = {axis for size in sizes for axis in axes_in(size)}
            found.append((place, *[at for at, axis in enumerate(data) if resolve(axis) in axes]))
    return tuple(found)


def is_parted(size: Size) -> bool:
    """Whether it is a part of an axis of any size."""
    size = resolve(size)
    return isinstance(size, Sum) and size.divisor > 1 or isinstance(size, Axis) and size.unknown


def chain(axis: Size | None) -> Iterator[Axis]:
    """The axes that an axis was found to equal, itself first."""
    while isinstance(axis, Axis):
        yield axis
        axis = axis.bound
