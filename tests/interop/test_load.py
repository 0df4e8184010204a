"""Checkpoints without MXNet: what is read is what MXNet and the cells read, what is written too."""
import json
import os
import shutil
import struct
import tarfile

import numpy as np
import pytest

import mxrnn
from mxrnn import interop

from .. import mx, rnn
from ..cases import CASES, TYPICAL
from ..checkpoints import without_checksum
from ..comparing import same
from ..running import flat, quiet, random_value
from .forms import BOUND, unrolled
from .models import S, V, over

pytestmark = [
    pytest.mark.skipif(rnn is not mxrnn, reason='the checkpoint functions of mxrnn are meant'),
    pytest.mark.filterwarnings('ignore:.*(time-major|not applied in training|deprecated)')]

#: Gates of the cells of programs.
GATES = {'highway_': ('_transform', '_carry')}


def write(cell, step, prefix, form='whole', epoch=3):
    """Save the cell with random weights; the graph, the weights as packed."""
    outputs, states = unrolled(cell, form)
    symbol = S.Group([outputs, *flat(states)])
    shapes = {'data': (2, 3, *step), 'lengths': (2,)}
    arguments, _, _ = symbol.infer_shape(**{
        name: shape for name, shape in shapes.items() if name in symbol.list_arguments()})
    weights = {name: mx.nd.array(random_value(name, shape))
               for name, shape in zip(symbol.list_arguments(), arguments) if name not in shapes}
    rnn.save_rnn_checkpoint(cell, prefix, epoch, symbol, weights, {})
    return symbol, {name: array.asnumpy() for name, array in weights.items()}


def content(*paths):
    result = []
    for path in paths:
        with open(path, 'rb') as stream:
            result.append(without_checksum(stream.read()))
    return result


@pytest.mark.parametrize('case, form', [
    pytest.param(case, form, id='%s-%s' % (case, form),
                 marks=[pytest.mark.nightly] * (case.name not in TYPICAL)) for case in BOUND
    for form in ['whole', 'fuse', 'lengths', 'fuse_lengths', *['loop'] * case.loops]])
def test_weights_are_packed_and_written_as_they_were(case, form, tmp_path):
    cell = quiet(case.make(rnn))
    before = str(tmp_path / 'before')
    symbol, weights = write(cell, case.step, before, form)
    model = interop.load(before, 3, gates=GATES)
    assert same(model.arg_params, weights)
    assert model.graph == interop.graph_from_json(symbol.tojson()) and model.epoch == 3
    interop.save(model, str(tmp_path / 'after'), 3)
    assert content(tmp_path / 'before-0003.params', tmp_path / 'before-symbol.json') == content(
        tmp_path / 'after-0003.params', tmp_path / 'after-symbol.json')


def test_a_vector_saved_as_it_is_gets_its_gates_from_the_graph(tmp_path):
    cell = rnn.FusedRNNCell(3, 2, prefix='a_', params=rnn.RNNParams('enc_'))
    symbol, weights = write(cell, (4,), str(tmp_path / 'm'))
    model = interop.load(str(tmp_path / 'm'))
    interop.save(model, str(tmp_path / 'p'), 1, by_gate=False)
    packed = interop.load(str(tmp_path / 'p'))
    assert not packed.packed
    interop.save(packed, str(tmp_path / 'g'), 3, by_gate=True)
    assert content(tmp_path / 'g-0003.params') == content(tmp_path / 'm-0003.params')


def test_rows_saved_as_they_are_have_no_gates_to_write(tmp_path):
    write(rnn.LSTMCell(3), (4,), str(tmp_path / 'm'))
    model = interop.load(str(tmp_path / 'm'))
    interop.save(model, str(tmp_path / 'p'), 1, by_gate=False)
    with pytest.raises(ValueError, match='unknown for lstm_h2h_weight'):
        interop.save(interop.load(str(tmp_path / 'p')), str(tmp_path / 'g'), 1, by_gate=True)
    assert not (tmp_path / 'g-0001.params').exists()


def test_gates_of_a_program_are_not_guessed(tmp_path):
    case, = [case for case in CASES if case.name == 'own_base']
    write(case.make(rnn), case.step, str(tmp_path / 'm'))
    with pytest.raises(interop.CheckpointError, match=r"gates=\{'highway_'"):
        interop.load(str(tmp_path / 'm'), 3)
    with pytest.raises(interop.CheckpointError, match='is to have the gates _a, _b'):
        interop.load(str(tmp_path / 'm'), 3, gates={'highway_': ['_a', '_b']})
    model = interop.load(str(tmp_path / 'm'), 3, gates=GATES)
    assert model.arg_params['highway_i2h_weight'].shape == (6, 4)


