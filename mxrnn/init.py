"""Initialisers, beside those of ``mx.init``."""
from ._operator.init_and_pack_rnn_vector import FusedRNN

__all__ = ['FusedRNN']
