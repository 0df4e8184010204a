"""Operators that reduce, order or look up: sums, extremes, sorting, indices, products."""
from __future__ import annotations

from typing import Sequence

from ..._graph.graph import Node
from .elementwise import cast, check_real, is_real, number
from .scope import Scope
from .table import Emitted, Many, Size, Unsupported, Value, emits

__all__: list[str] = []


# ---- reductions

def _axes(x: Value, axes: Sequence[int] | None, exclude: bool = False) -> tuple[int, ...]:
    """The axes that an operator reduces, in order."""
    if not axes:
        return tuple(range(x.rank))
    chosen = {axis % x.rank for axis in axes}
    return tuple(axis for axis in range(x.rank) if (axis in chosen) != exclude)


def _over(axes: Sequence[int], keep: bool) -> str:
    """Arguments of a reduction."""
    axis = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
    return axis + (', keepdim=True' if keep else '')


def _filled(scope: Scope, text: str, x: Value, axes: Sequence[int], keep: bool) -> str:
    """A reduction over all axes with the one axis that arrays of MXNet have at least."""
    return text + '.reshape(1)' if len(axes) == x.rank and not keep else text


def _reduction(name: str, method: str, each: bool = False) -> None:
    """Enter a reduction by a method; `each` if that takes one axis."""
    @emits(name)
    def emit(scope: Scope, node: Node, x: Value) -> Emitted:
        check_real(x)
        axes, keep = _axes(x, node.axis, node.exclude), node.keepdims
        if not axes:
            if name.startswith('nan'):
                raise Unsupported('over no axis')
            return x
        text = x.of
        if name == 'nanprod':
            x = scope.named(x)
            text = '%s.masked_fill(%s.isnan(), 1)' % (x, x)
        if each:
            for axis in reversed(axes):
                text += '.%s(%s)' % (method, _over([axis], keep))
        else:
            text += '.%s(%s)' % (method, _over(axes, keep))
        return _filled(scope, text, x, axes, keep)


for _name, _method in {'sum': 'sum', 'mean': 'mean', 'nansum': 'nansum', 'max': 'amax',
                       'min': 'amin'}.items():
    _reduction(_name, _method)
for _name in ('prod', 'nanprod'):
    _reduction(_name, 'prod', each=True)


