"""The arrays of sym.RNN's vector, cut from it in a graph."""
from __future__ import annotations

import json
import math

from .._graph.layout import LAYOUT, FusedLayout
from .._runtime.mxnet import mx
from .vector import zero_row

__all__ = ['arrays_of', 'sized']

Symbol = mx.sym.Symbol


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
    and, of a projection, h2r_weight.

    The width of the inputs is not known here, so places are counted from the vector's end.
    Slices don't let the vector's size be inferred; `probe` does, if that is not known.
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
    count = len(first) // directions  # of each cell
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
