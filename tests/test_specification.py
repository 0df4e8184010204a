"""The examples of the published API, run in its order, and what it says of their results.

The numbers in automatic names (``concat6``) depend on what was built before; the stems are checked.
"""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from . import mx, rnn
from .running import flat

BATCH, LENGTH, WORDS, EMBED = 3, 5, 20, 50


@pytest.fixture(scope='module')
def example():
    """Run all examples, one after the other, and keep what they make."""
    kept = SimpleNamespace()
    step_input = mx.symbol.Variable('step_data')
    embedded_step = mx.symbol.Embedding(data=step_input, input_dim=WORDS, output_dim=EMBED)
    lstm_cell = rnn.LSTMCell(num_hidden=50)
    begin_state = lstm_cell.begin_state()
    kept.step = lstm_cell(embedded_step, begin_state)

    seq_input = mx.symbol.Variable('seq_data')
    embedded_seq = mx.symbol.Embedding(data=seq_input, input_dim=WORDS, output_dim=EMBED)
    lstm_cell.reset()
    kept.merged = lstm_cell.unroll(length=LENGTH, inputs=embedded_seq, layout='NTC',
                                   merge_outputs=True)
    kept.listed = lstm_cell.unroll(length=LENGTH, inputs=embedded_seq, layout='NTC',
                                   merge_outputs=False)

    bi_cell = rnn.BidirectionalCell(rnn.LSTMCell(num_hidden=50), rnn.GRUCell(num_hidden=75))
    kept.both = bi_cell.unroll(length=LENGTH, inputs=embedded_seq, merge_outputs=True)

    zoneout_cell = rnn.ZoneoutCell(lstm_cell, zoneout_states=0.5)
    kept.zoneout = zoneout_cell.unroll(length=LENGTH, inputs=embedded_seq, merge_outputs=True)
    residual_cell = rnn.ResidualCell(lstm_cell)
    kept.residual = residual_cell.unroll(length=LENGTH, inputs=embedded_seq, merge_outputs=True)

    stacked_rnn_cells = rnn.SequentialRNNCell()
    stacked_rnn_cells.add(rnn.BidirectionalCell(rnn.LSTMCell(num_hidden=50),
                                                rnn.LSTMCell(num_hidden=50)))
    stacked_rnn_cells.add(rnn.DropoutCell(0.5))
    stacked_rnn_cells.add(rnn.LSTMCell(num_hidden=50))
    kept.stack = stacked_rnn_cells.unroll(length=LENGTH, inputs=embedded_seq, merge_outputs=True)

    kept.fused_cell = rnn.FusedRNNCell(num_hidden=50, num_layers=3, mode='lstm',
                                       bidirectional=True, dropout=0.5)
    kept.fused = kept.fused_cell.unroll(length=LENGTH, inputs=embedded_seq, merge_outputs=True)
    kept.unfused_cell = kept.fused_cell.unfuse()
    kept.unfused = kept.unfused_cell.unroll(length=LENGTH, inputs=embedded_seq,
                                            merge_outputs=True)
    return kept


def name_and_shape(symbol, **shapes):
    name, = symbol.list_outputs()
    return name, symbol.infer_shape(**(shapes or {'seq_data': (BATCH, LENGTH)}))[1][0]


def test_one_step(example):
    output, states = example.step
    shape = {'step_data': (BATCH,)}
    assert name_and_shape(output, **shape) == ('lstm_t0_out_output', (BATCH, 50))
    assert [name_and_shape(state, **shape) for state in states] == [
        ('lstm_t0_out_output', (BATCH, 50)), ('lstm_t0_state_output', (BATCH, 50))]


def test_sequence_merged(example):
    outputs, states = example.merged
    assert name_and_shape(outputs) == ('concat0_output', (BATCH, LENGTH, 50))
    assert [name_and_shape(state) for state in states] == [
        ('lstm_t4_out_output', (BATCH, 50)), ('lstm_t4_state_output', (BATCH, 50))]


def test_sequence_as_a_list(example):
    outputs, _ = example.listed
    assert [name_and_shape(each) for each in outputs] == [
        ('lstm_t%d_out_output' % t, (BATCH, 50)) for t in range(LENGTH)]


def test_both_directions(example):
    outputs, states = example.both
    assert name_and_shape(outputs) == ('bi_out_output', (BATCH, LENGTH, 125))
    assert [len(side) for side in states] == [2, 1]


