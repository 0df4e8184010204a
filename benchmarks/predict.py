"""The cost of prediction: a step, a sequence, many kept states, many sentences.

A step is one of LSTM layers whose states are fed back and whose output is waited for: `Stepper`,
a bare executor that is bound once, Gluon's layer and, where they are installed, torch's and
onnxruntime's. The executor's states are copied from its outputs to its arguments for each next
step, which overwrites them; the Stepper's stay. A sequence is 35 steps in one call: `Stepper.read`,
an executor of `fuse`, and the others' layers.

Kept states are 10,000 of batch 1: the MB of their numbers, of plain arrays that hold as many, and
of those that a Stepper gave.

Sentences are 10,000 of 5 to 60 words in language models: `Predictor`, a loop over BucketingModule,
whose outputs are neither cut nor put in order, one sentence at a time through BucketingModule, of
which fewer are run, and 32 sentences of the mean length in the Predictor's bound graph, without
padding: what batches of 32 can reach at most.

`times_as_good` is the ratio to the bare executor, to the plain arrays, to one at a time: times are
medians over interleaved rounds.
"""
from __future__ import annotations

import argparse
import gc
import importlib.util
import subprocess
import sys
from typing import Any, Callable

import numpy as np
from _common import (
    Table,
    configuration,
    figure,
    measure,
    median,
    mx,
    parse,
    parser,
    ratio,
    run,
    threads,
)
from _options import positive

import mxrnn

#: Units, layers.
SHAPES = [(64, 1), (512, 1), (650, 2)]
BATCHES = (1, 32)
LENGTH = 35
BUCKETS = list(range(5, 61, 5))
WORDS = 1000
#: Units, layers of the networks for sentences: the calculation of the second and third is what
#: takes the time.
NETWORKS = [(64, 1), (200, 2), (512, 1)]

Job = Callable[[], Any]


def stack(units: int, layers: int) -> Any:
    """LSTM layers."""
    cell = mxrnn.SequentialRNNCell()
    for i in range(layers):
        cell.add(mxrnn.LSTMCell(units, prefix='l%d_' % i))
    return cell


def random_weights(symbol: Any, context: mx.Context, **shapes: tuple[int, ...]) -> dict[str, Any]:
    """Weights for a graph whose other inputs are of these shapes."""
    found, _, _ = symbol.infer_shape(**shapes)
    return {name: mx.nd.random.uniform(-.1, .1, shape, ctx=context)
            for name, shape in zip(symbol.list_arguments(), found) if name not in shapes}


def bare(run: Callable[[Any], Any]) -> Any:
    """The cell and nothing around it."""
    return run(mx.sym.Variable('data'))


# ---- a step and a sequence

def with_stepper(stepper: Any, data: Any, batch: int, steps: int, read: bool) -> Job:
    """Steps of a Stepper, or sequences that it reads."""
    call = stepper.read if read else stepper.step

    def job() -> None:
        states = stepper.begin(batch)
        for _ in range(steps):
            output, states = call(states, data=data)
            output.wait_to_read()
    return job


def with_executor(cell: Any, weights: dict[str, Any], data: Any, steps: int, read: bool,
                  context: mx.Context) -> Job:
    """Steps of an executor that is bound once, or sequences through it."""
    begin = cell.begin_state(func=mx.sym.Variable)
    inputs = mx.sym.Variable('data')
    if read:
        outputs, states = cell.unroll(LENGTH, inputs, begin, merge_outputs=True)
    else:
        outputs, states = cell(inputs, begin)
    symbol = mx.sym.Group([outputs, *states])
    shapes = {state.name: (len(data), *info['shape'][1:])
              for state, info in zip(begin, cell.state_info)}
    zeros = {name: mx.nd.zeros(shape, ctx=context) for name, shape in shapes.items()}
    bound = symbol.bind(context, {**weights, **zeros, 'data': mx.nd.zeros_like(data)},
                        grad_req='null')
    arguments = [bound.arg_dict[name] for name in shapes]

    def job() -> None:
        for argument in arguments:
            argument[:] = 0
        for _ in range(steps):
            output, *new = bound.forward(is_train=False, data=data)
            for argument, state in zip(arguments, new):
                state.copyto(argument)
            output.wait_to_read()
    return job


