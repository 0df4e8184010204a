"""DropoutCell, ZoneoutCell, ResidualCell and ModifierCell: what they do in training and after."""
from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import differs, mx, rnn
from .running import flat, inputs, run, run_symbols, stack, step


@pytest.mark.parametrize('merge_outputs', [True, False])
def test_dropout_drops_in_training_alone(merge_outputs):
    cell = rnn.DropoutCell(0.25)
    data = np.ones((40, 5, 50))
    found = run(cell, (50,), 5, 40, merge_outputs=merge_outputs, values={'data': data})
    assert set(np.unique(found.outputs)) == {0.0, np.float32(1 / 0.75)}
    assert abs((found.outputs == 0).mean() - 0.25) < 0.02
    assert found.states == []
    inference = run(cell, (50,), 5, 40, merge_outputs=merge_outputs, train=False)
    assert (inference.outputs == inference.args['data'].astype('float32')).all()


def test_dropout_has_neither_states_nor_weights():
    cell = rnn.DropoutCell(0.5)
    assert (cell.state_info, cell.state_shape, cell.begin_state()) == ([], [], [])
    output, states = cell(mx.sym.Variable('data'), [])
    assert output.list_arguments() == ['data'] and states == []
    assert cell.unpack_weights({'w': mx.nd.ones(1)}).keys() == {'w'}


@pytest.mark.parametrize('merge_outputs', [True, False])
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
def test_residual_adds_the_inputs(merge_outputs, layout):
    for base in (rnn.LSTMCell(4, 'x_'), stack(rnn, rnn.LSTMCell(3, 'x_'), rnn.GRUCell(4, 'y_')),
                 rnn.BidirectionalCell(rnn.GRUCell(2, 'x_'), rnn.GRUCell(2, 'y_'))):
        options = {'layout': layout, 'merge_outputs': merge_outputs}
        plain = run(base, (4,), **options)
        added = run(rnn.ResidualCell(base), (4,), **options)
        assert_allclose(added.outputs, plain.outputs + plain.args['data'], atol=1e-6)
        for ours, theirs in zip(added.states, plain.states):
            assert_allclose(ours, theirs, atol=1e-6)


def test_residual_steps_add_the_input():
    cell = rnn.ResidualCell(rnn.GRUCell(4, 'x_'))
    outputs, states = step(cell, 2)
    assert [each.name for each in states] == ['x_t1_out']
    assert outputs[0].name == 'x_t0_out_plus_residual'
    found = run_symbols(outputs, states, {'data_t0': (2, 4), 'data_t1': (2, 4)})
    assert_allclose(found.outputs[:, 1] - found.args['data_t1'], found.states[0], atol=1e-6)


@pytest.mark.parametrize('zoneout', [(0.3, 0.0), (0.0, 0.3), (0.3, 0.2)])
def test_zoneout_is_its_base_in_inference(zoneout):
    base = run(rnn.LSTMCell(3, 'x_'), (4,), train=False)
    zoned = run(rnn.ZoneoutCell(rnn.LSTMCell(3, 'x_'), *zoneout), (4,), train=False)
    assert_allclose(zoned.outputs, base.outputs, atol=1e-6)
    for ours, theirs in zip(zoned.states, base.states):
        assert_allclose(ours, theirs, atol=1e-6)


def test_zoneout_keeps_elements_of_the_state():
    """With every weight zero but a bias, a new state differs from the kept one everywhere."""
    hidden, p = 2000, 0.3
    cell = rnn.ZoneoutCell(rnn.RNNCell(hidden, prefix='x_'), zoneout_states=p)
    states = cell.begin_state(mx.sym.Variable)
    outputs, final = cell.unroll(1, inputs('symbol', 1), begin_state=states, merge_outputs=True)
    values = {'x_i2h_weight': np.zeros((hidden, 1)), 'x_h2h_weight': np.zeros((hidden, hidden)),
              'x_i2h_bias': np.ones(hidden), 'x_h2h_bias': np.zeros(hidden),
              'x_begin_state_0': np.full((1, hidden), 5.0)}
    found = run_symbols(outputs, final, {'data': (1, 1, 1)}, values=values)
    kept = found.states[0] == 5.0
    assert abs(kept.mean() - p) < 0.04
    assert_allclose(found.states[0][~kept], np.tanh(1), rtol=1e-6)
    assert_allclose(found.outputs[0], np.full((1, hidden), np.tanh(1)), rtol=1e-6)


