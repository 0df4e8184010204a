"""Every test starts from the same: seeds, automatic names from zero, a quiet MXNet."""
import faulthandler
import gc
import os
import random
import re
import sys

import hypothesis
import numpy as np
import pytest

from mxrnn._runtime.mxnet import RELEASE

from . import mx, ours, rnn
from .checkpoints import CELLS, Saved, network, parameters
from .trainings import HANGS

os.environ.setdefault('MXNET_SUBGRAPH_VERBOSE', '0')

# The same examples each time: what passed here does not fail elsewhere.
# `pytest --hypothesis-profile searching` looks for others.
hypothesis.settings.register_profile('searching', derandomize=False, deadline=None)
hypothesis.settings.register_profile('repeatable', derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile('repeatable')
if rnn.__name__ != 'mxrnn':
    # The original is expected to fail; to look for its simplest failures would take minutes.
    hypothesis.settings.register_profile('original', derandomize=True, database=None, phases=[
        hypothesis.Phase.explicit, hypothesis.Phase.generate])
    hypothesis.settings.load_profile('original')


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.stderr = os.dup(2)  # the tests' own is captured
    begin(config)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """With several processes (-n), each runs whole files: tests of a file share what they make."""
    if getattr(config.option, 'numprocesses', None) and config.option.dist == 'no':
        config.option.dist = 'loadfile'


def pytest_runtest_protocol(item):
    begin(item.config)


def pytest_sessionfinish(session):
    begin(session.config)


def pytest_collection_finish():
    """Leave out what all tests share, some 600,000 objects, when garbage is collected."""
    gc.collect()
    gc.freeze()


def begin(config):
    """What takes a limited time begins now: a test, or all before the first or after the last. What
    hangs ends the run, with what each thread does."""
    faulthandler.dump_traceback_later(HANGS, file=config.stderr, exit=True)


def said_to_be_wrong():
    """Return what the running test was told of MXNet's own operator, where that computes float32:
    in an MXNet before 1.7, or because the environment turns off oneDNN's."""
    environment = sys.modules.get('mxrnn._operator.rnn_defects')
    if environment is None or environment.onednn(np.float32):
        return []
    return [message for message in sys.modules['mxrnn._check'].GIVEN
            if 'breaks' in message or 'wrong gradients' in message]


#: The rows of docs/versions.md: the first release that does not fail so, a pattern of the names of
#: the tests, and one of what they say.
OLDER = [
    ((1, 8), '', r'Check failed: .*First input must have specified type'),
    ((1, 6), 'test_types_that_only_binding_tells',
     'Not enough information to infer type in Concat'),
    ((1, 7), 'test_random_geometries', 'is too small for i2h_kernel'),
    ((1, 7), 'test_inference_fold.py::test_numbers_are_the_same',
     'InferShape pass cannot decide shapes'),
    ((1, 6), 'test_names_are_those_of_mxnet',
     r"diff: '(\w+?)(?:_state|_statecell)?_output' != '\1_output\d'"),
    ((1, 7), 'test_files_are_those_of_the_original',
     r"mxnet/model\.py(.|\n)*'list' object has no attribute 'items'"),
    # What the sequences are compared with is computed once, and warned of then only.
    ((1, 7), r'test_each_sequence_as_if_alone\[\w+-fused_gru_3_both-', 'Mismatched elements'),
]


def known_of_this(report):
    """Return what the failure that is reported says, if it is one of this MXNet's."""
    told = report.longreprtext
    if 'CalledProcessError' in told:  # of another process, the reason is in what it printed
        told += ''.join(content for _, content in report.sections)
    return [text for release, name, text in OLDER
            if RELEASE < release and re.search(name, report.nodeid) and re.search(text, told)]


def pytest_collection_modifyitems(config, items):
    """Tests of mxrnn alone go if it is not tested."""
    if rnn.__name__ != 'mxrnn':
        gone = [item for item in items if ours.mark in item.iter_markers('skipif')]
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Without oneDNN, a test may fail of what a warning says is wrong, and with an older MXNet of
    what docs/versions.md says of it; nothing else may fail."""
    report = (yield).get_result()
    if report.when != 'teardown' and report.failed:
        for reason in said_to_be_wrong() + known_of_this(report):
            report.outcome, report.wasxfail = 'skipped', reason


@pytest.fixture(autouse=True)
def fresh_start():
    random.seed(0)
    np.random.seed(0)
    mx.random.seed(0)
    if 'torch' in sys.modules:
        sys.modules['torch'].manual_seed(0)
    check = sys.modules.get('mxrnn._check')
    if check is not None:  # else mxnet.rnn is what is tested
        check.GIVEN.clear()  # what is said once in a process is said once in each test
    with mx.name.NameManager(), mx.AttrScope():
        yield


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A checkpoint `model` of epoch 1."""
    monkeypatch.chdir(tmp_path)  # where mxnet.rnn writes what it should have refused
    cell = CELLS['fused']()
    symbol = network(cell)
    checkpoint = Saved(cell, str(tmp_path / 'model'), symbol, *parameters(symbol))
    checkpoint.save(checkpoint.prefix)
    return checkpoint


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


@pytest.fixture
def fusing(monkeypatch):
    """A function that turns --fuse on or off."""
    from mxrnn._runtime import finder
    return lambda on: monkeypatch.setattr(finder, 'fuses', on)