def with_gluon(units: int, layers: int, data: Any, steps: int, read: bool) -> Job:
    """Gluon's layer, for a step with a sequence of one."""
    layer = mx.gluon.rnn.LSTM(units, layers, input_size=units)
    layer.initialize(mx.init.Uniform(.1), ctx=data.context)
    layer.hybridize(static_alloc=True, static_shape=True)
    sequence = data.swapaxes(0, 1).copy() if read else data.expand_dims(0)

    def job() -> None:
        states = layer.begin_state(len(data), ctx=data.context)
        for _ in range(steps):
            output, states = layer(sequence, states)
            output.wait_to_read()
    return job


def with_torch(units: int, layers: int, data: np.ndarray, steps: int, read: bool) -> Job:
    """torch's layer, for a step with a sequence of one."""
    import torch

    torch.set_num_threads(threads())
    layer = torch.nn.LSTM(units, units, layers).eval()
    sequence = torch.tensor(data.swapaxes(0, 1).copy() if read else data[None])

    def job() -> None:
        states = (torch.zeros(layers, len(data), units),) * 2
        with torch.inference_mode():
            for _ in range(steps):
                _, states = layer(sequence, states)
    return job


def with_onnxruntime(units: int, layers: int, data: np.ndarray, steps: int, read: bool) -> Job:
    """An ONNX model of LSTM operators in onnxruntime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, inputs, outputs = [], [], [], []
    name = 'data'
    for i in range(layers):
        for kind, shape in (('W', (1, 4 * units, units)), ('R', (1, 4 * units, units)),
                            ('B', (1, 8 * units))):
            weights.append(numpy_helper.from_array(
                np.random.uniform(-.1, .1, shape).astype('float32'), '%s%d' % (kind, i)))
        ends = ['%s%d' % (kind, i) for kind in ('h', 'c')]
        nodes.append(helper.make_node(
            'LSTM', [name, 'W%d' % i, 'R%d' % i, 'B%d' % i, '', *ends],
            ['y%d' % i, *(end + '_new' for end in ends)], hidden_size=units))
        nodes.append(helper.make_node('Squeeze', ['y%d' % i, 'axis'], ['x%d' % i]))
        name = 'x%d' % i
        inputs += ends
        outputs += [end + '_new' for end in ends]
    weights.append(numpy_helper.from_array(np.array([1]), 'axis'))
    state = (1, len(data), units)
    graph = helper.make_graph(nodes, 'lstm', [
        helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in
        [('data', (None, len(data), units))] + [(end, state) for end in inputs]], [
        helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in
        [(name, (None, len(data), units))] + [(end, state) for end in outputs]], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=['CPUExecutionProvider'])
    sequence = data.swapaxes(0, 1).copy() if read else data[None].copy()

    def job() -> None:
        states = [np.zeros(state, 'float32')] * len(inputs)
        for _ in range(steps):
            _, *states = session.run(None, {'data': sequence, **dict(zip(inputs, states))})
    return job


def call_jobs(units: int, layers: int, batch: int, read: bool, steps: int, context: mx.Context
              ) -> dict[str, Job]:
    """Return the implementations that are compared for one step, or one sequence."""
    cell = stack(units, layers)
    shape = (batch, LENGTH, units) if read else (batch, units)
    data = mx.nd.random.uniform(-1, 1, shape, ctx=context)
    weights = random_weights(cell.unroll(1, mx.sym.Variable('data'))[0][0], context,
                             data=(batch, 1, units))
    stepper = mxrnn.Stepper(cell, bare, weights, ctx=context)
    jobs = {'bare executor': with_executor(mxrnn.fuse(cell) if read else cell, weights, data,
                                           steps, read, context),
            'Stepper': with_stepper(stepper, data, batch, steps, read),
            'gluon.rnn': with_gluon(units, layers, data, steps, read)}
    if context.device_type == 'cpu':
        values = data.asnumpy()
        for name, module, make in (('torch.nn', 'torch', with_torch),
                                   ('onnxruntime', 'onnxruntime', with_onnxruntime)):
            if importlib.util.find_spec(module):
                jobs[name] = make(units, layers, values, steps, read)
    return jobs


# ---- kept states

def resident() -> int:
    """Bytes of memory that this process holds."""
    with open('/proc/self/statm') as numbers:
        return int(numbers.read().split()[1]) * 4096


def kept_states(kind: str, units: int, layers: int, count: int, context: mx.Context) -> float:
    """MB that `count` states take, as plain arrays or those that a Stepper gives."""
    cell = stack(units, layers)
    weights = random_weights(cell.unroll(1, mx.sym.Variable('data'))[0][0], context,
                             data=(1, 1, units))
    stepper = mxrnn.Stepper(cell, bare, weights, ctx=context)
    data = mx.nd.zeros((1, units), ctx=context)

    begin = stepper.begin(1)

    def step() -> Any:
        output, states = stepper.step(begin, data=data)
        output.wait_to_read()  # as programs do: steps that are under way take memory, too
        return states

    jobs = {'arrays': lambda: [mx.nd.zeros((1, units), ctx=context) for _ in begin],
            'Stepper': step}
    for _ in range(100):
        jobs[kind]()
    mx.nd.waitall()
    gc.collect()
    before = resident()
    kept = [jobs[kind]() for _ in range(count)]
    mx.nd.waitall()
    return (resident() - before) / 1e6 if kept else 0.0


def kept_in_a_process(*arguments: Any) -> float:
    """Measure for `kept_states` in a process of its own, without memory that others freed."""
    output = subprocess.run([sys.executable, sys.argv[0], '--kept', *map(str, arguments)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(output.splitlines()[-1])


# ---- sentences

def sentence_jobs(sentences: list[list[int]], few: int, units: int, layers: int,
                  context: mx.Context) -> dict[str, tuple[float, int, Job]]:
    """How many sentences each one runs, how many at once, and the job."""
    def network(length: int) -> Any:
        words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=WORDS, output_dim=units,
                                 name='embed')
        outputs, _ = mxrnn.fuse(stack(units, layers)).unroll(length, words, merge_outputs=True)
        scores = mx.sym.FullyConnected(outputs, num_hidden=WORDS, flatten=False, name='score')
        return mx.sym.argmax(scores, axis=2), ['data'], []

    weights = random_weights(network(1)[0], context, data=(1, 1))
    predict = mxrnn.Predictor(network, weights, buckets=BUCKETS, ctx=context)
    data = mxrnn.BucketSentenceIter([sentence + [0] for sentence in sentences], 32,
                                    [length + 1 for length in BUCKETS], invalid_label=0,
                                    shuffle=False, last_batch='pad')

    def module(iterator: Any, key: int, batch: int) -> Any:
        made = mx.mod.BucketingModule(network, key, context=context)
        made.bind([mx.io.DataDesc('data', (batch, key))], for_training=False)
        made.set_params(weights, {})
        return made

    batches = module(data, max(data.buckets), 32)
    single = module(None, max(BUCKETS), 1)

    def loop() -> None:
        data.reset()
        for batch in data:
            batch.provide_label = None
            batches.forward(batch, is_train=False)
            batches.get_outputs()[0].asnumpy()

    def one_at_a_time() -> None:
        for sentence in sentences[:few]:
            shape = (1, len(sentence))
            single.forward(mx.io.DataBatch([mx.nd.array([sentence])], bucket_key=shape[1],
                                           provide_data=[mx.io.DataDesc('data', shape)]),
                           is_train=False)
            single.get_outputs()[0].asnumpy()

    mean = sum(map(len, sentences)) / len(sentences)
    length, times = round(mean), 2 if len(sentences) < 100 else 60
    even = mxrnn.Predictor(network, weights, buckets=[length], ctx=context)
    even([[1] * length] * 32)
    bound = even._networks.executor(length, 32)

    def graph_alone() -> None:
        for _ in range(times):
            bound.forward(is_train=False)[0].wait_to_read()

    return {'BucketingModule': (len(sentences), 32, loop),
            'Predictor': (len(sentences), 32, lambda: predict(sentences)),
            'graph without padding': (times * 32 * length / mean, 32, graph_alone),
            'one at a time': (few, 1, one_at_a_time)}


def main() -> None:
    options = parser(__doc__)
    options.add_argument('--rounds', type=positive, default=10, help='rounds a case (default: 10)')
    options.add_argument('--kept', nargs=4, help=argparse.SUPPRESS)  # in its own process
    options = parse(options)
    if options.kept:
        kind, *sizes = options.kept
        print(kept_states(kind, *map(int, sizes), options.context))
        return
    quick = options.quick
    rounds = 2 if quick else options.rounds
    configuration([options.context], rounds=rounds, dtype='float32')
    table = Table('what', 'H', 'layers', 'batch', 'implementation', 'value', 'unit',
                  'times_as_good')
    points: dict[str, list[float]] = {}
    cases: list[str] = []
    for units, layers in [(8, 1)] if quick else SHAPES:
        for read in (False, True):
            for batch in BATCHES:
                what = 'sequence' if read else 'step'
                steps = 3 if quick else (5 if read else 100)
                times = measure(call_jobs(units, layers, batch, read, steps, options.context),
                                rounds)
                cases.append('%s\n%d, %d, %d' % (what, units, layers, batch))
                for name, taken in times.items():
                    speed = ratio(times, 'bare executor', name)
                    table.add(what, units, layers, batch, name, median(taken) / steps * 1e6,
                              'us', speed)
                    points.setdefault(name, [np.nan] * (len(cases) - 1)).append(speed)
                for values in points.values():
                    values += [np.nan] * (len(cases) - len(values))
    if sys.platform == 'linux' and options.context.device_type == 'cpu':
        count = 100 if quick else 10000
        for units, layers in [(8, 1)] if quick else SHAPES:
            megabytes = {'numbers': count * 2 * layers * units * 4 / 1e6,
                         **{kind: kept_in_a_process(kind, units, layers, count)
                            for kind in ('arrays', 'Stepper')}}
            for name, value in megabytes.items():
                table.add('%d states' % count, units, layers, 1, name, value, 'MB',
                          megabytes['arrays'] / value if value else '')
    draws = np.random.RandomState(0)
    count, few = (40, 5) if quick else (10000, 300)
    sentences = [draws.randint(1, WORDS, length).tolist()
                 for length in draws.randint(5, 61, count)]
    for units, layers in [(8, 1)] if quick else NETWORKS:
        jobs = sentence_jobs(sentences, few, units, layers, options.context)
        taken = measure({name: job for name, (_, _, job) in jobs.items()}, 2 if quick else 3)
        times = {name: [seconds / jobs[name][0] for seconds in taken[name]] for name in jobs}
        for name, (_, rows, _) in jobs.items():
            table.add('sentence', units, layers, rows, name, median(times[name]) * 1e6, 'us',
                      ratio(times, 'one at a time', name))
    if options.plot:
        with figure(options, 'Prediction', 'H, layers, batch',
                    'times as fast as a bare executor', ratio=True) as axes:
            for name, values in points.items():
                if name != 'bare executor':
                    axes.plot(values, marker='o', linestyle='', label=name)
            axes.set_xticks(range(len(cases)), cases, fontsize='x-small')


if __name__ == '__main__':
    run(main)
