"""Shapes of inputs, and random data of them that a graph takes."""
from __future__ import annotations

import itertools
import re
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple, Sequence

from torch import Tensor

from ..._graph.graph import Graph
from ..._graph.rolling import RolledGraph
from ..._graph.shapes.inputs import Found
from .._torch.graph_module import UnsupportedError
from ..model import Model
from ..registry import ExportError
from ..stateful import shapes_found
from .emitters import Facts
from .sampling import Named, Sample, draw, run, survey

__all__ = ['Sampled', 'at_own_length', 'sampled']

#: What torch raises where shapes do not fit.
_FAULTS = (RuntimeError, ValueError, IndexError)
#: How many numbers of a graph are tried as the size of an axis.
_TRIES = 24


class Sampled(NamedTuple):
    """Shapes of inputs, what there is to say of them, data of two sets of sizes, facts, and by
    input and axis the sizes that nothing but the source refuses others of."""

    shapes: Named
    notes: Sequence[str]
    samples: list[Sample]
    facts: Facts
    limits: Mapping[tuple[str, int], range] = MappingProxyType({})


def sampled(graph: Graph, whole: RolledGraph, model: Model, given: Named, types: Mapping[str, Any],
            needed: Sequence[str]) -> Sampled:
    """Find the shapes that nobody gave, as ONNX files have them, and draw data.

    Where the rolled `graph` does not take what follows from it, the numbers in the `whole` graph
    are taken, which comes with what became of its recurrences.
    """
    missing = [name for name in needed if name not in given and name not in model.arg_params
               and name not in model.aux_params]
    params = {**model.arg_params, **model.aux_params}
    own = {name: given[name] for name in needed if name in given}
    if not missing:
        return _drawn(graph, model, own, types, [])
    reason: ExportError | None = None
    first: Found | None = None
    for each in [graph] if graph is whole.graph else [graph, whole.graph]:
        try:
            found = shapes_found(each, params, given, missing, whole if each is graph else None)
            first = first or found
            return _of_windows(graph, model, own, found, types) or _drawn(
                graph, model, {**own, **found.shapes}, types, found.notes)
        except UnsupportedError:
            raise
        except ExportError as error:
            reason = reason or error
    if first is not None and isinstance(reason, _NotTaken):
        fitted = _fitted(graph, model, own, first.shapes, types)
        if fitted is not None:
            return fitted._replace(notes=[*first.notes, *fitted.notes])
        raise ExportError('%s. %s' % (_request(missing, {
            name: len(shape) for name, shape in first.shapes.items()}), reason))
    raise reason or ExportError('no shapes were found')


class _NotTaken(ExportError):
    """A graph does not take data of shapes that follow from it."""


def _of_windows(graph: Graph, model: Model, own: Named, found: Found, types: Mapping[str, Any]
                ) -> Sampled | None:
    """Data of the sizes of which windows leave what the graph reads; None if there are none, or it
    takes no such data."""
    sizes = {**found.cut, **found.taken}
    if not sizes:
        return None
    shapes = {name: list(shape) for name, shape in found.shapes.items()}
    pairs: dict[str, tuple[int, int]] = {}
    for (name, axis), each in sizes.items():
        ends = each[0], each[-1]
        pair = ends[::-1] if ends in pairs.values() else ends
        if len(each) == 1 or pair in pairs.values():
            shapes[name][axis] = each[0]
        else:
            pairs[str(shapes[name][axis])] = pair
    notes = ['%s may have %d to %d elements along axis %d' % (name, each[0], each[-1], axis)
             for (name, axis), each in sizes.items() if len(each) > 1]
    try:
        drawn = _drawn(graph, model, {**own, **shapes}, types, [*found.notes, *notes], pairs)
    except ExportError:
        return None
    return drawn._replace(limits=found.cut)


