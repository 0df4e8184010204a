"""FusedRNNCell: against the unfused cells and NumPy, its packed vector, its options."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import mx, reference, rnn
from .running import begin_state, flat, inputs, random_value, run, run_symbols

GATES = {'rnn_tanh': 1, 'rnn_relu': 1, 'lstm': 4, 'gru': 3}
RECURRENCES = {'rnn_tanh': (reference.rnn, np.tanh),
               'rnn_relu': (reference.rnn, lambda x: np.maximum(x, 0)),
               'lstm': (reference.lstm, np.tanh), 'gru': (reference.gru, np.tanh)}

each_mode = pytest.mark.parametrize('mode', GATES)


def nd(arrays):
    return {name: mx.nd.array(array) for name, array in arrays.items()}


def separate(cell, args):
    """The arguments of the unfused cells that those of the fused one stand for, as NumPy."""
    unpacked = cell.unpack_weights(nd(args))
    return {name: array.asnumpy() for name, array in cell.unfuse().pack_weights(unpacked).items()}


@each_mode
@pytest.mark.parametrize('layers', [1, 2, 3])
@pytest.mark.parametrize('bidirectional', [False, True])
@pytest.mark.parametrize('layout, length', [('NTC', 4), ('TNC', 1)])
def test_fused_is_the_unfused_stack(mode, layers, bidirectional, layout, length):
    cell = rnn.FusedRNNCell(5, layers, mode, bidirectional, get_next_state=True, prefix='x_')
    fused = run(cell, (3,), length, layout=layout)
    stack = cell.unfuse()
    unfused = run(stack, (3,), length, layout=layout, values=separate(cell, fused.args))
    assert_allclose(fused.outputs, unfused.outputs, atol=1e-6)
    # Fused: (layers * directions, batch, hidden) for h, and c. Unfused: h, c for each cell.
    kinds = len(fused.states)
    joined = [np.stack(unfused.states[kind::kinds]) for kind in range(kinds)]
    for ours, theirs in zip(fused.states, joined):
        assert_allclose(ours, theirs, atol=1e-6)


@each_mode
@pytest.mark.parametrize('layers', [1, 2, 3])
@pytest.mark.parametrize('bidirectional', [False, True])
def test_fused_gradients_are_those_of_the_unfused_stack(mode, layers, bidirectional):
    cell = rnn.FusedRNNCell(5, layers, mode, bidirectional, prefix='x_', get_next_state=True)
    kinds = 2 if mode == 'lstm' else 1
    names = ['x_begin_state_%d' % kind for kind in range(kinds)]
    fused = run(cell, (3,), 4, begin='variable')
    stack = cell.unfuse()
    states = begin_state(stack, 'variable')
    outputs, final = stack.unroll(4, inputs('symbol', 4), begin_state=states, merge_outputs=True)
    final = flat(final)
    final = [mx.sym.stack(*final[kind::kinds], axis=0) for kind in range(kinds)]
    values = separate(cell, fused.args)
    order = [state.name for state in states]
    for kind, name in enumerate(names):
        assert fused.args[name].shape == (layers * (2 if bidirectional else 1), 2, 5)
        values.update(zip(order[kind::kinds], fused.args[name]))
    unfused = run_symbols(outputs, final, {'data': (2, 4, 3)}, values=values)
    assert_allclose(fused.outputs, unfused.outputs, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(fused.states, unfused.states):
        assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    grads = separate(cell, {'x_parameters': fused.grads['x_parameters']})
    grads['data'] = fused.grads['data']
    for kind, name in enumerate(names):
        grads.update(zip(order[kind::kinds], fused.grads[name]))
    assert set(grads) == set(unfused.grads)
    for name, grad in grads.items():
        assert_allclose(grad, unfused.grads[name], atol=3e-6 * abs(grad).max(), err_msg=name)


@each_mode
@pytest.mark.parametrize('bidirectional', [False, True])
def test_fused_is_the_recurrence(mode, bidirectional):
    cell = rnn.FusedRNNCell(3, 2, mode, bidirectional, get_next_state=True, prefix='x_')
    found = run(cell, (4,), length=5)
    args = separate(cell, found.args)
    recurrence, activation = RECURRENCES[mode]
    final = []
    for layer in range(2):
        outputs = []
        for direction in 'lr'[:2 if bidirectional else 1]:
            output, states = reference.unroll(
                recurrence, args, 'x_%s%d_' % (direction, layer), [np.zeros((2, 3))] * 2,
                activation, reverse=direction == 'r')
            outputs.append(output)
            final.append(states)
        args['data'] = np.concatenate(outputs, axis=2)
    assert_allclose(found.outputs, args['data'], atol=2e-6)
    for kind, state in enumerate(found.states):
        assert_allclose(state, np.stack([states[kind] for states in final]), atol=2e-6)


@each_mode
@pytest.mark.parametrize('layers', [1, 3])
@pytest.mark.parametrize('bidirectional', [False, True])
def test_packed_vector_lies_as_cudnn_has_it(mode, layers, bidirectional):
    """Weights of all layers before all biases; layer, direction, i2h before h2h, gates in order."""
    hidden, width, gates = 3, 4, GATES[mode]
    cell = rnn.FusedRNNCell(hidden, layers, mode, bidirectional, prefix='x_')
    directions = 'lr' if bidirectional else 'l'
    pieces = []
    for kind in ('weight', 'bias'):
        for layer, direction, group in itertools.product(range(layers), directions,
                                                         ('i2h', 'h2h')):
            inside = hidden if group == 'h2h' else hidden * len(directions) if layer else width
            for gate in cell._gate_names:
                name = 'x_%s%d_%s%s_%s' % (direction, layer, group, gate, kind)
                pieces.append((name, (hidden, inside) if kind == 'weight' else (hidden,)))
    size = sum(int(np.prod(shape)) for _, shape in pieces)
    vector = np.arange(size, dtype='float32')
    unpacked = cell.unpack_weights({'x_parameters': mx.nd.array(vector)})
    assert len(pieces) == len(unpacked) == 4 * gates * layers * len(directions)
    begin = 0
    for name, shape in pieces:
        end = begin + int(np.prod(shape))
        assert unpacked[name].shape == shape
        assert (unpacked[name].asnumpy().ravel() == vector[begin:end]).all(), name
        begin = end
    assert (cell.pack_weights(unpacked)['x_parameters'].asnumpy() == vector).all()
    outputs, _ = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
    shapes = dict(zip(outputs.list_arguments(), outputs.infer_shape(data=(1, 2, width))[0]))
    assert shapes['x_parameters'] == (size,)


@each_mode
def test_unfuse_mirrors_the_settings(mode):
    stack = rnn.FusedRNNCell(3, 2, mode, True, dropout=0.25, prefix='x_').unfuse()
    kind = {'lstm': 'LSTMCell', 'gru': 'GRUCell'}.get(mode, 'RNNCell')
    first, dropout, second = stack._cells
    assert isinstance(dropout, rnn.DropoutCell) and dropout.dropout == 0.25
    for layer, both in enumerate((first, second)):
        assert isinstance(both, rnn.BidirectionalCell)
        assert [type(cell).__name__ for cell in both._cells] == [kind] * 2
        assert [cell._prefix for cell in both._cells] == ['x_l%d_' % layer, 'x_r%d_' % layer]
        if kind == 'RNNCell':
            assert {cell._activation for cell in both._cells} == {mode[len('rnn_'):]}
    assert [each['shape'] for each in stack.state_info] == [(0, 3)] * (8 if mode == 'lstm' else 4)


def test_states_are_returned_when_asked_for():
    for mode, count in (('lstm', 2), ('gru', 1)):
        for asked in (False, True):
            _, states = rnn.FusedRNNCell(3, 2, mode, True, get_next_state=asked).unroll(
                2, inputs('symbol', 2), merge_outputs=True)
            assert len(states) == (count if asked else 0)
    info = rnn.FusedRNNCell(3, 2, 'lstm', True).state_info
    assert info == [{'shape': (4, 0, 3), '__layout__': 'LNC'}] * 2


def test_sequence_in_two_pieces_carries_its_states():
    cell = rnn.FusedRNNCell(3, 2, 'gru', get_next_state=True, prefix='x_')
    whole = run(cell, (4,), 6)
    data = inputs('symbol', 6)
    first, states = cell.unroll(4, mx.sym.slice_axis(data, axis=1, begin=0, end=4),
                                merge_outputs=True)
    second, states = cell.unroll(2, mx.sym.slice_axis(data, axis=1, begin=4, end=6),
                                 begin_state=states, merge_outputs=True)
    joined = run_symbols(mx.sym.concat(first, second, dim=1), states, {'data': (2, 6, 4)},
                         values=whole.args)
    assert_allclose(joined.outputs, whole.outputs, atol=1e-6)
    assert_allclose(joined.states[0], whole.states[0], atol=1e-6)
    assert_allclose(joined.grads['x_parameters'], whole.grads['x_parameters'], rtol=1e-4,
                    atol=2e-5)


def test_dropout_does_nothing_in_inference():
    plain, dropped = (run(rnn.FusedRNNCell(3, 3, dropout=p, prefix='x_'), (4,), train=False)
                      for p in (0.0, 0.5))
    assert (plain.outputs == dropped.outputs).all()


@each_mode
@pytest.mark.parametrize('bidirectional', [False, True])
def test_packed_vector_starts_as_the_unfused_weights(mode, bidirectional):
    """Xavier looks at shapes: the vector must be filled piece by piece, with the forget bias."""
    cell = rnn.FusedRNNCell(6, 2, mode, bidirectional, forget_bias=0.5, prefix='x_')
    outputs, _ = cell.unroll(2, inputs('symbol', 2), merge_outputs=True)
    module = mx.mod.Module(outputs, label_names=None)
    module.bind([('data', (1, 2, 4))])
    module.init_params(mx.init.Xavier(rnd_type='uniform', factor_type='avg', magnitude=3))
    for name, array in cell.unpack_weights(module.get_params()[0]).items():
        array = array.asnumpy()
        if name.endswith('_weight'):
            bound = np.sqrt(3 / (sum(array.shape) / 2))
            assert 0.3 * bound < abs(array).max() <= bound, name
        else:
            assert (array == (0.5 if name.endswith('_f_bias') else 0)).all(), name


def test_one_vector_serves_several_lengths():
    """As in bucketing: graphs of different lengths share the arguments by name and shape."""
    cell = rnn.FusedRNNCell(3, 1, 'gru', prefix='x_')
    graphs = [cell.unroll(length, inputs('symbol', length), merge_outputs=True)[0]
              for length in (2, 7)]
    shapes = [dict(zip(graph.list_arguments(), graph.infer_shape(data=(1, length, 4))[0]))
              for graph, length in zip(graphs, (2, 7))]
    assert shapes[0]['x_parameters'] == shapes[1]['x_parameters']
    values = {'x_parameters': random_value('vector', shapes[0]['x_parameters'])}
    whole = run(cell, (4,), 7, values=values)
    start = run(cell, (4,), 2, values={**values, 'data': whole.args['data'][:, :2]})
    assert_allclose(start.outputs, whole.outputs[:, :2], atol=1e-6)
