"""Operators that move elements or look them up: shapes, axes, parts, joins, indices."""
from __future__ import annotations

import itertools
import re
from typing import Sequence

from ..._graph.graph import Node
from ..._graph.shapes.sizes import least, product
from .emitter_api import Emitted, Expr, Many, Shape, Size, Unsupported, cast, emits, number, writes
from .method_writer import MethodWriter
from .pasted import check_least

__all__ = ['reshaped']


def _merged(shape: Shape, wanted: Shape) -> tuple[int, int] | None:
    """The first and last of the axes that are joined to one axis of `wanted`, if that is all."""
    for first in range(len(shape)):
        for last in range(first + 1, len(shape)):
            if (*shape[:first], product(shape[first:last + 1]), *shape[last + 1:]) == wanted:
                return first, last
    return None


def reshaped(scope: MethodWriter, x: Expr, wanted: Shape, *near: Expr) -> str | Expr:
    """`x` in another shape, by the simplest method for it."""
    if wanted == x.shape:
        return x
    for axis in range(len(wanted)):
        if wanted[:axis] + wanted[axis + 1:] == x.shape and wanted[axis] == 1:
            return '%s.unsqueeze(%d)' % (x.of, axis if axis < x.rank else -1)
    for axis in range(x.rank):
        if x.shape[:axis] + x.shape[axis + 1:] == wanted and x.shape[axis] == 1:
            return _without(x.of, axis)
    merged = _merged(x.shape, wanted)
    if merged is not None:
        last = merged[1]
        return '%s.flatten(%s)' % (x.of, '%d' % merged[0] if last == x.rank - 1 and merged[0]
                                   else '' if last == x.rank - 1 else '%d, %d' % merged)
    texts = _sizes(scope, wanted, near)
    if _is_cut(x.shape, wanted):  # for batch and steps joined, another number of steps may fit
        scope.check_inputs()
    return '%s.reshape(%s)' % (x.of, ', '.join(texts))


def _is_cut(shape: Shape, wanted: Shape) -> bool:
    """Whether a part of `shape` with an axis of any size becomes axes that include a number."""
    while shape and wanted and shape[-1] == wanted[-1]:
        shape, wanted = shape[:-1], wanted[:-1]
    while shape and wanted and shape[0] == wanted[0]:
        shape, wanted = shape[1:], wanted[1:]
    return not all(isinstance(size, int) for size in shape) and any(
        isinstance(size, int) and size > 1 for size in wanted)


def _sizes(scope: MethodWriter, wanted: Shape, near: Sequence[Expr]) -> list[str]:
    """A shape's sizes as text; -1 stands for the size that is hardest to tell."""
    texts, unknown = [], []
    for at, size in enumerate(wanted):
        try:
            texts.append(scope.size(size, *near))
        except Unsupported:
            unknown.append(at)
            texts.append('-1')
    if len(unknown) > 1:
        raise Unsupported("a shape that does not follow from the input's")
    if not unknown:
        longest = max(range(len(texts)), key=lambda at: len(texts[at]))
        if not texts[longest].isdigit():
            texts[longest] = '-1'
    return texts


