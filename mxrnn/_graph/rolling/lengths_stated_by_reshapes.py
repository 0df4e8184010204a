"""Finds the numbers of steps that Reshapes behind operators of whole sequences state."""
from __future__ import annotations

import math
from typing import Callable, Container

from ..graph import Entry, Graph, Node
from ..operator_table import has
from ..shapes.axis_factors import Axes, factors_of, open_axes
from ..shapes.sizes import Axis
from .sequence_axes import note_axes

__all__ = ['grouping', 'stated_steps', 'with_windows']

#: The attribute of Reshapes that are known to split rows into windows.
_WINDOW = '__window__'


def stated_steps(graph: Graph, known: Container[int] = (), number: int | None = None
                 ) -> dict[int, int]:
    """By place of the recurrent operators that are not `known`: the number of steps that a Reshape
    states when it splits a batch and its steps: `number`, or else the only one.

    2 is no such number: a graph may read any even number of steps in pairs. Neither is one of
    which another Reshape states a multiple, because it may be that of rows in a window.
    """
    stated = {place: {*numbers} for place, numbers in _stated(graph).items() if place not in known}
    others = {code for node in graph.nodes if node.op == 'Reshape' and -1 in node.shape
              for code in node.shape[:-1] if len(node.shape) > 2} - set().union(*stated.values())
    only = {place: next(iter(numbers)) for place, numbers in stated.items() if len(numbers) == 1}
    only = {place: each for place, each in only.items()
            if not any(other > each and other % each == 0 for other in others)}
    return {**only, **{place: number for place, numbers in stated.items() if number in numbers}}


def grouping(graph: Graph) -> set[int]:
    """Numbers by which Reshapes group the rows of whole sequences, and which `stated_steps` leaves
    out."""
    return {number for windows in (False, True) for numbers in _stated(graph, windows).values()
            for number in numbers} - {*stated_steps(graph).values()}


def with_windows(graph: Graph, steps: Callable[[int], int | None]) -> Graph:
    """The graph in which Reshapes are marked that split `steps` into windows: that many does a
    recurrent operator have, by its place."""
    marked = {at for place, numbers in _stated(graph).items()
              for number, places in numbers.items()
              if number < (steps(place) or 0) and (steps(place) or 0) % number == 0
              for at in places}
    return graph._replace(nodes=tuple([
        node._replace(attrs={**node.attrs, _WINDOW: 'True'}) if place in marked else node
        for place, node in enumerate(graph.nodes)])) if marked else graph


def _stated(graph: Graph, windows: bool = False) -> dict[int, dict[int, list[int]]]:
    """By place of recurrent operators: the numbers that Reshapes state, with their places; those
    that are marked as `windows`, or the others."""
    places = [place for place, node in enumerate(graph.nodes) if has(node.op, 'recurs')]
    reshapes = [(place, node) for place, node in enumerate(graph.nodes)
                if node.op == 'Reshape' and max(node.shape) > 2 and (
                    _WINDOW in node.attrs) is windows]
    if not places or not reshapes:
        return {}
    axes: dict[Entry, Axes] = {}
    note_axes(graph.nodes, 0, axes)
    numbers: dict[Axis, dict[int, list[int]]] = {}
    for at, node in reshapes:
        for axis, code in _split_off(node, axes.get(node.inputs[0], [])).items():
            numbers.setdefault(axis, {}).setdefault(code, []).append(at)
    times = {place: open_axes(axes.get(Entry(place, 0), [])[:1]) for place in places}
    return {place: numbers[time[0]] for place, time in times.items()
            if len(time) == 1 and time[0] in numbers}


def _split_off(node: Node, data: Axes) -> dict[Axis, int]:
    """Of the two axes of any size in `data`, those that a Reshape makes numbers."""
    splits = node.shape[0] == -4
    codes, rest = (node.shape[1:3], (0,)) if splits else (node.shape[:2], node.shape[2:])
    both = open_axes(data[:1] if splits else data)
    width = math.prod(size for axis in data for size in factors_of(axis) if isinstance(size, int))
    stated = math.prod(code for code in rest if code > 0)
    if len(both) == len(node.shape) == 2 and codes[0] == -1 and codes[1] % width == 0:
        codes = -1, codes[1] // width  # a row has all steps
    elif node.reverse or len(both) != 2 or len(codes) != 2 or min(codes) < -1 or (
            width % stated if min(rest, default=1) < 1 else width != stated):
        return {}
    return {axis: code for axis, code in zip(both, codes) if code > 2}
