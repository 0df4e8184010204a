"""The table of operators, and what their functions have in common.

``OPERATORS`` maps an operator's name to a function that is given a `Node` once, when the module is
built, and returns what runs it: a function of its inputs as tensors, which returns a tensor, or a
tuple of them.
"""
from __future__ import annotations

from typing import Any, Callable

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import TORCH, Operator

__all__ = ['DTYPES', 'OPERATORS', 'Operator', 'Unsupported', 'axis_of', 'dtype_of', 'operator']

#: Runs a node: tensors in, a tensor or a tuple of them out.
Run = Callable[..., Any]

OPERATORS = TORCH


class Unsupported(Exception):
    """What a node asks for cannot be run; the message says what."""


DTYPES = {
    'float32': torch.float32, 'float64': torch.float64, 'float16': torch.float16,
    'bfloat16': torch.bfloat16, 'uint8': torch.uint8, 'int8': torch.int8, 'int32': torch.int32,
    'int64': torch.int64, 'bool': torch.bool,
}


def operator(*names: str, **kwargs: Any) -> Callable[[Callable[[Node], Run]],
                                                     Callable[[Node], Run]]:
    """Enter a function into the table under `names`; `kwargs` are of `Operator`."""
    def enter(make: Callable[[Node], Run]) -> Callable[[Node], Run]:
        OPERATORS.enter(Operator(make, **kwargs), *names)
        return make
    return enter


def dtype_of(node: Node, default: str | None = None) -> torch.dtype | None:
    """The type that the node's 'dtype' names, or the type named `default`."""
    name = node.get('dtype', default)
    if name is None or name == 'None':
        name = default
    if name is None:
        return None
    if name not in DTYPES:
        raise ValueError('%s has the unknown type %r' % (node.name, name))
    return DTYPES[name]


def axis_of(value: Any) -> tuple[int, ...] | None:
    """Axes given as None, a number or a tuple; an empty one means all of them."""
    if value is None or value == ():
        return None
    return value if isinstance(value, tuple) else (value,)


def is_real(array: Tensor) -> bool:
    """Whether gradients can come through `array`."""
    return array.is_floating_point()
