"""Sources in steps: MXNet's outputs of whole sequences, with the weights of sources without steps.
"""
from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours
from .compare import difference, magnitude, torch
from .programs import PROGRAMS
from .sources import generate, read, run_mxnet
from .test_source import data_of, program_of
from .test_states import REFUSED

pytestmark = ours

#: Programs in steps: which axis of their inputs is time, and whether their outputs have it.
STEPPED = {
    'lstm_bucketing': (1, True), 'gru_bucketing': (1, True), 'cudnn_lstm_time_major': (0, True),
    'conv_lstm': (1, False),
    'norms_inside': (1, False), 'sentiment_of_the_last_step': (1, False),
    'begin_states_that_are_variables': (1, True), 'recommender': (1, False),
    'encoder_and_decoder': (1, True), 'attention_with_input_feeding': (1, True),
    'caption_of_an_image': (1, True)}
#: Refusals of programs whose sources are for one number of steps.
OWN = {'text_cnn_and_rnn': 'data has 7 steps'}
SLOW = [name for name in PROGRAMS if name not in STEPPED and name not in REFUSED]


def in_chunks(module, data, axis, sizes):
    """The outputs of each chunk."""
    names = list(inspect.signature(module.steps).parameters)[:-1]
    if hasattr(module, 'encode'):
        states = module.encode(*[
            data[name] for name in inspect.signature(module.encode).parameters])
    else:
        states = module.begin(data[names[0]].shape[1 - axis])
    parts, at = [], 0
    for size in sizes:
        chunk, states = module.steps(*[data[name].narrow(axis, at, size) for name in names], states)
        parts.append(chunk)
        at += size
    return parts


@pytest.mark.parametrize('name', STEPPED)
def test_chunks(name):
    symbol, model = program_of(name)
    source = generate(model, states=True)
    data = data_of(name, model, 3, 7)
    data.update({key: np.zeros_like(value) for key, value in data.items() if 'init' in key})
    wanted = run_mxnet(symbol, data, model.arg_params).forward(is_train=False)[0].asnumpy()
    axis, by_step = STEPPED[name]
    length = 5 if 'target' in data else 7
    for sizes in ([1] * length, [2, 1, length - 3]):
        with torch.no_grad():
            parts = in_chunks(source.module, {
                key: torch.as_tensor(value) for key, value in data.items()}, axis, sizes)
        found = parts[-1]
        if by_step:
            found = torch.cat([part.reshape(*((3, size) if axis else (size, 3)), -1)
                               for part, size in zip(parts, sizes)], axis)
        assert difference(wanted, found.reshape(wanted.shape).numpy(), magnitude(wanted)) < 1e-6


@pytest.mark.nightly
@pytest.mark.parametrize('name', SLOW)
def test_further_programs(name):
    """The export runs each source in chunks beside its graph."""
    assert 'def steps(' in generate(program_of(name)[1], states=True).text


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.nightly] * (place % 4 > 0))
    for place, name in enumerate(REFUSED)])
def test_refusals_are_those_of_onnx(name):
    with pytest.raises(interop.ExportError) as info:
        generate(program_of(name)[1], states=True)
    assert OWN.get(name, REFUSED[name]) in str(info.value)


@pytest.mark.parametrize('name', ['lstm_bucketing', 'attention_with_input_feeding'])
def test_steps_are_added_to_a_source(name):
    """Weights of one fit the other, and so does all else."""
    model = program_of(name)[1]
    plain, stepped = generate(model), generate(model, states=True)
    methods = plain.text.split('class Model', 1)[1]
    assert stepped.text.split('class Model', 1)[1].startswith(methods.rstrip('\n'))
    module = read(stepped.text)()
    module.load_state_dict(plain.module.state_dict())
    for key, value in stepped.module.state_dict().items():
        assert torch.equal(value, module.state_dict()[key])


