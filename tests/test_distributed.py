"""Two workers, a server and a scheduler train the language model of benchmarks/ together."""
from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from . import mx, needs_operator, trainings
from .comparing import same

#: Runs the script given in the arguments, and keeps the parameters that this worker ends with.
WORKER = '''
import os, runpy, sys
import mxrnn
from mxrnn._runtime.mxnet import mx  # scheduler and server stay in here until all is over
if mx.__version__.startswith('2.'):
    mxrnn.install()

fit = mx.mod.BaseModule.fit

def fit_and_keep(module, *args, **kwargs):
    fit(module, *args, **kwargs)
    mx.nd.save(os.environ['PARAMETERS'], module.get_params()[0])

mx.mod.BaseModule.fit = fit_and_keep
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name='__main__')
'''


def train_together(folder, *command: str) -> list[dict]:
    """Run a script of benchmarks/ in all roles; return the parameters that the workers end with.

    In the command, %d stands for a number of each process's own.
    """
    environment = trainings.environment()
    script, *options = command
    processes = []
    for number, role in enumerate(['scheduler', 'server', 'worker', 'worker']):
        processes.append(subprocess.Popen(
            [sys.executable, '-c', WORKER, os.path.join(trainings.ROOT, 'benchmarks', script),
             '--quick', '--epochs', '1', '--hidden', '24', '--kv-store', 'dist_sync',
             *(option.replace('%d', str(number)) for option in options)],
            env=dict(environment, DMLC_ROLE=role,
                     PARAMETERS=str(folder / ('parameters-%d' % number))),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    try:
        ended = [process.communicate() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0, 0, 0], ended
    return [mx.nd.load(str(folder / ('parameters-%d' % number))) for number in (2, 3)]


@needs_operator
def test_two_workers_end_with_equal_parameters_and_one_of_them_saves(tmp_path) -> None:
    one, two = train_together(tmp_path, 'bucketing_lm.py', '--checkpoint',
                              str(tmp_path / 'saved-%d'))
    assert same(one, two)

    # Each worker was given a prefix of its own, and only the one of rank 0 wrote to its.
    saved = sorted(path.name for path in tmp_path.glob('saved-*'))
    prefix = saved[0][:len('saved-0')]
    assert saved == [prefix + '-0001.params', prefix + '-symbol.json']
    _, stored, _ = mx.model.load_checkpoint(str(tmp_path / prefix), 1)
    for name in ('embed_weight', 'decode_bias'):
        np.testing.assert_array_equal(stored[name].asnumpy(), one[name].asnumpy())


@pytest.mark.nightly
def test_two_workers_read_the_streams_of_one_text(tmp_path) -> None:
    assert same(*train_together(tmp_path, 'stream_lm.py', '--states', 'carried'))
