"""Checkpoints that every kind of cell can read, and the deprecated `rnn_unroll`.

A checkpoint holds the weights apart, one array for each gate, so that a network that was trained
with a `FusedRNNCell` can be used with ordinary cells and the other way round. Its files are those
of `mx.model.save_checkpoint`.
"""
from __future__ import annotations

import collections
import contextlib
import functools
import gc
import logging
import os
import pickle
import sys
import warnings
from typing import Any, Callable, Sequence

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from . import files
from .files import CheckpointError

__all__ = ['Checkpoint', 'CheckpointError', 'do_rnn_checkpoint', 'load_rnn_checkpoint',
           'rnn_unroll', 'save_rnn_checkpoint']

_log = logging.getLogger('mxrnn.rnn')


def rnn_unroll(cell: Any, length: int, inputs: Any = None, begin_state: Any = None,
               input_prefix: str = '', layout: str = 'NTC') -> tuple[Any, Any]:
    """Unroll a cell. Deprecated: call `cell.unroll`.

    Parameters
    ----------
    cell : BaseRNNCell
        The cell to unroll.
    length : int
        Number of steps.
    inputs : Symbol or list of Symbol, optional
        As for `BaseRNNCell.unroll`. Without it, one variable for each step is made, called
        ``<input_prefix>t<step>_data``, of shape (batch, input width).
    begin_state : nested list of Symbol, optional
        As for `BaseRNNCell.unroll`.
    input_prefix : str, default ''
        Begins the names of the variables that are made for missing `inputs`.
    layout : {'NTC', 'TNC'}, default 'NTC'
        Of `inputs`, if that is one Symbol.

    Returns
    -------
    outputs : Symbol or list of Symbol
    states : nested list of Symbol
        Both as from `BaseRNNCell.unroll`.
    """
    warnings.warn('rnn_unroll is deprecated, call the unroll method of the cell',
                  DeprecationWarning, stacklevel=2)
    if not hasattr(cell, 'unroll'):
        _check.instance('cell', cell, (), 'a cell of mxrnn')
    if inputs is None:
        _check.instance('input_prefix', input_prefix, str, 'a string')
        inputs = [mx.sym.Variable('%st%d_data' % (input_prefix, step))
                  for step in range(_check.integer('length', length, 1, _check.LARGEST))]
    return cell.unroll(length, inputs=inputs, begin_state=begin_state, layout=layout)


def save_rnn_checkpoint(cells: Any, prefix: str, epoch: int, symbol: mx.sym.Symbol | None,
                        arg_params: dict[str, mx.nd.NDArray],
                        aux_params: dict[str, mx.nd.NDArray]) -> None:
    """Write a checkpoint with the weights of `cells` unpacked.

    Parameters
    ----------
    cells : BaseRNNCell or list of BaseRNNCell
        The cells whose weights `arg_params` has; weights that are unpacked already stay so.
    prefix : str
        Path that the names of the files begin with. Missing folders are made: what was learned in
        an epoch is worth more than a guess at a slip of the pen. A remote prefix (``s3://``,
        ``hdfs://``) goes to MXNet as it is.
    epoch : int
        Number of epochs trained, at least 0.
    symbol : Symbol or None
        The graph, saved as ``<prefix>-symbol.json``; with None that file stays as it is.
    arg_params, aux_params : dict of str to NDArray
        Parameters and auxiliary states, saved as ``<prefix>-<epoch, 4 digits>.params``.

    Raises
    ------
    CheckpointError
        If a file could not be written. Other checkpoints are as they were.
    MissingWeightsError, ValueError
        If `arg_params` lacks weights of `cells` (a KeyError that lists them), or has them in
        another shape. Nothing is written then.

    Notes
    -----
    A local checkpoint is written beside its place and then renamed, so that a process that is
    killed, or a disk that is full, leaves whole checkpoints only. ``.mxrnn-….tmp`` folders are
    what killed processes leave; the next save into that folder deletes them.
    """
    _save(_cell_list(cells), _prefix(prefix), epoch, symbol, arg_params, aux_params)


