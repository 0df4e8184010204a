"""ONNX files as such: runs them as users do, and describes what they take and give."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from ..prepare.steps import Layout, axes_in_words, axes_of_caller
from .exported_file import ExportedFile, Input, in_chunks
from .onnx_session import Opened, arrays_of, inputs_of, opened, run_onnx, session_of
from .onnx_stepper import OnnxStepper
from .reference import Data

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ['open_content', 'open_file', 'table_of']


def open_content(content: bytes) -> ExportedFile:
    """The content of an ONNX file without states."""
    return _whole(session_of(content, 'the file'), 'the file')


def open_file(path: str) -> ExportedFile:
    """Open a file of `to_onnx`."""
    file = opened(path)
    return _whole(file.session, path) if file.table is None else _in_chunks(path, file, file.table)


def _whole(session: InferenceSession, what: str) -> ExportedFile:
    return ExportedFile(inputs_of(session), [each.name for each in session.get_outputs()],
                        lambda data, _: run_onnx(session, what, data))


def _in_chunks(path: str, file: Opened, table: dict[str, Any]) -> ExportedFile:
    stepper, axes, encoder = OnnxStepper(file), table['axes'], file.encoder
    first = inputs_of(encoder)
    once = [] if encoder is None else [each.name for each in encoder.get_outputs()]
    computed = [name for name in once if name not in {*stepper.state_names, *table['captured']}]
    given = {name: Layout(axes.get(name, ['batch'])) for name in stepper.input_names}
    if all(layout.time is None for layout in given.values()):
        raise ValueError('%s does not say which axis of its inputs is the steps: export it again'
                         % path)

    def begin(data: Data, batch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        values = {} if encoder is None else dict(zip(once, run_onnx(encoder, path, data)))
        return [values[name] for name in computed], stepper.begin(
            batch, **{name: data[name] for name in stepper.encoder_names})

    def read(states: list[np.ndarray], arrays: Data, _: int
             ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        found, states = stepper.read(states, **arrays)
        return found if isinstance(found, list) else [found], states
    inputs = {each[0]: each for each in [*first, *inputs_of(file.session)]
              if each in first or each[0] in given}
    return in_chunks(list(inputs.values()), computed, given, {
        name: Layout(axes[name]) for name in stepper.output_names}, begin, read)


# ---- in words

def table_of(path: str) -> Iterator[tuple[str, list[str]]]:
    """Describe a file's inputs and outputs: titles, each with lines."""
    file = opened(path)
    table = file.table or {'states': [], 'axes': {}, 'captured': []}
    inputs = inputs_of(file.session)
    for title, arrays in ('inputs', inputs), ('outputs', arrays_of(file.session.get_outputs())):
        rows = [(name, 'TYPE_' + kind.name.upper().replace('FLOAT', 'FP'),
                 '[ %s ]' % ', '.join(str(size if isinstance(size, int) else -1) for size in shape),
                 axes_in_words(_axes((name, shape, kind), table))) for name, shape, kind in arrays]
        widths = [max(map(len, column)) for column in zip(*rows)]
        yield title, ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    yield 'states', ['%s becomes %s, begins with %s' % (
        each['in'], each['out'], 'zeros' if each['begin'] == 'zeros' else
        'the output of that name of %s' % table['encoder']) for each in table['states']]
    if file.table:
        held = {*table['captured'], *(each['in'] for each in table['states'])}
        calls = {'begin(%s)': 'batch_size' if file.encoder is None else ', '.join(
            '%s=%s' % (each[0], axes_in_words(_axes(each, {'axes': {}})))
            for each in inputs_of(file.encoder)), **{
                call + '(states, %s)': ', '.join('%s=%s' % (each[0], axes_in_words(
                    axes_of_caller(_axes(each, table), call == 'read')))
                    for each in inputs if each[0] not in held) for call in ('step', 'read')}}
        yield 'load_stepper', [call % given for call, given in calls.items()]


def _axes(array: Input, table: dict[str, Any]) -> list[int | str]:
    """The names and sizes of an array's axes."""
    axes: list[int | str] = table['axes'].get(array[0], [size or 'any' for size in array[1]])
    return axes
