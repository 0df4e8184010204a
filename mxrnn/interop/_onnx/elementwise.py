"""Element-by-element operators: arithmetic, comparisons, functions of one number."""
from __future__ import annotations

import math
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
    return builder.apply(op, first, second)


def _condition(op: str, builder: Builder, first: Value, second: Value) -> Value:
    """A comparison, or a connection of conditions, which arrive as 0 and 1."""
    sides = [first, second]
    if op in _LOGIC.values():
        sides = [builder.cast(side, bool) for side in sides]
    result = builder.apply('Equal' if op == 'NotEqual' else op, *sides, dtype=bool)
    if op == 'NotEqual':
        result = builder.apply('Not', result)
    return builder.numbers(result, first.dtype)


def _hypotenuse(builder: Builder, first: Value, second: Value) -> Value:
    # Squares of large numbers overflow; squares of ratios to the larger one do not.
    first, second = builder.apply('Abs', first), builder.apply('Abs', second)
    large, small = builder.apply('Max', first, second), builder.apply('Min', first, second)
    zero = builder.apply('Equal', large, 0, dtype=bool)
    part = builder.apply('Div', small, builder.where(zero, builder.scalar(1, large), large))
    root = builder.apply('Sqrt', builder.apply('Add', builder.apply('Mul', part, part), 1))
    endless = builder.apply('Or', *(builder.apply('IsInf', side, dtype=bool)
                                    for side in (first, second)))
    return builder.where(endless, builder.scalar(math.inf, large),
                         builder.apply('Mul', large, root))


def _modulo(builder: Builder, whole: Value, part: Value) -> Value:
    """The remainder of a division, with the sign of `part`; 0 where `part` is 0.

    For numbers that are not integers, ONNX's Mod gives it the sign of `whole`.
    """
    zero = builder.scalar(0, part)
    none = builder.apply('Equal', part, zero, dtype=bool)
    part = builder.where(none, builder.scalar(1, part), part)
    if whole.dtype.kind != 'f':
        left = builder.apply('Mod', whole, part)
    else:
        left = builder.apply('Mod', whole, part, fmod=1)
        other = builder.apply('Xor', *(builder.apply('Less', side, zero, dtype=bool)
                                       for side in (left, part)))
        some = builder.apply('Not', builder.apply('Equal', left, zero, dtype=bool))
        left = builder.where(builder.apply('And', other, some), builder.apply('Add', left, part),
                             left)
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
            data = builder.apply(step, data) if isinstance(step, str) else builder.apply(
                step[0], data, step[1])
        return data
    return convert


for _name, _op in _UNARY.items():
    converts(_name)(_chain(_op))


@converts('floor', 'ceil')
def _whole(builder: Builder, node: Node, data: Value) -> Value:
    return builder.apply(node.op.capitalize(), data) if data.dtype.kind == 'f' else data


converts('rsqrt')(_chain('Sqrt', 'Reciprocal'))
converts('log2')(_chain('Log', ('Mul', 1 / math.log(2))))
converts('log10')(_chain('Log', ('Mul', 1 / math.log(10))))
converts('log1p')(_chain(('Add', 1), 'Log'))
converts('expm1')(_chain('Exp', ('Sub', 1)))
converts('degrees')(_chain(('Mul', 180 / math.pi)))
converts('radians')(_chain(('Mul', math.pi / 180)))


converts('square')(lambda builder, node, data: builder.apply('Mul', data, data))


def _of_size(*steps: tuple[str, float] | str) -> Converter:
    """A converter that changes each number's size and keeps its sign."""
    def convert(builder: Builder, node: Node, data: Value) -> Value:
        size = _chain('Abs', *steps)(builder, node, data)
        return builder.apply('Mul', builder.apply('Sign', data), size)
    return convert


_cube_root = converts('cbrt')(_of_size(('Pow', 1 / 3)))
converts('trunc', 'fix')(_of_size('Floor'))
converts('round')(_of_size(('Add', 0.5), 'Floor'))  # ONNX rounds halves to even numbers


@converts('rcbrt')
def _inverse_cube_root(builder: Builder, node: Node, data: Value) -> Value:
    return builder.apply('Reciprocal', _cube_root(builder, node, data))


@converts('rint')
def _round_to_floor(builder: Builder, node: Node, data: Value) -> Value:
    # MXNet rounds halves towards minus infinity, ONNX to even numbers.
    below, above = builder.apply('Floor', data), builder.apply('Ceil', data)
    lower = builder.apply('LessOrEqual', builder.apply('Sub', data, below),
                          builder.apply('Sub', above, data), dtype=bool)
    return builder.where(lower, below, above)


@converts('logical_not')
def _not(builder: Builder, node: Node, data: Value) -> Value:
    return builder.numbers(builder.apply('Not', builder.cast(data, bool)), data.dtype)


converts('add_n')(lambda builder, node, *inputs: builder.node(
    'Sum', inputs, inputs[0].shape) if inputs[0].dtype.kind == 'f' else reduce(
        partial(builder.apply, 'Add'), inputs))  # Sum takes no integers
converts('clip')(lambda builder, node, data: builder.apply('Clip', data, node.a_min, node.a_max))
converts('hard_sigmoid')(lambda builder, node, data: builder.apply(
    'HardSigmoid', data, alpha=node.alpha, beta=node.beta))
converts('Activation')(lambda builder, node, data: builder.apply(
    {'softrelu': 'Softplus', **_UNARY}[node.act_type], data))
converts('Cast')(lambda builder, node, data: builder.cast(data, dtype_of(node)))
converts('_copy', 'BlockGrad', '_CrossDeviceCopy', '_identity_with_attr_like_rhs')(
    lambda builder, node, data: data)


@converts('smooth_l1')
def _smooth_l1(builder: Builder, node: Node, data: Value) -> Value:
    square = node.scalar ** 2
    small = builder.apply('Mul', builder.apply('Mul', data, data), 0.5 * square)
    if not square:
        return small
    size = builder.apply('Abs', data)
    large = builder.apply('Sub', size, 0.5 / square)
    near = builder.apply('Less', size, 1 / square, dtype=bool)
    return builder.where(near, small, large)


@converts('LeakyReLU')
def _leaky(builder: Builder, node: Node, data: Value, *slopes: Value) -> Value:
    kind, slope = node.act_type, node.slope
    if kind == 'rrelu':  # the mean of its random slopes, as in inference
        slope = (node.lower_bound + node.upper_bound) / 2
    if kind == 'elu':
        return builder.apply('Elu', data, alpha=slope)
    if kind == 'selu':
        return builder.apply('Selu', data)
    if kind == 'gelu':
        whole = builder.apply('Add', builder.apply('Erf', builder.apply(
            'Mul', data, math.sqrt(0.5))), 1)
        return builder.apply('Mul', builder.apply('Mul', data, 0.5), whole)
    if kind == 'prelu':
        each = slopes[0]
        if each.rank == 1 and data.rank > 1:
            each = builder.reshape(each, (1, each.shape[0]) + (1,) * (data.rank - 2))
        return builder.node('PRelu', [data, each], data.shape)
    return builder.apply('LeakyRelu', data, alpha=slope)


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
