"""Finds the axes of batch and time of a network's outputs, and takes outputs apart."""
from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

__all__ = ['Outputs', 'output_axes']

#: Batch sizes that hardly any other axis has.
_ROWS = (1009, 1013)


class OutputAxes(NamedTuple):
    """The axes of an output: the batch axis, and the axes with an entry for each step.

    The batch axis is also among the latter if batch and time are joined.
    """

    batch: int
    times: tuple[int, ...]

    @property
    def joined(self) -> bool:
        return self.batch in self.times

    def by_row(self, output: np.ndarray, rows: int, length: int, time_first: bool = False
               ) -> np.ndarray:
        """`output` with the batch first, then the time if that is one axis; if they are joined,
        `time_first` tells how."""
        batch = self.batch
        if self.joined:
            both = (length, rows) if time_first else (rows, length)
            output = output.reshape(output.shape[:batch] + both + output.shape[batch + 1:])
            output = np.moveaxis(output, (batch + time_first, batch + (not time_first)), (0, 1))
        else:
            output = np.moveaxis(output, batch, 0)
        times = self._times()
        return np.moveaxis(output, times[0], 1) if len(times) == 1 else output

    def _times(self) -> list[int]:
        """The axes of time behind the batch, once the batch is the first axis."""
        shift = 1 if self.joined else 0
        return [1] * shift + [axis + (axis < self.batch) + shift for axis in self.times
                              if axis != self.batch]

    def without_padding(self, row: np.ndarray, length: int) -> np.ndarray:
        """A copy of one sequence's part, for a sequence of this length."""
        times = [1] if len(self.times) == 1 else self._times()
        return np.array(row[tuple(slice(length if axis in times else None)
                                  for axis in range(1, row.ndim + 1))])


class Outputs:
    """A network's outputs, and in which of them time comes before the batch."""

    def __init__(self, axes: list[OutputAxes]) -> None:
        self.axes = axes
        self._time_first: dict[int, bool] = {}

    def unknown(self) -> list[int]:
        """The outputs that join batch and time in an order that is not known yet."""
        return [i for i, axes in enumerate(self.axes) if axes.joined and i not in self._time_first]

    def by_row(self, arrays: list[np.ndarray], run_reversed: Callable[[], list[np.ndarray]],
               rows: int, length: int) -> list[np.ndarray]:
        """The outputs `arrays`, with the batch first.

        The graph does not say in which order an output joins batch and time. So `run_reversed`
        runs the same sequences in reverse order. If they are all alike, the order cannot be found
        out and does not matter.
        """
        found = dict(self._time_first)
        unknown = self.unknown()
        again = run_reversed() if unknown else []
        for i in unknown:
            batch_first, time_first = (_deviation(*(
                self.axes[i].by_row(each, rows, length, order)
                for each in (arrays[i], again[i]))) for order in (False, True))
            if min(batch_first, time_first) > 1e-2:
                raise ValueError(
                    'no output of network may depend on the order of sequences in the batch, but '
                    'output %d, which joins batch and time, does. So its rows cannot be assigned '
                    'to sequences' % i)
            found[i] = time_first < batch_first
            if max(batch_first, time_first) > 1e-6 + 10 * min(batch_first, time_first):
                self._time_first[i] = found[i]
        return [axes.by_row(array, rows, length, found.get(i, False))
                for i, (axes, array) in enumerate(zip(self.axes, arrays))]


def _deviation(array: np.ndarray, reverse: np.ndarray) -> float:
    """The largest difference between `array` and `reverse`, reversed, relative to their numbers."""
    one, other = array.astype(np.float64), reverse[::-1].astype(np.float64)
    different = ~((one == other) | np.isnan(one) & np.isnan(other))
    if not different.any():
        return 0.0
    largest = np.abs(one[different] - other[different]).max()
    if not np.isfinite(largest):
        return np.inf
    return float(largest / np.abs(one[np.isfinite(one)]).max())


def output_axes(shapes: Callable[[int, int], list[tuple[int, ...]]], length: int
                ) -> list[OutputAxes]:
    """The axes of each output.

    Parameters
    ----------
    shapes : callable
        ``shapes(more, rows)`` returns the outputs' shapes for `rows` sequences of `length` steps,
        or of one step more if `more` is 1.
    length : int
        Number of steps.
    """
    found = []
    few, many, longer = shapes(0, _ROWS[0]), shapes(0, _ROWS[1]), shapes(1, _ROWS[0])
    for number, (shape, other, longest) in enumerate(zip(few, many, longer)):
        batch = [i for i, size in enumerate(shape) if size != other[i]]
        if len(batch) != 1 or shape[batch[0]] not in (_ROWS[0], _ROWS[0] * length):
            raise ValueError('each output of network must have one axis for the batch, alone or '
                             'joined with the time axis, got the shape %s for %d sequences of '
                             '%d steps in output %d' % (shape, _ROWS[0], length, number))
        time = [i for i, size in enumerate(shape) if longest[i:i + 1] != (size,)]
        steps = [i for i in time if shape[i] == (length if i not in batch else _ROWS[0] * length)]
        # Sizes that depend on the input's steps in another way are not cut.
        found.append(OutputAxes(batch[0], tuple(steps) if len(time) == len(steps) else ()))
    return found
