"""do_rnn_checkpoint: the callback of `fit` that saves checkpoints."""
from __future__ import annotations

import gc
import logging
import sys
from typing import Any, Callable, Iterable

from .. import _check
from .._files import checkpoint_names as files
from .._files.checkpoint_names import Place
from .._runtime.mxnet import mx
from . import optimizer_resume, position
from .optimizer_resume import Begun
from .position import Data, Here
from .saving import Cell, Companion, Params, cell_list, check_module, path_prefix, pinned, save
from .states import Extra

__all__ = ['do_rnn_checkpoint']

_log = logging.getLogger('mxrnn.rnn')


def do_rnn_checkpoint(cells: Cell | Iterable[Cell], prefix: str, period: int = 1, *,
                      symbol: mx.sym.Symbol | None = None,
                      module: mx.mod.BaseModule | None = None,
                      keep: int | None = None, data: Data | None = None,
                      batches: int | None = None, checksum: bool = True) -> Callable[..., None]:
    """Make a callback for `fit` that writes a checkpoint at the end of epochs, or of batches.

    In distributed training only the worker of rank 0 writes. With `data` each of the others writes
    where its part of the data stands.

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
    data : DataIter, optional
        The iterator that is trained on, `BucketSentenceIter` or `StreamIter`, not what it may be
        wrapped in. Its position is saved with the states of the optimiser, and so are the random
        generators (MXNet's is seeded anew at each save, since it cannot be read) and the states
        of `carry_states`. `load_rnn_checkpoint` with the same option then goes on exactly; the
        metric of the epoch in which it does covers the rest of that epoch only. An `eval_data` that
        shuffles needs a seed of its own, since a resumed run does not evaluate again. It needs
        `module`. Where several workers train, give the callback to each of them,
        with the same `prefix` in a folder that all of them see. The data of each is the part of
        its rank (`num_parts`, `part_index`). Each writes the position in its part, as
        ``<prefix>-….part-<part_index, 4 digits>``. The optimiser has to be in the workers, and
        their weights have to be equal, which a warning says where they are not. An older
        checkpoint is deleted only when a newer one has all of its parts, so one more remains; one
        that this callback wrote and no worker can use, also before that.
    batches : int, optional
        Also write after every so many batches of an epoch, and delete the one before. The callback
        has to be passed as `batch_end_callback`, too, behind what `carry_states` returned. It needs
        `data`.
    checksum : bool, default True
        As for `save_rnn_checkpoint`.

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
    if hasattr(mx, 'mod') and isinstance(period, mx.mod.BaseModule):
        raise TypeError('period, the third argument, must be a number, got a module: give that as '
                        'module=')
    period = int(max(1, _check.number('period', period)))
    _check.instance('symbol', symbol, (mx.sym.Symbol, type(None)), 'a Symbol or None')
    check_module(module)
    if keep is not None:
        _check.integer('keep', keep, 1)
        if files.is_remote(prefix):
            raise ValueError('keep must be None for a remote prefix, got %d with %s'
                             % (keep, prefix))
    _check_position(data, batches, module, prefix)
    return _Saver(cells, prefix, period, symbol, module, keep, data, batches,
                  _check.flag('checksum', checksum))


def _check_position(data: Data | None, batches: int | None, module: mx.mod.BaseModule | None,
                    prefix: str) -> None:
    if batches is not None:
        _check.integer('batches', batches, 1)
        if data is None:
            raise ValueError('data must be given with batches, got None')
    position.check_data(data, 'state_dict', module)
    if data is not None and files.is_remote(prefix):
        raise ValueError('data must be None for a remote prefix, got %s' % prefix)


class _Saver:
    """The callback that `do_rnn_checkpoint` makes."""

    def __init__(self, cells: list[Cell], prefix: str, period: int, symbol: mx.sym.Symbol | None,
                 module: mx.mod.BaseModule | None, keep: int | None, data: Data | None,
                 batches: int | None, checksum: bool) -> None:
        self._cells, self._prefix, self._period = cells, prefix, period
        self._symbol, self._module = symbol, module
        self._data, self._batches, self._checksum = data, batches, checksum
        self._retention = _Retention(prefix, data, keep, batches is not None)
        self._workers = _Workers(module)
        self._told = False
        self._begun: Begun | None = None
        if module is not None:
            optimizer_resume.when_done(module, 'init_optimizer', module.optimizer_initialized,
                                       self._note_optimizer)

    def __call__(self, iter_no: Any, sym: mx.sym.Symbol | None = None, arg: Params | None = None,
                 aux: Params | None = None) -> None:
        several = self._several()
        self._check_part()
        if hasattr(iter_no, 'nbatch'):
            self._after_batch(iter_no)
        elif (iter_no + 1) % self._period == 0 and (several or not self._workers.rank()):
            self._save_epoch(iter_no + 1, sym, arg, aux)

    def _check_part(self) -> None:
        """Refuse data of another part in each of several workers: one that went on would wait."""
        if self._several() and self._data is not None and self._module is not None:
            position.check_part(self._data, self._module, self._workers.count(),
                                self._workers.rank())

    def _several(self) -> bool:
        """Whether several workers save, each its own position."""
        return self._data is not None and self._workers.count() > 1

    def _after_batch(self, param: Any) -> None:
        module = self._module
        if self._batches is None or module is None:
            raise ValueError('batches must be given to do_rnn_checkpoint for a batch_end_callback, '
                             'got None')
        where = getattr(param, 'locals', None) or {}
        done = position.batches_done(module, param.epoch, param.nbatch + 1)
        position.check_callbacks(self, where, module)
        ended = where.get('end_of_batch', False)
        if not ended and done % self._batches:
            return
        mx.nd.waitall()  # get_params, of fit too, does not wait for BatchNorm's averages
        if ended:
            called = where.get('epoch_end_callback')
            if called is self or isinstance(called, (list, tuple)) and self in called:
                return  # it is called again in a moment
        arg, aux = module.get_params()
        if len(optimizer_resume.trained(module)._context) > 1:
            module.set_params(arg, aux)  # devices differ in averages until fit does it
        if ended:
            self._save_epoch(param.epoch + 1, module.symbol, arg, aux)
        else:
            self._save((param.epoch, done), module.symbol, arg, aux, self._here(done, False))

    def _here(self, batches: int, ended: bool) -> Here | None:
        if self._module is None or self._data is None:
            return None
        return Here(optimizer_resume.trained(self._module), self._data, batches, ended)

    def _save_epoch(self, epoch: int, sym: mx.sym.Symbol | None, arg: Any, aux: Any) -> None:
        here = None if self._data is None else self._here(len(self._data), True)
        self._save((epoch, 0), sym, arg, aux, here)

    def _save(self, place: Place, sym: mx.sym.Symbol | None, arg: Any, aux: Any, here: Here | None
              ) -> None:
        told = None
        if self._several() and here is not None:
            told = position.save_part(self._prefix, place, here, arg)
            if self._workers.rank():
                return
            told = told._replace(first=self._retention.is_first(place))
        save(self._cells, self._prefix, place[0], pinned(self._symbol, self._module, sym), arg,
             aux, batch=place[1], companion=self._companion(here, told), checksum=self._checksum)
        self._retention.saved(place, told)

    def _companion(self, here: Here | None, told: Extra | None) -> Companion | None:
        """The states of the optimiser, what it has changed in itself, and the position or, of
        several workers, what is `told` of theirs."""
        module = self._module
        if module is None or not module.optimizer_initialized:
            return None
        remote = files.is_remote(self._prefix)
        dumped = None if remote else optimizer_resume.dump(module, self._prefix)
        if dumped is None:
            if not self._told:
                self._told = True
                _log.warning('The states of the optimiser are not saved with %s: %s', self._prefix,
                             'the prefix is remote' if remote
                             else 'they are not kept by this process')
            return None
        extra = told or Extra(position=here and position.take(here))
        self._note_optimizer()
        if self._begun is not None:
            extra = extra._replace(changed=self._begun.changed())
        return Companion(dumped, extra)

    def _note_optimizer(self) -> None:
        """Note what the module's optimiser is like before it works."""
        self._check_part()
        optimizer = None if self._module is None else optimizer_resume.optimizer_of(self._module)
        if optimizer not in (None, self._begun and self._begun.optimizer):
            self._begun = Begun(optimizer)
            position.check_ids(self._data, self._module)


