"""Operators that make arrays, move elements or look them up."""
from __future__ import annotations

import functools
from typing import Any, Sequence

import numpy as np

from ..._graph.graph import Node
from ..._graph.shapes.sizes import Axis, Size, add, least, product, resolve, same
from ..registry import Unsupported, converts
from .builder import Builder, Value

__all__ = ['concat', 'dtype_of', 'indices', 'shape_of']


converts('Reshape', 'reshape_like', 'Flatten')(
    lambda builder, node, data, *like: builder.reshape(data, builder.out))


@converts('transpose')
def _transpose(builder: Builder, node: Node, data: Value) -> Value:
    axes = node.axes or range(data.rank)[::-1]
    return builder.transpose(data, [axis % data.rank for axis in axes])


@converts('SwapAxis')
def _swap(builder: Builder, node: Node, data: Value) -> Value:
    first, second = node.dim1 % data.rank, node.dim2 % data.rank
    order = list(range(data.rank))
    order[first], order[second] = second, first
    return builder.transpose(data, order)


converts('expand_dims')(lambda builder, node, data: builder.unsqueeze(
    data, node.axis % (data.rank + 1)))
converts('shape_array')(lambda builder, node, data: builder.node(
    'Shape', [data], (data.rank,), np.int64))
converts('size_array')(lambda builder, node, data: builder.reshape(
    builder.node('Size', [data], (), np.int64), (1,)))
converts('Concat', '_rnn_param_concat')(lambda builder, node, *inputs: concat(
    builder, inputs, node.dim % inputs[0].rank))


@converts('squeeze')
def _squeeze(builder: Builder, node: Node, data: Value) -> Value:
    axes = node.axis
    if axes is None:
        if not all(isinstance(resolve(size), int) for size in data.shape):
            raise Unsupported('a squeeze without axis, of an array of unknown shape')
        axes = [i for i, size in enumerate(data.shape) if resolve(size) == 1]
    for axis in sorted((axis % data.rank for axis in axes), reverse=True):
        data = builder.squeeze(data, axis)
    return data if data.rank else builder.reshape(data, (1,))


@converts('slice_axis')
def _slice_axis(builder: Builder, node: Node, data: Value) -> Value:
    axis = node.axis % data.rank
    needed = least(node.begin, node.end)
    if isinstance(resolve(data.shape[axis]), int) or needed == 1:
        return builder.slice(data, axis, node.begin, node.end, builder.out[axis])
    # Slice silently returns shorter parts; a look-up refuses positions beyond the end.
    number = functools.partial(builder.constant, dtype='int64')
    count = builder.reshape(builder.vector([data.shape[axis]]), ())
    places = builder.node('Range', [number(0), count, number(1)], (data.shape[axis],))
    last = builder.node('Gather', [places, number([needed - 1])], (1,))
    begin = last + number([node.begin - needed + 1])
    end = number([2**62 if node.end is None else node.end])
    return builder.node('Slice', [data, begin, end, number([axis])], builder.out)


@converts('slice')
def _slice(builder: Builder, node: Node, data: Value) -> Value:
    begins, ends, steps = node.begin, node.end, node.step or (None,) * len(node.begin)
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps)):
        step = 1 if step in (None, 0) else step
        if (begin, end, step) not in ((None, None, 1), (0, None, 1)):
            start = (0 if step > 0 else 2**62) if begin is None else begin
            data = builder.slice(data, axis, start, end, builder.out[axis], step)
    return data


@converts('slice_like')
def _slice_like(builder: Builder, node: Node, data: Value, like: Value) -> Value:
    for axis in sorted(axis % data.rank for axis in node.axes or range(data.rank)):
        if not same(data.shape[axis], like.shape[axis]):
            ends = builder.vector([like.shape[axis]])
            zero, where = builder.constant([0], 'int64'), builder.constant([axis], 'int64')
            data = builder.node('Slice', [data, zero, ends, where], data.shape[:axis] +
                                (like.shape[axis],) + data.shape[axis + 1:])
    return data


def concat(builder: Builder, values: Sequence[Value], axis: int) -> Value:
    """The values joined along `axis`."""
    if len(values) == 1:
        return values[0]
    shape: list[Any] = list(values[0].shape)
    shape[axis] = add(*(value.shape[axis] for value in values))
    return builder.node('Concat', values, shape, axis=axis)


@converts('stack')
def _stack(builder: Builder, node: Node, *inputs: Value) -> Value:
    axis = node.axis % (inputs[0].rank + 1)
    return concat(builder, [builder.unsqueeze(value, axis) for value in inputs], axis)


