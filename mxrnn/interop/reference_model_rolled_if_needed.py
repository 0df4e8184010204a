"""The model that an exported file is compared with; its steps are rolled up if the data need it."""
from __future__ import annotations

import contextlib

import numpy as np

from .._graph.graph import Entry
from .._graph.rolling import bounds, stated_steps
from .._graph.shapes.axis_factors import number_of
from .._graph.shapes.infer import infer, variables_of
from .model import Model
from .model_runners import Data, Run, Runner
from .roll_without_steps import roll_once

__all__ = ['ReferenceModel']


class ReferenceModel:
    """A model in MXNet or torch; its steps are rolled up if the data need it.

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
        self._lengths = None if length is None else [length]
        self._stated = stated_steps(model.graph)
        self._runs: dict[int | None, Run] = {}

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
        try:
            return False, self.as_is(data)
        except ValueError as error:
            try:
                return True, self.rolled(data)
            except ValueError:
                raise error from None

    def as_is(self, data: Data) -> list[np.ndarray]:
        """The outputs of the graph that is not rolled up.

        Raises
        ------
        ValueError
            The graph does not take the data, or a Reshape in it would make other sequences of them.
        """
        graph, params = self.model.graph, {**self.model.arg_params, **self.model.aux_params}
        axes = infer(graph, variables_of(graph, {
            name: array.shape for name, array in {**params, **data}.items()})
        ).axes if self._stated else {}
        for place, stated in self._stated.items():
            steps = number_of(next(iter(axes.get(Entry(place, 0), [])), ()))
            if steps not in (stated, None):
                raise ValueError('a Reshape has %d steps, and the data have %d' % (stated, steps))
        return self._run_of(None)(data)

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
                return self._run_of(length)(data)
        return self._run_of(last)(data)

    def _run_of(self, length: int | None) -> Run:
        if length not in self._runs:
            self._runs[length] = self._make(length)
        return self._runs[length]
