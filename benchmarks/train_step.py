"""How long does a step take: inference, and forward + backward, of recurrent layers?

Compares unrolled cells of mxnet.rnn and of mxrnn, `fuse`, FusedRNNCell of both, Gluon's layers and,
where torch is installed, torch.nn's, all time-major and on the same number of threads. Every
implementation also computes the gradient of its input, as under an embedding. Ratios are medians
over interleaved rounds: how many times as fast as the unrolled cells of mxnet.rnn (`to_stock`), as
FusedRNNCell (`to_fused`) and as torch (`to_torch`). GFLOP/s count the matrix products alone;
`of_product` is their share of what one product of 1024 x 1024 matrices reached in the same rounds.
"""
from __future__ import annotations

import warnings
from functools import partial
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
    threads,
)

import mxrnn

warnings.filterwarnings('ignore', message='.*time-major')

try:
    import torch
except ImportError:
    torch = None

#: T, N, layers, H.
SHAPES = [(35, 32, 2, 200), (35, 20, 2, 650), (100, 16, 1, 512), (200, 8, 1, 256),
          (35, 128, 1, 256)]
CASES = [('lstm', *shape) for shape in SHAPES] + [('gru', *shape) for shape in SHAPES[:4:3]]
QUICK = [('lstm', 5, 2, 2, 8), ('gru', 5, 2, 1, 8)]
GATES = {'lstm': 4, 'gru': 3}
PASSES = ('training', 'inference')
SIZE = 1024  #: of the matrix product

STOCK, FUSE, FUSED, TORCH = 'mxnet.rnn cells', 'mxrnn.fuse', 'mxrnn FusedRNNCell', 'torch.nn'


def stack(module: Any, mode: str, layers: int, units: int) -> Any:
    """Ordinary cells."""
    cell = module.SequentialRNNCell()
    for i in range(layers):
        cell.add({'lstm': module.LSTMCell, 'gru': module.GRUCell}[mode](units, prefix='l%d_' % i))
    return cell


def symbolic(cell: Any, shape: tuple[int, int, int], context: mx.Context,
             train: bool) -> Callable[[], None]:
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


def jobs(mode: str, layers: int, shape: tuple[int, int, int], context: mx.Context,
         train: bool) -> dict[str, Callable[[], Any]]:
    """A step of every implementation, and the matrix product."""
    units = shape[2]
    symbol = partial(symbolic, shape=shape, context=context, train=train)
    left, right, product = (mx.nd.ones((SIZE, SIZE), ctx=context) for _ in range(3))
    multiply = partial(mx.nd.FullyConnected, left, right, no_bias=True, num_hidden=SIZE,
                       out=product)  # twice as fast as mx.nd.dot on a CPU
    return {
        STOCK: symbol(stack(mx.rnn, mode, layers, units)),
        'mxrnn cells': symbol(stack(mxrnn, mode, layers, units)),
        FUSE: symbol(mxrnn.fuse(stack(mxrnn, mode, layers, units))),
        'mxnet.rnn FusedRNNCell': symbol(mx.rnn.FusedRNNCell(units, layers, mode)),
        FUSED: symbol(mxrnn.FusedRNNCell(units, layers, mode)),
        'gluon.rnn': gluon(mode, layers, shape, context, train),
        **({TORCH: pytorch(mode, layers, shape, context, train)} if torch and (
            context.device_type == 'cpu' or torch.cuda.is_available()) else {}),
        'product': multiply,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument('--rounds', type=int, default=10, help='rounds a case (default: 10)')
    options = parse(options)
    rounds = 2 if options.quick else options.rounds
    if torch:
        torch.set_num_threads(threads())
    configuration([options.context], rounds=rounds, dtype='float32',
                  torch=torch.__version__ if torch else 'not installed')
    table = Table('cell', 'T', 'N', 'layers', 'H', 'pass', 'implementation', 'ms', 'to_stock',
                  'to_fused', 'to_torch', 'gflops', 'of_product')
    lines: dict[tuple[str, str], list[float]] = {}
    cases = QUICK if options.quick else CASES
    for mode, length, batch, layers, units in cases:
        work = 2 * length * batch * layers * GATES[mode] * units * 2 * units
        for name in PASSES:
            train = name == 'training'
            times = measure(jobs(mode, layers, (length, batch, units), options.context, train),
                            rounds)
            product = 2 * SIZE ** 3 / median(times.pop('product')) / 1e9
            for implementation, seconds in times.items():
                speed = (3 if train else 1) * work / median(seconds) / 1e9
                ratios = [ratio(times, other, implementation) if other in times else ''
                          for other in (STOCK, FUSED, TORCH)]
                table.add(mode, length, batch, layers, units, name, implementation,
                          median(seconds) * 1e3, *ratios, speed, speed / product)
                lines.setdefault((implementation, name), []).append(ratios[0])
    if options.plot:
        with figure(options.plot, 'T, N, layers, H',
                    'times as fast as the cells of mxnet.rnn') as axes:
            for (implementation, name), values in lines.items():
                if implementation != STOCK:
                    axes.plot(values, marker='o', linestyle='-' if name == 'training' else ':',
                              label='%s, %s' % (implementation, name))
            axes.set_xticks(np.arange(len(cases)), ['%s\n%d, %d, %d, %d' % case for case in cases],
                            fontsize='small')


if __name__ == '__main__':
    main()
