"""A network with a graph for each length: its graphs, their arrays and executors, and the axes of
batch and time of its outputs."""
from __future__ import annotations

from typing import Callable, NamedTuple, Sequence, Tuple

import numpy as np

from .. import _check
from .._files import reason_of
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from . import bind_errors, device_arrays
from .fold_constants import fold as folded

__all__ = ['Network', 'Networks']

#: Takes a length; returns a graph, the names of its data and the names of its labels.
Network = Callable[[int], Tuple[mx.sym.Symbol, Sequence[str], Sequence[str]]]

#: Batch sizes that hardly any other axis has.
_ROWS = (1009, 1013)


class OutputAxes(NamedTuple):
    """The axes of an output: the batch axis, and the axes with an entry for each step.

    The batch axis is also among the latter if batch and time are joined.
    """

    batch: int
    times: tuple[int, ...]

    @property
    def joined(self) -> bool:
        return self.batch in self.times

    def by_row(self, output: np.ndarray, rows: int, length: int, time_first: bool = False
               ) -> np.ndarray:
        """`output` with the batch first, then the time if that is one axis; if they are joined,
        `time_first` tells how."""
        batch = self.batch
        if self.joined:
            both = (length, rows) if time_first else (rows, length)
            output = output.reshape(output.shape[:batch] + both + output.shape[batch + 1:])
            output = np.moveaxis(output, (batch + time_first, batch + (not time_first)), (0, 1))
        else:
            output = np.moveaxis(output, batch, 0)
        times = self._times()
        return np.moveaxis(output, times[0], 1) if len(times) == 1 else output

    def _times(self) -> list[int]:
        """The axes of time behind the batch, once the batch is the first axis."""
        shift = 1 if self.joined else 0
        return [1] * shift + [axis + (axis < self.batch) + shift for axis in self.times
                              if axis != self.batch]

    def without_padding(self, row: np.ndarray, length: int) -> np.ndarray:
        """A copy of one sequence's part, for a sequence of this length."""
        times = [1] if len(self.times) == 1 else self._times()
        return np.array(row[tuple(slice(length if axis in times else None)
                                  for axis in range(1, row.ndim + 1))])


class Outputs:
    """A network's outputs, and in which of them time comes before the batch."""

    def __init__(self, axes: list[OutputAxes]) -> None:
        self.axes = axes
        self._time_first: dict[int, bool] = {}

    def unknown(self) -> list[int]:
        """The outputs that join batch and time in an order that is not known yet."""
        return [i for i, axes in enumerate(self.axes) if axes.joined and i not in self._time_first]

    def by_row(self, arrays: list[np.ndarray], run_reversed: Callable[[], list[np.ndarray]],
               rows: int, length: int) -> list[np.ndarray]:
        """The outputs `arrays`, with the batch first.

        The graph does not say in which order an output joins batch and time. So `run_reversed`
        runs the same sequences in reverse order. If they are all alike, the order cannot be found
        out and does not matter.
        """
        found = dict(self._time_first)
        unknown = self.unknown()
        again = run_reversed() if unknown else []
        for i in unknown:
            batch_first, time_first = (_deviation(*(
                self.axes[i].by_row(each, rows, length, order)
                for each in (arrays[i], again[i]))) for order in (False, True))
            if min(batch_first, time_first) > 1e-2:
                raise ValueError(
                    'no output of network may depend on the order of sequences in the batch, but '
                    'output %d, which joins batch and time, does. So its rows cannot be assigned '
                    'to sequences' % i)
            found[i] = time_first < batch_first
            if max(batch_first, time_first) > 1e-6 + 10 * min(batch_first, time_first):
                self._time_first[i] = found[i]
        return [axes.by_row(array, rows, length, found.get(i, False))
                for i, (axes, array) in enumerate(zip(self.axes, arrays))]


def _deviation(array: np.ndarray, reverse: np.ndarray) -> float:
    """The largest difference between `array` and `reverse`, reversed, relative to their numbers."""
    one, other = array.astype(np.float64), reverse[::-1].astype(np.float64)
    different = ~((one == other) | np.isnan(one) & np.isnan(other))
    if not different.any():
        return 0.0
    largest = np.abs(one[different] - other[different]).max()
    if not np.isfinite(largest):
        return np.inf
    return float(largest / np.abs(one[np.isfinite(one)]).max())


