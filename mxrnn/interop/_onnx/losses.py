"""Loss heads, which become their predictions: labels are no inputs of the file."""
from __future__ import annotations

from typing import Sequence

from ..._graph.sizes import unify
from .builder import Builder, Value
from .elementwise import activate
from .index import reduce
from .layers import flat_softmax
from .table import Attributes, converts

__all__: list[str] = []


@converts('SoftmaxOutput', uses=1)
def _softmax_output(builder: Builder, attributes: Attributes, inputs: Sequence[Value]) -> Value:
    data = inputs[0]
    if attributes.flag('multi_output'):
        return builder.node('Softmax', [data], data.shape, axis=1)
    # Over four axes of float32 MXNet's inference differs from its training, which is flat.
    if attributes.flag('preserve_shape') or data.rank == 4 and data.dtype == 'float32':
        return builder.node('Softmax', [data], data.shape, axis=data.rank - 1)
    return flat_softmax(builder, data)


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
