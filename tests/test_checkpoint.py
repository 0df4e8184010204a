"""Checkpoints: the original's files, readable by every kind of cell."""
import copy
import functools
import logging
import os
import pickle
import shutil
import sys
import types

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._files import params as stored

from . import differs, mx, ours, rnn
from .checkpoints import CELLS, content, fit, module_of, network, parameters, refusal, untrained
from .comparing import same
from .running import stack

# ---- the files of the original


# differences.md: a generator of cells for `do_rnn_checkpoint`
@differs
def test_a_generator_of_cells_serves_every_epoch(saved, tmp_path):
    callback = rnn.do_rnn_checkpoint((each for each in [saved.cell]), str(tmp_path / 'called'))
    for epoch in range(2):
        callback(epoch, *saved.model)
        assert ((tmp_path / ('called-%04d.params' % (epoch + 1))).read_bytes()
                == (tmp_path / 'model-0001.params').read_bytes())


# differences.md: the result of `load_rnn_checkpoint` (a tuple)
@differs
def test_copies_of_what_is_loaded_know_their_epoch(saved):
    loaded = rnn.load_rnn_checkpoint(*saved[:2])
    again = pickle.loads(pickle.dumps(loaded))
    for other in (loaded._replace(aux_params={}), copy.copy(loaded), copy.deepcopy(loaded), again):
        assert type(other) is rnn.Checkpoint and other.epoch == 1 and len(other) == 3
    assert same(again.arg_params, saved.arg_params)
    assert loaded._replace(aux_params={}).aux_params == {}
    symbol, arg_params, aux_params = loaded
    assert symbol is loaded.symbol and loaded == (symbol, arg_params, aux_params)
    assert rnn.Checkpoint(symbol, {}, {}).epoch is None
    assert rnn.Checkpoint(symbol, {}, {}, epoch=4).epoch == 4


@pytest.mark.parametrize('period, written', [
    (1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3]), (0, [1, 2, 3, 4]), (-5, [1, 2, 3, 4]),
    (2.9, [2, 4]), (np.int64(4), [4])])
def test_period(period, written, saved, tmp_path):
    callback = rnn.do_rnn_checkpoint(saved.cell, str(tmp_path / 'called'), period)
    for epoch in range(4):
        callback(epoch, sym=saved.symbol, arg=saved.arg_params, aux=saved.aux_params)
    names = sorted(name for name in os.listdir(str(tmp_path)) if name.startswith('called'))
    assert names == ['called-%04d.params' % epoch for epoch in written] + ['called-symbol.json']


def test_symbol_none_leaves_the_graph(saved, tmp_path):
    before = (tmp_path / 'model-symbol.json').read_bytes()
    saved.save(saved.prefix, 2, symbol=None)
    assert (tmp_path / 'model-symbol.json').read_bytes() == before
    assert (tmp_path / 'model-0002.params').exists()


# differences.md: log lines about saved checkpoints
@differs
def test_what_is_saved_is_logged_by_a_logger_of_the_package(saved, caplog):
    with caplog.at_level(logging.INFO, logger='mxrnn'):
        saved.save(saved.prefix, 12345)
    assert caplog.messages == ['Saved checkpoint to "%s-12345.params"' % saved.prefix]
    assert [record.name for record in caplog.records] == ['mxrnn.rnn']
    caplog.clear()
    with caplog.at_level(logging.INFO), caplog.at_level(logging.WARNING, logger='mxrnn'):
        saved.save(saved.prefix)
    assert not caplog.records


@pytest.mark.parametrize('epoch', [3.0, np.float32(3), np.int64(3), np.array(3)[()]])
def test_whole_numbers_are_epochs(epoch, saved, tmp_path):
    saved.save(saved.prefix, epoch)
    assert (tmp_path / 'model-0003.params').exists()
    loaded = rnn.load_rnn_checkpoint(saved.cell, saved.prefix, epoch)
    assert same(loaded[1], saved.arg_params)
    if rnn.__name__ != 'mxnet.rnn':
        assert loaded.epoch == 3 and type(loaded.epoch) is int


