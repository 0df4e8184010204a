"""BucketSentenceIter and SentencePairIter: batches of sentences of similar length."""
from __future__ import annotations

from typing import Iterator, Literal, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from .base_iterator import Layout
from .bucketed import BucketedIter, LastBatch, TooLong
from .corpus import Sequences

__all__ = ['BucketSentenceIter', 'SentencePairIter']


class _Made(property):
    """An attribute that is made when it is read."""

    def __set__(self, iterator: object, value: object) -> None:
        raise AttributeError(
            '%s of %s cannot be set: it is made when it is read, and batches do not come from it. '
            'Make another iterator with the sentences that you want, or override next()'
            % (self.fget.__name__, type(iterator).__name__))  # type: ignore[union-attr]


class BucketSentenceIter(BucketedIter):
    """Batches of sentences of similar length; the label of each step is the next token, or your
    own.

    Each sentence goes into the smallest bucket that it fits into, padded with `invalid_label` to
    the bucket's length. All sentences of a batch come from one bucket. Data and label have shape
    (batch_size, length) with `layout='NT'`, and (length, batch_size) with 'TN'. The label of a
    sentence's last token is `invalid_label`, unless `labels` has one for it.

    By default, each epoch draws batches in a new random order from the global generators `random`
    and `numpy.random`; equal seeds of both give equal batches.

    Parameters
    ----------
    sentences : sequence of sequence of int, or path
        Encoded sentences: lists, tuples or one-dimensional arrays (see `encode_sentences`), or a
        corpus on disk, as its path or from `read_tokens`. Batches from disk are the same; memory
        then has no tokens, and at most 10 bytes for each sentence (14 from 2**32 tokens on).
    batch_size : int
        Sentences in a batch.
    buckets : sequence of int, optional
        The lengths to pad to. None or an empty sequence takes every length that at least
        `batch_size` sentences have. Buckets without sentences are dropped.
    invalid_label : number
        Pads data and label.
    data_name, label_name : str
        Names of the data and of the label.
    dtype : str or numpy type
        Type of data and label. `provide_data` declares it. `provide_label` always declares float32,
        the type of the predictions with which a loss compares labels.
    layout : {'NT', 'TN', 'NTC', 'TNC'}
        Batch first or time first; passed on to `provide_data` and `provide_label`.
    labels : sequence of sequence of int, or path
        A label for each token of each sentence, such as part-of-speech tags, in memory or on disk
        like `sentences`. By default each token's label is the next token.
    shuffle : bool
        False returns buckets by size, and sentences in the given order.
    seed : int, optional
        Draw from the iterator's own generators. The batches equal those of the global generators
        after `random.seed(seed)` and `numpy.random.seed(seed)`.
    last_batch : {'discard', 'pad', 'roll_over'}
        How to treat the sentences of a bucket that do not fill a batch. 'discard' drops them for
        this epoch. 'pad' fills the batch up with the bucket's first sentences; the batch's `pad` is
        their number. 'roll_over' puts them first in the next epoch, unless `reset` interrupts this
        one.
    too_long : {'discard', 'truncate'}
        How to treat sentences longer than the largest bucket: drop them, or cut them to its length.
    provide_length : bool
            Whether a batch also has each sentence's number of tokens, without padding, as a data
            entry: float32 of shape (batch_size,).
    length_name : str
        Name of that entry.
    num_parts, part_index : int
        How many workers share the sentences, and the number of this one, from 0 on. No sentence is
        in two parts. All parts have as many batches. With the same `seed` in all workers, batches
        with the same number come from the same bucket.

    Attributes
    ----------
    buckets : list of int
        The lengths in use; `default_bucket_key` is the largest.
    idx : list of tuple
        This epoch's batches in order, as bucket and first sentence; `curr_idx` is the next.
    data, nddata, ndlabel : list
        For each bucket, all sentences in this epoch's order, padded, as NumPy array and NDArray,
        and the labels. Made when they are read, and read-only: batches do not come from them.
    seed : int or None
        As given.
    discarded, truncated, remainder : int
        Numbers of sentences: dropped or cut because of their length; dropped in each epoch because
        they fill no batch. For all parts together.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> batches = rnn.BucketSentenceIter([[1, 2, 3], [4, 5], [1, 4, 2], [3, 5]], batch_size=2,
    ...                                  invalid_label=0, shuffle=False)
    >>> for batch in batches:
    ...     print(batch.bucket_key, batch.data[0].asnumpy().tolist())
    2 [[4.0, 5.0], [3.0, 5.0]]
    3 [[1.0, 2.0, 3.0], [1.0, 4.0, 2.0]]

    Tags as labels:

    >>> tagged = rnn.BucketSentenceIter([[1, 2, 3], [4, 5]], 1, [3], labels=[[7, 8, 7], [9, 7]],
    ...                                 shuffle=False)
    >>> next(tagged).label[0].asnumpy().tolist()
    [[7.0, 8.0, 7.0]]
    """

    data_name: str
    length_name: str
    buckets: list[int]
    default_bucket_key: int

    def __init__(self, sentences: Sequences,
                 batch_size: int, buckets: Sequence[int] | None = None, invalid_label: float = -1,
                 data_name: str = 'data', label_name: str = 'softmax_label',
                 dtype: _check.DType = 'float32', layout: Layout = 'NT', *,
                 labels: Sequences | None = None,
                 shuffle: bool = True, seed: int | None = None,
                 last_batch: LastBatch = 'discard', too_long: TooLong = 'discard',
                 provide_length: bool = False, length_name: str = 'length', num_parts: int = 1,
                 part_index: int = 0) -> None:
        self.provide_length = _check.flag('provide_length', provide_length)
        self.length_name = length_name
        names = {'data_name': data_name, 'label_name': label_name}
        if provide_length:
            names['length_name'] = length_name
        super().__init__({'sentences': sentences}, labels, batch_size, buckets, invalid_label,
                         names, dtype, layout, shuffle, seed, last_batch, too_long,
                         {'length_name': 0} if provide_length else {}, num_parts, part_index)

    @_Made
    def data(self) -> list[np.ndarray]:
        arrays = list(self._all_data())
        for values in arrays:
            values.flags.writeable = False
        return arrays

    @_Made
    def nddata(self) -> list[mx.nd.NDArray]:
        return list(map(self._read_only, self._all_data()))

    @_Made
    def ndlabel(self) -> list[mx.nd.NDArray]:
        shift = self._columns[-1].shifts[-1]
        return [self._read_only(rows[:, shift:]) for rows in self._all_rows(-1)]

    def _all_data(self) -> Iterator[np.ndarray]:
        for rows, length in zip(self._all_rows(0), self.buckets):
            yield rows[:, :length].copy()

    def _all_rows(self, column: int) -> Iterator[np.ndarray]:
        """For each bucket, everything that the column's arrays are cut from, in epoch order."""
        for bucket, rows in enumerate(self._order.epoch):
            (starts, sizes), = self._located(bucket, rows)
            yield self._cut(self._columns[column], bucket, starts, sizes)

    def _read_only(self, rows: np.ndarray) -> mx.nd.NDArray:
        made = mx.nd.array(rows, dtype=self.dtype)
        made.__class__ = _ReadOnly
        made.writable = False  # refuses += and similar operators
        return made


