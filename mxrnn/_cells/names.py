"""Names of the gates and of the arrays that a cell's weights consist of. Needs no MXNet."""
from __future__ import annotations

__all__ = ['GATES', 'GROUPS', 'KINDS', 'gate_array']

#: The projections that a cell has, and the arrays of each.
GROUPS = ('i2h', 'h2h')
KINDS = ('weight', 'bias')

_RNN = ('',)
_LSTM = ('_i', '_f', '_c', '_o')
_GRU = ('_r', '_z', '_o')

#: Suffixes of the gates in each mode of sym.RNN, in the order in which their rows lie.
GATES = {'rnn_relu': _RNN, 'rnn_tanh': _RNN, 'lstm': _LSTM, 'gru': _GRU}


def gate_array(group: str, kind: str, gate: str = '') -> str:
    """Name of one gate's array, 'i2h_f_weight', or of all gates', 'i2h_weight'."""
    return '%s%s_%s' % (group, gate, kind)
