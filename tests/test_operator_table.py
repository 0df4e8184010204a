"""The table of operators against the registry of MXNet 1.9.1."""
import ast
import ctypes
import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import mxrnn
from mxrnn import mx
from mxrnn._graph import attributes
from mxrnn._graph.attributes import REQUIRED, AttributeValueError
from mxrnn._graph.graph import Entry, Node
from mxrnn._graph.operator_rows import ROWS, WITHOUT_MEANING, add, check_attributes
from mxrnn._graph.operator_table import canonical
from mxrnn._graph.shapes.infer import axes_of
from mxrnn.interop import graph_from_json

from . import needs_operator

pytestmark = needs_operator

#: Rows that the registry of the build for CPUs does not have, or not as the operator is.
ELSEWHERE = {'CuDNNBatchNorm', 'WarpCTC'}
#: MXNet's registry shows attributes of another operator; its auxiliary states it does not show.
NOT_SHOWN = {'_linspace': ['attributes'], 'BatchNorm_v1': ['inputs'],
             '_CrossDeviceCopy': ['inputs'], 'IdentityAttachKLSparseReg': ['inputs']}


@functools.lru_cache(None)
def registry():
    """For each operator: names and types of what it takes, and its name by all of its names."""
    from mxnet.base import _LIB, check_call
    count, texts = ctypes.c_uint(), ctypes.POINTER(ctypes.c_char_p)
    names = texts()
    check_call(_LIB.MXListAllOpNames(ctypes.byref(count), ctypes.byref(names)))
    found, known = {}, {}
    for name in [names[i].decode() for i in range(count.value)]:
        handle, number = ctypes.c_void_p(), ctypes.c_uint()
        check_call(_LIB.NNGetOpHandle(name.encode(), ctypes.byref(handle)))
        true, text, result = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.c_char_p()
        keys, types, notes = texts(), texts(), texts()
        check_call(_LIB.NNGetOpInfo(handle, *map(ctypes.byref, (
            true, text, number, keys, types, notes, result))))
        known[name] = true.value.decode()
        found[known[name]] = [(keys[i].decode(), types[i].decode()) for i in range(number.value)]
    return found, known


def rows(*left_out):
    return [name for name in sorted(ROWS) if name not in ELSEWHERE
            and not set(left_out) & set(NOT_SHOWN.get(name, ()))]


def is_input(kind):
    return 'NDArray' in kind or 'Symbol' in kind


@pytest.mark.parametrize('name', rows('inputs'))
def test_inputs(name):
    row, shown = ROWS[name], [each for each in registry()[0][name] if is_input(each[1])]
    names = [each for each, kind in shown if kind != 'Symbol']
    assert row.bodies == len(shown) - len(names)
    assert [each.name for each in row.inputs] == names
    assert row.variadic == any('[]' in kind for _, kind in shown)
    auxiliary = {row.inputs[at].name for at in row.positions('aux')}
    assert auxiliary == {each for each in names if each.startswith('moving_')}


#: The kinds of attributes of the table by how the registry calls them.
KINDS = {'int': 'Int', 'int (non-negative)': 'Int', 'long': 'Int', 'float': 'Float',
         'double': 'Double', 'boolean': 'Bool', 'string': 'Text', 'Shape(tuple)': 'Shape',
         'Shape': 'Shape', 'tuple of <long>': 'Shape'}


def shown_kind(text):
    """Of the registry's text: the kind's name, or its words; whether it may be None; the default,
    REQUIRED without one."""
    found = re.fullmatch(r'(\{[^}]*\}|[^,]*?)( or None)?(, ?(required|optional, default=(.*)))?',
                         text)
    kind, none, default = found.group(1), bool(found.group(2)), found.group(5)
    if kind.startswith('{'):
        words = [word.strip("'") for word in kind[1:-1].split(', ')]
        none = none or 'None' in words
        kind = sorted(set(words) - {'None'})
    else:
        kind = KINDS[kind]
    if default is None:
        return kind, none, REQUIRED
    return kind, none or default.strip("'") == 'None', default.strip("'")


@pytest.mark.parametrize('name', rows('attributes'))
def test_attributes(name):
    shown = {key: kind for key, kind in registry()[0][name]
             if not is_input(kind) and key not in WITHOUT_MEANING}
    if name == 'smooth_l1':  # its default is not shown
        shown = {'scalar': 'double, optional, default=1'}
    if name == 'add_n':
        shown = {'num_args': 'int, required'}
    assert set(ROWS[name].attributes) == set(shown)
    for key, ours in ROWS[name].attributes.items():
        kind, none, default = shown_kind(shown[key])
        if isinstance(kind, list):
            assert ours.kind == 'one of ' + ours.kind[len('one of '):]
            assert sorted(ours.kind[len('one of '):].split(', ')) == kind, key
        else:
            expected = getattr(attributes, kind)().kind
            assert ours.kind == expected or (kind, ours.kind) == ('Shape', attributes.Slots().kind)
        assert ours.none == none or (ours.kind == attributes.Shape().kind), key
        if default is REQUIRED:
            assert ours.default is REQUIRED, key
        elif default == 'None':
            assert ours.default is None, key
        else:
            assert ours.default == ours.read(default), key


