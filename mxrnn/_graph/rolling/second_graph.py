"""Laws: how each number of a graph follows from its open axes, proven by a graph of other sizes."""
from __future__ import annotations

import dataclasses
import math
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from ..graph import Entry, Graph, Node
from ..graph_editing import Edit, Writer, with_variables_as_in
from ..shapes.axis_factors import number_of
from ..shapes.constants import CERTIFIED, COMMON_PARTS, CUT, MOST_PARTS, Sizes
from ..shapes.infer import Table, infer
from ..shapes.substitution import (
    RULES,
    Chain,
    Like,
    Replacement,
    Substitution,
    beside,
    computed,
    like_of,
)
from ..shapes.ties import STEPS, find_ties
from ..shapes.verdicts import judged, with_sizes

__all__ = ['Law', 'Laws', 'NoLaw', 'laws', 'sizes_in_both', 'with_laws']

#: By the name of an open axis, its sizes in both graphs.
_Sizes = Mapping[str, 'tuple[int, int]']


class NoLaw(ValueError):
    """Two graphs are not the same program for two sizes, or a number has no law, or several."""


#: Laws of scalars are multiples of these, or of their inverses.
_BASES: Mapping[Chain, str] = {(): 'T', (('_plus_scalar', -1),): '(T-1)',
                                (('sqrt', 0),): 'sqrt(T)', (('log', 0),): 'log(T)'}


@dataclasses.dataclass(frozen=True)
class Law:
    """How a number is made of the size T of an open axis.

    Attributes
    ----------
    label : str
        The axis.
    text : str
        A formula.
    chain : tuple
        The operators that compute it, each with its number.
    """

    label: str
    text: str
    chain: Chain

    def __str__(self) -> str:
        return self.text

    def at(self, size: float) -> float:
        """The number for a size of the axis."""
        return computed(self.chain, size)


class Laws(NamedTuple):
    """What two graphs say about the numbers of the first.

    Attributes
    ----------
    graphs : tuple
    tables : tuple
        The axes of both graphs for their sizes, and of the first for sizes that are open.
    sizes : dict
        By the name of an open axis, its sizes in both.
    numbers : dict
        By the place of a node, behind the places of the loops around it, its attributes that
        differ, as values in which numbers may be laws.
    """

    graphs: tuple[Graph, ...]
    tables: tuple[Table, ...]
    sizes: _Sizes
    numbers: Mapping[tuple[int, ...], Mapping[str, Any]]


def laws(first: Graph, second: Graph, shapes: Mapping[str, Sequence[int | str]], sizes: _Sizes
         ) -> Laws:
    """Find the laws of the numbers that differ between two graphs. A number that does not differ is
    a constant.

    Parameters
    ----------
    first, second : Graph
        One program for two sizes, each rolled up by `structure`.
    shapes : dict
        The shapes of all variables that predictions need; a name is an open axis.
    sizes : dict
        By the name of an open axis, its sizes in both graphs.

    Raises
    ------
    NoLaw
        They differ in more than numbers, or a number has no law or several, or weights do not fit
        into the second graph.
    """
    told = '; '.join(['%s is %s in the first graph, %s in the second' % (label, *[
        size or 'not told' for size in pair]) for label, pair in sizes.items()])
    typed = _to_type(shapes, [label for label, (one, _) in sizes.items() if not one] if sizes else [
        str(size) for shape in shapes.values() for size in shape
        if isinstance(size, str) and size != 'batch'])
    sizes = {label: pair for label, pair in sizes.items() if pair[0] != pair[1] and min(pair) > 1}
    shapes = _with_equal_sizes(first, second, shapes, sizes)
    pairs, tables, numbers = [*_pairs(first, second)], [], {}
    if not sizes:
        raise NoLaw('it must be the graph of another number of steps, and both must tell theirs: '
                    + (told or 'neither does') + typed)
    for at, graph in enumerate((first, second, first)):
        tables.append(infer(graph, {name: [
            sizes[str(size)][at] if at < 2 and size in sizes else size for size in shape]
            for name, shape in shapes.items()}))
        if at < 2 and tables[at].faults:
            raise NoLaw('%s: %s' % ((
                'the first needs a number that it does not share with the second',
                'these weights do not fit to the second')[at], tables[at].faults[0]))
    for path, *both in pairs:
        try:
            numbers[path] = {key: _value_in_both(path, both, key, tables, sizes)
                             for key in _differing(*both)}
        except NoLaw as why:
            raise NoLaw('%s: %s' % (_told(*both), why)) from None
    return Laws((first, second), tuple(tables), sizes, {
        path: values for path, values in numbers.items() if values})


