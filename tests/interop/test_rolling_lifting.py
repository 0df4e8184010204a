"""One operator over all steps at once gives what it gives step by step, whatever is known of how
many axes its inputs have."""
import itertools

import numpy as np
import pytest

from mxrnn._graph.graph import Entry, Graph
from mxrnn._graph.graph_editing import Writer
from mxrnn._graph.rolling import RolledGraph
from mxrnn._graph.rolling.batching_rules import lift
from mxrnn._runtime.symbol_graph import json_of
from mxrnn.interop import graph_from_json, graph_to_json

from ..running import random_value
from .compare import assert_equal, bind
from .models import S, V
from .operator_cases import OPS, Op, each_name
from .rolling import run_rolled

A, B = V('a'), V('b')
STEPS = 2

#: Operators on inputs that the list for exports does not have.
FURTHER = {
    'broadcast_row': Op(lambda: S.broadcast_add(A, B), a=(3, 4), b=(4,)),
    'sum_all_keep': Op(lambda: S.sum(A, keepdims=True), a=(3, 4)),
    'sum_row': Op(lambda: S.sum(A, axis=0), a=(4,)),
    'SoftmaxActivation_row': Op(lambda: S.SoftmaxActivation(A), a=(4,)),
}
#: Which inputs may differ by step where an operator is done at once, if it is known how many axes
#: they have; 'r': where it is not known, too.
AT_ONCE = {
    'LeakyReLU_elu': 'a r', 'prelu': '', 'elemwise_add': 'a b ab r',
    'add_n': 'a b c ab ac bc abc r',
    'broadcast_add': 'a b ab', 'broadcast_row': 'a', 'where': 'a b c ab ac bc abc',
    'where_column': 'a b c ab ac bc abc', 'where_rows': '', 'softmax': 'a r',
    'softmax_length': '', 'transpose': '',
    'transpose_axes': 'a r', 'Reshape': 'a r', 'Reshape_reverse': '',
    'Reshape_target': 'a r',
    'sum': '', 'sum_axis': 'a', 'sum_keep': 'a r', 'sum_all_keep': 'a r', 'sum_exclude': '',
    'sum_row': '', 'FullyConnected': 'a r', 'take': 'b r', 'take_axis': '', 'dot': 'a',
    'dot_many': 'a', 'dot_transposed': '', 'batch_dot': 'ab r', 'Convolution_2': 'a r',
    'SoftmaxActivation': 'a', 'SoftmaxActivation_channel': 'a', 'SoftmaxActivation_row': '',
    'SoftmaxOutput_null_ignore_out': 'ab', 'SoftmaxOutput_batch': '', 'SoftmaxOutput_5': '',
}


def values_of(symbol, inputs):
    """Values of its arguments, as one step has them."""
    given = {name: random_value(name, value) if isinstance(value, tuple) else np.asarray(value)
             for name, value in inputs.items()}
    shapes = symbol.infer_shape(**{name: value.shape for name, value in given.items()})[0]
    return {name: given[name] if name in given else random_value(name, shape)
            for name, shape in zip(symbol.list_arguments(), shapes)}


def step_by_step(symbol, moving):
    """The operator for each step, with the outputs of all steps put together."""
    inputs = {name: list(S.split(V(name), num_outputs=STEPS, axis=0, squeeze_axis=True))
              if moves else [V(name)] * STEPS for name, moves in moving.items()}
    steps = [symbol(**{name: each[t] for name, each in inputs.items()}) for t in range(STEPS)]
    return S.Group([S.stack(*outputs, axis=0) for outputs in zip(*map(list, steps))])


def lifted(graph, node, names, moving, ranks):
    """The operator over all steps, if it is known how."""
    write = lift(node, moving, ranks)
    if write is None:
        return None
    writer = Writer()
    entry = write(writer, 'all', [writer.add('', name, {}, []) for name in names])
    return writer.graph([Entry(entry.node, head.output) for head in graph.heads])


@each_name([*OPS, *FURTHER])
def test_all_steps_at_once(name):
    op = OPS.get(name) or FURTHER[name]
    symbol = op.build()
    graph = graph_from_json(symbol.tojson())
    node = graph.nodes[-1]
    if sum(bool(each.op) for each in graph.nodes) > 1 or not node.inputs or graph.auxiliary:
        pytest.skip('it is no operator alone that reads something, or it keeps averages')
    names = [graph.nodes[entry.node].name for entry in node.inputs]
    values = values_of(symbol, op.inputs)
    ranks = [values[each].ndim for each in names]
    ways = set()
    for moving in itertools.product([True, False], repeat=len(names)):
        known = {each: lifted(graph, node, names, moving, each)
                 for each in (tuple(ranks), (None,) * len(names)) if any(moving)}
        if not any(known.values()):
            continue
        ways.update([''.join(each for each, moves in zip('abcd', moving) if moves)],
                    'r' if all(known.values()) else '')
        given = {each: np.stack([np.flip(values[each], range(t % max(values[each].ndim, 1)))
                                 for t in range(STEPS)]) if moves else values[each]
                 for each, moves in zip(names, moving)}
        options = {'train': op.train, 'values': given,
                   'fixed': [each for at, each in enumerate('abcd') if each in op.fixed]}
        shapes = {each: value.shape for each, value in given.items()}
        steps = graph_from_json(json_of(step_by_step(symbol, dict(zip(names, moving)))))
        for each in filter(None, known.values()):
            bound = bind(S.load_json(graph_to_json(each)), shapes, **options)
            for one in (steps, each):
                assert_equal(run_rolled(RolledGraph(one, ()), bound, shapes), 1e-5)
    if name in AT_ONCE:
        assert ways == set(AT_ONCE[name].split())


def test_dropout_shares_what_it_draws_as_in_a_step():
    node = graph_from_json(S.Dropout(A, axes=(1,), mode='always').tojson()).nodes[-1]
    symbol = S.load_json(graph_to_json(lifted(Graph((), (Entry(0, 0),)), node, ['a'], [True], [3])))
    drawn = bind(symbol, {'a': (STEPS, 3, 4, 5)}, values={'a': 1}).outputs[0]
    assert (drawn == drawn[:, :, :1]).all()
    assert len(np.unique(drawn[:, :, 0].reshape(STEPS, -1), axis=0)) == STEPS
