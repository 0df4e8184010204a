"""The language model of benchmarks/, from end to end, with little text and few units."""
from __future__ import annotations

import logging
import os
import re
import sys

import pytest

from . import mx, needs_operator
from .processes import printed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = [sys.executable, os.path.join(ROOT, 'benchmarks', 'bucketing_lm.py'), '--quick',
           '--hidden', '24', '--embedding', '16', '--buckets', '12,20,40']


@pytest.fixture(autouse=True)
def _log_level():
    """The scripts choose how much is logged, some of them in this process."""
    before = logging.getLogger('mxrnn').level
    yield
    logging.getLogger('mxrnn').setLevel(before)


@pytest.fixture(autouse=True)
def _temporary_files(monkeypatch, tmp_path) -> None:
    """Checkpoints outlive the script: keep them out of the system's folder."""
    monkeypatch.setenv('TMPDIR', str(tmp_path))


def run(*options: str) -> str:
    """The output of the script, which ends well."""
    return printed(*COMMAND[1:], *options, OMP_NUM_THREADS='1')


@needs_operator
def test_checkpoints_outlive_the_run_and_the_end_names_them() -> None:
    *_, where, verdict = run('--epochs', '3').splitlines()
    path = re.fullmatch(r'# the last checkpoint is (.*-0003\.params)', where).group(1)
    kept = sorted(name for name in os.listdir(os.path.dirname(path)) if name.endswith('params'))
    assert kept == ['lm-0002.params', 'lm-0003.params']
    assert verdict.startswith('# passed: the perplexities of fused and unfused cells differ by ')


@needs_operator
def test_files_of_text(tmp_path) -> None:
    train, valid = tmp_path / 'train.txt', tmp_path / 'valid.txt'
    train.write_text('a b c d\n\n' * 100 + 'a long sentence ' * 20, encoding='utf-8')
    valid.write_text('a b c d\n' * 5 + 'words never seen\n', encoding='utf-8')
    said = run('--train', str(train), '--valid', str(valid), '--epochs', '2', '--min-count', '1')
    assert '# 102 and 6 sentences, 9 different words' in said
    unigram, trained = re.search(r'unigram model ([\d.]+), \w+ cells as trained ([\d.]+), ',
                                 said).groups()
    assert float(trained) < float(unigram)


@pytest.mark.parametrize('options, message', [
    ('--fuse --unfused', 'not allowed with argument'),
    ('--fuse --stock', 'mxnet.rnn has no such function'),
    ('--gpus 99', 'No GPU to run on'),
    ('--layers 0', '--layers must be at least 1, got 0'),
    ('--lr nan', '--lr must be a number above 0, got nan'),
    ('--seed -1', '--seed must be from 0 to 1000000000, got -1'),
    ('--gpus a', '--gpus must be whole numbers with commas between them, got a'),
    ('--batch-size 2000', 'the sentences that each worker has to train on, got 2000'),
    ('--checkpoint missing/lm', '--checkpoint must be a folder and a name to begin with, but '),
    ('--epoch 3', 'unrecognized arguments: --epoch 3'),
    ('--buckets 2,9', '--buckets must be 3 or more, got 2'),
    ('--resume 1', '--resume needs --checkpoint'),
    ('--quick=yes', '--quick takes no value, got yes'),
    ('--resume 4 --checkpoint x', '--resume must be below --epochs, which is 4, got 4'),
    ('--optimizer none', '--optimizer must be one of '),
    ('--train missing.txt', 'missing.txt cannot be read'),
    ('--kv-store dist_sync', '--kv-store dist_sync needs the DMLC_ variables'),
])
def test_refuses_what_cannot_be_had(options: str, message: str, monkeypatch, capsys) -> None:
    """The script ends with an error before it trains."""
    monkeypatch.syspath_prepend(os.path.dirname(COMMAND[1]))
    monkeypatch.setattr(sys, 'argv', [*COMMAND[1:], *options.split()])
    import bucketing_lm

    def train(*_: object, **__: object) -> None:
        raise AssertionError('the training began')

    monkeypatch.setattr(mx.mod.BucketingModule, 'fit', train)
    with pytest.raises(SystemExit) as refused:
        bucketing_lm.main()
    assert message in (capsys.readouterr().err if refused.value.code == 2 else
                       str(refused.value.code))
