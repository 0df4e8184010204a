"""An input for each step: exports make one of all of them, as of labels and outputs."""
import re

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import inputs_of_steps, with_one_input
from mxrnn.interop.check import compare, export_check
from mxrnn.interop.prepare import prepare

from .. import mx, ours, rnn
from ..cases import each as each_of
from ..running import bound, flat, inputs
from .compare import torch
from .encoders import Weights
from .forms import BOUND
from .models import S, V, random_model
from .onnx_runs import exportable, outputs_of, session
from .programs import characters_of_2015
from .sources import generate, quiet
from .test_commands import command, told, told_in_a_line

pytestmark = ours

UNITS, CLASSES, STEPS = 6, 5, 8


def characters(steps):
    """Two layers over words; each step has its own word, label and loss."""
    return characters_of_2015(steps, layers=2)


def values(steps):
    """Features, and outputs without a loss."""
    weights = Weights()
    outputs, _ = rnn.GRUCell(UNITS, 'gru_').unroll(steps, weights.steps('t%d_data', steps))
    return S.Group([weights.dense(each, 'cls', CLASSES) for each in outputs])


def joined(steps):
    """All steps in one array, with a label for each row; another input is the same in all steps."""
    weights = Weights()
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(steps, [
        S.Concat(weights.dense(weights['x%d' % t], 'low', 4), weights['more'], dim=1)
        for t in range(steps)])
    return S.SoftmaxOutput(weights.dense(S.Concat(*outputs, dim=0), 'cls', CLASSES),
                           weights['softmax_label'], name='softmax')


def joined_labels(steps):
    """The same, with a label for each step, which are joined, too."""
    weights = Weights()
    outputs, _ = rnn.LSTMCell(UNITS, 'lstm_').unroll(steps, weights.steps('data/%d', steps))
    labels = S.Concat(*weights.steps('label/%d', steps), dim=0)
    return S.SoftmaxOutput(weights.dense(S.Concat(*outputs, dim=0), 'cls', CLASSES),
                           S.Reshape(labels, shape=(-1,)), name='softmax')


def two(steps):
    """Two inputs and three losses in each step, two of one label; a last state is an output."""
    weights, losses = Weights(), []
    words = [S.Embedding(weights['word/%d' % t], weight=weights['embed_weight'], input_dim=9,
                         output_dim=4) for t in range(steps)]
    outputs, states = rnn.LSTMCell(UNITS, 'lstm_').unroll(steps, [
        S.Concat(word, weights['more/%d' % t], dim=1) for t, word in enumerate(words)])
    for t, each in enumerate(outputs):
        losses += [S.SoftmaxOutput(weights.dense(each, 'cls', CLASSES), weights['label/%d' % t],
                                   name='cls/%d' % t),
                   S.LinearRegressionOutput(weights.dense(each, 'next', 3),
                                            weights['wanted/%d' % t], name='next/%d' % t),
                   S.SoftmaxOutput(weights.dense(each, 'more', CLASSES), weights['label/%d' % t],
                                   name='softmax/%d' % t)]
    return S.Group([*losses, S.BlockGrad(states[1], name='memory')])


def both_ways(steps):
    """Two directions, of which the second one is made first."""
    weights = Weights()
    data = weights.steps('data%d', steps)
    back, _ = rnn.RNNCell(UNITS, prefix='back_').unroll(steps, data[::-1])
    there, _ = rnn.RNNCell(UNITS, prefix='there_').unroll(steps, data)
    return S.Group([S.LogisticRegressionOutput(weights.dense(S.Concat(one, other, dim=1), 'cls', (
        CLASSES)), weights['label%d' % t], name='out%d' % t)
        for t, (one, other) in enumerate(zip(back[::-1], there))])


def last(steps):
    """One loss of the last step."""
    weights = Weights()
    outputs, _ = rnn.LSTMCell(UNITS, 'lstm_').unroll(steps, weights.steps('step_%d_x', steps))
    return S.LinearRegressionOutput(weights.dense(outputs[-1], 'cls', CLASSES),
                                    weights['label'], name='out')


