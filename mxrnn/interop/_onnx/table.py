"""The table of converters: one function for each operator of MXNet."""
from __future__ import annotations

import ast
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from .builder import Builder, Value
from .sizes import Unsupported

__all__ = ['CONVERTERS', 'Attributes', 'Converter', 'Entry', 'converts', 'positive']


class Attributes:
    """Attributes of a node, which the graph holds as text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __contains__(self, name: str) -> bool:
        return self._texts.get(name, 'None') != 'None'

    def is_none(self, name: str) -> bool:
        """Whether the graph says None, where saying nothing means something else."""
        return self._texts.get(name) == 'None'

    def text(self, name: str, default: str | None = None) -> str:
        """A name, such as that of a mode."""
        if name not in self:
            if default is None:
                raise Unsupported('attribute %r is missing' % name)
            return default
        return str(self._texts[name])

    def _value(self, name: str, default: Any) -> Any:
        text = self.text(name, '' if default is not Ellipsis else None)
        if not text and default is not Ellipsis:
            return default
        try:
            return ast.literal_eval(text.replace('L', ''))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise Unsupported('attribute %r has the value %r' % (name, text)) from None

    def integer(self, name: str, default: Any = Ellipsis) -> int:
        """An int."""
        value = self._value(name, default)
        if value is not default and (isinstance(value, bool) or not isinstance(value, (int, float))
                                     or value != int(value)):
            raise Unsupported('attribute %r must be an integer, is %r' % (name, value))
        return value if value is default else int(value)

    def number(self, name: str, default: Any = Ellipsis) -> float:
        """A float."""
        text = self.text(name, 'None')
        if text in ('inf', '-inf', 'nan'):
            return float(text)
        value = self._value(name, default)
        if value is not default and not isinstance(value, (int, float)):
            raise Unsupported('attribute %r must be a number, is %r' % (name, value))
        return value if value is default else float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        text = self.text(name, str(default)).lower()
        if text not in ('true', 'false', '1', '0'):
            raise Unsupported('attribute %r must be True or False, is %r' % (name, text))
        return text in ('true', '1')

    def integers(self, name: str, default: Any = Ellipsis) -> tuple[Any, ...]:
        """A tuple of ints; None stays, as ranges have it."""
        value = self._value(name, default)
        if value is default:
            return value
        value = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(n, bool) or not isinstance(n, (int, type(None))) for n in value):
            raise Unsupported('attribute %r must be integers, is %r' % (name, value))
        return value


Converter = Callable[[Builder, Attributes, Sequence[Value]], Any]

class Entry(NamedTuple):
    """How an operator is converted."""

    convert: Converter
    #: How many of its inputs matter; None for all. Labels of losses do not.
    uses: int | None


#: By the operator's name, as graphs have it.
CONVERTERS: dict[str, Entry] = {}


def converts(*operators: str, uses: int | None = None) -> Callable[[Converter], Converter]:
    """Make a function the converter of `operators`.

    It is called with the builder, the node's attributes and the first `uses` of its inputs, and
    returns its outputs: a Value or a list of them.
    """
    def enter(function: Converter) -> Converter:
        for operator in operators:
            if operator in CONVERTERS:
                raise ValueError('there are two converters of %s' % operator)
            CONVERTERS[operator] = Entry(function, uses)
        return function
    return enter


def positive(axis: int, rank: int) -> int:
    """`axis` counted from the front."""
    if not -rank <= axis < rank:
        raise Unsupported('axis %d of an array of %d axes' % (axis, rank))
    return axis % rank
