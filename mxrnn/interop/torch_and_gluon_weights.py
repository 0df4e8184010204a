"""Weights without a graph: of cells that equal one torch.nn.LSTM, GRU or RNN, or Gluon's layer."""
from __future__ import annotations

import re
from typing import Any, Mapping

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell
from .cell_as_layers import read_arrays, stack_of, write_arrays

__all__ = ['from_gluon_params', 'from_torch_state_dict', 'gluon_params', 'torch_state_dict']

#: torch's names for each projection's arrays.
_TORCH = {'i2h': 'ih', 'h2h': 'hh', 'h2r': 'hr'}


def _torch_name(layer: int, side: int, group: str, kind: str) -> str:
    return '%s_%s_l%d%s' % (kind, _TORCH[group], layer, '_reverse' * side)


def _gluon_name(layer: int, side: int, group: str, kind: str) -> str:
    return '%s%d_%s_%s' % ('lr'[side], layer, group, kind)


#: Ends of names in Gluon's layers, and whole names in Gluon's files; misspelt ones are not ignored.
_IN_LAYERS = re.compile(r'(.*?)([lr]\d+_(?:i2h|h2h|h2r)_\w+)')
_IN_FILES = re.compile(r'(.*?)_unfused\.(\d+)\.(?:([lr])_cell\.)?((?:i2h|h2h|h2r)_\w+)')


def _gluon_key(name: str) -> tuple[str, str] | None:
    """A Gluon layer's prefix, and an array's name without it; None for another layer's array."""
    found = _IN_LAYERS.fullmatch(name)
    if found:
        return found.group(1), found.group(2)
    found = _IN_FILES.fullmatch(name)
    return (found.group(1), '%s%s_%s' % (found.group(3) or 'l', found.group(2), found.group(4))
            ) if found else None


