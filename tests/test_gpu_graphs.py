"""The scripts in benchmarks/ take their GPU everywhere: each runs on a card that is made up."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import needs_operator

ROOT = Path(__file__).resolve().parents[1]


def options_for_a_gpu(script):
    """How `script` is told to run on a GPU; None if it has nothing to run there."""
    text = script.read_text(encoding='utf-8')
    if "'--gpus'" in text:
        return ['--gpus', '0']
    return None if 'ctx=False' in text else ['--ctx', 'gpu']


SCRIPTS = [path for path in sorted((ROOT / 'benchmarks').glob('*.py'))
           if path.name[0] != '_' and options_for_a_gpu(path)]

# The card calculates on the CPU, but each graph has to be bound for it, with complete shapes.
# Python imports this module at its start, in the processes that a script starts, too.
CARD = '''
import sys

from mxrnn._runtime import device_report as _report
from mxrnn._runtime.mxnet import mx


class Card(type(mx.cpu())):  # MXNet 2 has a function under the name of Context
    device_type = 'gpu'

    def __str__(self):  # where operators are told to put arrays
        return 'cpu(0)'


def on_card(name):
    original = getattr(mx.sym.Symbol, name)

    def bind(self, ctx, *args, **kwargs):
        # Folding computes where the weights lie, and those of a made up card lie on the CPU.
        folds = sys._getframe(1).f_globals['__name__'] == 'mxrnn._inference.graph_passes'
        if not isinstance(ctx, Card) and not folds:
            raise AssertionError('%s is bound for %s' % (self, ctx))
        if name == 'simple_bind':
            shapes = {key: kwargs[key] for key in self.list_inputs() if key in kwargs}
        else:
            given = args[0] if isinstance(args[0], dict) else zip(self.list_arguments(), args[0])
            shapes = {key: value.shape for key, value in dict(given).items()}
        if None in self.infer_shape(**shapes):
            raise AssertionError('%s has unknown shapes' % self)
        print('bound for the made up card', file=sys.stderr)
        return original(self, ctx, *args, **kwargs)

    setattr(mx.sym.Symbol, name, bind)


on_card('bind')
on_card('simple_bind')
_report.gpu_context = lambda index: Card('cpu', 0)
_report.gpu_name = lambda index: 'made up'
mx.context.gpu_memory_info = lambda index: (1 << 30, 2 << 30)
'''


#: Of the scripts, those that run sym.RNN.
RUN_OPERATOR = ('bucketing_lm', 'predict', 'train_step', 'valid_length')
#: By a Module, and by an executor of their own.
TYPICAL = ('predict',)


@pytest.mark.parametrize('script', [
    pytest.param(path, marks=[needs_operator] * (path.stem in RUN_OPERATOR)
                 + [pytest.mark.nightly] * (path.stem not in TYPICAL)) for path in SCRIPTS],
    ids=lambda path: path.stem)
def test_graphs_are_bound_for_the_gpu(script, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(CARD)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, str(script), '--quick'] + options_for_a_gpu(script),
        capture_output=True, text=True, cwd=str(tmp_path),
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=path, TMPDIR=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert 'made up' in done.stdout, done.stdout
    assert 'bound for the made up card' in done.stderr, done.stderr


#: Measure on the CPU: the network between workers, parts of a step, onnxruntime, sources, versions.
ON_CPUS = ['workers', 'step_parts', 'onnx_steps', 'source', 'mxnet_versions']


def test_every_graph_is_among_them():
    assert [path.stem for path in SCRIPTS][0] == 'bucketing_lm'
    for path in (ROOT / 'benchmarks').glob('[a-z]*.py'):
        binds = any(word in path.read_text(encoding='utf-8') for word in ('bind(', 'mx.mod.'))
        assert not binds or path in SCRIPTS or path.stem in ON_CPUS, (
            '%s binds graphs but takes no --ctx' % path.name)
