"""Files of arrays (``.params``) read into NumPy, and written from it, without MXNet."""
from __future__ import annotations

import struct
from typing import BinaryIO, Mapping, NamedTuple, Union

import numpy as np

from .errors import named
from .format import (
    DENSE,
    LIST_MAGIC,
    MOST_DIMENSIONS,
    ROW_SPARSE,
    TYPES,
    V2,
    Entry,
    checksum_of,
    refuse_names,
    walk,
)

__all__ = ['Array', 'SparseArray', 'read_arrays', 'read_params', 'write_arrays', 'write_params']

_NUMBERS = {kind: number for number, kind in TYPES.items()}


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
    refuse_names(path, list(arrays))
    arg_params, aux_params = ({name[4:]: array for name, array in arrays.items()
                               if name.startswith(kind)} for kind in ('arg:', 'aux:'))
    return arg_params, aux_params


def read_arrays(path: str) -> dict[str, Array]:
    """Read any file of named arrays without MXNet, as `mx.nd.save` writes a dict."""
    with named(path), open(path, 'rb') as stream:
        entries, names, checksum = walk(stream)
        refuse_names(path, names, parameters=False)
        if checksum not in (None, checksum_of(path)):
            raise ValueError('its checksum does not match')
        return {name: _array(stream, entry) for name, entry in zip(names, entries)}


def _array(stream: BinaryIO, entry: Entry) -> Array:
    found = []
    for at, dtype, shape in entry.parts:
        stream.seek(at)
        count = int(np.prod(shape, dtype=np.int64))
        found.append(np.fromfile(stream, dtype, count).reshape(shape))
    if entry.storage == DENSE:
        return found[0]
    if entry.storage == ROW_SPARSE:
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
