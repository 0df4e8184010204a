"""load_rnn_checkpoint: packs the weights as the cells need them, and lets a module resume."""
from __future__ import annotations

import functools
import os
from typing import Any, Callable, Iterable, Literal, NamedTuple, Sequence, overload

from .. import _check
from .._cells.weights_by_gate import Cell, Weights, cell_list
from .._files import CheckpointError, failing
from .._files import checkpoint_files as files
from .._files.checkpoint_files import Place, refuse_missing
from .._files.newest_checkpoint import Candidates
from .._files.params import checked
from .._graph.symbol_json import read_graph
from .._runtime.mxnet import mx
from . import checkpoint_faults, position, worker_agreement
from . import optimizer_states as _optimizer
from .position import Data
from .safe_pickle import named_things

__all__ = ['Checkpoint', 'load_rnn_checkpoint']


class Checkpoint(NamedTuple('Checkpoint', [
        ('symbol', mx.sym.Symbol), ('arg_params', Weights), ('aux_params', Weights)])):
    """A checkpoint: a tuple of three that also knows its epoch.

    Parameters
    ----------
    symbol : Symbol
    arg_params, aux_params : dict of str to NDArray
    epoch : int, optional

    Examples
    --------
    >>> import mxrnn as rnn
    >>> symbol, arg_params, aux_params = rnn.Checkpoint(None, {}, {}, epoch=3)
    >>> rnn.Checkpoint(None, {}, {}, epoch=3)._replace(arg_params={'a': 1}).epoch
    3
    """

    epoch: int | None = None

    def __new__(cls, symbol: mx.sym.Symbol, arg_params: Weights, aux_params: Weights,
                epoch: int | None = None) -> Checkpoint:
        made = super().__new__(cls, symbol, arg_params, aux_params)
        made.epoch = epoch
        return made

    def __repr__(self) -> str:
        params = [*self.arg_params.values(), *self.aux_params.values()]
        return 'Checkpoint(epoch %s, %d arrays of %d numbers)' % (
            self.epoch, len(params), sum(array.size for array in params))

    def _replace(self, **changes: Any) -> Checkpoint:
        made = super()._replace(**{name: value for name, value in changes.items()
                                   if name != 'epoch'})
        made.epoch = changes.get('epoch', self.epoch)
        return made


class _SavedWithoutError(Exception):
    """A checkpoint is undamaged, but was saved without something that the caller needs.

    It is not skipped: training resumed from an older one would overwrite it.
    """


@overload
def load_rnn_checkpoint(cells: Cell | Iterable[Cell], prefix: str, epoch: int | None = None, *,
                        module: mx.mod.BaseModule | None = None, data: Data | None = None,
                        strict: bool = True, trusted: Iterable[object] = (),
                        missing_ok: Literal[False] = False) -> Checkpoint: ...


@overload
def load_rnn_checkpoint(cells: Cell | Iterable[Cell], prefix: str, epoch: int | None = None, *,
                        module: mx.mod.BaseModule | None = None, data: Data | None = None,
                        strict: bool = True, trusted: Iterable[object] = (),
                        missing_ok: bool) -> Checkpoint | None: ...


