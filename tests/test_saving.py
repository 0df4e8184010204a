"""A save that fails or is killed leaves what was there before."""
import contextlib
import errno
import itertools
import os
import re
import socket
import subprocess
import sys

import pytest

from . import differs, mx, ours, rnn
from .checkpoints import content, fit, module_of, parameters
from .comparing import same
from .processes import printed

pytestmark = differs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# differences.md: an interrupted save, a full disk
@pytest.mark.parametrize('kills', [20, pytest.param(100, marks=pytest.mark.nightly)])
def test_killed_processes_leave_whole_checkpoints(kills, tmp_path):
    said = printed('-W', 'ignore', '-m', 'tests.kill_saves', tmp_path, kills, folder=ROOT)
    inside, whole = re.search(r'%d .* killed, (\d+) .* save; (\d+)' % kills, said).groups()
    assert int(inside) > kills / 10 and int(whole) > kills / 10


# differences.md: a checkpoint with its graph, MXNet 1.7 and newer
@ours
@pytest.mark.parametrize('casts', [False, True])
def test_saved_graphs_take_no_memory_for_good(casts, tmp_path, monkeypatch):
    """MXNet never frees the copy that it makes to leave out casts; what it writes is the same."""
    asked = []
    save = mx.sym.Symbol.save

    def watched(self, fname, remove_amp_cast=True):
        asked.append(remove_amp_cast)
        save(self, fname, remove_amp_cast)
    monkeypatch.setattr(mx.sym.Symbol, 'save', watched)
    symbol, _ = rnn.LSTMCell(3).unroll(2, mx.sym.Variable('data'), merge_outputs=True)
    symbol = mx.sym.amp_cast(symbol, dtype='float32') if casts else symbol
    rnn.save_rnn_checkpoint([], str(tmp_path / 'ours'), 1, symbol, {}, {})
    mx.model.save_checkpoint(str(tmp_path / 'theirs'), 1, symbol, {}, {})
    ours, theirs = (content(tmp_path)[name + '-symbol.json'] for name in ('ours', 'theirs'))
    assert asked == [casts, True] and ours == theirs


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


def with_others(saved):
    """The checkpoint with other parameters."""
    return type(saved)(*saved[:3], *parameters(saved.symbol, seed=1))


# differences.md: an interrupted save, a full disk
def test_full_disk(saved, tmp_path):
    before = content(tmp_path)
    sizes = sorted(len(each) for each in before.values())
    limits = sorted({0, 1, 8, 23, 24, 40, 4095, 4096, 4097} | set(range(100, sizes[1], 1001))
                    | {size - less for size in sizes for less in (1, 2, 100)})
    others = with_others(saved)
    for limit in limits:
        for epoch in (1, 2):
            with pytest.raises(rnn.CheckpointError, match='model-000%d.params' % epoch):
                with file_size_limit(limit):
                    others.save(saved.prefix, epoch)
            assert content(tmp_path) == before
    with file_size_limit(sizes[-1]):
        others.save(saved.prefix)
    assert content(tmp_path) != before


@pytest.mark.parametrize('failing', [1, 2, 3])
def test_a_disk_that_fails_when_files_are_flushed(failing, saved, tmp_path, monkeypatch):
    before = content(tmp_path)
    count = itertools.count(1)

    def fsync(descriptor, call=os.fsync):
        if next(count) == failing:
            raise OSError(errno.EIO, 'Input/output error')
        call(descriptor)

    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(rnn.CheckpointError, match='model-0001.params.*Input/output error'):
        with_others(saved).save(saved.prefix)
    assert content(tmp_path) == before


# differences.md: missing folders of the prefix
def test_folders(saved, tmp_path):
    def save(*path):
        saved.save(tmp_path.joinpath(*path))
    save('new', 'folders', 'model')
    assert sorted(content(tmp_path / 'new' / 'folders')) == ['model-0001.params',
                                                             'model-symbol.json']
    with pytest.raises(rnn.CheckpointError, match='model-0001.params.* exists'):
        save('model-0001.params', 'model')
    (tmp_path / 'taken-0001.params').mkdir()
    with pytest.raises(rnn.CheckpointError, match='cannot save .*taken-0001.params is a folder'):
        save('taken')
    (tmp_path / 'other-symbol.json').mkdir()
    with pytest.raises(rnn.CheckpointError, match='cannot save .*other-symbol.json is a folder'):
        save('other')
    assert len(list(tmp_path.glob('taken-*'))) == len(list(tmp_path.glob('other-*'))) == 1
    (tmp_path / 'locked').mkdir(mode=0o500)
    if os.geteuid():
        with pytest.raises(rnn.CheckpointError, match='locked'):
            save('locked', 'model')
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith('.')]


def calls(monkeypatch, saved):
    """The calls by which saves change their folder from now on: (call, kind of the file)."""
    folder = os.path.dirname(saved[1])
    happened = []

    def kind_of(path):
        if os.path.isdir(path):
            return 'folder' if os.path.samefile(path, folder) else 'other folder'
        return os.path.basename(path).rpartition('-')[2].rpartition('.')[2]

    def fsync(descriptor, call=os.fsync):
        happened.append(('flush', kind_of(os.readlink('/proc/self/fd/%d' % descriptor))))
        call(descriptor)

    def replace(old, new, call=os.replace):
        call(old, new)
        if os.path.dirname(os.path.realpath(new)) == os.path.realpath(folder):
            happened.append(('rename', kind_of(new)))

    def remove(path, call=os.remove):
        call(path)
        if os.path.dirname(path) == folder:
            happened.append(('remove', kind_of(path)))
    monkeypatch.setattr(os, 'fsync', fsync)
    monkeypatch.setattr(os, 'replace', replace)
    monkeypatch.setattr(os, 'remove', remove)
    return happened


