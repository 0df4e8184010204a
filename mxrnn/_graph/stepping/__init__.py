"""Turns graphs of sequences into graphs of steps, with states as inputs and outputs.

- `axis_propagation`: what becomes of inputs' axes
- `stepped_recurrences`: the recurrences that run in steps
- `step_graph`: the graph of a step
"""
from .step_graph import State, Stepped, with_states
from .stepped_recurrences import StateError

__all__ = ['State', 'StateError', 'Stepped', 'with_states']
