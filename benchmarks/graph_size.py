"""How does a graph grow with the number of time steps?

Two LSTM layers, unrolled over T steps by the cells of mxnet.rnn and of mxrnn, by `fuse` and by
`dynamic_unroll`: nodes, time to build and to bind for training (medians over interleaved rounds, of
which short graphs get more), how many times as fast as mxnet.rnn both together are (`to_stock`),
and the memory that binding and one step of training add at their peak, measured in a process of its
own (Linux).
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any, Callable, Sequence

from _common import Table, configuration, figure, measure, median, mx, parse, parser, run
from _options import positive

import mxrnn

LAYERS, UNITS, BATCH = 2, 64, 32
LENGTHS = (10, 50, 200, 500, 1000, 2000)
QUICK = (6, 12)
STOCK = 'mxnet.rnn cells'


def stack(module: Any) -> Any:
    cell = module.SequentialRNNCell()
    for i in range(LAYERS):
        cell.add(module.LSTMCell(UNITS, prefix='l%d_' % i))
    return cell


def unroll(cell: Any, length: int) -> mx.sym.Symbol:
    return cell.unroll(length, mx.sym.Variable('data'), layout='TNC', merge_outputs=True)[0]


BUILD: dict[str, Callable[[int], mx.sym.Symbol]] = {
    STOCK: lambda length: unroll(stack(mx.rnn), length),
    'mxrnn cells': lambda length: unroll(stack(mxrnn), length),
    'mxrnn.fuse': lambda length: unroll(mxrnn.fuse(stack(mxrnn)), length),
    'mxrnn.dynamic_unroll': lambda length: mxrnn.dynamic_unroll(
        stack(mxrnn), mx.sym.Variable('data'), layout='TNC')[0],
}


def bind(symbol: mx.sym.Symbol, length: int, context: mx.Context) -> mx.executor.Executor:
    return symbol.simple_bind(context, data=(length, BATCH, UNITS))


def used(context: mx.Context) -> int:
    """Bytes at the peak: of this process, or what the pool has taken of a GPU."""
    if context.device_type == 'gpu':
        free, total = mx.context.gpu_memory_info(context.device_id)
        return total - free
    with open('/proc/self/status', encoding='ascii') as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM'))


def memory(name: str, length: int, context: mx.Context) -> int:
    """Bytes that the graph, its binding and one step of training take at their peak."""
    mx.nd.ones((1,), ctx=context).wait_to_read()
    if context.device_type == 'cpu':
        with open('/proc/self/clear_refs', 'w', encoding='ascii') as refs:
            refs.write('5')  # the peak of loading the libraries is forgotten
    before = used(context)
    bound = bind(BUILD[name](length), length, context)
    bound.forward(is_train=True)
    bound.backward(mx.nd.ones(bound.outputs[0].shape, ctx=context))
    mx.nd.waitall()
    return used(context) - before


def draw(options: argparse.Namespace, rows: Sequence[Sequence[Any]]) -> None:
    """Milliseconds to build and bind against the number of steps, which are the ticks."""
    with figure(options, 'Graphs of %d layers of LSTM' % LAYERS, 'time steps',
                'ms to build and bind') as axes:
        for name in BUILD:
            own = [row for row in rows if row[2] == name]
            axes.loglog([row[0] for row in own], [row[4] + row[5] for row in own], marker='o',
                        label=name)
        axes.set_xticks(sorted({row[0] for row in rows}))
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_minor_formatter('{x:g}' if axes.get_ylim()[1] < 20 * axes.get_ylim()[0]
                                       else '')


def main() -> None:
    options = parser(__doc__)
    options.add_argument('--rounds', type=positive, default=5,
                         help='rounds for 1000 steps or more; the fewer steps, the more rounds, up '
                              'to 20 times as many (default: 5)')
    options.add_argument('--memory', nargs=2, help=argparse.SUPPRESS)  # the process of its own
    options = parse(options)
    if options.memory:
        name, length = options.memory
        print(memory(name, int(length), options.context))
        return
    configuration([options.context], layers=LAYERS, H=UNITS, N=BATCH)
    table = Table('T', 'rounds', 'implementation', 'nodes', 'build_ms', 'bind_ms', 'to_stock',
                  'step_mb')
    for length in QUICK if options.quick else LENGTHS:
        symbols = {name: build(length) for name, build in BUILD.items()}
        work: dict[str, Callable[[], Any]] = {}
        for name, build in BUILD.items():
            work[name + ' build'] = lambda build=build, length=length: build(length)
            work[name + ' bind'] = lambda symbol=symbols[name], length=length: bind(
                symbol, length, options.context)
        rounds = 1 if options.quick else options.rounds * max(1, min(20, 1000 // length))
        times = measure(work, rounds)
        both = {name: [sum(pair) for pair in zip(times[name + ' build'], times[name + ' bind'])]
                for name in BUILD}
        for name in BUILD:
            peak = subprocess.check_output([sys.executable, __file__, '--ctx', options.ctx,
                                            '--memory', name, str(length)], text=True)
            table.add(length, rounds, name, len(json.loads(symbols[name].tojson())['nodes']),
                      median(times[name + ' build']) * 1e3, median(times[name + ' bind']) * 1e3,
                      median(a / b for a, b in zip(both[STOCK], both[name])),
                      int(peak.split()[-1]) / 1e6)
    if options.plot:
        draw(options, table.rows)


if __name__ == '__main__':
    run(main)
