"""Weights as arrays: taken from a dict by name and shape, and packed and unpacked by gate."""
from __future__ import annotations

import os
import warnings
from typing import Any, Dict, Iterable, Mapping, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

from .. import _check
from .._graph.rnn_vector_layout import GROUPS, KINDS, gate_array
from .._runtime.mxnet import mx
from .variables import RNNParams

__all__ = ['ARRAYS', 'Cell', 'MissingWeightsError', 'PackedWeights', 'Weights', 'cell_list',
           'copy_weights', 'join_weights', 'take_weights']

Weights = Dict[str, mx.nd.NDArray]

Array = Union[mx.nd.NDArray, 'np.ndarray']
#: Shapes by name: 0 stands for any length, and None at the end for more axes.
Shapes = Mapping[str, Tuple[Optional[int], ...]]

#: The classes that weights may have.
ARRAYS = (mx.nd.NDArray, np.ndarray)


class MissingWeightsError(KeyError):
    """Weights to pack or unpack are missing. A KeyError, as in mxnet.rnn, with a readable message.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> try:
    ...     rnn.LSTMCell(4, prefix='lstm_').pack_weights({})
    ... except rnn.MissingWeightsError as error:
    ...     print(str(error)[:60])  # doctest: +ELLIPSIS
    the weights for LSTMCell...
    """

    def __str__(self) -> str:
        return self.args[0]


# Arrays

def copy_weights(args: object) -> Weights:
    """A copy of a dictionary of weights; the arrays stay the same."""
    return _check.instance('args', args, dict, 'a dict of weights by name').copy()


def join_weights(name: str, pieces: Sequence[Array]) -> mx.nd.NDArray:
    """`pieces` of the weight `name`, joined along the first axis, in the first's type and place."""
    first = pieces[0]
    widths = {piece.shape[1:] for piece in pieces}
    if len(widths) > 1:
        raise ValueError('the gates of %s must have the same number of inputs, got the shapes %s'
                         % (name, ', '.join(str(piece.shape) for piece in pieces)))
    if all(isinstance(piece, mx.nd.NDArray) and piece.dtype == np.float32
           and piece.context.device_type == 'cpu' for piece in pieces):
        return mx.nd.concat(*pieces, dim=0)
    shape = (sum(len(piece) for piece in pieces),) + first.shape[1:]
    joined = mx.nd.empty(shape, ctx=getattr(first, 'context', None), dtype=first.dtype)
    begin = 0
    for piece in pieces:
        joined[begin:begin + len(piece)] = piece
        begin += len(piece)
    return joined


# By name and shape

def take_weights(args: Weights, shapes: Shapes, whose: PackedWeights
                 ) -> list[mx.nd.NDArray]:
    """Remove the weights named in `shapes` from `args` and return them in that order.

    Raises MissingWeightsError if some are missing, ValueError for other shapes.
    """
    missing = [name for name in shapes if name not in args]
    if missing:
        others = _other_prefixes(args, missing) or _other_gates(args, missing)
        wanted = ['%s of shape %s' % (name, _written(shapes[name])) for name in missing]
        raise MissingWeightsError('%sthe weights for %r lack %s; there are: %s' % (
            others, whose, _some(wanted, 2 if others else 32),
            _some(sorted(map(str, args)), 8) or 'none'))
    for name, shape in shapes.items():
        _check.instance(name, args[name], ARRAYS, 'an NDArray')
        fixed = tuple(n for n in shape if n is not None)
        has = args[name].shape
        if len(has) < len(fixed) or (len(has) > len(fixed) and shape[-1:] != (None,)) or any(
                want not in (0, came) for want, came in zip(fixed, has)):
            raise ValueError('%s of %r must have the shape %s, got %s'
                             % (name, whose, _written(shape), has))
    return [args.pop(name) for name in shapes]


def _written(shape: tuple[int | None, ...]) -> str:
    return '(%s)' % ', '.join('...' if n is None else str(n or 'any') for n in shape)


def _some(names: list[str], most: int) -> str:
    more = ['... (%d in all)' % len(names)] if len(names) > most else []
    return ', '.join(names[:most] + more)


def _prefixes(names: Iterable[object]) -> set[str]:
    """The prefixes of layers in the names of weights."""
    return {name.rpartition(group)[0] for name in map(str, names) for group in GROUPS
            if group in name}


def _other_prefixes(args: Weights, missing: Iterable[str]) -> str:
    """A hint if the weights in `args` seem to belong to cells with other prefixes; or ''."""
    there, wanted = _prefixes(args), _prefixes(missing)
    if not there or not wanted.isdisjoint(there):
        return ''
    layers, others = (', '.join(map(repr, sorted(each))) for each in (there, wanted))
    return ('the weights are of %d layer%s (%s), and none of %s: use cells of these layers; ' % (
        len(there), 's' * (len(there) > 1), layers, others))


