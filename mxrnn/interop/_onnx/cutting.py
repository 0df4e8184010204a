"""Operators that cut and join."""
from __future__ import annotations

from typing import Any, Sequence

from .builder import Builder, Value
from .errors import Unsupported
from .sizes import Size, SizeError, divide, product, resolve, same, unify, unify_all
from .table import Attributes, converts, positive

__all__ = ['concat', 'interval']


def interval(begin: int | None, end: int | None, size: Size, step: int = 1) -> Any:
    """How many of `size` elements begin:end:step takes, or None if that depends on the data."""
    size = resolve(size)
    if isinstance(size, int):
        return len(range(size)[begin:end:step])
    if begin in (0, None) and end is None and abs(step) == 1:
        return size
    known = [bound for bound in (begin, end) if bound is not None]
    if step == 1 and len(known) == 2 and (begin >= 0) == (end >= 0):  # type: ignore[operator]
        return max(known[1] - known[0], 0)  # as long as the axis is long enough
    if step == 1 and end is None and begin is not None and begin < 0:
        return -begin
    if step == 1 and begin in (0, None) and end is not None and end > 0:
        return end
    return None


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


@converts('Concat')
def _concat(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return concat(builder, inputs, positive(attributes.integer('dim', 1), inputs[0].rank))


@converts('_rnn_param_concat')
def _concat_parameters(builder: Builder, attributes: Attributes,
                       inputs: Sequence[Value]) -> Value:
    axis = positive(attributes.integer('dim', 1), inputs[0].rank)
    return concat(builder, inputs, axis)


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
