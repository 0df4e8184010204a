"""Nodes that make the gradients of MXNet's own operator right.

oneDNN's operator needs none of them: where it computes `dtype`, Symbols stay as they are.
"""
from __future__ import annotations

from typing import Any, Sequence

from .._runtime.mxnet import mx
from .environment import onednn

__all__ = ['ADDS_NOTHING', 'apart', 'wanted']

#: Marks a node that gives its first input's values and is there for gradients alone.
ADDS_NOTHING = '__adds_nothing__'


def _named(name: str | None, what: str) -> dict[str, str]:
    return {} if name is None else {'name': name + what}


def apart(data: mx.sym.Symbol, dtype: Any, name: str | None = None) -> mx.sym.Symbol:
    """A copy of time-major `data` for the operator to take.

    It can't add to the data's gradient, as `grad_req` 'add' has it, and MXNet by itself where eight
    or more operators take one Symbol. The copy can; an identity would be optimised away.
    """
    return data if onednn(dtype) else mx.sym.SequenceMask(data, **_named(name, 'apart'))


def wanted(bias: mx.sym.Symbol, arrays: Sequence[mx.sym.Symbol], dtype: Any,
           name: str | None = None) -> mx.sym.Symbol:
    """`bias`, for the operator's vector, with a gradient that is wanted if one of `arrays` is.

    The operator has wrong gradients of data and states where its vector needs none, as in a frozen
    layer. So the bias gets a term that depends on them and is 0: it is chosen, not multiplied,
    and neither NaN nor infinity gets through.
    """
    if onednn(dtype):
        return bias
    some = [mx.sym.slice_axis(mx.sym.Reshape(array, shape=(-1,), **_named(name, 'flat%d' % i)),
                              axis=0, begin=0, end=1, **_named(name, 'some%d' % i))
            for i, array in enumerate(arrays)]
    total = mx.sym.add_n(*some, **_named(name, 'total'))
    zero = mx.sym.zeros_like(total, **_named(name, 'zero'))
    nothing = mx.sym.where(zero, total, zero, **_named(name, 'nothing'))
    return mx.sym.broadcast_add(bias, nothing, attr={ADDS_NOTHING: 'True'},
                                **_named(name, 'wanted'))
