"""Turns graphs of sequences into graphs of steps, with states as inputs and outputs."""
from __future__ import annotations

from .step_graph import State, Stepped, with_states
from .stepped_recurrences import StateError

__all__ = ['State', 'StateError', 'Stepped', 'with_states']
