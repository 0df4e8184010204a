"""Numbers at ties become the size of the tied axis, read when the file runs.

`time:35` says that the axis has 35 elements in the graph. So a 35 that ties this axis is its size,
and a 1/35 its inverse. Numbers that tie nothing stay.
"""
from __future__ import annotations

import math
import operator
from typing import Callable, Collection, Mapping, NamedTuple, Sequence, Tuple

from ..graph import Entry, Graph, Node
from ..graph_editing import Edit, Writer, with_variables_as_in
from ..operator_table import row
from .axis_factors import Axes, number_of
from .constants import PLAIN, TELLING, Sizes, parts_of, size_in_graph
from .infer import Table
from .regrouping import meant, open_factors, reshaped
from .sizes import Axis, Size, product, resolve
from .ties import Lengths, find_ties

__all__ = ['RULES', 'Chain', 'Like', 'Replacement', 'Substitution', 'as_float32', 'beside',
           'bounded', 'computed', 'like_of', 'size_of', 'substituted']


def substituted(graph: Graph, shapes: Mapping[str, Sequence[int | str]], inputs: Collection[str],
                numbers: Mapping[str, int], losses: bool = False) -> Lengths:
    """`find_ties` after `_with_sizes` for each open axis in `numbers`, as often as that changes the
    graph. Ties of these axes that are left cannot be substituted."""
    while True:
        found = find_ties(graph, shapes, inputs, losses, numbers)
        graph = next((new for new in (_with_sizes(found, label) for label in numbers)
                      if new != found.graph), found.graph)
        if graph == found.graph:
            return found


def _with_sizes(found: Lengths, label: str) -> Graph:
    """The graph in which nodes that tie an axis read its size where they have its number.

    A node stays if it ties another axis, too, other than a batch: its number may be that one's.
    """
    others = {tie.node for tie in found.ties if tie.label not in (label, *found.batches)}
    tied = {tie.node for tie in found.of(label)} - others
    like, sizes = like_of(found.graph, found.table, label), Sizes(found.sizes)
    if like is None or not tied or sizes.axes.get(label, 1) < TELLING:
        return found.graph
    return Substitution(found.graph, found.table, sizes, tied, label, like).substituted()


class Like(NamedTuple):
    """A value with the axis, the place of the axis in it, and its size."""

    entry: Entry
    axis: int
    size: Size


class Substitution(NamedTuple):
    """A graph, or the body of a loop, in which nodes are replaced that tie an axis."""

    graph: Graph
    table: Table
    sizes: Sizes
    tied: Collection[Node]
    label: str
    like: Like

    def substituted(self) -> Graph:
        nodes = [self._with_body(place, node) for place, node in enumerate(self.graph.nodes)]
        edit = Edit(self.graph._replace(nodes=tuple(nodes)))
        for place, node in enumerate(self.graph.nodes):
            rule = _scaled if node.op.endswith('_scalar') else RULES.get(node.op)
            made = rule(Replacement(self, edit.writer, place, node)) if (
                rule is not None and node in self.tied) else None
            if made is not None:
                edit.replaced[Entry(place, 0)] = edit.writer.named(made, node.name)
        return with_variables_as_in(edit.graph(), self.graph)

    def _with_body(self, place: int, node: Node) -> Node:
        """A loop in whose body ties are replaced, if a variable of the body has the axis."""
        table, body = self.table.bodies.get(place), [*node.subgraphs][:1]
        like = like_of(body[0], table, self.label) if table else None
        if table is None or like is None or not body[0].reached(
                lambda each: each.inputs).issuperset(node.body.places):
            return node
        inner = self._replace(graph=body[0], table=table, like=like)
        return node._replace(subgraphs=(inner.substituted(),))


def like_of(graph: Graph, table: Table, label: str) -> Like | None:
    """A variable with an axis."""
    return next((Like(Entry(place, 0), at, size) for place, node in enumerate(graph.nodes)
                 if node.is_variable for at, axis in enumerate(table.axes.get(Entry(place, 0), []))
                 for size in [resolve(product(axis))]
                 if isinstance(size, Axis) and size.label == label), None)


