"""Steps that are what the operator RNN computes, in some other form, and steps that nearly are."""
import functools

import pytest

from mxrnn._graph.rolling import structure
from mxrnn.interop import graph_from_json

from .. import mx
from .models import S, V
from .rolling import assert_same, values_of

#: Batch, data, states and weights all have this size: what is confused has the right shape.
SIZE, STEPS = 4, 3


class Weights(dict):
    """Variables; 'd…' state their shape, 'o…' one with an open size."""

    def __missing__(self, name):
        self[name] = V(name, shape={'d': (SIZE, SIZE), 'o': (SIZE, 0)}.get(name[0]))
        return self[name]


W = Weights()


def fc(value, name, parts=1, bias=False, **options):
    """A product with the weight `name`, with as many rows as that many gates have."""
    rest = {'bias': W[name + '_bias']} if bias else {'no_bias': True}
    return S.FullyConnected(value, W[name], num_hidden=int(parts * SIZE), **rest, **options)


def part(value, at, of, **options):
    return S.SliceChannel(value, num_outputs=of, **options)[at]


def rows(value, begin, end, axis=1):
    return S.slice_axis(value, axis=axis, begin=begin, end=end)


def rnn(gate):
    """A step of an RNN of tanh: the sum that is in it."""
    return lambda x, states, t: [S.tanh(gate(x, states[0], t))]


def gru(update=S.sigmoid, reset=S.sigmoid, rest=lambda z, r: 1 - z, new=S.tanh,
        entering=lambda x, h: fc(x, 'xn'), recurrent=lambda x, h: fc(h, 'hn'),
        kept=lambda z, h: z * h):
    def step(x, states, t):
        h = states[0]
        z, r = update(fc(x, 'xz') + fc(h, 'hz')), reset(fc(x, 'xr') + fc(h, 'hr'))
        return [kept(z, h) + rest(z, r) * new(entering(x, h) + r * recurrent(x, h))]
    return step


def lstm(gates, memory=lambda kept, new, x: kept + new, out=S.tanh,
         shows=S.sigmoid, before=lambda c: c):
    """`gates` gives the sums of the four gates."""
    def step(x, states, t):
        h, c = states
        i, f, g, o = gates(x, h)
        c = memory(S.sigmoid(f) * before(c), S.sigmoid(i) * S.tanh(g), x)
        return [shows(o) * out(c), c]
    return step


def each(x, h, bias=(False,) * 4, parts=(1,) * 4):
    return [both(x, h, '%d' % k, parts[k], bias=bias[k]) for k in range(4)]


def added(x, h):
    return both(x, h, parts=1) + h


def forked(x, h, t):
    """Both products read one node in the first step, and two in the others."""
    one = S.tanh(x + h)
    other = one if t == 0 else S.tanh(FIRST[0] + h)
    FIRST[:1] = [x] if t == 0 else FIRST
    return fc(one, 'x') + fc(other, 'h')


def made_of_a_gate(x, states, t):
    """What the update gate reads is made of the reset gate of the first step."""
    reset = S.sigmoid(fc(x, 'xr') + fc(states[0], 'hr'))
    if t == 0:
        FIRST[:1] = [S.SliceChannel(S.Reshape(fc(reset, 'w', STEPS), shape=(0, STEPS, SIZE)),
                                    num_outputs=STEPS, axis=1, squeeze_axis=True)]
    return [S.sigmoid(fc(FIRST[0][t], 'xz') + fc(states[0], 'hz')) * states[0] + reset]


def twice(x):
    return S.Concat(x, x, dim=1)


def begun(step, *begins):
    """`step`, which begins with something that is computed of two variables."""
    return lambda x, states, t: step(x, states if t else [begin(*states) for begin in begins], t)


def of_both(*new, last=None):
    """The states are read together; `new` make them of another state of the step, and `last` of
    the last step."""
    def step(x, states, t):
        h = S.tanh(fc(x, 'x') + fc(states[0], 'h') * states[1]) * x
        return [each(h, x, t) for each in (last if last and t == STEPS - 1 else new)]
    return step


def begun_by_its_own(x, states, t):
    """A state begins with something inside the first step."""
    h = states[0]
    inside = fc(h, 'q')
    return [S.tanh(fc(x, 'x') + fc(S.relu(inside), 'h')) * (S.tanh(h) if t else inside)]


