"""Facts about a graph's arrays, without running it: inferred shapes, and types by the operators."""
from __future__ import annotations

from types import MappingProxyType
from typing import Any, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..._graph.graph import Entry, Graph
from ..._graph.operator_table import types_of
from ..._graph.shapes.infer import Table, infer
from ..._graph.shapes.sizes import Axis, Size, Sum, changed, product, resolve
from ..._graph.shapes.unification import settled
from ..registry import ExportError

__all__ = ['Fact', 'Facts', 'Shape', 'inferred', 'survey']

Shape = Tuple[Size, ...]


class Fact(NamedTuple):
    """An array's shape and type."""

    shape: Shape
    dtype: str


class Facts(NamedTuple):
    """What is known about the arrays of a graph, and about those in the bodies of its loops."""

    arrays: Mapping[Entry, Fact]
    bodies: Mapping[int, Facts]
    #: By input and axis, the allowed sizes, if only the source itself can refuse others.
    limits: Mapping[tuple[str, int], range] = MappingProxyType({})
    #: By input, the axes that must be as long as an earlier input's, though others are repeated.
    equal: Mapping[str, Sequence[int]] = MappingProxyType({})


def inferred(graph: Graph, shapes: Mapping[str, Shape]) -> Table:
    """The axes of all values of a graph, made of those in the `shapes` of variables."""
    table = infer(graph, shapes)
    given = {resolve(own): size for size, own in table.own.items()}

    def of(size: Size) -> Size:
        size = settled(size)
        return changed(size, of) if isinstance(size, Sum) else given.get(size, size)  # type: ignore

    def again(table: Table) -> Table:
        return table._replace(bodies={place: again(body) for place, body in table.bodies.items()},
                              axes={entry: [(of(product(axis)),) for axis in axes]
                                    for entry, axes in table.axes.items()})
    _fill(graph, table)
    return again(table)


def _fill(graph: Graph, table: Table) -> None:
    """Give arrays that a graph makes the length 1 along axes whose size nothing tells."""
    for place, node in enumerate(graph.nodes):
        if place in table.bodies:
            _fill(node.subgraphs[0], table.bodies[place])
        for axis in map(product, () if node.inputs else table.axes.get(Entry(place, 0), ())):
            if isinstance(axis, Axis) and axis.unknown:
                axis.bound = 1


def survey(graph: Graph, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape],
           types: Mapping[str, Any]) -> Facts:
    """Shapes and types of all arrays of a graph, as far as the shapes of inputs tell them.

    Parameters
    ----------
    graph : Graph
    arrays : dict
        Its parameters.
    shapes, types : dict
        Those of the graph's inputs; float32 without a type.

    Raises
    ------
    ExportError
        The graph does not take inputs of these shapes, or has operators without a rule for shapes.
    """
    whole = graph._replace(heads=tuple([
        Entry(place, at) for place in graph.reached(lambda node: node.inputs)
        for at in range(graph.nodes[place].num_outputs)]))
    table = inferred(whole, {
        **{name: array.shape for name, array in arrays.items()}, **shapes})
    if table.faults:
        raise ExportError('the graph does not take %s: %s' % ('; '.join(
            '%s of shape (%s)' % (name, ', '.join(
                str(getattr(size, 'label', size)) for size in shape))
            for name, shape in shapes.items()), table.faults[0]))
    found = _facts(whole, table, {
        **{name: str(array.dtype) for name, array in arrays.items()},
        **{name: kind if isinstance(kind, str) else np.dtype(kind).name
           for name, kind in types.items()}})
    faults = ['node %s: its shape is not known: give register its shape' % node.title
              for place in sorted(graph.needed()) for node in graph.nodes[place:place + 1]
              if Entry(place, 0) not in found.arrays and all(
                  entry in found.arrays for entry in node.needed_inputs)]
    if faults:
        raise ExportError('\n'.join(faults))
    return found


def _facts(graph: Graph, table: Table, variables: Mapping[str, str]) -> Facts:
    """The facts for arrays, also inside loops."""
    types: dict[Entry, str] = {}
    bodies: dict[int, Facts] = {}
    for place, node in enumerate(graph.nodes):
        found = [variables.get(node.name, 'float32')]
        if node.op == '_foreach' and place in table.bodies:
            body, places = node.body[:2]
            bodies[place] = inner = _facts(body, table.bodies[place], {
                body.nodes[each].name: types.get(entry, 'float32')
                for each, entry in zip(places, node.inputs)})
            found = [inner.arrays[head].dtype if head in inner.arrays else 'float32'
                     for head in body.heads]
        elif not node.is_variable:
            found = types_of(node, [types.get(entry, 'float32') for entry in node.needed_inputs],
                             node.num_outputs)
        types.update((Entry(place, at), kind) for at, kind in enumerate(found))
    return Facts({entry: Fact(tuple(map(product, axes)), types[entry])
                  for entry, axes in table.axes.items() if entry in types}, bodies)
