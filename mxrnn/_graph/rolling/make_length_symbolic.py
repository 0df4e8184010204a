"""Numbers in a graph that mean its number of steps: finds them, and removes them."""
from __future__ import annotations

from typing import Mapping, Sequence

from ..graph import Entry, Graph, Node
from ..graph_editing import Fixed
from ..operator_table import has
from ..shapes.axis_factors import number_of
from ..shapes.sizes import Axis, axes_in, number_for, product
from .ambiguity import Counted, ends
from .lengths_clipped_or_fixed_by_fuse import clips_of, freed_of_fuse, masked, read_checked
from .lengths_stated_by_reshapes import stated_steps
from .reshapes_that_keep_lengths import kept_by_reshape
from .sequence_axes import note_axes
from .sizes_read_from_sequences import (
    FREED,
    Entries,
    as_float32,
    bounded,
    computed,
    freed_body,
    freed_reshape,
    numbers,
    repeated_axis,
    states,
)
from .steps_stated_before_recurrences import (
    cut_steps,
    input_beside,
    read_along,
    read_step_by_step,
)
from .vectorisation_plan import Span
from .writer_noting_sequences import Freeing

__all__ = ['BEFORE_LOSS', 'fixed_by', 'make_length_symbolic']

#: The attribute of nodes whose losses were left out.
BEFORE_LOSS = '__before_loss__'
#: Operators that make as many elements as they state, whatever their inputs.
_AS_MANY = '_arange', 'broadcast_to', 'repeat', 'tile'
#: Operators with a kernel, whose size may be that of all steps.
_WINDOWED = 'Convolution', 'Convolution_v1', 'Pooling', 'Pooling_v1'


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
    own = [graph.nodes[place] for place in sorted(computed(graph))]
    return [node.name for node in own + inside if states(node, length)]


