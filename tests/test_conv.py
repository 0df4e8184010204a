"""Convolutional cells where mxnet.rnn has no counterpart: one and three axes, no biases."""
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from . import differs, mx, reference, rnn
from .comparing import assert_close
from .running import flat, inputs, run, run_symbols

RECURRENCES = {'ConvRNNCell': (reference.rnn, 1), 'ConvLSTMCell': (reference.lstm, 2),
               'ConvGRUCell': (reference.gru, 1)}

each_cell = pytest.mark.parametrize('name', RECURRENCES)


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

    reference.assert_follows(found, forward, 1e-10, 1e-5, ['data', 'x_h2h_bias', 'x_begin_state_0'])


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


# differences.md: convolutions over one or three axes
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
    assert_close([found.outputs, found.states], [outputs, final], 1e-11)


def last(rank):
    """Axes that move channels from axis 1 to the end, and back."""
    return (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))


def by_channels_first(convolution):
    """sym.Convolution with channels last by way of channels first: MXNet's CPU operator knows no
    other."""
    def wrapper(data=None, weight=None, layout=None, **kwargs):
        if not layout.endswith('C') or weight is None:
            given = {} if weight is None else {'weight': weight}
            return convolution(data, layout=layout, **given, **kwargs)
        there, back = last(len(layout))
        data, weight = (mx.sym.transpose(each, axes=back) for each in (data, weight))
        layout = 'NC' + layout[1:-1]
        return mx.sym.transpose(convolution(data, weight=weight, layout=layout, **kwargs),
                                axes=there)
    return wrapper


#: mxnet.rnn has the first two as well.
CHANNELS_LAST = [(name, layout, both) for layout in ('NHWC', 'NDHWC') for both in (False, True)
                 for name in RECURRENCES]


# differences.md: convolutions over one or three axes
# differences.md: `conv_layout='NHWC'`
@pytest.mark.parametrize('name, layout, both', [
    pytest.param(*case, marks=[differs] * (at > 1)) for at, case in enumerate(CHANNELS_LAST)])
def test_channels_last_are_channels_first(name, layout, both, monkeypatch):
    monkeypatch.setattr(mx.sym, 'Convolution', by_channels_first(mx.sym.Convolution))

    def make(shape, layout):
        cells = [getattr(rnn, name)((1, *shape), 3, prefix=prefix, conv_layout=layout)
                 for prefix in ('l_', 'r_')]
        return rnn.BidirectionalCell(*cells) if both else cells[0]

    rank, sides = len(layout), (3, 4, 5)[:len(layout) - 2]
    expected = run(make((2, *sides), 'NC' + layout[1:-1]), (2, *sides), dtype='float64',
                   begin='variable')
    cell = make((*sides, 2), layout)
    outputs, states = cell.unroll(3, inputs('symbol', 3), cell.begin_state(func=mx.sym.Variable),
                                  merge_outputs=True)
    values = {key: np.moveaxis(value, 2 if key == 'data' else 1, -1) if value.ndim > 1 else value
              for key, value in expected.args.items()}
    states = [mx.sym.transpose(state, axes=last(rank)[1]) for state in flat(states)]
    found = run_symbols(mx.sym.transpose(outputs, axes=(0, 1, rank, *range(2, rank))), states,
                        {key: value.shape for key, value in values.items()}, dtype='float64',
                        values=values)
    assert_close([found.outputs, found.states], [expected.outputs, expected.states], 1e-12)
    for key, grad in expected.grads.items():
        axis = 2 if key == 'data' else 1
        assert_allclose(found.grads[key], np.moveaxis(grad, axis, -1) if grad.ndim > 1 else grad,
                        atol=1e-12)


@differs
def test_layouts_of_images_stand_for_those_of_other_axes():
    assert rnn.ConvRNNCell((1, 2, 6), 3).state_info == [{'shape': (0, 3, 6), '__layout__': 'NCW'}]
    assert rnn.ConvRNNCell((1, 3, 4, 5, 2), 3, conv_layout='NHWC').state_info == [
        {'shape': (0, 3, 4, 5, 3), '__layout__': 'NDHWC'}]
    with pytest.raises(ValueError, match='1 integers, one for each axis of input_shape .* after '
                       'the batch and the channels, got'):
        rnn.ConvRNNCell((1, 2, 6), 3, h2h_kernel=(3, 3))
    with pytest.raises(ValueError, match='a tuple of 3, 4 or 5 integers, .* got'):
        rnn.ConvRNNCell((1, 2), 3)
    with pytest.raises(ValueError, match="one of 'NCW', 'NCHW', got 'NWC'"):
        rnn.ConvRNNCell((1, 6, 2), 3, conv_layout='NWC')


# differences.md: `input_shape` of convolutional cells with batch 0
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
