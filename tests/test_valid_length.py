"""valid_length: a batch of padded sequences against each of them alone, at its own length."""
from __future__ import annotations

import functools
import importlib
from typing import NamedTuple

import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn
from .cases import BOUND, OURS, Case, each, each_way
from .comparing import assert_agree, assert_close
from .running import WAYS, begin_state, filled, flat, quiet, random_value, stack

LENGTH = 4
LENGTHS = [4, 0, 1, 3]
CASES = [case for case in BOUND + OURS if case.binds and case.name != 'own_reset']


class Result(NamedTuple):
    """What is of sequences has the batch first, and then time if it is of steps."""

    outputs: np.ndarray
    states: list[np.ndarray]
    grads: dict[str, np.ndarray]
    begin: dict[str, np.ndarray] = {}
    #: Of final states, by the begin states that come out in their place if there are no steps.
    heads: dict[str, np.ndarray] = {}


def evaluate(case, rows, length, layout='NTC', *,
             padding=np.nan, lengths=None, merge=True,
             listed=False, way='plain'):
    """Unroll over `rows` of the batch: values, heads and begin states are those of the rows.

    `lengths` are given as a Variable; what lies behind them in the data is `padding`. In training
    cells draw nothing.
    """
    dtype, time = case.dtypes[-1], layout.index('T')
    cell = WAYS[way](quiet(case.make(rnn)))
    axes = [info['__layout__'].index('N') for info in cell.state_info]

    def values(name, shape, axis=0):
        shape = (*shape[:axis], len(LENGTHS), *shape[axis + 1:])
        return random_value(name, shape).astype(dtype).take(rows, axis)

    def batch_first(array):
        return array.swapaxes(0, 1 - time)

    data = values('data', (0, LENGTH) + case.step)[:, :length]
    begin = begin_state(cell, 'variable', dtype=dtype)
    given = {state.name: values(state.name, info['shape'], axis)
             for state, info, axis in zip(begin, cell.state_info, axes)}
    own = dict(zip(given, axes))
    options = {}
    if lengths is not None:
        given['lengths'] = np.array(lengths, 'float32')
        options['valid_length'] = mx.sym.Variable('lengths', dtype='float32')
        data[np.arange(length) >= np.array(lengths)[:, None]] = padding
    given['data'] = batch_first(data)
    inputs = mx.sym.Variable('data')
    if listed:
        inputs = list(mx.sym.split(inputs, num_outputs=length, axis=time, squeeze_axis=True))
    outputs, states = cell.unroll(length, inputs, begin, layout, merge, **options)
    assert merge is None or isinstance(outputs, mx.sym.Symbol) is merge
    outputs = outputs if isinstance(outputs, mx.sym.Symbol) else mx.sym.stack(*outputs, axis=time)
    symbol = mx.sym.Group([outputs] + flat(states))
    bound = filled(
        symbol, given, type_dict={name: value.dtype for name, value in given.items()},
        grad_req={name: 'null' if name == 'lengths' else 'write'
                  for name in symbol.list_arguments()},
        **{name: value.shape for name, value in given.items()})
    found, *states = [each.asnumpy() for each in bound.forward(is_train=True)]
    head = values('head', (0, LENGTH) + found.shape[2:])[:, :length]
    heads = [values('head%d' % i, state.shape, axis)
             for i, (state, axis) in enumerate(zip(states, axes))]
    bound.backward([mx.nd.array(each, dtype=dtype) for each in (batch_first(head), *heads)])
    grads = {name: array.asnumpy() for name, array in bound.grad_dict.items() if array is not None}
    grads['data'] = batch_first(grads['data'])
    grads.update((name, np.moveaxis(grads[name], axis, 0)) for name, axis in own.items()
                 if name in grads)
    states, heads, begin = ([np.moveaxis(each, axis, 0) for each, axis in zip(arrays, axes)]
                            for arrays in (states, heads, map(given.get, own)))
    return Result(batch_first(found), states, grads, dict(zip(own, begin)), dict(zip(own, heads)))


@functools.lru_cache(maxsize=None)
def alone(case):
    """The outputs that a batch must give, put together from each sequence alone."""
    parts = []
    for row, length in enumerate(LENGTHS):
        part = evaluate(case, [row], length or 1)
        if not length:  # the begin states come out as they went in
            part = part._replace(
                outputs=0 * part.outputs, states=list(part.begin.values()),
                grads={name: part.heads.get(name, 0 * grad) for name, grad in part.grads.items()})
        parts.append(part)

    def of_steps(arrays):
        return np.concatenate([np.concatenate([array, np.zeros(
            (1, LENGTH - array.shape[1]) + array.shape[2:])], axis=1) for array in arrays])

    def gradient(name):
        join = of_steps if name == 'data' else np.concatenate if name in parts[0].begin else sum
        return join([part.grads[name] for part in parts])

    return Result(of_steps([part.outputs for part in parts]),
                  [np.concatenate(each) for each in zip(*[part.states for part in parts])],
                  {name: gradient(name) for name in parts[0].grads})


