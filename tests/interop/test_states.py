"""Files with states: steps and chunks against whole sequences, and what cannot be stepped."""
import concurrent.futures
import json
import os
import random
import shutil

import numpy as np
import pytest

import mxrnn
from mxrnn import interop

from .. import mx, rnn
from ..cases import each as each_of
from ..comparing import assert_close
from ..running import random_value
from .forms import BOUND, unrolled
from .models import S, V, over, random_model
from .onnx_runs import exportable, grouped, outputs_of, session
from .programs import EACH_STEP, PROGRAMS, stack
from .test_programs_leave import model_of, settled

from mxrnn._graph.rolling import structure  # noqa: E402, I001  isort: skip
from mxrnn._model_commands import shapes_of  # noqa: E402  isort: skip
from mxrnn.interop.export_onnx import write_onnx  # noqa: E402  isort: skip
from mxrnn.interop.prepare import prepare  # noqa: E402  isort: skip

torch = pytest.importorskip('torch')


def load(model, folder, inputs=None):
    path = str(folder / 'model.onnx')
    interop.to_onnx(model, path, inputs, states=True)
    return interop.load_stepper(path)


def model_for(symbol, shapes):
    """The network with random weights, and data."""
    return random_model(symbol, shapes), {
        name: random_value(name, shape).astype('f') for name, shape in shapes.items()}


def whole(model, data, inputs=None, outputs=None):
    """The outputs by name of the file without states."""
    serving = session(exportable(model, inputs).content)
    return dict(zip([each.name for each in serving.get_outputs()], outputs_of(serving, data)))


def step_apart(stepper, states, data, expected, chunks):
    """The largest difference between chunks of a sequence and all of it.

    `data` is as the file without states takes it, `expected` as it gives it; a chunk of 0 is a call
    of `step`.
    """
    length = sum(count or 1 for count in chunks)
    given = {name: stepper._inputs[name][0] for name in stepper.input_names}
    data = {name: given[name].to_caller(data[name], length) for name in given}
    parts, at = [], 0
    for count in chunks:
        chosen = slice(at, at + count) if count else at
        part = {name: array if given[name].time is None else array[:, chosen]
                for name, array in data.items()}
        found, states = (stepper.read if count else stepper.step)(states, **part)
        found = found if isinstance(found, list) else [found]
        parts.append([array[:, np.newaxis] if not count and layout.time is not None else array
                      for array, layout in zip(found, stepper._outputs)])
        at += count or 1
    worst = 0.0
    for i, (name, layout) in enumerate(zip(stepper.output_names, stepper._outputs)):
        wanted = layout.to_caller(expected[name], length)
        found = parts[-1][i] if layout.time is None else np.concatenate(
            [part[i] for part in parts], 1)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        worst = max(worst, np.abs(found - wanted).max() / max(1, np.abs(wanted).max()))
    return worst


#: Cells that can be called for a step, and have no state.
STATELESS = ('dropout', 'dropout_prefix', 'dropout_zero', 'residual_of_dropout', 'stack_empty')


@each_of(BOUND)
def test_every_cell(case, tmp_path):
    model, data = model_for(grouped(*unrolled(case.make(rnn), 'whole', length=6)), {
        'data': (2, 6, *case.step)})
    inputs = {'data': ('batch', 'time', *case.step)}
    try:
        stepper = load(model, tmp_path, inputs)
    except interop.ExportError as error:
        kinds = ['no recurrence'] if case.name in STATELESS else [
            'cannot be stepped: ', 'cannot be any size: node split0 ']
        assert any(kind in str(error) for kind in kinds)
        assert case.name in STATELESS or any(
            node.op in ('SequenceReverse', 'reverse') or node.op == 'RNN' and node.bidirectional
            for node in structure(model.graph).graph.walk())
        return
    expected = whole(model, data, inputs)
    for chunks in ([0] * 6, [2, 0, 3]):
        assert step_apart(stepper, stepper.begin(2), data, expected, chunks) < 1e-6


@pytest.mark.parametrize('inputs', [None, {'data': ('batch', 'time', 4)}])
def test_a_running_sum_that_is_tied_is_refused_for_the_tie(inputs):
    """Not for using several steps at once, which it does not."""
    cell = rnn.RNNCell(3, prefix='sum_')
    outputs, _ = cell.unroll(6, V('data'), merge_outputs=False)
    total = S._internal._mul_scalar(sum(outputs, cell.begin_state()[0]), scalar=.3, name='third')
    model, _ = model_for(S.Group([S.stack(*outputs, axis=1, name='all'), total]),
                         {'data': (2, 6, 4)})
    with pytest.raises(interop.ExportError, match=r'third \(_mul_scalar\) has 0.3') as error:
        prepare(model, inputs, states=True)
    said = str(error.value)
    assert 'several steps' not in said and 'add --output all_output' in said
    assert list(prepare(model, inputs, outputs=['all_output'], states=True).inputs) == [
        'data', 'sum_0_in']


def test_a_sum_over_what_a_decoder_attends_to_stays_a_sum(tmp_path):
    """Each step of the decoder adds up all steps of the encoder."""
    read, _ = rnn.GRUCell(6, prefix='enc_').unroll(5, V('src'), merge_outputs=False)
    said, _ = rnn.GRUCell(6, prefix='dec_').unroll(4, V('data'), merge_outputs=False)
    steps = []
    for query in said:
        scores = S.softmax(S.Concat(*[S.sum(each * query, axis=1, keepdims=True)
                                      for each in read], dim=1))
        parts = S.SliceChannel(scores, num_outputs=5, axis=1)
        context = sum([S.broadcast_mul(each, parts[at]) for at, each in enumerate(read)][1:],
                      S.broadcast_mul(read[0], parts[0]))
        steps.append(S.expand_dims(S.Concat(query, context, dim=1), axis=1))
    model, _ = model_for(S.Concat(*steps, dim=1), {'src': (2, 5, 3), 'data': (2, 4, 3)})
    checked = write_onnx(model, str(tmp_path / 'a.onnx'), states=True).checked
    assert checked.title == 'checked' and checked.sentence.startswith('in chunks, equal')


