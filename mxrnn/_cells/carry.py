"""carry_states: the states that a batch ends with begin the next one."""
from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from .. import _check
from .._runtime.mxnet import json_of, mx
from .base import BaseRNNCell, check_cell
from .containers import BidirectionalCell
from .sequence import Outputs, States, check_states

__all__ = ['CarriedStates', 'carry_states']

if TYPE_CHECKING:
    Module = mx.mod.BaseModule


def carry_states(cell: BaseRNNCell, **kwargs: Any) -> CarriedStates:
    """Carry a cell's states from one batch to the next: truncated backpropagation through time.

    Batches must continue each other, as those of `StreamIter` do. Four things play together:

    - In the graph, the begin states are Variables (`begin_state`), and the final states are
      further outputs that let no gradient through (`group`).
    - `mx.mod.Module` is told the names of these Variables (`state_names`). They then are neither
      data nor parameters: the module makes an array for each on every device, zero at first.
    - After a batch, the module's `set_states` copies the outputs into these arrays, device by
      device. The returned object does it as a callback of `Module.fit` and `Module.score`.
    - Where an epoch, or a pass over evaluation data, ends, it zeroes them.

    A module that runs its next batch without any of that, since a callback is missing or
    `Module.predict` takes none, raises an error which names the missing argument.

    Parameters
    ----------
    cell : BaseRNNCell
        The cell that will be unrolled; a FusedRNNCell needs ``get_next_state=True``. Cells with a
        backward direction are refused: its final state belongs to the begin of the batch.
    **kwargs
        For `mx.sym.Variable`, such as ``dtype='float64'``.

    Returns
    -------
    CarriedStates
        To be given as `batch_end_callback`, `eval_batch_end_callback` and `eval_end_callback`.

    Examples
    --------
    Metrics must be told which output to look at, now that there are several:

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
    """States that go from batch to batch; `carry_states` makes the object.

    In loops of one's own, `carry` belongs between two batches (after `forward`, also in the body
    of a loop over `Module.iter_predict`), and `zero` before the first one.

    Attributes
    ----------
    begin_state : list of Symbol
        For `unroll`.
    state_names : list of str
        For `mx.mod.Module`.
    """

    def __init__(self, cell: BaseRNNCell, **kwargs: Any) -> None:
        check_cell('cell', cell)
        for inner in cell._all_cells_():
            if isinstance(inner, BidirectionalCell) or getattr(inner, '_bidirectional', False):
                raise ValueError('cell must run forwards only, but %r has a backward direction, '
                                 'whose final state belongs to the begin of a batch' % inner)
        self._cell = cell
        self._layouts = [info.get('__layout__') for info in cell.state_info]
        self.begin_state = cell.begin_state(func=mx.sym.Variable, **kwargs)
        if not self.begin_state:
            raise ValueError('cell must have states to carry, but %r has none' % cell)
        self.state_names = [state.name for state in self.begin_state]
        if len(set(self.state_names)) < len(self.state_names):
            raise ValueError('cell must have states of different names, got %s: give the cells in '
                             'it a prefix each' % ', '.join(self.state_names))
        self._next_names = [name + '_next' for name in self.state_names]
        #: Modules whose states are not zero.
        self._used: weakref.WeakSet[Module] = weakref.WeakSet()
        self._filled: list[Module] = []
        #: Executors that ran since their states were set
        self._ran: weakref.WeakSet[mx.executor.Executor] = weakref.WeakSet()

    def group(self, outputs: Outputs, states: States) -> mx.sym.Symbol:
        """The graph for the module: its outputs and, behind, the final states without gradient.

        Parameters
        ----------
        outputs : Symbol or list of Symbol
            What the graph is for, such as a loss.
        states : list of Symbol
            As `unroll` returns them.

        Returns
        -------
        Symbol
            Modules made of it raise RuntimeError if their states are not carried on.
        """
        if not isinstance(outputs, (list, tuple)):
            outputs = [outputs]
        for output in outputs:
            _check.instance('outputs', output, mx.sym.Symbol, 'a Symbol or a list of Symbols')
        try:
            finals = check_states(states, len(self.begin_state), self._cell)
        except ValueError:
            keeping = [each for each in self._cell._all_cells_()
                       if not getattr(each, '_get_next_state', True)]
            if keeping:
                raise ValueError('states must be those of the last step, which %r returns if it is '
                                 'made with get_next_state=True' % keeping[0]) from None
            raise
        grouped = mx.sym.Group([*outputs, *(
            mx.sym.BlockGrad(state, name=name, attr={'__layout__': layout} if layout else {})
            for state, name, layout in zip(finals, self._next_names, self._layouts))])
        return _Carried(grouped, self)

    def __call__(self, param: Any) -> None:
        """Callback at the end of a batch or of a pass; `param` is MXNet's BatchEndParam."""
        where = getattr(param, 'locals', None) or {}
        if 'self' not in where:
            raise TypeError('param must be what Module.fit and Module.score give their batch and '
                            'evaluation callbacks, got %r' % (param,))
        module = where['self']
        for name in ('train_data', 'eval_data'):
            _check_continues(name, where.get(name))
        if 'end_of_batch' in where:  # fit
            _check_evaluation(where)
            ends = where['end_of_batch']
        else:  # score, whose end has left the last batch behind
            ends = param.nbatch != where.get('nbatch') or param.nbatch == where.get('num_batch')
        if ends:
            self.zero(module)
            return
        if param.nbatch == 0 and module in self._used:
            raise RuntimeError(
                'a pass over the data began with the states of an earlier one: give carry_states '
                'as eval_end_callback (score_end_callback of score), too, and call its '
                'zero(module) after a pass that was broken off')
        self.carry(module)

    def carry(self, module: Module) -> None:
        """Make the final states of the batch that `module` just ran the next one's begin states.

        Raises
        ------
        ValueError
            The module was not made for these states.
        """
        current, *others = self._modules(module)
        outputs = dict(zip(current.output_names, current.get_outputs(merge_multi_context=False)))
        missing = [name for name in self._next_names if name + '_output' not in outputs]
        if missing:
            raise ValueError('module must have the outputs that group() adds to its symbol, but '
                             'lacks %s' % ', '.join(missing))
        if module in self._used and current not in self._filled:
            raise ValueError('module must have bound all of its buckets before a pass begins, '
                             'since one bound later begins with zeros: call switch_bucket for each')
        states = [outputs[name + '_output'] for name in self._next_names]
        self._filled = [current, *others]
        for each in self._filled:
            each.set_states(states=states)
        self._used.add(module)
        self._up_to_date(self._filled)

    def zero(self, module: Module) -> None:
        """Zero the begin states of `module`."""
        modules = self._modules(module)
        for each in modules:
            each.set_states(value=0)
        self._used.discard(module)
        self._up_to_date(modules)

    def _up_to_date(self, modules: list[Module]) -> None:
        """Note that what these modules run next begins with states that were just set."""
        for each in modules:
            for executor in each._exec_group.execs:
                self._ran.discard(executor)

    def _watch(self, executor: mx.executor.Executor) -> None:
        """Make a module's executor refuse to run twice on the same states."""
        run = type(executor).forward
        mine = weakref.ref(executor)

        def forward(is_train: bool = False, **kwargs: mx.nd.NDArray) -> list[mx.nd.NDArray]:
            current: Any = mine()
            if current in self._ran:
                raise RuntimeError(
                    'two batches began with the same states: give what carry_states returned as '
                    '%s, or call its carry(module) after each batch, and its zero(module) before '
                    'a batch that begins anew'
                    % ('batch_end_callback of fit' if is_train else
                       'eval_batch_end_callback of fit, batch_end_callback of score'))
            self._ran.add(current)
            return run(current, is_train, **kwargs)

        executor.forward = forward  # type: ignore[method-assign]

    def _modules(self, module: Module) -> list[Module]:
        """The module that holds the states; of a BucketingModule all, the current one first."""
        current = getattr(module, '_curr_module', None) or module
        names = getattr(current, '_state_names', None)
        if names != self.state_names:
            raise ValueError('module must be made with state_names=%s, got %s'
                             % (self.state_names, names))
        buckets = getattr(module, '_buckets', {}).values()
        return [current] + [each for each in buckets if each is not current]


