"""An exported file that is ready to run. One with states runs in chunks, but looks like others."""
from __future__ import annotations

from typing import Any, Callable, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..prepare.steps import Layout
from .reference import Data

__all__ = ['ExportedFile', 'Input', 'in_chunks']

#: An input's name, shape (a name stands for any size) and type.
Input = Tuple[str, Sequence[Any], np.dtype]
_Arrays = List[np.ndarray]


class ExportedFile(NamedTuple):
    """A file that is ready to run.

    Attributes
    ----------
    inputs : list of Input
    names : list of str
        Names of the outputs.
    outputs : function
        Computes the outputs from arrays by input name, and from the numbers of steps to run at a
        time if the file has states.
    steps : function or None
        Counts the steps in such arrays; None for a file without states.
    """

    inputs: list[Input]
    names: list[str]
    outputs: Callable[[Data, Sequence[int]], list[np.ndarray]]
    steps: Callable[[Data], int] | None = None


def in_chunks(inputs: list[Input], names: list[str], given: Mapping[str, Layout],
              made: Mapping[str, Layout], begin: Callable[[Data, int], tuple[_Arrays, Any]],
              read: Callable[[Any, Data, int], tuple[Sequence[np.ndarray], Any]]) -> ExportedFile:
    """A file that runs steps, wrapped to run whole sequences.

    Parameters
    ----------
    inputs : list of Input
    names : list of str
        Outputs that are computed before the first step.
    given, made : dict
        The inputs and the outputs of steps.
    begin : function
        Takes all data and the batch size; returns the outputs `names` and the first states.
    read : function
        Takes states, and the inputs of some steps in the caller's layout, and their number; returns
        outputs in that layout, and the next states.
    """
    times = [(name, layout.time) for name, layout in given.items() if layout.time is not None]

    def steps(data: Data) -> int:
        return next(data[name].shape[time] for name, time in times)

    def outputs(data: Data, counts: Sequence[int]) -> list[np.ndarray]:
        length, at, parts = steps(data), 0, []
        arrays = {name: layout.to_caller(data[name], length) for name, layout in given.items()}
        before, states = begin(data, next((len(array) for name, array in arrays.items()
                                           if given[name].batch is not None), 1))
        for count in counts:
            found, states = read(states, {
                name: array if given[name].time is None else array[:, at:at + count]
                for name, array in arrays.items()}, count)
            parts.append(found)
            at += count
        return before + [
            layout.to_file(found[-1] if layout.time is None else np.concatenate(found, 1))
            for layout, found in zip(made.values(), zip(*parts))]
    return ExportedFile(inputs, [*names, *made], outputs, steps)
