"""Reading pickles that strangers may have written: only what is named here is built or called.

A pickle is a program: it names callables and has them called. The states of optimisers are
pickles, since that is how MXNet writes them. This reader looks every name up in a table, imports
nothing and follows no attributes. A name that is not in the table is refused before anything is
called.
"""
from __future__ import annotations

import io
import pickle
from typing import Any, Iterable, Iterator

import numpy as np

from .._runtime.mxnet import mx
from .allowed import (
    NO_ELEMENTS,
    PLAIN,
    bases,
    check_type_state,
    kinds_of_array,
    named_things,
    plain_things,
    subclasses,
    things_of_mxnet,
)

__all__ = ['load_all']

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
    trusted = named_things(further)
    names = {**plain_things(), **things_of_mxnet(arrays), **trusted}
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        value = _Unpickler(stream, names, trusted.values(), placeholders).load()
        if any(type(array) not in kinds_of_array() for array in arrays):
            raise pickle.UnpicklingError(NO_ELEMENTS)
        yield value


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined, misc, unused-ignore]
    """Python's reader in Python, since that in C does not let BUILD be looked over."""

    def __init__(self, stream: io.BytesIO, names: dict[tuple[str, str], Any],
                 further: Iterable[Any], placeholders: bool) -> None:
        super().__init__(stream)
        self._names, self._further, self._placeholders = names, further, placeholders
        self._filled: list[np.ndarray[Any, Any]] = []
        #: By the id of a tuple that has tuples in it: how deep they go, and the tuple.
        self._depths: dict[int, tuple[int, Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]
        if self._placeholders and (module, name) in {
                (kind.__module__, kind.__qualname__) for kind in subclasses(bases())}:
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
        kind, args, named = self.stack[-3:]  # type: ignore[attr-defined, unused-ignore]
        _check_called(kind, args, named)
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
            check_type_state(thing, state)
        elif type(thing) in kinds_of_array() or any(thing is each for each in self._filled):
            raise pickle.UnpicklingError('it changes an array that is made already')
        elif isinstance(thing, np.ndarray):  # a second time would free what others may look at
            self._filled.append(thing)
        elif isinstance(thing, type) or any(thing is each for each in self._names.values()):
            raise pickle.UnpicklingError('it sets attributes of %s' % thing.__qualname__)
        else:
            _check_attributes(state)
        super().load_build()  # type: ignore[misc, unused-ignore]

    def load_setitem(self) -> None:
        self._check_filled(self.stack[-3], dict)  # type: ignore[attr-defined, unused-ignore]
        super().load_setitem()  # type: ignore[misc, unused-ignore]

    def load_setitems(self) -> None:
        self._check_filled(self._before_mark(), dict)
        super().load_setitems()  # type: ignore[misc, unused-ignore]

    def load_append(self) -> None:
        self._check_filled(self.stack[-2], list)  # type: ignore[attr-defined, unused-ignore]
        super().load_append()  # type: ignore[misc, unused-ignore]

    def load_appends(self) -> None:
        self._check_filled(self._before_mark(), list)
        super().load_appends()  # type: ignore[misc, unused-ignore]

    def load_additems(self) -> None:
        self._check_filled(self._before_mark(), set)
        super().load_additems()  # type: ignore[misc, unused-ignore]

    def _check_filled(self, thing: Any, kind: type) -> None:
        """Refuse to put items into anything but a container of this kind, or what the program
        trusts: MXNet writes into its arrays wherever an index points, and a method may be an
        attribute that the file has set."""
        known = isinstance(thing, kind) or any(type(thing) is each for each in self._further)
        attributes = set(getattr(thing, '__dict__', ()))
        if not known or attributes & {'append', 'extend', 'add', 'update'}:
            raise pickle.UnpicklingError('it puts items into a %s' % type(thing).__name__)

    def _before_mark(self) -> Any:
        return self.metastack[-1][-1]  # type: ignore[attr-defined, unused-ignore]

    dispatch = {**pickle._Unpickler.dispatch,  # type: ignore[attr-defined, unused-ignore]
                pickle.REDUCE[0]: load_reduce,  # type: ignore[dict-item, unused-ignore]
                pickle.NEWOBJ[0]: load_newobj,  # type: ignore[dict-item, unused-ignore]
                pickle.NEWOBJ_EX[0]: load_newobj_ex,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE[0]: load_tuple,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE1[0]: load_tuple1,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE2[0]: load_tuple2,  # type: ignore[dict-item, unused-ignore]
                pickle.TUPLE3[0]: load_tuple3,  # type: ignore[dict-item, unused-ignore]
                pickle.SETITEM[0]: load_setitem,  # type: ignore[dict-item, unused-ignore]
                pickle.SETITEMS[0]: load_setitems,  # type: ignore[dict-item, unused-ignore]
                pickle.APPEND[0]: load_append,  # type: ignore[dict-item, unused-ignore]
                pickle.APPENDS[0]: load_appends,  # type: ignore[dict-item, unused-ignore]
                pickle.ADDITEMS[0]: load_additems,  # type: ignore[dict-item, unused-ignore]
                pickle.BUILD[0]: load_build}  # type: ignore[dict-item, unused-ignore]


def _check_called(thing: Any, args: Any, named: Any = None) -> None:
    """Refuse calls that no pickle needs.

    NumPy's classes, which are in the table as values, would make arrays of any memory, of objects
    too: pickles of arrays and numbers call functions of NumPy instead. Python's classes would ask
    an array of MXNet for its elements, and one that is sparse has no end of them.
    """
    if type(args) not in (tuple, list) or type(named) not in (type(None), dict):
        raise pickle.UnpicklingError('it gives a %s as arguments' % type(args).__name__)
    if isinstance(thing, type) and issubclass(thing, (np.ndarray, np.generic)):
        raise pickle.UnpicklingError('it calls numpy.%s' % thing.__name__)
    if any(thing is each for each in PLAIN):
        asked = [*args, *(named or {}).values()]
        if issubclass(thing, dict):  # asks each item for its two parts
            asked += [item for arg in asked if isinstance(arg, (list, tuple, set, frozenset, dict))
                      for item in arg]
        if any(isinstance(each, mx.nd.NDArray) for each in asked):
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
