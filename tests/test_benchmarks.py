"""The benchmarks, with little text and few units: they run, and what they print can be read."""
from __future__ import annotations

import csv
import os
import subprocess
import sys
from typing import Any

import pytest

from . import needs_operator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rows(script: str, *options: str) -> list[dict[str, str]]:
    """The rows of CSV that a script prints."""
    printed = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'benchmarks', script), '--quick', *options], check=True,
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, OMP_NUM_THREADS='1')).stdout
    return list(csv.DictReader(line for line in printed.splitlines() if line[0] != '#'))


BOTH_WAYS = {(cell, each) for cell in ('lstm', 'gru') for each in ('training', 'inference')}
#: Scripts; what stands in some of their columns, and more may stand in; columns of numbers
#: above 0.
TABLES: dict[str, tuple[dict[tuple[str, ...], set[Any]], tuple[str, ...]]] = {
    'train_step.py': ({('cell', 'pass'): BOTH_WAYS, ('pass', 'implementation'): {
        *[(each, name) for each in ('training', 'inference') for name in (
            'mxnet.rnn cells', 'mxrnn cells', 'mxrnn.fuse', 'mxnet.rnn FusedRNNCell',
            'mxrnn FusedRNNCell', 'gluon.rnn')], ('inference', 'folded fuse')}},
        ('ms', 'to_stock')),
    'graph_size.py': ({('implementation',): {('mxnet.rnn cells',), ('mxrnn cells',), (
        'mxrnn.fuse',), ('mxrnn.dynamic_unroll',)}}, ('build_ms', 'step_mb')),
    'torch_graph.py': ({('cell', 'pass'): BOTH_WAYS, ('implementation',): {
        ('torch.nn',), ('FusedRNNCell',), ('fuse',), ('rolled',)}}, ('ms',)),
    'predict.py': ({('what', 'implementation'): {
        *[(what, name) for what in ('step', 'sequence') for name in (
            'bare executor', 'Stepper', 'gluon.rnn')], ('sequence', 'folded fuse'),
        *[('sentence', name) for name in ('BucketingModule', 'Predictor', 'one at a time',
                                          'graph without padding')]}}, ()),
    'valid_length.py': ({}, ('perplexity',)),
}


@needs_operator
@pytest.mark.parametrize('script', [
    pytest.param(script, marks=[pytest.mark.nightly] * (script != 'torch_graph.py'))
    for script in TABLES])
def test_tables(script: str) -> None:
    if script == 'torch_graph.py':
        pytest.importorskip('torch')
    if script == 'graph_size.py' and not os.path.exists('/proc/self/clear_refs'):
        pytest.skip('needs Linux')
    table, (wanted, numbers) = rows(script), TABLES[script]
    for columns, values in wanted.items():
        assert values <= {tuple([row[each] for each in columns]) for row in table}
    assert table and all(float(row[each]) > 0 for row in table for each in numbers)
    if script == 'valid_length.py':  # padding changes neither the perplexity nor the states
        for row in table:
            assert float(row['perplexity']) == pytest.approx(float(table[0]['perplexity']), 1e-5)
            assert float(row['states_differ_by']) > .1 or row['sentences'] != 'padded'
            assert float(row['states_differ_by']) < 1e-5 or row['sentences'] == 'padded'


@pytest.mark.nightly
def test_carried_states_know_what_an_earlier_batch_said(tmp_path) -> None:
    # Within a batch of three steps, 'go' comes first: nothing tells whether left or right follows.
    text = ''.join('go %s\n' % 'left right'.split()[i // 50 % 2] for i in range(500))
    (tmp_path / 'text').write_text(text, encoding='utf-8')
    file = str(tmp_path / 'text')
    found = rows('stream_lm.py', '--train', file, '--valid', file, '--bptt', '3', '--dropout', '0',
                 '--batch-size', '4', '--layers', '1', '--lr', '0.02', '--epochs', '3')
    assert [row['states'] for row in found] == ['zero'] * 3 + ['carried'] * 3
    zero, carried = (float(found[i]['valid_perplexity']) for i in (2, 5))
    assert zero > 1.15  # the cube root of two, less what is seen in passing from one to the other
    assert carried < 1.08


@pytest.mark.nightly
@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='needs Linux')
def test_corpora_on_disk_are_measured_and_give_the_batches_of_mxnet() -> None:
    found = {row['measure']: row['value'] for row in rows('data.py', '--disk')}
    assert found['sentences'] == found['sentences that fit into memory'] == '20000'
    assert all(float(value) > 0 for name, value in found.items() if 'memory beyond' not in name)
