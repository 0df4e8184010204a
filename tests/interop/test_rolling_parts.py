"""Graphs that read some of the steps alone: nothing tells what another length would mean."""
import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import certify

from .. import mx, rnn
from ..running import random_value
from .compare import torch
from .models import random_model
from .programs import stack


def layer(steps):
    return mx.sym.FullyConnected(steps, num_hidden=3, name='fc')


def both_ends(steps):
    but_the_last = mx.sym.mean(mx.sym.stack(*steps[:-1], axis=1), axis=1)
    return mx.sym.concat(steps[0], *steps[-2:], but_the_last, dim=1)


def decoder_of_three(length):
    encoded, _ = rnn.LSTMCell(5, 'e_').unroll(length, mx.sym.Variable('data'))
    return [mx.sym.zeros_like(encoded[0]), *encoded[:3]]


def both_directions():
    return rnn.BidirectionalCell(rnn.GRUCell(4, 'l_'), rnn.GRUCell(4, 'r_'))


def two_layers():
    return stack(rnn.LSTMCell(4, 'l0_'), rnn.LSTMCell(4, 'l1_'))


def program(length, read, cell=lambda: rnn.GRUCell(4, 'g_'), layout='NTC', data=None):
    with mx.name.NameManager():
        inputs = data(length) if data else mx.sym.Variable('data')
        outputs, _ = cell().unroll(len(inputs) if data else length, inputs, layout=layout,
                                   merge_outputs=False)
        return layer(read(outputs))


#: By name: what is read of the outputs, and how they come about.
PARTS = {
    'third': (lambda steps: steps[2], {}),
    'third_time_major': (lambda steps: steps[2], {'layout': 'TNC'}),
    'third_of_both_directions': (lambda steps: steps[2], {'cell': both_directions}),
    'third_of_two_layers': (lambda steps: steps[2], {'cell': two_layers}),
    'first': (lambda steps: steps[0], {}),
    'second': (lambda steps: steps[1], {}),
    'third_and_last': (lambda steps: mx.sym.concat(steps[2], steps[-1], dim=1), {}),
    'both_ends': (both_ends, {}),
    'decoder_of_three': (lambda steps: steps[-1], {'data': decoder_of_three}),
}
#: Of these a second length tells nothing: no recurrence is left.
ALONE = ('first',)


def shape_of(name, length):
    return (length, 2, 5) if name.endswith('time_major') else (2, length, 5)


def build(name, length):
    read, options = PARTS[name]
    return program(length, read, **options)


def model_of(name, length=6, values=None):
    model = random_model(build(name, length), {'data': shape_of(name, length)})
    return model._replace(arg_params=values or model.arg_params)


def data_of(name, length):
    return torch.tensor(random_value('x', shape_of(name, length))).float()


def assert_near(found, expected):
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', PARTS)
def test_other_lengths_are_refused(name):
    model = model_of(name)
    module, expected = (interop.to_torch(model, roll=each) for each in (True, False))
    assert_near(module(data_of(name, 6)), expected(data_of(name, 6)))
    for length in (3, 9):
        with pytest.raises(ValueError, match='into 6 steps, got an axis of length %d' % length):
            module(data_of(name, length))


@pytest.mark.parametrize('name', [name for name in PARTS if name not in ALONE])
def test_what_a_graph_of_another_length_proves(name):
    model = model_of(name)
    graph = certify(model.graph, model_of(name, 9).graph).graph
    rolled = interop.to_torch(model._replace(graph=graph), roll=False)
    for length in (4, 6, 9, 11):
        expected = interop.to_torch(model_of(name, length, model.arg_params), roll=False)
        assert_near(rolled(data_of(name, length)), expected(data_of(name, length)))


@pytest.mark.parametrize('name', ['third', 'third_time_major', 'both_ends'])
def test_file_of_onnx_has_the_length_of_the_graph(name, tmp_path):
    pytest.importorskip('onnx')
    from mxrnn.interop import _onnx
    model, path = model_of(name), str(tmp_path / 'm.onnx')
    written = _onnx.write_onnx(model, path)
    assert written.inputs['data'] == tuple(
        'batch' if size == 2 else size for size in shape_of(name, 6))
    assert any('must have as many' in note for note in written.notes)
    written = _onnx.write_onnx(model, path, certify_by=model_of(name, 9).graph)
    assert 6 not in written.inputs['data'] and not written.notes
    with pytest.raises(interop.ExportError, match='cannot be stepped|no recurrence'):
        _onnx.write_onnx(model, path, states=True)
