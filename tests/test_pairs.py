"""Labels of one's own in BucketSentenceIter, and SentencePairIter."""
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import differs, rnn
from .iterators import SMALL, described, run

pytestmark = differs

SOURCES = [[100 + i, *range(i % 5)] for i in range(60)]
TARGETS = [[200 + i, *range(i % 7)] for i in range(60)]
TAGS = [[token % 3 for token in sentence] for sentence in SMALL]


def tokens(array):
    return [[int(i) for i in row if i != -1] for row in array.asnumpy()]


def pairs(*args, **options):
    return rnn.SentencePairIter(SOURCES, TARGETS, *args, **options)


# Labels

# differences.md: own labels (the next tokens)
@pytest.mark.parametrize('layout', ['NT', 'TN'])
@pytest.mark.parametrize('options', [
    {}, {'last_batch': 'pad'}, {'last_batch': 'roll_over', 'seed': 1}, {'dtype': 'int32'},
    {'too_long': 'truncate', 'buckets': [2, 3]}, {'buckets': None}, {'provide_length': True},
    {'num_parts': 2, 'part_index': 1}, {'shuffle': False}])
def test_labels_go_with_their_tokens(options, layout):
    options = {'buckets': [2, 4], 'layout': layout, **options}
    labelled = rnn.BucketSentenceIter(SMALL, 3, labels=TAGS, **options)
    plain = rnn.BucketSentenceIter(SMALL, 3, **options)
    for iterator in (labelled, plain):
        np.random.seed(5)
        iterator.reset()
    assert described(labelled) == described(plain)
    for _ in range(3):
        for batch in labelled:
            data, label = batch.data[0].asnumpy(), batch.label[0].asnumpy()
            assert (label == np.where(data == -1, -1, data % 3)).all()
            assert label.dtype == batch.data[0].dtype
            assert [a.shape for a in batch.label] == [d.shape for d in batch.provide_label]
        labelled.reset()
    assert (labelled.discarded, labelled.truncated, labelled.remainder) == (
        plain.discarded, plain.truncated, plain.remainder)


# differences.md: own labels (the next tokens)
@pytest.mark.parametrize('options', [{}, {'too_long': 'truncate'}, {'last_batch': 'pad'}])
def test_labels_on_disk(tmp_path, options):
    corpus = rnn.write_tokens(tmp_path / 'words', SMALL)
    rnn.write_tokens(tmp_path / 'tags', TAGS)
    found = [run(rnn.BucketSentenceIter(sentences, 3, [2, 3], labels=labels, seed=2, **options), 20)
             for sentences, labels in ((SMALL, TAGS), (corpus, tmp_path / 'tags'))]
    assert found[0] == found[1]
    with pytest.raises(TypeError, match='^labels must be on disk, because sentences are'):
        rnn.BucketSentenceIter(corpus, 3, labels=TAGS)
    with pytest.raises(TypeError, match='^sentences must be on disk, because labels are'):
        rnn.BucketSentenceIter(SMALL, 3, labels=str(tmp_path / 'tags'))
    with pytest.raises(ValueError, match=r'but labels\[0\] has 2, and sentences\[0\] 1'):
        rnn.BucketSentenceIter(corpus, 3, labels=rnn.write_tokens(
            tmp_path / 'other', [[1, 2], *TAGS[1:]]))


def test_a_position_with_other_labels_is_refused():
    with_labels = rnn.BucketSentenceIter(SMALL, 3, [4], labels=TAGS, seed=1)
    without = rnn.BucketSentenceIter(SMALL, 3, [4], seed=1)
    others = rnn.BucketSentenceIter(SMALL, 3, [4], labels=SMALL, seed=1)
    for saved, other in ((with_labels, without), (without, with_labels), (with_labels, others)):
        with pytest.raises(ValueError, match='same data, but was saved with labels'):
            other.load_state_dict(saved.state_dict())


