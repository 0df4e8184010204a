"""Training goes on at the next batch, bit for bit: data, generators, optimiser, carried states."""
from __future__ import annotations

import os
import random
import shutil

import numpy as np
import pytest

from mxrnn._checkpoint.position import _ENTRIES, _Entry

from . import differs, mx, rnn
from .checkpoints import change_extra
from .comparing import same
from .running import stack

pytestmark = differs

SENTENCES = [[1 + (i * k) % 5 for k in range(2 + i % 5)] for i in range(40)]


class Training:
    """A network with dropout, its data, and `fit` over them."""

    def __init__(self, seed):
        random.seed(seed)
        np.random.seed(seed)
        mx.random.seed(seed)
        with mx.name.NameManager():
            self.cell = stack(rnn, rnn.LSTMCell(4, prefix='lstm_'), rnn.DropoutCell(0.5))
            self.make()

    def scores(self, outputs):
        hidden = mx.sym.Dropout(mx.sym.reshape(outputs, shape=(-3, -2)), p=0.3, name='drop')
        hidden = mx.sym.BatchNorm(hidden, name='norm')
        hidden = mx.sym.FullyConnected(hidden, num_hidden=7, name='output')
        label = mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
        return mx.sym.SoftmaxOutput(hidden, label, name='softmax')

    def embedded(self):
        return mx.sym.Embedding(mx.sym.Variable('data'), input_dim=7, output_dim=3, name='embed')

    before = ()  #: callbacks before that which saves
    optimizer_params: dict = {'learning_rate': 0.02}

    def fit(self, save=None, loaded=None, epochs=3, after=(), as_epoch_end=True):
        train = self.data if not self.prefetched else mx.io.PrefetchingIter(self.data)
        given = {} if loaded is None else {'arg_params': loaded.arg_params,
                                           'aux_params': loaded.aux_params,
                                           'begin_epoch': loaded.epoch}
        self.module.fit(
            train, num_epoch=epochs, optimizer='adam', initializer=mx.init.Uniform(0.3),
            eval_metric=mx.metric.Perplexity(None, output_names=['softmax_output'],
                                             label_names=['softmax_label']),
            optimizer_params=dict(self.optimizer_params),
            batch_end_callback=[*self.before, *[save] * (save is not None), *after],
            epoch_end_callback=save if as_epoch_end else None, **given)
        return self.module.get_params()

    prefetched = False

    def saver(self, prefix, batches=4):
        return rnn.do_rnn_checkpoint(self.cell, str(prefix), module=self.module, data=self.data,
                                     batches=batches)

    def load(self, prefix):
        return rnn.load_rnn_checkpoint(self.cell, str(prefix), module=self.module, data=self.data)


class Buckets(Training):
    arguments: dict = {}

    def make(self):
        self.data = rnn.BucketSentenceIter(SENTENCES, 2, buckets=[3, 6], invalid_label=0,
                                           **self.arguments)

        def generate(length):
            self.cell.reset()
            outputs, _ = self.cell.unroll(length, self.embedded(), merge_outputs=True)
            return self.scores(outputs), ['data'], ['softmax_label']
        self.module = mx.mod.BucketingModule(generate, self.data.default_bucket_key)


class Seeded(Buckets):
    arguments = {'seed': 5, 'last_batch': 'roll_over'}


class Carried(Training):
    def make(self):
        carried = rnn.carry_states(self.cell)
        outputs, states = self.cell.unroll(3, self.embedded(), carried.begin_state,
                                           merge_outputs=True)
        self.module = mx.mod.Module(carried.group(self.scores(outputs), states),
                                    state_names=carried.state_names)
        self.data = rnn.StreamIter([1, 2, 3, 4, 5, 6] * 10, batch_size=2, bptt=3)
        self.before = (carried,)


class Prefetched(Carried):
    prefetched = True


class Ended(Carried):
    """Its schedule ends at the 12th of 27 updates."""

    @property
    def optimizer_params(self):
        return {'lr_scheduler': mx.lr_scheduler.CosineScheduler(12, 0.3, 0.02)}


@pytest.fixture
def prefix(tmp_path):
    """The prefix of a checkpoint of one epoch, with a position."""
    training = Seeded(seed=1)
    training.fit(training.saver(tmp_path / 'model'), epochs=1)
    return str(tmp_path / 'model')


KINDS = {kind.__name__: kind for kind in (Buckets, Seeded, Prefetched, Carried, Ended)}


