"""carry_states: each batch begins with the states that the last one ended with."""
from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

from .. import _check
from .._runtime.mxnet import mx
from .._runtime.symbol_graph import json_of
from .base_cells import BaseRNNCell, check_cell
from .containers import BidirectionalCell
from .sequences import Outputs
from .states import States, check_states

if TYPE_CHECKING:
    from .._runtime.mxnet_types.sym import Unpack, VariableOptions
    Module = mx.mod.BaseModule

__all__ = ['BatchEnd', 'CarriedStates', 'carry_states']


class BatchEnd(Protocol):
    """MXNet's BatchEndParam."""

    epoch: int
    nbatch: int
    locals: dict[str, Any] | None


def carry_states(cell: BaseRNNCell, **kwargs: Unpack[VariableOptions]) -> CarriedStates:
    """Carry a cell's states from one batch to the next: truncated backpropagation through time.

    Batches must continue each other, as the batches of `StreamIter` do. Four parts work together:

    - In the graph, the begin states are Variables (`begin_state`). The final states become more
      outputs, which pass no gradient on (`group`).
    - `mx.mod.Module` gets the names of these Variables (`state_names`). They are then neither data
      nor parameters: the module makes an array for each on every device, at first zero.
    - After a batch, the module's `set_states` copies the outputs into these arrays, device by
      device. The returned object does this as a callback of `Module.fit` and `Module.score`.
    - At the end of an epoch or of a pass over evaluation data, it sets them to zero.

    If the module runs its next batch without this, because a callback is missing or
    `Module.predict` takes none, an error names the missing argument.

    Parameters
    ----------
    cell : BaseRNNCell
        The cell that will be unrolled; a FusedRNNCell needs ``get_next_state=True``. Cells with a
        backward direction are refused, because their final state belongs to the batch's beginning.
    **kwargs
        For `mx.sym.Variable`, such as ``dtype='float64'``.

    Returns
    -------
    CarriedStates
        Pass it as `batch_end_callback`, `eval_batch_end_callback` and `eval_end_callback`.

    Examples
    --------
    The graph then has several outputs, so tell metrics which one to read:

    >>> import mxnet as mx, mxrnn as rnn
    >>> cell = rnn.LSTMCell(8)
    >>> carried = rnn.carry_states(cell)
    >>> embedded = mx.sym.Embedding(mx.sym.Variable('data'), input_dim=5, output_dim=4)
    >>> outputs, states = cell.unroll(3, embedded, carried.begin_state, merge_outputs=True)
    >>> scores = mx.sym.FullyConnected(mx.sym.reshape(outputs, shape=(-3, -2)), num_hidden=5)
    >>> loss = mx.sym.SoftmaxOutput(scores, mx.sym.reshape(mx.sym.Variable('softmax_label'), -1))
    >>> train = rnn.StreamIter([0, 1, 2, 3, 4] * 9, batch_size=2, bptt=3)
    >>> perplexity = mx.metric.Perplexity(None, output_names=[loss.name + '_output'],
    ...                                   label_names=['softmax_label'])
    >>> module = mx.mod.Module(carried.group(loss, states), state_names=carried.state_names)
    >>> module.fit(train, eval_data=train, eval_metric=perplexity, num_epoch=2,
    ...            batch_end_callback=carried, eval_batch_end_callback=carried,
    ...            eval_end_callback=carried)
    >>> name, value = module.score(train, perplexity, batch_end_callback=carried,
    ...                            score_end_callback=carried)[0]
    >>> module.get_states(merge_multi_context=False)[0][0].shape
    (2, 8)
    """
    return CarriedStates(cell, **kwargs)


