"""Cells and options that mxnet.rnn has not: each against NumPy, or the cells that it is made of."""
# differences.md: further cells
import functools
import importlib

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import differs, mx, needs_operator, reference, rnn
from .comparing import assert_close
from .running import operators, run, run_symbols, stack
from .test_operator import gradients

pytestmark = differs


def normalised(args, prefix, group):
    """The product of a group, normalised; the bias comes after it."""
    gamma = args['%s%s_gamma' % (prefix, group)]
    return lambda data, weight, bias: reference.normalise(data @ weight.T, gamma, bias)


def plainly(recurrence):
    return lambda args, prefix: (recurrence, {})


def projected(args, prefix, **options):
    return functools.partial(reference.lstmp, projection=args[prefix + 'h2r_weight'], **options), {}


def normal_lstm(args, prefix, **options):
    step = functools.partial(reference.normalised_lstm, gamma=args[prefix + 'c_gamma'],
                             beta=args.get(prefix + 'c_beta', 0), **options)
    return step, {group: normalised(args, prefix, group) for group in ('i2h', 'h2h')}


def normal_gru(args, prefix):
    return reference.gru, {group: normalised(args, prefix, group) for group in ('i2h', 'h2h')}


CELLS = {
    'lstmp': (lambda prefix: rnn.LSTMPCell(4, 3, prefix), projected),
    'layer_norm_lstm': (lambda prefix: rnn.LayerNormLSTMCell(3, prefix), normal_lstm),
    'layer_norm_gru': (lambda prefix: rnn.LayerNormGRUCell(3, prefix), normal_gru),
    'rnn_no_bias': (lambda prefix: rnn.RNNCell(3, 'tanh', prefix, bias=False),
                    plainly(reference.rnn)),
    'lstm_no_bias': (lambda prefix: rnn.LSTMCell(3, prefix, bias=False), plainly(reference.lstm)),
    'gru_no_bias': (lambda prefix: rnn.GRUCell(3, prefix, bias=False), plainly(reference.gru)),
    'lstmp_no_bias': (lambda prefix: rnn.LSTMPCell(4, 3, prefix, bias=False), projected),
    'layer_norm_lstm_no_bias': (lambda prefix: rnn.LayerNormLSTMCell(3, prefix, bias=False),
                                normal_lstm),
    'layer_norm_gru_no_bias': (lambda prefix: rnn.LayerNormGRUCell(3, prefix, bias=False),
                               normal_gru),
    'lstm_clip': (lambda prefix: rnn.LSTMCell(3, prefix, state_clip=(-0.1, 0.2)),
                  plainly(functools.partial(reference.lstm, clip=(-0.1, 0.2)))),
    'lstmp_clip': (lambda prefix: rnn.LSTMPCell(4, 3, prefix, state_clip=[-0.2, 0.1]),
                   functools.partial(projected, clip=(-0.2, 0.1))),
    'layer_norm_lstm_clip': (lambda prefix: rnn.LayerNormLSTMCell(3, prefix, state_clip=(-0.5, 0)),
                             functools.partial(normal_lstm, clip=(-0.5, 0)))}
each_cell = pytest.mark.parametrize('make, step', CELLS.values(), ids=CELLS)


# differences.md: clipped cell states; projections of `FusedRNNCell`
@each_cell
def test_recurrence_and_gradients(make, step):
    cell = make('x_')
    found = run(cell, (2,), length=3, batch=2, begin='variable', dtype='float64')

    def forward(args):
        recurrence, products = step(args, 'x_')
        states = [args['x_begin_state_%d' % i] for i in range(len(cell.state_info))]
        return reference.unroll(recurrence, args, 'x_', states, np.tanh, **products)

    reference.assert_follows(found, forward, 1e-9, 1e-5)


# differences.md: cells without biases
@needs_operator
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('lengths', [False, True])
@pytest.mark.parametrize('frozen', ['x_.*', 'y_.*', 'data', '$'])
@pytest.mark.parametrize('name', ['rnn_no_bias', 'lstm_no_bias', 'gru_no_bias'])
def test_cells_without_biases_are_one_operator_with_right_gradients(name, frozen, lengths, dtype):
    make, _ = CELLS[name]
    options = {'valid_length': mx.sym.Variable('n')} if lengths else {}
    found = []
    for wrap in (lambda cell: cell, rnn.fuse):
        cell = wrap(stack(rnn, make('x_'), make('y_')))
        outputs, states = cell.unroll(3, mx.sym.Variable('data'), cell.begin_state(dtype=dtype),
                                      merge_outputs=True, **options)
        graph = mx.sym.Group([outputs, *map(mx.sym.identity, states)])
        found.append(gradients(graph, {'data': (2, 3, 4), **({'n': (2,)} if lengths else {})},
                               dtype, frozen='n$|' + frozen, values={'n': np.array([3, 2])}))
    assert operators(graph)['RNN'] == 2
    assert found[0].keys() == found[1].keys() and len(found[0]) > 3
    for key, value in found[0].items():
        assert_allclose(found[1][key], value, rtol=1e-5, atol=1e-5, err_msg=key)


