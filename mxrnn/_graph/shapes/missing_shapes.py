"""Shapes of inputs that the user did not give, as far as the graph and its weights tell them."""
from __future__ import annotations

import operator
from typing import Hashable, Iterable, Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

from ..graph import Entry, Graph, Node
from ..operator_table import has, row
from .infer import Table, infer
from .rule_api import RULES
from .sizes import Axis, Size, Sum, axes_in, resolve

__all__ = ['Found', 'Named', 'Place', 'ShapeSearch', 'ShapesError', 'UnclearShape', 'found_shapes']

#: Numbers of axes, in the order in which they are tried.
_RANKS = (2, 3, 1, 4, 5, 6)
#: Inputs are read alike if so many nodes behind them are.
_NODES = 8


class ShapesError(ValueError):
    """The shapes of inputs do not follow from a graph."""


class UnclearShape(ShapesError):
    """The input `name` may have several numbers of axes, `ranks`, with different outputs; `why` is
    the message without what to do."""

    def __init__(self, name: str, ranks: Sequence[int], reader: str) -> None:
        last = ranks[-1] == _RANKS[-1]
        self.name, self.ranks = name, ranks
        self.why = 'the graph takes %s with %s axes, with different results%s' % (
            name, '%d or more' % ranks[0] if last else ' or '.join(map(str, ranks)), reader)
        super().__init__(
            '%s. Give its shape: a name for each axis of any size, numbers for the others, as in '
            "inputs={%r: ('batch', …)} (--input %s=batch,…)" % (self.why, name, name))


class _Way(NamedTuple):
    """Numbers of axes of inputs, and what the graph makes of such inputs."""

    ranks: dict[str, int]
    shapes: dict[str, list[Axis]]
    table: Table


