"""MXNet 1's optimisers: its defaults, no decay of biases, one weight at a time.

MXNet 2's optimisers have other defaults, also decay biases, and get lists. A program would silently
train differently. The operators that change weights are the same. Pickles name the classes as
MXNet 1 does, so the states of an optimiser can be moved in both directions.
"""
from __future__ import annotations

import math
import warnings
from typing import Any, Callable, Iterable, Mapping, Tuple, TypeVar, Union

import numpy as np

from . import mx

__all__ = ['AdaDelta', 'AdaGrad', 'Adam', 'Ftrl', 'NAG', 'Optimizer', 'RMSProp', 'SGD', 'create',
           'register']

#: Their module in MXNet 1.
HOME = 'mxnet.optimizer.optimizer'

Array = mx.nd.NDArray
#: The number or the name of a parameter.
Index = Union[int, str]
#: Arguments of an optimiser.
Options = Union[Mapping[str, object], Iterable[Tuple[str, object]]]
#: None, an array, or a tuple of them: each optimiser has its own.
State = Any
_Kind = TypeVar('_Kind', bound='Optimizer')


class Optimizer(mx.optimizer.Optimizer):
    """An optimiser like ``mx.optimizer.Optimizer`` of MXNet 1, for programs to derive from.

    Subclasses define `create_state` and `update`. The weight decay of arguments whose names end
    neither in '_weight' nor in '_gamma' is 0 unless `set_wd_mult` sets another.
    """

    #: Optimisers by their names in lower case.
    opt_registry: dict[str, type[Optimizer]] = {}

    def __init__(self, rescale_grad: float = 1., param_idx2name: dict[Index, str] | None = None,
                 wd: float = 0., clip_gradient: float | None = None,
                 learning_rate: float | None = None,
                 lr_scheduler: mx.lr_scheduler.LRScheduler | None = None,
                 sym: mx.sym.Symbol | None = None, begin_num_update: int = 0,
                 multi_precision: bool = False, param_dict: dict[Index, Any] | None = None
                 ) -> None:
        # Not with MXNet 2's, which calls the Optimizer in its module, and that may be this one.
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
        """Register an optimiser under its name."""
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
        """Multiply the decay of some arguments, in addition to those whose variables say so."""
        super().set_wd_mult({})
        self.wd_mult = {**{name: 0. for name in self.idx2name.values()
                           if not name.endswith(('_weight', '_gamma'))},
                        **self.wd_mult, **args_wd_mult}

    #: How many arrays in a weight's shape its updates keep, as a tuple.
    _kept = 0

    def create_state(self, index: Index, weight: Array) -> State:
        """Arrays that the updates of a weight keep."""
        return tuple(mx.nd.zeros_like(weight) for _ in range(self._kept)) or None

    #: Whether the float32 copy comes before the other arrays in MXNet 1's states.
    _copy_first = True

    def create_state_multi_precision(self, index: Index, weight: Array) -> State:
        """The same, with a float32 copy of the weight if that is requested."""
        state = super().create_state_multi_precision(index, weight)
        has_copy = self.multi_precision and weight.dtype == np.float16
        return state[::-1] if has_copy and not self._copy_first else state

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        """Change a weight by its gradient."""
        raise NotImplementedError

    def update_multi_precision(self, index: Index, weight: Array, grad: Array, state: State
                               ) -> None:
        """Change a weight through its float32 copy, if it has one.

        MXNet 2's updater, which keeps the states, passes lists.
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
        """Count an update; return the arguments that all operators of optimisers take."""
        self._update_count(index)
        options = dict(lr=self._get_lr(index), wd=self._get_wd(index),
                       rescale_grad=self.rescale_grad)
        if self.clip_gradient:
            options['clip_gradient'] = self.clip_gradient
        return options

    def _gradient(self, grad: Array, decay: Array | float = 0.) -> Array:
        """The gradient, scaled, with decay, and clipped, for optimisers without an operator."""
        grad = grad * self.rescale_grad + decay
        if self.clip_gradient:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        return grad


register, create = Optimizer.register, Optimizer.create_optimizer


@register
class SGD(Optimizer):
    """Stochastic gradient descent; `lazy_update` is for sparse gradients and not used.

    The state is the momentum, followed by the float32 copy.
    """

    _copy_first = False

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.lazy_update = momentum, lazy_update

    def create_state(self, index: Index, weight: Array) -> State:
        return mx.nd.zeros_like(weight) if self.momentum else None

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        options = self._common(index)
        if state is None:
            mx.nd.sgd_update(weight, grad, out=weight, **options)
        else:
            self._step(weight, grad, state, options)

    def _step(self, weight: Array, grad: Array, state: Array, options: dict[str, float]) -> None:
        """An update with momentum."""
        mx.nd.sgd_mom_update(weight, grad, state, out=weight, momentum=self.momentum, **options)


@register
class NAG(SGD):
    """Nesterov's accelerated gradient; the momentum decays the weight that is already changed."""

    def __init__(self, momentum: float = 0.0, **kwargs: Any) -> None:
        Optimizer.__init__(self, **kwargs)  # MXNet 1 refuses `lazy_update` here
        self.momentum = momentum

    def _step(self, weight: Array, grad: Array, state: Array, options: dict[str, float]) -> None:
        rate, decay = options['lr'], options['wd']
        grad = self._gradient(grad)
        ahead = self.momentum * state
        weight[:] += (self.momentum * ahead
                      - (self.momentum + 1.) * rate * (grad + decay * weight))
        state[:] = ahead - rate * (grad + decay * weight)


