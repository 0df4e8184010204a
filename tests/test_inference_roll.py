"""The graphs that the check of exports runs in MXNet: as they are, and rolled up."""
import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure
from mxrnn.interop.prepare.input_shapes import Request
from mxrnn.interop.prepare.lengths import settled

from . import mx, needs_operator, rnn
from .cases import CASES, OURS, each
from .running import flat, named_anew, random_value

pytestmark = [needs_operator, pytest.mark.filterwarnings('ignore:.*time-major')]

if rnn.__name__ != 'mxrnn':
    pytest.skip('of mxrnn alone', allow_module_level=True)

CELLS = [case for case in CASES + OURS if case.binds and not case.fused
         and case.make(rnn).state_info and case.name not in ('own_reset', 'own_in_stack')]


def unrolled(cell, length, **options):
    with mx.name.NameManager():
        outputs, states = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True,
                                      **options)
        return mx.sym.Group([mx.sym.identity(each) for each in [outputs, *flat(states)]])


def model_of(symbol, data):
    """Weights depend on the names alone."""
    shapes = symbol.infer_shape(**{name: array.shape for name, array in data.items()})[0]
    return interop.Model(interop.graph_from_json(symbol.tojson()), {
        name: random_value(name, shape).astype(data['data'].dtype)
        for name, shape in zip(symbol.list_arguments(), shapes) if name not in data}, {})


def run(model, graph=None):
    """A function of data that returns outputs, or what MXNet says of the data."""
    from mxrnn._inference.serve_outputs import _in_mxnet, _predictions
    params = {name: mx.nd.array(array, dtype=array.dtype)
              for name, array in model.arg_params.items()}
    return _in_mxnet(mx, _predictions(graph or model.graph), params)


def data_of(dtype='float32', **shapes):
    return {name: random_value(name, shape).astype(dtype) for name, shape in shapes.items()}


def assert_alike(build, steps, others, data, typed=None, tolerance=2e-6):
    """The graph of so many `steps`, rolled up, gives what those of `others` give."""
    model, given = model_of(build(steps), data(steps)), data(steps)
    found = settled(Request(structure(model.graph).graph, model.arg_params, typed or {}, [*given]))
    rolled = run(model, found.graph)
    for other in others:
        expected, got = run(model_of(build(other), data(other)))(data(other)), rolled(data(other))
        assert not isinstance(got, str), got
        for one, two in zip(expected, got):
            assert one.shape == two.shape
            assert np.abs(one - two).max() <= tolerance * max(1, np.abs(one).max())


@each(CELLS)
def test_outputs_at_another_length(case):
    assert_alike(lambda length: unrolled(case.make(rnn), length), 4, [4, 6],
                 lambda length: data_of(data=(3, length, *case.step)))


@pytest.mark.parametrize('make, tolerance', [
    (lambda: rnn.GRUCell(3), 1e-12), (lambda: rnn.RNNCell(3, activation='relu'), 1e-7)],
    ids=['gru', 'relu'])
def test_float64(make, tolerance):
    """MXNet's relu rounds."""
    assert_alike(lambda length: unrolled(make(), length, dtype='float64'), 4, [4, 6],
                 lambda length: data_of('float64', data=(2, length, 5)), tolerance=tolerance)


def attending(length, weigh):
    """A decoder that weighs five vectors in each step; what it read is a part of its next input."""
    source = mx.sym.SliceChannel(mx.sym.Variable('source'), num_outputs=5, axis=1,
                                 squeeze_axis=True)
    steps = mx.sym.SliceChannel(mx.sym.Variable('data'), num_outputs=length, axis=1,
                                squeeze_axis=True)
    weights = {'weight': mx.sym.Variable('weight'), 'no_bias': True, 'num_hidden': 4}
    read, outputs = mx.sym.Variable('begin'), []
    for step in steps:
        state = mx.sym.FullyConnected(mx.sym.Concat(step, read, dim=1), **weights)
        scores = [mx.sym.sum(state * each, axis=1, keepdims=True) for each in source]
        shares = mx.sym.SliceChannel(weigh(mx.sym.Concat(*scores, dim=1), axis=1), num_outputs=5,
                                     axis=1)
        read = mx.sym.add_n(*[mx.sym.broadcast_mul(*pair) for pair in zip(shares, source)])
        outputs.append(mx.sym.expand_dims(read, axis=1))
    return mx.sym.Concat(*outputs, dim=1)


