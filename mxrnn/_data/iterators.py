"""Sentences as numbers, and the iterators that hand them out in batches."""
from __future__ import annotations

import gc
import logging
import numbers
import random
from contextlib import contextmanager
from itertools import compress, count
from typing import Any, Callable, Hashable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import tokens as _tokens

__all__ = ['BucketSentenceIter', 'StreamIter', 'encode_sentences']

_log = logging.getLogger('mxrnn.io')

_BLOCK = 2 ** 18  # tokens that are made ready at once, so that small batches come quickly


def encode_sentences(sentences: Iterable[Iterable[Hashable]],
                     vocab: Mapping[Hashable, int] | None = None, invalid_label: int = -1,
                     invalid_key: Hashable = '\n', start_label: int = 0,
                     unknown_token: Hashable | None = None
                     ) -> tuple[list[list[int]], Mapping[Hashable, int]]:
    """Replace each word by its id, building the vocabulary unless one is given.

    Parameters
    ----------
    sentences : iterable of iterable of str
        The sentences, each a series of words (a str is a series of characters).
    vocab : dict of str to int, optional
        The ids to use. It is never changed. None builds a vocabulary: each new word gets the
        next id, in order of appearance.
    invalid_label : int
        The id of `invalid_key` in a new vocabulary; no other word gets it.
    invalid_key : str
        The word that stands for 'no word', such as the end of a sentence.
    start_label : int
        The lowest id that is handed out.
    unknown_token : str, optional
        The word whose id the words missing from `vocab` get. Where it is missing itself, a copy
        of `vocab` is extended by it, with the first free id from `start_label` on. A new
        vocabulary, in which no word is missing, gets it as its last entry. An empty str counts
        as None.

    Returns
    -------
    encoded : list of list of int
        The sentences as ids.
    vocab : dict of str to int
        The given vocabulary itself where nothing had to be added to it, else the new one.

    Raises
    ------
    ValueError
        If a word is missing from the given vocabulary and there is no `unknown_token`.
    """
    _check.integer('invalid_label', invalid_label)
    _check.integer('start_label', start_label)
    for name, value in (('invalid_key', invalid_key), ('unknown_token', unknown_token)):
        try:
            hash(value)
        except TypeError as error:
            raise TypeError('%s must be hashable, as words are, got %r' % (name, value)) from error
    if vocab is None:
        ids = (i for i in count(start_label) if i != invalid_label)
        words = _Words({invalid_key: invalid_label}, lambda word: next(ids))
        encoded = _encode(sentences, words)
        if unknown_token:
            words[unknown_token]  # looking it up adds it
        return encoded, dict(words)

    _check.instance('vocab', vocab, Mapping, 'a dict of words to ids, or None')
    for kind in set(map(type, vocab.values())):
        if not issubclass(kind, numbers.Real):
            raise TypeError('vocab must map words to numbers, got a %s' % kind.__name__)
    words = _Words(vocab)
    if not unknown_token:
        return _encode(sentences, words), vocab
    taken = {invalid_label, *words.values()}
    unknown = words.get(unknown_token, next(i for i in count(start_label) if i not in taken))
    words.missing = lambda word: unknown
    encoded = _encode(sentences, words)
    if unknown_token not in vocab and len(words) > len(vocab):
        vocab = {**vocab, unknown_token: unknown}
    return encoded, vocab


class _UnknownWord(KeyError):
    """A word that the vocabulary given by the caller does not have."""


class _Words(dict):
    """Words and their ids; `missing` gives the id of a word that is not there, if any does."""

    def __init__(self, known: Mapping[Hashable, int],
                 missing: Callable[[Hashable], int] | None = None) -> None:
        super().__init__(known)
        self.missing = missing

    def __missing__(self, word: Hashable) -> int:
        if self.missing is None:
            raise _UnknownWord(word)
        self[word] = new = self.missing(word)
        return new


