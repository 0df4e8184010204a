"""BaseRNNCell: the base of all cells; names, weights, states, graphs.

`unroll` checks everything once, clips the lengths and masks the sequence. Behind it, cells pass
`Options` on to the cells in them (`_unroll_`), which do not check, clip or mask again.

Attributes that mxnet.rnn's cells do not have are written `_name_`, so that subclasses in old
programs may use any `_name`.
"""
from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Callable, Iterator, Literal, Sequence, Union, overload

from .. import _check
from .._files import reason_of
from .._runtime.mxnet import mx
from .known_shapes import unknown
from .sequences import Inputs, Layout, Outputs, merged, steps_of
from .states import StateInfo, States, flatten
from .unroll import GivenLengths, Keywords, Nested, Options, Step, Unrolled, checked
from .variables import RNNParams, check_weights_given
from .weights_by_gate import PackedWeights

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions

__all__ = ['Activate', 'Activation', 'BaseRNNCell', 'check_cell', 'Partial', 'Step',
           'unchanged_on_error', 'unroll_checked', 'unroll_within', 'ZEROS']

Activate = Callable[..., mx.sym.Symbol]
Activation = Union[str, Activate]  #: A name of sym.Activation's functions, or a function.


def activate(inputs: mx.sym.Symbol, activation: Activation, **kwargs: str) -> mx.sym.Symbol:
    """Apply an activation, given by name or as a function."""
    if isinstance(activation, str):
        return mx.sym.Activation(inputs, act_type=activation, **kwargs)
    return activation(inputs, **kwargs)


class Partial(functools.partial):  # type: ignore[type-arg]
    """A functools.partial that `help` shows by name: a default that is a function in mx.sym."""

    def __repr__(self) -> str:
        name = 'mx.sym.' + self.func.__name__
        arguments = ['%s=%r' % item for item in self.keywords.items()]
        return 'partial(%s)' % ', '.join([name, *arguments]) if arguments else name


#: Makes states by default.
ZEROS = Partial(mx.sym.zeros)


class BaseRNNCell(PackedWeights):
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
    #: Whether `_unroll_` itself ignores padding and returns zeros there.
    _masks_padding_ = False
    #: Whether a call takes a whole sequence as it takes one step; only for cells without states.
    _takes_sequences_ = False

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

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: None = ...,
               **options: Unpack[Keywords]) -> tuple[Outputs, Nested]: ...

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: Literal[True] = ...,
               **options: Unpack[Keywords]) -> tuple[mx.sym.Symbol, Nested]: ...

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: Literal[False] = ...,
               **options: Unpack[Keywords]) -> tuple[list[mx.sym.Symbol], Nested]: ...

    @overload
    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = ...,
               layout: Layout = ..., merge_outputs: bool | None = ...,
               **options: Unpack[Keywords]) -> tuple[Outputs, Nested]: ...

    def unroll(self, length: int, inputs: Inputs, begin_state: States | None = None,
               layout: str = 'NTC', merge_outputs: bool | None = None, *,
               dtype: _check.DType | None = None, valid_length: mx.sym.Symbol | None = None
               ) -> Unrolled:
        """Build the graph of a whole sequence.

        Parameters
        ----------
        length : int
            Number of steps.
        inputs : Symbol or list of Symbol
            One Symbol of shape (batch, length, channels) with layout 'NTC' or (length, batch,
            channels) with 'TNC', or a Symbol of shape (batch, channels) for each step.
        begin_state : list of Symbol, optional
            From `begin_state` or an earlier unroll; zeros if None.
        layout : {'NTC', 'TNC'}
            The layout of a Symbol with the whole sequence.
        merge_outputs : bool, optional
            True: one Symbol in `layout`. False: a list of steps. None: whichever needs less work.
        dtype : str or type, optional
            Type of the zeros with which the graph begins if `begin_state` is None, or if a
            ZoneoutCell keeps its output; float32 by default.
        valid_length : Symbol, optional
            Number of steps of each sequence, in the shape (batch,) and any numeric type: whole
            numbers from 0 to `length`. More counts as `length`, NaN as 0. Later steps are padding
            and are not read. If None, all steps are valid. If float16 cannot hold `length`, such as
            2051, a bind with types needs the type of this one as well.

        Returns
        -------
        outputs : Symbol or list of Symbol
            The output of each step; 0 in padding.
        states : list of Symbol
            After the last step; with `valid_length`, after each sequence's last valid step.

        Raises
        ------
        TypeError, ValueError
            Inputs, states or a layout do not fit. The cell then is as before.
        """
        return unroll_checked(self, functools.partial(_unroll_masked, self), inputs, begin_state,
                              Options(length, layout, merge_outputs, dtype, valid_length))

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """Build the result of `unroll` from checked arguments: call the cell step by step, and keep
        its states where a sequence has ended.

        Five classes redefine it, because they do not go step by step; each says why. In padding,
        inputs are finite, and outputs may be any finite numbers.
        """
        take_step: Callable[..., Step] = self  # type: ignore[assignment]
        if self._takes_sequences_:
            inputs = options.arranged(inputs)
            if isinstance(inputs, mx.sym.Symbol):
                return take_step(inputs, [])
        steps = steps_of(options.length, inputs, options.layout)
        states = self._first_states_(begin_state, options.dtype)
        outputs = []
        for t, step in enumerate(steps):
            output, new = take_step(step, states)
            states = options.lengths.hold(t, new, states)
            outputs.append(output)
        return options.arranged(outputs), states  # type: ignore[return-value]

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


