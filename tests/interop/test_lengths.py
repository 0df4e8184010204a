"""A number of steps that stands in a graph becomes an axis where the user or a second graph says
that it is one."""
import contextlib
import pathlib
import re
import warnings

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._runtime.symbol_to_json_and_graph import graph_of
from mxrnn.interop.free_length_or_say_what_keeps_it import naming_what_keeps
from mxrnn.interop.likely_mistakes import remarks
from mxrnn.interop.roll_without_steps import CountedSteps, option, roll_once

from .. import mx, rnn
from .compare import torch
from .models import model_of, random_model
from .onnx_runs import bound, session
from .programs import stack
from .sources import check as check_source
from .sources import generate
from .test_commands import command

WIDTH, UNITS, CLASSES = 5, 6, 4
SHOP = {'history': (3, 7, WIDTH), 'shop': (3,)}


def tagger(length, units=UNITS, fused=False):
    """An old program: what it reshapes to says how many steps there are."""
    cell = rnn.FusedRNNCell(units, 2, prefix='lstm_') if fused else stack(
        rnn.LSTMCell(units, 'lstm_'), rnn.GRUCell(units, 'gru_'))
    outputs, _ = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.Reshape(outputs, shape=(-1, units)),
                                   num_hidden=CLASSES, name='scores')
    return mx.sym.Reshape(scores, shape=(-1, length, CLASSES), name='steps')


@pytest.fixture
def model():
    symbol = tagger(7)
    return random_model(symbol, {'data': (3, 7, WIDTH)})


def graph(length, units=UNITS):
    return interop.graph_from_json(tagger(length, units).tojson())


@pytest.mark.parametrize('options, message', [
    ({'inputs': {'data': ('batch', 'time:8', WIDTH)}}, 'unrolled for: 7, got 8'),
    ({'inputs': {'data': ('batch', 'time:', WIDTH)}}, "like 'time:35', got 'time:'"),
    ({'inputs': {'data': ('batch:3', 'time:7', WIDTH)}}, 'one number of steps, got 3 for data '
     'and 7 for data'),
    ({'inputs': {'data': ('batch', 'time:7', WIDTH)}, 'roll': False}, 'roll=False'),
    ({'certify_by': graph(7)}, 'another number of steps, got 7 and 7'),
    ({'certify_by': graph(9, units=3)}, 'the same program')])
def test_what_is_no_number_of_steps_is_refused(model, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        interop.to_onnx(model, str(tmp_path / 'model.onnx'), **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('fused', [False, True])
def test_the_command(fused, tmp_path, capsys):
    prefix, other = str(tmp_path / 'model'), str(tmp_path / 'other-symbol.json')
    interop.save(random_model(tagger(7, fused=fused), {'data': (3, 7, WIDTH)}), prefix, 1)
    tagger(11, fused=fused).save(other)
    for target in ('--onnx', tmp_path / 'a.onnx'), ('--source', tmp_path / 'a.py'):
        assert command('export', prefix, *target) == 0
        said = ' '.join(capsys.readouterr().out.split())
        assert 'data (4, 7, 5)' in said and 'or export with --input data=batch,time:7,5' in said
        assert command('export', prefix, *target, '--states') == 2
        assert 'time:' in capsys.readouterr().err
        for states in (), ('--states',):
            assert command('export', prefix, *target, *states, '--input',
                           'data=batch,time:7,5') == 0
            said = capsys.readouterr().out
            assert 'data (3, 7, 5)' in said and 'data (4, 11, 5)' in said
    for options in (('--input', 'data=batch,time:7,5'), *[('--certify', other)] * (not fused)):
        assert command('export', prefix, '--onnx', tmp_path / 'model.onnx', *options) == 0
        assert 'data=batch,' in capsys.readouterr().out
    assert command('export', prefix, '--onnx', tmp_path / 'model.onnx', '--certify', prefix) == 2
    assert 'model' in capsys.readouterr().err
    if fused:
        for target in ('--onnx', tmp_path / 'b.onnx'), ('--source', tmp_path / 'b.py'):
            assert command('export', prefix, *target, '--input', 'data=batch,time,5') == 2
            assert '--input data=batch,time:7,5 allows any' in capsys.readouterr().err


def test_only_what_the_program_flattens_may_have_any_number_of_axes():
    begin = [mx.sym.Variable(name) for name in ('hidden', 'memory')]
    outputs, _ = rnn.LSTMCell(UNITS, 'lstm_').unroll(7, mx.sym.Variable('data'),
                                                     begin_state=begin)
    ahead = mx.sym.FullyConnected(mx.sym.Flatten(mx.sym.Variable('ahead')), num_hidden=UNITS)
    model = random_model(outputs[-1] + ahead, {
        'data': (3, 7, WIDTH), 'hidden': (3, UNITS), 'memory': (3, UNITS), 'ahead': (3, 8)})
    assert [note.split()[0] for note in remarks(model) if 'any number of axes' in note] == ['ahead']


def split_rows(rows, length, **options):
    dense = mx.sym.FullyConnected(mx.sym.Reshape(mx.sym.Variable('data'), shape=(rows, WIDTH)),
                                  num_hidden=UNITS, name='dense')
    outputs, _ = rnn.GRUCell(UNITS).unroll(length, mx.sym.Reshape(dense, shape=(
        rows // length if rows > 0 else rows, length, UNITS)), merge_outputs=True, **options)
    return mx.sym.ctc_loss(mx.sym.swapaxes(outputs, dim1=0, dim2=1), mx.sym.Variable('label')
                           ) if rows < 0 else outputs


def over_frames(length):
    frames = mx.sym.Convolution(mx.sym.expand_dims(mx.sym.Variable('data'), axis=1),
                                kernel=(3, WIDTH), pad=(1, 0), num_filter=UNITS, name='conv')
    outputs, _ = rnn.GRUCell(UNITS).unroll(length, mx.sym.transpose(mx.sym.Reshape(
        frames, shape=(0, 0, -1)), axes=(2, 0, 1)), layout='TNC')
    return mx.sym.add_n(*outputs[::-4])


@pytest.mark.parametrize('build, shapes, said', [
    (lambda: split_rows(21, 7), {'data': (3, 7, WIDTH)}, '3, type them, as in --input data=3,7,5'),
    (lambda: over_frames(12), {'data': (3, 12, WIDTH)}, 'others, as in --input data=batch,12,5'),
    (lambda: split_rows(-1, 7), {'data': (3, 7, WIDTH), 'label': (3, 2)},
     'Type the shape of data, so that the file refuses them: for an axis of 7 steps, '
     '--input data=batch,7,5')])
def test_what_a_program_reads_is_asked_for_with_its_numbers(build, shapes, said):
    notes = remarks(random_model(build(), shapes))
    assert [note.endswith(said) for note in notes].count(True) == 1
    assert not any('width' in note for note in notes)


def test_widths_that_windows_leave_are_named():
    """The largest one was, as if it were known, and the width was said to be any."""
    frames = mx.sym.Convolution(mx.sym.expand_dims(mx.sym.Variable('data'), axis=1), kernel=(5, 5),
                                stride=(1, 2), pad=(2, 0), num_filter=6)
    rows = mx.sym.Reshape(mx.sym.transpose(frames, axes=(0, 2, 1, 3)), shape=(0, 0, -1))
    note, *_ = remarks(random_model(rnn.GRUCell(UNITS).unroll(7, rows, merge_outputs=True)[0], {
        'data': (2, 7, 13)}))
    assert note == ('the graph takes data of width 13 to 14, and does not tell which. Type it, so '
                    'that the file refuses others: --input data=batch,time,…')


def test_a_length_that_nothing_frees_is_named_with_the_shape_that_keeps_it(tmp_path):
    padded = split_rows(-1, 7, valid_length=mx.sym.Variable('length'))
    model = random_model(padded, {'data': (3, 7, WIDTH), 'label': (3, 2), 'length': (3,)})
    with pytest.raises(interop.ExportError, match='steps, --input data=batch,7,5 keeps it'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'))
    with pytest.warns(UserWarning, match='has no output'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'), {'data': ('batch', 7, WIDTH)})


def test_a_row_of_all_steps_tells_their_number(tmp_path):
    """The check made rows of parts of sequences: nothing was written, or wrong files without it."""
    outputs, _ = rnn.FusedRNNCell(UNITS, prefix='f_').unroll(
        7, mx.sym.Variable('data'), merge_outputs=True)
    model = random_model(mx.sym.reshape(outputs, shape=(-1, 7 * UNITS)), {'data': (3, 7, WIDTH)})
    interop.to_onnx(model, str(tmp_path / 'a.onnx'))
    given, = session((tmp_path / 'a.onnx').read_bytes()).get_inputs()
    assert given.shape == ['batch', 7, WIDTH]
    for export in interop.to_torch(model), generate(model).module:
        assert export(torch.ones(2, 7, WIDTH)).shape == (2, 7 * UNITS)
        with pytest.raises(ValueError, match='14'):
            export(torch.ones(1, 14, WIDTH))


def test_frames_that_are_grouped_into_steps_are_asked_for_without_a_guess(tmp_path):
    pairs = mx.sym.Reshape(mx.sym.Variable('data'), shape=(-1, 7, 2 * WIDTH))
    outputs, _ = rnn.GRUCell(UNITS).unroll(7, pairs, merge_outputs=True)
    model = random_model(mx.sym.Reshape(outputs, shape=(-1, 7 * UNITS)), {'data': (3, 14, WIDTH)})
    with pytest.raises(interop.ExportError) as refused:
        interop.to_onnx(model, str(tmp_path / 'a.onnx'))
    assert 'Give its shape' in str(refused.value) and 'data=batch,7,7' not in str(refused.value)
    assert any('--input data=batch,… with numbers that make 70' in each for each in remarks(model))


def test_a_batch_and_steps_in_one_reshape_are_named_together(tmp_path, capsys):
    rows = mx.sym.FullyConnected(mx.sym.Reshape(mx.sym.SwapAxis(mx.sym.Variable(
        'data'), dim1=0, dim2=1), shape=(-1, WIDTH)), num_hidden=UNITS)
    model = random_model(rnn.FusedRNNCell(UNITS, prefix='f_').unroll(7, mx.sym.Reshape(
        rows, shape=(7, 3, UNITS)), layout='TNC', merge_outputs=True)[0], {'data': (3, 7, WIDTH)})
    for given in {}, {'data': ('batch', 'time', WIDTH)}:
        with pytest.raises(interop.ExportError, match='--input data=3,7,5 keeps it'):
            interop.to_onnx(model, str(tmp_path / 'a.onnx'), given)
    interop.save(model, str(tmp_path / 'a'), 1)
    command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--input', 'data=3,7,5')
    assert 'differ' in capsys.readouterr().out


def test_a_source_reads_the_label_of_the_last_step():
    def last(data, length):
        return mx.sym.Reshape(mx.sym.slice_axis(data, axis=1, begin=length - 1, end=length),
                              shape=(2, -1))
    outputs, _ = rnn.GRUCell(UNITS, 'g_').unroll(7, mx.sym.Variable('data'), merge_outputs=True)
    symbol = mx.sym.SoftmaxOutput(last(outputs, 7), mx.sym.reshape(last(
        mx.sym.Variable('label'), 7), -1))
    text = generate(random_model(symbol, {'data': (2, 7, WIDTH), 'label': (2, 7)})).text
    assert '[:, -1' in text.partition('def loss')[2]


def letters_of_words(tagged):
    letters = mx.sym.Embedding(mx.sym.Variable('letters'), input_dim=9, output_dim=2)
    words = mx.sym.Convolution(mx.sym.Reshape(letters, shape=(-1, 1, 3, 2)), kernel=(3, 2),
                               num_filter=WIDTH)
    words = mx.sym.Reshape(words, shape=(-1, 7, WIDTH))
    tags = mx.sym.Embedding(mx.sym.Variable('tags'), input_dim=9, output_dim=2)
    return random_model(rnn.GRUCell(UNITS).unroll(7, mx.sym.Concat(
        *[tags] * tagged, words, dim=2), merge_outputs=True)[0], {
            'letters': (2, 7, 3), **({'tags': (2, 7)} if tagged else {})})


@pytest.mark.parametrize('tagged, typed', [(False, 'batch,time,3'), (True, 'batch,7,3')])
def test_letters_that_a_graph_joins_to_words_may_be_told_apart(tagged, typed, tmp_path):
    """Nothing said that the file takes (batch, 21), which the program does not have."""
    model, given = letters_of_words(tagged), {'letters': ('batch', 7, 3)}
    assert ['--input letters=%s' % typed in note for note in remarks(model)
            if '2 axes' in note] == [True]
    assert not any('2 axes' in note for note in remarks(model, given))
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), given)


def captions(length=7):
    """The image is the first step, and its height is the number of all steps."""
    pixels = mx.sym.Pooling(mx.sym.Convolution(
        mx.sym.Variable('image'), kernel=(3, 3), num_filter=2, pad=(1, 1)), kernel=(2, 2),
        stride=(2, 2), pool_type='max')
    first = mx.sym.FullyConnected(mx.sym.Flatten(pixels), num_hidden=WIDTH)
    words = mx.sym.Embedding(mx.sym.Variable('caption'), input_dim=9, output_dim=WIDTH)
    outputs, _ = rnn.LSTMCell(UNITS).unroll(length + 1, mx.sym.Concat(
        mx.sym.expand_dims(first, axis=1), words, dim=1), merge_outputs=True)
    outputs = mx.sym.slice_axis(outputs, axis=1, begin=1, end=length + 1)
    return mx.sym.Reshape(outputs, shape=(-1, UNITS))


def letters(words=12, count=6):
    """The letters of each word are read by a recurrence, and words by the operator."""
    chars = mx.sym.Embedding(mx.sym.Reshape(mx.sym.Variable('chars'), shape=(-1, count)),
                             input_dim=9, output_dim=WIDTH)
    last = rnn.LSTMCell(UNITS, prefix='letters_').unroll(count, chars, merge_outputs=False)[0][-1]
    return rnn.FusedRNNCell(UNITS, prefix='words_').unroll(
        words, mx.sym.Reshape(last, shape=(-1, words, UNITS)), merge_outputs=True)[0]


@pytest.mark.parametrize('build, shapes', [
    (captions, {'image': (3, 3, 8, 8), 'caption': (3, 7)}), (letters, {'chars': (3, 12, 6)})])
def test_an_axis_of_that_number_that_is_not_read_step_by_step_has_no_note(build, shapes):
    model = random_model(build(), shapes)
    assert 'pad or cut' not in ' '.join(remarks(model, {
        name: ('batch', *shape[1:]) for name, shape in shapes.items()}))


@pytest.mark.parametrize('build, shapes, given, said, unsaid', [
    (captions, {'image': (3, 3, 8, 8), 'caption': (3, 7)}, {}, 'Pad to it', 'time:'),
    (captions, {'image': (3, 3, 8, 8), 'caption': (3, 7)}, {'caption': ('batch', 'time:7')},
     '--input caption=batch,7', 'try'),
    (captions, {'image': (3, 3, 8, 8), 'caption': (3, 7)}, {'caption': ('batch', 'time:8')},
     '--certify', '--input caption'),
    (letters, {'chars': (3, 12, 6)}, {'chars': ('batch', 'time:12', 6)},
     'without --states', 'time:'),
    (lambda: tagger(7), {'data': (3, 7, WIDTH)}, {}, 'try --input data=batch,time:7,5', 'whole'),
    (lambda: of_frames(7, 8), {'data': (3, 7, 1, 8, 8), 'label': (3, 7)}, {
        'data': ('batch', 7, 1, 8, 8)}, 'step it, try --input data=batch,time:7,1,8,8', 'whole'),
    (lambda: of_a_shop('axis'), SHOP, {}, 'step it, try --input history=batch,time:7,5', 'whole'),
    (lambda: of_a_shop('tile'), SHOP, {'history': ('batch', 'time:7', 5)},
     'To keep that length, without --states (states=True): --input history=batch,7,5', 'try'),
    (lambda: positions(7), {'data': (3, 7, WIDTH)}, {'data': ('batch', 'time:7', 5)},
     'it numbers the steps', '--input')])
def test_only_what_is_taken_is_advised(build, shapes, given, said, unsaid, tmp_path):
    with pytest.raises(ValueError) as caught:
        interop.to_onnx(random_model(build(), shapes), str(tmp_path / 'a.onnx'), given,
                        states=True)
    assert said in str(caught.value) and unsaid not in str(caught.value)


def of_a_shop(repeated, cell=rnn.LSTMCell, flat=True, length=7):
    """A cell over the features of each day beside those of a shop, repeated for each day."""
    shop = mx.sym.expand_dims(mx.sym.Embedding(mx.sym.Variable('shop'), input_dim=9, output_dim=2,
                                               name='of_shop'), axis=1)
    shop = {'axis': lambda: mx.sym.broadcast_axis(shop, axis=1, size=length),
            'to': lambda: mx.sym.broadcast_to(shop, shape=(0, length, 0)),
            'tile': lambda: mx.sym.tile(shop, reps=(1, length, 1)),
            'repeat': lambda: mx.sym.repeat(shop, repeats=length, axis=1)}[repeated]()
    outputs = cell(UNITS, prefix='lstm_').unroll(length, mx.sym.concat(
        mx.sym.Variable('history'), shop, dim=2), merge_outputs=True)[0]
    sales = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-1, UNITS)), num_hidden=1,
                                  name='sales')
    return sales if flat else mx.sym.reshape(sales, shape=(-1, length))


def positions(length):
    """Each step gets its number."""
    numbers = mx.sym.reshape(mx.sym.arange(0, length), (1, length, 1))
    return rnn.LSTMCell(UNITS, 'lstm_').unroll(length, mx.sym.broadcast_add(
        mx.sym.Variable('data'), numbers), merge_outputs=True)[0]


def spoken(steps=4, cell=rnn.GRUCell):
    """Frames, of which a convolution makes half as many steps; a Reshape states these."""
    frames = mx.sym.Convolution(mx.sym.expand_dims(mx.sym.Variable('data'), axis=1), num_filter=2,
                                kernel=(3, 3), stride=(2, 2), pad=(1, 1), name='conv')
    frames = mx.sym.reshape(mx.sym.transpose(frames, axes=(0, 2, 1, 3)), shape=(0, 0, -3))
    outputs, _ = cell(UNITS, prefix='gru_').unroll(steps, frames, merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-1, UNITS)), num_hidden=3,
                                   name='scores')
    return mx.sym.softmax(mx.sym.reshape(scores, shape=(-1, steps, 3)), axis=2)


