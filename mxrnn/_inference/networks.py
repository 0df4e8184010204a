"""A network that has a graph for each length: its graphs, their arrays, axes of their outputs."""
from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import graphs, mismatch
from .fold import fold as folded

__all__ = ['Network', 'Networks']

#: Batch sizes that no other axis is likely to have.
_ROWS = (1009, 1013)


class OutputAxes(NamedTuple):
    """The axes of an output: of the batch, and of the time if it has one.

    The two are the same axis where batch and time are joined.
    """

    batch: int
    time: int | None

    def by_row(self, output: np.ndarray, rows: int, length: int, time: int) -> np.ndarray:
        """`output` with the batch first and the time, if there is one, next.

        `time` is the axis of time in the network's data, which says how the two are joined.
        """
        if self.time is None:
            return np.moveaxis(output, self.batch, 0)
        if self.time != self.batch:
            return np.moveaxis(output, (self.batch, self.time), (0, 1))
        both = (rows, length) if time == 1 else (length, rows)
        shape = output.shape[:self.batch] + both + output.shape[self.batch + 1:]
        axes = (self.batch, self.batch + 1)
        return np.moveaxis(output.reshape(shape), axes if time == 1 else axes[::-1], (0, 1))

    def without_padding(self, row: np.ndarray, length: int) -> np.ndarray:
        """A copy of what one sequence of this length gives."""
        return np.array(row if self.time is None else row[:length])


def output_axes(shapes: Callable[[int, int], list[tuple[int, ...]]], length: int
                ) -> list[OutputAxes]:
    """The axes of each output.

    Parameters
    ----------
    shapes : callable
        ``shapes(more, rows)`` gives the shapes of the outputs for `rows` sequences of `length`
        steps, or of one step more if `more` is 1.
    length : int
        Number of steps.
    """
    found = []
    few, many, longer = shapes(0, _ROWS[0]), shapes(0, _ROWS[1]), shapes(1, _ROWS[0])
    for number, (shape, other, longest) in enumerate(zip(few, many, longer)):
        batch = [i for i, size in enumerate(shape) if size != other[i]]
        if len(batch) != 1 or shape[batch[0]] not in (_ROWS[0], _ROWS[0] * length):
            raise ValueError('each output of network must have one axis of the batch, alone or '
                             'joined with that of the time, got the shape %s for %d sequences of '
                             '%d steps in output %d' % (shape, _ROWS[0], length, number))
        time = [i for i, size in enumerate(shape) if longest[i:i + 1] != (size,)]
        steps = [i for i in time if shape[i] == (length if i not in batch else _ROWS[0] * length)]
        # What is neither one step for each of the input nor independent of them comes whole.
        found.append(OutputAxes(batch[0], steps[0] if len(time) == len(steps) == 1 else None))
    return found


#: Takes a length; returns a graph, the names of its data and those of its labels.
Network = Callable[[int], Any]


class Graph(NamedTuple):
    """The network for one length."""

    symbol: mx.sym.Symbol
    weights: dict[str, mx.nd.NDArray]
    data_names: list[str]
    label_names: list[str]