#: Why programs cannot be stepped.
REFUSED = {
    'one_step_for_inference': 'one step is exported without --states',
    'fused_with_lengths': 'sequencemask0 (SequenceMask) cannot be stepped: it uses several',
    'bidirectional': 'r_ cannot be stepped: it reads sequences backwards',
    'tagger_of_stacked_directions': 'r0_ cannot be stepped: it reads sequences backwards',
    'mask_as_an_input': 'sum0 (sum)',
    'lstm_of_scala_for_inference': 'one step is exported without --states',
    'lstnet': 'number of steps is fixed',
    'attention_over_the_steps': 'several steps at once',
    'two_sequences_compared': 'along several axes, answer_time, question_time, '
                              'which have no steps in common',
    'memory_network': 'no recurrence',
    'text_of_images': 'lstm_ cannot be stepped: it reads sequences forwards and backwards',
    'text_cnn_and_rnn': 'time: 7, since fullyconnected0',
    'characters_and_words': 'number of steps is fixed, see char_ ',
    'tree_of_cells': 'its last step lacks an input',
    'two_losses': 'mean0 (mean)',
    'last_of_each_by_its_length': 'sequencelast0 (SequenceLast)',
    'autoencoder': 'each step reads the same value, for which encoder_ (RNN) reads the whole seq',
    'noise_at_every_step': 'lstm_ cannot be stepped: its number of steps is fixed',
    'rnn_with_norms_of_2016': 'BatchNorm keeps something from step to step',
    'dilated_convolutions_before_a_cell': 'time: 7, since slice_axis1',
    **dict.fromkeys(('crnn_of_three_axes', 'deep_speech_by_hand', 'keyword_spotting',
                     'gluon_lstm_layer', 'tagger_with_characters'),
                    'backwards, so its first output needs the last step'),
    'columns_joined_again': 'pooling0 (Pooling) before it changes the number of steps',
    'columns_before_rows': 'needs a number that the graph does not tell',
    'pyramid_of_frames': 'stepped: reshape0 (Reshape) before it changes the number',
    'forecast_of_five_steps': 'number of steps is fixed, because no input has these steps',
    'series_without_its_trend': 'stepped: slice_axis1 (slice_axis) before it changes the number',
    'frames_of_films': 'number of steps is fixed, see conv'}


def test_a_batch_that_begin_states_fix_is_freed_as_its_line_says(tmp_path):
    begin = [S.zeros((6, 4)), S.zeros((6, 4))]
    model = random_model(over(rnn.LSTMCell(4), 5, begin_state=begin), {'data': (6, 5, 3)})
    (line,) = [text for names, text in prepare(model, states=True).lines if names == 'batch']
    assert line.endswith('. For any: --input data=batch:6,time,3')
    stepper = load(model, tmp_path, {'data': ('batch:6', 'time', 3)})
    assert stepper.read(stepper.begin(2), data=np.ones((2, 4, 3), 'f'))[0].shape == (2, 4, 4)


#: Widths that the graph does not tell.
WIDTHS = {'tree_of_cells': {'leaf0': ('batch', 4), 'leaf2': ('batch', 4)},
          'noise_at_every_step': {'noise': ('batch', 3)}}


@pytest.mark.parametrize('name', sorted({*PROGRAMS} - {*EACH_STEP}))
def test_programs(name, tmp_path):
    _, model = model_of(name)
    if name in REFUSED:
        with pytest.raises(interop.ExportError) as info:
            load(model, tmp_path, WIDTHS.get(name))
        assert REFUSED[name] in str(info.value)
        assert ('without --states' in str(info.value)) is (name != 'columns_before_rows')
        assert not list(tmp_path.iterdir())
        return
    path = tmp_path / 'model.onnx'
    checked = write_onnx(model, path, states=True).checked
    assert checked[0] == 'checked' and checked.sentence.startswith('in chunks, equal to the checkp')
    stepper = interop.load_stepper(path)
    random = np.random.RandomState(0)
    data = {key: random.randint(1, 5, shape).astype('f')
            for key, shape in settled(PROGRAMS[name].shapes, 3, 7).items()}
    data.update((key, np.zeros_like(each)) for key, each in data.items()
                if 'init' in key or key == 'state')
    for begin in ('l0_init_h', 'l0_init_c') if name == 'begin_states_that_are_variables' else ():
        data[begin] = data[begin + '_in'] = random.rand(3, 6).astype('f')
    states = stepper.begin(*([] if stepper.encoder_names else [3]), **{
        key: data[key] for key in stepper.encoder_names})
    states = [data.get(key, state) for key, state in zip(stepper.state_names, states)
              ] + states[len(stepper.state_names):]
    data.update({key: np.zeros_like(each) for key, each in data.items() if 'begin' in key})
    length = 5 if 'target' in data else 7
    for chunks in ([0] * length, [2, 0, length - 3]):
        assert step_apart(stepper, states, data, whole(model, data), chunks) < 1e-6


# ---- the stepper

@pytest.fixture
def language_model(tmp_path):
    """A stepper for a network whose outputs are joined over batch and time."""
    return load(model_of('lstm_time_major')[1], tmp_path)


def words(shape, seed=0):
    return np.random.RandomState(seed).randint(0, 11, shape)


def test_states_belong_to_the_caller(language_model):
    stepper = language_model
    begin = stepper.begin(3)
    _, states = stepper.read(begin, data=words((3, 4)))
    kept = [state.copy() for state in states]
    chances, after = stepper.step(states, data=words(3, 1))
    saved = chances.copy()
    stepper.step(after, data=words(3, 2))
    assert not any(state.any() for state in begin)
    assert all(map(np.array_equal, states, kept))
    assert np.array_equal(chances, saved)