@pytest.mark.parametrize('cell', [rnn.GRUCell, rnn.FusedRNNCell])
@pytest.mark.parametrize('given', [{}, {'data': ('batch', 'frames', WIDTH)}])
def test_a_length_of_which_windows_leave_a_stated_number_of_steps_is_kept(given, cell, tmp_path):
    """The file took 12 frames as well, and made more rows of 4 steps of their 6."""
    model, path = random_model(spoken(4, cell), {'data': (3, 8, WIDTH)}), tmp_path / 'a.onnx'
    with pytest.raises(interop.ExportError, match='data may have 7 to 8 .*--input data=batch,8,'
                                                  '.*--input data=batch,time:4,.* allows any'):
        interop.to_onnx(model, str(path), given)
    assert not path.exists()
    interop.to_onnx(model, str(path), {'data': ('batch', 8, WIDTH)})
    assert session(path.read_bytes()).get_inputs()[0].shape == ['batch', 8, WIDTH]
    source = generate(model, given).module
    assert source(torch.ones(3, 7, WIDTH)).shape == (3, 4, 3)
    with pytest.raises(ValueError, match='must be from 7 to 8, got 12'):
        source(torch.ones(2, 12, WIDTH))
    with pytest.raises(ValueError, match='does not take data of shape'):
        interop.to_torch(model)(torch.ones(2, 12, WIDTH))
    interop.to_onnx(model, str(path), {'data': ('batch', 'time:4', WIDTH)})
    data = np.random.RandomState(3).randn(2, 12, WIDTH).astype('f')
    wanted = bound(spoken(6, cell), {'data': data.shape}, model.arg_params, {'data': data})
    np.testing.assert_allclose(session(path.read_bytes()).run(None, {'data': data})[0],
                               wanted.forward(is_train=False)[0].asnumpy(), atol=1e-6)


def characters(steps):
    """Characters of an image: groups of four columns are the steps."""
    frames = mx.sym.Variable('image')
    for name in 'first', 'second':
        frames = mx.sym.Convolution(frames, kernel=(3, 3), pad=(1, 1), num_filter=4, name=name)
        frames = mx.sym.Pooling(mx.sym.relu(frames), kernel=(2, 2), stride=(2, 2))
    frames = mx.sym.reshape(mx.sym.transpose(frames, axes=(3, 0, 1, 2)), shape=(0, 0, -3))
    outputs, _ = rnn.FusedRNNCell(UNITS, prefix='f_').unroll(steps, frames, layout='TNC',
                                                             merge_outputs=True)
    scores = mx.sym.reshape(mx.sym.FullyConnected(mx.sym.reshape(
        outputs, shape=(-1, UNITS)), num_hidden=3, name='scores'), shape=(steps, -1, 3))
    return mx.sym.Group([mx.sym.softmax(scores, name='chances'), mx.sym.make_loss(
        mx.sym.contrib.ctc_loss(scores, mx.sym.Variable('label')), name='loss')])


@pytest.mark.parametrize('given', [{}, {'image': ('batch', 1, 8, 'width')}])
def test_steps_that_windows_make_are_those_that_a_ctc_loss_reads(given, tmp_path):
    """Of images of another width, files made more sequences of as many steps."""
    model = random_model(characters(10), {'image': (3, 1, 8, 40), 'label': (3, 2)})
    image = np.random.RandomState(3).randn(2, 1, 8, 80).astype('f')
    wanted = bound(characters(20)[0], {'image': image.shape}, model.arg_params, {
        'image': image}).forward(is_train=False)[0].asnumpy()
    chances = ['chances_output']
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), given, outputs=chances)
    for got in (session((tmp_path / 'a.onnx').read_bytes()).run(None, {'image': image})[0],
                interop.to_torch(model, outputs=chances)(torch.tensor(image)).detach()):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def windows(length, blocks=False):
    """The largest of each four outputs; or `blocks` of four that give back sequences."""
    outputs, _ = rnn.FusedRNNCell(UNITS, prefix='f_').unroll(length, merge_outputs=True,
                                                             inputs=mx.sym.Variable('data'))
    rows = mx.sym.reshape(outputs, shape=(-1, 4, UNITS))
    return mx.sym.reshape(mx.sym.FullyConnected(mx.sym.reshape(rows, shape=(-1, UNITS)),
                                                num_hidden=3, name='fc'),
                          shape=(-1, length, 3)) if blocks else mx.sym.max(rows, axis=1)


