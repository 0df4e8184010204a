"""The order of an epoch: which samples make which batch, and in which order batches come."""
from __future__ import annotations

import random
import types
from typing import NamedTuple, Sequence

import numpy as np

from .. import _check
from .base_iterator import State

__all__ = ['Order']


class _Generators(NamedTuple):
    """The generators for the order of batches (`python`) and of the sentences in them (`numpy`)."""

    python: random.Random | types.ModuleType
    numpy: np.random.RandomState | types.ModuleType

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
        return [(bucket, first) for bucket, end in enumerate(ends) for first in range(0, end, size)]

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

    def replayed(self, begun: Sequence[State]) -> tuple[Order, list[tuple[int, int]]]:
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