def by_turns(first):
    """Only the first step reads the begin state, and the others what they compute, or the first
    one alone reads what it computes."""
    def step(x, states, t):
        new = fc(x, 'x') + fc(states[0], 'h')
        return [new * (states[1] if (t == 0) is first else S.tanh(new)), states[1]]
    return step


def cut(value, begins, ends):
    return [rows(value, begin, end) for begin, end in zip(begins, ends)]


def both(x, h, name='g', parts=4, **options):
    return fc(x, 'x' + name, parts, **options) + fc(h, 'h' + name, parts, **options)


#: By name: a step and what it becomes; then shapes of begin states, where they are stated.
CELLS = {
    'product once': (rnn(lambda x, h, t: ONCE + fc(h, 'h')), 'kernel'),
    'state first, wide data': (rnn(lambda x, h, t: fc(S.Concat(h, twice(x), dim=1), 'w')),
                               'kernel'),
    'one part of two': (rnn(lambda x, h, t: part(both(x, h, parts=2), 1, 2)), 'kernel'),
    'dot with rows exchanged': (rnn(lambda x, h, t: S.dot(x, W['dx'], transpose_b=True)
                                    + S.dot(h, W['dh'])), 'kernel', (SIZE, SIZE)),
    'a sum is cut': (lstm(lambda x, h: cut(both(x, h), (0, 4, 8, 12), (4, 8, 12, None))), 'kernel'),
    'parts of weights': (lstm(lambda x, h: [part(each_of, k, 4) for k, each_of in enumerate(
        each(x, h, parts=(4,) * 4))]), 'kernel'),
    'biases of some gates': (lstm(lambda x, h: each(x, h, bias=(True, False, True, False))),
                             'kernel'),
    'gru': (gru(), 'kernel'),
    'gru with a weight that is long in coming': (gru(recurrent=lambda x, h: S.FullyConnected(
        h, LONG, num_hidden=SIZE, no_bias=True)), 'kernel'),
    'gru begun by nearly a step': (begun(gru(), lambda a, b: gru(kept=lambda z, h: z)(
        b, [a], 0)[0]), 'kernel'),
    'lstm begun by a product': (begun(lstm(each), lambda a, b: a * S.tanh(b), lambda a, b: b),
                                'kernel'),
    'a state of one axis': (rnn(lambda x, h, t: part(both(x, h, parts=0.5), 0, 2,
                                                     squeeze_axis=True)), 'loop', (SIZE,)),

    'begin state is a product': (rnn(lambda x, h, t: added(x, h if t else fc(h, 'b'))), 'loop'),
    'products by turns': (rnn(lambda x, h, t: (S.dot(x, W['dx']) if t else fc(x, 'dx'))
                              + fc(h, 'h')), 'unrolled'),
    'sums of two and three': (rnn(lambda x, h, t: S.add_n(
        fc(x, 'x'), fc(h, 'h'), *[x] * (t == STEPS - 1))), 'unrolled'),
    'dot of an unknown weight': (rnn(lambda x, h, t: S.dot(x, W['x']) + S.dot(h, W['h'])), 'loop',
                                 (SIZE, SIZE)),
    'dot of weights with an open size': (rnn(lambda x, h, t: S.dot(x, W['ox']) + S.dot(h, W['oh'])),
                                         'loop', (SIZE, 0)),
    'dot of an unknown state': (rnn(lambda x, h, t: S.dot(x, W['dx']) + S.dot(h, W['dh'])), 'loop'),
    'a product that keeps axes': (rnn(lambda x, h, t: fc(x, 'x', flatten=False) + fc(h, 'h')),
                                  'loop'),
    'no product with data': (rnn(lambda x, h, t: fc(h, 'h')), 'loop'),
    'part of a part': (rnn(lambda x, h, t: part(part(both(x, h), 1, 2), 0, 2)), 'loop'),
    'cut of a dot': (rnn(lambda x, h, t: rows(S.dot(x, W['dx']) + S.dot(h, W['dh']), 0, 4)), 'loop',
                     (SIZE, SIZE)),
    'cut between gates': (rnn(lambda x, h, t: rows(both(x, h, parts=2), 2, 6)), 'loop'),
    'cut of rows that are no gates': (rnn(lambda x, h, t: rows(both(x, h, parts=1.5), 0, 4)),
                                      'loop'),
    'data and state added': (rnn(lambda x, h, t: fc(x + h, 'w')), 'loop'),
    'three side by side': (rnn(lambda x, h, t: fc(S.Concat(x, h, x, dim=1), 'w')), 'loop'),
    'state by itself': (rnn(lambda x, h, t: fc(S.Concat(h, h, dim=1), 'w') + fc(x, 'x')), 'loop'),

    'a weight each step': (rnn(lambda x, h, t: fc(x, 'x%d' % t) + fc(h, 'h')), 'loop'),
    'a part that no step reads': (lambda x, states, t: list(map(S.tanh, S.SliceChannel(
        both(x, states[0], parts=2), num_outputs=2))), 'loop'),
    'one input at first': (rnn(lambda x, h, t: fc(x, 'wx') + fc(S.tanh(h + W['h' if t else 'x']),
                                                                'wh')), 'loop'),
    'the begin state, and then a part': (by_turns(True), 'unrolled'),
    'a part, and then the begin state': (by_turns(False), 'unrolled'),
    'begun by what is inside the first step': (begun_by_its_own, 'unrolled'),
    'the last step lacks what reads data': (of_both(
        lambda h, x, t: h * x, lambda h, x, t: h * W['d%d' % t],
        last=[lambda h, x, t: h * W['d%d' % t]] * 2), 'loop'),
    'two states before': (lambda x, states, t: [S.tanh(
        fc(x, 'x') + fc(states[0] + states[1], 'h')), states[0]], 'loop'),
    'one node for two at first': (rnn(lambda x, h, t: forked(x, h, t)), 'loop'),
    'a gate of data alone': (lstm(lambda x, h: [fc(x, 'x0'), *each(x, h)[1:]]), 'loop'),
    'gates of two inputs': (lstm(lambda x, h: each(x, h)[:3] + each(S.negative(x), h)[3:]), 'loop'),
    'memory negated': (lstm(each, before=S.negative), 'loop'),
    'memory shown by softsign': (lstm(each, out=S.softsign), 'loop'),
    'out by softsign': (lstm(each, shows=S.softsign), 'loop'),
    'update by softsign': (gru(S.softsign), 'loop'),
    'reset by softsign': (gru(reset=S.softsign), 'loop'),
    'new by softsign': (gru(new=S.softsign), 'loop'),
    'rest is 1 - r': (gru(rest=lambda z, r: 1 - r), 'loop'),
    'state enters new': (gru(entering=lambda x, h: fc(x, 'xn') + fc(h, 'hm')), 'loop'),
    'nothing enters new': (gru(entering=lambda x, h: fc(h, 'xn')), 'loop'),
    'two enter new': (gru(entering=lambda x, h: fc(x, 'xn') + fc(x, 'xm')), 'loop'),
    'other data enters new': (gru(entering=lambda x, h: fc(S.negative(x), 'xn')), 'loop'),
    'data is reset': (gru(recurrent=lambda x, h: fc(h, 'hn') + fc(x, 'xm')), 'loop'),
    'two are reset': (gru(recurrent=lambda x, h: fc(h, 'hn') + fc(h, 'hm')), 'loop'),
}
FIRST = [None]
LONG = functools.reduce(lambda value, t: S.softsign(value, name='long%d' % t), range(101), W['dhn'])
ONCE = fc(V('single'), 'x')


