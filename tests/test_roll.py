"""roll: Symbols that were unrolled, rolled up for MXNet."""
import warnings

import numpy as np
import pytest

from . import mx, needs_operator, rnn
from .cases import CASES, OURS, each
from .running import filled, flat, operators, quiet, random_value, stack, weights_of

pytestmark = [needs_operator, pytest.mark.filterwarnings('ignore:.*(time-major|not applied)')]

if rnn.__name__ != 'mxrnn':
    pytest.skip('roll is of mxrnn', allow_module_level=True)

CELLS = [case for case in CASES + OURS if case.binds and not case.fused
         and case.make(rnn).state_info and case.name not in ('own_reset', 'own_in_stack')]


def unrolled(cell, length, **options):
    with mx.name.NameManager():
        outputs, states = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True,
                                      **options)
        return mx.sym.Group([mx.sym.identity(each) for each in [outputs, *flat(states)]])


def run(symbol, shapes, train, dtype='float32'):
    """Outputs, and gradients by argument, with values that depend on the names alone."""
    bound = filled(symbol, grad_req='write' if train else 'null',
                   type_dict=dict.fromkeys(shapes, dtype), **shapes)
    outputs = bound.forward(is_train=train)
    if train:
        bound.backward([mx.nd.array(random_value('head %d' % i, each.shape), dtype=each.dtype)
                        for i, each in enumerate(outputs)])
    return ([each.asnumpy() for each in outputs],
            {name: array.asnumpy() for name, array in bound.grad_dict.items()} if train else {})


def assert_close(expected, found, tolerance):
    largest = max(1, max(np.abs(each).max() for each in expected))
    for one, other in zip(expected, found):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance * largest


@each(CELLS)
def test_outputs_at_another_length(case):
    rolled = rnn.roll(unrolled(case.make(rnn), 4), training=False)
    symbol, shapes = unrolled(case.make(rnn), 6), {'data': (3, 6, *case.step)}
    assert rolled.list_outputs() == unrolled(case.make(rnn), 4).list_outputs()
    assert_close(run(symbol, shapes, False)[0], run(rolled, shapes, False)[0], 2e-6)


@each(CELLS)
def test_outputs_and_gradients(case):
    symbol, shapes = unrolled(quiet(case.make(rnn)), 3), {'data': (2, 3, *case.step)}
    rolled = rnn.roll(symbol)
    assert sorted(rolled.list_arguments()) == sorted(symbol.list_arguments())
    (outputs, grads), (found, others) = run(symbol, shapes, True), run(rolled, shapes, True)
    assert_close(outputs, found, 2e-6)
    assert_close([grads[name] for name in others], list(others.values()), 2e-5)


def test_dropout_stays():
    """MXNet ignores it in loops, and steps with zoneout would become such."""
    symbol = unrolled(stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.DropoutCell(0.3),
                            rnn.ZoneoutCell(rnn.RNNCell(3, prefix='l1_'), 0, 0.2)), 4)
    kept = operators(rnn.roll(symbol))
    assert kept['RNN'] == 1 and kept['Dropout'] == 8 and '_foreach' not in kept
    left_out = operators(rnn.roll(symbol, training=False))
    assert left_out['RNN'] == 2 and 'Dropout' not in left_out


def test_float64_goes_round_the_defects_of_the_operator():
    cell = rnn.GRUCell(3)
    symbol = unrolled(cell, 4, dtype='float64')
    rolled = rnn.roll(symbol)
    assert ('RNN' in operators(rolled)) == mx.runtime.Features().is_enabled('CUDA')
    shapes = {'data': (2, 4, 5)}
    expected, found = (run(each, shapes, True, 'float64') for each in (symbol, rolled))
    assert_close(expected[0], found[0], 1e-12)
    assert_close([expected[1][name] for name in found[1]], list(found[1].values()), 1e-12)


def test_a_checkpoint_predicts_at_any_length(tmp_path):
    outputs, _ = rnn.LSTMCell(6, 'l_').unroll(5, mx.sym.Variable('data'), merge_outputs=True)
    mx.model.save_checkpoint(str(tmp_path / 'old'), 1, outputs,
                             weights_of(outputs, data=(1, 5, 3)), {})
    symbol, args, _ = mx.model.load_checkpoint(str(tmp_path / 'old'), 1)
    rolled = rnn.roll(symbol, training=False)
    predict = rnn.Predictor(lambda length: (rolled, ['data'], []), args, buckets=[4, 9])
    sequences = [random_value('x%d' % n, (n, 3)) for n in (2, 9, 4)]
    for sequence, answer in zip(sequences, predict(sequences)):
        whole, _ = rnn.LSTMCell(6, 'l_').unroll(len(sequence), mx.sym.Variable('data'),
                                                merge_outputs=True)
        expected = whole.eval(data=mx.nd.array(sequence[None]), **args)[0].asnumpy()[0]
        assert np.abs(expected - answer).max() < 1e-6


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


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('weigh', [mx.sym.softmax, mx.sym.log_softmax])
def test_attention_in_a_loop(weigh, train):
    """Of fewer rows than columns, oneDNN's softmax ends the process there."""
    rolled = rnn.roll(attending(4, weigh), training=train)
    assert '_foreach' in operators(rolled)
    shapes = {'data': (2, 6, 3), 'source': (2, 5, 4), 'begin': (2, 4)}
    (outputs, grads), (found, others) = (run(each, shapes, train)
                                         for each in (attending(6, weigh), rolled))
    assert_close(outputs, found, 2e-6)
    if train:
        assert_close([grads[name] for name in others], list(others.values()), 2e-5)


