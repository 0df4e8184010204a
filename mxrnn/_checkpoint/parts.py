"""The positions of several workers, of which each has a part of the data.

The worker of rank 0 writes the parameters and the states of the optimiser, which all workers have
alike. Each worker writes a file with the position of its part. What belongs together has the same
checksum of the weights: the states tell it, and how many parts there are, and each part's file has
it. A checkpoint is used by all workers or, if one part is missing or belongs to other weights, by
none. No worker is ahead of another by more than a batch, as each waits for the gradients of all.
So when one saves, the parts of the checkpoint before are written, and it can look whether they fit.
"""
from __future__ import annotations

import os
import zlib
from typing import Any

from .._files import atomic
from .._files import names as files
from .._files.errors import CheckpointError, reason_of
from . import position, resume, states

__all__ = ['check', 'fault', 'read', 'save']


def check(data: Any, module: Any, workers: int, rank: int) -> None:
    """Refuse data that is not the part of this worker, and optimisers in servers."""
    found = getattr(data, 'num_parts', 1)
    if found != workers:
        raise ValueError('data must have num_parts=%d where %d workers train, got num_parts=%s'
                         % (workers, workers, found))
    found = getattr(data, 'part_index', 0)
    if found != rank:  # two workers with the same part would write the same file
        raise ValueError('data must have part_index=%d in the worker of rank %d, got part_index=%s'
                         % (rank, rank, found))
    if resume.optimizer_of(module) is None:
        raise ValueError('data must be None where %d workers train and servers have the optimiser; '
                         'with MXNET_UPDATE_ON_KVSTORE=0 and a synchronous store the workers have '
                         'it' % workers)


def save(prefix: str, place: tuple[int, int], data: Any, here: dict[str, Any],
         arg_params: dict[str, Any]) -> dict[str, Any]:
    """Write `here`, where this worker stands; returns what the file of states is to tell."""
    weights = 0
    for name in sorted(arg_params):
        weights = zlib.crc32(arg_params[name].asnumpy().tobytes(), weights)
    path = files.path_of(prefix, files.part(data.part_index), *place)
    try:
        with atomic.replacing([path]) as stage, open(
                os.path.join(stage, os.path.basename(path)), 'wb') as stream:
            stream.write(states.encode_part(here, weights))
    except OSError as error:
        raise CheckpointError('cannot save %s: %s'
                              % (path, atomic.without_stage(reason_of(error)))) from error
    return {'parts': data.num_parts, 'weights': weights}


def read(prefix: str, place: tuple[int, int], told: dict[str, Any], data: Any) -> dict[str, Any]:
    """The position of the part that `data` is, if those of all parts are there.

    Parameters
    ----------
    told : dict
        What `save` returned, as the file of states has it.

    Raises
    ------
    CheckpointError
        The file of a part is missing, damaged, has no position or was written for other weights,
        or the file of states does not tell how many parts there are.
    """
    count, weights = told.get('parts'), told.get('weights')
    if not (isinstance(count, int) and count > 0 and isinstance(weights, int)
            and 0 <= weights < 1 << 32):
        raise CheckpointError('%s must have parts, an integer of at least 1, and weights, a '
                              'checksum of 32 bits, got parts=%.100r and weights=%.100r' % (
                                  files.path_of(prefix, 'states', *place), count, weights))
    found = []
    for number in range(count):  # all of them, so that all workers refuse what one must refuse
        path = files.path_of(prefix, files.part(number), *place)
        found.append(states.read_part(path, weights))
        position.check(found[-1], path)
    # Another number of parts is refused by `data`, whichever position it is given.
    return found[getattr(data, 'part_index', 0) % count]


def fault(prefix: str, place: tuple[int, int], told: dict[str, Any], data: Any) -> str:
    """Why `read` would refuse a checkpoint; empty if it would not."""
    try:
        read(prefix, place, told, data)
        return ''
    except CheckpointError as error:
        return str(error)
