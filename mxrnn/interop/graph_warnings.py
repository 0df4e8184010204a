"""Notes on graphs that MXNet takes but that may be wrong: mixed rows, swapped names of axes, a
number of steps that may be one bucket's."""
from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

from .. import _check
from .._graph.graph import Graph
from .._graph.rolling import RolledGraph, bounds, roll
from .._graph.shapes.axis_factors import number_of
from .._graph.shapes.infer import infer, variables_of
from .free_unrolled_length import without_number
from .input_shapes import shapes_found
from .load_and_save_model import Model
from .registry import ExportError

__all__ = ['capped', 'remarks']


def remarks(model: Model, given: Mapping[str, Sequence[Any]] = {}, longest: bool = False
            ) -> list[str]:
    """Notes on a model, and on the shapes that were `given` for its inputs.

    `longest` says that the graph is known to be the longest bucket's, if there are several.
    """
    params = {**model.arg_params, **model.aux_params}
    rolled = roll(model.graph)
    graph = rolled.graph
    names = [graph.nodes[place].name for place in sorted(graph.needed())
             if graph.nodes[place].is_variable and graph.nodes[place].name not in params]
    try:
        found, notes, *_ = shapes_found(graph, params, {}, names)
    except ExportError:
        found, notes = {}, []
    plain = [name for name in model.names if not name.startswith(('arg:', 'aux:'))]
    sentences = ['parameters without the prefix arg: are taken as arguments: %s'
                 % _check.some(plain)] * bool(plain) + _renamed(found, given) + _mixed(graph, {
        **{name: array.shape for name, array in params.items()}, **given, **found})
    sentences += _divided(rolled)
    if not longest:
        sentences += _bucket(rolled, any(' steps: ' in each for each in notes),
                             {size for shape in given.values() for size in shape})
    return sentences + _kept(rolled, {**found, **given})


def capped(graph: Graph, given: Mapping[str, Sequence[Any]]) -> list[tuple[str, str]]:
    """Notes, with titles, on lengths that a torch module clips, and that no axis 'time:35' among
    the `given` shapes frees."""
    if not bounds(graph) or without_number(given)[1] is not None:
        return []
    return [('note', 'lengths are clipped to %d steps, the number in the graph. Export with '
             '--onnx or --source and an axis time:%d in --input to allow any length' % (most, most))
            for most in sorted(bounds(roll(graph).graph))]


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


def _divided(rolled: RolledGraph) -> list[str]:
    """Means over the steps that divide by a number instead of the length."""
    graph, needed, notes = rolled.graph, rolled.graph.needed(), []
    for number in sorted({each.steps for each in rolled.findings if each.kind != 'unrolled'}):
        factors = {'_div_scalar': number, '_mul_scalar': 1 / number}
        notes += ['node %s (%s) has the number %g. If that is the number of steps in the graph, '
                  '%d, results at other lengths are wrong, because it stays' % (
                      node.name, node.op, node.scalar, number)
                  for place, node in enumerate(graph.nodes) if place in needed and number > 2
                  and node.op in factors and math.isclose(node.scalar, factors[node.op],
                                                          rel_tol=1e-6)]
    return notes


def _bucket(rolled: RolledGraph, stated: bool, given: set[Any]) -> list[str]:
    """A note if the rolled-up graph keeps a number of steps: in a stated shape, in nodes, or as a
    bound of lengths. An axis 'time:35' in a `given` shape frees it, so there is no note then."""
    kept = bounds(rolled.graph) | {
        each.steps for each in rolled.findings if stated or each.kind in ('unrolled', 'fixed')}
    if not (kept or stated) or any(isinstance(size, str) and ':' in size for size in given):
        return []
    return ['the graph has %s steps. If it is one bucket of a BucketingModule, save with '
            'do_rnn_checkpoint(..., module=module): that saves the longest' % (
                ' and '.join(map(str, sorted(kept - {0}))) or 'a fixed number of')]


def _kept(rolled: RolledGraph, shapes: Mapping[str, Sequence[Any]]) -> list[str]:
    """A note on inputs that keep a number of steps although the recurrences take any."""
    steps = {each.steps for each in rolled.findings if each.kind not in ('unrolled', 'fixed')}
    return ['%s has %d steps, the number in the graph: pad or cut sequences to it. '
            '--input %s=%s frees it if nothing but the steps has this number' % (
                name, size, name, ','.join(
                    'time:%d' % each if at == axis else str(each) for at, each in enumerate(shape)))
            for name, shape in shapes.items() for axis, size in enumerate(shape[:-1])
            if isinstance(size, int) and 1 < size in steps]


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
