"""Checkpoints: the original's files, never half of one, readable by every kind of cell."""
from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import types

import numpy as np
import pytest

from . import differs, mx, rnn
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
def saved(tmp_path, monkeypatch):
    """A checkpoint of epoch 1: (cell, prefix, symbol, arg_params, aux_params)."""
    monkeypatch.chdir(tmp_path)  # where mxnet.rnn writes what it should have refused
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
            assert module is original
            cells[name] = None
    if cells['theirs'] is None and rnn is not original:
        loaded = rnn.load_rnn_checkpoint(cells['ours'], str(tmp_path / 'ours' / 'model'), 12)
        assert loaded[0].tojson() == outputs.tojson()
        assert same(loaded[1], params[0]) and same(loaded[2], params[1])
        return
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


@pytest.mark.parametrize('epoch', [3.0, np.float32(3), np.int64(3), np.array(3)[()]])
def test_whole_numbers_are_epochs(epoch, saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    rnn.save_rnn_checkpoint(cell, prefix, epoch, symbol, arg_params, aux_params)
    assert (tmp_path / 'model-0003.params').exists()
    loaded = rnn.load_rnn_checkpoint(cell, prefix, epoch)
    assert same(loaded[1], arg_params)
    if rnn.__name__ != 'mxnet.rnn':
        assert loaded.epoch == 3 and type(loaded.epoch) is int


def test_prefix_without_a_folder(saved, tmp_path, monkeypatch):
    cell, _, symbol, arg_params, aux_params = saved
    monkeypatch.chdir(tmp_path)
    rnn.save_rnn_checkpoint(cell, 'here', 1, symbol, arg_params, aux_params)
    assert (tmp_path / 'here-0001.params').exists()
    assert same(rnn.load_rnn_checkpoint(cell, 'here', 1)[1], arg_params)


# ---- the callback

class Buckets(mx.io.DataIter):
    """Batches of random tokens, of the lengths given, in their order; the last one is longest."""

    def __init__(self, lengths=(2, 3, 2, 3), batch=4):
        super().__init__(batch)
        self.default_bucket_key = max(lengths)
        tokens = [random_value('tokens %d' % i, (batch, n)) for i, n in enumerate(lengths)]
        self.batches = [self.batch(mx.nd.array(np.floor((each + 0.8) * 4)), each.shape)
                        for each in tokens]
        self.provide_data = [mx.io.DataDesc('data', (batch, self.default_bucket_key))]
        self.provide_label = [mx.io.DataDesc('softmax_label', (batch, self.default_bucket_key))]
        self.reset()

    @staticmethod
    def batch(data, shape):
        return mx.io.DataBatch([data], [data], pad=0, bucket_key=shape[1],
                               provide_data=[mx.io.DataDesc('data', shape)],
                               provide_label=[mx.io.DataDesc('softmax_label', shape)])

    def reset(self):
        self.rest = list(self.batches)

    def next(self):
        if not self.rest:
            raise StopIteration
        return self.rest.pop(0)


def module_of(kind, cell, devices=1):
    """A module to train: a Module of length 3, or a BucketingModule; and its data."""
    context = [mx.cpu(i) for i in range(devices)]
    if kind == 'module':
        return mx.mod.Module(network(cell), context=context), Buckets((3, 3, 3))

    def generate(length):
        return network(cell, length), ['data'], ['softmax_label']
    return mx.mod.BucketingModule(generate, 3, context=context), Buckets((3, 2, 3, 2))


def fit(module, data, epochs, callback=None, loaded=None, optimizer='adam', **params):
    """Train from the checkpoint, or from the start, up to the epoch; returns the parameters."""
    given = {} if loaded is None else {'arg_params': loaded.arg_params,
                                       'aux_params': loaded.aux_params,
                                       'begin_epoch': loaded.epoch}
    mx.random.seed(3)
    np.random.seed(3)
    data.reset()
    params = {name: value() if callable(value) else value for name, value in params.items()}
    module.fit(data, num_epoch=epochs, optimizer=optimizer, epoch_end_callback=callback,
               eval_metric=mx.metric.Perplexity(None), initializer=mx.init.Uniform(0.3),
               optimizer_params=dict({'learning_rate': 0.02}, **params), **given)
    return module.get_params()


@pytest.mark.parametrize('period, written', [
    (1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3]), (0, [1, 2, 3, 4]), (-5, [1, 2, 3, 4]),
    (2.9, [2, 4]), (np.int64(4), [4])])
