"""MXNet's file of arrays (``.params``): checked, read into NumPy and written, without MXNet.

The layout is that of ``NDArray::Save`` in MXNet's ``src/ndarray/ndarray.cc``, little-endian: the
number 0x112, a reserved word, the arrays one after the other, and their names. An array is
a magic number for the version, the kind of storage, the shape, the device, the type and the
elements. Sparse arrays also have the stored part's shape and their indices in between.

====== ========== ===================================================================
magic  since      differs by
====== ========== ===================================================================
none   before 0.11 the rank stands in its place, and sizes have 32 bits
V1     0.11       sizes have 64 bits
V2     1.0        the kind of storage
V3     1.6        a rank of 0 is an array of one element (NumPy's semantics of shapes)
====== ========== ===================================================================

MXNet writes 0 into the reserved word and does not read it. mxrnn writes its seal there: the CRC-32
of all other bytes, then 'CR' and two more bytes. These are usually 'C1'. But if a checkpoint with a
higher number already existed at the save, they are the beginning of that one's checksum. So a file
tells that it is newer than another with a higher number, as long as that one is unchanged. Times
alone do not tell this of copied files.
"""
from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import zlib
from concurrent import futures
from typing import Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from . import CheckpointError, OtherKindError, named, opened

__all__ = ['add_checksum', 'BFLOAT16', 'check_array', 'check_params', 'checked', 'checksum_of',
           'CSR', 'DENSE', 'read_sealed', 'refuse_names', 'ROW_SPARSE', 'TYPES', 'was_there',
           'write_arrays']

#: MXNet's form of bfloat16 in NumPy, which has no such type: the upper halves of float32.
BFLOAT16 = np.dtype([('bfloat16', '<u2')])

#: Types of elements, by MXNet's numbers.
TYPES: dict[int, np.dtype] = {
    0: np.dtype('<f4'), 1: np.dtype('<f8'), 2: np.dtype('<f2'), 3: np.dtype('u1'),
    4: np.dtype('<i4'), 5: np.dtype('i1'), 6: np.dtype('<i8'), 7: np.dtype('?'),
    8: np.dtype('<i2'), 12: BFLOAT16}

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = 0, 1, 2
MOST_DIMENSIONS = 32
_NUMBERS = {dtype: number for number, dtype in TYPES.items()}

_AT, _SIZE = 8, 8  #: of the reserved word in the file
_MARK, _ALONE = b'CR', b'C1'


class _Seal(NamedTuple):
    """What mxrnn writes there: the checksum, and the bytes that identify a higher number."""

    checksum: int
    higher: bytes


def _parsed(word: bytes) -> _Seal | None:
    """The seal in a reserved word: None if it is MXNet's; a ValueError if it is neither."""
    checksum, mark, higher = struct.unpack('<I2s2s', word)
    if mark == _MARK:
        return _Seal(checksum, higher)
    if any(word):
        raise ValueError('it was changed after it was written: bytes 8 to 15 are neither the zeros '
                         'of MXNet nor a checksum of mxrnn')
    return None


def _seal_of(path: str, higher: bytes = _ALONE, content: bytes | None = None) -> _Seal:
    """The right seal for the file, or its `content`, whatever its reserved word contains."""
    checksum = zlib.crc32(b'' if higher == _ALONE else higher)
    with open(path, 'rb', buffering=0) if content is None else io.BytesIO(content) as stream:
        checksum = zlib.crc32(stream.read(_AT) or b'', checksum)
        stream.seek(_AT + _SIZE)
        return _Seal(checksum_of(stream, checksum), higher)


def checksum_of(stream: io.RawIOBase | io.BufferedIOBase, before: int = 0) -> int:
    """The CRC-32 of the rest of a stream, of which `before` is that of the bytes before."""
    block = memoryview(bytearray(1 << 17))
    for count in iter(lambda: stream.readinto(block), 0):
        before = zlib.crc32(block[:count], before)
    return before


def was_there(higher: str, path: str) -> bool:
    """Whether the file `path` was saved when `higher`, unchanged since, already existed.

    A later one is not: a second run may have written `higher` again with the same bytes.
    """
    seal, told = _seal_in(path), _bytes_for(higher)
    return seal is not None and told is not None and seal.higher == told and (
        os.path.getmtime(higher) <= os.path.getmtime(path))


def _bytes_for(path: str) -> bytes | None:
    """The bytes that identify the file `path`; None if it has no checksum to take them from."""
    seal = _seal_in(path)
    told = seal and struct.pack('<H', (seal.checksum ^ seal.checksum >> 16) & 0xffff)
    return told if told != _ALONE else None


