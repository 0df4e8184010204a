"""Graphs of sequences in steps, for all ways out; a refusal says what to do."""
from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np

from .._graph.graph import Graph
from .._graph.stepping import StateError, Stepped, with_states
from .registry import ExportError

__all__ = ['how_to_free', 'in_steps']


def how_to_free(graph: Graph) -> str:
    """What to do with a graph that `fuse` made for one number of steps; '' for others."""
    if not any(node.op == 'RNN' and '_fused_' in node.name for node in graph.nodes):
        return ''
    return ('mxrnn.fuse made the graph for its number of steps: build and save it without fuse '
            '(run --fuse), or with fuse(cell).unroll(None, ...); the weights stay the same')


def in_steps(graph: Graph, params: Mapping[str, np.ndarray],
             inputs: Mapping[str, Sequence[int | str]], notes: Sequence[str] = (),
             layers: bool = False) -> Stepped:
    """A graph in steps, as `with_states` makes it; `notes` are sentences on its shapes.

    Raises
    ------
    ExportError
        It uses several steps of a sequence at once.
    """
    try:
        return with_states(graph, inputs, {name: np.shape(array) for name, array in params.items()},
                           layers)
    except StateError as error:
        cure = how_to_free(graph) if 'number of steps' in str(error) else ''
        raise ExportError('\n'.join(filter(None, dict.fromkeys([
            str(error), *notes, cure])))) from None
