"""Programs as people write them leave for ONNX without an option."""
import re

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from . import models, programs
from .compare import torch
from .models import S, V, over
from .onnx_runs import File, bound, exportable, outputs_of, session
from .programs import ASKED, EACH_STEP, PROGRAMS, UNTOLD, WIDER
from .sources import generate
from .test_commands import told

from mxrnn._model_commands import shapes_of  # noqa: E402  isort: skip
from mxrnn.interop.export_onnx import write_onnx  # noqa: E402  isort: skip

#: Axes whose size is no matter of the batch or of the number of steps.
OTHERS = {'target_time': 5, 'answer_time': 5, 'memory_2': 4, 'memory_time': 6,
          'question_time': 7, 'user_time': 2, 'chars_1': 5, 'image_1': 9}


def settled(shapes, batch, time):
    """Shapes in numbers."""
    sizes = {'batch': batch, 'time': time, 'source_time': time, **OTHERS,
             **{times * 7: times * time for times in (1, 2, 4)}}
    return {name: tuple(sizes.get(size, size) for size in shape) for name, shape in shapes.items()}


def model_of(name):
    """The network of a program with weights of its own."""
    program = {**PROGRAMS, **ASKED}[name]
    with mx.name.NameManager():
        symbol = program.build()
    return symbol, models.random_model(symbol, settled(program.shapes, 3, 7))


#: Programs that are written as they were unrolled, too: one of each kind.
AS_IS = ('lstm_bucketing', 'gru_bucketing', 'cudnn_lstm_bucketing', 'cudnn_lstm_time_major',
         'begin_states_of_a_fixed_batch', 'fused_by_mxrnn', 'dynamic', 'fused_encoder_and_decoder',
         'conv_lstm', 'handwritten_cell', 'noise_at_every_step', 'gluon_lstm_layer',
         'gluon_foreach', 'weights_that_are_normed', 'sockeye', 'pyramid_of_frames',
         'series_without_its_trend', 'characters_by_their_numbers', 'tagger_with_characters')


def opens(name):
    """Whether the file takes any number of steps, or images of any width, or of several."""
    return name in WIDER or any('time' in str(size) for shape in PROGRAMS[name].rolled.values()
                                for size in shape)


@pytest.mark.parametrize('name, rolled', [
    *[(name, True) for name in PROGRAMS if name not in EACH_STEP],
    *[(name, False) for name in (*AS_IS, *EACH_STEP)]])
def test_without_an_option(name, rolled, monkeypatch, tmp_path):
    """What it is written with is right, also to the check of exports."""
    program, (symbol, model) = PROGRAMS[name], model_of(name)
    wanted = program.rolled if rolled else program.wanted
    if name in UNTOLD:
        with pytest.raises(interop.ExportError, match='this fits the graph: --input') as asked:
            exportable(model, rolled=rolled)
        exportable(model, shapes_of(re.findall(r'--input (\S+)', str(asked.value))), rolled=rolled)
    path = tmp_path / 'a.onnx'
    plan, checked = write_onnx(model, path, wanted if name in UNTOLD else None, roll=rolled,
                               check=rolled)
    assert plan.inputs == wanted and checked[0] == 'checked' * rolled
    written = File(path.read_bytes(), plan.inputs, plan.left_out)
    compare(program, symbol, written, model, wanted, opens(name) if rolled else any(
        'time' in str(size) for shape in wanted.values() for size in shape), monkeypatch)


def test_programs_that_are_free():
    assert sum(map(opens, PROGRAMS)) >= 53


@pytest.mark.parametrize('name, given', [
    ('autoencoder', {'data': ('batch', 'time:7', 4)}),
    ('noise_at_every_step', {'data': ('batch', 'time:7', 4), 'noise': ('batch', 3)})])
def test_tied_programs_that_the_number_of_steps_frees(name, given, monkeypatch):
    program, (symbol, model) = PROGRAMS[name], model_of(name)
    written = exportable(model, given)
    wanted = {**given, 'data': ('batch', 'time', 4)}
    assert written.inputs == wanted
    compare(program, symbol, written, model, wanted, True, monkeypatch)


