"""encode_sentences and BucketSentenceIter: as in mxnet.rnn, and what they do beyond it."""
import random

import numpy as np
import pytest

from . import mx, rnn

WORDS = [['the', 'cat', 'sat'], [], ['the', 'end', '\n'], ['cat'] * 3, ['\n'], ['a', 'the', 'sat']]
IDS = [[i * j % 50 for j in range(1 + i % 11)] for i in range(150)]


@pytest.mark.parametrize('options', [
    {}, {'start_label': 5}, {'start_label': -3}, {'invalid_label': 1}, {'invalid_label': 0},
    {'invalid_key': 'sat', 'invalid_label': 7}, {'invalid_key': None}, {'unknown_token': ''},
    {'vocab': {'the': 3, 'cat': 9, 'sat': 0, 'end': 1, 'a': 4, '\n': -1}},
    {'vocab': {'the': 3, 'cat': 9, 'sat': 0, 'end': 1, 'a': 4, '\n': -1}, 'unknown_token': 'x'}])
@pytest.mark.parametrize('words', [WORDS, [], ['some', 'text'], [(1, 2.0, 2), (None, 'a')]])
def test_encode_as_the_original(words, options):
    if 'vocab' in options and words is not WORDS:
        options = {**options, 'vocab': {word: i for s in words for i, word in enumerate(s)}}
    encoded, vocab = rnn.encode_sentences(words, **options)
    their_encoded, their_vocab = mx.rnn.encode_sentences(words, **options)
    assert encoded == their_encoded
    assert list(vocab.items()) == list(their_vocab.items())
    assert type(vocab) is dict and type(encoded) is list
    if 'vocab' in options:
        assert vocab is options['vocab']


def history(module, *args, epochs=3, broken_off=1, **kwargs):
    """All that a program sees of an iterator: its attributes, and each batch of some epochs."""
    random.seed(3)
    np.random.seed(4)
    sentences = module.BucketSentenceIter(*args, **kwargs)
    seen = [[getattr(sentences, name) for name in (
        'batch_size', 'buckets', 'data_name', 'label_name', 'default_bucket_key', 'dtype',
        'invalid_label', 'layout', 'major_axis')]]
    for epoch in range(epochs):
        seen.append([sentences.idx[:], sentences.curr_idx])
        seen += [(a.tolist(), a.dtype, a.shape) for a in sentences.data]
        seen += [(a.asnumpy().tolist(), a.dtype) for a in sentences.nddata + sentences.ndlabel]
        for i, batch in enumerate(sentences):
            seen.append([(a.asnumpy().tolist(), a.dtype, a.shape)
                         for a in batch.data + batch.label])
            seen.append([batch.pad, batch.index, batch.bucket_key, sentences.curr_idx])
            if epoch == broken_off and i == 2:
                break
        sentences.reset()
    for described in (sentences, batch):
        seen += [(d.name, d.shape, d.layout) for d in described.provide_data]
        seen += [(d.name, d.shape, d.layout, d.dtype) for d in described.provide_label]
    return seen + [random.random(), np.random.rand()]


@pytest.mark.parametrize('args', [
    (IDS, 4), (IDS, 1), (IDS, 4, []), (IDS, 4, [11]), (IDS, 4, [8, 3, 30, 3]), (IDS, 3, [5, 7]),
    (IDS, 4, [0, 4, 20]), (IDS, 4, None, 0), (IDS, 4, None, 2.5, 'x', 'y'),
    (IDS, 4, None, -1, 'data', 'softmax_label', 'int32'),
    (IDS, 4, None, -1, 'data', 'softmax_label', 'float64', 'TN'),
    (IDS, 4, [6, 12], -2, 'data', 'softmax_label', 'float16', 'TN'),
    (IDS, 4, [6, 12], 255, 'data', 'softmax_label', np.uint8, 'NTC'),
    ([[i, i + 2 ** 20] for i in range(9)], 2), ([[-7, 0, 40000]] * 5, 2),
    ([[0.1, 2], [1.5]] * 3, 2), ([[0.1, 2], [1.5]] * 3, 2, [4], 0.3), ([(1, 2, 3)] * 5, 2),
    ([np.arange(i % 3 + 1) for i in range(20)], 2), (np.ones((6, 4)), 2), ([[True], [False]], 2),
    ([[], [1], [1, 2], [3, 4]], 2), ([[], [1], [1, 2], [3, 4]], 2, [4]),
    ([[i] for i in range(9000)], 7)], ids=lambda args: repr(args[1:]))
def test_iterator_as_the_original(args):
    assert history(rnn, *args) == history(mx.rnn, *args)
