"""encode_sentences and the iterators: as in mxnet.rnn, and what they do beyond it."""
import collections
import copy
import doctest
import importlib
import json
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import differs, mx, rnn

WORDS = [['the', 'cat', 'sat'], [], ['the', 'end', '\n'], ['cat'] * 3, ['\n'], ['a', 'the', 'sat']]
IDS = [[i * j % 50 for j in range(1 + i % 11)] for i in range(150)]


@pytest.mark.parametrize('options', [
    {}, {'start_label': 5}, {'start_label': -3}, {'invalid_label': 1}, {'invalid_label': 0},
    {'invalid_key': 'sat', 'invalid_label': 7}, {'invalid_key': None}, {'invalid_label': 0.0},
    {'invalid_label': 1.0, 'start_label': 1.0}, {'unknown_token': ''},
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


def described(data):
    return ([(d.name, d.shape, d.layout) for d in data.provide_data]
            + [(d.name, d.shape, d.layout, d.dtype) for d in data.provide_label])


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
            seen += described(batch)
            if epoch == broken_off and i == 2:
                break
        sentences.reset()
    return seen + described(sentences) + [random.random(), np.random.rand()]


@pytest.mark.parametrize('args', [
    (IDS, 4), (IDS, 1), (IDS, 4, []), (IDS, 4, [11]), (IDS, 4, [8, 3, 30, 3]), (IDS, 3, [5, 7]),
    (IDS, 4, [0, 4, 20]), (IDS, 4, None, 0), (IDS, 4, None, 2.5, 'length', 'y'),
    (IDS, 4, [12], 2049), (IDS, 4, None, -1, 'data', 'softmax_label', 'int32'),
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


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=60), batch_size=st.integers(1, 5),
       buckets=st.lists(st.integers(1, 12), max_size=4), layout=st.sampled_from(['NT', 'TN']),
       dtype=st.sampled_from(['float32', 'float64', 'int32']), start=st.integers(-5, 10 ** 5))
def test_any_iterator_as_the_original(sizes, batch_size, buckets, layout, dtype, start):
    sentences = [list(range(start + i, start + i + size)) for i, size in enumerate(sizes)]
    if max(buckets, default=0) < min(sizes):
        buckets.append(9)
    args = sentences, batch_size, buckets, -1, 'data', 'softmax_label', dtype, layout
    assert history(rnn, *args, epochs=2) == history(mx.rnn, *args, epochs=2)


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


# encode_sentences

@differs
def test_unknown_words_share_one_id():
    vocab = {'a': 0, 'b': 1}
    encoded, extended = rnn.encode_sentences([['a', 'zz', 'b', 'yy'], ['xx', 'zz']], vocab,
                                             unknown_token='<unk>')
    assert encoded == [[0, 2, 1, 2], [2, 2]]
    assert extended == {'a': 0, 'b': 1, '<unk>': 2}
    assert vocab == {'a': 0, 'b': 1}


@differs
@pytest.mark.parametrize('vocab, invalid_label, start_label, unknown', [
    ({'a': 0, 'b': 1, '\n': -1}, -1, 0, 2), ({'a': 0, 'b': 2}, -1, 0, 1), ({'a': 0}, 1, 0, 2),
    ({'a': 5}, -1, 3, 3), ({'a': 3}, 4, 3, 5), ({'a': -2}, -1, -2, 0), ({}, 0, 0, 1),
    ({'<unk>': 7, 'a': 0}, -1, 0, 7)])
def test_id_of_the_unknown_token(vocab, invalid_label, start_label, unknown):
    encoded, extended = rnn.encode_sentences([['x', 'y'], ['z']], vocab, invalid_label, '\n',
                                             start_label, '<unk>')
    assert encoded == [[unknown, unknown], [unknown]]
    assert extended == {**vocab, '<unk>': unknown}


@differs
def test_new_vocabulary_reserves_the_unknown_token():
    encoded, vocab = rnn.encode_sentences([['a', 'b'], ['a']], unknown_token='<unk>')
    assert encoded == [[0, 1], [0]]
    assert list(vocab.items()) == [('\n', -1), ('a', 0), ('b', 1), ('<unk>', 2)]
    assert rnn.encode_sentences([['c', 'a']], vocab, unknown_token='<unk>') == ([[2, 0]], vocab)


@differs
def test_unknown_word_without_unknown_token():
    sentences = (iter(words) for words in [['a'], ['b', 'a', 'new', 'newer']])
    with pytest.raises(ValueError, match=r"sentences\[1\]\[2\].*'new'.*unknown_token"):
        rnn.encode_sentences(sentences, {'a': 0, 'b': 1})


@differs
@pytest.mark.parametrize('vocab', [collections.defaultdict(int, a=1), collections.Counter('a')])
def test_vocabulary_that_invents_entries(vocab):
    before = dict(vocab)
    assert rnn.encode_sentences([['a', 'b']], vocab, unknown_token='u')[0] == [[1, 0]]
    assert vocab == before
    with pytest.raises(ValueError, match='vocab'):
        rnn.encode_sentences([['a', 'b']], vocab)


def test_encode_generators():
    encoded, vocab = rnn.encode_sentences((word for word in words) for words in WORDS)
    assert (encoded, vocab) == mx.rnn.encode_sentences(WORDS)


def test_encoding_leaves_the_garbage_collector_as_it_was():
    import gc
    try:
        for switch in (gc.disable, gc.enable):
            switch()
            before = gc.isenabled()
            rnn.encode_sentences(WORDS)
            with pytest.raises((ValueError, AssertionError)):
                rnn.encode_sentences(WORDS, {})
            assert gc.isenabled() is before
    finally:
        gc.enable()


@differs
@pytest.mark.parametrize('options', [
    {}, {'unknown_token': '<unk>'}, {'start_label': 5, 'invalid_label': 7},
    {'vocab': {'the': 3, 'cat': 9, 'sat': 0, 'end': 1, 'a': 4, '\n': -1}},
    {'vocab': {'the': 3, '<unk>': 5}, 'unknown_token': '<unk>'},
    {'vocab': {'the': 3, 'cat': 9}, 'unknown_token': '<unk>'},
    {'vocab': {'the': 3, 'cat': 9, 'sat': 0, 'end': 1, 'a': 4, '\n': -1}, 'unknown_token': 'x'}])
def test_lazy_encoding_reads_one_sentence_at_a_time(options):
    expected, expected_vocab = rnn.encode_sentences(WORDS, **options)
    read = []

    def reading():
        for i, words in enumerate(WORDS):
            read.append(i)
            yield words

    before = dict(options.get('vocab', {}))
    encoded, vocab = rnn.encode_sentences(reading(), **options, lazy=True)
    assert read == []
    assert next(encoded) == expected[0] and read == [0]
    assert [expected[0], *encoded] == expected
    assert list(vocab.items()) == list(expected_vocab.items()) and type(vocab) is dict
    assert options.get('vocab', {}) == before


@differs
def test_lazy_encoding_keeps_only_the_vocabulary():
    encoded, vocab = rnn.encode_sentences(
        ([str(i % 7), 'new %d' % i] for i in range(20000)),
        {str(i): i for i in range(7)}, unknown_token='<unk>', lazy=True)
    next(encoded)
    tracemalloc.start()
    for _ in encoded:
        pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200000  # the 20000 words take more than a million bytes
    assert len(vocab) == 8


@differs
def test_lazy_encoding_names_the_unknown_word():
    encoded, _ = rnn.encode_sentences([['a'], ['a', 'new']], {'a': 0}, lazy=True)
    assert next(encoded) == [0]
    with pytest.raises(ValueError, match=r"sentences\[1\]\[1\].*'new'"):
        next(encoded)


# decode_sentences

@differs
@pytest.mark.parametrize('options', [{}, {'start_label': 5}, {'invalid_label': 0}])
@pytest.mark.parametrize('words', [WORDS, [], [(1, 2.0, 2), (None, 'a')]])
def test_decoding_is_the_inverse_of_encoding(words, options):
    encoded, vocab = rnn.encode_sentences(words, **options)
    assert rnn.decode_sentences(encoded, vocab) == [list(sentence) for sentence in words]
    assert rnn.decode_sentences((iter(ids) for ids in encoded), vocab) == list(map(list, words))


@differs
@pytest.mark.parametrize('kind', [np.float32, np.int64, mx.nd.array])
def test_decoding_rows_of_arrays_without_their_padding(kind):
    vocab = {'\n': -1, 'a': 0, 'b': 1}
    rows = kind(np.array([[0, 1, -1, -1], [-1, -1, -1, -1], [1, -1, 0, -1]]))
    assert rnn.decode_sentences(rows, vocab, -1) == [['a', 'b'], [], ['b', '\n', 'a']]
    assert rnn.decode_sentences(rows[:1], vocab) == [['a', 'b', '\n', '\n']]
    assert rnn.decode_sentences(list(rows)[2:], vocab, -1.0) == [['b', '\n', 'a']]


@differs
def test_decoding_takes_the_first_word_of_an_id():
    assert rnn.decode_sentences([[0, 1]], {'a': 0, 'b': 1, 'c': 0}) == [['a', 'b']]


@differs
@pytest.mark.parametrize('number', [7, -1, 0.5, float('nan'), '0', None, [0]])
def test_decoding_an_id_that_is_no_words(number):
    with pytest.raises(ValueError, match=r'sentences\[1\]\[2\] must be the id of a word'):
        rnn.decode_sentences([[0], [0, 1, number]], {'a': 0, 'b': 1})


# BucketSentenceIter: what is read, and what is lost

@differs
def test_losses_are_logged_not_printed(caplog, capfd):
    caplog.set_level(logging.INFO)
    sentences = rnn.BucketSentenceIter(SMALL, 4, [2, 3])
    assert (sentences.discarded, sentences.truncated, sentences.remainder) == (6, 0, 4)
    record, = caplog.records
    assert (record.name, record.levelname) == ('mxrnn.io', 'WARNING')
    assert '26 sentences: 6 discarded and 0 truncated' in record.getMessage()
    assert "leaves out 4" in record.getMessage() and "last_batch='pad'" in record.getMessage()
    rnn.BucketSentenceIter([[1]] * 4 + [[1] * 9] * 2, 2, [2, 7])  # no sentence is in bucket 7
    assert '2 discarded and 0 truncated, being longer than 7' in caplog.records[-1].getMessage()
    for options, levelname in (({}, 'INFO'), ({'last_batch': 'pad', 'batch_size': 4}, 'INFO'),
                               ({'buckets': [3], 'last_batch': 'pad'}, 'WARNING')):
        caplog.clear()
        rnn.BucketSentenceIter(SMALL, **{'batch_size': 2, 'buckets': [4], **options})
        record, = caplog.records
        assert record.levelname == levelname
        lost = 'discarded' in record.getMessage()
        assert lost is (levelname == 'WARNING')
        assert 'leaves out' not in record.getMessage()
    assert capfd.readouterr() == ('', '')


@differs
def test_buckets_given_stay_as_they_are():
    buckets = [9, 3, 3]
    sentences = rnn.BucketSentenceIter(SMALL, 2, buckets)
    assert buckets == [9, 3, 3]
    assert sentences.buckets == [3, 9]


@differs
@pytest.mark.parametrize('kind', [tuple, set, np.array, iter])
def test_buckets_of_any_kind(kind):
    assert rnn.BucketSentenceIter(SMALL, 2, kind([4, 2])).buckets == [2, 4]


@differs
def test_empty_sentences_go_into_the_smallest_bucket():
    for buckets in ([0, 2], None):
        sentences = rnn.BucketSentenceIter([[], [], [], [1, 2], [3, 4]], 2, buckets)
        assert sentences.buckets == [2]
        assert sentences.remainder == 1
        assert {2} == {batch.data[0].shape[1] for batch in sentences}


@differs
@pytest.mark.parametrize('options', [{}, {'shuffle': False}, {'last_batch': 'pad'}])
def test_sentences_that_are_all_empty(options):
    sentences = rnn.BucketSentenceIter([[], []], 1, buckets=[2], provide_length=True, **options)
    batches = list(sentences)
    assert [batch.data[0].asnumpy().tolist() for batch in batches] == [[[-1, -1]]] * 2
    assert [batch.label[0].asnumpy().tolist() for batch in batches] == [[[-1, -1]]] * 2
    assert [batch.data[1].asnumpy().tolist() for batch in batches] == [[0]] * 2
    assert [data.tolist() for data in sentences.data] == [[[-1, -1]] * 2]


@differs
def test_what_batches_do_not_come_from_cannot_be_changed():
    sentences = rnn.BucketSentenceIter(SMALL, 2, [2, 4])
    with pytest.raises(ValueError, match='read-only'):
        sentences.data[0][0, 0] = 7
    for name in ('nddata', 'ndlabel'):
        with pytest.raises(ValueError, match='readonly'):
            getattr(sentences, name)[0][0] = 7
        with pytest.raises(ValueError, match='readonly'):
            getattr(sentences, name)[0] += 7
    for name in ('data', 'nddata', 'ndlabel'):
        with pytest.raises(AttributeError, match="^%s of Shifted cannot be set.*next" % name):
            class Shifted(rnn.BucketSentenceIter):
                def reset(self, name=name):
                    super().reset()
                    setattr(self, name, [array + 1 for array in getattr(self, name)])

            Shifted(SMALL, 2, [4])


@differs
def test_sentences_from_a_generator():
    sentences = rnn.BucketSentenceIter((words for words in SMALL), 2, [4], shuffle=False)
    assert flat(epoch(sentences)) == sorted(SMALL)


@differs
def test_too_long_truncated():
    sentences = rnn.BucketSentenceIter(SMALL, 2, [1, 3], too_long='truncate', shuffle=False)
    assert (sentences.discarded, sentences.truncated) == (0, 6)
    assert flat(epoch(sentences)) == sorted(words[:3] for words in SMALL[:24])


@differs
@pytest.mark.parametrize('token, dtype', [
    (2049, 'float16'), (2 ** 24 + 1, 'float32'), (-1, 'uint8'), (200, 'int8'), (2 ** 31, 'int32'),
    (1.5, 'int32'), (float('nan'), 'float32'), (float('inf'), 'float64'), (1e39, 'float32')])
def test_tokens_that_dtype_cannot_hold(token, dtype):
    with pytest.raises(ValueError, match='sentences must hold numbers that dtype %s' % dtype):
        rnn.BucketSentenceIter([[1, 2], [3, token]], 1, [2], 0, dtype=dtype)
    with pytest.raises(ValueError, match='invalid_label'):
        rnn.BucketSentenceIter([[1, 2], [3, 4]], 1, [2], token, dtype=dtype)


@pytest.mark.parametrize('most', [100, 255, 256, 32767, 65535, 65536, 2 ** 24])
@pytest.mark.parametrize('least', [0, -1, -129, -40000])
def test_tokens_are_exact_whatever_they_are_stored_as(most, least):
    sentences = [[0, least], [most, 1]] * 9000 + [[most, least]] * 2
    given = rnn.BucketSentenceIter(sentences, 2, [2])
    found = np.concatenate([batch.data[0].asnumpy() for batch in given])
    assert sorted(found.tolist()) == sorted(sentences)


def test_lists_of_numpy_fractions():
    sentences = rnn.BucketSentenceIter([list(np.array([0.5, 1.25], 'float32'))] * 2, 2)
    assert sentences.next().data[0].asnumpy().tolist() == [[0.5, 1.25]] * 2


@differs
def test_memory_is_that_of_the_tokens():
    sentences = [[j % 30000 for j in range(i, i + 5 + i % 40)] for i in range(8000)]
    tracemalloc.start()
    iterator = rnn.BucketSentenceIter(sentences, 32, [15, 30, 45])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < sum(data.nbytes for data in iterator.data)


def test_batches_are_where_the_program_computes():
    with mx.cpu(1):
        batch = next(rnn.BucketSentenceIter([[1, 2], [3, 4]], 1))
    assert [array.context for array in batch.data + batch.label] == [mx.cpu(1)] * 2


def test_labels_at_the_invalid_value():
    batch = rnn.BucketSentenceIter([[3, -1, 2]] * 2, 2, [4]).next()
    assert batch.data[0].asnumpy().tolist() == [[3, -1, 2, -1]] * 2
    assert batch.label[0].asnumpy().tolist() == [[-1, 2, -1, -1]] * 2


# BucketSentenceIter: order and epochs

def test_batch_larger_than_the_data():
    assert epoch(rnn.BucketSentenceIter(SMALL, 100, [4])) == []


@differs
def test_unshuffled():
    sentences = rnn.BucketSentenceIter(SMALL, 3, [2, 4], shuffle=False)
    expected = [words for words in SMALL if len(words) < 3][:12]
    expected += [words for words in SMALL if len(words) > 2][:12]
    state = random.getstate(), np.random.get_state()[1].tolist()
    for _ in range(2):
        assert sum((found for found, _ in epoch(sentences)), []) == expected
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state


@differs
def test_seeded():
    random.seed(5)
    np.random.seed(5)
    expected = rnn.BucketSentenceIter(SMALL, 3, [2, 4])
    expected = [epoch(expected) for _ in range(3)]
    state = random.getstate()
    for _ in range(2):
        sentences = rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5)
        assert [epoch(sentences) for _ in range(3)] == expected
    assert random.getstate() == state
    other = rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=6)
    assert [epoch(other) for _ in range(3)] != expected


