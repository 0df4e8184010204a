"""Emitters: one function per operator, which returns the Python text for a node's outputs."""
from __future__ import annotations

import ast
import functools
import math
import re
from typing import Any, Callable, Iterable, List, NamedTuple, Sequence, Union

import numpy as np

from ..._graph.graph import Node
from ..._graph.operator_table import row
from ..._graph.shapes.sizes import Size
from ..prepare.array_types import Fact, Facts, Shape
from ..registry import Converters, Unsupported

__all__ = ['LOSSES', 'SOURCE', 'Emitted', 'Emitter', 'Expr', 'Fact', 'Facts', 'Many',
           'Shape', 'Size', 'Unsupported', 'all_swapped', 'cast', 'emits', 'exchanged', 'is_real',
           'is_swap', 'loss', 'number', 'writes']

#: How tightly Python's operators bind; names, calls and literals bind tightest.
_LEVELS: dict[type, int] = {
    ast.IfExp: 0, ast.Lambda: 0, ast.Tuple: 0, ast.Or: 1, ast.And: 2, ast.Not: 3, ast.Compare: 4,
    ast.BitOr: 5, ast.BitXor: 6, ast.BitAnd: 7, ast.Add: 8, ast.Sub: 8, ast.Mult: 9, ast.Div: 9,
    ast.Mod: 9, ast.FloorDiv: 9, ast.MatMult: 9, ast.USub: 10, ast.Invert: 10, ast.Pow: 11}
_TIGHTEST = 12

#: For each format spec, how tightly a text must bind to need no brackets.
_NEEDED = {'': 0, '<': 5, '+': 8, '-': 9, '*': 9, '/': 10, '**': 12, '.': 12}


@functools.lru_cache(maxsize=4096)
def _level(text: str) -> int:
    body = ast.parse(text, mode='eval').body
    kind = type(getattr(body, 'op', body))
    return _LEVELS.get(kind, _TIGHTEST)


#: Steps in a list become an array, along the first or the second axis.
_STACKED = re.compile(r'torch\.stack\((\w+)(, 1)?\)')


class Expr(NamedTuple):
    """An array of the graph, as a text in the method that is being written.

    A format spec says which brackets its text needs: ``{x}`` as an argument of a call, ``{x:.}``
    before a method, ``{x:+}`` and ``{x:-}`` left and right of a minus, ``{x:*}`` and ``{x:/}`` left
    and right of a division, ``{x:**}`` on both sides of a power, ``{x:<}`` in a comparison.
    """

    text: str
    shape: Shape
    dtype: str
    #: MXNet's name for parameters and auxiliary states; None for computed arrays.
    parameter: str | None = None
    #: Whether the text has the first two axes of `shape` swapped.
    swapped: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def of(self) -> str:
        """The text as it can stand before a method or an index."""
        return format(self, '.')

    def __str__(self) -> str:
        return format(self)

    def __format__(self, spec: str) -> str:
        stacked = _STACKED.fullmatch(self.text)
        if self.swapped and stacked:
            return 'torch.stack(%s%s)' % (stacked[1], '' if stacked[2] else ', 1')
        if self.swapped:
            return '%s.transpose(0, 1)' % self.unswapped.of
        text = self.text
        return text if not spec or _level(text) >= _NEEDED[spec] else '(%s)' % text

    @property
    def unswapped(self) -> Expr:
        """The array that the text stands for."""
        return self.exchanged if self.swapped else self

    @property
    def exchanged(self) -> Expr:
        """The array with its first two axes swapped; the text may leave the swap to later."""
        return self._replace(shape=exchanged(self.shape), swapped=not self.swapped)


def exchanged(shape: Shape) -> Shape:
    """A shape with its first two axes swapped."""
    return (*shape[1::-1], *shape[2:])


class Many(NamedTuple):
    """The text of one expression that returns all outputs of a node."""

    text: str


#: One output; several outputs; one expression for all; or an input, unchanged.
Emitted = Union[str, Expr, List[Union[str, Expr]], Many]


AnyOrder = Union[bool, Callable[[Node, int], bool]]


