"""Notes on graphs that MXNet takes but that may be wrong: mixed rows, swapped names of axes."""
from __future__ import annotations

import contextlib
from typing import Any, Mapping, Sequence

from .. import _check
from .._graph.graph import Graph
from .._graph.rolling import structure
from .._graph.shapes.axis_factors import number_of
from .._graph.shapes.infer import infer, variables_of
from .._graph.shapes.missing_shapes import Named
from .input_shapes import shapes_found
from .model import Model
from .registry import ExportError

__all__ = ['remarks']


def remarks(model: Model, given: Mapping[str, Sequence[Any]] = {}) -> list[str]:
    """Analyse a model and the shapes that were `given` for its inputs; returns notes on them."""
    params = {**model.arg_params, **model.aux_params}
    graph = structure(model.graph).graph
    names = [name for name in graph.needed_variables() if name not in params]
    given = {name: shape for name, shape in given.items() if name in graph.needed_variables()}
    found: dict[str, Named] = {}
    with contextlib.suppress(ExportError):
        found = shapes_found(graph, params, {}, names).shapes
    plain = [name for name in model.names if not name.startswith(('arg:', 'aux:'))]
    return ['parameters without the prefix arg: are taken as arguments: %s'
            % _check.some(plain)] * bool(plain) + _renamed(found, given) + _mixed(graph, {
                **{name: array.shape for name, array in params.items()}, **given, **found})


def _renamed(found: Mapping[str, Sequence[Any]], given: Mapping[str, Sequence[Any]]) -> list[str]:
    """Shapes in which two axes have swapped names."""
    notes = []
    for name, shape in given.items():
        plain = [size.partition(':')[0] if isinstance(size, str) else size for size in shape]
        own = list(found.get(name, ()))
        if len(own) == len(plain) and any(
                size in own and isinstance(size, str) and isinstance(other, str) and size != other
                for size, other in zip(plain, own)):
            notes.append('the axes of %s are %s in the graph, but you gave %s: other names do not '
                         'move axes' % (name, ','.join(map(str, own)), ','.join(map(str, shape))))
    return notes


def _mixed(graph: Graph, shapes: Mapping[str, Sequence[Any]]) -> list[str]:
    """Reshapes to rows whose number of elements does not match the rows that they read."""
    values = infer(graph, variables_of(graph, shapes)).axes
    notes = []
    for place in sorted(graph.needed()):
        node = graph.nodes[place]
        shape: tuple[int, ...] = node.shape if node.op == 'Reshape' and not node.reverse else ()
        read = values.get(node.inputs[0]) if -1 in shape and shape[-1] > 1 else None
        # Images are split in more ways, and weights may be reshaped in any way.
        if read is None or not 1 < len(read) < 4 or None not in map(number_of, read):
            continue
        width, wanted = number_of(read[-1]), shape[-1]
        if width is not None and width % wanted and wanted % width:
            notes.append('node %s (Reshape) turns rows of %d numbers into rows of %d, so each row '
                         'mixes several steps. MXNet trains such a graph without a warning' % (
                             node.name, width, wanted))
    return notes
