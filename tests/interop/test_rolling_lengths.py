"""Numbers of steps that a graph states; graphs of two buckets, which prove that they are such."""
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import bounds, certify, fixed_by, roll, stated_steps

from .. import mx, rnn
from ..cases import CASES, OURS
from ..cases import each as each_of
from ..running import stack
from .compare import assert_equal
from .rolling import bind, for_mxnet, run_rolled, unrolled
from .rolling_changes import PROGRAMS, built

CELLS = [case for case in CASES + OURS if case.binds and not case.fused
         and case.make(rnn).state_info]
#: Cells over seven rows.
STATED = ('conv_rnn_1d', 'conv_lstm_1d_kernels')


def graph_of(symbol):
    return interop.graph_from_json(symbol.tojson())


@each_of(CELLS[::3])
def test_graphs_of_two_buckets_are_one(case):
    first, second = (graph_of(unrolled(case.make(rnn), length)) for length in (7, 11))
    rolled = certify(first, second)
    assert not fixed_by(rolled.graph, 7) or case.name in STATED


@pytest.mark.parametrize('name', PROGRAMS)
def test_programs_of_two_buckets(name):
    certify(graph_of(built(name, 5)[0]), graph_of(built(name, 8)[0]))


def cut_without_squeezing(length, data=None):
    with mx.name.NameManager():
        steps = mx.sym.SliceChannel(mx.sym.Variable('data') if data is None else data,
                                    num_outputs=length, axis=1)
        outputs, _ = rnn.LSTMCell(3).unroll(length, list(steps), merge_outputs=True)
        return outputs


@pytest.mark.parametrize('data, axes, shape', [
    (lambda: mx.sym.Variable('data'), {'data': 1}, (2, 6, 5)),
    (lambda: mx.sym.Variable('data', shape=(0, 4, 0)), {}, None),
    (lambda: mx.sym.SwapAxis(mx.sym.cast(mx.sym.Variable('data'), 'float32'), 1, 2), {'data': 2},
     (2, 5, 6))])
def test_split_of_an_axis_with_the_number_of_steps(data, axes, shape):
    rolled = roll(graph_of(cut_without_squeezing(4, data())), length=4, axes=axes)
    assert not fixed_by(rolled.graph, 4)
    if shape:
        bound = bind(cut_without_squeezing(6, data()), {'data': shape})
        assert_equal(run_rolled(rolled, bound, {'data': shape}))


def test_split_of_another_axis_than_the_one_of_steps():
    for data in (mx.sym.Variable('data'), mx.sym.SwapAxis(mx.sym.Variable('data'), 1, 2)):
        rolled = roll(graph_of(cut_without_squeezing(4, data)), length=4,
                      axes={'data': 1 if data.name != 'data' else 2})
        assert fixed_by(rolled.graph, 4)


def test_graphs_that_prove_nothing():
    graph = graph_of(unrolled(rnn.LSTMCell(3), 4))
    with pytest.raises(ValueError, match='got 4 and 4'):
        certify(graph, graph_of(unrolled(rnn.LSTMCell(3), 4)))
    with pytest.raises(ValueError, match=r'shape=\(0, 3\).* where other has .*shape=\(0, 5\)'):
        certify(graph, graph_of(unrolled(rnn.LSTMCell(5), 6)))
    with pytest.raises(ValueError, match='got none in graph$'):
        certify(graph_of(mx.sym.tanh(mx.sym.Variable('data'))), graph)
    first = [graph_of(rnn.LSTMCell(3).unroll(length, mx.sym.Variable('data'))[0][0])
             for length in (4, 6)]
    with pytest.raises(ValueError, match='several steps .*, got none in graph and other$'):
        certify(*first)


def graph_with(length, name='data', state=mx.sym.tanh, last=mx.sym.cos, outputs=1, note='none'):
    """The graph of a loop and what is computed of its last step."""
    before, weight, begin = mx.sym.Variable(name), mx.sym.Variable('w'), mx.sym.Variable('begin')
    with mx.name.NameManager():
        for step in mx.sym.split(before, num_outputs=length, axis=1, squeeze_axis=True):
            begin = state(mx.sym.FullyConnected(begin, weight, num_hidden=3, no_bias=True)) * step
        found = last(begin, attr={'__note__': note})
        return graph_of(mx.sym.Group([found, mx.sym.sin(found), begin][:outputs]))


