"""One operator over all steps at once gives what it gives step by step, whatever is known of how
many axes its inputs have."""
from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.graph import Entry, output_name
from mxrnn._graph.rolling.lifting import lift
from mxrnn._graph.rolling.ranks import find_ranks
from mxrnn._graph.rolling.values import Values
from mxrnn._graph.rolling.writing import Writer
from mxrnn.interop import graph_from_json

from .. import mx
from ..running import random_value
from .operator_cases import OPS

torch = pytest.importorskip('torch')
S = mx.sym
A, B = S.Variable('a'), S.Variable('b')
STEPS = 3


def values_of(symbol, inputs):
    """Values of its arguments, as one step has them."""
    given = {name: random_value(name, value) if isinstance(value, tuple) else np.asarray(value)
             for name, value in inputs.items()}
    shapes = symbol.infer_shape(**{name: value.shape for name, value in given.items()})[0]
    return {name: given[name] if name in given else random_value(name, shape)
            for name, shape in zip(symbol.list_arguments(), shapes)}


def run(graph, values):
    module = interop.to_torch(interop.Model(graph, {
        name: np.asarray(value, 'f') for name, value in values.items()}, {}), roll=False).eval()
    with torch.no_grad():
        found = module()
    return [found] if isinstance(found, torch.Tensor) else list(found)


def lifted(graph, node, names, moving, ranks):
    """The operator over all steps, if it is known how."""
    write = lift(node, moving, ranks)
    if write is None:
        return None
    writer = Writer()
    entry = write(writer, 'all', [writer.add('', name, {}, []) for name in names])
    return writer.graph([Entry(entry.node, head.output) for head in graph.heads])


@pytest.mark.parametrize('name', OPS)
def test_all_steps_at_once(name):
    symbol = OPS[name].build()
    graph = graph_from_json(symbol.tojson())
    node = graph.nodes[-1]
    if sum(bool(each.op) for each in graph.nodes) > 1 or not node.inputs or graph.auxiliary:
        pytest.skip('it is no operator alone that reads something, or it keeps averages')
    names = [graph.nodes[entry.node].name for entry in node.inputs]
    values = values_of(symbol, OPS[name].inputs)
    ranks = [values[each].ndim for each in names]
    for moving in itertools.product([True, False], repeat=len(names)):
        known = [each for each in (ranks, [None] * len(names))
                 if any(moving) and lifted(graph, node, names, moving, each)]
        if not known:
            continue
        steps = [{each: np.flip(value, range(t % value.ndim)) if moves else value
                  for each, moves, value in zip(names, moving, map(values.get, names))}
                 for t in range(STEPS)]
        expected = [torch.stack(outputs) for outputs in zip(*[run(graph, step) for step in steps])]
        given = {each: np.stack([step[each] for step in steps]) if moves else values[each]
                 for each, moves in zip(names, moving)}
        for each in known:
            for one, other in zip(run(lifted(graph, node, names, moving, each), given), expected):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, equal_nan=True)


RANKS = {
    'sample_multinomial': (lambda: S.sample_multinomial(A), {'a': (3, 4)}),
    'sample_multinomial_shape': (lambda: S.sample_multinomial(A, shape=(2, 5)), {'a': (3, 4)}),
    'sample_normal': (lambda: S.sample_normal(A, B, shape=(2,)), {'a': (3,), 'b': (3,)}),
    'broadcast_like_of_more': (lambda: S.broadcast_like(A, B, lhs_axes=(0,), rhs_axes=(0,)),
                               {'a': (1, 3), 'b': (4, 5, 6)}),
    'batch_dot_of_more': (lambda: S.batch_dot(A, B), {'a': (2, 3, 4, 5), 'b': (2, 3, 5, 6)}),
    'target_shape': (lambda: S.Reshape(A, target_shape=(3, 4, 5)), {'a': (12, 5)}),
    **{name: (op.build, op.inputs) for name, op in OPS.items()}}


@pytest.mark.parametrize('name', RANKS)
def test_ranks_are_those_of_mxnet(name):
    build, inputs = RANKS[name]
    symbol = build()
    shapes = {each: value if isinstance(value, tuple) else np.shape(value)
              for each, value in inputs.items()}
    inner = symbol.get_internals()
    sizes = dict(zip(inner.list_outputs(), inner.infer_shape(**shapes)[1]))
    graph = graph_from_json(symbol.tojson())
    for stated in ({}, sizes):
        nodes = [node if node.op or node.name not in stated else node._replace(
            attrs={'__shape__': str(stated[node.name])}) for node in graph.nodes]
        values = Values(graph._replace(nodes=tuple(nodes)), training=False)
        for value, rank in enumerate(find_ranks(values)):
            node = values.node(value)
            name = output_name(node, values.output(value)) if node.op else node.name
            if name in sizes:  # not all outputs are shown
                assert rank in (None, len(sizes[name]))


@pytest.mark.parametrize('op, attrs, given, expected', [
    ('elemwise_add', {}, [0, 2], [2]), ('Concat', {}, [0, 3], [3]), ('batch_dot', {}, [3, 0], [3]),
    ('broadcast_add', {}, [1, 3], [3]), ('broadcast_add', {}, [0, 3], [None]),
    ('broadcast_like', {}, [2, 3], [2]), ('broadcast_to', {'shape': '(2, 3)'}, [2], [2]),
    ('where', {}, [1, 0, 3], [3]), ('where', {}, [1, 3, 0], [3]),
    ('FullyConnected', {'num_hidden': '2', 'flatten': 'False'}, [3, 2, 1], [3]),
    ('SliceChannel', {'num_outputs': '2'}, [3], [3, 3]), ('expand_dims', {'axis': '0'}, [3], [4]),
    ('dot', {}, [2, 2], [None]), ('unknown', {}, [2], [None]),
    ('BatchNorm', {'output_mean_var': 'True'}, [4, 1, 1, 1, 1], [4, None, None]),
    ('RNN', {'mode': 'gru', 'state_size': '2', 'num_layers': '1', 'state_outputs': 'True'},
     [3, 1, 3], [3, 3])])
def test_ranks_that_follow(op, attrs, given, expected):
    """`given` has 0 for an input that does not state its shape."""
    graph = graph_from_json(json.dumps({
        'nodes': [*[{'op': 'null', 'name': 'v%d' % k, 'inputs': [], 'attrs': {
            '__shape__': str((5,) * rank) if rank else ''}} for k, rank in enumerate(given)],
            {'op': op, 'name': 'node', 'attrs': attrs,
             'inputs': [[k, 0, 0] for k in range(len(given))]}],
        'arg_nodes': list(range(len(given))), 'heads': [[len(given), 0, 0]]}))
    values = Values(graph, training=False)
    assert find_ranks(values) == [*[rank or None for rank in given], *expected]


def test_loops_have_outputs_of_any_rank():
    outputs, _ = mx.sym.contrib.foreach(lambda x, states: (S.sum(x, axis=0), states), A, [B])
    symbol = mx.sym.Group([outputs])
    graph = graph_from_json(symbol.tojson())
    nodes = [node._replace(attrs={'__shape__': '(3, 4, 5)'}) if node.is_variable else node
             for node in graph.nodes]
    values = Values(graph._replace(nodes=tuple(nodes)), training=False)
    assert set(find_ranks(values)[2:]) == {None}
