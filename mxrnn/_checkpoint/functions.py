"""Checkpoints that every kind of cell can read: save_rnn_checkpoint, load_rnn_checkpoint.

A checkpoint holds the weights apart, one array for each gate, so that a network that was trained
with a `FusedRNNCell` can be used with ordinary cells and the other way round. Its files are those
of `mx.model.save_checkpoint`.
"""
from __future__ import annotations

import collections
import contextlib
import logging
import os
from typing import Any, Iterable, Iterator, Sequence

from .. import _check
from .._runtime.mxnet import mx
from . import atomic, files, fitting, resume, states
from .arguments import cell_list, check_module, path_prefix
from .errors import CheckpointError, brief
from .format import check_params
from .graph import check_symbol
from .trusted import named_things

__all__ = ['Checkpoint', 'load_rnn_checkpoint', 'save', 'save_rnn_checkpoint']

_log = logging.getLogger('mxrnn.rnn')


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
    ...     mx.nd.load(folder + '/model-0007.params')['arg:lstm_i2h_i_weight'].shape
    (4, 5)
    """
    save(cell_list(cells), path_prefix(prefix), epoch, symbol, arg_params, aux_params)


def save(cells: Sequence[Any], prefix: str, epoch: int, symbol: Any, arg_params: Any,
         aux_params: Any, optimizer_states: bytes | None = None,
         extra: dict[str, Any] | None = None) -> None:
    """Write a checkpoint; with the states of the optimiser, and what goes with them, if given."""
    epoch = _check.whole('epoch', epoch, 0)
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
        _write(prefix, epoch, symbol, arg_params, aux_params, optimizer_states, extra or {})


def _write(prefix: str, epoch: int, symbol: Any, arg_params: dict, aux_params: dict,
           optimizer_states: bytes | None, extra: dict[str, Any]) -> None:
    """Write the files of a checkpoint so that, whatever happens, what was there before stays.

    They are renamed in this order: states, parameters, graph. So parameters never lack their
    states.
    """
    kinds = ['params'] + ['symbol'] * (symbol is not None)
    if optimizer_states is not None:
        kinds.insert(0, 'states')
    base = os.path.basename(prefix)
    try:
        with atomic.replacing([files.path_of(prefix, kind, epoch) for kind in kinds]) as stage:
            staged = os.path.join(stage, base)
            with _unlogged(stage):
                mx.model.save_checkpoint(staged, epoch, symbol, arg_params, aux_params)
            params_path = files.path_of(staged, 'params', epoch)
            if optimizer_states is not None:
                with open(files.path_of(staged, 'states', epoch), 'wb') as stream:
                    stream.write(states.encode(optimizer_states, extra, params_path))
            # MXNet does not notice a disk that fills up when it closes a file.
            check_params(params_path)
            if symbol is not None:
                check_symbol(files.path_of(staged, 'symbol'))
    except (OSError, mx.base.MXNetError) as error:
        raise CheckpointError('cannot save %s: %s' % (
            files.path_of(prefix, 'params', epoch), atomic.without_stage(brief(error)))) from error
    # As MXNet says it, with the name that the file has in the end.
    logging.info('Saved checkpoint to "%s"', files.path_of(prefix, 'params', epoch))
    if optimizer_states is not None:
        logging.info('Saved optimizer states to "%s"', files.path_of(prefix, 'states', epoch))


@contextlib.contextmanager
def _unlogged(stage: str) -> Iterator[None]:
    """Drop the messages that name the folder `stage`, which nobody will find."""
    def other(record: logging.LogRecord) -> bool:
        return stage not in record.getMessage()

    logging.root.addFilter(other)
    try:
        yield
    finally:
        logging.root.removeFilter(other)


class Checkpoint(collections.namedtuple('Checkpoint', ['symbol', 'arg_params', 'aux_params'])):
    """What `load_rnn_checkpoint` returns: a tuple of three that knows which epoch it is of.

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

    def __new__(cls, symbol: Any, arg_params: Any, aux_params: Any,
                epoch: int | None = None) -> Checkpoint:
        made = super().__new__(cls, symbol, arg_params, aux_params)
        made.epoch = epoch
        return made

    def _replace(self, **changes: Any) -> Checkpoint:
        made = super()._replace(**{name: value for name, value in changes.items()
                                   if name != 'epoch'})
        made.epoch = changes.get('epoch', self.epoch)
        return made


