"""Which numbers of a graph tie the size of an open axis: the rule of lengths (docs/lengths.md).

An axis is open if its size is a name. A node ties it if one of the node's numbers may depend on
that size. An axis that nothing ties may have any size: no number of the graph changes with it.
"""
from __future__ import annotations

from types import MappingProxyType
from typing import Collection, Iterable, Iterator, Mapping, NamedTuple, Sequence

from ..graph import Entry, Graph, Node
from ..operator_table import has
from .axis_factors import Axes, Factors, factors_of, number_of
from .constants import (
    CERTIFIED,
    CUT,
    PAIRS,
    TELLING,
    TIMES,
    Sizes,
    is_constant,
    largest_kernel,
    may_be_decoded,
    part_ends,
    parts_of,
    size_in_graph,
    with_ends_counted,
)
from .copies import CONSTANTS, inputs_as_computed, rounds_of
from .infer import Fault, Table, infer
from .regrouping import open_factors, taken_apart
from .scales import Tie, is_running_sum, labels, lengths_bounded, scaled_sums
from .sizes import Size, Sum, axes_in, in_words, number_for, product, resolve, same

__all__ = ['STEPS', 'Lengths', 'find_ties']

#: The attribute of a recurrence with the number of steps that rolling up has counted; of one that
#: stays unrolled, its last step has it.
STEPS = '__steps__'
#: By operator that makes an axis of a number, the attribute with the number.
_MAKERS = {'broadcast_axis': 'size', 'broadcast_to': 'shape', 'tile': 'reps', 'repeat': 'repeats',
           '_arange': 'stop', '_linspace': 'num', 'one_hot': 'depth', 'UpSampling': 'scale',
           'stack': 'num_args', 'Concat': 'num_args', 'add_n': 'num_args', '_zeros': 'shape',
           '_ones': 'shape', '_full': 'shape', '_zeros_without_dtype': 'shape', '_eye': 'N',
           'scatter_nd': 'shape', 'Pad': 'pad_width'}
_WINDOWS = 'Pooling', 'Pooling_v1', 'Convolution', 'Convolution_v1', 'Deconvolution'


class Lengths(NamedTuple):
    """What a graph says about its open axes.

    Attributes
    ----------
    graph : Graph
        With slices counted from the end that their numbers tell, and steps and batch taken apart
        again by the sizes that were joined.
    ties : tuple of Tie
    sizes : dict
        By the name of an axis, the sizes that it may have in the graph: one if the graph tells it,
        several if windows leave as many steps of each.
    batches : collection of str
        The axes that recurrences have as their batch.
    table : Table
    """

    graph: Graph
    ties: tuple[Tie, ...]
    sizes: Mapping[str, tuple[int, ...]]
    batches: Collection[str]
    table: Table

    def of(self, label: str) -> list[Tie]:
        """The ties of one axis."""
        return [tie for tie in self.ties if tie.label == label]


def find_ties(graph: Graph, shapes: Mapping[str, Sequence[int | str]], inputs: Collection[str],
              losses: bool = False, numbers: Mapping[str, int] = MappingProxyType({})) -> Lengths:
    """Find what ties the open axes of a graph.

    Parameters
    ----------
    graph : Graph
        Rolled up by structure alone.
    shapes : dict
        The shapes of all variables that predictions need; a name is an open axis.
    inputs : collection of str
        The variables that are no weights.
    losses : bool
        Whether gradients of losses must be right, too.
    numbers : dict
        By name of an open axis, the size that it has in the graph, as far as it is told.
    """
    weights = frozenset(size for name, shape in shapes.items() if name not in inputs
                        for size in shape if isinstance(size, int))
    again: Graph | None = None
    while again != graph:
        graph = again or graph
        table = infer(graph, shapes)
        sizes = _counted(graph, table)
        sizes = sizes._replace(weights=weights, batches=_batches(graph, table), fits={
            **sizes.fits, **{label: (number,) for label, number in numbers.items()}})
        again = taken_apart(with_ends_counted(graph, table, sizes), table, sizes)
    every = {size for shape in shapes.values() for size in shape if isinstance(size, str)}
    level = _Level(graph, table, [
        frozenset(size for size in shapes.get(node.name, ()) if isinstance(size, str))
        if node.is_variable else None for node in graph.nodes])
    own = {size for name in inputs for size in shapes.get(name, ())[:2]}
    own |= {label for place, node in enumerate(graph.nodes) if has(node.op, 'recurs')
            for axis in table.axes.get(Entry(place, 0), [])[:1] for label in labels(axis)}
    places = {size: 'axis %d of %s' % (at, name) for name in [*inputs][::-1]
              for at, size in enumerate(shapes.get(name, ())) if isinstance(size, str)}
    found = [*dict.fromkeys(_Finder(sizes, every, own, losses, places).of(level))]
    return Lengths(graph, tuple(found), sizes.fits, sizes.batches, table)