@emits('norm')
def _norm(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    axes, keep = _axes(x, node.axis), node.keepdims
    text = 'torch.linalg.vector_norm(%s, %d, %s)' % (x, node.ord, _over(axes, keep))
    text = _filled(scope, text, x, axes, keep)
    return text if scope.dtypes[0] == x.dtype else cast(text, scope.dtypes[0])


@emits('moments')
def _moments(scope: Scope, node: Node, x: Value) -> Emitted:
    check_real(x)
    axes, keep = _axes(x, node.axes), node.keepdims
    x = scope.named(x)
    return [_filled(scope, '%s.mean(%s)' % (x, _over(axes, keep)), x, axes, keep),
            _filled(scope, '%s.var(%s)' % (x, _over(axes, False) + ', unbiased=False'
                                           + ', keepdim=True' * keep), x, axes, keep)]


@emits('_np_cumsum')
def _cumsum(scope: Scope, node: Node, x: Value) -> Emitted:
    text, axis = (x.of + '.flatten()', 0) if node.axis is None else (x.of, node.axis)
    kind = ', dtype=torch.%s' % scope.dtypes[0] if (
        scope.dtypes[0] != x.dtype or not is_real(x)) else ''
    return '%s.cumsum(%d%s)' % (text, axis, kind)


def _argument(scope: Scope, node: Node, x: Value) -> Emitted:
    if node.axis is None:
        text = '%s.%s().reshape(%s)' % (x.of, node.op, ', '.join(['1'] * (
            x.rank if node.keepdims else 1)))
    else:
        text = _filled(scope, '%s.%s(%s)' % (x.of, node.op, _over([node.axis], node.keepdims)), x,
                       [node.axis], node.keepdims)
    return cast(text, x.dtype)


emits('argmax', 'argmin')(_argument)


@emits('argmax_channel')
def _argmax_channel(scope: Scope, node: Node, x: Value) -> Emitted:
    return cast(x.of + '.argmax(1)', x.dtype)


# ---- order

def _flat(node: Node, x: Value) -> tuple[str, int]:
    """The array that is put in order, and its axis."""
    return (x.of + '.flatten()', 0) if node.axis is None else (x.of, node.axis)


@emits('sort')
def _sort(scope: Scope, node: Node, x: Value) -> Emitted:
    text, axis = _flat(node, x)
    text = '%s.sort(%d%s)' % (text, axis, ', descending=True' * (not node.is_ascend))
    return Many(text) if scope.used(1) else text + '.values'


@emits('argsort')
def _argsort(scope: Scope, node: Node, x: Value) -> Emitted:
    text, axis = _flat(node, x)
    return cast('%s.argsort(%d%s)' % (text, axis, ', descending=True' * (not node.is_ascend)),
                node.dtype)


@emits('topk')
def _topk(scope: Scope, node: Node, x: Value) -> Emitted:
    kind = node.ret_typ
    if kind == 'mask':
        x = scope.named(x)
    text, axis = _flat(node, x)
    count = node.k if node.k > 0 else scope.size(x.shape[axis], x)
    text = '%s.topk(%s, %d%s)' % (text, count, axis, ', largest=False' * node.is_ascend)
    if kind == 'indices':
        return cast(text + '.indices', node.dtype)
    if kind == 'mask':
        if node.axis is None:
            raise Unsupported('that gives a mask of all elements')
        return 'torch.zeros_like(%s).scatter(%d, %s.indices, 1)' % (x, axis, text)
    return [text + '.values', cast(text + '.indices', node.dtype)]


# ---- look-ups

def _places(scope: Scope, index: Value, size: Size, mode: str, *near: Value) -> str:
    """Indices as MXNet reads them: those out of range are the first or the last, or go round."""
    text = index.of if index.dtype == 'int64' else index.of + '.long()'
    if mode == 'raise':
        return text
    length = scope.size(size, *near)
    if mode == 'wrap':
        return '%s %% %s' % (text, length)
    last = str(int(length) - 1) if length.isdigit() else length + ' - 1'
    return '%s.clamp(0, %s)' % (text, last)


@emits('take')
def _take(scope: Scope, node: Node, x: Value, index: Value) -> Emitted:
    x = scope.named(x) if not isinstance(x.shape[node.axis], int) else x
    axis = node.axis % x.rank
    return '%s[%s%s]' % (x.of, ':, ' * axis, _places(scope, index, x.shape[axis], node.mode, x))


@emits('batch_take')
def _batch_take(scope: Scope, node: Node, x: Value, index: Value) -> Emitted:
    return '%s.gather(1, %s.reshape(-1, 1)).flatten()' % (
        x.of, _places(scope, index, x.shape[1], 'clip', x))


@emits('pick')
def _pick(scope: Scope, node: Node, x: Value, index: Value) -> Emitted:
    if node.axis is None:
        return '%s.flatten()[%s]' % (x.of, _places(scope, index, x.shape[0], node.mode, x))
    axis = node.axis % x.rank
    places = _places(scope, index, x.shape[axis], node.mode, x)
    if ' % ' in places:
        places = '(%s)' % places
    if index.rank < x.rank:
        places += '.unsqueeze(%d)' % axis
    text = '%s.gather(%d, %s)' % (x.of, axis, places)
    return text if node.keepdims or x.rank == 1 else '%s.squeeze(%d)' % (text, axis)


@emits('gather_nd')
def _gather_nd(scope: Scope, node: Node, x: Value, index: Value) -> Emitted:
    return '%s[tuple(%s.long())]' % (x.of, index.of)


@emits('scatter_nd')
def _scatter_nd(scope: Scope, node: Node, x: Value, index: Value) -> Emitted:
    x = scope.named(x)
    return '%s.new_zeros(%s).index_put(tuple(%s.long()), %s)' % (
        x, ', '.join(map(str, node.shape)), index.of, x)


@emits('one_hot')
def _one_hot(scope: Scope, node: Node, index: Value) -> Emitted:
    """Indices out of range have no element that is on, which F.one_hot refuses."""
    index = scope.named(index)
    text = '(%s.long().unsqueeze(-1) == torch.arange(%d, device=%s.device))' % (
        index, node.depth, index)
    if (node.on_value, node.off_value) == (1, 0):
        return cast(text, node.dtype)
    return cast('torch.where(%s, %s, %s)' % (text[1:-1], *map(number, (
        node.on_value, node.off_value))), node.dtype)


# ---- products

def _transposed(x: Value, exchanged: bool) -> Value:
    """The array, its last two axes exchanged or not."""
    if not exchanged:
        return x
    text = x.of + '.T' if x.rank == 2 else '%s.transpose(%d, %d)' % (x.of, x.rank - 2, x.rank - 1)
    return Value(text, (*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


@emits('dot')
def _dot(scope: Scope, node: Node, x: Value, y: Value) -> Emitted:
    if x.rank == y.rank == 1:
        return '%s.dot(%s).reshape(1)' % (x.of, y)
    if y.rank > 2 or (x.rank > 2 and node.transpose_a):
        return 'torch.tensordot(%s, %s, ([%d], [%d]))' % (x, y, -(not node.transpose_a),
                                                          -node.transpose_b)
    x, y = _transposed(x, node.transpose_a), _transposed(y, node.transpose_b)
    return f'{x:*} @ {y:/}'


@emits('batch_dot')
def _batch_dot(scope: Scope, node: Node, x: Value, y: Value) -> Emitted:
    return f'{_transposed(x, node.transpose_a):*} @ {_transposed(y, node.transpose_b):/}'


@emits('_linalg_gemm2')
def _gemm2(scope: Scope, node: Node, x: Value, y: Value) -> Emitted:
    if node.axis not in (-2, x.rank - 2):
        raise Unsupported('whose matrices are not in the last two axes')
    text = f'{_transposed(x, node.transpose_a):*} @ {_transposed(y, node.transpose_b):/}'
    return text if node.alpha == 1 else '%s * %s' % (text, number(node.alpha))
