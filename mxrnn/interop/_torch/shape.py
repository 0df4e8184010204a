"""Operators that move elements: shapes, axes, parts, joins."""
from __future__ import annotations

import itertools
import math
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from ..._graph.sizes import reshaping
from ..registry import operator
from . import Run, some

__all__ = ['reshaped']


def reshaped(sizes: Sequence[int], codes: Sequence[int], reverse: bool = False) -> list[int]:
    """The shape that the `codes` of MXNet's Reshape make of an array of `sizes`."""
    if reverse:
        return reshaped(sizes[::-1], codes[::-1])[::-1]
    result: list[int] = []
    for taken, made in reshaping(codes, len(sizes)):
        if len(made) == 2:
            result += [sizes[taken[0]] // other if size == -1 else size
                       for size, other in zip(made, made[::-1])]
        else:
            result.append(made[0] or math.prod(sizes[at] for at in taken))
    return result


@operator('Reshape')
def _reshape(node: Node) -> Run:
    # target_shape is the form of versions before 0.9.
    codes, reverse = node.shape or node.target_shape, node.reverse
    if not reverse and all(code > 0 or code == -1 for code in codes):
        return lambda x: x.reshape(codes)
    return lambda x: x.reshape(reshaped(list(x.shape), codes, reverse))


@operator('reshape_like')
def _reshape_like(node: Node) -> Run:
    begin, end, part = node.lhs_begin or 0, node.lhs_end, slice(node.rhs_begin, node.rhs_end)

    def run(x: Tensor, like: Tensor) -> Tensor:
        behind = x.shape[x.dim() if end is None else end:]
        return x.reshape(x.shape[:begin] + like.shape[part] + behind)
    return run


@operator('Flatten')
def _flatten(node: Node) -> Run:
    return lambda x: x.reshape(x.shape[0], -1)


@operator('transpose')
def _transpose(node: Node) -> Run:
    axes = node.axes
    if not axes:
        return lambda x: x.permute(*range(x.dim() - 1, -1, -1))
    return lambda x: x.permute(axes)


@operator('SwapAxis')
def _swap_axis(node: Node) -> Run:
    one, other = node.dim1, node.dim2
    return lambda x: x.transpose(one, other)


@operator('expand_dims')
def _expand_dims(node: Node) -> Run:
    axis = node.axis
    return lambda x: x.unsqueeze(axis)


@operator('squeeze')
def _squeeze(node: Node) -> Run:
    axes = node.axis
    return lambda x: some(x.squeeze() if axes is None else x.squeeze(axes))


# ---- parts

@operator('slice_axis')
def _slice_axis(node: Node) -> Run:
    axis, begin, end = node.axis, node.begin, node.end

    def run(x: Tensor) -> Tensor:
        size = x.shape[axis]
        first = begin + size if begin < 0 else begin
        last = size if end is None else end + size if end < 0 else end
        return x.narrow(axis, first, last - first)
    return run


def _part(x: Tensor, axis: int, begin: int | None, end: int | None, step: int | None) -> Tensor:
    if step is None or step > 0:
        return x[(slice(None),) * axis + (slice(begin, end, step),)]
    size = x.shape[axis]
    places = range(*slice(begin, end, step).indices(size))
    return x.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))


@operator('slice')
def _slice(node: Node) -> Run:
    parts = list(itertools.zip_longest(node.begin, node.end, node.step))

    def run(x: Tensor) -> Tensor:
        for axis, part in enumerate(parts):
            x = _part(x, axis, *part)
        return x
    return run


@operator('slice_like')
def _slice_like(node: Node) -> Run:
    axes = node.axes

    def run(x: Tensor, like: Tensor) -> Tensor:
        for axis in axes or range(x.dim()):
            x = x.narrow(axis, 0, like.shape[axis])
        return x
    return run


