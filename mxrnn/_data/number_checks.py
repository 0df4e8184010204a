"""Checks of sequences of numbers that a program passes, and of types and sizes of their arrays."""
from __future__ import annotations

import reprlib
from typing import Sequence, Sized

import numpy as np

from .. import _check

__all__ = ['data_type', 'extent', 'first_unfit', 'fits', 'numbers', 'sizes']

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
    try:
        found = np.asarray(values)
    except ValueError:  # sequences of different lengths
        found = np.zeros((0, 0))
    if found.ndim != 1 or found.size and found.dtype.kind not in 'buif':
        nested = isinstance(values, Sequence) and values and isinstance(values[0], (list, tuple))
        raise TypeError('%s must be a sequence of numbers, as encode_sentences makes them, '
                        'got %s%s' % (name, reprlib.repr(values), ', a sequence of sequences: join '
                                      'them into one' if nested else ''))
    return found


def first_unfit(values: np.ndarray, dtype: np.dtype) -> float | None:
    """The first of `values` that `dtype` cannot hold."""
    return next(value for value in values if not fits(np.asarray(value), dtype))


def extent(name: str, value: object, least: int) -> int:
    """Check a number that becomes a dimension of an array."""
    value = _check.integer(name, value, least)
    if value >= 2 ** 31:
        raise ValueError('%s must be less than 2**31, got a number with %d bits'
                         % (name, value.bit_length()))
    return value
