"""Weights alone: to torch's and Gluon's layers and back, bit for bit."""
import numpy as np
import pytest

import mxrnn
from mxrnn import interop

from .. import mx, rnn
from ..comparing import same
from ..running import random_value
from .models import random_model
from .programs import stack

torch = pytest.importorskip('torch', reason='torch is not installed')

pytestmark = [pytest.mark.skipif(rnn is not mxrnn, reason='cells of mxrnn are meant'),
              pytest.mark.filterwarnings('ignore:.*time-major')]

TORCH = {'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU, 'rnn_tanh': torch.nn.RNN,
         'rnn_relu': torch.nn.RNN}
GLUON = {'lstm': mx.gluon.rnn.LSTM, 'gru': mx.gluon.rnn.GRU, 'rnn_tanh': mx.gluon.rnn.RNN,
         'rnn_relu': mx.gluon.rnn.RNN}
SHAPE = (4, 2, 5)  # length, batch, input


def cells(mode, layers, both):
    """The same layers as one fused cell, as ordinary cells, as fused cells of a layer each."""
    fused = rnn.FusedRNNCell(3, layers, mode, both)
    split = stack(*[each for i in range(layers) for each in (
        rnn.FusedRNNCell(3, 1, mode, both, prefix='f%d_' % i), rnn.DropoutCell(0.))])
    return {'fused': fused, 'ordinary': fused.unfuse(), 'split': split}


def weights(cell):
    """Outputs of the cell, and random weights."""
    outputs, _ = cell.unroll(SHAPE[0], mx.sym.Variable('data'), layout='TNC', merge_outputs=True)
    return outputs, random_model(outputs, {'data': SHAPE}).arg_params


def run(outputs, args, data):
    bound = outputs.simple_bind(mx.cpu(), data=data.shape, grad_req='null')
    for name, value in args.items():
        bound.arg_dict[name][:] = value
    return bound.forward(data=mx.nd.array(data))[0].asnumpy()


each_layer = pytest.mark.parametrize('mode, layers, both', [
    (mode, layers, both) for mode in TORCH for layers in (1, 2, 3) for both in (False, True)])
each_form = pytest.mark.parametrize('form', ['fused', 'ordinary', 'split'])


DATA = random_value('data', SHAPE).astype('float32')


def check_torch(cell, mode, layers, **options):
    """A layer of torch takes the weights of a cell, computes the same, and gives them back; returns
    the layer, the weights and the outputs."""
    outputs, args = weights(cell)
    kind = {'nonlinearity': mode[4:]} if mode.startswith('rnn') else {}
    layer = TORCH[mode](5, num_layers=layers, **{'hidden_size': 3, **kind, **options})
    layer.load_state_dict(interop.torch_state_dict(cell, args))
    want = layer(torch.tensor(DATA))[0].detach().numpy()
    np.testing.assert_allclose(run(outputs, args, DATA), want, atol=1e-6)
    assert same(interop.from_torch_state_dict(cell, layer.state_dict()), args)
    return layer, args, want


@each_form
@each_layer
def test_torch(mode, layers, both, form):
    cell = cells(mode, layers, both)[form]
    layer, args, _ = check_torch(cell, mode, layers, bidirectional=both)
    by_gate = cell.unpack_weights({name: mx.nd.array(value) for name, value in args.items()})
    again = interop.torch_state_dict(cell, by_gate)
    assert all(torch.equal(again[name], value) for name, value in layer.state_dict().items())


def check_gluon(cell, args, layer, folder):
    """A layer of Gluon takes the weights of a cell, under all of its names; from it and from its
    file they come back, bit for bit."""
    layer.initialize()
    given = interop.gluon_params(cell, args)
    parameters = layer.collect_params()
    assert {name[len(layer.prefix):] for name in parameters} == set(given)
    for name, parameter in parameters.items():
        parameter.set_data(mx.nd.array(given[name[len(layer.prefix):]]))
    assert same(interop.from_gluon_params(cell, layer.collect_params()), args)
    layer.save_parameters(str(folder / 'layer'))
    assert same(interop.from_gluon_params(cell, mx.nd.load(str(folder / 'layer'))), args)


