"""An ONNX file with states, run step by step in onnxruntime, without MXNet."""
from __future__ import annotations

import math
import os
import re
from typing import Any, Callable, List, NoReturn, Sequence, Union

import numpy as np

from ... import _check
from ..prepare.steps import Layout, axes_of_caller, refuse_axes
from .onnx_session import Opened, inputs_of, opened

__all__ = ['OnnxStepper', 'load_stepper']

Arrays = List[np.ndarray]
Outputs = Union[np.ndarray, Arrays]
_asarray = np.asarray


def _array(name: str, value: Any, kind: Any) -> np.ndarray:
    """An input as an array."""
    try:
        given = _asarray(value)
        with np.errstate(invalid='ignore'):
            found = given.astype(kind)
    except (TypeError, ValueError):
        raise ValueError('%s must be numbers, in rows of one length (pad them), got %s' % (
            name, _check.shown(value))) from None
    if found.dtype.kind in 'iu' and given.dtype.kind == 'f' and (found != given).any():
        raise ValueError('%s must be whole numbers, got %s' % (
            name, _check.shown(float(given[found != given][0]))))
    return found


def _call(run: Callable[..., Arrays], names: Sequence[str], feeds: dict[str, np.ndarray],
          options: Any = None) -> Arrays:
    """The outputs of a file."""
    try:
        return run(names, feeds, options)
    except Exception as error:  # a class of onnxruntime's own for each kind
        raise ValueError('inputs and states must fit the network, got %s; onnxruntime says: %s' % (
            ', '.join('%s of shape %s and type %s' % (name, array.shape, array.dtype)
                      for name, array in feeds.items()), error)) from None


def load_stepper(path: str, *, threads: int = 1, providers: Sequence[str] | None = None
                 ) -> OnnxStepper:
    """Load a file of ``to_onnx(states=True)`` or ``export --states`` to run it in steps.

    Parameters
    ----------
    path : str
        The file. If it has an encoder, the encoder's file must be in the same folder.
    threads : int
        Number of threads that onnxruntime uses for one call.
    providers : list of str, optional
        Of onnxruntime; the CPU if None.

    Raises
    ------
    ValueError
        The file has no states or is damaged, or onnxruntime cannot load it, for instance with these
        providers.
    OSError
        The file does not exist.
    ImportError
        The package onnxruntime is not installed.
    """
    path = _check.path('path', path)
    file = opened(path, _check.whole('threads', threads, 1), providers)
    if file.table is None:
        whole = re.sub(r'-encoder(\.\w+)$', r'\1', path)
        raise ValueError('%s has no states: %s' % (
            path, 'export the checkpoint with --states, or with to_onnx(..., states=True)'
            if whole == path or not os.path.exists(whole) else
            'load %s, which opens its encoder, too' % whole))
    return OnnxStepper(file)


