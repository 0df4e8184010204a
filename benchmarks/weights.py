"""Packing, unpacking, saving and loading weights: time and memory beside mxnet.rnn.

The model has three bidirectional LSTM layers, by default of 512 units: 16.8 million parameters.
Times are medians over interleaved rounds; the ratio is how many times as long mxnet.rnn takes.
Peaks are of resident memory, in a process of its own for each: what was alive at most, input
included, over input plus output (1 would be no copy besides the result).
"""
from __future__ import annotations

import multiprocessing
import os
import tempfile
from typing import Any, Callable

from _common import Table, configuration, figure, measure, median, mx, parse, parser, ratio, run
from _options import positive

import mxrnn

MODULES = {'mxnet.rnn': mx.rnn, 'mxrnn': mxrnn}
OPERATIONS = ('pack', 'unpack', 'save', 'load')


def make(kind: str, name: str, units: int) -> Any:
    """The cell of a kind, 'fused' or 'unfused', from the module of a name."""
    fused = MODULES[name].FusedRNNCell(units, 3, 'lstm', bidirectional=True, prefix='lstm_')
    return fused if kind == 'fused' else fused.unfuse()


def weights(units: int) -> dict[str, mx.nd.NDArray]:
    """Random weights of every gate, as a checkpoint has them."""
    layers = [units, 2 * units, 2 * units]
    return {'lstm_%s%d_%s_%s_%s' % (direction, layer, group, gate, kind):
            mx.nd.random.uniform(-1, 1, shape)
            for layer, width in enumerate(layers) for direction in 'lr'
            for group, columns in (('i2h', width), ('h2h', units)) for gate in 'ifco'
            for kind, shape in (('weight', (units, columns)), ('bias', (units,)))}


def job(operation: str, kind: str, name: str, units: int, folder: str) -> Callable[[], Any]:
    """The function to measure, with its input ready; it returns when its work is done."""
    cell, arrays = make(kind, name, units), weights(units)
    prefix = os.path.join(folder, name)
    symbol = mx.sym.Variable('data')
    packed = cell.pack_weights(arrays)
    mx.model.save_checkpoint(prefix, 1, symbol, arrays, {})
    options = {'strict': False} if name == 'mxrnn' else {}
    work = {
        'pack': lambda: cell.pack_weights(arrays),
        'unpack': lambda: cell.unpack_weights(packed),
        'save': lambda: MODULES[name].save_rnn_checkpoint(cell, prefix, 1, symbol, packed, {}),
        'load': lambda: MODULES[name].load_rnn_checkpoint(cell, prefix, 1, **options),
    }[operation]

    def run(held: Any = (arrays, packed)) -> None:  # so that memory is not freed meanwhile
        result = work()
        mx.nd.waitall()  # while the result is there, or its memory would be used again
        del result
    return run


def resident(field: str) -> int:
    """Bytes of memory of this process: 'VmRSS', now, or 'VmHWM', the most since it was reset."""
    with open('/proc/self/status', encoding='ascii') as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak(operation: str, kind: str, name: str, units: int, folder: str) -> float:
    """Most memory alive in an operation over that of its input and output."""
    run = job(operation, kind, name, units, folder)
    mx.nd.waitall()
    with open('/proc/self/clear_refs', 'w', encoding='ascii') as reset:
        reset.write('5')
    before = resident('VmRSS')
    run()
    size = 4 * sum(array.size for array in weights(units).values())
    given = size * (operation != 'load')
    output = size * (operation != 'save')
    return (resident('VmHWM') - before + given) / (given + output)


def main() -> None:
    parsed = parser(__doc__, ctx=False)
    parsed.add_argument('--units', type=positive, default=None, help='of each layer and direction '
                        '(default: 512)')
    options = parse(parsed)
    units = options.units or (64 if options.quick else 512)
    rounds = 2 if options.quick else 15
    count = sum(array.size for array in weights(units).values())
    configuration(rounds=rounds, layers=3, directions=2, units=units, parameters=count)
    watched = os.path.exists('/proc/self/clear_refs')
    table = Table('cells', 'operation', 'mxnet.rnn_ms', 'mxrnn_ms', 'ratio', 'mxnet.rnn_peak',
                  'mxrnn_peak')
    with tempfile.TemporaryDirectory() as folder:
        for kind in ('fused', 'unfused'):
            for operation in OPERATIONS:
                jobs = {name: job(operation, kind, name, units, folder) for name in MODULES}
                times = measure(jobs, rounds)
                peaks = []
                for name in MODULES:
                    with multiprocessing.get_context('spawn').Pool(1) as process:
                        peaks.append(process.apply(peak, (operation, kind, name, units, folder))
                                     if watched else 'unknown')
                table.add(kind, operation, *(median(times[name]) * 1e3 for name in MODULES),
                          ratio(times, 'mxnet.rnn', 'mxrnn'), *peaks)
    if options.plot:
        with figure(options, 'Weights of three layers, both directions', 'operation',
                    'times as fast as mxnet.rnn', ratio=True) as axes:
            for kind in ('fused', 'unfused'):
                axes.plot(OPERATIONS, [row[4] for row in table.rows if row[0] == kind], 'o',
                          label=kind)


if __name__ == '__main__':
    run(main)
