"""Initialisers, beside those of ``mx.init``."""
from __future__ import annotations

from ._operator.initialiser import FusedRNN

__all__ = ['FusedRNN']
