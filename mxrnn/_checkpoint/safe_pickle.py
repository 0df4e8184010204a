"""Reads pickles that strangers may have written: it builds and calls only what is listed here.

A pickle is a program: it names callables and calls them. MXNet writes the states of optimisers as
pickles. This reader looks every name up in a table, imports nothing and follows no attributes. A
name or opcode that is not in its table is refused before anything is called. The names in the table
build values and do nothing else. Arrays and types are built by functions of this module, because
NumPy and MXNet would not check the bytes.
"""
from __future__ import annotations

import collections
import ctypes
import io
import pickle
from typing import Any, Callable, Dict, Iterable, Iterator, Sequence, Tuple

import numpy as np

from .. import _check
from .._files import params
from .._runtime.mxnet import mx

__all__ = ['load_all', 'named_things']

#: How deeply tuples may be nested. Python hashes them by a recursion that can overflow the process'
#: stack.
_DEEPEST = 100

#: Python's types that pickles may call.
_PLAIN = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set, slice,
          str, tuple, collections.OrderedDict)

#: The opcodes for values, containers, names, calls and attributes. Those of protocol 0 are in files
#: that MXNet wrote with Python 2. Not listed, and so refused: objects outside the file, registered
#: extensions, copies, and two old ways to call a class.
_OPCODES: tuple[bytes, ...] = tuple(getattr(pickle, name) for name in '''
    PROTO FRAME STOP MARK POP POP_MARK
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET FROZENSET ADDITEMS
    GLOBAL STACK_GLOBAL REDUCE NEWOBJ NEWOBJ_EX BUILD'''.split())

_Names = Dict[Tuple[str, str], Any]  #: classes and functions by module and name
_Step = Callable[['_Unpickler'], None]  #: what a reader, its argument, does for an opcode

#: Python's reader written in Python, because the one in C does not let BUILD be checked.
_Python: Any = vars(pickle)['_Unpickler']

#: MXNet's classes of arrays, with their forms of storage in MXNet and in files.
_KINDS_OF_ARRAY = {mx.nd.NDArray: ('default', params.DENSE),
                   mx.nd.sparse.CSRNDArray: ('csr', params.CSR),
                   mx.nd.sparse.RowSparseNDArray: ('row_sparse', params.ROW_SPARSE)}
_BASES = mx.optimizer.Optimizer, mx.lr_scheduler.LRScheduler

_NO_ELEMENTS = 'it makes an array without its elements'


def _type_of_numbers(name: object, align: object = False, copy: object = False) -> np.dtype:
    """Replaces `numpy.dtype`: makes types of numbers, bools and strings.

    Other types may claim that they hold no objects although they do. An array's bytes would then be
    used as addresses.
    """
    kind = np.dtype(name) if isinstance(name, str) else None
    if kind is None or kind.kind not in 'biufcSU' or kind.subdtype or kind.names:
        raise pickle.UnpicklingError('it has the type %.80r; allowed are types of numbers, bools '
                                     'and strings' % (name,))
    return np.dtype(kind, copy=True)  # BUILD changes it, so it must not be NumPy's own


def _check_type_state(kind: np.dtype, state: object) -> None:
    """Refuse to change anything of a type except its order of bytes."""
    own: Any = kind.__reduce__()[2]  # type: ignore[index]
    orders = '|' if own[1] == '|' else '<>='
    if not (isinstance(state, tuple) and len(state) == len(own)
            and all(type(given) is type(has) for given, has in zip(state, own))
            and state[1] in tuple(orders) and (state[0], *state[2:]) == (own[0], *own[2:])):
        raise pickle.UnpicklingError('it changes the type %s' % kind)


def _empty_array(kind: object, shape: object, name: object) -> np.ndarray:
    """Replaces NumPy's `_reconstruct`, which leaves in an array whatever the memory contains.

    Pickles make an array without elements by it; BUILD then sets the array's type and bytes.
    """
    if kind is not np.ndarray or shape != (0,) or name != b'b':
        raise pickle.UnpicklingError(_NO_ELEMENTS)
    return np.empty(0, np.int8)


def _array_of_bytes(buffer: object, *args: object) -> np.ndarray:
    """Replaces NumPy's `_frombuffer`, which would take any object's memory."""
    if type(buffer) not in (bytes, bytearray):
        raise pickle.UnpicklingError('it makes an array over another object, %s'
                                     % type(buffer).__name__)
    build: Any = np.empty(1).__reduce_ex__(5)[0]
    return build(buffer, *args)


def _checked_array(kind: Any, made: list[mx.nd.NDArray]) -> type:
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
                raise pickle.UnpicklingError(_NO_ELEMENTS)
            params.check_array(bytes(content), _KINDS_OF_ARRAY[kind][1])
            array: Any = self
            zero = kind(array.handle)
            array.handle, array.__class__ = None, kind
            del zero  # frees it
            array.__setstate__({'handle': bytearray(content)})

    return Array


