"""Element-by-element operators: arithmetic, comparisons, functions of one number."""
from __future__ import annotations

import math
import operator
from functools import partial, reduce
from typing import Callable

from ..._graph.graph import Node
from ..registry import Converter, Unsupported, converts
from .arrays import dtype_of
from .builder import Builder, Value

__all__: list[str] = []

_ARITHMETIC = {'add': 'Add', 'sub': 'Sub', 'mul': 'Mul', 'div': 'Div', 'power': 'Pow',
               'maximum': 'Max', 'minimum': 'Min'}
_COMPARISONS = {'equal': 'Equal', 'greater': 'Greater', 'greater_equal': 'GreaterOrEqual',
                'lesser': 'Less', 'lesser_equal': 'LessOrEqual', 'not_equal': 'NotEqual'}
_LOGIC = {'logical_and': 'And', 'logical_or': 'Or', 'logical_xor': 'Xor'}

#: Functions of one number for which ONNX has an operator.
_UNARY = {'abs': 'Abs', 'negative': 'Neg', 'exp': 'Exp', 'log': 'Log', 'sqrt': 'Sqrt',
          'sin': 'Sin', 'cos': 'Cos', 'tan': 'Tan', 'arcsin': 'Asin', 'arccos': 'Acos',
          'arctan': 'Atan', 'sinh': 'Sinh', 'cosh': 'Cosh', 'arcsinh': 'Asinh',
          'arccosh': 'Acosh', 'arctanh': 'Atanh', 'tanh': 'Tanh', 'sigmoid': 'Sigmoid',
          'relu': 'Relu', 'softsign': 'Softsign', 'erf': 'Erf', 'sign': 'Sign',
          'reciprocal': 'Reciprocal'}


def _and_number(builder: Builder, node: Node, data: Value) -> tuple[Value, Value]:
    """An array and the attribute 'scalar', in one type.

    For an array of integers the number loses its decimals, unless the graph says that it is no
    integer: then both become float64.
    """
    number = node.scalar
    if data.dtype.kind != 'f' and not node.is_int:
        data = builder.cast(data, 'float64')
    if data.dtype.kind != 'f' and math.isfinite(number):
        number = math.trunc(number)
    return data, builder.scalar(number, data)


def _arithmetic(op: str, builder: Builder, first: Value, second: Value) -> Value:
    return first.of(op, second)


def _condition(op: str, builder: Builder, first: Value, second: Value) -> Value:
    """A comparison, or a connection of conditions, which arrive as 0 and 1."""
    kind = first.dtype
    if op in _LOGIC.values():
        first, second = builder.cast(first, bool), builder.cast(second, bool)
    return builder.numbers(~first.equals(second) if op == 'NotEqual' else
                           first.of(op, second, dtype=bool), kind)


def _hypotenuse(builder: Builder, first: Value, second: Value) -> Value:
    # Squares of large numbers overflow; squares of ratios to the larger one do not.
    first, second = first.of('Abs'), second.of('Abs')
    large, small = first.of('Max', second), first.of('Min', second)
    part = small / builder.where(large.equals(0), 1, large)
    root = (part * part + 1).of('Sqrt')
    endless = first.of('IsInf', dtype=bool) | second.of('IsInf', dtype=bool)
    return builder.where(endless, math.inf, large * root)


def _modulo(builder: Builder, whole: Value, part: Value) -> Value:
    """The remainder of a division, with the sign of `part`; 0 where `part` is 0.

    For numbers that are not integers, ONNX's Mod gives it the sign of `whole`.
    """
    zero = builder.scalar(0, part)
    none = part.equals(zero)
    part = builder.where(none, 1, part)
    if whole.dtype.kind != 'f':
        left = whole.of('Mod', part)
    else:
        left = whole.of('Mod', part, fmod=1)
        other = (left < zero) ^ (part < zero)
        left = builder.where(other & ~left.equals(zero), left + part, left)
    return builder.where(none, zero, left)


def _enter(name: str, function: Callable[..., Value]) -> None:
    """Register `function` for an operator of two arrays, and for the one of array and number."""
    def of_arrays(builder: Builder, node: Node, first: Value, second: Value) -> Value:
        return function(builder, first, second)

    def with_number(builder: Builder, node: Node, data: Value) -> Value:
        sides = _and_number(builder, node, data)
        return function(builder, *(sides if node.op == with_it else sides[::-1]))
    word = {'add': 'plus', 'sub': 'minus'}.get(name, name)
    with_it = '_%s_scalar' % word
    converts(('elemwise_' if name in ('add', 'sub', 'mul', 'div') else '_') + name,
             'broadcast_' + name)(of_arrays)
    converts(with_it, *['_r%s_scalar' % word] * (name in ('sub', 'div', 'power', 'mod')))(
        with_number)


for _name, _op in _ARITHMETIC.items():
    _enter(_name, partial(_arithmetic, _op))
for _name, _op in {**_COMPARISONS, **_LOGIC}.items():
    _enter(_name, partial(_condition, _op))
_enter('hypot', _hypotenuse)
_enter('mod', _modulo)