@differs
@pytest.mark.parametrize('last_batch', ['discard', 'pad', 'roll_over'])
@pytest.mark.parametrize('count', [7, 8, 10, 3])
def test_last_batch_as_in_mx_io(last_batch, count):
    data = np.arange(count * 2).reshape(count, 2)
    sentences = rnn.BucketSentenceIter(data, 4, [2], shuffle=False, last_batch=last_batch)
    if count == 3 and last_batch == 'roll_over':  # NDArrayIter never gets to a batch
        assert epoch(sentences) == []
        assert epoch(sentences) == [([[0, 1], [2, 3], [4, 5], [0, 1]], 0)]
        return
    if count == 3 and last_batch == 'discard':  # NDArrayIter refuses
        assert epoch(sentences) == []
        return
    expected = mx.io.NDArrayIter(data, batch_size=4, last_batch_handle=last_batch)
    for _ in range(4):
        assert [found for found, _ in epoch(sentences)] == [found for found, _ in epoch(expected)]


@differs
@pytest.mark.parametrize('shuffle', [False, True])
def test_pad_hands_out_every_sentence_once(shuffle):
    sentences = rnn.BucketSentenceIter(SMALL, 5, [2, 3, 4], shuffle=shuffle, last_batch='pad')
    assert sentences.remainder == 0
    for _ in range(3):
        batches = epoch(sentences)
        assert flat(batches) == sorted(SMALL)
        assert sorted(pad for _, pad in batches) == [0, 0, 0, 0, 1, 4, 4]