def _handle_of_zero(kind: type[mx.nd.NDArray]) -> ctypes.c_void_p | None:
    """The handle of an array with one zero; the caller frees it."""
    zero = mx.nd.zeros((1, 1), stype=_KINDS_OF_ARRAY[kind][0])
    handle, zero.handle = zero.handle, None
    return handle


def load_all(content: bytes, further: Iterable[object] = (), placeholders: bool = False
             ) -> Iterator[object]:
    """Yield the values of the pickles in `content`, which follow one another.

    Parameters
    ----------
    content : bytes
        Only pickles.
    further : iterable of class or function
        What may be built or called in addition to NumPy's arrays, MXNet's arrays, optimisers and
        schedulers, and plain containers.
    placeholders : bool
        Whether the program's own optimisers and schedulers are read as objects that do nothing. A
        module's optimiser decides later which of them may be built.

    Raises
    ------
    pickle.UnpicklingError
        A name is not allowed.
    """
    arrays: list[mx.nd.NDArray] = []
    trusted = named_things(further)
    names = {**_plain_things(), **_things_of_mxnet(arrays), **trusted}
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        value = _Unpickler(stream, names, trusted.values(), placeholders).load()
        if any(type(array) not in _KINDS_OF_ARRAY for array in arrays):
            raise pickle.UnpicklingError(_NO_ELEMENTS)
        yield value


def named_things(things: Iterable[object]) -> _Names:
    """The classes and functions `things`, by their names in pickles."""
    found = {}
    for thing in things:
        if not callable(thing) or not hasattr(thing, '__qualname__'):
            _check.instance('each of trusted', thing, (), 'a class or a function')
        found[thing.__module__, getattr(thing, '__qualname__', '')] = thing
    return found


class _Unpickler(_Python):
    def __init__(self, stream: io.BytesIO, names: _Names, further: Iterable[object],
                 placeholders: bool) -> None:
        super().__init__(stream)
        self._names, self._further, self._placeholders = names, further, placeholders
        self._filled: list[np.ndarray] = []
        #: By the id of a tuple that contains tuples: its depth, and the tuple.
        self._depths: dict[int, tuple[int, object]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]
        if self._placeholders and (module, name) in {
                (kind.__module__, kind.__qualname__) for kind in _subclasses(_BASES)}:
            return _Placeholder
        raise pickle.UnpicklingError(
            'it names %s.%s, which is not allowed in the states of an optimiser. If the file is '
            'yours and %s is part of its optimiser, pass it in trusted=' % (module, name, name))

    def check_depth(self) -> None:
        """Refuse the tuple or slice on top of the stack if it is nested too deeply."""
        made = self.stack[-1]
        items = (made.start, made.stop, made.step) if isinstance(made, slice) else made
        if not isinstance(items, tuple):
            return
        depths = [self._depths.get(id(item), (1, None))[0] for item in items
                  if isinstance(item, (tuple, slice))]
        if depths:
            self._depths[id(made)] = 1 + max(depths), made
            if max(depths) >= _DEEPEST:
                raise pickle.UnpicklingError('it nests tuples more than %d deep' % _DEEPEST)

    def check_state(self) -> None:
        """Refuse a state that changes a finished array or an object from outside the file."""
        thing, state = self.stack[-2:]
        if isinstance(thing, np.dtype):
            _check_type_state(thing, state)
        elif type(thing) in _KINDS_OF_ARRAY or any(thing is each for each in self._filled):
            raise pickle.UnpicklingError('it changes an array that is already made')
        elif isinstance(thing, np.ndarray):  # a second time would free memory that is in use
            self._filled.append(thing)
        elif isinstance(thing, type) or any(thing is each for each in self._names.values()):
            raise pickle.UnpicklingError('it sets attributes of %s' % thing.__qualname__)
        else:
            _check_attributes(state)

    def check_container(self, thing: object, kind: type) -> None:
        """Refuse to put items into anything but a container of this kind, or an object that the
        program trusts. MXNet writes into its arrays wherever an index points, and the file may have
        replaced an object's method by an attribute."""
        known = isinstance(thing, kind) or any(type(thing) is each for each in self._further)
        attributes = set(getattr(thing, '__dict__', ()))
        if not known or attributes & {'append', 'extend', 'add', 'update'}:
            raise pickle.UnpicklingError('it puts items into a %s' % type(thing).__name__)


class _Steps(Dict[int, _Step]):
    """By opcode, what a reader does for it."""

    def __missing__(self, opcode: int) -> _Step:
        raise pickle.UnpicklingError('it has the opcode %r, which is not allowed in the states of '
                                     'an optimiser' % bytes([opcode]))


