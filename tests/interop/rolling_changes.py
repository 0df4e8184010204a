"""Graphs changed in one place, or in one place of each step, as a mistake would: what is rolled up
must still compute what the changed graph does.
"""
from __future__ import annotations

import random
import re
from typing import Any, Callable, NamedTuple

import numpy as np

from mxrnn._graph.graph import Entry, Graph, Node
from mxrnn._graph.rolling import structure
from mxrnn.interop import graph_from_json, graph_to_json

from .. import mx, rnn
from . import programs
from .models import S, V
from .rolling import group, outputs_of, values_of

STEPS, HIDDEN, FEATURES = 4, 3, 3
#: Programs to change: cells by hand, attention, one input for all steps.
PROGRAMS = ('handwritten_cell', 'gates_of_joined_inputs', 'weights_that_are_normed', 'autoencoder',
            'attention_with_input_feeding', 'encoder_and_decoder')


class Base(NamedTuple):
    """A graph to change, and the values of its variables."""

    name: str
    graph: Graph
    values: dict[str, np.ndarray]


class Changed(NamedTuple):
    """A changed graph."""

    kind: str
    base: str
    graph: Graph
    values: dict[str, np.ndarray]


# ---- graphs to change

def _cells():
    stack, both = programs.stack, rnn.BidirectionalCell
    return {
        'lstm': lambda: rnn.LSTMCell(HIDDEN, 'a_'), 'gru': lambda: rnn.GRUCell(HIDDEN, 'a_'),
        'rnn': lambda: rnn.RNNCell(HIDDEN, 'tanh', 'a_'),
        'relu': lambda: rnn.RNNCell(HIDDEN, 'relu', 'a_', bias=False),
        'lstms': lambda: stack(rnn.LSTMCell(HIDDEN, 'a_'), rnn.LSTMCell(HIDDEN, 'b_')),
        'gru lstm': lambda: stack(rnn.GRUCell(HIDDEN, 'a_'), rnn.DropoutCell(.2),
                                  rnn.ResidualCell(rnn.LSTMCell(HIDDEN, 'b_'))),
        'both lstm': lambda: both(rnn.LSTMCell(HIDDEN, 'a_'), rnn.LSTMCell(HIDDEN, 'b_')),
        'both gru': lambda: both(rnn.GRUCell(HIDDEN, 'a_'), rnn.RNNCell(HIDDEN, 'tanh', 'b_')),
        'layer norm': lambda: rnn.LayerNormLSTMCell(HIDDEN, 'a_'),
        'zoneout': lambda: rnn.ZoneoutCell(rnn.GRUCell(HIDDEN, 'a_'), .2, .3),
        'projection': lambda: rnn.LSTMPCell(HIDDEN, HIDDEN, 'a_'),
    }


def built(name, steps):
    """A program of so many steps, and the shapes of its inputs for two rows."""
    program, time = programs.PROGRAMS[name], programs.TIME
    programs.TIME = steps
    try:
        with mx.name.NameManager():
            symbol = program.build()
    finally:
        programs.TIME = time
    shapes = {key: tuple({'batch': 2, time: steps}.get(size, size) for size in shape)
              for key, shape in program.shapes.items()}
    return symbol, {key: shape for key, shape in shapes.items() if key in symbol.list_arguments()}


def bases():
    """The graphs to change. States begin as variables, so that none is 0 by itself."""
    found = []
    for name, make in _cells().items():
        with mx.name.NameManager():
            cell = make()
            states = [V('begin%d' % i) for i in range(len(cell.state_info))]
            outputs, last = cell.unroll(STEPS, V('data'), states, merge_outputs=True)
            symbol = group(outputs, last)
        shapes = {'data': (2, STEPS, FEATURES), **{state.name: (2, HIDDEN) for state in states}}
        found.append(Base(name, graph_from_json(symbol.tojson()), values_of(symbol, shapes)))
    for name in PROGRAMS:
        symbol, shapes = built(name, STEPS)
        values = values_of(symbol, shapes)
        for each in {'data', 'source', 'target', 'softmax_label'} & {*shapes}:
            if len(shapes[each]) == 2:  # numbers of words
                values[each] = np.random.RandomState(0).randint(1, 11, shapes[each]).astype(float)
        found.append(Base(name, graph_from_json(symbol.tojson()), values))
    return found