@pytest.mark.parametrize('weigh', [mx.sym.softmax, mx.sym.log_softmax])
def test_attention_in_a_loop(weigh):
    """Of fewer rows than columns, oneDNN's softmax ends the process there."""
    assert_alike(lambda length: attending(length, weigh), 4, [6], lambda length: data_of(
        data=(2, length, 3), source=(2, 5, 4), begin=(2, 4)))


def frames(codes, width=8, after=lambda rows: rows):
    """A layer over what another computes of each frame."""
    @named_anew
    def build(length):
        data = mx.sym.Reshape(mx.sym.Variable('data'), shape=(-1, width))
        data = mx.sym.FullyConnected(data, num_hidden=width, name='fc')
        steps = after(mx.sym.Reshape(data, shape=codes(length)))
        return rnn.LSTMCell(4, 'a_').unroll(length, steps, merge_outputs=True)[0]
    return build


@pytest.mark.parametrize('width, build', [
    (8, frames(lambda T: (-1, T, 8))), (8, frames(lambda T: (-4, -1, T, 0))),
    (5, frames(lambda T: (-1, T, 5), 5)),
    (8, frames(lambda T: (-1, T, 8), after=lambda rows: mx.sym.broadcast_add(
        rows, mx.sym.Variable('positions', shape=(1, 1, 8)))))],
    ids=['joined', 'split', 'another width', 'positions'])
def test_a_typed_width_leaves_the_batch_of_frames_open(width, build):
    """Only the user can tell that rows are steps of three axes."""
    def data(steps):
        return data_of(data=(3, steps, width))
    assert_alike(build, 8, [8], data, {'data': ('batch', 8, width)})
    for steps in ('time', 20):
        with pytest.raises(interop.ExportError, match=r'reshape1 \(Reshape\) '):
            assert_alike(build, 8, [], data, {'data': ('batch', steps, width)})


def test_what_is_repeated_of_an_open_batch(tmp_path):
    """MXNet does not infer the batch of zeros that a decoder reads in each step, rolled up. Its own
    graph takes other batches."""
    pytest.importorskip('onnxruntime')
    from mxrnn.interop.export_onnx import write_onnx
    with mx.name.NameManager():
        begin = [mx.sym.Variable('data'), mx.sym.zeros((0, 4))]
        symbol = rnn.LSTMCell(4, 'l_').unroll(3, [mx.sym.zeros((0, 3))] * 3, begin,
                                              merge_outputs=True)[0]
    model = model_of(symbol, data_of(data=(2, 4)))
    said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.sizes
    assert said == 'data (3, 4); data (4, 4); data (2, 4)'


@pytest.mark.parametrize('dtype', ['int32', 'float64', 'float32'])
def test_types_of_lengths(dtype):
    assert_alike(lambda steps: unrolled(rnn.LSTMCell(3, 'l_'), steps, layout='TNC',
                                        valid_length=mx.sym.Variable('valid')), 4, [4],
                 lambda steps: {**data_of(data=(steps, 2, 4)), 'valid': np.array([9, 2], dtype)})


def test_the_process_of_checks_without_onednn(monkeypatch):
    """oneDNN's sym.RNN breaks in a program that disables oneDNN."""
    from mxrnn.interop.run import mxnet_process
    monkeypatch.setenv('MXNET_MKLDNN_ENABLED', '0')
    data = data_of(data=(2, 4, 5))
    model = model_of(unrolled(rnn.RNNCell(3), 4), data)
    monkeypatch.setattr(mxnet_process, '_child', mxnet_process._Child())
    found = mxnet_process.of_mxnet()[1](model, structure(model.graph).graph)(data)
    for one, two in zip(run(model)(data), found):
        np.testing.assert_allclose(one, two, atol=1e-6)
