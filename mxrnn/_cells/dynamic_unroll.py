"""dynamic_unroll: a cell as a loop in the graph, for sequences of any length.

`sym.contrib.foreach` calls a function, the body, with Symbols for one step and for the states. It
turns the result into a subgraph. Four properties of foreach shape this module:

- It treats all variables made during the call as the loop's own and marks them. A parameter made in
  the cell's first step would be marked as well, and would differ from the same parameter in other
  graphs. So the body runs twice. The first run, outside `foreach`, makes the parameters. It has its
  own NameManager, so that automatic names begin anew in the second run.
- Its outputs depend on copies of the variables that the body uses. So the graph is read once more
  from its outputs, and the copies and inputs are replaced by the actual Symbols (`actual`).
- MXNet does not tell operators in a loop whether they are in training. Dropout gets a Symbol that
  does (TRAINING). Other operators that need to know are refused.
- A sum passes its gradient on as it is. If it reads something from outside the loop, the loop's
  backward pass then adds up the wrong arrays. An identity in between has its own array.
"""
from __future__ import annotations

import functools
from typing import Sequence

from .. import _check
from .._graph.graph import Node
from .._graph.operator_table import has
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from .base_cells import BaseRNNCell, check_cell, unroll_checked
from .modifiers import TRAINING
from .sequences import Layout, merged, time_major
from .states import States, check_states
from .unroll import GivenLengths, Options, Unrolled, hold

__all__ = ['dynamic_unroll']

#: Names of the body's inputs until it gets the actual ones; no user's variable has such a name.
_STEP, _STATE, _TRAINING = '%dynamic step', '%dynamic state {}', '%dynamic training'
_RUNNING = '%dynamic running'

#: Marks nodes that MXNet makes in the body of a loop.
_INSIDE = '__subgraph_name__'


def dynamic_unroll(cell: BaseRNNCell, inputs: mx.sym.Symbol, begin_state: States | None = None,
                   layout: Layout = 'NTC', *,
                   dtype: _check.DType | None = None,
                   valid_length: mx.sym.Symbol | None = None
                   ) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
    """Build the graph of a sequence of any length: a loop (`sym.contrib.foreach`) over `cell`.

    The graph has the size of one step, and its results equal those of ``cell.unroll``. The length
    is taken from the inputs when the graph is bound, so one graph serves all lengths.

    Parameters
    ----------
    cell : BaseRNNCell
        A cell that can be stepped.
    inputs : Symbol
        Of shape (batch, length, channels) with layout 'NTC', (length, batch, channels) with
        'TNC'.
    begin_state : list of Symbol, optional
        From `begin_state` or an earlier unroll; zeros if None.
    layout : {'NTC', 'TNC'}
        Of inputs and outputs.
    dtype : str or type, optional
        Type of the zeros if `begin_state` is None; float32 by default.
    valid_length : Symbol, optional
        Number of steps of each sequence, as in `unroll`; if None, all steps are valid.

    Returns
    -------
    outputs : Symbol
        The outputs of all steps, in `layout`; 0 in padding.
    states : list of Symbol
        After the last step; with `valid_length`, after each sequence's last valid step.

    Raises
    ------
    NotImplementedError
        A cell in `cell` cannot be stepped.
    ValueError
        Your own cell keeps Symbols outside its states from step to step, or contains operators that
        differ in training, which MXNet does not tell a loop. DropoutCell and ZoneoutCell work.

    Examples
    --------
    One graph for every length:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> outputs, states = rnn.dynamic_unroll(rnn.LSTMCell(16, prefix='lstm_'), mx.sym.Variable('x'))
    >>> [outputs.infer_shape(x=(4, length, 5))[1][0] for length in (3, 200)]
    [(4, 3, 16), (4, 200, 16)]
    """
    check_cell('cell', cell)
    blocker = cell._blocker_()
    if blocker is not None:
        raise NotImplementedError('cell must be one that can be stepped, but %r cannot be: '
                                  'use unroll' % blocker)
    _check.instance('inputs', inputs, mx.sym.Symbol, 'a Symbol with the whole sequence')
    outputs, states = unroll_checked(cell, functools.partial(_as_loop, cell), inputs, begin_state,
                                     Options(None, layout, True, dtype, valid_length))
    return merged(outputs, layout), states


def _as_loop(cell: BaseRNNCell, inputs: mx.sym.Symbol, begin_state: States | None,
             options: Options) -> Unrolled:
    layout, lengths = options.layout, options.lengths
    inputs = lengths.mask(inputs, layout)
    states = check_states(cell._first_states_(begin_state, options.dtype), len(cell.state_info),
                          cell)
    inputs = time_major(inputs, layout)
    steps = {_STEP: inputs}
    if isinstance(lengths, GivenLengths) and states:
        steps[_RUNNING] = _running(inputs, lengths)
    outputs, *states = _Loop(cell, states, options.dtype)(steps, states)
    return lengths.mask(time_major(outputs, layout), layout), states


