"""Sizes that a graph leaves open, such as the batch of its begin states.

MXNet infers them forwards and backwards through all operators. Here axes are followed forwards, by
`_graph/shapes`: inputs that must agree bind open axes to others. Operators of programs have no
rule there. They run on torch's 'meta' device, which has shapes and no elements: once as they are,
and once with each axis twice as long.
"""
from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from typing import Iterable, List, Mapping, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Graph
from ..._graph.shapes.axes import Axes, Factors, UnknownAxes, agree, open_axes
from ..._graph.shapes.equal import SizeError
from ..._graph.shapes.rules import axes_of
from ..._graph.shapes.sizes import Axis, Source, Sum, axes_in, number_for, parts, product, resolve
from . import DTYPES, Device
from .schedule import Creation, Loop, Schedule, Sources, Step, loop_of

__all__ = ['Runner']


class _Array(NamedTuple):
    axes: Axes
    dtype: torch.dtype


_Found = List[Optional[_Array]]


class Runner:
    """Runs a graph, and finds out where to read the sizes that it leaves open.

    The first call with each set of inputs decides, which of their axes are repeated along others
    (those of length 1) among the rest; later calls read sizes at the same places.

    Attributes
    ----------
    schedule : Schedule
    """

    def __init__(self, graph: Graph) -> None:
        self.schedule = Schedule(graph)
        #: The inputs of the calls in which sizes were looked for.
        self._searched: set[frozenset[str]] = set()
        self._unknown = 0 if self.schedule.faults else self.schedule.num_open

    def __call__(self, variables: Mapping[str, Tensor], inputs: Iterable[str], training: bool,
                 device: Device) -> list[Tensor]:
        """The outputs; `inputs` are the variables that this call was given."""
        if self._unknown and not torch.compiler.is_compiling():
            self._find_sizes(variables, frozenset(inputs) - self.schedule.labels)
        return self.schedule.run(variables, training, device)

    def _find_sizes(self, variables: Mapping[str, Tensor], inputs: frozenset[str]) -> None:
        if inputs not in self._searched:
            self._searched.add(inputs)
            sources = _find_sources(self.schedule, variables, inputs)
            self.schedule.settle(sources)
            self._unknown = self.schedule.num_open - sum(map(len, sources.values()))


def _find_sources(schedule: Schedule, variables: Mapping[str, Tensor], inputs: frozenset[str]
                  ) -> Sources:
    """Where each open size of `schedule` can be read: for `Schedule.settle`.

    `variables` are the values of the graph's variables; those in `inputs` may have other sizes in
    another call, which has all of them.
    """
    search = _Search(schedule)
    found: dict[str, _Array | None] = {}
    for name, place in schedule.variables.items():
        value = variables.get(name)
        if value is not None:
            found[name] = _Array(search.input(place, value.shape) if name in inputs else
                                 [(size,) for size in value.shape], value.dtype)
    search.follow(schedule, found)
    return search.sources()


