"""Models of Symbols: with random weights, or with those of an executor."""
from __future__ import annotations

from typing import Any, Collection

import numpy as np

from mxrnn import interop

from .. import mx, rnn
from ..running import random_value

__all__ = ['model_of', 'random_model', 'rows']


def rows(steps: int, fused: bool = False, units: int = 4, data: str = 'data') -> Any:
    """The outputs of a recurrence over (batch, steps, 3), in NTC."""
    cell = rnn.FusedRNNCell(units, mode='lstm', prefix='f_') if fused else rnn.LSTMCell(units, 'f_')
    return cell.unroll(steps, mx.sym.Variable(data), merge_outputs=True, layout='NTC')[0]


def model_of(symbol: Any, executor: Any, inputs: Collection[str]) -> Any:
    """The network with the values of an executor that are not inputs."""
    return interop.Model(
        interop.graph_from_json(symbol.tojson()),
        {name: value.asnumpy() for name, value in executor.arg_dict.items() if name not in inputs},
        {name: value.asnumpy() for name, value in executor.aux_dict.items()})


def random_model(symbol: Any, inputs: dict[str, tuple[int, ...]]) -> Any:
    """The network with random weights, which fit inputs of these shapes."""
    arguments, _, auxiliary = symbol.infer_shape(**inputs)
    return interop.Model(
        interop.graph_from_json(symbol.tojson()),
        {name: random_value(name, shape).astype('f')
         for name, shape in zip(symbol.list_arguments(), arguments) if name not in inputs},
        {name: abs(random_value(name, shape)).astype('f') + np.float32(.1)  # of a variance, too
         for name, shape in zip(symbol.list_auxiliary_states(), auxiliary)})