# Projections and clipped memories of FusedRNNCell

def fused(layers=2, both=True, **options):
    return rnn.FusedRNNCell(4, layers, 'lstm', both, prefix='x_', get_next_state=True, **options)


each_fused = pytest.mark.parametrize('options', [
    {'projection_size': 3}, {'state_clip': (-0.1, 0.2)},
    {'projection_size': 5, 'state_clip': (-0.2, 0.1)}], ids=str)


# differences.md: clipped cell states; projections of `FusedRNNCell`
@each_fused
@pytest.mark.parametrize('layers', [1, 2])
@pytest.mark.parametrize('both', [False, True])
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
@pytest.mark.parametrize('lengths', [False, True])
def test_fused_cells_with_options_are_the_cells_that_they_unfuse_to(options, layers, both, layout,
                                                                    lengths):
    cell = fused(layers, both, **options)
    more = {'valid_length': mx.sym.Variable('n', shape=(2,))} if lengths else {}
    values = {'n': np.array([3, 2])}
    found = run(cell, (5,), layout=layout, values=values, **more)
    apart = cell.unfuse()
    packed = apart.pack_weights(cell.unpack_weights(
        {'x_parameters': mx.nd.array(found.args['x_parameters'])}))
    expected = run(apart, (5,), layout=layout, values={**values, **{
        name: value.asnumpy() for name, value in packed.items()}}, **more)
    assert_allclose(found.outputs, expected.outputs, atol=1e-6)
    assert len(found.states) == 2
    for k, state in enumerate(found.states):
        assert_allclose(state, np.stack(expected.states[k::2]), atol=1e-6)
        assert state.shape[2] == (4 if k else options.get('projection_size', 4))


def test_other_modes_have_neither_projections_nor_memories():
    for name, value in (('projection_size', 3), ('state_clip', (-1, 1))):
        with pytest.raises(ValueError, match="%s must be None for mode 'gru', got" % name):
            rnn.FusedRNNCell(4, mode='gru', **{name: value})


