"""The reader of symbol files: what it gives is what MXNet gives, and damage is refused."""
import copy
import json

import pytest

from mxrnn._files import CheckpointError
from mxrnn._graph.symbol_json import read_graph
from mxrnn.interop import Node, attr_value, graph_from_json

from .. import rnn
from .models import S, V, over
from .operator_cases import OPS, each_name
from .programs import PROGRAMS

DATA = V('data')

#: Operators that are no case of a back end, or whose states are outputs.
FURTHER = {
    'rnn': lambda: S.RNN(DATA, state_size=3, num_layers=1, mode='gru', name='x'),
    'rnn_states': lambda: S.RNN(DATA, state_size=3, num_layers=1, mode='rnn_tanh',
                                state_outputs=True, name='x'),
    'lstm_states': lambda: S.RNN(DATA, state_size=3, num_layers=1, mode='lstm', state_outputs=True,
                                 name='x'),
    'multinomial': lambda: S.sample_multinomial(DATA, get_prob=True, name='x'),
    'kl_reg': lambda: S.IdentityAttachKLSparseReg(DATA, name='x')}
OPERATORS = {**FURTHER, **{name: op.build for name, op in OPS.items()}}


def like_mxnet(symbol):
    graph = graph_from_json(symbol.tojson())
    assert graph.arguments == symbol.list_arguments()
    assert graph.auxiliary == symbol.list_auxiliary_states()
    assert graph.outputs == symbol.list_outputs()
    return graph


@each_name(OPERATORS)
def test_names_are_those_of_mxnet(name):
    like_mxnet(S.Group(list(OPERATORS[name]())))


@pytest.mark.parametrize('text, value', [
    ('(2L, 3L)', (2, 3)), ('[0, 1]', (0, 1)), ('()', ()), ('(3,)', (3,)), ('1e-05', 1e-5),
    ('-1', -1), ('True', True), ('None', None), ('tanh', 'tanh'), ('', ''), ('0.5', .5),
    ('inf', float('inf')), ('float32', 'float32'), ('(1, None)', (1, None)), ('(', '('),
    ('3 hands', '3 hands'), ('["lstmbias", {"forget_bias": 1.0}]',
                             ('lstmbias', {'forget_bias': 1.0}))])
def test_attributes_are_read_as_values(text, value):
    result = attr_value(text)
    assert result == value and type(result) is type(value)


def test_notes_of_programs_without_underscores():
    text = json.dumps({'nodes': [{'op': 'null', 'name': 'a', 'attr': {'lr_mult': '0.1'},
                                  'inputs': []}], 'arg_nodes': [0], 'heads': [[0, 0]]})
    node, = graph_from_json(text).nodes
    assert node.attrs == {'__lr_mult__': '0.1'} and node.is_variable


@pytest.mark.parametrize('old, new', [
    ('_Plus', 'elemwise_add'), ('_PlusScalar', '_plus_scalar'), ('Softmax', 'SoftmaxOutput'),
    ('_GreaterEqualScalar', '_greater_equal_scalar'), ('_Maximum', '_maximum'),
    ('_own_layer', '_own_layer'), ('_sparse_dot', 'dot'), ('_sparse_retain', '_sparse_retain'),
    ('_sparse_concat', 'Concat'), ('_npi_cumsum', '_np_cumsum'),
    ('_sample_categorical', '_sample_multinomial')])
def test_old_names_of_operators(old, new):
    text = json.dumps({'nodes': [{'op': old, 'name': 'x', 'inputs': []}], 'heads': [[0, 0]]})
    assert graph_from_json(text).nodes[0].op == new


@pytest.mark.parametrize('name', ['rnn_with_norms_of_2016', 'crnn_of_three_axes',
                                  'lstm_of_scala', 'graph_of_r'])
def test_json_of_0_8_is_upgraded_as_mxnet_does(name):
    """It has no auxiliary states, pairs for entries, and no version."""
    symbol = PROGRAMS[name].build()
    content = json.loads(symbol.tojson())
    kept = [place for place, node in enumerate(content['nodes'])
            if node['name'] not in symbol.list_auxiliary_states()]
    places = {place: at for at, place in enumerate(kept)}

    def pairs(entries):
        return [[places[place], output] for place, output, _ in entries if place in places]
    old = {'nodes': [{
        'op': node['op'], 'name': node['name'], 'inputs': pairs(node['inputs']),
        'param': {} if node['op'] == 'null' else node.get('attrs', {}),
        'backward_source_id': -1} for node in map(content['nodes'].__getitem__, kept)],
        'arg_nodes': [places[place] for place in content['arg_nodes'] if place in places],
        'heads': pairs(content['heads'])}
    graph, theirs = graph_from_json(json.dumps(old)), S.load_json(json.dumps(old))
    assert graph.arguments == theirs.list_arguments() == symbol.list_arguments()
    assert graph.auxiliary == theirs.list_auxiliary_states() == symbol.list_auxiliary_states()
    assert graph.outputs == theirs.list_outputs()
    wanted = graph_from_json(symbol.tojson())

    def read(graph):
        return {node.name: [graph.nodes[entry.node].name for entry in node.inputs]
                for node in graph.nodes}
    assert read(graph) == read(wanted)


