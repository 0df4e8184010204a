"""Shapes of inputs that nobody gave, as far as the graph and its weights tell them."""
from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

from ... import _check
from ..graph import Entry, Graph, Node
from .arithmetic_rules import has_rule
from .infer import Table, infer
from .sizes import Axis, Size, Sum, axes_in, resolve
from .unification import suggest, taken

__all__ = ['Found', 'Named', 'ShapesError', 'Whole', 'found_shapes']

#: Shapes as users give them.
Named = Tuple[Union[int, str], ...]

#: Numbers of axes, in the order in which they are tried.
_RANKS = (2, 3, 1, 4, 5, 6)


class ShapesError(ValueError):
    """The shapes of inputs do not follow from a graph."""


class UnclearShape(ShapesError):
    """An input may have several numbers of axes, of which a graph makes different outputs."""

    def __init__(self, name: str, ranks: Sequence[int]) -> None:
        last = ranks[-1] == _RANKS[-1]
        super().__init__(
            'the graph takes %s of %s axes, and cuts each otherwise. Give its shape: a name for '
            "each axis of any size, numbers for the others, as in inputs={%r: ('batch', …)} "
            '(--input %s=batch,…)' % (
                name, '%d or more' % ranks[0] if last else ' or '.join(map(str, ranks)), name,
                name))


class Whole(NamedTuple):
    """The graph that another one was rolled up of, and the numbers of steps in it."""

    graph: Graph
    steps: frozenset[int]


class Found(NamedTuple):
    """Shapes of inputs, sentences on axes that are numbers, and by input and axis the sizes that
    the graph takes where windows must leave a number: those that only a Reshape needs, and others.
    """

    shapes: dict[str, Named]
    notes: list[str]
    cut: dict[tuple[str, int], range]
    taken: dict[tuple[str, int], range]


def found_shapes(graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]], missing: Sequence[str],
                 whole: Whole | None = None) -> Found:
    """Shapes of the inputs `missing`, and what there is to say of them.

    Parameters
    ----------
    graph : Graph
    params, given : dict
        Shapes of the parameters, and those of inputs that the user gave.
    missing : list of str
    whole : Whole, optional
        What the graph was rolled up of: where it depends on numbers of steps, it has those.

    Raises
    ------
    ShapesError
        They do not follow from the graph.
    """
    search = _ShapeSearch(graph, params, given)
    readers = {name: [node for node, _ in graph.consumers(_place(graph, name))]
               for name in missing}
    untold = [name for name in missing if not any(map(_tells, readers[name]))]
    try:
        if untold:
            raise ShapesError('only operators that mxrnn has no shapes of read %s'
                              % ', '.join(untold))
        ranks = search.usual(search.ranks(missing))
    except UnclearShape:
        raise
    except ShapesError as error:
        missing = untold or missing
        raise ShapesError(
            "%s\nThe shapes of %s do not follow from the graph: give them, as in inputs={'%s': "
            "('batch', 35)} (--input %s=batch,35)" % (
                error, ', '.join(missing), missing[0], missing[0])) from None
    shapes, table = search.begun(ranks)
    result = _Names(graph, given, shapes)
    if result.others:  # once more: the numbers and the batch may tell an axis beside them
        again = _again(result.shapes, shapes)
        tried = search.table(again)
        if not tried.faults:
            table, shapes, result = tried, again, _Names(graph, given, again)
    numbers = whole and _with_numbers(search, table, shapes, result.shapes, whole)
    if numbers:
        again = _again(numbers, shapes)
        if not search.table(again).faults:
            shapes, result = again, _Names(graph, given, again)
    return Found(result.shapes, result.sentences(), *_taken(graph, shapes))


def _taken(graph: Graph, shapes: Mapping[str, Sequence[Axis]]
           ) -> tuple[dict[tuple[str, int], range], dict[tuple[str, int], range]]:
    """See `Found`."""
    codes = {code for node in graph.nodes if node.op == 'Reshape' for code in node.shape
             if code > 1}
    found: tuple[dict[tuple[str, int], range], dict[tuple[str, int], range]] = {}, {}
    for name, axes in shapes.items():
        for at, axis in enumerate(axes):
            sizes = taken(axis)
            if sizes:
                last = resolve(axis)
                numbers = {number for _, number in getattr(last, 'believed', ())}
                found[numbers.isdisjoint(codes)][name, at] = sizes
    return found