@pytest.mark.parametrize('stype', ['csr', 'row_sparse'])
def test_sparse_parameters_that_are_still_being_computed(stype, tmp_path):
    # MXNet then writes that nothing is stored, and the elements nevertheless.
    dense = np.zeros((2000, 300), 'float32')
    dense[::7] = 1
    slow = mx.nd.array(dense)
    for _ in range(100):
        slow = slow + 0
    prefix = str(tmp_path / 'sparse')
    rnn.save_rnn_checkpoint([], prefix, 1, mx.sym.Variable('a'), {'a': slow.tostype(stype)}, {})
    loaded = rnn.load_rnn_checkpoint([], prefix, 1)[1]['a']
    np.testing.assert_array_equal(loaded.asnumpy(), dense)
    np.testing.assert_array_equal(stored.read_sealed(prefix + '-0001.params')[0]['arg:a'], dense)


@pytest.mark.parametrize('wrap', [
    lambda cell: rnn.ResidualCell(cell), lambda cell: rnn.fuse(rnn.ResidualCell(cell)),
    lambda cell: rnn.fuse(cell), lambda cell: rnn.ZoneoutCell(rnn.ResidualCell(cell), 0.1, 0.1),
    lambda cell: stack(rnn, rnn.ResidualCell(cell))]
    if hasattr(rnn, 'fuse') else [rnn.ResidualCell])
@pytest.mark.parametrize('make', [rnn.RNNCell, rnn.LSTMCell])
def test_cells_in_cells_know_their_weights(make, wrap, tmp_path):
    prefix = str(tmp_path / 'model')
    symbol = make(3, prefix='in_').unroll(2, mx.sym.Variable('data'), merge_outputs=True)[0]
    params = parameters(symbol, data=(2, 2, 3))[0]
    # The graph lacks the cell, as that of another bucket may: only the cell knows the weights.
    rnn.save_rnn_checkpoint(make(3, prefix='in_'), prefix, 1, mx.sym.Variable('data'), params, {})
    assert same(rnn.load_rnn_checkpoint(wrap(make(3, prefix='in_')), prefix, 1)[1], params)


@pytest.mark.parametrize('name', ['p-0001.params', 'p-symbol.json'])
@pytest.mark.parametrize('linked', [False, True])
def test_pipes_get_what_is_saved_and_stay(name, linked, saved, tmp_path):
    """As root, one who lets the graph go to /dev/null would have no /dev/null any more."""
    (tmp_path / 'files').mkdir()
    saved.save(tmp_path / 'files' / 'p')
    prefix = tmp_path / 'pipes' / 'p'
    pipe = prefix.parent / name
    prefix.parent.mkdir()
    if linked:
        (tmp_path / 'elsewhere').mkdir()
        pipe.symlink_to(os.path.join('..', 'elsewhere', 'pipe'))
    os.mkfifo(os.path.realpath(str(pipe)))
    descriptor = os.open(str(pipe), os.O_RDWR | os.O_NONBLOCK)  # a pipe holds 64 KiB
    try:
        saved.save(prefix)
        assert os.read(descriptor, 1 << 16) == (tmp_path / 'files' / name).read_bytes()
    finally:
        os.close(descriptor)
    assert pipe.is_fifo() and pipe.is_symlink() == linked
    other, = [path for path in prefix.parent.iterdir() if path.name != name]
    assert other.read_bytes() == (tmp_path / 'files' / other.name).read_bytes()


def test_a_file_that_is_replaced_keeps_its_permission_bits(saved, tmp_path):
    names = [tmp_path / 'model-0001.params', tmp_path / 'model-symbol.json']
    for path, mode in zip(names, (0o600, 0o440)):
        path.chmod(mode)
    if os.geteuid():  # mxnet.rnn could not write what is read-only
        names[1].chmod(0o640)
    before = [path.stat().st_mode for path in names]
    saved.save(saved.prefix)
    assert [path.stat().st_mode for path in names] == before
    saved.save(saved.prefix, 2)
    made = (tmp_path / 'plain')
    made.write_text('')
    assert (tmp_path / 'model-0002.params').stat().st_mode == made.stat().st_mode


# ---- the callback


# differences.md: `do_rnn_checkpoint` with BucketingModule (saves the last bucket's graph)
@differs
def test_symbol_pins_what_is_saved(saved, tmp_path):
    other = network(CELLS['fused'](), length=2)
    rnn.do_rnn_checkpoint(saved.cell, str(tmp_path / 'called'), symbol=saved.symbol)(
        0, other, saved.arg_params, saved.aux_params)
    assert mx.sym.load(str(tmp_path / 'called-symbol.json')).tojson() == saved.symbol.tojson()


