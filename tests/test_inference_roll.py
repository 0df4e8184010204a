"""The graphs that the check of exports runs in MXNet: as they are, and rolled up."""
import numpy as np
import pytest

from mxrnn.interop import graph_from_json

from . import mx, needs_operator, rnn
from .cases import CASES, OURS, each
from .running import flat, random_value

pytestmark = [needs_operator, pytest.mark.filterwarnings('ignore:.*time-major')]

if rnn.__name__ != 'mxrnn':
    pytest.skip('of mxrnn alone', allow_module_level=True)

CELLS = [case for case in CASES + OURS if case.binds and not case.fused
         and case.make(rnn).state_info and case.name not in ('own_reset', 'own_in_stack')]


def unrolled(cell, length, **options):
    with mx.name.NameManager():
        outputs, states = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True,
                                      **options)
        return mx.sym.Group([mx.sym.identity(each) for each in [outputs, *flat(states)]])


def run(symbol, data, rolled=None):
    """Outputs, or what MXNet says of the data; weights depend on the names alone. `rolled` is the
    number of steps of a graph that is rolled up, 0 if that is not told."""
    from mxrnn._inference.serve_outputs import _in_mxnet, _predictions
    shapes = symbol.infer_shape(**{name: array.shape for name, array in data.items()})[0]
    params = {name: mx.nd.array(random_value(name, shape), dtype=data['data'].dtype)
              for name, shape in zip(symbol.list_arguments(), shapes) if name not in data}
    graph = _predictions(graph_from_json(symbol.tojson()))
    return _in_mxnet(mx, graph, params, rolled)


def data_of(dtype='float32', **shapes):
    return {name: random_value(name, shape).astype(dtype) for name, shape in shapes.items()}


def assert_alike(build, steps, others, data, tolerance=2e-6, rolled=0):
    """The graph of so many `steps`, rolled up, gives what those of `others` give."""
    run_rolled = run(build(steps), data(steps), rolled)
    for other in others:
        expected, found = run(build(other), data(other))(data(other)), run_rolled(data(other))
        assert not isinstance(found, str), found
        for one, two in zip(expected, found):
            assert one.shape == two.shape
            assert np.abs(one - two).max() <= tolerance * max(1, np.abs(one).max())


@each(CELLS)
def test_outputs_at_another_length(case):
    assert_alike(lambda length: unrolled(case.make(rnn), length), 4, [4, 6],
                 lambda length: data_of(data=(3, length, *case.step)))


@pytest.mark.parametrize('make', [
    lambda: rnn.GRUCell(3), lambda: rnn.RNNCell(3, activation='relu')], ids=['gru', 'relu'])
def test_float64_goes_round_the_defects_of_the_operator(make):
    assert_alike(lambda length: unrolled(make(), length, dtype='float64'), 4, [4, 6],
                 lambda length: data_of('float64', data=(2, length, 5)), 1e-12)


def attending(length, weigh):
    """A decoder that weighs five vectors in each step; what it read is a part of its next input."""
    source = mx.sym.SliceChannel(mx.sym.Variable('source'), num_outputs=5, axis=1,
                                 squeeze_axis=True)
    steps = mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=length, axis=1,
                                squeeze_axis=True)
    weights = {'weight': mx.sym.Variable('weight'), 'no_bias': True, 'num_hidden': 4}
    read, outputs = mx.sym.Variable('begin'), []
    for step in steps:
        state = mx.sym.FullyConnected(mx.sym.Concat(step, read, dim=1), **weights)
        scores = [mx.sym.sum(state * each, axis=1, keepdims=True) for each in source]
        shares = mx.sym.SliceChannel(weigh(mx.sym.Concat(*scores, dim=1), axis=1), num_outputs=5,
                                     axis=1)
        read = mx.sym.add_n(*[mx.sym.broadcast_mul(*pair) for pair in zip(shares, source)])
        outputs.append(mx.sym.expand_dims(read, axis=1))
    return mx.sym.Concat(*outputs, dim=1)


@pytest.mark.parametrize('weigh', [mx.sym.softmax, mx.sym.log_softmax])
def test_attention_in_a_loop(weigh):
    """Of fewer rows than columns, oneDNN's softmax ends the process there."""
    assert_alike(lambda length: attending(length, weigh), 4, [6], lambda length: data_of(
        data=(2, length, 3), source=(2, 5, 4), begin=(2, 4)))


def test_rows_that_a_number_of_steps_cuts_are_refused():
    outputs, _ = rnn.LSTMCell(8, 'l_').unroll(4, mx.sym.Variable('data'), merge_outputs=True)
    run_rolled = run(mx.sym.Reshape(outputs, shape=(-1, 4)), data_of(data=(2, 4, 3)), 4)
    assert run_rolled(data_of(data=(2, 4, 3)))[0].shape == (16, 4)
    assert 'fixed' in run_rolled(data_of(data=(2, 6, 3)))


