"""A checksum that identifies sequences of numbers, in whatever type they are packed."""
from __future__ import annotations

import zlib
from typing import Iterator

import numpy as np

__all__ = ['checksum', 'joint', 'pieces']

_PIECE = 2 ** 18  # numbers handled at once


def pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a long array into pieces, so that results for each piece take little memory."""
    return (values[first:first + _PIECE] for first in range(0, values.size, _PIECE))


def checksum(packed: np.ndarray, offsets: np.ndarray) -> int:
    """Return a number that identifies these sequences, in whatever type they are packed."""
    return joint(_checksum(packed), _checksum(offsets))


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
