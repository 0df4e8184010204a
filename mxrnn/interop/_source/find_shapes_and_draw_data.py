"""Finds the shapes of inputs that were not given, and draws data that the graph takes."""
from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import Any, Mapping, NamedTuple, Sequence

import torch

from ..._graph.graph import Graph, Node
from ..._graph.rolling import Unrolled
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.shapes.missing_shapes import Found
from ..._graph.shapes.numbers_told_by_nodes import told_sizes
from ..._graph.shapes.sizes import axes_in, divide, product
from .._torch.module import UnsupportedError
from ..input_shapes import of_graph, shapes_found
from ..model import Model
from ..registry import ExportError
from .emitter_api import Facts, Shape
from .inferred_shapes_and_types import survey
from .sample_data import FAULTS, Data, Named

__all__ = ['Surveyed', 'find_labels', 'surveyed']

#: No more numbers are drawn for an input, as for images of unknown sizes.
_MOST = 2_000_000


class Surveyed(NamedTuple):
    """Shapes of inputs, notes on them, data that the graph takes, and facts."""

    shapes: Named
    notes: Sequence[str]
    data: Data
    facts: Facts


def surveyed(graph: Graph, whole: Unrolled, model: Model, given: Named,
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
            return _surveyed(graph, model, {**own, **shapes}, types, notes, told)
    return None


def _surveyed(graph: Graph, model: Model, shapes: Named, types: Mapping[str, Any],
              notes: Sequence[str], told: Mapping[str, int] = MappingProxyType({})) -> Surveyed:
    """Random data, of other sizes where 11 steps do not do, and the facts of arrays."""
    for more in (0, 1, 16, 133, 1000):  # 12 and 144 can be split into pairs
        larger = Data(graph, types, more)
        if more and larger.count(shapes, told) > _MOST:
            break
        data = larger
        data.draw(shapes, told)
        try:
            return Surveyed(shapes, notes, data, survey(
                graph, model, data.shapes, data.sample, labels=False))
        except UnsupportedError:
            raise
        except FAULTS as error:
            reason = error
    params = {name: array.shape for name, array in {**model.arg_params, **model.aux_params}.items()}
    found = {} if told else told_sizes(graph, params, shapes, fixed=False)
    if found:
        return _surveyed(graph, model, shapes, types, notes, found)
    for fault in infer(graph, variables_of(graph, {**params, **shapes})).faults:
        raise ExportError('the graph does not take %s: %s' % ('; '.join(
            '%s of shape (%s)' % (name, ', '.join(map(str, shape)))
            for name, shape in shapes.items()), fault))
    drawn = ['%s of shape %s' % (name, tuple(value.shape)) for name, value in data.sample.items()]
    said = str(reason).replace('the graph does not take %s\n' % ' and '.join(drawn), '')
    raise ExportError('the graph does not take %s (sizes not given are made up): %s' % (
        '; '.join(drawn), said))


def find_labels(data: Data, facts: Facts, missing: Sequence[str]) -> None:
    """Add labels whose shapes were not given to `data`, with shapes that fit the predictions."""
    for node in data.graph.nodes:
        for entry in node.inputs_of('label'):
            part = data.graph.ending_in([entry])
            names = [name for name in part.arguments if name in missing]
            if len(names) != 1 or names[0] in data.shapes:
                continue
            read = facts.arrays[node.inputs[0]].shape
            shape = next((shape for shape in _candidates(
                data.shapes, read, node, len(part.nodes) > 1) if _fits(
                    node, part, {**data.shapes, names[0]: shape}, read)), None)
            if shape is not None:
                data.shapes[names[0]] = shape
                data.sample[names[0]] = torch.zeros(data.sizes_of(shape))


def _candidates(shapes: Mapping[str, Shape], data: Shape, node: Node, reshaped: bool
                ) -> list[Shape]:
    """Possible shapes of a label for a loss of `data`, the most usual first."""
    inputs = list(shapes.values())
    pairs = [shape[:2] for shape in inputs if len(shape) > 1]
    if node.op == 'WarpCTC':
        return [(*shape[:1], node.label_length) for shape in inputs]
    several: list[Shape] = [(shape[0], part) for shape in pairs for part in [
        divide(data[0], shape[0])] if isinstance(part, int)]
    found = [*(pairs + several if reshaped else []), data[:-1], *pairs, data[:1],
             *[shape[:1] for shape in inputs], data[:1] + data[2:], data,
             *[shape[::-1] for shape in pairs], *several]
    known = {axis for shape in inputs for size in shape for axis in axes_in(size)}
    return [shape for shape in found if shape and all(axes_in(size) <= known for size in shape)]


def _fits(node: Node, part: Graph, shapes: Mapping[str, Shape], data: Shape) -> bool:
    """Whether a loss' label has as many elements as the loss reads."""
    table = infer(part, variables_of(part, shapes))
    if table.faults or part.heads[0] not in table.axes:
        return False
    count = product(map(product, table.axes[part.heads[0]]))
    if node.op == 'WarpCTC':
        rows = divide(count, node.label_length)
        return rows is not None and divide(data[0], rows) is not None
    if node.op != 'SoftmaxOutput':
        return count == (data[0] if node.op == 'SVMOutput' else product(data))
    if node.multi_output:
        return count == product(data[:1] + data[2:])
    return count == (product(data[:-1]) if node.preserve_shape else data[0])
