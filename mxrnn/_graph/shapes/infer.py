"""Infers the axes of all values in a graph from those of its variables."""
from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Mapping, NamedTuple, Sequence

from ..graph import Entry, Graph, Node
from ..operator_table import row
from . import (  # noqa: F401  (they fill the table)
    array_rules,
    layer_rules,
    reshaping_rules,
)
from .axis_factors import Axes, factors_of
from .rule_api import RULES, Array, UnknownAxes, alike
from .sizes import Axis, Size, Sum, axes_in, changed, product, resolve
from .unification import AxesError, SizeError, suggest

__all__ = ['Fault', 'Table', 'axes_of', 'infer']


def axes_of(node: Node, inputs: Sequence[Axes]) -> list[Axes]:
    """The axes of the outputs of `node`, or of the outputs in use.

    Parameters
    ----------
    node : Node
    inputs : list of Axes
        Of the inputs on which its outputs depend; an unknown input has no axes.

    Returns
    -------
    list of Axes
        An input's axis is also an output's if each element along it depends only on the same
        element of the input. An axis that only has its size, and whose elements depend on more, is
        marked (`mixed_axes`). Unknown sizes that have to be equal are bound.

    Raises
    ------
    UnknownAxes, IndexError
        There is no rule for such a node, or too little is known about its inputs.
    SizeError
        Sizes that have to be equal differ.
    """
    known = row(node.op)
    if known is not None and not known.variadic:
        count = len(known.inputs) - len(known.positions('label'))
        inputs = [*inputs, *([] for _ in range(count))][:count]
    rule, needs = RULES.get(node.op, (None, 0))
    if rule is None or not all(inputs[:needs]):
        raise UnknownAxes
    outputs = rule(node, *map(Array, inputs))
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


#: Said of a node that splits data into another number of steps.
_UNROLLED_FOR = ' (the graph was unrolled for %d steps: give that number)'


class Fault(NamedTuple):
    """A node whose inputs do not fit together."""

    node: Node
    reason: str
    #: If numbers of axes are the fault, an input with each number.
    axes: Mapping[int, str] = {}
    #: The sizes that have to be equal, if one is made of axes of any size.
    sizes: tuple[Size, ...] = ()

    def __str__(self) -> str:
        hint = ''
        if self.node.op == 'SliceChannel' and self.node.squeeze_axis:
            hint = _UNROLLED_FOR % self.node.num_outputs
        what = '%s, but %s' % (self.reason, ', '.join(
            '%s has %d' % (name, axes) for axes, name in self.axes.items())) if self.axes else (
            'these sizes have to be equal: ' + self.reason)
        return 'node %s: %s%s' % (self.node.title, what, hint)


class Table(NamedTuple):
    """The result of an inference.

    Attributes
    ----------
    axes : dict
        The axes of values, as rules return them (`axes_of`); missing values are unknown.
    bodies : dict
        By places of loops, the results for their bodies.
    closed : dict
        By places of nodes, the axes of any size that had to become numbers there.
    faults : list of Fault
    believed : dict
        By places of nodes, pairs of sizes that were assumed to be equal there, although they are
        not for all sizes of their axes.
    own : dict
        Its axes in the place of those, or of names, in the shapes that it was made of.
    """

    axes: dict[Entry, Axes]
    bodies: dict[int, Table]
    closed: dict[int, list[Axis]]
    faults: list[Fault]
    believed: dict[int, list[tuple[Size, Size]]]
    own: Mapping[str | Axis, Axis] = MappingProxyType({})


def infer(graph: Graph, shapes: Mapping[str, Sequence[Size | str]], *, free: bool = False,
          whole: bool = True) -> Table:
    """Infer the axes of all values that a graph's outputs need.

    Parameters
    ----------
    graph : Graph
    shapes : dict
        Shapes of its variables, as far as known. A name is an axis of any size, wherever it stands.
        An `Axis` is not changed: the table has one of its own in its place.
    free : bool
        Whether axes with names may become numbers.
    whole : bool
        Whether to go on after a node whose inputs do not fit together.
    """
    own: dict[str | Axis, Axis] = {}

    def of(size: Size | str) -> Size:
        if isinstance(size, (str, Axis)):
            return own.setdefault(size, Axis(label=size, free=free) if isinstance(
                size, str) else dataclasses.replace(size))
        return changed(size, of) if isinstance(size, Sum) else size
    return _infer(graph, {place: [(of(size),) for size in shapes[node.name]]
                          for place, node in enumerate(graph.nodes)
                          if node.is_variable and node.name in shapes}, whole)._replace(own=own)


def _infer(graph: Graph, variables: Mapping[int, Axes], whole: bool = True) -> Table:
    """`infer`, from the axes of variables by their places; unknown ones are bound."""
    table = Table({}, {}, {}, [], {})
    for place in sorted(graph.reached(_read)):
        if table.faults and not whole:
            break
        node = graph.nodes[place]
        if node.is_variable:
            outputs = [variables.get(place, [])]
        else:
            given = [list(map(factors_of, table.axes.get(entry, []))) for entry in _read(node)]
            before = [size for axes in given for axis in axes for size in axis
                      if isinstance(size, Axis)]
            assumed = {axis: len(axis.believed) for axes in given for factors in axes
                       for size in factors for axis in axes_in(size)}
            try:
                outputs = _loop(table, place, node, given) if node.op == '_foreach' else axes_of(
                    node, given)
            except (UnknownAxes, IndexError):
                outputs = []
            except SizeError as error:
                table.faults.append(Fault(node, str(error), {
                    len(axes): graph.nodes[entry.node].name
                    for entry, axes in zip(_read(node), given)
                    if axes and isinstance(error, AxesError)}, error.sizes))
                outputs = []
            for axis, count in assumed.items():
                if axis.believed[count:]:
                    table.believed.setdefault(place, []).extend(axis.believed[count:])
            closed = [axis for axis in before
                      if axis.bound is not None and isinstance(resolve(axis), int)]
            if closed:
                table.closed[place] = closed
        table.axes.update((Entry(place, at), axes) for at, axes in enumerate(outputs) if axes)
    return table


def _read(node: Node) -> tuple[Entry, ...]:
    """The inputs that tell the shapes of a node's outputs."""
    needed = node.needed_inputs
    return needed if len(needed) == len(node.inputs) else (*needed, *node.inputs_of('like'))


def _loop(table: Table, place: int, node: Node, given: Sequence[Axes]) -> list[Axes]:
    """The axes of a loop's outputs; those of its body are stored separately."""
    if not node.body.fits(node):
        raise UnknownAxes
    body, places, count, states = node.body
    time = alike([(Axis(),)], *(axes[:1] for axes in given[:count]))
    suggest(product(time[0]), 'time')
    inside = {each: axes[1:] if at < count else axes
              for at, (each, axes) in enumerate(zip(places, given))}
    table.bodies[place] = own = _infer(body, inside)
    table.faults.extend(own.faults)
    made = [own.axes.get(head, []) for head in body.heads]
    begins = given[count:count + states]
    after = [alike(new, old) if new or old else []  # states do not change their shape
             for old, new in zip(begins, made[node.num_out_data:])]
    return [[*time, *axes] if axes else [] for axes in made[:node.num_out_data]] + after
