"""The softmax family, and loss heads."""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .builder import Builder, Value
from .elementwise import activate
from .errors import Unsupported
from .reductions import reduce
from .sequences import inside
from .sizes import product, unify
from .table import Attributes, converts, positive

__all__: list[str] = []


def _softmax(op: str, sign: int = 1) -> Any:
    def convert(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
        data = inputs[0]
        axis = positive(attributes.integer('axis', -1), data.rank)
        factor = sign / attributes.number('temperature', 1.0)
        if 'dtype' in attributes:
            data = builder.cast(data, attributes.text('dtype'))
        within = None
        if attributes.flag('use_length') and len(inputs) > 1:
            if (data.rank, axis) != (2, 1):
                raise Unsupported('a softmax with lengths of %d axes' % data.rank)
            within = inside(builder, data, inputs[1], 1)
        if factor != 1:
            data = builder.node('Mul', [data, builder.scalar(factor, data)], data.shape)
        if within is None:
            return builder.node(op, [data], data.shape, axis=axis)
        lowest = builder.scalar(np.finfo(data.dtype).min, data)
        data = builder.where(within, data, lowest, data.shape)
        result = builder.node(op, [data], data.shape, axis=axis)
        return builder.where(within, result, builder.scalar(0, result), data.shape)
    return convert


converts('softmax')(_softmax('Softmax'))
converts('softmin')(_softmax('Softmax', -1))
converts('log_softmax')(_softmax('LogSoftmax'))


def _flat_softmax(builder: Builder, data: Value) -> Value:
    """Softmax over all but the first axis."""
    if data.rank == 2:
        return builder.node('Softmax', [data], data.shape, axis=1)
    flat = builder.reshape(data, (data.shape[0], product(data.shape[1:])))
    return builder.reshape(builder.node('Softmax', [flat], flat.shape, axis=1), data.shape)


@converts('SoftmaxActivation')
def _softmax_activation(builder: Builder, attributes: Attributes,
                        inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if attributes.text('mode', 'instance') == 'channel':
        return builder.node('Softmax', [data], data.shape, axis=1)
    if data.rank != 2:
        raise Unsupported('a SoftmaxActivation of %d axes, on which builds of MXNet differ'
                          % data.rank)
    return _flat_softmax(builder, data)


# Loss heads become their predictions: labels are no inputs of the file.

@converts('SoftmaxOutput', uses=1)
def _softmax_output(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if attributes.flag('multi_output'):
        return builder.node('Softmax', [data], data.shape, axis=1)
    if attributes.flag('preserve_shape'):
        return builder.node('Softmax', [data], data.shape, axis=data.rank - 1)
    return _flat_softmax(builder, data)


@converts('LogisticRegressionOutput', uses=1)
def _logistic(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return activate(builder, inputs[0], 'sigmoid')


@converts('LinearRegressionOutput', 'MAERegressionOutput', 'SVMOutput', 'MakeLoss', uses=1)
def _prediction(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    return inputs[0]


@converts('softmax_cross_entropy')
def _cross_entropy(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data, label = inputs
    unify(data.shape[0], label.shape[0])
    logs = builder.node('LogSoftmax', [data], data.shape, axis=1)
    places = builder.unsqueeze(builder.cast(label, 'int64'), 1)
    picked = builder.node('GatherElements', [logs, places], places.shape, axis=1)
    total = reduce(builder, 'ReduceSum', picked, [0, 1], False)
    return builder.reshape(builder.node('Neg', [total], ()), (1,))
