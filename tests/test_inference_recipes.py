"""The programs of docs/recipes.md: short, and what they print is right."""
from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

import mxrnn

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


@pytest.mark.parametrize('heading', HEADINGS)
def test_a_recipe_is_short(heading):
    code = blocks(heading)
    assert all(len([line for line in block.splitlines() if line.strip()]) < 25 for block in code)


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


def test_a_beam_of_one_is_greedy_search(unsure):
    for source in ([1, 2, 3, 4], [3, 3, 2, 1]):
        _, states = unsure['read'].read(unsure['read'].begin(1), source=[source])
        words, letters = [unsure['END']], []
        for _ in range(10):
            chances, states = unsure['step'].step(states, data=words)
            words = chances.asnumpy().argmax(axis=1).tolist()
            if words == [unsure['END']]:
                break
            letters += words
        assert unsure['beam_search'](unsure['step'], unsure['encode'](source), 1)[1] == letters


def test_samples_are_drawn_by_their_chances(unsure):
    step = unsure['step']
    chances, _ = step.step(step.begin(1), data=[unsure['END']])
    samples = unsure['sample'](step, step.begin(4000), [unsure['END']] * 4000, length=1)
    firsts = [sentence[0] if sentence else unsure['END'] for sentence in samples]
    counts = np.bincount(firsts, minlength=5) / 4000
    np.testing.assert_allclose(counts, chances.asnumpy()[0], atol=0.03)
    twice = [unsure['sample'](step, step.begin(2), [unsure['END']] * 2, seed=3) for _ in range(2)]
    assert twice[0] == twice[1]


def test_samples_go_on_from_prompts(unsure):
    step, prompts = unsure['step'], np.array([[unsure['END'], 4, 3], [unsure['END'], 1, 2]])
    _, read = step.read(step.begin(2), data=prompts[:, :-1])
    stepped = step.begin(2)
    for words in prompts.T[:-1]:
        _, stepped = step.step(stepped, data=words)
    for seed in range(5):
        found = unsure['sample'](step, read, prompts[:, -1], seed=seed)
        assert found == unsure['sample'](step, stepped, prompts[:, -1], seed=seed)


def test_the_server_keeps_the_states_of_each_client(page):
    names, _ = page
    step = mxrnn.Stepper(names['decoder'], lambda run: mx.sym.softmax(
        names['score'](run(names['embed']('data')))), names['weights'])
    server = names['ThreadingHTTPServer'](('127.0.0.1', 0), names['Handler'])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = 'http://127.0.0.1:%d/' % server.server_port
    said = {'one': [0, 1, 2, 3], 'two': [0, 4, 4, 1], 'three': [0, 0, 2, 2]}
    heard: dict[str, list[Any]] = {client: [] for client in said}
    failed: list[Any] = []

    def talk(client: str) -> None:
        try:
            for word in said[client]:
                with urlopen('%s%s/%d' % (url, client, word)) as answer:
                    heard[client].append(json.loads(answer.read()))
        except Exception as error:
            failed.append(error)

    try:
        talkers = [threading.Thread(target=talk, args=(client,)) for client in said]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
        assert not failed
        for path in ('one/letter', 'one', ''):
            with pytest.raises(HTTPError) as refused:
                urlopen(url + path)
            assert refused.value.code == 400
            refused.value.close()  # it is the answer, with its socket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    for client, words in said.items():
        chances, _ = step.read(step.begin(1), data=[words])
        np.testing.assert_allclose(heard[client], chances.asnumpy()[0], rtol=1e-5, atol=1e-6)