@differs
def test_roll_over_owes_no_sentence():
    sentences = rnn.BucketSentenceIter(SMALL, 5, [2, 3, 4], last_batch='roll_over')
    handed_out = collections.Counter()
    for i in range(1, 8):
        handed_out.update(map(tuple, flat(epoch(sentences))))
        assert all(i - 1 <= handed_out[tuple(words)] <= i for words in SMALL)
    assert sum(handed_out.values()) > 7 * len(SMALL) - 3 * 5


@differs
def test_roll_over_survives_a_broken_off_epoch():
    sentences = rnn.BucketSentenceIter([[i] for i in range(6)], 4, [1], shuffle=False,
                                       last_batch='roll_over')
    epoch(sentences)
    assert rows(sentences.next()) == [[4], [5], [0], [1]]
    sentences.reset()
    assert rows(sentences.next()) == [[4], [5], [0], [1]]


def test_reordering_idx_reorders_batches():
    sentences = rnn.BucketSentenceIter(SMALL, 2, [4])
    sentences.next()
    sentences.idx = sorted(sentences.idx)
    sentences.curr_idx = 3
    expected = sentences.data[0][6:8]
    assert (sentences.next().data[0].asnumpy() == expected).all()


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
@pytest.mark.parametrize('options', [{}, pytest.param({'seed': 3}, marks=differs)])
def test_copies_go_on_alike(duplicate, options):
    sentences = rnn.BucketSentenceIter(SMALL, 2, [4], **options)
    sentences.next()
    twin = duplicate(sentences)
    assert epoch(twin) == epoch(sentences)
    if options:
        assert epoch(twin) == epoch(sentences)


# BucketSentenceIter: what programs make of it

@differs
@pytest.mark.parametrize('layout', ['NT', 'TN'])
def test_lengths(layout):
    sentences = rnn.BucketSentenceIter(SMALL + [[]], 4, [3, 6], layout=layout, last_batch='pad',
                                       dtype='int32', provide_length=True, length_name='valid')
    assert [(d.name, d.shape, d.layout, d.dtype) for d in sentences.provide_data] == [
        ('data', (4, 6) if layout == 'NT' else (6, 4), layout, np.int32),
        ('valid', (4,), 'N', np.float32)]
    for batch in sentences:
        assert [d.shape for d in batch.provide_data] == [a.shape for a in batch.data]
        assert [d.dtype for d in batch.provide_data] == [a.dtype for a in batch.data]
        assert batch.data[1].asnumpy().tolist() == list(map(len, rows(batch, layout)))


@differs
def test_data_is_bound_in_its_type():
    sentences = rnn.BucketSentenceIter([[2 ** 24 + 1, 2]] * 4, 2, dtype='int32')
    data = mx.sym.Variable('data')
    module = mx.mod.Module(mx.sym.identity(data), label_names=[])
    module.bind(sentences.provide_data, for_training=False)
    module.init_params()
    module.forward(sentences.next())
    assert module.get_outputs()[0].asnumpy().tolist() == [[2 ** 24 + 1, 2]] * 2


def language_model(length, lengths=False):
    data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=20, output_dim=8, name='embed')
    output = mx.sym.FullyConnected(mx.sym.reshape(data, shape=(-1, 8)), num_hidden=20, name='pred')
    if lengths:
        output = mx.sym.broadcast_add(output, 0 * mx.sym.sum(mx.sym.Variable('length')))
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
    return (mx.sym.SoftmaxOutput(output, label, use_ignore=True, ignore_label=-1, name='softmax'),
            ('data', 'length') if lengths else ('data',), ('softmax_label',))


@pytest.mark.parametrize('dtype', ['float32', 'int32', 'float64'])
@pytest.mark.parametrize('options', [
    {}, pytest.param({'last_batch': 'pad', 'provide_length': True}, marks=differs),
    pytest.param({'last_batch': 'roll_over', 'layout': 'TN'}, marks=differs)])
