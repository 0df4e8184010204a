"""Cells made of cells: stacks and both directions."""
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Callable, Literal

from .. import _check
from .._runtime.mxnet import mx
from .base_cells import BaseRNNCell, Step, check_cell, unroll_within
from .known_shapes import Kind, known_shape, known_type, typed
from .sequences import Inputs, merged, steps_of, time_axis, time_major
from .states import StateInfo, States, check_states, flatten
from .unroll import GivenLengths, Options, Unrolled
from .variables import RNNParams, warn_of_equal_names
from .weights_by_gate import Weights

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions

__all__ = ['BidirectionalCell', 'SequentialRNNCell']

#: How the outputs of both directions become one.
MERGES = ('concat', 'sum', 'mean')
Merge = Literal['concat', 'sum', 'mean']


def _share(cell: BaseRNNCell, shared: RNNParams) -> None:
    """Let `cell` and everything in it use the variables of `shared`, by name.

    Missing variables are added to `shared`. The cells' Symbols get other variables in place, so
    cells may keep them anywhere; what a cell made from them still has the old ones.
    """
    cell.reset()  # forgets what it made in earlier steps
    for each in _cells_of(cell):
        container = each._params
        for name, variable in container._params.items():
            wanted = shared._params.setdefault(name, variable)
            if wanted is not variable:
                again = wanted[0]  # another Symbol of the same variable
                variable.handle, again.handle = again.handle, variable.handle
        container._params = shared._params  # one dict: each sees what any of them adds later


def _check_shared(cell: object, shared: RNNParams, symbols: list[mx.sym.Symbol]) -> None:
    """Refuse `symbols`, made by `cell`, if a variable in them differs from `shared`'s of the same
    name, because an inner cell keeps something that it made from its variable before `_share`."""
    together = mx.sym.Group([*symbols, *shared._params.values()])
    for name, count in Counter(together.list_inputs()).items():
        if count > 1 and name in shared._params:
            raise ValueError(
                'params of a container must be able to replace the weights of %r, but it keeps '
                'something that it made from its own variable %r: make it in each step'
                % (cell, name))


def _cells_of(cell: BaseRNNCell) -> list[BaseRNNCell]:
    """`cell`, the cells in it, and the cells that they keep as attributes."""
    cells = [cell]
    for each in cells:  # the list grows during the loop
        kept = [value for value in vars(each).values() if hasattr(value, '_inner_cells_')]
        cells += [inner for inner in each._inner_cells_() + kept
                  if not any(inner is other for other in cells)]
    return cells


