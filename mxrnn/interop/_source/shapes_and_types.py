"""Facts about a graph's arrays: shapes, which are inferred, and types, which one run shows."""
from __future__ import annotations

import contextlib
import itertools
from types import MappingProxyType
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Entry, Graph, Node
from ..._graph.rolling import RolledGraph
from ..._graph.shapes.axis_factors import Axes
from ..._graph.shapes.infer import Table, infer, variables_of
from ..._graph.shapes.missing_shapes import Found
from ..._graph.shapes.sizes import Axis, Size, divide, number_for, product
from ..._graph.shapes.unification import settled
from .._torch.module import GraphModule, UnsupportedError
from ..input_shapes import of_graph, shapes_found
from ..load_and_save_model import Model
from ..random_data import data_for
from ..registry import ExportError
from .emitter_api import Fact, Facts, Shape

__all__ = ['FAULTS', 'Data', 'Named', 'Sample', 'Surveyed', 'as_list', 'drawn', 'module_of',
           'names_that_tell', 'run', 'survey', 'surveyed']

#: One array for each input.
Sample = Dict[str, Tensor]
#: Shapes of inputs by name; names stand for axes of any size.
Named = Mapping[str, Sequence[Union[int, str]]]

#: What torch raises where shapes do not fit.
FAULTS = (RuntimeError, ValueError, IndexError)


def run(graph: Graph, model: Model, sample: Sample) -> list[Tensor]:
    """The outputs of a graph, by `to_torch`; what it draws begins with one seed."""
    module = module_of(graph, model)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outputs = module(**{name: sample[name] for name in module.inputs if name in sample})
    return [each.detach() for each in as_list(outputs)]


def module_of(graph: Graph, model: Model) -> GraphModule:
    """The module of a graph as it is, for inference."""
    return GraphModule(graph, model.arg_params, model.aux_params, roll=False).eval()


def as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """A module's outputs, as a tuple even if there is only one."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def drawn(graph: Graph, shapes: Mapping[str, Sequence[int]], types: Mapping[str, Any]) -> Sample:
    """Random data for the inputs that have shapes."""
    random = np.random.RandomState(0)
    steps = min([size for shape in shapes.values() for size in shape if len(shape) > 1] or [1])
    kinds = {name: types.get(name, 'float32') for name in shapes}
    return {name: torch.from_numpy(data_for(
        graph, name, tuple(shape), kinds[name], steps, random).astype(kinds[name]))
        for name, shape in shapes.items()}


def names_that_tell(shapes: Named, names: Sequence[str]) -> list[str]:
    """The inputs from whose sizes the other inputs' sizes follow."""
    found: list[str] = []
    named: set[int | str] = set()
    for name in names:
        axes = {size for size in shapes[name] if isinstance(size, str)}
        if not axes <= named or not found:
            found.append(name)
        named |= axes
    return found


# ---- facts

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
    return _facts(whole, values, infer(whole, variables_of(whole, known), unknown), graph.heads)


def _facts(graph: Graph, values: Mapping[Entry, Tensor], table: Table, heads: Sequence[Entry] = ()
           ) -> Facts:
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
                place, Table({}, {}, {}, [])))
    return Facts({entry: Fact(_shape(table.axes.get(entry, []), value.shape),
                              str(value.dtype).partition('.')[2])
                  for entry, value in values.items()}, bodies, [values[head] for head in heads])


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


# ---- data

class Data:
    """A graph's inputs.

    Parameters
    ----------
    graph : Graph
    types : dict
        Types of inputs by name.
    more : int
        How much larger than necessary axes are.

    Attributes
    ----------
    shapes : dict of str to tuple
        Shapes of inputs; equal names mean one axis.
    sample : dict of str to Tensor
        Random data of some sizes that all differ.
    """

    def __init__(self, graph: Graph, types: Mapping[str, Any], more: int = 0) -> None:
        self._graph, self._types, self._more = graph, types, more
        self._axes: dict[str, Axis] = {}
        self._numbers: dict[Axis, int] = {}
        self.shapes: dict[str, Shape] = {}
        self.sample: Sample = {}

    def draw(self, shapes: Named, told: Mapping[str, int] = MappingProxyType({})) -> None:
        """Draw data for more inputs; the sizes of some axes may be `told`."""
        for size in itertools.chain(*shapes.values()):
            if isinstance(size, str) and size not in self._axes:
                self._axes[size], at = Axis(label=size), len(self._axes)
                self._numbers[self._axes[size]] = told.get(
                    size, 4 + at % 2 * 7 + at // 2 * 2 + self._more * (size != 'batch'))
        self.shapes.update((name, tuple([
            size if isinstance(size, int) else self._axes[size] for size in shape]))
            for name, shape in shapes.items())
        self.sample.update(drawn(self._graph, {
            name: self._sizes(self.shapes[name]) for name in shapes}, self._types))

    def _sizes(self, shape: Shape) -> list[int]:
        return [number_for(size, self._numbers) for size in shape]

    def find_labels(self, facts: Facts, missing: Sequence[str]) -> None:
        """Add labels of losses whose shapes were not given: shapes that fit the predictions."""
        for node in self._graph.nodes:
            for entry in node.inputs_of('label'):
                part = self._graph.ending_in([entry])
                names = [name for name in part.arguments if name in missing]
                if len(names) != 1 or names[0] in self.shapes:
                    continue
                data = facts.arrays[node.inputs[0]].shape
                shape = next((shape for shape in self._candidates(data, node, len(part.nodes) > 1)
                              if self._fits(node, part, {names[0]: shape}, data)), None)
                if shape is not None:
                    self.shapes[names[0]] = shape
                    self.sample[names[0]] = torch.zeros(self._sizes(shape))

    def _candidates(self, data: Shape, node: Node, reshaped: bool) -> list[Shape]:
        """Possible shapes of a label for a loss of `data`, the most usual first."""
        inputs = list(self.shapes.values())
        pairs = [shape[:2] for shape in inputs if len(shape) > 1]
        if node.op == 'WarpCTC':
            return [(*shape[:1], node.label_length) for shape in inputs]
        several: list[Shape] = [(shape[0], part) for shape in pairs for part in [
            divide(data[0], shape[0])] if isinstance(part, int)]
        found = [*(pairs + several if reshaped else []), data[:-1], *pairs, data[:1],
                 *[shape[:1] for shape in inputs], data[:1] + data[2:], data,
                 *[shape[::-1] for shape in pairs], *several]
        return [shape for shape in found if shape]

    def _fits(self, node: Node, part: Graph, label: Mapping[str, Shape], data: Shape) -> bool:
        """Whether a loss' label has as many elements as the loss reads."""
        table = infer(part, variables_of(part, {**self.shapes, **label}))
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
        found = Found({}, [], {}, {}, {})
        try:
            if missing:
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
    sizes = {**found.cut, **found.taken}
    if not sizes and not found.shares:
        return None
    for least in (False, True):
        shapes = {name: list(shape) for name, shape in found.shapes.items()}
        told = {str(shapes[name][axis]): size for (name, axis), size in found.shares.items()}
        notes = list(found.notes)
        for (name, axis), each in sizes.items():
            if len(each) == 1 or least:
                shapes[name][axis] = each[0]
            else:
                told[str(shapes[name][axis])] = each[-1]
                notes.append('%s may have %d to %d elements along axis %d' % (
                    name, each[0], each[-1], axis))
        with contextlib.suppress(ExportError):
            return _surveyed(graph, model, {**own, **shapes}, types, notes, told)._replace(
                limits=found.cut)
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
