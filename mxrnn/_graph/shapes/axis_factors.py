"""Axes as products of sizes, and whether they are kept element by element.

Each axis of a value is a tuple of factors, outermost first: numbers, and sizes of axes. For
example, (batch, time, 8) reshaped to (-1, 8) has the axes (batch, time) and (8,). An axis of size 1
is (). A value without axes is one whose number of axes is unknown.
"""
from __future__ import annotations

import math
from typing import Callable, Iterable, List, Sequence, Tuple, Union

from .sizes import Axis, Size, divide, parts, product, quotient, resolve, same
from .unification import AxesError, SizeError, unify

__all__ = ['Axes', 'Factors', 'RULES', 'Rule', 'UnknownAxes', 'agree', 'alike', 'as_long',
           'broadcast', 'broadcast_axes', 'enter', 'factors_of', 'known', 'match_factors', 'mixed',
           'mixed_along', 'mixed_axes', 'number_of', 'of_rank', 'open_axes', 'place_of',
           'replaced', 'rule']

Factors = Tuple[Size, ...]
Axes = List[Factors]

#: Returns the axes of a node's output, or a tuple of those of its outputs, from the node and the
#: axes of each input in the operator's row but labels; an input that a node lacks has none.
Rule = Callable[..., Union[Axes, Tuple[Axes, ...]]]
#: By operator; and how many of its first inputs have to be known.
RULES: dict[str, tuple[Rule, int]] = {}


def enter(ops: str, function: Rule, needs: int = 1) -> None:
    """Register a function as the rule for `ops`, which spaces separate.

    `needs` is the number of first inputs without which nothing is known about the outputs.
    """
    RULES.update(dict.fromkeys(ops.split(), (function, needs)))


def rule(ops: str, needs: int = 1) -> Callable[[Rule], Rule]:
    """`enter` as a decorator."""
    def entered(function: Rule) -> Rule:
        enter(ops, function, needs)
        return function
    return entered


class UnknownAxes(Exception):
    """It is unknown what becomes of the axes of an operator's inputs."""


def factors_of(axis: Factors) -> Factors:
    """The factors of an axis, as far as they are known now."""
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
    equal = same(product(one), product(other))
    if not equal and len(one) == len(other) and all(
            isinstance(left, Axis) or isinstance(right, Axis) or same(left, right)
            for left, right in zip(one, other)):
        for pair in zip(one, other):
            unify(*pair)
    elif not equal:
        unify(product(one), product(other))
    one, other = factors_of(one), factors_of(other)
    # (batch, time) beside (time, batch): steps of one meet other steps of the other
    return one if one == other or not open_axes([one]) else mixed(one)


def open_axes(axes: Axes | None) -> list[Axis]:
    """The axes of any size in `axes`."""
    return [size for axis in axes or () for size in factors_of(axis) if isinstance(size, Axis)]


def broadcast_axes(arrays: Iterable[Axes]) -> Axes:
    result: Axes = []
    for axes in arrays:
        longer, shorter = (axes, result) if len(axes) > len(result) else (result, axes)
        more = len(longer) - len(shorter)
        result = longer[:more] + [
            one if _is_one(other, one) else other if _is_one(one, other) else agree(one, other)
            for one, other in zip(longer[more:], shorter)]
    return result


def broadcast(*shapes: Sequence[Size]) -> tuple[Size, ...]:
    """The shape of the result of arrays whose axes of size 1 are repeated as needed."""
    return tuple(map(product, broadcast_axes([[(size,) for size in shape] for shape in shapes])))


def _is_one(axis: Factors, beside: Factors) -> bool:
    """Whether an axis is repeated along another one: it has size 1, or the user said 1 here."""
    one, other = ([size.given if isinstance(size, Axis) else size for size in factors_of(each)]
                  for each in (axis, beside))
    return not one or one == [1] and other != [1] and len(other) == 1 and other[0] is not None


#: The label of an axis each of whose elements stands for all elements of another axis.
_MIXED = '~'


def mixed(axis: Factors) -> Factors:
    """An axis of the size of `axis`, each element of which depends on all of `axis`."""
    factors: list[Size] = []
    for size in factors_of(axis):
        if isinstance(size, Axis):
            stands = Axis(label=_MIXED)
            stands.bound = size
            size = stands
        factors.append(size)
    return tuple(factors)


def mixed_axes(axes: Axes) -> list[Axis]:
    """The axes that a rule kept although each element depends on all elements."""
    found = [resolve(size) for axis in axes for size in axis
             if isinstance(size, Axis) and size.label == _MIXED]
    return [axis for axis in found if isinstance(axis, Axis)]


