"""Random numbers. ONNX draws uniform, normal and multinomial numbers; others are made from them.

ONNX has no operators for gamma and Poisson numbers. They are drawn in a Loop, by exact methods:
each turn proposes a number for every element, and the loop ends when each has accepted one.
"""
from __future__ import annotations

import math
from typing import Callable, Sequence

import numpy as np

from ..._graph.graph import Node
from ..._graph.operator_table import numbers_of
from ..._graph.shapes.sizes import product
from ..registry import Converter, Unsupported, converts
from .arrays import shape_of
from .builder import Builder, Scope, Value

__all__: list[str] = []


class _Array:
    """A value in a formula, with Python's operators for element-by-element arithmetic."""

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder, self.value = builder, value

    def of(self, op: str, *others: _Array | float, condition: bool = False) -> _Array:
        """The output of the ONNX operator `op` for this array and `others`."""
        return _Array(self.builder, self.builder.apply(
            op, self.value, *(each.value if isinstance(each, _Array) else each for each in others),
            dtype=bool if condition else None))

    def __add__(self, other: _Array | float) -> _Array:
        return self.of('Add', other)

    def __sub__(self, other: _Array | float) -> _Array:
        return self.of('Sub', other)

    def __mul__(self, other: _Array | float) -> _Array:
        return self.of('Mul', other)

    def __truediv__(self, other: _Array | float) -> _Array:
        return self.of('Div', other)

    def __neg__(self) -> _Array:
        return self.of('Neg')

    def __lt__(self, other: _Array | float) -> _Array:
        return self.of('Less', other, condition=True)

    def __ge__(self, other: _Array | float) -> _Array:
        return self.of('GreaterOrEqual', other, condition=True)

    def __and__(self, other: _Array) -> _Array:
        return self.of('And', other)

    def __invert__(self) -> _Array:
        return self.of('Not')

    def where(self, yes: _Array, no: _Array) -> _Array:
        """`yes` where this condition is true, otherwise `no`."""
        return _Array(self.builder, self.builder.where(self.value, yes.value, no.value))

    def filled(self, number: float) -> _Array:
        """An array of this shape in which every element is `number`."""
        return _Array(self.builder, self.builder.fill(number, self.value.shape, self.value.dtype))

    def uniform(self) -> _Array:
        """Numbers from 0 up to 1, an array of this shape."""
        return self._drawn('RandomUniformLike')

    def normal(self) -> _Array:
        """Numbers with mean 0 and deviation 1, an array of this shape."""
        return self._drawn('RandomNormalLike')

    def log_uniform(self) -> _Array:
        """Logarithms of uniform numbers, none of which is 0."""
        return (-self.uniform() + 1).of('Log')

    def _drawn(self, op: str) -> _Array:
        return _Array(self.builder, self.builder.node(op, [self.value], self.value.shape))


def _loop(states: Sequence[_Array], turn: Callable[..., Sequence[_Array]]) -> list[_Array]:
    """The states after a Loop; it runs while an element of its last state is true."""
    builder = states[0].builder

    def goes_on(todo: _Array) -> Value:
        left = builder.node('ReduceSum', [builder.cast(todo.value, 'float32')], (), keepdims=0)
        return builder.apply('Greater', left, 0, dtype=bool)
    outer, current = builder.scope, builder.current
    begins = goes_on(states[-1])
    builder.scope = scope = Scope(outer)
    scope.inputs = [Value(builder.name(current + '_turn'), (), np.dtype('int64')),
                    Value(builder.name(current + '_condition'), (), np.dtype(bool)),
                    *(each.value._replace(name=builder.name(current + '_state'))
                      for each in states)]
    after = turn(*(_Array(builder, value) for value in scope.inputs[2:]))
    for value in [goes_on(after[-1]), *(each.value for each in after)]:
        builder.give(scope, value, builder.name(current + '_result'))
    builder.scope, builder.current = outer, current
    values = [each.value for each in states]
    outputs = builder.nodes('Loop', [None, begins, *values], [value.shape for value in values],
                            [value.dtype for value in values], scope)
    return [_Array(builder, value) for value in outputs]