# Pairs

# differences.md: pairs of sentences
@pytest.mark.parametrize('layout', ['NT', 'TN'])
@pytest.mark.parametrize('options', [{}, {'dtype': 'int32'}, {'provide_length': True}])
def test_each_pair_comes_once(options, layout):
    iterator = pairs(4, [(2, 3), (5, 4), (3, 7), (5, 7)], last_batch='pad', layout=layout,
                     **options)
    found = []
    for batch in iterator:
        source, target, label = (array if layout == 'NT' else array.T
                                 for array in (*batch.data[:2], *batch.label))
        assert (source.shape[1], target.shape[1]) == batch.bucket_key
        assert label.shape == target.shape
        assert [a.shape for a in batch.data] == [d.shape for d in batch.provide_data]
        assert [a.dtype for a in batch.data] == [d.dtype for d in batch.provide_data]
        count = 4 - batch.pad
        sources, targets, labels = (tokens(array)[:count] for array in (source, target, label))
        assert [words[1:] for words in targets] == labels
        if options == {'provide_length': True}:
            for lengths, sentences in zip(batch.data[2:], (sources, targets)):
                assert lengths.asnumpy()[:count].tolist() == list(map(len, sentences))
        found += zip(sources, targets)
    assert sorted(found) == sorted(zip(SOURCES, TARGETS))
    names = [desc.name for desc in iterator.provide_data]
    assert names == ['source', 'target'] + ['source_length', 'target_length'] * (
        'provide_length' in options)


# differences.md: pairs of sentences
@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40),
       buckets=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), max_size=5),
       truncate=st.booleans(), batch_size=st.integers(1, 3))
def test_the_bucket_of_fewest_steps(sizes, buckets, truncate, batch_size):
    sources = [[i] * n for i, (n, _) in enumerate(sizes)]
    targets = [[i] * n for i, (_, n) in enumerate(sizes)]
    options = {'too_long': 'truncate'} if truncate else {}
    most = tuple(map(max, zip(*buckets))) if buckets else None

    def expected(size):
        if truncate:
            size = tuple(map(min, size, most))
        holding = [key for key in (*buckets, *[most] * truncate)
                   if all(n <= length for n, length in zip(size, key))]
        return min(holding, key=lambda key: (sum(key), key), default=None)

    try:
        iterator = rnn.SentencePairIter(sources, targets, batch_size, buckets, shuffle=False,
                                        last_batch='pad', provide_length=True, **options)
    except ValueError as error:
        assert 'buckets' in str(error)
        assert not buckets or not any(map(expected, sizes))
        return
    if not buckets:
        most = iterator.default_bucket_key
        buckets = iterator.buckets
        assert all(min(key) > 0 for key in buckets)
    places = {i: expected(size) for i, size in enumerate(sizes)}
    assert iterator.discarded == sum(key is None for key in places.values())
    assert iterator.truncated == truncate * sum(
        any(n > length for n, length in zip(size, most)) for size in sizes)
    assert iterator.buckets == sorted({key for key in places.values() if key},
                                      key=lambda key: (sum(key), key))
    assert iterator.default_bucket_key == tuple(map(max, zip(*iterator.buckets)))
    numbers = []
    for batch in iterator:
        for row in range(batch_size - batch.pad):
            source, target = (array.asnumpy()[row] for array in batch.data[:2])
            lengths = [int(array.asnumpy()[row]) for array in batch.data[2:]]
            found = {int(i) for i in (*source[:lengths[0]], *target[:lengths[1]])}
            assert len(found) <= 1  # both sentences of one pair
            assert (source[lengths[0]:] == -1).all() and (target[lengths[1]:] == -1).all()
            for i in found:
                assert places[i] == batch.bucket_key
                assert tuple(lengths) == tuple(map(min, sizes[i], batch.bucket_key))
            numbers += found
    assert sorted(numbers) == [i for i, key in places.items() if key and sizes[i] != (0, 0)]


