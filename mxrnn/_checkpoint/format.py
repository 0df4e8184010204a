"""MXNet's file of arrays (``.params``): looked over, read and written without MXNet.

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

Nothing here imports MXNet, so that a program without it can read and write such files.
"""
from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from concurrent import futures
from typing import BinaryIO, Iterator, Mapping, NamedTuple, Sequence, Union

import numpy as np

from .errors import CheckpointError, named

__all__ = ['Array', 'BFLOAT16', 'SparseArray', 'add_checksum', 'check_array', 'check_params',
           'checked', 'read_arrays', 'read_params', 'write_arrays', 'write_params']

#: How MXNet shows bfloat16 to NumPy, which has no such type: the upper halves of float32.
BFLOAT16 = np.dtype([('bfloat16', '<u2')])

#: Types of elements, by MXNet's number of the type.
_TYPES = {0: np.dtype('<f4'), 1: np.dtype('<f8'), 2: np.dtype('<f2'), 3: np.dtype('u1'),
          4: np.dtype('<i4'), 5: np.dtype('i1'), 6: np.dtype('<i8'), 7: np.dtype('?'),
          8: np.dtype('<i2'), 12: BFLOAT16}
_NUMBERS = {kind: number for number, kind in _TYPES.items()}

_LIST_MAGIC = 0x112
_WORD_AT = 8  #: where the reserved word is
_MARK = 0x31435243  #: stands behind a checksum in the reserved word: 'CRC1'
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE, _ROW_SPARSE, _CSR = 0, 1, 2
_MOST_DIMENSIONS = 32


class SparseArray(NamedTuple):
    """A sparse array as the file has it.

    Attributes
    ----------
    stype : {'row_sparse', 'csr'}
        MXNet's name of the kind of storage.
    shape : tuple of int
        Of the whole array.
    data : numpy.ndarray
        The rows that are stored, or the elements that are (CSR).
    indices : numpy.ndarray
        The number of each stored row, or the column of each stored element.
    indptr : numpy.ndarray or None
        Of CSR: where each row begins in `data`, and where the last one ends.
    """

    stype: str
    shape: tuple[int, ...]
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray | None = None

    def dense(self) -> np.ndarray:
        """The whole array, zero where nothing is stored."""
        whole = np.zeros(self.shape, self.data.dtype)
        if self.indptr is None:
            whole[self.indices] = self.data
        else:
            rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
            whole[rows, self.indices] = self.data
        return whole


Array = Union[np.ndarray, SparseArray]


class _Part(NamedTuple):
    """Elements in the file: where they begin, their type and their shape."""

    at: int
    dtype: np.dtype
    shape: tuple[int, ...]


class _Entry(NamedTuple):
    """An array in the file: its storage, its shape, its elements, then its indices."""

    storage: int
    shape: tuple[int, ...]
    parts: Sequence[_Part]


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
        _, names, checksum = _walk(_Reader(stream))
        _parameters(path, names)
    with futures.ThreadPoolExecutor(1) as thread:
        found = None if checksum is None else thread.submit(_checksum, path)
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
        stream.write(struct.pack('<II', _checksum(path), _MARK))


def _checksum(path: str) -> int:
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


def check_array(content: bytes) -> None:
    """Refuse, with a ValueError, bytes that are not one whole array."""
    reader = _Reader(io.BytesIO(content))
    _entry(reader, 'an array')
    if reader.at != reader.size:
        raise ValueError('%d bytes follow the end of an array' % (reader.size - reader.at))