def test_period(period, written, saved, tmp_path):
    cell, _, symbol, arg_params, aux_params = saved
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'called'), period)
    for epoch in range(4):
        callback(epoch, symbol, arg_params, aux_params)
    names = sorted(name for name in os.listdir(str(tmp_path)) if name.startswith('called'))
    assert names == ['called-%04d.params' % epoch for epoch in written] + ['called-symbol.json']


def test_callback_takes_keywords(saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'called'), period=1)
    callback(0, sym=symbol, arg=arg_params, aux=aux_params)
    assert ((tmp_path / 'called-0001.params').read_bytes()
            == (tmp_path / 'model-0001.params').read_bytes())


@differs
def test_symbol_pins_what_is_saved(saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    other = network(CELLS['fused'](), length=2)
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'called'), symbol=symbol)
    callback(0, other, arg_params, aux_params)
    assert mx.sym.load(str(tmp_path / 'called-symbol.json')).tojson() == symbol.tojson()


@differs
def test_module_saves_the_graph_of_the_default_bucket(tmp_path):
    cell = CELLS['unfused']()
    module, data = module_of('buckets', cell)
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'model'), module=module)
    seen = []
    fit(module, data, 1, [callback, lambda epoch, symbol, *_: seen.append(symbol.tojson())])
    assert seen != [network(cell, 3).tojson()]  # what the callback is given is the last bucket's
    assert mx.sym.load(str(tmp_path / 'model-symbol.json')).tojson() == network(cell, 3).tojson()


@differs
def test_keep(saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    others = ['kept-0009.params', 'kept-01.params', 'kept-0001-0001.params', 'akept-0001.params',
              'kept-0001.params.old']
    for name in others + ['kept-0001.states']:
        (tmp_path / name).write_bytes(b'')
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'kept'), keep=2)
    for epoch in range(4):
        callback(epoch, symbol, arg_params, aux_params)
        left = sorted(name for name in os.listdir(str(tmp_path)) if 'kept' in name)
        new = ['kept-%04d.params' % (epoch + 1 - back) for back in (0, 1) if epoch >= back]
        states = ['kept-0001.states'] if epoch < 2 else []
        assert left == sorted(others + states + new + ['kept-symbol.json'])


# ---- going on with training

@differs
@pytest.mark.parametrize('kind', ['module', 'buckets'])
@pytest.mark.parametrize('optimizer, settings', [
    ('adam', {}), ('nadam', {}), ('sgd', {'momentum': 0.9}), ('sgd', {}),
    ('adam', {'lr_scheduler': lambda: mx.lr_scheduler.FactorScheduler(3, 0.5)})])
def test_resumed_training_ends_as_if_never_interrupted(kind, optimizer, settings, tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of(kind, cell)
    whole = fit(module, data, 4, rnn.do_rnn_checkpoint(cell, prefix, module=module), None,
                optimizer, **settings)
    cell = CELLS['fused']()
    module, data = module_of(kind, cell)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 2, module=module)
    resumed = fit(module, data, 4, None, loaded, optimizer, **settings)
    assert same(whole[0], resumed[0]) and same(whole[1], resumed[1])
    assert 'init_optimizer' not in vars(module)