def test_sequences_of_different_lengths(language_model):
    stepper, data, lengths = language_model, words((4, 6)), [3, 0, 6, 3]
    chances, states = stepper.read(stepper.begin(4), data=data, valid_length=lengths)
    assert chances.shape == (4, 6, 11)
    for row, length in enumerate(lengths):
        own = stepper.begin(1)
        if length:
            expected, own = stepper.read(own, data=data[row:row + 1, :length])
            np.testing.assert_allclose(chances[row, :length], expected[0], atol=1e-6)
        assert not chances[row, length:].any()
        assert_close(stepper.take(states, row), own)
    none, same = stepper.read(states, data=data, valid_length=[0] * 4)
    assert none.shape == chances.shape and not none.any()
    assert all(map(np.array_equal, states, same))


def test_take(language_model):
    stepper = language_model
    _, states = stepper.step(stepper.begin(3), data=[1, 2, 3])
    taken = stepper.take(states, [2, 0, 2, 1])
    for state, other in zip(states, taken):
        assert np.array_equal(other, state[[2, 0, 2, 1]])
    assert len(stepper.take(states, 1)[0]) == 1
    for wrong in ([3], [-1], [0.5], 'a', []):
        with pytest.raises(ValueError, match='indices must be integers from 0 to 2, got'):
            stepper.take(states, wrong)


@pytest.mark.parametrize(('change', 'kind', 'text'), [
    (lambda stepper, states: stepper.step(states, word=[1]), TypeError, 'inputs must be data, got'),
    (lambda stepper, states: stepper.step(states), TypeError, 'inputs must be data, got none'),
    (lambda stepper, states: stepper.step(states[:1], data=[1]), TypeError, 'a list of 2 arrays'),
    (lambda stepper, states: stepper.step([1, 2], data=[1]), TypeError, 'must be a list of 2 arr'),
    (lambda stepper, states: stepper.step(states, data=[1, 2]), ValueError,
     r'data must have the axes \(batch\) in step, with a batch of 1, got the shape \(2,\)'),
    (lambda stepper, states: stepper.step(states, data=[[1]]), ValueError,
     r'axes \(batch\) in step, with a batch of 1, got the shape \(1, 1\)$'),
    (lambda stepper, states: stepper.read(states, data=[1]), ValueError,
     r'axes \(batch, time\) in read, with a batch of 1, got the shape \(1,\)$'),
    (lambda stepper, states: stepper.step(states, data=1), ValueError,
     r'data must have the axes \(batch\) in step, with a batch of 1, got the shape \(\)'),
    (lambda stepper, states: stepper.step([states[0], np.zeros((2, 6), 'f')], data=[1]), ValueError,
     r'one batch size, got arrays of the shapes \[\(1, 6\), \(2, 6\)\]'),
    (lambda stepper, states: stepper.take([states[0], np.zeros((), 'f')], 0), ValueError,
     r'one batch size, got arrays of the shapes \[\(1, 6\), \(\)\]'),
    (lambda stepper, states: stepper.step([states[0], np.zeros((1, 5), 'f')], data=[1]), ValueError,
     'must fit the network, got'),
    (lambda stepper, states: stepper.step([states[0], np.zeros((1, 6))], data=[1]), ValueError,
     'must fit the network, got .* float64'),
    (lambda stepper, states: stepper.read(states, data=[[1]], valid_length=[2]), ValueError,
     'valid_length must be 1 whole numbers from 0 to 1'),
    (lambda stepper, states: stepper.begin(0), ValueError, 'batch_size must be'),
    (lambda stepper, states: stepper.read(states, data=np.zeros((1, 0))), ValueError,
     'the same number of steps, at least 1'),
    (lambda stepper, states: stepper.step([state[:0] for state in states], data=[]), ValueError,
     'one batch size'),
    (lambda stepper, states: stepper.begin(data=[1]), TypeError, 'but there is none, got data'),
    (lambda stepper, states: stepper.step([1], states), TypeError, r'by name: step\(states, data='),
    (lambda stepper, states: stepper.step(states, data=['a']), ValueError, 'data must be numbers'),
    (lambda stepper, states: stepper.read(states, data=[[1, 2], [3]]), ValueError,
     'data must be numbers, in rows of one length'),
    (lambda stepper, states: stepper.step(states, data=[1.5]), ValueError,
     r'data must be whole numbers, got 1\.5'),
])
def test_wrong_arguments(change, kind, text, language_model):
    with pytest.raises(kind, match=text):
        change(language_model, language_model.begin(1))


def several_heads(outer):
    """A decoder that attends with two heads; their rows are in the axis of the batch."""
    sym, heads, outputs = mx.sym, 2, []
    encoded = over(rnn.GRUCell(8, 'enc_'), 4, sym.Variable('source'))
    weight, bias = sym.Variable('out_weight'), sym.Variable('out_bias')
    order = (1, 0, 2, 3) if outer else (0, 1, 2, 3)

    def by_head(array):  # (batch, length, 8) to (batch * heads, length, 4)
        array = sym.transpose(sym.reshape(array, (0, 0, -4, heads, -1)), (0, 2, 1, 3))
        return sym.reshape(sym.transpose(array, order), (-3, 0, 0))
    keys, cell = by_head(encoded), rnn.GRUCell(8, 'dec_')
    state = [sym.SequenceLast(sym.swapaxes(encoded, 0, 1))]
    for step in sym.split(sym.Variable('target'), num_outputs=3, axis=1, squeeze_axis=True):
        output, state = cell(step, state)
        query = by_head(sym.expand_dims(output, 1))
        context = sym.batch_dot(sym.softmax(sym.batch_dot(query, keys, transpose_b=True)), keys)
        context = sym.reshape(context, (-4, heads, -1, 0, 0) if outer else (-4, -1, heads, 0, 0))
        context = sym.reshape(sym.transpose(context, order), (0, -1))
        outputs.append(sym.expand_dims(sym.FullyConnected(
            context, weight=weight, bias=bias, num_hidden=5), 1))
    return sym.Concat(*outputs, dim=1, name='out')


