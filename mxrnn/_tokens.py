"""Many token sequences as one array of the narrowest type that holds them."""
from __future__ import annotations

from array import array
from itertools import islice
from typing import Any, Iterable, Sequence, Sized

import numpy as np

from . import _check

__all__ = ['TYPES', 'Tokens', 'data_type', 'fits', 'sizes']

#: What an NDArray can hold, and so what `dtype` may be.
TYPES = ('float32', 'float64', 'float16', 'uint8', 'int8', 'int32', 'int64')

_CHUNK = 8192  # sequences read at once: few enough for the cache, enough to hide the overhead


def data_type(name: str, value: Any) -> np.dtype:
    """Return the argument `value` as a NumPy type that MXNet has, too."""
    try:
        dtype = np.dtype(value) if value is not None else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in TYPES:
        raise TypeError('%s must be one of %s, got %r' % (name, ', '.join(TYPES), value))
    return dtype


def fits(values: np.ndarray, dtype: np.dtype) -> bool:
    """Whether `dtype` holds all values: whole numbers exactly, fractions as near as floats are."""
    if values.dtype.kind not in 'buif':
        return False
    with np.errstate(invalid='ignore', over='ignore'):
        cast = values.astype(dtype)
    if values.dtype.kind == 'f' and dtype.kind == 'f':
        return bool(np.isfinite(cast).all())
    return bool((cast == values).all())


def sizes(name: str, sequences: Sequence[Any]) -> np.ndarray:
    """Return the length of each sequence."""
    try:
        return np.fromiter(map(len, sequences), np.intp, len(sequences))
    except TypeError:
        for i, sequence in enumerate(sequences):
            _check.instance('%s[%d]' % (name, i), sequence, Sized, 'a sequence of numbers')
        raise


class Tokens:
    """The numbers of many sequences, one after the other.

    They are kept in the narrowest type that holds them all, at most `dtype`; numbers that `dtype`
    itself does not hold are refused. `sizes` are the lengths of the sequences.
    """

    def __init__(self, name: str, sequences: Iterable[Any], sizes: np.ndarray,
                 dtype: np.dtype) -> None:
        self.dtype = dtype
        self._ends = sizes.cumsum()
        self._sizes = sizes.astype(np.int32)
        self._tokens = np.zeros(self._ends[-1], np.uint8)
        sequences = iter(sequences)
        least, most, whole, first, at = 0, 0, True, 0, 0
        for chunk in iter(lambda: list(islice(sequences, _CHUNK)), []):
            values = _numbers(name, chunk, first)
            if not fits(values, dtype):
                wrong = next(v for v in values if not fits(np.asarray(v), dtype))
                raise ValueError('%s must hold numbers that dtype %s can represent, got %r'
                                 % (name, dtype.name, wrong))
            if values.size:
                least, most = min(least, values.min()), max(most, values.max())
                whole = whole and (values.dtype.kind != 'f' or (values == np.rint(values)).all())
            narrow = _narrowest(least, most, dtype) if whole else dtype
            self._tokens = self._tokens.astype(narrow, copy=False)
            self._tokens[at:at + values.size] = values
            at += values.size
            first += len(chunk)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """The lengths of the sequences of these numbers."""
        return self._sizes[rows]

    def padded(self, rows: np.ndarray, steps: int, padding: Any) -> np.ndarray:
        """The sequences of these numbers as rows of an array, padded behind to `steps`."""
        sizes, step = self._sizes[rows], np.arange(steps)
        where = np.add.outer(self._ends[rows] - sizes, step)
        found = self._tokens.take(where, mode='clip')  # what follows a sequence is masked next
        return np.where(step < sizes[:, None], found, padding).astype(self.dtype, copy=False)


def _numbers(name: str, chunk: list[Any], first: int) -> np.ndarray:
    if set(map(type, chunk)) <= {list, tuple}:
        integers = array('q')
        try:
            for sequence in chunk:
                integers.fromlist(sequence if type(sequence) is list else list(sequence))
            return np.array(integers, np.int64)
        except (TypeError, OverflowError):  # not integers, or not all of them: the longer way
            pass
    arrays = [np.zeros(0, np.int64)]
    for i, sequence in enumerate(chunk, first):
        values = np.asarray(sequence)
        if values.ndim != 1 or values.size and values.dtype.kind not in 'buif':
            raise TypeError('%s[%d] must be a sequence of numbers, as encode_sentences makes '
                            'them, got %.80r' % (name, i, sequence))
        if values.size:
            arrays.append(values)
    return np.concatenate(arrays)


def _narrowest(least: int, most: int, dtype: np.dtype) -> np.dtype:
    for kind in map(np.dtype, (np.uint8, np.int8, np.uint16, np.int16, np.int32)):
        bounds = np.iinfo(kind)
        if kind.itemsize < dtype.itemsize and bounds.min <= least and most <= bounds.max:
            return kind
    return dtype
