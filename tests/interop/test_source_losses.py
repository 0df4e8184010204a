"""The method loss of sources: several heads, odd attributes, and the run before it is written."""
import json
import re

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours, rnn
from ..running import random_value
from .compare import torch
from .models import S, V, model_of, over, random_model
from .onnx_runs import exportable, session
from .sources import check, generate, run_mxnet, source_of

from mxrnn.interop._source.emitter_api import LOSSES  # noqa: E402, I001  isort: skip

pytestmark = ours

NAMED = {'data': ('batch', 4), 'label': ('batch', 3)}


def made(build, label=(2, 3)):
    """A Symbol of what `build` makes of the scores and the label, its source, and data for it."""
    with mx.name.NameManager():
        scores = S.FullyConnected(V('data'), num_hidden=3, name='fc')
        symbol = build(scores, V('label'))
    data = {'data': random_value('data', (2, 4)).astype('float32'),
            'label': abs(random_value('label', label)).astype('float32')}
    return symbol, source_of(symbol, data, {**NAMED, 'label': ('batch', *label[1:])}), data


def stale(scores, label):
    v = scores - label
    w = v * v
    return S.Group([S.BlockGrad(scores * 1), S.MakeLoss(S.exp(w) * w), S.MakeLoss(S.abs(v))])


def labels_of_labels(scores, label):
    y = S.square(label - 1)
    z = S.abs(y * y - .5)
    return S.Group([S.LinearRegressionOutput(scores, z * z),
                    S.LinearRegressionOutput(scores * 2, y)])


def scaled(op, scale):
    return lambda scores, label: getattr(mx.sym, op)(scores, label, grad_scale=scale)


def twice(scores, label):
    head = S.LinearRegressionOutput(scores, label)
    return S.Group([head, head])


def read_by_others(scores, label):
    head = S.LinearRegressionOutput(scores, label)
    return S.Group([head, head * scores, S.argmax(head, axis=1)])


def half_blocked(scores, label):
    return S.Group([S.Concat(S.BlockGrad(scores), scores * scores, dim=1),
                    S.LinearRegressionOutput(scores, label)])


def label_of_a_loop(scores, label):
    """The evaluator had no shapes of the loop."""
    sums, _ = S.contrib.foreach(lambda x, total: (x + total, x + total), S.swapaxes(label, 0, 1),
                                S.zeros((0,)))
    return S.LinearRegressionOutput(scores, S.swapaxes(sums, 0, 1))


@pytest.mark.parametrize('build', [stale, labels_of_labels, twice, half_blocked,
                                   read_by_others, label_of_a_loop] + [
    pytest.param(scaled('LinearRegressionOutput', scale), id='scale_%g' % scale)
    for scale in (0, -.5)], ids=lambda build: getattr(build, '__name__', None))
def test_gradients(build):
    symbol, source, data = made(build)
    check(source, symbol, data)


@pytest.mark.parametrize('returned', [
    lambda losses: losses, lambda losses: losses[2:], lambda losses: losses[:1] + losses[3:],
    lambda losses: [S.BlockGrad(losses[0]), *losses[1:]]], ids=[
        'all', 'the last', 'the first and the last', 'one without a gradient'])
def test_a_loss_of_each_step(returned):
    """Where all steps are computed at once, the method loss lacked them."""
    outputs, _ = rnn.GRUCell(3, 'g_').unroll(5, V('data'), merge_outputs=False)
    labels = S.SliceChannel(V('label'), num_outputs=5, squeeze_axis=True)
    fc = {name: V('fc_' + name) for name in ('weight', 'bias')}
    symbol = S.Group(returned([
        S.SoftmaxOutput(S.FullyConnected(each, num_hidden=2, **fc), labels[t], name='t%d' % t)
        for t, each in enumerate(outputs)]))
    data = {'data': random_value('data', (2, 5, 4)).astype('float32'),
            'label': np.array([[0, 1, 1, 0, 1], [1, 0, 1, 1, 1]], 'float32')}
    source = source_of(symbol, data)
    assert hasattr(source.module, 'loss') and '.sum()' not in source.text
    check(source, symbol, data)


