"""Which parts of a cell go through sym.RNN.

Each class says what it is to `fuse` in `_in_fuse_`, which is looked up in the class itself: a
subclass, which may compute something else, does not inherit it. It is one of `_PARTS`, or the
reason why its cells are not fused.
"""
from __future__ import annotations

import copy
from typing import Any, NamedTuple, Sequence

from .._cells.base import BaseRNNCell
from .environment import corrupts, disabled
from .layers import Layer, OperatorCell

__all__ = ['Plan', 'plan']


class Plan(NamedTuple):
    """What `plan` makes of a cell."""

    cell: BaseRNNCell  #: what is unrolled in its place; itself, if nothing in it is fused
    width: int  #: channels of its output, 0 if they are not known
    fused: bool  #: whether something in it is fused
    text: str  #: what is fused, and why the rest is not
    parts: Sequence[Plan] = ()  #: of a stack


def plan(cell: BaseRNNCell, width: int = 0) -> Plan:
    """`cell` with operators in the place of what can be fused.

    Its input has `width` channels, 0 if they are not known.
    """
    kind = type(cell)
    role = vars(kind).get('_in_fuse_', '%s may compute something else' % kind.__name__)
    if role in _PARTS:
        return _PARTS[role](cell, width)
    return _unfused(cell, role)


def _unfused(cell: BaseRNNCell, reason: str, width: int = 0) -> Plan:
    return Plan(cell, width, False, '%r [not fused: %s]' % (cell, reason))


def _operator(layer: Layer, width: int) -> Plan:
    operator = OperatorCell([layer], width)
    return Plan(operator, layer.width, True, repr(operator))


def _layer(cell: Any) -> Layer | str:
    """`cell` as a layer of sym.RNN, or why it is none."""
    kind = type(cell)
    if disabled():
        return 'MXNET_MKLDNN_ENABLED=0 breaks sym.RNN'
    replaced = [name for name in vars(cell) if callable(getattr(kind, name, None))]
    if replaced:
        return 'its %s is replaced' % replaced[0]
    if cell._options_:
        return 'sym.RNN does not clip states on CPUs'
    activation = cell._activation if cell._has_activation_ else 'tanh'
    mode = kind._modes_.get(activation) if isinstance(activation, str) else None
    if mode is None:
        return 'sym.RNN has no activation %r' % (activation,)
    if corrupts(cell._num_hidden):
        return 'MXNet 1.7 corrupts memory where it trains sym.RNN of one unit'
    return Layer(mode, cell._num_hidden, [cell], cell)


def _plan_layer(cell: BaseRNNCell, width: int) -> Plan:
    layer = _layer(cell)
    return _unfused(cell, layer) if isinstance(layer, str) else _operator(layer, width)


def _plan_dropout(cell: BaseRNNCell, width: int) -> Plan:
    return _unfused(cell, 'it is no layer', width)


def _plan_directions(cell: Any, width: int) -> Plan:
    joined = cell._merge_ == 'concat'
    sides = [plan(side, width) for side in cell._cells]
    layers = [side.cell.layers for side in sides if isinstance(side.cell, OperatorCell)]
    if len(layers) == 2 and all(len(each) == len(each[0].cells) == 1 for each in layers):
        (forward,), (backward,) = layers
        if forward.alike(backward):
            return _operator(forward._replace(cells=forward.cells + backward.cells,
                                              whole=cell), width)
    widths = [side.width for side in sides]
    return _around(cell, sides, (sum(widths) if joined else widths[0]) if all(widths) else 0,
                   '_cells')


def _plan_modifier(cell: Any, width: int) -> Plan:
    base = plan(cell.base_cell, width)
    return _around(cell, [base], base.width, 'base_cell')


def _plan_stack(cell: Any, width: int) -> Plan:
    parts: list[Plan] = []
    for child in cell._cells:
        planned = plan(child, width)
        width = planned.width
        for part in planned.parts or [planned]:
            both = (isinstance(part.cell, OperatorCell) and parts
                    and isinstance(parts[-1].cell, OperatorCell)
                    and parts[-1].cell.joined(part.cell))
            if both:
                parts[-1] = part._replace(cell=both, text=repr(both))
            else:
                parts.append(part)
    return _around(cell, parts, width, '_cells')._replace(parts=parts)


def _around(cell: BaseRNNCell, inner: Sequence[Plan], width: int, attribute: str) -> Plan:
    """A container over what its cells became."""
    fused = any(part.fused for part in inner)
    text = '%s(%s)' % (type(cell).__name__, ', '.join(part.text for part in inner))
    if fused:
        cell = copy.copy(cell)
        cells = [part.cell for part in inner]
        setattr(cell, attribute, cells if attribute == '_cells' else cells[0])
    return Plan(cell, width, fused, text)


def _plan_fused(cell: Any, width: int) -> Plan:
    return plan(cell._cell, width)


_PARTS = {'layer': _plan_layer, 'dropout': _plan_dropout, 'directions': _plan_directions,
          'modifier': _plan_modifier, 'stack': _plan_stack, 'fuse': _plan_fused}
