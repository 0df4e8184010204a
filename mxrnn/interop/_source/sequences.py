"""Operators that use the lengths of sequences: masks, last steps, reversed sequences."""
from __future__ import annotations

from ..._graph.graph import Node
from .emitter_api import Emitted, Expr, emits, number
from .method_writer import MethodWriter
from .pasted import mask_steps, reverse_sequences

__all__: list[str] = []


def _batch_major(x: Expr, time: int) -> tuple[Expr, int]:
    """The array in the order of its text, and the axis of time; a swap of axes is not written."""
    return (x.unswapped, 1 - time) if x.swapped else (x, time)


@emits('SequenceLast')
def _sequence_last(scope: MethodWriter, node: Node, x: Expr, *length: Expr) -> Emitted:
    x, time = _batch_major(x, node.axis)
    if not node.use_sequence_length:
        return '%s[%s-1]' % (x.of, ':, ' * time)
    x = scope.named(x)
    rows = 'torch.arange(%s, device=%s.device)' % (scope.size(x.shape[1 - time], x), x)
    last = '(%s.long() - 1).clamp(min=0)' % length[0].of
    return '%s[%s]' % (x, ', '.join([rows, last] if time else [last, rows]))


@emits('SequenceMask')
def _sequence_mask(scope: MethodWriter, node: Node, x: Expr, *length: Expr) -> Emitted:
    if not node.use_sequence_length:
        return x
    own, time = _batch_major(x, node.axis)
    name = scope.helper(mask_steps)
    value = ', ' + number(node.value) if node.value else ''
    return x._replace(text='%s(%s, %s, %d%s)' % (name, own, length[0], time, value), parameter=None)


@emits('SequenceReverse')
def _sequence_reverse(scope: MethodWriter, node: Node, x: Expr, *length: Expr) -> Emitted:
    if not node.use_sequence_length:
        own, time = _batch_major(x, 0)
        return x._replace(text='%s.flip(%d)' % (own.of, time), parameter=None)
    name = scope.helper(reverse_sequences)
    return '%s(%s, %s)' % (name, x, length[0])
