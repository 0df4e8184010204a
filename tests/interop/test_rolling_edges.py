"""Graphs at the edge of what may be rolled up."""
import json

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure, unrolled
from mxrnn._graph.rolling.numbered_values import Values, has_one_shape, is_random, keeps_states
from mxrnn.interop import graph_from_json

from .. import rnn

from .compare import Evaluated  # noqa: E402  isort: skip
from .models import S, V, over


def cell_by_hand(steps, product, width=None):
    """An RNN of tanh without a cell of mx.rnn; returns its states."""
    data = V('data')
    state, states = V('begin'), []
    weights = {name: V(name + '_weight', shape=(5, 0 if name == 'i2h' else 5))
               for name in ('i2h', 'h2h')}
    for step in S.split(data, num_outputs=steps, axis=1, squeeze_axis=True):
        state = S.tanh(product(step, weights['i2h']) + product(state, weights['h2h']))
        states.append(state)
    return states


def layer(data, weight):
    return S.FullyConnected(data, weight, num_hidden=5, no_bias=True)


@pytest.mark.parametrize('node, message', [
    ({'op': 'elemwise_mul', 'inputs': [[0, 0, 0]]}, 'has 1 inputs, must have at least 2'),
    *[({'op': op, 'inputs': [[0, 0, 0]]}, 'has 1 inputs, must have at least 2') for op in (
        'take', 'pick', 'gather_nd', 'slice_like', '_sample_normal', 'SoftmaxOutput')],
    *[({'op': op, 'inputs': [[0, 0, 0]], 'attrs': attrs}, 'must have at least %d' % least)
      for op, attrs, least in [
          ('Embedding', {'input_dim': '3', 'output_dim': '2'}, 2),
          ('FullyConnected', {'num_hidden': '2'}, 2), ('LayerNorm', {}, 3), ('BatchNorm', {}, 5),
          ('RNN', {'state_size': '2', 'num_layers': '1', 'mode': 'gru'}, 3)]],
    ({'op': 'where', 'inputs': [[0, 0, 0]]}, 'has 1 inputs, must have at least 3'),
    ({'op': '_copy', 'inputs': []}, 'has 0 inputs, must have at least 1'),
    ({'op': 'SliceChannel', 'attrs': {'num_outputs': '2'}, 'inputs': []}, 'at least 1'),
    ({'op': '_sample_multinomial', 'inputs': [[0, 0, 0]] * 2}, 'at most 1')])
def test_nodes_without_their_inputs_are_refused(node, message):
    graph = graph_from_json(json.dumps({
        'nodes': [{'op': 'null', 'name': 'data', 'inputs': []}, {'name': 'out', **node}],
        'arg_nodes': [0], 'heads': [[1, 0, 0]]}))
    assert structure(graph).findings == ()
    with pytest.raises(ValueError, match=message):
        interop.to_torch(interop.Model(graph, {}, {}), {'data': ('batch', 3)})


def test_outputs_that_are_only_read_count():
    """A graph of 1 KB may refer to output 1,000,000 of an operator that nobody knows."""
    nodes = [{'op': 'null', 'name': 'data', 'inputs': []}]
    for i in range(2):
        nodes.append({'op': 'unknown', 'name': 'a%d' % i, 'inputs': [[0, 0, 0]]})
        nodes.append({'op': '_copy', 'name': 'b%d' % i, 'inputs': [[2 * i + 1, 999999, 0]]})
    with pytest.raises(ValueError, match='its nodes have 2000003 outputs'):
        graph_from_json(json.dumps({'nodes': nodes, 'arg_nodes': [0], 'heads': [[4, 0, 0]]}))


def test_unknown_nodes_of_one_input_may_have_other_numbers_of_outputs():
    """Of the first one output is read, of the second another one."""
    entries = iter([(2, 0), (3, 1), (2, 0)])
    nodes = [{'op': op, 'name': name, 'inputs': [[0, 0, 0]] if op != 'null' else []}
             for op, name in (('null', 'v'), ('unknown', 'a'), ('null', 'w'), ('unknown', 'b'))]
    for t, entry in enumerate(entries):
        nodes.append({'op': 'tanh', 'name': 't%d' % t, 'inputs': [[*entry, 0]]})
    graph = graph_from_json(json.dumps({
        'nodes': nodes, 'arg_nodes': [0, 2], 'heads': [[1, 0, 0]] + [[4 + t, 0, 0]
                                                                  for t in range(3)]}))
    values = Values(graph, False)
    assert values.same[values.first[4]] == values.same[values.first[6]]
    assert values.same[values.first[4]] != values.same[values.first[5]]