class _Container(BaseRNNCell):
    """A cell made of a list of cells, with their states and weights in that order."""

    def __init__(self, params: RNNParams | None) -> None:
        super().__init__(prefix='', params=params)
        self._override_cell_params = params is not None
        self._cells: list[BaseRNNCell] = []

    def __repr__(self) -> str:
        return '%s(%s)' % (type(self).__name__, ', '.join(map(repr, self._cells)))

    def _include_(self, name: str, *cells: BaseRNNCell) -> None:
        """Append `cells`, which came as the argument `name`, and share their weights."""
        for cell in cells:
            check_cell(name, cell)
            if self in cell._all_cells_():
                raise ValueError('%s must be another cell than the container itself, and not one '
                                 'that contains it' % name)
            if self._override_cell_params and not cell._own_params:
                raise ValueError('%s already shares its params: give params to the %s or to its '
                                 'cells, not to both' % (name, type(self).__name__))
        for cell in cells:
            if self._override_cell_params:
                _share(cell, self._params)
            self._warn_of_equal_names_(cell.params)
            self._params._params.update(cell.params._params)
            self._cells.append(cell)

    def _warn_of_equal_names_(self, params: RNNParams) -> None:
        mine = self._params._params
        for name, variable in params._params.items():
            if mine.get(name, variable) is not variable:
                warn_of_equal_names(type(self).__name__, name, params)
                return

    @property
    def state_info(self) -> list[StateInfo]:
        return sum((cell.state_info for cell in self._cells), [])

    def begin_state(self, func: Callable[..., mx.sym.Symbol] | None = None,
                    **kwargs: Unpack[VariableOptions]) -> list[mx.sym.Symbol]:
        """The states of all cells as one flat list; see `BaseRNNCell.begin_state`."""
        self._check_unmodified_()
        make = {} if func is None else {'func': func}
        return sum((cell.begin_state(**make, **kwargs)  # type: ignore[arg-type]
                    for cell in self._cells), [])

    @property
    def _masks_padding_(self) -> bool:  # type: ignore[override]
        return bool(self._cells) and all(cell._masks_padding_ for cell in self._cells)

    def _check_graph_(self, symbols: States) -> None:
        if self._override_cell_params:
            _check_shared(self, self._params, flatten(symbols))

    def _states_by_cell_(self, states: States) -> list[list[mx.sym.Symbol]]:
        counts = [len(cell.state_info) for cell in self._cells]
        rest = iter(check_states(states, sum(counts), self))
        return [[next(rest) for _ in range(count)] for count in counts]

    def unpack_weights(self, args: Weights) -> Weights:
        for cell in self._cells:
            args = cell.unpack_weights(args)
        return args

    def pack_weights(self, args: Weights) -> Weights:
        for cell in self._cells:
            args = cell.pack_weights(args)
        return args


class SequentialRNNCell(_Container):
    """A stack of cells: each cell's output is the next cell's input.

    Parameters
    ----------
    params : RNNParams, optional
        Container whose variables replace those of the added cells, by name. The graph is refused if
        a cell keeps variables where they cannot be replaced, for instance in a program's object.

    Notes
    -----
    The states are the cells' states, in order. The last cell's treatment of `merge_outputs`
    decides the form of the outputs. `len` returns the number of cells, and indexing the cells.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> stack = rnn.SequentialRNNCell()
    >>> stack.add(rnn.LSTMCell(16, prefix='l0_'))
    >>> stack.add(rnn.DropoutCell(0.5))
    >>> stack.add(rnn.GRUCell(8, prefix='l1_'))
    >>> outputs, states = stack.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1], len(states)
    ([(4, 20, 8)], 3)
    """

    _in_fuse_ = 'stack'

    def __init__(self, params: RNNParams | None = None) -> None:
        super().__init__(params)

    def add(self, cell: BaseRNNCell) -> None:
        """Put `cell` on top of the stack.

        Warns if another cell has different weights under the same names. Raises ValueError if the
        stack and the cell both got `params`.
        """
        self._include_('cell', cell)

    def __len__(self) -> int:
        return len(self._cells)

    def __bool__(self) -> bool:
        return True  # an empty stack is still a cell

    def __getitem__(self, index: int | slice) -> Any:
        """The cell of this number, or for a slice a list of cells."""
        return self._cells[index]

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        blocker = self._blocker_()
        if blocker is not None:
            raise NotImplementedError('the stack cannot be stepped because it contains %r: use '
                                      'unroll' % blocker)
        by_cell = self._states_by_cell_(states)
        self._counter += 1
        next_states: list[mx.sym.Symbol] = []
        for cell, own in zip(self._cells, by_cell):
            inputs, own = cell(inputs, own)
            next_states.extend(own)
        if self._counter == 0:
            self._check_graph_([inputs, next_states])
        return inputs, next_states

    def _gives_steps_(self, steps: bool) -> bool:
        for cell in self._cells:
            steps = cell._gives_steps_(steps)
        return steps

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """Each cell unrolls in its own way, over the whole output of the cell below."""
        states = self._states_by_cell_(self._first_states_(begin_state, options.dtype))
        next_states: list[States] = []
        between = options._replace(merge_outputs=None)
        for i, (cell, own) in enumerate(zip(self._cells, states)):
            inputs, own = unroll_within(
                cell, inputs, own, options if i == len(self._cells) - 1 else between)
            next_states.extend(own)
        return inputs, next_states


