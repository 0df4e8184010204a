"""Unrolled graphs, rolled up again: graph to graph, without MXNet and torch."""
from .lengths import fixed_by
from .roll import Finding, RolledGraph, certify, roll

__all__ = ['Finding', 'RolledGraph', 'certify', 'fixed_by', 'roll']