@converts('SliceChannel')
def _split(builder: Builder, node: Node, data: Value) -> list[Value]:
    count, axis = node.num_outputs, node.axis % data.rank
    shape = (*builder.out[:axis], 1, *builder.out[axis:]) if node.squeeze_axis else builder.out
    parts = [data] if count == 1 else builder.nodes('Split', [data], [shape] * count, axis=axis)
    return [builder.squeeze(part, axis) for part in parts] if node.squeeze_axis else parts


@converts('_split_v2')
def _split_at(builder: Builder, node: Node, data: Value) -> list[Value]:
    axis = node.axis % data.rank
    size = resolve(data.shape[axis])
    if not isinstance(size, int) or size % (node.sections or 1):
        raise Unsupported('a split into unequal parts, or along an axis of unknown size')
    starts = [i * size // node.sections for i in range(node.sections)] or list(node.indices)
    parts = [builder.slice(data, axis, begin, end, max(end - begin, 0))
             for begin, end in zip(starts, starts[1:] + [size])]
    if node.squeeze_axis:
        parts = [builder.squeeze(part, axis) for part in parts]
    return parts


@converts('reverse')
def _reverse(builder: Builder, node: Node, data: Value) -> Value:
    for axis in node.axis:
        axis = axis % data.rank
        data = builder.slice(data, axis, -1, None, data.shape[axis], -1)
    return data


@converts('tile')
def _tile(builder: Builder, node: Node, data: Value) -> Value:
    rank = max(data.rank, len(node.reps))
    data = builder.reshape(data, (1,) * (rank - data.rank) + data.shape)
    counts = (1,) * (rank - len(node.reps)) + node.reps
    return builder.node('Tile', [data, builder.constant(counts, 'int64')], builder.out)


@converts('repeat')
def _repeat(builder: Builder, node: Node, data: Value) -> Value:
    if node.axis is None:
        data = builder.reshape(data, (product(data.shape),))
    axis = 0 if node.axis is None else node.axis % data.rank
    wide = builder.unsqueeze(data, axis + 1)
    counts = [node.repeats if at == axis + 1 else 1 for at in range(wide.rank)]
    wide = builder.node('Tile', [wide, builder.constant(counts, 'int64')],
                        [product(pair) for pair in zip(wide.shape, counts)])
    return builder.reshape(wide, builder.out)


@converts('Pad')
def _pad(builder: Builder, node: Node, data: Value) -> Value:
    widths = node.pad_width
    inputs = [data, builder.constant(widths[::2] + widths[1::2], 'int64')]
    if node.mode == 'constant':
        inputs.append(builder.scalar(node.constant_value, data))
    return builder.node('Pad', inputs, builder.out, mode=node.mode)


converts('broadcast_axis', 'broadcast_to', 'broadcast_like')(
    lambda builder, node, data, *like: builder.node(
        'Expand', [data, builder.vector(builder.out)], builder.out))
converts('depth_to_space')(lambda builder, node, data: builder.node(
    'DepthToSpace', [data], builder.out, blocksize=node.block_size))
converts('space_to_depth')(lambda builder, node, data: builder.node(
    'SpaceToDepth', [data], builder.out, blocksize=node.block_size))


# ---- new arrays

def shape_of(node: Node) -> tuple[Size, ...]:
    """The attribute 'shape', in which 0 and -1 leave the size to the rest of the graph."""
    if not node.shape or min(node.shape) < -1:
        raise Unsupported('an array of the shape %s' % (node.shape,))
    return tuple(size if size > 0 else Axis() for size in node.shape)


def dtype_of(node: Node) -> np.dtype:
    """The type that the attribute 'dtype' names."""
    if node.dtype == 'bfloat16':
        raise Unsupported('the type bfloat16')
    return np.dtype(node.dtype)


@converts('_zeros', '_ones', '_full')
def _filled(builder: Builder, node: Node) -> Value:
    number = node.value if node.op == '_full' else int(node.op == '_ones')
    return builder.fill(number, shape_of(node), dtype_of(node))


@converts('_zeros_without_dtype')
def _zeros_of_floats(builder: Builder, node: Node) -> Value:
    if node.dtype not in (-1, 0):
        raise Unsupported('the type %d' % node.dtype)
    return builder.fill(0, shape_of(node), np.dtype('float32'))


converts('zeros_like', 'ones_like')(lambda builder, node, data: builder.fill(
    int(node.op == 'ones_like'), data.shape, data.dtype))
converts('_eye')(lambda builder, node: builder.constant(
    np.eye(node.N, node.M or node.N, node.k), dtype_of(node)))
converts('_linspace')(lambda builder, node: builder.constant(np.linspace(
    node.start, node.stop, node.num, endpoint=node.endpoint), dtype_of(node)))


@converts('_arange')
def _arange(builder: Builder, node: Node) -> Value:
    if node.infer_range:
        raise Unsupported('a range whose length is inferred')
    start, stop = (0.0, node.start) if node.stop is None else (node.start, node.stop)
    numbers = np.arange(start, stop, node.step)
    return builder.constant(np.repeat(numbers, node.repeat), dtype_of(node))


@converts('_contrib_arange_like')
def _arange_like(builder: Builder, node: Node, data: Value) -> Value:
    if node.repeat != 1:
        raise Unsupported('an arange_like that repeats')
    shape = data.shape if node.axis is None else (data.shape[node.axis],)
    size = builder.reshape(builder.vector([product(shape)]), ())
    steps = [builder.constant(number, 'int64') for number in (0, 1)]
    count = builder.node('Range', [steps[0], size, steps[1]], (product(shape),))
    numbers = builder.cast(count, data.dtype)
    numbers = numbers if node.step == 1 else numbers * node.step
    numbers = numbers if node.start == 0 else numbers + node.start
    return builder.reshape(numbers, shape)


# ---- looking up

def indices(builder: Builder, value: Value, size: Size, mode: str = 'clip') -> Value:
    """Numbers as indices into an axis of `size`; outside the axis they behave as in MXNet."""
    places = builder.cast(value, 'int64')
    if mode == 'raise':  # Gather counts numbers below 0 from the end; moves them out of range
        return builder.where(places < 0, 2 ** 62, places)
    count = builder.reshape(builder.vector([size]), ())
    if mode == 'wrap':
        return places.of('Mod', count)
    return places.of('Clip', 0, count - 1)


@converts('take')
def _take(builder: Builder, node: Node, table: Value, places: Value) -> Value:
    axis = node.axis % table.rank
    places = indices(builder, places, table.shape[axis], node.mode)
    return builder.node('Gather', [table, places], builder.out, axis=axis)


@converts('pick')
def _pick(builder: Builder, node: Node, data: Value, index: Value) -> Value:
    if node.axis is None:
        raise Unsupported('a pick without an axis')
    axis = node.axis % data.rank
    places = indices(builder, index, data.shape[axis], node.mode)
    if places.rank < data.rank:
        places = builder.unsqueeze(places, axis)
    picked = _picked(builder, data, places, axis)
    return picked if node.keepdims or data.rank == 1 else builder.squeeze(picked, axis)


def _picked(builder: Builder, data: Value, places: Value, axis: int) -> Value:
    """One element along `axis` at each position; the axis stays with size 1."""
    return builder.node('GatherElements', [data, places],
                        data.shape[:axis] + (1,) + data.shape[axis + 1:], axis=axis)


converts('batch_take')(lambda builder, node, data, index: builder.squeeze(_picked(
    builder, data, builder.unsqueeze(indices(builder, index, data.shape[1]), 1), 1), 1))


@converts('gather_nd')
def _gather_nd(builder: Builder, node: Node, data: Value, index: Value) -> Value:
    count = resolve(index.shape[0])
    if not isinstance(count, int):
        raise Unsupported('a gather_nd over an unknown number of axes')
    order = list(range(1, index.rank)) + [0]
    places = builder.transpose(builder.cast(index, 'int64'), order)
    return builder.node('GatherND', [data, places], builder.out)


@converts('scatter_nd')
def _scatter_nd(builder: Builder, node: Node, data: Value, index: Value) -> Value:
    places = builder.transpose(builder.cast(index, 'int64'), list(range(1, index.rank)) + [0])
    empty = builder.fill(0, node.shape, data.dtype)
    return builder.node('ScatterND', [empty, places, data], node.shape)


@converts('one_hot')
def _one_hot(builder: Builder, node: Node, data: Value) -> Value:
    index = builder.unsqueeze(builder.cast(data, 'int64'), data.rank)
    hit = index.equals(builder.constant(np.arange(node.depth), 'int64'))
    yes, no = (builder.constant(number, node.dtype) for number in (node.on_value, node.off_value))
    return builder.where(hit, yes, no)