def test_training(dtype, options):
    counting = [[(i + j) % 10 for j in range(3 + i % 5)] for i in range(43)]
    sentences = rnn.BucketSentenceIter(counting, 4, [4, 7], dtype=dtype, **options)
    module = mx.mod.BucketingModule(
        lambda length: language_model(length, 'provide_length' in options),
        default_bucket_key=sentences.default_bucket_key,
        context=[mx.cpu(0), mx.cpu(1)] if sentences.major_axis == 0 else mx.cpu())
    module.fit(sentences, num_epoch=6, eval_metric=mx.metric.Perplexity(-1), optimizer='adam',
               optimizer_params={'learning_rate': 0.1})
    assert dict(module.score(sentences, mx.metric.Perplexity(-1)))['perplexity'] < 1.2


@pytest.mark.parametrize('options', [
    {}, pytest.param({'last_batch': 'pad', 'provide_length': True}, marks=differs)])
def test_prefetched(options):
    def epochs(wrap):
        random.seed(1)
        np.random.seed(2)
        sentences = wrap(rnn.BucketSentenceIter(SMALL, 4, [2, 4], **options))
        for _ in range(3):
            for batch in sentences:
                yield [a.asnumpy().tolist() for a in batch.data + batch.label], batch.pad
            sentences.reset()
        yield sentences.provide_data, sentences.provide_label

    assert list(epochs(mx.io.PrefetchingIter)) == list(epochs(lambda sentences: sentences))


# StreamIter

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


@differs
@pytest.mark.parametrize('layout', ['NT', 'TN', 'NTC', 'TNC'])
@pytest.mark.parametrize('last_batch', ['discard', 'pad'])
@pytest.mark.parametrize('count, batch_size, bptt', [
    (41, 4, 5), (42, 4, 5), (60, 4, 5), (100, 7, 3), (11, 1, 10), (11, 10, 1), (5000, 3, 35)])
def test_streams_go_on(count, batch_size, bptt, last_batch, layout):
    text = np.random.randint(0, 90000, count)
    data, label, iterator = streams(text, batch_size, bptt, layout=layout, last_batch=last_batch,
                                    epochs=2)
    steps = (count - 1) // batch_size
    if last_batch == 'discard':
        steps -= steps % bptt
    assert data.shape[1] == iterator.num_batches * bptt == -(-steps // bptt) * bptt
    assert data[:, :steps].ravel().tolist() == text[:batch_size * steps].tolist()
    assert label[:, :steps].ravel().tolist() == text[1:batch_size * steps + 1].tolist()
    assert (label[:, steps:] == -1).all()
    assert iterator.discarded == count - 1 - batch_size * steps
    assert iterator.provide_data[0].shape == iterator.next().data[0].shape


@differs
def test_stream_tells_where_an_epoch_begins():
    for wrap in (lambda iterator: iterator, mx.io.PrefetchingIter):
        iterator = wrap(rnn.StreamIter(range(50), 4, 3))
        for _ in range(2):
            batches = list(iterator)
            assert [batch.index[0] == 0 for batch in batches] == [True, False, False, False]
            if isinstance(iterator, rnn.StreamIter):
                assert [batch.new_epoch for batch in batches] == [True, False, False, False]
            iterator.reset()
    iterator.next()
    iterator.reset()
    assert iterator.next().index.tolist() == [0, 12, 24, 36]


@differs
def test_stream_losses_are_logged(caplog):
    caplog.set_level(logging.INFO)
    rnn.StreamIter(range(50), 4, 5)
    rnn.StreamIter(range(42), 4, 5)
    rnn.StreamIter(range(41), 4, 5)
    rnn.StreamIter(range(51), 4, 5, last_batch='pad')
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in found] == ['WARNING', 'WARNING', 'INFO', 'WARNING']
    assert [text.split(',')[0] for _, text in found] == [
        '50 tokens: 9 discarded', '42 tokens: 1 discarded', '41 tokens: none is left out',
        '51 tokens: 2 discarded']
    assert ["last_batch='pad' hands out all but 1" in text for _, text in found] == [
        True, False, False, False]  # padding gains nothing in the others


@differs
@pytest.mark.parametrize('kind', [list, tuple, iter, np.array, np.float32, np.uint8])
@pytest.mark.parametrize('dtype', ['float32', 'int64', np.float16])
def test_stream_of_any_kind(kind, dtype):
    data, _, iterator = streams(kind(range(30)), 2, 7, dtype=dtype)
    assert data.dtype == iterator.provide_data[0].dtype == np.dtype(dtype)
    assert data.ravel().tolist() == list(range(28))


@differs
@pytest.mark.parametrize('layout', ['NT', 'TN'])
def test_training_on_streams(layout):
    iterator = rnn.StreamIter([i % 10 for i in range(500)], 4, 6, layout=layout, last_batch='pad')
    module = mx.mod.Module(language_model(6)[0])
    module.fit(iterator, num_epoch=6, eval_metric=mx.metric.Perplexity(-1), optimizer='adam',
               optimizer_params={'learning_rate': 0.1})
    assert dict(module.score(iterator, mx.metric.Perplexity(-1)))['perplexity'] < 1.2


# Positions

TEXT = np.arange(99) % 50
POSITIONS = {
    'seeded': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5),
    'shared': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4]),
    'unshuffled': lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], shuffle=False),
    'pad': lambda: rnn.BucketSentenceIter(SMALL, 5, [2, 3, 4], seed=1, last_batch='pad'),
    'roll_over': lambda: rnn.BucketSentenceIter(SMALL, 5, [2, 4], seed=1, last_batch='roll_over'),
    'roll_over, shared': lambda: rnn.BucketSentenceIter(SMALL, 5, [2, 4], last_batch='roll_over'),
    'stream': lambda: rnn.StreamIter(TEXT, 3, 4),
}
each_position = pytest.mark.parametrize('make', POSITIONS.values(), ids=POSITIONS)


def seen(batch):
    return [array.asnumpy().tolist() for array in batch.data + batch.label], batch.pad


def run(iterator, count, broken_off=None, seeds=False):
    """What `count` batches hold, epoch after epoch; one epoch is broken off."""
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


@differs
@each_position
@pytest.mark.parametrize('seeds', [False, True])
@pytest.mark.parametrize('broken_off', [None, 9])
@pytest.mark.parametrize('done', [0, 7, 13, 40])
def test_going_on_from_a_position(make, done, broken_off, seeds):
    iterator = make()
    run(iterator, done, broken_off, seeds)
    position = pickle.loads(pickle.dumps(iterator.state_dict()))
    generators = random.getstate(), np.random.get_state()
    expected = run(iterator, 60)
    random.seed(100)
    np.random.seed(100)
    other = make()
    run(other, 17)
    before = random.getstate(), np.random.get_state()[1].tolist()
    other.load_state_dict(position)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert pickle.dumps(other.state_dict()) == pickle.dumps(position)
    random.setstate(generators[0])  # as a checkpoint does
    np.random.set_state(generators[1])
    assert run(other, 60) == expected


@differs
@each_position
def test_a_position_is_of_batches_done_though_more_were_handed_out(make):
    iterator = make()
    run(iterator, 10)
    generators = random.getstate(), np.random.get_state()
    iterator.reset()
    expected = run(iterator, 3)
    position = iterator.state_dict(batches=1)
    random.setstate(generators[0])
    np.random.set_state(generators[1])
    other = make()
    other.load_state_dict(position)
    assert run(other, 2) == expected[1:]
    for wrong in (-1, len(iterator) + 1):
        with pytest.raises(ValueError, match='batches'):
            iterator.state_dict(batches=wrong)


@differs
@each_position
def test_positions_where_the_iterator_is_read_ahead(make):
    random.seed(3)
    np.random.seed(3)
    iterator = make()
    ahead = mx.io.PrefetchingIter(iterator)
    found = [seen(next(ahead)) for _ in range(3)]
    position = iterator.state_dict(batches=2)
    del ahead
    other = make()
    other.load_state_dict(position)
    assert seen(next(mx.io.PrefetchingIter(other))) == found[2]


