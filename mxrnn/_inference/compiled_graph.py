"""The graph of a step and its states: made from a cell and the network around it, and run with its
weights, by operators that are kept for the shapes that recur, some with memory of their own."""
from __future__ import annotations

from collections import OrderedDict, deque
from typing import Callable, Generic, Hashable, List, NamedTuple, Sequence, TypeVar, Union

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell, unchanged_on_error
from .._cells.sequences import Outputs
from .._cells.states import States as Nested
from .._cells.states import flatten
from .._check import DType
from .._runtime.mxnet import mx

__all__ = ['apart', 'applied', 'Compiled', 'Forms', 'Kept', 'Network', 'States', 'StateSpecs']

States = List[mx.nd.NDArray]


class StateSpec(NamedTuple):
    """What is known of a state: name, shape (0 for open sizes), axis of the batch."""

    name: str
    shape: tuple[int, ...] | None
    axis: int

    @classmethod
    def of(cls, variable: mx.sym.Symbol) -> StateSpec:
        """Read a Variable's attributes."""
        shape = variable.attr('__shape__')
        sizes = None if shape is None else tuple(
            max(0, int(n)) for n in shape.strip('()[] ').split(',') if n.strip())
        return cls(variable.name, sizes, max(0, (variable.attr('__layout__') or 'N').find('N')))

    def sized(self, batch_size: int) -> tuple[int, ...]:
        """The shape for this batch size; () if it is not known."""
        return tuple(batch_size if i == self.axis else n for i, n in enumerate(self.shape or ()))

    def fits(self, shape: tuple[int, ...], batch_size: int) -> bool:
        """Whether an array of this shape can be the state for this batch size."""
        if self.shape is None:
            return len(shape) > self.axis and shape[self.axis] == batch_size
        return len(shape) == len(self.shape) and all(
            came == batch_size if i == self.axis else want in (0, came)
            for i, (want, came) in enumerate(zip(self.shape, shape)))


class StateSpecs:
    """A network's states, in order."""

    def __init__(self, variables: Sequence[mx.sym.Symbol]) -> None:
        self.specs = [StateSpec.of(variable) for variable in variables]
        self.names = [spec.name for spec in self.specs]
        if len(set(self.names)) < len(self.names):
            raise ValueError('the states must have different names, got %s: give each cell its '
                             'own prefix' % ', '.join(self.names))

    def __len__(self) -> int:
        return len(self.specs)

    def zeros(self, batch_size: int, context: mx.Context, types: Sequence[DType]) -> States:
        """States of zero."""
        for spec in self.specs:
            if not spec.shape or not all(spec.sized(1)):
                raise ValueError(
                    'begin_state needs shapes, with 0 for the batch, to begin with zeros: %r has '
                    '%s. Make it with mx.sym.Variable(name, shape=(0, units)), or pass your own '
                    'states to step' % (spec.name, spec.shape or 'none'))
        return [mx.nd.zeros(spec.sized(batch_size), ctx=context, dtype=dtype)
                for spec, dtype in zip(self.specs, types)]

    def check(self, states: object) -> int | None:
        """Refuse states that do not fit this network; return the batch size, if there are any."""
        if not isinstance(states, (list, tuple)):
            raise TypeError('states must be a list of %d arrays, as begin and step return, got a '
                            '%s' % (len(self), type(states).__name__))
        if len(states) != len(self):
            raise ValueError('states must be those of this network, %s, got %d arrays'
                             % (', '.join(self.names) or 'none', len(states)))
        batch_size = None
        for spec, state in zip(self.specs, states):
            if not isinstance(state, mx.nd.NDArray):
                raise TypeError('states must be NDArrays, but that of %s is a %s'
                                % (spec.name, type(state).__name__))
            shape = state.shape
            if batch_size is None:
                batch_size = shape[spec.axis] if len(shape) > spec.axis else 0
            if not spec.fits(shape, batch_size):
                expected = ('have the shape %s' % (spec.sized(batch_size),) if spec.shape
                            else 'be of batch size %d' % batch_size)
                raise ValueError('states must fit this network and have one batch size: the state '
                                 '%s must %s, got the shape %s' % (spec.name, expected, shape))
        return batch_size

    def take(self, states: States, indices: object, context: mx.Context) -> States:
        """The states of the sequences `indices`."""
        batch_size = self.check(states)
        if isinstance(indices, mx.nd.NDArray):
            indices = indices.asnumpy()
        chosen = np.atleast_1d(np.asarray(indices))
        if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in 'iuf' or (
                chosen != np.floor(chosen)).any():
            raise TypeError('indices must be a list of integers, got %.80r' % (indices,))
        if batch_size is not None and not 0 <= chosen.min() <= chosen.max() < batch_size:
            raise ValueError('indices must be from 0 to %d, for the %d sequences, got %.80s'
                             % (batch_size - 1, batch_size, chosen.tolist()))
        where = mx.nd.array(chosen, ctx=context, dtype='int32')
        return [mx.nd.take(state, where, axis=spec.axis) for spec, state in zip(self.specs, states)]


