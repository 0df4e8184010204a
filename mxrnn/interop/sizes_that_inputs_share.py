"""Sizes of inputs that a file must check: MXNet refuses unequal ones, others would repeat rows."""
from __future__ import annotations

import itertools
from typing import Any, Mapping, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.shapes.infer import infer, variables_of

__all__ = ['guarded']

#: Sizes for axes of any size, so large that they do not occur elsewhere in a graph.
_PRIMES = 101, 103, 107, 109, 113, 127, 131, 137, 139, 149


def guarded(graph: Graph, params: Mapping[str, np.ndarray],
            inputs: Mapping[str, Sequence[int | str]]) -> dict[str, list[int]]:
    """The axes of inputs that must have the size of an earlier input's axis of the same name.

    An axis is not in it if the MXNet graph takes a size of 1 in one of the two inputs.
    """
    places = {node.name: place for place, node in enumerate(graph.nodes) if node.is_variable}
    first: dict[Any, tuple[str, int]] = {}
    later: dict[str, list[int]] = {}
    for name in sorted(inputs.keys() & places.keys(), key=places.__getitem__):
        for axis, size in enumerate(inputs[name]):
            if first.setdefault(size, (name, axis))[0] != name and isinstance(size, str):
                later.setdefault(name, []).append(axis)
    if not later:
        return {}
    numbers: dict[Any, int] = dict(zip([size for size in first if isinstance(size, str)],
                                       itertools.cycle(_PRIMES)))

    def fits(*at: Any) -> bool:
        """Whether the graph takes an array in which only the axis `at` has size 1."""
        shapes = {**{name: array.shape for name, array in params.items()}, **{
            name: [1 if (name, axis) == at else int(numbers.get(size, size))
                   for axis, size in enumerate(shape)] for name, shape in inputs.items()}}
        return not infer(graph, variables_of(graph, shapes)).faults
    if not fits():
        return {}
    refused = {at: not fits(*at) for at in first.values() if isinstance(inputs[at[0]][at[1]], str)}
    found = {name: [axis for axis in axes if refused[first[inputs[name][axis]]]
                    and not fits(name, axis)] for name, axes in later.items()}
    return {name: axes for name, axes in found.items() if axes}
