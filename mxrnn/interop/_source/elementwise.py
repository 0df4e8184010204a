"""Operators that work element by element: functions, arithmetic, comparisons, activations."""
from __future__ import annotations

import re

from ..._graph.graph import Node
from .._torch.elementwise import NAMES
from .scope import Scope
from .table import Emitted, Unsupported, Value, cast, emits, is_real, number, writes

__all__: list[str] = []

#: Functions of one array.
_UNARY = {**{name: 'torch.%s({0})' % own for name, own in NAMES.items()},
          'softsign': 'F.softsign({0})', 'reciprocal': '1 / {0:/}', 'square': '{0:.}.square()',
          'negative': '-{0:**}', 'BlockGrad': '{0:.}.detach()', 'logical_not': '({0:<} == 0)'}
_ARITHMETIC = {'add': '{0:+} + {1:-}', 'sub': '{0:+} - {1:-}', 'mul': '{0:*} * {1:/}',
               'div': '{0:*} / {1:/}'}
#: Functions of two arrays, or of an array and a number. At a tie clamp gives the first array the
#: whole gradient, as MXNet does.
_PAIRS = {'maximum': '{0:.}.clamp(min={1})', 'minimum': '{0:.}.clamp(max={1})',
          'power': '{0:**} ** {1:**}', **{name: '({0:<} %s {1:<})' % sign for name, sign in {
              'equal': '==', 'not_equal': '!=', 'greater': '>', 'greater_equal': '>=',
              'lesser': '<', 'lesser_equal': '<='}.items()}}
#: Functions that give integers for integers, in torch as well.
_WHOLE = {'abs', 'sign', 'square', 'negative', 'BlockGrad', 'relu', 'zeros_like', 'ones_like',
          'add', 'sub', 'mul'}


def _filled(text: str, x: Value, *inputs: object) -> str:
    """A text with its inputs; comparisons give 0 and 1 in the type of `x`."""
    found = text.format(*inputs)
    return cast(found, x.dtype) if text.startswith(('(', 'torch.logical')) else found


def _enter(name: str, text: str, *ops: str) -> None:
    """Enter operators of arrays."""
    @emits(*ops, any_order=True, reals=name not in _WHOLE)
    def emit(scope: Scope, node: Node, *inputs: Value) -> Emitted:
        return _filled(text, inputs[0], *inputs)


class _Number(str):
    """A number in a text, which stands in brackets if it is negative."""

    def __format__(self, spec: str) -> str:
        return '(%s)' % self if self.startswith('-') else str(self)


def _enter_number(name: str, text: str, turned: bool = False) -> None:
    """Enter an operator of an array and a number, or of a number and an array."""
    @emits('_%s_scalar' % name, any_order=True, reals=True)
    def emit(scope: Scope, node: Node, x: Value) -> Emitted:
        value = _Number(number(node.scalar, single=False))
        if name == 'plus' and value.startswith('-'):
            return f'{x:+} - {value[1:]}'
        if name == 'mul' and value == '-1':
            return f'-{x:**}'
        return _filled(text, x, *((value, x) if turned else (x, value)))


for _name, _text in _UNARY.items():
    _enter(_name, _text, _name)
for _name, _text in {**_ARITHMETIC, **_PAIRS, 'hypot': 'torch.hypot({0}, {1})', **{
        'logical_' + name: 'torch.logical_%s({0}, {1})' % name for name in ('and', 'or', 'xor')
        }}.items():
    _enter(_name, _text, ('elemwise_' if _name in _ARITHMETIC else '_') + _name,
           'broadcast_' + _name)
for _name, _text in {**_ARITHMETIC, **_PAIRS}.items():
    _word = {'add': 'plus', 'sub': 'minus'}.get(_name, _name)
    _enter_number(_word, _text)
    if _name in ('sub', 'div', 'power'):
        _enter_number('r' + _word, _text, True)


emits('_copy', any_order=True)(lambda scope, node, x: x)
emits('_identity_with_attr_like_rhs')(lambda scope, node, x: x)


@emits('_mod_scalar', any_order=True, reals=True)
def _mod(scope: Scope, node: Node, x: Value) -> Emitted:
    if not node.scalar:
        raise Unsupported('by 0')
    return 'torch.remainder(%s, %s)' % (x, number(node.scalar, single=False))


@emits('add_n', any_order=True)
def _add_n(scope: Scope, node: Node, first: Value, *others: Value) -> Emitted:
    return ' + '.join([f'{first:+}', *map('{:-}'.format, others)]) if others else first


@emits('where')
def _where(scope: Scope, node: Node, condition: Value, x: Value, y: Value) -> Emitted:
    if re.fullmatch(r'torch\.ones_like\([\w.]+\)', condition.text):  # of zoneout that draws nothing
        return x
    compared = re.fullmatch(r'\(([^()]+ [<=>!]=? [^()]+)\)\.float\(\)', condition.text)
    chosen = compared[1] if compared else f'{condition:<} != 0'
    if condition.rank < x.rank:  # it chooses rows
        chosen = '(%s).reshape(-1%s)' % (chosen, ', 1' * (x.rank - 1))
    return 'torch.where(%s, %s, %s)' % (chosen, x, y)


writes('{0:.}.clamp({a_min}, {a_max})', 'clip', any_order=True, reals=True)


@emits('Cast', 'amp_cast', any_order=True)
def _cast(scope: Scope, node: Node, x: Value) -> Emitted:
    if node.op == 'amp_cast' and (not is_real(x) or 'float' not in node.dtype):
        raise Unsupported('of integers')
    return x if node.dtype == x.dtype else cast(x.of, node.dtype)


@emits('smooth_l1', any_order=True, reals=True)
def _smooth_l1(scope: Scope, node: Node, x: Value) -> Emitted:
    if not node.scalar:
        raise Unsupported('whose scalar is 0')
    x = scope.named(x)
    return "F.smooth_l1_loss(%s, torch.zeros_like(%s), reduction='none', beta=%s)" % (
        x, x, number(1 / node.scalar ** 2))


# ---- activations

writes('F.hardtanh({alpha} * {0:/} + {beta}, 0, 1)', 'hard_sigmoid', any_order=True, reals=True)


@emits('Activation', any_order=True, reals=True)
def _activation(scope: Scope, node: Node, x: Value) -> Emitted:
    return {'softrelu': 'F.softplus({0})', **_UNARY}[node.act_type].format(x)


@emits('LeakyReLU', reals=True)
def _leaky_relu(scope: Scope, node: Node, x: Value, *gamma: Value) -> Emitted:
    kind, slope = node.act_type, ', ' + number(node.slope)
    if kind == 'rrelu':
        slope = ', %s, %s, self.training' % (number(node.lower_bound), number(node.upper_bound))
    name = 'leaky_relu' if kind == 'leaky' else kind
    return 'F.%s(%s%s)' % (name, x, f', {gamma[0]}' if kind == 'prelu' else
                           '' if kind in ('selu', 'gelu') else slope)
