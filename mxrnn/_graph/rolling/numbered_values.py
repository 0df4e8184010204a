"""A graph as numbered values: one number for each output of a node, without detours.

Detours are nodes that pass a value on unchanged (identities, the 0 with which Python's `sum`
begins, Dropout in inference), and joins of steps that are only split again.
"""
from __future__ import annotations

import functools
import itertools
from typing import Hashable, Mapping, Optional, Sequence, Tuple

from ..attributes import AttributeValueError
from ..graph import Entry, Graph, Node
from ..operator_rows import lacks_inputs
from ..operator_table import ROWS, has, row
from ..shapes.axis_factors import number_of
from ..shapes.infer import axes_of
from ..shapes.rule_api import NOT_INFERRED
from ..shapes.sizes import Axis

__all__ = ['Rank', 'TooLong', 'Values', 'before_swap', 'find_ranks', 'has_one_shape', 'is_random',
           'keeps_states']

_LARGER = {'_greater_scalar': lambda x, y: x > y, '_greater_equal_scalar': lambda x, y: x >= y,
           '_lesser_scalar': lambda x, y: x < y, '_lesser_equal_scalar': lambda x, y: x <= y,
           '_equal_scalar': lambda x, y: x == y, '_not_equal_scalar': lambda x, y: x != y}

#: Operators whose output is always one number.
_CONSTANTS = {'ones_like': 1, '_ones': 1, 'zeros_like': 0, '_zeros': 0}

#: Operators that may hand on a value, join or split values, or tell what all elements are.
_SEEN_THROUGH = frozenset(('_copy', '_plus_scalar', 'Dropout', 'stack', 'SliceChannel', 'Cast',
                           'where', 'elemwise_mul', *_CONSTANTS, *_LARGER,
                           *(op for op in ROWS if has(op, 'joins'))))


def is_random(node: Node) -> bool:
    """Whether two such nodes with the same inputs may differ: in values, or in gradients that do
    not depend on a loss' gradient from above."""
    return (has(node.op, 'draws') or keeps_states(node) or node.op in ('MakeLoss', 'make_loss')
            or bool(node.inputs_of('label'))
            or node.op.startswith(('_random_', '_sample_'))
            or node.op == 'LeakyReLU' and node.act_type == 'rrelu')


def keeps_states(node: Node) -> bool:
    """Whether each run of a node affects the next one."""
    known = row(node.op)
    return node.op in ('Custom', '_CustomFunction') or (
        known is not None and bool(known.positions('aux')))


def has_one_shape(node: Node) -> bool:
    """Whether all arrays that `node` reads have the shape of its output."""
    return has(node.op, 'one shape') and not node.inputs_of('length')


def before_swap(node: Node, axis: int, rank: int | None) -> int:
    """The axis of its input that a SwapAxis makes `axis`; -1 if that is unknown."""
    one, other = [each if each >= 0 else each + rank if rank else -1
                  for each in (node.dim1, node.dim2)]
    return -1 if -1 in (one, other) else {one: other, other: one}.get(axis, axis)


class TooLong(Exception):
    """A graph would take more time than graphs of real programs do."""


