"""What to type so that an axis which a graph ties may have any size: options that were tried."""
from __future__ import annotations

import math
from typing import Callable, Collection, Mapping, Sequence

from ..._check import some
from ..._graph.graph import Graph
from ..._graph.shapes.constants import CERTIFIED, TELLING
from ..._graph.shapes.missing_shapes import Named, Place
from ..._graph.shapes.scales import Tie
from ..._graph.shapes.substitution import RULES, substituted
from ..._graph.shapes.verdicts import Axis, Verdict, with_sizes
from .input_shapes import Request, as_options

__all__ = ['advised', 'if_it_has', 'with_numbers']

#: Operators with a number that a second graph decides as it does a scalar.
_SCALARS = 'clip', '_arange', '_full'


def advised(request: Request, own: Mapping[str, Named], verdict: Verdict, steps: bool) -> Verdict:
    """The verdict with what to type for any size: for tied batches and, with `steps`, for others.
    """
    asked = [axis for label, axis in verdict.axes.items()
             if axis.ties and (steps or label in verdict.batches)]
    return verdict._replace(axes={**verdict.axes, **{axis.label: axis._replace(remedy=_remedy(
        request, own, axis, [each.label for each in asked if each.sizes == axis.sizes]))
        for axis in asked}})


def with_numbers(request: Request, own: Mapping[str, Named], verdict: Verdict
                 ) -> tuple[dict[str, Named], Verdict]:
    """The shapes and the verdict also with names for numbers that the graph makes of axes, if an
    option was tried with which these may have any size: each alone, or all of one size."""
    shapes, axes = dict(own), dict(verdict.axes)
    places: dict[int, list[Place]] = {}
    for name, at, size in [(key, at, size) for key in own for at, size in enumerate(own[key])
                           if isinstance(size, int) and size >= TELLING]:
        places.setdefault(size, []).append((name, at))
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
