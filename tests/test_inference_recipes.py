"""The programs of docs/recipes.md: short, and what they print is right."""
from __future__ import annotations

import contextlib
import io
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import mx
from .running import random_value

PAGE = Path(__file__).resolve().parent.parent / 'docs' / 'recipes.md'


def blocks(heading: str) -> list[str]:
    """The code under a heading, '' for the beginning of the page."""
    parts = re.split(r'^## (.*)$', '\n' + PAGE.read_text(encoding='utf-8'), flags=re.MULTILINE)
    texts = dict(zip([''] + parts[1::2], parts[::2]))
    return re.findall(r'^```python\n(.*?)^```', texts[heading], re.MULTILINE | re.DOTALL)


#: Without the last one, which is a program of its own.
HEADINGS = [heading for heading in re.findall(
    r'^## (.*)$', PAGE.read_text(encoding='utf-8'), re.MULTILINE)[:-1] if blocks(heading)]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The names of the page, and what it prints; its files go into a folder of their own."""
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), mx.name.NameManager(), \
            pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('recipes'))
        for heading in ['', *HEADINGS]:
            for code in blocks(heading):
                exec(compile(code, str(PAGE), 'exec'), names)
    lines = dict(line.split(': ', 1) for line in printed.getvalue().splitlines() if ': ' in line)
    yield names, lines
    names['server'].server_close()


def test_the_model_has_learned_to_turn_round(page):
    _, lines = page
    assert lines['greedy'] == lines['beam search'] == '[4, 3, 2, 1]'
    assert lines['served'] == '5 chances; 1 session'
    assert lines['shapes'] == '[(3, 5), (1, 5), (19, 5)]'


@pytest.fixture
def unsure(page):
    """The page's names with weights by which the likeliest sentence is not the greedy one."""
    names = dict(page[0])
    weights = {name: mx.nd.array(random_value(name, array.shape) * 2)
               for name, array in names['weights'].items()}
    code = [block for heading in HEADINGS[:2] for block in blocks(heading)]
    names['weights'] = weights
    with contextlib.redirect_stdout(io.StringIO()):
        for block in code:
            exec(compile(block, str(PAGE), 'exec'), names)
    return names


def likelihood(names: dict[str, Any], source: list[int], letters: tuple[int, ...]) -> float:
    """Of a sentence and its end, by the graph of the whole sentence."""
    sentence = [names['END'], *letters]
    _, states = names['read'].read(names['read'].begin(1), source=[source])
    chances, _ = names['step'].read(states, data=[sentence])
    following = [*letters, names['END']]
    return float(np.log(chances.asnumpy()[0][np.arange(len(following)), following]).sum())


def test_a_wide_beam_is_an_exhaustive_search(unsure):
    length, differing = 4, 0
    for source in ([1, 2, 3, 4], [4, 4, 1, 2], [3, 1, 1, 1], [2, 2, 4, 3]):
        every = [letters for count in range(length)
                 for letters in itertools.product(range(1, 5), repeat=count)]
        best = max((likelihood(unsure, source, letters), list(letters)) for letters in every)
        found = unsure['beam_search'](unsure['step'], unsure['encode'](source), 5 ** length, length)
        assert found[1] == best[1]
        np.testing.assert_allclose(found[0], best[0], rtol=1e-5)
        narrow = unsure['beam_search'](unsure['step'], unsure['encode'](source), 1, length)
        differing += narrow[1] != found[1]
    assert differing  # or it would show nothing
