"""An optimiser's states: their file (``.states``), and a module that resumes with them.

The file begins with a pickle of the states and the optimiser, as MXNet writes it. Then come a
pickle of mxrnn's own data, a dict, and a line with checksums. MXNet, like pickle, reads only the
first pickle. A part's file (``.part-0001``) is such a dict and such a line. The files may come from
strangers.

MXNet's optimisers count updates. Some remember more: averages of a schedule, learning rates, summed
gradients. A program's optimiser may count in any attribute. So the attributes are noted when
training begins, and later changes are the optimiser's progress.

Settings are the constructor's arguments, such as the learning rate. They are taken over only if the
optimiser itself changed them and the program did not set them anew.
"""
from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import logging
import numbers
import pickle
import types
import zlib
from typing import Any, Callable, Dict, Iterable, NamedTuple, TypedDict

import numpy as np

from .._files import CheckpointError, failing, opened
from .._files import checkpoint_files as files
from .._files.params import checksum_of
from .._runtime.mxnet import mx
from .safe_pickle import load_all

__all__ = ['Begun', 'classes_of', 'decode', 'dump', 'encode', 'encode_part', 'Extra',
           'optimizer_of', 'read', 'read_part', 'restore', 'States', 'trained', 'when_done']

_log = logging.getLogger('mxrnn.rnn')

_SEAL = b'\nmxrnn crc32 '


class _Changes(TypedDict):
    """Names of changed attributes, and settings before the change."""

    names: list[str]
    settings: dict[str, object]


Changed = Dict[str, _Changes]  #: of an optimiser and of its scheduler


class Extra(NamedTuple):
    """mxrnn's own pickle. To add an entry, add a row; older files will lack it.

    Attributes
    ----------
    position : dict
        The position of training, if one worker trains.
    parts, weights : int
        If several workers train: the number of positions, and the checksum of their weights.
    first : bool
        Whether no checkpoint of these workers was known to be whole before this one.
    changed : dict
        What the optimiser changed in itself, from `Begun.changed`.
    """

    position: object = None
    parts: object = None
    weights: object = None
    first: object = None
    changed: Changed | None = None


class States(NamedTuple):
    """The content of a file of states; the optimiser is None if the file has none."""

    path: str
    by_parameter: dict[Any, Any]
    optimizer: mx.optimizer.Optimizer | None
    extra: Extra


def encode(states: bytes, extra: Extra, params_path: str) -> bytes:
    """The bytes of the file.

    Parameters
    ----------
    states : bytes
        The result of the module's updater.
    extra : Extra
        Plain values and NumPy arrays.
    params_path : str
        The file of the parameters that the states belong to. It must already exist.
    """
    told = {name: value for name, value in extra._asdict().items() if value is not None}
    content = states + pickle.dumps(told, protocol=4)
    return content + _seal(content, _checksum_of_file(params_path))


def encode_part(position: dict[str, object], weights: int) -> bytes:
    """The bytes of a part's file: the position, for weights with the checksum `weights`."""
    content = pickle.dumps(position, protocol=4)
    return content + _seal(content, weights)


def _seal(content: bytes, parameters: int) -> bytes:
    """The line with the checksums of the `content` before it and of the parameters."""
    return _SEAL + b'%08x %08x' % (zlib.crc32(content), parameters)


def _checksum_of_file(path: str) -> int:
    with open(path, 'rb', buffering=0) as stream:
        return checksum_of(stream)


def read(prefix: str, epoch: int, batch: int = 0) -> bytes:
    """Return the bytes of a checkpoint's states if they are undamaged.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or belongs to other weights.
    """
    with opened(files.path_of(prefix, 'states', epoch, batch)) as stream:
        content = stream.read()
        if _SEAL in content:
            content = _unsealed(content, _checksum_of_file(
                files.path_of(prefix, 'params', epoch, batch)))
    return content


