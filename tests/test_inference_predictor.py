"""Predictor: the outputs of each sequence alone, in order, without padding."""
import functools

import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn, running
from .comparing import assert_close
from .running import random_value, stack

pytestmark = differs

WORDS, UNITS, BUCKETS = 6, 4, [2, 4, 7]
LENGTHS = [3, 7, 1, 2, 4, 9, 3, 3, 12, 5, 2, 2, 1, 9, 6, 4, 7, 2, 10]


def sentences(lengths=LENGTHS, seed=0):
    draws = np.random.RandomState(seed)
    return [draws.randint(1, WORDS, length).tolist() for length in lengths]


def embedded(data):
    return mx.sym.Embedding(data, input_dim=WORDS, output_dim=3, name='embed')


def cells():
    return stack(rnn, rnn.LSTMCell(UNITS, 'l0_'), rnn.GRUCell(UNITS, 'l1_'))


def both():
    return rnn.BidirectionalCell(rnn.LSTMCell(UNITS, 'l_'), rnn.LSTMCell(UNITS, 'r_'))


# Networks, as BucketingModule takes them

def merged(length):
    """(batch, length, words)."""
    outputs, _ = rnn.fuse(cells()).unroll(length, embedded(mx.sym.Variable('data')),
                                          merge_outputs=True)
    scores = mx.sym.FullyConnected(outputs, num_hidden=WORDS, flatten=False, name='score')
    return mx.sym.softmax(scores), ('data',), None


def loss_of(outputs):
    """The words' chances in rows, and their loss."""
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-1, UNITS)), num_hidden=WORDS,
                                   name='score')
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
    return mx.sym.SoftmaxOutput(scores, label, name='softmax')


def with_loss(length):
    """(batch * length, words), and a label whose shape the graph does not tell."""
    outputs, _ = cells().unroll(length, embedded(mx.sym.Variable('data')), merge_outputs=True)
    return loss_of(outputs), ['data'], ['softmax_label']


def time_major(length):
    """(length * batch, words)."""
    outputs, _ = rnn.FusedRNNCell(UNITS, 2, prefix='f_').unroll(
        length, embedded(mx.sym.Variable('data')), layout='TNC', merge_outputs=True)
    return loss_of(outputs), ['data'], ['softmax_label']


def classes(length):
    """(batch, classes), of as many classes as a bucket has steps, and of a label of one each."""
    _, states = both().unroll(length, embedded(mx.sym.Variable('data')),
                              valid_length=mx.sym.Variable('length'), merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.concat(*sum(states, []), dim=1), num_hidden=4,
                                   name='score')
    loss = mx.sym.SoftmaxOutput(scores, mx.sym.Variable('class'), name='softmax')
    return loss, ['data', 'length'], ['class']


def several(length):
    """Steps in both directions, final states, one number for each step."""
    outputs, states = rnn.fuse(both()).unroll(length, embedded(mx.sym.Variable('data')),
                                              valid_length=mx.sym.Variable('length'),
                                              merge_outputs=True)
    return mx.sym.Group([outputs, *states[0], mx.sym.sum(outputs, axis=2)]), ['data', 'length'], []


NETWORKS = {'merged': (merged, 'NT'), 'loss': (with_loss, 'NT'), 'time': (time_major, 'TN'),
            'classes': (classes, 'NT'), 'several': (several, 'NT')}
each_network = pytest.mark.parametrize('network,layout', NETWORKS.values(), ids=NETWORKS)


def weights_of(network):
    symbol, data, labels = network(2)
    known = {'data': (2, 2), 'length': (2,), 'softmax_label': (2, 2), 'class': (2,)}
    given = {name: known[name] for name in [*data, *(labels or ())]}
    return {name: array * 2 for name, array in running.weights_of(symbol, **given).items()}


