"""Where the outputs of a network have the batch and the time."""
from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

__all__ = ['OutputAxes', 'output_axes']

#: Batch sizes that no other axis is likely to have.
_ROWS = (1009, 1013)


class OutputAxes(NamedTuple):
    """The axes of an output: of the batch, and of the time if it has one.

    The two are the same axis where batch and time are joined.
    """

    batch: int
    time: int | None

    def by_row(self, output: np.ndarray, rows: int, length: int, time: int) -> np.ndarray:
        """`output` with the batch first and the time, if there is one, next.

        `time` is the axis of time in the network's data, which says how the two are joined.
        """
        if self.time is None:
            return np.moveaxis(output, self.batch, 0)
        if self.time != self.batch:
            return np.moveaxis(output, (self.batch, self.time), (0, 1))
        both = (rows, length) if time == 1 else (length, rows)
        shape = output.shape[:self.batch] + both + output.shape[self.batch + 1:]
        axes = (self.batch, self.batch + 1)
        return np.moveaxis(output.reshape(shape), axes if time == 1 else axes[::-1], (0, 1))

    def without_padding(self, row: np.ndarray, length: int) -> np.ndarray:
        """A copy of what one sequence of this length gives."""
        return np.array(row if self.time is None else row[:length])


def output_axes(shapes: Callable[[int, int], list[tuple[int, ...]]], length: int
                ) -> list[OutputAxes]:
    """The axes of each output.

    Parameters
    ----------
    shapes : callable
        ``shapes(more, rows)`` gives the shapes of the outputs for `rows` sequences of `length`
        steps, or of one step more if `more` is 1.
    length : int
        Number of steps.
    """
    found = []
    few, many, longer = shapes(0, _ROWS[0]), shapes(0, _ROWS[1]), shapes(1, _ROWS[0])
    for number, (shape, other, longest) in enumerate(zip(few, many, longer)):
        batch = [i for i, size in enumerate(shape) if size != other[i]]
        if len(batch) != 1 or shape[batch[0]] not in (_ROWS[0], _ROWS[0] * length):
            raise ValueError('each output of network must have one axis of the batch, alone or '
                             'joined with that of the time, got the shape %s for %d sequences of '
                             '%d steps in output %d' % (shape, _ROWS[0], length, number))
        time = [i for i, size in enumerate(shape) if longest[i:i + 1] != (size,)]
        steps = [i for i in time if shape[i] == (length if i not in batch else _ROWS[0] * length)]
        # What is neither one step for each of the input nor independent of them comes whole.
        found.append(OutputAxes(batch[0], steps[0] if len(time) == len(steps) == 1 else None))
    return found