def test_a_dropout_that_two_heads_read_draws_once():
    def build(scores, label):
        noisy = S.Dropout(S.square(scores - label), p=.5)
        return S.Group([S.BlockGrad(scores * 1), S.MakeLoss(noisy * 1), S.MakeLoss(noisy * -1)])
    _, source, data = made(build)
    loss = source.module.train().loss(*map(torch.tensor, data.values()))
    assert float(loss.detach()) == 0


@pytest.mark.parametrize('alpha, function', [(.6, 'F.cross_entropy('), (.9, 'softmax_output(')])
def test_smoothed_labels_that_torch_refuses(alpha, function):
    text = made(lambda scores, label: S.SoftmaxOutput(scores, label, smooth_alpha=alpha), (
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


def test_parts_of_a_loss_whose_gradient_their_readers_scale_are_no_loss():
    scores = S.FullyConnected(V('data'), num_hidden=4, name='fc')
    loss = S.SoftmaxOutput(scores, V('label'), out_grad=True)
    symbol = S.Group([S.slice_axis(loss, axis=1, begin=begin, end=begin + 2) for begin in (0, 2)])
    source = source_of(symbol, {'data': np.ones((4, 5), 'f'), 'label': np.ones(4, 'f')})
    assert not hasattr(source.module, 'loss')


def noise(x):
    return x + S.random.normal_like(x)


def always(x):
    return S.Dropout(x, p=.3, mode='always')


@pytest.mark.parametrize('draw, states', [(noise, False), (always, False), (always, True)])
def test_a_source_that_draws_is_checked(draw, states):
    """Its order of draws is the graph's, or constants take their place."""
    symbol, data = drawing(draw)
    text = generate(random_model(symbol, data), {'data': ('batch', 'time', 3)}, states=states).text
    assert re.search(r'; \d+ gradients', ' '.join(text.split()))
    assert ('constants' in text) == (draw is always)


def test_a_wrong_source_that_draws_is_not_written(monkeypatch):
    monkeypatch.setitem(LOSSES, 'SoftmaxOutput', lambda scope, node, x, label:
                        f'{x}.sum() + {label}.sum()')
    symbol, data = drawing(noise)
    with pytest.raises(interop.ExportError, match='gradient of'):
        generate(random_model(symbol, data))


def drawing(draw):
    """A decoder in whose steps numbers are drawn, and shapes of its data."""
    cell = mx.rnn.GRUCell(4, prefix='g_')
    state, outputs = cell.begin_state(), []
    for x in S.SliceChannel(V('data'), num_outputs=5, axis=1, squeeze_axis=True):
        output, state = cell(draw(x), state)
        outputs.append(S.expand_dims(output, axis=1))
    scores = S.FullyConnected(S.Reshape(S.Concat(*outputs, dim=1), shape=(-1, 4)), num_hidden=3,
                              name='scores')
    label = S.Reshape(V('label'), shape=(-1,))
    return S.SoftmaxOutput(scores, label, name='softmax'), {'data': (2, 5, 3), 'label': (2, 5)}


@pytest.mark.parametrize('form', [
    lambda chances: chances, S.MakeLoss, lambda chances: S.reshape(chances, (-1, 3))])
def test_chances_beside_a_loss_add_nothing(form):
    """Their sum, which is the number of rows, was added."""
    scores = S.FullyConnected(V('data'), num_hidden=3, flatten=False)
    loss = S.MakeLoss(S.ctc_loss(S.swapaxes(scores, 0, 1), V('label')))
    text = generate(random_model(S.Group([form(S.softmax(scores)), loss]), {
        'data': (2, 4, 5), 'label': (2, 2)})).text
    assert text.partition('def loss')[2].count('.sum()') == 1


def test_data_that_are_their_own_label_have_no_gradient_through_it():
    """An autoencoder was refused, since torch sends one."""
    data = V('data')
    scores = S.FullyConnected(data, num_hidden=5, flatten=False)
    text = generate(random_model(S.LinearRegressionOutput(scores, data), {'data': (2, 5)})).text
    assert 'F.mse_loss(x, data' in text


def ctc(scores, label, blank='first'):
    steps = S.reshape(scores, (-4, -1, 1, 0))  # each row of scores is a step
    return S.MakeLoss(S.ctc_loss(steps, label, blank_label=blank))


def ctc_blank_last(scores, label):
    return ctc(scores, label, 'last')


LINEAR, SVM, SOFTMAX = (scaled(op, 1) if op != 'SVMOutput' else S.SVMOutput for op in (
    'LinearRegressionOutput', 'SVMOutput', 'SoftmaxOutput'))


@pytest.mark.parametrize('build, label, wrong', [
    (LINEAR, (2, 3), np.ones(1)), (LINEAR, (2, 3), np.ones((1, 3))),
    (LINEAR, (2, 3), np.ones((3, 2))), (SVM, (2,), np.ones(1)), (SOFTMAX, (2,), np.ones(1)),
    (SOFTMAX, (2, 3), np.ones(1)), (ctc, (1, 2), [[1, 2, 1]]), (ctc, (1, 2), [[1, 3]]),
    (ctc, (1, 2), [[-1, 1]]), (ctc_blank_last, (1, 2), [[0, 2]])])
def test_a_label_that_does_not_fit_is_refused(build, label, wrong):
    """torch repeated it, gave 0 for a label that is too long, or read beyond the classes."""
    scores = S.FullyConnected(V('data'), num_hidden=3, name='fc')
    symbol, data = build(scores, V('label')), {'data': (2, 4), 'label': label}
    loss = generate(random_model(symbol, data), data).module.loss
    given = [torch.ones(shape) for shape in data.values()]
    assert loss(*given).isfinite()
    with pytest.raises((ValueError, RuntimeError), match='label|shape|batch_size'):
        loss(given[0], torch.tensor(wrong))


def test_a_label_may_have_an_axis_of_one_beside_a_typed_batch():
    """MXNet takes it; once the sizes were typed, the source refused it."""
    last = S.FullyConnected(S.SequenceLast(over(rnn.GRUCell(3, 'g_'), 5), axis=1), num_hidden=1,
                            name='fc')
    symbol = S.LinearRegressionOutput(last, V('label'))
    data = {'data': random_value('data', (2, 5, 4)).astype('f'), 'label': np.ones((2, 1), 'f')}
    source = generate(random_model(symbol, {'data': (2, 5, 4), 'label': (2,)}), {'data': (2, 5, 4)})
    check(source, symbol, data)


def test_heads_with_other_labels_beside_that_of_a_distance():
    """The check draws labels of a distance between the predictions, and classes for the rest."""
    def build(scores, label):
        return S.Group([S.MAERegressionOutput(scores, label, grad_scale=-1),
                        S.SoftmaxOutput(scores * 2, V('classes'), smooth_alpha=.1, use_ignore=True,
                                        ignore_label=0, normalization='valid')])
    data = {'data': (2, 4), 'label': (2, 3), 'classes': (2,)}
    data = {name: abs(random_value(name, shape)).astype('float32') for name, shape in data.items()}
    with mx.name.NameManager():
        symbol = build(S.FullyConnected(V('data'), num_hidden=3, name='fc'), V('label'))
    data['classes'] = np.array([2, 0], 'float32')
    check(source_of(symbol, data), symbol, data)


def test_warp_ctc():
    """No build of MXNet has it here: CTCLoss has its gradients, and softmax its outputs."""
    data, label = V('data'), V('label')
    rows = S.reshape(S.swapaxes(data, 0, 1), (-3, 0))
    scores = S.FullyConnected(rows, num_hidden=4, name='fc')
    loss = S.MakeLoss(S.ctc_loss(S.reshape(scores, (5, -1, 4)), label))
    given = {'data': random_value('data', (2, 5, 3)).astype('float32'),
             'label': np.array([[1, 2, 0], [3, 3, 1]], 'float32')}
    executor = run_mxnet(S.Group([S.BlockGrad(S.softmax(scores)), loss]), given, {})
    wanted = executor.forward(is_train=True)[0].asnumpy()
    executor.backward([mx.nd.zeros((10, 4)), mx.nd.ones(2)])
    head = S.SoftmaxOutput(scores, S.Cast(S.reshape(label, -1), dtype='int32'), name='ctc')
    content = json.loads(head.tojson())
    content['nodes'][-1].update(op='WarpCTC', attrs={'label_length': '3', 'input_length': '5'})
    model = model_of(head, executor, given)
    model = model._replace(graph=interop.graph_from_json(json.dumps(content)))
    source = generate(model, {'data': ('batch', 5, 3)})
    module = source.module
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    np.testing.assert_allclose(module(tensors['data']).detach(), wanted, atol=1e-6)
    module.train().loss(**tensors).backward()
    for name, array in (('weight', 'fc_weight'), ('bias', 'fc_bias')):
        np.testing.assert_allclose(getattr(module.fc, name).grad,
                                   executor.grad_dict[array].asnumpy(), atol=1e-5)
    written = exportable(model)
    assert (written.inputs, written.left_out) == ({'data': ('batch', 'data_1', 3)}, [])
    np.testing.assert_allclose(session(written.content).run(None, {'data': given['data']})[0],
                               wanted, atol=1e-6)


@pytest.mark.parametrize('options', [
    {'op': 'LinearRegressionOutput'}, {'op': 'LogisticRegressionOutput', 'grad_scale': 2},
    {'op': 'MAERegressionOutput'}, {'op': 'SoftmaxOutput'}, {'op': 'SVMOutput'},
    {'op': 'SoftmaxOutput', 'normalization': 'batch'}, {'op': 'MakeLoss', 'grad_scale': 2},
    {'op': 'MakeLoss', 'normalization': 'batch'}], ids=str)
def test_a_loss_in_each_step(options):
    """All steps at once if that gives the same gradient; else one by one, in no loop, where labels
    would be inputs and the loss would have no gradient."""
    op = getattr(mx.sym, options['op'])
    rest = {key: value for key, value in options.items() if key != 'op'}
    of_values = 'Regression' in options['op'] or options['op'] == 'MakeLoss'
    with mx.name.NameManager():
        outputs, _ = rnn.GRUCell(3, 'gru_').unroll(4, V('data'))
        labels = S.SliceChannel(V('label'), num_outputs=4, axis=1, squeeze_axis=True)
        symbol = S.Group([op(S.square(each - labels[t]), **rest) if options['op'] == 'MakeLoss'
                          else op(each, labels[t], **rest) for t, each in enumerate(outputs)])
    data = {'data': random_value('data', (2, 4, 3)).astype('f'),
            'label': random_value('label', (2, 4, 3)).astype('f') if of_values else
            np.arange(8).reshape(2, 4).astype('f') % 3}
    source = source_of(symbol, data)
    assert hasattr(source.module, 'loss')
    check(source, symbol, data)
    if options['op'] != 'MakeLoss':
        assert exportable(source.model).inputs == {'data': ('batch', 4, 3)}


@pytest.mark.parametrize('label', [-100, -1, 3])
def test_labels_outside_the_classes_are_refused(label):
    _, source, _ = made(lambda scores, label: S.SoftmaxOutput(scores, label), (2,))
    data = torch.zeros(2, 4)
    with pytest.raises(IndexError, match='out of bounds'):
        source.module.loss(data, torch.tensor([0., label]))


@pytest.mark.parametrize('inputs', [None, {'label': ('batch', 'time')}])
def test_a_label_that_is_cut_as_the_predictions_are(inputs):
    """There was no method loss, or one that took a label of the graph's length alone."""
    def shifted(length):
        before = S.slice_axis(over(rnn.GRUCell(3, 'gru_'), length), axis=1, begin=0, end=length - 1)
        label = S.slice_axis(V('label'), axis=1, begin=1, end=length)
        return S.SoftmaxOutput(S.Reshape(before, shape=(-1, 3)), S.Reshape(label, shape=(-1,)))
    source = generate(random_model(shifted(10), {'data': (2, 10, 4), 'label': (2, 10)}), inputs)
    for length in 10, 6:
        check(source, shifted(length), {
            'data': random_value('data', (2, length, 4)).astype('f'),
            'label': np.arange(2 * length).reshape(2, length).astype('f') % 3})


def test_a_number_for_an_axis_that_may_have_any_size_is_refused():
    rows = S.Reshape(over(rnn.GRUCell(3, 'gru_'), 4), shape=(-1, 3))
    symbol = S.SoftmaxOutput(rows, S.Reshape(V('label'), shape=(-1,)))
    model = random_model(symbol, {'data': (2, 4, 3), 'label': (2, 4)})
    with pytest.raises(ValueError, match=(
            r'label must have .* any size \(time\), got \(batch, 6\): leave it out')):
        interop.to_torch(model, {'label': ('batch', 6)})
    assert interop.to_torch(model, {'data': ('batch', 6, 3), 'label': ('batch', 6)})
