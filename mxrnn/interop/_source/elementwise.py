"""Element-by-element operators: functions, arithmetic, comparisons, activations."""
from __future__ import annotations

import math
import re
from typing import Any, Callable, Dict, Union

import numpy as np

from ..._graph.graph import Node
from .emitter_api import Emitted, Expr, Unsupported, cast, emits, is_real, number, writes
from .method_writer import MethodWriter
from .pasted import cube_root, gamma_function, remainder_or_0, round_halves_away, round_halves_down

__all__: list[str] = []

#: Texts, or functions to paste into the source.
_Text = Union[str, Callable[..., Any]]
_Texts = Dict[str, _Text]
#: torch's names for functions of one array.
_NAMES = {**{name: name for name in (
    'abs sign ceil floor trunc sqrt rsqrt exp expm1 log log10 log2 log1p sin cos tan sinh cosh '
    'tanh erf erfinv relu sigmoid zeros_like ones_like').split()},
    **{'arc' + name: 'a' + name for name in 'sin cos tan sinh cosh tanh'.split()},
    'degrees': 'rad2deg', 'radians': 'deg2rad', 'fix': 'trunc', 'gammaln': 'lgamma'}
_UNARY: _Texts = {**{name: 'torch.%s({0})' % own for name, own in _NAMES.items()},
          'softsign': 'F.softsign({0})', 'reciprocal': '1 / {0:/}', 'square': '{0:.}.square()',
          'negative': '-{0:**}', 'BlockGrad': '{0:.}.detach()', 'logical_not': '({0:<} == 0)',
          'round': round_halves_away, 'rint': round_halves_down, 'cbrt': cube_root,
          'gamma': gamma_function}
_ARITHMETIC: _Texts = {'add': '{0:+} + {1:-}', 'sub': '{0:+} - {1:-}', 'mul': '{0:*} * {1:/}',
               'div': '{0:*} / {1:/}'}
#: Functions of two arrays, or of an array and a number. At a tie, clamp passes the whole gradient
#: to the first array, as MXNet does.
_PAIRS: _Texts = {'maximum': '{0:.}.clamp(min={1})', 'minimum': '{0:.}.clamp(max={1})',
          'power': '{0:**} ** {1:**}', **{name: '({0:<} %s {1:<})' % sign for name, sign in {
              'equal': '==', 'not_equal': '!=', 'greater': '>', 'greater_equal': '>=',
              'lesser': '<', 'lesser_equal': '<='}.items()}}
#: Functions that return integers for integers, also in torch.
_WHOLE = {'abs', 'sign', 'square', 'negative', 'BlockGrad', 'relu', 'zeros_like', 'ones_like',
          'add', 'sub', 'mul', 'maximum', 'minimum', 'mod'}
#: Texts for integers: MXNet truncates the results.
_OF_INTEGERS = {'div': "torch.div({0}, {1}, rounding_mode='trunc')",
                'power': '({0:.}.double() ** {1:**})',
                'hypot': 'torch.hypot({0:.}.double(), {1:.}.double())'}


def _filled(scope: MethodWriter, name: str, text: _Text, x: Expr, *inputs: object
            ) -> str:
    """A text for inputs; comparisons, and functions of integers, return the type of `x`."""
    real = name in _WHOLE or is_real(x)
    if not real and name in _OF_INTEGERS:
        text = _OF_INTEGERS[name]
    if not isinstance(text, str):
        found = '%s(%s)' % (scope.helper(text), ', '.join(map(str, inputs)))
    else:
        found = text.format(*inputs)
        if text.startswith(('({0:<}', 'torch.logical')):
            return cast(found, x.dtype)
    return found if real or name == 'div' else cast(
        Expr(found, x.shape, '').of, x.dtype)


def _enter(name: str, text: _Text, *ops: str) -> None:
    """Register operators of arrays."""
    @emits(*ops, any_order=True)
    def emit(scope: MethodWriter, node: Node, *inputs: Expr) -> Emitted:
        return _filled(scope, name, text, inputs[0], *inputs)


class _Number(str):
    """A number in a text, in brackets if it is negative."""

    def __format__(self, spec: str) -> str:
        return '(%s)' % self if self.startswith('-') else str(self)


