"""sym.RNN through torch's own kernels, and the operators on sequences."""
from __future__ import annotations

from typing import Any, Callable

import torch
from torch import Tensor

from ..._graph.graph import Node
from .table import Run, Unsupported, operator

__all__: list[str] = []

GATES = {'rnn_relu': 1, 'rnn_tanh': 1, 'gru': 3, 'lstm': 4}
KERNELS: dict[str, Callable[..., Any]] = {
    'rnn_relu': torch._VF.rnn_relu, 'rnn_tanh': torch._VF.rnn_tanh, 'gru': torch._VF.gru,
    'lstm': torch._VF.lstm}


@operator('RNN', training=True, equal_shapes=True)
def _rnn(node: Node) -> Run:
    """One call for all layers and directions: cuDNN on a GPU, oneDNN on a CPU."""
    mode, units, layers = node.get('mode'), node.get('state_size'), node.get('num_layers')
    directions = 2 if node.get('bidirectional', False) else 1
    p, states = float(node.get('p', 0)), node.get('state_outputs', False)
    for key in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if node.get(key) is not None:
            raise Unsupported('%s is not supported' % key)
    if node.get('use_sequence_length', False):
        raise Unsupported('use_sequence_length is not supported')
    kernel, rows, both = KERNELS[mode], GATES[mode] * units, directions == 2
    if layers == 1:
        p = 0.

    def cut(vector: Tensor, width: int) -> list[Tensor]:
        """The weights as torch has them: for each layer and direction i2h, h2h and the biases."""
        widths = [width if layer == 0 else units * directions for layer in range(layers)
                  for _ in range(directions)]
        sizes = [rows * size for each in widths for size in (each, units)]
        parts = vector.split(sizes + [rows] * (2 * len(widths)))
        weights, biases = parts[:len(sizes)], parts[len(sizes):]
        result = []
        for i in range(len(widths)):
            result += [weights[2 * i].view(rows, widths[i]), weights[2 * i + 1].view(rows, units),
                       biases[2 * i], biases[2 * i + 1]]
        return result

    def run(training: bool, data: Tensor, vector: Tensor, *begin: Tensor) -> Any:
        shape = layers * directions, data.shape[1], units
        # Begin states may have a batch of 1 that stands for any.
        begin = tuple(state.expand(shape).contiguous() for state in begin)
        weights = cut(vector, data.shape[2])
        outputs = kernel(data, begin if mode == 'lstm' else begin[0], weights, True, layers,
                         p if training else 0., training, both, False)
        return outputs if states else outputs[0]
    return run


def _index(x: Tensor, axis: int) -> Tensor:
    """The numbers of the steps, to be broadcast over an array of (steps, batch) axes."""
    steps = torch.arange(x.shape[axis], device=x.device)
    return steps.reshape((-1, 1) if axis == 0 else (1, -1))


def _wide(array: Tensor, x: Tensor) -> Tensor:
    """`array` with as many axes as `x`."""
    return array.reshape(*array.shape, *[1] * (x.dim() - array.dim()))


def _lengths(length: Tensor, axis: int) -> Tensor:
    return length.unsqueeze(axis)


@operator('SequenceMask')
def _sequence_mask(node: Node) -> Run:
    axis, value = node.get('axis', 0), float(node.get('value', 0))
    if not node.get('use_sequence_length', False):
        return lambda x, length=None: x

    def run(x: Tensor, length: Tensor) -> Tensor:
        return x.masked_fill(_wide(_index(x, axis) >= _lengths(length, axis), x), value)
    return run


@operator('SequenceLast')
def _sequence_last(node: Node) -> Run:
    axis = node.get('axis', 0)
    if not node.get('use_sequence_length', False):
        return lambda x, length=None: x.select(axis, -1)

    def run(x: Tensor, length: Tensor) -> Tensor:
        x = x if axis == 0 else x.transpose(0, 1)
        rows = torch.arange(x.shape[1], device=x.device)
        return x[(length.long() - 1).clamp(min=0), rows]
    return run


@operator('SequenceReverse')
def _sequence_reverse(node: Node) -> Run:
    if not node.get('use_sequence_length', False):
        return lambda x, length=None: torch.flip(x, (0,))

    def run(x: Tensor, length: Tensor) -> Tensor:
        steps, ends = _index(x, 0), _lengths(length.long(), 0)
        places = torch.where(steps < ends, ends - 1 - steps, steps)
        return x.gather(0, _wide(places, x).expand(x.shape))
    return run
