"""Programs of MXNet 1 on MXNet 2: what tests/test_trained.py does not show."""
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

from . import mx, rnn
from .processes import printed

pytestmark = pytest.mark.skipif(not mx.__version__.startswith('2.'), reason='of MXNet 2 alone')


def run(program):
    """The output of a program in a process of its own."""
    return printed('-c', program).split()


def network():
    data = mx.sym.Variable('data')
    hidden = mx.sym.FullyConnected(data, num_hidden=4, name='hidden')
    return mx.sym.LinearRegressionOutput(hidden, mx.sym.Variable('label'), name='out')


def test_a_plain_import_leaves_mxnet_2_as_it_is():
    assert run('''
import mxrnn  # cures the import of MXNet, no more
import mxnet
before = mxnet.util.is_np_shape(), mxnet.optimizer.SGD, mxnet.optimizer.create('sgd').lr
from mxrnn import mx
cell = mxrnn.LSTMCell(3)
outputs, _ = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)
bound = outputs.simple_bind(mx.cpu(), data=(4, 2, 5))
print(bound.forward()[0].shape == (4, 2, 3))
weights = {name: array for name, array in bound.arg_dict.items() if name != 'data'}
cell.reset()
stepper = mxrnn.Stepper(cell, lambda run: run(mx.sym.Variable('data')), weights, ctx=mx.cpu())
print(stepper.step(stepper.begin(4), data=mx.nd.ones((4, 5)))[0].shape == (4, 3))
print((mxnet.util.is_np_shape(), mxnet.optimizer.SGD, mxnet.optimizer.create('sgd').lr) == before)
''') == ['True', 'True', 'True']


def test_install_gives_optimisers_the_defaults_of_mxnet_1():
    assert run('''
import mxrnn
mxrnn.install()
import mxnet as mx
made = mx.optimizer.create('sgd', param_idx2name={0: 'a_weight', 1: 'a_bias'}, wd=.5)
print(made.lr, made._get_wd(0), made._get_wd(1), mx.optimizer.create('nag').momentum,
      mx.util.is_np_shape(), mx.rnn is mxrnn)
''') == ['0.01', '0.5', '0.0', '0.0', 'False', 'True']


def test_arguments_and_gradients_are_the_arrays_that_were_given():
    a, b, gradient = mx.nd.ones((2, 3)), mx.nd.ones((2, 3)), mx.nd.zeros((2, 3))
    bound = (mx.sym.Variable('a') + mx.sym.Variable('b')).bind(
        mx.cpu(), [a, b], [gradient, None], {'a': 'add', 'b': 'null'})
    for times in (1, 2):
        a[:] = times
        assert bound.forward(is_train=True)[0].asnumpy().max() == times + 1
        bound.backward(mx.nd.ones((2, 3)))
        assert gradient.asnumpy().min() == times
    bound.forward(b=mx.nd.zeros((2, 3)))
    assert b.asnumpy().max() == 0


@pytest.mark.parametrize('make', [
    lambda a, b: a + b, lambda a, b: mx.sym.identity(a) + b, lambda a, b: (a + b) + a,
    lambda a, b: mx.sym.add_n(a, b, a), lambda a, b: a + a, lambda a, b: a])
@pytest.mark.parametrize('behind', [0, 30, 31, 40])
def test_gradients_of_sums_are_written(make, behind):
    """With static memory, which operators have that are not among the last, MXNet 2.0.0b1 leaves
    one of them out."""
    symbol = make(mx.sym.Variable('a'), mx.sym.Variable('b'))
    for _ in range(behind):
        symbol = mx.sym.identity(symbol)
    names = symbol.list_arguments()
    bound = symbol.bind(mx.cpu(), {name: mx.nd.ones((2, 2)) for name in names},
                        {name: mx.nd.full((2, 2), 7) for name in names})
    for _ in range(2):
        bound.forward(is_train=True)
        bound.backward(mx.nd.ones((2, 2)))
    for name in names:
        low, high = (bound.forward(**{name: mx.nd.full((2, 2), value)})[0].asnumpy()[0, 0]
                     for value in (0., 1.))
        assert np.all(bound.grad_dict[name].asnumpy() == high - low)