def load_rnn_checkpoint(cells: Cell | Iterable[Cell], prefix: str, epoch: int | None = None, *,
                        module: mx.mod.BaseModule | None = None, data: Data | None = None,
                        strict: bool = True, trusted: Iterable[object] = (),
                        missing_ok: bool = False) -> Checkpoint | None:
    """Read a checkpoint and pack the weights as `cells` need them.

    Other cells with the same weights (fused or not) may have written it, with any version of
    mxnet.rnn, or `mx.model.save_checkpoint`, which leaves weights packed, or the `save_checkpoint`
    of a BucketingModule, of which the largest bucket's graph is read.

    Parameters
    ----------
    cells : BaseRNNCell or list of BaseRNNCell
        The cells of the network for which the parameters are.
    prefix : str
        The beginning of the files' paths.
    epoch : int, optional
        The newest that can be read by default. A warning names newer ones that cannot be read. It
        is an error if the newest was saved without something that `module` or `data` needs.
    module : BaseModule, optional
        Its optimiser's states are read too, from a checkpoint that `do_rnn_checkpoint` wrote with
        the same option. They are set at once if the module has an optimiser, otherwise when `fit`
        or `init_optimizer` gives it one. The new optimiser keeps its settings, such as the learning
        rate, and takes over only the progress: what the old one had changed in itself. To resume::

            loaded = rnn.load_rnn_checkpoint(cells, prefix, module=module)
            module.fit(..., arg_params=loaded.arg_params, aux_params=loaded.aux_params,
                       begin_epoch=loaded.epoch)
    data : DataIter, optional
        The iterator that `do_rnn_checkpoint` got as `data`, a `BucketSentenceIter` or `StreamIter`
        made with the same arguments. It needs `module`. When the module gets its optimiser, the
        iterator and the random generators go to the saved position. Checkpoints within an epoch
        then count as well; the first epoch of `fit` is the rest of that epoch, and so is its
        metric. Wrap the iterator in a `mx.io.PrefetchingIter` only afterwards. With several
        workers, each passes its part of the data, in as many parts as at the save. If their store
        already exists, they agree on the newest checkpoint that all of them can read.
    strict : bool, default True
        Refuse a file that has parameters unknown to its graph and cells, lacks parameters of the
        graph, or has shapes or types that do not fit the graph.
    trusted : iterable of class or function
        Classes and functions that the optimiser's states may name in addition to arrays, numbers,
        containers, MXNet's optimisers and schedulers, and the classes of the module's own optimiser
        and scheduler. An example is the class of an object that your optimiser keeps. Everything
        else is refused before it is called, because the file may be from a stranger.
    missing_ok : bool, default False
        Return None if no checkpoint was written yet, or if several workers were killed while they
        wrote their first one. Damaged files still raise an error.

    Returns
    -------
    Checkpoint or None
        A tuple (symbol, arg_params, aux_params) with the attribute `epoch`. The symbol is the saved
        one; if it was built with other cells, build it again with `cells`.

    Raises
    ------
    CheckpointError
        A file is missing (with several workers: of any of them), truncated or foreign. Or names are
        missing or left over, or shapes or types are wrong or do not fit the module; all are listed.
        It is an `MXNetError` and a `KeyError`. Errors that only a bound module or its optimiser can
        show are raised by `fit`.
    ValueError
        The position is for other data than `data`, or other arguments, such as another seed.

    Examples
    --------
    >>> import tempfile, mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.LSTMCell(4, prefix='lstm_')
    >>> outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
    >>> weights = {'lstm_i2h_weight': mx.nd.ones((16, 5)), 'lstm_h2h_weight': mx.nd.ones((16, 4)),
    ...            'lstm_i2h_bias': mx.nd.zeros(16), 'lstm_h2h_bias': mx.nd.zeros(16)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rnn.save_rnn_checkpoint(cell, folder + '/model', 7, outputs, weights, {})
    ...     loaded = rnn.load_rnn_checkpoint(cell, folder + '/model')      # the newest epoch
    >>> loaded.epoch, loaded.arg_params['lstm_i2h_weight'].shape
    (7, (16, 5))
    """
    cells, prefix = cell_list(cells), _check.path('prefix', prefix)
    _check.instance('module', module, (mx.mod.BaseModule, type(None)), 'a module or None')
    _check.flag('strict', strict)
    trusted = list(_check.iterable('trusted', trusted, 'classes or functions'))
    named_things(trusted)  # refuses anything else
    position.check_data(data, 'load_state_dict', module)
    _check.flag('missing_ok', missing_ok)

    def load(place: Place) -> Checkpoint:
        loaded = _load(cells, prefix, *place, strict)
        if module is not None:
            _resume(module, data, loaded, prefix, place, trusted)
        return loaded

    try:
        if epoch is None:
            return _newest(prefix, data, load, missing_ok)
        place = _check.whole('epoch', epoch, 0), 0
        if (missing_ok and not files.is_remote(prefix) and place not in files.places(prefix)):
            return None
        return load(place)
    except _SavedWithoutError as error:
        raise CheckpointError(str(error)) from None


