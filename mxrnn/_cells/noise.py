"""Cells that add noise to another cell in training."""
from __future__ import annotations

import contextlib
from typing import Callable, Iterator

import numpy as np

from .. import _check
from .._runtime.mxnet import mx
from .base_cells import BaseRNNCell, Step, check_cell
from .known_shapes import Kind, known_shape, known_type, unknown
from .modifiers import ModifierCell, drop
from .sequences import Inputs, check_symbol, merged, time_axis
from .states import States, flatten
from .unroll import Options, Unrolled

__all__ = ['VariationalDropoutCell', 'WeightDropCell', 'ZoneoutCell']


def _check_steps(base_cell: BaseRNNCell, modifier: str) -> None:
    check_cell('base_cell', base_cell)
    blocker = base_cell._blocker_()
    if blocker is not None:
        raise ValueError('base_cell must be a cell that can be stepped, but %r cannot be: put '
                         '%s around the cells in it (unfuse() a FusedRNNCell first)'
                         % (blocker, modifier))


def _other_type(states: list[mx.sym.Symbol]) -> Kind:
    """The type of `states`, if it is known and not float32."""
    return next((kind for kind in map(known_type, states) if kind not in (None, np.float32)), None)


class ZoneoutCell(ModifierCell):
    """Zoneout (Krueger et al. 2016, https://arxiv.org/abs/1606.01305): in training, elements keep
    their value from the step before.

    Parameters
    ----------
    base_cell : BaseRNNCell
        A cell that can be stepped.
    zoneout_outputs, zoneout_states : float
        Probabilities, from 0 to 1, that an element of the output or a state keeps its value.
    consistent : bool
        If an output is also a state, draw once for both, with `zoneout_outputs`, as the paper does.
        `zoneout_states` is then for the other states. By default the output and the state are
        drawn separately and differ.

    Notes
    -----
    Before the first step the output counts as 0, and a state is its begin state, even if it is also
    the output.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.ZoneoutCell(rnn.LSTMCell(16, prefix='lstm_'), zoneout_outputs=0.1,
    ...                        zoneout_states=0.1)
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 16)]
    """

    _in_fuse_ = 'it changes what one step hands to the next'

    def __init__(self, base_cell: BaseRNNCell, zoneout_outputs: float = 0.,
                 zoneout_states: float = 0., *, consistent: bool = False) -> None:
        _check_steps(base_cell, 'ZoneoutCell')
        super().__init__(base_cell)
        self._consistent_ = _check.flag('consistent', consistent)
        self.zoneout_outputs = _check.number('zoneout_outputs', zoneout_outputs, 0, 1)
        self.zoneout_states = _check.number('zoneout_states', zoneout_states, 0, 1)

    def reset(self) -> None:
        super().reset()
        self.prev_output: mx.sym.Symbol | None = None
        self._dtype_: _check.DType | None = None  #: the output's type, if `unroll` got one

    # The output before the first step: zeros.

    def _rank_(self, output: mx.sym.Symbol | None = None) -> int:
        shapes = self.base_cell.state_shape or ([] if output is None else [known_shape(output)])
        return len(shapes[0]) if shapes and shapes[0] else 2

    def _kept_between_steps_(self, states: list[mx.sym.Symbol], dtype: _check.DType | None
                             ) -> dict[str, mx.sym.Symbol | None]:
        if self.zoneout_outputs == 0:
            return {'prev_output': None}
        return {'prev_output': mx.sym.zeros(unknown((0,) * self._rank_()),
                                            dtype=dtype or _other_type(states))}

    def _before_first_(self, output: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> mx.sym.Symbol:
        # mxnet.rnn supports only an output that is a float32 matrix.
        if self.zoneout_outputs == 0 or self._rank_(output) == 2 and (
                self._dtype_ or _other_type([*states, output])) in (None, 'float32', np.float32):
            return mx.sym.zeros(unknown((0, 0)))
        return mx.sym.zeros_like(output)

    def _first_states_(self, begin_state: States | None, dtype: _check.DType | None) -> States:
        self._dtype_ = dtype
        return super()._first_states_(begin_state, dtype)

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        def mix(probability: float, new: mx.sym.Symbol, old: mx.sym.Symbol) -> mx.sym.Symbol:
            if probability == 0:
                return new
            keep = drop(mx.sym.ones_like(new), probability)
            return mx.sym.where(keep, new, old)

        states = flatten(states)
        output, new_states = self.base_cell(inputs, states)
        if len(states) != len(new_states):
            raise ValueError('states of %r must be %d Symbols, as its begin_state() returns, got %d'
                             % (self, len(new_states), len(states)))
        one = [self._consistent_ and new is output for new in new_states]
        if not any(one):
            previous = self.prev_output
            if previous is None:
                previous = self._before_first_(output, states)
            output = mix(self.zoneout_outputs, output, previous)
        new_states = [mix(self.zoneout_outputs if same else self.zoneout_states, new, old)
                      for same, new, old in zip(one, new_states, states)]
        if any(one):
            output = new_states[one.index(True)]
        self.prev_output = output
        return output, new_states


class VariationalDropoutCell(ModifierCell):
    """Dropout with one mask for all steps of a sequence (Gal and Ghahramani 2016,
    https://arxiv.org/abs/1512.05287), like Gluon's cell of this name.

    Each element of each sequence has its own mask, which is drawn in every forward pass.

    Parameters
    ----------
    base_cell : BaseRNNCell
        If `drop_states` is above 0, a cell that can be stepped.
    drop_inputs, drop_outputs : float
        Probability, from 0 to 1, that an element of the input or the output is 0 in training, in
        all steps of a sequence.
    drop_states : float
        The same for the first state, which is the previous step's output, where it enters the base
        cell. Other states, such as the memory of an LSTM, are never dropped.

    Notes
    -----
    If you call the cell step by step, the first step after `reset` draws the masks. A loop of
    `dynamic_unroll` has no first step and refuses this cell.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.VariationalDropoutCell(rnn.LSTMCell(16, prefix='lstm_'), drop_inputs=0.3,
    ...                                   drop_states=0.3)
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 16)]
    """

    def __init__(self, base_cell: BaseRNNCell, drop_inputs: float = 0., drop_states: float = 0.,
                 drop_outputs: float = 0.) -> None:
        self.drop_inputs = _check.number('drop_inputs', drop_inputs, 0, 1)
        self.drop_states = _check.number('drop_states', drop_states, 0, 1)
        self.drop_outputs = _check.number('drop_outputs', drop_outputs, 0, 1)
        if drop_states > 0:
            _check_steps(base_cell, 'VariationalDropoutCell')
        super().__init__(base_cell)

    def reset(self) -> None:
        super().reset()
        self.drop_inputs_mask = self.drop_states_mask = self.drop_outputs_mask = None

    def _drop_(self, what: str, data: mx.sym.Symbol) -> mx.sym.Symbol:
        probability = getattr(self, what)
        if probability == 0:
            return data
        mask = getattr(self, what + '_mask')
        if mask is None:
            mask = drop(mx.sym.ones_like(data), probability)
            setattr(self, what + '_mask', mask)
        return data * mask

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        check_symbol('inputs', inputs)
        states = flatten(states)
        if states:
            states[0] = self._drop_('drop_states', states[0])
        output, states = self.base_cell(self._drop_('drop_inputs', inputs), states)
        return self._drop_('drop_outputs', output), states

    @property
    def _acts_between_steps_(self) -> bool:  # type: ignore[override]
        return self.drop_states > 0

    def _gives_steps_(self, steps: bool) -> bool:
        return self._acts_between_steps_ or self.drop_outputs == 0 and super()._gives_steps_(
            steps and self.drop_inputs == 0)

    def _before_(self, inputs: Inputs, begin_state: States | None, options: Options
                 ) -> tuple[Inputs, States | None, Options]:
        if self.drop_outputs > 0:
            options = options._replace(merge_outputs=True)
        return _drop_sequence(inputs, self.drop_inputs, options), begin_state, options

    def _after_(self, outputs: Inputs, inputs: Inputs, options: Options) -> Inputs:
        outputs = _drop_sequence(outputs, self.drop_outputs, options)
        return options.arranged(outputs) if self.drop_outputs > 0 else outputs


def _drop_sequence(sequence: Inputs, probability: float, options: Options) -> Inputs:
    """`sequence`, with one mask for all steps."""
    if probability == 0:
        return sequence
    return drop(merged(sequence, options.layout), probability, axes=(time_axis(options.layout),))


class WeightDropCell(ModifierCell):
    r"""Drops recurrent weights in training: DropConnect (Wan et al. 2013) as in AWD-LSTM (Merity et
    al. 2017, https://arxiv.org/abs/1708.02182).

    .. math:: W_{h2h} \leftarrow W_{h2h} \circ M / (1 - p), \quad M \sim \mathrm{Bernoulli}(1 - p)

    Each forward pass draws M once, for all steps and all sequences of the batch. In inference the
    weights are unchanged.

    Parameters
    ----------
    base_cell : BaseRNNCell
        A cell with h2h_weight, or a stack of such cells, or both directions, also inside other
        modifiers. In a FusedRNNCell the weight is a part of a vector: call unfuse(), then `fuse`.
    dropout : float
        Probability, from 0 to 1, that an element of h2h_weight is 0.

    Notes
    -----
    Names, states, weights and checkpoints are the base cell's. `fuse` fuses the base cell.
    If you call the cell step by step, the first step after `reset` draws the weights.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.WeightDropCell(rnn.LSTMCell(16, prefix='lstm_'), 0.5)
    >>> outputs, states = rnn.fuse(cell).unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 16)]
    """

    _in_fuse_ = 'modifier'
    _acts_between_steps_ = False

    def __init__(self, base_cell: BaseRNNCell, dropout: float) -> None:
        check_cell('base_cell', base_cell)
        self.dropout = _check.number('dropout', dropout, 0, 1)
        self._weighted_(base_cell)
        super().__init__(base_cell)

    def reset(self) -> None:
        super().reset()
        #: By the id of a weight: the weight, and its replacement in this graph.
        self._dropped_: dict[int, tuple[mx.sym.Symbol, mx.sym.Symbol]] = {}

    @staticmethod
    def _weighted_(base_cell: BaseRNNCell) -> list[BaseRNNCell]:
        """The cells of `base_cell` with h2h_weight."""
        cells = {id(cell): cell for cell in base_cell._all_cells_()}.values()
        weighted = [cell for cell in cells if isinstance(vars(cell).get('_hW'), mx.sym.Symbol)]
        others = [cell for cell in cells if cell not in weighted and not cell._inner_cells_()
                  and cell.state_info]
        if others or not weighted:
            raise ValueError('base_cell must be made of cells that have an h2h_weight, but %r has '
                             'none; call unfuse() on a FusedRNNCell first'
                             % (others or [base_cell])[0])
        return weighted

    @contextlib.contextmanager
    def _weights_dropped_(self) -> Iterator[None]:
        """Let the cells in this one use the dropped weights inside the block."""
        kept = [(cell, cell._hW) for cell in self._weighted_(self.base_cell)]
        try:
            for cell, weight in kept:
                cell._hW = self._drop_(weight)
            yield
        finally:
            for cell, weight in kept:
                cell._hW = weight

    def _drop_(self, weight: mx.sym.Symbol) -> mx.sym.Symbol:
        if self.dropout == 0:
            return weight
        if id(weight) not in self._dropped_:
            name = weight.name + '_'
            # Dropout must know its type, and the weight's may be inferred later. So it drops ones
            # of float32, which then select numbers of the weight's type.
            ones = mx.sym.ones_like(mx.sym.Cast(weight, dtype='float32', name=name + 'cast'),
                                    name=name + 'ones')
            mask = drop(ones, self.dropout, name=name + 'mask')
            factor = mx.sym.ones_like(weight, name=name + 'one')
            if self.dropout < 1:
                factor = mx.sym.where(mask > 1, factor * (1 / (1 - self.dropout)), factor)
            factor = mx.sym.where(mask, factor, mx.sym.zeros_like(weight), name=name + 'factor')
            self._dropped_[id(weight)] = weight, mx.sym.elemwise_mul(weight, factor,
                                                                     name=name + 'dropped')
        return self._dropped_[id(weight)][1]

    def _check_graph_(self, symbols: States) -> None:
        if not self._dropped_:
            return
        nodes = mx.sym.Group(flatten(symbols)).get_internals().list_outputs()
        for weight, dropped in self._dropped_.values():
            if dropped.name + '_output' not in nodes:
                raise ValueError('base_cell must take %s from its attribute _hW, where parts of it '
                                 'are dropped, but %r does not' % (weight.name, self.base_cell))

    def _before_loop_(self) -> None:
        with self._weights_dropped_():
            pass

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        with self._weights_dropped_():
            return self.base_cell(inputs, states)

    @property
    def _masks_padding_(self) -> bool:  # type: ignore[override]
        return self.base_cell._masks_padding_

    @contextlib.contextmanager
    def _unrolling_(self) -> Iterator[Callable[..., Unrolled]]:
        with self._weights_dropped_(), super()._unrolling_() as unroll:
            yield unroll