# differences.md: an interrupted save, a full disk
@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='names of open files are unknown')
def test_files_are_flushed_then_renamed_states_first(saved, tmp_path, monkeypatch):
    module, data = module_of('module', saved.cell)
    fit(module, data, 1)
    save = rnn.do_rnn_checkpoint(saved.cell, saved.prefix, module=module, keep=1)
    happened = calls(monkeypatch, saved)
    save(0, module.symbol, *module.get_params())
    # After a power cut or a kill at any place, parameters are whole and have their states.
    assert [each for each in happened if each[0] != 'remove'] == [
        ('flush', 'params'),  # while its checksum is computed
        ('flush', 'states'), ('flush', 'params'), ('flush', 'json'),
        ('rename', 'states'), ('rename', 'params'), ('rename', 'json'), ('flush', 'folder')]
    happened.clear()
    save(1, module.symbol, *module.get_params())
    # Killed in between, what is left of the older checkpoint passes for none.
    assert [each for each in happened if each[0] == 'remove'] == [
        ('remove', 'params'), ('remove', 'states')]


def test_a_kill_while_an_epoch_is_saved_again_costs_its_states_only(saved, tmp_path, monkeypatch):
    cell = saved[0]
    prefix = str(tmp_path / 'again')
    module, data = module_of('module', cell)
    fit(module, data, 1)
    save = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    save(0, module.symbol, *module.get_params())
    old = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)[1]
    fit(module, data, 2)
    replace = os.replace

    def killed(source, target):
        replace(source, target)
        if str(target).endswith('.states'):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, 'replace', killed)
        save(0, module.symbol, *module.get_params())
    assert same(rnn.load_rnn_checkpoint(cell, prefix, 1)[1], old)
    with pytest.raises(rnn.CheckpointError, match='was written for other weights'):
        rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    save(0, module.symbol, *module.get_params())
    rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)


# differences.md: a checkpoint file that is a symbolic link
def test_symbolic_links_are_written_through(saved, tmp_path):
    (tmp_path / 'store').mkdir()
    (tmp_path / 'links').mkdir()
    files = {'p-0001.params': 'weights', 'p-symbol.json': 'graph', 'p-0002.params': 'new'}
    for name, target in files.items():
        (tmp_path / 'links' / name).symlink_to(tmp_path / 'store' / target)
    (tmp_path / 'store' / 'weights').write_bytes(b'before')
    prefix = str(tmp_path / 'links' / 'p')
    with pytest.raises(rnn.CheckpointError), file_size_limit(100):
        saved.save(prefix)
    assert content(tmp_path / 'store') == {'weights': b'before'}
    for epoch in (1, 2, 3):
        saved.save(prefix, epoch)
        assert same(rnn.load_rnn_checkpoint(saved.cell, prefix, epoch)[1], saved.arg_params)
    assert all((tmp_path / 'links' / name).is_symlink() for name in files)
    assert sorted(content(tmp_path / 'store')) == sorted(files.values())
    assert sorted(content(tmp_path / 'links')) == sorted([*files, 'p-0003.params'])


# differences.md: a file of a checkpoint that links to another
def test_two_files_that_are_links_to_one_are_refused(saved, tmp_path):
    (tmp_path / 'p-0001.params').symlink_to('p-symbol.json')
    with pytest.raises(rnn.CheckpointError, match='p-0001.params and .*p-symbol.json are links'):
        saved.save(tmp_path / 'p')
    assert not (tmp_path / 'p-symbol.json').exists()


# differences.md: Docker containers of one host name that save into one folder
@ours
def test_processes_that_cannot_see_each_other_save_into_one_folder(tmp_path):
    """Two containers of one host name: equal process numbers, and neither sees the other's."""
    unshare = ['unshare', '--user', '--map-root-user', '--pid', '--fork']
    try:
        allowed = subprocess.run(unshare + ['true'], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        allowed = False
    if not allowed:
        pytest.skip('namespaces of processes are not allowed here')
    # Other numbers than the other's, so that each takes the other's process for a dead one.
    code = 'for i in $(seq %d); do true & done; wait; %s -W ignore -c "$CODE" %s %d'
    save = """
import sys
from tests.kill_saves import save
for epoch in range(1, 61):
    save(sys.argv[1], epoch, int(sys.argv[2]))
"""
    processes = [subprocess.Popen(
        unshare + ['sh', '-c', code % (500 * number + 1, sys.executable,
                                       tmp_path / ('p%d' % number), number)],
        cwd=ROOT, env=dict(os.environ, CODE=save), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True) for number in (0, 1)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sorted(os.listdir(str(tmp_path))) == sorted(
        name for number in (0, 1) for name in ['p%d-symbol.json' % number] + [
            'p%d-%04d.params' % (number, epoch) for epoch in range(1, 61)])


# differences.md: Docker containers of one host name that save into one folder
def test_leftovers_of_dead_processes_are_deleted(saved, tmp_path):
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
        saved.save(saved.prefix)
    assert sorted(name for name in os.listdir(str(tmp_path)) if name.startswith('.')) == sorted(
        names[2:])
    assert rnn.load_rnn_checkpoint(saved.cell, saved.prefix).epoch == 1


@pytest.mark.parametrize('prefix', ['s3://bucket/model', 'hdfs://host/model'])
def test_remote_prefixes_go_to_mxnet(prefix, saved, monkeypatch, caplog):
    cell, local, symbol, arg_params, aux_params = saved
    calls = []
    monkeypatch.setattr(mx.model, 'save_checkpoint', lambda *args: calls.append(args))
    saved.save(prefix, 3)
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
