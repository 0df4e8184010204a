"""Stepper: steps that equal unroll, states that stay what they are, one bind a batch size."""

import numpy as np
import pytest

from . import differs, mx, rnn
from .cases import OURS, STEPPED, each
from .comparing import assert_close
from .running import quiet, random_value, run_symbols, stack, weights_of

pytestmark = differs

BATCH, LENGTH, WORDS, UNITS = 3, 4, 7, 5
CASES = [case for case in STEPPED + OURS if case.can_step and case.binds]
each_case = each(CASES)


def bare(run):
    """A network of the cell alone."""
    return run(mx.sym.Variable('data'))


def language_model(run):
    words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=WORDS, output_dim=4, name='embed')
    return mx.sym.FullyConnected(run(words), num_hidden=WORDS, flatten=False, name='score')


def make_cell():
    return stack(rnn, rnn.LSTMCell(UNITS, 'l0_'), rnn.GRUCell(UNITS, 'l1_'))


def make_weights(cell=None):
    cell = cell or make_cell()
    outputs = language_model(lambda words: cell.unroll(2, words, merge_outputs=True)[0])
    return weights_of(outputs, data=(1, 2))


def make_stepper(weights=None, **options):
    return rnn.Stepper(make_cell(), language_model, weights or make_weights(), **options)


def make_predictor(weights=None):
    def network(length):
        return language_model(lambda words: make_cell().unroll(
            length, words, merge_outputs=True)[0]), ['data'], []
    return rnn.Predictor(network, weights or make_weights(), buckets=[2, 4])


def by_step(weights=None):
    stepper = make_stepper(weights)
    states = stepper.begin(1)
    return lambda data: stepper.step(states, data=data)[0]


def by_reading(weights=None):
    stepper = make_stepper(weights)
    states = stepper.begin(1)
    return lambda data: stepper.read(states, data=[data])[0]


def by_predictor(weights=None):
    predict = make_predictor(weights)
    return lambda data: predict([data])[0]


#: All that runs a network with weights: each takes them and returns a function of one word.
USES = [by_step, by_reading, by_predictor]


def values(states):
    return [state.asnumpy() for state in states]


# ---- the same as unroll

def unrolled(case):
    """Outputs and last states of the whole sequence from zeros, the weights, the sequence."""
    data = random_value('data', (BATCH, LENGTH) + case.step)
    outputs, states = quiet(case.make(rnn)).unroll(LENGTH, mx.sym.Variable('data'),
                                                   merge_outputs=True)
    result = run_symbols(outputs, states, {'data': data.shape}, values={'data': data}, train=False,
                         grad=False)
    weights = {name: mx.nd.array(value) for name, value in result.args.items() if name != 'data'}
    return result.outputs, result.states, weights, data


@each_case
def test_steps_and_reading_are_unroll(case):
    outputs, last, weights, data = unrolled(case)
    stepper = rnn.Stepper(quiet(case.make(rnn)), bare, weights)
    begin = states = stepper.begin(BATCH)
    for t in range(LENGTH):
        output, states = stepper.step(states, data=data[:, t])
        assert_close(output.asnumpy(), outputs[:, t])
    assert_close(values(states), last)
    read, states = stepper.read(begin, data=data[:, :LENGTH - 1])
    assert_close(read.asnumpy(), outputs[:, :-1])
    output, states = stepper.step(states, data=data[:, -1])
    assert_close(output.asnumpy(), outputs[:, -1])
    assert_close(values(states), last)


def test_prompts_of_different_lengths():
    stepper = make_stepper()
    words = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [2, 0, 0, 0]])
    _, states = stepper.read(stepper.begin(3), data=words, valid_length=[4, 2, 1])
    for i, length in enumerate((4, 2, 1)):
        _, alone = stepper.read(stepper.begin(1), data=words[i:i + 1, :length])
        assert_close(values(stepper.take(states, [i])), values(alone))


def test_a_graph_of_symbols():
    cell = make_cell()
    begin = cell.begin_state(func=mx.sym.Variable)
    words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=WORDS, output_dim=4, name='embed')
    outputs, states = cell.unroll(2, words, begin, merge_outputs=True)  # two steps at once
    pairs = rnn.Stepper.from_symbols(outputs, begin, states, make_weights())
    stepper = make_stepper()
    _, after = pairs.step(pairs.begin(2), data=[[1, 2], [3, 4]])
    _, again = stepper.step(stepper.begin(2), data=[1, 3])
    _, again = stepper.step(again, data=[2, 4])
    assert_close(values(after), values(again))
    with pytest.raises(ValueError, match='made from a cell'):
        pairs.read(after, data=[[1, 2], [3, 4]])