def _chain(*steps: tuple[str, float] | str) -> Converter:
    """A converter for one input. Each step is an ONNX operator, alone or with a number."""
    def convert(builder: Builder, node: Node, data: Value) -> Value:
        for step in steps:
            data = data.of(step) if isinstance(step, str) else data.of(*step)
        return data
    return convert


for _name, _op in _UNARY.items():
    converts(_name)(_chain(_op))


@converts('floor', 'ceil')
def _whole(builder: Builder, node: Node, data: Value) -> Value:
    return data.of(node.op.capitalize()) if data.dtype.kind == 'f' else data


converts('rsqrt')(_chain('Sqrt', 'Reciprocal'))
converts('log2')(_chain('Log', ('Mul', 1 / math.log(2))))
converts('log10')(_chain('Log', ('Mul', 1 / math.log(10))))
converts('log1p')(_chain(('Add', 1), 'Log'))
converts('expm1')(_chain('Exp', ('Sub', 1)))
converts('degrees')(_chain(('Mul', 180 / math.pi)))
converts('radians')(_chain(('Mul', math.pi / 180)))


converts('square')(lambda builder, node, data: data * data)


def _of_size(*steps: tuple[str, float] | str) -> Converter:
    """A converter that changes each number's size and keeps its sign."""
    def convert(builder: Builder, node: Node, data: Value) -> Value:
        size: Value = _chain('Abs', *steps)(builder, node, data)
        return data.of('Sign') * size
    return convert


_cube_root = converts('cbrt')(_of_size(('Pow', 1 / 3)))
converts('trunc', 'fix')(_of_size('Floor'))
converts('round')(_of_size(('Add', 0.5), 'Floor'))  # ONNX rounds halves to even numbers


converts('rcbrt')(lambda builder, node, data: _cube_root(builder, node, data).of('Reciprocal'))


@converts('rint')
def _round_to_floor(builder: Builder, node: Node, data: Value) -> Value:
    # MXNet rounds halves towards minus infinity, ONNX to even numbers.
    below, above = data.of('Floor'), data.of('Ceil')
    return builder.where(data - below <= above - data, below, above)


converts('logical_not')(lambda builder, node, data: builder.numbers(
    ~builder.cast(data, bool), data.dtype))
converts('add_n')(lambda builder, node, *inputs: builder.node(
    'Sum', inputs, inputs[0].shape) if inputs[0].dtype.kind == 'f' else reduce(
        operator.add, inputs))  # Sum takes no integers
converts('clip')(lambda builder, node, data: data.of('Clip', node.a_min, node.a_max))
converts('hard_sigmoid')(lambda builder, node, data: data.of(
    'HardSigmoid', alpha=node.alpha, beta=node.beta))
converts('Activation')(lambda builder, node, data: data.of(
    {'softrelu': 'Softplus', **_UNARY}[node.act_type]))
converts('Cast')(lambda builder, node, data: builder.cast(data, dtype_of(node)))
converts('_copy', 'BlockGrad', '_CrossDeviceCopy', '_identity_with_attr_like_rhs')(
    lambda builder, node, data: data)


@converts('smooth_l1')
def _smooth_l1(builder: Builder, node: Node, data: Value) -> Value:
    square = node.scalar ** 2
    small = data * data * (0.5 * square)
    if not square:
        return small
    size = data.of('Abs')
    large = size - 0.5 / square
    return builder.where(size < 1 / square, small, large)


@converts('LeakyReLU')
def _leaky(builder: Builder, node: Node, data: Value, *slopes: Value) -> Value:
    kind, slope = node.act_type, node.slope
    if kind == 'rrelu':  # the mean of its random slopes, as in inference
        slope = (node.lower_bound + node.upper_bound) / 2
    if kind == 'elu':
        return data.of('Elu', alpha=slope)
    if kind == 'selu':
        return data.of('Selu')
    if kind == 'gelu':
        whole = (data * math.sqrt(0.5)).of('Erf') + 1
        return data * 0.5 * whole
    if kind == 'prelu':
        each = slopes[0]
        if each.rank == 1 and data.rank > 1:
            each = builder.reshape(each, (1, each.shape[0]) + (1,) * (data.rank - 2))
        return builder.node('PRelu', [data, each], data.shape)
    return data.of('LeakyRelu', alpha=slope)


@converts('where')
def _where(builder: Builder, node: Node, condition: Value, yes: Value, no: Value) -> Value:
    chosen = builder.cast(condition, bool)
    if condition.rank == 1 < yes.rank:  # one condition for each row
        chosen = builder.reshape(chosen, (condition.shape[0],) + (1,) * (yes.rank - 1))
    return builder.where(chosen, yes, no)


@converts('amp_cast')
def _cast_reals(builder: Builder, node: Node, data: Value) -> Value:
    if dtype_of(node).kind != 'f':
        raise Unsupported('an amp_cast to integers, which builds of MXNet round or truncate')
    return builder.cast(data, dtype_of(node)) if data.dtype.kind == 'f' else data


@converts('amp_multicast')
def _cast_all(builder: Builder, node: Node, *inputs: Value) -> list[Value]:
    widest = max((value.dtype for value in inputs), key=lambda dtype: dtype.itemsize)
    return [builder.cast(value, widest) for value in inputs]
