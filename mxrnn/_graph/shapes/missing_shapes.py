"""Shapes of inputs that the user did not give, as far as the graph and its weights tell them."""
from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from ..graph import Graph
from .infer import Table
from .names_for_open_axes import AxisNames, Named
from .numbers_told_by_nodes import Place, fitting_sizes, numbers_that_cut
from .rule_api import RULES
from .shape_search import ShapeSearch, ShapesError, UnclearShape, chain
from .sizes import Axis, axes_in

__all__ = ['Found', 'Named', 'ShapesError', 'Whole', 'found_shapes']


class Whole(NamedTuple):
    """The graph from which another one was rolled up, and its numbers of steps."""

    graph: Graph
    steps: frozenset[int]


class Found(NamedTuple):
    """Shapes of inputs, notes on axes that are numbers, and sizes for axes.

    By input and axis, `taken` has the sizes that the graph takes where windows must leave a certain
    number, and `shares` sizes that fit, where the graph tells only the product of axes.
    """

    shapes: dict[str, Named]
    notes: list[str]
    taken: Mapping[Place, range] = {}
    shares: Mapping[Place, int] = {}


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
        if whole is None:
            raise
        search.ranks = {name: len(shape) for name, shape in found_shapes(
            whole.graph, params, given, missing).shapes.items()}
        shapes, table = search.begun(missing)
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
    taken, _, shares = fitting_sizes(graph, shapes)
    return Found(result.shapes, result.sentences(), taken, shares)


# ---- numbers of steps

def _with_numbers(search: ShapeSearch, table: Table, shapes: Mapping[str, Sequence[Axis]],
                  found: Mapping[str, Named], whole: Whole) -> dict[str, Named]:
    """The shapes `found`, with the whole graph's sizes for axes that a rolled graph splits by
    numbers of steps or mistakes for numbers; {} if nothing depends on these."""
    mistaken = {name: [any(each.believed for each in axes_in(axis)) for axis in axes]
                for name, axes in shapes.items()}
    stated = numbers_that_cut(search.graph, table)
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