def shuffled(steps):
    """The variables' numbers are not those of the steps."""
    weights, order = Weights(), order_of(shuffled, steps)
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(steps, [
        weights['data/%d' % t] for t in order])
    return S.Group([S.SoftmaxOutput(weights.dense(each, 'cls', CLASSES), weights['label/%d' % t],
                                    name='sm/%d' % t) for t, each in zip(order, outputs)])


def order_of(program, steps):
    """The numbers of the steps in names."""
    return [t * 3 % steps if program is shuffled else t for t in range(steps)]


#: By program: names of inputs and labels, those in a step, and their shape in a step and a row;
#: outputs, and their names in a step.
PROGRAMS = {
    characters: ({'data': ('data/%d',), 'label': ('label/%d',), **{
        'l%d_init_%s' % (layer, key): ('', UNITS) for layer in (0, 1) for key in 'ch'}},
        {'sm_output': 't%d_sm_output'}),
    values: ({'data': ('t%d_data', 3)}, {'fullyconnected_output': 'fullyconnected%d_output'}),
    joined: ({'x': ('x%d', 2), 'more': ('', 3)}, {}),
    joined_labels: ({'data': ('data/%d', 3), 'label': ('label/%d',)}, {}),
    two: ({'word': ('word/%d',), 'more': ('more/%d', 2), 'label': ('label/%d',),
           'wanted': ('wanted/%d', 3)},
          {'cls_output': 'cls/%d_output', 'next_output': 'next/%d_output',
           'softmax_output': 'softmax/%d_output'}),
    both_ways: ({'data': ('data%d', 3), 'label': ('label%d', CLASSES)},
                {'out_output': 'out%d_output'}),
    last: ({'x': ('step_%d_x', 3), 'label': ('', CLASSES)}, {}),
    shuffled: ({'data': ('data/%d', 2), 'label': ('label/%d',)}, {'sm_output': 'sm/%d_output'})}
LENGTHS = (STEPS, 2), (5, 3), (11, 1)


def built(program, steps):
    with mx.name.NameManager():
        return quiet(program(steps))


def data_of(program, steps, batch):
    """Data and labels by the names of the file, and by those of the program."""
    random = np.random.RandomState(steps)
    one, each = {}, {}
    for name, (step, *shape) in PROGRAMS[program][0].items():
        size = (batch, *[steps] * bool(step), *shape)
        one[name] = (random.normal(size=size) if shape else random.randint(0, 5, size)).astype('f')
        each.update({step % number: one[name][:, t] for t, number in enumerate(
            order_of(program, steps))} if step else {name: one[name]})
    if program is joined:
        label = random.randint(0, CLASSES, steps * batch).astype('f')
        one['softmax_label'] = each['softmax_label'] = label
    return one, each


def model_of(program):
    return random_model(built(program, STEPS), {
        name: array.shape for name, array in data_of(program, STEPS, 2)[1].items()})


def expected(program, steps, batch, model):
    """Data by the names of the file, and what MXNet gives for the program's own graph: outputs by
    those names, and gradients."""
    symbol, (one, each) = built(program, steps), data_of(program, steps, batch)
    executor = bound(symbol, {name: array.shape for name, array in each.items()},
                     model.arg_params, each, 'write')
    found = dict(zip(symbol.list_outputs(), executor.forward(is_train=True)))
    executor.backward([mx.nd.ones_like(array) for array in found.values()])
    found = {name: array.asnumpy() for name, array in found.items()}
    outputs = {name: np.stack([found.pop(step % t) for t in order_of(program, steps)], 1)
               for name, step in PROGRAMS[program][1].items()}
    return one, {**outputs, **found}, {
        name: executor.grad_dict[name].asnumpy() for name in model.arg_params}


def assert_equal(found, wanted):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5 * (np.abs(wanted).max() + 1e-3))


