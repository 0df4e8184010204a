"""Rolls unrolled graphs up again: from graph to graph, without MXNet and torch."""
from .length_bounds import bounds
from .loops import Loop
from .match_rnn import Kernel
from .roll import Finding, RolledGraph, certify, roll
from .symbolic_length import fixed_by
from .value_numbering import Values

__all__ = ['Finding', 'Kernel', 'Loop', 'RolledGraph', 'Values', 'bounds', 'certify', 'fixed_by',
           'roll']