def _steps() -> _Steps:
    """Python's own steps for the allowed opcodes, with our checks before and after."""
    kind = _Unpickler
    before: dict[bytes, _Step] = {
        pickle.REDUCE: lambda reader: _check_called(*reader.stack[-2:]),
        pickle.NEWOBJ: lambda reader: _check_called(*reader.stack[-2:]),
        pickle.NEWOBJ_EX: lambda reader: _check_called(*reader.stack[-3:]),
        pickle.BUILD: kind.check_state,
        pickle.SETITEM: lambda reader: reader.check_container(reader.stack[-3], dict),
        pickle.APPEND: lambda reader: reader.check_container(reader.stack[-2], list),
        pickle.SETITEMS: lambda reader: reader.check_container(reader.metastack[-1][-1], dict),
        pickle.APPENDS: lambda reader: reader.check_container(reader.metastack[-1][-1], list),
        pickle.ADDITEMS: lambda reader: reader.check_container(reader.metastack[-1][-1], set)}
    after = dict.fromkeys((pickle.REDUCE, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.TUPLE,
                           pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), kind.check_depth)

    def around(opcode: bytes) -> _Step:
        step = _Python.dispatch[opcode[0]]
        acts = [act for act in (before.get(opcode), step, after.get(opcode)) if act is not None]

        def run(reader: _Unpickler) -> None:
            for act in acts:
                act(reader)

        return run if len(acts) > 1 else step

    return _Steps({opcode[0]: around(opcode) for opcode in _OPCODES})


_Unpickler.dispatch = _steps()


def _check_called(thing: object, args: object, named: object = None) -> None:
    """Refuse calls that no pickle needs.

    NumPy's classes are in the table as values, and would make arrays of any memory, even of
    objects; pickles of arrays and numbers call functions of NumPy instead. Python's classes would
    ask an MXNet array for its elements, and a sparse one has no end.
    """
    if not (type(args) in (tuple, list) and isinstance(args, Sequence)
            and (named is None or type(named) is dict)):
        raise pickle.UnpicklingError('it gives a %s as arguments' % type(args).__name__)
    if isinstance(thing, type) and issubclass(thing, (np.ndarray, np.generic)):
        raise pickle.UnpicklingError('it calls numpy.%s' % thing.__name__)
    if isinstance(thing, type) and thing in _PLAIN:
        asked = [*args, *(named or {}).values()]
        if issubclass(thing, dict):  # it asks each item for its two parts
            asked += [item for arg in asked if isinstance(arg, (list, tuple, set, frozenset, dict))
                      for item in arg]
        if any(isinstance(each, mx.nd.NDArray) for each in asked):
            raise pickle.UnpicklingError('it makes a %s of an array' % thing.__name__)


def _check_attributes(state: object) -> None:
    """Refuse a state that would set special attributes, such as ``__class__``."""
    for part in state if isinstance(state, tuple) else (state,):
        for name in part if isinstance(part, dict) else ():
            if isinstance(name, str) and name.startswith('__'):
                raise pickle.UnpicklingError('it sets %.80s' % name)


class _Placeholder:
    """Represents an object of the program that is not built yet."""

    def __new__(cls, *args: object, **kwargs: object) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _plain_things() -> _Names:
    """Plain containers, and NumPy's arrays and numbers."""
    found: _Names = {(kind.__module__, kind.__name__): kind for kind in _PLAIN}
    for core in ('numpy.core', 'numpy._core'):  # before NumPy 2, and since
        found[core + '.multiarray', '_reconstruct'] = _empty_array
        found[core + '.multiarray', 'scalar'] = np.float32(0).__reduce__()[0]
        found[core + '.numeric', '_frombuffer'] = _array_of_bytes
    found['numpy', 'ndarray'], found['numpy', 'dtype'] = np.ndarray, _type_of_numbers
    for kind in _subclasses([np.generic]):
        if kind.__module__ == 'numpy':
            found['numpy', kind.__name__] = kind
    return found


def _subclasses(kinds: Iterable[type]) -> Iterator[type]:
    for kind in kinds:
        yield kind
        yield from _subclasses(kind.__subclasses__())


def _things_of_mxnet(made: list[mx.nd.NDArray]) -> _Names:
    """MXNet's arrays, optimisers and schedulers. Each new array is added to `made`."""
    found: _Names = {}
    for kind in _subclasses(_BASES):
        if kind.__module__.partition('.')[0] == 'mxnet':
            found[kind.__module__, kind.__qualname__] = kind
    for kind in _KINDS_OF_ARRAY:
        found[kind.__module__, kind.__qualname__] = _checked_array(kind, made)
    return found
