"""Sizes to type for axes that a graph ties without telling their sizes: some with which it runs."""
from __future__ import annotations

from typing import Callable, Iterator, Mapping, Sequence

from ..._graph.graph import Entry, Graph
from ..._graph.operator_table import has
from ..._graph.shapes.axis_factors import number_of
from ..._graph.shapes.infer import infer
from ..._graph.shapes.missing_shapes import Named
from ..._graph.shapes.scales import Tie
from ..._graph.shapes.sizes import Axis, product, resolve

__all__ = ['are_told', 'fitting_sizes', 'told_sizes']

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
    axes = {label: Axis(free=True, bound=found.get(label)) for label in labels}
    table = infer(graph, {**params, **{name: [axes.get(str(size), size) for size in shape]
                                       for name, shape in shapes.items()}})
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    told = {label: size for name, shape in shapes.items() for label, axis in zip(
        shape, table.axes.get(Entry(places[name], 0), ())) for size in [resolve(product(axis))]
        if label in axes and isinstance(size, int)}
    made = [number_of(axis) or 0 for axes in table.axes.values() for axis in axes]
    return {} if table.faults or min(told.values(), default=1) < 1 or min(made) < 0 else told
