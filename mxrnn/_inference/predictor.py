"""Predictor: runs sequences of any lengths through a network with a graph for each length."""
from __future__ import annotations

import collections
import math
import os
from typing import Any, Dict, Iterable, Iterator, List, Literal, NamedTuple, Sequence, Tuple, Union

import numpy as np

from .. import _check
from .._cells.weights_by_gate import Cell
from .._checkpoint.loading import load_rnn_checkpoint
from .._graph.graph import warn_of_ids
from .._runtime.array_memory import room
from .._runtime.mxnet import mx
from . import device_arrays
from .bucketed_network import Network, Networks
from .device_arrays import OneCall

__all__ = ['Predictor']

#: How many batches a device computes or has waiting while the outputs of one are sorted.
_AHEAD = 2

#: A list of sequences, or a dict of lists by the names of the network's inputs.
Sequences = Union[Sequence[object], Dict[str, Sequence[object]]]
Result = Union[np.ndarray, List[np.ndarray]]


class Predictor:
    """Run a network over sequences of any lengths, and return outputs in the order of the input.

    Sequences of similar lengths run together, padded to the same bucket, and padding is removed
    from the outputs. All buckets share the memory of the largest one.

    Parameters
    ----------
    network : callable
        The function that `mx.mod.BucketingModule` takes: ``network(length)`` returns a graph, the
        names of its data and the names of its labels. Labels are zeros; labels that only gradients
        depend on, as in SoftmaxOutput, need no name. The graph gets padding as in training. If
        padding must not reach an output, for instance in backward directions or final states, use
        `valid_length` in the graph.
    arg_params, aux_params : dict of str to NDArray
        The weights. Other entries are ignored.
    buckets : list of int
        The lengths to pad to, such as those of training. A longer sequence runs in a graph for its
        own length, which is dropped afterwards.
    batch_size : int, default 32
        How many sequences run together. Fewer sequences run in the next power of 2.
    ctx : Context, optional
        Where to run; the current context if None.
    padding : number, default 0
        The value behind the end of a sequence; NaN shows whether a network reads it.
    layout : {'NT', 'TN'}
        Whether the network's data has the batch or the time first.
    length_name : str, default 'length'
        If the network has data of this name, it gets the lengths, of shape (batch,), as from
        `BucketSentenceIter` with `provide_length`.

    Raises
    ------
    MissingWeightsError
        A weight has no value; a KeyError that lists missing and present weights.
    TypeError, ValueError
        An argument has a wrong type or value.

    Notes
    -----
    What depends only on weights, such as the fused operator's vector in graphs of `fuse`, is
    computed in advance, from copies of the weights as they are now. A Predictor serves one call at
    a time; a call while another one runs raises RuntimeError.

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

    def __init__(self, network: Network, arg_params: device_arrays.Weights,
                 aux_params: device_arrays.Weights | None = None, *, buckets: Iterable[int],
                 batch_size: int = 32, ctx: mx.Context | None = None, padding: float = 0,
                 layout: Literal['NT', 'TN'] = 'NT', length_name: str = 'length') -> None:
        _check.function('network', network)
        device_arrays.check_weights('arg_params', arg_params)
        aux_params = device_arrays.check_weights('aux_params', aux_params)
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
        self._one_call = OneCall('Predictor')
        self._networks = Networks(
            network, arg_params, aux_params, device_arrays.context_of(ctx), self.buckets,
            self.batch_size, self._time, length_name)
        self.data_names = self._networks.data_names

    @classmethod
    def from_checkpoint(cls, network: Network, cells: Cell | Iterable[Cell],
                        prefix: str | os.PathLike[str], epoch: int | None = None,
                        **options: Any) -> Predictor:
        """Make a Predictor from a checkpoint.

        Parameters
        ----------
        network
            As for the class.
        cells, prefix, epoch
            As for `load_rnn_checkpoint`, with the same errors.
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
            Sequences of numbers, or of arrays that are as long as each other. For a network with
            several inputs, a dict with a list for each.

        Returns
        -------
        list of numpy.ndarray, or of list of numpy.ndarray
            The network's output for each sequence. If the output has steps, its shape is (length of
            the sequence, ...), cut on each axis with steps. If it has none, it lacks the batch
            axis. If the network has several outputs, a list for each sequence.

        Raises
        ------
        TypeError, ValueError
            A sequence is empty, is not a sequence, or differs from others in its features.
        RuntimeError
            Another call of this Predictor is running.
        """
        with self._one_call:
            columns = _columns(sequences, self.data_names)
            lengths = self._lengths(columns)
            results: dict[int, Result] = {}
            for chosen, outputs in self._run(columns, lengths):
                results.update(zip(chosen.tolist(), outputs))
            return [results[place] for place in range(len(lengths))]

    # The request

    def _lengths(self, columns: dict[str, list[np.ndarray]]) -> np.ndarray:
        """The length of each sequence, the same for all inputs."""
        found = [[len(array) for array in arrays] for arrays in columns.values()]
        for lengths in found[1:]:
            if lengths != found[0]:
                raise ValueError('sequences of all inputs must be equal in number and in length, '
                                 'got other lengths in %s' % ', '.join(columns))
        for name, arrays in columns.items():
            for i, array in enumerate(arrays):
                step = self._networks.steps.get(name, arrays[0].shape[1:])
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
        self._networks.learn({name: arrays[0].shape[1:] for name, arrays in columns.items()})
        batches = _batches(lengths, self.buckets, self.batch_size)
        running: collections.deque[_Running] = collections.deque()
        for batch in batches:
            running.append(self._started(batch, columns, lengths))
            # MXNet on CPUs reports that a batch is done when the next one is, so there is a third.
            most = 0 if self._networks.outputs.unknown() else _AHEAD
            while len(running) > most:
                yield self._collected(running.popleft(), lengths)
        while running:
            yield self._collected(running.popleft(), lengths)

    def _started(self, batch: _Batch, columns: dict[str, list[np.ndarray]], lengths: np.ndarray
                 ) -> _Running:
        """Start to compute a batch, without waiting for anything."""
        filled = self._filled(batch, columns, lengths)
        executor = self._networks.executor(batch.length, batch.rows)
        for name, array in filled.items():
            if name in executor.arg_dict:
                argument = executor.arg_dict[name]
                # `mx.nd.array` would wait for earlier batches.
                given, memory = room(array.shape, np.dtype(argument.dtype))
                memory[...] = array
                given.copyto(argument)
        # Copies, because graphs share the memory of their outputs.
        return batch, executor, [output.copy() for output in executor.forward(is_train=False)]

    def _filled(self, batch: _Batch, columns: dict[str, list[np.ndarray]],
                lengths: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of a batch, padded."""
        filled = {name: _padded(batch, arrays, self._networks.steps[name], self._padding)
                  for name, arrays in columns.items()}
        vocabularies = self._networks.vocabularies
        warn_of_ids(vocabularies, {name: filled[name].max() for name in vocabularies
                                   if name in filled})
        if self._time == 0:
            filled = {name: array.swapaxes(0, 1) for name, array in filled.items()}
        valid = np.ones(batch.rows)
        valid[:len(batch.chosen)] = lengths[batch.chosen]
        filled[self._length_name] = valid
        return filled

    def _collected(self, running: _Running, lengths: np.ndarray) -> tuple[np.ndarray, list[Result]]:
        """The numbers of a batch's sequences, and the outputs of each."""
        batch, executor, outputs = running
        arrays = [output.asnumpy() for output in outputs]
        by_row = self._networks.outputs.by_row(
            arrays, lambda: self._networks.run_reversed(executor), batch.rows, batch.length)
        rows = [[axes.without_padding(output[i], lengths[place]) for axes, output in
                 zip(self._networks.outputs.axes, by_row)] for i, place in enumerate(batch.chosen)]
        return batch.chosen, [row[0] if len(row) == 1 else row for row in rows]


