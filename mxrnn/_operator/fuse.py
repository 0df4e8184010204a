"""fuse: runs ordinary cells through sym.RNN, with their own weights, or with all inputs at once."""
from __future__ import annotations

import contextlib
import copy
import functools
from typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple, Sequence

from .. import _check
from .._cells.base_cells import ZEROS, BaseRNNCell, Step, check_cell, unroll_within
from .._cells.containers import BidirectionalCell, SequentialRNNCell
from .._cells.dense import DenseCell
from .._cells.modifiers import CellAround, ModifierCell
from .._cells.noise import ZoneoutCell
from .._cells.sequences import Inputs, check_length, merged, steps_of, time_major
from .._cells.states import States, flatten
from .._cells.unroll import Options, Unrolled
from .._runtime.mxnet import mx
from .fuse_layers import Layer, OperatorCell
from .rnn_defects import corrupts, disabled

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions

__all__ = ['fuse', 'FusedUnroll', 'Plan', 'plan']


def _innermost(cell: BaseRNNCell) -> DenseCell:
    """The cell that projects the input of `cell` in each step."""
    while type(cell) is ZoneoutCell:
        cell = cell.base_cell
    return cell  # type: ignore[return-value]


def _projects_inputs(cell: BaseRNNCell) -> bool:
    """Whether `cell` only projects its inputs, in a known way."""
    inner = _innermost(cell)
    own = isinstance(inner, DenseCell) and '_in_fuse_' in vars(type(inner))
    return own and not any(map(_replaced_in, cell._all_cells_()))


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
        cell._project_ = lambda inputs, states, name: (  # type: ignore[method-assign]
            inputs, cell._project_states_(states, inputs, name))
        try:
            yield self.base_cell._unroll_
        finally:
            del cell._project_


def fuse(cell: BaseRNNCell, *, inputs_at_once: bool = False) -> BaseRNNCell:
    """A cell that computes the same as `cell` from the same weights, through sym.RNN.

    Parameters
    ----------
    cell : BaseRNNCell
        A cell or stack of any kind. It is not changed, and can still be used itself.
    inputs_at_once : bool
        In cells that are not fused, project the inputs of all steps in one product before the first
        step. That makes training of wide layers 1.1 to 1.6 times as fast. Convolutional cells and a
        program's own cells stay as they are.

    Returns
    -------
    BaseRNNCell
        Its `unroll` builds graphs with the same arguments as `cell`, so weights and checkpoints
        serve both. Steps, states and names are `cell`'s. The order of the arguments differs,
        and MXNet numbers the states of optimisers and draws initial values in that order. So resume
        training with the form, fused or not, with which the checkpoint was trained. The cell's
        `repr` says what is fused, and why the rest is not.

    Notes
    -----
    Fuses LSTMCell without state_clip, GRUCell, RNNCell with 'tanh' or 'relu', and a
    BidirectionalCell of two equal cells. Consecutive LSTMCells or GRUCells of one width share an
    operator. (They have one each in three cases: `valid_length` is given; the begin states are not
    known to be float32 or float16; MXNet is built for CPUs and there are fewer than 500 steps.)
    Other cells, including subclasses, unroll as usual, in the same place. In between, sequences
    stay time-major. Nothing is fused with MXNET_MKLDNN_ENABLED=0, which breaks sym.RNN, unless
    MXNET_USE_MKLDNN_RNN=0 is set too. With a CPU build, 'relu' is not fused for begin states that
    are known to be float64, because it would be rounded to float32. `fuse` also avoids the other
    defects of sym.RNN in ``docs/mxnet-defects.md``.

    Raises
    ------
    TypeError
        `cell` is not a cell, or `inputs_at_once` not a bool.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> stack = rnn.SequentialRNNCell()
    >>> stack.add(rnn.LSTMCell(16, prefix='l0_'))
    >>> stack.add(rnn.ZoneoutCell(rnn.LSTMCell(16, prefix='l1_'), 0.1))
    >>> fast = rnn.fuse(stack)
    >>> fast  # doctest: +ELLIPSIS
    fuse(SequentialRNNCell(sym.RNN('lstm', 16: LSTMCell(...)), ZoneoutCell(...) [not fused: ...]))
    >>> outputs, states = fast.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 16)]
    """
    return FusedUnroll(check_cell('cell', cell), _check.flag('inputs_at_once', inputs_at_once))