@emits('Flatten')
def _flatten(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    return '%s.flatten(1)' % x.of if x.rank == 2 else reshaped(scope, x, scope.out[0], x)


@emits('Reshape', 'reshape_like')
def _reshape(scope: MethodWriter, node: Node, x: Expr, *like: Expr) -> Emitted:
    return reshaped(scope, x, scope.out[0], *like, x)


@emits('transpose')
def _transpose(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    axes = node.axes or tuple(reversed(range(x.rank)))
    moved = [axis for axis, place in enumerate(axes) if axis != place]
    if not moved:
        return x
    if len(moved) == 2:
        one, other = moved
        return x.of + '.T' if x.rank == 2 else '%s.transpose(%d, %d)' % (x.of, one, other)
    return '%s.permute(%s)' % (x.of, ', '.join(map(str, axes)))


@emits('SwapAxis')
def _swap_axis(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    return x if node.dim1 == node.dim2 else '%s.transpose(%d, %d)' % (x.of, node.dim1, node.dim2)


writes('{0:.}.unsqueeze({axis})', 'expand_dims')
writes('{0:.}.tile({reps})', 'tile')
writes('{0:.}.flip({axis})', 'reverse')


@emits('squeeze')
def _squeeze(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    axes = [axis for axis, size in enumerate(x.shape) if size == 1] if node.axis is None else [
        axis % x.rank for axis in node.axis]
    axes = sorted(axes)[:x.rank - len(scope.out[0])]  # one axis always stays
    text = x.of
    for axis in reversed(axes):
        text = _without(text, axis)
    return text if axes else x


def _without(text: str, axis: int) -> str:
    """An array without an axis of size 1: x[:, -1:] becomes x[:, -1]."""
    part = re.fullmatch(r'(.+)\[((?::, )*)(-?\d*):(-?\d*)\]', text)
    if part is not None:
        array, axes, begin, end = part.groups()
        first = int(begin or 0)
        if len(axes) == len(':, ') * axis and end == ('' if first == -1 else str(first + 1)):
            return '%s[%s%d]' % (array, axes, first)
    return '%s.squeeze(%d)' % (text, axis)


writes('torch.tensor({0:.}.shape, device={0:.}.device)', 'shape_array')
writes('torch.tensor([{0:.}.numel()], device={0:.}.device)', 'size_array')


# ---- parts

def _span(begin: int | None, end: int | None, step: int | None = None) -> str:
    """A slice in brackets."""
    return '%s:%s%s' % ('' if not begin else begin, '' if end is None else end,
                        '' if step in (None, 1) else ':%d' % step)


@emits('slice_axis')
def _slice_axis(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    span, axis = _span(node.begin, node.end), node.axis % x.rank
    if span == ':':
        return x
    if isinstance(x.shape[axis], int) and axis < x.rank - 1:
        scope.check_inputs()  # of more steps, the others would be left out
    elif not isinstance(x.shape[axis], int) and least(node.begin, node.end) > 1:
        x = scope.named(x)
        scope.check(check_least, '%s.shape[%d]' % (
            x.unswapped, 1 - axis if x.swapped and axis < 2 else axis), least(node.begin, node.end))
    if x.swapped and axis < 2:
        return Expr('%s[%s%s]' % (x.unswapped.of, ':, ' * (1 - axis), span), scope.out[0],
                    x.dtype, swapped=True)
    return '%s[%s%s]' % (x.of, ':, ' * axis, span)


@emits('slice')
def _slice(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    parts = list(itertools.zip_longest(node.begin, node.end, node.step))
    if any(step is not None and step < 0 for _, _, step in parts):
        raise Unsupported('a step below 0')
    return '%s[%s]' % (x.of, ', '.join(itertools.starmap(_span, parts)))


@emits('slice_like')
def _slice_like(scope: MethodWriter, node: Node, x: Expr, like: Expr) -> Emitted:
    axes = {axis % x.rank for axis in node.axes or range(x.rank)}
    if all(x.shape[axis] == like.shape[axis] for axis in axes):
        return x
    return '%s[%s]' % (x.of, ', '.join(
        ':' + scope.size(like.shape[axis], like) if axis in axes else ':'
        for axis in range(max(axes) + 1)))


def _cut(scope: MethodWriter, x: Expr, number: int, axis: int, squeeze: bool) -> Emitted:
    """An axis split into equal parts."""
    axis %= x.rank
    if number == 1:
        return [_without(x.of, axis)] if squeeze else [x]
    if squeeze and x.swapped and axis < 2:
        x, axis = x.unswapped, 1 - axis
    if squeeze and not all(map(scope.used, range(number))):  # for instance only the last step
        x = scope.named(x)
        scope.check_inputs()  # an index would also take a longer sequence
        return ['%s[%s%d]' % (x, ':, ' * axis, place) for place in range(number)]
    return Many('%s.unbind(%d)' % (x.of, axis) if squeeze else
                '%s.chunk(%d, %d)' % (x.of, number, axis))


@emits('SliceChannel')
def _slice_channel(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    return _cut(scope, x, node.num_outputs, node.axis, node.squeeze_axis)


@emits('_split_v2')
def _split_v2(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if node.sections:
        return _cut(scope, x, node.sections, node.axis, node.squeeze_axis)
    text = '%s.tensor_split(%s, %d)' % (x.of, list(node.indices[1:]), node.axis)
    return Many('[each.squeeze(%d) for each in %s]' % (node.axis, text) if node.squeeze_axis
                else text)


# ---- joins and copies

@emits('Concat', '_rnn_param_concat')
def _concat(scope: MethodWriter, node: Node, *parts: Expr) -> Emitted:
    if len(parts) == 1:
        return parts[0]
    return 'torch.cat((%s), %d)' % (', '.join(map(format, parts)), node.dim)


@emits('stack')
def _stack(scope: MethodWriter, node: Node, *parts: Expr) -> Emitted:
    if len(parts) == 1:
        return '%s.unsqueeze(%d)' % (parts[0].of, node.axis)
    return 'torch.stack((%s)%s)' % (', '.join(map(format, parts)),
                                    ', %d' % node.axis if node.axis else '')


@emits('repeat')
def _repeat(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    return '%s.repeat_interleave(%d%s)' % (x.of, node.repeats, '' if node.axis is None
                                           else ', %d' % node.axis)


@emits('Pad')
def _pad(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    widths = node.pad_width
    pairs = list(zip(widths[::2], widths[1::2]))
    inner = pairs if node.mode == 'constant' else pairs[2:]  # the first two are of no image
    while inner and inner[0] == (0, 0):
        inner = inner[1:]
    flat = tuple(width for pair in reversed(inner) for width in pair)
    if node.mode == 'constant':
        value = number(node.constant_value)
        return 'F.pad(%s, %s%s)' % (x, flat, ', value=' + value if value != '0' else '')
    flat += (0,) * (2 * (len(pairs) - 2) - len(flat))
    return 'F.pad(%s, %s, %r)' % (x, flat, 'replicate' if node.mode == 'edge' else node.mode)


@emits('broadcast_to', 'broadcast_axis', 'broadcast_like')
def _broadcast(scope: MethodWriter, node: Node, x: Expr, *like: Expr) -> Emitted:
    wanted = scope.out[0]
    if wanted == x.shape:
        return x
    if like and like[0].shape == wanted:
        return '%s.expand_as(%s)' % (x.of, like[0])
    return '%s.expand(%s)' % (x.of, ', '.join(
        '-1' if old == new else scope.size(new, *like, x) for old, new in zip(x.shape, wanted)))


# ---- look-ups

def _places(scope: MethodWriter, index: Expr, size: Size, mode: str, *near: Expr) -> str:
    """Indices as MXNet reads them: those out of range are clipped, or wrap around."""
    text = index.of if index.dtype == 'int64' else index.of + '.long()'
    if mode == 'raise':
        return text
    length = scope.size(size, *near)
    if mode == 'wrap':
        return '%s.remainder(%s)' % (text, length)
    return '%s.clamp(0, %s)' % (text, size - 1 if isinstance(size, int) else length + ' - 1')


@emits('take')
def _take(scope: MethodWriter, node: Node, x: Expr, index: Expr) -> Emitted:
    axis = node.axis % x.rank
    x = x if isinstance(x.shape[axis], int) else scope.named(x)
    return '%s[%s%s]' % (x.of, ':, ' * axis, _places(scope, index, x.shape[axis], node.mode, x))


@emits('pick')
def _pick(scope: MethodWriter, node: Node, x: Expr, index: Expr) -> Emitted:
    if node.axis is None:
        x = scope.named(x)
        return '%s.flatten()[%s]' % (x, _places(scope, index, product(x.shape), node.mode, x))
    axis = node.axis % x.rank
    places = _places(scope, index, x.shape[axis], node.mode, x)
    if index.rank < x.rank:
        places += '.unsqueeze(%d)' % axis
    text = '%s.gather(%d, %s)' % (x.of, axis, places)
    return text if node.keepdims or x.rank == 1 else '%s.squeeze(%d)' % (text, axis)


@emits('batch_take')
def _batch_take(scope: MethodWriter, node: Node, x: Expr, index: Expr) -> Emitted:
    return '%s.gather(1, %s.reshape(-1, 1)).flatten()' % (
        x.of, _places(scope, index, x.shape[1], 'clip', x))


writes('{0:.}[tuple({1:.}.long())]', 'gather_nd')
writes('{0:.}.new_zeros({shape}).index_put(tuple({1:.}.long()), {0})', 'scatter_nd')


@emits('one_hot')
def _one_hot(scope: MethodWriter, node: Node, index: Expr) -> Emitted:
    """A one_hot in which indices out of range set no element; F.one_hot refuses them."""
    index = scope.named(index)
    text = '%s.long().unsqueeze(-1) == torch.arange(%d, device=%s.device)' % (
        index, node.depth, index)
    if (node.on_value, node.off_value) == (1, 0):
        return cast('(%s)' % text, node.dtype)
    return cast('torch.where(%s, %s, %s)' % (text, *map(number, (
        node.on_value, node.off_value))), node.dtype)
