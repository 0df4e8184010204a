"""Unrolled graphs, rolled up again: graph to graph, without MXNet and torch."""
from .kernels import Kernel
from .lengths import fixed_by
from .loops import Loop
from .masks import bounds
from .roll import Finding, RolledGraph, certify, roll
from .values import Values

__all__ = ['Finding', 'Kernel', 'Loop', 'RolledGraph', 'Values', 'bounds', 'certify', 'fixed_by',
           'roll']