def _save(cells: Sequence[Any], prefix: str, epoch: int, symbol: Any, arg_params: Any,
          aux_params: Any, states: bytes | None = None) -> None:
    epoch = _check.integer('epoch', epoch, 0)
    _check.instance('symbol', symbol, (mx.sym.Symbol, type(None)), 'a Symbol or None')
    for name, params in (('arg_params', arg_params), ('aux_params', aux_params)):
        _check.instance(name, params, dict, 'a dict of NDArrays')
        for key, value in params.items():
            _check.instance('each name in %s' % name, key, str, 'a str')
            _check.instance('%s[%r]' % (name, key), value, mx.nd.NDArray, 'an NDArray')
    for cell in cells:
        arg_params = cell.unpack_weights(arg_params)
    if files.is_remote(prefix):
        mx.model.save_checkpoint(prefix, epoch, symbol, arg_params, aux_params)
    else:
        files.save(prefix, epoch, symbol, arg_params, aux_params, states)


class Checkpoint(collections.namedtuple('Checkpoint', ['symbol', 'arg_params', 'aux_params'])):
    """What `load_rnn_checkpoint` returns: a tuple of three that knows which epoch it is of."""

    epoch: int


def load_rnn_checkpoint(cells: Any, prefix: str, epoch: int | None = None, *,
                        module: mx.mod.BaseModule | None = None,
                        strict: bool = True) -> Checkpoint:
    """Read a checkpoint and pack the weights as `cells` have them.

    It may have been written for other cells with the same weights (fused or not), by any version
    of mxnet.rnn, or by `mx.model.save_checkpoint` with the weights still packed.

    Parameters
    ----------
    cells : BaseRNNCell or list of BaseRNNCell
        The cells of the network that the parameters are for.
    prefix : str
        Path that the names of the files begin with.
    epoch : int, optional
        Which one; by default the newest that can be read. Newer ones that cannot are named in a
        warning.
    module : BaseModule, optional
        The states of its optimiser are read too, from the checkpoint that `do_rnn_checkpoint`
        wrote with the same option: at once if the module has an optimiser, otherwise as soon as
        `fit` or `init_optimizer` gives it one. The settings of that optimiser, such as the
        learning rate, stay; only its progress is taken over. To go on with training::

            loaded = rnn.load_rnn_checkpoint(cells, prefix, module=module)
            module.fit(..., arg_params=loaded.arg_params, aux_params=loaded.aux_params,
                       begin_epoch=loaded.epoch)
    strict : bool, default True
        Refuse a file with parameters that neither its graph nor a cell knows, without parameters
        that the graph has, or with shapes or types that do not fit the graph.

    Returns
    -------
    Checkpoint
        A tuple (symbol, arg_params, aux_params), with the attribute `epoch`. The symbol is the one
        that was saved: if that was of other cells, build it again with `cells`.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated or foreign, or if names are missing or left over or shapes
        or types are wrong, which are all listed. It is an `MXNetError` and a `KeyError`.
    """
    cells, prefix = _cell_list(cells), _prefix(prefix)
    _check_module(module)
    _check.flag('strict', strict)
    if epoch is not None:
        epochs = [_check.integer('epoch', epoch, 0)]
    elif files.is_remote(prefix):
        raise ValueError('epoch must be given for a remote prefix, got None with %s' % prefix)
    else:
        epochs = files.epochs(prefix)
    broken = []
    for each in reversed(epochs):
        try:
            loaded = _load(cells, prefix, each, strict)
            if module is not None:
                states = files.read_states(prefix, each)
                _when_initialised(module, functools.partial(
                    _restore, module, *states, files.path_of(prefix, 'states', each)))
            return loaded
        except CheckpointError as error:
            if epoch is not None:
                raise
            broken.append(str(error))
            _log.warning('Skipped a checkpoint: %.300s', error)
    raise CheckpointError('no checkpoint of %s can be read: %s'
                          % (prefix, '; '.join(broken) or 'there is no %s-*.params' % prefix))


