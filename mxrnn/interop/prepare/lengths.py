"""The lengths that a file takes: an axis that the graph ties becomes a number, others stay open."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import numpy as np

from ..._graph.graph import Graph
from ..._graph.rolling.second_graph import NoLaw, laws, sizes_in_both, with_laws
from ..._graph.shapes.constants import TELLING
from ..._graph.shapes.infer import infer
from ..._graph.shapes.missing_shapes import Found, Named, Place, UnclearShape
from ..._graph.shapes.substitution import substituted
from ..._graph.shapes.verdicts import Axis, Verdict, with_sizes
from ..registry import ExportError, ShapesNeeded
from .input_shapes import (
    Request,
    Shapes,
    TiedError,
    WrongSizeError,
    as_options,
    guesses,
    shapes_found,
)
from .remedies import advised, are_told, fitting_sizes, if_it_has, told_sizes, with_numbers

__all__ = ['Settled', 'opened', 'settled']

#: Said before shapes that were tried.
_FITS = '. Type the shape of your data; this fits the graph: '


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
    tied : dict
        By input and axis, the verdicts on those that became numbers, or whose numbers were typed.
    lines : list of (str, str)
        One line for all axes with one verdict: their names, and the verdict.
    own : dict
        By name of an axis, or typed number of a free one: its sizes when the graph was unrolled.
    other : dict
        By name of an axis, its size in the graph of another length that decided its numbers; empty
        if the graph ties an axis to another size even so.
    """

    graph: Graph
    shapes: dict[str, Named]
    ranges: dict[Place, range]
    numbers: dict[str, int]
    tied: dict[Place, Axis]
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
                axis = self.tied.get((name, at), Axis(''))
                raise ValueError('axis %d of %s must be %d, got %d%s' % (
                    at, name, size, given, axis.reason))
        return all(given in self.own.get(str(size), (given,)) for _, _, size, given in places)


def settled(request: Request, other: Graph | None = None, asks: bool = True, advises: bool = True
            ) -> Settled:
    """The shapes of a file's inputs: an axis that the graph ties is a number.

    Parameters
    ----------
    request : Request
    other : Graph, optional
        The graph of another length, rolled up as well: it decides which numbers depend on it.
    asks : bool
        Whether to refuse an axis that is tied to a size which the graph does not tell.
    advises : bool
        Whether to say with which option a tied axis may have any size; of a batch this is said
        anyway.

    Raises
    ------
    ExportError
        A typed name is an axis that the graph ties; a typed number is not the graph's; the graph
        ties an axis without telling its size; or it does not tell a shape.
    """
    request = request._replace(typed={
        name: shape for name, shape in request.typed.items() if name in request.names})
    own, verdict, others = _verdict(request, other, asks, advises)
    try:
        names = _named(own, verdict, request.typed)
    except TiedError as error:
        raise _with_option(request, other, error) from None
    if asks:
        _refuse_untold(request, own, verdict, names, other)
    return _as_settled(own, verdict, names, others)


def _verdict(request: Request, other: Graph | None, asks: bool, advises: bool
             ) -> tuple[dict[str, Named], Verdict, dict[str, int]]:
    """Shapes with names for open axes, and the verdict on these; the sizes of axes in the `other`
    graph, if that decides which numbers depend on them."""
    own, verdict = _opened(request) if asks else opened(request)
    if other is not None or request.counted:
        return own, *_decided(request, own, verdict, other)
    tied = [axis for label, axis in verdict.axes.items()
            if axis.ties and (advises or asks and label in verdict.batches)]
    if tied:
        verdict = advised(request, own, verdict, tied)
    places = {(name, at): size for name, shape in own.items() for at, size in enumerate(shape)
              if isinstance(size, int) and size >= TELLING}
    return (*(with_numbers(request, own, verdict, places) if advises and places else
              (own, verdict)), {})


# ---- questions

def _opened(request: Request) -> tuple[dict[str, Named], Verdict]:
    """`opened`; refuses an input that may have several numbers of axes, and names the shapes that
    fit the graph."""
    try:
        own, verdict = opened(request)
    except ShapesNeeded as error:
        unclear = error.__cause__
        if not isinstance(unclear, UnclearShape):
            raise
        for rank in unclear.ranks:
            fit = _typed_for(unclear.name, request._replace(
                ranks={**request.ranks, unclear.name: rank}))
            if fit:
                raise ShapesNeeded(unclear.why + _FITS + fit) from None
        raise
    for name in request.names:
        ways = [] if name in {*request.typed, *request.ranks} else guesses(
            request.graph, name, own[name])
        if ways:
            raise ShapesNeeded('%s may have %s axes in the graph%s%s' % (
                name, ' or '.join(str(len(way)) for way in ways), _FITS, ' or '.join([
                    _typed_for(name, request._replace(typed={**request.typed, name: way}))
                    or as_options({name: way}) for way in ways])))
    return own, verdict