def test_old_names():
    """All names that MXNet has for the operators of the table, other than for its NumPy."""
    wrong = {name: canonical(name) for name, true in registry()[1].items()
             if true in ROWS and canonical(name) != true and not name.startswith('_np')}
    assert wrong == {}


def one_node(op, attrs, inputs, output=0):
    nodes = [{'op': 'null', 'name': 'd%d' % i, 'inputs': []} for i in range(inputs)]
    nodes.append({'op': op, 'name': 'x', 'attrs': attrs,
                  'inputs': [[i, 0, 0] for i in range(inputs)]})
    return json.dumps({'nodes': nodes, 'arg_nodes': list(range(inputs)),
                       'heads': [[inputs, output, 0]],
                       'attrs': {'mxnet_version': ['int', 10901]}})


#: Attributes with which operators have more outputs than one.
SEVERAL = {'LeakyReLU': {'act_type': 'rrelu'}, 'SliceChannel': {'num_outputs': '3'},
           'amp_multicast': {'num_outputs': '2'}, 'topk': {'ret_typ': 'both'},
           '_split_v2': {'indices': '(0, 2)'}, '_sample_multinomial': {'get_prob': '1'}}
RNNS = [{'mode': mode, 'state_outputs': states, 'state_size': '2', 'num_layers': '1'}
        for mode in ('lstm', 'gru', 'rnn_tanh') for states in ('0', 'true')]
#: Attributes for the operators that need some.
NEEDED = {'num_args': '2', 'kernel': '(1, 1)', 'shape': '(2,)', 'pad_width': '(0, 0)',
          'sample_type': 'nearest', 'key': 'k', 'mode': 'constant', 'dtype': 'float32',
          'act_type': 'relu', 'indices': '(0,)', 'transform_type': 'affine',
          'sampler_type': 'bilinear', 'num_outputs': '2'}


def given(name):
    needed = {key: NEEDED.get(key, '1') for key, each in ROWS[name].attributes.items()
              if each.default is REQUIRED}
    if name == '_contrib_SyncBatchNorm':
        needed['key'] = 'k'
    return needed


@pytest.mark.parametrize('name, attrs', [
    pytest.param(name, {**given(name), **more}, id=name + '-several' * bool(more))
    for name in rows() if name not in ('_foreach', '_while_loop', '_cond')
    for more in (RNNS if name == 'RNN' else [{}] + [SEVERAL[each] for each in SEVERAL
                                                    if each == name])])
def test_outputs(name, attrs):
    """Their number and their names."""
    row = ROWS[name]
    inputs = 2 if row.variadic else len(row.inputs)
    if name == 'RNN':
        inputs = 4 if attrs['mode'] == 'lstm' else 3
    elif name.startswith('Pooling'):
        attrs = {'kernel': '(1, 1)'}
    elif name == 'LeakyReLU':
        inputs = 1
    elif name in ('FullyConnected', 'Convolution', 'Convolution_v1', 'Deconvolution'):
        attrs = {**attrs, 'no_bias': '0'}
    elif row.positions('length'):
        inputs -= len(row.positions('length'))
    node = graph_from_json(one_node(name, attrs, inputs)).nodes[-1]
    rows = json.loads(mx.sym.load_json(one_node(name, attrs, inputs)).tojson())['node_row_ptr']
    hidden = 1 if name.startswith('Pooling') else 0  # MKL-DNN's own
    assert node.num_outputs in (rows[-1] - rows[-2] - hidden, rows[-1] - rows[-2])
    for output in range(node.num_outputs):
        text = one_node(name, attrs, inputs, output)
        assert graph_from_json(text).outputs == mx.sym.load_json(text).list_outputs()


# ---- texts