def alone(network, weights, sentence, layout):
    """The outputs of a sentence in a graph of its own length."""
    length = len(sentence)
    symbol, data, _ = network(length)
    shape = (1, length) if layout == 'NT' else (length, 1)
    known = {'data': shape, 'length': (1,), 'softmax_label': shape, 'class': (1,)}
    bound = symbol.simple_bind(mx.cpu(), grad_req='null', **{
        name: known[name] for name in symbol.list_arguments() if name in known})
    bound.copy_params_from(weights)
    bound.arg_dict['data'][:] = np.reshape(sentence, shape)
    if 'length' in data:
        bound.arg_dict['length'][:] = length
    results = [each.asnumpy() for each in bound.forward(is_train=False)]
    return [each if each.shape[0] == length and network in (with_loss, time_major, joined)
            else each[0] for each in results]


@functools.lru_cache(maxsize=None)
def all_alone(network, layout, seed):
    weights = weights_of(network)
    return [alone(network, weights, sentence, layout) for sentence in sentences(seed=seed)]


@each_network
@pytest.mark.parametrize('batch_size', [1, 4])
def test_each_sequence_as_alone(network, layout, batch_size):
    weights = weights_of(network)
    predict = rnn.Predictor(network, weights, buckets=BUCKETS, batch_size=batch_size, layout=layout)
    for seed in range(2):  # what an earlier call left behind does not matter
        given = sentences(seed=seed)
        results = predict(given)
        assert len(results) == len(given)
        for wanted, result in zip(all_alone(network, layout, seed), results):
            found = result if isinstance(result, list) else [result]
            for got, want in zip(found, wanted):
                assert got.shape == want.shape
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_any_order_and_form():
    predict = rnn.Predictor(merged, weights_of(merged), buckets=BUCKETS, batch_size=4)
    given = sentences()
    want = predict(given)
    order = np.random.RandomState(1).permutation(len(given))
    for form in (list, np.array, lambda sentence: mx.nd.array(sentence), tuple):
        assert_close(predict([form(given[i]) for i in order]), [want[i] for i in order], 3e-6)
    assert predict([]) == []
    np.testing.assert_allclose(predict([given[3]])[0], want[3], rtol=1e-5, atol=1e-6)


def test_several_inputs():
    def network(length):
        joined = mx.sym.broadcast_add(embedded(mx.sym.Variable('data')), mx.sym.expand_dims(
            mx.sym.Variable('other'), axis=2))
        outputs, _ = rnn.RNNCell(UNITS).unroll(length, joined, merge_outputs=True)
        return outputs, ['data', 'other'], []

    weights = {'embed_weight': mx.nd.ones((WORDS, 3)), 'rnn_i2h_weight': mx.nd.ones((UNITS, 3)),
               'rnn_i2h_bias': mx.nd.zeros(UNITS), 'rnn_h2h_weight': mx.nd.ones((UNITS, UNITS)),
               'rnn_h2h_bias': mx.nd.zeros(UNITS)}
    predict = rnn.Predictor(network, weights, buckets=BUCKETS, batch_size=4)
    other = [[-1.] * length for length in LENGTHS]  # 1 - 1 is nothing
    for got, length in zip(predict({'data': sentences(), 'other': other}), LENGTHS):
        assert got.shape == (length, UNITS) and not got.any()
    with pytest.raises(TypeError, match='dict of lists'):
        predict(sentences())
    with pytest.raises(ValueError, match='names data, other'):
        predict({'data': sentences()})
    with pytest.raises(ValueError, match='equal in number and in length'):
        predict({'data': sentences(), 'other': other[:-1]})


def joined(length):
    """The steps of all sequences lie one behind the other, as in old programs."""
    outputs, _ = cells().unroll(length, embedded(mx.sym.Variable('data')))
    steps = mx.sym.Concat(*outputs, dim=0)
    scores = mx.sym.FullyConnected(steps, num_hidden=5, name='score')
    return mx.sym.Group([mx.sym.softmax(scores), mx.sym.Concat(*[
        mx.sym.expand_dims(output, axis=1) for output in outputs], dim=1)]), ['data'], []