# ---- sizes in the graph

def _batches(graph: Graph, table: Table) -> frozenset[str]:
    """The axes that recurrences have as their batch and never as their steps, which may be joined
    to a batch; and the one of that name."""
    recurrent = [[*map(labels, table.axes.get(node.inputs[0], [])[:2])]
                 for node in graph.nodes if has(node.op, 'recurs')]
    return frozenset({'batch'}).union(*[
        axes[1] for axes in recurrent if len(axes) > 1 and 'batch' not in axes[1]]).difference(
            *[axes[0] for axes in recurrent if axes])


def _counted(graph: Graph, table: Table) -> Sizes:
    """The sizes of which recurrences have the steps counted."""
    found: dict[str, set[int]] = {}
    counted = []
    for node in graph.nodes:
        steps = node.get(STEPS) if has(node.op, 'recurs') else (
            node.get(CUT) and node.end)  # and all before it
        axes = table.axes.get(node.inputs[0], []) if steps else []
        if steps and axes:
            size = product(axes[node.axis if CUT in node.attrs else 0])
            counted.append((size, steps))
            fits = _fits(size, steps)
            for label in labels(size) - {'?'} if fits else ():
                found[label] = found.get(label, {*fits}).intersection(fits)
    return Sizes({label: tuple(sorted(fits)) for label, fits in found.items() if fits}, counted)


# ---- ties

class _Level(NamedTuple):
    """A graph with its axes; for the body of a loop, what its variables are in the graph above.

    By place of a node, `origin` has the open axes of the inputs from which it is computed, and None
    if it is computed from none.
    """

    graph: Graph
    table: Table
    origin: list[frozenset[str] | None]
    given: Mapping[int, Entry] = {}
    above: _Level | None = None
    #: The axes that a loop sums, in its body; those of a loop whose steps nobody counted.
    along: frozenset[str] = frozenset()

    def axes(self, entry: Entry) -> Axes:
        """The axes of a value, as far as they are known now."""
        return [factors_of(axis) for axis in self.table.axes.get(entry, [])]


