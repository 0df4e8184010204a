"""Files from strangers: the states of an optimiser are a pickle, and run nothing here."""
import os
import pickle
import shutil
import struct
import sys

import numpy as np
import pytest

from . import differs, mx, ours, rnn
from .checkpoints import CELLS, fit, module_of, resumed, untrained

pytestmark = differs

MARK = 'mark-of-the-stranger'
SHELL = 'touch ' + MARK


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def text(value):
    return b'V' + value.encode() + b'\n'


def called(module, name, *arguments):
    """A pickle that calls what is found by a dotted name, as a file from a stranger may."""
    short = [b'\x8c' + bytes([len(part)]) + part.encode() for part in (module, name)]
    return (b'\x80\x04' + short[0] + short[1] + b'\x93(' + b''.join(map(text, arguments)) + b'tR.')


def built(module, name, state):
    """A pickle that sets attributes of the class itself."""
    return b'c%s\n%s\n' % (module.encode(), name.encode()) + state + b'b.'


SGD = ('mxnet.optimizer.optimizer', 'SGD')


def in_dict(value):
    return {0: value}


REFUSED = {
    'system': (pickle.dumps(in_dict(Reduced(os.system, (SHELL,)))), '%s.system' % os.name),
    'getattr': (pickle.dumps(in_dict(Reduced(getattr, (np.float32(1), 'tofile')))),
                'builtins.getattr'),
    'import': (called('builtins', '__import__', 'strange'), 'builtins.__import__'),
    'module': (called('strange', 'run'), 'strange.run'),
    'nested': (called('mxnet.optimizer.optimizer', 'pickle.loads', 'x'), 'optimizer.pickle.loads'),
    'chain of an optimiser': (called('mxnet.optimizer.optimizer',
                                     'SGD.__init__.__globals__.__getitem__', 'pickle'),
                              'SGD.__init__.__globals__'),
    'NumPy': (called('numpy', 'load', MARK), 'numpy.load'),
    'registry': (called('mxnet.optimizer.optimizer', 'Optimizer.opt_registry.__setitem__'),
                 'opt_registry'),
    'old copy': (b'ccopy_reg\n_reconstructor\n.', '_reconstructor'),
    'instance': (b"(ios\nsystem\n.", "opcode b'i'"),
    'extension': (b'\x80\x02\x82\xf1' + text(SHELL) + b'\x85R.', r"opcode b'\\x82'"),
    'persistent': (b'Pmark\n.', r"opcode b'P', which is not allowed"),
    'class': (built(*SGD, b'(dVupdate\nN' + b's'), 'sets attributes of SGD'),
    'NumPy function': (built('numpy.core.numeric', '_frombuffer', b'(N(dV__code__\nNst'),
                       'sets attributes of'),
    'array': (built('mxnet.ndarray.ndarray', 'NDArray', b'(N(dVasnumpy\nNst'),
              'sets attributes of'),
    'address': (b'cmxnet.ndarray.ndarray\nNDArray\n(I140000000000000\ntR.', 'address'),
    'second': (pickle.dumps(({}, None)) + pickle.dumps(Reduced(os.system, (SHELL,))),
               '%s.system' % os.name),
    'nothing': (b'', 'optimiser'), 'cut': (pickle.dumps({0: 1})[:-4], 'optimiser'),
}


class Type(Reduced):
    """A type of NumPy with this state."""

    def __init__(self, name, *state):
        super().__init__(np.dtype, (name, False, True), state)


FIELDS = (3, '|', None, ('f0',), {'f0': (np.dtype('i8'), 0)}, 8, 1, 0)
for name, kind, said in (
        ('fields', Type('V8', *FIELDS), 'type'),
        ('fields of a number', Type('f8', *FIELDS), 'type'),
        ('objects', Reduced(np.dtype, ('O',)), 'type'),
        ('list', Reduced(np.dtype, ('f4,O',)), 'type'),
        ('size', Type('S8', 3, '|', None, None, None, 1 << 40, 1, 0), 'changes the type'),
        ('flags', Type('f8', 3, '<', None, None, None, -1, -1, 63), 'changes the type')):
    REFUSED['type with ' + name] = (pickle.dumps(in_dict(kind)), said)


