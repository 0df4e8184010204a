"""Graphs that state their number of steps, or read a part of them: a file takes another length only
if the rolled-up graph is right there."""
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import RolledGraph, structure
from mxrnn.interop.prepare import prepare
from mxrnn.interop.prepare.input_shapes import Request
from mxrnn.interop.prepare.lengths import opened

from .. import rnn
from ..running import named_anew, stack
from .compare import assert_equal, bind
from .models import S, V, random_model
from .rolling import run_rolled

DATA, VALID, MEMORY = [V(name) for name in ('data', 'valid', 'memory')]


def graph_of(symbol):
    return interop.graph_from_json(symbol.tojson())


def check_lengths(build, steps, others, shapes_of, free):
    """The graph of so many steps, rolled up, gives what it gives and, if it is `free`, what those
    of others give; otherwise no input has an axis of steps of any size."""
    build = named_anew(build)
    symbol, shapes = build(steps), shapes_of(steps)
    shapes = {name: shapes[name] for name in symbol.list_arguments() if name in shapes}
    bound = bind(symbol, shapes)
    arrays = {name: value for name, value in bound.args.items() if name not in shapes}
    own, verdict = opened(Request(
        structure(graph_of(symbol)).graph, arrays, {}, [*shapes],
        ranks={name: len(shape) for name, shape in shapes.items()}))
    assert verdict.graph.outputs == symbol.list_outputs()
    axis = verdict.axes.get(str(own['data'][shapes['data'].index(steps)]))
    assert (axis is not None and not axis.ties) is free, verdict.lines()
    assert axis is None or axis.sizes in ((), (steps,))
    for length in [steps, *others] if free else [steps]:
        symbol = build(length)
        shapes = {name: shape for name, shape in shapes_of(length).items()
                  if name in symbol.list_arguments()}
        assert_equal(run_rolled(RolledGraph(verdict.graph, ()), bind(symbol, shapes), shapes))


def custom(prefix='rnn_'):
    """A cell that becomes a loop."""
    return rnn.RNNCell(3, activation='softsign', prefix=prefix)


def encoder(length, cell=None, data=None, layout='TNC', merge=True):
    """The outputs of all steps."""
    cell = cell or rnn.LSTMCell(3)
    return cell.unroll(length, DATA if data is None else data, layout=layout,
                       merge_outputs=merge)[0]


def beside(other, length, cell=None):
    """Something that reads nothing of the recurrence, behind it."""
    return S.Group([encoder(length, cell), other])


def reshape(value, *shape, **options):
    return S.Reshape(value, shape=shape, **options)


def rows_of(length, cell=None, layout='TNC'):
    return reshape(encoder(length, cell, layout=layout), -1, 3)


def scores(length, cell=None):
    """Five numbers for each step and row."""
    return S.FullyConnected(rows_of(length, cell), num_hidden=5)


def masked(sequence, length):
    return S.SequenceMask(sequence, S.clip(S.floor(VALID * -9), 0, length),
                          use_sequence_length=True)


#: Programs of some number of steps, and whether they are free of it; some are batch first.
STATING = {
    'all sizes': (lambda length: reshape(encoder(length), length, 2, 3), False),
    'time first, from behind': (
        lambda length: reshape(rows_of(length), length, -1, 0, reverse=True), False),
    'time first, the rest as one axis': (lambda length: reshape(encoder(length), length, -1),
                                         False),
    'scores of each time': (lambda length: reshape(S.FullyConnected(
        encoder(length), num_hidden=5), length, -1, 1), False),
    'scores of each time and row': (lambda length: reshape(S.FullyConnected(
        encoder(length), num_hidden=5, flatten=False), length, -1, 5), True),
    'a score of each row': (lambda length: reshape(S.pick(scores(length), reshape(
        MEMORY, -1)), length, -1), False),
    'time last': (lambda length: reshape(S.SwapAxis(
        encoder(length, layout='NTC'), 1, 2), -1, 3, length), False, 'NTC'),
    'before the first step': (lambda length: encoder(length, data=reshape(DATA, length, -1, 2)),
                              False),
    'repeated before the first step': (lambda length: encoder(length, data=S.broadcast_mul(
        DATA, S.broadcast_axis(MEMORY, axis=0, size=length))), False),
    'repeated': (lambda length: beside(S.broadcast_axis(MEMORY, axis=0, size=length), length),
                 False),
    'as many steps of longer data': (lambda length: encoder(length, data=S.slice_axis(
        S.Concat(DATA, MEMORY, dim=0), axis=0, begin=0, end=length)), False),
    'numbers': (lambda length: beside(S.arange(0, length), length), False),
    'lengths': (lambda length: masked(encoder(length), length), False),
}


