"""Finds the shapes of labels that were not given."""
from __future__ import annotations

from typing import Mapping, Sequence

import torch

from ..._graph.graph import Graph, Node
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.shapes.sizes import axes_in, divide, product
from .emitter_api import Facts, Shape
from .sample_data import Data

__all__ = ['find_labels']


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
