"""Begin states that are weights, with a row for each sequence of a batch, as in R's models."""
from __future__ import annotations

from typing import Iterator, Mapping, Sequence

import numpy as np

from .._graph.graph import Entry, Graph, Node
from .._graph.layout import begin_states
from .._graph.operators import has
from .._graph.rolling import roll
from .._graph.shapes.shape_search import ShapeSearch
from .._graph.shapes.sizes import Axis, resolve
from .model import Model

__all__ = ['of_any_batch']


def of_any_batch(model: Model, graph: Graph, given: Mapping[str, Sequence[int | str]]
                 ) -> tuple[Model, Graph]:
    """A model and its graph in which begin states are repeated for any batch, if the batch that
    they have does not let an axis of `given` be any size, and their rows are all alike."""
    alike = {name: array for name, array in model.arg_params.items() if array.ndim > 1 and (
        _repeats(array, 0) or _repeats(array, array.ndim - 2))}
    if not alike:
        return model, graph
    rolled = roll(graph).graph
    batches = {name: alike[name].ndim - 2 if has(node.op, 'kernel') else 0
               for node in rolled.nodes for entry in begin_states(node)
               for name in _moved(rolled, entry) if name in alike}
    free = {name: [Axis(free=True) if at == batch else size
                   for at, size in enumerate(alike[name].shape)]
            for name, batch in batches.items() if _repeats(alike[name], batch)}
    search = ShapeSearch(rolled, {name: np.shape(array) for name, array in {
        **model.arg_params, **model.aux_params}.items()}, given)
    if not search.table({}, whole=False).faults or search.table(free, whole=False).faults:
        return model, graph
    labels = {size: (name, at) for name, shape in given.items() for at, size in enumerate(shape)
              if isinstance(size, str)}
    rows = {}
    for name, shape in free.items():
        for at, size in enumerate(map(resolve, shape)):
            if isinstance(size, Axis) and size.label in labels:
                rows[name] = at, labels[size.label]
    return model._replace(arg_params={
        name: array.take([0], rows[name][0]) if name in rows else array
        for name, array in model.arg_params.items()}), _with_rows(graph, rows)


def _moved(graph: Graph, entry: Entry) -> Iterator[str]:
    """The variables that an array consists of, moved and joined at most."""
    node = graph.nodes[entry.node]
    if node.is_variable:
        yield node.name
    for each in node.inputs if has(node.op, 'gathers') else (
            node.inputs[:1] if has(node.op, 'moves') else ()):
        yield from _moved(graph, each)


def _repeats(array: np.ndarray, axis: int) -> bool:
    """Whether all that an axis has is one array several times."""
    return array.shape[axis] > 1 and bool((array == array.take([0], axis)).all())


def _with_rows(graph: Graph, rows: Mapping[str, tuple[int, tuple[str, int]]]) -> Graph:
    """The graph in which those variables are repeated along an axis, as often as an input says."""
    first = [place for place, node in enumerate(graph.nodes) if node.is_variable]
    places = {place: at for at, place in enumerate(first)}
    named = {graph.nodes[place].name: place for place in first}
    nodes = [graph.nodes[place] for place in first]
    for name, (axis, (data, at)) in rows.items():
        entries = Entry(first.index(named[name]), 0), Entry(first.index(named[data]), 0)
        places[named[name]] = len(nodes)
        nodes.append(Node('broadcast_like', name + '_rows', {
            'lhs_axes': '(%d,)' % axis, 'rhs_axes': '(%d,)' % at}, entries))
    for place, node in enumerate(graph.nodes):
        if not node.is_variable:
            places[place] = len(nodes)
            nodes.append(node._replace(inputs=tuple(
                Entry(places[entry.node], entry.output) for entry in node.inputs)))
    return graph._replace(nodes=tuple(nodes), heads=tuple(
        Entry(places[head.node], head.output) for head in graph.heads))
