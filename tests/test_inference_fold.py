"""fold: the same numbers from fewer operators."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn
from .cases import BOUND, OURS, each
from .comparing import assert_close
from .running import operators, quiet, random_value, stack, weights_of

pytestmark = differs

LENGTH, BATCH = 3, 2


def bound(symbol: Any, given: dict[str, Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    executor = symbol.simple_bind(mx.cpu(), grad_req='null', data=shape)
    executor.copy_params_from(given)
    data = random_value('data', shape).astype('float32')
    return [each.asnumpy() for each in executor.forward(is_train=False, data=mx.nd.array(data))]


def unrolled(cell: Any) -> Any:
    outputs, _ = cell.unroll(LENGTH, mx.sym.Variable('data'), merge_outputs=True)
    return outputs


@each([case for case in BOUND + OURS if case.binds])
def test_numbers_are_the_same(case):
    shape = (BATCH, LENGTH) + case.step
    symbol = unrolled(rnn.fuse(quiet(case.make(rnn))))
    weights = weights_of(symbol, data=shape)
    folded, arrays = rnn.fold(symbol, weights)
    assert set(arrays) == set(folded.list_arguments()) - {'data'}
    assert_close(bound(folded, arrays, shape), bound(symbol, weights, shape))


@needs_operator
@pytest.mark.parametrize('known', [(), (0, LENGTH, 4)], ids=['open', 'known'])
def test_fuse_then_costs_what_the_fused_operator_does(known):
    cell = stack(rnn, rnn.LSTMCell(4, 'l0_'), rnn.LSTMCell(4, 'l1_'))
    data = mx.sym.Variable('data', shape=known) if known else mx.sym.Variable('data')
    symbol, _ = rnn.fuse(cell).unroll(LENGTH, data, merge_outputs=True)
    folded, arrays = rnn.fold(symbol, weights_of(symbol, data=(BATCH, LENGTH, 4)))
    assert set(folded.list_arguments()) == {'data', 'l0_fused_parameters', 'l1_fused_parameters'}
    counts = operators(folded)
    for moved in ('SwapAxis', 'Reshape', 'SequenceMask'):  # of the data; the last without oneDNN
        counts.pop(moved, None)
    assert counts == {'_zeros': 4, 'expand_dims': 4, 'RNN': 2}


@needs_operator
def test_fuse_folds_where_the_type_of_begin_states_is_not_known():
    cell = rnn.LSTMCell(4, 'l_')
    symbol = rnn.fuse(cell).unroll(LENGTH, mx.sym.Variable('data'), cell.begin_state(
        func=mx.sym.Variable), merge_outputs=True)[0]
    weights = weights_of(symbol, data=(BATCH, LENGTH, 4))
    assert list(rnn.fold(symbol, {name: weights[name] for name in weights
                                  if 'begin' not in name})[1]) == ['l_fused_parameters']


def test_random_numbers_are_drawn_at_each_call():
    weight = mx.sym.Variable('weight')
    symbol = mx.sym.Group([mx.sym.Dropout(weight * 2, p=0.5, mode='always'),
                           mx.sym.random.normal(weight, weight)])
    folded, _ = rnn.fold(symbol, {'weight': mx.nd.ones(3)})
    assert 'Dropout' in operators(folded) and '_sample_normal' in operators(folded)


def test_names_that_are_taken():
    weight = mx.sym.Variable('weight')
    symbol = mx.sym.Variable('data') + mx.sym.tanh(weight, name='a') * mx.sym.Variable('a')
    folded, arrays = rnn.fold(symbol, {'weight': mx.nd.ones(1)})
    assert folded.list_arguments() == ['data', 'a_folded1', 'a'] and set(arrays) == {'a_folded1'}


def test_attributes_of_variables_stay():
    data = mx.sym.Variable('data', shape=(0, 2), attr={'__layout__': 'NC'})
    symbol = data + mx.sym.tanh(mx.sym.Variable('weight'), name='a')
    folded, _ = rnn.fold(symbol, {'weight': mx.nd.ones((1, 2))})
    assert folded.attr_dict()['data'] == symbol.attr_dict()['data']


@needs_operator
def test_wrong_arguments():
    symbol = unrolled(rnn.fuse(rnn.LSTMCell(3)))
    with pytest.raises(TypeError, match='symbol must be'):
        rnn.fold('graph', {})
    for params in ([], {'a': 1}):
        with pytest.raises(TypeError, match='arg_params'):
            rnn.fold(symbol, params)
    weights = weights_of(symbol, data=(BATCH, LENGTH, 4))
    for name, array, error, words in (
            ('lstm_h2h_weight', mx.nd.ones((12, 5)), ValueError, r'shape \(12, 3\), got \(12, 5\)'),
            ('lstm_h2h_weight', mx.nd.ones((11, 3)), ValueError, r'shape \(12, 3\), got \(11, 3\)'),
            ('lstm_i2h_bias', weights['lstm_i2h_bias'].astype('float64'), TypeError,
             'type float32, got float64')):
        with pytest.raises(error, match='arg_params must fit the graph: %s must be of %s'
                           % (name, words)):
            rnn.fold(symbol, dict(weights, **{name: array}))
    with pytest.raises(ValueError, match="got 'arg:lstm_.*', a name for files"):
        rnn.fold(symbol, {'arg:' + name: array for name, array in weights.items()})


@pytest.mark.parametrize('data, weight', [('data', 'self'), ('self', 'weight')])
def test_a_variable_that_has_the_name_of_an_argument_of_python(data, weight):
    symbol = mx.sym.FullyConnected(mx.sym.Variable(data), mx.sym.tanh(mx.sym.Variable(weight)),
                                   num_hidden=3, no_bias=True)
    with pytest.raises(ValueError, match='called self'):
        rnn.fold(symbol, {weight: mx.nd.ones((3, 4))})
