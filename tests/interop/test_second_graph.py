"""Laws of numbers, proven by the graph of another length (`--certify`)."""
import math

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure
from mxrnn._graph.rolling.second_graph import NoLaw, laws, sizes_in_both, with_laws
from mxrnn._graph.shapes.ties import find_ties
from mxrnn.interop import graph_from_json, graph_to_json
from mxrnn.interop.prepare import prepare

from .. import mx, rnn
from .compare import bind
from .models import S, V, over, random_model, rows
from .programs import characters_and_words
from .test_programs_leave import model_of

FIRST, SECOND, THIRD = 23, 11, 17


def part(x, begin, end, axis=1):
    return S.slice_axis(x, axis=axis, begin=begin, end=end)


def one_step(x):
    return S.mean(x, axis=1, keepdims=True)


def scores(x):
    return S.FullyConnected(S.Reshape(x, shape=(-1, 4)), num_hidden=5, name='fc')


def attention(x, steps):
    """Each step beside all steps, in the body of a loop, which no cell unrolls."""
    def body(step, states):
        beside = S.broadcast_mul(S.broadcast_axis(S.expand_dims(step, 1), axis=1, size=steps), x)
        weights = S.softmax(S.sum(beside, axis=2) / math.sqrt(steps))
        state = states[0] + S.sum(S.broadcast_mul(S.expand_dims(weights, 2), x), axis=1) / steps
        return state, [state]
    return S.contrib.foreach(body, S.SwapAxis(x, dim1=0, dim2=1), [S.mean(x, axis=1)])[0]


