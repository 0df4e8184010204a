"""Predictor: sequences of any lengths through a network that has a graph for each length."""
from __future__ import annotations

import math
import os
from itertools import islice
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Literal,
    NamedTuple,
    Sequence,
    Union,
)

import numpy as np

from .. import _check
from .._checkpoint.loading import load_rnn_checkpoint
from .._runtime.mxnet import mx
from . import batching, graphs
from .fold import fold as folded
from .outputs import OutputAxes, output_axes

__all__ = ['Predictor']

Network = Callable[[int], Any]
#: A list of sequences, or several by the name of the network's input.
Sequences = Union[Sequence[Any], Dict[str, Sequence[Any]]]
Result = Union[np.ndarray, List[np.ndarray]]


class _Graph(NamedTuple):
    """The network for one length."""

    symbol: mx.sym.Symbol
    weights: dict[str, mx.nd.NDArray]
    data_names: list[str]
    label_names: list[str]


class Predictor:
    """Run a network over sequences of any lengths, and get its outputs in the order of the input.

    Sequences of about one length are run together, padded to the same bucket; padding is taken
    off the outputs. All buckets share the memory that the largest one needs.

    Parameters
    ----------
    network : callable
        What `mx.mod.BucketingModule` takes: ``network(length)`` returns a graph, the names of its
        data and the names of its labels. Labels are given zeros. Padding comes to the graph as it
        does in training: where it must not reach an output, such as in backward directions or
        final states, let the graph have `valid_length`.
    arg_params, aux_params : dict of str to NDArray
        The weights. Others may be among them.
    buckets : list of int
        The lengths to pad to, such as those of training. A longer sequence is run in a graph of
        its own length, which is then dropped.
    batch_size : int, default 32
        How many sequences are run together; fewer, rounded up to a power of 2, where there are
        no more.
    ctx : Context or list of Context, optional
        Where to run; batches go to the devices in turn, once to
        each, also where one is listed twice. The current context if None.
    padding : number, default 0
        What lies behind the end of a sequence; NaN shows whether a network reads it.
    layout : {'NT', 'TN'}
        Whether the network's data has the batch or the time first.
    length_name : str, default 'length'
        If the network has data of this name, it gets the lengths, of shape (batch,), as from
        `BucketSentenceIter` with `provide_length`.
    fold : bool, default True
        Whether to `fold` the graphs: then the weights count as they are now.

    Raises
    ------
    MissingWeightsError
        A weight has no value; a KeyError that lists what is missing and what there is.
    TypeError, ValueError
        For arguments of another kind.

    Notes
    -----
    One Predictor serves one call at a time; a call while another one runs raises RuntimeError.

    Examples
    --------
    >>> import mxnet as mx, mxrnn as rnn
    >>> cell = rnn.GRUCell(8)
    >>> def network(length):
    ...     words = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=5, output_dim=4,
    ...                              name='embed')
    ...     outputs, _ = rnn.fuse(cell).unroll(length, words, merge_outputs=True)
    ...     scores = mx.sym.FullyConnected(outputs, num_hidden=5, flatten=False, name='score')
    ...     return mx.sym.softmax(scores), ['data'], []
    >>> shapes = {'embed_weight': (5, 4), 'gru_i2h_weight': (24, 4), 'gru_i2h_bias': (24,),
    ...           'gru_h2h_weight': (24, 8), 'gru_h2h_bias': (24,), 'score_weight': (5, 8),
    ...           'score_bias': (5,)}
    >>> weights = {name: mx.nd.random.uniform(-1, 1, shape) for name, shape in shapes.items()}
    >>> predict = rnn.Predictor(network, weights, buckets=[2, 4])
    >>> [chances.shape for chances in predict([[1, 2, 3, 4], [1], [3, 2, 1, 0, 4, 2, 3]])]
    [(4, 5), (1, 5), (7, 5)]
    """

    def __init__(self, network: Network, arg_params: graphs.Weights,
                 aux_params: graphs.Weights | None = None, *, buckets: Iterable[int],
                 batch_size: int = 32, ctx: mx.Context | None = None, padding: float = 0,
                 layout: Literal['NT', 'TN'] = 'NT', length_name: str = 'length',
                 fold: bool = True) -> None:
        self._network = _check.function('network', network)
        self._arg_params = graphs.check_weights('arg_params', arg_params)
        self._aux_params = graphs.check_weights('aux_params', aux_params)
        lengths = _check.iterable('buckets', buckets, 'lengths')
        self.buckets = sorted({_check.integer('each of buckets', each, 1, _check.LARGEST)
                               for each in lengths})
        if not self.buckets:
            raise ValueError('buckets must hold at least one length, got none')
        self.batch_size = _check.integer('batch_size', batch_size, 1, _check.LARGEST)
        nan = isinstance(padding, float) and math.isnan(padding)
        self._padding = padding if nan else _check.number('padding', padding)
        self._time = _check.choice('layout', layout, ('NT', 'TN')).index('T')
        self._length_name = _check.instance('length_name', length_name, str, 'a str')
        self._fold = _check.flag('fold', fold)
        devices = list(ctx) if isinstance(ctx, (list, tuple)) else [ctx]
        self._contexts = list(dict.fromkeys(map(graphs.context_of, devices)))
        if not self._contexts:
            raise ValueError('ctx must hold at least one Context, got none')
        self._placed: dict[tuple[str, mx.Context], mx.nd.NDArray] = {}
        self._folded: dict[str, mx.nd.NDArray] = {}
        self._graphs: dict[int, _Graph] = {}
        self._executors: dict[tuple[int, int, mx.Context], Any] = {}
        self._steps: dict[str, tuple[int, ...]] = {}  #: shapes of one step, by input
        self._outputs: list[OutputAxes] = []
        self._one_call = graphs.OneCall('Predictor')
        self._graphs[self.buckets[0]] = first = self._graph(self.buckets[0])
        self.data_names = [name for name in first.data_names if name != self._length_name]
        if not self.data_names:
            raise ValueError('network must have data that is a sequence, got the names %s'
                             % first.data_names)

    @classmethod
    def from_checkpoint(cls, network: Network, cells: Any, prefix: str | os.PathLike[str],
                        epoch: int | None = None, **options: Any) -> Predictor:
        """Make a Predictor of a checkpoint.

        Parameters
        ----------
        network
            As for the class.
        cells, prefix, epoch
            As for `load_rnn_checkpoint`, whose errors it raises.
        **options
            As for the class.
        """
        loaded = load_rnn_checkpoint(cells, os.fspath(prefix), epoch)
        return cls(network, loaded.arg_params, loaded.aux_params, **options)

    def __call__(self, sequences: Sequences) -> list[Result]:
        """The outputs for each of the sequences, in their order.

        Parameters
        ----------
        sequences : list of sequences
            Of numbers, or of arrays that are as long as each other. For a network of several
            inputs, a dict of one list for each.

        Returns
        -------
        list of numpy.ndarray, or of list of numpy.ndarray
            For each sequence what the network gives: of shape (length of the sequence, ...) where
            the output has steps, and without the axis of the batch where it has none. A list for
            each sequence if the network has several outputs.

        Raises
        ------
        TypeError, ValueError
            A sequence is empty, of other numbers of features than the others, or no sequence.
        RuntimeError
            Another call of this Predictor is running.
        """
        with self._one_call:
            columns = batching.columns(sequences, self.data_names)
            lengths = self._lengths(columns)
            results: list[Any] = [None] * len(lengths)
            for chosen, outputs in self._run(columns, lengths):
                for place, output in zip(chosen, outputs):
                    results[place] = output
            return results

    def stream(self, sequences: Iterable[Any], window: int = 1000) -> Iterator[Result]:
        """The outputs for any number of sequences, one after the other, in little memory.

        Parameters
        ----------
        sequences : iterable of sequences
            Such as a generator. It is read `window` sequences ahead.
        window : int
            How many sequences are sorted into batches at once.
        """
        _check.integer('window', window, 1)
        rest = _check.iterable('sequences', sequences, 'sequences')
        return self._windows(rest, window)

    def _windows(self, rest: Iterator[Any], window: int) -> Iterator[Result]:
        for part in iter(lambda: list(islice(rest, window)), []):
            yield from self(part)

    # What is asked

    def _lengths(self, columns: dict[str, list[np.ndarray]]) -> np.ndarray:
        """How long each sequence is, in all inputs alike."""
        found = [[len(array) for array in arrays] for arrays in columns.values()]
        for lengths in found[1:]:
            if lengths != found[0]:
                raise ValueError('sequences must be as many and as long in each input, got other '
                                 'lengths in %s' % ', '.join(columns))
        for name, arrays in columns.items():
            for i, array in enumerate(arrays):
                step = self._steps.get(name, arrays[0].shape[1:])
                if array.shape[1:] != step:
                    raise ValueError('sequences must have steps of one shape, which is %s, got %s '
                                     'in number %d' % (step, array.shape[1:], i))
        return np.array(found[0], dtype=np.int64)

    # Running

    def _run(self, columns: dict[str, list[np.ndarray]], lengths: np.ndarray
             ) -> Iterator[tuple[np.ndarray, list[Result]]]:
        """Numbers of sequences, and their outputs, batch by batch."""
        if not len(lengths):
            return
        self._learn({name: arrays[0].shape[1:] for name, arrays in columns.items()})
        batches = batching.batches(lengths, self.buckets, self.batch_size)
        running: list[tuple[batching.Batch, Any]] = []
        for group in iter(lambda: list(islice(batches, len(self._contexts))), []):
            filled = [self._filled(batch, columns, lengths) for batch in group]
            for batch, executor in running:  # which computed while the next ones were filled
                yield batch.chosen, self._collected(batch, executor, lengths)
            running = []
            for batch, context, arrays in zip(group, self._contexts, filled):
                executor = self._executor(batch.length, batch.rows, context)
                for name, array in arrays.items():
                    if name in executor.arg_dict:
                        executor.arg_dict[name][:] = array
                executor.forward(is_train=False)
                running.append((batch, executor))
        for batch, executor in running:
            yield batch.chosen, self._collected(batch, executor, lengths)

    def _filled(self, batch: batching.Batch, columns: dict[str, list[np.ndarray]],
                lengths: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of a batch, padded."""
        filled = {name: batching.padded(batch, arrays, self._steps[name], self._padding)
                  for name, arrays in columns.items()}
        if self._time == 0:
            filled = {name: array.swapaxes(0, 1) for name, array in filled.items()}
        valid = np.ones(batch.rows)
        valid[:len(batch.chosen)] = lengths[batch.chosen]
        filled[self._length_name] = valid
        return filled

    def _collected(self, batch: batching.Batch, executor: Any, lengths: np.ndarray) -> list[Result]:
        """The outputs of each sequence of a batch."""
        outputs = [axes.by_row(output.asnumpy(), batch.rows, batch.length, self._time)
                   for axes, output in zip(self._outputs, executor.outputs)]
        rows: list[Any] = [[axes.without_padding(output[i], lengths[place]) for axes, output in
                 zip(self._outputs, outputs)] for i, place in enumerate(batch.chosen)]
        return [row[0] for row in rows] if len(self._outputs) == 1 else rows

    # Graphs

    def _graph(self, length: int) -> _Graph:
        """The network for this length, with its weights."""
        built = self._network(length)
        if not isinstance(built, (tuple, list)) or len(built) != 3:
            raise TypeError('network must return a graph, the names of its data and those of its '
                            'labels, got %.80r' % (built,))
        symbol, data_names, label_names = built[0], list(built[1]), list(built[2] or ())
        _check.instance('the graph of network', symbol, mx.sym.Symbol, 'a Symbol')
        arguments = symbol.list_arguments()
        unknown = [name for name in data_names if name not in arguments]
        if unknown:
            raise ValueError('network must name data that its graph has, but %s is none'
                             % ', '.join(unknown))
        label_names = [name for name in label_names if name in arguments]
        needed = set(arguments).difference(data_names, label_names)
        arg_params = {name: array for name, array in self._arg_params.items() if name in needed}
        weights = graphs.params_of(symbol, arg_params, self._aux_params, needed)
        if self._fold:
            auxiliary = {name: weights[name] for name in symbol.list_auxiliary_states()}
            symbol, weights = folded(symbol, {name: array for name, array in weights.items()
                                              if name not in auxiliary})
            weights = {name: self._shared(name, array) for name, array in weights.items()}
            weights.update(auxiliary)
        return _Graph(symbol, weights, data_names, label_names)

    def _shared(self, name: str, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """`array`, or the one of another length if it is the same."""
        known = self._folded.setdefault(name, array)
        same = known is array or (known.shape == array.shape and known.dtype == array.dtype
                                  and (known.asnumpy() == array.asnumpy()).all())
        return known if same else array

    def _learn(self, steps: dict[str, tuple[int, ...]]) -> None:
        """Find out, with the first sequences, where the outputs have batch and time."""
        if self._steps:
            return
        length = self.buckets[0]
        pair = [(each, self._graphs.get(each) or self._graph(each))
                for each in (length, length + 1)]

        def shapes(graph: _Graph, rows: int, length: int) -> list[tuple[int, ...]]:
            return graph.symbol.infer_shape_partial(**self._known(graph, rows, length, steps))[1]

        self._outputs = output_axes(
            lambda which, rows: shapes(pair[which][1], rows, pair[which][0]), length)
        self._steps = steps

    def _known(self, graph: _Graph, rows: int, length: int, steps: dict[str, tuple[int, ...]]
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
                if found and all(shape and all(shape) for shape in found):
                    return tried
            except mx.base.MXNetError as error:
                reason = reason or error
        wrong = graphs.misfit(graph.symbol, shapes)
        raise ValueError('the sequences and arg_params must fit the network, but %s' % (
            '%s should have the shape %s' % wrong if wrong else
            graphs.brief(reason) if reason else 'the shapes of its labels are not known'))

    def _executor(self, length: int, rows: int, context: mx.Context) -> Any:
        """The network for this length and number of rows, bound; kept if it is a bucket's."""
        key = length, rows, context
        if key in self._executors:
            return self._executors[key]
        largest = self.buckets[-1], self.batch_size, context
        shared = None if key == largest else self._executor(*largest)
        if length not in self.buckets:
            return self._bound(self._graph(length), length, rows, context, shared)
        if length not in self._graphs:
            self._graphs[length] = self._graph(length)
        self._executors[key] = self._bound(self._graphs[length], length, rows, context, shared)
        return self._executors[key]

    def _bound(self, graph: _Graph, length: int, rows: int, context: mx.Context, shared: Any
               ) -> Any:
        symbol = graph.symbol
        known = self._known(graph, rows, length, self._steps)
        types = graphs.known_types(symbol, graph.weights)
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
