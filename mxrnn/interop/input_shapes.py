"""The shapes of a model's inputs: checks those that a user gives, and finds the others."""
from __future__ import annotations

import contextlib
import difflib
from typing import Any, Container, Iterator, Mapping, Sequence, Union

import numpy as np

from .. import _check
from .._graph.graph import Graph
from .._graph.rolling import RolledGraph, roll
from .._graph.shapes.missing_shapes import Found, Named, ShapesError, Whole, found_shapes
from .registry import ExportError

__all__ = ['Shapes', 'blaming_axes', 'check_names', 'check_shapes', 'check_types', 'misfit',
           'of_graph', 'rank_mismatch', 'shapes_found']

#: Inputs' shapes by name: numbers, and names for axes of any size.
Shapes = Mapping[str, Sequence[Union[int, str]]]


def check_names(name: str, given: object, graph: Graph, params: Container[str] = ()) -> None:
    """Refuse the argument `name` unless it is a dict by names of the graph's variables."""
    known = sorted(graph.arguments + graph.auxiliary, key=lambda each: each in params)
    for key in _check.instance(name, given, Mapping, 'a dict by names of inputs'):
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            raise ValueError('%s must name inputs of the model, such as %s; got %r%s' % (
                name, ', '.join([*known[:3], *['…'] * (len(known) > 3)]), key,
                ': did you mean %s?' % near[0] if near else ''))


def check_shapes(inputs: object, graph: Graph, params: Container[str],
                 weights: bool = False) -> dict[str, Named]:
    """Return `inputs` with Python integers; refuse anything but shapes of the graph's variables
    that are not in `params`, or may be with `weights`."""
    check_names('inputs', inputs, graph, params)
    shapes: dict[str, Named] = {}
    for key, shape in inputs.items():  # type: ignore[attr-defined]
        _check.instance('inputs[%r]' % key, shape, (tuple, list), 'a tuple of names and integers')
        for size in shape:
            if isinstance(size, str) and not size.isidentifier():
                raise ValueError('each axis of inputs[%r] must be a number or a name, as in '
                                 "(8, 'time') (--input %s=8,time), got %r" % (key, key, size))
        shapes[key] = tuple(
            size if isinstance(size, str) else
            _check.integer('each axis of inputs[%r] that is no name' % key, size, 1)
            for size in shape)
        if key in params and not weights:
            raise ValueError('inputs must name inputs of the model, got %r, which is a parameter'
                             % key)
    return shapes


def check_types(types: object, graph: Graph) -> None:
    """Refuse `types` unless it maps names of the graph's variables to types."""
    check_names('types', types, graph)
    for key, dtype in types.items():  # type: ignore[attr-defined]
        _check.dtype('types[%r]' % key, dtype)
        if isinstance(dtype, str) and dtype not in ('bfloat16', np.dtype(dtype).name):
            raise ValueError("types[%r] must be the full name of a type, such as '%s', got %r"
                             % (key, np.dtype(dtype).name, dtype))


def shapes_found(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes,
                 missing: Sequence[str], whole: RolledGraph | None = None) -> Found:
    """Shapes that the graph tells, and notes on fixed sizes. `whole` is the graph
    before it was rolled up."""
    sizes = {name: np.shape(array) for name, array in params.items()}
    steps = whole and Whole(whole.graph, frozenset(
        each.steps for each in whole.findings if each.kind != 'unrolled'))
    try:
        return found_shapes(graph, sizes, given, missing, steps)
    except ShapesError as error:
        if not given:
            raise ExportError(str(error)) from None
        reason = rank_mismatch(graph, params, given, sizes=True)
        if reason:  # otherwise the message lists the missing shapes
            raise ExportError('%s\n%s' % (str(error).partition('\n')[0], reason)) from None
        raise ExportError('%s\nYou gave these shapes (inputs, --input): %s' % (error, '; '.join(
            '%s=%s' % (name, ','.join(map(str, shape))) for name, shape in given.items()))
        ) from None


def of_graph(found: Shapes) -> str:
    """The part of a refusal that lists the shapes taken from the graph; '' if there are none."""
    return '\nThese shapes were taken from the graph; inputs (--input) can change them: %s' % (
        '; '.join('%s=%s' % (name, ','.join(map(str, shape))) for name, shape in found.items())
    ) if found else ''


def misfit(graph: Graph, params: Mapping[str, Any], given: Shapes) -> str:
    """A sentence on the first input whose shape is not the graph's; '' if there is none. A shape
    without a number may be a guess."""
    for name, (own, shape) in _unlike(graph, params, given, True).items():
        if any(isinstance(size, int) for size in own):
            return '%s must be (%s), got %s' % (name, ', '.join(map(str, own)), tuple(shape))
    return ''


def rank_mismatch(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes, sizes: bool = False
                  ) -> str:
    """A sentence on `given` shapes whose number of axes, or `sizes` too, differ from the graph's,
    and how to free a number of steps; '' if there are none."""
    wrong = _unlike(graph, params, given, sizes)
    told, got = (' '.join('%s=%s' % (name, ','.join(map(str, pair[at])))
                          for name, pair in wrong.items()) for at in (0, 1))
    tips = [_freeing(name, *pair) for name, pair in wrong.items()]
    return 'The graph by itself says %s, but inputs (--input) say %s%s' % (
        told, got, ''.join(tips)) if wrong else ''


def _freeing(name: str, own: Sequence[int | str], given: Sequence[int | str]) -> str:
    """How to free the number of steps in the graph's own shape of an input, if another is given."""
    for at, pair in enumerate(zip(own[:max(len(own) - 1, 2)], given)):
        if len(own) == len(given) and pair[0] != pair[1] and all(
                isinstance(size, int) for size in pair):
            return '. If %s is the number of steps, --input %s=%s allows any' % (
                own[at], name, ','.join(map(str, [*own[:at], 'time:%s' % own[at], *own[at + 1:]])))
    return ''


def _unlike(graph: Graph, params: Mapping[str, Any], given: Shapes, sizes: bool
            ) -> dict[str, tuple[Sequence[int | str], Sequence[int | str]]]:
    """The graph's shape and the `given` one of inputs in which their numbers of axes, or `sizes`
    too, differ; none if the graph does not tell its shapes."""
    names = [graph.nodes[place].name for place in sorted(graph.needed())
             if graph.nodes[place].is_variable and graph.nodes[place].name not in params]
    try:
        found = shapes_found(roll(graph).graph, params, {}, names).shapes
    except ExportError:
        return {}
    return {name: (found[name], given[name]) for name in names if name in given and (
        len(given[name]) != len(found[name]) or sizes and any(
            isinstance(own, int) and isinstance(other, int) and own != other
            for own, other in zip(given[name], found[name])))}


@contextlib.contextmanager
def blaming_axes(graph: Graph, params: Mapping[str, np.ndarray], given: Shapes) -> Iterator[None]:
    """If the graph is refused, name the inputs that were given too few or too many axes."""
    try:
        yield
    except ExportError as error:
        reason = given and rank_mismatch(graph, params, given)
        if not reason:
            raise
        raise ExportError('%s\n%s' % (str(error).partition('\n')[0], reason)) from None