@pytest.mark.parametrize('metric, expected', [
    ('acc', .5), (lambda label, pred: 3., 3.), ('ce', -np.log(.8 * .4) / 2), ('mae', .5),
    (['acc', 'ce'], [.5, -np.log(.8 * .4) / 2]), ('loss', .5)])
def test_metrics(metric, expected):
    made = mx.metric.create(metric)
    pred = mx.nd.array([[.2, .8], [.6, .4]])
    made.update([mx.nd.ones(2) if metric != 'mae' else pred + .5], [pred])
    np.testing.assert_allclose(made.get()[1], expected, rtol=1e-5)
    made.reset_local()
    assert np.all(np.isnan(made.get()[1]))
    np.testing.assert_allclose(made.get_global()[1], expected, rtol=1e-5)


def update_twice(metric):
    """Values of a metric after an update, and those of a second one after `reset_local`."""
    first = [[.2, .8], [.6, .4], [.3, .7], [.9, .1]], [1, 1, 0, 0]
    second = [[.4, .6], [.7, .3], [.1, .9], [.3, .7], [.8, .2]], [1, 0, 1, 1, 1]
    found = []
    for pred, label in first, second:
        metric.reset_local()
        metric.update([mx.nd.array(label)], [mx.nd.array(pred)])
        found += [metric.get()[1], metric.get_global()[1], metric.num_inst,
                  metric.global_num_inst]
    return found


@pytest.mark.parametrize('name, options, expected', [
    ('f1', {}, [1 / 2, 1 / 2, 1, 1, 6 / 7, 19 / 28, 1, 2]),
    ('f1', {'average': 'micro'}, [1 / 2, 1 / 2, 4, 4, 6 / 7, 8 / 11, 5, 9]),
    ('mcc', {}, [0, 0, 1, 1, .6123724356957946, .3061862178478973, 1, 2]),
    ('mcc', {'average': 'micro'}, [0, 0, 4, 4, .6123724356957946, .1 ** .5, 5, 9]),
    ('pcc', {}, [0, 0, 1, 1, .6123724356957946, .1 ** .5, 1, 2])])
def test_scores_of_classes_are_those_of_1_9_1(name, options, expected):
    np.testing.assert_allclose(update_twice(mx.metric.create(name, **options)), expected)


def refused_by_init_optimizer():
    module = mx.mod.Module(network(), label_names=['label'])
    module.bind([('data', (2, 5))], [('label', (2, 4))])
    module.init_params()
    module.init_optimizer(optimizer=object())


def bound(**options):
    return network().simple_bind(mx.cpu(), **{'data': (2, 5), 'label': (2, 4), **options})


