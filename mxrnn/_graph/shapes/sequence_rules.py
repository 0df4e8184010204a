"""The effect of RNN on axes, and of operators that know the lengths of sequences."""
from __future__ import annotations

from ..graph import Node
from ..rnn_vector_layout import FusedLayout
from .axis_factors import Axes, number_of
from .rule_api import Array, alike, rule
from .sizes import product
from .unification import SizeError, suggest, unify

__all__: list[str] = []


@rule('SequenceReverse SequenceMask SequenceLast')
def _sequences(node: Node, data: Array, *lengths: Array) -> Axes:
    at = data.place(0 if node.op == 'SequenceReverse' else node.axis)
    if node.use_sequence_length or node.op != 'SequenceMask':
        suggest(product(data[at]), 'time')
    if node.use_sequence_length:
        suggest(product(data[1 - at]), 'batch')
        data = data.as_long(1 - at, *lengths)
    if node.op == 'SequenceLast':
        return data.replaced(at, []) or [()]
    mixes = node.op == 'SequenceReverse' or node.use_sequence_length
    return data.mixed([at] if mixes else [])


@rule('RNN', needs=0)
def _rnn(node: Node, data: Array, parameters: Array, *others: Array) -> tuple[Axes, ...]:
    steps, batch, width = data = data.of_rank(3)
    size = number_of(parameters.of_rank(1)[0])
    if size is not None and node.projection_size is None:
        try:
            unify(product(width), FusedLayout.of(node).num_input(size, 'parameters'))
        except ValueError as error:
            raise SizeError(str(error)) from None
    suggest(product(steps), 'time')
    suggest(product(batch), 'batch')
    sides = 1 + node.bidirectional
    state: Axes = [(node.num_layers * sides,), batch, (node.state_size,)]
    states = 2 if node.mode == 'lstm' else 1
    state = alike(state, *others[:states])
    if node.use_sequence_length:
        data.as_long(1, *others[states:])
    return [steps, batch, (node.state_size * sides,)], state, state
