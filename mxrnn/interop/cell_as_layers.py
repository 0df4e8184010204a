"""A cell's arrays as those of one torch.nn.LSTM, GRU or RNN, or of Gluon's layer, and back."""
from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, NamedTuple, Tuple

import numpy as np

from .. import _check
from .._cells.base_cells import BaseRNNCell
from .._cells.containers import BidirectionalCell, SequentialRNNCell
from .._cells.dense import GRUCell, LSTMCell, LSTMPCell, RNNCell
from .._cells.modifiers import DropoutCell
from .._graph.rnn_vector_layout import GATES, GROUPS, FusedLayout
from .._operator.fused_cell import FusedRNNCell

__all__ = ['read_arrays', 'stack_of', 'write_arrays']

#: Group and kind of an array: ('i2h', 'weight').
_Key = Tuple[str, str]


class _Part(NamedTuple):
    """One direction of one layer, or a whole fused cell: its kind, its widths and its arrays."""

    mode: str
    num_hidden: int
    width: int  #: channels of the output
    #: The cell's name for each array; in a fused cell all names are those of one vector.
    names: Mapping[_Key, str]
    layout: FusedLayout | None = None

    def described(self, directions: int) -> str:
        """Properties that all layers of a cell must share."""
        return '%s of %d units, %d directions%s%s' % (
            self.mode, self.num_hidden, directions,
            ', projected to %d' % self.width if ('h2r', 'weight') in self.names else '',
            '' if self.biased else ', without biases')

    @property
    def biased(self) -> bool:
        return ('i2h', 'bias') in self.names

    def shape(self, group: str, kind: str, width: int) -> tuple[int, ...]:
        """The shape of an array, for an input of `width` channels."""
        rows = self.num_hidden * len(GATES[self.mode])
        if kind == 'bias':
            return (rows,)
        return {'i2h': (rows, width), 'h2h': (rows, self.width),
                'h2r': (self.width, self.num_hidden)}[group]


class _Layer(NamedTuple):
    """One layer: for each direction, the part that has its arrays and its number in that part."""

    directions: tuple[_Part, ...]
    number: int = 0


def _layers(cell: Any) -> Iterator[_Layer]:
    """The layers of `cell`, lowest first."""
    kind = type(cell)
    if kind is SequentialRNNCell:
        for inner in cell._cells:
            yield from _layers(inner)
    elif kind is FusedRNNCell:
        if cell._clip_:
            raise ValueError('%r clips its states, but layers of torch do not' % cell)
        layout = cell._layout_
        part = _Part(cell._mode, cell._num_hidden, layout.num_output, {
            (array.group, array.kind): cell._parameter.name for array in layout.arrays(1)}, layout)
        for number in range(cell._num_layers):
            yield _Layer((part,) * len(layout.directions), number)
    elif kind is BidirectionalCell:
        sides = [list(_layers(side)) for side in cell._cells]
        if any(len(side) != 1 or len(side[0].directions) != 1 or side[0].directions[0].layout
               for side in sides):
            raise ValueError('one direction of %r has several layers' % cell)
        yield _Layer(tuple(side[0].directions[0] for side in sides))
    elif kind is not DropoutCell:  # which has no weights
        yield _Layer((_plain(cell),))


def _plain(cell: Any) -> _Part:
    kind, modes = type(cell), {RNNCell: '', LSTMCell: 'lstm', LSTMPCell: 'lstm', GRUCell: 'gru'}
    if kind not in modes:
        raise ValueError('torch and Gluon have no layer like %s' % kind.__name__)
    mode = modes[kind] or 'rnn_%s' % (cell._activation,)
    if cell._clip_ is not None:
        raise ValueError('%r clips its states, but layers of torch do not' % cell)
    if mode not in GATES:
        raise ValueError('torch and Gluon have no layer with activation %r' % (cell._activation,))
    keys = [(group, kind) for group in GROUPS for kind in cell._kinds_]
    if kind is LSTMPCell:
        keys.append(('h2r', 'weight'))
    return _Part(mode, cell._num_hidden, cell.state_shape[0][1],
                 {key: '%s%s_%s' % (cell._params._prefix, *key) for key in keys})


