"""Kinds of operators' attributes: how MXNet reads their texts, and which texts are refused."""
from __future__ import annotations

import functools
import math
import re
import struct
from typing import Any, Callable, NamedTuple

__all__ = ['Attribute', 'AttributeValueError', 'Bool', 'channels_last', 'Choice', 'Double', 'Float',
           'Int', 'normalised_axes', 'Shape', 'Sizes', 'Slots', 'Text']


class AttributeValueError(ValueError):
    """A node lacks an attribute that its operator needs, or has one with an invalid text."""


#: The default of an attribute that must be given.
REQUIRED: Any = object()


class Attribute(NamedTuple):
    """Reads the texts of one attribute as values."""

    #: The kind in messages, such as 'an int'.
    kind: str
    #: Converts a text to a value; raises ValueError.
    read: Callable[[str], Any]
    default: Any = REQUIRED
    #: Whether 'None' is allowed and means None.
    none: bool = False

    def value(self, text: str | None) -> Any:
        """The value of `text`; the default if it is None.

        Raises
        ------
        ValueError
            The message says what the attribute must be.
        """
        if text is None:
            if self.default is REQUIRED:
                raise ValueError('must be given: %s' % self.kind)
            return self.default
        if self.none and text == 'None':
            return None
        try:
            return self.read(text)
        except ValueError:
            raise ValueError('must be %s%s, got %.60r' % (
                self.kind, ' or None' if self.none else '', text)) from None


_INT = re.compile(r'[-+]?[0-9]+')
_NUMBER = re.compile(r'[-+]?((?P<digits>[0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?f?'
                     r'|inf(inity)?|nan)', re.IGNORECASE)
_TUPLE = re.compile(r'\s*[(\[](?P<items>[^()\[\]]*)[)\]]\s*')
_BOOLS = {'1': True, 'true': True, '0': False, 'false': False}


def _int(text: str) -> int:
    text = text.strip()
    text = text[:-1] if text.endswith('L') else text  # Python 2 wrote long integers so
    if not _INT.fullmatch(text):
        raise ValueError
    value = int(text)
    if not -1 << 63 <= value < 1 << 63:
        raise ValueError
    return value


def _number(text: str, bits: str) -> float:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError
    digits = found.group('digits')
    try:
        value = float(struct.unpack(bits, struct.pack(bits, float(text.rstrip('fF') if digits
                                                                  else text)))[0])
    except OverflowError:
        raise ValueError from None
    if digits and (math.isinf(value) or not value and digits.strip('0.')):
        raise ValueError  # does not fit into this many bits
    return value


def _double(text: str) -> float:
    return _number(text, 'd')


def _float(text: str) -> float:
    return _number(text, 'f')


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError
    return _BOOLS[text.lower()]


def _items(text: str, read: Callable[[str], Any]) -> tuple[Any, ...]:
    found = _TUPLE.fullmatch(text)
    if found is None:
        return (read(text),)
    items = found.group('items').split(',')
    if not items[-1].strip():
        items.pop()
    return tuple(map(read, items))


def _shape(text: str) -> tuple[int, ...]:
    return _items(text, _int)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(0 if size == -1 else size for size in _shape(text))


def _slots(text: str) -> tuple[int | None, ...]:
    return _items(text, lambda item: None if item.strip() == 'None' else _int(item))


def _maker(kind: str, read: Callable[[str], Any]) -> Callable[..., Attribute]:
    read = functools.lru_cache(1024)(read)  # few texts are read often

    def make(default: Any = REQUIRED, *, none: bool = False) -> Attribute:
        if isinstance(default, (int, float)):
            default = read(str(default))
        return Attribute(kind, read, default, none or default is None)
    return make


Int = _maker('an int', _int)
Double = _maker('a number', _double)
#: MXNet keeps it in 32 bits, so the value and the default are rounded to them.
Float = _maker('a number', _float)
Bool = _maker('True or False', _bool)
Text = _maker('a text', str)
#: A tuple of ints; a number means a tuple of one.
Shape = _maker('a tuple of ints', _shape)
#: Sizes of a new array. A size that the graph does not tell is 0, or -1 in MXNet 2.
Sizes = _maker('a tuple of ints', _sizes)
#: A tuple of ints and None; None means a part that a Python slice leaves out.
Slots = _maker('a tuple of ints or None', _slots)


def Choice(words: str, default: Any = REQUIRED) -> Attribute:
    """One of `words`, which spaces separate; also None if it is the default."""
    allowed = words.split()

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text
    return Attribute('one of %s' % ', '.join(allowed), read, default, default is None)


def channels_last(layout: str | None) -> bool:
    """Whether the attribute `layout` of an image operator puts the channels last."""
    return layout is not None and layout.index('C') > 1


def normalised_axes(mode: str, rank: int) -> tuple[int, ...]:
    """The axes over which L2Normalization takes the norm."""
    return {'instance': tuple(range(1, rank)), 'channel': (1,),
            'spatial': tuple(range(2, rank))}[mode]
