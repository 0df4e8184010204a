"""SequentialRNNCell and BidirectionalCell: what they compute, their states, their nesting."""
from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import differs, mx, reference, rnn
from .running import flat, inputs, run, run_symbols, stack, step

ZEROS = [np.zeros((2, 3))] * 2


def lstm(args, prefix, reverse=False):
    return reference.unroll(reference.lstm, args, prefix, ZEROS, np.tanh, reverse=reverse)


@pytest.mark.parametrize('merge_outputs', [True, False])
def test_stack_feeds_each_cell_with_the_one_below(merge_outputs):
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.GRUCell(3, 'b_'), rnn.LSTMCell(3, 'c_'))
    found = run(cell, (4,), merge_outputs=merge_outputs, train=False)
    args, final = dict(found.args), []
    for prefix in ('a_', 'b_', 'c_'):
        recurrence = reference.gru if prefix == 'b_' else reference.lstm
        args['data'], states = reference.unroll(recurrence, args, prefix, ZEROS, np.tanh)
        final += states
    assert_allclose(found.outputs, args['data'], atol=1e-6)
    assert len(found.states) == 5
    for ours, theirs in zip(found.states, final):
        assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize('merge_outputs', [True, False])
def test_both_directions_are_joined(merge_outputs):
    cell = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))
    found = run(cell, (4,), merge_outputs=merge_outputs, train=False)
    (forward, left), (backward, right) = (lstm(found.args, prefix, prefix == 'r_')
                                          for prefix in ('l_', 'r_'))
    assert_allclose(found.outputs, np.concatenate([forward, backward], axis=2), atol=1e-6)
    for ours, theirs in zip(found.states, left + right):
        assert_allclose(ours, theirs, atol=1e-6)


def test_both_directions_are_joined_along_channels_of_images():
    cell = rnn.BidirectionalCell(rnn.ConvRNNCell((1, 2, 4, 3), 2, prefix='l_'),
                                 rnn.ConvRNNCell((1, 2, 4, 3), 3, prefix='r_'))
    found = run(cell, (2, 4, 3), train=False)
    assert found.outputs.shape == (2, 3, 5, 4, 3)
    forward, _ = reference.unroll(reference.rnn, found.args, 'l_', [np.zeros((2, 2, 4, 3))],
                                  reference.leaky, reference.convolve, reference.convolve)
    assert_allclose(found.outputs[:, :, :2], forward, atol=5e-6)


def test_states_of_both_directions_are_two_lists():
    cell = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.GRUCell(3, 'r_'))
    assert [state.name for state in cell.begin_state()] == [
        'l_begin_state_0', 'l_begin_state_1', 'r_begin_state_0']
    _, states = cell.unroll(2, inputs('symbol', 2))
    assert [[state.name for state in side] for side in states] == [
        ['l_t1_out', 'l_t1_state'], ['r_t1_out']]


def test_states_of_a_stack_are_flat():
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'), stack(rnn, rnn.GRUCell(3, 'b_')))
    names = ['a_begin_state_0', 'a_begin_state_1', 'b_begin_state_0']
    assert [state.name for state in cell.begin_state()] == names
    for _, states in (step(cell, 1), cell.unroll(1, inputs('symbol', 1))):
        assert [state.name for state in states] == ['a_t0_out', 'a_t0_state', 'b_t0_out']
        cell.reset()
    assert cell.state_shape == [(0, 3)] * 3


def test_names_of_joined_outputs():
    def joined(merge_outputs, **kwargs):
        cell = rnn.BidirectionalCell(rnn.RNNCell(3, prefix='l_'), rnn.RNNCell(3, prefix='r_'),
                                     **kwargs)
        return flat(cell.unroll(2, inputs('symbol', 2), merge_outputs=merge_outputs)[0])
    assert [each.name for each in joined(True)] == ['bi_out']
    assert [each.name for each in joined(False)] == ['bi_t0', 'bi_t1']
    assert joined(True, output_prefix='enc_')[0].name == 'enc_out'