def gluon_1():
    class Block(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return x


REFUSED = [
    (lambda: bound(group2ctx={'a': mx.cpu(1)}), NotImplementedError, 'group2ctx'),
    (lambda: bound(grad_req='wrote'), ValueError, 'grad_req'),
    (lambda: network().simple_bind(mx.cpu(), label=(2, 4)), ValueError, 'do not tell'),
    (lambda: network().bind(mx.cpu(), [mx.nd.ones((2, 5))] * 2), ValueError,
     '^args must have 4 entries, has 2$'),
    (gluon_1, NotImplementedError, 'Gluon 1'),
    (lambda: mx.mod.SequentialModule(), AttributeError,
     'no SequentialModule .* BucketingModule, Module'),
    (lambda: mx.metric.Caffe(), AttributeError, 'no Caffe .* Perplexity'),
    (lambda: mx.sym.contrib.SparseEmbedding(input_dim=3, output_dim=4), NotImplementedError,
     'no SparseEmbedding.*: use Embedding'),
    (lambda: mx.optimizer.Signum(), NotImplementedError, 'SGD; Signum of MXNet 2 decays'),
    (lambda: mx.optimizer.create('nag', lazy_update=True), TypeError, "argument 'lazy_update'"),
    (refused_by_init_optimizer, TypeError, 'optimizer must be a name'),
    *((lambda wrong=wrong: mx.metric.create(wrong), ValueError,
       '^the metric must be one of acc, .*, got ')
      for wrong in ('accurate', '', '[', '["acc", 3]', {'axis': 1}, '{"metric": "accurate"}')),
    *((lambda wrong=wrong: mx.metric.create(wrong), TypeError,
       '^metric must be a name, a function, a metric or a list')
      for wrong in (5, None, ('acc', 'ce'), {'metric': None}))]


@pytest.mark.parametrize('call, error, words', REFUSED)
def test_what_is_not_there_or_wrong_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize('axis', [0, 1])
def test_the_last_of_all_steps_has_a_gradient(axis):
    """SequenceLast of MXNet 2.0.0b1 writes it elsewhere."""
    symbol = mx.sym.SequenceLast(mx.sym.Variable('data'), axis=axis)
    bound = symbol.simple_bind(mx.cpu(), data=(3, 4, 2))
    bound.arg_dict['data'][:] = mx.nd.array(np.arange(24).reshape(3, 4, 2))
    output, = bound.forward(is_train=True)
    expected = np.zeros((3, 4, 2))
    np.moveaxis(expected, axis, 0)[-1] = 1
    bound.backward(mx.nd.ones(output.shape))
    assert np.all(bound.grad_dict['data'].asnumpy() == expected)
    assert np.all(output.asnumpy() == np.moveaxis(np.arange(24).reshape(3, 4, 2), axis, 0)[-1])


def test_a_state_whose_shape_comes_from_its_first_use_is_bound():
    begin = rnn.RNNCell(3).begin_state()[0]
    symbol = mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=3) + (
        mx.sym.FullyConnected(begin, num_hidden=3))
    for _ in range(29):  # the sum is the first of the last 30
        symbol = mx.sym.identity(symbol)
    bound = symbol.simple_bind(mx.cpu(), data=(2, 5))
    assert bound.forward(is_train=True)[0].shape == (2, 3)


def test_buckets_that_wait_keep_no_outputs():
    def network_of(length):
        data = mx.sym.Variable('data')
        weight = mx.sym.Variable('weight', shape=(1, 1))
        return mx.sym.MakeLoss(mx.sym.broadcast_mul(data, weight)), ['data'], None
    module = mx.mod.BucketingModule(network_of, 3)
    module.bind([('data', (2, 3))])
    module.init_params(mx.init.One())

    def run_bucket(length):
        shape = 2, length
        module.forward(mx.io.DataBatch([mx.nd.ones(shape)], None, bucket_key=length,
                                       provide_data=[('data', shape)]), is_train=True)
    run_bucket(3)
    run_bucket(2)
    assert module.get_outputs()[0].shape == (2, 2)
    module.switch_bucket(3, [('data', (2, 3))])
    for ask in (module.get_outputs, module.backward,
                lambda: module.update_metric(mx.metric.Loss(), [])):
        with pytest.raises(ValueError, match='call forward first .* the last one run has'):
            ask()
    run_bucket(3)
    assert module.get_outputs()[0].shape == (2, 3)
    module.backward()


SHAPES = [('data', (2, 5))], [('label', (2, 4))]
ATTRIBUTES = ['data_names', 'output_names', 'data_shapes', 'label_shapes', 'output_shapes',
              'symbol']
#: As inspect.signature shows them with MXNet 1.9.1.
SIGNATURES = (Path(__file__).parent / 'golden' / 'modules-1.9.1.txt').read_text().splitlines()
METHODS = [line.partition('(')[0] for line in SIGNATURES]


