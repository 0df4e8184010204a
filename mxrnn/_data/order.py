"""The order of an epoch: which samples make which batch, and in which order batches come."""
from __future__ import annotations

import random
from collections import Counter
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from .. import _check
from .base_iterator import State, extent

__all__ = ['Buckets', 'Order', 'check_seed']

_PIECE = 2 ** 18  # sentences handled at once


def check_seed(seed: Any) -> int | None:
    """Return `seed` if both generators accept it."""
    if seed is None:
        return None
    if not 0 <= _check.integer('seed', seed) < 2 ** 32:
        raise ValueError('seed must be from 0 to 2**32 - 1, got %r' % seed)
    return int(seed)


def sizes_of(offsets: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Lengths of some thousands of samples at a time, for each sequence of a sample.

    `offsets` has, for each sequence of a sample, where all samples' sequences begin.
    """
    for first in range(0, offsets[0].size - 1, _PIECE):
        sizes = [np.diff(each[first:first + _PIECE + 1]) for each in offsets]
        if any(each.min() < 0 for each in sizes):
            raise ValueError('offsets must ascend, but they do not after sequence %d' % first)
        yield sizes


class Buckets:
    """The lengths to pad to, and the samples that get each length.

    If `given` has no lengths, all lengths with at least `least` samples are buckets. With
    `truncate`, sequences that are too long count as having the longest bucket's length.

    A bucket is a tuple with one length for each sequence of a sample. A sample gets the bucket with
    the fewest steps that is long enough for all its sequences.

    Attributes
    ----------
    keys : list of tuple of int
        The buckets, those with fewer steps first.
    most : tuple of int
        The largest length of each sequence.
    least, longest : tuple of int
        The lengths of the shortest and the longest of each sequence.
    counts : numpy.ndarray
        Samples in each bucket.
    """

    def __init__(self, given: Any, offsets: Sequence[np.ndarray], least: int,
                 truncate: bool) -> None:
        bounds = [[(each.min(), each.max()) for each in sizes] for sizes in sizes_of(offsets)]
        self.least = tuple(int(min(low for low, _ in each)) for each in zip(*bounds))
        self.longest = tuple(int(max(high for _, high in each)) for each in zip(*bounds))
        asked_for = set() if given is None else _asked_for(given, len(offsets))
        keys = asked_for or _frequent(offsets, self.longest, least)
        self.most = tuple(map(max, zip(*keys)))
        if truncate or not asked_for:
            keys.add(self.most)
        self.keys = sorted(keys, key=lambda key: (sum(key), key))
        self.truncate = truncate
        self._tabulate()
        counts = np.zeros(len(self.keys) + 1, np.int64)
        for sizes in sizes_of(offsets):
            counts += np.bincount(self.places(sizes), minlength=counts.size)
        self.counts = counts[:-1]

    def _tabulate(self) -> None:
        """Fill the tables that find the bucket of a sample by its lengths.

        All but the last have, for every length of a sequence, how many of its buckets' lengths are
        too short. The last one has the bucket for these numbers.
        """
        ends = [sorted(set(lengths)) for lengths in zip(*self.keys)]
        table = np.full([len(each) + 1 for each in ends], len(self.keys),
                        np.min_scalar_type(len(self.keys)))
        for i, key in reversed(list(enumerate(self.keys))):
            table[tuple(slice(each.index(length) + 1) for each, length in zip(ends, key))] = i
        self._table = table
        self._short = []
        for each, longest in zip(ends, self.longest):
            short = np.searchsorted(each, np.arange(min(each[-1], longest) + 2))
            if self.truncate:
                short = short.clip(max=len(each) - 1)
            self._short.append(short.astype(np.min_scalar_type(len(each))))

    def places(self, sizes: Sequence[np.ndarray]) -> np.ndarray:
        """The bucket of each sample with these lengths; len(keys) for samples without one."""
        return self._table[tuple(short[each.clip(max=short.size - 1)]
                                 for short, each in zip(self._short, sizes))]

    def truncated(self, offsets: Sequence[np.ndarray]) -> int:
        """How many samples have a sequence that is longer than all buckets."""
        return sum(int(np.any([each > most for each, most in zip(sizes, self.most)], axis=0).sum())
                   for sizes in sizes_of(offsets))

    def drop_empty(self) -> None:
        """Remove buckets without samples."""
        used = self.counts > 0
        numbers = np.append(used.cumsum() - 1, used.sum())
        self._table = numbers.astype(self._table.dtype)[self._table]
        self.keys = [key for key, some in zip(self.keys, used) if some]
        self.counts = self.counts[used]

    def rows(self, offsets: Sequence[np.ndarray], num_parts: int, part_index: int,
             last_batch: str) -> list[np.ndarray]:
        """Return the numbers of each bucket's samples in this part, ascending.

        A bucket's samples go to the parts in turn. If remainders are padded, one part may have one
        sample more than another. Otherwise all have as many, and the rest is in no part.
        """
        count = offsets[0].size - 1
        own = [(n + num_parts - 1 - part_index if last_batch == 'pad' else n) // num_parts
               for n in self.counts.tolist()]
        rows = [np.empty(n, np.int32 if count < 2 ** 31 else np.int64) for n in own]
        seen, filled = [0] * len(own), [0] * len(own)
        first = 0
        for sizes in sizes_of(offsets):
            place = self.places(sizes)
            order = place.argsort(kind='stable')
            ends = np.bincount(place, minlength=len(own)).cumsum()[:len(own)]
            for i, numbers in enumerate(np.split(order, ends)[:len(own)]):
                mine = numbers[(part_index - seen[i]) % num_parts::num_parts][:own[i] - filled[i]]
                rows[i][filled[i]:filled[i] + mine.size] = mine + first
                seen[i] += numbers.size
                filled[i] += mine.size
            first += place.size
        return rows


def _asked_for(given: Any, dimensions: int) -> set[tuple[int, ...]]:
    """The buckets in the argument, without those of length 0."""
    if dimensions > 1:
        return {tuple(_check.integers('each of buckets', bucket, dimensions, 1))
                for bucket in _check.iterable('buckets', given, 'tuples of integers')}
    lengths = {extent('each of buckets', bucket, 0)
               for bucket in _check.iterable('buckets', given, 'integers')}
    if lengths == {0}:
        raise ValueError('buckets must have a length of at least 1, got only 0')
    return {(length,) for length in lengths if length}  # empty ones go into the smallest bucket


def _frequent(offsets: Sequence[np.ndarray], longest: Sequence[int], least: int
              ) -> set[tuple[int, ...]]:
    """All lengths that at least `least` samples have."""
    shape = [length + 1 for length in longest]
    counts: Counter[int] = Counter()
    for sizes in sizes_of(offsets):
        numbers, times = np.unique(np.ravel_multi_index(sizes, shape), return_counts=True)
        counts.update(dict(zip(numbers.tolist(), times.tolist())))
    keys = {tuple(map(int, np.unravel_index(number, shape)))
            for number, n in counts.items() if n >= least}
    keys = {key for key in keys if all(key)}
    if not keys:
        raise ValueError('give buckets: there are no %d sentences (batch_size times num_parts) of '
                         'one length, which would make a bucket by themselves' % least)
    return keys


class _Generators(NamedTuple):
    """The generators for the order of batches (`python`) and of the sentences in them (`numpy`)."""

    python: Any
    numpy: Any

    @classmethod
    def seeded(cls, seed: int) -> _Generators:
        return cls(random.Random(seed), np.random.RandomState(seed))

    @classmethod
    def of_state(cls, state: State) -> _Generators:
        found = cls.seeded(0)
        python, (*keys, at) = state['python'], state['numpy']
        found.python.setstate((3, tuple(map(int, python)), None))
        found.numpy.set_state(_check.generator_state(
            ('MT19937', np.array(keys, np.uint32), int(at))))
        return found

    def state(self) -> dict[str, np.ndarray]:
        """The state for `of_state`; empty if a program gave NumPy another generator."""
        state = self.numpy.get_state(legacy=False)
        if state['bit_generator'] != 'MT19937':
            return {}
        keys, at = state['state']['key'], state['state']['pos']
        return {'python': np.array(self.python.getstate()[1], np.uint32),
                'numpy': np.append(keys, np.uint32(at))}


class Order:
    """The sentences of each bucket in an epoch's order, and the history of that order.

    Sentences are shuffled in place, as in mxnet.rnn, so each epoch's order depends on the one
    before. To reach an order again, `replay` draws all epochs anew.

    Parameters
    ----------
    rows : list of numpy.ndarray
        The numbers of each bucket's sentences, ascending.
    fill : list of int
        For how many sentences of each bucket batches are made if remainders are padded: the number
        in the largest part.
    batch_size, shuffle, last_batch
        As for BucketSentenceIter.
    seed : int, optional
        None draws from the generators that all code shares.

    Attributes
    ----------
    epoch : list of numpy.ndarray
        The sentences of each bucket in this epoch: `rows`, preceded by the sentences left over from
        the epoch before if remainders roll over.
    """

    def __init__(self, rows: list[np.ndarray], fill: list[int], batch_size: int, shuffle: bool,
                 last_batch: str, seed: int | None) -> None:
        self.epoch = self._rows = rows
        self._fill = fill
        self._carried = [numbers[:0] for numbers in rows]
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._last_batch = last_batch
        self._seed = seed
        self._generators = None if seed is None else _Generators.seeded(seed)
        self._begun: list[State] = []  #: how each epoch began
        self._after: dict[str, np.ndarray] = {}  #: the shared generators after the last draw

    def batches(self) -> list[tuple[int, int]]:
        """Bucket and first sentence of each batch of this epoch, unshuffled."""
        size = self._batch_size
        ends = (self._fill if self._last_batch == 'pad' else
                [numbers.size - size + 1 for numbers in self.epoch])
        return [(bucket, first) for bucket, end in enumerate(ends)
                for first in range(0, end, size)]

    def begin(self, batches: list[tuple[int, int]], ended: bool) -> list[tuple[int, int]]:
        """Begin an epoch; return its batches in order.

        Parameters
        ----------
        batches : list
            The batches of the epoch before. Shuffled in place unless remainders roll over.
        ended : bool
            Whether that epoch was finished.
        """
        if not self._shuffle or self._seed is not None:
            self._begun.append({'ended': bool(ended), 'generators': None})
            return self._draw(batches, ended, self._generators)
        shared = _Generators(random, np.random)
        before = shared.state()
        goes_on = bool(before and self._after) and all(
            (before[name] == self._after[name]).all() for name in before)
        self._begun.append({'ended': bool(ended), 'generators': None if goes_on else before})
        batches = self._draw(batches, ended, shared)
        self._after = shared.state()
        return batches

    def _draw(self, batches: list[tuple[int, int]], ended: bool, generators: _Generators | None
              ) -> list[tuple[int, int]]:
        if generators is not None and self._shuffle:
            for numbers in self._rows:
                generators.numpy.shuffle(numbers)
        if self._last_batch == 'roll_over':
            if ended:
                self._carried = [numbers[numbers.size - numbers.size % self._batch_size:]
                                 for numbers in self.epoch]
            self.epoch = [np.concatenate(both) for both in zip(self._carried, self._rows)]
            batches = self.batches()
        if generators is not None and self._shuffle:
            generators.python.shuffle(batches)
        return batches

    def begun(self) -> list[State]:
        """How each epoch began: whether the one before was finished, and the generators' state. The
        state is None if it is the one after the draws before.

        Raises
        ------
        RuntimeError
            The generators' state cannot be stored.
        """
        if any(epoch['generators'] == {} for epoch in self._begun):
            raise RuntimeError('the position cannot be stored, because numpy.random draws from '
                               'another generator than its MT19937: give seed')
        return [dict(epoch) for epoch in self._begun]

    def replayed(self, begun: Sequence[State]
                 ) -> tuple[Order, list[tuple[int, int]]]:
        """Return the last order that `begun` describes, and its batches.

        The shared generators stay as they are.

        Raises
        ------
        ValueError
            `begun` has another form.
        """
        order = Order([np.sort(numbers) for numbers in self._rows], self._fill, self._batch_size,
                      self._shuffle, self._last_batch, self._seed)
        generators = order._generators
        batches = order.batches()
        try:
            for epoch in begun:
                if epoch['generators'] is not None:
                    generators = _Generators.of_state(epoch['generators'])
                if self._shuffle and generators is None:
                    raise ValueError('the first one has no generators')
                batches = order._draw(batches, bool(epoch['ended']), generators)
                order._begun.append(dict(epoch))
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ValueError('state must be the result of state_dict(), but its epochs are not: %r'
                             % error) from None
        if not order._begun:
            raise ValueError('state must be the result of state_dict(), but it has no epochs')
        if self._seed is not None:
            order._generators = generators
        elif generators is not None:
            order._after = generators.state()
        return order, batches
