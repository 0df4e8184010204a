"""Programs use the module: training, devices, saving, copies, export, refusals."""
import copy
import gc
import json
import linecache
import pickle
import sys
import threading

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.merge_rnn import merged
from mxrnn._graph.rolling import structure
from mxrnn.interop.registry import TORCH, Converters

from .. import mx, rnn
from .compare import Evaluated, assert_equal, run_both, torch
from .models import S, V, over, random_model
from .operator_cases import SAMPLERS, draws
from .test_source import data_of, program_of

DATA = V('data')


def make(outputs, shapes, **kwargs):
    """A module with random weights; `shapes` are those of the inputs."""
    symbol = S.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    return interop.to_torch(random_model(symbol, shapes))


def language_model():
    """Embedding, cell, decoder, SoftmaxOutput; data is (batch, length)."""
    embed = S.Embedding(DATA, input_dim=9, output_dim=5, name='embed')
    outputs = over(rnn.fuse(rnn.LSTMCell(6, prefix='lstm_')), None, embed)
    scores = S.FullyConnected(S.Reshape(outputs, shape=(-3, 0)), num_hidden=9, name='fc')
    return S.SoftmaxOutput(scores, S.Reshape(V('softmax_label'), shape=(-1,)), name='softmax')


SHAPES = {'data': (2, 4), 'softmax_label': (2, 4)}
TOKENS = torch.tensor([[1, 2, 3, 4], [8, 7, 6, 5]])