class Emitter(NamedTuple):
    """The writer for nodes of an operator, or for a loss."""

    function: Callable[..., Any] | None
    #: Whether either of the first two axes may be time; or a function that decides it from a node
    #: and the number of axes of its data.
    any_order: AnyOrder = False
    #: Whether it refuses integers as its first input.
    reals: bool = False

    def __call__(self, scope: Any, node: Node, *inputs: Expr) -> Any:
        """The result of the function for a node."""
        if self.reals and not is_real(inputs[0]):
            raise Unsupported('of integers')
        if self.function is None:
            raise Unsupported('it has no plain form')
        return self.function(scope, node, *inputs)


SOURCE: Converters[Emitter] = Converters('source')
LOSSES: Converters[Emitter] = Converters('source of losses')


_LARGEST = float(np.finfo(np.float32).max)


def is_real(value: Expr) -> bool:
    """Whether an array consists of real numbers."""
    return 'float' in value.dtype


def number(value: float, single: bool = True) -> str:
    """The shortest form of an attribute's number; whole numbers have no point. `single` says that
    it is a float32."""
    if not math.isfinite(value):
        return "float('%s')" % value
    if single:  # the shortest form of the largest one is above it
        value = max(-_LARGEST, min(float(str(np.float32(value))), _LARGEST))
    return repr(int(value)) if value == int(value) and abs(value) < 1e6 else repr(value)


#: Methods that convert a tensor, by type.
_CASTS = {'float32': 'float', 'float64': 'double', 'float16': 'half', 'bfloat16': 'bfloat16',
          'int32': 'int', 'int64': 'long'}


def cast(text: str, dtype: str) -> str:
    """The text converted to a type; a method may follow it."""
    return '%s.%s()' % (text, _CASTS[dtype]) if dtype in _CASTS else '%s.to(torch.%s)' % (
        text, dtype)


_Function = Callable[..., Any]


def emits(*ops: str, any_order: AnyOrder = False, reals: bool = False
          ) -> Callable[[_Function], _Function]:
    """Make a function of the scope, the node and its inputs the emitter for `ops`."""
    def enter(function: _Function) -> _Function:
        SOURCE.enter(Emitter(function, any_order, reals), *ops)
        return function
    return enter


def writes(text: str, *ops: str, any_order: AnyOrder = False, reals: bool = False) -> None:
    """Make a text the emitter for `ops`: {0} is the first input, {axis} an attribute."""
    @emits(*ops, any_order=any_order, reals=reals)
    def emit(scope: Any, node: Node, *inputs: Expr) -> Emitted:
        known = row(node.op)
        return text.format(*inputs, **{key: _argument(getattr(node, key)) for key in (
            known.attributes if known else ())})


def _argument(value: Any) -> str:
    """An attribute as an argument of a call."""
    if isinstance(value, tuple):
        return ', '.join(map(_argument, value))
    return number(value) if isinstance(value, float) else str(value)


def loss(*ops: str, reals: bool = False) -> Callable[[_Function], _Function]:
    """Make a function of the scope, the node, the data and the labels the writer for a loss. The
    loss is a number whose gradient is MXNet's."""
    def enter(function: _Function) -> _Function:
        LOSSES.enter(Emitter(function, reals=reals), *ops)
        return function
    return enter


def is_swap(node: Node, inputs: Sequence[Expr]) -> bool:
    """Whether a node swaps the first two axes."""
    if node.op == 'SwapAxis':
        return {node.dim1 % inputs[0].rank, node.dim2 % inputs[0].rank} == {0, 1}
    return node.op == 'transpose' and inputs[0].rank > 1 and node.axes == (
        1, 0, *range(2, inputs[0].rank))


def all_swapped(inputs: Iterable[Expr], out: Sequence[Shape]) -> bool:
    """Whether all inputs have their first two axes swapped, or none has."""
    inputs, rank = list(inputs), max(map(len, out), default=0)
    return any(each.swapped for each in inputs) and all(
        each.rank == rank if each.swapped else each.rank <= rank - 2 for each in inputs)
