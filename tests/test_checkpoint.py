"""Checkpoints: the original's files, never half of one, readable by every kind of cell."""
from __future__ import annotations

import logging

import numpy as np
import pytest

from . import mx, rnn
from .cases import each_bound, random_value

CELLS = {
    'fused': lambda: rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='lstm_'),
    'unfused': lambda: rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='lstm_').unfuse(),
}


def network(cell, length=3):
    """A classifier of each step over the cell, with a parameter of every kind."""
    with mx.name.NameManager():
        data = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=7, output_dim=4, name='embed')
        outputs, _ = cell.unroll(length, data, layout='NTC', merge_outputs=True)
        hidden = mx.sym.BatchNorm(mx.sym.Reshape(outputs, shape=(-3, -2)), name='norm')
        label = mx.sym.Reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
        hidden = mx.sym.FullyConnected(hidden, num_hidden=7, name='output')
        return mx.sym.SoftmaxOutput(hidden, label, name='softmax')


def parameters(symbol, seed=0, **shapes):
    """Random parameters and auxiliary states, by name."""
    shapes = shapes or {'data': (2, 3), 'softmax_label': (2, 3)}
    arguments, _, auxiliary = symbol.infer_shape(**shapes)

    def values(names, sizes):  # positive, for there is a variance among them
        return {name: mx.nd.array(abs(random_value(name, size, seed)))
                for name, size in zip(names, sizes) if name not in shapes}
    return (values(symbol.list_arguments(), arguments),
            values(symbol.list_auxiliary_states(), auxiliary))


def content(folder):
    """Bytes of each file of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same(ours, theirs):
    """Whether two dictionaries of arrays have the same names, types and elements."""
    return sorted(ours) == sorted(theirs) and all(
        ours[name].dtype == theirs[name].dtype and ours[name].shape == theirs[name].shape
        and np.array_equal(ours[name].asnumpy(), theirs[name].asnumpy()) for name in ours)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of epoch 1: (cell, prefix, symbol, arg_params, aux_params)."""
    cell = CELLS['fused']()
    symbol = network(cell)
    params = parameters(symbol)
    rnn.save_rnn_checkpoint(cell, str(tmp_path / 'model'), 1, symbol, *params)
    return (cell, str(tmp_path / 'model'), symbol) + params


# ---- the files of the original

@each_bound
def test_files_are_those_of_the_original(case, tmp_path):
    original = pytest.importorskip('mxnet.rnn')
    cells = {}
    for name, module in (('ours', rnn), ('theirs', original)):
        (tmp_path / name).mkdir()
        prefix = str(tmp_path / name / 'model')
        with mx.name.NameManager():
            cells[name] = cell = case.make(module)
            outputs, _ = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
        params = parameters(outputs, data=(2, 2) + case.step)
        try:
            module.save_rnn_checkpoint(cell, prefix, 12, outputs, *params)
        except KeyError:  # the names of shared weights are not those that the cell asks for
            cells[name] = None
    assert (cells['ours'] is None) == (cells['theirs'] is None)
    assert content(tmp_path / 'ours') == content(tmp_path / 'theirs')
    if cells['ours'] is not None:
        ours = rnn.load_rnn_checkpoint(cells['ours'], str(tmp_path / 'theirs' / 'model'), 12)
        theirs = original.load_rnn_checkpoint(cells['theirs'], prefix, 12)
        assert ours[0].tojson() == theirs[0].tojson()
        assert list(ours[1]) == list(theirs[1]) and list(ours[2]) == list(theirs[2])
        assert same(ours[1], theirs[1]) and same(ours[2], theirs[2])


