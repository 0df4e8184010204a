"""Sizes of nodes that are the number of steps: rules that read them from sequences instead."""
from __future__ import annotations

import math
from typing import Callable, Iterable, Optional, Sequence

from ..graph import Entry, Graph, Node
from ..graph_editing import Writer, with_variables_as_in
from ..shapes.axis_factors import number_of
from ..shapes.sizes import product, same
from .sequence_axes import note_axes
from .writer_noting_sequences import Freeing

__all__ = ['FREED', 'Entries', 'as_float32', 'bounded', 'computed',
           'freed_body', 'freed_reshape', 'numbers', 'repeated_axis', 'states']

#: By operator, the attributes that state sizes or places along axes.
_SIZES = {
    'Reshape': 'shape', 'SliceChannel': 'num_outputs', 'broadcast_axis': 'size',
    'broadcast_to': 'shape', '_zeros': 'shape', '_ones': 'shape', '_full': 'shape',
    'slice_axis': 'end', '_arange': 'stop', 'tile': 'reps', 'repeat': 'repeats', 'clip': 'a_max',
    'stack': 'num_args',
}

Entries = Sequence[Entry]
Free = Callable[[Freeing, Node, Entries], Optional[Entry]]


def states(node: Node, length: int | None) -> bool:
    """Whether a node states the size `length`."""
    key = _SIZES.get(node.op)
    if key is None:
        return False
    value = _stop(node) if node.op == '_arange' else getattr(node, key)
    sizes = value if isinstance(value, tuple) else (value,)
    return length in sizes and not (
        sizes[0] in (0, -1) and not node.inputs)  # the state of a cell


def _stop(node: Node) -> float:
    """The end of an `_arange`'s numbers: if there is only one number, it is the end."""
    stop: float = node.start if node.stop is None else node.stop
    return stop


def computed(graph: Graph) -> set[int]:
    """Places of the nodes that compute something from the data, not only from weights."""
    places = graph.reached(lambda node: [entry for entry in node.inputs
                                         if entry not in node.inputs_of('weight')])
    for place, node in enumerate(graph.nodes):
        if any(entry.node in places for entry in node.inputs):
            places.add(place)
    return places


def freed_reshape(writer: Freeing, node: Node, inputs: Entries, length: int | None = None
             ) -> Entry | None:
    shape, length = node.shape, length or writer.length
    if node.reverse or shape.count(length) != 1:
        return None
    at = shape.index(length)
    axes = writer.axes.get(inputs[0])
    others = [*shape[:at], *shape[at + 1:]]
    if axes and min(others, default=1) > 0 and any(
            same(product(sum(axes, ())), product([time], math.prod(others)))
            for time in writer.times(length)):
        return writer.stand_in('Reshape', node.name, {
            'shape': (*shape[:at], -1, *shape[at + 1:])}, inputs[0])
    if -1 not in shape:  # the other numbers stay, and so does the batch
        made: Entry | None = inputs[0]
        if not axes or min(shape[:at], default=0) < 0 or (
                writer.steps_of(axes[at]) if at < len(axes) else None) != length:
            codes = [-1 if place == 1 - at else code for place, code in enumerate(shape)]
            made = freed_reshape(writer, node._replace(name=node.name + '_split', attrs={
                'shape': str(tuple(codes))}), inputs) if at < 2 <= len(shape) else None
        return made and writer.stand_in('Reshape', node.name, {
            'shape': (*shape[:at], 0, *shape[at + 1:])}, made)
    kept = next(place for place, code in enumerate(shape) if code)
    codes, axes = shape[kept:], (axes or [])[kept:]
    if 1 in codes[:2] and length in codes[2:3]:
        one = kept + codes.index(1)
        made = freed_reshape(writer, node._replace(name=node.name + '_row', attrs={
            'shape': str((*shape[:one], *shape[one + 1:]))}), inputs, length)
        return made and writer.stand_in('expand_dims', node.name, {'axis': one}, made)
    splits = codes[0] == -4
    first, rest = (codes[1:3], codes[3:]) if splits else (codes[:2], codes[2:])
    keeps = splits and (rest == (-2,) or rest == (0,) * len(axes[1:]))
    if not axes or set(first) != {-1, length} or not keeps and any(code < 1 for code in rest):
        return None
    like = writer.like(length, axes, axes[1:] if keeps else [rest])
    if like is None:
        return None
    if first[0] != length:
        like = writer.swap(like, node.name)
    rows = inputs[0] if keeps else writer.once('Reshape', node.name + '_rows', {
        'shape': (*shape[:kept], -1, *rest)}, inputs[0])
    made = writer.add('reshape_like', '', {'lhs_begin': kept, 'lhs_end': kept + 1, 'rhs_begin': 0,
                                           'rhs_end': 2}, [rows, like])
    return writer.named(made, node.name)