class FusedUnroll(CellAround):
    """A cell that is unrolled through sym.RNN, time-major; made by `fuse`."""

    _in_fuse_ = 'fuse'

    def __init__(self, cell: BaseRNNCell, inputs_at_once: bool = False) -> None:
        super().__init__(prefix=cell._prefix, params=cell._params)
        self._inputs_at_once = inputs_at_once
        self._own_params = cell._own_params
        self.base_cell = cell

    def __repr__(self) -> str:
        return 'fuse(%s)' % self._plan_().text

    def reset(self) -> None:
        super().reset()
        self._planned: Plan | None = None

    def _plan_(self) -> Plan:
        return plan(self.base_cell, inputs_at_once=self._inputs_at_once)

    def _plan_of_unroll_(self) -> Plan:
        """The plan from `reset` on. Not made earlier, because it copies containers."""
        if self._planned is None:
            self._planned = self._plan_()
        return self._planned

    @property
    def _masks_padding_(self) -> bool:  # type: ignore[override]
        return self._plan_of_unroll_().cell._masks_padding_

    def begin_state(self, func: Callable[..., mx.sym.Symbol] = ZEROS,
                    **kwargs: Unpack[VariableOptions]) -> list[mx.sym.Symbol]:
        self._check_unmodified_()
        return self.base_cell.begin_state(func, **kwargs)

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        return self.base_cell(inputs, states)

    def _before_(self, inputs: Inputs, begin_state: States | None, options: Options
                 ) -> tuple[Inputs, States | None, Options]:
        if not self._plan_of_unroll_().fused:
            return inputs, begin_state, options
        length = options.length
        states = self._first_states_(begin_state, options.dtype)
        if isinstance(inputs, mx.sym.Symbol):
            inputs = options.lengths.typed(inputs, flatten(states))
            inputs = self._of_length(length, inputs, options.layout)
        else:
            length = len(inputs)
        return inputs, states, options._replace(length=length, layout='TNC', shared=True)

    @contextlib.contextmanager
    def _unrolling_(self) -> Iterator[Callable[..., Unrolled]]:
        planned = self._plan_of_unroll_()
        if not planned.fused:
            yield functools.partial(unroll_within, self.base_cell)
            return
        # Leaves the counters as if the cells were unrolled one by one. Cells in a container are
        # reset when its states are made; a cell in a modifier makes its own states.
        owner = self.base_cell
        while isinstance(owner, ModifierCell):
            owner = owner.base_cell
        made = owner._init_counter
        for cell in owner._inner_cells_():
            cell.reset()
        yield planned.cell._unroll_
        owner._init_counter = made

    def _after_(self, outputs: Inputs, inputs: Inputs, options: Options) -> Inputs:
        if not self._plan_of_unroll_().fused:
            return outputs
        steps = not isinstance(inputs, mx.sym.Symbol)
        if options.merge_outputs is None and self._gives_steps_(steps):
            outputs = steps_of(len(inputs) if steps else options.length, outputs, 'TNC')
        if isinstance(outputs, mx.sym.Symbol):
            outputs = time_major(outputs, options.layout)
        return outputs

    def _of_length(self, length: int | None, inputs: mx.sym.Symbol, layout: str) -> mx.sym.Symbol:
        """`inputs` with time first, in a graph that only takes sequences of `length`."""
        check_length(length, inputs, layout)
        inputs = time_major(inputs, layout)
        if length is None:
            return inputs
        name = self._prefix + 'fused_'
        inputs = mx.sym.Reshape(inputs, shape=(-4, length, 1, -2), name=name + 'steps')
        return mx.sym.Reshape(inputs, shape=(-3, -2), name=name + 'sequence')

    def _gives_steps_(self, steps: bool) -> bool:
        return all(type(cell).unroll is BaseRNNCell.unroll for cell in self.base_cell._all_cells_()
                   ) and self.base_cell._gives_steps_(steps)


class Plan(NamedTuple):
    """A cell, and how it is fused."""

    cell: BaseRNNCell  #: the replacement; the cell itself if nothing in it is fused
    width: int  #: channels of its output, 0 if unknown
    fused: bool  #: whether something in it is fused
    text: str  #: what is fused, and why the rest is not
    parts: Sequence[Plan] = ()  #: of a stack