Operator = Callable[..., Union[mx.nd.NDArray, List[mx.nd.NDArray]]]  #: MXNet's CachedOp
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
            values: list[mx.nd.NDArray | None]) -> mx.nd.NDArray | list[mx.nd.NDArray]:
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


class Compiled:
    """A graph with its weights.

    It runs as MXNet's CachedOp, like Gluon's blocks. Unlike an executor, a CachedOp reads its
    inputs without copying them, returns new arrays in each call, and does not log a line about the
    subgraph backend. The working memory stays from call to call. So do the weights in the form that
    oneDNN's operators need; converting them may cost more than a step.

    Parameters
    ----------
    symbol : Symbol
        The graph; no two of its outputs may share an array.
    weights : dict of str to NDArray
        Values for some of its inputs.
    states : list of str
        Names of the states, in order.
    forms : Forms
        Keeps its operators; other graphs may use it too.
    """

    def __init__(self, symbol: mx.sym.Symbol, weights: dict[str, mx.nd.NDArray],
                 states: Sequence[str], forms: Forms) -> None:
        self.symbol = symbol
        names = symbol.list_inputs()
        self.weights = weights
        self._values = [weights.get(name) for name in names]
        places = {name: i for i, name in enumerate(names)}
        #: Positions of the states that the graph reads: among the states, and among its inputs.
        self._states = [(i, places[state]) for i, state in enumerate(states) if state in places]
        taken = set(states)
        self.inputs = [name for name in names if name not in weights and name not in taken]
        self._inputs = [places[name] for name in self.inputs]
        varying = [place for _, place in self._states] + self._inputs
        self._flags = (('static_alloc', True), ('static_shape', True), ('data_indices', varying),
                       ('param_indices', [i for i in range(len(names)) if i not in varying]))
        self._forms = forms
        self._key = object()

    def __call__(self, states: States, inputs: dict[str, mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """The outputs, each as its own array."""
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

    def _operator(self, memory: bool) -> Operator:
        return mx.nd.CachedOp(self.symbol, self._flags if memory else ())


def apart(outputs: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
    """A group of copies of `outputs`: no two share an array, and none shares one with an input.

    A copy also takes only the memory of its numbers; oneDNN's operators keep a description with
    each array that they write.
    """
    with mx.name.NameManager():  # the numbers in the program's automatic names do not advance
        return mx.sym.Group([mx.sym.identity(output) for output in outputs])


#: Takes a function that applies the cell to a Symbol, and returns the outputs.
Network = Callable[[Callable[[mx.sym.Symbol], mx.sym.Symbol]], Outputs]


def applied(cell: BaseRNNCell, network: Network,
            apply: Callable[[mx.sym.Symbol], tuple[mx.sym.Symbol, Nested]]
            ) -> tuple[Outputs, list[mx.sym.Symbol]]:
    """The network's outputs and the cell's states; `apply` applies the cell."""
    found: list[list[mx.sym.Symbol]] = []

    def run(inputs: mx.sym.Symbol) -> mx.sym.Symbol:
        if found:
            raise ValueError('network must call run only once')
        output, states = apply(_check.instance('inputs', inputs, mx.sym.Symbol, 'a Symbol'))
        found.append(flatten(states))
        return output

    with unchanged_on_error(cell), mx.name.NameManager():
        cell.reset()
        outputs = network(run)
        cell.reset()
    if not found:
        raise ValueError('network must call its argument run, which applies the cell, but did not '
                         'call it')
    return outputs, found[0]
