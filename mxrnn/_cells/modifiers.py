"""Cells that change the inputs or outputs of another cell."""
from __future__ import annotations

import contextlib
import contextvars
import functools
from typing import TYPE_CHECKING, Callable, Iterator

from .. import _check
from .._runtime.mxnet import mx
from .base_cells import ZEROS, BaseRNNCell, Step, check_cell, unroll_within
from .known_shapes import joins_are_known, known_shape
from .sequences import Inputs, check_symbol, merged, steps_of
from .states import StateInfo, States
from .unroll import Options, Unrolled
from .variables import RNNParams
from .weights_by_gate import Weights

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions

__all__ = ['CellAround', 'drop', 'DropoutCell', 'ModifierCell', 'ResidualCell', 'TRAINING']


class CellAround(BaseRNNCell):
    """A cell around another one: states and weights are the inner cell's."""

    base_cell: BaseRNNCell  #: the inner cell

    #: Whether something happens between the steps, so that `unroll` calls the cell step by step.
    _acts_between_steps_ = False

    def _inner_cells_(self) -> list[BaseRNNCell]:
        return [self.base_cell] if hasattr(self, 'base_cell') else []

    def _shared_params_(self) -> RNNParams:
        return self.base_cell.params

    @property
    def state_info(self) -> list[StateInfo]:
        return self.base_cell.state_info

    def unpack_weights(self, args: Weights) -> Weights:
        return self.base_cell.unpack_weights(args)

    def pack_weights(self, args: Weights) -> Weights:
        return self.base_cell.pack_weights(args)

    def _gives_steps_(self, steps: bool) -> bool:
        return self._acts_between_steps_ or self.base_cell._gives_steps_(steps)

    # How it unrolls

    def _before_(self, inputs: Inputs, begin_state: States | None, options: Options
                 ) -> tuple[Inputs, States | None, Options]:
        """What the inner cell gets to unroll."""
        return inputs, begin_state, options

    @contextlib.contextmanager
    def _unrolling_(self) -> Iterator[Callable[..., Unrolled]]:
        """The function that unrolls the inner cell inside the block."""
        yield functools.partial(unroll_within, self.base_cell)

    def _after_(self, outputs: Inputs, inputs: Inputs, options: Options) -> Inputs:
        """The outputs of this cell from those of the inner cell."""
        return outputs

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """The inner cell may unroll in its own way, so only whole sequences are changed, before and
        after it. A cell that acts between the steps goes step by step."""
        if self._acts_between_steps_:
            return super()._unroll_(inputs, begin_state, options)
        given = self._before_(inputs, begin_state, options)
        with self._unrolling_() as unroll:
            outputs, states = unroll(*given)
        return self._after_(outputs, inputs, options), states


class ModifierCell(CellAround):
    """The base of cells that change another cell.

    States and weights are the base cell's. From then on, use the base cell only through the
    modifier.

    Parameters
    ----------
    base_cell : BaseRNNCell
        The cell to change.

    Examples
    --------
    A cell that doubles the output of another:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> class Doubled(rnn.ModifierCell):
    ...     def __call__(self, inputs, states):
    ...         output, states = self.base_cell(inputs, states)
    ...         return output * 2, states
    >>> cell = Doubled(rnn.LSTMCell(16, prefix='lstm_'))
    >>> cell.unroll(3, mx.sym.Variable('x'))[0][0].infer_shape(x=(4, 3, 5))[1]
    [(4, 16)]
    """

    _acts_between_steps_ = True  # as a program's own modifiers do

    def __init__(self, base_cell: BaseRNNCell) -> None:
        check_cell('base_cell', base_cell)
        super().__init__()
        base_cell._modified = True
        self.base_cell = base_cell

    def __repr__(self) -> str:
        return '%s(%r)' % (type(self).__name__, self.base_cell)

    @contextlib.contextmanager
    def _base_unmodified_(self) -> Iterator[BaseRNNCell]:
        """The base cell, which may be used directly inside the block."""
        was, self.base_cell._modified = self.base_cell._modified, False
        try:
            yield self.base_cell
        finally:
            self.base_cell._modified = was

    @contextlib.contextmanager
    def _unrolling_(self) -> Iterator[Callable[..., Unrolled]]:
        with self._base_unmodified_() as base:
            yield functools.partial(unroll_within, base)

    def begin_state(self, init_sym: Callable[..., mx.sym.Symbol] = ZEROS, *,  # type: ignore[override]
                    func: Callable[..., mx.sym.Symbol] | None = None,
                    **kwargs: Unpack[VariableOptions]) -> list[mx.sym.Symbol]:
        """The base cell's `begin_state`; `init_sym` and `func` are two names for one argument."""
        self._check_unmodified_()
        if func is not None and init_sym not in (ZEROS, mx.sym.zeros):
            raise TypeError('init_sym and func of begin_state are two names for one argument: give '
                            'only one of them')
        with self._base_unmodified_() as base:
            return base.begin_state(init_sym if func is None else func, **kwargs)


