"""Refuses to train or to evaluate if states or data would not continue from batch to batch."""
from __future__ import annotations

import weakref
from typing import Any, Protocol

from .._runtime.mxnet import mx
from .._runtime.symbol_graph import json_of

__all__ = ['BatchEnd', 'WatchedGraph', 'check_continues', 'check_evaluation']


class BatchEnd(Protocol):
    """MXNet's BatchEndParam."""

    epoch: int
    nbatch: int
    locals: dict[str, Any] | None


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


def check_evaluation(where: dict[str, Any]) -> None:
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


def check_continues(name: str, iterator: object) -> None:
    """Refuse an iterator that is known not to continue its batches."""
    inner = [*getattr(iterator, 'iters', []), getattr(iterator, 'data_iter', None)]
    for each in inner:  # inside PrefetchingIter and ResizeIter
        if each is not None:
            check_continues(name, each)
    # By name, because mx.rnn may be mxrnn by now while a program still has the original's class.
    theirs = any((kind.__module__, kind.__name__) == ('mxnet.rnn.io', 'BucketSentenceIter')
                 for kind in type(iterator).__mro__)
    shuffled = isinstance(iterator, mx.io.NDArrayIter) and iterator.shuffle
    if theirs or shuffled or getattr(iterator, 'continues', True) is False:
        raise ValueError('with carry_states, %s must return batches that continue each other, as '
                         'StreamIter does; a %s%s does not' % (
                             name, type(iterator).__name__, ' with shuffle=True' * shuffled))