def _load(cells: Sequence[Any], prefix: str, epoch: int, strict: bool) -> Checkpoint:
    path, graph_path = files.path_of(prefix, 'params', epoch), files.path_of(prefix, 'symbol')
    if not files.is_remote(prefix):
        files.check_params(path)
        files.check_symbol(graph_path)
    try:
        symbol, read, aux_params = mx.model.load_checkpoint(prefix, epoch)
        arg_params = read
        for cell in cells:
            arg_params = cell.pack_weights(arg_params)
    except (mx.base.MXNetError, LookupError, ValueError, AssertionError) as error:
        raise CheckpointError('cannot load %s with %s: %s'
                              % (path, graph_path, files.brief(error))) from error
    if strict:
        graph = files.check_symbol(graph_path, symbol.tojson())
        faults = (_wrong_names(cells, symbol, graph['nodes'], read, arg_params, aux_params)
                  + _wrong_shapes(graph['nodes'], arg_params)
                  + _wrong_types(symbol, read, aux_params))
        if faults:
            raise CheckpointError('%s does not fit the graph and the cells: %s'
                                  % (path, '; '.join(faults)))
    loaded = Checkpoint(symbol, arg_params, aux_params)
    loaded.epoch = epoch
    return loaded


#: Ends of the names that operators give to parameters which are not handed to them.
_PARAMETERS = ('weight', 'bias', 'gamma', 'beta')


def _wrong_names(cells: Sequence[Any], symbol: Any, nodes: list[dict], read: dict,
                 arg_params: dict, aux_params: dict) -> list[str]:
    """What is in the file and nobody knows, and what is not in it and nobody else can know."""
    arguments, auxiliary = symbol.list_arguments(), symbol.list_auxiliary_states()
    # What packing has made is known to a cell, whether or not it is one of the cell's variables.
    known = set(arguments).union(*map(_weights, cells))
    extra = (set(read) & set(arg_params)) - known | set(aux_params) - set(auxiliary)
    # Which variables are data, the graph does not say; what is called as a parameter is none.
    missing = {'%s_%s' % (node['name'], end) for node in nodes for end in _PARAMETERS}
    missing &= {nodes[entry[0]]['name'] for node in nodes for entry in node['inputs']}
    missing = missing & set(arguments) - set(read) - set(arg_params)
    missing |= set(auxiliary) - set(aux_params)
    faults = ['left over %s' % ', '.join(sorted(extra))] if extra else []
    faults += ['missing %s' % ', '.join(sorted(missing))] if missing else []
    if extra:
        faults.append('arguments of the graph without a value are %s' % (', '.join(
            name for name in arguments if name not in arg_params and name not in read) or 'none'))
    return faults


def _weights(cell: Any) -> set[str]:
    """Names of the variables of a cell and of those that it is made of."""
    inner = list(getattr(cell, '_cells', [])) + [getattr(cell, 'base_cell', None)]
    own = getattr(getattr(cell, '_params', None), '_params', ())
    return set(own).union(*(_weights(c) for c in inner if c is not None))


#: Sizes of parameters that operators state, by position among their inputs.
_STATED = {
    'FullyConnected': {1: ('num_hidden',), 2: ('num_hidden',)},
    'Convolution': {1: ('num_filter',), 2: ('num_filter',)},
    'Embedding': {1: ('input_dim', 'output_dim')},
}


def _wrong_shapes(nodes: list[dict], arg_params: dict) -> list[str]:
    """The parameters whose first sizes are not what the operators that take them state."""
    faults = {}
    for node in nodes:
        for position, keys in _STATED.get(node['op'], {}).items():
            needed = tuple(int(node['attrs'][key]) for key in keys)
            for entry in node['inputs'][position:position + 1]:
                name = nodes[entry[0]]['name']
                if name in arg_params and arg_params[name].shape[:len(needed)] != needed:
                    faults[name] = '%s has the shape %s, which %s needs to begin with %s' % (
                        name, arg_params[name].shape, node['name'], needed)
    return [faults[name] for name in sorted(faults)]


