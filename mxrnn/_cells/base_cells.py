"""BaseRNNCell: the base of all cells; names, weights, states, graphs.

Attributes that mxnet.rnn's cells do not have are written `_name_`, so that subclasses in old
programs may use any `_name`.
"""
from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Callable, Sequence

from .. import _check
from .._files import reason_of
from .._runtime.mxnet import mx
from .gate_equations import WEIGHTS, Activate, Activation, Further, Recurrence, Step, activate
from .known_shapes import unknown
from .sequences import check_symbol
from .states import StateInfo, States, check_states
from .unroll import Unrollable
from .variables import Init, RNNParams
from .weights_by_gate import PackedWeights

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions

__all__ = ['BaseRNNCell', 'check_cell', 'GatedCell', 'Partial', 'ZEROS']


class Partial(functools.partial):  # type: ignore[type-arg]
    """A functools.partial that `help` shows by name: a default that is a function in mx.sym."""

    def __repr__(self) -> str:
        name = 'mx.sym.' + self.func.__name__
        arguments = ['%s=%r' % item for item in self.keywords.items()]
        return 'partial(%s)' % ', '.join([name, *arguments]) if arguments else name


#: Makes states by default.
ZEROS = Partial(mx.sym.zeros)


class BaseRNNCell(Unrollable, PackedWeights):
    """The base of all cells, and of your own cells.

    Your own cell defines `state_info` and `__call__`. `__call__` adds one to `_counter` and names
    its nodes ``'%st%d_' % (self._prefix, self._counter)``. If the cell has `_gate_names` and
    `_num_hidden`, its weights can be packed and unpacked.

    Parameters
    ----------
    prefix : str
        Prefix of the names of nodes, and of weights if `params` is None.
    params : RNNParams, optional
        Container of the weights; a new one if None.

    Examples
    --------
    A cell without weights that keeps the mean of its inputs and its state:

    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> class Smooth(rnn.BaseRNNCell):
    ...     @property
    ...     def state_info(self):
    ...         return [{'shape': (0, 5), '__layout__': 'NC'}]
    ...     def __call__(self, inputs, states):
    ...         self._counter += 1
    ...         output = mx.sym.elemwise_add(inputs / 2, states[0] / 2,
    ...                                      name='%st%d_out' % (self._prefix, self._counter))
    ...         return output, [output]
    >>> outputs, states = Smooth('smooth_').unroll(3, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.eval(x=mx.nd.ones((1, 3, 5)))[0][0, :, 0].asnumpy().tolist()
    [0.5, 0.75, 0.875]
    """

    #: Whether the cell can be called for a single step.
    can_step = True

    #: How `fuse` treats this class, but not its subclasses: see `_operator/fuse.py`.
    _in_fuse_: str

    # The weights in the graph of cells with gates.
    _iW: mx.sym.Symbol
    _iB: mx.sym.Symbol | None
    _hW: mx.sym.Symbol
    _hB: mx.sym.Symbol | None

    def __init__(self, prefix: str = '', params: RNNParams | None = None) -> None:
        self._prefix = _check.instance('prefix', prefix, str, 'a str')
        self._own_params = params is None
        if params is None:
            params = RNNParams(prefix)
        self._params = _check.own('params', params, RNNParams, 'an RNNParams of mxrnn')
        self._modified = False
        self.reset()

    def __repr__(self) -> str:
        return '%s(%s)' % (type(self).__name__,
                           ', '.join([*self._sizes_(), 'prefix=%r' % self._prefix]))

    def _sizes_(self) -> list[str]:
        """Sizes and options that `repr` shows besides the prefix."""
        units = vars(self).get('_num_hidden')
        return [] if units is None else [str(units)]

    # Structure

    def _inner_cells_(self) -> list[BaseRNNCell]:
        return getattr(self, '_cells', [])

    def _blocker_(self) -> BaseRNNCell | None:
        """The innermost cell that prevents stepping, if there is one."""
        for child in self._inner_cells_():
            blocker = child._blocker_()
            if blocker is not None:
                return blocker
        return None if self.can_step else self

    def reset(self) -> None:
        """Begin a new graph: the next step is named step 0 again."""
        self._init_counter = -1
        self._counter = -1
        for child in self._inner_cells_():
            child.reset()

    def _all_cells_(self) -> list[BaseRNNCell]:
        """This cell and the cells in it."""
        cells = [self]
        for cell in cells:  # the list grows during the loop
            cells.extend(cell._inner_cells_())
        return cells

    def _weight_names_(self) -> set[str]:
        """Names of the variables of this cell and of the cells in it."""
        return {name for cell in self._all_cells_() for name in cell._params._params}

    def _kept_between_steps_(self, states: list[mx.sym.Symbol], dtype: _check.DType | None
                             ) -> dict[str, mx.sym.Symbol | None]:
        """Attributes besides the states that keep a Symbol from step to step, each with its first
        value, taken from `states`, or None if no step reads it."""
        return {}

    # Weights

    @property
    def params(self) -> RNNParams:
        """The container of this cell's weights.

        Reading it outside the cell's own constructor marks the cell as sharing its weights.
        Containers with `params=` then refuse the cell.
        """
        if not _in_constructor_of(self):
            self._own_params = False
        return self._shared_params_()

    def _shared_params_(self) -> RNNParams:
        return self._params

    # States

    @property
    def state_info(self) -> list[StateInfo]:
        """Shape (0 for the batch) and layout of each state."""
        raise NotImplementedError('%s does not define state_info' % type(self).__name__)

    @property
    def state_shape(self) -> list[tuple[int, ...]]:
        """Shape of each state, 0 for the batch."""
        return [info['shape'] for info in self.state_info]

    def _check_unmodified_(self) -> None:
        if self._modified:
            raise ValueError('begin_state of %r must be called on the modifier cell around it '
                             '(ZoneoutCell, ResidualCell, ...), not on the cell itself' % self)

    def begin_state(self, func: Callable[..., mx.sym.Symbol] = ZEROS,
                    **kwargs: Unpack[VariableOptions]) -> list[mx.sym.Symbol]:
        """States to begin a sequence with.

        Parameters
        ----------
        func : callable
            Makes a Symbol. It is called with `name`, `shape`, `__layout__` and `kwargs`.
            `mx.sym.Variable` makes the states inputs of the graph.
        **kwargs
            For `func`, such as ``dtype='float64'``.

        Returns
        -------
        list of Symbol
            One for each entry of `state_info`, in its shape.

        Raises
        ------
        ValueError
            The cell is in a modifier cell; call that cell's `begin_state`.
        """
        self._check_unmodified_()
        _check.function('func', func)
        if kwargs.get('dtype') is not None:
            _check.dtype('dtype', kwargs['dtype'])
        states, keywords = [], dict(kwargs)
        for info in self.state_info:
            self._init_counter += 1
            keywords.update(info or {})
            if 'shape' in keywords:
                keywords['shape'] = unknown(keywords['shape'])  # type: ignore[arg-type]
            name = '%sbegin_state_%d' % (self._prefix, self._init_counter)
            try:
                states.append(func(name=name, **keywords))
            except mx.base.MXNetError as error:
                raise TypeError('func of begin_state must make a Symbol from the arguments name, '
                                '%s; %s says: %s' % (
                                    ', '.join(keywords), getattr(func, '__name__', func),
                                    reason_of(error))) from None
        return states

    def _first_states_(self, begin_state: States | None, dtype: _check.DType | None) -> States:
        if begin_state is not None:
            return begin_state
        return self.begin_state() if dtype is None else self.begin_state(dtype=dtype)

    # Graphs

    def _get_activation(self, inputs: mx.sym.Symbol, activation: Activation, **kwargs: str
                        ) -> mx.sym.Symbol:
        return activate(inputs, activation, **kwargs)

    def __call__(self, inputs: mx.sym.Symbol,
                 states: list[mx.sym.Symbol]) -> tuple[mx.sym.Symbol, list[mx.sym.Symbol]]:
        """Take one step.

        Parameters
        ----------
        inputs : Symbol
            Input of this step, of shape (batch, channels); images for convolutional cells.
        states : list of Symbol
            As from `begin_state` or the step before.

        Returns
        -------
        output : Symbol
            Of shape (batch, num_hidden).
        states : list of Symbol
            The new states.
        """
        raise NotImplementedError('%s does not define __call__' % type(self).__name__)

    def _before_loop_(self) -> None:
        """Make, before a loop, the Symbols that all its steps share."""

    def _gives_states_(self) -> bool:
        """Whether `unroll` returns the final states."""
        return True

    def _gives_steps_(self, steps: bool) -> bool:
        """Whether `unroll` returns a list of steps if merge_outputs is None; `steps` says whether
        its inputs are a list."""
        return True

    def _check_graph_(self, symbols: States) -> None:
        """Refuse a graph that must not be returned; `symbols` are its outputs and states."""


