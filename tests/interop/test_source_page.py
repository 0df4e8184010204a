"""docs/source.md shows what is written, and docs/operators.md what is not."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from .. import ours
from .sources import generate
from .test_source import INPUTS, program_of

import mxrnn.interop._torch.schedule  # noqa: E402, F401, I001  isort: skip
from mxrnn.interop._source import methods  # noqa: E402, F401, I001  isort: skip
from mxrnn.interop._source.table import SOURCE  # noqa: E402, I001  isort: skip
from mxrnn.interop.registry import TORCH  # noqa: E402, I001  isort: skip

pytestmark = ours

DOCS = Path(__file__).parents[2] / 'docs'
SHOWN = re.findall(r'^`(\w+)` of `tests/interop/programs.py`:\n\n```py\n(.*?)^```',
                   (DOCS / 'source.md').read_text(encoding='utf-8'), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize('name, text', SHOWN, ids=[name for name, _ in SHOWN])
def test_shown_sources_are_those_that_are_written(name, text):
    """But for the differences that the check found, which depend on the machine."""
    written = generate(program_of(name)[1], INPUTS.get(name)).text
    texts = [re.sub(r'^Checked: .*\n(    .*\n)*', '', each, flags=re.MULTILINE)
             for each in (text, written)]
    assert texts[0] == texts[1]
    assert len(SHOWN) == 3


def test_the_page_lists_the_operators_without_a_source():
    text = (DOCS / 'operators.md').read_text(encoding='utf-8')
    line = re.search(r'^- No plain form in torch, so not in a source: (.*?)\. ', text, re.MULTILINE)
    assert sorted(re.findall(r'`(\w+)`', line[1])) == sorted(set(TORCH) - set(SOURCE))
