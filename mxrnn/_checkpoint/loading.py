"""load_rnn_checkpoint: weights packed as the cells have them, and a module that goes on."""
from __future__ import annotations

import os
from typing import Any, Callable, Iterable, Literal, NamedTuple, Sequence, overload

from .. import _check
from .._files import CheckpointError, cause_of, reason_of
from .._files import checkpoint_names as files
from .._files.checkpoint_names import Candidates, Place
from .._files.params import checked
from .._graph.symbol_json import read_graph
from .._runtime.mxnet import mx
from . import optimizer_resume, position, states, validation
from .position import Data
from .safe_pickle import named_things
from .saving import Cell, Params, cell_list, check_module, path_prefix
from .states import as_mxnet_1

__all__ = ['Checkpoint', 'load_rnn_checkpoint']


class Checkpoint(NamedTuple('Checkpoint', [
        ('symbol', mx.sym.Symbol), ('arg_params', Params), ('aux_params', Params)])):
    """A checkpoint that was read: a tuple of three that knows which epoch it is of.

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

    def __new__(cls, symbol: mx.sym.Symbol, arg_params: Params, aux_params: Params,
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
    """A checkpoint is whole, but was saved without something that is asked for.

    It is not skipped: training that went on from an older one would write over it.
    """


class _UnfinishedError(CheckpointError):
    """Several workers have ended while they wrote their first checkpoint."""


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
        warning; one that was saved without what `module` or `data` need is an error.
    module : BaseModule, optional
        The states of its optimiser are read too, from the checkpoint that `do_rnn_checkpoint`
        wrote with the same option: at once if the module has an optimiser, otherwise as soon as
        `fit` or `init_optimizer` gives it one. The settings of that optimiser, such as the
        learning rate, stay; only its progress is taken over: what the one before had changed in
        itself. To go on with training::

            loaded = rnn.load_rnn_checkpoint(cells, prefix, module=module)
            module.fit(..., arg_params=loaded.arg_params, aux_params=loaded.aux_params,
                       begin_epoch=loaded.epoch)
    data : DataIter, optional
        The iterator that `do_rnn_checkpoint` was given as `data`, made with the same arguments:
        `BucketSentenceIter` or `StreamIter`. It goes to where the checkpoint was saved, and so do
        the random generators, when the module gets its optimiser. Checkpoints within an epoch
        count then, too, and the first epoch of `fit` is the rest of that one, which is all that
        its metric covers. Put the iterator into a `mx.io.PrefetchingIter` after this. It needs
        `module`. Each of several workers gives its part of the data, with as many parts as when the
        checkpoint was saved. If their store is there already, they agree through it on the newest
        that all of them can read.
    strict : bool, default True
        Refuse a file with parameters that neither its graph nor a cell knows, without parameters
        that the graph has, or with shapes or types that do not fit the graph.
    trusted : iterable of class or function
        What the states of the optimiser may name besides arrays, numbers, containers, MXNet's
        optimisers and schedulers, and the classes of the module's own optimiser and scheduler:
        for instance the class of an object that this optimiser keeps. Anything else is refused
        before it is called, since the file may be from somebody else.
    missing_ok : bool, default False
        Return None where no checkpoint has been written yet, or several workers have begun to
        write their first one and were killed. Files that are damaged remain an error.

    Returns
    -------
    Checkpoint or None
        A tuple (symbol, arg_params, aux_params), with the attribute `epoch`. The symbol is the one
        that was saved: if that was of other cells, build it again with `cells`.

    Raises
    ------
    CheckpointError
        If a file is missing (of several workers: of any of them), truncated or foreign, or if names
        are missing or left over or shapes or types are wrong, or do not fit the module; all are
        listed. It is an `MXNetError` and a `KeyError`. What can be seen only when the module is
        bound or has its optimiser is raised then, by `fit`.
    ValueError
        If the position is of other data than `data`, or of other arguments, such as another seed.

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
    cells, prefix = cell_list(cells), path_prefix(prefix)
    check_module(module)
    _check.flag('strict', strict)
    trusted = list(_check.iterable('trusted', trusted, 'classes or functions'))
    named_things(trusted)  # which refuses others
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
        if (missing_ok and not files.is_remote(prefix)
                and place not in files.places(prefix, missing_ok=True)):
            return None
        return load(place)
    except _SavedWithoutError as error:
        raise CheckpointError(str(error)) from None


def _newest(prefix: str, data: Data | None, load: Callable[[Place], Checkpoint], missing_ok: bool
            ) -> Checkpoint | None:
    if files.is_remote(prefix):
        raise ValueError('epoch must be given for a remote prefix, got None with %s' % prefix)
    candidates = Candidates(prefix, files.places(prefix, data is not None, missing_ok), load)
    loaded = candidates.newest()
    for lowest in validation.agree(prefix, data, lambda: candidates.loaded and (
            *candidates.place, candidates.loaded.arg_params)):
        loaded = candidates.newest(lowest)
    if loaded is None and not (missing_ok and all(isinstance(error, _UnfinishedError)
                                                  for error in candidates.errors)):
        raise candidates.refusal()
    candidates.warn()
    return loaded


def _resume(module: mx.mod.BaseModule, data: Data | None, loaded: Checkpoint, prefix: str,
            place: Place, trusted: list[object]) -> None:
    """Let `module` go on from a checkpoint, as soon as it is bound and has its optimiser."""
    path = files.path_of(prefix, 'states', *place)
    if not place[1] and not os.path.exists(path):
        raise _SavedWithoutError(
            '%s was saved without an optimiser: there is no %s. Load it without module=, and the '
            'optimiser begins anew, or give the epoch of an older checkpoint'
            % (files.path_of(prefix, 'params', *place), path))
    path, content = states.read(prefix, *place)
    found = states.decode(path, content, trusted + optimizer_resume.classes_of(module),
                          placeholders=not module.optimizer_initialized)
    go_on = None
    if data is not None:
        if found.extra.parts is not None:
            try:
                here = position.read_part(prefix, place, found.extra, data)
            except CheckpointError as error:
                if position.unfinished(prefix, place, found.extra):
                    raise _UnfinishedError(str(error)) from None
                raise
        elif found.extra.position is not None:
            here = found.extra.position
        else:
            raise _SavedWithoutError(
                '%s has no position in the data: it was saved without data=. Load it without '
                'data=, or give the epoch of an older checkpoint' % path)
        go_on = position.go_to(here, module, data, place[0], path)

    def check_shapes() -> None:
        optimizer_resume.check_shapes(module, loaded.arg_params, loaded.aux_params,
                                      files.path_of(prefix, 'params', *place))

    def restore() -> None:
        optimizer_resume.restore(module, states.decode(
            path, content, trusted + optimizer_resume.classes_of(module)))
        if go_on is not None:
            go_on(optimizer_resume.trained(module))

    optimizer_resume.when_done(module, 'bind', module.binded, check_shapes, instead=True)
    optimizer_resume.when_done(module, 'init_optimizer', module.optimizer_initialized, restore,
                               instead=True)


def _load(cells: Sequence[Cell], prefix: str, epoch: int, batch: int, strict: bool) -> Checkpoint:
    path = files.path_of(prefix, 'params', epoch, batch)
    graph_path = files.path_of(prefix, 'symbol')
    try:
        if files.is_remote(prefix):
            with as_mxnet_1():
                symbol, read, aux_params = mx.model.load_checkpoint(prefix, epoch)
        else:
            if not batch:
                files.refuse_missing(prefix, epoch)
            symbol, read, aux_params = _read(path, graph_path)
        arg_params = read
        for cell in cells:
            arg_params = cell.pack_weights(arg_params)
    except CheckpointError:
        raise
    except (mx.base.MXNetError, LookupError, ValueError, AssertionError) as error:
        raise CheckpointError('cannot load %s with %s: %s'
                              % (path, graph_path, reason_of(error))) from cause_of(error)
    if strict:
        found = validation.faults(cells, symbol, read, arg_params, aux_params)
        if found:
            raise CheckpointError('%s does not fit the graph and the cells: %s'
                                  % (path, '; '.join(found)))
    return Checkpoint(symbol, arg_params, aux_params, epoch)


def _read(path: str, graph_path: str) -> tuple[mx.sym.Symbol, Params, Params]:
    """The graph, the parameters and the auxiliary states of local files that were looked over."""
    with checked(path):
        read_graph(graph_path)
        symbol = mx.sym.load(graph_path)
        with as_mxnet_1():
            arrays = mx.nd.load(path) or {}  # a list where there is none
    params, auxiliary = ({name[4:]: array for name, array in arrays.items()
                          if name.startswith(kind)} for kind in ('arg:', 'aux:'))
    return symbol, params, auxiliary
