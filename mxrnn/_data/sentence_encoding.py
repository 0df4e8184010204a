"""Words to ids and back."""
from __future__ import annotations

import gc
import numbers
from contextlib import contextmanager
from itertools import count
from typing import Any, Callable, Dict, Hashable, Iterable, Iterator, Literal, Mapping, overload

import numpy as np

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['decode_sentences', 'encode_sentences']


@overload
def encode_sentences(sentences: Iterable[Iterable[Hashable]],
                     vocab: Mapping[Hashable, int] | None = ..., invalid_label: int = ...,
                     invalid_key: Hashable = ..., start_label: int = ...,
                     unknown_token: Hashable | None = ..., *, lazy: Literal[False] = ...
                     ) -> tuple[list[list[int]], Mapping[Hashable, int]]: ...


@overload
def encode_sentences(sentences: Iterable[Iterable[Hashable]],
                     vocab: Mapping[Hashable, int] | None = ..., invalid_label: int = ...,
                     invalid_key: Hashable = ..., start_label: int = ...,
                     unknown_token: Hashable | None = ..., *, lazy: Literal[True]
                     ) -> tuple[Iterator[list[int]], Mapping[Hashable, int]]: ...


def encode_sentences(sentences: Iterable[Iterable[Hashable]],
                     vocab: Mapping[Hashable, int] | None = None, invalid_label: int = -1,
                     invalid_key: Hashable = '\n', start_label: int = 0,
                     unknown_token: Hashable | None = None, *, lazy: bool = False
                     ) -> tuple[Iterable[list[int]], Mapping[Hashable, int]]:
    """Replace each word by its id; build the vocabulary unless one is given.

    Parameters
    ----------
    sentences : iterable of iterable of str
        The sentences, each a sequence of words (a str is a sequence of characters).
    vocab : dict of str to int, optional
        The ids to use. It is never changed. By default a vocabulary is built: each new word gets
        the next id, in order of appearance.
    invalid_label : int
        The id of `invalid_key` in a new vocabulary; no other word gets it.
    invalid_key : str
        The word that means 'no word', such as the end of a sentence. If a sentence contains it and
        its id is negative, a warning says so, because `Embedding` reads such ids as 0.
    start_label : int
        The lowest id to assign.
    unknown_token : str, optional
        Words that `vocab` lacks get this word's id. If `vocab` lacks it too, it is added to a copy
        of `vocab`, with the first free id from `start_label` on. In a new vocabulary no word is
        missing, and this word is added as the last entry. An empty str counts as None.
    lazy : bool
        Return an iterator that encodes each sentence when it is read, so that memory holds only one
        sentence and the vocabulary (see `write_tokens`).

    Returns
    -------
    encoded : list of list of int
        The sentences as ids; with `lazy` an iterator over them.
    vocab : dict of str to int
        The given vocabulary if nothing was added, otherwise the new one. With `lazy`, it fills
        while `encoded` is read, and is complete at the end.

    Raises
    ------
    ValueError
        A word is missing from the given vocabulary and `unknown_token` is None. With `lazy`, raised
        when the word's sentence is read.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> encoded, vocab = rnn.encode_sentences([['the', 'cat'], ['the', 'end']])
    >>> encoded, vocab
    ([[0, 1], [0, 2]], {'\\n': -1, 'the': 0, 'cat': 1, 'end': 2})
    """
    _check.flag('lazy', lazy)
    words = _words(vocab, invalid_label, invalid_key, start_label, unknown_token)
    if isinstance(sentences, str):
        _check.warn_once('sentences is one str, so each of its characters is a sentence: pass a '
                         'list of sentences, such as [text]')
    sentences = _check.iterable('sentences', sentences, 'sentences')
    last = unknown_token if vocab is None and unknown_token else None
    if lazy:
        return _encoded(sentences, words, last), words.known
    encoded: list[list[int]] = []
    with _no_collection():
        encoded.extend(_encoded(sentences, words, last))
    if vocab is not None and len(words.known) == len(vocab):
        return encoded, vocab
    return encoded, words.known


def decode_sentences(sentences: Iterable[Iterable[int]], vocab: Mapping[Hashable, int],
                     invalid_label: float | None = None) -> list[list[Hashable]]:
    """Replace each id by its word: the inverse of `encode_sentences`.

    Parameters
    ----------
    sentences : iterable of iterable of int
        Ids: lists, or an array or NDArray with a sentence in each row. Whole floats are accepted,
        as in batches of `BucketSentenceIter`.
    vocab : dict of str to int
        From `encode_sentences`. If several words have one id, the first of them is used.
    invalid_label : number, optional
        Padding: ids equal to it at the end of a sentence are dropped.

    Returns
    -------
    list of list of str
        The sentences as words.

    Raises
    ------
    ValueError
        An id belongs to no word.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> encoded, vocab = rnn.encode_sentences([['the', 'cat'], ['the', 'end']])
    >>> rnn.decode_sentences(encoded, vocab)
    [['the', 'cat'], ['the', 'end']]
    >>> batch = next(rnn.BucketSentenceIter(encoded, 2, [4], shuffle=False))
    >>> rnn.decode_sentences(batch.data[0], vocab, invalid_label=-1)
    [['the', 'cat'], ['the', 'end']]
    """
    _check_vocabulary(vocab)
    if invalid_label is not None:
        _check.number('invalid_label', invalid_label)
    words: dict[int, Hashable] = {}
    for word, number in vocab.items():
        words.setdefault(number, word)
    decoded = []
    for i, sentence in enumerate(_check.iterable('sentences', _plain(sentences), 'sentences')):
        ids = list(_check.iterable('sentences[%d]' % i, _plain(sentence), 'ids'))
        if invalid_label is not None:
            while ids and ids[-1] == invalid_label:
                ids.pop()
        for j, number in enumerate(ids):
            if not isinstance(number, numbers.Real) or number not in words:
                raise ValueError('sentences[%d][%d] must be the id of a word of vocab, got %r'
                                 % (i, j, number))
        decoded.append([words[number] for number in ids])
    return decoded


