"""The commands of benchmarks/ and of the package: wrong options, and no MXNet."""
import ast
import importlib.util
import logging
import runpy
import sys
from pathlib import Path

import pytest

from . import needs_operator
from .processes import printed, python

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.stem for path in (ROOT / 'benchmarks').glob('[a-z]*.py'))

def needs(script):
    """Skip what needs torch where it is not installed."""
    modules = {'torch_graph': ['torch'], 'rolling': ['torch', 'onnx', 'onnxruntime'],
               'onnx_steps': ['onnx', 'onnxruntime'], 'source': ['torch', 'onnx']}
    for module in modules.get(script, []):
        if importlib.util.find_spec(module) is None:
            pytest.skip('%s is not installed' % module)


@pytest.fixture(autouse=True)
def _log_level():
    """The scripts choose how much is logged, some of them in this process."""
    before = logging.getLogger('mxrnn').level
    yield
    logging.getLogger('mxrnn').setLevel(before)


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs a script in this process; returns status, output and errors."""
    def run(script, *options):
        needs(script)
        monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
        monkeypatch.setenv('COLUMNS', '80')
        path = str(ROOT / 'benchmarks' / (script + '.py'))
        monkeypatch.setattr(sys, 'argv', [path, *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path, run_name='__main__')
        return (ended.value.code, *capsys.readouterr())
    return run


def without_mxnet(*command):
    result = python(*command, hidden='mxnet')
    assert 'Traceback' not in result.stderr
    return result


@pytest.mark.parametrize('script', [
    pytest.param(script, marks=[pytest.mark.nightly] * (script not in ('train_step', 'stream_lm')))
    for script in SCRIPTS])
def test_scripts_without_mxnet(script):
    needs(script)
    path = str(ROOT / 'benchmarks' / (script + '.py'))
    result = without_mxnet(path, '--quick')
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.startswith('MXNet is not installed.\n')
    result = without_mxnet(path, '--help')
    assert result.returncode == 0 and not result.stderr
    doc = ast.get_docstring(ast.parse(Path(path).read_text(encoding='utf-8')))
    assert result.stdout.split()[:20] == doc.split()[:20]
    assert result.stdout.endswith('Its options are listed where MXNet is installed.\n')
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


#: Needs the rights to make network namespaces.
ELSEWHERE = ('workers',)


@pytest.mark.nightly
@needs_operator
@pytest.mark.parametrize('script', [script for script in SCRIPTS if script not in ELSEWHERE])
def test_scripts_run(script, tmp_path):
    needs(script)
    assert printed(ROOT / 'benchmarks' / (script + '.py'), '--quick', folder=tmp_path,
                   OMP_NUM_THREADS='1')


def test_the_package_without_mxnet():
    result = without_mxnet('-m', 'mxrnn')
    assert result.returncode == 1 and result.stdout.startswith('mxrnn ')
    assert result.stderr.startswith('MXNet is not installed.\n')
    assert without_mxnet('-m', 'mxrnn', '--help').returncode == 0


@pytest.mark.parametrize('command, message', [
    ('train_step --rounds 0', '--rounds must be at least 1, got 0'),
    ('train_step --threads 0', "--threads must be at least 1, got 0 (or 'default')"),
    ('train_step --ctx tpu', '--ctx must be one of '),
    ('weights --round 3', 'unrecognized arguments: --round 3'),
    ('data --sentences 3', '--sentences and --fits must be at least 6, got 3 and 1000000'),
    ('data --folder missing', '--folder must be a folder that can be written, got missing'),
    ('workers --workers 0', '--workers must be at least 1, got 0'),
    ('valid_length --cell rnn', '--cell must be one of '),
    ('valid_length --train missing.txt', 'missing.txt cannot be read'),
    ('stream_lm --quick --batch-size 9000',
     '--batch-size 9000 is too much for the text to validate on: tokens must be at least 9001'),
    *[('bucketing_lm --quick ' + options, message) for options, message in [
        ('--fuse --unfused', 'not allowed with argument'),
        ('--fuse --stock', 'mxnet.rnn has no such function'),
        ('--gpus 99', 'No GPU to run on'),
        ('--layers 0', '--layers must be at least 1, got 0'),
        ('--lr nan', '--lr must be a number above 0, got nan'),
        ('--seed -1', '--seed must be from 0 to 1000000000, got -1'),
        ('--gpus a', '--gpus must be whole numbers with commas between them, got a'),
        ('--batch-size 2000', 'the sentences that each worker has to train on, got 2000'),
        ('--checkpoint missing/lm', '--checkpoint must be a folder and a name to begin'),
        ('--epoch 3', 'unrecognized arguments: --epoch 3'),
        ('--buckets 2,9', '--buckets must be 3 or more, got 2'),
        ('--resume 1', '--resume needs --checkpoint'),
        ('--quick=yes', '--quick takes no value, got yes'),
        ('--resume 4 --checkpoint x', '--resume must be below --epochs, which is'),
        ('--optimizer none', '--optimizer must be one of '),
        ('--train missing.txt', 'missing.txt cannot be read'),
        ('--kv-store dist_sync', '--kv-store dist_sync needs the DMLC_ variables')]],
])
def test_wrong_options_are_refused_in_one_line(command, message, call):
    status, _, errors = call(*command.split())
    said = errors if status == 2 else str(status)
    assert message in said
    if status == 2:
        assert errors.count('\n') == 1 and 'usage' not in errors


def test_nothing_is_logged_by_the_root_logger():
    for path in [*(ROOT / 'mxrnn').rglob('*.py'), *(ROOT / 'benchmarks').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.dump(node.func.value)
                root = called.startswith("Name(id='logging'") and node.func.attr in (
                    'debug', 'info', 'warning', 'error', 'exception', 'critical', 'log')
                assert not root, '%s:%d' % (path, node.lineno)
                assert node.func.attr != 'Speedometer', 'which logs so: %s' % path


@pytest.mark.parametrize('arguments', [[], ['inspect', 'days']])
def test_a_folder_that_was_not_installed_says_how_to(arguments):
    code = ("import runpy, sys\n" "class NoNumPy:\n" "    def find_spec(self, name, *_):\n"
            "        if name == 'numpy':\n"
            "            raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')\n"
            "sys.meta_path.insert(0, NoNumPy())\n"
            "runpy.run_module('mxrnn', run_name='__main__', alter_sys=True)\n")
    done = python('-c', code, *arguments)
    assert done.returncode == (2 if arguments else 1)
    assert done.stderr.endswith("No module named 'numpy'. Install mxrnn first, in mxrnn's folder: "
                                'pip install .\n')
    assert 'Traceback' not in done.stderr
