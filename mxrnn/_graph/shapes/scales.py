"""Scalars that may be made of the size of an axis: beside sums over it, and in lengths along it."""
from __future__ import annotations

import itertools
import math
import re
from typing import Collection, Iterator, NamedTuple, Sequence

from ..graph import Graph, Node
from ..operator_table import has, row
from .axis_factors import Axes, Factors, factors_of
from .constants import (
    EPSILON,
    NEAR_ONE,
    PLAIN,
    Sizes,
    is_computed,
    is_constant,
    is_written,
    may_be_part,
    size_in_graph,
)
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
_RANGES = '_arange', '_linspace'
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
    """Scalars and other factors or bounds that may be made of the size of an open axis; with
    `losses`, also the scale of a gradient. In the body of a loop that sums `along` axes, all of
    them are beside sums. Places that `arange` makes may be those of all open axes but a batch.
    """
    flow = _flow(graph, table, every.difference(sizes.batches))
    for place, node in enumerate(graph.nodes):
        for number in _numbers(node, losses):
            axes = table.axes.get(node.inputs[0], []) if node.inputs else []
            scalar = _Scalar(node, number, axes, origin[place] or (), along, flow[place], sizes)
            for label in filter(scalar.ties, sorted(every)):
                beside = scalar.is_beside_sum(label) and not scalar.is_elsewhere(label)
                yield Tie(label, node, 'has %g%s' % (
                    number, ', beside a sum over it' * beside), (number,))


def _numbers(node: Node, losses: bool) -> list[float]:
    """A node's real numbers, without defaults, bounds of ranges, those that only training reads,
    and slopes of few digits, such as the .2 of convolutional cells. Of a loss, with `losses`, the
    scale of its gradient."""
    if has(node.op, 'loss'):
        return [node.grad_scale] if losses and node.op in _LOSSES else []
    known = row(node.op)
    if known is None or node.op in _RANGES or has(node.op, 'trained') or has(node.op, 'kernel'):
        return []
    given = [(getattr(node, key), kind.default if key != 'scalar' else None)
             for key, kind in known.attributes.items() if kind.kind == 'a number']
    return [float(number) for number, default in given if number not in (None, default) and not (
        node.op == 'LeakyReLU' and is_written(number))]


class _Around(NamedTuple):
    """What is reduced around the value of a node.

    Attributes
    ----------
    reduced : set of str
        The open axes over which the value was reduced.
    counts : set of int
        How many other elements were summed for each of its elements.
    summed : set of str
        The open axes over which it is summed later, behind nodes that scale, or a sum over which
        it scales.
    weighted : set of str
        Those over which a softmax of it sums then, or this node does.
    met : set of str
        Those over which something was reduced that it meets later.
    """

    reduced: set[str]
    counts: set[int]
    summed: set[str]
    weighted: set[str]
    met: set[str]


class _Scalar(NamedTuple):
    """A number that scales, bounds or is added to a value, and what is reduced around it.

    Attributes
    ----------
    node : Node
    number : float
    axes : Axes
        Those of the value.
    origin : collection of str
        The open axes of the inputs from which the value is computed; none if it is a constant.
    along : collection of str
        Those over which a loop sums around it.
    around : _Around
    sizes : Sizes
    """

    node: Node
    number: float
    axes: Axes
    origin: Collection[str]
    along: Collection[str]
    around: _Around
    sizes: Sizes

    def ties(self, label: str) -> bool:
        """Whether the number may depend on the size of an open axis. The first line that fits
        decides:

        - In what is computed without the axis, a number made of steps ties them; one made of a
          batch ties nothing. A constant is no such value, since it may meet the data later.
        - 0, 1, -1, 2 and a half tie nothing, unless they may be a part of so few elements.
        - A number made of the size ties it.
        - Beside a sum, the number of other elements that were summed does not. Others do, but for
          an epsilon, or 1 without one.
        - If the graph does not tell the steps, a number that was computed, such as 1/18, ties them.
        """
        is_steps, is_made = label not in self.sizes.batches, self._is_made_of(label)
        is_plain, is_beside = self.number in PLAIN, self.is_beside_sum(label)
        if self.is_elsewhere(label):
            return is_steps and is_made and not is_plain
        if is_plain and not self._may_be_part_of(label):
            return False
        if is_made:
            return True
        if is_beside and _of_counts(self.number, self.around.counts):
            return False
        is_epsilon = not self._is_loss and not self._scales and (
            abs(self.number) < EPSILON or abs(abs(self.number) - 1) < NEAR_ONE)
        return is_plain or is_beside and not is_epsilon or (
            is_steps and label not in self.sizes.axes and is_computed(self.number)
            and not _of_counts(self.number, self.sizes.weights))

    def is_elsewhere(self, label: str) -> bool:
        """Whether it acts on what is computed of inputs without an axis."""
        return bool(self.origin) and label not in {*self.origin, *self.around.reduced, *self.along}

    def is_beside_sum(self, label: str) -> bool:
        """Whether it scales or bounds a sum over an axis, is added to one, or scales what is
        summed."""
        told = label in self.sizes.axes
        if self._is_loss:
            return not told and label not in self.sizes.batches
        return label in self.around.reduced or label in self.along or (
            not self.origin and label in self.around.met) or self._scales and (
                label in self.around.summed or not told and label in self.around.weighted)

    @property
    def _is_loss(self) -> bool:
        """Whether it scales the gradient of a loss."""
        return self.node.op in _LOSSES

    @property
    def _scales(self) -> bool:
        return self.node.op in (*_SCALES, 'softmax', 'log_softmax', '_full')

    def _is_made_of(self, label: str) -> bool:
        """Whether it is made of the axis' size in the graph, or of a size that is made of it."""
        return _made_of(self.number, [*self.sizes.numbers(label), *[
            size_in_graph(product(axis), self.sizes) for axis in self.axes
            if label in labels(axis)]])

    def _may_be_part_of(self, label: str) -> bool:
        """Whether a plain number may be a common part of the axis' size."""
        size = self.sizes.axes.get(label)
        if label in self.around.reduced and _COMPARES.search(self.node.op) and self.number == 2:
            return not is_constant(2, size)
        return size is not None and self.number > 0 and (
            self.is_beside_sum(label) and may_be_part(self.number, size)
            or (self._scales or not self.node.op.endswith('_scalar')) and self._is_made_of(label))


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