def _split(node: Node, number: int) -> Run:
    """Cut an axis into `number` equal parts."""
    axis, squeeze = node.axis, node.squeeze_axis

    def run(x: Tensor) -> Sequence[Tensor]:
        size = x.shape[axis]
        if size != number if squeeze else size % number:
            raise ValueError('%s, %s, must cut its input into %d %s, got an axis of length %d' % (
                node.name, node.op, number, 'steps' if squeeze else 'equal parts', size))
        return x.unbind(axis) if squeeze else x.split(size // number, axis)
    return run


@operator('SliceChannel')
def _slice_channel(node: Node) -> Run:
    return _split(node, node.num_outputs)


@operator('_split_v2')
def _split_v2(node: Node) -> Run:
    axis, squeeze, places = node.axis, node.squeeze_axis, node.indices
    if node.sections:
        return _split(node, node.sections)

    def run(x: Tensor) -> Sequence[Tensor]:
        ends = [*places[1:], x.shape[axis]]
        parts = [x.narrow(axis, begin, end - begin) for begin, end in zip(places, ends)]
        return [part.squeeze(axis) for part in parts] if squeeze else parts
    return run


# ---- joins and copies

@operator('Concat', '_rnn_param_concat')
def _concat(node: Node) -> Run:
    axis = node.dim
    return lambda *parts: torch.cat(parts, axis)


@operator('stack')
def _stack(node: Node) -> Run:
    axis = node.axis
    return lambda *parts: torch.stack(parts, axis)


@operator('tile')
def _tile(node: Node) -> Run:
    times = node.reps
    return lambda x: torch.tile(x, times)


@operator('repeat')
def _repeat(node: Node) -> Run:
    times, axis = node.repeats, node.axis
    return lambda x: torch.repeat_interleave(x, times, axis)


@operator('Pad')
def _pad(node: Node) -> Run:
    mode = 'replicate' if node.mode == 'edge' else node.mode
    widths, value = node.pad_width, node.constant_value
    pairs = list(zip(widths[::2], widths[1::2]))
    flat = [width for pair in reversed(pairs) for width in pair]
    if mode == 'constant':
        return lambda x: F.pad(x, flat, mode, value)
    inner = flat[:2 * (len(pairs) - 2)]  # the first two axes are batch and channels
    return lambda x: F.pad(x, inner, mode)


@operator('reverse')
def _reverse(node: Node) -> Run:
    axes = node.axis
    return lambda x: torch.flip(x, axes)


@operator('broadcast_to')
def _broadcast_to(node: Node) -> Run:
    sizes = node.shape
    return lambda x: x.expand([old if new == 0 else new for old, new in zip(x.shape, sizes)])


@operator('broadcast_axis')
def _broadcast_axis(node: Node) -> Run:
    axes, sizes = node.axis, node.size

    def run(x: Tensor) -> Tensor:
        result = list(x.shape)
        for axis, size in zip(axes, sizes):
            result[axis] = size
        return x.expand(result)
    return run


@operator('broadcast_like')
def _broadcast_like(node: Node) -> Run:
    own, other = node.lhs_axes, node.rhs_axes

    def run(x: Tensor, like: Tensor) -> Tensor:
        if own is None or other is None:
            return x.expand(like.shape)
        result = list(x.shape)
        for axis, place in zip(own, other):
            result[axis] = like.shape[place]
        return x.expand(result)
    return run


@operator('depth_to_space')
def _depth_to_space(node: Node) -> Run:
    size = node.block_size

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.reshape(n, size, size, c // size ** 2, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, c // size ** 2, h * size, w * size)
    return run


@operator('space_to_depth')
def _space_to_depth(node: Node) -> Run:
    size = node.block_size

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(n, c * size ** 2, h // size, w // size)
    return run


@operator('shape_array')
def _shape_array(node: Node) -> Run:
    return lambda x: torch.tensor(list(x.shape), device=x.device)


@operator('size_array')
def _size_array(node: Node) -> Run:
    return lambda x: torch.tensor([math.prod(x.shape)], device=x.device)