def _enter_number(name: str, text: _Text, turned: bool = False) -> None:
    """Register an operator of an array and a number, or of a number and an array."""
    @emits('_%s_scalar' % ('r' * turned + {'add': 'plus', 'sub': 'minus'}.get(name, name)),
           any_order=True)
    def emit(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
        if not is_real(x) and not node.is_int:
            x = Expr(x.of + '.double()', x.shape, 'float64')
        if not is_real(x) and not math.isfinite(node.scalar):
            raise Unsupported('the number %s cannot become an integer' % node.scalar)
        scalar = node.scalar if is_real(x) else _as_element(int(node.scalar), x.dtype)
        value = _Number(number(scalar, single=False) if is_real(x) else scalar)
        # what is added may keep a divisor from 0
        value = _Number(scope.explained(node, node.scalar, value, 1e-3 if name == 'add' else 0))
        if name == 'add' and value.startswith('-'):
            return f'{x:+} - {value[1:]}'
        if name == 'mul' and value == '-1':
            return f'-{x:**}'
        if name.startswith('logical'):
            return cast(_truth(name, bool(scalar != 0), x), x.dtype)
        if name == 'mod' and not turned:
            return f'torch.remainder({x}, {value})' if scalar else f'torch.zeros_like({x})'
        other: object = value
        if not isinstance(text, str) or name == 'hypot' or turned and not is_real(x):
            x = scope.named(x)
            other = Expr('torch.full_like(%s, %s)' % (x, value), x.shape, x.dtype)
        return _filled(scope, name, text, x, *((other, x) if turned else (x, other)))


def _as_element(value: int, dtype: str) -> int:
    """The number as MXNet converts it to an integer type: it becomes an int32 first."""
    if dtype in ('bool', 'int64'):
        return value
    limits, value = np.iinfo(dtype), value if -1 << 31 <= value < 1 << 31 else -1 << 31
    return (value - int(limits.min)) % (1 << limits.bits) + int(limits.min)


def _truth(name: str, other: bool, x: Expr) -> str:
    """The text of `x and other`, `x or other`, or only one of them."""
    if name == 'logical_xor':
        return f'({x:<} %s 0)' % ('==' if other else '!=')
    if (name == 'logical_and') == other:
        return f'({x:<} != 0)'
    return f'torch.ones_like({x})' if other else f'torch.zeros_like({x})'


_LOGICAL: _Texts = {'logical_' + name: 'torch.logical_%s({0}, {1})' % name
                    for name in ('and', 'or', 'xor')}
for _name, _text in _UNARY.items():
    _enter(_name, _text, _name)
for _name, _text in {**_ARITHMETIC, **_PAIRS, 'hypot': 'torch.hypot({0}, {1})',
                     'mod': remainder_or_0, **_LOGICAL}.items():
    _enter(_name, _text, ('elemwise_' if _name in _ARITHMETIC else '_') + _name,
           'broadcast_' + _name)
    _enter_number(_name, _text)
    if _name in ('sub', 'div', 'power', 'mod'):
        _enter_number(_name, _text, True)


@emits('rcbrt', any_order=True)
def _inverse_cube_root(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    text = '1 / %s(%s)' % (scope.helper(cube_root), x)
    return text if is_real(x) else cast('(%s)' % text, x.dtype)


emits('_copy', any_order=True)(lambda scope, node, x: x)
emits('_identity_with_attr_like_rhs')(lambda scope, node, x, *like: x)


@emits('add_n', any_order=True)
def _add_n(scope: MethodWriter, node: Node, first: Expr, *others: Expr) -> Emitted:
    return ' + '.join([f'{first:+}', *map('{:-}'.format, others)]) if others else first


@emits('where')
def _where(scope: MethodWriter, node: Node, condition: Expr, x: Expr, y: Expr | str = '0'
           ) -> Emitted:
    if re.fullmatch(r'torch\.ones_like\([\w.]+\)', condition.text):  # zoneout that draws nothing
        return x
    compared = re.fullmatch(r'\(([^()]+ [<=>!]=? [^()]+)\)\.float\(\)', condition.text)
    chosen = f'{condition._replace(text=compared[1])}' if compared else f'{condition:<} != 0'
    if condition.rank < x.rank:  # the condition selects rows
        chosen = '(%s).reshape(-1%s)' % (chosen, ', 1' * (x.rank - 1))
    return 'torch.where(%s, %s, %s)' % (chosen, x, y)


@emits('clip', any_order=True)
def _clip(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    text = '%s.clamp(%s, %s)' % (x.of, *[
        scope.explained(node, each, number(each)) for each in (node.a_min, node.a_max)])
    return text if is_real(x) else cast(text, x.dtype)


@emits('Cast', 'amp_cast', any_order=True)
def _cast(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if node.op == 'amp_cast' and 'float' not in node.dtype:
        raise Unsupported('a cast to integers, which builds of MXNet round or truncate')
    if node.op == 'amp_cast' and not is_real(x):
        return x
    return x if node.dtype == x.dtype else cast(x.of, node.dtype)


@emits('smooth_l1', any_order=True, reals=True)
def _smooth_l1(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if not node.scalar:
        return f'0 * {x:/}'
    x = scope.named(x)
    return "F.smooth_l1_loss(%s, torch.zeros_like(%s), reduction='none', beta=%s)" % (
        x, x, number(1 / node.scalar ** 2))


# ---- activations

writes('F.hardtanh({alpha} * {0:/} + {beta}, 0, 1)', 'hard_sigmoid', any_order=True, reals=True)


@emits('Activation', any_order=True, reals=True)
def _activation(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    return f'F.softplus({x})' if node.act_type == 'softrelu' else _filled(
        scope, node.act_type, _UNARY[node.act_type], x, x)


@emits('LeakyReLU', reals=True)
def _leaky_relu(scope: MethodWriter, node: Node, x: Expr, *gamma: Expr) -> Emitted:
    kind, slope = node.act_type, ', ' + number(node.slope)
    if kind == 'rrelu':
        slope = ', %s, %s, self.training' % (number(node.lower_bound), number(node.upper_bound))
    name = 'leaky_relu' if kind == 'leaky' else kind
    return 'F.%s(%s%s)' % (name, x, f', {gamma[0]}' if kind == 'prelu' else
                           '' if kind in ('selu', 'gelu') else slope)