def plan(cell: BaseRNNCell, width: int = 0, inputs_at_once: bool = False) -> Plan:
    """`cell` with operators in place of everything that can be fused.

    Its input has `width` channels, 0 if unknown. With `inputs_at_once`, other cells get projected
    inputs where possible.
    """
    kind = type(cell)
    role = vars(kind).get('_in_fuse_', '%s may compute something else' % kind.__name__)
    found = (_PARTS[role](cell, width, inputs_at_once) if role in _PARTS else _unfused(cell, role))
    if inputs_at_once and not found.fused and _projects_inputs(cell):
        return found._replace(cell=ProjectedCell(cell), fused=True,
                              text=found.text[:-1] + '; inputs at once]')
    return found


def _unfused(cell: BaseRNNCell, reason: str, width: int = 0) -> Plan:
    return Plan(cell, width, False, '%r [not fused: %s]' % (cell, reason))


def _operator(layer: Layer, width: int) -> Plan:
    operator = OperatorCell([layer], width)
    return Plan(operator, layer.width, True, repr(operator))


def _replaced_in(cell: BaseRNNCell) -> list[str]:
    """The methods of `cell` that a program has replaced."""
    return [name for name in vars(cell) if callable(getattr(type(cell), name, None))]


def _layer(cell: DenseCell) -> Layer | str:
    """`cell` as a layer of sym.RNN, or the reason why it cannot be one."""
    kind = type(cell)
    if disabled():
        return 'MXNET_MKLDNN_ENABLED=0 breaks sym.RNN'
    replaced = _replaced_in(cell)
    if replaced:
        return 'its %s is replaced' % replaced[0]
    if cell._clip_ is not None:
        return 'sym.RNN does not clip states on CPUs'
    activation = cell._activation if cell._has_activation_ else 'tanh'
    mode = kind._modes_.get(activation) if isinstance(activation, str) else None
    if mode is None:
        return 'sym.RNN has no activation %r' % (activation,)
    if corrupts(cell._num_hidden):
        return 'MXNet 1.7 corrupts memory where it trains sym.RNN of one unit'
    return Layer(mode, cell._num_hidden, [cell], cell)


def _plan_layer(cell: DenseCell, width: int, inputs_at_once: bool) -> Plan:
    layer = _layer(cell)
    return _unfused(cell, layer) if isinstance(layer, str) else _operator(layer, width)


def _plan_directions(cell: BidirectionalCell, width: int, inputs_at_once: bool) -> Plan:
    joined = cell._merge_ == 'concat'
    sides = [plan(side, width, inputs_at_once) for side in cell._cells]
    layers = [side.cell.layers for side in sides if isinstance(side.cell, OperatorCell)]
    if len(layers) == 2 and all(len(each) == len(each[0].cells) == 1 for each in layers):
        (forward,), (backward,) = layers
        if forward.alike(backward):
            return _operator(forward._replace(cells=forward.cells + backward.cells,
                                              whole=cell), width)
    widths = [side.width for side in sides]
    return _around(cell, sides, (sum(widths) if joined else widths[0]) if all(widths) else 0,
                   '_cells')


def _plan_modifier(cell: ModifierCell, width: int, inputs_at_once: bool) -> Plan:
    base = plan(cell.base_cell, width, inputs_at_once)
    return _around(cell, [base], base.width, 'base_cell')


def _plan_stack(cell: SequentialRNNCell, width: int, inputs_at_once: bool) -> Plan:
    parts: list[Plan] = []
    for child in cell._cells:
        planned = plan(child, width, inputs_at_once)
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
    """A container of its cells' replacements."""
    fused = any(part.fused for part in inner)
    text = '%s(%s)' % (type(cell).__name__, ', '.join(part.text for part in inner))
    if fused:
        cell = copy.copy(cell)
        cells = [part.cell for part in inner]
        setattr(cell, attribute, cells if attribute == '_cells' else cells[0])
    return Plan(cell, width, fused, text)


_PARTS: dict[str, Callable[[Any, int, bool], Plan]] = {
    'layer': _plan_layer, 'directions': _plan_directions, 'modifier': _plan_modifier,
    'stack': _plan_stack,
    'fuse': lambda cell, width, _: plan(cell.base_cell, width, cell._inputs_at_once),
    'dropout': lambda cell, width, _: _unfused(cell, 'it is no layer', width)}