def load_rnn_checkpoint(cells: Any, prefix: str, epoch: int | None = None, *,
                        module: mx.mod.BaseModule | None = None,
                        strict: bool = True, trusted: Iterable[Any] = ()) -> Checkpoint:
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
        learning rate, stay; only its progress is taken over: what the one before had changed in
        itself. To go on with training::

            loaded = rnn.load_rnn_checkpoint(cells, prefix, module=module)
            module.fit(..., arg_params=loaded.arg_params, aux_params=loaded.aux_params,
                       begin_epoch=loaded.epoch)
    strict : bool, default True
        Refuse a file with parameters that neither its graph nor a cell knows, without parameters
        that the graph has, or with shapes or types that do not fit the graph.
    trusted : iterable of class or function
        What the states of the optimiser may name besides arrays, numbers, containers, MXNet's
        optimisers and schedulers, and the classes of the module's own optimiser and scheduler:
        for instance the class of an object that this optimiser keeps. Anything else is refused
        before it is called, since the file may be from somebody else.

    Returns
    -------
    Checkpoint
        A tuple (symbol, arg_params, aux_params), with the attribute `epoch`. The symbol is the one
        that was saved: if that was of other cells, build it again with `cells`.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated or foreign, or if names are missing or left over or shapes
        or types are wrong, or do not fit the module; all are listed. It is an `MXNetError` and a
        `KeyError`. What can be seen only when the module is bound or has its optimiser is raised
        then, by `fit`.

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
    if epoch is not None:
        epochs = [_check.whole('epoch', epoch, 0)]
    elif files.is_remote(prefix):
        raise ValueError('epoch must be given for a remote prefix, got None with %s' % prefix)
    else:
        epochs = files.epochs(prefix)
    broken = []
    for each in reversed(epochs):
        try:
            loaded = _load(cells, prefix, each, strict)
            if module is not None:
                _resume(module, loaded, prefix, trusted)
            return loaded
        except CheckpointError as error:
            if epoch is not None:
                raise
            broken.append(str(error))
            _log.warning('Skipped a checkpoint: %.300s', error)
    raise CheckpointError('no checkpoint of %s can be read: %s'
                          % (prefix, '; '.join(broken) or 'there is no %s-*.params' % prefix))


def _resume(module: Any, loaded: Checkpoint, prefix: str, trusted: list[Any]) -> None:
    """Let `module` go on from a checkpoint, as soon as it is bound and has its optimiser."""
    path, content = states.read(prefix, loaded.epoch)
    states.decode(path, content, trusted + resume.classes_of(module),
                  placeholders=not module.optimizer_initialized)

    def check_shapes() -> None:
        resume.check_shapes(module, loaded.arg_params, loaded.aux_params,
                            files.path_of(prefix, 'params', loaded.epoch))

    def restore() -> None:
        resume.restore(module, states.decode(path, content, trusted + resume.classes_of(module)))

    resume.when_done(module, 'bind', module.binded, check_shapes, instead=True)
    resume.when_done(module, 'init_optimizer', module.optimizer_initialized, restore, instead=True)


def _load(cells: Sequence[Any], prefix: str, epoch: int, strict: bool) -> Checkpoint:
    path, graph_path = files.path_of(prefix, 'params', epoch), files.path_of(prefix, 'symbol')
    if not files.is_remote(prefix):
        check_params(path)
        check_symbol(graph_path)
    try:
        symbol, read, aux_params = mx.model.load_checkpoint(prefix, epoch)
        arg_params = read
        for cell in cells:
            arg_params = cell.pack_weights(arg_params)
    except (mx.base.MXNetError, LookupError, ValueError, AssertionError) as error:
        raise CheckpointError('cannot load %s with %s: %s'
                              % (path, graph_path, brief(error))) from error
    if strict:
        graph = check_symbol(graph_path, symbol.tojson())
        found = fitting.faults(cells, symbol, graph['nodes'], read, arg_params, aux_params)
        if found:
            raise CheckpointError('%s does not fit the graph and the cells: %s'
                                  % (path, '; '.join(found)))
    return Checkpoint(symbol, arg_params, aux_params, epoch)
