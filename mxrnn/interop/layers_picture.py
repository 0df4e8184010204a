"""A model's layers as a picture: SVG, which every browser shows."""
from __future__ import annotations

import math
import re
from html import escape
from typing import Any, Mapping, NamedTuple

from .._graph.graph import Graph, Node
from .._graph.operator_table import has, row
from .._graph.rolling import structure

__all__ = ['draw']

_WIDTH, _HEIGHT, _GAP = 260, 66, 24  # of a box; between two of them
#: Letters that a box has room for in wide fonts: in its title, and in other lines.
_LETTERS = 32, 36
_MOST = 120  # boxes in a picture

#: Operators that read only the shape of their data.
_CONSTANT = {'zeros_like', 'ones_like'}

#: Attributes that tell a reader nothing.
_UNTOLD = {'state_outputs', 'num_args', 'dtype'}


class _Box(NamedTuple):
    """A layer or an input in the picture."""

    place: int
    title: str
    text: str
    depth: int
    above: list[int]  #: places of the boxes that it reads


def draw(graph: Graph, parameters: Mapping[str, Any]) -> str:
    """Draw the path of the data, with unrolled steps rolled up, as the text of an SVG file.

    Weights are not drawn; each layer shows how many it has.

    Raises
    ------
    ValueError
        There are too many layers, for instance because steps could not be rolled up.
    """
    rolled = structure(graph, training=True)
    steps = {each.name: each.steps for each in rolled.findings}
    boxes = _boxes(rolled.graph, parameters, steps)
    if len(boxes) > _MOST:
        raise ValueError('a picture can show at most %d layers, but the model has %d'
                         % (_MOST, len(boxes)))
    return _svg(boxes)


def _boxes(graph: Graph, parameters: Mapping[str, Any], steps: Mapping[str, int]
           ) -> dict[int, _Box]:
    """The boxes by place, each behind the boxes that it reads; `steps` of recurrences by name."""
    boxes: dict[int, _Box] = {}
    shown: dict[int, list[int]] = {}  #: the boxes that represent a node
    weights: dict[int, set[str]] = {}  #: the weights of nodes that read no data
    used = graph.needed()
    for place, node in enumerate(graph.nodes):
        if place not in used:
            continue
        if node.is_variable:
            known = node.name in parameters
            weights[place] = {node.name} if known else set()
            shown[place] = [] if known else [place]
            if not known:
                boxes[place] = _Box(place, node.name, 'input', 0, [])
            continue
        read = [entry.node for entry in node.needed_inputs]
        above = list(dict.fromkeys(box for each in read for box in shown[each]))
        weights[place] = set().union(*(weights[each] for each in read if not shown[each]))
        if node.op in _CONSTANT:
            above = []
        if not above or (has(node.op, 'moves') or node.op == 'MakeLoss') and not weights[place]:
            shown[place] = above  # the line passes through it
            continue
        count = sum(math.prod(parameters[name].shape) for name in weights[place])
        name = re.sub(r'_rolled(_\d+)?$', '', node.name)  # as it is in the program
        boxes[place] = _Box(place, name, _told(node, count, steps.get(name, 0)),
                            1 + max(boxes[each].depth for each in above), above)
        shown[place] = [place]
    return boxes


def _told(node: Node, weights: int, steps: int) -> str:
    """The operator, its steps and settings, and how many weights it has."""
    known = row(node.op)
    given = ['%s=%s' % (key, text) for key, text in node.attrs.items()
             if not node.subgraphs and not key.startswith('_') and key not in _UNTOLD and (
                 known is None or key not in known.attributes
                 or known.value(node, key) != known.attributes[key].default)]
    inside = sum(1 for graph in node.subgraphs for each in graph.walk() if not each.is_variable)
    lines = [('loop of %d operators' % inside if inside else node.op) + (
        ', %d steps' % steps if steps else ''), ', '.join(given[:3])]
    if weights:
        lines.append('%s weights' % format(weights, ','))
    return '\n'.join(filter(None, lines))


def _svg(boxes: dict[int, _Box]) -> str:
    rows: dict[int, list[int]] = {}
    for box in boxes.values():
        rows.setdefault(box.depth, []).append(box.place)
    widest = max(map(len, rows.values()), default=1)
    width = widest * (_WIDTH + _GAP) + _GAP
    at: dict[int, tuple[float, float]] = {}
    for depth, places in rows.items():
        left = (width - len(places) * (_WIDTH + _GAP) + _GAP) / 2
        for i, place in enumerate(places):
            at[place] = left + i * (_WIDTH + _GAP), _GAP + depth * (_HEIGHT + 2 * _GAP)
    height = _GAP + (max(rows, default=0) + 1) * (_HEIGHT + 2 * _GAP) - _GAP
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
             'font-family="sans-serif" font-size="11" text-anchor="middle">' % (
                 width, height, width, height),
             '<rect width="100%" height="100%" fill="white"/>',
             '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
             'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#666"/></marker>']
    for box in boxes.values():
        x, y = at[box.place]
        for place in box.above:
            left, top = at[place]
            parts.append('<path d="M%g %gC%g %g %g %g %g %g" fill="none" stroke="#666" '
                         'marker-end="url(#tip)"/>' % (
                             left + _WIDTH / 2, top + _HEIGHT, left + _WIDTH / 2,
                             top + _HEIGHT + _GAP, x + _WIDTH / 2, y - _GAP, x + _WIDTH / 2, y))
    for box in boxes.values():
        x, y = at[box.place]
        parts.append('<rect x="%g" y="%g" width="%d" height="%d" rx="%d" fill="%s" '
                     'stroke="#888"/>' % (x, y, _WIDTH, _HEIGHT, 4 if box.above else 20,
                                          '#eef3fb' if box.above else '#f3f3f3'))
        lines = [box.title, *box.text.split('\n')]
        first = y + _HEIGHT / 2 - 7 * (len(lines) - 1) + 4
        for i, line in enumerate(lines):
            most = _LETTERS[i > 0]
            parts.append('<text x="%g" y="%g"%s>%s</text>' % (
                x + _WIDTH / 2, first + 14 * i, '' if i else ' font-weight="bold"',
                escape(line if len(line) <= most else line[:most - 1] + '…')))
    return '\n'.join([*parts, '</svg>', ''])