#: Gives the array on the stack 3 numbers and their bytes.
FILLED = (b'(K\x01K\x03\x85' + pickle.dumps(np.dtype('f8'), 3)[2:-1] + b'\x89'
          + pickle.dumps(bytes(24), 3)[2:-1] + b'tb')
INTERFACE = {'data': (1, False), 'shape': (4,), 'typestr': '<f8', 'version': 3}
REFUSED.update({
    # An array over the bytes of an address, and what NumPy takes for one.
    'array of objects': (pickle.dumps(in_dict(Reduced(np.ndarray, ((1,), 'O', b'address!')))),
                         'calls numpy.ndarray'),
    'number of an address': (pickle.dumps(in_dict(Reduced(np.float64, (Reduced(
        mx.optimizer.SGD, (), {'__array_interface__': INTERFACE}),)))), '__array_interface__'),
    'number': (pickle.dumps(in_dict(Reduced(np.float64, (1.0,)))), 'calls numpy.float64'),
    'number by its class': (b'cnumpy\nfloat64\n)\x81.', 'calls numpy.float64'),
    'number by its class and names': (b'\x80\x04cnumpy\nfloat64\n)}\x92.', 'calls numpy.float64'),
    'number by an old opcode': (b'(I1\ninumpy\nfloat64\n.', "opcode b'i'"),
    'array of what memory holds': (pickle.dumps(in_dict(Reduced(
        np.empty(1).__reduce__()[0], (np.ndarray, (64,), b'b')))), 'makes an array without'),
    # The second time the object is one of its class.
    'attribute later': (b'cmxnet.optimizer.optimizer\nSGD\n)R}bN}V__class__\nNs\x86b.',
                        'sets __class__'),
    'array later': (b'cmxnet.ndarray.ndarray\nNDArray\n)R}Vhandle\nNsb}Vhandle\nVx\nsb.', 'array'),
    # Its memory is given back when it gets another state; what was made over it stays.
    'array of NumPy later': (pickle.dumps(np.ones(3), 3)[:-1] + FILLED + b'.', 'changes an array'),
    'array over another': (
        b'\x80\x03cnumpy.core.numeric\n_frombuffer\n(' + pickle.dumps(np.ones(3), 3)[2:-1]
        + pickle.dumps(np.dtype('f8'), 3)[2:-1] + b'K\x03\x85X\x01\x00\x00\x00CtR.',
        'over another object, ndarray'),
})


def nested(times, make=b''):
    """The bytes by which a file nests a tuple so often, or what it calls `make` of."""
    return b'0' + b')' + b''.join([b'q\x010' + make] * times) + b'q\x020}h\x02K\x00s.'


def of_another_storage(kind, stype):
    """An array whose class tells another storage than its bytes have."""
    array = mx.nd.array([[0, 1]]).tostype(stype)
    mx.nd.waitall()
    return pickle.dumps(in_dict(Reduced(kind, (None,), array.__getstate__())), 4)