#: Values in the padding, which must not matter, neither forwards nor backwards.
each_padding = pytest.mark.parametrize('layout, padding', [('NTC', np.nan), ('TNC', 1e30)])


# differences.md: sequences of different lengths (padding leaks)
@differs
@each_padding
@each_way([(case, way) for case in CASES for way in ('plain', 'fuse', *['loop'] * case.loops)
           if (case.name, way) != ('stack_empty', 'loop')])
def test_each_sequence_as_if_alone(case, way, layout, padding):
    got = evaluate(case, [0, 1, 2, 3], LENGTH, layout, lengths=LENGTHS, padding=padding, way=way)
    assert_agree(got, alone(case))


@differs
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@pytest.mark.parametrize('make', [
    lambda: rnn.LSTMCell(2), lambda: rnn.fuse(rnn.LSTMCell(2)), lambda: rnn.FusedRNNCell(2),
    lambda: rnn.BidirectionalCell(rnn.RNNCell(2, prefix='l_'), rnn.RNNCell(2, prefix='r_'))],
    ids=['lstm', 'fuse', 'fused', 'both'])
def test_the_number_of_lengths_is_that_of_the_sequences(make, layout):
    outputs, _ = make().unroll(3, mx.sym.Variable('data'), layout=layout, merge_outputs=True,
                               valid_length=mx.sym.Variable('lengths'))
    shape = (5, 3, 4) if layout == 'NTC' else (3, 5, 4)
    assert outputs.simple_bind(mx.cpu(), data=shape).arg_dict['lengths'].shape == (5,)


# differences.md: sequences of different lengths (padding leaks)
@differs
@pytest.mark.parametrize('kind', ['uint8', 'int8'])
def test_short_types_of_lengths_in_long_sequences(kind):
    got, want = (results_of('both', [60, 127, 3], each, 300, 300) for each in (kind, 'int32'))
    assert_close(got, want, 0)


def counted(doer, length, lengths, layout='NTC'):
    """How many steps of each sequence count: the outputs are ones there, and 0 in padding."""
    outputs, _ = doer(length, mx.sym.Variable('data'), layout, mx.sym.Variable('lengths'))
    shape = (len(lengths), length, 1) if layout == 'NTC' else (length, len(lengths), 1)
    bound = filled(outputs, {'data': 1, 'lengths': mx.nd.array(lengths, dtype=lengths.dtype),
                             'rnn_i2h_bias': 100},  # of a cell that gives ones, whatever it reads
                   data=shape, lengths=(len(lengths),),
                   type_dict={'data': 'float32', 'lengths': lengths.dtype})
    return bound.forward()[0].asnumpy().sum(layout.index('T')).ravel().tolist()


def unrolled(length, data, layout, lengths):
    return rnn.DropoutCell(0).unroll(length, data, layout=layout, merge_outputs=True,
                                     valid_length=lengths)


DOERS = {
    'unroll': unrolled,
    'loop': lambda length, data, layout, lengths: rnn.dynamic_unroll(
        rnn.RNNCell(1), data, layout=layout, valid_length=lengths),
    'fuse': lambda length, data, layout, lengths: rnn.fuse(rnn.RNNCell(1)).unroll(
        None, data, layout=layout, merge_outputs=True, valid_length=lengths)}


@differs
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@pytest.mark.parametrize('name', DOERS)
def test_lengths_that_are_no_whole_numbers_in_range(name, layout):
    """MXNet takes NaN for a number far below 0, and would write there."""
    lengths = np.array([np.nan, -np.inf, -3, 0, 0.9, 1, 2.5, 4, 5, 1e30, np.inf], np.float32)
    assert counted(DOERS[name], 4, lengths, layout) == [0, 0, 0, 0, 0, 1, 2, 4, 4, 4, 4]


@differs
@pytest.mark.parametrize('release, length', [
    ((1, 5), 300), ((1, 5), 2051), (None, 5), (None, 128), (None, 300), (None, 2051)])