@pytest.mark.parametrize('outer', [False, True])
def test_sequences_of_several_rows(outer, tmp_path):
    model, data = model_for(several_heads(outer), {'source': (5, 4, 6), 'target': (5, 3, 7)})
    inputs = {'source': ('batch', 'length', 6), 'target': ('batch', 'time', 7)}
    stepper, target = load(model, tmp_path, inputs), data['target']
    wanted = whole(model, data, inputs)['out_output']
    states = stepper.begin(source=data['source'])
    assert [len(state) for state in states] == [5, 10]
    np.testing.assert_allclose(stepper.read(states, target=target)[0], wanted, atol=1e-6)
    np.testing.assert_allclose(stepper.read(
        stepper.take(states, [3, 1]), target=target[[3, 1]])[0], wanted[[3, 1]], atol=1e-6)
    found, _ = stepper.read(states, target=target, valid_length=[3, 1, 2, 0, 3])
    for row, count in enumerate([3, 1, 2, 0, 3]):
        np.testing.assert_allclose(found[row, :count], wanted[row, :count], atol=1e-6)
        assert not found[row, count:].any()


def test_threads_share_a_stepper(language_model):
    stepper, data = language_model, words((4, 30))

    def run(row):
        states = stepper.begin(1)
        for at in range(30):
            chances, states = stepper.step(states, data=data[row:row + 1, at])
        return chances[0]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(4)))
    expected, _ = stepper.read(stepper.begin(4), data=data)
    np.testing.assert_allclose(found, expected[:, -1], atol=1e-6)


def test_a_file_without_states(tmp_path):
    path = str(tmp_path / 'plain.onnx')
    interop.to_onnx(model_of('lstm_bucketing')[1], path)
    with pytest.raises(ValueError, match=r'plain.onnx has no states: .* --states'):
        interop.load_stepper(path)
    with pytest.raises(FileNotFoundError, match='there is no file'):
        interop.load_stepper(str(tmp_path / 'none.onnx'))
    (tmp_path / 'other.onnx').write_bytes(b'PK and so on')
    with pytest.raises(ValueError, match='other.onnx does not begin like an ONNX file'):
        interop.load_stepper(str(tmp_path / 'other.onnx'))
    with pytest.raises(ValueError, match='needs the graph rolled up'):
        interop.to_onnx(model_of('lstm_bucketing')[1], path, states=True, roll=False)


def with_table(path, change, target):
    """Write a file again, with another table of states."""
    import onnx
    model = onnx.load(str(path))
    known = {each.key: each.value for each in model.metadata_props}['mxrnn.states']
    onnx.helper.set_model_props(model, {'mxrnn.states': change(known)})
    onnx.save(model, str(target))
    return str(target)


def described(path):
    """What `inspect` prints, by title."""
    from mxrnn.interop.run.onnx_file import table_of
    return dict(table_of(path))


def changed(old, new):
    def change(table):
        assert old in table
        return table.replace(old, new, 1)
    return change


#: Tables that no export wrote, and what is said of them.
DAMAGED = [
    ('', 'Expecting value'), ('{}', "it has another form .'encoder'"),
    ('[]', 'list indices must be'), ('[' * 100000, 'recursion'),
    ('{"encoder": null, "states": [{}], "axes": {}, "captured": []}',
     "it has another form .'batch_axis'"),
    ('{"encoder": null, "states": 1, "captured": [], "axes": {}}', 'is not iterable'),
    (changed('"encoder": null', '"encoder": ["a.onnx"]'), 'not list'),
    (changed('"encoder": null', '"encoder": "/dev/zero"'), "same folder, got '/dev/zero'"),
    (changed('"encoder": null', '"encoder": "../model.onnx"'), 'a file in the same folder'),
    (changed('"encoder": null', '"encoder": ".."'), 'a file in the same folder'),
    (changed('"encoder": null', '"encoder": ""'), 'a file in the same folder'),
    (changed('"batch_axis": 0', '"batch_axis": 3'), 'no such state'),
    (changed('"batch_axis": 0', '"batch_axis": -1'), 'no such state'),
    (changed('"batch_axis": 0', '"batch_axis": true'), 'no such state'),
    (changed('"shape": [6]', '"shape": [7]'), 'no such state'),
    (changed('"shape": [6]', '"shape": []'), 'no such state'),
    (changed('"shape": [6]', '"shape": [[6]]'), 'no such state'),
    (changed('"out": "lstm_0', '"out": "lstn_0'), 'no such state'),
    (changed('"in": "lstm_0', '"in": "lstn_0'), 'no such state'),
    (changed('"begin": "zeros"', '"begin": "zeroes"'), "no encoder has the output 'zeroes'"),
    (changed('["time", "batch"]', '["batch"]'), "the axes of 'data' .* are not those"),
    (changed('["time", "batch"]', '["time", "\u00b2,batch"]'), 'invalid literal'),
    (changed('["time", "batch"]', '{"time": "batch"}'), 'are not those'),
    (changed('"softmax_output": [', '"softmax": ['), 'must have the output softmax_output'),
    (changed('"float32"', '"floet32"'), 'floet32'), (changed('"float32"', '"O"'), 'no such state'),
    (changed('"captured": []', '"captured": ["date"]'), "no input 'date'"),
    (changed('"captured": []', '"captured": ["data"]'), "no encoder has the output 'data'")]


@pytest.mark.parametrize('table, said', DAMAGED)
def test_a_damaged_table_of_states(table, said, language_model, tmp_path):
    path = with_table(tmp_path / 'model.onnx', lambda known: table if isinstance(table, str)
                      else table(known), tmp_path / 'damaged.onnx')
    for reader in interop.load_stepper, described:
        with pytest.raises(ValueError, match='the table of states in .*damaged.onnx is damaged: .*'
                           + said) as error:
            reader(path)
        assert len(str(error.value).splitlines()) == 1


