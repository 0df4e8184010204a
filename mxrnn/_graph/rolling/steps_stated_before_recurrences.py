"""Finds Reshapes that make sequences of a number of steps, whatever data they get."""
from __future__ import annotations

from typing import Collection, Iterable, Iterator, Mapping, Tuple

from ..graph import Entry, Graph, Node
from ..operator_table import has
from ..shapes.axis_factors import Axes
from ..shapes.infer import cut_places
from ..shapes.sizes import Axis, axes_in, product
from .candidates import chains
from .reshapes_that_keep_lengths import joined_and_split
from .sequence_axes import note_axes
from .sizes_read_from_sequences import computed
from .values_numbered_without_detours import TooLong, Values, before_swap

__all__ = ['cut_ends', 'cut_steps', 'input_beside', 'read_along', 'read_step_by_step',
           'stated_before']

_OVER_STEPS = 'RNN', '_foreach'
#: An output of a node, and one of its axes.
Value = Tuple[Entry, int]

#: Operators that keep the first axes of their first input, whatever shapes the others have.
_KEEP = 'Embedding', 'LeakyReLU', 'LayerNorm'


def stated_before(graph: Graph) -> dict[str, int]:
    """By name of a Reshape: the number of steps of the sequences that it makes for a recurrence. Of
    longer data it makes more of these."""
    axes: dict[Entry, Axes] = {}
    note_axes(graph.nodes, 0, axes)
    found: dict[str, int] = {}
    times: set[Axis] = set()
    from_data = computed(graph)
    for place, node in enumerate(graph.nodes):
        found.update(_stated(graph, node, axes, times) if place in from_data else {})
        if node.op in _OVER_STEPS:
            times |= axes_in(product(sum(axes.get(Entry(place, 0), [])[:1], ())))
    return found


def read_step_by_step(graph: Graph) -> set[str]:
    """Names of the Reshapes that state the number of steps of a recurrence, beside a -1."""
    return {name for node in graph.nodes for name in _stated(graph, node, {}, ())}


def _stated(graph: Graph, node: Node, axes: dict[Entry, Axes], times: Collection[Axis]
            ) -> dict[str, int]:
    """The numbers of steps that Reshapes of rows that are no `times` state before a recurrence, or
    before a node that takes all steps apart."""
    found: dict[str, int] = {}
    count = len(node.in_data_locs) if node.op == '_foreach' else 1
    apart = node.op == 'SliceChannel' and node.squeeze_axis
    pending = [(entry, node.axis if apart else 0) for entry in node.inputs[:count]
               ] if apart or node.op in _OVER_STEPS else []
    seen = set(pending)
    while pending:
        entry, axis = pending.pop()
        made = graph.nodes[entry.node]
        number = _number(made, axis, axes, times) if made.inputs else None
        if number is not None and (not apart or number == node.num_outputs
                                   and _in_turn(graph, number)):
            found[made.name] = number
        for each in _sources(graph, made, axis, axes) if number is None else ():
            if each not in seen:
                seen.add(each)
                pending.append(each)
    return found


def _in_turn(graph: Graph, number: int) -> bool:
    """Whether so many parts of rows are taken to be steps: few that no recurrence reads may be the
    images of a pair or triplet."""
    if number > 4:
        return True
    try:
        return any(number - 1 <= len(chain) <= number for chain in chains(Values(graph, False)))
    except TooLong:
        return True


def _number(node: Node, axis: int, axes: dict[Entry, Axes], times: Collection[Axis]
            ) -> int | None:
    """The size of an axis, if a Reshape states it for rows of any number that are no `times`."""
    if node.op != 'Reshape' or -1 not in node.shape:
        return None
    data = axes.get(node.inputs[0], [])
    codes = [code for code in node.shape if code != -4]
    number = codes[axis] if axis < len(codes) and -2 not in codes[:axis] else 0
    if data:
        data = [pool for pool, parts in joined_and_split(node, data) if axis in parts]
        number *= bool(data)
    known = axes_in(product(sum(data, ())))
    return number if number > 1 and known.isdisjoint(times) else None


def input_beside(graph: Graph, place: int, axis: int, given: Mapping[str, int]) -> str:
    """The input whose axis in `given` has the size that `axis` of a node must have, because other
    nodes combine both element by element or side by side; '' if there is none."""
    pending, seen = [(place, axis)], {(place, axis)}
    while pending:
        at, axis = pending.pop()
        for number, reader in enumerate(graph.nodes):
            ways = [[*_sources(graph, reader, out, {})] for out in range(5)] if any(
                entry.node == at for entry in reader.inputs) else []
            for out, sources in enumerate(ways):
                if (Entry(at, 0), axis) in sources and (number, out) not in seen:
                    seen.add((number, out))
                    pending.append((number, out))
                    for source in sources:
                        name = _variable(graph, *source)
                        if given.get(name[0]) == name[1]:
                            return name[0]
    return ''


def read_along(graph: Graph, node: Node) -> set[tuple[str, int | None]]:
    """The variables that a recurrence reads, also through other recurrences, and their axes along
    which it does; None if this is not known."""
    count = len(node.in_data_locs) if node.op == '_foreach' else 1
    pending = [(entry, 0) for entry in node.inputs[:count]]
    seen = {*pending}
    found: set[tuple[str, int | None]] = set()
    while pending:
        entry, axis = pending.pop()
        made = graph.nodes[entry.node]
        new = [(each, 0) for each in made.inputs[:1]] if made.op == 'RNN' and axis == 0 else [
            *_sources(graph, made, axis, {})]
        if made.is_variable:
            found.add((made.name, axis))
        elif not new:
            found.update((graph.nodes[place].name, None) for place in graph._replace(
                heads=(entry,)).needed())
        pending += [each for each in new if each not in seen]
        seen.update(new)
    return found


