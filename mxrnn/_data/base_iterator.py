"""Shared by the iterators: arguments, rows of tokens, batches, and positions to resume from."""
from __future__ import annotations

import ctypes
import sys
import weakref
from typing import Any, Dict, List, Literal, Mapping, Sequence, Tuple, Union

import numpy as np

from .. import _check
from .._graph.graph import warn_of_ids
from .._runtime.array_memory import room
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .corpus import Corpus
from .tokens import Packed, data_type, fits

__all__ = ['Described', 'gather', 'Key', 'part', 'State', 'TokenIter']

#: The module of the public classes, whose names are in positions.
_PUBLIC = tuple(__package__ + '.' + name for name in ('sentences', 'stream'))

Layout = Literal['NT', 'TN', 'NTC', 'TNC']  #: the axes of batch and time

#: For modules: the largest tokens for which the graph has been checked.
_checked: weakref.WeakKeyDictionary[mx.mod.BaseModule, list[dict[str, float]]] = (
    weakref.WeakKeyDictionary())

State = Dict[str, Any]  #: plain values and arrays, which make up positions
Key = Union[int, Tuple[int, ...]]  #: the length of a bucket, or the lengths
Described = Tuple[List[mx.io.DataDesc], List[mx.io.DataDesc]]  #: data and labels


def gather(packed: np.ndarray, starts: np.ndarray, sizes: np.ndarray, steps: int,
           padding: np.generic) -> np.ndarray:
    """Return a row of `steps` numbers for each start and size in `packed`.

    Behind the size is `padding`, a NumPy number of the result's type.
    """
    starts, sizes = starts.astype(np.intp, copy=False), sizes.astype(np.intp, copy=False)
    last = packed.size - steps  # where the last full row begins
    if last < 0:  # all sequences together are shorter than a row
        packed, last = np.append(packed, np.zeros(-last, packed.dtype)), 0
    # All possible rows of `steps` numbers, as a view. Taking some of them copies runs of memory,
    # which is several times as fast as picking single numbers.
    runs: np.ndarray = np.ndarray((last + 1, steps), packed.dtype, packed, 0, packed.strides * 2)
    begins = np.minimum(starts, last)
    # The rows are spread over the memory. Reading one number at each end lets the processor fetch
    # many rows at the same time; the copies below would wait for one after the other.
    packed.take(begins)
    packed.take(begins + (steps - 1))
    rows = runs[begins].astype(padding.dtype, copy=False)
    behind = starts > last
    for i in np.flatnonzero(behind) if behind.any() else ():
        end = packed[starts[i]:]
        rows[i, :end.size] = end
    missing = steps - np.minimum(sizes, steps)
    ends = missing.cumsum()
    if missing.any():  # number by number, because each row has few
        before = np.arange(steps, rows.size + 1, steps) - ends
        rows.reshape(-1)[before.repeat(missing) + np.arange(ends[-1])] = padding
    return rows


def part(array: mx.nd.NDArray, i: int) -> mx.nd.NDArray:
    """The view ``array[i]``, in a third of the time."""
    handle = mx.base.NDArrayHandle()
    mx.base.check_call(mx.base._LIB.MXNDArrayAt(array.handle, ctypes.c_uint(i),
                                                ctypes.byref(handle)))
    return mx.nd.NDArray(handle)


