"""Sample data for a graph's inputs."""
from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Graph
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.shapes.sizes import Axis, number_for, product
from ..check.random_data import data_for
from .emitter_api import Shape

__all__ = ['FAULTS', 'Data', 'Named', 'Sample', 'drawn', 'names_that_tell']

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


class Data:
    """A graph's inputs.

    Parameters
    ----------
    graph : Graph
    types : dict
        Types of inputs by name.
    weights : dict
        Shapes of the graph's arrays.

    Attributes
    ----------
    shapes : dict of str to tuple
        Shapes of inputs; equal names mean one axis.
    sample : dict of str to Tensor
        Random data of some sizes that all differ.
    """

    def __init__(self, graph: Graph, types: Mapping[str, Any], weights: Mapping[str, Shape]
                 ) -> None:
        self.graph, self.types, self._weights = graph, types, weights
        self._axes: dict[str, Axis] = {}
        self._numbers: dict[Axis, int] = {}
        self.shapes: dict[str, Shape] = {}
        self.sample: Sample = {}

    def draw(self, shapes: Named, told: Mapping[str, int] = MappingProxyType({})) -> None:
        """Draw data for more inputs, of sizes that the graph takes; some may be `told`."""
        own = dict.fromkeys(size for size in itertools.chain(*shapes.values())
                            if isinstance(size, str) and size not in self._axes)
        places = {size: at for at, size in enumerate(own, len(self._axes))}
        self._axes.update((size, Axis(label=size)) for size in own)
        self.shapes.update((name, tuple([
            size if isinstance(size, int) else self._axes[size] for size in shape]))
            for name, shape in shapes.items())
        for more in (0, 1, 16, 133):  # 12 and 144 can be split into pairs
            self._numbers.update((self._axes[size], told.get(
                size, 4 + at % 2 * 7 + at // 2 * 2 + more * (size != 'batch')))
                for size, at in places.items())
            if not own or self._fit():
                break
        self.sample.update(drawn(self.graph, {
            name: self.sizes_of(self.shapes[name]) for name in shapes}, self.types))

    def _fit(self) -> bool:
        """Whether the graph takes inputs of the sizes in the sample."""
        table = infer(self.graph, variables_of(self.graph, {**self._weights, **{
            name: self.sizes_of(shape) for name, shape in self.shapes.items()}}))
        sizes = [product(axis) for axes in table.axes.values() for axis in axes]
        return not table.faults and all(size > 0 for size in sizes if isinstance(size, int))

    def sizes_of(self, shape: Shape) -> list[int]:
        """The sizes in the sample of an array that has this shape."""
        return [number_for(size, self._numbers) for size in shape]