# differences.md: training killed within an epoch (restarts the epoch)
@pytest.mark.parametrize('kind, as_epoch_end, places', [
    ('Seeded', True, ''), ('Carried', True, '0001.batch-0004'), ('Ended', True, '0001.batch-0004'),
    *(pytest.param(*how, '', marks=pytest.mark.nightly) for how in [
        ('Buckets', True), ('Buckets', False), ('Carried', True), ('Prefetched', True)])])
def test_training_goes_on_at_the_next_batch(kind, as_epoch_end, places, tmp_path):
    """From each place where it was saved, or from those of some name."""
    folder, prefix = tmp_path / 'now', str(tmp_path / 'now' / 'model')
    folder.mkdir()
    whole = KINDS[kind](seed=1)
    saver = whole.saver(prefix)
    kept = []

    def keep(*_):
        names = sorted(os.listdir(str(folder)))
        if names and (not kept or kept[-1][0] != names):
            kept.append((names, tmp_path / str(len(kept))))
            shutil.copytree(str(folder), str(kept[-1][1]))
    expected = whole.fit(saver, after=[keep], as_epoch_end=as_epoch_end)
    keep()
    within = [names for names, _ in kept if any('batch' in name for name in names)]
    assert len(within) >= 6 and len(kept) - len(within) >= (3 if as_epoch_end else 2)
    assert all(sum('.batch-' in name for name in names) in (0, 2) for names, _ in kept)

    kept = [(names, place) for names, place in kept if places in ''.join(names)]
    assert kept
    for names, place in kept:
        again = KINDS[kind](seed=99)  # other generators than those that were saved
        prefix = str(place / 'model')
        loaded = again.load(prefix)
        random.random(), np.random.rand(), mx.nd.random.uniform(shape=(1,)).asscalar()
        if loaded.epoch == 3:
            resumed = loaded.arg_params, loaded.aux_params
        else:
            resumed = again.fit(again.saver(prefix), loaded, as_epoch_end=as_epoch_end)
        assert same(resumed[0], expected[0]) and same(resumed[1], expected[1]), names


# differences.md: a position of other data or another seed
def test_other_data_and_other_seeds_are_refused(tmp_path):
    prefix = str(tmp_path / 'model')
    first = Seeded(seed=1)
    first.fit(first.saver(prefix), epochs=1)
    again = Seeded(seed=1)
    options = {'batch_size': 2, 'buckets': [3, 6], 'invalid_label': 0, **Seeded.arguments}
    for data in (rnn.BucketSentenceIter(SENTENCES, **{**options, 'seed': 6}),
                 rnn.BucketSentenceIter(SENTENCES[1:], **options),
                 rnn.StreamIter([1, 2, 3] * 9, 2, 3)):
        with pytest.raises(ValueError, match='state must be for'):
            rnn.load_rnn_checkpoint(again.cell, prefix, module=again.module, data=data)
    rnn.do_rnn_checkpoint(first.cell, str(tmp_path / 'plain'), module=first.module)(
        0, first.module.symbol, *first.module.get_params())
    with pytest.raises(rnn.CheckpointError, match='plain-0001.states has no position'):
        again.load(tmp_path / 'plain')


@pytest.mark.parametrize('position, lacking', [
    ('x', 'batches'), ([1, 2], 'batches'), ({}, 'batches'), ({'batches': '1'}, 'batches'),
    ({'batches': 1, 'ended': False, 'data': {}}, 'seed'),
    ({'batches': 1, 'ended': False, 'data': {}, 'seed': 2.5}, 'seed'),
    ({'batches': 1, 'ended': False, 'data': {}, 'seed': 2, 'carried': ()}, 'carried'),
    ({'batches': 1, 'ended': False, 'data': {}, 'seed': 2, 'carried': []}, 'random'),
    ({'batches': 1, 'ended': False, 'data': {}, 'seed': 2, 'carried': [[1]], 'random': {}},
     'carried'),
    ({'batches': 1, 'ended': False, 'data': {}, 'seed': 2, 'carried': [1], 'random': {}},
     'carried'),
])
def test_positions_of_strangers_are_refused(position, lacking, prefix, tmp_path):
    change_extra(tmp_path / 'model-0001.states', lambda extra: extra.update(position=position))
    again = Seeded(seed=1)
    with pytest.raises(rnn.CheckpointError, match='model-0001.states has no position in the data: '
                                                  '%s is missing or of another type' % lacking):
        again.load(prefix)


def test_files_that_lack_a_new_entry_stay_readable(prefix, monkeypatch):
    monkeypatch.setitem(_ENTRIES, 'new', _Entry(int, lambda here: 1))
    assert Seeded(seed=1).load(prefix).epoch == 1


