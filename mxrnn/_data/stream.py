"""StreamIter: one long text in batches that continue each other."""
from __future__ import annotations

import logging
import os
from typing import Iterable, Literal, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from .base_iterator import Described, Layout, State, TokenIter, gather, part
from .corpus import is_corpus, open_corpus
from .tokens import Packed, numbers, pack

__all__ = ['StreamIter']

_log = logging.getLogger('mxrnn.io')


class StreamIter(TokenIter):
    """One long text in batches, each of which continues the batch before.

    The text is cut into `batch_size` streams of equal length, one after the other in the text
    (Zaremba et al. 2014, https://arxiv.org/abs/1409.2329). Each batch has the next `bptt` steps of
    every stream. Row b of a batch continues row b of the batch before, so an RNN can begin each
    batch with the final states of the last. The label of each step is the next token, even if that
    is in the next batch or the next stream.

    Shapes are (batch_size, bptt) with `layout='NT'`, (bptt, batch_size) with 'TN'.

    Set the states to zero when an epoch begins. `batch.new_epoch` is then True, and the first entry
    of `batch.index` is 0, which `mx.io.PrefetchingIter` passes on.

    Parameters
    ----------
    tokens : iterable of int, or path
        The encoded text, such as `itertools.chain.from_iterable(encoded_sentences)`. Or a corpus on
        disk, as its path or from `read_tokens`, whose sentences are one text.
    batch_size : int
        Number of streams. Tokens that are too few for one more step are dropped.
    bptt : int
        Steps in a batch, through which gradients flow.
    invalid_label : number
        The label of steps behind a stream's end.
    data_name, label_name, dtype, layout
        As for `BucketSentenceIter`.
    last_batch : {'discard', 'pad'}
        How to treat the streams' last steps if they are fewer than `bptt`: drop them, or fill up
        with steps whose label is `invalid_label`.
    num_parts, part_index : int
        How many workers share the text, and the number of this one, from 0 on. The text is cut into
        `batch_size` streams for each worker.

    Attributes
    ----------
    curr_idx, num_batches : int
        The next batch, and the number of batches in an epoch.
    discarded : int
        Tokens that are no step's label in any part, not counting the first one, which cannot be a
        label.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> stream = rnn.StreamIter(range(9), batch_size=2, bptt=2)
    >>> for batch in stream:
    ...     print(batch.data[0].asnumpy().tolist(), batch.label[0].asnumpy().tolist())
    [[0.0, 1.0], [4.0, 5.0]] [[1.0, 2.0], [5.0, 6.0]]
    [[2.0, 3.0], [6.0, 7.0]] [[3.0, 4.0], [7.0, 8.0]]
    """

    continues = True
    data_name: str

    def __init__(self, tokens: Iterable[int] | str | os.PathLike[str], batch_size: int, bptt: int,
                 invalid_label: float = -1, data_name: str = 'data',
                 label_name: str = 'softmax_label', dtype: _check.DType = 'float32',
                 layout: Layout = 'NT', *, last_batch: Literal['discard', 'pad'] = 'discard',
                 num_parts: int = 1, part_index: int = 0) -> None:
        super().__init__(batch_size, invalid_label,
                         {'data_name': data_name, 'label_name': label_name}, dtype, layout,
                         num_parts, part_index)
        self._data_names = [data_name]
        self.bptt = self.default_bucket_key = _check.integer('bptt', bptt, 1, _check.LARGEST)
        self.last_batch = _check.choice('last_batch', last_batch, ('discard', 'pad'))
        if is_corpus(tokens):
            self._held = {'tokens': open_corpus('tokens', tokens, self._dtype)}
        else:
            if not isinstance(tokens, (Sequence, np.ndarray)):
                tokens = list(_check.iterable('tokens', tokens, 'numbers'))  # type: ignore[arg-type]
            values = numbers('tokens', tokens)
            self._held = {'tokens': Packed(
                pack('tokens', [values], values.size, self._dtype),
                np.array([0, values.size]))}
        count = self._held['tokens'].tokens.size
        streams = self.batch_size * self.num_parts
        steps = (count - 1) // streams
        pads = self.last_batch == 'pad'
        if steps < (1 if pads else self.bptt):
            raise ValueError('tokens must be at least %d for one batch with batch_size=%d, '
                             'bptt=%d, last_batch=%r and num_parts=%d, got %d'
                             % (streams * (1 if pads else self.bptt) + 1, self.batch_size,
                                self.bptt, self.last_batch, self.num_parts, count))
        self._steps = steps if pads else steps - steps % self.bptt
        first = self.batch_size * self.part_index
        self._starts = np.arange(first, first + self.batch_size) * self._steps
        self.num_batches = -(-self._steps // self.bptt)
        self.discarded = count - 1 - streams * self._steps
        self._log_losses(count, streams)
        self.provide_data, self.provide_label = self._describe(self.bptt)
        self.reset()

    def _log_losses(self, count: int, streams: int) -> None:
        """Say in one line what is left out; it is a warning if anything is."""
        if not self.discarded:
            _log.info('%d tokens: none is left out', count)
        elif self.discarded == (count - 1) % streams:  # last_batch='pad' would keep no more
            _log.warning('%d tokens: %d discarded, too few for one more step of %d streams', count,
                         self.discarded, streams)
        else:
            _log.warning("%d tokens: %d discarded, too few for one more batch of %d steps of %d "
                         "streams; last_batch='pad' keeps all but %d", count, self.discarded,
                         self.bptt, streams, (count - 1) % streams)

    def reset(self) -> None:
        """Begin an epoch: the next batch is the first one."""
        self.curr_idx = 0

    def __len__(self) -> int:
        return self.num_batches

    def __repr__(self) -> str:
        return '%s(%d tokens, %d batches of %d steps of %d streams)' % (
            type(self).__name__, self._held['tokens'].tokens.size, len(self), self.bptt,
            self.batch_size)

    def _describe(self, length: int) -> Described:
        return [self._data_desc(self.data_name, length)], [self._label_desc(length)]

    def _settings(self) -> State:
        return {'batch_size': self.batch_size, 'bptt': self.bptt, 'last_batch': self.last_batch,
                'num_parts': self.num_parts}

    def _go_to(self, done: object, epochs: Sequence[State]) -> None:
        self.curr_idx = _check.integer("state['batches']", done, 0, len(self))

    def next(self) -> mx.io.DataBatch:
        """Return the next batch of this epoch."""
        if self.curr_idx >= self.num_batches:
            raise StopIteration
        done = self.curr_idx * self.bptt
        starts = self._starts + done
        sizes = np.full(self.batch_size, self._steps - done + 1)
        rows = gather(self._held['tokens'].tokens, starts, sizes, self.bptt + 1, self._padding)
        both = self._block(rows[None])
        batch = self._batch([part(both, 0)], [part(both, 1)], self.bptt, index=starts)
        batch.new_epoch = self.curr_idx == 0
        self.curr_idx += 1
        return batch