@differs
def test_resumed_training_on_several_devices(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell, devices=2)
    whole = fit(module, data, 3, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    module, data = module_of('module', cell, devices=2)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    assert same(whole[0], fit(module, data, 3, None, loaded)[0])
    module, data = module_of('module', cell, devices=1)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states does not fit.*devices'):
        fit(module, data, 3, None, loaded)


@differs
def test_a_module_with_an_optimiser_gets_the_states_at_once(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    count = module._optimizer.num_update
    fit(module, data, 2)
    assert module._optimizer.num_update > count
    module._optimizer.lr = 0.125
    rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    assert module._optimizer.num_update == count
    assert module._optimizer is module._updater.optimizer and module._optimizer.lr == 0.125


@differs
def test_states_are_readable_by_the_module_itself(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    before = module._updater.states
    fit(module, data, 2)
    module.load_optimizer_states(prefix + '-0001.states')
    assert sorted(module._updater.states) == sorted(before)


@differs
def test_states_of_the_module_itself_are_read(tmp_path, caplog):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix))
    module.save_optimizer_states(prefix + '-0001.states')
    rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    assert 'not how many updates' in caplog.text


@differs
def test_states_of_other_cells_are_refused(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    cell = CELLS['unfused']()
    module, data = module_of('module', cell)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states does not fit.*cells'):
        fit(module, data, 2, None, loaded)


@differs
def test_states_of_other_parameters_are_refused(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 2, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    rnn.save_rnn_checkpoint(cell, prefix, 2, None, *parameters(module.symbol))
    with pytest.raises(rnn.CheckpointError, match=r'model-0002\.states .* other parameters'):
        rnn.load_rnn_checkpoint(cell, prefix, 2, module=module)
    assert rnn.load_rnn_checkpoint(cell, prefix).epoch == 2
    assert rnn.load_rnn_checkpoint(cell, prefix, module=module).epoch == 1


@differs
def test_states_of_another_optimiser_are_refused(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    module, data = module_of('module', cell)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states does not fit.*optimiser'):
        fit(module, data, 2, None, loaded, 'sgd')


@differs
def test_the_checkpoint_loaded_last_is_resumed(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    whole = fit(module, data, 3, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    module, data = module_of('module', cell)
    rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 2, module=module)
    assert same(whole[0], fit(module, data, 3, None, loaded)[0])


@differs
def test_optimiser_that_cannot_be_pickled(tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    fit(module, data, 1)
    module._optimizer.lr_scheduler = lambda update: 0.1
    with pytest.raises(rnn.CheckpointError, match='optimiser with .*model'):
        callback(0, module.symbol, *module.get_params())
    assert content(tmp_path) == {}


@differs
@pytest.mark.parametrize('damage', ['missing', 'short', 'flipped', 'foreign', 'empty'])
def test_damaged_states(damage, tmp_path):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    path = tmp_path / 'model-0001.states'
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = {'short': whole[:len(whole) // 2], 'flipped': bytes(flipped),
               'foreign': b'hello', 'empty': b''}
    if damage == 'missing':
        path.unlink()
    else:
        path.write_bytes(content[damage])
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states'):
        rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)


# ---- what cannot be read

def refusal(cell, prefix, epoch=1, **kwargs):
    """The message of the error with which a checkpoint is refused."""
    with pytest.raises(rnn.CheckpointError) as caught:
        rnn.load_rnn_checkpoint(cell, prefix, epoch, **kwargs)
    assert isinstance(caught.value, (KeyError, mx.base.MXNetError))
    assert '\n' not in str(caught.value)
    return str(caught.value)


@differs
def test_missing_files(saved, tmp_path):
    cell, prefix = saved[:2]
    assert 'model-0002.params' in refusal(cell, prefix, 2)
    assert 'no-such' in refusal(cell, str(tmp_path / 'no-such' / 'model'), 1)
    assert 'no-such' in refusal(cell, str(tmp_path / 'no-such' / 'model'), None)
    assert 'other-' in refusal(cell, str(tmp_path / 'other'), None)
    (tmp_path / 'model-symbol.json').unlink()
    assert 'model-symbol.json' in refusal(cell, prefix)
    (tmp_path / 'model-symbol.json').mkdir()
    assert 'model-symbol.json' in refusal(cell, prefix)


@differs
def test_weights_of_other_cells_are_listed(saved):
    _, prefix = saved[:2]
    message = refusal(rnn.FusedRNNCell(3, 1, 'lstm', True, prefix='lstm_'), prefix)
    assert 'model-0001.params' in message and 'left over' in message
    assert 'lstm_l1_i2h_i_weight' in message and 'lstm_r1_h2h_o_bias' in message
    message = refusal(rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='gru_'), prefix)
    assert "begin with 'lstm_', but those of this cell with 'gru_'" in message
    assert message.count('_bias') + message.count('_weight') <= 12
    message = refusal(rnn.FusedRNNCell(5, 2, 'lstm', True, prefix='lstm_'), prefix)
    assert 'lstm_l0_i2h_i_weight' in message and '(3, 4)' in message and '(5, ' in message
    assert 'left over' in refusal([], prefix)


@differs
@pytest.mark.parametrize('change, said', [
    ({'output_weight': None}, 'missing output_weight'),
    ({'norm_gamma': None, 'output_bias': None}, 'missing norm_gamma, output_bias'),
    ({'aux:norm_moving_var': None}, 'missing norm_moving_var'),
    ({'extra': (2,), 'more': (3,)}, 'left over extra, more'),
    ({'aux:extra': (2,)}, 'left over extra'),
    ({'output_weight': (8, 6)}, r'output_weight has the shape \(8, 6\), .* \(7,\)'),
    ({'embed_weight': (7, 5)}, r'embed_weight has the shape \(7, 5\), .* \(7, 4\)'),
    ({'embed_weight': (8, 4), 'output_bias': (5,)}, 'embed_weight .*; output_bias'),
    ({'lstm_parameters': (100,)}, 'lstm_parameters'),
])
def test_names_and_shapes_are_listed(change, said, saved, tmp_path):
    cell, _, symbol, arg_params, aux_params = saved
    prefix = str(tmp_path / 'changed')
    everything = {'arg:' + name: array for name, array in arg_params.items()}
    everything.update(('aux:' + name, array) for name, array in aux_params.items())
    for name, shape in change.items():
        name = name if name.startswith('aux:') else 'arg:' + name
        everything.pop(name, None)
        if shape is not None:
            everything[name] = mx.nd.ones(shape)
    mx.nd.save(prefix + '-0001.params', everything)
    symbol.save(prefix + '-symbol.json')
    message = refusal(cell, prefix)
    assert 'changed-0001.params' in message
    assert re.search(said, message)


@differs
def test_not_strict(saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    changed = dict(arg_params, extra=mx.nd.ones(2))
    del changed['output_bias']
    rnn.save_rnn_checkpoint(cell, prefix, 1, symbol, changed, aux_params)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, strict=False)
    assert same(loaded.arg_params, changed)


@differs
@pytest.mark.parametrize('kind', sorted(CELLS))
def test_packed_files_of_mxnet(kind, saved, tmp_path):
    cell, _, symbol, arg_params, aux_params = saved
    prefix = str(tmp_path / 'packed')
    mx.model.save_checkpoint(prefix, 1, symbol, arg_params, aux_params)
    if kind == 'fused':
        assert same(rnn.load_rnn_checkpoint(cell, prefix, 1).arg_params, arg_params)
    else:  # another packing than theirs
        assert 'lstm_l0_i2h_i_weight' in refusal(CELLS[kind](), prefix)


def header_bytes(content):
    """Positions of the bytes of a file of dense float32 arrays that are no elements."""
    at, found = 24, list(range(24))
    for _ in range(struct.unpack('<Q', content[16:24])[0]):
        rank, = struct.unpack_from('<I', content, at + 8)
        shape = struct.unpack_from('<%dq' % rank, content, at + 12)
        end = at + 12 + 8 * rank + 12
        found += range(at, end)
        at = end + 4 * int(np.prod(shape))
    return found + list(range(at, len(content)))


@pytest.fixture
def small(tmp_path):
    """A checkpoint of epoch 1 with few parameters: (cell, prefix, arg_params, aux_params)."""
    cell = rnn.FusedRNNCell(2, 1, 'rnn_tanh', prefix='rnn_')
    symbol = network(cell)
    params = parameters(symbol)
    rnn.save_rnn_checkpoint(cell, str(tmp_path / 'model'), 1, symbol, *params)
    return (cell, str(tmp_path / 'model')) + params


@differs
def test_truncated_files(small, tmp_path):
    cell, prefix = small[:2]
    path = tmp_path / 'model-0001.params'
    whole = path.read_bytes()
    headers = header_bytes(whole)
    inside = sorted(set(range(len(whole))) - set(headers))
    lengths = headers + inside[::97] + [len(whole) - 1]
    for length in sorted(set(lengths)):
        path.write_bytes(whole[:length])
        assert 'model-0001.params' in refusal(cell, prefix)
    assert len(lengths) > 700


@differs
def test_flipped_bits_in_headers(small, tmp_path):
    cell, prefix, arg_params, aux_params = small
    path = tmp_path / 'model-0001.params'
    whole = path.read_bytes()
    refused = read = 0
    for at in header_bytes(whole):
        for bit in {at % 8, (at + 3) % 8, 2}:  # bit 2 makes integers of reals
            content = bytearray(whole)
            content[at] ^= 1 << bit
            path.write_bytes(bytes(content))
            try:
                loaded = rnn.load_rnn_checkpoint(cell, prefix, 1)
            except rnn.CheckpointError as error:
                assert 'model-0001.params' in str(error)
                refused += 1
            else:
                assert same(loaded.arg_params, arg_params) and same(loaded.aux_params, aux_params)
                read += 1
    assert refused > 1000 and read > 100


@differs
def test_damaged_graphs(small, tmp_path):
    cell, prefix, arg_params, _ = small
    path = tmp_path / 'model-symbol.json'
    whole = path.read_bytes()
    random = np.random.RandomState(1)
    refused = 0
    for trial in range(600):
        content = bytearray(whole)
        at = random.randint(len(whole))
        if trial % 3 == 0:
            content[at] ^= 1 << random.randint(8)
        elif trial % 3 == 1:
            del content[at:]
        else:  # a wrong number anywhere
            digits = [m.span() for m in re.finditer(rb'\d+', whole)]
            begin, end = digits[random.randint(len(digits))]
            content[begin:end] = [b'0', b'9', b'77777', b'-1', b'4000000000'][random.randint(5)]
        path.write_bytes(bytes(content))
        try:
            loaded = rnn.load_rnn_checkpoint(cell, prefix, 1)
        except rnn.CheckpointError as error:
            refused += 1
            assert 'model-symbol.json' in str(error) or 'does not fit' in str(error)
        else:
            loaded.symbol.infer_shape_partial()  # which does not crash
            assert same(loaded.arg_params, arg_params)
    assert refused > 300


def u32(*values):
    return struct.pack('<%dI' % len(values), *values)


def u64(*values):
    return struct.pack('<%dQ' % len(values), *values)


DATA = np.arange(6, dtype=np.float32).tobytes()
V1, V2 = u32(0xF993FAC8), u32(0xF993FAC9)
CPU_FLOAT = u32(1, 0, 0)
OLD = u32(2, 2, 3) + CPU_FLOAT + DATA


def array_list(*arrays, names=(b'arg:a',), magic=0x112, counts=None):
    counts = counts or (len(arrays), len(names))
    return (u64(magic, 0, counts[0]) + b''.join(arrays) + u64(counts[1])
            + b''.join(u64(len(name)) + name for name in names))


@pytest.mark.parametrize('content', [
    array_list(OLD), array_list(V1 + u32(2) + u64(2, 3) + CPU_FLOAT + DATA),
    array_list(V2 + u32(0, 2) + u64(2, 3) + CPU_FLOAT + DATA)], ids=['0.9', '0.11', '1.x'])
def test_files_of_every_version(content, tmp_path):
    prefix = str(tmp_path / 'old')
    (tmp_path / 'old-0001.params').write_bytes(content)
    mx.sym.Variable('a').save(prefix + '-symbol.json')
    loaded = rnn.load_rnn_checkpoint([], prefix, 1)
    assert np.array_equal(loaded[1]['a'].asnumpy(), [[0, 1, 2], [3, 4, 5]])


def test_sparse_parameters(tmp_path):
    prefix = str(tmp_path / 'sparse')
    dense = mx.nd.array([[0, 1, 2], [0, 0, 0], [3, 0, 0], [0, 0, 0]])
    params = {'csr': dense.tostype('csr'), 'rows': dense.tostype('row_sparse')}
    symbol = mx.sym.Group([mx.sym.Variable('csr'), mx.sym.Variable('rows')])
    rnn.save_rnn_checkpoint([], prefix, 1, symbol, params, {})
    loaded = rnn.load_rnn_checkpoint([], prefix, 1)[1]
    assert {name: array.stype for name, array in loaded.items()} == {
        'csr': 'csr', 'rows': 'row_sparse'}
    assert same({name: array.tostype('default') for name, array in loaded.items()},
                {name: array.tostype('default') for name, array in params.items()})


@differs
@pytest.mark.parametrize('content, said', [
    (b'', 'header'),
    (b'hello, world, this is no file of arrays', 'does not begin'),
    (array_list(OLD, magic=0x113), 'does not begin'),
    (array_list(OLD, names=()), '1 arrays and 0 names'),
    (array_list(OLD, counts=(2 ** 60, 1)), 'array 2 of'),
    (array_list(OLD, counts=(1, 2 ** 60)), '1 arrays and'),
    (array_list(OLD) + b'x', '1 bytes follow'),
    (array_list(OLD, names=(b'a',)), 'a begins with neither'),
    (array_list(OLD, OLD, names=(b'arg:a', b'arg:a')), 'arg:a is there twice'),
    (array_list(OLD, names=(b'arg:\xff',)), 'decode'),
    (array_list(V2 + u32(0, 2) + u64(2 ** 62, 2 ** 62) + CPU_FLOAT + DATA), 'takes'),
    (array_list(V2 + u32(0, 2) + u64(2 ** 63, 1) + CPU_FLOAT + DATA), 'shape'),
    (array_list(V2 + u32(0, 2 ** 31) + u64(2, 3) + CPU_FLOAT + DATA), 'rank'),
    (array_list(V2 + u32(0, 0)), 'rank 0'),
    (array_list(V2 + u32(7, 2) + u64(2, 3) + CPU_FLOAT + DATA), 'storage 7'),
    (array_list(V2 + u32(0, 2) + u64(2, 3) + u32(1, 0, 99) + DATA), 'type 99'),
    (array_list(V2 + u32(1, 2) + u64(2, 3) + u32(2) + u64(9, 4) + CPU_FLOAT + u32(6, 1) + u64(2)
                + DATA + u64(0, 1)), 'indices'),
    (array_list(V2 + u32(2, 1) + u64(6) + u32(2) + u64(2, 3) + CPU_FLOAT + u32(6, 1) + u64(2)
                + u32(6, 1) + u64(6) + DATA + u64(0, 6) + u64(*range(6))), 'indices'),
])
def test_foreign_files(content, said, tmp_path):
    prefix = str(tmp_path / 'foreign')
    (tmp_path / 'foreign-0001.params').write_bytes(content)
    mx.sym.Variable('a').save(prefix + '-symbol.json')
    message = refusal([], prefix)
    assert 'foreign-0001.params' in message and said in message


@differs
@pytest.mark.parametrize('change, said', [
    (lambda graph: graph.pop('heads'), 'heads'),
    (lambda graph: graph['heads'].append([9999, 0, 0]), 'node 9999'),
    (lambda graph: graph['heads'].append([0, 7, 0]), 'output 7'),
    (lambda graph: graph['nodes'][2]['inputs'].append([2, 0, 0]), 'node 2 of 2'),
    (lambda graph: graph['nodes'][2].pop('inputs'), 'inputs'),
    (lambda graph: graph['node_row_ptr'].pop(), 'outputs of'),
    (lambda graph: graph['nodes'][-1].update(op='NoSuchOperator'), 'NoSuchOperator'),
    (lambda graph: graph.clear(), 'nodes'),
])
def test_foreign_graphs(change, said, saved, tmp_path):
    cell, prefix = saved[:2]
    path = tmp_path / 'model-symbol.json'
    graph = json.loads(path.read_text())
    change(graph)
    path.write_text(json.dumps(graph))
    assert said in refusal(cell, prefix)


@differs
def test_fewer_outputs_than_are_referred_to(tmp_path):
    parts = mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=4, name='split')
    prefix = str(tmp_path / 'model')
    rnn.save_rnn_checkpoint([], prefix, 1, parts[3] + parts[0], {}, {})
    path = tmp_path / 'model-symbol.json'
    path.write_text(path.read_text().replace('"num_outputs": "4"', '"num_outputs": "2"'))
    assert 'model-symbol.json' in refusal([], prefix)


# ---- the newest

@differs
def test_the_newest_that_loads(saved, tmp_path, caplog):
    cell, prefix, symbol, arg_params, aux_params = saved
    for epoch in (2, 10, 12345):
        changed = dict(arg_params, output_bias=mx.nd.ones(7) * epoch)
        rnn.save_rnn_checkpoint(cell, prefix, epoch, symbol, changed, aux_params)
    for other in ('model-20.params', 'model-00020.params', 'model-0030.params.tmp',
                  'xmodel-0040.params', 'model-0050.states'):
        (tmp_path / other).write_bytes(b'x')
    assert rnn.load_rnn_checkpoint(cell, prefix).epoch == 12345
    assert caplog.messages == []
    for name in ('model-12345.params', 'model-0010.params'):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    loaded = rnn.load_rnn_checkpoint(cell, prefix, epoch=None)
    assert loaded.epoch == 2 and loaded.arg_params['output_bias'].asnumpy().tolist() == [2] * 7
    assert ['model-12345.params' in caplog.messages[0], 'model-0010.params' in caplog.messages[1],
            len(caplog.messages)] == [True, True, 2]
    for epoch in (1, 2):
        (tmp_path / ('model-%04d.params' % epoch)).write_bytes(b'')
    message = refusal(cell, prefix, None)
    assert all('model-%04d.params' % epoch in message for epoch in (1, 2, 10, 12345))


# ---- saves that fail

@differs
def test_killed_processes_leave_whole_checkpoints(tmp_path):
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'tests.kill_saves', str(tmp_path), '100'],
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))), timeout=280, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    inside, whole = re.search(r'100 .* killed, (\d+) .* save; (\d+)', result.stdout).groups()
    assert int(inside) > 10 and int(whole) > 10


