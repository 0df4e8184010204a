"""roll: a Symbol that was unrolled, rolled up again, for MXNet to run."""
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check
from .._graph.graph import Graph
from .._graph.layout import GATES
from .._graph.reading import graph_to_json
from .._graph.rolling import Finding, Kernel, Loop, Values
from .._graph.rolling import roll as roll_graph
from .._graph.rolling.writing import text
from .._operator.defects import corrupts, cpu_build, disabled, onednn
from .._runtime.mxnet import graph_of, mx

__all__ = ['roll', 'rolled_to_kernels']


def roll(symbol: mx.sym.Symbol, *, training: bool = True, length: int | None = None
         ) -> mx.sym.Symbol:
    """A Symbol that computes what `symbol` does, whose recurrences are no longer unrolled: it takes
    sequences of any length, and most of it runs at the speed of sym.RNN.

    Parameters
    ----------
    symbol : Symbol
        The graph of a program that is lost, say, as its checkpoint has it.
    training : bool
        False: for inference alone. Dropout and zoneout are left out, so that more can be rolled up.
    length : int, optional
        The number of steps that `symbol` was unrolled for, where it states this number as a size,
        as ``Reshape(shape=(-1, 35, 8))`` does. Any such number is then taken for that of the steps.

    Returns
    -------
    Symbol
        With the arguments that the outputs of `symbol` need, which may be in another order, and
        with its outputs, under their names. It is `symbol` itself if nothing can be rolled up.

    Notes
    -----
    LSTM, GRU and simple recurrences, told by what they compute, go through sym.RNN where this MXNet
    computes it right, as with `fuse`; the others become loops of `contrib.foreach`. What is not the
    same in every step stays as it is, and so do steps with dropout, which MXNet ignores in loops.
    ``python -m mxrnn inspect`` says of each recurrence what becomes of it. Where gates lie in
    another order than in sym.RNN, or weights are dropped, MXNet cannot infer the shapes of weights:
    bind with them, as `Predictor` does.

    Raises
    ------
    TypeError, ValueError
        An argument is no Symbol, no bool, or no number of steps.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> outputs, _ = rnn.LSTMCell(16, prefix='lstm_').unroll(20, mx.sym.Variable('x'),
    ...                                                      merge_outputs=True)
    >>> rolled = rnn.roll(outputs)
    >>> len(outputs.get_internals()), len(rolled.get_internals())
    (368, 19)
    >>> rolled.infer_shape(x=(8, 35, 5))[1]
    [(8, 35, 16)]
    """
    _check.instance('symbol', symbol, mx.sym.Symbol, 'a Symbol')
    _check.flag('training', training)
    if length is not None:
        _check.integer('length', length, 1)
    graph = graph_of(symbol)

    def judge(values: Values, what: Kernel | Loop) -> str | None:
        return _fault(values, what, training)
    rolled = roll_graph(graph, training=training, length=length, judge=judge).graph
    return symbol if rolled is graph else _symbol(rolled)


def rolled_to_kernels(symbol: mx.sym.Symbol, float32: bool
                      ) -> tuple[mx.sym.Symbol, tuple[Finding, ...]]:
    """`symbol` with sym.RNN for recurrences and no loops, for training, and what became of each;
    `float32` if all numbers in it are known to be such."""
    graph = graph_of(symbol)

    def judge(values: Values, what: Kernel | Loop) -> str | None:
        if isinstance(what, Loop):
            return 'loops of MXNet are slower than steps'
        return _fault(values, what, True, float32)
    rolled, findings = roll_graph(graph, training=True, judge=judge)
    return symbol if rolled is graph else _symbol(rolled), findings


def _symbol(rolled: Graph) -> mx.sym.Symbol:
    return mx.sym.load_json(graph_to_json(_with_shapes(rolled)))


def _with_shapes(graph: Graph) -> Graph:
    """The graph, in which weights of sym.RNN state their rows: MXNet infers the columns then."""
    nodes = list(graph.nodes)
    for node in graph.nodes:
        joined = graph.nodes[node.inputs[1].node] if node.op == 'RNN' else None
        if joined is None or joined.op != '_rnn_param_concat':
            continue
        rows = len(GATES[node.mode]) * node.state_size
        shapes = (rows, 0), (rows, node.state_size), (rows,), (rows,)
        for entry, shape in zip(joined.inputs, shapes):
            place = entry.node
            if nodes[place].op == 'Reshape':
                place = nodes[place].inputs[0].node
            each = nodes[place]
            if each.is_variable and '__shape__' not in each.attrs:
                nodes[place] = each._replace(attrs={**each.attrs, '__shape__': text(shape)})
    return graph._replace(nodes=tuple(nodes))


def _fault(values: Values, what: Kernel | Loop, training: bool, float32: bool = False
           ) -> str | None:
    """Why this MXNet cannot run a recurrence as this."""
    if isinstance(what, Loop):
        if what.spreads_a_row:
            return 'the states of a loop of MXNet keep their shape'
        return 'MXNet ignores dropout in loops' if 'Dropout' in what.operators else None
    if disabled():
        return 'MXNET_MKLDNN_ENABLED=0 breaks sym.RNN'
    if corrupts(what.units):
        return 'MXNet 1.7 corrupts memory where it trains sym.RNN of one unit'
    types = [np.float32 if float32 else _type(values, begin) for begin in what.begin]
    if cpu_build() and not all(map(onednn, types)) and (
            training or what.mode == 'rnn_relu'):
        return 'sym.RNN has wrong gradients, or rounds, in types that it may have to compute'
    return None


def _type(values: Values, value: int) -> Any:
    """The type of a begin state, as far as its node says."""
    node = values.node(value)
    return np.dtype(node.dtype) if node.op in ('_zeros', '_ones', '_full') else None