def _in_constructor_of(cell: BaseRNNCell) -> bool:
    """Whether the constructor of `cell` is among the callers."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == '__init__' and any(
                frame.f_locals.get(name) is cell for name in code.co_varnames[:1]):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def check_cell(name: str, value: object) -> BaseRNNCell:
    """Return `value` if it is a cell; otherwise the error says what it is and what to do."""
    return _check.own(name, value, BaseRNNCell, 'a cell of mxrnn')


_tanh = functools.partial(activate, activation='tanh')


class GatedCell(BaseRNNCell):
    """A cell of one recurrence; subclasses define how input and output are projected."""

    _recurrence_: Recurrence
    #: Whether _get_activation applies the cell's _activation. Otherwise it applies tanh, even if a
    #: program defines these names.
    _has_activation_ = False
    _activation: Activation
    # Weights that only some cells have; without biases, some are None.
    _iG: mx.sym.Symbol
    _hG: mx.sym.Symbol
    _rW: mx.sym.Symbol
    _cG: mx.sym.Symbol
    _cB: mx.sym.Symbol | None
    _clip_: tuple[float, float] | None = None  #: lowest and highest value of the memory
    _gate_axis_: int | None = None  #: axis of the gates in a projection, if it must be stated
    _no_bias_: object = mx.base._Null  #: for the projections: True, or not stated in graphs

    def __init__(self, prefix: str, params: RNNParams | None, bias: bool = True) -> None:
        super().__init__(prefix=prefix, params=params)
        if not _check.flag('bias', bias):
            self._kinds_, self._no_bias_ = ('weight',), True

    def _make_weights_(self, attributes: str, **inits: Init) -> None:
        """Get weights from the container, in the order of `attributes`, which are keys of
        `WEIGHTS`; `inits` go by the names there. Without biases, those attributes are None."""
        for attribute in attributes.split():
            name = WEIGHTS[attribute]
            given = 'bias' in self._kinds_ or not name.endswith(('bias', 'beta'))
            setattr(self, '_' + attribute, self._params.get(name, init=inits.get(name))
                    if given else None)

    def _sizes_(self) -> list[str]:
        sizes = super()._sizes_() + ([] if 'bias' in self._kinds_ else ['bias=False'])
        return [*sizes, 'state_clip=%s' % (self._clip_,)] if self._clip_ else sizes

    @property
    def _gate_names(self) -> Sequence[str]:
        return self._recurrence_.gates[:]

    def _project_(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol], name: str
                  ) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
        raise NotImplementedError('%s does not define _project_' % type(self).__name__)

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        check_symbol('inputs', inputs)
        states = check_states(states, self._recurrence_.num_states, self)
        self._counter += 1
        name = '%st%d_' % (self._prefix, self._counter)
        i2h, h2h = self._project_(inputs, states, name)
        return self._recur_(i2h, h2h, states,
                            self._activate_ if self._has_activation_ else _tanh, name)

    def _activate_(self, inputs: mx.sym.Symbol, **kwargs: str) -> mx.sym.Symbol:
        return self._get_activation(inputs, self._activation, **kwargs)

    def _recur_(self, i2h: mx.sym.Symbol, h2h: mx.sym.Symbol, states: list[mx.sym.Symbol],
                activate: Activate, name: str) -> Step:
        """Output and new states from the projections; `name` begins the names of the step."""
        return self._recurrence_.step(i2h, h2h, states, activate, name, self._gate_axis_,
                                      **self._further_(name))

    def _further_(self, name: str) -> Further:
        """More arguments for the recurrence's step."""
        return {'clip': self._clip_} if self._clip_ else {}
