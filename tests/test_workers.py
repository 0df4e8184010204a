"""Checkpoints within epochs where several workers train: all of them go on, or none does."""
import concurrent.futures
import contextlib
import itertools
import logging
import os
import pickle
import re
import shutil
import signal
import sys
import threading
import types

import pytest

from . import differs, mx, ours, rnn, trainings
from .checkpoints import change_extra, flipped, reseal
from .comparing import same
from .test_checkpoint import Store
from .test_position import SENTENCES, Seeded

pytestmark = differs


def part_of(index, count=2, seed=5):
    return rnn.BucketSentenceIter(SENTENCES, 2, buckets=[3, 6], invalid_label=0, seed=seed,
                                  num_parts=count, part_index=index)


@contextlib.contextmanager
def of_rank(rank, module):
    """Let a module have the store of a worker, which nobody finds after the block."""
    store = Store()
    store.rank = rank
    module._curr_module._kvstore = store
    try:
        yield
    finally:
        module._curr_module._kvstore = None


def batch_end(epoch, batch):
    """What `fit` gives to callbacks after so many batches."""
    return mx.model.BatchEndParam(epoch=epoch, nbatch=batch - 1, eval_metric=None, locals={})


class Workers:
    """Two workers with equal weights: one module that is of rank 0 and of rank 1 in turn."""

    def __init__(self, prefix, **options):
        self.training, self.prefix = Seeded(seed=1), prefix
        self.parts = [part_of(0), part_of(1)]
        self.training.data = self.parts[0]
        self.training.fit(epochs=1)
        self.module = self.training.module
        self.savers = [rnn.do_rnn_checkpoint(self.training.cell, prefix, module=self.module,
                                             data=part, **options) for part in self.parts]

    def save(self, rank, epoch, batch=0):
        """Call what `fit` calls after a batch, or at the end of an epoch."""
        with of_rank(rank, self.module):
            if batch:
                self.savers[rank](batch_end(epoch, batch))
            else:
                self.savers[rank](epoch - 1, self.module.symbol, *self.module.get_params())

    def save_all(self, epoch, batch=0, order=(0, 1)):
        for rank in order:
            self.save(rank, epoch, batch)

    def change(self):
        arg_params, aux_params = self.module.get_params()
        self.module.set_params({name: value + 1 for name, value in arg_params.items()}, aux_params)

    def load(self, rank, **options):
        again = Seeded(seed=2)
        again.data = part_of(rank)
        return rnn.load_rnn_checkpoint(again.cell, self.prefix, module=again.module,
                                       data=again.data, **options), again.data


@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize('known_by', ['module', 'horovod'])
def test_each_of_several_workers_needs_its_part_of_the_data(known_by, rank, tmp_path, monkeypatch):
    stack = contextlib.ExitStack()
    training = Seeded(seed=1)
    training.fit(epochs=1)
    callback = rnn.do_rnn_checkpoint(training.cell, str(tmp_path / 'worker'), batches=100,
                                     module=training.module, data=training.data)
    if known_by == 'module':
        stack.enter_context(of_rank(rank, training.module))
    else:
        other = types.ModuleType('horovod.mxnet')
        other.is_initialized, other.rank, other.size = lambda: True, lambda: rank, lambda: 2
        monkeypatch.setitem(sys.modules, 'horovod.mxnet', other)
    with stack:
        for arguments in ((batch_end(0, 1),),
                          (0, training.module.symbol, *training.module.get_params())):
            with pytest.raises(ValueError, match='data must have num_parts=2 where 2 workers '
                                                 'train, got num_parts=1'):
                callback(*arguments)
    assert not list(tmp_path.glob('worker*'))


@pytest.mark.parametrize('rank', [0, 1])
def test_each_of_several_workers_needs_the_part_of_its_rank(rank, tmp_path):
    workers = Workers(str(tmp_path / 'model'))
    workers.savers.reverse()
    with pytest.raises(ValueError, match='data must have part_index=%d in the worker of rank %d, '
                                         'got part_index=%d' % (rank, rank, 1 - rank)):
        workers.save(rank, 1)
    assert not list(tmp_path.glob('model*'))


@pytest.mark.parametrize('rank', [0, 1])
def test_each_of_several_workers_needs_the_optimiser(rank, tmp_path):
    workers = Workers(str(tmp_path / 'model'))
    workers.module._curr_module._updater = None
    told = '^data needs the optimiser in the 2 workers, .* MXNET_UPDATE_ON_KVSTORE=0'
    with pytest.raises(ValueError, match=told):
        workers.save(rank, 1)
    with pytest.raises(ValueError, match=told), of_rank(rank, workers.module):  # before training
        rnn.do_rnn_checkpoint(workers.training.cell, workers.prefix, module=workers.module,
                              data=workers.parts[rank])
    assert not list(tmp_path.glob('model*'))


