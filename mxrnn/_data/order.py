"""The order of an epoch: which sentences make which batch, and which batch comes when."""
from __future__ import annotations

import random
from typing import Any

import numpy as np

from .. import _check

__all__ = ['Order', 'generators']


def generators(seed: Any) -> tuple[random.Random, np.random.RandomState]:
    """The pair of generators that `seed` stands for: one for batches, one for sentences."""
    if not 0 <= _check.integer('seed', seed) < 2 ** 32:
        raise ValueError('seed must be from 0 to 2**32 - 1, got %r' % seed)
    return random.Random(int(seed)), np.random.RandomState(int(seed))


class Order:
    """The sentences of each bucket in an epoch's order.

    Shuffling is done in place, as mxnet.rnn does it: an epoch's order comes from the order of the
    epoch before.

    Attributes
    ----------
    rows : list of numpy.ndarray
        The numbers of each bucket's sentences.
    epoch : list of numpy.ndarray
        The same, led by those that the epoch before left over where remainders roll over.
    """

    def __init__(self, rows: list[np.ndarray], batch_size: int, shuffle: bool, last_batch: str
                 ) -> None:
        self.rows = rows
        self.epoch = rows
        self._carried = [numbers[:0] for numbers in rows]
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._last_batch = last_batch

    def batches(self) -> list[tuple[int, int]]:
        """Bucket and first sentence of each batch of this epoch."""
        least = 1 if self._last_batch == 'pad' else self._batch_size
        return [(bucket, first) for bucket, numbers in enumerate(self.epoch)
                for first in range(0, numbers.size - least + 1, self._batch_size)]

    def begin(self, batches: list[tuple[int, int]], ended: bool, draw: Any, draw_rows: Any
              ) -> list[tuple[int, int]]:
        """Begin an epoch; return its batches in the order in which they come.

        Parameters
        ----------
        batches : list
            Those of the epoch before. It is shuffled in place unless remainders roll over.
        ended : bool
            Whether that epoch came to its end.
        draw, draw_rows : generators
            What shuffles the batches, and the sentences.
        """
        if self._shuffle:
            for numbers in self.rows:
                draw_rows.shuffle(numbers)
        if self._last_batch == 'roll_over':
            if ended:
                self._carried = [numbers[numbers.size - numbers.size % self._batch_size:]
                                 for numbers in self.epoch]
            self.epoch = [np.concatenate(both) for both in zip(self._carried, self.rows)]
            batches = self.batches()
        if self._shuffle:
            draw.shuffle(batches)
        return batches
