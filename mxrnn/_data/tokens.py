"""Many sequences of numbers as one array, in the narrowest type that holds them."""
from __future__ import annotations

import contextlib
import warnings
from array import array
from itertools import islice
from typing import Iterable, Iterator, Sized

import numpy as np

from .checksum import checksum
from .number_checks import first_unfit, fits, numbers

__all__ = ['Packed', 'chunks', 'narrowest', 'pack']

_PIECE = 2 ** 18  # numbers read at once
_CHUNK = 8192  # sequences read at once


class Packed:
    """Sequences in memory, with the same attributes as a `Corpus` on disk.

    Attributes
    ----------
    tokens : numpy.ndarray
        The numbers of all sequences, one sequence after the other.
    offsets : numpy.ndarray
        Where each sequence begins in `tokens`, then where the last one ends.
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray) -> None:
        self.tokens = tokens
        self.offsets = offsets
        self._checksum: int | None = None

    @property
    def most(self) -> float:
        return self.tokens.max().item() if self.tokens.size else 0

    @property
    def checksum(self) -> int:
        if self._checksum is None:
            self._checksum = checksum(self.tokens, self.offsets)
        return self._checksum


def chunks(name: str, sequences: Iterable[Sized]
           ) -> Iterator[tuple[list[Sized], np.ndarray]]:
    """Some thousands of the sequences at a time, and their numbers joined."""
    sequences = iter(sequences)
    first = 0
    for chunk in iter(lambda: _some(sequences), []):
        values = None
        with contextlib.suppress(TypeError, OverflowError, DeprecationWarning):
            values = _integers(chunk)
        if values is None:
            arrays = [numbers('%s[%d]' % (name, i), s) for i, s in enumerate(chunk, first)]
            values = np.concatenate([a for a in arrays if a.size] or arrays)
        yield chunk, values
        first += len(chunk)


def _some(sequences: Iterator[Sized]) -> list[Sized]:
    """The next sequences: few enough for the cache, enough to hide the overhead."""
    chunk: list[Sized] = []
    total = 0
    while total < _PIECE and len(chunk) < _CHUNK:
        more = list(islice(sequences, 64))
        if not more:
            break
        chunk += more
        try:
            total += sum(map(len, more))
        except TypeError:  # not sequences: joining them will report it
            total += len(more)
    return chunk


def _integers(chunk: list[Sized]) -> np.ndarray:
    """Join lists and tuples of integers, several times as fast as NumPy can."""
    if not set(map(type, chunk)) <= {list, tuple}:
        raise TypeError
    integers = array('q')
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # before Python 3.10, fractions may be truncated
        for sequence in chunk:
            integers.fromlist(sequence if isinstance(sequence, list) else [*sequence])  # type: ignore
    return np.array(integers, np.int64)


def pack(name: str, arrays: Iterable[np.ndarray], total: int, dtype: np.dtype) -> np.ndarray:
    """Return the `total` numbers of all arrays in the narrowest type, at most `dtype`.

    Numbers that `dtype` cannot hold are refused.
    """
    packed = np.zeros(total, np.uint8)
    least, most, whole, at = 0, 0, True, 0
    for values in arrays:
        if not values.size:
            continue
        if not fits(values, dtype):
            raise ValueError('%s must have numbers that dtype %s can represent, got %r'
                             % (name, dtype.name, first_unfit(values, dtype)))
        least, most = min(least, values.min()), max(most, values.max())
        whole = whole and (values.dtype.kind != 'f' or (values == np.rint(values)).all())
        packed = packed.astype(narrowest(least, most, dtype) if whole else dtype, copy=False)
        packed[at:at + values.size] = values
        at += values.size
    return packed


def narrowest(least: int, most: int, dtype: np.dtype) -> np.dtype:
    for kind in map(np.dtype, ('uint8', 'int8', 'uint16', 'int16', 'int32')):
        bounds = np.iinfo(kind)  # type: ignore[type-var]
        if kind.itemsize < dtype.itemsize and bounds.min <= least and most <= bounds.max:
            return kind
    return dtype
