"""What functions that run operators in torch share: types, attributes, registration."""
from __future__ import annotations

import inspect
import types
from typing import Any, Callable, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import TORCH, Operator

__all__ = ['DTYPES', 'Device', 'Run', 'keywords', 'runs', 'tensor']

#: Runs a node: takes tensors, returns a tensor or a tuple of them.
Run = Callable[..., Any]

Device = Union[str, torch.device]

#: By the name in attributes. None, for a type that follows from the inputs, is not in it.
DTYPES = {
    'float32': torch.float32, 'float64': torch.float64, 'float16': torch.float16,
    'bfloat16': torch.bfloat16, 'uint8': torch.uint8, 'int8': torch.int8, 'int32': torch.int32,
    'int64': torch.int64, 'bool': torch.bool,
}


def runs(*ops: str, training: bool = False, creates: bool = False) -> Callable[[Run], Run]:
    """Make the decorated function run the operators `ops`; see `Operator` for the options.

    Its keyword-only parameters are the node's attributes (with torch's types) and the node's name.
    """
    def enter(run: Run) -> Run:
        TORCH.enter(Operator(lambda node: _bound(run, node), training, creates, run), *ops)
        return run
    return enter


def keywords(run: Run, node: Node) -> dict[str, Any]:
    """The attributes of a node that a function takes as keyword-only parameters."""
    found: dict[str, Any] = {}
    if inspect.isfunction(run):
        code, defaults = run.__code__, run.__kwdefaults__ or {}
        for key in code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]:
            if key not in defaults or hasattr(node, key):
                value = getattr(node, key)  # one with a default may be missing in some operators
                found[key] = DTYPES.get(value) if key.endswith('dtype') else value
    return found


def _bound(run: Run, node: Node) -> Run:
    """A copy of `run` that has the node's attributes as defaults of its keyword-only parameters.
    Calls of the copy are as fast as those of a function without attributes."""
    found = keywords(run, node)
    if not found:
        return run
    bound = types.FunctionType(run.__code__, run.__globals__, run.__name__, run.__defaults__,
                               run.__closure__)
    bound.__kwdefaults__ = {**(run.__kwdefaults__ or {}), **found}
    return bound


def tensor(array: np.ndarray) -> Tensor:
    """A tensor that is a copy of `array`, with the same type.

    Arrays of bfloat16 have the form that MXNet gives them in NumPy: a field of 16-bit integers.
    """
    array = np.ascontiguousarray(array)
    if array.dtype.names == ('bfloat16',):
        return torch.from_numpy(array['bfloat16'].astype(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array.copy())