# differences.md: clipped cell states; projections of `FusedRNNCell`
@each_fused
def test_builds_with_cudnn_use_the_operator(options, monkeypatch):
    """The graph alone: it is bound on GPUs."""
    monkeypatch.setattr(importlib.import_module('mxrnn._operator.fused_cell'), 'cpu_build',
                        lambda: False)
    cell = fused(**options)
    outputs, states = cell.unroll(3, mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    assert operators(outputs)['RNN'] == 1
    graph = mx.sym.Group([outputs, *states])
    shapes = dict(zip(graph.list_arguments(), graph.infer_shape(data=(3, 2, 5))[0]))
    vector = mx.nd.zeros(shapes['x_parameters'])
    assert cell.pack_weights(cell.unpack_weights({'x_parameters': vector}))[
        'x_parameters'].shape == vector.shape
    width = options.get('projection_size', 4)
    assert graph.infer_shape(data=(3, 2, 5))[1] == [(3, 2, 2 * width), (4, 2, width), (4, 2, 4)]
    attributes = outputs.attr_dict()['x_rnn']
    clip = options.get('state_clip', (None, None))
    assert attributes.get('projection_size') == (
        str(width) if 'projection_size' in options else None)
    assert [attributes.get('lstm_state_clip_' + end) for end in ('min', 'max')] == [
        None if each is None else str(each) for each in clip]


# Weights dropped

def ways(cell, data, **options):
    """Outputs and states of `cell` in each way to unroll it."""
    yield cell.unroll(3, data, merge_outputs=True, **options)
    yield rnn.fuse(cell).unroll(3, data, merge_outputs=True, **options)
    yield rnn.dynamic_unroll(cell, data, **options)
    if not options:
        steps = mx.sym.split(data, num_outputs=3, axis=1, squeeze_axis=True)
        cell.reset()
        outputs, states = [], cell.begin_state()
        for step in steps:
            output, states = cell(step, states)
            outputs.append(output)
        yield mx.sym.stack(*outputs, axis=1), states


DROPPED = {'rnn': lambda: rnn.RNNCell(3, 'tanh', 'x_'), 'lstm': lambda: rnn.LSTMCell(3, 'x_'),
           'gru_no_bias': lambda: rnn.GRUCell(3, 'x_', bias=False)}


# differences.md: further cells
@pytest.mark.parametrize('make', DROPPED.values(), ids=DROPPED)
@pytest.mark.parametrize('dropout', [0.4, 1])
@pytest.mark.parametrize('lengths', [False, True])
def test_weights_are_dropped_once_for_all_steps(make, dropout, lengths):
    """Each way against the cell itself, with the weight that is left: the graph gives it."""
    options = {'valid_length': mx.sym.Variable('n')} if lengths else {}
    shapes = {'data': (2, 3, 4), **({'n': (2,)} if lengths else {})}
    for outputs, states in ways(rnn.WeightDropCell(make(), dropout), mx.sym.Variable('data'),
                                **options):
        left = mx.sym.BlockGrad(outputs.get_internals()['x_h2h_weight_dropped_output'])
        found = run_symbols(outputs, [*states, left], shapes, values={'n': np.array([3, 3])})
        *states, left = found.states
        kept = (left != 0) / max(1 - dropout, 1e-9)
        assert_allclose(left, found.args['x_h2h_weight'] * kept, rtol=1e-6)
        assert (left == 0).any() and (left != 0).any() == (dropout < 1)
        plain = run(make(), (4,), values={**found.args, 'x_h2h_weight': left})
        plain.grads['x_h2h_weight'] *= kept
        assert_close([found.outputs, states], [plain.outputs, plain.states], 1e-5)
        assert_close({name: found.grads[name] for name in plain.grads}, plain.grads, 1e-5)


# differences.md: further cells
def test_draws_of_weights_are_fair_and_new_in_each_pass():
    outputs, _ = rnn.WeightDropCell(rnn.LSTMCell(50, 'x_'), 0.3).unroll(
        2, mx.sym.Variable('data'), merge_outputs=True)
    left = outputs.get_internals()['x_h2h_weight_dropped_output']
    bound = mx.sym.Group([outputs, left]).simple_bind(mx.cpu(), data=(1, 2, 4))
    bound.arg_dict['x_h2h_weight'][:] = 1
    mx.random.seed(0)
    drawn = [bound.forward(is_train=True)[1].asnumpy() for _ in range(20)]
    assert all(set(np.unique(each)) == {0, np.float32(1 / 0.7)} for each in drawn)
    zeros = np.mean([each == 0 for each in drawn])
    assert abs(zeros - 0.3) < 4 * np.sqrt(0.3 * 0.7 / (20 * 10000))  # 4 standard deviations
    kept = np.mean([(one != 0) & (other != 0) for one, other in zip(drawn, drawn[1:])])
    assert abs(kept - 0.49) < 0.01  # independent of the pass before
    assert (bound.forward(is_train=False)[1].asnumpy() == 1).all()


def test_cells_with_one_weight_drop_the_same():
    params = rnn.RNNParams('x_')
    cell = rnn.WeightDropCell(stack(rnn, rnn.GRUCell(4, 'a_', params),
                                    rnn.GRUCell(4, 'b_', params)), 0.5)
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    assert operators(outputs)['Dropout'] == 1


def test_a_cell_that_does_not_take_the_dropped_weight_is_refused():
    class Own(rnn.RNNCell):
        def __call__(self, inputs, states):
            weight = self.params.get('h2h_weight')
            output = mx.sym.broadcast_add(inputs, mx.sym.dot(states[0], weight))
            return output, [output]

    cell = rnn.WeightDropCell(Own(3, prefix='own_'), 0.5)
    for each in (cell, rnn.fuse(cell)):
        with pytest.raises(ValueError, match='must take own_h2h_weight from its attribute _hW'):
            each.unroll(2, mx.sym.Variable('data'))


# Both directions merged otherwise

MERGES = {'concat': lambda *both: np.concatenate(both, axis=2), 'sum': np.add,
          'mean': lambda *both: sum(both) / 2}


def both(merge, left=3, right=3, make=rnn.LSTMCell):
    return rnn.BidirectionalCell(make(left, 'l_'), make(right, 'r_'), merge=merge)


# differences.md: further cells
@pytest.mark.parametrize('merge', MERGES)
@pytest.mark.parametrize('merge_outputs', [True, False, None])
def test_outputs_of_both_directions(merge, merge_outputs):
    for wrap in (lambda cell: cell, rnn.fuse):
        found = run(wrap(both(merge)), (4,), merge_outputs=merge_outputs, train=False)
        sides = [reference.unroll(reference.lstm, found.args, prefix, [np.zeros((2, 3))] * 2,
                                  np.tanh, reverse=prefix == 'r_') for prefix in ('l_', 'r_')]
        assert_close([found.outputs, found.states], [
            MERGES[merge](sides[0][0], sides[1][0]), sides[0][1] + sides[1][1]])


# differences.md: further cells
@needs_operator
@pytest.mark.parametrize('merge', MERGES)
def test_both_directions_are_one_operator_however_merged(merge):
    outputs, _ = rnn.fuse(both(merge)).unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    assert operators(outputs)['RNN'] == 1
    assert outputs.infer_shape(data=(2, 3, 4))[1] == [(2, 3, 6 if merge == 'concat' else 3)]


@pytest.mark.parametrize('merge', ['sum', 'mean'])
@pytest.mark.parametrize('merge_outputs', [True, False, None])
def test_widths_that_cannot_be_added_are_named(merge, merge_outputs):
    with pytest.raises(ValueError, match='same width for merge=%r, got 3 and 4' % merge):
        both(merge, 3, 4).unroll(3, mx.sym.Variable('data'), merge_outputs=merge_outputs)
