"""The weights of ordinary cells as sym.RNN takes them, in the graph."""
from __future__ import annotations

from typing import Any, Sequence

from .._graph.layout import GROUPS, FusedLayout, gate_array
from .._runtime.mxnet import mx
from .gradients import wanted

__all__ = ['cell_arrays', 'operator_vector', 'zero_row']


def operator_vector(mode: str, layers: Sequence[Sequence[Any]], inputs: mx.sym.Symbol,
                    states: Sequence[mx.sym.Symbol], name: str, width: int = 0,
                    dtype: Any = None) -> mx.sym.Symbol:
    """The vector of sym.RNN, assembled in the graph from the weights of ordinary cells.

    Parameters
    ----------
    mode : str
        Of sym.RNN.
    layers : list of list of RNNCell, LSTMCell or GRUCell
        The cells of each layer, one for each direction; all of one kind and width.
    inputs : Symbol
        Of shape (length, batch, channels).
    states : list of Symbol
        The begin states that the operator takes.
    name : str
        What the names of the nodes begin with.
    width : int
        Channels of `inputs`, 0 if that is not known.
    dtype : type, optional
        Of the weights, if it is known.
    """
    units = layers[0][0]._num_hidden
    arrays: dict[str, mx.sym.Symbol] = {}
    row = zero_row(inputs, name)
    for i, layer in enumerate(layers):
        rows = []
        for direction, cell in zip('lr', layer):
            own = '%s%d_' % (direction, i)
            (i2h, h2h, *biases), last = cell_arrays(cell, row, width, dtype, name + own)
            if not arrays:  # one array of the vector is enough
                biases[0] = wanted(biases[0], [inputs, *states], dtype, name)
            fits = width == units
            if dtype is not None:  # in rows of num_hidden most of the matrices need no copy
                i2h, h2h = cell._iW if fits else i2h, cell._hW
            arrays[own + 'i2h_weight'] = i2h if fits else _rows(i2h, units)
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


def zero_row(inputs: mx.sym.Symbol, name: str) -> mx.sym.Symbol:
    """One row as wide as time-major `inputs`, of zeros, through which no gradient comes."""
    step = mx.sym.slice_axis(inputs, axis=0, begin=0, end=1, name=name + 'step')
    part = mx.sym.slice_axis(step, axis=1, begin=0, end=1, name=name + 'part')
    return mx.sym.zeros_like(mx.sym.Flatten(part, name=name + 'flat'), name=name + 'row')


def cell_arrays(cell: Any, row: mx.sym.Symbol, width: int, dtype: Any, name: str
            ) -> tuple[list[mx.sym.Symbol], mx.sym.Symbol]:
    """The weights and then the biases of `cell`, with shapes that are inferred though a Concat
    takes them; and one row as wide as its output.

    The cell's input is as wide as `row`; `width` and `dtype` say so if they are known.
    """
    units = cell._num_hidden
    weights, biases = [], []
    for group, weight, bias in zip(GROUPS, (cell._iW, cell._hW), (cell._iB, cell._hB)):
        array = '%s%s_' % (name, group)
        weight, vector = _inferred(weight, len(cell._gate_names) * units, width, row, dtype, array)
        weights.append(weight)
        biases.append(
            _no_bias(weight, array) if bias is None else
            mx.sym._internal._identity_with_attr_like_rhs(bias, vector, name=array + 'bias'))
        row, width = _first(vector, units), units
    return weights + biases, row


def _no_bias(weight: mx.sym.Symbol, name: str) -> mx.sym.Symbol:
    """A bias of zeros, as long as `weight` has rows and made of it alone, so that `fold` can
    compute it."""
    column = mx.sym.slice_axis(weight, axis=1, begin=0, end=1, name=name + 'column')
    return mx.sym.zeros_like(mx.sym.Reshape(column, shape=(-1,), name=name + 'column_flat'),
                             name=name + 'bias')


def _rows(array: mx.sym.Symbol, length: int) -> mx.sym.Symbol:
    return mx.sym.Reshape(array, shape=(-1, length), name=array.name + '_rows')


def _first(vector: mx.sym.Symbol, length: int) -> mx.sym.Symbol:
    """The begin of `vector` as one row."""
    part = mx.sym.slice_axis(vector, axis=0, begin=0, end=length, name=vector.name + '_part')
    return mx.sym.Reshape(part, shape=(1, length), name=vector.name + '_row')


def _inferred(weight: mx.sym.Symbol, length: int, width: int, row: mx.sym.Symbol, dtype: Any,
              name: str) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
    """The weight, with a shape that MXNet infers, and a vector as long as it has rows.

    Only the vector's shape matters. Looking up a few rows costs nothing, neither forwards nor
    (as no gradient comes to it) backwards; where the width of `weight` is not known (0) or its type
    is not (None), both come from copies of `row`.
    """
    if width and dtype is not None:
        indices = mx.sym.zeros((-(-length // width),), name=name + 'indices')
        some = mx.sym.Embedding(indices, weight, input_dim=length, output_dim=width, dtype=dtype,
                                name=name + 'lookup')
    else:
        some = mx.sym.broadcast_axis(row, axis=0, size=length, name=name + 'copies')
        weight = mx.sym._internal._identity_with_attr_like_rhs(weight, some, name=name + 'like')
    vector = mx.sym.slice_axis(mx.sym.Reshape(some, shape=(-1,), name=name + 'flat'), axis=0,
                               begin=0, end=length, name=name + 'vector')
    return mx.sym.reshape_like(weight, vector, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=1,
                               name=name + 'weight'), vector