def _wrong_types(symbol: Any, params: dict, aux_params: dict) -> list[str]:
    """The parameters of integers that the graph needs to be reals: one damaged bit does that."""
    def inferred(types: dict) -> dict | None:
        """Types of the auxiliary states, or None if those of the arguments are impossible."""
        for kind in set(types.values()):  # of the data, which the graph does not tell
            with contextlib.suppress(mx.base.MXNetError):
                result = symbol.infer_type_partial(**dict(dict.fromkeys(arguments, kind), **types))
                return dict(zip(symbol.list_auxiliary_states(), result[2]))
        return None

    integers = {name for values in (params, aux_params) for name, array in values.items()
                if np.dtype(array.dtype).kind in 'iu'}
    if not integers:
        return []
    arguments = symbol.list_arguments()
    types = {name: params[name].dtype for name in arguments if name in params}
    odd = integers & set(params) - set(types)  # of cells, which never are that
    auxiliary = inferred(types)
    if auxiliary is None:  # those are wrong, if it can be done without them
        auxiliary = inferred({name: np.float32 if name in integers else kind
                              for name, kind in types.items()})
        odd |= integers & set(types) if auxiliary is not None else set()
    odd |= {name for name in integers & set(aux_params)
            if (auxiliary or {}).get(name) not in (None, aux_params[name].dtype)}
    return ['integers are in %s' % ', '.join(sorted(odd))] if odd else []


def do_rnn_checkpoint(cells: Any, prefix: str, period: int = 1, *,
                      symbol: mx.sym.Symbol | None = None,
                      module: mx.mod.BaseModule | None = None,
                      keep: int | None = None) -> Callable[..., None]:
    """Make a callback for `fit` that writes a checkpoint at the end of epochs.

    In distributed training only the worker of rank 0 writes.

    Parameters
    ----------
    cells, prefix
        As for `save_rnn_checkpoint`.
    period : int, default 1
        Write after every so many epochs; less than 1 counts as 1.
    symbol : Symbol, optional
        The graph to save, instead of the one that the callback is given: a BucketingModule hands
        over that of the bucket that came last.
    module : BaseModule, optional
        The module that is trained. The states of its optimiser are saved too, as
        ``<prefix>-<epoch, 4 digits>.states``, for `load_rnn_checkpoint` (`load_optimizer_states`
        of the module can read them as well). For a BucketingModule the graph is that of the
        default bucket, unless `symbol` says otherwise. Where the states are kept by servers or
        `prefix` is remote, they cannot be saved, which a warning says once.
    keep : int, optional
        Delete older checkpoints of this prefix, so that this many remain up to the new one.

    Returns
    -------
    callable
        ``callback(epoch, symbol, arg_params, aux_params)``, to be passed as `epoch_end_callback`.
        It raises `CheckpointError` as `save_rnn_checkpoint` does.
    """
    cells, prefix = _cell_list(cells), _prefix(prefix)
    period = int(max(1, _check.number('period', period)))
    _check.instance('symbol', symbol, (mx.sym.Symbol, type(None)), 'a Symbol or None')
    _check_module(module)
    if keep is not None:
        _check.integer('keep', keep, 1)
        if files.is_remote(prefix):
            raise ValueError('keep must be None for a remote prefix, got %d with %s'
                             % (keep, prefix))
    told: list[bool] = []

    def callback(iter_no: int, sym: Any = None, arg: Any = None, aux: Any = None) -> None:
        epoch = iter_no + 1
        if epoch % period or _rank(module):
            return
        states = None
        if module is not None and module.optimizer_initialized:
            states = None if files.is_remote(prefix) else _states(module, prefix)
            if states is None and not told:
                told.append(True)
                _log.warning('The states of the optimiser are not saved with %s: %s', prefix,
                             'the prefix is remote' if files.is_remote(prefix)
                             else 'they are not kept by this process')
        _save(cells, prefix, epoch, _pinned(symbol, module, sym), arg, aux, states)
        if keep is not None:
            for old in [e for e in files.epochs(prefix) if e <= epoch][:-keep]:
                files.remove(prefix, old)

    return callback


