"""The position of training: in the data and the random generators, and the states carried along.

MXNet's generator can be seeded but not read. So a save draws a seed from it, stores the seed, and
seeds the generator with it. Training goes on from there exactly as a resumed run does.
"""
from __future__ import annotations

import contextlib
import functools
import random
import weakref
from typing import Any, Callable, Dict, Iterator, NamedTuple, Protocol

import numpy as np

from .. import _check
from .._cells.carried_states import CarriedStates
from .._files import CheckpointError, failing
from .._files.checkpoint_files import Place
from .._runtime.mxnet import mx

__all__ = ['Data', 'Here', 'Position', 'batches_done', 'check_callbacks', 'check_data',
           'check_entries', 'go_to', 'take']

#: Plain values and NumPy arrays, by the names in `_ENTRIES`.
Position = Dict[str, Any]


class Data(Protocol):
    """An iterator that has a position, as mxrnn's have."""

    def __len__(self) -> int: ...
    def state_dict(self, batches: int) -> dict[str, object]: ...
    def load_state_dict(self, state: dict[str, object]) -> None: ...
    def reset(self) -> None: ...


class Here(NamedTuple):
    """The training whose position is taken.

    Attributes
    ----------
    module : Module
        The trained module; for a BucketingModule, the current bucket.
    data : DataIter
        An iterator with a position.
    batches : int
        How many batches of the epoch are done.
    ended : bool
        Whether these are all.
    """

    module: mx.mod.BaseModule
    data: Data
    batches: int
    ended: bool


class _Entry(NamedTuple):
    """An entry of a position.

    `take` reads it from the training. `give` sets it in the process or in a module that has its
    optimiser; `fault` puts its errors into words. Files of older versions may lack all that are not
    `needed`.
    """

    kind: type
    take: Callable[[Here], object]
    give: Callable[[mx.mod.BaseModule, Any], None] | None = None
    fault: str = ''
    needed: bool = False


def _drawn_seed(here: Here) -> int:
    seed = int(mx.nd.random.randint(0, 2 ** 31 - 1, shape=(1,)).asscalar())
    mx.random.seed(seed)
    return seed


def _carried(here: Here) -> list[list[np.ndarray]]:
    """The states of `carry_states`: for each, the array on each device."""
    if not getattr(here.module, '_state_names', None):
        return []
    return [[array.asnumpy() for array in arrays]
            for arrays in here.module.get_states(merge_multi_context=False)]


def _carry_on(module: mx.mod.BaseModule, carried: list[list[np.ndarray]]) -> None:
    if carried:
        module.set_states(states=[[mx.nd.array(array, dtype=array.dtype) for array in arrays]
                                  for arrays in carried])


def _generators(_: object = None) -> dict[str, Any]:
    return {'python': random.getstate(), 'numpy': np.random.get_state()}


def _set_generators(_: object, generators: dict[str, Any]) -> None:
    random.setstate(generators['python'])
    np.random.set_state(_check.generator_state(generators['numpy']))


_first = functools.partial(_Entry, needed=True)  #: an entry that files of all versions have
#: To add an entry, add a row of `_Entry`.
_ENTRIES = {
    'batches': _first(int, lambda here: here.batches),
    'ended': _first(bool, lambda here: here.ended),
    'data': _first(object, lambda here: here.data.state_dict(here.batches)),
    'seed': _first(int, _drawn_seed, lambda _, seed: mx.random.seed(seed)),
    'carried': _first(list, _carried, _carry_on, 'has other states to carry on than the module'),
    'random': _first(dict, _generators, _set_generators, 'has no states of random generators'),
}

#: For modules that resume within an epoch: the epoch, and the number of batches done before.
_resumed: weakref.WeakKeyDictionary[mx.mod.BaseModule, Place] = weakref.WeakKeyDictionary()


def check_data(data: object, method: str, module: mx.mod.BaseModule | None) -> None:
    """Check the argument `data`, which needs this method and a module."""
    if data is not None:
        if not hasattr(data, method):
            _check.instance('data', data, (), 'an iterator with %s, or None' % method)
        if module is None:
            raise ValueError('data needs module, got None: pass the module as module=')


def take(here: Here) -> Position:
    """The position; seeds MXNet's generator anew."""
    return {name: entry.take(here) for name, entry in _ENTRIES.items()}


def check_entries(position: object, path: str) -> Position:
    """Refuse anything but a position, as `CheckpointError` for the file `path`."""
    found = position if isinstance(position, dict) else {}
    lacking = [name for name, entry in _ENTRIES.items()
               if not (isinstance(found[name], entry.kind) if name in found else not entry.needed)]
    if not lacking and not all(isinstance(arrays, list) and all(
            isinstance(array, np.ndarray) for array in arrays) for arrays in found['carried']):
        lacking = ['carried']
    if lacking:
        raise CheckpointError('%s has no position in the data: %s is missing or of another type'
                              % (path, lacking[0]))
    with _generators_kept():
        _give('random', None, found, path)
    return found


def _give(name: str, module: mx.mod.BaseModule | None, position: Position, path: str) -> None:
    give, fault = _ENTRIES[name].give, _ENTRIES[name].fault
    if give is None or name not in position:
        return
    with failing('%s %s' % (path, fault)):
        give(module, position[name])  # type: ignore[arg-type]


def go_to(position: object, module: mx.mod.BaseModule, data: Data, epoch: int, path: str
          ) -> Callable[[mx.mod.BaseModule], None]:
    """Move `data` to the position; return a function that moves `module` and the generators.

    Raises
    ------
    ValueError
        The position is for other data, or for an iterator with other arguments.
    CheckpointError
        It is not a position.
    """
    there = dict(check_entries(position, path))
    with _generators_kept():
        _give('random', None, there, path)
        data.load_state_dict(there['data'])
        if there['ended']:  # fit does this before the next epoch
            data.reset()
            there.update(batches=0, random=_generators())

    def go_on(holder: mx.mod.BaseModule) -> None:
        _resumed[module] = epoch, there['batches']
        for name in _ENTRIES:
            _give(name, holder, there, path)

    return go_on


def batches_done(module: mx.mod.BaseModule, epoch: int, since: int) -> int:
    """How many batches of the epoch are done, if `since` are done since `fit` began it."""
    begun, before = _resumed.get(module, (-1, 0))
    if begun == epoch:
        return since + before
    _resumed.pop(module, None)
    return since


def check_callbacks(callback: object, where: dict[str, Any], module: mx.mod.BaseModule) -> None:
    """Refuse to save carried states that the next batch does not begin with."""
    called = where.get('batch_end_callback')
    called = list(called) if isinstance(called, (list, tuple)) else [called]
    later = called[called.index(callback) + 1:] if callback in called else []
    if any(isinstance(each, CarriedStates) for each in later):
        raise ValueError('batch_end_callback must list the result of carry_states before that of '
                         'do_rnn_checkpoint, so that the saved states are those with which the '
                         'next batch begins')
    if len(getattr(module, '_buckets', ())) > 1 and getattr(
            module._curr_module, '_state_names', None):
        raise ValueError('batches must be None for a BucketingModule that carries states through '
                         'several buckets: only one of them would be resumed')


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore the generators after the block."""
    before = _generators()
    try:
        yield
    finally:
        _set_generators(None, before)
