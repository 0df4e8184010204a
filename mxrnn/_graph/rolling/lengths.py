"""Numbers in a graph that are its number of steps: which there are, and a graph without them."""
from __future__ import annotations

import contextlib
from typing import Callable, Mapping, Optional, Sequence

from ..graph import Entry, Graph, Node
from ..operators import has
from ..shapes.axes import Axes, UnknownAxes, factors_of, open_axes
from ..shapes.equal import SizeError
from ..shapes.rules import axes_of
from ..shapes.sizes import Axis, Size, product, same
from .emitting import Counted
from .masks import clips_of, masked
from .plans import Span
from .writing import Writer

__all__ = ['fixed_by', 'free']

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


def _states(node: Node, length: int | None) -> bool:
    key = _SIZES.get(node.op)
    if key is None:
        return False
    value = getattr(node, key)
    sizes = value if isinstance(value, tuple) else (value,)
    return length in sizes and not (
        sizes[0] in (0, -1) and not node.inputs)  # the state of a cell


def free(graph: Graph, length: int | None, totals: Mapping[int, int], counted: Counted | None,
         fixed: dict[str, Span]) -> Graph:
    """A rolled graph that does not say how many steps there are, where it said `length`.

    Sizes are read off the sequence that a recurrence gives. What comes before the first one, and
    lists of steps, stay as they are. `totals` has by place how many steps nodes read: recurrences,
    and those that put together what was cut one by one. Where parts of such sequences are read and
    `counted` does not tell from which end, the graph is made to refuse another number of steps, and
    `fixed` gets the part. So it is, without a `length`, where a Reshape states the number of steps
    of a sequence; `fixed` then gets the whole sequence.
    """
    writer = _Freeing(length, counted, fixed)
    cut: dict[Entry, Node] = {}  # by sequence a Reshape that states its number of steps
    places: dict[int, int] = {}
    computed = _computed(graph)
    for i, node in enumerate(graph.nodes):
        inputs = [Entry(places[entry.node], entry.output) for entry in node.inputs]
        made, written = None, len(writer.nodes)
        if node.op == 'slice_axis':
            made = _part(writer, node, inputs, totals.get(i))
        elif node.op == 'slice':
            made = _slice(writer, node, inputs)
        elif node.op in _FREED and i in computed and _states(node, length):
            made = _FREED[node.op](writer, node, inputs)
        if node.op == 'Reshape' and length is None:
            cut.update(dict.fromkeys(_cut(writer, node, inputs[0]), node))
        places[i] = (made or writer.copy(node, inputs)).node
        _note_axes(writer.nodes, written, writer.axes)
        first = Entry(places[i], 0)
        steps = totals.get(i, length)
        if node.op in ('RNN', '_foreach') and first in writer.axes and steps:
            writer.sequences[first] = steps
    for i, (sequence, axis) in masked(graph).items():
        at, node = places[i], writer.nodes[places[i]]
        if _states(node, length):
            numbers = _numbers(writer, node, Entry(places[sequence.node], sequence.output), axis)
            writer.nodes[at] = writer.nodes[_bounded(writer, node, node.inputs, numbers).node]
    for i, clip in clips_of(graph).items():
        node = writer.nodes[places[i]]
        if node.op == '_identity_with_attr_like_rhs' and writer.nodes[places[clip]].op != 'clip':
            writer.nodes[places[i]] = node._replace(inputs=(node.inputs[0], _as_float32(
                writer, graph.nodes[clip].name, node.inputs[1])))
    heads = [Entry(places[head.node], head.output) for head in graph.heads]
    for each, node in cut.items():
        steps, reading = writer.sequences[each], writer.nodes[:]
        fixed[node.name] = Span(0, 1, steps, steps)
        instead = {each: _pinned(writer, each, node, 0, steps)}
        writer.nodes[:len(reading)] = [reader._replace(inputs=tuple(
            [instead.get(entry, entry) for entry in reader.inputs])) for reader in reading]
        heads = [instead.get(head, head) for head in heads]
    return writer.graph([writer.output(head, name)
                         for head, name in zip(heads, graph.outputs)], graph.version)


