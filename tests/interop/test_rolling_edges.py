"""Graphs at the edge of what may be rolled up."""
from __future__ import annotations

import json

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import roll
from mxrnn.interop import graph_from_json

from .. import mx

torch = pytest.importorskip('torch')


def cell_by_hand(steps, product, width=None):
    """An RNN of tanh without a cell of mx.rnn; returns its states."""
    data = mx.sym.Variable('data')
    state, states = mx.sym.Variable('begin'), []
    weights = {name: mx.sym.Variable(name + '_weight', shape=(5, 0 if name == 'i2h' else 5))
               for name in ('i2h', 'h2h')}
    for step in mx.sym.split(data, num_outputs=steps, axis=1, squeeze_axis=True):
        state = mx.sym.tanh(product(step, weights['i2h']) + product(state, weights['h2h']))
        states.append(state)
    return states


def layer(data, weight):
    return mx.sym.FullyConnected(data, weight, num_hidden=5, no_bias=True)


@pytest.mark.parametrize('join', [
    lambda states: mx.sym.stack(*[mx.sym.sum(each) for each in states], axis=0),
    lambda states: mx.sym.stack(*[mx.sym.sum(each, axis=(0, 1)) for each in states], axis=0),
    lambda states: mx.sym.Concat(*[mx.sym.mean(each) for each in states], dim=0),
    lambda states: mx.sym.Group([mx.sym.sum(each) for each in states])])
def test_where_no_axis_is_left_there_is_one(join):
    """MXNet's sum over all axes has one axis."""
    symbol = join(cell_by_hand(4, layer))
    graph = graph_from_json(symbol.tojson())
    rng = np.random.RandomState(0)
    shapes = dict(data=(2, 4, 3), begin=(2, 5), i2h_weight=(5, 3), h2h_weight=(5, 5))
    arrays = {name: rng.randn(*shape).astype('f') for name, shape in shapes.items()}
    weights = {name: array for name, array in arrays.items() if 'weight' in name}
    found, expected = [
        interop.to_torch(interop.Model(graph, weights, {}), roll=each)(
            **{name: torch.from_numpy(arrays[name]) for name in ('data', 'begin')})
        for each in (True, False)]
    for one, other in zip(*[each if isinstance(each, (list, tuple)) else [each]
                            for each in (found, expected)]):
        assert one.shape == other.shape
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-5, atol=1e-6)


def test_products_of_more_axes_are_no_operator():
    """dot does not flatten what it multiplies, as the operator RNN would."""
    graph = graph_from_json(cell_by_hand(4, mx.sym.dot)[-1].tojson())
    assert [each.kind for each in roll(graph).findings] == ['loop']


@pytest.mark.parametrize('node, message', [
    ({'op': 'elemwise_mul', 'inputs': [[0, 0, 0]]}, 'has 1 inputs, must have at least 2'),
    ({'op': '_copy', 'inputs': []}, 'has 0 inputs, must have at least 1'),
    ({'op': 'SliceChannel', 'attrs': {'num_outputs': '2'}, 'inputs': []}, 'at least 1')])
def test_nodes_without_their_inputs_are_refused(node, message):
    graph = graph_from_json(json.dumps({
        'nodes': [{'op': 'null', 'name': 'data', 'inputs': []}, {'name': 'out', **node}],
        'arg_nodes': [0], 'heads': [[1, 0, 0]]}))
    assert roll(graph).findings == ()
    with pytest.raises(interop.UnsupportedError, match=message):
        interop.to_torch(interop.Model(graph, {}, {}))


def test_outputs_that_are_only_read_count():
    """A graph of 1 KB may refer to output 1,000,000 of an operator that nobody knows."""
    nodes = [{'op': 'null', 'name': 'data', 'inputs': []}]
    for i in range(2):
        nodes.append({'op': 'unknown', 'name': 'a%d' % i, 'inputs': [[0, 0, 0]]})
        nodes.append({'op': '_copy', 'name': 'b%d' % i, 'inputs': [[2 * i + 1, 999999, 0]]})
    with pytest.raises(ValueError, match='its nodes have 2000003 outputs'):
        graph_from_json(json.dumps({'nodes': nodes, 'arg_nodes': [0], 'heads': [[4, 0, 0]]}))


def test_a_version_that_is_no_number():
    text = json.dumps({'nodes': [{'op': 'null', 'name': 'data', 'inputs': []}], 'arg_nodes': [0],
                       'heads': [[0, 0, 0]], 'attrs': {'mxnet_version': ['int', float('inf')]}})
    assert graph_from_json(text).version == 0
