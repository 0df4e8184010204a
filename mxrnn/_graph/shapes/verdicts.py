"""The verdict on each open axis of a graph: any size, or what ties it."""
from __future__ import annotations

from types import MappingProxyType
from typing import Collection, Mapping, NamedTuple, Sequence

from ..graph import Graph
from .missing_shapes import Named
from .scales import Tie
from .ties import Lengths, find_ties

__all__ = ['Axis', 'Verdict', 'judged', 'with_sizes']


class Axis(NamedTuple):
    """The verdict on an open axis.

    Attributes
    ----------
    label : str
    sizes : tuple of int
        All sizes that the graph takes if something ties the axis; otherwise those with which steps
        were counted. () if the graph does not tell them.
    ties : tuple of Tie
        () if the axis may have any size.
    remedy : str
        What the caller found to type for any size, as the rest of a sentence; '' if nothing.
    """

    label: str
    sizes: tuple[int, ...] = ()
    ties: tuple[Tie, ...] = ()
    remedy: str = ''

    @property
    def size(self) -> int | None:
        """The only size of a tied axis; None if it may have others, or the graph does not tell it.
        """
        return self.sizes[0] if self.ties and len(self.sizes) == 1 else None

    @property
    def told(self) -> str:
        """The sizes that the graph takes, in words; '' if it does not tell them."""
        return ' to '.join(map(str, dict.fromkeys((*self.sizes[:1], *self.sizes[-1:]))))

    @property
    def reason(self) -> str:
        """What ties the axis, and the remedy, as the rest of a sentence; '' if nothing does."""
        more = len({tie.node.name for tie in self.ties}) - 1
        return ', since %s%s%s' % (self.ties[0], more and ', and so %s' % (
            'do %d more nodes' % more if more > 1 else 'does 1 more node') or '', self.remedy
        ) if self.ties else ''

    def __str__(self) -> str:
        return (self.told or 'one size' if self.ties else 'any') + self.reason


class Verdict(NamedTuple):
    """The verdicts on the open axes of a graph, which counts parts from the right ends."""

    graph: Graph
    axes: dict[str, Axis]
    #: The axes that recurrences have as their batch.
    batches: Collection[str] = ()

    def lines(self) -> list[tuple[str, str]]:
        """One line for all axes with one verdict: their names, and the verdict."""
        lines: dict[str, list[str]] = {}
        for axis in self.axes.values():
            lines.setdefault(str(axis), []).append(axis.label)
        return [(', '.join(names), text) for text, names in lines.items()]


def judged(graph: Graph, params: Mapping[str, Sequence[int | str]], shapes: Mapping[str, Named],
           losses: bool = False, numbers: Mapping[str, int] = MappingProxyType({})) -> Verdict:
    """Judge the named axes in the `shapes` of inputs.

    Parameters
    ----------
    graph : Graph
        Rolled up by `structure`.
    params, shapes : dict
        Shapes of weights, and of the inputs that predictions need.
    losses : bool
        Whether gradients of losses must be right, too.
    numbers : dict
        By name of an axis, its size in the graph, as far as it is told.
    """
    verdicts: dict[str, Axis] = {}
    open_ = dict.fromkeys(size for shape in shapes.values() for size in shape
                          if isinstance(size, str))
    found = find_ties(graph, {**params, **shapes}, [*shapes], losses, numbers)
    # A batch comes last: beside a number of steps it may be free, but steps that are free beside a
    # number of rows may not be so beside another one.
    for turn, rows in ((_equal_to_numbers, False), (_equal_to_numbers, True), (_tied, False),
                       (_tied, True)):
        while True:
            tied = {label: axis for label, axis in turn(found).items()
                    if label not in verdicts and (rows or label not in found.batches)}
            if not tied:
                break
            verdicts.update(tied)
            first = {label: axis.sizes[0] for label, axis in verdicts.items() if axis.sizes}
            found = find_ties(found.graph, {**params, **with_sizes(shapes, first)}, [*shapes],
                              losses, numbers)
    return Verdict(found.graph, {label: verdicts.get(label, Axis(label, found.sizes.get(
        label, ()))) for label in open_}, found.batches)


def with_sizes(shapes: Mapping[str, Named], sizes: Mapping[str, int | str]) -> dict[str, Named]:
    """The shapes in which names of axes stand for these sizes."""
    return {name: tuple([sizes.get(str(size), size) for size in shape])
            for name, shape in shapes.items()}


def _equal_to_numbers(found: Lengths) -> dict[str, Axis]:
    """The axes that must equal numbers, with all sizes that do, if no number of another kind may
    depend on which of these it is."""
    fits: dict[str, set[int]] = {}
    for tie in found.ties:
        if tie.fits:
            fits[tie.label] = fits.get(tie.label, {*tie.fits}).intersection(tie.fits)
    return {label: Axis(label, tuple(sorted(sizes)), tuple(
        [tie for tie in found.of(label) if tie.fits])) for label, sizes in fits.items() if sizes
        and (len(sizes) == 1 or all(tie.fits for tie in found.of(label)))}


def _tied(found: Lengths) -> dict[str, Axis]:
    """The tied axes, with the size that each has in the graph, if it tells that."""
    told = {**{label: axis.sizes for label, axis in _equal_to_numbers(found).items()},
            **{label: sizes for label, sizes in found.sizes.items() if len(sizes) == 1}}
    return {label: Axis(label, told.get(label, ()), tuple(found.of(label)))
            for label in dict.fromkeys(tie.label for tie in found.ties)}
