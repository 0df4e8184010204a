"""The inputs that a node reads, and axes' sizes as text, read from arrays that have names."""
from __future__ import annotations

from typing import Container, Iterable, Mapping

from ..._graph.graph import Entry, Graph, Node
from ..._graph.operator_table import has
from ..._graph.rnn_vector_layout import arrays_of_rnn
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
from ..._graph.stepping.axis_propagation import is_zero
from .emitter_api import MOVES, Expr, Unsupported

__all__ = ['are_parameters', 'described', 'inputs_of', 'size_text']


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
    terms = [(number, _text(product(axes, abs(number)), known))
             for number, axes in size.terms]
    text = ' '.join('%s %s' % ('-' if number < 0 else '+', text) for number, text in terms)
    text = text[2:] if text.startswith('+') else '-' + text[2:]
    return text if size.divisor == 1 else '%s // %d' % (
        text if len(terms) == 1 else '(%s)' % text, size.divisor)


def _factor(size: Size, known: Mapping[Size, str]) -> str:
    text = _text(size, known)
    return '(%s)' % text if ' ' in text else text


def are_parameters(graph: Graph, entry: Entry, parameters: Container[str]) -> bool:
    """Whether an array consists only of parameters' elements, in any order."""
    return all(node.op in MOVES and (not node.is_variable or node.name in parameters)
               for node in graph.ending_in([entry]).nodes)


def inputs_of(graph: Graph, node: Node, parameters: Container[str], computed: dict[Entry, bool]
              ) -> list[Entry]:
    """The inputs for a node's emitter: without labels of losses and without arrays of which only
    the shape is read. RNN gets the data, computed weights, and begin states that are not all zeros.

    `computed` remembers which nodes compute vectors of weights.
    """
    if node.op == '_identity_with_attr_like_rhs':
        return list(node.inputs[:1])
    if not has(node.op, 'kernel'):
        return list(node.needed_inputs)
    data, vector, *begins = node.inputs
    if vector not in computed:
        computed[vector] = not are_parameters(graph, vector, parameters)
    inputs = arrays_of_rnn(graph, node).inputs
    return [data, *(inputs[1:len(inputs) - len(begins)] if computed[vector] else ()),
            *(() if all(is_zero(graph, each) for each in begins) else begins)]
