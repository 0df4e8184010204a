"""MXNet imports on this Python and NumPy, and leaves both as they were."""
import importlib.util
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from mxrnn._runtime import cuda as _cuda
from mxrnn._runtime import mxnet as _mxnet

from . import mx

PACKAGE = str(Path(__file__).resolve().parents[1] / 'mxrnn')
NUMPY, MXNET = (_mxnet._version(module.__version__) for module in (np, mx))


def run(code, *paths):
    """Run `code` in a new Python that finds mxrnn's modules (without importing the package)
    and, before all else, what lies in `paths`."""
    start = textwrap.dedent('''
        import sys, types
        sys.path[:0] = %r
        sys.modules['mxrnn'] = types.ModuleType('mxrnn')
        sys.modules['mxrnn'].__path__ = [%r]
        ''') % ([str(path) for path in paths], PACKAGE)
    return subprocess.run([sys.executable, '-c', start + textwrap.dedent(code)],
                          capture_output=True, text=True)


def fake_mxnet(folder, code):
    """Put a package `mxnet` made of `code` into `folder`."""
    (folder / 'mxnet').mkdir()
    (folder / 'mxnet' / '__init__.py').write_text(textwrap.dedent(code))
    return folder


def test_nothing_is_left_behind():
    result = run('''
        import numpy, numpy.fft, numpy.linalg, numpy.random, numpy.testing
        names, getter = set(vars(numpy)), vars(numpy).get('__getattr__')
        options = numpy.get_printoptions()
        from mxrnn._runtime import mxnet as _mxnet
        new = {name for name in set(vars(numpy)) - names
               if 'numpy.' + name not in sys.modules}  # submodules come by being imported
        assert not new, new
        assert vars(numpy).get('__getattr__') is getter
        assert numpy.get_printoptions() == options
        assert all(module.__spec__ for name, module in sys.modules.items()
                   if name.partition('.')[0] == 'distutils')
        print('\\n'.join(_mxnet.cures), end='')
        ''')
    assert result.returncode == 0, result.stderr
    needed = []
    if importlib.util.find_spec('distutils') is None:
        needed.append('stand-in for distutils.version')
    if NUMPY >= (1, 24) and MXNET >= (1, 6):
        needed.append('NumPy names for MXNet alone: ' + ('bool' if NUMPY < (2,) else 'Inf, '))
    if NUMPY >= (2,):
        needed.append('NumPy scalars in attributes as before NumPy 2')
    if MXNET >= (2,):
        needed.append('mx.npx.reset_np()')
    cures = result.stdout.splitlines()
    assert len(cures) == len(needed)
    assert all(cure.startswith(start) for cure, start in zip(cures, needed))


def test_an_import_that_failed_before_does_no_harm(tmp_path):
    fake = fake_mxnet(tmp_path, '''
        import builtins
        import mxnet._ctypes.ndarray, mxnet._ctypes.symbol, mxnet.io.io, mxnet.symbol.symbol
        from . import part, runtime
        if not hasattr(builtins, 'again'):
            raise AttributeError('the first time')
        __version__ = '1.9.1'
        ''')
    for name in ('part', 'runtime', '_ctypes/__init__', '_ctypes/ndarray', '_ctypes/symbol',
                 'io/__init__', 'io/io', 'symbol/__init__', 'symbol/symbol'):
        path = tmp_path / 'mxnet' / (name + '.py')
        path.parent.mkdir(exist_ok=True)
        path.write_text('')
    result = run('''
        import builtins, sys
        try:
            import mxnet
        except AttributeError:
            builtins.again = True
        assert 'mxnet' not in sys.modules and 'mxnet.part' in sys.modules
        from mxrnn._runtime import mxnet as _mxnet
        assert _mxnet.mx.part is sys.modules['mxnet.part']
        ''', fake)
    assert result.returncode == 0, result.stderr


def test_an_imported_mxnet_is_left_alone(tmp_path):
    fake = fake_mxnet(tmp_path, '''
        import numpy as np
        __version__ = '1.9.1'
        ''')
    result = run('''
        import mxnet, numpy
        before, modules = dict(vars(numpy)), set(sys.modules)
        from mxrnn._runtime import mxnet as _mxnet
        assert _mxnet.mx is mxnet and mxnet.np is numpy and _mxnet.cures == []
        assert vars(numpy) == before and 'distutils' not in set(sys.modules) - modules
        ''', fake)
    assert result.returncode == 0, result.stderr


