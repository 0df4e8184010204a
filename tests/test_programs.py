"""Programs that can't be edited: ``python -m mxrnn run``, ``enable`` and ``disable``."""
import os
import sys
import textwrap
import venv
import warnings
from pathlib import Path

import numpy as np
import pytest

from mxrnn._runtime import CommandError, enable_patches
from mxrnn._runtime.run_program import _advice

from . import mx, needs_operator
from .processes import TESTS, python


def started(*arguments, folder):
    """`python -m mxrnn run` in a folder."""
    return python('-m', 'mxrnn', 'run', *arguments, folder=folder)


def test_what_is_no_program_is_said_to_be_none(tmp_path):
    written(tmp_path, 'train.py', 'print(1)')
    (tmp_path / 'days.onnx').write_bytes(b'\0onnx')
    for name, said in (('trian.py', 'No such file or directory; did you mean train.py?'),
                       ('train', 'No such file or directory; did you mean train.py?'),
                       ('days.onnx', 'days.onnx is no program: run takes PROGRAM.py')):
        done = started(name, folder=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith('error: ' + name)
        assert done.stderr.endswith(said + '\n')


def written(folder, name, code):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code), encoding='utf-8')
    return path


#: As Sockeye 1.18 does: it refuses to start where MXNet is imported before its own settings.
SOCKEYE = '''
    import sys
    assert 'mxnet' not in sys.modules
    import os
    import mxnet as mx
    from mxnet.rnn import LSTMCell
    from mxnet.rnn.rnn_cell import GRUCell
    import helper
    print(__name__, sys.argv[1:], mx.rnn.__name__, LSTMCell.__module__, GRUCell.__module__)
    print(os.path.abspath(sys.path[0]), os.path.abspath(__file__), helper.there)
    print(os.path.abspath(sys.argv[0]))
    if len(sys.argv) > 3:
        sys.exit(int(sys.argv[3]))
    '''


@pytest.mark.parametrize('as_module', [False, True])
def test_a_program_runs_as_it_is(tmp_path, as_module):
    there = tmp_path / 'there'
    script = written(there, 'old.py', SOCKEYE)
    written(there, 'helper.py', 'there = __name__')
    if as_module:
        done = started('-m', 'old', '-m', '--x', folder=there)
    else:
        done = started(os.path.join('there', 'old.py'), '-m', '--x', '3', folder=tmp_path)
    assert done.returncode == (0 if as_module else 3), done.stderr
    first, second, third = done.stdout.splitlines()
    arguments = ['-m', '--x'] if as_module else ['-m', '--x', '3']
    assert first == '__main__ %s mxrnn mxrnn._cells.dense mxrnn._cells.dense' % arguments
    assert second == '%s %s helper' % (there.resolve(), script.resolve())
    assert third == str(script.resolve())


def test_folders_and_packages_run(tmp_path):
    written(tmp_path, 'package/__init__.py', '')
    written(tmp_path, 'package/__main__.py', 'import sys; print(__name__, __spec__.name,'
            ' "mxrnn._runtime.run_program" in sys.modules, "mxnet" in sys.modules)')
    for name, target in (('__main__', ['package']), ('package.__main__', ['-m', 'package'])):
        done = started(*target, folder=tmp_path)
        assert done.stdout == '__main__ %s True False\n' % name, done.stderr
    assert 'neither a module' in started('-m', 'nonesuch', folder=tmp_path).stderr


@pytest.mark.parametrize('before', [[], ['--']])
def test_arguments_reach_the_program_untouched(tmp_path, before):
    script = written(tmp_path, 'old.py', 'import sys; print(sys.argv[1:], type(__builtins__))')
    done = started(*before, script, '--', 'x', '-m', '--', '-h', folder=tmp_path)
    assert done.stdout == "['--', 'x', '-m', '--', '-h'] <class 'module'>\n", done.stderr


@pytest.mark.parametrize('code, hint', [
    ('import sys; print(sys.argv[1:])',
     '--fuse stands behind old.py, so the program gets it. If it is meant for mxrnn, type: '
     'python -m mxrnn run --fuse old.py\n'),
    ("import sys; print(sys.argv[1:]); '--fuse' in sys.argv", '')])
def test_an_option_behind_the_program_is_hinted_at(tmp_path, code, hint):
    """It was passed to the program silently."""
    written(tmp_path, 'old.py', code)
    done = started('old.py', '--fuse', folder=tmp_path)
    assert (done.stdout, done.stderr) == ("['--fuse']\n", hint)


