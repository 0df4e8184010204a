"""All functions of data: what they say of themselves, and what they refuse."""
import doctest
import importlib

import pytest

from . import differs, rnn
from .iterators import POSITIONS, SMALL, TEXT


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
    for module in ('base_iterator', 'corpus', 'sentences', 'stream', 'sentence_encoding'):
        result = doctest.testmod(importlib.import_module('mxrnn._data.' + module))
        assert not result.failed and (result.attempted or module != 'base_iterator')


def test_errors_of_a_generator_are_its_own():
    def broken():
        yield ['a']
        raise KeyError('configuration')

    with pytest.raises(KeyError, match='configuration'):
        rnn.encode_sentences(broken())