class _Workers:
    """The processes that train together with this one, by horovod or by a store of MXNet's."""

    def __init__(self, module: mx.mod.BaseModule | None) -> None:
        self._module = module
        self._stores: list[Any] | None = None  #: found at the first save without a module

    def rank(self) -> int:
        """The rank of this process in distributed training; 0 if it is on its own."""
        horovod = _horovod()
        return int(horovod.rank() if horovod else getattr(self._store(), 'rank', 0))

    def count(self) -> int:
        """How many processes train together."""
        horovod = _horovod()
        return int(horovod.size() if horovod else getattr(self._store(), 'num_workers', 1))

    def _store(self) -> Any:
        if self._module is not None:
            return getattr(optimizer_resume.trained(self._module), '_kvstore', None)
        if self._stores is None:
            # The store that `fit` made is known to nobody: MXNet keeps no list of them, a second
            # one would wait for the other workers, and the rank is in no environment variable (the
            # scheduler gives it). So the garbage collector, which knows every object, is asked at
            # the first save.
            kind = mx.kv.KVStoreBase if hasattr(mx.kv, 'KVStoreBase') else mx.kv.KVStore
            objects = gc.get_objects()
            kinds = {each for each in set(map(type, objects)) if issubclass(each, kind)}
            self._stores = [each for each in objects if type(each) in kinds] if kinds else []
        return max(self._stores, key=lambda store: store.num_workers, default=None)