def unroll(step, shape=None, steps=STEPS, read=lambda outputs: S.stack(*outputs, axis=1)):
    """The graph of a step: the outputs of all, and the states after the last one."""
    with mx.name.NameManager():
        data = S.SliceChannel(V('data'), num_outputs=steps, axis=1, squeeze_axis=True)
        states = [V('begin%d' % i, shape=shape) for i in range(2)]
        outputs = []
        for t in range(steps):
            states = step(data[t], states, t)
            outputs.append(states[0])
        return S.Group([read(outputs), *[S.identity(state) for state in states]])


@pytest.mark.parametrize('name, steps', [*[(name, STEPS) for name in CELLS], ('gru', 2)])
def test_kinds_and_numbers(name, steps):
    step, kind, *shape = CELLS[name]
    kind = 'unrolled' if steps == 2 else kind  # perhaps only the first and the last of more
    symbol = unroll(step, *shape, steps=steps)
    names = symbol.list_arguments()
    graph = graph_from_json(symbol.tojson())
    shapes = {'data': (SIZE, steps, SIZE), 'single': (SIZE, SIZE),
              **{each: (SIZE, SIZE) for each in ('x', 'h', 'ox', 'oh')},
              'begin0': shape[0][:1] if name == 'a state of one axis' else (SIZE, SIZE),
              'begin1': (SIZE, SIZE)}
    rolled = structure(graph)
    assert [each.kind for each in rolled.findings] == [kind]
    assert_same(rolled.graph, graph, values_of(symbol, {
        each: shape for each, shape in shapes.items() if each in names}))


