"""Facts about a graph's arrays: shapes, which are inferred, and types, which one run shows."""
from __future__ import annotations

from typing import Mapping, Sequence

from torch import Tensor

from ..._graph.graph import Entry, Graph
from ..._graph.shapes.axis_factors import Axes
from ..._graph.shapes.infer import Table, infer, variables_of
from ..._graph.shapes.sizes import Axis, Size, product
from ..._graph.shapes.unification import settled
from .._torch.module import run
from ..model import Model
from .emitter_api import Fact, Facts, Shape
from .sample_data import Sample

__all__ = ['survey']


def survey(graph: Graph, model: Model, shapes: Mapping[str, Shape], sample: Sample,
           labels: bool = True) -> Facts:
    """Shapes and types of the arrays that are read; with `labels`, also of labels.

    Parameters
    ----------
    graph, model : Graph, Model
    shapes, sample : dict
        The shapes of the graph's inputs, and data of some sizes.
    labels : bool
    """
    entries = sorted({*graph.heads, *(
        entry for node in (graph.nodes if labels else map(graph.nodes.__getitem__, graph.needed()))
        for entry in (node.inputs if labels else node.needed_inputs))})
    whole = graph._replace(heads=tuple(entries))
    values = dict(zip(entries, run(whole, model, sample)))
    known: dict[str, Shape] = {
        name: array.shape for name, array in {**model.arg_params, **model.aux_params}.items()}
    known.update(shapes)

    def unknown(entry: Entry) -> Axes:
        return [(Axis(),) for _ in values[entry].shape] if entry in values else []
    table = infer(whole, variables_of(whole, known), unknown)
    if table.faults and not labels:
        raise ValueError(str(table.faults[0]))
    return _facts(whole, values, table)


def _facts(graph: Graph, values: Mapping[Entry, Tensor], table: Table) -> Facts:
    """The facts for arrays, also inside loops, whose first step is run."""
    bodies = {}
    for place, node in enumerate(graph.nodes):
        if node.op == '_foreach' and all(entry in values for entry in node.inputs):
            body, places, count, _ = node.body
            sample = {body.nodes[each].name: value[0] if at < count else value for at, (each, value)
                      in enumerate(zip(places, [values[entry] for entry in node.inputs]))}
            read = sorted({*body.heads, *(entry for inner in body.needed()
                                          for entry in body.nodes[inner].needed_inputs)})
            outputs = run(body._replace(heads=tuple(read)), Model(body, {}, {}), sample)
            bodies[place] = _facts(body, dict(zip(read, outputs)), table.bodies.get(
                place, Table({}, {}, {}, [], {})))
    return Facts({entry: Fact(_shape(table.axes.get(entry, []), value.shape),
                              str(value.dtype).partition('.')[2])
                  for entry, value in values.items()}, bodies)


def _shape(axes: Axes, shape: Sequence[int]) -> Shape:
    """The inferred axes of an array that has a shape in a run."""
    if len(axes) != len(shape):
        axes = [(Axis(),) for _ in shape]
    sizes: list[Size] = []
    for axis, number in zip(axes, shape):
        size = product(axis)
        if isinstance(size, Axis) and size.unknown and number == 1:
            size.bound = number  # the length for made arrays, unless another is known
        sizes.append(settled(size))
    return tuple(sizes)