class _Freeing(Writer):
    """A graph that is written again without its number of steps.

    Attributes
    ----------
    length : int or None
        The number of steps that is given.
    counted, fixed
        See `free`.
    sequences : dict of Entry to int
        What recurrences give, and how many steps it has.
    axes : dict of Entry to Axes
        The axes of values, as far as the recurrences tell.
    """

    def __init__(self, length: int | None, counted: Counted | None,
                 fixed: dict[str, Span]) -> None:
        super().__init__()
        self.length, self.counted, self.fixed = length, counted, fixed
        self.sequences: dict[Entry, int] = {}
        self.axes: dict[Entry, Axes] = {}

    def like(self, steps: int | None, axes: Axes, count: int, rest: Axes) -> Entry | None:
        """A sequence of `steps`: its first `count` axes and `rest` have as many elements as `axes`.
        """
        size = product(sum(axes, ()))
        return next((entry for entry, total in self.sequences.items() if total == steps and same(
            size, product(sum(self.axes[entry][:count] + rest, ())))), None)

    def first(self) -> Entry | None:
        """The first sequence of the number of steps that is given."""
        return self.like(self.length, [], 0, [])


def _note_axes(nodes: Sequence[Node], begin: int, axes: dict[Entry, Axes]) -> None:
    """Note the axes of what `nodes` give, from number `begin` on."""
    for place in range(begin, len(nodes)):
        with contextlib.suppress(UnknownAxes, SizeError, IndexError):
            for output, found in enumerate(_axes_of(nodes[place], axes)):
                axes[Entry(place, output)] = found
                for axis in open_axes(found):
                    axis.given = 0  # it is none of the numbers in shapes


def _axes_of(node: Node, axes: Mapping[Entry, Axes]) -> list[Axes]:
    """The axes of the outputs of a node, [] where they are not known."""
    if node.op == '_foreach':
        inside: dict[Entry, Axes] = {}
        body, steps = node.body.graph, (Axis(),)
        _note_axes(body.nodes, 0, inside)
        return [[steps, *inside[head]] if inside.get(head) else []
                for head in body.heads[:node.num_out_data]]
    without = [entry for role in ('weight', 'aux', 'length') for entry in node.inputs_of(role)]
    given = [[] if entry in without else axes.get(entry, []) for entry in node.needed_inputs]
    known = [entry in axes or entry in without for entry in node.needed_inputs]
    if has(node.op, 'one shape'):
        return [next(filter(None, given), [])]
    tells = node.op == 'RNN' or node.op == 'FullyConnected' and node.flatten or (
        node.op == 'Reshape' and {-1, 1}.issuperset(node.shape))
    return axes_of(node, given) if tells or all(known) else []


Entries = Sequence[Entry]
Free = Callable[[_Freeing, Node, Entries], Optional[Entry]]


def _reshape(writer: _Freeing, node: Node, inputs: Entries) -> Entry | None:
    shape, length = node.shape, writer.length
    if node.reverse or shape.count(length) != 1:
        return None
    at = shape.index(length)
    if -1 not in shape:
        codes = (*shape[:at], -1, *shape[at + 1:])
        return writer.stand_in('Reshape', node.name, {'shape': codes}, inputs[0])
    splits = shape[0] == -4
    first, rest = (shape[1:3], shape[3:]) if splits else (shape[:2], shape[2:])
    keeps = splits and rest == (-2,)
    axes = writer.axes.get(inputs[0])
    if not axes or set(first) != {-1, length} or not keeps and any(code < 1 for code in rest):
        return None
    like = writer.like(length, axes, 2, axes[1:] if keeps else [rest])
    if like is None:
        return None
    if first[0] != length:
        like = writer.swap(like, node.name)
    rows = inputs[0] if keeps else writer.once('Reshape', node.name + '_rows', {
        'shape': (-1, *rest)}, inputs[0])
    made = writer.add('reshape_like', '', {'lhs_begin': 0, 'lhs_end': 1, 'rhs_begin': 0,
                                           'rhs_end': 2}, [rows, like])
    return writer.named(made, node.name)


def _cut(writer: _Freeing, node: Node, data: Entry) -> list[Entry]:
    """The sequences whose number of steps a Reshape states: their axis of steps becomes it."""
    axes, found = writer.axes.get(data, []), []
    for sequence, steps in writer.sequences.items():
        copies: dict[Size, Axis] = {axis: Axis() for axis in open_axes(axes)}
        time = copies.get(product(sum(writer.axes[sequence][:1], ())))
        if time is not None:
            time.given = steps
            with contextlib.suppress(UnknownAxes, SizeError, IndexError):
                axes_of(node, [[tuple([copies.get(size, size) for size in factors_of(axis)])
                                for axis in axes]])
            if time.bound is not None:
                found.append(sequence)
    return found


def _broadcast(writer: _Freeing, node: Node, inputs: Entries) -> Entry | None:
    like = writer.first()
    if like is None or node.size != (writer.length,):
        return None
    return writer.named(writer.add('broadcast_like', '', {
        'lhs_axes': node.axis, 'rhs_axes': (0,)}, [inputs[0], like]), node.name)