def make_length_symbolic(graph: Graph, length: int | None, axes: Mapping[str, int],
                         totals: Mapping[int, int], counted: Counted | None, fixed: Fixed,
                         shapes: Mapping[str, Sequence[int | str]]) -> Graph:
    """A rolled-up graph without the number of steps `length`.

    Sizes are read from the sequence that a recurrence returns, and before the first recurrence from
    an input in `axes`, with its shape in `shapes`; lists of steps stay. `totals` has, by place, how
    many steps nodes read: for recurrences, and for nodes that join steps which were cut one by one;
    0 for parts that stay. If parts of such sequences are read, and neither `counted` nor their
    places tell from which end, the graph refuses another number of steps, and `fixed` gets the
    reason. The same happens if a Reshape, or an operator that repeats or counts, states the number
    of steps and this number has to stay, and if a kernel has all steps.
    """
    writer = Freeing(length, axes, counted, fixed)
    places: dict[int, int] = {}
    from_data, as_many, before_losses = computed(graph), [], _before_losses(graph)
    read = read_step_by_step(graph)
    (checks, freed), totals = freed_of_fuse(graph, length), {**read_checked(graph), **totals}
    totals = {**stated_steps(graph, totals, length), **totals}
    cut = cut_steps(graph, totals, {(Entry(i, 0), axes[node.name]): length for i, node in enumerate(
        graph.nodes) if length and node.is_variable and node.name in axes},
        length if counted and length else 0)
    repeated = [(i, node.name, repeated_axis(node, length)) for i, node in enumerate(graph.nodes)]
    writer.beside = {name: beside for i, name, axis in repeated if axis is not None
                     for beside in [input_beside(graph, i, axis, axes)] if beside}
    # Values before the first recurrence may get their steps from an input that is read later.
    for i, node in sorted(enumerate(graph.nodes), key=lambda each: bool(axes and each[1].op)):
        inputs = [Entry(places[entry.node], entry.output) for entry in node.inputs]
        made, written = None, len(writer.nodes)
        if i in checks:
            made = inputs[0]
        elif node.op == 'slice_axis':
            made = _part(writer, node, inputs, totals.get(i), cut.get((i, node.axis)))
        elif node.op == 'slice':
            made = _slice(writer, node, inputs, {axis: steps for (at, axis), steps in cut.items()
                                                 if at == i})
        elif node.op in FREED and i in from_data and states(node, length):
            made = FREED[node.op](writer, node, inputs)
        elif i in before_losses and node.op == 'Reshape' and -1 in node.shape:
            made = next(filter(None, [
                freed_reshape(writer, node, inputs, steps) for steps in {*writer.sequences.values()}
                if writer.splits_off(node, inputs[0], steps)]), None)
        if node.op in _AS_MANY and i in from_data and made is None:
            as_many.append((node, {each for entry in inputs for each in writer.behind[entry.node]}))
        places[i] = (made or writer.copy(
            freed_body(writer, node, inputs) if node.op == '_foreach' else node, inputs)).node
        first = Entry(places[i], 0)
        if node.is_variable and node.name in axes and node.name in shapes:
            writer.note_input(first, shapes[node.name], axes[node.name])
        note_axes(writer.nodes, written, writer.axes)
        steps = totals.get(i, length)
        if has(node.op, 'recurs') and first in writer.axes and steps and not _cut_off(
                graph, node, steps):
            writer.sequences[first] = steps
            writer.sources[first] = read_along(graph, node)
        writer.note_sequences(written)
        shaped = writer.nodes[places[i]]
        if node.op == shaped.op == 'Reshape' and places[i] >= written:
            for each in kept_by_reshape(writer, shaped, shaped.inputs[0],
                                        node.name in read):
                writer.cut.setdefault(each, node)
        if node.op in _WINDOWED:
            for each in _in_one_window(writer, inputs[0], first):
                writer.cut.setdefault(each, node)
    for node, behind in as_many:
        for each, steps in writer.sequences.items():
            if steps > 1 and states(node, steps) and (each in behind or not node.inputs):
                writer.cut.setdefault(each, node)
    for i, (sequence, axis) in masked(graph).items():
        at, node = places[i], writer.nodes[places[i]]
        if i in freed or states(node, length):
            count = numbers(writer, node, Entry(places[sequence.node], sequence.output), axis)
            writer.nodes[at] = writer.nodes[bounded(writer, node, node.inputs, count).node]
    for i, clip in clips_of(graph).items():
        node = writer.nodes[places[i]]
        if node.op == '_identity_with_attr_like_rhs' and writer.nodes[places[clip]].op != 'clip':
            writer.nodes[places[i]] = node._replace(inputs=(node.inputs[0], as_float32(
                writer, graph.nodes[clip].name, node.inputs[1])))
    heads = [Entry(places[head.node], head.output) for head in graph.heads]
    for each, node in writer.cut.items():
        steps = writer.sequences[each]
        fixed[node.name] = steps, '%s has this number' % node.op + (
            ', and nothing can replace it' * (
                steps == length or node.op not in FREED)) if states(node, steps) else (
            '%s %s' % (node.op, 'has one window over all steps' if node.op in _WINDOWED else
                       '%s a number that may depend on it' % (
                           'has' if node.op == 'Reshape' else 'cuts at')))
        reading, recurrence = writer.nodes[:], writer.nodes[each.node]
        if each in {*heads, *(entry for place in Graph(tuple(reading), tuple(heads)).needed()
                              for entry in reading[place].inputs)}:
            instead = {each: writer.pinned(each, node.name, 0, steps)}
            writer.nodes[:len(reading)] = [reader._replace(inputs=tuple(
                [instead.get(entry, entry) for entry in reader.inputs])) for reader in reading]
            heads = [instead.get(head, head) for head in heads]
        else:  # only its states are read
            writer.nodes[each.node] = recurrence._replace(inputs=(writer.pinned(
                recurrence.inputs[0], node.name, 0, steps), *recurrence.inputs[1:]))
    return writer.graph([writer.output(head, name)
                         for head, name in zip(heads, graph.outputs)], graph.version)


def _in_one_window(writer: Freeing, data: Entry, made: Entry) -> list[Entry]:
    """The sequences of which one window has all steps, as max-pooling over time by a kernel."""
    found = []
    for each, steps in writer.sequences.items():
        time = writer.time(each)
        for sizes in zip(writer.axes.get(data, ()), writer.axes.get(made, ())):
            old, new = map(product, sizes)
            if isinstance(time, Axis) and axes_in(old) == axes_in(new) == {time} and (
                    number_for(old, {time: steps}) > number_for(new, {time: steps}) == 1):
                found.append(each)
    return found


