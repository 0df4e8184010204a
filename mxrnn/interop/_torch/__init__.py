"""Graphs of MXNet in torch; here, what the functions of all operators share."""
from __future__ import annotations

from typing import Any, Callable, Union

import torch
from torch import Tensor

__all__ = ['DTYPES', 'Device', 'Number', 'Run', 'some']

#: Runs a node: tensors in, a tensor or a tuple of them out.
Run = Callable[..., Any]

Number = Union[float, Tensor]
Device = Union[str, torch.device]

#: By what attributes call them; None, for a type that follows from the inputs, is none of them.
DTYPES = {
    'float32': torch.float32, 'float64': torch.float64, 'float16': torch.float16,
    'bfloat16': torch.bfloat16, 'uint8': torch.uint8, 'int8': torch.int8, 'int32': torch.int32,
    'int64': torch.int64, 'bool': torch.bool,
}


def some(x: Tensor) -> Tensor:
    """`x` with at least one axis, as all arrays of MXNet have."""
    return x if x.dim() else x.reshape(1)
