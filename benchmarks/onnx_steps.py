"""What does a step of an exported language model cost in onnxruntime, and what is int8 worth?

Exports a cell between an embedding and scores of all words, with its states, and runs steps of one
sequence on one thread. `bound_us` runs one binding of onnxruntime again and again, with the same
inputs; `fed_us` binds the new states to it after each run, as who writes such a loop has to;
`step_us` is `interop.load_stepper`. `int8_us` is the stepper on the file that onnxruntime's
quantize_dynamic makes, and `speed` how many times as fast. A GRU has no quantised operator: in the
rows `gru, loop` its steps are a loop of plain operators, which has; their `speed` is against `gru`.

With --perplexity models of 256 units are trained on the text of Python's language reference, and
read the held-out text step by step.

    python benchmarks/onnx_steps.py --perplexity
"""
from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
import time
from typing import Any, Callable

import numpy as np
from _common import Table, configuration, measure, median, mx, parse, parser, run
from _text import END, RARE, read_text

import mxrnn
from mxrnn import interop

if any(importlib.util.find_spec(name) is None for name in ('onnx', 'onnxruntime')):
    raise SystemExit('onnx_steps.py needs onnxruntime: pip install onnx onnxruntime')
import onnxruntime  # noqa: E402
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: E402

CELLS = {'lstm': mxrnn.LSTMCell, 'gru': mxrnn.GRUCell, 'gru, loop': mxrnn.GRUCell}
STEPS = 20


def network(kind: str, units: int, words: int) -> mx.sym.Symbol:
    cell = CELLS[kind](units, 'cell_')
    data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=words, output_dim=units,
                            name='embed')
    if kind == 'gru, loop':
        outputs, _ = mxrnn.dynamic_unroll(cell, data, layout='NTC')
    else:
        outputs, _ = mxrnn.fuse(cell).unroll(None, data, merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-3, -2)), num_hidden=words,
                                   name='scores')
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
    return mx.sym.SoftmaxOutput(scores, label, name='softmax')


def export(folder: str, kind: str, units: int, words: int, weights: dict[str, np.ndarray]
           ) -> list[str]:
    """Write the file and the quantised one; returns their paths."""
    paths = [os.path.join(folder, name) for name in ('float.onnx', 'int8.onnx')]
    graph = interop.graph_from_json(network(kind, units, words).tojson())
    interop.to_onnx(interop.Model(graph, weights, {}), paths[0], states=True)
    logging.disable(logging.WARNING)
    quantize_dynamic(*paths, weight_type=QuantType.QInt8, extra_options={'EnableSubgraph': True})
    return paths


def random_weights(kind: str, units: int, words: int) -> dict[str, np.ndarray]:
    symbol = network(kind, units, words)
    shapes, _, _ = symbol.infer_shape(data=(1, STEPS), softmax_label=(1, STEPS))
    random = np.random.RandomState(0)
    return {name: random.uniform(-.1, .1, shape).astype('float32')
            for name, shape in zip(symbol.list_arguments(), shapes)
            if name not in ('data', 'softmax_label')}


