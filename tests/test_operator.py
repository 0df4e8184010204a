"""Faults of sym.RNN, which it does not have through `fuse` and FusedRNNCell: each against the cells
that go step by step, or said."""
import json
import re
from pathlib import Path

import numpy as np
import pytest

from . import differs, mx, needs_operator, ours, rnn
from .comparing import assert_close
from .processes import python
from .running import filled, flat, inputs, random_value, stack

pytestmark = [differs, pytest.mark.filterwarnings('ignore:FusedRNNCell', 'ignore:MXNet.s own')]

DATA = mx.sym.Variable('data')
LENGTHS = mx.sym.Variable('lengths')

each_dtype = pytest.mark.parametrize('dtype', ['float32', 'float64'])
each_kind = pytest.mark.parametrize('kind', ['lstm', 'gru', 'tanh', 'relu'])
each_layout = pytest.mark.parametrize('layout', ['NTC', 'TNC'])


def layer(kind, prefix, units=4):
    return {'lstm': lambda: rnn.LSTMCell(units, prefix), 'gru': lambda: rnn.GRUCell(units, prefix),
            'tanh': lambda: rnn.RNNCell(units, 'tanh', prefix),
            'relu': lambda: rnn.RNNCell(units, 'relu', prefix)}[kind]()


def plain(cell):
    return cell


def fuse(cell):
    fused = rnn.fuse(cell)
    if 'MXNET_MKLDNN_ENABLED=0 breaks' in repr(fused):
        pytest.skip('fuse fuses nothing here, and says so')
    assert 'sym.RNN(' in repr(fused)
    return fused


def gradients(symbol, shapes, dtype='float32', frozen='$', req='write', values=None):
    """Outputs and gradients of `symbol`; arguments that match `frozen` get none."""
    names = symbol.list_arguments()
    bound = filled(
        symbol, values or {}, type_dict={name: dtype for name in names if name != 'lengths'},
        grad_req={name: 'null' if re.match(frozen, name) or name == 'lengths' else req
                  for name in names}, **shapes)
    found = {}
    for array in bound.grad_dict.values():
        if array is not None:
            array[:] = 1
    for i, output in enumerate(bound.forward(is_train=True)):
        found['output %d' % i] = output.asnumpy()
    bound.backward([mx.nd.array(random_value('head %d' % i, output.shape), dtype=dtype)
                    for i, output in enumerate(bound.outputs)])
    found.update((name, array.asnumpy()) for name, array in bound.grad_dict.items()
                 if array is not None)
    return found


def unrolled(cell, length=3, dtype='float32', **kwargs):
    """Outputs and states as one Symbol, each of them a node of its own."""
    outputs, states = cell.unroll(length, DATA, cell.begin_state(dtype=dtype), merge_outputs=True,
                                  **kwargs)
    return mx.sym.Group([mx.sym.identity(each) for each in [outputs, *flat(states)]])


# Gradients


@each_kind
@each_layout
@pytest.mark.parametrize('lengths', [False, True])
@pytest.mark.parametrize('merge', [None, 'concat', 'mean'])
def test_float64_is_not_rounded(kind, layout, lengths, merge):
    def found(wrap):
        cell = layer(kind, 'a_')
        if merge:
            cell = rnn.BidirectionalCell(cell, layer(kind, 'b_'), merge=merge)
        symbol = unrolled(wrap(stack(rnn, cell, layer(kind, 'c_'))), dtype='float64', layout=layout,
                          **({'valid_length': LENGTHS} if lengths else {}))
        return gradients(symbol, {'data': (3, 3, 5), 'lengths': (3,)}, 'float64',
                         values={'lengths': [3, 0, 2]})

    assert_close(found(fuse), found(plain), 1e-12)


@each_kind
@each_dtype
@each_layout
def test_gradients_that_are_added(kind, dtype, layout):
    def found(wrap):
        symbol = unrolled(wrap(layer(kind, 'a_')), dtype=dtype, layout=layout)
        return gradients(symbol, {'data': (3, 3, 5)}, dtype, req='add')

    assert_close(found(fuse), found(plain))


