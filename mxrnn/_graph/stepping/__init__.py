"""Graphs of sequences as graphs of steps: states as inputs and outputs."""
from __future__ import annotations

from .cut import State, Stepped, with_states
from .follow import StateError

__all__ = ['State', 'StateError', 'Stepped', 'with_states']
