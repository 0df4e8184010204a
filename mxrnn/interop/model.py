"""A model: graph and weights, as a checkpoint has them."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .graph import Graph

__all__ = ['Model']


class Model(NamedTuple):
    """A graph with the values of its parameters.

    Attributes
    ----------
    graph : Graph
    arg_params, aux_params : dict of str to numpy.ndarray
        Values of arguments and of auxiliary states, under the names that the graph has for them.
    """

    graph: Graph
    arg_params: dict[str, np.ndarray]
    aux_params: dict[str, np.ndarray]

    @property
    def inputs(self) -> list[str]:
        """The arguments of the graph without a value: data, labels, begin states."""
        return [name for name in self.graph.arguments if name not in self.arg_params]