def shared_vector(tmp_path):
    params = rnn.RNNParams('enc_')
    cells = [rnn.FusedRNNCell(3, prefix=prefix, params=params) for prefix in ('a_', 'b_')]
    outputs = [over(cell, 3) for cell in cells]
    vector = random_value('enc_parameters', (4 * 3 * (4 + 3) + 24,)).astype('float32')
    symbol = S.Group(outputs)
    rnn.save_rnn_checkpoint(cells[1], str(tmp_path / 'm'), 1, symbol,
                            {'enc_parameters': mx.nd.array(vector)}, {})
    return vector


def test_one_vector_of_two_cells(tmp_path):
    vector = shared_vector(tmp_path)
    assert same(interop.load(str(tmp_path / 'm')).arg_params, {'enc_parameters': vector})


def test_packed_weights_are_what_other_functions_of_mxnet_take(tmp_path):
    """docs/errors.md says so, and what these say of weights by gate."""
    prefix, packed = str(tmp_path / 'by_gate'), str(tmp_path / 'packed')
    symbol, _ = write(rnn.LSTMCell(4, 'lstm_'), (5,), prefix)
    interop.save(interop.load(prefix), packed, 1, by_gate=False)
    module = mx.mod.Module(symbol, ['data'], None)
    module.bind([('data', (2, 3, 5))], for_training=False)
    with pytest.raises(RuntimeError, match='lstm_h2h_bias is not presented'):
        module.set_params(*mx.model.load_checkpoint(prefix, 3)[1:])
    module.set_params(*mx.model.load_checkpoint(packed, 1)[1:])
    with pytest.raises(AssertionError, match="Parameter 'lstm_i2h_weight' is missing in '?file"):
        mx.gluon.SymbolBlock.imports(prefix + '-symbol.json', ['data'], prefix + '-0003.params')
    mx.gluon.SymbolBlock.imports(packed + '-symbol.json', ['data'], packed + '-0001.params')


def test_arrays_that_fit_in_two_ways_are_refused(tmp_path):
    shared_vector(tmp_path)
    model = interop.load(str(tmp_path / 'm'))
    _, args, _ = mx.model.load_checkpoint(str(tmp_path / 'm'), 1)
    args.update({name.replace('b_', 'a_', 1): array for name, array in args.items()})
    mx.nd.save(str(tmp_path / 'm-0002.params'), {'arg:' + name: array
                                                 for name, array in args.items()})
    with pytest.raises(interop.CheckpointError, match='of several cells'):
        interop.load(str(tmp_path / 'm'), 2)
    assert model.arg_params


@pytest.mark.parametrize('cell, change, said', [
    (rnn.LSTMCell, lambda args: args.pop('lstm_i2h_f_weight'), 'missing lstm_i2h_f_weight'),
    (rnn.FusedRNNCell, lambda args: args.pop('lstm_l0_i2h_f_weight'),
     'missing lstm_l0_i2h_f_weight'),
    (rnn.LSTMCell, lambda args: args.update(lstm_i2h_weight=mx.nd.ones((12, 4))),
     'both lstm_i2h_weight and its gates _c, _f'),
    (rnn.LSTMCell, lambda args: (args.clear(), args.update({'cell.i2h_weight': mx.nd.ones(2)})),
     r'Gluon file, .* such as cell.i2h_weight. .*net.export\(')],
    ids=['missing', 'missing, fused', 'both forms', 'Gluon'])
def test_arrays_that_do_not_fit_the_graph_are_named(cell, change, said, tmp_path):
    write(cell(3), (4,), str(tmp_path / 'm'))
    _, args, _ = mx.model.load_checkpoint(str(tmp_path / 'm'), 3)
    change(args)
    mx.nd.save(str(tmp_path / 'm-0004.params'),
               {name if '.' in name else 'arg:' + name: array for name, array in args.items()})
    with pytest.raises(interop.CheckpointError, match=said):
        interop.load(str(tmp_path / 'm'), 4)


def test_names_with_dots_are_read(tmp_path):
    weights = {'fc.weight': mx.nd.ones((3, 4)), 'fc.bias': mx.nd.zeros((3,))}
    symbol = S.FullyConnected(V('data'), *map(V, weights), num_hidden=3)
    for epoch, args in enumerate([weights, {'un.used': mx.nd.ones(2)}]):
        mx.model.save_checkpoint(str(tmp_path / 'm'), epoch, symbol if epoch == 0 else
                                 S.tanh(V('data')), args, {})
        assert {*interop.load(str(tmp_path / 'm'), epoch).arg_params} == {*args}


