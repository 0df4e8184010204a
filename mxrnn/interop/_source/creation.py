"""Operators that make arrays: constants, ranges, random numbers."""
from __future__ import annotations

from typing import Any, Callable, Sequence

from ..._graph.graph import Node
from ..._graph.index_inputs import is_looked_up
from ..._graph.operator_table import numbers_of
from .emitter_api import Emitted, Expr, Unsupported, emits, number, writes
from .method_writer import MethodWriter
from .pasted import DRAWS
from .python_text import literal

__all__ = ['made']


def made(scope: MethodWriter, function: str, *arguments: str) -> str:
    """A call of a torch function that makes an array on the device of the method's first argument.
    """
    kind = scope.dtypes[0]
    return 'torch.%s(%s%s%s)' % (
        function, ', '.join(arguments), '' if kind == 'float32' else ', dtype=torch.' + kind,
        ', device=%s.device' % scope.arguments[0].of if scope.arguments else '')


@emits('_zeros', '_ones')
def _filled(scope: MethodWriter, node: Node) -> Emitted:
    """An array of the type of an input, or of word vectors, which `double` converts."""
    name, sizes = node.op[1:], scope.sizes(scope.out[0])
    words = {value.text for key, value in scope.inputs.items() if is_looked_up(scope.graph, key)}
    tables = [scope.values.get(node.inputs[1]) for node in scope.graph.nodes
              if node.op == 'Embedding']
    for near in [*[value for value in scope.arguments if value.text not in words],
                 *[each for each in tables if each is not None and each.parameter]]:
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
def _arange(scope: MethodWriter, node: Node) -> Emitted:
    if node.stop is None and node.infer_range:
        raise Unsupported('a range without an end')
    start, stop = (0., node.start) if node.stop is None else (node.start, node.stop)
    # torch makes a range of integers from whole numbers, unless it gets another type.
    text = made(scope, 'arange', *map(repr, (start, stop, node.step)))
    return text if node.repeat == 1 else '%s.repeat_interleave(%d)' % (text, node.repeat)


writes('{0:.}[torch.randperm({0:.}.shape[0], device={0:.}.device)]', '_shuffle')
emits('_random_randint')(lambda scope, node: 'torch.randint(%d, %d, (%s,), dtype=torch.%s%s)' % (
    node.low, node.high, scope.sizes(scope.out[0]), scope.dtypes[0],
    ', device=%s.device' % scope.arguments[0].of if scope.arguments else ''))


def _sampler(name: str, draw: Callable[..., Any]) -> None:
    """Register the operators of a distribution: for a shape, for the shape of an array, and for
    arrays of parameters. Uniform and normal numbers for a shape have plain forms."""
    def drawn(scope: MethodWriter, size: str, numbers: Sequence[str], dtype: str, near: str) -> str:
        return '%s(%s)' % (scope.helper(draw), ', '.join(
            [size, *numbers, 'dtype=' + dtype, *['device=%s.device' % near] * bool(near)]))

    def of_shape(scope: MethodWriter, node: Node) -> Emitted:
        near = scope.arguments[0].of if scope.arguments else ''
        return drawn(scope, '(%s,)' % scope.sizes(scope.out[0]), list(map(
            literal, numbers_of(node))), 'torch.' + scope.dtypes[0], near)

    @emits('_random_%s_like' % name)
    def like(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
        x = scope.named(x)
        return drawn(scope, '%s.shape' % x.text, list(map(literal, numbers_of(node))),
                     x.text + '.dtype', x.text)

    @emits('_sample_' + name)
    def of_arrays(scope: MethodWriter, node: Node, *numbers: Expr) -> Emitted:
        first = scope.named(numbers[0])
        more = ', 1' * len(node.shape)
        wide = [('%s.reshape(%s%s)' % (each.of, ', '.join(
            scope.size(size, first) for size in first.shape), more)) if more else format(each)
            for each in (first, *numbers[1:])]
        size = first.text + '.shape'
        if more:
            size = '(*%s, %s)' % (size, ', '.join(map(str, node.shape)))
        return drawn(scope, size, wide, 'torch.' + scope.dtypes[0], first.text)
    if name not in ('uniform', 'normal'):
        emits('_random_' + name)(of_shape)


for _name, _draw in DRAWS.items():
    _sampler(_name, _draw)


@emits('_contrib_arange_like', reals=True)
def _arange_like(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if node.repeat != 1 or node.axis is None:
        raise Unsupported('an arange_like that repeats numbers, or without an axis')
    x = scope.named(x)
    text = 'torch.arange(%s, dtype=%s.dtype, device=%s.device)' % (
        scope.size(x.shape[node.axis], x), x, x)
    return _moved(text, node.start, node.step)


def _moved(text: str, first: float, scale: float) -> str:
    """Numbers times `scale`, plus `first`."""
    text += '' if scale == 1 else ' * ' + number(scale)
    return text if not first else '%s + %s' % (text, number(first))
