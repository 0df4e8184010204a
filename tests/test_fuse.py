"""fuse: what is fused and how; test_ways.py shows that it computes the same."""
import importlib
import json

import numpy as np
import pytest

from . import differs, mx, needs_operator, rnn
from .comparing import assert_agree, assert_close
from .running import filled, flat, operators, run, run_symbols, stack
from .test_operator import layer

pytestmark = [differs, pytest.mark.filterwarnings('ignore:FusedRNNCell')]

MERGE = (True, False, None)


def test_inputs_at_once_for_cells_that_it_knows():
    class Own(rnn.LSTMPCell):
        pass

    for cell in (Own(4, 2), rnn.ConvLSTMCell((1, 2, 5, 5), 3), rnn.DropoutCell(0.5),
                 rnn.ZoneoutCell(rnn.ResidualCell(rnn.LSTMCell(4)))):
        assert 'inputs at once' not in repr(rnn.fuse(cell, inputs_at_once=True))
    replaced = rnn.LSTMPCell(4, 2)
    replaced._recur_ = lambda *args: None
    assert 'inputs at once' not in repr(rnn.fuse(replaced, inputs_at_once=True))
    again = rnn.fuse(rnn.fuse(rnn.LSTMPCell(4, 2), inputs_at_once=True))
    assert 'inputs at once' in repr(again)
    with pytest.raises(TypeError, match='inputs_at_once must be'):
        rnn.fuse(rnn.LSTMCell(4), inputs_at_once='yes')


def deep(kind, layers, both):
    """Layers of one kind; odd widths, so that nothing fits by chance."""
    return stack(rnn, *[
        rnn.BidirectionalCell(layer(kind, 'l%d_' % i, 5), layer(kind, 'r%d_' % i, 5)) if both
        else layer(kind, 'l%d_' % i, 5) for i in range(layers)])


@pytest.fixture(params=[False, True], ids=['short', 'long'])
def shared(request, monkeypatch):
    """Whether sequences are long enough for alike layers to share an operator."""
    module = importlib.import_module('mxrnn._operator.fuse_layers')
    if request.param and not module.onednn(np.float32):
        pytest.skip('deep operators have wrong gradients in this MXNet')
    monkeypatch.setattr(module, 'SHARED_FROM', 1 if request.param else 1000)
    return request.param


@pytest.mark.parametrize('kind', ['lstm', 'gru', 'tanh', 'relu'])
@pytest.mark.parametrize('both', [False, True])
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('width', [5, 3])
def test_three_layers(kind, both, dtype, width, shared):
    ours = run(rnn.fuse(deep(kind, 3, both)), (width,), 4, 3, dtype=dtype)
    assert_agree(ours, run(deep(kind, 3, both), (width,), 4, 3, dtype=dtype))


@needs_operator
def test_which_layers_share_an_operator(shared):
    cell = rnn.fuse(stack(
        rnn, rnn.LSTMCell(4, 'a_'), stack(rnn, rnn.LSTMCell(4, 'b_')), rnn.LSTMCell(3, 'c_'),
        rnn.GRUCell(3, 'd_'), rnn.DropoutCell(0.2), rnn.GRUCell(3, 'e_'), rnn.RNNCell(3),
        rnn.RNNCell(3, prefix='f_')))
    outputs, _ = cell.unroll(5, mx.sym.Variable('data'), merge_outputs=True)
    nodes = [node for node in json.loads(outputs.tojson())['nodes'] if node['op'] == 'RNN']
    layers = [int(node['attrs']['num_layers']) for node in nodes]
    assert layers == ([2, 1, 1, 1, 1, 1] if shared else [1] * 7)
    assert "sym.RNN('lstm', 4: LSTMCell(4, prefix='a_'), LSTMCell(4, prefix='b_'))" in repr(cell)


@needs_operator
def test_graph_does_not_grow_and_is_transposed_once():
    def graph(length):
        cell = rnn.fuse(stack(rnn, rnn.LSTMCell(4, 'a_'), rnn.DropoutCell(0.2),
                              rnn.ResidualCell(rnn.GRUCell(4, 'b_'))))
        return operators(cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True)[0])

    assert graph(5) == graph(500)
    assert graph(5)['SwapAxis'] == 2


