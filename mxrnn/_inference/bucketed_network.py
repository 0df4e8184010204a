"""A network with a graph for each length: its graphs, their arrays and executors, and the axes of
batch and time of its outputs."""
from __future__ import annotations

import math
from typing import Callable, NamedTuple, Sequence, Tuple

import numpy as np

from .. import _check
from .._files import reason_of
from .._graph.graph import Entry, Graph
from .._graph.operator_table import has
from .._graph.shapes.axis_factors import Axes, Factors, factors_of, mixed_axes
from .._graph.shapes.infer import Table, infer
from .._graph.shapes.rule_api import RULES
from .._graph.shapes.sizes import in_words, product
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of
from . import bind_errors, device_arrays
from .fold_constants import fold as folded

__all__ = ['Network', 'Networks']

#: Takes a length; returns a graph, the names of its data and the names of its labels.
Network = Callable[[int], Tuple[mx.sym.Symbol, Sequence[str], Sequence[str]]]


class OutputAxes:
    """What the axes of an output are: each is ('batch',), ('time',), both in an order if they are
    joined, or ('',)."""

    def __init__(self, axes: list[tuple[str, ...]]) -> None:
        self._axes = axes
        names = [name for axis in axes for name in axis]
        steps = 'time' if names.count('time') == 1 else 'batch'
        self._order = sorted(range(len(names)), key=lambda at: (
            names[at] != 'batch', names[at] != steps))
        self._names = [names[at] for at in self._order]

    def by_row(self, output: np.ndarray, rows: int, length: int) -> np.ndarray:
        """`output` with the batch first, then the time if that is one axis."""
        sizes = {'batch': rows, 'time': length}
        return output.reshape([sizes.get(name, size) for size, axis in zip(
            output.shape, self._axes) for name in axis]).transpose(self._order)

    def without_padding(self, row: np.ndarray, length: int) -> np.ndarray:
        """A copy of one sequence's part, for a sequence of this length."""
        return np.array(row[tuple(slice(length if name == 'time' else None)
                                  for name in self._names[1:])])


def output_axes(number: int, few: Axes, more: Axes, length: int) -> OutputAxes:
    """What the axes of output `number` are, from those for sequences of `length` steps and of one
    step more."""
    pairs = [*zip(map(_around, few), map(_around, more))]
    kinds = {((1, 1), (1, 1)): ('batch',), ((length, 0), (length + 1, 0)): ('time',),
             ((1, length), (1, length + 1)): ('batch', 'time'),
             ((length, 1), (length + 1, 1)): ('time', 'batch')}
    axes = [kinds.get(pair, ('',)) for pair in pairs]
    batch = [at for at, (one, _) in enumerate(pairs) if one[1]]
    if len(batch) != 1 or axes[batch[0]] == ('',):
        raise ValueError('each output of network must have one axis for the batch, alone or joined '
                         'with the time axis, got the shape (%s) for sequences of %d steps in '
                         'output %d' % (', '.join(in_words(product(axis), {}) for axis in few),
                                        length, number))
    if any(one != other and axis == ('',) for (one, other), axis in zip(pairs, axes)):
        # Sizes that depend on the input's steps in another way are not cut.
        axes = [('',) if axis == ('time',) else axis for axis in axes]
    return OutputAxes(axes)


def _is_moved(graph: Graph, table: Table, head: Entry) -> bool:
    """Whether an output joins the batch with something, and rows of both change their places on the
    way to it, other than by joining or repeating whole batches."""
    needed = graph._replace(heads=(head,)).needed()
    return any(map(_is_joined, table.axes[head])) and any(
        _is_joined(axis) and mixed_axes([axis]) and not (
            (has(node.op, 'joins') or node.op in ('repeat', 'tile')) and all(
                _around(table.axes[each][at]) == (1, 1) for each in node.inputs))
        for entry, axes in table.axes.items() if entry.node in needed
        for node in [graph.nodes[entry.node]] for at, axis in enumerate(axes))


def _is_joined(axis: Factors) -> bool:
    return _around(axis)[1] > 0 and _around(axis) != (1, 1)


def _around(axis: Factors) -> tuple[int, int]:
    """The numbers by which an axis has the batch outside and inside; a number has 0 inside, and
    another size is (0, -1)."""
    sizes = factors_of(axis)
    names = [in_words(size, {}) for size in sizes if not isinstance(size, int)]
    at = next((at for at, size in enumerate(sizes) if not isinstance(size, int)), len(sizes))
    numbers = [math.prod(size for size in part if isinstance(size, int))
               for part in (sizes[:at], sizes[at:])]
    return (0, -1) if names not in ([], ['batch']) else (numbers[0], numbers[1] * len(names))


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
        few, more = (self._axes(each, steps) for each in (length, length + 1))
        self.outputs = [output_axes(number, *pair, length)
                        for number, pair in enumerate(zip(few, more))]
        self.steps = steps

    def _axes(self, length: int, steps: dict[str, tuple[int, ...]]) -> list[Axes]:
        """The axes of the outputs for sequences of this length, with one name for the batch."""
        own = self._graphs.get(length) or self._graph(length)
        known = self._known(own, self._batch_size, length, steps)
        both = ('batch', length) if self._time == 1 else (length, 'batch')
        graph = graph_of(own.symbol)
        table = infer(graph, {
            name: shape if name in own.weights else ('batch',) if len(shape) == 1 else
            both + steps.get(name, ()) for name, shape in known.items()})
        for number, entry in enumerate(graph.heads):
            if not table.axes.get(entry):
                raise ValueError('the axes of output %d of network are not known: %s' % (
                    number, '; '.join([*map(str, table.faults), *(
                        'give interop.register a shape for %s' % node.title
                        for node in graph.walk() if node.op and node.op not in RULES)])))
            if _is_moved(graph, table, entry):
                raise ValueError(
                    'no output of network may depend on the order of sequences in the batch, but '
                    'output %d, which joins batch and time, does. So its rows cannot be assigned '
                    'to sequences' % number)
        return [table.axes[entry] for entry in graph.heads]

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
