"""Operators that make arrays: constants, ranges, random numbers."""
from __future__ import annotations

from ..._graph.graph import Node
from .elementwise import check_real, number
from .scope import Scope
from .table import Emitted, Unsupported, Value, emits

__all__: list[str] = []


def _made(scope: Scope, function: str, *arguments: str) -> str:
    """A call of a function of torch that makes an array where the method's first argument is."""
    kind = scope.dtypes[0]
    return 'torch.%s(%s%s%s)' % (
        function, ', '.join(arguments), '' if kind == 'float32' else ', dtype=torch.' + kind,
        ', device=%s.device' % scope.arguments[0].of if scope.arguments else '')


def _filled(name: str) -> None:
    @emits('_' + name)
    def emit(scope: Scope, node: Node) -> Emitted:
        sizes = scope.sizes(scope.out[0])
        for near in scope.arguments:
            if near.dtype == scope.dtypes[0]:
                return '%s.new_%s(%s)' % (near.of, name, sizes)
        return _made(scope, name, sizes)


_filled('zeros')
_filled('ones')


@emits('_full')
def _full(scope: Scope, node: Node) -> Emitted:
    return _made(scope, 'full', '(%s,)' % scope.sizes(scope.out[0]),
                 number(node.value, single=False))


@emits('_arange')
def _arange(scope: Scope, node: Node) -> Emitted:
    start, stop = (0, node.start) if node.stop is None else (node.start, node.stop)
    if node.stop is None and node.infer_range:
        raise Unsupported('without an end')
    if scope.dtypes[0] == 'float16':
        raise Unsupported('of float16')
    numbers = [start, stop, node.step]
    while len(numbers) > 1 and numbers[-1] == 1 and len(numbers) == 3:
        numbers.pop()
    if len(numbers) == 2 and not start:
        numbers.pop(0)
    # torch's range of whole numbers is one of integers, unless it is told another type.
    text = _made(scope, 'arange', *map(_point, numbers))
    return text if node.repeat == 1 else '%s.repeat_interleave(%d)' % (text, node.repeat)


def _point(value: float) -> str:
    """A number of float32 with its point."""
    return repr(float(value))


@emits('_linspace')
def _linspace(scope: Scope, node: Node) -> Emitted:
    if not node.endpoint or scope.dtypes[0] != 'float32':
        raise Unsupported('without its end, or of another type than float32')
    return _made(scope, 'linspace', number(node.start), number(node.stop), str(node.num))


@emits('_eye')
def _eye(scope: Scope, node: Node) -> Emitted:
    if node.k:
        raise Unsupported('with ones beside the diagonal')
    sizes = [str(node.N)] if node.M in (0, node.N) else [str(node.N), str(node.M)]
    return _made(scope, 'eye', *sizes)


@emits('_contrib_arange_like')
def _arange_like(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    if node.repeat != 1:
        raise Unsupported('that repeats its numbers')
    x = scope.named(x)
    count = f'{x}.numel()' if node.axis is None else scope.size(x.shape[node.axis], x)
    text = 'torch.arange(%s, dtype=%s.dtype, device=%s.device)' % (count, x, x)
    if node.axis is None and x.rank > 1:
        text += f'.reshape({x}.shape)'
    text += '' if node.step == 1 else ' * ' + number(node.step)
    return text if not node.start else '%s + %s' % (text, number(node.start))


# ---- random numbers

def _between(text: str, low: float, high: float) -> str:
    """Draws of [0, 1) as those of [low, high)."""
    text += '' if high - low == 1 else ' * ' + number(high - low)
    return text if not low else '%s + %s' % (text, number(low))


@emits('_random_uniform')
def _uniform(scope: Scope, node: Node) -> Emitted:
    return _between(_made(scope, 'rand', scope.sizes(scope.out[0])), node.low, node.high)


@emits('_random_uniform_like')
def _uniform_like(scope: Scope, node: Node, x: Value) -> Emitted:
    return _between(f'torch.rand_like({x})', node.low, node.high)


def _around(text: str, loc: float, scale: float) -> str:
    text += '' if scale == 1 else ' * ' + number(scale)
    return text if not loc else '%s + %s' % (text, number(loc))


@emits('_random_normal')
def _normal(scope: Scope, node: Node) -> Emitted:
    return _around(_made(scope, 'randn', scope.sizes(scope.out[0])), node.loc, node.scale)


@emits('_random_normal_like')
def _normal_like(scope: Scope, node: Node, x: Value) -> Emitted:
    return _around(f'torch.randn_like({x})', node.loc, node.scale)


@emits('_random_randint')
def _randint(scope: Scope, node: Node) -> Emitted:
    return _made(scope, 'randint', str(node.low), str(node.high),
                 '(%s,)' % scope.sizes(scope.out[0]))


@emits('_shuffle')
def _shuffle(scope: Scope, node: Node, x: Value) -> Emitted:
    x = scope.named(x)
    return '%s[torch.randperm(%s, device=%s.device)]' % (x, scope.size(x.shape[0], x), x)
