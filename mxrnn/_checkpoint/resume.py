"""Let a module go on where a checkpoint was saved: its optimiser gets states and progress."""
from __future__ import annotations

import functools
import logging
import numbers
import types
from typing import Any, Callable, NamedTuple

from .._files.errors import CheckpointError, reason_of
from .._runtime.mxnet import mx
from . import progress
from .states import States

__all__ = ['check_shapes', 'classes_of', 'dump', 'optimizer_of', 'restore', 'trained', 'when_done']

_log = logging.getLogger('mxrnn.rnn')


def trained(module: Any) -> Any:
    """The module that holds the optimiser: of a BucketingModule, one of its buckets."""
    return getattr(module, '_curr_module', None) or module


def _updater(module: Any) -> Any:
    """What applies the optimiser and keeps its states, or None if servers do that."""
    holder = trained(module)
    return (getattr(holder, '_updater', None)
            or getattr(getattr(holder, '_kvstore', None), '_updater', None))


def dump(module: Any, prefix: str) -> bytes | None:
    """What goes into the file of states, or None if this process does not have them."""
    updater = _updater(module)
    try:
        return None if updater is None else updater.get_states(dump_optimizer=True)
    except Exception as error:  # of the pickling of whatever an optimiser was given
        raise CheckpointError('cannot save the states of the optimiser with %s: %s'
                              % (prefix, reason_of(error))) from error


def optimizer_of(module: Any) -> Any:
    """The optimiser of a module, or None if it has none or servers have it."""
    return getattr(_updater(module), 'optimizer', None)


def when_done(module: Any, method: str, done: bool, act: Callable[[], None],
              instead: bool = False) -> None:
    """Call `act` now if `done`, else once `module` has run its `method`.

    With `instead`, it is called after all others, and in the place of the one that came with
    `instead` before.
    """
    if done:
        act()
        return
    waiting = getattr(vars(module).get(method), 'waiting', None)
    if waiting is None:
        waiting = _Waiting([], [])

        @functools.wraps(getattr(type(module), method))
        def run(*args: Any, **kwargs: Any) -> Any:
            result = getattr(type(module), method)(module, *args, **kwargs)
            delattr(module, method)  # that of the class again
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
    """What waits for a method to be called; `last` has one at most."""

    all: list[Callable[[], None]]
    last: list[Callable[[], None]]


def classes_of(module: Any) -> list[Any]:
    """What the pickle of a module's own optimiser names: its class, and that of its scheduler."""
    optimizer = optimizer_of(module)
    scheduler = getattr(optimizer, 'lr_scheduler', None)
    if optimizer is None:
        return []
    if scheduler is None or isinstance(scheduler, types.FunctionType):
        return [type(optimizer)] + [scheduler] * (scheduler is not None)
    return [type(optimizer), type(scheduler)]


def restore(module: Any, states: States) -> None:
    """Give the optimiser of a module the states, and the progress of the one that had them."""
    updater = _updater(module)
    if updater is None:
        raise CheckpointError('%s cannot be used: the states of this optimiser are not kept by '
                              'this process' % states.path)
    try:
        _restore(module, updater, states)
    except CheckpointError:
        raise
    except Exception as error:  # states of strangers can be anything, without what all have
        raise CheckpointError('%s cannot be used: %s' % (states.path, reason_of(error))) from error


def _restore(module: Any, updater: Any, states: States) -> None:
    optimizer = updater.optimizer
    _check_states(trained(module), optimizer, states.by_parameter, states.path)
    # Updater.set_states takes a pickle, but to pickle what a file holds may run what it names.
    updater.states = {key: _copied(state) for key, state in states.by_parameter.items()}
    updater.states_synced = dict.fromkeys(updater.states, False)
    if states.optimizer is None:
        _log.warning('%s has the states of the optimiser, but not the number of its updates',
                     states.path)
    else:
        changed = states.extra.get('changed') or progress.unseen(states.optimizer)
        progress.carry(states.optimizer, optimizer, changed, states.path)


def check_shapes(module: Any, arg_params: dict[str, Any], aux_params: dict[str, Any], path: str
                 ) -> None:
    """Refuse parameters of other shapes than those of a module that is bound."""
    holder = trained(module)
    differ = ['%s has the shape %s, in the module %s' % (name, params[name].shape, array.shape)
              for params, bound in ((arg_params, holder._arg_params),
                                    (aux_params, holder._aux_params))
              for name, array in sorted((bound or {}).items())
              if name in params and params[name].shape != array.shape]
    if differ:
        raise CheckpointError('%s does not fit the module: %s' % (path, '; '.join(differ)))


def _check_states(holder: Any, optimizer: Any, states: dict[str, Any], path: str) -> None:
    """Refuse states of another number of devices, other parameters or another optimiser."""
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
                '%s does not fit the module: the state of %s has the shapes %s, in the module %s; '
                'the cells, the devices and the optimiser must be those that it was saved with'
                % (path, owners.get(key, key), _shapes(state, path), needed))


def _shapes(state: Any, path: str) -> Any:
    """The shapes in a state, nested as it is."""
    if type(state) in (list, tuple):
        return [_shapes(part, path) for part in state]
    if isinstance(state, mx.nd.NDArray):
        return state.shape
    if state is None or isinstance(state, numbers.Number):
        return None
    raise CheckpointError('%s cannot be used: states must be NDArrays, numbers, None, or lists or '
                          'tuples of them, got %s' % (path, type(state).__name__))


def _copied(state: Any) -> Any:
    """A copy of a state that has `_shapes`, so that no two modules change the same arrays."""
    if isinstance(state, (list, tuple)):
        return type(state)(map(_copied, state))
    return state.copy() if isinstance(state, mx.nd.NDArray) else state