class _Search:
    """Follows axes through a graph, and through the bodies of its loops."""

    def __init__(self, schedule: Schedule) -> None:
        #: The axes of inputs, and how long they are in this call.
        self.lengths: dict[Axis, int] = {}
        #: Numbers that stand for other axes where an operator is tried.
        self._probes: defaultdict[Axis, int] = defaultdict(itertools.count(101, 6).__next__)
        #: The open sizes, by the place and the axis of the array that has them.
        self.opened = {(place, axis): Axis() for place, creation in schedule.creations().items()
                       for axis in creation.open}

    def input(self, place: int, shape: Sequence[int]) -> Axes:
        """The axes of an input, which can be read at `place`."""
        axes = [Axis(Source(place, at, None)) for at in range(len(shape))]
        self.lengths.update(zip(axes, shape))
        return [(axis,) for axis in axes]

    def sources(self) -> Sources:
        """Where to read those of the open sizes that were found."""
        found: Sources = {}
        for (place, axis), size in self.opened.items():
            factor, axes = parts(size)
            sources = [each.source for each in axes if isinstance(each, Axis) and each.source]
            if len(sources) == len(axes):
                found.setdefault(place, {})[axis] = factor, tuple(
                    (int(source.array), source.axis) for source in sources)
        return found

    def follow(self, schedule: Schedule, variables: Mapping[str, _Array | None],
               inside: bool = False) -> _Found:
        """The axes of the outputs; `inside` a loop, whose sizes cannot be read outside."""
        arrays: _Found = [None] * schedule.size
        # Sizes at these places can be read before any array with open sizes is made.
        early = [not inside] * schedule.size
        for name, place in schedule.variables.items():
            arrays[place] = variables.get(name)
        for step in schedule.steps:
            if not inside and all(isinstance(each, Axis) and each.source for size in
                                  self.opened.values() for each in parts(size)[1]):
                break
            first = not (isinstance(step.run, Creation) and step.run.open) and all(
                early[place] for place in step.inputs)
            results = self._results(step, [arrays[place] for place in step.inputs])
            for number, place in step.outputs:
                early[place] = first
                arrays[place] = array = results[number] if number < len(results) else None
                for at, axis in enumerate(array.axes) if array and first else ():
                    new = resolve(product(axis))
                    if isinstance(new, Sum) and array:  # which is read here
                        new = Axis()
                        array.axes[at] = (new,)
                    if isinstance(new, Axis) and not new.source:
                        new.source = Source(place, at, None)
        return [arrays[place] for place in schedule.heads]

    def _results(self, step: Step, inputs: _Found) -> _Found:
        node = step.node
        if isinstance(step.run, Creation):
            made = step.run.run([max(size, 1) for size in step.run.shape], 'meta')
            place = step.outputs[0][1]
            return [_Array([(self.opened.get((place, axis), size),)
                            for axis, size in enumerate(made.shape)], made.dtype)]
        if node.op == '_foreach':
            return self._loop(loop_of(step), inputs)
        known = [array for array in inputs if array is not None]
        if len(known) < len(inputs):
            return []
        axes = [array.axes for array in known]
        if node.op.startswith('broadcast_') or node.op == 'where':
            axes = [self._repeated(each, axes) for each in axes]
        if node.op == 'RNN':  # it may read its weights one by one
            states = (2 if node.mode == 'lstm' else 1) + node.use_sequence_length
            axes = [axes[0], [], *axes[-states:]]
        try:
            found = axes_of(node, axes)
        except (UnknownAxes, SizeError, IndexError):
            return list(self._tried(step, known))
        reals = [array.dtype for array in known if array.dtype.is_floating_point]
        dtype = DTYPES.get(str(getattr(node, 'dtype', ''))) or [*reals, known[0].dtype][0]
        return [_Array(each, dtype) for each in found]

    def _repeated(self, axes: Axes, inputs: Sequence[Axes]) -> Axes:
        """The axes of an input, without size where this call repeats them along another's."""
        return [() if self._length(axis) == 1 and any(
            len(other) >= at and self._length(other[-at]) > 1 for other in inputs) else axis
            for at, axis in zip(range(len(axes), 0, -1), axes)]

    def _length(self, axis: Factors) -> int:
        """How long an axis is in this call; 0 if that is not known."""
        size = product(axis)
        return 0 if axes_in(size) - self.lengths.keys() else number_for(size, self.lengths)

    def _loop(self, loop: Loop, inputs: _Found) -> _Found:
        sequences, states, others = loop.split(inputs)
        rows = [array and array._replace(axes=array.axes[1:]) for array in sequences]
        heads = self.follow(loop.body, loop.step(rows, states, others), inside=True)
        for before, after in zip(states, heads[loop.outputs:]):
            for pair in zip(before.axes, after.axes) if before and after else ():
                with contextlib.suppress(SizeError):
                    agree(*pair)
        steps = sequences[0].axes[:1] if sequences[0] else None
        return [array._replace(axes=steps + array.axes) if array and steps else None
                for array in heads[:loop.outputs]] + list(states)

    def _tried(self, step: Step, inputs: Sequence[_Array]) -> list[_Array]:
        """The outputs, by how they change where an axis of the inputs is longer."""
        longer = {axis: self._run(step, inputs, axis) for array in inputs
                  for axis in open_axes(array.axes)}

        def axis_of(size: int, at: int, place: int) -> Factors:
            sizes = {axis: made[at].shape[place] for axis, made in longer.items()
                     if made and made[at].dim() > place and made[at].shape[place] != size}
            factor, rest = divmod(size, self._number(tuple(sizes)) or 1)
            if rest or any(each != 2 * size for each in sizes.values()):
                return (Axis(),)
            return factor, *sizes
        return [_Array([axis_of(size, at, place) for place, size in enumerate(array.shape)],
                       array.dtype) for at, array in enumerate(self._run(step, inputs))]

    def _run(self, step: Step, inputs: Sequence[_Array], doubled: Axis | None = None
             ) -> list[Tensor]:
        """The outputs without elements; none if the operator does not take such inputs."""
        try:
            result = step.run[False](*[  # type: ignore[index]
                torch.empty([self._number(axis, doubled) for axis in array.axes],
                            dtype=array.dtype, device='meta') for array in inputs])
        except Exception:  # noqa: BLE001 -- any that an operator has for shapes or for no elements
            return []
        return [result] if isinstance(result, Tensor) else list(result)

    def _number(self, axis: Factors, doubled: Axis | None = None) -> int:
        size = product(axis)
        return number_for(size, {each: (1 + (each is doubled)) * (
            self.lengths.get(each) or self._probes[each]) for each in axes_in(size)})