# ---- changes

class Draft:
    """A graph to be changed."""

    def __init__(self, base):
        self.nodes, self.heads, self.values = (
            [*base.graph.nodes], [*base.graph.heads], {**base.values})

    def other(self, i, at, entry):
        """The node `i` with another input."""
        inputs = [*self.nodes[i].inputs]
        inputs[at] = entry
        return self.nodes[i]._replace(inputs=tuple(inputs))

    def added(self, node):
        """The output of a node that is there from now on."""
        if node not in self.nodes:
            self.nodes.append(node)
        return Entry(self.nodes.index(node), 0)

    def twins(self, i):
        """The nodes that do in all steps what the node `i` does, told by operator and name."""
        def key(node):
            return node.op, re.sub(r'\d+', '#', node.name), len(node.inputs)
        return [k for k, node in enumerate(self.nodes) if key(node) == key(self.nodes[i])]


#: Gives a node in the place of one, by draws that are the same in each step; or None.
Change = Callable[[random.Random, Draft, int], Any]


def _another_weight(draw, draft, i):
    """A weight or bias that is not shared: a variable of its own, in the same place."""
    node = draft.nodes[i]
    names = [draft.nodes[entry.node].name for entry in node.inputs]
    own = [at for at, name in enumerate(names) if name in draft.values]
    if not own or node.op not in ('FullyConnected', 'Convolution', 'dot', 'LayerNorm'):
        return None
    at = draw.choice(own)
    draft.values[names[at] + '_own'] = draft.values[names[at]][::-1].copy() + .1
    return draft.other(i, at, draft.added(Node('', names[at] + '_own', {}, ())))


def _another_output(draw, draft, i):
    """Another part of a split, a gate or a step: one of all, the opposite one or the next."""
    split = [at for at, entry in enumerate(draft.nodes[i].inputs)
             if draft.nodes[entry.node].num_outputs > 1]
    if not split:
        return None
    at = draw.choice(split)
    place, own = draft.nodes[i].inputs[at]
    count = draft.nodes[place].num_outputs
    return draft.other(i, at, Entry(place, draw.choice(
        (draw.randrange(count), count - 1 - own, (own + 1) % count))))


def _another_value(draw, draft, i):
    """Another value near an input: another state, step or layer."""
    if not draft.nodes[i].inputs:
        return None
    at = draw.randrange(len(draft.nodes[i].inputs))
    place = draft.nodes[i].inputs[at].node
    if draw.random() < .6:
        alike = draft.twins(place)
        place = alike[(alike.index(place) + draw.choice((-1, 1, 2))) % len(alike)]
    else:
        place = max(0, place + draw.randint(-20, 20))
    return draft.other(i, at, Entry(min(place, i - 1), 0))


def _order_of_inputs(draw, draft, i):
    """Two inputs exchanged."""
    inputs = [*draft.nodes[i].inputs]
    if len(inputs) < 2:
        return None
    one, other = draw.sample(range(len(inputs)), 2)
    inputs[one], inputs[other] = inputs[other], inputs[one]
    return draft.nodes[i]._replace(inputs=tuple(inputs))


def _scaled(draw, draft, i):
    """Something is done to an input on its way."""
    if not draft.nodes[i].inputs:
        return None
    at = draw.randrange(len(draft.nodes[i].inputs))
    op, attrs = draw.choice([('_mul_scalar', {'scalar': '0.7'}), ('_plus_scalar',
                             {'scalar': '0.1'}), ('tanh', {}), ('negative', {})])
    return draft.other(i, at, draft.added(Node(op, 'change', attrs, (draft.nodes[i].inputs[at],))))


_OTHER_OPS = {
    'elemwise_add': ('elemwise_sub', 'elemwise_mul'), 'elemwise_mul': ('elemwise_add',),
    'tanh': ('sigmoid', 'relu'), 'sigmoid': ('tanh',), 'broadcast_add': ('broadcast_sub',),
    'SequenceReverse': ('_copy',), 'add_n': ('_copy',)}