def _typed_for(name: str, request: Request) -> str:
    """The option for an input, with a number for each axis that the graph ties; '' if none fits."""
    try:
        own, verdict = opened(request)
        fit, is_told = _fit(request, own, verdict, _named(own, verdict, {}), None)
    except ExportError:
        return ''
    return as_options({name: fit[name]}) if fit and is_told else ''


def _with_option(request: Request, other: Graph | None, error: TiedError) -> TiedError:
    """The refusal of a tied axis with what to type instead, if there is something. If a number of
    steps was typed in vain, other inputs may need it, too: what is said without one has them."""
    if other is None and error.place in request.counted:
        counted = {place: number for place, number in request.counted.items()
                   if request.typed[place[0]][place[1]] != error.size}
        try:
            settled(request._replace(counted=counted))
        except TiedError as without:
            return without if without.place == error.place and without.axis.remedy else error
        except ExportError:
            return error
    fit = isinstance(error.size, str) and not error.axis.sizes and _typed_for(
        error.place[0], request)
    return TiedError(error.place, error.size, error.axis._replace(
        remedy=_FITS + fit)) if fit else error


# ---- from open axes to sizes

def _decided(request: Request, own: Mapping[str, Named], verdict: Verdict, other: Graph | None
             ) -> tuple[Verdict, dict[str, int]]:
    """The verdict on a graph that reads the sizes of axes where it had their numbers; and the sizes
    that axes have in the `other` graph, if that decides which numbers these are."""
    numbers, graph, shapes = _numbers(request, own, verdict), request.graph, (
        request.with_weights(own))
    if other is None:
        graph = substituted(graph, shapes, request.names, numbers, request.losses).graph
        return request.judged(graph, own, numbers), {}
    try:
        sizes = sizes_in_both(graph, other, shapes, request.names, numbers)
        graph = with_laws(laws(graph, other, shapes, sizes))
    except NoLaw as error:
        raise ExportError('the second graph (certify_by, --certify) does not decide the numbers of '
                          'the first: %s' % error) from None
    first, second = ({label: pair[at] for label, pair in sizes.items() if min(pair)}
                     for at in (0, 1))
    return request.judged(graph, own, first), second


def _numbers(request: Request, own: Mapping[str, Named], verdict: Verdict) -> dict[str, int]:
    """By name of an axis, the number of steps that the user gave for it."""
    numbers = {}
    for (name, at), number in request.counted.items():
        label = own[name][at] if name in own and at < len(own[name]) else 'unknown'
        axis = verdict.axes.get(str(label))
        if axis is None or axis.sizes and number not in axis.sizes:
            told = axis.sizes if axis else [label]
            raise ExportError('axis %d of %s must have the number of steps in the graph, %s, got %d'
                              % (at, name, ' or '.join(map(str, told)), number))
        numbers[axis.label] = number
    return numbers


def _named(own: Mapping[str, Named], verdict: Verdict, typed: Shapes) -> dict[str, int | str]:
    """By the names of axes in `own`, what the user typed instead; refuses sizes with which the
    graph is not right."""
    names: dict[str, int | str] = {}
    places: dict[str, str] = {}
    tied: list[TiedError] = []
    for name, shape in typed.items():
        for at, (size, label) in enumerate(zip(shape, own[name])):
            where = 'axis %d of %s' % (at, name)
            if isinstance(label, int):
                if size != label:
                    raise WrongSizeError((name, at), label, size)
            elif names.setdefault(label, size) != size:
                raise ExportError('inputs must agree on the size of shared axes: %s has %s, %s has '
                                  '%s' % (places[label], names[label], where, size))
            else:
                places.setdefault(label, where)
                axis = verdict.axes[label]
                if axis.ties and (isinstance(size, str) or axis.sizes and size not in axis.sizes):
                    tied.append(TiedError((name, at), size, axis))
    if tied:  # beside a number of steps, a batch may be free
        raise min(tied, key=lambda each: each.axis.label in verdict.batches)
    taken = {*names.values()}
    for name, shape in own.items():
        for label in [size for size in shape if isinstance(size, str)]:
            # the name of another axis may have been typed for one
            names.setdefault(label, '%s_%s' % (name, label) if label in taken else label)
    return names


def _final(verdict: Verdict, names: Mapping[str, int | str]) -> dict[str, int | str]:
    """By name of an axis, its size in the file, or its name there."""
    return {label: names[label] if axis.size is None else axis.size
            for label, axis in verdict.axes.items()}


def _untold(verdict: Verdict, names: Mapping[str, int | str]) -> list[str]:
    """The axes that are tied to sizes which neither the graph tells nor the user. Beside a number
    of steps, a batch may be free."""
    untold = [label for label, axis in verdict.axes.items()
              if axis.ties and not axis.sizes and isinstance(names[label], str)]
    return [label for label in untold if label not in verdict.batches] or untold


