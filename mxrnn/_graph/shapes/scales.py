"""Scalars that may be made of the size of an axis: beside sums over it, and in lengths along it."""
from __future__ import annotations

import itertools
import math
import re
from typing import Collection, Iterator, NamedTuple, Sequence

from ..graph import Graph, Node
from ..operator_table import has
from .axis_factors import Factors, factors_of
from .constants import EPSILON, PLAIN, Sizes, is_computed, is_constant, may_be_part, size_in_graph
from .infer import Table
from .sizes import Size, axes_in, product, reduced_axes

__all__ = ['Tie', 'is_running_sum', 'labels', 'lengths_bounded', 'scaled_sums']


class Tie(NamedTuple):
    """A node with a number that may depend on the size of an open axis.

    Attributes
    ----------
    label : str
        The axis.
    node : Node
    why : str
        What the node does, after its name in a sentence.
    numbers : tuple
        Those of its numbers that may depend on the size.
    fits : tuple of int
        All sizes of the axis with which this node works, if only some are.
    """

    label: str
    node: Node
    why: str
    numbers: tuple[float, ...] = ()
    fits: tuple[int, ...] = ()

    def __str__(self) -> str:
        return '%s %s' % (self.node.title, self.why)

    def __hash__(self) -> int:
        return hash((self.label, self.node.name, self.why))


def labels(size: Size | Factors) -> set[str]:
    """The names of the open axes from which a size is made; '?' for one without a name."""
    whole = product(size) if isinstance(size, tuple) else size
    return {axis.label or '?' for axis in axes_in(whole)}


_REDUCE = 'sum', 'nansum', 'prod', 'nanprod', 'norm', 'mean', 'max', 'min', 'argmax', 'argmin'
_SUMS = 'sum', 'nansum', 'norm', 'mean'
_SCALES = '_mul_scalar', '_div_scalar', '_rdiv_scalar'
_WEIGHTS = 'softmax', 'log_softmax', 'softmin', 'SoftmaxActivation'
#: By operator, its numbers beside those called scalar.
_NUMBERS = {'softmax': ('temperature',), 'log_softmax': ('temperature',), '_full': ('value',),
            'clip': ('a_min', 'a_max'), 'one_hot': ('on_value', 'off_value'),
            'SequenceMask': ('value',)}
#: Operators whose results are sums still if one side or the only input is.
_KEEP = ('Reshape', 'expand_dims', 'squeeze', 'SwapAxis', 'transpose', 'Flatten', 'broadcast_axis',
         'broadcast_like', 'broadcast_to', '_copy', 'Cast', 'slice_axis')
_LINEAR = ('elemwise_mul', 'broadcast_mul', 'elemwise_add', 'broadcast_add', 'elemwise_div',
           'broadcast_div', 'elemwise_sub', 'broadcast_sub', 'add_n')
_FACTORS = 'elemwise_mul', 'broadcast_mul', 'elemwise_div', 'broadcast_div'
#: Their results are 0 or 1, whatever they compare.
_COMPARES = re.compile('equal|lesser|greater|logical')
_LOSSES = ('SoftmaxOutput', 'LinearRegressionOutput', 'LogisticRegressionOutput',
           'MAERegressionOutput', 'MakeLoss')


def scaled_sums(graph: Graph, table: Table, origin: Sequence[Collection[str] | None], sizes: Sizes,
                every: set[str], losses: bool, along: Collection[str] = ()) -> Iterator[Tie]:
    """Scalars beside a reduction over an axis; and numbers that are its size in the graph, one
    less, or a ratio, root or inverse of these, in what is computed of the data. With `losses`, also
    the scale of a gradient. In the body of a loop that sums `along` axes, all scalars are beside
    sums. Places that `arange` makes may be those of all open axes but a batch.
    """
    flow = _flow(graph, table, every.difference(sizes.batches))
    told = {label: sizes.numbers(label) for label in every}
    for place, node in enumerate(graph.nodes):
        loss = losses and node.op in _LOSSES
        for number in [getattr(node, key) for key in _NUMBERS.get(node.op, ())]:
            for label in sorted(every.difference(sizes.batches)):
                if _made_of(number or 0, told[label]):
                    yield Tie(label, node, 'has %g' % number, (number,))
        if not loss and not node.op.endswith('_scalar'):
            continue
        scalar, own = float(node.grad_scale if loss else node.scalar), origin[place]
        before, scales = flow.reduced[place], node.op in _SCALES
        axes = table.axes.get(node.inputs[0], [])
        # Constants and weights may be places, or be multiplied with the data later; and lengths of
        # sequences do not have the axis.
        for label in sorted(every):
            size = sizes.axes.get(label)
            if own and label not in {*own, *before, *along}:
                if label not in sizes.batches and scalar not in PLAIN and _made_of(
                        scalar, told[label]):
                    yield Tie(label, node, 'has %g' % scalar, (scalar,))
                continue
            beside = loss and size is None and label not in sizes.batches or not loss and (
                label in before or label in along or scales and (label in flow.summed[place] or (
                    size is None and label in flow.weighted[place])))
            made = _made_of(scalar, [*told[label], *[
                size_in_graph(product(axis), sizes) for axis in axes if label in labels(axis)]])
            doubtful = size is not None and scalar > 0 and (
                beside and may_be_part(scalar, size) or scales and made) or (
                    label in before and _COMPARES.search(node.op) is not None and scalar == 2
                    and not is_constant(2, size))
            if scalar in PLAIN and not doubtful or beside and not made and _of_counts(
                    scalar, flow.counts[place]):
                continue
            small = abs(scalar) < EPSILON and not loss and not scales
            untold = size is None and label not in sizes.batches and is_computed(
                scalar) and not _of_counts(scalar, sizes.weights)
            if beside and not small or scalar in PLAIN or untold or made:
                yield Tie(label, node, 'has %g%s' % (
                    scalar, ', beside a sum over it' if beside else ''), (scalar,))