def module_of(kind, **options):
    """A module of `kind`, which is derived from Module or from BucketingModule."""
    def network_of(key):
        state = mx.sym.Variable('state', shape=(1, 4))
        hidden = mx.sym.broadcast_add(
            mx.sym.FullyConnected(mx.sym.Variable('data'), num_hidden=4), state)  # has no name
        return mx.sym.LinearRegressionOutput(
            hidden, mx.sym.Variable('label'), name='out'), ['data'], ['label']
    options = dict(options, state_names=['state'])
    if issubclass(kind, mx.mod.Module):
        return kind(*network_of(3), **options)
    return kind(network_of, 3, **options)


def batch_of(key=3):
    return mx.io.DataBatch([mx.nd.ones((2, 5))], [mx.nd.ones((2, 4))], bucket_key=key,
                           provide_data=SHAPES[0], provide_label=SHAPES[1])


@pytest.mark.parametrize('kind', ['Module', 'BucketingModule'])
def test_modules_have_the_signatures_of_mxnet_1(kind):
    found = []
    for name in METHODS:
        function = vars(mx.mod.BaseModule).get(name) or getattr(getattr(mx.mod, kind), name)
        assert inspect.isfunction(function) and inspect.getdoc(function)
        found.append('%s(%s)' % (name, ', '.join(
            re.sub(r'<.*[.](\w+) object.*>', r'<\1>', str(each.replace(annotation=each.empty)))
            for each in inspect.signature(function).parameters.values())))
    assert found == SIGNATURES
    for name in ATTRIBUTES:
        assert isinstance(getattr(getattr(mx.mod, kind), name), property)


@pytest.mark.parametrize('form', ['super', 'class'])
@pytest.mark.parametrize('kind', ['Module', 'BucketingModule'])
def test_programs_derive_from_modules(kind, form):
    """Each method and attribute is overridden, and calls that of MXNet 1's class."""
    base, called = getattr(mx.mod, kind), set()

    def overriding(name):
        def method(self, *args, **kwargs):
            called.add(name)
            if form == 'super':
                return getattr(super(Derived, self), name)(*args, **kwargs)
            return getattr(base, name)(self, *args, **kwargs)
        return method

    def attribute(name):
        def read(self):
            called.add(name)
            if form == 'super':
                return getattr(super(Derived, self), name)
            return getattr(base, name).fget(self)
        return property(read)
    Derived = type('Derived', (base,), {
        **{name: overriding(name) for name in METHODS},
        **{name: attribute(name) for name in ATTRIBUTES}})
    results = []
    for made in (module_of(base), module_of(Derived)):
        mx.random.seed(0)
        made.bind(data_shapes=SHAPES[0], label_shapes=SHAPES[1], inputs_need_grad=True)
        made.init_params()
        made.init_optimizer(optimizer='sgd', optimizer_params={'learning_rate': .1})
        made.install_monitor(mon=mx.mon.Monitor(100))
        made.set_states(value=1)
        metric = mx.metric.create('mse')
        for _ in range(2):
            made.prepare(data_batch=batch_of())
            made.forward_backward(data_batch=batch_of())
            made.update()
            made.update_metric(eval_metric=metric, labels=batch_of().label, pre_sliced=False)
        made.update_metric(metric, batch_of().label, False)
        made.forward(data_batch=batch_of(), is_train=True)
        made.backward(out_grads=None)
        weights, rest = made.get_params()
        made.set_params(arg_params=weights, aux_params=rest)
        assert made.get_states(merge_multi_context=False)[0][0].asnumpy().tolist() == [[1] * 4]
        made.fit(mx.io.NDArrayIter(np.ones((2, 5)), np.ones((2, 4)), 2, label_name='label')
                 if kind == 'Module' else Batches(), eval_metric='mse', num_epoch=1)
        results.append([metric.get()[1], made.get_input_grads(merge_multi_context=True)[0],
                        made.get_outputs(merge_multi_context=True)[0],
                        *made.get_params()[0].values()])
        assert [getattr(made, name) for name in ATTRIBUTES[:2]] == [['data'], ['out_output']]
        assert dict(made.data_shapes + made.label_shapes + made.output_shapes) == {
            'data': (2, 5), 'label': (2, 4), 'out_output': (2, 4)}
        assert made.symbol.list_outputs() == ['out_output']
    assert called == {*METHODS, *ATTRIBUTES}
    for one, other in zip(*results):
        assert np.array_equal(*(each if isinstance(each, float) else each.asnumpy()
                                for each in (one, other)))
    assert results[0][3].asnumpy().std() > 0  # init_params draws, without an initializer, too


