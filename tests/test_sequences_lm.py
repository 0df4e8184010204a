"""The benchmarks about sequences of different lengths, with little text and few units."""
from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rows(script: str, *options: str) -> list[dict[str, str]]:
    """The rows of CSV that a script prints."""
    printed = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'benchmarks', script), '--quick', *options], check=True,
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, OMP_NUM_THREADS='1')).stdout
    return list(csv.DictReader(line for line in printed.splitlines() if line[0] != '#'))


def test_with_valid_length_padding_changes_neither_perplexity_nor_states() -> None:
    found = rows('valid_length.py')
    assert len(found) == 9
    perplexity = float(found[0]['perplexity'])
    for row in found:
        assert float(row['perplexity']) == pytest.approx(perplexity, rel=1e-5)
        differs = float(row['states_differ_by'])
        assert differs > 0.1 if row['sentences'] == 'padded' else differs < 1e-5
