"""docs/source.md shows what is written, and docs/operators.md what is not."""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours
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


# ---- the table of refused forms

S, V = mx.sym, mx.sym.Variable


def rnn_of(weights=None, **options):
    weights = V('weights') if weights is None else weights
    options = {'mode': 'gru', **options}
    if options['mode'] == 'lstm':
        options['state_cell'] = V('memory', shape=(1, 2, 3))
    return S.RNN(data=V('data'), parameters=weights, state=V('begin'), state_size=3, num_layers=1,
                 **options)


def loop(step, *begin):
    return S.contrib.foreach(step, V('data'), list(begin))[0]


def joined(*values):
    return S.Group([S.sum(value) for value in values])


X = {'data': (5, 2, 4)}
IMAGE = {'data': (2, 4, 6, 6)}
#: By row of the table: what is said; graphs, shapes of their inputs, and others that are given.
FORMS = {
    '`RNN`': (
        'is not supported|its weights are computed|does not take data of shape .36, 2, 20', [
        (lambda: rnn_of(use_sequence_length=True, sequence_length=V('lengths')), {
            **X, 'lengths': (2,)}, {}),
        (lambda: rnn_of(mode='lstm', projection_size=2), X, {}),
        (lambda: rnn_of(mode='lstm', lstm_state_clip_min=-1., lstm_state_clip_max=1.), X, {}),
        (lambda: rnn_of(), X, {'data': ('time', 2, 'width')}),
        (lambda: rnn_of(weights=2 * V('weights', shape=(81,))), X, {})]),
    'loops': ('gives a mask|two of its states are the same', [
        (lambda: loop(lambda x, s: (S.topk(x, ret_typ='mask'), s), V('begin', shape=(2, 4))), X,
         {}),
        (lambda: loop(lambda x, s: (s[0] + x, [s[1] + x] * 2), V('begin', shape=(2, 4)),
                      V('other', shape=(2, 4))), X, {})]),
    '`BatchNorm`, `LayerNorm`, `GroupNorm`': ('use_global_stats|its mean', [
        (lambda: S.BatchNorm(V('data'), use_global_stats=True), IMAGE, {}),
        (lambda: joined(*S.LayerNorm(V('data'), output_mean_var=True)), X, {}),
        (lambda: joined(*S.BatchNorm(V('data'), output_mean_var=True)), IMAGE, {}),
        (lambda: S.BatchNorm(V('data'), 2 * V('g', shape=(4,)), V('b', shape=(4,))), IMAGE, {}),
        (lambda: S.GroupNorm(V('data'), num_groups=2), IMAGE, {})]),
    '`Convolution`, `Deconvolution`': ('weights are computed|target_shape and channels last', [
        (lambda: S.Convolution(V('data'), 2 * V('w', shape=(3, 4, 2, 2)), no_bias=True,
                               kernel=(2, 2), num_filter=3), IMAGE, {}),
        (lambda: S.Deconvolution(V('data'), kernel=(2, 2), num_filter=3, target_shape=(7, 7)),
         IMAGE, {}),
        (lambda: S.Deconvolution(V('data'), kernel=(2, 2), num_filter=3, layout='NHWC'), IMAGE,
         {})]),
    '`Pooling`, `UpSampling`': ('convention valid or channels last|UpSampling', [
        (lambda: S.Pooling(V('data'), kernel=(2, 2), pool_type='sum'), IMAGE, {}),
        (lambda: S.Pooling(V('data'), kernel=(2, 2), pool_type='max', layout='NHWC'), IMAGE, {}),
        (lambda: S.UpSampling(V('data'), scale=2, sample_type='bilinear', num_filter=4), IMAGE,
         {})]),
    '`SoftmaxOutput`': ('of a vector|with out_grad|smooth_alpha', [
        (lambda: S.SoftmaxOutput(V('data'), V('label')), {'data': (4,)}, {'label': (1,)}),
        (lambda: S.SoftmaxOutput(V('data'), V('label'), out_grad=True), {
            'data': (2, 4), 'label': (2,)}, {}),
        (lambda: S.SoftmaxOutput(V('data'), V('label'), smooth_alpha=.9), {
            'data': (2, 4), 'label': (2,)}, {})]),
    'loss heads, such as `MakeLoss`': ('other operators read its output', [
        (lambda: S.MakeLoss(S.square(V('data'))) + 1, {'data': (2, 4)}, {})]),
    '`slice`': ('a step below 0', [(lambda: S.slice(V('data'), (None,), (None,), (-1,)), X, {})]),
    "`topk` with `ret_typ='mask'`, `argmax` and `take` over all axes, sums over no axis": (
        'gives a mask|over all axes|over no axis', [
        (lambda: S.topk(V('data'), ret_typ='mask'), X, {}), (lambda: S.argmax(V('data')), X, {}),
        (lambda: S.sum(V('data'), axis=(0, 1, 2), exclude=True), X, {})]),
    '`dot` by an array of more than two axes, `_split_v2` at places with `squeeze_axis`': (
        'of more than two axes|at places, and without the axis', [
        (lambda: S.dot(V('data'), V('other')), {**X, 'other': (4, 2, 3)}, {}),
        (lambda: joined(*S.split_v2(V('data'), (1,), axis=0, squeeze_axis=True)), {
            'data': (2, 4)}, {})]),
    'functions of integers that torch makes real numbers of, such as `mean`': ('of integers', [
        (lambda: S.mean(S.cast(V('data'), 'int32')), X, {})]),
}


@pytest.mark.parametrize('row', FORMS)
def test_forms_that_are_refused(row, tmp_path):
    said, forms = FORMS[row]
    for build, shapes, given in forms:
        symbol = build()
        sizes = dict(zip(symbol.list_inputs(), sum(symbol.infer_shape(**shapes)[::2], [])))
        arrays = {name: np.zeros(size, 'float32') for name, size in sizes.items()
                  if name not in {**shapes, 'label': ()}}
        held = [{name: array for name, array in arrays.items() if name in names} for names in (
            symbol.list_arguments(), symbol.list_auxiliary_states())]
        model = interop.Model(interop.graph_from_json(symbol.tojson()), *held)
        with pytest.raises(interop.ExportError, match=said):
            interop.to_source(model, str(tmp_path / 'a.py'), {**shapes, **given})
    assert not list(tmp_path.iterdir())


def test_each_row_of_refused_forms_has_graphs():
    table = re.search(r'^\| operator \| refused \|\n\| --- \| --- \|\n((?:\|.*\n)*)',
                      (DOCS / 'source.md').read_text(encoding='utf-8'), re.MULTILINE)
    assert [line.split(' | ')[0][2:] for line in table[1].splitlines()] == list(FORMS)