class Replacement(NamedTuple):
    """What replaces a node that ties the axis."""

    within: Substitution
    writer: Writer
    place: int
    node: Node

    @property
    def data(self) -> Axes:
        """The axes of its first input."""
        return self.within.table.axes.get(self.node.inputs[0], [])

    @property
    def number(self) -> int:
        return self.within.sizes.axes[self.within.label]

    def add(self, op: str, attrs: Mapping[str, object], *inputs: Entry, name: str = '') -> Entry:
        return self.writer.add(op, self.node.name + name, attrs, inputs)

    def numbers(self) -> Entry:
        """0, 1, 2 … along the axis."""
        like = self.within.like
        return _numbers(self.writer, self.node.name, like.entry, like.axis)

    def size(self) -> Entry:
        """The size as an array of one number: float32, like what it meets."""
        like = self.within.like
        return size_of(self.writer, self.node.name, like.entry, like.axis)

    def repeated(self, data: Entry, axis: int) -> Entry:
        """An axis of one element, repeated as often as the open axis has elements."""
        like, at, _ = self.within.like
        return self.add('broadcast_like', {'lhs_axes': (axis,), 'rhs_axes': (at,)}, data, like)

    def first(self, data: Entry, axis: int) -> Entry:
        """As many of the first elements of an axis as the open axis has."""
        like, at, _ = self.within.like
        if at != axis:
            like = self.add('Reshape', {'shape': (1,) * axis + (-1,)}, self.numbers(), name='_like')
        return self.add('slice_like', {'axes': (axis,)}, data, like)

    def once(self, values: Sequence[int], other: int) -> tuple[int, tuple[int, ...]] | None:
        """Where the number is, if only once, and the values with another number there."""
        if list(values).count(self.number) != 1:
            return None
        at = list(values).index(self.number)
        return at, (*values[:at], other, *values[at + 1:])


def _numbers(writer: Writer, name: str, entry: Entry, axis: int) -> Entry:
    return writer.once('_contrib_arange_like', name + '_numbers', {'axis': axis}, entry)


def as_float32(writer: Writer, name: str, entry: Entry) -> Entry:
    return writer.once('Cast', name + '_cast', {'dtype': 'float32'}, entry)


def size_of(writer: Writer, name: str, entry: Entry, axis: int) -> Entry:
    """The size of an axis as an array of one number of float32."""
    ones = writer.once('ones_like', name + '_ones', {}, _numbers(writer, name, entry, axis))
    return writer.once('sum', name + '_count', {'axis': 0, 'keepdims': True},
                       as_float32(writer, name, ones))


def bounded(writer: Writer, clip: Node, most: Entry) -> Entry:
    """What `clip` does to lengths, with another upper bound; as float32, which is certain to be the
    type of both."""
    least = writer.once('_maximum_scalar', clip.name + '_least', {'scalar': clip.a_min},
                        as_float32(writer, clip.name, clip.inputs[0]))
    return writer.add('broadcast_minimum', clip.name, {}, [least, most])


# ---- scalars

#: Operators, each with its number: what makes a number of the size of an axis.
Chain = Tuple[Tuple[str, float], ...]
_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    '_plus_scalar': operator.add, '_mul_scalar': operator.mul, '_div_scalar': operator.truediv,
    '_rdiv_scalar': lambda n, number: number / n, 'floor': lambda n, _: math.floor(n),
    'ceil': lambda n, _: math.ceil(n), 'sqrt': lambda n, _: math.sqrt(n),
    'log': lambda n, _: math.log(n)}


def computed(chain: Chain, size: float) -> float:
    """The number that operators make of a size."""
    for op, number in chain:
        size = _OPERATORS[op](size, number)
    return size


def _scaled(tied: Replacement) -> Entry | None:
    """A scalar that is the number or one less, or an inverse, root or logarithm of these."""
    if tied.node.scalar in PLAIN:
        return None
    for less in (), (('_plus_scalar', -1),):
        size = int(computed(less, tied.number))
        # a whole number may be anything, and not only a root
        square = math.isqrt(size) ** 2 == size
        roots: list[Chain] = [(), *[(('sqrt', 0),)] * (not square), (('log', 0),)]
        for chain in [(*less, *root, *inverse) for root in roots
                      for inverse in ((), (('_rdiv_scalar', 1),))] if size > 1 else ():
            if math.isclose(tied.node.scalar, computed(chain, tied.number), rel_tol=1e-5):
                return beside(tied, chain)
    return None


def beside(tied: Replacement, chain: Chain) -> Entry | None:
    """What an operator does with a number made of the size, instead of its scalar."""
    value = tied.size()
    for name, number in chain:
        value = tied.writer.once(name, tied.node.name + '_scale', {
            'scalar': number} if name.endswith('_scalar') else {}, value)
    kind = tied.node.op[1:-len('_scalar')]
    turned = kind in ('rminus', 'rdiv', 'rpower', 'rmod')
    kind = kind[1:] if turned else kind
    op = 'broadcast_' + {'plus': 'add', 'minus': 'sub'}.get(kind, kind)
    pair = tied.node.inputs[0], value
    return tied.add(op, {}, *(pair[::-1] if turned else pair)) if row(op) is not None else None


# ---- nodes that make elements

