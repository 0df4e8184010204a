"""A number that ties an axis becomes the size of the axis, read when the graph runs."""
import numpy as np
import pytest

from mxrnn._graph.rolling import structure
from mxrnn._graph.shapes.substitution import substituted
from mxrnn._graph.symbol_json import graph_to_json

from .. import rnn
from ..comparing import assert_close
from ..running import bound
from . import models
from .models import S, V, over, rows

T0 = 12
OWN = {'data': ('batch', 'time', 3)}
LENGTHS = {'length': ('batch',)}
TWO = {'source': ('batch', 'time', 3), 'target': ('batch', 'target_time', 3)}


def dense(x, units):
    return S.FullyConnected(x, num_hidden=units, name='fc')


def mean(x):
    return S.mean(x, axis=1, keepdims=True)


def table(*shape):
    return V('table_weight', shape=shape)


def apart(x, *shape):
    """Rows of all steps, taken apart again."""
    return S.Reshape(dense(S.Reshape(x, shape=(-1, 4)), 4), shape=shape)


def heads(x, steps):
    """Attention in two heads of two units."""
    parts = S.transpose(S.Reshape(x, shape=(-1, steps, 2, 2)), axes=(0, 2, 1, 3))
    parts = S.Reshape(parts, shape=(-1, steps, 2))
    looks = S.softmax(S.batch_dot(parts, parts, transpose_b=True))
    parts = S.Reshape(S.batch_dot(looks, parts), shape=(-1, 2, steps, 2))
    return S.Reshape(S.transpose(parts, axes=(0, 2, 1, 3)), shape=(-1, steps, 4))


def masked(x, steps):
    """By lengths, without an operator of sequences."""
    mask = S.broadcast_lesser(S.Reshape(S.arange(steps), shape=(1, steps)),
                              S.Reshape(V('length'), shape=(-1, 1)))
    return S.broadcast_mul(x, S.Reshape(mask, shape=(-1, steps, 1)))


def causal(x, steps):
    places = S.broadcast_lesser(S.Reshape(S.arange(steps), shape=(-1, 1)),
                                S.Reshape(S.arange(steps), shape=(1, -1)))
    scores = S.batch_dot(x, x, transpose_b=True)
    return S.softmax(S.broadcast_add(scores, S.expand_dims(places * -1e9, axis=0)))


