"""Going on with training from a checkpoint ends as if it had never stopped."""
import logging

import numpy as np
import pytest

from . import differs, mx, rnn
from .checkpoints import CELLS, content, fit, module_of, resumed, untrained
from .comparing import same

pytestmark = differs


# differences.md: the optimiser's states (not saved)
@pytest.mark.parametrize('kind', ['module', 'buckets'])
@pytest.mark.parametrize('optimizer, settings', [
    ('adam', {}), ('nadam', {}), ('sgd', {'momentum': 0.9}), ('sgd', {}),
    ('adam', {'lr_scheduler': lambda: mx.lr_scheduler.FactorScheduler(3, 0.5)})])
def test_resumed_training_ends_as_if_never_interrupted(kind, optimizer, settings, tmp_path, caplog):
    prefix, cell, module, data = untrained(tmp_path, kind)
    whole = fit(module, data, 4, rnn.do_rnn_checkpoint(cell, prefix, module=module), None,
                optimizer, **settings)
    found, module = resumed(prefix, 2, 4, optimizer, kind, **settings)
    assert same(whole[0], found[0]) and same(whole[1], found[1])
    assert 'init_optimizer' not in vars(module)
    assert not [record for record in caplog.records if record.name.startswith('mxrnn')
                and record.levelno >= logging.WARNING]