@pytest.mark.parametrize('options, first, second', [
    (dict(name='other'), 'has the variable data', 'has the variable other'),
    (dict(last=mx.sym.sin), r'has cos0 \(cos\)', r'has sin0 \(sin\)'),
    (dict(state=mx.sym.sin), r'has tanh0 \(tanh\)', r'has sin0 \(sin\)'),
    (dict(outputs=2), r'returns cos0_output \(cos\)',
     r'returns cos0_output \(cos\), sin0_output \(sin\)'),
    (dict(outputs=3), r'returns cos0_output \(cos\)',
     r'returns cos0_output \(cos\), sin0_output .*')])
def test_graphs_that_differ(options, first, second):
    with pytest.raises(ValueError, match='graph %s where other %s$' % (first, second)):
        certify(graph_with(4), graph_with(6, **options))
    with pytest.raises(ValueError, match='graph %s where other %s$' % (second, first)):
        certify(graph_with(4, **options), graph_with(6))


def test_graphs_that_differ_in_what_a_node_reads():
    graph, other = (graph_with(4, last=lambda state, attr: state - mx.sym.tanh(state)),
                    graph_with(6, last=lambda state, attr: mx.sym.tanh(state) - state))
    with pytest.raises(ValueError, match=r'graph has \w+ \(elemwise_sub, of (\S+) and tanh\S+\) '
                                         r'where other has .* \(elemwise_sub, of tanh\S+ and \1\)'):
        certify(graph, other)


MEANS = {
    'the sum by the number': lambda h, length: mx.sym.add_n(*h) / length,
    'times the inverse': lambda h, length: mx.sym.add_n(*h) * (1 / length),
    'the sum along an axis': lambda h, length: mx.sym.sum(mx.sym.stack(*h, axis=1), axis=1) / length
}


@pytest.mark.parametrize('name', MEANS)
def test_means_that_divide_by_the_number_of_steps(name):
    @named_anew
    def build(length):
        return MEANS[name](encoder(length, merge=False), length)
    rolled = certify(graph_of(build(4)), graph_of(build(6)))
    for length in (4, 6, 3):
        shapes = {'data': (length, 2, 4)}
        assert_equal(run_rolled(rolled, bind(build(length), shapes), shapes))


def custom(prefix='rnn_'):
    """A cell that becomes a loop."""
    return rnn.RNNCell(3, activation='softsign', prefix=prefix)


DIVIDED = {  # of the outputs of encoder and decoder; which of them is divided by its length
    'decoder': lambda e, d, of_e, of_d: mx.sym.sum(d, axis=1) / of_d,
    'encoder': lambda e, d, of_e, of_d: mx.sym.sum(e, axis=1) / of_e + mx.sym.sum(d, axis=1),
    'each': lambda e, d, of_e, of_d: mx.sym.sum(e, axis=1) / of_e + mx.sym.sum(d, axis=1) / of_d,
    'scores of the encoder': lambda e, d, of_e, of_d: mx.sym.sum(
        mx.sym.batch_dot(d, e, transpose_b=True), axis=2) / of_e,
    'two sums': lambda e, d, of_e, of_d: (
        mx.sym.sum(e, axis=1) + mx.sym.sum(d, axis=1)) / of_d,
    'the scores': lambda e, d, of_e, of_d: mx.sym.batch_dot(d, e, transpose_b=True) / of_d,
    'rows of an input': lambda e, d, of_e, of_d: mx.sym.broadcast_add(
        mx.sym.sum(mx.sym.Variable('rows'), axis=1) / of_d, mx.sym.sum(d, axis=1)),
    'the last step': lambda e, d, of_e, of_d: mx.sym.SequenceLast(
        mx.sym.SwapAxis(d, dim1=0, dim2=1)) / of_d}


@pytest.mark.parametrize('name', DIVIDED)
@pytest.mark.parametrize('make', [custom, lambda prefix: rnn.GRUCell(3, prefix)])
def test_a_mean_divides_by_the_length_of_its_own_sequence(name, make):
    def build(source, target):
        with mx.name.NameManager():
            encoded, states = make('e_').unroll(source, mx.sym.Variable('source'),
                                                merge_outputs=True)
            decoded, _ = make('d_').unroll(target, mx.sym.Variable('target'), begin_state=states,
                                           merge_outputs=True)
            return DIVIDED[name](encoded, decoded, source, target)
    graphs = [graph_of(build(length, length)) for length in (4, 6)]
    if name not in ('decoder', 'encoder', 'each', 'scores of the encoder'):
        with pytest.raises(ValueError, match='scalar=4.* where other has .*scalar=6'):
            certify(*graphs)
        return
    shapes = {'source': (2, 10, 5), 'target': (2, 7, 4)}
    assert_equal(run_rolled(certify(*graphs), bind(build(10, 7), shapes), shapes))