# differences.md: `do_rnn_checkpoint` with BucketingModule (saves the last bucket's graph)
@differs
def test_module_saves_the_graph_of_the_default_bucket(tmp_path):
    cell = CELLS['unfused']()
    module, data = module_of('buckets', cell)
    callback = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'model'), module=module)
    seen = []
    fit(module, data, 1, [callback, lambda epoch, symbol, *_: seen.append(symbol.tojson())])
    assert seen != [network(cell, 3).tojson()]  # what the callback is given is the last bucket's
    assert mx.sym.load(str(tmp_path / 'model-symbol.json')).tojson() == network(cell, 3).tojson()


# differences.md: old checkpoints (stay)
@differs
def test_keep(saved, tmp_path):
    others = ['kept-0009.params', 'kept-01.params', 'kept-0001-0001.params', 'akept-0001.params',
              'kept-0001.params.old']
    for name in others + ['kept-0001.states']:
        (tmp_path / name).write_bytes(b'')
    callback = rnn.do_rnn_checkpoint(saved.cell, str(tmp_path / 'kept'), keep=2)
    for epoch in range(4):
        callback(epoch, *saved.model)
        left = sorted(name for name in os.listdir(str(tmp_path)) if 'kept' in name)
        new = ['kept-%04d.params' % (epoch + 1 - back) for back in (0, 1) if epoch >= back]
        states = ['kept-0001.states'] if epoch < 2 else []
        assert left == sorted(others + states + new + ['kept-symbol.json'])


# ---- the newest

# differences.md: `load_rnn_checkpoint(epoch=None)` (an error)
@differs
def test_the_newest_that_loads(saved, tmp_path, caplog):
    cell, prefix, *_ = saved
    for epoch in (2, 10, 12345):
        saved.save(prefix, epoch, arg_params=dict(saved.arg_params,
                                                  output_bias=mx.nd.ones(7) * epoch))
    for other in ('model-20.params', 'model-00020.params', 'model-0030.params.tmp',
                  'xmodel-0040.params', 'model-0050.states'):
        (tmp_path / other).write_bytes(b'x')
    assert rnn.load_rnn_checkpoint(cell, prefix).epoch == 12345
    assert caplog.messages == []
    for name in ('model-12345.params', 'model-0010.params'):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    loaded = rnn.load_rnn_checkpoint(cell, prefix, epoch=None)
    assert loaded.epoch == 2 and loaded.arg_params['output_bias'].asnumpy().tolist() == [2] * 7
    message, = caplog.messages
    assert 'model-12345.params is damaged' in message
    assert message.endswith('(the same of model-0010.params)')
    for epoch in (1, 2):
        (tmp_path / ('model-%04d.params' % epoch)).write_bytes(b'')
    message = refusal(cell, prefix, None)
    assert all('model-%04d.params' % epoch in message for epoch in (1, 2, 10, 12345))


@differs
def test_cells_of_another_model_are_told_of_once(saved, tmp_path, caplog):
    for epoch in range(1, 8):
        saved.save(saved.prefix, epoch, cells=[])
    (tmp_path / 'model-0003.params').write_bytes(b'')
    message = refusal(rnn.LSTMCell(3, prefix='other_'), saved.prefix, None)
    assert message.count('the weights for LSTMCell') == 1 and not caplog.messages
    assert ('(the same of model-0006.params, model-0005.params, model-0004.params, …)' in message)
    assert message.endswith('model-0003.params is damaged: the header takes 8 bytes from byte 0 '
                            'on, the file has 0')


@differs
def test_checkpoints_are_shown_in_a_line(saved):
    loaded = rnn.load_rnn_checkpoint(saved.cell, saved.prefix)
    arrays = [*saved.arg_params.values(), *saved.aux_params.values()]
    assert repr(loaded) == 'Checkpoint(epoch 1, %d arrays of %d numbers)' % (
        len(arrays), sum(array.size for array in arrays))
    assert loaded[:] == (loaded.symbol, loaded.arg_params, loaded.aux_params)


@differs
@pytest.mark.parametrize('name', ['', 'model-0001.params', 'model-symbol.json'])
def test_a_folder_or_a_file_in_place_of_a_prefix_is_told(name, saved, tmp_path):
    cell, prefix = saved[:2]
    # interop.load reads the one model of a folder: see test_load.py
    for load in (functools.partial(rnn.load_rnn_checkpoint, cell), *[interop.load] * bool(name)):
        with pytest.raises(rnn.CheckpointError) as caught:
            load(str(tmp_path / name))
        said = "; give the prefix, %r" % prefix if name else (
            '%s is a folder: add the beginning of the names of its files, such as %s'
            % (tmp_path, prefix))
        assert said in str(caught.value)
    (tmp_path / 'empty').mkdir()
    message = refusal(cell, str(tmp_path / 'empty'), None)
    assert message.endswith('is a folder: add the beginning of the names of its files')


