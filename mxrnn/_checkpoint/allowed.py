"""What the pickles of strangers may name, and what stands there in its place.

What is in these tables builds values and does nothing else.
"""
from __future__ import annotations

import collections
import pickle
from typing import Any, Callable, Iterable, Iterator

import numpy as np

from .. import _check
from .._files import params
from .._runtime.mxnet import mx

__all__ = ['NO_ELEMENTS', 'PLAIN', 'bases', 'check_type_state', 'kinds_of_array', 'named_things',
           'plain_things', 'subclasses', 'things_of_mxnet']

NO_ELEMENTS = 'it makes an array without its elements'

#: Python's types that pickles may call.
PLAIN = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set, slice,
         str, tuple, collections.OrderedDict)


def named_things(things: Iterable[Any]) -> dict[tuple[str, str], Any]:
    """The classes and functions `things` by the names that pickles have for them."""
    found = {}
    for thing in things:
        if not (callable(thing) and hasattr(thing, '__qualname__')):
            _check.instance('each of trusted', thing, (), 'a class or a function')
        found[thing.__module__, thing.__qualname__] = thing
    return found


def plain_things() -> dict[tuple[str, str], Any]:
    """Plain containers, and NumPy's arrays and numbers."""
    found: dict[tuple[str, str], Any] = {
        (kind.__module__, kind.__name__): kind for kind in PLAIN}
    for core in ('numpy.core', 'numpy._core'):  # before NumPy 2 and since
        found[core + '.multiarray', '_reconstruct'] = _Reconstruct
        found[core + '.multiarray', 'scalar'] = np.float32(0).__reduce__()[0]
        found[core + '.numeric', '_frombuffer'] = _FromBuffer
    found['numpy', 'ndarray'], found['numpy', 'dtype'] = np.ndarray, _Type
    for kind in subclasses([np.generic]):
        if kind.__module__ == 'numpy':
            found['numpy', kind.__name__] = kind
    return found


class _Type:
    """In the place of `numpy.dtype`: makes types of numbers, bools and strings.

    Other types can say that they hold no objects while they do. The bytes of an array would then
    be taken for addresses.
    """

    def __new__(cls, name: Any, align: Any = False, copy: Any = False) -> Any:
        kind = np.dtype(name) if type(name) is str else None
        if kind is None or kind.kind not in 'biufcSU' or kind.subdtype or kind.names:
            raise pickle.UnpicklingError('it has the type %.80r; allowed are types of numbers, '
                                         'bools and strings' % (name,))
        return np.dtype(kind, copy=True)  # what BUILD changes must not be NumPy's own


def check_type_state(kind: np.dtype[Any], state: Any) -> None:
    """Refuse to give a type anything but another order of bytes."""
    own: Any = kind.__reduce__()[2]  # type: ignore[index]
    orders = '|' if own[1] == '|' else '<>='
    if not (type(state) is tuple and len(state) == len(own)
            and all(type(given) is type(has) for given, has in zip(state, own))
            and state[1] in tuple(orders) and (state[0], *state[2:]) == (own[0], *own[2:])):
        raise pickle.UnpicklingError('it changes the type %s' % kind)


class _Reconstruct:
    """In the place of NumPy's function of this purpose, which leaves in an array what memory holds.

    Pickles have it make an array without elements, which BUILD then gives its type and bytes.
    """

    def __new__(cls, kind: Any, shape: Any, name: Any) -> Any:
        if kind is not np.ndarray or shape != (0,) or name != b'b':
            raise pickle.UnpicklingError(NO_ELEMENTS)
        return np.empty(0, np.int8)


class _FromBuffer:
    """In the place of NumPy's function of this purpose, which takes memory of any object."""

    def __new__(cls, buffer: Any, *args: Any) -> Any:
        if type(buffer) not in (bytes, bytearray):
            raise pickle.UnpicklingError('it makes an array over another object, %s'
                                         % type(buffer).__name__)
        build: Any = np.empty(1).__reduce_ex__(5)[0]
        return build(buffer, *args)


def bases() -> list[type]:
    return [mx.optimizer.Optimizer, mx.lr_scheduler.LRScheduler]


def subclasses(kinds: Iterable[type]) -> Iterator[type]:
    for kind in kinds:
        yield kind
        yield from subclasses(kind.__subclasses__())


def kinds_of_array() -> dict[type, tuple[str, int]]:
    """MXNet's classes of arrays: how each stores its elements, for MXNet and in files."""
    return {mx.nd.NDArray: ('default', params.DENSE),
            mx.nd.sparse.CSRNDArray: ('csr', params.CSR),
            mx.nd.sparse.RowSparseNDArray: ('row_sparse', params.ROW_SPARSE)}


def things_of_mxnet(made: list[Any]) -> dict[tuple[str, str], Any]:
    """MXNet's arrays, optimisers and schedulers. Each array that is begun is added to `made`."""
    found: dict[tuple[str, str], Any] = {}
    for kind in subclasses(bases()):
        if kind.__module__.partition('.')[0] == 'mxnet':
            found[kind.__module__, kind.__qualname__] = kind
    for kind in kinds_of_array():
        found[kind.__module__, kind.__qualname__] = _checked_array(kind, made)
    return found


def _checked_array(kind: Any, made: list[Any]) -> Callable[..., Any]:
    """Makes an array of MXNet from bytes, which MXNet would take at their word.

    It first is one of a single zero, since MXNet would follow the address of an array that has
    none, and pickles may use what is on their stack before they give it its bytes.
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

        def __setstate__(self, state: Any) -> None:
            content = state['handle']
            if type(content) not in (bytes, bytearray):
                raise pickle.UnpicklingError(NO_ELEMENTS)
            params.check_array(bytes(content), kinds_of_array()[kind][1])
            array: Any = self
            zero = kind(array.handle)
            array.handle, array.__class__ = None, kind
            del zero  # frees it
            array.__setstate__({'handle': bytearray(content)})

    return Array


def _handle_of_zero(kind: Any) -> Any:
    """The handle of an array of one zero, which nothing else frees."""
    zero = mx.nd.zeros((1, 1), stype=kinds_of_array()[kind][0])
    handle, zero.handle = zero.handle, None
    return handle