def test_a_divisor_in_both_graphs_stays():
    """It is the number of steps in one of them only by chance."""
    with pytest.raises(ValueError, match=r'scalar=4\.?0?\) where other has'):
        certify(*[graph_of(mx.sym.cos(mx.sym.add_n(*encoder(length, merge=False)) / 4) * length)
                  for length in (4, 6)])


def test_a_difference_in_numbers_says_what_to_do():
    """What comes before the first recurrence has no axis of steps."""
    with pytest.raises(ValueError, match=r'\(-1, 4, 5\).*\(-1, 6, 5\).*pad sequences to 4 steps'):
        certify(*[graph_of(named_anew(lambda length: encoder(
            length, data=reshape(DATA, -1, length, 5), layout='NTC'))(length))
            for length in (4, 6)])


def test_notes_make_no_difference():
    assert certify(graph_with(4), graph_with(6, note='other')).findings


def test_lengths_of_a_decoder_are_not_those_of_its_encoder():
    """The decoder reads no sequence: nothing but its number tells how many steps it has."""
    def build(length):
        with mx.name.NameManager():
            encoded = encoder(3, rnn.GRUCell(3, 'e_'), merge=False)
            return rnn.LSTMCell(3, 'd_').unroll(length, [encoded[-1]] * length,
                                                merge_outputs=True)[0]
    with pytest.raises(ValueError, match='repeated .*size=4.* where other has'):
        certify(graph_of(build(4)), graph_of(build(6)))


def test_loops_without_inputs():
    attrs = dict.fromkeys(('in_data_locs', 'in_state_locs', 'remain_locs'), '()')
    graph = graph_of(mx.sym.Variable('data'))
    graph = graph._replace(nodes=(
        interop.Node('_foreach', 'loop', {
            **attrs, 'num_args': '1', 'num_outputs': '1', 'num_out_data': '1'}, ()),
        interop.Node('_arange', 'numbers', {'start': '0', 'stop': '4'}, ())),
        heads=(interop.Entry(0, 0), interop.Entry(1, 0)))
    assert roll(graph, length=4).graph == graph


def test_sizes_of_begin_states_are_no_lengths():
    outputs, _ = rnn.LSTMCell(4).unroll(4, mx.sym.Variable('data'), merge_outputs=True)
    assert fixed_by(roll(graph_of(outputs)).graph, 4) == []


def encoder(length, cell=None, data=None, layout='TNC', merge=True):
    """The outputs of all steps."""
    cell = cell or rnn.LSTMCell(3)
    data = mx.sym.Variable('data') if data is None else data
    return cell.unroll(length, data, layout=layout, merge_outputs=merge)[0]


def beside(other, length, cell=None):
    """Something that reads nothing of the recurrence, behind it."""
    return mx.sym.Group([encoder(length, cell), other])


def reshape(value, *shape, **options):
    return mx.sym.Reshape(value, shape=shape, **options)


def rows_of(length, cell=None, layout='TNC'):
    return reshape(encoder(length, cell, layout=layout), -1, 3)


def weighted(rows, length):
    """A product with the first `length` rows of something as its weight."""
    return mx.sym.FullyConnected(MEMORY, mx.sym.slice_axis(
        rows, axis=0, begin=0, end=length), num_hidden=4, no_bias=True)


def scores(length, cell=None):
    """Five numbers for each step and row."""
    return mx.sym.FullyConnected(rows_of(length, cell), num_hidden=5)


def masked(sequence, length):
    return mx.sym.SequenceMask(sequence, mx.sym.clip(mx.sym.floor(VALID * -9), 0, length),
                               use_sequence_length=True)


def two_lengths(length, cell=None):
    outputs = encoder(length, cell and cell())
    other = encoder(3, cell and cell(prefix='other_') or rnn.GRUCell(3, 'other_'), MEMORY)
    return mx.sym.Group([outputs, other, reshape(reshape(outputs, -1, 3), length, -1, 3)])


