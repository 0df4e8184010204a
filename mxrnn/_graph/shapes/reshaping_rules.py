"""The effect of moving operators on axes: they reshape, reorder, split, join and repeat."""
from __future__ import annotations

import math
from typing import Iterable, Sequence

from ..graph import Node
from .axis_factors import REST, Axes, Factors, agree, factors_of, match_factors, mixed
from .rule_api import Array, UnknownAxes, alike, rule
from .sizes import Axis, Size, add, divide, interval, product, quotient, reshaping, resolve, same
from .unification import AxesError, SizeError, suggest, unify

__all__: list[str] = []


# ---- reshaping

@rule('Reshape', needs=0)
def _reshape(node: Node, data: Array) -> Axes:
    codes = list(node.shape)
    if not codes or min(codes) < -4:
        raise UnknownAxes
    if not data:  # the result that it states by itself
        if not {0, -2, -3, -4}.isdisjoint(codes):
            raise UnknownAxes
        return [(code if code > 0 else Axis(),) for code in codes]
    if node.reverse:
        turned = _targets([axis[::-1] for axis in data[::-1]], codes[::-1])
        return [axis[::-1] for axis in turned[::-1]]
    return _targets(data, codes)


def _targets(data: Axes, codes: list[int]) -> Axes:
    targets: Axes = []
    if len(data) == 2 and len(codes) == 3 and codes[0] == -1 and min(codes[1:]) > 1:
        _split_again(data[0], codes[:2])  # rows of so many numbers, in groups
    if len(codes) == len(data) + 1 == 4 and -1 in codes[:2] and min(codes[2:]) > 1 and same(
            product(data[2]), codes[3]):  # steps in windows, with the batch behind them
        batch = resolve(product(data[1]))
        if isinstance(batch, Axis) and batch.free and batch.hint == 'batch':
            unify(batch, codes[2])
    try:
        for taken, made in reshaping(codes, len(data)):
            if len(made) == 2:
                if min(made) > 0:
                    unify(product(data[taken[0]]), math.prod(made))
                _split_again(data[taken[0]], made)
                targets.extend(match_factors(data[taken[0]], [(size,) for size in made]))
            else:
                targets.append(made if made[0] else sum((data[at] for at in taken), ()))
    except IndexError:
        raise SizeError('a Reshape to %s and %d axes' % (tuple(codes), len(data))) from None
    if REST not in targets:
        _equal_sizes(data, targets)
    else:
        whole, known = [product(sum([axis for axis in axes if axis != REST], ()))
                        for axes in (data, targets)]
        if isinstance(whole, int) and isinstance(known, int) and (not known or whole % known):
            raise SizeError('%d and a multiple of %d' % (whole, known))
    return match_factors(sum(data, ()), targets)


def _split_again(axis: Factors, sizes: Sequence[int]) -> None:
    """Of axes that were joined, such as batch and frames, one is free and split off as a number.

    A recurrence's batch and steps stay free: MXNet forms groups of two of any even number of them.
    """
    factors = factors_of(axis)
    if len(factors) > 1 == list(sizes).count(-1):
        for size, number in zip((factors[0], factors[-1]), sizes):
            if isinstance(size, Axis) and size.free and not size.hint and number > 1:
                unify(size, number)


def _equal_sizes(data: Axes, made: Axes) -> None:
    """The likeliest of several solutions: axes of size 1 are added or removed."""
    left: list[list[Size]] = [[size for size in map(product, axes) if size != 1]
                              for axes in (data, made)]
    if len(left[0]) == len(left[1]) and all(
            isinstance(size, Axis) and size.free or same(size, other)
            for size, other in zip(*left)):
        for pair in zip(*left):
            unify(*pair)
    unify(product(sum(data, ())), product(sum(made, ())))


