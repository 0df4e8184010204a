"""The language model of benchmarks/, from end to end, with little text and few units."""
from __future__ import annotations

import functools
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from . import mx, needs_operator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = [sys.executable, os.path.join(ROOT, 'benchmarks', 'bucketing_lm.py'), '--quick',
           '--hidden', '24', '--embedding', '16', '--buckets', '12,20,40']


@pytest.fixture(autouse=True)
def _log_level():
    """The scripts choose how much is logged, some of them in this process."""
    before = logging.getLogger('mxrnn').level
    yield
    logging.getLogger('mxrnn').setLevel(before)


@pytest.fixture(scope='module')
def shared_folder(tmp_path_factory):
    """Where the script leaves its checkpoints: `run` keeps what it returns for several tests, so
    this is the folder of none of them."""
    return tmp_path_factory.mktemp('checkpoints')


@pytest.fixture(autouse=True)
def _temporary_files(monkeypatch, shared_folder) -> None:
    """Checkpoints outlive the script: keep them out of the system's folder."""
    monkeypatch.setenv('TMPDIR', str(shared_folder))


def heed_interrupts() -> None:
    """Undo what a shell does to programs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(*options: str) -> subprocess.Popen[str]:
    """The script, started with one thread."""
    return subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=dict(os.environ, OMP_NUM_THREADS='1'),
                            preexec_fn=heed_interrupts if os.name == 'posix' else None)


@functools.lru_cache(maxsize=None)
def run(*options: str) -> str:
    """The output of the script, which ends well."""
    process = start(*options)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    return printed


def epochs(printed: str) -> list[tuple[str, str, str]]:
    """Epoch and perplexities in training and validation, as printed."""
    return re.findall(r'^(\d+),([\d.]+),([\d.]+),', printed, re.MULTILINE)


def loaded(printed: str) -> tuple[str, ...]:
    """Validation perplexities of the unigram model, as trained, and with the other cells."""
    pattern = r'unigram model ([\d.]+), \w+ cells as trained ([\d.]+), .* cells ([\d.]+), '
    return re.search(pattern, printed).groups()


@pytest.mark.nightly
@needs_operator
@pytest.mark.parametrize('options', [
    '', '--cell rnn_tanh --unfused --optimizer sgd --lr 0.02',
    '--cell gru --layers 1 --dropout 0'])
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


@pytest.mark.nightly
@needs_operator
def test_killed_in_an_epoch_it_resumes_as_if_it_had_not_been(tmp_path) -> None:
    whole = epochs(run('--epochs', '3'))
    process = start('--epochs', '3', '--checkpoint', str(tmp_path / 'killed'))
    saved = tmp_path / 'killed-0002.params'  # the states are there before
    while process.poll() is None and not saved.exists():
        time.sleep(0.002)
    process.kill()
    process.communicate()
    printed = run('--epochs', '3', '--checkpoint', str(tmp_path / 'killed'), '--resume', '2')
    assert epochs(printed) == whole[2:]


def interrupt(*options: str) -> tuple[str, str]:
    """Press Ctrl-C after the first epoch; returns what was printed, and the errors."""
    process = start(*options)
    printed = ''
    while not epochs(printed):
        line = process.stdout.readline()
        assert line, process.communicate()
        printed += line
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode == 130, errors
    assert 'Traceback' not in errors
    return printed + rest, errors.splitlines()[-1]


@pytest.mark.nightly
@needs_operator
@pytest.mark.skipif(os.name != 'posix', reason='needs signals of POSIX')
def test_interrupted_it_says_how_to_go_on() -> None:
    printed, line = interrupt('--epochs', '60')  # of which few are done when it is interrupted
    found = re.fullmatch(r'Interrupted\. The last checkpoint is (.*-00(\d\d)\.params); to go on: '
                         r'python (.*)', line)
    path, last, command = found.groups()
    assert os.path.exists(path)
    assert '--epochs 60' in command
    end = int(last) + 2
    resumed = subprocess.run([sys.executable, *shlex.split(command), '--epochs', str(end)],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
    assert [row[0] for row in epochs(resumed)] == [str(end - 1), str(end)]
    assert len(epochs(printed)) <= int(last)


@needs_operator
def test_checkpoints_outlive_the_run_and_the_end_names_them() -> None:
    *_, where, verdict = run('--epochs', '3').splitlines()
    path = re.fullmatch(r'# the last checkpoint is (.*-0003\.params)', where).group(1)
    kept = sorted(name for name in os.listdir(os.path.dirname(path)) if name.endswith('params'))
    assert kept == ['lm-0002.params', 'lm-0003.params']
    assert verdict.startswith('# passed: the perplexities of fused and unfused cells differ by ')


@needs_operator
@pytest.mark.skipif(os.name != 'posix', reason='needs terminals of POSIX')
def test_a_terminal_has_a_bar_and_no_log_lines_within_an_epoch(tmp_path) -> None:
    try:
        ours, terminal = os.openpty()
    except OSError as error:
        pytest.skip('this system gives no terminals: %s' % error)
    with open(tmp_path / 'printed', 'w') as printed:
        process = subprocess.Popen(
            [*COMMAND, '--epochs', '2', '--batch-size', '8'], stdout=printed, stderr=terminal,
            env=dict(os.environ, OMP_NUM_THREADS='1', TERM='xterm', COLUMNS='80'))
    os.close(terminal)
    shown = b''
    try:
        while True:
            part = os.read(ours, 4096)
            shown += part
            if not part:
                break
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, shown
    bars = re.findall(r'\r(epoch [^\x1b]*)\x1b\[K', shown.decode())
    assert all(re.fullmatch(r'epoch [12] of 2 \[#*\.*\] perplexity [\d.]+, about .* s to go', bar)
               and len(bar) < 80 for bar in bars), bars
    assert {bar[6] for bar in bars} == {'1', '2'}
    lines = [line.rpartition('\x1b[K')[2] for line in shown.decode().splitlines()]
    assert not any('samples per second' in line for line in lines)
    assert sum(line.startswith('Saved checkpoint to ') for line in lines) == 2
    assert len(epochs((tmp_path / 'printed').read_text())) == 2


@needs_operator
def test_short_epochs_have_no_speed() -> None:
    printed = run('--epochs', '1', '--batch-size', '800')
    assert re.search(r'^1,[\d.]+,[\d.]+,$', printed, re.MULTILINE)
    assert re.search(r'^# epochs of \d batches are too short for a speed$', printed, re.MULTILINE)


def refusal(options: str, monkeypatch, capsys) -> str:
    """The message of the script that ends with an error before it trains."""
    monkeypatch.syspath_prepend(os.path.dirname(COMMAND[1]))
    monkeypatch.setattr(sys, 'argv', [*COMMAND[1:], *options.split()])
    import bucketing_lm

    def train(*_: object, **__: object) -> None:
        raise AssertionError('the training began')

    monkeypatch.setattr(mx.mod.BucketingModule, 'fit', train)
    with pytest.raises(SystemExit) as refused:
        bucketing_lm.main()
    assert refused.value.code
    if refused.value.code == 2:
        return capsys.readouterr().err
    return str(refused.value.code)


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> str:
    """The prefix of a checkpoint of one epoch."""
    prefix = str(tmp_path_factory.mktemp('trained') / 'lm')
    run('--epochs', '1', '--checkpoint', prefix)
    return prefix


@needs_operator
@pytest.mark.parametrize('options, message', [
    ('--hidden 20', 'must have the shape (20, 16), got (24, 16)'),
    ('--embedding 20', 'sizes that the training began with: embed_weight has'),
    ('--layers 1', 'does not fit the graph and the cells: left over lstm1'),
    ('--cell gru', "the weights begin with 'lstm0_' or 'lstm1_'"),
    ('--min-count 9', 'needs the text and the sizes that the training began with: embed_weight'),
    ('--resume 2', 'lm-0002.params: these epochs are there: 1'),
])
def test_does_not_resume_with_other_sizes(options: str, message: str, trained: str, monkeypatch,
                                          capsys) -> None:
    refused = refusal('--checkpoint %s --resume 1 %s' % (trained, options), monkeypatch, capsys)
    assert refused.startswith('--resume ') and message in refused


@needs_operator
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
    ('--layers 0', '--layers must be at least 1, got 0'),
    ('--epochs -3', '--epochs must be at least 1, got -3'),
    ('--epochs few', '--epochs must be a whole number, at least 1, got few'),
    ('--dropout nan', '--dropout must be from 0 to below 1, got nan'),
    ('--lr nan', '--lr must be a number above 0, got nan'),
    ('--lr inf', '--lr must be a number above 0, got inf'),
    ('--lr fast', '--lr must be a number above 0, got fast'),
    ('--seed -1', '--seed must be from 0 to 1000000000, got -1'),
    ('--seed 5000000000', '--seed must be from 0 to 1000000000, got 5000000000'),
    ('--gpus a', '--gpus must be whole numbers with commas between them, got a'),
    ('--buckets 12,', '--buckets must be whole numbers with commas between them, got 12,'),
    ('--batch-size 2000', 'the sentences that each worker has to train on, got 2000'),
    ('--checkpoint missing/lm', '--checkpoint must be a folder and a name to begin with, but '),
    ('--checkpoint /', '--checkpoint must be a folder and a name to begin with, but / is a folder'),
    ('--epoch 3', 'unrecognized arguments: --epoch 3'),
    ('--buckets 2,9', '--buckets must be 3 or more, got 2'),
    ('--resume 1', '--resume needs --checkpoint'),
    ('--resume 1 --stock', '--resume is not for --stock'),
    ('--resume', '--resume needs a value'),
    ('--quick=yes', '--quick takes no value, got yes'),
    ('--resume 4 --checkpoint x', '--resume must be below --epochs, which is 4, got 4'),
    ('--optimizer none', '--optimizer must be one of '),
    ('--train missing.txt', 'missing.txt cannot be read'),
    ('--kv-store dist_sync', '--kv-store dist_sync needs the DMLC_ variables'),
    ('--kv-store dist_sink', '--kv-store must be one of '),
])
def test_refuses_what_cannot_be_had(options: str, message: str, monkeypatch, capsys) -> None:
    assert message in refusal(options, monkeypatch, capsys)


def test_a_store_that_mxnet_is_not_built_with_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(mx.runtime.Features, 'is_enabled', lambda self, name: name != 'NCCL')
    message = '--kv-store must be one that this MXNet is built with (NCCL is not), got nccl'
    assert message in refusal('--kv-store nccl', monkeypatch, capsys)


def test_plots_are_refused_before_training(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip('matplotlib')
    for path, message in [('x.foo', '--plot must end in one of '), ('x', '--plot must end in one'),
                          (str(tmp_path / 'missing' / 'x.png'), 'but there is no folder ')]:
        assert message in refusal('--plot ' + path, monkeypatch, capsys)


def test_a_folder_that_takes_no_files_is_refused(tmp_path, monkeypatch, capsys) -> None:
    def full(**_: object) -> None:
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('tempfile.TemporaryFile', full)
    message = 'but no file can be made in %s: No space left on device' % tmp_path
    assert message in refusal('--checkpoint %s' % (tmp_path / 'lm'), monkeypatch, capsys)


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch, capsys) -> None:
    allowed = os.access  # root may write everywhere
    monkeypatch.setattr(os, 'access', lambda path, *how: (
        str(path) != str(tmp_path) and allowed(path, *how)))
    assert '%s may not be written' % tmp_path in refusal(
        '--checkpoint %s' % (tmp_path / 'lm'), monkeypatch, capsys)


@pytest.mark.parametrize('train, valid, message', [
    ('\n \n', 'a b\n', 'There are no sentences to train on in '),
    ('a b\n', '\n', 'There are no sentences to validate on in '),
    ('a b\n' * 90, None, 'the last ten of every hundred are held out; give others by --valid'),
])
def test_says_which_part_is_empty(train, valid, message, tmp_path, monkeypatch, capsys) -> None:
    options = []
    for name, text in (('train', train), ('valid', valid)):
        if text is not None:
            (tmp_path / name).write_text(text, encoding='utf-8')
            options += ['--' + name, str(tmp_path / name)]
    assert message in refusal(' '.join(options), monkeypatch, capsys)


def test_a_mark_of_byte_order_is_no_part_of_a_word(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(os.path.dirname(COMMAND[1]))
    from _text import read_text
    (tmp_path / 'text').write_bytes(b'\xef\xbb\xbfa b\n')
    path = str(tmp_path / 'text')
    assert read_text(path, path, 1) == [[['a', 'b']], [['a', 'b']]]