def _variable(graph: Graph, entry: Entry, axis: int) -> tuple[str, int]:
    """The variable that an axis of a node comes from, and its axis there."""
    sources = [(entry, axis)]
    while sources:
        entry, axis = sources[0]
        sources = [*_sources(graph, graph.nodes[entry.node], axis, {})]
    return graph.nodes[entry.node].name, axis


def cut_steps(graph: Graph, totals: Mapping[int, int], given: Mapping[Value, int], proved: int
              ) -> dict[tuple[int, int], int]:
    """By place and axis of a slice: the number of steps of what it cuts, if recurrences, with
    numbers of steps in `totals`, read these steps, or if it is `given`.

    They may read parts alone. These tell it if they end at that number or one before; those that
    are only the first ones, if it is `proved` that they end there. Labels have the number `proved`
    if they are cut there, or that of all recurrences if their last step is read. Other parts that
    do not begin with the first step give the number at which they end, with a minus, because
    nothing tells from which end it is counted.
    """
    whole: dict[Value, int] = {}
    parts = {**given}
    for place, node in enumerate(graph.nodes):
        steps = totals.get(place, 0) if has(node.op, 'recurs') else 0
        count = len(node.in_data_locs) if node.op == '_foreach' else 1
        read = [(entry, 0) for entry in node.inputs[:count * bool(steps)]]
        whole.update(dict.fromkeys(_behind(graph, read), steps))
        for each in _behind(graph, read, cut=True):
            parts[each] = max(steps, parts.get(each, 0))
    found: dict[tuple[int, int], int] = {}
    if not parts:
        return found
    labels = graph._replace(heads=tuple([each for node in graph.nodes for each in node.inputs_of(
        'label')])).needed()
    cuts: dict[Value, dict[tuple[int, int], tuple[int, int]]] = {}
    for place, node in enumerate(graph.nodes):
        for axis, begin, end in cut_places(node):
            behind = _behind(graph, [(node.inputs[0], axis)])
            steps = next((whole[each] for each in behind if each in whole), 0)
            if steps or place in labels and behind.isdisjoint(parts) and (
                    end == proved if proved else {end, begin + 1} == {*whole.values()}):
                found[place, axis] = steps or end or 0
            for each in behind & parts.keys() if not steps else ():
                cuts.setdefault(each, {})[place, axis] = begin, end or 0
    for each, places in cuts.items():
        steps, most = parts[each], max(map(max, places.values()))
        late = any(0 < begin < end for begin, end in places.values())
        if each in given and most <= steps or most - steps in (0, -1) and (proved or any(
                place != (0, steps) and max(place) * 2 >= steps for place in places.values())) or (
                    late and (most - steps == 1 or most == proved)):
            found.update(dict.fromkeys(places, max(steps, most)))
        elif late and not proved:
            found.update(dict.fromkeys(places, -max(steps, most)))
    return found


def cut_ends(graph: Graph, axes: Mapping[str, int]) -> set[int]:
    """The numbers at which slices of inputs end along their `axes`."""
    return {end for node in graph.nodes for axis, _, end in cut_places(node) if end and any(
        axes.get(graph.nodes[entry.node].name) == at
        for entry, at in _behind(graph, [(node.inputs[0], axis)]))}


def _behind(graph: Graph, begin: Iterable[Value], cut: bool = False) -> set[Value]:
    """`begin`, and what it is made of that has as many elements along an axis; with `cut`, also
    what it is a part of, or joined of."""
    found, pending = {*begin}, [*begin]
    while pending:
        entry, axis = pending.pop()
        made = graph.nodes[entry.node]
        new = {*_sources(graph, made, axis, {})} if cut or all(
            place[0] != axis for place in cut_places(made)) else set()
        if cut and made.op == 'Concat' and made.dim == axis:
            new = {(each, axis) for each in made.inputs}
        pending += new - found
        found |= new
    return found


def _sources(graph: Graph, node: Node, axis: int, axes: Mapping[Entry, Axes]
             ) -> Iterator[tuple[Entry, int]]:
    """Inputs of a node, each with the axis that becomes `axis` of its output."""
    first = node.inputs[0] if node.inputs else None
    if first is None:
        return
    if node.op == 'SwapAxis':
        before = before_swap(node, axis, len(axes.get(first, ())) or None)
        if before >= 0:
            yield first, before
    elif node.op == 'transpose' and axis < len(node.axes or ()):
        yield first, node.axes[axis]
    elif node.op == 'expand_dims' and 0 <= node.axis != axis:
        yield first, axis - (node.axis < axis)
    elif node.op == 'Reshape' and not node.reverse:
        ahead, split = (0,) * axis, graph.nodes[first.node]
        codes = node.shape[:axis + 1]
        if codes == (*ahead, -3) and split.get('shape', ())[:axis + 1] == (*ahead, -4):
            yield split.inputs[0], axis  # whose size both Reshapes check
        elif codes in ((*ahead, 0), (*ahead, -2)):
            yield first, axis
    elif has(node.op, 'one shape') or node.op in ('slice', 'slice_axis') or (
            node.op.startswith('broadcast_') and len(node.inputs) == 2) or (
                node.op == 'Concat' and 0 <= node.dim != axis):
        yield from ((entry, axis) for entry in node.needed_inputs)
    elif node.op in _KEEP or node.op == 'FullyConnected' and (not node.flatten or axis == 0):
        yield first, axis