@pytest.mark.parametrize('both', [False, True])
@pytest.mark.parametrize('layers', [1, 2, 3])
@pytest.mark.parametrize('mode', ['rnn_relu', 'rnn_tanh', 'lstm', 'gru'])
def test_fused_to_unfused_to_fused(mode, layers, both, tmp_path):
    def make(kind):
        fused = rnn.FusedRNNCell(3, layers, mode, both, prefix='net_')
        return fused if kind == 'fused' else fused.unfuse()

    def run(kind, params):
        symbol = network(make(kind))
        shapes = {'data': (2, 3), 'softmax_label': (2, 3)}
        bound = symbol.simple_bind(mx.cpu(), grad_req='null', **shapes)
        bound.copy_params_from(*params)
        bound.arg_dict['data'][:] = [[0, 1, 2], [3, 6, 5]]
        return symbol, bound.forward(is_train=False)[0].asnumpy()

    params = parameters(network(make('fused')))
    outputs, files = [], []
    for step, kind in enumerate(['fused', 'unfused', 'fused']):
        symbol, output = run(kind, params)
        outputs.append(output)
        prefix = str(tmp_path / ('step%d' % step))
        rnn.save_rnn_checkpoint(make(kind), prefix, 0, symbol, *params)
        files.append((tmp_path / ('step%d-0000.params' % step)).read_bytes())
        if step < 2:
            other = make('unfused' if kind == 'fused' else 'fused')
            params = rnn.load_rnn_checkpoint(other, prefix, 0)[1:]
    assert np.allclose(outputs[1], outputs[0], rtol=0, atol=1e-6)
    assert np.array_equal(outputs[2], outputs[0])
    assert files[2] == files[0]
    # Elsewhere the order of the names is that of each graph; the weights are the same.
    first, second = (mx.nd.load(str(tmp_path / ('step%d-0000.params' % i))) for i in (0, 1))
    assert same(first, second)


@pytest.mark.parametrize('cells', [
    lambda cell: cell, lambda cell: [cell], lambda cell: [cell, rnn.DropoutCell(0.1)]])
def test_takes_a_cell_or_a_list(cells, saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    rnn.save_rnn_checkpoint(cells(cell), str(tmp_path / 'again'), 1, symbol, arg_params, aux_params)
    assert ((tmp_path / 'again-0001.params').read_bytes()
            == (tmp_path / 'model-0001.params').read_bytes())
    loaded = rnn.load_rnn_checkpoint(cells(cell), prefix, 1)
    assert isinstance(loaded, tuple) and len(loaded) == 3
    assert same(loaded[1], arg_params) and same(loaded[2], aux_params)


def test_arguments_are_not_changed(saved):
    cell, prefix, symbol, arg_params, aux_params = saved
    before = list(arg_params), list(aux_params)
    rnn.save_rnn_checkpoint(cell, prefix, 2, symbol, arg_params, aux_params)
    assert (list(arg_params), list(aux_params)) == before


def test_symbol_none_leaves_the_graph(saved, tmp_path):
    cell, prefix, _, arg_params, aux_params = saved
    before = (tmp_path / 'model-symbol.json').read_bytes()
    rnn.save_rnn_checkpoint(cell, prefix, 2, None, arg_params, aux_params)
    assert (tmp_path / 'model-symbol.json').read_bytes() == before
    assert (tmp_path / 'model-0002.params').exists()


def test_says_what_it_saved(saved, caplog):
    cell, prefix, symbol, arg_params, aux_params = saved
    with caplog.at_level(logging.INFO):
        rnn.save_rnn_checkpoint(cell, prefix, 12345, symbol, arg_params, aux_params)
    assert caplog.messages == ['Saved checkpoint to "%s-12345.params"' % prefix]


def test_prefix_without_a_folder(saved, tmp_path, monkeypatch):
    cell, _, symbol, arg_params, aux_params = saved
    monkeypatch.chdir(tmp_path)
    rnn.save_rnn_checkpoint(cell, 'here', 1, symbol, arg_params, aux_params)
    assert (tmp_path / 'here-0001.params').exists()
    assert same(rnn.load_rnn_checkpoint(cell, 'here', 1)[1], arg_params)
