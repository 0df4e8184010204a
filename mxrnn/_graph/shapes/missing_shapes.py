"""Shapes of inputs that the user did not give, as far as the graph and its weights tell them."""
from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from ..graph import Graph
from .names_for_open_axes import AxisNames, Named, Place
from .rule_api import RULES
from .shape_search import ShapeSearch, ShapesError, UnclearShape, chain
from .sizes import Axis

__all__ = ['Found', 'Named', 'Place', 'ShapesError', 'found_shapes']


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
    search = ShapeSearch(graph, params, given)
    search.ranks = ranks
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
        return Axis(free=True, hint=next((each.hint for each in chain(axis) if each.hint), ''),
                    bound=size if isinstance(size, int) else None)
    batch = Axis(free=True, hint='batch')
    return {name: [fresh(*pair) for pair in zip(found[name], axes)]
            for name, axes in shapes.items()}