@each_form
@each_layer
def test_gluon(mode, layers, both, form, tmp_path):
    cell = cells(mode, layers, both)[form]
    outputs, args = weights(cell)
    kind = {'activation': mode[4:]} if mode.startswith('rnn') else {}
    layer = GLUON[mode](3, layers, bidirectional=both, input_size=5, **kind)
    check_gluon(cell, args, layer, tmp_path)
    np.testing.assert_allclose(layer(mx.nd.array(DATA)).asnumpy(), run(outputs, args, DATA),
                               atol=1e-6)


def test_the_file_of_a_whole_network_of_gluon(tmp_path):
    """Layers of it overwrote each other, and arrays of others were refused."""
    network = mx.gluon.nn.Sequential(prefix='net_')
    with network.name_scope():
        network.add(mx.gluon.rnn.LSTM(3, 2, input_size=5), mx.gluon.rnn.GRU(4, input_size=3),
                    mx.gluon.rnn.GRU(4, input_size=4), mx.gluon.nn.Dense(2, in_units=4))
    network.initialize()
    network.save_parameters(str(tmp_path / 'net'))
    cell, layer = rnn.FusedRNNCell(3, 2, 'lstm'), network[0].collect_params()
    for params in (network.collect_params(), mx.nd.load(str(tmp_path / 'net'))):
        assert same(interop.from_gluon_params(cell, params), interop.from_gluon_params(cell, layer))
        with pytest.raises(ValueError, match="begin with '(1.|net_gru0_)' or '(2.|net_gru1_)'"):
            interop.from_gluon_params(rnn.GRUCell(4), params)
        with pytest.raises(ValueError, match='layer like .*: (0.|net_lstm0_): .*(1.|net_gru0_): '):
            interop.from_gluon_params(rnn.GRUCell(5), params)
        with pytest.raises(ValueError, match='unknown l1_i2h_weight'):  # no layer is left out
            interop.from_gluon_params(rnn.LSTMCell(3), layer)


@pytest.mark.parametrize('more', ['l1_i2h_wieght', '_unfused.1.h2h_bais', 'other_l0_i2h_wieght'])
def test_misspelt_names_of_a_layer_of_gluon(more):
    """They were ignored."""
    cell = rnn.LSTMCell(3)
    given = interop.gluon_params(cell, weights(cell)[1])
    with_others = {**given, 'encoder0_i2h_weight': np.zeros(2), 'dense0_weight': np.zeros(2)}
    assert same(interop.from_gluon_params(cell, with_others), weights(cell)[1])
    own = {name: value for name, value in given.items() if not more.startswith('other')}
    with pytest.raises(ValueError, match='unknown .*(wieght|bais)'):
        interop.from_gluon_params(cell, {**own, more: np.zeros(2)})


def test_names_of_no_layer_of_gluon_are_listed():
    """It said 'unknown none'."""
    with pytest.raises(ValueError, match='missing l0_i2h_weight.*unknown 0.i2h_weight, 0.h2h_bias'):
        interop.from_gluon_params(rnn.LSTMCell(3), {
            '0.i2h_weight': np.zeros((12, 3)), '0.h2h_bias': np.zeros(12)})


@pytest.mark.parametrize('make, why', [
    (lambda: rnn.ZoneoutCell(rnn.LSTMCell(3), .1), 'no layer like ZoneoutCell'),
    (lambda: rnn.ResidualCell(rnn.LSTMCell(3)), 'no layer like ResidualCell'),
    (lambda: rnn.VariationalDropoutCell(rnn.LSTMCell(3), .1), 'like VariationalDropoutCell'),
    (lambda: stack(rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(4, 'b_')), 'lstm of 3 units, 1 direction'),
    (lambda: stack(rnn.LSTMCell(3, 'a_'), rnn.GRUCell(3, 'b_')), 'its layers differ: gru of 3'),
    (lambda: rnn.LSTMCell(3, state_clip=(-1, 1)), 'clips its states'),
    (lambda: rnn.RNNCell(3, 'sigmoid'), "no layer with activation 'sigmoid'"),
    (lambda: rnn.SequentialRNNCell(), 'it has no layers'),
    (lambda: rnn.BidirectionalCell(stack(rnn.LSTMCell(3, 'a_'), rnn.LSTMCell(3, 'b_')),
                                   rnn.LSTMCell(3, 'c_')), 'has several layers'),
    (lambda: rnn.ConvLSTMCell((1, 2, 4, 4), 2), 'no layer like ConvLSTMCell'),
    (lambda: type('Own', (rnn.LSTMCell,), {})(3), 'no layer like Own'),
    (lambda: (lambda params: stack(rnn.LSTMCell(3, 'a_', params), rnn.LSTMCell(3, 'b_', params)))(
        rnn.RNNParams('tied_')), 'share weights')])
