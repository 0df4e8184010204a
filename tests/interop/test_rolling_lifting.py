"""One operator over all steps at once gives what it gives step by step, whatever is known of how
many axes its inputs have."""
from __future__ import annotations

import itertools

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
