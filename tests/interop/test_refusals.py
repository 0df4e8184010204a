"""Sizes that MXNet refuses are refused by what a model is exported to, where a framework would
repeat an array or leave out the rest of one."""
import pytest

from .. import mx, rnn
from ..running import random_value
from .formats import FORMATS
from .models import S, V, over, random_model
from .onnx_runs import bound
from .rolling import for_mxnet

DATA, OTHER = V('data'), V('other')


def steps(length, name='data'):
    return S.split(V(name), num_outputs=length, axis=1, squeeze_axis=True)


def gated(length):
    """A cell written by hand, which reads a step of two arrays."""
    state, weights, outs = S.zeros((0, 4)), [V('w%d' % at) for at in range(3)], []
    for each, other in zip(steps(length), steps(length, 'other')):
        new, old, gate = [S.FullyConnected(array, weight, num_hidden=4, no_bias=True)
                          for array, weight in zip((each, state, other), weights)]
        state = S.tanh(new + old) * S.sigmoid(gate)
        outs.append(state)
    return S.stack(*outs, axis=1)


def numbered(length):
    """A cell to whose states each step adds its number."""
    cell, outs = rnn.RNNCell(4, 'softsign', 's_'), []
    states = cell.begin_state()
    for each, number in zip(steps(length), S.SliceChannel(
            S.arange(0, length), num_outputs=length, axis=0)):
        output, _ = cell(each, states)
        states = [S.broadcast_add(output, S.Reshape(number, shape=(1, 1)))]
        outs.extend(states)
    return S.stack(*outs, axis=1)


def lstm(length, data=DATA, begin=None):
    return over(rnn.LSTMCell(4, 'l_'), length, data, begin_state=begin)


#: Graphs; the shapes that they take, and some that they do not.
REFUSED = {
    'two inputs of unlike numbers of steps': (
        gated(5), {'data': (2, 5, 3), 'other': (2, 5, 3)},
        [{'data': (2, 7, 3)}, {'other': (2, 7, 3)}, {'data': (2, 1, 3)}]),
    'a number for each step': (
        numbered(3), {'data': (2, 3, 3)}, [{'data': (2, 5, 3)}, {'data': (2, 1, 3)}]),
    'a number for each step behind a cell': (S.stack(*[S.broadcast_add(each, S.Reshape(
        number, shape=(1, 1))) for each, number in zip(
            rnn.LSTMCell(4, 'l_').unroll(3, DATA, merge_outputs=False)[0],
            S.SliceChannel(S.arange(0, 3), num_outputs=3, axis=0))], axis=1),
        {'data': (2, 3, 3)}, [{'data': (2, 5, 3)}, {'data': (2, 1, 3)}]),
    'steps in an order of their own': (
        S.take(lstm(3), S.reverse(S.arange(3), axis=0), axis=1),
        {'data': (2, 3, 3)}, [{'data': (2, 5, 3)}, {'data': (2, 4, 3)}]),
    'a decoder of some steps minus data': (
        lstm(5, OTHER) - DATA, {'data': (2, 5, 4), 'other': (2, 5, 3)},
        [{'data': (2, 1, 4)}, {'data': (2, 3, 4)}]),
    'a row of a batch of some': (lstm(3) + OTHER, {'data': (3, 3, 5), 'other': (3, 3, 4)},
                                 [{'data': (1, 3, 5)}, {'other': (1, 3, 4)}]),
    'a begin state of one row': (
        lstm(3, DATA, [OTHER, V('memory')]), {'data': (3, 3, 5), 'other': (3, 4), 'memory': (3, 4)},
        [{'other': (1, 4)}, {'memory': (1, 4)}, {'data': (1, 3, 5)}]),
}


def values(shapes):
    return {name: random_value(name, shape).astype('f') for name, shape in shapes.items()}


@pytest.mark.parametrize('way, error, said', [
    ('torch', (RuntimeError, ValueError), ''), ('source', (RuntimeError, ValueError), ''),
    ('onnx', Exception, 'ONNXRuntimeError')], ids=['torch', 'source', 'onnx'])
@pytest.mark.parametrize('name', REFUSED)
def test_sizes_that_mxnet_refuses_are_refused(name, way, error, said, tmp_path):
    symbol, shapes, others = REFUSED[name]
    model = random_model(symbol, shapes)
    run = FORMATS[way](model, tmp_path, **({'check': True} if way == 'source' else {}))
    run(values(shapes))
    for other in others:
        with pytest.raises((mx.base.MXNetError, RuntimeError)):
            bound(for_mxnet(symbol) if rnn.__name__ == 'mxrnn' else symbol,
                  {**shapes, **other}, model.arg_params, {})
        with pytest.raises(error, match=said):
            run(values({**shapes, **other}))