DATA, VALID, MEMORY = [mx.sym.Variable(name) for name in ('data', 'valid', 'memory')]
#: Programs of some number of steps, and whether a node that states it does not need it.
STATING = {
    'all sizes': (lambda length: reshape(encoder(length), length, 2, 3), True),
    'all sizes, and the number of steps twice': (
        lambda length: reshape(encoder(length, rnn.LSTMCell(4)), length, 2, 4), False),
    'from behind': (lambda length: reshape(rows_of(length), length, 2, 0, reverse=True), False),
    'time first': (lambda length: reshape(rows_of(length), length, -1, 3), True),
    'time first, the rest as one axis': (lambda length: reshape(encoder(length), length, -1),
                                         False),
    'time first, two rows of one, split': (lambda length: reshape(
        rows_of(length, rnn.LSTMCell(6)), -4, length, -1, -2), False),
    'scores of each time': (lambda length: reshape(mx.sym.FullyConnected(
        encoder(length), num_hidden=5), length, -1, 1), True),
    'scores of each time and row': (lambda length: reshape(mx.sym.FullyConnected(
        encoder(length), num_hidden=5, flatten=False), length, -1, 5), True),
    'a score of each row': (lambda length: reshape(mx.sym.pick(scores(length), reshape(
        MEMORY, -1)), length, -1), True),
    'scores times a mask': (lambda length: reshape(mx.sym.broadcast_mul(scores(length), reshape(
        MEMORY, -1, 1)), length, -1, 5), True),
    'scores plus scores of something': (lambda length: reshape(mx.sym.broadcast_add(
        scores(length), mx.sym.FullyConnected(MEMORY, num_hidden=5, flatten=False)),
        length, -1, 5), False),
    'batch first': (
        lambda length: reshape(rows_of(length, layout='NTC'), -1, length, 3), True, 'NTC'),
    'rows, the other axes as they are': (lambda length: reshape(
        rows_of(length, layout='NTC'), -1, length, -2), False, 'NTC'),
    'time last': (lambda length: reshape(mx.sym.SwapAxis(
        encoder(length, layout='NTC'), 1, 2), -1, 3, length), False, 'NTC'),
    'before the first step': (lambda length: encoder(length, data=reshape(
        mx.sym.Variable('data'), length, -1, 2)), False),
    'behind another recurrence': (two_lengths, True),
    'repeated before the first step': (lambda length: encoder(length, data=mx.sym.broadcast_mul(
        mx.sym.Variable('data'), mx.sym.broadcast_axis(MEMORY, axis=0, size=length))), False),
    'repeated': (lambda length: beside(mx.sym.broadcast_axis(MEMORY, axis=0, size=length), length),
                 True),
    'repeated to a shape': (lambda length: beside(mx.sym.broadcast_to(
        MEMORY, shape=(length, 0, 1)), length), True),
    'repeated to a shape of two sizes': (lambda length: beside(mx.sym.broadcast_to(
        MEMORY, shape=(length, 0, 5)), length), False),
    'as many columns as steps': (lambda length: mx.sym.slice_axis(
        encoder(length, rnn.LSTMCell(7)), axis=2, begin=0, end=length), False),
    'as many steps of longer data': (lambda length: encoder(length, data=mx.sym.slice_axis(
        mx.sym.Variable('longer'), axis=0, begin=0, end=length)), False),
    'a weight with so many rows': (lambda length: beside(mx.sym.FullyConnected(
        reshape(MEMORY, -1, 1), reshape(mx.sym.arange(0, length), -1, 1), num_hidden=length,
        no_bias=True), length), False),
    'rows of a weight': (lambda length: mx.sym.Group([encoder(length), weighted(
        mx.sym.Variable('wide'), length)]), False),
    'numbers': (lambda length: beside(mx.sym.arange(0, length), length), True),
    'numbers without a begin': (lambda length: beside(mx.sym.arange(length), length), True),
    'numbers behind another loop': (lambda length: mx.sym.Group([
        two_lengths(length, custom), mx.sym.arange(0, length)]), True),
    'numbers with steps of fewer': (lambda length: mx.sym.Group([mx.sym.stack(*[
        mx.sym.dot(each, each, transpose_b=True) for each in encoder(
            3, data=MEMORY, merge=False)], axis=0), mx.sym.arange(0, length)]), False),
    'steps twice': (lambda length: beside(mx.sym.tile(MEMORY, reps=(length, 1, 1)), length), False),
    'numbers from 1': (lambda length: beside(mx.sym.arange(1, length), length), False),
    'numbers twice': (lambda length: beside(mx.sym.arange(0, length, repeat=2), length), False),
    'other numbers': (lambda length: beside(mx.sym.arange(0, 7), length), False),
    'numbers before the first step': (lambda length: encoder(length, data=mx.sym.broadcast_mul(
        mx.sym.Variable('data'), reshape(mx.sym.arange(0, length), -1, 1, 1))), False),
    'lengths': (lambda length: beside(mx.sym.clip(VALID, 0, length), length), True),
    'lengths from 1': (lambda length: beside(mx.sym.clip(VALID, 1, length), length), True),
    'lengths of something else': (lambda length: beside(mx.sym.clip(VALID, 0, 7), length), False),
    'lengths behind another recurrence': (lambda length: mx.sym.Group([
        encoder(3, rnn.GRUCell(3, 'other_'), MEMORY), masked(encoder(length), length)]), True),
    'lengths of something longer': (lambda length: beside(masked(MEMORY, 7), length), False),
    'lengths that the sequence is made of': (lambda length: encoder(length, data=masked(
        mx.sym.broadcast_mul(mx.sym.Variable('data'), reshape(mx.sym.clip(
            VALID, 0, length), 1, -1, 1)), length)), False),
    'lengths that are not bounded': (lambda length: encoder(length, data=mx.sym.SequenceMask(
        mx.sym.Variable('data'), mx.sym.floor(mx.sym.abs(VALID) * 4),
        use_sequence_length=True)), False),
}


