"""The cells, under the name that their module has in MXNet."""
from ._cells.base_cells import BaseRNNCell
from ._cells.containers import BidirectionalCell, SequentialRNNCell
from ._cells.conv import BaseConvRNNCell, ConvGRUCell, ConvLSTMCell, ConvRNNCell
from ._cells.dense import GRUCell, LSTMCell, LSTMPCell, RNNCell
from ._cells.modifiers import DropoutCell, ModifierCell, ResidualCell
from ._cells.noise import VariationalDropoutCell, WeightDropCell, ZoneoutCell
from ._cells.normalised import LayerNormGRUCell, LayerNormLSTMCell
from ._cells.variables import RNNParams
from ._cells.weights_by_gate import MissingWeightsError
from ._operator.fused_cell import FusedRNNCell
from ._runtime import finder as _finder

if _finder.fuses:
    from ._inference import fuse_on_bind as _bound  # noqa: F401

__all__ = ['RNNParams', 'BaseRNNCell', 'RNNCell', 'LSTMCell', 'GRUCell', 'FusedRNNCell',
           'SequentialRNNCell', 'DropoutCell', 'ModifierCell', 'ZoneoutCell', 'ResidualCell',
           'BidirectionalCell', 'BaseConvRNNCell', 'ConvRNNCell', 'ConvLSTMCell', 'ConvGRUCell',
           'VariationalDropoutCell', 'WeightDropCell', 'LSTMPCell', 'LayerNormLSTMCell',
           'LayerNormGRUCell', 'MissingWeightsError']