class _Finder:
    """Finds ties. `own` are sizes and names of axes that inputs have as their batch or steps, or
    along which recurrences run; `places` say by name of an axis where it is."""

    def __init__(self, sizes: Sizes, every: set[str], own: set[int | str], losses: bool,
                 places: Mapping[str, str]) -> None:
        self._sizes, self._every, self._own, self._losses = sizes, every, own, losses
        self._places = places
        #: By name of a node that makes an axis of a number, the open axes that must equal it.
        self._made_for: dict[str, set[str]] = {}

    def of(self, level: _Level) -> Iterator[Tie]:
        """The ties of a graph, and of the bodies of its loops."""
        for place, node in enumerate(level.graph.nodes):
            read = [level.origin[entry.node] for entry in node.inputs]
            if not node.is_variable and node.op not in CONSTANTS and any(
                    each is not None for each in read):
                level.origin[place] = frozenset().union(*filter(None, read))
        needed = level.graph.needed() if level.above is None else range(len(level.graph.nodes))
        faults = {id(fault.node): fault for fault in level.table.faults}
        alike = inputs_as_computed(level.graph)
        rounds = rounds_of(level.graph, alike)
        yield from self._equal(level, faults.values())
        yield from _unproven(
            scaled_sums(level.graph, level.table, level.origin, self._sizes, self._every,
                        self._losses, level.along),
            lengths_bounded(level.graph, level.table, self._every))
        dark: set[int] = set()
        for place in sorted(needed):
            node = level.graph.nodes[place]
            if node.is_variable:
                continue
            given = [level.axes(entry) for entry in node.inputs]
            if place in level.table.bodies:
                yield from self._body(level, place, given)
            if not any(level.table.axes.get(Entry(place, at)) for at in range(node.num_outputs)):
                behind = dark.intersection(entry.node for entry in node.inputs)
                if id(node) not in faults and not behind:
                    yield from self._each(level.origin[place] or (), node,
                                          'makes a shape that is not known')
                dark.add(place)
                continue
            made = level.axes(Entry(place, 0))
            yield from _unproven(
                self._reshaped(node, given, made), self._cut(node, given),
                self._looked_up(level, node, given), self._joined(level, node, given, made),
                self._windows(level, place, given, made), self._repeated(node, alike[place]),
                self._runs(level, place, given, rounds.get(place)))
            unknown = {'?'} & {label for axis in made for label in labels(axis)}
            if unknown and not any('?' in labels(axis) for axes in given for axis in axes):
                yield from self._each(level.origin[place] or (), node,
                                      'makes an axis whose size is not known')

    def _each(self, found: Collection[str], node: Node, why: str,
              numbers: tuple[float, ...] = (), fits: tuple[int, ...] = ()) -> Iterator[Tie]:
        for label in sorted(self._every.intersection(found)):
            yield Tie(label, node, why, numbers, fits)

    def _body(self, level: _Level, place: int, given: Sequence[Axes]) -> Iterator[Tie]:
        node = level.graph.nodes[place]
        origin: list[frozenset[str] | None] = [None] * len(node.subgraphs[0].nodes)
        for at, entry in zip(node.body.places, node.inputs):
            origin[at] = level.origin[entry.node]
        along = labels(given[0][0]) if given[0] and (
            STEPS not in node.attrs or is_running_sum(node)) else ()
        yield from self.of(_Level(node.subgraphs[0], level.table.bodies[place], origin, dict(zip(
            node.body.places, node.inputs)), level, frozenset(along)))

    # ---- sizes that must be equal

    def _equal(self, level: _Level, faults: Iterable[Fault]) -> Iterator[Tie]:
        places = {id(node): place for place, node in enumerate(level.graph.nodes)}
        pairs: list[tuple[int, tuple[Size, ...]]] = [
            (place, pair) for place, found in level.table.believed.items() for pair in found
            if not any(pair in each for body in [level.table.bodies.get(place)] if body
                       for each in body.believed.values())]
        pairs += [(places[id(fault.node)], fault.sizes) for fault in faults
                  if id(fault.node) in places]
        for place, sizes in pairs:
            node = level.graph.nodes[place]
            number = next((size for size in sizes if isinstance(size, int)), 0)
            found = {label for size in sizes for label in labels(size)} or {
                label for entry in node.inputs for axis in level.axes(entry)
                for label in labels(axis)}
            maker = not _states(node, number) and _maker(level, node.inputs, number) or node
            self._made_for.setdefault(maker.name, set()).update(found)
            fits = next((_fits(size, number) for size in sizes
                         if not isinstance(size, int) and number), ())
            # An axis of 1 would fit as well there.
            fits = () if len(fits) > 1 and node.op.startswith('broadcast_') else fits
            unlike = ' and '.join(sorted(in_words(size, self._places) for size in sizes))
            why = 'has %d' % number if number else 'needs equal sizes: ' + unlike
            yield from self._each(found, maker, why, (number,) if number else (), fits)

    # ---- numbers of one node

    def _reshaped(self, node: Node, given: Sequence[Axes], made: Axes) -> Iterator[Tie]:
        """Reshapes that do not keep each open factor whole and in order."""
        if node.op not in ('Reshape', 'Flatten', 'reshape_like', 'depth_to_space',
                           'space_to_depth') or not given[0]:
            return
        before, after = open_factors(given[0]), open_factors(made)
        if len(before) == len(after) and all(map(same, before, after)):
            return
        if node.op == 'reshape_like' and len(given) > 1 and all(any(
                same(size, other) for axes in given for axis in axes for other in axis)
                for size in after):
            return  # file and graph check that both sides have the same size
        new = [size for size in after if not any(same(size, other) for other in before)]
        gone = [size for size in before if not any(same(size, other) for other in after)]
        pairs = {(each.divisor, each.terms[0][0]) for each in map(resolve, new)
                 if isinstance(each, Sum)} == {(2, 1)}
        for label in sorted({label for size in gone or before for label in labels(size)}):
            if not pairs or label in self._sizes.batches or (
                    self._sizes.axes.get(label, PAIRS) < PAIRS):
                codes = node.shape if node.op == 'Reshape' else ()
                yield from self._each([label], node, 'splits it by %s' % (codes,), tuple([
                    code for code in codes if code > 1]))

    def _cut(self, node: Node, given: Sequence[Axes]) -> Iterator[Tie]:
        """Parts whose places may depend on an axis."""
        data = given[0] if given else []
        if not data:
            return
        if node.op in ('SliceChannel', '_split_v2') and number_of(data[node.axis]) is None:
            count = node.num_outputs
            if count > 1:
                yield from self._each(labels(data[node.axis]), node,
                                      'splits it into %d parts' % count, (count,))
        steps = node.get(CUT)
        for at, begin, end, step in parts_of(node, len(data)):
            size = product(data[at])
            if isinstance(size, int) or (begin, end, step) == (None, None, 1) or steps == 0:
                continue
            if steps or part_ends(begin, end, step, size_in_graph(size, self._sizes)) is None:
                yield from self._each(labels(size), node, 'takes %s:%s%s of it' % (
                    begin or 0, '' if end is None else end, ':%d' % step if step != 1 else ''),
                    tuple([each for each in (begin, end) if each]))

    def _looked_up(self, level: _Level, node: Node, given: Sequence[Axes]) -> Iterator[Tie]:
        """Constant places along an axis, and as many as it has."""
        data = given[0] if given else []
        if node.op == 'topk' and data and node.k > 1:
            axes = data if node.axis is None else [data[node.axis]]
            yield from self._each({label for axis in axes for label in labels(axis)}, node,
                                  'takes the %d largest of it' % node.k, (node.k,))
        if data and len(node.inputs) > 1 and node.op in (
                'take', 'pick', 'batch_take', 'gather_nd') and (
                    level.origin[node.inputs[1].node] is None):
            at = {'take': 0, 'pick': -1, 'batch_take': 1}.get(node.op)
            at = at if at is None else node.get('axis', at)
            axes = data if at is None else [data[at]] if -len(data) <= at < len(data) else []
            yield from self._each({label for axis in axes for label in labels(axis)}, node,
                                  'looks up constant places of it')

    def _joined(self, level: _Level, node: Node, given: Sequence[Axes], made: Axes
                ) -> Iterator[Tie]:
        """Constants that are joined to an axis, other than one element or a weight."""
        if has(node.op, 'joins') and made and number_of(made[node.dim]) is None:
            numbers = [number_of(axes[node.dim]) or 0 for axes, entry in zip(given, node.inputs)
                       if axes and level.origin[entry.node] != frozenset()]
            most = max(numbers, default=0)
            if most and not all(self._is_small(most, axes[node.dim]) for axes in given
                                if axes and number_of(axes[node.dim]) is None):
                yield from self._each(labels(made[node.dim]), node, 'adds %d to it' % most,
                                      tuple(numbers))

    def _is_small(self, number: int, axis: Factors) -> bool:
        """Whether so many more elements are as many at every length."""
        return number < 2 and is_constant(number, size_in_graph(product(axis), self._sizes))

    def _windows(self, level: _Level, place: int, given: Sequence[Axes], made: Axes
                 ) -> Iterator[Tie]:
        """Kernels and pads along an axis. A weight has the kernel of a Convolution."""
        node, data = level.graph.nodes[place], given[0] if given else []
        if node.op == 'Pad':
            for at, axis in enumerate(data):
                pads = [each for each in node.pad_width[2 * at:2 * at + 2] if each]
                if number_of(axis) is None and pads and not self._is_small(
                        max(pads), axis) and max(pads) > _kernel_behind(level.graph, place, at):
                    yield from self._each(labels(axis), node, 'adds %d to it' % max(pads),
                                          tuple(pads))
        if node.op not in _WINDOWS or len(data) < 3 or getattr(node, 'global_pool', False):
            return
        last = (node.get('layout') or 'NCW').endswith('C')
        sides = range(1, len(data) - 1) if last else range(2, len(data))
        for at, side in enumerate(sides):
            axis = data[side]
            if number_of(axis) is not None or at >= len(node.kernel):
                continue
            kernel = node.kernel[at]
            stride, pad = node.stride[at] if node.stride else 1, node.pad[at] if node.pad else 0
            old, left = (size_in_graph(product(axes[side]), self._sizes) for axes in (data, made))
            whole = left == 1 and old is not None and old > 1
            most = largest_kernel(old)
            weighted = not node.op.startswith('Pooling')
            if whole or not weighted and kernel > most or stride > max(most, kernel) or (
                    1 < pad > kernel - 1):
                yield from self._each(labels(axis), node, 'has a kernel of %d over %s' % (
                    kernel, 'all of it' if whole else 'it'), (kernel,))

    def _repeated(self, node: Node, read: Sequence[Entry]) -> Iterator[Tie]:
        """Numbers of elements that nothing compares with an axis, but that are as many."""
        key = _MAKERS.get(node.op)
        if key is None:
            return
        value = node.start if node.op == '_arange' and node.stop is None else getattr(node, key)
        numbers = set(value if isinstance(value, tuple) else (value,))
        if has(node.op, 'gathers'):  # copies of one value alone
            numbers = {max(map(read.count, read), default=0)}
        if node.op == 'one_hot':  # as many classes as a weight has rows or columns
            numbers -= {*self._sizes.weights}
        if key == 'shape' and not node.inputs:
            # the last of several sizes may be a width, and 0 stands for what the graph says
            numbers = set() if 0 in numbers or -1 in numbers else set(
                value[:-1] if len(value) > 1 and value[-1] in self._sizes.weights else value)
        made_for = self._made_for.get(node.name, self._every)
        for label in sorted(made_for & self._every):
            number = self._sizes.axes.get(label, 0)
            less = {number - 1}.difference(self._sizes.axes.values(), self._sizes.weights) if (
                number > TELLING) else ()
            for made in numbers & {number, *less} if number >= TELLING else ():
                yield Tie(label, node, 'makes %d elements' % made, (made,))

    def _runs(self, level: _Level, place: int, given: Sequence[Axes], rounds: int | None
              ) -> Iterator[Tie]:
        """A recurrence that runs a number of steps that no input has, or the last of as many like
        rounds. It ties what it reads, or all axes if it reads none."""
        node = level.graph.nodes[place]
        runs = has(node.op, 'recurs') and level.above is None
        number = number_of(given[0][0]) if runs and given[0] else None if runs else node.get(
            STEPS, rounds)
        if number is None or number < 2 or number in self._own:
            return
        for label in sorted(self._every.intersection(level.origin[place] or self._every).difference(
                self._sizes.batches)):
            size = self._sizes.axes.get(label)
            if label in self._own if size is None else may_be_decoded(number, size) if (
                    rounds is None) else size - (size > TELLING) <= number <= size:
                yield Tie(label, node, 'runs %d steps, whatever is read' % number, (number,))