@contextlib.contextmanager
def file_size_limit(size):
    """As a disk that has room for so many bytes of each file."""
    resource = pytest.importorskip('resource')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@differs
def test_full_disk(saved, tmp_path):
    cell, prefix, symbol, _, _ = saved
    before = content(tmp_path)
    sizes = sorted(len(each) for each in before.values())
    limits = sorted({0, 1, 8, 23, 24, 40, 4095, 4096, 4097} | set(range(100, sizes[1], 1001))
                    | {size - less for size in sizes for less in (1, 2, 100)})
    others = parameters(symbol, seed=1)
    for limit in limits:
        for epoch in (1, 2):
            with pytest.raises(rnn.CheckpointError, match='model-000%d.params' % epoch):
                with file_size_limit(limit):
                    rnn.save_rnn_checkpoint(cell, prefix, epoch, symbol, *others)
            assert content(tmp_path) == before
    with file_size_limit(sizes[-1]):
        rnn.save_rnn_checkpoint(cell, prefix, 1, symbol, *others)
    assert content(tmp_path) != before


@differs
def test_full_disk_for_the_states(tmp_path, monkeypatch):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    fit(module, data, 1, callback)
    before = content(tmp_path)
    monkeypatch.setattr(module._updater, 'get_states', lambda dump_optimizer: bytes(10 ** 5))
    for less in (1, 20, 500):
        with pytest.raises(rnn.CheckpointError, match='model-0002'):
            with file_size_limit(10 ** 5 - less):
                callback(1, module.symbol, *module.get_params())
        assert content(tmp_path) == before


