"""Numbers in a graph that are its number of steps: which there are, and a graph without them."""
from __future__ import annotations

from typing import Callable, Optional, Sequence

from ..graph import Entry, Graph, Node
from .writing import Writer

__all__ = ['difference', 'fixed_by', 'free']

#: By operator, the attributes that state sizes or places along axes.
_SIZES = {
    'Reshape': 'shape', 'SliceChannel': 'num_outputs', 'broadcast_axis': 'size',
    'broadcast_to': 'shape', '_zeros': 'shape', '_ones': 'shape', '_full': 'shape',
    'slice_axis': 'end', '_arange': 'stop', 'tile': 'reps', 'repeat': 'repeats', 'clip': 'a_max',
    'stack': 'num_args',
}


def fixed_by(graph: Graph, length: int) -> list[str]:
    """The names of nodes that state the size `length`, which may be the number of steps.

    Examples
    --------
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Reshape", "name": "steps", "attrs": {"shape": "(-1, 35, 8)"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> fixed_by(graph, 35), fixed_by(graph, 20)
    (['steps'], [])
    """
    inside = [node for body in graph.nodes for inner in body.subgraphs for node in inner.walk()]
    own = [graph.nodes[place] for place in sorted(_computed(graph))]
    return [node.name for node in own + inside if _states(node, length)]


def _computed(graph: Graph) -> set[int]:
    """Places of the nodes that compute something of the data, and not of weights alone."""
    places = graph.reached(lambda node: [entry for entry in node.inputs
                                         if entry not in node.inputs_of('weight')])
    for place, node in enumerate(graph.nodes):
        if any(entry.node in places for entry in node.inputs):
            places.add(place)
    return places


def _states(node: Node, length: int) -> bool:
    key = _SIZES.get(node.op)
    if key is None:
        return False
    value = getattr(node, key)
    sizes = value if isinstance(value, tuple) else (value,)
    return length in sizes and not (
        sizes[0] in (0, -1) and not node.inputs)  # the state of a cell


def free(graph: Graph, length: int) -> Graph:
    """A rolled graph that does not say how many steps there are, where it said `length`.

    Sizes are read off the sequence that a recurrence gives. What comes before the first one, and
    lists of steps, stay as they are.
    """
    writer = Writer()
    places: dict[int, int] = {}
    steps: Entry | None = None
    computed = _computed(graph)
    for i, node in enumerate(graph.nodes):
        inputs = [Entry(places[entry.node], entry.output) for entry in node.inputs]
        made = None
        if node.op in _FREED and i in computed and _states(node, length):
            made = _FREED[node.op](writer, node, inputs, length, steps)
        places[i] = (made or writer.copy(node, inputs)).node
        if steps is None and node.op == 'RNN':
            steps = Entry(places[i], 0)
        elif steps is None and node.op == '_foreach' and node.inputs:
            steps = inputs[0]  # its first sequence
    return writer.graph([Entry(places[head.node], head.output) for head in graph.heads],
                        graph.version)


Entries = Sequence[Entry]
Made = Optional[Entry]
Free = Callable[[Writer, Node, Entries, int, Made], Made]


def _reshape(writer: Writer, node: Node, inputs: Entries, length: int, steps: Made) -> Made:
    shape = node.shape
    if node.reverse or shape.count(length) != 1:
        return None
    at = shape.index(length)
    if -1 not in shape:
        codes = (*shape[:at], -1, *shape[at + 1:])
        return writer.stand_in('Reshape', node.name, {'shape': codes}, inputs[0])
    splits = shape[0] == -4
    first, rest = (shape[1:3], shape[3:]) if splits else (shape[:2], shape[2:])
    keeps = splits and rest == (-2,)
    if steps is None or set(first) != {-1, length} or not keeps and any(
            code < 1 for code in rest):
        return None
    like = steps if first[0] == length else writer.swap(steps, node.name)
    rows = inputs[0] if keeps else writer.once('Reshape', node.name + '_rows', {
        'shape': (-1, *rest)}, inputs[0])
    made = writer.add('reshape_like', '', {'lhs_begin': 0, 'lhs_end': 1, 'rhs_begin': 0,
                                           'rhs_end': 2}, [rows, like])
    return writer.named(made, node.name)


def _broadcast(writer: Writer, node: Node, inputs: Entries, length: int, steps: Made) -> Made:
    if steps is None or node.size != (length,):
        return None
    return writer.named(writer.add('broadcast_like', '', {
        'lhs_axes': node.axis, 'rhs_axes': (0,)}, [inputs[0], steps]), node.name)


def _whole(writer: Writer, node: Node, inputs: Entries, length: int, steps: Made) -> Made:
    """The first steps of a sequence that has as many."""
    return inputs[0] if node.begin == 0 else None


def _numbered(writer: Writer, node: Node, inputs: Entries, length: int, steps: Made) -> Made:
    if steps is None or node.start != 0 or node.step != 1 or node.repeat != 1:
        return None
    numbers = writer.add('_contrib_arange_like', node.name + '_numbers', {'axis': 0}, [steps])
    return writer.stand_in('Cast', node.name, {'dtype': node.dtype}, numbers)


def _clip(writer: Writer, node: Node, inputs: Entries, length: int, steps: Made) -> Made:
    """Lengths, which are at most as many as there are steps."""
    if steps is None or node.a_min != 0:
        return None
    name = node.name
    entry = steps
    for axis in (1, 2):
        entry = writer.once('slice_axis', name + '_one', {'axis': axis, 'begin': 0, 'end': 1},
                            entry)
    flat = writer.once('Reshape', name + '_flat', {'shape': (-1,)}, entry)
    ones = writer.once('ones_like', name + '_ones', {}, flat)
    count = writer.once('sum', name + '_count', {'axis': 0, 'keepdims': True}, ones)
    least = writer.add('_maximum_scalar', name + '_least', {'scalar': 0}, [inputs[0]])
    return writer.named(writer.add('broadcast_minimum', '', {}, [least, count]), name)


_FREED: dict[str, Free] = {'Reshape': _reshape, 'broadcast_axis': _broadcast,
                           'slice_axis': _whole, '_arange': _numbered, 'clip': _clip}


def difference(first: Graph, second: Graph) -> str | None:
    """The first nodes in which two graphs differ, in words; None if they are the same, but for the
    names of operators."""
    for one, other in zip(first.nodes, second.nodes):
        if _meaning(one) != _meaning(other):
            return '%s and %s differ' % (one.name or one.op, other.name or other.op)
        for inner, outer in zip(one.subgraphs, other.subgraphs):
            found = difference(inner, outer)
            if found is not None:
                return found
    if len(first.nodes) != len(second.nodes) or first.heads != second.heads:
        return 'one has %d nodes and %d outputs, the other %d and %d' % tuple(
            len(part) for graph in (first, second) for part in (graph.nodes, graph.heads))
    return None


def _meaning(node: Node) -> tuple[object, ...]:
    attrs = {key: value for key, value in node.attrs.items() if not key.startswith('__')}
    return (node.op, attrs, node.inputs, len(node.subgraphs), node.num_outputs,
            '' if node.op else node.name)