def output_axes(shapes: Callable[[int, int], list[tuple[int, ...]]], length: int
                ) -> list[OutputAxes]:
    """The axes of each output.

    Parameters
    ----------
    shapes : callable
        ``shapes(more, rows)`` returns the outputs' shapes for `rows` sequences of `length` steps,
        or of one step more if `more` is 1.
    length : int
        Number of steps.
    """
    found = []
    few, many, longer = shapes(0, _ROWS[0]), shapes(0, _ROWS[1]), shapes(1, _ROWS[0])
    for number, (shape, other, longest) in enumerate(zip(few, many, longer)):
        batch = [i for i, size in enumerate(shape) if size != other[i]]
        if len(batch) != 1 or shape[batch[0]] not in (_ROWS[0], _ROWS[0] * length):
            raise ValueError('each output of network must have one axis for the batch, alone or '
                             'joined with the time axis, got the shape %s for %d sequences of '
                             '%d steps in output %d' % (shape, _ROWS[0], length, number))
        time = [i for i, size in enumerate(shape) if longest[i:i + 1] != (size,)]
        steps = [i for i in time if shape[i] == (length if i not in batch else _ROWS[0] * length)]
        # Sizes that depend on the input's steps in another way are not cut.
        found.append(OutputAxes(batch[0], tuple(steps) if len(time) == len(steps) else ()))
    return found


class LengthGraph(NamedTuple):
    """The network for one length."""

    symbol: mx.sym.Symbol
    weights: dict[str, mx.nd.NDArray]
    data_names: list[str]
    label_names: list[str]


