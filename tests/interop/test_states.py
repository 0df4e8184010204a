"""Files with states: steps and chunks against whole sequences, and what cannot be stepped."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from ..running import random_value
from .compositions import WIDTH, composition
from .forms import BOUND
from .onnx_runs import grouped, session
from .programs import PROGRAMS
from .test_onnx import unrolled
from .test_programs_leave import model_of, settled

from mxrnn._graph.reading import graph_from_json  # noqa: E402, I001  isort: skip
from mxrnn._graph.rolling import roll  # noqa: E402  isort: skip

STEPS = 5


def load(model, folder, inputs=None):
    path = str(folder / 'model.onnx')
    interop.to_onnx(model, path, inputs, states=True)
    return interop.load_stepper(path)


def model_for(symbol, shapes):
    """The network with random weights, and data."""
    model = []
    for names, sizes in zip((symbol.list_arguments(), symbol.list_auxiliary_states()),
                            symbol.infer_shape(**shapes)[::2]):
        model.append({name: random_value(name, shape).astype('f')
                      for name, shape in zip(names, sizes) if name not in shapes})
    return (interop.Model(graph_from_json(symbol.tojson()), *model),
            {name: random_value(name, shape).astype('f') for name, shape in shapes.items()})


def whole(model, data, inputs=None, outputs=None):
    """The outputs by name of the file without states."""
    from mxrnn.interop._onnx.export import exportable
    serving = session(exportable(model, inputs).content)
    names = [each.name for each in serving.get_outputs()]
    return dict(zip(names, serving.run(names, {
        each.name: data[each.name] for each in serving.get_inputs()})))


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


@pytest.mark.parametrize('case', BOUND, ids=str)
def test_every_cell(case, tmp_path):
    model, data = model_for(unrolled(case.make(rnn), 'whole'), {'data': (2, 3, *case.step)})
    inputs = {'data': ('batch', 'time', *case.step)}
    try:
        stepper = load(model, tmp_path, inputs)
    except interop.ExportError as error:
        kind = 'no recurrence' if case.name in STATELESS else 'cannot be stepped: '
        assert kind in str(error)
        assert case.name in STATELESS or any(
            node.op in ('SequenceReverse', 'reverse') or node.op == 'RNN' and node.bidirectional
            for node in roll(model.graph).graph.walk())
        return
    expected = whole(model, data, inputs)
    for chunks in ([0, 0, 0], [2, 0]):
        assert step_apart(stepper, stepper.begin(2), data, expected, chunks) < 1e-6


@pytest.mark.parametrize('form', ['fuse', 'loop'])
@pytest.mark.parametrize('layout', ['NTC', 'TNC'])
def test_forms_and_layouts(form, layout, tmp_path):
    cell = rnn.SequentialRNNCell()
    cell.add(rnn.ResidualCell(rnn.LSTMCell(4, 'a_')))
    cell.add(rnn.GRUCell(3, 'b_'))
    sizes = {'N': 2, 'T': 6, 'C': 4}
    inputs = {'data': tuple({'N': 'rows', 'T': 'steps', 'C': 4}[axis] for axis in layout)}
    symbol = unrolled(cell, 'any' if form == 'fuse' else form, layout)
    model, data = model_for(symbol, {'data': tuple(sizes[axis] for axis in layout)})
    stepper = load(model, tmp_path, inputs)
    expected = whole(model, data, inputs)
    for chunks in ([0] * 6, [2, 1, 3]):
        assert step_apart(stepper, stepper.begin(2), data, expected, chunks) < 1e-6


@pytest.mark.parametrize('seed', range(12))
def test_compositions(seed, tmp_path):
    with mx.name.NameManager():
        cell, options = composition(seed)
        symbol = grouped(*cell.unroll(5, mx.sym.Variable('data'), **{**options,
                                                                     'merge_outputs': True}))
    first = {'N': ('batch', 2), 'T': ('time', 5), 'C': (WIDTH, WIDTH)}
    inputs, shapes = ({'data': tuple(first[axis][at] for axis in options['layout'])}
                      for at in (0, 1))
    model, data = model_for(symbol, shapes)
    try:
        stepper = load(model, tmp_path, inputs)
    except interop.ExportError as error:
        assert 'several steps at once' in str(error) or 'both directions' in str(error)
        return
    assert step_apart(stepper, stepper.begin(2), data, whole(model, data, inputs),
                      [0, 2, 0, 1]) < 1e-6


#: Why programs cannot be stepped.
REFUSED = {
    'one_step_for_inference': 'no recurrence',
    'fused_with_lengths': 'sequencemask0 (SequenceMask) cannot be stepped: it uses several',
    'mean_of_all_steps': 'mean0 (mean)',
    'bidirectional': 'and r_rolled (RNN) reads it',
    'tagger_of_stacked_directions': 'and r0_rolled (RNN) reads it',
    'fused_bidirectional': 'gru_rnn (RNN) cannot be stepped: it reads sequences in both directions',
    'mask_as_an_input': 'sum0 (sum)',
    'an_input_for_each_step': 'number of steps is no axis',
    'lstnet': 'see pad0 (Pad)',
    'attention_over_the_steps': 'several steps at once',
    'two_sequences_compared': 'along several axes: answer_time, question_time',
    'memory_network': 'no recurrence',
    'speech_with_ctc': 'and r_rolled (RNN) reads it',
    'captcha_with_ctc': 'number of steps is no axis',
    'text_of_images': 'lstm_rnn (RNN) cannot be stepped: it reads sequences in both directions',
    'text_cnn_and_rnn': 'conv2 (Convolution)',
    'characters_and_words': 'number of steps is no axis',
    'tree_of_cells': 'number of steps is no axis',
    'two_losses': 'mean0 (mean)',
    'last_of_each_by_its_length': 'sequencelast0 (SequenceLast)',
    'autoencoder': 'decoder_rolled (RNN) cannot be stepped: its number of steps',
    'noise_at_every_step': 'see concat0 (Concat)'}


@pytest.mark.parametrize('name', PROGRAMS)
def test_programs(name, tmp_path):
    _, model = model_of(name)
    if name in REFUSED:
        with pytest.raises(interop.ExportError) as info:
            load(model, tmp_path)
        assert REFUSED[name] in str(info.value)
        assert not list(tmp_path.iterdir())
        return
    stepper = load(model, tmp_path)
    random = np.random.RandomState(0)
    data = {key: random.randint(1, 5, shape).astype('f')
            for key, shape in settled(PROGRAMS[name].shapes, 3, 7).items()}
    for i, begin in enumerate(['l0_init_h', 'l0_init_c'] if 'l0_init_h' in data else []):
        data[begin] = data['lstm_%d_in' % i] = random.rand(3, 6).astype('f')
    states = stepper.begin(*([] if stepper.encoder_names else [3]), **{
        key: data[key] for key in stepper.encoder_names})
    states = [data.get(key, state) for key, state in zip(stepper.state_names, states)
              ] + states[len(stepper.state_names):]
    if name == 'begin_states_with_a_shape':
        data.update({key: np.zeros(shape, 'f') for key, shape in settled(
            PROGRAMS[name].shapes, 3, 7).items() if 'begin' in key})
    length = 5 if 'target' in data else 7
    for chunks in ([0] * length, [2, 0, length - 3]):
        assert step_apart(stepper, states, data, whole(model, data), chunks) < 1e-6
