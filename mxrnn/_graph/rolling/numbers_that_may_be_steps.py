"""Finds numbers that may be those of steps, in graphs that take any number of steps."""
from __future__ import annotations

import collections
import math
from typing import Mapping, NamedTuple

from ..graph import Entry, Graph, Node
from ..operator_table import has
from ..shapes.axis_factors import Axes, factors_of, number_of, open_axes
from ..shapes.infer import cut_places
from ..shapes.sizes import Axis, Size, axes_in, number_for, product, reduced_axes
from .ambiguity import ends

__all__ = ['Cut', 'cuts', 'divided', 'made_of', 'wrong_at_others']

#: Numbers of steps are tried up to this one.
_MOST = 4096
_SUMS = 'sum', 'mean', 'norm'
_NUMBERS = '_arange', '_contrib_arange_like'


class Cut(NamedTuple):
    """Slices of one axis of any size whose numbers may come from its size in the graph.

    Attributes
    ----------
    total : int
        That size, if the largest number is the size, or begins its last element.
    axis : Size
    names : tuple of str
        The slices.
    numbers : tuple of int
        Where these begin and end.
    whole : bool
        Whether slices read all elements up to `total`.
    """

    total: int
    axis: Size
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    whole: bool


def cuts(graph: Graph, axes: Mapping[Entry, Axes]) -> list[Cut]:
    """The slices of axes of any size at numbers that may come from one size; values have these
    `axes`. Parts that are counted from either end, as `ends` says, are left out."""
    found: dict[Size, list[tuple[str, int, int | None]]] = {}
    for place in sorted(graph.needed()):
        node = graph.nodes[place]
        data = axes.get(node.inputs[0], []) if node.op.startswith('slice') else []
        for at, begin, end in cut_places(node, len(data)) if data else ():
            if number_of(data[at]) is None:
                found.setdefault(product(data[at]), []).append((node.name, begin, end))
    made = []
    for axis, places in found.items():
        total = max(begin + 1 if end is None else max(begin, end) for _, begin, end in places)
        told = {name: (begin, end) for name, begin, end in places if max(begin, end or 0) > 0
                and ends(begin, end, total, None) != (begin, end)}
        if total > 2 and told:
            made.append(Cut(total, axis, (*told,), tuple(sorted(
                {number for pair in told.values() for number in pair if number is not None})),
                {*range(total)} == {each for _, begin, end in places
                                    for each in range(begin, total if end is None else end)}))
    return made


def divided(graph: Graph, axes: Mapping[Entry, Axes]) -> dict[int, list[Node]]:
    """The nodes that divide sums over any number of steps by a number, by the number of steps for
    which they make means: 7 if a sum over steps and 6 units is divided by 42. If there is none, it
    is the number that divides. Nodes that divide by the number of units alone are left out."""
    times, found = _times(graph, axes), collections.defaultdict(list)
    for place in sorted(graph.needed()):
        node = graph.nodes[place]
        if node.op not in ('_div_scalar', '_mul_scalar') or not node.scalar:
            continue
        number = node.scalar if node.op == '_div_scalar' else 1 / node.scalar
        made = graph.nodes[node.inputs[0].node]
        while made.inputs and (has(made.op, 'one shape') or made.op in ('Reshape', 'expand_dims')):
            made = graph.nodes[made.inputs[0].node]
        data = axes.get(made.inputs[0], []) if made.op == 'sum' else []
        over = [each for at in reduced_axes(len(data), made.axis, made.exclude)
                for each in factors_of(data[at])] if data else []
        size, others = product(over), math.prod([each for each in over if isinstance(each, int)])
        summed = axes_in(size)
        if len(summed) == 1 and summed <= times and number > 2.5 and math.isclose(
                number, round(number), rel_tol=1e-6) and round(number) != others:
            steps = next((each for each in range(3, _MOST) if number_for(
                size, dict.fromkeys(summed, each)) == round(number)), round(number))
            found[steps].append(node)
    return found


def made_of(graph: Graph, steps: int) -> list[Node]:
    """The nodes that divide by a number of steps, or next to sums use one that is made of it, as
    variances and standard deviations do; and those that combine it with the numbers of steps."""
    if steps < 3:
        return []
    sums, needed = _beside_sums(graph), graph.needed()
    made = [float(steps), steps - 1, steps / (steps - 1)]
    made += [math.sqrt(each) for each in made]
    made += [1 / each for each in made]
    factors = {'_div_scalar': made[:1], '_mul_scalar': [1 / steps]}
    counted: set[int] = set()
    for place, node in enumerate(graph.nodes):
        if node.op in _NUMBERS or {entry.node for entry in node.inputs} <= counted and (
                node.inputs and has(node.op, 'one shape') or node.op in ('Reshape', 'expand_dims')):
            counted.add(place)
    return [node for place, node in enumerate(graph.nodes) if place in needed and (
        place in counted and node.op.endswith('_scalar') and node.scalar in made[:2]
        or node.op in factors and any(math.isclose(node.scalar, each, rel_tol=1e-6)
                                      for each in (made if place in sums else factors[node.op])))]


def wrong_at_others(node: Node, steps: int) -> str:
    """What to say of a node that `made_of` or `divided` found."""
    return 'node %s (%s) has the number %g. If that comes from the number of steps in the graph, ' \
        '%d, results at other lengths are wrong' % (node.name, node.op, node.scalar, steps)


def _times(graph: Graph, axes: Mapping[Entry, Axes]) -> set[Axis]:
    """The axes of any size along which recurrences run."""
    return {axis for place in graph.needed() if has(graph.nodes[place].op, 'recurs')
            for axis in open_axes(axes.get(Entry(place, 0), [])[:1])}


def _beside_sums(graph: Graph) -> set[int]:
    """Places of sums, of what is computed of them element by element, and of what they add up."""
    found: set[int] = set()
    for place, node in enumerate(graph.nodes):
        if node.op in _SUMS or has(node.op, 'one shape') and any(
                entry.node in found for entry in node.inputs):
            found.add(place)
    return found | {node.inputs[0].node for node in graph.nodes if node.op in _SUMS}
