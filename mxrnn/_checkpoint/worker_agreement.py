"""Several workers agree on one checkpoint through their store."""
from __future__ import annotations

import itertools
import logging
from typing import Any, Callable, Dict, Iterator, Tuple

from .._files import CheckpointError
from .._files import checkpoint_files as files
from .._files.checkpoint_files import Place
from .._runtime import heartbeat_watch
from .._runtime.mxnet import mx
from . import worker_positions

__all__ = ['Chosen', 'agree']

_log = logging.getLogger('mxrnn.rnn')


#: A checkpoint's epoch and batch, and its parameters.
Chosen = Tuple[int, int, Dict[str, mx.nd.NDArray]]


_rounds = itertools.count()


def agree(prefix: str, data: object, chosen: Callable[[], Chosen | None]
          ) -> Iterator[Place]:
    """Yield the largest epoch and batch to look for, until all workers find the same checkpoint.

    Parameters
    ----------
    prefix : str
        The prefix of the files.
    data : DataIter or None
        The part of this worker. Nothing is yielded without a store for as many workers.
    chosen : callable
        Returns the newest checkpoint that this worker can read and that is not newer than the last
        yielded value, or None.

    Raises
    ------
    CheckpointError
        Only some workers can read a checkpoint, or their weights differ.
    """
    store = _store(data)
    if store is None:
        return
    while True:
        mine = chosen()
        rows = _gathered(store, mine)
        lacking = [rank for rank, row in enumerate(rows) if row is None]
        if lacking and len(lacking) < len(rows):
            raise CheckpointError(
                'no checkpoint of %s can be read by all workers: the worker of rank %s finds none. '
                'Use a shared folder' % (prefix, ', '.join(map(str, lacking))))
        places = [row[:2] for row in rows if row is not None]
        if not places:
            _log.info('Worker %d of %d: no checkpoint of %s', store.rank, len(rows), prefix)
            return
        lowest = min(places)
        if places == [lowest] * len(places):
            break
        if mine is not None and mine[:2] != lowest:
            _log.warning('Skipped a checkpoint: the worker of rank %d cannot read %s',
                         places.index(lowest), files.path_of(prefix, 'params', *mine[:2]))
            yield lowest
    path = files.path_of(prefix, 'params', *lowest)
    if len(set(rows)) > 1:
        raise CheckpointError('%s has other weights in some workers: use a shared folder, or '
                              'copies of the same files' % path)
    _log.info('Worker %d of %d resumes from %s', store.rank, len(rows), path)


def _store(data: object) -> Any:
    """Return the store for as many workers as `data` has parts, if it already exists."""
    parts = getattr(data, 'num_parts', 1)
    return next((store for store in heartbeat_watch.stores()
                 if parts > 1 and store.num_workers == parts and '_async' not in store.type), None)


def _gathered(store: Any, mine: Chosen | None) -> list[tuple[int, int, int, int] | None]:
    """Return epoch, batch, and a checksum in two halves, of each worker's choice."""
    row = [0, 0, 0, 0, 0]
    if mine is not None:
        checksum = worker_positions.checksum_of(mine[2])
        row = [1, mine[0], mine[1], checksum >> 16, checksum & 0xffff]
    rows = mx.nd.zeros((store.num_workers, len(row)))  # each number below 2 ** 24, so exact
    key = 'mxrnn_checkpoint_%d' % next(_rounds)
    store.init(key, rows)
    rows[store.rank] = mx.nd.array(row)
    store.push(key, rows)  # the store adds up what all workers push
    store.pull(key, rows)
    return [(int(row[1]), int(row[2]), int(row[3]), int(row[4])) if row[0] else None
            for row in rows.asnumpy()]