def test_zoneout_and_residual(example):
    assert name_and_shape(example.zoneout[0])[1] == (BATCH, LENGTH, 50)
    name, shape = name_and_shape(example.residual[0])
    assert (name[-len('_plus_residual_output'):], shape) == (
        '_plus_residual_output', (BATCH, LENGTH, 50))
    data, plain, residual = evaluate(example.residual[0].get_internals()['embedding1_output'],
                                     example.merged[0], example.residual[0])
    assert np.allclose(residual, plain + data, atol=1e-6)


def evaluate(*symbols):
    """Values of each symbol for the same random arguments, in inference."""
    for symbol in symbols:
        bound = symbol.simple_bind(mx.cpu(), grad_req='null', seq_data=(BATCH, LENGTH))
        for name, array in bound.arg_dict.items():
            array[:] = 0.01 * (np.arange(array.size) % (len(name) + 7)).reshape(array.shape)
        yield bound.forward(is_train=False)[0].asnumpy()


def test_stack(example):
    outputs, states = example.stack
    name, shape = name_and_shape(outputs)
    assert (name.startswith('concat'), shape) == (True, (BATCH, LENGTH, 50))
    assert len(flat(states)) == 2 + 2 + 2


def test_fused(example):
    outputs, states = example.fused
    assert 'lstm_rnn_output' in outputs.get_internals().list_outputs()
    assert (name_and_shape(outputs)[1], states) == ((BATCH, LENGTH, 100), [])
    time_first, _ = example.fused_cell.unroll(LENGTH, mx.sym.Variable('data'), layout='TNC',
                                              merge_outputs=True)
    assert name_and_shape(time_first, data=(LENGTH, BATCH, 7)) == (
        'lstm_rnn_output', (LENGTH, BATCH, 100))


def test_unfused(example):
    assert name_and_shape(example.unfused[0]) == ('lstm_bi_l2_out_output', (BATCH, LENGTH, 100))


def test_parameters_of_fused_and_unfused(example):
    shapes = {}
    for graph in (example.fused[0], example.unfused[0]):
        shapes.update(zip(graph.list_arguments(),
                          graph.infer_shape(seq_data=(BATCH, LENGTH))[0]))
    expected = {}
    for layer in range(3):
        for side in 'lr':
            name = 'lstm_%s%d_' % (side, layer)
            expected.update({name + 'i2h_weight': (200, EMBED if layer == 0 else 100),
                             name + 'i2h_bias': (200,), name + 'h2h_weight': (200, 50),
                             name + 'h2h_bias': (200,)})
    assert {name: shape for name, shape in shapes.items() if name in expected} == expected
    total = sum(int(np.prod(shape)) for shape in expected.values())
    assert shapes['lstm_parameters'] == (total,)
    unpacked = example.fused_cell.unpack_weights({'lstm_parameters': mx.nd.arange(total)})
    separate = example.unfused_cell.pack_weights(unpacked)
    assert {name: array.shape for name, array in separate.items()} == expected
    back = example.fused_cell.pack_weights(example.unfused_cell.unpack_weights(separate))
    assert (back['lstm_parameters'].asnumpy() == np.arange(total)).all()


@pytest.mark.parametrize('func', ['zeros', 'uniform', 'Variable'])
def test_functions_for_states(func):
    states = rnn.LSTMCell(num_hidden=50).begin_state(func=getattr(mx.sym, func))
    output, _ = rnn.LSTMCell(num_hidden=50)(mx.sym.Variable('data'), states)
    assert output.infer_shape(data=(BATCH, 4))[1] == [(BATCH, 50)]


def test_input_output_utilities():
    coded, vocabulary = rnn.encode_sentences([['a', 'b'], ['b', 'c', 'd']], start_label=1)
    assert coded == [[1, 2], [2, 3, 4]]
    assert vocabulary == {'\n': -1, 'a': 1, 'b': 2, 'c': 3, 'd': 4}
    batches = rnn.BucketSentenceIter([[1, 2, 3, 4]] * 4, batch_size=2, buckets=[4],
                                     invalid_label=0)
    for batch in batches:
        assert batch.data[0].asnumpy().tolist() == [[1, 2, 3, 4]] * 2
        assert batch.label[0].asnumpy().tolist() == [[2, 3, 4, 0]] * 2
    batches.reset()
    assert batches.next().bucket_key == 4