def recurrent(name='data', **names):
    """A GRU of three units, behind a layer, of an input of a name."""
    names = {each: names.get(each, each) for each in ('fc', 'first', 'gru')}
    graph = interop.graph_from_json(json.dumps({'nodes': [
        {'op': 'null', 'name': name, 'inputs': []},
        {'op': 'null', 'name': names['fc'] + '_weight', 'inputs': []},
        {'op': 'FullyConnected', 'name': names['fc'], 'inputs': [[0, 0, 0], [1, 0, 0]],
         'attrs': {'num_hidden': '3', 'flatten': 'False', 'no_bias': 'True'}},
        {'op': 'null', 'name': 'vector', 'inputs': []},
        {'op': '_zeros', 'name': names['first'], 'attrs': {'shape': '(1, 0, 3)'}, 'inputs': []},
        {'op': 'RNN', 'name': names['gru'], 'inputs': [[2, 0, 0], [3, 0, 0], [4, 0, 0]],
         'attrs': {'mode': 'gru', 'state_size': '3', 'num_layers': '1'}}],
        'arg_nodes': [0, 1, 3], 'heads': [[5, 0, 0]]}))
    return interop.Model(graph, {names['fc'] + '_weight': np.eye(3, dtype='f'),
                                 'vector': np.linspace(-1, 1, 72, dtype='f')}, {})


def test_names_of_methods_stay_free():
    """Layers that are called like the methods get other names."""
    module = generate(recurrent(fc='steps', first='states', gru='begin_rnn'), states=True).module
    data = torch.rand(5, 2, 3)
    first, states = module.steps(data[:2], module.begin(2))
    last, (state,) = module.steps(data[2:], states)
    torch.testing.assert_close(torch.cat([first, last]), module(data))
    torch.testing.assert_close(state[0], last[-1])


@pytest.mark.parametrize('name', ['states', 'batch', 'zeros', 'steps', 'begin', 'encode', 'gru',
                                  'forward', 'loss', 'parameters', 'train'])
def test_an_input_is_called_like_an_argument_of_the_methods(name):
    model = recurrent(name)
    module = generate(model, {name: ('time', 'batch', 3)}, states=True).module
    data = torch.rand(4, 2, 3)
    torch.testing.assert_close(module.steps(data, module.begin(2))[0], module(data))


def test_states_of_a_model_without_weights():
    """No parameter tells the device and the type of its begin states."""
    step = {'nodes': [
        {'op': 'null', 'name': 'row', 'inputs': []}, {'op': 'null', 'name': 'before', 'inputs': []},
        {'op': 'elemwise_add', 'name': 'sum', 'inputs': [[0, 0, 0], [1, 0, 0]]},
        {'op': 'tanh', 'name': 'out', 'inputs': [[2, 0, 0]]},
        {'op': '_copy', 'name': 'after', 'inputs': [[3, 0, 0]]}],
        'arg_nodes': [0, 1], 'heads': [[3, 0, 0], [4, 0, 0]]}
    graph = interop.graph_from_json(json.dumps({'nodes': [
        {'op': 'null', 'name': 'data', 'inputs': []},
        {'op': '_zeros', 'name': 'zeros', 'attrs': {'shape': '(0, 3)'}, 'inputs': []},
        {'op': '_foreach', 'name': 'loop', 'inputs': [[0, 0, 0], [1, 0, 0]], 'subgraphs': [step],
         'attrs': {'in_data_locs': '[0]', 'in_state_locs': '[1]', 'remain_locs': '[]',
                   'num_args': '3', 'num_out_data': '1', 'num_outputs': '2'}}],
        'arg_nodes': [0], 'heads': [[2, 0, 0]]}))
    module = generate(interop.Model(graph, {}, {}), {'data': ('time', 'batch', 3)},
                      states=True).module
    data = torch.rand(4, 2, 3)
    torch.testing.assert_close(module.steps(data, module.begin(2))[0], module(data))


def test_a_graph_that_has_no_steps_is_refused_for_that():
    """Not because it does not take the numbers that the writer draws."""
    split = mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=5, axis=1)
    graph = interop.graph_from_json(mx.sym.tanh(split[0]).tojson())
    with pytest.raises(interop.ExportError, match='no recurrence along an axis of any size'):
        generate(interop.Model(graph, {}, {}), {'data': ('batch', 'time', 4)}, states=True)


def test_several_outputs_come_before_the_states_as_forward_gives_them():
    model = recurrent()
    graph = model.graph._replace(
        nodes=(*model.graph.nodes, interop.Node('relu', 'out', {}, (interop.Entry(5, 0),))),
        heads=(interop.Entry(5, 0), interop.Entry(6, 0)))
    module = generate(model._replace(graph=graph), {'data': ('time', 'batch', 3)},
                      states=True).module
    data = torch.rand(4, 2, 3)
    (plain, positive), states = module.steps(data, module.begin(2))
    torch.testing.assert_close((plain, positive), module(data))
    assert len(states) == 1