class _Carried(mx.sym.Symbol):
    """The graph that `group` returns: what modules bind of it is watched."""

    __slots__ = ['carried']

    def __init__(self, symbol: mx.sym.Symbol, carried: CarriedStates) -> None:
        super().__init__(symbol.handle)
        symbol.handle = None  # which would be freed twice
        self.carried = carried

    def __reduce__(self) -> Any:
        return mx.sym.load_json, (json_of(self),)  # a copy, or another process, has no watch

    def simple_bind(self, *args: Any, **kwargs: Any) -> mx.executor.Executor:
        executor = super().simple_bind(*args, **kwargs)
        if 'shared_buffer' in kwargs:  # a module's; programs that bind by hand carry by hand
            self.carried._watch(executor)
        return executor


def _check_evaluation(where: dict[str, Any]) -> None:
    """Refuse to train, in the first batch, if the evaluation after the epoch is to fail."""
    if where.get('eval_data') is None:
        return
    needed = ['eval_batch_end_callback']
    if where.get('epoch', 0) + 1 < where.get('num_epoch', 0):  # else nothing comes after it
        needed.append('eval_end_callback')
    for name in needed:
        if name in where and where[name] is None:
            raise ValueError('%s must be what carry_states returned where fit has eval_data, as '
                             'batch_end_callback is, got None' % name)


def _check_continues(name: str, iterator: object) -> None:
    """Refuse an iterator that is known not to continue its batches."""
    inner = [*getattr(iterator, 'iters', []), getattr(iterator, 'data_iter', None)]
    for each in inner:  # of PrefetchingIter and ResizeIter
        if each is not None:
            _check_continues(name, each)
    # By its name, as `mx.rnn` may be mxrnn by now, while a program still has the original's class.
    theirs = any((kind.__module__, kind.__name__) == ('mxnet.rnn.io', 'BucketSentenceIter')
                 for kind in type(iterator).__mro__)
    shuffled = isinstance(iterator, mx.io.NDArrayIter) and iterator.shuffle
    if theirs or shuffled or getattr(iterator, 'continues', True) is False:
        raise ValueError('%s must give batches that continue each other for carry_states, as a '
                         'StreamIter does; a %s%s does not' % (
                             name, type(iterator).__name__, ' with shuffle=True' * shuffled))