@register
class Adam(Optimizer):
    """Adam, Kingma and Ba 2014; decay is part of the gradient."""

    _kept = 2

    def __init__(self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, lazy_update: bool = True, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon, self.lazy_update = beta1, beta2, epsilon, lazy_update

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        options = self._common(index)
        count = self._index_update_count[index]
        rate = options['lr'] * math.sqrt(1. - self.beta2 ** count) / (1. - self.beta1 ** count)
        # MXNet 2's operator applies decay after clipping.
        grad = self._gradient(grad, options['wd'] * weight)
        mx.nd.adam_update(weight, grad, *state, out=weight, lr=rate, beta1=self.beta1,
                          beta2=self.beta2, epsilon=self.epsilon)


@register
class RMSProp(Optimizer):
    """RMSProp, Tieleman and Hinton 2012; centered: Graves 2013."""

    def __init__(self, learning_rate: float = 0.001, gamma1: float = 0.9, gamma2: float = 0.9,
                 epsilon: float = 1e-8, centered: bool = False, clip_weights: float | None = None,
                 **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.gamma1, self.gamma2, self.epsilon = gamma1, gamma2, epsilon
        self.centered, self.clip_weights = centered, clip_weights
        self._kept = 3 if centered else 1

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        # MXNet 2's operator adds epsilon elsewhere.
        options = self._common(index)
        grad = self._gradient(grad, options['wd'] * weight)
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

    def create_state(self, index: Index, weight: Array) -> State:
        return mx.nd.zeros_like(weight)

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        options = self._common(index)
        grad = self._gradient(grad)
        state[:] += mx.nd.square(grad)
        step = grad / mx.nd.sqrt(state + self.float_stable_eps) + weight * options['wd']
        weight[:] += step * -options['lr']


@register
class AdaDelta(Optimizer):
    """AdaDelta, Zeiler 2012."""

    _kept = 2

    def __init__(self, rho: float = 0.90, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rho, self.epsilon = rho, epsilon

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        decay = self._common(index)['wd']
        grad, (squares, changes) = self._gradient(grad), state
        squares[:] = squares * self.rho + (1. - self.rho) * grad * grad
        change = mx.nd.sqrt(changes + self.epsilon) / mx.nd.sqrt(squares + self.epsilon) * grad
        changes[:] = changes * self.rho + (1. - self.rho) * change * change
        weight[:] -= change + decay * weight


@register
class Ftrl(Optimizer):
    """Follow the regularised leader, McMahan et al. 2013."""

    _kept = 2

    def __init__(self, lamda1: float = 0.01, learning_rate: float = 0.1, beta: float = 1,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lamda1, self.beta, self.lr = lamda1, beta, learning_rate

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        mx.nd.ftrl_update(weight, grad, *state, out=weight, lamda1=self.lamda1, beta=self.beta,
                          **self._common(index))


KINDS = AdaDelta, AdaGrad, Adam, Ftrl, NAG, RMSProp, SGD
for _kind in KINDS:
    _kind.__module__ = HOME


def ready(optimizer: str | Optimizer, options: Options, symbol: mx.sym.Symbol,
          names: dict[Index, str], scale: float) -> Optimizer:
    """Return a module's optimiser; make it if a name is given."""
    if isinstance(optimizer, str):
        given: dict[str, Any] = {'rescale_grad': scale, **dict(options)}
        return create(optimizer, sym=symbol, param_idx2name=names, **given)
    if not isinstance(optimizer, Optimizer):
        raise TypeError('optimizer must be a name or an Optimizer of MXNet 1, got %r'
                        % (optimizer,))
    if optimizer.rescale_grad != scale:
        warnings.warn('Optimizer created manually outside Module: its rescale_grad is %s, not '
                      '1 / batch size / workers, %s. Is this intended?'
                      % (optimizer.rescale_grad, scale), stacklevel=3)
    if not optimizer.idx2name:
        optimizer.idx2name = names
    return optimizer


class Sent:
    """Takes an optimiser to a server, where MXNet waits in its import and knows no other names."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.multi_precision = optimizer, optimizer.multi_precision

    def __reduce__(self) -> tuple[Callable[..., Optimizer], tuple[str], dict[str, Any]]:
        return create, (type(self.optimizer).__name__,), vars(self.optimizer)