@rule('reshape_like', needs=2)
def _reshape_like(node: Node, one: Array, other: Array) -> Axes:
    begin, end, _ = slice(node.lhs_begin, node.lhs_end).indices(len(one))
    wanted = other[node.rhs_begin:node.rhs_end]
    unify(product(sum(one[begin:end], ())), product(sum(wanted, ())))
    return one[:begin] + match_factors(sum(one[begin:end], ()), wanted) + one[end:]


@rule('Flatten', needs=0)
def _flatten(node: Node, data: Array) -> Axes:
    data = data or data.of_rank(2)
    return [data[0], sum(data[1:], ())]


@rule('squeeze')
def _squeeze(node: Node, data: Array) -> Axes:
    if node.axis is None:
        if any(not isinstance(product(axis), int) for axis in data):
            raise UnknownAxes
        return [axis for axis in data if factors_of(axis)] or [()]
    gone = {data.place(axis) for axis in node.axis}
    for at in gone:
        unify(product(data[at]), 1)
    return [axis for at, axis in enumerate(data) if at not in gone] or [()]


rule('expand_dims')(lambda node, data: data.replaced(node.axis, [()], 1))


@rule('transpose', needs=0)
def _transpose(node: Node, data: Array) -> Axes:
    if not node.axes:
        return data.known()[::-1]
    data = data.of_rank(len(node.axes))
    return [data[data.place(axis)] for axis in node.axes]


@rule('SwapAxis')
def _swap(node: Node, data: Array) -> Axes:
    one, other = data.place(node.dim1), data.place(node.dim2)
    return data.replaced(one, [data[other]]).replaced(other, [data[one]])


@rule('depth_to_space', needs=0)
def _to_space(node: Node, data: Array) -> Axes:
    batch, channels, *sides = data.of_rank(4)
    return [batch, mixed((quotient(product(channels), node.block_size ** 2),)),
            *((node.block_size, *mixed(side)) for side in sides)]


@rule('space_to_depth', needs=0)
def _to_depth(node: Node, data: Array) -> Axes:
    batch, channels, *sides = data.of_rank(4)
    return [batch, (node.block_size ** 2, *mixed(channels)),
            *(mixed((quotient(product(side), node.block_size),)) for side in sides)]


rule('shape_array')(lambda node, data: [(len(data),)])
rule('size_array', needs=0)(lambda node, data: [()])


# ---- slicing

def _part(axis: Factors, begin: int | None, end: int | None, step: int = 1) -> Factors:
    """The part begin:end:step of an axis."""
    old = product(axis)
    size = interval(begin, end, old, step)
    if size is None:
        return (Axis(),)
    return axis if same(size, old) and step > 0 else mixed((size,))


@rule('slice_axis')
def _slice_axis(node: Node, data: Array) -> Axes:
    old = data[data.place(node.axis)]
    return data.replaced(node.axis, [_part(old, node.begin, node.end)])


@rule('slice')
def _slice(node: Node, data: Array) -> Axes:
    steps = node.step or (1,) * len(node.begin)
    if not len(node.begin) == len(node.end) == len(steps) <= len(data):
        raise SizeError('a slice from %s to %s and %d axes' % (node.begin, node.end, len(data)))
    return [*(_part(axis, begin, end, step or 1) for axis, begin, end, step in zip(
        data, node.begin, node.end, steps)), *data[len(steps):]]


@rule('slice_like')
def _slice_like(node: Node, data: Array, like: Array) -> Axes:
    for at in {data.place(axis) for axis in node.axes or range(len(data))}:
        size = product(like[at]) if like else Axis()
        if not same(product(data[at]), size):
            data = data.replaced(at, [mixed((size,))])
    return data


@rule('SliceChannel')
def _split(node: Node, data: Array) -> tuple[Axes, ...]:
    at, count = data.place(node.axis), node.num_outputs
    size = product(data[at])
    if node.squeeze_axis:
        suggest(size, 'time')
        unify(size, count)
        return (data.replaced(at, []),) * count
    if isinstance(size, int) and size % count:
        raise SizeError('%d and a multiple of %d' % (size, count))
    share = divide(size, count)
    if share is None and isinstance(size, Axis) and size.free:
        share = Axis()
        size.bound = product([share], count)
    if count > 1:
        data = data.replaced(at, [mixed((quotient(size, count) if share is None else share,))])
    return (data,) * count


