"""ConvRNNCell, ConvLSTMCell, ConvGRUCell: recurrences, gradients, geometry."""
from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from . import differs, mx, reference, rnn
from .running import flat, inputs, run, run_symbols, step

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


def check_against_reference(name, geometry):
    """Outputs, states and gradients of the cell of this name, by the equations in NumPy."""
    shape, options, i2h, h2h = geometry
    recurrence, states = RECURRENCES[name]
    cell = getattr(rnn, name)((1,) + shape, 2, activation='tanh', prefix='x_', **options)
    found = run(cell, shape, length=2, batch=1, begin='variable', dtype='float64')

    def forward(args):
        return reference.unroll(
            recurrence, args, 'x_', [args['x_begin_state_%d' % i] for i in range(states)], np.tanh,
            functools.partial(reference.convolve, **i2h),
            functools.partial(reference.convolve, **h2h))

    reference.assert_follows(found, forward, 1e-10, 1e-5,
                             ['data', 'x_h2h_bias', 'x_begin_state_0'])


@each_cell
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_recurrence_and_gradients(name, geometry):
    check_against_reference(name, GEOMETRIES[geometry])


#: Shapes of input with one or three axes, options, and the same for the reference.
OTHER_AXES = {
    'signal': ((2, 6), {}, {}, {}),
    'signal_kernels': ((2, 9), {'i2h_kernel': (4,), 'i2h_stride': (2,), 'i2h_pad': (2,),
                                'i2h_dilate': (2,), 'h2h_kernel': (5,), 'h2h_dilate': (2,),
                                'conv_layout': 'NCW'},
                       {'pad': (2,), 'stride': (2,), 'dilate': (2,)},
                       {'pad': (4,), 'dilate': (2,)}),
    'volume': ((1, 3, 2, 4), {}, {}, {}),
    'volume_kernels': ((1, 3, 4, 5), {'i2h_kernel': (1, 3, 2), 'i2h_stride': (1, 2, 1),
                                      'i2h_pad': (0, 1, 1), 'h2h_kernel': (3, 1, 1),
                                      'conv_layout': 'NCDHW'},
                       {'pad': (0, 1, 1), 'stride': (1, 2, 1)}, {'pad': (1, 0, 0)})}


@differs
@each_cell
@pytest.mark.parametrize('axes', OTHER_AXES)
def test_one_and_three_axes(name, axes):
    check_against_reference(name, OTHER_AXES[axes])


def axis():
    """Of one axis: size, kernel, stride, padding and dilation of the input, kernel of the state."""
    return st.tuples(st.integers(5, 7), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2),
                     st.integers(1, 2), st.sampled_from([1, 3]))


@differs
@given(st.sampled_from(sorted(RECURRENCES)), st.lists(axis(), min_size=1, max_size=3),
       st.booleans())
