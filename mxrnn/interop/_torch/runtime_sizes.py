"""Sizes that a graph leaves open, such as the batch of its begin states.

Such sizes are read from arrays that are computed earlier: inputs, and arrays computed only from
inputs.
"""
from __future__ import annotations

from typing import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Entry, Graph
from ..._graph.shapes.axis_factors import Axes
from ..._graph.shapes.infer import Table, infer
from ..._graph.shapes.sizes import Axis, Size, Source, parts, product, same
from .._source.torch_operators import Device
from .graph_runner import Schedule, Sources

__all__ = ['Runner']


class Runner:
    """Runs a graph, and finds out where to read its open sizes.

    The first call with each set of inputs decides which input axes of length 1 are repeated along
    others. Later calls read the sizes at the same places.

    Attributes
    ----------
    schedule : Schedule
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.schedule = Schedule(graph)
        #: The inputs of the calls in which sizes were searched.
        self._searched: set[frozenset[str]] = set()

    def __call__(self, variables: Mapping[str, Tensor], inputs: Iterable[str], training: bool,
                 device: Device) -> list[Tensor]:
        """The outputs; `inputs` are the variables that this call received."""
        if not self.schedule.settled and not torch.compiler.is_compiling():
            self._find_sizes(variables, frozenset(inputs) - self.schedule.labels, device)
        return self.schedule.run(variables, training, device)

    def _find_sizes(self, variables: Mapping[str, Tensor], inputs: frozenset[str],
                    device: Device) -> None:
        if inputs not in self._searched:
            self._searched.add(inputs)
            self.schedule.settle(self._sources(variables, inputs, device))

    def _sources(self, variables: Mapping[str, Tensor], inputs: frozenset[str], device: Device
                 ) -> Sources:
        """Where each open size can be read: for `Schedule.settle`.

        `variables` are the values of the graph's variables. Those in `inputs` may have other sizes
        in a later call with the same inputs.
        """
        schedule = self.schedule
        known: dict[str, Sequence[int | Axis]] = {}
        for node in self._graph.nodes:
            value = variables.get(node.name) if node.is_variable else None
            if value is not None:
                known[node.name] = _of_input(schedule.variables[node.name], value) if (
                    node.name in inputs) else value.shape
        ranks: dict[int, int] = {}

        def unknown(entry: Entry) -> Axes:
            if not ranks:
                ranks.update(schedule.ranks(variables, device))
            return [(Axis(),) for _ in range(ranks.get(schedule.places.get(entry, -1), 0))]
        table = infer(self._graph, known, unknown)
        read = self._read(table)
        places = {place: entry for entry, place in schedule.places.items()}
        found: Sources = {}
        for place, creation in schedule.creations().items():
            axes = table.axes.get(places[place], [])
            for at in creation.open if axes else ():
                factor, sizes = parts(product(axes[at]))
                sources = [_where_to_read(size, read) for size in sizes]
                if None not in sources:
                    found.setdefault(place, {})[at] = factor, tuple(filter(None, sources))
        return found

    def _read(self, table: Table) -> dict[tuple[int, int], Size]:
        """The sizes of arrays that exist before any array with open sizes is made."""
        schedule = self.schedule
        found: dict[tuple[int, int], Size] = {}
        places = {place: entry for entry, place in schedule.places.items()}
        late = set(schedule.creations())
        for step in schedule.steps:
            outputs = [place for _, place in step.outputs]
            if not late.isdisjoint(step.inputs):
                late.update(outputs)
            for place in outputs:
                if place not in late:
                    found.update({(place, at): product(axis) for at, axis in enumerate(
                        table.axes.get(places[place], []))})
        return found


def _of_input(place: int, value: Tensor) -> list[Axis]:
    """The axes of an input that is stored at `place`."""
    return [Axis(Source(place, at, None), given=size) for at, size in enumerate(value.shape)]


def _where_to_read(size: Size, read: Mapping[tuple[int, int], Size]) -> tuple[int, int] | None:
    """The place and the axis where a size can be read, or None."""
    if isinstance(size, Axis) and size.source:
        return int(size.source.array), size.source.axis
    return next((place for place, each in read.items() if same(each, size)), None)
