"""The axes for batch and time in the arrays of an ONNX file with states."""
from __future__ import annotations

import math
from typing import NoReturn, Sequence

import numpy as np

__all__ = ['KEY', 'Layout', 'axes_in_words', 'axes_of_caller', 'refuse_axes']


#: The key for the table of states in the metadata of an ONNX file.
KEY = 'mxrnn.states'


def axes_in_words(axes: Sequence[str | int]) -> str:
    """Axes as text, such as 'batch*time x 6'."""
    return ' x '.join(str(axis).replace(',', '*') for axis in axes)


def axes_of_caller(axes: Sequence[str | int], steps: bool) -> list[str | int]:
    """The axes of an array that a caller passes for several `steps`, or for one."""
    joined = [str(axis).split(',') for axis in axes]
    return [*(name for name in ('batch', 'time')[:1 + steps] if name in sum(joined, [])), *(
        axis for axis, names in zip(axes, joined) if not {'batch', 'time'} & {*names})]


def refuse_axes(call: str, name: str, array: np.ndarray, axes: Sequence[str | int], batch: int
                ) -> NoReturn:
    """Refuse an array of a caller that does not have these axes, or another batch."""
    raise ValueError('%s must have the axes (%s) in %s, with a batch of %d, got the shape %s' % (
        name, ', '.join(map(str, axes)), call, batch, array.shape))


class Layout:
    """The axes for batch and time in one of the file's arrays. For the caller, the batch comes
    first, followed by time if there is time.

    Parameters
    ----------
    axes : list
        For each axis 'batch', 'time', 'batch,time' or 'time,batch' (both in one), another name, or
        a number.
    """

    def __init__(self, axes: Sequence[str | int]) -> None:
        names = [str(axis).split(',') for axis in axes]
        self.time = next((at for at, name in enumerate(names) if 'time' in name), None)
        rest = [at for at in range(len(names)) if at != self.time]
        self.batch = next((at for at in rest if 'batch' in names[at]), rest[0] if rest else None)
        #: The products of the numbers before and behind 'batch' in its axis: one sequence has that
        #: many rows, for instance with several heads of attention.
        own = next((name for name in names if 'batch' in name), ['batch'])
        numbers = [int(each) if each.isdigit() else 1 for each in own]
        middle = own.index('batch')
        self.rows = math.prod(numbers[:middle]), math.prod(numbers[middle:])
        #: The number of axes before the one that holds batch and time, and the order of the two.
        self.joined = None
        places = [at for at in (self.batch, self.time) if at is not None]
        if self.time is not None and len(names[self.time]) == 2:
            at, late = self.time, names[self.time][1] == 'time'
            self.joined, self.batch = (at, late), at
            places = [at, at + 1] if late else [at + 1, at]
        self._places, self._first = tuple(places), tuple(range(len(places)))
        self._plain = self.joined is None and self._places == self._first
        late_time = self._places == (1, 0) and self.joined is None
        #: The indices that turn one step of the caller's into the file's, and back.
        self.one_in: tuple[slice | None, ...] = (
            () if self.time is None else (None,) if late_time else (slice(None), None))
        self.one_out: tuple[slice | int, ...] = (
            () if self.time is None or self.joined is not None else
            (0,) if late_time else (slice(None), 0))
        #: Whether the indices are all that is needed.
        self.simple = self._places in ((), (0,), (0, 1), (1, 0)) and (
            self.joined is None or self.joined[0] == 0)

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """The caller's array in the file's layout."""
        array = array if self._plain else np.moveaxis(array, self._first, self._places)
        if self.joined is not None:
            at = self.joined[0]
            array = array.reshape((*array.shape[:at], -1, *array.shape[at + 2:]))
        return array

    def by_sequence(self, array: np.ndarray, at: int) -> np.ndarray:
        """A view of an array with batch axis `at`, with its sequences first."""
        before, behind = self.rows
        return np.moveaxis(array.reshape((*array.shape[:at], before, -1, behind,
                                          *array.shape[at + 1:])), at + 1, 0)

    def taken(self, array: np.ndarray, at: int, chosen: np.ndarray) -> np.ndarray:
        """A copy of the `chosen` sequences of such an array."""
        found = np.moveaxis(self.by_sequence(array, at)[chosen], 0, at + 1)
        return found.reshape((*array.shape[:at], -1, *array.shape[at + 1:]))

    def to_caller(self, array: np.ndarray, length: int) -> np.ndarray:
        """The file's array in the caller's layout."""
        if self.joined is not None:
            at, late = self.joined
            rows = array.shape[at] // max(length, 1)
            array = array.reshape(array.shape[:at] + (
                (rows, length) if late else (length, rows)) + array.shape[at + 1:])
        return array if self._plain else np.moveaxis(array, self._places, self._first)
