"""What every test starts from: the same seeds, automatic names from zero, a quiet MXNet."""
from __future__ import annotations

import os
import random
import sys

import hypothesis
import numpy as np
import pytest

from . import mx, rnn
from .checkpoints import CELLS, network, parameters

os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')

if rnn.__name__ != 'mxrnn':
    # The original is expected to fail; to look for its simplest failures would take minutes.
    hypothesis.settings.register_profile('original', phases=[
        hypothesis.Phase.explicit, hypothesis.Phase.generate])
    hypothesis.settings.load_profile('original')


def said_to_be_wrong():
    """What the running test was told of MXNet's own operator, where that computes float32, too:
    in an MXNet before 1.7, or because the environment turns off oneDNN's."""
    environment = sys.modules.get('mxrnn._operator.environment')
    if environment is None or environment.onednn(np.float32):
        return []
    return [message for message in environment.GIVEN
            if 'breaks' in message or 'wrong gradients' in message]


#: What MXNet before 1.8 says where it does not infer the type of begin states that are Variables.
UNTYPED = 'First input must have specified type'


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Without oneDNN, a test may fail of what a warning says is wrong, and with MXNet before 1.8 of
    types that it does not infer (docs/versions.md); nothing else may fail."""
    report = (yield).get_result()
    if report.when != 'teardown' and report.failed:
        if said_to_be_wrong():
            report.outcome, report.wasxfail = 'skipped', said_to_be_wrong()[0]
        elif mx.__version__.startswith(('1.5.', '1.6.', '1.7.')) and UNTYPED in report.longreprtext:
            report.outcome, report.wasxfail = 'skipped', UNTYPED


@pytest.fixture(autouse=True)
def fresh_start():
    random.seed(0)
    np.random.seed(0)
    mx.random.seed(0)
    environment = sys.modules.get('mxrnn._operator.environment')
    if environment is not None:  # else mxnet.rnn is what is tested
        environment.GIVEN.clear()  # what is said once in a process is said once in each test
    with mx.name.NameManager(), mx.AttrScope():
        yield


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A checkpoint of epoch 1: (cell, prefix, symbol, arg_params, aux_params)."""
    monkeypatch.chdir(tmp_path)  # where mxnet.rnn writes what it should have refused
    cell = CELLS['fused']()
    symbol = network(cell)
    params = parameters(symbol)
    rnn.save_rnn_checkpoint(cell, str(tmp_path / 'model'), 1, symbol, *params)
    return (cell, str(tmp_path / 'model'), symbol) + params


@pytest.fixture
def small(tmp_path):
    """A checkpoint of epoch 1 with few parameters, without a checksum, as mxnet.rnn writes it:
    (cell, prefix, arg_params, aux_params)."""
    cell = rnn.FusedRNNCell(2, 1, 'rnn_tanh', prefix='rnn_')
    symbol = network(cell)
    params = parameters(symbol)
    mx.model.save_checkpoint(str(tmp_path / 'model'), 1, symbol, cell.unpack_weights(params[0]),
                             params[1])
    return (cell, str(tmp_path / 'model')) + params
