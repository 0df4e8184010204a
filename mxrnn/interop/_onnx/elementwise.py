"""Operators that treat each element alone: arithmetic, comparisons, functions of one number."""
from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from ..._graph.sizes import Size, broadcast, unify, unify_all
from .builder import Builder, Value
from .sizes import Unsupported
from .table import Attributes, Converter, converts

__all__ = ['activate', 'binary', 'equal_shapes']

_ARITHMETIC = {'add': 'Add', 'sub': 'Sub', 'mul': 'Mul', 'div': 'Div', 'power': 'Pow',
               'maximum': 'Max', 'minimum': 'Min'}
_COMPARISONS = {'equal': 'Equal', 'greater': 'Greater', 'greater_equal': 'GreaterOrEqual',
                'lesser': 'Less', 'lesser_equal': 'LessOrEqual', 'not_equal': 'NotEqual'}
_LOGIC = {'logical_and': 'And', 'logical_or': 'Or', 'logical_xor': 'Xor'}

#: Functions of one number that are an operator of ONNX.
_UNARY = {'abs': 'Abs', 'negative': 'Neg', 'exp': 'Exp', 'log': 'Log', 'sqrt': 'Sqrt',
          'sin': 'Sin', 'cos': 'Cos', 'tan': 'Tan', 'arcsin': 'Asin', 'arccos': 'Acos',
          'arctan': 'Atan', 'sinh': 'Sinh', 'cosh': 'Cosh', 'arcsinh': 'Asinh',
          'arccosh': 'Acosh', 'arctanh': 'Atanh', 'tanh': 'Tanh', 'sigmoid': 'Sigmoid',
          'relu': 'Relu', 'softsign': 'Softsign', 'erf': 'Erf', 'sign': 'Sign', 'floor': 'Floor',
          'ceil': 'Ceil', 'reciprocal': 'Reciprocal'}


def equal_shapes(values: Sequence[Value]) -> tuple[Any, ...]:
    """The one shape that all `values` have."""
    shape = values[0].shape
    for value in values[1:]:
        shape = unify_all(shape, value.shape)
    return shape


def binary(builder: Builder, op: str, first: Value, second: Value,
           shape: Sequence[Size] | None = None) -> Value:
    """An operator of ONNX on two arrays, broadcast if their shapes differ."""
    shape = broadcast(first.shape, second.shape) if shape is None else shape
    if op in _ARITHMETIC.values():
        return builder.node(op, [first, second], shape)
    sides = [first, second]
    if op in _LOGIC.values():
        sides = [builder.cast(side, bool) for side in sides]
    result = builder.node('Equal' if op == 'NotEqual' else op, sides, shape, bool)
    if op == 'NotEqual':
        result = builder.node('Not', [result], shape, bool)
    return builder.numbers(result, first.dtype)


def _elementwise(op: str) -> Converter:
    """A converter of two arrays of one shape."""
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        return binary(builder, op, inputs[0], inputs[1], equal_shapes(inputs))
    return convert


def _broadcasting(op: str) -> Converter:
    """A converter of two arrays, broadcast."""
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        return binary(builder, op, inputs[0], inputs[1])
    return convert


def _with_number(op: str, swapped: bool = False) -> Converter:
    """A converter of an array and a number, of the number and the array if `swapped`."""
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        first, second = _and_number(builder, attributes, inputs[0])
        return binary(builder, op, second, first) if swapped else binary(builder, op, first, second)
    return convert


for _name, _op in {**_ARITHMETIC, **_COMPARISONS, **_LOGIC}.items():
    _word = {'add': 'plus', 'sub': 'minus'}.get(_name, _name)
    converts(('elemwise_' if _name in ('add', 'sub', 'mul', 'div') else '_') + _name)(
        _elementwise(_op))
    converts('broadcast_' + _name)(_broadcasting(_op))
    converts('_%s_scalar' % _word)(_with_number(_op))
    if _name in ('sub', 'div', 'power'):
        converts('_r%s_scalar' % _word)(_with_number(_op, swapped=True))


def _and_number(builder: Builder, attributes: Attributes, data: Value) -> tuple[Value, Value]:
    """An array and the attribute 'scalar', of one type.

    Integers take the number without what it has behind the point, unless the graph says that it
    is no integer: then they become float64.
    """
    number = attributes.number('scalar', 1.0)
    if data.dtype.kind != 'f' and not attributes.flag('is_int', True):
        data = builder.cast(data, 'float64')
    if data.dtype.kind != 'f' and math.isfinite(number):
        number = math.trunc(number)
    return data, builder.scalar(number, data)