@pytest.mark.parametrize('shape', [(4, -1, 3, UNITS), (-1, 4, 3, UNITS)])
def test_the_batch_behind_windows_of_steps_is_that_of_the_graph(shape, tmp_path):
    """Time is first; the check tried other batches, and nothing was written."""
    outputs, _ = rnn.FusedRNNCell(UNITS, prefix='f_').unroll(
        8, mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    model = random_model(mx.sym.reshape(outputs, shape=shape), {'data': (8, 3, WIDTH)})
    interop.to_onnx(model, str(tmp_path / 'a.onnx'))
    given, = session((tmp_path / 'a.onnx').read_bytes()).get_inputs()
    assert given.shape == ['time', 3, WIDTH]


@pytest.mark.parametrize('batch', ['batch', 3])
@pytest.mark.parametrize('blocks', [False, True])
def test_a_number_that_divides_the_given_steps_is_that_of_windows(blocks, batch, tmp_path):
    """The files were wrong, or refused the model's own data."""
    shapes, path = {'data': (batch, 8, WIDTH)}, tmp_path / 'a.onnx'
    model = random_model(windows(8, blocks), {'data': (3, 8, WIDTH)})
    data = np.random.RandomState(3).randn(3, 8, WIDTH).astype('f')
    wanted = bound(windows(8, blocks), {'data': data.shape}, model.arg_params, {
        'data': data}).forward(is_train=False)[0].asnumpy()
    interop.to_onnx(model, str(path), shapes)
    for given in (session(path.read_bytes()).run(None, {'data': data})[0],
                  generate(model, shapes).module(torch.tensor(data)).detach(),
                  interop.to_torch(model, inputs=shapes if not blocks else None)(
                      torch.tensor(data)).detach()):
        np.testing.assert_allclose(given, wanted, atol=1e-6)
    with pytest.raises(ValueError) if not blocks else contextlib.nullcontext() as refused:
        interop.to_torch(model)(torch.tensor(data))
    assert blocks or "the shape, as in inputs={'data': (3, 8, 5)}" in str(refused.value)
    with pytest.raises(ValueError, match='9 and 4|whole groups of rows|162 and a multiple of 24'):
        interop.to_onnx(model, str(path), {'data': (batch, 9, WIDTH)}, check=False)
    own = interop.to_torch(model, inputs=None if blocks else shapes).graph
    assert own == model.graph
    kept = 'If it is that of rows in a window, type the shape, as in --input data=batch,8,5'
    assert any(kept in each for each in remarks(model)) is not blocks


def test_a_split_of_joined_rows_is_freed_for_a_batch_of_one_number(tmp_path):
    """Two negative codes were taken for a number, and (-4, -1, -1, 5) was written."""
    def embedded(length):
        rows = mx.sym.FullyConnected(mx.sym.reshape(mx.sym.Variable('data'), shape=(-3, 0)),
                                     num_hidden=WIDTH, name='emb')
        return rnn.FusedRNNCell(UNITS, prefix='f_').unroll(length, mx.sym.reshape(
            rows, shape=(-4, -1, length, WIDTH)), merge_outputs=True)[0]
    model, path = random_model(embedded(7), {'data': (4, 7, WIDTH)}), tmp_path / 'a.onnx'
    interop.to_onnx(model, str(path), {'data': (4, 'time:7', WIDTH)})
    result = session(path.read_bytes()).run(None, {'data': np.ones((4, 14, WIDTH), 'f')})[0]
    assert result.shape == (4, 14, UNITS)


def test_a_refusal_names_the_shape_once(tmp_path):
    outputs, _ = rnn.FusedRNNCell(UNITS).unroll(8, mx.sym.Variable('data'), layout='TNC',
                                                merge_outputs=True)
    model = random_model(mx.sym.reshape(outputs, shape=(4, -1, 3, UNITS)), {'data': (8, 3, WIDTH)})
    with pytest.raises(interop.ExportError) as refused:
        interop.to_source(model, str(tmp_path / 'a.py'), {'data': (8, 2, WIDTH)})
    assert str(refused.value).count('data of shape') == 1


def of_a_code(source=7, target=7):
    """A decoder that gets the code of a whole sequence in each step."""
    states = rnn.BidirectionalCell(rnn.GRUCell(UNITS, 'f_'), rnn.GRUCell(UNITS, 'b_')).unroll(
        source, mx.sym.Variable('source'), merge_outputs=True)[1]
    code = mx.sym.FullyConnected(mx.sym.concat(states[0][0], states[1][0], dim=1),
                                 num_hidden=UNITS, name='code')
    code = mx.sym.broadcast_axis(mx.sym.expand_dims(code, axis=1), axis=1, size=target)
    return rnn.GRUCell(UNITS, 'd_').unroll(target, mx.sym.concat(
        mx.sym.Variable('target'), code, dim=2), merge_outputs=True)[0]


def of_a_code_alone(source=7, target=7):
    """A decoder that gets nothing else, beside a recurrence over an input that has its steps."""
    code = rnn.GRUCell(UNITS, 'e_').unroll(source, mx.sym.Variable('source'))[1][0]
    code = mx.sym.repeat(mx.sym.expand_dims(code, axis=1), repeats=target, axis=1)
    decoded = rnn.GRUCell(UNITS, 'd_').unroll(target, code, merge_outputs=True)[0]
    return mx.sym.concat(decoded, rnn.GRUCell(UNITS, 't_').unroll(
        target, mx.sym.Variable('target'), merge_outputs=True)[0], dim=2)


@pytest.mark.parametrize('build, states', [
    (of_a_code, False), (of_a_code, True), (of_a_code_alone, False)])
def test_what_is_repeated_for_each_step_has_the_steps_that_read_it(build, states, tmp_path):
    shapes = {'source': (3, 7, WIDTH), 'target': (3, 7, WIDTH)}
    model, path = random_model(build(), shapes), tmp_path / 'a.onnx'
    given = {'target': ('batch', 'time:7', WIDTH)}
    assert not remarks(model, given)
    interop.to_onnx(model, str(path), given, states=states)
    shapes = {'source': (2, 5, WIDTH), 'target': (2, 9, WIDTH)}
    data = {name: np.random.RandomState(3).randn(*shape).astype('f')
            for name, shape in shapes.items()}
    wanted = bound(build(5, 9), shapes, model.arg_params, data).forward(
        is_train=False)[0].asnumpy()
    if states:
        stepper = interop.load_stepper(str(path))
        got = stepper.read(stepper.begin(source=data['source']), target=data['target'])[0]
    else:
        got, = session(path.read_bytes()).run(None, data)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def added(length=7):
    """Two recurrences, whose outputs are added."""
    return mx.sym.elemwise_add(*[rnn.GRUCell(UNITS, name[0] + '_').unroll(
        length, mx.sym.Variable(name), merge_outputs=True)[0] for name in ('source', 'target')])


@pytest.mark.parametrize('build, said', [
    (of_a_code_alone, 'steps 7 .* time and more, .* give both the same name'),
    (added, r'elemwise_add.* equal sizes.*source .*, time, 5\); target .*, more.* the same name')])
def test_names_of_steps_that_do_not_fit_the_graph_are_refused(build, said, tmp_path):
    shapes = {'source': (3, 7, WIDTH), 'target': (3, 7, WIDTH)}
    for export in interop.to_onnx, interop.to_source:
        with pytest.raises(ValueError, match=said):
            export(random_model(build(), shapes), str(tmp_path / 'a.py'), {
                'source': ('batch', 'time:7', WIDTH), 'target': ('batch', 'more:7', WIDTH)})


@pytest.mark.parametrize('order', [1, -1])
def test_steps_of_one_name_are_equal_if_the_graph_does_not_tell_whose_it_repeats(order, tmp_path):
    """What the file repeated had the steps of the first input, also if the other had more."""
    torch = pytest.importorskip('torch')
    code, other = (rnn.GRUCell(UNITS, name[0] + '_').unroll(7, mx.sym.Variable(name))[1][0]
                   for name in ('source', 'target'))
    steps = mx.sym.repeat(mx.sym.expand_dims(code, axis=1), repeats=7, axis=1)
    model = random_model(mx.sym.broadcast_add(steps, mx.sym.expand_dims(other, axis=1)), {
        'source': (3, 7, WIDTH), 'target': (3, 7, WIDTH)})
    given = {name: ('batch', 'time:7', WIDTH) for name in ['source', 'target'][::order]}
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), given)
    interop.to_source(model, str(tmp_path / 'a.py'), given)
    data = {'source': torch.ones(2, 9, WIDTH), 'target': torch.ones(2, 5, WIDTH)}
    source: dict = {}
    exec((tmp_path / 'a.py').read_text(), source)
    for run in (interop.to_torch(model, inputs=given), source['Model'](), lambda **data: session((
            tmp_path / 'a.onnx').read_bytes()).run(None, {
                name: each.numpy() for name, each in data.items()})):
        with pytest.raises(Exception, match='has a length of|must be equal: |out of data'):
            run(**data)


@pytest.mark.parametrize('build, shapes, advised', [
    (of_a_code, {'source': (3, 7, WIDTH), 'target': (3, 7, WIDTH)}, True),
    (lambda: of_a_shop('axis'), SHOP, True), (lambda: of_a_shop('to', flat=False), SHOP, True),
    (lambda: of_a_shop('axis', rnn.FusedRNNCell, False), SHOP, True),
    (lambda: positions(7), {'data': (3, 7, WIDTH)}, True),
    (lambda: of_a_shop('tile'), SHOP, False),
    (lambda: of_a_shop('repeat', flat=False), SHOP, False),
    (lambda: of_a_shop('tile', rnn.FusedRNNCell), SHOP, False),
    (lambda: tagger(7, fused=True), {'data': (3, 7, WIDTH)}, True),
    (lambda: tagger(7), {'data': (3, 7, WIDTH)}, True),
    (lambda: padded('stack', 7), {'data': (3, 7, WIDTH), 'lengths': (3,)}, True),
    (spoken, {'data': (3, 8, WIDTH)}, True)])
def test_each_option_that_is_advised_is_taken(build, shapes, advised, tmp_path, capsys):
    interop.save(random_model(build(), shapes), str(tmp_path / 'a'), 1)
    export, said = ('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--no-check'), ''
    open_steps = {name: ','.join(map(str, ('batch', 'time', *shape[2:])))
                  for name, shape in shapes.items() if len(shape) > 1}
    for further in [], ['--states'], [each for pair in open_steps.items()
                                      for each in ('--input', '%s=%s' % pair)]:
        command(*export, *further)
        out, err = capsys.readouterr()
        tips = re.findall(r'(?:--input \S*time:\S+ ?)+', ' '.join((out + err).split()))
        said += ''.join(tips)
        assert advised or further or 'history has 7 steps, the number in the graph' in ' '.join(
            out.split())
        for tip in tips:
            assert command(*export, *['--states'] * (further == ['--states'] and bool(err)),
                           *tip.split()) == 0, tip
            capsys.readouterr()
    assert bool(said) == advised


def translator(source, target):
    """Encoder and decoder, whose Reshapes state their numbers of steps."""
    outputs, states = rnn.GRUCell(UNITS, prefix='encoder_').unroll(
        source, mx.sym.Variable('source'), merge_outputs=True)
    keys = mx.sym.Reshape(mx.sym.FullyConnected(
        mx.sym.Reshape(outputs, shape=(-1, UNITS)), num_hidden=UNITS, name='key'),
        shape=(-1, source, UNITS))
    outputs, _ = rnn.GRUCell(UNITS, prefix='decoder_').unroll(
        target, mx.sym.Variable('target'), begin_state=[mx.sym.max(keys, axis=1)],
        merge_outputs=True)
    return mx.sym.Reshape(mx.sym.FullyConnected(mx.sym.Reshape(outputs, shape=(-1, UNITS)),
                                                num_hidden=3, name='scores'),
                          shape=(-1, target, 3))


@pytest.mark.parametrize('own, other, free', [
    ((4, 5), (8, 5), 'source'), ((4, 5), (4, 7), 'target'), ((5, 9), (7, 9), 'source'),
    ((9, 5), (9, 7), 'target'), ((4, 5), (8, 7), 'several numbers of steps: 4 and 8, 5 and 7'),
    ((5, 9), (9, 5), 'several numbers of steps: 5 and 9, 9 and 5'),
    ((5, 7), (7, 7), '7 steps in one graph'), ((7, 7), (5, 7), '7 steps in one graph')])
def test_the_second_graph_frees_the_number_in_which_it_differs(own, other, free, tmp_path):
    shapes = {'source': (2, own[0], WIDTH), 'target': (2, own[1], WIDTH)}
    model = random_model(translator(*own), shapes)
    further = interop.graph_from_json(translator(*other).tojson())
    path = tmp_path / 'a.onnx'
    if free not in shapes:
        with pytest.raises(ValueError, match=free):
            interop.to_onnx(model, str(path), certify_by=further)
        return
    interop.to_onnx(model, str(path), certify_by=further)
    shapes[free] = (2, 11, WIDTH)
    data = {name: np.random.RandomState(3).randn(*shape).astype('f')
            for name, shape in shapes.items()}
    wanted = bound(translator(*[shapes[name][1] for name in ('source', 'target')]), shapes,
                   model.arg_params, data).forward(is_train=False)[0].asnumpy()
    np.testing.assert_allclose(session(path.read_bytes()).run(None, data)[0], wanted, atol=1e-6)


