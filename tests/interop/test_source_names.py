"""Names and attributes of strangers in a generated source: they are text, and nothing runs."""
import ast
import json

import numpy as np
import pytest

from mxrnn import interop

from .. import ours, rnn
from .compare import torch
from .models import S, V, over, random_model
from .sources import generate, outputs

from mxrnn.interop.run.evaluator import evaluate, variables  # noqa: E402  isort: skip

pytestmark = ours

#: What a file may call something to break out of the place where its name stands.
HOSTILE = [
    '', ' ', '_', '__', '0', '9lives', 'class', 'None', 'True', 'print', 'self', 'super', 'torch',
    'nn', 'F', 'Model', 'Tensor', 'forward', 'loss', 'step', 'train', 'training', 'eval', 'to',
    'parameters', 'buffers', 'state_dict', 'load_state_dict', 'register_buffer', '_parameters',
    '__init__', '__class__', '__dict__', '__call__', 'T_destination', 'x', 'data', 'label', 'match',
    'a.b', 'a/b', 'a b', 'a-b', 'a\nimport os', 'a\r\nb', "'", '"', '"""', "'''", '\\', '\\"""',
    '"""\nimport os\nos.system("x")\n"""', '{0}', '%s', '#', 'a # b', '\x00', '\u202e', '\u2028',
    'é', 'ſ', 'ﬁ', '变量', '\ud800', 'x' * 300, 'lstm_l0_', 'lstm.l0', 'weight', 'bias', 'lambda',
]


ROLES = ('data', 'embed_weight', 'embed', 'rnn', 'weights', 'begin', 'cell', 'fc', 'fc_weight',
         'fc_bias', 'act')


VARIABLES = ('data', 'embed_weight', 'weights', 'fc_weight', 'fc_bias')


def named(names):
    """A small language model whose nodes have the names."""
    words, width, units = 5, 3, 2
    nodes, at = [], {}

    def put(role, op='null', inputs=(), **attrs):
        at[role] = len(nodes)
        nodes.append({'op': op, 'name': names[role], 'attrs': attrs,
                      'inputs': [[at[each], 0, 0] for each in inputs]})
    put('data')
    put('embed_weight')
    put('embed', 'Embedding', ('data', 'embed_weight'), input_dim=str(words), output_dim=str(width))
    put('weights')
    put('begin', '_zeros', shape='(1, 0, %d)' % units)
    put('rnn', 'RNN', ('embed', 'weights', 'begin'), mode='gru', num_layers='1',
        state_size=str(units))
    put('fc_weight')
    put('fc_bias')
    put('fc', 'FullyConnected', ('rnn', 'fc_weight', 'fc_bias'), num_hidden='4', flatten='False')
    put('act', 'Activation', ('fc',), act_type='tanh')
    put('cell', '_copy', ('act',))
    graph = interop.graph_from_json(json.dumps({
        'nodes': nodes, 'heads': [[at['cell'], 0, 0]],
        'arg_nodes': [i for i, node in enumerate(nodes) if node['op'] == 'null']}))
    random = np.random.RandomState(0)
    shapes = {'embed_weight': (words, width), 'weights': (3 * units * (width + units + 2),),
              'fc_weight': (4, units), 'fc_bias': (4,)}
    return interop.Model(graph, {names[role]: random.uniform(-1, 1, shape).astype('float32')
                                 for role, shape in shapes.items()}, {})


def check_text(text):
    """A text that imports torch alone, and does nothing but define."""
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {'__future__', 'math', 'torch', 'torch.nn', 'torch.nn.functional', 'typing'}
    # Nothing stands at the top but imports, a docstring, helpers and the class.
    assert all(isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
               or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
               or isinstance(node, (ast.Assign, ast.AnnAssign)) for node in tree.body)
    assert all(char.isprintable() or char == '\n' for char in text)


def check(names):
    model = named(names)
    source = generate(model, {names['data']: ('time', 'batch')})
    module = interop.to_torch(model, {names['data']: ('time', 'batch')})
    check_text(source.text)
    check_text(module.source)
    data = np.array([[0, 4, 2], [1, 3, 0], [2, 2, 1], [4, 0, 0.]], 'float32')
    expected, = evaluate(model.graph, {**variables(model), names['data']: torch.tensor(data)})
    found, = outputs(source, {names['data']: data})
    for each in found, module(torch.tensor(data)):
        torch.testing.assert_close(each.detach(), expected, rtol=1e-6, atol=1e-6)
    assert module.inputs == [names['data']]


@pytest.mark.parametrize('name', HOSTILE, ids=ascii)
def test_one_name_for_all_nodes_that_may_share_it(name):
    """Operators may have one name; variables have names of their own."""
    names = dict(zip(ROLES, ROLES))
    for role in set(ROLES) - set(VARIABLES):
        names[role] = name
    for i, role in enumerate(VARIABLES):
        names[role] = name + '_' * i
    check(names)


@pytest.mark.parametrize('name', HOSTILE, ids=ascii)
def test_a_node_that_ties_an_axis_is_named_safely(name):
    """Its name stood in the docstring as it is, where it could end it."""
    words = S.Embedding(V('data'), input_dim=7, output_dim=3)
    model = random_model(S.FullyConnected(S.reshape(
        over(rnn.GRUCell(3, 'g_'), 6, words), (24, 3), name='tie'), num_hidden=2), {'data': (4, 6)})
    text = generate(model._replace(graph=model.graph._replace(nodes=tuple([
        node._replace(name=name if node.name == 'tie' else node.name)
        for node in model.graph.nodes])))).text
    assert 'Batch: 4, since' in text
    code = ast.parse(text).body[1:]  # a name that ended the docstring would be called or import
    assert not any(isinstance(node, ast.Expr) for node in code)
    assert "Import(names=[alias(name='os')])" not in map(ast.dump, code)


@pytest.mark.parametrize('role', VARIABLES)
@pytest.mark.parametrize('name', ['self', 'training'])
def test_names_that_python_and_torch_use(role, name):
    names = dict(zip(ROLES, ROLES))
    names[role] = name
    check(names)
