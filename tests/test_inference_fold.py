"""What a Predictor computes in advance: the same numbers from fewer operators."""

import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn
from .cases import BOUND, OURS, each
from .comparing import assert_close
from .running import operators, quiet, random_value, stack, weights_of

pytestmark = differs

LENGTH, BATCH = 3, 2


def network_of(cell):
    """A network, as Predictor takes it, of one cell."""
    def network(length):
        cell.reset()
        with mx.name.NameManager():
            outputs, _ = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True)
        return outputs, ['data'], []
    return network


def folded(symbol, weights):
    """The graph that a Predictor runs, and its weights."""
    predict = rnn.Predictor(lambda length: (symbol, ['data'], []), weights, buckets=[LENGTH])
    graph = predict._networks._graphs[LENGTH]
    return graph.symbol, graph.weights


@each([case for case in BOUND + OURS if case.binds])
def test_numbers_are_the_same(case):
    shape = (BATCH, LENGTH) + case.step
    network = network_of(rnn.fuse(quiet(case.make(rnn))))
    symbol = network(LENGTH)[0]
    weights = weights_of(symbol, data=shape)
    data = random_value('data', shape).astype('float32')
    executor = symbol.bind(mx.cpu(), {**weights, 'data': mx.nd.array(data)}, grad_req='null')
    predict = rnn.Predictor(network, weights, buckets=[LENGTH], batch_size=BATCH)
    assert_close(np.stack(predict(list(data))), executor.forward()[0].asnumpy())
    graph = predict._networks._graphs[LENGTH]
    assert set(graph.weights) == set(graph.symbol.list_arguments()) - {'data'}


@needs_operator
@pytest.mark.parametrize('known', [(), (0, LENGTH, 4)], ids=['open', 'known'])
def test_fuse_then_costs_what_the_fused_operator_does(known):
    cell = stack(rnn, rnn.LSTMCell(4, 'l0_'), rnn.LSTMCell(4, 'l1_'))
    data = mx.sym.Variable('data', shape=known) if known else mx.sym.Variable('data')
    symbol, _ = rnn.fuse(cell).unroll(LENGTH, data, merge_outputs=True)
    symbol, arrays = folded(symbol, weights_of(symbol, data=(BATCH, LENGTH, 4)))
    assert set(symbol.list_arguments()) == {'data', *arrays}
    assert set(arrays) == {'l0_fused_parameters', 'l1_fused_parameters'}
    counts = operators(symbol)
    for moved in ('SwapAxis', 'Reshape', 'SequenceMask'):  # of the data; the last without oneDNN
        counts.pop(moved, None)
    assert counts == {'_zeros': 4, 'expand_dims': 4, 'RNN': 2}


@needs_operator
def test_fuse_folds_where_the_type_of_begin_states_is_not_known():
    cell = rnn.LSTMCell(4, 'l_')
    begin = cell.begin_state(func=mx.sym.Variable)
    symbol = rnn.fuse(cell).unroll(LENGTH, mx.sym.Variable('data'), begin, merge_outputs=True)[0]
    names = [state.name for state in begin]
    weights = weights_of(symbol, data=(BATCH, LENGTH, 4))
    predict = rnn.Predictor(lambda length: (symbol, ['data', *names], []), {
        name: weights[name] for name in weights if name not in names}, buckets=[LENGTH])
    assert list(predict._networks._graphs[LENGTH].weights) == ['l_fused_parameters']


def test_random_numbers_are_drawn_at_each_call():
    weight = mx.sym.Variable('weight')
    symbol, _ = folded(mx.sym.Group([
        mx.sym.Variable('data'), mx.sym.Dropout(weight * 2, p=0.5, mode='always'),
        mx.sym.random.normal(weight, weight)]), {'weight': mx.nd.ones(3)})
    assert 'Dropout' in operators(symbol) and '_sample_normal' in operators(symbol)


def test_names_that_are_taken():
    """A part may have the name of a variable that stays."""
    data, weight = mx.sym.Variable('data'), mx.sym.Variable('weight')
    symbol, arrays = folded(data + mx.sym.tanh(weight, name='data'), {'weight': mx.nd.ones(1)})
    assert symbol.list_arguments() == ['data', 'data_folded1'] and set(arrays) == {'data_folded1'}


def test_attributes_of_variables_stay():
    data = mx.sym.Variable('data', shape=(0, 2), attr={'__layout__': 'NC'})
    symbol = data + mx.sym.tanh(mx.sym.Variable('weight'), name='a')
    changed, _ = folded(symbol, {'weight': mx.nd.ones((1, 2))})
    assert changed.attr_dict()['data'] == symbol.attr_dict()['data']


@pytest.mark.parametrize('data, weight', [('data', 'self'), ('self', 'weight')])
def test_a_variable_that_has_the_name_of_an_argument_of_python(data, weight):
    symbol = mx.sym.FullyConnected(mx.sym.Variable(data), mx.sym.tanh(mx.sym.Variable(weight)),
                                   num_hidden=3, no_bias=True)
    with pytest.raises(ValueError, match='called self'):
        rnn.Predictor(lambda length: (symbol, [data], []), {weight: mx.nd.ones((3, 4))},
                      buckets=[LENGTH])