def _of_counts(scalar: float, counts: Collection[int]) -> bool:
    """Whether a scalar is a number of elements that were summed, or its root or an inverse."""
    return any(math.isclose(scalar, way, rel_tol=1e-5) for each in counts
               for way in (each, 1 / each, each ** .5, each ** -.5))


def _made_of(scalar: float, sizes: Sequence[int | None]) -> bool:
    """Whether a scalar may be made of one of the sizes of an axis and of parts of it."""
    own = [size for size in sizes if size is not None and size > 1]
    ways = [way for size in own for way in (size, size - 1, size / (size - 1))]
    ways += [*map(math.sqrt, ways), *map(math.log, own)]
    return any(math.isclose(abs(scalar), way, rel_tol=1e-5)
               for each in ways for way in (each, 1 / each))


def is_running_sum(node: Node) -> bool:
    """Whether a loop only adds and scales what it reads."""
    return all(each.is_variable or each.op.endswith('_scalar') or each.op in (*_KEEP, *_LINEAR)
               for each in node.subgraphs[0].nodes)


class _Flow(NamedTuple):
    """By place of a node: the open axes over which its value was reduced; how many other elements
    were summed for each of its elements; the open axes over which it is summed later, behind nodes
    that scale, or a sum over which it scales; and those over which a softmax of it sums then."""

    reduced: list[set[str]]
    counts: list[set[int]]
    summed: list[set[str]]
    weighted: list[set[str]]


def _flow(graph: Graph, table: Table, every: set[str]) -> _Flow:
    """Places along an axis, as `arange` makes them, are taken for sums of ones."""
    flow = _Flow([], [], [set() for _ in graph.nodes], [set() for _ in graph.nodes])
    for node in graph.nodes:
        axes = _over(node, table)
        own = {label for axis in axes for label in labels(axis)}
        counts = {math.prod(size for axis in axes for size in factors_of(axis)
                            if isinstance(size, int))} if axes else set()
        if node.op in ('_arange', '_contrib_arange_like'):
            own |= every
        if node.op == '_foreach' and is_running_sum(node):
            own |= labels(table.axes.get(node.inputs[0], [()])[0])
        for entry in node.inputs:
            if node.op in (*_SUMS, 'batch_dot', 'dot', '_foreach'):
                flow.summed[entry.node].update(own)
            if node.op in _WEIGHTS:
                data = table.axes.get(entry, [])
                flow.weighted[entry.node].update(*map(labels, data[node.axis:][:1] if (
                    node.op != 'SoftmaxActivation') else data))
            if not _COMPARES.search(graph.nodes[entry.node].op) and (
                    any(has(node.op, trait) for trait in ('elementwise', 'pair', 'one shape'))
                    or node.op in (*_KEEP, 'add_n', 'FullyConnected')
                    or has(node.op, 'joins') or node.op.startswith('broadcast_')):
                own |= flow.reduced[entry.node]
                counts |= flow.counts[entry.node]
        flow.reduced.append(own)
        flow.counts.append(counts - {0, 1})
    for place in range(len(graph.nodes) - 1, -1, -1):
        for entry, other in itertools.permutations(graph.nodes[place].inputs, 2) if (
                graph.nodes[place].op in _FACTORS) else ():
            flow.summed[entry.node] |= flow.reduced[other.node]
        if graph.nodes[place].op in (*_SCALES, *_KEEP, *_LINEAR):
            for entry in graph.nodes[place].inputs:
                flow.summed[entry.node] |= flow.summed[place]
                flow.weighted[entry.node] |= flow.weighted[place]
    return flow


def _over(node: Node, table: Table) -> list[Factors]:
    """The axes over which a node reduces."""
    data = table.axes.get(node.inputs[0], []) if node.inputs else []
    if data and node.op in _REDUCE:
        axes = (node.axis,) if isinstance(node.axis, int) else node.axis
        return [data[at] for at in reduced_axes(len(data), axes, getattr(node, 'exclude', False))]
    if len(data) > 1 and node.op in ('batch_dot', 'dot'):
        return [data[-2 if node.transpose_a and node.op == 'batch_dot' else
                     0 if node.transpose_a else -1]]
    return []


# ---- lengths of sequences

def lengths_bounded(graph: Graph, table: Table, every: set[str]) -> Iterator[Tie]:
    """Numbers on the way to the lengths of sequences."""
    pending = []
    for node in graph.nodes:
        data = table.axes.get(node.inputs[0], []) if node.inputs_of('length') else []
        time = 0 if has(node.op, 'recurs') else node.get('axis', 0)
        own = frozenset(every.intersection(labels(data[time])) if data else every)
        pending += [(entry, own) for entry in node.inputs_of('length')]
    seen = set()
    while pending:
        entry, tied = pending.pop()
        if (entry, tied) in seen:
            continue
        seen.add((entry, tied))
        node = graph.nodes[entry.node]
        number = node.a_max if node.op == 'clip' else node.value if node.op == '_full' else (
            node.scalar) if node.op.endswith('_scalar') else 0
        for label in sorted(tied) if 1 < abs(number) < math.inf else ():
            yield Tie(label, node, 'has %g in the lengths of sequences' % number, (number,))
        if any(has(node.op, trait) for trait in ('elementwise', 'pair', 'moves')) or (
                node.op == 'where'):
            pending += [(each, tied) for each in node.inputs]