class ShapeSearch:
    """Infers a graph whose inputs' axes become whatever the graph requires."""

    def __init__(self, graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]], ranks: Mapping[str, int] = {}) -> None:
        self.graph, self.params, self.given = graph, params, given
        #: Numbers of axes that are known although the graph leaves them open.
        self.ranks = ranks
        self._places = {node.name: place for place, node in enumerate(graph.nodes)
                        if node.is_variable}
        self._readers: list[list[tuple[int, int]]] = [[] for _ in graph.nodes]
        for place, node in enumerate(graph.nodes):
            for at, entry in enumerate(node.inputs):
                self._readers[entry.node].append((place, at))

    def readers(self, name: str) -> list[tuple[Node, int]]:
        """The nodes that read an input, and which of their inputs it is."""
        return [(self.graph.nodes[place], at) for place, at in self._readers[self._places[name]]]

    def kinds(self, name: str) -> set[int]:
        """The axes along which an input is split into numbers that are looked up in different
        tables. These are categories, not steps."""
        found = set()
        for place, _ in self._readers[self._places[name]]:
            node = self.graph.nodes[place]
            tables = {entry.node for reader, _ in self._readers[place]
                      for each in [self.graph.nodes[reader]] if each.op == 'Embedding'
                      for entry in each.inputs_of('weight')}
            if node.op == 'SliceChannel' and len(tables) > 1:
                found.add(node.axis)
        return found

    def _read_alike(self, names: Sequence[str]) -> list[list[str]]:
        """Inputs in groups that have the same numbers of axes: the same operators read them, at the
        same places and beside weights of the same shapes, and so on for the next nodes."""
        nodes = self.graph.nodes
        known = {name: tuple(shape) for name, shape in {**self.params, **self.given}.items()}
        own: list[Hashable] = [place if node.subgraphs else (
            node.op, self.ranks.get(node.name), frozenset([
                item for item in node.attrs.items() if item[0][:2] != '__' or (
                    item[0] == '__shape__')]), *[
                        known.get(nodes[entry.node].name) for entry in node.inputs])
            for place, node in enumerate(nodes)]
        joins = [bool(each and each.variadic and not each.bodies)
                 for each in (row(node.op) for node in nodes)]
        read = _numbered(own)
        for _ in range(_NODES):
            read = _numbered([(each, frozenset([
                (read[place], nodes[place].inputs[at].output, 0 if joins[place] else at)
                for place, at in readers])) for each, readers in zip(own, self._readers)])
        groups: dict[int, list[str]] = {}
        for name in names:
            groups.setdefault(read[self._places[name]], []).append(name)
        return [*groups.values()]

    def stated(self, name: str) -> tuple[int, ...]:
        """The shape that the graph states for an input; () if it states none."""
        return self.graph.nodes[self._places[name]].stated_shape

    def table(self, shapes: Mapping[str, Sequence[int | Axis]], *, whole: bool = True) -> Table:
        """The graph with these shapes of inputs; other inputs are unknown. Unless `whole`, it ends
        at the first fault."""
        return infer(self.graph, {**self.params, **self.given, **shapes}, whole=whole)

    def axes(self, table: Table, names: Iterable[str]) -> dict[str, list[Axis]]:
        """The axes in a table of inputs whose axes became whatever the graph requires."""
        return {name: [axis for axes in table.axes.get(Entry(self._places[name], 0), [])
                       for axis in axes if isinstance(axis, Axis)] for name in names}

    def _way(self, ranks: dict[str, int]) -> _Way:
        table = self.table({name: [Axis(free=True) for _ in range(rank)]
                            for name, rank in ranks.items()}, whole=False)
        return _Way(ranks, self.axes(table, ranks), table)

    def _ways(self, names: Sequence[str], ranks: Mapping[str, int]) -> Iterator[_Way]:
        """The numbers of axes that inputs which are read alike may have beside others, also those
        with faults."""
        stated = self.ranks.get(names[0]) or len(self.stated(names[0]))
        return (self._way({**ranks, **dict.fromkeys(names, rank)})
                for rank in ([stated] if stated else _RANKS))

    def _likeliest(self, groups: Sequence[Sequence[str]], chosen: _Way | None = None) -> _Way:
        """The likeliest numbers of axes that the graph takes."""
        if not groups:
            return chosen or self._way({})
        name = groups[0][0]
        fault: object = None
        found, most = [], -1
        for way in self._ways(groups[0], chosen.ranks if chosen else {}):
            if way.table.faults and len(way.table.axes) > most:  # the likeliest of wrong ones
                fault, most = way.table.faults[0], len(way.table.axes)
            if not way.table.faults:
                found.append((_unusual(self.graph, way.table), way,
                              _cut(self.graph, way.table, way.shapes[name])))
        found.sort(key=operator.itemgetter(0))
        likeliest = [each for each in found if each[0] == found[0][0]]
        if len({cut for _, _, cut in likeliest}) > 1:
            raise UnclearShape(name, sorted(way.ranks[name] for _, way, _ in likeliest), ''.join(
                '. %s makes it %s' % (node.title, node.shape) for node in self.graph.nodes
                if node.op == 'Reshape' and self.graph.nodes[node.inputs[0].node].name == name))
        for _, way, _ in found:
            try:
                return self._likeliest(groups[1:], way)
            except UnclearShape:
                raise
            except ShapesError as error:
                fault = fault or error
        raise ShapesError(str(fault))

    def _usual(self, groups: Sequence[Sequence[str]], found: _Way) -> _Way:
        """Other numbers of axes, if these ones give the graph nodes that nobody would write."""
        least = _odd(self.graph, found)
        for names in groups if least else ():
            for way in self._ways(names, found.ranks):
                if not way.table.faults and _odd(self.graph, way) < least:
                    found, least = way, _odd(self.graph, way)
        return found

    def begun(self, names: Sequence[str]) -> dict[str, list[Axis]]:
        """Axes for the inputs `names`.

        If operators leave the numbers of axes open, word numbers are (batch, time), or (batch,) if
        a FullyConnected reads their vectors, and its input is (batch, channels). If a size would be
        negative, because a broadcast made an axis as long as another one, that axis is 1 instead.
        """
        groups = self._read_alike(names)
        found = self._usual(groups, self._likeliest(groups)).shapes
        shapes = self._as_stated({name: found[name] for name in names})
        for name, axes in shapes.items() if _is_negative(shapes) else ():
            for at in range(len(axes)):
                table = self.table({each: [
                    Axis(free=True, bound=1 if (each, place) == (name, at) else None)
                    for place in range(len(shape))] for each, shape in shapes.items()})
                other = self.axes(table, shapes)
                if not table.faults and not _is_negative(other):
                    return other
        return shapes

    def _as_stated(self, shapes: dict[str, list[Axis]]) -> dict[str, list[Axis]]:
        """These axes, or others with the sizes that inputs state in place of other numbers."""
        stated = {name: [size if isinstance(found, int) and found != size else 0 for size, found in
                         zip(self.stated(name), map(resolve, axes))] or [0] * len(axes)
                  for name, axes in shapes.items()}
        other = {name: [Axis(free=True, bound=size or None) for size in sizes]
                 for name, sizes in stated.items()}
        return other if any(map(any, stated.values())) and not self.table(other).faults else shapes