def cell_over(length, data, prefix, units, both=False):
    def cell(prefix):
        return rnn.LSTMCell(units // (1 + both), prefix)
    both = both and rnn.BidirectionalCell(cell(prefix + 'l_'), cell(prefix + 'r_'))
    return (both or cell(prefix)).unroll(length, data, merge_outputs=True)[0]


def halved(codes, both=False, units=8, part=2):
    """A layer over what a Reshape makes of another layer's steps."""
    @named_anew
    def build(length):
        outputs = cell_over(length, mx.sym.Variable('data'), 'a_', units, both)
        return cell_over(length // part, mx.sym.Reshape(outputs, shape=codes(length)), 'b_', 4)
    return build


def windows(*codes, units=8):
    return named_anew(lambda length: mx.sym.Reshape(cell_over(
        length, mx.sym.Variable('data'), 'a_', units), shape=codes))


def frames(codes, width=8, after=lambda rows: rows):
    """A layer over what another computes of each frame."""
    @named_anew
    def build(length):
        data = mx.sym.Reshape(mx.sym.Variable('data'), shape=(-1, width))
        data = mx.sym.FullyConnected(data, num_hidden=width, name='fc')
        return cell_over(length, after(mx.sym.Reshape(data, shape=codes(length))), 'a_', 4)
    return build


def named_anew(build):
    def make(length):
        with mx.name.NameManager():
            return build(length)
    return make


#: Programs in which a Reshape has a number, what becomes of other lengths, and numbers of steps if
#: the first is not 8.
RESHAPED = {
    'pairs': (halved(lambda T: (0, T // 2, 16)), 'refused'),
    'pairs of both directions': (halved(lambda T: (0, T // 2, 16), True), 'refused'),
    'pairs, any batch': (halved(lambda T: (-1, T // 2, 16)), 'refused'),
    'pairs, a batch of two': (halved(lambda T: (2, T // 2, 16)), 'refused'),
    'pairs, as wide as long': (halved(lambda T: (0, T // 2, 8), units=4), 'refused'),
    'pairs, counted': (halved(lambda T: (0, -1, 16)), 'right'),
    'halves': (halved(lambda T: (-1, T // 2, 8)), 'refused'),
    'windows of three': (windows(-1, 3, 5, units=5), 'right'),
    'windows of three, 12 steps': (windows(-1, 3, 8), 'right', (12, 24, 36)),
    'windows of four, 12 steps': (windows(-1, 4, 8), 'right', (12, 24, 36)),
    'windows of three in each sequence': (windows(0, -1, 3, 8), 'right', (12, 24, 9)),
    'windows of four, split off': (windows(0, -4, -1, 4, 0), 'right', (12, 24, 4)),
    'three steps side by side': (windows(-1, 24), 'right', (12, 24, 9)),
    'threes, counted': (halved(lambda T: (0, -1, 24), part=3), 'right', (12, 24, 9)),
    'fours, counted': (halved(lambda T: (0, -1, 32), part=4), 'right', (12, 24, 8)),
    'thirds': (halved(lambda T: (-1, T // 3, 8), part=3), 'refused', (12, 24, 9)),
    'frames': (frames(lambda T: (-1, T, 8)), 'warned'),
    'frames, split': (frames(lambda T: (-4, -1, T, 0)), 'warned'),
    'frames of another width': (frames(lambda T: (-1, T, 5), 5), 'warned'),
    'frames of two sequences': (frames(lambda T: (2, T, 8)), 'refused'),
    'frames and positions': (frames(lambda T: (-1, T, 8), after=lambda rows: mx.sym.broadcast_add(
        rows, mx.sym.Variable('positions', shape=(1, 1, 8)))), 'warned'),
    'rows': (named_anew(lambda T: cell_over(T, mx.sym.Reshape(
        mx.sym.Variable('data'), shape=(0, T, 8)), 'a_', 8)), 'refused'),
}


@pytest.mark.parametrize('name', RESHAPED)
@pytest.mark.parametrize('known', [False, True])
def test_numbers_in_reshapes(name, known):
    build, other, (first, *others) = (*RESHAPED[name], (8, 12, 4, 9))[:3]

    def data(steps):
        return data_of(data=(2 if 'two' in name else 3, steps, 5 if 'another' in name else 8))
    right = [steps for steps in others if other == 'right' and (first, steps) != (8, 9)]
    assert_alike(build, first, [first, *right], data, rolled=first if known else 0)
    if other == 'refused':
        run_rolled = run(build(first), data(first), first if known else 0)
        for steps in others:
            assert 'fixed' in run_rolled(data(steps))


@pytest.mark.parametrize('images', [2, 3])
def test_images_of_pairs_and_triplets_are_no_steps(images):
    from mxrnn._inference.roll_for_mxnet import rolled_for_inference
    parts = mx.sym.split(mx.sym.reshape(mx.sym.Variable('data'), (-1, images, 4)),
                         num_outputs=images, axis=1, squeeze_axis=True)
    weight = mx.sym.Variable('weight')
    first, *others = [mx.sym.FullyConnected(each, weight=weight, num_hidden=3, no_bias=True)
                      for each in parts]
    symbol = mx.sym.add_n(*[mx.sym.square(first - each) for each in others])
    graph = graph_from_json(symbol.tojson())
    assert rolled_for_inference(graph, None) is graph


def test_what_is_repeated_of_an_open_batch():
    """MXNet does not infer the batch of zeros that a decoder reads in each step."""
    def build(length):
        with mx.name.NameManager():
            begin = [mx.sym.Variable('data'), mx.sym.zeros((0, 4))]
            return rnn.LSTMCell(4, 'l_').unroll(length, [mx.sym.zeros((0, 3))] * length, begin,
                                                merge_outputs=True)[0]
    assert_alike(build, 3, [3], lambda length: data_of(data=(2, 4)))


@pytest.mark.parametrize('dtype', ['int32', 'float64', 'float32'])
@pytest.mark.parametrize('given, length', [(0, 4), (4, 4), (4, 6), (4, 3)])
def test_types_of_lengths(given, length, dtype):
    """A graph takes lengths of any type, rolled up for any number of steps or for its own."""
    assert_alike(lambda steps: unrolled(rnn.LSTMCell(3, 'l_'), steps, layout='TNC',
                                        valid_length=mx.sym.Variable('valid')), 4, [length],
                 lambda steps: {**data_of(data=(steps, 2, 4)), 'valid': np.array([9, 2], dtype)},
                 rolled=given)
