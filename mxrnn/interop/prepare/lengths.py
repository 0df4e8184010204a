"""The lengths that a file takes: an axis that the graph ties becomes a number, others stay open."""
from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Callable, Collection, Mapping, NamedTuple, Sequence

import numpy as np

from ..._check import some
from ..._graph.graph import Graph
from ..._graph.rolling.second_graph import NoLaw, laws, sizes_in_both, with_laws
from ..._graph.shapes.constants import CERTIFIED
from ..._graph.shapes.infer import infer
from ..._graph.shapes.missing_shapes import Named, Place
from ..._graph.shapes.scales import Tie
from ..._graph.shapes.substitution import RULES, substituted
from ..._graph.shapes.ties import Lengths, find_ties
from ..registry import ExportError, ShapesNeeded
from .fitting_sizes import fitting_sizes, told_sizes
from .input_shapes import Shapes, TiedError, WrongSizeError, refuse_guesses, shapes_found

__all__ = ['Axis', 'Settled', 'Verdict', 'checked', 'judged', 'opened', 'settled']


#: Operators with a number that a second graph decides as it does a scalar.
_SCALARS = 'clip', '_arange', '_full'


class Axis(NamedTuple):
    """The verdict on an open axis.

    Attributes
    ----------
    label : str
    sizes : tuple of int
        All sizes that the graph takes if something ties the axis; otherwise those with which steps
        were counted. None if the graph does not tell them.
    ties : tuple of Tie
        None if the axis may have any size.
    remedy : str
        What to type for any size, after a sentence; '' if nothing was found.
    """

    label: str
    sizes: tuple[int, ...] = ()
    ties: tuple[Tie, ...] = ()
    remedy: str = ''

    def __str__(self) -> str:
        if not self.ties:
            return 'any'
        nodes = [*dict.fromkeys(tie.node.name for tie in self.ties)]
        more = len(nodes) - 1
        sizes = ('%d' if len(self.sizes) == 1 else '%d to %d') % (
            *self.sizes[:1], *self.sizes[1:][-1:]) if self.sizes else 'one size'
        return '%s, since %s%s%s' % (sizes, self.ties[0], more and ', and so %s' % (
            'do %d more nodes' % more if more > 1 else 'does 1 more node') or '', self.remedy)


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
            found = find_ties(found.graph, {**params, **_sized(shapes, first)}, [*shapes], losses,
                              numbers)
    return Verdict(found.graph, {label: verdicts.get(label, Axis(label, found.sizes.get(
        label, ()))) for label in open_}, found.batches)


def _sized(shapes: Mapping[str, Named], sizes: Mapping[str, int | str]) -> dict[str, Named]:
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


# ---- the shapes of a file

@dataclass(frozen=True)
class Settled:
    """A graph, and the shapes of the inputs with which a file of it is right.

    Attributes
    ----------
    graph : Graph
    shapes : dict
        Names are axes that may have any size, or one in `ranges`.
    ranges : dict
        By input and axis, the sizes that the graph takes, if it takes only some.
    numbers : dict
        By names of axes that became numbers, these. Labels of losses may have such axes, too.
    lines : list of (str, str)
        One line for all axes with one verdict: their names, and the verdict.
    own : dict
        By name of an axis, the sizes that it may have had when the graph was unrolled.
    other : dict
        By name of an axis, its size in the graph of another length that decided its numbers; empty
        if the graph ties an axis to another size even so.
    """

    graph: Graph
    shapes: dict[str, Named]
    ranges: dict[Place, range]
    numbers: dict[str, int]
    lines: list[tuple[str, str]]
    own: dict[str, tuple[int, ...]]
    other: Mapping[str, int]

    def fits(self, data: Mapping[str, np.ndarray]) -> bool:
        """Whether data have the sizes with which the graph was unrolled.

        Raises
        ------
        ValueError
            The graph ties an axis to another number.
        """
        places = [(name, at, size, data[name].shape[at]) for name, shape in self.shapes.items()
                  if name in data and data[name].ndim == len(shape)
                  for at, size in enumerate(shape)]
        for name, at, size, given in places:
            if isinstance(size, int) and given != size:
                raise ValueError('axis %d of %s must be %d, got %d%s' % (
                    at, name, size, given, ''.join(
                        ': ' + text for names, text in self.lines if text.startswith(str(size)))))
        return all(given in self.own.get(str(size), (given,)) for _, _, size, given in places)