class TokenIter(mx.io.DataIter):
    """Batches cut from rows of tokens, whose labels are the next tokens."""

    #: Whether row b of a batch continues row b of the batch before.
    continues = False

    curr_idx: int
    label_name: str

    #: Each argument with sequences, by its name.
    _held: dict[str, Corpus | Packed]
    #: The entries of data with tokens, in the order of the arguments.
    _data_names: list[str]

    def __init__(self, batch_size: int, invalid_label: float, names: Mapping[str, str],
                 dtype: _check.DType, layout: str, num_parts: int, part_index: int) -> None:
        super().__init__(_check.integer('batch_size', batch_size, 1, _check.LARGEST))
        self._dtype = data_type('dtype', dtype)
        self._padding = _padding('invalid_label', invalid_label, self._dtype)
        self.invalid_label = invalid_label
        _check_names(names)
        vars(self).update(names)
        self.dtype = dtype
        self.layout = _check.choice('layout', layout, ('NT', 'TN', 'NTC', 'TNC'))
        self.major_axis = layout.find('N')
        self.num_parts = _check.integer('num_parts', num_parts, 1, _check.LARGEST)
        self.part_index = _check.integer('part_index', part_index, 0)
        if self.part_index >= self.num_parts:
            raise ValueError('part_index must be from 0 to %d, because num_parts is %d, got %s'
                             % (self.num_parts - 1, self.num_parts, _check.shown(part_index)))
        self._described: dict[Key, Described] = {}  #: provide_data and provide_label of each length

    def __len__(self) -> int:
        """The number of batches in this epoch."""
        raise NotImplementedError

    def __iter__(self) -> TokenIter:
        # `fit`, `score` and `predict` of a bound module call this.
        caller = sys._getframe(1)
        module = caller.f_locals.get('self')
        self._check_ids_(module)
        if not len(self) and caller.f_code.co_name == 'fit' and hasattr(module, 'binded'):
            raise ValueError("%r has nothing to train on: give a smaller batch_size, or "
                             "last_batch='pad'" % self)
        return self

    def __bool__(self) -> bool:
        return True  # even if an epoch has no batch

    def state_dict(self, batches: int | None = None) -> State:
        """Return the position in the data, from which `load_state_dict` resumes.

        The position is a number of batches in an epoch, and the source of the epoch's order: the
        seed, or the shared generators' states at each `reset`. It takes a few kilobytes, whatever
        the size of the data.

        Parameters
        ----------
        batches : int, optional
            The number of this epoch's batches that are done, if it differs from the number
            returned. When `Module.fit` calls its batch-end callbacks, it has asked for one batch
            more than it has trained; `param.nbatch + 1` are done. `mx.io.PrefetchingIter` asks for
            one more.

        Returns
        -------
        dict
            Of str, numbers, lists and NumPy arrays. All parts of one corpus (`part_index`) have
            equal positions.

        Examples
        --------
        >>> import mxrnn as rnn
        >>> def batches_of():
        ...     return rnn.BucketSentenceIter([[1, 2], [3, 4], [5, 6]], 1, seed=1)
        >>> iterator = batches_of()
        >>> first, position = next(iterator), iterator.state_dict()
        >>> other = batches_of()
        >>> other.load_state_dict(position)
        >>> next(other).data[0].asnumpy().tolist() == next(iterator).data[0].asnumpy().tolist()
        True
        """
        done = (self.curr_idx if batches is None else
                _check.integer('batches', batches, 0, len(self)))
        return {'iterator': self._kind(), 'batches': done, 'settings': self._settings(),
                'data': self._identity(), 'epochs': self._epochs()}

    def load_state_dict(self, state: State) -> None:
        """Resume from a position: the next batch is the one that follows it.

        The orders of all epochs up to this one are drawn again, because each depends on the one
        before. That takes as long as a `reset` for each of them.

        Call this before you put the iterator into a `mx.io.PrefetchingIter`.

        Parameters
        ----------
        state : dict
            The result of `state_dict` of an iterator with the same data and arguments.

        Raises
        ------
        ValueError
            The position is for another iterator, other data or other arguments, such as another
            seed. The message names the difference. The iterator stays where it was.
        """
        _check.instance('state', state, Mapping, 'a dict, as state_dict() returns it')
        lacking = [name for name in ('iterator', 'batches', 'settings', 'data', 'epochs')
                   if name not in state]
        if lacking:
            raise ValueError('state must be the result of state_dict(), but has no %r' % lacking[0])
        if state['iterator'] != self._kind():
            raise ValueError('state must be for a %s, but is for a %s'
                             % (self._kind(), state['iterator']))
        for what, here in (('settings', self._settings()), ('data', self._identity())):
            saved = _check.instance('state[%r]' % what, state[what], Mapping, 'a dict')
            for name in {**here, **saved}:
                if saved.get(name) != here.get(name):
                    raise ValueError('state must be for the same %s, but was saved with %s=%r, and '
                                     'here it is %r' % (what, name, saved.get(name),
                                                        here.get(name)))
        self._go_to(state['batches'], state['epochs'])

    def _kind(self) -> str:
        """Name of the public class, also for a class that a program derived from it."""
        return next(kind.__name__ for kind in type(self).__mro__ if kind.__module__ in _PUBLIC)

    def _settings(self) -> State:
        """The arguments that decide the content and the order of batches."""
        raise NotImplementedError

    def _identity(self) -> State:
        """The values that identify these data."""
        found: State = {}
        for name, held in self._held.items():
            of = name + ' ' if found else ''  # old files have one argument's, without its name
            found.update({of + 'sequences': held.offsets.size - 1, of + 'tokens': held.tokens.size,
                          of + 'checksum': held.checksum})
        return found

    def _check_ids_(self, module: object) -> None:
        """Warn if an Embedding of `module`, once it is bound, has too few rows for the tokens."""
        if not isinstance(module, mx.mod.BaseModule) or not module.binded:
            return
        largest = {name: held.most for name, held in zip(self._data_names, self._held.values())}
        checked = _checked.setdefault(module, [])
        if largest not in checked and isinstance(module.symbol, mx.sym.Symbol):
            checked.append(largest)
            warn_of_ids(graph_of(module.symbol).vocabularies(), largest)

    def _epochs(self) -> list[State]:
        """The generators' state from which this epoch's order was drawn."""
        return []

    def _go_to(self, done: object, epochs: Sequence[State]) -> None:
        """Go to a position, or refuse it and stay."""
        raise NotImplementedError

    def _describe(self, length: Any) -> Described:
        """provide_data and provide_label of a batch of this length."""
        raise NotImplementedError

    def _data_desc(self, name: str, length: int) -> mx.io.DataDesc:
        return mx.io.DataDesc(name, self._shape(length), self._dtype.type, self.layout)

    def _label_desc(self, length: int) -> mx.io.DataDesc:
        return mx.io.DataDesc(self.label_name, self._shape(length), layout=self.layout)

    def _block(self, rows: np.ndarray, shifts: Sequence[int] = (0, 1)) -> mx.nd.NDArray:
        """One array of many batches: for each batch, its rows from each of `shifts` on.

        Shifts 0 and 1 are the data, and as labels the next tokens; `rows` then have one step more
        than either. `rows` is of shape (batches, batch_size, steps + last shift).
        """
        rows = rows if self.major_axis == 0 else rows.swapaxes(1, 2)
        steps = 2 - self.major_axis
        length = rows.shape[steps] - shifts[-1]
        made, memory = room((len(shifts) * len(rows), *self._shape(length)), self._dtype)
        for i, shift in enumerate(shifts):
            part = slice(shift, shift + length)
            memory[i::len(shifts)] = rows[:, :, part] if steps == 2 else rows[:, part]
        return made.as_in_context(mx.context.current_context())

    def _shape(self, length: int) -> tuple[int, int]:
        return (self.batch_size, length) if self.major_axis == 0 else (length, self.batch_size)

    def _batch(self, data: list[mx.nd.NDArray], label: list[mx.nd.NDArray], length: Key,
               pad: int = 0, index: np.ndarray | list[int] | None = None) -> mx.io.DataBatch:
        if length not in self._described:
            self._described[length] = self._describe(length)
        provide_data, provide_label = self._described[length]
        return mx.io.DataBatch(data, label, pad, index, length, provide_data[:], provide_label[:])


def _padding(name: str, value: object, dtype: np.dtype) -> np.generic:
    """Return the padding for data of this type, as a number of the type."""
    if not fits(np.asarray(_check.number(name, value)), dtype):
        raise ValueError('%s must be a number that dtype %s can represent, got %r'
                         % (name, dtype.name, value))
    return dtype.type(value)


def _check_names(names: Mapping[str, object]) -> None:
    """Check that the arrays of a batch have names that differ."""
    for name, value in names.items():
        _check.instance(name, value, str, 'a str')
    for name, value in names.items():
        others = [other for other in names if other != name and names[other] == value]
        if others:
            raise ValueError('%s must differ from %s, got %r for both' % (name, others[0], value))
