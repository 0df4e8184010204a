"""Assembles the vector of sym.RNN in the graph from the existing weights."""
from __future__ import annotations

from typing import Sequence

from ..graph import Entry
from ..graph_editing import Work, Writer
from ..rnn_vector_layout import GROUPS
from .match_rnn import Gate, Kernel

__all__ = ['write_vector']


def write_vector(writer: Writer, kernel: Kernel, name: str) -> Work:
    """The weights and then the biases, in the order of sym.RNN."""
    weights: list[Entry] = []
    biases: list[list[Entry | None]] = []
    owns = ['%s_%s' % (name, group) for group in GROUPS]
    for own, group, gates in zip(owns, GROUPS, (kernel.i2h, kernel.h2h)):
        rows = []
        biases.append([])
        for gate in gates:
            weight = yield ('value', gate.weight)
            biases[-1].append(None if gate.bias is None else (yield ('value', gate.bias)))
            if gate.exchanged:
                weight = writer.once('SwapAxis', name + '_exchanged', {
                    'dim1': 0, 'dim2': 1}, weight)
            rows.append(_columns(writer, weight, gate, group, kernel.units, name))
        weights.append(_gates(writer, rows, gates, own + '_weight'))
    # Zeros are made from the h2h weight, whose sizes are all known.
    offsets = [_bias(writer, given, gates, weights[1], kernel, own)
               for own, gates, given in zip(owns, (kernel.i2h, kernel.h2h), biases)]
    flat = [writer.once('Reshape', own + '_weight_flat', {'shape': (-1,)}, weight)
            for own, weight in zip(owns, weights)]
    return writer.once('_rnn_param_concat', name + '_parameters', {
        'dim': 0, 'num_args': 4}, *flat, *offsets)


def _columns(writer: Writer, weight: Entry, gate: Gate, group: str, units: int, name: str) -> Entry:
    """A weight's columns for the data (i2h) or the state (h2h)."""
    if gate.joined is None:
        return weight
    first = gate.joined == (group == 'h2h')  # whether they come first
    size = units if gate.joined else -units
    cut = {'begin': 0, 'end': size} if first else {'begin': size, 'end': None}
    return writer.once('slice_axis', '%s_%s_columns' % (name, group), {'axis': 1, **cut}, weight)


def _gates(writer: Writer, arrays: Sequence[Entry], gates: Sequence[Gate], name: str) -> Entry:
    """The rows of each gate, in the order of sym.RNN."""
    parts = [gate.part for gate in gates]
    if len(set(arrays)) == 1 and parts == list(range(gates[0].parts)):
        return arrays[0]
    pieces = []
    for array, gate in zip(arrays, gates):
        if gate.parts > 1:
            split = writer.once('SliceChannel', name + '_gates', {
                'axis': 0, 'num_outputs': gate.parts}, array, outputs=gate.parts)
            array = Entry(split.node, gate.part)
        pieces.append(array)
    return writer.join(pieces, name + '_rows', 0)


def _bias(writer: Writer, offsets: Sequence[Entry | None], gates: Sequence[Gate], weight: Entry,
          kernel: Kernel, name: str) -> Entry:
    given = [offset for offset in offsets if offset is not None]
    if len(given) == len(offsets):
        return _gates(writer, given, gates, name + '_bias')
    if not given:
        return _zeros(writer, weight, name)
    pieces = []
    for k, (offset, gate) in enumerate(zip(offsets, gates)):
        own = '%s_%d' % (name, k)
        if offset is None:
            rows = writer.once('slice_axis', own + '_weight', {
                'axis': 0, 'begin': k * kernel.units, 'end': (k + 1) * kernel.units}, weight)
            pieces.append(_zeros(writer, rows, own))
        else:
            pieces.append(_gates(writer, [offset], [gate], own + '_bias'))
    return writer.join(pieces, name + '_bias_rows', 0)


def _zeros(writer: Writer, weight: Entry, name: str) -> Entry:
    """A bias of zeros with the length and type of `weight`."""
    column = writer.once('slice_axis', name + '_column', {'axis': 1, 'begin': 0, 'end': 1}, weight)
    flat = writer.once('Reshape', name + '_column_flat', {'shape': (-1,)}, column)
    return writer.once('zeros_like', name + '_zeros', {}, flat)
