"""sym.RNN through torch's own kernels, and the operators on sequences."""
from __future__ import annotations

import functools
from typing import Any, Callable, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Entry, Graph, Node
from ..._graph.layout import FusedLayout
from ..registry import Unsupported, operator
from . import Run, runs

__all__ = ['arrays_of_rnn', 'mask_steps', 'reverse_sequences']

KERNELS: dict[str, Callable[..., Any]] = {
    'rnn_relu': torch._VF.rnn_relu, 'rnn_tanh': torch._VF.rnn_tanh, 'gru': torch._VF.gru,
    'lstm': torch._VF.lstm}


def arrays_of_rnn(graph: Graph, node: Node) -> Node:
    """`node` without the join of its weights, if it is an RNN that would cut them again.

    Its inputs then are the data, the weights in the order of the vector, and the states.
    """
    if node.op != 'RNN' or len(node.inputs) < 2:
        return node
    join = graph.nodes[_before_reshape(graph, node.inputs[1]).node]
    if join.op not in ('Concat', '_rnn_param_concat') or join.dim != 0 or len(join.inputs) != len(
            list(FusedLayout.of(node).arrays(1, by_gate=False))):
        return node
    arrays = tuple(_before_reshape(graph, entry) for entry in join.inputs)
    return node._replace(inputs=(node.inputs[0], *arrays, *node.inputs[2:]))


def _before_reshape(graph: Graph, entry: Entry) -> Entry:
    """The same elements as those of `entry`, in the same order, before they were reshaped."""
    while graph.nodes[entry.node].op in ('Reshape', 'reshape_like'):
        entry = graph.nodes[entry.node].inputs[0]
    return entry


@operator('RNN', training=True)
def _rnn(node: Node) -> Run:
    """One call for all layers and directions: cuDNN on a GPU, oneDNN on a CPU."""
    for key in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if getattr(node, key) is not None:
            raise Unsupported('%s is not supported' % key)
    if node.use_sequence_length:
        raise Unsupported('use_sequence_length is not supported')
    layout, lstm, states = FusedLayout.of(node), node.mode == 'lstm', node.state_outputs
    kernel, units, layers, both = KERNELS[node.mode], node.state_size, node.num_layers, (
        node.bidirectional)
    directions, p = len(layout.directions), node.p if layers > 1 else 0.
    num_begin = 2 if lstm else 1
    cells = layers * directions
    # The vector has all weights and then all biases; torch takes those of each cell together.
    order = [each for i in range(0, 2 * cells, 2)
             for each in (i, i + 1, 2 * cells + i, 2 * cells + i + 1)]

    @functools.lru_cache(maxsize=4)
    def shapes(width: int) -> list[torch.Size]:
        return [torch.Size(each.shape) for each in layout.arrays(width, by_gate=False)]

    def weights(arrays: Sequence[Tensor], data: Tensor) -> list[Tensor]:
        wanted = shapes(data.shape[2])
        # cuDNN wants them side by side, as the vector has them.
        if data.is_cuda or [array.shape for array in arrays] != wanted:
            vector = torch.cat([array.reshape(-1) for array in arrays]) if len(arrays) > 1 else (
                arrays[0])
            parts = vector.split([shape.numel() for shape in wanted])
            arrays = [part.view(shape) for part, shape in zip(parts, wanted)]
        return [arrays[i] for i in order]

    def run(training: bool, data: Tensor, *inputs: Tensor) -> Any:
        shape = cells, data.shape[1], units
        # Begin states may have a batch of 1 that stands for any.
        begin = [state.expand(shape).contiguous() for state in inputs[-num_begin:]]
        outputs = kernel(data, begin if lstm else begin[0], weights(inputs[:-num_begin], data),
                         True, layers, p if training else 0., training, both, False)
        return outputs if states else outputs[0]
    return run


def mask_steps(x: Tensor, lengths: Tensor, time: int, value: float = 0) -> Tensor:
    """The sequences with `value` in the steps, along the axis `time`, behind their lengths."""
    steps = torch.arange(x.shape[time], device=x.device)
    behind = steps.unsqueeze(1 - time) >= lengths.unsqueeze(time)
    return x.masked_fill(behind.reshape(*behind.shape, *[1] * (x.dim() - 2)), value)


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """The steps of each sequence backwards; what is behind its length stays there."""
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    places = torch.where(steps < lengths, lengths.long() - 1 - steps, steps)
    return x[places, torch.arange(x.shape[1], device=x.device)]


@runs('SequenceMask')
def _sequence_mask(x: Tensor, length: Tensor | None = None, *, axis: int, value: float,
                   use_sequence_length: bool) -> Tensor:
    if length is None or not use_sequence_length:
        return x
    return mask_steps(x, length, axis, value)


@runs('SequenceLast')
def _sequence_last(x: Tensor, length: Tensor | None = None, *, axis: int,
                   use_sequence_length: bool) -> Tensor:
    if length is None or not use_sequence_length:
        return x.select(axis, -1)
    x = x if axis == 0 else x.transpose(0, 1)
    return x[(length.long() - 1).clamp(min=0), torch.arange(x.shape[1], device=x.device)]


@runs('SequenceReverse')
def _sequence_reverse(x: Tensor, length: Tensor | None = None, *, use_sequence_length: bool
                      ) -> Tensor:
    if length is None or not use_sequence_length:
        return torch.flip(x, (0,))
    return reverse_sequences(x, length)