def named_anew(build):
    """`build`, with automatic names that begin anew in each graph."""
    def make(length):
        with mx.name.NameManager():
            return build(length)
    return make


def stated_shapes(name, symbol, length):
    """The shapes of a STATING program's inputs."""
    shapes = {'data': (2, length, 4) if STATING[name][2:] else (length, 2, 4), 'valid': (2,),
              'wide': (9, 3), 'longer': (9, 2, 4)}
    shapes['memory'] = {
        'rows of a weight': (2, 3), 'a score of each row': (length, 2),
        'scores times a mask': (length, 2),
        'scores plus scores of something': (3, 1, 1),
        'lengths of something longer': (9, 2, 1),
    }.get(name, (3, 2, 4) if 'another' in name or 'numbers' in name else (1, 2, 1))
    return {each: shapes[each] for each in shapes if each in symbol.list_arguments()}


@pytest.mark.parametrize('name', STATING)
def test_nodes_that_state_the_number_of_steps(name):
    program, freed, *_ = STATING[name]
    make = named_anew(program)
    graph = graph_of(make(4))
    rolled = roll(graph, length=4)
    fixed = any(each.kind == 'fixed' for each in rolled.findings)
    assert (rolled.graph != roll(graph, length=99).graph and not fixed) is freed
    assert rolled.graph.outputs == graph.outputs
    if name == 'all sizes':  # the batch is one of them
        with pytest.raises((RuntimeError, ValueError), match='shape|size'):
            run_rolled(rolled, bind(encoder(4), {'data': (4, 4, 4)}), {'data': (4, 4, 4)})
    for length in (4, 6) if freed else (4,):
        symbol = make(length)
        shapes = stated_shapes(name, symbol, length)
        assert_equal(run_rolled(rolled, bind(symbol, shapes), shapes))


@pytest.mark.parametrize('layout, codes, steps', [
    ('TNC', (4, -1, 3), 4), ('TNC', (-1, 4, 3), 0), ('NTC', (-1, 4, 3), 4), ('NTC', (4, -1, 3), 0),
    ('NTC', (5, 4, 3), 4), ('NTC', (-1, 4, 1), 0), ('NTC', (-1, 2, 3), 0),
    ('NTC', (-4, -1, 4, 0), 4), ('NTC', (-1, 6), 0)])
def test_a_reshape_behind_the_operator_states_its_steps(layout, codes, steps):
    """Not those of a batch, a part of the features, or pairs of steps."""
    graph = graph_of(reshape(rows_of(4, rnn.FusedRNNCell(3), layout=layout), *codes))
    assert [*stated_steps(graph).values()] == [steps] * bool(steps)
    assert [each[1:3] for each in roll(graph).findings] == [(steps, 'fixed')] * bool(steps)


JOINED_FEATURES = {
    'the last step': lambda all: mx.sym.slice_axis(all, axis=1, begin=9, end=None),
    'all but the last': lambda all: mx.sym.slice_axis(all, axis=1, begin=0, end=9),
    'split': lambda all: mx.sym.split(all, num_outputs=4, axis=1)[3],
    'pooled': lambda all: mx.sym.Pooling(mx.sym.expand_dims(all, axis=1), kernel=(12,))}


@pytest.mark.parametrize('name', JOINED_FEATURES)
def test_joined_features_that_are_cut_keep_the_number_of_steps(name):
    steps = encoder(4, layout='NTC', merge=False)
    symbol = JOINED_FEATURES[name](mx.sym.concat(*steps, dim=1))
    rolled, shapes = roll(graph_of(symbol)), {'data': (2, 4, 4)}
    bound = bind(symbol, shapes)
    assert_equal(run_rolled(rolled, bound, shapes))
    with pytest.raises(ValueError, match='must split its input into 4 steps'):
        run_rolled(rolled, bind(encoder(8, layout='NTC'), {'data': (2, 8, 4)}),
                   {'data': (2, 8, 4)})


