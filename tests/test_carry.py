"""carry_states: batches of a stream give what one long unroll gives."""
import copy
import pickle
import re

import numpy as np
import pytest

from . import differs, mx, rnn
from .comparing import assert_close
from .running import filled, random_value, stack

pytestmark = differs

STEPS, BATCHES, BATCH, WIDTH = 3, 4, 4, 2

CELLS = {
    'lstm': lambda: rnn.LSTMCell(3),
    'gru': lambda: rnn.GRUCell(3),
    'stack': lambda: stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.ResidualCell(rnn.GRUCell(3, 'l1_')),
                           rnn.ZoneoutCell(rnn.RNNCell(2, prefix='l2_'), 0.0, 0.3)),
    'fused': lambda: rnn.FusedRNNCell(3, 2, get_next_state=True),
    'fuse': lambda: rnn.fuse(stack(rnn, rnn.LSTMCell(3, 'l0_'), rnn.LSTMCell(3, 'l1_'))),
}
each_cell = pytest.mark.parametrize('make', CELLS.values(), ids=CELLS)
DEVICES = {'one': mx.cpu(), 'two': [mx.cpu(0), mx.cpu(1)]}
each_devices = pytest.mark.parametrize('devices', DEVICES.values(), ids=DEVICES)

DATA = random_value('data', (BATCHES * STEPS, BATCH, WIDTH)).astype('float32')


class Parts(mx.io.DataIter):
    """DATA in batches that continue each other."""

    def __init__(self, steps=STEPS):
        super().__init__(BATCH)
        self.steps = steps
        self.default_bucket_key = steps
        self.provide_data = [mx.io.DataDesc('data', (steps, BATCH, WIDTH), layout='TNC')]
        self.provide_label = [mx.io.DataDesc('label', (BATCH,))]
        self.reset()

    def reset(self):
        self.done = 0

    def next(self):
        if self.done == len(DATA):
            raise StopIteration
        self.done += self.steps
        return self.batch(self.done - self.steps, self.done)

    def batch(self, start, end):
        shape = (end - start, BATCH, WIDTH)
        return mx.io.DataBatch([mx.nd.array(DATA[start:end])], [mx.nd.zeros(BATCH)], pad=0,
                               bucket_key=end - start, provide_label=self.provide_label,
                               provide_data=[mx.io.DataDesc('data', shape, layout='TNC')])


def graph(cell, carried, steps=STEPS):
    """The outputs of all steps, with a loss that moves the weights."""
    outputs, states = cell.unroll(steps, mx.sym.Variable('data'), carried.begin_state, 'TNC', True)
    outputs._set_attr(__layout__='TNC')
    loss = mx.sym.MakeLoss(mx.sym.square(mx.sym.mean(outputs, axis=(0, 2)) -
                                         mx.sym.Variable('label')), name='loss')
    return carried.group([loss, mx.sym.BlockGrad(outputs, name='steps',
                                                 attr={'__layout__': 'TNC'})], states)


def metric():
    return mx.metric.Loss(output_names=['loss_output'], label_names=[])


def prepared(make, devices=DEVICES['one']):
    """The carried states of a cell, and a module with its graph and weights."""
    cell = make()
    carried = rnn.carry_states(cell)
    module = mx.mod.Module(graph(cell, carried), ['data'], ['label'], context=devices,
                           state_names=carried.state_names)
    parts = Parts()
    module.bind(parts.provide_data, parts.provide_label)
    module.init_params(mx.init.Uniform(0.5))
    args = {name: mx.nd.array(random_value(name, value.shape))
            for name, value in module.get_params()[0].items()}
    module.set_params(args, {})
    return carried, module