def _pinned(symbol: Any, module: Any, current: Any) -> Any:
    if symbol is not None:
        return symbol
    buckets = getattr(module, '_buckets', None)
    return buckets[module._default_bucket_key].symbol if buckets else current


def _rank(module: Any) -> int:
    """The rank of this process in distributed training; 0 if it is on its own."""
    horovod = sys.modules.get('horovod.mxnet')
    if horovod is not None and horovod.is_initialized():
        return horovod.rank()
    if module is not None:
        stores = [getattr(_trained(module), '_kvstore', None)]
    else:
        # MXNet keeps no list of its stores, and to make one would wait for the other workers.
        kind = mx.kv.KVStoreBase if hasattr(mx.kv, 'KVStoreBase') else mx.kv.KVStore
        stores = [found for found in gc.get_objects() if issubclass(type(found), kind)]
    return max((store.rank for store in stores if store is not None), default=0)


# ---- the optimiser of a module

#: What an optimiser learns while it works, other than the states of each parameter.
_PROGRESS = ('num_update', '_all_index_update_counts', 'm_schedule')


def _trained(module: Any) -> Any:
    """The module that holds the optimiser: of a BucketingModule, one of its buckets."""
    return getattr(module, '_curr_module', None) or module


def _updater(module: Any) -> Any:
    """What applies the optimiser and keeps its states, or None if servers do that."""
    trained = _trained(module)
    return (getattr(trained, '_updater', None)
            or getattr(getattr(trained, '_kvstore', None), '_updater', None))


def _states(module: Any, prefix: str) -> bytes | None:
    """What goes into the file of states, or None if this process does not have them."""
    updater = _updater(module)
    try:
        return None if updater is None else updater.get_states(dump_optimizer=True)
    except Exception as error:  # of the pickling of whatever an optimiser was given
        raise CheckpointError('cannot save the states of the optimiser with %s: %s'
                              % (prefix, files.brief(error))) from error


def _when_initialised(module: Any, act: Callable[[], None]) -> None:
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


def _restore(module: Any, states: dict, saved: Any, path: str) -> None:
    """Give the optimiser of a module the states, and the progress of the one that had them."""
    updater = _updater(module)
    if updater is None:
        raise CheckpointError('%s cannot be used: the states of this optimiser are not kept by '
                              'this process' % path)
    optimizer = updater.optimizer
    _check_states(_trained(module), optimizer, states, path)
    if saved is None:
        _log.warning('%s has states but not how many updates they come from', path)
    updater.set_states(pickle.dumps(states))
    for name in _PROGRESS:
        if hasattr(saved, name) and hasattr(optimizer, name):
            setattr(optimizer, name, getattr(saved, name))
    optimizer._index_update_count = optimizer._all_index_update_counts[0]


def _check_states(trained: Any, optimizer: Any, states: dict, path: str) -> None:
    """Refuse states of another number of devices, other parameters or another optimiser."""
    names, copies = trained._param_names, len(trained._context)
    if trained._update_on_kvstore:
        owners = {name: name for name in names}
    else:
        owners = dict(enumerate(name for name in names for _ in range(copies)))
    for key, state in states.items():
        needed = 'no place'
        if key in owners:
            needed = _shapes(optimizer.create_state_multi_precision(
                key, trained._arg_params[owners[key]]))
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


# ---- arguments

def _cell_list(cells: Any) -> list[Any]:
    found = list(cells) if isinstance(cells, (list, tuple)) else [cells]
    for cell in found:
        if not (hasattr(cell, 'pack_weights') and hasattr(cell, 'unpack_weights')):
            _check.instance('cells', cells, (), 'a cell or a list of cells')
    return found


def _check_module(module: Any) -> None:
    if module is not None:
        kind = mx.mod.BaseModule if hasattr(mx, 'mod') else ()  # gone from MXNet 2
        _check.instance('module', module, kind, 'a module or None')


def _prefix(prefix: Any) -> str:
    return os.fspath(_check.instance('prefix', prefix, (str, os.PathLike), 'a path'))
