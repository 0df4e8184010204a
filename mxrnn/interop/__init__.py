"""Graphs and weights of MXNet's programs, without MXNet."""
from __future__ import annotations

from .graph import Entry, Graph, Node, attr_value, graph_from_json

__all__ = ['Entry', 'Graph', 'Node', 'attr_value', 'graph_from_json']
