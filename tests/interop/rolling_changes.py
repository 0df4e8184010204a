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

__all__ = ['bases', 'change', 'is_wrong']

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

def _cells() -> dict[str, Callable[[], Any]]:
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


def built(name: str, steps: int) -> tuple[Any, dict[str, tuple[int, ...]]]:
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


def bases() -> list[Base]:
    """The graphs to change. States begin as variables, so that none is 0 by itself."""
    found = []
    for name, make in _cells().items():
        with mx.name.NameManager():
            cell = make()
            states = [V('begin%d' % i) for i in range(len(cell.state_info))]
            outputs, last = cell.unroll(STEPS, V('data'), states, merge_outputs=True)
            symbol = group(outputs, last)
        shapes = {'data': (2, STEPS, FEATURES),
                  **{state.name: (2, HIDDEN) for state in states}}
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

Draft = list  # of Node: the nodes of a graph, to be changed
Change = Callable[[random.Random, Draft, int, dict], Any]


def _with_input(node: Node, at: int, entry: Entry) -> Node:
    inputs = list(node.inputs)
    inputs[at] = entry
    return node._replace(inputs=tuple(inputs))


def _twins(nodes: Draft, i: int) -> list[int]:
    """The nodes that do in other steps what the node `i` does, told by operator and name."""
    def key(node: Node) -> Any:
        return node.op, re.sub(r'\d+', '#', node.name), len(node.inputs)
    return [k for k, node in enumerate(nodes) if key(node) == key(nodes[i])]


