"""Cells and options that mxnet.rnn has not: each against NumPy, Gluon and torch, and in random
compositions."""
from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from . import differs, mx, reference, rnn
from .comparing import assert_agree
from .running import run, run_symbols, stack
from .test_fuse import operators
from .test_operator import gradients

pytestmark = differs


def normalised(args, prefix, group):
    """The product of a group, normalised; the bias comes after it."""
    gamma = args['%s%s_gamma' % (prefix, group)]
    return lambda data, weight, bias: reference.normalise(data @ weight.T, gamma, bias)


def plainly(recurrence):
    return lambda args, prefix: (recurrence, {})


def projected(args, prefix, **options):
    return functools.partial(reference.lstmp, projection=args[prefix + 'h2r_weight'],
                             **options), {}


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


@each_cell
def test_recurrence_and_gradients(make, step):
    cell = make('x_')
    found = run(cell, (2,), length=3, batch=2, begin='variable', dtype='float64')

    def forward(args):
        recurrence, products = step(args, 'x_')
        states = [args['x_begin_state_%d' % i] for i in range(len(cell.state_info))]
        return reference.unroll(recurrence, args, 'x_', states, np.tanh, **products)

    outputs, final = forward(found.args)
    assert_allclose(found.outputs, outputs, rtol=1e-9, atol=1e-11)
    for ours, theirs in zip(found.states, final):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    grads = reference.gradients(lambda args: reference.loss(*forward(args)), found.args)
    assert set(grads) == set(found.grads)
    for argument, grad in grads.items():
        assert_allclose(found.grads[argument], grad, rtol=1e-5, atol=1e-7, err_msg=argument)


@each_cell
def test_weights_are_packed_by_gate(make, step):
    cell = make('x_')
    args = {name: mx.nd.array(value) for name, value in run(cell, (2,), train=False).args.items()
            if name != 'data'}
    unpacked = cell.unpack_weights(args)
    further = [name for name in args if name.endswith(('h2r_weight', 'gamma', 'beta'))]
    assert all(unpacked[name] is args[name] for name in further)
    arrays = sum(name.endswith(('2h_weight', '2h_bias')) for name in args)
    assert len(unpacked) == arrays * len(cell._gate_names) + len(further)
    packed = cell.pack_weights(unpacked)
    assert packed.keys() == args.keys()
    for name, value in args.items():
        assert (packed[name].asnumpy() == value.asnumpy()).all()


@each_cell
def test_checkpoints(make, step, tmp_path):
    cell = make('x_')
    outputs, _ = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    args = {name: mx.nd.array(value) for name, value in run(cell, (2,), train=False).args.items()
            if name != 'data'}
    rnn.save_rnn_checkpoint(cell, str(tmp_path / 'model'), 1, outputs, args, {})
    loaded = rnn.load_rnn_checkpoint(make('x_'), str(tmp_path / 'model'), 1)
    assert loaded[0].tojson() == outputs.tojson() and loaded[1].keys() == args.keys()
    for name, value in args.items():
        assert (loaded[1][name].asnumpy() == value.asnumpy()).all()


@each_cell
def test_initial_values(make, step):
    outputs, _ = make('x_').unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    module = mx.mod.Module(outputs, label_names=None)
    module.bind([('data', (2, 2, 5))])
    module.init_params(mx.init.Xavier())
    args = {name: value.asnumpy() for name, value in module.get_params()[0].items()}
    for name, value in args.items():
        if name.endswith('gamma'):
            assert (value == 1).all()
        elif name.endswith(('beta', 'h2h_bias')):
            assert not value.any()
        elif name.endswith('_weight'):
            assert value.any()
    gates = make('x_')._gate_names
    if 'x_i2h_bias' in args:
        for gate, rows in zip(gates, np.split(args['x_i2h_bias'], len(gates))):
            assert (rows == (1 if gate == '_f' else 0)).all()


@pytest.mark.parametrize('name', [name for name in CELLS if name.startswith(
    ('lstmp', 'layer', 'lstm_clip'))])