@each_dtype
@pytest.mark.parametrize('wrap', ['fuse', 'fused', 'fused with states', 'both directions'])
def test_relu_that_would_grow_over_padding(wrap, dtype):
    """Twice as large in each step: infinite long before step 200, if padding were read."""
    values = {'data': np.ones((2, 200, 2)), 'lengths': [3, 5]}

    def weights(prefix):
        return {prefix + 'i2h_weight': np.eye(2), prefix + 'h2h_weight': 2 * np.eye(2),
                prefix + 'i2h_bias': np.zeros(2), prefix + 'h2h_bias': np.zeros(2)}

    prefixes = ['l0_', 'r0_'] if wrap == 'both directions' else ['l0_']
    for prefix in prefixes:
        values.update(weights(prefix))
    fused = rnn.FusedRNNCell(2, 1, 'rnn_relu', len(prefixes) == 2, prefix='',
                             get_next_state=wrap != 'fused')
    values['parameters'] = fused.pack_weights({
        name: mx.nd.array(value) for name, value in values.items() if name[1:3] == '0_'}
    )['parameters'].asnumpy()
    want, got = (gradients(unrolled(cell, 200, dtype, valid_length=LENGTHS)[0],
                           {'data': (2, 200, 2), 'lengths': (2,)}, dtype, values=values)
                 for cell in (fused.unfuse(), fuse(fused.unfuse()) if wrap == 'fuse' else fused))
    if 'parameters' in got:
        got.update((name, value.asnumpy()) for name, value in fused.unpack_weights(
            {'parameters': mx.nd.array(got.pop('parameters') - 1)}).items())
        for name in got:
            if name[1:3] == '0_':
                got[name] += 1
    assert all(np.isfinite(value).all() for value in got.values())
    assert_close(got, want)


@needs_operator
def test_the_last_step_of_a_sequence_without_steps_is_not_picked():
    """SequenceLast reads before the array for a length of 0."""
    nodes = json.loads(unrolled(rnn.fuse(rnn.GRUCell(3)), valid_length=LENGTHS).tojson())['nodes']
    picks = [node for node in nodes if node['op'] == 'SequenceLast']
    lengths = [nodes[node['inputs'][1][0]] for node in picks]
    assert [(node['op'], float(node['attrs']['scalar'])) for node in lengths] == [
        ('_maximum_scalar', 1)]


# The number of steps

def longer(cell, layout, shape=None):
    data = mx.sym.Variable('data', shape=shape)
    return cell.unroll(5, data, layout=layout, merge_outputs=True)[0]


# differences.md: `FusedRNNCell.unroll(5, …)` of 3 steps
@each_layout
@pytest.mark.parametrize('steps', [3, 10])
def test_more_steps_than_the_data_has(layout, steps):
    shape = (2, steps, 4) if layout == 'NTC' else (steps, 2, 4)
    stacked = stack(rnn, rnn.DropoutCell(0.1), rnn.LSTMCell(3, 'a_'), rnn.GRUCell(3, 'b_'))
    for cell in (rnn.fuse(rnn.LSTMCell(3)), rnn.fuse(stacked)):
        with pytest.raises(mx.base.MXNetError):
            longer(cell, layout).infer_shape(data=shape)
        fits = tuple(5 if n == steps else n for n in shape)
        assert longer(cell, layout).infer_shape(data=fits)[1] == [fits[:2] + (3,)]
    for cell in (rnn.fuse(rnn.LSTMCell(3)), rnn.fuse(stacked), rnn.FusedRNNCell(3)):
        with pytest.raises(ValueError, match=r'length must be the number of steps of inputs: '
                                             r'their shape .* has %d.*got 5' % steps):
            longer(cell, layout, shape)


# The environment

@ours
@pytest.mark.skipif(mx.__version__ < '1.7', reason='oneDNN has no sym.RNN in this MXNet')
@pytest.mark.parametrize('off, program', [
    ('MXNET_USE_MKLDNN_RNN', ['-m', 'pytest', '-q', '-k', 'three_layers and float32',  # of float64
                              'tests/test_fuse.py']),  # there is no other operator anyway
    ('MXNET_MKLDNN_ENABLED', ['-c', 'import mxrnn as rnn\n'
                              'assert "[not fused: MXNET_MKLDNN_ENABLED=0" in repr('
                              'rnn.fuse(rnn.LSTMCell(3)))'])])