def _tells(node: Node) -> bool:
    return has_rule(node) or node.op == '_foreach'


class _Way(NamedTuple):
    """Numbers of axes that a graph takes."""

    unusual: tuple[int, int]
    order: int
    ranks: dict[str, int]
    cut: tuple[tuple[int, ...], ...]


class _ShapeSearch:
    """Infers a graph with axes of its inputs that become what the graph makes of them."""

    def __init__(self, graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]]) -> None:
        self.graph, self.params, self.given = graph, params, given
        labels: dict[str, Axis] = {}
        self._known: dict[str, list[int | Axis]] = {
            name: [size if isinstance(size, int) else labels.setdefault(size, Axis(label=size))
                   for size in shape] for name, shape in {**params, **given}.items()}

    def table(self, shapes: Mapping[str, Sequence[int | Axis]]) -> Table:
        """The graph with inputs of these shapes; of others nothing is known."""
        known = {**self._known, **shapes}
        return infer(self.graph, {place: [(size,) for size in known[node.name]]
                                  for place, node in enumerate(self.graph.nodes)
                                  if node.is_variable and node.name in known})

    def ranks(self, names: Sequence[str], chosen: Mapping[str, int] | None = None
              ) -> dict[str, int]:
        """Numbers of axes that the graph takes, the likeliest of several.

        Where the operators leave them open, numbers of words are (batch, time), and what goes into
        a FullyConnected is (batch, channels).
        """
        chosen = chosen or {}
        if not names:
            return dict(chosen)
        fault: object = None
        ways = []
        for order, rank in enumerate(self._possible(names[0])):
            ranks = {**chosen, names[0]: rank}
            shapes = {name: [Axis(free=True) for _ in range(count)]
                      for name, count in ranks.items()}
            table = self.table(shapes)
            fault = fault or next(iter(table.faults), None)
            if not table.faults:
                ways.append(_Way(_unusual(self.graph, table), order, ranks,
                                 _cut(self.graph, table, shapes[names[0]])))
        ways.sort(key=lambda way: way[:2])
        likeliest = [way for way in ways if way.unusual == ways[0].unusual]
        if len({way.cut for way in likeliest}) > 1:
            raise UnclearShape(names[0], sorted(way.ranks[names[0]] for way in likeliest))
        for way in ways:
            try:
                return self.ranks(names[1:], way.ranks)
            except UnclearShape:
                raise
            except ShapesError as error:
                fault = fault or error
        raise ShapesError(str(fault))

    def usual(self, ranks: dict[str, int]) -> dict[str, int]:
        """Other numbers of axes, if with these the graph has nodes that nobody writes so."""
        least = self._odd(ranks)
        for name in ranks if least else ():
            for rank in self._possible(name):
                other = {**ranks, name: rank}
                odd = self._odd(other)
                if odd is not None and odd < (least or 0):
                    ranks, least = other, odd
        return ranks

    def _odd(self, ranks: Mapping[str, int]) -> int | None:
        """How many nodes broadcast an input and an array that has not as many axes, and how many
        arrays get three axes before they are joined that have three; None if the graph does not
        take these numbers of axes."""
        table = self.table({name: [Axis(free=True) for _ in range(count)]
                            for name, count in ranks.items()})
        joined = [self.graph.nodes[entry.node] for node in self.graph.nodes if node.op == 'Concat'
                  for entry in node.inputs]
        found = sum(node.op == 'Reshape' and node.shape == (0, 0, -1) and len(
            table.axes.get(node.inputs[0], ())) == 3 for node in joined)
        for node in self.graph.nodes:
            if node.op.startswith('broadcast_') and any(
                    self.graph.nodes[entry.node].name in ranks for entry in node.inputs):
                counts = [len(table.axes.get(entry, ())) for entry in node.inputs]
                found += 1 < min(counts) < max(counts)
        return None if table.faults else found

    def begun(self, ranks: Mapping[str, int]) -> tuple[dict[str, list[Axis]], Table]:
        """Axes for inputs that have so many, and what the graph makes of them.

        Where a size would be negative, an axis that a broadcast took to be as long as another one
        is 1 instead.
        """
        shapes = {name: [Axis(free=True) for _ in range(count)] for name, count in ranks.items()}
        table = self.table(shapes)
        broadcast = {axis for place, axes in table.closed.items() for axis in axes
                     if _is_negative(shapes) and 'broadcast_' in self.graph.nodes[place].op}
        for name, axes in shapes.items() if broadcast else ():
            for at, axis in enumerate(axes):
                if broadcast.intersection(_chain(axis)):
                    other = {name: [Axis(free=True) for _ in each] for name, each in shapes.items()}
                    other[name][at].bound = 1
                    tried = self.table(other)
                    if not tried.faults and not _is_negative(other):
                        return other, tried
        return shapes, table

    def _possible(self, name: str) -> Sequence[int]:
        stated = self.graph.nodes[_place(self.graph, name)].get('__shape__')
        return (len(stated),) if isinstance(stated, tuple) and stated else _RANKS