ARRAY = b'cmxnet.ndarray.ndarray\nNDArray\n(NtR'
CSR = pickle.dumps(mx.nd.array([[0, 1]]).tostype('csr'), 4)[2:-1]
DENSE = pickle.dumps(mx.nd.zeros(4), 3)[2:-1]
BEHIND = pickle.dumps(mx.nd.array([10 ** 10], dtype='int64'), 3)[2:-1]
REFUSED.update({
    # MXNet would follow an address that is not there.
    'array without its bytes': (b'}K\x00' + ARRAY + b's.', 'an array without its elements'),
    'sparse array without its bytes': (b'}K\x00cmxnet.ndarray.sparse\nCSRNDArray\n)Rs.',
                                       'an array without its elements'),
    'array of a number': (b'}K\x00' + ARRAY + b'}Vhandle\nK\x08sbs.', 'without its elements'),
    'array that is written to': (b'}K\x00' + ARRAY + b'K\x00K\x01ss.', 'puts items into a'),
    'truth of an array': (b'cbuiltins\nbool\n' + ARRAY + b'\x85R.', 'makes a bool of an array'),
    'list of an array': (b'\x80\x04cbuiltins\nlist\n' + CSR + b'\x85R.',
                         'makes a list of an array'),
    'an array as arguments': (b'\x80\x04cbuiltins\nlist\n' + CSR + b'R.', 'as arguments'),
    'an array as states': (b'\x80\x04' + CSR + b'.', 'in place of a dict'),
    # MXNet looks at no bounds there.
    'item of an array': (b'\x80\x03}K\x00' + DENSE + BEHIND + b'K\x01ss.', 'puts items into a'),
    'items of an array': (b'\x80\x03}K\x00' + DENSE + b'(' + BEHIND + b'K\x01us.',
                          'puts items into a'),
    'append to an array': (b'\x80\x03}K\x00' + DENSE + b'K\x01as.', 'puts items into a'),
    'members of an array': (b'\x80\x04}K\x00' + DENSE + b'(K\x01\x90s.', 'puts items into a'),
    # What the file calls append would be called, with arguments that nothing looks at.
    'append that is an attribute': (
        b'cmxnet.optimizer.optimizer\nSGD\n)R}Vappend\ncbuiltins\nlist\nsb' + CSR + b'a.',
        'puts items into a SGD'),
    'dense array of sparse bytes': (of_another_storage(mx.nd.NDArray, 'csr'),
                                    'does not match its class'),
    'sparse array of dense bytes': (of_another_storage(mx.nd.sparse.CSRNDArray, 'default'),
                                    'does not match its class'),
    # Python hashes tuples in tuples without a look at how much of the stack is left.
    'tuples of one': (b'N' + nested(100000, b'h\x01\x85'), 'nests tuples'),
    'tuples of any size': (b'N' + nested(100000, b'(h\x01t'), 'nests tuples'),
    'tuples by their class': (b'cbuiltins\ntuple\nq\x00' + nested(
        100000, b'h\x00](h\x01e\x85R'), 'nests tuples'),
    'copy of an object': (b'}K\x00]2\x86s.', "opcode b'2'"),
    'slices': (b'cbuiltins\nslice\nq\x00' + nested(100000, b'h\x00h\x01\x85R'), 'nests tuples'),
})


def changed(array, old, new):
    """A file with an array in whose bytes numbers were replaced."""
    mx.nd.waitall()
    content = pickle.dumps({0: array}, protocol=4)
    at, size = content.rindex(struct.pack('<%dq' % len(old), *old)), 8 * len(old)
    return content[:at] + struct.pack('<%dq' % len(new), *new) + content[at + size:]


# MXNet takes the lengths and the indices in an array's bytes at their word.
for shape in ((3, 2 ** 40), (2 ** 62, 4), (-3, 4), (3, 5)):
    REFUSED['array of the shape %s, %s' % shape] = (
        changed(mx.nd.ones((3, 4)), (3, 4), shape), 'array')
for stype in ('csr', 'row_sparse'):
    REFUSED[stype + ' array with an index outside'] = (
        changed(mx.nd.array([[0, 0], [0, 5], [0, 0]]).tostype(stype), (1,), (1 << 40,)),
        'an array has indices outside')


