"""RNNCell, LSTMCell, GRUCell and the base class: recurrences, gradients, states, naming."""
from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import differs, mx, reference, rnn
from .cases import BOUND, LEAKY, each_bound
from .comparing import assert_agree
from .running import begin_state, flat, inputs, random_value, reset, run, run_symbols, step


def relu(x):
    return np.maximum(x, 0)


RECURRENCES = {
    'tanh': (lambda **kwargs: rnn.RNNCell(3, **kwargs), reference.rnn, np.tanh),
    'relu': (lambda **kwargs: rnn.RNNCell(3, 'relu', **kwargs), reference.rnn, relu),
    'sigmoid': (lambda **kwargs: rnn.RNNCell(3, 'sigmoid', **kwargs), reference.rnn,
                reference.sigmoid),
    'callable': (lambda **kwargs: rnn.RNNCell(3, mx.sym.arctan, **kwargs), reference.rnn,
                 np.arctan),
    'lstm': (lambda **kwargs: rnn.LSTMCell(3, **kwargs), reference.lstm, np.tanh),
    'gru': (lambda **kwargs: rnn.GRUCell(3, **kwargs), reference.gru, np.tanh)}


@pytest.mark.parametrize('name', RECURRENCES)
@pytest.mark.parametrize('length', [1, 3])
def test_recurrence_and_gradients(name, length):
    make, recurrence, activation = RECURRENCES[name]
    states = 2 if name == 'lstm' else 1
    found = run(make(prefix='x_'), (4,), length=length, begin='variable', dtype='float64')

    def forward(args):
        return reference.unroll(recurrence, args, 'x_',
                                [args['x_begin_state_%d' % i] for i in range(states)], activation)

    reference.assert_follows(found, forward, 1e-12, 1e-6)


@pytest.mark.parametrize('name', RECURRENCES)
def test_recurrence_in_float32_from_default_states(name):
    make, recurrence, activation = RECURRENCES[name]
    found = run(make(prefix='x_'), (4,), length=4)
    outputs, final = reference.unroll(recurrence, found.args, 'x_', [np.zeros((2, 3))] * 2,
                                      activation)
    assert_allclose(found.outputs, outputs, atol=1e-6)
    assert_allclose(found.states[0], final[0], atol=1e-6)


# Over the whole list


REPEATABLE = [case for case in BOUND if not case.random]
each_repeatable = pytest.mark.parametrize('case', REPEATABLE, ids=str)


@each_repeatable
def test_layouts_agree(case):
    batch_first = run(case.make(rnn), case.step, layout='NTC')
    time_first = run(case.make(rnn), case.step, layout='TNC')
    assert_agree(batch_first, time_first._replace(outputs=time_first.outputs.swapaxes(0, 1)),
                 without=['data'])
    assert_allclose(batch_first.grads['data'], time_first.grads['data'].swapaxes(0, 1), atol=1e-5)


@each_repeatable
def test_merged_outputs_are_the_list_of_steps(case):
    merged, listed = (run(case.make(rnn), case.step, merge_outputs=merge)
                      for merge in (True, False))
    assert_agree(merged, listed)


@pytest.mark.parametrize('case', [case for case in REPEATABLE if case.begins], ids=str)
def test_zero_states_given_are_the_default(case):
    whole = run(case.make(rnn), case.step)
    cell = case.make(rnn)
    states = cell.begin_state()
    outputs, final = cell.unroll(3, inputs('symbol', 3), begin_state=states, merge_outputs=True)
    assert_agree(whole, run_symbols(outputs, final, {'data': (2, 3) + case.step}))


@pytest.mark.parametrize('case', [case for case in REPEATABLE if case.can_step and case.begins],
                         ids=str)
def test_steps_are_the_unrolled_sequence(case):
    whole = run(case.make(rnn), case.step, length=3)
    data = whole.args['data']
    outputs, states = step(case.make(rnn), 3)
    stepped = run_symbols(outputs, states, {'data_t%d' % t: data[:, t].shape for t in range(3)},
                          values={**whole.args, **{'data_t%d' % t: data[:, t] for t in range(3)}})
    assert_allclose(stepped.outputs, whole.outputs, atol=2e-6)
    for name in set(whole.grads) - {'data'}:
        assert_allclose(stepped.grads[name], whole.grads[name], rtol=1e-4, atol=1e-5)


@each_bound
def test_inference_does_not_depend_on_chance(case):
    first, second = (run(case.make(rnn), case.step, train=False) for _ in range(2))
    assert (first.outputs == second.outputs).all()
    assert np.isfinite(first.outputs).all()