#: Heads over rows (batch, T, 4) that `time:12` frees.
FREED = {
    'places': lambda x, n: S.broadcast_add(x, S.Reshape(S.arange(n), shape=(1, n, 1))),
    'places of Embedding': lambda x, n: S.broadcast_add(x, S.expand_dims(S.Embedding(
        S.arange(0, n), input_dim=40, output_dim=4, name='at'), axis=0)),
    'table cut': lambda x, n: S.broadcast_add(x, S.slice_axis(
        table(1, 40, 4), axis=1, begin=0, end=n)),
    'table of rows cut': lambda x, n: S.broadcast_add(x, S.expand_dims(S.slice(
        table(40, 6), begin=(0, 1), end=(n, 5)), axis=0)),
    'broadcast_to with width': lambda x, n: S.concat(x, S.broadcast_to(S.mean(
        x, axis=(1, 2), keepdims=True), shape=(0, n, 3)), dim=2),
    'tile as rows': lambda x, n: x * S.Reshape(S.tile(S.mean(x, axis=1), reps=(1, n)),
                                               shape=(-1, n, 4)),
    'tile of more axes': lambda x, n: S.broadcast_mul(x, S.tile(table(4), reps=(n, 1))),
    'repeated rows': lambda x, n: S.Reshape(x, shape=(-1, 4)) * S.repeat(
        S.mean(x, axis=1), repeats=n, axis=0),
    'repeated alone': lambda x, n: S.broadcast_axis(mean(x), axis=1, size=n),
    'ones': lambda x, n: S.broadcast_add(S.ones((n, 4)), x),
    'full': lambda x, n: S.broadcast_mul(S.full((1, n, 1), 2), x),
    'variance': lambda x, n: S.sum(S.square(S.broadcast_sub(x, mean(x))), axis=1) / (n - 1),
    'less than T': lambda x, n: n - S.sum(x, axis=1),
    'apart in fewer': lambda x, n: S.Reshape(S.sum(apart(x, -1, 4), axis=1), shape=(-1, n)),
    'apart with a number of rows': lambda x, n: apart(x, 3, n, 4),
    'apart by -4': lambda x, n: apart(x, -4, -1, n, -2),
    'apart in images': lambda x, n: apart(x, -1, 1, n, 4),
    'split units': lambda x, n: S.Reshape(x, shape=(0, n, 2, 2)),
    'image': lambda x, n: S.Convolution(S.Reshape(x, shape=(-1, 1, n, 4)), kernel=(3, 4),
                                        num_filter=2, name='conv'),
    'differences apart': lambda x, n: S.Reshape(dense(S.Reshape(
        S.slice_axis(x, axis=1, begin=1, end=n), shape=(-1, 4)), 3), shape=(-1, n - 1, 3)),
    'heads': heads,
    'mask by lengths': masked,
    'causal': causal,
    'window over all': lambda x, n: S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(n,),
                                              pool_type='max'),
    'as many units': lambda x, n: S.Reshape(
        dense(S.Reshape(x, shape=(-1, 4)), T0), shape=(-1, n, T0)),
}
#: Those that stay tied.
TIED = {
    'stacked': lambda x, n: x * S.stack(*[S.mean(x, axis=1)] * n, axis=1),
    'halves': lambda x, n: S.Reshape(x, shape=(-1, n // 2, 4)),
    'a weight for each step': lambda x, n: dense(S.Reshape(x, shape=(0, -1)), 3),
    'a table as long': lambda x, n: S.broadcast_add(x, table(1, n, 4)),
    'another scale': lambda x, n: S.sum(x, axis=1) * .1,
    'a root that may be a count': lambda x, n: S.sum(x, axis=1) / 3,
    'linspace': lambda x, n: S.broadcast_add(x, S.Reshape(S.linspace(0, 1, n), shape=(1, n, 1))),
    'split': lambda x, n: S.SliceChannel(x, axis=1, num_outputs=n, squeeze_axis=True)[n // 2],
}


def attention(fed):
    """A decoder of five steps that attends to all steps of `source`; `fed`: in a loop."""
    def build(steps):
        seen, states = rnn.GRUCell(4, 'e_').unroll(steps, V('source'), merge_outputs=True)
        keys = apart(seen, -1, steps, 4)
        decoder, context, found = rnn.GRUCell(4, 'd_'), S.zeros_like(states[0]), []
        query, value = V('query_weight'), V('value_weight')
        for word in S.SliceChannel(V('target'), num_outputs=5, axis=1, squeeze_axis=True):
            output, states = decoder(S.Concat(word, context, dim=1) if fed else word, states)
            asked = S.broadcast_axis(S.expand_dims(S.FullyConnected(
                output, query, no_bias=True, num_hidden=4), 1), axis=1, size=steps)
            scores = S.FullyConnected(S.Reshape(S.broadcast_add(keys, asked), shape=(-1, 4)), value,
                                      no_bias=True, num_hidden=1)
            looks = S.softmax(S.Reshape(scores, shape=(-1, steps)), axis=1)
            context = S.sum(S.broadcast_mul(seen, S.expand_dims(looks, 2)), axis=1) / steps
            found.append(S.Concat(output, context, dim=1))
        return S.stack(*found, axis=1)
    return build


ATTENDING = {**TWO, 'target': ('batch', 5, 3)}


def in_numbers(shapes, steps, batch):
    sizes = {'time': steps, 'batch': batch, 'target_time': T0}
    return {name: tuple([sizes.get(size, size) for size in shape])
            for name, shape in shapes.items()}


def freed(build, shapes, **numbers):
    """What is left of a program after `time:12`, and its weights."""
    model = models.random_model(build(T0), in_numbers(shapes, T0, 3))
    arrays = {**model.arg_params, **model.aux_params}
    known = {name: array.shape for name, array in arrays.items()}
    return substituted(structure(model.graph).graph, {**known, **shapes}, [*shapes],
                       numbers or {'time': T0}), arrays


def check(build, shapes, sizes=((T0, 3), (7, 2), (19, 5))):
    """After `time:12` a graph gives what the program's own graph of each length gives."""
    found, arrays = freed(build, shapes)
    assert not found.of('time')
    symbol = S.load_json(graph_to_json(found.graph))
    for steps, batch in sizes:
        own = build(steps)
        data = {name: np.random.RandomState(steps).randn(*shape).astype('f')
                for name, shape in in_numbers(shapes, steps, batch).items()}
        if 'length' in data:
            data['length'] = (np.arange(1, batch + 1) * (steps - 1) // batch + 1).astype('f')
        assert symbol.list_outputs() == found.graph.outputs
        sizes_of = {name: value.shape for name, value in {**arrays, **data}.items()}
        one, other = (bound(each, {name: sizes_of[name] for name in each.list_arguments()}, arrays,
                            data).forward(is_train=False) for each in (symbol, own))
        assert_close(one, other, 1e-5)


def headed(head, fused):
    """A program of a head over rows, and the shapes of its inputs."""
    def build(steps):
        return head(rows(steps, fused), steps)
    return build, {**OWN, **LENGTHS} if 'length' in build(T0).list_arguments() else OWN


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('name', FREED)
def test_numbers_at_ties_become_the_size(name, fused):
    build, shapes = headed(FREED[name], fused)
    check(build, shapes, ((T0, 3), (7, 3)) if 'number of rows' in name else (
        (T0, 3), (7, 2), (19, 5)))


def test_a_loop_that_reads_nothing_with_the_axis_keeps_the_number():
    found, _ = freed(attention(fed=False), ATTENDING)
    assert 'broadcast_axis0 (broadcast_axis) makes 12 elements' in map(str, found.of('time'))
    check(attention(fed=True), ATTENDING)


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('name', TIED)
def test_other_numbers_stay_and_tie_the_axis(name, fused):
    build, shapes = headed(TIED[name], fused)
    assert freed(build, shapes)[0].of('time')


def test_a_root_that_is_whole_stays():
    """sqrt(16) is 4, and so are many numbers."""
    model = models.random_model(S.sum(rows(16), axis=1) / 4, {'data': (3, 16, 3)})
    known = {name: array.shape for name, array in model.arg_params.items()}
    assert substituted(structure(model.graph).graph, {**known, **OWN}, ['data'],
                       {'time': 16}).of('time')


def test_a_number_that_may_be_that_of_two_sequences_stays():
    def build(steps):
        ends = [mean(over(rnn.GRUCell(4, name), steps, V(name))) for name in TWO]
        return S.broadcast_axis(sum(ends), axis=1, size=steps)
    for numbers in ({'time': T0}, {'time': T0, 'target_time': T0}):
        assert freed(build, TWO, **numbers)[0].of('time')


def test_numbers_of_two_sequences_are_told_apart():
    def build(steps):
        ends = [S.broadcast_add(each, S.Reshape(S.arange(steps), shape=(1, steps, 1))) for each in (
            over(rnn.GRUCell(4, name), steps, V(name)) for name in TWO)]
        return S.batch_dot(*ends, transpose_b=True)
    assert not freed(build, TWO, time=T0, target_time=T0)[0].ties
    assert freed(build, TWO)[0].of('target_time')