class Values:
    """The values of a graph.

    Attributes
    ----------
    nodes : tuple of Node
    counts : list of int
        By node, the number of its outputs that are numbered.
    first : list of int
        By node, the number of its first output.
    owner : list of int
        By value, the node that computes it.
    args : list of tuple of int
        By node, the values that it reads.
    heads : list of int
    labels : list of int
        By node, a number for its operator and parameters; names do not count.
    same : list of int
        By value, a number; values with the same one are certainly equal.
    readers : list of list of int
        By value, the nodes that read it and that the outputs need.
    """

    def __init__(self, graph: Graph, training: bool) -> None:
        self.nodes = graph.nodes
        #: A file does not tell how many outputs an unknown operator has.
        self.counts = counts = [node.num_outputs for node in graph.nodes]
        for place, output in itertools.chain(graph.heads, *[node.inputs for node in graph.nodes]):
            if output >= counts[place]:
                counts[place] = output + 1
        self.first: list[int] = []
        self.owner: list[int] = []
        for i, count in enumerate(counts):
            self.first.append(len(self.owner))
            self.owner.extend([i] * count)
        self._training = training
        self._seen_through = list(range(len(self.owner)))
        #: By value, the number that all its elements equal, if it is known.
        self._constant: dict[int, float] = {}
        self.args: list[tuple[int, ...]] = []
        self.labels: list[int] = []
        self.same = list(range(len(self.owner)))
        #: By node that joins values along a new axis: the axis, and the values.
        self.joins: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._read()
        #: Nodes with outputs whose names no other node's output could have.
        self.kept = {entry.node for entry, name in zip(graph.heads, graph.outputs)
                     if not name.endswith('_output')}
        self.heads = [self.first[entry.node] + entry.output if entry.node in self.kept
                      else self._value(entry) for entry in graph.heads]
        self._find_readers()
        self._left = 300 * len(self.nodes) + 100_000

    def spend(self, count: int) -> None:
        """Note that `count` nodes are examined; raise `TooLong` if that happens too often."""
        self._left -= count
        if self._left < 0:
            raise TooLong

    def output(self, value: int) -> int:
        """The number of `value` among the outputs of its node."""
        return value - self.first[self.owner[value]]

    def node(self, value: int) -> Node:
        """The node that computes `value`."""
        return self.nodes[self.owner[value]]

    def columns(self, nodes: Sequence[int]) -> list[tuple[int, ...]]:
        """By output, the value of each of `nodes`; all have as many outputs."""
        return list(zip(*[range(self.first[node], self.first[node] + self.counts[node])
                          for node in nodes]))

    def read_by(self, nodes: Sequence[int]) -> list[tuple[int, ...]]:
        """By input, what each of `nodes` reads; all have as many inputs."""
        return list(zip(*[self.args[node] for node in nodes]))

    def above(self, value: int) -> set[int]:
        """A value, and all of which it is made."""
        pending, seen = [value], {value}
        while pending:
            new = set(self.args[self.owner[pending.pop()]]) - seen
            seen |= new
            pending.extend(new)
        return seen

    def are_one(self, values: Sequence[int]) -> bool:
        """Whether `values` are certainly equal."""
        return len({self.same[value] for value in values}) == 1

    def are_ones(self, values: Sequence[int]) -> bool:
        """Whether all elements of `values` are certainly 1."""
        return all(self._constant.get(value) == 1 for value in values)

    def one_shape(self, first: int, second: int) -> bool:
        """Whether two values certainly have the same shape."""
        like = self._like
        return _stand(like, self.same[first]) == _stand(like, self.same[second])

    @functools.cached_property
    def _like(self) -> list[int]:
        """By value, a representative of all values that certainly have its shape."""
        like = list(range(len(self.owner)))
        for i, node in enumerate(self.nodes):
            if has_one_shape(node) or node.op == 'where':  # a condition may only have rows
                for arg in self.args[i][node.op == 'where':]:
                    like[_stand(like, arg)] = _stand(like, self.first[i])
        return like

    def rank_class(self, value: int) -> int:
        """A representative of all values that certainly have as many axes as `value`."""
        return _stand(self._ranked, self.same[value])

    @functools.cached_property
    def _ranked(self) -> list[int]:
        ranked = [*self._like]
        for i, node in enumerate(self.nodes):
            if node.op == 'slice_axis' or node.op == 'SliceChannel' and not node.squeeze_axis or (
                    has(node.op, 'joins')):
                for arg in self.args[i]:
                    ranked[_stand(ranked, arg)] = _stand(ranked, self.first[i])
                for output in range(1, self.counts[i]):
                    ranked[_stand(ranked, self.first[i] + output)] = _stand(ranked, self.first[i])
        return ranked

    def _value(self, entry: Entry) -> int:
        return self._seen_through[self.first[entry.node] + entry.output]

    def _read(self) -> None:
        labels: dict[Hashable, int] = {}
        known: dict[Hashable, int] = {}
        alone: list[bool] = []  # by label: whether two nodes with the same inputs stay two
        first, seen_through, same = self.first, self._seen_through, self.same
        for i, node in enumerate(self.nodes):
            op, _, attrs, inputs, subgraphs, _ = node
            args = tuple([seen_through[first[at] + output] for at, output in inputs])
            self.args.append(args)
            label = labels.setdefault((op, len(args), self.counts[i], frozenset([
                item for item in attrs.items() if not item[0].startswith('__')]))
                if op and not subgraphs else i, len(labels))
            self.labels.append(label)
            if label == len(alone):
                alone.append(is_random(node))
                if lacks_inputs(op, len(args)):
                    raise AttributeValueError('%s lacks inputs' % node.name)
            begin = first[i]
            stands = begin if alone[label] else known.setdefault(
                (label, *[same[arg] for arg in args]), begin)
            if stands != begin:
                same[begin:begin + self.counts[i]] = range(stands, stands + self.counts[i])
            if op in _SEEN_THROUGH:
                self._look_through(i, node, args)

    def _look_through(self, i: int, node: Node, args: tuple[int, ...]) -> None:
        """Find out whether `node` passes on a value, or joins values along a new axis."""
        at, op, known = self.first[i], node.op, self._constant
        if op == '_copy' or op == '_plus_scalar' and node.scalar == 0 or op == 'Dropout' and (
                node.p == 0 or not self._training and node.mode != 'always'):
            self._hand_on(at, args[0])
        elif op == 'stack':
            self.joins[i] = node.axis, args
        elif has(op, 'joins') and all([each.op == 'expand_dims' and each.axis == node.dim
                                     for each in map(self.node, args)]):
            self.joins[i] = node.dim, tuple([self.args[self.owner[arg]][0] for arg in args])
        elif op == 'SliceChannel':
            axis, parts = self.joins.get(self.owner[args[0]], (-1, ()))
            if len(parts) == node.num_outputs and node.squeeze_axis and axis == node.axis:
                for k, part in enumerate(parts):
                    self._hand_on(at + k, part)
        elif op in _CONSTANTS:
            known[at] = _CONSTANTS[op]
        # In inference: the value that masks of only ones let through.
        elif self._training:
            pass
        elif op == 'Cast' and args[0] in known:
            known[at] = known[args[0]]
        elif op in _LARGER and args[0] in known:
            known[at] = float(_LARGER[op](known[args[0]], float(node.scalar)))
        elif op == 'where' and args[0] in known:
            self._hand_on(at, args[1] if known[args[0]] else args[2])
        elif op == 'elemwise_mul' and 1 in (known.get(args[0]), known.get(args[1])):
            self._hand_on(at, args[0] if known.get(args[1]) == 1 else args[1])

    def _hand_on(self, at: int, value: int) -> None:
        self._seen_through[at] = value
        self.same[at] = self.same[value]

    def _find_readers(self) -> None:
        self.readers: list[list[int]] = [[] for _ in self.owner]
        needed = [False] * len(self.nodes)
        for head in self.heads:
            needed[self.owner[head]] = True
        for i in range(len(self.nodes) - 1, -1, -1):
            if needed[i]:
                for arg in self.args[i]:
                    needed[self.owner[arg]] = True
                    self.readers[arg].append(i)
                for part in self.joins.get(i, (0, ()))[1]:
                    self.readers[part].append(i)
        self.needed = needed


