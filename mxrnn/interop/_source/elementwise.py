"""Operators that work element by element: functions, arithmetic, comparisons, activations."""
from __future__ import annotations

import re

from ..._graph.graph import Node
from .scope import Scope
from .table import Emitted, Unsupported, Value, emits, number

__all__ = ['cast', 'check_real', 'is_real']

#: Methods that convert a tensor, by the type.
_CASTS = {'float32': 'float', 'float64': 'double', 'float16': 'half', 'bfloat16': 'bfloat16',
          'int32': 'int', 'int64': 'long'}


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


# ---- functions of arrays

#: {0} is the first array, {1} the second one, or the number of the node.
_TEXTS = {
    **{name: 'torch.%s({0})' % name for name in (
        'abs sign ceil floor trunc sqrt rsqrt exp expm1 log log10 log2 log1p sin cos tan sinh cosh '
        'tanh erf erfinv relu sigmoid zeros_like ones_like').split()},
    **{'arc' + name: 'torch.a%s({0})' % name for name in 'sin cos tan sinh cosh tanh'.split()},
    'degrees': 'torch.rad2deg({0})', 'radians': 'torch.deg2rad({0})', 'fix': 'torch.trunc({0})',
    'gammaln': 'torch.lgamma({0})', 'softsign': 'F.softsign({0})', 'reciprocal': '1 / {0:/}',
    'square': '{0:.}.square()', 'negative': '-{0:**}', 'BlockGrad': '{0:.}.detach()'}
_ARITHMETIC = {'add': '{0:+} + {1:-}', 'sub': '{0:+} - {1:-}', 'mul': '{0:*} * {1:/}',
               'div': '{0:*} / {1:/}'}
#: At a tie clamp gives the first array the whole gradient, as MXNet does.
_PAIRS = {'maximum': '{0:.}.clamp(min={1})', 'minimum': '{0:.}.clamp(max={1})',
          'power': '{0:**} ** {1:**}', 'hypot': 'torch.hypot({0}, {1})'}
_COMPARISONS = {'equal': '==', 'not_equal': '!=', 'greater': '>', 'greater_equal': '>=',
                'lesser': '<', 'lesser_equal': '<='}
_SCALARS = {'plus': '{0:+} + {1}', 'minus': '{0:+} - {1}', 'rminus': '{1} - {0:-}',
            'mul': '{0:*} * {1}', 'div': '{0:*} / {1}', 'rdiv': '{1} / {0:/}',
            'power': '{0:**} ** {1}', 'rpower': '{1} ** {0:**}',
            'maximum': _PAIRS['maximum'], 'minimum': _PAIRS['minimum']}
for _name, _sign in _COMPARISONS.items():
    _PAIRS[_name] = '({0:<} %s {1:<})' % _sign
    _SCALARS[_name] = '({0:<} %s {1})' % _sign
for _name in ('and', 'or', 'xor'):
    _PAIRS['logical_' + _name] = 'torch.logical_%s({0}, {1})' % _name
#: Operators that give integers for integers, in torch as well.
_WHOLE = {'abs', 'sign', 'square', 'negative', 'BlockGrad', 'relu', 'zeros_like', 'ones_like',
          *('elemwise_' + name for name in ('add', 'sub', 'mul')),
          *('broadcast_' + name for name in ('add', 'sub', 'mul'))}


def _enter(text: str, *ops: str) -> None:
    """Enter operators of arrays; comparisons give 0 and 1 in the type of the first one."""
    @emits(*ops, any_order=True)
    def emit(scope: Scope, node: Node, *inputs: Value) -> Emitted:
        if node.op not in _WHOLE:
            check_real(*inputs)
        found = text.format(*inputs)
        return cast(found, inputs[0].dtype) if text.startswith(('(', 'torch.logical')) else found


for _name, _text in _TEXTS.items():
    _enter(_text, _name)
for _name, _text in _ARITHMETIC.items():
    _enter(_text, 'elemwise_' + _name, 'broadcast_' + _name)
for _name, _text in _PAIRS.items():
    _enter(_text, '_' + _name, 'broadcast_' + _name)
_enter('({0:<} == 0)', 'logical_not')


def _enter_number(name: str, text: str) -> None:
    """Enter an operator of an array and a number."""
    @emits('_%s_scalar' % name, any_order=True)
    def emit(scope: Scope, node: Node, x: Value) -> Emitted:
        check_real(x)
        value = number(node.scalar, single=False)
        if name == 'plus' and value.startswith('-'):
            return f'{x:+} - {value[1:]}'
        if name == 'mul' and value == '-1':
            return f'-{x:**}'
        found = text.format(x, '(%s)' % value if value.startswith('-') else value)
        return cast(found, x.dtype) if name in _COMPARISONS else found


for _name, _text in _SCALARS.items():
    _enter_number(_name, _text)


@emits('_copy', any_order=True)
def _copy(scope: Scope, node: Node, x: Value) -> Emitted:
    return x


@emits('_identity_with_attr_like_rhs')
def _like(scope: Scope, node: Node, x: Value, *like: Value) -> Emitted:
    return x


@emits('_mod_scalar', any_order=True)
def _mod(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
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
        raise Unsupported('whose scalar is 0')
    x = scope.named(x)
    return "F.smooth_l1_loss(%s, torch.zeros_like(%s), reduction='none', beta=%s)" % (
        x, x, number(1 / node.scalar ** 2))


# ---- activations

@emits('hard_sigmoid', any_order=True)
def _hard_sigmoid(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    return f'F.hardtanh({number(node.alpha)} * {x:/} + {number(node.beta)}, 0, 1)'


@emits('Activation', any_order=True)
def _activation(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    return {'softrelu': 'F.softplus({})', 'softsign': 'F.softsign({})'}.get(
        node.act_type, 'torch.%s({})' % node.act_type).format(x)


@emits('LeakyReLU')
def _leaky_relu(scope: Scope, node: Node, x: Value, *gamma: Value) -> Emitted:
    check_real(x)
    kind, slope = node.act_type, ', ' + number(node.slope)
    if kind == 'rrelu':
        slope = ', %s, %s, self.training' % (number(node.lower_bound), number(node.upper_bound))
    name = 'leaky_relu' if kind == 'leaky' else kind
    return 'F.%s(%s%s)' % (name, x, f', {gamma[0]}' if kind == 'prelu' else
                           '' if kind in ('selu', 'gelu') else slope)