def _chain(*steps: Any) -> Converter:
    """A converter of one input: each step an operator of ONNX, alone or with a number."""
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        value = inputs[0]
        for step in steps:
            op, *numbers = (step,) if isinstance(step, str) else step
            others = [builder.scalar(number, value) for number in numbers]
            value = builder.node(op, [value, *others], value.shape)
        return value
    return convert


for _name, _op in _UNARY.items():
    converts(_name)(_chain(_op))
converts('rsqrt')(_chain('Sqrt', 'Reciprocal'))
converts('log2')(_chain('Log', ('Mul', 1 / math.log(2))))
converts('log10')(_chain('Log', ('Mul', 1 / math.log(10))))
converts('log1p')(_chain(('Add', 1), 'Log'))
converts('expm1')(_chain('Exp', ('Sub', 1)))
converts('degrees')(_chain(('Mul', 180 / math.pi)))
converts('radians')(_chain(('Mul', math.pi / 180)))


@converts('square')
def _square(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('Mul', [inputs[0], inputs[0]], inputs[0].shape)


@converts('cbrt')
def _cube_root(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    size = builder.node('Pow', [builder.node('Abs', [data], data.shape),
                                builder.scalar(1 / 3, data)], data.shape)
    return builder.node('Mul', [builder.node('Sign', [data], data.shape), size], data.shape)


@converts('rcbrt')
def _inverse_cube_root(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    root = _cube_root(builder, attributes, inputs)
    return builder.node('Reciprocal', [root], root.shape)


@converts('trunc', 'fix')
def _truncate(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    whole = builder.node('Floor', [builder.node('Abs', [data], data.shape)], data.shape)
    return builder.node('Mul', [builder.node('Sign', [data], data.shape), whole], data.shape)


@converts('round')
def _round(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]  # halves away from zero; ONNX rounds them to the even number
    size = builder.node('Add', [builder.node('Abs', [data], data.shape),
                                builder.scalar(0.5, data)], data.shape)
    whole = builder.node('Floor', [size], data.shape)
    return builder.node('Mul', [builder.node('Sign', [data], data.shape), whole], data.shape)


@converts('rint')
def _round_to_floor(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]  # halves towards minus infinity; ONNX rounds them to the even number
    below, above = (builder.node(op, [data], data.shape) for op in ('Floor', 'Ceil'))
    lower = builder.node('LessOrEqual', [builder.node('Sub', [data, below], data.shape),
                                         builder.node('Sub', [above, data], data.shape)],
                         data.shape, bool)
    return builder.where(lower, below, above, data.shape)


@converts('logical_not')
def _not(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    condition = builder.cast(inputs[0], bool)
    return builder.numbers(builder.node('Not', [condition], condition.shape, bool),
                           inputs[0].dtype)


@converts('broadcast_hypot', '_hypot', '_hypot_scalar')
def _hypotenuse(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    if len(inputs) == 1:
        inputs = _and_number(builder, attributes, inputs[0])
    # Squares of large numbers have no room in their type: those of parts of the larger one have.
    first, second = (builder.node('Abs', [side], side.shape) for side in inputs)
    large, small = (binary(builder, op, first, second) for op in ('Max', 'Min'))
    shape = large.shape
    zero = builder.node('Equal', [large, builder.scalar(0, large)], shape, bool)
    part = binary(builder, 'Div', small, builder.where(
        zero, builder.scalar(1, large), large, shape))
    root = builder.node('Sqrt', [binary(builder, 'Add', binary(builder, 'Mul', part, part),
                                        builder.scalar(1, part))], shape)
    endless = builder.node('Or', [builder.node('IsInf', [side], side.shape, bool)
                                  for side in (first, second)], shape, bool)
    return builder.where(endless, builder.scalar(math.inf, large),
                         binary(builder, 'Mul', large, root), shape)


@converts('broadcast_mod', '_mod')
def _modulo(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return _remainder(builder, *inputs)


@converts('_mod_scalar')
def _modulo_number(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return _remainder(builder, *_and_number(builder, attributes, inputs[0]))


@converts('_rmod_scalar')
def _number_modulo(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, number = _and_number(builder, attributes, inputs[0])
    return _remainder(builder, number, data)


def _remainder(builder: Builder, whole: Value, part: Value) -> Value:
    """What division leaves, of the sign of `part`; 0 where `part` is 0.

    ONNX's Mod gives numbers that are no integers the sign of `whole`.
    """
    shape, zero = broadcast(whole.shape, part.shape), builder.scalar(0, part)
    none = builder.node('Equal', [part, zero], part.shape, bool)
    part = builder.where(none, builder.scalar(1, part), part, part.shape)
    if whole.dtype.kind != 'f':
        left = builder.node('Mod', [whole, part], shape)
    else:
        left = builder.node('Mod', [whole, part], shape, fmod=1)
        signs = [builder.node('Less', [side, zero], side.shape, bool) for side in (left, part)]
        other = builder.node('Xor', signs, shape, bool)
        some = builder.node('Not', [builder.node('Equal', [left, zero], shape, bool)], shape, bool)
        left = builder.where(builder.node('And', [other, some], shape, bool),
                             binary(builder, 'Add', left, part), left, shape)
    return builder.where(none, zero, left, shape)


@converts('add_n')
def _add_all(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('Sum', inputs, equal_shapes(inputs))


@converts('clip')
def _clip(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    ends = [builder.scalar(attributes.number(name), data) for name in ('a_min', 'a_max')]
    return builder.node('Clip', [data, *ends], data.shape)


@converts('smooth_l1')
def _smooth_l1(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, square = inputs[0], attributes.number('scalar', 1.0) ** 2
    size = builder.node('Abs', [data], data.shape)
    small = builder.node('Mul', [builder.node('Mul', [data, data], data.shape),
                                 builder.scalar(0.5 * square, data)], data.shape)
    large = builder.node('Sub', [size, builder.scalar(0.5 / square, data)], data.shape)
    near = builder.node('Less', [size, builder.scalar(1 / square, data)], data.shape, bool)
    return builder.where(near, small, large, data.shape)


@converts('hard_sigmoid')
def _hard_sigmoid(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return builder.node('HardSigmoid', inputs, inputs[0].shape,
                        alpha=attributes.number('alpha', 0.2),
                        beta=attributes.number('beta', 0.5))


def activate(builder: Builder, data: Value, kind: str) -> Value:
    """The activation that MXNet calls `kind`."""
    ops = {'relu': 'Relu', 'sigmoid': 'Sigmoid', 'tanh': 'Tanh', 'softrelu': 'Softplus',
           'softsign': 'Softsign'}
    if kind not in ops:
        raise Unsupported('the activation %r' % kind)
    return builder.node(ops[kind], [data], data.shape)


@converts('Activation')
def _activation(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return activate(builder, inputs[0], attributes.text('act_type'))


@converts('LeakyReLU')
def _leaky(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, kind = inputs[0], attributes.text('act_type', 'leaky')
    slope = attributes.number('slope', 0.25)
    if kind == 'rrelu':  # the mean of its random slopes, when not training
        slope = (attributes.number('lower_bound', 0.125) +
                 attributes.number('upper_bound', 0.334)) / 2
    if kind in ('leaky', 'rrelu'):
        return builder.node('LeakyRelu', [data], data.shape, alpha=slope)
    if kind == 'elu':
        return builder.node('Elu', [data], data.shape, alpha=slope)
    if kind == 'selu':
        return builder.node('Selu', [data], data.shape)
    if kind == 'gelu':
        inner = builder.node('Erf', [builder.node(
            'Mul', [data, builder.scalar(math.sqrt(0.5), data)], data.shape)], data.shape)
        whole = builder.node('Add', [inner, builder.scalar(1, data)], data.shape)
        half = builder.node('Mul', [data, builder.scalar(0.5, data)], data.shape)
        return builder.node('Mul', [half, whole], data.shape)
    if kind == 'prelu':
        slopes = inputs[1]
        if slopes.rank == 1 and data.rank > 1:
            shape: list[Any] = [1] * data.rank
            shape[1] = slopes.shape[0]
            slopes = builder.reshape(slopes, shape)
        return builder.node('PRelu', [data, slopes], data.shape)
    raise Unsupported('act_type %r' % kind)


@converts('where')
def _where(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    condition, yes, no = inputs
    shape = equal_shapes([yes, no])
    chosen = builder.cast(condition, bool)
    if condition.rank == 1 and len(shape) > 1:  # one condition for each row
        unify(condition.shape[0], shape[0])
        chosen = builder.reshape(chosen, (condition.shape[0],) + (1,) * (len(shape) - 1))
    else:
        shape = unify_all(shape, condition.shape)
    return builder.where(chosen, yes, no, shape)


@converts('Cast', 'amp_cast')
def _cast(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    name = attributes.text('dtype')
    if name == 'bfloat16':
        raise Unsupported('the type bfloat16')
    return builder.cast(inputs[0], np.dtype(name))


@converts('_copy', 'BlockGrad', 'make_loss', '_CrossDeviceCopy')
@converts('_identity_with_attr_like_rhs', uses=1)
def _identity(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return inputs[0]


@converts('amp_multicast')
def _cast_all(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> list[Value]:
    widest = max((value.dtype for value in inputs), key=lambda dtype: dtype.itemsize)
    return [builder.cast(value, widest) for value in inputs]