def _flow(graph: Graph, table: Table, every: set[str]) -> list[_Around]:
    """What is reduced around each node. Places along an axis, as `arange` makes them, are taken for
    sums of ones."""
    flow = [_Around(set(), set(), set(), set(), set()) for _ in graph.nodes]
    for node, own in zip(graph.nodes, flow):
        lengths = node.inputs_of('length')
        _reduce(node, own, [(graph.nodes[entry.node], flow[entry.node]) for entry in node.inputs
                            if entry not in lengths], table, every)
    for node, own in zip(graph.nodes[::-1], flow[::-1]):
        _meet(node, own, [flow[entry.node] for entry in node.inputs])
    return flow


def _reduce(node: Node, own: _Around, read: Sequence[tuple[Node, _Around]], table: Table,
            every: set[str]) -> None:
    """Note over what a node reduces what it `read`."""
    axes = [] if read and read[0][0].op == 'zeros_like' else _over(node, table)
    data = table.axes.get(node.inputs[0], []) if node.inputs else []
    own.reduced.update(*map(labels, axes))
    if axes:
        own.counts.add(math.prod(size for axis in axes for size in factors_of(axis)
                                 if isinstance(size, int)))
    if node.op in ('_arange', '_contrib_arange_like'):
        own.reduced.update(every)
    if node.op == '_foreach' and is_running_sum(node):
        own.reduced.update(labels([*data, ()][0]))
    if node.op in _WEIGHTS:
        over = data if node.op == 'SoftmaxActivation' else data[node.axis:][:1]
        for around in (own, *(before for _, before in read)):
            around.weighted.update(*map(labels, over))
    for made, before in read:
        if node.op in (*_SUMS, 'batch_dot', 'dot', '_foreach'):
            before.summed.update(own.reduced)
        if not _COMPARES.search(made.op):
            own.reduced.update(before.reduced)
            own.counts.update(before.counts)
    own.counts.difference_update((0, 1))


def _meet(node: Node, own: _Around, read: Sequence[_Around]) -> None:
    """Note what those that a node `read` meet there and later."""
    if has(node.op, 'pair') or node.op.startswith('broadcast_'):
        for before, other in itertools.permutations(read, 2):
            before.met.update(other.reduced)
            if node.op in _FACTORS:
                before.summed.update(other.reduced)
    for before in read:
        if node.op in (*_SCALES, *_KEEP, *_LINEAR):
            before.summed.update(own.summed)
            before.weighted.update(own.weighted)
        if has(node.op, 'elementwise') or has(node.op, 'pair') or node.op in (*_KEEP, *_LINEAR):
            before.met.update(own.met)


def _over(node: Node, table: Table) -> list[Factors]:
    """The axes over which a node reduces."""
    data = table.axes.get(node.inputs[0], []) if node.inputs else []
    if data and node.op in ('softmax_cross_entropy', 'CTCLoss'):
        return data[:1]
    if data and node.op == 'Pooling' and node.global_pool:
        return data[2:]
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