def settled(graph: Graph, arrays: Mapping[str, np.ndarray], typed: Shapes, names: Sequence[str],
            losses: bool = False, counted: Mapping[Place, int] = MappingProxyType({}),
            other: Graph | None = None, asks: bool = True, advises: bool = True,
            ranks: Mapping[str, int] = MappingProxyType({})) -> Settled:
    """The shapes of the inputs `names`: an axis that the graph ties is a number.

    Parameters
    ----------
    graph : Graph
        Rolled up by `structure`.
    arrays : dict
        The parameters.
    typed : dict
        Shapes that the user gave. A name is a demand: any size.
    names : list of str
    losses : bool
        Whether gradients of losses must be right, too.
    counted : dict, optional
        By input and axis, a number that is the axis' size wherever it ties it.
    other : Graph, optional
        The graph of another length, rolled up as well: it decides which numbers depend on it.
    asks : bool
        Whether to refuse an axis that is tied to a size which the graph does not tell.
    advises : bool
        Whether to say with which option a tied axis may have any size; of a batch this is said
        anyway.
    ranks : dict, optional
        Numbers of axes of inputs whose shapes were not typed.

    Raises
    ------
    ExportError
        A typed name is an axis that the graph ties; a typed number is not the graph's; the graph
        ties an axis without telling its size; or it does not tell a shape.
    """
    typed = {name: shape for name, shape in typed.items() if name in names}
    own, verdict = opened(graph, arrays, typed, names, losses, counted, ranks)
    if asks:
        refuse_guesses(graph, own, [name for name in names if name not in {*typed, *ranks}])
    shapes = {**{name: np.shape(array) for name, array in arrays.items()}, **own}
    sizes: dict[str, int] = {}
    if other is not None or counted:
        numbers = _numbers(own, verdict, counted)
        if other is None:
            graph = substituted(graph, shapes, names, numbers, losses).graph
        else:
            graph, numbers, sizes = _decided(graph, other, shapes, names, numbers)
        verdict = judged(graph, shapes, own, losses, numbers)
    elif asks or advises:
        verdict = verdict._replace(axes={label: axis._replace(remedy=_remedy(
            graph, shapes, own, axis, losses)) if axis.ties and (
                advises or label in verdict.batches) else axis
            for label, axis in verdict.axes.items()})
    chosen = checked(own, verdict, typed)
    for name, label in [(name, size) for name, shape in own.items() for size in shape]:
        if label in chosen.values() and isinstance(label, str):  # a name that was typed elsewhere
            chosen.setdefault(label, '%s_%s' % (name, label))
    final: dict[str, int | str] = {}
    for label, axis in verdict.axes.items():
        final[label] = chosen.get(label, label) if not axis.ties or len(axis.sizes) != 1 else (
            axis.sizes[0])
    untold = [label for label, axis in verdict.axes.items() if axis.ties and not axis.sizes
              and isinstance(final[label], str)]
    if asks and untold:  # beside a number of steps, a batch may be free
        untold = [label for label in untold if label not in verdict.batches] or untold
        asked = {name: shape for name, shape in own.items() if {*untold} & {*shape}}
        fit = fitting_sizes(graph, shapes, _sized(own, final), {
            label: verdict.axes[label].ties for label in untold})
        fitting = _sized(asked, {**final, **fit})
        try:
            if fit:  # as if they were typed
                settled(graph, arrays, {**typed, **fitting}, names, losses, counted, other,
                        advises=False, ranks=ranks)
        except ExportError:
            fit = {}
        name, shape = next(each for each in asked.items() if untold[0] in each[1])
        raise ShapesNeeded(
            'axis %d of %s needs a number that the graph does not tell, since %s. Give it in place '
            'of …: %s' % (shape.index(untold[0]), name, verdict.axes[untold[0]].ties[0], _typed(
                _sized(asked, {**final, **dict.fromkeys(untold, '…')}))) + (
                    '\nThese sizes fit the graph; type those of your data: ' + _typed(fitting)
                    if fit else ''), {
                    name: [None if size in untold else final.get(str(size), size) for size in shape]
                    for name, shape in own.items()})
    shown = verdict._replace(axes={
        label: axis._replace(label=str(chosen.get(label, label)))
        for label, axis in verdict.axes.items() if not isinstance(chosen.get(label), int)})
    return Settled(
        verdict.graph, _sized(own, final),
        {(name, at): range(axis.sizes[0], axis.sizes[-1] + 1) for name, shape in own.items()
         for at, size in enumerate(shape) for axis in [verdict.axes.get(str(size))]
         if axis and axis.ties and len(axis.sizes) > 1 and isinstance(final[axis.label], str)},
        {str(chosen.get(label, label)): size for label, size in final.items()
         if isinstance(size, int)}, shown.lines(),
        {str(size): axis.sizes for label, size in final.items()
         for axis in [verdict.axes[label]] if isinstance(size, str) and axis.sizes},
        {} if any(isinstance(size, int) and sizes.get(label, size) != size
                  for label, size in final.items()) else {
            str(size): sizes[label] for label, size in final.items() if label in sizes})


