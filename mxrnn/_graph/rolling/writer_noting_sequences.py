"""Writes a graph without its number of steps, and notes which of its values are sequences."""
from __future__ import annotations

from typing import Mapping, Sequence

from ..graph import Entry, Node
from ..graph_editing import Fixed, Writer
from ..shapes.axis_factors import Axes, Factors, factors_of
from ..shapes.sizes import Size, product, same
from .ambiguity import Counted
from .sequence_axes import input_axes

__all__ = ['Freeing']


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
    sources : dict of Entry to set of (str, int or None)
        By sequence, the inputs that a recurrence reads, and along which axis; None if not known.
    axes : dict of Entry to Axes
        The axes of values, as far as recurrences tell them.
    inputs : dict of Entry to int
        The inputs in `given` whose axes are known, and their axes of steps.
    beside : dict of str to str
        By name of a node that repeats something, the input of which each step gets a copy.
    behind : list of set of Entry
        By node, the sequences on which it depends.
    cut : dict of Entry to Node
        By sequence, a node whose numbers may be its number of steps.
    """

    def __init__(self, length: int | None, given: Mapping[str, int], counted: Counted | None,
                 fixed: Fixed) -> None:
        super().__init__()
        self.length, self.given, self.counted, self.fixed = length, given, counted, fixed
        self.sequences: dict[Entry, int] = {}
        self.sources: dict[Entry, set[tuple[str, int | None]]] = {}
        self.axes: dict[Entry, Axes] = {}
        self.inputs: dict[Entry, int] = {}
        self.beside: Mapping[str, str] = {}
        self.behind: list[set[Entry]] = []
        self.cut: dict[Entry, Node] = {}

    def note_input(self, entry: Entry, shape: Sequence[int | str], time: int) -> None:
        """Note the axes of an input in `given` that has a number of steps along `time`."""
        self.axes[entry] = input_axes(shape, time)
        self.inputs[entry] = time

    def note_sequences(self, begin: int) -> None:
        """Note the sequences on which the nodes from number `begin` on depend."""
        for place, node in enumerate(self.nodes[begin:], begin):
            own = Entry(place, 0)
            self.behind.append({own} & self.sequences.keys())
            self.behind[-1].update(*[self.behind[entry.node] for entry in node.inputs])

    def time(self, sequence: Entry) -> Size:
        """The size of a sequence's axis of steps; 1 if its axes are not known."""
        return product(sum(self.axes[sequence][:1], ()))

    def steps_of(self, size: Factors) -> int | None:
        """The number of steps of a sequence with an axis of this size, or None."""
        return next((total for entry, total in self.sequences.items()
                     if same(product(size), self.time(entry))), None)

    def times(self, steps: int | None) -> list[Size]:
        """The sizes of the axes of sequences, and of inputs in `given`, of `steps`."""
        return [self.time(entry) for entry, total in self.sequences.items() if total == steps] + [
            product(self.axes[entry][time]) for entry, time in self.inputs.items()
            if steps == self.length]

    def splits_off(self, node: Node, data: Entry, steps: int) -> bool:
        """Whether a Reshape has the number of steps at the place of the steps, not of a batch of as
        many: the first axis of its data has both, in this order."""
        codes = node.shape[1:3] if node.shape[0] == -4 else node.shape[:2]
        factors = [each for axis in self.axes.get(data, [])[:1] for each in factors_of(axis)]
        return len(factors) == 2 and steps in codes and (
            self.steps_of((factors[codes.index(steps)],)) == steps)

    def like(self, steps: int | None, axes: Axes, rest: Axes) -> Entry | None:
        """The last value whose first axis is that of a sequence of `steps`, and whose first two
        axes and `rest` have as many elements as `axes`; or such an input, with time first."""
        size, times = product(sum(axes, ())), self.times(steps)
        first = next((entry for entry, own in reversed([*self.axes.items()]) if own and any(
            same(product(own[0]), time) for time in times) and same(
                size, product(sum(own[:2] + rest, ())))), None)
        return first or next((
            self.swap(entry, 'steps') if time else entry for entry, time in self.inputs.items()
            if time < 2 and same(size, product(sum(self.axes[entry][:2] + rest, ())))), None)

    def stated(self, name: str = '') -> tuple[Entry | None, int]:
        """The input `name`, or the first one, with an axis of the number of steps, and that axis.
        """
        names = [name] if name else [*self.given]
        return next(((Entry(place, 0), self.given[name]) for name in names for place, node in
                     enumerate(self.nodes) if not node.op and node.name == name), (None, 0))

    def steps(self) -> tuple[Entry | None, int]:
        """A value with the given number of steps, and its axis of steps: a sequence that is read
        from the first input in `given`, or may be made from it, or that input itself."""
        found = [entry for entry, steps in self.sequences.items() if steps == self.length]
        for name, axis in [*self.given.items()][:1]:
            found = next(filter(None, [[entry for entry in found if (name, each) in self.sources[
                entry]] for each in (axis, None)]), [])
        return (found[0], 0) if found else self.stated()
