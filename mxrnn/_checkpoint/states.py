"""The states of a module's optimiser: in their file, and given back to a module."""
from __future__ import annotations

import functools
import logging
import pickle
import zlib
from typing import Any, Callable

from .._runtime.mxnet import mx
from . import files
from .errors import CheckpointError, brief, named

__all__ = ['dump', 'read', 'restore', 'seal', 'trained', 'when_initialised']

_log = logging.getLogger('mxrnn.rnn')

_SEAL = b'\nmxrnn crc32 '


def seal(states: bytes, params_path: str) -> bytes:
    """What follows the pickle in the file: checksums of it and of the parameters that it is for.

    MXNet, as pickle does, reads no further than the pickle.
    """
    checksum = 0
    with open(params_path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            checksum = zlib.crc32(block, checksum)
    return _SEAL + b'%08x %08x' % (zlib.crc32(states), checksum)


def read(prefix: str, epoch: int) -> tuple[dict[Any, Any], Any]:
    """The optimiser's states of a checkpoint, and the optimiser or None if it is not in there."""
    path = files.path_of(prefix, 'states', epoch)
    with named(path):
        with open(path, 'rb') as stream:
            content = stream.read()
        states, mark, sums = content.rpartition(_SEAL)
        if mark:
            intact = seal(states, files.path_of(prefix, 'params', epoch))
            if intact[:-8] != mark + sums[:-8]:
                raise ValueError('its checksum does not match')
            if intact != mark + sums:
                raise ValueError('it belongs to other parameters than the file of them has')
    try:
        found = pickle.loads(content)
        states, optimizer = found if isinstance(found, tuple) else (found, None)
        return dict(states), optimizer
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError('%s has no states of an optimiser: %s'
                              % (path, brief(error))) from error


#: What an optimiser learns while it works, other than the states of each parameter.
_PROGRESS = ('num_update', '_all_index_update_counts', 'm_schedule')


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
                              % (prefix, brief(error))) from error


def when_initialised(module: Any, act: Callable[[], None]) -> None:
    """Call `act` when the module has its optimiser, instead of what was to be called then."""
    if module.optimizer_initialized:
        act()
        return

    @functools.wraps(type(module).init_optimizer)
    def init_optimizer(*args: Any, **kwargs: Any) -> None:
        type(module).init_optimizer(module, *args, **kwargs)
        del module.init_optimizer  # that of the class again
        act()

    module.init_optimizer = init_optimizer


def restore(module: Any, states: dict, saved: Any, path: str) -> None:
    """Give the optimiser of a module the states, and the progress of the one that had them."""
    updater = _updater(module)
    if updater is None:
        raise CheckpointError('%s cannot be used: the states of this optimiser are not kept by '
                              'this process' % path)
    optimizer = updater.optimizer
    _check_states(trained(module), optimizer, states, path)
    if saved is None:
        _log.warning('%s has states but not how many updates they come from', path)
    updater.set_states(pickle.dumps(states))
    for name in _PROGRESS:
        if hasattr(saved, name) and hasattr(optimizer, name):
            setattr(optimizer, name, getattr(saved, name))
    optimizer._index_update_count = optimizer._all_index_update_counts[0]


def _check_states(holder: Any, optimizer: Any, states: dict, path: str) -> None:
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
                key, holder._arg_params[owners[key]]))
        if _shapes(state) != needed:
            raise CheckpointError(
                '%s does not fit the module: the state of %s has the shapes %s, in the module %s; '
                'the cells, the devices and the optimiser must be those that it was saved with'
                % (path, owners.get(key, key), _shapes(state), needed))


def _shapes(state: Any) -> Any:
    """The shapes in a state, nested as it is."""
    if isinstance(state, (list, tuple)):
        return [_shapes(part) for part in state]
    return state.shape if isinstance(state, mx.nd.NDArray) else None
