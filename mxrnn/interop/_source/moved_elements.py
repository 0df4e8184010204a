"""Arrays that a graph makes by moving elements of others, in NumPy."""
from __future__ import annotations

import itertools
from typing import Any, Callable, Mapping

import numpy as np

from ..._graph.graph import Entry, Graph, Node
from ..._graph.shapes.infer import infer, variables_of
from ..._graph.shapes.sizes import product, resolve

__all__ = ['moved']


def _parts(node: Node, array: np.ndarray) -> list[np.ndarray]:
    """The parts of a SliceChannel."""
    parts = np.split(array, node.num_outputs, node.axis)
    return [np.squeeze(part, node.axis) for part in parts] if node.squeeze_axis else parts


#: By operator, what makes its output, or all of them.
_MOVES: dict[str, Callable[..., Any]] = {
    '_copy': lambda node, array: array,
    'zeros_like': lambda node, array: np.zeros_like(array),
    'transpose': lambda node, array: np.transpose(array, node.axes or None),
    'SwapAxis': lambda node, array: np.swapaxes(array, node.dim1, node.dim2),
    'stack': lambda node, *arrays: np.stack(arrays, node.axis),
    'Concat': lambda node, *arrays: np.concatenate(arrays, node.dim),
    '_rnn_param_concat': lambda node, *arrays: np.concatenate(arrays, node.dim),
    'slice_axis': lambda node, array: array[
        (slice(None),) * (node.axis % array.ndim) + (slice(node.begin, node.end),)],
    'slice': lambda node, array: array[tuple(itertools.starmap(
        slice, itertools.zip_longest(node.begin, node.end, node.step)))],
    'SliceChannel': _parts,
}


def moved(graph: Graph, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The output of a graph of operators in `MOVES`; `arrays` are its variables."""
    axes = infer(graph, variables_of(graph, {
        name: array.shape for name, array in arrays.items()})).axes
    values: dict[Entry, np.ndarray] = {}
    for place, node in enumerate(graph.nodes):
        given = [values[entry] for entry in node.needed_inputs]
        shape = [resolve(product(axis)) for axis in axes.get(Entry(place, 0), ())]
        if node.is_variable:
            made: Any = arrays[node.name]
        elif node.op in _MOVES:
            made = _MOVES[node.op](node, *given)
        else:  # zeros, or the same elements in another shape
            made = given[0].reshape(shape) if given else np.zeros(shape, 'int64')
        values.update((Entry(place, at), each) for at, each in enumerate(
            made if isinstance(made, list) else [made]))
    return values[graph.heads[0]]