def test_what_is_no_tensor_is_refused(tmp_path):
    import onnx
    data = onnx.helper.make_tensor_value_info('data', onnx.TensorProto.FLOAT, [1])
    listed = onnx.helper.make_tensor_sequence_value_info('listed', onnx.TensorProto.FLOAT, None)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(
        [onnx.helper.make_node('SequenceConstruct', ['data'], ['listed'])], 'graph', [data],
        [listed])), str(tmp_path / 'list.onnx'))
    with pytest.raises(ValueError, match='its output listed is seq.* not an array'):
        described(str(tmp_path / 'list.onnx'))


def test_any_changed_byte_of_a_file_is_found(language_model, tmp_path):
    from mxrnn.interop.check.compare import compare
    whole = (tmp_path / 'model.onnx').read_bytes()
    path = str(tmp_path / 'damaged.onnx')
    head = whole.index(b'crc32') + 15
    draw = random.Random(0)
    for _ in range(300):
        content, at = bytearray(whole), draw.randrange(head, len(whole))
        content[at] ^= 1 << draw.randrange(8)
        (tmp_path / 'damaged.onnx').write_bytes(content[:at] if draw.random() < 0.1 else content)
        with pytest.raises(ValueError, match=r'damaged.onnx is damaged: .* export it again'):
            interop.load_stepper(path)
    for reader in (lambda: described(path), lambda: compare(
            model_of('lstm_bucketing')[1], path, {})):
        with pytest.raises(ValueError, match=r'damaged.onnx is damaged: .* export it again'):
            reader()


def test_an_encoder_lies_beside_its_decoder(tmp_path):
    """A table that names another folder's file opens none, and a file that is there must fit."""
    stepper = load(model_of('attention_with_input_feeding')[1], tmp_path)
    assert '; inputs of the encoder: source' in repr(stepper)
    (tmp_path / 'inner').mkdir()
    path = str(tmp_path / 'inner' / 'model.onnx')
    shutil.copy(str(tmp_path / 'model.onnx'), path)
    for way in 'nothing', 'pipe':
        if way == 'pipe':
            os.mkfifo(str(tmp_path / 'inner' / 'model-encoder.onnx'))  # nobody writes into it
        for reader in interop.load_stepper, described:
            with pytest.raises(FileNotFoundError, match='inner.model-encoder.onnx'):
                reader(path)
    with_table(tmp_path / 'model.onnx', changed('model-', '../model-'), path)
    for reader in interop.load_stepper, described:
        with pytest.raises(ValueError, match=r"a file in the same folder, got '\.\./model-enc"):
            reader(path)
    with_table(tmp_path / 'model.onnx', changed('model-encoder', 'model'), tmp_path / 'other.onnx')
    for reader in interop.load_stepper, described:
        with pytest.raises(ValueError, match='other.onnx is damaged: no encoder has the output'):
            reader(str(tmp_path / 'other.onnx'))


def test_what_the_file_says(language_model, tmp_path):
    import onnx
    model = onnx.load(str(tmp_path / 'model.onnx'))
    onnx.save(model, str(tmp_path / 'other.onnx'))  # of another program: without a checksum
    interop.load_stepper(str(tmp_path / 'other.onnx'))
    table = json.loads({each.key: each.value for each in model.metadata_props}['mxrnn.states'])
    assert table['states'] == [{'in': 'lstm_%d_in' % i, 'out': 'lstm_%d_out' % i, 'shape': [6],
                                'dtype': 'float32', 'batch_axis': 0, 'begin': 'zeros'}
                               for i in range(2)]
    assert table['axes']['data'] == ['time', 'batch']
    assert table['axes']['softmax_output'] == ['time,batch', 11]
    assert not table['captured'] and table['encoder'] is None
    assert repr(language_model) == (
        'OnnxStepper(inputs of a step: data (batch); outputs: softmax_output; states: lstm_0_in, '
        'lstm_1_in)')


# ---- what uses several steps at once



def recurring(data, of=lambda outputs: outputs):
    """Something `of` the outputs of a cell, time first."""
    return of(over(rnn.GRUCell(4, 'gru_'), 6, data, layout='TNC'))


def by_batch(outputs):
    return S.swapaxes(outputs, dim1=0, dim2=1)


X = V('data')
#: Networks of data (time, batch, 4) in which steps depend on later ones, or on their number.
MIXED = {
    'last of data': lambda: recurring(S.broadcast_add(X, S.slice_axis(X, axis=0, begin=-1,
                                                                      end=None))),
    'last of outputs': lambda: recurring(X, lambda outputs: S.broadcast_add(
        outputs, S.slice_axis(outputs, axis=0, begin=-1, end=None))),
    'shifted': lambda: recurring(S.Concat(S.slice_axis(X, axis=0, begin=1, end=None),
                                          S.slice_axis(X, axis=0, begin=0, end=1), dim=0)),
    'flipped': lambda: recurring(S.reverse(X, axis=0)),
    'counted': lambda: S.broadcast_mul(recurring(X), S.Reshape(
        S.contrib.arange_like(X, axis=0), shape=(-1, 1, 1))),
    'attention': lambda: S.batch_dot(S.softmax(S.batch_dot(by_batch(recurring(X)), by_batch(
        X), transpose_b=True)), by_batch(X)),
    'pointers': lambda: S.take(recurring(X), S.argmax(X, axis=2)),
    'looked up': lambda: S.Embedding(S.argmax(X, axis=2), weight=S.Reshape(recurring(
        X), shape=(-3, 0)), input_dim=12, output_dim=4),
    'products of a part': lambda: S.batch_dot(S.batch_dot(by_batch(recurring(X)), by_batch(
        X), transpose_b=True), S.slice_axis(by_batch(X), axis=1, begin=0, end=None)),
    'stacked': lambda: S.stack(recurring(X), S.BlockGrad(S.sort(X, axis=0)), axis=1),
    'captured': lambda: S.contrib.foreach(lambda x, states: (
        states[0] + x, [states[0] + S.sum(X, axis=0)]), X, [S.zeros_like(S.sum(X, axis=0))])[0],
    'slopes': lambda: recurring(by_batch(S.LeakyReLU(by_batch(X), act_type='prelu', name='p'))),
    'batch norm': lambda: S.BatchNorm(by_batch(recurring(X)), name='norm'),
    'one mask': lambda: S.Dropout(recurring(X), mode='always', axes=(0,)),
    'repeated': lambda: S.broadcast_to(recurring(X), shape=(6, 2, 4)),
    'lengths': lambda: S.SequenceMask(by_batch(recurring(X)), V('lengths', shape=(
        6,)), use_sequence_length=True),
    'chosen': lambda: S.where(V('condition', shape=(6,)), recurring(X), X),
    'padded': lambda: S.Concat(recurring(X), S.zeros_like(X), dim=0),
    'begin': lambda: over(rnn.RNNCell(4, prefix='rnn_'), 6, X, begin_state=[S.sum(X, axis=0)],
                          layout='TNC'),
}