def attending(source, target, fed, scores):
    """A decoder that attends to an encoder by Reshapes that state the encoder's steps; `fed`: its
    context goes into the next step, so that a loop has the Reshapes."""
    seen, states = rnn.GRUCell(UNITS, 'encoder_').unroll(
        source, mx.sym.Variable('source'), merge_outputs=True)
    keys = mx.sym.Reshape(mx.sym.FullyConnected(mx.sym.Reshape(seen, shape=(-1, UNITS)),
                                                num_hidden=UNITS, name='key'),
                          shape=(-1, source, UNITS), name='keys')
    decoder, query, value = (rnn.GRUCell(UNITS, 'decoder_'), *map(mx.sym.Variable, (
        'query_weight', 'value_weight')))
    context, outputs = mx.sym.zeros_like(states[0]), []
    for word in mx.sym.SliceChannel(mx.sym.Variable('target'), num_outputs=target, axis=1,
                                    squeeze_axis=True):
        output, states = decoder(mx.sym.Concat(word, context, dim=1) if fed else word, states)
        asked = mx.sym.FullyConnected(output, query, no_bias=True, num_hidden=UNITS)
        rows = mx.sym.broadcast_add(keys, mx.sym.expand_dims(asked, axis=1))
        if scores is not None:
            rows = mx.sym.FullyConnected(mx.sym.Reshape(rows, shape=(-1, UNITS)), value,
                                         no_bias=True, num_hidden=1)
            rows = mx.sym.Reshape(rows, shape=tuple(source if size == 's' else size
                                                    for size in scores))
        looks = mx.sym.softmax(mx.sym.sum(rows, axis=2) if scores is None else rows, axis=(
            1 if scores is None else scores.index('s')))
        if scores == (-1, 's'):
            context = mx.sym.sum(mx.sym.broadcast_mul(seen, mx.sym.expand_dims(looks, axis=2)),
                                 axis=1)
        else:
            looks = looks if scores == (-1, 1, 's') else mx.sym.expand_dims(
                looks, axis=1) if scores is None else mx.sym.SwapAxis(looks, dim1=1, dim2=2)
            context = mx.sym.Reshape(mx.sym.batch_dot(looks, seen), shape=(-1, UNITS))
        outputs.append(mx.sym.Reshape(mx.sym.Concat(output, context, dim=1),
                                      shape=(0, 1, 2 * UNITS)))
    return mx.sym.FullyConnected(mx.sym.Concat(*outputs, dim=1), num_hidden=CLASSES, flatten=False,
                                 name='scores')


@pytest.mark.parametrize('fed', [False, True])
@pytest.mark.parametrize('scores', [None, (-1, 's'), (-1, 1, 's'), (-1, 's', 1)])
@pytest.mark.parametrize('own', [(4, 5), (4, 4)])
def test_attention_by_reshapes_takes_other_lengths_as_advised(fed, scores, own, tmp_path, capsys):
    shapes = {'source': (2, own[0], WIDTH), 'target': (2, own[1], WIDTH)}
    model = random_model(attending(*own, fed, scores), shapes)
    interop.save(model, str(tmp_path / 'a'), 1)
    assert command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx') == 0
    freed, = re.findall(r'or export with --input (source=\S*)',
                        ' '.join(capsys.readouterr().out.split()))
    assert command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--source',
                   tmp_path / 'a.py', '--input', freed) == 0
    interop.to_onnx(model, str(tmp_path / 'b.onnx'), certify_by=interop.graph_from_json(
        attending(own[0] + 3, own[1] + 3, fed, scores).tojson()))
    shapes = {'source': (3, 7, WIDTH), 'target': (3, 6, WIDTH)}
    data = {name: np.random.RandomState(3).randn(*shape).astype('f')
            for name, shape in shapes.items()}
    wanted = bound(attending(7, 6, fed, scores), shapes, model.arg_params, data).forward(
        is_train=False)[0].asnumpy()
    for name in ('a.onnx', 'b.onnx'):
        made, = session((tmp_path / name).read_bytes()).run(None, data)
        np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_attention_twice_is_no_recurrence():
    """The second one reads what the first one made, from the same memory."""
    memory, found = (rnn.GRUCell(UNITS, name).unroll(
        7, mx.sym.Variable(name), merge_outputs=True)[0] for name in ('source', 'target'))
    for name in ('first', 'second'):
        looks = mx.sym.softmax(mx.sym.batch_dot(found, memory, transpose_b=True))
        found = mx.sym.FullyConnected(mx.sym.concat(found, mx.sym.batch_dot(
            looks, memory), dim=2), num_hidden=UNITS, flatten=False, name=name)
    findings = roll_once(graph_of(found)).findings
    assert [each.kind for each in findings] == ['kernel', 'kernel']


def two_lengths(source, target):
    """Scores of each pair of steps of two sequences; Reshapes state both numbers."""
    ends = [mx.sym.reshape(mx.sym.FullyConnected(mx.sym.reshape(rnn.GRUCell(UNITS, name).unroll(
        length, mx.sym.Variable(name), merge_outputs=True)[0], (-1, UNITS)), num_hidden=UNITS,
        name='of_' + name), (-1, length, UNITS))
        for name, length in (('source', source), ('target', target))]
    return mx.sym.batch_dot(*ends, transpose_b=True)


def test_beside_a_certified_number_of_steps_the_other_is_kept(tmp_path, capsys):
    """The advice was to type what had been typed."""
    interop.save(random_model(two_lengths(7, 6), {
        'source': (3, 7, WIDTH), 'target': (3, 6, WIDTH)}), str(tmp_path / 'a'), 1)
    two_lengths(9, 6).save(str(tmp_path / 'other-symbol.json'))
    export = ('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--certify',
              tmp_path / 'other-symbol.json')
    for size in 'time', 'time:6':
        assert command(*export, '--input', 'target=batch,%s,5' % size) == 2
        *_, option, typed = capsys.readouterr().err.split()
        assert typed == 'target=batch,6,5' and command(*export, option, typed) == 0


def windowed(length):
    """Frames of windows of three steps, as in LSTNet, of which the last twelve are also summed."""
    image = mx.sym.Reshape(mx.sym.Variable('data'), shape=(0, 1, length, WIDTH))
    frames = mx.sym.Reshape(mx.sym.Convolution(image, kernel=(3, WIDTH), num_filter=4, name='conv'),
                            shape=(0, 0, -1))
    outputs, _ = rnn.GRUCell(4, 'gru_').unroll(length - 2, mx.sym.transpose(frames, (0, 2, 1)))
    return outputs[-1] + mx.sym.sum(mx.sym.slice_axis(frames, axis=2, begin=-12, end=None), axis=2)


def test_windows_that_shorten_sequences_are_not_taken_for_their_steps(tmp_path, capsys):
    interop.save(random_model(windowed(14), {'data': (3, 14, WIDTH)}), str(tmp_path / 'a'), 1)
    windowed(15).save(str(tmp_path / 'b-symbol.json'))
    export = 'export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--input', 'data=batch,14,5'
    assert command(*export) == 0
    out = ' '.join(capsys.readouterr().out.split())
    assert 'data has 14 steps, the number in the graph: pad or cut' in out and 'certify' not in out
    assert command(*export, '--certify', tmp_path / 'b-symbol.json') == 2
    assert 'the graphs have 12 and 13 steps' in (err := capsys.readouterr().err)
    assert 'pad sequences to 14 steps' in err


def test_the_shape_of_frames_is_named_if_the_graph_tells_it(tmp_path):
    model = random_model(of_frames(7, 8), {'data': (3, 7, 1, 8, 8), 'label': (3, 7)})
    for export in interop.to_onnx, interop.to_source:
        with pytest.raises(interop.ExportError, match='--input data=batch,time:7,1,8,8 allows any'):
            export(model, str(tmp_path / 'a.py'))


def test_an_input_that_only_other_outputs_read_is_not_named():
    frames = mx.sym.reshape(tagger(7), (-1, 7, CLASSES), name='frames')
    model = random_model(mx.sym.Group([frames, mx.sym.broadcast_add(frames, mx.sym.reshape(
        mx.sym.Variable('more'), (-1, 7, 1)))]), {'data': (3, 7, WIDTH), 'more': (3, 7)})
    given = {'data': ('batch', 7, WIDTH), 'more': ('batch', 7)}
    notes = [' '.join(remarks(model._replace(graph=graph), given)) for graph in (
        model.graph, model.graph.select(['frames_output']))]
    assert 'more=batch' in notes[0] and 'more' not in notes[1].replace('has more', '')


def test_numbers_of_steps_that_are_reshaped_are_freed():
    model = random_model(positions(7), {'data': (3, 7, WIDTH)})
    check_source(generate(model, {'data': ('batch', 'time:7', WIDTH)}), positions(9), {
        'data': np.random.RandomState(0).randn(3, 9, WIDTH).astype('f')})


def test_a_number_that_stays_is_named(tmp_path, capsys):
    """Two rows of each step: sequences of 7 rows are not the data's."""
    rows = mx.sym.FullyConnected(mx.sym.reshape(mx.sym.Variable('data'), (-1, WIDTH)),
                                 num_hidden=UNITS, name='rows')
    outputs, _ = rnn.GRUCell(UNITS, 'gru_').unroll(7, mx.sym.reshape(rows, (-1, 7, UNITS)))
    interop.save(random_model(outputs[-1], {'data': (3, 7, 2 * WIDTH)}), str(tmp_path / 'a'), 1)
    assert command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx',
                   '--input', 'data=batch,time:7,10') == 2
    assert 'reshape1 makes sequences of 7 steps' in ' '.join(capsys.readouterr().err.split())


def frames_in_pairs(steps):
    """Two frames are one step, as in pyramids; the number of steps splits all rows."""
    pairs = mx.sym.reshape(mx.sym.Variable('data'), (-1, steps, 2 * WIDTH), name='pairs')
    return rnn.GRUCell(UNITS, 'gru_').unroll(steps, pairs, merge_outputs=True)[0]


def columns(steps):
    images = mx.sym.Convolution(mx.sym.Variable('data'), kernel=(3, 3), num_filter=4, name='conv')
    return rnn.GRUCell(UNITS, 'gru_').unroll(steps, mx.sym.reshape(mx.sym.transpose(
        images, axes=(0, 3, 1, 2)), (-1, steps, 24), name='pairs'), merge_outputs=True)[0]


def words_by_kernels(steps):
    words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=9, output_dim=WIDTH)
    words = mx.sym.Convolution(mx.sym.reshape(words, (-1, 1, steps, WIDTH), name='pairs'),
                               kernel=(3, WIDTH), pad=(1, 0), num_filter=4, name='conv')
    return rnn.GRUCell(UNITS, 'gru_').unroll(steps, mx.sym.swapaxes(mx.sym.reshape(
        words, (-1, 4, steps)), dim1=1, dim2=2), merge_outputs=True)[0]


def stays_unrolled(steps):
    """Steps with weights of their own."""
    pairs = mx.sym.reshape(mx.sym.Variable('data'), (-1, steps, 2 * WIDTH), name='pairs')
    return mx.sym.add_n(*[rnn.GRUCell(UNITS, 'g%d_' % t)(each, [mx.sym.zeros_like(
        mx.sym.slice_axis(each, axis=1, begin=0, end=UNITS))])[0] for t, each in enumerate(
            mx.sym.split(pairs, num_outputs=steps, axis=1, squeeze_axis=True))])


@pytest.mark.parametrize('build, shape, given, advice', [
    (frames_in_pairs, (3, 16, WIDTH), 'batch,time,5', '--input data=batch,16,5'),
    (frames_in_pairs, (3, 16, WIDTH), '3,time,5', '--input data=3,16,5'),
    (frames_in_pairs, (3, 16, WIDTH), '', 'data=batch,…'),
    (stays_unrolled, (3, 16, WIDTH), 'batch,time,5', '--input data=batch,16,5'),
    (lambda steps: rnn.FusedRNNCell(UNITS, prefix='f_').unroll(steps, mx.sym.reshape(
        mx.sym.Variable('data'), (-1, steps, 2 * WIDTH), name='pairs'), merge_outputs=True)[0],
     (3, 16, WIDTH), 'batch,time,5', '--input data=batch,16,5'),
    (words_by_kernels, (3, 8), '', '--input data=batch,8'),
    (columns, (3, 1, 8, 10), '', 'in place of …: --input data=batch,1,…,')])
def test_a_reshape_that_makes_sequences_of_all_rows_is_exported_for_one_length(
        build, shape, given, advice, tmp_path, capsys):
    model = random_model(build(8), {'data': shape})
    interop.save(model, str(tmp_path / 'a'), 1)
    for target in ('--onnx', 'a.onnx'), ('--onnx', 'a.onnx', '--as-is'), ('--source', 'b.py'):
        options = target[0], tmp_path / target[1], *target[2:]
        assert command('export', tmp_path / 'a', *options, *(
            ['--input', 'data=' + given] if given else [])) == 2
        said = ' '.join(''.join(capsys.readouterr()).split())
        assert advice in said, target
        own = ','.join(map(str, shape)) if advice[-1] != '5' else advice.partition('=')[2]
        assert command('export', tmp_path / 'a', *options, '--input', 'data=' + own) == 0
        assert 'differ' in capsys.readouterr().out