@pytest.mark.parametrize('program', PROGRAMS)
def test_onnx(program):
    model = model_of(program)
    written = exportable(model)
    file = session(written.content)
    for steps, batch in LENGTHS:
        one, outputs, _ = expected(program, steps, batch, model)
        found = outputs_of(file, {name: one[name] for name in written.inputs})
        assert [each.name for each in file.get_outputs()] == [*outputs]
        for ours_, theirs in zip(found, outputs.values()):
            assert_equal(ours_, theirs)


@pytest.mark.parametrize('form', ['source', 'class in memory'])
@pytest.mark.parametrize('program', PROGRAMS)
def test_source(program, form):
    model = model_of(program)
    if form == 'source':
        source = generate(model)
        module = source.module
        told = re.findall('^Output (.*): ', source.text, re.M)
        assert told == [*expected(program, STEPS, 2, model)[1]]
    else:
        module = interop.to_torch(model)
    for steps, batch in LENGTHS:
        one, outputs, gradients = expected(program, steps, batch, model)
        given = {name: torch.tensor(array) for name, array in one.items()}
        names = [name for name in given if 'label' not in name and name != 'wanted']
        found = module(**{name: given[name] for name in names})
        found = [found] if isinstance(found, torch.Tensor) else found
        assert len(found) == len(outputs)
        for ours_, theirs in zip(found, outputs.values()):
            assert_equal(ours_.detach().numpy(), theirs)
        module.zero_grad()
        (module.loss(**given) if hasattr(module, 'loss') else
         sum(each.sum() for each in found)).backward()
        state = {key: torch.zeros_like(value) for key, value in module.state_dict().items()}
        state.update((key, value.grad) for key, value in module.named_parameters(
            remove_duplicate=False) if value.grad is not None)
        again = interop.from_source(state, model).arg_params
        for name, gradient in gradients.items():
            assert_equal(again[name], gradient)


def test_labels_with_the_steps_first_are_refused():
    """As many fit; and the loss computes no softmax that nothing reads."""
    source = generate(model_of(characters))
    assert 'softmax' not in source.text.partition('def loss')[2]
    given = {name: torch.tensor(array) for name, array in data_of(characters, 5, 3)[0].items()}
    given['label'] = given['label'].T
    with pytest.raises(ValueError, match=r'label must have the shape \(3, 5\), got \(5, 3\)'):
        source.module.loss(**given)


def test_a_label_of_joined_rows_is_told_as_it_is_read():
    assert 'Label softmax_label: (time * batch).' in generate(model_of(joined)).text


@each_of([case for case in BOUND if case.can_step])
def test_cells(case):
    """The export compares outputs and gradients with MXNet's."""
    outputs, states = case.make(rnn).unroll(4, inputs('list', 4), merge_outputs=False)
    symbol = S.Group([*map(S.identity, outputs), *[2 * state for state in flat(states)]])
    source = generate(random_model(symbol, {'data_t%d' % t: (2, *case.step) for t in range(4)}))
    assert 'Checked: equal' in source.text
    assert ('Input data: ' in source.text) == bool(states)


# ---- what stays as it is

def two_steps(weights):
    """They may also be the first and the last step."""
    return rnn.RNNCell(UNITS, prefix='rnn_').unroll(2, [weights['data%d' % t] for t in (0, 1)])[0]


def layers(weights):
    """Inputs beside each other, in no recurrence."""
    return [weights.dense(weights['data%d' % t], 'cls', CLASSES) for t in range(STEPS)]


def in_two_orders(weights):
    """One loss reads what the others read a step later."""
    data = weights.steps('data%d', STEPS + 1)
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(STEPS, data[:-1])
    return [S.LinearRegressionOutput(weights.dense(each, 'cls', 3), data[(t * 5 + 1) % STEPS])
            for t, each in enumerate(outputs)]