@pytest.mark.parametrize('kind', ['row_sparse', 'csr'])
def test_sparse_weights_are_read_if_memory_holds_them(kind, tmp_path):
    weight = mx.nd.array([[0, 0], [1, 2], [0, 0]])
    symbol, sparse = S.dot(V('data'), V('a')), weight.tostype(kind)
    mx.nd.waitall()  # MXNet was seen to write one that it had not computed yet
    mx.model.save_checkpoint(str(tmp_path / 'm'), 1, symbol, {'a': sparse}, {})
    np.testing.assert_array_equal(interop.load(str(tmp_path / 'm'), 1).arg_params['a'],
                                  weight.asnumpy())
    path = tmp_path / 'm-0001.params'
    content, shape = path.read_bytes(), struct.pack('<i2q', 2, 3, 2)
    assert content.count(shape) == 1
    path.write_bytes(content.replace(shape, struct.pack('<i2q', 2, 1 << 61, 2)))
    with pytest.raises(interop.CheckpointError, match='m-0001.params '):
        interop.load(str(tmp_path / 'm'), 1)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(TypeError, match='prefix must be a path'):
        interop.load(3)
    with pytest.raises(ValueError, match='epoch'):
        interop.load(str(tmp_path / 'm'), -1)
    with pytest.raises(TypeError, match='gates must be a dict'):
        interop.load(str(tmp_path / 'm'), 1, gates=['_a'])
    with pytest.raises(ValueError, match='path on this machine'):
        interop.load('s3://bucket/m', 1)
    mx.nd.save(str(tmp_path / 'net-0001.params'), {'cell.i2h_bias': mx.nd.ones(2)})
    with pytest.raises(rnn.CheckpointError, match=r'net-symbol.json: .* Gluon .* net.export\('):
        interop.load(str(tmp_path / 'net'))
    with pytest.raises(TypeError, match='model must be a Model'):
        interop.save('model', str(tmp_path / 'm'), 1)


#: Where the files of epochs 3 and 4 are, by name in a folder, and the epoch that is read.
FOLDERS = {
    'Sockeye': ({'symbol.json': '-symbol.json', 'params.00000': '-0003.params',
                 'params.best': '-0004.params', 'vocab.src.0.json': '-symbol.json'}, None),
    'two epochs': ({'days-symbol.json': '-symbol.json', 'days-0003.params': '-0003.params',
                    'days-0010.params': '-0004.params'}, 10),
    'other names': ({'net-symbol.json': '-symbol.json', 'weights.params': '-0004.params'}, None),
    'two graphs': ({'a-symbol.json': '-symbol.json', 'b-symbol.json': '-symbol.json',
                    'a-0003.params': '-0003.params'}, 'got a-0003.params, a-symbol.json, b-'),
    'two parameters': ({'symbol.json': '-symbol.json', 'a.params': '-0003.params',
                        'b.params': '-0004.params'}, 'got a.params, b.params, symbol.json'),
    'no graph': ({'a.params': '-0003.params'}, 'must have one graph'),
    'nothing': ({}, 'got neither')}


@pytest.mark.parametrize('name', FOLDERS)
@pytest.mark.parametrize('packed', [False, True])
def test_a_folder_or_an_archive_holds_one_model(name, packed, tmp_path):
    weights = [write(rnn.LSTMCell(4, 'lstm_'), (3,), str(tmp_path / 'days'), epoch=epoch)[1]
               for epoch in (3, 4)]
    place = tmp_path / 'model'
    place.mkdir()
    files, wanted = FOLDERS[name]
    for target, end in files.items():
        shutil.copy(str(tmp_path / 'days') + end, place / target)
    if packed:
        with tarfile.open(tmp_path / 'model.tar.gz', 'w:gz') as archive:
            archive.add(place, arcname='.')
        shutil.rmtree(place)
        place = tmp_path / 'model.tar.gz'
    if isinstance(wanted, str):
        remedy = 'Unpack it, and name both' if packed else 'Name both'
        with pytest.raises(rnn.CheckpointError, match=remedy) as caught:
            interop.load(place)
        assert wanted in str(caught.value)
        return
    model = interop.load(place)
    assert model.epoch == wanted and same(model.arg_params, weights[1])
    assert sorted(each.name for each in tmp_path.iterdir() if each.name not in (
        'days-symbol.json', 'days-0003.params', 'days-0004.params')) == [place.name]