def _another_weight(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """A weight or bias that is not shared: a variable of its own, in the same place."""
    own = [at for at, entry in enumerate(nodes[i].inputs)
           if not nodes[entry.node].op and nodes[entry.node].name in values]
    if not own or nodes[i].op not in ('FullyConnected', 'Convolution', 'dot', 'LayerNorm'):
        return None
    at = draw.choice(own)
    name = nodes[nodes[i].inputs[at].node].name
    values[name + '_own'] = values[name][::-1].copy() + .1
    return at, Node('', name + '_own', {}, ())


def _another_output(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """Another part of a split: a gate, or a step."""
    split = [at for at, entry in enumerate(nodes[i].inputs)
             if nodes[entry.node].num_outputs > 1]
    if not split:
        return None
    at = draw.choice(split)
    entry = nodes[i].inputs[at]
    return at, Entry(entry.node, draw.randrange(nodes[entry.node].num_outputs))


def _another_value(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """Something else that was computed before: another state, step or layer."""
    if not nodes[i].inputs:
        return None
    at = draw.randrange(len(nodes[i].inputs))
    k = draw.randrange(max(0, i - 40), i)
    if draw.random() < .6:
        alike = [each for each in _twins(nodes, nodes[i].inputs[at].node) if each < i]
        k = draw.choice(alike) if alike else k
    return at, Entry(k, draw.randrange(nodes[k].num_outputs))


def _order_of_inputs(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """Two inputs exchanged."""
    count = len(nodes[i].inputs)
    if count < 2:
        return None
    first, second = draw.sample(range(count), 2)
    inputs = list(nodes[i].inputs)
    inputs[first], inputs[second] = inputs[second], inputs[first]
    return nodes[i]._replace(inputs=tuple(inputs))


def _scaled(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """Something is done to an input on its way."""
    if not nodes[i].inputs:
        return None
    at = draw.randrange(len(nodes[i].inputs))
    op, attrs = draw.choice([('_mul_scalar', {'scalar': '0.7'}), ('_plus_scalar',
                             {'scalar': '0.1'}), ('tanh', {}), ('negative', {})])
    return at, Node(op, 'change', attrs, (nodes[i].inputs[at],))


_OTHER_OPS = {
    'elemwise_add': ('elemwise_sub', 'elemwise_mul'), 'elemwise_mul': ('elemwise_add',),
    'tanh': ('sigmoid', 'relu'), 'sigmoid': ('tanh',), 'broadcast_add': ('broadcast_sub',),
    'SequenceReverse': ('_copy',), 'add_n': ('_copy',), 'stack': (),
}


def _another_operator(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    other = _OTHER_OPS.get(nodes[i].op)
    return nodes[i]._replace(op=draw.choice(other)) if other else None


_OTHER_VALUES: dict[str, tuple[str, ...]] = {
    'act_type': ('tanh', 'sigmoid', 'relu', 'softsign'), 'scalar': ('1', '0.5', '2', '-1'),
    'dim': ('0', '1', '2'), 'axis': ('0', '1', '2'), 'squeeze_axis': ('True', 'False'),
    'transpose_b': ('True', 'False'), 'flatten': ('True', 'False'), 'begin': ('0', '1', '2', '3'),
    'end': ('1', '2', '3', '6'), 'eps': ('0.1',), 'slope': ('0.5',),
}


def _another_parameter(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    keys = [key for key in nodes[i].attrs if key in _OTHER_VALUES]
    if not keys:
        return None
    key = draw.choice(keys)
    return nodes[i]._replace(attrs={**nodes[i].attrs, key: draw.choice(_OTHER_VALUES[key])})


def _read_inside(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """Something inside a step is an output as well."""
    return Entry(i, draw.randrange(nodes[i].num_outputs)) if nodes[i].op else None


def _states(nodes: Draft) -> dict[Entry, Entry]:
    """By a state that a step reads, what has its shape: memory for output and back, or the step's
    input."""
    places = {node.name: i for i, node in enumerate(nodes)}
    found: dict[Entry, Entry] = {}
    for name, i in places.items():
        step = re.fullmatch(r'(.*_t)(\d+)_out', name)
        if step is None:
            continue
        other = places.get('%s%s_state' % step.groups())
        if other is not None:
            found[Entry(i, 0)], found[Entry(other, 0)] = Entry(other, 0), Entry(i, 0)
        elif 'split0' in places and int(step.group(2)) + 1 < STEPS:
            found[Entry(i, 0)] = Entry(places['split0'], int(step.group(2)) + 1)
    for first, second in (('begin0', 'begin1'), ('begin2', 'begin3')):
        if first in places and second in places:
            one, other = Entry(places[first], 0), Entry(places[second], 0)
            found[one], found[other] = other, one
        elif first in places and first == 'begin0' and 'split0' in places:
            found[Entry(places[first], 0)] = Entry(places['split0'], 0)
    return found


def _another_state(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """In all steps, one node reads another state, or the step's input."""
    states = _states(nodes)
    readers = [k for k, node in enumerate(nodes) if any(entry in states for entry in node.inputs)
               and node.op not in ('expand_dims', '_copy')]
    if not readers:
        return None
    place = draw.choice(readers)
    at = draw.choice([at for at, entry in enumerate(nodes[place].inputs) if entry in states])
    for k in readers:
        same = re.sub(r't\d+', '', nodes[k].name) == re.sub(r't\d+', '', nodes[place].name)
        automatic = re.fullmatch(r'_?[a-z]+\d+', nodes[k].name) and (
            nodes[k].op == nodes[place].op)
        if (same or automatic) and at < len(nodes[k].inputs) and nodes[k].inputs[at] in states:
            nodes[k] = _with_input(nodes[k], at, states[nodes[k].inputs[at]])
    return nodes[i]


def _another_step(draw: random.Random, nodes: Draft, i: int, values: dict) -> Any:
    """In all steps, the nodes with one weight read the sequence in another order."""
    splits = [k for k, node in enumerate(nodes) if node.op == 'SliceChannel'
              and node.num_outputs == STEPS]
    readers = [k for k, node in enumerate(nodes) if node.op in ('FullyConnected', 'dot')
               and node.inputs[0].node in splits]
    if not readers:
        return None
    weights = nodes[draw.choice(readers)].inputs[1:]
    turn = draw.choice([lambda t: STEPS - 1 - t, lambda t: (t + 1) % STEPS, lambda t: 0])
    for k in readers:
        entry = nodes[k].inputs[0]
        if nodes[k].inputs[1:] == weights:
            nodes[k] = _with_input(nodes[k], 0, Entry(entry.node, turn(entry.output)))
    return nodes[i]


_CHANGES: dict[str, Change] = {each.__name__.strip('_').replace('_', ' '): each for each in (
    _another_weight, _another_output, _another_value, _order_of_inputs, _scaled, _another_operator,
    _another_parameter, _read_inside, _another_state, _another_step)}


def _apply(nodes: Draft, heads: list[Entry], i: int, made: Any) -> None:
    """Put a change in place, at the node `i`."""
    if isinstance(made, Node):
        nodes[i] = made
    elif isinstance(made, Entry):
        heads.append(made)
    else:
        at, what = made
        if isinstance(what, Node):
            nodes.append(what)
            what = Entry(len(nodes) - 1, 0)
        nodes[i] = _with_input(nodes[i], at, what)


def change(draw: random.Random, base: Base) -> Changed | None:
    """`base` with a change at random, in one step or in all; None if there was none."""
    kind = draw.choice(list(_CHANGES))
    nodes, heads, values = list(base.graph.nodes), list(base.graph.heads), dict(base.values)
    places = [i for i, node in enumerate(nodes) if node.op]
    i = draw.choice(places)
    made = _CHANGES[kind](draw, nodes, i, values)
    if made is None:
        return None
    count = len(nodes)
    _apply(nodes, heads, i, made)
    if draw.random() < .4 and kind not in ('another state', 'another step'):
        for k in _twins(base.graph.nodes, i):  # the same change in all steps
            if k != i:
                _apply_alike(nodes, heads, base.graph.nodes, i, k, made, count)
        kind += ', in all steps'
    if draw.random() < .15:
        draw.shuffle(heads)
    graph = _sorted(nodes, heads)
    return None if graph is None else Changed(kind, base.name, graph, values)


def _apply_alike(nodes: Draft, heads: list[Entry], old: Any, i: int, k: int, made: Any,
                 count: int) -> None:
    """At the node `k` what `made` is at the node `i`."""
    if isinstance(made, Node):
        inputs = list(nodes[k].inputs)
        if made.inputs != old[i].inputs:
            order = [list(old[i].inputs).index(entry) for entry in made.inputs]
            inputs = [nodes[k].inputs[at] for at in order]
        nodes[k] = nodes[k]._replace(op=made.op, attrs=made.attrs, inputs=tuple(inputs))
    elif isinstance(made, Entry):
        heads.append(Entry(k, made.output))
    else:
        at, what = made
        if isinstance(what, Node):
            if not what.op:
                what = Entry(count, 0)
            else:
                nodes.append(what._replace(inputs=(nodes[k].inputs[at],)))
                what = Entry(len(nodes) - 1, 0)
        elif old[i].inputs[at].node != what.node:
            shifted = what.node + k - i
            if not 0 <= shifted < k or old[shifted].op != old[what.node].op:
                return
            what = Entry(shifted, what.output)
        else:
            what = Entry(nodes[k].inputs[at].node, what.output)
        nodes[k] = _with_input(nodes[k], at, what)


def _sorted(nodes: Draft, heads: list[Entry]) -> Graph | None:
    """A graph in which each node comes after what it reads; None if nodes go in circles."""
    places: dict[int, int] = {}
    order: list[int] = []
    for head in heads:
        pending = [(head.node, False)]
        open_nodes: set[int] = set()
        while pending:
            i, ready = pending.pop()
            if i in places:
                continue
            if ready:
                places[i] = len(order)
                order.append(i)
            elif i in open_nodes:
                return None
            else:
                open_nodes.add(i)
                pending.append((i, True))
                pending.extend((entry.node, False) for entry in nodes[i].inputs)
    return Graph(tuple([nodes[i]._replace(inputs=tuple([
        Entry(places[entry.node], entry.output) for entry in nodes[i].inputs])) for i in order]),
        tuple([Entry(places[head.node], head.output) for head in heads]))


# ---- what came of it

def is_wrong(changed: Changed) -> bool | None:
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


def run(graph: Graph, values: dict[str, np.ndarray]) -> list[Any] | None:
    """What a graph computes in torch, and its gradients; None if it computes nothing."""
    if len({*graph.heads}) < len(graph.heads):  # only one of equal outputs has gradients
        return None
    try:
        return outputs_of(graph, values)
    except (RuntimeError, ValueError, LookupError, TypeError, NotImplementedError,
            AttributeError):  # the last is of outputs that an operator hides
        return None


def are_near(found: list[Any] | None, expected: list[Any]) -> bool:
    """Whether two graphs computed the same."""
    return found is not None and len(found) == len(expected) and all(
        one.shape == other.shape and (not one.numel() or bool((
            (one - other).abs() <= 1e-9 * other.abs().max().clamp(min=1)).all()))
        for one, other in zip(found, expected))


def is_refused(graph: Graph, values: dict[str, np.ndarray]) -> bool:
    """Whether MXNet refuses the shapes of `values`: torch adds arrays of two shapes, for one."""
    symbol = S.load_json(graph_to_json(graph))
    try:
        symbol.infer_shape_partial(**{name: value.shape for name, value in values.items()})
    except mx.base.MXNetError:
        return True
    return False
