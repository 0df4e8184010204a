"""What a node reads, and sizes of axes as text: read off arrays that have names."""
from __future__ import annotations

import itertools
from typing import Container, Iterable

from ..._graph.graph import Entry, Graph, Node
from .._torch.recurrent import arrays_of_rnn
from .table import MOVES, Size, Unsupported, Value, is_zero

__all__ = ['are_parameters', 'inputs_of', 'size_text']


def size_text(size: Size, values: Iterable[Value]) -> str:
    """The text of the size of an axis, read off those of the values that are names."""
    if isinstance(size, int):
        return str(size)
    known: dict[tuple[int, int], str] = {}
    for value in values:
        if value.text.isidentifier():
            for axis, each in enumerate(value.unswapped.shape):
                if isinstance(each, tuple):
                    known.setdefault(each, '%s.shape[%d]' % (value.text, axis))
    if size in known:
        return known[size]
    for (one, text), (other, further) in itertools.combinations_with_replacement(known.items(), 2):
        if (one[0] * other[0], one[1] * other[1]) == size:
            return '%s * %s' % (text, further)
    for one, text in known.items():
        factor, rest = divmod(size[0], one[0])
        if not rest and factor * one[1] == size[1]:
            return '%d * %s' % (factor, text)
        if one[0] % size[0] == 0 and one[1] == one[0] // size[0] * size[1]:
            return '%s // %d' % (text, one[0] // size[0])
        more = size[0] - one[0]
        if more == size[1] - one[1]:
            return '%s %s %d' % (text, '-' if more < 0 else '+', abs(more))
    raise Unsupported('a size that can be read nowhere')


def are_parameters(graph: Graph, entry: Entry, parameters: Container[str]) -> bool:
    """Whether an array has elements of parameters alone, in any order."""
    return all(node.op in MOVES and (not node.is_variable or node.name in parameters)
               for node in graph.ending_in([entry]).nodes)


def inputs_of(graph: Graph, node: Node, parameters: Container[str], computed: dict[Entry, bool]
              ) -> list[Entry]:
    """What the emitter of a node gets: no labels of losses, no arrays that others are only like;
    of RNN the data, weights if the graph computes them, and begin states that are not all zeros.

    `computed` keeps whether it computes vectors of weights.
    """
    if node.op == '_identity_with_attr_like_rhs':
        return list(node.inputs[:1])
    if node.op != 'RNN':
        return list(node.needed_inputs)
    data, vector, *begins = node.inputs
    if vector not in computed:
        computed[vector] = not are_parameters(graph, vector, parameters)
    inputs = arrays_of_rnn(graph, node).inputs
    return [data, *(inputs[1:len(inputs) - len(begins)] if computed[vector] else ()),
            *(() if all(is_zero(graph, each) for each in begins) else begins)]
