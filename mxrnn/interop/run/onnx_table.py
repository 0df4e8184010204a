"""The table of an ONNX file's inputs, outputs and states."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator

from ..prepare.step_layout import axes_in_words, axes_of_caller
from .exported_file import Input
from .load_stepper import opened
from .onnx_session import arrays_of, inputs_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ['table_of']


def _axes(array: Input, table: dict[str, Any]) -> list[int | str]:
    """The names and sizes of an array's axes."""
    axes: list[int | str] = table['axes'].get(array[0], [size or 'any' for size in array[1]])
    return axes


def _calls(inputs: list[Input], table: dict[str, Any], encoder: InferenceSession | None
           ) -> Iterator[str]:
    """The arguments of `load_stepper`'s begin, step and read."""
    yield 'begin(%s)' % ('batch_size' if encoder is None else ', '.join(
        '%s=%s' % (each[0], axes_in_words(_axes(each, {'axes': {}})))
        for each in inputs_of(encoder)))
    held = {*table['captured'], *(each['in'] for each in table['states'])}
    for call in 'step', 'read':
        yield '%s(states, %s)' % (call, ', '.join('%s=%s' % (each[0], axes_in_words(
            axes_of_caller(_axes(each, table), call == 'read')))
            for each in inputs if each[0] not in held))


def table_of(path: str) -> Iterator[tuple[str, list[str]]]:
    """Describe a file's inputs and outputs: titles, each with lines."""
    session, found, encoder = opened(path)
    table = found or {'states': [], 'axes': {}}
    inputs = inputs_of(session)
    for title, arrays in ('inputs', inputs), ('outputs', arrays_of(session.get_outputs())):
        rows = [(each[0], 'TYPE_' + each[2].name.upper().replace('FLOAT', 'FP'),
                 '[ %s ]' % ', '.join(str(size if isinstance(size, int) else -1)
                                      for size in each[1]),
                 axes_in_words(_axes(each, table))) for each in arrays]
        widths = [max(map(len, column)) for column in zip(*rows)]
        yield title, ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    yield 'states', ['%s becomes %s, begins with %s' % (
        each['in'], each['out'], 'zeros' if each['begin'] == 'zeros' else
        'the output of that name of %s' % table['encoder']) for each in table['states']]
    if found:
        yield 'load_stepper', list(_calls(inputs, table, encoder))