def _part(writer: _Freeing, node: Node, inputs: Entries, steps: int | None) -> Entry | None:
    """A part of a sequence up to its last step; `steps`: so many that were cut one by one."""
    source, begin, end = inputs[0], node.begin, node.end
    axes = writer.axes.get(source)
    if steps:
        return source if steps == writer.length and begin == 0 else _pinned(
            writer, writer.copy(node, inputs), node, node.axis, steps)
    if not axes:  # a mask has as many steps as what it is for
        return source if (begin, end) == (0, writer.length) and (
            writer.nodes[source.node].op == 'ones_like') else None
    if writer.like(end, [axes[node.axis]], 1, []) is None:
        return None
    if begin == 0:
        return source
    source, begin, end = _counted(writer, node, source, node.axis % len(axes), begin, end)
    return writer.stand_in('slice_axis', node.name, {
        'axis': node.axis, 'begin': begin, 'end': end}, source)


def _slice(writer: _Freeing, node: Node, inputs: Entries) -> Entry | None:
    """As `_part`, along several axes."""
    for axis, (size, end) in enumerate(zip(writer.axes.get(inputs[0], []), node.end)):
        if writer.like(end, [size], 1, []) is not None:
            source, *cut = _counted(writer, node, inputs[0], axis, node.begin[axis] or 0, end)
            attrs = {key: str((*given[:axis], new, *given[axis + 1:])) for key, given, new in zip(
                ('begin', 'end'), (node.begin, node.end), cut)}
            return writer.copy(node._replace(attrs={**node.attrs, **attrs}), [source])
    return None


def _counted(writer: _Freeing, node: Node, source: Entry, axis: int, begin: int, end: int
             ) -> tuple[Entry, int, int | None]:
    """What a part up to the last step is cut from, its begin and end for any number of steps."""
    if writer.counted is None and 0 < begin < end - 1:
        writer.fixed[node.name] = Span(begin, 1, end - begin, end)
        return _pinned(writer, source, node, axis, end), begin, end
    if begin > 0 and (writer.counted is None or writer.counted.begin == 'last'):
        begin -= end
    return source, begin, None


def _pinned(writer: Writer, entry: Entry, node: Node, axis: int, steps: int) -> Entry:
    """`entry`, of which an axis must have so many elements; MXNet checks the sizes of a split."""
    split = writer.add('Reshape', node.name + '_fixed', {
        'shape': (0,) * axis + (-4, steps, 1, -2)}, [entry])
    return writer.add('Reshape', node.name + '_joined', {'shape': (0,) * axis + (-3, -2)}, [split])


def _numbered(writer: _Freeing, node: Node, inputs: Entries) -> Entry | None:
    like = writer.first()
    if like is None or node.start != 0 or node.step != 1 or node.repeat != 1:
        return None
    return writer.stand_in('Cast', node.name, {'dtype': node.dtype}, _numbers(writer, node, like))


def _numbers(writer: Writer, node: Node, sequence: Entry, axis: int = 0) -> Entry:
    """The numbers of the steps of a sequence."""
    return writer.once('_contrib_arange_like', node.name + '_numbers', {'axis': axis}, sequence)


def _clip(writer: _Freeing, node: Node, inputs: Entries) -> Entry | None:
    """Lengths, which are at most as many as there are steps."""
    like = writer.first()
    return like and _bounded(writer, node, inputs, _numbers(writer, node, like))


def _as_float32(writer: Writer, name: str, entry: Entry) -> Entry:
    return writer.once('Cast', name + '_cast', {'dtype': 'float32'}, entry)


def _bounded(writer: Writer, node: Node, inputs: Entries, numbers: Entry) -> Entry:
    """Numbers that are at least what `node` says, and at most as many as `numbers`; as float32,
    since only that is sure to be the type of both."""
    name = node.name
    ones, lengths = [_as_float32(writer, name, entry) for entry in (
        writer.once('ones_like', name + '_ones', {}, numbers), inputs[0])]
    count = writer.once('sum', name + '_count', {'axis': 0, 'keepdims': True}, ones)
    least = writer.add('_maximum_scalar', name + '_least', {'scalar': node.a_min}, [lengths])
    return writer.named(writer.add('broadcast_minimum', '', {}, [least, count]), name)


_FREED: dict[str, Free] = {'Reshape': _reshape, 'broadcast_axis': _broadcast,
                           '_arange': _numbered, 'clip': _clip}