#: What is said of some of them.
SAID = {'slopes': 'data must be 6', 'batch norm': 'node norm', 'flipped': 'sequences backwards'}


@pytest.mark.parametrize('name', MIXED)
def test_steps_that_depend_on_others(name, tmp_path):
    model, _ = model_for(MIXED[name](), {'data': (6, 2, 4)})
    with pytest.raises(interop.ExportError, match='cannot be stepped|any size') as info:
        load(model, tmp_path, {'data': ('time', 'batch', 4)})
    assert SAID.get(name, '') in str(info.value)


#: Networks in which they do not, though axes change.
APART = {
    'last': lambda: S.SequenceLast(recurring(X)),
    'a running sum': lambda: sum(rnn.RNNCell(4, prefix='sum_').unroll(6, X, layout='TNC')[0],
                                 rnn.RNNCell(4, prefix='sum_').begin_state()[0]),
    'last of both': lambda: S.slice_axis(S.broadcast_add(recurring(X), S.slice_axis(
        X, axis=0, begin=-1, end=None)), axis=0, begin=-1, end=None),
    'flat': lambda: S.softmax(S.FullyConnected(S.Reshape(recurring(X), shape=(-3, 0)),
                                               num_hidden=3)),
    'back': lambda: S.reshape_like(S.FullyConnected(S.Reshape(recurring(X), shape=(-1, 4)),
                                                    num_hidden=4), X),
    'in parts': lambda: S.Group(list(S.SliceChannel(recurring(X), num_outputs=2, axis=2))),
    'two of rows taken apart': lambda: (lambda steps: S.Group([S.softmax(steps), S.relu(steps)]))(
        S.Reshape(S.Reshape(recurring(X), shape=(-1, 4)), shape=(6, -1, 4))),
    'heads': lambda: S.mean(S.Reshape(recurring(X), shape=(0, 0, 2, 2)), axis=3),
    'batch norm': lambda: S.BatchNorm(recurring(X), axis=2, name='norm'),
    'slopes': lambda: S.LeakyReLU(S.transpose(recurring(X), axes=(0, 2, 1)), act_type='prelu'),
    'picked': lambda: S.pick(recurring(X), S.argmax(X, axis=2), keepdims=True),
    'chosen': lambda: S.where(X > 0, recurring(X), X),
    'convolution': lambda: S.Reshape(S.Convolution(S.expand_dims(S.Reshape(
        recurring(X), shape=(-3, 0)), axis=1), kernel=(2,), num_filter=3), shape=(0, -1)),
    'masked': lambda: S.broadcast_mul(recurring(X), S.Activation(S.mean(
        X, axis=2, keepdims=True), act_type='sigmoid')),
    'beside a constant': lambda: S.Group([recurring(X), S.ones((1, 1))]),
}


@pytest.mark.parametrize('name', APART)
def test_steps_that_do_not(name, tmp_path):
    model, data = model_for(APART[name](), {'data': (6, 2, 4)})
    inputs = {'data': ('time', 'batch', 4)}
    stepper = load(model, tmp_path, inputs)
    assert step_apart(stepper, stepper.begin(2), data, whole(model, data, inputs),
                      [0, 2, 0, 2]) < 1e-6
    interop.to_source(model, tmp_path / 'model.py', inputs, states=True)


@pytest.mark.parametrize('begin', [['l_1', 'l_0'], ['l_1', None]])
def test_names_of_begin_states_that_would_be_used_twice(begin, tmp_path):
    outputs = over(rnn.LSTMCell(4, prefix='l_'), 3,
                   begin_state=[V(name) if name else S.zeros((0, 4)) for name in begin])
    model = random_model(outputs, {'data': (2, 3, 5), **{name: (2, 4) for name in begin if name}})
    stepper = load(model, tmp_path)
    assert len({*stepper.state_names, *stepper._names[stepper._count:]}) == 4


def test_an_input_may_be_called_as_a_state_would_be(tmp_path):
    stepper = load(model_for(over(rnn.LSTMCell(3, 'l_'), 4, 'l_0_in'), {'l_0_in': (2, 4, 5)})[0],
                   tmp_path)
    assert stepper.input_names == ['l_0_in'] and 'l_0_in' not in stepper.state_names
    found, _ = stepper.read(stepper.begin(2), l_0_in=np.ones((2, 4, 5)))
    assert found.shape == (2, 4, 3)


def test_a_begin_state_that_each_step_reads_too_comes_from_the_encoder(tmp_path):
    """The state began with zeros whatever the input was."""
    first = V('begin')
    model = random_model(S.broadcast_add(over(rnn.GRUCell(4, 'gru_'), 3, begin_state=[
        first]), S.expand_dims(first, axis=1)), {'data': (2, 3, 5), 'begin': (2, 4)})
    data, begin = (random_value(name, shape).astype('f') for name, shape in (
        ('data', (2, 3, 5)), ('begin', (2, 4))))
    wanted = interop.to_torch(model)(torch.tensor(data), torch.tensor(begin)).detach().numpy()
    stepper = load(model, tmp_path)
    found, _ = stepper.read(stepper.begin(begin=begin), data=data)
    assert_close(found, wanted, 1e-6)


