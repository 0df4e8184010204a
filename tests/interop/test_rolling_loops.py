"""Recurrences that become loops, run in torch and in MXNet, and those that are none."""
import functools
import itertools

import pytest

from mxrnn._graph.rolling import Finding, RolledGraph, structure
from mxrnn.interop import graph_from_json

from .. import mx, rnn
from .compare import assert_equal, bind
from .models import S, V
from .onnx_runs import compare
from .rolling import for_mxnet, run_rolled
from .test_rolling_edges import both_ways

DATA, OWN = V('data'), V('memory')
#: Of steps and states, and of a series' values and those several steps before.
LAGS = ['%s%d' % (kind, lag) for kind in ('h', 'first', 'second') for lag in range(1, 6)]
WEIGHTS = {name: V(name + '_weight') for name in ['i2h', 'h2h', 'xh', 'x', *LAGS]}


def fc(name, value):
    return S.FullyConnected(value, WEIGHTS[name], num_hidden=5, no_bias=True)


def of_the_state(x, state):
    inside = S.broadcast_mul(state, OWN)
    return inside, S.broadcast_add(fc('i2h', x), S.broadcast_mul(inside, fc('h2h', inside)))


def of_state_and_data(x, state):
    inside = S.broadcast_add(state, fc('i2h', x))
    return inside, S.broadcast_mul(OWN, fc('h2h', inside))


def of_the_shape_of_data(x, state):
    inside = state + fc('i2h', x)
    return inside, S.broadcast_mul(OWN, fc('h2h', inside))


def that_keeps_a_state_here_and_there(x, state):
    inside = state * 2
    return inside, S.where(OWN, S.broadcast_add(fc('i2h', x), fc('h2h', inside)), state)


def without_broadcasting(x, state):
    inside = S.tanh(state)
    return inside, fc('i2h', x) * fc('h2h', inside)


def through(make):
    """A step with a part inside that `make` computes of the step's input and of the state."""
    def step(x, state):
        inside = make(x, state)
        return inside, S.broadcast_add(fc('i2h', x), fc('h2h', inside))
    return step


def sum_with_what_all_steps_read(x, state):
    return None, OWN + S.softsign(fc('i2h', x) + fc('h2h', state))


def of_joined(x, state):
    return None, S.softsign(fc('xh', S.Concat(x, state, dim=1)))


def growing(join):
    def step(x, state):
        last = S.Reshape(S.slice_axis(state, axis=1, begin=-1, end=None), shape=(0, -1))
        new = S.expand_dims(S.softsign(fc('i2h', x) + fc('h2h', last)), axis=1)
        return None, join(state, new)
    return step


ONE, BATCH = (1, 5), (2, 5)
#: By what a step computes: the shape that the begin state states, and the one that it has; which
#: steps' insides are read as well; what becomes of it.
LOOPS = {
    'state, one row': (of_the_state, ONE, ONE, slice(None), 'unrolled'),
    'state': (of_the_state, None, ONE, slice(None), 'unrolled'),
    'state, not read': (of_the_state, ONE, ONE, slice(0), 'loop'),
    'state, any rows': (of_the_state, None, BATCH, slice(0), 'loop'),
    'state and data': (of_state_and_data, None, BATCH, slice(None), 'loop'),
    'as data': (of_the_shape_of_data, None, BATCH, slice(None), 'loop'),
    'chosen': (that_keeps_a_state_here_and_there, None, BATCH, slice(None), 'loop'),
    'one row in all': (without_broadcasting, ONE, ONE, slice(None), 'loop'),
    **{'rows of %s' % name: (through(make), None, ONE, slice(None), 'unrolled') for name, make in {
           'indices': lambda x, state: S.take(WEIGHTS['h2h'], S.argmax(state, axis=1)),
           'a second factor': lambda x, state: S.transpose(
               S.dot(WEIGHTS['h2h'], state, transpose_b=True)),
           'the state below others': lambda x, state: S.slice_axis(S.Concat(
               fc('i2h', x), state, dim=0), axis=0, begin=2, end=None),
       }.items()},
    'rows of data beside the state': (through(lambda x, state: fc('xh', S.Concat(
        state, x, dim=1))), None, BATCH, slice(None), 'loop'),
    'sum': (sum_with_what_all_steps_read, None, BATCH, slice(0), 'loop'),
    'joined': (of_joined, None, BATCH, slice(0), 'loop'),
    'grows, then more': (growing(lambda state, new: S.tanh(S.Concat(state, new, dim=1))), None,
                         (2, 1, 5), slice(0), 'unrolled'),
}
SHAPES = {'data': (2, 4, 3), 'memory': BATCH, 'i2h_weight': (5, 3), 'h2h_weight': (5, 5),
          'xh_weight': (5, 8)}
