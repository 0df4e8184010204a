"""Rolls graphs up, also without a number of steps that the user names; tells which axes free it."""
from __future__ import annotations

import functools
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .._graph.graph import Entry, Graph
from .._graph.graph_editing import Writer, with_variables_as_in
from .._graph.rolling import (
    RolledGraph,
    bounds,
    counting,
    cut_ends,
    cuts,
    divided,
    fixed_by,
    roll,
    stated_steps,
    with_windows,
)
from .._graph.shapes.axis_factors import number_of
from .._graph.shapes.infer import Fault, infer, variables_of
from .._graph.shapes.numbers_told_by_nodes import cutting_numbers
from .model import Model
from .registry import ExportError

__all__ = ['CountedSteps', 'axes_of', 'axes_that_free', 'option', 'option_that_frees',
           'reading_windows', 'refuse_unequal', 'roll_once', 'rolled_up', 'with_number']

_Shapes = Mapping[str, Sequence[Any]]


class CountedSteps(NamedTuple):
    """A number of steps, and by input which axis has it.

    `kept` are the shapes of these inputs with the number as it is, and `names` what the user calls
    the axes.
    """

    number: int
    axes: dict[str, int]
    kept: _Shapes = {}
    names: Sequence[str] = ()

    @property
    def named(self) -> dict[str, str]:
        """By input, what the user calls its axis."""
        return dict(zip(self.axes, self.names))

    def keeping(self, graph: Graph) -> str:
        """What keeps this number, if the graph takes it; '' otherwise."""
        fits = self.kept and not infer(graph, variables_of(graph, self.kept)).faults
        return '. To keep that length: ' + option(self.kept) if fits else ''


def roll_once(graph: Graph, training: bool = False, length: int | None = None,
              axes: Mapping[str, int] = {}, shapes: Mapping[str, Sequence[Any]] = {}
              ) -> RolledGraph:
    """`roll`, which keeps its last results: writing a file and checking it roll one graph up
    several times."""
    found = _remembered(graph, training, length, (*axes.items(),), tuple([
        (name, (*shape,)) for name, shape in shapes.items()]))
    return found._replace(graph=graph) if found.graph == graph else found


@functools.lru_cache(maxsize=4)
def _remembered(graph: Graph, training: bool, length: int | None,
                axes: Sequence[tuple[str, int]], shapes: Sequence[tuple[str, Sequence[Any]]]
                ) -> RolledGraph:
    return roll(graph, training=training, length=length, axes=dict(axes), shapes=dict(shapes))


def reading_windows(model: Model, given: _Shapes) -> Model:
    """The model without the numbers of steps of Reshapes that split more steps, which the `given`
    shapes have, into windows."""
    graph = model.graph
    if not given or not stated_steps(graph) or any(
            ':' in str(size) for shape in given.values() for size in shape):
        return model
    table = infer(graph, variables_of(graph, {**{name: array.shape for name, array in {
        **model.arg_params, **model.aux_params}.items()}, **given}))
    return model._replace(graph=with_windows(graph, lambda place: number_of(next(iter(
        table.axes.get(Entry(place, 0), [])), ()))))


def rolled_up(graph: Graph, steps: CountedSteps | None, training: bool = False) -> RolledGraph:
    """The graph rolled up, in which the number of `steps` is that of steps, if it is given."""
    if steps is None:
        return roll_once(graph, training)
    known = sorted({finding.steps for finding in roll_once(graph).findings} | bounds(graph) | {
        *stated_steps(graph, (), steps.number).values()} | cut_ends(graph, steps.axes))
    if steps.number not in known and (known or not fixed_by(graph, steps.number)) and (
            steps.number not in _cut_or_divided(roll_once(graph).graph, steps)):
        raise ValueError('the number of steps of an axis must be one that the graph was unrolled '
                         'for: %s, got %d%s' % (
                             ', '.join(map(str, known)) or 'it has none', steps.number,
                             steps.keeping(graph) if known else
                             '. Give the axis without that number'))
    first, *others = steps.axes
    freed = roll_once(graph, training, steps.number, steps.axes, steps.kept)
    apart = [name for name in others * bool(steps.names) if roll_once(
        graph, training, steps.number, {name: steps.axes[name], **steps.axes}, steps.kept
    ).graph != freed.graph]
    if any(steps.named[name] != steps.named[first] for name in apart):
        raise ValueError('inputs have the number of steps %d in axes of several names, %s, and the '
                         'graph does not tell which of them it repeats a value for, or counts: '
                         'give both the same name, or one of them the number itself' % (
                             steps.number, ' and '.join(dict.fromkeys(steps.names))))
    if apart:
        freed = freed._replace(graph=_with_equal(freed.graph, first, apart, steps.axes))
    for finding in freed.findings:
        if finding.kind == 'unrolled' and finding.steps == steps.number:
            raise ExportError('%s%s' % (finding, steps.keeping(graph)))
    return freed._replace(graph=counting(freed, steps.number, False, steps.axes, steps.kept))


