"""Operators that move elements: shapes, axes, parts, joins; sequences, for texts of sources."""
from __future__ import annotations

import math
from typing import Sequence

import torch
from torch import Tensor

from ...._graph.graph import Node
from ...._graph.shapes.sizes import reshaping
from ...registry import operator
from .. import Run, runs, some

__all__ = ['mask_steps', 'reverse_sequences']


def _sizes(sizes: Sequence[int], codes: Sequence[int], reverse: bool = False) -> list[int]:
    """The shape that MXNet's Reshape makes with these `codes` from an array of `sizes`."""
    if reverse:
        return _sizes(sizes[::-1], codes[::-1])[::-1]
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
    codes, reverse = node.shape, node.reverse
    if not reverse and all(code > 0 or code == -1 for code in codes):
        return lambda x: x.reshape(codes)
    return lambda x: x.reshape(_sizes(list(x.shape), codes, reverse))


@runs('reshape_like')
def _reshape_like(x: Tensor, like: Tensor, *, lhs_begin: int | None, lhs_end: int | None,
                  rhs_begin: int | None, rhs_end: int | None) -> Tensor:
    behind = x.shape[x.dim() if lhs_end is None else lhs_end:]
    return x.reshape(x.shape[:lhs_begin or 0] + like.shape[rhs_begin:rhs_end] + behind)


runs('Flatten')(lambda x: x.reshape(x.shape[0], -1))
runs('squeeze')(lambda x, *, axis: some(x.squeeze() if axis is None else x.squeeze(axis)))


# ---- parts

@runs('slice')
def _sliced(x: Tensor, *, begin: Sequence[int | None], end: Sequence[int | None],
            step: Sequence[int | None]) -> Tensor:
    """A part of each axis, read backwards if its step is below 0."""
    for axis, (first, last) in enumerate(zip(begin, end)):
        by = (step[axis] if axis < len(step) else None) or 1
        if by > 0:
            x = x[(slice(None),) * axis + (slice(first, last, by),)]
        else:
            places = list(range(*slice(first, last, by).indices(x.shape[axis])))
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
    return x


@runs('SliceChannel')
def _split(x: Tensor, *, num_outputs: int, axis: int, squeeze_axis: bool, name: str, op: str
           ) -> Sequence[Tensor]:
    size = x.shape[axis]
    if size != num_outputs if squeeze_axis else size % num_outputs:
        raise ValueError('%s, %s, must split its input into %d %s, got an axis of length %d' % (
            name, op, num_outputs, 'steps' if squeeze_axis else 'equal parts', size))
    return x.unbind(axis) if squeeze_axis else x.split(size // num_outputs, axis)


@runs('_split_v2')
def _split_v2(x: Tensor, *, sections: int, indices: Sequence[int], axis: int, squeeze_axis: bool,
              name: str, op: str) -> Sequence[Tensor]:
    if sections:
        return _split(x, num_outputs=sections, axis=axis, squeeze_axis=squeeze_axis, name=name,
                      op=op)
    ends = [*indices[1:], x.shape[axis]]
    parts = [x.narrow(axis, begin, end - begin) for begin, end in zip(indices, ends)]
    return [part.squeeze(axis) for part in parts] if squeeze_axis else parts


# ---- joins and copies

@runs('broadcast_to')
def _broadcast_to(x: Tensor, *, shape: Sequence[int]) -> Tensor:
    return x.expand([old if new == 0 else new for old, new in zip(x.shape, shape)])


def _expanded(x: Tensor, axes: Sequence[int], sizes: Sequence[int]) -> Tensor:
    result = list(x.shape)
    for axis, size in zip(axes, sizes):
        result[axis] = size
    return x.expand(result)


runs('broadcast_axis')(lambda x, *, axis, size: _expanded(x, axis, size))


@runs('broadcast_like')
def _broadcast_like(x: Tensor, like: Tensor, *, lhs_axes: Sequence[int] | None,
                    rhs_axes: Sequence[int] | None) -> Tensor:
    if lhs_axes is None or rhs_axes is None:
        return x.expand(like.shape)
    return _expanded(x, lhs_axes, [like.shape[axis] for axis in rhs_axes])


@runs('depth_to_space')
def _depth_to_space(x: Tensor, *, block_size: int) -> Tensor:
    """Moves channels into blocks of an image."""
    (n, c, h, w), size = x.shape, block_size
    x = x.reshape(n, size, size, c // size ** 2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // size ** 2, h * size, w * size)


@runs('space_to_depth')
def _space_to_depth(x: Tensor, *, block_size: int) -> Tensor:
    """Moves blocks of an image into channels."""
    (n, c, h, w), size = x.shape, block_size
    x = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * size ** 2, h // size, w // size)


# ---- sequences

def mask_steps(x: Tensor, lengths: Tensor, time: int, value: float = 0) -> Tensor:
    """The sequences, with `value` written behind their lengths along the axis `time`."""
    steps = torch.arange(x.shape[time], device=x.device)
    behind = steps.unsqueeze(1 - time) >= lengths.unsqueeze(time)
    return x.masked_fill(behind.reshape(*behind.shape, *[1] * (x.dim() - 2)), value)


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence's steps reversed; what lies behind its length stays in place."""
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    places = torch.where(steps < lengths, lengths.long() - 1 - steps, steps)
    return x[places, torch.arange(x.shape[1], device=x.device)]