def run(prefix, epochs, value, **options):
    """Save as a training with one weight does that is trained from the start."""
    for epoch in epochs:
        rnn.save_rnn_checkpoint([], prefix, epoch, mx.sym.Variable('a'),
                                {'a': mx.nd.ones(2) * (value + epoch)}, {}, **options)


def copied(folder):
    """A copy of a folder, whose files have other times and another order."""
    copy = folder.parent / 'copy'
    shutil.rmtree(str(copy), ignore_errors=True)
    copy.mkdir()
    for path in sorted(folder.iterdir(), reverse=True):
        (copy / path.name).write_bytes(path.read_bytes())
    return str(copy / 'm')


# differences.md: `load_rnn_checkpoint(epoch=None)` (an error)
@differs
def test_a_lower_number_that_was_saved_later_is_told(tmp_path, caplog):
    folder = tmp_path / 'runs'
    prefix = str(folder / 'm')
    run(prefix, range(1, 6), 0)
    run(prefix, range(1, 4), 100)
    for load in (functools.partial(rnn.load_rnn_checkpoint, []), interop.load):
        caplog.clear()
        assert load(copied(folder)).epoch == 5
        message, = caplog.messages
        assert 'm-0005.params has the highest number, but' in message
        assert 'm-0003.params was saved after it' in message and 'epoch=3' in message
        caplog.clear()
        assert load(prefix, 3).epoch == 3 and not caplog.messages
    run(prefix, range(1, 6), 0)  # the same once more
    assert rnn.load_rnn_checkpoint([], prefix).epoch == 5 and not caplog.messages


@ours
def test_files_of_later_saves_are_sealed_as_a_whole(tmp_path):
    prefix = str(tmp_path / 'm')
    run(prefix, [2, 1], 0)
    path = tmp_path / 'm-0001.params'
    content = path.read_bytes()
    assert content[12:14] == b'CR' and content[14:16] != b'C1'
    assert rnn.load_rnn_checkpoint([], prefix, 1)[1]['a'].asnumpy().tolist() == [1, 1]
    for at in range(8, len(content), 5):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])
        assert 'm-0001.params' in refusal([], prefix, 1)


# ---- several workers

class Store(mx.kv.KVStore):
    """A store of one of two workers, as far as its rank goes."""

    rank = 1
    num_workers = 2
    handle = None

    def __init__(self):
        pass

    def __del__(self):
        pass


# differences.md: distributed training
@differs
@pytest.mark.parametrize('known_by', ['module', 'store', 'horovod'])
def test_only_rank_0_writes(known_by, saved, tmp_path, monkeypatch):
    module = None
    if known_by == 'module':
        module, data = module_of('buckets', saved.cell)
        fit(module, data, 1)
        other = module._curr_module._kvstore = Store()
    elif known_by == 'store':
        other = Store()
    else:
        other = types.ModuleType('horovod.mxnet')
        other.rank, other.size, other.is_initialized = lambda: 1, lambda: 2, lambda: True
        monkeypatch.setitem(sys.modules, 'horovod.mxnet', other)
    callback = rnn.do_rnn_checkpoint(saved.cell, str(tmp_path / 'worker'), module=module, keep=1)
    callback(0, *saved.model)
    assert not (tmp_path / 'worker-0001.params').exists()
    other.rank = (lambda: 0) if known_by == 'horovod' else 0
    callback(0, *saved.model)
    assert (tmp_path / 'worker-0001.params').exists()


@differs
def test_states_kept_by_servers(tmp_path, caplog):
    prefix, cell, module, data = untrained(tmp_path)
    fit(module, data, 1)
    module._updater = None
    callback = rnn.do_rnn_checkpoint(cell, prefix, module=module)
    for epoch in range(2):
        callback(epoch, module.symbol, *module.get_params())
    assert len([text for text in caplog.messages if 'this process does not keep them' in text]) == 1
    assert sorted(content(tmp_path)) == ['model-0001.params', 'model-0002.params',
                                         'model-symbol.json']
    with pytest.raises(rnn.CheckpointError, match='model-0002.states'):
        rnn.load_rnn_checkpoint(cell, prefix, 2, module=module)