@pytest.mark.parametrize('between', [rnn.DropoutCell(0.3), rnn.ZoneoutCell(
    rnn.RNNCell(4, prefix='z_'), zoneout_outputs=0.2)])
def test_what_draws_before_the_last_step_of_a_layer_reads_no_sequence_backwards(between, tmp_path):
    cell = stack(rnn.LSTMCell(4, 'a_'), between, rnn.LSTMCell(4, 'b_'))
    model = random_model(cell.unroll(5, X)[0][-1], {'data': (2, 5, 3)})
    interop.to_source(model, tmp_path / 'a.py', states=True)
    assert not any(node.op == 'SequenceReverse'
                   for node in structure(model.graph, training=True).graph.walk())


def test_shapes_that_are_refused(tmp_path):
    _, model = model_of('bidirectional')
    for given, message in (
            ({'date': (1,)}, "of the model: data; got 'date': did you mean data"),
            ({'data': ('8x7x5',)}, r'a number or a name, .* \(--input data=8,time\), got'),
            (['data'], 'inputs must be a dict by names of inputs, got'),
            ({'data': 5}, r"inputs\['data'\] must be a tuple of names and integers, got 5"),
            ({'data': ('batch', 'time:8')}, 'number of steps in the graph, 7, got 8'),
            ({'data': (0, 'time')}, r"each axis of inputs\['data'\] that is no name must be"),
            ({next(iter(model.arg_params)): (1,)}, 'inputs of the model, got .* parameter')):
        with pytest.raises((TypeError, ValueError), match=message):
            interop.to_torch(model, inputs=given)
        with pytest.raises((TypeError, ValueError), match=message):
            interop.to_source(model, str(tmp_path / 'm.py'), given)


@pytest.mark.parametrize(('name', 'given', 'said'), [
    ('encoder_and_decoder', {'target': (4, 'time'), 'source': (3, 'source_time')},
     'axis 0 of target has 4, axis 0 of source has 3'),
    ('attention_with_input_feeding', {'target': (4, 'time'), 'source': (3, 'source_time')},
     'axis 0 of target has 4, axis 0 of source has 3'),
    ('begin_states_that_are_variables', {'l0_init_c': (3, 6), 'l0_init_h': (4, 6)},
     'axis 0 of l0_init_h has 4, axis 0 of l0_init_c has 3'),
    ('begin_states_of_a_fixed_batch', {'data': (4, 'time')},
     'axis 0 of data must be 3, got 4: node _zeros0 (_zeros) has 3'),
])
def test_sizes_that_contradict_each_other_are_refused(name, given, said, tmp_path):
    _, model = model_of(name)
    for way in (lambda: interop.to_onnx(model, tmp_path / 'a.onnx', given, states=True),
                lambda: interop.to_source(model, tmp_path / 'a.py', given, states=True)):
        with pytest.raises(ValueError) as error:
            way()
        assert all(each in str(error.value) for each in said.split(', '))
    assert not list(tmp_path.iterdir())
    same = {key: tuple(4 if size in (3, 4) and at == 0 else size for at, size in enumerate(shape))
            for key, shape in given.items()}
    if name in ('encoder_and_decoder', 'attention_with_input_feeding'):
        interop.to_onnx(model, tmp_path / 'a.onnx', same, states=True)


def gru_of_five(helps):
    """A model whose number of steps is fixed, and whether the number can be freed."""
    data = V('data')
    words = S.Embedding(data, input_dim=9, output_dim=6, name='words')
    words = S.broadcast_add(words, S.slice_axis(
        S.expand_dims(data, axis=2), axis=1, begin=0, end=5)) if helps else words / 5
    # a word that messages have: none of these decides what is said
    return random_model(over(rnn.GRUCell(4, 'because_'), 5, words), {'data': (2, 5)})


@pytest.mark.parametrize('form', ['onnx', 'source'])
@pytest.mark.parametrize(('typed', 'advised'), [
    ('', 'batch,time:5'), ('2,5', '2,time:5'), ('5,5', '5,time:5'), ('batch,5', 'batch,time:5'),
    ('time,5', 'time,time_2:5'), ('n,t', 'n,t:5')])
def test_a_number_of_steps_that_frees_them_is_advised(typed, advised, form, tmp_path):
    """No option was named if a number was typed."""
    export = interop.to_onnx if form == 'onnx' else interop.to_source
    path = tmp_path / ('a.onnx' if form == 'onnx' else 'a.py')
    with pytest.raises(interop.ExportError, match='its number of steps is fixed|any size: node sl'
                       ) as error:
        export(gru_of_five(True), path, shapes_of(['data=' + typed] * bool(typed)), states=True)
    assert 'For any: --input data=%s\n' % advised in str(error.value) + '\n'
    export(gru_of_five(True), path, shapes_of(['data=' + advised]), states=True)


@pytest.mark.parametrize(('data', 'advised'), [
    (V('data'), 'A name makes it any: --input data=batch,time,3\n'),
    (S.reshape(S.reshape(V('data'), (-1, 3)), (-1, 5, 3)),
     'data_1: 5, .* For any: --input data=batch,data_1:5,3\n')], ids=['free', 'reshaped'])
def test_what_was_typed_and_fixes_the_steps_is_said(data, advised, tmp_path):
    model = random_model(over(rnn.GRUCell(4, 'g_'), 5, data), {'data': (2, 5, 3)})
    with pytest.raises(interop.ExportError, match='steps is fixed\n' + advised):
        interop.to_onnx(model, tmp_path / 'a.onnx', {'data': ('batch', 5, 3)}, states=True)


