"""A program that imports mxnet.rnn and can't be edited."""
import subprocess
import sys

PROGRAM = """
import mxrnn
mxrnn.install()

import mxnet as mx
import mxnet.rnn
from mxnet.rnn import LSTMCell
from mxnet.rnn.rnn_cell import GRUCell
from mxnet.rnn.io import BucketSentenceIter
from mxnet.rnn.rnn import save_rnn_checkpoint

for mine, name in [(LSTMCell, 'LSTMCell'), (GRUCell, 'GRUCell'),
                   (BucketSentenceIter, 'BucketSentenceIter'),
                   (save_rnn_checkpoint, 'save_rnn_checkpoint')]:
    assert mine is getattr(mxrnn, name) is getattr(mx.rnn, name), name
assert mx.rnn is mxnet.rnn is mxrnn

cell = mx.rnn.FusedRNNCell(4)
outputs, _ = cell.unroll(3, mx.sym.Variable('data'), layout='TNC')
model = mx.mod.Module(outputs, label_names=None)
model.bind([('data', (3, 2, 5))])
model.init_params(mx.init.Uniform())
# MXNet's own initialiser, which imports mxnet.rnn when it runs.
vector = model.get_params()[0]['lstm_parameters']
mx.init.FusedRNN(mx.init.Uniform(), 4, 1, 'lstm')._init_weight(
    mx.init.InitDesc('lstm_parameters'), vector)
print('works')
"""


def test_a_program_gets_mxrnn_under_the_name_of_mxnet_rnn():
    done = subprocess.run([sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE,
                          text=True, check=True)
    assert done.stdout.endswith('works\n')
