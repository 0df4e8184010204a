"""Weights between fused and unfused cells, by packing and by checkpoints."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from . import differs, mx, rnn
from .cases import BOUND, each_bound
from .comparing import same
from .running import inputs, random_value, run, stack

GATES = {'RNNCell': ('',), 'LSTMCell': ('_i', '_f', '_c', '_o'), 'GRUCell': ('_r', '_z', '_o')}


def weights(cell, step=(4,), **kwargs):
    """Random values for the arguments of the cell's graph."""
    return {name: mx.nd.array(array, dtype=array.dtype)
            for name, array in run(cell, step, train=False, **kwargs).args.items()
            if name != 'data'}


@pytest.mark.parametrize('name', GATES)
def test_gates_lie_in_rows(name):
    cell = getattr(rnn, name)(3, prefix='x_')
    args = weights(cell)
    unpacked = cell.unpack_weights(args)
    assert len(unpacked) == 4 * len(GATES[name])
    for group, kind in itertools.product(('i2h', 'h2h'), ('weight', 'bias')):
        for row, gate in enumerate(GATES[name]):
            rows = args['x_%s_%s' % (group, kind)][3 * row:3 * row + 3]
            found = unpacked['x_%s%s_%s' % (group, gate, kind)]
            assert (found.asnumpy() == rows.asnumpy()).all()
    assert same(cell.pack_weights(unpacked), args)


@pytest.mark.parametrize('name', GATES)
def test_other_parameters_pass_and_arguments_stay_as_they_are(name):
    cell = getattr(rnn, name)(3, prefix='x_')
    args = {**weights(cell), 'fc_weight': mx.nd.ones((2, 3))}
    before = {key: array.copy() for key, array in args.items()}
    unpacked = cell.unpack_weights(args)
    assert same(args, before)
    assert unpacked['fc_weight'] is args['fc_weight']
    unpacked['x_i2h%s_weight' % GATES[name][0]][:] = 0  # a copy
    assert same(args, before)


@differs
def test_what_is_missing_is_named_with_its_shape():
    with pytest.raises(KeyError, match=r'x_i2h_weight of shape \(12, \.\.\.\), x_i2h_bias'):
        rnn.LSTMCell(3, 'x_').unpack_weights({'fc_weight': mx.nd.ones((2, 3))})


def test_types_survive_packing():
    for cell in (rnn.LSTMCell(3, 'x_'), rnn.FusedRNNCell(3, 2, prefix='x_')):
        args = {name: array.astype('float64') for name, array in weights(cell).items()}
        unpacked = cell.unpack_weights(args)
        assert {array.dtype for array in unpacked.values()} == {np.float64}
        assert same(cell.pack_weights(unpacked), args)


FUSED = [(mode, layers, both) for mode in ('rnn_tanh', 'rnn_relu', 'lstm', 'gru')
         for layers in (1, 2, 3) for both in (False, True)]


@pytest.mark.parametrize('mode, layers, bidirectional', FUSED)
def test_checkpoints_serve_both_kinds_of_cell(mode, layers, bidirectional, tmp_path):
    fused = rnn.FusedRNNCell(3, layers, mode, bidirectional, prefix='x_')
    unfused = fused.unfuse()
    whole = run(fused, (4,), train=False)
    prefix = str(tmp_path / 'model')
    outputs, _ = fused.unroll(3, inputs('symbol', 3), merge_outputs=True)
    args = {name: mx.nd.array(array) for name, array in whole.args.items() if name != 'data'}
    rnn.save_rnn_checkpoint(fused, prefix, 1, outputs, args, {})
    _, loaded, aux = rnn.load_rnn_checkpoint(unfused, prefix, 1)
    assert aux == {}
    values = {**{name: array.asnumpy() for name, array in loaded.items()},
              'data': whole.args['data']}
    found = run(unfused, (4,), train=False, values=values)
    assert set(found.args) == set(values)
    assert_allclose(found.outputs, whole.outputs, rtol=1e-5, atol=1e-6)
    rnn.save_rnn_checkpoint([unfused], prefix, 2, outputs, loaded, {})
    symbol, back, _ = rnn.load_rnn_checkpoint([fused], prefix, 2)
    assert same(back, args)
    assert symbol.tojson() == outputs.tojson()