def torch_state_dict(cell: BaseRNNCell, arg_params: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a cell as the state_dict of torch.nn.LSTM, GRU or RNN.

    Parameters
    ----------
    cell : BaseRNNCell
        A FusedRNNCell; an LSTMCell, LSTMPCell, GRUCell, or RNNCell with 'tanh' or 'relu'; a
        BidirectionalCell of two of these; or a stack of such layers. A stack's layers must have
        the same kind, width, number of directions, and all have biases or none. DropoutCells
        between them are allowed.
    arg_params : dict of str to NDArray or numpy.ndarray
        The cell's weights, packed or by gate; the rest is ignored.

    Returns
    -------
    dict of str to torch.Tensor
        For ``load_state_dict``. The numbers are the same bit for bit, because torch orders gates as
        MXNet does.

    Raises
    ------
    ValueError
        The cell does not equal such a layer; the message says why.
    MissingWeightsError
        `arg_params` lacks a weight of the cell.

    Examples
    --------
    >>> import mxrnn, torch
    >>> from mxrnn import interop, mx
    >>> cell = mxrnn.LSTMCell(4)
    >>> args = {'lstm_i2h_weight': mx.nd.ones((16, 3)), 'lstm_i2h_bias': mx.nd.zeros((16,)),
    ...         'lstm_h2h_weight': mx.nd.ones((16, 4)), 'lstm_h2h_bias': mx.nd.zeros((16,))}
    >>> torch.nn.LSTM(3, 4).load_state_dict(interop.torch_state_dict(cell, args))
    <All keys matched successfully>
    """
    from ._torch.module import tensor
    return {name: tensor(array)
            for name, array in read_arrays(cell, arg_params, _torch_name).items()}


def from_torch_state_dict(cell: BaseRNNCell, state_dict: Mapping[str, Any]
                          ) -> dict[str, np.ndarray]:
    """The weights of a cell from the state_dict of torch.nn.LSTM, GRU or RNN.

    Parameters
    ----------
    cell : BaseRNNCell
        As for `torch_state_dict`.
    state_dict : dict of str to torch.Tensor
        From a layer with the cell's biases (``bias=``) and projection (``proj_size=``).

    Returns
    -------
    dict of str to numpy.ndarray
        Packed, as the cell's graphs take them; ``cell.unpack_weights`` returns them by gate.

    Raises
    ------
    ValueError
        The cell does not equal such a layer, or the arrays do not fit the cell.

    Examples
    --------
    >>> import mxrnn, torch
    >>> from mxrnn import interop
    >>> state = torch.nn.GRU(3, 4, 2).state_dict()
    >>> weights = interop.from_torch_state_dict(mxrnn.FusedRNNCell(4, 2, 'gru'), state)
    >>> {name: array.shape for name, array in weights.items()}
    {'gru_parameters': (228,)}
    """
    _check.instance('state_dict', state_dict, Mapping, 'a dict of tensors by name')
    given = {name: value.detach().cpu().numpy().copy() for name, value in state_dict.items()}
    return write_arrays(cell, given, 'state_dict', _torch_name)


def gluon_params(cell: BaseRNNCell, arg_params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights of a cell as weights of gluon.rnn.LSTM, GRU or RNN.

    Parameters and errors are as in `torch_state_dict`. Cells without biases are refused, because
    Gluon has no such layers.

    Returns
    -------
    dict of str to numpy.ndarray
        By Gluon's names without the layer's prefix: 'l0_i2h_weight', 'r0_h2h_bias' and so on. To
        load them, call ``parameter.set_data(params[name])`` for each name and parameter in
        ``layer.collect_params()``, with the prefix removed from the name.

    Examples
    --------
    >>> import mxrnn, numpy as np
    >>> from mxrnn import interop
    >>> args = {'gru_parameters': np.zeros(108, 'float32')}
    >>> sorted(interop.gluon_params(mxrnn.FusedRNNCell(4, mode='gru'), args))
    ['l0_h2h_bias', 'l0_h2h_weight', 'l0_i2h_bias', 'l0_i2h_weight']
    """
    stack_of(cell, biased=True)
    return read_arrays(cell, arg_params, _gluon_name)


def from_gluon_params(cell: BaseRNNCell, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights of a cell from the weights of a Gluon layer: the inverse of `gluon_params`.

    Parameters
    ----------
    cell : BaseRNNCell
        As for `torch_state_dict`.
    params : dict of str to NDArray, numpy.ndarray or gluon.Parameter
        As ``layer.collect_params()`` names them, with or without the prefix, or as in the file of
        ``layer.save_parameters``; or those of a whole network with one such layer.

    Returns
    -------
    dict of str to numpy.ndarray
        Packed, as the cell's graphs take them.

    Raises
    ------
    ValueError
        The cell does not equal such a layer, or the arrays do not fit the cell, or those of several
        layers do.

    Examples
    --------
    >>> import mxrnn, numpy as np
    >>> from mxrnn import interop
    >>> arrays = {'l0_i2h_weight': np.zeros((4, 3)), 'l0_i2h_bias': np.zeros(4),
    ...           'l0_h2h_weight': np.zeros((4, 4)), 'l0_h2h_bias': np.zeros(4)}
    >>> sorted(interop.from_gluon_params(mxrnn.RNNCell(4), arrays))
    ['rnn_h2h_bias', 'rnn_h2h_weight', 'rnn_i2h_bias', 'rnn_i2h_weight']
    """
    if not callable(getattr(params, 'items', None)):  # Gluon's ParameterDict is no dict
        raise TypeError('params must be a dict of weights by name, got %s' % type(params).__name__)
    stack_of(cell, biased=True)
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, value in params.items():
        found = _gluon_key(name)
        if found is not None:
            value = value.data() if callable(getattr(value, 'data', None)) else value
            layers.setdefault(found[0], {})[found[1]] = (
                value.asnumpy() if hasattr(value, 'asnumpy') else np.array(value))
    fitting, faults = {}, {}
    for prefix, given in layers.items() or [('', dict(params.items()))]:
        try:
            fitting[prefix] = write_arrays(cell, given, 'params', _gluon_name)
        except ValueError as error:
            faults[prefix] = str(error)
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ValueError('params must have one layer like %r, but several are: pass only the '
                         'arrays whose names begin with %s' % (
                             cell, ' or '.join(map(repr, fitting))))
    raise ValueError(next(iter(faults.values())) if len(faults) == 1 else
                     'params must have a layer like %r, but: %s' % (cell, '; '.join(
                         '%s: %s' % pair for pair in faults.items())))