def _fit(request: Request, own: Mapping[str, Named], verdict: Verdict,
         names: Mapping[str, int | str], other: Graph | None) -> tuple[dict[str, Named], bool]:
    """The shapes with sizes of untold axes that fit the graph, {} if none were found; and whether
    it tells them, since it does not take others."""
    untold, shapes = _untold(verdict, names), with_sizes(own, _final(verdict, names))

    def takes(sizes: Mapping[str, int]) -> bool:
        """Whether a file of these sizes needs no other numbers."""
        typed = {**request.typed, **{name: shape for name, shape in with_sizes(
            shapes, sizes).items() if {*untold} & {*own[name]}}}
        try:
            own_, verdict_, _ = _verdict(request._replace(typed=typed), other, False, False)
            return not _untold(verdict_, _named(own_, verdict_, typed))
        except ExportError:
            return False
    ties = {label: verdict.axes[label].ties for label in untold}
    if not untold:
        return shapes, True
    given = request.graph, request.with_weights(own), shapes, ties
    fit = fitting_sizes(*given, takes)
    return with_sizes(shapes, fit) if fit else {}, not fit or are_told(*given, fit)


def _refuse_untold(request: Request, own: Mapping[str, Named], verdict: Verdict,
                   names: Mapping[str, int | str], other: Graph | None) -> None:
    """Refuse axes that are tied to sizes which neither the graph tells nor the user."""
    untold, final = _untold(verdict, names), _final(verdict, names)
    if not untold:
        return
    fit, is_told = _fit(request, own, verdict, names, other)
    asked = {name: shape for name, shape in own.items() if {*untold} & {*shape}}
    name, shape = next(each for each in asked.items() if untold[0] in each[1])
    said = 'axis %d of %s needs a number that the graph does not tell, since %s%s' % (
        shape.index(untold[0]), name, verdict.axes[untold[0]].ties[0],
        _FITS + as_options({name: fit[name] for name in asked}) if fit and is_told else
        '. Give it in place of …: ' + as_options(with_sizes(
            asked, {**final, **dict.fromkeys(untold, '…')})) + if_it_has(
                request, own, verdict.axes[untold[0]]))
    if not is_told:
        raise ExportError(said)  # nor do the data of a call tell it
    raise ShapesNeeded(said, {
        name: [None if size in untold else final.get(str(size), size) for size in shape]
        for name, shape in own.items()})


def _as_settled(own: Mapping[str, Named], verdict: Verdict, names: Mapping[str, int | str],
                others: Mapping[str, int]) -> Settled:
    """The shapes of the file, and what it tells about its axes."""
    final = _final(verdict, names)
    unused = {label: name if isinstance(name, str) else (
        label + '_2' if label in names.values() else label) for label, name in names.items()}
    open_ = {label: name for label, name in final.items() if isinstance(name, str)}
    ranges = {label: range(axis.sizes[0], axis.sizes[-1] + 1)
              for label, axis in verdict.axes.items()
              if label in open_ and axis.ties and axis.sizes}
    shown = verdict._replace(axes={label: axis._replace(label=unused[label])
                                   for label, axis in verdict.axes.items()
                                   if axis.remedy or isinstance(names[label], str)})
    differ = any(others.get(label, size) != size for label, size in final.items()
                 if label not in open_)
    return Settled(
        verdict.graph, with_sizes(own, final),
        {(name, at): ranges[str(label)] for name, shape in own.items()
         for at, label in enumerate(shape) if label in ranges},
        {str(names[label]): size for label, size in final.items() if isinstance(size, int)},
        {(name, at): verdict.axes[str(label)] for name, shape in own.items()
         for at, label in enumerate(shape) if isinstance(final.get(str(label)), int)},
        shown.lines(), {str(final[label]): axis.sizes for label, axis in verdict.axes.items()
                        if axis.sizes and (label in open_ or not axis.ties)},
        {} if differ else {str(name): others[label] for label, name in final.items()
                           if label in others})


# ---- open axes

def opened(request: Request) -> tuple[dict[str, Named], Verdict]:
    """The shapes of inputs with a name for each axis whose size no weight tells, and the verdicts
    on these. Of the shapes that the user gave, only the numbers of axes count, as in `ranks`,
    because the graph may tie a typed number, too. But typed sizes may differ where the graph
    suggests that they are the same; and the number of a tied axis whose size it does not tell
    counts, because other axes may be free beside it. So does a number that an input states."""
    graph, typed, names = request.graph, request.typed, request.names
    found = _found(request)
    fixed = {**{place: '%s_%d' % place for place in request.counted}, **found.fixed}
    shapes = {name: tuple([fixed.get((name, at), size) if isinstance(size, int) else size
                           for at, size in enumerate(shape)])
              for name, shape in found.shapes.items()}
    stated = {node.name: node.stated_shape for node in graph.nodes if node.name in names}
    own = shapes, request.judged(graph, shapes)
    own = _if_it_fits(request, *own, _with_typed_numbers(*own, typed))
    own = _if_it_fits(request, *own, _named_apart(*own, typed))
    own = _if_it_fits(request, *own, _named_together(*own, typed), True)
    told = _with_told_numbers(*own, {**stated, **typed})
    _refuse_unfit(request, *own, told)
    return _if_it_fits(request, *own, told, True)


