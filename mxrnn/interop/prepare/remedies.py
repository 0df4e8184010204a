"""What to type for an axis that a graph ties: sizes that fit it, and options for any size."""
from __future__ import annotations

import math
from typing import Callable, Collection, Iterator, Mapping, Sequence

from ..._check import some
from ..._graph.graph import Entry, Graph
from ..._graph.operator_table import has
from ..._graph.shapes.axis_factors import number_of
from ..._graph.shapes.constants import CERTIFIED
from ..._graph.shapes.infer import infer
from ..._graph.shapes.missing_shapes import Named, Place
from ..._graph.shapes.scales import Tie
from ..._graph.shapes.sizes import Axis as OpenAxis
from ..._graph.shapes.sizes import product, resolve
from ..._graph.shapes.substitution import RULES, substituted
from ..._graph.shapes.verdicts import Axis, Verdict, with_sizes
from .input_shapes import Request, as_options

__all__ = ['advised', 'are_told', 'fitting_sizes', 'if_it_has', 'told_sizes', 'with_numbers']

#: Sizes of axes of which no part is taken, and how often any is tried.
_SIZES, _MOST = (1, 2, 4, 8, 16, 32, 64), 40


def fitting_sizes(graph: Graph, params: Mapping[str, Sequence[int | str]],
                  shapes: Mapping[str, Named], untold: Mapping[str, Sequence[Tie]],
                  takes: Callable[[Mapping[str, int]], bool]) -> dict[str, int]:
    """By names of axes, sizes that the graph takes; {} if none were found.

    Sequences are as long as others if they can be, and as short as their parts allow.

    Parameters
    ----------
    graph : Graph
    params, shapes : dict
        Shapes of weights and of inputs.
    untold : dict
        The ties of the axes in question by their names.
    takes : callable
        Whether the graph needs no other numbers beside these sizes.
    """
    least = {label: max([int(abs(number)) for tie in ties if tie.node.op in ('slice_axis', 'slice')
                         for number in tie.numbers], default=1) for label, ties in untold.items()}
    # Inputs of few axes and those that come last have few features.
    features = sorted([label for label, size in least.items() if size == 1][::-1], key=lambda each:
                      min(len(shape) for shape in shapes.values() if each in shape))
    # A number of a node may be the size; a Reshape may also split an axis into as many parts.
    parts = {label: [int(number) for tie in ties if tie.node.op not in ('slice_axis', 'slice')
                     for number in tie.numbers if number == int(number) > 1]
             for label, ties in untold.items()}
    order = [*[label for label, size in least.items() if size > 1], *features]
    tries = iter(range(_MOST))

    def ways(found: dict[str, int]) -> Iterator[dict[str, int]]:
        label = next((each for each in order if each not in found), None)
        if label is None:
            yield found
            return
        longest = max([found.get(each, 1) for each, size in least.items() if size > 1], default=1)
        most = max(longest, least[label])
        for number in dict.fromkeys((most, longest, least[label]) if least[label] > 1 else (
                *parts[label], *[size * max(parts[label], default=1) for size in _SIZES],
                *_SIZES)):
            if next(tries, None) is not None:
                told = told_sizes(graph, params, shapes, {**found, label: number}, order)
                if told:
                    yield from ways(told)
    return next(filter(takes, ways({})), {})


def are_told(graph: Graph, params: Mapping[str, Sequence[int | str]], shapes: Mapping[str, Named],
             untold: Mapping[str, Sequence[Tie]], fit: Mapping[str, int]) -> bool:
    """Whether the graph takes no other sizes than those that fit, of axes that factors alone tie.
    Otherwise only the user knows them."""
    return not any(told_sizes(graph, params, shapes, {label: other}, [*untold])
                   for label, ties in untold.items()
                   if all(tie.node.op.endswith('_scalar') or has(tie.node.op, 'loss')
                          for tie in ties)
                   for other in (fit[label] + 1, 2 * fit[label]))


def told_sizes(graph: Graph, params: Mapping[str, Sequence[int | str]],
               shapes: Mapping[str, Named], found: Mapping[str, int], labels: Sequence[str]
               ) -> dict[str, int]:
    """What some sizes tell about others; {} if the graph does not take them, whatever the sizes
    of the other `labels`."""
    axes = {label: OpenAxis(free=True, bound=found.get(label)) for label in labels}
    table = infer(graph, {**params, **{name: [axes.get(str(size), size) for size in shape]
                                       for name, shape in shapes.items()}})
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    told = {label: size for name, shape in shapes.items() for label, axis in zip(
        shape, table.axes.get(Entry(places[name], 0), ())) for size in [resolve(product(axis))]
        if label in axes and isinstance(size, int)}
    made = [number_of(axis) or 0 for axes in table.axes.values() for axis in axes]
    return {} if table.faults or min(told.values(), default=1) < 1 or min(made) < 0 else told


#: Operators with a number that a second graph decides as it does a scalar.
_SCALARS = 'clip', '_arange', '_full'


