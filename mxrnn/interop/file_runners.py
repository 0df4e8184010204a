"""Runs exported files as users run them. Files with states run in chunks, but look like others."""
from __future__ import annotations

import math
import os
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from .._files import CheckpointError
from .batch_and_time_axes import Layout
from .load_and_check_onnx_stepper import stepper_of
from .model_runners import Data, Input, inputs_of, run_module, run_onnx
from .onnx_checksum_and_session import session_of

__all__ = ['ExportedFile', 'of_module', 'open_content', 'open_file', 'open_torch']


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


# ---- files

def open_file(path: str, onnx: bool | None = None) -> ExportedFile:
    """Open a file of `to_onnx` or `save_torch`; the end of its name or its content says which."""
    if not os.path.isfile(path):
        raise FileNotFoundError('there is no file %s' % path)
    onnx = path.endswith('.onnx') if onnx is None else onnx
    return _onnx_file(path) if onnx else _torch_file(path)


def open_content(content: bytes) -> ExportedFile:
    """The content of an ONNX file without states."""
    return _whole(session_of(content, 'the file'), 'the file')


def _whole(session: Any, what: str) -> ExportedFile:
    return ExportedFile(inputs_of(session), [each.name for each in session.get_outputs()],
                        lambda data, _: run_onnx(session, what, data))


def _onnx_file(path: str) -> ExportedFile:
    session = session_of(path, path)
    stepper = stepper_of(session, path)
    if stepper is None:
        return _whole(session, path)
    encoder, given = stepper._encoder, {name: each[0] for name, each in stepper._inputs.items()}
    once = [] if encoder is None else [each.name for each in encoder.get_outputs()]
    moving = [each for each in inputs_of(session) if each[0] in stepper.input_names]

    def begin(data: Data, batch: int) -> tuple[dict[str, np.ndarray], Any]:
        found = {} if encoder is None else dict(zip(once, run_onnx(encoder, path, data)))
        return found, stepper.begin(batch, **{name: data[name] for name in stepper.encoder_names})

    def read(states: Any, data: Data, count: int) -> tuple[list[np.ndarray], Any]:
        found, states = stepper.read(states, **data)
        return found if isinstance(found, list) else [found], states
    return _in_chunks(path, moving, [] if encoder is None else inputs_of(encoder), [
        name for name in once if name not in stepper._held], given,
        dict(zip(stepper.output_names, stepper._outputs)), begin, read)


def open_torch(path: str, roll: bool = True) -> Any:
    """The module in a torch file. Weights of a source are refused with a hint to the source."""
    try:
        from ._source.overwrite_checks_and_checksums import is_source
        from ._torch.load_and_check_torch_file import load_torch
    except ModuleNotFoundError as error:
        if error.name != 'torch':
            raise
        raise ModuleNotFoundError('torch is needed to read a torch file: pip install torch',
                                  name='torch') from error
    try:
        return load_torch(path, roll=roll)
    except CheckpointError:
        source = os.path.splitext(path)[0] + '.py'
        if not is_source(source):
            with open(path, 'rb') as file:
                if file.read(2) == b'PK':
                    raise
            raise CheckpointError('%s is neither an ONNX file (FILE.onnx) nor a torch file of '
                                  'export --torch (save_torch)' % path) from None
        raise ValueError(
            '%s holds the weights of a source. export already compared that source with the graph: '
            'see "Checked" in %s. Give a file of --onnx, or of --torch under another name' % (
                path, source)) from None


def of_module(module: Any, what: str = 'the module') -> ExportedFile:
    """A torch module without states as a file."""
    return ExportedFile(_inputs_of_module(module), module.outputs,
                        lambda data, _: run_module(module, what, data))


