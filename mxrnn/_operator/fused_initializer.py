"""The initialiser of sym.RNN's vector."""
from __future__ import annotations

import warnings
from typing import Any, TypeVar

from .. import _check
from .._graph.rnn_vector_layout import GATES, FusedLayout, Mode
from .._runtime.mxnet import mx

__all__ = ['check_projection', 'FusedRNN']


def check_projection(size: int | None, mode: str) -> int | None:
    """Return `size`, the argument projection_size, if layers of `mode` can have it."""
    if size is None:
        return None
    if mode != 'lstm':
        raise ValueError("projection_size must be None for mode %r, got %s: only 'lstm' has "
                         'projections' % (mode, _check.shown(size)))
    return _check.integer('projection_size', size, 1, _check.LARGEST)


T = TypeVar('T')


def _register(initializer: type[T]) -> type[T]:
    """Register `initializer` under its name in MXNet, in place of MXNet's own."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*overriding existing', UserWarning)
        return mx.init.register(initializer)


@_register
class FusedRNN(mx.init.Initializer):
    """Initialises the vector of a FusedRNNCell array by array, as in ordinary cells.

    FusedRNNCell sets it for its vector, so that a model's initialiser need not know the vector. Use
    it yourself if that is not enough: for initialisers that get no attributes of variables, or for
    `mx.init.Mixed` to treat arrays differently: ``Mixed(['.*_parameters', '.*'],
    [FusedRNN(Mixed(...), ...), Xavier()])``.

    Parameters
    ----------
    init : Initializer or callable, str, optional
        Called with each array and its name, such as 'lstm_l0_i2h_i_weight'; a str must be the
        result of its `dumps`. The model's own initialiser if None.
    num_hidden, num_layers, mode, bidirectional, forget_bias, projection_size
        As in the FusedRNNCell. In mode 'lstm', the forget gates' biases of both i2h and h2h are set
        to `forget_bias`.

    Notes
    -----
    Values and the variable's attribute equal those of ``mx.init.FusedRNN``.
    """

    def __init__(self, init: Any, num_hidden: int, num_layers: int, mode: Mode,
                 bidirectional: bool = False, forget_bias: float = 1.0, *,
                 projection_size: int | None = None) -> None:
        if isinstance(init, str):
            try:
                init = mx.init.create(init)
            except (AssertionError, ValueError) as error:
                raise ValueError('init must be the name of an initialiser, got %r: %s'
                                 % (init, error)) from None
        if init is not None:
            _check.function('init', init)
        self._layout = FusedLayout(
            _check.choice('mode', mode, GATES), _check.units(num_hidden),
            _check.integer('num_layers', num_layers, 1, _check.LARGEST),
            _check.flag('bidirectional', bidirectional),
            check_projection(projection_size, mode))
        projected = {} if projection_size is None else {'projection_size': projection_size}
        self._forget_bias = _check.number('forget_bias', forget_bias)
        super().__init__(init=init.dumps() if hasattr(init, 'dumps') else init,
                         num_hidden=self._layout.num_hidden, num_layers=self._layout.num_layers,
                         mode=mode, bidirectional=self._layout.bidirectional,
                         forget_bias=self._forget_bias, **projected)
        self._init = init

    def _init_weight(self, desc: str, arr: mx.nd.NDArray) -> None:
        init: Any = getattr(desc, 'global_init', None) if self._init is None else self._init
        while hasattr(init, '_init') and type(init).__name__ == 'FusedRNN':  # the model's
            init = init._init
        if init is None:
            raise ValueError('init of a FusedRNN that initialises %s by itself must be an '
                             'initialiser, got None' % desc)
        if len(arr.shape) != 1:  # another parameter of the model
            init(desc, arr)
            return
        prefix = desc[:-len('parameters')] if desc.endswith('parameters') else desc + '_'
        for part in self._layout.arrays(self._layout.num_input(arr.size, str(desc))):
            array = arr[part.begin:part.end].reshape(part.shape)  # in the memory of `arr`
            if (part.gate, part.kind) == ('_f', 'bias'):
                array[:] = self._forget_bias
            else:
                init(mx.init.InitDesc(prefix + part.name, global_init=init), array)

    _init_default = _init_weight  # MXNet does not know names that end in 'parameters'
