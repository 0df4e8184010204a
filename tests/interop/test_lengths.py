"""A number of steps that stands in a graph becomes an axis where the user or a second graph says
that it is one."""
from __future__ import annotations

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from .onnx_runs import bound, session
from .test_commands import command

WIDTH, UNITS, CLASSES = 5, 6, 4


def tagger(length, units=UNITS):
    """An old program: what it reshapes to says how many steps there are."""
    cell = rnn.SequentialRNNCell()
    cell.add(rnn.LSTMCell(units, 'lstm_'))
    cell.add(rnn.GRUCell(units, 'gru_'))
    outputs, _ = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True)
    scores = mx.sym.FullyConnected(mx.sym.Reshape(outputs, shape=(-1, units)),
                                   num_hidden=CLASSES, name='scores')
    return mx.sym.Reshape(scores, shape=(-1, length, CLASSES), name='steps')


@pytest.fixture
def model():
    symbol = tagger(7)
    arrays = bound(symbol, {'data': (3, 7, WIDTH)}, {}, {}).arg_dict
    return interop.Model(interop.graph_from_json(symbol.tojson()), {
        name: array.asnumpy() for name, array in arrays.items() if name != 'data'}, {})


def graph(length, units=UNITS):
    return interop.graph_from_json(tagger(length, units).tojson())


@pytest.mark.parametrize('options', [
    {'inputs': {'data': ('batch', 'time:7', WIDTH)}}, {'certify_by': graph(11)}])
def test_any_length(model, options, tmp_path):
    path = str(tmp_path / 'model.onnx')
    interop.to_onnx(model, path, **options)
    with open(path, 'rb') as file:
        serving = session(file.read())
    for batch, length in ((3, 7), (2, 4), (1, 12)):
        data = np.random.RandomState(length).randn(batch, length, WIDTH).astype('f')
        executor = bound(tagger(length), {'data': data.shape}, model.arg_params, {'data': data})
        expected = executor.forward(is_train=False)[0].asnumpy()
        found, = serving.run(None, {'data': data})
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize('options, message', [
    ({'inputs': {'data': ('batch', 'time:8', WIDTH)}}, 'unrolled for: 7, got 8'),
    ({'inputs': {'data': ('batch', 'time:', WIDTH)}}, "like 'time:35', got 'time:'"),
    ({'inputs': {'data': ('batch:3', 'time:7', WIDTH)}}, r'one number of steps, got \[3, 7\]'),
    ({'inputs': {'data': ('batch', 'time:7', WIDTH)}, 'roll': False}, 'roll=False'),
    ({'certify_by': graph(7)}, 'another number of steps, got 7 and 7'),
    ({'certify_by': graph(9, units=3)}, 'the same program')])
def test_what_is_no_number_of_steps_is_refused(model, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        interop.to_onnx(model, str(tmp_path / 'model.onnx'), **options)
    assert not list(tmp_path.iterdir())


def test_the_command(model, tmp_path, capsys):
    prefix, other = str(tmp_path / 'model'), str(tmp_path / 'other-symbol.json')
    interop.save(model, prefix, 1)
    tagger(11).save(other)
    for options in (('--input', 'data=batch,time:7,5'), ('--certify', other)):
        assert command('export', prefix, '--onnx', tmp_path / 'model.onnx', *options) == 0
        assert 'data=batch,' in capsys.readouterr().out
    assert command('export', prefix, '--onnx', tmp_path / 'model.onnx', '--certify', prefix) == 2
    assert 'model' in capsys.readouterr().err
