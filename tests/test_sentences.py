"""BucketSentenceIter: as in mxnet.rnn, and what it does beyond it."""
import logging
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import differs, mx, rnn
from .iterators import IDS, SMALL, described, epoch, flat, rows


def history(module, *args, epochs=3, broken_off=1, **kwargs):
    """All that a program sees of an iterator: its attributes, and each batch of some epochs."""
    random.seed(3)
    np.random.seed(4)
    sentences = module.BucketSentenceIter(*args, **kwargs)
    found = [[getattr(sentences, name) for name in (
        'batch_size', 'buckets', 'data_name', 'label_name', 'default_bucket_key', 'dtype',
        'invalid_label', 'layout', 'major_axis')]]
    for number in range(epochs):
        found.append([sentences.idx[:], sentences.curr_idx])
        found += [(a.tolist(), a.dtype, a.shape) for a in sentences.data]
        found += [(a.asnumpy().tolist(), a.dtype) for a in sentences.nddata + sentences.ndlabel]
        for i, batch in enumerate(sentences):
            found.append([(a.asnumpy().tolist(), a.dtype, a.shape)
                         for a in batch.data + batch.label])
            found.append([batch.pad, batch.index, batch.bucket_key, sentences.curr_idx])
            found += described(batch)
            if number == broken_off and i == 2:
                break
        sentences.reset()
    return found + described(sentences) + [random.random(), np.random.rand()]


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
    ([[i] for i in range(9000)], 7), ([list(np.array([0.5, 1.25], 'float32'))] * 2, 2),
    ([[3, -1, 2]] * 2, 2, [4]), (SMALL, 100, [4])], ids=lambda args: repr(args[1:]))
def test_iterator_as_the_original(args):
    assert history(rnn, *args) == history(mx.rnn, *args)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=60), batch_size=st.integers(1, 5),
       buckets=st.lists(st.integers(1, 12), max_size=4), layout=st.sampled_from(['NT', 'TN']),
       dtype=st.sampled_from(['float32', 'float64', 'int32']), start=st.integers(-5, 10 ** 5))
def test_any_iterator_as_the_original(sizes, batch_size, buckets, layout, dtype, start):
    sentences = [list(range(start + i, start + i + size)) for i, size in enumerate(sizes)]
    if max(buckets, default=0) < min(sizes):
        buckets.append(9)
    args = sentences, batch_size, buckets, -1, 'data', 'softmax_label', dtype, layout
    assert history(rnn, *args, epochs=2) == history(mx.rnn, *args, epochs=2)


# What is read, and what is lost

# differences.md: data left out
@differs
def test_losses_are_logged_not_printed(caplog, capfd):
    caplog.set_level(logging.INFO)
    sentences = rnn.BucketSentenceIter(SMALL, 4, [2, 3])
    assert (sentences.discarded, sentences.truncated, sentences.remainder) == (6, 0, 4)
    record, = caplog.records
    assert (record.name, record.levelname) == ('mxrnn.io', 'WARNING')
    assert '26 sentences: 6 discarded and 0 truncated' in record.getMessage()
    assert '4 per epoch are dropped' in record.getMessage()
    assert "last_batch='pad'" in record.getMessage()
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
        assert 'dropped' not in record.getMessage()
    assert capfd.readouterr() == ('', '')


# differences.md: buckets given by the caller
@differs
@pytest.mark.parametrize('kind', [list, tuple, set, np.array, iter])
def test_buckets_of_any_kind_stay_as_they_are(kind):
    buckets, twin = kind([9, 3, 3]), kind([9, 3, 3])
    assert rnn.BucketSentenceIter(SMALL, 2, buckets).buckets == [3, 9]
    assert kind is iter or list(buckets) == list(twin)


# differences.md: empty sentences; a generator of sentences
@differs
def test_empty_sentences_go_into_the_smallest_bucket():
    for buckets in ([0, 2], None):
        sentences = rnn.BucketSentenceIter([[], [], [], [1, 2], [3, 4]], 2, buckets)
        assert sentences.buckets == [2]
        assert sentences.remainder == 1
        assert {2} == {batch.data[0].shape[1] for batch in sentences}