def test_fuse_without_onednn(off, program, monkeypatch):
    """MXNet's own operator gives the same, or fuse says why it does not take it."""
    for name in ('MXNET_USE_MKLDNN_RNN', 'MXNET_MKLDNN_ENABLED'):
        monkeypatch.delenv(name, raising=False)
    done = python(*program, folder=Path(__file__).resolve().parents[1], **{off: '0'})
    assert done.returncode == 0, done.stdout + done.stderr


# Forms, names, states

def test_forms_where_merging_is_left_open():
    def form(nested):
        return 'Symbol' if isinstance(nested, mx.sym.Symbol) else [form(each) for each in nested]

    def cells():
        own = rnn.LSTMCell
        return [stack(rnn, own(4, 'a_'), rnn.ResidualCell(rnn.DropoutCell(0.3))),
                stack(rnn, own(4, 'a_'), rnn.ResidualCell(stack(rnn))),
                stack(rnn, own(4, 'a_'), rnn.VariationalDropoutCell(rnn.DropoutCell(0.3))),
                stack(rnn, own(4, 'a_'), rnn.VariationalDropoutCell(rnn.DropoutCell(0.3), 0.2)),
                stack(rnn, own(4, 'a_'), rnn.VariationalDropoutCell(
                    rnn.DropoutCell(0.3), drop_outputs=0.2)),
                stack(rnn, own(4, 'a_'), rnn.ZoneoutCell(rnn.GRUCell(4), 0.2)),
                stack(rnn, own(4, 'a_'), rnn.FusedRNNCell(4), rnn.DropoutCell(0.1)),
                stack(rnn, own(4, 'a_'), rnn.BidirectionalCell(rnn.DropoutCell(0.1),
                                                               rnn.DropoutCell(0.1))),
                stack(rnn, rnn.BidirectionalCell(own(4, 'l_'), rnn.GRUCell(3)))]

    for one, other in zip(cells(), cells()):
        for kind in ('symbol', 'list'):
            ours, _ = fuse(one).unroll(3, inputs(kind, 3))
            theirs, _ = other.unroll(3, inputs(kind, 3))
            assert form(ours) == form(theirs), one


# differences.md: states of a `FusedRNNCell` without `get_next_state=True`, fed back
def test_states_that_were_not_asked_for_name_the_argument():
    cell = rnn.FusedRNNCell(3)
    _, states = cell.unroll(2, DATA)
    with pytest.raises(ValueError, match='must be 2 Symbols.* got 0.*get_next_state=True'):
        cell.unroll(2, DATA, states)
    stacked = stack(rnn, rnn.LSTMCell(3, 'a_'), cell)
    _, states = stacked.unroll(2, DATA)
    with pytest.raises(ValueError, match='must be 4 Symbols.* got 2.*get_next_state=True'):
        stacked.unroll(2, DATA, states)
    with pytest.raises(ValueError) as other:
        rnn.LSTMCell(3).unroll(2, DATA, [])
    assert 'get_next_state' not in str(other.value)


# What is fused

def test_the_width_behind_a_cell_that_is_not_fused():
    """It is not that in front of the cell, nor is it known."""
    def found(wrap):
        cell = wrap(stack(rnn, rnn.LSTMCell(4, 'a_'), rnn.ZoneoutCell(rnn.GRUCell(3, 'b_')),
                          rnn.LSTMCell(5, 'c_'), rnn.DropoutCell(0.), rnn.LSTMCell(2, 'd_')))
        return gradients(unrolled(cell), {'data': (2, 3, 6)})

    assert_close(found(fuse), found(plain))


# differences.md: `FusedRNNCell._slice_weights` of a vector of another size
def test_the_vector_of_another_size_is_not_sliced():
    with pytest.raises(ValueError, match='arr must have 136 elements .*got 141'):
        rnn.FusedRNNCell(4, 1, 'rnn_tanh', True)._slice_weights(mx.nd.zeros((141,)), 11, 4)
