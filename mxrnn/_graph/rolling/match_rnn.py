"""Recognises steps that sym.RNN computes, LSTM, GRU and RNN, by what they compute.

Sums and products may be in any order, and gates in any order in the weights; biases are optional.
"""
from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple, Sequence, Tuple, Union

from ..graph import Node
from ..operator_table import has
from .numbered_values import Rank, Values
from .step_columns import Column, StepRecurrence, alike

__all__ = ['Gate', 'Kernel', 'find_kernel']


#: Sums and products of one shape: a begin state of one row for the whole batch does not fit.
_SUMS, _PRODUCTS = ('elemwise_add', 'add_n'), ('elemwise_mul',)

#: A name for any column, the same wherever it stands; or '+', '*', '1-' or an activation, and what
#: it is made of: of sums and products in any order.
Pattern = Union[str, Tuple[Any, ...]]
#: The memory of an LSTM; the output of a GRU; and its candidate before the activation.
_MEMORY: Pattern = ('+', ('*', ('sigmoid', 'forget'), 'before'),
                    ('*', ('sigmoid', 'enter'), ('tanh', 'candidate')))
_MIXTURE: Pattern = ('+', ('*', 'update', 'state'), ('*', ('1-', 'update'), ('tanh', 'inner')))
_CANDIDATE: Pattern = ('+', 'entering', ('*', ('sigmoid', 'reset'), 'recurrent'))


class Gate(NamedTuple):
    """The weights of one gate: the rows of part `part` of `parts` in a weight and a bias (None: no
    bias), and the weight's columns for the data."""
    weight: int
    bias: int | None
    part: int
    parts: int
    #: For a product with data and state side by side: whether the state is first; otherwise None.
    joined: bool | None = None
    #: Whether the weight's rows and columns are swapped, as for `dot`.
    exchanged: bool = False


class Kernel(NamedTuple):
    """A recurrence in the form of sym.RNN."""

    mode: str
    units: int
    #: The input of each step, as the only element: a column from outside.
    data: list[Column]
    #: By gate, in the order of sym.RNN.
    i2h: list[Gate]
    h2h: list[Gate]
    #: The output and, for an LSTM, the memory, with their begin states.
    output: Column
    memory: Column | None
    begin: tuple[int, ...]
    #: Whether a product flattens a step's input. If none does, the input has two axes.
    flattens: bool = True


class _Other(Exception):
    """It is not a kernel; the message says why."""


def find_kernel(values: Values, ranks: Sequence[Rank], recurrence: StepRecurrence) -> Kernel | str:
    """The recurrence as a kernel, or the reason why it is none."""
    try:
        return _Matcher(values, ranks, recurrence).kernel()
    except _Other as reason:
        return str(reason)


class _Term(NamedTuple):
    """A product in a sum: its column, and the part of it that is taken."""

    column: Column
    part: int
    parts: int


