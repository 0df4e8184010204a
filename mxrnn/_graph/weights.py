"""Finds variables that can be nothing but weights, and weights that do not fit a graph."""
from __future__ import annotations

from typing import Mapping

from .graph import Graph
from .operators import row
from .rows import ROWS

__all__ = ['own_weights', 'wrong_sizes']

#: How operators call their weights, also those that have no row.
_ENDS = {each.name for known in ROWS.values() for each in known.inputs
         if each.role in ('weight', 'aux')}


def own_weights(graph: Graph) -> list[str]:
    """The auxiliary states, and the variables that MXNet makes where an operator is given none.

    A graph does not say which variables are data; these are not. A weight is called as its operator
    is, and with the name that it has there.
    """
    found = dict.fromkeys(graph.auxiliary)
    for node in graph.nodes:
        for entry in node.inputs:
            name = graph.nodes[entry.node].name
            if graph.nodes[entry.node].is_variable and name.startswith(node.name + '_') and (
                    name[len(node.name) + 1:] in _ENDS):
                found[name] = None
    return list(found)


def wrong_sizes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]
                ) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The weights whose first sizes are not what the operators that take them state.

    By name: the operator, and the sizes that it needs.
    """
    wrong = {}
    for node in graph.nodes:
        known = row(node.op)
        if known is None:
            continue
        for at, entry in enumerate(node.inputs):
            name, needed = graph.nodes[entry.node].name, known.stated(node, at)
            if name in shapes and shapes[name][:len(needed)] != needed:
                wrong[name] = node.name, needed
    return wrong