@pytest.mark.parametrize('read', [lambda outputs: outputs[-1], lambda outputs: FIRST[0][1]])
def test_inputs_that_depend_on_outputs(read):
    graph = graph_from_json(unroll(made_of_a_gate, read=read).tojson())
    rolled, findings = structure(graph)
    assert findings == (('fullyconnected', STEPS, 'unrolled', 'its inputs depend on its outputs'),)
    *same, last = [at for at, (one, other) in enumerate(zip(rolled.nodes, graph.nodes))
                   if one != other]
    assert len(rolled.nodes) == len(graph.nodes) and not same
    assert rolled.nodes[last].attrs == {**graph.nodes[last].attrs, '__steps__': str(STEPS)}


#: MXNet refuses them: they are no operator, which would compute something.
REFUSED = {
    'rows of a batch': rnn(lambda x, h, t: rows(both(x, h), 0, 4, axis=0)),
    'parts of a batch': rnn(lambda x, h, t: part(both(x, h, parts=2), 0, 2, axis=0)),
    'nothing is cut': rnn(lambda x, h, t: rows(both(x, h), 4, 4)),
    'cut behind the end': rnn(lambda x, h, t: rows(both(x, h, parts=2), 4, 12)),
    'below each other': rnn(lambda x, h, t: fc(S.Concat(x, h, dim=0), 'w')),
    'gates of two sizes': lstm(lambda x, h: each(x, h, parts=(1, 2, 1, 1))),
}


@pytest.mark.parametrize('name', REFUSED)
def test_graphs_that_mxnet_refuses(name):
    graph = graph_from_json(unroll(REFUSED[name]).tojson())
    assert [each.kind for each in structure(graph).findings] == ['loop']


def total(begin, values):
    for value in values:
        begin = begin + value
    return begin


def decoded(h):
    """Another cell begins with the last state of the first one."""
    states = h[-1:]
    for value in h:
        states.append(S.tanh(S.broadcast_add(fc(value, 'xa'), fc(states[-1], 'ha'))))
    return S.stack(*h, *states)


def above(values, name):
    """The states of another layer."""
    state, states = V('begin_' + name), []
    for value in values:
        state = S.tanh(fc(value, 'x' + name) + fc(state, 'h' + name))
        states.append(state)
    return states


def before(states, begin):
    """What each step of a cell begins with."""
    return [states[0].get_internals()[begin], *states[:-1]]


#: Sums of the outputs of a GRU, which are sums themselves, and what is found with it.
SUMS = {
    'all': (lambda h: total(h[0], h[1:]), ['kernel']),
    'none, rows of each': (lambda h: S.stack(*[rows(each, 1, 3) for each in h], axis=1),
                           ['kernel']),
    'the steps before': (lambda h: above(map(S.tanh, before(h, 'begin0')), 'a')[-1],
                         ['kernel'] * 2),
    'nothing needs the sum': (lambda h: S.where(S.ones_like(h[0]), h[-1], total(h[0], h[1:])),
                              ['kernel']),
    'a decoder': (decoded, ['kernel', 'loop'], rnn(lambda x, h, t: both(x, h, parts=1))),
    'data once has the weight of states': (lambda h: h[-1], ['loop'], rnn(
        lambda x, h, t: fc(x, 'h' if t == 3 else 'w%d' % t) + fc(h, 'h'))),
}


def sums(name, steps):
    read, _, *step = SUMS[name]
    symbol = unroll(*(step or [gru()]), steps=steps, read=read)
    shapes = {'data': (SIZE, steps, SIZE),
              **dict.fromkeys(('begin0', 'begin_a', 'x'), (SIZE, SIZE))}
    return graph_from_json(symbol.tojson()), values_of(symbol, {
        each: shapes[each] for each in shapes if each in symbol.list_arguments()})


@pytest.mark.parametrize('name', SUMS)
def test_sums(name):
    graph, values = sums(name, 5)
    rolled = structure(graph)
    assert [each.kind for each in rolled.findings] == SUMS[name][1]
    assert_same(rolled.graph, graph, values)


@pytest.mark.parametrize('name', ['all', 'the steps before', 'none, rows of each'])
def test_sums_of_any_length(name):
    assert_same(structure(sums(name, 5)[0]).graph, *sums(name, 7))
