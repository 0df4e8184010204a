"""Names for layers and variables, from the program's names for its nodes and parameters."""
from __future__ import annotations

import os
import re
from typing import Iterable, Sequence

from ..._graph.graph import Entry, Graph, Node

__all__ = ['cell_of', 'name_of', 'near_name', 'prefix_of', 'reader_of', 'rnn_of', 'shown']

#: Ends of names that MXNet, its cells, and rolling up make.
_ENDS = re.compile(r'(_(act|slice|rolled|fused|swapped|fwd|rnn|steps?|parameters|[a-z]+\d+))+$')
_PARAMETER = re.compile(r'_?(weight|bias|gamma|beta|(moving|running)_(mean|var)|parameters)$')
#: Automatic names of MXNet: an operator and a number.
_MADE_UP = re.compile(r'_?[a-z_]*\d+(_(swapped|fwd|rolled|plus_residual))?')


def name_of(node: Node) -> str:
    """A name for a node's output: the program's name without the cell's prefix and step; '' if the
    program did not name the node."""
    name = re.sub(r'^.*_t\d+_|_t\d+$', '', node.name)
    return '' if _MADE_UP.fullmatch(name) else _ENDS.sub('', name).strip('_')


def near_name(graph: Graph, entry: Entry) -> str:
    """The name of an array, or of the one that unnamed nodes made it of; '' if there is none."""
    node = graph.nodes[entry.node]
    while not name_of(node) and len(node.inputs) == 1:
        node = graph.nodes[node.inputs[0].node]
    return name_of(node)


def reader_of(graph: Graph, entry: Entry, own: str) -> str:
    """A name for an array: that of the node that reads it, or, after `own`, that of the next named
    node; '' if no name is near."""
    for distance in range(5 if own else 1):
        # The nodes that read an array come after it, usually soon.
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
    """The name of a parameter's layer."""
    return _PARAMETER.sub('', parameter)


def cell_of(parameter: str) -> str:
    """The prefix of a parameter's cell."""
    return re.sub('(^|_)(i2h|h2h)$', '', prefix_of(parameter))


def rnn_of(node: Node, parameters: Sequence[str]) -> str:
    """A name for an RNN: the common part of its cells' names, otherwise its own name."""
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
    """A stranger's names in a form that is safe in a comment or between quotes."""
    every = [ascii(name[:40])[1:-1].replace('\\', '/').replace('"', '/') for name in names]
    return ', '.join(every if len(every) < 6 else [*every[:2], '...', every[-1]])