DAMAGE = {
    'no JSON': lambda g: '{',
    'nodes is a number': lambda g: g.update(nodes=3),
    'a head that is no pair': lambda g: g['heads'].append([0]),
    'a node that is a number': lambda g: g['nodes'].insert(0, 7),
    'a node without an operator': lambda g: g['nodes'][-1].pop('op'),
    'an attribute that is no text': lambda g: g['nodes'][-1].update(attrs={'a': 3}),
    'a variable with inputs': lambda g: [node for node in g['nodes'] if node['op'] == 'null'][
        -1].update(inputs=[[0, 0, 0]]),
    'rows that are a number': lambda g: g.update(node_row_ptr=5),
    'a subgraph that is a number': lambda g: g['nodes'][-1].update(subgraphs=[3]),
    'a loop without a body': lambda g: g['nodes'][-1].update(op='_foreach', attrs={
        'num_args': '1', 'num_outputs': '1', 'num_out_data': '1', 'in_state_locs': '()',
        'in_data_locs': '(0,)', 'remain_locs': '()'}),
    'a body in what is no loop': lambda g: g['nodes'][-1].update(subgraphs=[copy.deepcopy(g)]),
    'more outputs than there can be': lambda g: g['nodes'][-1].update(
        op='SliceChannel', attrs={'num_outputs': '100000000'}),
    'rows of more outputs than there can be': lambda g: (
        g['nodes'][-1].update(op='_own'), g.update(node_row_ptr=[*g['node_row_ptr'][:-1], 10**8])),
    'an output of more than there can be': lambda g: (
        g['nodes'][-1].update(op='_own'), g['heads'].append([len(g['nodes']) - 1, 10**8, 0])),
    'outputs that are none': lambda g: g['nodes'][-1].update(
        op='SliceChannel', attrs={'num_outputs': '0'}),
    'outputs that are no number': lambda g: g['nodes'][-1].update(
        op='SliceChannel', attrs={'num_outputs': 'many'}),
}


@pytest.mark.parametrize('what', DAMAGE)
def test_damage_is_refused(what):
    content = json.loads(over(rnn.LSTMCell(3), 2, DATA).tojson())
    changed = copy.deepcopy(content)
    other = DAMAGE[what](changed)
    text = other if isinstance(other, str) else json.dumps(changed)
    with pytest.raises(ValueError):
        graph_from_json(text)


def test_limits_are_where_they_are_said_to_be():
    """The most outputs, the deepest loops, the last output and the last node."""
    def text(outputs, output, op='SliceChannel', depth=0):
        node = {'op': op, 'name': 'x', 'attrs': {'num_outputs': str(outputs)},
                'inputs': [[0, 0, 0]]}
        body = {'nodes': [{'op': 'null', 'name': 'a', 'inputs': []}, node], 'heads': [[1, output]]}
        loop = {'num_args': '0', 'num_outputs': '1', 'num_out_data': '1', 'in_state_locs': '()',
                'in_data_locs': '()', 'remain_locs': '()'}
        for _ in range(depth):
            body = {'nodes': [{'op': '_foreach', 'name': 'f', 'attrs': loop, 'inputs': [],
                               'subgraphs': [body]}], 'heads': [[0, 0]]}
        return json.dumps(body)

    most = (1 << 20) - 1  # and one of the variable
    assert graph_from_json(text(most, most - 1)).nodes[1].num_outputs == most
    assert graph_from_json(text(3, 2)).outputs == ['x_output2']
    assert len(list(graph_from_json(text(1, 0, depth=20)).walk())) == 22
    for wrong, match in ((text(most + 1, 0), 'its nodes have 1048577 outputs'),
                         (text(3, 3), 'output 3 of node 1, which has fewer'),
                         (text(1, 0, depth=21), 'nested more than 20 deep')):
        with pytest.raises(ValueError, match=match):
            graph_from_json(wrong)
    # Of an operator that is not known here a file need not say how many outputs it has.
    assert graph_from_json(text(1, 7, '_own')).outputs == ['x_output7']


@pytest.mark.parametrize('text, said', [
    ('', 'is not JSON: Expecting value: line 1 column 1 (char 0)'), ('{"arg": 1}', 'has no nodes')])
def test_a_text_that_is_no_graph_is_refused_in_a_sentence(text, said, tmp_path):
    """The function's message had no subject: 'no graph such as PREFIX-symbol.json, or damaged'."""
    said += '. It is either damaged or not a graph such as PREFIX-symbol.json'
    with pytest.raises(ValueError) as error:
        graph_from_json(text)
    assert str(error.value) == 'text ' + said
    path = tmp_path / 'bad-symbol.json'
    path.write_text(text)
    with pytest.raises(CheckpointError) as error:
        read_graph(str(path))
    assert str(error.value) == '%s %s' % (path, said)


def test_deep_nesting_is_refused():
    with pytest.raises(ValueError, match='nested'):
        graph_from_json('[' * 100000)


@pytest.mark.parametrize('names, error, match', [
    (['other'], ValueError,
     'must name softmax_output, or inner nodes, such as hidden_output, got other'),
    (['hidden'], ValueError, 'or inner nodes, got hidden: did you mean hidden_output'),
    (['hiden_output'], ValueError, 'such as hidden_output.*, got hiden_output'),
    ([], ValueError, 'got none'), ('softmax_output', TypeError, 'a list of names'),
    ([0], TypeError, 'a list of names')])
def test_select_of_no_output(names, error, match):
    symbol = S.SoftmaxOutput(S.FullyConnected(DATA, num_hidden=4, name='hidden'), name='softmax')
    with pytest.raises(error, match=match):
        graph_from_json(symbol.tojson()).select(names)


@pytest.mark.parametrize('op', ['_zeros', '_ones', '_full', '_zeros_without_dtype'])
def test_sizes_that_mxnet_2_leaves_open_are_not_told(op):
    assert Node(op, 'x', {'shape': '(-1, 4)'}, ()).shape == (0, 4)
