"""The language model of benchmarks/, from end to end, with little text and few units."""
import os
import re
import sys

import pytest

from . import needs_operator
from .processes import printed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = [sys.executable, os.path.join(ROOT, 'benchmarks', 'bucketing_lm.py'), '--quick',
           '--hidden', '24', '--embedding', '16', '--buckets', '12,20,40']


@pytest.fixture(autouse=True)
def _temporary_files(monkeypatch, tmp_path):
    """Checkpoints outlive the script: keep them out of the system's folder."""
    monkeypatch.setenv('TMPDIR', str(tmp_path))


def run(*options):
    """The output of the script, which ends well."""
    return printed(*COMMAND[1:], *options, OMP_NUM_THREADS='1')


@needs_operator
def test_checkpoints_outlive_the_run_and_the_end_names_them():
    *_, where, verdict = run('--epochs', '3').splitlines()
    path = re.fullmatch(r'# the last checkpoint is (.*-0003\.params)', where).group(1)
    kept = sorted(name for name in os.listdir(os.path.dirname(path)) if name.endswith('params'))
    assert kept == ['lm-0002.params', 'lm-0003.params']
    assert verdict.startswith('# passed: the perplexities of fused and unfused cells differ by ')


@needs_operator
def test_files_of_text(tmp_path):
    train, valid = tmp_path / 'train.txt', tmp_path / 'valid.txt'
    train.write_text('a b c d\n\n' * 100 + 'a long sentence ' * 20, encoding='utf-8')
    valid.write_text('a b c d\n' * 5 + 'words never seen\n', encoding='utf-8')
    said = run('--train', str(train), '--valid', str(valid), '--epochs', '2', '--min-count', '1')
    assert '# 102 and 6 sentences, 9 different words' in said
    unigram, trained = re.search(r'unigram model ([\d.]+), \w+ cells as trained ([\d.]+), ',
                                 said).groups()
    assert float(trained) < float(unigram)
