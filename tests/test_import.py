"""MXNet imports on this Python and NumPy, and leaves both as they were."""
import ast
import importlib
import importlib.util
import itertools
import re
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

import mxrnn
from mxrnn._runtime import versions

from . import mx
from .processes import python
from .test_cuda import elf


def version(text):
    return tuple(map(int, re.findall(r'\d+', text)[:3]))


NUMPY, MXNET = (version(module.__version__) for module in (np, mx))


def lazily(code, *paths, status=0, **options):
    """Run `code` in a new Python, which finds mxrnn and, before all else, what lies in `paths`."""
    result = python('-c', textwrap.dedent(code), path=paths, **options)
    assert result.returncode == status, result.stderr
    return result


#: Modules that the patches look at.
PATCHED = ('runtime', '_ctypes/__init__', '_ctypes/ndarray', '_ctypes/symbol', 'io/__init__',
           'io/io', 'symbol/__init__', 'symbol/symbol')


def fake_mxnet(folder, code, *modules):
    """Put a package `mxnet` made of `code` into `folder`, with further modules."""
    for name, content in {'__init__': code, **dict.fromkeys(modules, 'anything = 1')}.items():
        path = folder / 'mxnet' / (name + '.py')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))
    return folder


# differences.md: NumPy 1.24 and later, Python 3.12 and later
def test_nothing_is_left_behind():
    result = lazily('''
        import sys, numpy, numpy.fft, numpy.linalg, numpy.random, numpy.testing
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
    needed = []
    if importlib.util.find_spec('distutils') is None:
        needed.append('stand-in for distutils.version')
    if NUMPY >= (1, 24) and MXNET >= (1, 6):
        needed.append('NumPy names for MXNet only: ' + ('bool' if NUMPY < (2,) else 'Inf, '))
    if NUMPY >= (2,):
        needed.append('NumPy scalars in attributes as before NumPy 2')
    cures = result.stdout.splitlines()
    assert len(cures) == len(needed)
    assert all(cure.startswith(start) for cure, start in zip(cures, needed))


# differences.md: an earlier `import mxnet` that failed
def test_an_import_that_failed_before_does_no_harm(tmp_path):
    fake = fake_mxnet(tmp_path, '''
        import builtins
        import mxnet._ctypes.ndarray, mxnet._ctypes.symbol, mxnet.io.io, mxnet.symbol.symbol
        from . import part, runtime
        from .other import anything  # binds `other` in the package only if this imports it
        if not hasattr(builtins, 'again'):
            raise AttributeError('the first time')
        __version__ = '1.9.1'
        ''', 'part', 'other', *PATCHED)
    lazily('''
        import builtins, sys
        try:
            import mxnet
        except AttributeError:
            builtins.again = True
        assert 'mxnet' not in sys.modules and 'mxnet.part' in sys.modules
        from mxrnn._runtime import mxnet as _mxnet
        assert _mxnet.mx.part is sys.modules['mxnet.part']
        assert _mxnet.mx.other is sys.modules['mxnet.other']
        ''', fake)


def test_importing_mxrnn_imports_neither_mxnet_nor_numpy():
    lazily('''
        import sys
        before = set(sys.modules)
        import mxrnn
        mxrnn.install()
        assert dir(mxrnn) and 'LSTMCell' in dir(mxrnn) and 'rnn_cell' in dir(mxrnn)
        new = {name.partition('.')[0] for name in set(sys.modules) - before}
        assert new <= {'mxrnn', '__future__'}, new
        try:
            mxrnn.nonesuch
        except AttributeError as error:
            assert str(error) == "module 'mxrnn' has no attribute 'nonesuch'"
        assert 'mxnet' not in sys.modules
        assert mxrnn.LSTMCell(4).unroll and 'mxnet' in sys.modules
        assert mxrnn.mx is sys.modules['mxnet'] and mxrnn.mx.rnn is mxrnn
        ''')


@pytest.mark.parametrize('code', [
    'import mxrnn\nimport mxnet as mx',
    *(pytest.param(code, marks=pytest.mark.nightly) for code in [
        'from mxrnn import mx', 'import mxrnn.rnn_cell\nfrom mxrnn import io, mx',
        'from mxrnn import *\nmx = install and io and __import__("mxrnn").mx']),
    'import mxrnn\nimport mxnet.ndarray, mxnet.rnn\nmx = mxnet\nassert mx.rnn is not mxrnn'])
def test_every_way_to_mxnet_is_cured(code):
    result = lazily(code + '''
import numpy as np, mxrnn
assert mxrnn.mx is mx and mx.sym.Variable('a', shape=(np.int64(2),)).attr('__shape__') == '(2,)'
assert type(mx.__loader__) is type(np.__loader__) is type(mx.__spec__.loader)
print(mxrnn.device_report())
assert mxrnn.init.FusedRNN and mxrnn.rnn_cell.LSTMCell is mxrnn.LSTMCell
''')
    here, there = (re.findall('^cures .*?^threads', report, re.DOTALL | re.MULTILINE)
                   for report in (mxrnn.device_report(), result.stdout))
    assert here == there != []


@pytest.mark.parametrize('first', [
    'mxrnn.rnn_cell', 'mxrnn.mx', *(pytest.param(each, marks=pytest.mark.nightly) for each in (
        'mxrnn.load_rnn_checkpoint', "importlib.import_module('mxnet')", 'mxrnn.rnn', 'mxrnn.io',
        'mxrnn.init', 'mxrnn.fuse', 'mxrnn.carry_states',
        'mxrnn.BucketSentenceIter', "importlib.import_module('mxrnn._cells.base_cells')"))])
def test_whatever_is_used_first_after_install(first):
    lazily('''
        import importlib, sys, mxrnn
        mxrnn.install()
        %s
        import mxnet.rnn.rnn_cell, mxnet.rnn.io
        from mxnet.rnn.rnn import save_rnn_checkpoint
        assert mxnet.rnn is mxrnn and mxnet.rnn.rnn_cell is mxrnn.rnn_cell
        assert sys.modules['mxnet.rnn.io'] is mxrnn.io and mxrnn.io.__spec__.name == 'mxrnn.io'
        assert save_rnn_checkpoint is mxrnn.save_rnn_checkpoint
        ''' % first)


def test_mxnet_can_be_reloaded():
    lazily('import mxrnn, mxnet, importlib\n'
           'assert importlib.reload(mxnet) is mxnet and mxrnn.LSTMCell(3)')


def test_without_mxnet_only_names_that_need_it_fail():
    lazily('''
        import sys
        import mxrnn
        mxrnn.install()
        for attempt in ('mxrnn.LSTMCell', 'mxrnn.mx', 'mxrnn.rnn_cell', 'from mxrnn import io'):
            try:
                exec(attempt)
            except ImportError as error:
                assert error.name == 'mxnet' and str(error).splitlines() == [
                    'MXNet is not installed.',
                    'Without a GPU: pip install --no-deps mxnet==1.9.1',
                    "With an NVIDIA GPU, in mxrnn's folder: pip install '.[cu112]' && "
                    'pip install --no-deps mxnet-cu112==1.9.1'], error
            else:
                sys.exit(attempt + ' ought to have failed')
        assert mxrnn.__version__
        ''', hidden='mxnet')


def test_all_names_are_those_of_the_original_and_ours():
    program = {'__version__': '7', 'mx': 8}
    exec('from mxrnn import *', program)
    assert program['__version__'] == '7' and program['mx'] == 8
    for name in ('rnn_cell', 'rnn', 'io', 'LSTMCell', 'install'):
        assert program[name] is getattr(mxrnn, name)


def test_the_table_of_public_names_is_whole():
    assert len(set(mxrnn.__all__)) == len(mxrnn.__all__)
    for name in mxrnn.__all__:
        assert getattr(mxrnn, name) is not None
    for face in (mxrnn.rnn_cell, mxrnn.rnn, mxrnn.io):
        assert set(face.__all__) <= set(mxrnn.__all__), face.__name__


def test_type_checkers_see_every_public_name():
    tree = ast.parse(Path(mxrnn.__file__).read_text(encoding='utf-8'))
    seen = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    seen |= {target.id for node in tree.body if isinstance(node, ast.Assign)
             for target in node.targets}
    block = next(node for node in tree.body if isinstance(node, ast.If)
                 and isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING')
    for node in block.body:
        for alias in node.names:
            if alias.name == '*':
                seen |= set(importlib.import_module('mxrnn.' + node.module).__all__)
            elif alias.asname == alias.name:  # what makes a name public to type checkers
                seen.add(alias.name)
    wanted = {'mx'} | set(mxrnn.__all__) | set(mxrnn._MODULES)
    assert not wanted - seen, 'missing under TYPE_CHECKING in mxrnn/__init__.py'


#: Names that MXNet's modules ask NumPy for, by the release that took them away.
GONE = {'1.24': 'bool int', '2': 'PZERO NZERO NINF PINF NAN NaN Inf alltrue sometrue round_ '
        'product in1d msort trapz mirr npv pmt ppmt pv rate'}
ASKING = """
    import warnings
    import numpy as np
    import mxnet._ctypes.ndarray, mxnet._ctypes.symbol, mxnet.io.io, mxnet.symbol.symbol
    from distutils.version import LooseVersion, StrictVersion
    from . import runtime
    __version__ = '1.9.1'
    warnings.simplefilter('ignore')
    answered = [name for name in %r.split() if hasattr(np, name)]
    def later(name):
        return getattr(np, name)
    assert LooseVersion('1.9.3') < LooseVersion('1.17') <= LooseVersion('1.17.0rc1')
    assert StrictVersion('2.0.0') >= StrictVersion('1.26.4')
    if np.__version__.startswith('2'):
        assert (np.PINF, np.NINF, np.PZERO) == (np.inf, -np.inf, 0)
        assert np.signbit(np.NZERO) and np.isnan(np.NaN) and np.isnan(np.NAN)
        assert np.alltrue([1, 0]) == 0 and np.sometrue([1, 0]) == 1
        assert np.product([2, 3]) == 6 and np.round_(2.6) == 3
        assert np.in1d([[1, 2], [3, 4]], [4, 1]).tolist() == [True, False, False, True]
        assert np.msort(np.array([[2, 1], [1, 2]])).tolist() == [[1, 1], [2, 2]]
    """ % ' '.join(GONE.values())


@pytest.mark.parametrize('release', ['1.23.5', '1.26.4', '2.1.0'])
def test_mxnet_alone_gets_the_names_that_numpy_took_away(release, tmp_path):
    fake_mxnet(tmp_path, ASKING, *PATCHED)
    result = lazily("""
        import sys, warnings
        warnings.simplefilter('ignore')
        import numpy
        native = {name for name in %r.split() if hasattr(numpy, name)}
        getter, before = vars(numpy)['__getattr__'], set(sys.modules)
        numpy.__version__ = %r
        import mxrnn
        print(*sorted(set(mxrnn.mx.answered) - native))
        assert all(mxrnn.mx.later(name) is not numpy for name in mxrnn.mx.answered)
        assert vars(numpy)['__getattr__'] is getter
        assert native == {name for name in %r.split() if hasattr(numpy, name)}
        assert all(sys.modules[name].__spec__ for name in set(sys.modules) - before
                   if name.startswith('distutils'))
        """ % (' '.join(GONE.values()), release, ' '.join(GONE.values())), tmp_path)
    known = {name for since, names in GONE.items() for name in names.split()
             if version(since) <= version(release)}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert set(result.stdout.split()) == {name for name in known if not hasattr(np, name)}


# differences.md: NumPy's integers in shapes with NumPy 2
def test_numbers_of_numpy_in_shapes():
    shape = (np.int64(2), np.int32(3))
    data = mx.sym.Variable('data', shape=shape, lr_mult=np.float32(0.5))
    assert data.attr('__shape__') == '(2, 3)' and data.attr('__lr_mult__') == '0.5'
    reshaped = mx.sym.reshape(data, shape=(np.int64(3), np.int64(-1)))
    assert reshaped.attr('shape') == '(3, -1)'
    assert reshaped.infer_shape()[1] == [(3, 2)]
    part = mx.sym.slice(data, begin=[np.int64(0)], end=(np.int64(4), None))
    assert (part.attr('begin'), part.attr('end')) == ('[0]', '(4, None)')
    assert mx.sym.sum(data, keepdims=np.bool_(True)).attr('keepdims') == 'True'
    assert mx.sym.Variable('x', attr={'__x__': 'np.int64(4)'}).attr('__x__') == 'np.int64(4)'
    assert mx.nd.zeros(shape).shape == (2, 3)


def test_an_mxnet_that_cannot_be_cured(tmp_path):
    result = lazily('from mxrnn._runtime import mxnet as _mxnet', fake_mxnet(tmp_path, '''
        import numpy
        numpy.gone_from_some_later_numpy
        '''), status=1)
    last = result.stderr[result.stderr.rindex('ImportError: '):].splitlines()
    assert 'cannot be imported with Python %d.%d' % sys.version_info[:2] in last[0]
    assert 'NumPy ' + np.__version__ in last[0] and 'gone_from_some_later_numpy' in last[0]
    assert last[1:] == versions.how_to_install()
    assert 'AttributeError' in result.stderr  # the first error is shown as the cause


#: Does what the import of MXNet 2 does in a process, and notes what our patches would change.
MXNET_2 = '''
    import logging, os, sys
    import numpy
    from .libinfo import __version__
    logging.root.addHandler(logging.NullHandler())
    SEEN = [hasattr(numpy, 'PZERO'), 'distutils' in sys.modules,
            'MXNET_OMP_MAX_THREADS' in os.environ]
    '''


def mxnet_2(folder):
    fake_mxnet(folder, MXNET_2, 'libinfo')
    (folder / 'mxnet' / 'libinfo.py').write_text("__version__ = '2.0.0'\n")
    return folder


def test_mxnet_2_is_imported_as_without_mxrnn(tmp_path):
    program = '''
import logging, sys, mxnet
print(mxnet.__version__, mxnet.SEEN, logging.root.handlers, type(mxnet.__loader__).__name__,
      type(mxnet.__spec__.loader).__name__, hasattr(mxnet, 'rnn'))'''
    alone, beside = (lazily('import numpy\n' + start + program, mxnet_2(tmp_path)).stdout
                     for start in ('', 'import mxrnn.interop'))
    assert alone.startswith('2.0.0 ') and alone.endswith(' False\n') and alone == beside


@pytest.mark.parametrize('start', ['', 'import mxnet', 'mxrnn.install()\nimport mxnet'])
def test_names_that_need_mxnet_1_say_so_beside_mxnet_2(start, tmp_path):
    result = lazily('''
import importlib, mxrnn
%s
names = {*dir(mxrnn), 'mx'} - {'install', 'interop'}
said = set()
for name in names:
    if not name.startswith('__'):
        try:
            getattr(mxrnn, name)
        except ImportError as error:
            said.add(str(error))
        else:
            raise AssertionError(name)
message, = said
print(message)
if 'mxnet' in globals():
    assert getattr(mxnet, 'rnn', mxrnn) is mxrnn
from mxrnn.interop.run import mxnet_process
assert mxnet_process.of_mxnet() is None
''' % start, mxnet_2(tmp_path))
    first, *commands, last = result.stdout.splitlines()
    assert first == ('mxrnn needs MXNet 1.5 to 1.9.1, but MXNet 2.0.0 is installed (%s). Uninstall '
                     'it, then:' % (tmp_path / 'mxnet'))
    assert commands == versions.how_to_install()
    assert last == 'For later GPUs, export the model: docs/export.md. Exports need no MXNet.'


def test_the_command_reports_mxnet_2(tmp_path):
    result = python('-m', 'mxrnn', path=[mxnet_2(tmp_path)])
    assert result.returncode == 1 and result.stdout.startswith('mxrnn ')
    assert result.stderr.startswith('mxrnn needs MXNet 1.5 to 1.9.1, but MXNet 2.0.0 is')


def failure(folder, code, *lacking, installed=(), **libraries):
    """The lines that `mxrnn.mx` says where `code` is MXNet's own.

    `libraries` lie beside it: names, and what each links to, which the system has but for
    `lacking`; pip says that the distributions `installed` are there.
    """
    fake_mxnet(folder, code)
    for name, linked in libraries.items():
        elf(folder / 'mxnet' / (name + '.so'), linked)
    for name in installed:
        (folder / (name + '-1.9.1.dist-info')).mkdir()
        (folder / (name + '-1.9.1.dist-info') / 'METADATA').write_text(
            'Metadata-Version: 2.1\nName: %s\nVersion: 1.9.1\n' % name.replace('_', '-'))
    result = lazily("""
        import ctypes, os
        def load(name, *args, **kwargs):
            if name is not None and os.path.basename(name) in %r:
                raise OSError(name + ' is not found')
            return None if name in %r else original(name, *args, **kwargs)
        original, ctypes.CDLL = ctypes.CDLL, load
        import mxrnn
        mxrnn.mx
        """ % (lacking, [*itertools.chain(*libraries.values())]), folder, status=1)
    assert result.stderr.count('Traceback') == 2, result.stderr  # the cause is shown, too
    return result.stderr[result.stderr.rindex('ImportError: '):].splitlines()


def test_a_failure_says_what_libraries_are_missing(tmp_path):
    first, missing, cure, clash = failure(
        tmp_path, "raise OSError('libcudnn.so.8: cannot open shared object file')",
        'libcudnn.so.8', libmxnet=['libcudnn.so.8'], installed=['mxnet', 'mxnet_cu112'])
    assert first.startswith('ImportError: MXNet (mxnet 1.9.1, mxnet-cu112 1.9.1) cannot be import')
    assert missing.startswith('libcudnn.so.8 cannot be loaded (libcudnn.so.8 is not found)')
    assert cure.endswith("'nvidia-cudnn-cu11==8.9.6.50'")
    assert clash.startswith('mxnet and mxnet-cu112 are installed at once')


def test_a_module_that_mxnet_lacks_is_named(tmp_path):
    lines = failure(tmp_path, "raise ModuleNotFoundError('no such module', name='requests')")
    assert lines[1:] == ["MXNet needs that module: pip install 'requests'"]


NO_LIBRARY = "raise OSError('cannot open shared object file')"


@pytest.mark.parametrize('lacking, said', [
    ([], []),
    (['libquadmath.so.0'], ['Debian and Ubuntu: apt-get install libquadmath0',
                            'Fedora: dnf install libquadmath']),
    (['libgomp.so.1', 'libquadmath.so.0'], [
        'Debian and Ubuntu: apt-get install libgomp1 libquadmath0',
        'Fedora: dnf install libgomp libquadmath'])], ids=['none', 'one', 'two'])
def test_libraries_that_a_slim_system_lacks(lacking, said, tmp_path):
    lines = failure(tmp_path, NO_LIBRARY, *lacking,
                    libmxnet=['libgomp.so.1', 'libm.so.6', 'libother.so'],
                    libgfortran=['libquadmath.so.0'], libother=[])
    if said:
        assert lines[1].startswith('%s: this system lacks' % ' and '.join(lacking))
        assert lines[2:] == said  # and nothing of pip
    else:
        assert lines[1:] == versions.how_to_install()


def test_a_loaded_graph_runs_without_functions_of_operators(tmp_path):
    # The library must know the attributes of its older operators, such as SliceChannel.
    _, second = mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=2, name='cut')
    second.save(str(tmp_path / 'graph.json'))
    done = lazily('''
        import sys
        from mxrnn._runtime import import_patches
        import_patches.import_part()
        from mxrnn._runtime.mxnet import mx
        executor = mx.sym.load(%r).bind(mx.cpu(), [mx.nd.array([[1, 2, 3, 4]])])
        print('mxnet.gluon' in sys.modules, executor.forward()[0].asnumpy())
        ''' % str(tmp_path / 'graph.json'))
    assert done.stdout == 'False [[3. 4.]]\n'