def stack_of(cell: BaseRNNCell, biased: bool = False) -> list[_Layer]:
    """The layers of `cell`, all of one kind and, if `biased`, with biases; otherwise ValueError."""
    _check.instance('cell', cell, BaseRNNCell, 'a cell of mxrnn')
    try:
        layers = list(_layers(cell))
        if not layers:
            raise ValueError('it has no layers')
        parts = [part for layer in layers for part in layer.directions]
        kinds = {part.described(len(layer.directions)) for layer in layers
                 for part in layer.directions}
        if len(kinds) > 1:
            raise ValueError('its layers differ: %s' % '; '.join(sorted(kinds)))
        if biased and not all(part.biased for part in parts):
            raise ValueError("it has no biases, but all of Gluon's layers have biases")
        owners = {(tuple(part.names.values()), layer.number, side)
                  for layer in layers for side, part in enumerate(layer.directions)}
        if len(owners) < len(parts):
            raise ValueError('its layers share weights')
    except ValueError as error:
        raise ValueError('cell must equal one layer of torch or Gluon, but %r does not: %s'
                         % (cell, error)) from None
    return layers


def read_arrays(cell: BaseRNNCell, arg_params: Mapping[str, Any],
                named: Callable[[int, int, str, str], str]) -> dict[str, np.ndarray]:
    """The arrays of each layer and direction, under the names that `named` returns."""
    layers = stack_of(cell)
    _check.instance('arg_params', arg_params, Mapping, 'a dict of weights by name')
    params = {name: value.asnumpy() if hasattr(value, 'asnumpy') else np.asarray(value)
              for name, value in cell.pack_weights(dict(arg_params)).items()}
    found = {}
    for i, layer in enumerate(layers):
        for side, part in enumerate(layer.directions):
            arrays = {key: params[name] for key, name in part.names.items()}
            if part.layout is not None:
                name, vector = part.names['i2h', 'weight'], arrays['i2h', 'weight']
                width = part.layout.num_input(vector.size, name)
                arrays = {(each.group, each.kind):
                          vector[each.begin:each.end].reshape(each.shape)
                          for each in part.layout.arrays(width, by_gate=False)
                          if (each.layer, each.direction) == (layer.number, 'lr'[side])}
            for key in part.names:
                found[named(i, side, *key)] = arrays[key]
    return found


def write_arrays(cell: BaseRNNCell, given: Mapping[str, np.ndarray], what: str,
                 named: Callable[[int, int, str, str], str]) -> dict[str, np.ndarray]:
    """The packed weights of `cell`, from arrays under the names that `named` returns."""
    layers = stack_of(cell)
    needed = [named(i, side, *key) for i, layer in enumerate(layers)
              for side, part in enumerate(layer.directions) for key in part.names]
    missing = [name for name in needed if name not in given]
    extra = [name for name in given if name not in needed]
    if missing or extra:
        raise ValueError('%s must contain the arrays of %r; missing %s, unknown %s' % (
            what, cell, ', '.join(missing) or 'none', ', '.join(extra) or 'none'))
    result: dict[str, np.ndarray] = {}
    vectors: dict[str, dict[tuple[int, str, str, str], np.ndarray]] = {}
    widths: dict[str, tuple[FusedLayout, int]] = {}
    width = given[needed[0]].shape[-1]
    for i, layer in enumerate(layers):
        for side, part in enumerate(layer.directions):
            own = {key: given[named(i, side, *key)] for key in part.names}
            for key, array in own.items():
                shape = part.shape(*key, width)
                if array.shape != shape:
                    raise ValueError('%s of %s must have the shape %s, got %s' % (
                        named(i, side, *key), what, shape, array.shape))
            if part.layout is None:
                for key, name in part.names.items():
                    result[name] = own[key]
            else:
                name = next(iter(part.names.values()))
                vectors.setdefault(name, {}).update(
                    {(layer.number, 'lr'[side], *key): array for key, array in own.items()})
                widths.setdefault(name, (part.layout, width))
        width = sum(part.width for part in layer.directions)
    for name, arrays in vectors.items():
        layout, width = widths[name]
        result[name] = np.concatenate([
            arrays[each.layer, each.direction, each.group, each.kind].reshape(-1)
            for each in layout.arrays(width, by_gate=False)])
    return result