class BidirectionalCell(_Container):
    r"""Two cells over one sequence, in both directions (Schuster and Paliwal 1997).

    .. math:: y_t = [l_t; r_t], \quad l_t + r_t \quad \mathrm{or} \quad (l_t + r_t) / 2

    where l and r are the outputs of the two cells at step t.

    Parameters
    ----------
    l_cell, r_cell : BaseRNNCell
        The cells that read the sequence forwards and backwards.
    params : RNNParams, optional
        Container whose variables replace those of both cells, by name.
    output_prefix : str
        Prefix of the names of the outputs.
    merge : {'concat', 'sum', 'mean'}
        How the outputs of a step become one: joined along the channels, added or averaged, as by
        ``merge_mode`` 'concat', 'sum' and 'ave' of Keras' ``Bidirectional``. For 'sum' and 'mean'
        both cells need outputs of the same shape.

    Notes
    -----
    It cannot be stepped. `unroll` returns the states as two lists, one for each cell. `begin_state`
    returns one flat list. `unroll` takes either form.

    Examples
    --------
    >>> import mxrnn as rnn
    >>> from mxrnn import mx
    >>> cell = rnn.BidirectionalCell(rnn.GRUCell(8, prefix='l_'), rnn.GRUCell(8, prefix='r_'))
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 16)]
    >>> cell = rnn.BidirectionalCell(rnn.GRUCell(8, prefix='l_'), rnn.GRUCell(8, prefix='r_'),
    ...                              merge='sum')
    >>> outputs, states = cell.unroll(20, mx.sym.Variable('x'), merge_outputs=True)
    >>> outputs.infer_shape(x=(4, 20, 5))[1]
    [(4, 20, 8)]
    """

    can_step = False
    _in_fuse_ = 'directions'

    def __init__(self, l_cell: BaseRNNCell, r_cell: BaseRNNCell, params: RNNParams | None = None,
                 output_prefix: str = 'bi_', *, merge: Merge = 'concat') -> None:
        super().__init__(params)
        self._merge_ = _check.choice('merge', merge, MERGES)
        self._output_prefix = _check.instance('output_prefix', output_prefix, str, 'a str')
        check_cell('l_cell', l_cell)
        check_cell('r_cell', r_cell)
        self._include_('l_cell or r_cell', l_cell, r_cell)

    def __repr__(self) -> str:
        text = super().__repr__()
        return text if self._merge_ == 'concat' else '%s, merge=%r)' % (text[:-1], self._merge_)

    def _blocker_(self) -> BaseRNNCell | None:
        return self

    def __call__(self, inputs: mx.sym.Symbol, states: list[mx.sym.Symbol]) -> Step:
        raise NotImplementedError('%r cannot be stepped, because its backward cell begins at the '
                                  'end of the sequence: use unroll' % self)

    def _gives_steps_(self, steps: bool) -> bool:
        return any(cell._gives_steps_(True) for cell in self._cells)

    def _unroll_(self, inputs: Inputs, begin_state: States | None, options: Options) -> Unrolled:
        """The backward cell begins with the last step, so both cells need the whole sequence."""
        if isinstance(options.lengths, GivenLengths):
            return self._with_lengths_(inputs, begin_state, options, options.lengths)
        merge_outputs, axis = options.merge_outputs, time_axis(options.layout)
        steps = steps_of(options.length, inputs, options.layout)
        states = self._states_by_cell_(self._first_states_(begin_state, options.dtype))
        results = [unroll_within(cell, given, own, options)
                   for cell, given, own in zip(self._cells, (steps, steps[::-1]), states)]
        outputs: list[Any] = [result[0] for result in results]
        if merge_outputs is None:
            merge_outputs = all(isinstance(output, mx.sym.Symbol) for output in outputs)
            if not merge_outputs:  # by the full name, which decides the automatic one
                outputs = [list(mx.sym.SliceChannel(output, axis=axis, num_outputs=len(steps),
                                                    squeeze_axis=1))
                           if isinstance(output, mx.sym.Symbol) else output for output in outputs]
        forward, backward = outputs
        channels = self._channel_axis_()
        if merge_outputs:
            self._check_widths_(forward, backward, channels + 1)
            joined: Any = self._join_(forward, mx.sym.reverse(backward, axis=axis), channels + 1,
                                     'out')
        else:
            self._check_widths_(forward[0], backward[0], channels)
            joined = [self._join_(*pair, channels, 't%d' % i)
                      for i, pair in enumerate(zip(forward, backward[::-1]))]
        return joined, [result[1] for result in results]

    def _join_(self, forward: mx.sym.Symbol, backward: mx.sym.Symbol, axis: int, name: str
               ) -> mx.sym.Symbol:
        """The outputs of both directions, whose channels are along `axis`, as one output."""
        name = self._output_prefix + name
        if self._merge_ == 'concat':
            return mx.sym.Concat(forward, backward, dim=axis, name=name)
        if self._merge_ == 'sum':
            return mx.sym.elemwise_add(forward, backward, name=name)
        total = mx.sym.elemwise_add(forward, backward, name=name + '_sum')
        return mx.sym._internal._mul_scalar(total, scalar=0.5, name=name)

    def _check_widths_(self, forward: mx.sym.Symbol, backward: mx.sym.Symbol, axis: int) -> None:
        if self._merge_ == 'concat':
            return
        widths = [known_shape(output)[axis:axis + 1] for output in (forward, backward)]
        if all(map(any, widths)) and widths[0] != widths[1]:
            raise ValueError('l_cell and r_cell must have outputs of the same width for merge=%r, '
                             'got %d and %d' % (self._merge_, widths[0][0], widths[1][0]))

    def _channel_axis_(self) -> int:
        """Axis of the channels in a step's output: 1, except for 'NHWC' and 'NDHWC'."""
        layouts = [info.get('__layout__', '') for info in self.state_info]
        return next((layout.index('C') for layout in layouts if layout.endswith('WC')), 1)

    def _form_of_inputs_(self, states: list[list[mx.sym.Symbol]]) -> tuple[Kind, int]:
        """The type and the number of axes of inputs. The type is the states' type, if it is known.
        A program's cells have none, because they may take words and keep numbers."""
        package = __name__.partition('.')[0]
        if any(type(cell).__module__.partition('.')[0] != package for cell in self._all_cells_()):
            return None, 0
        first = next((state for own in states for state in own), None)
        if first is None:
            return None, 0
        info = self.state_info[0]  # in a FusedRNNCell, layers are in the place of time
        return known_type(first), len(info['shape']) + (info.get('__layout__', '')[:1] != 'L')

    def _with_lengths_(self, inputs: Inputs, begin_state: States | None, options: Options,
                       lengths: GivenLengths) -> Unrolled:
        """Each sequence reversed within its own length, so that padding stays last for both."""
        layout = options.layout
        states = self._states_by_cell_(self._first_states_(begin_state, options.dtype))
        inputs = typed(merged(inputs, layout), *self._form_of_inputs_(states))
        data = time_major(inputs, layout)
        whole = options._replace(layout='TN' + layout[2:], merge_outputs=True)
        forward: Any
        (forward, *left), (backward, *right) = (
            unroll_within(cell, given, own, whole) for cell, given, own in zip(
                self._cells, (data, lengths.reverse(data)), states))
        backward = merged(backward, whole.layout)
        axis = self._channel_axis_() + 1
        self._check_widths_(forward, backward, axis)
        joined = self._join_(forward, lengths.reverse(backward), axis, 'out')
        return options.arranged(time_major(joined, layout)), left + right
