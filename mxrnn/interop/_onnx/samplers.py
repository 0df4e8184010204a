"""Random numbers. ONNX draws uniform, normal and multinomial numbers; others are made from them.

ONNX has no operators for gamma and Poisson numbers. They are drawn in a Loop, by exact methods:
each turn proposes a number for every element, and the loop ends when each has accepted one.
"""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Sequence

import numpy as np

from ..._graph.graph import Node
from ..._graph.operator_table import numbers_of
from ..._graph.shapes.sizes import product
from ..registry import Converter, Unsupported, converts
from .arrays import shape_of
from .builder import Builder, Scope, Value

__all__: list[str] = []


def _filled(like: Value, number: float) -> Value:
    """An array of the shape of `like` in which every element is `number`."""
    return like.builder.fill(number, like.shape, like.dtype)


def _random(like: Value, kind: str = 'Uniform') -> Value:
    """Numbers from 0 up to 1, or of the `kind` 'Normal', an array of the shape of `like`."""
    return like.builder.node('Random%sLike' % kind, [like], like.shape)


def _log_uniform(like: Value) -> Value:
    """Logarithms of uniform numbers, none of which is 0."""
    return (-_random(like) + 1).of('Log')


def _loop(states: Sequence[Value], turn: Callable[..., Sequence[Value]]) -> list[Value]:
    """The states after a Loop; it runs while an element of its last state is true."""
    builder = states[0].builder

    def goes_on(todo: Value) -> Value:
        return builder.node('ReduceSum', [builder.cast(todo, 'float32')], (), keepdims=0) > 0
    outer, current = builder.scope, builder.current
    begins = goes_on(states[-1])
    builder.scope = scope = Scope(outer)
    scope.inputs = [Value(builder, builder.name(current + '_turn'), (), np.dtype('int64')),
                    Value(builder, builder.name(current + '_condition'), (), np.dtype(bool)),
                    *(replace(each, name=builder.name(current + '_state')) for each in states)]
    after = turn(*scope.inputs[2:])
    for value in [goes_on(after[-1]), *after]:
        builder.give(scope, value, builder.name(current + '_result'))
    builder.scope, builder.current = outer, current
    return builder.nodes('Loop', [None, begins, *states], [each.shape for each in states],
                         [each.dtype for each in states], scope)


def _accepted(todo: Value, like: Value, propose: Callable[[], tuple[Value, Value]]) -> Value:
    """For each true element of `todo` the first accepted proposal, otherwise NaN."""
    def turn(result: Value, todo: Value) -> list[Value]:
        accepted, number = propose()
        return [like.builder.where(todo & accepted, number, result), todo & ~accepted]
    return _loop([_filled(like, math.nan), todo], turn)[0]


# ---- the distributions

def _uniform(like: Value, low: Value, high: Value) -> Value:
    return _random(like) * (high - low) + low


def _normal(like: Value, mean: Value, deviation: Value) -> Value:
    return _random(like, 'Normal') * deviation + mean


def _exponential(like: Value, rate: Value) -> Value:
    return -_log_uniform(like) / rate


def _gamma(like: Value, alpha: Value, beta: Value) -> Value:
    """Marsaglia and Tsang, A simple method for generating gamma variables, 2000."""
    alpha = _filled(like, 0) + alpha
    small = alpha < 1
    d = like.builder.where(small, alpha + 1, alpha) - 1 / 3
    c = (d * 9).of('Sqrt').of('Reciprocal')

    def propose() -> tuple[Value, Value]:
        x = _random(like, 'Normal')
        root = x * c + 1
        v = root * root * root
        bound = x * x * .5 + (v.of('Max', 1e-30).of('Log') - v + 1) * d
        return (_log_uniform(like) < bound) & (root >= 1e-9), v * d
    drawn = _accepted(_valid(alpha), like, propose)
    part = (_log_uniform(like) / alpha).of('Exp')
    return like.builder.where(small, drawn * part, drawn) * beta


#: Means for which Hörmann's method works.
_LARGE = 10


def _poisson(like: Value, mean: Value) -> Value:
    """Hörmann, The transformed rejection method for generating Poisson random variables, 1993.

    For small means, it counts how many exponential numbers fit into the mean.
    """
    mean = _filled(like, 0) + mean
    small = mean < _LARGE
    wide = mean.of('Max', _LARGE)
    b = wide.of('Sqrt') * 2.53 + .931
    a = b * .02483 - .059
    inverse = (b - 3.4).of('Reciprocal') * 1.1328 + 1.1239

    def propose() -> tuple[Value, Value]:
        u = _random(like) - .5
        edge = (-u.of('Abs') + .5).of('Max', 1e-7)
        k = ((a * 2 / edge + b) * u + wide + .43).of('Floor')
        odds = (inverse / (a / (edge * edge) + b)).of('Log')
        return (_log_uniform(like) + odds < _log_poisson(k.of('Max', 0), wide)) & (k >= 0), k

    def count(left: Value, number: Value, todo: Value) -> list[Value]:
        left = left + _log_uniform(like)
        todo = todo & (left >= 0)
        return [left, like.builder.where(todo, number + 1, number), todo]
    valid = _valid(mean)
    counted = _loop([mean, _filled(like, 0), valid & small], count)[1]
    return like.builder.where(small, counted, _accepted(valid & ~small, like, propose))


def _log_poisson(k: Value, mean: Value) -> Value:
    """The logarithm of the chance of `k`, by Stirling's series from 10 on."""
    table = k.builder.constant([math.lgamma(each + 1) for each in range(10)], k.dtype)
    place = k.builder.cast(k.of('Min', 9), 'int64')
    few = k.builder.node('Gather', [table, place], k.shape)
    many = k.of('Max', 10)
    rest = many.of('Reciprocal') / 12 - (many * many * many).of('Reciprocal') / 360
    series = (mean / many).of('Log') * many + many - mean - (
        many * (2 * math.pi)).of('Log') * .5 - rest
    return k.builder.where(k < 10, mean.of('Log') * k - mean - few, series)


def _valid(parameter: Value) -> Value:
    """A number that is at least 0; for others the loops would not end."""
    return (parameter >= 0) & (parameter < 1e38)


#: By distribution: draws an array of the shape of `like` from the parameters.
_SAMPLERS: dict[str, Callable[..., Value]] = {
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
        return _SAMPLERS[name](shaped, *(
            builder.scalar(number, shaped) for number in numbers_of(node)))
    return convert


def _drawn_for_each(name: str) -> Converter:
    """A converter for a sampler that draws for each element of its parameters."""
    def convert(builder: Builder, node: Node, *given: Value) -> Value:
        first = given[0]
        if node.dtype not in (None, first.dtype.name):
            raise Unsupported('numbers of the type %s of parameters of the type %s'
                              % (node.dtype, first.dtype))
        like = builder.fill(0, first.shape + node.shape, first.dtype)
        return _SAMPLERS[name](like, *(
            builder.reshape(value, first.shape + (1,) * len(node.shape)) for value in given))
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
    drawn = _random(like) * (node.high - node.low) + node.low
    return builder.cast(drawn.of('Floor'), node.dtype or 'int32')


@converts('_sample_multinomial')
def _multinomial(builder: Builder, node: Node, data: Value) -> list[Value]:
    rows, count = product(data.shape[:-1]), math.prod(node.shape)
    logs = builder.cast(builder.reshape(data, (rows, data.shape[-1])), 'float32').of('Log')
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
    kept = _random(builder.fill(0, shape, data.dtype)) >= node.p
    return data * (builder.cast(kept, data.dtype) / (1 - node.p))
