"""SentencePairIter: pairs of sentences in batches of about two lengths."""
from __future__ import annotations

import os
from typing import Literal, Sequence

from .. import _check
from .batches import Layout
from .bucketed import BucketedIter, LastBatch, TooLong

__all__ = ['SentencePairIter']


class SentencePairIter(BucketedIter):
    """Pairs of sentences, such as translations, in batches of about one length of each.

    A bucket is a pair of lengths. A pair of sentences goes into the bucket of fewest steps that
    both fit into, each padded with `invalid_label` to its length. A batch comes from one bucket:
    its data are sources and targets, of shapes (batch_size, source length) and (batch_size, target
    length) with `layout='NT'`, and its label is of the targets' shape. `batch.bucket_key` is the
    pair of lengths, which `BucketingModule` gives to its function.

    The label of each step is the next token of the target, that of the last token is
    `invalid_label`. So put the ids of a beginning and of an end around each target, and the
    decoder learns all of it. Or give `labels` of your own.

    Order, parts, positions and tokens on disk are as in `BucketSentenceIter`.

    Parameters
    ----------
    sources, targets : sequence of sequence of int, or path
        Encoded sentences, as many of each: both in memory, or both on disk.
    batch_size : int
        Pairs in a batch.
    buckets : sequence of tuple of int, optional
        Pairs of lengths to pad to. None or an empty one takes every pair of lengths of which there
        are at least `batch_size`, and one bucket for the rest, of the longest of these. Buckets
        that get no pair are left out.
    invalid_label : number
        Pads sources, targets and labels.
    source_name, target_name, label_name : str
        Names of the data and of the label.
    dtype, layout
        As for `BucketSentenceIter`.
    labels : sequence of sequence of int, or path
        A label for each token of each target, in memory or on disk as these are.
    shuffle, seed, last_batch
        As for `BucketSentenceIter`.
    too_long : {'discard', 'truncate'}
        What becomes of pairs that fit into no bucket: left out, or cut to the longest length that
        buckets have for sources, and for targets. Pairs of both these lengths are a bucket, too.
    provide_length : bool or {'source', 'target'}
        Whether a batch has the number of tokens of each source, and of each target, padding not
        counted, as further data entries: float32 of shape (batch_size,). True gives both.
    source_length_name, target_length_name : str
        Names of these entries.
    num_parts, part_index
        As for `BucketSentenceIter`.

    Attributes
    ----------
    buckets : list of tuple of int
        The pairs of lengths in use. `default_bucket_key` has the largest of each length.
    idx, curr_idx, discarded, truncated, remainder
        As of `BucketSentenceIter`, of pairs.

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

    def __init__(self, sources: Sequence[Sequence[int]] | str | os.PathLike[str],
                 targets: Sequence[Sequence[int]] | str | os.PathLike[str], batch_size: int,
                 buckets: Sequence[tuple[int, int]] | None = None, invalid_label: float = -1,
                 source_name: str = 'source', target_name: str = 'target',
                 label_name: str = 'softmax_label', dtype: _check.DType = 'float32',
                 layout: Layout = 'NT', *,
                 labels: Sequence[Sequence[int]] | str | os.PathLike[str] | None = None,
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
