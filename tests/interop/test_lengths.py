"""A file is right at every length that it takes: it refuses another one, or gives the numbers of
the program's own graph there."""
import functools
import math
import zlib

import numpy as np
import pytest

from mxrnn import interop
from mxrnn.interop.prepare import prepare

from .. import mx, rnn
from .compare import difference, magnitude
from .formats import FORMATS
from .models import S, V, over, random_model
from .onnx_runs import bound
from .programs import stack

WIDTH, UNITS = 5, 6


# ---- the check

def of_features(batch, steps):
    return {'data': (batch, steps, WIDTH)}


class Case:
    """A program, its model of some sizes, and what it gives at others. `shapes` are those of the
    inputs for a batch and sizes."""

    def __init__(self, build, shapes, sizes, *others, batches=(3, 2)):
        self._build, self._shapes = build, shapes
        self.sizes, self.others, self.batches, self.runs = sizes, others, batches, {}
        self.model = random_model(self.symbol(*sizes), shapes(batches[0], *sizes))

    def symbol(self, *sizes):
        with mx.name.NameManager():
            return self._build(*sizes)

    def data(self, batch, *sizes):
        """Random data."""
        found = {}
        for name, shape in self._shapes(batch, *sizes).items():
            draw = np.random.RandomState(zlib.crc32(name.encode()))
            found[name] = (
                draw.randint(1, sizes[0] + 1, shape) if name == 'lengths' else draw.randint(
                    0, 9, shape) if name in ('letters', 'tags') else draw.uniform(
                        -1, 1, shape)).astype('f')
        return found

    def outputs(self, batch, *sizes):
        """What the program's own graph of these sizes gives; [] if there is none with the model's
        weights."""
        if (batch, *sizes) not in self.runs:
            data = self.data(batch, *sizes)
            try:
                executor = bound(self.symbol(*sizes), {
                    name: array.shape for name, array in data.items()}, self.model.arg_params, data)
                own = all(name in executor.arg_dict and executor.arg_dict[name].shape == array.shape
                          for name, array in self.model.arg_params.items())
                found = [each.asnumpy() for each in executor.forward(is_train=False)] * own
            except (RuntimeError, ValueError):
                found = []
            self.runs[(batch, *sizes)] = found
        return self.runs[(batch, *sizes)]

    def typed(self):
        """What may be typed: nothing, and shapes of inputs."""
        one, two, more = (self._shapes(batch, *[size + extra for size in self.sizes])
                          for batch, extra in ((3, 0), (4, 0), (3, 1)))

        def shapes(batch, time):
            return {name: tuple([
                size if size == other == longer else (batch or size) if size != other else
                time % (size, size) if '%' in time else time and time + name or size
                for size, other, longer in zip(shape, two[name], more[name])])
                for name, shape in one.items()}
        return {'nothing': None, 'a number': shapes('batch', ''), 'numbers': shapes(0, ''),
                'names': shapes('batch', 'time_'), 'a batch': shapes(0, 'time_'),
                'steps': shapes('batch', 'time_%d:%d')}

    def taken(self, way, path, inputs=None, **options):
        """The batches and sizes that a file takes, which must be right there; [] if it is not
        written."""
        if way == 'onnx' and inputs is None:
            options = {'check': True, **options}
        try:
            run = FORMATS[way](self.model, path, inputs, **options)
        except ValueError:
            return []
        found = []
        for sizes in [self.sizes, *self.others]:
            for batch in self.batches:
                wanted = self.outputs(batch, *sizes)
                try:
                    given = run(self.data(batch, *sizes))
                except Exception:  # each library has its own
                    continue
                assert len(given) == len(wanted) or not wanted, (way, inputs, sizes)
                for one, other in zip(given, wanted):
                    assert one.shape == other.shape, (way, inputs, sizes)
                    assert difference(other, one, magnitude(other)) < 1e-5, (way, inputs, sizes)
                found += [(batch, *sizes)] * bool(wanted)
        return found

    def check(self, path, free=None, freed=False):
        """A file takes other sizes if it is `free`, or with 'time:T' if it is `freed`. The shapes
        of a call of what `to_torch` makes are as good as typed."""
        own, asked, typed = (self.batches[0], *self.sizes), False, self.typed()
        for way, keys in WAYS.items():
            taken = {key: self.taken(way, path, typed[key]) for key in keys or typed
                     if not (way == 'torch' and asked and key == 'nothing')}
            asked = way != 'torch' and not taken['nothing']
            assert own in taken.get('numbers', [own]), way
            if freed:
                assert any(size[1:] != self.sizes for size in taken['steps']), way
            for key in {'nothing', 'names'}.intersection(taken) if free is not None else ():
                assert any(size[1:] != self.sizes for size in taken[key]) is free, (way, key)
        for other in self.others[:1]:
            self.taken('onnx', path, certify_by=interop.graph_from_json(
                self.symbol(*other).tojson()))


