"""What an optimiser has changed in itself while it worked, and giving that to another one.

MXNet's optimisers count updates, and some remember more: averages of a schedule, learning rates,
gradients that are summed up. Those of a program may count for themselves in any attribute. So the
attributes are noted when training begins, and what has changed since is their progress.

Settings are what the constructor takes, such as the learning rate. They are taken over only where
the optimiser itself has changed them and the program has not set them anew.
"""
from __future__ import annotations

import contextlib
import copy
import inspect
import logging
from typing import Any

import numpy as np

from .._runtime.mxnet import mx

__all__ = ['Begun', 'carry', 'unseen']

_log = logging.getLogger('mxrnn.rnn')


class Begun:
    """An optimiser's attributes as they are now, before it works."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        #: Whether it has worked before, so that some of its progress cannot be seen.
        self.late = optimizer.num_update != optimizer.begin_num_update
        self._attributes = _noted(optimizer)
        self._of_scheduler = _noted(optimizer.lr_scheduler)

    def changed(self) -> dict[str, Any]:
        """What has changed since, for `carry`: plain containers and values of the optimiser."""
        return {'optimizer': self._changes(self.optimizer, self._attributes),
                'scheduler': self._changes(self.optimizer.lr_scheduler, self._of_scheduler)}

    def _changes(self, thing: Any, before: dict[str, Any]) -> dict[str, Any]:
        """Names of the attributes that changed; of those that are settings, the first value."""
        settings = _settings(thing)
        now = _own_attributes(thing)
        changed = [name for name in now if name not in before or not _equal(now[name], before[name])
                   or self.late and name not in settings]
        return {'names': changed, 'settings': {name: before.get(name) for name in changed
                                               if name in settings}}


def unseen(optimizer: Any) -> dict[str, Any]:
    """In the place of `Begun.changed`, for files that do not have it: all but settings."""
    settings = _settings(optimizer)
    names = [name for name in _own_attributes(optimizer) if name not in settings]
    return {'optimizer': {'names': names, 'settings': {}}, 'scheduler': {'names': []}}


def carry(saved: Any, optimizer: Any, changed: dict[str, Any], path: str) -> None:
    """Give `optimizer` the progress of `saved`, whose changes `Begun.changed` has told."""
    _carry(saved, optimizer, changed['optimizer'], path)
    ours, theirs = optimizer.lr_scheduler, saved.lr_scheduler
    if changed['scheduler']['names'] and type(ours) is type(theirs):
        _carry(theirs, ours, changed['scheduler'], path)
    # The counts of the updater's device, which the optimiser has under two names.
    optimizer._index_update_count = optimizer._all_index_update_counts[0]


def _carry(saved: Any, thing: Any, changed: dict[str, Any], path: str) -> None:
    for name in changed['names']:
        if not hasattr(saved, name) or hasattr(getattr(type(thing), name, None), '__get__'):
            continue  # a method or a property, whatever the file says
        value = getattr(saved, name)
        if name in changed['settings'] and not _equal(getattr(thing, name, None), value):
            if not _equal(getattr(thing, name, None), changed['settings'][name]):
                _log.warning('%s of the %s stays %r; where %s was saved, it had changed from %r '
                             'to %r', name, type(thing).__name__, getattr(thing, name, None), path,
                             changed['settings'][name], value)
                continue
        setattr(thing, name, value)


def _own_attributes(thing: Any) -> dict[str, Any]:
    """The attributes that can be progress; those of MXNet's schedulers follow from the count of
    updates, so that there are none."""
    if isinstance(thing, mx.lr_scheduler.LRScheduler) and type(thing).__module__.startswith(
            'mxnet.'):
        return {}
    left_out = ('lr_scheduler', 'param_dict', 'sym_info')
    return {name: value for name, value in getattr(thing, '__dict__', {}).items()
            if name not in left_out}


def _noted(thing: Any) -> dict[str, Any]:
    noted = {}
    for name, value in _own_attributes(thing).items():
        noted[name] = value
        with contextlib.suppress(Exception):  # what cannot be copied cannot be pickled either
            noted[name] = copy.deepcopy(value)
    return noted


def _settings(thing: Any) -> set[str]:
    """Names of the attributes that hold what constructors are given."""
    names = {'lr', 'lr_mult', 'wd_mult', 'idx2name', 'aggregate_num'}  # by other ways
    for kind in type(thing).__mro__:
        if '__init__' in vars(kind) and kind is not object:
            names.update(inspect.signature(vars(kind)['__init__']).parameters)
    return names


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are equal, in type too."""
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
