"""Shapes of inputs that the user did not give, as far as the graph and its weights tell them."""
from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence, Tuple, Union

from ..graph import Graph
from .rule_api import RULES
from .shape_search import ShapeSearch, ShapesError, UnclearShape, chain
from .sizes import Axis, resolve

__all__ = ['Found', 'Named', 'Place', 'ShapesError', 'found_shapes']

#: Shapes in users' form.
Named = Tuple[Union[int, str], ...]
#: An input and one of its axes.
Place = Tuple[str, int]


class Found(NamedTuple):
    """Shapes of inputs, and names for axes of steps or batches that the graph makes numbers."""

    shapes: dict[str, Named]
    fixed: Mapping[Place, str] = {}


def found_shapes(graph: Graph, params: Mapping[str, Sequence[int]],
                 given: Mapping[str, Sequence[int | str]], missing: Sequence[str],
                 ranks: Mapping[str, int] = {}) -> Found:
    """Shapes of the inputs `missing`.

    Parameters
    ----------
    graph : Graph
    params, given : dict
        Shapes of the parameters, and shapes of inputs that the user gave.
    missing : list of str
    ranks : dict, optional
        Numbers of axes that are known.

    Raises
    ------
    ShapesError
        The shapes do not follow from the graph.
    """
    if not missing:
        return Found({})
    search = ShapeSearch(graph, params, given, ranks)
    untold = [name for name in missing if not any(
        node.op in RULES or node.op == '_foreach' for node, _ in search.readers(name))]
    try:
        if untold:
            raise ShapesError('only operators without a shape rule in mxrnn read %s'
                              % ', '.join(untold))
        shapes = search.begun(missing)
    except UnclearShape:
        raise
    except ShapesError as error:
        missing = untold or missing
        raise ShapesError(
            "%s\nThe shapes of %s do not follow from the graph: give a number or a name for each "
            "axis, as in inputs={'%s': ('batch', 35)} (--input %s=batch,35) for two axes" % (
                error, ', '.join(missing), missing[0], missing[0])) from None
    result = AxisNames(search, shapes)
    if result.others:  # again: the numbers and the batch may tell an axis beside them
        tried = search.table(_again(result.shapes, shapes))
        if not tried.faults:
            result = AxisNames(search, search.axes(tried, shapes))
    return Found(result.shapes, result.fixed)


def _again(found: Mapping[str, Named], shapes: Mapping[str, Sequence[Axis]]
           ) -> dict[str, list[Axis]]:
    """Infer free axes again, beginning with the numbers that were found and with one batch."""
    def fresh(size: int | str, axis: Axis) -> Axis:
        if size == 'batch':
            return batch
        return Axis(free=True, hint=next((each.hint for each in chain(axis) if each.hint), ''),
                    bound=size if isinstance(size, int) else None)
    batch = Axis(free=True, hint='batch')
    return {name: [fresh(*pair) for pair in zip(found[name], axes)]
            for name, axes in shapes.items()}


# ---- names for axes of any size

class AxisNames:
    """Names for axes of inputs that are still free."""

    def __init__(self, search: ShapeSearch, shapes: Mapping[str, Sequence[Axis]]) -> None:
        self.shapes: dict[str, Named] = {}
        #: How many axes have a meaningless name.
        self.others = 0
        #: Names for axes that are numbers, of steps or a batch.
        self.fixed: dict[Place, str] = {}
        self._names: dict[int, str] = {}
        hints = {name: _hints(search, name, axes) for name, axes in shapes.items()}
        times = {id(resolve(axis)): name for name, axes in shapes.items()
                 for axis, hint in zip(axes, hints[name])
                 if hint == 'time' and isinstance(resolve(axis), Axis)}
        self._many = len(times) > 1 or any('time' in shape for shape in search.given.values())
        for name, axes in shapes.items():
            stated = search.stated(name) or (0,) * len(axes)
            self.shapes[name] = tuple(
                self._name(name, at, axis, hint, stated[at])
                for at, (axis, hint) in enumerate(zip(axes, hints[name])))
        sizes: dict[str, set[int | str]] = {}
        for (name, at), hint in self.fixed.items():
            sizes.setdefault(hint, set()).add(self.shapes[name][at])
        used = {size for shape in self.shapes.values() for size in shape}
        used |= {hint for hint, numbers in sizes.items() if len(numbers) > 1}
        for (name, at), hint in self.fixed.items():
            if hint in used:  # an open axis has that name, or axes of another size
                other = '%s_%s' % (name, hint)
                self.fixed[name, at] = '%s_%d' % (name, at) if other in used else other

    def _name(self, name: str, at: int, axis: Axis, hint: str, stated: int) -> int | str:
        size = resolve(axis)
        if isinstance(size, int):
            if hint:
                self.fixed[name, at] = hint
            return size
        last = size if isinstance(size, Axis) else axis  # this one is bound to a product
        if not last.label and not hint and stated > 0:
            return stated
        if not last.label and id(last) not in self._names:
            self.others += not hint
            self._names[id(last)] = (
                '%s_%d' % (name, at) if not hint else
                '%s_time' % name if hint == 'time' and self._many else hint)
        return last.label or self._names[id(last)]


def _hints(search: ShapeSearch, name: str, axes: Sequence[Axis]) -> list[str]:
    """Names that operators suggest for the axes of an input: 'batch', 'time' or ''."""
    kinds = search.kinds(name)
    hints = ['' if kinds & {at, at - len(axes)} else next(
        (each.hint for each in chain(axis) if each.hint), '') for at, axis in enumerate(axes)]
    if 'batch' not in hints and '' in hints[:2]:
        hints[hints.index('')] = 'batch'
    words = any(reader.op in ('Embedding', '_contrib_SparseEmbedding') and at == 0
                for reader, at in search.readers(name))
    if words and 'time' not in hints and '' in hints:
        hints[hints.index('')] = 'time'
    if hints.count('time') > 1:  # one axis of size 1 is cut off, as for factors of words
        hints = ['' if resolve(axis) == 1 else hint for axis, hint in zip(axes, hints)]
    return hints