def test_only_errors_of_files_are_said_to_be_of_a_part(tmp_path, monkeypatch):
    workers = Workers(str(tmp_path / 'model'), batches=3)
    for error, told in ((mx.base.MXNetError('of MXNet'), '^of MXNet$'),
                        (rnn.CheckpointError('of the data'), '^of the data$'),
                        (OSError('full'), 'cannot save .*part-0001: full$')):
        def position(batches, error=error):
            raise error
        monkeypatch.setattr(workers.parts[1], 'state_dict', position)
        with pytest.raises(mx.base.MXNetError, match=told):
            workers.save(1, 1, 3)
    assert not list(tmp_path.glob('model*'))


def test_each_worker_goes_on_in_its_part(tmp_path):
    workers = Workers(str(tmp_path / 'model'), batches=3)
    workers.save_all(1, 3, order=(1, 0))
    assert sorted(os.listdir(str(tmp_path))) == [
        'model-0001.batch-0003.' + kind for kind in ('params', 'part-0000', 'part-0001', 'states')
        ] + ['model-symbol.json']
    for rank, part in enumerate(workers.parts):
        loaded, data = workers.load(rank)
        assert loaded.epoch == 1 and same(loaded.arg_params, workers.module.get_params()[0])
        part.load_state_dict(part.state_dict(3))
        assert (next(data).data[0].asnumpy() == next(part).data[0].asnumpy()).all()
    again = Seeded(seed=2)
    for data in (part_of(0, 1), part_of(2, 3)):
        with pytest.raises(ValueError, match='saved with num_parts=2, and here it is %d'
                           % data.num_parts):
            rnn.load_rnn_checkpoint(again.cell, workers.prefix, module=again.module, data=data)
    plain = rnn.load_rnn_checkpoint  # without data, what is within an epoch does not count
    with pytest.raises(rnn.CheckpointError, match='there is no'):
        plain(again.cell, workers.prefix, module=again.module)


