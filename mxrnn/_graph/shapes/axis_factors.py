"""Axes as products of sizes, and whether they are kept element by element.

Each axis of a value is a tuple of factors, outermost first: numbers, and sizes of axes. For
example, (batch, time, 8) reshaped to (-1, 8) has the axes (batch, time) and (8,). An axis of size 1
is (). A value without axes is one whose number of axes is unknown.
"""
from __future__ import annotations

import math
from typing import List, Sequence, Tuple

from .sizes import Axis, Size, divide, parts, product, quotient, resolve, same
from .unification import unify

__all__ = ['Axes', 'Factors', 'REST', 'agree', 'factors_of', 'match_factors', 'mixed', 'mixed_axes',
           'number_of', 'open_axes', 'separated']

Factors = Tuple[Size, ...]
Axes = List[Factors]


def factors_of(axis: Factors) -> Factors:
    """The factors of an axis, as far as they are known now."""
    if all([size.bound is None if isinstance(size, Axis) else isinstance(size, int) and size != 1
            for size in axis]):
        return axis
    found: list[Size] = []
    for size in axis:
        factor, axes = parts(size)
        found.extend([factor] * (factor != 1))
        found.extend(axes)
    return tuple(found)


def number_of(axis: Factors) -> int | None:
    """The size of an axis; None if it may be any."""
    size = product(axis)
    return size if isinstance(size, int) else None


def agree(first: Factors, second: Factors) -> Factors:
    """The result of two axes that must have the same size and are used element by element.

    Raises
    ------
    SizeError
        Their sizes differ.
    """
    one, other = factors_of(first), factors_of(second)
    if one == other:
        return one
    if not same(product(one), product(other)) and len(one) == len(other) and all(
            isinstance(left, Axis) or isinstance(right, Axis) or same(left, right)
            for left, right in zip(one, other)):
        for pair in zip(one, other):
            unify(*pair)
    else:
        unify(product(one), product(other))
    one, other = factors_of(one), factors_of(other)
    # (batch, time) beside (time, batch): steps of one meet other steps of the other
    return one if one == other or not open_axes([one]) else mixed(one)


def open_axes(axes: Axes | None) -> list[Axis]:
    """The axes of any size in `axes`."""
    return [size for axis in axes or () for size in factors_of(axis) if isinstance(size, Axis)]


#: The label of an axis each of whose elements stands for all elements of another axis.
_MIXED = '~'


def mixed(axis: Factors) -> Factors:
    """An axis of the size of `axis`, each element of which depends on all of `axis`."""
    return tuple(Axis(label=_MIXED, bound=size) if isinstance(size, Axis) else size
                 for size in factors_of(axis))


def mixed_axes(axes: Axes) -> list[Axis]:
    """The axes that a rule kept although each element depends on all elements."""
    found = [resolve(size) for axis in axes for size in axis
             if isinstance(size, Axis) and size.label == _MIXED]
    return [axis for axis in found if isinstance(axis, Axis)]


# ---- joining and splitting

#: Stands for the rest of some factors.
REST: Factors = (-1,)


def match_factors(factors: Factors, targets: Sequence[Factors]) -> Axes:
    """Split `factors` into axes, of which one may be `REST`.

    A part that cannot be separated from either end has the right size, but is not an old axis.
    """
    pool, found = separated(factors, targets)
    missing = [at for at in range(len(targets)) if at not in found]
    if missing:
        part = product(product(targets[at]) for at in missing if targets[at] != REST)
        rest = divide(product(pool), part)
        if rest is None:
            rest = quotient(product(pool), part) if isinstance(part, int) and part else Axis()
        found.update((at, mixed((rest,) if targets[at] == REST else targets[at])) for at in missing)
    return [found[at] for at in range(len(targets))]


def separated(factors: Factors, targets: Sequence[Factors]) -> tuple[Factors, dict[int, Factors]]:
    """What is left of `factors` when axes are separated from either end, and these axes by place.
    """
    pool = factors_of(factors)
    found: dict[int, Factors] = {}
    for step in (1, -1):
        for at in range(len(targets))[::step]:
            target = factors_of(targets[at])
            left = None if target == REST or at in found else _without(pool[::step], target[::step])
            if left is None:
                break
            pool, found[at] = left[::step], target
    missing = [at for at in range(len(targets)) if at not in found]
    if len(missing) == 1 and (targets[missing[0]] == REST or same(
            product(pool), product(targets[missing[0]]))):
        pool, found[missing[0]] = (), pool
    return pool, found


def _without(factors: Factors, axis: Factors) -> Factors | None:
    """`factors` without those of an axis at the beginning; None if they are not there."""
    pool = list(factors)
    for wanted in axis:
        while wanted != 1:
            found = resolve(pool.pop(0)) if pool else None
            if found is None:
                return None
            if same(found, wanted):
                break
            if not isinstance(found, int) or not isinstance(wanted, int):
                return None
            common = math.gcd(found, wanted)  # an axis is split here, or joined
            if common not in (found, wanted):
                return None
            pool[:0] = [found // common] * (found != common)
            wanted //= common
    return tuple(pool)