@pytest.mark.parametrize('kind', ['int8', 'uint8', 'int32', 'float16', 'float32'])
def test_lengths_of_each_type_are_clipped(length, kind, release, monkeypatch):
    if release is not None:
        module = importlib.import_module('mxrnn._cells.unroll')
        monkeypatch.setattr(module, 'RELEASE', release)
    highest = 60000 if 'float' in kind else np.iinfo(kind).max
    lengths = np.array([min(highest, number) for number in (
        0, 1, 5, 6, 126, 127, 128, 255, 1001, 2048, 2052, 2500, 4000, 4100, highest)], kind)
    assert counted(unrolled, length, lengths) == [min(each, length) for each in lengths.tolist()]


class Doubled(rnn.LSTMCell):
    """A cell of a program, whose `unroll` is its own."""

    called = False

    def unroll(self, length, inputs, begin_state=None, layout='NTC', merge_outputs=None, **options):
        outputs, states = super().unroll(length, inputs, begin_state, layout, True, **options)
        self.called = True
        return outputs * 2, states


AROUND = {
    'stack': lambda cell: stack(rnn, rnn.RNNCell(4, prefix='below_'), cell),
    'residual': lambda cell: rnn.ResidualCell(cell),
    'both': lambda cell: rnn.BidirectionalCell(cell, rnn.GRUCell(3, 'other_')),
    'variational': lambda cell: rnn.VariationalDropoutCell(cell),
    'fuse': lambda cell: rnn.fuse(cell),
    'fuse_stack': lambda cell: rnn.fuse(stack(rnn, cell, rnn.GRUCell(2)))}


@pytest.mark.parametrize('name, lengths', [
    pytest.param(name, lengths, id='%s-%s' % (name, 'lengths' if lengths else 'all'),
                 marks=() if not lengths and name in ('stack', 'residual', 'both') else differs)
    for name in AROUND for lengths in (None, LENGTHS)])
def test_an_unroll_of_a_program_is_called_by_the_cells_around(name, lengths):
    wrap = AROUND[name]
    cell = Doubled(4, 'own_')
    case = Case('own_unroll', lambda rnn: wrap(cell))
    got = evaluate(case, [0, 1, 2, 3], LENGTH, lengths=lengths)
    assert cell.called
    if lengths:
        assert_agree(got, alone(Case('own_unroll', lambda rnn: wrap(Doubled(4, 'own_')))))