def test_rows_that_a_number_of_steps_cuts_are_refused():
    outputs, _ = rnn.LSTMCell(8, 'l_').unroll(4, mx.sym.Variable('data'), merge_outputs=True)
    rolled = rnn.roll(mx.sym.Reshape(outputs, shape=(-1, 4)), length=4, training=False)
    assert run(rolled, {'data': (2, 4, 3)}, False)[0][0].shape == (16, 4)
    with pytest.raises(RuntimeError, match='fixed'):
        run(rolled, {'data': (2, 6, 3)}, False)


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
    length = first if known else None
    width = 5 if 'another' in name else 8
    if other == 'warned':
        if known:
            with pytest.raises(ValueError, match='length .* 8: node reshape1 .* of 8 steps'):
                rnn.roll(build(first), length=length)
            return
        with pytest.warns(UserWarning, match='node reshape1 .* of 8 steps'):
            rolled = rnn.roll(build(first))
    else:
        rolled = rnn.roll(build(first), length=length)
    for steps in (first, *others):
        shapes = {'data': (2 if 'two' in name else 3, steps, width)}
        if steps == first or other == 'right' and (first, steps) != (8, 9):  # no elements counted
            assert_close(*[run(each, shapes, False)[0] for each in (build(steps), rolled)], 2e-6)
        elif other == 'refused':
            with pytest.raises(mx.base.MXNetError, match='fixed'):
                rolled.infer_shape(**shapes)


@pytest.mark.parametrize('length', [None, 8])
@pytest.mark.parametrize('made', [
    lambda steps, T: mx.sym.sum(steps, axis=1) / T,
    lambda steps, T: mx.sym.broadcast_mul(steps, mx.sym.reshape(
        mx.sym.arange(T) / (T - 1), (1, -1, 1)))])
def test_numbers_that_may_be_those_of_steps_are_warned_of(made, length):
    steps = cell_over(8, mx.sym.Variable('data'), 'a_', 4)
    with pytest.warns(UserWarning, match='number of steps in the graph, 8'):
        rnn.roll(made(steps, 8), length=length)


@pytest.mark.parametrize('made', [
    lambda steps: mx.sym.batch_dot(steps, steps, transpose_b=True) / 8,
    lambda steps: mx.sym.softmax(steps / 8),
    lambda steps: mx.sym.softmax(mx.sym.mean(steps, axis=1) / 8),
    lambda steps: mx.sym.sum(steps, axis=0) / 8,
    lambda steps: mx.sym.sum(steps, axis=2) / 8])
def test_numbers_next_to_no_sum_over_steps_are_not_warned_of(made):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        rnn.roll(made(cell_over(8, mx.sym.Variable('data'), 'a_', 8)))


@pytest.mark.parametrize('images', [2, 3])
def test_images_of_pairs_and_triplets_are_no_steps(images):
    parts = mx.sym.split(mx.sym.reshape(mx.sym.Variable('data'), (-1, images, 4)),
                         num_outputs=images, axis=1, squeeze_axis=True)
    weight = mx.sym.Variable('weight')
    first, *others = [mx.sym.FullyConnected(each, weight=weight, num_hidden=3, no_bias=True)
                      for each in parts]
    symbol = mx.sym.add_n(*[mx.sym.square(first - each) for each in others])
    assert rnn.roll(symbol) is symbol  # without a warning


def test_what_cannot_be_rolled_up_is_given_back():
    rows, _ = rnn.FusedRNNCell(3).unroll(8, mx.sym.Variable('data'), merge_outputs=True)
    for symbol in (mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=3),
                   mx.sym.max(mx.sym.reshape(rows, shape=(-1, 4, 3)), axis=1)):  # perhaps windows
        assert rnn.roll(symbol) is symbol


def test_what_is_repeated_of_an_open_batch():
    """MXNet does not infer the batch of zeros that a decoder reads in each step."""
    def build(length):
        with mx.name.NameManager():
            begin = [mx.sym.Variable('data'), mx.sym.zeros((0, 4))]
            return rnn.LSTMCell(4, 'l_').unroll(length, [mx.sym.zeros((0, 3))] * length, begin,
                                                merge_outputs=True)[0]
    expected, found = (run(each, {'data': (2, 4)}, False)[0] for each in (
        build(3), rnn.roll(build(3))))
    assert_close(expected, found, 2e-6)


@pytest.mark.parametrize('dtype', ['int32', 'float64', 'float32'])
@pytest.mark.parametrize('given, length', [(None, 4), (4, 4), (4, 6), (4, 3)])
def test_types_of_lengths(given, length, dtype):
    """A bound graph takes lengths of any type, rolled up for any number of steps or for its own."""
    whole, other = (unrolled(rnn.LSTMCell(3, 'l_'), steps, layout='TNC',
                             valid_length=mx.sym.Variable('valid')) for steps in (4, length))
    assert_close(*([each.asnumpy() for each in filled(
        symbol, {'valid': mx.nd.array([9, 2])}, data=(length, 2, 4), valid=(2,),
        type_dict={'valid': dtype}).forward()]
        for symbol in (rnn.roll(whole, length=given), other)), 2e-6)