@differs
def test_folders(saved, tmp_path):
    cell, _, symbol, arg_params, aux_params = saved

    def save(*path):
        rnn.save_rnn_checkpoint(cell, str(tmp_path.joinpath(*path)), 1, symbol, arg_params,
                                aux_params)
    save('new', 'folders', 'model')
    assert sorted(content(tmp_path / 'new' / 'folders')) == ['model-0001.params',
                                                             'model-symbol.json']
    with pytest.raises(rnn.CheckpointError, match='model-0001.params.* exists'):
        save('model-0001.params', 'model')
    (tmp_path / 'taken-0001.params').mkdir()
    with pytest.raises(rnn.CheckpointError, match='taken-0001.params'):
        save('taken')
    (tmp_path / 'other-symbol.json').mkdir()
    with pytest.raises(rnn.CheckpointError, match='other-symbol.json'):
        save('other')
    (tmp_path / 'locked').mkdir(mode=0o500)
    if os.geteuid():
        with pytest.raises(rnn.CheckpointError, match='locked'):
            save('locked', 'model')
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith('.')]


@differs
def test_leftovers_of_dead_processes_are_deleted(saved, tmp_path):
    cell, prefix, symbol, arg_params, aux_params = saved
    fcntl = pytest.importorskip('fcntl')
    host = socket.gethostname()
    names = ['.mxrnn-%s-abc_1x.tmp' % host, '.mxrnn-%s-no_lock.tmp' % host,
             '.mxrnn-%s-locked.tmp' % host, '.mxrnn-%s-elsewhere-abc_1x.tmp' % host, '.mxrnn-notes']
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'model-0007.params').write_bytes(b'half')
        if 'no_lock' not in name:
            (tmp_path / name / 'lock').write_bytes(b'')
    with open(str(tmp_path / names[2] / 'lock')) as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        rnn.save_rnn_checkpoint(cell, prefix, 1, symbol, arg_params, aux_params)
    assert sorted(name for name in os.listdir(str(tmp_path)) if name.startswith('.')) == sorted(
        names[2:])
    assert rnn.load_rnn_checkpoint(cell, prefix).epoch == 1