@pytest.mark.parametrize('keys', [(10, 9, 3), ((5, 2), (12, 3), (9, 10))], ids=['one', 'two'])
def test_a_bucketing_module_saves_a_graph_for_each_bucket(keys, tmp_path, caplog):
    prefix, cell, steps = str(tmp_path / 'plain'), rnn.GRUCell(4, 'gru_'), [
        key if isinstance(key, int) else key[0] for key in keys]

    def network(key):
        length = key if isinstance(key, int) else key[0]
        return over(cell, length), ('data',), None
    module = mx.mod.BucketingModule(network, keys[0])
    module.bind([('data', (2, steps[0], 3))], None, for_training=False)
    module.init_params()
    for key, length in zip(keys, steps):
        module.switch_bucket(key, [('data', (2, length, 3))], None)
    module.save_checkpoint(prefix, 2)
    largest = str(max(keys)) + '-symbol.json'
    for found in interop.load(prefix), interop.load(prefix, 2):
        assert found.text == (tmp_path / ('plain-' + largest)).read_text(encoding='utf-8')
    symbol = rnn.load_rnn_checkpoint(cell, prefix).symbol
    assert symbol.infer_shape(data=(1, max(steps), 3))[1] == [(1, max(steps), 4)]
    assert len(caplog.messages) == 3 and all(largest in each for each in caplog.messages)
    (tmp_path / 'plain-symbol.json').write_text(network(keys[-1])[0].tojson(), encoding='utf-8')
    assert interop.load(prefix).text != found.text and len(caplog.messages) == 3


def test_names_without_a_kind_are_arguments_or_auxiliary(tmp_path):
    """Wolfram's exports have such, and Gluon's parameters."""
    symbol = S.BatchNorm(V('data'), name='norm')
    values = {name: mx.nd.array(random_value(name, (3,))) for name in (
        'norm_gamma', 'norm_beta', 'norm_moving_mean', 'norm_moving_var')}
    graph, path = tmp_path / 'net.json', tmp_path / 'net.weights'
    symbol.save(str(graph))
    mx.nd.save(str(path), values)
    model = interop.load(symbol=graph, params=path)
    assert same({**model.arg_params, **model.aux_params}, values)
    assert list(model.aux_params) == ['norm_moving_mean', 'norm_moving_var']
    interop.save(model, str(tmp_path / 'again'), 2)
    _, *again = mx.model.load_checkpoint(str(tmp_path / 'again'), 2)
    assert same(again[0], model.arg_params) and same(again[1], model.aux_params)
    mx.nd.save(str(path), {**values, 'arg:norm_beta': values['norm_beta']})
    with pytest.raises(rnn.CheckpointError, match='arg:norm_beta is there twice'):
        interop.load(symbol=graph, params=path)
    for given in ({'prefix': 'net', 'symbol': graph, 'params': path}, {'symbol': graph}, {}):
        with pytest.raises(TypeError):
            interop.load(**given)


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    write(rnn.LSTMCell(3), (4,), str(tmp_path / 'm'))
    before = content(tmp_path / 'm-0003.params', tmp_path / 'm-symbol.json')
    model = interop.load(str(tmp_path / 'm'))
    monkeypatch.setattr(os, 'fsync', lambda descriptor: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(interop.CheckpointError, match='cannot save .*m-0003.params: full'):
        interop.save(model, str(tmp_path / 'm'), 3)
    assert content(tmp_path / 'm-0003.params', tmp_path / 'm-symbol.json') == before
    assert sorted(os.listdir(tmp_path)) == ['m-0003.params', 'm-symbol.json']


@pytest.mark.parametrize('prefix', ['lstm_', 'ä_'])
def test_a_graph_without_its_text_is_written_for_mxnet(prefix, tmp_path):
    outputs, states = rnn.dynamic_unroll(rnn.LSTMCell(3, prefix), V('data'))
    symbol = S.Group([outputs, *states])
    graph = interop.graph_from_json(symbol.tojson())
    interop.save(interop.Model(graph, {'a': np.ones(2, 'float32')}, {}), str(tmp_path / 'm'), 1)
    again, _, _ = mx.model.load_checkpoint(str(tmp_path / 'm'), 1)
    assert json.loads(again.tojson()) == json.loads(symbol.tojson())


def test_what_load_returns_is_shown_in_a_line():
    graph = interop.graph_from_json('''{"nodes": [
        {"op": "null", "name": "data", "inputs": []}, {"op": "null", "name": "a", "inputs": []},
        {"op": "elemwise_add", "name": "b", "inputs": [[0, 0], [1, 0]]}], "heads": [[2, 0]]}''')
    model = interop.Model(graph, {'a': np.zeros(3, 'float32')}, {}, 4)
    assert repr(model) == 'Model(epoch 4, inputs data, outputs b_output, 1 parameters)'
    assert repr(graph) == 'Graph(3 nodes, outputs b_output)'
