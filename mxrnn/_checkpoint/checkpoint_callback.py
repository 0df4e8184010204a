"""do_rnn_checkpoint: the callback of `fit` that saves checkpoints."""
from __future__ import annotations

import gc
import logging
import sys
import warnings
from typing import Any, Callable, Iterable

from .. import _check
from .._cells.carried_states import BatchEnd
from .._cells.weights_by_gate import Cell, Weights, cell_list
from .._files import CheckpointError
from .._files import checkpoint_files as files
from .._files.checkpoint_files import Place
from .._runtime.mxnet import mx
from . import optimizer_states as _optimizer
from . import position, worker_agreement
from .optimizer_states import Begun, Extra
from .position import Data, Here
from .saving import Companion, pinned, save

__all__ = ['do_rnn_checkpoint', 'Retention']

_log = logging.getLogger('mxrnn.rnn')


def do_rnn_checkpoint(cells: Cell | Iterable[Cell], prefix: str, period: int = 1, *,
                      symbol: mx.sym.Symbol | None = None,
                      module: mx.mod.BaseModule | None = None,
                      keep: int | None = None, data: Data | None = None,
                      batches: int | None = None, checksum: bool = True) -> Callable[..., None]:
    """Make a callback for `fit` that writes a checkpoint after epochs, or after batches.

    In distributed training, only the worker of rank 0 writes the checkpoint. With `data`, each
    other worker writes its position in the data.

    Parameters
    ----------
    cells, prefix
        As for `save_rnn_checkpoint`.
    period : int, default 1
        Write after every `period` epochs; less than 1 counts as 1.
    symbol : Symbol, optional
        The graph to save, instead of the one that the callback receives. A BucketingModule passes
        the graph of its last bucket.
    module : BaseModule, optional
        The module that is trained. Its optimiser's states are saved too, as
        ``<prefix>-<epoch, 4 digits>.states``, for `load_rnn_checkpoint` (the module's
        `load_optimizer_states` can read them as well). For a BucketingModule, the graph of the
        default bucket is saved, unless `symbol` is given. The states cannot be saved if servers
        keep them or `prefix` is remote; a warning says so once.
    keep : int, optional
        Keep this many checkpoints of this prefix, the new one included, and delete older ones.
    data : DataIter, optional
        The training iterator, a `BucketSentenceIter` or `StreamIter`, not its wrapper. It needs
        `module`. The file of states then also has the iterator's position, the random generators,
        and the states of `carry_states`. MXNet's generator cannot be read, so each save gives it a
        new seed. `load_rnn_checkpoint` with the same option resumes exactly; the metric of the
        resumed epoch covers only the rest of that epoch. An `eval_data` that shuffles needs its own
        seed, because a resumed run does not repeat evaluations.

        If several workers train, pass the callback to each, with the same `prefix` in a shared
        folder. Each worker's data is the part of its rank (`num_parts`, `part_index`). Each writes
        its position as ``<prefix>-….part-<part_index, 4 digits>``. The optimiser must be in the
        workers. Their weights must be equal; if not, a warning says so. An older checkpoint is
        deleted only when a newer one has all parts, so one more remains. A checkpoint of this
        callback that no worker can use may be deleted earlier.
    batches : int, optional
        Also write after every so many batches of an epoch, and delete the one before. Pass the
        callback as `batch_end_callback` too, after the result of `carry_states`. Needs `data`.
    checksum : bool, default True
        As for `save_rnn_checkpoint`.

    Returns
    -------
    callable
        ``callback(epoch, symbol, arg_params, aux_params)``, to pass as `epoch_end_callback`. It
        raises `CheckpointError` as `save_rnn_checkpoint` does.

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
    cells, prefix = cell_list(cells), _check.path('prefix', prefix)
    if isinstance(period, mx.mod.BaseModule):
        raise TypeError('period, the third argument, must be a number, got a module: pass it as '
                        'module=')
    period = int(max(1, _check.number('period', period)))
    _check.instance('symbol', symbol, (mx.sym.Symbol, type(None)), 'a Symbol or None')
    _check.instance('module', module, (mx.mod.BaseModule, type(None)), 'a module or None')
    if keep is not None:
        _check.integer('keep', keep, 1)
    if batches is not None:
        _check.integer('batches', batches, 1)
        if data is None:
            raise ValueError('batches needs data, got None: pass the training iterator as data=')
    position.check_data(data, 'state_dict', module)
    for name, value in (('keep', keep), ('data', data)):
        if value is not None and files.is_remote(prefix):
            raise ValueError('%s must be None for a remote prefix, got %s' % (name, prefix))
    return _Saver(cells, prefix, period, symbol, module, keep, data, batches,
                  _check.flag('checksum', checksum))


class _Saver:
    """The callback that `do_rnn_checkpoint` makes."""

    def __init__(self, cells: list[Cell], prefix: str, period: int, symbol: mx.sym.Symbol | None,
                 module: mx.mod.BaseModule | None, keep: int | None, data: Data | None,
                 batches: int | None, checksum: bool) -> None:
        self._cells, self._prefix, self._period = cells, prefix, period
        self._symbol, self._module = symbol, module
        self._data, self._batches, self._checksum = data, batches, checksum
        self._retention = Retention(prefix, data, keep, batches is not None)
        self._stores: list[mx.kv.KVStore] | None = None  #: found at the first save without a module
        self._told = False
        self._begun: Begun | None = None
        if module is not None:
            _optimizer.when_done(module, 'init_optimizer', module.optimizer_initialized,
                                 self._note_optimizer)

    def __call__(self, iter_no: Any, sym: mx.sym.Symbol | None = None, arg: Weights | None = None,
                 aux: Weights | None = None) -> None:
        self._check_part()
        if hasattr(iter_no, 'nbatch'):
            self._after_batch(iter_no)
        elif (iter_no + 1) % self._period == 0:
            self._save((iter_no + 1, 0), sym, arg, aux)

    def _check_part(self) -> None:
        """Refuse data of another part in every one of several workers; otherwise some would wait.
        """
        if self._data is not None and self._module is not None:
            rank, count = self._rank_and_count()
            if count > 1:
                worker_agreement.check_part(self._data, self._module, count, rank)

    def _after_batch(self, param: BatchEnd) -> None:
        module = self._module
        if self._batches is None or module is None:
            raise ValueError('a batch_end_callback needs batches= of do_rnn_checkpoint, '
                             'got None')
        where = getattr(param, 'locals', None) or {}
        done = position.batches_done(module, param.epoch, param.nbatch + 1)
        position.check_callbacks(self, where, module)
        ended = where.get('end_of_batch', False)
        if not ended and done % self._batches:
            return
        mx.nd.waitall()  # get_params, also in fit, does not wait for BatchNorm's averages
        if ended:
            called = where.get('epoch_end_callback')
            if called is self or isinstance(called, (list, tuple)) and self in called:
                return  # it is called again soon
        arg, aux = module.get_params()
        if len(_optimizer.trained(module)._context) > 1:
            module.set_params(arg, aux)  # until fit does it, averages differ between devices
        self._save((param.epoch + 1, 0) if ended else (param.epoch, done), module.symbol, arg, aux)

    def _here(self, batch: int) -> Here | None:
        """The training after this batch of an epoch, 0 for its end; None without data."""
        if self._module is None or self._data is None:
            return None
        return Here(_optimizer.trained(self._module), self._data, batch or len(self._data),
                    ended=batch == 0)

    def _save(self, place: Place, sym: mx.sym.Symbol | None, arg: Any, aux: Any) -> None:
        told, here = None, self._here(place[1])
        rank, count = self._rank_and_count()
        if count > 1 and here is not None:
            told = worker_agreement.save_part(self._prefix, place, here, arg)
        if rank:
            return
        if told is not None:
            told = told._replace(first=self._retention.is_first(place))
        save(self._cells, self._prefix, place[0], pinned(self._symbol, self._module, sym), arg,
             aux, batch=place[1], companion=self._companion(here, told), checksum=self._checksum)
        self._retention.saved(place, told)

    def _companion(self, here: Here | None, told: Extra | None) -> Companion | None:
        """The optimiser's states, its own changes, and the position; with several workers, `told`
        about theirs instead."""
        module = self._module
        if module is None or not module.optimizer_initialized:
            return None
        remote = files.is_remote(self._prefix)
        dumped = None if remote else _optimizer.dump(module, self._prefix)
        if dumped is None:
            if not self._told:
                self._told = True
                _log.warning("The optimiser's states are not saved with %s: %s", self._prefix,
                             'the prefix is remote' if remote
                             else 'this process does not keep them')
            return None
        extra = told or Extra(position=here and position.take(here))
        self._note_optimizer()
        if self._begun is not None:
            extra = extra._replace(changed=self._begun.changed())
        return dumped, extra

    def _note_optimizer(self) -> None:
        """Note the settings of the module's optimiser before it works."""
        self._check_part()
        optimizer = None if self._module is None else _optimizer.optimizer_of(self._module)
        if optimizer not in (None, self._begun and self._begun.optimizer):
            self._begun = Begun(optimizer)
            data = self._data
            if data is not None and hasattr(data, '_check_ids_'):  # a program's own may lack it
                data._check_ids_(self._module)

    def _rank_and_count(self) -> tuple[int, int]:
        """This process' rank among those that train together, by horovod or by an MXNet store, and
        their number; 0 and 1 if it is alone."""
        horovod = sys.modules.get('horovod.mxnet')
        if horovod is not None and horovod.is_initialized():
            return int(horovod.rank()), int(horovod.size())
        store = self._store()
        return int(getattr(store, 'rank', 0)), int(getattr(store, 'num_workers', 1))

    def _store(self) -> mx.kv.KVStore | None:
        if self._module is not None:
            return getattr(_optimizer.trained(self._module), '_kvstore', None)
        if self._stores is None:
            # MXNet keeps no list of stores, a second one would wait for the other workers, and the
            # rank is in no environment variable. `heartbeat_watch.stores` lacks those of programs
            # that import MXNet before mxrnn. The garbage collector knows every object.
            kind = mx.kv.KVStoreBase if hasattr(mx.kv, 'KVStoreBase') else mx.kv.KVStore
            objects = gc.get_objects()
            kinds = {each for each in set(map(type, objects)) if issubclass(each, kind)}
            self._stores = [each for each in objects if type(each) in kinds] if kinds else []
        return max(self._stores, key=lambda store: store.num_workers, default=None)


