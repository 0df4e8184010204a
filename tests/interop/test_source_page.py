"""docs/export.md shows what is written, and docs/operators.md what is not."""
import re
from pathlib import Path

import pytest

from mxrnn import interop

from .. import ours
from ..processes import printed
from .models import S, V, random_model
from .sources import generate
from .test_source import program_of

import mxrnn.interop.torch_model  # noqa: E402, F401, I001  isort: skip
from mxrnn.interop._source import methods  # noqa: E402, F401, I001  isort: skip
from mxrnn.interop._source.emitter_api import SOURCE  # noqa: E402, I001  isort: skip
from mxrnn.interop.registry import TORCH  # noqa: E402, I001  isort: skip

pytestmark = ours

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / 'docs'
SHOWN = re.findall(r'`(\w+)` in `tests/interop/programs.py`:\n\n```py\n(.*?)^```',
                   (DOCS / 'export.md').read_text(encoding='utf-8'), re.MULTILINE | re.DOTALL)


def unchecked(text):
    """Without the differences that the check found, which depend on the machine."""
    return re.sub(r'^Checked: .*\n(    .*\n)*', '', text, flags=re.MULTILINE)


@pytest.mark.parametrize('name, text', SHOWN, ids=[name for name, _ in SHOWN])
def test_shown_sources_are_those_that_are_written(name, text):
    import torch
    source = generate(program_of(name)[1])
    assert source.text.endswith('\n\n' + text)
    assert len(SHOWN) == 1
    with pytest.raises(ValueError, match=r'data\.shape\[2\] must be from 8 to 15, got 16'):
        source.module(torch.zeros(1, 3, 16, 7))


@pytest.mark.nightly
def test_the_readme_shows_what_becomes_of_its_old_program(tmp_path):
    shown, program = re.findall(r'^```py\n(.*?)^```', (ROOT / 'README.md').read_text(
        encoding='utf-8'), re.MULTILINE | re.DOTALL)
    (tmp_path / 'old.py').write_text(program, encoding='utf-8')
    for arguments in (['run', 'old.py'], ['export', 'old', '--source', 'model.py']):
        printed('-m', 'mxrnn', *arguments, folder=tmp_path)
    written = (tmp_path / 'model.py').read_text(encoding='utf-8')
    assert unchecked(shown) == unchecked(written)


def test_the_page_says_which_operators_are_pasted():
    text = (DOCS / 'operators.md').read_text(encoding='utf-8')
    line = re.search(r'^- Some become a function before the class: (.*?), and ', text, re.MULTILINE)
    assert sorted(re.findall(r'`(\w+)`', line[1])) == sorted(set(TORCH) - set(SOURCE))


# ---- the table of refused forms



def rnn_of(weights=None, **options):
    weights = V('weights') if weights is None else weights
    options = {'mode': 'gru', **options}
    if options['mode'] == 'lstm':
        options['state_cell'] = V('memory', shape=(1, 2, 3))
    return S.RNN(data=V('data'), parameters=weights, state=V('begin'), state_size=3, num_layers=1,
                 **options)


X = {'data': (5, 2, 4)}
IMAGE = {'data': (2, 4, 6, 6)}
#: By row of the table: what is said; graphs, shapes of their inputs, and others that are given.
FORMS = {
    '`RNN`': ('it takes lengths|it has|sizes have to be equal: 3 and 2|stands for any size', [
        (lambda: rnn_of(use_sequence_length=True, sequence_length=V('lengths')), {
            **X, 'lengths': (2,)}, {}),
        (lambda: rnn_of(mode='lstm', projection_size=2), X, {}),
        (lambda: rnn_of(mode='lstm', lstm_state_clip_min=-1., lstm_state_clip_max=1.), X, {}),
        (lambda: rnn_of(), X, {'data': ('time', 2, 'width')})]),
    '`Deconvolution`, `UpSampling`': ('target_shape and channels last|UpSampling', [
        (lambda: S.Deconvolution(V('data'), kernel=(2, 2), num_filter=3, target_shape=(7, 7)),
         IMAGE, {}),
        (lambda: S.Deconvolution(V('data'), kernel=(2, 2), num_filter=3, layout='NHWC'), IMAGE, {}),
        (lambda: S.UpSampling(V('data'), scale=2, sample_type='bilinear', num_filter=4), IMAGE,
         {})]),
}


@pytest.mark.parametrize('row', FORMS)
def test_forms_that_are_refused(row, tmp_path):
    said, forms = FORMS[row]
    for build, shapes, given in forms:
        model = random_model(build(), shapes)
        with pytest.raises(interop.ExportError, match=said):
            interop.to_source(model, str(tmp_path / 'a.py'), {**shapes, **given})
    assert not list(tmp_path.iterdir())


def test_each_row_of_refused_forms_has_graphs():
    table = re.search(r'^\| operator \| refused \|\n\| --- \| --- \|\n((?:\|.*\n)*)',
                      (DOCS / 'operators.md').read_text(encoding='utf-8'), re.MULTILINE)
    assert [line.split(' | ')[0][2:] for line in table[1].splitlines()] == list(FORMS)
