"""Each operator as source: outputs and gradients are MXNet's."""
from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours, rnn
from ..running import random_value
from .compare import bind, difference, torch
from .models import S, V, over, random_model
from .operator_cases import OPS, each_name
from .sources import check, generate, source_of

from mxrnn.interop._source.emitter_api import SOURCE  # noqa: E402, I001  isort: skip
from mxrnn.interop.registry import TORCH  # noqa: E402, I001  isort: skip

pytestmark = ours

#: Cases whose gradients differ where elements are equal: torch divides that of an extreme between
#: them, and |x| has none at 0.
TIES = ('max', 'min', 'max_keep', 'min_keep', 'max_exclude', 'min_exclude',
        'max_exclude_all_of_nan', 'MAERegressionOutput_equal')
#: What raises in torch: MXNet takes the first or the last row.
RAISES = {'Embedding_outside': IndexError}


#: Without those that differ in one number, which the text has as it is.
CASES = [name for name in OPS if not re.search(r'_scalar_(-?inf|0.0|-2.0|1e.*|.*to_float)$', name)]


@each_name(CASES)
def test_like_mxnet(name):
    op = OPS[name]
    symbol = S.Group(list(op.build()))
    shapes, options = op.given()
    bound = bind(symbol, shapes, **options)
    if set(bound.args) - set(shapes) or name == 'Dropout':  # a layer
        data = {key: bound.args[key] for key in shapes}
        check(source_of(symbol, data, shapes), symbol, data, 2e-6, name != 'Dropout')
        return
    tensors = {key: torch.tensor(value).requires_grad_(
        bound.needed[key] == 'write' and value.dtype == 'float32')
        for key, value in bound.args.items()}
    module = interop.to_torch(
        interop.Model(interop.graph_from_json(symbol.tojson()), {}, {}), shapes,
        types={key: str(bound.args[key].dtype) for key in shapes})
    given = {key: tensors[key] for key in module.inputs}
    if name in RAISES:
        with pytest.raises(RAISES[name]):
            module(**given)
        return
    found = module(**given)
    found = [found] if isinstance(found, torch.Tensor) else found
    expected = [each.asnumpy() for each in bound.executor.forward(is_train=False)]
    if module.outputs == symbol.list_outputs():
        for want, got in zip(expected, found):
            assert difference(want, got.detach().numpy()) <= 2e-6
        with contextlib.suppress(NotImplementedError):  # 'meta' has not all operators
            on_meta = module(**{key: value.to('meta') for key, value in given.items()})
            assert {each.device.type for each in (
                [on_meta] if isinstance(on_meta, torch.Tensor) else on_meta)} == {'meta'}
    else:  # a loss: forward gives what it reads
        assert difference(sum(expected[0]), module.loss(**tensors).detach().numpy()) <= 2e-6
    if not op.train or name in TIES:
        return
    heads = [mx.nd.array(head) for head in bound.heads]
    if 'def loss(' in module.source:
        loss, heads = module.train().loss(**tensors), list(map(mx.nd.ones_like, heads))
    else:
        loss = sum((each * torch.tensor(head.asnumpy())).sum() for each, head in zip(found, heads)
                   if each.requires_grad)
    bound.executor.forward(is_train=True)
    bound.executor.backward(heads)
    if isinstance(loss, torch.Tensor):
        loss.backward()
    for key in bound.grads:
        grad, wanted = tensors[key].grad, bound.executor.grad_dict[key].asnumpy()
        assert difference(wanted, np.zeros_like(wanted) if grad is None else grad.numpy()
                          ) <= 2e-5, key


def test_every_text_is_compared():
    symbols = [S.Group(list(OPS[name].build())) for name in CASES]
    symbols += [build() for build, _ in FORMS.values()]
    tested = {node.op for symbol in symbols for node in interop.graph_from_json(
        symbol.tojson()).walk()}
    others = {name for name in {*SOURCE, *TORCH} - tested if not name.startswith(
        ('_random_', '_sample_'))}  # samplers are tested by their statistics
    assert others == {'_shuffle', 'WarpCTC'}  # MXNet has no WarpCTC: test_source_losses.py


# ---- forms that have a function in the place of a layer, or of a plain text

X, IMAGE = {'data': (5, 2, 4)}, {'data': (2, 4, 6, 6)}


def rnn_of(weights, mode='gru', **options):
    if mode == 'lstm':
        options['state_cell'] = V('memory', shape=(2, 2, 3))
    return S.RNN(data=V('data'), parameters=weights, state=V('begin', shape=(2, 2, 3)), mode=mode,
                 state_size=3, num_layers=1, bidirectional=True, **options)


#: Operators of the last axis, which is one of the two of a matrix that were exchanged.
OF_LAST_AXIS = {
    'softmax': lambda x: S.softmax(x, axis=-1), 'div_sqrt_dim': S.contrib.div_sqrt_dim,
    'FullyConnected': lambda x: S.FullyConnected(x, num_hidden=2, flatten=False)}


def of_exchanged_axes(op):
    product = V('data') * V('w', shape=(4, 3))
    x = op(S.SwapAxis(product, dim1=0, dim2=1))
    return S.Group([S.BlockGrad(product), S.MakeLoss(x * x)])


def begun_by_another(backwards):
    """The last states of an RNN begin the next one: both stay nodes of their own."""
    data = V('data')
    one, states = rnn.GRUCell(4, 'a_').unroll(3, data, merge_outputs=True)
    other = over(rnn.GRUCell(4, 'b_'), 3, S.reverse(data, axis=1) if backwards else one,
                 begin_state=states)
    return S.Concat(one, S.reverse(other, axis=1), dim=2) if backwards else other