@differs
@pytest.mark.parametrize('prefix', ['s3://bucket/model', 'hdfs://host/model'])
def test_remote_prefixes_go_to_mxnet(prefix, saved, monkeypatch, caplog):
    cell, local, symbol, arg_params, aux_params = saved
    calls = []
    monkeypatch.setattr(mx.model, 'save_checkpoint', lambda *args: calls.append(args))
    rnn.save_rnn_checkpoint(cell, prefix, 3, symbol, arg_params, aux_params)
    assert calls[0][:3] == (prefix, 3, symbol) and calls[0][4] is aux_params
    assert sorted(calls[0][3]) == sorted(cell.unpack_weights(arg_params))
    load = mx.model.load_checkpoint
    monkeypatch.setattr(mx.model, 'load_checkpoint',
                        lambda at, epoch: calls.append((at, epoch)) or load(local, 1))
    assert same(rnn.load_rnn_checkpoint(cell, prefix, 3).arg_params, arg_params)
    assert calls[1] == (prefix, 3)
    with pytest.raises(ValueError, match='epoch'):
        rnn.load_rnn_checkpoint(cell, prefix)
    with pytest.raises(ValueError, match='keep'):
        rnn.do_rnn_checkpoint(cell, prefix, keep=1)
    module, data = module_of('module', cell)
    fit(module, data, 2, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    assert [call[0] for call in calls[2:]] == [prefix] * 2
    assert len([text for text in caplog.messages if 'remote' in text]) == 1


# ---- several workers

class Store(mx.kv.KVStore):
    """A store of a worker, as far as its rank goes."""

    rank = 1
    handle = None

    def __init__(self):
        pass

    def __del__(self):
        pass


@differs
@pytest.mark.parametrize('known_by', ['module', 'store', 'horovod'])
def test_only_rank_0_writes(known_by, saved, tmp_path, monkeypatch):
    cell, _, symbol, arg_params, aux_params = saved
    module = None
    if known_by == 'module':
        module, data = module_of('buckets', cell)
        fit(module, data, 1)
        other = module._curr_module._kvstore = Store()
    elif known_by == 'store':
        other = Store()
    else:
        other = types.ModuleType('horovod.mxnet')
        other.rank, other.is_initialized = lambda: 1, lambda: True
        monkeypatch.setitem(sys.modules, 'horovod.mxnet', other)
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'worker'), module=module, keep=1)
    callback(0, symbol, arg_params, aux_params)
    assert not (tmp_path / 'worker-0001.params').exists()
    other.rank = (lambda: 0) if known_by == 'horovod' else 0
    callback(0, symbol, arg_params, aux_params)
    assert (tmp_path / 'worker-0001.params').exists()