class CarriedStates:
    """States that are carried from batch to batch; made by `carry_states`.

    In your own loop, call `carry` between two batches (after `forward`, or in the body of a loop
    over `Module.iter_predict`), and `zero` before the first batch.

    Attributes
    ----------
    begin_state : list of Symbol
        For `unroll`.
    state_names : list of str
        For `mx.mod.Module`.
    """

    def __init__(self, cell: BaseRNNCell, **kwargs: Unpack[VariableOptions]) -> None:
        check_cell('cell', cell)
        for inner in cell._all_cells_():
            if isinstance(inner, BidirectionalCell) or getattr(inner, '_bidirectional', False):
                raise ValueError('cell must run forwards only, but %r has a backward direction, '
                                 'whose final state belongs to the beginning of a batch' % inner)
        self._cell = cell
        self._layouts = [info.get('__layout__') for info in cell.state_info]
        self.begin_state = cell.begin_state(func=mx.sym.Variable, **kwargs)
        if not self.begin_state:
            raise ValueError('cell must have states to carry, but %r has none' % cell)
        self.state_names = [state.name for state in self.begin_state]
        if len(set(self.state_names)) < len(self.state_names):
            raise ValueError('cell must have a different name for each state, got %s: give each '
                             'cell in it its own prefix' % ', '.join(self.state_names))
        self._next_names = [name + '_next' for name in self.state_names]
        #: Modules whose states are not zero.
        self._used: weakref.WeakSet[Module] = weakref.WeakSet()
        self._filled: list[Module] = []
        #: Executors that ran since their states were set
        self._ran: weakref.WeakSet[mx.executor.Executor] = weakref.WeakSet()

    def group(self, outputs: Outputs, states: States) -> mx.sym.Symbol:
        """The graph for the module: its outputs, then the final states without gradient.

        Parameters
        ----------
        outputs : Symbol or list of Symbol
            The outputs that the graph is for, such as a loss.
        states : list of Symbol
            As `unroll` returned them.

        Returns
        -------
        Symbol
            Modules made from it raise RuntimeError if their states are not carried on.
        """
        if not isinstance(outputs, (list, tuple)):
            outputs = [outputs]
        for output in outputs:
            _check.instance('outputs', output, mx.sym.Symbol, 'a Symbol or a list of Symbols')
        finals = check_states(states, len(self.begin_state), self._cell)
        grouped = mx.sym.Group([*outputs, *(
            mx.sym.BlockGrad(state, name=name, attr={'__layout__': layout} if layout else {})
            for state, name, layout in zip(finals, self._next_names, self._layouts))])
        return WatchedGraph(grouped, self.state_names, self._ran)

    def __call__(self, param: BatchEnd) -> None:
        """Callback at the end of a batch or of a pass; `param` is MXNet's BatchEndParam."""
        where = getattr(param, 'locals', None) or {}
        if 'self' not in where:
            raise TypeError('param must be the argument that Module.fit and Module.score pass to '
                            'their batch and evaluation callbacks, got %r' % (param,))
        module = where['self']
        for name in ('train_data', 'eval_data'):
            _check_continues(name, where.get(name))
        if 'end_of_batch' in where:  # fit
            _check_evaluation(where)
            ends = where['end_of_batch']
        else:  # score, after its last batch
            ends = param.nbatch != where.get('nbatch') or param.nbatch == where.get('num_batch')
        if ends:
            self.zero(module)
            return
        if param.nbatch == 0 and module in self._used:
            raise RuntimeError(
                'a pass over the data began with the states of an earlier pass: pass carry_states '
                'as eval_end_callback (score_end_callback of score) as well, and call its '
                'zero(module) after a pass that was interrupted')
        self.carry(module)

    def carry(self, module: Module) -> None:
        """Make the final states of the batch that `module` just ran the next batch's begin states.

        Raises
        ------
        ValueError
            The module was made for other states.
        """
        current, *others = self._modules(module)
        outputs = dict(zip(current.output_names, current.get_outputs(merge_multi_context=False)))
        missing = [name for name in self._next_names if name + '_output' not in outputs]
        if missing:
            raise ValueError('module must have the outputs that group() adds to its symbol, but '
                             'lacks %s' % ', '.join(missing))
        if module in self._used and current not in self._filled:
            raise ValueError('module must bind all of its buckets before a pass begins, because '
                             'a bucket bound later begins with zeros: call switch_bucket for each')
        states = [outputs[name + '_output'] for name in self._next_names]
        self._filled = [current, *others]
        self._set(self._filled, states=states)
        self._used.add(module)

    def zero(self, module: Module) -> None:
        """Set the begin states of `module` to zero."""
        self._set(self._modules(module), value=0)
        self._used.discard(module)

    def _set(self, modules: list[Module], **kwargs: list[list[mx.nd.NDArray]] | float) -> None:
        """Set begin states, from which the next run of these modules begins."""
        for each in modules:
            each.set_states(**kwargs)
            for executor in each._exec_group.execs:
                self._ran.discard(executor)

    def _modules(self, module: Module) -> list[Module]:
        """The module with the states; for a BucketingModule all modules, the current one first."""
        current = getattr(module, '_curr_module', None) or module
        names = getattr(current, '_state_names', None)
        if names != self.state_names:
            raise ValueError('module must be made with state_names=%s, got %s'
                             % (self.state_names, names))
        buckets = getattr(module, '_buckets', {}).values()
        return [current] + [each for each in buckets if each is not current]