def test_checkpoint_of_several_cells_and_other_layers(tmp_path):
    encoder = rnn.FusedRNNCell(3, 1, 'gru', prefix='encoder_')
    decoder = stack(rnn, rnn.LSTMCell(3, 'decoder_'), rnn.ResidualCell(rnn.RNNCell(3)))
    args = {**weights(encoder), **weights(decoder, (3,)), 'fc_weight': mx.nd.ones((2, 3)),
            'norm_gamma': mx.nd.ones(3), 'norm_beta': mx.nd.ones(3)}
    aux = {'norm_moving_mean': mx.nd.arange(3), 'norm_moving_var': mx.nd.ones(3)}
    outputs, _ = encoder.unroll(2, mx.sym.Variable('data'))
    outputs, _ = decoder.unroll(2, outputs)
    outputs = mx.sym.BatchNorm(outputs[-1], name='norm')
    symbol = mx.sym.FullyConnected(outputs, num_hidden=2, no_bias=True, name='fc')
    prefix = str(tmp_path / 'model')
    rnn.save_rnn_checkpoint([encoder, decoder], prefix, 3, symbol, args, aux)
    saved = mx.nd.load(prefix + '-0003.params')
    assert 'arg:encoder_l0_i2h_r_weight' in saved and 'arg:decoder_i2h_f_bias' in saved
    assert 'arg:encoder_parameters' not in saved and 'aux:norm_moving_mean' in saved
    _, loaded, loaded_aux = rnn.load_rnn_checkpoint([encoder, decoder], prefix, 3)
    assert same(loaded, args) and same(loaded_aux, aux)
    _, loaded, _ = rnn.load_rnn_checkpoint([encoder.unfuse(), decoder], prefix, 3)
    assert loaded['encoder_l0_i2h_weight'].shape == (9, 4)


@pytest.mark.parametrize('period', [1, 2, 3])
def test_callback_writes_every_period(period, tmp_path):
    cell = rnn.FusedRNNCell(3, prefix='x_')
    outputs, _ = cell.unroll(3, inputs('symbol', 3), merge_outputs=True)
    save = rnn.do_rnn_checkpoint(cell, str(tmp_path / 'model'), period)
    for epoch in range(6):
        save(epoch, outputs, weights(cell), {})
    assert sorted(path.name for path in tmp_path.glob('*.params')) == [
        'model-%04d.params' % epoch for epoch in range(1, 7) if epoch % period == 0]


#: Cells whose weights do not lie under the names that the cell's prefix leads to expect.
NOT_PACKED = {'rnn_positional', 'lstm_positional', 'gru_positional', 'fused_positional',
              'shared_with_another', 'stack_shared', 'both_shared', 'conv_shared'}


@pytest.mark.parametrize('case', [case for case in BOUND if case.name not in NOT_PACKED], ids=str)
def test_packing_is_the_inverse_of_unpacking(case):
    args = weights(case.make(rnn), case.step)
    cell = case.make(rnn)
    assert same(cell.pack_weights(cell.unpack_weights(args)), args)


@each_bound
def test_weights_of_one_layout_serve_the_other(case):
    """A model may be trained with TNC and used with NTC: arguments have the same shapes."""
    shapes = [{name: array.shape for name, array in run(
        case.make(rnn), case.step, 2, 3, layout=layout, grad=False, train=False).args.items()
        if name != 'data'} for layout in ('NTC', 'TNC')]
    assert shapes[0] == shapes[1]


def test_unpacked_vector_is_where_the_unfused_cells_look():
    cell = rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='x_')
    size = weights(cell)['x_parameters'].size
    vector = random_value('vector', (size,))
    separate = cell.unfuse().pack_weights(cell.unpack_weights({'x_parameters':
                                                               mx.nd.array(vector)}))
    outputs, _ = cell.unfuse().unroll(2, inputs('symbol', 2), merge_outputs=True)
    assert set(separate) == set(outputs.list_arguments()) - {'data'}


@differs
@pytest.mark.parametrize('name', GATES)
def test_weights_under_another_prefix_are_said_to_be_so(name):
    args = {**weights(getattr(rnn, name)(3, prefix='theirs_')), 'fc_weight': mx.nd.ones((2, 2))}
    cell = getattr(rnn, name)(3, prefix='ours_')
    for method, given in (('unpack_weights', args),
                          ('pack_weights', getattr(rnn, name)(3, prefix='theirs_').unpack_weights(
                              args))):
        with pytest.raises(KeyError, match="begin with 'theirs_', but the prefix of the cell "
                                           "is 'ours_': make it with prefix='theirs_'"):
            getattr(cell, method)(given)


@differs
def test_weights_of_another_kind_under_the_same_prefix_are_listed():
    args = {'x_i2h_r_weight': mx.nd.ones((3, 4)), 'x_h2h_z_bias': mx.nd.ones((3,))}
    with pytest.raises(KeyError, match='x_i2h_i_weight of shape .*there are: x_h2h_z_bias'
                       ) as error:
        rnn.LSTMCell(3, prefix='x_').pack_weights(args)
    assert 'but the prefix' not in str(error.value)