def trained_in(folder):
    """Train and save the checkpoint `model` in a folder; returns the cell and the module."""
    cell = CELLS['fused']()
    module, data = module_of('module', cell)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, str(folder / 'model'), module=module))
    return cell, module


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """The test's own folder, from which a file could import the module `strange`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'strange.py').write_text('open(%r, "w")\nrun = print\n' % MARK)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def checkpoint(strange):
    """A checkpoint with states, and a module that would go on from it: (cell, prefix, module)."""
    cell, module = trained_in(strange)
    return cell, str(strange / 'model'), module


@pytest.fixture(scope='module')
def saved_once(tmp_path_factory):
    """A folder with a checkpoint, its cell and its module, for tests that change none of them."""
    folder = tmp_path_factory.mktemp('saved')
    return (folder, *trained_in(folder))


# differences.md: optimiser states from strangers
@pytest.mark.parametrize('initialised', [False, True])
@pytest.mark.parametrize('name', sorted(REFUSED))
def test_what_a_file_must_not_do_is_refused_by_name(name, initialised, saved_once, strange):
    folder, cell, module = saved_once
    content, said = REFUSED[name]
    for path in folder.iterdir():
        shutil.copy(str(path), str(strange))
    (strange / 'model-0001.states').write_bytes(content)
    attributes = [dict(vars(kind)) for kind in (mx.optimizer.SGD, mx.nd.NDArray)]
    if not initialised:
        module, _ = module_of('module', cell)
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states has no states.*' + said):
        rnn.load_rnn_checkpoint(cell, str(strange / 'model'), 1, module=module)
    assert not (strange / MARK).exists() and 'strange' not in sys.modules
    assert attributes == [dict(vars(kind)) for kind in (mx.optimizer.SGD, mx.nd.NDArray)]


@pytest.mark.parametrize('protocol', [3, 4, 5])
def test_what_states_are_made_of_is_built(protocol, checkpoint):
    from mxrnn._checkpoint import safe_pickle
    values = {
        'numbers': (1, 2.5, 3j, True, None, np.float32(1.5), np.int64(7)),
        'texts': ['ä', b'x', bytearray(b'y')],
        'containers': [{1}, frozenset([2]), {'a': (1,)}, slice(1, 2), range(3)],
        'arrays': [np.arange(6.).reshape(2, 3), np.array(['a', 'bc']), np.array([b'abc']),
                   np.array([True]), np.zeros(2, 'complex64')]}
    content = pickle.dumps(values, protocol=min(protocol, pickle.HIGHEST_PROTOCOL))
    loaded, = safe_pickle.load_all(content)
    assert repr(loaded) == repr(values)
    swapped, = safe_pickle.load_all(pickle.dumps(np.arange(3, dtype='>i4'), protocol=protocol))
    assert swapped.tolist() == [0, 1, 2]
    arrays = [mx.nd.array([[1, 2]]), mx.nd.array([[0, 1]]).tostype('csr'),
              mx.nd.array([[0], [2]]).tostype('row_sparse'), mx.nd.ones(2, dtype='float16')]
    optimizers = [mx.optimizer.create(name) for name in ('sgd', 'adam', 'nadam', 'rmsprop')]
    optimizers[0].lr_scheduler = mx.lr_scheduler.PolyScheduler(10)
    mx.nd.waitall()
    loaded, = safe_pickle.load_all(pickle.dumps([arrays, optimizers], protocol=protocol))
    for found, array in zip(loaded[0], arrays):
        assert type(found) is type(array) and found.dtype == array.dtype
        np.testing.assert_array_equal(found.asnumpy(), array.asnumpy())
    for found, optimizer in zip(loaded[1], optimizers):
        assert type(found) is type(optimizer) and sorted(vars(found)) == sorted(vars(optimizer))
    assert type(loaded[1][0].lr_scheduler) is mx.lr_scheduler.PolyScheduler


@pytest.mark.parametrize('content, said', [
    (b'}cmxnet.optimizer.optimizer\nSGD\n)R}Vlr\nNsb\x86.', 'lr_scheduler'),
    (b'}K\x05\x86.', 'int'), (b'}K\x00]q\x01h\x01as.', 'recursion')],
    ids=['optimiser without attributes', 'no optimiser', 'state in itself'])
def test_states_that_lack_what_all_have_are_refused_by_the_name_of_their_file(
        content, said, checkpoint, tmp_path):
    cell, prefix, module = checkpoint
    (tmp_path / 'model-0001.states').write_bytes(content)
    with pytest.raises(rnn.CheckpointError, match=r'model-0001\.states cannot be used.*' + said):
        rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)


class Window:
    """An object that an optimiser of a program keeps."""

    def __init__(self):
        self.seen = []

    class Inner:
        pass


class Windowed(mx.optimizer.Adam):
    """An optimiser of a program with objects of the program's own classes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.window, self.inner = Window(), Window.Inner()

    def update(self, index, weight, grad, state):
        self.window.seen.append(index)
        super().update(index, weight, grad * (1 + len(self.window.seen) / 100), state)


