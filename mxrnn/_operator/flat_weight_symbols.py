"""sym.RNN's vector in the graph: joining cells' weights to it, splitting it, its gradients."""
from __future__ import annotations

import json
import math
from typing import Sequence

from .._cells.base_cells import BaseRNNCell
from .._cells.known_shapes import Kind
from .._graph.rnn_vector_layout import ADDS_NOTHING, GROUPS, LAYOUT, FusedLayout, gate_array
from .._runtime.mxnet import mx
from .rnn_defects import onednn

__all__ = ['apart', 'arrays_of', 'cell_arrays', 'operator_vector', 'sized', 'wanted', 'zero_row']

Symbol = mx.sym.Symbol


def _named(name: str | None, what: str) -> dict[str, str]:
    return {} if name is None else {'name': name + what}


def apart(data: Symbol, dtype: Kind, name: str | None = None) -> Symbol:
    """A copy of time-major `data` for the operator.

    The operator cannot add to the data's gradient. `grad_req` 'add' asks for that, and so does
    MXNet itself if eight or more operators read one Symbol. The copy can. An identity would be
    optimised away.
    """
    return data if onednn(dtype) else mx.sym.SequenceMask(data, **_named(name, 'apart'))


def wanted(bias: Symbol, arrays: Sequence[Symbol], dtype: Kind, name: str | None = None) -> Symbol:
    """`bias` for the operator's vector; its gradient is computed if one of `arrays` needs one.

    The operator has wrong gradients of data and states if its vector needs no gradient, as in a
    frozen layer. So the bias gets a term that depends on them and is 0. The term is selected, not
    multiplied, so NaN and infinity do not pass.
    """
    if onednn(dtype):
        return bias
    some = [mx.sym.slice_axis(mx.sym.Reshape(array, shape=(-1,), **_named(name, 'flat%d' % i)),
                              axis=0, begin=0, end=1, **_named(name, 'some%d' % i))
            for i, array in enumerate(arrays)]
    total = mx.sym.add_n(*some, **_named(name, 'total'))
    zero = mx.sym.zeros_like(total, **_named(name, 'zero'))
    nothing = mx.sym.where(zero, total, zero, **_named(name, 'nothing'))
    return mx.sym.broadcast_add(bias, nothing, attr={ADDS_NOTHING: 'True'},
                                **_named(name, 'wanted'))


def operator_vector(mode: str, layers: Sequence[Sequence[BaseRNNCell]], inputs: Symbol,
                    states: Sequence[Symbol], name: str, width: int = 0,
                    dtype: Kind = None) -> Symbol:
    """The vector of sym.RNN, assembled in the graph from ordinary cells' weights.

    Parameters
    ----------
    mode : str
        sym.RNN's mode.
    layers : list of list of RNNCell, LSTMCell or GRUCell
        The cells of each layer, one for each direction; all of one kind and width.
    inputs : Symbol
        Of shape (length, batch, channels).
    states : list of Symbol
        The begin states that the operator gets.
    name : str
        The beginning of the nodes' names.
    width : int
        Channels of `inputs`; 0 if unknown.
    dtype : type, optional
        Type of the weights, if it is known.
    """
    units = layers[0][0]._num_hidden
    arrays: dict[str, Symbol] = {}
    row = zero_row(inputs, name)
    for i, layer in enumerate(layers):
        rows = []
        for direction, cell in zip('lr', layer):
            own = '%s%d_' % (direction, i)
            (i2h, h2h, *biases), last = cell_arrays(cell, row, width, dtype, name + own, units)
            if not arrays:  # one array of the vector is enough
                biases[0] = wanted(biases[0], [inputs, *states], dtype, name)
            arrays[own + 'i2h_weight'] = i2h if width == units else _rows(i2h, units)
            arrays[own + 'h2h_weight'] = h2h
            for group, bias in zip(GROUPS, biases):
                arrays[own + gate_array(group, 'bias')] = _rows(bias, units)
            rows.append(last)
        row, width = rows[0], units * len(layer)
        if len(rows) > 1:
            row = mx.sym.Concat(*rows, dim=1, name='%s%d_row' % (name, i))
    layout = FusedLayout(mode, units, len(layers), len(layers[0]) == 2)
    joined = mx.sym.Concat(*[arrays[array.name] for array in layout.arrays(0, by_gate=False)],
                           dim=0, name=name + 'rows')
    return mx.sym.Reshape(joined, shape=(-1,), name=name + 'parameters')


def zero_row(inputs: Symbol, name: str) -> Symbol:
    """One row of zeros, as wide as time-major `inputs`; no gradient passes through it."""
    step = mx.sym.slice_axis(inputs, axis=0, begin=0, end=1, name=name + 'step')
    part = mx.sym.slice_axis(step, axis=1, begin=0, end=1, name=name + 'part')
    return mx.sym.zeros_like(mx.sym.Flatten(part, name=name + 'flat'), name=name + 'row')


def cell_arrays(cell: BaseRNNCell, row: Symbol, width: int, dtype: Kind, name: str, rows: int = 0
                ) -> tuple[list[Symbol], Symbol]:
    """The weights and then the biases of `cell`, and a row as wide as its output. Their shapes are
    inferred although a Concat reads them.

    The cell's input is as wide as `row`; `width` and `dtype` are given if they are known. A weight
    that already has rows of the width `rows` is used unchanged.
    """
    units = cell._num_hidden
    weights: list[Symbol] = []
    biases: list[Symbol] = []
    for group, weight, bias in zip(GROUPS, (cell._iW, cell._hW), (cell._iB, cell._hB)):
        array = '%s%s_' % (name, group)
        weight, vector = _inferred(weight, len(cell._gate_names) * units, width, row, dtype, array)
        plain = width == rows and dtype is not None
        shaped = weight
        if bias is None or not plain:
            shaped = mx.sym.reshape_like(weight, vector, lhs_begin=0, lhs_end=1, rhs_begin=0,
                                         rhs_end=1, name=array + 'weight')
        weights.append(weight if plain else shaped)
        biases.append(
            _no_bias(shaped, array) if bias is None else
            mx.sym._internal._identity_with_attr_like_rhs(bias, vector, name=array + 'bias'))
        row, width = _first(vector, units), units
    return weights + biases, row


