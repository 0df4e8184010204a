"""Numbers for axes of any size, as nodes tell them: sizes that fit windows and Reshapes."""
from __future__ import annotations

import itertools
from typing import Mapping, Sequence, Tuple

from ..graph import Entry, Graph
from .infer import Table
from .shape_search import ShapeSearch, is_parted
from .sizes import Axis, Sum, axes_in, product, resolve, same
from .unification import share, taken

__all__ = ['Place', 'cutting_numbers', 'fitting_sizes', 'numbers_that_cut', 'ranges_left',
           'told_sizes']

#: Axes of images are tried up to this size.
_MOST = 64
#: An input and one of its axes.
Place = Tuple[str, int]


def told_sizes(graph: Graph, params: Mapping[str, Sequence[int]],
               shapes: Mapping[str, Sequence[int | str]], fixed: bool = True) -> dict[str, int]:
    """Numbers that a graph tells for the named axes in `shapes` of its inputs: the smallest ones
    that its windows leave, two groups of rows if a Reshape groups them, and with `fixed` those of
    axes that may have no other size."""
    names, table = _inferred(graph, params, shapes)
    grouped = {axis: size.divisor for place, node in enumerate(graph.nodes) if node.op == 'Reshape'
               for size in map(product, table.axes.get(Entry(place, 0), []))
               if isinstance(size, Sum) and size.divisor > 1 and not any(
                   same(product(each), size) for each in table.axes.get(node.inputs[0], []))
               for (number, atoms), *rest in [size.terms] if number == len(atoms) == 1 and not rest
               for axis in atoms}
    numbers = {name: size for name, axis in names.items() for size in [resolve(axis)]
               if fixed and isinstance(size, int)}
    fitting, _, shares = fitting_sizes(graph, {name: [axis] for name, axis in names.items()})
    numbers.update((name, size) for (name, _), size in shares.items())
    numbers.update((name, sizes[0]) for (name, _), sizes in fitting.items())
    return {**{name: 2 * grouped[axis] for name, axis in names.items() if axis in grouped},
            **numbers}


def ranges_left(graph: Graph, params: Mapping[str, Sequence[int]],
                shapes: Mapping[str, Sequence[int | str]]) -> dict[Place, range]:
    """By input and named axis in `shapes`, the sizes of which windows leave the number that a
    Reshape has. Of other sizes it would mix rows."""
    names, _ = _inferred(graph, params, shapes)
    fitting, cut, _ = fitting_sizes(graph, {name: [axis] for name, axis in names.items()})
    return {(name, at): fitting[size, 0] for name, shape in shapes.items()
            for at, size in enumerate(shape) if isinstance(size, str) and (size, 0) in cut}


def _inferred(graph: Graph, params: Mapping[str, Sequence[int]],
              shapes: Mapping[str, Sequence[int | str]]) -> tuple[dict[str, Axis], Table]:
    """The named axes in `shapes`, with what the graph tells about them, and all axes."""
    names: dict[str, Axis] = {}
    known = {name: [size if isinstance(size, int) else names.setdefault(size, Axis(free=True))
                    for size in shape] for name, shape in shapes.items()}
    return names, ShapeSearch(graph, params, {}).table(known)


def fitting_sizes(graph: Graph, shapes: Mapping[str, Sequence[Axis]]
           ) -> tuple[dict[Place, range], set[Place], dict[Place, int]]:
    """`taken` of `Found`, those of its axes of which windows must leave a number for a Reshape, and
    `shares`. One of two factors becomes a number of parts, a number in a Reshape, 1, as large as
    the other one, or another number: the first one that fits."""
    codes = sorted({code for node in graph.nodes if node.op == 'Reshape' for code in node.shape
                    if code > 1})
    steps = sorted({node.num_outputs for node in graph.nodes
                    if node.op == 'SliceChannel' and node.squeeze_axis})
    before = {(name, at): resolve(axis) for name, axes in shapes.items()
              for at, axis in enumerate(axes)}
    fitting = {place: sizes for place, size in before.items() for sizes in [taken(size)] if sizes}
    cut = {place for place in fitting for size in [before[place]] if isinstance(size, Axis)
           and any(number in codes for _, number in size.believed)}
    for axis in itertools.chain(*shapes.values()):
        share(axis)
    free = dict.fromkeys(size for size in before.values() if isinstance(size, Axis))
    for axis, other in itertools.combinations(free, 2):
        joined = axis.bound is None is other.bound and any(
            axes_in(made) == {axis, other} for made, _ in axis.believed)
        for size in (*steps, *codes, 1, other, *range(2, _MOST)) if joined else ():
            axis.bound = size
            sizes = taken(other)
            if sizes:
                other.bound = sizes[0]
                break
            axis.bound = None
    after = {place: resolve(size) for place, size in before.items()}
    return fitting, cut, {place: size for place, size in after.items()
                          if isinstance(size, int) and size is not before[place]}


def cutting_numbers(graph: Graph, params: Mapping[str, Sequence[int]],
                    shapes: Mapping[str, Sequence[int | str]]) -> set[int]:
    """Numbers by which nodes split axes of any size, for parameters and inputs of these shapes."""
    return numbers_that_cut(graph, ShapeSearch(graph, params, shapes).table({}))


def numbers_that_cut(graph: Graph, table: Table) -> set[int]:
    """Numbers by which nodes split axes of any size."""
    found: set[int] = set()
    for place, node in enumerate(graph.nodes):
        axes = table.axes.get(Entry(place, 0), [])
        if node.op == 'Reshape' and any(is_parted(size) for axis in axes for size in axis):
            found.update(node.shape)
        elif node.op == 'slice':
            data = table.axes.get(node.inputs[0], [])
            found.update(end for axis, end in zip(data, node.end) if end is not None and any(
                not isinstance(resolve(size), int) for size in axis))
        if place in table.bodies:
            found |= numbers_that_cut(node.subgraphs[0], table.bodies[place])
    return found