def _accepted(todo: _Array, like: _Array, propose: Callable[[], tuple[_Array, _Array]]) -> _Array:
    """For each true element of `todo` the first accepted proposal, otherwise NaN."""
    def turn(result: _Array, todo: _Array) -> list[_Array]:
        accepted, number = propose()
        return [(todo & accepted).where(number, result), todo & ~accepted]
    return _loop([like.filled(math.nan), todo], turn)[0]


# ---- the distributions

def _uniform(like: _Array, low: _Array, high: _Array) -> _Array:
    return like.uniform() * (high - low) + low


def _normal(like: _Array, mean: _Array, deviation: _Array) -> _Array:
    return like.normal() * deviation + mean


def _exponential(like: _Array, rate: _Array) -> _Array:
    return -like.log_uniform() / rate


def _gamma(like: _Array, alpha: _Array, beta: _Array) -> _Array:
    """Marsaglia and Tsang, A simple method for generating gamma variables, 2000."""
    alpha = like.filled(0) + alpha
    small = alpha < 1
    d = small.where(alpha + 1, alpha) - 1 / 3
    c = (d * 9).of('Sqrt').of('Reciprocal')

    def propose() -> tuple[_Array, _Array]:
        x = like.normal()
        root = x * c + 1
        v = root * root * root
        bound = x * x * .5 + (v.of('Max', 1e-30).of('Log') - v + 1) * d
        return (like.log_uniform() < bound) & (root >= 1e-9), v * d
    drawn = _accepted(_valid(alpha), like, propose)
    part = (like.log_uniform() / alpha).of('Exp')
    return small.where(drawn * part, drawn) * beta


#: Means for which Hörmann's method works.
_LARGE = 10


def _poisson(like: _Array, mean: _Array) -> _Array:
    """Hörmann, The transformed rejection method for generating Poisson random variables, 1993.

    For small means, it counts how many exponential numbers fit into the mean.
    """
    mean = like.filled(0) + mean
    small = mean < _LARGE
    wide = mean.of('Max', _LARGE)
    b = wide.of('Sqrt') * 2.53 + .931
    a = b * .02483 - .059
    inverse = (b - 3.4).of('Reciprocal') * 1.1328 + 1.1239

    def propose() -> tuple[_Array, _Array]:
        u = like.uniform() - .5
        edge = (-u.of('Abs') + .5).of('Max', 1e-7)
        k = ((a * 2 / edge + b) * u + wide + .43).of('Floor')
        odds = (inverse / (a / (edge * edge) + b)).of('Log')
        return (like.log_uniform() + odds < _log_poisson(k.of('Max', 0), wide)) & (k >= 0), k

    def count(left: _Array, number: _Array, todo: _Array) -> list[_Array]:
        left = left + like.log_uniform()
        todo = todo & (left >= 0)
        return [left, todo.where(number + 1, number), todo]
    valid = _valid(mean)
    counted = _loop([mean, like.filled(0), valid & small], count)[1]
    return small.where(counted, _accepted(valid & ~small, like, propose))


def _log_poisson(k: _Array, mean: _Array) -> _Array:
    """The logarithm of the chance of `k`, by Stirling's series from 10 on."""
    table = k.builder.constant([math.lgamma(each + 1) for each in range(10)], k.value.dtype)
    place = k.builder.cast(k.of('Min', 9).value, 'int64')
    few = _Array(k.builder, k.builder.node('Gather', [table, place], k.value.shape))
    many = k.of('Max', 10)
    rest = many.of('Reciprocal') / 12 - (many * many * many).of('Reciprocal') / 360
    series = (mean / many).of('Log') * many + many - mean - (
        many * (2 * math.pi)).of('Log') * .5 - rest
    return (k < 10).where(mean.of('Log') * k - mean - few, series)