@differs
def test_states_kept_by_servers(tmp_path, caplog):
    prefix = str(tmp_path / 'model')
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1)
    module._updater = None
    callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    for epoch in range(2):
        callback(epoch, module.symbol, *module.get_params())
    assert len([text for text in caplog.messages if 'not kept by this process' in text]) == 1
    assert sorted(content(tmp_path)) == ['model-0001.params', 'model-0002.params',
                                         'model-symbol.json']
    with pytest.raises(rnn.CheckpointError, match='model-0002.states'):
        rnn.load_rnn_checkpoint(cell, prefix, 2, module=module)


# ---- arguments

@differs
@pytest.mark.parametrize('change, error', [
    ({'cells': None}, TypeError), ({'cells': 'lstm'}, TypeError), ({'cells': [3]}, TypeError),
    ({'prefix': None}, TypeError), ({'prefix': 3}, TypeError), ({'prefix': b'model'}, TypeError),
    ({'epoch': -1}, ValueError), ({'epoch': 1.5}, TypeError), ({'epoch': '1'}, TypeError),
    ({'epoch': True}, TypeError), ({'symbol': 'graph'}, TypeError), ({'symbol': {}}, TypeError),
    ({'arg_params': None}, TypeError), ({'arg_params': []}, TypeError),
    ({'arg_params': {'x': 3.0}}, TypeError), ({'aux_params': None}, TypeError),
    ({'aux_params': {'x': np.ones(2)}}, TypeError),
], ids=str)
def test_bad_arguments_of_save(change, error, saved, tmp_path):
    arguments = dict(zip(['cells', 'prefix', 'symbol', 'arg_params', 'aux_params'], saved), epoch=1)
    before = content(tmp_path)
    with pytest.raises(error, match='|'.join('%s.* must be ' % name for name in change)):
        rnn.save_rnn_checkpoint(**dict(arguments, **change))
    assert content(tmp_path) == before