class OwnOptimizer(mx.optimizer.Adam):
    """An optimiser of a program that counts for itself, lazily, and lowers its own rate."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = np.ones(1)

    def update(self, index, weight, grad, state):
        self.seen = getattr(self, 'seen', 0) + 1
        self.scale *= 0.9
        grad = grad * float(self.scale[0])
        self.norms = dict(getattr(self, 'norms', {}), **{str(index): grad.norm()})
        self.lr *= 0.99
        super().update(index, weight, grad / (1 + 0.1 * self.seen + self.norms[str(index)]), state)


class OwnScheduler(mx.lr_scheduler.LRScheduler):
    """A scheduler of a program that counts its calls."""

    calls = 0

    def __call__(self, update):
        self.calls += 1
        return self.base_lr / (1 + 0.01 * self.calls)


OwnOptimizer.register(OwnOptimizer)
FACTOR = {'lr_scheduler': lambda: mx.lr_scheduler.FactorScheduler(2, 0.7)}


# differences.md: optimisers that remember more than a count (LARS, LBSGD, your own)
@pytest.mark.parametrize('optimizer, settings', [
    ('lars', dict(FACTOR, momentum=0.9)), ('lbsgd', {'batch_scale': 3, 'updates_per_epoch': 4}),
    ('ownoptimizer', {}), ('ownoptimizer', FACTOR), ('adam', {'lr_scheduler': OwnScheduler})])
@pytest.mark.parametrize('order', ['load first', 'callback first'])
def test_all_that_an_optimiser_has_changed_is_resumed(order, optimizer, settings, tmp_path):
    prefix, cell, module, data = untrained(tmp_path)
    if optimizer == 'lars' and not hasattr(mx.optimizer, 'LARS'):
        pytest.skip('this MXNet has no LARS')
    whole = fit(module, data, 6, rnn.do_rnn_checkpoint(cell, prefix, module=module), None,
                optimizer, **settings)
    for begin, end in ((2, 4), (4, 6)):  # twice: what is resumed is saved, too
        cell = CELLS['fused']()
        module, data = module_of('module', cell)
        if order == 'callback first':
            callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
        loaded = rnn.load_rnn_checkpoint(cell, prefix, begin, module=module)
        if order == 'load first':
            callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
        found = fit(module, data, end, callback, loaded, optimizer, **settings)
    assert same(whole[0], found[0])


def poly(end, **settings):
    return lambda: mx.lr_scheduler.PolyScheduler(end, 0.3, 1.5, 0.02, **settings)


def cosine(end, **settings):
    return lambda: mx.lr_scheduler.CosineScheduler(end, 0.3, 0.02, **settings)


SCHEDULES = {
    'factor': lambda: mx.lr_scheduler.FactorScheduler(3, 0.7, base_lr=0.3),
    'factor that stops': lambda: mx.lr_scheduler.FactorScheduler(2, 0.5, 0.08, 0.3, 3, 0.1),
    'steps': lambda: mx.lr_scheduler.MultiFactorScheduler([2, 7, 8, 40], 0.6, 0.3),
    'steps that end': lambda: mx.lr_scheduler.MultiFactorScheduler([2, 5], 0.6, 0.3, 4, 0.1),
    **{'%s until %d' % (name, end): make(end)
       for name, make in (('poly', poly), ('cosine', cosine)) for end in (5, 6, 7, 100)},
    'poly after a start': poly(5, warmup_steps=3, warmup_begin_lr=0.1),
    'cosine after a start': cosine(8, warmup_steps=7, warmup_mode='constant'),
}


@pytest.mark.parametrize('optimizer, schedule', [
    *[('sgd', schedule) for schedule in sorted(SCHEDULES)],
    ('lbsgd', 'poly until 5'), ('lbsgd', 'cosine until 6')])
def test_schedules_go_on_before_and_after_their_ends(optimizer, schedule, tmp_path):
    prefix, settings = str(tmp_path / 'model'), {'lr_scheduler': SCHEDULES[schedule]}
    settings['learning_rate'] = None  # or it takes the place of the schedule's own
    if optimizer == 'lbsgd':  # asks for a rate at every other update only
        settings.update(batch_scale=2, updates_per_epoch=3)
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    whole = fit(module, data, 4, rnn.do_rnn_checkpoint(cell, prefix, module=module), None,
                optimizer, **settings)
    for epoch in (1, 2, 3):  # after 3, 6 and 9 updates
        found, _ = resumed(prefix, epoch, 4, optimizer, **settings)
        assert same(whole[0], found[0])


def optimizer_after_resuming(prefix, optimizer, **settings):
    """The optimiser of a training that goes on from epoch 2 with other settings."""
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    rnn.load_rnn_checkpoint(cell, prefix, 2, module=module)
    module.bind(data.provide_data, data.provide_label)
    module.init_params()
    module.init_optimizer(optimizer=optimizer, optimizer_params=settings)
    return module._optimizer


def test_a_schedule_that_is_given_anew_is_at_its_own_rate(tmp_path):
    prefix, cell, module, data = untrained(tmp_path)
    fit(module, data, 2, rnn.do_rnn_checkpoint(cell, prefix, module=module), None, 'sgd',
        lr_scheduler=poly(4), learning_rate=None)
    other = mx.lr_scheduler.PolyScheduler
    for schedule, rate in ((poly(4)(), 0.02), (other(5, 0.2, 1, 0.05), 0.05),
                           (other(14, 0.2, 1, 0.06), 0.13), (cosine(4)(), 0.02)):
        optimizer = optimizer_after_resuming(prefix, 'sgd', lr_scheduler=schedule)
        assert optimizer.lr_scheduler(optimizer.num_update + 1) == rate


# differences.md: optimisers that remember more than a count (LARS, LBSGD, your own)
def test_settings_that_are_given_anew_stay(tmp_path, caplog):
    prefix, cell, module, data = untrained(tmp_path)
    fit(module, data, 2, rnn.do_rnn_checkpoint(cell, prefix, module=module), None, 'ownoptimizer')
    reached = module._optimizer.lr
    for rate, after, warned in ((0.02, reached, 0), (0.5, 0.5, 1)):
        optimizer = optimizer_after_resuming(prefix, 'ownoptimizer', learning_rate=rate)
        assert optimizer.lr == after and optimizer.seen > 0
        assert len([text for text in caplog.messages if 'lr of the OwnOptimizer' in text]) == warned


def test_methods_are_not_replaced_by_what_a_file_has(tmp_path):
    prefix, cell, module, data = untrained(tmp_path)
    callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    fit(module, data, 1)
    module._optimizer.update = dict
    callback(0, module.symbol, *module.get_params())
    assert 'update' not in vars(resumed(prefix, 1, 2)[1]._optimizer)


# differences.md: parameters of other shapes than the module's
@pytest.mark.parametrize('kind', ['module', 'buckets'])
def test_shapes_that_differ_from_the_modules_are_named(kind, tmp_path):
    prefix = str(tmp_path / 'model')
    cell = rnn.FusedRNNCell(4, 2, 'lstm', True, prefix='lstm_')
    module, data = module_of(kind, cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    cell_of_module = CELLS['fused']()
    module, data = module_of(kind, cell_of_module)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    said = (r'model-0001\.params does not fit the module: lstm_parameters has the shape '
            r'\(\d+,\), in the module \(\d+,\); .*output_weight has the shape \(7, 8\), in the '
            r'module \(7, 6\)')
    with pytest.raises(rnn.CheckpointError, match=said):
        fit(module, data, 2, None, loaded)
    with pytest.raises(rnn.CheckpointError, match=said):  # bound by now
        rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)


def test_resumed_training_on_several_devices(tmp_path):
    prefix, cell, *_ = untrained(tmp_path)
    module, data = module_of('module', cell, devices=2)
    whole = fit(module, data, 3, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    assert same(whole[0], resumed(prefix, 1, 3, devices=2)[0][0])
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states does not fit.*devices'):
        resumed(prefix, 1, 3, devices=1)


def trained_for_an_epoch(tmp_path):
    """Prefix of the checkpoint of epoch 1 with states, the cell, the module and the data."""
    prefix, cell, module, data = untrained(tmp_path)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module))
    return prefix, cell, module, data


def test_states_are_readable_by_the_module_itself(tmp_path):
    prefix, cell, module, data = trained_for_an_epoch(tmp_path)
    before = module._updater.states
    fit(module, data, 2)
    module.load_optimizer_states(prefix + '-0001.states')
    assert sorted(module._updater.states) == sorted(before)


def test_states_of_the_module_itself_are_read(tmp_path, caplog):
    prefix, cell, module, data = untrained(tmp_path)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix))
    module.save_optimizer_states(prefix + '-0001.states')
    rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    assert 'not the number of its updates' in caplog.text


@pytest.mark.parametrize('cells, optimizer, said', [('unfused', 'adam', 'cells'),
                                                    ('fused', 'sgd', 'optimiser')])
def test_states_of_other_cells_and_optimisers_are_refused(cells, optimizer, said, tmp_path):
    prefix, *_ = trained_for_an_epoch(tmp_path)
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states does not fit.*' + said):
        resumed(prefix, 1, 2, optimizer, cells=cells)


def test_optimiser_that_cannot_be_pickled(tmp_path):
    prefix, cell, module, data = untrained(tmp_path)
    callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    fit(module, data, 1)
    module._optimizer.lr_scheduler = lambda update: 0.1
    with pytest.raises(rnn.CheckpointError, match="optimiser's states with .*model"):
        callback(0, module.symbol, *module.get_params())
    assert content(tmp_path) == {}


def test_a_newer_checkpoint_without_an_optimiser_is_not_passed_over(tmp_path):
    """Training that went on from the one before would write over it."""
    prefix, cell, module, data = trained_for_an_epoch(tmp_path)
    rnn.save_rnn_checkpoint(cell, prefix, 2, module.symbol, *module.get_params())
    with pytest.raises(rnn.CheckpointError, match=r'model-0002\.params was saved without an '
                                                  r'optimiser: there is no .*model-0002\.states\. '
                                                  r'Load it without module='):
        rnn.load_rnn_checkpoint(cell, prefix, module=module)
    assert rnn.load_rnn_checkpoint(cell, prefix).epoch == 2
    assert rnn.load_rnn_checkpoint(cell, prefix, 1, module=module).epoch == 1