def advised(request: Request, own: Mapping[str, Named], verdict: Verdict, asked: Sequence[Axis]
            ) -> Verdict:
    """The verdict with what to type so that the tied axes that are `asked` may have any size."""
    return verdict._replace(axes={**verdict.axes, **{axis.label: axis._replace(remedy=_remedy(
        request, own, axis, [each.label for each in asked if each.sizes == axis.sizes]))
        for axis in asked}})


def with_numbers(request: Request, own: Mapping[str, Named], verdict: Verdict,
                 numbers: Mapping[Place, int]) -> tuple[dict[str, Named], Verdict]:
    """The shapes and the verdict also with names for `numbers` that the graph makes of axes, if an
    option was tried with which these may have any size: each alone, or all of one size."""
    shapes, axes = dict(own), dict(verdict.axes)
    places: dict[int, list[Place]] = {}
    for place, size in numbers.items():
        places.setdefault(size, []).append(place)
    for size, alike in places.items():
        for group in [*([place] for place in alike), *([alike] if len(alike) > 1 else ())]:
            label = '%s_%d' % group[0]
            named, taken = (_with_label(each, group, label) for each in (own, shapes))
            axis = request.judged(request.graph, named).axes[label]._replace(sizes=(size,))
            if label not in axes and axis.ties and _freed(
                    request, named, axis, len(group) > 1)[1] == []:
                shapes, axes[label] = taken, axis._replace(remedy=_option(
                    request, named, axis, len(group) > 1))
    return shapes, verdict._replace(axes=axes)


def if_it_has(request: Request, shapes: Mapping[str, Named], axis: Axis) -> str:
    """The `_option` for an axis of which the graph does not tell the size, if it is the number of a
    node that ties it; '' if that was tried in vain."""
    numbers = {int(number) for tie in axis.ties for number in tie.numbers
               if number == int(number) > 1}
    told = [axis._replace(sizes=(number,)) for number in sorted(numbers)]
    return next(('%s (if it has %d)' % (_option(request, shapes, each), each.sizes[0])
                 for each in told if _freed(request, shapes, each)[1] == []), '')


def _with_label(shapes: Mapping[str, Named], places: Collection[Place], label: str
                ) -> dict[str, Named]:
    """The shapes with a name for the axes at some places."""
    return {name: tuple([label if (name, at) in places else size for at, size in enumerate(shape)])
            for name, shape in shapes.items()}


def _freed(request: Request, shapes: Mapping[str, Named], axis: Axis, every: bool = False
           ) -> tuple[Graph, Sequence[Tie] | None]:
    """The graph that reads the size of a tied axis where it had its number, and the ties that are
    left; None if the axis has no such number, if a weight has it, too, or if another axis that the
    `_option` names is tied."""
    if len(axis.sizes) != 1 or any(tie.fits and tie.node.inputs_of('weight') for tie in axis.ties):
        return request.graph, None
    numbers = {axis.label: axis.sizes[0]}
    graph = substituted(request.graph, request.with_weights(shapes), [*shapes], numbers,
                        request.losses).graph
    axes = request.judged(graph, shapes, numbers).axes
    left = [*axes[axis.label].ties]
    named = [label for name, typed in _typed(request, shapes, axis, every).items()
             for label, size in zip(shapes[name], typed) if isinstance(size, str)]
    return graph, None if not left and any(
        label in axes and axes[label].ties for label in named) else left


def _typed(request: Request, shapes: Mapping[str, Named], axis: Axis, every: bool
           ) -> dict[str, Named]:
    """The shapes to type: of `every` input that has the axis, of those that were typed, or of one.
    """
    inputs = [name for name, shape in shapes.items() if axis.label in shape]
    if not every:
        inputs = [name for name in inputs if name in request.typed] or inputs[:1]
    return {name: tuple(request.typed.get(name, shapes[name])) for name in inputs}


def _remedy(request: Request, shapes: Mapping[str, Named], axis: Axis, alike: Sequence[str]) -> str:
    """The option with which a tied axis may have any size, if there is one; it was tried. The axis
    may be the same one as others of its size, which are `alike`."""
    graph, left = _freed(request, shapes, axis)
    if left is None:
        return ''
    one = with_sizes(shapes, dict.fromkeys(alike, axis.label))
    if not left:
        return _option(request, shapes, axis)
    if len(alike) > 1 and _freed(request, one, axis, True)[1] == []:
        return _option(request, one, axis, every=True)
    return _decision(graph, left, lambda graph: request.judged(
        graph, shapes, {axis.label: axis.sizes[0]}).axes[axis.label])


def _option(request: Request, shapes: Mapping[str, Named], axis: Axis, every: bool = False) -> str:
    """How to type that an axis has its number of steps in the graph, as the rest of a sentence: for
    `every` input that has it, for those that were typed, or for one."""
    typed = _typed(request, shapes, axis, every)
    names = [size for each in typed if each in request.typed
             for label, size in zip(shapes[each], typed[each])
             if label == axis.label and isinstance(size, str)]
    taken = any(axis.label in shape for shape in request.typed.values())
    name = names[0] if names else axis.label + ('_2' if taken else '')
    return '. For any: ' + as_options({each: tuple([
        '%s:%d' % (name, axis.sizes[0]) if label == axis.label else size
        for label, size in zip(shapes[each], typed[each])]) for each in typed})


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
