"""The model that an exported file is compared with; its steps are rolled up if the data need it."""
from __future__ import annotations

import contextlib

import numpy as np

from .._graph.rolling import bounds, stated_steps
from .model import Model
from .model_runners import Data, Run, Runner
from .roll_without_steps import roll_once

__all__ = ['ReferenceModel']


class ReferenceModel:
    """A model in MXNet, torch or onnxruntime; its steps are rolled up if the data need it.

    Parameters
    ----------
    model : Model
    name : str
        The library's name.
    runner : Runner
    length : int, optional
        The number that means the number of steps in Reshapes and bounds of lengths; 0 for none. If
        None, the number of steps that all recurrences share; if they share none, the first of 0 and
        of their numbers with which the graph takes the data.
    """

    def __init__(self, model: Model, name: str, runner: Runner, length: int | None = None) -> None:
        self.model, self.name, self.runner, self.length = model, name, runner, length
        self._make = runner(model)
        self.as_is = self._make(None)
        self._lengths = None if length is None else [length]
        self._stated = {length} & {*stated_steps(model.graph).values()}
        self._rolled: dict[int, Run] = {}

    def of(self, model: Model) -> ReferenceModel:
        """Another model in the same library."""
        return ReferenceModel(model, self.name, self.runner, self.length)

    def outputs(self, data: Data) -> tuple[bool, list[np.ndarray]]:
        """Whether the graph was rolled up for the data, and the outputs.

        Raises
        ------
        ValueError
            The graph does not take the data, rolled up or not.
        """
        sizes = [size for array in data.values() for size in array.shape]
        if self._stated and self._stated.isdisjoint(sizes):  # MXNet's Reshape would drop elements
            return True, self.rolled(data)
        try:
            return False, self.as_is(data)
        except ValueError as error:
            try:
                return True, self.rolled(data)
            except ValueError:
                raise error from None

    def rolled(self, data: Data) -> list[np.ndarray]:
        """The outputs of the rolled-up graph.

        Raises
        ------
        ValueError
            The graph does not take the data.
        """
        if self._lengths is None:
            numbers = bounds(self.model.graph).union(
                each.steps for each in roll_once(self.model.graph).findings)
            self._lengths = [*numbers] if len(numbers) == 1 else [0, *sorted(numbers - {0})]
        *others, last = self._lengths
        for length in others:
            with contextlib.suppress(ValueError):
                return self._rolled_for(length)(data)
        return self._rolled_for(last)(data)

    def _rolled_for(self, length: int) -> Run:
        if length not in self._rolled:
            self._rolled[length] = self._make(length)
        return self._rolled[length]