def read_part(path: str, weights: int) -> dict[str, object]:
    """Return the position in a part's file, for weights with the checksum `weights`.

    Raises
    ------
    CheckpointError
        The file cannot be read, is damaged, or belongs to other weights.
    """
    with opened(path) as stream:
        content = _unsealed(stream.read(), weights)
    with failing('%s has no position' % path):  # a stranger's pickle can raise anything
        position, = load_all(content)
        return _dict(position)


def _unsealed(content: bytes, parameters: int) -> bytes:
    """Checks the checksums, and returns the bytes before them."""
    before, mark, sums = content.rpartition(_SEAL)
    intact = _seal(before, parameters)
    if intact[:-8] != mark + sums[:-8]:
        raise ValueError('its checksum does not match')
    if intact != mark + sums:
        raise ValueError('it was written for other weights')
    return before


def _dict(found: object) -> dict[Any, object]:
    if not isinstance(found, dict):  # dict(found) would ask for items, perhaps without end
        raise TypeError('a %s in place of a dict' % type(found).__name__)
    return dict(found)


def decode(path: str, content: bytes, trusted: Iterable[object] = (), placeholders: bool = False
           ) -> States:
    """Build the states from the result of `read`.

    Parameters
    ----------
    path, content
        The file, and the result of `read`.
    trusted, placeholders
        As for `load_all`.

    Raises
    ------
    CheckpointError
        They are not states, or they name something that is not allowed.
    """
    with failing('%s has no states of an optimiser' % path):
        found, *extra = load_all(content, trusted, placeholders)
        by_parameter, optimizer = found if isinstance(found, tuple) else (found, None)
        told = _dict(*extra or [{}])
        return States(path, _dict(by_parameter), optimizer, Extra(**{  # type: ignore[arg-type]
            name: told[name] for name in Extra._fields if name in told}))


def trained(module: mx.mod.BaseModule) -> mx.mod.BaseModule:
    """The module that has the optimiser; for a BucketingModule, one of its buckets."""
    return getattr(module, '_curr_module', None) or module


def _updater(module: mx.mod.BaseModule) -> mx.optimizer.Updater | None:
    """The updater, which applies the optimiser and keeps its states; None if servers do."""
    holder = trained(module)
    return (getattr(holder, '_updater', None)
            or getattr(getattr(holder, '_kvstore', None), '_updater', None))


def dump(module: mx.mod.BaseModule, prefix: str) -> bytes | None:
    """MXNet's pickle of the states, or None if this process does not have them."""
    updater = _updater(module)
    with failing("cannot save the optimiser's states with %s" % prefix):
        return None if updater is None else updater.get_states(dump_optimizer=True)


def optimizer_of(module: mx.mod.BaseModule) -> mx.optimizer.Optimizer | None:
    """A module's optimiser, or None if it has none or servers have it."""
    return getattr(_updater(module), 'optimizer', None)


def when_done(module: mx.mod.BaseModule, method: str, done: bool, act: Callable[[], None],
              instead: bool = False) -> None:
    """Call `act` now if `done`, otherwise after `module` has run its `method`.

    `fit` binds, makes the optimiser and trains in one call, without a callback in between. So the
    module's method is replaced until it has run. With `instead`, `act` is called last, and replaces
    the function that came with `instead` before.
    """
    if done:
        act()
        return
    waiting = getattr(vars(module).get(method), 'waiting', None)
    if waiting is None:
        waiting = _Waiting([], [])

        @functools.wraps(getattr(type(module), method))
        def run(*args: object, **kwargs: object) -> object:
            result = getattr(type(module), method)(module, *args, **kwargs)
            delattr(module, method)  # the class' own again
            for each in waiting.all + waiting.last:
                each()
            return result

        run.waiting = waiting  # type: ignore[attr-defined]
        setattr(module, method, run)
    if instead:
        waiting.last[:] = [act]
    else:
        waiting.all.append(act)


class _Waiting(NamedTuple):
    """The calls that wait for a method to run; `last` has at most one."""

    all: list[Callable[[], None]]
    last: list[Callable[[], None]]


