"""Programs as people wrote them, run with --fuse: bound with their recurrences as operators."""
import functools

import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn, running
from .comparing import assert_close
from .interop.programs import lstm_of_gates
from .processes import python
from .train_programs import built

if rnn.__name__ != 'mxrnn':
    pytest.skip('--fuse is of mxrnn', allow_module_level=True)

from mxrnn._inference import fuse_on_bind  # noqa: E402,F401  (what a program with --fuse imports)

pytestmark = [differs, needs_operator]

T, N, C, H = 5, 3, 4, 6
DATA = {'data': (N, T, C), 'label': (N,)}


def data():
    return mx.sym.Variable('data')


def loss(vector):
    scores = mx.sym.FullyConnected(vector, num_hidden=3, name='out')
    return mx.sym.SoftmaxOutput(scores, mx.sym.Variable('label'), name='softmax')


stack = functools.partial(running.stack, rnn)


def lstm(name='lstm_', units=H, **options):
    return rnn.LSTMCell(units, prefix=name, **options)


def gru(name='gru_', units=H):
    return rnn.GRUCell(units, prefix=name)


def both(kind, name='bi_'):
    return rnn.BidirectionalCell(kind(name + 'l_'), kind(name + 'r_'))


def of_mean(cell, **options):
    outputs, _ = cell.unroll(T, data(), merge_outputs=True, **options)
    return loss(mx.sym.mean(outputs, axis=1))


def time_major():
    outputs, _ = stack(lstm(), both(gru)).unroll(T, mx.sym.SwapAxis(data(), dim1=0, dim2=1),
                                                 layout='TNC', merge_outputs=True)
    return loss(mx.sym.mean(outputs, axis=0))


def of_lengths():
    return of_mean(lstm(), valid_length=mx.sym.ones((N,)) * 3)


def last_of_a_list():
    outputs, _ = lstm().unroll(T, data())
    return loss(outputs[-1])


def decoder_by_hand():
    outputs, states = stack(lstm('a_'), gru('b_')).unroll(T, data())
    cell = stack(lstm('a2_'), gru('b2_'))
    step = outputs[-1]
    for _ in range(3):
        step, states = cell(step, states)
    return loss(step)


class Noisy(rnn.LSTMCell):
    """A subclass of a program."""

    def __call__(self, inputs, states):
        output, states = super().__call__(inputs * 2, states)
        return output + 1, states


def two_unrolls_of_one_cell():
    x, cell = data(), gru()
    first, states = cell.unroll(T, x, merge_outputs=True)
    cell.reset()
    second, _ = cell.unroll(T, x + 1, begin_state=states, merge_outputs=True)
    return loss(mx.sym.mean(first * second, axis=1))


def inner_outputs():
    outputs, states = stack(lstm('l0_'), lstm('l1_')).unroll(T, data(), merge_outputs=True)
    heads = mx.sym.Group([mx.sym.BlockGrad(outputs), loss(states[-1] + states[1])])
    return mx.sym.Group([heads[1], heads[0]])


def steps(length=T):
    return mx.sym.SliceChannel(data(), num_outputs=length, axis=1, squeeze_axis=True)


def in_a_loop(cell, length=T, inputs=None, **options):
    outputs, states = [], cell.begin_state(**options)
    for step in inputs or steps(length):
        output, states = cell(step, states)
        outputs.append(output)
    return outputs, states


def cells():
    outputs, _ = in_a_loop(stack(lstm('l0_'), rnn.GRUCell(H, prefix='g_')))
    return loss(outputs[-1])


def both_ways():
    inputs = list(steps())
    outputs, _ = in_a_loop(lstm('left_'), inputs=inputs)
    others, _ = in_a_loop(lstm('right_'), inputs=inputs[::-1])
    both = [mx.sym.concat(*pair, dim=1) for pair in zip(outputs, others[::-1])]
    return loss(mx.sym.concat(*both, dim=1))


