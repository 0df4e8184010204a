"""Operators that work element by element: functions, arithmetic, comparisons, activations."""
from __future__ import annotations

import math
import re
from typing import Callable

import numpy as np

from ..._graph.graph import Node
from .scope import Scope
from .table import Emitted, Unsupported, Value, emits

__all__ = ['cast', 'check_real', 'is_real', 'number']

#: Methods that convert a tensor, by the type.
_CASTS = {'float32': 'float', 'float64': 'double', 'float16': 'half', 'bfloat16': 'bfloat16',
          'int32': 'int', 'int64': 'long'}


def number(value: float, single: bool = True) -> str:
    """A number of an attribute in its shortest form, a whole one without a point; `single` if it
    is one of float32."""
    if not math.isfinite(value):
        return "float('%s')" % value
    if single:
        value = float(str(np.float32(value)))
    return repr(int(value)) if value == int(value) and abs(value) < 1e6 else repr(value)


def is_real(*values: Value) -> bool:
    """Whether the arrays are of real numbers."""
    return all('float' in value.dtype for value in values)


def check_real(*values: Value) -> None:
    """Refuse arrays of integers."""
    if not is_real(*values):
        raise Unsupported('of integers')


def cast(text: str, dtype: str) -> str:
    """The text, which a method may follow, converted to a type."""
    return '%s.%s()' % (text, _CASTS[dtype]) if dtype in _CASTS else '%s.to(torch.%s)' % (
        text, dtype)


# ---- functions of one array

#: Functions that give integers for integers, in torch as well.
_ANY = {'abs': 'torch.abs({0})', 'sign': 'torch.sign({0})', 'square': '{0:.}.square()',
        'negative': '-{0:**}', 'BlockGrad': '{0:.}.detach()', 'relu': 'torch.relu({0})',
        'zeros_like': 'torch.zeros_like({0})', 'ones_like': 'torch.ones_like({0})'}
_REAL = {
    'degrees': 'torch.rad2deg({0})', 'radians': 'torch.deg2rad({0})',
    'gammaln': 'torch.lgamma({0})', 'fix': 'torch.trunc({0})',
    'softsign': 'F.softsign({0})', 'reciprocal': '1 / {0:/}',
    **{name: 'torch.%s({0})' % name for name in (
        'ceil floor trunc sqrt rsqrt exp expm1 log log10 log2 log1p sin cos tan sinh cosh tanh '
        'erf erfinv sigmoid').split()},
    **{'arc' + name: 'torch.a%s({0})' % name for name in 'sin cos tan sinh cosh tanh'.split()}}
#: Those that read their input twice.
_NAMED = {'cbrt': 'torch.sign({0}) * {0}.abs() ** (1 / 3)',
          'rcbrt': 'torch.sign({0}) / {0}.abs() ** (1 / 3)',
          # Halves away from zero.
          'round': 'torch.sign({0}) * torch.floor({0}.abs() + 0.5)'}


def _unary(name: str, text: str, real: bool = True, named: bool = False) -> None:
    @emits(name, any_order=True)
    def emit(scope: Scope, node: Node, x: Value) -> Emitted:
        if real:
            check_real(x)
        return text.format(scope.named(x) if named else x)


for _name, _text in _ANY.items():
    _unary(_name, _text, real=False)
for _name, _text in _REAL.items():
    _unary(_name, _text)
for _name, _text in _NAMED.items():
    _unary(_name, _text, named=True)


@emits('_copy', any_order=True)
def _copy(scope: Scope, node: Node, x: Value) -> Emitted:
    return x


@emits('_identity_with_attr_like_rhs')
def _like(scope: Scope, node: Node, x: Value, *like: Value) -> Emitted:
    return x