#: Formats, and what is typed. One plan decides about that for all of them, so that ONNX gets
#: everything. `to_torch` makes the class of the source: only its checks of calls are new.
WAYS = {'onnx': (), 'source': ('nothing', 'steps'), 'torch': ('nothing', 'numbers', 'steps')}


# ---- programs of one length

KINDS = 'LSTMCell', 'FusedRNNCell', 'dynamic_unroll'


def unroller(kind):
    """Unrolls an LSTM: its outputs and its states."""
    def unroll(length, data=None, prefix='r_', begin=None, **options):
        data = V('data') if data is None else data
        if kind == 'dynamic_unroll':
            return rnn.dynamic_unroll(rnn.LSTMCell(UNITS, prefix), data, begin, **options)
        cell = rnn.LSTMCell(UNITS, prefix) if kind == 'LSTMCell' else rnn.FusedRNNCell(
            UNITS, mode='lstm', prefix=prefix, get_next_state=True)
        return cell.unroll(length, data, begin, merge_outputs=True, **options)
    return unroll


def dense(x, units=3, name='fc'):
    """A layer over each row."""
    return S.FullyConnected(S.Reshape(x, shape=(-1, UNITS)), num_hidden=units, name=name)


def part(x, begin, end, axis=1):
    return S.slice_axis(x, axis=axis, begin=begin, end=end)


def joined(x, *shape):
    return S.Reshape(x, shape=shape)


def frames(x):
    return S.expand_dims(x, axis=1)


