"""do_rnn_checkpoint: the callback of `fit` that saves checkpoints."""
from __future__ import annotations

import gc
import logging
import sys
from typing import Any, Callable

from .. import _check
from .._runtime.mxnet import mx
from . import files, resume
from .arguments import cell_list, check_module, path_prefix
from .functions import save
from .progress import Begun

__all__ = ['do_rnn_checkpoint']

_log = logging.getLogger('mxrnn.rnn')


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

    Examples
    --------
    >>> import os, tempfile, mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.LSTMCell(4, prefix='lstm_')
    >>> outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    >>> module = mx.mod.Module(mx.sym.LinearRegressionOutput(outputs, name='out'), ['data'],
    ...                        ['out_label'])
    >>> batches = mx.io.NDArrayIter(mx.nd.ones((8, 3, 5)), mx.nd.ones((8, 3, 4)), 4,
    ...                             label_name='out_label')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     module.fit(batches, num_epoch=3, eval_metric='mse', epoch_end_callback=
    ...                rnn.do_rnn_checkpoint(cell, folder + '/model', module=module, keep=1))
    ...     sorted(os.listdir(folder))
    ['model-0003.params', 'model-0003.states', 'model-symbol.json']
    """
    cells, prefix = cell_list(cells), path_prefix(prefix)
    period = int(max(1, _check.number('period', period)))
    _check.instance('symbol', symbol, (mx.sym.Symbol, type(None)), 'a Symbol or None')
    check_module(module)
    if keep is not None:
        _check.integer('keep', keep, 1)
        if files.is_remote(prefix):
            raise ValueError('keep must be None for a remote prefix, got %d with %s'
                             % (keep, prefix))
    told: list[bool] = []
    begun: list[Begun] = []

    def note() -> Begun | None:
        """What the module's optimiser was like before it worked."""
        optimizer = resume.optimizer_of(module)
        if optimizer is not None and not (begun and begun[0].optimizer is optimizer):
            begun[:] = [Begun(optimizer)]
        return begun[0] if begun else None

    if module is not None:
        resume.when_done(module, 'init_optimizer', module.optimizer_initialized, note)

    def callback(iter_no: int, sym: Any = None, arg: Any = None, aux: Any = None) -> None:
        epoch = iter_no + 1
        if epoch % period or _rank(module):
            return
        optimizer_states, extra = None, {}
        if module is not None and module.optimizer_initialized:
            if not files.is_remote(prefix):
                optimizer_states = resume.dump(module, prefix)
                extra = {'changed': known.changed()} if (known := note()) else {}
            if optimizer_states is None and not told:
                told.append(True)
                _log.warning('The states of the optimiser are not saved with %s: %s', prefix,
                             'the prefix is remote' if files.is_remote(prefix)
                             else 'they are not kept by this process')
        save(cells, prefix, epoch, _pinned(symbol, module, sym), arg, aux, optimizer_states,
             extra)
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
        stores = [getattr(resume.trained(module), '_kvstore', None)]
    else:
        # MXNet keeps no list of its stores, and to make one would wait for the other workers.
        kind = mx.kv.KVStoreBase if hasattr(mx.kv, 'KVStoreBase') else mx.kv.KVStore
        stores = [found for found in gc.get_objects() if issubclass(type(found), kind)]
    return max((store.rank for store in stores if store is not None), default=0)
