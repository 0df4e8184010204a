"""Steps that read values of several steps before, as a series' lags, become loops."""
import pytest

from mxrnn._graph.rolling import RolledGraph
from mxrnn.interop import graph_from_json

from .. import mx
from .compare import assert_equal
from .onnx_runs import compare
from .rolling import bind, for_mxnet, run_rolled
from .test_rolling_edges import both_ways

S = mx.sym
DATA, FEATURES, STEPS = S.Variable('data'), 5, 6
SHAPES = {'data': (2, STEPS, 3), 'x_weight': (FEATURES, 3)}


WEIGHTS = {name: S.Variable(name + '_weight') for name in [
    'x', *('%s%d' % (kind, lag) for kind in ('h', 'first', 'second') for lag in range(1, 6))]}


def fc(name, value):
    return S.FullyConnected(value, WEIGHTS[name], num_hidden=FEATURES, no_bias=True)


def split(data, steps=STEPS):
    return list(S.split(data, num_outputs=steps, axis=1, squeeze_axis=True))


def lagged(lags, name, steps, values):
    """The values, and behind them those of all steps, each of which reads some lags."""
    values = [*values]
    for x in steps:
        new = fc('x', x) + sum(fc('%s%d' % (name, lag), values[-lag]) for lag in lags)
        values.append(S.tanh(new) + sum(values[-lag] for lag in lags) / 2)
    return values


def begins(count):
    return [S.Variable('begin%d' % i) for i in range(count)]


def before(count):
    """Values that the graph computes of a series before the first step, as later ones."""
    return [S.tanh(S.BlockGrad(fc('x', x))) for x in split(S.Variable('memory'), count)]


def two_in_a_row(lags):
    """The second recurrence begins with the first one's values, and reads those before as well."""
    first = lagged(lags, 'first', split(DATA), begins(max(lags)))
    further = [S.slice_axis(each, axis=1, begin=2, end=5) for each in first[-STEPS - 2:-2]]
    return lagged(lags, 'second', further, first)[-STEPS:]


#: By name: the outputs, and the recurrences that there are.
SERIES = {
    'one and two': (lambda: lagged((1, 2), 'h', split(DATA), begins(2))[2:], 1),
    'one and three': (lambda: lagged((1, 3), 'h', split(DATA), begins(3))[3:], 1),
    'one and four': (lambda: lagged((1, 4), 'h', split(DATA), begins(4))[4:], 1),
    'the last is read': (lambda: lagged((1, 3), 'h', split(DATA), begins(3))[-1:], 1),
    'begins computed': (lambda: lagged((1, 2), 'h', split(DATA), before(2))[2:], 1),
    'two in a row': (lambda: two_in_a_row((1, 2)), 2)}


def shapes_of(symbol):
    """The shapes of its arguments."""
    return {name: SHAPES.get(name, (2, FEATURES) if name.startswith('begin') else (
        2, 2, 3) if name == 'memory' else (FEATURES, FEATURES)) for name in symbol.list_arguments()}


@pytest.mark.parametrize('name', SERIES)
def test_lags_are_states_of_a_loop(name):
    make, count = SERIES[name]
    symbol = S.Group([S.identity(each) for each in make()])
    shapes = shapes_of(symbol)
    inputs = [each for each in shapes if not each.endswith('weight')]
    assert both_ways(symbol, **shapes) == ['loop'] * count
    assert_equal(run_rolled(RolledGraph(graph_from_json(for_mxnet(symbol).tojson()), ()),
                            bind(symbol, shapes, train=True), shapes))
    assert compare(symbol, {name: shapes[name] for name in inputs}, [
        {name: shapes[name] for name in inputs}]) < 1e-6
