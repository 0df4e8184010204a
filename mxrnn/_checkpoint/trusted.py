"""Reading pickles that strangers may have written: only what is named here is built or called.

A pickle is a program: it names callables and has them called. The states of optimisers are
pickles, since that is how MXNet writes them. This reader looks every name up in a table, imports
nothing and follows no attributes. A name that is not in the table is refused before anything is
called. What is in the table builds values and does nothing else.
"""
from __future__ import annotations

import collections
import io
import pickle
from typing import Any, Callable, Iterable, Iterator

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import format

__all__ = ['load_all', 'named_things']

_NO_ELEMENTS = 'it makes an array without its elements'

#: How deep tuples may be nested. Python hashes them by a recursion that nothing stops before the
#: stack of the process overflows.
_DEEPEST = 100


def load_all(content: bytes, further: Iterable[Any] = (), placeholders: bool = False
             ) -> Iterator[Any]:
    """Yield what the pickles in `content` hold, which follow one another.

    Parameters
    ----------
    content : bytes
        Nothing but pickles.
    further : iterable of class or function
        What may be built or called besides NumPy's arrays, MXNet's arrays, optimisers and
        schedulers, and plain containers.
    placeholders : bool
        Whether the program's own optimisers and schedulers are let through, as objects that do
        nothing. Which of them may be built is known when a module has one.

    Raises
    ------
    pickle.UnpicklingError
        A name that is not allowed.
    """
    arrays: list[Any] = []
    names = {**_plain(), **_of_mxnet(arrays), **named_things(further)}
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        value = _Unpickler(stream, names, placeholders).load()
        if any(type(array) not in _arrays() for array in arrays):
            raise pickle.UnpicklingError(_NO_ELEMENTS)
        yield value


