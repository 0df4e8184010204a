"""The shapes and types that graphs of Symbols tell."""
from __future__ import annotations

from typing import Optional, Type

import numpy as np

from .._runtime.mxnet import mx

__all__ = ['Kind', 'joins_are_known', 'known_shape', 'known_type', 'typed', 'unknown']

#: A type of numbers, such as numpy.float32, or None if it is not known.
Kind = Optional[Type[np.generic]]


def known_shape(symbol: mx.sym.Symbol) -> tuple[int, ...]:
    """The shape of `symbol` as far as its own graph tells: () if not even the rank is known,
    0 for each unknown axis."""
    if not symbol.list_attr() and symbol.get_children() is None:
        return ()  # a variable without a shape: the usual input, answered fast
    try:
        shape = symbol.infer_shape_partial()[1][0] or ()
        return tuple(max(n, 0) for n in shape)  # -1 under NumPy's semantics
    except mx.base.MXNetError:  # an inconsistent graph: binding will report it
        return ()


def unknown(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with 0 for sizes to infer, in the form that NumPy's semantics need."""
    return tuple(n or -1 for n in shape) if mx.util.is_np_shape() else shape


def known_type(symbol: mx.sym.Symbol) -> Kind:
    """The NumPy type of `symbol` as far as its own graph tells, or None."""
    try:
        return symbol.infer_type_partial()[1][0]
    except mx.base.MXNetError:  # operators that need the type of their input
        return None


def typed(inputs: mx.sym.Symbol, dtype: Kind, rank: int = 3) -> mx.sym.Symbol:
    """`inputs`, with `rank` axes, as a node of the type `dtype`, if that is known.

    A program that binds integer lengths may leave the type open, but operators that move and mask
    sequences must know it.
    """
    if dtype is None:
        return inputs
    shape = unknown((0,) * (len(known_shape(inputs)) or rank))
    return mx.sym._internal._identity_with_attr_like_rhs(inputs, mx.sym.zeros(shape, dtype=dtype))


def joins_are_known(symbol: mx.sym.Symbol) -> bool:
    """Whether all arrays that the graph of `symbol` joins have known shapes. MXNet ignores unknown
    ones in the sum of sizes, so a known shape may be too small."""
    for node in symbol.get_internals():
        parts = node.get_children() if {'num_args', 'dim'} <= node.list_attr().keys() else None
        if parts is not None and not all(parts.infer_shape_partial()[1]):
            return False
    return True
