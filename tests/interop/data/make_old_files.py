"""Makes the checkpoints of old versions of MXNet in this folder. Runs on Python 2.7 and later.

    pip install mxnet==1.2.1.post1
    python make_old_files.py 1.2

writes ``1.2-cells`` (stacked cells, a bidirectional layer, a loss head) and ``1.2-fused`` (the
fused cell, whose operator had no CPU version before 1.5), weights by gate, with mxnet.rnn of that
version; and ``1.2.npz`` with the data and what the cells make of it.
"""
import sys

import mxnet as mx
import numpy as np


def weights(symbol, shapes):
    """Random weights for the arguments of a graph that are not in `shapes`."""
    arguments, _, _ = symbol.infer_shape(**shapes)
    random = np.random.RandomState(1)
    return {name: mx.nd.array(random.uniform(-.8, .8, shape))
            for name, shape in zip(symbol.list_arguments(), arguments) if name not in shapes}


def run(symbol, args, data):
    """The outputs of a graph for the data."""
    bound = symbol.simple_bind(mx.cpu(), grad_req='null', data=data.shape)
    for name, array in args.items():
        bound.arg_dict[name][:] = array
    return [each.asnumpy() for each in bound.forward(is_train=False, data=mx.nd.array(data))]


def main(version):
    data = np.random.RandomState(0).randint(0, 7, (2, 4)).astype('float32')
    embed = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=7, output_dim=3, name='embed')

    cell = mx.rnn.SequentialRNNCell()
    cell.add(mx.rnn.LSTMCell(4, prefix='lstm_'))
    cell.add(mx.rnn.DropoutCell(.5))
    cell.add(mx.rnn.BidirectionalCell(mx.rnn.GRUCell(2, prefix='l_'),
                                      mx.rnn.GRUCell(2, prefix='r_')))
    cell.add(mx.rnn.ResidualCell(mx.rnn.RNNCell(4, prefix='rnn_')))
    outputs, _ = cell.unroll(4, embed, merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.Reshape(outputs, shape=(-3, 0)), num_hidden=7, name='fc')
    symbol = mx.sym.SoftmaxOutput(scores, name='softmax')
    args = weights(symbol, {'data': data.shape, 'softmax_label': (8,)})
    cells, = run(symbol, args, data)
    mx.rnn.save_rnn_checkpoint(cell, version + '-cells', 1, symbol, args, {})

    fused = mx.rnn.FusedRNNCell(4, 2, 'lstm', True, prefix='lstm_', get_next_state=True)
    outputs, states = fused.unroll(4, embed, merge_outputs=True)
    symbol = mx.sym.Group([outputs] + states)
    size = sum(8 * 4 * (width + 4) + 2 * 8 * 4 for width in (3, 8))
    random = np.random.RandomState(2)
    args = {'lstm_parameters': mx.nd.array(random.uniform(-.8, .8, size)),
            'embed_weight': mx.nd.array(random.uniform(-.8, .8, (7, 3)))}
    mx.rnn.save_rnn_checkpoint(fused, version + '-fused', 1, symbol, args, {})
    stack = fused.unfuse()
    outputs, _ = stack.unroll(4, embed, merge_outputs=True)
    expected, = run(outputs, stack.pack_weights(fused.unpack_weights(args)), data)
    np.savez(version + '.npz', data=data, cells=cells, fused=expected)
    print(mx.__version__)


if __name__ == '__main__':
    main(sys.argv[1])
