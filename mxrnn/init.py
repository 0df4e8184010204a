"""Initialisers, beside those of ``mx.init``."""
from __future__ import annotations

from ._operator.arrays import FusedRNN

__all__ = ['FusedRNN']