def test_the_option_for_an_encoder_of_any_length_is_printed():
    """A file with states kept the encoder's number of steps, and no line said what to type."""
    source, target = (S.Embedding(V(name), input_dim=9, output_dim=6, name=name[0])
                      for name in ('source', 'target'))
    outputs = over(rnn.GRUCell(4, 'd_'), 7, target,
                   begin_state=[S.sum(over(rnn.GRUCell(4, 'e_'), 5, source), axis=1) / 5])
    model = random_model(outputs, {'source': (2, 5), 'target': (2, 7)})
    plan = prepare(model, states=True)
    assert plan.shapes['source'] == ('batch', 5) and dict(plan.remarks)['source_time'].endswith(
        'For any: --input source=batch,source_time:5')
    freed = prepare(model, {'source': ('batch', 'source_time:5')}, states=True)
    assert freed.shapes['source'] == ('batch', 'source_time')
    assert 'For any' not in str(freed.remarks)


def test_words_of_letters_cannot_be_stepped_along_either(tmp_path):
    """It was said that no recurrence runs along an axis of any size."""
    letters = S.Embedding(V('data'), input_dim=9, output_dim=6, name='embed')
    outputs, _ = rnn.GRUCell(4, 'letters_').unroll(3, S.reshape(letters, (-3, 0, 0)))
    words = S.reshape(outputs[-1], (-1, 5, 4))
    model = random_model(over(rnn.GRUCell(4, 'words_'), 5, words), {'data': (2, 5, 3)})
    with pytest.raises(interop.ExportError, match='letters_, words_ cannot be stepped: each step '
                                                  'of one reads all steps of another'):
        interop.to_onnx(model, tmp_path / 'a.onnx', {'data': ('batch', 'words:5', 'time')},
                        states=True)


@pytest.mark.parametrize('form', ['onnx', 'source'])
def test_a_number_of_steps_that_frees_nothing_is_not_advised(form, tmp_path):
    export = interop.to_onnx if form == 'onnx' else interop.to_source
    path = tmp_path / ('a.onnx' if form == 'onnx' else 'a.py')
    with pytest.raises(interop.ExportError, match='its number of steps is fixed'):
        export(gru_of_five(False), path, states=True)
    with pytest.raises(interop.ExportError, match='uses several steps at once'):
        export(gru_of_five(False), path, {'data': ('batch', 'time:5')}, states=True)


@pytest.mark.parametrize('form', [(0, 0, 12), (-3, 12), (-1, 12), (0, 0, -1), (0, 0, 2, 6)])
def test_sizes_that_a_reshape_joins_or_cuts_contradict_nothing(form, tmp_path):
    data = S.reshape(V('data'), shape=form)
    data = S.reshape(data, shape=(-1, 5, 12))
    model, _ = model_for(over(rnn.GRUCell(4, 'gru_'), 5, data), {'data': (2, 5, 3, 4)})
    for given, said in (((2, 5, 3, 4), 'stepped: its number of steps is fixed'),
                        (('batch', 'time', 3, 4), 'reshape1|must be 5')):
        with pytest.raises(interop.ExportError, match=said):
            interop.to_onnx(model, tmp_path / 'a.onnx', {'data': given}, states=True)


def test_a_second_graph_has_the_outputs_of_the_file():
    """It was refused, since it also has the states, which the file leaves out."""
    def made(length):
        with mx.name.NameManager():
            cell = rnn.GRUCell(6, 'a_')
            carried = mxrnn.carry_states(cell)
            outputs, states = cell.unroll(length, X / 5, carried.begin_state, merge_outputs=True)
        return model_for(carried.group(outputs, states), {
            'data': (2, length, 3), **dict.fromkeys(carried.state_names, (2, 6))})[0]
    plan = prepare(made(5), {'data': ('batch', 'time', 3)}, states=True, certify_by=made(7).graph)
    assert plan.certified.outputs == plan.model.graph.outputs == ['concat0_output']


@pytest.mark.parametrize('move', [
    S.identity, S.Flatten, lambda state: S.Cast(state, dtype='float32'),
    lambda state: S.transpose(state, axes=(1, 0))], ids=['copy', 'Flatten', 'Cast', 'transpose'])
def test_a_final_state_that_is_moved_is_no_output(move, tmp_path):
    cell = rnn.LSTMCell(4, 'l_')
    outputs, states = cell.unroll(4, X, cell.begin_state(func=S.Variable), merge_outputs=True)
    model = random_model(S.Group([outputs, move(states[0])]), {
        'data': (2, 4, 3), **dict.fromkeys(['l_begin_state_0', 'l_begin_state_1'], (2, 4))})
    assert load(model, tmp_path).output_names == [outputs.list_outputs()[0]]


@pytest.mark.parametrize('fused, length', [(True, 4), (True, None), (False, 4)])
def test_states_that_are_carried_on_are_no_outputs(fused, length, tmp_path):
    cell = stack(rnn.LSTMCell(6, 'a_'), rnn.LSTMCell(6, 'b_'))
    carried = mxrnn.carry_states(cell)
    outputs, states = (mxrnn.fuse(cell) if fused else cell).unroll(
        length, X, carried.begin_state, merge_outputs=True)
    model, data = model_for(carried.group(outputs, states), {
        'data': (2, 4, 3), **dict.fromkeys(carried.state_names, (2, 6))})
    data.update((name, np.zeros((2, 6), 'f')) for name in carried.state_names)
    stepper = load(model, tmp_path, {'data': ('batch', 'time', 3)})
    assert stepper.output_names == [outputs.list_outputs()[0]] and len(stepper.begin(2)) == 4
    expected = whole(model, data, {'data': (2, 4, 3)})
    assert step_apart(stepper, stepper.begin(2), data, expected, [0, 2, 0]) < 1e-6
    chosen = carried.state_names[0] + '_next_output'
    interop.to_onnx(model, str(tmp_path / 'chosen.onnx'), states=True, outputs=[chosen],
                    inputs={'data': ('batch', 'time', 3)})
    assert interop.load_stepper(str(tmp_path / 'chosen.onnx')).output_names == [chosen]
    interop.to_source(model, str(tmp_path / 'model.py'), {'data': ('batch', 'time', 3)},
                      states=True)
    assert 'nn.LSTM(' in (tmp_path / 'model.py').read_text()
