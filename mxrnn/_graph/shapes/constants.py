"""Which numbers are the same at every length. All thresholds of the rule of lengths stand here."""
from __future__ import annotations

import math
from typing import Collection, Mapping, NamedTuple, Sequence

from ..graph import Graph, Node
from .axis_factors import number_of
from .infer import Table
from .sizes import Size, axes_in, number_for, product, same

__all__ = ['CERTIFIED', 'COMMON_PARTS', 'CUT', 'EPSILON', 'MOST_PARTS', 'NEAR_ONE', 'PAIRS',
           'PLAIN', 'TELLING', 'TIMES', 'Sizes', 'is_computed', 'is_constant', 'is_written',
           'largest_kernel', 'may_be_decoded', 'may_be_part', 'part_ends', 'parts_of',
           'size_in_graph', 'with_ends_counted']

#: The attribute of a part that rolling up has cut, so that structure tells its ends: how many steps
#: the graph cuts one by one, or 0.
CUT = '__cut__'
#: The attribute of a node with the names of the axes of which another graph proves that its numbers
#: are the same for all sizes.
CERTIFIED = '__certified__'


class Sizes(NamedTuple):
    """What a graph tells about sizes: by the name of an open axis, the numbers that it may be;
    sizes made of open axes, with their numbers of steps; all sizes of weights; and the axes that
    are a batch."""

    fits: Mapping[str, tuple[int, ...]]
    counted: Sequence[tuple[Size, int]] = ()
    weights: Collection[int] = frozenset()
    batches: Collection[str] = frozenset()

    @property
    def axes(self) -> Mapping[str, int]:
        """The axes of which the graph tells the only number."""
        return {label: fits[0] for label, fits in self.fits.items() if len(fits) == 1}

    def numbers(self, label: str) -> list[int]:
        """What an axis may be in the graph: its number, or steps that are made of it."""
        steps = [number for size, number in self.counted
                 if label not in self.batches and label in {axis.label for axis in axes_in(size)}]
        return [*[number for own, number in self.axes.items() if own == label], *steps]


#: Halves and thirds are common. A number that may be one of them, rounded down, is no constant; nor
#: does a second graph prove that it is one where it is the same half of both sizes, say.
COMMON_PARTS = 3
#: A number along an axis is a constant if the axis has at least so many elements in the graph. One
#: of five steps may be a third of them. Two may be half of four steps, or a sixth of twelve, but
#: hardly an eighth of sixteen.
_CONSTANT = {1: 2 * COMMON_PARTS, 2: 16}
#: From so many elements on, a bound of one less is that of all but the last, and not a constant.
_LEAST = 5
#: From so many steps on, a Reshape into pairs does not mean halves.
PAIRS = 8
#: A kernel without weights is a constant if it reaches over a quarter of the axis at most; programs
#: that pool over parts of a sequence make two or three parts. If the size is not told: at most 3.
_QUARTER, _WINDOW = 4, 3
#: A factor of so many digits or fewer was written by a person. Others were computed, such as 1/18.
_DIGITS = 3
#: Factors below this are there to avoid a division by zero.
EPSILON = .01
#: So near to 1 is 1 without an epsilon, as a bound before a logarithm: (T-1)/T is as near only from
#: a thousand steps on.
NEAR_ONE = .001
#: Factors that programs write for other reasons, if they and their inverses are no common part.
PLAIN = 0, 1, -1, 2, .5
#: From so many steps on, an equal number means the axis. A 2 may be all of two steps or a constant.
TELLING = 3
#: A decoder may run as many steps as what it reads, so many more of them, or a multiple or part.
_MORE, _RATIOS = range(-1, 4), (2, 3)
#: Sizes of an axis are tried up to so many times the steps that windows leave of it.
TIMES = 16
#: In a second graph, a part is one of at most so many.
MOST_PARTS = 16


def size_in_graph(size: Size, sizes: Sizes) -> int | None:
    """The number that a size is in the graph; None if the graph does not tell it."""
    axes, known = axes_in(size), sizes.axes
    if any(axis.label not in known for axis in axes):
        return next((steps for other, steps in sizes.counted if same(size, other)), None)
    return number_for(size, {axis: known[axis.label] for axis in axes})