@differs
def test_positions_do_not_grow_with_the_data():
    def size(count, **options):
        iterator = rnn.BucketSentenceIter([[1, 2, 3]] * count, 2, [3], **options)
        for _ in range(4):
            iterator.reset()
        return len(pickle.dumps(iterator.state_dict()))

    assert abs(size(20000, seed=1) - size(20, seed=1)) < 50
    assert size(20, seed=1) < 1000
    assert size(20000) < 6000


@differs
@pytest.mark.parametrize('make, name', [
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=6), 'seed=5'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4]), 'seed=5'),
    (lambda: rnn.BucketSentenceIter(SMALL, 4, [2, 4], seed=5), 'batch_size=3'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [3, 4], seed=5), r'buckets=\[2, 4\]'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5, shuffle=False), 'shuffle=True'),
    (lambda: rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=5, last_batch='pad'), 'last_batch='),
    (lambda: rnn.BucketSentenceIter(SMALL[:-4], 3, [2, 4], seed=5), 'same data.*sequences=26'),
    (lambda: rnn.BucketSentenceIter([s[::-1] for s in SMALL], 3, [2, 4], seed=5),
     'same data.*checksum='),
    (lambda: rnn.BucketSentenceIter([s[1:] + s[:1] for s in SMALL[:-1]] + [[250, 252]], 3, [2, 4],
                                    seed=5), 'same data.*checksum='),
    (lambda: rnn.BucketSentenceIter([[i + 0.25 for i in s] for s in SMALL], 3, [2, 4], seed=5),
     'same data.*checksum='),
    (lambda: rnn.StreamIter(TEXT, 3, 4), 'of a StreamIter, but is of a BucketSentenceIter')])
def test_a_position_of_something_else_is_named(make, name):
    position = POSITIONS['seeded']().state_dict()
    iterator = make()
    expected = run(copy.deepcopy(iterator), 9)
    with pytest.raises(ValueError, match=name):
        iterator.load_state_dict(position)
    random.seed(0)
    assert len(expected) == len(run(iterator, 9))


@differs
@each_position
def test_a_position_that_is_none(make):
    iterator = make()
    run(iterator, 2)
    position = iterator.state_dict()
    for wrong, error in ((None, TypeError), ([], TypeError), ({}, ValueError),
                         ({**position, 'batches': 99}, ValueError),
                         ({**position, 'batches': -1}, ValueError),
                         ({**position, 'batches': 1.5}, TypeError),
                         ({**position, 'settings': None}, TypeError),
                         ({**position, 'data': {}}, ValueError)):
        with pytest.raises(error, match='state'):
            iterator.load_state_dict(wrong)
    if position['epochs']:
        for epochs in (None, [], [3], [{}], [{'ended': False, 'generators': {'python': [1]}}],
                       [{'ended': True, 'generators': {'python': [1], 'numpy': [1, 2]}}]):
            with pytest.raises(ValueError, match='state'):
                iterator.load_state_dict({**position, 'epochs': epochs})
    assert pickle.dumps(iterator.state_dict()) == pickle.dumps(position)


@differs
def test_shared_generators_that_cannot_be_stored():
    before = np.random.get_bit_generator() if hasattr(np.random, 'get_bit_generator') else None
    if before is None:
        pytest.skip('this NumPy has one shared generator')
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        iterator = rnn.BucketSentenceIter(SMALL, 3, [2, 4])
        assert len(run(iterator, 20)) == 20
        with pytest.raises(RuntimeError, match='seed'):
            iterator.state_dict()
        assert rnn.BucketSentenceIter(SMALL, 3, [2, 4], seed=1).state_dict()['batches'] == 0
    finally:
        np.random.set_bit_generator(before)


@differs
def test_a_subclass_has_the_positions_of_its_class():
    class Renamed(rnn.BucketSentenceIter):
        pass

    renamed = Renamed(SMALL, 3, [2, 4], seed=5)
    renamed.load_state_dict(POSITIONS['seeded']().state_dict())
    POSITIONS['seeded']().load_state_dict(renamed.state_dict())


# Parts for several workers

def in_parts(count, sentences, *args, **kwargs):
    return [rnn.BucketSentenceIter(sentences, *args, num_parts=count, part_index=i, **kwargs)
            for i in range(count)]


UNIQUE = [[100 * i + j for j in range(1 + i * 7 % 10)] for i in range(150)]


@differs
@pytest.mark.parametrize('last_batch', ['discard', 'pad', 'roll_over'])
@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('count, batch_size', [(1, 4), (2, 4), (3, 5), (5, 2), (7, 3), (2, 20)])
def test_parts_have_the_same_buckets_and_no_sentence_in_common(count, batch_size, shuffle,
                                                               last_batch):
    parts = in_parts(count, UNIQUE, batch_size, [3, 6, 7, 10], shuffle=shuffle, seed=4,
                     last_batch=last_batch)
    owner = {}
    for _ in range(3):
        batches = [[(batch.bucket_key, rows(batch), batch.pad) for batch in part]
                   for part in parts]
        assert len({tuple(key for key, _, _ in part) for part in batches}) == 1
        handed_out = collections.Counter()
        for i, part in enumerate(batches):
            for _, sentences, pad in part:
                assert len(sentences) == batch_size
                for sentence in sentences[:batch_size - pad]:
                    handed_out[tuple(sentence)] += 1
                    assert owner.setdefault(tuple(sentence), i) == i
                for sentence in sentences[batch_size - pad:]:
                    assert not sentence or owner.setdefault(tuple(sentence), i) == i
        if last_batch == 'pad':
            assert sorted(handed_out.elements()) == sorted(map(tuple, UNIQUE))
        elif last_batch == 'discard':
            assert max(handed_out.values()) == 1
            assert len(UNIQUE) - len(handed_out) == parts[0].remainder
        for part in parts:
            part.reset()
    assert len({(part.remainder, part.discarded, part.truncated) for part in parts}) == 1
    if last_batch == 'roll_over' and batch_size < 10:
        assert len(owner) == len(UNIQUE) - parts[0].remainder


@differs
def test_a_part_without_a_sentence_of_a_bucket_gets_padding():
    parts = in_parts(3, [[1], [2], [3, 4]], 2, [1, 2], last_batch='pad', shuffle=False,
                     provide_length=True)
    found = [[(rows(batch), batch.pad, batch.data[1].asnumpy().tolist()) for batch in part]
             for part in parts]
    assert found == [[([[1], [1]], 1, [1, 1]), ([[3, 4], [3, 4]], 1, [2, 2])],
                     [([[2], [2]], 1, [1, 1]), ([[], []], 2, [0, 0])],
                     [([[], []], 2, [0, 0]), ([[], []], 2, [0, 0])]]


@differs
def test_what_is_left_out_of_all_parts_is_counted(caplog):
    part = in_parts(2, UNIQUE, 4, [3, 6])[0]
    assert part.discarded == sum(len(sentence) > 6 for sentence in UNIQUE)
    message = caplog.records[-1].getMessage()
    assert '%d discarded' % part.discarded in message
    assert 'leaves out %d, too few to fill a batch of 4 in 2 parts' % part.remainder in message


@differs
def test_parts_that_would_get_no_batch_are_refused():
    with pytest.raises(ValueError, match='num_parts must leave each part a batch'):
        in_parts(8, UNIQUE, 19, [10])
    assert in_parts(2, UNIQUE, 7, None)[0].buckets == list(range(1, 11))
    with pytest.raises(ValueError, match='buckets must be given: there are no 16 sentences'):
        in_parts(2, UNIQUE, 8, None)
    with pytest.raises(ValueError, match='tokens must be at least .* num_parts=50'):
        rnn.StreamIter(TEXT, 2, 1, num_parts=50)


