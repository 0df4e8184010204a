"""encode_sentences and decode_sentences: as in mxnet.rnn, and what they do beyond it."""
import collections
import warnings

import pytest

from . import differs, mx, rnn

WORDS = [['the', 'cat', 'sat'], [], ['the', 'end', '\n'], ['cat'] * 3, ['\n'], ['a', 'the', 'sat']]


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


def warnings_of_encoding(times=2, **options):
    """The messages of warnings, each of this file, while a text with line ends is encoded."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        for _ in range(times):
            encoded, _ = rnn.encode_sentences(['ab\n', 'b\na\n'], **options)
            list(encoded)
    assert {warning.filename for warning in found} <= {__file__}
    return [str(warning.message) for warning in found]


# differences.md: a sentence with `invalid_key`, such as '\n', and a negative `invalid_label`
@differs
@pytest.mark.parametrize('options', [
    {}, {'lazy': True}, {'invalid_label': -7}, {'invalid_key': 'b'}, {'unknown_token': 'x'},
    {'vocab': {'a': 0, 'b': 1, '\n': -1}}, {'vocab': {'a': 0, '\n': -1}, 'unknown_token': 'x'}],
    ids=str)
def test_the_invalid_key_in_a_sentence_is_said_once(options):
    message, = warnings_of_encoding(**options)
    assert 'sentences contain %r' % options.get('invalid_key', '\n') in message
    assert 'gets the id %d' % options.get('invalid_label', -1) in message
    assert "invalid_key=None" in message and 'invalid_label=0, start_label=1' in message
    plain = {name: value for name, value in options.items() if name != 'lazy'}
    text = ['b\na', '\n']
    if 'unknown_token' not in options:
        assert rnn.encode_sentences(text, **plain) == mx.rnn.encode_sentences(text, **plain)


# differences.md: unknown words with `unknown_token`
@differs
@pytest.mark.parametrize('vocab, invalid_label, start_label, unknown', [
    ({'a': 0, 'b': 1, '\n': -1}, -1, 0, 2), ({'a': 0, 'b': 2}, -1, 0, 1), ({'a': 0}, 1, 0, 2),
    ({'a': 5}, -1, 3, 3), ({'a': 3}, 4, 3, 5), ({'a': -2}, -1, -2, 0), ({}, 0, 0, 1),
    ({'<unk>': 7, 'a': 0}, -1, 0, 7)])
def test_unknown_words_share_one_id(vocab, invalid_label, start_label, unknown):
    before, sentences = dict(vocab), [['x', 'y'], ['z', *vocab]]
    encoded, extended = rnn.encode_sentences(sentences, vocab, invalid_label, '\n', start_label,
                                             '<unk>')
    assert encoded == [[unknown, unknown], [unknown, *before.values()]]
    assert vocab == before and extended == {**vocab, '<unk>': unknown}


# differences.md: `unknown_token` with a new vocabulary
@differs
def test_new_vocabulary_reserves_the_unknown_token():
    encoded, vocab = rnn.encode_sentences([['a', 'b'], ['a']], unknown_token='<unk>')
    assert encoded == [[0, 1], [0]]
    assert list(vocab.items()) == [('\n', -1), ('a', 0), ('b', 1), ('<unk>', 2)]
    assert rnn.encode_sentences([['c', 'a']], vocab, unknown_token='<unk>') == ([[2, 0]], vocab)


# differences.md: unknown words without `unknown_token`
@differs
def test_unknown_word_without_unknown_token():
    sentences = (iter(words) for words in [['a'], ['b', 'a', 'new', 'newer']])
    with pytest.raises(ValueError, match=r"sentences\[1\]\[2\].*'new'.*unknown_token"):
        rnn.encode_sentences(sentences, {'a': 0, 'b': 1})


# differences.md: a defaultdict or Counter as vocabulary
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


# differences.md: a corpus larger than memory
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


# decode_sentences

# differences.md: words from ids
@differs
@pytest.mark.parametrize('options', [{}, {'start_label': 5}, {'invalid_label': 0}])
@pytest.mark.parametrize('words', [WORDS, [], [(1, 2.0, 2), (None, 'a')]])
def test_decoding_is_the_inverse_of_encoding(words, options):
    encoded, vocab = rnn.encode_sentences(words, **options)
    assert rnn.decode_sentences(encoded, vocab) == [list(sentence) for sentence in words]
    assert rnn.decode_sentences((iter(ids) for ids in encoded), vocab) == list(map(list, words))


@differs
@pytest.mark.parametrize('number', [7, -1, 0.5, float('nan'), '0', None, [0]])
def test_decoding_an_id_that_is_no_words(number):
    with pytest.raises(ValueError, match=r'sentences\[1\]\[2\] must be the id of a word'):
        rnn.decode_sentences([[0], [0, 1, number]], {'a': 0, 'b': 1})


def test_errors_of_a_generator_are_its_own():
    def broken():
        yield ['a']
        raise KeyError('configuration')

    with pytest.raises(KeyError, match='configuration'):
        rnn.encode_sentences(broken())
