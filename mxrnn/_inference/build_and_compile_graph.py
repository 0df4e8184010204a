"""The graph of a step: made from a cell and the network around it, and run with its weights."""
from __future__ import annotations

from typing import Any, Callable, Sequence

from .. import _check
from .._cells.base_cells import BaseRNNCell
from .._cells.inputs_and_states import flatten
from .._cells.unroll import unchanged_on_error
from .._runtime.mxnet import mx
from .operator_cache import Forms, Operator
from .state_specs import States

__all__ = ['Compiled', 'Network', 'apart', 'applied']


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
Network = Callable[[Callable[[mx.sym.Symbol], mx.sym.Symbol]], Any]


def applied(cell: BaseRNNCell, network: Network,
            apply: Callable[[mx.sym.Symbol], tuple[mx.sym.Symbol, Any]]
            ) -> tuple[Any, list[mx.sym.Symbol]]:
    """The network's outputs and the cell's states; `apply` applies the cell."""
    found: list[Any] = []

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
