"""Shapes of inputs that the user did not give, as far as the graph and its weights tell them."""
from __future__ import annotations

import itertools
from typing import Collection, Mapping, NamedTuple, Sequence, Tuple

from ..graph import Entry, Graph
from .infer import Table
from .names_for_open_axes import AxisNames, Named
from .rule_api import RULES
from .shape_search import ShapeSearch, ShapesError, UnclearShape, chain, is_parted
from .sizes import Axis, axes_in, resolve
from .unification import share, taken

__all__ = ['Found', 'Named', 'ShapesError', 'Whole', 'cutting_numbers', 'found_shapes',
           'told_sizes']


class Whole(NamedTuple):
    """The graph from which another one was rolled up, and its numbers of steps."""

    graph: Graph
    steps: frozenset[int]


#: Axes of images are tried up to this size.
_MOST = 64
#: An input and one of its axes.
_Place = Tuple[str, int]


class Found(NamedTuple):
    """Shapes of inputs, notes on axes that are numbers, and sizes for axes.

    By input and axis, `taken` has the sizes that the graph takes where windows must leave a certain
    number, and `shares` sizes that fit, where the graph tells only the product of axes. `cut` are
    the axes of which windows must leave a number for a Reshape.
    """

    shapes: dict[str, Named]
    notes: list[str]
    taken: Mapping[_Place, range] = {}
    cut: Collection[_Place] = ()
    shares: Mapping[_Place, int] = {}


def found_shapes(graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]], missing: Sequence[str],
                 whole: Whole | None = None) -> Found:
    """Shapes of the inputs `missing`, and notes on them.

    Parameters
    ----------
    graph : Graph
    params, given : dict
        Shapes of the parameters, and shapes of inputs that the user gave.
    missing : list of str
    whole : Whole, optional
        The graph before rolling up; its numbers of steps are used if the shapes depend on them.

    Raises
    ------
    ShapesError
        The shapes do not follow from the graph.
    """
    if not missing:
        return Found({}, [])
    search = ShapeSearch(graph, params, given)
    untold = [name for name in missing if not any(
        node.op in RULES or node.op == '_foreach' for node, _ in search.readers(name))]
    try:
        if untold:
            raise ShapesError('only operators without a shape rule in mxrnn read %s'
                              % ', '.join(untold))
        shapes, table = search.begun(missing)
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
        again = _again(result.shapes, shapes)
        tried = search.table(again)
        if not tried.faults:
            table, shapes, result = tried, again, AxisNames(search, again)
    numbers = whole and _with_numbers(search, table, shapes, result.shapes, whole)
    if numbers:
        again = _again(numbers, shapes)
        if not search.table(again).faults:
            shapes, result = again, AxisNames(search, again)
    return Found(result.shapes, result.sentences(), *_sizes(graph, shapes))


def told_sizes(graph: Graph, params: Mapping[str, Sequence[int]],
               shapes: Mapping[str, Sequence[int | str]], fixed: bool = True) -> dict[str, int]:
    """Numbers that a graph tells for the named axes in `shapes` of its inputs: the smallest ones
    that its windows leave, and with `fixed` those of axes that may have no other size."""
    names: dict[str, Axis] = {}
    known = {name: [size if isinstance(size, int) else names.setdefault(size, Axis(free=True))
                    for size in shape] for name, shape in shapes.items()}
    ShapeSearch(graph, params, {}).table(known)
    numbers = {name: size for name, axis in names.items() for size in [resolve(axis)]
               if fixed and isinstance(size, int)}
    fitting, _, shares = _sizes(graph, {name: [axis] for name, axis in names.items()})
    numbers.update((name, size) for (name, _), size in shares.items())
    numbers.update((name, sizes[0]) for (name, _), sizes in fitting.items())
    return numbers


def _sizes(graph: Graph, shapes: Mapping[str, Sequence[Axis]]
           ) -> tuple[dict[_Place, range], set[_Place], dict[_Place, int]]:
    """`taken`, `cut` and `shares` of `Found`. One of two factors becomes a number in a Reshape, 1,
    as large as the other one, or another number: the first one that fits."""
    codes = sorted({code for node in graph.nodes if node.op == 'Reshape' for code in node.shape
                    if code > 1})
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
        for size in (*codes, 1, other, *range(2, _MOST)) if joined else ():
            axis.bound = size
            sizes = taken(other)
            if sizes:
                other.bound = sizes[0]
                break
            axis.bound = None
    after = {place: resolve(size) for place, size in before.items()}
    return fitting, cut, {place: size for place, size in after.items()
                          if isinstance(size, int) and size is not before[place]}


# ---- numbers of steps

def _with_numbers(search: ShapeSearch, table: Table, shapes: Mapping[str, Sequence[Axis]],
                  found: Mapping[str, Named], whole: Whole) -> dict[str, Named]:
    """The shapes `found`, with the whole graph's sizes for axes that a rolled graph splits by
    numbers of steps or mistakes for numbers; {} if nothing depends on these."""
    mistaken = {name: [any(each.believed for each in axes_in(axis)) for axis in axes]
                for name, axes in shapes.items()}
    stated = _stated(search.graph, table)
    steps = {each for each in whole.steps if any(
        number > 1 and number % each == 0 for number in stated)} - {1}
    if not steps and not any(map(any, mistaken.values())):
        return {}
    try:
        numbers = found_shapes(whole.graph, search.params, search.given, list(found)).shapes
    except ShapesError:
        return {}
    return {name: tuple(number if number in steps or wrong and isinstance(number, int) else size
                        for size, number, wrong in zip(shape, numbers[name], mistaken[name]))
            for name, shape in found.items()}


def cutting_numbers(graph: Graph, params: Mapping[str, Sequence[int]],
                    shapes: Mapping[str, Sequence[int | str]]) -> set[int]:
    """Numbers by which nodes split axes of any size, for parameters and inputs of these shapes."""
    return _stated(graph, ShapeSearch(graph, params, shapes).table({}))


def _stated(graph: Graph, table: Table) -> set[int]:
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
            found |= _stated(node.subgraphs[0], table.bodies[place])
    return found


def _again(found: Mapping[str, Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, list[Axis]]:
    """Infer free axes again, beginning with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        return Axis(free=True, hint=next((each.hint for each in chain(axis) if each.hint), ''),
                    bound=size if isinstance(size, int) else None)
    batch = Axis(free=True, hint='batch')
    return {name: [fresh(*pair) for pair in zip(found[name], axes)]
            for name, axes in shapes.items()}