def test_states_of_symbols_without_shapes_come_from_the_caller():
    before, data = mx.sym.Variable('before'), mx.sym.Variable('data')
    stepper = rnn.Stepper.from_symbols(before * data, [before], [before + data], {})
    with pytest.raises(ValueError, match='before'):
        stepper.begin(2)
    output, states = stepper.step([mx.nd.array([[1.], [2.]])], data=[[3.], [4.]])
    assert output.asnumpy().tolist() == [[3], [8]] and states[0].asnumpy().tolist() == [[4], [6]]


# ---- states and outputs belong to the caller


@each_case
def test_arrays_belong_to_the_caller(case):
    """Further calls change none, nor does writing to one change another."""
    _, _, weights, data = unrolled(case)
    stepper = rnn.Stepper(quiet(case.make(rnn)), bare, weights)
    begin, sequence = stepper.begin(BATCH), mx.nd.array(data[:, 0])
    output, states = stepper.step(begin, data=sequence)
    read, after = stepper.read(begin, data=data)
    arrays = [sequence, output, read, *begin, *states, *after]
    before = values(arrays)
    for t in range(2 * LENGTH):
        _, states = stepper.step(states, data=data[:, t % LENGTH])
    for rows, length in ((BATCH, LENGTH), (1, LENGTH), (BATCH, 2), (BATCH, LENGTH), (1, 1)):
        other, _ = stepper.read(stepper.begin(rows), data=data[:rows, :length] * 2)
        assert other.shape[:2] == (rows, length)
    assert_close(values(arrays), before, 0)
    for i, array in enumerate(arrays):
        array[:] = 100 + i
    for i, array in enumerate(arrays):
        assert (array.asnumpy() == 100 + i).all()


def test_take_reorders_repeats_and_drops():
    stepper = make_stepper()
    _, states = stepper.step(stepper.begin(3), data=[1, 2, 3])
    before = values(states)
    for indices in ([2, 0, 1], [1], [0, 0, 2, 2, 1], np.array([2, 1]), mx.nd.array([0, 2])):
        order = np.asarray(indices if not isinstance(indices, mx.nd.NDArray) else
                           indices.asnumpy()).astype(int)
        taken = stepper.take(states, indices)
        assert_close(values(taken), [each[order] for each in before], 0)
        taken[0][:] = 5  # a copy
        np.testing.assert_array_equal(states[0].asnumpy(), before[0])
    scores, _ = stepper.step(stepper.take(states, [2, 0]), data=[4, 4])
    whole, _ = stepper.step(states, data=[4, 4, 4])
    assert_close(scores.asnumpy(), whole.asnumpy()[[2, 0]])


# ---- what it costs

@pytest.fixture
def binds(monkeypatch):
    """Counts the graphs that MXNet makes ready."""
    made = []

    class Counted(mx.nd.CachedOp):
        __slots__ = ()

        def __init__(self, *args):
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(mx.nd, 'CachedOp', Counted)
    return made


def test_one_bind_for_each_batch_size(binds):
    stepper = make_stepper()
    for _ in range(3):
        for size in (1, 4, 2):
            states = stepper.begin(size)
            for _ in range(5):
                _, states = stepper.step(states, data=[1] * size)
    assert len(binds) == 3


def test_weights_are_shared_not_copied():
    weights = make_weights()
    one, other = (rnn.Stepper(make_cell(), language_model, weights) for _ in range(2))
    before, _ = one.step(one.begin(1), data=[1])
    again, _ = other.step(other.begin(1), data=[1])
    assert_close(before.asnumpy(), again.asnumpy())
    weights['score_bias'][:] += 1  # both see it, at any batch size
    for stepper in (one, other):
        for size in (1, 2):
            after, _ = stepper.step(stepper.begin(size), data=[1] * size)
            assert_close(after.asnumpy()[0], before.asnumpy()[0] + 1)


def test_lengths_at_random_take_the_memory_of_few_others(binds):
    stepper = make_stepper()
    for length in np.random.RandomState(0).randint(1, 9, 300):
        stepper.read(stepper.begin(1), data=[[1] * int(length)])
    made = [bool(flags) for _, flags in binds]
    assert made.count(False) <= 8
    assert 2 <= made.count(True) < 60


# ---- threads, gradients

