"""MXNet 1's optimisers: its defaults, no decay of biases, one weight at a time.

MXNet 2's have other defaults, decay biases too and are given lists. A program would train
differently without a word. The operators that change the weights are the same.
"""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Tuple, TypeVar, Union

import numpy as np

from . import mx

__all__ = ['Array', 'Index', 'Optimizer', 'Options', 'State', 'create', 'register']

Array = mx.nd.NDArray
#: The number or the name of a parameter.
Index = Union[int, str]
#: Arguments of an optimiser.
Options = Union[Mapping[str, object], Iterable[Tuple[str, object]]]
#: None, an array, or a tuple of them: each optimiser has its own.
State = Any
_Kind = TypeVar('_Kind', bound='Optimizer')


class Optimizer(mx.optimizer.Optimizer):
    """An optimiser as ``mx.optimizer.Optimizer`` of MXNet 1, for programs to derive from.

    Subclasses give `create_state` and `update`. The weight decay of arguments whose names end
    neither with '_weight' nor with '_gamma' is 0 unless `set_wd_mult` says another.
    """

    #: Optimisers by their names in small letters.
    opt_registry: dict[str, type[Optimizer]] = {}

    def __init__(self, rescale_grad: float = 1., param_idx2name: dict[Index, str] | None = None,
                 wd: float = 0., clip_gradient: float | None = None,
                 learning_rate: float | None = None,
                 lr_scheduler: mx.lr_scheduler.LRScheduler | None = None,
                 sym: mx.sym.Symbol | None = None, begin_num_update: int = 0,
                 multi_precision: bool = False, param_dict: dict[Index, Any] | None = None
                 ) -> None:
        # Not by MXNet 2's: it calls that of the Optimizer in its module, which may be this one.
        self.rescale_grad, self.wd, self.clip_gradient = rescale_grad, wd, clip_gradient
        self.multi_precision, self.lr_scheduler = multi_precision, lr_scheduler
        self.lr = 0.01 if lr_scheduler is None and learning_rate is None else learning_rate
        if lr_scheduler is not None and learning_rate is not None:
            lr_scheduler.base_lr = learning_rate
        self.begin_num_update = self.num_update = begin_num_update
        self._all_index_update_counts: dict[int, dict[Index, int]] = {0: {}}
        self._index_update_count = self._all_index_update_counts[0]
        self.aggregate_num = 0
        self.idx2name, self.param_dict = dict(param_idx2name or {}), param_dict or {}
        self.sym_info = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.set_lr_mult({})
        self.set_wd_mult({})

    @staticmethod
    def register(klass: type[_Kind]) -> type[_Kind]:
        """Make an optimiser known by its name."""
        Optimizer.opt_registry[klass.__name__.lower()] = klass
        return klass

    @staticmethod
    def create_optimizer(name: str, **kwargs: Any) -> Optimizer:
        """Make the optimiser `name`."""
        kind = Optimizer.opt_registry.get(name.lower())
        if kind is None:
            raise ValueError('the optimizer must be one of %s, got %r'
                             % (', '.join(sorted(Optimizer.opt_registry)), name))
        return kind(**kwargs)

    def set_wd_mult(self, args_wd_mult: dict[Index, float]) -> None:
        """Multiply the decay of some arguments, besides those whose variables say so."""
        super().set_wd_mult({})
        self.wd_mult = {**{name: 0. for name in self.idx2name.values()
                           if not name.endswith(('_weight', '_gamma'))},
                        **self.wd_mult, **args_wd_mult}

    #: How many arrays of a weight's shape its updates keep, as a tuple.
    _kept = 0

    def create_state(self, index: Index, weight: Array) -> State:
        """Arrays that the updates of a weight keep."""
        return tuple(mx.nd.zeros_like(weight) for _ in range(self._kept)) or None

    #: Whether the copy in float32 comes before the other arrays in the states of MXNet 1.
    _copy_first = True

    def create_state_multi_precision(self, index: Index, weight: Array) -> State:
        """The same, with a copy of the weight in float32 where that is asked for."""
        state = super().create_state_multi_precision(index, weight)
        has_copy = self.multi_precision and weight.dtype == np.float16
        return state[::-1] if has_copy and not self._copy_first else state

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        """Change a weight by its gradient."""
        raise NotImplementedError

    def update_multi_precision(self, index: Index, weight: Array, grad: Array, state: State
                               ) -> None:
        """Change a weight through its copy in float32, if it has one.

        MXNet 2's updater, which keeps the states, gives lists.
        """
        if isinstance(index, (list, tuple)):
            for row in zip(index, weight, grad, state):
                self.update_multi_precision(*row)
        elif self.multi_precision and weight.dtype == np.float16:
            copy, state = state if self._copy_first else state[::-1]
            self.update(index, copy, grad.astype(np.float32), state)
            copy.astype(weight.dtype).copyto(weight)
        else:
            self.update(index, weight, grad, state)

    def _common(self, index: Index) -> dict[str, float]:
        """Count an update; the arguments that all operators of optimisers take."""
        self._update_count(index)
        options = dict(lr=self._get_lr(index), wd=self._get_wd(index),
                       rescale_grad=self.rescale_grad)
        if self.clip_gradient:
            options['clip_gradient'] = self.clip_gradient
        return options

    def _gradient(self, grad: Array, decay: Array | float = 0.) -> Array:
        """The gradient scaled, with the decay, and clipped, for optimisers without an operator."""
        grad = grad * self.rescale_grad + decay
        if self.clip_gradient:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        return grad


register = Optimizer.register
create = Optimizer.create_optimizer
