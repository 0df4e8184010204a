"""Sizes that a graph leaves open, such as the batch of its begin states.

MXNet infers them forwards and backwards through all operators. Here shapes are followed forwards:
each size of an input, and each open one, is an axis of `_graph/sizes.py`, and operators whose
inputs must agree bind open axes to others. How an operator's outputs depend on its inputs is seen
by running it on torch's 'meta' device, which has shapes and no elements: once as it is, and once
with each axis twice as long. So no two sizes are mistaken for each other because they are equal.
"""
from __future__ import annotations

import itertools
import math
from typing import Iterable, Mapping, NamedTuple, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Graph, Node
from ..._graph.sizes import Axis, Size, SizeError, Source, parts, product, resolve, unify
from ..registry import TORCH
from . import Device
from .schedule import Creation, Loop, Schedule, Sources, Step, loop_of

__all__ = ['Runner']


class Runner:
    """Runs a graph, and finds out where to read the sizes that it leaves open.

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


class _Array(NamedTuple):
    dtype: torch.dtype
    shape: tuple[Size, ...]


def _find_sources(schedule: Schedule, variables: Mapping[str, Tensor], inputs: frozenset[str]
                  ) -> Sources:
    """Where each open size of `schedule` can be read: for `Schedule.settle`.

    `variables` are the values of the graph's variables; those in `inputs` may have other sizes in
    another call, which has all of them.
    """
    search = _Search(schedule)
    arrays = {}
    for name, place in schedule.variables.items():
        value = variables.get(name)
        if value is None:
            continue
        sources = [Source(place, i, None) for i in range(value.dim())] if name in inputs else []
        arrays[name] = _Array(value.dtype, tuple(
            search.axis(size, sources[i]) if sources else size
            for i, size in enumerate(value.shape)))
    search.follow(schedule, arrays)
    return search.sources()


class _Search:
    """Follows shapes through a graph, and through the bodies of its loops."""

    def __init__(self, schedule: Schedule) -> None:
        #: The number that stands for each axis.
        self.numbers: dict[Axis, int] = {}
        probes = itertools.count(101, 6)
        #: The open sizes, by the place and the axis of the array that has them.
        self.opened = {(place, axis): self.axis(next(probes))
                       for place, creation in schedule.creations().items()
                       for axis in creation.open}

    def axis(self, number: int, source: Source | None = None) -> Axis:
        axis = Axis(source)
        self.numbers[axis] = number
        return axis

    def sources(self) -> Sources:
        """Where to read those of the open sizes that were found."""
        found: Sources = {}
        for (place, axis), size in self.opened.items():
            factor, axes = parts(size)
            if all(each.source for each in axes):
                found.setdefault(place, {})[axis] = factor, tuple(
                    (int(each.source.array), each.source.axis) for each in axes if each.source)
        return found

    def follow(self, schedule: Schedule, variables: Mapping[str, _Array | None],
               inside: bool = False) -> list[_Array | None]:
        """The shapes of the outputs; `inside` a loop, whose sizes cannot be read outside."""
        arrays: list[_Array | None] = [None] * schedule.size
        # Sizes at these places can be read before any array with open sizes is made.
        early = [not inside] * schedule.size
        for name, place in schedule.variables.items():
            arrays[place] = variables.get(name)
        for step in schedule.steps:
            if not inside and all(each.source for size in self.opened.values()
                                  for each in parts(size)[1]):
                break
            inputs = [arrays[place] for place in step.inputs]
            first = not (isinstance(step.run, Creation) and step.run.open) and all(
                early[place] for place in step.inputs)
            results = self._results(step, inputs, first)
            for number, place in step.outputs:
                early[place] = first
                arrays[place] = results[number] if results else None
        return [arrays[place] for place in schedule.heads]

    def _results(self, step: Step, inputs: Sequence[_Array | None], early: bool
                 ) -> list[_Array | None]:
        if isinstance(step.run, Creation):
            made = step.run.run([max(size, 1) for size in step.run.shape], 'meta')
            place = step.outputs[0][1]
            return [_Array(made.dtype, tuple(self.opened.get((place, axis), size)
                                             for axis, size in enumerate(made.shape)))]
        known = [array for array in inputs if array is not None]
        if step.node.op == '_foreach':
            return self._loop(loop_of(step), inputs)
        self._agree(step, known)
        return self._outputs(step, known, early) if len(known) == len(inputs) else []

    def _loop(self, loop: Loop, inputs: Sequence[_Array | None]) -> list[_Array | None]:
        sequences, states, others = loop.split(inputs)
        rows = [array and array._replace(shape=array.shape[1:]) for array in sequences]
        heads = self.follow(loop.body, loop.step(rows, states, others), inside=True)
        for before, after in zip(states, heads[loop.outputs:]):
            if before and after and len(before.shape) == len(after.shape):
                for pair in zip(before.shape, after.shape):
                    self._unify(*pair)
        steps = sequences[0].shape[:1] if sequences[0] else None
        return [array._replace(shape=steps + array.shape) if array and steps else None
                for array in heads[:loop.outputs]] + list(states)

    def _agree(self, step: Step, arrays: Sequence[_Array]) -> None:
        """Bind sizes that the operator needs to be equal."""
        node = step.node
        operator = TORCH.get(node.op)
        broadcast = node.op.startswith('broadcast_') or node.op == 'where'
        if not broadcast and not (operator and operator.equal_shapes):
            return
        joined = node.dim if node.op in ('Concat', '_rnn_param_concat') else None
        for one, other in itertools.combinations(arrays, 2):
            if len(one.shape) != len(other.shape):
                continue
            for axis, pair in enumerate(zip(one.shape, other.shape)):
                rank = len(one.shape)
                different = joined in (axis, axis - rank) or (
                    node.op == 'RNN' and (rank, axis) != (3, 1))  # weights have two axes
                if not different and not (broadcast and 1 in pair):
                    self._unify(*pair)

    def _unify(self, one: Size, other: Size) -> None:
        try:
            unify(one, other)
        except SizeError:
            return  # the operator says it better when it runs
        pair = resolve(one), resolve(other)
        if isinstance(pair[0], Axis) and isinstance(pair[1], Axis) and pair[0] is not pair[1] and (
                self.numbers[pair[0]] == self.numbers[pair[1]]):
            pair[1].bound = pair[0]

    def _outputs(self, step: Step, inputs: Sequence[_Array], early: bool) -> list[_Array | None]:
        stated = _stated(step.node, inputs)
        if stated:
            return stated
        base = self._run(step, inputs, ())
        axes = list(dict.fromkeys(axis for array in inputs for size in array.shape
                                  for axis in parts(size)[1]))
        longer = {axis: self._run(step, inputs, (axis,)) for axis in axes}
        for one, other in itertools.combinations(axes, 2):
            if self.numbers[one] == self.numbers[other] and not one.bound and not other.bound:
                both = self._run(step, inputs, (one, other))
                if _are_one(base, longer[one], longer[other], both):
                    self._unify(one, other)
                    kept, = parts(one)[1]
                    longer = {axis: each for axis, each in longer.items() if not axis.bound}
                    longer[kept] = both
        results: list[_Array | None] = []
        places = dict(step.outputs)
        for at, array in enumerate(base):
            shape: list[Size] = []
            for axis, number in enumerate(array.shape):
                changed = {each: arrays[at].shape[axis] for each, arrays in longer.items()
                           if arrays and arrays[at].dim() == array.dim()
                           and arrays[at].shape[axis] != number}
                factor, rest = divmod(number, math.prod(map(self._number, changed)) or 1)
                if not rest and all(each == 2 * number for each in changed.values()):
                    shape.append(product(changed, factor))
                elif early and at in places and all(each.source for each in changed):
                    shape.append(self.axis(number, Source(places[at], axis, None)))
            known = len(shape) == array.dim()
            results.append(_Array(array.dtype, tuple(shape)) if known else None)
        return results

    def _number(self, size: Size, doubled: Sequence[Axis] = ()) -> int:
        factor, axes = parts(size)
        return factor * math.prod(self.numbers[axis] * (1 + (axis in doubled)) for axis in axes)

    def _run(self, step: Step, inputs: Sequence[_Array], doubled: Sequence[Axis]) -> list[Tensor]:
        """The outputs without elements; none if the operator does not take such inputs."""
        try:
            result = step.run[False](*[  # type: ignore[index]
                torch.empty([self._number(size, doubled) for size in array.shape],
                            dtype=array.dtype, device='meta') for array in inputs])
        except Exception:  # noqa: BLE001 -- any that an operator has for shapes or for no elements
            return []
        return [result] if isinstance(result, Tensor) else list(result)


def _are_one(base: list[Tensor], first: list[Tensor], second: list[Tensor], both: list[Tensor]
             ) -> bool:
    """Whether two axes are one, by the outputs as they are and with one or both axes longer.

    They are if they can only become longer together, or if neither makes more of the other: where
    both are 1, each alone is broadcast.
    """
    if not both or bool(first) != bool(second):
        return False
    shapes = [[array.shape for array in each] for each in (base, first, second, both)]
    return not first or shapes[0] != shapes[1] == shapes[2] == shapes[3]


def _stated(node: Node, inputs: Sequence[_Array]) -> list[_Array | None]:
    """The outputs of operators that torch runs slowly without elements, and that state them."""
    data = inputs[0]
    if node.op == 'FullyConnected':
        rows = data.shape[:1] if node.flatten else data.shape[:-1]
        return [data._replace(shape=(*rows, node.num_hidden))]
    if node.op == 'RNN':
        units = node.state_size * (2 if node.bidirectional else 1)
        states = inputs[-2 if node.mode == 'lstm' else -1:]
        return [data._replace(shape=(*data.shape[:2], units)), *states]
    return []