@pytest.mark.parametrize('use', USES)
def test_a_call_while_another_runs_is_refused(use):
    run, raised = use(), []

    class Slow:
        """Words that make a call while they are being read."""

        def __array__(self, *args, **kwargs):
            with pytest.raises(RuntimeError, match='one call at a time'):
                run([1.])
            raised.append(True)
            return np.array([1.])

        def __len__(self):  # older NumPy takes only sequences as parts of an array
            return 1

        def __getitem__(self, at):
            return [1.][at]

    wanted = run([1.])
    assert_close(run(Slow()), wanted)
    assert raised
    assert_close(run([1.]), wanted)  # it is free again


def test_it_predicts_also_where_gradients_are_recorded():
    cell = stack(rnn, rnn.RNNCell(UNITS), rnn.DropoutCell(0.5))
    weights = weights_of(cell.unroll(1, mx.sym.Variable('data'))[0][0], data=(1, 1, 4))
    stepper = rnn.Stepper(cell, bare, weights)
    data = np.ones((2, 4))
    want, _ = stepper.step(stepper.begin(2), data=data)
    with mx.autograd.record():
        got, _ = stepper.step(stepper.begin(2), data=data)
        assert mx.autograd.is_recording() and mx.autograd.is_training()
    assert_close(got.asnumpy(), want.asnumpy())


# ---- bad input

def test_wrong_arguments_of_the_constructor():
    weights = make_weights()
    cell = make_cell()
    both = rnn.BidirectionalCell(rnn.LSTMCell(2, 'l_'), rnn.LSTMCell(2, 'r_'))
    for arguments, error, words in (
            (('lstm', bare, weights), TypeError, 'cell must be'),
            ((cell, 'network', weights), TypeError, 'network must be callable'),
            ((cell, language_model, weights, 3), TypeError, 'aux_params must be'),
            ((both, bare, {}), NotImplementedError, 'stepped'),
            ((cell, lambda run: mx.sym.Variable('a'), weights), ValueError, 'call its argument'),
            ((cell, lambda run: run(run(mx.sym.Variable('a'))), weights), ValueError, 'once'),
            ((cell, lambda run: run(3), weights), TypeError, 'inputs must be a Symbol'),
            ((cell, lambda run: [run(mx.sym.Variable('a')), 3], weights), TypeError, 'outputs'),
            ((rnn.DropoutCell(0.5), lambda run: [run(mx.sym.Variable('a'))][1:], {}), ValueError,
             'outputs must be a Symbol or a list of Symbols, got none'),
            ((cell, bare, dict(weights, l0_begin_state_0=mx.nd.ones((1, UNITS)))), ValueError,
             'arg_params must have no array with the name of a state, got l0_begin_state_0')):
        with pytest.raises(error, match=words):
            rnn.Stepper(*arguments)
    stepper = rnn.Stepper(cell, language_model, dict(weights, data=mx.nd.ones(1)))
    with pytest.raises(TypeError, match=r'must be none, got data \(arg_params has data\)'):
        stepper.step(stepper.begin(1), data=[1])
    with pytest.raises(TypeError, match='ctx must be'):
        rnn.Stepper(cell, language_model, weights, ctx='cpu')
    with pytest.raises(ValueError, match='as many'):
        rnn.Stepper.from_symbols(mx.sym.Variable('a'), [mx.sym.Variable('b')], [], {})
    with pytest.raises(TypeError, match=r'begin_state\[1\] must be a Symbol'):
        rnn.Stepper.from_symbols(mx.sym.Variable('a'), [mx.sym.Variable('b'), 'c'], [], {})
    with pytest.raises(ValueError, match='different names'):
        two = stack(rnn, rnn.LSTMCell(2, 'a_', params=rnn.RNNParams('p_')),
                    rnn.LSTMCell(2, 'a_', params=rnn.RNNParams('q_')))
        rnn.Stepper(two, bare, {})


@pytest.mark.parametrize('change, error, words', [
    *(({name: None}, rnn.MissingWeightsError if rnn.__name__ == 'mxrnn' else KeyError, name)
      for name in ('l0_i2h_weight', 'l1_h2h_bias', 'embed_weight', 'score_bias')),
    ({'embed_weight': (8, 4)}, ValueError, r'embed_weight must be of shape \(7, 4\), got \(8, 4\)'),
    ({'l0_i2h_weight': (15, 5)}, ValueError,
     r'l0_i2h_weight must be of shape \(20, \?\), got \(15, 5\)'),
    ({'l1_h2h_bias': (20,)}, ValueError, r'l1_h2h_bias must be of shape \(15,\), got \(20,\)'),
    ({'l0_i2h_weight': (20, 9)}, ValueError,
     r'l0_i2h_weight must be of shape \(20, 4\), got \(20, 9\)'),
    ({'l1_h2h_weight': (15, 4), 'score_weight': (7, 4)}, ValueError,
     r'l1_h2h_weight .*\(15, 4\); score_weight .*\(7, 4\)$'),
    (dict.fromkeys(make_weights(), (1, 1)), ValueError,
     'embed_weight must .*; l0_i2h_weight must .* and 3 more')])
