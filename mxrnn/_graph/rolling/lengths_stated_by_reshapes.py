"""Finds the numbers of steps that Reshapes behind operators of whole sequences state."""
from __future__ import annotations

import math
from typing import Container

from ..graph import Entry, Graph, Node
from ..operator_table import has
from ..shapes.axis_factors import Axes, factors_of, open_axes
from ..shapes.sizes import Axis
from .sequence_axes import note_axes

__all__ = ['stated_steps']


def stated_steps(graph: Graph, known: Container[int] = (), number: int | None = None
                 ) -> dict[int, int]:
    """By place of the recurrent operators that are not `known`: the number of steps that a Reshape
    states when it splits a batch and its steps: `number`, or else the largest.

    It may be that of rows in a window as well. 2 is no such number: a graph may read any even
    number of steps in pairs.
    """
    places = [place for place, node in enumerate(graph.nodes)
              if has(node.op, 'recurs') and place not in known]
    reshapes = [node for node in graph.nodes if node.op == 'Reshape' and max(node.shape) > 2]
    if not places or not reshapes:
        return {}
    axes: dict[Entry, Axes] = {}
    note_axes(graph.nodes, 0, axes)
    numbers: dict[Axis, set[int]] = {}
    for node in reshapes:
        for axis, code in _split_off(node, axes.get(node.inputs[0], [])).items():
            numbers.setdefault(axis, set()).add(code)
    times = {place: open_axes(axes.get(Entry(place, 0), [])[:1]) for place in places}
    return {place: number if number in numbers[time[0]] else max(numbers[time[0]])
            for place, time in times.items() if len(time) == 1 and time[0] in numbers}


def _split_off(node: Node, data: Axes) -> dict[Axis, int]:
    """Of the two axes of any size in `data`, those that a Reshape makes numbers."""
    splits = node.shape[0] == -4
    codes, rest = (node.shape[1:3], (0,)) if splits else (node.shape[:2], node.shape[2:])
    both = open_axes(data[:1] if splits else data)
    width = math.prod(size for axis in data for size in factors_of(axis) if isinstance(size, int))
    stated = math.prod(code for code in rest if code > 0)
    if node.reverse or len(both) != 2 or len(codes) != 2 or min(codes) < -1 or (
            width % stated if min(rest, default=1) < 1 else width != stated):
        return {}
    return {axis: code for axis, code in zip(both, codes) if code > 2}
