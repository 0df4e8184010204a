"""Shapes of inputs that nobody gave, as far as the graph tells them."""
from __future__ import annotations

import contextlib
from typing import Iterator, Mapping, Sequence, Tuple, Union

import numpy as np

from ..._graph.graph import Graph
from ..._graph.sizes import Axis, Size, resolve
from .conversion import Conversion, Shape, some
from .ranks import ranks_of
from .table import ExportError

__all__ = ['Named', 'found_shapes']

#: Shapes as users give them.
Named = Tuple[Union[int, str], ...]


def found_shapes(graph: Graph, params: Mapping[str, np.ndarray], given: Mapping[str, Shape],
           types: Mapping[str, str], missing: Sequence[str]) -> tuple[dict[str, Named], list[str]]:
    """Shapes of the inputs `missing`, and what there is to say of them.

    The graph is converted with axes that become numbers where it needs numbers.
    """
    ranks = {**{name: np.ndim(array) for name, array in params.items()},
             **{name: len(shape) for name, shape in given.items()}}
    fault = None
    for told in ranks_of(graph, ranks):
        shapes = {name: tuple(Axis(free=True) for _ in range(told[name])) for name in missing}
        try:
            Conversion(graph, params, {**given, **shapes}, types).values()
        except ExportError as error:
            fault = fault or error
            continue
        result = _Names(graph, given, shapes)
        if result.others:  # once more: the numbers and the batch may tell an axis beside them
            again = _again(result.shapes, shapes)
            with contextlib.suppress(ExportError):
                Conversion(graph, params, {**given, **again}, types).values()
                result = _Names(graph, given, again)
        return result.shapes, result.sentences()
    raise ExportError("%s\nThe shapes of %s do not follow from the graph: give them, as in "
                      "inputs={'%s': ('batch', 35)} (--input %s=batch,35)" % (
                          fault, ', '.join(missing), missing[0], missing[0])) from None


def _again(found: Mapping[str, Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, tuple[Axis, ...]]:
    """Free axes once more, which begin with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        result = Axis(free=True)
        result.hint = next((each.hint for each in _chain(axis) if each.hint), '')
        result.bound = size if isinstance(size, int) else None
        return result
    batch = Axis(free=True)
    batch.hint = 'batch'
    return {name: tuple(map(fresh, found[name], axes)) for name, axes in shapes.items()}


def _place(graph: Graph, name: str) -> int:
    return next(i for i, node in enumerate(graph.nodes) if node.is_variable and node.name == name)


def _chain(axis: Size | None) -> Iterator[Axis]:
    """The axes that an axis was found to be equal to, itself first."""
    while isinstance(axis, Axis):
        yield axis
        axis = axis.bound


class _Names:
    """Names for the axes of inputs that are free still."""

    def __init__(self, graph: Graph, given: Mapping[str, Shape],
                 shapes: Mapping[str, Sequence[Axis]]) -> None:
        self.shapes: dict[str, Named] = {}
        #: How many axes have a name of no meaning.
        self.others = 0
        self._fixed: dict[str, list[str]] = {}
        self._names: dict[int, str] = {}
        hints = {name: _hints(graph, name, axes) for name, axes in shapes.items()}
        times = {id(resolve(axis)): name for name, axes in shapes.items()
                 for axis, hint in zip(axes, hints[name])
                 if hint == 'time' and isinstance(resolve(axis), Axis)}
        self._many = len(times) > 1
        for name, axes in shapes.items():
            stated = graph.nodes[_place(graph, name)].get('__shape__')
            if not isinstance(stated, tuple) or len(stated) != len(axes):
                stated = (0,) * len(axes)
            self.shapes[name] = tuple(
                self._name(name, at, axis, hint, stated[at])
                for at, (axis, hint) in enumerate(zip(axes, hints[name])))

    def _name(self, name: str, at: int, axis: Axis, hint: str, stated: object) -> int | str:
        size = resolve(axis)
        if isinstance(size, int):
            if hint:
                text = 'a batch of %d' if hint != 'time' else '%d steps' if size > 1 else '%d step'
                self._fixed.setdefault(text % size, []).append(name)
            return size
        last = size if isinstance(size, Axis) else axis  # which is bound to a product
        if not last.label and not hint and isinstance(stated, int) and stated > 0:
            return stated
        if not last.label and id(last) not in self._names:
            self.others += not hint
            self._names[id(last)] = (
                '%s_%d' % (name, at) if not hint else
                '%s_time' % name if hint == 'time' and self._many else hint)
        return last.label or self._names[id(last)]

    def sentences(self) -> list[str]:
        """Sentences on steps and batches that are numbers."""
        return ['%s %s %s: the graph has that number in it' % (
            some(names), 'have' if len(names) > 1 else 'has', text)
            for text, names in self._fixed.items()]


def _hints(graph: Graph, name: str, axes: Sequence[Axis]) -> list[str]:
    """How the operators would call the axes of an input: 'batch', 'time' or ''."""
    hints = [next((each.hint for each in _chain(axis) if each.hint), '') for axis in axes]
    if 'batch' not in hints and '' in hints[:2]:
        hints[hints.index('')] = 'batch'
    words = any(reader.op in ('Embedding', '_contrib_SparseEmbedding') and at == 0
                for reader, at in graph.consumers(_place(graph, name)))
    if words and 'time' not in hints and '' in hints:
        hints[hints.index('')] = 'time'
    return hints