def read_params(path: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Read a file of parameters without MXNet.

    Parameters
    ----------
    path : str
        As `mx.model.save_checkpoint` and `save_rnn_checkpoint` write it.

    Returns
    -------
    arg_params, aux_params : dict of str to numpy.ndarray or SparseArray
        By name, in the order of the file. bfloat16 comes as the type `BFLOAT16`.

    Raises
    ------
    CheckpointError
        As from `check_params`.
    """
    arrays = read_arrays(path)
    _parameters(path, list(arrays))
    arg_params, aux_params = ({name[4:]: array for name, array in arrays.items()
                               if name.startswith(kind)} for kind in ('arg:', 'aux:'))
    return arg_params, aux_params


def read_arrays(path: str) -> dict[str, Array]:
    """Read any file of named arrays without MXNet, as `mx.nd.save` writes a dict."""
    with named(path), open(path, 'rb') as stream:
        entries, names, checksum = _walk(_Reader(stream))
        _refuse(path, _repeated(names))
        if checksum not in (None, _checksum(path)):
            raise ValueError('its checksum does not match')
        return {name: _array(stream, entry) for name, entry in zip(names, entries)}


def _parameters(path: str, names: list[str]) -> None:
    """Refuse names that are not those of parameters."""
    _refuse(path, ['%s begins with neither arg: nor aux:' % name for name in names
                   if not name.startswith(('arg:', 'aux:'))] + _repeated(names))


def _repeated(names: list[str]) -> list[str]:
    if len(set(names)) == len(names):
        return []
    return ['%s is there twice' % name for name in sorted(set(names)) if names.count(name) > 1]


def _refuse(path: str, faults: list[str]) -> None:
    if faults:
        raise CheckpointError('%s is no file of parameters: %s' % (path, '; '.join(faults)))


def _walk(reader: _Reader) -> tuple[list[_Entry], list[str], int | None]:
    """Where the arrays are, their names, and the checksum if there is one."""
    if reader.number('Q', 'the header') != _LIST_MAGIC:
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


def _entry(reader: _Reader, what: str) -> _Entry:
    magic = reader.number('I', what)
    storage = reader.number('i', what) if magic in (_V2, _V3) else _DENSE
    if storage not in (_DENSE, _ROW_SPARSE, _CSR):
        raise ValueError('%s has the unknown kind of storage %d' % (what, storage))

    def shape() -> tuple[int, ...]:
        if magic in (_V1, _V2, _V3):
            rank, form = reader.number('i', what), 'q'
        else:
            rank, form = magic, 'I'
        least = 0 if magic == _V3 else 1  # a rank below it means an array that was never filled
        if not least <= rank <= _MOST_DIMENSIONS:
            raise ValueError('%s has the rank %d' % (what, rank))
        sizes = tuple(reader.number(form, what) for _ in range(rank))
        if min(sizes, default=0) < 0:
            raise ValueError('%s has the shape %s' % (what, sizes))
        return sizes

    def dtype() -> np.dtype:
        number = reader.number('i', what)
        if number not in _TYPES:
            raise ValueError('%s has the unknown type %d' % (what, number))
        return _TYPES[number]

    stored = shape() if storage else ()
    whole = shape()
    reader.skip(8, what)  # the device, which MXNet maps to one that is there
    kind = dtype()
    indices = [(dtype(), shape()) for _ in range(storage)]  # one array, or two for CSR
    fits = True
    if storage == _DENSE:
        stored = whole
    else:  # MXNet may write 0 for what is stored, where it is still computed; the indices are right
        count = indices[-1][1]
        fits = stored[:1] in ((0,), count) and len(count) == 1
        if storage == _ROW_SPARSE:
            fits = fits and stored[1:] == whole[1:] and count <= whole[:1]
        else:
            fits = fits and len(stored) == 1 and indices[0][1] == (whole[0] + 1,)
        stored = count + stored[1:]
    if not fits:
        raise ValueError('%s has indices that do not fit its shape %s' % (what, whole))
    parts = []
    for item, sizes in [(kind, stored)] + indices:
        parts.append(_Part(reader.at, item, sizes))
        length = item.itemsize
        for size in sizes:  # of any size, where NumPy's integers would wrap
            length *= size
        reader.skip(length, what)
    return _Entry(storage, whole, parts)


def _array(stream: BinaryIO, entry: _Entry) -> Array:
    found = []
    for at, dtype, shape in entry.parts:
        stream.seek(at)
        count = int(np.prod(shape, dtype=np.int64))
        found.append(np.fromfile(stream, dtype, count).reshape(shape))
    if entry.storage == _DENSE:
        return found[0]
    if entry.storage == _ROW_SPARSE:
        return SparseArray('row_sparse', entry.shape, found[0], found[1])
    return SparseArray('csr', entry.shape, found[0], found[2], found[1])


def write_params(path: str, arg_params: Mapping[str, np.ndarray],
                 aux_params: Mapping[str, np.ndarray]) -> None:
    """Write a file of parameters without MXNet, byte for byte as `mx.model.save_checkpoint` does.

    Parameters
    ----------
    path : str
        The file, which is written in place.
    arg_params, aux_params : dict of str to numpy.ndarray
        Dense arrays of at least one dimension, of the types that MXNet has.

    Raises
    ------
    ValueError, TypeError
        An array that such a file cannot hold. Nothing is written then.
    """
    write_arrays(path, {**{'arg:' + name: array for name, array in arg_params.items()},
                        **{'aux:' + name: array for name, array in aux_params.items()}})


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write any file of named dense arrays without MXNet, as `mx.nd.save` writes a dict."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.newbyteorder('<') not in _NUMBERS:
            raise TypeError('%s must be a NumPy array of one of the types %s, got %s' % (
                name, ', '.join(str(kind) for kind in _TYPES.values()),
                getattr(array, 'dtype', type(array).__name__)))
        if not 1 <= array.ndim <= _MOST_DIMENSIONS or not array.size:
            raise ValueError('%s must have elements and at least one dimension, got the shape %s'
                             % (name, array.shape))
    with open(path, 'wb') as stream:
        stream.write(struct.pack('<QQQ', _LIST_MAGIC, 0, len(arrays)))
        for array in arrays.values():
            dtype = array.dtype.newbyteorder('<')
            stream.write(struct.pack('<Iii%dqiii' % array.ndim, _V2, _DENSE, array.ndim,
                                     *array.shape, 1, 0, _NUMBERS[dtype]))  # 1, 0: cpu(0)
            np.ascontiguousarray(array, dtype).tofile(stream)
        stream.write(struct.pack('<Q', len(arrays)))
        for name in arrays:
            text = name.encode('utf-8')
            stream.write(struct.pack('<Q', len(text)) + text)
