"""MXNet 1's optimisers: its defaults, no decay of biases, one weight at a time.

MXNet 2's have other defaults, decay biases too and are given lists. A program would train
differently without a word. The operators that change the weights are the same.
"""
from __future__ import annotations

import math
from typing import Any, Iterable

import mxnet as mx
import numpy as np

__all__ = ['AdaDelta', 'AdaGrad', 'Adam', 'Ftrl', 'NAG', 'Optimizer', 'RMSProp', 'SGD', 'Test',
           'create', 'register']


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


def _zeros(weight: Any) -> Any:
    return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)


class _Momentum(Optimizer):
    """Descent with a momentum; the state is the momentum, and behind it the copy in float32."""

    def __init__(self, momentum: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index: Any, weight: Any) -> Any:
        return _zeros(weight) if self.momentum else None

    def create_state_multi_precision(self, index: Any, weight: Any) -> Any:
        if self.multi_precision and weight.dtype == np.float16:
            copy = weight.astype(np.float32)
            return self.create_state(index, copy), copy
        return self.create_state(index, weight)

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        options = self._common(index)
        if state is None:
            mx.nd.sgd_update(weight, grad, out=weight, **options)
        else:
            self._step(weight, grad, state, options)

    def _step(self, weight: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
        """An update with momentum."""
        raise NotImplementedError

    def _update_float16(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        momentum, copy = state
        super()._update_float16(index, weight, grad, (copy, momentum))


@register
class SGD(_Momentum):
    """Stochastic gradient descent; `lazy_update` is of sparse gradients and not used."""

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any) -> None:
        super().__init__(momentum, **kwargs)
        self.lazy_update = lazy_update

    def _step(self, weight: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
        mx.nd.sgd_mom_update(weight, grad, state, out=weight, momentum=self.momentum, **options)


@register
class NAG(_Momentum):
    """Nesterov's accelerated gradient; the momentum decays the weight that is already changed."""

    def _step(self, weight: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
        rate, decay = options['lr'], options['wd']
        grad = grad * self.rescale_grad
        if self.clip_gradient:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        ahead = self.momentum * state
        weight[:] += (self.momentum * ahead
                      - (self.momentum + 1.) * rate * (grad + decay * weight))
        state[:] = ahead - rate * (grad + decay * weight)


@register
class Adam(Optimizer):
    """Adam, Kingma and Ba 2014; decay is part of the gradient."""

    def __init__(self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, lazy_update: bool = True, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon, self.lazy_update = beta1, beta2, epsilon, lazy_update

    def create_state(self, index: Any, weight: Any) -> Any:
        return _zeros(weight), _zeros(weight)

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        options = self._common(index)
        count = self._index_update_count[index]
        rate = options['lr'] * math.sqrt(1. - self.beta2 ** count) / (1. - self.beta1 ** count)
        # MXNet 2's operator decays behind the clipping.
        mx.nd.adam_update(weight, self._decayed(grad, weight, options), *state, out=weight, lr=rate,
                          beta1=self.beta1, beta2=self.beta2, epsilon=self.epsilon)


@register
class RMSProp(Optimizer):
    """RMSProp, Tieleman and Hinton 2012; centered: Graves 2013."""

    def __init__(self, learning_rate: float = 0.001, gamma1: float = 0.9, gamma2: float = 0.9,
                 epsilon: float = 1e-8, centered: bool = False, clip_weights: float | None = None,
                 **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.gamma1, self.gamma2, self.epsilon = gamma1, gamma2, epsilon
        self.centered, self.clip_weights = centered, clip_weights

    def create_state(self, index: Any, weight: Any) -> Any:
        return tuple(mx.nd.zeros(weight.shape, weight.context)
                     for _ in range(3 if self.centered else 1))

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        # MXNet 2's operator adds epsilon elsewhere.
        options = self._common(index)
        grad = self._decayed(grad, weight, options)
        state[0][:] = (1. - self.gamma1) * mx.nd.square(grad) + self.gamma1 * state[0]
        if self.centered:
            squares, mean, change = state
            mean[:] = (1. - self.gamma1) * grad + self.gamma1 * mean
            change[:] = self.gamma2 * change - options['lr'] * grad / mx.nd.sqrt(
                squares - mx.nd.square(mean) + self.epsilon)
            changed = weight + change
        else:
            changed = weight - options['lr'] * grad / mx.nd.sqrt(state[0] + self.epsilon)
        if self.clip_weights:
            changed = mx.nd.clip(changed, -self.clip_weights, self.clip_weights)
        weight[:] = changed


@register
class AdaGrad(Optimizer):
    """AdaGrad, Duchi et al. 2011; decay is not part of the history."""

    def __init__(self, eps: float = 1e-7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.float_stable_eps = eps

    def create_state(self, index: Any, weight: Any) -> Any:
        return mx.nd.zeros(weight.shape, weight.context)

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        options = self._common(index)
        grad = self._gradient(grad)
        state[:] += mx.nd.square(grad)
        step = grad / mx.nd.sqrt(state + self.float_stable_eps) + weight * options['wd']
        weight[:] += step * -options['lr']


@register
class AdaDelta(Optimizer):
    """AdaDelta, Zeiler 2012."""

    def __init__(self, rho: float = 0.90, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rho, self.epsilon = rho, epsilon

    def create_state(self, index: Any, weight: Any) -> Any:
        return tuple(mx.nd.zeros(weight.shape, weight.context) for _ in range(2))

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        decay = self._common(index)['wd']
        grad, (squares, changes) = self._gradient(grad), state
        squares[:] = squares * self.rho + (1. - self.rho) * grad * grad
        change = mx.nd.sqrt(changes + self.epsilon) / mx.nd.sqrt(squares + self.epsilon) * grad
        changes[:] = changes * self.rho + (1. - self.rho) * change * change
        weight[:] -= change + decay * weight


@register
class Ftrl(Optimizer):
    """Follow the regularised leader, McMahan et al. 2013."""

    def __init__(self, lamda1: float = 0.01, learning_rate: float = 0.1, beta: float = 1,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lamda1, self.beta, self.lr = lamda1, beta, learning_rate

    def create_state(self, index: Any, weight: Any) -> Any:
        return tuple(mx.nd.zeros(weight.shape, weight.context) for _ in range(2))

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        mx.nd.ftrl_update(weight, grad, *state, out=weight, lamda1=self.lamda1, beta=self.beta,
                          **self._common(index))


@register
class Test(Optimizer):
    """Adds the gradient to the weight, as MXNet's tests have it."""

    def create_state(self, index: Any, weight: Any) -> Any:
        return mx.nd.zeros(weight.shape, weight.context)

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        weight[:] += grad * self.rescale_grad
        state[:] = weight