def _stand(like: list[int], value: int) -> int:
    """The representative of all values that certainly have the shape of `value`."""
    while like[value] != value:
        like[value] = like[like[value]]
        value = like[value]
    return value


Rank = Optional[int]  #: None: unknown


#: By axis, 1 or any size; None: an unknown number of axes.
_Ones = Optional[Tuple[Optional[int], ...]]


def find_ranks(values: Values) -> tuple[list[Rank], set[int]]:
    """By value, its rank or None; and the values whose axis 1 has one element."""
    shapes = _shapes(values, {})
    ranks = {values.rank_class(value): len(shape) for value, shape in enumerate(shapes)
             if shape is not None}
    told = {i: ranks.get(values.rank_class(values.first[i]), 0)
            for i, node in enumerate(values.nodes) if node.is_variable and not node.stated_shape}
    if any(told.values()):
        shapes = _shapes(values, told)
    return [None if shape is None else len(shape) for shape in shapes], {
        value for value, shape in enumerate(shapes) if shape and shape[1:2] == (1,)}


def _shapes(values: Values, ranks: Mapping[int, int]) -> list[_Ones]:
    """By value, its ones. `ranks` are those of variables that state no shape."""
    shapes: list[_Ones] = []
    known: dict[tuple[int, tuple[_Ones, ...]], list[_Ones]] = {}
    for i, node in enumerate(values.nodes):
        given = tuple([shapes[arg] for arg in values.args[i]])
        key = values.labels[i], given
        if i in ranks:
            shapes.append((None,) * ranks[i] or None)
            continue
        if key not in known:
            known[key] = _outputs(node, given)
        shapes.extend([*known[key], *[None] * values.counts[i]][:values.counts[i]])
    return shapes


def _outputs(node: Node, given: Sequence[_Ones]) -> list[_Ones]:
    """Its outputs' ones, from those of its inputs."""
    if node.is_variable:
        return [(None,) * len(node.stated_shape) or None]
    own = row(node.op)
    labels = own.positions('label') if own is not None else ()
    try:
        return [tuple([1 if number_of(axis) == 1 else None for axis in axes]) or None
                for axes in axes_of(node, [
                    [(size or Axis(),) for size in shape or ()] for at, shape in enumerate(given)
                    if at not in labels])]
    except NOT_INFERRED:
        return []