#: An operator for each kind, what it takes, and the shape that it is given.
PROBES = {
    'Int': ('expand_dims', 'axis', {}), 'Double': ('_plus_scalar', 'scalar', {}),
    'Float': ('clip', 'a_min', {'a_max': '9'}), 'Bool': ('mean', 'keepdims', {'axis': '1'}),
    'Shape': ('reverse', 'axis', {}), 'Slots': ('slice', 'begin', {'end': '(2, 3)'}),
    'Int or None': ('argmax', 'axis', {}), 'Shape or None': ('sum', 'axis', {}),
    'Choice': ('Activation', 'act_type', {}), 'Choice or None': ('softmax', 'dtype', {}),
}
INTS = ['1', '-1', ' 1 ', '+1', '01', '1.0', '1e0', 'True', 'None', '', '0x1', '(1,)', '1 2', '1,']
NUMBERS = ['1', '1.5', '1e-3', 'inf', '-inf', 'INF', 'nan', '1f', '1.5L', 'None', 'True', '',
           ' 1.5 ', '1,5', '0x1p3', '+1.5', '.5', '5.', 'infinity', '1_0', '3F']
TUPLES = ['(0,1)', '[0,1]', '(0L, 1L)', '0,1', '(0, 1,)', '( 0 , 1 )', ' (0,1)', '(0,1) ',
          '(0 1)', '(1.0,0)', '{0,1}', '(True,0)', '((0,1))', '(0,1L', '(1,,0)', '(,1)', '']
TEXTS = {
    'Int': INTS, 'Int or None': INTS, 'Double': [*NUMBERS, '1e400', '1e-400'],
    'Float': [*NUMBERS, '1e39', '-1e39', '1e-50'],
    'Bool': ['1', '0', 'True', 'true', 'TRUE', 'False', 'false', 'T', 'None', '', ' True', '2',
             'yes', '1.0'],
    'Shape': [*TUPLES, '(1)', '1', '(1,)'], 'Slots': [*TUPLES, '(1,None)', '(None, 2)'],
    'Shape or None': [*TUPLES, '1', '(1)', '()', '[]', 'None', '(1,None)'],
    'Choice': ['tanh', ' tanh', 'Tanh', 'tanh ', '', 'None', "'tanh'"],
    'Choice or None': ['float64', 'None', '', 'float', 'none'],
}


@pytest.mark.parametrize('kind, text', [(kind, text) for kind in TEXTS for text in TEXTS[kind]])
def test_texts_are_read_as_mxnet_reads_them(kind, text):
    op, key, others = PROBES[kind]
    data = mx.nd.arange(6).reshape((2, 3))
    node = Node(op, 'x', {**others, key: text}, (Entry(0, 0),))

    def run(text):
        symbol = mx.sym.load_json(one_node(op, {**others, key: text}, 1))
        return symbol.bind(mx.cpu(), {'d0': data}).forward()[0].asnumpy()

    try:
        wanted = run(text)
    except (mx.base.MXNetError, ValueError):
        with pytest.raises(AttributeValueError, match='^x, %s: %s must be' % (op, key)):
            check_attributes(node)
    else:  # what we read, written plainly, means the same
        value = getattr(node, key)
        np.testing.assert_array_equal(run(str(value)), wanted)


def test_attributes_that_an_operator_does_not_have():
    data = (Entry(0, 0),)
    check_attributes(Node('sum', 'x', {'__note__': '1', 'ctx': 'cpu(0)'}, data))
    check_attributes(Node('sin', 'x', {'axis': '1'}, data))  # MXNet reads none of its attributes
    with pytest.raises(AttributeValueError, match='x, sum: has no attribute axes, only axis'):
        check_attributes(Node('sum', 'x', {'axes': '1'}, data))
    with pytest.raises(AttributeValueError, match='x, expand_dims: axis must be given: an int'):
        check_attributes(Node('expand_dims', 'x', {}, data))
    with pytest.raises(AttributeError, match='has no attribute axis'):
        _ = Node('sin', 'x', {'axis': '1'}, ()).axis


def test_two_rows_of_one_operator_are_refused():
    for names in ('Concat', 'concat', 'own_operator=split'):
        with pytest.raises(ValueError, match='has a row already'):
            add(names, 'data')
    assert 'own_operator' not in ROWS


def test_converters_read_what_operators_have():
    """Each attribute of a node that the back ends name is one of some row."""
    known = {key for row in ROWS.values() for key in row.attributes} | set(dir(Node))
    folder = Path(mxrnn.__file__).parent / 'interop'
    read = {each.attr for path in folder.rglob('*.py')
            for each in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name)
            and each.value.id == 'node'}
    assert read - known == set()


@pytest.mark.parametrize('text, size', [('TRUE', 3), ('0', 5), ('False', 5)])
def test_rules_read_attributes_as_the_table_does(text, size):
    node = Node('sum', 'total', {'axis': '0', 'exclude': text}, (Entry(0, 0),))
    assert axes_of(node, [[(3,), (5,)]]) == [[(size,)]]
