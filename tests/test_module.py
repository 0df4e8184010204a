"""Training for real: copy the previous token with Module.fit, save and load, predict."""
from __future__ import annotations

import numpy as np
import pytest

from . import mx, rnn
from .running import stack

WORDS, LENGTH, HIDDEN, BATCH = 8, 6, 32, 32


def batches(count, seed):
    random = np.random.RandomState(seed)
    words = random.randint(1, WORDS, (count, LENGTH))
    previous = np.concatenate([np.zeros((count, 1)), words[:, :-1]], axis=1)
    return mx.io.NDArrayIter(words.astype('float32'), previous.astype('float32'), BATCH,
                             label_name='softmax_label')


def network(cell):
    """Embedding, the cell over the sequence, and a softmax over words for each step."""
    data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=WORDS, output_dim=16, name='embed')
    outputs, _ = cell.unroll(LENGTH, data, layout='NTC', merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, (-3, 0)), num_hidden=WORDS, name='out')
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), (-1,))
    return mx.sym.SoftmaxOutput(scores, label, name='softmax')


class Accuracy(mx.metric.EvalMetric):
    """Share of steps of all sequences whose word is right."""

    def __init__(self):
        super().__init__('accuracy')

    def update(self, labels, preds):
        for label, pred in zip(labels, preds):
            self.sum_metric += (pred.asnumpy().argmax(1) == label.asnumpy().ravel()).sum()
            self.num_inst += label.size


def accuracy(module):
    return module.score(batches(128, seed=2), Accuracy())[0][1]


CELLS = {
    'fused': lambda: rnn.FusedRNNCell(HIDDEN, mode='gru', prefix='gru_'),
    'fused_lstm': lambda: rnn.FusedRNNCell(HIDDEN, 1, 'lstm', True, prefix='lstm_'),
    'unfused': lambda: rnn.FusedRNNCell(HIDDEN, mode='gru', prefix='gru_').unfuse(),
    'stack': lambda: stack(rnn, rnn.LSTMCell(HIDDEN, 'lower_'), rnn.DropoutCell(0.1),
                           rnn.ResidualCell(rnn.GRUCell(HIDDEN, 'upper_'))),
    'zoneout': lambda: rnn.ZoneoutCell(rnn.GRUCell(HIDDEN), 0.0, 0.05)}


@pytest.mark.once
@pytest.mark.parametrize('kind', CELLS)
def test_module_learns_to_copy_the_previous_token(kind, tmp_path):
    cell = CELLS[kind]()
    prefix = str(tmp_path / 'model')
    module = mx.mod.Module(network(cell))
    module.fit(batches(512, seed=1), eval_metric=Accuracy(), optimizer='adam',
               optimizer_params={'learning_rate': 0.02}, initializer=mx.init.Xavier(),
               num_epoch=8, epoch_end_callback=rnn.do_rnn_checkpoint(cell, prefix, period=4))
    assert accuracy(module) > 0.95
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'model-0004.params', 'model-0008.params', 'model-symbol.json']

    readers = [CELLS[kind]()]
    if hasattr(readers[0], 'unfuse'):
        readers.append(readers[0].unfuse())
    for reader in readers:
        symbol, args, aux = rnn.load_rnn_checkpoint(reader, prefix, 8)
        again = mx.mod.Module(network(reader))
        data = batches(128, seed=2)
        again.bind(data.provide_data, data.provide_label, for_training=False)
        again.set_params(args, aux)
        assert accuracy(again) == accuracy(module)
        assert symbol.tojson() == module.symbol.tojson()


def test_unfused_training_is_read_by_the_fused_cell(tmp_path):
    cell = CELLS['unfused']()
    prefix = str(tmp_path / 'model')
    module = mx.mod.Module(network(cell))
    data = batches(64, seed=1)
    module.fit(data, eval_metric=Accuracy(), initializer=mx.init.Xavier(), num_epoch=1,
               epoch_end_callback=rnn.do_rnn_checkpoint(cell, prefix))
    fused = CELLS['fused']()
    _, args, aux = rnn.load_rnn_checkpoint(fused, prefix, 1)
    again = mx.mod.Module(network(fused))
    again.bind(data.provide_data, data.provide_label, for_training=False)
    again.set_params(args, aux)
    first, second = (each.predict(batches(64, seed=2)).asnumpy() for each in (module, again))
    assert np.allclose(first, second, atol=1e-5)


def test_buckets_share_their_weights(tmp_path):
    """BucketingModule with BucketSentenceIter: one graph for each length, one set of weights."""
    random = np.random.RandomState(1)
    sentences = [[int(start + i) % (WORDS - 1) + 1 for i in range(length)]
                 for start, length in zip(random.randint(0, WORDS, 400),
                                          random.choice([3, 4, 6, 7], 400))]
    data = rnn.BucketSentenceIter(sentences, BATCH, buckets=[4, 8], invalid_label=0)
    cell = rnn.FusedRNNCell(HIDDEN, prefix='lstm_')

    def graph(length):
        embedded = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=WORDS, output_dim=16,
                                    name='embed')
        cell.reset()
        outputs, _ = cell.unroll(length, embedded, merge_outputs=True)
        scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, (-1, HIDDEN)), num_hidden=WORDS,
                                       name='out')
        label = mx.sym.reshape(mx.sym.Variable('softmax_label'), (-1,))
        return mx.sym.SoftmaxOutput(scores, label, name='softmax', use_ignore=True,
                                    ignore_label=0), ('data',), ('softmax_label',)
    module = mx.mod.BucketingModule(graph, default_bucket_key=data.default_bucket_key)
    metric = mx.metric.Perplexity(ignore_label=0)
    module.fit(data, eval_metric=metric, optimizer='adam',
               optimizer_params={'learning_rate': 0.02}, initializer=mx.init.Xavier(),
               num_epoch=6)
    assert module.score(data, metric)[0][1] < 1.1  # each word follows from the one before
    args, _ = module.get_params()
    assert set(args) == {'embed_weight', 'lstm_parameters', 'out_weight', 'out_bias'}