def _another_operator(draw, draft, i):
    other = _OTHER_OPS.get(draft.nodes[i].op)
    return other and draft.nodes[i]._replace(op=draw.choice(other))


_OTHER_VALUES = {
    'act_type': ('tanh', 'sigmoid', 'relu', 'softsign'), 'scalar': ('1', '0.5', '2', '-1'),
    'dim': ('0', '1', '2'), 'axis': ('0', '1', '2'), 'squeeze_axis': ('True', 'False'),
    'transpose_b': ('True', 'False'), 'flatten': ('True', 'False'), 'begin': ('0', '1', '2', '3'),
    'end': ('1', '2', '3', '6'), 'eps': ('0.1',), 'slope': ('0.5',)}


def _another_parameter(draw, draft, i):
    node = draft.nodes[i]
    keys = [key for key in node.attrs if key in _OTHER_VALUES]
    if not keys:
        return None
    key = draw.choice(keys)
    return node._replace(attrs={**node.attrs, key: draw.choice(_OTHER_VALUES[key])})


def _read_inside(draw, draft, i):
    """Something inside a step is an output as well."""
    draft.heads.append(Entry(i, draw.randrange(draft.nodes[i].num_outputs)))
    return draft.nodes[i]


_CHANGES = [_another_weight, _another_output, _another_value, _order_of_inputs,
                          _scaled, _another_operator, _another_parameter, _read_inside]


def change(draw, base):
    """`base` with a change at random, in one step or in all; None if there was none."""
    draft, made, seed = Draft(base), draw.choice(_CHANGES), draw.random()
    place = draw.choice([i for i, node in enumerate(draft.nodes) if node.op])
    for i in draft.twins(place) if draw.random() < .5 else [place]:
        node = made(random.Random(seed), draft, i)
        if node is None:
            return None
        draft.nodes[i] = node
    if draw.random() < .15:
        draw.shuffle(draft.heads)
    graph = _sorted(draft.nodes, draft.heads)
    return None if graph is None else Changed(made.__name__, base.name, graph, draft.values)


def _sorted(nodes, heads):
    """A graph in which each node comes after what it reads; None if nodes go in circles."""
    places = {}
    order = []

    def enter(i):
        if i not in places:
            places[i] = -1
            if not all(enter(entry.node) for entry in nodes[i].inputs):
                return False
            places[i] = len(order)
            order.append(nodes[i]._replace(inputs=tuple([
                Entry(places[entry.node], entry.output) for entry in nodes[i].inputs])))
        return places[i] >= 0
    if not all(enter(head.node) for head in heads):
        return None
    return Graph(tuple(order), tuple([Entry(places[place], output) for place, output in heads]))


# ---- what came of it

def is_wrong(changed):
    """Whether rolling up changes what a graph computes; None if it computes nothing itself."""
    names = {node.name for node in changed.graph.nodes if not node.op}
    values = {name: value for name, value in changed.values.items() if name in names}
    expected = run(changed.graph, values)
    if expected is None:
        return None
    rolled = structure(changed.graph)
    if rolled.graph is changed.graph or are_near(run(rolled.graph, values), expected):
        return False
    return None if is_refused(changed.graph, values) else True


def run(graph, values):
    """What a graph computes in torch, and its gradients; None if it computes nothing."""
    if len({*graph.heads}) < len(graph.heads):  # only one of equal outputs has gradients
        return None
    try:
        return outputs_of(graph, values)
    except (RuntimeError, ValueError, LookupError, TypeError, NotImplementedError,
            AttributeError):  # the last is of outputs that an operator hides
        return None


def are_near(found, expected):
    """Whether two graphs computed the same."""
    return found is not None and len(found) == len(expected) and all(
        one.shape == other.shape and (not one.numel() or bool((
            (one - other).abs() <= 1e-9 * other.abs().max().clamp(min=1)).all()))
        for one, other in zip(found, expected))


def is_refused(graph, values):
    """Whether MXNet refuses the shapes of `values`: torch adds arrays of two shapes, for one."""
    symbol = S.load_json(graph_to_json(graph))
    try:
        symbol.infer_shape_partial(**{name: value.shape for name, value in values.items()})
    except mx.base.MXNetError:
        return True
    return False