CODES = {  # repeats one step as often as there are steps; what is said without a number of steps
    'list': (lambda code, length: [code] * length, 'a recurrence runs 7 steps'),
    'repeat': (lambda code, length: mx.sym.repeat(mx.sym.expand_dims(
        code, axis=1), repeats=length, axis=1), 'data has 7 steps'),
    'tile': (lambda code, length: mx.sym.tile(mx.sym.expand_dims(
        code, axis=1), reps=(1, length, 1)), 'data has 7 steps'),
    'broadcast_axis': (lambda code, length: mx.sym.broadcast_axis(mx.sym.expand_dims(
        code, axis=1), axis=1, size=length), 'a recurrence runs 7 steps'),
    'broadcast_to': (lambda code, length: mx.sym.broadcast_to(mx.sym.expand_dims(
        code, axis=1), shape=(0, length, 0)), 'data has 7 steps'),
    'longer': (lambda code, length: [code] * length, 'longer data are cut to 7 steps'),
}


@pytest.mark.parametrize('name', CODES)
def test_an_autoencoder_says_that_its_decoder_keeps_the_steps_until_they_are_freed(name, tmp_path):
    repeated, said = CODES[name]

    def build(length):
        with mx.name.NameManager():
            data = mx.sym.Variable('data')
            if name == 'longer':
                data = mx.sym.slice_axis(data, axis=1, begin=0, end=length)
            code = rnn.LSTMCell(UNITS, 'e_').unroll(length, data)[0][-1]
            return rnn.GRUCell(UNITS, 'd_').unroll(length, repeated(code, length),
                                                   merge_outputs=True)[0]
    model = random_model(build(7), {'data': (3, 7, WIDTH)})
    note = remarks(model)[-1]
    assert said in note and 'export with --input data=batch,time:7,5' in note
    path, given = tmp_path / 'a.onnx', {'data': ('batch', 'time:7', WIDTH)}
    assert not remarks(model, given)
    interop.to_onnx(model, str(path), given)
    for length in (7, 9, 4):
        data = {'data': np.random.RandomState(length).randn(2, length, WIDTH).astype('f')}
        wanted = bound(build(length), {'data': (2, length, WIDTH)}, model.arg_params, data)
        np.testing.assert_allclose(session(path.read_bytes()).run(None, data)[0],
                                   wanted.forward(is_train=False)[0].asnumpy(), atol=1e-6)


def test_attention_over_a_list_names_the_input_that_keeps_its_steps(tmp_path):
    memory = rnn.GRUCell(UNITS, 'e_').unroll(7, mx.sym.Variable('source'))[0]
    cell, v = rnn.GRUCell(UNITS, 'd_'), mx.sym.Variable('v_weight')
    state, outputs = cell.begin_state(), []
    for word in mx.sym.SliceChannel(mx.sym.Variable('target'), num_outputs=9, axis=1,
                                    squeeze_axis=True):
        out, state = cell(word, state)
        scores = mx.sym.softmax(mx.sym.Concat(*[mx.sym.FullyConnected(
            out + each, weight=v, num_hidden=1, no_bias=True) for each in memory], dim=1))
        outputs.append(mx.sym.batch_dot(mx.sym.expand_dims(scores, axis=1), mx.sym.Concat(*[
            mx.sym.expand_dims(each, axis=1) for each in memory], dim=1)))
    model = random_model(mx.sym.Concat(*outputs, dim=0), {
        'source': (2, 7, WIDTH), 'target': (2, 9, WIDTH)})
    assert 'other inputs, a recurrence over source runs 7 steps' in remarks(model)[-1]
    with pytest.raises(interop.ExportError, match='keep that length: --input source=') as e:
        interop.to_onnx(model, tmp_path / 'a.onnx', {'source': ('batch', 'time:7', WIDTH)})
    assert 'give that number' not in str(e.value)


def test_outputs_that_each_step_cuts_off_are_noted():
    """A file of any length dropped the steps beyond the graph's, and nothing was said."""
    outputs, _ = rnn.LSTMCell(UNITS, 'l_').unroll(7, mx.sym.Variable('data'), merge_outputs=True)
    shared = {'weight': mx.sym.Variable('w'), 'bias': mx.sym.Variable('b'), 'num_hidden': 2}
    steps = [mx.sym.FullyConnected(mx.sym.slice_axis(outputs, axis=1, begin=t, end=t + 1), **shared)
             for t in range(7)]
    model = random_model(mx.sym.Concat(*[mx.sym.expand_dims(step, 1) for step in steps], dim=1),
                         {'data': (3, 7, WIDTH)})
    assert 'longer data are cut to 7 steps' in remarks(model)[-1]
    assert not remarks(model, {'data': ('batch', 'time:7', WIDTH)})


def of_last(begin, axis=1):
    """A forecast from a cell, and from the steps of the data from number `begin` on."""
    def build(length):
        data = mx.sym.Variable('data')
        return rnn.GRUCell(WIDTH, 'g_').unroll(length, data)[0][-1] + mx.sym.sum(mx.sym.slice_axis(
            data, axis=axis, begin=length + begin, end=length), axis=1)
    return build


def of_last_number(length):
    """The rolled-up graph does not tell how many axes the data have."""
    data = mx.sym.Variable('data')
    last = mx.sym.slice_axis(data, axis=1, begin=length - 1, end=length)
    last = mx.sym.reshape(last, (-1, WIDTH))
    return mx.sym.broadcast_add(rnn.GRUCell(WIDTH, 'g_').unroll(length, data)[0][-1],
                                mx.sym.slice_axis(last, axis=1, begin=0, end=1))


def of_last_labels(length):
    """A tagger that is judged by its last three answers."""
    answers, labels = (mx.sym.reshape(mx.sym.slice_axis(
        each, axis=1, begin=length - 3, end=length), shape) for each, shape in (
            (rnn.GRUCell(WIDTH, 'g_').unroll(length, mx.sym.Variable('data'), merge_outputs=True)[
                0], (-1, WIDTH)), (mx.sym.Variable('label', shape=(2, length)), (-1,))))
    return mx.sym.SoftmaxOutput(answers, labels)


def of_differences(length, steps=0):
    """A cell over the differences of steps, with zeros in front if it has as many `steps`."""
    data = mx.sym.Variable('data')
    first, one, two = (mx.sym.slice_axis(data, axis=1, begin=begin, end=end) for begin, end in (
        (0, 1), (1, length), (0, length - 1)))
    rows = mx.sym.Concat(mx.sym.zeros_like(first), one - two, dim=1) if steps else one - two
    return rnn.GRUCell(WIDTH, 'g_').unroll(length - (not steps), rows)[0][-1]


def of_ages(length):
    """A sum of outputs with weights that depend on how long ago each step was."""
    ages = mx.sym.reshape(length - 1 - mx.sym.arange(0, length), (1, -1, 1))
    return mx.sym.sum(mx.sym.broadcast_mul(rnn.GRUCell(WIDTH, 'g_').unroll(
        length, mx.sym.Variable('data'), merge_outputs=True)[0], 0.9 ** ages), axis=1)


def skipping(length):
    """The steps of a convolution in groups of three, of which each is a sequence."""
    rows = mx.sym.transpose(mx.sym.Convolution(mx.sym.transpose(mx.sym.Variable(
        'data'), (0, 2, 1)), kernel=(2,), num_filter=3, name='conv'), (0, 2, 1))
    whole, count = rnn.GRUCell(WIDTH, 'g_').unroll(length - 1, rows)[0][-1], (length - 1) // 3
    rows = mx.sym.reshape(mx.sym.slice_axis(rows, axis=1, begin=-count * 3, end=None),
                          (-1, count, 3, 3))
    rows = mx.sym.reshape(mx.sym.transpose(rows, (0, 2, 1, 3)), (-1, count, 3))
    return mx.sym.concat(whole, mx.sym.reshape(rnn.GRUCell(2, 's_').unroll(
        count, rows)[0][-1], (-1, 6)), dim=1)


#: Programs with a part of their data, and ways in which their file takes any length.
OF_PARTS = {
    'the last three': (of_last(-3), 'another graph'),
    'the last': (of_last(-1), 'nothing, an axis, another graph'),
    'one number of the last': (of_last_number, 'nothing, an axis, another graph'),
    'all': (lambda length: of_last(-length)(length), 'nothing, an axis, another graph'),
    'differences': (lambda length: of_differences(length, 1), 'another graph'),
    'one difference less': (of_differences, 'another graph'),
    'a window': (lambda length: rnn.GRUCell(WIDTH, 'g_').unroll(5, mx.sym.slice_axis(
        mx.sym.Variable('data'), axis=1, begin=length - 5, end=length))[0][-1], 'another graph'),
    'labels': (of_last_labels, 'another graph'),
    'every second': (lambda length: rnn.GRUCell(WIDTH, 'g_').unroll((length + 1) // 2, mx.sym.slice(
        mx.sym.Variable('data'), begin=(None, 0), end=(None, length), step=(None, 2)))[0][-1],
        'an axis'),
    'from behind': (of_last(-3, -2), ''), 'ages': (of_ages, ''), 'skipping': (skipping, '')}


@pytest.mark.parametrize('name', OF_PARTS)
def test_parts_of_data_are_counted_from_the_end_or_keep_the_length(name, tmp_path):
    """Each was a file of any length, without a note, in which literal numbers stayed."""
    build, free = OF_PARTS[name]
    graphs = []
    for length in 8, 11:
        with mx.name.NameManager():
            graphs.append(build(length))
    model, path = random_model(graphs[0], {'data': (2, 8, WIDTH)}), str(tmp_path / 'a')
    for way, options in {
            'nothing': {}, 'an axis': {'inputs': {'data': ('batch', 'time:8', WIDTH)}},
            'another graph': {'inputs': {'data': ('batch', 'time', WIDTH)}, 'certify_by':
                              interop.graph_from_json(graphs[1].tojson())}}.items():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            try:
                interop.to_onnx(model, path, **options)
            except ValueError as error:
                assert way not in free
                assert way != 'an axis' or '--certify' in str(error) or 'skip' in name or (
                    'unrolled for: 7' in str(error)) or 'To keep that length' in str(error)
                continue
        noted = ' '.join(str(each.message) for each in said if each.category is UserWarning)
        data = np.random.RandomState(3).rand(2, 11, WIDTH).astype('f')
        try:
            made, = session(pathlib.Path(path).read_bytes()).run(None, {'data': data})
        except Exception as error:
            assert way not in free and 'invalid dimensions' in str(error), error
            continue
        wanted = bound(graphs[1], {'data': data.shape}, model.arg_params, {'data': data})
        assert bool(noted) is (way not in free), noted
        if not noted:
            np.testing.assert_allclose(made, wanted.forward()[0].asnumpy(), atol=1e-6)


@pytest.mark.filterwarnings('error')
def test_outputs_that_a_file_lacks_are_not_warned_of(tmp_path):
    data = mx.sym.Variable('data')
    outputs, _ = rnn.LSTMCell(UNITS, 'l_').unroll(7, data, merge_outputs=True)
    cut = mx.sym.slice_axis(mx.sym.Variable('cut'), axis=1, begin=0, end=7)
    other, _ = rnn.LSTMCell(UNITS, 'o_').unroll(7, cut, merge_outputs=True)
    whole = mx.sym.FullyConnected(outputs, num_hidden=2, flatten=False, name='whole')
    model = random_model(mx.sym.Group([whole, other]), {
        'data': (3, 7, WIDTH), 'cut': (3, 7, WIDTH)})
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), outputs=['whole_output'])
    with pytest.raises(UserWarning, match='longer data are cut to 7 steps'):
        interop.to_onnx(model, str(tmp_path / 'b.onnx'))


@pytest.mark.parametrize('windows', [
    lambda x, steps: mx.sym.Pooling(x, kernel=(steps, 1), pool_type='max'),
    lambda x, steps: mx.sym.Convolution(x, num_filter=2, kernel=(steps, UNITS)),
    lambda x, steps: mx.sym.Pooling(mx.sym.Convolution(x, num_filter=2, kernel=(3, UNITS)),
                                    kernel=(steps - 2, 1), pool_type='avg'),
    lambda x, steps: mx.sym.Pooling(x, kernel=(1, 1), global_pool=True)],
    ids=['pooling', 'convolution', 'both', 'global'])
