"""Initialisers, beside those of ``mx.init``."""
from ._operator.fused_initializer import FusedRNN

__all__ = ['FusedRNN']