def test_weights_that_do_not_fit_are_named(change, error, words):
    """By the constructor, or by the first call if it takes the data to tell."""
    weights = make_weights()
    for name, shape in change.items():
        weights.pop(name) if shape is None else weights.update({name: mx.nd.ones(shape)})
    for use in USES:
        with pytest.raises(error, match=words) as told:
            use(weights)([1])
        assert error is not ValueError or ' must fit the ' in str(told.value)


@pytest.mark.parametrize('change, error, words', [
    (lambda weights: [1], TypeError, 'arg_params must be'),
    (lambda weights: {'a': 1}, TypeError, r"arg_params\['a'\] must be"),
    (lambda weights: {'a': np.array(['b'])}, TypeError, 'a type that MXNet has'),
    (lambda weights: (weights, {}), TypeError, r'arg_params must be a dict .*\(tuple\)'),
    (lambda weights: {'arg:' + name: array for name, array in weights.items()}, ValueError,
     "got 'arg:embed_weight', a name for files"),
    *[(lambda weights, name=name, kind=kind: {**weights, name: weights[name].astype(kind)},
       TypeError, '%s must be of type float32, got %s$' % (name, kind))
      for name in ('embed_weight', 'l0_h2h_weight', 'score_bias')
      for kind in ('float64', 'int32')]])
def test_weights_of_other_kinds_are_named(change, error, words):
    for use in USES:
        with pytest.raises(error, match=words):
            use(change(make_weights()))([1])


def test_weights_in_float16_are_refused_on_a_cpu():
    halves = {name: array.astype('float16') for name, array in make_weights().items()}
    with pytest.raises(TypeError, match=r"float64 on cpu\(0\).* of float16 \(l0_.*astype"):
        rnn.Stepper(make_cell(), language_model, halves)

    def network(run):
        return language_model(lambda words: run(mx.sym.Cast(words, dtype='float32')))

    halves = {name: array if name == 'embed_weight' else array.astype('float32')
              for name, array in halves.items()}
    stepper = rnn.Stepper(make_cell(), network, halves)  # whose operators calculate in float32
    scores, _ = stepper.step(stepper.begin(1), data=[1])
    assert scores.dtype == np.float32


def test_weights_may_be_of_numpy_or_sparse():
    weights = make_weights()
    stepper = rnn.Stepper(make_cell(), language_model, weights)
    want, _ = stepper.step(stepper.begin(2), data=[1, 2])
    for form in (lambda array: array.asnumpy(), lambda array: array.tostype('row_sparse'),
                 lambda array: array.astype('float64').asnumpy()):
        other = rnn.Stepper(make_cell(), language_model, {
            name: form(array) for name, array in weights.items()})
        got, _ = other.step(other.begin(2), data=[1, 2])
        assert_close(got.asnumpy(), want.asnumpy())


def test_inputs_of_other_shapes_and_types_are_named():
    stepper = rnn.Stepper(rnn.LSTMCell(UNITS), bare, weights_of(
        rnn.LSTMCell(UNITS).unroll(1, mx.sym.Variable('data'))[0][0], data=(1, 1, 4)))
    states = stepper.begin(2)
    before = values(states)
    for data, error, words in (
            (np.ones((2, 7)), ValueError, r'got data of shape \(2, 7\), lstm_begin_state_0 of .*; '
             r'lstm_i2h_weight must be of shape \(20, 7\), got \(20, 4\)$'),
            (np.ones(2), ValueError, r'must fit .*got data of shape \(2,\), lstm'),
            (np.ones((3, 4)), ValueError, r'batch size of the states: got data of shape \(3, 4\)'),
            (1, ValueError, r'got data of shape \(\), lstm'),
            (mx.nd.ones((2, 4), dtype='int32'), TypeError, 'must be of type float32, got int32'),
            (mx.nd.ones((2, 4), ctx=mx.cpu(1)), ValueError, r'data must be on cpu\(0\)'),
            (np.ones((2, 4)) * 1j, TypeError, 'data must be an array of numbers')):
        with pytest.raises(error, match=words):
            stepper.step(states, data=data)
    for data, lengths, error, words in (
            (np.ones((2, 3, 7)), None, ValueError, r'lstm_i2h_weight must be .*\(20, 7\), got'),
            (np.ones((3, 3, 4)), None, ValueError, r'must fit .*got data of shape \(3, 3, 4\)'),
            (mx.nd.ones((2, 3, 4), dtype='int32'), None, TypeError, 'data must be of type float32'),
            (np.ones((2, 3, 4)), [1], ValueError, r'must fit .*valid_length of shape \(1,\)'),
            (np.ones((2, 3, 4)), 'ab', TypeError, 'valid_length must be an array of numbers')):
        with pytest.raises(error, match=words):
            stepper.read(states, data=data, valid_length=lengths)
    assert_close(values(states), before, 0)
    stepper.step(states, data=np.ones((2, 4)))


