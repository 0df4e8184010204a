"""The buckets of sentences: the lengths to pad to, and which sentences get each length."""
from __future__ import annotations

from collections import Counter
from typing import Iterable, Iterator, Sequence, Tuple, Union

import numpy as np

from .. import _check
from .tokens import PIECE

__all__ = ['Asked', 'Buckets', 'sizes_of']

#: The argument `buckets`: lengths, or for several sequences tuples of them.
Asked = Union[Iterable[int], Iterable[Tuple[int, ...]], None]


def sizes_of(offsets: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Lengths of some thousands of samples at a time, for each sequence of a sample.

    `offsets` has, for each sequence of a sample, where all samples' sequences begin.
    """
    for first in range(0, offsets[0].size - 1, PIECE):
        sizes = [np.diff(each[first:first + PIECE + 1]) for each in offsets]
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

    def __init__(self, given: Asked, offsets: Sequence[np.ndarray], least: int,
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


def _asked_for(given: Iterable[object], dimensions: int) -> set[tuple[int, ...]]:
    """The buckets in the argument, without those of length 0."""
    if isinstance(given, str):
        raise TypeError('buckets must be a list of integers, got %s' % _check.shown(given))
    if dimensions > 1:
        return {tuple(_check.integers('each of buckets', bucket, dimensions, 1))
                for bucket in _check.iterable('buckets', given, 'tuples of integers')}
    lengths = {_check.integer('each of buckets', bucket, 0, _check.LARGEST)
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
