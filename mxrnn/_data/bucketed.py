"""Shared by the iterators over sentences in buckets: everything but their arguments' names."""
from __future__ import annotations

import logging
from itertools import compress
from typing import Any, Iterator, Literal, Mapping, NamedTuple, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import tokens as _sequences
from .base_iterator import Described, Key, State, TokenIter, gather, part
from .buckets import Asked, Buckets, sizes_of
from .corpus import Sequences, is_corpus, open_corpus
from .order import Order

__all__ = ['BucketedIter', 'LastBatch', 'Column', 'TooLong']

LastBatch = Literal['discard', 'pad', 'roll_over']
TooLong = Literal['discard', 'truncate']

_log = logging.getLogger('mxrnn.io')

_BLOCK = 2 ** 20  # tokens prepared at once, so that small batches come quickly


class Column(NamedTuple):
    """Arrays of a batch that are cut from the same sequences."""

    name: str  #: the argument with the sequences
    length: int  #: which of a bucket's lengths they have
    shifts: tuple[int, ...]  #: for each array, the token at which it begins


class BucketedIter(TokenIter):
    """Batches of sequences of similar length, or of tuples of sequences, one tuple per sample.

    `given` has the arguments with sequences, by name; a bucket has a length for each. `labels`, if
    given, are as long as the last argument's sequences; otherwise a label is the next token of the
    last one. `lengths` has, for each argument that names lengths in a batch, the number of its
    sequences in `given`.
    """

    #: The word for a sample.
    samples = 'sentences'

    buckets: list[Any]
    default_bucket_key: Key

    def __init__(self, given: Mapping[str, Sequences], labels: Sequences | None, batch_size: int,
                 buckets: Asked, invalid_label: float, names: Mapping[str, str],
                 dtype: _check.DType, layout: str, shuffle: bool, seed: int | None,
                 last_batch: LastBatch, too_long: TooLong, lengths: Mapping[str, int],
                 num_parts: int, part_index: int) -> None:
        super().__init__(batch_size, invalid_label, names, dtype, layout, num_parts, part_index)
        self._data_names = [names[name] for name in names
                            if name != 'label_name' and name not in lengths]
        self._length_names = {names[name]: of for name, of in lengths.items()}
        self.shuffle = _check.flag('shuffle', shuffle)
        self.last_batch = _check.choice('last_batch', last_batch, ('discard', 'pad', 'roll_over'))
        self.too_long = _check.choice('too_long', too_long, ('discard', 'truncate'))
        self.seed = None if seed is None else _check.integer('seed', seed, 0, 2 ** 32 - 1)

        self._columns = [Column(name, i, (0,)) for i, name in enumerate(given)]
        last = self._columns[-1]
        if labels is None:
            self._columns[-1] = last._replace(shifts=(0, 1))
        else:
            self._columns.append(last._replace(name='labels'))
            given = {**given, 'labels': labels}
        on_disk = [name for name in given if is_corpus(given[name])]
        if 0 < len(on_disk) < len(given):
            other = next(name for name in given if name not in on_disk)
            raise TypeError('%s must be on disk, because %s are (see write_tokens), got %s'
                            % (other, on_disk[0], _check.shown(given[other])))
        if on_disk:
            self._held = {name: open_corpus(name, value, self._dtype)
                          for name, value in given.items()}
            found = self._sort(buckets, [held.offsets for held in self._held.values()])
        else:
            found = self._sort_and_pack(buckets, given)
        count = self._split_up(found)
        self.default_bucket_key = self._public(tuple(map(max, zip(*found.keys))))
        self.provide_data, self.provide_label = self._describe(self.default_bucket_key)
        self._ahead = max(1, _BLOCK // (self.batch_size * sum(map(max, zip(*found.keys)))))
        self.idx = self._order.batches()
        if self.num_parts > 1 and not self.idx:
            raise ValueError('num_parts must leave each part a batch of %d sentences from one '
                             'bucket, got %d' % (self.batch_size, self.num_parts))
        self._log_losses(count, found.most)
        self.curr_idx = -1  # no epoch has begun
        self.reset()

    # ---- the samples and their places

    def _sort_and_pack(self, buckets: Asked, given: Mapping[str, Sequences]) -> Buckets:
        """Keep the sequences in memory, except those that fit no bucket."""
        sequences: dict[str, Any] = {
            name: value if isinstance(value, (Sequence, np.ndarray)) else
            list(_check.iterable(name, value, 'sequences'))  # type: ignore[arg-type]
            for name, value in given.items()}
        offsets = {name: np.append(0, _sequences.sizes(name, value).cumsum())
                   for name, value in sequences.items()}
        found = self._sort(buckets, list(offsets.values()))
        sizes = [np.diff(each) for each in offsets.values()]
        kept = found.places(sizes[:len(found.most)]) < len(found.keys)
        self._held = {}
        for column in self._columns:
            most = found.most[column.length]
            self._held[column.name] = self._packed(
                column.name, compress(sequences[column.name], kept),
                np.diff(offsets[column.name])[kept], most if self.truncated else None)
        return found

    def _packed(self, name: str, sequences: Iterator[Sequence[int]], sizes: np.ndarray,
                most: int | None) -> _sequences.Packed:
        """The tokens of these sequences, at most `most` of each if that is a number."""
        if most is not None:
            sequences = (each[:most] if len(each) > most else each for each in sequences)
            sizes = sizes.clip(max=most)
        offsets = np.append(0, sizes.cumsum())
        joined = (values for _, values in _sequences.chunks(name, sequences))
        return _sequences.Packed(_sequences.pack(name, joined, offsets[-1], self._dtype), offsets)

    def _sort(self, buckets: Asked, offsets: list[np.ndarray]) -> Buckets:
        """Choose the buckets; count the samples that fit none, and those that are cut.

        `offsets` has, for each argument in the columns' order, where each sequence begins.
        """
        names = [column.name for column in self._columns]
        count = offsets[0].size - 1
        if not count:
            raise ValueError('%s must not be empty' % names[0])
        for name, each in zip(names, offsets):
            if each.size - 1 != count:
                raise ValueError('%s must be as many as %s, which are %d, got %d'
                                 % (name, names[0], count, each.size - 1))
        if names[-1] == 'labels':
            _check_labels(offsets[-1], names[-2], offsets[-2])
            offsets = offsets[:-1]
        cut = self.too_long == 'truncate'
        found = Buckets(buckets, offsets, self.batch_size * self.num_parts, cut)
        self.truncated = found.truncated(offsets) if cut else 0
        self.discarded = count - int(found.counts.sum())
        if self.discarded == count:
            raise ValueError('buckets must fit at least one of %s, got %r, but the shortest has '
                             'length %r' % (' and '.join(names[:len(offsets)]),
                                            [self._public(key) for key in found.keys],
                                            self._public(found.least)))
        return found

    def _split_up(self, found: Buckets) -> int:
        """Divide the samples among the parts; return the total number."""
        found.drop_empty()
        self._keys = found.keys
        self.buckets = [self._public(key) for key in found.keys]
        offsets = [self._held[column.name].offsets for column in self._columns
                   if column.name != 'labels']
        rows = found.rows(offsets, self.num_parts, self.part_index, self.last_batch)
        fill = (-(-found.counts // self.num_parts)).tolist()
        self._order = Order(rows, fill, self.batch_size, self.shuffle, self.last_batch, self.seed)
        self.remainder = 0
        if self.last_batch != 'pad':
            whole = self.num_parts * (self.batch_size if self.last_batch == 'discard' else 1)
            self.remainder = int((found.counts % whole).sum())
        return self.discarded + int(found.counts.sum())

    def _public(self, key: tuple[int, ...]) -> Key:
        """A bucket or its lengths in users' form: a number for single sequences."""
        return key[0] if len(key) == 1 else key

    def _log_losses(self, count: int, most: Sequence[int]) -> None:
        """Say in one line what is left out; it is a warning if anything is."""
        lost = []
        if self.discarded or self.truncated:
            lost.append('%d discarded and %d truncated, %s' % (
                self.discarded, self.truncated, 'being longer than %d tokens' % most[0]
                if len(most) == 1 else 'being too long for every bucket'))
        if self.remainder:
            lost.append("%d per epoch are dropped because they do not fill a batch of %d%s; "
                        "last_batch='pad' keeps them" % (
                            self.remainder, self.batch_size,
                            ' in %d parts' % self.num_parts if self.num_parts > 1 else ''))
        _log.log(logging.WARNING if lost else logging.INFO, '%d %s: %s', count, self.samples,
                 '; '.join(lost) or 'none is left out')

    def _located(self, bucket: int, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Where the sequences of these samples begin, and how many tokens they have, for each of
        the bucket's lengths."""
        found = []
        for column, most in zip(self._columns, self._keys[bucket]):
            held = self._held[column.name]
            starts = np.empty(rows.size, np.uint32 if held.tokens.size < 2 ** 32 else np.int64)
            sizes = np.empty(rows.size, np.min_scalar_type(most))
            for some, start, size in zip(*map(_sequences.pieces, (rows, starts, sizes))):
                start[:] = begins = held.offsets.take(some)
                size[:] = (held.offsets.take(some + 1) - begins).clip(max=most)
            found.append((starts, sizes))
        return found

    def _cut(self, column: Column, bucket: int, starts: np.ndarray, sizes: np.ndarray
             ) -> np.ndarray:
        """The padded tokens from which the column's arrays are cut, a row for each sample."""
        steps = self._keys[bucket][column.length] + column.shifts[-1]
        tokens = self._held[column.name].tokens
        return gather(tokens, starts, sizes, steps, self._padding)

    # ---- batches

    def _describe(self, length: Key) -> Described:
        key = length if isinstance(length, tuple) else (length,)
        data = [self._data_desc(name, steps) for name, steps in zip(self._data_names, key)]
        data += [mx.io.DataDesc(name, (self.batch_size,), layout='N')
                 for name in self._length_names]
        return data, [self._label_desc(key[-1])]

    def reset(self) -> None:
        """Begin an epoch, in a new order if `shuffle`."""
        self._begin(self._order, self._order.begin(self.idx, self.curr_idx >= len(self.idx)), 0)

    def _begin(self, order: Order, batches: list[tuple[int, int]], done: int) -> None:
        """Continue in this order, after `done` of its batches."""
        self._order, self.idx, self.curr_idx = order, batches, done
        self._ready: dict[tuple[int, int], tuple[
            int, list[tuple[mx.nd.NDArray, int]], list[mx.nd.NDArray], int]] = {}
        self._places: list[list[tuple[np.ndarray, np.ndarray]]] = []  # frees the old ones
        self._places += map(self._located, range(len(order.epoch)), order.epoch)

    def __getstate__(self) -> State:
        return {**vars(self), '_ready': {}}  # copies make their batches again

    def __len__(self) -> int:
        return len(self.idx)

    def __repr__(self) -> str:
        return '%s(%d %s, buckets %r, %d batches of %d)' % (
            type(self).__name__, self._held[self._columns[0].name].offsets.size - 1, self.samples,
            self.buckets, len(self), self.batch_size)

    def _settings(self) -> State:
        return {'batch_size': self.batch_size,
                'buckets': [list(key) if isinstance(key, tuple) else key for key in self.buckets],
                'shuffle': self.shuffle, 'seed': self.seed, 'last_batch': self.last_batch,
                'too_long': self.too_long, 'num_parts': self.num_parts}

    def _epochs(self) -> list[State]:
        return self._order.begun()

    def _go_to(self, done: object, epochs: Sequence[State]) -> None:
        order, batches = self._order.replayed(epochs)
        self._begin(order, batches, _check.integer("state['batches']", done, 0, len(batches)))

    def next(self) -> mx.io.DataBatch:
        """Return the next batch of this epoch."""
        if self.curr_idx >= len(self.idx):
            raise StopIteration
        key = self.idx[self.curr_idx]
        if key not in self._ready:
            self._prepare(self.idx[self.curr_idx:self.curr_idx + self._ahead])
        self.curr_idx += 1
        i, blocks, lengths, pad = self._ready.pop(key)
        *data, label = (part(block, count * i + j) for block, count in blocks for j in range(count))
        data += (part(each, i) for each in lengths)
        return self._batch(data, [label], self.buckets[key[0]], pad)

    def _prepare(self, batches: list[tuple[int, int]]) -> None:
        """Make these batches, with all batches of a bucket at once."""
        self._ready = {}
        firsts: dict[int, list[int]] = {}
        for bucket, first in batches:
            firsts.setdefault(bucket, []).append(first)
        for bucket, places in firsts.items():
            located = self._places[bucket]
            count = located[0][0].size
            where = np.add.outer(places, np.arange(self.batch_size))
            if count:  # 'wrap' fills up with the bucket's first sentences
                located = [(starts.take(where.ravel(), mode='wrap'),
                            sizes.take(where.ravel(), mode='wrap')) for starts, sizes in located]
            else:  # only other parts have sentences here
                located = [(np.zeros(where.size, np.intp),) * 2] * len(located)
            blocks = []
            for column in self._columns:
                rows = self._cut(column, bucket, *located[column.length])
                block = self._block(rows.reshape(where.shape + (-1,)), column.shifts)
                blocks.append((block, len(column.shifts)))
            lengths = [mx.nd.array(located[of][1].reshape(where.shape), dtype='float32')
                       for of in self._length_names.values()]
            pads = (where[:, -1] + 1 - count).clip(0, self.batch_size).tolist()
            for i, (first, pad) in enumerate(zip(places, pads)):
                self._ready[bucket, first] = i, blocks, lengths, pad


def _check_labels(labels: np.ndarray, name: str, offsets: np.ndarray) -> None:
    """Refuse labels if a sequence of the argument `name` has another number of tokens."""
    for number, (sizes, expected) in enumerate(sizes_of([labels, offsets])):
        for i in np.flatnonzero(sizes != expected)[:1].tolist():
            place = number * _sequences.PIECE + i
            raise ValueError('labels must be one for each token, but labels[%d] has %d, and %s[%d] '
                             '%d' % (place, sizes[i], name, place, expected[i]))
