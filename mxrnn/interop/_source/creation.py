"""Operators that make arrays: constants, ranges, random numbers."""
from __future__ import annotations

from ..._graph.graph import Node
from .scope import Scope
from .table import Emitted, Unsupported, Value, emits, number

__all__ = ['made']


def made(scope: Scope, function: str, *arguments: str) -> str:
    """A call of a function of torch that makes an array where the method's first argument is."""
    kind = scope.dtypes[0]
    return 'torch.%s(%s%s%s)' % (
        function, ', '.join(arguments), '' if kind == 'float32' else ', dtype=torch.' + kind,
        ', device=%s.device' % scope.arguments[0].of if scope.arguments else '')


@emits('_zeros', '_ones')
def _filled(scope: Scope, node: Node) -> Emitted:
    name, sizes = node.op[1:], scope.sizes(scope.out[0])
    for near in scope.arguments:
        if near.dtype == scope.dtypes[0]:
            return '%s.new_%s(%s)' % (near.of, name, sizes)
    return made(scope, name, sizes)


emits('_full')(lambda scope, node: made(
    scope, 'full', '(%s,)' % scope.sizes(scope.out[0]), number(node.value, single=False)))
emits('_random_uniform')(lambda scope, node: _moved(
    made(scope, 'rand', scope.sizes(scope.out[0])), node.low, node.high - node.low))
emits('_random_normal')(lambda scope, node: _moved(
    made(scope, 'randn', scope.sizes(scope.out[0])), node.loc, node.scale))


@emits('_arange')
def _arange(scope: Scope, node: Node) -> Emitted:
    if node.stop is None and node.infer_range or scope.dtypes[0] == 'float16':
        raise Unsupported('without an end, or of float16')
    start, stop = (0., node.start) if node.stop is None else (node.start, node.stop)
    # Of whole numbers torch makes a range of integers, unless it is told another type.
    text = made(scope, 'arange', *map(repr, (start, stop, node.step)))
    return text if node.repeat == 1 else '%s.repeat_interleave(%d)' % (text, node.repeat)


@emits('_contrib_arange_like', reals=True)
def _arange_like(scope: Scope, node: Node, x: Value) -> Emitted:
    if node.repeat != 1 or node.axis is None:
        raise Unsupported('that repeats its numbers, or has none of one axis')
    x = scope.named(x)
    text = 'torch.arange(%s, dtype=%s.dtype, device=%s.device)' % (
        scope.size(x.shape[node.axis], x), x, x)
    return _moved(text, node.start, node.step)


def _moved(text: str, first: float, scale: float) -> str:
    """Numbers times `scale`, plus `first`."""
    text += '' if scale == 1 else ' * ' + number(scale)
    return text if not first else '%s + %s' % (text, number(first))