def test_sizes_of_images_that_the_graph_does_not_tell(tmp_path):
    frames = S.Reshape(V('data'), shape=(-3, 0, 0, 0))
    frames = S.Convolution(frames, kernel=(3, 3), num_filter=5, name='conv')
    steps = S.Reshape(S.Flatten(frames), shape=(-1, 7, 80))
    model = models.random_model(over(rnn.GRUCell(3, 'gru_'), 7, steps), {'data': (2, 7, 1, 6, 6)})
    with pytest.raises(interop.ExportError, match='place of …: --input data=batch,7,1,…,…'):
        exportable(model)
    with pytest.raises(interop.ExportError, match='For any: --input data=batch,time:7,1,6,6'):
        exportable(model, {'data': ('batch', 'time', 1, 6, 6)})
    interop.save(model, str(tmp_path / 'frames'), 1)
    assert 'data=batch,7,1,6,6' in told(
        'export', tmp_path / 'frames', '--onnx', tmp_path / 'a.onnx', '--no-check',
        '--input', 'data=batch,7,1,6,6')


@pytest.mark.parametrize('name, rows', [('lstm_time_major', 'time*batch'),
                                        ('lstm_bucketing', 'batch*time')])
def test_rows_are_named_in_their_order(name, rows):
    outputs = session(exportable(model_of(name)[1]).content).get_outputs()
    assert outputs[0].shape == [rows, 11]


def compare(program, symbol, written, model, wanted, grows, monkeypatch):
    """Require the numbers of the program's own graph, of other lengths if the file `grows`."""
    serving = session(written.content)
    chosen = [i for i, output in enumerate(symbol.list_outputs()) if output not in written.left_out]
    assert [each.name for each in serving.get_outputs()] == [
        symbol.list_outputs()[i] for i in chosen]
    sizes = [size for shape in wanted.values() for size in shape]
    for batch, time in ((3, 7), (2, 4), (1, 9)):
        batch = 3 if wanted.get('data', ())[:1] == (3,) else batch
        time = time if grows and 7 not in sizes else 7
        monkeypatch.setattr(programs, 'TIME', time)
        with mx.name.NameManager():  # the program's own graph of that length
            symbol = program.build()
        shapes = settled(program.shapes, batch, time)
        random = np.random.RandomState(batch)
        data = {key: random.randint(1, min(time, 5), shapes[key]).astype('f') for key in wanted}
        executor = bound(symbol, shapes, {**model.arg_params, **model.aux_params}, data)
        expected = [output.asnumpy() for output in executor.forward(is_train=False)]
        found = outputs_of(serving, data)
        assert len(found) == len(chosen)
        for ours, theirs in zip(found, [expected[i] for i in chosen]):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * (np.abs(theirs).max() + 1e-6))


@pytest.mark.parametrize('form', ['onnx', 'source'])
@pytest.mark.parametrize('name, axes', [('graph_of_r', ('time', 'batch')),
                                        ('lstm_of_r', ('batch', 'time')),
                                        ('lstm_of_r', ('batch', 7)),
                                        ('lstm_of_r', (6, 'time')), ('graph_of_r', ('time', 6))])
def test_begin_states_that_are_one_repeated_row_take_any_batch(name, axes, form):
    """Two batches of three at once; without such rows the batch is refused as before."""
    symbol, model = model_of(name)
    states = {key: value[..., :1, :].repeat(3, -2) for key, value in model.arg_params.items()
              if 'rnn.state' in key or 'init' in key}
    alike = model._replace(arg_params={**model.arg_params, **states})
    batches = [np.random.RandomState(seed).randint(1, 5, (7, 3) if axes[0] == 'time' else (3, 7))
               .astype('f') for seed in (0, 1)]
    wanted = np.concatenate([bound(
        symbol, settled(PROGRAMS[name].shapes, 3, 7), alike.arg_params, {'data': batch}
        ).forward()[0].asnumpy().reshape(7, 3, -1) for batch in batches], 1)
    data = np.concatenate(batches, int(axes[0] == 'time'))
    if form == 'onnx':
        found, = outputs_of(session(exportable(alike, {'data': axes}).content), {'data': data})
        with pytest.raises(interop.ExportError, match='batch of 3, and their rows differ'):
            exportable(model, {'data': axes})
    else:
        source = generate(alike, {'data': axes})
        found = source.module(torch.from_numpy(data)).detach().numpy()
        back = interop.from_source(source.module, alike, inputs={'data': axes})
        for key, value in alike.arg_params.items():
            np.testing.assert_array_equal(back.arg_params[key], value)
    np.testing.assert_allclose(found.reshape(7, 6, -1), wanted, atol=1e-6)
    one = alike._replace(arg_params={**alike.arg_params, **{
        key: value[..., :1, :] for key, value in states.items()}})
    exportable(one, {'data': axes})  # one row is repeated as well


