"""What functions that run operators in torch share: types, attributes, registration."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Union

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Node
from ..registry import TORCH, Operator

__all__ = ['Device', 'Run', 'keywords', 'runs', 'tensor']

#: Runs a node: takes tensors, returns a tensor or a tuple of them.
Run = Callable[..., Any]

Device = Union[str, torch.device]


def runs(*ops: str, training: bool = False, creates: bool = False) -> Callable[[Run], Run]:
    """Make the decorated function run the operators `ops`; see `Operator` for the options.

    Its keyword-only parameters are the node's attributes (with torch's types) and the node's name.
    """
    def enter(run: Run) -> Run:
        def make(node: Node) -> Run:
            return functools.partial(run, **keywords(run, node))

        TORCH.enter(Operator(make, training, creates, run), *ops)
        return run
    return enter


def keywords(run: Run, node: Node) -> dict[str, Any]:
    """The attributes of a node that a function takes as keyword-only parameters."""
    spec, found = inspect.getfullargspec(run), {}
    for key in spec.kwonlyargs:
        if key not in (spec.kwonlydefaults or {}) or hasattr(node, key):
            value = getattr(node, key)  # one with a default may be missing in some operators
            found[key] = getattr(torch, value) if value and key.endswith('dtype') else value
    return found


def tensor(array: np.ndarray) -> Tensor:
    """A tensor that is a copy of `array`, with the same type.

    Arrays of bfloat16 have the form that MXNet gives them in NumPy: a field of 16-bit integers.
    """
    array = np.ascontiguousarray(array)
    if array.dtype.names == ('bfloat16',):
        return torch.from_numpy(array['bfloat16'].astype(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array.copy())