def test_a_kernel_that_has_all_steps_keeps_their_number(windows, tmp_path):
    outputs, _ = rnn.GRUCell(UNITS, 'g_').unroll(8, mx.sym.Variable('data'), merge_outputs=True)
    pooled = windows(mx.sym.expand_dims(outputs, axis=1), 8)
    model = random_model(mx.sym.reshape(pooled, (-1, 1)), {'data': (3, 8, WIDTH)})
    said = [str(each) for each in roll_once(model.graph).findings if each.kind == 'fixed']
    interop.to_onnx(model, str(tmp_path / 'a.onnx'))
    onnx = session((tmp_path / 'a.onnx').read_bytes())
    if any(node.op == 'Pooling' and node.global_pool for node in model.graph.nodes):
        assert not said and onnx.get_inputs()[0].shape == ['batch', 'time', WIDTH]
    else:
        assert 'one window over all steps' in said[0]
        assert onnx.get_inputs()[0].shape == ['batch', 8, WIDTH]


def of_frames(steps, width, zoneout=False):
    """Classes of frames, from a convolution of each and a cell over all of them."""
    images = mx.sym.Convolution(mx.sym.reshape(mx.sym.Variable('data'), (-1, 1, width, width)),
                                num_filter=2, kernel=(3, 3), name='conv')
    rows = mx.sym.FullyConnected(images, num_hidden=UNITS, name='rows')
    cell = rnn.LSTMCell(UNITS, 'lstm_')
    outputs, _ = (rnn.ZoneoutCell(cell, .1, .1) if zoneout else cell).unroll(
        steps, mx.sym.reshape(rows, (-1, steps, UNITS), name='split'), merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, (-1, UNITS)), num_hidden=CLASSES,
                                   name='scores')
    return mx.sym.SoftmaxOutput(scores, mx.sym.reshape(mx.sym.Variable('label'), (-1,)))


@pytest.mark.parametrize('zoneout', [False, True])
@pytest.mark.parametrize('steps', [7, 8])
def test_a_reshape_of_frames_keeps_their_number_unless_it_is_that_of_an_axis(
        steps, zoneout, tmp_path, capsys):
    """Frames are as wide as 8 steps are many. Sequences of 16 steps would become twice as many."""
    torch = pytest.importorskip('torch')
    shape = 'data=batch,%s,1,8,8'
    model = random_model(of_frames(steps, 8, zoneout), {
        'data': (2, steps, 1, 8, 8), 'label': (2, steps)})
    interop.save(model, str(tmp_path / 'a'), 1)

    def export(kind, path, size):
        code = command('export', tmp_path / 'a', kind, tmp_path / path, '--input', shape % size)
        return code, ' '.join(''.join(capsys.readouterr()).split())
    code, said = export('--onnx', 'a.onnx', 'time')
    freed = 'time:%d' % steps
    assert code == 2 and 'For any: --input ' + shape % freed in said
    assert export('--onnx', 'a.onnx', freed)[0] == export('--source', 'a.py', freed)[0] == 0
    data = np.random.RandomState(0).randn(3, 2 * steps, 1, 8, 8).astype('f')
    wanted = bound(of_frames(2 * steps, 8), {
        'data': data.shape, 'label': (3, 2 * steps)}, model.arg_params, {'data': data}).forward(
            is_train=False)[0].asnumpy()
    made, = session((tmp_path / 'a.onnx').read_bytes()).run(None, {'data': data})
    np.testing.assert_allclose(made, wanted, atol=1e-6)
    given = {'data': ('batch', freed, 1, 8, 8)}
    source = generate(model, given).module
    np.testing.assert_allclose(source(torch.tensor(data)).detach().numpy(), wanted, atol=1e-6)
    interop.to_onnx(model, str(tmp_path / 's.onnx'), given, states=True)
    module = interop.to_torch(model, inputs=given)
    made = module(data=torch.tensor(data))
    np.testing.assert_allclose(made.detach().numpy(), wanted, atol=1e-6)
    assert interop.from_torch(module, model).arg_params.keys() == model.arg_params.keys()
    module.train()(data=torch.tensor(data), label=torch.zeros(3, 2 * steps)).sum().backward()
    assert module.get_parameter('conv_weight').grad.abs().max() > 0


@pytest.mark.parametrize('batch, op', [
    ('batch', 'Reshape'), ('n', 'Reshape'), ('batch', 'slice'), ('n', 'slice')])
def test_a_batch_that_a_node_states_is_named_and_kept(batch, op, tmp_path, capsys):
    """With two batches of 4, a batch of 8 would mix rows of two sequences each. A slice would cut
    a batch of 9."""
    data = mx.sym.Variable('data')
    if op == 'Reshape':
        data = mx.sym.FullyConnected(mx.sym.reshape(data, (-1, WIDTH)), num_hidden=WIDTH)
        data = mx.sym.reshape(data, (8, -1, WIDTH), name='rows')
    outputs = rnn.GRUCell(UNITS, 'g_').unroll(7, data, merge_outputs=True)[0]
    if op == 'slice':
        outputs = mx.sym.slice(outputs, begin=(0, 0, 1), end=(8, None, UNITS), name='rows')
    interop.save(random_model(outputs, {'data': (8, 7, WIDTH)}), str(tmp_path / 'a'), 1)
    given = '--input', 'data=%s,time,5' % batch
    for options in ('--onnx', 'a.onnx'), ('--onnx', 'a.onnx', '--states'), ('--source', 'b.py'):
        export = 'export', tmp_path / 'a', options[0], tmp_path / options[1], *options[2:]
        assert command(*export, *given) == 2
        said = ' '.join(capsys.readouterr().err.split())
        assert 'node rows (%s) has a batch of 8' % op in said
        assert command(*export, *said.split(': ')[-1].split()) == 0


def test_some_sequences_of_a_batch_are_cut_on_purpose(tmp_path):
    outputs = rnn.GRUCell(UNITS).unroll(7, mx.sym.Variable('data'), merge_outputs=True)[0]
    interop.save(random_model(mx.sym.slice_axis(outputs, axis=0, begin=0, end=2), {
        'data': (4, 7, WIDTH)}), str(tmp_path / 'a'), 1)
    assert command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--input',
                   'data=batch,time,5') == 0


@pytest.mark.parametrize('of_data', [False, True])
def test_groups_of_rows_are_no_batch(of_data, tmp_path, capsys):
    """Triplets of all rows: any batch that is a multiple of 3."""
    torch = pytest.importorskip('torch')
    data = mx.sym.Variable('data')
    outputs = mx.sym.reshape(rnn.FusedRNNCell(UNITS, 1, 'gru').unroll(
        7, data, merge_outputs=True)[0], (-1, UNITS))
    groups = mx.sym.reshape(data if of_data else outputs, (3, -1, WIDTH if of_data else UNITS))
    symbol = mx.sym.Group([mx.sym.max(groups, axis=0), mx.sym.mean(outputs, axis=1)])
    model = random_model(symbol, {'data': (6, 7, WIDTH)})
    interop.save(model, str(tmp_path / 'a'), 1)
    for given in [], ['--input', 'data=batch,time,5']:
        assert command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', *given) == 0
        assert '3 steps' not in capsys.readouterr().out
    for rows in (6, 12):
        made = interop.to_torch(model)(data=torch.zeros(rows, 7, WIDTH))
        assert made[0].shape[0] == rows * 7 // 3


@pytest.mark.parametrize('steps', ['time', 7])
def test_groups_of_sequences_are_checked_with_whole_groups(steps, tmp_path):
    """The check tried batches of 3, 4 and 7, and nothing was written."""
    outputs, _ = rnn.GRUCell(UNITS, 'g_').unroll(7, mx.sym.Variable('data'))
    interop.save(random_model(mx.sym.reshape(outputs[-1], (-1, 5, UNITS)), {
        'data': (15, 7, WIDTH)}), str(tmp_path / 'a'), 1)
    for kind, end in ('--onnx', 'a.onnx'), ('--source', 'b.py'):
        assert command('export', tmp_path / 'a', kind, tmp_path / end, '--input',
                       'data=batch,%s,5' % steps) == 0


@pytest.mark.parametrize('kind', ['sentences', 'two inputs', 'two rows for each step'])
def test_a_torch_module_takes_more_sequences_than_its_data_have(kind):
    """Each sequence in the data is cut into several, or each step has several rows."""
    torch, steps = pytest.importorskip('torch'), 14 if kind == 'sentences' else 7
    data = mx.sym.Variable('data')
    if kind == 'two inputs':
        data = mx.sym.concat(data, mx.sym.Variable('other'), dim=0)
    rows = mx.sym.FullyConnected(mx.sym.reshape(data, (-1, WIDTH)), name='rows',
                                 num_hidden=WIDTH * (1 + (kind == 'two rows for each step')))
    outputs, _ = rnn.LSTMCell(UNITS, 'c_').unroll(7, mx.sym.reshape(rows, (-1, 7, WIDTH)))
    shapes = dict.fromkeys(['data', 'other'][:1 + (kind == 'two inputs')], (3, steps, WIDTH))
    model, data = random_model(outputs[-1], shapes), {
        name: torch.ones(shape) for name, shape in shapes.items()}
    if kind != 'two inputs':  # they may as well be sequences of another length
        with pytest.raises(ValueError, match='become several, tell the export that shape: inputs='):
            interop.to_torch(model)(**data)
    assert len(interop.to_torch(model, inputs=dict.fromkeys(
        shapes, ('batch', steps, WIDTH)))(**data)) == 6


def test_a_torch_module_keeps_a_number_of_words_that_no_shape_names():
    """A dense layer of each word, and sequences of 7 again: it took other numbers."""
    torch = pytest.importorskip('torch')
    words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=9, output_dim=WIDTH)
    rows = mx.sym.FullyConnected(mx.sym.reshape(words, (-1, WIDTH)), num_hidden=UNITS)
    outputs, _ = rnn.LSTMCell(UNITS, 'c_').unroll(7, mx.sym.reshape(rows, (-1, 7, UNITS)))
    model = random_model(outputs[-1], {'data': (2, 7)})
    module, data = interop.to_torch(model), torch.ones(7, 8)  # of which 8 sequences can be made
    assert module(data[:, :7]).shape == (7, UNITS)
    with pytest.raises(ValueError, match='sequences of 7 steps of all rows, and so 8 sequences of'):
        module(data)


