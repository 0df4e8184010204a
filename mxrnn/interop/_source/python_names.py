"""Names for layers and variables: from what the program called its nodes and parameters."""
from __future__ import annotations

import os
import re
from typing import Iterable, Sequence

from ..._graph.graph import Entry, Graph, Node

__all__ = ['cell_of', 'name_of', 'prefix_of', 'reader_of', 'rnn_of', 'shown']

#: Ends of names that MXNet, its cells and the rolling of steps make.
_ENDS = re.compile(r'(_(act|slice|rolled|fused|swapped|fwd|rnn|steps?|parameters|[a-z]+\d+))+$')
_PARAMETER = re.compile(r'_?(weight|bias|gamma|beta|(moving|running)_(mean|var)|parameters)$')
#: Names that MXNet makes up: an operator and a number.
_MADE_UP = re.compile(r'_?[a-z_]*\d+(_(swapped|fwd|rolled|plus_residual))?')


def name_of(node: Node) -> str:
    """A name for the output of a node: what the program called it, without the prefix and the
    step of its cell; '' if the program did not name it."""
    name = re.sub(r'^.*_t\d+_', '', node.name)
    return '' if _MADE_UP.fullmatch(name) else _ENDS.sub('', name).strip('_')


def reader_of(graph: Graph, entry: Entry, own: str) -> str:
    """A name for an array: that of the node that reads it, or, behind `own`, that of the next one
    that has a name; '' if there is none near it."""
    for distance in range(5 if own else 1):
        # What reads an array is behind it, and mostly near.
        place, at = next(((place, at) for place in range(entry.node + 1, len(graph.nodes))
                          for at, read in enumerate(graph.nodes[place].inputs) if read == entry),
                         (0, 0))
        if not place:
            break
        node, entry = graph.nodes[place], Entry(place, 0)
        name = name_of(node)
        if node.op == '_foreach':
            graph, name, entry = node.body.graph, '', Entry(node.body.places[at], 0)
        if name:
            return '%s_%s' % (own, name) if distance else name
    return ''


def prefix_of(parameter: str) -> str:
    """The name of the layer that a parameter is of."""
    return _PARAMETER.sub('', parameter)


def cell_of(parameter: str) -> str:
    """The prefix of the cell that a parameter is of."""
    return re.sub('(^|_)(i2h|h2h)$', '', prefix_of(parameter))


def rnn_of(node: Node, parameters: Sequence[str]) -> str:
    """A name for an RNN: what the names of its cells have in common, or else its own name."""
    prefixes = list(dict.fromkeys(map(cell_of, parameters)))
    common = os.path.commonprefix(prefixes)
    if len(prefixes) > 1:
        common = re.sub(r'(_l|_)?\d*$', '', common)
    own = re.sub(r'(_t\d+|_\d+)+$', '', _ENDS.sub('', node.name))
    if not common and not _MADE_UP.fullmatch(node.name) and own not in (
            each.strip('_') for each in prefixes):
        common = own
    return common.strip('_') or node.mode


def shown(names: Iterable[str]) -> str:
    """Names of a stranger's as they may stand in a comment or between quotes."""
    every = [ascii(name[:40])[1:-1].replace('\\', '/').replace('"', '/') for name in names]
    return ', '.join(every if len(every) < 6 else [*every[:2], '...', every[-1]])
