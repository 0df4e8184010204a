"""Sizes that a graph leaves open, such as the batch of its begin states.

MXNet infers them forwards and backwards through all operators. Here the graph is run once on
torch's 'meta' device, which has shapes and no elements. Each open size gets a number of its own,
that no real size has; where it meets another size that it must equal, that one is what it is. What
is noted is not the number but where to read it, so that it holds for every batch.
"""
from __future__ import annotations

import itertools
from typing import Any, Sequence

from torch import Tensor

from .schedule import Creation, Loop, Schedule, Step
from .table import OPERATORS

__all__ = ['find_sources']

#: The number of the first open size; real sizes are smaller.
FIRST = 100_000_007

#: Operators whose inputs are broadcast: a size of 1 then says nothing about another.
_BROADCAST = ('where',)
_JOINS = {'Concat': 1, '_rnn_param_concat': 1}


class _Found(Exception):
    """The open size `number` is `size`, which input `at` has along `axis`."""

    def __init__(self, number: int, size: int, at: int, axis: int) -> None:
        self.number, self.size, self.at, self.axis = number, size, at, axis


def find_sources(schedule: Schedule, variables: dict[str, Any]
                 ) -> dict[int, dict[int, tuple[int, int]]]:
    """Where each open size of `schedule` can be read: for `Schedule.settle`.

    `variables` are the values of the graph's variables.
    """
    return _Search(schedule, variables).sources


class _Search:
    def __init__(self, schedule: Schedule, variables: dict[str, Any]) -> None:
        self.steps = schedule.steps
        self.values: list[Any] = [None] * schedule.size
        for name, place in schedule.variables.items():
            value = variables.get(name)
            self.values[place] = None if value is None else value.detach().to('meta')
        #: The open sizes that the shape or the value at a place depends on.
        self.depends: list[set[int]] = [set() for _ in range(schedule.size)]
        numbers = itertools.count(FIRST)
        #: By the number of an open size: the step that has it, the axis there, and the size.
        self.where: dict[int, tuple[Step, int]] = {}
        self.size: dict[int, int] = {}
        for step in schedule.creations:
            for axis in step.run.open:  # type: ignore[union-attr]
                number = next(numbers)
                self.where[number], self.size[number] = (step, axis), number
        self.sources: dict[int, dict[int, tuple[int, int]]] = {}
        self._search()

    def _search(self) -> None:
        current = [False] * len(self.steps)
        at = 0
        while at < len(self.steps):
            if current[at]:
                at += 1
                continue
            step = self.steps[at]
            try:
                self._execute(step)
            except _Found as found:
                changed = self._note(step, found)
                if changed:
                    for i, other in enumerate(self.steps[:at]):
                        if self.depends[other.output] & changed:
                            current[i] = False
                    at = current.index(False)
                    continue
                self._forget(step)
            current[at] = True
            at += 1

    def _note(self, step: Step, found: _Found) -> set[int]:
        """Note where an open size is read; the numbers of those that have it, if it can be."""
        place = step.inputs[found.at]
        maker, axis = self.where[found.number]
        if found.number in self.depends[place]:
            return set()  # the source would wait for what waits for it
        self.sources.setdefault(maker.output, {})[axis] = (place, found.axis)
        same = {number for number, size in self.size.items() if size == found.number}
        for number in same:
            self.size[number] = found.size
            # What depends on the one depends on whatever its source does.
            self.depends[self.where[number][0].output] |= self.depends[place]
        return same

    def _forget(self, step: Step) -> None:
        self.values[step.output] = None

    def _execute(self, step: Step) -> None:
        if isinstance(step.run, Creation):
            sizes = [max(size, 1) for size in step.run.shape]
            for number, (maker, axis) in self.where.items():
                if maker.output == step.output:
                    sizes[axis] = self.size[number]
                    self.depends[step.output].add(number)
            try:
                self.values[step.output] = step.run.run(sizes, 'meta')
            except RuntimeError:
                self._forget(step)
            return
        inputs = [self.values[place] for place in step.inputs]
        depends = set().union(*(self.depends[place] for place in step.inputs))
        if step.node.op == '_foreach':
            self._look_into(step, inputs)
        else:
            self._compare(step, inputs)
        if any(value is None for value in inputs):
            self._forget(step)
            return
        try:
            result = step.run[False](*inputs)
        except (RuntimeError, ValueError, IndexError, NotImplementedError):
            self._forget(step)  # shapes that follow from it stay unknown
            return
        results = [result] if isinstance(result, Tensor) else list(result)
        self.values[step.output:step.output + len(results)] = results
        for place in range(step.output, step.output + len(results)):
            self.depends[place] = depends

    def _compare(self, step: Step, inputs: Sequence[Any]) -> None:
        operator = OPERATORS.get(step.node.op)
        strict = operator is not None and operator.equal_shapes
        if not strict and not step.node.op.startswith('broadcast_') and (
                step.node.op not in _BROADCAST):
            return
        known = [(at, value.shape) for at, value in enumerate(inputs)
                 if isinstance(value, Tensor)]
        joined = step.node.get('dim', 1) if step.node.op in _JOINS else None
        for at, shape in known:
            for axis, size in enumerate(shape):
                if size < FIRST or size not in self.size or axis == joined:
                    continue
                for other, sizes in known:
                    if other != at and len(sizes) == len(shape) and sizes[axis] != size and (
                            strict or sizes[axis] != 1) and (
                            size not in self.depends[step.inputs[other]]):
                        raise _Found(size, sizes[axis], other, axis)

    def _look_into(self, step: Step, inputs: Sequence[Any]) -> None:
        """Find open sizes of a loop's states by one step of its body."""
        loop: Loop = step.run[False].__self__  # type: ignore[index, union-attr]
        sequences, states, others = loop.split(inputs)
        if any(sequence is None for sequence in sequences):
            return
        body = _Body(loop.body, loop.step([each[0] for each in sequences], states, others), self)
        for number, size in body.found:
            for at, sequence in enumerate(sequences):
                for axis in range(1, sequence.dim()):  # the batch comes first
                    if sequence.shape[axis] == size:
                        raise _Found(number, size, at, axis)


class _Body(_Search):
    """A search in the body of a loop, for open sizes of the graph around it."""

    def __init__(self, schedule: Schedule, variables: dict[str, Any], outer: _Search) -> None:
        self.found: list[tuple[int, int]] = []
        self._outer = outer
        super().__init__(schedule, variables)

    def _search(self) -> None:
        self.where, self.size = {}, dict(self._outer.size)
        for step in self.steps:
            try:
                self._execute(step)
            except _Found as found:
                self.found.append((found.number, found.size))
                return