@settings(max_examples=30, deadline=None)
def test_random_geometries(name, axes, bias):
    size, kernel, stride, pad, dilate, h2h = zip(*axes)
    recurrence, states = RECURRENCES[name]
    cell = getattr(rnn, name)((0, 2) + size, 2, h2h, (1,) * len(axes), kernel, stride, pad, dilate,
                              activation='tanh', prefix='x_', bias=bias)
    found = run(cell, (2,) + size, length=2, batch=1, dtype='float64', grad=False)
    begin = [np.zeros((1,) + cell.state_shape[0][1:])] * states
    outputs, final = reference.unroll(
        recurrence, found.args, 'x_', begin, np.tanh,
        functools.partial(reference.convolve, pad=pad, stride=stride, dilate=dilate),
        functools.partial(reference.convolve, pad=tuple(side // 2 for side in h2h)))
    assert_allclose(found.outputs, outputs, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(found.states, final):
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@each_cell
@pytest.mark.parametrize('shape', [pytest.param((2, 6), marks=differs), (2, 5, 6),
                                   pytest.param((2, 3, 4, 5), marks=differs)])
def test_numbers_of_gluon(name, shape):
    axes = len(shape) - 1
    found = run(getattr(rnn, name)((2,) + shape, 3, activation='tanh', prefix='x_'), shape,
                train=False)
    theirs = getattr(mx.gluon.contrib.rnn, 'Conv%dD%s' % (axes, name[len('Conv'):]))(
        shape, 3, i2h_kernel=(3,) * axes, h2h_kernel=(3,) * axes, i2h_pad=(1,) * axes)
    theirs.initialize()
    for kind in ('i2h_weight', 'h2h_weight', 'i2h_bias', 'h2h_bias'):
        getattr(theirs, kind).set_data(mx.nd.array(found.args['x_' + kind]))
    outputs, states = theirs.unroll(3, mx.nd.array(found.args['data']), merge_outputs=True)
    assert_allclose(found.outputs, outputs.asnumpy(), rtol=1e-6, atol=1e-6)
    for mine, its in zip(found.states, states):
        assert_allclose(mine, its.asnumpy(), rtol=1e-6, atol=1e-6)


def last(rank):
    """Axes that move channels from axis 1 to the end, and back."""
    return (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))


def by_channels_first(convolution):
    """sym.Convolution with NDHWC by way of NCDHW, since MXNet's CPU operator knows no other."""
    def wrapper(data=None, weight=None, layout='NCDHW', **kwargs):
        if layout == 'NCDHW' or weight is None:
            given = {} if weight is None else {'weight': weight}
            return convolution(data, layout=layout, **given, **kwargs)
        there, back = last(5)
        data, weight = (mx.sym.transpose(each, axes=back) for each in (data, weight))
        return mx.sym.transpose(convolution(data, weight=weight, layout='NCDHW', **kwargs),
                                axes=there)
    return wrapper


@differs
@each_cell
@pytest.mark.parametrize('both', [False, True])
def test_ndhwc_is_ncdhw_with_channels_last(name, both, monkeypatch):
    monkeypatch.setattr(mx.sym, 'Convolution', by_channels_first(mx.sym.Convolution))

    def make(shape, layout):
        cells = [getattr(rnn, name)((1, *shape), 3, prefix=prefix, conv_layout=layout)
                 for prefix in ('l_', 'r_')]
        return rnn.BidirectionalCell(*cells) if both else cells[0]

    expected = run(make((2, 3, 4, 5), 'NCDHW'), (2, 3, 4, 5), dtype='float64', begin='variable')
    cell = make((3, 4, 5, 2), 'NDHWC')
    outputs, states = cell.unroll(3, inputs('symbol', 3), cell.begin_state(func=mx.sym.Variable),
                                  merge_outputs=True)
    values = {key: np.moveaxis(value, 2 if key == 'data' else 1, -1) if value.ndim > 1 else value
              for key, value in expected.args.items()}
    states = [mx.sym.transpose(state, axes=last(5)[1]) for state in flat(states)]
    found = run_symbols(mx.sym.transpose(outputs, axes=(0, 1, 5, 2, 3, 4)), states,
                        {key: value.shape for key, value in values.items()}, dtype='float64',
                        values=values)
    assert_allclose(found.outputs, expected.outputs, atol=1e-12)
    for one, other in zip(found.states, expected.states):
        assert_allclose(one, other, atol=1e-12)
    for key, grad in expected.grads.items():
        axis = 2 if key == 'data' else 1
        assert_allclose(found.grads[key], np.moveaxis(grad, axis, -1) if grad.ndim > 1 else grad,
                        atol=1e-12)


@differs
def test_layouts_of_images_stand_for_those_of_other_axes():
    assert rnn.ConvRNNCell((1, 2, 6), 3).state_info == [
        {'shape': (0, 3, 6), '__layout__': 'NCW'}]
    assert rnn.ConvRNNCell((1, 3, 4, 5, 2), 3, conv_layout='NHWC').state_info == [
        {'shape': (0, 3, 4, 5, 3), '__layout__': 'NDHWC'}]
    with pytest.raises(ValueError, match='a tuple of 1 integers, got'):
        rnn.ConvRNNCell((1, 2, 6), 3, h2h_kernel=(3, 3))
    with pytest.raises(ValueError, match='a tuple of 3, 4 or 5 integers, .* got'):
        rnn.ConvRNNCell((1, 2), 3)
    with pytest.raises(ValueError, match="one of 'NCW', 'NCHW', got 'NWC'"):
        rnn.ConvRNNCell((1, 6, 2), 3, conv_layout='NWC')


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

    reference.assert_follows(found, forward, 1e-10, 1e-5)


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