def _no_bias(weight: Symbol, name: str) -> Symbol:
    """A bias of zeros, with an element for each row of `weight`. It is made only from `weight`, so
    that `fold` can compute it."""
    column = mx.sym.slice_axis(weight, axis=1, begin=0, end=1, name=name + 'column')
    return mx.sym.zeros_like(mx.sym.Reshape(column, shape=(-1,), name=name + 'column_flat'),
                             name=name + 'bias')


def _rows(array: Symbol, length: int) -> Symbol:
    return mx.sym.Reshape(array, shape=(-1, length), name=array.name + '_rows')


def _first(vector: Symbol, length: int) -> Symbol:
    """The beginning of `vector` as one row."""
    part = mx.sym.slice_axis(vector, axis=0, begin=0, end=length, name=vector.name + '_part')
    return mx.sym.Reshape(part, shape=(1, length), name=vector.name + '_row')


def _inferred(weight: Symbol, length: int, width: int, row: Symbol, dtype: Kind, name: str
              ) -> tuple[Symbol, Symbol]:
    """The weight, with a width that MXNet infers, and a vector with an element for each row.

    Only the vector's shape matters. Looking up a few rows costs nothing: not forwards, and not
    backwards, because no gradient reaches it. If the width (0) or the type (None) of `weight` is
    unknown, it comes from copies of `row`.
    """
    if width and dtype is not None:
        indices = mx.sym.zeros((-(-length // width),), name=name + 'indices')
        some = mx.sym.Embedding(indices, weight, input_dim=length, output_dim=width, dtype=dtype,
                                name=name + 'lookup')
    else:
        some = mx.sym.broadcast_axis(row, axis=0, size=length, name=name + 'copies')
        weight = mx.sym._internal._identity_with_attr_like_rhs(weight, some, name=name + 'like')
    return weight, mx.sym.slice_axis(mx.sym.Reshape(some, shape=(-1,), name=name + 'flat'), axis=0,
                                     begin=0, end=length, name=name + 'vector')


def sized(vector: Symbol, layout: FusedLayout, prefix: str, inputs: Symbol) -> Symbol:
    """`vector`, with its size inferred from the width of `inputs`, without sym.RNN."""
    row = zero_row(inputs, prefix)
    first = mx.sym.broadcast_axis(row, axis=0, size=layout.size(1) - layout.size(0))
    rest = mx.sym.broadcast_axis(mx.sym.slice_axis(row, axis=1, begin=0, end=1), axis=1,
                                 size=layout.size(0))
    hint = mx.sym.Concat(mx.sym.Reshape(first, shape=(-1,)), mx.sym.Reshape(rest, shape=(-1,)),
                         dim=0)
    return mx.sym._internal._identity_with_attr_like_rhs(
        vector, hint, name=prefix + 'sized',
        attr={LAYOUT: json.dumps([prefix, *layout])})


def arrays_of(vector: Symbol, layout: FusedLayout, probe: Symbol | None = None
              ) -> list[list[Symbol]]:
    """The vector's arrays, by layer and direction: i2h_weight, h2h_weight, i2h_bias, h2h_bias
    and, with a projection, h2r_weight.

    The width of the inputs is unknown here, so places are counted from the vector's end. MXNet
    cannot infer the vector's size through slices; if the size is unknown, `probe` makes it do so.
    """
    def slices(begin: int, end: int | None) -> Symbol:
        return mx.sym.slice_axis(vector, axis=0, begin=begin, end=end)

    def equal_parts(array: Symbol, number: int) -> list[Symbol]:
        return list(mx.sym.SliceChannel(mx.sym.reshape(array, shape=(number, -1)),
                                        num_outputs=number, axis=0))

    size, directions = layout.size(0), 1 + layout.bidirectional
    arrays = list(layout.arrays(0, by_gate=False))
    weights = [array for array in arrays if array.kind == 'weight']
    first = [array for array in weights if array.layer == 0]
    upper, biases = weights[len(first):], arrays[len(weights):]
    end, last = first[-1].end - size, biases[0].begin - size
    count = len(first) // directions  # for each cell
    by_cell = equal_parts(slices(0, end), directions)
    if upper:
        by_cell += equal_parts(slices(end, last), len(upper) // count)
    tail = slices(last, None)
    if probe is not None:
        tail = mx.sym.broadcast_add(tail, mx.sym.sum(mx.sym.zeros_like(probe)))
    vectors = equal_parts(tail, len(biases))
    found = []
    for i, weight in enumerate(by_cell):
        own = weights[count * i:count * (i + 1)]
        borders = [-sum(math.prod(array.shape) for array in own[k:]) or None
                   for k in range(1, count + 1)]
        i2h, h2h, *h2r = [
            mx.sym.reshape(mx.sym.slice_axis(weight, axis=1, begin=begin, end=end),
                           shape=(array.shape[0], -1))
            for array, begin, end in zip(own, [0, *borders], borders)]
        bias = [mx.sym.reshape(each, shape=(own[0].shape[0], -1))
                for each in vectors[2 * i:2 * i + 2]]
        found.append([i2h, h2h, *bias, *h2r])
    return found
