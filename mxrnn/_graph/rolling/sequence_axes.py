"""Notes the axes of values, as far as the sequences and states of recurrences tell them."""
from __future__ import annotations

import contextlib
from typing import Mapping, Sequence

from ..graph import Entry, Node
from ..operator_table import has
from ..shapes.axis_factors import Axes, open_axes
from ..shapes.infer import axes_of
from ..shapes.rule_api import NOT_INFERRED
from ..shapes.sizes import Axis, Sum, is_product, product

__all__ = ['input_axes', 'note_axes']


def input_axes(shape: Sequence[int | str], time: int) -> Axes:
    """The axes of an input of this shape; names and the axis `time` may have any size."""
    return [(size if isinstance(size, int) and at != time else Axis(given=0),)
            for at, size in enumerate(shape)]


def note_axes(nodes: Sequence[Node], begin: int, axes: dict[Entry, Axes]) -> None:
    """Note the axes of the outputs of `nodes`, from number `begin` on. Sequences get their own axis
    of steps if windows made it from another axis."""
    for place in range(begin, len(nodes)):
        with contextlib.suppress(*NOT_INFERRED):
            for output, found in enumerate(_axes_of(nodes[place], axes)):
                steps = product(found[0]) if found and has(nodes[place].op, 'recurs') else 1
                if isinstance(steps, Sum) and not is_product(steps) and not output:
                    found = [(Axis(),), *found[1:]]
                axes[Entry(place, output)] = found
                for axis in open_axes(found):
                    axis.given = 0  # it does not occur as a number in shapes


def _axes_of(node: Node, axes: Mapping[Entry, Axes]) -> list[Axes]:
    """The axes of a node's outputs; [] if they are not known."""
    if node.op == '_foreach':
        body, places, count, _ = node.body
        inside = {Entry(place, 0): axes[entry][at < count:]
                  for at, (place, entry) in enumerate(zip(places, node.inputs)) if entry in axes}
        steps = (Axis(),)
        note_axes(body.nodes, 0, inside)
        return [[steps, *inside[head]] if inside.get(head) else []
                for head in body.heads[:node.num_out_data]]
    without = [entry for role in ('weight', 'aux', 'length') for entry in node.inputs_of(role)]
    given = [[] if entry in without else axes.get(entry, []) for entry in node.needed_inputs]
    known = [entry in axes or entry in without for entry in node.needed_inputs]
    if has(node.op, 'one shape'):
        return [next(filter(None, given), [])]
    tells = has(node.op, 'kernel') or node.op == 'FullyConnected' and node.flatten or (
        node.op == 'Reshape' and {-1, 1}.issuperset(node.shape))
    return axes_of(node, given) if tells or all(known) else []
