"""ConvRNNCell, ConvLSTMCell, ConvGRUCell: recurrences, gradients, geometry."""
from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import differs, mx, reference, rnn
from .cases import inputs, run, step

RECURRENCES = {'ConvRNNCell': (reference.rnn, 1), 'ConvLSTMCell': (reference.lstm, 2),
               'ConvGRUCell': (reference.gru, 1)}

each_cell = pytest.mark.parametrize('name', RECURRENCES)

#: Shapes of input, options, and the same for the reference.
GEOMETRIES = {
    'default': ((2, 4, 3), {}, {}, {}),
    'kernels': ((1, 5, 4), {'i2h_kernel': (5, 3), 'i2h_stride': (2, 1), 'i2h_pad': (1, 0),
                            'h2h_kernel': (1, 3), 'h2h_dilate': (1, 2)},
                {'pad': (1, 0), 'stride': (2, 1)}, {'pad': (0, 2), 'dilate': (1, 2)}),
    'dilated': ((1, 5, 4), {'i2h_kernel': (3, 2), 'i2h_dilate': (2, 1), 'i2h_pad': (2, 1)},
                {'pad': (2, 1), 'dilate': (2, 1)}, {})}


@each_cell
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_recurrence_and_gradients(name, geometry):
    shape, options, i2h, h2h = GEOMETRIES[geometry]
    recurrence, states = RECURRENCES[name]
    cell = getattr(rnn, name)((1,) + shape, 2, activation='tanh', prefix='x_', **options)
    found = run(cell, shape, length=2, batch=1, begin='variable', dtype='float64')

    def forward(args):
        return reference.unroll(
            recurrence, args, 'x_', [args['x_begin_state_%d' % i] for i in range(states)], np.tanh,
            functools.partial(reference.convolve, **i2h),
            functools.partial(reference.convolve, **h2h))
    outputs, final = forward(found.args)
    assert_allclose(found.outputs, outputs, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(found.states, final):
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    few = {key: found.args[key] for key in ('data', 'x_h2h_bias', 'x_begin_state_0')}
    grads = reference.gradients(
        lambda args: reference.loss(*forward({**found.args, **args})), few)
    for argument, grad in grads.items():
        assert_allclose(found.grads[argument], grad, rtol=1e-5, atol=1e-7, err_msg=argument)


@differs
@each_cell
def test_without_biases(name):
    recurrence, states = RECURRENCES[name]
    cell = getattr(rnn, name)((2, 2, 4, 3), 2, activation='tanh', prefix='x_', bias=False)
    found = run(cell, (2, 4, 3), dtype='float64')
    assert set(found.args) == {'data', 'x_i2h_weight', 'x_h2h_weight'}
    outputs, _ = reference.unroll(recurrence, found.args, 'x_', [np.zeros((2, 2, 4, 3))] * states,
                                  np.tanh, reference.convolve, reference.convolve)
    assert_allclose(found.outputs, outputs, rtol=1e-10, atol=1e-12)


@each_cell
def test_gradients_of_kernels(name):
    recurrence, states = RECURRENCES[name]
    cell = getattr(rnn, name)((1, 1, 3, 2), 1, activation='tanh', prefix='x_')
    found = run(cell, (1, 3, 2), length=2, batch=1, dtype='float64')

    def forward(args):
        return reference.unroll(recurrence, args, 'x_', [np.zeros((1, 1, 3, 2))] * states, np.tanh,
                                reference.convolve, reference.convolve)
    grads = reference.gradients(lambda args: reference.loss(*forward(args)), found.args)
    assert set(grads) == set(found.grads)
    for argument, grad in grads.items():
        assert_allclose(found.grads[argument], grad, rtol=1e-5, atol=1e-7, err_msg=argument)


@each_cell
def test_default_activation_is_leaky(name):
    recurrence, states = RECURRENCES[name]
    found = run(getattr(rnn, name)((1, 2, 4, 3), 2, prefix='x_'), (2, 4, 3))
    outputs, _ = reference.unroll(recurrence, found.args, 'x_', [np.zeros((2, 2, 4, 3))] * states,
                                  reference.leaky, reference.convolve, reference.convolve)
    assert_allclose(found.outputs, outputs, atol=5e-6)


@each_cell
def test_states_have_the_shape_of_the_projected_input(name):
    cell = getattr(rnn, name)((8, 2, 9, 7), 4, i2h_kernel=(3, 3), i2h_stride=(2, 3))
    count = RECURRENCES[name][1]
    assert cell.state_info == [{'shape': (0, 4, 5, 3), '__layout__': 'NCHW'}] * count
    outputs, _ = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
    assert outputs.infer_shape(data=(6, 2, 2, 9, 7))[1] == [(6, 2, 4, 5, 3)]


@each_cell
def test_names_and_shapes_of_weights(name):
    cell = getattr(rnn, name)((1, 2, 6, 6), 3, h2h_kernel=(5, 1))
    prefix, gates = name[:-len('Cell')] + '_', len(cell._gate_names)
    outputs, _ = cell.unroll(1, inputs('symbol', 1), merge_outputs=True)
    shapes = dict(zip(outputs.list_arguments(), outputs.infer_shape(data=(1, 1, 2, 6, 6))[0]))
    assert shapes == {'data': (1, 1, 2, 6, 6), prefix + 'i2h_weight': (3 * gates, 2, 3, 3),
                      prefix + 'i2h_bias': (3 * gates,),
                      prefix + 'h2h_weight': (3 * gates, 3, 5, 1),
                      prefix + 'h2h_bias': (3 * gates,)}


def test_one_automatic_name_is_used_up_by_the_constructor():
    """Programs' later unnamed convolutions are called accordingly in their checkpoints."""
    rnn.ConvLSTMCell((1, 2, 4, 4), 3)
    layer = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(1, 1), num_filter=1)
    assert layer.name == 'convolution1'