def test_a_version_that_is_no_number():
    text = json.dumps({'nodes': [{'op': 'null', 'name': 'data', 'inputs': []}], 'arg_nodes': [0],
                       'heads': [[0, 0, 0]], 'attrs': {'mxnet_version': ['int', float('inf')]}})
    assert graph_from_json(text).version == 0


def both_ways(symbol, **shapes):
    """The recurrences of a graph; it gives the same in torch, rolled up or not."""
    graph = graph_from_json(symbol.tojson())
    rng = np.random.RandomState(0)
    arrays = {name: rng.randn(*shape).astype('f') for name, shape in shapes.items()}
    rolled = structure(graph)
    for one, other in zip(*[Evaluated(each, arrays)() for each in (rolled.graph, graph)]):
        assert one.shape == other.shape
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-5, atol=1e-6)
    return [each.kind for each in rolled.findings]


WEIGHTS = dict(i2h_weight=(5, 3), h2h_weight=(5, 5))


@pytest.mark.parametrize('join', [
    lambda states: S.stack(*[S.sum(each) for each in states], axis=0),
    lambda states: S.stack(*[S.sum(each, axis=(0, 1)) for each in states], axis=0),
    lambda states: S.Concat(*[S.mean(each) for each in states], dim=0),
    lambda states: S.Group([S.sum(each) for each in states])])
def test_where_no_axis_is_left_there_is_one(join):
    """MXNet's sum over all axes has one axis."""
    assert both_ways(join(cell_by_hand(4, layer)), data=(2, 4, 3), begin=(2, 5),
                     **WEIGHTS) == ['kernel']


@pytest.mark.parametrize('begin, bias', [((0, 3), None), ((0, 5), (2, 5))])
def test_graphs_that_mxnet_refuses_are_no_operator(begin, bias):
    """torch adds arrays of two shapes: rolled up, they would give other numbers, or an error."""
    weights = {name: V(name) for name in WEIGHTS}
    state, states = V('begin', shape=begin), []
    options = {'no_bias': True} if bias is None else {'bias': V('bias', shape=bias)}
    for step in S.split(V('data'), num_outputs=4, axis=1, squeeze_axis=True):
        state = S.tanh(layer(step, weights['i2h_weight']) + S.FullyConnected(
            state, weights['h2h_weight'], num_hidden=5, **options))
        states.append(state)
    graph = graph_from_json(S.Group(states).tojson())
    assert [each.kind for each in structure(graph).findings] == ['loop']


def test_outputs_of_which_one_is_made_of_another():
    """All are made alike, but the first one is made of what the second one is."""
    states = cell_by_hand(4, layer)
    symbol = S.Group([S.cos(each) for each in (S.cos(states[0]) * 2, *states)])
    assert both_ways(symbol, data=(2, 4, 3), begin=(2, 5), **WEIGHTS) == ['kernel']


def cut(data, begin, end, axis=1):
    return S.slice_axis(data, axis=axis, begin=begin, end=end)


def row(t):
    return S.Reshape(cut(MEMORY, t, t + 1, axis=0), shape=(-1,))


def sums_of_parts(*axes):
    """Sums over three parts of two rows each: of axis 1, which becomes the first one."""
    parts = S.SliceChannel(S.SwapAxis(V('data', shape=(2, 6, 3)), *axes), num_outputs=3, axis=0)
    return [S.sum(each, axis=0) for each in parts]


def variables(*shapes):
    return [V(('data', 'memory', 'more')[at], shape=shape) for at, shape in enumerate(shapes)]