@pytest.mark.parametrize('most, found', [(4, {4}), (3.5, set()), (float('inf'), set())])
def test_bounds_of_lengths(most, found):
    outputs = mx.sym.clip(masked(mx.sym.Variable('data'), most), 0, 6)
    assert bounds(graph_of(outputs)) == found
    fewer = mx.sym.SequenceMask(DATA, mx.sym.clip(VALID, 0, most) - 1, use_sequence_length=True)
    assert bounds(graph_of(fewer)) == set()


def refused_by_mxnet(symbol, shapes):
    with pytest.raises(mx.base.MXNetError, match='do not divide|num_outputs=|Invalid end'):
        for_mxnet(symbol).infer_shape(**shapes)


def part(begin, end, cell=None, axis=0):
    """What makes so many steps of a recurrence."""
    return lambda length: mx.sym.slice_axis(
        encoder(length, cell and cell(), layout='NTC' if axis else 'TNC'), axis=axis,
        begin=begin if begin >= 0 else length + begin, end=length + end)


def of_data(begin, end, op=lambda data, *cut: mx.sym.slice_axis(
        data, axis=0, begin=cut[0], end=cut[1])):
    """A part of what a cell reads, beside its outputs."""
    return lambda length: mx.sym.Group([encoder(length, data=DATA), op(
        DATA, begin if begin >= 0 else length + begin, end if end > 0 else length + end)])


def shifted(length):
    """A cell that reads the step before."""
    first, rest = (mx.sym.slice_axis(DATA, axis=0, begin=0, end=end) for end in (1, length - 1))
    return encoder(length, data=mx.sym.Concat(mx.sym.zeros_like(first), rest, dim=0))


def sliced(cuts):
    """What `slice` makes of the outputs of a cell."""
    return lambda length: mx.sym.slice(encoder(length, layout='NTC'), *cuts(length))


def cut(begin):
    """A cell over steps that are cut one by one."""
    return lambda length: encoder(length - begin, data=[reshape(mx.sym.slice_axis(
        DATA, axis=1, begin=t, end=t + 1), 0, -1) for t in range(begin, length)])


def both_ends(steps):
    but_the_last = mx.sym.mean(mx.sym.stack(*steps[:-1], axis=1), axis=1)
    return mx.sym.concat(steps[0], *steps[-2:], but_the_last, dim=1)


def decoded(steps):
    return [mx.sym.zeros_like(steps[0]), *steps[:3]]


#: Programs that read a part of a sequence, and what gives the same for another number of steps:
#: the rolled graph, that of a given number of steps, that of two.
PARTS = {
    'all steps': (part(0, 0), 'rolled given proved'),
    'the last step': (part(-1, 0), 'rolled given proved'),
    'all steps but the first': (part(1, 0), 'proved'),
    'the last two steps': (part(-2, 0, axis=1), 'proved'),
    'the last two steps, counted from the end': (lambda length: mx.sym.slice_axis(
        encoder(length, layout='NTC'), axis=1, begin=-2, end=length), 'rolled given proved'),
    'all steps but the first and the last': (part(1, -1, custom), 'proved'),
    'the first step': (lambda length: mx.sym.slice_axis(
        encoder(length), axis=0, begin=0, end=1), 'rolled given proved'),
    'all steps but the first, up to the end': (lambda length: mx.sym.slice_axis(
        encoder(length), axis=0, begin=1, end=None), 'rolled given proved'),
    'the last step, batch first, by slice': (sliced(lambda length: (
        (None, length - 1), (None, length))), 'rolled given proved'),
    'all steps, cut one by one': (cut(0), 'given proved'),
    'all steps but the first, cut one by one': (cut(1), ''),
    'the third': (lambda length: encoder(length, merge=False)[2], 'proved'),
    'the third, batch first': (lambda length: encoder(length, layout='NTC', merge=False)[2],
                               'proved'),
    'the third of both directions': (lambda length: encoder(length, rnn.BidirectionalCell(
        rnn.GRUCell(2, 'l_'), rnn.GRUCell(2, 'r_')), merge=False)[2], 'proved'),
    'the last of a residual cell': (lambda length: encoder(length, rnn.ResidualCell(
        rnn.GRUCell(4, 'l_')), merge=False)[-1], 'rolled given proved'),
    'the last of both directions': (lambda length: encoder(length, rnn.BidirectionalCell(
        rnn.GRUCell(2, 'l_'), rnn.GRUCell(2, 'r_')), merge=False)[-1], 'rolled given proved'),
    'the third of layers': (lambda length: encoder(length, stack(
        rnn, rnn.LSTMCell(3, 'l0_'), rnn.LSTMCell(2, 'l1_')), merge=False)[2], 'proved'),
    'the last three of the data': (of_data(-3, 0), 'proved'),
    'the last three of the data, by slice': (of_data(-3, 0, lambda data, *cut: mx.sym.slice(
        data, begin=cut[:1], end=cut[1:])), 'proved'),
    'the data without the last': (of_data(0, -1), 'proved'),
    'the last of the data': (of_data(-1, 0), 'rolled given proved'),
    'the first of the data': (of_data(0, 1), 'rolled given proved'),
    'all of the data': (of_data(0, 0), 'rolled given proved'),
    'the data of the step before': (shifted, 'proved'),
    'both ends': (lambda length: both_ends(encoder(length, merge=False)), 'proved'),
    'a decoder of three steps': (lambda length: rnn.GRUCell(4, 'd_').unroll(
        4, decoded(encoder(length, merge=False)))[0][-1], 'proved'),
}