def whole(make, module):
    """The outputs of one long unroll with the module's weights, from states of zero."""
    outputs, _ = make().unroll(len(DATA), mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    bound = outputs.simple_bind(mx.cpu(), data=DATA.shape)
    bound.copy_params_from(module.get_params()[0])
    return bound.forward(is_train=False, data=mx.nd.array(DATA))[0].asnumpy()


def steps_of(module):
    return dict(zip(module.output_names, module.get_outputs()))['steps_output'].asnumpy()


def seen_by(outputs):
    return lambda param: outputs.append(steps_of(param.locals['self']))


# differences.md: states from one batch to the next (by hand)
@each_devices
@each_cell
def test_batches_are_one_long_unroll(make, devices):
    carried, module = prepared(make, devices)
    for _ in range(2):  # the second pass begins with zeros, too
        seen = []
        module.score(Parts(), metric(), batch_end_callback=[seen_by(seen), carried],
                     score_end_callback=carried)
        np.testing.assert_allclose(np.concatenate(seen), whole(make, module), rtol=1e-6, atol=1e-6)


def counting(batches):
    return lambda param: batches.append(param.nbatch)


# differences.md: states from one batch to the next (by hand)
@each_devices
def test_fit_without_its_callback_stops_at_the_second_batch(devices):
    _, module = prepared(CELLS['lstm'], devices)
    batches = []
    with pytest.raises(RuntimeError, match='batch_end_callback of fit'):
        module.fit(Parts(), None, metric(), num_epoch=1, batch_end_callback=counting(batches))
    assert batches == [0]


@each_devices
def test_evaluation_without_its_callback_stops_at_the_second_batch(devices):
    carried, module = prepared(CELLS['lstm'], devices)
    trained = []
    evaluated = []
    with pytest.raises(RuntimeError, match='eval_batch_end_callback of fit, batch_end_callback of '
                                           'score'):
        module.fit(Parts(), Parts(), metric(), num_epoch=1,
                   batch_end_callback=[counting(trained), carried],
                   eval_batch_end_callback=counting(evaluated), eval_end_callback=carried)
    assert (trained, evaluated) == ([0, 1, 2, 3], [0])
    carried.zero(module)
    with pytest.raises(RuntimeError, match='carry'):
        module.predict(Parts())


@pytest.mark.parametrize('given, missing', [
    ((), 'eval_batch_end_callback'), (('eval_end_callback',), 'eval_batch_end_callback'),
    (('eval_batch_end_callback',), 'eval_end_callback')])
def test_evaluation_without_callbacks_is_refused_in_the_first_batch(given, missing):
    carried, module = prepared(CELLS['lstm'])
    batches = []
    with pytest.raises(ValueError, match='%s of fit must be the result of carry_states' % missing):
        module.fit(Parts(), Parts(), metric(), num_epoch=2, **dict.fromkeys(given, carried),
                   batch_end_callback=[counting(batches), carried])
    assert batches == [0]


def test_a_graph_bound_by_hand_is_carried_by_hand():
    cell = rnn.LSTMCell(3)
    bound = graph(cell, rnn.carry_states(cell)).simple_bind(mx.cpu(), data=DATA[:STEPS].shape)
    for array in bound.arg_arrays:
        array[:] = 0.3
    first = bound.forward()[0].asnumpy()
    assert first.any()
    for _ in range(2):  # as far as its callback knows, these are no batches of a training
        assert_close(bound.forward()[0], first, 0)


def test_a_copy_of_the_graph_is_the_same_graph():
    cell = rnn.LSTMCell(3)
    grouped = graph(cell, rnn.carry_states(cell))
    for twin in (copy.copy(grouped), copy.deepcopy(grouped), pickle.loads(pickle.dumps(grouped))):
        assert twin.tojson() == grouped.tojson()
        assert twin.list_outputs() == grouped.list_outputs()


# differences.md: states from one batch to the next (by hand)
@pytest.mark.parametrize('wrap', [
    lambda data: data, mx.io.PrefetchingIter, lambda data: mx.io.ResizeIter(data, 3)])
@pytest.mark.parametrize('make', [
    rnn.BucketSentenceIter, mx.rnn.BucketSentenceIter,
    lambda rows, batch: mx.io.NDArrayIter(np.array(rows), np.array(rows), batch, shuffle=True)],
    ids=['ours', 'theirs', 'shuffled'])
@pytest.mark.parametrize('installed', [False, True])
def test_an_iterator_that_does_not_continue_stops_the_first_batch(make, wrap, installed,
                                                                  monkeypatch):
    if installed:  # after `install()`, which a program may call when it has the class already
        monkeypatch.setattr(mx, 'rnn', rnn)

    def fit(data, **evaluation):
        cell = rnn.LSTMCell(3)
        carried = rnn.carry_states(cell)
        embedded = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=9, output_dim=2)
        outputs, states = cell.unroll(3, embedded, carried.begin_state, merge_outputs=True)
        loss = mx.sym.MakeLoss(mx.sym.mean(outputs, axis=2) + mx.sym.Variable('softmax_label'),
                               name='loss')
        module = mx.mod.Module(carried.group(loss, states), state_names=carried.state_names)
        module.fit(data, eval_metric=metric(), num_epoch=1,
                   batch_end_callback=[counting(batches), carried],
                   eval_batch_end_callback=carried, eval_end_callback=carried, **evaluation)

    def stream():
        return rnn.StreamIter([i % 9 for i in range(30)], 2, 3)

    for options, name in (({'data': wrap(make([[1, 2, 3]] * 8, 2))}, 'train_data'),
                          ({'data': stream(), 'eval_data': wrap(make([[1, 2, 3]] * 8, 2))},
                           'eval_data')):
        batches = []
        with pytest.raises(ValueError, match=name + ' must return batches that continue'):
            fit(**options)
        assert batches == [0]
    batches = []
    fit(wrap(stream()), eval_data=wrap(stream()))
    assert len(batches) > 2


