"""What layers a cell is, if all of them are of one kind, as torch's and Gluon's layers are."""
from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple, Tuple

from .. import _check
from .._cells.base import BaseRNNCell
from .._cells.containers import BidirectionalCell, SequentialRNNCell
from .._cells.dense import GRUCell, LSTMCell, LSTMPCell, RNNCell
from .._cells.dropout import DropoutCell
from .._cells.names import GATES, GROUPS
from .._operator.fused import FusedRNNCell
from .._operator.layout import FusedLayout

__all__ = ['Layer', 'Part', 'stack_of']

#: Group and kind of an array: ('i2h', 'weight').
_Key = Tuple[str, str]


class Part(NamedTuple):
    """One direction of one layer, or all of a fused cell: its kind, its widths and its arrays."""

    mode: str
    num_hidden: int
    width: int  #: channels of the output
    #: What the cell calls each array; all are the one vector of a fused cell.
    names: Mapping[_Key, str]
    layout: FusedLayout | None = None

    def described(self, directions: int) -> str:
        """What layers of one kind have in common."""
        return '%s of %d units, %d directions%s%s' % (
            self.mode, self.num_hidden, directions,
            ', projected to %d' % self.width if ('h2r', 'weight') in self.names else '',
            '' if self.biased else ', without biases')

    @property
    def biased(self) -> bool:
        return ('i2h', 'bias') in self.names

    def shape(self, group: str, kind: str, width: int) -> tuple[int, ...]:
        """Of an array, for an input of `width` channels."""
        rows = self.num_hidden * len(GATES[self.mode])
        if kind == 'bias':
            return (rows,)
        return {'i2h': (rows, width), 'h2h': (rows, self.width),
                'h2r': (self.width, self.num_hidden)}[group]


class Layer(NamedTuple):
    """One layer: for each direction the part that has its arrays, and its number in there."""

    directions: tuple[Part, ...]
    number: int = 0


def _layers(cell: Any) -> Iterator[Layer]:
    """The layers of `cell`, lowest first."""
    kind = type(cell)
    if kind is SequentialRNNCell:
        for inner in cell._cells:
            yield from _layers(inner)
    elif kind is FusedRNNCell:
        if cell._clip_:
            raise ValueError('%r clips its states, which layers of torch do not' % cell)
        layout = cell._layout_
        part = Part(cell._mode, cell._num_hidden, layout.num_output, {
            (array.group, array.kind): cell._parameter.name for array in layout.arrays(1)}, layout)
        for number in range(cell._num_layers):
            yield Layer((part,) * len(layout.directions), number)
    elif kind is BidirectionalCell:
        sides = [list(_layers(side)) for side in cell._cells]
        if any(len(side) != 1 or len(side[0].directions) != 1 or side[0].directions[0].layout
               for side in sides):
            raise ValueError('a direction of %r is more than one layer' % cell)
        yield Layer(tuple(side[0].directions[0] for side in sides))
    elif kind is not DropoutCell:  # which has no weights
        yield Layer((_plain(cell),))


def _plain(cell: Any) -> Part:
    kind = type(cell)
    if kind not in (RNNCell, LSTMCell, GRUCell, LSTMPCell):
        raise ValueError('they have no layer like %s' % kind.__name__)
    mode = {LSTMCell: 'lstm', LSTMPCell: 'lstm', GRUCell: 'gru'}.get(
        kind) or 'rnn_%s' % (cell._activation,)
    if cell._options_:
        raise ValueError('%r clips its states, which layers of torch do not' % cell)
    if mode not in GATES:
        raise ValueError('their layers have no activation %r' % (cell._activation,))
    keys = [(group, kind) for group in GROUPS for kind in cell._kinds_]
    if kind is LSTMPCell:
        keys.append(('h2r', 'weight'))
    return Part(mode, cell._num_hidden, cell.state_shape[0][1],
                 {key: '%s%s_%s' % (cell._params._prefix, *key) for key in keys})


def stack_of(cell: BaseRNNCell, biased: bool = False) -> list[Layer]:
    """The layers of `cell`, all of one kind; else what is wrong is raised. `biased` says whether
    they must have biases."""
    _check.instance('cell', cell, BaseRNNCell, 'a cell of mxrnn')
    try:
        layers = list(_layers(cell))
        parts = [part for layer in layers for part in layer.directions]
        kinds = {part.described(len(layer.directions))
                 for layer in layers for part in layer.directions}
        if not layers:
            raise ValueError('it has no layers')
        if len(kinds) > 1:
            raise ValueError('its layers differ: %s' % '; '.join(sorted(kinds)))
        if biased and not all(part.biased for part in parts):
            raise ValueError("it has no biases, and all of Gluon's layers have")
        owners = {(tuple(part.names.values()), layer.number, side)
                  for layer in layers for side, part in enumerate(layer.directions)}
        if len(owners) < len(parts):
            raise ValueError('it has layers that share weights')
    except ValueError as error:
        raise ValueError('cell must be the same as one layer of torch or Gluon, but %r is not: %s'
                         % (cell, error)) from None
    return layers
