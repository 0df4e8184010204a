"""Symbols as JSON and as graphs, with everything in them.

This package reads the graphs of Symbols.
"""
from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Callable

from .._graph.graph import Graph
from .._graph.symbol_json import graph_from_json

__all__ = ['graph_of', 'json_of', 'with_casts']

if TYPE_CHECKING:
    from .mxnet_types.sym import Symbol


def with_casts(write: Callable[..., object]) -> dict[str, bool]:
    """Options with which `write`, a method of a Symbol, writes everything in it. By default, MXNet
    1.7 and newer make a copy without casts for mixed precision and never free it."""
    return {name: False for name in inspect.signature(write).parameters
            if name == 'remove_amp_cast'}


def json_of(symbol: Symbol) -> str:
    """The JSON of a Symbol, with everything in it."""
    text: str = symbol.tojson(**with_casts(symbol.tojson))
    return text


def graph_of(symbol: Symbol) -> Graph:
    """The graph of a Symbol, with everything in it."""
    return graph_from_json(json_of(symbol))
