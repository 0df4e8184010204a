"""Turns graphs of sequences into graphs of steps, with states as inputs and outputs."""
from .find_or_refuse_stepped_recurrences import StateError
from .step_graph import State, Stepped, with_states

__all__ = ['State', 'StateError', 'Stepped', 'with_states']