def largest(x, T):
    """Of windows of half of the steps."""
    return S.Pooling(S.transpose(x, (0, 2, 1)), kernel=(T // 2,), stride=(T // 2,), pool_type='max')


def last_of_all(x, T):
    zero = joined(part(part(x, 0, 1), 0, 1, axis=2), -1) * 0
    return S.SequenceLast(S.swapaxes(x, dim1=0, dim2=1), zero + T, use_sequence_length=True)


def sum_in_python(x, T):
    first, *others = S.SliceChannel(x, num_outputs=T, axis=1, squeeze_axis=True)
    return sum(others, first) / T


#: Heads over the outputs of T steps, by what the file does: 'any' takes other lengths; 'counted'
#: does so behind cells, whose steps rolling up counts, and behind others with 'time:T'; 'freed'
#: with 'time:T' alone; 'tied' does not.
HEADS = {
    'any': {
        'all': lambda x, T: x,
        'the largest': lambda x, T: S.Pooling(
            frames(x), kernel=(1, 1), global_pool=True, pool_type='max'),
        'the last by -1': lambda x, T: part(x, -1, None),
        'all but the last': lambda x, T: part(x, 0, -1),
        'a mean': lambda x, T: S.mean(x, axis=1),
        'a mean over units': lambda x, T: S.sum(x, axis=2) / UNITS,
        'rows of half a step': lambda x, T: joined(x, -1, UNITS // 2),
        'pairs, windows of two': lambda x, T: joined(x, 0, -1, 2 * UNITS)},
    'counted': {
        'a layer of each step': lambda x, T: joined(dense(x), -1, T, 3),
        'a layer of each step, time first': lambda x, T: joined(dense(x), T, -1, 3),
        'the last': lambda x, T: part(x, T - 1, T),
        'the last, time first': lambda x, T: part(x, T - 1, T, axis=0),
        'the last, to the end': lambda x, T: part(x, T - 1, None),
        'all but the first': lambda x, T: part(x, 1, T)},
    'freed': {
        'two windows of all': lambda x, T: S.Pooling(S.Convolution(
            frames(x), kernel=(3, UNITS), num_filter=2, name='conv'), kernel=(T - 2, 1),
            pool_type='avg'),
        'SequenceLast of T': last_of_all,
        'a mean by hand': lambda x, T: S.sum(x, axis=1) / T,
        'a sum over sqrt(T)': lambda x, T: S.sum(x, axis=1) / math.sqrt(T),
        'a sum over log(T)': lambda x, T: S.sum(x, axis=1) / math.log(T),
        'a sum of parts': lambda x, T: S.sum(x * (1 / T), axis=1),
        'scores over sqrt(T)': lambda x, T: S.softmax(S.sum(x, axis=2) / math.sqrt(T))},
    'tied': {
        'topk of half': lambda x, T: S.topk(x, axis=1, k=T // 2, ret_typ='value'),
        'windows of half': largest,
        'a window of all': lambda x, T: S.Pooling(frames(x), kernel=(T, 1), pool_type='max'),
        'a kernel of all': lambda x, T: S.Convolution(
            frames(x), kernel=(T, UNITS), num_filter=2, name='conv'),
        'split by half': lambda x, T: S.add_n(*S.SliceChannel(x, axis=1, num_outputs=T // 2)),
        'split in two': lambda x, T: S.concat(*S.SliceChannel(x, axis=1, num_outputs=2), dim=2),
        'the first third': lambda x, T: part(x, 0, T // 3),
        'the last three': lambda x, T: part(x, T - 3, T),
        'the third from the end': lambda x, T: part(x, T - 3, T - 2),
        'the third': lambda x, T: part(x, 2, 3),
        'take at T - 1': lambda x, T: S.take(x, S.full((1,), T - 1), axis=1),
        'a mean over steps and units': lambda x, T: S.sum(x, axis=(1, 2)) / (T * UNITS),
        'a sum in Python': sum_in_python,
        'ages': lambda x, T: S.sum(S.broadcast_mul(x, .9 ** joined(
            T - 1 - S.arange(0, T), 1, -1, 1)), axis=1),
        'padded to 20': lambda x, T: S.Pad(frames(x), mode='constant', pad_width=(
            0, 0, 0, 0, 0, 20 - T, 0, 0)),
        'thirds': lambda x, T: S.max(joined(x, -1, T // 3, UNITS), axis=1),
        'rows of three': lambda x, T: joined(x, -1, 3 * UNITS),
        'windows of four': lambda x, T: S.max(joined(x, -1, 4, UNITS), axis=1),
        'windows of four and back': lambda x, T: joined(dense(joined(x, -1, 4, UNITS)), -1, T, 3),
        'windows of four, time first': lambda x, T: joined(x, 4, -1, 3, UNITS),
        'windows of sequences, time first': lambda x, T: joined(x, -1, 4, 3, UNITS),
        'steps in the width': lambda x, T: S.FullyConnected(x, num_hidden=3, name='fc'),
        'a row of all steps': lambda x, T: joined(x, -1, T * UNITS)}}


def lengths_from_the_end(unroll, T):
    data = S.swapaxes(V('data'), dim1=0, dim2=1)
    return S.SequenceLast(unroll(T, data, layout='TNC')[0], T - V('lengths') + 1,
                          use_sequence_length=True)


def padded(unroll, T):
    outputs, states = unroll(T, valid_length=V('lengths'))
    return S.Group([outputs, S.identity(states[0])])


def less_their_mean(unroll, T):
    data = V('data')
    return unroll(T, S.broadcast_sub(data, S.sum(data, axis=1, keepdims=True) / T))[0]


def places(unroll, T):
    """Each step gets its place, from 0 to 1."""
    return unroll(T, S.broadcast_add(V('data'), joined(S.arange(T) / T, 1, T, 1)))[0]


def sentences(unroll, T):
    """Frames of T words, of which a window leaves half, are joined to T steps of two sentences."""
    words = S.Pooling(S.transpose(V('data'), (0, 2, 1)), kernel=(2,), stride=(2,), pool_type='max')
    return unroll(T, joined(S.transpose(words, (0, 2, 1)), -1, T, WIDTH))[0]


def characters(unroll, T):
    """OCR: four columns of an image are a step."""
    found = V('data')
    for name in 'first', 'second':
        found = S.Pooling(S.Convolution(found, kernel=(3, 3), pad=(1, 1), num_filter=2, name=name),
                          kernel=(2, 2), stride=(2, 2), pool_type='max')
    rows = joined(S.transpose(found, axes=(3, 0, 1, 2)), 0, 0, -3)
    return S.softmax(joined(dense(unroll(T, rows, layout='TNC')[0]), T, -1, 3), axis=2)


def spoken(unroll, T):
    """A window leaves half of the frames, and a Reshape states the steps."""
    found = S.Convolution(frames(V('data')), num_filter=2, kernel=(3, 3), stride=(2, 2),
                          pad=(1, 1), name='conv')
    rows, steps = joined(S.transpose(found, axes=(0, 2, 1, 3)), 0, 0, -3), (T + 1) // 2
    return joined(dense(unroll(steps, rows)[0]), -1, steps, 3)


def as_rows(*shape):
    """A layer makes rows, which a Reshape joins to sequences of T steps."""
    def build(unroll, T):
        rows = S.FullyConnected(joined(V('data'), -1, WIDTH), num_hidden=UNITS, name='rows')
        return unroll(T, joined(rows, *[size or T for size in shape]))[0]
    return build


def differences(unroll, T):
    data = V('data')
    return unroll(T - 1, part(data, 1, T) - part(data, 0, T - 1))[0]


def skipping(unroll, T):
    """Each third step is a sequence of its own."""
    x = joined(part(unroll(T)[0], -(T // 3) * 3, None), -1, T // 3, 3, UNITS)
    rows = joined(S.transpose(x, (0, 2, 1, 3)), -1, T // 3, UNITS)
    return joined(unroll(T // 3, rows, 's_')[0], -1, 3, T // 3, UNITS)


def windowed(unroll, T):
    """Frames of windows of three steps, as in LSTNet, of which the last six are also summed."""
    found = joined(S.Convolution(joined(V('data'), 0, 1, T, WIDTH), num_filter=UNITS,
                                 kernel=(3, WIDTH), name='conv'), 0, 0, -1)
    return part(unroll(T - 2, S.transpose(found, (0, 2, 1)))[0], -1, None) + S.expand_dims(
        S.sum(part(found, -6, None, axis=2), axis=2), axis=1)


def autoencoder(repeated):
    def build(unroll, T):
        return unroll(T, repeated(part(unroll(T, prefix='e_')[0], -1, None), T), 'd_')[0]
    return build


def of_a_shop(repeated):
    """The features of each day beside those of a shop, repeated for each day."""
    def build(unroll, T):
        shop = S.expand_dims(S.FullyConnected(V('shop'), num_hidden=2, name='of_shop'), axis=1)
        return dense(unroll(T, S.concat(V('data'), repeated(shop, T), dim=2))[0])
    return build


REPEATED = {'broadcast_axis': lambda x, T: S.broadcast_axis(x, axis=1, size=T),
            'broadcast_to': lambda x, T: S.broadcast_to(x, shape=(0, T, 0)),
            'tile': lambda x, T: S.tile(x, reps=(1, T, 1)),
            'repeat': lambda x, T: S.repeat(x, repeats=T, axis=1)}
#: Programs around recurrences, by what the file does.
AROUND = {
    'loops': {'valid_length': padded},  # dynamic_unroll bounds no lengths
    'counted': {'OCR': characters, 'frames to steps': spoken},
    'freed': {'lengths from the end': lengths_from_the_end, 'a sum of data': less_their_mean,
              'places': places, 'differences': differences,
              **{'autoencoder, ' + name: autoencoder(each) for name, each in REPEATED.items()},
              **{'features, ' + name: of_a_shop(each) for name, each in REPEATED.items()}},
    'of cells': {'autoencoder, list': autoencoder(
        lambda x, T: S.stack(*[joined(x, -3, 0)] * T, axis=1))},
    'tied': {'sentences': sentences, 'windows that shorten': windowed, 'skipping': skipping,
             'rows to steps': as_rows(-1, 0, UNITS),
             'rows to steps of a batch': as_rows(3, 0, UNITS),
             'every second step': lambda unroll, T: unroll((T + 1) // 2, S.slice(
                 V('data'), begin=(None, 0), end=(None, T), step=(None, 2)))[0],
             'a window at the end': lambda unroll, T: unroll(5, part(V('data'), T - 5, T))[0],
             'autoencoder, concat': autoencoder(lambda x, T: S.concat(*[x] * T, dim=1))}}
#: By what a file does, the kinds of recurrence behind which it takes other lengths, and those
#: behind which it does with 'time:T'.
VERDICTS = {'any': (KINDS, KINDS), 'counted': (KINDS[:1], KINDS), 'freed': ((), KINDS),
            'of cells': ((), KINDS[:1]), 'loops': (KINDS[2:], KINDS), 'tied': ((), ())}
PROGRAMS = {
    **{name: (verdict, lambda unroll, T, head=head, name=name: head(unroll(
        T, layout='TNC' if 'time first' in name else 'NTC')[0], T))
        for verdict, heads in HEADS.items() for name, head in heads.items()},
    **{name: (verdict, build) for verdict, each in AROUND.items() for name, build in each.items()}}
#: Shapes of inputs for a batch and a number of steps: others than `data` of features.
SHAPES = {
    'OCR': lambda B, T: {'data': (B, 1, 8, 4 * T)},
    'sentences': lambda B, T: {'data': (2 * B, T, WIDTH)},
    **{name: lambda B, T: {'data': (B, T, WIDTH), 'lengths': (B,)}
       for name in ('lengths from the end', 'valid_length')},
    **{'features, ' + name: lambda B, T: {'data': (B, T, WIDTH), 'shop': (B, 3)}
       for name in REPEATED},
    **{name: lambda B, T: {'data': (T, B, WIDTH)} for name in PROGRAMS if 'time first' in name}}
#: Numbers of steps of a graph, and others; MXNet itself mixes up rows of windows that do not fit.
LENGTHS, OF_WINDOWS = ((12,), (18,), (9,)), ((12,), (24,), (36,))


# differences.md: an unrolled graph at another length
# differences.md: an unrolled graph that reads particular steps (fits its own length)
@pytest.mark.parametrize('kind', [*KINDS[:2], pytest.param(KINDS[2], marks=pytest.mark.nightly)])
@pytest.mark.parametrize('name', PROGRAMS)
def test_a_file_refuses_other_lengths_or_gives_the_numbers_of_the_program(name, kind, tmp_path):
    verdict, build = PROGRAMS[name]
    free, freed = [kind in kinds for kinds in VERDICTS[verdict]]
    Case(functools.partial(build, unroller(kind)), SHAPES.get(name, of_features),
         *OF_WINDOWS if 'windows of' in name else LENGTHS,
         batches=(3,) if 'of a batch' in name else (3, 2)).check(tmp_path, free, freed)


@pytest.mark.parametrize('name', [
    'autoencoder, tile', 'features, repeat', 'places', 'a mean by hand', 'rows to steps'])
def test_as_many_units_as_steps_excuse_no_number(name, tmp_path):
    verdict, build = PROGRAMS[name]
    Case(functools.partial(build, unroller('LSTMCell')), SHAPES.get(name, of_features),
         (UNITS,), (8,), (5,)).check(tmp_path, False)


#: Heads over the outputs of two to four steps.
FEW = {
    'the first half': lambda x, T: part(x, 0, T // 2),
    'the last half': lambda x, T: part(x, -(T // 2), None),
    'all but the first': lambda x, T: part(x, 1, T),
    'the last two': lambda x, T: part(x, T - 2, T),
    'the last': lambda x, T: part(x, T - 1, T),
    'a mean by hand': lambda x, T: S.sum(x, axis=1) / T,
    'a mean of all but one': lambda x, T: S.sum(x, axis=1) / (T - 1),
    'a variance': lambda x, T: S.sum(S.square(x), axis=1) * (T / (T - 1)),
    'half of a sum': lambda x, T: S.sum(x, axis=1) * .5,
    'the two largest': lambda x, T: S.topk(x, axis=1, k=2, ret_typ='value'),
    'a window of all': lambda x, T: S.Pooling(frames(x), kernel=(T, 1), pool_type='max'),
    'pairs': lambda x, T: S.max(joined(part(x, 0, T // 2 * 2), 0, -1, 2, UNITS), axis=2)}


@pytest.mark.parametrize('kind, steps', [
    *[('LSTMCell', steps) for steps in (2, 3, 4)], *[(kind, 4) for kind in KINDS[1:]]])
@pytest.mark.parametrize('name', FEW)
def test_graphs_of_two_to_four_steps(name, steps, kind, tmp_path):
    """Where a graph does not tell the steps, 1 and 2 are taken for constants."""
    case = Case(lambda T: FEW[name](unroller(kind)(T)[0], T), of_features, (steps,), (8,), (5,))
    typed = case.typed()
    for way, keys in ('onnx', ('nothing', 'names', 'steps')), ('torch', ('numbers', 'steps')):
        for key in keys:
            case.taken(way, tmp_path, typed[key])


# ---- programs of two lengths

def outputs_over(name, length, data=None, begin=None):
    data = V(name) if data is None else data
    return rnn.GRUCell(UNITS, name + '_').unroll(length, data, begin, merge_outputs=True)


def translator(source, target):
    """Encoder and decoder, whose Reshapes state their numbers of steps."""
    keys = joined(dense(outputs_over('source', source)[0], UNITS, 'key'), -1, source, UNITS)
    return joined(dense(outputs_over('target', target, begin=[S.max(keys, axis=1)])[0]),
                  -1, target, 3)


def two_lengths(source, target):
    """Scores of each pair of steps of two sequences; Reshapes state both numbers."""
    return S.batch_dot(*[joined(dense(outputs_over(name, length)[0], UNITS, 'of_' + name),
                                -1, length, UNITS)
                         for name, length in (('source', source), ('target', target))],
                       transpose_b=True)


def of_a_code(source, target):
    """A decoder that gets the code of a whole sequence in each step."""
    code = S.expand_dims(outputs_over('source', source)[1][0], axis=1)
    return outputs_over('target', target, S.concat(V('target'), S.broadcast_axis(
        code, axis=1, size=target), dim=2))[0]


def of_a_code_alone(source, target):
    """A decoder that gets nothing else, beside a recurrence over an input that has its steps."""
    code = S.expand_dims(outputs_over('source', source)[1][0], axis=1)
    decoded = outputs_over('decoded', target, S.repeat(code, repeats=target, axis=1))[0]
    return S.concat(decoded, outputs_over('target', target)[0], dim=2)


def attending(fed, scores):
    """A decoder that attends to an encoder by Reshapes that state the encoder's steps; `fed`: its
    context goes into the next step, so that a loop has the Reshapes."""
    def build(source, target):
        seen, states = outputs_over('source', source)
        keys = joined(dense(seen, UNITS, 'key'), -1, source, UNITS)
        decoder, query, value = (rnn.GRUCell(UNITS, 'decoder_'), *map(V, (
            'query_weight', 'value_weight')))
        context, found = S.zeros_like(states[0]), []
        for word in S.SliceChannel(V('target'), num_outputs=target, axis=1, squeeze_axis=True):
            output, states = decoder(S.Concat(word, context, dim=1) if fed else word, states)
            asked = S.FullyConnected(output, query, no_bias=True, num_hidden=UNITS)
            rows = S.broadcast_add(keys, S.expand_dims(asked, axis=1))
            if scores is None:
                looks = S.softmax(S.sum(rows, axis=2), axis=1)
            else:
                rows = S.FullyConnected(joined(rows, -1, UNITS), value, no_bias=True, num_hidden=1)
                looks = S.softmax(joined(rows, *[size or source for size in scores]),
                                  axis=scores.index(0))
            context = S.sum(S.broadcast_mul(seen, joined(looks, 0, -1, 1)), axis=1)
            found.append(joined(S.Concat(output, context, dim=1), 0, 1, 2 * UNITS))
        return S.FullyConnected(S.Concat(*found, dim=1), num_hidden=3, flatten=False, name='scores')
    return build


#: Programs of the lengths of `source` and `target`, and which of them a file changes.
OF_TWO = {
    'translator': (translator, {'source', 'target'}),
    'scores': (two_lengths, {'source', 'target'}),
    'of a code': (of_a_code, {'source'}), 'of a code alone': (of_a_code_alone, {'source'}),
    **{'attention, %s, %s' % (fed, scores): (attending(fed, scores), {'target'} | (
        set() if scores else {'source'})) for fed in (False, True)
       for scores in (None, (-1, 0), (-1, 1, 0), (-1, 0, 1))}}


@pytest.mark.parametrize('name, own', [
    pytest.param(name, own, marks=[pytest.mark.nightly] * (
        own == (5, 9) or own == (9, 9) and name.startswith('attention, False')))
    for name in OF_TWO for own in ((4, 5), (9, 9), (5, 9))])
def test_two_lengths(name, own, tmp_path):
    build, free = OF_TWO[name]
    case = Case(build, lambda B, source, target: {
        'source': (B, source, WIDTH), 'target': (B, target, WIDTH)}, own,
        (own[0], 7), (8, own[1]), (8, 7), (7, 7))
    case.check(tmp_path, freed=True)
    changed = {name for sizes in case.taken('onnx', tmp_path)
               for name, one, other in zip(('source', 'target'), sizes[1:], own) if one != other}
    assert changed == free or name.startswith('of a code') and own == (9, 9) and not changed


@pytest.mark.parametrize('way', WAYS)
def test_each_of_two_tied_lengths_gets_its_number(way, tmp_path):
    def means(source, target):
        one, other = (S.sum(outputs_over(name, length)[0], axis=1) / length
                      for name, length in (('source', source), ('target', target)))
        return one + other
    case = Case(means, lambda B, source, target: {
        'source': (B, source, WIDTH), 'target': (B, target, WIDTH)}, (4, 9), (7, 9), (8, 6))
    assert (2, 8, 6) in case.taken(way, tmp_path, case.typed()['steps'])


# ---- other cells and inputs

DATA, VALID = V('data'), V('lengths')


def two_layers(T):
    """An old program: what it reshapes to says how many steps there are."""
    cell = stack(rnn.LSTMCell(UNITS, 'lstm_'), rnn.GRUCell(UNITS, 'gru_'))
    return joined(dense(over(cell, T, DATA)), -1, T, 3)


def both_directions():
    return rnn.BidirectionalCell(rnn.LSTMCell(UNITS, 'f_'), rnn.LSTMCell(UNITS, 'b_'))


def of_lengths(cell, T, **options):
    outputs, states = cell.unroll(T, DATA, merge_outputs=True, valid_length=VALID, **options)
    last = states[-1][-1] if isinstance(states[-1], list) else states[-1]
    return S.Group([outputs, S.identity(last)])


def by_fuse(prefix, length, data=DATA, **options):
    return rnn.fuse(rnn.GRUCell(3, prefix=prefix)).unroll(
        length, data, layout='TNC', merge_outputs=True, **options)[0]


def in_a_pyramid(T):
    """Two steps are joined into one."""
    pairs = S.transpose(S.Reshape(by_fuse('a_', T, valid_length=VALID), (-4, -1, 2, 0, 0)),
                        (0, 2, 1, 3))
    return by_fuse('b_', T // 2, S.Reshape(pairs, (0, 0, -3)), valid_length=S.ceil(VALID / 2))


def of_images(T):
    """Classes of frames, from a convolution of each and a cell over all of them."""
    images = S.Convolution(joined(DATA, -1, 1, 8, 8), num_filter=2, kernel=(3, 3), name='conv')
    rows = S.FullyConnected(images, num_hidden=UNITS, name='rows')
    cell = rnn.ZoneoutCell(rnn.LSTMCell(UNITS, 'lstm_'), .1, .1)
    return S.softmax(dense(over(cell, T, joined(rows, -1, T, UNITS))))


def letters_of_words(T):
    letters = S.Embedding(V('letters'), input_dim=9, output_dim=2)
    words = S.Convolution(joined(letters, -1, 1, 3, 2), kernel=(3, 2), num_filter=WIDTH)
    tags = S.Embedding(V('tags'), input_dim=9, output_dim=2)
    return over(rnn.GRUCell(UNITS), T, S.Concat(tags, joined(words, -1, T, WIDTH), dim=2))


def step_by_step(T):
    """Steps with weights of their own."""
    return S.add_n(*[S.FullyConnected(each, num_hidden=UNITS, name='step%d' % t)
                     for t, each in enumerate(S.split(
                         DATA, num_outputs=T, axis=1, squeeze_axis=True))])


def over_a_list(T):
    """Attention to a list of an encoder's outputs, by a decoder of nine steps."""
    memory = rnn.GRUCell(UNITS, 'e_').unroll(T, DATA)[0]
    cell, v, found = rnn.GRUCell(UNITS, 'd_'), V('v_weight'), []
    state = cell.begin_state()
    for word in S.SliceChannel(V('target'), num_outputs=9, axis=1, squeeze_axis=True):
        out, state = cell(word, state)
        scores = S.softmax(S.Concat(*[S.FullyConnected(
            out + each, weight=v, num_hidden=1, no_bias=True) for each in memory], dim=1))
        found.append(S.batch_dot(S.expand_dims(scores, axis=1), S.stack(*memory, axis=1)))
    return S.Concat(*found, dim=1)


def cells(head):
    return lambda T: head(over(rnn.GRUCell(UNITS), T, DATA))


PADDED = {'data': ('B', 'T', WIDTH), 'lengths': ('B',)}
PADDED_TNC = {'data': ('T', 'B', WIDTH), 'lengths': ('B',)}
#: Programs of T steps; the shapes of their inputs, and what the file does.
OTHERS = {
    'two layers': (two_layers, {}, 'any'),
    'lengths, a stack': (lambda T: of_lengths(stack(rnn.LSTMCell(UNITS, 'l0_'), rnn.ZoneoutCell(
        rnn.GRUCell(UNITS, 'l1_'), .2, .3)), T), PADDED, 'freed'),
    'lengths, both directions': (lambda T: of_lengths(both_directions(), T, layout='TNC'),
                                 PADDED_TNC, 'freed'),
    'lengths, fuse': (lambda T: of_lengths(rnn.fuse(both_directions()), T), PADDED, 'any'),
    'lengths, FusedRNNCell': (lambda T: of_lengths(rnn.FusedRNNCell(
        UNITS, 2, prefix='q_', get_next_state=True), T, layout='TNC'), PADDED_TNC, 'freed'),
    'lengths, fuse twice': (lambda T: by_fuse('b_', T, by_fuse('a_', T, valid_length=VALID),
                                              valid_length=VALID), PADDED_TNC, 'any'),
    'lengths, a pyramid': (in_a_pyramid, PADDED_TNC, 'tied'),
    'lengths, bounded by hand': (lambda T: by_fuse('a_', T, valid_length=S.clip(VALID, 1, T)),
                                 PADDED_TNC, 'freed'),
    'lengths, bounded behind': (lambda T: S.SequenceMask(
        by_fuse('a_', T), S.clip(VALID, 0, T), use_sequence_length=True), PADDED_TNC, 'freed'),
    'images': (of_images, {'data': ('B', 'T', 1, 8, 8)}, 'freed'),
    'letters': (letters_of_words, {'letters': ('B', 'T', 3), 'tags': ('B', 'T')}, 'tied'),
    'steps of their own': (step_by_step, {}, 'tied'),
    'a list': (over_a_list, {'data': ('B', 'T', WIDTH), 'target': ('B', 9, WIDTH)}, 'tied'),
    'triplets of rows': (cells(lambda x: S.max(joined(x, 3, -1, UNITS), axis=0)), {}, 'tied'),
    'groups of sequences': (cells(lambda x: joined(S.max(x, axis=1), -1, 3, UNITS)), {},
                            'beside a batch'),
    'a stated batch': (cells(lambda x: part(x, 0, 3, axis=0)), {}, 'beside a batch'),
    'some of a batch': (cells(lambda x: part(x, 0, 2, axis=0)), {}, 'beside a batch')}


@pytest.mark.parametrize('name', OTHERS)
def test_other_cells_and_inputs(name, tmp_path):
    build, shapes, verdict = OTHERS[name]
    case = Case(build, lambda B, T: {
        name: tuple([{'B': B, 'T': T}.get(size, size) for size in shape])
        for name, shape in (shapes or {'data': ('B', 'T', WIDTH)}).items()}, *LENGTHS,
        batches=(3, 6) if 'groups' in name or 'triplets' in name else (3, 2))
    case.check(tmp_path, verdict == 'any', verdict in ('any', 'freed'))
    if verdict == 'beside a batch':
        assert any(size[1:] != case.sizes for size in case.taken(
            'onnx', tmp_path, case.typed()['a batch']))


def test_an_option_for_all_inputs_of_one_size_is_tried():
    """Covariates beside a vector for each series that is repeated over the steps."""
    series = S.expand_dims(S.Embedding(V('series'), input_dim=6, output_dim=2, name='of'), axis=1)
    steps = S.concat(S.expand_dims(V('past'), axis=2), V('known'), S.broadcast_axis(
        series, axis=1, size=7), dim=2)
    shapes = {'past': (2, 7), 'known': (2, 7, 3), 'series': (2,)}
    model = random_model(over(rnn.LSTMCell(4, 'l_'), 7, steps), shapes)
    plan = prepare(model)
    assert plan.shapes['past'] == ('batch', 7)
    option = '--input past=batch,past_1:7 --input known=batch,past_1:7,3'
    assert ('past_1', option) in [(name, text[-len(option):]) for name, text in plan.lines]
    assert prepare(model, {'past': ('batch', 'past_1:7'), 'known': ('batch', 'past_1:7', 3)}
                   ).shapes['known'] == ('batch', 'past_1', 3)
