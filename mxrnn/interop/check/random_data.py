"""Random data for a graph's inputs, chosen by the operators that read them."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..._graph.graph import Entry, Graph
from ..._graph.index_inputs import Reader, readers_of
from ..._graph.operator_table import has

__all__ = ['data_for']

#: Attributes that state how many elements the last axis of an operator's output has, and
#: operators that mostly leave it as their first input has it.
_WIDTHS = ('num_hidden', 'num_filter', 'output_dim', 'state_size')
_KEEP = frozenset('LayerNorm LeakyReLU SliceChannel SwapAxis broadcast_add expand_dims slice_axis'
                  .split())


def data_for(graph: Graph, name: str, shape: tuple[int, ...], kind: Any, steps: int,
             random: np.random.RandomState) -> np.ndarray:
    """Data for one input.

    Parameters
    ----------
    graph : Graph
    name : str
    shape : tuple of int
    kind : dtype
        The type of numbers that are neither places nor lengths.
    steps : int
        The largest length.
    random : numpy.random.RandomState
    """
    readers = list(readers_of(graph, name))
    looked_up = [_places(reader) for reader in readers if reader.input.role == 'index']
    if looked_up:  # in several tables, for instance factors of words
        return random.randint(0, max(min(looked_up), 1), shape).astype('float32')
    for reader in readers:
        if reader.node.op == 'CTCLoss' and reader.at == 1 and len(shape) == 2:
            return _labels(reader, shape, random)
    for reader in readers:
        if reader.input.role == 'length':
            if reader.node.op == 'CTCLoss':  # needs long data and short labels
                of_label = reader.at == 2 + reader.node.use_data_lengths
                return np.full(shape, 1 if of_label else steps, 'float32')
            return random.randint(1, steps + 1, shape).astype('float32')
    if len(shape) == 1:
        return random.randint(1, steps + 1, shape).astype('float32')
    return random.normal(size=shape).astype(kind)


def _labels(reader: Reader, shape: tuple[int, ...], random: np.random.RandomState
            ) -> np.ndarray:
    """Classes for CTC without the blank, at most half as many as there is room for."""
    classes = max(_width(reader.graph, reader.node.inputs[0]), 2) - 1
    first = reader.node.blank_label == 'first'
    labels = random.randint(1, classes + 1, shape) - (not first)
    lengths = random.randint(1, max(shape[1] // 2, 1) + 1, (shape[0], 1))
    return np.where(np.arange(shape[1]) < lengths, labels, 0 if first else -1).astype('float32')


def _places(reader: Reader) -> int:
    """How many entries a look-up's table has; 2, which is safe, if that is not known."""
    node = reader.node
    for key in ('input_dim', 'depth'):
        if hasattr(node, key):
            return int(getattr(node, key))
    last = getattr(node, 'axis', -1) == -1 and not node.op.endswith('_nd')
    return _width(reader.graph, node.inputs[0]) if last else 2


def _width(graph: Graph, entry: Entry) -> int:
    """How many elements an array's last axis has; 2, which is safe, if that is not known."""
    node = graph.nodes[entry.node]
    while node.op in _KEEP or has(node.op, 'one shape') or has(node.op, 'gathers') or (
            node.op == 'Reshape' and node.shape[-1:] == (0,)):
        node = graph.nodes[node.inputs[0].node]
    for key in _WIDTHS:
        if hasattr(node, key):
            return int(getattr(node, key))
    return node.shape[-1] if node.op == 'Reshape' and node.shape[-1:] > (0,) else 2

