"""The walks of docs/export.md and docs/lengths.md run as they stand, block after block."""
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop

from ..processes import printed

torch, _, onnxruntime = map(pytest.importorskip, ('torch', 'onnx', 'onnxruntime'))

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'docs' / name for name in ('export.md', 'lengths.md')]

#: Saves the checkpoint `old` of the pages: cells in buckets, whose last graph has 6 steps of 12.
OLD = '''
import mxrnn as rnn
from mxrnn import mx

stack = rnn.SequentialRNNCell()
stack.add(rnn.LSTMCell(16, 'lstm_l0_'))
stack.add(rnn.LSTMCell(16, 'lstm_l1_'))

def network(length):
    stack.reset()
    data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=10, output_dim=8, name='embed')
    outputs, _ = stack.unroll(length, data, merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, (-1, 16)), num_hidden=10, name='scores')
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), -1)
    return mx.sym.SoftmaxOutput(scores, label, name='softmax'), ['data'], ['softmax_label']

def batch(length):
    return mx.io.DataBatch([mx.nd.ones((4, length))], [mx.nd.ones((4, length))], 0, None, length,
                           [('data', (4, length))], [('softmax_label', (4, length))])

module = mx.mod.BucketingModule(network, 12)
module.bind(batch(12).provide_data, batch(12).provide_label)
module.init_params(mx.init.Xavier())
for length in 12, 6:
    module.forward(batch(length))
rnn.do_rnn_checkpoint(stack, 'old')(0, module.symbol, *module.get_params())
'''


def commands():
    """The program or command lines of each block, as arguments of Python."""
    text = ''.join(page.read_text(encoding='utf-8') for page in PAGES)
    for language, block in re.findall(r'^```(py|sh)\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
        if block.startswith('class Model'):  # a source that is shown
            continue
        if language == 'py':
            yield ['-c', block]
            continue
        for line in block.splitlines():
            if not line.startswith('pip install '):  # what is installed already
                program, *arguments = shlex.split(line)
                assert program == 'python'
                yield arguments


@pytest.mark.nightly
def test_the_walks_of_the_pages(tmp_path):
    texts = [printed(*arguments, folder=tmp_path) for arguments in (['-c', OLD], *commands())]
    assert len(texts) == 13
    text = '\n'.join(texts)
    assert text.count('within the tolerance') == 1 and 'ONNX:       every operator' in text
    assert '(4, 10) after 3 4 5 6 comes 7\n' in text
    first, last = map(float, re.findall(r'step \d+: (\d\.\d+) a word\n', text))
    assert last < first
    assert float(re.search(r'a chance of (\d\.\d+)\n', text)[1]) > 0.9
    assert (tmp_path / 'count-0005.params').exists()

    old = interop.load(str(tmp_path / 'old'), 1)
    session = onnxruntime.InferenceSession(str(tmp_path / 'old.onnx'),
                                           providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == ['batch', 'time']
    words = torch.randint(1, 10, (3, 6))
    torch.testing.assert_close(torch.tensor(session.run(None, {'data': words.numpy()})[0]),
                               interop.to_torch(old)(data=words).detach())
    assert session.run(None, {'data': np.ones((2, 17), 'int64')})[0].shape == (34, 10)
    assert 'lstm_l1, 6 steps: one operator, lstm' in text