def test_names_are_those_of_mxnet():
    module = make(language_model(), SHAPES)
    assert list(module.state_dict()) == [*('embed.weight', *(
        'lstm.%s_l0' % name for name in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')),
        'fc.weight', 'fc.bias')]
    assert module.inputs == ['data'] and module.outputs == ['softmax_output']
    assert not module.training and 'def loss(self, data: Tensor' in module.source
    assert "inputs=['data'], outputs=['softmax_output']" in repr(module)


@pytest.mark.parametrize('head, any_size', [
    (lambda x: S.sum(x, axis=1) / 12, r'\. For any: --input data=batch,time:12,4 \(if it has 12'),
    (lambda x: S.softmax(x * 12 ** -.5, axis=1), '$')])
def test_data_do_not_tell_the_steps_that_a_factor_is_made_of(head, any_size):
    """The first call did: a sum over 12 steps was divided by 12 whatever came."""
    outputs = over(rnn.FusedRNNCell(6, mode='gru', prefix='gru_'), 12, DATA)
    model = random_model(head(outputs), {'data': (2, 12, 4)})
    with pytest.raises(interop.ExportError, match=(
            'axis 1 of data needs a number .*=batch,…,4' + any_size)):
        interop.to_torch(model)
    assert interop.to_torch(model, {'data': ('batch', 12, 4)})(torch.zeros(2, 12, 4)) is not None


@pytest.mark.parametrize('shape', [(4, 6), (4, 3, 5)])
def test_the_shape_of_data_that_do_not_fit_is_told(shape):
    module = make(over(rnn.GRUCell(6, 'gru_'), 3, DATA), {'data': (2, 3, 4)})
    with pytest.raises(ValueError, match=r'data must be \(batch, time, 4\), got \(4, '):
        module(data=torch.zeros(shape))
    outputs = over(rnn.GRUCell(6, 'gru_'), 3, DATA, valid_length=V('n'))
    module = make(outputs, {'data': (2, 3, 4), 'n': (2,)})
    with pytest.raises(ValueError, match=(
            r'data must be \(batch, 3, 4\), got \(4, 6, 4\)\. Axis 1 must be 3, since')):
        module(data=torch.zeros(4, 6, 4), n=torch.ones(4))


@pytest.mark.parametrize('read', [DATA, S.reshape(DATA, (-1, 5, 4))], ids=['told', 'waiting'])
def test_a_module_runs_without_what_only_a_ctc_loss_reads(read):
    scores = S.FullyConnected(S.swapaxes(read, dim1=0, dim2=1), num_hidden=4, flatten=False,
                              name='fc')
    loss = S.ctc_loss(scores, V('label'), label_lengths=V('letters'), use_label_lengths=True)
    module = make(loss, {'data': (2, 5, 4), 'label': (2, 2), 'letters': (2,)})
    data = torch.randn(2, 5, 4)
    with pytest.raises(TypeError, match=r'forward takes data, got data, label. .* call loss\('):
        module(data, label=torch.ones(2, 2))
    found = module(data)
    wanted = torch.nn.functional.linear(data.swapaxes(0, 1), *module.parameters())
    torch.testing.assert_close(found, wanted)
    for each in module, copy.deepcopy(module):
        for training in True, False:
            torch.testing.assert_close(each.train(training)(data), wanted)
        with pytest.raises(TypeError, match='forward takes data, got nothing'):
            each()


@pytest.mark.parametrize('head', ['LinearRegressionOutput', 'LogisticRegressionOutput',
                                  'MAERegressionOutput', 'SVMOutput', 'SoftmaxOutput'])
def test_a_head_of_a_loss_needs_its_data_and_no_label(head):
    outputs = getattr(mx.sym, head)(DATA * 2, V('label'), name='head')
    module = interop.to_torch(interop.Model(interop.graph_from_json(outputs.tojson()), {}, {}),
                              {'data': ('batch', 3)})
    data = np.array([[0.5, -1., 2.]], 'float32')
    want, = outputs.eval(data=mx.nd.array(data), label=mx.nd.zeros(1 if head in (
        'SVMOutput', 'SoftmaxOutput') else (1, 3)))
    np.testing.assert_allclose(module(data=torch.from_numpy(data)), want.asnumpy(), rtol=1e-6)
    for labels in {'label': torch.zeros(1)}, {'data': torch.from_numpy(data),
                                              'label': torch.zeros(1)}:
        with pytest.raises(TypeError, match=r'forward takes data, got .*For gradients call loss\('
                                            r'data, label\)'):
            module(**labels)


def test_the_loss_has_the_gradients():
    module = make(language_model(), SHAPES).train()
    module(data=TOKENS)
    with pytest.raises(TypeError, match='loss takes data, softmax_label, got data'):
        module.loss(TOKENS)
    for args, names in ((TOKENS, TOKENS), {}), ((TOKENS,), {'softmax_label': TOKENS}), (
            (), {'softmax_label': TOKENS, 'data': TOKENS}):
        module.zero_grad()
        module.loss(*args, **names).backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
    for label, said in [(TOKENS[:, 1:], r'label must be \(batch, time\), which is \(2, 4\)'),
                        (TOKENS.t(), r'which is \(2, 4\) with these inputs, got \(4, 2\)'),
                        (TOKENS.flatten(), r'which is \(2, 4\) with these inputs, got \(8,\)'),
                        (TOKENS + 99, 'softmax_label has a class that the scores lack. Target ')]:
        with pytest.raises((ValueError, IndexError), match=said):
            module.loss(TOKENS, label)


def test_inputs_are_checked():
    module = make(language_model(), SHAPES)
    for args, names, said in (
            ((), {}, 'forward takes data, got nothing. For gradients call loss'),
            ((), {'data': TOKENS, 'words': TOKENS}, 'forward takes data, got data, words'),
            ((TOKENS, TOKENS), {}, 'forward takes data, got data and 1 more'),
            ((), {'data': [[1, 2, 3, 4]]}, 'data must be a torch.Tensor')):
        with pytest.raises(TypeError, match=said):
            module(*args, **names)
    torch.testing.assert_close(module(TOKENS), module(data=TOKENS))
    for call in module, lambda data: module.loss(data, TOKENS):
        with pytest.raises(IndexError, match=r'the ids in data must be from 0 to 8, got -1 to 6'):
            call(TOKENS - 2)


@pytest.mark.parametrize('cell, state', [
    (lambda: rnn.ZoneoutCell(rnn.LSTMCell(3), .3, .3), None),
    (lambda: rnn.VariationalDropoutCell(rnn.LSTMCell(3), .3, .3, .3), None),
    (lambda: rnn.FusedRNNCell(3, 2, dropout=.5), None),
    (lambda: rnn.DropoutCell(.5), None)])
def test_draws_happen_in_training_alone(cell, state):
    shapes = {'data': (2, 4, 5)}
    module = interop.to_torch(random_model(over(cell(), 4, DATA), shapes), shapes)
    data = torch.rand(2, 4, 5)
    torch.testing.assert_close(module(data), module(data), rtol=0, atol=0)
    module.train()
    assert not torch.equal(module(data), module(data))


def test_masks_differ_within_the_batch():
    """A mask that is drawn of a begin state of unknown batch size has the batch of the data."""
    cell = rnn.VariationalDropoutCell(rnn.RNNCell(50), drop_states=.5)
    module = make(over(cell, 3, DATA), {'data': (2, 3, 4)}).train()
    for batch in (3, 6):
        rows = module(torch.ones(batch, 3, 4))
        assert len(torch.unique(rows, dim=0)) == batch


def test_samplers_draw_what_mxnet_draws():
    torch.manual_seed(0)
    for name, (_, mean, variance) in SAMPLERS.items():
        drawn = draws(name, DATA, (20000,), lambda number: S.full((2,), number), 10000)
        for result in make(drawn, {'data': (200, 100)})(torch.ones(200, 100)):
            assert result.numel() == 20000
            assert abs(result.mean() - mean) < .15 * mean
            assert abs(result.var() - variance) < .15 * variance
    drawn = make([S.sample_multinomial(DATA, shape=(5000,)), S.shuffle(DATA),
                  S.random.randint(2, 5, shape=(3000,))], {'data': (2, 2)})(
        torch.tensor([[.2, .8], [1., 0.]]))
    assert drawn[0].shape == (2, 5000) and drawn[0].dtype == torch.int32
    assert abs(drawn[0][0].float().mean() - .8) < .05 and not drawn[0][1].any()
    assert sorted(drawn[1][:, 0].tolist()) == pytest.approx([.2, 1.])
    assert set(drawn[2].tolist()) == {2, 3, 4}


def test_copies_and_pickles_are_whole(tmp_path):
    module = make(language_model(), SHAPES).train()
    before = module(data=TOKENS)
    module.register_forward_hook(_doubled)
    again = copy.deepcopy(module)
    torch.save(module, tmp_path / 'module.pt')
    loaded = torch.load(tmp_path / 'module.pt', weights_only=False)
    for other in (again, loaded, copy.copy(module)):
        assert other.training and type(other) is type(module)
        torch.testing.assert_close(other(data=TOKENS), 2 * before, rtol=0, atol=0)
    for other in again, loaded:
        with torch.no_grad():
            other.fc.bias.add_(1)
        assert not torch.equal(other.fc.bias, module.fc.bias)


def _doubled(module, args, outputs):
    return 2 * outputs


def test_names_that_interop_does_not_have():
    with pytest.raises(AttributeError, match="'mxrnn.interop' has no attribute 'nonesuch'"):
        interop.nonesuch  # noqa: B018 -- to ask is what is tested
    assert not hasattr(interop, '_nonesuch')


#: Programs of which a class is compiled, exported, traced and, without pasted functions, scripted.
TOOLS = ['gru_bucketing', 'cudnn_lstm_bucketing', 'lstm_time_major', 'attention_over_the_steps']


@pytest.mark.parametrize('name', TOOLS)
@pytest.mark.filterwarnings('ignore')
def test_tools_of_torch_take_the_class(name):
    _, model = program_of(name)
    module = interop.to_torch(model)
    data = tuple(torch.tensor(data_of(name, model, 3, 7)[key]) for key in module.inputs)
    with torch.no_grad():
        wanted = module(*data)
        made = {'compile': torch.compile(module, backend='eager'),
                'export': torch.export.export(module, data, strict=True).module(),
                'trace': torch.jit.trace(module, data)}
        if '\ndef ' not in module.source:
            made['script'] = torch.jit.script(module)
        for way, each in made.items():
            torch.testing.assert_close(each(*data), wanted, msg=way)


# ---- operators that are not known

def unknown(*names):
    nodes = [{'op': 'null', 'name': 'data', 'inputs': []}]
    for i, name in enumerate(names):
        nodes.append({'op': name, 'name': 'node%d' % i, 'inputs': [[i, 0, 0]]})
    text = json.dumps({'nodes': nodes, 'arg_nodes': [0], 'heads': [[len(names), 0, 0]]})
    return interop.Model(interop.graph_from_json(text), {}, {})


def test_all_unknown_operators_are_named_at_once():
    with pytest.raises(interop.ExportError) as caught:
        interop.to_torch(unknown('Custom', 'tanh', '_contrib_Proposal', 'Custom'))
    text = str(caught.value)
    assert 'Custom (2 times: node0, node3)' in text and '_contrib_Proposal (1 times' in text
    assert 'tanh' not in text


def test_windows_that_are_nothing_but_padding_are_refused():
    pool = S.Pooling(DATA, kernel=(2,), stride=(3,), pad=(1,), pooling_convention='full',
                     name='pool')
    run = Evaluated(interop.graph_from_json(pool.tojson()), {})
    assert run(data=torch.ones(2, 3, 6))[0].shape == (2, 3, 3)
    with pytest.raises(ValueError, match='pool, Pooling, has a window that covers only padding'):
        run(data=torch.ones(2, 3, 5))  # the last window is behind it


@pytest.fixture
def own_operators(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(TORCH, 'maps', [dict(TORCH.maps[0]), *TORCH.maps[1:]])


def test_register(own_operators):
    interop.register('MyScale', lambda node: lambda x: x * node.get('factor', 3),
                     shape=lambda node, x: x)
    interop.register('MyNoise', lambda node: lambda training, x: x + training, training=True,
                     shape=lambda node, x: x)
    module = interop.to_torch(unknown('MyScale', 'MyNoise'), {'data': ('n',)})
    assert module(torch.ones(2)).tolist() == [3, 3]
    assert module.train()(torch.ones(2)).tolist() == [4, 4]
    for copied in copy.deepcopy(module), pickle.loads(pickle.dumps(module)):
        assert copied(torch.ones(3)).tolist() == [4, 4, 4]
    with pytest.raises(interop.ExportError, match=r'a source does not have MyScale \(1 times: nod'):
        interop.to_source(unknown('MyScale', 'tanh'), 'own.py', {'data': ('n',)})
    interop.register('MyLook', lambda node: lambda x: x)
    with pytest.raises(interop.ExportError, match=r'node0 \(MyLook\): its shape is not known: '
                                                  'give register its shape'):
        interop.to_torch(unknown('MyLook'), {'data': (2,)})
    with pytest.raises(TypeError, match='make must be callable'):
        interop.register('MyScale', 3)
    with pytest.raises(ValueError, match='make for torch, onnx for ONNX'):
        interop.register('MyScale')
    with pytest.raises(TypeError, match='model must be a Model'):
        interop.to_torch('model')


def test_register_with_attributes(own_operators):
    def model(**attrs):
        node = interop.Node('_own_scale', 'x', attrs, (interop.Entry(0, 0),))
        return interop.Model(interop.Graph((interop.Node('', 'data', {}, ()), node),
                                           (interop.Entry(1, 0),)), {}, {})

    for kinds in ({'factor': ('int', 2)}, {'factor': ('float', 2), 'by': 'ints'}):  # it replaces
        interop.register('_own_scale', lambda node: lambda x: x * node.factor, attributes=kinds,
                         shape=lambda node, x: x)
    for attrs, wanted in ({'factor': '1.5', 'by': '2'}, 1.5), ({'by': '(1, 2)'}, 2):
        module = interop.to_torch(model(**attrs), {'data': ('n',)})
        assert module(torch.ones(2)).tolist() == [wanted, wanted]
    assert model(by='3').graph.nodes[1].by == (3,)
    with pytest.raises(interop.ExportError, match='factor must be a number, got .much'):
        interop.to_torch(model(factor='much'), {'data': ('n',)})
    with pytest.raises(ValueError, match='kind of the attribute a must be one of int, .*, got .d'):
        interop.register('_own_scale', lambda node: lambda x: x, attributes={'a': 'double'})
    with pytest.raises(ValueError, match='leave out attributes for Concat'):
        interop.register('Concat', lambda node: lambda *x: x, attributes={'dim': 'int'})


def test_a_back_end_has_one_converter_of_an_operator():
    table = Converters('torch')
    table.enter(1, 'a', 'b')
    with pytest.raises(ValueError, match='torch has two converters of b'):
        table.enter(2, 'b')
    table['a'] = 3
    assert dict(table) == {'a': 3, 'b': 1} and len(table) == 2  # a program's own comes first
    del table['a']
    assert table['a'] == 1


def test_two_variables_of_one_name_are_refused():
    text = json.dumps({'nodes': [{'op': 'null', 'name': 'a', 'inputs': []},
                                 {'op': 'null', 'name': 'a', 'inputs': []},
                                 {'op': 'elemwise_add', 'name': 'b', 'inputs': [[0, 0], [1, 0]]}],
                       'heads': [[2, 0]]})
    with pytest.raises(ValueError, match='must have different names'):
        interop.to_torch(interop.Model(interop.graph_from_json(text), {}, {}))


# ---- sizes that a graph leaves open


def test_labels_tell_no_sizes_that_inference_needs():
    outputs = S.LinearRegressionOutput(S.Concat(S.zeros((0, 2)), DATA, dim=1), V('label'))
    module = make(outputs, {'data': (2, 3), 'label': (2, 5)})
    assert module(data=torch.ones(4, 3)).shape == (4, 5)


# ---- names, types, copies of outputs

def test_an_output_that_is_listed_twice_has_the_gradient_of_its_last_place():
    square = S.square(DATA)
    graph = interop.graph_from_json(S.Group([square, square * 2, square]).tojson())
    data = torch.tensor([1., 2.], requires_grad=True)
    first, _, last = Evaluated(graph, {})(data=data)
    assert torch.equal(first, last)
    first.sum().backward() if first.requires_grad else None
    assert data.grad is None
    last.sum().backward()
    assert data.grad.tolist() == [2, 4]


def test_names_with_dots_are_names():
    symbol = S.FullyConnected(DATA, V('layer.weight'), V('layer.bias'), num_hidden=2)
    module = make(symbol, {'data': (1, 3)})
    state = {name: value * 2 for name, value in module.state_dict().items()}
    before = module(torch.ones(1, 3))
    module.load_state_dict(state)
    torch.testing.assert_close(module(torch.ones(1, 3)), before * 2)
    with pytest.raises(RuntimeError, match='other.bias'):
        module.load_state_dict({**state, 'other.bias': torch.ones(1)})
    whole = torch.nn.Sequential(module)
    whole.load_state_dict(whole.state_dict())


@pytest.mark.parametrize('name', ['self', 'training', 'forward', 'inputs', 'source', 'method'])
def test_an_input_may_have_any_name(name):
    graph = interop.graph_from_json((V(name) * V('w', shape=(1,))).tojson())
    module = interop.to_torch(interop.Model(graph, {'w': np.ones(1, 'f')}, {}), {name: (1,)})
    assert module(torch.ones(1)).tolist() == [1] and module.inputs == [name]
    if name != 'self':
        assert module(**{name: torch.ones(1)}).tolist() == [1]


# ---- parts that do not fit


@pytest.mark.parametrize('index', [[0, 4], [-1, 0]])
def test_an_index_outside_is_refused_where_the_graph_asks_for_it(index):
    look = S.take(DATA, V('index'), mode='raise', name='look')
    with pytest.raises(IndexError, match='look, take, has an index outside'):
        Evaluated(interop.graph_from_json(look.tojson()), {})(
            data=torch.ones(4, 2), index=torch.tensor(index))


def test_mistakes_of_converters_are_not_called_faults_of_the_graph(own_operators):
    def make_wrongly(node):
        raise LookupError('a mistake')
    interop.register('_contrib_mistaken', make_wrongly, shape=lambda node, x: x)
    with pytest.raises(LookupError, match='a mistake'):
        interop.to_torch(unknown('_contrib_mistaken'), {'data': (2,)})


@pytest.mark.parametrize('change', [
    {'in_data_locs': '(9,)'}, {'remain_locs': '(0,)'}, {'num_out_data': '2'}])
def test_a_loop_whose_body_does_not_fit_it_is_refused(change):
    outputs, _ = rnn.dynamic_unroll(rnn.RNNCell(3), DATA)
    content = json.loads(outputs.tojson())
    loop, = [node for node in content['nodes'] if node['op'] == '_foreach']
    loop['attrs'].update(change)
    graph = interop.graph_from_json(json.dumps(content))
    with pytest.raises(interop.ExportError, match='_foreach'):
        interop.to_torch(interop.Model(graph, {}, {}), {'data': ('batch', 'time', 4)})


def test_joined_weights_of_other_sizes_are_joined():
    """As many arrays as the vector has parts, which are not its parts."""
    shapes = [(17,), (19,), (10,), (2,)]
    parts = [V('part%d' % i, shape=shape) for i, shape in enumerate(shapes)]
    outputs = S.RNN(DATA, S.Concat(*parts, dim=0), S.zeros((1, 0, 4)), mode='rnn_tanh',
                    state_size=4, num_layers=1)
    assert_equal(run_both([outputs], {'data': (3, 2, 6)}))


# ---- rolled graphs, and outputs that are chosen

def calls(graph):
    return [node.num_layers for node in graph.nodes if node.op == 'RNN']


def test_states_of_one_layer_are_not_states_of_one_row():
    outputs = DATA
    for prefix in ('one_', 'two_', 'three_'):
        vector = V(prefix + 'parameters')
        outputs = S.RNN(outputs, vector, S.zeros((1, 0, 4)), mode='gru', state_size=4, num_layers=1)
    assert calls(merged(interop.graph_from_json(outputs.tojson()))) == [3]


def test_directions_that_read_one_dropout_are_one_layer():
    cell = rnn.FusedRNNCell(4, 3, 'lstm', True, dropout=0.4, prefix='lstm_').unfuse()
    graph = interop.graph_from_json(cell.unroll(5, DATA, merge_outputs=True)[0].tojson())
    rolled = structure(graph, training=True).graph
    assert calls(merged(rolled)) == [3] and calls(merged(rolled, for_mxnet=True)) == [1] * 3


# ---- where open sizes are read

def unbound(symbol):
    """A module without parameters, of a graph whose shapes MXNet need not infer."""
    graph = interop.graph_from_json(S.Group(symbol).tojson() if isinstance(symbol, list)
                                    else symbol.tojson())
    return interop.to_torch(interop.Model(graph, {}, {}))


def joined_with_zeros(array, width=2):
    """Rows of an array behind rows of zeros, of which there are as many as the array has."""
    return S.Concat(S.zeros((0, width)), S.Reshape(array, shape=(0, -1)), dim=1)


@pytest.mark.parametrize('symbol, shapes', [
    (joined_with_zeros(S.batch_dot(V('a'), V('b'))), [(3, 3, 3), (3, 3, 3)]),
    (joined_with_zeros(S.SwapAxis(S.stack(V('a'), V('b')), dim1=0, dim2=1)), [(3, 3), (3, 3)]),
    (joined_with_zeros(S.Reshape(V('a'), shape=(-3, 0))), [(3, 3, 3)]),
    (joined_with_zeros(S.Concat(DATA, V('b'), DATA, dim=0)), [(2, 3), (2, 3)]),
    (S.broadcast_add(S.zeros((0, 1)), V('a')) * S.ones((0, 0)), [(3, 3)]),
    (S.where(DATA > 0, DATA, S.zeros((0, 3))), [(3, 3)]),
    (joined_with_zeros(S.slice_axis(S.pad(V('a'), mode='constant', pad_width=(
        0, 0, 0, 0, 1, 2, 0, 0)), axis=3, begin=0, end=1)), [(3, 1, 3, 3)]),
    (S.Concat(S.repeat(S.zeros((0, 3)), repeats=2, axis=1), V('a'), dim=1), [(3, 3)]),
    (joined_with_zeros(S.Reshape(V('a'), shape=(-1, 6))), [(3, 4, 3)]),
], ids=['two inputs', 'stack', 'product', 'sum', 'broadcast', 'where', 'outside',
        'tried', 'multiple'])
@pytest.mark.parametrize('first', [0, 1, 2])
def test_open_sizes_follow_the_data(symbol, shapes, first):
    """Whatever the first call was: sizes as they are, of one row, or twice as many rows."""
    whole = [torch.rand(2 * shape[0], *shape[1:]) - .5 for shape in shapes]
    calls = [[each[:count] for each in whole] for count in (shapes[0][0], 1, 2 * shapes[0][0])]
    expected = [unbound(symbol)(*call) for call in calls]
    module = unbound(symbol)
    module(*calls[first])
    for call, wanted in zip(calls, expected):
        torch.testing.assert_close(module(*call), wanted, rtol=0, atol=0)


def test_the_input_of_another_size_is_named(tmp_path):
    outputs = over(rnn.LSTMCell(4, 'lstm_'), 3, begin_state=[V('h'), V('c')])
    model = random_model(outputs, {'data': (2, 3, 5), 'h': (2, 4), 'c': (2, 4)})
    given = {'data': torch.zeros(2, 3, 5), 'h': torch.zeros(3, 4), 'c': torch.zeros(2, 4)}
    for module in interop.to_torch(model), pickle.loads(pickle.dumps(interop.to_torch(model))):
        with pytest.raises(ValueError, match='size of batch: .*h has 3'):
            module(**given)
    with pytest.raises(interop.ExportError, match=r'axis 2 of data must be 5|data must be \(ba'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'), inputs={
            'data': ('batch', 'time', 6), **dict.fromkeys('hc', ('batch', 4))})


# ---- lengths that the graph ties

def mean_by_hand():
    """A module that is right for seven steps alone."""
    return make(S.sum(over(rnn.LSTMCell(4, 'l_'), 7, DATA), axis=1, name='total') / 7,
                {'data': (2, 7, 3)})


@pytest.mark.parametrize('way', ['as it is', 'pickled', 'copied', 'compiled', 'exported', 'traced'])
@pytest.mark.filterwarnings('ignore')
def test_a_module_refuses_another_length_than_the_graph_ties(way):
    module, data = mean_by_hand(), torch.rand(2, 7, 3)
    wanted = module(data)
    module = {'pickled': lambda: pickle.loads(pickle.dumps(module)),
              'copied': lambda: copy.deepcopy(module),
              'compiled': lambda: torch.compile(module, backend='eager'),
              'exported': lambda: torch.export.export(module, (data,), dynamic_shapes=(
                  {0: torch.export.Dim('batch', min=2, max=64)},)).module(),
              'traced': lambda: torch.jit.trace(module, (data,))}.get(way, lambda: module)()
    torch.testing.assert_close(module(data), wanted)
    torch.testing.assert_close(module(data.repeat(2, 1, 1)), wanted.repeat(2, 1))
    with pytest.raises((RuntimeError, AssertionError, ValueError), match=(
            r'data must be \(batch, 7, 3\), got \(2, 9, 3\)|shape.*, 7, |== 7')):
        module(torch.rand(2, 9, 3))


def test_sizes_that_differ_from_what_the_graph_suggests():
    """A typed size of 1 is repeated; sizes with one name are equal."""
    symbol = S.broadcast_mul(DATA, V('mask'))
    model, data = interop.Model(interop.graph_from_json(symbol.tojson()), {}, {}), torch.rand(2, 5)
    for shape, mask in (('batch', 'time'), data), (('batch', 1), data[:, :1]), ((1, 'time'),
                                                                               data[:1]):
        module = interop.to_torch(model, {'data': ('batch', 'time'), 'mask': shape})
        torch.testing.assert_close(module(data, mask), data * mask)
        with pytest.raises(ValueError, match='mask must be|inputs must agree on the size of'):
            module(data, data[:, :4])


def untold():
    """A model whose number of steps the graph does not tell."""
    outputs = over(rnn.FusedRNNCell(4, mode='lstm', prefix='l_'), 7, DATA)
    rows = S.FullyConnected(S.Reshape(outputs, shape=(-1, 4)), num_hidden=5)
    return random_model(S.Reshape(rows, shape=(-1, 7, 5)), {'data': (2, 7, 3)})


def test_an_untold_number_of_steps_is_that_of_the_first_call():
    module = interop.to_torch(untold())
    hooks = []
    module.register_forward_hook(lambda *_: hooks.append(1))
    for each in module, pickle.loads(pickle.dumps(interop.to_torch(untold()))):
        for batch in 2, 3:
            assert each(torch.rand(batch, 7, 3)).shape == (batch, 7, 5)
        with pytest.raises(ValueError, match=r'data must be \(batch, 7, 3\), got \(2, 14, 3\)'):
            each(torch.rand(2, 14, 3))
    assert len(hooks) == 2


@pytest.mark.parametrize('call', [
    lambda module: [*module.parameters()], lambda module: module.state_dict(),
    lambda module: module.load_state_dict({}), lambda module: module.to('cpu'),
    lambda module: module.train(), lambda module: module.loss(), lambda module: module.source])
def test_a_class_that_is_not_made_yet_has_no_parameters(call):
    module = interop.to_torch(untold())
    with pytest.raises(interop.ExportError, match=(
            r"to_torch\(model, \{'data': \('batch', …, 3,\)\}\)\. .*--input data=")):
        call(module)
    assert module.eval().inputs == ['data'] and len(module.outputs) == 1
    assert interop.to_torch(untold(), {'data': ('batch', 7, 3)}).train().training


def test_threads_may_all_be_the_first_to_call():
    module, found = interop.to_torch(untold()), []
    start = threading.Barrier(4)

    def call():
        start.wait()
        found.append(module(torch.rand(2, 7, 3)).shape)
    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(2, 7, 5)] * 4