@differs
@pytest.mark.parametrize('change, error', [
    ({'cells': None}, TypeError), ({'prefix': None}, TypeError), ({'epoch': -1}, ValueError),
    ({'epoch': 1.5}, TypeError), ({'epoch': float('nan')}, TypeError),
    ({'epoch': float('inf')}, TypeError), ({'epoch': -1.0}, ValueError),
    ({'epoch': 'newest'}, TypeError), ({'module': 3}, TypeError),
], ids=str)
def test_bad_arguments_of_load(change, error, saved):
    arguments = dict(zip(['cells', 'prefix'], saved), epoch=1)
    with pytest.raises(error, match='|'.join('%s must be ' % name for name in change)):
        rnn.load_rnn_checkpoint(**dict(arguments, **change))


@differs
@pytest.mark.parametrize('change, error', [
    ({'cells': None}, TypeError), ({'prefix': None}, TypeError), ({'period': None}, TypeError),
    ({'period': '2'}, TypeError), ({'period': float('nan')}, ValueError),
    ({'symbol': 'graph'}, TypeError), ({'module': 3}, TypeError), ({'keep': 0}, ValueError),
    ({'keep': 1.5}, TypeError),
], ids=str)
def test_bad_arguments_of_the_callback(change, error, saved):
    arguments = dict(zip(['cells', 'prefix'], saved))
    with pytest.raises(error, match='|'.join('%s must be ' % name for name in change)):
        rnn.do_rnn_checkpoint(**dict(arguments, **change))
