"""The model that an exported file is compared with."""
from __future__ import annotations

import numpy as np

from .._graph.graph import Graph
from .._graph.rolling import structure
from .model import Model
from .model_runners import Data, Runner

__all__ = ['Reference']


class Reference:
    """A model in MXNet or torch: its own graph, and one of any length for other data.

    Parameters
    ----------
    model : Model
    free : Graph
        The graph for other sizes than those that the model's graph was unrolled for.
    name : str
        The library's name.
    runner : Runner
    """

    def __init__(self, model: Model, free: Graph, name: str, runner: Runner) -> None:
        self.model, self.name = model, name
        self._free, self._runner = free, runner
        self._own_run, self._free_run = runner(model, model.graph), runner(model, free)

    def of(self, model: Model) -> Reference:
        """Another model in the same library."""
        return Reference(model, structure(model.graph).graph, self.name, self._runner)

    def with_weights_of(self, model: Model) -> Reference:
        """The same graphs with other weights."""
        return Reference(model, self._free, self.name, self._runner)

    def outputs(self, data: Data, own: bool) -> list[np.ndarray]:
        """The outputs of the model's `own` graph, or of the one for other sizes.

        Raises
        ------
        ValueError
            The graph does not take the data.
        """
        return (self._own_run if own else self._free_run)(data)