@rule('_split_v2')
def _split_at(node: Node, data: Array) -> tuple[Axes, ...]:
    at = data.place(node.axis)
    size, count = product(data[at]), node.sections
    sizes = [quotient(add(size, count - 1 - i), count) for i in range(count)] or [
        add(end, -begin) for begin, end in zip(node.indices, [*node.indices[1:], size])]
    return tuple(data.replaced(at, [] if node.squeeze_axis else [mixed((size,))]) for size in sizes)


# ---- joining and repeating

@rule('Concat _rnn_param_concat', needs=0)
def _join(node: Node, *inputs: Array) -> Axes:
    if len({len(axes) for axes in inputs if axes}) > 1:
        raise AxesError('its inputs must have the same number of axes')
    at = max(inputs, key=len).known().place(node.dim)
    if len(inputs) == 1:
        return inputs[0]
    rest = alike(*(axes.replaced(at, [()]) for axes in inputs if axes))
    joined = add(*(product(axes[at]) for axes in inputs)) if all(inputs) else Axis()
    return rest.replaced(at, [mixed((joined,))])  # more steps are none of those steps


rule('stack', needs=0)(lambda node, *inputs: alike(*inputs).replaced(
    node.axis, [(len(inputs),)], 1))


@rule('tile')
def _tile(node: Node, data: Array) -> Axes:
    counts = (1,) * (len(data) - len(node.reps)) + node.reps
    axes: Axes = [()] * (len(counts) - len(data)) + data
    return [axis if count == 1 else (count, *mixed(axis)) for axis, count in zip(axes, counts)]


@rule('repeat')
def _repeat(node: Node, data: Array) -> Axes:
    if node.axis is None:
        return [(*mixed(sum(data, ())), node.repeats)]
    old = data[data.place(node.axis)]
    return data.replaced(node.axis, [(*mixed(old), node.repeats) if node.repeats != 1 else old])


@rule('Pad')
def _pad(node: Node, data: Array) -> Axes:
    widths = node.pad_width
    if len(widths) != 2 * len(data):
        raise SizeError('pad_width %s and %d axes' % (widths, len(data)))
    return [mixed((add(product(axis), before + after),)) if before or after else axis
            for axis, before, after in zip(data, widths[::2], widths[1::2])]


rule('reverse')(lambda node, data: data.mixed(node.axis))


def _broadcast(data: Array, sizes: Iterable[tuple[int, Factors]]) -> Axes:
    for axis, size in sizes:
        old = data[data.place(axis)]
        data = data.replaced(axis, [agree(old, size) if factors_of(old) else size])
    return data


@rule('broadcast_axis')
def _broadcast_axis(node: Node, data: Array) -> Axes:
    for axis in node.axis:
        old = product(data[data.place(axis)])
        if isinstance(old, Axis) and (old.free or old.unknown):
            unify(old, 1)
    return _broadcast(data, [(axis, (size,)) for axis, size in zip(node.axis, node.size)])


@rule('broadcast_to', needs=0)
def _broadcast_to(node: Node, data: Array) -> Axes:
    return _broadcast(data.of_rank(len(node.shape)), [
        (at, (size,)) for at, size in enumerate(node.shape) if size])


@rule('broadcast_like', needs=2)
def _broadcast_like(node: Node, data: Array, like: Array) -> Axes:
    if node.lhs_axes and node.rhs_axes:
        return _broadcast(data, [(one, like[like.place(other)])
                                 for one, other in zip(node.lhs_axes, node.rhs_axes)])
    return _broadcast(data, enumerate(like.of_rank(len(data))))
