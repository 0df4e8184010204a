"""The optimisers of MXNet 1 that its programs with RNNs use.

Pickles name them as MXNet 1 does, so that the states of an optimiser cross in both directions.
"""
from __future__ import annotations

import math
import warnings
from typing import Any, Callable

from . import mx
from .optimizer import Array, Index, Optimizer, Options, State, create, register

__all__ = ['AdaDelta', 'AdaGrad', 'Adam', 'Ftrl', 'NAG', 'Optimizer', 'RMSProp', 'SGD']

#: Where MXNet 1 has them.
HOME = 'mxnet.optimizer.optimizer'


class _Momentum(Optimizer):
    """Descent with a momentum; the state is the momentum, and behind it the copy in float32."""

    _copy_first = False
    #: An update with momentum, of a weight by its gradient, the state and the common options.
    _step: Callable[..., None]

    def __init__(self, momentum: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index: Index, weight: Array) -> State:
        return mx.nd.zeros_like(weight) if self.momentum else None

    def update(self, index: Index, weight: Array, grad: Array, state: State) -> None:
        options = self._common(index)
        if state is None:
            mx.nd.sgd_update(weight, grad, out=weight, **options)
        else:
            self._step(weight, grad, state, options)


@register
class SGD(_Momentum):
    """Stochastic gradient descent; `lazy_update` is of sparse gradients and not used."""

    def __init__(self, momentum: float = 0.0, lazy_update: bool = True, **kwargs: Any) -> None:
        super().__init__(momentum, **kwargs)
        self.lazy_update = lazy_update

    def _step(self, weight: Array, grad: Array, state: Array, options: dict[str, float]) -> None:
        mx.nd.sgd_mom_update(weight, grad, state, out=weight, momentum=self.momentum, **options)


@register
class NAG(_Momentum):
    """Nesterov's accelerated gradient; the momentum decays the weight that is already changed."""

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
        # MXNet 2's operator decays behind the clipping.
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

    def create_state(self, index: Index, weight: Array) -> State:
        return tuple(mx.nd.zeros_like(weight) for _ in range(3 if self.centered else 1))

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


for _kind in (AdaDelta, AdaGrad, Adam, Ftrl, NAG, RMSProp, SGD):
    _kind.__module__ = HOME


def ready(optimizer: str | Optimizer, options: Options, symbol: mx.sym.Symbol,
          names: dict[Index, str], scale: float) -> Optimizer:
    """Return the optimiser of a module, made from its name if that is what is given."""
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
    """Takes an optimiser to a server, where MXNet waits in its import and has no other names."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.multi_precision = optimizer, optimizer.multi_precision

    def __reduce__(self) -> tuple[Callable[..., Optimizer], tuple[str, dict[str, Any]]]:
        return _arrived, (type(self.optimizer).__name__, vars(self.optimizer))


def _arrived(name: str, state: dict[str, Any]) -> Optimizer:
    made = create(name)
    vars(made).update(state)
    return made