@emits('rint', any_order=True)
def _rint(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    name = scope.helper('round_half_down', '''
def round_half_down(x: Tensor) -> Tensor:
    """The nearest integers; halves are rounded towards minus infinity."""
    below, above = torch.floor(x), torch.ceil(x)
    return torch.where(x - below <= above - x, below, above)
''')
    return '%s(%s)' % (name, x)


@emits('logical_not', any_order=True)
def _logical_not(scope: Scope, node: Node, x: Value) -> Emitted:
    return cast(f'({x:<} == 0)', x.dtype)


# ---- functions of two arrays

_Binary = Callable[[str, str], str]


def _enter_binary(emit: Callable[..., Emitted], *ops: str) -> None:
    emits(*ops, any_order=True)(emit)


for _name, _text in {'add': '{0:+} + {1:-}', 'sub': '{0:+} - {1:-}',
                     'mul': '{0:*} * {1:/}'}.items():
    _enter_binary(lambda scope, node, x, y, text=_text: text.format(x, y),
                  'elemwise_' + _name, 'broadcast_' + _name)


def _divide(scope: Scope, node: Node, x: Value, y: Value) -> Emitted:
    if is_real(x, y):
        return f'{x:*} / {y:/}'
    return f"torch.div({x}, {y}, rounding_mode='trunc')"


_enter_binary(_divide, 'elemwise_div', 'broadcast_div')

#: Of real numbers. At a tie clamp gives the first array the whole gradient, as MXNet does.
_PAIRS = {'maximum': '{0:.}.clamp(min={1})', 'minimum': '{0:.}.clamp(max={1})',
          'power': '{0:**} ** {1:**}', 'hypot': 'torch.hypot({0}, {1})'}
_COMPARISONS = {'equal': '==', 'not_equal': '!=', 'greater': '>', 'greater_equal': '>=',
                'lesser': '<', 'lesser_equal': '<='}
_LOGICAL = ('logical_and', 'logical_or', 'logical_xor')

for _name, _text in _PAIRS.items():
    def _pair(scope: Scope, node: Node, x: Value, y: Value, text: str = _text) -> Emitted:
        check_real(x, y)
        return text.format(x, y)
    _enter_binary(_pair, '_' + _name, 'broadcast_' + _name)
for _name, _sign in _COMPARISONS.items():
    def _compare(scope: Scope, node: Node, x: Value, y: Value, sign: str = _sign) -> Emitted:
        return cast(f'({x:<} {sign} {y:<})', x.dtype)
    _enter_binary(_compare, '_' + _name, 'broadcast_' + _name)
for _name in _LOGICAL:
    def _logical(scope: Scope, node: Node, x: Value, y: Value, name: str = _name) -> Emitted:
        return cast('torch.%s(%s, %s)' % (name, x, y), x.dtype)
    _enter_binary(_logical, '_' + _name, 'broadcast_' + _name)


@emits('_mod', 'broadcast_mod', any_order=True)
def _mod(scope: Scope, node: Node, x: Value, y: Value) -> Emitted:
    """The remainder has the divisor's sign, and is 0 where the divisor is 0."""
    y = scope.named(y)
    return f'torch.where({y} == 0, 0, torch.remainder({x}, {y}))'


@emits('add_n', any_order=True)
def _add_n(scope: Scope, node: Node, first: Value, *others: Value) -> Emitted:
    if not others:
        return first
    return ' + '.join([f'{first:+}', *map('{:-}'.format, others)])


@emits('where')
def _where(scope: Scope, node: Node, condition: Value, x: Value, y: Value) -> Emitted:
    if re.fullmatch(r'torch\.ones_like\([\w.]+\)', condition.text):  # of zoneout that draws nothing
        return x
    chosen = f'{condition:<} != 0'
    if condition.rank < x.rank:  # it chooses rows
        chosen = '(%s).reshape(-1%s)' % (chosen, ', 1' * (x.rank - 1))
    return 'torch.where(%s, %s, %s)' % (chosen, x, y)


# ---- functions of an array and a number

#: {0} is the array, {1} the number, in brackets if it is negative.
_SCALARS = {
    'minus': '{0:+} - {1}', 'rminus': '{1} - {0:-}', 'mul': '{0:*} * {1}', 'power': '{0:**} ** {1}',
    'rpower': '{1} ** {0:**}', 'maximum': '{0:.}.clamp(min={1})',
    'minimum': '{0:.}.clamp(max={1})',
    'hypot': 'torch.hypot({0}, torch.full_like({0}, {1}))',
    **{name: '({0:<} %s {1})' % sign for name, sign in _COMPARISONS.items()}}
_INTEGERS = {'plus', 'minus', 'rminus', 'mul', 'maximum', 'minimum', *_COMPARISONS}


def _given(node: Node, x: Value) -> str:
    """The number of a node in the text of an array's operation."""
    value = node.scalar
    if not is_real(x):
        if not node.is_int or not math.isfinite(value):
            raise Unsupported('of integers and a number of another type')
        value = int(value)
    text = number(value, single=False)
    return '(%s)' % text if text.startswith('-') else text


def _scalar(name: str, text: str) -> None:
    @emits('_%s_scalar' % name, any_order=True)
    def emit(scope: Scope, node: Node, x: Value) -> Emitted:
        if name not in _INTEGERS:
            check_real(x)
        if name == 'hypot':
            x = scope.named(x)
        result = text.format(x, _given(node, x))
        return cast(result, x.dtype) if name in _COMPARISONS else result


for _name, _text in _SCALARS.items():
    _scalar(_name, _text)


@emits('_plus_scalar', any_order=True)
def _plus(scope: Scope, node: Node, x: Value) -> Emitted:
    value = _given(node, x)
    return f'{x:+} - {value[2:-1]}' if value.startswith('(-') else f'{x:+} + {value}'


@emits('_div_scalar', any_order=True)
def _div(scope: Scope, node: Node, x: Value) -> Emitted:
    value = _given(node, x)
    return f'{x:*} / {value}' if is_real(x) else (
        f"torch.div({x}, {value}, rounding_mode='trunc')")


@emits('_rdiv_scalar', any_order=True)
def _rdiv(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    return f'{_given(node, x)} / {x:/}'


@emits('_mod_scalar', any_order=True)
def _mod_number(scope: Scope, node: Node, x: Value) -> Emitted:
    value = _given(node, x)
    return f'torch.zeros_like({x})' if value == '0' else 'torch.remainder(%s, %s)' % (x, value)


@emits('_rmod_scalar', any_order=True)
def _rmod_number(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    x = scope.named(x)
    # torch has no gradient of the remainder of a number.
    return 'torch.where(%s == 0, 0, torch.remainder(torch.full_like(%s, %s), %s))' % (
        x, x, _given(node, x), x)


for _name in _LOGICAL:
    @emits('_%s_scalar' % _name, any_order=True)
    def _logical_number(scope: Scope, node: Node, x: Value, name: str = _name) -> Emitted:
        true = _given(node, x) != '0'
        return cast('torch.%s(%s, torch.tensor(%s))' % (name, x, true), x.dtype)


@emits('clip', any_order=True)
def _clip(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    return '%s.clamp(%s, %s)' % (x.of, number(node.a_min), number(node.a_max))


@emits('Cast', 'amp_cast', any_order=True)
def _cast(scope: Scope, node: Node, x: Value) -> Emitted:
    if node.op == 'amp_cast' and (not is_real(x) or 'float' not in node.dtype):
        raise Unsupported('of integers')
    return x if node.dtype == x.dtype else cast(x.of, node.dtype)


@emits('smooth_l1', any_order=True)
def _smooth_l1(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    if not node.scalar:
        return f'0 * {x:/}'
    x = scope.named(x)
    return "F.smooth_l1_loss(%s, torch.zeros_like(%s), reduction='none', beta=%s)" % (
        x, x, number(1 / node.scalar ** 2))


# ---- activations

@emits('hard_sigmoid', any_order=True)
def _hard_sigmoid(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    return 'F.hardtanh(%s * %s + %s, 0, 1)' % (number(node.alpha), f'{x:/}',
                                               number(node.beta))


@emits('Activation', any_order=True)
def _activation(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    return {'softrelu': 'F.softplus({})', 'softsign': 'F.softsign({})'}.get(
        node.act_type, 'torch.%s({})' % node.act_type).format(x)


@emits('LeakyReLU')
def _leaky_relu(scope: Scope, node: Node, x: Value, *gamma: Value) -> Emitted:
    check_real(x)
    kind, slope = node.act_type, number(node.slope)
    if kind == 'prelu':
        return 'F.prelu(%s, %s)' % (x, gamma[0])
    if kind == 'rrelu':
        return 'F.rrelu(%s, %s, %s, self.training)' % (x, number(node.lower_bound),
                                                       number(node.upper_bound))
    return {'leaky': 'F.leaky_relu(%s, %s)' % (x, slope), 'elu': 'F.elu(%s, %s)' % (x, slope)}.get(
        kind, 'F.%s(%s)' % (kind, x))