class _Loop:
    """The body of a loop: one step of a cell."""

    def __init__(self, cell: BaseRNNCell, states: list[mx.sym.Symbol],
                 dtype: _check.DType | None) -> None:
        self._cell = cell
        self._cells = list({id(each): each for each in cell._all_cells_()}.values())
        kept = {(each, name): first for each in self._cells
                for name, first in each._kept_between_steps_(states, dtype).items()}
        #: More states of the loop: a cell, the attribute that keeps it, and its first value.
        self._further = {key: first for key, first in kept.items() if first is not None}
        self._unread = kept.keys() - self._further.keys()
        self._variables: dict[str, mx.sym.Symbol] = {}

    def __call__(self, steps: dict[str, mx.sym.Symbol], states: list[mx.sym.Symbol]
                 ) -> list[mx.sym.Symbol]:
        states = states + list(self._further.values())
        names = [_STATE.format(i) for i in range(len(states))]
        variables = [mx.sym.Variable(name) for name in names]
        sequences = [mx.sym.Variable(name) for name in steps]
        with mx.name.NameManager():
            self._before()
            self._body(sequences, variables)
        self._cell.reset()
        self._before()
        outputs, last = mx.sym.contrib.foreach(self._body, sequences, variables)
        loop = mx.sym.Group([outputs] + last)
        actual = {**self._variables, **steps, _TRAINING: _training(steps[_STEP]),
                  **dict(zip(names, states))}
        # In place, because a copy would copy everything that the body reads from outside.
        loop._compose(**{name: actual[name] for name in loop.list_arguments() if name in actual})
        outputs, *last = loop
        count = len(last) - len(self._further)
        for (each, name), value in zip(self._further, last[count:]):
            setattr(each, name, value)
        return [outputs] + last[:count]

    def _before(self) -> None:
        for each in self._cells:
            each._before_loop_()

    def _body(self, steps: list[mx.sym.Symbol],
              states: list[mx.sym.Symbol]) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
        count = len(states) - len(self._further)
        # A loop's backward pass fails if a gradient reaches an input unchanged.
        step, *inner = map(mx.sym.identity, steps[:1] + states)
        for (each, name), value in zip(self._further, inner[count:]):
            setattr(each, name, value)
        before = [dict(vars(each)) for each in self._cells]
        token = TRAINING.set(mx.sym.Variable(_TRAINING))
        try:
            output, new = self._cell(step, inner[:count])
        finally:
            TRAINING.reset(token)
        new = check_states(new, count, self._cell)
        for running in steps[1:]:
            new = hold(running, new, inner[:count])
        new += [getattr(each, name) for each, name in self._further]
        graph = mx.sym.Group([output] + new)
        nodes = graph_of(graph).nodes
        self._check(nodes, before)
        _give_own_gradients(graph, nodes)
        used = graph.list_arguments()
        # foreach needs every state to be used.
        new = [state if old.name in used else mx.sym._internal._identity_with_attr_like_rhs(
            state, old) for state, old in zip(new, states)]
        internals = graph.get_internals()
        self._variables = {name: internals[name] for name in used}
        return output, new

    def _check(self, nodes: Sequence[Node], before: list[dict[str, object]]) -> None:
        """Refuse a body that would behave differently in a loop than in an unrolled graph."""
        for each, attributes in zip(self._cells, before):
            for name, value in vars(each).items():
                if (isinstance(value, mx.sym.Symbol) and value is not attributes.get(name)
                        and (each, name) not in self._further
                        and (each, name) not in self._unread):
                    raise ValueError('cell must keep Symbols from step to step in its states, as '
                                     'a loop carries only these, but %r keeps one as %s'
                                     % (each, name))
        for node in nodes:
            if (has(node.op, 'trained') and _INSIDE in node.attrs and node.get('mode') != 'always'):
                raise ValueError('cell must behave the same in training and in inference, because '
                                 'MXNet does not tell a loop which one runs, but %r uses %s (node '
                                 '%s); DropoutCell and ZoneoutCell work in loops'
                                 % (self._cell, node.op, node.name))


def _give_own_gradients(graph: mx.sym.Symbol, nodes: Sequence[Node]) -> None:
    """Give sums in the body's `graph` identities of the Symbols that they read from outside."""
    def outside(number: int) -> bool:
        return _INSIDE not in nodes[number].attrs

    added = {entry.node for number, node in enumerate(nodes)
             if node.op == 'elemwise_add' and not outside(number)
             for entry in node.inputs if outside(entry.node)}
    if not added:
        return
    # MXNet replaces values computed outside the loop by variables, and returns these values.
    cut = mx.symbol.contrib._cut_subgraph(graph)
    outer = {symbol.list_outputs()[0]: symbol for symbol in cut}
    internals = graph.get_internals()
    for source in added:
        if nodes[source].is_variable:
            outer[nodes[source].name] = internals[nodes[source].name]
    graph._compose(**{name: mx.sym.identity(symbol) for name, symbol in outer.items()})


def _running(inputs: mx.sym.Symbol, lengths: GivenLengths) -> mx.sym.Symbol:
    """1 in each sequence's valid steps and 0 behind them, of shape (length, batch)."""
    ones = mx.sym.Reshape(mx.sym.ones_like(inputs), shape=(0, 0, -1))
    ones = mx.sym.Reshape(mx.sym.slice_axis(ones, axis=2, begin=0, end=1), shape=(0, -1))
    return lengths.mask(ones, 'TN')


def _training(inputs: mx.sym.Symbol) -> mx.sym.Symbol:
    """1 in training and otherwise 0, of shape (1,) and the type of `inputs`."""
    for axis in (0, 1):
        inputs = mx.sym.slice_axis(inputs, axis=axis, begin=0, end=1)
    one = mx.sym.slice_axis(mx.sym.Reshape(mx.sym.ones_like(inputs), shape=(-1,)), axis=0,
                            begin=0, end=1)
    return mx.sym.Dropout(one, p=0.5) != 1  # 0 or 2 in training