class Retention:
    """Deletes old checkpoints after each new one.

    With several workers, the worker of rank 0 does it. The others may still write their parts of
    the newest checkpoint, so only the next save shows whether it is whole. Until one is known to be
    whole, only checkpoints are deleted that were saved through this object and that no worker can
    use.

    Parameters
    ----------
    prefix : str
        The prefix of the checkpoints.
    data : DataIter or None
        The training data; with several workers, the part of rank 0.
    keep : int, optional
        How many checkpoints at the end of epochs remain, plus one if several workers train; all if
        None.
    within : bool
        Whether checkpoints within epochs are written; only the last of these remains.
    """

    def __init__(self, prefix: str, data: Data | None, keep: int | None, within: bool) -> None:
        self._prefix, self._data, self._keep, self._within = prefix, data, keep, within
        self._before: tuple[Place, Extra] | None = None  #: the last one of several workers
        self._whole: Place | None = None  #: the newest with all of its parts
        self._unused: set[Place] = set()  #: saved through this object, but useless to all workers
        self._ours: set[Place] = set()  #: saved through this object
        self._warned = False

    def is_first(self, place: Place) -> bool:
        """Whether no checkpoint is known to be whole, and no others were saved here."""
        self._ours.add(place)
        return self._whole is None and self._ours.issuperset(
            files.places(self._prefix, batches=True))

    def saved(self, place: Place, told: Extra | None) -> None:
        """Delete files that are not needed any more, now that `place` is written.

        `told` is the result of `worker_agreement.save_part`, or None if one worker trains alone.
        """
        several = told is not None
        if several:
            self._unused.discard(place)
            self._judge_the_one_before()
        if self._within:
            kept = {place, self._before[0] if self._before else None}
            self._delete([old for old in files.places(self._prefix, batches=True)
                          if old[1] and old not in kept], place, several)
        epoch, batch = place
        if self._keep is not None and not batch:
            keep = self._keep + several
            self._delete([old for old in files.places(self._prefix) if old[0] <= epoch][:-keep],
                         place, several)
        self._before = None if told is None else (place, told)

    def _delete(self, places: list[Place], newest: Place, several: bool) -> None:
        every = self._whole is not None or not several
        for place in places:
            if place != self._whole and (every or place in self._unused):
                files.remove(self._prefix, place)
                self._unused.discard(place)
        if several:  # all workers have written their parts of everything but the newest
            files.remove_lone_parts(self._prefix, newest)

    def _judge_the_one_before(self) -> None:
        """Note whether the previous checkpoint has all of its parts, which are written by now."""
        if self._before is None or self._data is None:
            return
        place, told = self._before
        try:
            worker_agreement.read_part(self._prefix, place, told, self._data)
            self._whole = place
        except CheckpointError as fault:
            self._unused.add(place)
            if not self._warned:
                self._warned = True
                warnings.warn('No worker can resume from the checkpoint before this one: %s. All '
                              'workers need one prefix in a shared folder, and equal weights: seed '
                              'mx.random equally, resume from one checkpoint' % fault, stacklevel=2)