@pytest.mark.parametrize('shape', [(3, 4), (2, 3, 5, 4)])
def test_data_with_another_number_of_axes_need_it_typed(shape):
    """The first call made another class: an optimiser went on with parameters of the old one."""
    model = random_model(S.FullyConnected(DATA, num_hidden=2, flatten=False), {'data': (2, 3, 4)})
    module, data = interop.to_torch(model), torch.rand(shape)
    own = [*module.parameters()]
    with pytest.raises(ValueError, match=r'data must be \(batch, data_1, 4\), got \((.*)\)\. If .*'
                                         r"to_torch\(model, inputs=\{'data': \(\1\)\}\)"):
        module(data)
    assert all(one is other for one, other in zip(own, module.parameters()))
    module = interop.to_torch(model, {'data': shape})
    assert module(data).shape == (*shape[:-1], 2)
    for name, value in interop.from_torch(module, model).arg_params.items():
        np.testing.assert_array_equal(value, model.arg_params[name])


def test_a_class_is_gone_with_its_instances():
    module = interop.to_torch(unknown('tanh', 'tanh', 'sin'), {'data': (2,)})
    name, file = module.forward.__module__, module.forward.__code__.co_filename
    assert name in sys.modules and file in linecache.cache
    del module
    gc.collect()
    assert name not in sys.modules and file not in linecache.cache


