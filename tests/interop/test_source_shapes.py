"""The shapes that sources get, and what they are compared with before they are written."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours, rnn
from .compare import torch  # noqa: F401  (skips where it is not installed)
from .sources import generate, model_of, run_mxnet
from .test_source import program_of

from mxrnn.interop._source import export  # noqa: E402  isort: skip

pytestmark = ours
pytest.importorskip('onnx')


def model(symbol, **shapes):
    data = {name: np.zeros(shape, 'float32') for name, shape in shapes.items()}
    return model_of(symbol, run_mxnet(symbol, data, {}), shapes)


def inner(step):
    """A classifier of one of six steps."""
    outputs, _ = rnn.GRUCell(3, 'g_').unroll(6, mx.sym.Variable('data'), merge_outputs=False)
    return model(mx.sym.FullyConnected(outputs[step], num_hidden=2, name='fc'), data=(2, 6, 5))


def test_steps_are_checked_against_the_graph_as_it_is(monkeypatch):
    assert 'those of the graph as it was unrolled, for' in ' '.join(
        generate(inner(2)).text.split())
    roll = export.roll
    monkeypatch.setattr(export, 'roll', lambda graph, training: roll(
        inner(3).graph, training=training))
    with pytest.raises(interop.ExportError, match='differs from the graph by'):
        generate(inner(2))


def test_numbers_in_the_graph_are_taken_as_onnx_takes_them():
    words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=7, output_dim=3)
    outputs, _ = rnn.GRUCell(3, 'g_').unroll(6, words, merge_outputs=True)
    text = generate(model(mx.sym.FullyConnected(
        mx.sym.reshape(outputs, (24, 3)), num_hidden=2), data=(4, 6))).text
    assert 'Input data: (4, 6).' in text
    assert 'data has a batch of 4: the graph has that number in it.' in text


def test_shapes_before_an_operator_that_onnx_lacks_are_found():
    outputs, _ = rnn.GRUCell(3, 'g_').unroll(6, mx.sym.Variable('data'), merge_outputs=True,
                                             layout='TNC')
    loss = mx.sym.MakeLoss(mx.sym.ctc_loss(outputs, mx.sym.Variable('label')))
    network = model(loss, data=(6, 2, 5), label=(2, 2))
    text = generate(network).text
    assert 'Input data: (time, batch, 5).' in text and 'label: (batch, label_1).' in text
    batch = mx.sym.MakeLoss(mx.sym.ctc_loss(outputs, mx.sym.reshape(
        mx.sym.Variable('label'), (2, -1))))  # a batch of 2 and labels of any length
    network = model(batch, data=(6, 2, 5), label=(4,))
    with pytest.raises(interop.ExportError, match='The shapes of label do not follow .*'
                                                  '--input label=b'):
        generate(network)
    assert 'Input data: (' in generate(network, {'data': ('time', 2, 5), 'label': (4,)}).text


@pytest.mark.parametrize('name', ['tree_of_cells', 'noise_at_every_step', 'text_of_images'])
def test_sizes_that_the_graph_takes_alone_are_found(name):
    """Others are asked for, all at once."""
    network = program_of(name)[1]
    if name == 'tree_of_cells':
        text = ' '.join(generate(network).text.split())
        assert 'Input leaf1: (batch, 4).' in text
        assert 'leaf1 has the size 4 at axis 1: the graph takes no other number' in text
        return
    with pytest.raises(interop.ExportError, match=r'the shapes of data, (noise|label), as in '
                                                  r'inputs=.*--input data=batch,20,8'):
        generate(network)


@pytest.mark.parametrize('kind', ['int64', 'int32', 'uint8', np.int64, 'float32'])
def test_types_of_inputs(kind):
    """Numbers of words are taken in the type that is given, and in others."""
    symbol, program = program_of('gru_bucketing')
    source = generate(program, types={'data': kind})
    data = np.random.RandomState(0).randint(0, 5, (2, 7))
    wanted = run_mxnet(symbol, {'data': data.astype('f'), 'softmax_label': np.zeros((2, 7), 'f')},
                       program.arg_params).forward()[0].asnumpy()
    for given in (torch.from_numpy(data.astype(kind)), torch.from_numpy(data)):
        np.testing.assert_allclose(source.module(given).detach(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('kind', ['int64', 'int32'])
def test_an_input_of_integers_that_is_no_index(kind):
    """It becomes a real number where the graph casts it."""
    symbol = mx.sym.FullyConnected(mx.sym.cast(mx.sym.Variable('data'), 'float32') / 2,
                                   num_hidden=2, name='fc')
    source = generate(model(symbol, data=(2, 3)), {'data': ('batch', 3)}, types={'data': kind})
    data = np.array([[1, 2, 3], [-4, 5, 0]])
    wanted = run_mxnet(symbol, {'data': data.astype('f')}, source.model.arg_params)
    found = source.module(torch.from_numpy(data.astype(kind)))
    np.testing.assert_allclose(found.detach(), wanted.forward()[0].asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('types, said', [
    ({'data': 'word'}, r"types\['data'\] must be"), ({'data': 3}, r"types\['data'\] must be"),
    ({'date': 'int64'}, "types must be of arguments of the model, such as .*; got 'date'"),
    (['int64'], 'types must be a dict by names of inputs, got')])
def test_types_that_are_none(types, said):
    with pytest.raises((TypeError, ValueError), match=said):
        generate(program_of('gru_bucketing')[1], types=types)