def test_rows_that_depend_on_their_place_are_refused():
    def network(length):
        data = mx.sym.reshape(embedded(mx.sym.Variable('data')), shape=(-3, -2))
        noise = mx.sym.random.uniform_like(data)
        return data * noise, ['data'], []

    with pytest.raises(ValueError, match='output 0, which joins batch and time'):
        rnn.Predictor(network, weights_of(network), buckets=[3])([[1, 2, 3], [3, 2, 1]])


def test_folded_weights_are_those_at_construction():
    weights = weights_of(merged)
    predict = rnn.Predictor(merged, weights, buckets=BUCKETS)
    before = predict(sentences())
    for array in weights.values():
        array[:] = 0
    longer = rnn.Predictor(merged, weights_of(merged), buckets=BUCKETS)([[1, 2] * 20])
    assert_close(predict(sentences()) + predict([[1, 2] * 20]), before + longer, 3e-6)


def test_another_device_gives_the_same():
    weights = weights_of(merged)
    want = rnn.Predictor(merged, weights, buckets=BUCKETS, batch_size=4)(sentences())
    predict = rnn.Predictor(merged, weights, buckets=BUCKETS, batch_size=4, ctx=mx.cpu(1))
    assert_close(predict(sentences()), want, 3e-6)


@pytest.mark.parametrize('padding', [np.nan, -0.5])
def test_integer_sequences_are_padded_with_the_number_that_was_given(padding):
    def network(length):
        steps = mx.sym.Variable('data')  # each output holds the sum of all steps, padding too
        return mx.sym.broadcast_add(steps * 0, mx.sym.sum(steps, axis=1, keepdims=True)), [
            'data'], []

    predict = rnn.Predictor(network, {}, buckets=[3], padding=padding)
    np.testing.assert_allclose(predict([[1, 2]])[0], np.array([3, 3]) + padding)


@pytest.fixture
def binds(monkeypatch):
    """Notes each executor for sequences and the one whose memory it shares."""
    made = []
    original = mx.sym.Symbol.bind

    def bind(self, *args, **kwargs):
        executor = original(self, *args, **kwargs)
        if 'shared_exec' in kwargs:  # otherwise what is folded is computed
            made.append((executor, kwargs['shared_exec']))
        return executor

    monkeypatch.setattr(mx.sym.Symbol, 'bind', bind)
    return made


def test_binds_are_kept_and_share_memory(binds):
    predict = rnn.Predictor(merged, weights_of(merged), buckets=BUCKETS, batch_size=4)
    within = [3, 7, 1, 2] * 8
    predict(sentences(within))
    count = len(binds)
    assert count == len(BUCKETS)
    predict(sentences(within, seed=1))
    assert len(binds) == count
    first = binds[0][0]
    assert first.arg_dict['data'].shape == (4, 7)  # the largest, whose memory the others use
    assert all(shared is first for _, shared in binds[1:])
    predict(sentences([9] * 4 + [11, 10]))
    assert len(binds) == count + 2
    predict(sentences([9] * 4))
    assert len(binds) == count + 3  # a length beyond the buckets is not kept


def test_few_sequences_run_in_few_rows(binds):
    predict = rnn.Predictor(merged, weights_of(merged), buckets=[4], batch_size=32)
    for count in (1, 3, 20, 32, 33):
        predict(sentences([3] * count))
    assert [each.arg_dict['data'].shape[0] for each, _ in binds] == [32, 1, 4]


@needs_operator
def test_folded_weights_are_there_once():
    predict = rnn.Predictor(merged, weights_of(merged), buckets=BUCKETS, batch_size=4)
    predict(sentences())
    found = predict._networks._graphs.values()
    vectors = {id(graph.weights['l0_fused_parameters']) for graph in found}
    assert len(found) == 3 and len(vectors) == 1


def test_results_do_not_change_with_the_next_call():
    predict = rnn.Predictor(merged, weights_of(merged), buckets=BUCKETS, batch_size=4)
    results = predict(sentences())
    before = [each.copy() for each in results]
    predict(sentences(seed=3))
    assert_close(results, before, 0)
    assert all(each.base is None for each in results)  # no larger array is kept alive


