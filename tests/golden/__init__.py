"""Names, shapes and attributes of every public cell, kept as files.

``python -m tests.golden`` writes them anew from the module under test.
"""
import json
from pathlib import Path

from .. import mx
from ..cases import CASES, OURS
from ..running import flat

#: The case that stands for each cell.
CELLS = {
    'RNNCell': 'rnn', 'LSTMCell': 'lstm', 'GRUCell': 'gru', 'FusedRNNCell': 'fused_positional',
    'SequentialRNNCell': 'stack_mixed', 'BidirectionalCell': 'both_mixed',
    'ModifierCell': 'own_modifier', 'DropoutCell': 'dropout', 'ZoneoutCell': 'zoneout_both',
    'ResidualCell': 'residual', 'ConvRNNCell': 'conv_rnn', 'ConvLSTMCell': 'conv_lstm',
    'ConvGRUCell': 'conv_gru'}
#: The same for cells and options that mxnet.rnn has not.
OWN_CELLS = {'LSTMPCell': 'lstmp', 'LayerNormLSTMCell': 'layer_norm_lstm',
             'LayerNormGRUCell': 'layer_norm_gru', 'VariationalDropoutCell': 'variational',
             'WeightDropCell': 'weight_drop',
             'FusedRNNCell-projection': 'fused_projection',
             'BidirectionalCell-sum': 'both_sum', 'LSTMCell-clip': 'lstm_clip',
             'LSTMCell-no-bias': 'lstm_no_bias',
             'LayerNormLSTMCell-no-bias': 'layer_norm_no_bias',
             'ConvRNNCell-1d': 'conv_rnn_1d', 'ConvLSTMCell-3d': 'conv_lstm_3d',
             'ConvLSTMCell-no-bias': 'conv_lstm_no_bias'}


def path(name):
    """The golden file of a cell."""
    return Path(__file__).with_name(name + '.json')


def describe(module, name):
    """Names, shapes and attributes of a graph of two steps with the cell in it, and its node names.

    Shapes are for a batch of two.
    """
    wanted = {**CELLS, **OWN_CELLS}[name]
    case = next(case for case in CASES + OURS if case.name == wanted)
    with mx.name.NameManager():
        cell = case.make(module)
        states = cell.state_info
        outputs, final = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    graph = mx.sym.Group([outputs] + flat(final))
    arguments, results, _ = graph.infer_shape(data=(2, 2) + case.step)
    described = {
        'arguments': dict(zip(graph.list_arguments(), arguments)),
        'outputs': dict(zip(graph.list_outputs(), results)),
        'attributes': graph.attr_dict(),
        'nodes': graph.get_internals().list_outputs(),
        'states': states,
        'gates': getattr(cell, '_gate_names', None)}
    return json.loads(json.dumps(described))


def write(module):
    """Write the golden file of every cell."""
    for name in (*CELLS, *OWN_CELLS):
        text = json.dumps(describe(module, name), indent=1, sort_keys=True)
        path(name).write_text(text + '\n', encoding='utf-8')
