"""Programs with loops in Python, run with --fuse: bound with their recurrences as operators."""
import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn
from .comparing import assert_close
from .interop.programs import lstm_of_gates
from .test_automatic_fuse import DATA, C, H, N, T, data, loss, lstm, run, stack, train_alike

if rnn.__name__ != 'mxrnn':
    pytest.skip('--fuse is of mxrnn', allow_module_level=True)

from mxrnn._inference import fuse_on_bind  # noqa: E402,F401  (what a program with --fuse imports)

pytestmark = [differs, needs_operator]


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


def dropped_in_each_step():
    """One mask would be drawn for all steps, other than those of the steps."""
    outputs, _ = in_a_loop(lstm('l0_'))
    outputs, _ = in_a_loop(lstm('l1_'), inputs=[mx.sym.Dropout(each, p=0.5) for each in outputs])
    return loss(outputs[-1])


def beside_windows():
    """A Reshape that has no number of steps, but that of rows in a window."""
    each = steps()
    rows = rnn.FusedRNNCell(H, prefix='f_').unroll(3 * T, [*each] * 3, merge_outputs=True)[0]
    means = mx.sym.mean(mx.sym.reshape(rows, shape=(-1, 3, H)), axis=1)
    outputs, _ = in_a_loop(lstm('l0_'), inputs=[*each])
    return loss(mx.sym.concat(outputs[-1], mx.sym.reshape(means, shape=(-1, T * H)), dim=1))


#: With the number of operators that they become.
PROGRAMS = {cells: 2, both_ways: 2, functions: 1, attention: 1, dropped: 1,
            dropped_in_each_step: 0, beside_windows: 2}


def kernels(executor):
    return executor.debug_str().count('Op:RNN')


# differences.md: unmodified programs at the operator's speed
@pytest.mark.parametrize('program', PROGRAMS)
def test_loops_train_alike_with_fuse(program, fusing):
    symbol = program()
    _, losses = train_alike(fusing, lambda: symbol, 1e-7)
    assert min(losses[-3:]) < losses[0]
    shapes = {name: DATA.get(name, (N, H)) for name in symbol.list_arguments()
              if name in DATA or 'begin_state' in name}
    assert kernels(symbol.simple_bind(mx.cpu(), **shapes)) == PROGRAMS[program]


def random_arrays(symbol, **shapes):
    found, outputs, _ = symbol.infer_shape(**shapes)
    draws = np.random.RandomState(0)
    arrays = {name: mx.nd.array(draws.uniform(-1, 1, shape))
              for name, shape in zip(symbol.list_arguments(), found)}
    return arrays, [mx.nd.array(draws.uniform(-1, 1, shape)) for shape in outputs]


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
import mxnet as mx
cell = mx.rnn.GRUCell(4, prefix='gru_')
states = cell.begin_state()
for step in mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=3, squeeze_axis=True):
    output, states = cell(step, states)
print(output.simple_bind(mx.cpu(), data=(2, 3, 5)).debug_str().count('Op:RNN'))
'''


def test_run_binds_loops_as_operators(tmp_path):
    ended = run(tmp_path, '--fuse', '--report', code=PROGRAM)
    assert ended.stdout == '1\n', ended.stderr
    assert ended.stderr.endswith('gru, 3 steps: one operator, gru, bound 1 time\n'), ended.stderr


def test_the_report_says_what_became_of_recurrences(monkeypatch):
    """What is bound has its number of steps: that a Reshape has it, too, is no news."""
    noted = []
    monkeypatch.setattr(fuse_on_bind.automatic_fuse, 'note', noted.append)
    outputs, _ = in_a_loop(lstm('l0_'))
    rows = mx.sym.Reshape(mx.sym.stack(*outputs, axis=1), shape=(-1, T * H))
    assert fuse_on_bind._found(rows, {'data': (N, T, C)}, {}) is not None
    assert noted == ['l0, %d steps: one operator, lstm, bound' % T]