def place_of(axis: int, axes: Sequence[Factors], more: int = 0) -> int:
    """`axis` counted from the front; `more` if an axis is added."""
    if not -len(axes) - more <= axis < len(axes) + more:
        raise AxesError('its axis %d has to be among the axes' % axis) if axes else UnknownAxes
    return axis % (len(axes) + more)


# ---- joining and splitting

def match_factors(factors: Factors, targets: Sequence[Factors | int]) -> Axes:
    """Split `factors` into axes: given sizes, and -1 for the rest.

    A part that cannot be separated from either end has the right size, but is not an old axis.
    """
    pool = list(factors_of(factors))
    found: list[Factors | None] = [None] * len(targets)
    for end in (0, -1):
        places = range(len(targets))
        for at in places if end == 0 else reversed(places):
            rest = None if targets[at] == -1 or found[at] is not None else _take_off(
                pool, targets[at], end)
            if rest is None:
                break
            pool = rest
            found[at] = factors_of(_factors(targets[at]))
    open_ = [at for at, axis in enumerate(found) if axis is None]
    if len(open_) == 1 and (targets[open_[0]] == -1 or same(
            product(pool), product(_factors(targets[open_[0]])))):
        found[open_[0]] = tuple(pool)
    elif open_:
        sizes = [product(_factors(targets[at])) for at in open_ if targets[at] != -1]
        part = product(sizes)
        left = divide(product(pool), part)
        if left is None:
            left = quotient(product(pool), part) if isinstance(part, int) and part else Axis()
        for at in open_:
            found[at] = mixed(_factors(targets[at]) if targets[at] != -1 else (left,))
    return [axis for axis in found if axis is not None]


def _factors(target: Factors | int) -> Factors:
    return target if isinstance(target, tuple) else (target,)


def _take_off(factors: Sequence[Size], target: Factors | int, end: int) -> list[Size] | None:
    """The rest of `factors` without the axis `target` at one end; None if it is not there."""
    pool = list(factors)
    wanted = factors_of(_factors(target))
    for size in wanted if end == 0 else wanted[::-1]:
        rest = size
        while rest != 1:
            if not pool:
                return None
            found = resolve(pool.pop(end))
            if isinstance(rest, int) and isinstance(found, int) and rest != found:
                common = math.gcd(rest, found)
                if common not in (rest, found):
                    return None
                if common == rest:
                    pool.insert(0 if end == 0 else len(pool), found // rest)
                    break
                rest //= common
                continue
            if not _fits(found, rest):  # it is split here, or joined
                return None
            break
    return pool


def _fits(found: Size, wanted: Size) -> bool:
    """Whether an axis is the wanted one; binds what is unknown about it."""
    if same(found, wanted):
        return True
    for one, other in ((found, wanted), (wanted, found)):
        if isinstance(one, Axis) and isinstance(other, int) and one.given == other:
            one.bound = other
            return True
    return False


def replaced(data: Axes, axis: int, sizes: Axes, more: int = 0) -> Axes:
    """`data` with other axes that replace one, or come before it with `more`."""
    at = place_of(axis, data, more)
    return data[:at] + sizes + data[at + 1 - more:]


def as_long(data: Axes, axis: int, *vectors: Axes) -> Axes:
    """`data`, one axis of which has the size of vectors, as far as these are known."""
    for vector in filter(None, vectors):
        data = replaced(data, axis, [agree(data[axis], *of_rank(1, vector))])
    return data


def mixed_along(data: Axes, axes: Iterable[int]) -> Axes:
    """`data`, some axes of which are used as a whole."""
    places = {place_of(axis, data) for axis in axes}
    return [mixed(axis) if at in places else axis for at, axis in enumerate(data)]


def known(axes: Axes) -> Axes:
    """These axes, which must be known."""
    if not axes:
        raise UnknownAxes
    return axes


def of_rank(rank: int, data: Axes) -> Axes:
    """`data`, which must have this many axes; new axes if nothing is known about it."""
    if data and len(data) != rank:
        raise SizeError('%d axes and %d axes' % (len(data), rank))
    return data or [(Axis(),) for _ in range(rank)]


def alike(*arrays: Axes) -> Axes:
    """The axes of arrays that all have one shape and are used element by element."""
    result: Axes = []
    for axes in filter(None, arrays):
        result = [agree(*pair) for pair in zip(of_rank(len(axes), result), axes)
                  ] if result else axes
    return known(result)