def _is_negative(shapes: Mapping[str, Sequence[Axis]]) -> bool:
    """Whether one of the sizes is a number below 0."""
    sizes = [resolve(axis) for axes in shapes.values() for axis in axes]
    return any(isinstance(size, int) and size < 0 for size in sizes)


def _unusual(graph: Graph, table: Table) -> tuple[int, int]:
    """How many words have other axes than (batch, time), and how many layers other data than
    programs nearly always give them."""
    words = others = 0
    for place, node in enumerate(graph.nodes):
        axes = table.axes.get(node.inputs[0]) if node.inputs else None
        if axes and node.op in ('Embedding', '_contrib_SparseEmbedding'):
            words += abs(len(axes) - 2)
        elif axes and node.op in ('FullyConnected', 'dot'):
            # with two axes nobody needs to say flatten=False
            others += abs(len(axes) - (2 if node.op == 'dot' or node.flatten else 3))
        if place in table.bodies:
            more = _unusual(node.subgraphs[0], table.bodies[place])
            words, others = words + more[0], others + more[1]
    return words, others


def _cut(graph: Graph, table: Table, data: Sequence[Axis]) -> tuple[tuple[int, ...], ...]:
    """The Reshapes that cut axes of an input, and which axes."""
    found = []
    for place, node in enumerate(graph.nodes):
        if node.op == 'Reshape':
            sizes = [size for axis in table.axes.get(Entry(place, 0), []) for size in axis
                     if _parted(size)]
            axes = {axis for size in sizes for axis in axes_in(size)}
            found.append((place, *[at for at, axis in enumerate(data) if resolve(axis) in axes]))
    return tuple(found)


# ---- numbers of steps

def _with_numbers(search: _ShapeSearch, table: Table, shapes: Mapping[str, Sequence[Axis]],
                  found: Mapping[str, Named], whole: Whole) -> dict[str, Named]:
    """The shapes `found`, in which axes that a rolled graph cuts by numbers of steps or takes for
    numbers, have those of the whole graph; {} where nothing depends on these."""
    believes = any(axis.believed for axes in shapes.values() for axis in axes)
    stated = _stated(search.graph, table)
    steps = {each for each in whole.steps if any(
        number > 1 and number % each == 0 for number in stated)} - {1}
    if not steps and not believes:
        return {}
    try:
        numbers = found_shapes(whole.graph, search.params, search.given, list(found)).shapes
    except ShapesError:
        return {}
    return {name: tuple(number if number in steps or believes and isinstance(number, int) else size
                        for size, number in zip(shape, numbers[name]))
            for name, shape in found.items()}