def _numbered(values: Sequence[Hashable]) -> list[int]:
    """By value, a number; equal values have the same one."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


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
    """How many nodes broadcast an array beside one with another number of axes, how many
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
        if node.op.startswith('broadcast_'):
            counts = [len(axes.get(entry, ())) for entry in node.inputs]
            found += 1 < min(counts) < max(counts)
    return found


def _cut(graph: Graph, table: Table, data: Sequence[Axis]) -> tuple[tuple[int, ...], ...]:
    """The Reshapes that split an input's axes, and these axes."""
    found = []
    for place, node in enumerate(graph.nodes):
        if node.op == 'Reshape':
            sizes = [size for axis in table.axes.get(Entry(place, 0), []) for size in axis
                     if _is_parted(size)]
            axes = {axis for size in sizes for axis in axes_in(size)}
            found.append((place, *[at for at, axis in enumerate(data) if resolve(axis) in axes]))
    return tuple(found)


def _is_parted(size: Size) -> bool:
    """Whether it is a part of an axis of any size."""
    size = resolve(size)
    return isinstance(size, Sum) and size.divisor > 1 or isinstance(size, Axis) and size.unknown


def _chain(axis: Size | None) -> Iterator[Axis]:
    """The axes that an axis was found to equal, itself first."""
    while isinstance(axis, Axis):
        yield axis
        axis = axis.bound


#: Shapes in users' form.
Named = Tuple[Union[int, str], ...]
#: An input and one of its axes.
Place = Tuple[str, int]


class Found(NamedTuple):
    """Shapes of inputs, and names for axes of steps or batches that the graph makes numbers."""

    shapes: dict[str, Named]
    fixed: Mapping[Place, str] = {}


def found_shapes(graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]], missing: Sequence[str],
                 ranks: Mapping[str, int] = {}) -> Found:
    """Shapes of the inputs `missing`.

    Parameters
    ----------
    graph : Graph
    params, given : dict
        Shapes of the parameters, and shapes of inputs that the user gave.
    missing : list of str
    ranks : dict, optional
        Numbers of axes that are known.

    Raises
    ------
    ShapesError
        The shapes do not follow from the graph.
    """
    if not missing:
        return Found({})
    search = ShapeSearch(graph, params, given, ranks)
    untold = [name for name in missing if not any(
        node.op in RULES or node.op == '_foreach' for node, _ in search.readers(name))]
    try:
        if untold:
            raise ShapesError('only operators without a shape rule in mxrnn read %s'
                              % ', '.join(untold))
        shapes = search.begun(missing)
    except UnclearShape:
        raise
    except ShapesError as error:
        missing = untold or missing
        raise ShapesError(
            "%s\nThe shapes of %s do not follow from the graph: give a number or a name for each "
            "axis, as in inputs={'%s': ('batch', 35)} (--input %s=batch,35) for two axes" % (
                error, ', '.join(missing), missing[0], missing[0])) from None
    result = AxisNames(search, shapes)
    if result.others:  # again: the numbers and the batch may tell an axis beside them
        tried = search.table(_again(result.shapes, shapes))
        if not tried.faults:
            result = AxisNames(search, search.axes(tried, shapes))
    return Found(result.shapes, result.fixed)