def test_numpy_answers_for_names_that_are_gone(monkeypatch):
    monkeypatch.setattr(np, '__version__', '1.26.4')
    getter, asked = vars(np)['__getattr__'], set()
    with _mxnet._gone_from_numpy({'nonesuch': 7, 'neither': 8}, asked):
        assert np.nonesuch == 7 and asked == {'nonesuch'}
        with pytest.raises(AttributeError):
            _ = np.unheard_of
    assert vars(np)['__getattr__'] is getter and not hasattr(np, 'nonesuch')
    with pytest.raises(KeyError), _mxnet._gone_from_numpy({'nonesuch': 7}, asked):
        raise KeyError
    assert vars(np)['__getattr__'] is getter


def test_numpy_up_to_1_23_is_left_alone(monkeypatch):
    monkeypatch.setattr(np, '__version__', '1.23.5')
    with _mxnet._gone_from_numpy({'nonesuch': 7}, set()):
        assert not hasattr(np, 'nonesuch')


def test_values_of_names_that_are_gone(monkeypatch):
    monkeypatch.setattr(np, '__version__', '1.26.4')
    assert _mxnet._gone() == {'bool': bool, 'int': int}
    monkeypatch.setattr(np, '__version__', '2.1.0')
    gone = _mxnet._gone()
    assert set(gone) >= set(
        'PZERO NZERO NINF PINF NAN NaN Inf alltrue sometrue round_ product in1d msort trapz '
        'mirr npv pmt ppmt pv rate'.split())
    assert (gone['PINF'], gone['NINF'], gone['PZERO']) == (np.inf, -np.inf, 0)
    assert np.signbit(gone['NZERO']) and np.isnan(gone['NaN']) and np.isnan(gone['NAN'])
    assert gone['alltrue']([1, 0]) == 0 and gone['sometrue']([1, 0]) == 1
    assert gone['product']([2, 3]) == 6 and gone['round_'](2.6) == 3
    assert gone['in1d']([[1, 2], [3, 4]], [4, 1]).tolist() == [True, False, False, True]
    assert gone['msort'](np.array([[2, 1], [1, 2]])).tolist() == [[1, 1], [2, 2]]


def test_a_stand_in_for_distutils(monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'distutils']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with _mxnet._distutils() as needed:
        assert needed
        from distutils.version import LooseVersion, StrictVersion
        assert LooseVersion('1.9.3') < LooseVersion('1.17') <= LooseVersion('1.17.0rc1')
        assert StrictVersion('2.0.0') >= StrictVersion('1.26.4')
    assert 'distutils' not in sys.modules and 'distutils.version' not in sys.modules
    with pytest.raises(KeyError), _mxnet._distutils():
        raise KeyError
    assert 'distutils' not in sys.modules


def test_a_distutils_that_is_there_is_left_alone(monkeypatch):
    there = types.ModuleType('distutils')
    monkeypatch.setitem(sys.modules, 'distutils', there)
    with _mxnet._distutils() as needed:
        assert not needed and sys.modules['distutils'] is there
    assert sys.modules['distutils'] is there


def test_mxnets_own_modules_keep_what_is_gone(monkeypatch):
    own, other = types.ModuleType('mxnet.nonesuch'), types.ModuleType('mxnetother')
    for module in (own, other):
        monkeypatch.setitem(sys.modules, module.__name__, module)
        module.onp, module.mx = np, mx
    for name, module in list(sys.modules.items()):  # put back what is replaced in the real ones
        if name.partition('.')[0] == 'mxnet':
            for key in [key for key, value in vars(module).items() if value is np]:
                monkeypatch.setattr(module, key, np)
    _mxnet._keep_for_mxnet({'nonesuch': 7, 'zeros': None})
    assert own.onp.nonesuch == 7 and own.onp.zeros is np.zeros and own.mx is mx
    assert other.onp is np and not hasattr(np, 'nonesuch')


def test_functions_of_mxnet_that_ask_for_names_that_are_gone():
    mx.test_utils.assert_almost_equal(np.ones(2), np.ones(2))
    with pytest.raises(AssertionError):
        mx.test_utils.assert_almost_equal(np.ones(2), np.zeros(2))


def test_attributes_show_numbers_of_numpy_plainly():
    shown = _mxnet._PlainStr
    assert shown((np.int64(4), 3)) == '(4, 3)'
    assert shown([(np.float32(0.1),), np.bool_(True)]) == '[(0.1,), True]'
    assert shown('np.int64(4)') == 'np.int64(4)' and shown() == '' and shown(None) == 'None'
    assert isinstance('x', shown) and not isinstance(3, shown)


def test_numbers_of_numpy_in_shapes():
    shape = (np.int64(2), np.int32(3))
    data = mx.sym.Variable('data', shape=shape, lr_mult=np.float32(0.5))
    assert data.attr('__shape__') == '(2, 3)' and data.attr('__lr_mult__') == '0.5'
    reshaped = mx.sym.reshape(data, shape=(np.int64(3), np.int64(-1)))
    assert reshaped.attr('shape') == '(3, -1)'
    assert reshaped.infer_shape()[1] == [(3, 2)]
    assert mx.nd.zeros(shape).shape == (2, 3)