def _cut_off(graph: Graph, node: Node, steps: int) -> bool:
    """Whether a recurrence reads another number of steps; fuse's reads one step to get a type."""
    data = graph.nodes[node.inputs[0].node]
    return data.op == 'slice_axis' and data.axis == 0 <= data.begin and data.end is not None and (
        0 < data.end != data.begin + steps)


def _before_losses(graph: Graph) -> set[int]:
    """Places of the nodes that losses with labels read, or read until these were left out."""
    return {entry.node for node in graph.nodes if node.op == 'CTCLoss' or node.inputs_of('label')
            for entry in node.inputs[:1]} | {
        place for place, node in enumerate(graph.nodes) if BEFORE_LOSS in node.attrs}


def _part(writer: Freeing, node: Node, inputs: Entries, steps: int | None, total: int | None
          ) -> Entry | None:
    """A part of a sequence for any number of steps. `steps` is the number that were cut one by one;
    0 if the part's places are right for any number. `total` is their number before a recurrence.
    """
    source, axes = inputs[0], writer.axes.get(inputs[0])
    if steps == 0:
        return None
    if steps:
        return source if steps == writer.length and node.begin == 0 else writer.pinned(
            writer.copy(node, inputs), node.name, node.axis, steps)
    if not axes and (node.begin, node.end) == (0, writer.length) and (
            writer.nodes[source.node].op == 'ones_like'):
        return source  # a mask has as many steps as the sequence that it masks
    if axes:
        total = writer.steps_of(axes[node.axis]) or (
            total if number_of(axes[node.axis]) is None else None)
    if total is None:
        if not axes or number_of(axes[node.axis]) is None:
            _guard(writer, node, source, (node.begin, node.end))
        return None
    if (node.begin, node.end) == (0, total):
        return source
    source, begin, end = _counted(writer, node, source, node.axis % len(axes) if axes else
                                  node.axis, total, node.begin, node.end)
    return writer.stand_in('slice_axis', node.name, {
        'axis': node.axis, 'begin': begin, 'end': end}, source)


def _slice(writer: Freeing, node: Node, inputs: Entries, cut: Mapping[int, int]) -> Entry | None:
    """As `_part`, along several axes; `cut` has such numbers of steps."""
    axes = writer.axes.get(inputs[0], [])
    totals = [writer.steps_of(axes[at]) or (cut.get(at) if number_of(axes[at]) is None else None)
              if at < len(axes) else cut.get(at) for at in range(len(node.end))]
    if not any(totals):
        _guard(writer, node, inputs[0], [number for at, pair in enumerate(zip(node.begin, node.end))
                                         if not axes or number_of(axes[at]) is None
                                         for number in pair])
        return None
    axis = next(at for at, total in enumerate(totals) if total)
    source, *bounds = _counted(writer, node, inputs[0], axis, totals[axis] or 0,
                            node.begin[axis] or 0, node.end[axis])
    attrs = {key: str((*given[:axis], new, *given[axis + 1:])) for key, given, new in zip(
        ('begin', 'end'), (node.begin, node.end), bounds)}
    return writer.copy(node._replace(attrs={**node.attrs, **attrs}), [source])


def _guard(writer: Freeing, node: Node, source: Entry, numbers: Sequence[int | None]) -> None:
    """Limit sequences to their old length if `node` cuts something made from them, with unknown
    axes, at a number that may depend on theirs."""
    for each in writer.behind[source.node]:
        total = writer.sequences[each]
        if any(number and number > 1 and number % total in (0, total - 1) for number in numbers):
            writer.cut.setdefault(each, node)


def _counted(writer: Freeing, node: Node, source: Entry, axis: int, total: int, begin: int,
             end: int | None) -> tuple[Entry, int, int | None]:
    """The source of a part of a sequence of `total` steps, and its begin and end for any number.
    """
    found = total > 0 and ends(begin, end, total, writer.counted)
    if not found:
        total = abs(total)
        last = total if end is None else end % total or total
        first = begin % total
        why = Span(first, 1, last - first, total).why if begin >= 0 else (
            'the last %d of them are read, and only the graph of another length (--certify) can '
            'tell whether that number depends on theirs' % -begin)
        writer.fixed[node.name] = total, why
        return writer.pinned(source, node.name, axis, total), begin, end
    return (source, *found)