def functions():
    """As programs have it that are older than mx.rnn, with states that are inputs."""
    weights = {name: mx.sym.Variable('l0_' + name) for name in (
        'i2h_weight', 'i2h_bias', 'h2h_weight', 'h2h_bias')}
    cell, hidden = mx.sym.Variable('begin_state_c'), mx.sym.Variable('begin_state_h')
    for t, step in enumerate(steps()):
        gates = [mx.sym.FullyConnected(
            each, weight=weights[group + '_weight'], bias=weights[group + '_bias'],
            num_hidden=4 * H, name='t%d_%s' % (t, group))
            for group, each in (('i2h', step), ('h2h', hidden))]
        cell, hidden = lstm_of_gates(gates[0] + gates[1], cell)
    return loss(hidden)


def attention():
    """The decoder's steps depend on each other by more than a cell, and stay."""
    outputs, states = in_a_loop(lstm('encoder_'))
    memory = mx.sym.stack(*outputs, axis=1)
    decoder, context = lstm('decoder_'), mx.sym.zeros_like(outputs[0])
    for _ in range(3):
        output, states = decoder(mx.sym.concat(context, outputs[-1], dim=1), states)
        scores = mx.sym.softmax(mx.sym.batch_dot(memory, mx.sym.expand_dims(output, axis=2)),
                                axis=1)
        context = mx.sym.Reshape(mx.sym.batch_dot(memory, scores, transpose_a=True), shape=(0, -1))
    return loss(context)


def dropped():
    """The masks are those of the unrolled graph: they are as large, and drawn in their order."""
    outputs, _ = in_a_loop(lstm('l0_'), inputs=list(mx.sym.SliceChannel(
        mx.sym.Dropout(data(), p=0.2), num_outputs=T, axis=1, squeeze_axis=True)))
    joined = mx.sym.Dropout(mx.sym.concat(*outputs, dim=1), p=0.3)
    return loss(joined)


def beside_windows():
    """A Reshape that has no number of steps, but that of rows in a window."""
    each = steps()
    rows = rnn.FusedRNNCell(H, prefix='f_').unroll(3 * T, [*each] * 3, merge_outputs=True)[0]
    means = mx.sym.mean(mx.sym.reshape(rows, shape=(-1, 3, H)), axis=1)
    outputs, _ = in_a_loop(lstm('l0_'), inputs=[*each])
    return loss(mx.sym.concat(outputs[-1], mx.sym.reshape(means, shape=(-1, T * H)), dim=1))


def losses_of_steps():
    outputs, _ = lstm().unroll(T, data())
    return mx.sym.Group([loss(outputs[-1]), *[mx.sym.LinearRegressionOutput(
        each, mx.sym.BlockGrad(each / 2)) for each in outputs]])


#: With the number of operators that they become.
PROGRAMS = {
    'the last of a list': (last_of_a_list, 1), 'a decoder by hand': (decoder_by_hand, 2),
    'two unrolls': (two_unrolls_of_one_cell, 1), 'several heads': (inner_outputs, 2),
    'a sigmoid': (lambda: of_mean(stack(rnn.RNNCell(H, 'sigmoid', prefix='s_'), lstm())), 1),
    'residual': (lambda: of_mean(stack(lstm('l0_'), rnn.ResidualCell(gru('g_')))), 2),
    'unfused': (lambda: of_mean(rnn.FusedRNNCell(H, 2, 'lstm', True, prefix='f_').unfuse()), 2),
    'a subclass': (lambda: of_mean(stack(Noisy(H, prefix='own_'), lstm())), 2),
    'deep both ways': (lambda: of_mean(
        stack(both(gru, 'b0_'), both(lstm, 'b1_'), lstm('top_'))), 3),
    'a sum of both ways': (lambda: of_mean(
        rnn.BidirectionalCell(gru('l_'), gru('r_'), merge='sum')), 1),
    'time-major': (time_major, 2), 'lengths': (of_lengths, 0),
    'losses of steps': (losses_of_steps, 1), 'loops': (cells, 2), 'loops both ways': (both_ways, 2),
    'functions': (functions, 1), 'attention': (attention, 1), 'dropped': (dropped, 1),
    'beside windows': (beside_windows, 2)}
#: Of tests/interop/programs.py.
OTHERS = ('an_input_for_each_step lstm_bucketing rnn_relu_bucketing lstm_time_major '
          'lists_joined_by_hand tied_weights predictions_and_states '
          'begin_states_that_are_variables sentiment_of_the_last_step bidirectional '
          'encoder_and_decoder two_losses characters_and_words').split()


def kernels(executor):
    return executor.debug_str().count('Op:RNN')


