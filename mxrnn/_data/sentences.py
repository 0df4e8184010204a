"""BucketSentenceIter: sentences in batches of about one length."""
from __future__ import annotations

import logging
from itertools import compress
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import tokens as _tokens
from .batches import TokenIter, extent
from .order import Order, check_seed

__all__ = ['BucketSentenceIter']

_log = logging.getLogger('mxrnn.io')

_BLOCK = 2 ** 18  # tokens that are made ready at once, so that small batches come quickly


class BucketSentenceIter(TokenIter):
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
        the labels. Made when they are read, and read-only: batches do not come from them.
    seed : int or None
        As given.
    discarded, truncated, remainder : int
        Sentences that were left out or cut because of their length, and those that an epoch
        leaves out because they fill no batch.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> batches = rnn.BucketSentenceIter([[1, 2, 3], [4, 5], [1, 4, 2], [3, 5]], batch_size=2,
    ...                                  invalid_label=0, shuffle=False)
    >>> for batch in batches:
    ...     print(batch.bucket_key, batch.data[0].asnumpy().tolist())
    2 [[4.0, 5.0], [3.0, 5.0]]
    3 [[1.0, 2.0, 3.0], [1.0, 4.0, 2.0]]
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
        self.seed = check_seed(seed)

        if not isinstance(sentences, (Sequence, np.ndarray)):
            sentences = list(_check.iterable('sentences', sentences, 'sentences'))
        sizes = _tokens.sizes('sentences', sentences)
        if not sizes.size:
            raise ValueError('sentences must not be empty')
        self._store(sentences, sizes, _buckets(buckets, sizes, self.batch_size))
        self.default_bucket_key = self.buckets[-1]
        self.provide_data, self.provide_label = self._describe(self.default_bucket_key)
        self._ahead = max(1, _BLOCK // (self.batch_size * self.default_bucket_key))
        self.idx = self._order.batches()
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
        self._offsets = np.append(0, sizes.cumsum())
        self._tokens = _tokens.pack('sentences', _tokens.joined('sentences', kept),
                                    self._offsets[-1], self._dtype)

        places = np.searchsorted(buckets, sizes)
        used, counts = np.unique(places, return_counts=True)
        self.buckets = [buckets[i] for i in used]
        rows = np.split(places.argsort(kind='stable'), counts.cumsum()[:-1])
        self._order = Order(rows, self.batch_size, self.shuffle, self.last_batch, self.seed)
        left = counts % self.batch_size if self.last_batch == 'discard' else counts * 0
        self.remainder = int(left.sum())
        self._log_losses(over.size, most)

    def _log_losses(self, count: int, most: int) -> None:
        """Say in one line what is left out, as a warning if anything is."""
        lost = []
        if self.discarded or self.truncated:
            lost.append('%d discarded and %d truncated, being longer than %d tokens'
                        % (self.discarded, self.truncated, most))
        if self.remainder:
            lost.append("each epoch leaves out %d, too few to fill a batch of %d from their "
                        "bucket; last_batch='pad' hands them out, too"
                        % (self.remainder, self.batch_size))
        _log.log(logging.WARNING if lost else logging.INFO, '%d sentences: %s', count,
                 '; '.join(lost) or 'none is left out')

    @property
    def data(self) -> list[np.ndarray]:
        arrays = [rows[:, :-1].copy() for rows in self._all_padded()]
        for values in arrays:
            values.flags.writeable = False
        return arrays

    @data.setter
    def data(self, value: Any) -> None:
        self._refuse('data')

    @property
    def nddata(self) -> list[mx.nd.NDArray]:
        return [self._read_only(rows[:, :-1]) for rows in self._all_padded()]

    @nddata.setter
    def nddata(self, value: Any) -> None:
        self._refuse('nddata')

    @property
    def ndlabel(self) -> list[mx.nd.NDArray]:
        return [self._read_only(rows[:, 1:]) for rows in self._all_padded()]

    @ndlabel.setter
    def ndlabel(self, value: Any) -> None:
        self._refuse('ndlabel')

    def _all_padded(self) -> Iterator[np.ndarray]:
        return map(self._padded, self.buckets, self._order.epoch)

    def _read_only(self, rows: np.ndarray) -> mx.nd.NDArray:
        made = mx.nd.array(rows, dtype=self.dtype)
        made.__class__ = _ReadOnly
        made.writable = False  # refuses += and its like
        return made

    def _refuse(self, name: str) -> None:
        raise AttributeError(
            '%s of %s cannot be set: it is made when it is read, and batches do not come from it. '
            'Make another iterator of the sentences wanted, or override next()'
            % (name, type(self).__name__))

    def _padded(self, length: int, rows: np.ndarray) -> np.ndarray:
        """The sentences of these numbers, padded to one step more than their bucket's length."""
        starts = self._offsets[rows]
        return _tokens.gather(self._tokens, starts, self._offsets[rows + 1] - starts, length + 1,
                              self._padding)

    def _describe(self, length: int) -> tuple[list[mx.io.DataDesc], list[mx.io.DataDesc]]:
        data, label = super()._describe(length)
        if self.provide_length:
            data.append(mx.io.DataDesc(self.length_name, (self.batch_size,), layout='N'))
        return data, label

    def reset(self) -> None:
        """Begin an epoch, in a new order if `shuffle`."""
        self.idx = self._order.begin(self.idx, ended=self.curr_idx >= len(self.idx))
        self._ready: dict[tuple[int, int], tuple[mx.nd.NDArray, ...]] = {}
        self.curr_idx = 0

    def __len__(self) -> int:
        return len(self.idx)

    def __repr__(self) -> str:
        return '%s(%d sentences, buckets %r, %d batches of %d)' % (
            type(self).__name__, self._offsets.size - 1, self.buckets, len(self), self.batch_size)

    def _settings(self) -> dict[str, Any]:
        return {'batch_size': self.batch_size, 'buckets': self.buckets, 'shuffle': self.shuffle,
                'seed': self.seed, 'last_batch': self.last_batch, 'too_long': self.too_long}

    def _epochs(self) -> list[dict[str, Any]]:
        return self._order.begun()

    def _go_to(self, done: int, epochs: Sequence[Mapping[str, Any]]) -> None:
        order, batches = self._order.replayed(epochs)
        if done > len(batches):
            raise ValueError("state['batches'] must be at most %d, the batches of that epoch, got "
                             "%d" % (len(batches), done))
        self._order, self.idx = order, batches
        self._ready = {}
        self.curr_idx = done

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
                           pad=max(0, first + self.batch_size - self._order.epoch[bucket].size))

    def _prepare(self, batches: list[tuple[int, int]]) -> None:
        """Make these batches, those of one bucket in one go."""
        self._ready = {}
        for bucket in {bucket for bucket, _ in batches}:
            keys = [key for key in batches if key[0] == bucket]
            where = np.add.outer([first for _, first in keys], np.arange(self.batch_size))
            # 'wrap' fills up with the bucket's first ones
            rows = self._order.epoch[bucket].take(where, mode='wrap')
            padded = self._padded(self.buckets[bucket], rows.ravel())
            arrays = self._split(padded.reshape(rows.shape + (-1,)))
            if self.provide_length:
                arrays.append(mx.nd.array(self._offsets[rows + 1] - self._offsets[rows],
                                          dtype='float32'))
            self._ready.update(zip(keys, zip(*arrays)))


class _ReadOnly(mx.nd.NDArray):
    """An NDArray that refuses assignments: nobody would see them."""

    __slots__: list[str] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ValueError('nddata and ndlabel are readonly: batches do not come from them')


def _buckets(buckets: Any, sizes: np.ndarray, batch_size: int) -> list[int]:
    """Return the buckets asked for, or those of which there are enough sentences, sorted."""
    if buckets is not None:
        given = {extent('each of buckets', bucket, 0) for bucket in
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