def _cut_or_divided(graph: Graph, steps: CountedSteps) -> set[int]:
    """Numbers that may be those of `steps`: of slices, and by which sums over steps are divided."""
    axes = infer(graph, variables_of(graph, {**steps.kept, **{
        name: [*shape[:steps.axes[name]], 'time', *shape[steps.axes[name] + 1:]]
        for name, shape in steps.kept.items() if name in steps.axes}})).axes
    return {*divided(graph, axes), *(each.total for each in cuts(graph, axes))}


def _with_equal(graph: Graph, first: str, others: Sequence[str], axes: Mapping[str, int]) -> Graph:
    """The graph in which each of the `others` must have as many steps as the `first` input, along
    their `axes`; what reads a label alone stays."""
    writer, places = Writer(), {node.name: place for place, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        writer.copy(node, node.inputs)
    made = {Entry(places[name], 0): writer.add('reshape_like', name + '_as_long', {
        'lhs_begin': axes[name], 'lhs_end': axes[name] + 1, 'rhs_begin': axes[first],
        'rhs_end': axes[first] + 1}, [Entry(places[name], 0), Entry(places[first], 0)])
        for name in others if name in graph.needed_variables() and first in places}
    writer.nodes[:len(graph.nodes)] = [node._replace(inputs=tuple(
        [made.get(entry, entry) for entry in node.inputs])) for node in graph.nodes]
    return with_variables_as_in(writer.graph([made.get(head, head) for head in graph.heads],
                                             graph.version), graph)


def refuse_unequal(graph: Graph, params: Mapping[str, Any], shapes: _Shapes, steps: CountedSteps
                   ) -> None:
    """Refuse axes of steps with several names that the rolled-up `graph` needs to be equal."""
    others = {**{name: np.shape(array) for name, array in params.items()}, **shapes}

    def faults(sizes: Sequence[int]) -> list[Fault]:
        return infer(graph, variables_of(graph, {**others, **{
            name: [*shapes[name][:axis], size, *shapes[name][axis + 1:]]
            for size, (name, axis) in zip(sizes, steps.axes.items())}})).faults
    sizes = [1011 + [*dict.fromkeys(steps.names)].index(name) for name in steps.names]
    apart = [each.node for each in faults(sizes)] if len({*sizes}) > 1 else []
    if apart and not faults(sizes[:1] * len(sizes)):
        raise ExportError('node %s (%s) needs equal sizes, but inputs give them several names: %s. '
                          'Give axes of one size the same name' % (
                              apart[0].name, apart[0].op, '; '.join('%s of shape (%s)' % (
                                  name, ', '.join(map(str, shapes[name]))) for name in steps.axes)))


def axes_of(shapes: _Shapes, number: int) -> dict[str, int]:
    """The first axis of each input that has `number` elements, if no axis is its steps already."""
    return {name: list(shape).index(number) for name, shape in shapes.items()
            if number in shape and 'time' not in str(shape)}


def axes_that_free(graph: Graph, params: Mapping[str, Any], shapes: _Shapes, number: int,
                   open_axes: bool = False) -> Iterator[dict[str, int]]:
    """Axes of `number` elements, by input: if they may have any size, so may the steps of the
    graph. With `open_axes`, also axes of any size, if none has `number` elements."""
    axes = axes_of(shapes, number)
    ways = [axes] * (len(axes) > 1) + [{name: axis} for name, axis in axes.items()] or [
        {name: at} for name, shape in shapes.items() for at, size in enumerate(shape)
        if open_axes and isinstance(size, str) and size != 'batch']
    sizes = {name: np.shape(array) for name, array in params.items()}
    for way in ways:
        try:
            free, findings = rolled_up(graph, CountedSteps(number, way, shapes))
        except ValueError:
            continue
        others = {**sizes, **shapes, **with_number(shapes, number, way)}
        if not infer(free, variables_of(free, others)).faults and number not in cutting_numbers(
                free, sizes, {**shapes, **with_number(shapes, number, way)}) and not any(
                    each[1:3] == (number, 'stated') for each in findings):
            yield way


def option_that_frees(graph: Graph, params: Mapping[str, Any], shapes: _Shapes, number: int,
                      works: Callable[[Graph, _Shapes], bool] = lambda graph, shapes: True) -> str:
    """The option with which a number of steps becomes any; '' if none was found with which the
    graph, rolled up, has such shapes and `works`."""
    for axes in axes_that_free(graph, params, shapes, number, open_axes=True):
        freed = with_number(shapes, number, axes)
        if works(rolled_up(graph, CountedSteps(number, axes, shapes)).graph, freed):
            return option(freed)
    return ''


def with_number(shapes: _Shapes, number: int, axes: Mapping[str, int]) -> dict[str, list[Any]]:
    """The shapes of the inputs in `axes`, in which this axis is 'time:35'."""
    return {name: [*shapes[name][:axis], 'time:%d' % number, *shapes[name][axis + 1:]]
            for name, axis in axes.items()}


def option(shapes: _Shapes) -> str:
    """The options of a command that give these shapes."""
    return ' '.join('--input %s=%s' % (name, ','.join(map(str, shape)))
                    for name, shape in shapes.items())
