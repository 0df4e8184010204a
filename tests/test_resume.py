"""Going on with training from a checkpoint ends as if it had never stopped."""
from __future__ import annotations

import pytest

from . import differs, mx, rnn
from .checkpoints import CELLS, content, fit, module_of, parameters, same


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