@pytest.mark.parametrize('name', STATING)
def test_nodes_that_state_the_number_of_steps(name):
    build, free, *batch_first = STATING[name]

    def shapes(length):
        return {'data': (2, length, 4) if batch_first else (length, 2, 4), 'valid': (2,),
                'memory': (length, 2) if name == 'a score of each row' else (1, 2, 4)}
    check_lengths(build, 6, [8, 5], shapes, free)


JOINED_FEATURES = {
    'the last step': lambda all: S.slice_axis(all, axis=1, begin=15, end=None),
    'all but the last': lambda all: S.slice_axis(all, axis=1, begin=0, end=15),
    'split': lambda all: S.split(all, num_outputs=6, axis=1)[3],
    'pooled': lambda all: S.Pooling(S.expand_dims(all, axis=1), kernel=(18,))}


@pytest.mark.parametrize('name', JOINED_FEATURES)
def test_joined_features_that_are_cut_keep_the_number_of_steps(name):
    def build(length):
        steps = encoder(length, layout='NTC', merge=False)
        return JOINED_FEATURES[name](S.concat(*steps, dim=1))
    check_lengths(build, 6, [], lambda length: {'data': (2, length, 4)}, False)


def part(begin, end, cell=None, axis=0):
    """What makes so many steps of a recurrence."""
    return lambda length: S.slice_axis(
        encoder(length, cell and cell(), layout='NTC' if axis else 'TNC'), axis=axis,
        begin=begin if begin >= 0 else length + begin, end=length + end)


def of_data(begin, end, op=lambda data, *cut: S.slice_axis(data, axis=0, begin=cut[0], end=cut[1])):
    """A part of what a cell reads, beside its outputs."""
    return lambda length: S.Group([encoder(length), op(
        DATA, begin if begin >= 0 else length + begin, end if end > 0 else length + end)])


def shifted(length):
    """A cell that reads the step before."""
    first, rest = (S.slice_axis(DATA, axis=0, begin=0, end=end) for end in (1, length - 1))
    return encoder(length, data=S.Concat(S.zeros_like(first), rest, dim=0))


def sliced(cuts):
    """What `slice` makes of the outputs of a cell."""
    return lambda length: S.slice(encoder(length, layout='NTC'), *cuts(length))


def cut(begin):
    """A cell over steps that are cut one by one."""
    return lambda length: encoder(length - begin, data=[reshape(S.slice_axis(
        DATA, axis=1, begin=t, end=t + 1), 0, -1) for t in range(begin, length)])


def both_ends(steps):
    but_the_last = S.mean(S.stack(*steps[:-1], axis=1), axis=1)
    return S.concat(steps[0], *steps[-2:], but_the_last, dim=1)


def decoded(steps):
    return [S.zeros_like(steps[0]), *steps[:3]]


def both_directions(units=2, prefix=''):
    return rnn.BidirectionalCell(*[rnn.GRUCell(units, prefix + end) for end in ('l_', 'r_')])


