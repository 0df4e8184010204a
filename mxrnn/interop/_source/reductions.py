"""Operators that reduce or order elements: sums, extremes, sorting."""
from __future__ import annotations

import re
from typing import Sequence

from ..._graph.graph import Node
from ..._graph.shapes.sizes import product, reduced_axes
from .creation import made
from .emitter_api import Emitted, Expr, Many, Unsupported, cast, emits, is_real
from .method_writer import MethodWriter

__all__: list[str] = []


# ---- reductions

def _over(axes: Sequence[int], keep: bool) -> str:
    """The arguments of a reduction."""
    axis = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
    return axis + (', keepdim=True' if keep else '')


def _filled(text: str, x: Expr, axes: Sequence[int], keep: bool) -> str:
    """A reduction over all axes; the result has one axis, as all MXNet arrays have."""
    return text + '.reshape(1)' if len(axes) == x.rank and not keep else text


_METHODS = {'max': 'amax', 'min': 'amin', 'nanprod': 'prod'}


@emits('sum', 'mean', 'nansum', 'max', 'min', 'prod', 'nanprod')
def _reduction(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    axes, keep, text = reduced_axes(x.rank, node.axis, node.exclude), node.keepdims, x.of
    if node.op == 'nanprod' or node.op == 'nansum' and not axes:
        x = scope.named(x)
        text = 'torch.where(torch.isnan(%s), %d, %s)' % (x, node.op == 'nanprod', x)
    if not axes:
        return text if 'nan' in node.op else x
    if node.op == 'mean' and not is_real(x):  # MXNet adds up in the type
        x = scope.named(x)
        total = scope.own(cast('%s.sum(%s)' % (x, _over(axes, keep)), x.dtype), 'total')
        text = '(%s.double() / (%s.numel() // %s.numel()))' % (total, x, total)
        return _filled(cast(text, x.dtype), x, axes, keep)
    if node.op == 'sum' and len(axes) == x.rank and re.fullmatch(r'torch\.ones_like\([^()]*\)',
                                                                 text):  # how many there are
        count = scope.size(product(x.shape))
        return made(scope, 'full', '(%s)' % ('1, ' * x.rank if keep else '1,'), 'float(%s)' % count)
    parts = [[axis] for axis in reversed(axes)] if 'prod' in node.op else [axes]
    for part in parts:
        text += '.%s(%s)' % (_METHODS.get(node.op, node.op), _over(part, keep))
    text = text if is_real(x) or node.op in ('max', 'min') else cast(text, x.dtype)
    return _filled(text, x, axes, keep)


@emits('norm', reals=True)
def _norm(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    axes, keep = reduced_axes(x.rank, node.axis), node.keepdims
    text = 'torch.linalg.vector_norm(%s, %d, %s)' % (x, node.ord, _over(axes, keep))
    text = _filled(text, x, axes, keep)
    return cast(text, scope.dtypes[0]) if scope.dtypes[0] != x.dtype else text


@emits('moments', reals=True)
def _moments(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    axes, keep = reduced_axes(x.rank, node.axes), node.keepdims
    x = scope.named(x)
    return [_filled('%s.%s' % (x, each % _over(axes, keep)), x, axes, keep)
            for each in ('mean(%s)', 'var(%s, unbiased=False)')]


@emits('_np_cumsum')
def _cumsum(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    text, axis = _flat(node, x)
    kind = '' if scope.dtypes[0] == x.dtype and is_real(x) else ', dtype=torch.' + scope.dtypes[0]
    return '%s.cumsum(%d%s)' % (text, axis, kind)


@emits('argmax', 'argmin')
def _argument(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if node.axis is None:
        text = '%s.flatten().%s(0)' % (x.of, node.op)
        return cast('%s.reshape(%s)' % (text, ', '.join(
            '1' * (x.rank if node.keepdims else 1))), x.dtype)
    return cast(_filled('%s.%s(%s)' % (x.of, node.op, _over([node.axis], node.keepdims)), x,
                        [node.axis], node.keepdims), x.dtype)


emits('argmax_channel')(lambda scope, node, x: cast(x.of + '.argmax(1)', x.dtype))


# ---- order

def _flat(node: Node, x: Expr) -> tuple[str, int]:
    """The array to sort, and its axis."""
    return (x.of + '.flatten()', 0) if node.axis is None else (x.of, node.axis)


@emits('sort', 'argsort')
def _sort(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    text, axis = _flat(node, x)
    text = '%s.%s(%s%d%s)' % (text, node.op, 'stable=True, dim=', axis, ', descending=True' * (
        not node.is_ascend))
    if node.op == 'argsort':
        return cast(text, node.dtype)
    return Many(text) if scope.used(1) else text + '.values'


@emits('topk')
def _topk(scope: MethodWriter, node: Node, x: Expr) -> Emitted:
    if node.ret_typ == 'mask':
        raise Unsupported('a topk that returns a mask')
    text, axis = _flat(node, x)
    count = str(node.k) if node.k > 0 else scope.size(x.shape[axis], x)
    text = '%s.topk(%s, %d%s)' % (text, count, axis, ', largest=False' * node.is_ascend)
    values, places = text + '.values', text + '.indices'
    if node.ret_typ == 'both' and scope.used(0) and scope.used(1):
        values, places = scope.unpack('{}, {}', text, 'values', 'places')
    places = cast(places, node.dtype)
    return places if node.ret_typ == 'indices' else [values, places]
