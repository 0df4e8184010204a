"""Products of matrices."""
from __future__ import annotations

from typing import Sequence

from .builder import Builder, Value
from .reductions import reduce
from .sizes import unify
from .table import Attributes, converts

__all__: list[str] = []


def _matrix(builder: Builder, value: Value, axis: int) -> Value:
    """`value` as a matrix, of its `axis` (the first or the last) and all others."""
    if value.rank == 2:
        return value
    size = builder.size_of(value._replace(shape=value.shape[1:] if axis == 0 else
                                          value.shape[:-1]))
    shape = (value.shape[0], size) if axis == 0 else (size, value.shape[-1])
    return builder.reshape(value, shape)


@converts('dot')
def _dot(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    left, right = inputs
    first, second = attributes.flag('transpose_a'), attributes.flag('transpose_b')
    outer = left.shape[1:] if first else left.shape[:-1]
    inner = right.shape[:-1] if second else right.shape[1:]
    if left.rank == 1 and right.rank == 1:
        unify(left.shape[0], right.shape[0])
        product = builder.node('Mul', [left, right], left.shape)
        return reduce(builder, 'ReduceSum', product, [0], True)
    unify(left.shape[0 if first else -1], right.shape[-1 if second else 0])
    if left.rank == 1:
        left, first = builder.unsqueeze(left, 0), False
    else:
        left = _matrix(builder, left, 0 if first else left.rank - 1)
    if right.rank == 1:
        right, second = builder.unsqueeze(right, 1), False
    else:
        right = _matrix(builder, right, right.rank - 1 if second else 0)
    left = builder.transpose(left, (1, 0)) if first else left
    right = builder.transpose(right, (1, 0)) if second else right
    result = builder.node('MatMul', [left, right], (left.shape[0], right.shape[1]))
    return builder.reshape(result, tuple(outer) + tuple(inner))


@converts('batch_dot')
def _batch_dot(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    sides = []
    for value, name in zip(inputs, ('transpose_a', 'transpose_b')):
        sides.append(builder.transpose(value, (0, 2, 1)) if attributes.flag(name) else value)
    left, right = sides
    unify(left.shape[2], right.shape[1])
    batch = unify(left.shape[0], right.shape[0])
    return builder.node('MatMul', sides, (batch, left.shape[1], right.shape[2]))


@converts('_linalg_gemm2')
def _gemm2(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    sides = []
    for value, name in zip(inputs, ('transpose_a', 'transpose_b')):
        order = list(range(value.rank))
        order[-2:] = order[:-3:-1] if attributes.flag(name) else order[-2:]
        sides.append(builder.transpose(value, order))
    left, right = sides
    unify(left.shape[-1], right.shape[-2])
    result = builder.node('MatMul', sides, left.shape[:-1] + right.shape[-1:])
    alpha = attributes.number('alpha', 1.0)
    if alpha == 1:
        return result
    return builder.node('Mul', [result, builder.scalar(alpha, result)], result.shape)