def _typed(shapes: Mapping[str, Named]) -> str:
    """The options that state shapes."""
    return ' '.join('--input %s=%s' % (name, ','.join(map(str, shape)))
                    for name, shape in shapes.items())


def opened(graph: Graph, arrays: Mapping[str, np.ndarray], typed: Shapes, names: Sequence[str],
           losses: bool = False, counted: Mapping[Place, int] = MappingProxyType({}),
           ranks: Mapping[str, int] = MappingProxyType({})) -> tuple[dict[str, Named], Verdict]:
    """The shapes of inputs with a name for each axis whose size no weight tells, and the verdicts
    on these. Of the shapes that the user gave, only the numbers of axes count, as in `ranks`,
    because the graph may tie a typed number, too. But typed sizes may differ where the graph
    suggests that they are the same; and the number of a tied axis whose size it does not tell
    counts, because other axes may be free beside it. So does a number that an input states."""
    own = {name: array for name, array in arrays.items() if name not in names}
    params = {name: np.shape(array) for name, array in own.items()}
    given = {**{name: tuple(['%s_%d' % (name, at) for at in range(rank)])
                for name, rank in ranks.items()}, **typed}
    try:
        found = shapes_found(graph, own, {}, names, {
            name: len(shape) for name, shape in given.items()})
    except ExportError:
        if not given:
            raise
        found = shapes_found(graph, own, given, [name for name in names if name not in given])
        found = found._replace(shapes={**{
            name: tuple(given[name]) for name in names if name in given}, **found.shapes})
        for fault in infer(graph, {**params, **found.shapes}).faults:
            if not fault.sizes:  # whatever the sizes of open axes
                raise ExportError(str(fault)) from None
    fixed = {**{place: '%s_%d' % place for place in counted}, **found.fixed}
    shapes = {name: tuple([fixed.get((name, at), size) if isinstance(size, int) else size
                           for at, size in enumerate(shape)])
              for name, shape in found.shapes.items()}
    verdict = judged(graph, params, shapes, losses)
    stated = {node.name: node.stated_shape for node in graph.nodes if node.name in names}
    for change in (_other, _apart, _told):
        changed = change(shapes, verdict, typed if change is not _told else {**stated, **typed})
        if change is _told and changed != shapes:
            _refuse_unfit(graph, params, shapes, verdict, changed)
        faults = infer(graph, {**params, **changed, **typed}).faults
        if changed != shapes and not any(change is not _told or not fault.sizes
                                         for fault in faults):
            shapes, verdict = changed, judged(graph, params, changed, losses)
    return shapes, verdict


