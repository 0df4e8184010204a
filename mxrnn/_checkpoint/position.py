"""Where training stands: in the data, in the random generators, and the states carried along.

MXNet's generator can be seeded but not read. So a save draws a seed from it, stores the seed and
seeds the generator anew: training goes on from there as a run does that was resumed.

Where several workers train, each has a part of the data. The worker of rank 0 writes the parameters
and the states of the optimiser, which all workers have alike. Each worker writes a file with the
position of its part. What belongs together has the same checksum of the weights: the states tell
it, and how many parts there are, and each part's file has it. A checkpoint is used by all workers
or, if one part is missing or belongs to other weights, by none. No worker is ahead of another by
more than a batch, as each waits for the gradients of all. So when one saves, the parts of the
checkpoint before are written, and it can look whether they fit.
"""
from __future__ import annotations

import contextlib
import os
import random
import weakref
import zlib
from typing import Any, Callable, Iterator

import numpy as np

from .. import _check
from .._cells.carry import CarriedStates
from .._files import atomic
from .._files import names as files
from .._files.errors import CheckpointError, reason_of
from .._runtime.mxnet import mx
from . import resume, states

__all__ = ['batches_done', 'check_callbacks', 'check_part', 'fault', 'go_to', 'read_part',
           'save_part', 'take']

#: What a position has.
_ENTRIES: dict[str, type] = {'batches': int, 'ended': bool, 'data': object, 'seed': int,
                             'carried': list, 'random': dict}

#: Of modules that go on within an epoch: the epoch, and the batches that were done before.
_resumed: weakref.WeakKeyDictionary[Any, tuple[int, int]] = weakref.WeakKeyDictionary()


def take(holder: Any, data: Any, batches: int, ended: bool) -> dict[str, Any]:
    """The position, of plain values and NumPy arrays; seeds MXNet's generator anew.

    Parameters
    ----------
    holder : Module
        Which is trained; of a BucketingModule, the current bucket.
    data : DataIter
        With a `state_dict`.
    batches : int
        How many batches of the epoch are done.
    ended : bool
        Whether these are all.
    """
    carried = []
    if getattr(holder, '_state_names', None):
        carried = [[array.asnumpy() for array in arrays]
                   for arrays in holder.get_states(merge_multi_context=False)]
    seed = int(mx.nd.random.randint(0, 2 ** 31 - 1, shape=(1,)).asscalar())
    mx.random.seed(seed)
    return {'batches': batches, 'ended': ended, 'data': data.state_dict(batches), 'seed': seed,
            'carried': carried, 'random': _generators()}


def check(position: Any, path: str) -> None:
    """Refuse what is no position, as `CheckpointError` of the file `path`."""
    lacking = [name for name, kind in _ENTRIES.items()
               if not (isinstance(position, dict) and name in position
                       and isinstance(position[name], kind))]
    if not lacking and not all(isinstance(arrays, list) and all(
            isinstance(array, np.ndarray) for array in arrays) for arrays in position['carried']):
        lacking = ['carried']
    if lacking:
        raise CheckpointError('%s has no position in the data: %s is missing or of another type'
                              % (path, lacking[0]))
    with _as_they_are():
        _set_generators(position['random'], path)


def go_to(position: dict[str, Any], module: Any, data: Any, epoch: int, path: str
          ) -> Callable[[Any], None]:
    """Let `data` go to the position, and return what lets `module` and the generators go there.

    Raises
    ------
    ValueError
        The position is of other data, or of an iterator with other arguments.
    CheckpointError
        It is no position.
    """
    check(position, path)
    generators, batches = position['random'], position['batches']
    with _as_they_are():
        _set_generators(generators, path)
        data.load_state_dict(position['data'])
        if position['ended']:  # what fit does before the next epoch
            data.reset()
            generators, batches = _generators(), 0

    def go_on(holder: Any) -> None:
        carried = position['carried']
        if carried:
            try:
                holder.set_states(states=[[mx.nd.array(array, dtype=array.dtype)
                                           for array in arrays] for arrays in carried])
            except (AssertionError, TypeError, ValueError, mx.base.MXNetError) as error:
                raise CheckpointError('%s has other states to carry on than the module: %s'
                                      % (path, reason_of(error))) from error
        _resumed[module] = epoch, batches
        mx.random.seed(position['seed'])
        _set_generators(generators, path)

    return go_on


def batches_done(module: Any, epoch: int, since: int) -> int:
    """How many batches of the epoch are done, if `since` are since `fit` began it."""
    resumed = _resumed.get(module)
    if resumed and resumed[0] == epoch:
        return since + int(resumed[1])
    _resumed.pop(module, None)
    return since


def check_callbacks(callback: Any, where: dict[str, Any], module: Any) -> None:
    """Refuse to save carried states that are not those of the next batch."""
    called = where.get('batch_end_callback')
    called = list(called) if isinstance(called, (list, tuple)) else [called]
    later = called[called.index(callback) + 1:] if callback in called else []
    if any(isinstance(each, CarriedStates) for each in later):
        raise ValueError('batch_end_callback must name what carry_states returned first, and then '
                         'what do_rnn_checkpoint returned, so that the saved states are those that '
                         'the next batch begins with')
    if len(getattr(module, '_buckets', ())) > 1 and getattr(
            module._curr_module, '_state_names', None):
        raise ValueError('batches must be None for a BucketingModule that carries states through '
                         'several buckets: only one of them would be resumed')


def _generators() -> dict[str, Any]:
    return {'python': random.getstate(), 'numpy': np.random.get_state()}


def _set_generators(states: dict[str, Any], path: str) -> None:
    try:
        random.setstate(states['python'])
        np.random.set_state(_check.generator_state(states['numpy']))
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise CheckpointError('%s has no states of random generators: %s'
                              % (path, error)) from error


@contextlib.contextmanager
def _as_they_are() -> Iterator[None]:
    """Leave the generators as they are before the block."""
    before = _generators()
    try:
        yield
    finally:
        random.setstate(before['python'])
        np.random.set_state(before['numpy'])


def check_part(data: Any, module: Any, workers: int, rank: int) -> None:
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


def save_part(prefix: str, place: tuple[int, int], data: Any, here: dict[str, Any],
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


def read_part(prefix: str, place: tuple[int, int], told: dict[str, Any], data: Any
              ) -> dict[str, Any]:
    """The position of the part that `data` is, if those of all parts are there.

    Parameters
    ----------
    told : dict
        What `save_part` returned, as the file of states has it.

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
        check(found[-1], path)
    # Another number of parts is refused by `data`, whichever position it is given.
    return found[getattr(data, 'part_index', 0) % count]


def fault(prefix: str, place: tuple[int, int], told: dict[str, Any], data: Any) -> str:
    """Why `read_part` would refuse a checkpoint; empty if it would not."""
    try:
        read_part(prefix, place, told, data)
        return ''
    except CheckpointError as error:
        return str(error)
