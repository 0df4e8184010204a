"""Where does a training step go in cells that `fuse` leaves unrolled, and in `dynamic_unroll`?

A step is forward and backward of one layer, time-major, with the gradient of its input. Beside the
whole step, each alone, in the same shapes and with the gradients of inputs and weights: all its
matrix products (or convolutions); those of the inputs, one for each step; and one for all inputs
before the loop. `bound` is how many times as fast the step could be with that one in their place:
whole / (whole - by step + at once). `reached` is how many times as fast it is with
``fuse(cell, inputs_at_once=True)``, which also normalises all inputs at once. With --operators,
MXNet's profiler says what share of the time of all operators each took.
"""
from __future__ import annotations

import os
import re
import tempfile
from functools import partial
from typing import Any, Callable

from _common import Table, configuration, measure, median, mx, parse, parser, ratio, run
from _options import positive

import mxrnn

#: Cell, T, N, C, H; of convolutional ones C and H are channels of 16 x 16 pixels.
CASES = [(name, 35, *sizes) for name in ('lstmp', 'layer norm', 'zoneout')
         for sizes in ((32, 200, 200), (20, 650, 650))] + [
    ('lstm, dynamic_unroll', 35, 32, 200, 200), ('conv lstm', 10, 8, 16, 16)]
QUICK = [(name, 3, 2, 4, 6) for name in ('lstmp', 'layer norm', 'zoneout',
                                         'lstm, dynamic_unroll', 'conv lstm')]
PIXELS = 16, 16


