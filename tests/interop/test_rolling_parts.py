"""Graphs that read some of the steps alone: nothing tells what another length would mean."""
from __future__ import annotations

import re

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import certify, roll

from .. import mx, rnn
from ..running import random_value as random_double
from .compare import torch


def random_value(name, shape):
    return random_double(name, shape).astype('float32')


def layer(steps):
    return mx.sym.FullyConnected(steps, num_hidden=3, name='fc')


def mean_behind_the_first(steps):
    return mx.sym.mean(mx.sym.stack(*steps[1:], axis=1), axis=1)


def both_ends(steps):
    but_the_last = mx.sym.mean(mx.sym.stack(*steps[:-1], axis=1), axis=1)
    return mx.sym.concat(steps[0], *steps[-2:], but_the_last, dim=1)


def data_behind_the_first(length):
    return list(mx.sym.split(mx.sym.Variable('data'), num_outputs=length, axis=1,
                             squeeze_axis=True))[1:]


def decoder_of_three(length):
    encoded, _ = rnn.LSTMCell(5, 'e_').unroll(length, mx.sym.Variable('data'))
    return [mx.sym.zeros_like(encoded[0]), *encoded[:3]]


def data_one_by_one(length):
    data = mx.sym.Variable('data')
    steps = [mx.sym.slice_axis(data, axis=1, begin=t, end=t + 1) for t in range(length)]
    return [mx.sym.Reshape(step, shape=(0, -1)) for step in steps]


def both_directions():
    return rnn.BidirectionalCell(rnn.GRUCell(4, 'l_'), rnn.GRUCell(4, 'r_'))


def two_layers():
    stack = rnn.SequentialRNNCell()
    stack.add(rnn.LSTMCell(4, 'l0_'))
    stack.add(rnn.LSTMCell(4, 'l1_'))
    return stack


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
    'last_but_one': (lambda steps: steps[-2], {}),
    'third_and_last': (lambda steps: mx.sym.concat(steps[2], steps[-1], dim=1), {}),
    'both_ends': (both_ends, {}),
    'mean_behind_the_first': (mean_behind_the_first, {}),
    'decoder_of_three': (lambda steps: steps[-1], {'data': decoder_of_three}),
    'data_behind_the_first': (lambda steps: steps[-1], {'data': data_behind_the_first}),
}
#: Of these a second length tells nothing: no recurrence is left.
ALONE = ('first',)


def shape_of(name, length):
    return (length, 2, 5) if name.endswith('time_major') else (2, length, 5)


def build(name, length):
    read, options = PARTS[name]
    return program(length, read, **options)


def values_of(symbol, shape):
    return {name: random_value(name, each) for name, each in zip(
        symbol.list_arguments(), symbol.infer_shape(data=shape)[0]) if name != 'data'}


def model_of(name, length=6, values=None):
    symbol = build(name, length)
    return interop.Model(interop.graph_from_json(symbol.tojson()),
                         values or values_of(symbol, shape_of(name, length)), {})


def data_of(name, length):
    return torch.tensor(random_value('x', shape_of(name, length)))


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


@pytest.mark.parametrize('name', [name for name in PARTS if name not in (*ALONE, 'third_and_last')])
def test_a_finding_says_so(name):
    fixed = [each for each in roll(model_of(name).graph).findings if each.kind == 'fixed']
    assert fixed and {each.steps for each in fixed} == {6}
    assert '6 steps: it must have as many, because only' in str(fixed[0])


@pytest.mark.parametrize('name', [name for name in PARTS if name not in ALONE])
def test_what_a_graph_of_another_length_proves(name):
    model = model_of(name)
    graph = certify(model.graph, model_of(name, 9).graph).graph
    rolled = interop.to_torch(model._replace(graph=graph), roll=False)
    for length in (4, 6, 9, 11):
        expected = interop.to_torch(model_of(name, length, model.arg_params), roll=False)
        assert_near(rolled(data_of(name, length)), expected(data_of(name, length)))


def test_graphs_that_read_different_steps_prove_nothing():
    graph = model_of('third').graph
    other = program(9, lambda steps: steps[4])
    with pytest.raises(ValueError, match='but rolled up, graph has .* where other has'):
        certify(graph, interop.graph_from_json(other.tojson()))


def test_the_number_of_steps_tells_no_end():
    graph = roll(model_of('third').graph, length=6).graph
    assert [node.num_outputs for node in graph.nodes if node.op == 'SliceChannel'] == [6]


@pytest.mark.parametrize('name', ['third', 'third_time_major', 'mean_behind_the_first'])
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


@pytest.mark.parametrize('name', PARTS)
def test_source_takes_the_length_of_the_graph(name, tmp_path):
    model = model_of(name)
    interop.to_source(model, str(tmp_path / 'm.py'))
    space: dict = {'__name__': 'source'}
    exec((tmp_path / 'm.py').read_text(), space)
    module = space['Model']()
    module.load_state_dict(torch.load(str(tmp_path / 'm.pt'), weights_only=True))
    assert_near(module(data_of(name, 6)), interop.to_torch(model, roll=False)(data_of(name, 6)))
    for length in (3, 9):
        with pytest.raises((AssertionError, ValueError)):
            module(data_of(name, length))


def test_an_inner_output_of_a_checkpoint():
    """As `--output g_t2_out_output` does of a graph that reads all steps."""
    symbol = program(6, lambda steps: steps[-1])
    model = interop.Model(interop.graph_from_json(symbol.tojson()),
                          values_of(symbol, (2, 6, 5)), {})
    name = 'g_t2_out_output'
    module = interop.to_torch(model, outputs=[name])
    x = data_of('third', 6)
    assert_near(module(x), interop.to_torch(model, outputs=[name], roll=False)(x))
    with pytest.raises(ValueError, match=re.escape('got an axis of length 9')):
        module(data_of('third', 9))


def test_a_list_of_slices_is_that_of_the_first_steps():
    """Slices take longer data, of which they read the same steps."""
    symbol = program(6, lambda steps: steps[2], data=data_one_by_one)
    rolled = roll(interop.graph_from_json(symbol.tojson()))
    assert not [each for each in rolled.findings if each.kind == 'fixed']
    for node in rolled.graph.nodes:
        assert node.op != 'slice_axis' or node.end is None or node.end > 0


def test_slices_of_a_graph_whose_steps_are_counted_from_the_end():
    def read(steps):
        return steps[-2] * steps[-1]
    first, other = (interop.graph_from_json(program(length, read, data=data_one_by_one).tojson())
                    for length in (6, 9))
    values = values_of(program(6, read), (2, 6, 5))
    rolled = certify(first, other).graph
    x = data_of('third', 9)
    assert_near(*(interop.to_torch(interop.Model(graph, values, {}), roll=False)(x)
                  for graph in (rolled, other)))
