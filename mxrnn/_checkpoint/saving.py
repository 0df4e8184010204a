"""save_rnn_checkpoint: weights by gate, in the files of `mx.model.save_checkpoint`."""
from __future__ import annotations

import logging
from typing import Iterable, Sequence, Tuple

from .. import _check
from .._cells.weights_by_gate import Cell, Weights, cell_list
from .._files import atomic
from .._files import checkpoint_files as files
from .._files.params import add_checksum, check_params
from .._graph.symbol_json import read_graph
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import graph_of, with_casts
from . import optimizer_states as _optimizer
from .optimizer_states import Extra

__all__ = ['Companion', 'pinned', 'save', 'save_rnn_checkpoint']

_log = logging.getLogger('mxrnn.rnn')


def save_rnn_checkpoint(cells: Cell | Iterable[Cell], prefix: str, epoch: int,
                        symbol: mx.sym.Symbol | None, arg_params: Weights, aux_params: Weights, *,
                        checksum: bool = True) -> None:
    """Write a checkpoint with the weights of `cells` unpacked.

    Parameters
    ----------
    cells : BaseRNNCell or list of BaseRNNCell
        The cells whose weights are in `arg_params`; weights that are already unpacked stay so.
    prefix : str
        The beginning of the files' paths. Missing folders are created, so that a typo does not lose
        an epoch. A remote prefix (``s3://``, ``hdfs://``) goes to MXNet unchanged.
    epoch : int
        Number of trained epochs, at least 0.
    symbol : Symbol or None
        The graph, saved as ``<prefix>-symbol.json``; None keeps the file that is there.
    arg_params, aux_params : dict of str to NDArray
        Parameters and auxiliary states, saved as ``<prefix>-<epoch, 4 digits>.params``.
    checksum : bool, default True
        Whether the file of parameters gets a checksum, by which loading finds any damage. The
        checksum is in a word that MXNet reserves, writes as 0 and does not read. With False the
        file equals mxnet.rnn's, byte for byte.

    Raises
    ------
    CheckpointError
        A file could not be written. Other checkpoints are unchanged.
    MissingWeightsError, ValueError
        `arg_params` lacks weights of `cells` (a KeyError that lists them), or has them in another
        shape. Nothing is written.

    Notes
    -----
    A local checkpoint is written to a temporary folder beside its place, then renamed. So a killed
    process or a full disk leaves only whole checkpoints. Killed processes leave ``.mxrnn-….tmp``
    folders; the next save to the same place deletes them. There is one exception: an epoch is saved
    again with its optimiser's states, and the process is killed between the renames. The old
    parameters are then whole but have no states, and `load_rnn_checkpoint` with a module refuses
    that epoch.

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
    save(cell_list(cells), _check.path('prefix', prefix), epoch, symbol, arg_params, aux_params,
         checksum=_check.flag('checksum', checksum))


#: What the file beside the parameters (``.states``) has: the optimiser's states, as MXNet writes
#: them, and ours.
Companion = Tuple[bytes, Extra]


def save(cells: Sequence[Cell], prefix: str, epoch: int, symbol: mx.sym.Symbol | None,
         arg_params: Weights, aux_params: Weights, *, batch: int = 0,
         companion: Companion | None = None, checksum: bool = True) -> None:
    """Write a checkpoint, at the end of an epoch or after a `batch` of the next one.

    If there is a `companion`, it is written too.
    """
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
        return
    if any(value.stype != 'default' for value in [*arg_params.values(), *aux_params.values()]):
        mx.nd.waitall()  # MXNet was seen to write an array before it was computed
    kinds = ['params'] + ['symbol'] * (symbol is not None)
    if companion is not None:
        kinds.insert(0, 'states')
    # They are renamed in this order, so that parameters never lack their states.
    targets = {kind: files.path_of(prefix, kind, epoch, batch) for kind in kinds}
    with atomic.saving(targets['params'], list(targets.values()),
                       (OSError, mx.base.MXNetError)) as paths:
        staged = dict(zip(targets, paths))
        if symbol is not None:
            casts = any(node.op.startswith('amp_') for node in graph_of(symbol).walk())
            symbol.save(staged['symbol'], **({} if casts else with_casts(symbol.save)))
            read_graph(staged['symbol'])
        mx.nd.save(staged['params'], {
            kind + name: array.as_in_context(mx.cpu())
            for kind, params in (('arg:', arg_params), ('aux:', aux_params))
            for name, array in params.items()})
        with atomic.flushing(staged['params']):
            # MXNet does not notice that a disk is full when it closes a file.
            if checksum:
                add_checksum(staged['params'], files.path_above(prefix, epoch, batch))
            else:
                check_params(staged['params'])
            if companion is not None:
                with open(staged['states'], 'wb') as stream:
                    stream.write(_optimizer.encode(*companion, staged['params']))
    # As MXNet's save_checkpoint says it.
    _log.info('Saved checkpoint to "%s"', targets['params'])
    if companion is not None:
        _log.info('Saved optimizer states to "%s"', targets['states'])


def pinned(symbol: mx.sym.Symbol | None, module: mx.mod.BaseModule | None,
           current: mx.sym.Symbol | None) -> mx.sym.Symbol | None:
    """The graph to save: `symbol`, or the module's default bucket, or the `current` one."""
    if symbol is None and module is not None and getattr(module, '_buckets', None):
        symbol = module._buckets[module._default_bucket_key].symbol
    return current if symbol is None else symbol