# differences.md: empty sentences; a generator of sentences
@differs
@pytest.mark.parametrize('options', [{}, {'shuffle': False}, {'last_batch': 'pad'}])
def test_sentences_that_are_all_empty(options):
    sentences = rnn.BucketSentenceIter([[], []], 1, buckets=[2], provide_length=True, **options)
    batches = list(sentences)
    assert [batch.data[0].asnumpy().tolist() for batch in batches] == [[[-1, -1]]] * 2
    assert [batch.label[0].asnumpy().tolist() for batch in batches] == [[[-1, -1]]] * 2
    assert [batch.data[1].asnumpy().tolist() for batch in batches] == [[0]] * 2
    assert [data.tolist() for data in sentences.data] == [[[-1, -1]] * 2]


# differences.md: changing or assigning an iterator's `data`, `nddata` or `ndlabel`
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


# differences.md: empty sentences; a generator of sentences
@differs
def test_sentences_from_a_generator():
    sentences = rnn.BucketSentenceIter((words for words in SMALL), 2, [4], shuffle=False)
    assert flat(epoch(sentences)) == sorted(SMALL)


# differences.md: a bucket's last sentences and sentences that are too long (dropped)
@differs
def test_too_long_truncated():
    sentences = rnn.BucketSentenceIter(SMALL, 2, [1, 3], too_long='truncate', shuffle=False)
    assert (sentences.discarded, sentences.truncated) == (0, 6)
    assert flat(epoch(sentences)) == sorted(words[:3] for words in SMALL[:24])


# differences.md: tokens that `dtype` can't hold
@differs
@pytest.mark.parametrize('token, dtype', [
    (2049, 'float16'), (2 ** 24 + 1, 'float32'), (-1, 'uint8'), (200, 'int8'), (2 ** 31, 'int32'),
    (1.5, 'int32'), (float('nan'), 'float32'), (float('inf'), 'float64'), (1e39, 'float32')])
def test_tokens_that_dtype_cannot_hold(token, dtype):
    with pytest.raises(ValueError, match='sentences must have numbers that dtype %s' % dtype):
        rnn.BucketSentenceIter([[1, 2], [3, token]], 1, [2], 0, dtype=dtype)
    with pytest.raises(ValueError, match='invalid_label'):
        rnn.BucketSentenceIter([[1, 2], [3, 4]], 1, [2], token, dtype=dtype)


@pytest.mark.parametrize('least, most', [(0, 100), (-1, 255), (0, 256), (-129, 100), (-1, 32767),
                                         (0, 65535), (-40000, 65536), (0, 2 ** 24)])
def test_tokens_are_exact_whatever_they_are_stored_as(least, most):
    sentences = [[0, least], [most, 1]] * 9000 + [[most, least]] * 2
    given = rnn.BucketSentenceIter(sentences, 9001, [2])
    found = np.concatenate([batch.data[0].asnumpy() for batch in given])
    assert sorted(found.tolist()) == sorted(sentences)


# differences.md: memory of an iterator
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


# Order and epochs


# differences.md: order of batches (always random, from the global generators)
@differs
def test_unshuffled():
    sentences = rnn.BucketSentenceIter(SMALL, 3, [2, 4], shuffle=False)
    expected = [words for words in SMALL if len(words) < 3][:12]
    expected += [words for words in SMALL if len(words) > 2][:12]
    state = random.getstate(), np.random.get_state()[1].tolist()
    for _ in range(2):
        assert sum((found for found, _ in epoch(sentences)), []) == expected
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state


# differences.md: order of batches (always random, from the global generators)
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


# differences.md: a bucket's last sentences and sentences that are too long (dropped)
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


# What programs make of it

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


# differences.md: the type in `provide_data`
@differs
def test_data_is_bound_in_its_type():
    sentences = rnn.BucketSentenceIter([[2 ** 24 + 1, 2]] * 4, 2, dtype='int32')
    data = mx.sym.Variable('data')
    module = mx.mod.Module(mx.sym.identity(data), label_names=[])
    module.bind(sentences.provide_data, for_training=False)
    module.init_params()
    module.forward(sentences.next())
    assert module.get_outputs()[0].asnumpy().tolist() == [[2 ** 24 + 1, 2]] * 2