class _Matcher:
    def __init__(self, values: Values, ranks: Sequence[Rank], recurrence: StepRecurrence) -> None:
        self._values, self._ranks, self._recurrence = values, ranks, recurrence
        self._units = 0
        self._flattens = False  # whether a gate has a FullyConnected, which makes two axes

    # ---- reading columns

    def _op(self, column: Column) -> str:
        if alike(self._values, column.by_step) is None:
            return ''
        return self._values.node(column.by_step[0]).op

    def _node(self, column: Column) -> Node:
        return self._values.node(column.by_step[0])

    def _of(self, column: Column) -> list[Column]:
        """The columns that a column's nodes read, even if it comes from outside."""
        if column.family is not None:
            return column.family.inputs
        nodes = [self._values.owner[value] for value in column.by_step]
        return [Column(by_step) for by_step in self._values.read_by(nodes)]

    def _activation(self, column: Column) -> str:
        op = self._op(column)
        return self._node(column).act_type if op == 'Activation' else op

    def _matches(self, pattern: Pattern, column: Column, known: Mapping[str, Column]
                 ) -> Iterator[Mapping[str, Column]]:
        """The ways in which a column is made as a pattern says, as columns by the pattern's names;
        those of `known` names are given."""
        if isinstance(pattern, str):
            if known.get(pattern, column) is column:
                yield {**known, pattern: column}
            return
        kind, *inner = pattern
        for read in self._orders(kind, column):
            found = [known]
            for each, part in zip(read, inner):
                found = [more for one in found for more in self._matches(part, each, one)]
            yield from found

    def _orders(self, kind: str, column: Column) -> list[list[Column]]:
        """The columns of which a column is made, in each order; none if it is of another kind."""
        op, read = self._op(column), self._of(column)
        if kind == '1-':  # one, or an array of ones
            is_rest = op == '_rminus_scalar' and float(self._node(column).scalar) == 1 or (
                op == 'elemwise_sub' and self._values.are_ones(read[0].by_step))
            return [read[-1:]] if is_rest else []
        if kind in '+*':
            ops = _SUMS if kind == '+' else _PRODUCTS
            return [read, read[::-1]] if op in ops and len(read) == 2 else []
        return [read[:1]] if self._activation(column) == kind else []

    # ---- recurrences

    def kernel(self) -> Kernel:
        states = self._recurrence.states
        reasons = []
        kinds = {1: [self._rnn, self._gru], 2: [self._lstm]}.get(len(states))
        if kinds is None:
            raise _Other('it has %d states' % len(states))
        for kind in kinds:
            try:
                return self._checked(kind())
            except _Other as reason:
                reasons.append(str(reason))
        raise _Other(reasons[-1])

    def _checked(self, kernel: Kernel) -> Kernel:
        for column, steps in self._recurrence.read:
            if column is kernel.output:
                continue
            if column is not kernel.memory:
                raise _Other('a value inside its steps is read: %s' % self._node(column).name)
            if steps != [self._recurrence.steps - 1]:
                raise _Other('its memory is read: %s' % self._node(column).name)
        for state in kernel.begin:
            shape = self._values.node(state).stated_shape
            if len(shape) == 2 and shape[1] not in (0, -1, kernel.units):
                raise _Other('its states begin with another size')
        return kernel._replace(flattens=self._flattens)

    def _rnn(self) -> Kernel:
        (state,) = self._recurrence.states
        output = _after(state)
        activation = self._activation(output)
        if activation not in ('tanh', 'relu'):
            raise _Other('its steps are not LSTM, GRU or RNN')
        data, i2h, h2h = self._gates([self._of(output)[0]], state)
        return Kernel('rnn_' + activation, self._units, [data], i2h, h2h, output, None,
                      (state.by_step[0],))

    def _lstm(self) -> Kernel:
        for memory in map(_after, self._recurrence.states):
            for found in self._matches(_MEMORY, memory, {}):
                if found['before'].after is memory:
                    return self._lstm_output(memory, found)
        raise _Other('its steps are not LSTM')

    def _lstm_output(self, memory: Column, inner: Mapping[str, Column]) -> Kernel:
        state = self._recurrence.states[0]
        output = _after(state)
        for found in self._matches(('*', ('tanh', 'memory'), ('sigmoid', 'last')), output, {
                **inner, 'memory': memory}):
            data, i2h, h2h = self._gates([found[gate] for gate in (
                'enter', 'forget', 'candidate', 'last')], state)
            return Kernel('lstm', self._units, [data], i2h, h2h, output, memory,
                          (state.by_step[0], found['before'].by_step[0]))
        raise _Other('its output differs from an LSTM')

    def _gru(self) -> Kernel:
        (state,) = self._recurrence.states
        output = _after(state)
        for found in self._matches(_MIXTURE, output, {'state': state}):
            if self._activation(found['update']) == 'sigmoid':
                return self._gru_gates(state, output, found['update'], found['inner'])
        raise _Other('its steps are not LSTM, GRU or RNN')

    def _gru_gates(self, state: Column, output: Column, update: Column, inner: Column) -> Kernel:
        for found in self._matches(_CANDIDATE, inner, {}):
            data, i2h, h2h = self._gates([found['reset'], self._of(update)[0]], state)
            own, own_i2h, none = self._terms(found['entering'], state)
            nothing, _, own_h2h = self._terms(found['recurrent'], state)
            if not none and not nothing and own[0].by_step == data.by_step:
                return Kernel('gru', self._units, [data], i2h + own_i2h, h2h + own_h2h, output,
                              None, (state.by_step[0],))
        raise _Other('its reset gate is not applied to the product with the state, as sym.RNN does')

    # ---- gates

    def _gates(self, columns: Sequence[Column], state: Column
               ) -> tuple[Column, list[Gate], list[Gate]]:
        """The data that enters the sums, and each sum's weights."""
        terms = [self._terms(column, state) for column in columns]
        if not all(data and second for data, _, second in terms):
            raise _Other('a gate lacks a product with the input or one with the state')
        if len({data[0].by_step for data, _, _ in terms}) > 1:
            raise _Other('its gates read different inputs')
        if not self._flattens and self._ranks[state.by_step[0]] != 2:
            raise _Other('dot may multiply arrays of more than two axes')
        return terms[0][0][0], [gate for _, first, _ in terms for gate in first], [
            gate for _, _, second in terms for gate in second]

    def _terms(self, column: Column, state: Column) -> tuple[list[Column], list[Gate], list[Gate]]:
        """In a sum: the data, and the weights of the products with the data and with the state."""
        data: list[Column] = []
        i2h: list[Gate] = []
        h2h: list[Gate] = []
        for term in self._flat(column):
            read, weight, *biases = self._of(term.column)
            node = self._node(term.column)
            self._flattens |= node.op == 'FullyConnected'
            gate = Gate(self._fixed(weight, 2), self._fixed(biases[0], 1) if biases else None,
                        term.part, term.parts,
                        exchanged=node.op == 'dot' and not node.transpose_b)
            self._check_units(term, gate)
            if read is state:
                h2h.append(gate)
            else:
                joined = self._beside(read, state)
                if joined is not None:
                    read, first = joined
                    gate = gate._replace(joined=first)
                    h2h.append(gate)
                    gate = gate._replace(bias=None)
                if not read.is_outside:
                    raise _Other('a gate reads more than input and state')
                data.append(read)
                i2h.append(gate)
            if len(data) > 1 or len(h2h) > 1:
                raise _Other('a gate is a sum of several products with the input or the state')
        return data, i2h, h2h

    def _beside(self, column: Column, state: Column) -> tuple[Column, bool] | None:
        """Data that is joined with the state, and whether the state comes first."""
        if has(self._op(column), 'joins') and self._node(column).dim in (1, -1):
            parts = self._of(column)
            if len(parts) == 2 and state in parts:
                first = parts[0] is state
                return parts[first], first
        return None

    def _fixed(self, column: Column, rank: int) -> int:
        """The value of a column that all steps share, with this number of axes."""
        if not self._values.are_one(column.by_step):
            raise _Other('its weights are not the same in all steps')
        if self._ranks[column.by_step[0]] not in (None, rank):
            raise _Other('its weights have other axes')
        return column.by_step[0]

    def _check_units(self, term: _Term, gate: Gate) -> None:
        node = self._node(term.column)
        if node.op == 'dot':
            shape = self._values.node(gate.weight).stated_shape
            if len(shape) != 2:
                raise _Other('the sizes of its weights are not known')
            rows = shape[gate.exchanged]
        else:
            rows = node.num_hidden
        self._units = self._units or rows // term.parts
        if not rows or rows != self._units * term.parts:
            raise _Other('its gates have different sizes')

    def _flat(self, column: Column) -> Iterator[_Term]:
        """The products whose sum is `column`."""
        pending = [_Term(column, 0, 1)]
        while pending:
            term = pending.pop()
            op, node = self._op(term.column), self._node(term.column)
            if op in _SUMS:
                pending.extend(term._replace(column=each) for each in self._of(term.column))
            elif op == 'FullyConnected':
                if not node.flatten:
                    raise _Other('a product does not flatten its input')
                yield term
            elif op == 'dot' and not node.transpose_a:
                yield term
            elif op == 'SliceChannel' and term.parts == 1 and (
                    node.axis in (1, -1) and not node.squeeze_axis):
                pending.append(_Term(self._of(term.column)[0],
                                     self._values.output(term.column.by_step[0]),
                                     node.num_outputs))
            elif op == 'slice_axis' and term.parts == 1:
                pending.append(self._cut(term))
            else:
                raise _Other('a gate is not a sum of products with weights')

    def _cut(self, term: _Term) -> _Term:
        """The part of a sum that slice_axis takes."""
        node, base = self._node(term.column), self._of(term.column)[0]
        inner = base
        while self._op(base) in _SUMS:
            base = self._of(base)[0]
        if node.axis not in (1, -1) or self._op(base) != 'FullyConnected':
            raise _Other('a gate is not a sum of products with weights')
        rows = self._node(base).num_hidden
        begin, end = node.begin % rows, rows if node.end is None else node.end
        end = end if end > 0 else end % rows
        size = end - begin
        if size < 1 or rows % size or begin % size:
            raise _Other('its gates have different sizes')
        return _Term(inner, begin // size, rows // size)


def _after(state: Column) -> Column:
    assert state.after is not None
    return state.after
