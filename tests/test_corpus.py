"""Tokens on disk."""
import copy
import json
import pickle
import random

import numpy as np
import pytest

from . import differs, rnn
from .iterators import IDS, SMALL, UNIQUE, described, run, written

pytestmark = differs


# differences.md: a corpus larger than memory
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


@pytest.mark.parametrize('least, most', [
    (0, 0), (0, 255), (-1, 100), (-1, 255), (0, 256), (-129, 0), (0, 65535), (0, 65536),
    (-40000, 0), (-1, 2 ** 31), (0, 2 ** 63 - 1), (-2 ** 63, 0)])
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


@pytest.mark.parametrize('sentences', [
    IDS, [(1, 2), [3.0], np.array([4, 5], 'uint8')], [[]] * 3, [[True], [False]],
    np.ones((3, 2))], ids=['lists', 'mixed', 'empty', 'flags', 'array'])
def test_sentences_of_every_kind_on_disk(tmp_path, sentences):
    corpus = written(tmp_path, sentences)
    assert [sentence.tolist() for sentence in corpus] == [list(s) for s in sentences]


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
    for module in ('buckets', 'tokens'):
        monkeypatch.setattr('mxrnn._data.%s.PIECE' % module, 7)
    assert found() == whole


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


# differences.md: a corpus larger than memory
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
        with pytest.raises(ValueError, match='path must be a folder that write_tokens wrote'
                           ) as caught:
            rnn.read_tokens(folder)
        assert 'pickle' not in str(caught.value)  # which NumPy advises
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


@pytest.mark.parametrize('token, dtype', [
    (2 ** 24 + 1, 'float32'), (-1, 'uint8'), (200, 'int8'), (2 ** 31, 'int32'), (2049, 'float16')])
def test_tokens_on_disk_that_dtype_cannot_hold(tmp_path, token, dtype):
    corpus = written(tmp_path, [[1, 2], [3, token]])
    with pytest.raises(ValueError, match='sentences must have numbers that dtype %s' % dtype):
        rnn.BucketSentenceIter(corpus, 1, [2], 0, dtype=dtype)
    with pytest.raises(ValueError, match='tokens must have numbers that dtype %s' % dtype):
        rnn.StreamIter(corpus, 1, 1, 0, dtype=dtype)
    between = written(tmp_path, [[2 ** 24 + 1, 2 ** 25]])  # though the bounds can be held
    with pytest.raises(ValueError, match='tokens must have numbers that dtype float32'):
        rnn.StreamIter(between, 1, 1)
    even = written(tmp_path, [[2 ** 24 + 2, 2 ** 25]])
    assert rnn.StreamIter(even, 1, 1).next().data[0].asnumpy() == 2 ** 24 + 2