def _fitted(graph: Graph, model: Model, own: Named, found: Named, types: Mapping[str, Any]
            ) -> Sampled | None:
    """Data of shapes in which one axis of any size, or all but the batch, have the one number of
    those in the graph that it takes; None if there is no such number, or several."""
    names = list(dict.fromkeys(size for shape in found.values() for size in shape
                               if isinstance(size, str) and size != 'batch'))
    numbers = sorted({int(number) for node in graph.walk() for text in node.attrs.values()
                      for number in re.findall(r'(?<![\w.])\d{1,5}(?![\w.])', str(text))} - {0, 1})
    for chosen in [*([name] for name in names), names] if len(names) > 1 else [names]:
        fits = []
        for number in numbers[:_TRIES]:
            shapes = {name: [number if size in chosen else size for size in shape]
                      for name, shape in found.items()}
            try:
                samples = draw(graph, {**own, **shapes}, types, False)
                facts = survey(graph, model, samples, labels=False)
            except _FAULTS:
                continue
            fits.append(Sampled({**own, **shapes}, [
                '%s has the size %d at axis %d: the graph takes no other number that is in it' % (
                    name, number, axis) for name, shape in found.items()
                for axis, size in enumerate(shape) if size in chosen], samples, facts))
        if len(fits) == 1:
            return fits[0]
    return None


def _request(missing: Sequence[str], axes: Mapping[str, int]) -> str:
    """A sentence that asks for shapes, with an example of all."""
    shapes = {name: ('batch', 20, 8, 8)[:axes[name]] for name in missing}
    return 'give the shape%s of %s, as in inputs={%s} (%s; the numbers are yours)' % (
        's' * (len(missing) > 1), ', '.join(missing),
        ', '.join('%r: %r' % pair for pair in shapes.items()),
        ' '.join('--input %s=%s' % (name, ','.join(map(str, shape)))
                 for name, shape in shapes.items()))


def _drawn(graph: Graph, model: Model, shapes: Named, types: Mapping[str, Any],
           notes: Sequence[str], pairs: Mapping[str, tuple[int, int]] = MappingProxyType({})
           ) -> Sampled:
    """Random data, of larger sizes where small ones do not do, and the shapes of arrays; `pairs`
    are sizes of axes in both runs."""
    for large in (False, True):
        samples = draw(graph, shapes, types, large, pairs)
        try:
            return Sampled(shapes, notes, samples,
                           survey(graph, model, samples, labels=False))
        except UnsupportedError:
            raise
        except _FAULTS as error:
            reason = error
    raise _NotTaken('the graph does not take %s: %s' % ('; '.join(
        '%s of shape %s' % (name, tuple(value.shape)) for name, value in samples[1].items()),
        reason))


def at_own_length(graph: Graph, rolled: RolledGraph, model: Model, shapes: Named,
                  types: Mapping[str, Any]) -> tuple[Sample, list[Tensor]] | None:
    """Data that a graph takes as it was unrolled, and its outputs.

    Parameters
    ----------
    graph, rolled : Graph, RolledGraph
        Before and after its steps were rolled up.
    model, shapes, types : Model, dict, dict
        Its arrays; shapes, with names of axes of any size, and types of inputs.

    Returns
    -------
    tuple or None
        None if it takes no sizes made of its numbers of steps.
    """
    steps = sorted({each.steps for each in rolled.findings if each.kind != 'unrolled'} | {
        node.num_outputs for node in graph.nodes if node.op == 'SliceChannel'})
    names = list(dict.fromkeys(size for shape in shapes.values() for size in shape
                               if isinstance(size, str)))
    choices = [[None, *steps] if name == 'batch' else [*steps, None] for name in names]
    for chosen in itertools.islice(itertools.product(*choices), 32):
        sizes = {name: size for name, size in zip(names, chosen) if size is not None}
        sample = draw(graph, {name: [sizes.get(size, size) if isinstance(size, str) else size
                                     for size in shape] for name, shape in shapes.items()},
                      types, False)[0]
        try:
            return sample, run(graph, model, sample)[0]
        except _FAULTS:
            continue
    return None