# differences.md: an unrolled graph that reads particular steps (fits its own length)
@pytest.mark.parametrize('name', PARTS)
def test_parts_of_sequences(name):
    build, right = PARTS[name]
    make = named_anew(build)
    graph = graph_of(make(6))
    ways = {'rolled': roll(graph), 'given': roll(graph, length=6)}
    if 'proved' in right:
        ways['proved'] = certify(graph, graph_of(make(9)))
    else:
        with pytest.raises(ValueError, match='where other has'):
            certify(graph, graph_of(make(9)))
    for way, rolled in ways.items():
        assert rolled.graph.outputs == graph.outputs
        fixed = [str(each) for each in rolled.findings if each.kind == 'fixed']
        assert ['from which end' in each for each in fixed] == [True] * (
            way not in right and 'cut' not in name)
        for length in (6, 9, 4):
            shapes = {'data': (2, length, 4) if any(
                word in name for word in ('batch', 'two', 'cut')) else (length, 2, 4)}
            bound = bind(make(length), shapes)
            if length == 6 or way in right:
                assert_equal(run_rolled(rolled, bound, shapes))
            elif length == 4 or 'cut' not in name:  # parts of longer data are parts
                with pytest.raises((RuntimeError, ValueError), match='shape|size|at least|steps'):
                    run_rolled(rolled, bound, shapes)
                refused_by_mxnet(make(6), shapes)


def both_directions(units, prefix):
    return rnn.BidirectionalCell(*[rnn.GRUCell(units, prefix + end) for end in ('l_', 'r_')])


@pytest.mark.parametrize('build, kind', [
    (part(-1, 0, lambda: rnn.ZoneoutCell(rnn.GRUCell(3, 'gru_'), .2, .3)), 'loop'),
    # Both directions of the second layer read what the dropout draws.
    (lambda length: encoder(length, stack(rnn, both_directions(2, 'a_'), rnn.DropoutCell(.5),
                                          both_directions(3, 'b_'))), 'kernel')])
def test_what_training_draws_keeps_no_number_of_steps(build, kind):
    make = named_anew(build)
    rolled = roll(graph_of(make(4)), training=True)
    assert {each.kind for each in rolled.findings} == {kind}
    for length in (4, 6, 3):
        shapes = {'data': (length, 2, 4)}
        assert_equal(run_rolled(rolled, bind(make(length), shapes), shapes))


#: Operators that give something else than one step for each, and what is made of their output: its
#: numbers may be those of the steps.
UNCLEAR = {
    'sort': lambda steps: mx.sym.sort(steps, axis=1),
    'cumsum': lambda steps: mx.sym.cumsum(steps, axis=1),
    'tile': lambda steps: mx.sym.tile(steps, reps=(1, 2, 1)),
    'repeat': lambda steps: mx.sym.repeat(steps, repeats=2, axis=1),
    'joined': lambda steps: mx.sym.Concat(steps, mx.sym.cos(steps), dim=1),
    'a variable': lambda steps: mx.sym.broadcast_mul(steps, MEMORY),
}
CUT_UNCLEAR = {
    'the last': lambda steps, length: mx.sym.slice_axis(
        steps, axis=1, begin=length - 1, end=length),
    'the first ones': lambda steps, length: mx.sym.slice_axis(
        steps, axis=1, begin=0, end=length),
    'the first ones, by slice': lambda steps, length: mx.sym.slice(
        steps, begin=(None, None), end=(None, length)),
    'shaped': lambda steps, length: reshape(steps, -1, length, 3),
    'scores, shaped': lambda steps, length: reshape(mx.sym.FullyConnected(
        reshape(steps, -1, 3), num_hidden=5), -1, length, 5),
}