@pytest.mark.parametrize('form', ['onnx', 'source'])
@pytest.mark.parametrize('states', [False, True])
def test_only_begin_states_take_any_batch_and_only_without_states(states, form, tmp_path):
    """Equal rows of another weight are no batch, and a file with states asks for its own batch."""
    if states:
        model, axes = model_of('lstm_of_r')[1], ('batch', 'time')
        fixed = 'a batch of 3, which a file with states keeps: .*--input data=3,time'
        model = model._replace(arg_params={key: np.zeros_like(value) if 'init' in key else value
                                           for key, value in model.arg_params.items()})
    else:
        places = S.broadcast_add(S.Embedding(V('data'), input_dim=11, output_dim=4),
                                 S.expand_dims(V('pos', shape=(5, 4)), axis=0))
        symbol = over(rnn.GRUCell(6, 'g_'), 5, places)
        axes, fixed = ('batch', 'time'), 'axis 1 .* any size: .* has 5'
        model = models.random_model(symbol, {'data': (3, 5)})
        model = model._replace(arg_params={
            key: 0 * value for key, value in model.arg_params.items()})
    write = interop.to_onnx if form == 'onnx' else interop.to_source
    with pytest.raises(interop.ExportError, match=fixed):
        write(model, str(tmp_path / 'model.py'), {'data': axes}, states=states)


# ---- shapes that a graph tells, or leaves open

T = 7


def mask_in_columns():
    """Each step's part of the mask is one number, not as many as there are units."""
    cell, state = rnn.GRUCell(6, 'g_'), V('begin')
    steps = S.split(V('data'), num_outputs=T, axis=1, squeeze_axis=True)
    for step, mask in zip(steps, S.split(V('mask'), num_outputs=T, axis=1)):
        state = S.broadcast_mul(cell(step, [state])[1][0], mask)
    return state


def test_parts_of_a_mask_may_be_one_number_or_as_many_as_there_are_units():
    shapes = {'data': ('batch', T, 4), 'mask': ('batch', T), 'begin': ('batch', 6)}
    model = models.random_model(mask_in_columns(), settled(shapes, 2, T))
    asked = (r'axis 1 of mask needs a number .* equal sizes: 7 \* \(axis 1 of mask / 7 '
             r'rounded down\) and axis 1 of mask. Type .* your data; this fits .*: --input '
             'mask=batch,%d$' % T)
    with pytest.raises(interop.ExportError, match=asked):
        exportable(model)
    assert exportable(model, {'mask': ('batch', T)}).inputs == shapes


@pytest.mark.parametrize(('name', 'given', 'told'), [
    ('begin_states_that_are_variables', {'data': ('batch',)}, 'data=batch,time'),
    ('begin_states_that_are_variables', {'data': ('batch', 'time', 5)}, 'data=batch,time'),
    ('begin_states_that_are_variables', {'l0_init_h': ('batch',)}, 'l0_init_h=batch,6'),
    ('regression', {'data': ('batch', 'time')}, 'data=batch,time,4')])
def test_too_few_or_too_many_axes_are_named(name, given, told, tmp_path):
    """Another input, or none, was."""
    _, model = model_of(name)
    (key, shape), = given.items()
    said = 'inputs (--input) must give %s %d axes: %s, got %s=%s' % (
        key, len(told.split(',')), told, key, ','.join(map(str, shape)))
    for way in (lambda: interop.to_onnx(model, str(tmp_path / 'a.onnx'), given),
                lambda: interop.to_onnx(model, str(tmp_path / 'a.onnx'), given, states=True),
                lambda: interop.to_source(model, str(tmp_path / 'a.py'), given)):
        with pytest.raises(interop.ExportError) as error:
            way()
        assert str(error.value).splitlines()[-1] == said
        assert len(shape) > len(told.split(',')) or str(error.value) == said
    assert not list(tmp_path.iterdir())
