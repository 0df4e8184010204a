"""Operators that run the text that a source would contain, as a function of tensors."""
from __future__ import annotations

import functools
import re
from typing import Any, Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._graph.graph import Node
from ..._graph.shapes.sizes import Axis
from .._source import elementwise, layers, losses, moves, reductions, sequences  # noqa: F401
from .._source.emitter_api import SOURCE, Expr, Many, Shape, Size, Unsupported
from .._source.size_texts import size_text
from .._source.torch_operators import Run
from ..registry import TORCH, operator

__all__ = ['enter_rest']

#: What the texts read.
_SPACE: dict[str, Any] = {'torch': torch, 'F': F}


class _Unknown(Exception):
    """A text depends on an array's type or axes, and these are not known."""


class _Any(Expr):
    """An array of any type and any axes."""

    @property
    def dtype(self) -> str:  # type: ignore[override]
        raise _Unknown

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        raise _Unknown


class _Typed(Expr):
    """An array of any axes."""

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        raise _Unknown


class _Single:
    """Collects the text of a function with one operator."""

    arguments = ()

    def __init__(self, node: Node, dtype: str) -> None:
        self.lines: list[str] = []
        self._dtype = getattr(node, 'dtype', None) or getattr(node, 'out_dtype', None) or dtype

    @property
    def dtypes(self) -> list[str]:
        """The type of the operator's output."""
        if not self._dtype:
            raise _Unknown
        return [self._dtype]

    def named(self, value: Expr) -> Expr:
        """The array under a name."""
        return value if value.text.isidentifier() else value._replace(text=self.own(value.text))

    def own(self, text: str, name: str = 'y') -> str:
        """A variable that is set to a text."""
        name += str(len(self.lines) or '')
        self.lines.append('    %s = %s' % (name, text))
        return name

    def line(self, text: str) -> None:
        """Add a statement."""
        self.lines.append('    ' + text)

    def size(self, size: Size, *near: Expr) -> str:
        """The text for an axis' size."""
        return size_text(size, near)

    def helper(self, function: Callable[..., Any]) -> str:
        """The name of a function of this package."""
        _SPACE[function.__name__] = function
        return function.__name__

    def used(self, output: int) -> int:
        """How often an output is read: unknown here."""
        return 1


def _written(node: Node, inputs: Sequence[Expr], dtype: str = '') -> Run:
    """The function that runs a node's text."""
    scope = _Single(node, dtype)
    emitted = SOURCE[node.op](scope, node, *inputs)
    text = emitted.text if isinstance(emitted, Many) else '(%s)' % ', '.join(map(
        str, emitted)) if isinstance(emitted, list) else str(emitted)
    return _compiled('\n'.join(['def run(%s):' % ', '.join(each.text for each in inputs),
                                *scope.lines, '    return ' + text]))


@functools.lru_cache(maxsize=1000)
def _compiled(text: str) -> Run:
    """The function that runs a text; torch's own function if the text only calls it."""
    own = re.fullmatch(r'def run\(x0\):\n    return torch\.(\w+)\(x0\)', text)
    space: dict[str, Any] = {'run': getattr(torch, own[1])} if own else {}
    if not own:
        exec(text, _SPACE, space)
    run: Run = space['run']
    return run


def _made(node: Node) -> Run:
    """A function that runs a node's text. One text may serve all inputs, or there is one for each
    type of the first input, or one for each type and number of axes of all inputs."""
    names = ['x%d' % at for at in range(len(node.needed_inputs))]
    try:
        own = _written(node, [_Any(name, (), '') for name in names])
        return lambda *inputs: own(*inputs[:len(names)])
    except _Unknown:
        pass
    by_type: dict[torch.dtype, Run] = {}
    written: dict[object, Run] = {}

    def by_axes(*inputs: Tensor) -> Any:
        key = tuple([(x.dim(), x.dtype) for x in inputs])
        function = written.get(key)
        if function is None:
            function = written[key] = _written(node, [
                Expr(name, _open(x.dim()), _name(x)) for name, x in zip(names, inputs)],
                _name(inputs[0]))
        return function(*inputs)

    def run(x: Tensor, *others: Tensor) -> Any:
        function = by_type.get(x.dtype)
        if function is None:
            try:
                function = _written(node, [_Typed(name, (), _name(x)) for name in names], _name(x))
            except _Unknown:
                function = by_axes
            except Unsupported as error:
                raise ValueError('%s, %s: %s' % (node.name, node.op, error)) from None
            by_type[x.dtype] = function
        return function(x, *others[:len(names) - 1])
    return run


def _name(x: Tensor) -> str:
    """The name of an array's type."""
    return str(x.dtype).partition('.')[2]


def _open(rank: int) -> Shape:
    """Axes whose sizes differ from all others."""
    return tuple([Axis() for _ in range(rank)])


def enter_rest() -> None:
    """Have its text run each operator that has no function of its own."""
    operator(*(op for op in SOURCE if op not in TORCH and op != '_foreach'))(_made)