def _broadcast(writer: Freeing, node: Node, inputs: Entries) -> Entry | None:
    axes = writer.axes.get(inputs[0], [])
    at = repeated_axis(node, writer.length, len(axes))
    if at is None or node.op in ('repeat', 'tile') and (
            number_of(axes[at]) if at < len(axes) else None) != 1:
        return None  # only axes of size 1 are certainly repeated as a whole
    like, of = writer.stated(writer.beside[node.name]) if node.name in writer.beside else (
        writer.steps())
    return like and writer.named(writer.add('broadcast_like', '', {
        'lhs_axes': (at,), 'rhs_axes': (of,)}, [inputs[0], like]), node.name)


def repeated_axis(node: Node, length: int | None, rank: int = 0) -> int | None:
    """The only axis along which a node repeats something, if it does so `length` times. `repeat`
    and `tile` need the `rank` of what they repeat."""
    found = [(axis, size) for axis, size in _repetitions(node, rank) if size > 1]
    return found[0][0] if [size for _, size in found] == [length] and found[0][0] >= 0 else None


def _repetitions(node: Node, rank: int) -> Iterable[tuple[int, int]]:
    """Axes, and the sizes that they get, or how often they are repeated."""
    if node.op == 'broadcast_axis':
        return zip(node.axis, node.size)
    if node.op == 'broadcast_to':
        return enumerate(node.shape)
    if node.op == 'tile':
        return enumerate(node.reps, rank - len(node.reps))
    return [(node.axis % rank, node.repeats)] if (
        node.op == 'repeat' and rank and node.axis is not None) else []


def _numbered(writer: Freeing, node: Node, inputs: Entries) -> Entry | None:
    like, axis = writer.steps()
    if like is None or (node.stop is not None and node.start != 0) or node.step != 1 or (
            node.repeat != 1):
        return None
    return writer.stand_in('Cast', node.name, {'dtype': node.dtype}, numbers(
        writer, node, like, axis))


def numbers(writer: Writer, node: Node, sequence: Entry, axis: int = 0) -> Entry:
    """The numbers of a sequence's steps."""
    return writer.once('_contrib_arange_like', node.name + '_numbers', {'axis': axis}, sequence)


def _clip(writer: Freeing, node: Node, inputs: Entries) -> Entry | None:
    """Lengths, limited to the number of steps."""
    like, axis = writer.steps()
    return bounded(writer, node, inputs, numbers(writer, node, like, axis)) if (
        like in writer.sequences) else None


def as_float32(writer: Writer, name: str, entry: Entry) -> Entry:
    return writer.once('Cast', name + '_cast', {'dtype': 'float32'}, entry)


def bounded(writer: Writer, node: Node, inputs: Entries, count: Entry) -> Entry:
    """Numbers that are at least what `node` states, and at most as many as `count` numbers; as
    float32, which is certain to be the type of both."""
    name = node.name
    ones, lengths = [as_float32(writer, name, entry) for entry in (
        writer.once('ones_like', name + '_ones', {}, count), inputs[0])]
    most = writer.once('sum', name + '_count', {'axis': 0, 'keepdims': True}, ones)
    least = writer.add('_maximum_scalar', name + '_least', {'scalar': node.a_min}, [lengths])
    return writer.named(writer.add('broadcast_minimum', '', {}, [least, most]), name)


FREED: dict[str, Free] = {'Reshape': freed_reshape, 'broadcast_axis': _broadcast,
                          'broadcast_to': _broadcast, 'repeat': _broadcast, 'tile': _broadcast,
                          '_arange': _numbered, 'clip': _clip}


def freed_body(writer: Freeing, loop: Node, inputs: Entries) -> Node:
    """A loop whose body reads sizes from the sequences that all steps share, as attention does."""
    if len(loop.subgraphs) != 1 or not loop.body.fits(loop):
        return loop
    body, inner = loop.body, Freeing(writer.length, {}, writer.counted, {})
    read = {place: writer.axes.get(entry, []) for place, entry in zip(
        body.places[body.data:], inputs[body.data:])}
    places: dict[int, int] = {}
    from_data, changed = computed(body.graph), False
    for i, node in enumerate(body.graph.nodes):
        given, written = [Entry(places[each.node], each.output) for each in node.inputs], len(
            inner.nodes)
        rule = FREED.get(node.op) if i in from_data and states(node, writer.length) else None
        made = rule and rule(inner, node, given)
        changed |= bool(made)
        first = made or inner.copy(node, given)
        places[i] = first.node
        note_axes(inner.nodes, written, inner.axes)
        totals = [writer.steps_of(size) for size in read.get(i, [])[:2]]
        if totals and writer.length in totals:
            inner.axes[first] = read[i]
            if totals[0] != writer.length:
                first = inner.swap(first, node.name)
                note_axes(inner.nodes, first.node, inner.axes)
            inner.sequences[first] = writer.length or 0
    heads = [Entry(places[head.node], head.output) for head in body.graph.heads]
    return loop._replace(subgraphs=(with_variables_as_in(inner.graph(
        heads, body.graph.version), body.graph),)) if changed else loop
