"""Sequences of numbers: checks, and many of them as one array, in the narrowest type that holds
them, with a checksum."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
import zlib
from array import array
from itertools import islice
from typing import Iterable, Iterator, Sequence, Sized

import numpy as np

from .. import _check

__all__ = ['chunks', 'data_type', 'first_unfit', 'fits', 'joint',
           'narrowest', 'numbers', 'pack', 'Packed', 'PIECE', 'pieces', 'sizes']

#: How many numbers, and how many sequences, are handled at once.
PIECE, _CHUNK = 2 ** 18, 8192

#: The types that an NDArray can have, and so `dtype`.
TYPES = ('float32', 'float64', 'float16', 'uint8', 'int8', 'int32', 'int64')


def data_type(name: str, value: _check.DType) -> np.dtype:
    """Return the argument `value` as a NumPy type that MXNet also has."""
    try:
        dtype = None if value is None else np.dtype(value)  # None would mean float64
    except (TypeError, NotImplementedError):
        dtype = None
    if dtype is None or dtype.name not in TYPES:
        raise TypeError('%s must be one of %s, got %r' % (name, ', '.join(TYPES), value))
    return dtype


def fits(values: np.ndarray, dtype: np.dtype) -> bool:
    """Whether `dtype` holds all values: whole numbers exactly, fractions as well as floats can."""
    if values.dtype.kind not in 'buif':
        return False
    with np.errstate(invalid='ignore', over='ignore'):
        cast = values.astype(dtype)
    if values.dtype.kind == 'f' and dtype.kind == 'f':
        return bool(np.isfinite(cast).all())
    return bool((cast == values).all())


def sizes(name: str, sequences: Sequence[Sized] | np.ndarray) -> np.ndarray:
    """Return the length of each sequence."""
    wrong = [kind for kind in set(map(type, sequences))
             if not issubclass(kind, Sized) or issubclass(kind, (str, bytes))]
    if wrong:
        raise TypeError('each of %s must be a sequence of numbers, as encode_sentences makes them, '
                        'got a %s' % (name, wrong[0].__name__))
    return np.fromiter(map(len, sequences), np.intp, len(sequences))


def numbers(name: str, values: object) -> np.ndarray:
    """Return the sequence of numbers `values` as an array."""
    return _check.array(name, values, 'a sequence of numbers, as encode_sentences makes them', [1])


def first_unfit(values: np.ndarray, dtype: np.dtype) -> float | None:
    """The first of `values` that `dtype` cannot hold."""
    return next(value for value in values if not fits(np.asarray(value), dtype))


def pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a long array into pieces, so that results for each piece take little memory."""
    return (values[first:first + PIECE] for first in range(0, values.size, PIECE))


def joint(tokens: int, offsets: int) -> int:
    """Both checksums as one number."""
    return tokens << 32 | offsets


def _checksum(values: np.ndarray) -> int:
    found = 0
    for piece in pieces(values):
        if piece.dtype.kind != 'f' or (piece == np.rint(piece)).all():
            piece = piece.astype('<i8')
        found = zlib.crc32(np.ascontiguousarray(piece, piece.dtype.newbyteorder('<')).data, found)
    return found


@dataclasses.dataclass(eq=False, repr=False)
class Packed:
    """Sequences in memory, with the same attributes as a `Corpus` on disk.

    Attributes
    ----------
    tokens : numpy.ndarray
        The numbers of all sequences, one sequence after the other.
    offsets : numpy.ndarray
        Where each sequence begins in `tokens`, then where the last one ends.
    """

    tokens: np.ndarray
    offsets: np.ndarray

    @property
    def most(self) -> float:
        return self.tokens.max().item() if self.tokens.size else 0

    @functools.cached_property
    def checksum(self) -> int:
        """A number that identifies these sequences, in whatever type they are packed."""
        return joint(_checksum(self.tokens), _checksum(self.offsets))


def chunks(name: str, sequences: Iterable[Sized]) -> Iterator[tuple[list[Sized], np.ndarray]]:
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
    while total < PIECE and len(chunk) < _CHUNK:
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
            integers.fromlist(
                sequence if isinstance(sequence, list) else [*sequence])  # type: ignore[misc]
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