class _ReadOnly(mx.nd.NDArray):
    """An NDArray that refuses assignments, because they would have no effect."""

    __slots__: list[str] = []

    def __setitem__(self, key: object, value: object) -> None:
        raise ValueError('nddata and ndlabel are readonly: batches do not come from them')


class SentencePairIter(BucketedIter):
    """Batches of pairs of sentences, such as translations, of similar lengths.

    A bucket is a pair of lengths. A pair of sentences goes into the bucket with the fewest steps
    that fits both, each padded with `invalid_label`. All pairs of a batch come from one bucket. The
    data are sources and targets, of shapes (batch_size, source length) and (batch_size, target
    length) with `layout='NT'`. The label has the targets' shape. `batch.bucket_key` is the pair of
    lengths, which `BucketingModule` passes to its function.

    The label of each step is the next token of the target; the last token's is `invalid_label`. So
    put the ids of a beginning and of an end around each target, and the decoder learns all of it.
    Or give your own `labels`.

    Order, parts, positions and tokens on disk work as in `BucketSentenceIter`.

    Parameters
    ----------
    sources, targets : sequence of sequence of int, or path
        Encoded sentences, as many sources as targets: both in memory, or both on disk.
    batch_size : int
        Pairs in a batch.
    buckets : sequence of tuple of int, optional
        Pairs of lengths to pad to. None or an empty sequence takes every pair of lengths that at
        least `batch_size` pairs have, and one bucket with the longest lengths for the rest. Buckets
        without pairs are dropped.
    invalid_label : number
        Pads sources, targets and labels.
    source_name, target_name, label_name : str
        Names of the data and of the label.
    dtype, layout
        As for `BucketSentenceIter`.
    labels : sequence of sequence of int, or path
        A label for each token of each target, in memory or on disk like the targets.
    shuffle, seed, last_batch
        As for `BucketSentenceIter`.
    too_long : {'discard', 'truncate'}
        How to treat pairs that fit no bucket: drop them, or cut them to the buckets' longest source
        and target lengths. The pair of these two lengths is then a bucket too.
    provide_length : bool or {'source', 'target'}
        Whether a batch also has the number of tokens, without padding, of each source, each target,
        or (True) both, as data entries: float32 of shape (batch_size,).
    source_length_name, target_length_name : str
        Names of these entries.
    num_parts, part_index
        As for `BucketSentenceIter`.

    Attributes
    ----------
    buckets : list of tuple of int
        The pairs of lengths in use. `default_bucket_key` has the largest of each length.
    idx, curr_idx, discarded, truncated, remainder
        As in `BucketSentenceIter`, for pairs.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> pairs = rnn.SentencePairIter([[5, 6], [7]], [[1, 8, 2], [1, 9, 2]], batch_size=2,
    ...                              buckets=[(2, 4)], invalid_label=0, shuffle=False)
    >>> batch = next(pairs)
    >>> [data.asnumpy().tolist() for data in batch.data]
    [[[5.0, 6.0], [7.0, 0.0]], [[1.0, 8.0, 2.0, 0.0], [1.0, 9.0, 2.0, 0.0]]]
    >>> batch.label[0].asnumpy().tolist()
    [[8.0, 2.0, 0.0, 0.0], [9.0, 2.0, 0.0, 0.0]]
    >>> batch.bucket_key
    (2, 4)
    """

    samples = 'pairs'

    source_name: str
    target_name: str
    buckets: list[tuple[int, int]]
    default_bucket_key: tuple[int, int]

    def __init__(self, sources: Sequences,
                 targets: Sequences, batch_size: int,
                 buckets: Sequence[tuple[int, int]] | None = None, invalid_label: float = -1,
                 source_name: str = 'source', target_name: str = 'target',
                 label_name: str = 'softmax_label', dtype: _check.DType = 'float32',
                 layout: Layout = 'NT', *,
                 labels: Sequences | None = None,
                 shuffle: bool = True, seed: int | None = None,
                 last_batch: LastBatch = 'discard', too_long: TooLong = 'discard',
                 provide_length: bool | Literal['source', 'target'] = False,
                 source_length_name: str = 'source_length',
                 target_length_name: str = 'target_length', num_parts: int = 1,
                 part_index: int = 0) -> None:
        if isinstance(provide_length, str):
            sides = [_check.choice('provide_length', provide_length, ('source', 'target'))]
        else:
            sides = ['source', 'target'] if _check.flag('provide_length', provide_length) else []
        self.provide_length = provide_length
        names = {'source_name': source_name, 'target_name': target_name, 'label_name': label_name}
        if 'source' in sides:
            names['source_length_name'] = source_length_name
        if 'target' in sides:
            names['target_length_name'] = target_length_name
        super().__init__({'sources': sources, 'targets': targets}, labels, batch_size, buckets,
                         invalid_label, names, dtype, layout, shuffle, seed, last_batch, too_long,
                         {side + '_length_name': i for i, side in enumerate(('source', 'target'))
                          if side in sides}, num_parts, part_index)
