"""Sample data for a graph's inputs."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Graph
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.shapes.sizes import Axis, axes_in, number_for, product
from ..check.random_data import data_for
from ..prepare import Prepared
from ..prepare.facts import Shape
from ..prepare.losses import Losses

__all__ = ['FAULTS', 'Named', 'Sample', 'drawn', 'names_that_tell', 'sample_of']

#: One array for each input.
Sample = Dict[str, Tensor]
#: Shapes of inputs by name; names stand for axes of any size.
Named = Mapping[str, Sequence[Union[int, str]]]

#: What torch raises where shapes do not fit.
FAULTS = (RuntimeError, ValueError, IndexError)


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


def sample_of(plan: Prepared, losses: Losses) -> Sample:
    """Random data for the inputs and labels of a plan, of some sizes that all differ and that the
    graph takes. Labels whose shapes were found are zeros."""
    shapes = {name: losses.shapes[name] for name in [*plan.shapes, *losses.typed]}
    told = {str(plan.shapes[name][at]): sizes[0] for (name, at), sizes in plan.ranges.items()}
    numbers: dict[Axis, int] = {}
    sample: Sample = {}
    for names in (plan.shapes, losses.typed):
        places = {axis: at for at, axis in enumerate(dict.fromkeys(
            axis for name in names for size in shapes[name] for axis in axes_in(size)
            if axis not in numbers), len(numbers))}
        known = {name: shapes[name] for name in shapes if name in {*plan.shapes, *names}}
        for more in (0, 1, 16, 133):  # 12 and 144 can be split into pairs
            numbers.update((axis, told.get(
                axis.label, 4 + at % 2 * 7 + at // 2 * 2 + more * (axis.label != 'batch')))
                for axis, at in places.items())
            if not places or _fit(losses.plain, plan, known, numbers):
                break
        sample.update(drawn(losses.plain, {
            name: _sizes_of(shapes[name], numbers) for name in names}, plan.types))
    for name, shape in losses.shapes.items():
        if name not in sample:
            sample[name] = torch.zeros(_sizes_of(shape, numbers))
    return sample


def _fit(graph: Graph, plan: Prepared, shapes: Mapping[str, Shape], numbers: Mapping[Axis, int]
         ) -> bool:
    """Whether a graph takes inputs of these sizes."""
    table = infer(graph, variables_of(graph, {
        **{name: array.shape for name, array in plan.arrays.items()},
        **{name: _sizes_of(shape, numbers) for name, shape in shapes.items()}}))
    sizes = [product(axis) for axes in table.axes.values() for axis in axes]
    return not table.faults and all(size > 0 for size in sizes if isinstance(size, int))


def _sizes_of(shape: Shape, numbers: Mapping[Axis, int]) -> list[int]:
    """The sizes in the sample of an array that has this shape."""
    return [number_for(size, numbers) for size in shape]