OPEN = {
    'lstm': lambda: rnn.LSTMCell(3),
    'both': lambda: rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.GRUCell(3, 'r_')),
    'fused': lambda: rnn.FusedRNNCell(3, 2, get_next_state=True),
    'fuse': lambda: rnn.fuse(rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_')))}


def results_of(name, lengths, kind, steps, length, listed=False):
    """Outputs and states over so many steps, with lengths of a type; unroll is told `length`."""
    data = mx.sym.Variable('data')
    if listed:
        data = list(mx.sym.split(data, num_outputs=steps, axis=1, squeeze_axis=True))
    outputs, states = OPEN[name]().unroll(length, data, merge_outputs=True,
                                          valid_length=mx.sym.Variable('lengths'))
    bound = filled(mx.sym.Group([outputs] + flat(states)), {'lengths': mx.nd.array(lengths)},
                   data=(len(lengths), steps, 2), lengths=(len(lengths),),
                   type_dict={'lengths': kind})
    return bound.forward()


# differences.md: sequences of different lengths (padding leaks)
@differs
@pytest.mark.parametrize('name, listed', [('lstm', True), ('both', True), ('fused', True),
                                          ('fuse', True), ('fused', False),
                                          pytest.param('fuse', False, marks=needs_operator)])
@pytest.mark.parametrize('kind', ['float32', 'float64', 'int32', 'int8'])
def test_lengths_with_an_open_number_of_steps(name, listed, kind):
    got, want = (results_of(name, [3, -5, 100, 2], kind, 3, length, listed) for length in (None, 3))
    assert_close(got, want, 0)


@differs
@pytest.mark.parametrize('name', ['lstm', 'both'])
def test_lengths_with_steps_that_cannot_be_counted(name):
    with pytest.raises(ValueError, match='give length'):
        OPEN[name]().unroll(None, mx.sym.Variable('data'), valid_length=mx.sym.Variable('n'))


VARIANTS = [case for case in CASES if case.name in (
    'lstm', 'gru', 'dropout', 'stack_mixed', 'both_mixed', 'three_deep', 'zoneout_of_stack',
    'residual_of_both', 'residual_of_fused', 'stack_empty', 'stack_of_fused', 'conv_lstm',
    'conv_both', 'own_in_stack', 'fused_lstm_2_both_states', 'fused_gru_1')]
each_variant = each(VARIANTS)


@differs
@each_variant
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@pytest.mark.parametrize('merge', [None, False])
@pytest.mark.parametrize('listed', [False, True])
def test_forms_of_inputs_and_outputs(case, layout, merge, listed):
    got = evaluate(case, [0, 1, 2, 3], LENGTH, layout, lengths=[4.5, -0.5, 1.9, 3.1], merge=merge,
                   listed=listed)  # parts of steps are no steps
    assert_agree(got, alone(case))


@differs
def test_dropout_between_fused_layers():
    def bind(units, mode, dropout, length):
        cell = rnn.FusedRNNCell(units, 2, mode, dropout=dropout, prefix='')
        outputs, _ = cell.unroll(2, mx.sym.Variable('data'), layout='TNC',
                                 valid_length=mx.sym.Variable('lengths'))
        return filled(outputs, {'lengths': length, 'data': 0.1, 'parameters': 0.1},
                      data=(2, 3, 4), lengths=(3,))

    everything = bind(3, 'rnn_tanh', 1., 1)
    assert np.isfinite(everything.forward(is_train=True)[0].asnumpy()).all()
    bound = bind(50, 'rnn_relu', 0.5, 2)
    trained, again = (bound.forward(is_train=True)[0].asnumpy() for _ in range(2))
    assert not np.array_equal(trained, again)
    assert np.ptp(bound.forward(is_train=False)[0].asnumpy()[0]) < 1e-6


@differs
def test_zoneout_in_training_leaves_padding_alone():
    cell = rnn.ZoneoutCell(rnn.LSTMCell(3), 0.5, 0.5)
    outputs, states = cell.unroll(3, mx.sym.Variable('data'), layout='NTC', merge_outputs=True,
                                  valid_length=mx.sym.Variable('lengths'))
    bound = filled(mx.sym.Group([outputs] + states), {'lengths': mx.nd.array([0, 1, 3])},
                   data=(3, 3, 2), lengths=(3,))
    results = [each.asnumpy() for each in bound.forward(is_train=True)]
    bound.backward([mx.nd.ones(each.shape) for each in results])
    padding = np.arange(3) >= np.array([0, 1, 3])[:, None]
    assert not results[0][padding].any() and not results[1][0].any()
    grad = bound.grad_dict['data'].asnumpy()
    assert not grad[padding].any() and grad[0:1].any(axis=2).sum() == 0 and grad[2].any()


# differences.md: sequences of different lengths (padding leaks)
@differs
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@pytest.mark.parametrize('types', [{'lengths': 'int32'}, {'data': 'float64'}, None,
                                   {'lengths': 'uint8', 'data': 'float32'}], ids=str)
@pytest.mark.parametrize('make', [
    lambda: stack(rnn, rnn.LSTMCell(3), rnn.GRUCell(2)),
    lambda: stack(rnn, rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.GRUCell(2, 'r_')))])
def test_types_given_when_the_graph_is_bound(types, layout, make):
    cell = make()
    kind = (types or {}).get('data')
    outputs, states = cell.unroll(3, mx.sym.Variable('data'), layout=layout, merge_outputs=True,
                                  valid_length=mx.sym.Variable('lengths'), dtype=kind)
    bound = filled(mx.sym.Group([outputs] + flat(states)), {'lengths': mx.nd.array([1, 3])},
                   data=(2, 3, 4) if layout == 'NTC' else (3, 2, 4), lengths=(2,), type_dict=types)
    for name, value in (types or {}).items():
        assert bound.arg_dict[name].dtype == np.dtype(value)
    got = bound.forward()[0].asnumpy()
    got = got if layout == 'NTC' else got.swapaxes(0, 1)
    assert got.dtype == np.dtype(kind or 'float32')
    assert not got[0, 1:].any() and got[0, 0].all() and got[1].all()


@differs
def test_a_cell_whose_unroll_does_not_take_it_is_named():
    class Old(rnn.LSTMCell):
        def unroll(self, length, inputs, begin_state=None, layout='NTC', merge_outputs=None):
            return super().unroll(length, inputs, begin_state, layout, merge_outputs)

    cell = stack(rnn, rnn.BidirectionalCell(rnn.GRUCell(3), Old(3, prefix='old_')))
    data, lengths = mx.sym.Variable('data'), mx.sym.Variable('lengths')
    cell.unroll(2, data)
    with pytest.raises(NotImplementedError, match=r"valid_length.*Old\(.*prefix='old_'\)"):
        cell.unroll(2, data, valid_length=lengths)
