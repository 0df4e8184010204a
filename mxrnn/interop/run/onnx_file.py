"""Runs ONNX files as users run them."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..prepare.step_layout import Layout
from .exported_file import ExportedFile, in_chunks
from .load_stepper import opened
from .onnx_session import inputs_of, run_onnx, session_of
from .onnx_stepper import OnnxStepper
from .reference import Data

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ['open_content', 'open_file']


def open_content(content: bytes) -> ExportedFile:
    """The content of an ONNX file without states."""
    return _whole(session_of(content, 'the file'), 'the file')


def open_file(path: str) -> ExportedFile:
    """Open a file of `to_onnx`."""
    session, table, encoder = opened(path)
    return _whole(session, path) if table is None else _in_chunks(path, session, table, encoder)


def _whole(session: InferenceSession, what: str) -> ExportedFile:
    return ExportedFile(inputs_of(session), [each.name for each in session.get_outputs()],
                        lambda data, _: run_onnx(session, what, data))


def _in_chunks(path: str, session: InferenceSession, table: dict[str, Any],
               encoder: InferenceSession | None) -> ExportedFile:
    stepper, axes = OnnxStepper(session, table, encoder), table['axes']
    first = [] if encoder is None else inputs_of(encoder)
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
    inputs = {each[0]: each for each in [*first, *inputs_of(session)]
              if each in first or each[0] in given}
    return in_chunks(list(inputs.values()), computed, given, {
        name: Layout(axes[name]) for name in stepper.output_names}, begin, read)
