"""Each operator in the evaluator of the checks: outputs, types and gradients are MXNet's."""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop

from .. import mx
from .compare import Evaluated, assert_equal, bind, run, run_both, torch
from .models import S, V
from .operator_cases import OPS, each_name

from mxrnn.interop._source.emitter_api import SOURCE  # noqa: E402, I001  isort: skip
from mxrnn.interop.registry import TORCH  # noqa: E402, I001  isort: skip
from mxrnn.interop.run.evaluator import evaluate  # noqa: E402, I001  isort: skip


@each_name()
def test_like_mxnet(name):
    shapes, options = OPS[name].given()
    symbol = S.Group([S.identity(each) for each in OPS[name].build()])
    bound = bind(symbol, shapes, **options)
    module = Evaluated(interop.graph_from_json(symbol.tojson()), {
        key: bound.args[key] for key in symbol.list_auxiliary_states()}, OPS[name].train)
    assert_equal(run(module, bound, module.inputs), 2e-6, 2e-5)
    for key, value in module.values.items():  # the moving averages of BatchNorm
        torch.testing.assert_close(value.numpy(), bound.executor.aux_dict[key].asnumpy())


@pytest.mark.parametrize('build, match', [
    (lambda data: S.amp_cast(data, dtype='int8'), 'builds of MXNet round or truncate'),
    (lambda data: S.Pooling(data, kernel=(2, 1), pad=(1, 1)), 'more than half the kernel'),
    (lambda data: S.Pooling(data, kernel=(2, 2), stride=(3, 3), pad=(1, 1),
                            pooling_convention='full'), 'window that covers only padding'),
    (lambda data: S.Pooling(data, kernel=(2, 2), pool_type='lp', p_value=2), 'pool_type lp')])
def test_what_cannot_be_run_is_refused(build, match):
    graph = interop.graph_from_json(build(V('data')).tojson())
    with pytest.raises(interop.ExportError, match=match):
        interop.to_torch(interop.Model(graph, {}, {}), {'data': (2, 3, 8, 8)})


def rnn_with(**options):
    return lambda data: S.RNN(data, *map(V, 'whc'), state_size=5, num_layers=1, mode='lstm',
                              **options)


def pooling(**options):
    return lambda data: S.Pooling(data, kernel=(3,), **options)


@pytest.mark.parametrize('build, match', [
    (rnn_with(projection_size=2), 'RNN.: projection_size'),
    (rnn_with(lstm_state_clip_min=-.01, lstm_state_clip_max=.01), 'RNN.: lstm_state_clip_min'),
    (pooling(pool_type='lp', p_value=2), 'pool_type lp'),
    (pooling(pooling_convention='same'), 'the convention same'),
    (pooling(pool_type='sum', stride=(3,), pooling_convention='full'), 'pool_type sum'),
    (pooling(pad=(2,)), 'more than half the kernel')])
def test_the_evaluator_refuses_what_it_does_not_compute(build, match):
    """compare runs a checkpoint that no writer saw: it got other numbers without a word."""
    data = torch.rand(2, 3, 8)
    given = dict(data=data, w=torch.rand(4 * 5 * (8 + 5 + 2)), h=torch.zeros(1, 3, 5),
                 c=torch.zeros(1, 3, 5))
    symbol = build(V('data'))
    with pytest.raises(NotImplementedError, match=match):
        evaluate(interop.graph_from_json(symbol.tojson()), given)


def test_a_norm_of_integers_is_refused():
    """MXNet's are truncated on the way, in an order of its own."""
    graph = interop.graph_from_json(S.norm(V('data'), name='far').tojson())
    with pytest.raises(interop.ExportError, match=r'far \(norm\): of integers'):
        interop.to_torch(interop.Model(graph, {}, {}), {'data': (2, 3)}, types={'data': 'int32'})


#: Operators that are tested elsewhere: with cells, and by their statistics.
ELSEWHERE = {'RNN', 'WarpCTC', '_shuffle'} | {name for name in {*TORCH, *SOURCE}
                                   if name.startswith(('_random_', '_sample_'))}


def test_no_operator_is_without_a_test():
    tested = {node.op for op in OPS.values() for node in interop.graph_from_json(
        S.Group(list(op.build())).tojson()).walk()}
    assert {*TORCH, *SOURCE} - tested - {'_foreach'} == ELSEWHERE


def test_the_page_lists_the_operators():
    text = (Path(__file__).parents[2] / 'docs' / 'operators.md').read_text(encoding='utf-8')
    listed = re.findall(r'`(\w+)`', text.partition('## What runs')[2].partition('\n## ')[0])
    assert sorted(listed) == sorted({*TORCH, *SOURCE, '_foreach'})


def test_what_the_page_says_of_gradients_that_mxnet_gets_wrong():
    """MXNet gives NaN and infinity at these places."""
    def module(symbol):
        return lambda *arrays: evaluate(interop.graph_from_json(symbol.tojson()), dict(zip(
            symbol.list_arguments(), arrays)))[0]
    a, b = V('a'), V('b')
    x = torch.tensor([[0., 2, 3], [0, 0, 1]], requires_grad=True)
    for name in ('prod', 'nanprod'):
        x.grad = None
        module(getattr(mx.sym, name)(a, axis=1))(x).sum().backward()
        assert x.grad.tolist() == [[6, 0, 0], [0, 0, 0]]
    x, y = torch.tensor([3., -2], requires_grad=True), torch.zeros(2, requires_grad=True)
    module(S.broadcast_mod(a, b))(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [0, 0]
    split = module(S.Reshape(a, shape=(-4, 2, -1, -1)))
    assert split(torch.zeros(4, 3, 5)).shape == (2, 2, 15)
    double = S.Deconvolution(a, V('w'), kernel=3, stride=2, dilate=2, num_filter=2)
    both = run_both([double], {'a': (1, 1, 5)}, train=False)
    values = {name: array.asnumpy() for name, array in both.executor.arg_dict.items()}
    graph = interop.graph_from_json(double.tojson())
    single, wide = (Evaluated(graph, {name: array.astype(kind) for name, array in values.items()})()
                    for kind in ('float32', 'float64'))
    torch.testing.assert_close(wide[0].float(), single[0])
    assert_equal(both, 1e-6)


@pytest.mark.parametrize('op', ['Pooling', 'Convolution'])
def test_channels_last_are_channels_first_moved(op):
    """MXNet's CPU builds do not run them: it has them on GPUs alone."""
    def module(layout, weight):
        keys = {'num_filter': 4, 'no_bias': True} if op == 'Convolution' else {'pool_type': 'avg'}
        inputs = [V(name) for name in 'aw'[:1 + (op == 'Convolution')]]
        symbol = getattr(mx.sym, op)(*inputs, kernel=(3, 2), layout=layout, **keys)
        return interop.to_torch(interop.Model(interop.graph_from_json(symbol.tojson()), {
            'w': weight} if len(inputs) > 1 else {}, {}))
    data, weight = torch.rand(2, 3, 7, 8), np.random.rand(4, 3, 3, 2).astype('float32')
    first, last = module('NCHW', weight), module('NHWC', np.moveaxis(weight, 1, -1).copy())
    torch.testing.assert_close(last(data.movedim(1, -1)), first(data).movedim(1, -1))
