"""BucketSentenceIter: sentences in batches of about one length."""
from __future__ import annotations

import logging
import os
from itertools import compress
from typing import Any, Iterator, Literal, Mapping, Sequence

import numpy as np

from .. import _check
from .._runtime.memory import part
from .._runtime.mxnet import mx
from . import tokens as _tokens
from .batches import Layout, TokenIter
from .corpus import is_corpus, open_corpus
from .order import Order, check_seed, choose_buckets, rows_of_buckets

__all__ = ['BucketSentenceIter']

_log = logging.getLogger('mxrnn.io')

_PIECE = 2 ** 18  # sentences looked at once
_BLOCK = 2 ** 20  # tokens that are made ready at once, so that small batches come quickly


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
    sentences : sequence of sequence of int, or path
        Encoded sentences: lists, tuples or one-dimensional arrays (see `encode_sentences`), or a
        corpus on disk, as its path or as `read_tokens` gives it. From disk come the same batches;
        memory then holds 10 bytes for each sentence or less (14 from 2**32 tokens on), and no
        tokens.
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
    num_parts, part_index : int
        How many workers share the sentences, and which of them this is, from 0 on. No sentence is
        in two parts. All parts have as many batches, and with equal seeds batch for batch the
        same bucket: give all the same `seed`.

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
        leaves out because they fill no batch; of all parts together.

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

    def __init__(self, sentences: Sequence[Sequence[int]] | str | os.PathLike[str],
                 batch_size: int, buckets: Sequence[int] | None = None, invalid_label: float = -1,
                 data_name: str = 'data', label_name: str = 'softmax_label',
                 dtype: _check.DType = 'float32', layout: Layout = 'NT', *, shuffle: bool = True,
                 seed: int | None = None,
                 last_batch: Literal['discard', 'pad', 'roll_over'] = 'discard',
                 too_long: Literal['discard', 'truncate'] = 'discard',
                 provide_length: bool = False, length_name: str = 'length', num_parts: int = 1,
                 part_index: int = 0) -> None:
        self.provide_length = _check.flag('provide_length', provide_length)
        self.length_name = length_name
        super().__init__(batch_size, invalid_label, data_name, label_name, dtype, layout,
                         num_parts, part_index,
                         **({'length_name': length_name} if provide_length else {}))
        self.shuffle = _check.flag('shuffle', shuffle)
        self.last_batch = _check.choice('last_batch', last_batch, ('discard', 'pad', 'roll_over'))
        self.too_long = _check.choice('too_long', too_long, ('discard', 'truncate'))
        self.seed = check_seed(seed)

        if is_corpus(sentences):
            self._corpus = open_corpus('sentences', sentences, self._dtype)
            lengths = _tokens.lengths(self._offsets)
        else:
            if not isinstance(sentences, (Sequence, np.ndarray)):
                sentences = list(_check.iterable('sentences', sentences, 'sentences'))
            sizes = _tokens.sizes('sentences', sentences)
            lengths = np.bincount(sizes)
        if not lengths.sum():
            raise ValueError('sentences must not be empty')
        buckets = choose_buckets(buckets, lengths, self.batch_size * self.num_parts)
        longer = int(lengths[buckets[-1] + 1:].sum())
        cut = self.too_long == 'truncate'
        self.discarded, self.truncated = (0, longer) if cut else (longer, 0)
        if longer == lengths.sum() and not cut:
            raise ValueError('buckets must reach the shortest sentence, got %r, but no sentence '
                             'is shorter than %d' % (buckets, buckets[-1] + 1))
        if self._corpus is None:
            self._hold(*self._pack(sentences, sizes, buckets[-1]))
        self._sort(buckets, lengths)
        self.default_bucket_key = self.buckets[-1]
        self.provide_data, self.provide_label = self._describe(self.default_bucket_key)
        self._ahead = max(1, _BLOCK // (self.batch_size * self.default_bucket_key))
        self.idx = self._order.batches()
        if self.num_parts > 1 and not self.idx:
            raise ValueError('num_parts must leave each part a batch of %d sentences of one '
                             'bucket, got %d' % (self.batch_size, self.num_parts))
        self._log_losses(int(lengths.sum()), buckets[-1])
        self.curr_idx = -1  # no epoch has begun
        self.reset()

    def _pack(self, sentences: Any, sizes: np.ndarray, most: int
              ) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of all sentences that are not discarded, and where each begins."""
        over = sizes > most
        if self.truncated:
            kept: Any = (s[:most] if long else s for s, long in zip(sentences, over))
            sizes = sizes.clip(max=most)
        else:
            kept = compress(sentences, ~over)
            sizes = sizes[~over]
        offsets = np.append(0, sizes.cumsum())
        return _tokens.pack('sentences', _tokens.joined('sentences', kept), offsets[-1],
                            self._dtype), offsets

    def _sort(self, buckets: list[int], lengths: np.ndarray) -> None:
        """Sort this part's sentences into the buckets that get any, and count what is left out."""
        bounds = [0, *(length + 1 for length in buckets)]
        if self.truncated:
            bounds[-1] = max(bounds[-1], lengths.size)
        counts = np.array([lengths[low:high].sum() for low, high in zip(bounds, bounds[1:])])
        self.buckets = [length for length, n in zip(buckets, counts) if n]
        counts = counts[counts > 0]
        rows = rows_of_buckets(self._offsets, self.buckets, counts, bool(self.truncated),
                               lengths.size - 1, self.num_parts, self.part_index, self.last_batch)
        fill = (-(-counts // self.num_parts)).tolist()
        self._order = Order(rows, fill, self.batch_size, self.shuffle, self.last_batch, self.seed)
        if self.last_batch == 'pad':
            self.remainder = 0
        else:
            whole = self.num_parts * (self.batch_size if self.last_batch == 'discard' else 1)
            self.remainder = int((counts % whole).sum())

    def _log_losses(self, count: int, most: int) -> None:
        """Say in one line what is left out, as a warning if anything is."""
        lost = []
        if self.discarded or self.truncated:
            lost.append('%d discarded and %d truncated, being longer than %d tokens'
                        % (self.discarded, self.truncated, most))
        if self.remainder:
            lost.append("each epoch leaves out %d, too few to fill a batch of %d%s from their "
                        "bucket; last_batch='pad' hands them out, too" % (
                            self.remainder, self.batch_size,
                            ' in %d parts' % self.num_parts if self.num_parts > 1 else ''))
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
        return _tokens.gather(self._tokens, *self._located(rows), length + 1, self._padding)

    def _located(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the sentences of these numbers begin, and how many tokens they have."""
        starts = np.empty(rows.size, np.uint32 if self._tokens.size < 2 ** 32 else np.int64)
        sizes = np.empty(rows.size, np.min_scalar_type(self.buckets[-1]))
        for piece in (slice(first, first + _PIECE) for first in range(0, rows.size, _PIECE)):
            begins = self._offsets.take(rows[piece])
            starts[piece] = begins
            sizes[piece] = (self._offsets.take(rows[piece] + 1) - begins).clip(max=self.buckets[-1])
        return starts, sizes

    def _describe(self, length: int) -> tuple[list[mx.io.DataDesc], list[mx.io.DataDesc]]:
        data, label = super()._describe(length)
        if self.provide_length:
            data.append(mx.io.DataDesc(self.length_name, (self.batch_size,), layout='N'))
        return data, label

    def reset(self) -> None:
        """Begin an epoch, in a new order if `shuffle`."""
        self._begin(self._order, self._order.begin(self.idx, self.curr_idx >= len(self.idx)), 0)

    def _begin(self, order: Order, batches: list[tuple[int, int]], done: int) -> None:
        """Go on in this order, after `done` of its batches."""
        self._order, self.idx, self.curr_idx = order, batches, done
        self._ready: dict[tuple[int, int], tuple[int, mx.nd.NDArray, Any, int]] = {}
        self._places: list[tuple[np.ndarray, np.ndarray]] = []  # frees those of the epoch before
        self._places += map(self._located, order.epoch)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), '_ready': {}}  # copies make their batches again

    def __len__(self) -> int:
        return len(self.idx)

    def __repr__(self) -> str:
        return '%s(%d sentences, buckets %r, %d batches of %d)' % (
            type(self).__name__, self._offsets.size - 1, self.buckets, len(self), self.batch_size)

    def _settings(self) -> dict[str, Any]:
        return {'batch_size': self.batch_size, 'buckets': self.buckets, 'shuffle': self.shuffle,
                'seed': self.seed, 'last_batch': self.last_batch, 'too_long': self.too_long,
                'num_parts': self.num_parts}

    def _epochs(self) -> list[dict[str, Any]]:
        return self._order.begun()

    def _go_to(self, done: int, epochs: Sequence[Mapping[str, Any]]) -> None:
        order, batches = self._order.replayed(epochs)
        if done > len(batches):
            raise ValueError("state['batches'] must be at most %d, the batches of that epoch, got "
                             "%d" % (len(batches), done))
        self._begin(order, batches, done)

    def next(self) -> mx.io.DataBatch:
        """Return the next batch of this epoch."""
        if self.curr_idx >= len(self.idx):
            raise StopIteration
        key = self.idx[self.curr_idx]
        if key not in self._ready:
            self._prepare(self.idx[self.curr_idx:self.curr_idx + self._ahead])
        self.curr_idx += 1
        i, both, lengths, pad = self._ready.pop(key)
        data = [part(both, 2 * i)]
        if lengths is not None:
            data.append(part(lengths, i))
        return self._batch(data, [part(both, 2 * i + 1)], self.buckets[key[0]], pad)

    def _prepare(self, batches: list[tuple[int, int]]) -> None:
        """Make these batches, those of one bucket in one go."""
        self._ready = {}
        firsts: dict[int, list[int]] = {}
        for bucket, first in batches:
            firsts.setdefault(bucket, []).append(first)
        for bucket, places in firsts.items():
            starts, sizes = self._places[bucket]
            count = sizes.size
            where = np.add.outer(places, np.arange(self.batch_size))
            if count:  # 'wrap' fills up with the bucket's first ones
                starts, sizes = (values.take(where.ravel(), mode='wrap')
                                 for values in (starts, sizes))
            else:  # other parts have some
                starts = sizes = np.zeros(where.size, np.intp)
            padded = _tokens.gather(self._tokens, starts, sizes, self.buckets[bucket] + 1,
                                    self._padding)
            both = self._split(padded.reshape(where.shape + (-1,)))
            lengths = (mx.nd.array(sizes.reshape(where.shape), dtype='float32')
                       if self.provide_length else None)
            pads = (where[:, -1] + 1 - count).clip(0, self.batch_size).tolist()
            for i, (first, pad) in enumerate(zip(places, pads)):
                self._ready[bucket, first] = i, both, lengths, pad


class _ReadOnly(mx.nd.NDArray):
    """An NDArray that refuses assignments: nobody would see them."""

    __slots__: list[str] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ValueError('nddata and ndlabel are readonly: batches do not come from them')
