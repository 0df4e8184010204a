"""Sample data for a graph's inputs, and the graph's outputs for them."""
from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Graph, Node
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.shapes.sizes import Axis, divide, number_for, product
from .._torch.module import GraphModule
from ..model import Model
from ..random_data import data_for
from .emitter_api import Facts, Shape

__all__ = ['FAULTS', 'Data', 'Named', 'Sample', 'as_list', 'drawn', 'module_of', 'names_that_tell',
           'run']

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
        torch.default_generator.manual_seed(0)  # of the CPU: others take longer
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
