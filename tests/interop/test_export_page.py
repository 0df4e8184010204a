"""The walk of docs/export.md runs as it stands, block after block; the lines that docs/lengths.md
shows are printed."""
import re
import shlex
from pathlib import Path

import pytest

from .. import rnn
from ..processes import printed
from .models import S, over
from .test_commands import save, told, told_in_a_line

for package in 'torch', 'onnx', 'onnxruntime':
    pytest.importorskip(package)

ROOT = Path(__file__).resolve().parents[2]
PAGE, LENGTHS = ((ROOT / 'docs' / name).read_text(encoding='utf-8')
                 for name in ('export.md', 'lengths.md'))

def commands():
    """The program or command lines of each block, as arguments of Python."""
    for language, block in re.findall(r'^```(py|sh)\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL):
        if block.startswith('class Model'):  # a source that is shown
            continue
        if language == 'py':
            yield ['-c', block]
            continue
        for line in block.splitlines():
            if not line.startswith('pip install '):  # what is installed already
                program, *arguments = shlex.split(line)
                assert program == 'python'
                yield arguments


@pytest.mark.nightly
def test_the_walk_of_the_page(tmp_path):
    texts = [printed(*arguments, folder=tmp_path) for arguments in commands()]
    assert len(texts) == 10
    text = '\n'.join(texts)
    assert text.count('within the tolerance') == 1 and 'ONNX:       every operator' in text
    assert '(4, 10) after 3 4 5 6 comes 7\n' in text
    first, last = map(float, re.findall(r'step \d+: (\d\.\d+) a word\n', text))
    assert last < first
    assert float(re.search(r'a chance of (\d\.\d+)\n', text)[1]) > 0.9
    assert (tmp_path / 'count-0005.params').exists()


def test_the_lines_of_lengths(tmp_path):
    shown = ' '.join(re.search(r'^```\n(.*?)^```', LENGTHS, re.MULTILINE | re.DOTALL)[1].split())
    save(tmp_path / 'a', S.sum(over(rnn.LSTMCell(6, 'lstm_'), 35), axis=1, name='total') / 35, [],
         {'data': (2, 35, 8)})
    export = 'export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx'
    assert shown in told_in_a_line(*export)
    assert 'batch, time: any' in told(*export, '--input', shown.partition('--input ')[2])
