"""load_stepper: opens an ONNX file with states, and its encoder's."""
from __future__ import annotations

import json
import os
from typing import Any, Sequence

from .. import _check
from .onnx_checksum_and_session import session_of
from .onnx_stepper import OnnxStepper

__all__ = ['load_stepper', 'stepper_of']


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
    path = os.fspath(path)
    threads = _check.whole('threads', threads, 1)
    stepper = stepper_of(session_of(path, path, threads, providers), path, threads, providers)
    if stepper is None:
        raise ValueError('%s has no states: export the checkpoint with --states, or with '
                         'to_onnx(..., states=True)' % path)
    return stepper


def stepper_of(session: Any, path: str, threads: int = 0, providers: Sequence[str] | None = None
               ) -> OnnxStepper | None:
    """The stepper of a file whose session is given; None if the file has no states."""
    table = session.get_modelmeta().custom_metadata_map.get('mxrnn.states')
    if table is None:
        return None
    damaged = LookupError, TypeError, AttributeError, ValueError
    try:
        known = json.loads(table)
        encoder = known['encoder'] and os.path.join(
            os.path.dirname(path), os.path.basename(known['encoder']))
    except damaged as error:
        raise ValueError('the table of states in %s is damaged: %r' % (path, error)) from None
    first = session_of(encoder, encoder, threads, providers) if encoder else None
    try:
        _refuse_unfit(known, session, first)
        return OnnxStepper(session, known, first)
    except damaged as error:
        raise ValueError('the table of states in %s is damaged: %r' % (path, error)) from None


def _refuse_unfit(table: dict[str, Any], session: Any, encoder: Any) -> None:
    """Raise a LookupError if a table is not one of its file's inputs and outputs."""
    shapes = {each.name: each.shape for each in [*session.get_inputs(), *session.get_outputs()]}
    given = {each.name for each in encoder.get_outputs()} if encoder is not None else set()
    for state in table['states']:
        at, sizes = state['batch_axis'], list(state['shape'])
        own = [size if isinstance(size, int) else None for size in shapes[state['in']]]
        if not 0 <= at < len(own) or own[:at] + own[at + 1:] != sizes or (
                state['out'] not in shapes or state['begin'] not in {'zeros', *given}):
            raise LookupError('the state %s is none of the graph' % state['in'])
    for name, axes in table['axes'].items():
        if len(axes) != len(shapes[name]):
            raise LookupError('the axes of %s are not those of the graph' % name)
    for name in table['captured']:
        if name not in shapes or name not in given:
            raise LookupError('%s is no output of the encoder' % name)
