"""How fast does the source of `export --source` train, against the same model written by hand?

Writes the sources of a language model, of a tagger with both directions, and of an encoder and
decoder with attention, by `interop.to_source`, and times a step of training (forward, the loss,
backward, an update by SGD) beside classes of torch.nn that are written by hand: on the same batch,
in rounds that take turns. `speed` is how many times as fast as by hand it is.

    python benchmarks/source.py
"""
from __future__ import annotations

import importlib.util
import runpy
import tempfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
from _common import Table, configuration, measure, median, mx, parser, ratio, run, threads
from _options import positive

import mxrnn
from mxrnn import interop

for _module in ('torch', 'onnx'):
    if importlib.util.find_spec(_module) is None:
        raise SystemExit('source.py needs %s: pip install %s' % (_module, _module))
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

S = mx.sym
WORDS, TAGS = 1000, 20


# ---- as programs of mx.rnn build them

def _loss(outputs: Any, units: int, classes: int) -> Any:
    scores = S.FullyConnected(S.reshape(outputs, shape=(-1, units)), num_hidden=classes,
                              name='pred')
    label = S.reshape(S.Variable('softmax_label'), shape=(-1,))
    return S.SoftmaxOutput(scores, label, use_ignore=True, ignore_label=0, name='softmax')


def _words(units: int) -> Any:
    return S.Embedding(S.Variable('data'), input_dim=WORDS, output_dim=units, name='embed')


def language_model(units: int, length: int) -> Any:
    stack = mxrnn.SequentialRNNCell()
    for layer in range(2):
        stack.add(mxrnn.LSTMCell(units, 'lstm_l%d_' % layer))
    return _loss(stack.unroll(length, _words(units), merge_outputs=True)[0], units, WORDS)


def tagger(units: int, length: int) -> Any:
    cell = mxrnn.BidirectionalCell(mxrnn.LSTMCell(units, 'l_'), mxrnn.LSTMCell(units, 'r_'))
    return _loss(cell.unroll(length, _words(units), merge_outputs=True)[0], 2 * units, TAGS)


def attention(units: int, length: int) -> Any:
    encoded, states = mxrnn.GRUCell(units, 'encoder_').unroll(length, _words(units),
                                                              merge_outputs=True)
    cell, outputs = mxrnn.GRUCell(units, 'decoder_'), []
    targets = S.Embedding(S.Variable('target'), input_dim=WORDS, output_dim=units, name='target')
    weight = S.Variable('query_weight')
    steps = S.split(targets, num_outputs=length, axis=1, squeeze_axis=True)
    for i in range(length):
        query = S.FullyConnected(states[0], weight=weight, no_bias=True, num_hidden=units)
        scores = S.softmax(S.batch_dot(encoded, S.expand_dims(query, axis=2)), axis=1)
        context = S.reshape(S.batch_dot(scores, encoded, transpose_a=True), shape=(0, -1))
        output, states = cell(S.concat(steps[i], context, dim=1), states)
        outputs.append(S.expand_dims(output, axis=1))
    return _loss(S.concat(*outputs, dim=1), units, WORDS)


# ---- by hand

class LanguageModel(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, units)
        self.lstm = nn.LSTM(units, units, 2, batch_first=True)
        self.pred = nn.Linear(units, WORDS)

    def loss(self, data: Tensor, label: Tensor) -> Tensor:
        scores = self.pred(self.lstm(self.embed(data.long()))[0].flatten(0, 1))
        return F.cross_entropy(scores, label.flatten().long(), ignore_index=0, reduction='sum')


class Tagger(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, units)
        self.lstm = nn.LSTM(units, units, bidirectional=True, batch_first=True)
        self.pred = nn.Linear(2 * units, TAGS)

    def loss(self, data: Tensor, label: Tensor) -> Tensor:
        scores = self.pred(self.lstm(self.embed(data.long()))[0].flatten(0, 1))
        return F.cross_entropy(scores, label.flatten().long(), ignore_index=0, reduction='sum')


class Attention(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, units)
        self.target = nn.Embedding(WORDS, units)
        self.encoder = nn.GRU(units, units, batch_first=True)
        self.query = nn.Linear(units, units, bias=False)
        self.decoder = nn.GRUCell(2 * units, units)
        self.pred = nn.Linear(units, WORDS)

    def loss(self, data: Tensor, target: Tensor, label: Tensor) -> Tensor:
        encoded, state = self.encoder(self.embed(data.long()))
        state, outputs = state[0], []
        for word in self.target(target.long()).unbind(1):
            chances = (encoded @ self.query(state).unsqueeze(2)).softmax(1)
            context = (chances.transpose(1, 2) @ encoded).squeeze(1)
            state = self.decoder(torch.cat((word, context), 1), state)
            outputs.append(state)
        scores = self.pred(torch.stack(outputs, 1).flatten(0, 1))
        return F.cross_entropy(scores, label.flatten().long(), ignore_index=0, reduction='sum')


#: What builds the graph, the class by hand, and the inputs.
MODELS: dict[str, tuple[Callable[[int, int], Any], Callable[[int], nn.Module], list[str]]] = {
    'language model': (language_model, LanguageModel, ['data']),
    'tagger': (tagger, Tagger, ['data']),
    'attention': (attention, Attention, ['data', 'target'])}
#: Length, batch and units.
CASES = [(35, 32, 200), (35, 20, 650), (50, 16, 256)]
QUICK = [(5, 2, 8)]


def generated(build: Callable[[int, int], Any], inputs: list[str], length: int, batch: int,
              units: int) -> nn.Module:
    """The source of a graph with random weights."""
    symbol = build(units, length)
    names = [*inputs, 'softmax_label']
    shapes, _, _ = symbol.infer_shape(**dict.fromkeys(names, (batch, length)))
    random = np.random.RandomState(0)
    weights = {name: random.uniform(-.1, .1, shape).astype('float32')
               for name, shape in zip(symbol.list_arguments(), shapes) if name not in names}
    model = interop.Model(interop.graph_from_json(symbol.tojson()), weights, {})
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, 'model.py'))
        interop.to_source(model, path)
        module: nn.Module = runpy.run_path(path)['Model']()
        module.load_state_dict(torch.load(path[:-2] + 'pt', weights_only=True))
    return module


def step(module: Any, arguments: list[Tensor]) -> Callable[[], None]:
    """A step of training."""
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-4)

    def take() -> None:
        optimiser.zero_grad()
        module.loss(*arguments).backward()
        optimiser.step()
    return take


def main() -> None:
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--rounds', type=positive, default=10, help='rounds a case (default: 10)')
    options = options.parse_args()
    torch.set_num_threads(threads())
    rounds = 2 if options.quick else options.rounds
    configuration(rounds=rounds, dtype='float32', torch=torch.__version__)
    table = Table('model', 'T', 'N', 'H', 'source_ms', 'by_hand_ms', 'speed')
    for length, batch, units in QUICK if options.quick else CASES:
        for name, (build, by_hand, inputs) in MODELS.items():
            random = torch.Generator().manual_seed(0)
            arguments = [torch.randint(1, TAGS, (batch, length), generator=random).float()
                         for _ in [*inputs, 'label']]
            jobs = {'source': step(generated(build, inputs, length, batch, units), arguments),
                    'by hand': step(by_hand(units), arguments)}
            times = measure(jobs, rounds)
            table.add(name, length, batch, units, median(times['source']) * 1e3,
                      median(times['by hand']) * 1e3, ratio(times, 'by hand', 'source'))


if __name__ == '__main__':
    run(main)