def _if_it_fits(request: Request, shapes: dict[str, Named], verdict: Verdict,
                changed: dict[str, Named], any_sizes: bool = False
                ) -> tuple[dict[str, Named], Verdict]:
    """The changed shapes and the verdict on these, if the graph takes them with the typed numbers;
    with `any_sizes`, if it does at some sizes of open axes. Otherwise those before."""
    told = {label: axis.size for label, axis in verdict.axes.items()
            if axis.size is not None and not any_sizes}
    typed = {name: tuple([size if isinstance(size, int) else own
                          for own, size in zip(changed[name], shape)])
             for name, shape in request.typed.items()}
    faults = infer(request.graph, request.with_weights(
        with_sizes({**changed, **typed}, told))).faults
    if changed == shapes or any(not (any_sizes and fault.sizes) for fault in faults):
        return shapes, verdict
    return changed, request.judged(request.graph, changed)


def _found(request: Request) -> Found:
    """What the graph tells about the shapes of inputs; with the typed shapes as they are if it
    tells nothing without them."""
    graph, typed, names, weights = request.graph, request.typed, request.names, request.weights
    given = {**{name: tuple(['%s_%d' % (name, at) for at in range(rank)])
                for name, rank in request.ranks.items()}, **typed}
    try:
        return shapes_found(graph, weights, {}, names, {
            name: len(shape) for name, shape in given.items()})
    except ExportError:
        if not given:
            raise
        found = shapes_found(graph, weights, given, [name for name in names if name not in given])
        found = found._replace(shapes={**{
            name: tuple(given[name]) for name in names if name in given}, **found.shapes})
        for fault in infer(graph, request.with_weights(found.shapes)).faults:
            if not fault.sizes:  # whatever the sizes of open axes
                raise ExportError(str(fault)) from None
        return found


def _with_told_numbers(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes
                      ) -> dict[str, Named]:
    """The shapes with typed or stated numbers of tied axes whose sizes the graph does not tell. A
    number of rows is none: factors may cancel beside it."""
    numbers = {str(label): size for name, shape in typed.items() if len(shape) == len(shapes[name])
               for label, size in zip(shapes[name], shape) if isinstance(size, int) and size
               for axis in [verdict.axes.get(str(label))]
               if axis and axis.ties and not axis.sizes and label not in verdict.batches}
    return with_sizes(shapes, numbers)


def _refuse_unfit(request: Request, shapes: Mapping[str, Named], verdict: Verdict,
                  changed: Mapping[str, Named]) -> None:
    """Refuse numbers that were told in `changed` if the graph does not run with one, whatever the
    sizes of all other axes."""
    places = {label: (size, (name, at)) for name, shape in shapes.items()
              for at, (label, size) in enumerate(zip(shape, changed[name]))
              if isinstance(label, str) and isinstance(size, int)}
    for label, (size, place) in places.items():
        if not told_sizes(request.graph, request.with_weights({}), shapes, {label: size},
                          [*verdict.axes]):
            raise TiedError(place, size, verdict.axes[label])


def _with_typed_numbers(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes
                       ) -> dict[str, Named]:
    """The shapes with typed sizes where others were found: a weight may tell only the sum or the
    product of several sizes, as for features that are joined."""
    def own(label: int | str, size: int | str) -> int | str:
        axis = verdict.axes.get(str(label))
        found = [label] if axis is None else axis.sizes if axis.ties and all(
            tie.node.op in ('FullyConnected', 'Convolution') for tie in axis.ties) else ()
        return size if isinstance(size, int) and found and size not in found else label
    return {name: tuple(map(own, shape, typed.get(name, shape))) for name, shape in shapes.items()}


def _named_apart(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes) -> dict[str, Named]:
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


def _named_together(shapes: Mapping[str, Named], verdict: Verdict, typed: Shapes
                   ) -> dict[str, Named]:
    """The shapes with one name for all axes that got one name from the user."""
    first: dict[str, str] = {}
    return with_sizes(shapes, {
        label: first.setdefault(size, label) for name, shape in typed.items()
        for label, size in zip(shapes[name], shape)
        if isinstance(label, str) and isinstance(size, str)})