DATA, MEMORY = V('data'), V('memory')
#: What the steps of a cell read, the shapes of `data` and `memory`, and what becomes of the cell.
INPUTS = {
    'behind an operator': (lambda: [S.tanh(each) for each in variables(*[(2, 3)] * 3)],
                           [(2, 3)] * 3, 'kernel'),
    'along the last axis': (lambda: list(S.split(DATA, num_outputs=4, axis=2, squeeze_axis=True)),
                            [(2, 3, 4)], 'kernel'),
    'parts of two splits': (lambda: [S.split(MEMORY if t % 2 else DATA, num_outputs=3, axis=1,
                                             squeeze_axis=True)[t] for t in range(3)],
                            [(2, 3, 3), (2, 3, 3)], 'unrolled'),
    'sums of parts that swapped axes hide': (lambda: sums_of_parts(-3, -2), [(2, 6, 3)], 'kernel'),
    'sums of parts that an axis from each end hides': (
        lambda: sums_of_parts(-3, 1), [(2, 6, 3)], 'kernel'),
    'slices': (lambda: [cut(DATA, t, t + 1) for t in range(3)], [(2, 3, 3)], 'kernel'),
    'slices of several arrays': (lambda: [cut(each, t, t + 1) for t, each in enumerate(
        variables(*[(2, 3, 3)] * 3))], [(2, 3, 3)] * 3, 'unrolled'),
    'slices along two axes': (lambda: [cut(DATA, t, t + 1, 1 + t % 2) for t in range(3)],
                              [(2, 3, 3)], 'unrolled'),
    'slices along one axis and from the end along another one': (
        lambda: [cut(DATA, t, t + 1, 1 - 2 * (t % 2)) for t in range(3)], [(2, 3, 3)], 'unrolled'),
    'slices from the end': (lambda: [cut(DATA, t - 4, t - 3) for t in range(3)], [(2, 4, 3)],
                            'unrolled'),
    'slices to the end': (lambda: [cut(DATA, t, None if t == 2 else t + 1) for t in range(3)],
                          [(2, 3, 3)], 'unrolled'),
    'slices that overlap': (lambda: [cut(DATA, t, t + 2) for t in range(3)], [(2, 4, 3)],
                            'unrolled'),
    'the largest of slices': (lambda: [S.max(cut(DATA, t, t + 1), axis=2, keepdims=True)
                                       for t in range(3)], [(2, 3, 3)], 'kernel'),
    'norms with offsets of their own': (lambda: [S.LayerNorm(DATA, row(0), row(t))
                                                 for t in range(3)], [(2, 3), (3, 3)], 'kernel'),
    'losses of one': (lambda: [S.SoftmaxOutput(DATA, MEMORY) for _ in range(3)],
                      [(2, 3), (2,)], 'kernel'),
}


@pytest.mark.parametrize('name', INPUTS)
def test_what_steps_read(name):
    build, shapes, kind = INPUTS[name]
    weights = {each: V(each) for each in WEIGHTS}
    state, steps = V('begin'), build()
    for step in steps:
        state = S.tanh(layer(step, weights['i2h_weight']) + layer(state, weights['h2h_weight']))
    width = {'slices that overlap': 6, 'the largest of slices': 1}.get(name, 3)
    assert both_ways(state, begin=(2, 5), **dict(zip(('data', 'memory', 'more'), shapes)),
                     i2h_weight=(5, width), h2h_weight=(5, 5)) == [kind]


@pytest.mark.parametrize('op, attrs, expected', [
    ('tanh', {}, (False, False, True)), ('Dropout', {}, (True, False, True)),
    ('LeakyReLU', {'act_type': 'rrelu'}, (True, False, False)),
    ('LeakyReLU', {'act_type': 'elu'}, (False, False, False)),
    ('BatchNorm', {}, (True, True, False)), ('Custom', {}, (True, True, False)),
    ('MakeLoss', {}, (True, False, False)), ('SoftmaxOutput', {}, (True, False, False)),
    ('_random_gamma', {}, (True, False, False)), ('_sample_unknown', {}, (True, False, False)),
    ('SequenceMask', {}, (False, False, False)), ('softmax', {}, (False, False, False)),
    ('_shuffle', {}, (True, False, False)), ('unknown', {}, (False, False, False))])
def test_nodes_of_which_two_may_differ(op, attrs, expected):
    node = interop.Node(op, 'node', attrs, (interop.Entry(0, 0),) * 5)
    assert (is_random(node), keeps_states(node), has_one_shape(node)) == expected


def ones():
    return S.ones_like(MEMORY)


def again(whole, axis, of=2, squeeze_axis=True):
    return S.identity(S.SliceChannel(whole, num_outputs=of, axis=axis,
                                     squeeze_axis=squeeze_axis)[0])


def joined(axis, other):
    return S.Concat(S.expand_dims(DATA, axis=axis), S.expand_dims(MEMORY, axis=other), dim=axis)