def named_things(things: Iterable[Any]) -> dict[tuple[str, str], Any]:
    """The classes and functions `things` by the names that pickles have for them."""
    found = {}
    for thing in things:
        if not (callable(thing) and hasattr(thing, '__qualname__')):
            _check.instance('each of trusted', thing, (), 'a class or a function')
        found[thing.__module__, thing.__qualname__] = thing
    return found


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined, misc, unused-ignore]
    """Python's reader in Python, since that in C does not let BUILD be looked over."""

    def __init__(self, stream: io.BytesIO, names: dict[tuple[str, str], Any], placeholders: bool
                 ) -> None:
        super().__init__(stream)
        self._names, self._placeholders = names, placeholders
        self._filled: list[np.ndarray[Any, Any]] = []
        #: By the id of a tuple that has tuples in it: how deep they go, and the tuple.
        self._depths: dict[int, tuple[int, Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]
        if self._placeholders and (module, name) in {
                (kind.__module__, kind.__qualname__) for kind in _subclasses(_bases())}:
            return _Placeholder
        raise pickle.UnpicklingError(
            'it names %s.%s, which is not allowed in the states of an optimiser; if the file is '
            'yours and %s is part of its optimiser, give it in trusted' % (module, name, name))

    def persistent_load(self, identity: Any) -> Any:
        raise pickle.UnpicklingError('it refers to an object outside of the file')

    def load_reduce(self) -> None:
        _check_called(*self.stack[-2:])  # type: ignore[attr-defined, unused-ignore]
        super().load_reduce()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def load_newobj(self) -> None:
        _check_called(*self.stack[-2:])  # type: ignore[attr-defined, unused-ignore]
        super().load_newobj()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def load_newobj_ex(self) -> None:
        _check_called(*self.stack[-3:-1])  # type: ignore[attr-defined, unused-ignore]
        super().load_newobj_ex()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def _instantiate(self, kind: Any, args: Any) -> None:
        _check_called(kind, args)
        super()._instantiate(kind, args)  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def load_tuple(self) -> None:
        super().load_tuple()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def load_tuple1(self) -> None:
        super().load_tuple1()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def load_tuple2(self) -> None:
        super().load_tuple2()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def load_tuple3(self) -> None:
        super().load_tuple3()  # type: ignore[misc, unused-ignore]
        self._check_depth()

    def _check_depth(self) -> None:
        """Refuse what is on the stack if it is a tuple, or a slice, of too many in each other."""
        made = self.stack[-1]  # type: ignore[attr-defined, unused-ignore]
        items = (made.start, made.stop, made.step) if isinstance(made, slice) else made
        if not isinstance(items, tuple):
            return
        depths = [self._depths.get(id(item), (1, None))[0] for item in items
                  if isinstance(item, (tuple, slice))]
        if depths:
            self._depths[id(made)] = 1 + max(depths), made
            if max(depths) >= _DEEPEST:
                raise pickle.UnpicklingError('it nests tuples more than %d deep' % _DEEPEST)

    def load_build(self) -> None:
        thing, state = self.stack[-2:]  # type: ignore[attr-defined, unused-ignore]
        if isinstance(thing, np.dtype):
            _check_type_state(thing, state)
        elif type(thing) in _arrays() or any(thing is each for each in self._filled):
            raise pickle.UnpicklingError('it changes an array that is made already')
        elif isinstance(thing, np.ndarray):  # a second time would free what others may look at
            self._filled.append(thing)
        elif isinstance(thing, type) or any(thing is each for each in self._names.values()):
            raise pickle.UnpicklingError('it sets attributes of %s' % thing.__qualname__)
        else:
            _check_attributes(state)
        super().load_build()  # type: ignore[misc, unused-ignore]

    dispatch = {**pickle._Unpickler.dispatch,  # type: ignore[attr-defined, unused-ignore]
                pickle.REDUCE[0]: load_reduce,  # type: ignore[dict-item, unused-ignore]
                pickle.NEWOBJ[0]: load_newobj,  # type: ignore[dict-item, unused-ignore]
                pickle.NEWOBJ_EX[0]: load_newobj_ex,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE[0]: load_tuple,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE1[0]: load_tuple1,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE2[0]: load_tuple2,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE3[0]: load_tuple3,  # type: ignore[dict-item, unused-ignore]
                pickle.BUILD[0]: load_build}  # type: ignore[dict-item, unused-ignore]


def _check_called(thing: Any, args: Iterable[Any]) -> None:
    """Refuse calls that no pickle needs.

    NumPy's classes, which are in the table as values, would make arrays of any memory, of objects
    too: pickles of arrays and numbers call functions of NumPy instead. Python's classes would ask
    an array of MXNet for its elements, and a list of one that is sparse has no end.
    """
    if isinstance(thing, type) and issubclass(thing, (np.ndarray, np.generic)):
        raise pickle.UnpicklingError('it calls numpy.%s' % thing.__name__)
    if getattr(thing, '__module__', None) == 'builtins' and any(
            isinstance(arg, mx.nd.NDArray) for arg in args):
        raise pickle.UnpicklingError('it makes a %s of an array' % thing.__name__)


def _check_attributes(state: Any) -> None:
    """Refuse a state that would set what Python or NumPy look at, as ``__class__``."""
    for part in state if isinstance(state, tuple) else (state,):
        for name in part if isinstance(part, dict) else ():
            if isinstance(name, str) and name.startswith('__'):
                raise pickle.UnpicklingError('it sets %.80s' % name)


class _Placeholder:
    """Stands for an object of the program that is not built yet."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _plain() -> dict[tuple[str, str], Any]:
    """Plain containers, and NumPy's arrays and numbers."""
    found: dict[tuple[str, str], Any] = {
        ('builtins', kind.__name__): kind
        for kind in (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set,
                     slice, str, tuple)}
    found['collections', 'OrderedDict'] = collections.OrderedDict
    for core in ('numpy.core', 'numpy._core'):  # before NumPy 2 and since
        found[core + '.multiarray', '_reconstruct'] = _Reconstruct
        found[core + '.multiarray', 'scalar'] = np.float32(0).__reduce__()[0]
        found[core + '.numeric', '_frombuffer'] = _FromBuffer
    found['numpy', 'ndarray'], found['numpy', 'dtype'] = np.ndarray, _Type
    for kind in _subclasses([np.generic]):
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


def _check_type_state(kind: np.dtype[Any], state: Any) -> None:
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
            raise pickle.UnpicklingError(_NO_ELEMENTS)
        return np.empty(0, np.int8)


class _FromBuffer:
    """In the place of NumPy's function of this purpose, which takes memory of any object."""

    def __new__(cls, buffer: Any, *args: Any) -> Any:
        if type(buffer) not in (bytes, bytearray):
            raise pickle.UnpicklingError('it makes an array over another object, %s'
                                         % type(buffer).__name__)
        build: Any = np.empty(1).__reduce_ex__(5)[0]
        return build(buffer, *args)


def _bases() -> list[type]:
    return [mx.optimizer.Optimizer, mx.lr_scheduler.LRScheduler]


def _subclasses(kinds: Iterable[type]) -> Iterator[type]:
    for kind in kinds:
        yield kind
        yield from _subclasses(kind.__subclasses__())


def _arrays() -> dict[type, tuple[str, int]]:
    """MXNet's classes of arrays: how each stores its elements, for MXNet and in files."""
    return {mx.nd.NDArray: ('default', format.DENSE),
            mx.nd.sparse.CSRNDArray: ('csr', format.CSR),
            mx.nd.sparse.RowSparseNDArray: ('row_sparse', format.ROW_SPARSE)}


def _of_mxnet(made: list[Any]) -> dict[tuple[str, str], Any]:
    """MXNet's arrays, optimisers and schedulers. Each array that is begun is added to `made`."""
    found: dict[tuple[str, str], Any] = {}
    for kind in _subclasses(_bases()):
        if kind.__module__.partition('.')[0] == 'mxnet':
            found[kind.__module__, kind.__qualname__] = kind
    for kind in _arrays():
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
                raise pickle.UnpicklingError(_NO_ELEMENTS)
            format.check_array(bytes(content), _arrays()[kind][1])
            array: Any = self
            zero = kind(array.handle)
            array.handle, array.__class__ = None, kind
            del zero  # frees it
            array.__setstate__({'handle': bytearray(content)})

    return Array


def _handle_of_zero(kind: Any) -> Any:
    """The handle of an array of one zero, which nothing else frees."""
    zero = mx.nd.zeros((1, 1), stype=_arrays()[kind][0])
    handle, zero.handle = zero.handle, None
    return handle