def _horovod() -> Any:
    """Horovod's module if it is in use, else None."""
    horovod = sys.modules.get('horovod.mxnet')
    return horovod if horovod is not None and horovod.is_initialized() else None


class _Retention:
    """Deletes old checkpoints after each new one.

    Of several workers the one of rank 0 does. The others may still write their parts of the newest
    checkpoint then, so whether all of them can go on from it is known at the next one. Until one is
    known to be whole, only those are deleted that were saved through this object and that no worker
    can use.

    Parameters
    ----------
    prefix : str
        The prefix of all of them.
    data : DataIter or None
        What is trained on; of several workers, the part of the one of rank 0.
    keep : int, optional
        How many remain of those at the end of an epoch, and one more where several workers train;
        all if None.
    within : bool
        Whether checkpoints within epochs are written, of which only the last remains.
    """

    def __init__(self, prefix: str, data: Data | None, keep: int | None, within: bool) -> None:
        self._prefix, self._data, self._keep, self._within = prefix, data, keep, within
        self._before: tuple[Place, Extra] | None = None  #: the last one of several workers
        self._whole: Place | None = None  #: the newest that has all of its parts
        self._unused: set[Place] = set()  #: of those saved through this, what no worker can use
        self._ours: set[Place] = set()  #: saved through this
        self._warned = False

    def is_first(self, place: Place) -> bool:
        """Whether no checkpoint is known to be whole and none is there that others have saved."""
        self._ours.add(place)
        return self._whole is None and self._ours.issuperset(
            files.places(self._prefix, batches=True))

    def saved(self, place: Place, told: Extra | None) -> None:
        """Delete what is no longer needed, now that `place` is written.

        `told` is what `position.save_part` returned for it, None if one worker trains alone.
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
                files.remove(self._prefix, *place)
                self._unused.discard(place)
        if several:  # all have written their parts of what is older than the newest
            files.remove_lone_parts(self._prefix, newest)

    def _judge_the_one_before(self) -> None:
        """Note whether the checkpoint before has all of its parts, which are written by now."""
        if self._before is None or self._data is None:
            return
        fault = position.fault(self._prefix, *self._before, self._data)
        if not fault:
            self._whole = self._before[0]
            return
        self._unused.add(self._before[0])
        if not self._warned:
            self._warned = True
            _log.warning('No worker will go on from the checkpoint before this one: %s. All '
                         'workers need the same prefix, in a folder that all of them see, and '
                         'equal weights: the same seed of mx.random at the beginning, and the same '
                         'checkpoint where they go on from one', fault)