def cut(path, _):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path, _):
    content = path.read_bytes()
    path.write_bytes(flipped(content, len(content) // 2))


def of_other_weights(path, other):
    shutil.copyfile(str(other), str(path))


def of_a_stranger(path, _):
    reseal(path, lambda content: b'cposix\nsystem\n(S"exit 1"\ntR.')


def without_seed(path, _):
    reseal(path, lambda content: pickle.dumps(
        {name: value for name, value in pickle.loads(content).items() if name != 'seed'}))


HARMS = {
    'missing': (lambda path, _: path.unlink(), 'No such file'),
    'flipped': (flip, 'its checksum does not match'),
    'other': (of_other_weights, 'was written for other weights'),
    'cut': (cut, 'its checksum does not match'), 'stranger': (of_a_stranger, 'names posix.system'),
    'entry': (without_seed, 'has no position in the data: seed is missing')}


# differences.md: a worker, server or scheduler dies, hangs or fails (the others wait for ever)
# differences.md: the optimiser's states (not saved)
@pytest.mark.parametrize('kind, name', [
    *[(kind, name) for kind in ('part-0000', 'part-0001') for name in HARMS],
    *[('states', name) for name in ('missing', 'flipped', 'other')]])
def test_all_workers_go_on_from_the_same_checkpoint_or_none_does(kind, name, tmp_path, caplog):
    harm, said = HARMS[name]
    workers = Workers(str(tmp_path / 'model'), batches=3)
    workers.save_all(1, 3)
    before = {name: array.copy() for name, array in workers.module.get_params()[0].items()}
    workers.change()
    workers.save_all(1, 6)
    names = ['model-0001.batch-%04d.%s' % (batch, kind) for batch in (6, 3)]
    harm(*(tmp_path / name for name in names))
    caplog.set_level(logging.WARNING)
    for rank in (0, 1):  # whoever's part it is
        caplog.clear()
        loaded, data = workers.load(rank)
        assert same(loaded.arg_params, before)
        assert data.state_dict()['batches'] == 3
        told, = [text for text in caplog.messages if 'Skipped' in text]
        assert names[0] in told and said in told


WRONG_PARTS = ('model-0001.batch-0003.states must have parts, an integer of at least 1, .*, got '
               'parts=')


@pytest.mark.parametrize('extra, said', [*[(extra, WRONG_PARTS) for extra in (
    {'parts': 0}, {'parts': -1}, {'parts': '2'}, {'parts': 2.0}, {'weights': None},
    {'weights': -1}, {'weights': 1 << 32})],
    ({'parts': 10 ** 18}, 'part-0002: No such file')])  # which takes no memory
def test_numbers_of_parts_of_strangers_are_refused(extra, said, tmp_path):
    workers = Workers(str(tmp_path / 'model'), batches=3)
    workers.save_all(1, 3)
    change_extra(tmp_path / 'model-0001.batch-0003.states', lambda found: found.update(extra))
    with pytest.raises(rnn.CheckpointError, match=said):
        workers.load(0)


@pytest.mark.parametrize('options, places', [
    ({'batches': 3}, [(1, 3), (1, 6)]), ({'keep': 1}, [(2, 0), (3, 0)])])
def test_parts_that_killed_processes_left_are_deleted(options, places, tmp_path):
    workers = Workers(str(tmp_path / 'model'), **options)
    alone = [tmp_path / name for name in ('model-0001.part-0001', 'model-0000.batch-0003.part-0000',
                                          'model-0001.batch-0001.part-10000')]
    others = [tmp_path / name for name in (
        'model-0003.batch-0003.part-0001', 'model-0001.part-00001', 'model-0001.part-0001.old',
        'model-a-0001.part-0001', 'model-00001.part-0001')]  # newer, or no names of ours
    for path in alone + others:
        path.write_bytes(b'')
    for place in places:
        workers.save_all(*place, order=(1, 0))
    assert [path.name for path in alone if path.exists()] == []
    assert [path.name for path in others if not path.exists()] == []
    assert len(list(tmp_path.glob('model-*.params'))) == 2
    assert len(list(tmp_path.glob('model-*.part-000?'))) == 4 + 3


def test_what_workers_went_on_from_stays_while_their_weights_differ(tmp_path):
    prefix = str(tmp_path / 'model')
    Workers(prefix, keep=1).save_all(1)
    going_on = Workers(prefix, keep=1)
    with pytest.warns(UserWarning, match='No worker can resume .* seed mx.random equally') as told:
        for epoch in (2, 3, 4):
            going_on.save(0, epoch)
            going_on.change()
            going_on.save(1, epoch)
    assert sum('No worker can resume' in str(each.message) for each in told) == 1
    loaded, _ = going_on.load(0)
    assert loaded.epoch == 1


def test_the_checkpoint_before_stays_until_all_workers_have_written_the_next(tmp_path):
    workers = Workers(str(tmp_path / 'model'), batches=3, keep=1)

    def places():
        return [re.fullmatch(r'model-(.*)\.params', path.name).group(1)
                for path in sorted(tmp_path.glob('model-*.params'))]
    for epoch, batch, left in [
            (1, 3, ['0001.batch-0003']), (1, 6, ['0001.batch-0003', '0001.batch-0006']),
            (1, 9, ['0001.batch-0006', '0001.batch-0009']), (2, 0, ['0001.batch-0009', '0002']),
            (2, 3, ['0002.batch-0003', '0002']), (3, 0, ['0002.batch-0003', '0002', '0003']),
            (4, 0, ['0003', '0004'])]:
        workers.save(0, epoch, batch)
        assert places() == left
        workers.save(1, epoch, batch)
        assert places() == left
        workers.change()
    assert sorted(path.name for path in tmp_path.glob('model-*.part-*')) == [
        'model-%s.part-%04d' % (place, part) for place in ('0003', '0004') for part in (0, 1)]

    # Whoever goes on leaves what it goes on from, whatever stands after it
    Workers(workers.prefix, batches=3).save_all(4, 3)
    Workers(workers.prefix, batches=2).save(0, 4, 2)
    assert places() == ['0003', '0004.batch-0002', '0004.batch-0003', '0004']


#: Two streams with dropout, states carried along, and a worker that kills itself where it is told.
TRAIN = '''
import os, signal, sys, time
import mxrnn as rnn
from mxrnn import mx

folder, rank, epoch, batch, when = sys.argv[1:]
store = mx.kv.create('dist_sync')
data = rnn.StreamIter([1 + i * i % 6 for i in range(180)], batch_size=2, bptt=3,
                      num_parts=store.num_workers, part_index=store.rank)
cell = rnn.SequentialRNNCell()
cell.add(rnn.LSTMCell(4, prefix='lstm_'))
cell.add(rnn.DropoutCell(0.5))
carried = rnn.carry_states(cell)
embedded = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=7, output_dim=3, name='embed')
outputs, states = cell.unroll(3, embedded, carried.begin_state, merge_outputs=True)
scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-3, -2)), num_hidden=7, name='out')
loss = mx.sym.SoftmaxOutput(scores, mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,)),
                            name='softmax')
module = mx.mod.Module(carried.group(loss, states), state_names=carried.state_names)
prefix = os.path.join(folder, 'lm')
resumed = {}
if any(name.endswith('.params') for name in os.listdir(folder)):
    loaded = rnn.load_rnn_checkpoint(cell, prefix, module=module, data=data)
    resumed = {'arg_params': loaded.arg_params, 'begin_epoch': loaded.epoch}

def die(param):
    if (store.rank, param.epoch, param.nbatch + 1) == (int(rank), int(epoch), int(batch)):
        theirs = '%s-%04d.batch-%04d.' % (prefix, param.epoch, param.nbatch + 1)
        while not os.path.exists(theirs + ('part-0001' if store.rank == 0 else 'params')):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

def own_dropout(param):
    if not resumed and param.epoch == param.nbatch == 0:
        mx.random.seed(10 + store.rank)

mx.random.seed(1)  # the first weights, the same on both
save = rnn.do_rnn_checkpoint(cell, prefix, module=module, data=data, batches=2)
after = [carried, own_dropout, die, save] if when == 'before' else [carried, own_dropout, save, die]
before = data.state_dict()['batches'], resumed.get('begin_epoch', 0)
module.fit(data, kvstore=store, num_epoch=3, optimizer='adam', initializer=mx.init.Uniform(0.3),
           optimizer_params={'learning_rate': 0.02}, batch_end_callback=after,
           eval_metric=mx.metric.Perplexity(None, output_names=['softmax_output'],
                                            label_names=['softmax_label']),
           epoch_end_callback=save, **resumed)
mx.nd.save(os.path.join(folder, 'end-%d' % store.rank), module.get_params()[0])
print('from batch %d of epoch %d' % before)
'''


def start(folder, *kill):
    """Begin a training, or go on with it."""
    return trainings.Training(folder, TRAIN, str(folder), *map(str, kill),
                              MXNET_UPDATE_ON_KVSTORE='0')


def finish(folder):
    """Train to the end; return what all printed."""
    with start(folder, -1, 0, 0, 'never') as run:
        run.wait(lambda: run.ended(0, 1, 2, 3))
        printed = ''.join(map(run.printed, range(4)))
    assert run.statuses() == [0, 0, 0, 0], printed
    return printed


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The folder of a training that nothing happens to."""
    folder = tmp_path_factory.mktemp('whole')
    printed = finish(folder)
    assert printed.count('from batch 0 of epoch 0') == 2
    return folder


@pytest.fixture(scope='module')
def whole(trained):
    """The parameters that its workers end with."""
    ends = [mx.nd.load(str(trained / ('end-%d' % rank))) for rank in (0, 1)]
    assert same(*ends)
    return ends[0]


# differences.md: a worker, server or scheduler dies, hangs or fails (the others wait for ever)
# differences.md: training killed within an epoch (restarts the epoch)
@ours
@pytest.mark.parametrize('rank, when, batch', [
    (1, 'before', 4), *(pytest.param(*how, marks=pytest.mark.nightly) for how in [
        (0, 'after', 6), (0, 'before', 4), (1, 'after', 6)])])
def test_a_worker_dies_and_all_go_on_at_the_same_batch(rank, when, batch, whole, tmp_path):
    with start(tmp_path, rank, 1, 6, when) as run:
        run.wait(lambda: any(map(run.ended, range(4))))
        assert {*run.statuses()} == {None, -signal.SIGKILL}
    kinds = {path.name.rsplit('.', 1)[1] for path in tmp_path.glob('lm-0001.batch-0006.*')}
    assert kinds == {'params', 'states', 'part-0000', 'part-0001'} - (
        set() if when == 'after' else {'params', 'states', 'part-0000'} if rank == 0 else
        {'part-0001'})
    printed = finish(tmp_path)
    assert printed.count('from batch %d of epoch 1' % batch) == 2, printed
    # of the worker that died before it wrote; if that was to write the parameters, nothing is seen
    skipped = 'Skipped a checkpoint: cannot read %s: No such file' % (
        tmp_path / 'lm-0001.batch-0006.part-0001')
    assert printed.count(skipped) == 2 * (when == 'before' and rank == 1), printed
    assert printed.count('Skipped a checkpoint') == printed.count(skipped)
    for number in (0, 1):
        assert same(mx.nd.load(str(tmp_path / ('end-%d' % number))), whole)


# differences.md: no checkpoint yet (an error)
def test_what_is_left_of_a_first_checkpoint_that_no_worker_finished_is_none(tmp_path):
    workers = Workers(str(tmp_path / 'model'), batches=3)
    workers.save(0, 1, 3)  # and the other worker is killed before it writes its part
    refuses = pytest.raises(rnn.CheckpointError, match='part-0001')
    with refuses:
        workers.load(0)
    assert workers.load(0, missing_ok=True)[0] is None
    part = tmp_path / 'model-0001.batch-0003.part-0001'
    part.write_bytes(b'damaged')
    with refuses:
        workers.load(0, missing_ok=True)
    part.unlink()
    workers.save(1, 1, 3)
    workers.save_all(1, 6)
    workers.save(0, 1, 9)  # the first one was whole: what is missing now was lost by other means
    assert workers.load(0, missing_ok=True)[0] is not None
    (tmp_path / 'model-0001.batch-0006.part-0001').unlink()
    with refuses:
        workers.load(0, missing_ok=True)


# differences.md: no checkpoint yet (an error)
def test_a_checkpoint_may_be_missing(tmp_path):
    training = Seeded(seed=1)
    prefix = str(tmp_path / 'model')
    for place in (prefix, str(tmp_path / 'folder' / 'model')):
        for epoch in (None, 3):
            assert rnn.load_rnn_checkpoint(training.cell, place, epoch, missing_ok=True) is None
            with pytest.raises(rnn.CheckpointError):
                rnn.load_rnn_checkpoint(training.cell, place, epoch)
    (tmp_path / 'file').write_bytes(b'')
    for folder, epoch in itertools.product(('file', 'file/folder'), (None, 3)):
        with pytest.raises(rnn.CheckpointError, match='cannot read .*%s: Not a dir' % folder):
            rnn.load_rnn_checkpoint(training.cell, str(tmp_path / folder / 'model'), epoch,
                                    missing_ok=True)
    (tmp_path / 'model-0003.params').write_bytes(b'damaged')
    for epoch in (None, 3):
        with pytest.raises(rnn.CheckpointError):
            rnn.load_rnn_checkpoint(training.cell, prefix, epoch, missing_ok=True)
    with pytest.raises(TypeError, match='missing_ok must be'):
        rnn.load_rnn_checkpoint(training.cell, prefix, missing_ok='yes')


class Exchange:
    """Stores of workers in threads, that add up what all of them push."""

    type = 'dist_sync'

    def __init__(self, workers):
        self.num_workers = workers
        self.barrier = threading.Barrier(workers)
        self.pushed = {}

    def of(self, rank):
        return types.SimpleNamespace(
            type=self.type, num_workers=self.num_workers, rank=rank, init=lambda key, value: None,
            push=lambda key, value: self.pushed.update({rank: value.asnumpy()}), pull=self.pull)

    def pull(self, key, out):
        self.barrier.wait(30)
        total = sum(self.pushed.values())
        self.barrier.wait(30)
        out[:] = total


# differences.md: workers that see different checkpoints
@ours
@pytest.mark.parametrize('views, agreed', [
    ([[3, 2, 1], [3, 2, 1]], 3), ([[3, 2, 1], [2, 1]], 2), ([[3, 1], [2, 1]], 1), ([[], []], None),
    ([[3, 2, 1], [3], [3, 1]], 3), ([[1], []], 'no checkpoint of p can be read by all workers: '
                                   'the worker of rank 1 finds none'),
    ([[2], [1]], 'rank 0 finds none'), ([[1], [-1]], 'other weights in some workers')])
def test_workers_agree_on_the_newest_that_all_can_read(views, agreed, monkeypatch):
    from mxrnn._checkpoint import worker_agreement
    exchange = Exchange(len(views))
    current = threading.local()
    monkeypatch.setattr(worker_agreement.heartbeat_watch, 'stores', lambda: [current.store])
    data = types.SimpleNamespace(num_parts=len(views))

    def work(rank):
        current.store = exchange.of(rank)
        left = sorted(views[rank], key=abs)
        highest = [9]

        def chosen():
            can = [epoch for epoch in left if abs(epoch) <= highest[0]]
            return (abs(can[-1]), 0, {'weight': mx.nd.array([can[-1]])}) if can else None

        try:
            for place in worker_agreement.agree('p', data, chosen):
                assert place[0] < chosen()[0]
                highest[0] = place[0]
        except rnn.CheckpointError as error:
            return str(error)
        return chosen()

    with concurrent.futures.ThreadPoolExecutor(len(views)) as threads:
        results = list(threads.map(work, range(len(views))))
    for result in results:
        if isinstance(agreed, str):
            assert agreed in result
        else:
            assert (result and result[0]) == agreed