@pytest.mark.parametrize('target', [['nosuch.py'], ['folder'], ['-m', 'no.such'], ['-m', 'nosuch']])
def test_what_is_not_there_is_said_in_one_line(tmp_path, target):
    (tmp_path / 'folder').mkdir()
    done = started(*target, folder=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith('error: ' + target[-1])
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_program_without_mxnet_says_how_to_install_it(tmp_path):
    script = written(tmp_path, 'old.py', 'import sys; sys.path[:] = []; import mxnet')
    done = started(script, folder=tmp_path)
    assert 'MXNet is not installed.\nWithout a GPU: pip install' in done.stderr, done.stderr


CHILDREN = '''
    import multiprocessing
    import sys
    import mxnet as mx
    from mxnet.rnn import LSTMCell

    class Told:
        def __init__(self, *what):
            self.what = what

    def child(number):
        main = sys.modules['__main__']
        assert main.Told is Told and main.__file__ == __file__
        return Told(number, mx.rnn.__name__, LSTMCell.__module__, __name__)

    if __name__ == '__main__':
        for method in sys.argv[1:]:
            with multiprocessing.get_context(method).Pool(1) as pool:
                print(pool.map(child, [1])[0].what)
    '''


@pytest.mark.skipif(sys.platform == 'win32', reason='there is no fork server')
def test_children_are_cured(tmp_path):
    script = written(tmp_path, 'old.py', CHILDREN)
    done = started(script, 'spawn', 'forkserver', folder=tmp_path)
    assert done.stdout.splitlines() == [
        "(1, 'mxrnn', 'mxrnn._cells.dense', '__mp_main__')"] * 2, done.stderr


@pytest.fixture
def environment_of(tmp_path):
    """A new environment that sees MXNet and NumPy, and mxrnn while `sees_mxrnn` is there."""
    folder = tmp_path / 'environment'
    venv.EnvBuilder(with_pip=False, symlinks=os.name != 'nt').create(str(folder))
    scripts = 'Scripts' if os.name == 'nt' else 'bin'
    program = str(folder / scripts / 'python')
    site = Path(python('-c', 'import sysconfig; print(sysconfig.get_path("purelib"))',
                       folder=tmp_path, program=program).stdout.strip())
    libraries = tmp_path / 'libraries'  # all that is installed beside MXNet and NumPy but mxrnn
    libraries.mkdir()
    for installed in {Path(module.__path__[0]).parent for module in (mx, np)}:
        for path in installed.iterdir():
            if not path.name.startswith('mxrnn') and not (libraries / path.name).exists():
                (libraries / path.name).symlink_to(path)
    (site / 'libraries.pth').write_text('%s\n' % libraries, encoding='utf-8')
    (site / 'sees_mxrnn.pth').write_text('%s\n' % TESTS.parent, encoding='utf-8')

    def run(*command):
        return python(*command, folder=tmp_path, program=program)

    run.site = site
    return run


IMPORT = '''
import sys
assert not any(name.startswith('mxrnn') or name == 'numpy' for name in sys.modules)
import mxnet
print(mxnet.rnn.__name__, 'mxrnn._runtime.import_patches' in sys.modules)
'''


def test_an_environment_that_cannot_be_written_to(monkeypatch, tmp_path):
    monkeypatch.setattr(enable_patches, '_folder', lambda: str(tmp_path / 'packages'))
    monkeypatch.setattr(enable_patches, '_check_installed', lambda: None)
    with pytest.raises(CommandError, match='_mxrnn_startup.py cannot be written: .*No such file'):
        enable_patches.enable()
    (tmp_path / 'packages').mkdir()
    enable_patches.enable()

    def refuse(path):
        raise PermissionError(13, 'Permission denied', path)

    with monkeypatch.context() as patched:
        patched.setattr(os, 'remove', refuse)
        with pytest.raises(CommandError, match='mxrnn-enable.* cannot be removed: .*Permission'):
            enable_patches.disable()
    assert 'is again as it was before' in enable_patches.disable()
    assert list((tmp_path / 'packages').iterdir()) == []


def test_an_environment_is_enabled_and_disabled(environment_of):
    before = {path.name for path in environment_of.site.iterdir()}
    done = environment_of('-m', 'mxrnn', 'enable')
    new = {path.name for path in environment_of.site.iterdir()} - before - {'__pycache__'}
    starter = 'mxrnn-enable.start' if sys.version_info >= (3, 15) else 'mxrnn-enable.pth'
    assert new == {'_mxrnn_startup.py', starter}, done.stderr
    assert all(str(environment_of.site / name) in done.stdout for name in new)

    done = environment_of('-W', 'error::DeprecationWarning:site', '-c', IMPORT)
    assert done.stdout == 'mxnet.rnn True\n' and not done.stderr

    assert 'mx.rnn is mxrnn' in environment_of('-m', 'mxrnn', 'enable', '--replace').stdout
    assert environment_of('-c', IMPORT).stdout == 'mxrnn True\n'
    # mxrnn itself first: one finder, which still replaces
    assert environment_of('-c', 'import sys, mxrnn, mxnet\n'
                          'assert [type(each).__module__ for each in sys.meta_path].count('
                          '"mxrnn._runtime.finder") == 1 and mxnet.rnn is mxrnn').returncode == 0

    done = environment_of('-m', 'mxrnn', 'disable')
    assert all(str(environment_of.site / name) in done.stdout for name in new)
    assert {path.name for path in environment_of.site.iterdir()} - {'__pycache__'} == before
    assert 'was not enabled' in environment_of('-m', 'mxrnn', 'disable').stdout


FUSED = '''
import mxnet as mx
data = mx.sym.Variable('data')
outputs, _ = mx.rnn.LSTMCell(4, prefix='lstm_').unroll(3, data, merge_outputs=True)
cell, states = mx.rnn.GRUCell(4, prefix='gru_'), None
for step in mx.sym.SliceChannel(outputs, num_outputs=3, squeeze_axis=True):
    output, states = cell(step, states or cell.begin_state())
print(output.tojson().count('"op": "RNN"'),
      output.simple_bind(mx.cpu(), data=(2, 3, 5)).debug_str().count('Op:RNN'))
'''


@needs_operator
def test_an_environment_fuses_if_it_says_so(environment_of, monkeypatch):
    assert environment_of('-m', 'mxrnn', 'enable', '--replace').returncode == 0
    monkeypatch.setenv('MXRNN_FUSE', '1')
    done = environment_of('-W', 'ignore', '-c', FUSED)
    assert done.stdout == '0 2\n', done.stderr


def test_an_enabled_environment_without_mxrnn_is_as_before(environment_of):
    assert environment_of('-m', 'mxrnn', 'enable', '--replace').returncode == 0
    (environment_of.site / 'sees_mxrnn.pth').unlink()
    done = environment_of('-c', 'import sys, importlib.util\n'
                          'assert importlib.util.find_spec("mxnet").loader and not any('
                          'name.startswith("mxrnn") for name in sys.modules)')
    assert done.returncode == 0 and not done.stderr


#: Lines of Python 2 of which Python 3 says something.
OLD = (TESTS / 'golden' / 'python_2.txt').read_text(encoding='utf-8').splitlines()


@pytest.mark.parametrize('code, old', [*((code, True) for code in OLD), (
    'x = 1 +', False), ('import nonesuch', False), ('{}[1]', False), ('{}.nonesuch', False)])
def test_programs_of_python_2_are_told_how_to_be_converted(code, old, tmp_path):
    path = tmp_path / 'an old.py'
    path.write_text('import sys\n' + code.replace('\\n', '\n'), encoding='utf-8')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', SyntaxWarning)  # 10L, on Python 3.8
        with pytest.raises(Exception) as error:
            exec(compile(path.read_text(), str(path), 'exec'), {})
    told = _advice(error.value)
    assert told is None if not old else "python -m fissix -w '%s'\n" % path in told


def test_advice_is_printed_below_the_traceback(tmp_path):
    (tmp_path / 'old.py').write_text(OLD[0], encoding='utf-8')
    done = started('old.py', folder=tmp_path)
    assert done.stderr.endswith('''

old.py is written in Python 2. To convert it (the old file becomes old.py.bak):
    pip install fissix && python -m fissix -w old.py
Then write // where whole numbers are divided.
''')


MISNAMED = '''
import mxnet as mx
score = mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=1)
label = mx.sym.Variable('%s')
data = mx.io.NDArrayIter(mx.nd.ones((4, 5)), mx.nd.ones((4,)), 2, label_name='%s')
mx.mod.Module(mx.sym.%s).fit(data, num_epoch=1)
'''


@pytest.mark.parametrize('wanted, given, loss', [
    ('softmax_label', 'lable', 'SoftmaxOutput(score, label)'),
    ('softmax_label', 'lable', 'SoftmaxOutput(score, mx.sym.Reshape(label, shape=(-1,)))'),
    ('lro_label', 'softmax_label', 'LinearRegressionOutput(score, label)')])
def test_names_of_labels_that_differ_are_told(tmp_path, wanted, given, loss):
    (tmp_path / 'misnamed.py').write_text(MISNAMED % (wanted, given, loss), encoding='utf-8')
    done = started('misnamed.py', folder=tmp_path)
    assert done.stderr.endswith('''
The data have %s, which the network does not read; it reads %s, which they lack.
Give both the same name, with label_name= of the iterator and label_names= of Module.
''' % (given, wanted))


@pytest.mark.parametrize('as_module', [False, True])
@pytest.mark.parametrize('code, first', [
    ('def wrong():\n    return 1 / 0\n\n\nwrong()\n', 'line 5, in <module>'),
    ('print(1)\nx = = 2\n', 'line 2'),
    ('import mxnet\nmxnet.rnn.LSTMCell(0)\n', 'line 2, in <module>')],
    ids=['error', 'syntax', 'refused'])
def test_a_traceback_begins_with_the_program(tmp_path, code, first, as_module):
    (tmp_path / 'wrong.py').write_text(code, encoding='utf-8')
    done = started(*['-m'] * as_module, 'wrong' + '.py' * (not as_module), folder=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith('  File')]
    assert done.returncode == 1
    assert 'wrong.py", ' + first in lines[0]
