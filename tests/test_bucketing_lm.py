"""The language model of benchmarks/, from end to end, with little text and few units."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = [sys.executable, os.path.join(ROOT, 'benchmarks', 'bucketing_lm.py'), '--quick',
           '--hidden', '24', '--embedding', '16', '--buckets', '12,20,40']


def start(*options: str) -> subprocess.Popen[str]:
    """The script, started with one thread."""
    return subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=dict(os.environ, OMP_NUM_THREADS='1'))


def run(*options: str) -> str:
    """What the script prints, having ended well."""
    process = start(*options)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return printed


def epochs(printed: str) -> list[tuple[str, str, str]]:
    """Epoch and perplexities in training and validation, as printed."""
    return re.findall(r'^(\d+),([\d.]+),([\d.]+),', printed, re.MULTILINE)


def loaded(printed: str) -> tuple[str, ...]:
    """Validation perplexities of the unigram model, as trained, and with the other cells."""
    pattern = r'unigram model ([\d.]+), \w+ cells as trained ([\d.]+), .* cells ([\d.]+), '
    return re.search(pattern, printed).groups()


@pytest.mark.parametrize('options', ['', '--cell gru --layers 1 --dropout 0',
                                     '--cell rnn_tanh --unfused --optimizer sgd --lr 0.5'])
def test_learns_and_either_cell_predicts_and_mxnet_prints_the_same(options: str) -> None:
    printed = run('--epochs', '3', *options.split())
    rows = epochs(printed)
    assert [row[0] for row in rows] == ['1', '2', '3']
    assert float(rows[-1][2]) < float(rows[0][2])
    _, trained, other = map(float, loaded(printed))
    assert trained == pytest.approx(float(rows[-1][2]), rel=1e-5)
    assert other == pytest.approx(trained, rel=1e-4)
    assert len(re.findall('^# sampled: .+', printed, re.MULTILINE)) == 5
    stock = run('--epochs', '3', '--stock', *options.split())
    assert (epochs(stock), loaded(stock)) == (rows, loaded(printed))


def test_fuse_predicts_and_learns_like_the_cells_it_is_given() -> None:
    plain, fused = (run('--epochs', '2', '--dropout', '0', kind)
                    for kind in ('--unfused', '--fuse'))
    for one, two in zip(epochs(plain), epochs(fused)):
        assert [float(p) for p in two] == pytest.approx([float(p) for p in one], rel=1e-4)
    assert float(loaded(fused)[2]) == pytest.approx(float(loaded(fused)[1]), rel=1e-4)


def test_beats_the_unigram_model() -> None:
    unigram, trained, _ = map(float, loaded(run('--epochs', '8', '--dropout', '0.2')))
    assert trained < 0.8 * unigram


def test_killed_in_an_epoch_it_resumes_as_if_it_had_not_been(tmp_path) -> None:
    whole = epochs(run('--epochs', '4', '--checkpoint', str(tmp_path / 'whole')))
    process = start('--epochs', '4', '--checkpoint', str(tmp_path / 'killed'))
    saved = tmp_path / 'killed-0002.params'  # the states are there before
    while process.poll() is None and not saved.exists():
        time.sleep(0.002)
    process.kill()
    process.communicate()
    printed = run('--epochs', '4', '--checkpoint', str(tmp_path / 'killed'), '--resume', '2')
    assert epochs(printed) == whole[2:]


def test_files_of_text(tmp_path) -> None:
    train, valid = tmp_path / 'train.txt', tmp_path / 'valid.txt'
    train.write_text('a b c d\n\n' * 100 + 'a long sentence ' * 20, encoding='utf-8')
    valid.write_text('a b c d\n' * 5 + 'words never seen\n', encoding='utf-8')
    printed = run('--train', str(train), '--valid', str(valid), '--epochs', '2', '--min-count', '1')
    assert '# 102 and 6 sentences, 9 different words' in printed
    assert float(loaded(printed)[1]) < float(loaded(printed)[0])


@pytest.mark.parametrize('options, message', [
    ('--fuse --unfused', 'not allowed with argument'),
    ('--fuse --stock', 'mxnet.rnn has no such function'),
    ('--gpus 99', 'No GPU to run on'),
    ('--dropout 1', '--dropout must be from 0 to below 1, got 1'),
    ('--layers 0', 'argument --layers: invalid positive value'),
    ('--buckets 2,9', '--buckets must be 3 or more, got 2'),
    ('--resume 1', '--resume needs --checkpoint'),
    ('--resume 1 --checkpoint x --stock', 'which mxnet.rnn (--stock) does not save'),
    ('--resume 4 --checkpoint x', '--resume must be below --epochs, which is 4'),
    ('--optimizer none', "argument --optimizer: invalid choice: 'none'"),
    ('--train missing.txt', 'missing.txt cannot be read'),
    ('--kv-store dist_sync', '--kv-store dist_sync needs the DMLC_ variables'),
    ('--kv-store dist_sink', "argument --kv-store: invalid choice: 'dist_sink'"),
])
def test_refuses_what_cannot_be_had(options: str, message: str, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(os.path.dirname(COMMAND[1]))
    monkeypatch.setattr(sys, 'argv', [*COMMAND[1:], *options.split()])
    from bucketing_lm import main
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code
    assert message in '%s %s' % (refused.value.code, capsys.readouterr().err)