def _stated(graph: Graph, table: Table) -> set[int]:
    """Numbers by which nodes cut axes that may have any size."""
    found: set[int] = set()
    for place, node in enumerate(graph.nodes):
        axes = table.axes.get(Entry(place, 0), [])
        if node.op == 'Reshape' and any(_parted(size) for axis in axes for size in axis):
            found.update(node.shape)
        elif node.op == 'slice':
            data = table.axes.get(node.inputs[0], [])
            found.update(end for axis, end in zip(data, node.end) if end is not None and any(
                not isinstance(resolve(size), int) for size in axis))
    return found


def _parted(size: Size) -> bool:
    """Whether it is a part of an axis that may have any size."""
    size = resolve(size)
    return isinstance(size, Sum) and size.divisor > 1 or isinstance(size, Axis) and size.unknown


def _again(found: Mapping[str, Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, list[Axis]]:
    """Free axes once more, which begin with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        result = Axis(free=True)
        result.hint = next((each.hint for each in _chain(axis) if each.hint), '')
        result.bound = size if isinstance(size, int) else None
        return result
    batch = Axis(free=True)
    suggest(batch, 'batch')
    return {name: [fresh(*pair) for pair in zip(found[name], axes)]
            for name, axes in shapes.items()}


# ---- names

def _place(graph: Graph, name: str) -> int:
    return next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)


def _chain(axis: Size | None) -> Iterator[Axis]:
    """The axes that an axis was found to be equal to, itself first."""
    while isinstance(axis, Axis):
        yield axis
        axis = axis.bound


class _Names:
    """Names for the axes of inputs that are free still."""

    def __init__(self, graph: Graph, given: Mapping[str, Sequence[int | str]],
                 shapes: Mapping[str, Sequence[Axis]]) -> None:
        self.shapes: dict[str, Named] = {}
        #: How many axes have a name of no meaning.
        self.others = 0
        self._fixed: dict[str, list[str]] = {}
        self._names: dict[int, str] = {}
        hints = {name: _hints(graph, name, axes) for name, axes in shapes.items()}
        times = {id(resolve(axis)): name for name, axes in shapes.items()
                 for axis, hint in zip(axes, hints[name])
                 if hint == 'time' and isinstance(resolve(axis), Axis)}
        self._many = len(times) > 1 or any('time' in shape for shape in given.values())
        for name, axes in shapes.items():
            stated = graph.nodes[_place(graph, name)].get('__shape__')
            if not isinstance(stated, tuple) or len(stated) != len(axes):
                stated = (0,) * len(axes)
            self.shapes[name] = tuple(
                self._name(name, at, axis, hint, stated[at])
                for at, (axis, hint) in enumerate(zip(axes, hints[name])))

    def _name(self, name: str, at: int, axis: Axis, hint: str, stated: object) -> int | str:
        size = resolve(axis)
        if isinstance(size, int):
            if hint:
                text = 'a batch of %d' if hint != 'time' else '%d steps' if size > 1 else '%d step'
                self._fixed.setdefault(text % size, []).append(name)
            return size
        last = size if isinstance(size, Axis) else axis  # which is bound to a product
        if not last.label and not hint and isinstance(stated, int) and stated > 0:
            return stated
        if not last.label and id(last) not in self._names:
            self.others += not hint
            self._names[id(last)] = (
                '%s_%d' % (name, at) if not hint else
                '%s_time' % name if hint == 'time' and self._many else hint)
        return last.label or self._names[id(last)]

    def sentences(self) -> list[str]:
        """Sentences on steps and batches that are numbers."""
        return ['%s %s %s: the graph has that number in it' % (
            _check.some(names), 'have' if len(names) > 1 else 'has', text)
            for text, names in self._fixed.items()]


def _hints(graph: Graph, name: str, axes: Sequence[Axis]) -> list[str]:
    """How the operators would call the axes of an input: 'batch', 'time' or ''."""
    hints = [next((each.hint for each in _chain(axis) if each.hint), '') for axis in axes]
    if 'batch' not in hints and '' in hints[:2]:
        hints[hints.index('')] = 'batch'
    words = any(reader.op in ('Embedding', '_contrib_SparseEmbedding') and at == 0
                for reader, at in graph.consumers(_place(graph, name)))
    if words and 'time' not in hints and '' in hints:
        hints[hints.index('')] = 'time'
    return hints
