"""Initialisers, beside those of ``mx.init``."""
from __future__ import annotations

from ._operator.init_and_pack_rnn_vector import FusedRNN

__all__ = ['FusedRNN']
