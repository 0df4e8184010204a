"""Sequences as arrays, and which of them are run together."""
from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx

__all__ = ['Batch', 'batches', 'columns', 'padded']


class Batch(NamedTuple):
    """Which sequences are run together, in a graph of which length, in how many rows."""

    chosen: np.ndarray
    length: int
    rows: int


def columns(sequences: Any, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The argument `sequences` as arrays, by the name of the network's input."""
    if not isinstance(sequences, dict):
        if len(names) > 1:
            raise TypeError('sequences must be a dict of lists, since the network has the inputs %s'
                            % ', '.join(names))
        sequences = {names[0]: sequences}
    if sequences.keys() != set(names):
        raise ValueError('sequences must have the names %s, got %s' % (
            ', '.join(names), ', '.join(map(str, sequences))))
    return {name: [_array(i, each) for i, each in enumerate(_check.iterable(
        'sequences', sequences[name], 'sequences'))] for name in names}


def _array(number: int, sequence: Any) -> np.ndarray:
    """A sequence as an array."""
    try:
        array = sequence.asnumpy() if isinstance(sequence, mx.nd.NDArray) else np.asarray(sequence)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.ndim < 1 or (array.dtype.kind not in 'biuf' and array.size):
        raise TypeError('sequences must hold sequences of numbers, got %.80r as number %d'
                        % (sequence, number))
    if not len(array):
        raise ValueError('sequences must have at least one step, but number %d has none' % number)
    return array


def batches(lengths: np.ndarray, buckets: Sequence[int], batch_size: int) -> Iterator[Batch]:
    """Sequences that are run together, of the lengths `lengths`."""
    places = np.searchsorted(buckets, lengths)
    # Those beyond the buckets come in the order of their lengths, for little padding.
    order = np.lexsort((np.where(places == len(buckets), lengths, 0), places))
    for place in np.unique(places):
        inside = order[places[order] == place]
        for i in range(0, len(inside), batch_size):
            chosen = inside[i:i + batch_size]
            length = buckets[place] if place < len(buckets) else int(lengths[chosen].max())
            rows = min(batch_size, 1 << (len(chosen) - 1).bit_length())
            yield Batch(chosen, length, rows)


def padded(batch: Batch, arrays: Sequence[np.ndarray], step: tuple[int, ...], padding: Any
           ) -> np.ndarray:
    """The arrays of a batch as one, of shape (rows, length, ...); a step has the shape `step`."""
    array = np.full((batch.rows, batch.length) + step, padding,
                    np.result_type(*{arrays[i].dtype for i in batch.chosen},
                                   np.min_scalar_type(padding)))
    for row, i in zip(array, batch.chosen):
        row[:len(arrays[i])] = arrays[i]
    return array