def test_orthogonal_initialiser_in_every_thread():
    # It builds a shape from np.prod, and print options of NumPy are a thread's own.
    rows = []

    def fill():
        weight = mx.nd.zeros((4, 2, 2))
        mx.init.Orthogonal(scale=1)(mx.init.InitDesc('weight'), weight)
        rows.append(weight.asnumpy().reshape(4, 4))

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    fill()
    for each in rows:
        np.testing.assert_allclose(each @ each.T, np.eye(4), atol=1e-5)
    assert len(rows) == 2


@pytest.mark.parametrize('mxnet, needed', [('1.9.1', False), ('2.0.0beta1', True)])
def test_numpy_semantics_of_mxnet_2_are_switched_off(tmp_path, mxnet, needed):
    result = run('''
        from mxrnn._runtime import mxnet as _mxnet
        print(_mxnet.mx.calls, 'mx.npx.reset_np()' in _mxnet.cures)
        ''', fake_mxnet(tmp_path, '''
        from types import SimpleNamespace, ModuleType
        import sys
        calls = []
        for name in ('_ctypes.symbol', '_ctypes.ndarray', 'symbol.symbol', 'io.io'):
            sys.modules['mxnet.' + name] = ModuleType('mxnet.' + name)
        util = SimpleNamespace(is_np_shape=lambda: True)
        npx = SimpleNamespace(reset_np=lambda: calls.append('reset_np'))
        __version__ = %r
        ''' % mxnet))
    assert result.stdout.strip() == "%s %s" % (['reset_np'] * needed, needed), result.stderr


def test_states_of_unknown_batch_size():
    zeros = mx.sym.zeros(shape=(0, 4)) + mx.sym.Variable('x')
    assert zeros.infer_shape(x=(3, 4))[1] == [(3, 4)]


@pytest.mark.parametrize('python, command', [
    ((3, 8), "python -m pip install mxnet==1.9.1 'numpy<1.24'"),
    ((3, 11), "python -m pip install mxnet==1.9.1 'numpy<1.24'"),
    ((3, 12), "python -m pip install mxnet==1.9.1 'numpy<2'"),
    ((3, 13), 'python -m pip install --no-deps mxnet==1.9.1 && '
              'python -m pip install numpy requests "graphviz<0.9"')])
def test_without_mxnet(monkeypatch, python, command):
    monkeypatch.setattr(sys, 'version_info', python)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        _mxnet._import()
    lines = str(caught.value).splitlines()
    assert lines[0] == 'MXNet is not installed.' and caught.value.name == 'mxnet'
    assert lines[1] == 'For Python %d.%d without a GPU: %s' % (python + (command,))
    assert lines[2].endswith("python -m pip install '.[cu112]'")


def test_an_mxnet_that_cannot_be_cured(tmp_path):
    result = run('from mxrnn._runtime import mxnet as _mxnet', fake_mxnet(tmp_path, '''
        import numpy
        numpy.gone_from_some_later_numpy
        '''))
    last = result.stderr[result.stderr.rindex('ImportError: '):].splitlines()
    assert 'cannot be imported with Python %d.%d' % sys.version_info[:2] in last[0]
    assert 'NumPy ' + np.__version__ in last[0] and 'gone_from_some_later_numpy' in last[0]
    assert any('without a GPU: python -m pip install ' in line for line in last)
    assert 'AttributeError' in result.stderr  # the first error is shown as the cause


def test_a_failure_says_what_libraries_are_missing(monkeypatch):
    def fail(name):
        raise OSError('libcudnn.so.8: cannot open shared object file')

    monkeypatch.setattr(_cuda, 'load', lambda path: {'libcudnn.so.8': 'not found'})
    monkeypatch.setattr(_cuda, 'installed', lambda: {'mxnet': '1.9.1', 'mxnet-cu112': '1.9.1'})
    monkeypatch.setattr(importlib, 'import_module', fail)
    with pytest.warns(UserWarning, match='installed at once'), \
            pytest.raises(ImportError) as caught:
        _mxnet._import()
    first, missing, cure, clash = str(caught.value).splitlines()
    assert first.startswith('MXNet (mxnet 1.9.1, mxnet-cu112 1.9.1) cannot be imported')
    assert missing.startswith('libcudnn.so.8 cannot be loaded (not found)')
    assert cure.endswith("'nvidia-cudnn-cu11==8.9.6.50'")
    assert clash.startswith('mxnet and mxnet-cu112 are installed at once')