def _told(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes) -> dict[str, Named]:
    """The shapes with typed or stated numbers of tied axes whose sizes the graph does not tell. A
    number of rows is none: factors may cancel beside it."""
    numbers = {str(label): size for name, shape in typed.items() if len(shape) == len(shapes[name])
               for label, size in zip(shapes[name], shape) if isinstance(size, int) and size
               for axis in [verdict.axes.get(str(label))]
               if axis and axis.ties and not axis.sizes and label not in verdict.batches}
    return _sized(shapes, numbers)


def _refuse_unfit(graph: Graph, params: Mapping[str, Sequence[int | str]],
                  shapes: Mapping[str, Named], verdict: Verdict, changed: Mapping[str, Named]
                  ) -> None:
    """Refuse numbers that were told in `changed` if the graph does not run with one, whatever the
    sizes of all other axes."""
    places = {label: (size, 'axis %d of %s' % (at, name)) for name, shape in shapes.items()
              for at, (label, size) in enumerate(zip(shape, changed[name]))
              if isinstance(label, str) and isinstance(size, int)}
    for label, (size, where) in places.items():
        if not told_sizes(graph, params, shapes, {label: size}, [*verdict.axes]):
            _refuse(where, size, verdict.axes[label])


def _other(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes) -> dict[str, Named]:
    """The shapes with typed sizes where others were found: a weight may tell only the sum or the
    product of several sizes, as for features that are joined."""
    def own(label: int | str, size: int | str) -> int | str:
        axis = verdict.axes.get(str(label))
        found = [label] if axis is None else axis.sizes if all(
            tie.node.op in ('FullyConnected', 'Convolution') for tie in axis.ties) else ()
        return size if isinstance(size, int) and found and size not in found else label
    return {name: shape if name not in typed else tuple(map(own, shape, typed[name]))
            for name, shape in shapes.items()}


def _apart(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes) -> dict[str, Named]:
    """The shapes with a name for each of the typed sizes to which the graph gives one name or
    another number. A typed 1 may be repeated, so it need not be as large as others; one step is
    not repeated by a number."""
    sizes: dict[int | str, set[int | str]] = {}
    for name, shape in typed.items():
        for size, label in zip(shape, shapes[name]):
            sizes.setdefault(label, set()).add(size)

    def own(label: int | str, size: int | str) -> int | str:
        axis = verdict.axes.get(str(label))
        ties = axis.ties if axis else ()
        others = sizes[label] - {1 if axis else label}
        if size == 1 and (others or ties and all(
                tie.node.op.startswith('broadcast_') and (
                    len(tie.node.inputs) > 1 or not str(label).endswith('time')) for tie in ties)):
            return 1
        return label if len(others) < 2 and axis or size == label or isinstance(
            size, str) and not axis else '%s_%s' % (label, size)
    return {name: shape if name not in typed else tuple(map(own, shape, typed[name]))
            for name, shape in shapes.items()}


def _remedy(graph: Graph, shapes: Mapping[str, Named], own: Mapping[str, Named], axis: Axis,
            losses: bool) -> str:
    """The option with which a tied axis may have any size; it was tried."""
    if len(axis.sizes) != 1 or any(tie.fits and tie.node.inputs_of('weight') for tie in axis.ties):
        return ''  # or a weight has the number
    numbers = {axis.label: axis.sizes[0]}
    freed = substituted(graph, shapes, [*own], numbers, losses).graph
    left = judged(freed, shapes, own, losses, numbers).axes[axis.label].ties
    if left:
        return _decision(freed, left, lambda graph: judged(
            graph, shapes, own, losses, numbers).axes[axis.label])
    name, shape = next(each for each in own.items() if axis.label in each[1])
    return '. For any: ' + _typed(_sized({name: shape}, {
        axis.label: '%s:%d' % (axis.label, axis.sizes[0])}))