def test_bad_calls_name_what_is_wrong_and_leave_the_states():
    stepper = make_stepper()
    _, states = stepper.step(stepper.begin(2), data=[1, 2])
    before = values(states)
    want, _ = stepper.step(states, data=[3, 4])
    three = stepper.begin(3)
    double = [state.astype('float64') for state in states]
    elsewhere = [state.as_in_context(mx.cpu(1)) for state in states]
    cell = rnn.LSTMCell(UNITS)
    foreign = rnn.Stepper(cell, language_model, make_weights(cell)).begin(2)
    for given, inputs, error, words in (
            (states, {}, TypeError, 'must be data, got none'),
            (states, {'word': [1, 2]}, TypeError, 'must be data, got word'),
            (states, {'data': [1, 2], 'more': [1]}, TypeError, 'got data, more'),
            (states, {'data': ['a', 'b']}, TypeError, 'data must be an array of numbers'),
            (states, {'data': None}, TypeError, 'data must be an array of numbers'),
            (states, {'data': [[1], [2, 3]]}, TypeError, 'data must be an array of numbers'),
            (states, {'data': [1.5, 2]}, ValueError, r'data must be whole numbers, .*\[1.5, 2\]'),
            (states, {'data': [1, 2, 3]}, ValueError, r'got data of shape \(3,\), .* \(2, 5\)'),
            (three, {'data': [1, 2]}, ValueError, r'got data of shape \(2,\), .* \(3, 5\)'),
            (states[:1], {'data': [1, 2]}, ValueError, 'l0_begin_state_0, l0_begin_state_1'),
            ([states[0], three[1], states[2]], {'data': [1, 2]}, ValueError, 'l0_begin_state_1'),
            ([state[:, :3] for state in states], {'data': [1, 2]}, ValueError,
             r'l0_begin_state_0 must have the shape \(2, 5\), got the shape \(2, 3\)'),
            (foreign, {'data': [1, 2]}, ValueError, 'those of this network, .*, got 2 arrays'),
            (double, {'data': [1, 2]}, TypeError,
             'l0_begin_state_0 must be of type float32, got float64'),
            (elsewhere, {'data': [1, 2]}, ValueError, r'l0_begin_state_0 must be on cpu\(0\)'),
            (None, {'data': [1, 2]}, TypeError, 'states must be a list'),
            (before, {'data': [1, 2]}, TypeError, 'l0_begin_state_0 is a ndarray')):
        with pytest.raises(error, match=words):
            stepper.step(given, **inputs)
        got, _ = stepper.step(states, data=[3, 4])
        np.testing.assert_array_equal(got.asnumpy(), want.asnumpy())
        assert_close(values(states), before, 0)
    with pytest.raises(ValueError, match='batch, length'):
        stepper.read(states, data=[1, 2])
    with pytest.raises(ValueError, match=r'states: got data of shape \(1, 2\), l0.* \(2, 5\)'):
        stepper.read(states, data=[[1, 2]])
    for size, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match='batch_size'):
            stepper.begin(size)
    for indices, error in (([0, 2], ValueError), ([-1], ValueError), ([], TypeError),
                           ([0.5], TypeError), ('a', TypeError), ([[0]], TypeError)):
        with pytest.raises(error, match='indices'):
            stepper.take(states, indices)


def test_weights_that_are_all_integers_are_named():
    integers = {name: array.astype('int32') for name, array in make_weights().items()}
    with pytest.raises(TypeError, match='l0_i2h_weight must have a type for real .*int32'):
        rnn.Stepper(make_cell(), language_model, integers)