OTHER_SHAPES = {'one row in all': {'data': (1, 4, 3)},
                **{name: {'memory': ONE} for name in LOOPS if LOOPS[name][0] is of_the_state}}


#: Of these the last state alone may be read, which is no output of all steps then.
LAST = ['state and data', 'as data', 'sum', 'joined']


@pytest.mark.parametrize('name, states', [
    *[(name, 'all') for name in LOOPS], *[(name, 'last') for name in LAST]])
def test_loops(name, states):
    step, stated, begin, read, kind = LOOPS[name]
    state, outputs, insides = V('begin', shape=stated), [], []
    for x in S.split(DATA, num_outputs=4, axis=1, squeeze_axis=True):
        inside, state = step(x, state)
        outputs.append(state)
        insides.append(inside)
    insides = insides[read]
    grows = name.startswith('grows')
    symbol = S.Group([S.identity(each) for each in [
        *(outputs if states == 'all' and not grows else [state]), *insides]])
    shapes = {**SHAPES, **OTHER_SHAPES.get(name, {}), 'begin': begin}
    shapes = {each: shapes[each] for each in symbol.list_arguments()}
    assert {*both_ways(symbol, **shapes)} == {kind}
    rolled = for_mxnet(symbol)
    loops = [node for node in graph_from_json(rolled.tojson()).nodes if node.op == '_foreach']
    assert [loop.num_out_data for loop in loops] == (
        [(states == 'all') + bool(insides)] if kind == 'loop' else [])
    if name == 'state, not read':  # whose state gets more rows, which MXNet's loop refuses
        return
    assert_equal(run_rolled(RolledGraph(graph_from_json(symbol.tojson()), ()),
                            bind(rolled, shapes), shapes))


def joined(past, new):
    return S.Concat(past, new, dim=1)


def by_hand(names=('', '', ''), activation=S.tanh):
    """An RNN of three steps, without a cell of mx.rnn; returns its states."""
    state, states = V('begin'), []
    for x, name in zip(S.split(DATA, num_outputs=3, axis=1, squeeze_axis=True), names):
        options = {'num_hidden': 5, 'no_bias': True, 'name': name or None}
        state = activation(S.FullyConnected(x, WEIGHTS['i2h'], **options)
                           + S.FullyConnected(state, WEIGHTS['h2h'], **options))
        states.append(state)
    return states


def sums(values):
    return list(itertools.accumulate(values))


#: By what is added: how, with how many steps of a sequence, and the operators that add them.
ADDED = {
    "Python's sum": (lambda steps: sum(steps), ['sum']),
    'from the first step on': (lambda steps: sum(steps[1:], steps[0]), ['sum']),
    'from the last step on': (lambda steps: sum(steps[::-1]), ['sum']),
    'each to the right': (lambda steps: functools.reduce(lambda total, x: x + total, steps),
                          ['sum']),
    'broadcast': (lambda steps: functools.reduce(S.broadcast_add, steps), ['sum']),
    'twice': (lambda steps: sum(steps) * sum(S.tanh(each) for each in steps), ['sum', 'sum']),
    'beside a value': (lambda steps: sum(steps, OWN), ['sum', 'elemwise_add']),
    'beside values': (lambda steps: OWN + sum(steps) + OWN,
                      ['sum', 'elemwise_add', 'elemwise_add']),
    'sums of each step': (lambda steps: sum(each + OWN for each in steps),
                          ['broadcast_add', 'sum']),
    'products': (lambda steps: functools.reduce(lambda total, x: x * total, steps), ['_foreach']),
    'sums read on the way': (lambda steps: S.Group([*map(S.identity, sums(steps)[-2:])]),
                             ['_foreach']),
}


def steps_added(name, length):
    with mx.name.NameManager():
        steps = rnn.LSTMCell(5, prefix='lstm_').unroll(length, DATA)[0]
        return ADDED[name][0](steps)