class Networks:
    """The graphs of a network by length. Each of the devices has the weights once, and the memory
    that the largest bucket needs; `time` is the axis of time in the data."""

    def __init__(self, build: Network, arg_params: graphs.Weights, aux_params: graphs.Weights,
                 devices: list[mx.Context], buckets: list[int], batch_size: int, time: int,
                 length_name: str, fold: bool) -> None:
        self._build = build
        self._arg_params, self._aux_params = arg_params, aux_params
        self._devices, self._buckets, self._batch_size = devices, buckets, batch_size
        self._time, self._length_name, self._fold = time, length_name, fold
        self._placed: dict[tuple[str, mx.Context], mx.nd.NDArray] = {}
        self._folded: dict[str, mx.nd.NDArray] = {}
        self._graphs: dict[int, Graph] = {}
        self._executors: dict[tuple[int, int, mx.Context], Any] = {}
        #: What `learn` finds out: shapes of one step, by input, and the axes of the outputs.
        self.steps: dict[str, tuple[int, ...]] = {}
        self.outputs: list[OutputAxes] = []
        self._graphs[buckets[0]] = first = self._graph(buckets[0])
        self.data_names = [name for name in first.data_names if name != length_name]
        if not self.data_names:
            raise ValueError('network must have data that is a sequence, got the names %s'
                             % first.data_names)

    def learn(self, steps: dict[str, tuple[int, ...]]) -> None:
        """Find out, with the first sequences, where the outputs have batch and time."""
        if self.steps:
            return
        length = self._buckets[0]
        pair = [(each, self._graphs.get(each) or self._graph(each))
                for each in (length, length + 1)]

        def shapes(graph: Graph, rows: int, length: int) -> list[tuple[int, ...]]:
            return graph.symbol.infer_shape_partial(**self._known(graph, rows, length, steps))[1]

        self.outputs = output_axes(
            lambda which, rows: shapes(pair[which][1], rows, pair[which][0]), length)
        self.steps = steps

    def executor(self, length: int, rows: int, context: mx.Context) -> Any:
        """The network for this length and number of rows, bound; kept if it is a bucket's."""
        key = length, rows, context
        if key in self._executors:
            return self._executors[key]
        largest = self._buckets[-1], self._batch_size, context
        shared = None if key == largest else self.executor(*largest)
        if length not in self._buckets:
            return self._bound(self._graph(length), length, rows, context, shared)
        if length not in self._graphs:
            self._graphs[length] = self._graph(length)
        self._executors[key] = self._bound(self._graphs[length], length, rows, context, shared)
        return self._executors[key]

    def _graph(self, length: int) -> Graph:
        """The network for this length, with its weights."""
        built = self._build(length)
        if not isinstance(built, (tuple, list)) or len(built) != 3:
            raise TypeError('network must return a graph, the names of its data and those of its '
                            'labels, got %.80r' % (built,))
        symbol, data_names, label_names = built[0], list(built[1]), list(built[2] or ())
        _check.instance('the graph of network', symbol, mx.sym.Symbol, 'a Symbol')
        arguments = symbol.list_arguments()
        unknown = [name for name in data_names if name not in arguments]
        if unknown:
            raise ValueError('network must name inputs of its graph as data, but it has no %s'
                             % ', '.join(unknown))
        label_names = [name for name in label_names if name in arguments]
        needed = set(arguments).difference(data_names, label_names)
        weights = graphs.params_of(symbol, self._arg_params, self._aux_params, needed)
        weights = {name: array for name, array in weights.items()
                   if name not in data_names and name not in label_names}
        for device in self._devices:
            mismatch.check_half(symbol, weights, device)
        if self._fold:
            auxiliary = {name: weights[name] for name in symbol.list_auxiliary_states()}
            symbol, weights = folded(symbol, {name: array for name, array in weights.items()
                                              if name not in auxiliary})
            weights = {name: self._shared(name, array) for name, array in weights.items()}
            weights.update(auxiliary)
        else:
            mismatch.check_fit(symbol, weights)
        return Graph(symbol, weights, data_names, label_names)

    def _shared(self, name: str, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """`array`, or the one of another length if it is the same."""
        known = self._folded.setdefault(name, array)
        same = known is array or (known.shape == array.shape and known.dtype == array.dtype
                                  and (known.asnumpy() == array.asnumpy()).all())
        return known if same else array

    def _known(self, graph: Graph, rows: int, length: int, steps: dict[str, tuple[int, ...]]
               ) -> dict[str, tuple[int, ...]]:
        """Shapes of data, weights and labels."""
        both = (rows, length) if self._time == 1 else (length, rows)
        shapes = {name: both + steps[name] for name in self.data_names}
        if self._length_name in graph.data_names:
            shapes[self._length_name] = (rows,)
        shapes.update((name, array.shape) for name, array in graph.weights.items())
        shapes = {name: shape for name, shape in shapes.items()
                  if name in graph.symbol.list_arguments()}
        # Labels have the shape that the graph tells, or else one for each step or each sequence.
        reason: Exception | None = None
        for label in ((), both, (rows,)):
            tried = dict(shapes, **({name: label for name in graph.label_names} if label else {}))
            try:  # infer_shape itself would print what it was given
                found = graph.symbol.infer_shape_partial(**tried)[0]
                if all(shape and all(shape) for shape in found):
                    return tried
            except mx.base.MXNetError as error:
                reason = reason or error
        self._explain(graph, length, steps)
        raise ValueError('the sequences and arg_params must fit the network, but %s' % (
            graphs.brief(reason) if reason else 'the shapes of its labels are not known'))

    def _explain(self, graph: Graph, length: int, steps: dict[str, tuple[int, ...]]) -> None:
        """Raise what tells which argument to blame, if it can be found in the unfolded graph."""
        symbol = self._build(length)[0]
        given = {**self._arg_params, **self._aux_params}
        both = (1, length) if self._time == 1 else (length, 1)
        inputs = {name: np.zeros(both + steps[name], np.float32) for name in self.data_names}
        if self._length_name in graph.data_names:
            inputs[self._length_name] = np.ones(1, np.float32)
        mismatch.explain(symbol, {name: given[name] for name in symbol.list_inputs()
                                 if name in given and name not in graph.data_names}, inputs)

    def _bound(self, graph: Graph, length: int, rows: int, context: mx.Context, shared: Any
               ) -> Any:
        symbol = graph.symbol
        known = self._known(graph, rows, length, self.steps)
        types = mismatch.known_types(symbol, graph.weights)
        arguments = {}
        for name, shape in zip(symbol.list_arguments(), symbol.infer_shape(**known)[0]):
            if name in graph.weights:
                arguments[name] = self._on(context, name, graph.weights[name])
            else:
                arguments[name] = mx.nd.zeros(shape, context, types.get(name, np.float32))
        auxiliary = {name: self._on(context, name, graph.weights[name])
                     for name in symbol.list_auxiliary_states()}
        with graphs.quiet():
            return symbol.bind(context, arguments, grad_req='null', aux_states=auxiliary,
                               shared_exec=shared)

    def _on(self, context: mx.Context, name: str, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """The weight `name` on a device, there once for all graphs."""
        if self._folded.get(name, array) is not array:  # another one under the same name
            return graphs.on(context, array)
        if (name, context) not in self._placed:
            self._placed[name, context] = graphs.on(context, array)
        return self._placed[name, context]