def _with_equal_sizes(first: Graph, second: Graph, shapes: Mapping[str, Sequence[int | str]],
                      differing: _Sizes) -> dict[str, Sequence[int | str]]:
    """The shapes in which an axis that both graphs tie to the same size is this number, unless it
    is one of the `differing`."""
    open_ = {name: tuple(shape) for name, shape in shapes.items()
             if any(isinstance(size, str) for size in shape)}
    params = {name: shape for name, shape in shapes.items() if name not in open_}
    one, other = (judged(graph, params, open_).axes for graph in (first, second))
    return {**params, **with_sizes(open_, {
        label: axis.size for label, axis in one.items()
        if label not in differing and axis.size is not None and axis.size == other[label].size})}


def _to_type(shapes: Mapping[str, Sequence[int | str]], untold: Sequence[str]) -> str:
    """How to give the number of steps of the first of some axes, after a sentence."""
    for name, shape in shapes.items():
        if untold and untold[0] in shape:
            return '. Give the number of steps of the first graph in place of …: --input %s=%s' % (
                name, ','.join('%s:…' % size if size == untold[0] else str(size)
                               for size in shape))
    return ''


def sizes_in_both(first: Graph, second: Graph, shapes: Mapping[str, Sequence[int | str]],
                  inputs: Sequence[str], told: Mapping[str, int] = {}
                  ) -> dict[str, tuple[int, int]]:
    """The sizes that open axes have in two graphs, by name, where one tells it; 0 for the other.

    `told` has sizes in the first graph that it does not tell. Those in the second graph then stand
    where the first graph has this size, one less, or an inverse or root of these.
    """
    one, other = [_sizes_told(graph, shapes, inputs) for graph in (first, second)]
    one.update(told)
    differing = [pair for _, *both in _pairs(first, second) for key in _differing(*both)
                 for pair in _leaves(*[node.get(key) for node in both])
                 if all(type(each) in (int, float) and each > 0 for each in pair)]
    for label in one.keys() - other.keys():
        found = {round(right ** power) + less for left, right in differing for less in (0, 1)
                 for power in ((1,) if float(left).is_integer() else (-1, 2, -2))
                 if math.isclose(left ** power + less, one[label], rel_tol=1e-6)}
        if len(found) == 1:
            other[label] = found.pop()
    return {label: (one.get(label, 0), other.get(label, 0))
            for label in sorted(one.keys() | other.keys())}


def _sizes_told(graph: Graph, shapes: Mapping[str, Sequence[int | str]], inputs: Sequence[str]
                ) -> dict[str, int]:
    """The sizes of open axes that recurrences count, or that equal a number."""
    found = find_ties(graph, shapes, inputs)
    told = {label: set.intersection(*[{*tie.fits} for tie in found.of(label) if tie.fits])
            for label in {tie.label for tie in found.ties if tie.fits}}
    told.update((label, {*fits}) for label, fits in found.sizes.items())
    return {label: min(fits) for label, fits in told.items() if len(fits) == 1}


# ---- the law of a number

def _law(values: Sequence[Any], sizes: _Sizes) -> Any:
    """A value of an attribute in two graphs, with laws where its numbers differ."""
    one, other = values
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return tuple([_law(pair, sizes) for pair in zip(one, other)])
    if one == other:
        return one
    found = [law for label in sizes for law in _possible(one, other, label, *sizes[label])] if all(
        type(each) in (int, float) for each in (one, other)) else []
    if len(found) != 1:
        several = ' or '.join(['%s (T is %s)' % (law, law.label) for law in found])
        raise NoLaw('%s and %s where %s: %s' % (one, other, ', '.join([
            '%s is %d and %d' % (label, *pair) for label, pair in sizes.items()]),
            several + '. Give a graph of a length at which these differ' if several
            else 'no law makes both'))
    return found[0]


def _possible(one: float, other: float, label: str, first: int, second: int) -> Iterator[Law]:
    """All laws that make two numbers of two sizes."""
    found: dict[Chain, str] = {}
    if float(one).is_integer():
        more = int(one) - first
        found[(('_plus_scalar', more),) if more else ()] = 'T%+d' % more if more else 'T'
        found.update({(('_div_scalar', part), (op, 0)): text % part
                      for part in range(2, MOST_PARTS + 1)
                      for op, text in (('floor', 'T//%d'), ('ceil', 'ceil(T/%d)'))})
    for chain, text in _BASES.items():
        size = Law(label, text, chain).at(first)
        for op, how, factor in [('_mul_scalar', '%g*%s', one / size),
                                ('_rdiv_scalar', '%g/%s', one * size)]:
            near = round(factor)
            factor = near if math.isclose(factor, near, rel_tol=1e-6) else factor
            if not isinstance(one, int) or op == '_mul_scalar' and factor == near:
                own = (op, factor) == ('_mul_scalar', 1)
                found[(*chain, (op, factor))[:len(chain) + (not own)]] = text if own else how % (
                    factor, text)
    for chain, text in found.items():
        law = Law(label, text, chain)
        if all(math.isclose(law.at(size), number, rel_tol=1e-6)
               for size, number in ((first, one), (second, other))):
            yield law