def test_cells_can_be_replaced_in_the_list():
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(3, 'b_'))
    cell._cells[1] = rnn.GRUCell(2, 'c_')
    cell._cells.append(rnn.DropoutCell(0.5))
    outputs, states = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
    assert outputs.infer_shape(data=(5, 2, 4))[1] == [(5, 2, 2)]
    assert len(states) == 3


def test_reset_reaches_every_cell():
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'), stack(rnn, rnn.GRUCell(3, 'b_')))
    step(cell, 3)
    cell.reset()
    output, _ = step(cell, 1)
    assert output[0].name == 'b_t0_out'
    both = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))
    both.unroll(3, inputs('symbol', 3))
    assert {each._counter for each in both._cells} == {2}
    both.reset()
    assert {each._counter for each in both._cells} == {-1}


def test_params_of_a_stack_hold_those_of_its_cells():
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'),
                 rnn.BidirectionalCell(rnn.GRUCell(3, 'l_'), rnn.GRUCell(3, 'r_')))
    assert set(cell.params._params) == {
        '%s%s_%s' % (prefix, group, kind) for prefix in ('a_', 'l_', 'r_')
        for group in ('i2h', 'h2h') for kind in ('weight', 'bias')}


def test_children_may_name_their_own_container():
    """Programs of several decoders give one container to some of the cells."""
    params = rnn.RNNParams('shared_')
    cell = stack(rnn, rnn.GRUCell(4, 'a_', params), rnn.GRUCell(4, 'b_', params),
                 rnn.GRUCell(4, 'c_'))
    outputs, _ = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
    names = outputs.list_arguments()
    assert len(names) == 9 and sum(name.startswith('shared_') for name in names) == 4


@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
def test_deep_nesting_trains(layout):
    cell = stack(
        rnn,
        rnn.BidirectionalCell(stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.GRUCell(2, 'l1_')),
                              rnn.ResidualCell(rnn.RNNCell(4, prefix='r_'))),
        stack(rnn, rnn.ResidualCell(rnn.LSTMCell(6, 'm_')), rnn.GRUCell(3, 't_')))
    found = run(cell, (4,), length=3, layout=layout)
    assert found.outputs.shape[2] == 3
    assert len(found.states) == 3 + 1 + 2 + 1
    for name, grad in found.grads.items():
        assert abs(grad).max() > 1e-6, name


def test_a_list_of_inputs_is_a_sequence():
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.GRUCell(2, 'b_'))
    whole = run(cell, (4,))
    data = whole.args['data']
    outputs, states = cell.unroll(3, inputs('list', 3), merge_outputs=True)
    listed = run_symbols(outputs, states, {'data_t%d' % t: (2, 4) for t in range(3)},
                         values={**whole.args, **{'data_t%d' % t: data[:, t] for t in range(3)}})
    assert_allclose(listed.outputs, whole.outputs, atol=1e-6)


def test_a_slice_of_a_group_of_outputs_is_a_list():
    """Programs pass the outputs of SliceChannel as they are: a Symbol of several outputs."""
    data = mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=3, axis=1, squeeze_axis=True)
    outputs, _ = rnn.LSTMCell(3).unroll(3, list(data), merge_outputs=True)
    assert outputs.infer_shape(data=(2, 3, 4))[1] == [(2, 3, 3)]


@differs
@pytest.mark.parametrize('lengths', [False, True])
def test_both_directions_of_nhwc_are_joined_along_the_channels(lengths):
    cell = rnn.BidirectionalCell(
        rnn.ConvRNNCell((1, 4, 3, 2), 2, prefix='l_', conv_layout='NHWC'),
        rnn.ConvRNNCell((1, 4, 3, 2), 5, prefix='r_', conv_layout='NHWC'))
    options = {'valid_length': mx.sym.Variable('n')} if lengths else {}
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True, **options)
    shapes = {'data': (6, 3, 4, 3, 2), **({'n': (6,)} if lengths else {})}
    assert outputs.infer_shape(**shapes)[1] == [(6, 3, 4, 3, 7)]


