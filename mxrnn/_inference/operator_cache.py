"""The operators of graphs for the shapes that recur: some have memory of their own."""
from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Callable, Generic, Hashable, TypeVar

from .._runtime.mxnet import mx

__all__ = ['Forms', 'Kept', 'Operator']

Operator = Callable[..., Any]  #: MXNet's CachedOp
Thing = TypeVar('Thing')

#: Within how many calls shapes must recur to get memory: if there is room, and if another operator
#: loses its memory for it.
_MANY, _FEW = 16, 4


class Kept(Generic[Thing]):
    """The most recently used things, by key, up to a number of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[Hashable, Thing] = OrderedDict()

    def get(self, key: Hashable) -> Thing | None:
        """The thing under this key, or None."""
        thing = self._things.get(key)
        if thing is not None:
            self._things.move_to_end(key)
        return thing

    def add(self, key: Hashable, thing: Thing) -> None:
        """Keep a thing, and drop the one that was unused for the longest time."""
        self._things[key] = thing
        if len(self._things) > self._most:
            self._things.popitem(last=False)

    @property
    def next_to_go(self) -> Hashable:
        """The key of the thing that the next one would replace; None while there is room."""
        return next(iter(self._things)) if len(self._things) == self._most else None


class Forms:
    """The operators made from graphs, each for other shapes of the inputs.

    An operator that keeps its working memory, and the weights in oneDNN's form, runs fastest but
    takes long to make. With `others`, shapes that recur get such an operator while there is room.
    After that, they replace one that was not used in the last few calls.

    Parameters
    ----------
    most : int
        How many operators with memory are kept.
    others : int
        How many without memory are kept; with 0, every operator has memory.
    """

    def __init__(self, most: int, others: int = 0) -> None:
        self._with_memory: Kept[Operator] = Kept(most)
        self._others: Kept[Operator] = Kept(others)
        #: The keys of the last calls.
        self._recent: deque[Hashable] | None = deque(maxlen=_MANY) if others else None

    def run(self, key: Hashable, make: Callable[[bool], Operator],
            values: list[mx.nd.NDArray | None]) -> Any:
        """Call the operator under this key; `make` makes one, with or without memory."""
        kept, op = self._with_memory, self._with_memory.get(key)
        memory = op is not None or self._deserves_memory(key)
        if not memory:
            kept, op = self._others, self._others.get(key)
        known = op is not None
        op = op or make(memory)
        results = op(*values)
        if not known:  # now the graph has accepted the shapes
            kept.add(key, op)
        if self._recent is not None:
            self._recent.append(key)
        return results

    def _deserves_memory(self, key: Hashable) -> bool:
        """Whether `key`, which has no operator with memory, should get one."""
        if self._recent is None:
            return True
        oldest = self._with_memory.next_to_go
        recent = list(self._recent)[-_MANY if oldest is None else -_FEW:]
        return key in recent and oldest not in recent