def test_no_gradient_comes_from_the_carried_states():
    cell = rnn.LSTMCell(3)
    carried = rnn.carry_states(cell)
    outputs, states = cell.unroll(STEPS, mx.sym.Variable('data'), carried.begin_state, 'TNC', True)
    for weight, symbol in enumerate([mx.sym.Group([outputs, *states]),
                                     carried.group(outputs, states)]):
        bound = filled(symbol, data=DATA[:STEPS].shape)
        results = bound.forward(is_train=True)
        bound.backward([mx.nd.zeros(results[0].shape), *map(mx.nd.ones_like, results[1:])])
        moved = any(grad.asnumpy().any() for grad in bound.grad_dict.values())
        assert moved is (weight == 0)


def test_buckets_share_the_states():
    cell = rnn.LSTMCell(3)
    carried = rnn.carry_states(cell)

    def by_length(length):
        return graph(cell, carried, length), ['data'], ['label']

    parts = Parts()
    module = mx.mod.BucketingModule(by_length, STEPS, state_names=carried.state_names)
    module.bind(parts.provide_data, parts.provide_label)
    module.init_params(mx.init.Uniform(0.5))
    cuts = [0, 3, 4, 9, 12]
    batches = [parts.batch(*cut) for cut in zip(cuts, cuts[1:])]
    for batch in batches:
        module.prepare(batch)
    for _ in range(2):
        carried.zero(module)
        seen = []
        for batch in batches:
            module.forward(batch, is_train=False)
            seen.append(steps_of(module))
            carried.carry(module)
        np.testing.assert_allclose(np.concatenate(seen), whole(CELLS['lstm'], module), rtol=1e-6,
                                   atol=1e-6)
    module.forward(parts.batch(0, 2), is_train=False)  # of a new length, begun with zeros
    with pytest.raises(ValueError, match='switch_bucket'):
        carried.carry(module)


def test_a_pass_that_was_not_ended_is_noticed():
    carried, module = prepared(CELLS['lstm'])
    module.score(Parts(), metric(), batch_end_callback=carried)
    with pytest.raises(RuntimeError, match='score_end_callback'):
        module.score(Parts(), metric(), batch_end_callback=carried)
    carried.zero(module)
    module.score(Parts(), metric(), batch_end_callback=carried, num_batch=2,
                 score_end_callback=carried)  # broken off by num_batch
    assert not module.get_states(False)[0][0].asnumpy().any()


def test_wrong_arguments():
    cell = rnn.LSTMCell(3)
    carried = rnn.carry_states(cell)
    both = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))
    fused = rnn.FusedRNNCell(3, bidirectional=True, get_next_state=True)
    for backward in (both, fused, stack(rnn, rnn.LSTMCell(3), fused), rnn.ResidualCell(both),
                     rnn.fuse(stack(rnn, both))):
        with pytest.raises(ValueError, match='cell must run forwards only, but %s' % re.escape(
                repr(fused if 'Fused' in repr(backward) else both))):
            rnn.carry_states(backward)
    for no_states in (rnn.FusedRNNCell(3), stack(rnn, rnn.LSTMCell(3, 'l0_'),
                                                 rnn.FusedRNNCell(3, prefix='l1_'))):
        begun = rnn.carry_states(no_states)
        outputs, states = no_states.unroll(STEPS, mx.sym.Variable('data'), begun.begin_state, 'TNC')
        with pytest.raises(ValueError, match='^states .* must .*FusedRNNCell.*get_next_state=True'):
            begun.group(outputs, states)
    with pytest.raises(ValueError, match='a different name for each'):
        rnn.carry_states(stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(3, 'a_')))
    for names in ([], carried.state_names[::-1]):
        module = mx.mod.Module(graph(cell, carried), ['data'], ['label'], state_names=names)
        with pytest.raises(ValueError, match='state_names'):
            carried.zero(module)
    with pytest.raises(ValueError, match='must be made with state_names='):
        mx.mod.Module(graph(cell, carried), ['data'], ['label']).bind(
            Parts().provide_data, Parts().provide_label)
    outputs, _ = cell.unroll(STEPS, mx.sym.Variable('data'), carried.begin_state, 'TNC', True)
    parts = Parts()
    module = mx.mod.Module(mx.sym.MakeLoss(outputs), ['data'], [], state_names=carried.state_names)
    module.bind(parts.provide_data)
    module.init_params()
    module.forward(parts.next(), is_train=False)
    with pytest.raises(ValueError, match='outputs that group'):
        carried.carry(module)
