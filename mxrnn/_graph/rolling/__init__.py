"""Unrolled graphs, rolled up again: graph to graph, without MXNet and torch."""
from .roll import Finding, RolledGraph, roll

__all__ = ['Finding', 'RolledGraph', 'roll']