class ResidualCell(ModifierCell):
    """Adds the input to the output (He et al. 2015; in stacks: Wu et al. 2016,
    https://arxiv.org/abs/1609.08144).

    Parameters
    ----------
    base_cell : BaseRNNCell
        A cell whose output is as wide as its input.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.ResidualCell(rnn.GRUCell(16, prefix='gru_'))     # 16 channels in, 16 out
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 16))[1]
    [(4, 20, 16)]
    """

    _in_fuse_ = 'modifier'
    _acts_between_steps_ = False

    def _add_(self, output: mx.sym.Symbol, inputs: mx.sym.Symbol) -> mx.sym.Symbol:
        return mx.sym.elemwise_add(output, inputs, name='%s_plus_residual' % output.name)

    def _check_sizes_(self, output: mx.sym.Symbol, inputs: mx.sym.Symbol) -> None:
        given = known_shape(inputs)
        made = known_shape(output) if any(given) else ()
        if len(made) == len(given) and any(
                0 < n != m > 0 for n, m in zip(made, given)) and all(
                    map(joins_are_known, (output, inputs))):
            raise ValueError('inputs of %r must have the shape of its output to be added to it, '
                             'got %s for %s (0: not known)' % (self, given, made))

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        output, states = self.base_cell(inputs, states)
        return self._add_(output, inputs), states

    def _after_(self, outputs: Inputs, inputs: Inputs, options: Options) -> Inputs:
        merge = options.merge_outputs
        if merge is None:
            merge = isinstance(outputs, mx.sym.Symbol)
        if merge:
            output, residual = (merged(each, options.layout) for each in (outputs, inputs))
            self._check_sizes_(output, residual)
            return self._add_(output, residual)
        inputs = steps_of(options.length, inputs, options.layout)
        self._check_sizes_(outputs[0], inputs[0])
        return [self._add_(*pair) for pair in zip(outputs, inputs)]


#: In the body of a loop: a Symbol that is 1 in training and otherwise 0. MXNet does not tell
#: operators in a loop whether they are in training.
TRAINING: contextvars.ContextVar[mx.sym.Symbol | None] = contextvars.ContextVar(
    'TRAINING', default=None)


def drop(data: mx.sym.Symbol, probability: float, **kwargs: str | tuple[int, ...]) -> mx.sym.Symbol:
    """Dropout in training; `kwargs` go to sym.Dropout."""
    training = TRAINING.get()
    if probability == 1:  # sym.Dropout would divide by 0
        ones = mx.sym.ones_like(data)
        kept = (mx.sym.Dropout(ones, p=0.5) == ones if training is None else
                mx.sym.broadcast_sub(ones, training))
        return kept * data
    if training is None:
        return mx.sym.Dropout(data=data, p=probability, **kwargs)
    mask = mx.sym.Dropout(mx.sym.ones_like(data), p=probability, mode='always')
    return (mx.sym.broadcast_mul(mask - 1, training) + 1) * data


class DropoutCell(BaseRNNCell):
    """Dropout on the input, for use between the cells of a stack (Srivastava et al. 2014).

    Parameters
    ----------
    dropout : float
        Probability that an element becomes 0 in training, from 0 to 1.
    prefix : str
        Not used: the operator's nodes have automatic names.
    params : RNNParams, optional
        The cell has no weights.

    Notes
    -----
    No states. A sequence that is one Symbol and need not be split gets a single mask.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> output, _ = rnn.DropoutCell(0.5).unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> bool(output.eval(x=mx.nd.ones((4, 20, 5)))[0].min() == 1)  # dropped in training only
    True
    """

    _in_fuse_ = 'dropout'
    _takes_sequences_ = True

    def __init__(self, dropout: float, prefix: str = 'dropout_',
                 params: RNNParams | None = None) -> None:
        super().__init__(prefix, params)
        self.dropout = _check.number('dropout', dropout, 0, 1)

    @property
    def state_info(self) -> list[StateInfo]:
        return []

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        check_symbol('inputs', inputs)
        if self.dropout > 0:
            inputs = drop(inputs, self.dropout)
        return inputs, states

    def _gives_steps_(self, steps: bool) -> bool:
        return steps
