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
PAGE, SOURCES = [(ROOT / 'docs' / name).read_text(encoding='utf-8')
                 for name in ('serving.md', 'source.md')]

#: Makes these packages look as if they were not installed.
WITHOUT = '''
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, *rest: None if name in %s else find(name, *rest))
'''


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(r'^```%s\n(.*?)^```' % language, page, re.MULTILINE | re.DOTALL)


def call(folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(folder / 'blocked'), str(ROOT)])
    done = subprocess.run([sys.executable, *arguments], cwd=folder, text=True, capture_output=True,
                          env={**os.environ, 'PYTHONPATH': path})
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(folder: Path, packages: tuple[str, ...]) -> None:
    (folder / 'blocked').mkdir(exist_ok=True)
    (folder / 'blocked' / 'sitecustomize.py').write_text(WITHOUT % (packages,), encoding='utf-8')


def test_the_page(tmp_path):
    training, *serving, one_file, two_files, build, loop_file = blocks('py')
    call(tmp_path, '-c', training)
    printed = [call(tmp_path, *shlex.split(line)[1:]) for line in blocks('sh')[0].splitlines()]
    assert printed[-1] == blocks('text')[0]
    call(tmp_path, '-c', one_file + two_files + (
        'from mxrnn import interop\n'
        "stepper = interop.load_stepper('int8/turn.onnx')\n"
        'stepper.step(stepper.begin(source=[[1, 2]]), data=[0])\n'))
    small, large = [os.path.getsize(tmp_path / name) for name in ('count8.onnx', 'count.onnx')]
    assert small < 0.5 * large
    call(tmp_path, '-c', build)
    commands = [call(tmp_path, *shlex.split(line)[1:]) for line in blocks('sh')[1].splitlines()]
    assert commands[-1].endswith('within the tolerance of 1e-05\n')
    call(tmp_path, '-c', loop_file)
    sizes = [os.path.getsize(tmp_path / name) for name in ('loop8.onnx', 'loop.onnx')]
    assert round(sizes[0] / sizes[1], 1) == 0.6
    block(tmp_path, ('mxnet', 'torch', 'onnx'))
    in_int8 = '\n'.join(serving).replace("load_stepper('turn.onnx')", "load_stepper('loop8.onnx')")
    assert in_int8 != '\n'.join(serving)
    assert 'turned: [4, 3, 2, 1]\n' in call(tmp_path, '-c', in_int8)
    lines = dict(line.split(': ') for line in
                 call(tmp_path, '-c', '\n'.join(serving)).splitlines())
    assert lines == {
        'sampled': '[[2, 3, 4, 5, 1, 2], [5, 1, 2, 3, 4, 5]]',
        'went on': '[[5, 1, 2, 3, 4, 5], [2, 3, 4, 5, 1, 2]]', 'chunks': 'True',
        'turned': '[4, 3, 2, 1]', 'served': '4 after 1 2 3; 1 session'}
    assert all(len([line for line in block.splitlines() if line.strip()]) < 25
               for block in serving)
    sampling_by_sources(tmp_path)


def sampling_by_sources(folder: Path) -> None:
    """The example of docs/source.md, with the models that the page has trained."""
    pytest.importorskip('torch')
    section = SOURCES[SOURCES.index('## In steps'):]
    block(folder, ())
    for line in blocks('sh', section)[0].splitlines():
        call(folder, *shlex.split(line)[1:])
    block(folder, ('mxnet', 'mxrnn', 'onnx', 'onnxruntime'))
    assert call(folder, '-c', blocks('py', section)[0]).splitlines() == [
        'sampled: [[2, 3, 4, 5, 1, 2], [5, 1, 2, 3, 4, 5]]', 'turned: [[4, 3, 2, 1]]']