@differs
def test_names_of_begin_states_through_fuse():
    def names(wrap):
        found = []
        for make in (lambda: rnn.LSTMCell(3, 'a_'),
                     lambda: stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(3, 'b_')),
                     lambda: stack(rnn, rnn.RNNCell(3, prefix='a_'), rnn.DropoutCell(0.1),
                                   rnn.ZoneoutCell(rnn.GRUCell(3, 'b_'), 0.1)),
                     lambda: rnn.ResidualCell(rnn.LSTMCell(3, 'a_')),
                     lambda: rnn.BidirectionalCell(rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(3, 'b_'))):
            cell = wrap(make())
            cell.unroll(2, mx.sym.Variable('data'))
            found.append([state.name for state in cell.begin_state(func=mx.sym.Variable)])
            cell.unroll(2, mx.sym.Variable('data'), cell.begin_state(func=mx.sym.Variable))
            found.append([state.name for state in cell.begin_state(func=mx.sym.Variable)])
        return found

    assert names(rnn.fuse) == names(lambda cell: cell)


@differs
def test_a_stack_is_counted_and_indexed():
    cells = [rnn.LSTMCell(3, 'a_'), rnn.GRUCell(4, 'b_'), rnn.RNNCell(5, prefix='c_')]
    outer = stack(rnn, *cells)
    assert len(outer) == 3 and list(outer) == cells and outer[-1] is cells[2]
    assert outer[1:] == cells[1:]
    with pytest.raises(IndexError):
        outer[3]
    assert rnn.SequentialRNNCell() and not len(rnn.SequentialRNNCell())  # as in mxnet.rnn, true


@differs
def test_repr_tells_sizes():
    assert repr(stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.ResidualCell(rnn.GRUCell(3, 'b_')))) == (
        "SequentialRNNCell(LSTMCell(3, prefix='a_'), ResidualCell(GRUCell(3, prefix='b_')))")
    assert repr(rnn.FusedRNNCell(4, 2, 'gru', bidirectional=True, prefix='f_')) == (
        "FusedRNNCell(4, num_layers=2, 'gru', bidirectional, prefix='f_')")
    assert repr(rnn.ConvLSTMCell((1, 2, 5, 6), 3, prefix='c_')) == "ConvLSTMCell(3, prefix='c_')"


def consistent(prefix):
    """MXNet infers the shapes of its later outputs from what comes after them."""
    return rnn.ZoneoutCell(rnn.GRUCell(2, prefix), 0.1, 0.1, consistent=True)


@differs
@pytest.mark.parametrize('make', [
    lambda: stack(rnn, rnn.GRUCell(2, 'a_'), rnn.ResidualCell(consistent('b_'))),
    lambda: stack(rnn, rnn.GRUCell(2, 'a_'), consistent('b_'), rnn.FusedRNNCell(2, prefix='c_')),
    lambda: stack(rnn, rnn.LayerNormGRUCell(2, 'a_'), rnn.ResidualCell(consistent('b_')))])
@pytest.mark.parametrize('merge_outputs', [True, False])
def test_shapes_that_are_known_in_part_are_not_refused(make, merge_outputs):
    outputs, _ = make().unroll(3, mx.sym.Variable('x'), merge_outputs=merge_outputs)
    shapes = mx.sym.Group(list(outputs)).infer_shape(x=(4, 3, 2))[1]
    assert shapes == ([(4, 3, 2)] if merge_outputs else [(4, 2)] * 3)


@differs
def test_lengths_of_joins_whose_shapes_are_known_are_checked():
    two = mx.sym.Concat(*[mx.sym.Variable('x%d' % i, shape=(4, 1, 2)) for i in range(2)], dim=1)
    with pytest.raises(ValueError, match='length must be the number of steps of inputs'):
        rnn.GRUCell(2).unroll(3, two)