def _value_in_both(path: Sequence[int], both: Sequence[Node], key: str, tables: Sequence[Table],
                   sizes: _Sizes) -> Any:
    """A value with its laws. The begins or ends of a slice are counted from the last element if
    these are the same in both, and no law but a difference makes them."""
    node, values = both[0], [node.get(key) for node in both]
    data = _both(path, tables, node.inputs[0]) if node.op in ('slice', 'slice_axis') and (
        key in ('begin', 'end')) else []

    def bound(one: int | None, other: int | None, size: int | None, further: int | None) -> Any:
        if one != other and size is not None and further is not None:
            ends = {(own * (key == 'end') if each is None else each + own * (each < 0)) - own
                    for each, own in ((one, size), (other, further))}
            others = [law for label in sizes for law in _possible(one, other, label, *sizes[label])
                      if [op for op, _ in law.chain] not in ([], ['_plus_scalar'])] if (
                          one is not None and other is not None) else []
            if len(ends) == 1 and max(ends) < (key == 'end') and not others:
                return max(ends) or None
        return _law((one, other), sizes)
    if not data:
        return _law(values, sizes)
    if node.op == 'slice_axis':
        return bound(*values, *data[node.axis])
    return tuple([bound(*each, *own) for *each, own in zip(*values, data)])


# ---- pairs

def _both(path: Sequence[int], tables: Sequence[Table], entry: Entry
          ) -> list[tuple[int | None, ...]]:
    """The sizes of a value's axes in both graphs; None for one that is open in both."""
    return [*zip(*[map(number_of, table.axes.get(entry, []))
                   for table in _inner(path, tables[:2])])]


def _inner(path: Sequence[int], tables: Sequence[Table]) -> Sequence[Table]:
    """The tables of the body of the loop in which a place is."""
    for place in path[:-1]:
        tables = [table.bodies[place] for table in tables if place in table.bodies]
    return tables


def _pairs(first: Graph, second: Graph, path: tuple[int, ...] = ()
           ) -> Iterator[tuple[tuple[int, ...], Node, Node]]:
    """The nodes of two graphs, and of the bodies of their loops, in pairs, with their places."""
    for place, (one, other) in enumerate(zip(first.nodes, second.nodes)):
        alike = [(node.op, node.inputs, node.num_outputs, '' if node.op or path else node.name,
                  node.op == '_foreach' or node.subgraphs) for node in (one, other)]
        if alike[0] != alike[1]:
            raise NoLaw(_told(one, other))
        yield (*path, place), one, other
        for inner in zip(one.subgraphs, other.subgraphs):
            yield from _pairs(*inner, (*path, place))
    if len(first.nodes) != len(second.nodes) or first.heads != second.heads:
        raise NoLaw('the graphs have %d and %d nodes and return %s and %s' % (
            len(first.nodes), len(second.nodes), first.outputs, second.outputs))


def _told(*both: Node) -> str:
    """Two nodes, with what differs."""
    keys = _differing(*both)
    return 'the first has %s where the second has %s' % tuple(['%s (%s)' % (node.name, ', '.join([
        node.op or 'a variable', *['%s=%s' % (key, node.attrs.get(key)) for key in keys], *[
            '%d inputs' % len(node.inputs)] * (len({len(each.inputs) for each in both}) > 1)])
                                                      ) for node in both])


def _differing(one: Node, other: Node) -> list[str]:
    """The attributes whose values differ, other than notes."""
    return [key for key in sorted({*one.attrs, *other.attrs}) if not key.startswith('__')
            and one.get(key) != other.get(key) and not one.is_variable]


def _laws_in(value: Any) -> list[Law]:
    return [law for law, in _leaves(value) if isinstance(law, Law)]


def _leaves(*values: Any) -> Iterator[tuple[Any, ...]]:
    """The numbers of attributes' values, side by side."""
    if all(isinstance(value, tuple) for value in values):
        for each in zip(*values):
            yield from _leaves(*each)
    else:
        yield values


# ---- the graph with laws

