"""The order of an epoch: which sentences make which batch, and which batch comes when."""
from __future__ import annotations

import random
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from .. import _check
from .batches import extent

__all__ = ['Order', 'check_seed', 'choose_buckets', 'rows_of_buckets']

_PIECE = 2 ** 18  # sentences looked at once


def check_seed(seed: Any) -> int | None:
    """Return `seed` if both generators take it."""
    if seed is None:
        return None
    if not 0 <= _check.integer('seed', seed) < 2 ** 32:
        raise ValueError('seed must be from 0 to 2**32 - 1, got %r' % seed)
    return int(seed)


def choose_buckets(buckets: Any, lengths: np.ndarray, least: int) -> list[int]:
    """Return the buckets asked for, sorted, or every length of which there are `least` sentences.

    `lengths` has the number of sentences of each length.
    """
    if buckets is not None:
        given = {extent('each of buckets', bucket, 0) for bucket in
                 _check.iterable('buckets', buckets, 'integers')}
        buckets = sorted(given - {0})  # empty sentences go into the smallest real bucket
        if given and not buckets:
            raise ValueError('buckets must hold a length of at least 1, got only 0')
    if not buckets:
        buckets = [length for length in np.flatnonzero(lengths >= least).tolist() if length]
        if not buckets:
            raise ValueError('buckets must be given: there are no %d sentences (batch_size times '
                             'num_parts) of one length, which would make a bucket by itself'
                             % least)
    return buckets


def rows_of_buckets(offsets: np.ndarray, buckets: list[int], counts: np.ndarray, truncate: bool,
                    longest: int, num_parts: int, part_index: int, last_batch: str
                    ) -> list[np.ndarray]:
    """Return the numbers of each bucket's sentences, ascending, of those that are in this part.

    A bucket's sentences are dealt out to the parts one by one. Where remainders are padded, a part
    may have one more than another; else all have as many, and what is left over is in none.

    Parameters
    ----------
    offsets : numpy.ndarray
        Where each sentence begins, and where the last one ends.
    buckets : list of int
        Lengths, ascending.
    counts : numpy.ndarray
        Sentences in each bucket.
    truncate : bool
        Whether those longer than all buckets go into the last one; else they go into none.
    longest : int
        Length of the longest sentence.
    num_parts, part_index, last_batch
        As for BucketSentenceIter.
    """
    count = offsets.size - 1
    own = [(n + num_parts - 1 - part_index if last_batch == 'pad' else n) // num_parts
           for n in counts.tolist()]
    rows = [np.empty(n, np.int32 if count < 2 ** 31 else np.int64) for n in own]
    # The bucket of each length, and one entry more for all that is longer
    places = np.searchsorted(buckets, np.arange(min(buckets[-1], longest) + 2))
    if truncate:
        places = places.clip(max=len(buckets) - 1)
    places = places.astype(np.min_scalar_type(len(buckets)))
    seen, filled = [0] * len(buckets), [0] * len(buckets)
    for first in range(0, count, _PIECE):
        lengths = np.diff(offsets[first:first + _PIECE + 1])
        place = places[lengths.clip(max=places.size - 1)]
        order = place.argsort(kind='stable')
        ends = np.bincount(place, minlength=len(buckets)).cumsum()[:len(buckets)]
        for i, numbers in enumerate(np.split(order, ends)[:len(buckets)]):
            mine = numbers[(part_index - seen[i]) % num_parts::num_parts][:own[i] - filled[i]]
            rows[i][filled[i]:filled[i] + mine.size] = mine + first
            seen[i] += numbers.size
            filled[i] += mine.size
    return rows


class _Generators(NamedTuple):
    """What draws the order of batches (`python`) and of the sentences in them (`numpy`)."""

    python: Any
    numpy: Any

    @classmethod
    def seeded(cls, seed: int) -> _Generators:
        return cls(random.Random(seed), np.random.RandomState(seed))

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> _Generators:
        found = cls.seeded(0)
        python, (*keys, at) = state['python'], state['numpy']
        found.python.setstate((3, tuple(map(int, python)), None))
        found.numpy.set_state(_check.generator_state(
            ('MT19937', np.array(keys, np.uint32), int(at))))
        return found

    def state(self) -> dict[str, np.ndarray]:
        """What `of_state` makes them of; empty if a program gave NumPy another generator."""
        state = self.numpy.get_state(legacy=False)
        if state['bit_generator'] != 'MT19937':
            return {}
        keys, at = state['state']['key'], state['state']['pos']
        return {'python': np.array(self.python.getstate()[1], np.uint32),
                'numpy': np.append(keys, np.uint32(at))}


class Order:
    """The sentences of each bucket in an epoch's order, and how that came about.

    Shuffling is done in place, as mxnet.rnn does it: an epoch's order comes from that of the epoch
    before. To get to an order again, `replay` draws all epochs anew.

    Parameters
    ----------
    rows : list of numpy.ndarray
        The numbers of each bucket's sentences, ascending.
    fill : list of int
        How many sentences of each bucket batches are made for, where remainders are padded: as
        many as the part with most of them has.
    batch_size, shuffle, last_batch
        As for BucketSentenceIter.
    seed : int, optional
        None draws from the generators that all programs share.

    Attributes
    ----------
    epoch : list of numpy.ndarray
        The sentences of each bucket in this epoch: `rows`, led by those that the epoch before left
        over where remainders roll over.
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
        self._begun: list[dict[str, Any]] = []  #: of each epoch: how it began
        self._after: dict[str, np.ndarray] = {}  #: the shared generators after the last draw

    def batches(self) -> list[tuple[int, int]]:
        """Bucket and first sentence of each batch of this epoch, unshuffled."""
        size = self._batch_size
        ends = (self._fill if self._last_batch == 'pad' else
                [numbers.size - size + 1 for numbers in self.epoch])
        return [(bucket, first) for bucket, end in enumerate(ends)
                for first in range(0, end, size)]

    def begin(self, batches: list[tuple[int, int]], ended: bool) -> list[tuple[int, int]]:
        """Begin an epoch; return its batches in the order in which they come.

        Parameters
        ----------
        batches : list
            Those of the epoch before. It is shuffled in place unless remainders roll over.
        ended : bool
            Whether that epoch came to its end.
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

    def begun(self) -> list[dict[str, Any]]:
        """How each epoch began: whether the one before had come to its end, and the state that the
        generators were in, None where that is the one that the draws before left them in.

        Raises
        ------
        RuntimeError
            The state of the generators cannot be stored.
        """
        if any(epoch['generators'] == {} for epoch in self._begun):
            raise RuntimeError('the position cannot be stored, since numpy.random draws from '
                               'another generator than its MT19937: give seed')
        return [dict(epoch) for epoch in self._begun]

    def replayed(self, begun: Sequence[Mapping[str, Any]]
                 ) -> tuple[Order, list[tuple[int, int]]]:
        """Return the order of the last of the epochs that `begun` returned, and its batches.

        The generators that all programs share stay as they are.

        Raises
        ------
        ValueError
            `begun` is not of that form.
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
            raise ValueError('state must be what state_dict() returned, but its epochs are not: %r'
                             % error) from error
        if not order._begun:
            raise ValueError('state must be what state_dict() returned, but it has no epochs')
        if self._seed is not None:
            order._generators = generators
        elif generators is not None:
            order._after = generators.state()
        return order, batches
