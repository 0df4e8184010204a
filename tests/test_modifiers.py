"""Stacks and modifiers where mxnet.rnn has no counterpart."""
import numpy as np
import pytest

from . import differs, mx, rnn
from .running import run_symbols, stack

pytestmark = differs


class Own(rnn.BaseRNNCell):
    """A cell of a program, which does not look how many states it gets."""

    state_info = [{'shape': (0, 3), '__layout__': 'NC'}] * 2

    def __call__(self, inputs, states):
        return inputs, [inputs, inputs]


# differences.md: a wrong number of states
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


def test_a_cell_that_hands_on_other_states_than_it_takes():
    class Grows(rnn.BaseRNNCell):
        state_info = [{'shape': (0, 3), '__layout__': 'NC'}]

        def __call__(self, inputs, states):
            return inputs, [inputs, inputs]

    with pytest.raises(ValueError, match='as many states as it gets, got 1 and 2'):
        Grows().unroll(2, mx.sym.Variable('x'), valid_length=mx.sym.Variable('n'))


# differences.md: `begin_state(init_sym, func=)` of modifiers
@pytest.mark.parametrize('make', [rnn.ZoneoutCell, rnn.ResidualCell])
def test_two_names_of_one_argument_are_not_both_given(make):
    cell = make(rnn.LSTMCell(3))
    with pytest.raises(TypeError, match='init_sym and func of begin_state.*only one of them'):
        cell.begin_state(mx.sym.Variable, func=mx.sym.ones)
    assert cell.begin_state(func=mx.sym.ones)[0].list_arguments() == []
    assert cell.begin_state(mx.sym.Variable)[0].list_arguments() == ['lstm_begin_state_2']


def bare(cell, **kwargs):
    """Begin states that say their shapes, and what is in `kwargs`."""
    return [mx.sym.Variable('s%d' % i, shape=(2,) + shape[1:], **kwargs)
            for i, shape in enumerate(cell.state_shape)]


#: Cells, how much of outputs and states they zone out, and begin states: none, or how they are.
FLOAT64 = {
    'stateless': (lambda: rnn.DropoutCell(0.2), (0.3, 0.3), None),
    'variables': (lambda: rnn.LSTMCell(3), (0.3, 0.3), {}),
    'states': (lambda: rnn.LSTMCell(3), (0, 0.3), {}),
    'typed': (lambda: rnn.LSTMCell(3), (0.3,), {'dtype': 'float64'}),
    'zeros': (lambda: rnn.LSTMCell(3), (0.3, 0.3), None)}


# differences.md: float16 and float64
@pytest.mark.parametrize('way', ['unroll', 'dynamic'])
@pytest.mark.parametrize('make, rates, begin', FLOAT64.values(), ids=FLOAT64)
def test_zoneout_in_float64(make, rates, begin, way):
    cell = rnn.ZoneoutCell(make(), *rates)
    begin = None if begin is None else bare(cell, **begin)
    data = mx.sym.Variable('data')
    outputs, states = (
        cell.unroll(3, data, begin, merge_outputs=True, dtype='float64') if way == 'unroll' else
        rnn.dynamic_unroll(cell, data, begin, dtype='float64'))
    found = run_symbols(outputs, states, {'data': (2, 3, 4)}, dtype='float64')
    assert found.outputs.dtype == np.float64
    assert np.isfinite(found.grads['data']).all()


def test_a_stack_is_counted_and_indexed():
    cells = [rnn.LSTMCell(3, 'a_'), rnn.GRUCell(4, 'b_'), rnn.RNNCell(5, prefix='c_')]
    outer = stack(rnn, *cells)
    assert len(outer) == 3 and list(outer) == cells and outer[-1] is cells[2]
    assert outer[1:] == cells[1:]
    with pytest.raises(IndexError):
        outer[3]
    assert rnn.SequentialRNNCell() and not len(rnn.SequentialRNNCell())  # as in mxnet.rnn, true


def consistent(prefix):
    """MXNet infers the shapes of its later outputs from what comes after them."""
    return rnn.ZoneoutCell(rnn.GRUCell(2, prefix), 0.1, 0.1, consistent=True)


@pytest.mark.parametrize('make', [
    lambda: stack(rnn, rnn.GRUCell(2, 'a_'), rnn.ResidualCell(consistent('b_'))),
    lambda: stack(rnn, rnn.GRUCell(2, 'a_'), consistent('b_'), rnn.FusedRNNCell(2, prefix='c_')),
    lambda: stack(rnn, rnn.LayerNormGRUCell(2, 'a_'), rnn.ResidualCell(consistent('b_')))])
@pytest.mark.parametrize('merge_outputs', [True, False])
def test_shapes_that_are_known_in_part_are_not_refused(make, merge_outputs):
    outputs, _ = make().unroll(3, mx.sym.Variable('x'), merge_outputs=merge_outputs)
    shapes = mx.sym.Group(list(outputs)).infer_shape(x=(4, 3, 2))[1]
    assert shapes == ([(4, 3, 2)] if merge_outputs else [(4, 2)] * 3)
