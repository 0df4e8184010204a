"""MXNet 1's optimisers: its defaults, no decay of biases, one weight at a time.

MXNet 2's have other defaults, decay biases too and are given lists. A program would train
differently without a word. The operators that change the weights are the same.
"""
from __future__ import annotations

from typing import Any, Iterable

import mxnet as mx
import numpy as np

__all__ = ['Optimizer', 'create', 'register']


class Optimizer:
    """An optimiser as ``mx.optimizer.Optimizer`` of MXNet 1, for programs to derive from.

    Subclasses give `create_state` and `update`. The weight decay of arguments whose names end
    neither with '_weight' nor with '_gamma' is 0 unless `set_wd_mult` says another.
    """

    #: Optimisers by their names in small letters.
    opt_registry: dict[str, type[Optimizer]] = {}

    def __init__(self, rescale_grad: float = 1., param_idx2name: dict[Any, str] | None = None,
                 wd: float = 0., clip_gradient: float | None = None,
                 learning_rate: float | None = None, lr_scheduler: Any = None, sym: Any = None,
                 begin_num_update: int = 0, multi_precision: bool = False,
                 param_dict: Any = None) -> None:
        self.rescale_grad, self.wd, self.clip_gradient = rescale_grad, wd, clip_gradient
        self.multi_precision, self.lr_scheduler = multi_precision, lr_scheduler
        self.lr: Any = learning_rate
        if lr_scheduler is None:
            self.lr = 0.01 if learning_rate is None else learning_rate
        elif learning_rate is not None:
            lr_scheduler.base_lr = learning_rate
        self.begin_num_update = self.num_update = begin_num_update
        self._all_index_update_counts: dict[int, dict[Any, int]] = {0: {}}
        self._index_update_count = self._all_index_update_counts[0]
        self.aggregate_num = 0
        self.idx2name = dict(param_idx2name or {})
        self.sym_info: Any = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.param_dict = param_dict or {}
        self.lr_mult: dict[Any, float] = {}
        self.wd_mult: dict[Any, float] = {}
        self.set_lr_mult({})
        self.set_wd_mult({})

    @staticmethod
    def register(klass: type[Optimizer]) -> type[Optimizer]:
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

    @property
    def learning_rate(self) -> Any:
        """The rate of the next update."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    def set_learning_rate(self, lr: float) -> None:
        """Set the rate, where no scheduler does."""
        if self.lr_scheduler is not None:
            raise UserWarning('the learning rate is set by the LRScheduler of the optimizer')
        self.lr = lr

    def set_lr_mult(self, args_lr_mult: dict[Any, float]) -> None:
        """Multiply the rate of some arguments, besides those whose variables say so."""
        self.lr_mult = {**self._noted('__lr_mult__'), **args_lr_mult}

    def set_wd_mult(self, args_wd_mult: dict[Any, float]) -> None:
        """Multiply the decay of some arguments, besides those whose variables say so."""
        undecayed = {name: 0. for name in self.idx2name.values()
                     if not name.endswith(('_weight', '_gamma'))}
        self.wd_mult = {**undecayed, **self._noted('__wd_mult__'), **args_wd_mult}

    def _noted(self, key: str) -> dict[Any, float]:
        attributes, names = self.sym_info or ({}, [])
        return {name: float(attributes[name][key]) for name in names
                if key in attributes.get(name, {})}

    def create_state(self, index: Any, weight: Any) -> Any:
        """Arrays that the updates of a weight keep."""
        return None

    def create_state_multi_precision(self, index: Any, weight: Any) -> Any:
        """The same, with a copy of the weight in float32 where that is asked for."""
        if self.multi_precision and weight.dtype == np.float16:
            copy = weight.astype(np.float32)
            return copy, self.create_state(index, copy)
        return self.create_state(index, weight)

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Change a weight by its gradient."""
        raise NotImplementedError

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Change a weight through its copy in float32, if it has one.

        MXNet 2's updater, which keeps the states, gives lists.
        """
        if isinstance(index, (list, tuple)):
            for row in zip(index, weight, grad, state):
                self.update_multi_precision(*row)
        elif self.multi_precision and weight.dtype == np.float16:
            self._update_float16(index, weight, grad, state)
        else:
            self.update(index, weight, grad, state)

    def _update_float16(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        copy, state = state
        self.update(index, copy, grad.astype(np.float32), state)
        copy.astype(weight.dtype).copyto(weight)

    def _set_current_device(self, device_id: int) -> None:
        self._index_update_count = self._all_index_update_counts.setdefault(device_id, {})

    def _update_count(self, index: Any) -> None:
        for each in index if isinstance(index, (list, tuple)) else [index]:
            count = self._index_update_count.get(each, self.begin_num_update) + 1
            self._index_update_count[each] = count
            self.num_update = max(count, self.num_update)

    def _scaled(self, value: Any, index: Any, kind: str) -> Any:
        """`value`, 'lr' or 'wd', times the factor of an argument."""
        if index in self.param_dict:
            return value * getattr(self.param_dict[index], kind)
        factors = getattr(self, kind)
        if index in factors:
            return value * factors[index]
        return value * factors.get(self.idx2name.get(index), 1.)

    def _get_lr(self, index: Any) -> Any:
        return self._scaled(self.learning_rate, index, 'lr_mult')

    def _get_wd(self, index: Any) -> Any:
        return self._scaled(self.wd, index, 'wd_mult')

    def _get_lrs(self, indices: Iterable[Any]) -> list[Any]:
        return [self._get_lr(index) for index in indices]

    def _get_wds(self, indices: Iterable[Any]) -> list[Any]:
        return [self._get_wd(index) for index in indices]

    def _common(self, index: Any) -> dict[str, Any]:
        """Count an update; the arguments that all operators of optimisers take."""
        self._update_count(index)
        options = dict(lr=self._get_lr(index), wd=self._get_wd(index),
                       rescale_grad=self.rescale_grad)
        if self.clip_gradient:
            options['clip_gradient'] = self.clip_gradient
        return options

    def _gradient(self, grad: Any) -> Any:
        """The gradient scaled and clipped, for optimisers without an operator."""
        grad = grad * self.rescale_grad
        if self.clip_gradient is not None:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        return grad

    def _decayed(self, grad: Any, weight: Any, options: dict[str, Any]) -> Any:
        """The gradient scaled, with the decay, and clipped."""
        grad = grad * self.rescale_grad + options['wd'] * weight
        if self.clip_gradient:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        return grad


register = Optimizer.register
create = Optimizer.create_optimizer
