"""What does a program of mx.rnn cost on MXNet 2, against MXNet 1?

    python benchmarks/mxnet_versions.py --against OTHER/bin/python

runs itself with both Pythons, each of which has an MXNet. A step is forward and backward of two
LSTM layers and the update of their weights by a Module. Each case has a process with either Python,
and these take turns; `ratio` is the median of this Python's times by the other's. The memory is
what a BucketingModule of a language model has taken once it has trained six lengths.
"""
from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from _common import Table, configuration, median, mx, parse, parser, run
from _options import positive

import mxrnn

UNITS, BATCH = 200, 32
LENGTHS = 10, 20, 30, 40, 50, 60
QUICK_LENGTHS = 2, 3


def resident() -> float:
    """MiB of memory that this process has now."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2 ** 20


def stack(form: str) -> Any:
    cell = mxrnn.SequentialRNNCell()
    for i in range(2):
        cell.add(mxrnn.LSTMCell(UNITS, prefix='l%d_' % i))
    return mxrnn.fuse(cell) if form == 'fuse' else cell


def ready(module: Any) -> None:
    mx.random.seed(0)
    module.init_params(mx.init.Uniform(.1))
    module.init_optimizer(optimizer='sgd', optimizer_params={'learning_rate': .01})


def step(module: Any, batch: Any) -> None:
    module.forward_backward(batch)
    module.update()
    for array in module.get_outputs():
        array.wait_to_read()
    mx.nd.waitall()


def serve_steps(form: str, length: int) -> None:
    """Time a step for each line that comes in."""
    outputs, _ = stack(form).unroll(length, mx.sym.Variable('data'), layout='TNC',
                                    merge_outputs=True)
    module = mx.mod.Module(mx.sym.MakeLoss(mx.sym.mean(outputs)), label_names=None)
    shape = length, BATCH, UNITS
    module.bind([mx.io.DataDesc('data', shape, layout='TNC')], inputs_need_grad=True)
    ready(module)
    batch = mx.io.DataBatch([mx.nd.array(np.random.rand(*shape))], [])
    step(module, batch)
    print(mx.__version__, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        step(module, batch)
        print(time.perf_counter() - began, flush=True)


def tell_memory(form: str, lengths: tuple[int, ...]) -> None:
    words = 1000 if lengths == QUICK_LENGTHS else 10000

    def network(length: int) -> Any:
        data, label = mx.sym.Variable('data'), mx.sym.Variable('softmax_label')
        embedded = mx.sym.Embedding(data, input_dim=words, output_dim=UNITS, name='embed')
        outputs, _ = stack(form).unroll(length, embedded, merge_outputs=True)
        scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, (-1, UNITS)), num_hidden=words,
                                       name='scores')
        return (mx.sym.SoftmaxOutput(scores, mx.sym.reshape(label, (-1,)), name='softmax'),
                ['data'], ['softmax_label'])
    before = resident()
    module = mx.mod.BucketingModule(network, default_bucket_key=lengths[-1])
    for length in reversed(lengths):
        shape = BATCH, length
        batch = mx.io.DataBatch([mx.nd.ones(shape)], [mx.nd.ones(shape)], bucket_key=length,
                                provide_data=[('data', shape)],
                                provide_label=[('softmax_label', shape)])
        if length == lengths[-1]:
            module.bind(batch.provide_data, batch.provide_label)
            ready(module)
        for _ in range(3):
            step(module, batch)
    print(resident() - before)


def start(python: str, *what: object) -> subprocess.Popen[str]:
    return subprocess.Popen([python, os.path.abspath(__file__),
                             '--serve', ' '.join(map(str, what))],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: subprocess.Popen[str]) -> float:
    assert process.stdin and process.stdout
    print(file=process.stdin, flush=True)
    return float(process.stdout.readline())


def compare(table: Table, pythons: list[str], form: str, length: int, rounds: int) -> None:
    processes = [start(python, form, length) for python in pythons]
    versions = [process.stdout.readline().strip() for process in processes if process.stdout]
    times = np.array([[ask(process) for process in processes] for _ in range(rounds + 2)][2:])
    for process in processes:
        process.communicate()
    table.add(form, 'T %d' % length, *versions, *(1e3 * median(each) for each in times.T),
              median(times[:, 0] / times[:, 1]))


def main() -> None:
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--against', metavar='PYTHON', default=sys.executable,
                         help='another Python, with another MXNet (default: this one)')
    options.add_argument('--rounds', type=positive, default=20, help='steps (default: 20)')
    options.add_argument('--only', choices=['cells', 'fuse'], help='one of the two forms')
    options.add_argument('--length', type=positive, help='one number of steps (default: 35, 200)')
    options.add_argument('--what', choices=['steps', 'memory', 'both'], default='both',
                         help='(default: both)')
    options.add_argument('--serve', help='used by the script itself')
    given = parse(options)
    mxrnn.install()
    lengths = QUICK_LENGTHS if given.quick else LENGTHS
    if given.serve:
        what, *sizes = given.serve.split()
        if what == 'memory':
            tell_memory(sizes[0], tuple(map(int, sizes[1:])))
        else:
            serve_steps(what, int(sizes[0]))
        return
    forms = [given.only] if given.only else ['cells', 'fuse']
    pythons = [sys.executable, given.against]
    configuration(rounds=given.rounds)
    table = Table('case', 'size', 'mxnet', 'other', 'here', 'there', 'ratio')
    for form in forms:
        if given.what != 'memory':
            for length in [given.length] if given.length else (3,) if given.quick else (35, 200):
                compare(table, pythons, form, length, 2 if given.quick else given.rounds)
        if given.what != 'steps':
            here, there = (float(start(python, 'memory', form, *lengths).communicate()[0])
                           for python in pythons)
            table.add(form, 'MiB, %d lengths' % len(lengths), '', '', here, there, here / there)


if __name__ == '__main__':
    run(main)