def make(name: str, channels: int, units: int) -> Any:
    """The cell of this name."""
    if name == 'lstmp':
        return mxrnn.LSTMPCell(units, units // 2, prefix='a_')
    if name == 'layer norm':
        return mxrnn.LayerNormLSTMCell(units, prefix='a_')
    if name == 'zoneout':
        return mxrnn.ZoneoutCell(mxrnn.LSTMCell(units, prefix='a_'), 0.1, 0.1)
    if name == 'conv lstm':
        return mxrnn.ConvLSTMCell((1, channels, *PIXELS), units, prefix='a_')
    return mxrnn.LSTMCell(units, prefix='a_')


def product(name: str, what: str, units: int, biased: bool = True) -> Callable[[Any], Any]:
    """A function for the product of data with the weight `what`, as the cell has it."""
    arrays = {'weight': mx.sym.Variable('a_%s_weight' % what), 'no_bias': not biased}
    if biased:
        arrays['bias'] = mx.sym.Variable('a_%s_bias' % what)
    if name == 'conv lstm':
        return partial(mx.sym.Convolution, num_filter=units, kernel=(3, 3), pad=(1, 1), **arrays)
    return partial(mx.sym.FullyConnected, num_hidden=units, **arrays)


def steps(data: Any, length: int) -> Any:
    """The steps of a sequence."""
    return mx.sym.SliceChannel(data, num_outputs=length, axis=0, squeeze_axis=True)


def inputs_at_once(name: str, length: int, units: int) -> Any:
    """The products of all inputs as one, and then their steps."""
    multiply = product(name, 'i2h', 4 * units, name != 'layer norm')
    rows = mx.sym.Reshape(mx.sym.Variable('data'), shape=(-3, -2))
    return steps(mx.sym.Reshape(multiply(rows), shape=(-4, length, -1, -2)), length)


def products(name: str, length: int, units: int, states: bool) -> Any:
    """The products of each step, of its inputs alone or of its states too."""
    biased, wanted = name != 'layer norm', [('data', 'i2h', 4 * units)]
    if states:
        wanted.append(('states', 'h2h', 4 * units))
    if states and name == 'lstmp':
        wanted.append(('memories', 'h2r', units // 2))
    found = []
    for data, what, rows in wanted:
        multiply = product(name, what, rows, biased and what != 'h2r')
        found += map(multiply, steps(mx.sym.Variable(data), length))
    return mx.sym.Group(found)


def step_of(symbol: Any, shapes: dict[str, Any]) -> Callable[[], None]:
    """Forward and backward of a graph, with the gradients of all its arguments."""
    names = symbol.list_arguments()
    bound = symbol.simple_bind(mx.cpu(), **{name: shape for name, shape in shapes.items()
                                            if name in names})
    for array in bound.arg_dict.values():
        array[:] = mx.nd.random.uniform(-.1, .1, array.shape)
    heads = [mx.nd.ones(output.shape) for output in bound.outputs]

    def step() -> None:
        bound.forward(is_train=True)
        bound.backward(heads)
    return step


def shares(symbol: Any, shapes: dict[str, Any]) -> str:
    """The five operators that take most of the time of all."""
    os.environ['MXNET_EXEC_BULK_EXEC_TRAIN'] = '0'  # else several are profiled as one
    step = step_of(symbol, shapes)
    del os.environ['MXNET_EXEC_BULK_EXEC_TRAIN']
    step()
    mx.profiler.set_state('run')
    step()
    mx.nd.waitall()
    mx.profiler.set_state('stop')
    rows = re.findall(r'^(\S+)\s+\d+\s+([\d.]+)(?:\s+[\d.]+){3}\s*$',
                      mx.profiler.dumps(reset=True), re.MULTILINE)
    taken = {name: float(time) for name, time in rows if not name.startswith('MX')}
    largest = sorted(taken, key=lambda name: -taken[name])[:5]
    return '; '.join('%s %.0f %%' % (name, 100 * taken[name] / sum(taken.values()))
                     for name in largest)


def main() -> None:
    options = parser(__doc__, ctx=False, plot=False)
    options.add_argument('--rounds', type=positive, default=5,
                         help='rounds of a case (default: %(default)s)')
    options.add_argument('--operators', action='store_true', help='what share each operator takes')
    result = parse(options)
    configuration(rounds=result.rounds)
    if result.operators:
        # MXNet deletes the file of this name: /dev/null, too, where root measures.
        mx.profiler.set_config(profile_symbolic=True, aggregate_stats=True,
                               filename=os.path.join(tempfile.mkdtemp(), 'profile.json'))
    table = Table('cell', 'T', 'N', 'C', 'H', 'whole_ms', 'products_ms', 'inputs_by_step_ms',
                  'inputs_at_once_ms', 'bound', 'reached')
    for name, length, batch, channels, units in QUICK if result.quick else CASES:
        pixels = PIXELS if name == 'conv lstm' else ()
        narrow = units // 2 if name == 'lstmp' else units
        shapes = {'data': (length, batch, channels, *pixels),
                  'states': (length, batch, narrow, *pixels), 'memories': (length, batch, units)}
        cell, data = make(name, channels, units), mx.sym.Variable('data')
        loop = 'dynamic' in name
        whole = mxrnn.dynamic_unroll(cell, data, layout='TNC')[0] if loop else cell.unroll(
            length, data, layout='TNC', merge_outputs=True)[0]
        graphs = {'whole': whole, 'products': products(name, length, units, True),
                  'by step': products(name, length, units, False),
                  'at once': inputs_at_once(name, length, units)}
        if name in ('lstmp', 'layer norm', 'zoneout'):
            graphs['fuse'] = mxrnn.fuse(cell, inputs_at_once=True).unroll(
                length, data, layout='TNC', merge_outputs=True)[0]
        jobs = {key: step_of(graph, shapes) for key, graph in graphs.items()}
        times = measure(jobs, result.rounds)
        bound = median(all_of_it / (all_of_it - many + one) for all_of_it, many, one in zip(
            times['whole'], times['by step'], times['at once']))
        table.add(name, length, batch, channels, units, *[
            median(times[key]) * 1e3 for key in list(graphs)[:4]], bound,
            ratio(times, 'whole', 'fuse') if 'fuse' in times else '')
        if result.operators:
            print('#   ' + shares(whole, shapes))


if __name__ == '__main__':
    run(main)