def classes_of(module: mx.mod.BaseModule) -> list[object]:
    """The class of a module's optimiser, and its scheduler's class or function."""
    optimizer = optimizer_of(module)
    scheduler = getattr(optimizer, 'lr_scheduler', None)
    return [each if isinstance(each, types.FunctionType) else type(each)
            for each in (optimizer, scheduler) if each is not None]


def restore(module: mx.mod.BaseModule, states: States) -> None:
    """Give a module's optimiser the states, and the progress of the optimiser that had them."""
    updater = _updater(module)
    if updater is None:
        raise CheckpointError("%s cannot be used: this process does not keep the optimiser's states"
                              % states.path)
    with failing('%s cannot be used' % states.path):  # a stranger's states can be anything
        optimizer = updater.optimizer
        _check_states(trained(module), optimizer, states.by_parameter, states.path)
        # Updater.set_states takes a pickle. Pickling what a file contains could run code that it
        # names.
        updater.states = {key: _copied(state) for key, state in states.by_parameter.items()}
        updater.states_synced = dict.fromkeys(updater.states, False)
        if states.optimizer is None:
            _log.warning("%s has the optimiser's states, but not the number of its updates",
                         states.path)
        else:
            changed = states.extra.changed or _unseen(states.optimizer)
            _carry_progress(states.optimizer, optimizer, changed, states.path)


def _check_states(holder: mx.mod.BaseModule, optimizer: mx.optimizer.Optimizer,
                  states: dict[object, object], path: str) -> None:
    """Refuse states for another number of devices, other parameters or another optimiser."""
    names, copies = holder._param_names, len(holder._context)
    if holder._update_on_kvstore:
        owners = {name: name for name in names}
    else:
        owners = dict(enumerate(name for name in names for _ in range(copies)))
    for key, state in states.items():
        needed = 'no place'
        if key in owners:
            needed = _shapes(optimizer.create_state_multi_precision(
                key, holder._arg_params[owners[key]]), path)
        if _shapes(state, path) != needed:
            raise CheckpointError(
                '%s does not fit the module: the state of %s has the shapes %s, in the module %s. '
                'Resume with the same cells, devices and optimiser as at the save'
                % (path, owners.get(key, key), _shapes(state, path), needed))


def _shapes(state: object, path: str) -> Any:
    """The shapes in a state, nested like the state."""
    if type(state) is list or type(state) is tuple:
        return [_shapes(part, path) for part in state]
    if isinstance(state, mx.nd.NDArray):
        return state.shape
    if state is None or isinstance(state, numbers.Number):
        return None
    raise CheckpointError('%s cannot be used: states must be NDArrays, numbers, None, or lists or '
                          'tuples of them, got %s' % (path, type(state).__name__))


def _copied(state: Any) -> Any:
    """A copy of a state, nested alike, so that no two modules change the same arrays."""
    if isinstance(state, (list, tuple)):
        return type(state)(map(_copied, state))
    return state.copy() if isinstance(state, mx.nd.NDArray) else state


class Begun:
    """An optimiser's attributes before it works."""

    def __init__(self, optimizer: mx.optimizer.Optimizer) -> None:
        self.optimizer = optimizer
        #: Whether it has worked before, so that some of its progress is unknown.
        self.late = optimizer.num_update != optimizer.begin_num_update
        self._attributes = _noted(optimizer)
        self._of_scheduler = _noted(optimizer.lr_scheduler)

    def changed(self) -> Changed:
        """Its changes since then: plain containers, and the optimiser's values."""
        return {'optimizer': self._changes(self.optimizer, self._attributes),
                'scheduler': self._changes(self.optimizer.lr_scheduler, self._of_scheduler)}

    def _changes(self, thing: object, before: dict[str, object]) -> _Changes:
        """Names of changed attributes; for settings, also their first values."""
        settings = _settings(thing)
        now = _own_attributes(thing)
        changed = [name for name in now if name not in before or not _equal(now[name], before[name])
                   or self.late and name not in settings]
        return _Changes(names=changed, settings={name: before.get(name) for name in changed
                                                 if name in settings})