def test_a_file_that_cannot_refuse_other_lengths_is_written_with_a_warning(tmp_path):
    """The data are rows."""
    torch = pytest.importorskip('torch')
    data = mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=WIDTH, name='rows')
    outputs, _ = rnn.GRUCell(UNITS, 'g_').unroll(7, mx.sym.reshape(data, (-1, 7, WIDTH)))
    model = random_model(outputs[-1], {'data': (21, WIDTH)})
    module = interop.to_torch(model)
    assert module(data=torch.zeros(21, WIDTH)).shape == (3, UNITS)
    with pytest.raises(ValueError, match=r'does not take data of shape \(8, 5\)'):
        module(data=torch.zeros(8, WIDTH))
    with pytest.warns(UserWarning, match='sequences of 7 steps'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'))


def test_a_reshape_that_may_state_part_of_the_steps_is_named(tmp_path):
    outputs, _ = rnn.LSTMCell(5, 'a_').unroll(12, mx.sym.Variable('data'), merge_outputs=True)
    outputs = mx.sym.reshape(outputs, (-1, 4, 5), name='parts')
    outputs, _ = rnn.LSTMCell(5, 'b_').unroll(4, outputs, merge_outputs=True)
    with pytest.raises(interop.ExportError, match='\nparts, 12 steps: it must have as many'):
        interop.to_onnx(random_model(outputs, {'data': (3, 12, WIDTH)}), str(tmp_path / 'a.onnx'),
                        {'data': ('batch', 'time:12', WIDTH)})


def test_steps_that_stay_unrolled_keep_their_number(tmp_path):
    """The axis of steps is counted from the end, so it is not known which one it is."""
    torch = pytest.importorskip('torch')
    data, cell, outputs = mx.sym.Variable('data'), rnn.LSTMCell(UNITS, 'l_'), []
    states = [mx.sym.zeros((0, UNITS)), mx.sym.zeros((0, UNITS))]
    for step in range(7):
        output, states = cell(mx.sym.reshape(mx.sym.slice_axis(
            data, axis=-2, begin=step, end=step + 1), (-1, WIDTH)), states)
        outputs.append(mx.sym.expand_dims(output, axis=1))
    model, path = random_model(mx.sym.concat(*outputs, dim=1), {
        'data': (3, 7, WIDTH)}), str(tmp_path / 'a.onnx')
    for export, name in (interop.to_onnx, path), (interop.to_source, path + '.py'):
        with pytest.raises(interop.ExportError, match='l, 7 steps: stays unrolled.*data=batch,7,5'):
            export(model, name, {'data': ('batch', 'time:7', WIDTH)})
    with pytest.warns(UserWarning, match='longer data are cut to 7 steps'):
        interop.to_onnx(model, path, {'data': ('batch', 'time', WIDTH)})
    source = generate(model, {'data': ('batch', 7, WIDTH)}).module
    with pytest.raises(ValueError, match='must be .any, 7, 5.'):
        source(torch.ones(3, 9, WIDTH))


def test_of_two_stated_numbers_the_one_that_is_not_freed_is_kept(tmp_path):
    rows = [mx.sym.reshape(rnn.FusedRNNCell(UNITS, prefix=name[0]).unroll(
        length, mx.sym.Variable(name), layout='TNC', merge_outputs=True)[0], (-1, UNITS))
        for name, length in (('data', 7), ('target', 12))]
    both = mx.sym.Group([mx.sym.reshape(each, (length, -1, UNITS))
                         for each, length in zip(rows, (7, 12))])
    model, path = random_model(both, {'data': (7, 3, WIDTH), 'target': (12, 3, WIDTH)}), (
        tmp_path / 'a.onnx')
    interop.to_onnx(model, str(path), {'data': ('time:7', 'batch', WIDTH)})
    assert [each.shape[0] for each in session(path.read_bytes()).get_inputs()] == ['time', 12]


def test_only_sizes_that_may_be_steps_are_named_and_the_reason_is_kept(tmp_path):
    rows = mx.sym.FullyConnected(mx.sym.reshape(mx.sym.Variable('data'), (-1, WIDTH)),
                                 num_hidden=7, name='rows')
    for data, width, kept in (
            # 7 units are not 7 steps
            (mx.sym.Variable('data'), WIDTH + 2, r'equal: 7 and 5\ndata must be'),
            (mx.sym.reshape(rows, (-1, 7, 7), name='split'), WIDTH,
             r'(?s)^one\ntwo\n.* 7 is still in split\.')):
        outputs, _ = rnn.LSTMCell(7, 'l_').unroll(7, data, merge_outputs=True)
        model = random_model(outputs, {'data': (3, 7, WIDTH)})
        with pytest.raises(interop.ExportError, match=kept), naming_what_keeps(
                CountedSteps(7, {'data': 1}), model.graph, model.arg_params, {}):
            if width != WIDTH:
                interop.to_onnx(model, str(tmp_path / 'a.onnx'), {
                    'data': ('batch', 'time:7', width)})
            raise interop.ExportError('one\ntwo')


# differences.md: an unrolled graph that reads particular steps (fits its own length)
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
def test_a_step_that_is_read_alone_keeps_the_length_unless_another_graph_frees_it(layout, tmp_path):
    from mxrnn.interop import _onnx

    def third(length):
        with mx.name.NameManager():
            return rnn.GRUCell(4, 'g_').unroll(length, mx.sym.Variable('data'), layout=layout)[0][2]
    shape, path = (2, 6, 5) if layout == 'NTC' else (6, 2, 5), str(tmp_path / 'm.onnx')
    model = random_model(third(6), {'data': shape})
    written = _onnx.write_onnx(model, path)
    assert written.inputs['data'] == tuple('batch' if size == 2 else size for size in shape)
    assert any('must have as many' in note for note in written.notes)
    other = interop.graph_from_json(third(9).tojson())
    written = _onnx.write_onnx(model, path, certify_by=other)
    assert 6 not in written.inputs['data'] and not written.notes
    with pytest.raises(interop.ExportError, match='cannot be stepped|no recurrence'):
        _onnx.write_onnx(model, path, states=True)


def stacked():
    return stack(rnn.LSTMCell(UNITS, 'l0_'),
                 rnn.ZoneoutCell(rnn.GRUCell(UNITS, 'l1_'), 0.2, 0.3))


def both_directions():
    return rnn.BidirectionalCell(rnn.LSTMCell(UNITS, 'f_'), rnn.LSTMCell(UNITS, 'b_'))


#: Cells over sequences of different lengths, in which layout, and whether the file takes only the
#: graph's number of steps where nothing else is asked for.
PADDED = {
    'stack': (stacked, 'NTC', True), 'both': (both_directions, 'TNC', True),
    'fuse': (lambda: rnn.fuse(both_directions()), 'NTC', False),
    'fused': (lambda: rnn.FusedRNNCell(UNITS, 2, prefix='q_', get_next_state=True), 'TNC', False),
}


def padded(name, length):
    make, layout, _ = PADDED[name]
    with mx.name.NameManager():
        outputs, states = make().unroll(length, mx.sym.Variable('data'), layout=layout,
                                        merge_outputs=True, valid_length=mx.sym.Variable('lengths'))
        last = states[-1][-1] if isinstance(states[-1], list) else states[-1]
        return mx.sym.Group([outputs, mx.sym.identity(last)])


def padded_model(name):
    shapes = {'data': (3, 7, WIDTH) if PADDED[name][1] == 'NTC' else (7, 3, WIDTH), 'lengths': (3,)}
    return random_model(padded(name, 7), shapes)


def run_padded(name, length, given, arrays):
    data, lengths = given
    executor = bound(padded(name, length), {'data': data.shape, 'lengths': lengths.shape}, arrays,
                     {'data': data, 'lengths': lengths})
    return [each.asnumpy() for each in executor.forward(is_train=False)]


# differences.md: an unrolled graph at another length
@pytest.mark.parametrize('name, asked', [
    *[(name, asked) for name in PADDED for asked in ('nothing', 'an axis')],
    *[(name, 'another graph') for name in ('stack', 'both')]])
def test_sequences_of_different_lengths(name, asked, tmp_path):
    _, layout, fixed = PADDED[name]
    first, time = (7, 'time:7') if fixed else ('time', 'time:7')
    with_axis = {'data': ('batch', time, WIDTH) if layout == 'NTC' else (time, 'batch', WIDTH)}
    other = interop.graph_from_json(padded(name, 5).tojson())
    options = {'nothing': {}, 'an axis': {'inputs': with_axis},
               'another graph': {'certify_by': other}}[asked]
    model = padded_model(name)
    path = tmp_path / 'a.onnx'
    from mxrnn.interop import _onnx
    written = _onnx.write_onnx(model, str(path), types={'lengths': 'int32'}, **options)
    assert written.inputs['lengths'] == ('batch',)
    assert written.inputs['data'][layout.index('T')] == (first if asked == 'nothing' else 'time')
    keeps = asked == 'nothing' and name != 'fuse'
    assert any('clipped to 7 steps' in note for note in written.notes) is keeps
    serving = session(path.read_bytes())
    for batch, length in ((3, 7), (4, 4), (2, 11))[:1 if keeps else 3]:
        data = np.random.RandomState(length).randn(batch, length, WIDTH).astype('f')
        if layout == 'TNC':
            data = data.swapaxes(0, 1)
        lengths = np.array([length + 2, length - 1, 1, 0], 'int32')[:batch]
        found = serving.run(None, {'data': data, 'lengths': lengths})
        for one, other in zip(found, run_padded(name, length, (data, lengths), model.arg_params)):
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize('name, options, noted', [
    ('stack', {}, True), ('stack', {'inputs': {'data': ('batch', 7, WIDTH)}}, True),
    ('stack', {'roll': False}, False),  # which refuses the axis that a note would advise
    ('fused', {}, True), ('fused', {'inputs': {'data': (7, 'batch', WIDTH)}}, True),
    ('fused', {'inputs': {'data': (3, 'batch', WIDTH)}}, False)])  # of which no length is cut
def test_a_note_of_lengths_is_for_files_that_have_so_many_steps(name, options, noted, tmp_path):
    from mxrnn.interop import _onnx
    written = _onnx.write_onnx(padded_model(name), str(tmp_path / 'a.onnx'), **options)
    assert any('clipped to 7 steps' in note for note in written.notes) is noted


def test_a_second_graph_of_operators_is_refused_with_what_frees_clipped_lengths(tmp_path):
    own, other = (rnn.FusedRNNCell(UNITS, prefix='q_').unroll(
        length, mx.sym.Variable('data'), merge_outputs=True, valid_length=mx.sym.Variable(
            'lengths'))[0] for length in (7, 5))
    with pytest.raises(ValueError, match="leave out --certify .* clipped to 7, .* 'time:7'"):
        interop.to_onnx(random_model(own, {'data': (3, 7, WIDTH), 'lengths': (3,)}), str(
            tmp_path / 'a.onnx'), certify_by=interop.graph_from_json(other.tojson()))


def repeated(cell, length, names):
    """A cell over the numbers of each step, beside the same features."""
    fixed = mx.sym.broadcast_axis(mx.sym.expand_dims(mx.sym.FullyConnected(
        mx.sym.Variable('static'), num_hidden=UNITS, name='fixed'), axis=1), axis=1, size=length)
    columns = [mx.sym.expand_dims(mx.sym.Variable(name), axis=2) for name in names]
    return cell(UNITS, prefix='lstm_').unroll(length, mx.sym.concat(*columns, fixed, dim=2),
                                              merge_outputs=True)[0]


@pytest.mark.parametrize('names', [('history',), ('history', 'known')])
@pytest.mark.parametrize('cell', [rnn.LSTMCell, rnn.FusedRNNCell])
def test_a_number_of_steps_in_the_last_axis_is_named_with_what_frees_it(cell, names, tmp_path):
    model = random_model(repeated(cell, 7, names), {
        **dict.fromkeys(names, (3, 7)), 'static': (3, 2)})
    given = {'static': ('batch', 2)}
    assert remarks(model, given)[-1].endswith('or export with ' + ' '.join(
        '--input %s=batch,time:7' % name for name in names))
    given.update(dict.fromkeys(names, ('batch', 'time:7')))
    assert not remarks(model, given)
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), given)
    serving = session((tmp_path / 'a.onnx').read_bytes())
    data = {name: np.random.RandomState(at).randn(2, 9).astype('f')
            for at, name in enumerate(names)}
    data['static'] = np.ones((2, 2), 'f')
    executor = bound(repeated(cell, 9, names), {name: array.shape for name, array in data.items()},
                     model.arg_params, data)
    np.testing.assert_allclose(serving.run(None, data)[0],
                               executor.forward(is_train=False)[0].asnumpy(), atol=1e-6)


def test_a_source_refuses_steps_that_the_graph_does_not_have():
    data, lengths = map(mx.sym.Variable, ('data', 'lengths'))
    words = mx.sym.Embedding(data, input_dim=9, output_dim=4, name='words')
    symbol = rnn.LSTMCell(UNITS, 'lstm_').unroll(7, words, merge_outputs=True,
                                                 valid_length=lengths)[0]
    source = generate(random_model(symbol, {'data': (3, 7), 'lengths': (3,)}))
    with pytest.raises(ValueError, match=r'must be \(any, 7\), got \(3, 9\)'):
        source.module(torch.zeros(3, 9), torch.ones(3))


@pytest.mark.parametrize('steps', [9, 'time'])
def test_a_number_of_steps_that_the_lengths_do_not_have_is_named(steps, tmp_path):
    with pytest.raises(interop.ExportError) as info:
        interop.to_onnx(padded_model('stack'), str(tmp_path / 'a.onnx'),
                        {'data': ('batch', steps, WIDTH)})
    assert str(info.value).splitlines()[1:] == [
        'The graph by itself says data=batch,7,5, but inputs (--input) say data=batch,%s,5. '
        'If 7 is the number of steps, --input data=batch,time:7,5 allows any' % steps]


def fused(prefix, length, data, **options):
    return rnn.fuse(rnn.GRUCell(3, prefix=prefix)).unroll(
        length, data, layout='TNC', merge_outputs=True, **options)[0]


def halved(steps):
    """Two steps joined into one."""
    pairs = mx.sym.transpose(mx.sym.Reshape(steps, (-4, -1, 2, 0, 0)), (0, 2, 1, 3))
    return mx.sym.Reshape(pairs, (0, 0, -3))