class _Batch(NamedTuple):
    """Sequences that run together, the length of their graph, and the number of rows."""

    chosen: np.ndarray
    length: int
    rows: int


#: A batch that is being computed, its executor, and its outputs.
_Running = Tuple[_Batch, mx.executor.Executor, List[mx.nd.NDArray]]


def _columns(sequences: Sequences, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The argument `sequences` as arrays, by the names of the network's inputs."""
    if not isinstance(sequences, dict):
        if len(names) > 1:
            raise TypeError('sequences must be a dict of lists, because the network has inputs %s'
                            % ', '.join(names))
        sequences = {names[0]: sequences}
    if sequences.keys() != set(names):
        raise ValueError('sequences must have the names %s, got %s' % (
            ', '.join(names), ', '.join(map(str, sequences))))
    return {name: [_array(i, each) for i, each in enumerate(_check.iterable(
        'sequences', sequences[name], 'sequences'))] for name in names}


def _array(number: int, sequence: object) -> np.ndarray:
    """A sequence as an array."""
    if isinstance(sequence, mx.nd.NDArray):
        sequence = sequence.asnumpy()
    name = 'sequences[%d]' % number
    array = _check.array(name, sequence, 'a sequence of numbers', range(1, 33))
    if not len(array):
        raise ValueError('%s must have at least one step, got none' % name)
    return array


def _batches(lengths: np.ndarray, buckets: Sequence[int], batch_size: int) -> Iterator[_Batch]:
    """Sequences that run together, of the lengths `lengths`."""
    places = np.searchsorted(buckets, lengths)
    # Lengths beyond the buckets are sorted, for little padding.
    order = np.lexsort((np.where(places == len(buckets), lengths, 0), places))
    for place in np.unique(places):
        inside = order[places[order] == place]
        for i in range(0, len(inside), batch_size):
            chosen = inside[i:i + batch_size]
            length = buckets[place] if place < len(buckets) else int(lengths[chosen].max())
            rows = min(batch_size, 1 << (len(chosen) - 1).bit_length())
            yield _Batch(chosen, length, rows)


def _padded(batch: _Batch, arrays: Sequence[np.ndarray], step: tuple[int, ...], padding: float
           ) -> np.ndarray:
    """A batch's arrays as one, of shape (rows, length, ...); each step has the shape `step`."""
    array = np.full((batch.rows, batch.length) + step, padding,
                    np.result_type(*{arrays[i].dtype for i in batch.chosen},
                                   np.min_scalar_type(padding)))
    for row, i in zip(array, batch.chosen):
        row[:len(arrays[i])] = arrays[i]
    return array