def _other_gates(args: Weights, missing: Iterable[str]) -> str:
    """A hint if the weights in `args` seem to belong to a cell with other gates; or ''."""
    prefix = min(_prefixes(missing), default='')
    there, wanted = ({name[len(prefix + group):].rpartition('_')[0].lstrip('_')
                      for name in map(str, names) for group in GROUPS
                      if name.startswith(prefix + group)} for names in (args, missing))
    if not there or '' in there | wanted or wanted <= there:
        return ''
    return ('the weights of %r are of the gates %s, and none of %s: use the kind of cell that was '
            'trained; ' % (prefix, ', '.join(sorted(there)), ', '.join(sorted(wanted - there))))


# By gate

def group_weights(prefix: str, gates: Sequence[str] = ('',), kinds: Sequence[str] = KINDS
                  ) -> list[str]:
    """Names of a cell's arrays: by group, then gate, then kind."""
    return [prefix + gate_array(group, kind, gate)
            for group in GROUPS for gate in gates for kind in kinds]


class PackedWeights:
    """Packs and unpacks the arrays of a cell's weights."""

    _kinds_: Sequence[str] = KINDS  #: weights and biases, or only weights
    _num_hidden: int
    _prefix: str
    _params: RNNParams

    @property
    def _gate_names(self) -> Sequence[str]:
        return ()

    def _weight_prefix_(self, args: Weights) -> str:
        """The prefix of this cell's weights in `args`: the cell's own if such names exist, as
        mxnet.rnn writes them, otherwise the container's, as in graphs."""
        own = group_weights(self._prefix, ('', *self._gate_names), self._kinds_)
        return self._prefix if any(name in args for name in own) else self._params._prefix

    def _converted_(self, args: Weights, pack: bool) -> Weights:
        args, gates, kinds = copy_weights(args), self._gate_names, self._kinds_
        if not gates:
            return args
        prefix, rows = self._weight_prefix_(args), self._num_hidden
        whole = {name: (len(gates) * rows, None) for name in group_weights(prefix, kinds=kinds)}
        parts = {name: (rows, None) for name in group_weights(prefix, gates, kinds)}
        given, wanted = (parts, whole) if pack else (whole, parts)
        if given != wanted and wanted.keys() <= args.keys() and given.keys().isdisjoint(args):
            if pack:
                take_weights(args.copy(), wanted, self)  # refuses other shapes
            return args
        arrays = dict(zip(given, take_weights(args, given, self)))
        for group in GROUPS:
            for i, gate in enumerate([''] if pack else gates):
                for kind in kinds:
                    name = prefix + gate_array(group, kind, gate)
                    args[name] = join_weights(name, [
                        arrays[prefix + gate_array(group, kind, each)] for each in gates
                    ]) if pack else arrays[prefix + gate_array(group, kind)][
                        i * rows:(i + 1) * rows].copy()
        return args

    def unpack_weights(self, args: Weights) -> Weights:
        """Split the weights of this cell by gate.

        Parameters
        ----------
        args : dict of str to NDArray
            From ``Module.get_params()[0]``. Other parameters and weights that are already unpacked
            stay.

        Returns
        -------
        dict of str to NDArray
            For instance, ``lstm_i2h_weight`` of shape (4 * num_hidden, num_input) becomes
            ``lstm_i2h_i_weight``, ``..._f_weight``, ``..._c_weight`` and ``..._o_weight`` of
            shape (num_hidden, num_input) each. Likewise for h2h and the biases.

        Raises
        ------
        MissingWeightsError
            A KeyError that lists missing and present weights.
        ValueError
            An array has another shape.
        """
        return self._converted_(args, pack=False)

    def pack_weights(self, args: Weights) -> Weights:
        """Join the weights of this cell's gates: the inverse of `unpack_weights`.

        Parameters
        ----------
        args : dict of str to NDArray
            With the weights of each gate. Weights that are already packed stay.

        Returns
        -------
        dict of str to NDArray
            As the cell's graphs take them.

        Raises
        ------
        MissingWeightsError
            A KeyError that lists missing and present weights.
        ValueError
            An array has another shape.
        """
        return self._converted_(args, pack=True)


class Cell(Protocol):
    """A cell of mxrnn, mxnet.rnn or a program: it packs and unpacks its weights."""

    def pack_weights(self, args: Weights) -> Weights: ...
    def unpack_weights(self, args: Weights) -> Weights: ...


def cell_list(cells: Cell | Iterable[Cell]) -> list[Cell]:
    """The cells in `cells`, one cell or any container of cells, as a list."""
    found: list[Any] = [cells]
    if isinstance(cells, (str, os.PathLike)):
        raise TypeError('cells, the first argument, must be a cell or a list of cells, got %s: '
                        'prefix is the second argument' % _check.shown(cells))
    if not hasattr(cells, 'pack_weights'):
        found = list(_check.iterable('cells', cells, 'cells'))
    for cell in found:
        if _check.foreign(cell):
            warnings.warn('cells has %s' % _check.foreign(cell), stacklevel=3)
        if isinstance(cell, type) and hasattr(cell, 'pack_weights'):
            raise TypeError('each of cells must be a cell, got the class %s: call it'
                            % cell.__name__)
        if not (hasattr(cell, 'pack_weights') and hasattr(cell, 'unpack_weights')):
            _check.instance('each of cells', cell, (), 'a cell')
    return found