def test_fuse_says_why_it_leaves_them(name):
    make, _ = CELLS[name]
    text = repr(rnn.fuse(stack(rnn, make('x_'), rnn.LSTMCell(3))))
    assert 'not fused: sym.RNN ' in text and "sym.RNN('lstm', 3" in text


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


@pytest.mark.parametrize('make', [rnn.LSTMCell, lambda *args, **kwargs: rnn.LSTMPCell(
    3, *args, **kwargs), lambda *args, **kwargs: rnn.LayerNormLSTMCell(*args, **kwargs)])
def test_clipped_memories_stay_within_their_bounds(make):
    clipped = run(make(3, state_clip=(-0.05, 0.1)), (4,), train=False)
    memory = clipped.states[1]
    assert memory.min() >= np.float32(-0.05) and memory.max() == np.float32(0.1)
    wide = run(make(3, state_clip=(-100, 100)), (4,), train=False)
    plain = run(make(3), (4,), train=False)
    assert_allclose(wide.outputs, plain.outputs, rtol=0, atol=0)
    assert 'state_clip=(-0.05, 0.1)' in repr(make(3, state_clip=(-0.05, 0.1)))


def test_repr_tells_that_there_are_no_biases():
    assert repr(rnn.LSTMCell(3, 'x_', bias=False)) == "LSTMCell(3, bias=False, prefix='x_')"
    assert 'bias' not in repr(rnn.LSTMCell(3))


def test_weights_of_another_cell_are_not_dropped():
    args = {name: mx.nd.zeros(shape) for name, shape in (
        ('x_i2h_weight', (12, 4)), ('x_h2h_weight', (12, 3)), ('x_i2h_bias', (12,)),
        ('x_h2h_bias', (12,)))}
    unpacked = rnn.LSTMCell(3, 'x_', bias=False).unpack_weights(args)
    assert unpacked['x_i2h_bias'] is args['x_i2h_bias'] and 'x_i2h_i_weight' in unpacked
    del args['x_i2h_bias']
    with pytest.raises(rnn.MissingWeightsError, match='x_i2h_bias'):
        rnn.LSTMCell(3, 'x_').unpack_weights(args)


def test_projection_of_gluon_in_numbers():
    ours = rnn.LSTMPCell(5, 3, 'x_')
    found = run(ours, (4,), length=3, batch=2, train=False)
    theirs = mx.gluon.contrib.rnn.LSTMPCell(5, 3, input_size=4)
    theirs.initialize()
    for kind in ('i2h_weight', 'h2h_weight', 'h2r_weight', 'i2h_bias', 'h2h_bias'):
        getattr(theirs, kind).set_data(mx.nd.array(found.args['x_' + kind]))
    outputs, states = theirs.unroll(3, mx.nd.array(found.args['data']), merge_outputs=True)
    assert_allclose(found.outputs, outputs.asnumpy(), rtol=1e-6, atol=1e-6)
    for mine, its in zip(found.states, states):
        assert_allclose(mine, its.asnumpy(), rtol=1e-6, atol=1e-6)


