"""Loss heads. They become their predictions, and labels are not inputs of the file."""
from __future__ import annotations

import numpy as np

from ..._graph.graph import Node
from ..registry import converts
from .builder import Builder, Value
from .layers import flat_softmax
from .reduce_sort_index import reduce

__all__: list[str] = []


@converts('SoftmaxOutput')
def _softmax_output(builder: Builder, node: Node, data: Value) -> Value:
    if node.multi_output:
        data.size(1)
        return builder.apply('Softmax', data, axis=1)
    # For float32 arrays of one or four axes, MXNet's inference differs from its training, which
    # treats them as flat.
    if node.preserve_shape or data.rank in (1, 4) and data.dtype == np.float32:
        return builder.apply('Softmax', data, axis=data.rank - 1)
    return flat_softmax(builder, data)


converts('WarpCTC')(lambda builder, node, data: flat_softmax(builder, data))
converts('LogisticRegressionOutput')(lambda builder, node, data: builder.apply('Sigmoid', data))
converts('LinearRegressionOutput', 'MAERegressionOutput', 'SVMOutput', 'MakeLoss', 'make_loss')(
    lambda builder, node, data: data)


@converts('softmax_cross_entropy')
def _cross_entropy(builder: Builder, node: Node, data: Value, label: Value) -> Value:
    places = builder.unsqueeze(builder.cast(label, 'int64'), 1)
    picked = builder.node('GatherElements', [builder.apply('LogSoftmax', data, axis=1), places],
                          places.shape, axis=1)
    total = reduce(builder, 'ReduceSum', picked, [0, 1], False)
    return builder.reshape(builder.apply('Neg', total), (1,))
