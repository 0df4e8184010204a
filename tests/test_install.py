"""A program that imports mxnet.rnn and can't be edited."""
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize('arguments', [[], ['inspect', 'days']])
def test_a_folder_that_was_not_installed_says_how_to(arguments):
    code = ("import runpy, sys\n"
            "class NoNumPy:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == 'numpy':\n"
            "            raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')\n"
            "sys.meta_path.insert(0, NoNumPy())\n"
            "runpy.run_module('mxrnn', run_name='__main__', alter_sys=True)\n")
    done = subprocess.run([sys.executable, '-c', code, *arguments], text=True,
                          capture_output=True)
    assert done.returncode == (2 if arguments else 1)
    assert done.stderr.endswith("No module named 'numpy'. Install mxrnn first, in mxrnn's folder: "
                                'pip install .\n')
    assert 'Traceback' not in done.stderr