def bound(path: str, feeds: bool) -> Callable[[], Any]:
    """A run of one binding; with `feeds` one that goes on from the states of the last."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    binding = session.io_binding()
    word = np.zeros((1, 1), 'int64')
    binding.bind_cpu_input('data', word)
    states = [each for each in session.get_inputs() if each.name != 'data']
    for each in states:
        binding.bind_cpu_input(each.name, np.zeros((1, each.shape[1]), 'float32'))
    names = [each.name for each in session.get_outputs()]
    for name in names:
        binding.bind_output(name)

    def same() -> Any:
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    def fed() -> Any:
        word[:] = 3
        session.run_with_iobinding(binding)
        chances, *after = binding.get_outputs()
        for each, value in zip(states, after):
            binding.bind_ortvalue_input(each.name, value)
        for name in names:
            binding.bind_output(name)
        return chances.numpy()
    return fed if feeds else same


def stepping(path: str) -> Callable[[], Any]:
    stepper = interop.load_stepper(path)
    states = stepper.begin(1)
    word = np.full(1, 3)

    def step() -> Any:
        nonlocal states
        chances, states = stepper.step(states, data=word)
        return chances
    return step


def many(job: Callable[[], Any], count: int) -> Callable[[], float]:
    def times() -> float:
        begin = time.perf_counter()
        for _ in range(count):
            job()
        return (time.perf_counter() - begin) / count
    return times


def compare_steps(quick: bool) -> None:
    table = Table('cell', 'units', 'words', 'bound_us', 'fed_us', 'step_us', 'int8_us', 'speed',
                  'size')
    operator = {}
    for kind in CELLS:
        for units in (64,) if quick else (64, 256, 512, 1024):
            words = 100 if quick else 1000
            with tempfile.TemporaryDirectory() as folder:
                paths = export(folder, kind, units, words, random_weights(kind, units, words))
                jobs = {'bound': bound(paths[0], False), 'fed': bound(paths[0], True),
                        'step': stepping(paths[0]), 'int8': stepping(paths[1])}
                times = {name: median(found) * 1e6 for name, found in measure(
                    {name: many(job, 20 if quick else 400) for name, job in jobs.items()},
                    3 if quick else 9).items()}
                size = os.path.getsize(paths[1]) / os.path.getsize(paths[0])
            operator.setdefault((kind[:3], units), times['step'])
            table.add(kind, units, words, *times.values(),
                      operator[kind[:3], units] / times['int8'], size)


def train(kind: str, units: int, words: int, stream: np.ndarray, epochs: int
          ) -> dict[str, np.ndarray]:
    """Weights of a language model for a text of numbers."""
    batch = 20
    rows = stream[:(len(stream) - 1) // (batch * STEPS) * batch * STEPS + 1]
    parts = [rows[at:at + len(rows) - 1].reshape(batch, -1, STEPS).swapaxes(0, 1).reshape(-1, STEPS)
             for at in (0, 1)]
    data = mx.io.NDArrayIter({'data': parts[0]}, {'softmax_label': parts[1]}, batch)
    module = mx.mod.Module(network(kind, units, words))
    mx.random.seed(1)
    np.random.seed(1)
    module.fit(data, num_epoch=epochs, optimizer='adam', initializer=mx.init.Xavier(),
               optimizer_params={'learning_rate': .003}, eval_metric=mx.metric.Perplexity(None))
    return {name: array.asnumpy() for name, array in module.get_params()[0].items()}


def perplexity(path: str, stream: np.ndarray) -> float:
    stepper = interop.load_stepper(path)
    states, loss = stepper.begin(1), 0.
    for word, after in zip(stream[:-1], stream[1:]):
        chances, states = stepper.step(states, data=[word])
        loss -= np.log(chances[0, after])
    return float(np.exp(loss / (len(stream) - 1)))


def compare_perplexities(quick: bool) -> None:
    parts = read_text(None, None, 5, quick)
    vocabulary: dict[str, int] = {RARE: 0, END: 1}
    streams = [np.array([vocabulary.setdefault(word, len(vocabulary))
                         for sentence in part for word in [*sentence, END]]) for part in parts]
    units, count = (16, 200) if quick else (256, 5000)
    table = Table('cell', 'units', 'words', 'perplexity', 'int8', 'ratio')
    for kind in ('lstm', 'gru'):
        weights = train(kind, units, len(vocabulary), streams[0], 1 if quick else 2)
        for form in [each for each in CELLS if each.startswith(kind)]:
            with tempfile.TemporaryDirectory() as folder:
                found = [perplexity(path, streams[1][:count]) for path in export(
                    folder, form, units, len(vocabulary), weights)]
            table.add(form, units, len(vocabulary), *found, found[1] / found[0])


def main() -> None:
    wanted = parser(__doc__, ctx=False, plot=False)
    wanted.add_argument('--perplexity', action='store_true',
                        help='also what int8 costs in perplexity (some minutes of training)')
    options = parse(wanted)
    configuration(onnxruntime=onnxruntime.__version__)
    compare_steps(options.quick)
    if options.perplexity:
        compare_perplexities(options.quick)


if __name__ == '__main__':
    run(main)