def _encode(sentences: Iterable[Iterable[Hashable]], words: _Words) -> list[list[int]]:
    encoded: list[list[int]] = []
    lookup = words.__getitem__
    sentences = _check.iterable('sentences', sentences, 'sentences')
    try:
        with _no_collection():
            for sentence in sentences:
                ids: list[int] = []
                encoded.append(ids)  # now: what is in it when a word fails tells which one it was
                ids.extend(map(lookup, sentence))
    except _UnknownWord as error:
        raise ValueError(
            'sentences[%d][%d] must be a word of vocab, which has no %r; unknown_token names the '
            'entry to use for such words' % (len(encoded) - 1, len(encoded[-1]), error.args[0])
        ) from None
    except TypeError as error:
        raise TypeError('sentences must hold iterables of hashable words; number %d does not: %s'
                        % (len(encoded) - 1, error)) from error
    return encoded


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector off: it would walk a growing million of lists for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _TokenIter(mx.io.DataIter):
    """What the iterators share: arguments, descriptions, and batches cut from rows of tokens."""

    def __init__(self, batch_size: int, invalid_label: float, data_name: str, label_name: str,
                 dtype: Any, layout: str, **names: str) -> None:
        super().__init__(_extent('batch_size', batch_size, 1))
        self._dtype = _tokens.data_type('dtype', dtype)
        self._padding = _padding('invalid_label', invalid_label, self._dtype)
        self.invalid_label = invalid_label
        _names(data_name=data_name, label_name=label_name, **names)
        self.data_name = data_name
        self.label_name = label_name
        self.dtype = dtype
        self.layout = _check.choice('layout', layout, ('NT', 'TN', 'NTC', 'TNC'))
        self.major_axis = layout.find('N')

    def _describe(self, length: int) -> tuple[list[mx.io.DataDesc], list[mx.io.DataDesc]]:
        """provide_data and provide_label of a batch of this length."""
        shape = (self.batch_size, length) if self.major_axis == 0 else (length, self.batch_size)
        return ([mx.io.DataDesc(self.data_name, shape, self._dtype.type, self.layout)],
                [mx.io.DataDesc(self.label_name, shape, layout=self.layout)])

    def _split(self, rows: np.ndarray) -> list[mx.nd.NDArray]:
        """Data and label from rows of one step more: all but the last, and all but the first."""
        return [mx.nd.array(part if self.major_axis == 0 else part.swapaxes(-1, -2),
                            dtype=self.dtype)
                for part in (rows[..., :-1], rows[..., 1:])]

    def _batch(self, data: list[mx.nd.NDArray], label: mx.nd.NDArray, length: int,
               pad: int = 0, index: Any = None) -> mx.io.DataBatch:
        provide_data, provide_label = self._describe(length)
        return mx.io.DataBatch(data, [label], pad=pad, index=index, bucket_key=length,
                               provide_data=provide_data, provide_label=provide_label)