def _numbered(tied: Replacement) -> Entry | None:
    node = tied.node
    begin, end = (0, node.start) if node.stop is None else (node.start, node.stop)
    if (begin, end, node.step, node.repeat) != (0, tied.number, 1, 1):
        return None
    return tied.add('Cast', {'dtype': node.dtype}, tied.numbers())


def _filled(tied: Replacement) -> Entry | None:
    node, found = tied.node, tied.once(tied.node.shape, 1)
    if found is not None and min(node.shape) > 0:
        one = tied.add(node.op, {**node.attrs, 'shape': found[1]}, name='_one')
        return tied.repeated(one, found[0])
    if node.op == '_full' and node.value == tied.number and node.dtype == 'float32':
        return tied.add('broadcast_mul', {}, tied.add('_ones', {'shape': node.shape}, name='_ones'),
                        tied.size())
    return None


def _repeated(tied: Replacement) -> Entry | None:
    """Of an axis with several elements, each is repeated, or they are repeated as a whole."""
    node, data = tied.node, tied.data
    found = tied.once(_counts(node, data), 1)
    if found is None:
        return None
    (at, others), entry = found, node.inputs[0]
    data = [()] * (len(others) - len(data)) + data
    if {*others} != {1} or len(others) > len(tied.data):
        entry = tied.add('tile', {'reps': others}, entry, name='_others')
    if number_of(data[at]) == 1:
        return tied.repeated(entry, at)
    new = at + 1 if node.op == 'repeat' else at
    wide = tied.repeated(tied.add('expand_dims', {'axis': new}, entry, name='_wide'), new)
    return tied.add('Reshape', {'shape': (0,) * at + (-3, -2)}, wide)


def _counts(node: Node, data: Axes) -> list[int]:
    """How often a node repeats each axis of its result; [] if that is not known."""
    if node.op == 'tile' and data:
        return [*(1,) * (len(data) - len(node.reps)), *node.reps]
    axes = node.axis if node.op == 'broadcast_axis' else range(len(data))
    sizes = node.size if node.op == 'broadcast_axis' else node.get('shape', ())
    if node.op == 'repeat' and data and node.axis is not None:
        axes, sizes = [node.axis], [node.repeats]
    counts = [1] * len(data)
    for at, size in zip(axes, sizes if data else ()):
        if node.op == 'repeat' or number_of(data[at]) == 1:
            counts[at] = size
    return counts


def _first(tied: Replacement) -> Entry | None:
    """The first elements of a table, such as one of positions."""
    node, data = tied.node, tied.data
    cuts = [at for at, begin, end, step in parts_of(node, len(data))
            if (begin or 0, end, step) == (0, tied.number, 1) and number_of(data[at]) is not None]
    if len(cuts) != 1:
        return None
    (at,), entry = cuts, node.inputs[0]
    if node.op == 'slice' and len(data) > 1:
        ends = (*node.end[:at], None, *node.end[at + 1:])
        entry = tied.add('slice', {**node.attrs, 'end': ends}, entry, name='_others')
    return tied.first(entry, at)


def _pooled(tied: Replacement) -> Entry | None:
    """A kernel over all elements."""
    node, data = tied.node, tied.data
    sides = data[1:-1] if (node.layout or 'NCW').endswith('C') else data[2:]
    sizes = [size_in_graph(product(side), tied.within.sizes) for side in sides]
    if tuple(sizes) != node.kernel or any(node.pad or ()):
        return None
    return tied.add(node.op, {**node.attrs, 'global_pool': True}, node.inputs[0])


def _reshaped(tied: Replacement) -> Entry | None:
    """To the sizes that are meant; otherwise what is left where the number was."""
    node, data, within = tied.node, tied.data, tied.within
    for size in dict.fromkeys([tied.within.like.size, *open_factors(data)]):
        number = size_in_graph(size, within.sizes)
        sizes = meant(node, data, size, number) if data and number else None
        if sizes is not None:
            return reshaped(tied.writer, within.graph, within.table, tied.place, sizes)
    once = None if -1 in node.shape else tied.once(node.shape, -1)
    return once and tied.add('Reshape', {'shape': once[1]}, node.inputs[0])


RULES: dict[str, Callable[[Replacement], Entry | None]] = {
    'clip': lambda tied: bounded(tied.writer, tied.node, tied.size()) if (
        tied.node.a_max == tied.number) else None,
    '_arange': _numbered, 'Pooling': _pooled, 'Reshape': _reshaped,
    **dict.fromkeys(['slice', 'slice_axis'], _first),
    **dict.fromkeys(['broadcast_axis', 'broadcast_to', 'tile', 'repeat'], _repeated),
    **dict.fromkeys(['_zeros', '_ones', '_full', '_zeros_without_dtype'], _filled)}