def _again(found: Mapping[str, Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, list[Axis]]:
    """Infer free axes again, beginning with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        return Axis(free=True, hint=next((each.hint for each in _chain(axis) if each.hint), ''),
                    bound=size if isinstance(size, int) else None)
    batch = Axis(free=True, hint='batch')
    return {name: [fresh(*pair) for pair in zip(found[name], axes)]
            for name, axes in shapes.items()}


# ---- names for axes of any size

class AxisNames:
    """Names for axes of inputs that are still free."""

    def __init__(self, search: ShapeSearch, shapes: Mapping[str, Sequence[Axis]]) -> None:
        self.shapes: dict[str, Named] = {}
        #: How many axes have a meaningless name.
        self.others = 0
        #: Names for axes that are numbers, of steps or a batch.
        self.fixed: dict[Place, str] = {}
        self._names: dict[int, str] = {}
        hints = {name: _hints(search, name, axes) for name, axes in shapes.items()}
        times = {id(resolve(axis)): name for name, axes in shapes.items()
                 for axis, hint in zip(axes, hints[name])
                 if hint == 'time' and isinstance(resolve(axis), Axis)}
        self._many = len(times) > 1 or any('time' in shape for shape in search.given.values())
        for name, axes in shapes.items():
            stated = search.stated(name) or (0,) * len(axes)
            self.shapes[name] = tuple(
                self._name(name, at, axis, hint, stated[at])
                for at, (axis, hint) in enumerate(zip(axes, hints[name])))
        sizes: dict[str, set[int | str]] = {}
        for (name, at), hint in self.fixed.items():
            sizes.setdefault(hint, set()).add(self.shapes[name][at])
        used = {size for shape in self.shapes.values() for size in shape}
        used |= {hint for hint, numbers in sizes.items() if len(numbers) > 1}
        for (name, at), hint in self.fixed.items():
            if hint in used:  # an open axis has that name, or axes of another size
                other = '%s_%s' % (name, hint)
                self.fixed[name, at] = '%s_%d' % (name, at) if other in used else other

    def _name(self, name: str, at: int, axis: Axis, hint: str, stated: int) -> int | str:
        size = resolve(axis)
        if isinstance(size, int):
            if hint:
                self.fixed[name, at] = hint
            return size
        last = size if isinstance(size, Axis) else axis  # this one is bound to a product
        if not last.label and not hint and stated > 0:
            return stated
        if not last.label and id(last) not in self._names:
            self.others += not hint
            self._names[id(last)] = (
                '%s_%d' % (name, at) if not hint else
                '%s_time' % name if hint == 'time' and self._many else hint)
        return last.label or self._names[id(last)]


def _hints(search: ShapeSearch, name: str, axes: Sequence[Axis]) -> list[str]:
    """Names that operators suggest for the axes of an input: 'batch', 'time' or ''."""
    kinds = search.kinds(name)
    hints = ['' if kinds & {at, at - len(axes)} else next(
        (each.hint for each in _chain(axis) if each.hint), '') for at, axis in enumerate(axes)]
    if 'batch' not in hints and '' in hints[:2]:
        hints[hints.index('')] = 'batch'
    words = any(reader.op in ('Embedding', '_contrib_SparseEmbedding') and at == 0
                for reader, at in search.readers(name))
    if words and 'time' not in hints and '' in hints:
        hints[hints.index('')] = 'time'
    if hints.count('time') > 1:  # one axis of size 1 is cut off, as for factors of words
        hints = ['' if resolve(axis) == 1 else hint for axis, hint in zip(axes, hints)]
    return hints
