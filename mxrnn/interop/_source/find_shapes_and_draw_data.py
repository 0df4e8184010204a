"""Finds the shapes of inputs that were not given, and draws data that the graph takes."""
from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple, Sequence

from ..._graph.graph import Graph
from ..._graph.rolling import RolledGraph
from ..._graph.shapes.missing_shapes import Found
from .._torch.module import UnsupportedError
from ..input_shapes import of_graph, shapes_found
from ..model import Model
from ..registry import ExportError
from .emitter_api import Facts
from .inferred_shapes_and_types import survey
from .sample_data import FAULTS, Data, Named

__all__ = ['Surveyed', 'surveyed']


class Surveyed(NamedTuple):
    """Shapes of inputs, notes on them, data that the graph takes, facts, and by input and axis the
    sizes that are allowed if only the source itself can refuse others."""

    shapes: Named
    notes: Sequence[str]
    data: Data
    facts: Facts
    limits: Mapping[tuple[str, int], range] = MappingProxyType({})


def surveyed(graph: Graph, whole: RolledGraph, model: Model, given: Named,
             types: Mapping[str, Any], needed: Sequence[str]) -> Surveyed:
    """Find the shapes that were not given, and draw data.

    If the rolled-up `graph` does not take such data, the numbers in the `whole` graph are used,
    which comes with what became of its recurrences.
    """
    params = {**model.arg_params, **model.aux_params}
    own = {name: given[name] for name in needed if name in given}
    missing = [name for name in needed if name not in given and name not in params]
    reason = ''
    for each in [graph, *[whole.graph] * (bool(missing) and graph is not whole.graph)]:
        found = Found({}, [])
        try:
            found = shapes_found(each, params, given, missing, whole if each is graph else None)
            return _of_windows(graph, model, own, found, types) or _surveyed(
                graph, model, {**own, **found.shapes}, types, found.notes)
        except UnsupportedError:
            raise
        except ExportError as error:
            reason = reason or str(error) + of_graph(found.shapes)
    raise ExportError(reason)


def _of_windows(graph: Graph, model: Model, own: Named, found: Found, types: Mapping[str, Any]
                ) -> Surveyed | None:
    """Data whose sizes leave, after windows, what the graph reads. None if there are no such sizes
    or the graph refuses such data."""
    if not found.taken and not found.shares:
        return None
    for least in (False, True):
        shapes = {name: list(shape) for name, shape in found.shapes.items()}
        told = {str(shapes[name][axis]): size for (name, axis), size in found.shares.items()}
        notes = list(found.notes)
        for (name, axis), each in found.taken.items():
            if len(each) == 1 or least:
                shapes[name][axis] = each[0]
            else:
                told[str(shapes[name][axis])] = each[-1]
                notes.append('%s may have %d to %d elements along axis %d' % (
                    name, each[0], each[-1], axis))
        with contextlib.suppress(ExportError):
            return _surveyed(graph, model, {**own, **shapes}, types, notes, told)._replace(
                limits={place: found.taken[place] for place in found.cut})
    return None


def _surveyed(graph: Graph, model: Model, shapes: Named, types: Mapping[str, Any],
              notes: Sequence[str], told: Mapping[str, int] = MappingProxyType({})) -> Surveyed:
    """Random data, of other sizes where 11 steps do not do, and the facts of arrays."""
    for more in (0, 1, 16, 133, 1000):  # 12 and 144 can be split into pairs
        data = Data(graph, types, more)
        data.draw(shapes, told)
        try:
            return Surveyed(shapes, notes, data, survey(
                graph, model, data.shapes, data.sample, labels=False))
        except UnsupportedError:
            raise
        except FAULTS as error:
            reason = error
    raise ExportError('the graph does not take %s: %s' % ('; '.join(
        '%s of shape %s' % (name, tuple(value.shape)) for name, value in data.sample.items()),
        reason))
