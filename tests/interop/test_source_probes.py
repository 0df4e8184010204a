"""Graphs whose sources were silently wrong, or never written: their sizes, axes, states, names."""
import pytest

from .. import mx, ours, rnn
from ..running import random_value
from .compare import torch
from .models import model_of
from .sources import check, generate, given, run_mxnet

pytestmark = ours


def written(symbol, data, inputs):
    """The source of a Symbol with random weights."""
    return generate(model_of(symbol, run_mxnet(symbol, data, {}), data), inputs)


def random_data(**shapes):
    return {name: random_value(name, shape).astype('float32') for name, shape in shapes.items()}


# ---- sizes

@pytest.mark.parametrize('window', ['convolution', 'pooling'])
def test_windows_leave_no_constants(window):
    """Indices are held to the size that a window leaves, whatever it is."""
    data, index = mx.sym.Variable('data'), mx.sym.Variable('index')
    if window == 'convolution':
        x = mx.sym.Convolution(data, kernel=(3,), stride=(2,), pad=(1,), num_filter=2)
    else:
        x = mx.sym.Pooling(data, kernel=(8,), stride=(8,), pool_type='max')
    symbol = mx.sym.take(mx.sym.transpose(x, axes=(2, 0, 1)), index, mode='clip')
    values = random_data(data=(2, 3, 16), index=(3,))
    values['index'][:] = 0, 3, 9
    source = written(symbol, values, {'data': (2, 3, 'time'), 'index': (3,)})
    for length in (16, 28):
        values.update(random_data(data=(2, 3, length)))
        check(source, symbol, values, gradients=False)


# ---- axes

OF_LAST_AXIS = {
    'softmax': lambda x: mx.sym.softmax(x, axis=-1),
    'div_sqrt_dim': lambda x: mx.sym.contrib.div_sqrt_dim(x),
    'FullyConnected': lambda x: mx.sym.FullyConnected(x, num_hidden=2, flatten=False)}


@pytest.mark.parametrize('op', OF_LAST_AXIS)
def test_exchanged_axes_of_a_matrix(op):
    """The last axis of a matrix is one of the two that were exchanged."""
    data, label = mx.sym.Variable('data'), mx.sym.Variable('label')
    x = OF_LAST_AXIS[op](mx.sym.SwapAxis(data * label, dim1=0, dim2=1))
    symbol = mx.sym.Group([mx.sym.BlockGrad(data * 1), mx.sym.MakeLoss(x * x)])
    values = random_data(data=(4, 3), label=(4, 3))
    source = written(symbol, values, {'data': (4, 3), 'label': (4, 3)})
    tensors = {name: torch.tensor(value, requires_grad=name == 'data')
               for name, value in values.items()}
    source.module.loss(*given(source, tensors, 'loss')).backward()
    executor = symbol.simple_bind(mx.cpu(), grad_req='write', **{
        name: value.shape for name, value in values.items()})
    for name, array in executor.arg_dict.items():
        array[:] = values.get(name, source.model.arg_params.get(name))
    executor.forward(is_train=True)
    executor.backward()
    torch.testing.assert_close(
        tensors['data'].grad, torch.tensor(executor.grad_dict['data'].asnumpy()),
        rtol=1e-5, atol=1e-6)


def test_exchanged_axes_of_data_and_weights():
    """A layer on time-major data leaves the axes of its weights as they are."""
    symbol = mx.sym.FullyConnected(
        mx.sym.SwapAxis(mx.sym.Variable('data'), dim1=0, dim2=1),
        mx.sym.SwapAxis(mx.sym.Variable('weight', shape=(3, 3), dtype='float32'),
                        dim1=0, dim2=1),
        num_hidden=3, flatten=False, no_bias=True)
    values = random_data(data=(2, 5, 3))
    check(written(symbol, values, {'data': ('batch', 'time', 3)}), symbol, values)


# ---- states

@pytest.mark.parametrize('backwards', [False, True])
def test_begin_states_that_are_the_end_of_another_rnn(backwards):
    """An encoder's last states begin the next RNN: both stay nodes of their own."""
    data = mx.sym.Variable('data')
    one, states = rnn.GRUCell(4, 'a_').unroll(3, data, layout='NTC', merge_outputs=True)
    other, _ = rnn.GRUCell(4, 'b_').unroll(
        3, mx.sym.reverse(data, axis=1) if backwards else one, begin_state=states, layout='NTC',
        merge_outputs=True)
    symbol = mx.sym.Concat(one, mx.sym.reverse(other, axis=1), dim=2) if backwards else other
    values = random_data(data=(2, 3, 3))
    check(written(symbol, values, {'data': ('batch', 3, 3)}), symbol, values)


# ---- names
