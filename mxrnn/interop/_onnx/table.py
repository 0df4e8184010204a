"""Entering converters, one function for each operator of MXNet, and what they raise."""
from __future__ import annotations

from typing import Any, Callable

import numpy as np

from ..._graph.graph import Node
from ..registry import ONNX

__all__ = ['Converter', 'ExportError', 'Unsupported', 'converts', 'dtype_of', 'positive']


class ExportError(ValueError):
    """A model cannot be written as ONNX; the message names the nodes and says why."""


class Unsupported(Exception):
    """ONNX has no counterpart of something that a node asks for; the message says of what."""


Converter = Callable[..., Any]


def converts(*operators: str) -> Callable[[Converter], Converter]:
    """Make a function the converter of `operators`."""
    def enter(function: Converter) -> Converter:
        ONNX.enter(function, *operators)
        return function
    return enter


def dtype_of(node: Node) -> np.dtype:
    """The type that the attribute 'dtype' names."""
    if node.dtype == 'bfloat16':
        raise Unsupported('the type bfloat16')
    return np.dtype(node.dtype)


def positive(axis: int, rank: int) -> int:
    """`axis` counted from the front."""
    if not -rank <= axis < rank:
        raise Unsupported('axis %d of an array of %d axes' % (axis, rank))
    return axis % rank