def test_what_has_no_counterpart_is_refused(make, why):
    for function in (interop.torch_state_dict, interop.from_torch_state_dict,
                     interop.gluon_params, interop.from_gluon_params):
        with pytest.raises(ValueError, match=why):
            function(make(), {})


def test_arrays_of_another_layer_are_refused():
    cell = rnn.LSTMCell(3)
    with pytest.raises(ValueError, match='unknown weight_hr_l0'):
        interop.from_torch_state_dict(cell, torch.nn.LSTM(5, 3, proj_size=2).state_dict())
    with pytest.raises(ValueError, match='missing bias_ih_l0, bias_hh_l0'):
        interop.from_torch_state_dict(cell, torch.nn.LSTM(5, 3, bias=False).state_dict())
    with pytest.raises(ValueError, match=r'must have the shape \(12, 5\), got \(16, 5\)'):
        interop.from_torch_state_dict(cell, torch.nn.LSTM(5, 4).state_dict())
    with pytest.raises(ValueError, match='unknown weight_ih_l1'):
        interop.from_torch_state_dict(cell, torch.nn.LSTM(5, 3, 2).state_dict())
    with pytest.raises(mxrnn.MissingWeightsError, match='lstm_i2h_i_weight'):
        interop.torch_state_dict(cell, {})
    with pytest.raises(TypeError, match='cell must be a cell'):
        interop.torch_state_dict('cell', {})
    with pytest.raises(TypeError, match='state_dict must be a dict'):
        interop.from_torch_state_dict(cell, [])


@pytest.mark.parametrize('mode', TORCH)
@pytest.mark.parametrize('both', [False, True])
def test_torch_without_biases(mode, both):
    make = {'lstm': rnn.LSTMCell, 'gru': rnn.GRUCell}.get(
        mode, lambda units, **kwargs: rnn.RNNCell(units, mode[4:], **kwargs))
    cell = stack(*[
        rnn.BidirectionalCell(make(3, prefix='l%d_' % i, bias=False),
                              make(3, prefix='r%d_' % i, bias=False)) if both else
        make(3, prefix='l%d_' % i, bias=False) for i in range(2)])
    _, args, want = check_torch(cell, mode, 2, bias=False, bidirectional=both)
    fused, _ = rnn.fuse(cell).unroll(SHAPE[0], mx.sym.Variable('data'), layout='TNC',
                                     merge_outputs=True)
    np.testing.assert_allclose(run(fused, args, DATA), want, atol=1e-6)
    with pytest.raises(ValueError, match="no biases, but all of Gluon's layers"):
        interop.gluon_params(cell, args)
    with pytest.raises(ValueError, match="no biases, but all of Gluon's layers"):
        interop.from_gluon_params(cell, args)
    with pytest.raises(ValueError, match='missing weight_ih_l0, .*unknown none'):
        interop.from_torch_state_dict(cell, {})


@pytest.mark.parametrize('both', [False, True])
@pytest.mark.parametrize('bias', [False, True])
def test_projections(both, bias, tmp_path):
    def make(i):
        left, right = [rnn.LSTMPCell(4, 3, '%s%d_' % (side, i), bias=bias) for side in 'lr']
        return rnn.BidirectionalCell(left, right) if both else left

    cell = stack(make(0), rnn.DropoutCell(0.), make(1))
    _, args, _ = check_torch(cell, 'lstm', 2, hidden_size=4, proj_size=3, bias=bias,
                             bidirectional=both)
    if bias:
        check_gluon(cell, args, mx.gluon.rnn.LSTM(4, 2, projection_size=3, bidirectional=both,
                                                  input_size=5), tmp_path)


@pytest.mark.parametrize('other, why', [
    (lambda: rnn.LSTMCell(3, 'b_', bias=False), 'lstm of 3 units, 1 directions, without biases'),
    (lambda: rnn.LSTMPCell(3, 3, 'b_'), 'lstm of 3 units, 1 directions, projected to 3')])
def test_layers_that_differ_in_their_arrays_are_refused(other, why):
    with pytest.raises(ValueError, match='its layers differ: .*' + why):
        interop.torch_state_dict(stack(rnn.LSTMCell(3, 'a_'), other()), {})