def test_zoneout_keeps_elements_of_the_output():
    """The output before the first is zero; from then on, an element stays with probability p."""
    hidden, p = 2000, 0.3
    cell = rnn.ZoneoutCell(rnn.RNNCell(hidden, activation='relu', prefix='x_'), zoneout_outputs=p)
    values = {'x_i2h_weight': np.ones((hidden, 1)), 'x_h2h_weight': np.zeros((hidden, hidden)),
              'x_i2h_bias': np.zeros(hidden), 'x_h2h_bias': np.zeros(hidden),
              'data': np.array([[[1.0], [2.0]]])}
    found = run(cell, (1,), 2, 1, values=values)
    first, second = found.outputs[0]
    assert set(np.unique(first)) == {0.0, 1.0} and set(np.unique(second)) == {0.0, 1.0, 2.0}
    assert abs((first == 0).mean() - p) < 0.04
    assert abs((second != 2).mean() - p) < 0.04
    assert ((second == 2) | (second == first)).all()
    assert_allclose(found.states[0], np.full((1, hidden), 2.0))


def test_modified_cells_name_their_nodes_as_before():
    for modify in (rnn.ResidualCell, rnn.ZoneoutCell, rnn.ModifierCell):
        cell = modify(rnn.LSTMCell(4, 'x_'))
        assert [each.name for each in cell.begin_state()] == [
            'x_begin_state_0', 'x_begin_state_1']
        assert cell.state_shape == [(0, 4)] * 2
        assert cell.params is cell.base_cell.params
        assert cell.base_cell._modified


def test_weights_of_a_modified_cell_are_packed_by_it():
    args = {name: mx.nd.array(array) for name, array in run(
        rnn.LSTMCell(4, 'x_'), (4,), train=False).args.items() if name != 'data'}
    cell = rnn.ResidualCell(rnn.ZoneoutCell(rnn.LSTMCell(4, 'x_'), 0.1))
    unpacked = cell.unpack_weights(args)
    assert set(unpacked) == {'x_%s_%s_%s' % (group, gate, kind) for group in ('i2h', 'h2h')
                             for gate in 'ifco' for kind in ('weight', 'bias')}
    packed = cell.pack_weights(unpacked)
    assert all((packed[name].asnumpy() == args[name].asnumpy()).all() for name in args)


def test_modifier_of_a_program_transforms_what_its_base_returns():
    class Doubled(rnn.ModifierCell):
        def __call__(self, inputs, states):
            output, states = self.base_cell(inputs, states)
            return output * 2, states
    base = run(rnn.GRUCell(3, 'x_'), (4,), train=False)
    doubled = run(Doubled(rnn.GRUCell(3, 'x_')), (4,), train=False)
    assert_allclose(doubled.outputs, 2 * base.outputs, atol=1e-6)
    assert_allclose(doubled.states[0], base.states[0], atol=1e-6)


def test_modifiers_in_a_stack_keep_the_states_in_order():
    cell = stack(rnn, rnn.ZoneoutCell(rnn.LSTMCell(4, 'a_'), 0.0, 0.1), rnn.DropoutCell(0.3),
                 rnn.ResidualCell(rnn.GRUCell(4, 'b_')))
    outputs, states = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
    assert len(flat(states)) == 3
    assert cell.state_shape == [(0, 4)] * 3
    assert outputs.infer_shape(data=(7, 2, 4))[1] == [(7, 2, 4)]


class Own(rnn.BaseRNNCell):
    """A cell of a program, which does not look how many states it gets."""

    state_info = [{'shape': (0, 3), '__layout__': 'NC'}] * 2

    def __call__(self, inputs, states):
        return inputs, [inputs, inputs]


@differs
@pytest.mark.parametrize('count', [0, 1, 3])
@pytest.mark.parametrize('make', [
    lambda: rnn.ZoneoutCell(rnn.LSTMCell(3), 0, 0.3), lambda: rnn.ZoneoutCell(Own(), 0, 0.3),
    lambda: rnn.ZoneoutCell(rnn.LSTMCell(3), 0.3), lambda: rnn.ZoneoutCell(Own(), 0.3),
    lambda: rnn.ResidualCell(rnn.ZoneoutCell(rnn.LSTMCell(3), 0.3, 0.3)),
    lambda: rnn.VariationalDropoutCell(rnn.LSTMCell(3), 0.1, 0.1)],
    ids=['states', 'states_own', 'outputs', 'outputs_own', 'residual', 'variational'])
def test_a_wrong_number_of_states_under_a_modifier(make, count):
    cell = make()
    states = [mx.sym.Variable('s%d' % i) for i in range(count)]
    with pytest.raises(ValueError, match='states of .* must be 2 Symbols.*got %d' % count):
        cell(mx.sym.Variable('x'), states)


@differs
def test_a_cell_that_hands_on_other_states_than_it_takes():
    class Grows(rnn.BaseRNNCell):
        state_info = [{'shape': (0, 3), '__layout__': 'NC'}]

        def __call__(self, inputs, states):
            return inputs, [inputs, inputs]

    with pytest.raises(ValueError, match='as many before a step as after it, got 1 and 2'):
        Grows().unroll(2, mx.sym.Variable('x'), valid_length=mx.sym.Variable('n'))