def own_stack(weights):
    data = S.stack(*weights.steps('data%d', STEPS), axis=0)
    outputs, _ = rnn.FusedRNNCell(UNITS, prefix='rnn_').unroll(STEPS, data, layout='TNC')
    return [*outputs, *rnn.RNNCell(UNITS, prefix='more_').unroll(STEPS, V('more'))[0]]


@pytest.mark.parametrize('build', [two_steps, layers, in_two_orders, own_stack])
def test_programs_that_stay(build):
    symbol = S.Group(build(Weights()))
    model = random_model(symbol, {name: (2, STEPS, 3) if name == 'more' else (2, 3)
                                  for name in symbol.list_arguments() if name[:4] in (
                                      'data', 'more') and '_' not in name})
    assert with_one_input(model.graph, model.arg_params).graph is model.graph
    assert [*prepare(model, training=True).shapes] == [
        name for name in model.graph.needed_variables() if name not in model.arg_params]


@pytest.mark.parametrize('program', PROGRAMS)
def test_as_is(program, tmp_path):
    model, data = model_of(program), data_of(program, STEPS, 2)[1]
    written = exportable(model, rolled=False)
    assert [*written.inputs] == [name for name in model.graph.needed_variables()
                                 if name not in model.arg_params]
    executor = bound(built(program, STEPS), {name: array.shape for name, array in data.items()},
                     model.arg_params, data)
    for one, other in zip(outputs_of(session(written.content), data), executor.forward()):
        assert_equal(one, other.asnumpy())


def of_the_batch(scores, label):
    return S.SoftmaxOutput(scores, label, normalization='batch')


def other_rows(scores, label):
    return S.SVMOutput(scores, label)


@pytest.mark.parametrize('loss, label, order', [
    (of_the_batch, 'label%d', range(STEPS)), (other_rows, 'label%d', range(STEPS)),
    (S.SoftmaxOutput, 'label', range(STEPS)),
    (S.SoftmaxOutput, 'label%d', [*range(1, STEPS), 0])])
def test_inputs_of_a_fixed_length_stay_as_they_are(loss, label, order):
    """Another sequence is free."""
    weights = Weights()
    before, _ = rnn.LSTMCell(UNITS, 'before_').unroll(7, weights.steps('more%d', 7))
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(STEPS, weights.steps('data%d', STEPS))
    losses = [loss(weights.dense(each, 'cls', CLASSES), weights[
        label % t if '%' in label else label]) for t, each in enumerate(outputs)]
    symbol = S.Group([*[losses[t] for t in order], before[-1]])
    plan = prepare(random_model(symbol, {
        name: (2, 3) if name[:4] in ('data', 'more') else (2,) for name in symbol.list_arguments()
        if name[:4] in ('data', 'more', 'labe')}), training=True)
    assert plan.shapes == {'more': ('batch', 'time', 3), **{
        'data%d' % t: ('batch', 3) for t in range(STEPS)}}
    assert plan.graph.outputs == symbol.list_outputs()


# ---- names

@pytest.mark.parametrize('names, name', [
    (['data/%d'], 'data'), (['t%d_data'], 'data'), (['in_t%d_x'], 'in_x'), (['l0_t%d'], 'l0'),
    (['time_%d_x2'], 'x2'), (['data%d', 'more'], 'data'), (['more%d', 'more'], 'more0_steps'),
    (['%d'], '0_steps')])
def test_names(names, name):
    """What the steps have in common, unless something else has this name."""
    step, *others = names
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(3, [V(step % t) for t in range(3)])
    symbol = S.Group([outputs[-1], *map(V, others)])
    graph = interop.graph_from_json(symbol.tojson())
    found = with_one_input(graph, [each for each in graph.arguments if each.startswith('rnn_')])
    assert found.inputs == {name: [step % t for t in range(3)]}
    assert found.graph.arguments[0] == name


