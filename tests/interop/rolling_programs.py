"""Graphs as programs built them before mx.rnn, beside it and around it, for any length."""
from __future__ import annotations

from typing import Any, Callable, NamedTuple

from .. import mx, rnn

__all__ = ['PROGRAMS', 'Program']

HIDDEN, FEATURES, WORDS = 3, 3, 11


class Program(NamedTuple):
    """A program's graph: what builds it for so many steps, the shapes of its inputs for so many
    steps and rows, and what its recurrences are to become."""

    name: str
    build: Callable[[int], Any]
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    kinds: list[str]
    #: Whether it has one length: its inputs or outputs are lists of steps, say.
    lists: bool = False
    #: Whether it takes another length only where that is asked for.
    asked: bool = False
    #: Inputs that are numbers of words or classes, and below which number.
    numbers: dict[str, int] = {}

    def __str__(self) -> str:
        return self.name


PROGRAMS: list[Program] = []


def _program(shapes: Callable[[int, int], dict[str, tuple[int, ...]]], *kinds: str,
             lists: bool = False, asked: bool = False, **numbers: int) -> Callable[..., Any]:
    def enter(build: Callable[[int], Any]) -> Callable[[int], Any]:
        PROGRAMS.append(Program(build.__name__.strip('_'), build, shapes, list(kinds), lists,
                                asked, numbers))
        return build
    return enter


def _sequence(length: int, batch: int) -> dict[str, tuple[int, ...]]:
    return {'data': (batch, length, FEATURES)}


class _Weights(dict):  # type: ignore[type-arg]
    """Variables by name, each made once."""

    def __missing__(self, name: str) -> Any:
        self[name] = mx.sym.Variable(name)
        return self[name]


def _lstm_2016(data: Any, state: Any, weights: Any, prefix: str, t: int) -> Any:
    """The step of MXNet's example lstm.py of 2016: gates lie as i, g, f, o."""
    parts = [mx.sym.FullyConnected(value, weight=weights['%s_%s_weight' % (prefix, group)],
                                   bias=weights['%s_%s_bias' % (prefix, group)],
                                   num_hidden=4 * HIDDEN, name='t%d_%s_%s' % (t, prefix, group))
             for group, value in (('i2h', data), ('h2h', state[1]))]
    gates = mx.sym.SliceChannel(parts[0] + parts[1], num_outputs=4)
    enter = mx.sym.Activation(gates[0], act_type='sigmoid')
    change = mx.sym.Activation(gates[1], act_type='tanh')
    forget = mx.sym.Activation(gates[2], act_type='sigmoid')
    out = mx.sym.Activation(gates[3], act_type='sigmoid')
    memory = (forget * state[0]) + (enter * change)
    return memory, out * mx.sym.Activation(memory, act_type='tanh')


@_program(lambda length, batch: {'data': (batch, length, FEATURES), 'label': (batch, length)},
          'lstm', label=WORDS)
def _loss_in_each_step(length: int) -> Any:
    weights = _Weights()
    steps = mx.sym.SliceChannel(weights['data'], num_outputs=length, squeeze_axis=1)
    labels = mx.sym.SliceChannel(weights['label'], num_outputs=length, squeeze_axis=1)
    state, heads = (mx.sym.zeros((0, HIDDEN)), mx.sym.zeros((0, HIDDEN))), []
    for t in range(length):
        state = _lstm_2016(steps[t], state, weights, 'l', t)
        scores = mx.sym.FullyConnected(state[1], weight=weights['cls_weight'], num_hidden=WORDS,
                                       bias=weights['cls_bias'])
        heads.append(mx.sym.SoftmaxOutput(scores, labels[t], name='t%d_softmax' % t))
    return mx.sym.Group([mx.sym.Concat(*heads, dim=0)])


def _with_state(length: int, batch: int) -> dict[str, tuple[int, ...]]:
    return {**_sequence(length, batch), 'state': (batch, HIDDEN)}


