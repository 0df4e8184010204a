"""Graphs of sequences that run in steps: which outputs can, and the axes of arrays of steps."""
from __future__ import annotations

import contextlib
import math
from typing import Container, Mapping, NoReturn, Sequence

import numpy as np

from ..._graph.graph import Entry, Graph
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import begin_states
from ..._graph.rolling import Finding, unrolled
from ..._graph.shapes.missing_shapes import Named
from ..._graph.stepping import StateError, Stepped, with_states
from ..registry import ExportError
from .begin_state_rows import moved
from .input_shapes import as_options
from .lengths import Settled

__all__ = ['KEY', 'LEFT_OUT', 'Layout', 'StepsError', 'axes_in_words', 'axes_of_caller',
           'chosen_for_steps', 'in_steps', 'places_in_steps', 'refuse_axes']

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


#: The note on outputs that a file of steps leaves out.
LEFT_OUT = 'left out, each a loss, a state or an output of BlockGrad: %s'


class StepsError(ExportError):
    """A graph cannot be run in steps. `told` and `advice` are lines; `kind` is a `StateError`'s."""

    def __init__(self, told: Sequence[str], advice: str, kind: str) -> None:
        super().__init__('\n'.join(dict.fromkeys([*told, advice])))
        self.told, self.advice, self.kind = told, advice, kind


def in_steps(graph: Graph, params: Mapping[str, np.ndarray], settled: Settled,
             layers: bool = False, findings: Sequence[Finding] = ()) -> Stepped:
    """A rolled-up graph in steps, as `with_states` makes it.

    `findings` tell what became of its recurrences; `settled` has the sizes of its inputs.

    Raises
    ------
    ExportError
        The graph uses several steps of a sequence at once, or does not tell a shape.
    """
    shapes = {name: settled.shapes[name] for name in graph.needed_variables()
              if name in settled.shapes}
    sizes = {name: np.shape(array) for name, array in params.items()}
    try:
        return with_states(graph, shapes, sizes, layers)
    except StateError as error:
        told, advice = [str(error)], error.advice
        if error.kind == 'fixed':
            told += ['%s: %s' % line for line in settled.lines if line[1] != 'any']
            free = {name: shape for name, shape in _with_names(settled).items()
                    if name in shapes and shape != shapes[name]}
            with contextlib.suppress(StateError):
                with_states(graph, {**shapes, **free}, sizes, layers)
                told.append('A name makes it any: ' + as_options(free))
        if error.kind == 'none':
            told += unrolled(findings)
            advice = advice if told[1:] else (
                'A graph of one step is exported without --states (states=True)')
        raise StepsError(told, advice, error.kind) from None


def _with_names(found: Settled) -> dict[str, Named]:
    """The shapes of inputs, with names for typed numbers of axes that nothing ties."""
    free = {place: axis.label for place, axis in found.tied.items() if not axis.ties}
    return {name: tuple([free.get((name, at), size) for at, size in enumerate(shape)])
            for name, shape in found.shapes.items()}


def places_in_steps(rolled: Graph, params: Container[str]) -> list[int]:
    """The places of the outputs that are to run in steps: of those that are not final states, if
    there are any."""
    return [at for at, head in enumerate(rolled.heads)
            if not _is_state(rolled, head, params)] or [*range(len(rolled.heads))]


def chosen_for_steps(graph: Graph, places: Sequence[int], able: Sequence[int], given: set[str],
                     refusal: ExportError) -> Sequence[int]:
    """The outputs that remain of those at `places`, which cannot run in steps together. If only one
    of them is `able` to, it remains, provided that it reads all inputs whose shapes are `given` and
    the others are losses or have no gradient.

    Raises
    ------
    ExportError
        The refusal of all; its message names those that can be stepped.
    """
    others = [graph.nodes[graph.heads[at].node].op for at in places if at not in able]
    if len(able) == 1 and all(op == 'BlockGrad' or has(op, 'value') for op in others) and (
            given <= {*graph.ending_in([graph.heads[able[0]]]).arguments}):
        return able
    if able:  # before what to do if none of them is wanted
        said = 'These can be stepped (outputs)' + ''.join(
            '; add --output ' + graph.outputs[at] for at in able)
        if isinstance(refusal, StepsError):
            raise StepsError([*refusal.told, said], refusal.advice, refusal.kind)
        refusal.args = ('%s\n%s' % (refusal, said),)
    raise refusal


def _is_state(rolled: Graph, entry: Entry, params: Container[str]) -> bool:
    """Whether an array is the final state of a recurrence that begins with inputs."""
    while has(rolled.nodes[entry.node].op, 'moves'):
        entry = rolled.nodes[entry.node].inputs[0]
    node = rolled.nodes[entry.node]
    begins = begin_states(node)
    at = entry.output - (node.num_out_data if node.op == '_foreach' else 1)
    return 0 <= at < len(begins) and any(name not in params for name in moved(rolled, begins[at]))