@pytest.mark.parametrize('case', [case for case in REPEATABLE if case.can_step], ids=str)
def test_a_sequence_in_two_pieces_carries_its_states(case):
    whole = run(case.make(rnn), case.step, length=4, train=False)
    cell = case.make(rnn)
    data = inputs('symbol', 4)
    halves = [mx.sym.slice_axis(data, axis=1, begin=begin, end=begin + 2) for begin in (0, 2)]
    first, states = cell.unroll(2, halves[0], merge_outputs=True)
    reset(cell)
    second, states = cell.unroll(2, halves[1], begin_state=flat(states), merge_outputs=True)
    joined = run_symbols(mx.sym.concat(first, second, dim=1), states, {'data': (2, 4) + case.step},
                         values=whole.args, train=False)
    assert_agree(whole._replace(grads={}), joined._replace(grads={}))


# Naming, states, containers

def test_default_prefixes_and_argument_order():
    for cell, prefix in ((rnn.RNNCell(3), 'rnn_'), (rnn.LSTMCell(3), 'lstm_'),
                         (rnn.GRUCell(3), 'gru_')):
        outputs, _ = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
        assert outputs.list_arguments() == ['data'] + [
            prefix + name for name in ('i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias')]


def test_names_of_steps_go_on_until_reset():
    cell = rnn.LSTMCell(3, prefix='x_')
    _, states = step(cell, 2)
    assert [state.name for state in states] == ['x_t1_out', 'x_t1_state']
    output, _ = cell(mx.sym.Variable('more'), states)
    assert output.name == 'x_t2_out'
    cell.reset()
    assert step(cell, 1)[0][0].name == 'x_t0_out'
    assert (cell._counter, cell._init_counter) == (0, 1)


def test_begin_states_are_numbered():
    cell = rnn.LSTMCell(3, prefix='x_')
    names = [state.name for _ in range(2) for state in cell.begin_state()]
    assert names == ['x_begin_state_%d' % i for i in range(4)]
    assert cell._init_counter == 3


def test_begin_state_passes_its_keywords_to_the_function():
    states = rnn.LSTMCell(3).begin_state(func=mx.sym.uniform, low=2.0, high=3.0, dtype='float64')
    rows = mx.sym.Variable('rows')
    bound = mx.sym.Group([state + rows for state in states]).simple_bind(
        mx.cpu(), rows=(5, 3), type_dict={'rows': 'float64'})
    for result in bound.forward():
        assert result.dtype == np.float64
        assert 2 <= result.asnumpy().min() <= result.asnumpy().max() <= 3


def test_begin_state_of_variables_carries_shape_and_layout():
    state, = rnn.GRUCell(3).begin_state(func=mx.sym.Variable)
    assert state.attr('__layout__') == 'NC'
    assert state.attr('__shape__') == '(0, 3)'


def test_state_shape_is_a_fresh_list():
    cell = rnn.LSTMCell(3)
    shapes = cell.state_shape
    shapes += cell.state_shape
    assert cell.state_shape == [(0, 3), (0, 3)]
    assert cell.state_info == [{'shape': (0, 3), '__layout__': 'NC'}] * 2


def test_default_states_let_shapes_be_inferred_through_operators():
    cell = rnn.LSTMCell(3)
    states = cell.begin_state()
    states[0] = states[0] * mx.sym.Dropout(mx.sym.ones_like(states[0]), p=0.5)
    output, _ = cell(mx.sym.Variable('data'), states)
    assert output.infer_shape(data=(7, 4))[1] == [(7, 3)]


def test_params_gets_a_variable_once():
    params = rnn.RNNParams('p_')
    weight = params.get('weight', shape=(2, 3), lr_mult=0.5)
    assert params.get('weight') is weight
    assert weight.name == 'p_weight'
    assert (weight.attr('__shape__'), weight.attr('__lr_mult__')) == ('(2, 3)', '0.5')
    assert list(params._params) == ['p_weight']


def test_cells_that_share_a_container_share_weights():
    first = rnn.LSTMCell(3, prefix='a_')
    second = rnn.LSTMCell(3, prefix='b_', params=first.params)
    data = inputs('symbol', 2)
    outputs = [cell.unroll(2, data, merge_outputs=True)[0] for cell in (first, second)]
    assert outputs[0].list_arguments() == outputs[1].list_arguments()
    assert len(mx.sym.Group(outputs).list_arguments()) == 5


