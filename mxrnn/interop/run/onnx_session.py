"""Sessions of onnxruntime: opens ONNX files, whose checksum and states are checked first, and runs
them."""
from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence

import numpy as np

from ... import _check
from ..prepare.steps import KEY, Layout
from ..seals import refuse_damaged
from .exported_file import Input
from .reference import Data, refusing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ['Opened', 'arrays_of', 'inputs_of', 'opened', 'run_onnx', 'session_of']

_Sizes = Mapping[str, Sequence[Any]]

#: Types that NumPy has, as onnxruntime names them.
_NUMBERS = re.compile(r'tensor\((bool|float16|float|double|u?int(8|16|32|64))\)')


def session_of(content: str | bytes, what: str, threads: int = 0,
               providers: Sequence[str] | None = None) -> InferenceSession:
    """The session of a file, or of its content; `threads` for one call, 0 for all processors."""
    with _check.needing('ONNX files are run by the package onnxruntime', 'onnxruntime'):
        import onnxruntime
    if isinstance(content, str):
        if not os.path.isfile(content):
            raise FileNotFoundError('there is no file %s' % content)
        refuse_damaged(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not threads:  # a check: the threads would keep all processors busy between two calls
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 4  # sizes that it refuses raise an error, which has the reason
    options.enable_cpu_mem_arena = False  # a small step takes a twentieth longer with it
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=list(providers or ['CPUExecutionProvider']))
    except Exception as error:  # its own classes, which derive from Exception alone
        if 'INVALID_PROTOBUF' in str(error) or 'No graph' in str(error):
            raise ValueError('%s does not begin like an ONNX file. It is either damaged or not one'
                             % what) from None
        raise ValueError('onnxruntime cannot load %s: %s' % (what, error)) from None
    for role, arrays in ('input', session.get_inputs()), ('output', session.get_outputs()):
        for each in arrays:
            if not _NUMBERS.fullmatch(each.type):
                raise ValueError('%s is no export of mxrnn: its %s %s is %s, not an array of '
                                 'numbers' % (what, role, each.name, each.type))
    return session


def inputs_of(session: InferenceSession | None) -> list[Input]:
    """A session's inputs; none without a session."""
    return [] if session is None else arrays_of(session.get_inputs())


def arrays_of(infos: Sequence[Any]) -> list[Input]:
    """Arrays as onnxruntime describes them."""
    kinds = {'tensor(float)': 'float32', 'tensor(double)': 'float64'}
    return [(each.name, each.shape, np.dtype(kinds.get(each.type, each.type[7:-1])))
            for each in infos]


def run_onnx(session: InferenceSession, what: str, data: Data) -> list[np.ndarray]:
    """A session's outputs."""
    with refusing('onnxruntime', what, data):
        arrays: list[np.ndarray] = session.run(None, {
            name: data[name].astype(kind) for name, _, kind in inputs_of(session)})
    return arrays


# ---- files with states

class Opened(NamedTuple):
    """A file's session; its table of states, None if it has none; and its encoder's session."""

    session: InferenceSession
    table: dict[str, Any] | None
    encoder: InferenceSession | None


def opened(path: str, threads: int = 0, providers: Sequence[str] | None = None) -> Opened:
    """Open a file and, if it has states, check their table and open its encoder's file."""
    session = session_of(path, path, threads, providers)
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        return Opened(session, None, None)
    damaged, first = 'the table of states in %s is damaged: ' % path, None
    try:
        table: dict[str, Any] = json.loads(text)
        _refuse_unfit(table, *({each.name: each.shape for each in infos}
                               for infos in (session.get_inputs(), session.get_outputs())))
    except (ValueError, TypeError, RecursionError) as error:  # of json, and of NumPy's types
        raise ValueError(damaged + str(error)) from None
    except (LookupError, AttributeError) as error:
        raise ValueError('%sit has another form (%s)' % (damaged, error)) from None
    if table['encoder'] is not None:
        beside = os.path.join(os.path.dirname(path), table['encoder'])
        if not os.path.exists(beside):
            raise FileNotFoundError('there is no file %s, the encoder of %s' % (beside, path))
        first = session_of(beside, beside, threads, providers)
    made = ['zeros', *([] if first is None else [each.name for each in first.get_outputs()])]
    for name in sorted({*table['captured'], *(
            state['begin'] for state in table['states'])}.difference(made))[:1]:
        raise ValueError('%sno encoder has the output %s' % (damaged, _check.shown(name)))
    return Opened(session, table, first)


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