def _newest(prefix: str, data: Data | None, load: Callable[[Place], Checkpoint], missing_ok: bool
            ) -> Checkpoint | None:
    if files.is_remote(prefix):
        raise ValueError('give epoch for a remote prefix, got None with %s' % prefix)
    candidates = Candidates(prefix, files.places(prefix, data is not None), load)
    loaded = candidates.newest()
    for lowest in worker_agreement.agree(prefix, data, lambda: candidates.loaded and (
            *candidates.place, candidates.loaded.arg_params)):
        loaded = candidates.newest(lowest)
    if loaded is None and not (missing_ok and all(
            isinstance(error, worker_agreement.UnfinishedError) for error in candidates.errors)):
        raise candidates.refusal()
    candidates.warn()
    return loaded


def _resume(module: mx.mod.BaseModule, data: Data | None, loaded: Checkpoint, prefix: str,
            place: Place, trusted: list[object]) -> None:
    """Let `module` resume from a checkpoint, as soon as it is bound and has its optimiser."""
    path = files.path_of(prefix, 'states', *place)
    if not place[1] and not os.path.exists(path):
        raise _SavedWithoutError(
            '%s was saved without an optimiser: there is no %s. Load it without module= to begin '
            'with a new optimiser, or give the epoch of an older checkpoint'
            % (files.path_of(prefix, 'params', *place), path))
    content = _optimizer.read(prefix, *place)
    found = _optimizer.decode(
        path, content, trusted + _optimizer.classes_of(module),
        placeholders=not module.optimizer_initialized)
    go_on = None
    if data is not None:
        if found.extra.parts is not None:
            here: object = worker_agreement.read_part(prefix, place, found.extra, data)
        elif found.extra.position is not None:
            here = found.extra.position
        else:
            raise _SavedWithoutError(
                '%s has no position in the data: it was saved without data=. Load it without '
                'data=, or give the epoch of an older checkpoint' % path)
        go_on = position.go_to(here, module, data, place[0], path)

    def restore() -> None:
        _optimizer.restore(module, _optimizer.decode(
            path, content, trusted + _optimizer.classes_of(module)))
        if go_on is not None:
            go_on(_optimizer.trained(module))

    _optimizer.when_done(module, 'bind', module.binded, functools.partial(
        checkpoint_faults.check_shapes, module, loaded.arg_params, loaded.aux_params,
        files.path_of(prefix, 'params', *place)), instead=True)
    _optimizer.when_done(module, 'init_optimizer', module.optimizer_initialized, restore,
                         instead=True)


def _load(cells: Sequence[Cell], prefix: str, epoch: int, batch: int, strict: bool) -> Checkpoint:
    path = files.path_of(prefix, 'params', epoch, batch)
    graph_path = files.path_of_graph(prefix)
    with failing('cannot load %s with %s' % (path, graph_path),
                 (mx.base.MXNetError, LookupError, ValueError, AssertionError)):
        if files.is_remote(prefix):
            symbol, read, aux_params = mx.model.load_checkpoint(prefix, epoch)
        else:
            if not batch:
                refuse_missing(prefix, epoch)
            symbol, read, aux_params = _read(path, graph_path)
        arg_params = read
        for cell in cells:
            arg_params = cell.pack_weights(arg_params)
    if strict:
        found = checkpoint_faults.faults(cells, symbol, read, arg_params, aux_params)
        if found:
            raise CheckpointError('%s does not fit the graph and the cells: %s'
                                  % (path, '; '.join(found)))
    return Checkpoint(symbol, arg_params, aux_params, epoch)


def _read(path: str, graph_path: str) -> tuple[mx.sym.Symbol, Weights, Weights]:
    """The graph, the parameters and the auxiliary states from checked local files."""
    with checked(path):
        read_graph(graph_path)
        symbol = mx.sym.load(graph_path)
        arrays = mx.nd.load(path) or {}  # without arrays it returns a list
    params, auxiliary = ({name[4:]: array for name, array in arrays.items()
                          if name.startswith(kind)} for kind in ('arg:', 'aux:'))
    return symbol, params, auxiliary
