"""Names for the axes of inputs whose sizes a graph leaves open."""
from __future__ import annotations

from typing import Mapping, Sequence, Tuple, Union

from .shape_search import ShapeSearch, chain
from .sizes import Axis, resolve

__all__ = ['AxisNames', 'Named', 'Place']

#: Shapes in users' form.
Named = Tuple[Union[int, str], ...]
#: An input and one of its axes.
Place = Tuple[str, int]


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
