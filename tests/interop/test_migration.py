"""The walks of docs/migration.md run as they stand, block after block in one folder."""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

for name in ('torch', 'onnx', 'onnxruntime'):
    pytest.importorskip(name)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'migration.md'


def commands():
    """The program or command lines of each block, as arguments of Python."""
    for language, block in re.findall(r'^```(py|sh)\n(.*?)^```', PAGE.read_text(encoding='utf-8'),
                                      re.MULTILINE | re.DOTALL):
        if language == 'py':
            yield ['-c', block]
            continue
        for line in block.splitlines():
            if not line.startswith('pip install '):  # what is installed already
                program, *arguments = shlex.split(line)
                assert program == 'python'
                yield arguments


@pytest.mark.slow
def test_the_walks_of_the_page(tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    printed = []
    for arguments in commands():
        done = subprocess.run([sys.executable, *arguments], cwd=str(tmp_path), text=True,
                              capture_output=True, env=environment)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr[-2000:])
        printed.append(done.stdout)
    assert len(printed) == 8
    text = '\n'.join(printed)
    assert text.count('within the tolerance') == 2 and 'ONNX:       every operator' in text
    assert '(4, 10) after 3 4 5 6 comes 7\n' in text