@differs
@pytest.mark.parametrize('last_batch', ['discard', 'pad'])
def test_parts_of_a_text_are_its_streams(last_batch):
    whole, label, iterator = streams(TEXT, 6, 4, last_batch=last_batch)
    parts = [streams(TEXT, 2, 4, last_batch=last_batch, num_parts=3, part_index=i)
             for i in range(3)]
    assert np.concatenate([part[0] for part in parts]).tolist() == whole.tolist()
    assert np.concatenate([part[1] for part in parts]).tolist() == label.tolist()
    assert {(part.discarded, len(part)) for _, _, part in parts} == {
        (iterator.discarded, len(iterator))}


@differs
@pytest.mark.parametrize('make', [
    lambda i: rnn.BucketSentenceIter(UNIQUE, 4, [6, 10], seed=2, num_parts=2, part_index=i),
    lambda i: rnn.StreamIter(TEXT, 2, 4, num_parts=2, part_index=i)])
def test_a_position_of_one_part_goes_for_all(make):
    parts = [make(0), make(1)]
    for part in parts:
        run(part, 17)
    assert pickle.dumps(parts[0].state_dict()) == pickle.dumps(parts[1].state_dict())
    other = make(1)
    other.load_state_dict(parts[0].state_dict())
    assert run(other, 20) == run(parts[1], 20)


# Tokens on disk

def written(tmp_path, sentences):
    return rnn.write_tokens(tmp_path / 'corpus', sentences)


@differs
@pytest.mark.parametrize('options', [
    {}, {'buckets': None}, {'buckets': [3, 6], 'last_batch': 'pad', 'provide_length': True},
    {'buckets': [3, 6], 'too_long': 'truncate'}, {'layout': 'TN', 'dtype': 'int32', 'seed': 3},
    {'last_batch': 'roll_over', 'num_parts': 2, 'part_index': 1}, {'shuffle': False}])
@pytest.mark.parametrize('form', ['path', 'str', 'corpus'])
def test_from_disk_come_the_batches_of_memory(tmp_path, form, options):
    corpus = written(tmp_path, UNIQUE)
    options = {'buckets': [4, 7, 10], 'batch_size': 4, **options}
    found = []
    for source in (UNIQUE, {'path': tmp_path / 'corpus', 'str': str(tmp_path / 'corpus'),
                            'corpus': corpus}[form]):
        random.seed(1)
        np.random.seed(1)
        iterator = rnn.BucketSentenceIter(source, **options)
        found.append((run(iterator, 70), iterator.buckets, iterator.discarded, iterator.truncated,
                      iterator.remainder, iterator.idx, described(iterator)))
    assert found[0] == found[1]


@differs
@pytest.mark.parametrize('last_batch', ['discard', 'pad'])
def test_a_text_on_disk_is_that_in_memory(tmp_path, last_batch):
    corpus = written(tmp_path, UNIQUE)
    text = [token for sentence in UNIQUE for token in sentence]
    found = [run(rnn.StreamIter(source, 3, 4, last_batch=last_batch), 90)
             for source in (text, corpus, tmp_path / 'corpus')]
    assert found[0] == found[1] == found[2]


@differs
@pytest.mark.parametrize('most', [0, 255, 256, 65535, 65536, 2 ** 31, 2 ** 63 - 1])
@pytest.mark.parametrize('least', [0, -1, -129, -40000, -2 ** 63])
def test_tokens_on_disk_are_exact_in_the_narrowest_type(tmp_path, least, most):
    sentences = [[0, 1]] * 9000 + [[], [most]] + [[0]] * 9000 + [[least, 1]]
    corpus = written(tmp_path, iter(sentences))
    assert [sentence.tolist() for sentence in corpus] == sentences
    assert (corpus.least, corpus.most) == (min(0, least), max(1, most))
    expected = next(kind for kind in ('uint8', 'int8', 'uint16', 'int16', 'int32', 'int64')
                    if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max)
    assert corpus.tokens.dtype == expected
    file, = (tmp_path / 'corpus').glob('tokens-*.npy')
    assert np.load(file).tolist() == corpus.tokens.tolist()
    assert len(list((tmp_path / 'corpus').iterdir())) == 3


@differs
@pytest.mark.parametrize('sentences', [
    IDS, [(1, 2), [3.0], np.array([4, 5], 'uint8')], [[]] * 3, [[True], [False]],
    np.ones((3, 2))], ids=['lists', 'mixed', 'empty', 'flags', 'array'])
def test_sentences_of_every_kind_on_disk(tmp_path, sentences):
    corpus = written(tmp_path, sentences)
    assert [sentence.tolist() for sentence in corpus] == [list(s) for s in sentences]


@differs
@pytest.mark.parametrize('options', [
    {}, {'too_long': 'truncate'}, {'num_parts': 3, 'part_index': 1, 'last_batch': 'pad'},
    {'num_parts': 2, 'part_index': 1}])
def test_long_arrays_are_looked_at_piece_by_piece(tmp_path, monkeypatch, options):
    def found():
        corpus = rnn.write_tokens(tmp_path / 'corpus', [*UNIQUE, [2 ** 24]])
        iterator = rnn.BucketSentenceIter(corpus, 3, [4, 7], shuffle=False, seed=1, **options)
        position = iterator.state_dict()
        assert position == rnn.BucketSentenceIter(
            rnn.read_tokens(tmp_path / 'corpus'), 3, [4, 7], shuffle=False, seed=1,
            **options).state_dict()
        return position, iterator.discarded, iterator.remainder, run(iterator, len(iterator))

    whole = found()
    for module in ('order', 'tokens'):
        monkeypatch.setattr('mxrnn._data.%s._PIECE' % module, 7)
    assert found() == whole


def test_a_sentence_longer_than_small_integers_count():
    sentence = [i % 200 for i in range(40000)]
    batch = rnn.BucketSentenceIter([sentence, sentence[:39000]], 2, [40001]).next()
    found = batch.data[0].asnumpy()
    assert sorted(row[row >= 0].tolist() for row in found) == [sentence[:39000], sentence]
    assert sorted((row >= 0).sum() for row in batch.label[0].asnumpy()) == [38999, 39999]


@differs
def test_a_corpus_is_a_sequence(tmp_path):
    corpus = written(tmp_path, SMALL)
    assert len(corpus) == 26
    assert corpus[3].tolist() == SMALL[3] and corpus[-1].tolist() == SMALL[-1]
    assert [sentence.tolist() for sentence in corpus[2:9:3]] == SMALL[2:9:3]
    with pytest.raises(IndexError):
        corpus[26]
    with pytest.raises(ValueError, match='read-only'):
        corpus[3][0] = 1
    assert repr(corpus) == 'Corpus(%r, 26 sentences, 63 tokens of type uint8)' % (
        str(tmp_path / 'corpus'))
    for twin in (copy.deepcopy(corpus), pickle.loads(pickle.dumps(corpus))):
        assert twin.tokens.tolist() == corpus.tokens.tolist()


@differs
def test_copies_of_an_iterator_map_the_same_files(tmp_path):
    iterator = rnn.BucketSentenceIter(written(tmp_path, [[1] * 1000] * 100), 2, seed=1)
    iterator.next()  # now batches that come later are ready, too
    saved = pickle.dumps(iterator)
    assert len(saved) < 20000  # where the tokens take 100000
    assert run(pickle.loads(saved), 60) == run(iterator, 60)


@differs
def test_writing_takes_sentences_one_by_one(tmp_path):
    def sentences():
        for _ in range(50000):
            yield list(range(100))

    tracemalloc.start()
    written(tmp_path, sentences())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 25e6  # some thousands of the lists, where all of them take 43e6