class Unrelated(mx.optimizer.SGD):
    """Another optimiser of the program, which is not the module's own."""


Windowed.register(Windowed)
Unrelated.register(Unrelated)


# differences.md: optimiser states from strangers
def test_further_classes_are_named_by_the_program(tmp_path):
    prefix, cell, module, data = untrained(tmp_path)
    whole = fit(module, data, 3, rnn.do_rnn_checkpoint(cell, prefix, module=module), None,
                'windowed')
    module, data = module_of('module', cell)
    for given, missing in (((), 'Window'), ((Window,), 'Window.Inner'), ({Window.Inner}, 'Window')):
        said = r'names .*\.%s, which .* in trusted' % missing
        with pytest.raises(rnn.CheckpointError, match=said):
            rnn.load_rnn_checkpoint(cell, prefix, 1, module=module, trusted=given)
    loaded = rnn.load_rnn_checkpoint(cell, prefix, 1, module=module, trusted=[Window, Window.Inner])
    resumed = fit(module, data, 3, None, loaded, 'windowed')
    assert {name: array.asnumpy().tolist() for name, array in whole[0].items()} == {
        name: array.asnumpy().tolist() for name, array in resumed[0].items()}
    assert type(module._optimizer.window) is Window


def test_only_the_modules_own_optimiser_is_built(tmp_path):
    prefix, cell, module, data = untrained(tmp_path)
    fit(module, data, 1, rnn.do_rnn_checkpoint(cell, prefix, module=module), None, 'unrelated')
    with pytest.raises(rnn.CheckpointError, match=r'names .*\.Unrelated, which is not allowed'):
        resumed(prefix, 1, 2)
    resumed(prefix, 1, 2, 'unrelated')


@pytest.mark.parametrize('given', [3, 'os.system', [3], ['os.system'], [None], [(i for i in ())]])
def test_trusted_takes_classes_and_functions(given, checkpoint):
    cell, prefix, module = checkpoint
    with pytest.raises(TypeError, match='trusted must be'):
        rnn.load_rnn_checkpoint(cell, prefix, 1, module=module, trusted=given)


def schedule(num_update, base=0.5):
    """A scheduler that the program trusts."""
    return base


@ours
def test_a_file_cannot_change_a_trusted_function():
    from mxrnn._checkpoint import safe_pickle
    content = built(__name__, 'schedule', b'(N(dV__defaults__\n(I7\ntst')
    with pytest.raises(pickle.UnpicklingError, match='sets attributes of schedule'):
        list(safe_pickle.load_all(content, [schedule]))
    assert schedule(1) == 0.5


@pytest.mark.parametrize('name, said', [
    ('__reduce_ex__', 'sets __reduce_ex__'), ('lr', 'states must be NDArrays.*got SGD')])
def test_states_of_a_file_are_not_pickled_again(name, said, checkpoint, tmp_path):
    # Pickling asks an object how; an object of the file would answer with a module to import.
    cell, prefix, module = checkpoint
    key = next(iter(module._updater.states if module._updater else module._kvstore._updater.states))
    state = b'(dV%s\ncbuiltins\nstr\ns' % name.encode()
    (tmp_path / 'model-0001.states').write_bytes(
        b'\x80\x02}' + pickle.dumps(key, 2)[2:-1] + b'cmxnet.optimizer.optimizer\nSGD\n)\x81'
        + state + b'bs.')
    with pytest.raises(rnn.CheckpointError, match=said):
        rnn.load_rnn_checkpoint(cell, prefix, 1, module=module)
    assert not (tmp_path / MARK).exists() and 'strange' not in sys.modules