def test_initialisers_reach_the_variables():
    cell = rnn.ConvLSTMCell((1, 2, 4, 4), 3, i2h_weight_initializer=mx.init.Constant(0.25),
                            h2h_weight_initializer='ones', i2h_bias_initializer='ones',
                            h2h_bias_initializer='zeros')
    outputs, _ = cell.unroll(1, inputs('symbol', 1), merge_outputs=True)
    module = mx.mod.Module(outputs, label_names=None)
    module.bind([('data', (1, 1, 2, 4, 4))])
    module.init_params(mx.init.Uniform())
    values = {name: set(array.asnumpy().ravel().tolist())
              for name, array in module.get_params()[0].items()}
    assert values == {'ConvLSTM_i2h_weight': {0.25}, 'ConvLSTM_h2h_weight': {1.0},
                      'ConvLSTM_i2h_bias': {1.0}, 'ConvLSTM_h2h_bias': {0.0}}


def test_names_of_steps():
    output, states = step(rnn.ConvLSTMCell((1, 2, 4, 4), 3, prefix='x_'), 2)
    assert [each.name for each in output] == ['x_t0_out', 'x_t1_out']
    assert [each.name for each in states] == ['x_t1_out', 'x_t1_state']


@differs
@each_cell
def test_the_batch_may_be_left_open(name):
    open_, fixed = (getattr(rnn, name)((batch, 2, 4, 3), 2) for batch in (0, 7))
    assert open_.state_info == fixed.state_info
    data = mx.sym.Variable('data')
    assert open_.unroll(2, data, merge_outputs=True)[0].infer_shape(data=(5, 2, 2, 4, 3))[1] == [
        (5, 2, 2, 4, 3)]


@each_cell
def test_a_projection_that_a_program_redefines_is_used(name):
    class Scaled(getattr(rnn, name)):
        def _conv_forward(self, inputs, states, name):
            i2h, h2h = super()._conv_forward(inputs, states, name)
            return i2h * 0, h2h

    found = run(Scaled((1, 2, 4, 3), 2, prefix='x_'), (2, 4, 3))
    assert not abs(found.grads['data']).max() and abs(found.grads['x_h2h_weight']).max()
