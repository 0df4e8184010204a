"""The rule of lengths: which numbers tie an open axis, and which do not."""
import functools
import math
import operator

import pytest

from mxrnn._graph.rolling import structure
from mxrnn._graph.shapes.verdicts import judged
from mxrnn.interop import ExportError
from mxrnn.interop.prepare import prepare

from .. import mx, rnn
from . import models
from .models import V, over, rows

S, T = mx.sym, 12


def mean(values, by):
    return S.sum(values, axis=1) * by


#: Heads over rows (batch, T, 4), by name; whether they leave the steps open.
HEADS = {
    'nothing': (lambda x: x, True),
    'all but the last': (lambda x: S.slice_axis(x, axis=1, begin=0, end=T - 1), True),
    'without six': (lambda x: S.slice_axis(x, axis=1, begin=6, end=T), False),
    'every second step': (lambda x: S.slice(x, begin=(None, 0), end=(None, T), step=(None, 2)),
                          False),
    'mean by hand': (lambda x: mean(x, 1 / T), False),
    'sum times a constant': (lambda x: mean(x, .1), False),
    'mean of scaled steps': (lambda x: S.mean(x / (T - 1), axis=1), False),
    'mean of steps by a constant': (lambda x: S.mean(x * .125, axis=1), False),
    'sum over units too': (lambda x: S.sum(x, axis=(1, 2)) / 4, True),
    'scaled by sqrt(units)': (lambda x: S.softmax(S.sum(x, axis=2) / 2), True),
    'epsilon beside a sum': (lambda x: S.sum(x, axis=1) + 1e-5, True),
    'pixels': (lambda x: x / 255, True),
    'a rounded factor': (lambda x: x * .7, True),
    'a rounded bound': (lambda x: S.clip(x, -.1, .1), True),
    'a rounded temperature': (lambda x: S.softmax(x, temperature=.1), True),
    'a constant more': (lambda x: x + 5, True),
    'a threshold': (lambda x: x > .05, True),
    'a square': (lambda x: S.sum(x ** 2, axis=1), True),
    'a half of a sum': (lambda x: S.sum(x, axis=1) * .5, True),
    'what is left of one': (lambda x: 1 - S.mean(x, axis=1), True),
    'largest': (lambda x: S.max(x, axis=1), True),
    'halves as rows': (lambda x: S.Reshape(x, shape=(-1, T // 2, 4)), False),
    'pairs': (lambda x: S.Reshape(x, shape=(0, -1, 8)), True),
    'a window over all steps': (lambda x: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(T,),
                                                   pool_type='max'), False),
    'a window of three': (lambda x: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(3,),
                                             pool_type='max'), True),
    'places': (lambda x: S.broadcast_add(x, S.Reshape(S.arange(T), shape=(1, T, 1))), False),
    'as many copies': (lambda x: S.broadcast_axis(S.expand_dims(S.mean(x, axis=1), axis=1), axis=1,
                                                  size=T), False),
    'constant places': (lambda x: S.take(x, S.arange(2, 4), axis=1), False),
    'padded by one': (lambda x: S.Pad(S.expand_dims(x, 1), mode='constant', pad_width=(
        0, 0, 0, 0, 1, 1, 0, 0)), True),
    'differences': (lambda x: S.slice_axis(x, axis=1, begin=1, end=T)
                    - S.slice_axis(x, axis=1, begin=0, end=T - 1), True),
    'a layer of a sum': (lambda x: S.FullyConnected(
        S.sum(x, axis=1), num_hidden=3, name='fc') * (2 / T), False),
    'joined sums': (lambda x: S.concat(S.sum(x, axis=1), S.max(x, axis=1)) * (2 / T), False),
    'a part of a sum': (lambda x: S.slice(
        S.sum(x, axis=1), begin=(None, 0), end=(None, 3)) * (3 / T), False),
    'a sum, looked up': (lambda x: S.take(S.sum(x, axis=1), S.zeros(2), axis=1) * (3 / T), False),
    'a sum, repeated': (lambda x: S.tile(S.sum(x, axis=1), reps=(1, 2)) * (3 / T), False),
    'a chosen sum': (lambda x: S.where(x > 0, *[S.sum(x, axis=1, keepdims=True).broadcast_like(
        x)] * 2) * (3 / T), False),
    'a sum over paths': (lambda x: S.CTCLoss(S.transpose(x, (1, 0, 2)), S.slice_axis(
        S.argmax(x, axis=2), axis=1, begin=0, end=1)) / 10, False),
    'a window over any steps': (lambda x: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(1,),
        global_pool=True, pool_type='sum') / 10, False),
    'a sum of zeros': (lambda x: S.sum(S.zeros_like(x), axis=1) * .1, True),
    'place of the largest': (lambda x: S.argmax(x, axis=1) > T // 2, False),
    'second place': (lambda x: S.argmax(x, axis=1) > 2, False),
    'first place': (lambda x: S.argmax(x, axis=1) > 0, True),
    'a temperature': (lambda x: S.softmax(x, temperature=T), False),
    'a temperature over steps': (lambda x: S.softmax(x, axis=1, temperature=T), False),
    'a value': (lambda x: S.broadcast_mul(S.sum(x, axis=1), S.full((1, 1), 1 / T)), False),
    'a bound': (lambda x: S.clip(x, 0, T), False),
    'copies joined': (lambda x: S.concat(*[S.max(x, axis=1, keepdims=True)] * T, dim=1), False),
    'as many values joined': (lambda x: S.concat(*[
        S.max(x * (.3 + at), axis=1, keepdims=True) for at in range(T)], dim=1), True),
    'copies made anew': (lambda x: S.concat(*[
        S.max(x, axis=1, keepdims=True) for _ in range(T)], dim=1), False),
    'a cube': (lambda x: x * x * x, True),
    'copies added': (lambda x: S.add_n(*[S.max(x, axis=1)] * T), False),
    'a sum of copies': (lambda x: sum([S.max(x, axis=1)] * T), False),
    'a sum of copies beside a value': (lambda x: sum([S.max(x, axis=1)] * (T - 1),
                                                     S.min(x, axis=1)), False),
    'a sum of five copies': (lambda x: sum([S.max(x, axis=1)] * 5), True),
    'a power by hand': (lambda x: functools.reduce(operator.mul, [S.max(x, axis=1)] * T), False),
    'repeated': (lambda x: functools.reduce(lambda each, _: S.tanh(each), range(T), x), False),
    'rounds': (lambda x: functools.reduce(lambda y, _: S.tanh(y * .9 + x), range(T), x), False),
    'rounds with an operator twice': (lambda x: functools.reduce(
        lambda y, _: S.tanh(S.tanh(y) * .9 + x), range(T), x), False),
    'rounds that read a value twice': (lambda x: functools.reduce(
        lambda y, _: y * S.sigmoid(y) + x, range(T - 1), x), False),
    'five rounds': (lambda x: functools.reduce(lambda y, _: S.tanh(y * .9 + x), range(5), x), True),
    'as many layers': (lambda x: functools.reduce(lambda y, at: S.tanh(S.FullyConnected(
        y, num_hidden=5, flatten=False, name='layer%d' % at)), range(T), x), True),
    'a place as a row': (lambda x: S.one_hot(S.argmax(S.sum(x, axis=2), axis=1), depth=T), False),
    'classes': (lambda x: S.FullyConnected(S.one_hot(
        S.argmax(x, axis=2), depth=T), num_hidden=3, flatten=False, name='classes'), True),
    'a pad': (lambda x: S.Pad(S.max(x, axis=1).reshape((0, 1, 1, -1)), mode='constant', pad_width=(
        0, 0, 0, 0, 0, T - 1, 0, 0)), False),
    'a mask of its own': (lambda x: S.broadcast_add(S.max(x, axis=1, keepdims=True), S.max(
        S.eye(T), axis=0).reshape((1, -1, 1))), False),
    'a sum of ones': (lambda x: S.broadcast_mul(
        S.sum(x, axis=1), S.sum(S.ones((1, T)), axis=1, keepdims=True)), False),
    'copies but one': (lambda x: S.repeat(S.max(x, axis=1, keepdims=True), T - 1, axis=1), False),
    'a logarithm': (lambda x: x * math.log(T), False),
    'a slope': (lambda x: S.LeakyReLU(x, slope=1 / T), False),
    'a slope of its own': (lambda x: S.LeakyReLU(x, slope=.1), True),
    'a width': (lambda x: S.smooth_l1(x, scalar=T), False),
    'a steepness': (lambda x: S.hard_sigmoid(x, alpha=1 / T), False),
    'a scaled product': (lambda x: S.linalg_gemm2(x, x, transpose_b=True, alpha=T ** -.5), False),
    'dropout': (lambda x: S.Dropout(x, p=1 / T), True),
    'a bound of a sum': (lambda x: S.clip(S.sum(x, axis=1), 0, T / 3), False),
    'a value beside a sum': (lambda x: S.broadcast_mul(
        S.sum(x, axis=1), S.full((1, 1), 1 / (2 * T))), False),
    'a scaled constant beside a sum': (lambda x: S.broadcast_minimum(
        S.sum(x, axis=1), S.ones((1, 1)) * (T / 3)), False),
    'chances of a class': (lambda x: S.clip(S.sigmoid(S.FullyConnected(
        S.mean(x, axis=1), num_hidden=1, name='fc')), 1e-7, 1 - 1e-7), True),
    'a constant elsewhere': (lambda x: S.broadcast_mul(x, S.ones((1, 1, 1)) * .3), True),
    'a decoder of two more steps': (lambda x: over(rnn.LSTMCell(4, 'd_'), T + 2,
                                                   [S.max(x, axis=1)] * (T + 2)), False),
    'a decoder of a third': (lambda x: over(rnn.LSTMCell(4, 'd_'), T // 3,
                                            [S.max(x, axis=1)] * (T // 3)), False),
    'a decoder of its own steps': (lambda x: over(rnn.LSTMCell(4, 'd_'), 5, [S.max(x, axis=1)] * 5),
                                   True),
}
#: Those of which nothing tells that their numbers are fused steps; 144 weights excuse a 12th.
COUNTED = ('as many copies', 'a temperature', 'a bound', 'copies joined', 'copies added',
           'copies made anew', 'a place as a row', 'a pad', 'a mask of its own', 'a sum of ones',
           'copies but one', 'a slope', 'a width', 'a steepness')


#: Heads over the list of T steps, by name; whether they leave the steps open.
HEADS_OF_LISTS = {
    "Python's sum": (lambda o: sum(o), True),
    "Python's mean": (lambda o: sum(o) / T, False),
    'mean from the first step on': (lambda o: sum(o[1:], o[0]) / T, False),
    'sum times the inverse': (lambda o: sum(o) * (1 / T), False),
    'sum of scaled steps': (lambda o: sum(each / T for each in o), False),
    'sum of halved steps': (lambda o: sum(each / 2 for each in o), True),
    'sum of steps beside a value': (lambda o: sum(o, S.zeros_like(o[0])), True),
    'mean of steps beside a value': (lambda o: sum(o, S.zeros_like(o[0])) / T, False),
    'sum of half the steps': (lambda o: sum(o[T // 2:]), False),
    'add_n': (lambda o: S.add_n(*o), True),
    'add_n / T': (lambda o: S.add_n(*o) / T, False),
}


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('name', HEADS_OF_LISTS)
def test_a_sum_of_all_steps_is_one_over_their_axis(name, fused):
    build, free = HEADS_OF_LISTS[name]
    steps = S.SliceChannel(rows(T, fused), num_outputs=T, axis=1, squeeze_axis=True)
    time = verdict_of(build([*steps])).axes['time']
    assert not time.ties if free else time.ties


def verdict_of(symbol, losses=False, shapes=None, steps=T, told=None):
    shapes = shapes or {'data': ('batch', 'time', 3)}
    numbers = {'batch': 3, 'time': steps}
    model = models.random_model(symbol, {
        name: tuple(numbers.get(size, size) for size in shape) for name, shape in shapes.items()})
    params = {name: array.shape for name, array in {**model.arg_params, **model.aux_params}.items()}
    return judged(structure(model.graph).graph, params, shapes, losses, told or {})


@pytest.mark.parametrize('name', HEADS)
def test_a_number_ties_the_steps_unless_it_is_the_same_at_every_length(name):
    build, free = HEADS[name]
    verdict = verdict_of(build(rows(T)))
    assert not verdict.axes['batch'].ties
    assert verdict.axes['time'].sizes == (T,)
    assert bool(verdict.axes['time'].ties) is not free


@pytest.mark.parametrize('name', [
    name for name, (_, free) in HEADS.items() if not free or name in (
        'nothing', 'largest', 'pixels', 'a rounded factor', 'a rounded bound',
        'a rounded temperature', 'a constant more', 'a threshold')])
def test_a_number_that_fused_steps_do_not_tell_ties_them_too(name):
    build, free = HEADS[name]
    tied = verdict_of(build(rows(T, fused=True))).axes['time']
    assert bool(tied.ties) is (not free and name not in COUNTED)


@pytest.mark.parametrize('head, least', [
    (lambda x: S.slice_axis(x, axis=1, begin=0, end=1), 6),
    (lambda x: S.concat(x, S.zeros((0, 1, 4)), dim=1), 6),
    (lambda x: S.sum(x, axis=1) * 2, 9), (lambda x: S.sum(x / 2, axis=1), 9),
    (lambda x: x * 2, 6), (lambda x: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(2,)), 9)])
def test_a_third_of_few_steps_is_no_constant(head, least):
    assert verdict_of(head(rows(least - 1)), steps=least - 1).axes['time'].ties
    assert not verdict_of(head(rows(least)), steps=least).axes['time'].ties


@pytest.mark.parametrize('of', [lambda x: T - x, lambda x: x / T, lambda x: x * T ** -.5])
def test_the_number_of_steps_ties_them_in_what_has_no_steps_too(of):
    lengths = S.Reshape(V('lengths'), shape=(-1, 1))
    verdict = verdict_of(S.broadcast_mul(S.max(rows(T), axis=1), of(lengths)), shapes={
        'data': ('batch', 'time', 3), 'lengths': ('batch',)})
    assert verdict.axes['time'].ties and not verdict.axes['batch'].ties


def test_steps_that_are_made_of_two_axes_are_told_for_both():
    """Columns of an image, as many as it is long times as they are wide."""
    image = S.Convolution(S.expand_dims(V('data') / T, axis=1), kernel=(3, 3), pad=(1, 0),
                          num_filter=4, name='conv')
    columns = S.transpose(S.Reshape(image, shape=(0, 0, -1)), axes=(0, 2, 1))
    model = models.random_model(over(rnn.LSTMCell(4, 'f_'), T, columns), {'data': (3, T, 3)})
    params = {name: array.shape for name, array in model.arg_params.items()}
    axes = judged(structure(model.graph).graph, params, {'data': ('batch', 'time', 'width')}).axes
    assert axes['time'].ties and axes['width'].ties and not axes['batch'].ties


def test_steps_that_nothing_reads_are_counted_from_no_end():
    outputs, _ = rnn.LSTMCell(4, 'f_').unroll(T, V('data'), merge_outputs=False)
    model = models.random_model(outputs[7], {'data': (3, T, 3)})
    with pytest.raises(ExportError, match='takes 0:8 of it'):
        prepare(model, {'data': ('batch', 'time:%d' % T, 3)})


def test_as_many_units_as_steps_excuse_no_factor():
    verdict = verdict_of(S.sum(rows(T, units=T), axis=(1, 2)) / T)
    assert verdict.axes['time'].ties


def test_a_tie_names_the_node_that_made_the_number():
    places = S.Reshape(S.arange(T, name='numbers'), shape=(1, -1, 1), name='places')
    verdict = verdict_of(S.broadcast_add(rows(T), places))
    reason = '12, since numbers (_arange) has 12'
    assert dict(verdict.lines()) == {'batch': 'any', 'time': reason}
    tie, = verdict.axes['time'].ties
    more = tie._replace(node=tie.node._replace(name='others'))
    assert str(verdict.axes['time']._replace(ties=(tie, more))) == (
        reason + ', and so does 1 more node')


@pytest.mark.parametrize('fused', [False, True])
def test_a_factor_beside_a_sum_of_cross_entropies_ties_rows_and_steps(fused):
    scores = S.Reshape(rows(T, fused), shape=(-1, 4))
    axes = verdict_of(S.softmax_cross_entropy(scores, S.argmax(scores, axis=1)) / 10).axes
    assert axes['batch'].ties and axes['time'].ties


def test_a_node_that_states_as_many_steps_as_units_is_named():
    """The Reshape without the first step, and not the begin state, which has as many units."""
    steps, _ = rnn.LSTMCell(T, 'f_').unroll(T, V('data'), merge_outputs=False)
    verdict = verdict_of(S.mean(S.stack(*steps[1:], axis=1), axis=1))
    assert {tie.node.op for tie in verdict.axes['time'].ties} == {'Reshape'}


def test_the_batch_is_judged_beside_a_number_of_steps():
    flat = S.Reshape(rows(T), shape=(-1, T * 4))
    axes = verdict_of(S.FullyConnected(flat, num_hidden=3, name='fc')).axes
    assert not axes['batch'].ties
    assert axes['time'].sizes == (T,)


def test_the_scale_of_a_loss_ties_only_its_gradients():
    scores = S.FullyConnected(S.Reshape(rows(T), shape=(-1, 4)), num_hidden=5, name='fc')
    loss = S.SoftmaxOutput(scores, V('label'), grad_scale=1 / T, name='softmax')
    shapes = {'data': ('batch', 'time', 3)}
    model = models.random_model(loss, {'data': (3, T, 3), 'label': (3 * T,)})
    params = {name: array.shape for name, array in model.arg_params.items()}
    for losses in (False, True):
        verdict = judged(structure(model.graph).graph, params, shapes, losses)
        assert bool(verdict.axes['time'].ties) is losses


def test_what_fuse_checks_and_bounds_by_itself_is_no_tie():
    lengths = V('lengths')
    fast = rnn.fuse(rnn.LSTMCell(4, 'f_'))
    verdict = verdict_of(over(fast, T, valid_length=lengths),
                         shapes={'data': ('batch', 'time', 3), 'lengths': ('batch',)})
    assert [axis.ties for axis in verdict.axes.values()] == [(), ()]
    assert not verdict_of(over(fast, None), told={'time': 3}).axes['time'].ties


@pytest.mark.parametrize('fused', [False, True])
def test_lengths_bounded_by_a_number_tie_the_steps(fused):
    cell = rnn.FusedRNNCell(4, mode='lstm', prefix='f_') if fused else rnn.LSTMCell(4, 'f_')
    verdict = verdict_of(over(cell, T, valid_length=V('lengths')),
                         shapes={'data': ('batch', 'time', 3), 'lengths': ('batch',)})
    assert verdict.axes['time'].ties
    assert not verdict.axes['batch'].ties


@pytest.mark.parametrize('bound, free', [(1 - 1 / 200, False), (1 - 1e-7, True), (1e-7, True)])
def test_a_bound_near_one_may_be_a_ratio_of_steps(bound, free):
    """(T-1)/T of steps that nothing tells."""
    ties = verdict_of(S.clip(S.mean(rows(T, fused=True), axis=1), 0, bound)).axes['time'].ties
    assert bool(ties) is not free


class Until(rnn.BaseRNNCell):
    """Keeps its state from a token 2 on, the end of a sentence."""

    def __init__(self):
        super().__init__('until_')
        self._weight, self._bias = self.params.get('weight'), self.params.get('bias')

    @property
    def state_info(self):
        return [{'shape': (0, 3), '__layout__': 'NC'}, {'shape': (0, 1), '__layout__': 'NC'}]

    def __call__(self, inputs, states):
        last, done = states
        done = S.broadcast_maximum(done, S.slice_axis(inputs, axis=1, begin=0, end=1) == 2)
        new = S.tanh(S.FullyConnected(S.concat(inputs, last, dim=1), self._weight, self._bias,
                                      num_hidden=3, name='fc'))
        last = S.broadcast_mul(done, last) + S.broadcast_mul(1 - done, new)
        return last, [last, done]


def test_the_number_of_a_token_in_a_loop_ties_no_steps():
    begin = [V('last'), V('done')]
    outputs, _ = rnn.dynamic_unroll(Until(), V('data'), begin_state=begin)
    shapes = {'data': ('batch', 'time', 3), 'last': ('batch', 3), 'done': ('batch', 1)}
    assert not verdict_of(outputs, shapes=shapes).axes['time'].ties
