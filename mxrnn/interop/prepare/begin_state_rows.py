"""Begin states that are weights, with a row for each sequence of a batch, as in R's models."""
from __future__ import annotations

from typing import Iterator, Mapping, Sequence

import numpy as np

from ..._graph.graph import Entry, Graph
from ..._graph.graph_editing import Edit, with_variables_as_in
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import begin_states
from ..._graph.rolling import OneInput, structure
from ..._graph.shapes.missing_shapes import ShapeSearch
from ..._graph.shapes.sizes import Axis, product, resolve
from ..model import Model
from ..registry import ExportError

__all__ = ['moved', 'of_any_batch']


def of_any_batch(model: Model, one: OneInput, given: Mapping[str, Sequence[int | str]],
                 states: bool = False) -> tuple[Model, OneInput]:
    """A model in which begin states are repeated for another batch, if `given` has
    one, or one of any size; and how its graph was made of the program's.

    Raises
    ------
    ExportError
        The rows of the begin states differ, or `states` are to be inputs.
    """
    graph = model.graph
    read = {graph.nodes[entry.node].name for node in graph.nodes for entry in node.inputs
            if entry not in node.inputs_of('weight')}
    if not any(name in read and array.ndim > 1 for name, array in model.arg_params.items()):
        return model, one
    rolled = structure(graph).graph
    params = model.params
    sizes = {name: np.shape(array) for name, array in params.items()}
    if not ShapeSearch(rolled, sizes, given).table({}, whole=False).faults:
        return model, one
    batches = {name: len(sizes[name]) - 2 if has(node.op, 'kernel') else 0
               for node in rolled.nodes for entry in begin_states(node)
               for name in moved(rolled, entry) if name in model.arg_params
               and len(sizes[name]) > 1}
    rows = next(filter(None, (_read_along(rolled, sizes, batches, way)
                              for way in _named(given))), {})
    unlike = [name for name, (axis, _) in rows.items() if not _repeats(params[name], axis)]
    if unlike or rows and states:
        name, (axis, (data, at)) = next(iter(rows.items()))
        batch = sizes[name][axis]
        raise ExportError('the begin states %s are weights for a batch of %d%s: give %s that '
                          'batch, as in --input %s=%s' % (
                              ', '.join(rows), batch, ', and their rows differ' if unlike else
                              ', which a file with states keeps', data, data, ','.join(
                                  str(batch if place == at else size)
                                  for place, size in enumerate(given[data]))))
    program = one.program and _with_rows(one.program, {
        name: (axis, (one.inputs[data][0], max(at - 1, 0)) if data in one.inputs else (data, at))
        for name, (axis, (data, at)) in rows.items()})
    return model._replace(graph=_with_rows(graph, rows), arg_params={
        name: array.take([0], rows[name][0]) if name in rows else array
        for name, array in model.arg_params.items()}), one._replace(program=program)


def _read_along(graph: Graph, sizes: Mapping[str, tuple[int, ...]], batches: Mapping[str, int],
                given: Mapping[str, Sequence[int | str]]) -> dict[str, tuple[int, tuple[str, int]]]:
    """For begin states: the axis of the batch, and the name and axis of an input that has it."""
    free = {name: [Axis(free=True) if at == batch else size for at, size in enumerate(sizes[name])]
            for name, batch in batches.items()}
    table = ShapeSearch(graph, sizes, given).table(free, whole=False)
    if table.faults:
        return {}
    places = {node.name: place for place, node in enumerate(graph.nodes) if node.is_variable}
    labels = {size: (name, at) for name, shape in given.items() for at, size in enumerate(shape)
              if isinstance(size, str)}
    found = {name: resolve(product(table.axes[Entry(places[name], 0)][batch]))
             for name, batch in batches.items()}
    return {name: (batches[name], labels[size.label]) for name, size in found.items()
            if isinstance(size, Axis) and size.label in labels}


def _named(given: Mapping[str, Sequence[int | str]]) -> Iterator[Mapping[str, Sequence[int | str]]]:
    """`given`, and `given` with a name instead of a number that may be the batch."""
    yield given
    for number in sorted({size for shape in given.values() for size in shape[:2]
                          if isinstance(size, int)}):
        yield {name: [str(size) if size == number and at < 2 else size
                      for at, size in enumerate(shape)] for name, shape in given.items()}


def moved(graph: Graph, entry: Entry) -> Iterator[str]:
    """The variables that an array consists of, moved and joined at most."""
    node = graph.nodes[entry.node]
    if node.is_variable:
        yield node.name
    for each in node.inputs if has(node.op, 'gathers') else (
            node.inputs[:1] if has(node.op, 'moves') else ()):
        yield from moved(graph, each)


def _repeats(array: np.ndarray, axis: int) -> bool:
    """Whether all that an axis has is one array several times."""
    return bool((array == array.take([0], axis)).all())


def _with_rows(graph: Graph, rows: Mapping[str, tuple[int, tuple[str, int]]]) -> Graph:
    """The graph in which those variables are repeated along an axis, as often as an input says."""
    edit = Edit(graph)
    places = {node.name: Entry(place, 0) for place, node in enumerate(graph.nodes)
              if node.is_variable}
    for name, (axis, (data, at)) in rows.items():
        row = edit.writer.copy(graph.nodes[places[name].node], ())
        edit.replaced[places[name]] = edit.writer.add('broadcast_like', name + '_rows', {
            'lhs_axes': (axis,), 'rhs_axes': (at,)}, [row, places[data]])
    return with_variables_as_in(edit.graph(), graph)