def _plain(values: Any) -> Any:
    """Arrays and NDArrays as lists, everything else unchanged."""
    values = values.asnumpy() if isinstance(values, mx.nd.NDArray) else values
    return values.tolist() if isinstance(values, np.ndarray) else values


class _UnknownWord(KeyError):
    """A word is missing from the caller's vocabulary."""


class _Words(Dict[Hashable, int]):
    """A table for looking words up. A missing word gets the id that `missing` returns.

    `known` is the vocabulary to return, with the words seen so far. A negative id of `invalid_key`
    is not in the table, so that a look-up shows that a sentence contains the word.
    """

    def __init__(self, known: Mapping[Hashable, int], invalid_key: Hashable) -> None:
        super().__init__(known)
        self.known = known
        self.missing: Callable[[Hashable], int] | None = None
        self._invalid = {}
        if self.get(invalid_key, 0) < 0:
            self._invalid[invalid_key] = self.pop(invalid_key)

    def __missing__(self, word: Hashable) -> int:
        if word in self._invalid:
            self[word] = number = self._invalid[word]
            _check.warn_once(
                'sentences contain %r, which is invalid_key and gets the id %d. Embedding reads '
                'that as 0, the id of another word. If it is an ordinary word, give '
                'invalid_key=None; if it pads sentences, give invalid_label=0, start_label=1'
                % (word, number))
            return number
        if self.missing is None:
            raise _UnknownWord(word)
        return self.missing(word)


def _words(vocab: Mapping[Hashable, int] | None, invalid_label: int, invalid_key: Hashable,
           start_label: int, unknown_token: Hashable | None) -> _Words:
    """Check the arguments of `encode_sentences`; return the table for them."""
    _check.whole('invalid_label', invalid_label)
    _check.whole('start_label', start_label)
    for name, value in (('invalid_key', invalid_key), ('unknown_token', unknown_token)):
        try:
            hash(value)
        except TypeError as error:
            raise TypeError('%s must be hashable, as words are, got %r' % (name, value)) from error
    if vocab is None:
        fresh = {invalid_key: invalid_label}
        words = _Words(fresh, invalid_key)
        ids = (i for i in count(start_label) if i != invalid_label)

        def add(word: Hashable) -> int:
            words[word] = fresh[word] = new = next(ids)
            return new

        words.missing = add
        return words
    _check_vocabulary(vocab)
    words = _Words(vocab, invalid_key)
    if unknown_token and unknown_token in vocab:
        unknown = vocab[unknown_token]
        words.missing = lambda word: unknown
    elif unknown_token:
        taken = {invalid_label, *vocab.values()}
        free = next(i for i in count(start_label) if i not in taken)
        words.known = extended = dict(vocab)

        def add_unknown(word: Hashable) -> int:
            extended[unknown_token] = free
            return free

        words.missing = add_unknown
    return words


def _check_vocabulary(vocab: Mapping[Hashable, object]) -> None:
    _check.instance('vocab', vocab, Mapping, 'a dict of words to ids, or None')
    for kind in set(map(type, vocab.values())):
        if not issubclass(kind, numbers.Real):
            raise TypeError('vocab must map words to numbers, got a %s' % kind.__name__)


def _encoded(sentences: Iterator[Iterable[Hashable]], words: _Words, last: Hashable | None
             ) -> Iterator[list[int]]:
    """The ids of each sentence when it is read; the word `last` is added at the end."""
    lookup = words.__getitem__
    number = -1
    ids: list[int] = []
    try:
        for sentence in sentences:
            number += 1
            ids = []  # if a word fails, its length tells which one
            ids.extend(map(lookup, sentence))
            yield ids
    except _UnknownWord as error:
        raise ValueError(
            'sentences[%d][%d] must be a word of vocab, which has no %r. Add it, or name an entry '
            'for such words with unknown_token=' % (number, len(ids), error.args[0])) from None
    except TypeError as error:
        raise TypeError('sentences must have iterables of hashable words; number %d does not: %s'
                        % (number, error)) from error
    if last is not None:
        lookup(last)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector, which would check a growing million of lists for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
