"""Finds sequences whose number of steps a Reshape states, or may state."""
from __future__ import annotations

import contextlib
import math
from typing import Iterator

from ..graph import Entry, Node
from ..shapes.axis_factors import REST, Axes, Factors, factors_of, open_axes, separated
from ..shapes.infer import axes_of
from ..shapes.rule_api import NOT_INFERRED
from ..shapes.sizes import Axis, Size, axes_in, number_for, reshaping
from .writer_noting_sequences import Freeing

__all__ = ['joined_and_split', 'kept_by_reshape']


def kept_by_reshape(writer: Freeing, node: Node, data: Entry, steps_follow: bool) -> list[Entry]:
    """The sequences whose number of steps a Reshape states; their axis of steps replaces it.

    A part of it is stated if `steps_follow`: a recurrence has as many steps as the Reshape states.
    Other groups of steps are windows, which have one size for all numbers of steps.

    This also applies if their axes are not followed up to there. If the number of steps is given,
    it requires that the other axes, without the batch, do not have as many elements; or too few,
    if a number is in one axis with them.
    """
    axes, found = writer.axes.get(data, []), []
    grouped = list(_grouped(node, axes)) if axes else []
    numbers = [code for code in node.shape if code > 1]
    beside = any(len({type(size) for size in factors_of(axis)}) > 1 for axis in axes)
    known = {axis for each in writer.behind[data.node] for axis in open_axes(writer.axes[each])}
    sizes = math.prod(size for axis in axes for size in factors_of(axis) if isinstance(size, int))
    for sequence, steps in writer.sequences.items():
        copies: dict[Size, Axis] = {axis: Axis() for axis in open_axes(axes)}
        time = copies.get(writer.time(sequence))
        if time is not None:
            time.given = steps
            with contextlib.suppress(*NOT_INFERRED):
                axes_of(node, [[tuple([copies.get(size, size) for size in factors_of(axis)])
                                for axis in axes]])
        unclear = not axes or not known.issuperset(copies) if time is None else (
            (sizes != math.prod(numbers) if steps == writer.length else
             beside and sizes % math.prod(numbers) > 0)
            and not any(each.bound for each in copies.values()))
        if time is not None and time.bound is not None or unclear and steps in numbers and (
                sequence in writer.behind[data.node]):
            found.append(sequence)
        elif any(_depend(writer, each, number, sequence, steps_follow) for each, number in grouped):
            found.append(sequence)
    return found


def _grouped(node: Node, data: Axes) -> Iterator[tuple[Size, int]]:
    """The axes of any size in `data` of which a Reshape forms groups, and how large these are."""
    for pool, mixed in joined_and_split(node, data):
        parts = list(mixed.values())
        at = parts.index(REST)
        for ends, sizes in ((pool, parts[:at]), (pool[::-1], parts[at + 1:])):
            number = math.prod(size for size in sum(sizes, ()) if isinstance(size, int))
            for size in ends:
                if isinstance(size, int):
                    number //= math.gcd(number, size)
                elif number > 1:
                    yield size, number
                    break


def joined_and_split(node: Node, data: Axes) -> Iterator[tuple[Factors, dict[int, Factors]]]:
    """The factors of `data` that a Reshape joins and splits, and by their places the axes made of
    these and of a rest."""
    codes = list(node.shape)
    if node.reverse:
        if -4 in codes:
            return
        data, codes = [axis[::-1] for axis in data[::-1]], codes[::-1]
    splits: list[tuple[Factors, dict[int, Factors]]] = []
    targets: dict[int, Factors] = {}
    end = 0
    for taken, made in reshaping(codes, len(data)):
        whole = sum((data[at] for at in taken if at < len(data)), ())
        if len(made) == 2:
            splits.append((whole, {end: made[:1], end + 1: made[1:]}))
        targets[end] = (made[0],) if len(made) == 1 and made[0] else whole
        end += len(made)
    for factors, parts in [*splits, (sum(data, ()), targets)]:
        pool, found = separated(factors, list(parts.values()))
        left = {place: part for at, (place, part) in enumerate(parts.items()) if at not in found}
        if len(left) > 1 and REST in left.values():
            yield pool, {end - 1 - place if node.reverse else place: part
                         for place, part in left.items()}


def _depend(writer: Freeing, size: Size, number: int, sequence: Entry, parts: bool) -> bool:
    """Whether groups of `number` may have all steps of `sequence`; or, with `parts`, a part of them
    that grows with it. 2 is no such number: pairs are common."""
    time, steps = writer.time(sequence), writer.sequences[sequence]
    if not isinstance(time, Axis) or axes_in(size) != {time}:
        return False
    size = number_for(size, {time: steps})
    return size > 1 and (number % size == 0 or (
        parts and writer.counted is None and number > 2 and size % number == 0))