@pytest.mark.parametrize('names', [['a', 'b', 'c'], ['x0', 'x1', 'x_last']])
def test_names_that_differ(names):
    """A name without a number does not turn the order."""
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(3, [*map(V, names)])
    graph = interop.graph_from_json(outputs[-1].tojson())
    assert with_one_input(graph, [each for each in graph.arguments if each.startswith('rnn_')]
                          ).inputs == {names[0] + '_steps': names}


def test_the_shape_of_all_steps_is_that_of_one_with_time():
    """The input was guessed to be (4, time): nothing but an addition reads a step."""
    weights, state = Weights(), V('begin')
    for t in range(STEPS):
        state = S.tanh(S.broadcast_add(weights.dense(state, 'h', 4), weights['x%d' % t]))
    model = random_model(state, {'begin': (2, 4), **{'x%d' % t: (2, 4) for t in range(STEPS)}})
    wanted = {'begin': ('batch', 4), 'x': ('batch', 'time', 4)}
    assert prepare(model).shapes == wanted
    typed = {'x%d' % t: [('batch', 4), ['batch', 4]][t % 2] for t in range(STEPS)}
    assert prepare(model, typed).shapes == {**wanted, 'x': ('batch', STEPS, 4)}


# ---- commands

@pytest.fixture
def prefix(tmp_path):
    interop.save(model_of(values), str(tmp_path / 'gru'), 1)
    return tmp_path / 'gru'


def turned(groups):
    return [each._replace(steps=(*each.steps[1:], each.steps[0])) for each in groups]


def backwards(groups):
    return [each._replace(steps=each.steps[::-1]) for each in groups]


@pytest.mark.parametrize('inputs, outputs, library', [
    (turned, list, 'MXNet'), (list, turned, 'MXNet'), (backwards, list, 'MXNet'),
    (list, backwards, 'MXNet'), (turned, list, 'torch'), (list, turned, 'torch')])
def test_steps_in_a_wrong_order_are_noticed(inputs, outputs, library, prefix, tmp_path,
                                            monkeypatch):
    """The file is compared with the program's own graph."""
    right = inputs_of_steps._written
    monkeypatch.setattr(inputs_of_steps, '_written', lambda graph, read, made: right(
        graph, inputs(read), outputs(made)))
    for name in '_left', '_fixed':
        monkeypatch.setattr(inputs_of_steps, name, lambda *args: set())
    if library == 'torch':
        for module in export_check, compare:
            monkeypatch.setattr(module, 'of_mxnet', lambda: None)
    model, path = interop.load(str(prefix), 1), str(tmp_path / 'a.onnx')
    for write, place in (interop.to_onnx, path), (interop.to_source, str(tmp_path / 'a.py')):
        with pytest.raises(interop.ExportError, match='differs from the checkpoint in ' + library):
            write(model, place)
    interop.to_onnx(model, path, check=False)
    (_, apart), = compare.compare(model, path, {}).outputs
    assert apart > .01


@pytest.mark.parametrize('shape', ['t0_data=batch,3', 'data=4,8,3'])
def test_begin_states_that_are_weights(shape, tmp_path):
    """They get the rows of the batch in the program's own graph, too."""
    weights = Weights()
    outputs, _ = rnn.RNNCell(UNITS, prefix='rnn_').unroll(
        STEPS, weights.steps('t%d_data', STEPS), begin_state=[weights['begin']])
    model = random_model(outputs[-1], {
        'begin': (2, UNITS), **{'t%d_data' % t: (2, 3) for t in range(STEPS)}})
    model.arg_params['begin'] = np.ones((2, UNITS), 'f')
    interop.save(model, str(tmp_path / 'a'), 1)
    assert 'equal to the checkpoint in MXNet' in told_in_a_line(
        'export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--input', shape)


