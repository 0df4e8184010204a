"""Several workers that train together: the position of each, and agreement on one checkpoint.

Each worker has a part of the data. The worker of rank 0 writes the parameters and the optimiser's
states, which are equal in all workers. Each worker writes a file with the position of its part.
Files that belong together have the same checksum of the weights: the file of states has it with the
number of parts, and each part's file has it. A checkpoint is used by all workers, or by none if a
part is missing or has other weights. Each worker waits for the gradients of all, so none is more
than a batch ahead. So when one saves, all parts of the previous checkpoint are written, and it can
check whether they fit.
"""
from __future__ import annotations

import itertools
import logging
import os
import zlib
from typing import Callable, Dict, Iterator, Tuple

from .._files import CheckpointError, atomic
from .._files import checkpoint_files as files
from .._files.checkpoint_files import Place
from .._runtime import heartbeat_watch
from .._runtime.mxnet import mx
from . import optimizer_states as _optimizer
from .optimizer_states import Extra
from .position import Data, Here, Position, check_entries, take

__all__ = ['Chosen', 'UnfinishedError', 'agree', 'check_part', 'checksum_of', 'read_part',
           'save_part']

_log = logging.getLogger('mxrnn.rnn')

#: A checkpoint's epoch and batch, and its parameters.
Chosen = Tuple[int, int, Dict[str, mx.nd.NDArray]]

_rounds = itertools.count()


class UnfinishedError(CheckpointError):
    """Several workers were stopped while they wrote their first checkpoint."""


def check_part(data: Data, module: mx.mod.BaseModule, workers: int, rank: int) -> None:
    """Refuse data that is not this worker's part, and optimisers in servers."""
    found = getattr(data, 'num_parts', 1)
    if found != workers:
        raise ValueError('data must have num_parts=%d where %d workers train, got num_parts=%s'
                         % (workers, workers, found))
    found = getattr(data, 'part_index', 0)
    if found != rank:  # two workers with the same part would write the same file
        raise ValueError('data must have part_index=%d in the worker of rank %d, got part_index=%s'
                         % (rank, rank, found))
    if _optimizer.optimizer_of(module) is None:
        raise ValueError('data needs the optimiser in the %d workers, but servers have it: set '
                         'MXNET_UPDATE_ON_KVSTORE=0 and train with a synchronous store' % workers)


def checksum_of(arg_params: dict[str, mx.nd.NDArray]) -> int:
    """A 32-bit checksum by which workers see whether they have the same weights."""
    weights = 0
    for name in sorted(arg_params):
        weights = zlib.crc32(arg_params[name].asnumpy().tobytes(), weights)
    return weights


def save_part(prefix: str, place: Place, here: Here, arg_params: dict[str, mx.nd.NDArray]) -> Extra:
    """Write this worker's position; returns what the file of states stores about it."""
    weights = checksum_of(arg_params)
    index, count = (getattr(here.data, name) for name in ('part_index', 'num_parts'))
    path = files.path_of(prefix, files.part(index), *place)
    with atomic.saving(path, [path]) as (staged,), open(staged, 'wb') as stream:
        stream.write(_optimizer.encode_part(take(here), weights))
    return Extra(parts=count, weights=weights)


def read_part(prefix: str, place: Place, told: Extra, data: Data) -> Position:
    """The position of the part `data`, if the positions of all parts exist.

    Parameters
    ----------
    told : Extra
        The result of `save_part`, from the file of states.

    Raises
    ------
    CheckpointError
        A part's file is missing or damaged, has no position or other weights; or the file of states
        does not have the number of parts. UnfinishedError if a part is missing and no checkpoint of
        this training was whole before.
    """
    count, weights = told.parts, told.weights
    if not (isinstance(count, int) and count > 0 and isinstance(weights, int)
            and 0 <= weights < 1 << 32):
        raise CheckpointError('%s must have parts, an integer of at least 1, and weights, a '
                              'checksum of 32 bits, got parts=%.100r and weights=%.100r' % (
                                  files.path_of(prefix, 'states', *place), count, weights))
    found = []
    try:
        for number in range(count):  # all of them, so that all workers refuse together
            path = files.path_of(prefix, files.part(number), *place)
            found.append(check_entries(_optimizer.read_part(path, weights), path))
    except CheckpointError as error:
        if told.first is True and not all(os.path.exists(files.path_of(
                prefix, files.part(number), *place)) for number in range(count)):
            raise UnfinishedError(str(error)) from None
        raise
    # `data` refuses another number of parts, whichever position it gets.
    return found[getattr(data, 'part_index', 0) % count]


def agree(prefix: str, data: object, chosen: Callable[[], Chosen | None]) -> Iterator[Place]:
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


def _store(data: object) -> mx.kv.KVStore | None:
    """Return the store for as many workers as `data` has parts, if it already exists."""
    parts = getattr(data, 'num_parts', 1)
    return next((store for store in heartbeat_watch.stores()
                 if parts > 1 and store.num_workers == parts and '_async' not in store.type), None)


def _gathered(store: mx.kv.KVStore, mine: Chosen | None) -> list[tuple[int, int, int, int] | None]:
    """Return epoch, batch, and a checksum in two halves, of each worker's choice."""
    row = [0, 0, 0, 0, 0]
    if mine is not None:
        checksum = checksum_of(mine[2])
        row = [1, mine[0], mine[1], checksum >> 16, checksum & 0xffff]
    rows = mx.nd.zeros((store.num_workers, len(row)))  # each number below 2 ** 24, so exact
    key = 'mxrnn_checkpoint_%d' % next(_rounds)
    store.init(key, rows)
    rows[store.rank] = mx.nd.array(row)
    store.push(key, rows)  # the store adds up what all workers push
    store.pull(key, rows)
    return [(int(row[1]), int(row[2]), int(row[3]), int(row[4])) if row[0] else None
            for row in rows.asnumpy()]
