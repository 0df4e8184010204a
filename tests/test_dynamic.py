"""dynamic_unroll: a loop in the graph; test_ways.py shows that it computes the same."""
import json

import numpy as np
import pytest

from . import cases, differs, mx, rnn
from .comparing import assert_agree
from .running import WAYS, random_value, run, run_symbols, stack, walk

pytestmark = differs

def run_dynamic(cell, *args, **kwargs):
    return run(WAYS['loop'](cell), *args, **kwargs)


@cases.each([case for case in cases.BOUND + cases.OURS if case.binds and not case.loops])
def test_what_cannot_be_stepped_is_refused(case):
    cell = case.make(rnn)
    before = [dict(vars(each)) for each in walk(cell)]
    with pytest.raises(NotImplementedError if not case.can_step else ValueError, match='cell must'):
        rnn.dynamic_unroll(cell, mx.sym.Variable('data'))
    assert [vars(each) for each in walk(cell)] == before


# differences.md: one graph for every length (`foreach` ignores dropout)
def test_dropout_is_drawn_for_each_step_in_training():
    cell = stack(rnn, rnn.RNNCell(50), rnn.DropoutCell(0.3))
    ours = run_dynamic(cell, (4,), 40)
    zero = ours.outputs == 0
    assert abs(zero.mean() - 0.3) < 0.05
    assert (zero[:, 1:] != zero[:, :-1]).any(axis=(0, 2)).all()
    kept = run_dynamic(stack(rnn, rnn.RNNCell(50)), (4,), 40).outputs
    np.testing.assert_allclose(ours.outputs[~zero], kept[~zero] / 0.7, rtol=1e-5)


# differences.md: training after evaluation of a loop (`foreach`)
@pytest.mark.parametrize('grad_req', ['write', 'add'])
@pytest.mark.parametrize('passes', [(False, True), (True, True), (False, True, False, False)],
                         ids=str)
def test_gradients_after_passes_over_other_data(passes, grad_req):
    data = mx.sym.Variable('data')
    cell = rnn.ZoneoutCell(rnn.RNNCell(3, prefix='rnn_'), zoneout_states=1)

    def gradients(outputs, states):
        outputs = mx.sym.BatchNorm(outputs, axis=2, name='norm')
        executor = mx.sym.Group([outputs, *states]).simple_bind(mx.cpu(), data=(2, 4, 5),
                                                                grad_req=grad_req)
        for name, array in {**executor.arg_dict, **executor.grad_dict}.items():
            array[:] = random_value(name, array.shape, 0)
        for i, is_train in enumerate([True, *passes, True]):
            executor.forward(is_train=is_train,
                             data=mx.nd.array(random_value('data', (2, 4, 5), i)))
            if i in (0, len(passes) + 1):
                executor.backward([mx.nd.array(random_value('head', each.shape, 0))
                                   for each in executor.outputs])
        return [executor.grad_dict[name].asnumpy() for name in sorted(executor.grad_dict)] + [
            array.asnumpy() for array in executor.aux_arrays]

    for ours, unrolled in zip(gradients(*rnn.dynamic_unroll(cell, data)),
                              gradients(*cell.unroll(4, data, merge_outputs=True))):
        np.testing.assert_allclose(ours, unrolled, rtol=1e-4, atol=1e-5)


# differences.md: one graph for every length (`foreach` ignores dropout)
def test_graph_is_that_of_one_step_and_serves_every_length():
    cell = stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.DropoutCell(0.2), rnn.GRUCell(2, 'b_'))
    outputs, _ = rnn.dynamic_unroll(cell, mx.sym.Variable('data'))
    assert len(json.loads(outputs.tojson())['nodes']) < 40
    bound = outputs.simple_bind(mx.cpu(), data=(2, 3, 4))
    for length in (3, 7, 2):
        bound = bound.reshape(data=(2, length, 4), allow_up_sizing=True)
        for name, array in bound.arg_dict.items():
            array[:] = random_value(name, array.shape)
        expected = run(cell, (4,), length, train=False)
        np.testing.assert_allclose(bound.forward()[0].asnumpy(), expected.outputs, atol=1e-6)


