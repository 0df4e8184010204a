"""The cells, under the name that their module has in MXNet."""
from __future__ import annotations

from ._base import BaseRNNCell, MissingWeightsError, RNNParams
from ._compose import BidirectionalCell, SequentialRNNCell
from ._conv import BaseConvRNNCell, ConvGRUCell, ConvLSTMCell, ConvRNNCell
from ._dense import GRUCell, LSTMCell, RNNCell
from ._fused import FusedRNNCell
from ._modifiers import (
    DropoutCell,
    ModifierCell,
    ResidualCell,
    VariationalDropoutCell,
    ZoneoutCell,
)

__all__ = ['RNNParams', 'BaseRNNCell', 'RNNCell', 'LSTMCell', 'GRUCell', 'FusedRNNCell',
           'SequentialRNNCell', 'DropoutCell', 'ModifierCell', 'ZoneoutCell', 'ResidualCell',
           'BidirectionalCell', 'BaseConvRNNCell', 'ConvRNNCell', 'ConvLSTMCell', 'ConvGRUCell',
           'VariationalDropoutCell', 'MissingWeightsError']
