"""Notes on graphs that MXNet takes but that may be wrong: mixed rows, swapped names of axes."""
from __future__ import annotations

import contextlib
import math
from typing import Any, Mapping, Sequence

import numpy as np

from .. import _check
from .._graph.graph import Graph
from .._graph.rolling import RolledGraph, Unrolled
from .._graph.shapes.axis_factors import number_of
from .._graph.shapes.infer import infer, variables_of
from .._graph.shapes.missing_shapes import Named
from .ctc_predictions import selected
from .fixed_steps_notes import (
    as_many_whatever_is_read,
    clipped_at_any_length,
    counted_anew,
    grouped_by_windows,
    kept_by_inputs,
    of_one_bucket,
    tied_to_steps,
)
from .free_length_or_say_what_keeps_it import stated_notes
from .input_shapes import graph_shapes, shapes_found, without_number
from .model import Model
from .registry import ExportError
from .roll_without_steps import roll_once, rolled_up

__all__ = ['remarks', 'wrong_lengths']


def remarks(model: Model, given: Mapping[str, Sequence[Any]] = {}, longest: bool = False,
            certified: bool = False) -> list[str]:
    """Analyse a model and the shapes that were `given` for its inputs; returns notes on them.

    `longest` says that the graph is known to be the longest bucket's, if there are several;
    `certified` that the graph of another length has freed its number of steps.
    """
    params = {**model.arg_params, **model.aux_params}
    rolled = roll_once(model.graph)
    graph = rolled.graph
    names = [name for name in graph.needed_variables() if name not in params]
    typed = given
    given = {name: shape for name, shape in given.items() if name in graph.needed_variables()}
    found: dict[str, Named] = {}
    notes: list[str] = []
    taken: Mapping[tuple[str, int], range] = {}
    shares: Mapping[tuple[str, int], int] = {}
    with contextlib.suppress(ExportError):
        found, notes, taken, shares = shapes_found(graph, params, {}, names)
    shapes = _with_those_left(model, found, given)
    plain = [name for name in model.names if not name.startswith(('arg:', 'aux:'))]
    sentences = ['parameters without the prefix arg: are taken as arguments: %s'
                 % _check.some(plain)] * bool(plain) + _renamed(found, given) + _mixed(graph, {
        **{name: array.shape for name, array in params.items()}, **given, **found})
    several = {name for name, at in shares for other, axis in shares if name == other and at < axis}
    sentences += [
        'the graph %s. Type it, so that the file refuses others: --input %s=%s,…' % (
            'takes %s of width %d to %d, and does not tell which' % (name, left[0], left[-1])
            if left else 'does not tell the width of %s, so it may be any size, called %s' % (
                name, shape[-1]), name, ','.join(map(str, shape[:-1])))
        for name, shape in found.items() if name not in given and len(shape) == 3
        and shape[-1] == '%s_2' % name and name not in several
        for left in [taken.get((name, 2))]]
    sentences += [
        'the graph takes only some sizes of %s together. Type yours, so that the file refuses '
        'others, as in --input %s=%s' % (name, name, ','.join(
            str(shares.get((name, at), size)) for at, size in enumerate(shape)))
        for name, shape in found.items() if name in several - {*given}]
    sentences += [
        '%s may have any number of axes in the graph, and is taken to have %d. If it has %d, type '
        'them, as in --input %s=%s' % (name, len(shape), len(shape) + 1, name, ','.join(
            map(str, (*rows, *shape[1:]))))
        for name, shape in found.items() if name not in given
        for rows in _steps_of_rows(rolled, name, shape)]
    flat = {node.name for place, node in enumerate(model.graph.nodes) if node.is_variable and {
        reader.op for reader, _ in model.graph.consumers(place)} == {'Flatten'}}
    sentences += [
        '%s may have any number of axes in the graph, and is taken to have 2. If it has 3, type '
        'them, as in --input %s=batch,5,3' % (name, name)
        for name, shape in found.items() if name in flat - {*given} and len(shape) == 2]
    sentences += _grouped(Unrolled(model.graph, rolled.findings), graph, params, [
        name for name in names if name not in given])
    if certified:
        return sentences
    freed, without = _freed(model, shapes)
    sentences += counted_anew(model, freed) + tied_to_steps(
        model, freed, without, without_number(shapes)[1])
    sentences += stated_notes(freed.graph, params, without)
    kept = kept_by_inputs(model, rolled, shapes)
    if not longest and not kept:  # otherwise a note says what frees them, or nothing does
        sentences += of_one_bucket(rolled, any(' steps: ' in each for each in notes),
                                   {size for shape in given.values() for size in shape})
    windows = grouped_by_windows(model, shapes, typed)
    return [*sentences, *kept, *windows, *as_many_whatever_is_read(model, freed, without)]