def test_steps_by_mxnets_names():
    model = random_model(over(rnn.LSTMCell(4, 'lstm_'), 5, 'class'), {'class': (2, 5, 3)})
    module, data = interop.to_torch(model, states=True), torch.rand(2, 5, 3)
    states, found = module.begin(2), []
    for begin, end in (0, 2), (2, 5):
        part, states = module.steps(**{'class': data[:, begin:end]}, states=states)
        found.append(part)
    torch.testing.assert_close(torch.cat(found, 1), module(**{'class': data}))
    with pytest.raises(TypeError, match='steps takes class, states, got class'):
        module.steps(data)
    for wrong, got in (None, 'NoneType'), ((), '0'):
        with pytest.raises(TypeError, match=r'the 2 tensors that begin\(batch\) .* got ' + got):
            module.steps(data, wrong)
    with pytest.raises(ValueError, match=r'states\[0\] must be \(1, 2, 4\), got \(1, 3, 4\)'):
        module.steps(data, module.begin(3))
    with pytest.raises(AttributeError, match=r'first states come from begin\(batch\)'):
        module.encode(data)
    for name in 'begin', 'steps', 'encode':
        with pytest.raises(AttributeError, match=name + r' needs states: to_torch\(model, stat'):
            getattr(interop.to_torch(model), name)
    with pytest.raises(AttributeError, match='the graph has no loss'):
        module.loss(data)