class OnnxStepper:
    """Run an ONNX file one step at a time, from states to new states, as `mxrnn.Stepper` does.

    States are lists of arrays and belong to the caller: no call changes them. The encoder's outputs
    follow the states of the recurrences. Threads can share one OnnxStepper.

    Attributes
    ----------
    input_names : list of str
        The inputs of a step.
    encoder_names : list of str
        The inputs of the encoder, which `begin` takes.
    output_names : list of str
    state_names : list of str

    Examples
    --------
    >>> import os, tempfile, numpy as np
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "null", "name": "weights", "inputs": []},
    ...     {"op": "_zeros", "name": "begin", "attrs": {"shape": "(1, 0, 3)"}, "inputs": []},
    ...     {"op": "RNN", "name": "gru_rnn", "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]],
    ...      "attrs": {"mode": "gru", "state_size": "3", "num_layers": "1"}}],
    ...     "arg_nodes": [0, 1], "heads": [[3, 0, 0]]}''')
    >>> model = interop.Model(graph, {'weights': np.ones(63, 'float32')}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.to_onnx(model, folder + '/gru.onnx', states=True)
    ...     stepper = interop.load_stepper(folder + '/gru.onnx')
    >>> outputs, states = stepper.read(stepper.begin(2), data=np.ones((2, 5, 2)))
    >>> output, states = stepper.step(states, data=[[1, 2], [3, 4]])
    >>> stepper.state_names, outputs.shape, output.shape, [state.shape for state in states]
    (['gru_0_in'], (2, 5, 3), (2, 3), [(2, 3)])
    """

    def __init__(self, file: Opened) -> None:
        import onnxruntime
        session, table, self._encoder = file
        assert table is not None
        inputs, self._states = inputs_of(session), table['states']
        self.state_names = [state['in'] for state in self._states]
        self._held = self.state_names + table['captured']
        #: The outputs of the encoder that begin them.
        self._begins = [state['begin'] for state in self._states] + table['captured']
        taken = {name: Layout(table['axes'].get(name, ['batch'])) for name, _, _ in inputs}
        #: Of states: names, their axes for the batch, and rows per sequence.
        self._of_states = [(name, axis, math.prod(taken[name].rows)) for name, axis in zip(
            self._held, [state['batch_axis'] for state in self._states] + [
                taken[name].batch for name in table['captured']])]
        #: Of states with such an axis: place, axis and layout.
        self._sized = [(at, axis, taken[name]) for at, (name, axis, _) in enumerate(
            self._of_states) if axis is not None]
        self._inputs = {name: (taken[name], kind) for name, _, kind in inputs
                        if name not in self._held}
        self.input_names, self._input_keys = list(self._inputs), self._inputs.keys()
        #: The axes that a caller gives, for one step and for several.
        self._axes = {name: [axes_of_caller(table['axes'].get(name, shape), steps)
                             for steps in (False, True)] for name, shape, _ in inputs}
        #: For one step: names of inputs, types, numbers of axes, whether they have a batch, what
        #: indexing makes them the file's, and the layout where that is not all there is to do.
        self._of_step = [(name, kind, len(self._axes[name][0]), each.batch is not None, each.one_in,
                          None if each.simple else each)
                         for name, (each, kind) in self._inputs.items()]
        #: The inputs of the encoder, their axes and types.
        self._first = {name: (axes, kind) for name, axes, kind in inputs_of(self._encoder)}
        self.encoder_names = list(self._first)
        after = [state['out'] for state in self._states]
        self.output_names = [each.name for each in session.get_outputs() if each.name not in after]
        self._outputs = [Layout(table['axes'][name]) for name in self.output_names]
        self._count = len(self._outputs)
        #: Whether the output of one step is the caller's as it is.
        self._one_as_it_is = len(self._outputs) == 1 and all(
            each.simple and not each.one_out for each in self._outputs)
        self._names = self.output_names + after
        # Skips the checks of onnxruntime's Python class, a tenth of the time of a small step.
        self._run: Callable[..., Arrays] = getattr(session, '_sess', session).run
        #: Otherwise onnxruntime makes such options in each run, for a fifteenth of a small step.
        self._options = onnxruntime.RunOptions()

    def __repr__(self) -> str:
        return 'OnnxStepper(inputs of a step: %s; outputs: %s; states: %s%s)' % (
            ', '.join('%s (%s)' % (name, ', '.join(map(str, self._axes[name][0])))
                      for name in self.input_names) or 'none', ', '.join(self.output_names),
            ', '.join(self.state_names), self._encoder and '; inputs of the encoder: %s' % (
                ', '.join(self.encoder_names)) or '')

    def begin(self, batch_size: int = 1, **inputs: Any) -> Arrays:
        """Return the first states.

        Parameters
        ----------
        batch_size : int
            Number of sequences; with an encoder, its inputs decide.
        **inputs
            The encoder's inputs by name, in the form that its file takes.
        """
        if inputs.keys() != set(self.encoder_names):
            raise TypeError('begin needs the inputs of the encoder by name, %s, got %s' % (
                ', '.join(map('{}=…'.format, self.encoder_names)) or 'but there is none',
                ', '.join(inputs) or 'none'))
        once: dict[str, np.ndarray] = {}
        if self._encoder is not None:
            names = [each.name for each in self._encoder.get_outputs()]
            once = dict(zip(names, _call(self._encoder.run, names, {
                name: self._of_encoder(name, value) for name, value in inputs.items()})))
        held: list[Any] = [once.get(begin) for begin in self._begins]
        for array, (_, axis, rows) in zip(held, self._of_states):
            if array is not None and axis is not None:
                batch_size = array.shape[axis] // rows
        batch_size = _check.integer('batch_size', batch_size, 1)
        for at, (state, (_, axis, rows)) in enumerate(zip(self._states, self._of_states)):
            if held[at] is None:
                shape = [*state['shape'][:axis], batch_size * rows, *state['shape'][axis:]]
                held[at] = np.zeros(shape, state['dtype'])
        return held

    def _of_encoder(self, name: str, value: Any) -> np.ndarray:
        """An input of the encoder as an array."""
        axes, kind = self._first[name]
        array = _array(name, value, kind)
        if array.ndim != len(axes) or not array.size:  # onnxruntime would abort for 0
            raise ValueError('%s must have the axes (%s) in begin, each of 1 or more, got the '
                             'shape %s' % (name, ', '.join(map(str, axes)), array.shape))
        return array

    def step(self, states: Arrays, /, *others: NoReturn, **inputs: Any) -> tuple[Outputs, Arrays]:
        """Take one step.

        Parameters
        ----------
        states : list of array
            As from `begin`, an earlier call, or `take`; they are not changed.
        **inputs
            Arrays by name, or anything that NumPy makes into arrays: batch first, without time.

        Returns
        -------
        outputs : array or list of array
            The batch first, without time.
        states : list of array

        Raises
        ------
        TypeError, ValueError
            Names, shapes, or the number of states do not fit.
        """
        if others:
            self._refuse_places('step')
        if inputs.keys() != self._input_keys:
            self._refuse_names(inputs)
        batch_size = self._check(states, inputs)
        for name, kind, rank, batched, index, layout in self._of_step:
            array = inputs[name]
            if type(array) is not np.ndarray or array.dtype != kind:
                array = _array(name, array, kind)
            if array.ndim != rank or batched and len(array) != batch_size:
                refuse_axes('step', name, array, self._axes[name][0], batch_size)
            inputs[name] = array[index] if layout is None else layout.to_file(
                array if layout.time is None else array[:, np.newaxis])
        results = _call(self._run, self._names, inputs, self._options)
        after = results[self._count:]
        if len(after) < len(states):
            after += states[len(after):]
        if self._one_as_it_is:
            return results[0], after
        found = [array[layout.one_out] if layout.simple else
                 layout.to_caller(array, 1)[(slice(None), 0) if layout.time is not None else ()]
                 for layout, array in zip(self._outputs, results)]
        return found[0] if len(found) == 1 else found, after

    def read(self, states: Arrays, /, *others: NoReturn, valid_length: Any = None,
             **inputs: Any) -> tuple[Outputs, Arrays]:
        """Run over sequences, or over the next chunk of each.

        Parameters
        ----------
        states : list of array
            As for `step`.
        valid_length : list of int, optional
            Number of steps of each sequence; all steps if None. Later outputs are zeros, and the
            states are those after each sequence's last valid step.
        **inputs
            As for `step`, but inputs with steps have shape (batch, length, ...).

        Returns
        -------
        outputs : array or list of array
            (batch, length, ...); outputs without a time axis are those after the last step.
        states : list of array
            After the last step, or after each sequence's last valid step.
        """
        if others:
            self._refuse_places('read')
        batch_size = self._check(states, {})
        arrays = self._arrays(inputs, batch_size)
        moving = [name for name, (layout, _) in self._inputs.items() if layout.time is not None]
        lengths = {arrays[name].shape[1] if arrays[name].ndim > 1 else 0 for name in moving}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError('all inputs must have the same number of steps, at least 1, '
                             'got %s' % sorted(lengths))
        length = lengths.pop()
        if valid_length is None:
            found, states = self._chunk(states, arrays, length)
            return found[0] if len(found) == 1 else found, states
        ends = np.asarray(valid_length)
        if ends.shape != (batch_size,) or not ((0 <= ends) & (ends <= length)).all() or (
                ends != np.floor(ends)).any():
            raise ValueError('valid_length must be %d whole numbers from 0 to %d, got %.80r'
                             % (batch_size, length, valid_length))
        return self._read_valid(states, arrays, ends.astype(int), moving)

    def _read_valid(self, states: Arrays, arrays: dict[str, np.ndarray], ends: np.ndarray,
                    moving: Sequence[str]) -> tuple[Outputs, Arrays]:
        """Run to the end of the shortest sequences, then run the others to the next end."""
        states = [np.array(state, order='C') for state in states]
        results: Arrays = []
        begin = 0
        lasting = np.maximum(ends, 1)  # sequences without a step keep nothing below
        for end in sorted({*lasting.tolist()}):
            rows = np.flatnonzero(lasting >= end)
            part = {name: array[rows, begin:end] if name in moving else
                    array if self._inputs[name][0].batch is None else array[rows]
                    for name, array in arrays.items()}
            found, after = self._chunk(self.take(states, rows), part, end - begin)
            kept = ends[rows] > 0
            rows = rows[kept]
            for at, array in enumerate(found):
                stepped = self._outputs[at].time is not None
                if len(results) == at:
                    shape = (len(ends), arrays[moving[0]].shape[1]) if stepped else (len(ends),)
                    results.append(np.zeros(shape + array.shape[len(shape):], array.dtype))
                results[at][(rows, slice(begin, end)) if stepped else rows] = array[kept]
            for at, axis, layout in self._sized:
                if at < len(self._states):
                    layout.by_sequence(states[at], axis)[rows] = layout.by_sequence(
                        after[at], axis)[kept]
            begin = end
        return results[0] if len(results) == 1 else results, states

    def take(self, states: Arrays, indices: Any) -> Arrays:
        """Copies of the states of the sequences `indices`, in that order.

        Parameters
        ----------
        states : list of array
            As for `step`.
        indices : sequence of int
            From 0 to below the batch size, in any order, with repeats; or one index.
        """
        batch_size = self._check(states, {})
        chosen = np.atleast_1d(np.asarray(indices))
        if chosen.ndim != 1 or chosen.dtype.kind not in 'iu' or not chosen.size or not (
                0 <= chosen.min() <= chosen.max() < batch_size):
            raise ValueError('indices must be integers from 0 to %d, got %.80r'
                             % (batch_size - 1, indices))
        results = [np.array(state) for state in states]
        for at, axis, layout in self._sized:
            results[at] = layout.taken(results[at], axis, chosen)
        return results

    def _arrays(self, inputs: dict[str, Any], batch_size: int) -> dict[str, np.ndarray]:
        """The inputs as arrays, by name."""
        if inputs.keys() != self._input_keys:
            self._refuse_names(inputs)
        arrays = {}
        for name, kind, _, batched, _, _ in self._of_step:
            array = arrays[name] = _array(name, inputs[name], kind)
            if array.ndim != len(self._axes[name][1]) or batched and len(array) != batch_size:
                refuse_axes('read', name, array, self._axes[name][1], batch_size)
        return arrays

    def _refuse_names(self, inputs: dict[str, Any]) -> None:
        raise TypeError('the inputs must be %s, got %s' % (
            ', '.join(self.input_names) or 'none', ', '.join(inputs) or 'none'))

    def _refuse_places(self, call: str) -> None:
        raise TypeError('%s takes the states first and then inputs by name: %s(states, %s)' % (
            call, call, ', '.join(map('{}=…'.format, self.input_names))))

    def _check(self, states: Arrays, feeds: dict[str, np.ndarray]) -> int:
        """Refuse states that do not fit this network; enter them by name; return the batch size."""
        if not isinstance(states, (list, tuple)) or len(states) != len(self._held):
            self._refuse_states(states)
        batch_size = 0
        for state, (name, axis, rows) in zip(states, self._of_states):
            if not isinstance(state, np.ndarray):
                self._refuse_states(states)
            if axis is not None:
                size = state.shape[axis] if state.ndim > axis else 0
                if size != batch_size * rows or not size:  # onnxruntime would abort for 0
                    if batch_size or not size:
                        raise ValueError('states must have one batch size, got arrays of the '
                                         'shapes %s' % [each.shape for each in states])
                    batch_size = size // rows
            feeds[name] = state
        return batch_size

    def _refuse_states(self, states: Any) -> None:
        raise TypeError('states must be a list of %d arrays, as begin and step return (%s), got %s'
                        % (len(self._held), ', '.join(self._held), _check.shown(states)))

    def _chunk(self, states: Arrays, inputs: dict[str, np.ndarray], length: int
               ) -> tuple[Arrays, Arrays]:
        """A chunk's outputs in the caller's form, and the states after it."""
        feeds = dict(zip(self._held, states))
        feeds.update((name, self._inputs[name][0].to_file(array)) for name, array in inputs.items())
        results = _call(self._run, self._names, feeds)
        return [layout.to_caller(array, length) for layout, array in zip(self._outputs, results)], [
            *results[self._count:], *states[len(self._states):]]
