"""The benchmarks of steps and of graphs, with few and small layers: they run, and what they print
can be read."""
from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys

import pytest

from . import needs_operator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rows(script):
    result = subprocess.run([sys.executable, os.path.join(ROOT, 'benchmarks', script), '--quick'],
                            check=True, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, 'OMP_NUM_THREADS': '1'})
    lines = result.stdout.splitlines()
    assert lines[0].startswith('# Python ')
    return list(csv.DictReader(line for line in lines if not line.startswith('#')))


@pytest.mark.nightly
@needs_operator
def test_train_step():
    table = rows('train_step.py')
    names = {each: {row['implementation'] for row in table if row['pass'] == each} - {'torch.nn'}
             for each in ('training', 'inference')}
    assert names['training'] == {'mxnet.rnn cells', 'mxrnn cells', 'mxrnn.fuse',
                                 'mxnet.rnn FusedRNNCell', 'mxrnn FusedRNNCell', 'gluon.rnn'}
    assert names['inference'] == names['training'] | {'folded fuse'}
    assert {(row['cell'], row['pass']) for row in table} == {
        (cell, each) for cell in ('lstm', 'gru') for each in ('training', 'inference')}
    assert all(float(row['ms']) > 0 and float(row['to_stock']) > 0 for row in table)


@pytest.mark.nightly
@pytest.mark.skipif(not os.path.exists('/proc/self/clear_refs'), reason='needs Linux')
def test_graph_size():
    table = rows('graph_size.py')
    lengths = {row['T'] for row in table}
    assert len(lengths) > 1  # a plot over one length shows nothing
    assert [row['implementation'] for row in table] == len(lengths) * [
        'mxnet.rnn cells', 'mxrnn cells', 'mxrnn.fuse', 'mxrnn.dynamic_unroll']
    assert all(stock['nodes'] == ours['nodes'] for stock, ours in zip(table[::4], table[1::4]))
    assert all(float(row['build_ms']) > 0 and float(row['step_mb']) > 0 for row in table)


@pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='torch is not installed')
def test_torch_graph():
    table = rows('torch_graph.py')
    assert {row['implementation'] for row in table} == {
        'torch.nn', 'FusedRNNCell', 'fuse', 'rolled'}
    assert {(row['cell'], row['pass']) for row in table} == {
        (cell, each) for cell in ('lstm', 'gru') for each in ('training', 'inference')}
    assert all(float(row['ms']) > 0 and float(row['from_cpu']) == 0 for row in table)


@pytest.mark.nightly
def test_predict():
    table = rows('predict.py')
    names: dict[str, set[str]] = {}
    for row in table:
        names.setdefault(row['what'], set()).add(row['implementation'])
    others = {'torch.nn', 'onnxruntime'}
    assert names.pop('step') - others == {'bare executor', 'Stepper', 'gluon.rnn'}
    assert names.pop('sequence') - others == {'bare executor', 'Stepper', 'folded fuse',
                                              'gluon.rnn'}
    assert names.pop('sentence') == {'BucketingModule', 'Predictor', 'graph without padding',
                                     'one at a time'}
    assert all(kinds == {'numbers', 'arrays', 'Stepper'} for kinds in names.values())
    assert all(float(row['value']) > 0 for row in table if row['unit'] == 'us')