def wrong_lengths(model: Model, given: Mapping[str, Sequence[Any]],
                  outputs: Sequence[str] | None = None) -> list[str]:
    """Those of `remarks` on the `outputs` (all if None) that say at which lengths results are not
    the program's, and the note on lengths that are clipped."""
    model = model._replace(graph=selected(model.graph, outputs))
    whole = _with_those_left(model, graph_shapes(
        model.graph, {**model.arg_params, **model.aux_params}), given)
    rolled, shapes = _freed(model, whole)
    return [*tied_to_steps(model, rolled, shapes, without_number(whole)[1]),
            *stated_notes(rolled.graph, {**model.arg_params, **model.aux_params}, shapes),
            *clipped_at_any_length(model, rolled, shapes),
            *as_many_whatever_is_read(model, rolled, shapes)]


def _with_those_left(model: Model, found: Mapping[str, Sequence[Any]],
                     given: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The shapes that were `given`, and those that others then have, where before these were
    `found`: an axis that has its steps is free as well."""
    shapes, (known, steps) = {**found, **given}, without_number(given)
    if given:
        params = {**model.arg_params, **model.aux_params}
        graph = rolled_up(model.graph, steps).graph
        with contextlib.suppress(ExportError):
            shapes.update(shapes_found(graph, params, known, [
                name for name in graph.needed_variables() if name not in {**params, **known}
            ]).shapes)
    return shapes


def _freed(model: Model, shapes: Mapping[str, Sequence[Any]]
           ) -> tuple[RolledGraph, Mapping[str, Sequence[Any]]]:
    """The rolled-up graph, without a number of steps that is given in `shapes`; and the shapes."""
    known, steps = without_number(shapes)
    return rolled_up(model.graph, steps), known


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


def _steps_of_rows(rolled: RolledGraph, name: str, shape: Sequence[Any]
                   ) -> list[tuple[int, int]]:
    """A batch and steps of which an input consists that only Reshapes to its own `shape` read."""
    shapes = {node.op == 'Reshape' and node.shape for node in rolled.graph.nodes
              if name in [rolled.graph.nodes[entry.node].name for entry in node.inputs]}
    return [(shape[0] // each.steps, each.steps) for each in rolled.findings
            if shapes == {tuple(shape)} and each.steps > 1 and shape[0] % each.steps == 0][:1]


def _grouped(whole: Unrolled, graph: Graph, params: Mapping[str, np.ndarray],
             names: Sequence[str]) -> list[str]:
    """Inputs that only look-ups read and that are taken to have one axis beside the batch, although
    a Reshape joins groups of their vectors, such as the letters of each word."""
    sizes = {}
    for node in graph.nodes:
        vectors = graph.nodes[node.inputs[0].node] if node.op == 'Reshape' else node
        if vectors.op == 'Embedding' and node is not vectors and node.shape[0] == -1:
            size, rest = divmod(math.prod(node.shape[1:]), vectors.output_dim)
            if size > 1 and not rest:
                sizes[graph.nodes[vectors.inputs[0].node].name] = size
    found: Mapping[str, Named] = {}
    with contextlib.suppress(ExportError):
        found = shapes_found(graph, params, {}, names, whole).shapes if sizes else {}
    notes = []
    for name, shape in found.items():
        if name in sizes and len(shape) == 2:
            batch, count = shape
            groups, rest = divmod(count, sizes[name]) if isinstance(count, int) else (count, 0)
            if groups != 1 and not rest:
                notes.append('%s is taken to have 2 axes, %s,%s. If it has 3, type them, as in '
                             '--input %s=%s,%s,%d' % (name, batch, count, name, batch, groups,
                                                      sizes[name]))
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