def is_constant(number: int, size: int | None) -> bool:
    """Whether a number of elements from an end of an axis is the same at every length. `size` is
    that of the axis in the graph; if it is not told, only one element is."""
    return number == 0 or (number == 1 if size is None else size >= _CONSTANT.get(number, math.inf))


def may_be_part(factor: float, size: int) -> bool:
    """Whether a factor or its inverse may be a common part of so many elements."""
    return size < COMMON_PARTS * (max(factor, 1 / factor) + 1)


def is_written(factor: float) -> bool:
    """Whether a factor has so few digits that a person wrote it."""
    written = float('%.*g' % (_DIGITS, factor))  # some operators keep it in 32 bits
    return math.isclose(written, factor, rel_tol=1e-6)


def is_computed(factor: float) -> bool:
    """Whether a factor is 1/n, a root of n or 1/n, or the logarithm of n, of a whole number n, with
    many digits."""
    ways = (1 / factor, factor ** 2, factor ** -2, math.exp(min(factor, 9))) if factor > 0 else ()
    return not is_written(factor) and any(
        way > 2.5 and math.isclose(way, round(way), rel_tol=1e-6) for way in ways)


def may_be_decoded(number: int, size: int) -> bool:
    """Whether a decoder of so many steps may follow the size of what it reads."""
    return number - size in _MORE or any(
        number in (part * size, size // part, -(-size // part)) for part in _RATIOS)


def largest_kernel(size: int | None) -> int:
    """The largest kernel without weights that is the same at every length."""
    return _WINDOW if size is None else max(1, min(size // _QUARTER, size // COMMON_PARTS - 1))


def part_ends(begin: int | None, end: int | None, step: int, size: int | None
              ) -> tuple[int | None, int | None] | None:
    """Where a part of an axis begins and ends at any length; None if its numbers do not tell.

    `size` is that of the axis in the graph. An end at this size, or one before it, is counted from
    the last element.
    """
    if step != 1:
        return (begin, end) if step == -1 and begin is end is None else None
    if begin == 0 and end == size == 2:
        return None  # the last two
    told: list[int | None] = []
    for bound, whole in ((begin, -1), (end, 1)):
        if bound is None or is_constant(abs(bound), size):
            told.append(bound)
        elif size is not None and bound == whole * size:
            told.append(None)
        elif size is not None and size >= _LEAST and abs(bound) == size - 1:
            told.append(-1 if bound > 0 else 1)
        else:
            return None
    return told[0], told[1]


def parts_of(node: Node, rank: int) -> list[tuple[int, int | None, int | None, int]]:
    """The parts that a slice takes: axis, begin, end and step."""
    if node.op == 'slice_axis':
        return [(node.axis % rank, node.begin, node.end, 1)] if rank else []
    if node.op == 'slice':
        return [(at, begin, end, step or 1) for at, (begin, end, step) in enumerate(zip(
            node.begin, node.end, node.step or (1,) * len(node.begin))) if at < rank]
    return []


def with_ends_counted(graph: Graph, table: Table, sizes: Sizes) -> Graph:
    """The graph in which slices of open axes are counted from the end that their numbers tell."""
    nodes = []
    for node in graph.nodes:
        data = table.axes.get(node.inputs[0], []) if node.inputs else []
        told = {at: (begin, end, part_ends(
            begin, end, step, size_in_graph(product(data[at]), sizes)))
            for at, begin, end, step in parts_of(node, len(data))
            if number_of(data[at]) is None and CUT not in node.attrs}
        for at, (begin, end, ends) in told.items():
            if ends and ends != (begin, end):
                begins, lasts = (node.begin, node.end) if node.op == 'slice' else ((), ())
                attrs = {'begin': str(ends[0] or 0), 'end': str(ends[1])} if not begins else {
                    'begin': str((*begins[:at], ends[0], *begins[at + 1:])),
                    'end': str((*lasts[:at], ends[1], *lasts[at + 1:]))}
                node = node._replace(attrs={**node.attrs, **attrs})
        nodes.append(node)
    return graph._replace(nodes=tuple(nodes))
