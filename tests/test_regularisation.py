"""Masks of VariationalDropoutCell and of ZoneoutCell(consistent=True): where they are equal, where
independent, of what rate, and that they are absent at inference."""

import numpy as np
import pytest

from . import differs, mx, rnn
from .running import filled, flat, random_value, stack

pytestmark = differs

LENGTH, BATCH, WIDTH = 5, 40, 50


class Echo(rnn.BaseRNNCell):
    """Gives its input and its state as output, side by side; the state stays as it comes, times
    a Variable."""

    @property
    def state_info(self):
        return [{'shape': (0, WIDTH), '__layout__': 'NC'}]

    def __call__(self, inputs, states):
        return mx.sym.concat(inputs, states[0], dim=1), [mx.sym.ones_like(states[0])]


def forward(outputs, train=True, **values):
    """Run with ones as data, or other `values`."""
    symbol = mx.sym.Group(flat(outputs))
    shapes = {'data': (BATCH, LENGTH, WIDTH), **{k: v.shape for k, v in values.items()}}
    bound = filled(symbol, {'data': 1, **values}, **{  # with gradients, or MXNet drops nothing
        name: shape for name, shape in shapes.items() if name in symbol.list_arguments()})
    mx.random.seed(5)
    return [each.asnumpy() for each in bound.forward(is_train=train)]


def variational(form, layout, **drop):
    """Outputs and states of LENGTH steps as one Symbol, batch first, and the final states."""
    cell = rnn.VariationalDropoutCell(Echo(), **drop)
    data = mx.sym.Variable('data')
    if form == 'steps':
        states = cell.begin_state(func=mx.sym.ones)
        outputs = []
        for step in mx.sym.split(data, num_outputs=LENGTH, axis=1, squeeze_axis=True):
            output, states = cell(step, states)
            outputs.append(output)
        return mx.sym.stack(*outputs, axis=1), states
    if layout == 'TNC':
        data = mx.sym.swapaxes(data, dim1=0, dim2=1)
    if form == 'list':
        data = list(mx.sym.split(data, num_outputs=LENGTH, axis=layout.index('T'),
                                 squeeze_axis=True))
    outputs, states = cell.unroll(LENGTH, data, cell.begin_state(func=mx.sym.ones), layout, True)
    if layout == 'TNC':
        outputs = mx.sym.swapaxes(outputs, dim1=0, dim2=1)
    return outputs, states


FORMS = [('symbol', 'NTC'), ('symbol', 'TNC'), ('list', 'NTC'), ('list', 'TNC'), ('steps', 'NTC')]
each_form = pytest.mark.parametrize('form, layout', FORMS)


@each_form
def test_all_masks_at_once(form, layout):
    graph = variational(form, layout, drop_inputs=0.3, drop_states=0.4, drop_outputs=0.5)
    results, *finals = forward(graph)
    inputs, states = np.split(results, 2, axis=2)
    assert (results == results[:, :1]).all() and (finals[0] == 1).all()
    assert abs((inputs == 0).mean() - (1 - 0.7 * 0.5)) < 0.03
    assert abs((states == 0).mean() - (1 - 0.6 * 0.5)) < 0.03


def test_only_the_first_state_is_dropped():
    cell = rnn.VariationalDropoutCell(rnn.LSTMCell(WIDTH), drop_states=1.0)
    begin = cell.begin_state(func=mx.sym.Variable)
    _, states = cell.unroll(1, [mx.sym.Variable('data')], begin)
    values = {state.name: random_value(state.name, (2, WIDTH)) for state in begin}
    values['data'] = np.zeros((2, 4))
    h, c = forward(states, **values)
    values[begin[0].name] = np.zeros((2, WIDTH))
    plain, _ = rnn.LSTMCell(WIDTH).unroll(1, [mx.sym.Variable('data')], begin)
    np.testing.assert_allclose(h, forward(plain, **values)[0], rtol=1e-6)


def test_refused_arguments():
    both = rnn.BidirectionalCell(rnn.LSTMCell(3, 'l_'), rnn.LSTMCell(3, 'r_'))
    for base in (both, rnn.FusedRNNCell(3), stack(rnn, both)):
        rnn.VariationalDropoutCell(base, 0.5, 0, 0.5)
        with pytest.raises(ValueError, match='base_cell must be a cell that can be stepped'):
            rnn.VariationalDropoutCell(base, drop_states=0.5)
    with pytest.raises(ValueError, match='drop_states_mask'):
        rnn.dynamic_unroll(rnn.VariationalDropoutCell(rnn.LSTMCell(3), 0, 0.5),
                           mx.sym.Variable('data'))


def zoneout(base, **kwargs):
    """Outputs of the first two steps and the states after each, in training, begun with ones."""
    cell = rnn.ZoneoutCell(base, **kwargs)
    states = cell.begin_state(mx.sym.ones)
    results = []
    for i in range(2):
        output, states = cell(mx.sym.Variable('data%d' % i), states)
        results += [output, *states]
    data = random_value('data', (BATCH, WIDTH))
    return forward(results, data0=data, data1=data)


# differences.md: zoneout of an output that is also a state (drawn twice, though one tensor)
def test_consistent_zoneout_is_one_tensor():
    h1, state1, c1, h2, state2, c2 = zoneout(rnn.LSTMCell(WIDTH), zoneout_outputs=0.3,
                                             zoneout_states=0.6, consistent=True)
    assert (h1 == state1).all() and (h2 == state2).all()
    for new, old, rate in ((h1, np.ones_like(h1), 0.3), (h2, h1, 0.3), (c2, c1, 0.6),
                           (c1, np.ones_like(c1), 0.6)):
        assert abs((new == old).mean() - rate) < 0.05
    kept, other = h2 == h1, c2 == c1
    assert abs((kept & other).mean() - 0.3 * 0.6) < 0.05


def test_consistent_zoneout_of_an_output_that_is_no_state():
    h1, state1, h2, state2 = zoneout(rnn.ResidualCell(rnn.GRUCell(WIDTH)), zoneout_outputs=0.3,
                                     zoneout_states=0.6, consistent=True)
    assert abs((h1 == 0).mean() - 0.3) < 0.05 and abs((state1 == 1).mean() - 0.6) < 0.05
    assert abs((state2 == state1).mean() - 0.6) < 0.05


ALL = {
    'dropout': lambda: rnn.DropoutCell(1.0),
    'zoneout': lambda: rnn.ZoneoutCell(rnn.RNNCell(WIDTH), 1.0, 1.0),
    'variational': lambda: rnn.VariationalDropoutCell(rnn.RNNCell(WIDTH), 0, 0, 1.0),
    'variational_steps': lambda: rnn.VariationalDropoutCell(rnn.RNNCell(WIDTH), 0, 0.5, 1.0),
}


# differences.md: `DropoutCell(1)`, `ZoneoutCell(..., 1, 1)` in training
@pytest.mark.parametrize('name, way', [(name, 'unroll') for name in ALL] +
                         [('dropout', 'dynamic'), ('zoneout', 'dynamic')])
def test_probability_of_one(name, way):
    data = mx.sym.Variable('data')
    outputs, states = (rnn.dynamic_unroll(ALL[name](), data) if way == 'dynamic' else
                       ALL[name]().unroll(LENGTH, data, layout='NTC', merge_outputs=True))
    results = forward([outputs, states])
    assert not results[0].any()
    if name == 'zoneout':
        assert not results[1].any()
    plain = forward([outputs, states], False)
    assert np.isfinite(plain[0]).all() and plain[0].all()
