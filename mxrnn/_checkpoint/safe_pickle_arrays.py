"""Builds arrays and types from strangers' bytes, which NumPy and MXNet would not check.

The reader of pickles calls these functions instead of NumPy's and MXNet's constructors.
"""
from __future__ import annotations

import ctypes
import pickle
from typing import Any

import numpy as np

from .._files import params
from .._runtime.mxnet import mx

__all__ = ['NO_ELEMENTS', 'array_of_bytes', 'check_type_state', 'checked_array', 'empty_array',
           'kinds_of_array', 'type_of_numbers']

NO_ELEMENTS = 'it makes an array without its elements'


def type_of_numbers(name: object, align: object = False, copy: object = False) -> np.dtype:
    """Replaces `numpy.dtype`: makes types of numbers, bools and strings.

    Other types may claim that they hold no objects although they do. An array's bytes would then be
    used as addresses.
    """
    kind = np.dtype(name) if isinstance(name, str) else None
    if kind is None or kind.kind not in 'biufcSU' or kind.subdtype or kind.names:
        raise pickle.UnpicklingError('it has the type %.80r; allowed are types of numbers, bools '
                                     'and strings' % (name,))
    return np.dtype(kind, copy=True)  # BUILD changes it, so it must not be NumPy's own


def check_type_state(kind: np.dtype, state: object) -> None:
    """Refuse to change anything of a type except its order of bytes."""
    own: Any = kind.__reduce__()[2]  # type: ignore[index]
    orders = '|' if own[1] == '|' else '<>='
    if not (isinstance(state, tuple) and len(state) == len(own)
            and all(type(given) is type(has) for given, has in zip(state, own))
            and state[1] in tuple(orders) and (state[0], *state[2:]) == (own[0], *own[2:])):
        raise pickle.UnpicklingError('it changes the type %s' % kind)


def empty_array(kind: object, shape: object, name: object) -> np.ndarray:
    """Replaces NumPy's `_reconstruct`, which leaves in an array whatever the memory contains.

    Pickles make an array without elements by it; BUILD then sets the array's type and bytes.
    """
    if kind is not np.ndarray or shape != (0,) or name != b'b':
        raise pickle.UnpicklingError(NO_ELEMENTS)
    return np.empty(0, np.int8)


def array_of_bytes(buffer: object, *args: object) -> np.ndarray:
    """Replaces NumPy's `_frombuffer`, which would take any object's memory."""
    if type(buffer) not in (bytes, bytearray):
        raise pickle.UnpicklingError('it makes an array over another object, %s'
                                     % type(buffer).__name__)
    build: Any = np.empty(1).__reduce_ex__(5)[0]
    return build(buffer, *args)


def kinds_of_array() -> dict[type, tuple[str, int]]:
    """MXNet's classes of arrays, with their forms of storage in MXNet and in files."""
    return {mx.nd.NDArray: ('default', params.DENSE),
            mx.nd.sparse.CSRNDArray: ('csr', params.CSR),
            mx.nd.sparse.RowSparseNDArray: ('row_sparse', params.ROW_SPARSE)}


def checked_array(kind: Any, made: list[mx.nd.NDArray]) -> type:
    """Makes an MXNet array from bytes, which MXNet would not check.

    It begins as a single zero. MXNet would follow the address of an array that has none, and
    pickles may use the array before they set its bytes.
    """
    class Array(kind):  # type: ignore[misc]
        __slots__ = ()

        def __new__(cls, handle: None = None) -> Any:
            if handle is not None:
                raise pickle.UnpicklingError('it makes an array of an address')
            array = super().__new__(cls)
            kind.__init__(array, _handle_of_zero(kind))
            made.append(array)
            return array

        def __init__(self, handle: None = None) -> None:
            pass

        def __setstate__(self, state: dict[str, object]) -> None:
            content = state['handle']
            if not isinstance(content, (bytes, bytearray)):
                raise pickle.UnpicklingError(NO_ELEMENTS)
            params.check_array(bytes(content), kinds_of_array()[kind][1])
            array: Any = self
            zero = kind(array.handle)
            array.handle, array.__class__ = None, kind
            del zero  # frees it
            array.__setstate__({'handle': bytearray(content)})

    return Array


def _handle_of_zero(kind: type[mx.nd.NDArray]) -> ctypes.c_void_p | None:
    """The handle of an array with one zero; the caller frees it."""
    zero = mx.nd.zeros((1, 1), stype=kinds_of_array()[kind][0])
    handle, zero.handle = zero.handle, None
    return handle