def test_projection_of_torch_in_numbers():
    torch = pytest.importorskip('torch')
    found = run(rnn.LSTMPCell(5, 3, 'x_'), (4,), length=3, batch=2, train=False)
    theirs = torch.nn.LSTM(4, 5, proj_size=3, batch_first=True)
    names = {'weight_ih_l0': 'i2h_weight', 'weight_hh_l0': 'h2h_weight', 'bias_ih_l0': 'i2h_bias',
             'bias_hh_l0': 'h2h_bias', 'weight_hr_l0': 'h2r_weight'}
    theirs.load_state_dict({name: torch.tensor(found.args['x_' + ours])
                            for name, ours in names.items()})
    outputs, states = theirs(torch.tensor(found.args['data']))
    assert_allclose(found.outputs, outputs.detach().numpy(), rtol=1e-6, atol=1e-6)
    for mine, its in zip(found.states, states):
        assert_allclose(mine, its[0].detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('wrong', [None, '3', 2.5, 0, -3, True, 2 ** 31, [3]])
def test_wrong_sizes_of_projections(wrong):
    with pytest.raises((TypeError, ValueError), match='projection_size must be'):
        rnn.LSTMPCell(3, wrong)


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


DROPPED = {'rnn': (lambda: rnn.RNNCell(3, 'tanh', 'x_'), reference.rnn, 1),
           'lstm': (lambda: rnn.LSTMCell(3, 'x_'), reference.lstm, 2),
           'gru_no_bias': (lambda: rnn.GRUCell(3, 'x_', bias=False), reference.gru, 1)}


@pytest.mark.parametrize('name', DROPPED)
@pytest.mark.parametrize('dropout', [0.4, 1])
@pytest.mark.parametrize('lengths', [False, True])
def test_weights_are_dropped_once_for_all_steps(name, dropout, lengths):
    """Each way against the equations, with the mask taken out of the graph."""
    make, recurrence, count = DROPPED[name]
    options = {'valid_length': mx.sym.Variable('n')} if lengths else {}
    shapes = {'data': (2, 3, 4), **({'n': (2,)} if lengths else {})}
    for outputs, states in ways(rnn.WeightDropCell(make(), dropout), mx.sym.Variable('data'),
                                **options):
        left = outputs.get_internals()['x_h2h_weight_dropped_output']
        found = run_symbols(outputs, [*states, left], shapes, values={'n': np.array([3, 3])})
        *states, left = found.states
        weight = found.args['x_h2h_weight']
        assert_allclose(left, np.where(left == 0, 0, weight / max(1 - dropout, 1e-9)), rtol=1e-6)
        assert (left == 0).any() and (left != 0).any() == (dropout < 1)
        expected, final = reference.unroll(recurrence, {**found.args, 'x_h2h_weight': left}, 'x_',
                                           [np.zeros((2, 3))] * count, np.tanh)
        assert_allclose(found.outputs, expected, atol=1e-5)
        for ours, theirs in zip(states, final):
            assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize('name', DROPPED)
def test_gradients_of_dropped_weights(name):
    make, *_ = DROPPED[name]
    for outputs, states in ways(rnn.WeightDropCell(make(), 0.4), mx.sym.Variable('data')):
        left = mx.sym.BlockGrad(outputs.get_internals()['x_h2h_weight_dropped_output'])
        found = run_symbols(outputs, [*states, left], {'data': (2, 3, 4)})
        weight = found.states[-1]
        plain = run(make(), (4,), values={**found.args, 'x_h2h_weight': weight})
        for argument, grad in plain.grads.items():
            if argument == 'x_h2h_weight':
                grad = np.where(weight == 0, 0, grad / 0.6)
            assert_allclose(found.grads[argument], grad, rtol=1e-5, atol=1e-5, err_msg=argument)


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


def test_without_dropout_the_graph_is_that_of_the_base_cell():
    graphs = []
    for wrap in (lambda cell: cell, lambda cell: rnn.WeightDropCell(cell, 0)):
        with mx.name.NameManager():
            outputs, _ = wrap(rnn.LSTMCell(3)).unroll(2, mx.sym.Variable('data'))
        graphs.append(mx.sym.Group(outputs).tojson())
    assert graphs[0] == graphs[1]


def test_names_weights_and_states_are_those_of_the_base_cell():
    base = rnn.LSTMCell(3, 'x_')
    plain, _ = base.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    cell = rnn.WeightDropCell(rnn.LSTMCell(3, 'x_'), 0.5)
    outputs, states = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    assert outputs.list_arguments() == plain.list_arguments()
    assert [each.name for each in states] == ['x_t1_out', 'x_t1_state']
    assert cell.state_info == base.state_info
    args = {name: mx.nd.array(value) for name, value in run(base, (4,)).args.items()}
    ours, theirs = cell.unpack_weights(args), base.unpack_weights(args)
    assert ours.keys() == theirs.keys() and cell.pack_weights(ours).keys() == args.keys()


def test_cells_with_one_weight_drop_the_same():
    params = rnn.RNNParams('x_')
    cell = rnn.WeightDropCell(stack(rnn, rnn.GRUCell(4, 'a_', params),
                                    rnn.GRUCell(4, 'b_', params)), 0.5)
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    assert operators(outputs)['Dropout'] == 1


def test_containers_hand_params_to_cells_whose_weights_are_dropped():
    cell = stack(rnn, rnn.WeightDropCell(rnn.LSTMCell(3), 0.5), params=rnn.RNNParams('all_'))
    cell.unroll(2, mx.sym.Variable('data'))
    outer = stack(rnn, rnn.WeightDropCell(rnn.LSTMCell(3), 0.5))
    outer.unroll(2, mx.sym.Variable('data'))
    outputs, _ = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    arguments = outputs.list_arguments()
    assert len(arguments) == len(set(arguments)) == 5


def test_a_failed_step_leaves_the_weights():
    cell = rnn.LSTMCell(3)
    weight = cell._hW
    dropped = rnn.WeightDropCell(cell, 0.5)
    with pytest.raises(TypeError):
        dropped.unroll(2, 'data')
    with pytest.raises(ValueError):
        dropped(mx.sym.Variable('data'), [])
    assert cell._hW is weight


@pytest.mark.parametrize('make', [
    lambda: rnn.FusedRNNCell(3), lambda: stack(rnn, rnn.LSTMCell(3), rnn.FusedRNNCell(3)),
    lambda: rnn.DropoutCell(0.5), lambda: rnn.SequentialRNNCell()])
def test_cells_without_weights_to_drop_are_refused(make):
    with pytest.raises(ValueError, match='base_cell must be made of cells with h2h_weight, which'):
        rnn.WeightDropCell(make(), 0.5)


# Both directions merged otherwise

MERGES = {'concat': lambda *both: np.concatenate(both, axis=2), 'sum': np.add,
          'mean': lambda *both: sum(both) / 2}


def both(merge, left=3, right=3, make=rnn.LSTMCell):
    return rnn.BidirectionalCell(make(left, 'l_'), make(right, 'r_'), merge=merge)


@pytest.mark.parametrize('merge', MERGES)
@pytest.mark.parametrize('merge_outputs', [True, False, None])
def test_outputs_of_both_directions(merge, merge_outputs):
    for wrap in (lambda cell: cell, rnn.fuse):
        found = run(wrap(both(merge)), (4,), merge_outputs=merge_outputs, train=False)
        sides = [reference.unroll(reference.lstm, found.args, prefix, [np.zeros((2, 3))] * 2,
                                  np.tanh, reverse=prefix == 'r_') for prefix in ('l_', 'r_')]
        assert_allclose(found.outputs, MERGES[merge](sides[0][0], sides[1][0]), atol=1e-6)
        for ours, theirs in zip(found.states, sides[0][1] + sides[1][1]):
            assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize('merge', MERGES)
def test_both_directions_of_torch_in_numbers(merge):
    torch = pytest.importorskip('torch')
    found = run(both(merge), (4,), length=3, batch=2, train=False)
    theirs = torch.nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    theirs.load_state_dict({
        '%s_%s_l0%s' % (kind, name, end): torch.tensor(found.args['%s_%s_%s' % (side, group, kind)])
        for side, end in (('l', ''), ('r', '_reverse')) for kind in ('weight', 'bias')
        for group, name in (('i2h', 'ih'), ('h2h', 'hh'))})
    outputs, _ = theirs(torch.tensor(found.args['data']))
    sides = np.split(outputs.detach().numpy(), 2, axis=2)
    assert_allclose(found.outputs, MERGES[merge](*sides), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('merge', MERGES)
def test_both_directions_are_one_operator_however_merged(merge):
    outputs, _ = rnn.fuse(both(merge)).unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    assert operators(outputs)['RNN'] == 1
    assert outputs.infer_shape(data=(2, 3, 4))[1] == [(2, 3, 6 if merge == 'concat' else 3)]


@pytest.mark.parametrize('merge', ['sum', 'mean'])
@pytest.mark.parametrize('merge_outputs', [True, False, None])
def test_widths_that_cannot_be_added_are_named(merge, merge_outputs):
    with pytest.raises(ValueError, match='one width for merge=%r, got 3 and 4' % merge):
        both(merge, 3, 4).unroll(3, mx.sym.Variable('data'), merge_outputs=merge_outputs)


def test_repr_tells_how_directions_are_merged():
    assert repr(both('sum')).endswith("LSTMCell(3, prefix='r_'), merge='sum')")
    assert 'merge' not in repr(both('concat'))


# Random compositions

PREFIXED = {
    'lstmp': lambda units, prefix: rnn.LSTMPCell(units + 1, units, prefix),
    'layer_norm_lstm': lambda units, prefix: rnn.LayerNormLSTMCell(units, prefix),
    'layer_norm_gru': lambda units, prefix: rnn.LayerNormGRUCell(units, prefix),
    'lstm': lambda units, prefix: rnn.LSTMCell(units, prefix),
    'lstm_no_bias': lambda units, prefix: rnn.LSTMCell(units, prefix, bias=False),
    'lstm_clip': lambda units, prefix: rnn.LSTMCell(units, prefix, state_clip=(-0.2, 0.1)),
    'gru': lambda units, prefix: rnn.GRUCell(units, prefix),
    'gru_no_bias': lambda units, prefix: rnn.GRUCell(units, prefix, bias=False)}
MODIFIERS = {
    'none': lambda cell: cell,
    'residual': rnn.ResidualCell,
    'zoneout': lambda cell: rnn.ZoneoutCell(cell, 0, 0),
    'weight_drop': lambda cell: rnn.WeightDropCell(cell, 0)}
ONE = st.tuples(st.sampled_from(sorted(PREFIXED)), st.sampled_from(sorted(MODIFIERS)))
LAYERS = st.lists(st.tuples(ONE) | st.tuples(ONE, ONE, st.sampled_from(sorted(MERGES))),
                  min_size=1, max_size=3)


def grow(layers):
    """A stack of layers of 4 channels, some of them in both directions."""
    count = itertools.count()

    def one(description, units=4):
        kind, modifier = description
        cell = PREFIXED[kind](units, 'c%d_' % next(count))
        return MODIFIERS[modifier](cell) if units == 4 else cell

    outer = rnn.SequentialRNNCell()
    for first, *rest in layers:
        if rest:
            second, merge = rest
            units = 2 if merge == 'concat' else 4
            outer.add(rnn.BidirectionalCell(one(first, units), one(second, units), merge=merge,
                                            output_prefix='b%d_' % next(count)))
        else:
            outer.add(one(first))
    return outer


@given(LAYERS, st.sampled_from(['NTC', 'TNC']), st.sampled_from([True, False, None]))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_random_compositions(layers, layout, merge_outputs):
    """Every way to unroll gives the same numbers and gradients."""
    options = {'layout': layout, 'merge_outputs': merge_outputs}
    expected = run(grow(layers), (4,), **options)
    assert_agree(run(rnn.fuse(grow(layers)), (4,), **options), expected)
    lengths = {**options, 'valid_length': mx.sym.Variable('n', shape=(2,)),
               'values': {'n': np.array([3, 2])}}
    short = run(grow(layers), (4,), **lengths)
    short.grads.pop('n')
    fused = run(rnn.fuse(grow(layers)), (4,), **lengths)
    fused.grads.pop('n')
    assert_agree(fused, short)
    alone = run(grow(layers), (4,), 2, 1, **options, values={
        **expected.args, 'data': (expected.args['data'][1:, :2] if layout == 'NTC'
                                  else expected.args['data'][:2, 1:])})
    axis = layout.index('N')
    assert_allclose(np.take(short.outputs, [1], axis).take([0, 1], 1 - axis), alone.outputs,
                    atol=1e-5)
    for ours, theirs in zip(short.states, alone.states):
        assert_allclose(ours[1:], theirs, atol=1e-5)
    if grow(layers)._blocker_() is None:
        outputs, states = rnn.dynamic_unroll(grow(layers), mx.sym.Variable('data'), layout=layout)
        looped = run_symbols(outputs, states, {'data': expected.args['data'].shape},
                             layout=layout, values=expected.args)
        assert_agree(looped, expected)