@pytest.mark.parametrize('at', [-1, 625, 10 ** 9, 2 ** 70, 1.5, None])
@pytest.mark.parametrize('ended', [False, True])
def test_generators_of_strangers_are_refused(at, ended, prefix, tmp_path):
    """NumPy takes the place in a state at its word, and would read its next numbers there."""

    def change(extra):
        name, keys, _, *gauss = extra['position']['random']['numpy']
        extra['position']['random']['numpy'] = (name, keys, at, *gauss)
        extra['position']['ended'] = ended
    change_extra(tmp_path / 'model-0001.states', change)
    again = Seeded(seed=1)
    before = np.random.get_state()
    with pytest.raises(rnn.CheckpointError, match='model-0001.states has no states of random gen'):
        again.load(prefix)
    assert (np.random.get_state()[1] == before[1]).all() and np.random.get_state()[2] == before[2]


def test_carried_states_are_saved_after_they_are_carried(tmp_path):
    training = Carried(seed=1)
    saver = training.saver(tmp_path / 'model', 2)
    carried, = training.before
    training.before = ()
    with pytest.raises(ValueError, match='batch_end_callback must list the result of carry_states'):
        training.fit(saver, after=[carried])


@pytest.mark.parametrize('arguments, said', [
    ({'batches': 2, 'module': True}, 'batches needs data'),
    ({'data': True}, 'data needs module'),
    ({'data': True, 'module': True, 'batches': 0}, 'batches must be'),
    ({'data': True, 'module': True, 'prefix': 's3://bucket/model'}, 'data must be None'),
])
def test_what_a_position_needs(arguments, said, tmp_path):
    training = Carried(seed=1)
    arguments = dict({'prefix': str(tmp_path / 'model')}, **arguments)
    for name in ('data', 'module'):
        if name in arguments:
            arguments[name] = getattr(training, name)
    with pytest.raises(ValueError, match=said):
        rnn.do_rnn_checkpoint(training.cell, **arguments)


def test_iterators_without_a_position_are_refused(tmp_path):
    training = Carried(seed=1)
    data = mx.io.NDArrayIter(np.ones((4, 2)))
    with pytest.raises(TypeError, match='data must be an iterator with state_dict'):
        rnn.do_rnn_checkpoint(training.cell, str(tmp_path / 'm'), module=training.module, data=data)
    with pytest.raises(TypeError, match='data must be an iterator with load_state_dict'):
        rnn.load_rnn_checkpoint(training.cell, str(tmp_path / 'm'), module=training.module,
                                data=data)
    with pytest.raises(ValueError, match='data needs module'):
        rnn.load_rnn_checkpoint(training.cell, str(tmp_path / 'm'), data=training.data)


def test_after_batches_only_with_batches(tmp_path):
    training = Carried(seed=1)
    with pytest.raises(ValueError, match='needs batches='):
        training.fit(rnn.do_rnn_checkpoint(training.cell, str(tmp_path / 'model')))


class Nothing(mx.metric.EvalMetric):
    """A metric that waits for no output."""

    def update(self, labels, preds):
        pass


class Deep(Training):
    """BatchNorm's averages are computed behind a network of some milliseconds."""

    def make(self):
        self.cell = []
        self.data = rnn.StreamIter(np.arange(200 * 64 * 5 + 200) % 97, batch_size=200, bptt=64)
        hidden = mx.sym.Variable('data')
        for i, size in enumerate((500, 500, 500, 64)):
            hidden = mx.sym.FullyConnected(hidden, num_hidden=size, name='layer%d' % i)
        hidden = mx.sym.BatchNorm(hidden, name='norm')
        label = mx.sym.Variable('softmax_label')
        self.module = mx.mod.Module(mx.sym.LinearRegressionOutput(hidden, label, name='softmax'))


def test_averages_of_the_last_batch_are_saved(tmp_path):
    training = Deep(seed=1)
    saver = rnn.do_rnn_checkpoint([], str(tmp_path / 'model'), module=training.module,
                                  data=training.data, batches=1)
    compared = []

    def compare(param):
        path = tmp_path / ('model-0000.batch-%04d.params' % (param.nbatch + 1))
        if path.exists():  # not at the end of the epoch
            mx.nd.waitall()
            averages = training.module._exec_group.execs[0].aux_dict
            saved = mx.nd.load(str(path))
            compared.append(same({name: saved['aux:' + name] for name in averages}, averages))
    training.module.fit(training.data, num_epoch=1, eval_metric=Nothing('nothing'),
                        batch_end_callback=[saver, compare])
    assert compared == [True] * (len(training.data) - 1) and len(compared) >= 3
