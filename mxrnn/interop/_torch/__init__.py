"""Graphs of MXNet in torch; here, what the functions of all operators share."""
from __future__ import annotations

import inspect
import types
from typing import Any, Callable, Union

import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import TORCH, Operator

__all__ = ['DTYPES', 'Device', 'Run', 'keywords', 'runs', 'some']

#: Runs a node: tensors in, a tensor or a tuple of them out.
Run = Callable[..., Any]

Device = Union[str, torch.device]

#: By what attributes call them; None, for a type that follows from the inputs, is none of them.
DTYPES = {
    'float32': torch.float32, 'float64': torch.float64, 'float16': torch.float16,
    'bfloat16': torch.bfloat16, 'uint8': torch.uint8, 'int8': torch.int8, 'int32': torch.int32,
    'int64': torch.int64, 'bool': torch.bool,
}


def runs(*ops: str, training: bool = False, creates: bool = False) -> Callable[[Run], Run]:
    """Make a function of a node's inputs what runs the operators `ops`; the rest is of `Operator`.

    Its keyword-only parameters are attributes of the node, types as torch has them, and its name.
    """
    def enter(run: Run) -> Run:
        TORCH.enter(Operator(lambda node: _bound(run, node), training, creates, run), *ops)
        return run
    return enter


def keywords(run: Run, node: Node) -> dict[str, Any]:
    """The attributes of a node that a function takes, by its keyword-only parameters."""
    found: dict[str, Any] = {}
    if inspect.isfunction(run):
        given = inspect.getfullargspec(run)
        for key in given.kwonlyargs:
            if key not in (given.kwonlydefaults or {}) or hasattr(node, key):
                value = getattr(node, key)  # those with defaults are not of all its operators
                found[key] = DTYPES.get(value) if key.endswith('dtype') else value
    return found


def _bound(run: Run, node: Node) -> Run:
    """A copy of `run` whose keyword-only parameters have the node's attributes as defaults: calls
    of it take no longer than those of a function without them."""
    found = keywords(run, node)
    if not found:
        return run
    bound = types.FunctionType(run.__code__, run.__globals__, run.__name__, run.__defaults__,
                               run.__closure__)
    bound.__kwdefaults__ = {**(run.__kwdefaults__ or {}), **found}
    return bound


def some(x: Tensor) -> Tensor:
    """`x` with at least one axis, as all arrays of MXNet have."""
    return x if x.dim() else x.reshape(1)