def _unproven(*found: Iterable[Tie]) -> Iterator[Tie]:
    """Ties without those whose numbers a second graph proves."""
    return (tie for ties in found for tie in ties if tie.label not in tie.node.get(CERTIFIED, ()))


def _fits(size: Size, number: int) -> tuple[int, ...]:
    """The numbers with which the only axis of a size makes it `number`; none if it has several."""
    own = axes_in(size)
    if len(own) != 1:
        return ()
    (axis,) = own
    return (number,) if resolve(size) is axis else tuple([
        each for each in range(1, TIMES * (number + 1))
        if number_for(size, {axis: each}) == number])


def _maker(level: _Level, entries: Sequence[Entry], number: int) -> Node | None:
    """The nearest node behind values that states a number that one of their axes has."""
    pending, seen = [*entries], set()
    while pending:
        entry = pending.pop(0)
        node = level.graph.nodes[entry.node]
        if entry in seen or number not in map(number_of, level.axes(entry)):
            continue
        seen.add(entry)
        if level.above is not None and entry.node in level.given:
            found = _maker(level.above, [level.given[entry.node]], number)
            if found:
                return found
        if _states(node, number):
            return node
        pending += node.inputs
    return None


def _states(node: Node, number: int) -> bool:
    """Whether a node states a number that one of its axes may have."""
    key = {**_MAKERS, 'Reshape': 'shape', 'slice_axis': 'end', 'slice': 'end'}.get(node.op)
    value = None if key is None else (
        node.start if node.op == '_arange' and node.stop is None else getattr(node, key))
    return number in (value if isinstance(value, tuple) else (value,))


def _kernel_behind(graph: Graph, place: int, at: int) -> int:
    """How far the kernels of Convolutions that read a padded array reach along an axis."""
    return max([(node.dilate or (1,) * len(node.kernel))[at - 2] * (node.kernel[at - 2] - 1)
                for node, _ in graph.consumers(place)
                if node.op == 'Convolution' and 0 <= at - 2 < len(node.kernel)], default=0)
