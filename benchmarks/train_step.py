"""How long does a step take: inference, and forward + backward, of recurrent layers?

Compares unrolled cells of mxnet.rnn and of mxrnn, `fuse`, FusedRNNCell of both, Gluon's layers and,
where torch is installed, torch.nn's; all time-major and on
the same number of threads, each in a process of its own, as programs have them: in one process, the
memory that one library has freed makes another one faster. Every implementation also computes the
gradient of its input, as under an embedding. Each round times a step that follows another. Ratios
are medians over interleaved rounds: how many times as fast as the unrolled cells of mxnet.rnn
(`to_stock`), as FusedRNNCell (`to_fused`) and as torch (`to_torch`). GFLOP/s count the matrix
products alone; `of_product` is their share of what one product of 1024 x 1024 matrices reached in
the same rounds.
"""
from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import time
import warnings
from functools import partial
from importlib import metadata
from multiprocessing.connection import Connection
from typing import Any, Callable

import numpy as np
from _common import (
    Table,
    configuration,
    contexts,
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
from _options import positive, threads_number

import mxrnn

warnings.filterwarnings('ignore', message='.*time-major')

#: T, N, layers, H.
SHAPES = [(35, 32, 2, 200), (35, 20, 2, 650), (100, 16, 1, 512), (200, 8, 1, 256),
          (35, 128, 1, 256)]
CASES = [('lstm', *shape) for shape in SHAPES] + [('gru', *shape) for shape in SHAPES[:4:3]]
QUICK = [('lstm', 5, 2, 2, 8), ('gru', 5, 2, 1, 8)]
GATES = {'lstm': 4, 'gru': 3}
PASSES = ('training', 'inference')
SIZE = 1024  #: of the matrix product

STOCK, FUSED, TORCH, PRODUCT = 'mxnet.rnn cells', 'mxrnn FusedRNNCell', 'torch.nn', 'product'


def stack(module: Any, mode: str, layers: int, units: int) -> Any:
    """Ordinary cells."""
    cell = module.SequentialRNNCell()
    for i in range(layers):
        cell.add({'lstm': module.LSTMCell, 'gru': module.GRUCell}[mode](units, prefix='l%d_' % i))
    return cell


def symbolic(cell: Any, shape: tuple[int, int, int], context: mx.Context, train: bool
             ) -> Callable[[], None]:
    """A step of a cell's graph."""
    outputs, _ = cell.unroll(shape[0], mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    bound = outputs.simple_bind(context, grad_req='write' if train else 'null', data=shape)
    for array in bound.arg_dict.values():
        array[:] = mx.nd.random.uniform(-.1, .1, array.shape, ctx=context)
    head = mx.nd.ones(bound.outputs[0].shape, ctx=context)

    def step() -> None:
        bound.forward(is_train=train)
        if train:
            bound.backward(head)
    return step


def gluon(mode: str, layers: int, shape: tuple[int, int, int], context: mx.Context,
          train: bool) -> Callable[[], None]:
    """A step of Gluon's layer."""
    layer = {'lstm': mx.gluon.rnn.LSTM, 'gru': mx.gluon.rnn.GRU}[mode](
        shape[2], layers, input_size=shape[2])
    layer.initialize(mx.init.Uniform(.1), ctx=context)
    layer.hybridize()
    data = mx.nd.random.uniform(-.1, .1, shape, ctx=context)
    data.attach_grad()

    def step() -> None:
        if train:
            with mx.autograd.record():
                outputs = layer(data)
            outputs.backward()
        else:
            layer(data)
    return step


def pytorch(mode: str, layers: int, shape: tuple[int, int, int], context: mx.Context,
            train: bool) -> Callable[[], None]:
    """A step of torch's layer; cuDNN's on a GPU."""
    import torch

    if 'OMP_NUM_THREADS' in os.environ:
        torch.set_num_threads(threads())
    device = 'cuda' if context.device_type == 'gpu' else 'cpu'
    layer = {'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU}[mode](
        shape[2], shape[2], layers).to(device).train(train)
    data = torch.empty(shape, device=device).uniform_(-.1, .1).requires_grad_(train)
    head = torch.ones(shape, device=device)

    def step() -> None:
        with torch.set_grad_enabled(train):
            outputs, _ = layer(data)
        if train:
            layer.zero_grad(set_to_none=True)
            data.grad = None
            outputs.backward(head)
        if device == 'cuda':
            torch.cuda.synchronize()
    return step


def product(context: mx.Context) -> Callable[[], None]:
    """A product of matrices."""
    left, right, out = (mx.nd.ones((SIZE, SIZE), ctx=context) for _ in range(3))
    return partial(mx.nd.FullyConnected, left, right, no_bias=True, num_hidden=SIZE,
                   out=out)  # twice as fast as mx.nd.dot on a CPU


def unrolled(make: Callable[[str, int, int], Any]) -> Callable[..., Callable[[], None]]:
    """A function that builds a step of the cell that `make` makes of mode, layers and units."""
    return lambda mode, layers, shape, *how: symbolic(make(mode, layers, shape[2]), shape, *how)


def fused(mode: str, layers: int, units: int) -> Any:
    """Ordinary cells through the fused operator."""
    return mxrnn.fuse(stack(mxrnn, mode, layers, units))


#: (mode, layers, (T, N, H), context, train) -> a step.
BUILD: dict[str, Callable[..., Callable[[], Any]]] = {
    STOCK: unrolled(lambda *how: stack(mx.rnn, *how)),
    'mxrnn cells': unrolled(partial(stack, mxrnn)),
    'mxrnn.fuse': unrolled(fused),
    'mxnet.rnn FusedRNNCell': unrolled(
        lambda mode, layers, units: mx.rnn.FusedRNNCell(units, layers, mode)),
    FUSED: unrolled(lambda mode, layers, units: mxrnn.FusedRNNCell(units, layers, mode)),
    'gluon.rnn': gluon,
    TORCH: pytorch,
    PRODUCT: lambda mode, layers, shape, context, train: product(context),
}


def torch_version(gpus: list[int]) -> str:
    """The version of torch, '' if it is not there or has no GPU where one is to be used."""
    if importlib.util.find_spec('torch') is None:
        return ''
    if gpus:
        import torch

        return torch.__version__ if torch.cuda.is_available() else ''
    return metadata.version('torch')


def serve(pipe: Connection, name: str, gpus: list[int]) -> None:
    """Build the step of each case that comes through `pipe`; for a None, send its seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends this process
    context, = contexts(gpus)
    step: Any = None
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent was interrupted
        for case in iter(pipe.recv, 'end'):
            if case is not None:
                step = None  # its memory is free before the next one is built
                mode, layers, shape, train = case
                step = BUILD[name](mode, layers, shape, context, train)
                continue
            step()
            mx.nd.waitall()
            start = time.perf_counter()
            step()
            mx.nd.waitall()
            pipe.send(time.perf_counter() - start)


def seconds(name: str, pipe: Connection) -> float:
    """Measure a step of the implementation `name` in the process behind `pipe`."""
    try:
        pipe.send(None)
        return pipe.recv()
    except (EOFError, OSError):
        raise SystemExit('The process of %s has died' % name) from None


def main() -> None:
    options = parser(__doc__)
    options.add_argument('--rounds', type=positive, default=10, help='rounds a case (default: 10)')
    options.add_argument('--threads', type=threads_number, default='1', metavar='N',
                         help='threads of each library (default: 1), or "default" for what each '
                              'takes where nobody says how many')
    options = parse(options)
    rounds = 2 if options.quick else options.rounds
    gpus = [0] if options.ctx == 'gpu' else []
    torch = torch_version(gpus)
    configuration([options.context], rounds=rounds, dtype='float32', torch=torch or 'none')
    table = Table('cell', 'T', 'N', 'layers', 'H', 'pass', 'implementation', 'ms', 'to_stock',
                  'to_fused', 'to_torch', 'gflops', 'of_product')
    lines: dict[tuple[str, str], list[float]] = {}
    cases = QUICK if options.quick else CASES
    spawn = multiprocessing.get_context('spawn')
    pipes = {}
    for name in BUILD:
        if name != TORCH or torch:
            pipes[name], end = spawn.Pipe()
            spawn.Process(target=serve, args=(end, name, gpus), daemon=True).start()
            end.close()  # so that the process's own is the last one
    for mode, length, batch, layers, units in cases:
        work = 2 * length * batch * layers * GATES[mode] * units * 2 * units
        for name in PASSES:
            train = name == 'training'
            for pipe in pipes.values():
                pipe.send((mode, layers, (length, batch, units), train))
            times = measure({job: partial(seconds, job, pipe) for job, pipe in pipes.items()},
                            rounds)
            rate = 2 * SIZE ** 3 / median(times.pop(PRODUCT)) / 1e9
            for implementation, taken in times.items():
                speed = (3 if train else 1) * work / median(taken) / 1e9
                ratios = [ratio(times, other, implementation) if other in times else ''
                          for other in (STOCK, FUSED, TORCH)]
                table.add(mode, length, batch, layers, units, name, implementation,
                          median(taken) * 1e3, *ratios, speed, speed / rate)
                lines.setdefault((implementation, name), []).append(ratios[0])
    for pipe in pipes.values():
        pipe.send('end')
    if options.plot:
        with figure(options, 'Steps of recurrent layers', 'T, N, layers, H',
                    'times as fast as the cells of mxnet.rnn', ratio=True) as axes:
            names = dict.fromkeys(implementation for implementation, _ in lines)
            colours = {each: 'C%d' % i for i, each in enumerate(names)}
            for (implementation, name), values in lines.items():
                if implementation != STOCK:
                    aside = .1 * (list(colours).index(implementation) - len(colours) / 2)
                    axes.plot(np.arange(len(values)) + aside, values, linestyle='',
                              marker='o' if name == 'training' else '^',
                              color=colours[implementation],
                              label='%s, %s' % (implementation, name))
            axes.set_xticks(np.arange(len(cases)), ['%s\n%d, %d, %d, %d' % case for case in cases],
                            fontsize='x-small')


if __name__ == '__main__':
    run(main)