#: Programs that read a part of a sequence, and whether they are free.
PARTS = {
    'the last two steps': (part(-2, 0, axis=1), False),
    'the last two steps, counted from the end': (lambda length: S.slice_axis(
        encoder(length, layout='NTC'), axis=1, begin=-2, end=length), False),
    'all steps but the first and the last': (part(1, -1, custom), True),
    'the first step': (lambda length: S.slice_axis(encoder(length), axis=0, begin=0, end=1), True),
    'all steps but the first, up to the end': (lambda length: S.slice_axis(
        encoder(length), axis=0, begin=1, end=None), True),
    'the last step, batch first, by slice': (sliced(lambda length: (
        (None, length - 1), (None, length))), True),
    'all steps, cut one by one': (cut(0), False),
    'all steps but the first, cut one by one': (cut(1), False),
    'the third': (lambda length: encoder(length, merge=False)[2], False),
    'the third, batch first': (lambda length: encoder(length, layout='NTC', merge=False)[2], False),
    'the third of both directions': (lambda length: encoder(
        length, both_directions(), merge=False)[2], False),
    'the last of a residual cell': (lambda length: encoder(length, rnn.ResidualCell(
        rnn.GRUCell(4, 'l_')), merge=False)[-1], True),
    'the last of both directions': (lambda length: encoder(
        length, both_directions(), merge=False)[-1], True),
    'the third of layers': (lambda length: encoder(length, stack(
        rnn, rnn.LSTMCell(3, 'l0_'), rnn.LSTMCell(2, 'l1_')), merge=False)[2], False),
    'the last three of the data': (of_data(-3, 0), False),
    'the last three of the data, by slice': (of_data(-3, 0, lambda data, *cut: S.slice(
        data, begin=cut[:1], end=cut[1:])), False),
    'the data without the last': (of_data(0, -1), True),
    'the last of the data': (of_data(-1, 0), True),
    'the first of the data': (of_data(0, 1), True),
    'all of the data': (of_data(0, 0), True),
    'the data of the step before': (shifted, False),
    'both ends': (lambda length: both_ends(encoder(length, merge=False)), False),
    'a decoder of three steps': (lambda length: rnn.GRUCell(4, 'd_').unroll(
        4, decoded(encoder(length, merge=False)))[0][-1], False),
}


# differences.md: an unrolled graph that reads particular steps (fits its own length)
@pytest.mark.parametrize('name', PARTS)
def test_parts_of_sequences(name):
    build, free = PARTS[name]
    check_lengths(build, 6, [9, 4], lambda length: {'data': (2, length, 4) if any(
        word in name for word in ('batch', 'two', 'cut')) else (length, 2, 4)}, free)


@pytest.mark.parametrize('build, kind', [
    (lambda length: encoder(length, rnn.ZoneoutCell(rnn.GRUCell(3, 'gru_'), .2, .3),
                            merge=False)[-1], 'loop'),
    # Both directions of the second layer read what the dropout draws.
    (lambda length: encoder(length, stack(rnn, both_directions(2, 'a_'), rnn.DropoutCell(.5),
                                          both_directions(3, 'b_'))), 'kernel')])
def test_what_training_draws_keeps_no_number_of_steps(build, kind):
    make = named_anew(build)
    rolled = structure(graph_of(make(4)), training=True)
    assert {each.kind for each in rolled.findings} == {kind}
    for length in (4, 6, 3):
        shapes = {'data': (length, 2, 4)}
        assert_equal(run_rolled(rolled, bind(make(length), shapes), shapes))


#: Operators behind which there is something else than one step for each, and what is made of their
#: output: its numbers may be those of the steps.
UNCLEAR = {
    'sort': lambda steps: S.sort(steps, axis=1),
    'cumsum': lambda steps: S.cumsum(steps, axis=1),
    'tile': lambda steps: S.tile(steps, reps=(1, 2, 1)),
    'repeat': lambda steps: S.repeat(steps, repeats=2, axis=1),
    'joined': lambda steps: S.Concat(steps, S.cos(steps), dim=1),
    'a variable': lambda steps: S.broadcast_mul(steps, MEMORY),
}
CUT_UNCLEAR = {
    'the last': lambda steps, length: S.slice_axis(steps, axis=1, begin=length - 1, end=length),
    'the first ones': lambda steps, length: S.slice_axis(steps, axis=1, begin=0, end=length),
    'the first ones, by slice': lambda steps, length: S.slice(
        steps, begin=(None, None), end=(None, length)),
    'shaped': lambda steps, length: reshape(steps, -1, length, 3),
    'scores, shaped': lambda steps, length: reshape(S.FullyConnected(
        reshape(steps, -1, 3), num_hidden=5), -1, length, 5),
}