#: What programs do with rows (batch, steps, 4), and the laws that are found, by name.
HEADS = {
    'nothing': (lambda x, T: x, []),
    'without six': (lambda x, T: part(x, 6, T), ['None']),
    'all but two': (lambda x, T: part(x, 0, T - 2), ['-2']),
    'the last six': (lambda x, T: part(x, T - 6, None), ['-6']),
    'in the middle': (lambda x, T: S.slice(x, begin=(None, 2), end=(None, T - 3)), ['(None, -3)']),
    'a third': (lambda x, T: part(x, 0, T // 3), ['T//3']),
    'two axes': (lambda x, T: S.slice(S.batch_dot(x, x, transpose_b=True), begin=(
        None, 0, T - 6), end=(None, T // 3, T - 2)), ['(None, 0, -6)', '(None, T//3, -2)']),
    'a half of halves': (lambda x, T: part(part(x, 0, T // 2), 0, T // 4), ['T//2', 'T//4']),
    'rounded up': (lambda x, T: part(x, 0, (T + 1) // 2), ['ceil(T/2)']),
    'mean by hand': (lambda x, T: S.sum(x, axis=1) * (1 / T), ['1/T']),
    'quotient': (lambda x, T: S.sum(x, axis=1) / T, ['T']),
    'a constant': (lambda x, T: S.sum(x, axis=1) * .1, []),
    'all elements': (lambda x, T: S.sum(x, axis=(1, 2)) / (T * 4), ['4*T']),
    'before the sum': (lambda x, T: S.sum(x * (1 / T), axis=1), ['1/T']),
    'half': (lambda x, T: S.sum(x, axis=1) * (.5 / T), ['0.5/T']),
    'one less': (lambda x, T: S.sum(x, axis=1) * (1 / (T - 1)), ['1/(T-1)']),
    'root': (lambda x, T: S.softmax(S.sum(x, axis=2) / T ** .5), ['sqrt(T)']),
    'inverse root': (lambda x, T: S.softmax(S.sum(x, axis=2) * T ** -.5), ['1/sqrt(T)']),
    'logarithm': (lambda x, T: S.sum(x, axis=1) / math.log(T), ['log(T)']),
    'count down': (lambda x, T: T - x, ['T']),
    'power': (lambda x, T: T ** x, ['T']),
    'at most': (lambda x, T: S.minimum(x, 1 / T), ['1/T']),
    'apart again': (lambda x, T: S.Reshape(scores(x), shape=(-1, T, 5)), ['(-1, T, 5)']),
    'apart, steps first': (lambda x, T: S.Reshape(scores(S.SwapAxis(x, dim1=0, dim2=1)), shape=(
        T, -1, 5)), ['(T, -1, 5)']),
    'split off': (lambda x, T: S.Reshape(scores(x), shape=(-4, -1, T, 0)), ['(-4, -1, T, 0)']),
    'heads': (lambda x, T: S.Reshape(S.SwapAxis(x, dim1=1, dim2=2), shape=(-1, 2, 2, T)),
              ['(-1, 2, 2, T)']),
    'places': (lambda x, T: S.broadcast_add(x, S.Reshape(S.arange(T) / T, shape=(1, T, 1))),
               ['T', 'T', '(1, T, 1)']),
    'copies': (lambda x, T: S.broadcast_axis(one_step(x), axis=1, size=T), ['T']),
    'tiles': (lambda x, T: S.tile(one_step(x), reps=(1, T - 1, 1)), ['(1, (T-1), 1)']),
    'value': (lambda x, T: S.broadcast_add(x, S.full((1, 1, 1), T - 1)), ['(T-1)']),
    'the last place': (lambda x, T: S.take(x, S.full((1,), T - 1), axis=1), ['(T-1)']),
    'constant places': (lambda x, T: S.take(x, S.arange(2, 4), axis=1), []),
    'one window': (lambda x, T: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(T,), pool_type='avg'),
                   ['(T)']),
    'constant window': (lambda x, T: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(5,), pad=(3,),
                                              pool_type='max'), []),
    'constant rows': (lambda x, T: S.Pad(S.expand_dims(x, 1), mode='constant', pad_width=(
        0, 0, 0, 0, 3, 6, 0, 0)), []),
    'every second step': (lambda x, T: S.slice(x, begin=(None, 0), end=(None, T), step=(None, 2)),
                          ['(None, None)']),
    'in a loop': (attention, ['T', 'sqrt(T)', 'T']),
}


def graphs(build, lengths, fused=False):
    """A program for several lengths: Symbols, and graphs rolled up."""
    symbols = []
    for steps in lengths:
        with mx.name.NameManager():
            symbols.append(build(rows(steps, fused), steps))
    return symbols, [structure(graph_from_json(symbol.tojson())).graph for symbol in symbols]


def shapes_of(symbol, **inputs):
    """The shapes of all variables, with names for the open axes of inputs."""
    numbers = {'batch': 2, 'time': FIRST, 'width': 3, 'memory_time': 6, 'more_time': FIRST}
    found, _, _ = symbol.infer_shape(**{
        name: tuple(numbers.get(size, size) for size in shape) for name, shape in inputs.items()})
    return {**dict(zip(symbol.list_arguments(), found)), **inputs}


DATA = {'data': ('batch', 'time', 3)}


def told(laws_found):
    """The values of attributes that differ, as texts."""
    def text(value):
        return '(%s)' % ', '.join(map(text, value)) if isinstance(value, tuple) else str(value)
    return [text(value) for values in laws_found.numbers.values() for value in values.values()]


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('name', HEADS)
def test_laws_hold_at_a_third_length(name, fused):
    build, wanted = HEADS[name]
    (symbol, _, longer), (first, second, _) = graphs(build, (FIRST, SECOND, THIRD), fused)
    shapes = shapes_of(symbol, **DATA)
    sizes = sizes_in_both(first, second, shapes, ['data'], {'time': FIRST} if fused else {})
    assert sizes == {'time': (FIRST, SECOND)} or fused and sizes['time'][1] == 0  # nothing differs
    found = laws(first, second, shapes, {'time': (FIRST, SECOND)})
    assert told(found) == wanted
    graph = with_laws(found)
    assert not find_ties(graph, shapes, ['data']).of('time')
    ours = S.load_json(graph_to_json(graph))
    for batch in (1, 5):
        shapes['data'] = batch, THIRD, 3
        for one, other in zip(bind(longer, shapes).outputs, bind(ours, shapes).outputs):
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= 1e-5 * max(1, np.abs(one).max())


def certified(build, lengths=(FIRST, SECOND), fused=False, inputs=None):
    (symbol, _), (first, second) = graphs(build, lengths, fused)
    shapes = shapes_of(symbol, **(inputs or {'data': ('batch', lengths[0], 3)}))
    shapes = {**shapes, **(inputs or DATA)}
    return shapes, with_laws(laws(first, second, shapes, sizes_in_both(
        first, second, shapes, [*(inputs or DATA)])))


def dense(x, units):
    return S.FullyConnected(x, num_hidden=units, name='fc')


@pytest.mark.parametrize('build, why', [
    (lambda x, T: rows(T, units=4 + (T == SECOND)),
     'these weights do not fit to the second: node f_ '),
    (lambda x, T: S.tanh(x) if T == SECOND else S.relu(x),
     r'the first has relu0 \(relu\) where the second has tanh0 \(tanh\)'),
    (lambda x, T: S.add_n(*[x] * (3 - (T == SECOND))),
     r'\(add_n, num_args=3, 3 inputs\) .*2 inputs'),
    (lambda x, T: S.tanh(x) if T == SECOND else x,
     r'the first has concat0 \(_copy\) where .*tanh0'),
    (lambda x, T: S.broadcast_add(x, V('bias_%d' % T, shape=(1, 1, 4))),
     r'the first has bias_23 \(a variable.*\) where the second has bias_11 \(a variable'),
    (lambda x, T: S.sum(x, axis=1) / T ** 2, '529.* and 121.* no law makes both'),
    (lambda x, T: part(x, 0, 30 - T), '7 and 19 .*no law'),
    (lambda x, T: dense(S.sum(x, axis=1), T), 'these weights do not fit to the second: node fc'),
    (lambda x, T: dense(S.Reshape(x, shape=(0, -1)), 5), 'these weights do not fit to the second'),
    (lambda x, T: S.Pad(S.expand_dims(x, 1), mode='constant', pad_width=(0, 0, 0, 0, T, 0, 0, 0)),
     r'pad0 \(Pad, pad_width=.* cannot read the size when it runs'),
    (lambda x, T: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(T // 2,), pool_type='max'),
     r'Pooling, kernel=\(11,\).* cannot read the size'),
    (lambda x, T: part(x, T // 3, T // 2), 'cannot read the size'),
    (lambda x, T: S.mean(x, axis=1) * (T / (T - 1)), 'no law makes both'),
    (lambda x, T: S.Reshape(part(x, 0, T // 2), shape=(-1, T // 2, 2, 2)),
     r'Reshape, shape=\(-1, 11, 2, 2\).* cannot read the size'),
    (lambda x, T: S.repeat(one_step(x), repeats=2 * T, axis=1),
     r'repeat, repeats=46.* cannot read the size'),
    (lambda x, T: S.concat(x, S.broadcast_mul(S.ones((1, T + 2, 1)), one_step(x)), dim=1),
     r'_ones, shape=\(1, 25, 1\).* cannot read the size'),
    (lambda x, T: S.topk(x, axis=1, k=T // 2, ret_typ='value'),
     r'topk, k=11.* cannot read the size'),
    (lambda x, T: S.slice(x, begin=(None, 0), end=(None, T), step=(None, T - 2)),
     'cannot read the size'),  # a stride is counted from no end
])
def test_what_has_no_law_is_refused_with_the_first_pair(build, why):
    with pytest.raises(NoLaw, match=why):
        certified(build)


def test_an_axis_of_one_size_in_both_graphs_is_a_number():
    """It was left open: 'these weights do not fit to the first graph: ... width, ... any size'."""
    shapes, graph = certified(lambda x, T: part(x, T - 3, T), inputs={
        'data': ('batch', 'time', 'width')})
    assert not find_ties(graph, shapes, ['data']).of('time')


TELL_THEIRS = 'another number of steps, and both must tell theirs: '


@pytest.mark.parametrize('build, lengths, fused, why', [
    (lambda x, T: part(x, 0, T // 2), (12, 8), False, r'6 and 4 .*T//2 \(T is time\) or ceil\(T/2\)'
     r' \(T is time\). Give a graph of a length at which these differ'),
    (lambda x, T: x, (7, 7), False,
     TELL_THEIRS + 'time is 7 in the first graph, 7 in the second$'),
    (lambda x, T: x, (7, 9), True, TELL_THEIRS + 'neither does. Give the number of steps of the '
     'first graph in place of …: --input data=batch,time:…,')])
def test_graphs_of_lengths_that_decide_nothing_are_refused(build, lengths, fused, why):
    with pytest.raises(NoLaw, match=why):
        certified(build, lengths, fused)


@pytest.mark.parametrize('build, needs', [
    (lambda x: S.sum(x, axis=1) / (2 * FIRST), 'may decide it'),
    (lambda x: part(x, 0, 6),
     'may decide it if the numbers of slice_axis0 (slice_axis) are the same there'),
    (lambda x: S.broadcast_add(part(x, 0, 9), S.broadcast_axis(one_step(x), axis=1, size=9)),
     'may decide it if the numbers of slice_axis0 (slice_axis) are the same there'),
    (lambda x: S.broadcast_add(S.concat(x, x, dim=1), S.repeat(
        one_step(x), repeats=2 * FIRST, axis=1)), ''),
    (characters_and_words, '')])
def test_a_line_names_what_a_second_graph_needs_where_it_may_decide(build, needs):
    if build is characters_and_words:
        _, model = model_of('characters_and_words')
    else:
        with mx.name.NameManager():
            model = random_model(build(rows(FIRST)), {'data': (2, FIRST, 3)})
    (text,) = [text for _, text in prepare(model).lines if text != 'any']
    assert text.partition('--certify OTHER-symbol.json ')[2] == needs


def test_a_number_that_is_half_of_both_stays_a_tie():
    """Half of 13 and of 12 steps, or six of any number."""
    for lengths, ties in (((13, 12), 1), ((13, 9), 0)):
        shapes, graph = certified(lambda x, T: part(x, 0, 6), lengths)
        assert len(find_ties(graph, shapes, ['data']).of('time')) == ties


@pytest.mark.parametrize('build, lengths, laws', [
    (lambda x, T: part(x, 0, T - 6), (13, 12), 'T-6 .* or ceil.T/2.'),
    (lambda x, T: part(x, 0, T // 3), (11, 12), 'T-8 .* or T//3')])
def test_an_end_of_several_laws_is_refused(build, lengths, laws):
    with pytest.raises(NoLaw, match=laws):
        certified(build, lengths)
    shapes, graph = certified(build, (11, 24))
    assert not find_ties(graph, shapes, ['data']).of('time')


def test_the_numbers_of_another_axis_are_not_proven():
    def build(x, steps):
        return S.Group([part(x, 0, steps // 3),
                        part(over(rnn.LSTMCell(4, 'g_'), 6, 'memory'), 0, 4)])
    inputs = {**DATA, 'memory': ('batch', 'memory_time', 3)}
    shapes, graph = certified(build, inputs=inputs)
    found = find_ties(graph, shapes, [*inputs])
    assert not found.of('time')
    assert [tie.numbers for tie in found.of('memory_time')] == [(4,)]


def test_a_number_of_two_axes_is_refused():
    def build(x, steps):
        return S.sum(x, axis=1) * (1 / steps) + S.sum(over(rnn.LSTMCell(4, 'g_'), steps, 'other'),
                                                      axis=1)
    with pytest.raises(NoLaw, match=r'1/T \(T is more_time\) or 1/T \(T is time\)'):
        certified(build, inputs={**DATA, 'other': ('batch', 'more_time', 3)})


def test_a_gradient_that_is_scaled_stays_a_tie_of_losses():
    def build(x, steps):
        return S.LinearRegressionOutput(x, V('label'), grad_scale=1 / steps, name='loss')
    shapes, graph = certified(build)
    for losses in (False, True):
        assert bool(find_ties(graph, shapes, ['data'], losses).of('time')) is losses


def test_a_file_that_stays_tied_is_not_run_at_the_other_length():
    """The check ran the other graph at the length of the first, and gave up."""
    def build(steps):
        with mx.name.NameManager():
            return S.LinearRegressionOutput(rows(steps), V('label'), grad_scale=1 / steps)
    model = random_model(build(FIRST), {'data': (2, FIRST, 3)})
    other = graph_from_json(build(SECOND).tojson())
    for training in (False, True):
        plan = prepare(model, certify_by=other, training=training)
        assert plan.shapes['data'] == ('batch', FIRST if training else 'time', 3)
        assert (plan.certified is None) is training


def test_weights_of_a_certified_source_are_taken_back(tmp_path):
    pytest.importorskip('torch')

    def build(steps):
        with mx.name.NameManager():
            return S.sum(over(rnn.LSTMCell(4, 'l_'), steps), axis=1) * (3 / steps)
    model = random_model(build(12), {'data': (2, 12, 3)})
    asked = {'inputs': {'data': ('batch', 'time', 3)}, 'types': {'data': 'float64'},
             'outputs': model.graph.outputs, 'certify_by': graph_from_json(build(20).tojson())}
    interop.to_source(model, tmp_path / 'a.py', check=False, **asked)
    again = interop.from_source(tmp_path / 'a.pt', model, **asked)
    for name, value in model.arg_params.items():
        np.testing.assert_array_equal(again.arg_params[name], value)
