"""Weights that a graph only moves: whether a node reads them, and their numbers."""
from __future__ import annotations

import itertools
from typing import Any, Callable, Container, Mapping

import numpy as np

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import arrays_of_rnn
from ..._graph.shapes.infer import infer
from ..._graph.shapes.sizes import product, resolve
from ..._graph.stepping.axis_propagation import is_zero
from .emitter_api import MOVES

__all__ = ['are_parameters', 'inputs_of', 'moved']


def are_parameters(graph: Graph, entry: Entry, parameters: Container[str]) -> bool:
    """Whether an array consists only of parameters' elements, in any order."""
    return all(node.op in MOVES and (not node.is_variable or node.name in parameters)
               for node in graph.ending_in([entry]).nodes)


def inputs_of(graph: Graph, node: Node, parameters: Container[str], computed: dict[Entry, bool]
              ) -> list[Entry]:
    """The inputs for a node's emitter: without labels of losses and without arrays of which only
    the shape is read. RNN gets the data, computed weights, and begin states that are not all zeros.

    `computed` remembers which nodes compute vectors of weights.
    """
    if node.op == '_identity_with_attr_like_rhs':
        return list(node.inputs[:1])
    if not has(node.op, 'kernel'):
        return list(node.needed_inputs)
    data, vector, *begins = node.inputs
    if vector not in computed:
        computed[vector] = not are_parameters(graph, vector, parameters)
    inputs = arrays_of_rnn(graph, node).inputs
    return [data, *(inputs[1:len(inputs) - len(begins)] if computed[vector] else ()),
            *(() if all(is_zero(graph, each) for each in begins) else begins)]


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
    axes = infer(graph, {
        name: array.shape for name, array in arrays.items()}).axes
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
