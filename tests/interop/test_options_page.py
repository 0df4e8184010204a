"""docs/options.md: each cell of its table is what the exports do."""
import contextlib
import functools
import re
from pathlib import Path

import pytest

from mxrnn import interop

from .. import ours, rnn
from . import programs
from .formats import FORMATS
from .models import S, V
from .test_lengths import Case

pytest.importorskip('torch')
pytest.importorskip('onnx')
pytestmark = [ours, pytest.mark.nightly]

PAGE = (Path(__file__).resolve().parents[2] / 'docs' / 'options.md').read_text(encoding='utf-8')
#: Steps of the graphs, the 35 of the page, and of the data that they are tried with besides.
STEPS, LONGER, UNITS = 5, 8, 6


def words(name='letters'):
    return S.Embedding(V(name), input_dim=9, output_dim=4, name=name + '_embed')


def lengths():
    return {'merge_outputs': True, 'valid_length': V('lengths')}


def stack():
    return programs.stack(rnn.LSTMCell(UNITS, 'l0_'), rnn.LSTMCell(UNITS, 'l1_'))


def fused(units=UNITS, **options):
    return rnn.FusedRNNCell(units, mode='lstm', prefix='lstm_', **options)


def both():
    return rnn.BidirectionalCell(rnn.LSTMCell(UNITS // 2, 'f_'), rnn.LSTMCell(UNITS // 2, 'b_'))


def whole(cell, steps, **options):
    return cell.unroll(steps, words(), **{'merge_outputs': True, **options})[0]


def listed(cell, steps):
    """The outputs of a list, joined by the program."""
    return S.stack(*whole(cell, steps, merge_outputs=False), axis=1)


def attention(steps):
    """A decoder that looks at all outputs of an encoder in each step."""
    decoder, query = rnn.GRUCell(UNITS, 'decoder_'), V('query_weight')
    seen, (state,) = rnn.GRUCell(UNITS, 'encoder_').unroll(4, words('tags'), merge_outputs=True)
    outputs = []
    for word in S.split(words(), num_outputs=steps, axis=1, squeeze_axis=True):
        asked = S.FullyConnected(state, weight=query, no_bias=True, num_hidden=UNITS)
        looks = S.softmax(S.batch_dot(seen, S.expand_dims(asked, axis=2)), axis=1)
        context = S.sum(S.broadcast_mul(seen, looks), axis=1)
        output, (state,) = decoder(S.concat(word, context, dim=1), [state])
        outputs.append(S.expand_dims(output, axis=1))
    return S.concat(*outputs, dim=1)


#: The rows of the table, and graphs of each by their number of steps.
ROWS = {
    'cells, unrolled': [lambda t: whole(stack(), t), lambda t: whole(
        both(), t, merge_outputs=False)[-1]],  # the second cell reads the last step alone
    "buckets: the last bucket's graph": [lambda t: whole(stack(), t)],
    '`FusedRNNCell`, `dynamic_unroll`': [
        lambda t: whole(fused(), t), lambda t: listed(fused(), t),
        lambda t: rnn.dynamic_unroll(stack(), words())[0]],
    '`fuse(cell)`': [lambda t: whole(rnn.fuse(stack()), t), lambda t: listed(rnn.fuse(stack()), t),
                     lambda t: whole(rnn.fuse(stack()), None)],
    "attention over an encoder's merged outputs, by hand": [attention],
    'bidirectional: `BidirectionalCell`, `FusedRNNCell(bidirectional=True)`': [
        lambda t: whole(both(), t), lambda t: whole(fused(UNITS // 2, bidirectional=True), t),
        lambda t: whole(rnn.fuse(both()), t)],
    '`valid_length`, cells': [lambda t: whole(stack(), t, **lengths())],
    '`valid_length`, `FusedRNNCell`': [lambda t: whole(fused(), t, **lengths())],
    '`valid_length`, `fuse(cell)`': [
        lambda t: whole(rnn.fuse(stack()), t, **lengths()),
        lambda t: whole(rnn.fuse(both()), t, **lengths()),
        lambda t: whole(rnn.fuse(stack()), None, **lengths())]}
TABLE = {line.strip('| ').split(' | ')[0]: line.strip('| ').split(' | ')[1:] for line in re.search(
    r'^\| model \|.*\n\| ---.*\n((?:\|.*\n)*)', PAGE, re.MULTILINE)[1].splitlines()}


def network(build, steps):
    scores = S.FullyConnected(build(steps), num_hidden=3, flatten=False, name='scores')
    return S.softmax(scores, name='softmax')


def test_the_rows_are_those_of_the_table():
    assert list(TABLE) == list(ROWS)


@pytest.mark.parametrize('row, build', [(row, build) for row in ROWS for build in ROWS[row]])
def test_each_cell_of_a_row(row, build, tmp_path):
    names = network(build, STEPS).list_arguments()
    case = Case(functools.partial(network, build), lambda B, T: {name: shape for name, shape in {
        'letters': (B, T), 'tags': (B, 4), 'lengths': (B,)}.items() if name in names},
        (STEPS,), (LONGER,), batches=(2,))
    *said, states = TABLE[row]
    for way, cell in zip(('onnx', 'source'), said):
        assert ((2, LONGER) in case.taken(way, tmp_path)) == cell.startswith('any'), cell
        if 'time:35' in cell:
            assert (2, LONGER) in case.taken(way, tmp_path, case.typed()['steps'])
        with pytest.raises(interop.ExportError, match='needs a number that the graph does not'
                           ) if cell.startswith('asks') else contextlib.nullcontext():
            FORMATS[way](case.model, tmp_path)
    with pytest.raises(interop.ExportError) if states == 'refused' else contextlib.nullcontext():
        interop.to_onnx(case.model, str(tmp_path / 'steps.onnx'), states=True)
