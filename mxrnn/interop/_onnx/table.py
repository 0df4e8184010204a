"""The table of converters, one function for each operator of MXNet, and what they raise."""
from __future__ import annotations

from typing import Any, Callable

import numpy as np

from ..._graph.graph import Node

__all__ = ['CONVERTERS', 'Converter', 'ExportError', 'Unsupported', 'converts', 'dtype_of',
           'positive']


class ExportError(ValueError):
    """A model cannot be written as ONNX; the message names the nodes and says why."""


class Unsupported(Exception):
    """ONNX has no counterpart of something that a node asks for; the message says of what."""


#: It is called with a Builder, the node, and the node's inputs but for labels as Values; it returns
#: the outputs: a Value or a list of them.
Converter = Callable[..., Any]

#: By the operator's name, as graphs have it.
CONVERTERS: dict[str, Converter] = {}


def converts(*operators: str) -> Callable[[Converter], Converter]:
    """Make a function the converter of `operators`."""
    def enter(function: Converter) -> Converter:
        for operator in operators:
            if operator in CONVERTERS:
                raise ValueError('there are two converters of %s' % operator)
            CONVERTERS[operator] = function
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