DATA, VALID, MEMORY = map(mx.sym.Variable, ('data', 'valid', 'memory'))
#: Programs of fuse with lengths that are bounded, and whether they take other numbers of steps.
BOUNDED = {
    'by fuse': (lambda T: fused('a_', T, DATA, valid_length=VALID), True),
    'in two layers': (lambda T: fused('b_', T, fused('a_', T, DATA, valid_length=VALID),
                                      valid_length=VALID), True),
    'in a pyramid': (lambda T: fused('b_', T // 2, halved(fused('a_', T, DATA, valid_length=VALID)),
                                     valid_length=mx.sym.ceil(VALID / 2)), True),
    'by the program': (lambda T: fused('a_', T, DATA, valid_length=mx.sym.clip(VALID, 1, T)),
                       False),
    'behind the cell': (lambda T: mx.sym.SequenceMask(
        fused('a_', T, DATA), mx.sym.clip(VALID, 0, T), use_sequence_length=True), False),
    'of something else': (lambda T: mx.sym.Group([fused('a_', T, DATA), mx.sym.SequenceMask(
        MEMORY, mx.sym.clip(VALID, 0, T), use_sequence_length=True)]), False)}


@pytest.mark.parametrize('name', BOUNDED)
def test_bounds_of_lengths_beside_what_fuse_has_counted(name):
    torch = pytest.importorskip('torch')
    build, free = BOUNDED[name]

    def given(length):
        random = np.random.RandomState(length)
        data = {'data': random.randn(length, 2, 4), 'valid': np.array([7, 2]),
                'memory': random.randn(9, 2, 1)}
        return {key: data[key].astype('f') for key in data if key in symbol.list_arguments()}
    for length in (4, 8):
        with mx.name.NameManager():
            symbol = build(length)
        data = given(length)
        executor = bound(symbol, {key: each.shape for key, each in data.items()}, {}, data)
        if length == 4:
            module = interop.to_torch(model_of(symbol, executor, data))
        given_to = {key: torch.from_numpy(each) for key, each in data.items()}
        if length == 8 and not free:
            with pytest.raises((RuntimeError, ValueError)):
                module(**given_to)
            continue
        found = module(**given_to)
        for one, other in zip([found] if hasattr(found, 'shape') else found, executor.forward()):
            np.testing.assert_allclose(one.detach(), other.asnumpy(), atol=1e-6)


@pytest.mark.parametrize('name', PADDED)
def test_sources_of_different_lengths(name):
    pytest.importorskip('torch')
    from .sources import generate, outputs
    model, layout = padded_model(name), PADDED[name][1]
    source = generate(model, {'data': ('batch', 'time:7', WIDTH) if layout == 'NTC' else (
        'time:7', 'batch', WIDTH)})
    for batch, length in ((3, 7), (4, 4), (2, 11)):
        shape = (batch, length, WIDTH) if layout == 'NTC' else (length, batch, WIDTH)
        data = np.random.RandomState(length).randn(*shape).astype('f')
        lengths = np.array([length + 2, length - 1, 1, 0], 'f')[:batch]
        wanted = run_padded(name, length, (data, lengths), model.arg_params)
        for one, other in zip(outputs(source, {'data': data, 'lengths': lengths}), wanted):
            np.testing.assert_allclose(one.detach(), other, atol=1e-6)


def _last(steps):
    return mx.sym.slice_axis(steps, axis=1, begin=-1, end=None)


def _attention(steps):
    scores = mx.sym.batch_dot(steps, steps, transpose_b=True)
    return mx.sym.batch_dot(mx.sym.softmax(scores * (1 / 7)), steps)


def recurrence(length, data=None, prefix='gru_', **options):
    data = mx.sym.Variable('data') if data is None else data
    return rnn.GRUCell(UNITS, prefix).unroll(length, data, merge_outputs=True, **options)[0]


@pytest.mark.parametrize('made', [
    lambda steps: steps / 7, lambda steps: mx.sym.mean(steps, axis=1) / 7,
    lambda steps: _last(steps) / 7, _attention,
    lambda steps: mx.sym.broadcast_add(steps, mx.sym.sum(steps, axis=1, keepdims=True)) / 7])
def test_a_number_that_divides_no_sum_of_steps_stays_and_is_noted(made, tmp_path):
    path, data = str(tmp_path / 'a.onnx'), np.random.RandomState(0).randn(2, 9, WIDTH).astype('f')
    model = random_model(made(recurrence(7)), {'data': (3, 7, WIDTH)})
    with pytest.warns(UserWarning, match='number of steps in the graph, 7'):
        interop.to_onnx(model, path, {'data': ('batch', 'time:7', WIDTH)})
    wanted = bound(made(recurrence(9)), {'data': data.shape}, model.arg_params, {'data': data})
    np.testing.assert_allclose(session(path).run(None, {'data': data})[0],
                               wanted.forward()[0].asnumpy(), atol=1e-6)


def by_operator(part, layout='NTC'):
    """A part of the outputs of an operator, which tells no number of steps."""
    return lambda T: part(rnn.FusedRNNCell(UNITS, prefix='f_').unroll(
        T, mx.sym.Variable('data'), layout=layout, merge_outputs=True)[0], T)


def cut(begin, end, axis=1):
    return by_operator(lambda steps, T: mx.sym.slice_axis(
        steps, axis=axis, begin=begin(T), end=end(T)), 'NTC' if axis else 'TNC')


NUMBERED = {  # parts and means that are right at one length, and whether an option frees it
    'last': (cut(lambda T: T - 1, lambda T: T), True),
    'last, time first': (cut(lambda T: T - 1, lambda T: T, 0), True),
    'last, to the end': (cut(lambda T: T - 1, lambda T: None), True),
    'last, by slice': (by_operator(lambda steps, T: mx.sym.slice(
        steps, begin=(None, T - 1, None), end=(None, T, None))), True),
    'last and first': (by_operator(lambda steps, T: mx.sym.concat(*[mx.sym.slice_axis(
        steps, axis=1, begin=t, end=t + 1) for t in (T - 1, 0)], dim=2)), True),
    'last three': (cut(lambda T: T - 3, lambda T: T), False),
    'all but the first': (cut(lambda T: 1, lambda T: T), False),
    'sum times': (by_operator(lambda steps, T: mx.sym.sum(steps, axis=1) * (1 / T)), True),
    'sum by': (by_operator(lambda steps, T: mx.sym.sum(steps, axis=0) / T, 'TNC'), True),
    'sum of a part': (by_operator(lambda steps, T: mx.sym.sum(mx.sym.slice_axis(
        steps, axis=1, begin=1, end=None), axis=1) / (T - 1)), False),
    'sum of data': (lambda T: recurrence(T, mx.sym.broadcast_sub(
        DATA, mx.sym.sum(DATA, axis=1, keepdims=True) / T)), True),
    'each second': (lambda T: recurrence((T + 1) // 2, mx.sym.slice(
        DATA, begin=(None, 0, None), end=(None, T, None), step=(None, 2, None))), True),
}


@pytest.mark.parametrize('name', NUMBERED)
def test_numbers_that_may_be_those_of_steps_are_noted(name, tmp_path):
    """An operator for all steps does not tell how many a program had."""
    torch = pytest.importorskip('torch')
    from .sources import generate
    (build, free), path = NUMBERED[name], str(tmp_path / 'a.onnx')
    model = random_model(build(7), {'data': (7, 7, WIDTH)})
    note, = remarks(model)
    shapes = {key: [int(size) if size.isdigit() else size for size in shape.split(',')]
              for key, shape in re.findall(
                  r'(to keep|for any)[^;]* export with --input data=([^ ;]*)', note)}
    assert 'wrong' in note and ('for any' in shapes) is free
    with pytest.warns(UserWarning, match='wrong'):
        interop.to_onnx(model, path, check=False)
    if 'to keep' in shapes:
        assert 'wrong' not in str(remarks(model, {'data': shapes['to keep']}))
    if not free:
        return
    given = {'data': shapes['for any']}
    interop.to_onnx(model, path, given)
    for length in (7, 9, 4):
        data = np.random.RandomState(length).randn(2, length, WIDTH).astype('f')
        data = data.swapaxes(0, 1) if shapes['for any'].index('batch') else data
        wanted = bound(build(length), {'data': data.shape}, model.arg_params, {
            'data': data}).forward(is_train=False)[0].asnumpy()
        for made in (session(path).run(None, {'data': data})[0],
                     interop.to_torch(model, inputs=given)(torch.tensor(data)).detach(),
                     generate(model, given).module(torch.tensor(data)).detach()):
            np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_a_number_beside_freed_steps_of_an_operator_is_noted():
    """The file of any length divided by 6, and nothing was said."""
    model = random_model(by_operator(lambda steps, T: mx.sym.broadcast_mul(steps, mx.sym.reshape(
        mx.sym.arange(T) / (T - 1), (1, -1, 1))))(7), {'data': (3, 7, WIDTH)})
    assert 'steps in the graph, 7' in remarks(model, {'data': ('batch', 'time:7', WIDTH)})[-1]


@pytest.mark.parametrize('begin, end', [
    (0, 1), (-1, None), (-3, None), (1, None), (2, None), (0, -1), (1, 2)])
def test_parts_that_are_right_at_any_length_are_not_noted(begin, end):
    model = random_model(cut(lambda T: begin, lambda T: end)(7), {'data': (3, 7, WIDTH)})
    assert not remarks(model)


@pytest.mark.parametrize('number, noted', [(UNITS, False), (7 * UNITS, True), (7, True)])
def test_means_over_units_alone_are_not_noted(number, noted):
    made = by_operator(lambda steps, T: mx.sym.sum(steps, axis=(1, 2)) / number)(7)
    assert bool(remarks(random_model(made, {'data': (3, 7, WIDTH)}))) is noted


def test_one_option_keeps_what_two_inputs_are_cut_to():
    model = random_model(mx.sym.concat(*[mx.sym.slice_axis(rnn.FusedRNNCell(
        UNITS, prefix=name).unroll(7, mx.sym.Variable(name), layout='NTC', merge_outputs=True)[0],
        axis=1, begin=6, end=7) for name in ('data', 'more')], dim=2), {
            'data': (3, 7, WIDTH), 'more': (3, 7, WIDTH)})
    kept = {'data': ['batch', 7, WIDTH], 'more': ['batch', 7, WIDTH]}
    notes = remarks(model)
    assert len(notes) == 2 and all('with %s; for any, ' % option(kept) in each for each in notes)
    assert 'wrong' not in str([remarks(model, kept), remarks(model, {
        'data': ['batch', 'time:7', WIDTH]})])


def test_the_order_of_axes_is_kept_in_notes():
    model = random_model(NUMBERED['sum by'][0](7), {'data': (7, 3, WIDTH)})
    assert any('with --input data=time:7,batch,%d' % WIDTH in each
               for each in remarks(model, {'data': ('steps', 'batch', WIDTH)}))


@pytest.mark.parametrize('symbol, shapes, given', [
    (lambda: mx.sym.sum(recurrence(7), axis=1) / 7, {'data': (3, 7, WIDTH)},
     {'data': (7, 'time', WIDTH)}),
    (lambda: mx.sym.concat(mx.sym.sum(recurrence(7), axis=1) / 7, mx.sym.Variable('more'), dim=1),
     {'data': (3, 7, WIDTH), 'more': (3, 7)}, {'more': ('batch', 7)})])
def test_a_number_of_steps_is_noted_although_another_axis_has_it(symbol, shapes, given, tmp_path):
    model = random_model(symbol(), shapes)
    assert ['number of steps in the graph, 7' in each for each in remarks(model, given)] == [True]
    assert not [each for each in remarks(model, {**given, 'data': ('batch', 7, WIDTH)})
                if 'number of steps in the graph' in each]


def test_advice_to_keep_a_number_of_steps_keeps_that_of_the_recurrence():
    upper = recurrence(4, mx.sym.Reshape(recurrence(8), shape=(0, -1, 2 * UNITS)), 'top_')
    model = random_model(mx.sym.sum(upper, axis=1) / 4, {'data': (3, 8, WIDTH)})
    note, = [each for each in remarks(model) if 'number of steps in the graph, 4' in each]
    assert '--input' not in note
    assert note in remarks(model, {'data': ('batch', 4, WIDTH)})
    assert note not in remarks(model, {'data': ('batch', 8, WIDTH)})


def test_advice_puts_the_steps_first_where_a_reshape_does(tmp_path):
    rows = mx.sym.FullyConnected(mx.sym.Reshape(mx.sym.Variable('data'), shape=(-1, WIDTH)),
                                 num_hidden=UNITS)
    steps = recurrence(7, mx.sym.Reshape(rows, shape=(7, -1, UNITS)), layout='TNC')
    model = random_model(steps, {'data': (7, 3, WIDTH)})
    with pytest.raises(interop.ExportError, match='--input data=time:7,batch,5 allows any'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'))
