"""docs/steps.md: the models of other pages are served without MXNet, also by their programs."""
import ast
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from ..processes import printed
from .encoders import WORDS, sockeye
from .test_commands import told

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('torch')
if rnn.__name__ != 'mxrnn':
    pytest.skip('of mxrnn alone', allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
PAGE, EXPORT, RECIPES = [(ROOT / 'docs' / name).read_text(encoding='utf-8')
                         for name in ('steps.md', 'export.md', 'recipes.md')]


def blocks(language, page=PAGE):
    return re.findall(r'^```%s\n(.*?)^```' % language, page, re.MULTILINE | re.DOTALL)


def commands(block):
    """What the commands of a block print."""
    return [told(*shlex.split(line)[3:]) for line in blocks('sh')[block].splitlines()]


def function(name):
    """A function of the recipes, for arrays of NumPy."""
    found = re.search(r'^(?:def|class) %s\b.*?(?=^\S)' % name, RECIPES, re.MULTILINE | re.DOTALL)
    assert found
    return found[0].replace('.asnumpy()', '')


#: What the page says of the recipes' programs: they run on its files, less `.asnumpy()`.
RECIPES_ON_FILES = '''
from urllib.request import urlopen
import json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
END, LETTERS, step, sessions, lock = 0, 5, count, {}, threading.Lock()
%s
print('sampled:', sample(turn, turn.begin(source=[[1, 2, 3, 4]]), [END], seed=1))
print('turned:', beam_search(turn, turn.begin(source=[[1, 2, 3, 4]]), width=4)[1])
server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for word in (1, 2, 3):
    url = 'http://127.0.0.1:%%d/anna/%%d' %% (server.server_port, word)
    chances = json.loads(urlopen(url).read())
print('served:', int(np.argmax(chances)), 'after 1 2 3;', len(sessions), 'session')
server.shutdown()
server.server_close()
''' % '\n'.join(map(function, ('sample', 'beam_search', 'Handler')))


#: A loop of the decoder of `turn`, whose products can be quantised.
LOOP = '''
import mxrnn as rnn
from mxrnn import mx

def embed(name):
    return mx.sym.Embedding(mx.sym.Variable(name), input_dim=5, output_dim=8, name=name + '_embed')

encoder, decoder = rnn.GRUCell(32, 'encoder_'), rnn.GRUCell(32, 'decoder_')
weights = rnn.load_rnn_checkpoint([encoder, decoder], 'turn').arg_params
_, state = encoder.unroll(4, embed('source'), merge_outputs=True)
outputs, _ = rnn.dynamic_unroll(decoder, embed('data'), state)
scores = mx.sym.FullyConnected(outputs, num_hidden=5, flatten=False, name='score')
chances = mx.sym.softmax(scores, name='softmax')
rnn.save_rnn_checkpoint([encoder, decoder], 'loop', 1, chances, weights, {})
'''


def test_the_page(tmp_path, monkeypatch):
    """What serves runs without MXNet, in a process of its own."""
    monkeypatch.chdir(tmp_path)
    *serving, by_source, one_file, two_files, _, _ = blocks('py')
    for code in blocks('py', EXPORT)[0], blocks('python', RECIPES)[0]:
        exec(code, {})
    said = commands(0)
    assert 'within the tolerance' in said[1]
    assert said[-1] == blocks('text')[0]
    for code in one_file + two_files, LOOP:
        exec(code, {})
    stepper = interop.load_stepper('int8/turn.onnx')
    stepper.step(stepper.begin(source=[[1, 2]]), data=[0])
    told('export', 'loop', '--onnx', 'loop.onnx', '--states')
    exec(one_file.replace('count', 'loop'), {})
    for large, begin in ('count', '`count'), ('loop', 'the products in the loop'):
        sizes = [os.path.getsize(tmp_path / (large + each)) for each in ('8.onnx', '.onnx')]
        shown = re.search(begin + r'.*?(0\.\d+) of (?:its|the) size', PAGE, re.DOTALL)
        assert shown and abs(sizes[0] / sizes[1] - float(shown[1])) < 0.02
    code, hidden = '\n'.join([*serving, RECIPES_ON_FILES]), 'mxnet torch onnx'
    assert 'turned: [4, 3, 2, 1]\n' in printed('-c', code.replace(
        "load_stepper('turn.onnx')", "load_stepper('loop8.onnx')"), folder=tmp_path, hidden=hidden)
    lines = dict(line.split(': ') for line in printed(
        '-c', code, folder=tmp_path, hidden=hidden).splitlines())
    assert lines == {
        'wrote': re.search(r'prints `wrote: (.*?)`', PAGE)[1],
        'went on': '[[5, 6], [7, 8]]', 'chunks': 'True', 'first letters': '[4, 2]',
        'sampled': '[[4, 3, 1, 2]]', 'turned': '[4, 3, 2, 1]',
        'served': '4 after 1 2 3; 1 session'}
    commands(1)
    assert printed('-c', by_source, folder=tmp_path, hidden='mxnet mxrnn onnx onnxruntime') == (
        'turned: [4, 3, 2, 1]\n')


@pytest.mark.parametrize('options, seed', [
    ({}, 3), pytest.param({'tied': True}, 2, marks=pytest.mark.nightly),
    pytest.param({'ratio': True}, 3, marks=pytest.mark.nightly)], ids=['', 'tied', 'ratio'])
def test_a_sockeye_model(options, seed, tmp_path, monkeypatch):
    """Files as Sockeye writes them, with larger weights, so that translations differ."""
    monkeypatch.chdir(tmp_path)
    symbol, folder = sockeye(9, 11, **options), tmp_path / 'sockeye'
    shapes = {'source': (1, 9, 1), 'target': (1, 11), 'target_label': (1, 11)}
    random = np.random.RandomState(seed)
    weights = {name: mx.nd.array(random.normal(size=shape)) for name, shape in zip(
        symbol.list_arguments(), symbol.infer_shape(**shapes)[0]) if name not in shapes}
    folder.mkdir()
    symbol.save(str(folder / 'symbol.json'))
    mx.nd.save(str(folder / 'params.best'), {'arg:' + name: array
                                             for name, array in weights.items()})
    search, by_source = blocks('py')[-2:]
    commands(-1)
    (tmp_path / 'search.py').write_text(search, encoding='utf-8')
    found = ast.literal_eval(printed('-c', search, folder=tmp_path, hidden='mxnet torch onnx'))
    assert found == sorted(found, key=lambda pair: pair[1])
    assert len(found) == 5 and min(len(words) for words, _ in found) <= 11
    for words, cost in found:  # as the whole graph tells it
        target = [2, *words[:-1]]
        source = [[[word] for word in (5, 8, 7, 3, 0, 0, 0, 0, 0)]]
        if len(target) > 11:
            continue
        chances = symbol[0].eval(source=mx.nd.array(source), target_label=mx.nd.zeros((1, 11)),
                              target=mx.nd.array([target + [0] * (11 - len(target))]),
                              **weights)[0].asnumpy()[:len(words)]
        wanted = -np.log(chances[range(len(words)), words]).sum() / (len(words) - 1 or 1e-9)
        assert abs(cost - wanted) < 1e-4 * max(wanted, 1) and max(words) < WORDS
    again = ast.literal_eval(printed('-c', by_source, folder=tmp_path,
                                     hidden='mxnet onnx onnxruntime'))
    assert [words for words, _ in again] == [words for words, _ in found]
