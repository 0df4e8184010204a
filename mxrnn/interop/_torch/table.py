"""Tools that the functions of torch's operators share.

A function is given a `Node` once, when the module is built, and returns what runs it: a function of
its inputs as tensors, which returns a tensor, or a tuple of them.
"""
from __future__ import annotations

from typing import Any, Callable

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import TORCH, Operator

__all__ = ['DTYPES', 'Make', 'Run', 'Unsupported', 'operator', 'some']

#: Runs a node: tensors in, a tensor or a tuple of them out.
Run = Callable[..., Any]
Make = Callable[[Node], Run]

#: By what attributes call them; None, for a type that follows from the inputs, is none of them.
DTYPES = {
    'float32': torch.float32, 'float64': torch.float64, 'float16': torch.float16,
    'bfloat16': torch.bfloat16, 'uint8': torch.uint8, 'int8': torch.int8, 'int32': torch.int32,
    'int64': torch.int64, 'bool': torch.bool,
}


class Unsupported(Exception):
    """A node asks for something that cannot be run; the message names it."""


def operator(*names: str, training: bool = False, equal_shapes: bool = False,
             creates: bool = False) -> Callable[[Make], Make]:
    """Enter a function into the table under `names`; the rest is of `Operator`."""
    def enter(make: Make) -> Make:
        TORCH.enter(Operator(make, training, equal_shapes, creates), *names)
        return make
    return enter


def some(x: Tensor) -> Tensor:
    """`x` with at least one axis, as all arrays of MXNet have."""
    return x if x.dim() else x.reshape(1)