@differs
@pytest.mark.parametrize('make', [rnn.ZoneoutCell, rnn.ResidualCell])
def test_two_names_of_one_argument_are_not_both_given(make):
    cell = make(rnn.LSTMCell(3))
    with pytest.raises(TypeError, match='init_sym and func of begin_state.*got both'):
        cell.begin_state(mx.sym.Variable, func=mx.sym.ones)
    assert cell.begin_state(func=mx.sym.ones)[0].list_arguments() == []
    assert cell.begin_state(mx.sym.Variable)[0].list_arguments() == ['lstm_begin_state_2']


def bare(cell, dtype=None, **kwargs):
    """Begin states that say nothing of themselves but their shapes."""
    return [mx.sym.Variable('s%d' % i, shape=(2,) + shape[1:], **kwargs)
            for i, shape in enumerate(cell.state_shape)]


IMAGES = {'lengths': lambda cell: {'valid_length': mx.sym.Variable('n')},
          'variables': lambda cell: {'begin_state': bare(cell)},
          'both': lambda cell: {'valid_length': mx.sym.Variable('n'), 'begin_state': bare(cell)}}


@differs
@pytest.mark.parametrize('options', IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize('name', ['ConvRNNCell', 'ConvLSTMCell', 'ConvGRUCell'])
def test_zoneout_of_outputs_of_images(name, options):
    cell = rnn.ZoneoutCell(getattr(rnn, name)((1, 2, 5, 6), 3), 0.3)
    outputs, states = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True, **options(cell))
    shapes = {'data': (2, 3, 2, 5, 6), **({'n': (2,)} if 'n' in outputs.list_arguments() else {})}
    bound = mx.sym.Group([outputs] + states).simple_bind(mx.cpu(), **shapes)
    for array in bound.arg_arrays:
        array[:] = 0.5
    bound.arg_dict.get('n', mx.nd.zeros((2,)))[:] = 2
    assert np.isfinite(bound.forward(is_train=True)[0].asnumpy()).all()


FLOAT64 = {
    'stateless': lambda: (rnn.ZoneoutCell(rnn.DropoutCell(0.2), 0.3, 0.3), None),
    'variables': lambda: (lambda cell: (cell, bare(cell)))(
        rnn.ZoneoutCell(rnn.LSTMCell(3), 0.3, 0.3)),
    'states': lambda: (lambda cell: (cell, bare(cell)))(rnn.ZoneoutCell(rnn.LSTMCell(3), 0, 0.3)),
    'typed': lambda: (lambda cell: (cell, bare(cell, dtype='float64')))(
        rnn.ZoneoutCell(rnn.LSTMCell(3), 0.3)),
    'zeros': lambda: (rnn.ZoneoutCell(rnn.LSTMCell(3), 0.3, 0.3), None)}


@differs
@pytest.mark.parametrize('way', ['unroll', 'dynamic'])
@pytest.mark.parametrize('make', FLOAT64.values(), ids=FLOAT64)
def test_zoneout_in_float64(make, way):
    cell, begin = make()
    data = mx.sym.Variable('data')
    outputs, states = (
        cell.unroll(3, data, begin, merge_outputs=True, dtype='float64') if way == 'unroll' else
        rnn.dynamic_unroll(cell, data, begin, dtype='float64'))
    bound = mx.sym.Group([outputs] + states).simple_bind(mx.cpu(), type_dict={'data': 'float64'},
                                                         data=(2, 3, 4))
    for array in bound.arg_arrays:
        array[:] = 0.5
    bound.forward(is_train=True)
    bound.backward([mx.nd.ones(each.shape, dtype='float64') for each in bound.outputs])
    assert bound.outputs[0].dtype == np.float64
    assert np.isfinite(bound.grad_dict['data'].asnumpy()).all()


@differs
def test_a_loop_takes_the_type_that_binding_gives_where_outputs_are_not_kept():
    cell = rnn.ZoneoutCell(rnn.LSTMCell(3), 0, 0.3)
    outputs, _ = rnn.dynamic_unroll(cell, mx.sym.Variable('data'), bare(cell), 'TNC')
    bound = outputs.simple_bind(mx.cpu(), data=(3, 2, 4),
                                type_dict={'data': 'float64', 's0': 'float64', 's1': 'float64'})
    assert bound.forward(is_train=True)[0].dtype == np.float64


@differs
def test_begin_states_of_a_stack_are_asked_of_the_modifier_around_it():
    for inner in (rnn.SequentialRNNCell(),
                  rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))):
        rnn.ResidualCell(inner)
        with pytest.raises(ValueError, match='must be asked of the modifier'):
            inner.begin_state()
