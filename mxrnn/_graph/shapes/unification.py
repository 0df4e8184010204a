"""Sizes that have to be equal, and what they tell about unknown axes."""
from __future__ import annotations

import math
from typing import Callable

from .sizes import (
    Axis,
    Size,
    Sum,
    axes_in,
    changed,
    is_product,
    number_for,
    parts,
    product,
    remainder,
    resolve,
    same,
    solution,
)

__all__ = ['AxesError', 'SizeError', 'settled', 'suggest', 'unify']

#: Axes with this many elements or more are not searched.
_MOST = 4096


class SizeError(Exception):
    """Two sizes have to be equal but differ; `sizes` are these if one is made of axes of any size.
    """

    def __init__(self, text: str, *sizes: Size) -> None:
        super().__init__(text)
        self.sizes = sizes


class AxesError(SizeError):
    """The inputs of a node have other numbers of axes than it takes."""


def unify(first: Size, second: Size) -> Size:
    """Bind the unknown parts of two sizes that have to be equal; return the size.

    Raises
    ------
    SizeError
        They differ, or one is an axis of any size and the other a number.
    """
    first, second = resolve(first), resolve(second)
    if same(first, second):
        return first
    for unknown in (True, False):
        for one, other in ((first, second), (second, first)):
            if isinstance(one, Axis) and (one.unknown if unknown else one.free and not is_product(
                    other)) and one not in axes_in(other):
                _bind(one, other)
                return other
    if isinstance(first, int) and isinstance(second, int):
        raise SizeError('%d and %d' % (first, second))
    rest, factor = remainder(first, second)
    if rest % factor:
        raise SizeError('%d and a multiple of %d' % (rest, factor))
    told = solution(first, second)
    if told is not None:
        _bind(*told)
        return resolve(first)
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Sum) and len(one.terms) == 1 < one.divisor and len(
                one.terms[0][1]) > 1:  # joined axes are split
            unify(Sum(one.terms), product([other], one.divisor))
            return resolve(other)
    if is_product(first) or is_product(second):
        return _unify_products(first, second)
    return _unify_known(first, second)


def _bind(axis: Axis, size: Size) -> None:
    if isinstance(size, int) and size < 0:
        raise SizeError('a size of %d' % size)
    axis.bound = size
    suggest(size, axis.hint)


def suggest(size: Size, name: str) -> None:
    """Note the name that an operator suggests for a free axis, unless it has one."""
    size = resolve(size)
    if isinstance(size, Axis) and size.free:
        size.hint = size.hint or name


def _unify_known(first: Size, second: Size) -> Size:
    """Refuse a number for an axis of any size; otherwise assume that they fit."""
    for one, other in ((first, second), (second, first)):
        if isinstance(other, int):
            axis, number = _alone(one, other)
            if axis.label:
                raise SizeError('%s, which may be any size, and %d' % (axis.label, number),
                                axis, number)
            _believe(one, other)
            return other
    _believe(first, second)
    return first


def _alone(size: Size, number: int) -> tuple[Axis, int]:
    """The only axis in a sum that equals a number, and its own number; otherwise a new axis."""
    terms = size.terms if isinstance(size, Sum) and size.divisor == 1 else [(1, (size,))]
    rest = number - sum(each for each, atoms in terms if not atoms)
    axes = [(each, atoms) for each, atoms in terms if atoms]
    factor, (axis, *others) = axes[0]
    return (axis, rest // factor) if len(axes) == 1 and isinstance(axis, Axis) and not others and (
        rest % factor == 0) else (Axis(), 0)


def _believe(first: Size, second: Size) -> None:
    """Note that two sizes are assumed to be equal although other sizes of their axes exclude it."""
    for one, other in ((first, second), (second, first)):
        for axis in axes_in(one):
            axis.believed += (one, other),


def _taken(size: Size) -> range:
    """The numbers that an axis of any size may have if results of windows were assumed to equal
    numbers; none if nothing was assumed or other axes are involved."""
    axis = resolve(size)
    if not isinstance(axis, Axis):
        return range(0)
    told = [(made, number) for made, number in axis.believed if isinstance(number, int)]
    if not told or any(axes_in(made) != {axis} for made, _ in told):
        return range(0)

    def reach(each: int) -> list[int]:
        return [number_for(made, {axis: each}) - number for made, number in told]
    # a longer axis does not give fewer windows
    first = _smallest(lambda each: min(reach(each)) >= 0)
    return range(first, _smallest(lambda each: max(reach(each)) > 0))


def _smallest(enough: Callable[[int], bool]) -> int:
    """The smallest size that is enough, if all larger ones are, too."""
    low, high = 1, _MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def settled(size: Size) -> Size:
    """A size in which results of windows are the numbers that they were assumed to equal."""
    size = resolve(size)
    ends = {axis: _taken(axis) for axis in axes_in(size)}
    if ends and all(ends.values()):
        first, last = (number_for(size, {axis: fits[end] for axis, fits in ends.items()})
                       for end in (0, -1))
        if first == last:
            return first
    return changed(size, settled) if isinstance(size, Sum) else size


def _unify_products(first: Size, second: Size) -> Size:
    """Bind the only axis that one of two products does not share; otherwise assume that they fit.
    """
    (factor, axes), (divisor, others) = parts(first), parts(second)
    for axis in list(axes):
        own = next((each for each in others if same(each, axis)), None)
        if own is not None:
            axes.remove(axis)
            others.remove(own)
    common = math.gcd(factor, divisor)
    for count, left, number, right in ((factor, axes, divisor, others),
                                       (divisor, others, factor, axes)):
        if len(left) == 1 and count == common and product(left) not in (first, second):
            unify(left[0], product(right, number // count))
            break
        if left and not right and all(isinstance(axis, Axis) and axis.label for axis in left):
            raise SizeError('%s, which may be any sizes, and %d' % (' times '.join(
                [str(count)] * (count > 1) + [getattr(axis, 'label', '') for axis in left]),
                number), product(left, count), number)
        if left and not right and number == count:
            for axis in left:
                unify(axis, 1)
    else:
        _believe(first, second)
    return first if is_product(second) else second
