"""Sizes of axes that a graph leaves open: names, unknowns and products of them.

A size is an int, an `Axis` or a `Product`. Shapes with 0 in a graph ('as many as the rest of the
graph says') begin as unknown axes; `unify` binds them where two shapes have to agree.
"""
from __future__ import annotations

from typing import Any, Iterable, Iterator, NamedTuple, Sequence, Union

__all__ = ['Axis', 'Beyond', 'Product', 'Size', 'SizeError', 'Source', 'beyond', 'broadcast',
           'divide', 'interval', 'parts', 'product', 'reduced_axes', 'reshaping', 'resolve', 'same',
           'suggest', 'unify', 'unify_all', 'windows']


class SizeError(Exception):
    """Two sizes have to agree and do not."""


class Source(NamedTuple):
    """Where a size is read when the graph runs: an axis of an array, and the scope it lives in.

    Arrays of ONNX files have names, those of torch's modules places.
    """

    array: str | int
    axis: int
    scope: Any


class Axis:
    """The size of an axis that is not known at export.

    Attributes
    ----------
    bound : int, Axis, Product or None
        What it was found to be equal to.
    source : Source or None
        Where it is read when the file runs; None for what only `unify` can tell.
    label : str
        How the user or the graph calls it.
    free : bool
        Whether it becomes a number, or another axis, where it has to be equal to one, though it
        can be read when the file runs: an axis of an input whose shape nobody gave.
    hint : str
        How the operators that read a free axis would call it.
    believed : bool
        Whether it was taken to be equal to a number, which only running the graph can show.
    given : int or None
        The size that the user gave it, if it is followed all the same.
    beyond : Beyond or None
        A free axis, and how many elements more than that it has: that of what is joined or padded.
    """

    __slots__ = ('believed', 'beyond', 'bound', 'free', 'given', 'hint', 'label', 'source')

    def __init__(self, source: Source | None = None, label: str = '', free: bool = False) -> None:
        self.bound: Size | None = None
        self.source = source
        self.label = label
        self.free = free
        self.given: int | None = None
        self.hint = ''
        self.believed = False
        self.beyond: Beyond | None = None


class Product:
    """A number times several axes."""

    __slots__ = ('axes', 'factor')

    def __init__(self, factor: int, axes: Sequence[Axis]) -> None:
        self.factor = factor
        self.axes = list(axes)


class Beyond(NamedTuple):
    """So many elements more than an axis has."""

    axis: Axis
    more: int


Size = Union[int, Axis, Product]


def resolve(size: Size) -> Size:
    """`size` as far as it is known by now."""
    while isinstance(size, Axis) and size.bound is not None:
        size = size.bound
    if isinstance(size, Product):
        return product(size.axes, size.factor)
    return size


def product(sizes: Iterable[Size], factor: int = 1) -> Size:
    """The product of `sizes` and `factor`."""
    axes: list[Axis] = []
    for size in map(resolve, sizes):
        if isinstance(size, int):
            factor *= size
        elif isinstance(size, Axis):
            axes.append(size)
        else:
            factor *= size.factor
            axes.extend(size.axes)
    if factor == 0 or not axes:
        return factor
    return axes[0] if factor == 1 and len(axes) == 1 else Product(factor, axes)


def parts(size: Size) -> tuple[int, list[Axis]]:
    """`size` as a number and the axes to multiply it by."""
    size = resolve(size)
    if isinstance(size, int):
        return size, []
    return (1, [size]) if isinstance(size, Axis) else (size.factor, list(size.axes))


def divide(whole: Size, part: Size) -> Size | None:
    """`whole` / `part`, or None if it is no size that can be written down."""
    factor, axes = parts(whole)
    divisor, others = parts(part)
    for axis in others:
        if axis not in axes:
            return None
        axes.remove(axis)
    return None if not divisor or factor % divisor else product(axes, factor // divisor)


def same(first: Size, second: Size) -> bool:
    """Whether both are known to be equal."""
    factor, axes = parts(first)
    other, others = parts(second)
    return factor == other and sorted(map(id, axes)) == sorted(map(id, others))


def unify(first: Size, second: Size) -> Size:
    """Bind what is not known of two sizes that have to be equal; return what they are.

    Raises
    ------
    SizeError
        They differ; or one is an axis of any size, and the other a number.
    """
    first, second = resolve(first), resolve(second)
    if same(first, second):
        return first
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Axis) and one.source is None and one not in parts(other)[1]:
            one.bound = other
            return other
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Axis) and one.free and not isinstance(other, Product):
            one.bound = other
            suggest(other, one.hint)
            return other
    if isinstance(first, int) and isinstance(second, int):
        raise SizeError('%d and %d' % (first, second))
    if isinstance(first, Product) or isinstance(second, Product):
        return _unify_products(first, second)
    return _unify_known(first, second)


def suggest(size: Size, name: str) -> None:
    """Say how an operator would call an axis, if it is free and has no such name yet."""
    size = resolve(size)
    if isinstance(size, Axis) and size.free:
        size.hint = size.hint or name