def _seal_in(path: str) -> _Seal | None:
    """The seal in the file; None if it has none or cannot be read."""
    try:
        with open(path, 'rb') as stream:
            stream.seek(_AT)
            return _parsed(stream.read(_SIZE))
    except (OSError, ValueError, struct.error):
        return None


class _Elements(NamedTuple):
    """Elements in the file: where they begin, their type and their shape."""

    at: int
    dtype: np.dtype
    shape: tuple[int, ...]

    def read(self, stream: io.BufferedIOBase) -> np.ndarray:
        stream.seek(self.at)
        array = np.empty(self.shape, self.dtype)
        stream.readinto(array.reshape(-1).view(np.uint8).data)
        return array


class StoredArray(NamedTuple):
    """An array in the file: its kind of storage, its shape, its elements, then its indices."""

    storage: int
    shape: tuple[int, ...]
    parts: Sequence[_Elements]


class _Reader:
    """Reads a file of known size, and refuses to go beyond its end."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
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


def check_params(path: str) -> None:
    """Refuse a file of parameters that is damaged, or that MXNet did not finish writing.

    MXNet trusts every length in the file. A wrong one crashes the process or takes all of its
    memory. So this checks all headers before MXNet reads the file. If the file has a checksum, it
    is compared as well.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or is not a file of parameters.
    """
    with checked(path):
        pass


@contextlib.contextmanager
def checked(path: str) -> Iterator[None]:
    """Refuse a file as `check_params` does; the checksum is compared while the block runs.

    When the block begins, all lengths in the file have been checked.
    """
    with opened(path) as stream:
        _, names, seal = _locate(stream)
        refuse_names(path, names)
    with futures.ThreadPoolExecutor(1) as thread:
        found = None if seal is None else thread.submit(_seal_of, path, seal.higher)
        yield
        with named(path):
            if found and found.result() != seal:
                raise ValueError('its checksum does not match')


def add_checksum(path: str, higher: str | None = None) -> None:
    """Put a checksum into a file of parameters that `check_params` accepts.

    It also identifies `higher`, the file of an existing checkpoint with a higher number.
    """
    check_params(path)
    with named(path):
        told = None if higher is None else _bytes_for(higher)
        seal = _seal_of(path, _ALONE if told is None else told)
        with open(path, 'r+b') as stream:
            stream.seek(_AT)
            stream.write(struct.pack('<I2s2s', seal.checksum, _MARK, seal.higher))


def check_array(content: bytes, storage: int) -> None:
    """Refuse, with a ValueError, bytes that are not exactly one array of this `storage`."""
    reader = _Reader(io.BytesIO(content))
    if _entry(reader, 'an array').storage != storage:
        raise ValueError('the storage of an array does not match its class')
    if reader.at != reader.size:
        raise ValueError('%d bytes follow the end of an array' % (reader.size - reader.at))


def refuse_names(path: str, names: list[str], parameters: bool = True) -> None:
    """Refuse names that occur twice or, for `parameters`, lack their kind."""
    faults = ['%s begins with neither arg: nor aux:' % name for name in names
              if parameters and not name.startswith(('arg:', 'aux:'))]
    if len(set(names)) < len(names):
        faults += ['%s is there twice' % name for name in sorted(set(names))
                   if names.count(name) > 1]
    if faults:
        raise CheckpointError('%s is not a file of parameters: %s' % (path, '; '.join(faults)))


def _locate(stream: io.BufferedIOBase, unnamed: bool = False
            ) -> tuple[list[StoredArray], list[str], _Seal | None]:
    """Where the arrays are, their names, and the seal if there is one. The names of arrays without
    any, if these are allowed, are numbers."""
    reader = _Reader(stream)
    if reader.number('Q', 'the header') != LIST_MAGIC:
        raise OtherKindError('the content', 'does not begin like a file of parameters. It is '
                             'either damaged or not a file such as PREFIX-0004.params')
    seal = _parsed(reader.take(8, 'the header'))
    count = reader.number('Q', 'the header')
    entries = [_entry(reader, 'array %d of %d' % (i + 1, count)) for i in range(count)]
    found = reader.number('Q', 'the number of names')
    if found != count and (found or not unnamed):
        raise ValueError('it has %d arrays and %d names' % (count, found))
    names = [] if found else [*map(str, range(count))]
    for _ in range(found):
        length = reader.number('Q', 'the length of a name')
        names.append(reader.take(length, 'a name').decode('utf-8'))
    if reader.at != reader.size:
        raise ValueError('%d bytes follow its end' % (reader.size - reader.at))
    return entries, names, seal


def _entry(reader: _Reader, what: str) -> StoredArray:
    magic = reader.number('I', what)
    storage = reader.number('i', what) if magic in (V2, V3) else DENSE
    if storage not in (DENSE, ROW_SPARSE, CSR):
        raise ValueError('%s has the unknown kind of storage %d' % (what, storage))

    def shape() -> tuple[int, ...]:
        if magic in (V1, V2, V3):
            rank, form = reader.number('i', what), 'q'
        else:
            rank, form = magic, 'I'
        least = 0 if magic == V3 else 1  # a lower rank means an array that was never filled
        if not least <= rank <= MOST_DIMENSIONS:
            raise ValueError('%s has the rank %d' % (what, rank))
        sizes = tuple(reader.number(form, what) for _ in range(rank))
        if min(sizes, default=0) < 0:
            raise ValueError('%s has the shape %s' % (what, sizes))
        return sizes

    def dtype() -> np.dtype:
        number = reader.number('i', what)
        if number not in TYPES:
            raise ValueError('%s has the unknown type %d' % (what, number))
        return TYPES[number]

    stored = shape() if storage else ()
    whole = shape()
    reader.skip(8, what)  # the device, which MXNet maps to an existing one
    kind = dtype()
    indices = [(dtype(), shape()) for _ in range(storage)]  # one array, or two for CSR
    fits = True
    if storage == DENSE:
        stored = whole
    else:  # MXNet may write 0 for a stored part that is still computed; the indices are right
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
        parts.append(_Elements(reader.at, item, sizes))
        reader.skip(item.itemsize * math.prod(sizes), what)  # NumPy's product would overflow
    if storage != DENSE:
        _check_indices(storage, whole, [part.read(reader.stream) for part in parts[1:]], what)
    return StoredArray(storage, whole, parts)


def _check_indices(storage: int, whole: Sequence[int], indices: Sequence[np.ndarray],
                   what: str) -> None:
    """Refuse indices outside the array, because MXNet would write there."""
    numbers = indices[-1]
    fits = all(each.dtype.kind in 'iu' for each in indices) and (
        not numbers.size or 0 <= numbers.min() <= numbers.max() < whole[storage - ROW_SPARSE])
    if storage == CSR and fits:
        begins = indices[0]
        fits = begins[0] == 0 and begins[-1] == numbers.size and bool(
            (begins[:-1] <= begins[1:]).all())
    if not fits:
        raise ValueError('%s has indices outside its shape %s' % (what, tuple(whole)))


def read_sealed(path: str, content: bytes | None = None, unnamed: bool = False
                ) -> tuple[dict[str, np.ndarray], bool]:
    """The arrays in a file or its `content`, by name, and whether it has a checksum."""
    with named(path), (open(path, 'rb') if content is None else io.BytesIO(content)) as stream:
        entries, names, seal = _locate(stream, unnamed)
        refuse_names(path, names, parameters=False)
        if seal is not None and seal != _seal_of(path, seal.higher, content):
            raise ValueError('its checksum does not match')
        return ({name: _array(stream, entry) for name, entry in zip(names, entries)},
                seal is not None)


def _array(stream: io.BufferedIOBase, entry: StoredArray) -> np.ndarray:
    """The whole array; of a sparse one, zero where nothing is stored."""
    data, *indices = [part.read(stream) for part in entry.parts]
    if entry.storage == DENSE:
        return data
    try:
        whole = np.zeros(entry.shape, data.dtype)
    except (ValueError, MemoryError) as error:
        raise ValueError('a sparse array is too large: %s' % error) from None
    if entry.storage == ROW_SPARSE:
        whole[indices[0]] = data
    else:  # where each row begins, and then the columns
        whole[np.repeat(np.arange(len(whole)), np.diff(indices[0])), indices[1]] = data
    return whole


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write any file of named dense arrays without MXNet, as `mx.nd.save` writes a dict."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.newbyteorder('<') not in _NUMBERS:
            raise TypeError('%s must be a NumPy array of one of the types %s, got %s' % (
                name, ', '.join(str(kind) for kind in TYPES.values()),
                getattr(array, 'dtype', type(array).__name__)))
        if not 1 <= array.ndim <= MOST_DIMENSIONS or not array.size:
            raise ValueError('%s must have elements and at least one dimension, got the shape %s'
                             % (name, array.shape))
    with open(path, 'wb') as stream:
        stream.write(struct.pack('<QQQ', LIST_MAGIC, 0, len(arrays)))
        for array in arrays.values():
            dtype = array.dtype.newbyteorder('<')
            stream.write(struct.pack('<Iii%dqiii' % array.ndim, V2, DENSE, array.ndim,
                                     *array.shape, 1, 0, _NUMBERS[dtype]))  # 1, 0: cpu(0)
            np.ascontiguousarray(array, dtype).tofile(stream)
        stream.write(struct.pack('<Q', len(arrays)))
        for name in arrays:
            text = name.encode('utf-8')
            stream.write(struct.pack('<Q', len(text)) + text)
