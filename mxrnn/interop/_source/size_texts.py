"""Axes' sizes as text, and the sizes of inputs that a source checks when it runs."""
from __future__ import annotations

from typing import Iterable, Iterator, Mapping, Sequence

from ..._graph.graph import Graph
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import begin_states
from ..._graph.shapes.sizes import (
    Axis,
    Size,
    Sum,
    add,
    axes_in,
    divide,
    is_product,
    product,
    resolve,
)
from .emitter_api import Expr, Unsupported

__all__ = ['described', 'ranges', 'shared', 'size_text', 'stated']


def size_text(size: Size, values: Iterable[Expr]) -> str:
    """The text for an axis' size, read from values that are names."""
    if isinstance(size, int):
        return str(size)
    known: dict[Size, str] = {}
    for value in values:
        if value.text.isidentifier():
            for axis, each in enumerate(value.unswapped.shape):
                if not isinstance(each, int):
                    known.setdefault(each, '%s.shape[%d]' % (value.text, axis))
    return _text(size, known)


def described(size: Size) -> str:
    """An axis' size in terms of named axes; 'any' if these do not tell it."""
    try:
        return _text(size, {axis: axis.label for axis in axes_in(size) if axis.label})
    except Unsupported:
        return 'any'


def _text(size: Size, known: Mapping[Size, str]) -> str:
    """The text for a size, made of known sizes."""
    size = resolve(size)
    if isinstance(size, int):
        return str(size)
    if size in known:
        return known[size]
    if isinstance(size, Sum) and is_product(size):
        (factor, axes), = size.terms
        return ' * '.join(['%d' % factor] * (factor != 1) + [_factor(axis, known) for axis in axes])
    for each, text in known.items():
        times, more = divide(each, size), add(size, product([each], -1))
        if isinstance(times, int):
            return '%s // %d' % (text, times)
        if isinstance(more, int):
            return '%s %s %d' % (text, '-' if more < 0 else '+', abs(more))
    if isinstance(size, Axis):
        raise Unsupported('a size that cannot be read from any array')
    terms = [(number, _text(product(axes, abs(number)), known)) for number, axes in size.terms]
    text = ' '.join('%s %s' % ('-' if number < 0 else '+', text) for number, text in terms)
    text = text[2:] if text.startswith('+') else '-' + text[2:]
    return text if size.divisor == 1 else '%s // %d' % (
        text if len(terms) == 1 else '(%s)' % text, size.divisor)


def _factor(size: Size, known: Mapping[Size, str]) -> str:
    text = _text(size, known)
    return '(%s)' % text if ' ' in text else text


# ---- checks

def stated(graph: Graph, inputs: Mapping[str, Expr], every: bool = False
           ) -> Iterator[tuple[Expr, list[str]]]:
    """The inputs that have numbers for sizes, or `every` one, with the texts of their sizes: names
    in quotes stand for any. torch would take two axes for three without a batch; it checks features
    that a layer reads, and begin states."""
    rows = {graph.nodes[entry.node].name for node in graph.nodes if node.op == 'FullyConnected'
            for entry in node.inputs[:1]}
    for name in [name for name in inputs if name not in _begin_states(graph)]:
        each = inputs[name]
        if every or any(isinstance(size, int) and size > 1 for size in (
                each.shape[:-1] if len(each.shape) < 3 and name in rows else each.shape)):
            yield each, [str(size) if isinstance(size, int) else repr(described(size))
                         for size in each.shape]


def ranges(inputs: Mapping[str, Expr], limits: Mapping[tuple[str, int], range]
           ) -> Iterator[tuple[str, str, int, int, int]]:
    """Names and texts of inputs, with an axis whose size must be in a range, and its ends."""
    for (name, axis), each in limits.items():
        if name in inputs and len(each) > 1:
            text = inputs[name].text
            yield repr(text), text, axis, each[0], each[-1]


def shared(graph: Graph, inputs: Mapping[str, Expr], equal: Mapping[str, Sequence[int]]
           ) -> list[list[str]]:
    """Texts of the sizes that several inputs share; if the graph repeats rows, so that sizes of 1
    may be allowed, only of those that are to be `equal`."""
    repeats = any(node.op.startswith('broadcast_') and len(node.inputs) > 1
                  for node in graph.walk())
    checked = _begin_states(graph)
    found: dict[Size, dict[str, int]] = {}
    for name, each in inputs.items():
        for at, size in enumerate(each.shape):
            if not isinstance(size, int) and name not in checked and (
                    not repeats or size not in found or at in equal.get(name, ())):
                found.setdefault(size, {}).setdefault(each.text, at)
    return [['%s.shape[%d]' % place for place in places.items()]
            for places in found.values() if len(places) > 1]


def _begin_states(graph: Graph) -> set[str]:
    """Variables that only torch.nn's recurrent layers read, as begin states: it checks the batch.
    """
    found = {*range(len(graph.nodes))} - {head.node for head in graph.heads}
    for place in reversed(range(len(graph.nodes))):
        node = graph.nodes[place]
        begins = begin_states(node) if has(node.op, 'kernel') else node.inputs if (
            place in found and node.op in ('Concat', 'Reshape', 'expand_dims', 'stack')) else ()
        found -= {entry.node for entry in node.inputs if entry not in begins}
    return {graph.nodes[place].name for place in found if graph.nodes[place].is_variable}