@_program(_sequence, 'loop')
def _gru_of_2014(length: int) -> Any:
    """The reset gate comes before the product."""
    weights = _Weights()
    state, outputs = mx.sym.zeros((0, HIDDEN)), []

    def product(value: Any, name: str, units: int) -> Any:
        return mx.sym.FullyConnected(value, weight=weights[name + '_weight'], no_bias=True,
                                     num_hidden=units)
    for step in mx.sym.split(weights['data'], axis=1, num_outputs=length, squeeze_axis=1):
        gates = mx.sym.split(mx.sym.sigmoid(product(step, 'x', 2 * HIDDEN)
                                            + product(state, 'h', 2 * HIDDEN)), num_outputs=2)
        new = mx.sym.tanh(product(step, 'xn', HIDDEN) + product(gates[1] * state, 'hn', HIDDEN))
        state = state + gates[0] * (new - state)
        outputs.append(state)
    return mx.sym.Concat(*[mx.sym.expand_dims(each, axis=0) for each in outputs], dim=0)


@_program(_sequence, 'lstm', lists=True)
def _steps_cut_one_by_one(length: int) -> Any:
    data, cell = mx.sym.Variable('data'), rnn.LSTMCell(HIDDEN)
    steps = [mx.sym.Reshape(mx.sym.slice_axis(data, axis=1, begin=t, end=t + 1), shape=(0, -1))
             for t in range(length)]
    outputs, _ = cell.unroll(length, steps)
    return mx.sym.Group([mx.sym.stack(*outputs, axis=1)])


def _attention(query: Any, memory: Any) -> Any:
    scores = mx.sym.batch_dot(memory, mx.sym.expand_dims(query, axis=2))
    weights = mx.sym.softmax(scores, axis=1)
    return mx.sym.Reshape(mx.sym.batch_dot(weights, memory, transpose_a=True), shape=(0, -1))


@_program(lambda length, batch: {'memory': (batch, 5, HIDDEN), **_with_state(length, batch)},
          'loop')
def _attention_before_the_cell(length: int) -> Any:
    memory, cell = mx.sym.Variable('memory'), rnn.GRUCell(HIDDEN)
    weights, states, outputs = _Weights(), [mx.sym.Variable('state')], []
    for step in mx.sym.split(mx.sym.Variable('data'), axis=1, num_outputs=length, squeeze_axis=1):
        query = mx.sym.FullyConnected(states[0], num_hidden=HIDDEN, no_bias=True,
                                      weight=weights['query_weight'])
        output, states = cell(mx.sym.Concat(step, _attention(query, memory), dim=1), states)
        outputs.append(output)
    return mx.sym.stack(*outputs, axis=1)


@_program(lambda length, batch: {'data': (batch, FEATURES)}, 'rnn_tanh', lists=True)
def _the_same_input_in_each_step(length: int) -> Any:
    outputs, _ = rnn.RNNCell(HIDDEN).unroll(length, [mx.sym.Variable('data')] * length)
    return mx.sym.add_n(*outputs)


@_program(_sequence, 'lstm', 'lstm')
def _teacher_forcing(length: int) -> Any:
    """A decoder that reads what an encoder gave one step before."""
    encoded, _ = rnn.LSTMCell(FEATURES, 'e_').unroll(length, mx.sym.Variable('data'))
    first = mx.sym.zeros_like(encoded[0])
    outputs, _ = rnn.LSTMCell(HIDDEN, 'd_').unroll(length, [first, *encoded[:-1]],
                                                   merge_outputs=True)
    return outputs


@_program(lambda length, batch: {'data': (length, batch, FEATURES), 'lengths': (batch,)}, 'loop',
          'loop', asked=True, lengths=9)
def _lengths_and_no_states(length: int) -> Any:
    """The last step's states are not kept, since nothing reads them."""
    cell = rnn.BidirectionalCell(rnn.LSTMCell(HIDDEN, 'f_'), rnn.GRUCell(HIDDEN, 'b_'))
    outputs, _ = cell.unroll(length, mx.sym.Variable('data'), merge_outputs=True, layout='TNC',
                             valid_length=mx.sym.Variable('lengths'))
    return outputs


@_program(lambda length, batch: {'data': (batch, FEATURES, 1, length)}, 'gru', lists=True)
def _columns_that_stay_columns(length: int) -> Any:
    """A GRU as Gluon's, over steps of (batch, channels, 1, 1)."""
    cell, outputs = mx.gluon.rnn.GRUCell(HIDDEN, prefix='gru_'), []
    state = mx.sym.zeros((0, HIDDEN))
    data = mx.sym.transpose(mx.sym.Variable('data'), axes=(0, 1, 2, 3))
    for step in mx.sym.SliceChannel(data, axis=-1, num_outputs=length):
        output, (state,) = cell(step, [state])
        outputs.append(output)
    return mx.sym.stack(*outputs, axis=2)
