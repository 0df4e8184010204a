"""Models of Symbols: with random weights, or with those of an executor."""

import numpy as np

from mxrnn import interop

from .. import mx, rnn
from ..running import random_value

S, V = mx.sym, mx.sym.Variable


def over(cell, steps, data='data', begin_state=None, layout='NTC', **options):
    """The outputs of a cell over all steps of a Symbol, or of the input of a name, in one array."""
    data = V(data) if isinstance(data, str) else data
    return cell.unroll(steps, data, begin_state, layout, merge_outputs=True, **options)[0]


def rows(steps, fused=False, units=4, data='data'):
    """The outputs of a recurrence over (batch, steps, 3), in NTC."""
    cell = rnn.FusedRNNCell(units, mode='lstm', prefix='f_') if fused else rnn.LSTMCell(units, 'f_')
    return over(cell, steps, data)


def model_of(symbol, executor, inputs):
    """The network with the values of an executor that are not inputs."""
    return interop.Model(
        interop.graph_from_json(symbol.tojson()),
        {name: value.asnumpy() for name, value in executor.arg_dict.items() if name not in inputs},
        {name: value.asnumpy() for name, value in executor.aux_dict.items()})


def random_model(symbol, inputs):
    """The network with random weights, which fit inputs of these shapes."""
    arguments, _, auxiliary = symbol.infer_shape(**inputs)
    return interop.Model(
        interop.graph_from_json(symbol.tojson()),
        {name: random_value(name, shape).astype('f')
         for name, shape in zip(symbol.list_arguments(), arguments) if name not in inputs},
        {name: abs(random_value(name, shape)).astype('f') + np.float32(.1)  # of a variance, too
         for name, shape in zip(symbol.list_auxiliary_states(), auxiliary)})
