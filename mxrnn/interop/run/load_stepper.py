"""load_stepper: opens an ONNX file with states, and its encoder's."""
from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from ... import _check
from ..prepare.step_layout import KEY, Layout
from .onnx_session import session_of
from .onnx_stepper import OnnxStepper

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ['load_stepper', 'opened']

_Sizes = Mapping[str, Sequence[Any]]


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
    session, table, encoder = opened(path, _check.whole('threads', threads, 1), providers)
    if table is None:
        whole = re.sub(r'-encoder(\.\w+)$', r'\1', path)
        raise ValueError('%s has no states: %s' % (
            path, 'export the checkpoint with --states, or with to_onnx(..., states=True)'
            if whole == path or not os.path.exists(whole) else
            'load %s, which opens its encoder, too' % whole))
    return OnnxStepper(session, table, encoder)


def opened(path: str, threads: int = 0, providers: Sequence[str] | None = None
           ) -> tuple[InferenceSession, dict[str, Any] | None, InferenceSession | None]:
    """A file's session; its table of states, None if it has none; and its encoder's session."""
    session = session_of(path, path, threads, providers)
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        return session, None, None
    table = _table(text, path, session)
    beside, first = table['encoder'] and os.path.join(os.path.dirname(path), table['encoder']), None
    if beside is not None:
        if not os.path.exists(beside):
            raise FileNotFoundError('there is no file %s, the encoder of %s' % (beside, path))
        first = session_of(beside, beside, threads, providers)
    begins = {*table['captured'], *(state['begin'] for state in table['states'])} - {'zeros'}
    made = [] if first is None else [each.name for each in first.get_outputs()]
    for name in sorted(begins.difference(made))[:1]:
        raise _damaged(path, 'no encoder has the output %s' % _check.shown(name))
    return session, table, first


def _table(text: str, path: str, session: InferenceSession) -> dict[str, Any]:
    """The table of states in a file's metadata. Refuses a table that no export wrote."""
    inputs, outputs = ({each.name: each.shape for each in infos}
                       for infos in (session.get_inputs(), session.get_outputs()))
    try:
        table: dict[str, Any] = json.loads(text)
        _refuse_unfit(table, inputs, outputs)
    except (ValueError, TypeError, RecursionError) as error:  # of json, and of NumPy's types
        raise _damaged(path, error) from None
    except (LookupError, AttributeError) as error:
        raise _damaged(path, 'it has another form (%s)' % error) from None
    return table


def _damaged(path: str, why: object) -> ValueError:
    return ValueError('the table of states in %s is damaged: %s' % (path, why))


def _refuse_unfit(table: dict[str, Any], inputs: _Sizes, outputs: _Sizes) -> None:
    """Refuse a table that is not one of its file's inputs and outputs."""
    encoder = table['encoder']
    if encoder is not None and (
            os.path.basename(encoder) != encoder or encoder in ('', os.curdir, os.pardir)):
        raise ValueError('encoder must be the name of a file in the same folder, got %s'
                         % _check.shown(encoder))
    for state in table['states']:
        at, own = state['batch_axis'], [size if isinstance(size, int) else None
                                        for size in inputs.get(state['in'], ())]
        if not 0 <= at < len(own) or own[:at] + own[at + 1:] != state['shape'] or (
                state['out'] not in outputs or np.dtype(state['dtype']).kind not in 'biuf' or (
                    type(at), type(state['begin'])) != (int, str)):
            raise ValueError('the graph has no such state: %s' % _check.shown(state))
    for name in outputs.keys() - table['axes'].keys() - {each['out'] for each in table['states']}:
        raise ValueError('axes must have the output %s' % name)
    for name, axes in table['axes'].items():
        if len(axes) != len({**inputs, **outputs}.get(name, ())):
            raise ValueError('the axes of %s are not those of the graph: %s' % (
                _check.shown(name), _check.shown(axes)))
        Layout(axes)
    for name in table['captured']:
        if name not in inputs:
            raise ValueError('the graph has no input %s' % _check.shown(name))
