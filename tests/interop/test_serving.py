"""The page docs/serving.md: what it trains is served where there is no MXNet."""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .. import rnn

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
if rnn.__name__ != 'mxrnn':
    pytest.skip('of mxrnn alone', allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'serving.md').read_text(encoding='utf-8')

#: Makes these packages look as if they were not installed.
WITHOUT = '''
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, *rest: None if name in ('mxnet', 'torch', 'onnx') else find(name, *rest))
'''


def blocks(language: str) -> list[str]:
    return re.findall(r'^```%s\n(.*?)^```' % language, PAGE, re.MULTILINE | re.DOTALL)


def call(folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(folder / 'blocked'), str(ROOT)])
    done = subprocess.run([sys.executable, *arguments], cwd=folder, text=True, capture_output=True,
                          env={**os.environ, 'PYTHONPATH': path})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page(tmp_path):
    training, *serving, one_file, two_files = blocks('py')
    call(tmp_path, '-c', training)
    printed = [call(tmp_path, *shlex.split(line)[1:]) for line in blocks('sh')[0].splitlines()]
    assert printed[-1] == blocks('text')[0]
    call(tmp_path, '-c', one_file + two_files + (
        'from mxrnn import interop\n'
        "stepper = interop.load_stepper('int8/turn.onnx')\n"
        'stepper.step(stepper.begin(source=[[1, 2]]), data=[0])\n'))
    small, large = [os.path.getsize(tmp_path / name) for name in ('count8.onnx', 'count.onnx')]
    assert small < 0.5 * large
    (tmp_path / 'blocked').mkdir()
    (tmp_path / 'blocked' / 'sitecustomize.py').write_text(WITHOUT, encoding='utf-8')
    lines = dict(line.split(': ') for line in
                 call(tmp_path, '-c', '\n'.join(serving)).splitlines())
    assert lines == {
        'sampled': '[[2, 3, 4, 5, 1, 2], [5, 1, 2, 3, 4, 5]]',
        'went on': '[[5, 1, 2, 3, 4, 5], [2, 3, 4, 5, 1, 2]]', 'chunks': 'True',
        'turned': '[4, 3, 2, 1]', 'served': '4 after 1 2 3; 1 session'}
    assert all(len([line for line in block.splitlines() if line.strip()]) < 25
               for block in serving)