def _torch_file(path: str) -> ExportedFile:
    module = open_torch(path)
    inputs = _inputs_of_module(module)
    if not module.states:
        return of_module(module, path)
    encoder, layouts = module.encoder, {name: Layout(axes) for name, axes in module.axes.items()}
    once = [] if encoder is None else encoder.outputs
    held = [each for each in inputs if each[0] in {*once, *dict(module.states)}]
    moving = [each for each in inputs if each not in held]
    first = [] if encoder is None else _inputs_of_module(encoder)
    names = module.outputs[:len(module.outputs) - len(module.states)]

    def begin(data: Data, batch: int) -> tuple[dict[str, np.ndarray], Any]:
        found = {} if encoder is None else dict(zip(once, run_module(encoder, path, data)))
        sizes = {str(size): number for name, shape, _ in [*first, *moving]
                 for size, number in zip(shape or (), data[name].shape)}

        def zeros(shape: Sequence[Any], kind: Any) -> np.ndarray:
            return np.zeros([math.prod(sizes[part] if part in sizes else int(part)
                                       for part in str(size).split(',')) for size in shape], kind)
        return found, {name: found[name] if name in found else zeros(shape or (), kind)
                       for name, shape, kind in held}

    def read(states: Any, data: Data, count: int) -> tuple[list[np.ndarray], Any]:
        found = dict(zip(module.outputs, run_module(module, path, {
            **states, **{name: layouts[name].to_file(array) for name, array in data.items()}})))
        return [layouts[name].to_caller(found[name], count) for name in names], {
            **states, **{before: found[after] for before, after in module.states}}
    untold = [name for name in [*(each[0] for each in moving), *names] if name not in layouts]
    if untold:
        raise ValueError('%s does not say which axis of %s is the steps: export it again'
                         % (path, ', '.join(untold)))
    return _in_chunks(path, moving, first, [
        name for name in once if name not in [each[0] for each in held]],
        layouts, {name: layouts[name] for name in names}, begin, read)


def _inputs_of_module(module: Any) -> list[Input]:
    reals = [value.dtype for value in module.parameters() if value.is_floating_point()]
    kind = np.dtype(str(reals[0]).partition('.')[2] if reals else 'float32')
    read = module.graph.needed_variables()
    return [(name, module.axes.get(name), kind) for name in module.inputs if name in read]


def _in_chunks(path: str, moving: Sequence[Input], first: Sequence[Input], computed: Sequence[str],
               given: Mapping[str, Layout], layouts: Mapping[str, Layout],
               begin: Callable[[Data, int], tuple[dict[str, np.ndarray], Any]],
               read: Callable[[Any, Data, int], tuple[list[np.ndarray], Any]]) -> ExportedFile:
    """A file that runs steps, wrapped to run whole sequences.

    `moving` are the inputs of a step, in `layouts`. `first` are the encoder's inputs, and
    `computed` its outputs.
    """
    times = [(name, given[name].time) for name, _, _ in moving]
    if all(time is None for _, time in times):
        raise ValueError('%s does not say which axis of its inputs is the steps: export it again'
                         % path)

    def steps(data: Data) -> int:
        for name, shape, _ in moving:
            if len(shape or ()) != data[name].ndim:
                raise ValueError('%s must have the shape (%s), got %s' % (
                    name, ', '.join(map(str, shape or ())), data[name].shape))
        return next(data[name].shape[time] for name, time in times if time is not None)

    def outputs(data: Data, counts: Sequence[int]) -> list[np.ndarray]:
        length, at, parts = steps(data), 0, []
        arrays = {name: given[name].to_caller(data[name], length) for name, _ in times}
        once, states = begin(data, next((len(array) for name, array in arrays.items()
                                         if given[name].batch is not None), 1))
        for count in counts:
            found, states = read(states, {
                name: arrays[name] if time is None else arrays[name][:, at:at + count]
                for name, time in times}, count)
            parts.append(found)
            at += count
        return [once[name] for name in computed] + [
            layout.to_file(found[-1] if layout.time is None else np.concatenate(found, 1))
            for layout, found in zip(layouts.values(), zip(*parts))]
    inputs = {each[0]: each for each in [*first, *moving]}
    return ExportedFile(list(inputs.values()), [*computed, *layouts], outputs, steps)
