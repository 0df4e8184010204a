"""MXNet's file of arrays (``.params``): its layout, and looking it over without MXNet.

The layout is that of ``NDArray::Save`` in MXNet's ``src/ndarray/ndarray.cc``, little-endian: the
number 0x112, a reserved word, the arrays one after the other, their names. MXNet writes 0 as the
reserved word and does not look at it; mxrnn puts a checksum of the rest there. An array is a magic
number, which tells the version, then the kind of storage, the shape, the device, the type and the
elements; sparse arrays have the shape of what is stored and their indices in between.

====== ========== ===================================================================
magic  since      differs by
====== ========== ===================================================================
none   before 0.11 the rank stands in its place, and sizes have 32 bits
V1     0.11       sizes have 64 bits
V2     1.0        the kind of storage
V3     1.6        a rank of 0 is an array of one element (NumPy's semantics of shapes)
====== ========== ===================================================================

Nothing here imports MXNet, so that a program without it can read such files (`arrays`).
"""
from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from concurrent import futures
from typing import Any, BinaryIO, Iterator, NamedTuple, Sequence

import numpy as np

from .errors import CheckpointError, named

__all__ = ['BFLOAT16', 'CSR', 'DENSE', 'Entry', 'LIST_MAGIC', 'MOST_DIMENSIONS', 'ROW_SPARSE',
           'TYPES', 'V2', 'add_checksum', 'check_array', 'check_params', 'checked', 'checksum_of',
           'refuse_names', 'walk']

#: How MXNet shows bfloat16 to NumPy, which has no such type: the upper halves of float32.
BFLOAT16 = np.dtype([('bfloat16', '<u2')])

#: Types of elements, by MXNet's number of the type.
TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype('<f4'), 1: np.dtype('<f8'), 2: np.dtype('<f2'), 3: np.dtype('u1'),
    4: np.dtype('<i4'), 5: np.dtype('i1'), 6: np.dtype('<i8'), 7: np.dtype('?'),
    8: np.dtype('<i2'), 12: BFLOAT16}

LIST_MAGIC = 0x112
_WORD_AT = 8  #: where the reserved word is
_MARK = 0x31435243  #: stands behind a checksum in the reserved word: 'CRC1'
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = 0, 1, 2
MOST_DIMENSIONS = 32


class Part(NamedTuple):
    """Elements in the file: where they begin, their type and their shape."""

    at: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Entry(NamedTuple):
    """An array in the file: its storage, its shape, its elements, then its indices."""

    storage: int
    shape: tuple[int, ...]
    parts: Sequence[Part]