def train(symbol, folder):
    """Return the losses of some steps, the parameters before them, the number of operators, and the
    graph of a checkpoint."""
    generator = np.random.RandomState(0)
    names = [name for name in symbol.list_arguments() if 'begin_state' in name]
    shapes = dict(DATA, **{name: (N, H) for name in names})
    module = mx.mod.Module(symbol, ['data', *names], ['label'])
    module.bind([(name, shape) for name, shape in shapes.items() if name != 'label'],
                [('label', DATA['label'])])
    mx.random.seed(3)
    module.init_params(mx.init.Uniform(0.3))
    first = {name: array.asnumpy() for name, array in module.get_params()[0].items()}
    module.init_optimizer(optimizer='adam', optimizer_params={'learning_rate': 0.02})
    arrays = [mx.nd.array(generator.randn(*shape)) for name, shape in shapes.items()
              if name != 'label']
    label = mx.nd.array(generator.randint(0, 3, DATA['label']))
    losses = []
    for _ in range(20):
        module.forward(mx.io.DataBatch(arrays, [label]), is_train=True)
        scores = module.get_outputs()[0].asnumpy()
        losses.append(-np.log(scores[range(N), label.asnumpy().astype(int)]).mean())
        module.backward()
        module.update()
    module.save_checkpoint(str(folder / 'saved'), 1)
    return losses, first, kernels(module._exec_group.execs[0]), (
        folder / 'saved-symbol.json').read_bytes()


# differences.md: unmodified programs at the operator's speed
@pytest.mark.parametrize('name', PROGRAMS)
def test_programs_train_alike_with_fuse(name, fusing, tmp_path):
    build, count = PROGRAMS[name]
    runs = []
    for fuse in (False, True):
        fusing(fuse)
        with mx.name.NameManager():
            runs.append(train(build(), tmp_path))
    (losses, first, none, graph), (fused_losses, fused_first, found, fused_graph) = runs
    for each in first:  # drawn in the order of the arguments
        np.testing.assert_array_equal(fused_first[each], first[each])
    np.testing.assert_allclose(fused_losses, losses, rtol=1e-5, atol=1e-7 * losses[0])
    assert min(losses[-3:]) < losses[0]
    assert (none, found) == (name == 'beside windows', count)
    assert graph == fused_graph


def bound(symbol, arrays, fixed=()):
    """Bind a graph to copies of `arrays`, with gradients but for those `fixed`."""
    return symbol.bind(mx.cpu(), {name: array.copy() for name, array in arrays.items()}, {
        name: mx.nd.zeros(array.shape) for name, array in arrays.items() if name not in fixed},
        {name: 'null' if name in fixed else 'write' for name in arrays})


def results(executor, heads):
    outputs = [each.asnumpy() for each in executor.forward(is_train=True)]
    executor.backward(heads)
    return outputs, {name: each.asnumpy() for name, each in executor.grad_dict.items()
                     if each is not None}


def random_arrays(symbol, **shapes):
    found, outputs, _ = symbol.infer_shape(**shapes)
    draws = np.random.RandomState(0)
    arrays = {name: mx.nd.array(draws.uniform(-1, 1, shape))
              for name, shape in zip(symbol.list_arguments(), found)}
    return arrays, [mx.nd.array(draws.uniform(-1, 1, shape)) for shape in outputs]


# differences.md: unmodified programs at the operator's speed
@pytest.mark.parametrize('name', OTHERS)
def test_other_programs_have_their_gradients_with_fuse(name, fusing):
    symbol, shapes = built(name)
    arrays, heads = random_arrays(symbol, **shapes)
    arrays.update((key, mx.nd.array(np.random.RandomState(1).randint(1, 5, shape)))
                  for key, shape in shapes.items())
    found = []
    for fuse in (False, True):
        fusing(fuse)
        executor = bound(symbol, arrays, shapes)
        found.append(results(executor, heads))
    assert kernels(executor)
    assert_close(*found[::-1], 1e-5)


