"""Cells that unroll after one product has projected the inputs of all steps."""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator

from .._cells.base_cells import BaseRNNCell
from .._cells.dense import DenseCell
from .._cells.modifiers import CellAround
from .._cells.noise import ZoneoutCell
from .._cells.sequences import Inputs, merged, steps_of, time_major
from .._cells.states import States
from .._cells.unroll import Options, Unrolled
from .._runtime.mxnet import mx

__all__ = ['ProjectedCell', 'projects_inputs']


def _innermost(cell: Any) -> Any:
    """The cell that projects the input of `cell` in each step."""
    while type(cell) is ZoneoutCell:
        cell = cell.base_cell
    return cell


def projects_inputs(cell: BaseRNNCell) -> bool:
    """Whether `cell` only projects its inputs, in a known way."""
    inner = _innermost(cell)
    own = isinstance(inner, DenseCell) and '_in_fuse_' in vars(type(inner))
    return own and not any(callable(getattr(type(each), name, None))
                           for each in cell._all_cells_() for name in vars(each))


class ProjectedCell(CellAround):
    """`cell`, in which each step begins with the projection of its input."""

    can_step = False

    def __init__(self, cell: BaseRNNCell) -> None:
        super().__init__()
        self.base_cell = cell

    def _before_(self, inputs: Inputs, begin_state: States | None, options: Options
                 ) -> tuple[Inputs, States | None, Options]:
        cell = _innermost(self.base_cell)
        length = options.length if isinstance(inputs, mx.sym.Symbol) else len(inputs)
        name = cell._prefix + 'inputs_'
        sequence = time_major(merged(inputs, options.layout), options.layout)
        rows = cell._project_inputs_(
            mx.sym.Reshape(sequence, shape=(-3, -2), name=name + 'rows'), name)
        projected = steps_of(length, mx.sym.Reshape(
            rows, shape=(-4, length, -1, -2), name=name + 'sequence'), 'TNC')
        return projected, begin_state, options._replace(length=length)

    @contextlib.contextmanager
    def _unrolling_(self) -> Iterator[Callable[..., Unrolled]]:
        cell = _innermost(self.base_cell)
        cell._project_ = lambda inputs, states, name: (
            inputs, cell._project_states_(states, inputs, name))
        try:
            yield self.base_cell._unroll_
        finally:
            del cell._project_
