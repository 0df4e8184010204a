"""Runs ONNX files as users run them. Files with states run in chunks, but look like others."""
from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .load_stepper import stepper_of
from .onnx_session import Input, inputs_of, run_onnx, session_of
from .onnx_stepper import OnnxStepper
from .witness import Data

__all__ = ['ExportedFile', 'open_content', 'open_file']


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


def open_content(content: bytes) -> ExportedFile:
    """The content of an ONNX file without states."""
    return _whole(session_of(content, 'the file'), 'the file')


def open_file(path: str) -> ExportedFile:
    """Open a file of `to_onnx`."""
    session = session_of(path, path)
    stepper = stepper_of(session, path)
    return _whole(session, path) if stepper is None else _in_chunks(path, session, stepper)


def _whole(session: Any, what: str) -> ExportedFile:
    return ExportedFile(inputs_of(session), [each.name for each in session.get_outputs()],
                        lambda data, _: run_onnx(session, what, data))


def _in_chunks(path: str, session: Any, stepper: OnnxStepper) -> ExportedFile:
    """A file that runs steps, wrapped to run whole sequences."""
    encoder = stepper._encoder
    first = [] if encoder is None else inputs_of(encoder)
    once = [] if encoder is None else [each.name for each in encoder.get_outputs()]
    computed = [name for name in once if name not in stepper._held]
    moving = [each for each in inputs_of(session) if each[0] in stepper.input_names]
    given = {name: layout for name, (layout, _) in stepper._inputs.items()}
    times = [(name, given[name].time) for name, _, _ in moving]
    if all(time is None for _, time in times):
        raise ValueError('%s does not say which axis of its inputs is the steps: export it again'
                         % path)

    def steps(data: Data) -> int:
        for name, shape, _ in moving:
            if len(shape) != data[name].ndim:
                raise ValueError('%s must have the shape (%s), got %s' % (
                    name, ', '.join(map(str, shape)), data[name].shape))
        return next(data[name].shape[time] for name, time in times if time is not None)

    def outputs(data: Data, counts: Sequence[int]) -> list[np.ndarray]:
        length, at, parts = steps(data), 0, []
        arrays = {name: given[name].to_caller(data[name], length) for name, _ in times}
        values = {} if encoder is None else dict(zip(once, run_onnx(encoder, path, data)))
        states = stepper.begin(next((len(array) for name, array in arrays.items()
                                     if given[name].batch is not None), 1),
                               **{name: data[name] for name in stepper.encoder_names})
        for count in counts:
            found, states = stepper.read(states, **{
                name: arrays[name] if time is None else arrays[name][:, at:at + count]
                for name, time in times})
            parts.append(found if isinstance(found, list) else [found])
            at += count
        return [values[name] for name in computed] + [
            layout.to_file(found[-1] if layout.time is None else np.concatenate(found, 1))
            for layout, found in zip(stepper._outputs, zip(*parts))]
    inputs = {each[0]: each for each in [*first, *moving]}
    return ExportedFile(list(inputs.values()), [*computed, *stepper.output_names], outputs, steps)