@differs
def test_positions_on_disk_are_those_in_memory(tmp_path):
    def options():
        return {'batch_size': 4, 'buckets': [7, 10], 'seed': 2}

    disk = rnn.BucketSentenceIter(written(tmp_path, UNIQUE), **options())
    memory = rnn.BucketSentenceIter(UNIQUE, **options())
    run(disk, 40)
    memory.load_state_dict(disk.state_dict())
    assert run(memory, 30) == run(disk, 30)
    other = rnn.BucketSentenceIter(written(tmp_path, UNIQUE[:-1]), **options())
    with pytest.raises(ValueError, match='same data'):
        other.load_state_dict(disk.state_dict())


@differs
def test_a_corpus_is_replaced_when_the_new_one_is_whole(tmp_path):
    def broken():
        yield [1, 2, 3]
        raise KeyError('configuration')

    folder = tmp_path / 'new' / 'corpus'
    with pytest.raises(KeyError, match='configuration'):
        rnn.write_tokens(folder, broken())
    assert not folder.exists()
    old = rnn.write_tokens(folder, SMALL)
    files = sorted(path.name for path in folder.iterdir())
    for wrong, error in ((broken(), KeyError), ([], ValueError), ([[0.5]], ValueError),
                         ([[1], 'a'], TypeError), ([[2 ** 64]], (TypeError, ValueError)),
                         (5, TypeError)):
        with pytest.raises(error):
            rnn.write_tokens(folder, wrong)
        assert sorted(path.name for path in folder.iterdir()) == files
    new = rnn.write_tokens(folder, IDS)
    assert [sentence.tolist() for sentence in new] == IDS
    assert [sentence.tolist() for sentence in old] == SMALL  # still mapped
    assert len(list(folder.iterdir())) == 3


@pytest.mark.slow
@differs
def test_killed_while_it_writes_nothing_passes_for_whole(tmp_path):
    script = ('''
import os, signal, sys
import mxrnn as rnn

def sentences():
    for i in range(100000):
        if i == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield [i % 300] * 5

replace = os.replace
def replacing(*args):
    if sys.argv[3] in args[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*args)

os.replace = replacing
rnn.write_tokens(sys.argv[1], sentences())
''')
    for at, name in (('50000', '-'), ('-1', 'tokens-'), ('-1', 'offsets-'), ('-1', 'index')):
        for before in (None, SMALL):
            folder = tmp_path / ('%s %s %s' % (at, name, before is None))
            if before:
                rnn.write_tokens(folder, before)
            killed = subprocess.run([sys.executable, '-c', script, str(folder), at, name],
                                    cwd=os.path.dirname(os.path.dirname(__file__)))
            assert killed.returncode == -signal.SIGKILL
            if before:
                assert [s.tolist() for s in rnn.read_tokens(folder)] == before
            else:
                with pytest.raises(ValueError, match='wrote to its end, but there is no .*index'):
                    rnn.read_tokens(folder)
            assert len(rnn.write_tokens(folder, IDS)) == len(IDS)
            assert len(list(folder.iterdir())) == 3  # nothing of the killed process is left


@differs
def test_damaged_and_foreign_files_are_named(tmp_path):
    folder = tmp_path / 'corpus'
    rnn.write_tokens(folder, IDS)
    saved = {path.name: path.read_bytes() for path in folder.iterdir()}
    tokens, offsets = sorted(saved, reverse=True)[0], sorted(saved)[1]
    (tmp_path / 'x.npy').write_bytes(saved[tokens])  # whole, but not of this folder
    index = json.loads(saved['index.json'])
    damages = [(name, saved[name][:size]) for name in saved for size in (0, 50, -1)]
    damages += [(name, saved[name] + b'0') for name in (tokens, offsets)]
    damages += [(tokens, b'x' + saved[tokens][1:]), (offsets, saved[tokens]),
                (tokens, saved[tokens].replace(b'|u1', b'|i1'))]
    damages += [(offsets, saved[offsets][:-8] + bytes(8))]
    damages += [('index.json', json.dumps({**index, **change}).encode()) for change in (
        {'format': 'other'}, {'tokens': 3}, {'sentences': -1}, {'files': ['../x.npy', offsets]},
        {'files': None}, {'dtype': 'O'}, {'tokens': 'many'})]
    damages += [('index.json', b'[]'), ('index.json', b'\xff'), ('index.json', None),
                (tokens, None), (offsets, None)]
    for name, content in damages:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match='path must be a folder that write_tokens wrote'):
            rnn.read_tokens(folder)
        for make in (lambda: rnn.BucketSentenceIter(folder, 2, [60]),
                     lambda: rnn.StreamIter(str(folder), 2, 3)):
            with pytest.raises(ValueError, match='^(sentences|tokens) must be'):
                make()
        (folder / name).write_bytes(saved[name])
    rnn.read_tokens(folder)
    descending = bytearray(saved[offsets])
    descending[128 + 80:128 + 88] = (5000).to_bytes(8, 'little')
    (folder / offsets).write_bytes(descending)
    with pytest.raises(ValueError, match='offsets'):
        rnn.BucketSentenceIter(folder, 2, [60])


