"""Operators that move elements: reshaping, reordering, cutting, joining, repeating."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ..._graph.sizes import Size, SizeError, divide, product, resolve, same, unify, unify_all
from .builder import Builder, Value
from .sizes import Unsupported, interval
from .table import Attributes, converts, positive

__all__ = ['concat', 'reshaped']


@converts('Reshape')
def _reshape(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    codes = attributes.integers('shape', ())
    if not codes:
        raise Unsupported("a Reshape without 'shape'")
    if attributes.flag('reverse'):
        shape = _target(inputs[0].shape[::-1], codes[::-1])[::-1]
    else:
        shape = _target(inputs[0].shape, codes)
    return reshaped(builder, inputs[0], shape)


def reshaped(builder: Builder, value: Value, shape: Sequence[Any]) -> Value:
    """Reshape to `shape`, in which None is a size that only the file, when it runs, can know."""
    if None not in shape:
        return builder.reshape(value, shape)
    vector = builder.vector([-1 if size is None else size for size in shape])
    return builder.node('Reshape', [value, vector], shape)


def _target(shape: Sequence[Size], codes: Sequence[int]) -> list[Any]:
    """The shape that MXNet's Reshape gives; None for what cannot be written down.

    Codes: 0 copies an axis, -1 takes what is left, -2 copies all further axes, -3 joins two,
    -4 splits one into the two sizes that follow.
    """
    rest, result, free = list(shape), [], None
    pending = list(codes)
    while pending:
        code = pending.pop(0)
        if code == 0:
            result.append(_take(rest))
        elif code == -1:
            free = len(result)
            result.append(1)
            rest[:1] = []
        elif code == -2:
            result.extend(rest)
            rest = []
        elif code == -3:
            result.append(product((_take(rest), _take(rest))))
        elif code == -4:
            whole, parts = _take(rest), [_take(pending), _take(pending)]
            if -1 in parts:
                part = parts.index(-1)
                parts[part] = divide(whole, parts[1 - part])
            result.extend(parts)
        elif code > 0:
            result.append(code)
            rest[:1] = []
        else:
            raise Unsupported('the code %d in the shape of a Reshape' % code)
    if free is not None:
        others = [size for size in result if size is not None]
        result[free] = divide(product(shape), product(others)) if len(others) == len(
            result) else None
    elif None not in result:
        unify(product(shape), product(result))
    if result.count(None) > 1:
        raise Unsupported('a Reshape with two sizes that depend on the data')
    return result


def _take(items: list[Any]) -> Any:
    if not items:
        raise Unsupported('a Reshape with more codes than axes')
    return items.pop(0)


@converts('reshape_like')
def _reshape_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, like = inputs

    def bounds(side: str, rank: int) -> tuple[int, int]:
        begin = attributes.integer(side + '_begin', 0)
        end = attributes.integer(side + '_end', rank)
        return begin + rank * (begin < 0), end + rank * (end < 0)
    first, last = bounds('lhs', data.rank)
    begin, end = bounds('rhs', like.rank)
    unify(product(data.shape[first:last]), product(like.shape[begin:end]))
    return builder.reshape(data, data.shape[:first] + like.shape[begin:end] + data.shape[last:])


@converts('Flatten')
def _flatten(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    return builder.reshape(data, (data.shape[0], product(data.shape[1:])))


@converts('transpose')
def _transpose(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    rank = inputs[0].rank
    axes = attributes.integers('axes', ()) or tuple(range(rank))[::-1]
    order = [positive(axis, rank) for axis in axes]
    if sorted(order) != list(range(rank)):
        raise Unsupported('axes %s of an array of %d axes' % (axes, rank))
    return builder.transpose(inputs[0], order)


@converts('SwapAxis')
def _swap(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    rank = inputs[0].rank
    first, second = (positive(attributes.integer(name, 0), rank) for name in ('dim1', 'dim2'))
    order = list(range(rank))
    order[first], order[second] = second, first
    return builder.transpose(inputs[0], order)


@converts('expand_dims')
def _expand(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.unsqueeze(inputs[0], positive(attributes.integer('axis'), inputs[0].rank + 1))


@converts('squeeze')
def _squeeze(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    axes = attributes.integers('axis', None)
    if axes is None:
        if not all(isinstance(resolve(size), int) for size in data.shape):
            raise Unsupported('a squeeze without axis, of an array whose shape is not known')
        axes = [i for i, size in enumerate(data.shape) if resolve(size) == 1]
    for axis in sorted((positive(axis, data.rank) for axis in axes), reverse=True):
        unify(data.shape[axis], 1)
        data = builder.squeeze(data, axis)
    return data if data.rank else builder.reshape(data, (1,))


@converts('shape_array')
def _shape_array(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('Shape', inputs, (inputs[0].rank,), np.int64)


@converts('size_array')
def _size_array(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.reshape(builder.node('Size', inputs, (), np.int64), (1,))


@converts('slice_axis')
def _slice_axis(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    axis = positive(attributes.integer('axis'), data.rank)
    begin, end = attributes.integer('begin'), attributes.integer('end', None)
    return builder.slice(data, axis, begin, end, interval(begin, end, data.shape[axis]))


@converts('slice')
def _slice(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    begins, ends = attributes.integers('begin'), attributes.integers('end')
    steps = attributes.integers('step', ()) or (None,) * len(begins)
    if not len(begins) == len(ends) == len(steps) <= data.rank:
        raise Unsupported('a slice from %s to %s of %d axes' % (begins, ends, data.rank))
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps)):
        step = 1 if step in (None, 0) else step
        if (begin, end, step) not in ((None, None, 1), (0, None, 1)):
            size = interval(begin, end, data.shape[axis], step)
            start = (0 if step > 0 else 2**62) if begin is None else begin
            data = builder.slice(data, axis, start, end, size, step)
    return data


@converts('slice_like')
def _slice_like(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, like = inputs
    axes = attributes.integers('axes', ()) or range(data.rank)
    for axis in sorted(positive(axis, data.rank) for axis in axes):
        if not same(data.shape[axis], like.shape[axis]):
            ends = builder.vector([like.shape[axis]])
            zero, where = builder.constant([0], 'int64'), builder.constant([axis], 'int64')
            data = builder.node('Slice', [data, zero, ends, where], data.shape[:axis] +
                                (like.shape[axis],) + data.shape[axis + 1:])
    return data


def concat(builder: Builder, values: Sequence[Value], axis: int) -> Value:
    """The values one behind the other along `axis`."""
    if len(values) == 1:
        return values[0]
    shape = list(values[0].shape)
    total: Any = 0
    for value in values:
        if value.rank != len(shape):
            raise SizeError('%d axes and %d axes' % (value.rank, len(shape)))
        for i, size in enumerate(value.shape):
            if i != axis:
                shape[i] = unify(shape[i], size)
        size = resolve(value.shape[axis])
        total = total + size if isinstance(size, int) and total is not None else None
    if total is None and all(same(value.shape[axis], values[0].shape[axis]) for value in values):
        total = product([values[0].shape[axis]], len(values))
    shape[axis] = total
    return builder.node('Concat', values, shape, axis=axis)


@converts('Concat', '_rnn_param_concat')
def _concat(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return concat(builder, inputs, positive(attributes.integer('dim', 1), inputs[0].rank))


@converts('stack')
def _stack(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    axis = positive(attributes.integer('axis', 0), inputs[0].rank + 1)
    for value in inputs[1:]:
        unify_all(inputs[0].shape, value.shape)
    return concat(builder, [builder.unsqueeze(value, axis) for value in inputs], axis)


@converts('SliceChannel')
def _split(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> list[Value]:
    data, count = inputs[0], attributes.integer('num_outputs')
    axis = positive(attributes.integer('axis', 1), data.rank)
    squeezed = attributes.flag('squeeze_axis')
    size = unify(data.shape[axis], count) if squeezed else resolve(data.shape[axis])
    if isinstance(size, int) and size % count:
        raise SizeError('%d and a multiple of %d' % (size, count))
    shape = data.shape[:axis] + (divide(size, count),) + data.shape[axis + 1:]
    parts = [data] if count == 1 else builder.nodes('Split', [data], [shape] * count, axis=axis)
    return [builder.squeeze(part, axis) for part in parts] if squeezed else parts


@converts('_split_v2')
def _split_at(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> list[Value]:
    data, axis = inputs[0], positive(attributes.integer('axis', 1), inputs[0].rank)
    sections, size = attributes.integer('sections', 0), resolve(data.shape[axis])
    if sections > 0:
        starts = None
        count = sections
    else:
        starts = list(attributes.integers('indices'))
        count = len(starts)
    if not isinstance(size, int):
        raise Unsupported('a split at given places of an axis whose size is not known')
    if starts is None:
        starts = [i * size // count for i in range(count)]
    parts = [builder.slice(data, axis, begin, end, interval(begin, end, size))
             for begin, end in zip(starts, starts[1:] + [size])]
    if attributes.flag('squeeze_axis'):
        parts = [builder.squeeze(part, axis) for part in parts]
    return parts


@converts('reverse')
def _reverse(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    for axis in attributes.integers('axis'):
        axis = positive(axis, data.rank)
        data = builder.slice(data, axis, -1, None, data.shape[axis], -1)
    return data


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
