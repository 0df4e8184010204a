"""The metadata of a file with states, by which whoever runs it knows what goes where."""
from __future__ import annotations

import json

import onnx

from ..._graph.stepping import Stepped

__all__ = ['described']


def described(content: bytes, stepped: Stepped, encoder: str) -> bytes:
    """The file of a step with the table of its states, axes and of its encoder in it."""
    model = onnx.load_model_from_string(content)
    inputs = {info.name: info.type.tensor_type for info in model.graph.input}

    def state(at: int) -> dict[str, object]:
        each = stepped.states[at]
        kind = inputs[each.given]
        sizes = [size.dim_value or None for size in kind.shape.dim]
        return {'in': each.given, 'out': each.after,
                'shape': sizes[:each.batch_axis] + sizes[each.batch_axis + 1:],
                'dtype': onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
                'batch_axis': each.batch_axis, 'begin': each.begin or 'zeros'}
    outputs = [info.name for info in model.graph.output]
    table = {'states': [state(at) for at in range(len(stepped.states))],
             'axes': {name: stepped.axes[name] for name in [*inputs, *outputs]
                      if name in stepped.axes},
             'captured': [name for name in stepped.captured if name in inputs
                          and name not in [each.given for each in stepped.states]],
             'encoder': encoder or None}
    onnx.helper.set_model_props(model, {'mxrnn.states': json.dumps(table)})
    return bytes(model.SerializeToString())
