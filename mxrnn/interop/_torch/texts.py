"""Operators that run what a source of them says: their text, as a function of tensors."""
from __future__ import annotations

import functools
import re
from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from .._source import elementwise, index, layers, shape  # noqa: F401
from .._source.table import SOURCE, Emitter, Many, Unsupported, Value
from ..registry import operator
from . import DTYPES, Run

__all__: list[str] = []

#: Those whose text is the same for any number of axes, and has all that MXNet does.
OPERATORS = '''
    abs sign ceil floor trunc sqrt rsqrt exp expm1 log log10 log2 log1p sin cos tan sinh cosh tanh
    erf erfinv relu sigmoid zeros_like ones_like arcsin arccos arctan arcsinh arccosh arctanh
    degrees radians fix gammaln round rint square cbrt rcbrt negative reciprocal gamma softsign
    logical_not BlockGrad _copy _identity_with_attr_like_rhs add_n clip Cast amp_cast smooth_l1
    hard_sigmoid Activation
    elemwise_add elemwise_sub elemwise_mul elemwise_div broadcast_add broadcast_sub broadcast_mul
    broadcast_div _plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar
    _rpower_scalar _rmod_scalar
    sort argsort gather_nd scatter_nd one_hot SwapAxis expand_dims Concat stack _rnn_param_concat
    tile repeat Pad reverse shape_array size_array Convolution Convolution_v1 Deconvolution
    UpSampling InstanceNorm LRN SoftmaxActivation'''.split() + [
    form % name for name in '''power maximum minimum hypot mod equal not_equal greater greater_equal
    lesser lesser_equal logical_and logical_or logical_xor'''.split()
    for form in ('_%s', 'broadcast_%s', '_%s_scalar')]
#: What the texts read.
_SPACE: dict[str, Any] = {'torch': torch, 'F': F}
_TYPES = {dtype: name for name, dtype in DTYPES.items()}


class _NoType(Exception):
    """A text depends on the type of an array, which is not known."""


class _Untyped(Value):
    """An array of any type."""

    @property
    def dtype(self) -> str:  # type: ignore[override]
        raise _NoType


class _Single:
    """The scope of a function that has one operator in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def named(self, value: Value) -> Value:
        """The array under a name."""
        if value.text.isidentifier():
            return value
        self.lines.append('    y = %s' % value.text)
        return value._replace(text='y')

    def helper(self, function: Callable[..., Any]) -> str:
        """The name of a function of this package."""
        _SPACE[function.__name__] = function
        return function.__name__

    def used(self, output: int) -> int:
        """How often an output is read: perhaps."""
        return 1


def _written(emitter: Emitter, node: Node, *types: str | None) -> Run:
    """The function for inputs of some types."""
    scope, names = _Single(), ['x%d' % at for at in range(len(types))]
    emitted = emitter(scope, node, *[
        _Untyped(name, (), '') if dtype is None else Value(name, (), dtype)
        for name, dtype in zip(names, types)])
    text = emitted.text if isinstance(emitted, Many) else str(emitted)
    return _compiled('\n'.join(['def run(%s):' % ', '.join(names), *scope.lines,
                                '    return ' + text]))


@functools.lru_cache(maxsize=1000)
def _compiled(text: str) -> Run:
    """The function of a text; torch's own if it just calls that."""
    own = re.fullmatch(r'def run\(x0\):\n    return torch\.(\w+)\(x0\)', text)
    space: dict[str, Any] = {'run': getattr(torch, own[1])} if own else {}
    if not own:
        exec(text, _SPACE, space)
    run: Run = space['run']
    return run


def _made(node: Node) -> Run:
    """A function of the text of a node, or of a text for each type of its first input."""
    emitter, count = SOURCE[node.op], len(node.inputs)
    try:
        return _written(emitter, node, *[None] * count)
    except _NoType:
        pass
    written: dict[torch.dtype, Run] = {}

    def run(x: Tensor, *others: Tensor) -> Any:
        function = written.get(x.dtype)
        if function is None:
            try:
                function = written[x.dtype] = _written(emitter, node, *[_TYPES[x.dtype]] * count)
            except Unsupported as error:
                raise ValueError('%s, %s: %s' % (node.name, node.op, error)) from None
        return function(x, *others)
    return run


operator(*OPERATORS)(_made)