def _unseen(optimizer: mx.optimizer.Optimizer) -> Changed:
    """All attributes except settings, for files without the result of `Begun.changed`."""
    settings = _settings(optimizer)
    names = [name for name in _own_attributes(optimizer) if name not in settings]
    return {'optimizer': _Changes(names=names, settings={}),
            'scheduler': _Changes(names=[], settings={})}


def _carry_progress(saved: mx.optimizer.Optimizer, optimizer: mx.optimizer.Optimizer,
                    changed: Changed, path: str) -> None:
    """Give `optimizer` the progress of `saved`, whose changes `Begun.changed` reported."""
    _carry(saved, optimizer, changed['optimizer'], path)
    ours, theirs = optimizer.lr_scheduler, saved.lr_scheduler
    if changed['scheduler']['names'] and type(ours) is type(theirs):
        _carry(theirs, ours, changed['scheduler'], path)
    _carry_last_rate(theirs, ours, optimizer.num_update)
    # The counts of the updater's device. The optimiser has them under two names.
    optimizer._index_update_count = optimizer._all_index_update_counts[0]


def _carry(saved: object, thing: object, changed: _Changes, path: str) -> None:
    for name in changed['names']:
        if not hasattr(saved, name) or hasattr(getattr(type(thing), name, None), '__get__'):
            continue  # a method or a property, which a file must not set
        value, own, settings = getattr(saved, name), getattr(thing, name, None), changed['settings']
        if name in settings and not _equal(own, value) and not _equal(own, settings[name]):
            _log.warning('%s of the %s stays %r; where %s was saved, it had changed from %r to %r',
                         name, type(thing).__name__, own, path, settings[name], value)
        else:
            setattr(thing, name, value)


def _carry_last_rate(saved: mx.lr_scheduler.LRScheduler | None,
                     scheduler: mx.lr_scheduler.LRScheduler | None, updates: int) -> None:
    """Give an MXNet scheduler with an end the rate that it keeps after the end.

    After their end, `PolyScheduler` and `CosineScheduler` return the rate of their last call. A new
    scheduler has had no call. If its settings differ from the saved one's, it gets its own end's
    rate.
    """
    end = getattr(scheduler, 'max_update', None)
    if scheduler is None or not _is_mxnets(scheduler) or end is None:
        return
    if saved is not None and type(saved) is type(scheduler) and _equal(*(
            {name: value for name, value in vars(each).items() if name != 'base_lr'}
            for each in (saved, scheduler))):
        scheduler.base_lr = saved.base_lr
    elif updates >= end:
        scheduler(end)


def _is_mxnets(scheduler: object) -> bool:
    return isinstance(scheduler, mx.lr_scheduler.LRScheduler) and type(
        scheduler).__module__.startswith('mxnet.')


def _own_attributes(thing: object) -> dict[str, object]:
    """The attributes that can be progress. MXNet's schedulers have none: everything follows from
    the number of updates, except the rate after their end (`_carry_last_rate`)."""
    if _is_mxnets(thing):
        return {}
    left_out = ('lr_scheduler', 'param_dict', 'sym_info')
    return {name: value for name, value in getattr(thing, '__dict__', {}).items()
            if name not in left_out}


def _noted(thing: object) -> dict[str, object]:
    noted = {}
    for name, value in _own_attributes(thing).items():
        noted[name] = value
        with contextlib.suppress(Exception):  # what cannot be copied cannot be pickled either
            noted[name] = copy.deepcopy(value)
    return noted


def _settings(thing: object) -> set[str]:
    """Names of the attributes that hold constructors' arguments."""
    names = {'lr', 'lr_mult', 'wd_mult', 'idx2name', 'aggregate_num'}  # under other names
    for kind in type(thing).__mro__:
        if '__init__' in vars(kind) and kind is not object:
            names.update(inspect.signature(vars(kind)['__init__']).parameters)
    return names


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same type."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, mx.nd.NDArray):
        return _equal(one.asnumpy(), other.asnumpy())
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    compare: Any = type(one).__eq__
    if compare is object.__eq__ and hasattr(one, '__dict__'):
        return one is other or _equal(vars(one), vars(other))
    return bool(one == other)