def test_a_checkpoint(tmp_path):
    weights = weights_of(time_major)
    fused = rnn.FusedRNNCell(UNITS, 2, prefix='f_')
    prefix = str(tmp_path / 'model')
    rnn.save_rnn_checkpoint(fused, prefix, 3, time_major(2)[0], weights, {})
    want = rnn.Predictor(time_major, weights, buckets=BUCKETS, layout='TN')(sentences())
    for options in ({}, {'epoch': 3}):
        predict = rnn.Predictor.from_checkpoint(time_major, fused, prefix, buckets=BUCKETS,
                                                layout='TN', **options)
        assert_close(predict(sentences()), want, 3e-6)
    with pytest.raises(rnn.CheckpointError):
        rnn.Predictor.from_checkpoint(time_major, fused, prefix, 4, buckets=BUCKETS)


def test_auxiliary_states():
    def network(length):
        outputs, _ = rnn.RNNCell(UNITS).unroll(length, embedded(mx.sym.Variable('data')),
                                               merge_outputs=True)
        return mx.sym.BatchNorm(outputs, axis=2, fix_gamma=False, name='norm'), ['data'], []

    symbol = network(2)[0]
    weights = running.weights_of(symbol, data=(1, 2))
    aux = {name: mx.nd.array(random_value(name, (UNITS,)) ** 2 + 1)
           for name in symbol.list_auxiliary_states()}
    predict = rnn.Predictor(network, weights, aux, buckets=BUCKETS, batch_size=2)
    bound = symbol.bind(mx.cpu(), dict(weights, data=mx.nd.array([[1, 2]])), aux_states=aux)
    want = bound.forward(is_train=False)[0].asnumpy()[0]
    np.testing.assert_allclose(predict([[1, 2]])[0], want, rtol=1e-5, atol=1e-6)
    with pytest.raises(rnn.MissingWeightsError, match='norm_moving_mean'):
        rnn.Predictor(network, weights, buckets=BUCKETS)


def test_bad_input():
    weights = weights_of(merged)
    for options, error, words in (
            ({'buckets': []}, ValueError, 'buckets'),
            ({'buckets': [0]}, ValueError, 'each of buckets'),
            ({'buckets': 4}, TypeError, 'buckets'),
            ({'batch_size': 0}, ValueError, 'batch_size'),
            ({'ctx': 'cpu'}, TypeError, 'ctx must be'),
            ({'padding': 'x'}, TypeError, 'padding'),
            ({'layout': 'NTC'}, ValueError, 'layout'),
            ({'length_name': 3}, TypeError, 'length_name')):
        with pytest.raises(error, match=words):
            rnn.Predictor(merged, weights, **{'buckets': BUCKETS, **options})
    for network, error, words in (
            (3, TypeError, 'network must be callable'),
            (lambda length: merged(length)[0], TypeError, 'network must return'),
            (lambda length: ('graph', ['data'], []), TypeError, 'must be a Symbol'),
            (lambda length: (merged(length)[0], ['word'], []), ValueError, 'it has no word'),
            (lambda length: (several(length)[0], ['length'], []), rnn.MissingWeightsError, 'data'),
            (lambda length: (mx.sym.slice_like(merged(length)[0], mx.sym.Variable('shape')),
                             ['data'], []), rnn.MissingWeightsError, 'weights shape,')):
        with pytest.raises(error, match=words):
            rnn.Predictor(network, dict(weights_of(several), **weights), buckets=BUCKETS)
    predict = rnn.Predictor(merged, weights, buckets=BUCKETS)
    want = predict([[1, 2]])[0]
    for given, error, words in (
            (3, TypeError, 'sequences must be an iterable'),
            ([3], TypeError, r'sequences\[0\]'),
            ([[1], ['a']], TypeError, r'sequences\[1\]'),
            ([[1], []], ValueError, r'sequences\[1\] must have at least one step'),
            ([[1], [[1, 2], [3]]], TypeError, r'sequences\[1\]'),
            ([[[1, 2]]], ValueError, 'one shape')):
        with pytest.raises(error, match=words):
            predict(given)
        np.testing.assert_allclose(predict([[1, 2]])[0], want, rtol=1e-6)
