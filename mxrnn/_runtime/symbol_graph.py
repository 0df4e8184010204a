"""Symbols as JSON and as graphs, with everything in them.

This package reads the graphs of Symbols.
"""
from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from .._graph.graph import Graph
from .._graph.symbol_json import graph_from_json

__all__ = ['graph_of', 'json_of']

if TYPE_CHECKING:
    from .mxnet_types.sym import Symbol


def json_of(symbol: Symbol) -> str:
    """The JSON of a Symbol, with everything in it.

    By default, MXNet 1.7 and newer make a copy without casts for mixed precision and never free it.
    """
    text: str = symbol.tojson(**{name: False for name in inspect.signature(symbol.tojson).parameters
                                 if name == 'remove_amp_cast'})
    return text


def graph_of(symbol: Symbol) -> Graph:
    """The graph of a Symbol, with everything in it."""
    return graph_from_json(json_of(symbol))
