"""Reshapes that split and join steps and batch, and read both sizes from what was joined."""
from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from ..graph import Entry, Graph, Node
from ..graph_editing import Edit, Writer, with_variables_as_in
from .axis_factors import REST, Axes, factors_of, separated
from .constants import TELLING, Sizes, size_in_graph
from .infer import Table
from .sizes import Size, product, reshaping, resolve, same

__all__ = ['meant', 'open_factors', 'reshaped', 'taken_apart']


def taken_apart(graph: Graph, table: Table, sizes: Sizes) -> Graph:
    """The graph in which a Reshape that takes joined steps and batch apart again, with the counted
    number of steps, reads their sizes from a value that has both axes."""
    edit = Edit(graph)
    for place, node in enumerate(graph.nodes):
        data = table.axes.get(node.inputs[0], []) if node.op == 'Reshape' else []
        for size, number in _restored(node, data, sizes):
            made = meant(node, data, size, number)
            entry = made and reshaped(edit.writer, graph, table, place, made)
            if entry:
                edit.replaced[Entry(place, 0)] = entry
    return with_variables_as_in(edit.graph(), graph)


def _restored(node: Node, data: Axes, sizes: Sizes) -> Iterator[tuple[Size, int]]:
    """The steps, and their number, if two joined axes are taken apart, one as its number and the
    other as -1."""
    numbers = {size: size_in_graph(size, sizes) for size in open_factors(data)}
    counted = [(size, number) for size, number in numbers.items() if number is not None]
    if len(numbers) == 2 and len(counted) == 1 and len(node.shape) > 2:
        first = node.shape[1:3] if node.shape[0] == -4 else node.shape[:2]
        if sorted(first) == [-1, counted[0][1]] and counted[0][1] >= TELLING:
            yield counted[0]


def open_factors(axes: Axes) -> list[Size]:
    """The factors of axes that have no number, in order."""
    return [size for axis in axes for size in factors_of(axis)
            if not isinstance(resolve(size), int)]


def meant(node: Node, data: Axes, size: Size, number: int) -> list[Size] | None:
    """The sizes that a Reshape means if `number` is a `size`; None if several are possible.

    They have all elements of `data`, and each open factor of it in its place.
    """
    found = [] if node.reverse else [*_possible(node.shape, data, size, number)]
    return found[0] if found and all(all(map(same, found[0], other)) for other in found) else None


def _possible(codes: Sequence[int], data: Axes, size: Size, number: int) -> Iterator[list[Size]]:
    """Of the sizes that codes state, one is `size`, and another one may be what is left."""
    axes: Axes = []
    stated: list[int] = []
    for taken, made in reshaping(codes, len(data)):
        if made == (0,):
            axes.append(sum([data[at] for at in taken], ()))
        else:
            stated += range(len(axes), len(axes) + len(made))
            axes += [(code,) for code in made]
    rests = [axes.index(REST)] if REST in axes else [None, *stated]
    for at, rest in [(at, rest) for at in stated for rest in rests if rest != at]:
        if axes[at] == (number,):
            wanted = [(size,) if each == at else REST if each == rest else axis
                      for each, axis in enumerate(axes)]
            left, found = separated(sum(data, ()), wanted)
            if len(found) == len(wanted) and product(left) == 1:
                yield [product(found[each]) for each in range(len(wanted))]


def reshaped(writer: Writer, graph: Graph, table: Table, place: int, sizes: Sequence[Size]
             ) -> Entry | None:
    """A node in place of a Reshape, with these sizes as its result; None if no value has two that
    would have to be read."""
    node = graph.nodes[place]
    entry, data = node.inputs[0], table.axes[node.inputs[0]]
    attrs = _codes(data, sizes)
    if attrs is None:
        wide = [size for size in sizes if size != 1]
        at = next((at for at, pair in enumerate(zip(map(product, data), wide)) if not same(*pair)),
                  0)
        like, rest = _value_with(table, place, wide[at:at + 2]), wide[at + 2:]
        if like is None or not all(isinstance(size, int) for size in rest):
            return None
        if [product(axis) for axis in data[at + 1:]] != rest:
            entry = writer.add('Reshape', node.name + '_rows', {'shape': (0,) * at + (-1, *rest)},
                               [entry])
        entry = writer.add('reshape_like', node.name + '_apart', {
            'lhs_begin': at, 'lhs_end': at + 1, 'rhs_begin': 0, 'rhs_end': 2}, [entry, like])
        if len(wide) == len(sizes):
            return writer.named(entry, node.name)
        attrs = _codes([(size,) for size in wide], sizes)
    return writer.stand_in('Reshape', node.name, attrs, entry) if attrs is not None else None


def _codes(data: Axes, sizes: Sequence[Size]) -> Mapping[str, object] | None:
    """The attributes of a Reshape that need not read a size; None if there are none."""
    for turn in 1, -1:
        codes = [size if isinstance(size, int) else 0 if at < len(data) and same(
            product(data[::turn][at]), size) else -1 for at, size in enumerate(sizes[::turn])]
        if codes.count(-1) < 2:
            return {'shape': tuple(codes[::turn]), **({'reverse': True} if turn < 0 else {})}
    return None


def _value_with(table: Table, before: int, sizes: Sequence[Size]) -> Entry | None:
    """The nearest value before a place whose first two axes have these sizes."""
    for place in range(before - 1, -1, -1):
        axes = table.axes.get(Entry(place, 0), [])
        if len(axes) > 1 and all(same(product(axis), size) for axis, size in zip(axes, sizes)):
            return Entry(place, 0)
    return None
