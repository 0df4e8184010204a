"""Graphs of a program that runs with --fuse, saved as they are without it.

A cell is unrolled in both forms. The program works with the fused one; a file gets the other.
"""
from __future__ import annotations

import collections
import contextlib
import functools
import itertools
from typing import Any, Iterator, NamedTuple

from .._cells.base import BaseRNNCell
from .._cells.sequence import flatten
from .._cells.unroll import Unrolled, unchanged_on_error
from .._graph.merging import Edit
from .._graph.reading import graph_to_json
from .._runtime.mxnet import graph_of, mx
from .fuse import replaced_in

__all__ = ['apart', 'is_ours', 'remember', 'unfused']

#: The attribute of fused nodes that says which unroll made them.
_MARK = '__unrolled__'


class _Forms(NamedTuple):
    """Outputs and states of an unrolled cell, fused and as they are without, and the mark."""

    mark: str
    fused: list[mx.sym.Symbol]
    plain: list[mx.sym.Symbol]


#: Of the last cells: MXNet does not tell when a graph is no longer in use.
_unrolled: collections.deque[_Forms] = collections.deque(maxlen=100)
_marks = itertools.count()


def is_ours(cell: BaseRNNCell) -> bool:
    """Whether all code of a cell is that of this package, so that it can be unrolled twice."""
    package = __name__.partition('.')[0]
    return not any(type(each).__module__.partition('.')[0] != package or replaced_in(each)
                   for each in cell._all_cells_())


class _Names(mx.name.NameManager):  # type: ignore[misc]
    """Gives nodes automatic names that end in '_fused' and a number of their own.

    The numbers in the automatic names of the program's own nodes do not go on.
    """

    _old_manager: Any

    def __enter__(self) -> _Names:
        super().__enter__()
        self._counter = vars(self._old_manager).setdefault('_counter_of_fused', {})
        return self

    def get(self, name: str | None, hint: str) -> str:
        found: str = self._old_manager.get(name or super().get(None, hint + '_fused'), hint)
        return found


@contextlib.contextmanager
def apart(cell: BaseRNNCell) -> Iterator[None]:
    """Let the block unroll `cell`; afterwards `cell` and the numbers in automatic names are as
    they were before it."""
    with unchanged_on_error(cell, always=True), _Names():
        yield


def remember(fused: Unrolled, plain: Unrolled) -> None:
    """Note both forms of what an unrolled cell gives."""
    forms = _Forms(str(next(_marks)), *(
        flatten([outputs if isinstance(outputs, list) else [outputs], states])
        for outputs, states in (fused, plain)))
    if len(forms.fused) == len(forms.plain):
        for each in forms.fused:
            each._set_attr(**{_MARK: forms.mark})
        _unrolled.append(forms)
        _save_unfused()


def unfused(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The graph that the program would have made without --fuse, or `symbol` if that is not known,
    as of copies."""
    marks = {node.attrs.get(_MARK) for node in graph_of(symbol).nodes}
    made = [forms for forms in _unrolled if forms.mark in marks]
    fused = [each for forms in made for each in forms.fused]
    plain = [each for forms in made for each in forms.plain]
    if not made:
        return symbol
    graph = graph_of(mx.sym.Group([symbol, *fused, *plain]))
    own, count = len(symbol.list_outputs()), len(fused)
    heads = graph.heads[own:own + count], graph.heads[own + count:]
    graph = graph._replace(heads=graph.heads[:own])
    reached, edit = graph.reached(lambda node: node.inputs), Edit(graph)
    edit.replaced.update((one, other) for one, other in zip(*heads)
                         if one.node in reached and one != other)
    changed = edit.graph()
    if sorted(changed.arguments) != sorted(symbol.list_arguments()):
        return symbol
    return mx.sym.load_json(graph_to_json(changed))


@functools.lru_cache(maxsize=None)
def _save_unfused() -> None:
    """Have `Symbol.save` write the graph of steps, from now on."""
    kind: Any = mx.sym.Symbol
    original = kind.save

    @functools.wraps(original)
    def save(self: mx.sym.Symbol, fname: str, *args: Any, **kwargs: Any) -> None:
        original(unfused(self), fname, *args, **kwargs)

    kind.save = save