# differences.md: unmodified programs at the operator's speed
@pytest.mark.parametrize('unrolled', [True, False])
def test_dropout_between_steps_draws_a_mask_for_each_step(unrolled, fusing):
    """The masks differ from those without --fuse, and all else is as with the same masks."""
    def network(drop):
        below, above = lstm('l0_', 50), gru('l1_')
        if unrolled:
            outputs, _ = stack(below, Dropped(drop)).unroll(T, data())
            last = above.unroll(T, outputs)[0][-1]
        else:
            outputs = list(map(drop, in_a_loop(below)[0]))
            last = in_a_loop(above, inputs=outputs)[0][-1]
        return mx.sym.Group([last, mx.sym.BlockGrad(mx.sym.stack(*outputs))])

    class Dropped(rnn.DropoutCell):
        """Drops by a function."""

        def __init__(self, drop):
            super().__init__(0.3)
            self._drop = drop

        def __call__(self, inputs, states):
            return self._drop(inputs), states

    symbol = network(lambda each: mx.sym.Dropout(each, p=0.3))
    arrays, heads = random_arrays(symbol, data=(8, T, C))
    fusing(True)
    executor = bound(symbol, arrays)
    mx.random.seed(0)
    got = results(executor, heads)
    inference = [each.asnumpy() for each in executor.forward(is_train=False)]
    assert kernels(executor) == 2
    fusing(False)
    kept = mx.nd.array(got[0][1] != 0)
    assert abs(kept.asnumpy().mean() - 0.7) < 0.05
    assert len({each.asnumpy().tobytes() for each in kept}) == T
    masks = iter(mx.sym.split(mx.sym.Variable('masks'), num_outputs=T, axis=0, squeeze_axis=True))
    given = network(lambda each: each * next(masks))
    assert_close(got, results(bound(given, {**arrays, 'masks': kept / 0.7}, ['masks']), heads),
                 1e-5)
    plain = bound(symbol, arrays)
    assert_close(inference, [each.asnumpy() for each in plain.forward(is_train=False)], 1e-5)


# differences.md: unmodified programs at the operator's speed
@pytest.mark.parametrize('form', ['dict', 'list', 'list without biases', 'one request'])
def test_an_executor_has_the_arrays_in_the_order_of_the_program(form, fusing):
    symbol = mx.sym.Group(in_a_loop(stack(lstm('l0_'), lstm('l1_')))[0])
    names = symbol.list_arguments()
    arrays, heads = random_arrays(symbol, data=DATA['data'])
    wanted = {name: 'null' if name == 'l0_i2h_bias' else 'add' if 'l1_h2h' in name else 'write'
              for name in names}
    found = []
    for fuse in (False, True):
        fusing(fuse)
        gradients = {name: mx.nd.ones(array.shape) for name, array in arrays.items()
                     if form in ('dict', 'list') or 'bias' not in name}
        given = [arrays, gradients, wanted] if form == 'dict' else [
            [each.get(name) for name in names] for each in (arrays, gradients, wanted)]
        if form == 'one request':
            given[2] = 'write'
        executor = symbol.bind(mx.cpu(), *given)
        assert list(executor.arg_dict) == list(executor.grad_dict) == names
        assert all(one is arrays[name] for name, one in zip(names, executor.arg_arrays))
        assert all(one is gradients.get(name) for name, one in executor.grad_dict.items())
        outputs = [each.asnumpy() for each in executor.forward(is_train=True)]
        executor.backward(heads)
        found.append((outputs, {name: each.asnumpy() for name, each in gradients.items()}))
    assert kernels(executor) == 2
    assert_close(*found, 1e-5)


@pytest.mark.parametrize('wanted', ['null', 'add'])
def test_gradients_are_right_in_every_type(wanted, fusing):
    """MXNet's own operator needs a gradient of its weights, and cannot add to that of its data."""
    inputs = data()
    outputs = [cell.unroll(T, inputs, merge_outputs=True, dtype='float64')[0]
               for cell in (*map(gru, 'abcdefgh'), both(lstm))]
    symbol = mx.sym.Group(outputs)
    arrays, heads = random_arrays(symbol, data=DATA['data'])
    found = []
    for fuse in (False, True):
        fusing(fuse)
        executor = symbol.bind(mx.cpu(), {
            name: array.astype('float64') for name, array in arrays.items()}, {
            name: mx.nd.ones(array.shape, dtype='float64') for name, array in arrays.items()}, {
            name: 'add' if name == 'data' else wanted for name in arrays})
        found.append(results(executor, [each.astype('float64') for each in heads]))
    assert kernels(executor) == 9
    assert_close(*found, 1e-12)


