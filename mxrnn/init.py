"""Initialisers, beside those of ``mx.init``."""
from ._operator.packed_vector import FusedRNN

__all__ = ['FusedRNN']