@needs_operator
def test_what_may_compute_something_else_is_not_fused():
    class Own(rnn.LSTMCell):
        def __call__(self, inputs, states):
            output, states = super().__call__(inputs, states)
            return output * 2, states

    replaced = rnn.GRUCell(3)
    replaced._get_activation = lambda inputs, activation, **kwargs: inputs
    other = rnn.RNNCell(3)
    other._activation = 'sigmoid'
    for cell in (Own(3), replaced, other):
        assert 'not fused' in repr(rnn.fuse(cell))
    named = rnn.LSTMCell(3)
    named._activation = 'relu'  # which no LSTM reads
    assert 'not fused' not in repr(rnn.fuse(named))
    for base, args in ((rnn.SequentialRNNCell, []), (rnn.ResidualCell, [rnn.LSTMCell(4)]),
                       (rnn.BidirectionalCell, [rnn.LSTMCell(4), rnn.LSTMCell(4)]),
                       (rnn.GRUCell, [4]), (rnn.DropoutCell, [0.1])):
        cell = type('Mine', (base,), {})(*args)
        assert 'Mine may compute something else' in repr(rnn.fuse(cell))


@needs_operator
def test_a_modifier_or_a_stack_takes_it():
    def build(wrap):
        return stack(rnn, wrap(rnn.LSTMCell(4, 'a_')),
                     rnn.ResidualCell(wrap(stack(rnn, rnn.GRUCell(4, 'b_')))),
                     rnn.ZoneoutCell(wrap(rnn.LSTMCell(4, 'c_'))),
                     rnn.BidirectionalCell(wrap(rnn.LSTMCell(4, 'd_')), rnn.LSTMCell(4, 'e_')))

    for merge in MERGE:
        ours = run(build(rnn.fuse), (4,), merge_outputs=merge)
        assert_agree(ours, run(build(lambda cell: cell), (4,), merge_outputs=merge))
        assert operators(ours.symbol)['RNN'] == 3


@needs_operator
@pytest.mark.parametrize('mode', ['gru', 'rnn_tanh', 'rnn_relu'])
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_a_fused_cell_under_layers_that_are_fused(mode, dtype):
    """Layers of MXNet's own operator overwrote the gradient of their output, which is that of the
    residual connection, too."""
    def build():
        cell = rnn.FusedRNNCell(4, 2, mode, prefix='f_')
        return stack(rnn, rnn.ResidualCell(cell), rnn.LSTMCell(3, 'above_'))

    assert_agree(run(rnn.fuse(build()), (4,), dtype=dtype), run(build(), (4,), dtype=dtype))


@needs_operator
def test_fuse_of_fused_is_fused_as_a_whole(shared):
    cell = rnn.fuse(rnn.fuse(stack(rnn, rnn.fuse(rnn.LSTMCell(3, 'a_')), rnn.LSTMCell(3, 'b_'))))
    assert_agree(run(cell, (4,)),
                 run(stack(rnn, rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(3, 'b_')), (4,)))
    assert repr(cell).count('sym.RNN') == 1 and repr(cell).count('fuse') == 1


def test_channels_of_more_axes_are_flattened():
    data = mx.sym.Variable('data', shape=(2, 3, 2, 2))
    outputs = []
    for wrap in (rnn.fuse, lambda cell: cell):
        output, _ = wrap(rnn.LSTMCell(3)).unroll(3, data, merge_outputs=True)
        outputs.append(filled(output).forward()[0].asnumpy())
    np.testing.assert_allclose(*outputs, atol=1e-6)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_types_that_only_binding_tells(dtype, shared):
    def graph(wrap):
        cell = wrap(lm_cell())
        outputs, states = cell.unroll(4, mx.sym.Variable('data'),
                                      cell.begin_state(func=mx.sym.Variable), merge_outputs=True)
        return run_symbols(outputs, states, {'data': (2, 4, 3)}, dtype=dtype)

    assert_agree(graph(rnn.fuse), graph(lambda cell: cell))


def lm_cell():
    return stack(rnn, rnn.LSTMCell(5, 'l0_'), rnn.LSTMCell(5, 'l1_'),
                 rnn.BidirectionalCell(rnn.GRUCell(4, 'l2_'), rnn.GRUCell(4, 'r2_')))


def test_states_of_one_unroll_begin_the_next(shared):
    def two(cell):
        _, states = cell.unroll(2, mx.sym.Variable('first'), merge_outputs=True)
        outputs, states = cell.unroll(3, mx.sym.Variable('second'), states, merge_outputs=True)
        bound = filled(mx.sym.Group([outputs] + flat(states)), first=(2, 2, 4), second=(2, 3, 4))
        return [each.asnumpy() for each in bound.forward()]

    assert_close(two(rnn.fuse(lm_cell())), two(lm_cell()))