def _valid(parameter: _Array) -> _Array:
    """A number that is at least 0; for others the loops would not end."""
    return (parameter >= 0) & (parameter < 1e38)


#: By distribution: draws an array of the shape of `like` from the parameters.
_SAMPLERS: dict[str, Callable[..., _Array]] = {
    'uniform': _uniform, 'normal': _normal, 'exponential': _exponential, 'gamma': _gamma,
    'poisson': _poisson,
    'negative_binomial': lambda like, k, p: _poisson(like, _gamma(like, k, (-p + 1) / p)),
    'generalized_negative_binomial': lambda like, mu, alpha: _poisson(
        like, _gamma(like, alpha.of('Reciprocal'), mu * alpha))}


# ---- the operators

def _drawn(name: str, like: bool) -> Converter:
    """A converter for a sampler whose parameters are attributes."""
    def convert(builder: Builder, node: Node, *given: Value) -> Value:
        shaped = given[0] if like else builder.fill(
            0, shape_of(node), np.dtype(node.dtype or 'float32'))
        return _SAMPLERS[name](_Array(builder, shaped), *(
            _Array(builder, builder.scalar(number, shaped)) for number in numbers_of(node))).value
    return convert


def _drawn_for_each(name: str) -> Converter:
    """A converter for a sampler that draws for each element of its parameters."""
    def convert(builder: Builder, node: Node, *given: Value) -> Value:
        first = given[0]
        if node.dtype not in (None, first.dtype.name):
            raise Unsupported('numbers of the type %s of parameters of the type %s'
                              % (node.dtype, first.dtype))
        like = builder.fill(0, first.shape + node.shape, first.dtype)
        return _SAMPLERS[name](_Array(builder, like), *(
            _Array(builder, builder.reshape(value, first.shape + (1,) * len(node.shape)))
            for value in given)).value
    return convert


for _name in _SAMPLERS:
    converts('_random_' + _name)(_drawn(_name, like=False))
    converts('_random_%s_like' % _name)(_drawn(_name, like=True))
    converts('_sample_' + _name)(_drawn_for_each(_name))


@converts('_random_randint')
def _random_integers(builder: Builder, node: Node) -> Value:
    if max(abs(node.low), abs(node.high)) > 2 ** 52:
        raise Unsupported('integers from %d to %d' % (node.low, node.high))
    like = builder.fill(0, shape_of(node), np.dtype('float64'))
    drawn = _Array(builder, like).uniform() * (node.high - node.low) + node.low
    return builder.cast(drawn.of('Floor').value, node.dtype or 'int32')


@converts('_sample_multinomial')
def _multinomial(builder: Builder, node: Node, data: Value) -> list[Value]:
    rows, count = product(data.shape[:-1]), math.prod(node.shape)
    logs = builder.apply('Log', builder.cast(
        builder.reshape(data, (rows, data.shape[-1])), 'float32'))
    drawn = builder.node('Multinomial', [logs], (rows, count), 'int32', sample_size=count)
    shape = data.shape[:-1] + node.shape or (1,)
    outputs = [builder.cast(builder.reshape(drawn, shape), node.dtype)]
    if node.get_prob:
        chosen = builder.node('GatherElements', [logs, drawn], (rows, count), axis=1)
        outputs.append(builder.cast(builder.reshape(chosen, shape), data.dtype))
    return outputs


@converts('Dropout')
def _dropout(builder: Builder, node: Node, data: Value) -> Value:
    if node.mode != 'always' or node.p == 0:
        return data
    shape = [1 if i in node.axes else size for i, size in enumerate(data.shape)]
    random = _Array(builder, builder.fill(0, shape, data.dtype)).uniform()
    kept = (random >= node.p).value
    mask = builder.apply('Div', builder.cast(kept, data.dtype), 1 - node.p)
    return builder.apply('Mul', data, mask)