def test_begin_states_of_one_name_or_twice_the_same():
    cell = rnn.LSTMCell(3)
    data, begin = mx.sym.Variable('data'), [mx.sym.Variable('state')] * 2
    looped, unrolled = (run_symbols(*results, {'data': (2, 4, 5)}) for results in (
        rnn.dynamic_unroll(cell, data, begin), cell.unroll(4, data, begin, merge_outputs=True)))
    assert_agree(looped, unrolled)


class Ignores(rnn.RNNCell):
    """Reads no state."""

    def __call__(self, inputs, states):
        output = mx.sym.FullyConnected(inputs, self._iW, self._iB, num_hidden=3)
        return output, [output]


class Shifted(rnn.RNNCell):
    """Adds a parameter."""

    def __call__(self, inputs, states):
        output, states = super().__call__(inputs, states)
        return output + self.params.get('shift', shape=(2, 3)), states


@pytest.mark.parametrize('kind', [Ignores, Shifted])
def test_cells_of_programs(kind):
    assert_agree(run_dynamic(kind(3), (4,), begin='zeros'), run(kind(3), (4,), begin='zeros'))


class Keeps(rnn.RNNCell):
    last = None

    def __call__(self, inputs, states):
        self.last, states = super().__call__(inputs, states)
        return self.last, states


class Normed(rnn.RNNCell):
    def __call__(self, inputs, states):
        return super().__call__(mx.sym.BatchNorm(inputs, name='bn%d' % self._counter), states)


@pytest.mark.parametrize('kind, said', [(Keeps, 'keeps one as last'), (Normed, 'uses BatchNorm')])
def test_what_a_loop_would_lose_is_refused_by_name(kind, said):
    with pytest.raises(ValueError, match=said):
        rnn.dynamic_unroll(kind(3), mx.sym.Variable('data'))


def test_automatic_names_of_later_layers_do_not_depend_on_what_a_step_makes():
    """The body is built twice; what the first time uses up is given back."""
    class Unnamed(rnn.RNNCell):
        def __call__(self, inputs, states):
            return super().__call__(mx.sym.FullyConnected(inputs, num_hidden=3), states)

    with mx.name.NameManager():
        outputs, _ = rnn.dynamic_unroll(Unnamed(3), mx.sym.Variable('data'))
        assert mx.sym.FullyConnected(outputs, num_hidden=2).name == 'fullyconnected1'
    assert 'fullyconnected0_weight' in outputs.list_arguments()


class Adds(rnn.ModifierCell):
    """Adds a Symbol from outside its states to the output."""

    def __init__(self, base_cell, context, add):
        super().__init__(base_cell)
        self.context, self.add = context, add

    def __call__(self, inputs, states):
        output, states = self.base_cell(inputs, states)
        return self.add(output, self.context), states


# differences.md: one graph for every length (`foreach` ignores dropout)
@pytest.mark.parametrize('context', [
    lambda: mx.sym.Variable('context', shape=(2, 3)),
    lambda: mx.sym.tanh(mx.sym.Variable('context', shape=(2, 3))),
    lambda: mx.sym.split(mx.sym.Variable('context', shape=(2, 6)), num_outputs=2)[1]],
    ids=['variable', 'computed', 'part'])
@pytest.mark.parametrize('add', [
    lambda output, context: output + context,
    lambda output, context: mx.sym.tanh(context + output),
    lambda output, context: (output + context) + context * 2], ids=['plain', 'within', 'twice'])
def test_gradients_of_what_a_step_adds_from_outside(context, add):
    def cell():
        return Adds(rnn.LSTMCell(3), context(), add)
    assert_agree(run_dynamic(cell(), (4,)), run(cell(), (4,)))


def test_what_is_made_outside_a_loop_is_made_once():
    context = mx.sym.Dropout(mx.sym.Variable('context', shape=(2, 3)), p=0.5, name='drop')
    outputs, _ = rnn.dynamic_unroll(Adds(rnn.RNNCell(3), context, lambda a, b: a + b),
                                    mx.sym.Variable('data'))
    names = mx.sym.Group([outputs, context]).get_internals().list_outputs()
    assert names.count('drop_output') == 1
