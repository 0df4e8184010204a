"""Data, and what is done with its iterators, for the tests of both."""
import random

import numpy as np
import pytest

from . import mx, rnn

IDS = [[i * j % 50 for j in range(1 + i % 11)] for i in range(150)]


def described(data):
    return ([(d.name, d.shape, d.layout) for d in data.provide_data]
            + [(d.name, d.shape, d.layout, d.dtype) for d in data.provide_label])


def rows(batch, layout='NT'):
    """The sentences of a batch, without their padding."""
    data = batch.data[0].asnumpy()
    return [[int(i) for i in row if i != -1] for row in (data if layout == 'NT' else data.T)]


def epoch(sentences):
    """The batches of an epoch; the next one is begun."""
    batches = [(rows(batch), batch.pad) for batch in sentences]
    sentences.reset()
    return batches


def flat(batches):
    """All the sentences in an epoch's batches, without those that pad."""
    return sorted(row for found, pad in batches for row in found[:len(found) - pad])


SMALL = [[10 * i + j for j in range(1 + i % 4)] for i in range(26)]


def language_model(length, lengths=False):
    data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=20, output_dim=8, name='embed')
    output = mx.sym.FullyConnected(mx.sym.reshape(data, shape=(-1, 8)), num_hidden=20, name='pred')
    if lengths:
        output = mx.sym.broadcast_add(output, 0 * mx.sym.sum(mx.sym.Variable('length')))
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
    return (mx.sym.SoftmaxOutput(output, label, use_ignore=True, ignore_label=-1, name='softmax'),
            ('data', 'length') if lengths else ('data',), ('softmax_label',))


def streams(text, *args, epochs=1, **kwargs):
    """Data and labels of each stream, put together from its batches, and the iterator."""
    iterator = rnn.StreamIter(text, *args, **kwargs)
    for _ in range(epochs):
        batches = list(iterator)
        iterator.reset()
    axis = 1 if iterator.major_axis == 0 else 0
    data, label = (np.concatenate([part.asnumpy() for part in parts], axis)
                   for parts in ([b.data[0] for b in batches], [b.label[0] for b in batches]))
    return (data, label, iterator) if axis else (data.T, label.T, iterator)


TEXT = np.arange(99) % 50
POSITIONS = {
    'seeded': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5),
    'shared': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4]),
    'unshuffled': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], shuffle=False),
    'pad': lambda: rnn.BucketSentenceIter(SMALL, 5, [2, 3, 4], seed=1, last_batch='pad'),
    'roll_over': lambda: rnn.BucketSentenceIter(SMALL, 5, [2, 4], seed=1, last_batch='roll_over'),
    'roll_over, shared': lambda: rnn.BucketSentenceIter(SMALL, 5, [2, 4], last_batch='roll_over'),
    'labels': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], labels=SMALL,
                                             last_batch='roll_over'),
    'pairs': lambda: rnn.SentencePairIter(SMALL, SMALL[::-1], 3, [(2, 4), (4, 4)], seed=5),
    'stream': lambda: rnn.StreamIter(TEXT, 3, 4),
}
each_position = pytest.mark.parametrize('make', POSITIONS.values(), ids=POSITIONS)


def seen(batch):
    return [array.asnumpy().tolist() for array in batch.data + batch.label], batch.pad


def run(iterator, count, broken_off=None, seeds=False):
    """The contents of `count` batches, epoch after epoch; one epoch is broken off."""
    found = []
    while len(found) < count:
        try:
            if len(found) == broken_off:
                broken_off = None
                raise StopIteration
            found.append(seen(next(iterator)))
        except StopIteration:
            if seeds:  # as programs do that seed every epoch
                random.seed(len(found))
                np.random.seed(len(found))
            iterator.reset()
    return found


def in_parts(count, sentences, *args, **kwargs):
    return [rnn.BucketSentenceIter(sentences, *args, num_parts=count, part_index=i, **kwargs)
            for i in range(count)]


UNIQUE = [[100 * i + j for j in range(1 + i * 7 % 10)] for i in range(150)]


def written(tmp_path, sentences):
    return rnn.write_tokens(tmp_path / 'corpus', sentences)