@pytest.mark.parametrize('cut', CUT_UNCLEAR)
@pytest.mark.parametrize('name', UNCLEAR)
@pytest.mark.parametrize('given', [None, 4])
def test_numbers_behind_operators_that_do_not_keep_steps(name, cut, given):
    as_many = name in ('sort', 'argsort', 'cumsum')
    freed = as_many and (given or 'shaped' not in cut)

    @named_anew
    def build(length):
        return CUT_UNCLEAR[cut](UNCLEAR[name](encoder(length, layout='NTC')), length)
    symbol = build(4)
    rolled = roll(graph_of(symbol), length=given)
    for length in (4, 6, 3):
        shapes = {'data': (2, length, 4), **({'memory': (2, 1, 3)} if 'var' in name else {})}
        bound = bind(build(length), shapes)
        if length == 4 or freed:
            assert_equal(run_rolled(rolled, bound, shapes))
            continue
        with pytest.raises((RuntimeError, ValueError), match='shape|size'):
            run_rolled(rolled, bound, shapes)


def each_with(other):
    """The sum of each step and another one."""
    return lambda h: mx.sym.stack(*[step + other(h, t) for t, step in enumerate(h)], axis=1)


#: What is made of the steps of a cell, and whether two of them tell what it is for others: alone,
#: and with the graph of four.
TWO_STEPS = {
    'joined': (lambda h: mx.sym.stack(*h, axis=1), 'rolled proved'),
    'the sum': (lambda h: mx.sym.add_n(*h), 'rolled proved'),
    'joined, and the first': (lambda h: mx.sym.Group([mx.sym.stack(*h, axis=1), h[0]]),
                              'rolled proved'),
    'from the last to the first': (lambda h: mx.sym.stack(*h[::-1], axis=1), 'rolled proved'),
    'the first and the last': (lambda h: h[0] + h[-1], 'proved'),
    'the first and the second': (lambda h: h[0] + h[1], ''),
    'each and the last': (each_with(lambda h, t: h[-1]), 'proved'),
    'each and a function of the last': (each_with(lambda h, t: mx.sym.cos(h[-1])), 'proved'),
    'each and the next': (each_with(lambda h, t: h[min(t + 1, len(h) - 1)]), ''),
    'each and the one before': (each_with(lambda h, t: h[max(t - 1, 0)]), ''),
    'each and the one opposite': (each_with(lambda h, t: h[-1 - t]), 'proved'),
    'a list': (lambda h: mx.sym.Group(list(map(mx.sym.cos, h))), ''),
    'all, and zeros before all but the last': (lambda h: mx.sym.Group([
        mx.sym.stack(*h), mx.sym.stack(mx.sym.zeros_like(h[0]), *h[:-1])]), ''),
    'the first, all, and zeros before rows of all but the last': (lambda h: mx.sym.Group([
        h[0], mx.sym.stack(*h), mx.sym.Concat(*[mx.sym.expand_dims(each, axis=1) for each in (
            mx.sym.Variable('zeros', shape=(2, 3)), *h[:-1])], dim=1)]), ''),
    'all, and the sum of one function of the first and another of all but the last': (
        lambda h: mx.sym.Group([mx.sym.stack(*h), mx.sym.add_n(
            mx.sym.cos(h[0]), *map(mx.sym.sin, h[:-1]))]), ''),
    'all but the first, and zeros': (lambda h: mx.sym.stack(
        *h[1:], mx.sym.Variable('zeros', shape=(2, 3)), axis=1), ''),
    'the last twice': (lambda h: mx.sym.stack(h[-1], mx.sym.SequenceLast(mx.sym.stack(*h))),
                       'rolled proved'),
}


@pytest.mark.parametrize('name', TWO_STEPS)
@pytest.mark.parametrize('cell', [rnn.LSTMCell, custom])
def test_two_steps(cell, name):
    read, right = TWO_STEPS[name]

    @named_anew
    def build(length):
        return read(encoder(length, cell() if cell is custom else cell(3), merge=False))
    graph = graph_of(build(2))
    ways = {'rolled': roll(graph)}
    if 'proved' in right:
        ways['proved'] = certify(graph, graph_of(build(4)))
    else:
        with pytest.raises(ValueError, match='where other'):
            certify(graph, graph_of(build(4)))
    for way, rolled in ways.items():
        for length in (2, 3, 4):
            shapes = {'data': (length, 2, 4)}
            bound = bind(build(length), shapes)
            if length == 2 or way in right:
                assert_equal(run_rolled(rolled, bound, shapes))
            else:
                with pytest.raises((RuntimeError, ValueError), match='shape|size|must split'):
                    run_rolled(rolled, bound, shapes)
                refused_by_mxnet(build(2), shapes)
