"""What functions that run operators in torch share: types, attributes, registration."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

import torch

from ..._graph.graph import Node
from ..registry import TORCH, Operator

__all__ = ['Run', 'keywords', 'runs']

#: Runs a node: takes tensors, returns a tensor or a tuple of them.
Run = Callable[..., Any]


def runs(*ops: str, training: bool = False) -> Callable[[Run], Run]:
    """Make the decorated function run the operators `ops`; see `Operator` for the options.

    Its keyword-only parameters are the node's attributes (with torch's types) and the node's name.
    """
    def made(run: Run) -> Operator:
        return Operator(lambda node: functools.partial(run, **keywords(run, node)), training, run)
    return TORCH.entering(made, *ops)


def keywords(run: Run, node: Node) -> dict[str, Any]:
    """The attributes of a node that a function takes as keyword-only parameters."""
    spec, found = inspect.getfullargspec(run), {}
    for key in spec.kwonlyargs:
        if key not in (spec.kwonlydefaults or {}) or hasattr(node, key):
            value = getattr(node, key)  # one with a default may be missing in some operators
            found[key] = getattr(torch, value) if value and key.endswith('dtype') else value
    return found
