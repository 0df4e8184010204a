"""The weights of FusedRNNCell: one vector, and its parts by gate."""
from __future__ import annotations

from .._cells.base import BaseRNNCell
from .._cells.gates import MODES
from .._cells.weights import (
    ARRAYS,
    Weights,
    copy_rows,
    copy_weights,
    join_weights,
    take_weights,
)
from .._graph.layout import FusedLayout, Mode
from .._runtime.mxnet import mx

__all__ = ['PackedVector']


class PackedVector(BaseRNNCell):
    """A cell whose weights are one vector; abstract."""

    _mode: Mode
    _num_hidden: int
    _num_layers: int
    _bidirectional: bool
    _projection_size_: int | None
    _parameter: mx.sym.Symbol  #: the vector

    @property
    def _gate_names(self) -> list[str]:
        return list(MODES[self._mode].gates)

    @property
    def _num_gates(self) -> int:
        return len(self._gate_names)

    @property
    def _layout_(self) -> FusedLayout:
        return FusedLayout(self._mode, self._num_hidden, self._num_layers, self._bidirectional,
                           self._projection_size_)

    def _shapes_(self, num_input: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the vector's arrays by their names, which begin with the cell's prefix."""
        return {self._prefix + array.name: array.shape for array in self._layout_.arrays(num_input)}

    def _slice_weights(self, arr: mx.nd.NDArray, li: int, lh: int) -> Weights:
        """Parts of the vector `arr` by name, in its memory, for `li` input channels and `lh`
        units."""
        layout = self._layout_._replace(num_hidden=lh)
        if arr.size != layout.size(li):
            raise ValueError('arr must have %d elements for %r and %d input channels, got %d'
                             % (layout.size(li), layout, li, arr.size))
        return {self._prefix + array.name: arr[array.begin:array.end].reshape(array.shape)
                for array in layout.arrays(li)}

    def unpack_weights(self, args: Weights) -> Weights:
        """Split the vector into the arrays that ordinary cells would have, by gate.

        In place of ``lstm_parameters``, ``lstm_l0_i2h_i_weight`` of shape (num_hidden, num_input)
        and so on for each layer, direction, group, gate and kind; the width of the input follows
        from the vector's size. What else is in `args`, and what is raised, is as in
        `BaseRNNCell.unpack_weights`.
        """
        args = copy_weights(args)
        vector_name = self._parameter.name
        if vector_name not in args and all(name in args for name in self._shapes_(0)):
            return args
        vector, = take_weights(args, {vector_name: (0,)}, self)
        for array in self._layout_.arrays(self._layout_.num_input(vector.size, vector_name)):
            args[self._prefix + array.name] = copy_rows(vector, array.begin,
                                                        array.end).reshape(array.shape)
        return args

    def pack_weights(self, args: Weights) -> Weights:
        """Join the arrays of all gates into the vector: the inverse of `unpack_weights`."""
        args = copy_weights(args)
        vector_name, shapes = self._parameter.name, self._shapes_(0)
        if vector_name in args and not any(name in args for name in shapes):
            vector, = take_weights(args.copy(), {vector_name: (0,)}, self)
            self._layout_.num_input(vector.size, vector_name)  # refuses other sizes
            return args
        first = args.get(next(iter(shapes)))
        if isinstance(first, ARRAYS) and len(first.shape) == 2:
            shapes = self._shapes_(first.shape[1])
        pieces = take_weights(args, shapes, self)
        # In rows: MXNet's operator is many times as fast along the first of two axes as of one.
        rows = [piece.reshape((-1, self._num_hidden)) for piece in pieces]
        args[vector_name] = join_weights(vector_name, rows).reshape((-1,))
        return args