@pytest.mark.parametrize('name', ADDED)
def test_additions_of_all_steps_are_sums_over_an_axis(name):
    graph = structure(graph_from_json(steps_added(name, 5).tojson())).graph
    assert [node.op for node in graph.nodes if node.op in (
        '_foreach', 'sum', 'elemwise_add', 'broadcast_add')] == ADDED[name][1]
    for length in (5, 3, 8):
        if length == 5 or name != 'sums read on the way':
            symbol = steps_added(name, length)
            shapes = {'data': (2, length, 3), 'memory': BATCH}
            shapes = {each: shape for each, shape in shapes.items()
                      if each in symbol.list_arguments()}
            assert_equal(run_rolled(RolledGraph(graph, ()), bind(symbol, shapes, train=True),
                                    shapes))


def test_the_sum_has_the_name_of_the_last_addition():
    symbol = steps_added("Python's sum", 5)
    graph = structure(graph_from_json(symbol.tojson())).graph
    assert graph.outputs == symbol.list_outputs()
    assert graph.nodes[-1].op == 'sum'


def no_kernels(values, kernel):
    return 'no kernels'


KERNEL, LOOP = 'fullyconnected, 3 steps: one operator, rnn_tanh', (
    'fullyconnected, 3 steps: a loop, because %s')


#: Outputs, options of `structure`, what it says of their graph, and whether that stays as it is.
FOUND = {
    'a kernel': (by_hand, {}, [KERNEL], False),
    'no kernel': (by_hand, {'reject_reason': no_kernels}, [LOOP % 'no kernels'], False),
    'no loop': (by_hand, {'reject_reason': no_kernels, 'loops': False},
                ['fullyconnected, 3 steps: stays unrolled, because no kernels'], True),
    'names without a begin': (lambda: by_hand('abc'), {}, [
        KERNEL.replace('fullyconnected', 'steps')], False),
    'sums of steps': (lambda: sums([OWN, *by_hand()]), {}, [
        KERNEL, '_plus, 3 steps: a loop, because it has no weights'], False),
    'sums of variables': (lambda: [*by_hand(), *sums([
        V(each, shape=(2, 5)) for each in 'abcd'])], {}, [KERNEL], False),
    'no cell': (lambda: list(map(S.tanh, S.split(DATA, num_outputs=4))), {}, [], True),
    'sums alone': (lambda: sums(S.split(DATA, num_outputs=4)), {}, [], True),
}


@pytest.mark.parametrize('name', FOUND)
def test_what_is_found(name):
    build, options, expected, stays = FOUND[name]
    graph = graph_from_json(S.Group(build()).tojson())
    rolled = structure(graph, **options)
    assert list(map(str, rolled.findings)) == expected
    assert rolled.is_rolled is not stays
    old, new = ([each[:2] for each in it.nodes] for it in (graph, rolled.graph))
    assert (old == new) is stays


def test_a_finding_of_no_number_of_steps():
    assert str(Finding('the graph', 0, 'unrolled', 'it takes too long')) == (
        'the graph: stays unrolled, because it takes too long')


# ---- steps that read values of several steps before, as a series' lags

STEPS = 6


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
    return [V('begin%d' % i) for i in range(count)]


def before(count):
    """Values that the graph computes of a series before the first step, as later ones."""
    return [S.tanh(S.BlockGrad(fc('x', x))) for x in split(V('memory'), count)]


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


@pytest.mark.parametrize('name', SERIES)
def test_lags_are_states_of_a_loop(name):
    make, count = SERIES[name]
    symbol = S.Group([S.identity(each) for each in make()])
    shapes = {'data': (2, STEPS, 3), 'memory': (2, 2, 3), 'x_weight': (5, 3)}
    shapes = {each: shapes.get(each, BATCH if each.startswith('begin') else (5, 5))
              for each in symbol.list_arguments()}
    inputs = [each for each in shapes if not each.endswith('weight')]
    assert both_ways(symbol, **shapes) == ['loop'] * count
    assert_equal(run_rolled(RolledGraph(graph_from_json(for_mxnet(symbol).tojson()), ()),
                            bind(symbol, shapes, train=True), shapes))
    assert compare(symbol, {name: shapes[name] for name in inputs}, [
        {name: shapes[name] for name in inputs}]) < 1e-6