def with_laws(found: Laws, path: tuple[int, ...] = ()) -> Graph:
    """The first graph, in which laws are computed from the sizes that axes have when it runs; or
    the body of the loop at a place.

    Its operators state the axes for which their numbers are proven (`CERTIFIED`).

    Raises
    ------
    NoLaw
        An operator cannot read a number.
    """
    graph, other = found.graphs
    for place in path:
        graph, other = (each.nodes[place].subgraphs[0] for each in (graph, other))
    nodes, proven = [], {}
    for place, (node, pair) in enumerate(zip(graph.nodes, other.nodes)):
        own = found.numbers.get((*path, place), {})
        attrs = {key: text for key, text in node.attrs.items()
                 if key not in (STEPS, CUT) or text == pair.attrs.get(key)}
        attrs.update({key: str(_in_first(value, found.sizes)) for key, value in own.items()})
        proven[node.name] = tuple([
            label for label, sizes in found.sizes.items() if not node.is_variable
            and 'grad_scale' not in own and not _doubtful(node._replace(attrs=attrs), *sizes)])
        nodes.append(node._replace(attrs=attrs, subgraphs=(
            with_laws(found, (*path, place)),) if node.op == '_foreach' else node.subgraphs))
    edit = Edit(graph._replace(nodes=tuple(nodes)))
    for place, node in enumerate(nodes):
        own = {key: value for key, value in found.numbers.get((*path, place), {}).items()
               if key != 'grad_scale' and _laws_in(value)}
        made = _made(found, edit.writer, node, graph, (*path, place), own) if own else None
        if made is not None:
            edit.replaced[Entry(place, 0)] = edit.writer.named(made, node.name)
            proven[node.name] = tuple(found.sizes)
        elif own:
            raise NoLaw('%s: this operator cannot read the size when it runs' % _told(
                graph.nodes[place], other.nodes[place]))
    written = edit.graph()
    return with_variables_as_in(written._replace(nodes=tuple([
        node._replace(attrs={**node.attrs, CERTIFIED: str(mark)}) if mark else node
        for node in written.nodes for mark in [proven.get(node.name, tuple(found.sizes))]])), graph)


def _in_first(value: Any, sizes: _Sizes) -> Any:
    """A value with the numbers that its laws make in the first graph."""
    if isinstance(value, Law):
        return value.at(sizes[value.label][0])
    return tuple([_in_first(each, sizes) for each in value]) if isinstance(value, tuple) else value


def _doubtful(node: Node, first: int, second: int) -> bool:
    """Whether a number that is the same in both graphs is the same part of both sizes, too."""
    parts = {(first + up) // part for part in range(2, COMMON_PARTS + 1) for up in (0, part - 1)
             if (first + up) // part == (second + up) // part} - {0, 1}
    return any(type(number) in (int, float) and abs(number) in parts for key in node.attrs
               if not key.startswith('__') for number, in _leaves(node.get(key)))


def _made(found: Laws, writer: Writer, node: Node, graph: Graph, path: tuple[int, ...],
          values: Mapping[str, Any]) -> Entry | None:
    """What replaces a node with a law; None if nothing can."""
    law, *more = {law for value in values.values() for law in _laws_in(value)}
    table, _, opened = _inner(path, found.tables)
    like, (size, _) = like_of(graph, opened, law.label), found.sizes[law.label]
    if more or like is None:
        return None
    within = Substitution(graph, opened, Sizes({law.label: (size,)}), (), law.label, like)
    tied, number = Replacement(within, writer, path[-1], node), int(law.at(size))
    if node.op.endswith('_scalar'):
        return beside(tied, law.chain)
    once = [each for key in node.attrs if not key.startswith('__')
            for each, in _leaves(node.get(key))].count(number) == 1
    if node.op == 'Reshape' and once and -1 not in node.shape:
        return tied.add('Reshape', {**node.attrs, 'shape': tuple([
            -1 if code == number else code for code in node.shape])}, node.inputs[0])
    if node.op != 'Reshape':
        as_many = _as_many(tied, law)
        if as_many is None or number < 1:
            return None
        tied = tied._replace(within=within._replace(
            table=table, sizes=Sizes({law.label: (number,)}), like=Like(as_many, 0, 0)))
    elif law.chain:
        return None
    if node.op == 'Pooling':
        kernel = [tuple([each.at(size) if isinstance(each, Law) else each
                         for size in found.sizes[law.label]]) for each in values['kernel']]
        data = _both(path, found.tables, node.inputs[0])
        once = kernel in (data[2:], data[1:-1])
    return RULES[node.op](tied) if once and node.op in RULES else None


def _as_many(tied: Replacement, law: Law) -> Entry | None:
    """An array with as many elements as a law says, if they are a part of those of the axis."""
    if not law.chain:
        return tied.numbers()
    (op, number), rounded = law.chain[0], law.chain[-1][0]
    count = int(number)
    if op == '_plus_scalar' and count < 0:
        begin, step = -count, 1
    elif rounded in ('floor', 'ceil'):
        begin, step = 0 if rounded == 'ceil' else count - 1, count
    else:
        return None
    return tied.add('slice', {'begin': (begin,), 'end': (None,), 'step': (step,)}, tied.numbers())