@differs
def test_folders_of_something_else_are_left_alone(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine', encoding='utf-8')
    with pytest.raises(ValueError, match="path must be .*'notes.txt'"):
        rnn.write_tokens(tmp_path, SMALL)
    for wrong in (tmp_path / 'notes.txt', '', b'bytes', None, 5):
        for function, args in ((rnn.write_tokens, (SMALL,)), (rnn.read_tokens, ())):
            with pytest.raises((TypeError, ValueError), match='path must be'):
                function(wrong, *args)
    with pytest.raises(ValueError, match='path must be'):
        rnn.read_tokens(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


@differs
@pytest.mark.parametrize('token, dtype', [
    (2 ** 24 + 1, 'float32'), (-1, 'uint8'), (200, 'int8'), (2 ** 31, 'int32'), (2049, 'float16')])
def test_tokens_on_disk_that_dtype_cannot_hold(tmp_path, token, dtype):
    corpus = written(tmp_path, [[1, 2], [3, token]])
    with pytest.raises(ValueError, match='sentences must hold numbers that dtype %s' % dtype):
        rnn.BucketSentenceIter(corpus, 1, [2], 0, dtype=dtype)
    with pytest.raises(ValueError, match='tokens must hold numbers that dtype %s' % dtype):
        rnn.StreamIter(corpus, 1, 1, 0, dtype=dtype)
    between = written(tmp_path, [[2 ** 24 + 1, 2 ** 25]])  # though the bounds can be held
    with pytest.raises(ValueError, match='tokens must hold numbers that dtype float32'):
        rnn.StreamIter(between, 1, 1)
    even = written(tmp_path, [[2 ** 24 + 2, 2 ** 25]])
    assert rnn.StreamIter(even, 1, 1).next().data[0].asnumpy() == 2 ** 24 + 2


# Sizes

@pytest.mark.parametrize('make', [
    lambda: rnn.BucketSentenceIter(SMALL, 3, [4]),
    pytest.param(lambda: rnn.StreamIter(TEXT, 3, 4), marks=differs)])
def test_what_a_batch_says_of_itself_is_its_own(make):
    iterator = make()
    batch, expected = iterator.next(), described(iterator.next())
    batch.provide_data.clear()
    batch.provide_label.clear()
    assert described(iterator.next()) == expected


@differs
def test_sizes_of_iterators():
    sentences = rnn.BucketSentenceIter(SMALL, 3, [2, 4])
    assert len(sentences) == len(list(sentences)) == 8
    assert repr(sentences) == 'BucketSentenceIter(26 sentences, buckets [2, 4], 8 batches of 3)'
    stream = rnn.StreamIter(TEXT, 3, 4)
    assert len(stream) == len(list(stream)) == 8
    assert repr(stream) == 'StreamIter(99 tokens, 8 batches of 4 steps of 3 streams)'
    rolling = POSITIONS['roll_over']()
    for _ in range(3):
        assert len(rolling) == len(list(rolling))
        rolling.reset()
    assert rnn.BucketSentenceIter(SMALL, 100, [4])  # though it has no batch


def test_examples_of_data():
    for module in ('batches', 'corpus', 'sentences', 'stream', 'vocabulary'):
        result = doctest.testmod(importlib.import_module('mxrnn._data.' + module))
        assert not result.failed and (result.attempted or module != 'batches')


# Bad input: refused at once, by name

NAN, HUGE = float('nan'), 10 ** 400

BAD = [('encode_sentences', options, named) for options, named in [
    ({'sentences': None}, 'sentences'), ({'sentences': 5}, 'sentences'),
    ({'sentences': [None]}, 'sentences'), ({'sentences': [['a'], 5]}, 'sentences'),
    ({'sentences': [['a', ['b']]]}, 'sentences'), ({'sentences': [[{}]], 'vocab': {}}, 'sentences'),
    ({'sentences': [['new']], 'vocab': {}}, 'vocab'), ({'vocab': 5}, 'vocab'),
    ({'vocab': ['a', 'b']}, 'vocab'), ({'vocab': 'ab'}, 'vocab'), ({'vocab': {'a': 'b'}}, 'vocab'),
    ({'vocab': {'a': None}}, 'vocab'), ({'vocab': {'a': [1]}}, 'vocab'),
    ({'invalid_label': None}, 'invalid_label'), ({'invalid_label': '1'}, 'invalid_label'),
    ({'invalid_label': 0.5}, 'invalid_label'), ({'invalid_label': NAN}, 'invalid_label'),
    ({'invalid_label': True}, 'invalid_label'), ({'start_label': None}, 'start_label'),
    ({'start_label': 'a'}, 'start_label'), ({'start_label': 1.5}, 'start_label'),
    ({'start_label': [0]}, 'start_label'), ({'invalid_key': ['x']}, 'invalid_key'),
    ({'invalid_key': (['x'],)}, 'invalid_key'), ({'unknown_token': {}}, 'unknown_token'),
    ({'unknown_token': ['u'], 'vocab': {'a': 1}}, 'unknown_token'), ({'lazy': None}, 'lazy'),
    ({'lazy': 'yes'}, 'lazy'), ({'lazy': True, 'sentences': 5}, 'sentences'),
    ({'lazy': True, 'vocab': 5}, 'vocab')]]
BAD += [('decode_sentences', options, named) for options, named in [
    ({'sentences': 5}, 'sentences'), ({'sentences': [5]}, r'sentences'), ({'vocab': None}, 'vocab'),
    ({'vocab': {'a': 'b'}}, 'vocab'), ({'vocab': ['a']}, 'vocab'),
    ({'invalid_label': 'x'}, 'invalid_label'), ({'invalid_label': NAN}, 'invalid_label')]]

BAD_SENTENCES = [None, 5, [], iter([]), {}, '', 'words', ['words'], [['two', 'words']], [['1']],
                 [5, 5], [None], [[None]], [[1], 5], [[1], [[2]]], [[[1, 2]]], [[1, [2, 3]]],
                 [[2 ** 70]], [[HUGE]], [[1j]], [{1, 2}], [{1: 2}], [iter([1])], np.zeros(4),
                 np.zeros((2, 2, 2)), mx.sym.Variable('x')]
BAD += [('BucketSentenceIter', {'sentences': value}, 'sentences') for value in BAD_SENTENCES]
BAD += [('BucketSentenceIter', {'sentences': [[1, 2]] * 3, 'buckets': None, 'batch_size': 4},
         'buckets')]
BAD += [('BucketSentenceIter', {'buckets': value}, 'buckets') for value in [
    5, 0, 2.5, True, '36', [HUGE], [2.5], [None], ['3'], [[3]], [-1, 4], [0], [NAN], [True], [1],
    mx.sym.Variable('x')]]
BAD += [('BucketSentenceIter', {name: value}, name) for name, value in [
    ('shuffle', None), ('shuffle', 'yes'), ('shuffle', 2), ('seed', 'a'), ('seed', -1),
    ('seed', 2 ** 32), ('seed', 1.5), ('seed', True), ('last_batch', None), ('last_batch', 'keep'),
    ('last_batch', 3), ('too_long', None), ('too_long', 'cut'), ('too_long', []),
    ('provide_length', None), ('provide_length', 'length')]]
BAD += [('BucketSentenceIter', {'provide_length': True, 'length_name': value}, 'length_name')
        for value in (None, 7, 'data', 'softmax_label')]
BAD += [('StreamIter', {'tokens': value}, 'tokens') for value in [
    None, 5, [], 'text', ['a'] * 9, [None] * 9, [[1, 2], [3]], [[1, 2], [3, 4]], [1], [2 ** 70] * 9,
    [1.5, NAN] * 9, np.zeros((9, 9)), mx.sym.Variable('x'), range(6)]]
BAD += [('StreamIter', {'bptt': value}, 'bptt') for value in [
    None, 0, -1, 2.0, '2', [2], NAN, True]]
BAD += [('StreamIter', {'bptt': HUGE}, 'bptt'), ('StreamIter', {'last_batch': 'roll_over'},
                                                   'last_batch')]
BAD += [(iterator, options, named) for iterator in ('BucketSentenceIter', 'StreamIter')
        for options, named in [
            ({'num_parts': 0}, 'num_parts'), ({'num_parts': None}, 'num_parts'),
            ({'num_parts': 1.5}, 'num_parts'), ({'num_parts': 2, 'part_index': 2}, 'part_index'),
            ({'part_index': 1}, 'part_index'), ({'part_index': -1}, 'part_index'),
            ({'num_parts': 2, 'part_index': None}, 'part_index'), ({'num_parts': 50}, 'num_parts')]]
BAD += [(iterator, {name: value}, name) for iterator in ('BucketSentenceIter', 'StreamIter')
        for name, values in [
            ('batch_size', [None, 0, HUGE, 2 ** 31, -1, 2.0, '2', [2], NAN, True,
                            mx.sym.Variable('x')]),
            ('invalid_label', [None, '1', NAN, float('inf'), HUGE, 1e40, [0], True, 1j]),
            ('data_name', [None, 5, b'data', ['data']]),
            ('label_name', [None, 5, 'data']),
            ('dtype', [None, 'floating', 'int16', 'foo', 5, 'complex64', 'U4', object, [1]]),
            ('layout', [None, 'T', 'NCHW', 'nt', '', 5, ['N', 'T']])]
        for value in values]

GOOD = {'encode_sentences': {'sentences': [['a']]},
        'decode_sentences': {'sentences': [[0]], 'vocab': {'a': 0}},
        'BucketSentenceIter': {'sentences': [[1, 2], [3, 4]], 'batch_size': 1, 'buckets': [2]},
        'StreamIter': {'tokens': range(20), 'batch_size': 3, 'bptt': 2}}


@differs
def test_bad_input():
    obscure = []
    for name, options, named in BAD:
        try:
            getattr(rnn, name)(**{**GOOD[name], **options})
            obscure.append((name, options, 'no error'))
        except (TypeError, ValueError) as error:
            if named not in str(error) or 'keyword' in str(error):
                obscure.append((name, options, error))
    assert not obscure


def test_errors_of_a_generator_are_its_own():
    def broken():
        yield ['a']
        raise KeyError('configuration')

    with pytest.raises(KeyError, match='configuration'):
        rnn.encode_sentences(broken())
