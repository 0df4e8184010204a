"""Initialisers, beside those of ``mx.init``."""
from __future__ import annotations

from ._operator.fused import FusedRNN

__all__ = ['FusedRNN']