class _Reader:
    """Reads a file of known size, and refuses to go beyond its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = stream.seek(0, os.SEEK_END)
        self.at = stream.seek(0)

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            raise ValueError('%s takes %d bytes from byte %d on, the file has %d'
                             % (what, count, self.at, self.size))
        self.at += count
        self.stream.seek(self.at)

    def take(self, count: int, what: str) -> bytes:
        start = self.at
        self.skip(count, what)
        self.stream.seek(start)
        return self.stream.read(count)

    def number(self, form: str, what: str) -> int:
        value: int = struct.unpack('<' + form, self.take(struct.calcsize(form), what))[0]
        return value

    def elements(self, part: Part) -> np.ndarray[Any, Any]:
        """What lies at `part`, which has been skipped."""
        self.stream.seek(part.at)
        count = int(np.prod(part.shape, dtype=np.int64))
        return np.frombuffer(self.stream.read(count * part.dtype.itemsize), part.dtype)


def check_params(path: str) -> None:
    """Refuse a file of parameters that is damaged, or that MXNet did not write to its end.

    MXNet takes every length in the file at its word. A wrong one costs the process or all of its
    memory, so this walks over the file from header to header before MXNet reads it. If the file
    has a checksum, that is compared, too.

    Raises
    ------
    CheckpointError
        The file cannot be read, is not whole or is no file of parameters.
    """
    with checked(path):
        pass


@contextlib.contextmanager
def checked(path: str) -> Iterator[None]:
    """Refuse a file as `check_params` does; the checksum is compared while the block runs.

    When the block begins, all lengths in the file are known to be right.
    """
    with named(path), open(path, 'rb') as stream:
        _, names, checksum = walk(stream)
        refuse_names(path, names)
    with futures.ThreadPoolExecutor(1) as thread:
        found = None if checksum is None else thread.submit(checksum_of, path)
        yield
        with named(path):
            if found and found.result() != checksum:
                raise ValueError('its checksum does not match')


def add_checksum(path: str) -> None:
    """Put a checksum into a file of parameters, if it is whole.

    It takes the place of the reserved word: the CRC-32 of all other bytes, then a mark.

    Raises
    ------
    CheckpointError
        As from `check_params`.
    """
    check_params(path)
    with named(path), open(path, 'r+b') as stream:
        stream.seek(_WORD_AT)
        stream.write(struct.pack('<II', checksum_of(path), _MARK))


def checksum_of(path: str) -> int:
    """CRC-32 of all bytes but the reserved word."""
    with open(path, 'rb', buffering=0) as stream:
        checksum = zlib.crc32(stream.read(_WORD_AT) or b'')
        stream.seek(_WORD_AT + 8)
        block = memoryview(bytearray(1 << 17))
        while True:
            count = stream.readinto(block)
            if not count:
                return checksum
            checksum = zlib.crc32(block[:count], checksum)


def check_array(content: bytes, storage: int) -> None:
    """Refuse, with a ValueError, bytes that are not one whole array of this `storage`."""
    reader = _Reader(io.BytesIO(content))
    if _entry(reader, 'an array').storage != storage:
        raise ValueError('an array is stored otherwise than its class says')
    if reader.at != reader.size:
        raise ValueError('%d bytes follow the end of an array' % (reader.size - reader.at))


def refuse_names(path: str, names: list[str], parameters: bool = True) -> None:
    """Refuse names that are there twice or, of `parameters`, do not say of which kind."""
    faults = ['%s begins with neither arg: nor aux:' % name for name in names
              if parameters and not name.startswith(('arg:', 'aux:'))]
    if len(set(names)) < len(names):
        faults += ['%s is there twice' % name for name in sorted(set(names))
                   if names.count(name) > 1]
    if faults:
        raise CheckpointError('%s is no file of parameters: %s' % (path, '; '.join(faults)))


def walk(stream: BinaryIO) -> tuple[list[Entry], list[str], int | None]:
    """Where the arrays are, their names, and the checksum if there is one."""
    reader = _Reader(stream)
    if reader.number('Q', 'the header') != LIST_MAGIC:
        raise ValueError('it does not begin as a file of arrays does')
    checksum, mark = reader.number('I', 'the header'), reader.number('I', 'the header')
    count = reader.number('Q', 'the header')
    entries = []
    for i in range(count):
        entries.append(_entry(reader, 'array %d of %d' % (i + 1, count)))
    found = reader.number('Q', 'the number of names')
    if found != count:
        raise ValueError('it has %d arrays and %d names' % (count, found))
    names = []
    for _ in range(count):
        length = reader.number('Q', 'the length of a name')
        names.append(reader.take(length, 'a name').decode('utf-8'))
    if reader.at != reader.size:
        raise ValueError('%d bytes follow its end' % (reader.size - reader.at))
    if mark != _MARK and (checksum, mark) != (0, 0):
        raise ValueError('its reserved word is neither empty nor a checksum')
    return entries, names, checksum if mark == _MARK else None


def _entry(reader: _Reader, what: str) -> Entry:
    magic = reader.number('I', what)
    storage = reader.number('i', what) if magic in (V2, V3) else DENSE
    if storage not in (DENSE, ROW_SPARSE, CSR):
        raise ValueError('%s has the unknown kind of storage %d' % (what, storage))

    def shape() -> tuple[int, ...]:
        if magic in (V1, V2, V3):
            rank, form = reader.number('i', what), 'q'
        else:
            rank, form = magic, 'I'
        least = 0 if magic == V3 else 1  # a rank below it means an array that was never filled
        if not least <= rank <= MOST_DIMENSIONS:
            raise ValueError('%s has the rank %d' % (what, rank))
        sizes = tuple(reader.number(form, what) for _ in range(rank))
        if min(sizes, default=0) < 0:
            raise ValueError('%s has the shape %s' % (what, sizes))
        return sizes

    def dtype() -> np.dtype[Any]:
        number = reader.number('i', what)
        if number not in TYPES:
            raise ValueError('%s has the unknown type %d' % (what, number))
        return TYPES[number]

    stored = shape() if storage else ()
    whole = shape()
    reader.skip(8, what)  # the device, which MXNet maps to one that is there
    kind = dtype()
    indices = [(dtype(), shape()) for _ in range(storage)]  # one array, or two for CSR
    fits = True
    if storage == DENSE:
        stored = whole
    else:  # MXNet may write 0 for what is stored, where it is still computed; the indices are right
        count = indices[-1][1]
        fits = stored[:1] in ((0,), count) and len(count) == 1
        if storage == ROW_SPARSE:
            fits = fits and stored[1:] == whole[1:] and count <= whole[:1]
        else:
            fits = (fits and len(stored) == 1 and len(whole) == 2
                    and indices[0][1] == (whole[0] + 1,))
        stored = count + stored[1:]
    if not fits:
        raise ValueError('%s has indices that do not fit its shape %s' % (what, whole))
    parts = []
    for item, sizes in [(kind, stored)] + indices:
        parts.append(Part(reader.at, item, sizes))
        length = item.itemsize
        for size in sizes:  # of any size, where NumPy's integers would wrap
            length *= size
        reader.skip(length, what)
    if storage != DENSE:
        _check_indices(storage, whole, [reader.elements(part) for part in parts[1:]], what)
    return Entry(storage, whole, parts)


def _check_indices(storage: int, whole: Sequence[int], indices: Sequence[np.ndarray[Any, Any]],
                   what: str) -> None:
    """Refuse indices that point out of the array: MXNet writes wherever they point."""
    numbers = indices[-1]
    fits = all(each.dtype.kind in 'iu' for each in indices) and (
        not numbers.size or 0 <= numbers.min() <= numbers.max() < whole[storage - ROW_SPARSE])
    if storage == CSR and fits:
        begins = indices[0]
        fits = begins[0] == 0 and begins[-1] == numbers.size and bool(
            (begins[:-1] <= begins[1:]).all())
    if not fits:
        raise ValueError('%s has indices that point out of its shape %s' % (what, tuple(whole)))
