"""The table of operators, and what their functions have in common.

``OPERATORS`` maps an operator's name to a function that is given a `Node` once, when the module is
built, and returns what runs it: a function of its inputs as tensors, which returns a tensor, or a
tuple of them.
"""
from __future__ import annotations

from typing import Any, Callable, NamedTuple

import torch
from torch import Tensor

from ... import _check
from ..._graph.graph import Node

__all__ = ['DTYPES', 'OPERATORS', 'Operator', 'axis_of', 'dtype_of', 'operator', 'register']

#: Runs a node: tensors in, a tensor or a tuple of them out.
Run = Callable[..., Any]


class Operator(NamedTuple):
    """How an operator is run."""

    make: Callable[[Node], Run]
    #: Whether the function that `make` returns takes, before the inputs, whether it is training.
    training: bool = False
    #: Inputs that training alone needs, by position: labels.
    labels: tuple[int, ...] = ()
    #: Whether inputs must have equal sizes along all their axes (True), so that one size that is
    #: left open in a graph follows from another.
    equal_shapes: bool = False


OPERATORS: dict[str, Operator] = {}

DTYPES = {
    'float32': torch.float32, 'float64': torch.float64, 'float16': torch.float16,
    'bfloat16': torch.bfloat16, 'uint8': torch.uint8, 'int8': torch.int8, 'int32': torch.int32,
    'int64': torch.int64, 'bool': torch.bool,
}


def operator(*names: str, **kwargs: Any) -> Callable[[Callable[[Node], Run]],
                                                     Callable[[Node], Run]]:
    """Enter a function into the table under `names`; `kwargs` are of `Operator`."""
    def enter(make: Callable[[Node], Run]) -> Callable[[Node], Run]:
        for name in names:
            OPERATORS[name] = Operator(make, **kwargs)
        return make
    return enter


def register(name: str, make: Callable[[Node], Run], *, training: bool = False) -> None:
    """Add an operator to those that `to_torch` can run, or replace one.

    Parameters
    ----------
    name : str
        The operator's name in the graph, such as '_contrib_div_sqrt_dim'.
    make : callable
        Given a `Node` (its parameters are ``node.get('axis', -1)``), it returns the function of
        the node's inputs, torch.Tensors, that gives the output or a tuple of the outputs.
    training : bool
        Whether that function takes ``True`` in training and ``False`` otherwise before the inputs.

    Raises
    ------
    TypeError
        `name` is no str or `make` cannot be called.

    Examples
    --------
    >>> from mxrnn import interop
    >>> interop.register('_contrib_div_sqrt_dim', lambda node: lambda x: x / x.shape[-1] ** .5)
    """
    _check.instance('name', name, str, 'a str')
    _check.function('make', make)
    OPERATORS[name] = Operator(make, _check.flag('training', training))


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