#: What is made of `data`, and whether it is `data`: in inference, and in training.
HANDED_ON = {
    'identity': (lambda: S.identity(DATA), True, True),
    'dropout': (lambda: S.Dropout(DATA), True, False),
    'dropout of nothing': (lambda: S.Dropout(DATA, p=0), True, True),
    'dropout at any time': (lambda: S.Dropout(DATA, mode='always'), False, False),
    'stacked': (lambda: again(S.stack(DATA, MEMORY, axis=1), 1), True, True),
    'stacked, another axis': (lambda: again(S.stack(DATA, MEMORY, axis=1), 0), False, False),
    'stacked, other parts': (lambda: again(S.stack(DATA, MEMORY, axis=1), 1, 1), False, False),
    'joined': (lambda: again(joined(1, 1), 1), True, True),
    'joined, another axis': (lambda: again(joined(1, 0), 1), False, False),
    'concatenated': (lambda: again(S.Concat(DATA, MEMORY, dim=1), 1), False, False),
    'times one': (lambda: DATA * ones(), True, False),
    'one of another type': (lambda: DATA * S.cast(ones(), 'float32'), True, False),
    'times nothing': (lambda: DATA * S.zeros_like(MEMORY), False, False),
    'times something': (lambda: DATA * S.cast(MEMORY, 'float32') + 0 * ones(), False, False),
    'where not nothing': (lambda: S.where(S.zeros_like(DATA), MEMORY, DATA), True, False),
    'where one is more': (lambda: S.where(ones() > 0.5, DATA, MEMORY), True, False),
    'where one is as much': (lambda: S.where(ones() > 1, MEMORY, DATA), True, False),
    'where something': (lambda: S.where(MEMORY, DATA, ones()), False, False),
}


@pytest.mark.parametrize('name', HANDED_ON)
def test_what_is_handed_on(name):
    build, *expected = HANDED_ON[name]
    graph = graph_from_json(build().tojson())
    for training, handed in zip((False, True), expected):
        values = Values(graph, training)
        assert (values.node(values.heads[0]).name == 'data') is handed


def test_steps_that_read_values_of_different_kinds_stay_and_say_so():
    """However many do, another recurrence is rolled up."""
    steps = [*S.split(V('data'), num_outputs=3, axis=1, squeeze_axis=True)]
    inputs = [S.tanh(steps[0]), S.relu(steps[1]), V('last')]
    symbol = S.Group([over(rnn.LSTMCell(4, name + '_'), 3, read) for name, read in [
        ('sound', steps), *[('lstm%d' % at, inputs) for at in range(20)]]])
    findings = structure(graph_from_json(symbol.tojson())).findings
    assert sorted(map(str, findings)) == sorted([
        'sound, 3 steps: one operator, lstm', *[
            'lstm%d, 3 steps: stays unrolled, because its steps read values that are computed in '
            'different ways' % at for at in range(20)]])
    said, = unrolled(findings)  # once, not for each
    assert said.startswith('lstm0, lstm1, lstm2, …, 3 steps: stay unrolled, because ')
    assert said.endswith('; inspect lists all 20')


@pytest.mark.parametrize('count', [1, 60, 120])
def test_any_number_of_nodes_may_stand_between_a_state_and_its_product(count):
    state, weight = V('begin'), V('weight')
    for step in S.split(V('data'), num_outputs=3, axis=1, squeeze_axis=True):
        for _ in range(count):
            state = S.tanh(state * .9)
        state = layer(S.concat(state, step), weight)
    assert both_ways(state, data=(2, 3, 3), begin=(2, 5), weight=(5, 8)) == ['loop']


def test_long_work_is_given_up():
    """A graph that no program has: each of its weights is used at both of its ends."""
    data, count = V('data'), 800
    weights = [V('w%d' % i) for i in range(count)]
    for weight in weights + weights:
        data = S.FullyConnected(data, weight=weight, no_bias=True, num_hidden=2)
    graph = graph_from_json(data.tojson())
    rolled = structure(graph)
    assert rolled.graph is graph
    assert [str(each) for each in rolled.findings] == [
        'the graph: stays unrolled, because looking at all of it would take too long']


def rows_of_sequences(axes):
    """One after another, the rows of what a kernel returns."""
    outputs = rnn.FusedRNNCell(4, 1, 'lstm', prefix='').unroll(
        3, V('data', shape=(3, 3, 2)), layout='TNC')[0]
    return S.stack(*S.split(S.SwapAxis(outputs, *axes), num_outputs=3, axis=0, squeeze_axis=True),
                   axis=0)


@pytest.mark.parametrize('axes', [(0, 1), (-3, -2), (-3, 1)])
def test_swapped_axes_counted_from_the_end(axes):
    graph = graph_from_json(rows_of_sequences(axes).tojson())
    assert structure(graph) == (graph, ())
