"""The weights of a cell, packed as its graphs take them or split by gate."""
from __future__ import annotations

from typing import Any, Callable, Sequence

from .._graph.layout import KINDS
from .params import RNNParams
from .weights import Weights, copy_weights, group_weights, pack_gates, unpack_gates

__all__ = ['PackedWeights']


class PackedWeights:
    """What a cell does with arrays of its weights."""

    _kinds_: Sequence[str] = KINDS  #: weights and biases, or weights alone
    _num_hidden: int
    _prefix: str
    _params: RNNParams

    @property
    def _gate_names(self) -> Any:
        return ()

    def _weight_prefix_(self, args: Weights) -> str:
        """The prefix of this cell's weights in `args`: the cell's own if such names are there, as
        mxnet.rnn writes them, else the container's, as graphs have them."""
        own = group_weights(self._prefix, ('', *self._gate_names), self._kinds_)
        return self._prefix if any(name in args for name in own) else self._params._prefix

    def _converted_(self, args: Weights, convert: Callable[..., None]) -> Weights:
        args = copy_weights(args)
        if self._gate_names:
            convert(args, self._weight_prefix_(args), self._gate_names, self._num_hidden,
                    self._kinds_, self)
        return args

    def unpack_weights(self, args: Weights) -> Weights:
        """Split the weights of this cell by gate.

        Parameters
        ----------
        args : dict of str to NDArray
            As from ``Module.get_params()[0]``. Other parameters are passed through, and so are
            weights that are unpacked already.

        Returns
        -------
        dict of str to NDArray
            In place of ``lstm_i2h_weight`` of shape (4 * num_hidden, num_input), for instance,
            ``lstm_i2h_i_weight``, ``..._f_weight``, ``..._c_weight`` and ``..._o_weight`` of
            shape (num_hidden, num_input) each, and likewise for h2h and the biases.

        Raises
        ------
        MissingWeightsError
            A KeyError that lists what is missing and what there is.
        ValueError
            An array has another shape.
        """
        return self._converted_(args, unpack_gates)

    def pack_weights(self, args: Weights) -> Weights:
        """Join the weights of this cell's gates: the inverse of `unpack_weights`.

        Parameters
        ----------
        args : dict of str to NDArray
            With the weights of each gate; what is packed already is passed through.

        Returns
        -------
        dict of str to NDArray
            As the cell's graphs take them.

        Raises
        ------
        MissingWeightsError
            A KeyError that lists what is missing and what there is.
        ValueError
            An array has another shape.
        """
        return self._converted_(args, pack_gates)