class Batches(list):
    """Data of one batch for a BucketingModule."""

    provide_data, provide_label = SHAPES
    batch_size = 2

    def __init__(self):
        super().__init__([batch_of()])

    def reset(self):
        pass


@pytest.mark.parametrize('kind', ['Module', 'BucketingModule'])
def test_modules_say_that_they_are_not_bound(kind):
    module = module_of(getattr(mx.mod, kind))
    for ask in (module.get_outputs, module.get_states, module.get_input_grads, module.get_params,
                module.update, module.backward, module.init_params, module.init_optimizer,
                lambda: module.set_states(value=0), lambda: module.forward(batch_of()),
                lambda: module.update_metric(mx.metric.Loss(), []), lambda: module.data_shapes,
                lambda: module.label_shapes, lambda: module.output_shapes,
                lambda: module.install_monitor(mx.mon.Monitor(1))):
        with pytest.raises(ValueError, match='must be (bound|ready to train) first: call '):
            ask()
    assert (module.binded, module.data_names) == (False, ['data'])
    assert not hasattr(module, 'tpyo')


def test_multinomial_draws_as_in_mxnet_1():
    """MXNet 2 has another operator of this name."""
    mx.random.seed(3)
    chances = mx.nd.array([[.1, .2, .7], [.5, .3, .2]])
    drawn = mx.nd.sample_multinomial(chances, shape=8).asnumpy()
    assert drawn.tolist() == [[2, 2, 2, 2, 1, 1, 2, 2], [0, 0, 0, 0, 1, 2, 0, 1]]  # as 1.9.1
    assert mx.random.multinomial(chances).asnumpy().tolist() == [2, 1]
    symbol = mx.sym.random.multinomial(mx.sym.Variable('p'))
    bound = symbol.bind(mx.cpu(), [chances])
    index, logarithm = (array.asnumpy() for array in bound.forward())
    np.testing.assert_allclose(logarithm, np.log(chances.asnumpy()[[0, 1], index]), rtol=1e-6)


@pytest.mark.parametrize('op, attrs', [('_sample_multinomial', {'shape': '(3,)'}),
                                       ('_np_cumsum', {'axis': '1'})])
def test_graphs_of_mxnet_1_are_read_by_the_names_of_operators_in_mxnet_2(op, attrs):
    symbol = mx.sym.load_json(json.dumps({
        'nodes': [{'op': 'null', 'name': 'p', 'inputs': []},
                  {'op': op, 'name': 'x', 'attrs': attrs, 'inputs': [[0, 0, 0]]}],
        'arg_nodes': [0], 'heads': [[1, 0, 0]], 'attrs': {'mxnet_version': ['int', 10901]}}))
    assert symbol.list_arguments() == ['p']
    output, = symbol.bind(mx.cpu(), [mx.nd.array([[.5, .25, .25]])]).forward()
    assert output.shape == (1, 3)


@pytest.mark.parametrize('form', [
    {'metric': 'acc', 'axis': 2}, '{"metric": "acc", "axis": 2}', '["acc", {"axis": 2}]'])
def test_a_name_can_come_with_arguments(form):
    assert mx.metric.create(form).axis == 2
    assert mx.metric.create(form, name='other').name == 'other'