def with_its_mean(op, **options):
    return S.Group([S.square(each) for each in op(V('data'), output_mean_var=True, **options)])


FORMS = {
    'RNN of computed weights': (lambda: rnn_of(2 * V('weights', shape=(162,))), X),
    'LSTM of computed weights, its states': (lambda: S.Group([S.square(each) for each in rnn_of(
        V('weights', shape=(216,)) + 1, 'lstm', state_outputs=True)]), X),
    'loop of a mask': (lambda: S.contrib.foreach(
        lambda x, s: (S.topk(x, ret_typ='mask') + s[0], [s[0]]), V('data'),
        [V('begin', shape=(2, 4))])[0], X),
    'BatchNorm, the statistics of training': (lambda: S.BatchNorm(
        V('data'), use_global_stats=True), IMAGE),
    'BatchNorm of computed weights': (lambda: S.BatchNorm(
        V('data'), 2 * V('g', shape=(4,)), V('b', shape=(4,)), use_global_stats=True), IMAGE),
    'LayerNorm, its mean': (lambda: with_its_mean(S.LayerNorm), X),
    'BatchNorm, its mean': (lambda: with_its_mean(S.BatchNorm, use_global_stats=True), IMAGE),
    'GroupNorm, a factor for each group': (lambda: S.GroupNorm(V('data'), num_groups=2), IMAGE),
    'Convolution of computed weights': (lambda: S.Convolution(
        V('data'), 2 * V('w', shape=(3, 4, 2, 2)), no_bias=True, kernel=(2, 2), num_filter=3,
        pad=(1, 0)), IMAGE),
    'SoftmaxOutput of a large smooth_alpha': (lambda: S.SoftmaxOutput(
        V('data') + V('w', shape=(2, 4)), V('label'), smooth_alpha=.9), {
            'data': (2, 4), 'label': (2,)}),
    'dot of three axes': (lambda: S.dot(V('data'), V('other')), {**X, 'other': (4, 2, 3)}),
    **{op + ' of exchanged axes': (lambda op=op: of_exchanged_axes(OF_LAST_AXIS[op]), {
        'data': (4, 3)}) for op in OF_LAST_AXIS},
    'exchanged axes of data and of weights': (lambda: S.FullyConnected(
        S.SwapAxis(V('data'), dim1=0, dim2=1), S.SwapAxis(
            V('weight', shape=(3, 3), dtype='float32'), dim1=0, dim2=1),
        num_hidden=3, flatten=False, no_bias=True), {'data': (2, 5, 3)}),
    'an RNN begun by another': (lambda: begun_by_another(False), {'data': (2, 3, 3)}),
    'an RNN begun by another, backwards': (lambda: begun_by_another(True), {'data': (2, 3, 3)}),
    'parts without their axis': (lambda: S.Group([S.square(each) for each in S.split_v2(
        V('data'), (1,), axis=0, squeeze_axis=True)]), {'data': (2, 4)}),
}


@pytest.mark.parametrize('name', FORMS)
def test_forms_of_layers(name):
    build, shapes = FORMS[name]
    symbol = build()
    data = {key: abs(random_value(key, shape)).astype('float32') for key, shape in shapes.items()}
    check(source_of(symbol, data, shapes), symbol, data, 2e-6)


@pytest.mark.parametrize('build, inputs, sizes, text', [
    (lambda: S.Group(S.contrib.foreach(lambda x, s: (s[0] + x, [s[1] + x] * 2), V('data'), [
        V('begin'), V('other')])[1]), X, {'begin': (2, 4), 'other': (2, 4)}, 'step('),
    (lambda: S.Deconvolution(V('data'), 2 * V('w'), no_bias=True, kernel=(2, 2), num_filter=3,
                             stride=(2, 1)), IMAGE, {'w': (4, 3, 2, 2)}, 'F.conv_transpose2d(')])
def test_forms_that_end_in_errors_of_mxnet(build, inputs, sizes, text):
    """No gradients, or no output: the check that each source gets compares the module."""
    params = {name: random_value(name, size).astype('float32') for name, size in sizes.items()}
    model = interop.Model(interop.graph_from_json(build().tojson()), params, {})
    assert text in generate(model, inputs).text


def test_two_draws_of_one_distribution_are_two(tmp_path):
    """As many as DeepFactor has, too long for one line together; the check has the same seed."""
    a = V('a')
    drawn = [S.sample_normal(a, S.ones_like(a)) for _ in range(12)]
    graph = interop.graph_from_json(S.stack(*drawn, axis=0).tojson())
    interop.to_source(interop.Model(graph, {}, {}), tmp_path / 'draws.py', {'a': ('batch', 3)})
    space = {}
    exec((tmp_path / 'draws.py').read_text(encoding='utf-8'), space)
    found = space['Model']()(torch.zeros(2, 3))
    assert len(found.unique()) == 12 * 6
    assert 'of the graph to 0 (' in (tmp_path / 'draws.py').read_text(encoding='utf-8')


def test_a_loss_of_a_matrix_with_exchanged_axes():
    """Another output reads only variables of the loss: none of them is a label."""
    x, shapes = V('data'), {'data': (4, 3), 'label': (4, 3)}
    symbol = S.Group([S.BlockGrad(x * 1), S.MakeLoss(
        S.softmax(S.SwapAxis(x * V('label'), dim1=0, dim2=1)) ** 2)])
    assert 'def loss(' in generate(random_model(symbol, shapes), shapes).text