def test_an_executor_takes_another_shape(fusing):
    symbol = cells()
    fusing(True)
    executor = symbol.simple_bind(mx.cpu(), **DATA)
    for array in executor.arg_arrays:
        array[:] = mx.nd.random.uniform(-1, 1, array.shape)
    other = executor.reshape(allow_up_sizing=True, data=(N + 2, T, C), label=(N + 2,))
    assert kernels(other) == 2 and list(other.arg_dict) == symbol.list_arguments()
    again = other.reshape(data=DATA['data'], label=DATA['label'])
    assert [each.shape for each in again.arg_arrays] == [each.shape for each in executor.arg_arrays]
    values = mx.nd.random.uniform(-1, 1, (N + 2, T, C))
    scores = other.forward(data=values)[0].asnumpy()
    fusing(False)
    plain = symbol.bind(mx.cpu(), other.arg_dict, grad_req='null')
    np.testing.assert_allclose(scores, plain.forward()[0].asnumpy(), rtol=1e-5)
    with pytest.raises(ValueError, match='partial_shaping=True .* l0_i2h_weight'):
        executor.reshape(data=(N, T, C + 1), label=(N,))
    with pytest.raises(mx.base.MXNetError):  # as the program's own graph has it
        executor.reshape()


def test_another_number_of_steps_is_refused_as_ever(fusing):
    fusing(True)
    with pytest.raises(Exception, match='(?i)slice|split'):
        cells().simple_bind(mx.cpu(), data=(N, T + 1, C), label=(N,))


PROGRAM = '''
import sys
import mxnet as mx
cell = mx.rnn.SequentialRNNCell()
cell.add(mx.rnn.LSTMCell(4, prefix='lstm_'))
cell.add(mx.rnn.RNNCell(4, 'sigmoid', prefix='rnn_'))
for _ in range(2):
    cell.reset()
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    executor = outputs.simple_bind(mx.cpu(), data=(2, 3, 5))
print(executor.debug_str().count('Op:RNN'), sys.argv[1:])
'''


def run(tmp_path, *options, code=PROGRAM, **environment):
    (tmp_path / 'old.py').write_text(code, encoding='utf-8')
    return python('-W', 'ignore', '-m', 'mxrnn', 'run', *options, 'old.py', '--an-option',
                  folder=tmp_path, OMP_NUM_THREADS='1', **environment)


# differences.md: unmodified programs at the operator's speed
def test_run_fuses_where_it_is_asked_to(tmp_path):
    for options, environment, fused in (['--fuse', '--report'], {}, 1), (
            [], {'MXRNN_FUSE': '1'}, 1), ([], {'MXRNN_FUSE': '0'}, 0), ([], {}, 0):
        ended = run(tmp_path, *options, **environment)
        assert ended.stdout == "%d ['--an-option']\n" % fused, ended.stderr
        if options:
            report = ended.stderr
    assert report.endswith(
        'mxrnn, run with --fuse:\nlstm, 3 steps: one operator, lstm, bound 2 times\n'
        'rnn, 3 steps: stays unrolled, because its steps are not LSTM, GRU or RNN, bound 2 times\n'
        ), ended.stderr


def test_what_tells_whether_to_fuse_is_yes_or_no(tmp_path):
    ended = run(tmp_path, MXRNN_FUSE='yes')
    assert ended.returncode and "MXRNN_FUSE must be 0 or 1, got 'yes'" in ended.stderr
    ended = run(tmp_path, '--report')
    assert ended.returncode == 2 and '--report needs --fuse' in ended.stderr
    with pytest.raises(TypeError, match="fuse must be a bool or None, got 'yes'"):
        rnn.install(fuse='yes')


def test_the_report_says_what_became_of_recurrences(monkeypatch):
    """What is bound has its number of steps: that a Reshape has it, too, is no news."""
    noted = []
    monkeypatch.setattr(fuse_on_bind, '_note', noted.append)
    outputs, _ = in_a_loop(lstm('l0_'))
    rows = mx.sym.Reshape(mx.sym.stack(*outputs, axis=1), shape=(-1, T * H))
    assert fuse_on_bind._found(rows, {'data': (N, T, C)}, {}) is not None
    assert noted == ['l0, %d steps: one operator, lstm, bound' % T]