class BucketSentenceIter(_TokenIter):
    """Sentences in batches of about one length; the label of each step is the next token.

    Each sentence goes into the smallest bucket that it fits into, padded with `invalid_label` to
    the bucket's length. A batch comes from one bucket. With `layout='NT'` data and label are of
    shape (batch_size, length), with 'TN' (length, batch_size). The label of a sentence's last
    token is `invalid_label`.

    By default batches are drawn in a new random order in every epoch, from the global generators
    `random` and `numpy.random`: equal seeds of both give equal batches.

    Parameters
    ----------
    sentences : sequence of sequence of int
        Encoded sentences: lists, tuples or one-dimensional arrays (see `encode_sentences`).
    batch_size : int
        Sentences in a batch.
    buckets : sequence of int, optional
        The lengths to pad to. None or an empty one takes every length of which there are at
        least `batch_size` sentences. Buckets that get no sentence are left out.
    invalid_label : number
        Pads data and label.
    data_name, label_name : str
        Names of the data and of the label.
    dtype : str or numpy type
        Type of data and label. `provide_data` declares it; `provide_label` declares float32, the
        type of the predictions that a loss compares the label with, whatever the type.
    layout : {'NT', 'TN', 'NTC', 'TNC'}
        Batch first or time first; given on to `provide_data` and `provide_label`.
    shuffle : bool
        False hands out buckets by size, and sentences in the given order.
    seed : int, optional
        Draw from generators of this iterator's own. The batches are those that the global ones
        give after `random.seed(seed)` and `numpy.random.seed(seed)`.
    last_batch : {'discard', 'pad', 'roll_over'}
        What becomes of the sentences that are too few for one more batch, in each bucket: left
        out in this epoch; filled up from the bucket's first ones, their number being the batch's
        `pad`; or put first in the next epoch, unless this one is broken off by `reset`.
    too_long : {'discard', 'truncate'}
        What becomes of sentences longer than the largest bucket: left out, or cut to its length.
    provide_length : bool
        Whether a batch has the number of tokens of each sentence, padding not counted, as a
        further data entry: float32 of shape (batch_size,).
    length_name : str
        Name of that entry.

    Attributes
    ----------
    buckets : list of int
        The lengths in use; `default_bucket_key` is the largest.
    idx : list of tuple
        The batches of this epoch in order: bucket and first sentence; `curr_idx` is the next.
    data, nddata, ndlabel : list
        Per bucket all sentences in this epoch's order, padded, as NumPy array and NDArray, and
        the labels. Made when they are read: they are not what batches come from.
    discarded, truncated, remainder : int
        Sentences that were left out or cut because of their length, and those that an epoch
        leaves out because they fill no batch.
    """

    def __init__(self, sentences: Sequence[Sequence[int]], batch_size: int,
                 buckets: Sequence[int] | None = None, invalid_label: float = -1,
                 data_name: str = 'data', label_name: str = 'softmax_label',
                 dtype: Any = 'float32', layout: str = 'NT', *, shuffle: bool = True,
                 seed: int | None = None, last_batch: str = 'discard', too_long: str = 'discard',
                 provide_length: bool = False, length_name: str = 'length') -> None:
        self.provide_length = _check.flag('provide_length', provide_length)
        self.length_name = length_name
        super().__init__(batch_size, invalid_label, data_name, label_name, dtype, layout,
                         **({'length_name': length_name} if provide_length else {}))
        self.shuffle = _check.flag('shuffle', shuffle)
        self.last_batch = _check.choice('last_batch', last_batch, ('discard', 'pad', 'roll_over'))
        self.too_long = _check.choice('too_long', too_long, ('discard', 'truncate'))
        self._generators = None if seed is None else _generators(seed)

        if not isinstance(sentences, (Sequence, np.ndarray)):
            sentences = list(_check.iterable('sentences', sentences, 'sentences'))
        sizes = _tokens.sizes('sentences', sentences)
        if not sizes.size:
            raise ValueError('sentences must not be empty')
        self._store(sentences, sizes, _buckets(buckets, sizes, self.batch_size))
        self.default_bucket_key = self.buckets[-1]
        self.provide_data, self.provide_label = self._describe(self.default_bucket_key)
        self._ahead = max(1, _BLOCK // (self.batch_size * self.default_bucket_key))
        self._order = self._rows
        self.idx = self._batches()
        self.curr_idx = -1  # no epoch has begun
        self.reset()

    def _store(self, sentences: Sequence[Sequence[int]], sizes: np.ndarray, buckets: list[int]
               ) -> None:
        """Pack the sentences, sort them into buckets, and say what is lost."""
        most = buckets[-1]
        over = sizes > most
        cut = self.too_long == 'truncate'
        self.discarded, self.truncated = (0, int(over.sum())) if cut else (int(over.sum()), 0)
        kept = ((s[:most] if long else s for s, long in zip(sentences, over)) if cut
                else compress(sentences, ~over))
        sizes = sizes.clip(max=most) if cut else sizes[~over]
        if not sizes.size:
            raise ValueError('buckets must reach the shortest sentence, got %r, but no sentence '
                             'is shorter than %d' % (buckets, most + 1))
        self._ends = sizes.cumsum()
        self._sizes = sizes.astype(np.int32)
        self._tokens = _tokens.pack('sentences', _tokens.joined('sentences', kept),
                                    self._ends[-1], self._dtype)

        places = np.searchsorted(buckets, sizes)
        used, counts = np.unique(places, return_counts=True)
        self.buckets = [buckets[i] for i in used]
        self._rows = np.split(places.argsort(kind='stable'), counts.cumsum()[:-1])
        self._carried = [rows[:0] for rows in self._rows]
        left = counts % self.batch_size if self.last_batch == 'discard' else counts * 0
        self.remainder = int(left.sum())
        lost = self.discarded or self.truncated or self.remainder
        _log.log(logging.WARNING if lost else logging.INFO,
                 '%d sentences: %d discarded and %d truncated, being longer than %d tokens; each '
                 'epoch leaves out %d, too few to fill a batch of %d from their bucket', over.size,
                 self.discarded, self.truncated, most, self.remainder, self.batch_size)

    @property
    def data(self) -> list[np.ndarray]:
        return [rows[:, :-1].copy() for rows in map(self._padded, self.buckets, self._order)]

    @property
    def nddata(self) -> list[mx.nd.NDArray]:
        return [mx.nd.array(data, dtype=self.dtype) for data in self.data]

    @property
    def ndlabel(self) -> list[mx.nd.NDArray]:
        return [mx.nd.array(rows[:, 1:], dtype=self.dtype)
                for rows in map(self._padded, self.buckets, self._order)]

    def _padded(self, length: int, rows: np.ndarray) -> np.ndarray:
        """The sentences of these numbers, padded to one step more than their bucket's length."""
        sizes = self._sizes[rows]
        return _tokens.gather(self._tokens, self._ends[rows] - sizes, sizes, length + 1,
                              self._padding)

    def _batches(self) -> list[tuple[int, int]]:
        """Bucket and first sentence of each batch of an epoch."""
        least = 1 if self.last_batch == 'pad' else self.batch_size
        return [(i, first) for i, rows in enumerate(self._order)
                for first in range(0, rows.size - least + 1, self.batch_size)]

    def _describe(self, length: int) -> tuple[list[mx.io.DataDesc], list[mx.io.DataDesc]]:
        data, label = super()._describe(length)
        if self.provide_length:
            data.append(mx.io.DataDesc(self.length_name, (self.batch_size,), layout='N'))
        return data, label

    def reset(self) -> None:
        """Begin an epoch, in a new order if `shuffle`."""
        draw, draw_rows = self._generators or (random, np.random)
        if self.shuffle:
            for rows in self._rows:
                draw_rows.shuffle(rows)
        if self.last_batch == 'roll_over':
            if self.curr_idx >= len(self.idx):
                self._carried = [rows[rows.size - rows.size % self.batch_size:]
                                 for rows in self._order]
            self._order = [np.concatenate(both) for both in zip(self._carried, self._rows)]
            self.idx = self._batches()
        if self.shuffle:
            draw.shuffle(self.idx)
        self._ready: dict[tuple[int, int], tuple[mx.nd.NDArray, ...]] = {}
        self.curr_idx = 0

    def next(self) -> mx.io.DataBatch:
        """Return the next batch of this epoch."""
        if self.curr_idx >= len(self.idx):
            raise StopIteration
        bucket, first = key = self.idx[self.curr_idx]
        if key not in self._ready:
            self._prepare(self.idx[self.curr_idx:self.curr_idx + self._ahead])
        self.curr_idx += 1
        data, label, *lengths = self._ready.pop(key)
        return self._batch([data, *lengths], label, self.buckets[bucket],
                           pad=max(0, first + self.batch_size - self._order[bucket].size))

    def _prepare(self, batches: list[tuple[int, int]]) -> None:
        """Make these batches, those of one bucket in one go."""
        self._ready = {}
        for bucket in {bucket for bucket, _ in batches}:
            keys = [key for key in batches if key[0] == bucket]
            where = np.add.outer([first for _, first in keys], np.arange(self.batch_size))
            rows = self._order[bucket].take(where, mode='wrap')  # pads with the bucket's first
            padded = self._padded(self.buckets[bucket], rows.ravel())
            arrays = self._split(padded.reshape(rows.shape + (-1,)))
            if self.provide_length:
                arrays.append(mx.nd.array(self._sizes[rows], dtype='float32'))
            self._ready.update(zip(keys, zip(*arrays)))


class StreamIter(_TokenIter):
    """One long text in batches that go on where the batch before ended.

    The text is cut into `batch_size` streams of equal length, one after the other in the text
    (Zaremba et al. 2014, https://arxiv.org/abs/1409.2329). Each batch holds the next `bptt` steps
    of every stream: row b of a batch continues row b of the batch before, so that the states that
    an RNN ends one batch with are those to begin the next one with. The label of each step is
    the next token, also where that is in the next batch or the next stream.

    Shapes are (batch_size, bptt) with `layout='NT'`, (bptt, batch_size) with 'TN'.

    States are to be zeroed where an epoch begins: there, `batch.new_epoch` is True, and the first
    entry of `batch.index` is 0 (which is what `mx.io.PrefetchingIter` hands on).

    Parameters
    ----------
    tokens : iterable of int
        The encoded text, such as `itertools.chain.from_iterable(encoded_sentences)`.
    batch_size : int
        Streams to cut the text into. Tokens that are too few for one more step are left out.
    bptt : int
        Steps in a batch, through which gradients are propagated.
    invalid_label : number
        The label of steps behind a stream's end.
    data_name, label_name, dtype, layout
        As for `BucketSentenceIter`.
    last_batch : {'discard', 'pad'}
        What becomes of the last steps of the streams if they are fewer than `bptt`: left out, or
        filled up with steps whose label is `invalid_label`.

    Attributes
    ----------
    curr_idx, num_batches : int
        The batch that comes next, and how many there are in an epoch.
    discarded : int
        Tokens that are no step's label (the first one, which none can be, not counted).
    """

    def __init__(self, tokens: Iterable[int], batch_size: int, bptt: int,
                 invalid_label: float = -1, data_name: str = 'data',
                 label_name: str = 'softmax_label', dtype: Any = 'float32', layout: str = 'NT', *,
                 last_batch: str = 'discard') -> None:
        super().__init__(batch_size, invalid_label, data_name, label_name, dtype, layout)
        self.bptt = self.default_bucket_key = _extent('bptt', bptt, 1)
        self.last_batch = _check.choice('last_batch', last_batch, ('discard', 'pad'))
        if not isinstance(tokens, (Sequence, np.ndarray)):
            tokens = list(_check.iterable('tokens', tokens, 'numbers'))
        values = _tokens.numbers('tokens', tokens)
        self._tokens = _tokens.pack('tokens', [values], values.size, self._dtype)
        steps = (values.size - 1) // self.batch_size
        pads = self.last_batch == 'pad'
        if steps < (1 if pads else self.bptt):
            raise ValueError('tokens must be at least %d for one batch with batch_size=%d, bptt=%d '
                             'and last_batch=%r, got %d'
                             % (self.batch_size * (1 if pads else self.bptt) + 1, self.batch_size,
                                self.bptt, self.last_batch, values.size))
        self._steps = steps if pads else steps - steps % self.bptt
        self._starts = np.arange(self.batch_size) * self._steps
        self.num_batches = -(-self._steps // self.bptt)
        self.discarded = values.size - 1 - self.batch_size * self._steps
        _log.log(logging.WARNING if self.discarded else logging.INFO,
                 '%d tokens: %d discarded, too few for one more %s', values.size, self.discarded,
                 'step of %d streams' % self.batch_size if pads else
                 'batch of %d steps of %d streams' % (self.bptt, self.batch_size))
        self.provide_data, self.provide_label = self._describe(self.bptt)
        self.reset()

    def reset(self) -> None:
        """Begin an epoch: the next batch is the first one."""
        self.curr_idx = 0

    def next(self) -> mx.io.DataBatch:
        """Return the next batch of this epoch."""
        if self.curr_idx >= self.num_batches:
            raise StopIteration
        done = self.curr_idx * self.bptt
        starts = self._starts + done
        sizes = np.full(self.batch_size, self._steps - done + 1)
        data, label = self._split(_tokens.gather(self._tokens, starts, sizes, self.bptt + 1,
                                                 self._padding))
        batch = self._batch([data], label, self.bptt, index=starts)
        batch.new_epoch = self.curr_idx == 0
        self.curr_idx += 1
        return batch


def _extent(name: str, value: Any, least: int) -> int:
    """Check what becomes a dimension of an array."""
    if _check.integer(name, value, least) >= 2 ** 31:
        raise ValueError('%s must be less than 2**31, got a number of %d bits'
                         % (name, int(value).bit_length()))
    return int(value)


def _padding(name: str, value: Any, dtype: np.dtype) -> Any:
    """Return what pads data of this type, as a number of the type."""
    if not _tokens.fits(np.asarray(_check.number(name, value)), dtype):
        raise ValueError('%s must be a number that dtype %s can represent, got %r'
                         % (name, dtype.name, value))
    return dtype.type(value)


def _names(**names: Any) -> None:
    """Check that the arrays of a batch have names, and each one of its own."""
    for name, value in names.items():
        _check.instance(name, value, str, 'a str')
    for name, value in names.items():
        others = [other for other in names if other != name and names[other] == value]
        if others:
            raise ValueError('%s must differ from %s, got %r for both' % (name, others[0], value))


def _generators(seed: Any) -> tuple[random.Random, np.random.RandomState]:
    if not 0 <= _check.integer('seed', seed) < 2 ** 32:
        raise ValueError('seed must be from 0 to 2**32 - 1, got %r' % seed)
    return random.Random(seed), np.random.RandomState(seed)


def _buckets(buckets: Any, sizes: np.ndarray, batch_size: int) -> list[int]:
    """Return the buckets asked for, or those of which there are enough sentences, sorted."""
    if buckets is not None:
        given = {_extent('each of buckets', bucket, 0) for bucket in
                 _check.iterable('buckets', buckets, 'integers')}
        buckets = sorted(given - {0})  # empty sentences go into the smallest real bucket
        if given and not buckets:
            raise ValueError('buckets must hold a length of at least 1, got only 0')
    if not buckets:
        buckets = [size for size in np.flatnonzero(np.bincount(sizes) >= batch_size).tolist()
                   if size]
        if not buckets:
            raise ValueError('buckets must be given: there are no %d sentences (batch_size) of '
                             'one length, which would make a bucket by itself' % batch_size)
    return buckets
