"""All functions of data: what they say of themselves, and what they refuse."""
import doctest
import importlib

import numpy as np
import pytest

from . import differs, mx, rnn
from .iterators import POSITIONS, SMALL, TEXT, described


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
