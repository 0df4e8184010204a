"""The table of an ONNX file's inputs, outputs and states. It needs the package onnx."""
from __future__ import annotations

import os
from typing import Any, Iterator

import onnx

from ..prepare.step_layout import KEY, axes_in_words, axes_of_caller
from ..seals import refuse_damaged
from .load_stepper import read_table, refuse_other_encoder

__all__ = ['table_of']


def _read(path: str) -> onnx.ModelProto:
    refuse_damaged(path)
    with open(path, 'rb') as file:
        try:
            model = onnx.load_model_from_string(file.read())
        except Exception as error:  # protobuf's error classes differ by version
            raise ValueError('%s is not an ONNX file: %s' % (path, error)) from None
    if not model.HasField('graph'):
        raise ValueError('%s is not an ONNX file: it has no graph' % path)
    return model


def _sizes(info: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value or 'any' for size in info.type.tensor_type.shape.dim]


def _encoder(path: str, table: dict[str, Any]) -> onnx.GraphProto | None:
    """The graph of a file's encoder; None if there is none, or its file is not there."""
    beside = table['encoder'] and os.path.join(os.path.dirname(path), table['encoder'])
    if not beside or not os.path.isfile(beside):
        return None
    graph = _read(beside).graph
    refuse_other_encoder(table, path, [each.name for each in graph.output])
    return graph


def _calls(model: onnx.ModelProto, table: dict[str, Any], encoder: onnx.GraphProto | None
           ) -> Iterator[str]:
    """The arguments of `load_stepper`'s begin, step and read."""
    given = 'batch_size' if table['encoder'] is None else 'the inputs of ' + table['encoder']
    if encoder is not None:
        given = ', '.join('%s=%s' % (each.name, axes_in_words(_sizes(each)))
                          for each in encoder.input)
    yield 'begin(%s)' % given
    held = {*table['captured'], *(each['in'] for each in table['states'])}
    for call in 'step', 'read':
        yield '%s(states, %s)' % (call, ', '.join('%s=%s' % (info.name, axes_in_words(
            axes_of_caller(table['axes'].get(info.name, _sizes(info)), call == 'read')))
            for info in model.graph.input if info.name not in held))


def table_of(path: str) -> Iterator[tuple[str, list[str]]]:
    """Describe a file's inputs and outputs: titles, each with lines."""
    model = _read(path)
    known = {each.key: each.value for each in model.metadata_props}
    table: dict[str, Any] = {'states': [], 'axes': {}}
    encoder = None
    if KEY in known:
        table = read_table(known[KEY], path, *(
            {info.name: [size.dim_value or None for size in info.type.tensor_type.shape.dim]
             for info in infos} for infos in (model.graph.input, model.graph.output)))
        encoder = _encoder(path, table)
    weights = {each.name for each in model.graph.initializer}
    for title, infos in (('inputs', model.graph.input), ('outputs', model.graph.output)):
        rows = []
        for info in infos:
            kind = info.type.tensor_type
            try:
                name = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
            except KeyError:
                raise ValueError('%s: %r is not a tensor of numbers' % (path, info.name)) from None
            sizes = ', '.join(str(size.dim_value or -1) for size in kind.shape.dim)
            axes = table['axes'].get(info.name, _sizes(info))
            rows.append((info.name, 'TYPE_' + name.upper().replace('FLOAT', 'FP'),
                         '[ %s ]' % sizes, axes_in_words(axes)))
        widths = [max([0, *map(len, column)]) for column in zip(*rows)]
        yield title, ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows
                      if row[0] not in weights]
    yield 'states', ['%s becomes %s, begins with %s' % (
        each['in'], each['out'], 'zeros' if each['begin'] == 'zeros' else
        'the output of that name of %s' % table['encoder']) for each in table['states']]
    if table['states']:
        yield 'load_stepper', list(_calls(model, table, encoder))
