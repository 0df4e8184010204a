"""A graph with its weights, ready to be run on states and inputs of any shapes."""
from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Callable, Sequence

import numpy as np

from .._runtime.mxnet import mx
from . import fitting, graphs
from .states import States

__all__ = ['Compiled', 'Forms', 'Kept', 'refusal']

#: Within how many calls shapes must come again to get memory where there is room, and over how many
#: it is counted which come most often where there is none.
_MANY, _FEW = 16, 4


class Kept:
    """The things that were used last, by key, up to a number of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any) -> Any:
        """The thing of this key, or None."""
        thing = self._things.get(key)
        if thing is not None:
            self._things.move_to_end(key)
        return thing

    def add(self, key: Any, thing: Any) -> None:
        """Keep a thing, and let go of the one that has not been used for longest."""
        self._things[key] = thing
        if len(self._things) > self._most:
            self._things.popitem(last=False)

    def keys(self) -> list[Any]:
        """The keys, first that of the thing that has not been used for longest."""
        return list(self._things)

    def next_to_go(self, key: Any) -> None:
        """Let go of this thing when another one comes."""
        self._things.move_to_end(key, last=False)


class Forms:
    """The operators that were made of graphs, each for other shapes of their inputs.

    An operator that keeps the memory of its calculation, and oneDNN's form of its weights, is
    fastest, but takes long to make. Where `others` are kept as well, shapes that come again get one
    while there is room; after that, in the place of one that came less often in the last few calls.

    Parameters
    ----------
    most : int
        How many operators with memory are kept.
    others : int
        How many without memory are kept; with 0 each has its memory.
    """

    def __init__(self, most: int, others: int = 0) -> None:
        self._most, self._with_memory, self._others = most, Kept(most), Kept(others)
        #: What the last calls were of.
        self._recent: deque[Any] | None = deque(maxlen=_MANY) if others else None

    def run(self, key: Any, make: Callable[[bool], Any], values: list[Any]) -> Any:
        """Call the operator of this key; `make` makes one, with memory or without."""
        kept, op = self._with_memory, self._with_memory.get(key)
        memory = op is not None or self._deserves_memory(key)
        if not memory:
            kept, op = self._others, self._others.get(key)
        known = op is not None
        op = op or make(memory)
        results = op(*values)
        if not known:  # now that the graph has accepted them
            kept.add(key, op)
        if self._recent is not None:
            self._recent.append(key)
        return results

    def _deserves_memory(self, key: Any) -> bool:
        """Whether `key`, which has no operator with memory, gets one; chooses which then goes."""
        if self._recent is None:
            return True
        kept = self._with_memory.keys()
        if len(kept) < self._most:
            return key in self._recent
        last = list(self._recent)[-_FEW:]
        least = min(kept, key=last.count)
        if last.count(key) <= last.count(least):
            return False
        self._with_memory.next_to_go(least)
        return True


class Compiled:
    """A graph with its weights.

    It runs as MXNet's CachedOp, as Gluon's blocks do: unlike an executor, that takes its inputs
    without copying them, gives arrays of their own at each call, and writes no line about the
    subgraph backend. The memory of the calculation stays from one call to the next; so do the
    weights in the form in which oneDNN's operators take them, which may cost more than a step.

    Parameters
    ----------
    symbol : Symbol
        The graph; no two of its outputs share an array.
    weights : dict of str to NDArray
        Those among its inputs.
    states : list of str
        Names of the states, in the order in which they come.
    forms : Forms
        Where its operators are kept; other graphs may keep theirs there, too.
    """

    def __init__(self, symbol: mx.sym.Symbol, weights: dict[str, mx.nd.NDArray],
                 states: Sequence[str], forms: Forms) -> None:
        self.symbol = symbol
        names = symbol.list_inputs()
        self.weights = weights
        self._values = [weights.get(name) for name in names]
        places = {name: i for i, name in enumerate(names)}
        #: Positions of the states that the graph reads: among the states and among its inputs.
        self._states = [(i, places[state]) for i, state in enumerate(states)
                        if state in places]
        taken = set(states)
        self.inputs = [name for name in names if name not in weights and name not in taken]
        self._inputs = [places[name] for name in self.inputs]
        varying = [place for _, place in self._states] + self._inputs
        self._flags = (('static_alloc', True), ('static_shape', True), ('data_indices', varying),
                       ('param_indices', [i for i in range(len(names)) if i not in varying]))
        self._forms = forms
        self._key = object()

    def __call__(self, states: States, inputs: dict[str, mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """The outputs, each an array of its own."""
        arrays = [inputs[name] for name in self.inputs]
        key = self._key, *[array.shape for array in states], *[array.shape for array in arrays]
        values = self._values[:]
        for i, place in self._states:
            values[place] = states[i]
        for place, array in zip(self._inputs, arrays):
            values[place] = array
        with mx.autograd.pause(train_mode=False):
            results = self._forms.run(key, self._operator, values)
        return results if isinstance(results, list) else [results]

    def _operator(self, memory: bool) -> Any:
        return mx.nd.CachedOp(self.symbol, self._flags if memory else ())


def refusal(compiled: Compiled, states: dict[str, mx.nd.NDArray], types: Sequence[Any],
            inputs: dict[str, mx.nd.NDArray], context: mx.Context, error: Exception) -> Exception:
    """What is wrong with the states, of which the graph takes `types`, or the inputs, which it did
    not accept on `context` but raised `error`."""
    named = {**inputs, **states}
    for name, array in named.items():
        if array.context != context:
            return ValueError('%s must be on %s, where the Stepper runs, got %s'
                              % (name, context, array.context))
    for (name, state), dtype in zip(states.items(), types):
        if state.dtype != dtype:
            return TypeError('states must be of type %s, but that of %s is %s' % (
                np.dtype(dtype).name, name, np.dtype(state.dtype).name))
    try:
        fitting.explain(compiled.symbol, compiled.weights, inputs, states)
    except (TypeError, ValueError) as reason:
        return reason
    return ValueError('the inputs must fit the network and the batch size of the states: got %s; '
                      'MXNet says: %s' % (', '.join('%s of shape %s and type %s' % (
                          name, array.shape, np.dtype(array.dtype).name)
                          for name, array in named.items()), graphs.brief(error)))
