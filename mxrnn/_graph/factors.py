"""Axes as products of axes of a graph's inputs.

Each axis of a value is a tuple of factors, outermost first: sizes that are numbers, and axes of
inputs. (batch, time, 8) reshaped to (-1, 8) has the axes (batch, time) and (8,); an axis of size 1
is ().
"""
from __future__ import annotations

import math
from typing import Iterable, List, Sequence, Tuple

from .sizes import Axis, Size, parts, product, resolve

__all__ = ['Axes', 'Factors', 'UnknownAxes', 'as_long', 'broadcast_axes', 'factors_of',
           'match_factors', 'mixed', 'mixed_along', 'mixed_axes', 'number_of', 'open_axes',
           'place_of', 'replaced', 'unify']

Factors = Tuple[Size, ...]
Axes = List[Factors]


class UnknownAxes(Exception):
    """It cannot be told where the axes of an operator's inputs go."""


def factors_of(axis: Factors) -> tuple[int | Axis, ...]:
    """The factors of an axis as far as they are known by now."""
    found: list[int | Axis] = []
    for size in axis:
        factor, axes = parts(size)
        found.extend([factor] * (factor != 1))
        found.extend(axes)
    return tuple(found)


def number_of(axis: Factors) -> int | None:
    """The size of an axis, None if it may be any."""
    size = product(axis)
    return size if isinstance(size, int) else None


def unify(first: Factors, second: Factors) -> Factors:
    """What two axes are that have to be of one size."""
    one, other = factors_of(first), factors_of(second)
    if len(one) != len(other):
        for axis, number in ((one, other), (other, one)):
            if len(axis) == 1 and isinstance(axis[0], int) and all(
                    isinstance(size, int) for size in number):
                return axis
            if len(axis) == 1 and isinstance(axis[0], Axis) and not _known(axis[0]) and not any(
                    isinstance(size, int) for size in number) and axis[0] not in number:
                axis[0].bound = product(number)
                return number
        raise UnknownAxes
    for left, right in zip(one, other):
        _bind(left, right)
    return factors_of(one)


def _known(axis: Axis) -> bool:
    """Whether it is an axis of an input, or can be read elsewhere."""
    return bool(axis.label or axis.source)


def _given(size: Size) -> int | None:
    """The size that a number or an axis surely has."""
    return size.given if isinstance(size, Axis) else size if isinstance(size, int) else None


def _bind(left: Size, right: Size) -> None:
    if not isinstance(left, Axis):
        left, right = right, left
    if not isinstance(left, Axis) or left is right:
        return
    if _known(left) and isinstance(right, Axis) and not _known(right):
        left, right = right, left  # the axis of an input stays
    elif left.source and isinstance(right, int):
        raise UnknownAxes  # in another call it may have another size
    left.bound = right


def open_axes(axes: Axes | None) -> list[Axis]:
    """The axes of any size in `axes`."""
    return [size for axis in axes or () for size in factors_of(axis) if isinstance(size, Axis)]


def broadcast_axes(arrays: Iterable[Axes]) -> Axes:
    result: Axes = []
    for axes in arrays:
        longer, shorter = (axes, result) if len(axes) > len(result) else (result, axes)
        more = len(longer) - len(shorter)
        result = longer[:more] + [
            one if not factors_of(other) else other if not factors_of(one) else unify(one, other)
            for one, other in zip(longer[more:], shorter)]
    return result


#: The label of an axis that stands for another, each element of it for all elements of the other.
_MIXED = '~'


def mixed(axis: Factors) -> Factors:
    """An axis of the size of `axis`, each element of which depends on all that `axis` had."""
    factors: list[Size] = []
    for size in factors_of(axis):
        factors.append(Axis(label=_MIXED) if isinstance(size, Axis) else size)
        if isinstance(factors[-1], Axis):
            factors[-1].bound = size
    return tuple(factors)


def mixed_axes(axes: Axes) -> list[Axis]:
    """The axes that a rule kept, though each element depends on all that there were."""
    found = [resolve(size) for axis in axes for size in axis
             if isinstance(size, Axis) and size.label == _MIXED]
    return [axis for axis in found if isinstance(axis, Axis)]


def place_of(axis: int, axes: Sequence[Factors], more: int = 0) -> int:
    """`axis` counted from the front; `more` where an axis is added."""
    if not -len(axes) - more <= axis < len(axes) + more:
        raise UnknownAxes
    return axis % (len(axes) + more)


def match_factors(factors: Factors, targets: Sequence[Factors | int]) -> Axes:
    """Part `factors` into axes: those that are given, numbers, and -1 for what is left over."""
    pool: list[Size] = list(factors_of(factors))
    left = targets.index(-1) if -1 in targets else len(targets)
    front = [_take_off(pool, target, 0) for target in targets[:left]]
    back = [_take_off(pool, target, -1) for target in list(targets[left + 1:])[::-1]]
    if left == len(targets):
        if pool:
            raise UnknownAxes
        return front
    return front + [tuple(pool)] + back[::-1]


def _take_off(pool: list[Size], target: Factors | int, end: int) -> Factors:
    """Take an axis off one end of `pool`."""
    wanted = factors_of(target if isinstance(target, tuple) else (target,))
    for size in wanted if end == 0 else wanted[::-1]:
        rest = size
        while rest != 1:
            if not pool:
                raise UnknownAxes
            found = resolve(pool.pop(end))
            if isinstance(rest, int) and isinstance(found, int) and rest != found:
                common = math.gcd(rest, found)
                if common not in (rest, found):
                    raise UnknownAxes
                if common == rest:
                    pool.insert(0 if end == 0 else len(pool), found // rest)
                    break
                rest //= common
                continue
            if len({*map(_given, (found, rest))} - {None}) > 1:  # it is cut here, or joined
                raise UnknownAxes
            _bind(found, rest)
            break
    return wanted


def replaced(data: Axes, axis: int, sizes: Axes, more: int = 0) -> Axes:
    """`data` with other axes in the place of one, or before it with `more`."""
    at = place_of(axis, data, more)
    return data[:at] + sizes + data[at + 1 - more:]


def as_long(data: Axes, axis: int, vector: Axes) -> Axes:
    """`data`, of which an axis has the size of a vector."""
    return replaced(data, axis, [unify(data[axis], vector[0])])


def mixed_along(data: Axes, axes: Iterable[int]) -> Axes:
    """`data`, of which some axes are used as a whole."""
    places = {place_of(axis, data) for axis in axes}
    return [mixed(axis) if at in places else axis for at, axis in enumerate(data)]