def test_both_names_may_be_typed(prefix, tmp_path):
    path, steps = tmp_path / 'gru.onnx', 'data has the steps of t0_data to t7_data'
    for typed, axes in ((['data=batch,time,3'], 'batch,time'), (['t0_data=4,3'], '4,8'),
                          (['t%d_data=batch,3' % t for t in range(8)], 'batch,8')):
        printed = told('export', prefix, '--onnx', path, '--type', 't3_data=float32', *[
            each for text in typed for each in ('--input', text)])
        assert 'data=%s,3\n' % axes in printed and steps in ' '.join(printed.split())
    assert command('export', prefix, '--onnx', path) == 0
    for typed in (['t2_data=4,3'], ['data=4,8,3'], ['data=4,5,3']):
        said = told('compare', prefix, path, *[
            each for text in typed for each in ('--input', text)])
        assert 'data: data (4, %s, 3)' % typed[0].split(',')[-2].replace('t2_data=4', '8') in said
    one, each = data_of(values, STEPS, 3)
    for arrays in one, each:
        np.savez(tmp_path / 'a.npz', **arrays)
        assert command('compare', prefix, path, '--data', tmp_path / 'a.npz') == 0
    each.pop('t7_data')
    np.savez(tmp_path / 'a.npz', **each)
    for wrong in (['compare', path, '--data', tmp_path / 'a.npz'],
                  ['compare', path, '--input', 't0_data=4,3', '--input', 'data=4,8,3'],
                  ['export', '--onnx', path, '--input', 't0_data=4,3', '--input', 't1_data=5,3']):
        assert 'give data, or all its steps alike: t0_data to t7_data' in told(
            wrong[0], prefix, *wrong[1:], status=2)
    assert steps in told_in_a_line('inspect', prefix)


def test_files_of_an_export_as_it_is_are_compared(prefix, tmp_path):
    path = tmp_path / 'gru.onnx'
    assert command('export', prefix, '--onnx', path, '--as-is') == 0
    assert command('compare', prefix, path, '--input', 't2_data=4,3') == 0
    assert 'gru.onnx takes t0_data, t1_data, ' in told(
        'compare', prefix, path, '--input', 'data=4,8,3', status=2)


def test_another_length_certifies(prefix, tmp_path):
    other = tmp_path / 'other-symbol.json'
    built(values, 5).save(str(other))
    assert 'and to the other graph' in told_in_a_line(
        'export', prefix, '--onnx', tmp_path / 'a.onnx', '--certify', other)


@pytest.mark.parametrize('program', [characters, values])
def test_steps(program, tmp_path):
    model = model_of(program)
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), states=True)
    stepper = interop.load_stepper(str(tmp_path / 'a.onnx'))
    one, outputs, _ = expected(program, STEPS, 2, model)
    states = [one.get(name[:-len('_in')], state) for name, state in zip(
        stepper.state_names, stepper.begin(2))]
    found = []
    for t in range(STEPS):
        output, states = stepper.step(states, data=one['data'][:, t])
        found.append(output)
    assert_equal(np.stack(found, 1), [*outputs.values()][0])


def test_a_class_that_waits_for_its_call():
    """Images in each step, of any size: the class is made by the first call."""
    def build(steps):
        weights = Weights()
        images = [S.Flatten(S.Pooling(S.Convolution(
            weights['image%d' % t], weight=weights['conv_weight'], no_bias=True, kernel=(3, 3),
            num_filter=4), global_pool=True, kernel=(1, 1), pool_type='max')) for t in range(steps)]
        return rnn.GRUCell(UNITS, 'gru_').unroll(steps, images)[0][-1]
    symbol = build(4)
    model = random_model(symbol, {'image%d' % t: (2, 1, 5, 5) for t in range(4)})
    module = interop.to_torch(model)
    assert module.inputs == ['image']
    data = np.random.RandomState(0).normal(size=(3, 6, 1, 7, 5)).astype('f')
    executor = bound(build(6), {'image%d' % t: (3, 1, 7, 5) for t in range(6)}, model.arg_params, {
        'image%d' % t: data[:, t] for t in range(6)})
    assert_equal(module(torch.tensor(data)).detach().numpy(), executor.forward()[0].asnumpy())