class Networks:
    """A network's graphs by length. The device has the weights once, and the memory for the
    largest bucket; `time` is the axis of time in the data."""

    def __init__(self, build: Network, arg_params: device_arrays.Weights,
                 aux_params: device_arrays.Weights, context: mx.Context,
                 buckets: list[int], batch_size: int, time: int, length_name: str) -> None:
        self._build = build
        # Graphs that are folded later must have the same weights.
        self._arg_params, self._aux_params = (
            {name: array.copy() for name, array in params.items()}
            for params in (arg_params, aux_params))
        self._context, self._buckets, self._batch_size = context, buckets, batch_size
        self._time, self._length_name = time, length_name
        self._placed: dict[str, mx.nd.NDArray] = {}
        self._folded: dict[str, mx.nd.NDArray] = {}
        self._graphs: dict[int, LengthGraph] = {}
        self._executors: dict[tuple[int, int], mx.executor.Executor] = {}
        #: Set by `learn`: shapes of one step, by input, and the axes of the outputs.
        self.steps: dict[str, tuple[int, ...]] = {}
        self.outputs = Outputs([])
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

        def shapes(graph: LengthGraph, rows: int, length: int) -> list[tuple[int, ...]]:
            return graph.symbol.infer_shape_partial(**self._known(graph, rows, length, steps))[1]

        self.outputs = Outputs(output_axes(
            lambda which, rows: shapes(pair[which][1], rows, pair[which][0]), length))
        self.steps = steps

    def run_reversed(self, executor: mx.executor.Executor) -> list[np.ndarray]:
        """The outputs for the sequences that this executor has, in reverse order."""
        for name in (*self.data_names, self._length_name):
            if name in executor.arg_dict:
                array = executor.arg_dict[name]
                array[:] = mx.nd.reverse(array, axis=0 if array.ndim == 1 else 1 - self._time)
        return [output.asnumpy() for output in executor.forward(is_train=False)]

    def executor(self, length: int, rows: int) -> mx.executor.Executor:
        """The bound network for this length and number of rows; kept if it is a bucket's."""
        key = length, rows
        if key in self._executors:
            return self._executors[key]
        largest = self._buckets[-1], self._batch_size
        shared = None if key == largest else self.executor(*largest)
        if length not in self._buckets:
            return self._bound(self._graph(length), length, rows, shared)
        if length not in self._graphs:
            self._graphs[length] = self._graph(length)
        self._executors[key] = self._bound(self._graphs[length], length, rows, shared)
        return self._executors[key]

    def _graph(self, length: int) -> LengthGraph:
        """The network for this length, with its weights."""
        built = self._build(length)
        if not isinstance(built, (tuple, list)) or len(built) != 3:
            raise TypeError('network must return a graph, the names of its data and the names of '
                            'its labels, got %.80r' % (built,))
        symbol, data_names, label_names = built[0], list(built[1]), list(built[2] or ())
        _check.instance('the graph of network', symbol, mx.sym.Symbol, 'a Symbol')
        arguments = symbol.list_arguments()
        unknown = [name for name in data_names if name not in arguments]
        if unknown:
            raise ValueError('network must name inputs of its graph as data, but it has no %s'
                             % ', '.join(unknown))
        label_names += graph_of(symbol).labels()
        label_names = [name for name in arguments if name in label_names]
        needed = set(arguments).difference(data_names, label_names)
        weights = device_arrays.params_of(symbol, self._arg_params, self._aux_params, needed)
        weights = {name: array for name, array in weights.items()
                   if name not in data_names and name not in label_names}
        if not self._graphs:
            self.vocabularies = graph_of(symbol).vocabularies()
        bind_errors.check_half(symbol, weights, self._context)
        auxiliary = {name: weights[name] for name in symbol.list_auxiliary_states()}
        symbol, weights = folded(symbol, {name: array for name, array in weights.items()
                                          if name not in auxiliary})
        weights = {name: self._shared(name, array) for name, array in weights.items()}
        weights.update(auxiliary)
        return LengthGraph(symbol, weights, data_names, label_names)

    def _shared(self, name: str, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """`array`, or an equal one that another length already uses."""
        known = self._folded.setdefault(name, array)
        same = known is array or (known.shape == array.shape and known.dtype == array.dtype
                                  and (known.asnumpy() == array.asnumpy()).all())
        return known if same else array

    def _known(self, graph: LengthGraph, rows: int, length: int, steps: dict[str, tuple[int, ...]]
               ) -> dict[str, tuple[int, ...]]:
        """Shapes of data, weights and labels."""
        both = (rows, length) if self._time == 1 else (length, rows)
        inputs = {name: both + steps[name] for name in self.data_names}
        if self._length_name in graph.data_names:
            inputs[self._length_name] = (rows,)
        shapes = {**inputs, **{name: array.shape for name, array in graph.weights.items()}}
        arguments = graph.symbol.list_arguments()
        shapes = {name: shape for name, shape in shapes.items() if name in arguments}
        # A label's shape comes from the graph, otherwise one for each step or each sequence.
        reason: Exception | None = None
        for label in ((), both, (rows,)):
            tried = dict(shapes, **({name: label for name in graph.label_names} if label else {}))
            try:  # infer_shape itself would print its arguments
                found = graph.symbol.infer_shape_partial(**tried)[0]
                if all(shape and all(shape) for shape in found):
                    return tried
            except mx.base.MXNetError as error:
                reason = reason or error
        weights = {name: array for name, array in self._arg_params.items() if name not in inputs}
        raise ValueError('the sequences and arg_params must fit the network, but %s' % (
            bind_errors.wrong_for(self._build(length)[0], inputs, weights) or (
                reason_of(reason) if reason else 'the shapes of its labels are not known')))

    def _bound(self, graph: LengthGraph, length: int, rows: int,
               shared: mx.executor.Executor | None) -> mx.executor.Executor:
        symbol, context = graph.symbol, self._context
        known = self._known(graph, rows, length, self.steps)
        types = bind_errors.known_types(symbol, graph.weights)
        arguments = {}
        for name, shape in zip(symbol.list_arguments(), symbol.infer_shape(**known)[0]):
            if name in graph.weights:
                arguments[name] = self._on(name, graph.weights[name])
            else:
                arguments[name] = mx.nd.zeros(shape, context, types.get(name, np.float32))
        auxiliary = {name: self._on(name, graph.weights[name])
                     for name in symbol.list_auxiliary_states()}
        with device_arrays.quiet():
            return symbol.bind(context, arguments, grad_req='null', aux_states=auxiliary,
                               shared_exec=shared)

    def _on(self, name: str, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """The weight `name` on the device, shared by all graphs."""
        if self._folded.get(name, array) is not array:  # a different one with the same name
            return device_arrays.on(self._context, array)
        if name not in self._placed:
            self._placed[name] = device_arrays.on(self._context, array)
        return self._placed[name]
