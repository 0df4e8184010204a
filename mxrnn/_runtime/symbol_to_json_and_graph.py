"""Symbols as JSON and as graphs, with everything in them.

This package reads the graphs of Symbols.
"""
from __future__ import annotations

from typing import Any

from .._graph.graph import Graph
from .._graph.symbol_json import graph_from_json
from .mxnet import RELEASE

__all__ = ['graph_of', 'json_of']


def json_of(symbol: Any) -> str:
    """The JSON of a Symbol, with everything in it.

    By default, MXNet 1.7 and newer make a copy without casts for mixed precision and never free it.
    """
    return symbol.tojson(**({'remove_amp_cast': False} if RELEASE >= (1, 7) else {}))


def graph_of(symbol: Any) -> Graph:
    """The graph of a Symbol, with everything in it."""
    return graph_from_json(json_of(symbol))