# differences.md: pairs of sentences
def test_pairs_of_disk_are_those_of_memory(tmp_path):
    paths = tmp_path / 'sources', tmp_path / 'targets'
    for path, sentences in zip(paths, (SOURCES, TARGETS)):
        rnn.write_tokens(path, sentences)
    for options in ({}, {'too_long': 'truncate'}, {'last_batch': 'roll_over'}):
        found = [run(rnn.SentencePairIter(*of, 4, [(3, 3), (4, 6)], seed=3, **options), 40)
                 for of in ((SOURCES, TARGETS), paths)]
        assert found[0] == found[1]


# differences.md: pairs of sentences
def test_parts_of_pairs():
    parts = [pairs(4, [(5, 7)], num_parts=3, part_index=i, seed=1) for i in range(3)]
    found = [tuple(words) for part in parts for batch in part for words in tokens(batch.data[0])]
    assert len(set(found)) == len(found) == 60
    assert pickle.dumps(parts[0].state_dict()) == pickle.dumps(parts[2].state_dict())


def test_pairs_of_every_frequent_length_and_one_for_the_rest():
    sizes = [(1, 3)] * 4 + [(2, 1)] * 4 + [(2, 2), (1, 1), (9, 9), (0, 3), (0, 0)]
    iterator = rnn.SentencePairIter([[1] * n for n, _ in sizes], [[1] * n for _, n in sizes], 4,
                                    last_batch='pad')
    assert iterator.buckets == [(2, 1), (1, 3), (2, 3)]
    assert iterator.discarded == 1


@pytest.mark.parametrize('side', ['source', 'target'])
def test_the_lengths_of_one_side(side):
    iterator = pairs(4, [(3, 3), (5, 7)], provide_length=side, **{side + '_length_name': 'valid'})
    assert [desc.name for desc in iterator.provide_data] == ['source', 'target', 'valid']
    for batch in iterator:
        of = batch.data[side == 'target']
        assert batch.data[2].asnumpy().tolist() == list(map(len, tokens(of)))


@pytest.mark.parametrize('options, named', [
    ({'sources': SOURCES[:-1]}, 'targets must be as many as sources, which are 59, got 60'),
    ({'sources': []}, 'sources must not be empty'), ({'targets': 5}, 'targets'),
    ({'targets': [[1.5, 'a']] * 60}, 'targets'), ({'sources': [1] * 60}, 'sources'),
    ({'buckets': [3]}, 'buckets'), ({'buckets': [(3, 0)]}, 'buckets'), ({'buckets': 3}, 'buckets'),
    ({'buckets': [(3, 4, 5)]}, 'buckets'), ({'buckets': [(1.5, 2)]}, 'buckets'),
    ({'buckets': [(3, 2 ** 31)]}, 'buckets'), ({'buckets': None, 'batch_size': 50}, 'buckets'),
    ({'sources': [[1] * 6] * 60, 'buckets': [(5, 7)]},
     r'buckets must fit at least one of sources and targets, got \[\(5, 7\)\], but the shortest '
     r'has length \(6, 1\)'),
    ({'source_name': 'target'}, 'source_name must differ from target_name'),
    ({'target_length_name': 'source', 'provide_length': True}, 'target_length_name'),
    ({'provide_length': 'both'}, 'provide_length'), ({'provide_length': None}, 'provide_length'),
    ({'labels': SOURCES}, r'labels\[5\] has 1, and targets\[5\] 6'),
    ({'num_parts': 99}, 'num_parts'), ({'last_batch': 'keep'}, 'last_batch')])
def test_pairs_that_are_none(options, named):
    with pytest.raises((TypeError, ValueError), match=named):
        rnn.SentencePairIter(**{'sources': SOURCES, 'targets': TARGETS, 'batch_size': 4,
                                'buckets': [(5, 7)], **options})