class WatchedGraph(mx.sym.Symbol):
    """A graph with states that are carried; executors that modules bind from it are watched.

    Parameters
    ----------
    symbol : Symbol
        The graph. Its handle moves to this object.
    names : list of str
        The begin states' variables.
    ran : set of Executor
        Gets the executors that run; the owner takes them out when it sets their states.
    """

    __slots__ = ['names', 'ran']

    def __init__(self, symbol: mx.sym.Symbol, names: list[str],
                 ran: weakref.WeakSet[mx.executor.Executor]) -> None:
        super().__init__(symbol.handle)
        symbol.handle = None  # otherwise freed twice
        self.names, self.ran = names, ran

    def __reduce__(self) -> tuple[object, ...]:
        return mx.sym.load_json, (json_of(self),)  # copies and other processes are not watched

    def simple_bind(self, *args: Any, **kwargs: Any) -> mx.executor.Executor:
        gradients = kwargs.get('grad_req')
        if 'shared_buffer' in kwargs and isinstance(gradients, dict) and any(
                gradients.get(name, 'null') != 'null' for name in self.names):
            raise ValueError('module must be made with state_names=%s: without it, these states '
                             'are parameters' % self.names)
        executor = super().simple_bind(*args, **kwargs)
        if 'shared_buffer' in kwargs:  # bound by a module; who binds by hand carries by hand
            _watch(executor, self.ran)
        return executor


def _watch(executor: mx.executor.Executor, ran: weakref.WeakSet[mx.executor.Executor]) -> None:
    """Make a module's executor refuse to run twice with the same states."""
    run = type(executor).forward
    mine = weakref.ref(executor)

    def forward(is_train: bool = False, **kwargs: mx.nd.NDArray) -> list[mx.nd.NDArray]:
        current = mine()
        assert current is not None
        if current in ran:
            raise RuntimeError(
                'two batches began with the same states: pass the result of carry_states as '
                '%s, or call its carry(module) after each batch, and its zero(module) before '
                'a batch that begins anew'
                % ('batch_end_callback of fit' if is_train else
                   'eval_batch_end_callback of fit, batch_end_callback of score'))
        ran.add(current)
        return run(current, is_train, **kwargs)

    executor.forward = forward  # type: ignore[method-assign]


def _check_evaluation(where: dict[str, Any]) -> None:
    """Refuse to train, in the first batch, if the evaluation after the epoch would fail."""
    if where.get('eval_data') is None:
        return
    needed = ['eval_batch_end_callback']
    if where.get('epoch', 0) + 1 < where.get('num_epoch', 0):  # otherwise nothing follows it
        needed.append('eval_end_callback')
    for name in needed:
        if name in where and where[name] is None:
            raise ValueError('with eval_data, %s of fit must be the result of carry_states, as '
                             'batch_end_callback is, got None' % name)


def _check_continues(name: str, iterator: object) -> None:
    """Refuse an iterator that is known not to continue its batches."""
    inner = [*getattr(iterator, 'iters', []), getattr(iterator, 'data_iter', None)]
    for each in inner:  # inside PrefetchingIter and ResizeIter
        if each is not None:
            _check_continues(name, each)
    # By name, because mx.rnn may be mxrnn by now while a program still has the original's class.
    theirs = any((kind.__module__, kind.__name__) == ('mxnet.rnn.io', 'BucketSentenceIter')
                 for kind in type(iterator).__mro__)
    shuffled = isinstance(iterator, mx.io.NDArrayIter) and iterator.shuffle
    if theirs or shuffled or getattr(iterator, 'continues', True) is False:
        raise ValueError('with carry_states, %s must return batches that continue each other, as '
                         'StreamIter does; a %s%s does not' % (
                             name, type(iterator).__name__, ' with shuffle=True' * shuffled))