@pytest.mark.parametrize('cut', CUT_UNCLEAR)
@pytest.mark.parametrize('name', UNCLEAR)
def test_numbers_behind_operators_that_do_not_keep_steps(name, cut):
    as_many = name in ('sort', 'cumsum', 'a variable')
    check_lengths(lambda length: CUT_UNCLEAR[cut](UNCLEAR[name](encoder(length, layout='NTC')),
                                                  length), 6, [8, 5],
                  lambda length: {'data': (2, length, 4), 'memory': (2, 1, 3)}, as_many)


def each_with(other):
    """The sum of each step and another one."""
    return lambda h: S.stack(*[step + other(h, t) for t, step in enumerate(h)], axis=1)


#: What is made of the steps of a cell, and whether three of them tell what it is for others.
FEW_STEPS = {
    'joined': (lambda h: S.stack(*h, axis=1), True),
    'the sum': (lambda h: S.add_n(*h), True),
    'joined, and the first': (lambda h: S.Group([S.stack(*h, axis=1), h[0]]), True),
    'from the last to the first': (lambda h: S.stack(*h[::-1], axis=1), True),
    'the first and the last': (lambda h: h[0] + h[-1], True),
    'each and the last': (each_with(lambda h, t: h[-1]), True),
    'each and a function of the last': (each_with(lambda h, t: S.cos(h[-1])), True),
    'each and the next': (each_with(lambda h, t: h[min(t + 1, len(h) - 1)]), False),
    'each and the one before': (each_with(lambda h, t: h[max(t - 1, 0)]), False),
    'each and the one opposite': (each_with(lambda h, t: h[-1 - t]), True),
    'a list': (lambda h: S.Group(list(map(S.cos, h))), False),
    'all, and zeros before all but the last': (lambda h: S.Group([
        S.stack(*h), S.stack(S.zeros_like(h[0]), *h[:-1])]), False),
    'the first, all, and zeros before rows of all but the last': (lambda h: S.Group([
        h[0], S.stack(*h), S.Concat(*[S.expand_dims(each, axis=1) for each in (
            V('zeros', shape=(2, 3)), *h[:-1])], dim=1)]), False),
    'all, and the sum of one function of the first and another of all but the last': (
        lambda h: S.Group([S.stack(*h), S.add_n(S.cos(h[0]), *map(S.sin, h[:-1]))]), False),
    'all but the first, and zeros': (lambda h: S.stack(
        *h[1:], V('zeros', shape=(2, 3)), axis=1), False),
    'the last twice': (lambda h: S.stack(h[-1], S.SequenceLast(S.stack(*h))), True),
}


@pytest.mark.parametrize('name', FEW_STEPS)
@pytest.mark.parametrize('cell, steps', [(rnn.LSTMCell, 3), (custom, 3), (custom, 2)])
def test_few_steps(cell, steps, name):
    """Two may be only the first and the last of others."""
    read, free = FEW_STEPS[name]
    check_lengths(lambda length: read(encoder(
        length, cell() if cell is custom else cell(3), merge=False)), steps, [4, 5],
        lambda length: {'data': (length, 2, 4)}, free and steps > 2)


@pytest.mark.parametrize('options', [{'inputs': {'data': ('time:2', 'batch', 4)}}, {
    'inputs': {'data': ('time', 'batch', 4)}}, {'states': True}])
def test_what_two_steps_refuse_says_why_and_what_to_export(options):
    model = random_model(encoder(2, rnn.LSTMCell(3, 'l_')), {'data': (2, 3, 4)})
    with pytest.raises(interop.ExportError, match='l, 2 steps: stays unrolled, because two steps '
                       '.*: export a graph of three or more'):
        prepare(model, **options)


def test_messages_call_a_programs_own_node_by_its_name():
    parts = S.split(V('data'), 5, 1, squeeze_axis=True, name='x_steps')
    model = random_model(parts[1] * parts[3], {'data': (2, 5, 3)})
    with pytest.raises(interop.ExportError, match=r'node x_steps \(SliceChannel\) has 5'):
        prepare(model, {'data': ('batch', 'time:5', 3)})