def _unify_known(first: Size, second: Size) -> Size:
    """Refuse a number where an axis may be any size; otherwise believe that they fit."""
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Axis) and isinstance(other, int):
            if one.label:
                raise SizeError('%s, which may be any size, and %d' % (one.label, other))
            if one.beyond is not None and other > one.beyond.more:
                unify(one.beyond.axis, other - one.beyond.more)
                one.bound = other
            else:
                one.believed = True
            return other
    return first


def _unify_products(first: Size, second: Size) -> Size:
    """Solve a product for an unknown axis, if it has one; otherwise believe that it fits."""
    for one, other in ((first, second), (second, first)):
        factor, axes = parts(one)
        unknown = [axis for axis in axes if axis.source is None]
        if len(unknown) == 1:
            axes.remove(unknown[0])
            rest = divide(other, product(axes, factor))
            if rest is not None:
                unify(unknown[0], rest)
                return resolve(other)
    factor, axes = parts(first)
    divisor, others = parts(second)
    for axis in list(axes):
        if axis in others:
            axes.remove(axis)
            others.remove(axis)
    if factor == divisor and len(axes) == len(others) == 1:
        unify(axes[0], others[0])
    for (count, left), (number, none) in (((factor, axes), (divisor, others)),
                                          ((divisor, others), (factor, axes))):
        if len(left) == 1 and not none and number % count == 0:
            unify(left[0], number // count)
        elif left and not none and all(axis.label for axis in left):
            raise SizeError('%s, which may be any sizes, and %d' % (
                ' times '.join([str(count)] * (count > 1) + [axis.label for axis in left]), number))
    return first if isinstance(second, Product) else second


def unify_all(first: Sequence[Size], second: Sequence[Size]) -> tuple[Size, ...]:
    """`unify` for each axis of two shapes.

    Raises
    ------
    SizeError
        They differ, in the number of axes or in one of them.
    """
    if len(first) != len(second):
        raise SizeError('%d axes and %d axes' % (len(first), len(second)))
    return tuple(unify(*pair) for pair in zip(first, second))


def broadcast(first: Sequence[Size], second: Sequence[Size]) -> tuple[Size, ...]:
    """The shape of what two shapes give together, if axes of 1 are repeated as needed."""
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + tuple(first),
                (1,) * (rank - len(second)) + tuple(second))
    result: list[Size] = []
    for one, other in pairs:
        one, other = resolve(one), resolve(other)
        if one == 1 or other == 1:
            result.append(other if one == 1 else one)
        else:
            result.append(unify(one, other))
    return tuple(result)


# ---- what operators make of sizes

def interval(begin: int | None, end: int | None, size: Size, step: int = 1) -> Size | None:
    """How many of `size` elements begin:end:step takes, or None if that depends on the data."""
    size = resolve(size)
    if isinstance(size, int):
        return len(range(size)[begin:end:step])
    if end is None and (step == 1 and begin in (0, None) or step == -1 and begin in (-1, None)):
        return size
    if end is None and begin == 0 and step < 0:
        return 1
    known = [bound for bound in (begin, end) if bound is not None]
    if step == 1 and len(known) == 2 and (begin >= 0) == (end >= 0):  # type: ignore[operator]
        return max(known[1] - known[0], 0)  # as long as the axis is long enough
    if step == 1 and end is None and begin is not None and begin < 0:
        return -begin
    if step == 1 and begin in (0, None) and end is not None and end > 0:
        return end
    return None


def beyond(size: Size, more: int) -> Size | Beyond | None:
    """`size` and `more`; None if that is known only when the graph runs."""
    size = resolve(size)
    if isinstance(size, int):
        return size + more
    if not isinstance(size, Axis):
        return None if more else size
    axis, before = size.beyond or (size, 0)
    return axis if before + more == 0 else Beyond(axis, before + more) if axis.free else None


def windows(size: Size, reach: int, stride: int, pad: int) -> Size | None:
    """How many windows an axis has room for; None if that is known only when the graph runs."""
    size = resolve(size)
    if isinstance(size, int):
        return (size + 2 * pad - reach) // stride + 1
    return size if stride == 1 and 2 * pad == reach - 1 else None


def reduced_axes(rank: int, axes: Sequence[int] | None, exclude: bool = False) -> tuple[int, ...]:
    """The axes that an operator reduces, in order: all, if it names none."""
    chosen = {axis % rank for axis in axes or ()}
    return tuple(axis for axis in range(rank) if not axes or (axis in chosen) != exclude)


def reshaping(codes: Sequence[int], rank: int) -> Iterator[tuple[range, tuple[int, ...]]]:
    """What the codes in the shape of a Reshape take of `rank` axes, and what they make of them.

    0 stands for all that is taken, as one axis, and -1 for what is left over. Of the codes 0 keeps
    an axis, -2 all further ones, -3 joins two, -4 splits one into the two sizes that follow, and
    any other is the size in the place of one.

    Raises
    ------
    IndexError
        Sizes are missing behind -4.
    """
    at = i = 0
    while i < len(codes):
        code = codes[i]
        if code == -2:
            yield from ((range(axis, axis + 1), (0,)) for axis in range(at, rank))
            at = rank
        elif code == -4:
            yield range(at, at + 1), (codes[i + 1], codes[i + 2])
            i += 2
            at += 1
        else:
            taken = 2 if code == -3 else 1
            yield range(at, at + taken), (0 if code == -3 else code,)
            at += taken
        i += 1