@contextlib.contextmanager
def unchanged_on_error(cell: BaseRNNCell) -> Iterator[Sequence[BaseRNNCell]]:
    """Restore the attributes of `cell` and of the cells in it if the block fails. The block gets
    these cells."""
    cells = cell._all_cells_()
    before = [dict(vars(each)) for each in cells]
    try:
        yield cells
    except BaseException:
        for each, attributes in zip(cells, before):
            vars(each).clear()
            vars(each).update(attributes)
        raise


def unroll_checked(cell: BaseRNNCell, unroll: Callable[..., Unrolled], inputs: Inputs,
                   begin_state: States | None, options: Options) -> Unrolled:
    """Check everything, call `unroll` for `cell`, and check the result."""
    options = checked(inputs, options)
    with unchanged_on_error(cell) as cells:
        cell.reset()
        outputs, states = unroll(inputs, begin_state, options)
        for each in cells:
            each._check_graph_([outputs, states])
    last = inputs if isinstance(inputs, mx.sym.Symbol) else inputs[-1]
    check_weights_given([each._params for each in cells],
                        [last, *flatten([] if begin_state is None else begin_state)])
    return outputs, states


def _unroll_masked(cell: BaseRNNCell, inputs: Inputs, begin_state: States | None,
                   options: Options) -> Unrolled:
    """Unroll `cell`. With lengths, it reads zeros in padding and returns zeros there."""
    layout, lengths = options.layout, options.lengths
    if not isinstance(lengths, GivenLengths) or cell._masks_padding_:
        return cell._unroll_(inputs, begin_state, options)
    inputs = lengths.mask_given(merged(inputs, layout), layout)
    outputs, states = cell._unroll_(inputs, begin_state, options)
    return options.arranged(lengths.mask(merged(outputs, layout), layout)), states


def unroll_within(cell: BaseRNNCell, inputs: Inputs, begin_state: States | None, options: Options
                  ) -> Unrolled:
    """Unroll `cell` as part of another: by `_unroll_`, or by a program's own `unroll`, which may
    know only the original arguments."""
    if getattr(cell.unroll, '__func__', None) is BaseRNNCell.unroll:
        cell.reset()
        return cell._unroll_(inputs, begin_state, options)
    keywords = options.keywords()
    takes = inspect.signature(cell.unroll).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        for name in keywords.keys() - {parameter.name for parameter in takes}:
            raise NotImplementedError(
                '%s must be an argument of unroll of %r, which was redefined without it: add '
                'it and pass it on to the base class' % (name, cell))
    unroll: Callable[..., Unrolled] = cell.unroll
    return unroll(options.length, inputs=inputs, begin_state=begin_state,
                  layout=options.layout, merge_outputs=options.merge_outputs, **keywords)


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
