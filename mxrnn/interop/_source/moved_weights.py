"""Weights that a graph only moves: whether a node reads them, and their numbers."""
from __future__ import annotations

import itertools
from typing import Any, Callable, Mapping

import numpy as np

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import FusedLayout, arrays_of_rnn
from ..._graph.shapes.infer import infer
from ..._graph.shapes.sizes import product, resolve
from ..._graph.stepping.axis_propagation import is_zero

__all__ = ['arrays_of', 'inputs_of']


def arrays_of(graph: Graph, node: Node, places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By torch's names for the weights of an RNN, the origin of each element: see `File.state`."""
    part, layout = graph.ending_in([node.inputs[1]]), FusedLayout.of(node)
    vector = _moved(part, {name: places[name] for name in part.arguments}).reshape(-1)
    width = layout.num_input(vector.size, 'the weights')
    return {'%s_%s_l%d%s' % (each.kind, {'i2h': 'ih', 'h2h': 'hh'}[each.group], each.layer,
                             '_reverse' * (each.direction == 'r')):
            vector[each.begin:each.end].reshape(each.shape)
            for each in layout.arrays(width, by_gate=False)}


def _is_computed(graph: Graph, node: Node, places: Mapping[str, np.ndarray], ordered: bool) -> bool:
    """Whether the weights of an RNN are more than parameters' elements in any order, or, with
    `ordered`, in their own order."""
    nodes = graph.ending_in([node.inputs[1]]).nodes
    return not all(each.name in places if each.is_variable else each.op in (*_MOVES, *_SHAPES)
                   for each in nodes) or ordered and any(
        (np.diff(each.reshape(-1)) != 1).any() for each in arrays_of(graph, node, places).values()
        if each.any())


def inputs_of(graph: Graph, node: Node, places: Mapping[str, np.ndarray], ordered: bool,
              computed: dict[Entry, bool]) -> list[Entry]:
    """The inputs for a node's emitter: without labels of losses, and without zeros and other arrays
    of which only the shape is read. RNN gets the data, computed weights, and begin states that are
    not all zeros.

    `computed` remembers which vectors of weights are computed, or not `ordered` as they are to be.
    """
    if node.op in ('_identity_with_attr_like_rhs', 'reshape_like'):
        return list(node.inputs[:1])
    if node.op == 'where' and graph.nodes[node.inputs[2].node].op == 'zeros_like':
        return list(node.inputs[:2])
    if not has(node.op, 'kernel'):
        return list(node.needed_inputs)
    data, vector, *begins = node.inputs
    if vector not in computed:
        computed[vector] = _is_computed(graph, node, places, ordered)
    inputs = arrays_of_rnn(graph, node).inputs
    return [data, *(inputs[1:len(inputs) - len(begins)] if computed[vector] else ()),
            *(() if all(is_zero(graph, each) for each in begins) else begins)]


def _parts(node: Node, array: np.ndarray) -> list[np.ndarray]:
    """The parts of a SliceChannel."""
    parts = np.split(array, node.num_outputs, node.axis)
    return [np.squeeze(part, node.axis) for part in parts] if node.squeeze_axis else parts


#: Operators that make zeros, or keep the order of elements.
_SHAPES = '_zeros', 'Reshape', 'expand_dims', 'squeeze', 'Flatten', 'reshape_like'
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


def _moved(graph: Graph, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The output of a graph of such operators; `arrays` are its variables."""
    axes = infer(graph, {name: array.shape for name, array in arrays.items()}).axes
    values: dict[Entry, np.ndarray] = {}
    for place, node in enumerate(graph.nodes):
        given = [values[entry] for entry in node.needed_inputs]
        shape = [resolve(product(axis)) for axis in axes.get(Entry(place, 0), ())]
        if node.is_variable:
            made: Any = arrays[node.name]
        elif node.op in _MOVES:
            made = _MOVES[node.op](node, *given)
        else:
            made = given[0].reshape(shape) if given else np.zeros(shape, 'int64')
        values.update((Entry(place, at), each) for at, each in enumerate(
            made if isinstance(made, list) else [made]))
    return values[graph.heads[0]]
