"""The shapes that sources get, and what they are compared with before they are written."""
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure

from .. import ours, rnn
from ..running import random_value
from .compare import torch
from .models import S, V, over, random_model
from .sources import check, generate
from .test_source import program_of

from mxrnn.interop.prepare import plan  # noqa: E402  isort: skip

pytestmark = ours
pytest.importorskip('onnx')


def model(symbol, **shapes):
    return random_model(symbol, shapes)


def test_steps_are_checked_against_the_graph_as_it_is(monkeypatch):
    """A classifier of one of six steps."""
    def inner(step):
        outputs, _ = rnn.GRUCell(3, 'g_').unroll(6, V('data'), merge_outputs=False)
        return model(S.FullyConnected(outputs[step], num_hidden=2, name='fc'), data=(2, 6, 5))
    assert 'Checked: equal to' in generate(inner(2)).text
    monkeypatch.setattr(plan, 'structure', lambda graph, **options: structure(
        inner(3).graph, **options))
    with pytest.raises(interop.ExportError, match='differs from the checkpoint in MXNet'):
        generate(inner(2))


def test_numbers_in_the_graph_are_taken_as_onnx_takes_them():
    words = S.Embedding(V('data'), input_dim=7, output_dim=3)
    text = generate(model(S.FullyConnected(
        S.reshape(over(rnn.GRUCell(3, 'g_'), 6, words), (24, 3)), num_hidden=2), data=(4, 6))).text
    assert 'Input data: (4, 6).' in text
    assert 'Batch: 4, since reshape0 (Reshape) has 4' in text


def test_shapes_before_an_operator_that_onnx_lacks_are_found():
    outputs = over(rnn.GRUCell(3, 'g_'), 6, layout='TNC')
    loss = S.MakeLoss(S.ctc_loss(outputs, V('label')))
    network = model(loss, data=(6, 2, 5), label=(2, 2))
    text = generate(network).text
    assert 'Input data: (time, batch, 5).' in text and 'label: (batch, label_1).' in text
    batch = S.MakeLoss(S.ctc_loss(outputs, S.reshape(
        V('label'), (2, -1))))  # a batch of 2 and labels of any length
    network = model(batch, data=(6, 2, 5), label=(4,))
    with pytest.raises(interop.ExportError, match='takes label with 1 or more axes, .*'
                                                  '--input label=2$'):
        generate(network)
    assert 'Input data: (' in generate(network, {'data': ('time', 2, 5), 'label': (4,)}).text


def test_sizes_that_the_graph_takes_alone_are_found():
    source = generate(program_of('deep_speech_by_hand')[1])
    assert 'Data_2: 9 to 10, since ' in source.text
    # twice as many frames are twice as many steps
    assert len(source.module(data=torch.ones(2, 28, 9), **{
        name: torch.ones(2, 6) for name in ('forward_init_h', 'back_init_h')})) == 28


@pytest.mark.parametrize('types, said', [
    ({'data': 'word'}, r"types\['data'\] must be"), ({'data': 3}, r"types\['data'\] must be"),
    ({'date': 'int64'}, "types must name inputs of the model: .*; got 'date'"),
    (['int64'], 'types must be a dict by names of inputs, got')])
def test_types_that_are_none(types, said):
    with pytest.raises((TypeError, ValueError), match=said):
        generate(program_of('gru_bucketing')[1], types=types)


def test_an_index_of_integers_is_cast():
    """It was float32 in the run that tells the types, so a cast to that was left out."""
    data = V('data')
    symbol = S.Group([S.cast(data, 'float32'), S.one_hot(data, depth=5)])
    source = generate(model(symbol, data=(2, 3)), types={'data': 'int32'})
    assert source.module(torch.ones(2, 3, dtype=torch.int32))[0].dtype == torch.float32


def test_what_is_flattened_may_have_more_axes_than_the_graph_tells():
    symbol = S.FullyConnected(S.Concat(S.Flatten(V('ahead')), V('static')), num_hidden=3)
    shapes = {'ahead': (2, 5, 3), 'static': (2, 4)}
    check(generate(model(symbol, **shapes), shapes), symbol, {
        name: random_value(name, shape).astype('float32') for name, shape in shapes.items()})


def test_a_number_of_steps_that_stays_in_a_graph_is_no_axis_of_any_size(tmp_path):
    """The search for the label's shape ended in a KeyError."""
    words, letters = (S.Embedding(V(name), input_dim=9, output_dim=2)
                      for name in ('words', 'letters'))
    letters = S.Reshape(S.Reshape(letters, shape=(-1, 16)), shape=(-1, 12, 16))
    outputs = over(rnn.RNNCell(3), 12, S.Concat(words, letters, dim=2))
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-1, 3)), num_hidden=4)
    symbol = S.SoftmaxOutput(scores, S.Reshape(V('label'), shape=(-1,)))
    shapes = {'words': (2, 12), 'letters': (2, 12, 8)}
    with pytest.raises(interop.ExportError,
                       match='axis . of words cannot be any size: node reshape1'):
        interop.to_source(
            random_model(symbol, {**shapes, 'label': (2, 12)}), str(tmp_path / 'a.py'),
            {'words': ('batch', 'time:12'), 'letters': ('batch', 'other', 8)})


def test_rows_that_a_graph_numbers_itself_are_the_last_behind_the_end():
    data = V('data')
    rows = S.Embedding(S.contrib.arange_like(data, axis=1), input_dim=4, output_dim=5,
                       name='position')
    symbol = S.broadcast_add(data, S.expand_dims(rows, axis=0))
    source = generate(model(symbol, data=(2, 4, 5)), {'data': ('batch', 'time', 5)})
    for length in (3, 6):
        check(source, symbol, {'data': random_value('data', (2, length, 5)).astype('float32')})
