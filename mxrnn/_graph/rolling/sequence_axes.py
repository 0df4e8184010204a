"""Sequences and their axes in a graph that is being rewritten without its number of steps."""
from __future__ import annotations

import contextlib
from typing import Mapping, Sequence

from ..graph import Entry, Node
from ..graph_editing import Fixed, Writer
from ..operator_table import has
from ..shapes.axis_factors import Axes, Factors, factors_of, open_axes
from ..shapes.infer import axes_of
from ..shapes.rule_api import UnknownAxes
from ..shapes.sizes import Axis, Size, Sum, is_product, product, same
from ..shapes.unification import SizeError
from .ambiguity import Counted

__all__ = ['Freeing', 'note_axes']


class Freeing(Writer):
    """A graph that is rewritten without its number of steps.

    Attributes
    ----------
    length : int or None
        The number of steps, if it is given.
    given, counted, fixed
        See `make_length_symbolic`, where `given` is called axes.
    sequences : dict of Entry to int
        The outputs of recurrences, and their numbers of steps.
    axes : dict of Entry to Axes
        The axes of values, as far as recurrences tell them.
    behind : list of set of Entry
        By node, the sequences on which it depends.
    cut : dict of Entry to Node
        By sequence, a node whose numbers may be its number of steps.
    left : set of Axis
        Axes of steps that are not an input's axis, but what windows leave of one.
    """

    def __init__(self, length: int | None, given: Mapping[str, int], counted: Counted | None,
                 fixed: Fixed) -> None:
        super().__init__()
        self.length, self.given, self.counted, self.fixed = length, given, counted, fixed
        self.sequences: dict[Entry, int] = {}
        self.axes: dict[Entry, Axes] = {}
        self.behind: list[set[Entry]] = []
        self.cut: dict[Entry, Node] = {}
        self.left: set[Size] = set()

    def note_steps(self, sequence: Entry) -> None:
        """Give a sequence its own axis of steps if windows made it from another axis."""
        axes = self.axes[sequence]
        steps = product(axes[0]) if axes else 1
        if isinstance(steps, Sum) and not is_product(steps):
            own = Axis()
            self.axes[sequence] = [(own,), *axes[1:]]
            self.left.add(own)

    def note_sequences(self, begin: int) -> None:
        """Note the sequences on which the nodes from number `begin` on depend."""
        for place, node in enumerate(self.nodes[begin:], begin):
            own = Entry(place, 0)
            self.behind.append({own} & self.sequences.keys())
            self.behind[-1].update(*[self.behind[entry.node] for entry in node.inputs])

    def steps_of(self, size: Factors) -> int | None:
        """The numbers of steps of sequences with an axis of this size; None if there are none."""
        return next((total for entry, total in self.sequences.items() if same(
            product(size), product(sum(self.axes[entry][:1], ())))), None)

    def splits_off(self, node: Node, data: Entry, steps: int) -> bool:
        """Whether a Reshape has the number of steps at the place of the steps, not of a batch of as
        many: the first axis of its data has both, in this order."""
        codes = node.shape[1:3] if node.shape[0] == -4 else node.shape[:2]
        factors = [each for axis in self.axes.get(data, [])[:1] for each in factors_of(axis)]
        return len(factors) == 2 and steps in codes and (
            self.steps_of((factors[codes.index(steps)],)) == steps)

    def like(self, steps: int | None, axes: Axes, rest: Axes) -> Entry | None:
        """The last value whose first axis is that of a sequence of `steps`, and whose first two
        axes and `rest` have as many elements as `axes`."""
        size = product(sum(axes, ()))
        times = [product(sum(self.axes[entry][:1], ())) for entry, total in self.sequences.items()
                 if total == steps]
        return next((entry for entry, own in reversed([*self.axes.items()]) if own and any(
            same(product(own[0]), time) for time in times) and same(
                size, product(sum(own[:2] + rest, ())))), None)

    def stated(self) -> tuple[Entry | None, int]:
        """An input with an axis of the number of steps, and that axis."""
        return next(((Entry(place, 0), self.given[node.name]) for place, node in enumerate(
            self.nodes) if not node.op and node.name in self.given), (None, 0))

    def first(self) -> Entry | None:
        """The first sequence with the given number of steps."""
        return next((entry for entry, steps in self.sequences.items()
                     if steps == self.length), None)


def note_axes(nodes: Sequence[Node], begin: int, axes: dict[Entry, Axes]) -> None:
    """Note the axes of the outputs of `nodes`, from number `begin` on."""
    for place in range(begin, len(nodes)):
        with contextlib.suppress(UnknownAxes, SizeError, IndexError):
            for output, found in enumerate(_axes_of(nodes[place], axes)):
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
