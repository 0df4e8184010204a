"""sym.RNN through torch's own kernels."""
from __future__ import annotations

import math
from typing import Any, Sequence

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import Unsupported, operator
from . import Run, keywords

__all__ = ['run_rnn']


def run_rnn(training: bool, data: Tensor, arrays: Sequence[Tensor], states: Sequence[Tensor], *,
            mode: str, state_size: int, num_layers: int, bidirectional: bool, p: float
            ) -> tuple[Tensor, ...]:
    """The outputs and final states of an RNN, by cuDNN on a GPU and by oneDNN on a CPU.

    The arrays are those of all cells (first weights, then biases), or one vector of them all. A
    state's batch may be 1 and is then repeated. Missing states are zeros.
    """
    cells = num_layers * (2 if bidirectional else 1)
    rows = state_size * {'lstm': 4, 'gru': 3}.get(mode, 1)
    shapes = [(rows, data.shape[2] if cell < cells // num_layers else (
        state_size * cells // num_layers)) for cell in range(cells)]
    wanted = [*(each for shape in shapes for each in (shape, (rows, state_size))),
              *[(rows,)] * (2 * cells)]
    # cuDNN needs the arrays side by side, as in the vector.
    if data.is_cuda or [tuple(array.shape) for array in arrays] != wanted:
        vector = torch.cat([each.reshape(-1) for each in arrays]) if len(arrays) > 1 else arrays[0]
        parts = torch.split(vector, [math.prod(shape) for shape in wanted])
        arrays = [part.view(shape) for part, shape in zip(parts, wanted)]
    # torch wants each cell's arrays together.
    weights = [arrays[at] for cell in range(cells) for at in (
        2 * cell, 2 * cell + 1, 2 * (cells + cell), 2 * (cells + cell) + 1)]
    size = cells, data.shape[1], state_size
    states = states or [data.new_zeros(size)] * (2 if mode == 'lstm' else 1)
    begin = [state.expand(size).contiguous() for state in states]
    kernel = getattr(torch._VF, mode)
    found: tuple[Tensor, ...] = kernel(
        data, begin if mode == 'lstm' else begin[0], weights, True, num_layers,
        p if training and num_layers > 1 else 0., training, bidirectional, False)
    return found


@operator('RNN', training=True)
def _rnn(node: Node) -> Run:
    """One call for all layers and directions."""
    for key in ('projection_size', 'lstm_state_clip_min', 'lstm_state_clip_max'):
        if getattr(node, key) is not None:
            raise Unsupported('%s is not supported' % key)
    if node.use_sequence_length:
        raise Unsupported('use_sequence_length is not supported')
    begin, options = 2 if node.mode == 'lstm' else 1, keywords(run_rnn, node)

    def run(training: bool, data: Tensor, *inputs: Tensor) -> Any:
        outputs = run_rnn(training, data, inputs[:-begin], inputs[-begin:], **options)
        return outputs if node.state_outputs else outputs[0]
    return run