def _decision(graph: Graph, ties: Sequence[Tie], verdict: Callable[[Graph], Axis]) -> str:
    """What a graph of another length must have to decide ties that are left of one axis; '' if none
    decides them. Scalars mostly follow a law there. Other numbers that are left are seldom read as
    sizes, but may be constants."""
    tied = {tie.node for tie in ties}
    axis = verdict(graph._replace(nodes=tuple([
        node._replace(attrs={**node.attrs, CERTIFIED: str((ties[0].label,))})
        if node in tied else node for node in graph.nodes])))
    if any(node.op in ('SliceChannel', '_split_v2') for node in tied) or not all(
            tie.node.op in RULES and -1 not in tie.node.get('shape', ())
            and max(tie.numbers, default=math.inf) < max(axis.sizes, default=0)
            for tie in axis.ties):
        return ''
    others = [node.title for node in graph.nodes if node in tied
              and not node.op.endswith('_scalar') and node.op not in _SCALARS]
    said = '. --certify OTHER-symbol.json may decide it'
    return said + ' if the numbers of %s are the same there' % some(others) if others else said


def _numbers(own: Mapping[str, Named], verdict: Verdict, counted: Mapping[Place, int]
             ) -> dict[str, int]:
    """By name of an axis, the number of steps that the user gave for it."""
    numbers = {}
    for (name, at), number in counted.items():
        label = own[name][at] if name in own and at < len(own[name]) else 'unknown'
        axis = verdict.axes.get(str(label))
        if axis is None or axis.sizes and number not in axis.sizes:
            told = axis.sizes if axis else [label]
            raise ExportError('axis %d of %s must have the number of steps in the graph, %s, got %d'
                              % (at, name, ' or '.join(map(str, told)), number))
        numbers[axis.label] = number
    return numbers


def _decided(graph: Graph, other: Graph, shapes: Mapping[str, Named], names: Sequence[str],
             numbers: Mapping[str, int]) -> tuple[Graph, dict[str, int], dict[str, int]]:
    """A graph whose numbers another one decides, and the sizes of open axes in both."""
    try:
        sizes = sizes_in_both(graph, other, shapes, names, numbers)
        graph = with_laws(laws(graph, other, shapes, sizes))
    except NoLaw as error:
        raise ExportError('the second graph (certify_by, --certify) does not decide the numbers of '
                          'the first: %s' % error) from None
    first, second = ({label: pair[at] for label, pair in sizes.items() if min(pair)}
                     for at in (0, 1))
    return graph, first, second


def checked(own: Mapping[str, Named], verdict: Verdict, typed: Shapes) -> dict[str, int | str]:
    """The typed sizes, by the names in `own`; refuses those with which the graph is not right."""
    chosen: dict[str, int | str] = {}
    places: dict[str, str] = {}
    for name, shape in typed.items():
        for at, (size, label) in enumerate(zip(shape, own[name])):
            where = 'axis %d of %s' % (at, name)
            if isinstance(label, int):
                if size != label:
                    raise WrongSizeError((name, at), '%s must be %d, got %s' % (
                        where, label, 'the name %s, which stands for any size' % size
                        if isinstance(size, str) else size))
            elif chosen.setdefault(label, size) != size:
                raise ExportError('inputs must agree on the size of shared axes: %s has %s, %s has '
                                  '%s' % (places[label], chosen[label], where, size))
            else:
                places.setdefault(label, where)
                _check_typed(where, size, verdict.axes[label])
    return chosen


def _check_typed(where: str, size: int | str, axis: Axis) -> None:
    """Refuse a typed size with which the graph is not right."""
    if axis.ties and (isinstance(size, str) or axis.sizes and size not in axis.sizes):
        _refuse(where, size, axis)


def _refuse(where: str, size: int | str, axis: Axis) -> None:
    """Refuse a size, with the nodes that tie the axis."""
    others = [*dict.fromkeys(str(tie) for tie in axis.ties)]
    raise TiedError('%s cannot be %s: node %s%s%s' % (
        where, 'any size' if isinstance(size, str) else size, '; node '.join(others[:3]),
        '; and %d more' % (len(others) - 3) if len(others) > 3 else '', axis.remedy))
