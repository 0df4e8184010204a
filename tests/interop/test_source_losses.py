"""The method loss of sources: several heads, odd attributes, and the run before it is written."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours
from ..running import random_value
from .compare import torch
from .sources import check, generate, model_of, run_mxnet

from mxrnn.interop._source.emitters import LOSSES  # noqa: E402, I001  isort: skip

pytestmark = ours

NAMED = {'data': ('batch', 4), 'label': ('batch', 3)}


def made(build, label=(2, 3)):
    """A Symbol of what `build` makes of the scores and the label, its source, and data for it."""
    with mx.name.NameManager():
        scores = mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=3, name='fc')
        symbol = build(scores, mx.sym.Variable('label'))
    data = {'data': random_value('data', (2, 4)).astype('float32'),
            'label': abs(random_value('label', label)).astype('float32')}
    model = model_of(symbol, run_mxnet(symbol, data, {}), data)
    return symbol, generate(model, {**NAMED, 'label': ('batch', *label[1:])}), data


def stale(scores, label):
    v = scores - label
    w = v * v
    return mx.sym.Group([mx.sym.BlockGrad(scores * 1), mx.sym.MakeLoss(mx.sym.exp(w) * w),
                         mx.sym.MakeLoss(mx.sym.abs(v))])


def labels_of_labels(scores, label):
    y = mx.sym.square(label - 1)
    z = mx.sym.abs(y * y - .5)
    return mx.sym.Group([mx.sym.LinearRegressionOutput(scores, z * z),
                         mx.sym.LinearRegressionOutput(scores * 2, y)])


def scaled(op, scale):
    return lambda scores, label: getattr(mx.sym, op)(scores, label, grad_scale=scale)


def twice(scores, label):
    head = mx.sym.LinearRegressionOutput(scores, label)
    return mx.sym.Group([head, head])


def half_blocked(scores, label):
    return mx.sym.Group([mx.sym.Concat(mx.sym.BlockGrad(scores), scores * scores, dim=1),
                         mx.sym.LinearRegressionOutput(scores, label)])


@pytest.mark.parametrize('build', [stale, labels_of_labels, twice, half_blocked] + [
    pytest.param(scaled('LinearRegressionOutput', scale), id='scale_%g' % scale)
    for scale in (0, -.5)], ids=lambda build: getattr(build, '__name__', None))
def test_gradients(build):
    symbol, source, data = made(build)
    check(source, symbol, data)


def test_a_dropout_that_two_heads_read_draws_once():
    def build(scores, label):
        noisy = mx.sym.Dropout(mx.sym.square(scores - label), p=.5)
        return mx.sym.Group([mx.sym.BlockGrad(scores * 1), mx.sym.MakeLoss(noisy * 1),
                             mx.sym.MakeLoss(noisy * -1)])
    _, source, data = made(build)
    loss = source.module.train().loss(*map(torch.tensor, data.values()))
    assert float(loss.detach()) == 0


@pytest.mark.parametrize('alpha, function', [(.6, 'F.cross_entropy('), (.9, 'softmax_output(')])
def test_smoothed_labels_that_torch_refuses(alpha, function):
    text = made(lambda scores, label: mx.sym.SoftmaxOutput(scores, label, smooth_alpha=alpha), (
        2,))[1].text
    assert function in text


@pytest.mark.parametrize('text, reason', [
    ('F.no_such_loss()', 'the source raises AttributeError'),
    ('F.mse_loss({}, {} * 3)', 'gradient of fc.weight in the loss')])
def test_a_wrong_loss_is_not_written(text, reason, monkeypatch):
    monkeypatch.setitem(LOSSES, 'LinearRegressionOutput',
                        lambda scope, node, x, label: text.format(x, label))
    with pytest.raises(interop.ExportError, match=reason):
        made(scaled('LinearRegressionOutput', 1))


def test_heads_with_other_labels_beside_that_of_a_distance():
    """The check draws labels of a distance between the predictions, and classes for the rest."""
    def build(scores, label):
        return mx.sym.Group([
            mx.sym.MAERegressionOutput(scores, label, grad_scale=-1),
            mx.sym.SoftmaxOutput(scores * 2, mx.sym.Variable('classes'), smooth_alpha=.1,
                                 use_ignore=True, ignore_label=0, normalization='valid')])
    data = {'data': (2, 4), 'label': (2, 3), 'classes': (2,)}
    data = {name: abs(random_value(name, shape)).astype('float32')
            for name, shape in data.items()}
    with mx.name.NameManager():
        symbol = build(mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=3, name='fc'),
                       mx.sym.Variable('label'))
    data['classes'] = np.array([2, 0], 'float32')
    check(generate(model_of(symbol, run_mxnet(symbol, data, {}), data)), symbol, data)
