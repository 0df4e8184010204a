"""Operators that repeat or pad."""
from __future__ import annotations

from typing import Sequence

from .builder import Builder, Value
from .errors import Unsupported
from .sizes import SizeError, product, resolve, unify
from .table import Attributes, converts, positive

__all__: list[str] = []


@converts('tile')
def _tile(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, counts = inputs[0], attributes.integers('reps')
    rank = max(data.rank, len(counts))
    data = builder.reshape(data, (1,) * (rank - data.rank) + tuple(data.shape))
    counts = (1,) * (rank - len(counts)) + counts
    shape = [product([size], count) for size, count in zip(data.shape, counts)]
    return builder.node('Tile', [data, builder.constant(counts, 'int64')], shape)


@converts('repeat')
def _repeat(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, count = inputs[0], attributes.integer('repeats')
    if 'axis' not in attributes:
        data = builder.reshape(data, (product(data.shape),))
    axis = positive(attributes.integer('axis', 0), data.rank)
    shape = data.shape
    wide = builder.unsqueeze(data, axis + 1)
    counts = [1] * wide.rank
    counts[axis + 1] = count
    wide = builder.node('Tile', [wide, builder.constant(counts, 'int64')],
                        [product(pair) for pair in zip(wide.shape, counts)])
    return builder.reshape(wide, shape[:axis] + (product([shape[axis]], count),) +
                           shape[axis + 1:])


@converts('Pad')
def _pad(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, widths = inputs[0], attributes.integers('pad_width')
    if len(widths) != 2 * data.rank:
        raise Unsupported('pad_width %s of an array of %d axes' % (widths, data.rank))
    shape = []
    for size, before, after in zip(data.shape, widths[::2], widths[1::2]):
        size = resolve(size)
        shape.append(size + before + after if isinstance(size, int) else
                     None if before + after else size)
    mode = attributes.text('mode')
    pads = builder.constant(widths[::2] + widths[1::2], 'int64')
    value = [builder.scalar(attributes.number('constant_value', 0.0), data)]
    return builder.node('Pad', [data, pads] + (value if mode == 'constant' else []), shape,
                        mode=mode)


@converts('broadcast_axis')
def _broadcast_axis(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, shape = inputs[0], list(inputs[0].shape)
    for axis, size in zip(attributes.integers('axis', ()), attributes.integers('size', ())):
        axis = positive(axis, data.rank)
        unify(shape[axis], 1)
        shape[axis] = size
    return builder.node('Expand', [data, builder.vector(shape)], shape)


@converts('broadcast_to')
def _broadcast_to(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, sizes = inputs[0], attributes.integers('shape')
    if len(sizes) != data.rank:
        raise SizeError('%d axes and %d axes' % (len(sizes), data.rank))
    shape = [size or own for size, own in zip(sizes, data.shape)]
    return builder.node('Expand', [data, builder.vector(shape)], shape)


@converts('broadcast_like')
def _broadcast_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, like = inputs
    if 'lhs_axes' in attributes:
        shape = list(data.shape)
        for axis, other in zip(attributes.integers('lhs_axes'), attributes.integers('rhs_axes')):
            shape[positive(axis, data.rank)] = like.shape[positive(other, like.rank)]
    else:
        shape = list(like.shape)
    return builder.node('Expand', [data, builder.vector(shape)], shape)
