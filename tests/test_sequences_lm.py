"""The benchmarks about sequences of different lengths, with little text and few units."""
from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

from . import needs_operator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rows(script: str, *options: str) -> list[dict[str, str]]:
    """The rows of CSV that a script prints."""
    printed = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'benchmarks', script), '--quick', *options], check=True,
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, OMP_NUM_THREADS='1')).stdout
    return list(csv.DictReader(line for line in printed.splitlines() if line[0] != '#'))


@pytest.mark.nightly
@needs_operator
def test_with_valid_length_padding_changes_neither_perplexity_nor_states() -> None:
    found = rows('valid_length.py')
    assert len(found) == 9
    perplexity = float(found[0]['perplexity'])
    for row in found:
        assert float(row['perplexity']) == pytest.approx(perplexity, rel=1e-5)
        differs = float(row['states_differ_by'])
        assert differs > 0.1 if row['sentences'] == 'padded' else differs < 1e-5


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