def test_forget_bias_is_the_initial_value_of_a_quarter_of_the_bias():
    graph, _ = rnn.LSTMCell(2, forget_bias=0.75).unroll(1, inputs('symbol', 1), merge_outputs=True)
    module = mx.mod.Module(graph, label_names=None)
    module.bind([('data', (1, 1, 3))])
    module.init_params(mx.init.Xavier())
    args = module.get_params()[0]
    assert args['lstm_i2h_bias'].asnumpy().tolist() == [0, 0, .75, .75, 0, 0, 0, 0]
    assert args['lstm_h2h_bias'].asnumpy().tolist() == [0] * 8


def test_activation_helper_takes_names_and_functions():
    cell = rnn.LSTMCell(3)
    data = mx.sym.Variable('data')
    by_name = cell._get_activation(data, 'softsign', name='a')
    by_function = cell._get_activation(data, LEAKY, name='b')
    unbound = rnn.BaseRNNCell._get_activation(cell, data, 'tanh', name='c')
    assert unbound.list_outputs() == ['c_output']
    assert (by_name.name, by_function.name) == ('a', 'b')
    assert by_name.attr('act_type') == 'softsign'


def test_base_class_unrolls_what_a_subclass_computes():
    class Adder(rnn.BaseRNNCell):
        @property
        def state_info(self):
            return [{'shape': (0, 4), '__layout__': 'NC'}]

        def __call__(self, inputs, states):
            self._counter += 1
            total = mx.sym.elemwise_add(inputs, states[0],
                                        name='%st%d_sum' % (self._prefix, self._counter))
            return total, [total]
    cell = Adder('adder_')
    assert step(cell, 2)[0][1].name == 'adder_t1_sum'
    found = run(cell, (4,), length=3)
    assert_allclose(found.outputs, np.cumsum(found.args['data'], axis=1), rtol=1e-6)
    assert_allclose(found.states[0], found.args['data'].sum(1), rtol=1e-6)


@pytest.mark.parametrize('name', ['RNNCell', 'LSTMCell', 'GRUCell'])
def test_values_of_states_given_are_used(name):
    cell = getattr(rnn, name)(3, prefix='x_')
    states = begin_state(cell, 'variable')
    outputs, _ = cell.unroll(1, inputs('symbol', 1), begin_state=states, merge_outputs=True)
    shapes = {'data': (2, 1, 4)}
    one, other = (run_symbols(outputs, [], shapes, values={
        'x_begin_state_0': random_value('state', (2, 3), seed)}) for seed in (1, 2))
    assert abs(one.outputs - other.outputs).max() > 1e-3


def test_names_that_programs_give_to_attributes_stay_free():
    class Counting(rnn.LSTMCell):
        def __init__(self, num_hidden):
            super().__init__(num_hidden)
            self._num_gates = 4
            self._children = []

    outputs, _ = Counting(3).unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    assert outputs.infer_shape(data=(1, 2, 5))[1] == [(1, 2, 3)]


@differs
@pytest.mark.parametrize('shape', [(2, 3, 4), (0, 3, 4)])
@pytest.mark.parametrize('make', [
    lambda: rnn.LSTMCell(3), lambda: rnn.ResidualCell(rnn.LSTMCell(4)),
    lambda: rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))])
def test_a_sequence_of_another_length_is_refused(make, shape):
    data = mx.sym.Variable('data', shape=shape)
    for length in (2, 5):
        with pytest.raises(ValueError, match=r'length must be .*has 3 .*got %d' % length):
            make().unroll(length, data)
    for length in (2, 4):
        with pytest.raises(ValueError, match='length=%d steps, got 3 Symbols' % length):
            make().unroll(length, inputs('list', 3))
    make().unroll(3, data)


@differs
def test_unknown_sizes_of_numpy_are_unknown():
    with mx.util.np_shape(True):
        data = mx.sym.Variable('data', shape=(2, -1, 5))
        outputs, _ = rnn.LSTMCell(3).unroll(3, data, merge_outputs=True)
        assert outputs.infer_shape(data=(2, 3, 5))[1] == [(2, 3, 3)]


def test_defaults_read_from_a_signature_can_be_given():
    import inspect
    cell = rnn.LSTMCell(4, prefix='l_')
    bound = inspect.signature(cell.begin_state).bind()
    bound.apply_defaults()
    given = cell.begin_state(*bound.args, **bound.kwargs)
    cell.reset()
    assert [state.tojson() for state in given] == [state.tojson() for state in cell.begin_state()]
